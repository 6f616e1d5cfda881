/* SPDX-License-Identifier: MIT
 *
 * How random_source.bpf.c chooses addresses, and the test the entries of its sets: entry i is a number that looks
 * random and is another for each i, so that the program meets entries at random without a list of them, whose cache
 * misses would be counted as the look-up's.
 */
#pragma once

#include "weir/common/abi.h"

struct random_source {
  weir_u64 state;   /* of the generator, not 0 */
  weir_u64 entries; /* of the set */
  weir_u32 v6;
  weir_u32 misses; /* of 256 frames, so many have an address from nowhere */
};

static inline weir_u32 mixed32(weir_u32 x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}
static inline weir_u64 mixed64(weir_u64 x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}
/* The upper half of entry i's IPv6 address; never that of an IPv4-mapped one. The lower is i's, mixed. */
static inline weir_u64 random_upper(weir_u64 i) { return mixed64(i + 0x1234567) | 1ULL << 61; }
