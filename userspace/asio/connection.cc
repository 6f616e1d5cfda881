// SPDX-License-Identifier: MIT
#include "weir/asio/connection.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "weir/asio/error.h"
#include "weir/asio/option.h"
#include "weir/tcp/readiness.h"

namespace weir::asio::detail {

using runtime::Engine;

Connection::Connection(std::shared_ptr<Core> core, stack::ConnectionId id) : core_(std::move(core)), id_(id) {
  local_ = stack()->local_endpoint(id_);
  remote_ = stack()->remote_endpoint(id_);
  core_->add(*this);
}

Connection::~Connection() {
  cancel();
  auto* stack = this->stack();
  core_->remove(*this);
  if (stack == nullptr) return;
  stack->close(id_, Engine::now());
  core_->linger(id_);
  core_->touch();
}

std::size_t Connection::read(Bytes to) {
  auto* stack = this->stack();
  if (stack == nullptr || reading_shut_) return 0;
  const auto bytes = stack->read(id_, to, Engine::now());
  if (bytes != 0) core_->touch();  // the window may have opened far enough to say so
  return bytes;
}

std::size_t Connection::write(ConstBytes text) {
  auto* stack = this->stack();
  if (stack == nullptr || writing_shut_) return 0;
  const auto bytes = stack->write(id_, text, Engine::now());
  if (bytes != 0) core_->touch();
  return bytes;
}

std::optional<Transfer> Connection::end_of_reading() const {
  if (gone_) return Transfer{gone_};
  if (reading_shut_) return Transfer{net::error::eof};
  const auto* stack = this->stack();
  if (stack == nullptr) return Transfer{net::error::connection_aborted};
  if (stack->at_end(id_)) return Transfer{net::error::eof};
  const auto why = stack->error(id_);
  if (why != ::weir::tcp::Errc::none) return Transfer{to_error_code(why)};
  return std::nullopt;
}

std::optional<Transfer> Connection::end_of_writing() const {
  if (gone_) return Transfer{gone_};
  if (writing_shut_) return Transfer{net::error::broken_pipe};
  const auto* stack = this->stack();
  if (stack == nullptr) return Transfer{net::error::connection_aborted};
  const auto why = stack->error(id_);
  if (why != ::weir::tcp::Errc::none) return Transfer{to_error_code(why)};
  return std::nullopt;
}

std::optional<error_code> Connection::try_connect() const {
  if (gone_) return gone_;
  const auto* stack = this->stack();
  if (stack == nullptr) return error_code(net::error::connection_aborted);
  const auto why = stack->error(id_);
  if (why != ::weir::tcp::Errc::none) return to_error_code(why);
  if ((stack->readiness(id_) & ::weir::tcp::kConnected) != 0) return error_code();
  return std::nullopt;
}

std::size_t Connection::readable_bytes() const {
  const auto* stack = this->stack();
  return stack == nullptr || reading_shut_ ? 0 : stack->readable_bytes(id_);
}

bool Connection::readable() const { return readable_bytes() != 0 || end_of_reading(); }

bool Connection::writable() const {
  if (end_of_writing()) return true;
  return (stack()->readiness(id_) & ::weir::tcp::kWritable) != 0;
}

bool Connection::failed() const {
  const auto* stack = this->stack();
  return stack == nullptr || stack->error(id_) != ::weir::tcp::Errc::none;
}

bool Connection::connected() const {
  const auto done = try_connect();
  return done && !*done;
}

void Connection::cancel() {
  fail_all(readers_, net::error::operation_aborted);
  fail_all(writers_, net::error::operation_aborted);
}

error_code Connection::shutdown(net::socket_base::shutdown_type what) {
  auto* stack = this->stack();
  if (stack == nullptr || failed()) return net::error::not_connected;
  const auto now = Engine::now();
  if (what != net::socket_base::shutdown_send && !std::exchange(reading_shut_, true)) {
    stack->shutdown_read(id_, now);
    attempt_all(readers_);
  }
  if (what != net::socket_base::shutdown_receive && !std::exchange(writing_shut_, true)) {
    stack->shutdown_write(id_, now);
    attempt_all(writers_);
  }
  core_->touch();
  return {};
}

namespace {

// As setsockopt(TCP_CONGESTION) answers.
error_code to_error(::weir::tcp::CongestionChange change) {
  using enum ::weir::tcp::CongestionChange;
  switch (change) {
    case done:
      return {};
    case no_such_connection:
      return net::error::not_connected;
    case no_such_controller:
      return {ENOENT, boost::system::system_category()};
    case needs_ecn:
      return net::error::operation_not_supported;
  }
  return net::error::invalid_argument;
}

}  // namespace

error_code Connection::set_option(int level, int name, const void* value, std::size_t size) {
  auto* stack = this->stack();
  if (stack == nullptr) return net::error::not_connected;
  if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
    const std::string_view text(static_cast<const char*>(value), size);
    return to_error(stack->set_congestion_control(id_, text.substr(0, text.find('\0')), Engine::now()));
  }
  auto options = stack->options(id_);
  if (auto error = put_option(level, name, value, size, options)) return error;
  if (!stack->set_options(id_, options, Engine::now())) return net::error::invalid_argument;
  core_->touch();  // Nagle's algorithm or a cork may have been holding text back
  return {};
}

error_code Connection::get_option(int level, int name, void* value, std::size_t& size) const {
  auto* stack = this->stack();
  if (stack == nullptr) return net::error::not_connected;
  if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
    const auto controller = stack->info(id_, Engine::now()).congestion;
    size = std::min(size, controller.size());
    std::memcpy(value, controller.data(), size);
    return {};
  }
  return detail::get_option(level, name, value, size, stack->options(id_));
}

std::optional<::weir::tcp::Info> Connection::info() const {
  const auto* stack = this->stack();
  if (stack == nullptr) return std::nullopt;
  return stack->info(id_, Engine::now());
}

void Connection::on_ready(std::uint8_t readiness) {
  using namespace ::weir::tcp;
  if ((readiness & (kReadable | kFailed)) != 0) attempt_all(readers_);
  if ((readiness & (kWritable | kConnected | kFailed)) != 0) attempt_all(writers_);
}

void Connection::on_gone(error_code why) {
  gone_ = why;
  fail_all(readers_, why);
  fail_all(writers_, why);
}

}  // namespace weir::asio::detail
