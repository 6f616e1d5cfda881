// SPDX-License-Identifier: MIT
#include "weir/asio/acceptor.h"

#include <boost/system/system_error.hpp>
#include <utility>

#include "weir/asio/error.h"

namespace weir::asio::tcp {

acceptor::acceptor(engine& owner) : core_(owner.core()), executor_(core_->executor()) {}

acceptor::acceptor(engine& owner, const endpoint_type& local, const options& how) : acceptor(owner) {
  listener_ = detail::Listener::open(core_, to_endpoint(local), how);
}

acceptor& acceptor::operator=(acceptor&& other) noexcept {
  if (this == &other) return *this;
  close();
  core_ = other.core_;
  executor_ = other.executor_;
  listener_ = std::move(other.listener_);
  return *this;
}

acceptor::~acceptor() { close(); }

void acceptor::close() {
  if (listener_) std::exchange(listener_, nullptr)->close();
}

void acceptor::close(error_code& error) {
  error = {};
  close();
}

void acceptor::cancel() {
  if (listener_) listener_->cancel();
}

void acceptor::cancel(error_code& error) {
  error = is_open() ? error_code() : error_code(net::error::bad_descriptor);
  cancel();
}

acceptor::endpoint_type acceptor::local_endpoint(error_code& error) const {
  error = is_open() ? error_code() : error_code(net::error::bad_descriptor);
  return error ? endpoint_type() : from_endpoint(listener_->local());
}

acceptor::endpoint_type acceptor::local_endpoint() const {
  error_code error;
  auto endpoint = local_endpoint(error);
  if (error) throw boost::system::system_error(error, "local_endpoint");
  return endpoint;
}

}  // namespace weir::asio::tcp
