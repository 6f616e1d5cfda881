// SPDX-License-Identifier: MIT
#include "weir/stack/reassembly.h"

#include <algorithm>
#include <cstring>

#include "weir/stack/flow_key.h"

namespace weir::stack {
namespace {

constexpr unsigned bit(wire::Ecn ecn) { return 1u << static_cast<unsigned>(ecn); }
constexpr Duration kTimeoutV4 = Duration::seconds(30);  // RFC 1122 3.3.2 says 60 to 120 s; 30 s is what Linux keeps
constexpr Duration kTimeoutV6 = Duration::seconds(60);  // RFC 8200 4.5
}  // namespace

Reassembly::Reassembly(const Limits& limits) : limits_(limits) {}
Reassembly::~Reassembly() = default;

std::uint32_t Reassembly::pages_for(std::uint32_t bytes) {
  return static_cast<std::uint32_t>((bytes + kPageSize - 1) / kPageSize);
}

weir_reason Reassembly::on_fragment(const Fragment& fragment, Instant now, std::optional<Datagram>& whole) {
  std::size_t end = fragment.info.offset + fragment.data.size();
  if (fragment.data.empty() || end > kMaxSize) return WEIR_R_LOST_MALFORMED;
  if (fragment.info.more && fragment.data.size() % 8 != 0) return WEIR_R_LOST_MALFORMED;

  Context* context = find_or_create(fragment, now);
  if (context == nullptr) return WEIR_R_LOST_FRAG_LIMIT;
  if (context->condemned) return WEIR_R_LOST_FRAG_OVERLAP;
  weir_reason reason = place(*context, fragment);
  if (reason == WEIR_R_TAKEN_FRAGMENT || reason == WEIR_R_LOST_DUPLICATE) {
    context->codepoints = static_cast<std::uint8_t>(context->codepoints | bit(fragment.ecn));
  }
  if (reason != WEIR_R_TAKEN_FRAGMENT) {
    if (context->fragments == 0 && !context->condemned) remove(*context);
    return reason;
  }
  if (context->total != 0 && context->received == context->total) {
    // RFC 3168 5.3: no sender has some of a packet's fragments ECN-capable and others not, and the mark must not be
    // lost.
    bool contradicts =
        (context->codepoints & bit(wire::Ecn::ce)) != 0 && (context->codepoints & bit(wire::Ecn::not_ect)) != 0;
    if (!contradicts) whole = assemble(*context);
    remove(*context);
    if (contradicts) return WEIR_R_LOST_MALFORMED;
  }
  return WEIR_R_TAKEN_FRAGMENT;
}

Reassembly::Context* Reassembly::find_or_create(const Fragment& f, Instant now) {
  // RFC 791 3.2: source, destination, protocol and identification; RFC 8200 4.5: without the next header.
  bool v4 = f.source.is_v4();
  std::uint64_t more = (std::uint64_t{f.info.id} << 8) | (v4 ? static_cast<std::uint8_t>(f.protocol) : 0u);
  std::uint32_t hash = address_hash(f.source, limits_.hash_key, more);
  std::uint32_t found = table_.find(hash, [&](std::uint32_t i) {
    const Context& c = *contexts_[i];
    return c.id == f.info.id && c.source == f.source && c.destination == f.destination &&
           (!v4 || c.protocol == f.protocol);
  });
  if (found != IndexTable::kNone) return contexts_[found].get();

  // As many datagrams as pages: a condemned one holds no page, and still must not be free of charge.
  if (table_.size() >= pages_for(limits_.bytes)) return nullptr;
  std::uint32_t account = open_account(f.source);
  if (accounts_[account].contexts >= pages_for(limits_.bytes_per_source)) return nullptr;
  if (free_contexts_.empty()) {
    free_contexts_.push_back(static_cast<std::uint32_t>(contexts_.size()));
    contexts_.push_back(std::make_unique<Context>());
    contexts_.back()->index = free_contexts_.back();
  }
  Context& c = *contexts_[free_contexts_.back()];
  free_contexts_.pop_back();
  c.source = f.source;
  c.destination = f.destination;
  c.id = f.info.id;
  c.protocol = f.protocol;
  c.hash = hash;
  c.account = account;
  c.deadline = now + (v4 ? kTimeoutV4 : kTimeoutV6);
  c.total = c.received = c.fragments = 0;
  c.condemned = false;
  c.codepoints = 0;
  ++accounts_[account].contexts;
  table_.insert(hash, c.index);
  (v4 ? v4_ : v6_).push_back(c);
  return &c;
}

std::uint32_t Reassembly::open_account(const IpAddress& source) {
  std::uint32_t hash = address_hash(source, limits_.hash_key);
  std::uint32_t found = account_table_.find(hash, [&](std::uint32_t i) { return accounts_[i].source == source; });
  if (found != IndexTable::kNone) return found;
  if (free_accounts_.empty()) {
    free_accounts_.push_back(static_cast<std::uint32_t>(accounts_.size()));
    accounts_.emplace_back();
  }
  std::uint32_t index = free_accounts_.back();
  free_accounts_.pop_back();
  accounts_[index] = {source, hash, 0, 0};
  account_table_.insert(hash, index);
  return index;
}

weir_reason Reassembly::place(Context& c, const Fragment& f) {
  std::uint32_t begin = f.info.offset;
  auto end = static_cast<std::uint32_t>(begin + f.data.size());
  Range* first = c.ranges.data();
  Range* last = first + c.fragments;
  Range* at = std::lower_bound(first, last, begin, [](const Range& r, std::uint32_t b) { return r.begin < b; });
  bool is_last = !f.info.more;

  if (at != last && at->begin == begin && at->end == end && is_last == (c.total == end) && holds(c, begin, f.data)) {
    return WEIR_R_LOST_DUPLICATE;
  }
  if (at != last && at->begin < end) return condemn(c);
  if (at != first && (at - 1)->end > begin) return condemn(c);
  // Two ends, or text behind the end: no sender does that, and which is right cannot be known.
  if (c.total != 0 && (is_last || end > c.total)) return condemn(c);
  if (is_last && c.fragments != 0 && (last - 1)->end > end) return condemn(c);

  if (c.fragments == kMaxFragments) return WEIR_R_LOST_FRAG_LIMIT;
  if (!reserve(c, begin, end)) return WEIR_R_LOST_FRAG_LIMIT;
  std::copy_backward(at, last, last + 1);
  *at = {begin, end};
  ++c.fragments;
  c.received += end - begin;
  if (is_last) c.total = end;
  // RFC 8200 4.5: the next header is that of the first fragment; of the others it may differ.
  if (begin == 0) c.protocol = f.protocol;
  store(c, begin, f.data);
  return WEIR_R_TAKEN_FRAGMENT;
}

bool Reassembly::reserve(Context& c, std::uint32_t begin, std::uint32_t end) {
  std::size_t from = begin / kPageSize;
  std::size_t to = (end - 1) / kPageSize;
  std::uint32_t need = 0;
  for (std::size_t i = from; i <= to; ++i) need += c.pages[i] == nullptr ? 1u : 0u;
  Account& account = accounts_[c.account];
  if (pages_used_ + need > pages_for(limits_.bytes)) return false;
  if (account.pages + need > pages_for(limits_.bytes_per_source)) return false;
  for (std::size_t i = from; i <= to; ++i) {
    if (c.pages[i] != nullptr) continue;
    if (free_pages_.empty()) {
      c.pages[i] = std::make_unique<Page>();
    } else {
      c.pages[i] = std::move(free_pages_.back());
      free_pages_.pop_back();
    }
  }
  pages_used_ += need;
  account.pages += need;
  return true;
}

void Reassembly::store(Context& c, std::uint32_t at, ConstBytes data) {
  while (!data.empty()) {
    std::size_t in_page = at % kPageSize;
    std::size_t n = std::min(data.size(), kPageSize - in_page);
    std::memcpy(c.pages[at / kPageSize]->data() + in_page, data.data(), n);
    data = data.subspan(n);
    at += static_cast<std::uint32_t>(n);
  }
}

bool Reassembly::holds(const Context& c, std::uint32_t at, ConstBytes data) const {
  while (!data.empty()) {
    std::size_t in_page = at % kPageSize;
    std::size_t n = std::min(data.size(), kPageSize - in_page);
    if (std::memcmp(c.pages[at / kPageSize]->data() + in_page, data.data(), n) != 0) return false;
    data = data.subspan(n);
    at += static_cast<std::uint32_t>(n);
  }
  return true;
}

Reassembly::Datagram Reassembly::assemble(Context& c) {
  if (scratch_.empty()) scratch_.resize(kMaxSize);
  for (std::uint32_t at = 0; at < c.total; at += kPageSize) {
    std::size_t n = std::min<std::size_t>(c.total - at, kPageSize);
    std::memcpy(scratch_.data() + at, c.pages[at / kPageSize]->data(), n);
  }
  wire::Ecn ecn = wire::Ecn::not_ect;
  for (wire::Ecn one : {wire::Ecn::ect1, wire::Ecn::ect0, wire::Ecn::ce}) {
    if ((c.codepoints & bit(one)) != 0) ecn = one;
  }
  return {c.protocol, ecn, ConstBytes(scratch_).first(c.total)};
}

weir_reason Reassembly::condemn(Context& c) {
  c.condemned = true;
  release_pages(c);
  return WEIR_R_LOST_FRAG_OVERLAP;
}

void Reassembly::release_pages(Context& c) {
  for (auto& page : c.pages) {
    if (page == nullptr) continue;
    free_pages_.push_back(std::move(page));
    --pages_used_;
    --accounts_[c.account].pages;
  }
}

void Reassembly::remove(Context& c) {
  release_pages(c);
  Account& account = accounts_[c.account];
  if (--account.contexts == 0) {
    account_table_.erase(account.hash, c.account);
    free_accounts_.push_back(c.account);
  }
  table_.erase(c.hash, c.index);
  c.unlink();
  free_contexts_.push_back(c.index);
}

Instant Reassembly::next_deadline() const {
  Instant at = v4_.empty() ? Instant::never() : v4_.front().deadline;
  return v6_.empty() ? at : std::min(at, v6_.front().deadline);
}

std::uint32_t Reassembly::on_deadline(Instant now) {
  std::uint32_t expired = 0;
  for (auto* list : {&v4_, &v6_}) {
    while (!list->empty() && list->front().deadline <= now) {
      // A condemned one has been counted.
      if (!list->front().condemned) ++expired;
      remove(list->front());
    }
  }
  return expired;
}

}  // namespace weir::stack
