/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Which steering entry has a packet. A port with one entry and no selector costs one look-up in a hash and one in an
 * array; chains are walked only where there are more (weir/common/abi.h, struct weir_steer).
 */
#pragma once

#include "packet.h"

/* A flow from our side. */
struct entry_query {
  union address local;
  union address remote;
  __u16 port_be; /* ours */
  __u8 protocol;
  __u8 family; /* 4 or 6 */
  __u8 pad[4];
};

/* An entry that was freed or given to another port since its index was read has neither. */
static __always_inline int has_port(const struct weir_steer* entry, __u8 protocol, __u16 port_be) {
  if (entry->protocol != protocol) return 0;
  if (entry->port_be == port_be) return 1;
  if (!entry->port_last_be) return 0;
  __u16 port = bpf_ntohs(port_be);
  return port >= bpf_ntohs(entry->port_be) && port <= bpf_ntohs(entry->port_last_be);
}

static __always_inline int in_prefix(const union address* a, const struct weir_addr* prefix,
                                     const struct weir_addr* mask) {
  const union address* p = (const void*)prefix;
  const union address* m = (const void*)mask;
  return (a->half[0] & m->half[0]) == p->half[0] && (a->half[1] & m->half[1]) == p->half[1];
}

static __always_inline int entry_matches(const struct weir_steer* entry, const struct entry_query* q) {
  if (!has_port(entry, q->protocol, q->port_be)) return 0;
  if (!entry->family) return 1;
  return entry->family == q->family && in_prefix(&q->local, &entry->destination, &entry->destination_mask) &&
         in_prefix(&q->remote, &entry->source, &entry->source_mask);
}

struct entry_walk {
  struct entry_query query;
  __u32 at;     /* the next to look at, or NO_STEER */
  __u32 found;  /* or NO_STEER */
  __u32 drains; /* the first that matches and drains, or NO_STEER: it has what no other has */
  __u32 pad;
};

static long step_entry(__u32 i, struct entry_walk* w) {
  (void)i;
  __u32 at = w->at;
  struct weir_steer* entry = bpf_map_lookup_elem(&steer, &at);
  if (!entry) return 1;
  w->at = *(volatile __u32*)&entry->next - 1;
  if (!entry_matches(entry, &w->query)) return 0;
  if (entry->flags & WEIR_STEER_DRAINING) {
    if (w->drains == NO_STEER) w->drains = at;
    return 0;
  }
  w->found = at;
  return 1;
}

static __always_inline void walk_chain(struct entry_walk* w, __u16 port_be) {
  struct weir_steer_key key = {.protocol = w->query.protocol, .port_be = port_be};
  __u32* head = bpf_map_lookup_elem(&steer_index, &key);
  if (!head) return;
  w->at = *head;
  bpf_loop(WEIR_MAX_STEER_CHAIN, step_entry, w, 0);
}

/* The index of the entry, or NO_STEER. A function of its own: few packets need it. */
__attribute__((noinline)) __u32 select_entry(struct entry_query* q) {
  if (!q) return NO_STEER;
  struct entry_walk w = {.query = *q, .found = NO_STEER, .drains = NO_STEER};
  walk_chain(&w, q->port_be);
  if (w.found == NO_STEER) walk_chain(&w, 0);
  return w.found == NO_STEER ? w.drains : w.found;
}

static __always_inline int is_steered(__u8 protocol, __u16 port_be) {
  __u16 port = bpf_ntohs(port_be);
  __u32 at = weir_listening_word(protocol, port);
  __u64* word = bpf_map_lookup_elem(&steered, &at);
  return word && ((*(volatile __u64*)word >> (port & 63)) & 1);
}

/* The entry of a flow between one of our ports and a peer, and its index into p->steer. */
static __always_inline struct weir_steer* find_entry(const struct weir_config* cfg, struct packet* p, __u8 protocol,
                                                     const union address* local, __u16 port_be,
                                                     const union address* remote) {
  __u32* index = NULL;
  if (is_steered(protocol, port_be)) {
    struct weir_steer_key key = {.protocol = protocol, .port_be = port_be};
    index = bpf_map_lookup_elem(&steer_index, &key);
  }
  __u32 at = NO_STEER;
  struct weir_steer* entry = NULL;
  if (index) {
    at = *index;
    entry = bpf_map_lookup_elem(&steer, &at);
    if (!entry || !has_port(entry, protocol, port_be)) return NULL;
    if (!entry->family && !(entry->flags & WEIR_STEER_DRAINING)) {
      p->steer = at;
      return entry;
    }
  } else if (!(*(volatile const __u32*)&cfg->flags & WEIR_CONFIG_STEER_RANGES)) {
    return NULL;
  }
  struct entry_query query = {
      .local = *local, .remote = *remote, .port_be = port_be, .protocol = protocol, .family = p->is_v6 ? 6 : 4};
  at = select_entry(&query);
  entry = bpf_map_lookup_elem(&steer, &at);
  if (!entry) return NULL;
  p->steer = at;
  return entry;
}

/* Of the packet itself. */
static __noinline struct weir_steer* find_own_entry(const struct weir_config* cfg, struct packet* p) {
  return find_entry(cfg, p, p->flow.protocol, &p->flow.dst, p->flow.dport_be, &p->flow.src);
}
