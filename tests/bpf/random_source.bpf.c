// SPDX-License-Identifier: GPL-2.0-only
/* The program itself, behind a source address that is another for each run over the same frame. */
#include "weir.bpf.c"

#include "random_source.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct random_source);
} random_source SEC(".maps");

SEC("xdp") int weir_random_source(struct xdp_md* ctx) {
  __u32 zero = 0;
  struct random_source* r = bpf_map_lookup_elem(&random_source, &zero);
  void* data = (void*)(long)ctx->data;
  if (!r || data + 54 > (void*)(long)ctx->data_end) return XDP_ABORTED;
  __u64 x = r->state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  r->state = x;
  __u64 i = (__u32)x % (r->entries ? r->entries : 1);
  if ((x >> 40 & 255) < r->misses) i = x >> 8 | 1ULL << 40;
  if (r->v6) {
    __u64* source = data + 22;
    source[0] = bpf_cpu_to_be64(random_upper(i));
    source[1] = bpf_cpu_to_be64(mixed64(i));
  } else {
    *(__u32*)(data + 26) = bpf_htonl(mixed32(i));
  }
  return run(ctx, WRITES_NOTHING);
}
