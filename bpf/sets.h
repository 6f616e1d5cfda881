/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Which named sets an address is in (abi: set_abi.h). A row that is not there means a table that does not hold
 * together; it has no members.
 */
#pragma once

#include "packet.h"

/* The number of the lowest bit that is set: how many stand below it (clang 14 cannot compile __builtin_ctzll for BPF).
 */
static __always_inline __u32 lowest_bit(__u64 bits) {
  __u64 below = (bits & -bits) - 1;
  below -= (below >> 1) & 0x5555555555555555ULL;
  below = (below & 0x3333333333333333ULL) + ((below >> 2) & 0x3333333333333333ULL);
  below = (below + (below >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
  return (below * 0x0101010101010101ULL) >> 56;
}

static __always_inline union weir_set_row* set_row(void* table, __u32 index) {
  return bpf_map_lookup_elem(table, &index);
}

/* 1 where x is not 0, without a branch: eight slots that hardly ever match are eight wrong guesses when one does. */
static __always_inline __u64 not_zero(__u64 x) {
  x |= -x;
  asm volatile("" : "+r"(x));
  return x >> 63;
}

/* One look-up. The functions below are functions of their own to the verifier: what is asked for each of some thirty
 * lengths is examined once. So each has the table from the map again, and it may be another by then; an address that is
 * in both could be found in neither. */
struct set_walk {
  __u64 seed;  /* of the table that was met first; 0: none yet */
  __u64 upper; /* IPv6: lengths that the address may be found by, as the header has them */
  __u64 lower;
};

/* Among the sets that were found: the table has changed. Once, at the most: whoever puts a table in another's place
 * waits until all programs that may have seen both are over. */
#define SETS_CHANGED 0x20000

static __always_inline int is_another(struct set_walk* w, const struct weir_set_header* h) {
  if (!w->seed) w->seed = h->seed;
  return w->seed != h->seed;
}

/* The sets of an IPv4 prefix without end. */
__attribute__((noinline)) int narrow_sets(__u32 slot, __u32 prefix, __u32 length, struct set_walk* w) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table || !w) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
  if (is_another(w, &header->header)) return SETS_CHANGED;
  __u32 hash = weir_set_hash(0, prefix, length, header->header.seed);
  __u32 bucket = header->header.narrow + (hash & ((1u << (header->header.narrow_bits & 31)) - 1));
  __u64 want = (__u64)prefix << 32 | (__u64)(length + 1) << WEIR_SET_LENGTH_SHIFT;
  __u64 found = 0;
  for (__u32 i = 0; i < WEIR_SET_PROBES; i++) {
    union weir_set_row* slots = set_row(table, bucket + i);
    if (!slots) break;
#pragma unroll
    for (int n = 0; n < WEIR_SET_SLOTS; n++) {
      __u64 word = *(volatile __u64*)&slots->words[n];
      found |= word & (not_zero((word ^ want) >> WEIR_SET_LENGTH_SHIFT) - 1);
    }
    if (!slots->words[WEIR_SET_SLOTS - 1]) break; /* the last to be filled */
  }
  return found & 0xffff;
}

/* Of the slot that `match` says, if it is the prefix's and has not ended. */
static __always_inline __u32 sets_of_slot(void* table, const union weir_set_row* slots, __u32 first, __u32 n,
                                          __u64 high, __u64 low) {
  union weir_set_row* addresses = set_row(table, first + 1 + n / 4);
  if (!addresses || addresses->words[n % 4 * 2] != high || addresses->words[n % 4 * 2 + 1] != low) return 0;
  /* Once: what is read twice may be two states of it. */
  __u64 word = *(volatile __u64*)&slots->words[n];
  __u64 end = word >> WEIR_SET_END_SHIFT;
  if (end && bpf_ktime_get_ns() >= end * 1000000000ULL) return 0;
  return (word >> WEIR_SET_SETS_SHIFT) & 0xffff;
}

/* The sets of a prefix that has a wide slot. */
__attribute__((noinline)) int wide_sets(__u32 slot, __u64 high, __u64 low, __u32 length, struct set_walk* w) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table || !w) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
  if (is_another(w, &header->header)) return SETS_CHANGED;
  __u64 hash = weir_set_hash(high, low, length, header->header.seed);
  __u32 want = weir_set_tag(hash, length);
  __u32 first =
      header->header.wide + ((__u32)hash & ((1u << (header->header.wide_bits & 31)) - 1)) * WEIR_SET_WIDE_ROWS;
  __u32 found = 0;
  for (int i = 0; i < WEIR_SET_PROBES; i++, first += WEIR_SET_WIDE_ROWS) {
    union weir_set_row* slots = set_row(table, first);
    if (!slots) break;
    __u32 match = 0;
#pragma unroll
    for (int n = 0; n < WEIR_SET_SLOTS; n++) {
      __u64 word = *(volatile __u64*)&slots->words[n];
      match |= (not_zero((word ^ want) & 0xffff) ^ 1) << n;
    }
    for (int turn = 0; turn < WEIR_SET_SLOTS && match; turn++) {
      found |= sets_of_slot(table, slots, first, lowest_bit(match) & (WEIR_SET_SLOTS - 1), high, low);
      match &= match - 1;
    }
    if (!slots->words[WEIR_SET_SLOTS - 1]) break;
  }
  return found;
}

static __always_inline const struct weir_set_guide* guide_row(void* table, const struct weir_set_header* h,
                                                              __u64 upper) {
  __u32 row = weir_set_guide_row(upper, h->seed) & ((1u << (h->guide_bits & 31)) - 1);
  return (const struct weir_set_guide*)set_row(table, h->guide + row);
}

/* 1 if there may be the prefix, or 0. */
static __always_inline __u64 passes(const struct weir_set_guide* guide, __u64 sieve) {
  __u64 at = weir_set_sieve_word(sieve);
  /* The verifier knows a bound of the number, not of what the compiler makes of it. */
  asm volatile("" : "+r"(at));
  __u64 word = guide->sieve[at];
  return (word >> weir_set_sieve_one(sieve)) & (word >> weir_set_sieve_other(sieve)) & 1;
}

/* Those of the lengths of which there may be a prefix of the address. The looks into the row do not wait for one
 * another, nor for a bucket. */
static __always_inline __u64 sieved(const struct weir_set_guide* guide, __u64 lengths, __u64 above, __u64 address) {
  __u64 left = 0;
  for (int i = 0; i < 64 && lengths; i++) {
    __u64 bit = lengths & -lengths;
    left |= bit & -passes(guide, weir_set_sieve(above, address & -bit, bit));
    lengths ^= bit;
  }
  return left;
}

static __always_inline __u64 sieved_v4(const struct weir_set_guide* guide, __u64 lengths, __u64 ends, __u32 address) {
  __u64 exact = lengths & WEIR_SET_UNSIEVED4;
  return exact | sieved(guide, lengths & WEIR_SET_LENGTHS4 & ~WEIR_SET_UNSIEVED4, ends, address);
}

/* sets_of_v4(): sets_of_v4_with_end() may know more. */
#define SETS_MAY_END 0x10000

__attribute__((noinline)) int sets_of_v4(__u32 slot, __u32 address, __u32 wanted, struct set_walk* w) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table || !w) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
  const struct weir_set_header* h = &header->header;
  if (is_another(w, h)) return SETS_CHANGED;
  __u32 found = h->ends4 || (h->lengths4 & WEIR_SET_END_OF_ALL) ? SETS_MAY_END : 0;
  __u64 lengths = h->lengths4 & WEIR_SET_LENGTHS4;
  /* Where there is one length, its bucket tells as soon as the guide would. */
  if (lengths & (lengths - 1)) {
    const struct weir_set_guide* guide = guide_row(table, h, address >> 16);
    if (!guide) return 0;
    lengths = sieved_v4(guide, guide->lengths[0], 0, address);
  }
  for (int i = 0; i <= 32 && lengths && (found & wanted) != wanted; i++) {
    __u64 bit = lengths & -lengths;
    found |= narrow_sets(slot, address & (__u32)-bit, 32 - lowest_bit(bit), w);
    lengths ^= bit;
  }
  return found;
}

__attribute__((noinline)) int sets_of_v4_with_end(__u32 slot, __u32 address, __u32 wanted, struct set_walk* w) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table || !w) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
  const struct weir_set_header* h = &header->header;
  if (is_another(w, h)) return SETS_CHANGED;
  __u64 lengths = h->ends4;
  if ((lengths & (lengths - 1)) || (h->lengths4 & WEIR_SET_END_OF_ALL)) {
    const struct weir_set_guide* guide = guide_row(table, h, address >> 16);
    if (!guide) return 0;
    lengths = sieved_v4(guide, guide->lengths[1], 1, address);
  }
  __u32 found = 0;
  for (int i = 0; i <= 32 && lengths && (found & wanted) != wanted; i++) {
    __u64 bit = lengths & -lengths;
    found |= wide_sets(slot, 0, WEIR_SET_V4_LOW | (address & (__u32)-bit), 128 - lowest_bit(bit), w);
    lengths ^= bit;
  }
  return found;
}

__attribute__((noinline)) int sieve_v6(__u32 slot, __u64 high, __u64 low, struct set_walk* w) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table || !w) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
  const struct weir_set_header* h = &header->header;
  w->seed = h->seed;
  __u64 upper = h->lengths6[0];
  __u64 lower = h->lengths6[1];
  __u64 more = (upper & (upper - 1)) | (lower & (lower - 1));
  if (more || (upper && lower)) {
    __u64 left = upper & WEIR_SET_SHORT6;
    if (upper & WEIR_SET_MIDDLE6) {
      const struct weir_set_guide* guide = guide_row(table, h, high & ~0xffffffffULL);
      if (!guide) return 0;
      left |= sieved(guide, guide->lengths[0] & WEIR_SET_MIDDLE6, 0, high);
    }
    if ((upper & WEIR_SET_LONG6) || lower) {
      const struct weir_set_guide* guide = guide_row(table, h, high & ~0xffffULL);
      if (!guide) return 0;
      left |= sieved(guide, guide->lengths[0] & WEIR_SET_LONG6, 0, high);
      lower = sieved(guide, guide->lengths[1], high, low);
    }
    upper = left;
  }
  w->upper = upper;
  w->lower = lower;
  return h->all6;
}

__attribute__((noinline)) int sets_of_v6(__u32 slot, __u64 high, __u64 low, __u32 wanted) {
  struct set_walk w = {};
  __u32 found = 0;
  if (sieve_v6(slot, high, low, &w)) found = wide_sets(slot, 0, 0, 0, &w);
  __u64 left = w.upper;
  for (int i = 0; i < 64 && left && (found & wanted) != wanted; i++) {
    __u64 bit = left & -left;
    found |= wide_sets(slot, high & -bit, 0, 64 - lowest_bit(bit), &w);
    left ^= bit;
  }
  left = w.lower;
  for (int i = 0; i < 64 && left && (found & wanted) != wanted; i++) {
    __u64 bit = left & -left;
    found |= wide_sets(slot, high, low & -bit, 128 - lowest_bit(bit), &w);
    left ^= bit;
  }
  return found;
}

static __always_inline __u32 look_up(const union address* a, int is_v6, __u32 slot, __u32 wanted) {
  if (is_v6) return sets_of_v6(slot, bpf_be64_to_cpu(a->half[0]), bpf_be64_to_cpu(a->half[1]), wanted);
  struct set_walk w = {};
  __u32 found = sets_of_v4(slot, bpf_ntohl(a->word[3]), wanted, &w);
  if ((found & SETS_MAY_END) && (found & wanted) != wanted)
    found |= sets_of_v4_with_end(slot, bpf_ntohl(a->word[3]), wanted, &w);
  return found;
}

/* Bit s: the address is in set s; of the wanted ones. */
static __always_inline __u32 sets_of(const union address* a, int is_v6, __u32 slot, __u32 wanted) {
  __u32 found = look_up(a, is_v6, slot, wanted);
  if (__builtin_expect(found & SETS_CHANGED, 0)) found = look_up(a, is_v6, slot, wanted);
  return found & wanted;
}
