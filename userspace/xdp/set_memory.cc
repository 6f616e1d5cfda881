// SPDX-License-Identifier: MIT
#include "weir/xdp/set_memory.h"

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

namespace weir::xdp {
namespace {

std::size_t mapped_length(std::size_t rows) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (rows * sizeof(weir_set_row) + page - 1) / page * page;
}

}  // namespace

Outcome<SetMemory> SetMemory::make(std::size_t rows) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
  Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "weir_sets", sizeof(weir_u32), sizeof(weir_set_row),
                        static_cast<std::uint32_t>(rows), &options));
  if (!map)
    return Err(system_error(errno,
                            "making a table of sets of " + std::to_string(rows * sizeof(weir_set_row) >> 20) + " MiB",
                            errno == ENOMEM ? "fewer entries take less" : ""));
  return view(std::move(map));
}

Outcome<SetMemory> SetMemory::view(Fd map) {
  bpf_map_info info{};
  std::uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(map.get(), &info, &size) != 0) return Err(system_error(errno, "reading the sets"));
  if (info.value_size != sizeof(weir_set_row))
    return fail("the map of the sets is not one of this weir: detach with the weir that attached it", EPROTO);
  void* memory = mmap(nullptr, mapped_length(info.max_entries), PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0);
  if (memory == MAP_FAILED) return Err(system_error(errno, "mapping the sets"));
  return SetMemory(std::move(map), memory, info.max_entries);
}

SetMemory::SetMemory(SetMemory&& other) noexcept
    : map_(std::move(other.map_)), memory_(std::exchange(other.memory_, nullptr)), rows_(other.rows_) {}
SetMemory& SetMemory::operator=(SetMemory&& other) noexcept {
  std::swap(map_, other.map_);
  std::swap(memory_, other.memory_);
  std::swap(rows_, other.rows_);
  return *this;
}
SetMemory::~SetMemory() {
  if (memory_ != nullptr) munmap(memory_, mapped_length(rows_));
}

}  // namespace weir::xdp
