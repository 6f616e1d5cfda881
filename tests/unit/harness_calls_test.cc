// SPDX-License-Identifier: MIT
// The harness's calls: what each does, and which error it has.
#include <set>

#include "harness_fixture.h"

namespace weir::harness {
namespace {

using std::errc;
class HarnessCalls : public Hosts {};
INSTANTIATE_TEST_SUITE_P(Families, HarnessCalls, testing::Values(Family::v4, Family::v6), hosts_name);

TEST_P(HarnessCalls, TwoHostsConnectTalkAndClose) {
  int l = listening();
  Pair p = connected(l);
  EXPECT_EQ(write(a, p.client, "ping"), 4u);
  settle();
  EXPECT_EQ(read(b, p.server), "ping");
  EXPECT_EQ(write(b, p.server, "pong"), 4u);
  EXPECT_TRUE(b.shutdown(p.server, Shutdown::write));
  settle();
  EXPECT_EQ(read(a, p.client), "pong$");
  EXPECT_TRUE(a.close(p.client));
  settle();
  EXPECT_EQ(read(b, p.server), "$");
  EXPECT_TRUE(b.close(p.server));
  settle(120_s);
  EXPECT_EQ(a.connections() + b.connections(), 0u);
  EXPECT_EQ(a.sockets(), 0u);
  EXPECT_EQ(b.sockets(), 1u);
}

TEST_P(HarnessCalls, DescriptorsAreTheLowestFree) {
  EXPECT_EQ(*a.socket(family()), 0);
  EXPECT_EQ(*a.socket(family()), 1);
  EXPECT_TRUE(a.close(0));
  EXPECT_EQ(*a.socket(family()), 0);
  EXPECT_EQ(a.close(7).error(), errc::bad_file_descriptor);
  EXPECT_EQ(a.error(-1), errc::bad_file_descriptor);
  HostOptions few = options(1);
  few.max_sockets = 1;
  PacketQueue in, out;
  Host small(few, in, out);
  EXPECT_TRUE(small.socket(family()));
  EXPECT_EQ(small.socket(family()).error(), errc::too_many_files_open);
}

TEST_P(HarnessCalls, BindRefusesWhatIsTakenOrNotOurs) {
  int s = *a.socket(family());
  EXPECT_EQ(a.bind(s, {address(2), 1}).error(), errc::address_not_available);
  IpAddress other = family() == Family::v4 ? *IpAddress::parse("2001:db8::1") : IpAddress::v4(192, 0, 2, 1);
  EXPECT_EQ(a.bind(s, {other, 1}).error(),
            family() == Family::v4 ? errc::address_family_not_supported : errc::address_not_available);
  EXPECT_TRUE(a.bind(s, {address(1), 7}));
  EXPECT_EQ(a.bind(s, {address(1), 8}).error(), errc::invalid_argument);
  EXPECT_EQ(a.local_address(s).value(), (Endpoint{address(1), 7}));
  int t = *a.socket(family());
  EXPECT_EQ(a.bind(t, {address(1), 7}).error(), errc::address_in_use);
  EXPECT_EQ(a.bind(t, {any(), 7}).error(), errc::address_in_use);
  EXPECT_EQ(a.bind(t, {IpAddress(), 7}).error(), errc::address_in_use);
  EXPECT_TRUE(a.bind(t, {address(1, 1), 7})) << "another address";
  EXPECT_TRUE(a.close(s));
  EXPECT_TRUE(a.bind(*a.socket(family()), {address(1), 7}));
}

TEST_P(HarnessCalls, ReuseAddressSharesAPortUntilOneListens) {
  int s = *b.socket(family()), t = *b.socket(family());
  EXPECT_TRUE(b.set_option(s, Option::reuse_address, 1));
  EXPECT_TRUE(b.bind(s, service()));
  EXPECT_EQ(b.bind(t, service()).error(), errc::address_in_use);
  EXPECT_TRUE(b.set_option(t, Option::reuse_address, 1));
  EXPECT_TRUE(b.bind(t, service()));
  EXPECT_TRUE(b.listen(s, 1));
  EXPECT_EQ(b.listen(t, 1).error(), errc::address_in_use);
}

TEST_P(HarnessCalls, TimeWaitHoldsThePortUnlessReuseAddress) {
  int l = listening();
  Pair p = connected(l);
  EXPECT_TRUE(b.close(p.server));
  settle();
  EXPECT_TRUE(a.close(p.client));
  settle();
  EXPECT_TRUE(b.close(l));
  int again = *b.socket(family());
  EXPECT_EQ(b.bind(again, service()).error(), errc::address_in_use);
  EXPECT_TRUE(b.set_option(again, Option::reuse_address, 1));
  EXPECT_TRUE(b.bind(again, service()));
  EXPECT_TRUE(b.listen(again, 1));
  EXPECT_TRUE(b.close(again));
  settle(61_s);
  EXPECT_TRUE(b.bind(*b.socket(family()), service()));
}

TEST_P(HarnessCalls, EphemeralPortsAreChosenAndDiffer) {
  std::set<std::uint16_t> seen;
  int l = listening(80, 64);
  for (int i = 0; i < 32; ++i) {
    Pair p = connected(l);
    auto local = a.local_address(p.client).value();
    EXPECT_EQ(local.address, address(1));
    EXPECT_GE(local.port, 49'152);
    EXPECT_EQ(b.remote_address(p.server).value(), local);
    EXPECT_EQ(b.local_address(p.server).value(), service());
    EXPECT_EQ(a.remote_address(p.client).value(), service());
    EXPECT_TRUE(seen.insert(local.port).second);
  }
  int s = *a.socket(family());
  EXPECT_TRUE(a.bind(s, {any(), 0}));
  EXPECT_TRUE(seen.insert(a.local_address(s).value().port).second);
}

TEST_P(HarnessCalls, EphemeralPortsRunOut) {
  HostOptions few = options(1);
  few.first_ephemeral_port = 50'000;
  few.last_ephemeral_port = 50'001;
  PacketQueue in, out;
  Host small(few, in, out);
  for (int i = 0; i < 3; ++i) {
    auto begun = small.connect(*small.socket(family()), service());
    EXPECT_EQ(begun.error(), i < 2 ? errc::operation_in_progress : errc::address_not_available);
  }
  // To another peer the ports serve once more.
  EXPECT_EQ(small.connect(*small.socket(family()), service(81)).error(), errc::operation_in_progress);
  EXPECT_EQ(small.bind(*small.socket(family()), {any(), 0}).error(), errc::address_not_available);
}

TEST_P(HarnessCalls, ConnectSaysWhereItStands) {
  int c = *a.socket(family());
  EXPECT_EQ(a.connect(c, service()).error(), errc::operation_in_progress);
  EXPECT_EQ(a.connect(c, service()).error(), errc::connection_already_in_progress);
  EXPECT_EQ(a.readiness(c), 0);
  settle();
  EXPECT_EQ(a.readiness(c), kReadable | kWritable | kError | kHangup);
  EXPECT_EQ(a.connect(c, service()).error(), errc::connection_refused);
  EXPECT_FALSE(a.error(c));
  EXPECT_EQ(a.local_address(c).value().port, 0);
  int l = listening();
  EXPECT_EQ(a.connect(c, service()).error(), errc::operation_in_progress);
  settle();
  EXPECT_EQ(a.connect(c, service()).error(), errc::already_connected);
  EXPECT_EQ(a.connect(l + 1, service()).error(), errc::bad_file_descriptor);
  EXPECT_EQ(a.listen(c, 1).error(), errc::invalid_argument);
}

TEST_P(HarnessCalls, ConnectRefusesWhatIsNoPeer) {
  int c = *a.socket(family());
  EXPECT_EQ(a.connect(c, {address(1), 80}).error(), errc::address_not_available) << "itself";
  EXPECT_EQ(a.connect(c, {address(2), 0}).error(), errc::address_not_available);
  EXPECT_EQ(a.connect(c, {any(), 80}).error(), errc::address_not_available);
  if (family() == Family::v4) {
    EXPECT_EQ(a.connect(c, {*IpAddress::parse("2001:db8::2"), 80}).error(), errc::address_family_not_supported);
  } else {
    EXPECT_TRUE(a.set_option(c, Option::ipv6_only, 1));
    EXPECT_EQ(a.connect(c, {IpAddress::v4(192, 0, 2, 2), 80}).error(), errc::address_family_not_supported);
  }
  EXPECT_EQ(to_b.size(), 0u);
}

TEST_P(HarnessCalls, TheFourTupleIsTaken) {
  listening();
  for (int i = 0; i < 2; ++i) {
    int c = *a.socket(family());
    EXPECT_TRUE(a.set_option(c, Option::reuse_address, 1));
    EXPECT_TRUE(a.bind(c, {address(1), 5'000}));
    EXPECT_EQ(a.connect(c, service()).error(), i == 0 ? errc::operation_in_progress : errc::address_in_use);
  }
}

TEST_P(HarnessCalls, AcceptInOrderAndNothingTwice) {
  int l = listening();
  EXPECT_EQ(b.accept(l).error(), errc::resource_unavailable_try_again);
  int c[2] = {*a.socket(family()), *a.socket(family())};
  for (int s : c) EXPECT_EQ(a.connect(s, service()).error(), errc::operation_in_progress);
  EXPECT_EQ(b.readiness(l), 0);
  settle();
  EXPECT_EQ(b.readiness(l), kReadable);
  for (int s : c) EXPECT_EQ(b.remote_address(b.accept(l).value()).value(), a.local_address(s).value());
  EXPECT_EQ(b.accept(l).error(), errc::resource_unavailable_try_again);
  EXPECT_EQ(b.readiness(l), 0);
  EXPECT_EQ(b.accept(b.socket(family()).value()).error(), errc::invalid_argument);
}

TEST_P(HarnessCalls, BacklogOverflowIsSilentAndListenWidensIt) {
  int l = listening(80, 1);
  int c[2] = {*a.socket(family()), *a.socket(family())};
  for (int s : c) {
    EXPECT_EQ(a.connect(s, service()).error(), errc::operation_in_progress);
    settle(100_ms);
  }
  EXPECT_NE(a.readiness(c[0]), 0);
  EXPECT_EQ(a.readiness(c[1]), 0);
  EXPECT_TRUE(b.listen(l, 2));
  settle(4_s);
  EXPECT_NE(a.readiness(c[1]), 0);
}

TEST_P(HarnessCalls, ListenOnAnyTakesTheFamiliesOfTheSocket) {
  int l = *b.socket(family());
  EXPECT_TRUE(b.bind(l, {any(), 80}));
  EXPECT_TRUE(b.listen(l, 4));
  Pair p = connected(l);
  EXPECT_EQ(b.local_address(p.server).value(), service());
  int c = *a.socket(family());
  EXPECT_EQ(a.connect(c, {address(2, 1), 80}).error(), errc::operation_in_progress);
  settle();
  EXPECT_EQ(b.local_address(b.accept(l).value()).value(), (Endpoint{address(2, 1), 80}));
}

TEST(HarnessFamilies, AnIpv6ListenerTakesIpv4UnlessItIsIpv6Only) {
  for (bool only : {false, true}) {
    PacketQueue to_a, to_b;
    HostOptions o;
    o.addresses = {IpAddress::v4(192, 0, 2, 1)};
    Host a(o, to_a, to_b);
    o.addresses = {IpAddress::v4(192, 0, 2, 2), *IpAddress::parse("2001:db8::2")};
    Host b(o, to_b, to_a);
    int l = *b.socket(Family::v6);
    ASSERT_TRUE(b.set_option(l, Option::ipv6_only, only ? 1 : 0));
    ASSERT_TRUE(b.bind(l, {IpAddress(), 80}));
    EXPECT_EQ(b.set_option(l, Option::ipv6_only, 0).error(), errc::invalid_argument);
    ASSERT_TRUE(b.listen(l, 4));
    int four = *b.socket(Family::v4);
    EXPECT_EQ(b.bind(four, {IpAddress::v4(0, 0, 0, 0), 80}).ok(), only);
    int c = *a.socket(Family::v4);
    EXPECT_EQ(a.connect(c, {IpAddress::v4(192, 0, 2, 2), 80}).error(), errc::operation_in_progress);
    b.run();
    a.run();
    b.run();
    EXPECT_EQ(a.error(c) == errc::connection_refused, only);
    EXPECT_EQ(b.accept(l).ok(), !only);
    int six = *a.socket(Family::v6);
    EXPECT_EQ(a.connect(six, {*IpAddress::parse("2001:db8::2"), 80}).error(), errc::address_not_available);
  }
}

TEST_P(HarnessCalls, ReadAndWriteBeforeTheHandshake) {
  int c = *a.socket(family());
  std::array<std::byte, 8> buffer;
  EXPECT_EQ(a.read(c, buffer).error(), errc::not_connected);
  EXPECT_EQ(a.write(c, buffer).error(), errc::not_connected);
  EXPECT_EQ(a.shutdown(c, Shutdown::write).error(), errc::not_connected);
  EXPECT_EQ(a.remote_address(c).error(), errc::not_connected);
  EXPECT_EQ(a.info(c).error(), errc::invalid_argument);
  EXPECT_EQ(a.readiness(c), kWritable | kHangup);
  int l = listening();
  EXPECT_EQ(a.connect(c, service()).error(), errc::operation_in_progress);
  EXPECT_EQ(a.read(c, buffer).error(), errc::resource_unavailable_try_again);
  EXPECT_EQ(write(a, c, "early"), 5u);
  EXPECT_EQ(a.shutdown(c, Shutdown::write).error(), errc::not_connected);
  settle();
  EXPECT_EQ(read(b, *b.accept(l)), "early");
}

TEST_P(HarnessCalls, AFullSendBufferSaysTryAgain) {
  int l = listening();
  Pair p = connected(l);
  std::string text(1'000'000, 'x');
  std::size_t written = 0;
  while (true) {
    auto n = a.write(p.client, as_const_bytes(text));
    if (!n) {
      EXPECT_EQ(n.error(), errc::resource_unavailable_try_again);
      break;
    }
    written += *n;
    settle();
  }
  EXPECT_EQ(a.readiness(p.client) & kWritable, 0);
  EXPECT_EQ(*a.get_option(p.client, Option::unacknowledged), 256 * 1024);
  EXPECT_EQ(read(b, p.server).size(), static_cast<std::size_t>(written) - 256 * 1024);
  settle();
  EXPECT_NE(a.readiness(p.client) & kWritable, 0);
}

TEST_P(HarnessCalls, ShutdownEndsOneDirection) {
  int l = listening();
  Pair p = connected(l);
  EXPECT_TRUE(a.shutdown(p.client, Shutdown::write));
  EXPECT_TRUE(a.shutdown(p.client, Shutdown::write)) << "again";
  EXPECT_EQ(a.write(p.client, as_const_bytes(std::string("x"))).error(), errc::broken_pipe);
  settle();
  EXPECT_EQ(read(b, p.server), "$");
  EXPECT_EQ(write(b, p.server, "still"), 5u);
  settle();
  EXPECT_EQ(read(a, p.client), "still");
  EXPECT_EQ(a.readiness(p.client), kWritable) << "a write would fail at once";
  EXPECT_TRUE(b.shutdown(p.server, Shutdown::read));
  EXPECT_TRUE(b.shutdown(p.server, Shutdown::both));
  settle();
  EXPECT_EQ(a.readiness(p.client), kReadable | kWritable | kHangup);
}

TEST_P(HarnessCalls, ShutdownReadDiscardsAndReadsTheEnd) {
  int l = listening();
  Pair p = connected(l);
  write(a, p.client, "unheard");
  settle();
  EXPECT_TRUE(b.shutdown(p.server, Shutdown::read));
  EXPECT_EQ(read(b, p.server), "$");
  write(a, p.client, "more");
  settle();
  EXPECT_EQ(read(b, p.server), "$");
  EXPECT_EQ(*a.get_option(p.client, Option::unacknowledged), 0) << "it is acknowledged all the same";
}

TEST_P(HarnessCalls, AnErrorIsToldOnceAfterTheText) {
  int l = listening();
  Pair p = connected(l);
  write(a, p.client, "last words");
  settle();
  EXPECT_TRUE(a.set_option(p.client, Option::linger, 0));
  EXPECT_TRUE(a.close(p.client));
  settle();
  EXPECT_EQ(b.readiness(p.server) & kError, kError);
  EXPECT_EQ(read(b, p.server), "last words!" + std::make_error_code(errc::connection_reset).message());
  EXPECT_EQ(b.readiness(p.server) & kError, 0);
  EXPECT_EQ(read(b, p.server), "$");
  EXPECT_EQ(b.write(p.server, as_const_bytes(std::string("x"))).error(), errc::broken_pipe);
  EXPECT_EQ(b.remote_address(p.server).error(), errc::not_connected);
  EXPECT_FALSE(b.error(p.server));
  EXPECT_EQ(a.connections() + b.connections(), 1u) << "until close()";
  EXPECT_TRUE(b.close(p.server));
  EXPECT_EQ(b.connections(), 0u);
}

TEST_P(HarnessCalls, ErrorTakesWhatReadWouldTell) {
  int l = listening();
  Pair p = connected(l);
  EXPECT_TRUE(a.set_option(p.client, Option::linger, 0));
  EXPECT_TRUE(a.close(p.client));
  settle();
  EXPECT_EQ(b.error(p.server), errc::connection_reset);
  EXPECT_EQ(read(b, p.server), "$");
}

TEST_P(HarnessCalls, ConnectTimesOut) {
  int c = *a.socket(family());
  EXPECT_TRUE(a.set_option(c, Option::syn_retries, 2));
  EXPECT_EQ(a.connect(c, {address(3), 80}).error(), errc::operation_in_progress);
  settle(60_s);
  EXPECT_EQ(a.error(c), errc::timed_out);
  EXPECT_EQ(to_b.size(), 0u);
  EXPECT_EQ(b.count(WEIR_R_LOST_NOT_OURS), 3u);
}

TEST_P(HarnessCalls, ClosingAListenerResetsWhatNobodyAccepted) {
  int l = listening();
  int c = *a.socket(family());
  EXPECT_EQ(a.connect(c, service()).error(), errc::operation_in_progress);
  settle();
  EXPECT_TRUE(b.close(l));
  settle();
  EXPECT_EQ(a.error(c), errc::connection_reset);
}

TEST_P(HarnessCalls, OptionsAreKeptCheckedAndInherited) {
  int l = *b.socket(family());
  EXPECT_EQ(*b.get_option(l, Option::no_delay), 0);
  EXPECT_TRUE(b.set_option(l, Option::no_delay, 1));
  EXPECT_TRUE(b.set_option(l, Option::receive_buffer, 10'000));
  EXPECT_EQ(b.set_option(l, Option::receive_buffer, 100).error(), errc::invalid_argument);
  EXPECT_EQ(b.set_option(l, Option::no_delay, 2).error(), errc::invalid_argument);
  EXPECT_EQ(b.set_option(l, Option::segment_size, 2).error(), errc::no_protocol_option);
  EXPECT_EQ(*b.get_option(l, Option::receive_buffer), 10'000);
  EXPECT_TRUE(b.bind(l, service()));
  EXPECT_TRUE(b.listen(l, 4));
  EXPECT_EQ(b.set_option(l, Option::receive_buffer, 20'000).error(), errc::invalid_argument) << "too late";
  EXPECT_EQ(*b.get_option(l, Option::accepting), 1);
  int c = *a.socket(family());
  EXPECT_TRUE(a.set_option(c, Option::timestamps, 0));
  EXPECT_EQ(a.connect(c, service()).error(), errc::operation_in_progress);
  settle();
  int s = *b.accept(l);
  EXPECT_EQ(*b.get_option(s, Option::no_delay), 1);
  EXPECT_EQ(*b.get_option(s, Option::receive_buffer), 10'000);
  EXPECT_EQ(*b.get_option(s, Option::accepting), 0);
  int other = *b.socket(family());
  for (auto [option, most] : {std::pair{Option::sack, 1}, {Option::ecn, 2}, {Option::window_scale, 1}}) {
    for (int value = 0; value <= most; ++value) {
      EXPECT_TRUE(b.set_option(other, option, value));
      EXPECT_EQ(*b.get_option(other, option), value);
    }
    EXPECT_EQ(b.set_option(other, option, most + 1).error(), errc::invalid_argument);
  }
  EXPECT_EQ(a.info(c)->send_window, 10'000u);
  EXPECT_FALSE(a.info(c)->timestamps);
  EXPECT_EQ(*a.get_option(c, Option::segment_size), family() == Family::v4 ? 1460 : 1440);
  write(a, c, "abc");
  settle();
  EXPECT_EQ(*b.get_option(s, Option::readable_bytes), 3);
  tcp::Config config;
  EXPECT_EQ(a.set_config(c, config).error(), errc::invalid_argument);
  EXPECT_TRUE(a.set_config(*a.socket(family()), config));
}

TEST_P(HarnessCalls, OptionsReachTheConnectionThatRuns) {
  int l = listening();
  EXPECT_TRUE(b.set_option(l, Option::keepalive_idle, 5'000));
  Pair p = connected(l);
  EXPECT_EQ(*b.get_option(p.server, Option::keepalive_idle), 5'000);
  EXPECT_TRUE(b.set_option(p.server, Option::keepalive, 1));
  to_a.clear();
  b.advance(6_s);
  EXPECT_EQ(to_a.size(), 1u) << "a keepalive probe";
  EXPECT_EQ(b.set_option(p.server, Option::keepalive_count, 0).error(), errc::invalid_argument);
  EXPECT_EQ(*b.get_option(p.server, Option::user_timeout), 0);
  EXPECT_EQ(*b.get_option(p.server, Option::linger), -1);
}

TEST_P(HarnessCalls, FastOpenConnectsAtOnceAndTheAnswerComesBeforeTheHandshakeIsOver) {
  int l = listening();
  EXPECT_EQ(b.set_option(l, Option::fast_open, -1).error(), errc::invalid_argument);
  EXPECT_TRUE(b.set_option(l, Option::fast_open, 4));
  EXPECT_EQ(*b.get_option(l, Option::fast_open), 4);
  int first = *a.socket(family());
  EXPECT_TRUE(a.set_option(first, Option::fast_open_connect, 1));
  EXPECT_EQ(a.connect(first, service()).error(), errc::operation_in_progress) << "it asks for a cookie";
  settle();
  EXPECT_EQ(a.set_option(first, Option::fast_open_connect, 0).error(), errc::invalid_argument);
  EXPECT_TRUE(b.accept(l));

  int c = *a.socket(family());
  EXPECT_TRUE(a.set_option(c, Option::fast_open_connect, 1));
  EXPECT_TRUE(a.connect(c, service()));
  EXPECT_EQ(a.connect(c, service()).error(), errc::already_connected);
  EXPECT_EQ(a.readiness(c), kWritable);
  EXPECT_EQ(to_b.size(), 0u) << "the SYN waits for text";
  EXPECT_EQ(write(a, c, "hello"), 5u);
  EXPECT_EQ(to_b.size(), 1u);
  b.run();
  auto s = b.accept(l);
  ASSERT_TRUE(s);
  EXPECT_EQ(read(b, *s), "hello");
  EXPECT_EQ(write(b, *s, "world"), 5u);
  EXPECT_EQ(b.info(*s)->state, tcp::State::syn_received);
  EXPECT_TRUE(b.info(*s)->syn_data);
  a.run();
  EXPECT_EQ(read(a, c), "world") << "one round trip";
  EXPECT_TRUE(a.info(c)->syn_data);
  settle();
  EXPECT_EQ(b.info(*s)->state, tcp::State::established);
  EXPECT_EQ(a.fast_open_counts().active, 1u);
  EXPECT_EQ(b.fast_open_counts().passive, 1u);
  EXPECT_EQ(*b.get_option(*s, Option::fast_open), 0) << "of the listener alone";
  EXPECT_TRUE(a.close(c));
  EXPECT_TRUE(b.close(*s));
}

TEST_P(HarnessCalls, CongestionControlByName) {
  int l = listening();
  EXPECT_EQ(*b.congestion_control(l), "cubic");
  EXPECT_EQ(b.set_congestion_control(l, "carrier pigeon").error(), errc::no_such_file_or_directory);
  EXPECT_TRUE(b.set_congestion_control(l, "reno"));
  Pair p = connected(l);
  EXPECT_EQ(*b.congestion_control(p.server), "reno");
  EXPECT_EQ(*a.congestion_control(p.client), "cubic");
  EXPECT_TRUE(a.set_congestion_control(p.client, "reno"));
  EXPECT_EQ(a.info(p.client)->congestion, "reno");
  int c = *a.socket(family());
  EXPECT_TRUE(a.set_congestion_control(c, "reno"));
  EXPECT_EQ(a.connect(c, service()).error(), errc::operation_in_progress);
  settle();
  EXPECT_EQ(*a.congestion_control(c), "reno");
}

TEST_P(HarnessCalls, PollTellsLevels) {
  int l = listening();
  Pair p = connected(l);
  std::array<PollEntry, 4> entries{{{l, kReadable}, {p.server, kReadable}, {77, kReadable}, {-1, kReadable}}};
  EXPECT_EQ(b.poll(entries), 1u);
  EXPECT_EQ(entries[2].returned, kInvalid);
  write(a, p.client, "x");
  settle();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(b.poll(entries), 2u) << "a level, not an edge";
    EXPECT_EQ(entries[1].returned, kReadable);
  }
  EXPECT_EQ(read(b, p.server), "x");
  EXPECT_EQ(b.poll(entries), 1u);
}

}  // namespace
}  // namespace weir::harness
