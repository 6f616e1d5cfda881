// SPDX-License-Identifier: MIT
// Congestion control in virtual time, over one bottleneck: throughput by loss, delay and algorithm, beside what the
// response functions predict, and how flows share. The same figures on every machine.
//
//   weir_congestion_bench [throughput|fairness]
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "weir/harness/host.h"

namespace weir {
namespace {

using harness::Host;
using harness::HostOptions;
using harness::PacketQueue;

constexpr double kMss = 1'428;          // IPv6, timestamps
constexpr double kText = kMss / 1'500;  // of a packet

struct Path {
  double rate;  // bits a second
  Duration rtt;
  double buffer;       // bytes
  double loss = 0;     // of each packet of the senders
  double mark_at = 0;  // bytes that wait, from which on ECN-capable packets are marked; 0: never
  unsigned seed = 1;
};

class Bottleneck {
 public:
  explicit Bottleneck(const Path& path) : path_(path), random_(path.seed) {}

  void carry(PacketQueue& from, PacketQueue& to) {
    while (auto packet = from.pop()) {
      Instant begins = std::max(free_at_, packet->at);
      double waiting = static_cast<double>((begins - packet->at).count_ns()) * 1e-9 * path_.rate / 8;
      if (waiting > path_.buffer) continue;
      waited_ += waiting;
      ++packets_;
      auto takes = static_cast<std::int64_t>(static_cast<double>(packet->bytes.size()) * 8e9 / path_.rate);
      free_at_ = begins + Duration::nanoseconds(takes);
      if (path_.loss > 0 && std::uniform_real_distribution<>(0, 1)(random_) < path_.loss) continue;
      // RFC 3168 5: CE, in the traffic class of an IPv6 header.
      bool capable = (packet->bytes[1] & std::byte{0x30}) != std::byte{0};
      if (path_.mark_at > 0 && waiting > path_.mark_at && capable) packet->bytes[1] |= std::byte{0x30};
      to.push(free_at_ + path_.rtt / 2, packet->bytes);
    }
  }
  double mean_queue() const { return packets_ > 0 ? waited_ / packets_ : 0; }

 private:
  Path path_;
  std::mt19937 random_;
  Instant free_at_;
  double waited_ = 0;
  double packets_ = 0;
};

struct Flow {
  std::string congestion;
  int sender = -1;
  int receiver = -1;
  Instant starts;
  std::uint64_t received = 0;
};

// Senders that never end, one host's, to another's.
class World {
 public:
  World(const Path& path, const std::vector<std::string>& congestion) : there_(path), back_(without_loss(path)) {
    HostOptions options;
    options.tcp.send_buffer = options.tcp.receive_buffer = 16 * 1024 * 1024;
    bool ecn = path.mark_at > 0;
    options.tcp.ecn = ecn ? tcp::EcnMode::request : tcp::EcnMode::off;
    options.seed = path.seed;
    options.addresses = {*IpAddress::parse("2001:db8::1")};
    client_ = std::make_unique<Host>(options, client_in_, client_out_);
    options.addresses = {service_.address};
    server_ = std::make_unique<Host>(options, server_in_, server_out_);
    tcp_ = options.tcp;
    listener_ = *server_->socket(Family::v6);
    ok_ = server_->bind(listener_, service_).ok() && server_->listen(listener_, 64).ok();
    for (std::size_t i = 0; i < congestion.size(); ++i) {
      Flow flow;
      flow.congestion = congestion[i];
      flow.starts = now() + Duration::milliseconds(static_cast<std::int64_t>(i) * 100);
      flows_.push_back(flow);
    }
  }

  void run_until(Instant end) {
    while (ok_ && now() < end) {
      for (Flow& flow : flows_) serve(flow);
      accept();
      there_.carry(client_out_, server_in_);
      back_.carry(server_out_, client_in_);
      Instant next = std::min({client_->next_event(), server_->next_event(), end});
      for (const Flow& flow : flows_)
        if (flow.sender < 0) next = std::min(next, flow.starts);
      client_->advance_to(next);
      server_->advance_to(next);
    }
  }
  Instant now() const { return client_->now(); }
  const std::vector<Flow>& flows() const { return flows_; }
  double mean_queue() const { return there_.mean_queue(); }
  bool ok() const { return ok_; }

 private:
  static Path without_loss(Path path) {
    path.loss = 0;
    return path;
  }

  void serve(Flow& flow) {
    if (flow.sender < 0) {
      if (now() < flow.starts) return;
      flow.sender = *client_->socket(Family::v6);
      tcp::Config config = tcp_;
      config.congestion = flow.congestion;
      ok_ = ok_ && client_->set_config(flow.sender, config).ok();
      // The port tells the server which flow it is.
      auto port = static_cast<std::uint16_t>(10'000 + (&flow - flows_.data()));
      ok_ = ok_ && client_->bind(flow.sender, {client_->options().addresses[0], port}).ok();
      ok_ = ok_ && client_->connect(flow.sender, service_).error() == std::errc::operation_in_progress;
    }
    while ((client_->readiness(flow.sender) & harness::kWritable) != 0) {
      if (!client_->write(flow.sender, text_)) {
        ok_ = false;
        return;
      }
    }
    while (flow.receiver >= 0 && (server_->readiness(flow.receiver) & harness::kReadable) != 0) {
      auto got = server_->read(flow.receiver, buffer_);
      if (!got || *got == 0) {
        ok_ = false;
        return;
      }
      flow.received += *got;
    }
  }

  void accept() {
    while ((server_->readiness(listener_) & harness::kReadable) != 0) {
      int socket = *server_->accept(listener_);
      std::size_t i = server_->remote_address(socket)->port - 10'000u;
      if (i < flows_.size()) flows_[i].receiver = socket;
    }
  }

  Endpoint service_{*IpAddress::parse("2001:db8::2"), 80};
  PacketQueue client_in_, client_out_, server_in_, server_out_;
  Bottleneck there_, back_;
  std::unique_ptr<Host> client_, server_;
  tcp::Config tcp_;
  int listener_ = -1;
  std::vector<Flow> flows_;
  std::vector<std::byte> text_ = std::vector<std::byte>(65'536);
  std::vector<std::byte> buffer_ = std::vector<std::byte>(1 << 20);
  bool ok_ = true;
};

// --- throughput ---

// Mathis et al., 1997: segments in flight, on average.
double reno_window(double p) { return std::sqrt(1.5 / p); }
// RFC 9438 5.1, figure 6; where Reno would have more, its Reno-friendly region does.
double cubic_window(double p, double rtt) {
  return std::max(std::pow(0.4 * 3.7 / 1.2, 0.25) * std::pow(rtt / p, 0.75), reno_window(p));
}

int throughput() {
  constexpr double kRate = 100e6;
  std::printf(
      "Mb/s over a path of 100 Mb/s, and what the response function predicts for it (in brackets; the least of\n"
      "it and the rate): Mathis et al.'s for reno, RFC 9438 5.1's for cubic, the rate for bbr. Random loss; a\n"
      "buffer of one round trip.\n\n");
  std::printf("%8s %6s  %16s %16s %16s\n", "loss", "rtt", "reno", "cubic", "bbr");
  constexpr std::array<std::string_view, 3> kNames{"reno", "cubic", "bbr"};
  std::array<double, 3> least{1e9, 1e9, 1e9};
  std::array<double, 3> most{};
  for (double loss : {0.0001, 0.001, 0.01, 0.02, 0.03, 0.05}) {
    for (std::int64_t rtt_ms : {10, 40, 100}) {
      double rtt = static_cast<double>(rtt_ms) * 1e-3;
      std::printf("%7.2f%% %4lldms ", loss * 100, static_cast<long long>(rtt_ms));
      for (std::size_t i = 0; i < kNames.size(); ++i) {
        std::string_view name = kNames[i];
        double window = name == "reno" ? reno_window(loss) : cubic_window(loss, rtt);
        double predicted = name == "bbr" ? kRate : window * kMss * 8 / rtt;
        predicted = std::min(predicted, kRate * kText) * (1 - loss);
        // So long that some hundred losses occur, after a beginning that does not count.
        double seconds = std::clamp(300 / loss * kMss * 8 / predicted, 20.0, 200.0);
        if (name == "bbr") seconds = 20;
        double total = 0;
        const unsigned seeds = loss < 0.001 ? 1 : 2;
        for (unsigned seed = 1; seed <= seeds; ++seed) {
          World world({kRate, Duration::milliseconds(rtt_ms), kRate / 8 * rtt, loss, 0, seed}, {std::string(name)});
          world.run_until(world.now() + Duration::seconds(10));
          std::uint64_t before = world.flows()[0].received;
          auto length = Duration::milliseconds(static_cast<std::int64_t>(seconds * 1e3));
          world.run_until(world.now() + length);
          if (!world.ok()) return 1;
          total += static_cast<double>(world.flows()[0].received - before) * 8 / seconds / seeds;
        }
        least[i] = std::min(least[i], total / predicted);
        most[i] = std::max(most[i], total / predicted);
        std::printf(" %7.2f (%6.2f)", total / 1e6, predicted / 1e6);
        std::fflush(stdout);
      }
      std::printf("\n");
    }
  }
  std::printf("\nof the prediction:");
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    std::printf("  %s %.2f to %.2f", std::string(kNames[i]).c_str(), least[i], most[i]);
  }
  std::printf(
      "\nThe functions know neither time-outs nor the round trips of recovery, which count from 1 %% of loss on.\n"
      "bbr: the draft bounds the volume where a probe for bandwidth loses more than 2 %% (BBR.LossThresh), and\n"
      "between probes each round trip with a loss takes the rate down to what was delivered (5.5.10.3). A path\n"
      "that loses more than that by chance looks to it like a full one: the fall from 2 %% on is the draft's.\n");
  return 0;
}

// --- fairness ---

struct Share {
  double jain;
  double sum;    // bits a second
  double first;  // of `sum`, what the first algorithm's flows have
  double queue;  // bytes
};

Share share(const Path& path, const std::vector<std::string>& congestion) {
  World world(path, congestion);
  world.run_until(world.now() + Duration::seconds(20));
  std::vector<std::uint64_t> before;
  for (const Flow& flow : world.flows()) before.push_back(flow.received);
  world.run_until(world.now() + Duration::seconds(60));
  double sum = 0, squares = 0, first = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    double x = static_cast<double>(world.flows()[i].received - before[i]) * 8 / 60;
    sum += x;
    squares += x * x;
    if (congestion[i] == congestion[0]) first += x;
  }
  if (!world.ok() || squares == 0) return {};
  return {sum * sum / (static_cast<double>(before.size()) * squares), sum, first / sum, world.mean_queue()};
}

int fairness() {
  std::printf(
      "Flows through one bottleneck of 40 Mb/s, 40 ms, a buffer of one round trip (dctcp: marks from 30 kB on).\n"
      "Over a minute, after 20 s: Jain's index, Mb/s of all, the share of the first algorithm, the mean queue.\n\n");
  std::printf("%-18s %6s %8s %8s %8s %10s\n", "", "flows", "Jain", "Mb/s", "share", "queue kB");
  constexpr std::array<std::array<const char*, 2>, 7> kMixes{{{"reno", "reno"},
                                                              {"cubic", "cubic"},
                                                              {"bbr", "bbr"},
                                                              {"dctcp", "dctcp"},
                                                              {"cubic", "reno"},
                                                              {"bbr", "cubic"},
                                                              {"bbr", "reno"}}};
  for (const auto& mix : kMixes) {
    std::string label = mix[0] == std::string_view(mix[1]) ? mix[0] : std::string(mix[0]) + "+" + mix[1];
    for (std::size_t n : {2u, 4u, 8u, 16u}) {
      std::vector<std::string> congestion;
      for (std::size_t i = 0; i < n; ++i) congestion.emplace_back(mix[i % 2]);
      Path path{40e6, Duration::milliseconds(40), 200'000};
      if (label == "dctcp") path.mark_at = 30'000;
      Share s = share(path, congestion);
      if (s.sum == 0) return 1;
      std::printf("%-18s %6zu %8.3f %8.2f %7.0f%% %10.0f\n", label.c_str(), n, s.jain, s.sum / 1e6, s.first * 100,
                  s.queue / 1e3);
      std::fflush(stdout);
    }
  }
  std::printf(
      "\nbbr beside loss-based flows: it answers to losses of more than 2 %% in a probe, and they to each. Where the\n"
      "buffer is one round trip or less, what their losses leave free is found by its probes; the draft (5.3.3.8)\n"
      "bounds how often it probes, not the share.\n");
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  std::string_view what = argc > 1 ? argv[1] : "";
  int status = 0;
  if (what.empty() || what == "throughput") status |= weir::throughput();
  if (what.empty()) std::printf("\n");
  if (what.empty() || what == "fairness") status |= weir::fairness();
  return status;
}
