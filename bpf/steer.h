/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Fourth stage: whose flow is it, and is anybody there to take it. It never says STEER for a frame that is tagged, for
 * another station, for an address that is not local, or that belongs to a kernel socket.
 */
#pragma once

#include "entry.h"
#include "parse.h"

/* How long the engine of a queue has been silent. The order matters: each is worse than the one before. */
enum engine_state {
  ENGINE_FRESH,
  ENGINE_SILENT,  /* over WEIR_SYN_STALE_NS: nothing new for it */
  ENGINE_STOPPED, /* over WEIR_FLOW_STALE_NS: nothing at all, or its ring fills and stalls the queue */
  ENGINE_ABSENT,  /* never there, or left in good order */
};

static __always_inline enum engine_state engine_state(__u32 queue) {
  struct weir_heartbeat* heartbeat = bpf_map_lookup_elem(&heartbeats, &queue);
  if (!heartbeat) return ENGINE_ABSENT;
  __u64 beat = *(volatile __u64*)&heartbeat->monotonic_ns;
  if (!beat) return ENGINE_ABSENT;
  /* Signed: the engine's CPU may read a clock some nanoseconds ahead of ours. */
  __s64 age = (__s64)(bpf_ktime_get_ns() - beat);
  if (age <= (__s64)WEIR_SYN_STALE_NS) return ENGINE_FRESH;
  return age <= (__s64)WEIR_FLOW_STALE_NS ? ENGINE_SILENT : ENGINE_STOPPED;
}

/* A frame of a flow that the engine has, or had: the kernel could only answer it with a reset. */
static __always_inline int steer_to_flow(__u32 queue, enum weir_reason reason) {
  enum engine_state state = engine_state(queue);
  if (state == ENGINE_ABSENT) return WEIR_R_PASS_NO_SOCKET;
  if (state == ENGINE_STOPPED) return bpf_map_lookup_elem(&xsks, &queue) ? WEIR_R_DROP_STALE : WEIR_R_PASS_NO_SOCKET;
  return reason;
}

/* Does a kernel socket other than a listener hold the flow? TIME-WAIT and NEW_SYN_RECV count: they are its connections
 * too. `remote` and `local` as the kernel's own receive path would look them up. */
static __always_inline int kernel_owns(struct xdp_md* ctx, int is_v6, const union address* remote, __u16 remote_port_be,
                                       const union address* local, __u16 local_port_be) {
  struct bpf_sock_tuple tuple = {};
  __u32 size;
  if (is_v6) {
    __builtin_memcpy(tuple.ipv6.saddr, remote->word, 16);
    __builtin_memcpy(tuple.ipv6.daddr, local->word, 16);
    tuple.ipv6.sport = remote_port_be;
    tuple.ipv6.dport = local_port_be;
    size = sizeof(tuple.ipv6);
  } else {
    tuple.ipv4.saddr = remote->word[3];
    tuple.ipv4.daddr = local->word[3];
    tuple.ipv4.sport = remote_port_be;
    tuple.ipv4.dport = local_port_be;
    size = sizeof(tuple.ipv4);
  }
  struct bpf_sock* sock = bpf_skc_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
  if (!sock) return 0;
  int owns = sock->state != BPF_TCP_LISTEN;
  bpf_sk_release(sock);
  return owns;
}

/* The look-up costs more than all the rest, so it is made only while the kernel may have connections of that port. With
 * a range of ports that is always: the kernel connects from ports of it without a SYN to be seen. */
static __always_inline int kernel_may_own(const struct weir_steer* entry) {
  return entry->port_last_be || *(volatile __u32*)&entry->syns_to_kernel != *(volatile __u32*)&entry->kernel_clear;
}

static __always_inline int is_own_mac(const struct weir_config* cfg, const struct packet* p) {
  __u16 own[3];
  __builtin_memcpy(own, cfg->mac, sizeof(own));
  return own[0] == p->mac[0] && own[1] == p->mac[1] && own[2] == p->mac[2];
}

/* enum weir_local, or 0. */
static __always_inline __u32 locality(const union address* a) {
  __u32* local = bpf_map_lookup_elem(&local_addrs, a);
  return local ? *local : 0;
}

static __always_inline int is_local(const union address* a) { return locality(a) != 0; }

/* Where nobody takes a new flow, the entry says who does. A reserved port is the engine's own and was never offered. */
static __always_inline int when_absent(const struct weir_steer* entry, enum weir_reason otherwise) {
  __u32 flags = entry->flags;
  return (flags & WEIR_STEER_ABSENT_DROP) && !(flags & WEIR_STEER_RESERVED) ? WEIR_R_DROP_ABSENT : otherwise;
}

static __always_inline int accepts_on(const struct weir_steer* entry, __u32 queue, __u16 port_be) {
  if (queue >= WEIR_MAX_QUEUES || !((*(volatile __u64*)&entry->listeners >> queue) & 1)) return 0;
  if (!entry->port_last_be) return 1;
  __u16 port = bpf_ntohs(port_be);
  __u32 at = weir_listening_word(entry->protocol, port);
  __u64* word = bpf_map_lookup_elem(&listening, &at);
  return word && ((*(volatile __u64*)word >> (port & 63)) & 1);
}

static __always_inline int is_draining(const struct weir_config* cfg, const struct weir_steer* entry) {
  return (entry->flags & WEIR_STEER_DRAINING) || (cfg->flags & WEIR_CONFIG_DETACHING);
}

static __always_inline int steer_syn(const struct weir_config* cfg, const struct weir_steer* entry, __u32 queue,
                                     __u16 port_be) {
  /* Nobody listens there. It is for a connection that the engine has begun (RFC 9293 3.5, simultaneous open; RFC 5961
   * 4), or for none. */
  if (entry->flags & WEIR_STEER_RESERVED) return steer_to_flow(queue, WEIR_R_STEER_SEGMENT);
  if (is_draining(cfg, entry)) return WEIR_R_PASS_SYN_DRAINING;
  enum engine_state state = engine_state(queue);
  if (!accepts_on(entry, queue, port_be) || state == ENGINE_ABSENT)
    return when_absent(entry, WEIR_R_PASS_SYN_NO_ACCEPTOR);
  if (state != ENGINE_FRESH) return when_absent(entry, WEIR_R_PASS_SYN_STALE);
  return WEIR_R_STEER_SYN;
}

/* A datagram has no connection to keep whole: it goes to the engine while there is one that listens, else to the
 * kernel. */
static __always_inline int steer_datagram(const struct weir_config* cfg, const struct weir_steer* entry, __u32 queue,
                                          __u16 port_be) {
  if (is_draining(cfg, entry)) return WEIR_R_PASS_NOT_STEERED;
  if (!accepts_on(entry, queue, port_be) || engine_state(queue) != ENGINE_FRESH)
    return when_absent(entry, WEIR_R_PASS_NO_SOCKET);
  return WEIR_R_STEER_DATAGRAM;
}

/* A later fragment has no ports: it goes where its first went. */
static __always_inline int steer_fragment(const struct weir_config* cfg, struct packet* p, __u32 queue) {
  struct weir_fragment_key key = fragment_key(p);
  __u32* index = bpf_map_lookup_elem(&fragments, &key);
  if (!index) return WEIR_R_PASS_FRAG_UNKNOWN;
  __u32 at = *index;
  struct weir_steer* entry = bpf_map_lookup_elem(&steer, &at);
  if (!entry || !entry->protocol) return WEIR_R_PASS_FRAG_UNKNOWN;
  if (!is_own_mac(cfg, p)) return WEIR_R_PASS_OTHER_MAC;
  p->steer = at;
  return steer_to_flow(queue, WEIR_R_STEER_FRAGMENT);
}

/* An ICMP error about a packet that the engine sent: from our address, from a steered port. */
static __noinline int steer_error(struct xdp_md* ctx, const struct weir_config* cfg, struct packet* p) {
  __u32 queue = ctx->rx_queue_index;
  if (p->tagged || p->source_routed) return WEIR_R_PASS_INFRA;
  struct weir_steer* entry = find_entry(cfg, p, p->quoted.protocol, &p->quoted.src, p->quoted.sport_be, &p->quoted.dst);
  if (!entry) return WEIR_R_PASS_INFRA;
  if (!is_own_mac(cfg, p) || !is_local(&p->flow.dst) || !is_local(&p->quoted.src)) return WEIR_R_PASS_INFRA;
  if (p->quoted.protocol == IPPROTO_TCP && kernel_may_own(entry) &&
      kernel_owns(ctx, p->is_v6, &p->quoted.dst, p->quoted.dport_be, &p->quoted.src, p->quoted.sport_be))
    return WEIR_R_PASS_KERNEL_OWNED;
  return engine_state(queue) <= ENGINE_SILENT ? WEIR_R_STEER_ICMP : WEIR_R_PASS_INFRA;
}

/* What steer_packet() would find out, too: the port is steered by no entry. */
static __always_inline int is_of_no_entry(const struct weir_config* cfg, const struct packet* p) {
  __u32 protocol = p->flow.protocol;
  return (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && p->fragment != FRAGMENT_LATER && !p->tagged &&
         !(*(volatile const __u32*)&cfg->flags & WEIR_CONFIG_STEER_RANGES) && !is_steered(protocol, p->flow.dport_be);
}

static __noinline int steer_packet(struct xdp_md* ctx, const struct weir_config* cfg, struct packet* p) {
  __u32 queue = ctx->rx_queue_index;
  __u32 protocol = p->flow.protocol;
  if (p->fragment == FRAGMENT_LATER) return p->tagged ? WEIR_R_PASS_VLAN : steer_fragment(cfg, p, queue);
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
    return protocol == (p->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ? WEIR_R_PASS_ICMP : WEIR_R_PASS_OTHER_PROTO;
  if (p->tagged) return WEIR_R_PASS_VLAN;

  struct weir_steer* entry = find_own_entry(cfg, p);
  if (!entry) return WEIR_R_PASS_NOT_STEERED;
  if (!is_own_mac(cfg, p)) return WEIR_R_PASS_OTHER_MAC;
  __u32 local = locality(&p->flow.dst);
  if (p->source_routed || !local) return WEIR_R_PASS_NOT_LOCAL;
  /* An address may come back: until it does, the segments of an engine's connections are not the kernel's to reset. */
  if (local == WEIR_LOCAL_LEFT && (protocol == IPPROTO_UDP || is_bare_syn(p))) return WEIR_R_PASS_NOT_LOCAL;
  if (protocol == IPPROTO_UDP) return steer_datagram(cfg, entry, queue, p->flow.dport_be);

  if (kernel_may_own(entry) &&
      kernel_owns(ctx, p->is_v6, &p->flow.src, p->flow.sport_be, &p->flow.dst, p->flow.dport_be))
    return WEIR_R_PASS_KERNEL_OWNED;
  return is_bare_syn(p) ? steer_syn(cfg, entry, queue, p->flow.dport_be) : steer_to_flow(queue, WEIR_R_STEER_SEGMENT);
}
