// SPDX-License-Identifier: MIT
#include "weir/asio/socket.h"

#include <netinet/in.h>

#include <boost/system/system_error.hpp>
#include <cstring>
#include <utility>

#include "weir/asio/error.h"

namespace weir::asio::tcp {

namespace {

void throw_if(const error_code& error, const char* what) {
  if (error) throw boost::system::system_error(error, what);
}

// A kernel's dual-stack listener reports IPv4 peers as ::ffff:a.b.c.d: they are IPv4 here, as from the engine.
socket::endpoint_type plain(const socket::endpoint_type& endpoint) {
  const auto address = endpoint.address();
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return endpoint;
  return from_endpoint(to_endpoint(endpoint));
}

}  // namespace

socket::socket(engine& owner) : core_(owner.core()), executor_(core_->executor()) {}

socket::socket(std::shared_ptr<detail::Core> core, detail::Accepted accepted)
    : core_(std::move(core)), executor_(core_->executor()) {
  if (accepted.engine) {
    backing_ = std::move(accepted.engine);
  } else if (accepted.kernel) {
    backing_ = std::move(*accepted.kernel);
  }
}

socket::socket(socket&& other) noexcept
    : core_(other.core_),
      executor_(other.executor_),
      backing_(std::exchange(other.backing_, std::monostate())),
      fast_open_connect_(std::exchange(other.fast_open_connect_, false)) {}

socket& socket::operator=(socket&& other) noexcept {
  if (this == &other) return *this;
  core_ = other.core_;
  executor_ = other.executor_;
  backing_ = std::exchange(other.backing_, std::monostate());
  fast_open_connect_ = std::exchange(other.fast_open_connect_, false);
  return *this;
}

socket::~socket() = default;

detail::Connection* socket::connection() const {
  const auto* by_engine = std::get_if<ByEngine>(&backing_);
  return by_engine != nullptr ? by_engine->get() : nullptr;
}

socket::ByKernel* socket::kernel() { return std::get_if<ByKernel>(&backing_); }
const socket::ByKernel* socket::kernel() const { return std::get_if<ByKernel>(&backing_); }

bool socket::is_open() const { return connection() != nullptr || (kernel() != nullptr && kernel()->is_open()); }

bool socket::by_engine() const { return connection() != nullptr; }

std::optional<::weir::tcp::Info> socket::info() const {
  return connection() != nullptr ? connection()->info() : std::nullopt;
}

error_code socket::open_towards(const endpoint_type& peer) {
  error_code error;
  if (connection() != nullptr && connection()->connected()) return net::error::already_connected;
  if (kernel() != nullptr && (kernel()->remote_endpoint(error), !error)) return net::error::already_connected;
  backing_ = std::monostate();
  auto* engine = core_->engine();
  if (engine == nullptr) return net::error::bad_descriptor;
  const auto remote = to_endpoint(peer);
  using ::weir::stack::Opening;
  const auto plan = engine->connect({}, remote, fast_open_connect_ ? Opening::fast : Opening::handshake);
  if (!plan) return to_error_code(plan.error());
  if (plan->connection) {
    backing_ = std::make_unique<detail::Connection>(core_, *plan->connection);
    return {};
  }
  ByKernel kernel(executor_);
  kernel.open(peer.protocol(), error);
  if (error) return error;
  error_code without;  // net.ipv4.tcp_fastopen may not allow it
  if (fast_open_connect_) kernel.set_option(fast_open_connect(true), without);
  backing_ = std::move(kernel);
  return {};
}

bool socket::put_own_option(int level, int name, const void* value, std::size_t size, error_code& error) {
  if (level != IPPROTO_TCP || name != TCP_FASTOPEN_CONNECT) return false;
  int on = 0;
  error = size < sizeof on || (connection() != nullptr && connection()->connected())
              ? error_code(net::error::invalid_argument)
              : error_code();
  if (error) return true;
  std::memcpy(&on, value, sizeof on);
  fast_open_connect_ = on != 0;
  return true;
}

bool socket::get_own_option(int level, int name, void* value, std::size_t& size, error_code& error) const {
  if (level != IPPROTO_TCP || name != TCP_FASTOPEN_CONNECT) return false;
  const int on = fast_open_connect_ ? 1 : 0;
  error = size < sizeof on ? error_code(net::error::invalid_argument) : error_code();
  if (error) return true;
  std::memcpy(value, &on, sizeof on);
  size = sizeof on;
  return true;
}

void socket::close(error_code& error) {
  error = {};
  if (auto* kernel = this->kernel()) kernel->close(error);
  backing_ = std::monostate();
}

void socket::close() {
  error_code error;
  close(error);
  throw_if(error, "close");
}

void socket::cancel(error_code& error) {
  error = {};
  if (auto* kernel = this->kernel()) {
    kernel->cancel(error);
  } else if (connection() != nullptr) {
    connection()->cancel();
  } else {
    error = net::error::bad_descriptor;
  }
}

void socket::cancel() {
  error_code error;
  cancel(error);
  throw_if(error, "cancel");
}

void socket::shutdown(shutdown_type what, error_code& error) {
  if (auto* kernel = this->kernel()) {
    kernel->shutdown(what, error);
  } else {
    error = connection() != nullptr ? connection()->shutdown(what) : error_code(net::error::bad_descriptor);
  }
}

void socket::shutdown(shutdown_type what) {
  error_code error;
  shutdown(what, error);
  throw_if(error, "shutdown");
}

socket::endpoint_type socket::local_endpoint(error_code& error) const {
  error = {};
  if (const auto* kernel = this->kernel()) return plain(kernel->local_endpoint(error));
  if (connection() != nullptr) return from_endpoint(connection()->local());
  error = net::error::bad_descriptor;
  return {};
}

socket::endpoint_type socket::local_endpoint() const {
  error_code error;
  auto endpoint = local_endpoint(error);
  throw_if(error, "local_endpoint");
  return endpoint;
}

socket::endpoint_type socket::remote_endpoint(error_code& error) const {
  error = {};
  if (const auto* kernel = this->kernel()) return plain(kernel->remote_endpoint(error));
  if (connection() != nullptr) return from_endpoint(connection()->remote());
  error = net::error::bad_descriptor;
  return {};
}

socket::endpoint_type socket::remote_endpoint() const {
  error_code error;
  auto endpoint = remote_endpoint(error);
  throw_if(error, "remote_endpoint");
  return endpoint;
}

std::size_t socket::available(error_code& error) const {
  error = {};
  if (const auto* kernel = this->kernel()) return kernel->available(error);
  if (connection() != nullptr) return connection()->readable_bytes();
  error = net::error::bad_descriptor;
  return 0;
}

std::size_t socket::available() const {
  error_code error;
  const auto bytes = available(error);
  throw_if(error, "available");
  return bytes;
}

}  // namespace weir::asio::tcp
