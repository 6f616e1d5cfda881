// SPDX-License-Identifier: MIT
// weir-http: an HTTP and HTTPS server through weir's engine, with Boost.Beast. It is what the tests and the demo fetch
// from, and a model of a server that accepts, serves, and ends in order.
#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iostream>
#include <list>
#include <optional>
#include <sstream>
#include <string>

#include "certificate.h"
#include "http_options.h"
#include "http_session.h"

namespace net = boost::asio;
namespace tcp = weir::asio::tcp;
using weir::examples::HttpOptions;

namespace {

class Server {
 public:
  Server(net::io_context& context, const HttpOptions& options)
      : engine_(context, engine_options(options)),
        acceptor_(engine_, {net::ip::make_address(options.address), options.port}, {.fast_open = options.fast_open}),
        congestion_(options.congestion) {
    if (!options.tls) return;
    tls_.emplace(net::ssl::context::tls_server);
    if (options.certificate.empty()) {
      weir::examples::use_self_signed(*tls_, "weir-http");
    } else {
      weir::examples::use_files(*tls_, options.certificate, options.key);
    }
  }

  std::string says() const {
    std::ostringstream line;
    line << "weir-http: listening on " << (tls_ ? "https://" : "http://") << acceptor_.local_endpoint() << ", ";
    // Why it is the kernel alone, the engine has said itself.
    line << (engine_.attached() ? "by weir's engine on " + engine_.interface() : "by the kernel");
    return line.str();
  }

  net::awaitable<void> accept() {
    while (acceptor_.is_open()) {
      auto [error, peer] = co_await acceptor_.async_accept(net::experimental::as_tuple(net::use_awaitable));
      if (!error) {
        start(std::move(peer));
      } else if (acceptor_.is_open()) {
        // Out of descriptors or memory: some session will end and give them back.
        net::steady_timer pause(acceptor_.get_executor(), std::chrono::milliseconds(100));
        co_await pause.async_wait(net::use_awaitable);
      }
    }
  }

  // No new connections, and the sessions end where they stand.
  void stop() {
    acceptor_.close();
    for (auto& session : sessions_) session.emit(net::cancellation_type::terminal);
  }

 private:
  static weir::runtime::EngineOptions engine_options(const HttpOptions& options) {
    weir::runtime::EngineOptions engine;
    engine.interface = options.interface;
    engine.tcp.options.no_delay = true;
    return engine;
  }

  void start(tcp::socket peer) {
    boost::system::error_code error;
    std::ostringstream line;
    line << "This page was served " << (peer.by_engine() ? "by weir's engine" : "by the kernel") << " to "
         << peer.remote_endpoint(error) << ".\n";
    // The same option for both: the engine's controllers and the kernel's have their own names.
    if (!congestion_.empty()) peer.set_option(tcp::congestion(congestion_), error);
    if (error) std::cerr << "weir-http: --congestion " << congestion_ << ": " << error.message() << std::endl;
    const auto session = sessions_.emplace(sessions_.end());
    auto conversation = tls_ ? weir::examples::serve_https(std::move(peer), *tls_, line.str())
                             : weir::examples::serve_http(std::move(peer), line.str());
    net::co_spawn(acceptor_.get_executor(), std::move(conversation),
                  net::bind_cancellation_slot(session->slot(),
                                              [this, session](std::exception_ptr) { sessions_.erase(session); }));
  }

  weir::asio::engine engine_;
  tcp::acceptor acceptor_;
  std::string congestion_;
  std::optional<net::ssl::context> tls_;
  std::list<net::cancellation_signal> sessions_;  // one each, to end it by
};

}  // namespace

int main(int argc, char** argv) try {
  const auto parsed = weir::examples::parse_command_line(argc, argv);
  if (const auto* status = std::get_if<int>(&parsed)) return *status;

  net::io_context context(1);
  Server server(context, std::get<HttpOptions>(parsed));
  std::cout << server.says() << std::endl;
  net::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](auto, int) { server.stop(); });
  net::co_spawn(context, server.accept(), net::detached);
  context.run();  // until the sessions have ended, and what they wrote has reached their peers
} catch (const std::exception& error) {
  std::cerr << "weir-http: " << error.what() << '\n';
  return 1;
}
