// SPDX-License-Identifier: MIT
// The cases over loopback: an engine that is attached to nothing, so that every connection is the kernel's.
#include "asio_place.h"

namespace weir::asio::testing {

namespace {

class Loopback final : public Place {
 public:
  std::string why_not() const override { return {}; }
  bool by_engine() const override { return false; }
  runtime::EngineOptions engine_options() const override {
    runtime::EngineOptions options;
    options.interface = "lo";
    return options;
  }
  KernelTcp::endpoint service(KernelTcp protocol) const override {
    if (protocol == KernelTcp::v4()) return {net::ip::address_v4::loopback(), 0};
    return {net::ip::address_v6::loopback(), 0};
  }
  KernelTcp::endpoint peer_service(KernelTcp protocol) const override { return service(protocol); }
  KernelTcp::socket peer_socket(net::io_context& context, KernelTcp protocol) const override {
    return {context, protocol};
  }
  KernelTcp::acceptor peer_acceptor(net::io_context& context, const KernelTcp::endpoint& local) const override {
    return {context, local};
  }
};

}  // namespace

Place& place() {
  static Loopback loopback;
  return loopback;
}

}  // namespace weir::asio::testing
