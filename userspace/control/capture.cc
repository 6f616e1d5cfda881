// SPDX-License-Identifier: MIT
#include "weir/control/capture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace weir::control {
namespace {

constexpr std::size_t kMostMemory = std::size_t{16} << 20;  // of all rings
constexpr std::size_t kMostPages = 256;                     // of a ring
constexpr std::size_t kLeastPages = 8;                      // one copy of WEIR_CAPTURE_MOST fits

// "0-3,8": those that run now.
Outcome<std::vector<int>> online_cpus() {
  std::ifstream file("/sys/devices/system/cpu/online");
  std::string text;
  std::vector<int> out;
  if (std::getline(file, text)) {
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at < end) {
      int first = 0;
      auto [next, error] = std::from_chars(at, end, first);
      if (error != std::errc{}) break;
      int last = first;
      if (next < end && *next == '-') {
        const auto range = std::from_chars(next + 1, end, last);
        if (range.ec != std::errc{}) break;
        next = range.ptr;
      }
      for (int cpu = first; cpu <= last && cpu < WEIR_CAPTURE_CPUS; ++cpu) out.push_back(cpu);
      at = next < end ? next + 1 : end;
    }
  }
  if (out.empty()) return xdp::fail("the list of CPUs cannot be read: is /sys mounted?", ENOENT);
  return out;
}

std::uint64_t nanoseconds(Instant t) { return static_cast<std::uint64_t>(t.ns()); }

// What a sample of PERF_SAMPLE_RAW begins with.
struct RawSample {
  perf_event_header header;
  std::uint32_t size;
};

}  // namespace

struct Capture::State {
  ~State() {
    perf_buffer__free(rings);
    if (slots != nullptr) {
      if (!stopped) stop_copies();
      release();
      munmap(slots, mapped);
    }
  }

  bool is_ours() const { return xdp::load(slot().owner) == owner; }
  void stop_copies() const {
    if (is_ours()) xdp::fetch_and(config->captures, ~(1u << number));
  }
  void release() const {
    if (!is_ours()) return;
    xdp::store(slot().until_ns, weir_u64{0});
    xdp::store(slot().owner, weir_u64{0});
  }
  weir_capture_slot& slot() const { return slots[number]; }

  static bpf_perf_event_ret on_event(void* self, int, perf_event_header* event) {
    const auto& each = *static_cast<State*>(self)->each;
    if (event->type != PERF_RECORD_SAMPLE || event->size < sizeof(RawSample) + sizeof(weir_capture_record))
      return LIBBPF_PERF_EVENT_CONT;
    RawSample head{};
    std::memcpy(&head, event, sizeof(RawSample));
    const char* data = reinterpret_cast<const char*>(event) + sizeof(RawSample);
    const std::size_t room = std::min<std::size_t>(head.size, event->size - sizeof(RawSample));
    weir_capture_record record{};
    if (room < sizeof record) return LIBBPF_PERF_EVENT_CONT;
    std::memcpy(&record, data, sizeof record);
    const std::size_t octets = std::min<std::size_t>(record.captured, room - sizeof record);
    each(record, {reinterpret_cast<const std::byte*>(data + sizeof record), octets});
    return LIBBPF_PERF_EVENT_CONT;
  }

  weir_config* config = nullptr;
  weir_capture_slot* slots = nullptr;
  std::size_t mapped = 0;
  std::uint32_t number = 0;
  std::uint64_t owner = 0;
  perf_buffer* rings = nullptr;
  const Each* each = nullptr;
  bool stopped = false;
  std::uint64_t until_ns = 0;
  CaptureTotals totals;
};

Capture::Capture(std::unique_ptr<State> state) : s_(std::move(state)) {}
Capture::Capture(Capture&&) noexcept = default;
Capture& Capture::operator=(Capture&&) noexcept = default;
Capture::~Capture() = default;

namespace {

Outcome<perf_buffer*> open_rings(int map, std::uint32_t slot, perf_buffer_event_fn on_event, void* context) {
  auto cpus = online_cpus();
  if (!cpus) return Err(cpus.error());
  std::vector<int> keys;
  for (const int cpu : *cpus) keys.push_back(static_cast<int>(slot) * WEIR_CAPTURE_CPUS + cpu);
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::size_t pages = kMostPages;
  while (pages > kLeastPages && pages * page * cpus->size() > kMostMemory) pages /= 2;

  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_BPF_OUTPUT;
  attributes.sample_type = PERF_SAMPLE_RAW;
  attributes.sample_period = 1;
  // A wake-up costs more than a copy.
  attributes.watermark = 1;
  attributes.wakeup_watermark = static_cast<std::uint32_t>(pages * page / 4);
  LIBBPF_OPTS(perf_buffer_raw_opts, options);
  options.cpu_cnt = static_cast<int>(cpus->size());
  options.cpus = cpus->data();
  options.map_keys = keys.data();
  perf_buffer* rings = perf_buffer__new_raw(map, pages, &attributes, on_event, context, &options);
  if (rings == nullptr) {
    const int code = errno;
    return Err(xdp::system_error(code, "opening the rings for copies of frames",
                                 code == EPERM || code == EACCES ? "it needs CAP_BPF and CAP_PERFMON: run it as root"
                                 : code == ENOENT                ? "this kernel has no perf events"
                                                                 : ""));
  }
  return rings;
}

// As many as there are, all taken.
Err<Error> all_taken(const weir_capture_slot* slots) {
  std::string pids;
  for (std::uint32_t s = 0; s < WEIR_CAPTURE_SLOTS; ++s)
    pids += (s == 0 ? "" : ", ") + std::to_string(xdp::load(slots[s].pid));
  return xdp::fail("as many listen on this interface as can (processes " + pids + "): end one of them", EBUSY);
}

}  // namespace

Outcome<Capture> Capture::open(const xdp::Maps& maps, const CaptureOptions& options, Instant now) {
  const xdp::MapFds fds = maps.fds();
  const int captures = fds[static_cast<std::size_t>(xdp::MapId::captures)];
  const int slots = fds[static_cast<std::size_t>(xdp::MapId::capture_slots)];
  if (captures < 0 || slots < 0) return xdp::fail("the maps for copies of frames are root's: run it as root", EPERM);
  auto state = std::make_unique<State>();
  state->config = &maps.config();
  state->mapped = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, state->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, slots, 0);
  if (memory == MAP_FAILED) return Err(xdp::system_error(errno, "mapping the slots for copies of frames"));
  // Nothing of it is ours yet: neither does the destructor give back what we have not taken.
  state->slots = static_cast<weir_capture_slot*>(memory);
  state->owner = nanoseconds(now) << 22 | static_cast<std::uint32_t>(getpid());
  const auto is_free = [&](std::uint32_t s) { return xdp::load(state->slots[s].until_ns) < nanoseconds(now); };
  while (state->number < WEIR_CAPTURE_SLOTS && !is_free(state->number)) ++state->number;
  if (state->number == WEIR_CAPTURE_SLOTS) {
    state->number = 0;
    return all_taken(state->slots);
  }
  auto rings = open_rings(captures, state->number, State::on_event, state.get());
  if (!rings) return Err(rings.error());
  state->rings = *rings;

  weir_capture_slot& slot = state->slot();
  // A bit that a dead listener left must not lead to a slot that is half written.
  xdp::fetch_and(state->config->captures, ~(1u << state->number));
  if (auto r = xdp::synchronize_programs(); !r) return Err(r.error());
  xdp::store(slot.owner, state->owner);
  xdp::store(slot.pid, static_cast<weir_u32>(getpid()));
  xdp::store(slot.reasons, options.reasons);
  xdp::store(slot.snaplen, std::clamp<weir_u32>(options.snaplen, 1, WEIR_CAPTURE_MOST));
  xdp::store(slot.flags, options.sampled ? weir_u32{WEIR_CAPTURE_SAMPLED} : weir_u32{0});
  xdp::store(slot.captured, weir_u64{0});
  xdp::store(slot.lost, weir_u64{0});
  state->until_ns = static_cast<std::uint64_t>(xdp::monotonic_ns()) + WEIR_CAPTURE_LEASE_NS;
  xdp::store(slot.until_ns, state->until_ns);
  xdp::fetch_or(state->config->captures, 1u << state->number);
  return Capture(std::move(state));
}

int Capture::descriptor() const { return perf_buffer__epoll_fd(s_->rings); }

Outcome<void> Capture::renew(Instant now) {
  State& s = *s_;
  if (s.stopped) return {};
  if (!s.is_ours())
    return xdp::fail("another dump has taken this one's place while it was held up for over a second", EOWNERDEAD);
  const std::uint64_t at = nanoseconds(now);
  if (at > s.until_ns) {
    ++s.totals.gaps;
    s.totals.unwatched += Duration::nanoseconds(static_cast<std::int64_t>(at - s.until_ns));
  }
  s.until_ns = std::max<std::uint64_t>(s.until_ns, at + WEIR_CAPTURE_LEASE_NS);
  xdp::store(s.slot().until_ns, s.until_ns);
  xdp::fetch_or(s.config->captures, 1u << s.number);
  return {};
}

void Capture::drain(const Each& each) {
  s_->each = &each;
  perf_buffer__consume(s_->rings);
  s_->each = nullptr;
}

Outcome<void> Capture::stop(Instant now) {
  if (s_->stopped) return {};
  if (auto r = renew(now); !r) return r;  // it counts what has passed unwatched
  s_->stop_copies();
  s_->stopped = true;
  return xdp::synchronize_programs();
}

CaptureTotals Capture::totals() const {
  CaptureTotals out = s_->totals;
  out.captured = xdp::load(s_->slot().captured);
  out.lost = xdp::load(s_->slot().lost);
  return out;
}

}  // namespace weir::control
