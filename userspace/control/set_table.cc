// SPDX-License-Identifier: MIT
#include "weir/control/set_table.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <tuple>

namespace weir::control {
namespace {

constexpr unsigned kMaxBits = 24;

std::uint64_t load(const std::uint64_t& word) {
  return std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(word)).load(std::memory_order_acquire);
}
void store(std::uint64_t& word, std::uint64_t value) {
  std::atomic_ref<std::uint64_t>(word).store(value, std::memory_order_release);
}
void set_bits(std::uint64_t& word, std::uint64_t bits) {
  if ((load(word) & bits) != bits) store(word, load(word) | bits);
}

std::uint64_t upper_mask(unsigned bits) { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); }

SetPrefix shortened(const SetPrefix& p, unsigned length) {
  SetPrefix out = p;
  out.length = static_cast<std::uint8_t>(length);
  const unsigned bits = p.v4 ? 96 + length : length;
  out.high &= upper_mask(std::min(bits, 64u));
  out.low &= upper_mask(bits > 64 ? bits - 64 : 0);
  return out;
}

constexpr std::uint16_t bit(unsigned set) { return static_cast<std::uint16_t>(1u << set); }
std::uint32_t end_of(std::uint64_t word) { return static_cast<std::uint32_t>(word >> WEIR_SET_END_SHIFT); }
std::uint16_t wide_sets(std::uint64_t word) { return static_cast<std::uint16_t>(word >> WEIR_SET_SETS_SHIFT); }
bool has_ended(std::uint64_t word, std::uint32_t now) { return end_of(word) != 0 && now >= end_of(word); }

unsigned bits_for(std::size_t entries) {
  unsigned bits = 3;
  while ((std::size_t{WEIR_SET_SLOTS} << bits) < 2 * entries && bits < kMaxBits) ++bits;
  return bits;
}
// Of the guide: rows of which each has to tell eight entries apart, where addresses are spread.
unsigned guide_bits_for(std::size_t entries) {
  unsigned bits = 3;
  while ((std::size_t{8} << bits) < entries && bits < kMaxBits) ++bits;
  return bits;
}

void set_sieve(weir_set_guide& row, std::uint64_t sieve) {
  set_bits(row.sieve[weir_set_sieve_word(sieve)],
           std::uint64_t{1} << weir_set_sieve_one(sieve) | std::uint64_t{1} << weir_set_sieve_other(sieve));
}

// Where everything stands.
weir_set_header layout(SetTableSize size) {
  weir_set_header h{};
  h.guide = WEIR_SET_ROW_NAMES + WEIR_MAX_SETS;
  h.narrow = h.guide + (1u << size.guide_bits);
  h.wide = h.narrow + WEIR_SET_BUCKETS(size.narrow_bits);
  h.guide_bits = size.guide_bits;
  h.narrow_bits = size.narrow_bits;
  h.wide_bits = size.wide_bits;
  return h;
}

}  // namespace

bool operator<(const SetPrefix& a, const SetPrefix& b) {
  return std::tuple(!a.v4, a.high, a.low, a.length) < std::tuple(!b.v4, b.high, b.low, b.length);
}

bool covers(const SetPrefix& prefix, const SetPrefix& other) {
  return prefix.v4 == other.v4 && prefix.length <= other.length && shortened(other, prefix.length) == prefix;
}

SetTableSize SetTableSize::for_entries(std::size_t narrow, std::size_t wide) {
  SetTableSize out;
  out.guide_bits = static_cast<std::uint8_t>(guide_bits_for(narrow + wide));
  out.narrow_bits = static_cast<std::uint8_t>(bits_for(narrow));
  out.wide_bits = static_cast<std::uint8_t>(bits_for(wide));
  return out;
}

SetTableSize SetTableSize::doubled() const {
  SetTableSize out;
  out.guide_bits = static_cast<std::uint8_t>(guide_bits + 1);
  out.narrow_bits = static_cast<std::uint8_t>(narrow_bits + 1);
  out.wide_bits = static_cast<std::uint8_t>(wide_bits + 1);
  return out;
}

std::size_t SetTableSize::rows() const {
  return layout(*this).wide + std::size_t{WEIR_SET_WIDE_ROWS} * WEIR_SET_BUCKETS(wide_bits);
}

SetTable SetTable::format(std::span<weir_set_row> rows, SetTableSize size, std::uint64_t seed) {
  weir_set_header h = layout(size);
  h.rows = static_cast<weir_u32>(rows.size());
  h.seed = seed;
  rows[0].header = h;
  return SetTable(rows);
}

bool SetTable::whole(std::span<const weir_set_row> rows) {
  if (rows.empty()) return false;
  const weir_set_header& h = rows[0].header;
  if (h.rows != rows.size() || h.guide_bits > kMaxBits || h.narrow_bits > kMaxBits || h.wide_bits > kMaxBits)
    return false;
  SetTableSize size;
  size.guide_bits = h.guide_bits;
  size.narrow_bits = h.narrow_bits;
  size.wide_bits = h.wide_bits;
  const weir_set_header wanted = layout(size);
  if (size.rows() != rows.size() || h.guide != wanted.guide || h.narrow != wanted.narrow || h.wide != wanted.wide)
    return false;
  return std::all_of(&rows[WEIR_SET_ROW_NAMES], &rows[WEIR_SET_ROW_NAMES] + WEIR_MAX_SETS, [](const weir_set_row& r) {
    return strnlen(r.name.name, sizeof r.name.name) < sizeof r.name.name;
  });
}

std::string SetTable::name(unsigned set) const {
  const weir_set_name& n = rows_[WEIR_SET_ROW_NAMES + set].name;
  return std::string(n.name, strnlen(n.name, sizeof n.name));
}

std::optional<unsigned> SetTable::find(std::string_view name) const {
  for (unsigned set = 0; set < WEIR_MAX_SETS && !name.empty(); ++set)
    if (this->name(set) == name) return set;
  return {};
}

std::optional<unsigned> SetTable::free_number() const {
  for (unsigned set = 0; set < WEIR_MAX_SETS; ++set)
    if (name(set).empty()) return set;
  return {};
}

void SetTable::set_name(unsigned set, std::string_view name) {
  weir_set_name& n = rows_[WEIR_SET_ROW_NAMES + set].name;
  const std::size_t length = std::min(name.size(), sizeof n.name - 1);
  if (length == 0) return;
  std::memset(n.name + 1, 0, sizeof n.name - 1);
  std::memcpy(n.name + 1, name.data() + 1, length - 1);
  std::atomic_ref<char>(n.name[0]).store(name[0], std::memory_order_release);
}

std::uint64_t* SetTable::narrow_slot(const SetPrefix& prefix) const {
  const weir_set_header& h = header();
  const std::uint32_t address = static_cast<std::uint32_t>(prefix.low);
  const std::uint64_t want = std::uint64_t{address} << 32 | std::uint64_t{prefix.length + 1u} << WEIR_SET_LENGTH_SHIFT;
  const auto hash = static_cast<std::uint32_t>(weir_set_hash(0, address, prefix.length, h.seed));
  for (std::uint32_t probe = 0; probe < WEIR_SET_PROBES; ++probe) {
    auto& words = rows_[h.narrow + (hash & ((1u << h.narrow_bits) - 1)) + probe].words;
    for (std::uint64_t& word : words) {
      if (word == 0) return nullptr;
      if (((word ^ want) >> WEIR_SET_LENGTH_SHIFT) == 0) return &word;
    }
  }
  return nullptr;
}

std::uint64_t* SetTable::free_narrow_slot(const SetPrefix& prefix) const {
  const weir_set_header& h = header();
  const auto hash =
      static_cast<std::uint32_t>(weir_set_hash(0, static_cast<std::uint32_t>(prefix.low), prefix.length, h.seed));
  for (std::uint32_t probe = 0; probe < WEIR_SET_PROBES; ++probe) {
    auto& words = rows_[h.narrow + (hash & ((1u << h.narrow_bits) - 1)) + probe].words;
    for (std::uint64_t& word : words)
      if (word == 0) return &word;
  }
  return nullptr;
}

// The first of the prefix's slots for which see(word) holds. Asked with a word of 0 it answers for a slot that was
// never filled, and then has the address written there; the caller writes the word.
template <class See>
std::uint64_t* SetTable::wide_slot(const SetPrefix& prefix, See see) const {
  const weir_set_header& h = header();
  const unsigned length = prefix.v4 ? 96u + prefix.length : prefix.length;
  const std::uint64_t hash = weir_set_hash(prefix.high, prefix.low, length, h.seed);
  const std::uint64_t want = weir_set_tag(hash, length);
  for (std::uint32_t probe = 0; probe < WEIR_SET_PROBES; ++probe) {
    const std::uint32_t bucket = (static_cast<std::uint32_t>(hash) & ((1u << h.wide_bits) - 1)) + probe;
    weir_set_row* row = &rows_[h.wide + std::size_t{bucket} * WEIR_SET_WIDE_ROWS];
    for (unsigned i = 0; i < WEIR_SET_SLOTS; ++i) {
      std::uint64_t& word = row->words[i];
      std::uint64_t* address = &row[1 + i / 4].words[i % 4 * 2];
      if (word == 0) {
        if (!see(word)) return nullptr;
        store(address[0], prefix.high);
        store(address[1], prefix.low);
        return &word;
      }
      if (((word ^ want) & 0xffff) == 0 && address[0] == prefix.high && address[1] == prefix.low && see(word))
        return &word;
    }
  }
  return nullptr;
}

weir_set_guide& SetTable::guide_row(std::uint64_t upper) const {
  const weir_set_header& h = header();
  return rows_[h.guide + (weir_set_guide_row(upper, h.seed) & ((1u << h.guide_bits) - 1))].guide;
}

// Before the entry is there: a reader that looks for it in vain loses nothing.
void SetTable::guide(const SetPrefix& prefix, bool narrow) {
  if (prefix.v4)
    guide_v4(static_cast<std::uint32_t>(prefix.low), prefix.length, narrow);
  else
    guide_v6(prefix);
}

void SetTable::guide_v4(std::uint32_t address, unsigned length, bool narrow) {
  const std::uint64_t mine = std::uint64_t{1} << (32 - length);
  const std::uint32_t first = address >> 16;
  const std::uint32_t covered = length >= 16 ? 1 : 1u << (16 - length);
  for (std::uint32_t upper = first; upper < first + covered; ++upper)
    set_bits(guide_row(upper).lengths[narrow ? 0 : 1], mine);
  if ((mine & WEIR_SET_UNSIEVED4) == 0) set_sieve(guide_row(first), weir_set_sieve(narrow ? 0 : 1, address, mine));
  weir_set_header& h = rows_[0].header;
  if (narrow)
    set_bits(h.lengths4, mine);
  else if (length == 0)
    set_bits(h.lengths4, WEIR_SET_END_OF_ALL);
  else
    std::atomic_ref<weir_u32>(h.ends4).fetch_or(static_cast<weir_u32>(mine));
}

void SetTable::guide_v6(const SetPrefix& prefix) {
  weir_set_header& h = rows_[0].header;
  if (prefix.length == 0) {
    std::atomic_ref<weir_u8>(h.all6).store(1, std::memory_order_release);
    return;
  }
  const unsigned half = prefix.length <= 64 ? 0 : 1;
  const std::uint64_t mine = std::uint64_t{1} << ((half == 0 ? 64u : 128u) - prefix.length);
  if (prefix.length >= 32) {
    weir_set_guide& row = guide_row(prefix.high & upper_mask(prefix.length < 48 ? 32 : 48));
    set_bits(row.lengths[half], mine);
    set_sieve(row, half == 0 ? weir_set_sieve(0, prefix.high, mine) : weir_set_sieve(prefix.high, prefix.low, mine));
  }
  set_bits(h.lengths6[half], mine);
}

bool SetTable::stays(std::uint16_t sets, const SetPrefix& prefix) const {
  if (prefix.v4) {
    const std::uint64_t* slot = narrow_slot(prefix);
    return slot != nullptr && (*slot & sets) != 0;
  }
  return wide_slot(prefix, [&](std::uint64_t w) { return w != 0 && end_of(w) == 0 && (wide_sets(w) & sets) != 0; }) !=
         nullptr;
}

SetTable::Change SetTable::add_narrow(unsigned set, const SetPrefix& prefix) {
  std::uint64_t* slot = narrow_slot(prefix);
  if (slot != nullptr) {
    store(*slot, load(*slot) | bit(set));
    return Change::done;
  }
  weir_set_header& h = rows_[0].header;
  slot = free_narrow_slot(prefix);
  if (slot == nullptr || h.narrow_used * 4u >= (3u * WEIR_SET_SLOTS) << h.narrow_bits) return Change::full;
  guide(prefix, true);
  ++h.narrow_used;
  store(*slot, (prefix.low & 0xffffffff) << 32 | std::uint64_t{prefix.length + 1u} << WEIR_SET_LENGTH_SHIFT | bit(set));
  return Change::done;
}

SetTable::Change SetTable::add_wide(unsigned set, const SetEntry& entry, std::uint32_t now) {
  const SetPrefix& p = entry.prefix;
  weir_set_header& h = rows_[0].header;
  const bool room = h.wide_used * 4u < (3u * WEIR_SET_SLOTS) << h.wide_bits;
  // Its own slot first; then one that belongs to nobody any more; then one that was never filled.
  const auto own = [&](std::uint64_t w) {
    if (w == 0 || wide_sets(w) == 0) return false;
    return entry.end == 0 ? end_of(w) == 0 : end_of(w) != 0 && wide_sets(w) == bit(set);
  };
  std::uint64_t* slot = wide_slot(p, own);
  const bool mine = slot != nullptr;
  if (!mine) slot = wide_slot(p, [&](std::uint64_t w) { return w != 0 && (wide_sets(w) == 0 || has_ended(w, now)); });
  bool fresh = false;
  if (slot == nullptr && room) slot = wide_slot(p, [&](std::uint64_t w) { return fresh = w == 0; });
  if (slot == nullptr) return Change::full;
  guide(p, false);
  if (fresh) ++h.wide_used;
  const unsigned length = p.v4 ? 96u + p.length : p.length;
  const std::uint16_t sets =
      mine && entry.end == 0 ? static_cast<std::uint16_t>(wide_sets(*slot) | bit(set)) : bit(set);
  store(*slot, std::uint64_t{entry.end} << WEIR_SET_END_SHIFT | std::uint64_t{sets} << WEIR_SET_SETS_SHIFT |
                   weir_set_tag(weir_set_hash(p.high, p.low, length, h.seed), length));
  return Change::done;
}

SetTable::Change SetTable::add(unsigned set, const SetEntry& entry, std::uint32_t now) {
  if (stays(bit(set), entry.prefix)) return Change::none;
  const auto present = this->entry(set, entry.prefix, now);
  if (present && present->end == entry.end) return Change::none;
  const Change change = entry.prefix.v4 && entry.end == 0 ? add_narrow(set, entry.prefix) : add_wide(set, entry, now);
  if (change == Change::done && entry.end == 0 && present) {
    // It stays now: what ended some time says nothing any more.
    std::uint64_t* slot =
        wide_slot(entry.prefix, [&](std::uint64_t w) { return w != 0 && end_of(w) != 0 && wide_sets(w) == bit(set); });
    if (slot != nullptr) store(*slot, load(*slot) & ~(std::uint64_t{0xffff} << WEIR_SET_SETS_SHIFT));
  }
  return change;
}

SetTable::Change SetTable::remove(unsigned set, const SetPrefix& prefix, std::uint32_t now) {
  const bool present = entry(set, prefix, now).has_value();
  if (prefix.v4) {
    if (std::uint64_t* slot = narrow_slot(prefix)) store(*slot, load(*slot) & ~std::uint64_t{bit(set)});
  }
  while (std::uint64_t* slot =
             wide_slot(prefix, [&](std::uint64_t w) { return w != 0 && (wide_sets(w) & bit(set)) != 0; }))
    store(*slot, load(*slot) & ~(std::uint64_t{bit(set)} << WEIR_SET_SETS_SHIFT));
  return present ? Change::done : Change::none;
}

std::optional<SetEntry> SetTable::entry(unsigned set, const SetPrefix& prefix, std::uint32_t now) const {
  if (stays(bit(set), prefix)) return SetEntry{prefix, 0};
  const std::uint64_t* slot = wide_slot(prefix, [&](std::uint64_t w) {
    return w != 0 && end_of(w) != 0 && (wide_sets(w) & bit(set)) != 0 && !has_ended(w, now);
  });
  if (slot == nullptr) return {};
  return SetEntry{prefix, end_of(*slot)};
}

std::vector<SetEntry> SetTable::covering(unsigned set, const SetPrefix& address, std::uint32_t now) const {
  std::vector<SetEntry> out;
  for (unsigned length = address.length + 1u; length-- > 0;)
    if (const auto found = entry(set, shortened(address, length), now)) out.push_back(*found);
  return out;
}

void SetTable::each(std::uint32_t now, const std::function<void(const SetEntry&, std::uint16_t)>& see) const {
  const weir_set_header& h = header();
  for (std::size_t bucket = 0; bucket < WEIR_SET_BUCKETS(h.narrow_bits); ++bucket)
    for (const std::uint64_t& slot : rows_[h.narrow + bucket].words) {
      const std::uint64_t word = load(slot);
      if ((word & 0xffff) == 0) continue;
      SetEntry e;
      e.prefix.v4 = true;
      e.prefix.low = WEIR_SET_V4_LOW | word >> 32;
      e.prefix.length = static_cast<std::uint8_t>((word >> WEIR_SET_LENGTH_SHIFT & 0xff) - 1);
      see(e, static_cast<std::uint16_t>(word));
    }
  for (std::size_t bucket = 0; bucket < WEIR_SET_BUCKETS(h.wide_bits); ++bucket) {
    const weir_set_row* row = &rows_[h.wide + bucket * WEIR_SET_WIDE_ROWS];
    for (unsigned i = 0; i < WEIR_SET_SLOTS; ++i) {
      const std::uint64_t word = load(row->words[i]);
      if (wide_sets(word) == 0 || has_ended(word, now)) continue;
      SetEntry e;
      e.end = end_of(word);
      e.prefix.high = row[1 + i / 4].words[i % 4 * 2];
      e.prefix.low = row[1 + i / 4].words[i % 4 * 2 + 1];
      const auto length = static_cast<unsigned>(word & 0xff) - 1;
      e.prefix.v4 =
          length >= 96 && e.prefix.high == 0 && (e.prefix.low & ~std::uint64_t{0xffffffff}) == WEIR_SET_V4_LOW;
      e.prefix.length = static_cast<std::uint8_t>(e.prefix.v4 ? length - 96 : length);
      see(e, wide_sets(word));
    }
  }
}

SetTableSize size_of_live(const SetTable& table, std::uint32_t now) {
  std::size_t narrow = 0, wide = 0;
  table.each(now, [&](const SetEntry& e, std::uint16_t) { ++(e.prefix.v4 && e.end == 0 ? narrow : wide); });
  return SetTableSize::for_entries(narrow, wide);
}

bool copy_live(const SetTable& from, SetTable& to, std::uint16_t without, std::uint32_t now) {
  bool fits = true;
  from.each(now, [&](const SetEntry& e, std::uint16_t sets) {
    for (unsigned set = 0; set < WEIR_MAX_SETS; ++set)
      if ((sets & ~without & bit(set)) != 0) fits = to.add(set, e, now) != SetTable::Change::full && fits;
  });
  return fits;
}

}  // namespace weir::control
