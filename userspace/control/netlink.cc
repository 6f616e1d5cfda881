// SPDX-License-Identifier: MIT
#include "weir/control/netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>

namespace weir::control {
namespace {

constexpr std::size_t kAlign = 4;
constexpr std::uint16_t kTypeMask = 0x3fff;  // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
constexpr std::size_t aligned(std::size_t n) { return (n + kAlign - 1) & ~(kAlign - 1); }

// A dump's messages are at most this long: the kernel sizes them by the reader's buffer, up to 32 KiB.
constexpr std::size_t kBufferSize = 32 * 1024;
static_assert(sizeof(nlmsghdr) == 16 && sizeof(nlattr) == 4);

}  // namespace

void NetlinkRequest::start(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr h{};
  h.nlmsg_type = type;
  h.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
  bytes_.reserve(256);
  bytes_.resize(sizeof h);
  set_header(h);
}

void NetlinkRequest::append(const void* data, std::size_t size) {
  std::size_t at = bytes_.size();
  bytes_.resize(at + aligned(size));
  if (size != 0) std::memcpy(&bytes_[at], data, size);
}

NetlinkRequest& NetlinkRequest::put(std::uint16_t type, const void* value, std::size_t size) {
  nlattr a{};
  a.nla_type = type;
  a.nla_len = static_cast<std::uint16_t>(sizeof a + size);
  append(&a, sizeof a);
  append(value, size);
  return *this;
}

nlmsghdr NetlinkRequest::header() const {
  nlmsghdr h;
  std::memcpy(&h, bytes_.data(), sizeof h);
  return h;
}

void NetlinkRequest::set_header(const nlmsghdr& header) { std::memcpy(bytes_.data(), &header, sizeof header); }

ConstBytes NetlinkMessage::attributes(std::size_t size) const {
  std::size_t from = aligned(size);
  return from < body.size() ? body.subspan(from) : ConstBytes{};
}

void for_each_attribute(ConstBytes attributes, const std::function<void(std::uint16_t, ConstBytes)>& visit) {
  while (attributes.size() >= sizeof(nlattr)) {
    nlattr a;
    std::memcpy(&a, attributes.data(), sizeof a);
    if (a.nla_len < sizeof a || a.nla_len > attributes.size()) return;
    visit(a.nla_type & kTypeMask, attributes.subspan(sizeof a, a.nla_len - sizeof a));
    std::size_t step = aligned(a.nla_len);
    if (step >= attributes.size()) return;
    attributes = attributes.subspan(step);
  }
}

ConstBytes find_attribute(ConstBytes attributes, std::uint16_t type) {
  ConstBytes found;
  for_each_attribute(attributes, [&](std::uint16_t t, ConstBytes value) {
    if (t == type) found = value;
  });
  return found;
}

int NetlinkSocket::open(int protocol, std::span<const unsigned> groups) {
  fd_ = xdp::Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd_) return errno;
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  int error = 0;
  if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&self), sizeof self) != 0) error = errno;
  for (unsigned group : groups) {
    if (error != 0) break;
    if (::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) error = errno;
  }
  if (error != 0) {
    fd_.reset();
    return error;
  }
  // Answers to failed requests need not quote them; dumps are filtered by what their header says (both are wishes: an
  // older kernel sends more, and the readers check).
  int on = 1;
  ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  if (protocol == NETLINK_ROUTE) ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  timeval second{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  buffer_.resize(kBufferSize);
  return 0;
}

void NetlinkSocket::adopt(xdp::Fd socket) {
  fd_ = std::move(socket);
  buffer_.resize(kBufferSize);
}

int NetlinkSocket::request(NetlinkRequest& request, const Visit& visit) {
  if (!fd_) return EBADF;
  nlmsghdr h = request.header();
  const bool dump = (h.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  h.nlmsg_seq = ++sequence_;
  h.nlmsg_len = static_cast<std::uint32_t>(request.bytes_.size());
  // Without a dump's NLMSG_DONE, the acknowledgement marks the end of the answer.
  if (!dump) h.nlmsg_flags |= NLM_F_ACK;
  request.set_header(h);
  if (::send(fd_.get(), request.bytes_.data(), request.bytes_.size(), 0) < 0) return errno;

  int result = 0;
  for (;;) {
    ssize_t got = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? ETIMEDOUT : errno;
    }
    ConstBytes rest(buffer_.data(), static_cast<std::size_t>(got));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr m;
      std::memcpy(&m, rest.data(), sizeof m);
      if (m.nlmsg_len < sizeof m || m.nlmsg_len > rest.size()) break;
      ConstBytes body = rest.subspan(sizeof m, m.nlmsg_len - sizeof m);
      rest = rest.subspan(std::min(rest.size(), aligned(m.nlmsg_len)));
      if (m.nlmsg_seq != sequence_) continue;  // the tail of an answer that was given up
      if ((m.nlmsg_flags & NLM_F_DUMP_INTR) != 0) result = EINTR;
      if (m.nlmsg_type == NLMSG_ERROR || m.nlmsg_type == NLMSG_DONE) {
        std::int32_t code = 0;
        if (body.size() >= sizeof code) std::memcpy(&code, body.data(), sizeof code);
        return code < 0 ? -code : result;
      }
      visit({m.nlmsg_type, m.nlmsg_flags, body});
    }
  }
}

NetlinkSocket::Drained NetlinkSocket::drain(const Visit& visit) {
  Drained result = Drained::nothing;
  if (!fd_) return result;
  for (;;) {
    ssize_t got = ::recv(fd_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != ENOBUFS) return result;
      result = Drained::overrun;
      continue;
    }
    if (result == Drained::nothing) result = Drained::some;
    ConstBytes rest(buffer_.data(), static_cast<std::size_t>(got));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr m;
      std::memcpy(&m, rest.data(), sizeof m);
      if (m.nlmsg_len < sizeof m || m.nlmsg_len > rest.size()) break;
      visit({m.nlmsg_type, m.nlmsg_flags, rest.subspan(sizeof m, m.nlmsg_len - sizeof m)});
      rest = rest.subspan(std::min(rest.size(), aligned(m.nlmsg_len)));
    }
  }
}

}  // namespace weir::control
