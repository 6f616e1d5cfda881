// SPDX-License-Identifier: MIT
#include "dump_filter.h"

#include <fmt/core.h>
#include <pcap/pcap.h>

#include <cerrno>

namespace weir::cli {

void DumpFilter::Free::operator()(bpf_program* program) const {
  pcap_freecode(program);
  delete program;
}

Outcome<DumpFilter> DumpFilter::compile(const std::string& expression) {
  DumpFilter out;
  if (expression.empty()) return out;
  struct Close {
    void operator()(pcap_t* p) const { pcap_close(p); }
  };
  constexpr int kWhole = 262'144;
  const std::unique_ptr<pcap_t, Close> handle(pcap_open_dead(DLT_EN10MB, kWhole));
  if (handle == nullptr) return fail("opening libpcap failed: out of memory", ENOMEM);
  out.program_.reset(new bpf_program{});
  if (pcap_compile(handle.get(), out.program_.get(), expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0)
    return fail(fmt::format("'{}' is neither an interface here nor a filter expression (pcap-filter(7)): {}",
                            expression, pcap_geterr(handle.get())),
                EINVAL);
  return out;
}

bool DumpFilter::matches(std::span<const std::byte> octets, std::uint32_t length) const {
  if (program_ == nullptr) return true;
  pcap_pkthdr header{};
  header.caplen = static_cast<bpf_u_int32>(octets.size());
  header.len = length;
  return pcap_offline_filter(program_.get(), &header, reinterpret_cast<const u_char*>(octets.data())) != 0;
}

}  // namespace weir::cli
