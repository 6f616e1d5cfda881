/* SPDX-License-Identifier: GPL-2.0-only
 *
 * What is told of single frames behind the one exit (abi: capture_abi.h): copies for who listens, and now and then a
 * dropped one.
 */
#pragma once

#include "packet.h"

static __always_inline void fill_record(struct weir_capture_record* record, const struct packet* p, __u32 reason,
                                        __u32 queue, __u32 length, __u32 flags) {
  record->time_ns = bpf_ktime_get_ns();
  record->generation = p->generation;
  record->rule = p->rule;
  record->steer = p->steer;
  record->length = length;
  record->reason = reason;
  record->queue = queue;
  record->flags = flags;
  if (!(flags & WEIR_CAPTURE_ANSWER) && p->sample && bpf_get_prandom_u32() % p->sample == 0) record->flags |= WEIR_CAPTURE_SAMPLED;
}

static __always_inline void copy_to(struct xdp_md* ctx, struct weir_config* cfg, __u32 number,
                                    struct weir_capture_record* record) {
  struct weir_capture_slot* slot = bpf_map_lookup_elem(&capture_slots, &number);
  if (!slot) return;
  /* Signed: its owner's CPU may read a clock some nanoseconds ahead of ours. */
  if ((__s64)(record->time_ns - *(volatile __u64*)&slot->until_ns) > 0) {
    __sync_fetch_and_and(&cfg->captures, ~(1u << number));
    return;
  }
  if (!(slot->reasons >> (record->reason & 63) & 1)) return;
  if ((slot->flags & WEIR_CAPTURE_SAMPLED) && !(record->flags & WEIR_CAPTURE_SAMPLED)) return;
  __u32 octets = record->length < WEIR_CAPTURE_MOST ? record->length : WEIR_CAPTURE_MOST;
  if (octets > slot->snaplen) octets = slot->snaplen;
  record->captured = octets;
  __u32 cpu = bpf_get_smp_processor_id();
  __u64 flags = (__u64)octets << 32 | (number * WEIR_CAPTURE_CPUS + cpu);
  __sync_fetch_and_add(&slot->captured, 1);
  if (cpu >= WEIR_CAPTURE_CPUS || bpf_perf_event_output(ctx, &captures, flags, record, sizeof(*record)))
    __sync_fetch_and_add(&slot->lost, 1);
}

/* A function of its own to the verifier, as filter_packet. */
__attribute__((noinline)) int capture(struct xdp_md* ctx, const struct packet* p, __u32 reason, __u32 length,
                                     __u32 flags) {
  __u32 zero = 0;
  struct weir_config* cfg = bpf_map_lookup_elem(&config, &zero);
  if (!cfg || !p) return 0;
  struct weir_capture_record record = {};
  fill_record(&record, p, reason, ctx->rx_queue_index, length, flags);
  for (__u32 s = 0; s < WEIR_CAPTURE_SLOTS; s++)
    if (*(volatile __u32*)&cfg->captures & 1u << s) copy_to(ctx, cfg, s, &record);
  return 0;
}

__attribute__((noinline)) int write_sample(struct xdp_md* ctx, const struct packet* p, struct weir_drop_sample* sample,
                                           __u32 length) {
  if (!p || !sample) return 0;
  __sync_fetch_and_add(&sample->sequence, 1);
  sample->jiffies = bpf_jiffies64();
  sample->time_ns = bpf_ktime_get_ns();
  sample->generation = p->generation;
  sample->rule = p->rule;
  sample->length = length;
  __u32 octets = length < WEIR_DROP_SAMPLE_OCTETS ? length : WEIR_DROP_SAMPLE_OCTETS;
  sample->captured = octets;
  /* The helper takes no size of 0, and verifiers before 6.12 learn nothing from a comparison with it. */
  asm volatile("" : "+r"(octets));
  octets = ((octets - 1) & (WEIR_DROP_SAMPLE_OCTETS - 1)) + 1;
  if (bpf_xdp_load_bytes(ctx, 0, sample->octets, octets)) sample->captured = 0;
  __sync_fetch_and_add(&sample->sequence, 1);
  return 0;
}

/* Of each reason the latest, but for those of the same moment. No clock is read for a frame that is not kept. */
static __always_inline void sample_drop(struct xdp_md* ctx, const struct packet* p, __u32 reason, __u32 length) {
  struct weir_drop_sample* sample = bpf_map_lookup_elem(&drop_samples, &reason);
  if (sample && bpf_jiffies64() - sample->jiffies >= WEIR_DROP_SAMPLE_JIFFIES) write_sample(ctx, p, sample, length);
}
