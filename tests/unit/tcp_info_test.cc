// SPDX-License-Identifier: MIT
// Connection information is truthful.
#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Peer;
using test::plain;

TEST(TcpInfo, TheTimesTellWhatHeldTheSenderBack) {
  Peer p(plain());
  p.connected();
  p.wait(Duration::seconds(5));
  EXPECT_EQ(p.info().busy_time, Duration()) << "the application's time is nobody else's";

  // The path: 100 ms.
  p.write(1'000);
  p.take();
  p.wait(Duration::milliseconds(100));
  EXPECT_EQ(p.info().busy_time, Duration::milliseconds(100)) << "what still runs counts";
  p.in(". 1:1(0) ack 1001 win 2000");
  p.wait(Duration::seconds(1));
  EXPECT_EQ(p.info().busy_time, Duration::milliseconds(100));
  EXPECT_EQ(p.info().receive_window_limited, Duration());

  // The peer's window: 50 ms.
  p.write(4'000);
  p.take();
  p.wait(Duration::milliseconds(50));
  p.in(". 1:1(0) ack 2461 win 60000");
  p.take();
  EXPECT_EQ(p.info().receive_window_limited, Duration::milliseconds(50));
  p.wait(Duration::milliseconds(30));
  p.in(". 1:1(0) ack 5001 win 60000");
  EXPECT_EQ(p.info().busy_time, Duration::milliseconds(180));
  EXPECT_EQ(p.info().receive_window_limited, Duration::milliseconds(50));
  EXPECT_EQ(p.info().send_buffer_limited, Duration());
}

TEST(TcpInfo, AFullSendBufferThatIsAllOnItsWayLimits) {
  test::Scene s = plain();
  s.config.send_buffer = 4'000;
  Peer p(s);
  p.connected();
  EXPECT_EQ(p.write(10'000), 4'000u);
  p.take();
  p.wait(Duration::milliseconds(70));
  EXPECT_EQ(p.info().send_buffer_limited, Duration::milliseconds(70));
  EXPECT_EQ(p.info().busy_time, Duration::milliseconds(70));
}

}  // namespace
}  // namespace weir::tcp
