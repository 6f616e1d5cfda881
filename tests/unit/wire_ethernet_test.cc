// SPDX-License-Identifier: MIT
#include "weir/wire/ethernet.h"

#include <gtest/gtest.h>

#include "bytes_util.h"
#include "weir/wire/vlan.h"

namespace weir::wire {
namespace {

using test::Buffer;

const EthernetHeader kHeader{.dst = *MacAddress::parse("02:00:00:00:00:01"),
                             .src = *MacAddress::parse("02:00:00:00:00:02"),
                             .ethertype = EtherType::ipv6};

TEST(Ethernet, RoundTrips) {
  Buffer frame(kEthernetHeaderSize + 3);
  kHeader.write(frame);
  EXPECT_EQ(test::to_hex(frame), "02 00 00 00 00 01 02 00 00 00 00 02 86 dd 00 00 00");
  auto view = EthernetView::parse(frame);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->dst(), kHeader.dst);
  EXPECT_EQ(view->src(), kHeader.src);
  EXPECT_EQ(view->ethertype(), EtherType::ipv6);
  EXPECT_EQ(view->payload().size(), 3u);
}

TEST(Ethernet, EveryTruncationIsRefused) {
  Buffer frame(kEthernetHeaderSize);
  for (std::size_t n = 0; n < frame.size(); ++n) EXPECT_FALSE(EthernetView::parse(test::cut(frame, n))) << n;
  EXPECT_TRUE(EthernetView::parse(frame)->payload().empty());
}

TEST(Vlan, RoundTripsStacked) {
  Buffer bytes(2 * kVlanTagSize + 1);
  VlanTag{.id = 4095, .priority = 7, .drop_eligible = true, .ethertype = EtherType::vlan}.write(bytes);
  VlanTag{.id = 5, .ethertype = EtherType::ipv4}.write(Bytes(bytes).subspan(kVlanTagSize));
  auto outer = VlanView::parse(bytes);
  ASSERT_TRUE(outer);
  EXPECT_EQ(outer->id(), 4095);
  EXPECT_EQ(outer->priority(), 7);
  EXPECT_TRUE(outer->drop_eligible());
  EXPECT_EQ(outer->ethertype(), EtherType::vlan);
  auto inner = VlanView::parse(outer->payload());
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->id(), 5);
  EXPECT_EQ(inner->priority(), 0);
  EXPECT_FALSE(inner->drop_eligible());
  EXPECT_EQ(inner->ethertype(), EtherType::ipv4);
  EXPECT_EQ(inner->payload().size(), 1u);
  for (std::size_t n = 0; n < kVlanTagSize; ++n) EXPECT_FALSE(VlanView::parse(test::cut(bytes, n))) << n;
}

}  // namespace
}  // namespace weir::wire
