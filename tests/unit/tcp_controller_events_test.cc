// SPDX-License-Identifier: MIT
// What a congestion controller is told: of ACKs with their rate samples (draft-ietf-ccwg-bbr 4.1), of each segment that
// is lost, of the end of each episode; with SACK and without.
#include <memory>
#include <vector>

#include "tcp_flight.h"
#include "weir/tcp/congestion/controller.h"

namespace weir::tcp {
namespace {

using test::Flight;
using test::kRtt;
using test::ms;
using test::Numbers;
using test::Scene;
using test::setting;

struct Told {
  std::vector<AckEvent> acks;
  std::vector<SegmentLoss> losses;
  int recoveries = 0;
  int timeouts = 0;
  int timeouts_over = 0;
};

// A controller that keeps what it is told.
class Recorder final : public Controller {
 public:
  explicit Recorder(Told& told) : told_(told) {}
  std::string_view name() const override { return "recorder"; }
  void open(std::uint32_t, const Moment&) override {}
  void take_over(std::uint32_t, std::uint32_t, const Moment&) override {}
  void on_ack(const AckEvent& ack) override { told_.acks.push_back(ack); }
  void on_loss(const Moment&) override {}
  void on_recovered(const Moment&) override { ++told_.recoveries; }
  void on_timeout(const Moment&, bool) override { ++told_.timeouts; }
  void on_timeout_recovered(const Moment&) override { ++told_.timeouts_over; }
  void on_segment_lost(const SegmentLoss& loss) override { told_.losses.push_back(loss); }
  void on_idle(const Moment&) override {}
  void undo() override {}
  std::uint32_t cwnd() const override { return 100'000; }
  std::uint32_t ssthresh() const override { return 50'000; }

 private:
  Told& told_;
};

Scene recording(Told& told, bool sack = true) {
  Scene s = setting();
  s.config.sack = sack;
  s.config.controllers.add("recorder", [&told] { return std::make_unique<Recorder>(told); });
  s.config.congestion = "recorder";
  return s;
}

TEST(TcpControllerEvents, AnAckTellsTheControllerWhatThePathDelivers) {
  Told told;
  Flight p(recording(told));
  std::vector<AckEvent>& events = told.acks;
  events.clear();
  p.fill(10);
  p.wait(kRtt);
  // Two segments a millisecond come through.
  for (std::uint32_t i = 2; i <= 6; i += 2) {
    p.ack_segments(i);
    p.wait(ms(1));
  }
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].acked, 2'000u);
  EXPECT_EQ(events[0].delivered, 3'000u);
  EXPECT_EQ(events[0].in_flight, 8'000u);
  EXPECT_EQ(events[0].rtt, kRtt);
  EXPECT_EQ(events[0].min_rtt, kRtt);
  EXPECT_TRUE(events[0].round_start);
  EXPECT_FALSE(events[1].round_start);
  EXPECT_TRUE(events[2].rate.valid());
  EXPECT_EQ(events[2].rate.delivered, 6'000u);
  EXPECT_EQ(events[2].rate.interval, ms(42));
  EXPECT_EQ(events[2].rate.prior_delivered, 1'000u);
  EXPECT_EQ(events[2].rate.tx_in_flight, 6'000u);
  EXPECT_TRUE(events[2].rate.app_limited) << "the window had room";
  // 6 is lost; 7 to 9 tell.
  p.ack_segments(6, {{7, 10}});
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[3].acked, 3'000u) << "selectively";
  EXPECT_EQ(events[3].newly_lost, 1'000u);
  EXPECT_EQ(events[3].in_flight, 0u);
  EXPECT_TRUE(events[3].in_recovery);
  EXPECT_EQ(events[3].delivered, 10'000u);
  EXPECT_EQ(p.leave(), Numbers{6});
  p.wait(kRtt);
  p.ack_segments(10);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[4].acked, 1'000u) << "what was told before is not told again";
  EXPECT_EQ(events[4].rtt, Duration{}) << "Karn";
  EXPECT_EQ(events[4].rate.lost, 0u);
  EXPECT_EQ(p.info().delivered, 11'000u);
}

TEST(TcpControllerEvents, EachSegmentLostIsToldWithWhatWasInFlightWhenItLeft) {
  Told told;
  Flight p(recording(told));
  p.fill(10);
  p.wait(kRtt);
  // 0 and 3 are lost.
  p.ack_segments(0, {{4, 8}, {1, 3}});
  ASSERT_EQ(told.losses.size(), 2u);
  EXPECT_EQ(told.losses[0].bytes, 1'000u);
  EXPECT_EQ(told.losses[0].tx_in_flight, 1'000u);
  EXPECT_EQ(told.losses[0].lost, 1'000u);
  EXPECT_EQ(told.losses[1].tx_in_flight, 4'000u);
  EXPECT_EQ(told.losses[1].lost, 2'000u) << "since it left";
  EXPECT_TRUE(told.losses[1].selective);
  p.take();
  p.wait(kRtt);
  p.ack_segments(10);
  EXPECT_EQ(told.recoveries, 1);
}

TEST(TcpControllerEvents, TheEndOfATimeOutsEpisodeIsTold) {
  for (bool sack : {true, false}) {
    SCOPED_TRACE(sack);
    Told told;
    Flight p(recording(told, sack));
    p.fill(4);
    while (told.timeouts == 0) {
      p.wait_for_output();
      p.take();
    }
    p.wait(kRtt);
    p.ack_segments(3);
    p.take();
    EXPECT_EQ(told.timeouts_over, 0) << "one is not acknowledged yet";
    p.wait(kRtt);
    p.ack_segments(4);
    EXPECT_EQ(told.timeouts_over, 1);
    EXPECT_EQ(told.recoveries, 0);
    p.fill(2);
    p.wait(kRtt);
    p.ack_segments(6);
    EXPECT_EQ(told.timeouts_over, 1);
  }
}

TEST(TcpControllerEvents, WithoutSackARoundTripHasOneRateSample) {
  Told told;
  Flight p(recording(told, false));
  told.acks.clear();
  p.fill(4);
  p.wait(kRtt);
  p.ack_segments(2);
  p.fill(4);
  p.wait(ms(10));
  p.ack_segments(4);
  p.wait(kRtt - ms(10));
  p.ack_segments(8);
  ASSERT_EQ(told.acks.size(), 3u);
  EXPECT_EQ(told.acks[0].rate.delivered, 2'000u);
  EXPECT_EQ(told.acks[0].rate.interval, kRtt);
  EXPECT_EQ(told.acks[0].rate.prior_delivered, 1'000u);
  EXPECT_FALSE(told.acks[1].rate.valid()) << "what is sampled left later";
  EXPECT_EQ(told.acks[2].rate.delivered, 6'000u);
  EXPECT_EQ(told.acks[2].rate.interval, kRtt);
  EXPECT_FALSE(told.acks[2].selective);
  // Karn: what is sent again is no sample.
  p.fill(4);
  p.wait(kRtt);
  for (int i = 0; i < 3; ++i) p.ack_segments(8);
  EXPECT_EQ(p.leave(), Numbers{8});
  ASSERT_EQ(told.losses.size(), 1u);
  EXPECT_FALSE(told.losses[0].selective);
  p.wait(kRtt);
  p.ack_segments(12);
  EXPECT_FALSE(told.acks.back().rate.valid());
  EXPECT_EQ(told.recoveries, 1);
}

}  // namespace
}  // namespace weir::tcp
