// SPDX-License-Identifier: MIT
#include "asio_veth.h"

#include <stdexcept>

#include "weir/control/instance.h"
#include "weir/control/lock.h"
#include "weir/control/steer.h"

namespace weir::asio::testing {

Veth& veth() {
  static Veth one;
  return one;
}

Place& place() { return veth(); }

Veth::Veth() : why_not_(::weir::testing::why_no_lab()) {
  if (!why_not_.empty()) return;
  lab_.emplace();
  inside_.emplace(lab_->server);
  attach();
}

void Veth::attach() {
  control::AttachOptions how;
  how.interface = "veth0";
  if (const auto attached = control::attach(how); !attached) throw std::runtime_error(attached.error().message);
  const auto instance = control::Instance::open("veth0");
  if (!instance) throw std::runtime_error(instance.error().message);
  const auto lock = control::Lock::acquire();
  if (!lock) throw std::runtime_error(lock.error().message);
  const auto steered = control::steer_add(instance->maps(), {control::Protocol::tcp, kServicePort},
                                          control::Absent::pass, control::Purpose::serve, runtime::Engine::now());
  if (!steered) throw std::runtime_error(steered.error().message);
}

runtime::EngineOptions Veth::engine_options() const {
  runtime::EngineOptions options;
  options.interface = "veth0";
  return options;
}

KernelTcp::endpoint Veth::service(KernelTcp protocol) const {
  return {net::ip::make_address(protocol == KernelTcp::v4() ? "10.77.0.1" : "fd77::1"), kServicePort};
}

KernelTcp::endpoint Veth::peer_service(KernelTcp protocol) const {
  return {net::ip::make_address(protocol == KernelTcp::v4() ? "10.77.0.2" : "fd77::2"), kPeerPort};
}

// A socket belongs to the namespace it was made in, wherever it is used.
KernelTcp::socket Veth::peer_socket(net::io_context& context, KernelTcp protocol) const {
  const auto there = lab_->client.inside();
  return {context, protocol};
}

KernelTcp::acceptor Veth::peer_acceptor(net::io_context& context, const KernelTcp::endpoint& local) const {
  const auto there = lab_->client.inside();
  return {context, local};
}

}  // namespace weir::asio::testing
