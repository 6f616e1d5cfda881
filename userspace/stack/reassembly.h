// SPDX-License-Identifier: MIT
// IPv4 and IPv6 reassembly (RFC 791 3.2, RFC 8200 4.5), bounded in all and for each source. Overlapping fragments
// condemn their datagram, what is still to come of it included (RFC 5722); the same rule serves IPv4, where a sender
// has no more reason to overlap. An exact repetition is discarded alone, as RFC 8200 4.5 allows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/base/time.h"
#include "weir/common/reasons.h"
#include "weir/stack/index_table.h"
#include "weir/stack/link_list.h"
#include "weir/wire/ip_protocol.h"

namespace weir::stack {

class Reassembly {
 public:
  struct Limits {
    std::uint32_t bytes = 0;             // in all, in pages of 2 KiB
    std::uint32_t bytes_per_source = 0;  // likewise
    std::array<std::uint64_t, 2> hash_key{};
  };
  struct Fragment {
    IpAddress source;
    IpAddress destination;
    wire::IpProtocol protocol = wire::IpProtocol::none;
    wire::FragmentInfo info;
    ConstBytes data;
    wire::Ecn ecn = wire::Ecn::not_ect;
  };
  // A datagram that is complete. The payload is good until the next call.
  struct Datagram {
    wire::IpProtocol protocol = wire::IpProtocol::none;  // of the payload's start; for IPv6 the first fragment's
    wire::Ecn ecn = wire::Ecn::not_ect;                  // RFC 3168 5.3: CE where one fragment has it
    ConstBytes payload;
  };

  explicit Reassembly(const Limits& limits);
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;
  ~Reassembly();

  // WEIR_R_TAKEN_FRAGMENT, also where `whole` has been set; or why the fragment was discarded.
  weir_reason on_fragment(const Fragment& fragment, Instant now, std::optional<Datagram>& whole);

  Instant next_deadline() const;
  // Forgets what is too old, and returns how many datagrams that were.
  std::uint32_t on_deadline(Instant now);

  std::size_t datagrams() const { return table_.size(); }
  std::size_t bytes() const { return std::size_t{pages_used_} * kPageSize; }

 private:
  static constexpr std::size_t kPageSize = 2048;
  static constexpr std::size_t kMaxSize = 65'535;
  static constexpr std::size_t kMaxPages = kMaxSize / kPageSize + 1;
  // 65,535 bytes over a link of 1,280 make 53 fragments.
  static constexpr std::size_t kMaxFragments = 64;
  using Page = std::array<std::byte, kPageSize>;

  struct Range {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
  };
  struct AgeTag {};
  struct Context : Link<AgeTag> {
    IpAddress source;
    IpAddress destination;
    std::uint32_t id = 0;
    wire::IpProtocol protocol = wire::IpProtocol::none;
    std::uint32_t index = 0;
    std::uint32_t hash = 0;
    std::uint32_t account = 0;
    Instant deadline;
    std::uint32_t total = 0;  // 0: the last fragment has not come
    std::uint32_t received = 0;
    std::uint32_t fragments = 0;
    bool condemned = false;
    std::uint8_t codepoints = 0;              // a bit for each ECN codepoint that was seen
    std::array<Range, kMaxFragments> ranges;  // by begin
    std::array<std::unique_ptr<Page>, kMaxPages> pages;
  };
  // A source's share.
  struct Account {
    IpAddress source;
    std::uint32_t hash = 0;
    std::uint32_t pages = 0;
    std::uint32_t contexts = 0;
  };

  Context* find_or_create(const Fragment& fragment, Instant now);
  std::uint32_t open_account(const IpAddress& source);
  weir_reason place(Context& context, const Fragment& fragment);
  bool reserve(Context& context, std::uint32_t begin, std::uint32_t end);
  void store(Context& context, std::uint32_t at, ConstBytes data);
  bool holds(const Context& context, std::uint32_t at, ConstBytes data) const;
  Datagram assemble(Context& context);
  weir_reason condemn(Context& context);
  void release_pages(Context& context);
  void remove(Context& context);
  static std::uint32_t pages_for(std::uint32_t bytes);

  Limits limits_;
  std::uint32_t pages_used_ = 0;
  IndexTable table_;
  std::vector<std::unique_ptr<Context>> contexts_;
  std::vector<std::uint32_t> free_contexts_;
  IndexTable account_table_;
  std::vector<Account> accounts_;
  std::vector<std::uint32_t> free_accounts_;
  std::vector<std::unique_ptr<Page>> free_pages_;
  std::vector<std::byte> scratch_;
  LinkList<Context, AgeTag> v4_;  // by age, the oldest in front
  LinkList<Context, AgeTag> v6_;
};

}  // namespace weir::stack
