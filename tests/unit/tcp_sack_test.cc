// SPDX-License-Identifier: MIT
// SACK: RFC 2018, RFC 2883, both ends.
#include <string>

#include "tcp_flight.h"

namespace weir::tcp {
namespace {

using test::Peer;
using test::Scene;
using test::setting;

constexpr const char* kSyn = "mss 1000,sackOK";

// --- open ---

TEST(TcpSack, IsOnWhereBothSynsPermitIt) {
  for (bool ours : {true, false}) {
    for (bool theirs : {true, false}) {
      for (bool active : {true, false}) {
        Scene s = setting();
        s.config.sack = ours;
        Peer p(s);
        std::string options = theirs ? "<mss 1000,sackOK>" : "<mss 1000>";
        if (active) {
          p.connect();
          EXPECT_EQ(p.take().at(0).sack_ok, ours);
          p.in("S. 0:0(0) ack 1 win 65535 " + options);
          p.take();
        } else {
          p.arrive("S 0:0(0) win 65535 " + options);
          EXPECT_EQ(p.take().at(0).sack_ok, ours && theirs);
          p.in(". 1:1(0) ack 1");
        }
        EXPECT_EQ(p.info().sack, ours && theirs);
        p.in(". 2001:3001(1000) ack 1");
        p.out(ours && theirs ? ". 1:1(0) ack 1 <sack 2001:3001>" : ". 1:1(0) ack 1 <nosack>");
      }
    }
  }
}

// --- the receiver ---

// RFC 2018 4: the block that holds the segment that came last is the first; those told before follow.
TEST(TcpSack, BlocksAreTheMostRecentFirst) {
  Peer p(setting());
  p.connected(65'535, kSyn);
  p.in(". 2001:3001(1000) ack 1");
  p.out(". 1:1(0) ack 1 <sack 2001:3001>");
  p.in(". 6001:7001(1000) ack 1");
  p.out(". 1:1(0) ack 1 <sack 6001:7001 2001:3001>");
  p.in(". 4001:5001(1000) ack 1");
  p.out(". 1:1(0) ack 1 <sack 4001:5001 6001:7001 2001:3001>");
  p.in(". 3001:3501(500) ack 1");
  p.out(". 1:1(0) ack 1 <sack 2001:3501 4001:5001 6001:7001>");
  p.in(". 8001:9001(1000) ack 1");
  p.out(". 1:1(0) ack 1 <sack 8001:9001 2001:3501 4001:5001 6001:7001>");
  p.in(". 10001:11001(1000) ack 1");
  p.out(". 1:1(0) ack 1 <sack 10001:11001 8001:9001 2001:3501 4001:5001>");
  // The gap at the front closes.
  p.in(". 1:2001(2000) ack 1");
  p.out(". 1:1(0) ack 3501 <sack 10001:11001 8001:9001 4001:5001 6001:7001>");
  p.in(". 3501:4001(500) ack 1");
  p.out(". 1:1(0) ack 5001 <sack 10001:11001 8001:9001 6001:7001>");
}

TEST(TcpSack, BesideTimestampsThereIsRoomForThree) {
  Scene s = setting();
  s.config.timestamps = true;
  Peer p(s);
  p.connected(65'535, "mss 1000,sackOK,ts 5 _");
  for (std::uint32_t at : {2'001u, 4'001u, 6'001u, 8'001u}) {
    p.in(". " + std::to_string(at) + ":" + std::to_string(at + 100) + "(100) ack 1");
  }
  p.out({". 1:1(0) ack 1 <sack 8001:8101 6001:6101 4001:4101>"});
}

TEST(TcpSack, AnAckWithBlocksDoesNotWaitForTextOfOurs) {
  Peer p(setting());
  p.connected(65'535, kSyn);
  p.in(". 2001:3001(1000) ack 1");
  p.write(2'500);
  p.out({". 1:1(0) ack 1 <sack 2001:3001>", ". 1:1001(1000) ack 1 <nosack>", ". 1001:2001(1000) ack 1 <nosack>",
         "P. 2001:2501(500) ack 1 <sack 2001:3001>"});
}

// RFC 2883 4
TEST(TcpSack, ADuplicateIsToldOnceAndFirst) {
  Peer p(setting());
  p.connected(65'535, kSyn);
  p.in(". 1:1001(1000) ack 1");
  p.out(". 1:1(0) ack 1001 <nosack>");
  p.in(". 1:1001(1000) ack 1", WEIR_R_LOST_DUPLICATE);
  p.out(". 1:1(0) ack 1001 <sack 1:1001>");
  p.in(". 3001:4001(1000) ack 1");
  p.out(". 1:1(0) ack 1001 <sack 3001:4001>");
  // 4.1.1: a full duplicate below the ACK, with a gap open
  p.in(". 501:1001(500) ack 1", WEIR_R_LOST_DUPLICATE);
  p.out(". 1:1(0) ack 1001 <sack 501:1001 3001:4001>");
  // 4.1.2, of what has come out of order: the second block is the one around it.
  p.in(". 5001:6001(1000) ack 1");
  p.out(". 1:1(0) ack 1001 <sack 5001:6001 3001:4001>");
  p.in(". 3201:3401(200) ack 1", WEIR_R_LOST_DUPLICATE);
  p.out(". 1:1(0) ack 1001 <sack 3201:3401 3001:4001 5001:6001>");
  // 4.2: a part of it is new.
  p.in(". 801:2001(1200) ack 1");
  p.out(". 1:1(0) ack 2001 <sack 801:1001 3001:4001 5001:6001>");
  p.in(". 2001:3001(1000) ack 1");
  p.out(". 1:1(0) ack 4001 <sack 5001:6001>");
}

TEST(TcpSack, AKeepaliveProbeWithoutTextIsNoDuplicate) {
  Peer p(setting());
  p.connected(65'535, kSyn);
  p.in(". 1:101(100) ack 1");
  p.take();
  p.deliver(". 100:100(0) ack 1");
  p.out(". 1:1(0) ack 101 <nosack>");
}

}  // namespace
}  // namespace weir::tcp
