/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Token buckets of the filter's rules (abi: struct weir_rule_limit). One word a bucket, changed by compare and swap,
 * so that CPUs which share a bucket lend no token twice and wait for nobody.
 */
#pragma once

#include "packet.h"

/* So often another CPU can come in between; the frame that loses every time is over the limit. */
#define LIMIT_ATTEMPTS 8

/* `charge` 0: would it? */
static __always_inline int bucket_admits(__u64* bucket, __u64 cost, __u64 depth, __u64 now, int charge) {
  for (int i = 0; i < LIMIT_ATTEMPTS; i++) {
    __u64 lent = *(volatile __u64*)bucket;
    /* More than this rule can lend: the rule had another limit, or its counter another rule. Nobody waits for that. */
    if ((__s64)(lent - now) > (__s64)depth) {
      if (charge) __sync_val_compare_and_swap(bucket, lent, now + depth);
      return 0;
    }
    /* Signed: a bucket that is full lies in the past. */
    __u64 next = ((__s64)(lent - now) > 0 ? lent : now) + cost;
    if (next - now > depth) return 0;
    if (!charge || __sync_val_compare_and_swap(bucket, lent, next) == lent) return 1;
  }
  return 0;
}

static __always_inline int source_admits(const struct packet* p, __u32 counter, __u64 cost, __u64 depth, __u64 now) {
  struct weir_limit_source key = {.source = p->flow.src.key, .counter = counter};
  /* A host of IPv6 has a /64 of addresses to send from. */
  if (p->is_v6) __builtin_memset(&key.source.bytes[8], 0, 8);
  __u64* bucket = bpf_map_lookup_elem(&limit_sources, &key);
  int charge = !p->explains;
  if (bucket) return bucket_admits(bucket, cost, depth, now, charge);
  /* Two CPUs may both see a new source: one of the two first frames is not charged. */
  __u64 next = now + cost;
  if (charge) bpf_map_update_elem(&limit_sources, &key, &next, BPF_ANY);
  return cost <= depth;
}

/* `which`: the rule's counter << 8 | enum weir_limit. */
__attribute__((noinline)) int limit_admits(const struct packet* p, const struct weir_rule_limit* limit, __u32 which,
                                           __u32 frame_length) {
  if (!p || !limit) return 0;
  __u32 counter = which >> 8;
  __u64 now = bpf_ktime_get_ns() * (WEIR_LIMIT_SECOND / 1000000000ULL);
  __u64 cost = limit->cost;
  if (which & WEIR_LIMIT_BYTES) cost = limit->rate ? frame_length * WEIR_LIMIT_SECOND / limit->rate : 0;
  if (which & WEIR_LIMIT_PER_SOURCE) return source_admits(p, counter, cost, limit->depth, now);
  __u64* bucket = bpf_map_lookup_elem(&limits, &counter);
  return bucket ? bucket_admits(bucket, cost, limit->depth, now, !p->explains) : 1;
}
