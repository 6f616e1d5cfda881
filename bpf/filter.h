/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Third stage: the operator's rules, in order, first match wins.
 *
 * A packet without ports (a later fragment, ICMP, any protocol but TCP and UDP) matches only rules for all ports. So a
 * rule that drops a port does not see the later fragments of what it dropped; without their first they are never
 * reassembled.
 */
#pragma once

#include "packet.h"

static __always_inline int address_matches(const union address* a, const struct weir_addr* net,
                                           const struct weir_addr* mask) {
  const __u64* n = (const __u64*)net;
  const __u64* m = (const __u64*)mask;
  return (((a->half[1] & m[1]) ^ n[1]) | ((a->half[0] & m[0]) ^ n[0])) == 0;
}

static __always_inline int rule_matches(const struct weir_rule* rule, const struct packet* p, __u32 port,
                                        int has_ports) {
  if (rule->protocol && rule->protocol != p->flow.protocol) return 0;
  if (has_ports ? (port < rule->port_min || port > rule->port_max) : (rule->port_min != 0 || rule->port_max != 0xffff))
    return 0;
  return address_matches(&p->flow.src, &rule->src, &rule->src_mask) &&
         address_matches(&p->flow.dst, &rule->dst, &rule->dst_mask);
}

/* A function of its own to the verifier: the loop is examined once, not once for every way that leads to it.
 * `selector` is the generation, read once by the caller, so that no packet is judged by half of each. */
__attribute__((noinline)) int filter_packet(const struct packet* p, __u32 selector, __u32 frame_length) {
  if (!p) return WEIR_R_DROP_MALFORMED;
  __u32 generation = selector & 1;
  struct weir_filter* table = bpf_map_lookup_elem(&filter, &generation);
  if (!table) return NEXT_STAGE;
  int has_ports = p->fragment != FRAGMENT_LATER && (p->flow.protocol == IPPROTO_TCP || p->flow.protocol == IPPROTO_UDP);
  __u32 port = bpf_ntohs(p->flow.dport_be);
  __u32 rules = table->count;

  for (__u32 i = 0; i < WEIR_MAX_RULES; i++) {
    if (i >= rules) break;
    const struct weir_rule* rule = &table->rules[i];
    if (!rule_matches(rule, p, port, has_ports)) continue;
    count(&rule_counters, rule->counter, frame_length);
    if (rule->action == WEIR_ACTION_DROP) return WEIR_R_DROP_FILTER;
    if (rule->action == WEIR_ACTION_PASS) return WEIR_R_PASS_FILTER;
    return NEXT_STAGE;
  }
  return NEXT_STAGE;
}
