// SPDX-License-Identifier: MIT
// A listening port, in the engine and in the kernel at once: whoever gets a connection first, the acceptor hands it
// out. The kernel's socket keeps the port, shows it in `ss`, and serves the same host and the time without an engine.
//
// Thread safety: as its engine, one thread at a time.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/system/system_error.hpp>
#include <memory>

#include "weir/asio/engine.h"
#include "weir/asio/listener.h"
#include "weir/asio/socket.h"

namespace weir::asio::tcp {

class acceptor {
 public:
  using executor_type = detail::Executor;
  using protocol_type = net::ip::tcp;
  using endpoint_type = net::ip::tcp::endpoint;
  using options = runtime::ListenOptions;

  // Not open.
  explicit acceptor(engine& owner);
  // Binds and listens. [::] serves both families unless `ipv6_only`; port 0 lets the kernel choose. Throws
  // boost::system::system_error with the kernel's error (address_in_use, access_denied, ...).
  acceptor(engine& owner, const endpoint_type& local, const options& how = {});
  // Operations that wait go with the listener.
  acceptor(acceptor&&) noexcept = default;
  acceptor& operator=(acceptor&& other) noexcept;
  // As close().
  ~acceptor();

  executor_type get_executor() const noexcept { return executor_; }
  bool is_open() const { return listener_ && listener_->is_open(); }
  // With the port that the kernel chose, where it was 0.
  endpoint_type local_endpoint() const;
  endpoint_type local_endpoint(error_code& error) const;

  // fast_open alone (option.h), of the engine's listener and of the kernel's; no_protocol_option for others. Later
  // connections have it.
  template <class Option>
  void set_option(const Option& option, error_code& error) {
    const auto protocol = net::ip::tcp::v4();
    error = is_open() ? listener_->set_option(option.level(protocol), option.name(protocol), option.data(protocol),
                                              option.size(protocol))
                      : error_code(net::error::bad_descriptor);
  }
  template <class Option>
  void set_option(const Option& option) {
    error_code error;
    set_option(option, error);
    if (error) throw boost::system::system_error(error, "set_option");
  }
  template <class Option>
  void get_option(Option& option, error_code& error) const {
    const auto protocol = net::ip::tcp::v4();
    std::size_t size = option.size(protocol);
    error = is_open()
                ? listener_->get_option(option.level(protocol), option.name(protocol), option.data(protocol), size)
                : error_code(net::error::bad_descriptor);
    if (!error) option.resize(protocol, size);
  }
  template <class Option>
  void get_option(Option& option) const {
    error_code error;
    get_option(option, error);
    if (error) throw boost::system::system_error(error, "get_option");
  }

  // Ends what waits with operation_aborted. The port is free again, and what nobody accepted is reset.
  void close();
  void close(error_code& error);
  // Ends what waits with operation_aborted.
  void cancel();
  void cancel(error_code& error);

  // Completes with void(error_code, socket), the socket open where there is no error. Any number may wait; they are
  // served in their order. no_descriptors (EMFILE) and the like are reported, and the connection stays queued: wait a
  // little before the next call.
  template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, socket)) Token>
  auto async_accept(Token&& token) {
    return net::async_initiate<Token, void(error_code, socket)>(Initiate{this}, token);
  }

 private:
  struct Initiate {
    using executor_type = acceptor::executor_type;
    acceptor* self;
    executor_type get_executor() const noexcept { return self->executor_; }

    template <class Handler>
    void operator()(Handler&& handler) const {
      auto* listener = self->listener_.get();
      std::optional<detail::Accepted> done;
      if (!self->is_open()) {
        done.emplace(detail::Accepted{net::error::bad_descriptor, nullptr, std::nullopt});
      } else if (!listener->acceptors_wait()) {
        done = listener->try_accept();
      }
      if (done) {
        const auto error = done->error;
        detail::defer_completion(self->executor_, std::move(handler), error, socket(self->core_, std::move(*done)));
        return;
      }
      using Operation = detail::AcceptOperation<std::decay_t<Handler>, socket>;
      listener->wait_to_accept(Operation::create(std::move(handler), self->executor_, *listener));
    }
  };

  std::shared_ptr<detail::Core> core_;
  executor_type executor_;
  std::shared_ptr<detail::Listener> listener_;
};

}  // namespace weir::asio::tcp
