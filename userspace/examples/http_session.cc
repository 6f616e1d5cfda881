// SPDX-License-Identifier: MIT
#include "http_session.h"

#include <array>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <charconv>
#include <optional>

#include "byte_pattern.h"
#include "deadline.h"
#include "sha256.h"
#include "weir/asio/websocket.h"

namespace weir::examples {

namespace net = boost::asio;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;
using weir::asio::tcp::socket;
using TlsStream = net::ssl::stream<socket>;
using net::use_awaitable;

namespace {

constexpr auto kPatience = std::chrono::seconds(60);
constexpr auto kTry = net::experimental::as_tuple(net::use_awaitable);

// N of "/bytes/N".
std::optional<std::uint64_t> bytes_wanted(std::string_view target) {
  constexpr std::string_view prefix = "/bytes/";
  if (!target.starts_with(prefix)) return std::nullopt;
  target.remove_prefix(prefix.size());
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), n);
  if (error != std::errc() || end != target.data() + target.size()) return std::nullopt;
  return n;
}

template <class Stream>
class Session {
 public:
  Session(Stream& stream, const std::string& served_by, Deadline& deadline)
      : stream_(stream), served_by_(served_by), deadline_(deadline) {}

  // Until the connection is to be ended, or has become a WebSocket and that has ended.
  net::awaitable<void> run() {
    for (bool more = true; more;) {
      // The body is taken in pieces, by those who want it: a request of any size needs the same memory.
      http::request_parser<http::buffer_body> request;
      request.body_limit(boost::none);
      deadline_.progress();
      const auto [error, n] = co_await http::async_read_header(stream_, buffer_, request, kTry);
      if (error == http::error::end_of_stream) co_return;
      if (error && error.category() != http::make_error_code(http::error::end_of_stream).category()) co_return;
      if (error) {
        co_await say(request, http::status::bad_request, error.message() + "\n");
        co_return;
      }
      deadline_.progress();
      if (websocket::is_upgrade(request.get())) {
        co_await echo_messages(request.get());
        co_return;
      }
      more = co_await answer(request);
    }
  }

 private:
  using Request = http::request_parser<http::buffer_body>;

  // True: the next request may come.
  net::awaitable<bool> answer(Request& request) {
    const auto& head = request.get();
    const std::string_view target(head.target().data(), head.target().size());
    const bool reads = head.method() == http::verb::get || head.method() == http::verb::head;
    const bool writes = head.method() == http::verb::put || head.method() == http::verb::post;
    if (target == "/upload" && writes) co_return co_await digest(request);
    if (!reads) co_return co_await say(request, http::status::method_not_allowed, "only GET and HEAD are known here\n");
    if (const auto n = bytes_wanted(target)) co_return co_await send_bytes(request, *n);
    if (target == "/") co_return co_await say(request, http::status::ok, served_by_);
    if (target == "/healthz") co_return co_await say(request, http::status::ok, "ok\n");
    co_return co_await say(request, http::status::not_found, "there is /, /bytes/N, /upload, /ws and /healthz\n");
  }

  template <class Response>
  bool prepare(const Request& request, Response& response) {
    // A body that nobody has read would be taken for the next request.
    const bool keep = request.get().keep_alive() && request.is_done();
    response.version(request.get().version());
    response.set(http::field::server, "weir-http");
    response.set(http::field::content_type, "text/plain");
    response.keep_alive(keep);
    return keep;
  }

  net::awaitable<bool> say(Request& request, http::status status, std::string text) {
    http::response<http::string_body> response;
    response.result(status);
    const bool keep = prepare(request, response);
    response.content_length(text.size());
    if (request.get().method() != http::verb::head) response.body() = std::move(text);
    co_await http::async_write(stream_, response, use_awaitable);
    co_return keep;
  }

  net::awaitable<bool> send_bytes(Request& request, std::uint64_t size) {
    http::response<http::empty_body> response;
    const bool keep = prepare(request, response);
    response.set(http::field::content_type, "application/octet-stream");
    response.content_length(size);
    http::response_serializer<http::empty_body> head(response);
    co_await http::async_write_header(stream_, head, use_awaitable);
    if (request.get().method() == http::verb::head) co_return keep;
    for (auto pattern = std::make_unique<BytePattern>(size); !pattern->done();) {
      const auto block = pattern->next();
      co_await net::async_write(stream_, net::buffer(block.data(), block.size()), use_awaitable);
      deadline_.progress();
    }
    co_return keep;
  }

  net::awaitable<bool> digest(Request& request) {
    if (boost::beast::iequals(request.get()[http::field::expect], "100-continue")) {
      http::response<http::empty_body> go_on(http::status::continue_, 11);
      co_await http::async_write(stream_, go_on, use_awaitable);
    }
    Sha256 sum;
    const auto block = std::make_unique<std::array<char, 64 * 1024>>();
    while (!request.is_done()) {
      auto& body = request.get().body();
      body.data = block->data();
      body.size = block->size();
      const auto [error, n] = co_await http::async_read(stream_, buffer_, request, kTry);
      if (error && error != http::error::need_buffer) throw boost::system::system_error(error);
      sum.update(block->data(), block->size() - body.size);
      deadline_.progress();
    }
    co_return co_await say(request, http::status::ok, sum.hex() + "\n");
  }

  template <class Head>
  net::awaitable<void> echo_messages(const Head& upgrade) {
    websocket::stream<Stream&> peer(stream_);
    co_await peer.async_accept(upgrade, use_awaitable);
    for (;;) {
      deadline_.progress();
      boost::beast::flat_buffer message;
      const auto [error, n] = co_await peer.async_read(message, kTry);
      if (error) co_return;  // closed by the peer, as a rule
      peer.text(peer.got_text());
      co_await peer.async_write(message.data(), use_awaitable);
    }
  }

  Stream& stream_;
  const std::string& served_by_;
  Deadline& deadline_;
  boost::beast::flat_buffer buffer_{64 * 1024};  // the largest head of a request
};

// What the peer has still under way is let go by before the connection goes, or the close would be a reset that
// overtakes the last answer.
net::awaitable<void> end(socket& peer) {
  error_code error;
  peer.shutdown(socket::shutdown_send, error);
  std::array<char, 4096> rest;
  while (!error) std::tie(error, std::ignore) = co_await peer.async_read_some(net::buffer(rest), kTry);
}

}  // namespace

net::awaitable<void> serve_http(socket peer, std::string served_by) {
  using namespace net::experimental::awaitable_operators;
  Deadline deadline(kPatience);
  try {
    Session<socket> session(peer, served_by, deadline);
    co_await (session.run() || deadline.passed());
    co_await (end(peer) || deadline.passed());
  } catch (const std::exception&) {
    // The peer left, or did not speak HTTP: there is nobody to tell.
  }
}

net::awaitable<void> serve_https(socket peer, net::ssl::context& tls, std::string served_by) {
  using namespace net::experimental::awaitable_operators;
  Deadline deadline(kPatience);
  TlsStream stream(std::move(peer), tls);
  try {
    co_await (stream.async_handshake(net::ssl::stream_base::server, use_awaitable) || deadline.passed());
    Session<TlsStream> session(stream, served_by, deadline);
    co_await (session.run() || deadline.passed());
    co_await (stream.async_shutdown(use_awaitable) || deadline.passed());
  } catch (const std::exception&) {}
}

}  // namespace weir::examples
