// SPDX-License-Identifier: MIT
// weir-get: fetches pages, each by a connection that leaves through weir's engine where the route does, and by a kernel
// socket otherwise. The body goes to standard output, who carried it to standard error.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <iostream>
#include <regex>
#include <vector>

#include "weir/asio/tcp.h"

namespace net = boost::asio;
namespace http = boost::beast::http;
namespace tcp = weir::asio::tcp;

namespace {

struct Url {
  std::string host, port, target;
};

Url parse(const std::string& text) {
  static const std::regex shape(R"(http://(?:\[([^\]]+)\]|([^/:\[\]]+))(?::([0-9]+))?(/.*)?)");
  std::smatch part;
  if (!std::regex_match(text, part, shape))
    throw CLI::ValidationError("URL", "'" + text + "' is not http://HOST[:PORT][/PATH]");
  return {part[1].matched ? part[1] : part[2], part[3].matched ? part[3].str() : "80",
          part[4].matched ? part[4].str() : "/"};
}

net::awaitable<tcp::socket> connect(weir::asio::engine& engine, const Url& url, bool fast_open) {
  net::ip::tcp::resolver resolver(engine.get_executor());
  const auto found = co_await resolver.async_resolve(url.host, url.port, net::use_awaitable);
  boost::system::error_code last;
  for (const auto& entry : found) {
    tcp::socket peer(engine);
    peer.set_option(tcp::fast_open_connect(fast_open));
    std::tie(last) = co_await peer.async_connect(entry.endpoint(), net::experimental::as_tuple(net::use_awaitable));
    if (!last) co_return peer;
  }
  throw boost::system::system_error(last, "connect");
}

// The HTTP status.
net::awaitable<unsigned> fetch(weir::asio::engine& engine, Url url, bool fast_open) {
  auto peer = co_await connect(engine, url, fast_open);
  boost::system::error_code not_yet;  // of a kernel socket whose SYN waits for the request
  std::cerr << "weir-get: " << peer.local_endpoint() << " to " << peer.remote_endpoint(not_yet)
            << (peer.by_engine() ? " through weir's engine\n" : " by the kernel\n");
  http::request<http::empty_body> request(http::verb::get, url.target, 11);
  request.set(http::field::host, url.host);
  request.set(http::field::user_agent, "weir-get");
  request.keep_alive(false);
  co_await http::async_write(peer, request, net::use_awaitable);

  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> answer;
  answer.body_limit(boost::none);
  co_await http::async_read_header(peer, buffer, answer, net::use_awaitable);
  std::array<char, 64 * 1024> block;
  while (!answer.is_done()) {
    answer.get().body().data = block.data();
    answer.get().body().size = block.size();
    const auto [error, n] =
        co_await http::async_read(peer, buffer, answer, net::experimental::as_tuple(net::use_awaitable));
    if (error && error != http::error::need_buffer) throw boost::system::system_error(error, "read");
    std::cout.write(block.data(), static_cast<std::streamsize>(block.size() - answer.get().body().size));
  }
  std::cout.flush();
  if (const auto info = peer.info(); info && info->syn_data) std::cerr << "weir-get: the request went with the SYN\n";
  co_return answer.get().result_int();
}

// The worst HTTP status.
net::awaitable<unsigned> fetch_all(weir::asio::engine& engine, const std::vector<Url>& urls, bool fast_open) {
  unsigned worst = 0;
  for (const Url& url : urls) worst = std::max(worst, co_await fetch(engine, url, fast_open));
  co_return worst;
}

}  // namespace

int main(int argc, char** argv) try {
  weir::runtime::EngineOptions options;
  std::vector<std::string> texts;
  std::vector<Url> urls;
  bool fast_open = false;
  CLI::App app("Fetches pages, one after the other, through weir's engine where the route leaves by its interface",
               "weir-get");
  app.add_option("URL", texts, "http://HOST[:PORT][/PATH]")->required();
  app.add_flag("--fast-open", fast_open, "send the request with the SYN where the server's cookie is known");
  app.add_option("--interface", options.interface, "whose engine to be; the one that weir is attached to if not given");
  try {
    app.parse(argc, argv);
    for (const auto& text : texts) urls.push_back(parse(text));
  } catch (const CLI::ParseError& error) { return app.exit(error) == 0 ? 0 : 2; }

  net::io_context context(1);
  weir::asio::engine engine(context, options);
  unsigned status = 0;
  std::exception_ptr failure;
  net::co_spawn(context, fetch_all(engine, urls, fast_open), [&](std::exception_ptr thrown, unsigned result) {
    failure = thrown;
    status = result;
  });
  context.run();
  if (failure) std::rethrow_exception(failure);
  if (status >= 400) throw std::runtime_error("the server answered " + std::to_string(status));
} catch (const std::exception& error) {
  std::cerr << "weir-get: " << error.what() << '\n';
  return 1;
}
