/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * The flow hash: keyed, and symmetric (both directions of a flow give the same value), so that whoever sees either side of a
 * flow finds the same slot, and a stranger without the key cannot aim flows at one bucket. The same code runs in XDP, once a
 * frame, and in the engine where a frame comes without metadata.
 *
 * Each endpoint is mixed by multiply-and-fold (64 x 64 -> low half and xor-shift, as in the finaliser
 * of MurmurHash3; each word is keyed before it is mixed), and the two are added, which needs no order. It is a hash for tables, not a MAC.
 */
#pragma once

#include "weir/common/abi.h"

#ifdef __cplusplus /* one text for two languages: the casts are C's */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif

static inline weir_u64 weir_mix64(weir_u64 h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdULL;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ULL;
  h ^= h >> 33;
  return h;
}

/* One endpoint: the two halves of the 16-byte address as loaded from memory, and the port as loaded from memory (network
 * order), so that no byte swap is paid. */
static inline weir_u64 weir_hash_endpoint(weir_u64 hi, weir_u64 lo, weir_u16 port_be, const weir_u64 key[2]) {
  weir_u64 port = port_be;
  return weir_mix64(weir_mix64(hi ^ key[0]) + (lo ^ key[1]) + (port << 17));
}

/* The sum of the endpoints' hashes is symmetric without a comparison. */
static inline weir_u32 weir_flow_hash(weir_u64 src_hi, weir_u64 src_lo, weir_u16 sport_be, weir_u64 dst_hi, weir_u64 dst_lo,
                                      weir_u16 dport_be, weir_u8 protocol, const weir_u64 key[2]) {
  weir_u64 h = weir_hash_endpoint(src_hi, src_lo, sport_be, key) + weir_hash_endpoint(dst_hi, dst_lo, dport_be, key);
  return (weir_mix64(h + protocol) >> 16) & 0xffffffffu;
}

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif
