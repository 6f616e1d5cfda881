// SPDX-License-Identifier: MIT
// The place of the cases of weir::asio over the engine: this process lives in the server host, weir is attached there
// and the service's port steered; peers are kernel sockets of the client host. One thread does both.
#pragma once

#include <cstdint>
#include <optional>

#include "asio_place.h"
#include "lab.h"

namespace weir::asio::testing {

class Veth final : public Place {
 public:
  static constexpr std::uint16_t kServicePort = 8080;
  static constexpr std::uint16_t kPeerPort = 9090;

  Veth();

  std::string why_not() const override { return why_not_; }
  bool by_engine() const override { return true; }
  runtime::EngineOptions engine_options() const override;
  KernelTcp::endpoint service(KernelTcp protocol) const override;
  KernelTcp::endpoint peer_service(KernelTcp protocol) const override;
  KernelTcp::socket peer_socket(net::io_context& context, KernelTcp protocol) const override;
  KernelTcp::acceptor peer_acceptor(net::io_context& context, const KernelTcp::endpoint& local) const override;

  const ::weir::testing::Host& server() const { return lab_->server; }

 private:
  void attach();

  std::string why_not_;
  std::optional<::weir::testing::Pair> lab_;
  std::optional<::weir::testing::Host::Inside> inside_;
};

// place(), by its own type.
Veth& veth();

}  // namespace weir::asio::testing
