// SPDX-License-Identifier: MIT
// Time and packets, and what can be looked at.
#include "weir/harness/host.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "weir/harness/host_impl.h"

namespace weir::harness {
namespace {

// SplitMix64 (Steele, Lea, Flood, 2014).
std::uint64_t mix(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

stack::Config stack_config(const HostOptions& options) {
  stack::Config config;
  config.medium = stack::Medium::ip;
  config.mtu = options.mtu;
  config.checksum = options.checksum;
  config.max_connections = options.max_connections;
  config.tcp = options.tcp;
  std::uint64_t state = options.seed ^ 0x68617368;
  for (auto& word : config.hash_key) word = mix(state);
  return config;
}

stack::Secrets secrets(std::uint64_t seed) {
  stack::Secrets secrets;
  std::uint64_t state = seed ^ 0x73656372;
  for (auto* key : {&secrets.isn_key, &secrets.timestamp_key, &secrets.cookie_key}) {
    for (auto& byte : *key) byte = static_cast<std::uint8_t>(mix(state));
  }
  return secrets;
}

}  // namespace

Host::Impl::Impl(HostOptions options_in, PacketQueue& in_queue, PacketQueue& out_queue)
    : options(std::move(options_in)),
      in(in_queue),
      out(out_queue),
      now(options.start),
      random_state(options.seed ^ 0x706f7274),
      stack(stack_config(options), secrets(options.seed), options.seed, counters),
      buffer(options.mtu) {
  assert(!options.addresses.empty());
  assert(options.first_ephemeral_port != 0 && options.first_ephemeral_port <= options.last_ephemeral_port);
  stack.set_local_addresses(options.addresses);
}

std::uint64_t Host::Impl::random() { return mix(random_state); }

Instant Host::Impl::next_event() const { return std::max(now, std::min(in.next(), stack.next_deadline())); }

// Everything of this instant.
void Host::Impl::turn() {
  while (auto packet = in.pop(now)) stack.on_frame(packet->bytes, {}, now);
  if (stack.next_deadline() <= now) stack.on_deadline(now);
  flush();
}

void Host::Impl::flush() {
  stack::TxFrame frame{buffer, 0};
  while (stack.poll_transmit({&frame, 1}, now) != 0) out.push(now, ConstBytes(buffer).first(frame.length));
}

Host::Host(HostOptions options, PacketQueue& in, PacketQueue& out)
    : impl_(std::make_unique<Impl>(std::move(options), in, out)) {}

Host::~Host() = default;

Instant Host::now() const { return impl_->now; }

Instant Host::next_event() const { return impl_->next_event(); }

void Host::advance_to(Instant to) {
  Impl& h = *impl_;
  to = std::max(to, h.now);
  h.turn();
  // A deadline that on_deadline() leaves in the past would hold up time.
  constexpr int kTurnsAtOnce = 10'000;
  int turns = 0;
  for (Instant at = h.next_event(); at <= to; at = h.next_event()) {
    turns = at == h.now ? turns + 1 : 0;
    assert(turns < kTurnsAtOnce);
    if (turns >= kTurnsAtOnce) break;
    h.now = at;
    h.turn();
  }
  if (to != Instant::never()) h.now = to;
  h.flush();
}

std::size_t Host::sockets() const { return impl_->sockets.size() - impl_->free.size(); }

std::size_t Host::connections() const { return impl_->stack.connections(); }

stack::FastOpenCounts Host::fast_open_counts() const { return impl_->stack.fast_open_counts(); }

std::uint64_t Host::count(weir_reason reason) const { return impl_->counters[static_cast<std::size_t>(reason)]; }

const HostOptions& Host::options() const { return impl_->options; }

}  // namespace weir::harness
