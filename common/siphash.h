/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * SipHash-2-4 (Aumasson and Bernstein, 2012) by words: a keyed function whose values tell nothing of the key. One text
 * for the engine and for XDP. Words and key are as a little-endian load gives them.
 */
#pragma once

#include "weir/common/abi.h"

struct weir_siphash {
  weir_u64 v0;
  weir_u64 v1;
  weir_u64 v2;
  weir_u64 v3;
};

static inline weir_u64 weir_rotate(weir_u64 x, int by) { return x << by | x >> (64 - by); }

static inline void weir_siphash_round(struct weir_siphash* s) {
  s->v0 += s->v1;
  s->v2 += s->v3;
  s->v1 = weir_rotate(s->v1, 13) ^ s->v0;
  s->v3 = weir_rotate(s->v3, 16) ^ s->v2;
  s->v0 = weir_rotate(s->v0, 32);
  s->v2 += s->v1;
  s->v0 += s->v3;
  s->v1 = weir_rotate(s->v1, 17) ^ s->v2;
  s->v3 = weir_rotate(s->v3, 21) ^ s->v0;
  s->v2 = weir_rotate(s->v2, 32);
}

static inline void weir_siphash_begin(struct weir_siphash* s, const weir_u64 key[2]) {
  s->v0 = key[0] ^ 0x736f6d6570736575ULL;
  s->v1 = key[1] ^ 0x646f72616e646f6dULL;
  s->v2 = key[0] ^ 0x6c7967656e657261ULL;
  s->v3 = key[1] ^ 0x7465646279746573ULL;
}

static inline void weir_siphash_take(struct weir_siphash* s, weir_u64 word) {
  s->v3 ^= word;
  weir_siphash_round(s);
  weir_siphash_round(s);
  s->v0 ^= word;
}

/* `last`: the octets that make no whole word, and the length of the message in octets in the highest octet. */
static inline weir_u64 weir_siphash_end(struct weir_siphash* s, weir_u64 last) {
  weir_siphash_take(s, last);
  s->v2 ^= 0xff;
  weir_siphash_round(s);
  weir_siphash_round(s);
  weir_siphash_round(s);
  weir_siphash_round(s);
  return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}
