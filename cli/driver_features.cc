// SPDX-License-Identifier: MIT
// The XDP features of a driver, asked of the kernel: Documentation/netlink/specs/netdev.yaml, family "netdev", dev-get.
// The numbers stand here because Debian 12's headers are older than the family.
#include <linux/genetlink.h>

#include <cerrno>

#include "doctor.h"
#include "weir/control/netlink.h"

namespace weir::cli {
namespace {

constexpr std::uint8_t kDevGet = 1;           // NETDEV_CMD_DEV_GET
constexpr std::uint16_t kIfindex = 1;         // NETDEV_A_DEV_IFINDEX
constexpr std::uint16_t kXdpFeatures = 3;     // NETDEV_A_DEV_XDP_FEATURES
constexpr std::uint64_t kBasic = 1u << 0;     // NETDEV_XDP_ACT_BASIC
constexpr std::uint64_t kRedirect = 1u << 1;  // NETDEV_XDP_ACT_REDIRECT
constexpr std::uint64_t kZeroCopy = 1u << 3;  // NETDEV_XDP_ACT_XSK_ZEROCOPY

}  // namespace

DriverFeatures read_driver_features(std::uint32_t ifindex) {
  DriverFeatures out;
  control::NetlinkSocket socket;
  if (socket.open(NETLINK_GENERIC) != 0) return out;

  std::uint16_t family = 0;
  control::NetlinkRequest find(GENL_ID_CTRL, 0, genlmsghdr{CTRL_CMD_GETFAMILY, 1, 0});
  find.put_text(CTRL_ATTR_FAMILY_NAME, "netdev");
  const int found = socket.request(find, [&](const control::NetlinkMessage& message) {
    const auto id = control::attribute_as<std::uint16_t>(
        control::find_attribute(message.attributes(sizeof(genlmsghdr)), CTRL_ATTR_FAMILY_ID));
    if (id) family = *id;
  });
  if (found != 0 || family == 0) return out;

  control::NetlinkRequest get(family, 0, genlmsghdr{kDevGet, 1, 0});
  get.put_u32(kIfindex, ifindex);
  socket.request(get, [&](const control::NetlinkMessage& message) {
    const auto bits = control::attribute_as<std::uint64_t>(
        control::find_attribute(message.attributes(sizeof(genlmsghdr)), kXdpFeatures));
    if (!bits) return;
    out = {(*bits & kBasic) != 0, (*bits & kRedirect) != 0, (*bits & kZeroCopy) != 0, true};
  });
  return out;
}

}  // namespace weir::cli
