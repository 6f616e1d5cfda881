/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Second stage: what no filter rule may cut off, because the host would lose its network with it, or its operator the
 * way in. (ARP has left already.) Fragments are not guarded: ND forbids them (RFC 6980), and one that only looks like infrastructure must not
 * slip by.
 */
#pragma once

#include "parse.h"

enum guarded {
  GUARD_NONE,       /* goes on to the filter */
  GUARD_INFRA,      /* the kernel's, unfiltered */
  GUARD_FLOW_ERROR, /* an ICMP error that quotes a packet with ports: unfiltered, and perhaps the engine's */
};

static __always_inline enum guarded guard_icmp(const struct packet* p) {
  if (is_flow_error(p)) return p->quoted.protocol ? GUARD_FLOW_ERROR : GUARD_INFRA;
  if (!p->is_v6) return p->icmp_type == ICMP4_QUENCH || p->icmp_type == ICMP4_REDIRECT ? GUARD_INFRA : GUARD_NONE;
  /* 130-132 MLD (RFC 2710), 133-137 RS RA NS NA redirect (RFC 4861), 143 MLDv2 (RFC 3810). */
  if (p->icmp_type < ICMP6_INFORMATIONAL || (p->icmp_type >= 130 && p->icmp_type <= 137) || p->icmp_type == 143)
    return GUARD_INFRA;
  return GUARD_NONE;
}

/* By the destination port alone: relays and DHCPv6 servers choose their source port (RFC 8357). */
static __always_inline enum guarded guard_udp(const struct packet* p) {
  __u16 port = bpf_ntohs(p->flow.dport_be);
  if (p->is_v6) return port == 546 || port == 547 ? GUARD_INFRA : GUARD_NONE;
  return port == 67 || port == 68 ? GUARD_INFRA : GUARD_NONE;
}

static __always_inline enum guarded guard(const struct packet* p) {
  if (p->fragment != FRAGMENT_NONE) return GUARD_NONE;
  if (p->flow.protocol == (p->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) return guard_icmp(p);
  if (p->flow.protocol == IPPROTO_UDP) return guard_udp(p);
  return GUARD_NONE;
}

/* An operator's SSH session, or a new connection from there to that sshd: the kernel's, unfiltered. Called only where
 * `guarded` is not empty. A function of its own to the verifier, as filter_packet. */
__attribute__((noinline)) int guards_session(const struct packet* p) {
  if (!p || p->flow.protocol != IPPROTO_TCP || p->fragment != FRAGMENT_NONE) return 0;
  struct weir_guard_key key = {.remote = p->flow.src.key, .port_be = p->flow.dport_be};
  struct weir_guard* session = bpf_map_lookup_elem(&guarded, &key);
  if (!session) return 0;
  if (!p->explains) session->seen_ns = bpf_ktime_get_ns();
  return 1;
}
