// SPDX-License-Identifier: MIT
#include "weir/xdp/generation.h"

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace weir::xdp {
namespace {

std::size_t page_rounded(std::size_t n) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (n + page - 1) / page * page;
}

Err<Error> damaged() {
  return fail(
      "the filter's map does not hold together: load it again (weir filter apply), or empty it (weir filter flush)",
      EPROTO);
}

}  // namespace

Outcome<Fd> Generation::make(std::span<const weir_chunk> chunks) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
  Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "weir_filter", sizeof(weir_u32), sizeof(weir_chunk),
                        static_cast<std::uint32_t>(chunks.size()), &options));
  if (!map)
    return Err(system_error(errno, "making the filter's map of " + std::to_string(chunks.size_bytes() >> 10) + " KiB",
                            errno == ENOMEM ? "fewer rules, or fewer different ones, take less" : ""));
  const std::size_t length = page_rounded(chunks.size_bytes());
  void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0);
  if (memory == MAP_FAILED) return Err(system_error(errno, "mapping the filter's map"));
  std::memcpy(memory, chunks.data(), chunks.size_bytes());
  munmap(memory, length);
  return map;
}

Outcome<Generation> Generation::view(const Fd& map) {
  bpf_map_info info{};
  std::uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(map.get(), &info, &size) != 0) return Err(system_error(errno, "reading the filter"));
  if (info.value_size != sizeof(weir_chunk) || info.max_entries == 0) return damaged();
  const std::size_t bytes = std::size_t{info.max_entries} * sizeof(weir_chunk);
  const std::size_t length = page_rounded(bytes);
  void* memory = mmap(nullptr, length, PROT_READ, MAP_SHARED, map.get(), 0);
  if (memory == MAP_FAILED) return Err(system_error(errno, "mapping the filter"));
  Generation out(memory, length);
  const weir_generation& h = out.header();
  if (h.chunks != info.max_entries || h.rules > WEIR_MAX_RULES || h.definitions % alignof(weir_rule) != 0 ||
      h.definitions > bytes || h.rules * sizeof(weir_rule) > bytes - h.definitions)
    return damaged();
  for (const weir_rule& rule : out.rules())
    if (rule.counter >= WEIR_RULE_COUNTERS || strnlen(rule.name, sizeof rule.name) == sizeof rule.name)
      return damaged();
  return out;
}

Generation::Generation(Generation&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), length_(other.length_) {}
Generation& Generation::operator=(Generation&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(length_, other.length_);
  return *this;
}
Generation::~Generation() {
  if (memory_ != nullptr) munmap(const_cast<void*>(memory_), length_);
}

const weir_generation& Generation::header() const { return static_cast<const weir_chunk*>(memory_)->generation; }
std::span<const weir_rule> Generation::rules() const {
  const auto* first = static_cast<const weir_u8*>(memory_) + header().definitions;
  return {reinterpret_cast<const weir_rule*>(first), header().rules};
}

}  // namespace weir::xdp
