/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Every map of the ABI, under the name by which it is pinned. Layouts and writers: weir/common/abi.h.
 */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "weir/common/abi.h"
#include "weir/common/reasons.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_config);
} config SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_MAX_QUEUES);
  __type(key, __u32);
  __type(value, struct weir_heartbeat);
} heartbeats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_MAX_LOCAL_ADDRS);
  __type(key, struct weir_addr);
  __type(value, __u32);
} local_addrs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_MAX_STEER);
  __type(key, struct weir_steer_key);
  __type(value, __u32);
} steer_index SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_MAX_STEER);
  __type(key, __u32);
  __type(value, struct weir_steer);
} steer SEC(".maps");

/* By weir_listening_word(). */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_LISTENING_WORDS);
  __type(key, __u32);
  __type(value, __u64);
} listening SEC(".maps");

/* Likewise. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_LISTENING_WORDS);
  __type(key, __u32);
  __type(value, __u64);
} steered SEC(".maps");

/* By steering entry. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_MAX_STEER);
  __type(key, __u32);
  __type(value, struct weir_syn_guard);
} syn_guard SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_syn_answer);
} syn_answer SEC(".maps");

/* By the low bits of weir_flow_hash. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_FLOW_CELLS);
  __type(key, __u32);
  __type(value, struct weir_flow_cell);
} flow_cells SEC(".maps");

/* Frames that an entry gave to the engine. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_MAX_STEER);
  __type(key, __u32);
  __type(value, struct weir_counter);
} steer_counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_REASON_COUNT);
  __type(key, __u32);
  __type(value, struct weir_counter);
} counters SEC(".maps");

/* Generations of the filter, by slot. BPF_F_INNER_MAP: each has as many chunks as it needs. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, __u32);
  __array(
      values, struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
        __uint(max_entries, 1);
        __uint(key_size, sizeof(__u32));
        __uint(value_size, sizeof(union weir_chunk));
      });
} filter SEC(".maps");

/* Tables of named sets, by the slot that a generation names. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, WEIR_SET_TABLES);
  __type(key, __u32);
  __array(
      values, struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
        __uint(max_entries, 1);
        __uint(key_size, sizeof(__u32));
        __uint(value_size, sizeof(union weir_set_row));
      });
} sets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_RULE_COUNTERS);
  __type(key, __u32);
  __type(value, struct weir_counter);
} rule_counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEIR_RULE_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} limits SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, WEIR_MAX_LIMIT_SOURCES);
  __type(key, struct weir_limit_source);
  __type(value, __u64);
} limit_sources SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, WEIR_MAX_FRAGMENTS);
  __type(key, struct weir_fragment_key);
  __type(value, __u32);
} fragments SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_MAX_GUARDS);
  __type(key, struct weir_guard_key);
  __type(value, struct weir_guard);
} guarded SEC(".maps");

/* By slot and CPU: perf events of the process that listens there. */
struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(max_entries, WEIR_CAPTURE_SLOTS* WEIR_CAPTURE_CPUS);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} captures SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_CAPTURE_SLOTS);
  __type(key, __u32);
  __type(value, struct weir_capture_slot);
} capture_slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_DROP_SAMPLES);
  __type(key, __u32);
  __type(value, struct weir_drop_sample);
} drop_samples SEC(".maps");

/* By receive queue. A socket that closes leaves it by itself. */
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, WEIR_MAX_QUEUES);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} xsks SEC(".maps");

/* The two below are the engine's: no program reads them, they live here so that one object names the whole ABI. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_MAX_QUEUES);
  __type(key, __u32);
  __type(value, struct weir_engine_counters);
} engine_counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_secrets);
} secrets SEC(".maps");

static __always_inline void count(void* map, __u32 index, __u64 bytes) {
  struct weir_counter* counter = bpf_map_lookup_elem(map, &index);
  if (counter) {
    counter->packets++;
    counter->bytes += bytes;
  }
}
