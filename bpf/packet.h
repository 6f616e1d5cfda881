/* SPDX-License-Identifier: GPL-2.0-only
 *
 * What one frame turned out to be: filled by parse.h, read by the later stages, so that no stage touches packet bytes
 * twice.
 */
#pragma once

#include <linux/in.h>

#include <bpf/bpf_endian.h>

#include "maps.h"

/* A stage returns the reason that settles the frame, or this. */
#define NEXT_STAGE ((int)WEIR_REASON_COUNT)
#define NO_STEER WEIR_NONE
#define NO_RULE WEIR_NONE

/* The filter's tables index by it. */
enum fragment_kind {
  FRAGMENT_NONE = WEIR_FRAGMENT_NONE,
  FRAGMENT_FIRST = WEIR_FRAGMENT_FIRST,
  FRAGMENT_LATER = WEIR_FRAGMENT_LATER
};

/* One address as the maps' keys have it, as the flow hash takes it, and by words for the IPv4 part. */
union address {
  struct weir_addr key;
  __u64 half[2];
  __u32 word[4];
};

struct flow {
  union address src;
  union address dst;
  __u16 sport_be;
  __u16 dport_be;
  __u32 protocol;
};

struct packet {
  struct flow flow;
  union {
    /* The packet that an ICMP error quotes; protocol 0: none that has ports. */
    struct flow quoted;
    /* Of a SYN that XDP answers: the TCP header of the answer. */
    __u32 answer[10];
  };
  __u16 mac[3];
  __u16 vlan;      /* 0: untagged; 1 + the outermost tag's identifier */
  __u16 ip_length; /* of the packet with its header; 65535 stands for more, too */
  __u16 l3_offset;
  __u16 l4_offset; /* 0: a later fragment */
  __u8 is_v6;
  __u8 tagged;        /* VLAN */
  __u8 source_routed; /* a routing header with segments left: the destination is a way-point */
  __u8 fragment;      /* enum fragment_kind */
  __u8 icmp_type;
  __u8 tcp_flags;
  __u8 fragment_protocol;
  __u8 slot;     /* of the generation that was asked, or WEIR_NO_SLOT */
  __u8 explains; /* somebody asks what would become of the frame: leave no trace of it */
  __u32 fragment_id;
  __u32 steer; /* index of the entry that was found, or NO_STEER */
  /* What explains the verdict. */
  __u32 rule;       /* number of the rule that matched, or NO_RULE */
  __u32 sample;     /* of that rule */
  __u64 generation; /* the serial of its generation; 0: none matched */
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* A request for a new connection (RFC 9293 3.5), and nothing else. */
static __always_inline int is_bare_syn(const struct packet* p) {
  return p->flow.protocol == IPPROTO_TCP && p->fragment != FRAGMENT_LATER &&
         (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* Every fragment of a packet has the same key. In IPv6 the later ones may name another protocol (RFC 8200 4.5), so it
 * takes no part there; in IPv4 it does (RFC 791 3.2). */
static __always_inline struct weir_fragment_key fragment_key(const struct packet* p) {
  struct weir_fragment_key key = {
      .src = p->flow.src.key, .dst = p->flow.dst.key, .id = p->fragment_id, .protocol = p->fragment_protocol};
  return key;
}
