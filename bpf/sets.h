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

/* The sets of an IPv4 prefix without end: `want` is what its slot has in common with it, `bucket` goes beyond `last`
 * and is masked by it. Functions of their own to the verifier, as all below: what is asked for each of some thirty
 * lengths is examined once. */
__attribute__((noinline)) int narrow_sets(__u32 slot, __u32 bucket, __u64 want) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table) return 0;
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
__attribute__((noinline)) int wide_sets(__u32 slot, __u64 high, __u64 low, __u32 length) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
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

/* The word of the guide. */
static __always_inline __u64 guide4(void* table, const struct weir_set_header* h, __u32 address) {
  union weir_set_row* guide = set_row(table, h->guide4 + (address >> 16) / WEIR_SET_SLOTS);
  return guide ? guide->words[(address >> 16) % WEIR_SET_SLOTS] : 0;
}

static __always_inline __u64 lengths_with_end(const struct weir_set_header* h, __u64 guide) {
  return ((guide >> WEIR_SET_GUIDE4_ENDS) & ~3ULL) | h->lengths4_ends;
}

/* sets_of_v4(): sets_of_v4_with_end() may know more. */
#define SETS_MAY_END 0x10000

__attribute__((noinline)) int sets_of_v4(__u32 slot, __u32 address, __u32 wanted) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
  const struct weir_set_header* h = &header->header;
  __u64 guide = guide4(table, h, address);
  __u64 lengths = guide & 0x1ffffffffULL;
  __u32 found = lengths_with_end(h, guide) ? SETS_MAY_END : 0;
  for (int i = 0; i <= 32 && lengths && (found & wanted) != wanted; i++) {
    __u32 length = lowest_bit(lengths);
    __u64 prefix = address & (__u32)(0xffffffff00000000ULL >> length);
    __u32 hash = weir_set_hash(0, prefix, length, h->seed);
    found |= narrow_sets(slot, h->narrow + (hash & ((1u << (h->narrow_bits & 31)) - 1)),
                         prefix << 32 | (__u64)(length + 1) << WEIR_SET_LENGTH_SHIFT);
    lengths &= lengths - 1;
  }
  return found;
}

__attribute__((noinline)) int sets_of_v4_with_end(__u32 slot, __u32 address, __u32 wanted) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
  __u64 lengths = lengths_with_end(&header->header, guide4(table, &header->header, address));
  __u32 found = 0;
  for (int i = 0; i <= 32 && lengths && (found & wanted) != wanted; i++) {
    __u32 length = lowest_bit(lengths);
    __u32 prefix = address & (__u32)(0xffffffff00000000ULL >> length);
    found |= wide_sets(slot, 0, WEIR_SET_V4_LOW | prefix, 96 + length);
    lengths &= lengths - 1;
  }
  return found;
}

__attribute__((noinline)) int sets_of_v6(__u32 slot, __u64 high, __u64 low, __u32 wanted) {
  void* table = bpf_map_lookup_elem(&sets, &slot);
  if (!table) return 0;
  union weir_set_row* header = set_row(table, 0);
  if (!header) return 0;
  __u32 pair = weir_set_guide6(high, header->header.seed);
  union weir_set_row* guide = set_row(table, header->header.guide6 + pair * 2 / WEIR_SET_SLOTS);
  if (!guide) return 0;
  __u64 shorter = guide->words[pair * 2 % WEIR_SET_SLOTS];
  __u64 longer = guide->words[pair * 2 % WEIR_SET_SLOTS + 1];
  __u32 found = 0;
  if (shorter & 1) found = wide_sets(slot, high, low, 128);
  shorter = (shorter & ~0xffffffffULL) | header->header.lengths6;
  for (int i = 0; i < 64 && shorter && (found & wanted) != wanted; i++) {
    __u32 length = lowest_bit(shorter);
    found |= wide_sets(slot, high & ~(~0ULL >> (length & 63)), 0, length);
    shorter &= shorter - 1;
  }
  for (int i = 0; i < 64 && longer && (found & wanted) != wanted; i++) {
    __u32 length = lowest_bit(longer);
    found |= wide_sets(slot, high, low & ~(~0ULL >> (length & 63)), 64 + length);
    longer &= longer - 1;
  }
  return found;
}

/* Bit s: the address is in set s; of the wanted ones. */
static __always_inline __u32 sets_of(const union address* a, int is_v6, __u32 slot, __u32 wanted) {
  if (is_v6) return wanted & sets_of_v6(slot, bpf_be64_to_cpu(a->half[0]), bpf_be64_to_cpu(a->half[1]), wanted);
  __u32 found = sets_of_v4(slot, bpf_ntohl(a->word[3]), wanted);
  if ((found & SETS_MAY_END) && (found & wanted) != wanted)
    found |= sets_of_v4_with_end(slot, bpf_ntohl(a->word[3]), wanted);
  return found & wanted;
}
