/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Fifth stage: the flow hash, and what is handed on in front of a steered frame.
 */
#pragma once

#include "packet.h"
#include "weir/common/flow_hash.h"

/* An ICMP error hashes as the flow that it is about, so that it finds the connection. A fragment hashes without ports,
 * which its later ones lack, so that all of a packet meet in one reassembly slot. */
static __always_inline __u32 hash_packet(const struct weir_config* cfg, const struct packet* p) {
  const struct flow* f = p->quoted.protocol ? &p->quoted : &p->flow;
  __u16 sport_be = p->fragment == FRAGMENT_NONE ? f->sport_be : 0;
  __u16 dport_be = p->fragment == FRAGMENT_NONE ? f->dport_be : 0;
  return weir_flow_hash(f->src.half[0], f->src.half[1], sport_be, f->dst.half[0], f->dst.half[1], dport_be, f->protocol,
                        cfg->hash_key);
}

/* After this no pointer into the frame is valid. A driver without room for metadata hands the frame on bare: the engine
 * then parses and hashes it itself. */
static __always_inline void write_metadata(struct xdp_md* ctx, const struct weir_config* cfg, const struct packet* p,
                                           enum weir_reason reason) {
  __u32 hash = hash_packet(cfg, p);
  if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(struct weir_meta))) return;
  struct weir_meta* meta = (void*)(long)ctx->data_meta;
  if ((void*)(meta + 1) > (void*)(long)ctx->data) return;
  meta->magic = WEIR_META_MAGIC;
  meta->flow_hash = hash;
  meta->l3_offset = p->l3_offset;
  meta->l4_offset = p->l4_offset;
  meta->steer = p->steer;
  meta->reason = reason;
}
