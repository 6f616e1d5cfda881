// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "weir/xdp/inherit.h"

namespace weir::xdp {
namespace {

Inherited sample() {
  Inherited i;
  for (std::size_t m = 0; m < kMapCount; ++m) i.maps[m] = static_cast<int>(m) + 10;
  i.maps[11] = -1;
  SocketFds s;
  s.fd = 30;
  s.ifindex = 7;
  s.queue = 1;
  s.rings = {1024, 2048, 512, 256};
  s.umem = {31, 4096, 2048, 64};
  i.sockets = {s, s};
  i.sockets[1].queue = 2;
  return i;
}

TEST(Inherit, SurvivesTheEnvironment) {
  const auto back = decode(encode({sample(), sample()}));
  ASSERT_TRUE(back.ok()) << back.error().message;
  ASSERT_EQ(back->size(), 2u);
  const Inherited& i = (*back)[1];
  EXPECT_EQ(i.maps, sample().maps);
  ASSERT_EQ(i.sockets.size(), 2u);
  EXPECT_EQ(i.sockets[1].queue, 2u);
  EXPECT_EQ(i.sockets[0].rings.tx, 256u);
  EXPECT_EQ(i.sockets[0].umem.memfd, 31);
  EXPECT_EQ(i.sockets[0].umem.headroom, 64u);
}

TEST(Inherit, RefusesWhatItDidNotWrite) {
  const std::string good = encode({sample()});
  ASSERT_TRUE(decode(good).ok());
  for (const std::string& text : {std::string(), std::string("v1;"), std::string("v2;maps="), good + ",1", good + ";",
                                  good + "|", good.substr(0, good.size() - 3) + "x", good + ";socket=1,2,3"})
    EXPECT_FALSE(decode(text).ok()) << text;
  // Every cut of it, in the middle of a list, is noticed or still well-formed; none crashes.
  for (std::size_t n = 0; n < good.size(); ++n) static_cast<void>(decode(good.substr(0, n)).ok());
}

TEST(Inherit, RefusesNumbersThatTheirFieldsCannotHold) {
  Inherited i = sample();
  i.sockets.resize(1);
  const std::string good = encode({i});
  const std::string fd = "socket=" + std::to_string(i.sockets[0].fd) + ",";
  const std::size_t at = good.find(fd);
  ASSERT_NE(at, std::string::npos);
  auto with_fd = [&](const std::string& number) {
    std::string text = good;
    return text.replace(at, fd.size(), "socket=" + number + ",");
  };
  EXPECT_TRUE(decode(with_fd("2147483647")).ok());
  EXPECT_FALSE(decode(with_fd("2147483648")).ok());
  EXPECT_FALSE(decode(with_fd("-2")).ok());
  // Of the fields that are no descriptors, -1 is none either.
  const std::string ring = "," + std::to_string(i.sockets[0].rings.fill) + ",";
  std::string text = good;
  const std::size_t ring_at = text.find(ring, at);
  ASSERT_NE(ring_at, std::string::npos);
  EXPECT_FALSE(decode(text.replace(ring_at, ring.size(), ",-1,")).ok());
}

TEST(Inherit, TakesTheVariableOnce) {
  const int fd = fcntl(STDERR_FILENO, F_DUPFD, 20);
  ASSERT_GE(fd, 0);
  Inherited i = sample();
  i.maps.fill(fd);
  i.sockets.clear();
  setenv(kInheritVariable, encode({i}).c_str(), 1);
  const auto first = take_inherited();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->size(), 1u);
  EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  const auto second = take_inherited();
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->empty());
  close(fd);
}

}  // namespace
}  // namespace weir::xdp
