// SPDX-License-Identifier: MIT
#include "http_options.h"

#include <CLI/CLI.hpp>
#include <boost/asio/ip/address.hpp>

namespace weir::examples {

std::variant<HttpOptions, int> parse_command_line(int argc, const char* const* argv) {
  HttpOptions options;
  CLI::App app(
      "An HTTP server through weir's engine where it is attached, and through the kernel where it is not.\n"
      "/ says who served it, /bytes/N sends N bytes, PUT or POST /upload answers with the SHA-256 of the body,\n"
      "/ws echoes WebSocket messages, /healthz says ok.",
      "weir-http");
  app.add_option("--port", options.port, "where to listen")->capture_default_str();
  app.add_option("--address", options.address, "where to listen")
      ->capture_default_str()
      ->check([](const std::string& text) {
        boost::system::error_code error;
        boost::asio::ip::make_address(text, error);
        return error ? "'" + text + "' is not an IP address" : std::string();
      });
  app.add_option("--interface", options.interface, "whose engine to be; the one that weir is attached to if not given");
  app.add_option("--congestion", options.congestion, "the congestion controller of its connections, as TCP_CONGESTION");
  app.add_option("--fast-open", options.fast_open,
                 "connections that may begin by text in the SYN, before their handshake is over, as TCP_FASTOPEN")
      ->check(CLI::NonNegativeNumber);
  auto* tls =
      app.add_flag("--tls", options.tls, "HTTPS, with a certificate that is signed with itself if none is given");
  auto* certificate = app.add_option("--cert", options.certificate, "its certificate chain, PEM")->needs(tls);
  auto* key = app.add_option("--key", options.key, "its private key, PEM")->needs(tls)->needs(certificate);
  certificate->needs(key);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) { return app.exit(error) == 0 ? 0 : 2; }
  return options;
}

}  // namespace weir::examples
