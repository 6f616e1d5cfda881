// SPDX-License-Identifier: MIT
#include "weir/asio/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "weir/asio/error.h"

namespace weir::asio::detail {

std::shared_ptr<Listener> Listener::open(std::shared_ptr<Core> core, const Endpoint& local,
                                         const runtime::ListenOptions& options) {
  if (core->engine() == nullptr) throw boost::system::system_error(net::error::bad_descriptor, "the engine is gone");
  const auto id = core->engine()->listen(local, options);
  if (!id) throw boost::system::system_error(to_error_code(id.error()), id.error().message);
  auto listener = std::make_shared<Listener>(core, *id);
  core->add(*listener);
  // Peers are answered from now on, whether or not anybody accepts yet: as by a kernel's listener. Posted, for the pump
  // is only started from within a handler.
  net::post(core->context(), [core] { core->start(); });
  return listener;
}

Listener::Listener(std::shared_ptr<Core> core, runtime::HybridListenerId id)
    : core_(std::move(core)),
      id_(id),
      local_(core_->engine()->local_endpoint(id_)),
      kernel_(core_->executor(), core_->engine()->kernel_descriptor(id_)) {}

Listener::~Listener() { close(); }

void Listener::close() {
  if (!std::exchange(open_, false)) return;
  cancel();
  kernel_.release();
  core_->remove(*this);
  if (core_->engine() == nullptr) return;
  core_->engine()->close_listener(id_);
  core_->touch();
}

error_code Listener::set_option(int level, int name, const void* value, std::size_t size) {
  if (level != IPPROTO_TCP || name != TCP_FASTOPEN) return net::error::no_protocol_option;
  int queue = 0;
  if (size < sizeof queue) return net::error::invalid_argument;
  if (core_->engine() == nullptr) return net::error::bad_descriptor;
  std::memcpy(&queue, value, sizeof queue);
  const auto set = core_->engine()->set_fast_open(id_, queue);
  return set ? error_code() : to_error_code(set.error());
}

error_code Listener::get_option(int level, int name, void* value, std::size_t& size) const {
  if (level != IPPROTO_TCP || name != TCP_FASTOPEN) return net::error::no_protocol_option;
  if (core_->engine() == nullptr) return net::error::bad_descriptor;
  const int queue = core_->engine()->fast_open(id_);
  if (size < sizeof queue) return net::error::invalid_argument;
  std::memcpy(value, &queue, sizeof queue);
  size = sizeof queue;
  return {};
}

void Listener::on_gone() {
  if (!std::exchange(open_, false)) return;
  cancel();
  kernel_.release();
}

void Listener::wait_to_accept(Operation& op) {
  acceptors_.push_back(op);
  await_kernel();
  core_->start();
}

std::optional<Accepted> Listener::try_accept() {
  if (!open_) return Accepted{net::error::bad_descriptor, nullptr, std::nullopt};
  // Alternately, so that a flood on one side does not starve the other.
  kernel_first_ = !kernel_first_;
  auto accepted = kernel_first_ ? accept_from_kernel() : accept_from_engine();
  if (!accepted) accepted = kernel_first_ ? accept_from_engine() : accept_from_kernel();
  return accepted;
}

std::optional<Accepted> Listener::accept_from_engine() {
  const auto id = core_->engine()->accept(id_);
  if (!id) return std::nullopt;
  return Accepted{{}, std::make_unique<Connection>(core_, *id), std::nullopt};
}

std::optional<Accepted> Listener::accept_from_kernel() {
  while (kernel_ready_) {
    const int fd = accept4(kernel_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Accepted accepted{{}, nullptr, KernelSocket(core_->executor())};
      const auto protocol = local_.address.is_v4() ? net::ip::tcp::v4() : net::ip::tcp::v6();
      accepted.kernel->assign(protocol, fd, accepted.error);
      if (accepted.error) {
        ::close(fd);
        accepted.kernel.reset();
      }
      return accepted;
    }
    switch (errno) {
      case EAGAIN:
        kernel_ready_ = false;
        break;
      // Lack of something on our own side: the user has to know, and the connection stays in the kernel's queue.
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
        return Accepted{{errno, boost::system::system_category()}, nullptr, std::nullopt};
      // accept(2) also hands on errors of the connection itself, which is gone: the next one may be well.
      default:
        break;
    }
  }
  if (!acceptors_.empty()) await_kernel();
  return std::nullopt;
}

void Listener::await_kernel() {
  if (kernel_ready_ || !open_ || std::exchange(kernel_waits_, true)) return;
  core_->wait_unreferenced(
      [this](auto handler) { kernel_.async_wait(net::posix::descriptor_base::wait_read, std::move(handler)); },
      [weak = weak_from_this()](error_code error) {
        const auto self = weak.lock();
        if (!self) return;
        self->kernel_waits_ = false;
        if (error) return;
        self->kernel_ready_ = true;
        self->on_acceptable();
      });
}

}  // namespace weir::asio::detail
