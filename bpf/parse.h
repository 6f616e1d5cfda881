/* SPDX-License-Identifier: GPL-2.0-only
 *
 * First stage: bytes to struct packet. After it every length has been checked, and what contradicts itself has been
 * dropped.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "packet.h"

#define MAX_VLAN_TAGS 2
#define VLAN_ID 0x0fff
#define MAX_EXT_HEADERS 8

#define IP_MF 0x2000
#define IP_OFFSET 0x1fff
#define IP6_MF 0x0001
#define IP6_OFFSET 0xfff8

/* linux/icmp.h and linux/icmpv6.h draw in libc's socket headers, which have no BPF flavour. */
struct icmp_header {
  __u8 type;
  __u8 code;
  __u16 checksum_be;
  __u32 rest;
};
enum { ICMP4_UNREACHABLE = 3, ICMP4_QUENCH = 4, ICMP4_REDIRECT = 5, ICMP4_TIME_EXCEEDED = 11, ICMP4_PARAMETER = 12 };
enum {
  ICMP6_UNREACHABLE = 1,
  ICMP6_TOO_BIG = 2,
  ICMP6_TIME_EXCEEDED = 3,
  ICMP6_PARAMETER = 4,
  ICMP6_INFORMATIONAL = 128
};

struct vlan_tag {
  __be16 tci;
  __be16 ethertype;
};
struct ext_header {
  __u8 next;
  __u8 length; /* in 8 octets beyond the first 8; AH: in 4 octets, less 2 (RFC 4302 2.2) */
  __u8 routing_type;
  __u8 segments_left;
};
struct fragment_header {
  __u8 next;
  __u8 reserved;
  __be16 offset;
  __be32 id;
};

/* `left` is what the enclosing header says is still there; `end` is where the frame ends. Both bound a read: Ethernet
 * pads short frames, and a packet ends where its IP header says. The place is kept as a number and turned into a
 * pointer at each read, because a number may cross a function and a pointer may not. */
struct cursor {
  __u32 at;
  __u32 left;
  void* data;
  void* end;
};

/* Headers end well before this; the verifier wants a bound for each pointer it makes. */
#define MAX_HEADER_OFFSET 0x7fff

static __always_inline void* take(struct cursor* c, __u32 size) {
  if (c->left < size || c->at > MAX_HEADER_OFFSET) return NULL;
  void* at = c->data + c->at;
  /* One value: worked out again from its parts, it would be a pointer that no bound was ever checked for. */
  asm volatile("" : "+r"(at));
  if (at + size > c->end) return NULL;
  c->at += size;
  c->left -= size;
  return at;
}

/* Passes over octets that nobody reads. */
static __always_inline int skip(struct cursor* c, __u32 size) {
  if (c->left < size) return 0;
  c->at += size;
  c->left -= size;
  return 1;
}

static __always_inline void map_v4(union address* to, __be32 address) {
  to->half[0] = 0;
  to->word[2] = bpf_htonl(0xffff);
  to->word[3] = address;
}

static __always_inline void copy_v6(union address* to, const struct in6_addr* from) {
  to->word[0] = from->in6_u.u6_addr32[0];
  to->word[1] = from->in6_u.u6_addr32[1];
  to->word[2] = from->in6_u.u6_addr32[2];
  to->word[3] = from->in6_u.u6_addr32[3];
}

/* ::ffff:0:0/96, which must not be on the wire (RFC 4942 2.2): it would pass for IPv4 in every key. */
static __always_inline int is_mapped(const union address* a) {
  return a->half[0] == 0 && a->word[2] == bpf_htonl(0xffff);
}

static __always_inline int parse_ethernet(struct cursor* c, struct packet* p, __be16* ethertype) {
  struct ethhdr* eth = take(c, sizeof(*eth));
  if (!eth) return WEIR_R_DROP_MALFORMED;
  __builtin_memcpy(p->mac, eth->h_dest, sizeof(p->mac));
  *ethertype = eth->h_proto;
#pragma unroll
  for (int i = 0; i <= MAX_VLAN_TAGS; i++) {
    if (*ethertype != bpf_htons(ETH_P_8021Q) && *ethertype != bpf_htons(ETH_P_8021AD)) return NEXT_STAGE;
    if (i == MAX_VLAN_TAGS) return WEIR_R_DROP_VLAN_TAGS;
    struct vlan_tag* tag = take(c, sizeof(*tag));
    if (!tag) return WEIR_R_DROP_MALFORMED;
    if (!p->tagged) p->vlan = 1 + (bpf_ntohs(tag->tci) & VLAN_ID);
    p->tagged = 1;
    *ethertype = tag->ethertype;
  }
  return NEXT_STAGE;
}

/* RFC 791 3.1 */
static __always_inline int parse_ipv4(struct cursor* c, struct packet* p) {
  struct iphdr* ip = take(c, sizeof(*ip));
  if (!ip || ip->version != 4 || ip->ihl < 5) return WEIR_R_DROP_MALFORMED;
  __u32 header = ip->ihl * 4;
  __u32 total = bpf_ntohs(ip->tot_len);
  if (total < header || total - sizeof(*ip) > c->left) return WEIR_R_DROP_MALFORMED;
  c->left = total - sizeof(*ip);
  if (!skip(c, header - sizeof(*ip))) return WEIR_R_DROP_MALFORMED;

  map_v4(&p->flow.src, ip->saddr);
  map_v4(&p->flow.dst, ip->daddr);
  p->flow.protocol = ip->protocol;
  p->ip_length = total;
  p->fragment_id = ip->id;
  p->fragment_protocol = ip->protocol;
  __u16 fragment = bpf_ntohs(ip->frag_off);
  if (fragment & IP_OFFSET) {
    /* The second eight octets of a TCP header: only there to rewrite flags that were judged (RFC 1858 3.2.2). */
    if (ip->protocol == IPPROTO_TCP && (fragment & IP_OFFSET) == 1) return WEIR_R_DROP_MALFORMED;
    p->fragment = FRAGMENT_LATER;
  } else if (fragment & IP_MF) {
    p->fragment = FRAGMENT_FIRST;
  }
  return NEXT_STAGE;
}

/* The walk over the extension headers (RFC 8200 4); at its end `protocol` is the first header that is none. */
struct ext_walk {
  __u32 at;
  __u32 left;
  __u32 protocol;
  __be32 fragment_id;
  __u8 fragment; /* enum fragment_kind */
  __u8 source_routed;
  __u8 pad[2];
};

/* One header further. A function of its own to the verifier, which then forgets how it was reached: inlined, every kind
 * of header at every step is a path of its own, and 5^8 of them are too many. */
__attribute__((noinline)) int step_ext_header(struct xdp_md* ctx, struct ext_walk* w) {
  if (!w) return WEIR_R_DROP_MALFORMED;
  struct cursor c = {.at = w->at, .left = w->left, .data = (void*)(long)ctx->data, .end = (void*)(long)ctx->data_end};
  struct ext_header* ext = take(&c, 8);
  if (!ext) return WEIR_R_DROP_MALFORMED;
  __u32 protocol = w->protocol;
  if (protocol == IPPROTO_FRAGMENT) {
    struct fragment_header* f = (void*)ext;
    if (w->fragment != FRAGMENT_NONE) return WEIR_R_DROP_MALFORMED;
    w->fragment_id = f->id;
    /* Offset 0 and no more to come: an atomic fragment is a whole packet (RFC 6946). */
    if (f->offset & bpf_htons(IP6_OFFSET))
      w->fragment = FRAGMENT_LATER;
    else if (f->offset & bpf_htons(IP6_MF))
      w->fragment = FRAGMENT_FIRST;
  } else {
    if (protocol == IPPROTO_ROUTING && ext->segments_left) w->source_routed = 1;
    /* Eight octets are taken already. AH counts (length + 2) words (RFC 4302 2.2), the others (length + 1) double
     * words. */
    if (!skip(&c, protocol == IPPROTO_AH ? ext->length * 4u : ext->length * 8u)) return WEIR_R_DROP_MALFORMED;
  }
  w->protocol = ext->next;
  w->at = c.at;
  w->left = c.left;
  return NEXT_STAGE;
}

static __always_inline int is_ext_header(__u32 protocol) {
  return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
         protocol == IPPROTO_AH || protocol == IPPROTO_FRAGMENT;
}

static __always_inline int walk_ext_headers(struct xdp_md* ctx, struct cursor* c, struct ext_walk* w) {
  w->at = c->at;
  w->left = c->left;
  for (int i = 0; w->fragment != FRAGMENT_LATER && is_ext_header(w->protocol); i++) {
    if (i == MAX_EXT_HEADERS) return WEIR_R_DROP_EXT_HEADERS;
    int reason = step_ext_header(ctx, w);
    if (reason != NEXT_STAGE) return reason;
  }
  c->at = w->at;
  c->left = w->left;
  return NEXT_STAGE;
}

/* RFC 8200 3 */
static __always_inline int parse_ipv6(struct xdp_md* ctx, struct cursor* c, struct packet* p) {
  struct ipv6hdr* ip = take(c, sizeof(*ip));
  if (!ip || ip->version != 6) return WEIR_R_DROP_MALFORMED;
  __u32 payload = bpf_ntohs(ip->payload_len);
  if (payload > c->left) return WEIR_R_DROP_MALFORMED;
  c->left = payload;
  p->is_v6 = 1;
  p->ip_length = payload > 0xffff - sizeof(*ip) ? 0xffff : payload + sizeof(*ip);
  copy_v6(&p->flow.src, &ip->saddr);
  copy_v6(&p->flow.dst, &ip->daddr);
  if (is_mapped(&p->flow.src) || is_mapped(&p->flow.dst)) return WEIR_R_DROP_MALFORMED;

  struct ext_walk walk = {.protocol = ip->nexthdr};
  int reason = walk_ext_headers(ctx, c, &walk);
  p->flow.protocol = walk.protocol;
  p->fragment = walk.fragment;
  p->fragment_id = walk.fragment_id;
  p->fragment_protocol = IPPROTO_FRAGMENT;
  p->source_routed = walk.source_routed;
  return reason;
}

/* The ports of the packet that an ICMP error quotes. A quote is cut anywhere, so its lengths are not the packet's, and
 * where ports cannot be read the error concerns nobody here: the kernel has it. */
static __always_inline void parse_quoted_ports(struct cursor* c, struct flow* quoted, __u32 protocol) {
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return;
  __be16* ports = take(c, 4);
  if (!ports) return;
  quoted->sport_be = ports[0];
  quoted->dport_be = ports[1];
  quoted->protocol = protocol;
}

/* RFC 792: at least the header and eight octets more. */
static __always_inline void parse_quoted_ipv4(struct cursor* c, struct flow* quoted) {
  struct iphdr* ip = take(c, sizeof(*ip));
  if (!ip || ip->version != 4 || ip->ihl < 5 || (ip->frag_off & bpf_htons(IP_OFFSET))) return;
  map_v4(&quoted->src, ip->saddr);
  map_v4(&quoted->dst, ip->daddr);
  __u32 protocol = ip->protocol;
  if (!skip(c, (ip->ihl - 5) * 4)) return;
  parse_quoted_ports(c, quoted, protocol);
}

/* RFC 4443 2.4 (c): as much of the packet as fits. */
static __always_inline void parse_quoted_ipv6(struct xdp_md* ctx, struct cursor* c, struct flow* quoted) {
  struct ipv6hdr* ip = take(c, sizeof(*ip));
  if (!ip || ip->version != 6) return;
  copy_v6(&quoted->src, &ip->saddr);
  copy_v6(&quoted->dst, &ip->daddr);
  if (is_mapped(&quoted->src) || is_mapped(&quoted->dst)) return;
  struct ext_walk walk = {.protocol = ip->nexthdr};
  if (walk_ext_headers(ctx, c, &walk) != NEXT_STAGE || walk.fragment == FRAGMENT_LATER) return;
  parse_quoted_ports(c, quoted, walk.protocol);
}

/* An error that may concern one flow, and that its TCP would act upon (RFC 1122 4.2.3.9, RFC 5461). */
static __always_inline int is_flow_error(const struct packet* p) {
  if (p->is_v6) return p->icmp_type >= ICMP6_UNREACHABLE && p->icmp_type <= ICMP6_PARAMETER;
  return p->icmp_type == ICMP4_UNREACHABLE || p->icmp_type == ICMP4_TIME_EXCEEDED || p->icmp_type == ICMP4_PARAMETER;
}

static __always_inline int parse_icmp(struct xdp_md* ctx, struct cursor* c, struct packet* p) {
  struct icmp_header* icmp = take(c, sizeof(*icmp));
  if (!icmp) return WEIR_R_DROP_MALFORMED;
  p->icmp_type = icmp->type;
  if (p->fragment != FRAGMENT_NONE || !is_flow_error(p)) return NEXT_STAGE;
  if (p->is_v6)
    parse_quoted_ipv6(ctx, c, &p->quoted);
  else
    parse_quoted_ipv4(c, &p->quoted);
  return NEXT_STAGE;
}

/* RFC 9293 3.1. A first fragment must hold the whole header too (RFC 7112 5; RFC 1858 3.2.1). */
static __always_inline int parse_tcp(struct cursor* c, struct packet* p) {
  __u32 left = c->left;
  struct tcphdr* tcp = take(c, sizeof(*tcp));
  if (!tcp || tcp->doff < 5 || (__u32)tcp->doff * 4 > left) return WEIR_R_DROP_MALFORMED;
  p->flow.sport_be = tcp->source;
  p->flow.dport_be = tcp->dest;
  p->tcp_flags = ((__u8*)tcp)[13];
  return NEXT_STAGE;
}

/* RFC 768. The length may be less than the packet's: what follows is not the datagram's. */
static __always_inline int parse_udp(struct cursor* c, struct packet* p) {
  __u32 left = c->left;
  struct udphdr* udp = take(c, sizeof(*udp));
  if (!udp) return WEIR_R_DROP_MALFORMED;
  __u32 length = bpf_ntohs(udp->len);
  if (length < sizeof(*udp) || (p->fragment == FRAGMENT_NONE && length > left)) return WEIR_R_DROP_MALFORMED;
  p->flow.sport_be = udp->source;
  p->flow.dport_be = udp->dest;
  return NEXT_STAGE;
}

/* What most frames are: not tagged, IPv4 without options, whole, TCP or UDP. 0 where anything is otherwise, malformed
 * or not: parse() says what. Each step of that for itself is dearer than all of these together. */
static __always_inline int parse_plain(struct xdp_md* ctx, struct packet* p) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  struct ethhdr* eth = data;
  struct iphdr* ip = data + sizeof(*eth);
  __u16* ports = data + sizeof(*eth) + sizeof(*ip);
  struct tcphdr* tcp = (void*)ports;
  if ((void*)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP)) return 0;
  __u32 protocol = ip->protocol;
  __u32 total = bpf_ntohs(ip->tot_len);
  if (*(__u8*)ip != 0x45 || (ip->frag_off & bpf_htons(IP_MF | IP_OFFSET)) || total > end - data - sizeof(*eth))
    return 0;
  if (protocol == IPPROTO_TCP) {
    __u32 header = ((__u8*)tcp)[12] >> 4;
    if (header < 5 || sizeof(*ip) + header * 4 > total) return 0;
    p->tcp_flags = ((__u8*)tcp)[13];
  } else if (protocol == IPPROTO_UDP) {
    __u32 length = bpf_ntohs(ports[2]);
    if (length < sizeof(struct udphdr) || sizeof(*ip) + length > total) return 0;
  } else {
    return 0;
  }
  __builtin_memcpy(p->mac, eth->h_dest, sizeof(p->mac));
  p->l3_offset = sizeof(*eth);
  p->l4_offset = sizeof(*eth) + sizeof(*ip);
  p->ip_length = total;
  map_v4(&p->flow.src, ip->saddr);
  map_v4(&p->flow.dst, ip->daddr);
  p->flow.protocol = protocol;
  p->flow.sport_be = ports[0];
  p->flow.dport_be = ports[1];
  return 1;
}

static __noinline int parse(struct xdp_md* ctx, struct packet* p) {
  struct cursor c = {.data = (void*)(long)ctx->data, .end = (void*)(long)ctx->data_end};
  c.left = c.end - c.data;

  __be16 ethertype = 0;
  int reason = parse_ethernet(&c, p, &ethertype);
  if (reason != NEXT_STAGE) return reason;

  p->l3_offset = c.at;
  if (ethertype == bpf_htons(ETH_P_IP))
    reason = parse_ipv4(&c, p);
  else if (ethertype == bpf_htons(ETH_P_IPV6))
    reason = parse_ipv6(ctx, &c, p);
  else
    return ethertype == bpf_htons(ETH_P_ARP) ? WEIR_R_PASS_ARP : WEIR_R_PASS_NOT_IP;
  if (reason != NEXT_STAGE || p->fragment == FRAGMENT_LATER) return reason;

  p->l4_offset = c.at;
  if (p->flow.protocol == IPPROTO_TCP) return parse_tcp(&c, p);
  if (p->flow.protocol == IPPROTO_UDP) return parse_udp(&c, p);
  if (p->flow.protocol == (p->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) return parse_icmp(ctx, &c, p);
  return NEXT_STAGE;
}
