// SPDX-License-Identifier: MIT
// What a seed means: the hosts, the path between them, and what their users do.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>

#include "world.h"

namespace weir::sim {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : seed_(seed), random_(seed) {}

  WorldParameters parameters() {
    WorldParameters p;
    p.seed = seed_;
    p.family = one_in(2) ? Family::v4 : Family::v6;
    p.medium = one_in(4) ? stack::Medium::ip : stack::Medium::ethernet;
    auto mtu = static_cast<std::uint16_t>(pick({576, 1'280, 1'400, 1'500, 9'000}));
    if (p.family == Family::v6) mtu = std::max<std::uint16_t>(mtu, 1'280);
    for (stack::Config* c : {&p.client, &p.server}) host(*c, mtu);
    path(p, mtu);
    p.server.syn_cookies = one_in(3) ? stack::SynCookies::always : stack::SynCookies::on_overflow;
    p.resolve_after = Duration::microseconds(between(0, 2'000));
    if (one_in(3)) p.routes_change_every = Duration::milliseconds(between(1, 500));
    p.backlog = static_cast<std::uint32_t>(between(1, 16));
    std::int64_t conversations = between(1, 6);
    for (std::int64_t i = 0; i < conversations; ++i) p.conversations.push_back(conversation(i, p));
    fast_open(p);
    return p;
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(most - least + 1)));
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  std::uint64_t pick(std::initializer_list<std::uint64_t> of) { return of.begin()[below(of.size())]; }
  double upto(double most) { return std::uniform_real_distribution<>(0, most)(random_); }
  // Each order of magnitude as likely as the next.
  double magnitude(double least, double most) {
    return least * std::pow(most / least, std::uniform_real_distribution<>(0, 1)(random_));
  }

  void host(stack::Config& c, std::uint16_t mtu) {
    c.mtu = mtu;
    // From a few segments to what fills any path here.
    c.tcp.receive_buffer = static_cast<std::uint32_t>(magnitude(2'048, 2'097'152));
    c.tcp.send_buffer = static_cast<std::uint32_t>(magnitude(2'048, 2'097'152));
    c.tcp.window_scale = !one_in(4);
    c.tcp.timestamps = !one_in(3);
    c.tcp.sack = !one_in(5);
    c.tcp.ecn = one_in(3) ? tcp::EcnMode::off : one_in(2) ? tcp::EcnMode::request : tcp::EcnMode::accept;
    auto controllers = c.tcp.controllers.names();
    c.tcp.congestion = controllers[below(controllers.size())];
    c.tcp.pacing = one_in(2);
    // With a loss of 20 % each way and a path that narrows, a connection that gave up as soon as a real one does
    // would end some seeds by chance.
    c.tcp.syn_retries = c.tcp.syn_ack_retries = c.tcp.retries = 100;
    if (one_in(2)) c.tcp.max_rto = Duration::seconds(10);
    c.checksum = one_in(4) ? wire::ChecksumPolicy::verify_or_partial : wire::ChecksumPolicy::verify;
  }

  void path(WorldParameters& p, std::uint16_t mtu) {
    // Each way of its own, or both alike.
    bool gentle = one_in(5);
    double rate = magnitude(1e6, 1e9);
    auto delay = Duration::microseconds(one_in(8) ? 0 : static_cast<std::int64_t>(magnitude(10, 300'000)));
    for (LinkParameters* l : {&p.to_server, &p.to_client}) {
      if (one_in(4)) rate = magnitude(1e6, 1e9);
      l->spared = p.medium == stack::Medium::ethernet ? 14 : 0;  // a damaged MAC is the FCS's matter
      l->delay = delay;
      l->jitter = delay * between(0, 2) / 2;
      l->rate = one_in(8) ? 0 : static_cast<std::uint64_t>(rate);
      // Of two packets, or bloated, or without end.
      if (l->rate != 0 && !one_in(4)) l->queue = static_cast<std::uint32_t>(magnitude(2.0 * mtu, 4e6));
      if (!gentle) impair(*l);
    }
    narrow(p, mtu);
  }

  void impair(LinkParameters& l) {
    if (!one_in(4)) l.loss = one_in(3) ? upto(0.2) : upto(0.03);
    if (one_in(3)) l.marking = upto(0.1);
    if (one_in(3)) l.duplication = upto(0.1);
    if (one_in(3)) l.corruption = upto(0.03);
    if (one_in(2)) {
      l.reordering = upto(0.3);
      l.hold = Duration::microseconds(static_cast<std::int64_t>(magnitude(1, 300'000)));
    }
  }

  void narrow(WorldParameters& p, std::uint16_t mtu) {
    const std::uint16_t least = p.family == Family::v4 ? 576 : 1'280;
    if (mtu <= least) return;
    auto some = [&] { return static_cast<std::uint16_t>(between(least, mtu)); };
    for (LinkParameters* l : {&p.to_server, &p.to_client}) {
      if (one_in(5)) l->path_mtu = some();
      l->black_hole = one_in(3);
    }
    if (!one_in(4)) return;
    std::int64_t changes = between(1, 4);
    Duration after;
    for (std::int64_t i = 0; i < changes; ++i) {
      after += Duration::microseconds(static_cast<std::int64_t>(magnitude(1'000, 3'000'000)));
      p.mtu_changes.push_back({after, one_in(2), one_in(4) ? std::uint16_t{0} : some(), one_in(3)});
    }
  }

  Conversation conversation(std::int64_t i, const WorldParameters& p) {
    Conversation c;
    c.starts_after = Duration::microseconds(between(0, 200'000));
    c.client.stream_out = c.server.stream_in = seed_ * 100 + static_cast<std::uint64_t>(i) * 2;
    c.server.stream_out = c.client.stream_in = c.client.stream_out + 1;
    // Where much is lost there is less to do, so that a run stays short.
    bool hard = p.to_server.loss + p.to_client.loss > 0.1;
    std::uint64_t most = hard ? 60'000 : 300'000;
    c.client.to_write = c.server.to_read = one_in(5) ? below(3) : below(most);
    c.server.to_write = c.client.to_read = one_in(5) ? below(3) : below(most);
    for (SessionPlan* s : {&c.client, &c.server}) {
      s->write_chunk = pick({100, 1'000, 1'460, 16'384, 100'000});
      s->read_chunk = pick({50, 1'000, 16'384, 100'000});
      if (one_in(6)) s->read_pause = Duration::microseconds(static_cast<std::int64_t>(magnitude(1, 50'000)));
      if (s->read_pause.count_ns() != 0) s->read_chunk = std::max<std::size_t>(s->read_chunk, 1'000);
      // Nothing is read for long: the window closes, and is probed.
      if (one_in(12)) s->first_read_after = Duration::milliseconds(between(1, 60'000));
      s->no_delay = one_in(2);
      s->close_early = one_in(2);
    }
    if (one_in(4)) c.server.write_after_end = true;
    if (one_in(10)) (one_in(2) ? c.client : c.server).abort_after = below(most / 2);
    return c;
  }

  // Later conversations have the cookie that an earlier one was given.
  void fast_open(WorldParameters& p) {
    if (!one_in(3)) return;
    p.fast_open = static_cast<std::uint32_t>(between(1, 8));
    for (std::size_t i = 0; i < p.conversations.size(); ++i) {
      p.conversations[i].fast_open = !one_in(4);
      if (i != 0 && !one_in(3)) p.conversations[i].starts_after += Duration::milliseconds(between(0, 3'000));
    }
  }

  std::uint64_t seed_;
  std::mt19937_64 random_;
};

}  // namespace weir::sim
