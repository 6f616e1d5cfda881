// SPDX-License-Identifier: MIT
// Netlink without a library: requests are built in place, answers are read as checked spans. Used for routes, links,
// neighbours (rtnetlink), connections (sock_diag) and the host's firewall (nfnetlink).
//
// Errors are errno values, 0 for success. Not thread-safe.
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/xdp/fd.h"

namespace weir::control {

// One message: header, a fixed body, attributes. The sequence number is the socket's to set.
class NetlinkRequest {
 public:
  template <class Body>
  NetlinkRequest(std::uint16_t type, std::uint16_t flags, const Body& body) {
    static_assert(std::is_trivially_copyable_v<Body>);
    start(type, flags);
    append(&body, sizeof body);
  }

  NetlinkRequest& put(std::uint16_t type, const void* value, std::size_t size);
  NetlinkRequest& put(std::uint16_t type, ConstBytes value) { return put(type, value.data(), value.size()); }
  NetlinkRequest& put_u32(std::uint16_t type, std::uint32_t value) { return put(type, &value, sizeof value); }
  NetlinkRequest& put_text(std::uint16_t type, const char* text) { return put(type, text, std::strlen(text) + 1); }

 private:
  friend class NetlinkSocket;
  void start(std::uint16_t type, std::uint16_t flags);
  void append(const void* data, std::size_t size);
  nlmsghdr header() const;
  void set_header(const nlmsghdr& header);

  std::vector<std::byte> bytes_;
};

// A message that came. `body` is what follows the header, valid during the callback.
struct NetlinkMessage {
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  ConstBytes body;

  // The fixed part of the body, or nothing where the message is too short for it.
  template <class Body>
  std::optional<Body> fixed() const {
    static_assert(std::is_trivially_copyable_v<Body>);
    if (body.size() < sizeof(Body)) return std::nullopt;
    Body b;
    std::memcpy(&b, body.data(), sizeof b);
    return b;
  }
  // What follows a fixed part of `size` bytes.
  ConstBytes attributes(std::size_t size) const;
};

// Calls `visit(type, value)` for each attribute; stops at the first that does not fit its container.
void for_each_attribute(ConstBytes attributes, const std::function<void(std::uint16_t, ConstBytes)>& visit);
// The last attribute of that type; an empty span where there is none.
ConstBytes find_attribute(ConstBytes attributes, std::uint16_t type);

// The value of an attribute in host order, or nothing where its size is another.
template <class T>
std::optional<T> attribute_as(ConstBytes value) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (value.size() < sizeof(T)) return std::nullopt;
  T v;
  std::memcpy(&v, value.data(), sizeof v);
  return v;
}

class NetlinkSocket {
 public:
  using Visit = std::function<void(const NetlinkMessage&)>;

  // `protocol` is NETLINK_ROUTE and the like; `groups` are multicast groups by number, as RTNLGRP_*. Close-on-exec.
  int open(int protocol, std::span<const unsigned> groups = {});
  // Takes a socket that another process opened.
  void adopt(xdp::Fd socket);
  // Gives the socket up without closing it.
  xdp::Fd release() { return std::move(fd_); }
  bool is_open() const { return static_cast<bool>(fd_); }
  int descriptor() const { return fd_.get(); }
  void close() { fd_.reset(); }

  // Sends and reads to the end of the answer: every data message goes to `visit`. The kernel answers such requests
  // within send() and recv(), so this does not wait; a second's time-out guards against a kernel that does not.
  // EINTR: a dump was changed while it ran, ask again. For a socket without groups.
  int request(NetlinkRequest& request, const Visit& visit);

  enum class Drained : std::uint8_t { nothing, some, overrun };
  // Reads what notifications there are, without waiting. `overrun`: the kernel dropped some, ask for everything anew.
  Drained drain(const Visit& visit);

 private:
  xdp::Fd fd_;
  std::uint32_t sequence_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace weir::control
