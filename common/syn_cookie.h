/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * SYN cookies (RFC 4987 3.6) as the engine and XDP make and check them: one text, so that what the one has answered the
 * other can take.
 *
 * The ISN: five bits of a clock that ticks every 64 s, three that stand for an MSS, and 24 of a keyed hash of these,
 * the flow, the peer's ISN and the options. The timestamp, where the peer offers one: in the six lowest bits its window
 * scale (15: none), SACK and ECN; RFC 7323 has the peer return it untouched. Without timestamps only the MSS is kept.
 */
#pragma once

#include "weir/common/abi.h"
#include "weir/common/siphash.h"

#ifdef __cplusplus /* one text for two languages: the casts are C's */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wconversion"
#endif

#define WEIR_COOKIE_TICK_NS 64000000000ULL
#define WEIR_COOKIE_MOST_TICKS 2 /* of age */
#define WEIR_COOKIE_LIFE_NS ((WEIR_COOKIE_MOST_TICKS + 1) * WEIR_COOKIE_TICK_NS)
#define WEIR_COOKIE_NO_BITS 0xffu /* no timestamps */
enum weir_cookie_bits {
  WEIR_COOKIE_SCALE = 0x0f,
  WEIR_COOKIE_NO_SCALE = 15,
  WEIR_COOKIE_SACK = 0x10,
  WEIR_COOKIE_ECN = 0x20,
  WEIR_COOKIE_BITS = 0x3f,
};

/* A flow from our side, and the SYN's sequence number. Addresses by little-endian words, the rest in host order. */
struct weir_cookie_flow {
  weir_u64 local[2];
  weir_u64 remote[2];
  weir_u32 irs;
  weir_u16 local_port;
  weir_u16 remote_port;
};

static inline weir_u32 weir_cookie_tick(weir_u64 now_ns) { return (weir_u32)(now_ns / WEIR_COOKIE_TICK_NS); }

/* RFC 9293's defaults, a tunnel's, PPPoE's neighbour below, Ethernet's with either family, and jumbo frames'. What a
 * SYN says is rounded down. The first is the least that a connection takes. */
static inline weir_u32 weir_cookie_mss_index(weir_u32 mss) {
  return (weir_u32)((mss >= 536) + (mss >= 1220) + (mss >= 1360) + (mss >= 1400) + (mss >= 1440) + (mss >= 1460) +
                    (mss >= 8940));
}
static inline weir_u16 weir_cookie_mss(weir_u32 index) {
  return index == 0   ? 64
         : index == 1 ? 536
         : index == 2 ? 1220
         : index == 3 ? 1360
         : index == 4 ? 1400
         : index == 5 ? 1440
         : index == 6 ? 1460
                      : 8940;
}

#ifdef __bpf__ /* two rounds a word, laid out flat: once is enough, and its stack is its own */
#define WEIR_COOKIE_FUNCTION static __attribute__((noinline))
#else
#define WEIR_COOKIE_FUNCTION static inline
#endif

/* `bits`: of enum weir_cookie_bits, or WEIR_COOKIE_NO_BITS. */
WEIR_COOKIE_FUNCTION weir_u32 weir_cookie_make(const weir_u64 key[2], const struct weir_cookie_flow* flow,
                                               weir_u32 tick, weir_u32 mss_index, weir_u32 bits) {
  struct weir_siphash s;
  weir_siphash_begin(&s, key);
  weir_siphash_take(&s, flow->local[0]);
  weir_siphash_take(&s, flow->local[1]);
  weir_siphash_take(&s, flow->remote[0]);
  weir_siphash_take(&s, flow->remote[1]);
  /* The numbers as the wire has them. */
  weir_siphash_take(&s, (weir_u64)__builtin_bswap16(flow->local_port) |
                            (weir_u64)__builtin_bswap16(flow->remote_port) << 16 |
                            (weir_u64)__builtin_bswap32(flow->irs) << 32);
  weir_siphash_take(&s, (weir_u64)__builtin_bswap32(tick) | (weir_u64)__builtin_bswap32(mss_index) << 32);
  weir_u64 mac = weir_siphash_end(&s, (weir_u64)__builtin_bswap32(bits) | (weir_u64)52 << 56);
  return (tick & 0x1f) << 27 | mss_index << 24 | ((weir_u32)mac & 0xffffff);
}

/* Whether `isn` answers the flow's SYN, and is not older than two ticks. */
static inline int weir_cookie_is_good(const weir_u64 key[2], const struct weir_cookie_flow* flow, weir_u32 isn,
                                      weir_u32 bits, weir_u32 tick) {
  weir_u32 age = (tick - (isn >> 27)) & 0x1f;
  if (age > WEIR_COOKIE_MOST_TICKS) return 0;
  return weir_cookie_make(key, flow, tick - age, isn >> 24 & 7, bits) == isn;
}

/* The timestamp that goes with it: `clock`, or up to 63 ms before it, never after it. */
static inline weir_u32 weir_cookie_timestamp(weir_u32 clock, weir_u32 bits) {
  weir_u32 value = (clock & ~0x3fu) | bits;
  return (weir_u32)(clock - value) >> 31 ? value - 0x40 : value;
}

/* RFC 7323 5.4: for a pair of hosts rather than a 4-tuple, so that a TIME-WAIT may be left by a newer timestamp and
 * PAWS holds across connections. The clock counts milliseconds from it. */
static inline weir_u32 weir_timestamp_offset(const weir_u64 key[2], const weir_u64 local[2], const weir_u64 remote[2]) {
  struct weir_siphash s;
  weir_siphash_begin(&s, key);
  weir_siphash_take(&s, local[0]);
  weir_siphash_take(&s, local[1]);
  weir_siphash_take(&s, remote[0]);
  weir_siphash_take(&s, remote[1]);
  return (weir_u32)weir_siphash_end(&s, (weir_u64)32 << 56);
}

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif
