// SPDX-License-Identifier: MIT
// Beast and TLS over tcp::socket, unchanged, with a kernel socket's Beast and TLS as the peer. See asio_place.h.
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include "asio_place.h"
#include "certificate.h"
#include "weir/asio/websocket.h"

namespace weir::asio::testing {

using namespace net::experimental::awaitable_operators;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
namespace ssl = net::ssl;

static_assert(boost::beast::is_async_stream<tcp::socket>::value);

namespace {

// Answers with what was sent, until the client has had enough.
template <class Stream>
net::awaitable<int> echo_bodies(Stream& stream) {
  boost::beast::flat_buffer buffer;
  for (int served = 0;; ++served) {
    http::request_parser<http::string_body> request;
    request.body_limit(64 << 20);
    const auto [error, n] = co_await http::async_read(stream, buffer, request, kTry);
    if (error == http::error::end_of_stream) co_return served;
    if (error) throw boost::system::system_error(error);
    http::response<http::string_body> response(http::status::ok, request.get().version());
    response.keep_alive(request.get().keep_alive());
    response.body() = request.get().method() == http::verb::post ? request.get().body() : "hello";
    response.prepare_payload();
    co_await http::async_write(stream, response, kAwait);
    if (!request.get().keep_alive()) co_return served + 1;
  }
}

// Gets, posts a large and a chunked body, and gets again, all on one connection.
template <class Stream>
net::awaitable<void> ask(Stream& stream) {
  boost::beast::flat_buffer buffer;
  const auto large = pattern(2 << 20);
  for (int i = 0; i < 4; ++i) {
    http::request<http::string_body> request(i % 2 == 0 ? http::verb::get : http::verb::post, "/", 11);
    request.set(http::field::host, "test");
    request.keep_alive(i < 3);
    if (i % 2 == 1) request.body() = large;
    request.prepare_payload();
    if (i == 3) request.chunked(true);
    co_await http::async_write(stream, request, kAwait);
    http::response_parser<http::string_body> response;
    response.body_limit(64 << 20);
    co_await http::async_read(stream, buffer, response, kAwait);
    EXPECT_TRUE(response.get().body() == (i % 2 == 0 ? "hello" : large)) << "request " << i;
  }
}

void trust(ssl::context& client, ssl::context& server) {
  X509_STORE_add_cert(SSL_CTX_get_cert_store(client.native_handle()), SSL_CTX_get0_certificate(server.native_handle()));
  client.set_verify_mode(ssl::verify_peer);
}

}  // namespace

class AsioBeast : public AsioTest {};

TEST_F(AsioBeast, HttpKeepsItsConnection) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    const auto served = co_await (echo_bodies(ours) && ask(theirs));
    EXPECT_EQ(served, 4);
  });
}

TEST_F(AsioBeast, HttpWhereWeAreTheClient) {
  play([&]() -> net::awaitable<void> {
    auto listener = place().peer_acceptor(context_, place().peer_service(KernelTcp::v4()));
    tcp::socket ours(*engine_);
    co_await ours.async_connect(listener.local_endpoint(), kAwait);
    auto theirs = co_await listener.async_accept(kAwait);
    const auto served = co_await (echo_bodies(theirs) && ask(ours));
    EXPECT_EQ(served, 4);
  });
}

TEST_F(AsioBeast, WebSocketEchoesAndClosesInOrder) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    websocket::stream<tcp::socket> server(std::move(ours));
    websocket::stream<KernelTcp::socket> client(std::move(theirs));
    server.set_option(websocket::stream_base::timeout::suggested(boost::beast::role_type::server));
    const auto echo = [&]() -> net::awaitable<void> {
      co_await server.async_accept(kAwait);
      for (;;) {
        boost::beast::flat_buffer message;
        const auto [error, n] = co_await server.async_read(message, kTry);
        if (error) {
          EXPECT_EQ(error, websocket::error::closed);
          co_return;
        }
        server.binary(server.got_binary());
        co_await server.async_write(message.data(), kAwait);
      }
    };
    const auto talk = [&]() -> net::awaitable<void> {
      co_await client.async_handshake("test", "/ws", kAwait);
      client.binary(true);
      for (const std::size_t size : {0u, 1u, 125u, 70'000u, 1'000'000u}) {
        const auto text = pattern(size);
        boost::beast::flat_buffer answer;
        co_await (client.async_write(net::buffer(text), kAwait) && client.async_read(answer, kAwait));
        EXPECT_TRUE(boost::beast::buffers_to_string(answer.data()) == text) << size << " bytes";
      }
      co_await client.async_close(websocket::close_code::normal, kAwait);
    };
    co_await (echo() && talk());
    EXPECT_FALSE(server.next_layer().is_open());
  });
}

TEST_F(AsioBeast, WebSocketGivesASilentPeerUp) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    websocket::stream<tcp::socket> server(std::move(ours));
    websocket::stream_base::timeout limits{};
    limits.handshake_timeout = std::chrono::milliseconds(50);
    limits.idle_timeout = websocket::stream_base::none();
    server.set_option(limits);
    const auto [error] = co_await server.async_accept(kTry);
    EXPECT_EQ(error, boost::beast::error::timeout);
    EXPECT_FALSE(server.next_layer().is_open());
  });
}

TEST_F(AsioBeast, TlsCarriesHttpAndEndsInOrder) {
  ssl::context server_tls(ssl::context::tls_server), client_tls(ssl::context::tls_client);
  examples::use_self_signed(server_tls, "weir-test");
  trust(client_tls, server_tls);
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    ssl::stream<tcp::socket> server(std::move(ours), server_tls);
    ssl::stream<KernelTcp::socket> client(std::move(theirs), client_tls);
    co_await (server.async_handshake(ssl::stream_base::server, kAwait) &&
              client.async_handshake(ssl::stream_base::client, kAwait));
    const auto served = co_await (echo_bodies(server) && ask(client));
    EXPECT_EQ(served, 4);
    const auto ask_for_the_end = [&]() -> net::awaitable<void> {
      char c = 0;
      const auto [error, n] = co_await net::async_read(client, net::buffer(&c, 1), kTry);
      EXPECT_EQ(error, net::error::eof);
      co_await client.async_shutdown(kAwait);
    };
    co_await (server.async_shutdown(kAwait) && ask_for_the_end());
  });
}

}  // namespace weir::asio::testing
