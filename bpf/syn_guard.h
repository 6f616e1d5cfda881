/* SPDX-License-Identifier: GPL-2.0-only
 *
 * The SYN guard of steered ports: while it is on, XDP answers new connections itself by SYN cookies (RFC 4987 3.6),
 * with the engine's keys and in the engine's words, and gives the engine only segments of connections that it has, and
 * the first ones behind a cookie that is good. The engine makes the connection of that as of a cookie of its own.
 *
 * Which connections the engine has, XDP knows by the engine's counts of them by flow hash (struct weir_flow_cell). A
 * cell that is not empty lets pass what hashes to it: the engine then looks it up as ever.
 */
#pragma once

#include "hash.h"
#include "steer.h"
#include "weir/common/syn_cookie.h"

#define TCP_PSH 0x08
#define TCP_ECE 0x40
#define TCP_CWR 0x80
#define MAX_TCP_OPTIONS 40

/* What a SYN asks for, or an ACK says. */
struct segment {
  __u32 seq;
  __u32 ack;
  __u32 tsval;
  __u32 tsecr;
  __u16 mss;
  __u8 scale; /* WEIR_COOKIE_NO_SCALE: none */
  __u8 sack;
  __u8 timestamps;
  __u8 pad[3];
};

struct option_walk {
  struct xdp_md* ctx;
  __u32 at;
  __u32 end;
  struct segment found;
};

/* RFC 9293 3.1: an option that contradicts itself ends the walk. */
static long step_option(__u32 i, struct option_walk* w) {
  (void)i;
  void* data = (void*)(long)w->ctx->data;
  void* end = (void*)(long)w->ctx->data_end;
  __u32 at = w->at;
  if (at >= w->end || at > MAX_HEADER_OFFSET) return 1;
  __u8* option = data + at;
  if ((void*)(option + 1) > end || option[0] == 0) return 1;
  if (option[0] == 1) {
    w->at = at + 1;
    return 0;
  }
  if ((void*)(option + 2) > end) return 1;
  __u32 length = option[1];
  if (length < 2 || at + length > w->end) return 1;
  w->at = at + length;
  if (option[0] == 2 && length == 4) {
    if ((void*)(option + 4) > end) return 1;
    w->found.mss = option[2] << 8 | option[3];
  } else if (option[0] == 3 && length == 3) {
    if ((void*)(option + 3) > end) return 1;
    w->found.scale = option[2] > 14 ? 14 : option[2]; /* RFC 7323 2.3 */
  } else if (option[0] == 4 && length == 2) {
    w->found.sack = 1;
  } else if (option[0] == 8 && length == 10) {
    if ((void*)(option + 10) > end) return 1;
    w->found.timestamps = 1;
    w->found.tsval = bpf_ntohl(*(__be32*)(option + 2));
    w->found.tsecr = bpf_ntohl(*(__be32*)(option + 6));
  }
  return 0;
}

static __always_inline int read_segment(struct xdp_md* ctx, __u32 l4_offset, struct option_walk* w) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  /* A bound of its own: the other is a sign's test to the compiler, which no verifier follows. */
  if (l4_offset > MAX_HEADER_OFFSET / 2) return 0;
  struct tcphdr* tcp = data + l4_offset;
  if ((void*)(tcp + 1) > end) return 0;
  w->ctx = ctx;
  w->at = l4_offset + sizeof(*tcp);
  w->end = l4_offset + tcp->doff * 4;
  w->found.seq = bpf_ntohl(tcp->seq);
  w->found.ack = bpf_ntohl(tcp->ack_seq);
  w->found.scale = WEIR_COOKIE_NO_SCALE;
  bpf_loop(MAX_TCP_OPTIONS, step_option, w, 0);
  return 1;
}

static __always_inline void cookie_flow(struct weir_cookie_flow* flow, const struct packet* p, __u32 irs) {
  flow->local[0] = p->flow.dst.half[0];
  flow->local[1] = p->flow.dst.half[1];
  flow->remote[0] = p->flow.src.half[0];
  flow->remote[1] = p->flow.src.half[1];
  flow->irs = irs;
  flow->local_port = bpf_ntohs(p->flow.dport_be);
  flow->remote_port = bpf_ntohs(p->flow.sport_be);
}

/* A function of its own, for the stack's sake. */
static __attribute__((noinline)) __u32 timestamp_clock(const __u64* key, const struct weir_cookie_flow* flow,
                                                       __u64 now) {
  return (__u32)(now / 1000000) + weir_timestamp_offset(key, flow->local, flow->remote);
}

/* The TCP header of an answer. Without timestamps it ends behind the MSS. */
struct answer_tcp {
  __be16 source;
  __be16 dest;
  __be32 seq;
  __be32 ack;
  __u8 offset;
  __u8 flags;
  __be16 window;
  __u16 check;
  __u16 urgent;
  __u8 mss_option[2];
  __be16 mss;
  __u8 sack_option[2];
  __u8 timestamp_option[2];
  __be32 tsval;
  __be32 tsecr;
  __u8 scale_option[4];
};
#define SHORT_ANSWER 24
#define WHOLE_ANSWER 40
_Static_assert(sizeof(struct answer_tcp) == WHOLE_ANSWER, "TCP header");

static __always_inline __u16 fold(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

/* RFC 9293 3.1. The mapped form of an IPv4 address adds 0xffff to its four octets, which is nothing. What lies behind a
 * short header must be zero. */
static __always_inline __u16 tcp_checksum(const struct packet* p, const struct answer_tcp* tcp, __u32 length) {
  const __u32* words = (const void*)tcp;
  __u64 sum = bpf_htons(length) + bpf_htons(IPPROTO_TCP);
#pragma unroll
  for (int i = 0; i < 4; i++) sum += (__u64)p->flow.src.word[i] + p->flow.dst.word[i];
#pragma unroll
  for (int i = 0; i < WHOLE_ANSWER / 4; i++) sum += words[i];
  return fold(sum);
}

/* What the engine's own SYN-ACK would say, with the cookie in it. Returns the length of the header. */
static __always_inline __u32 fill_answer(const struct weir_syn_answer* says, const struct packet* p,
                                         const struct segment* syn, struct answer_tcp* tcp) {
  int timestamps = (says->flags & WEIR_ANSWER_TIMESTAMPS) && syn->timestamps;
  int scale = timestamps && (says->flags & WEIR_ANSWER_SCALE) && syn->scale != WEIR_COOKIE_NO_SCALE;
  int sack = timestamps && (says->flags & WEIR_ANSWER_SACK) && syn->sack;
  int ecn =
      timestamps && (says->flags & WEIR_ANSWER_ECN) && (p->tcp_flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
  __u32 bits =
      (scale ? syn->scale : WEIR_COOKIE_NO_SCALE) | (sack ? WEIR_COOKIE_SACK : 0) | (ecn ? WEIR_COOKIE_ECN : 0);
  __u64 now = bpf_ktime_get_ns();
  __u32 mss = syn->mss ? syn->mss : p->is_v6 ? 1220 : 536; /* RFC 9293 3.7.1 */
  struct weir_cookie_flow flow;
  cookie_flow(&flow, p, syn->seq);
  __u32 isn = weir_cookie_make(says->cookie_key, &flow, weir_cookie_tick(now), weir_cookie_mss_index(mss),
                               timestamps ? bits : WEIR_COOKIE_NO_BITS);
  tcp->source = p->flow.dport_be;
  tcp->dest = p->flow.sport_be;
  tcp->seq = bpf_htonl(isn);
  tcp->ack = bpf_htonl(syn->seq + 1);
  tcp->flags = TCP_SYN | TCP_ACK | (ecn ? TCP_ECE : 0);
  tcp->window = bpf_htons(says->window);
  tcp->mss_option[0] = 2;
  tcp->mss_option[1] = 4;
  tcp->mss = bpf_htons(p->is_v6 ? says->mss6 : says->mss4);
  if (!timestamps) {
    tcp->offset = SHORT_ANSWER / 4 << 4;
    return SHORT_ANSWER;
  }
  tcp->offset = WHOLE_ANSWER / 4 << 4;
  __u32 clock = timestamp_clock(says->timestamp_key, &flow, now);
  tcp->sack_option[0] = sack ? 4 : 1;
  tcp->sack_option[1] = sack ? 2 : 1;
  tcp->timestamp_option[0] = 8;
  tcp->timestamp_option[1] = 10;
  tcp->tsval = bpf_htonl(weir_cookie_timestamp(clock, bits));
  tcp->tsecr = bpf_htonl(syn->tsval);
  tcp->scale_option[0] = 1;
  tcp->scale_option[1] = scale ? 3 : 1;
  tcp->scale_option[2] = scale ? 3 : 1;
  tcp->scale_option[3] = scale ? says->scale : 1;
  return WHOLE_ANSWER;
}

static __always_inline int write_ipv4(void* at, void* end, const struct packet* p, __u32 tcp_length) {
  struct iphdr* ip = at;
  if ((void*)(ip + 1) > end) return 0;
  struct iphdr made = {.version = 4,
                       .ihl = 5,
                       .tot_len = bpf_htons(sizeof(made) + tcp_length),
                       .frag_off = bpf_htons(0x4000),
                       .ttl = 64,
                       .protocol = IPPROTO_TCP,
                       .saddr = p->flow.dst.word[3],
                       .daddr = p->flow.src.word[3]};
  const __u32* words = (const void*)&made;
  __u64 sum = 0;
#pragma unroll
  for (int i = 0; i < 5; i++) sum += words[i];
  made.check = fold(sum);
  *ip = made;
  return 1;
}

static __always_inline int write_ipv6(void* at, void* end, const struct packet* p, __u32 tcp_length) {
  struct ipv6hdr* ip = at;
  if ((void*)(ip + 1) > end) return 0;
  struct ipv6hdr made = {.version = 6, .payload_len = bpf_htons(tcp_length), .nexthdr = IPPROTO_TCP, .hop_limit = 64};
  __builtin_memcpy(&made.saddr, p->flow.dst.word, sizeof(made.saddr));
  __builtin_memcpy(&made.daddr, p->flow.src.word, sizeof(made.daddr));
  *ip = made;
  return 1;
}

static __always_inline int write_tcp(void* at, void* end, const struct answer_tcp* tcp, __u32 length) {
  if (at + SHORT_ANSWER > end) return 0;
  __builtin_memcpy(at, tcp, SHORT_ANSWER);
  if (length == SHORT_ANSWER) return 1;
  if (at + WHOLE_ANSWER > end) return 0;
  __builtin_memcpy(at + SHORT_ANSWER, (const void*)tcp + SHORT_ANSWER, WHOLE_ANSWER - SHORT_ANSWER);
  return 1;
}

/* What the segment says, where its answer will be. Three functions read, make and write, because their stacks add up to
 * their caller's. */
__attribute__((noinline)) int read_syn(struct xdp_md* ctx, struct packet* p) {
  struct option_walk w = {};
  if (!p || !read_segment(ctx, p->l4_offset, &w)) return 0;
  __builtin_memcpy(p->answer, &w.found, sizeof(w.found));
  return 1;
}

/* Puts the TCP header of the answer there. Its length, or 0. */
__attribute__((noinline)) int make_answer(struct packet* p) {
  __u32 zero = 0;
  const struct weir_syn_answer* says = bpf_map_lookup_elem(&syn_answer, &zero);
  if (!says || !p) return 0;
  struct segment syn;
  __builtin_memcpy(&syn, p->answer, sizeof(syn));
  struct answer_tcp* tcp = (void*)p->answer;
  __builtin_memset(tcp, 0, sizeof(*tcp));
  __u32 length = fill_answer(says, p, &syn, tcp);
  tcp->check = tcp_checksum(p, tcp, length);
  return length;
}

/* Turns the SYN, a frame of `is` octets, into its answer with a TCP header of `length`. 0 where the frame could not be
 * made as long; it is whole then. */
__attribute__((noinline)) int write_answer(struct xdp_md* ctx, const struct packet* p, int is, int length) {
  __u32 zero = 0;
  struct weir_syn_answer* says = bpf_map_lookup_elem(&syn_answer, &zero);
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  struct ethhdr* eth = data;
  if (!says || !p || (void*)(eth + 1) > end) return 0;
  __u16 peer_mac[3];
  __builtin_memcpy(peer_mac, eth->h_source, sizeof(peer_mac));
  int ip_header = p->is_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
  if (bpf_xdp_adjust_tail(ctx, (int)sizeof(struct ethhdr) + ip_header + length - is)) return 0;
  data = (void*)(long)ctx->data;
  end = (void*)(long)ctx->data_end;
  eth = data;
  if ((void*)(eth + 1) > end) return 0;
  __builtin_memcpy(eth->h_dest, peer_mac, sizeof(eth->h_dest));
  __builtin_memcpy(eth->h_source, p->mac, sizeof(eth->h_source));
  eth->h_proto = bpf_htons(p->is_v6 ? ETH_P_IPV6 : ETH_P_IP);
  void* ip = eth + 1;
  const struct answer_tcp* tcp = (const void*)p->answer;
  if (p->is_v6) {
    if (!write_ipv6(ip, end, p, length) || !write_tcp(ip + sizeof(struct ipv6hdr), end, tcp, length)) return 0;
  } else {
    if (!write_ipv4(ip, end, p, length) || !write_tcp(ip + sizeof(struct iphdr), end, tcp, length)) return 0;
  }
  /* The engine takes a cookie while one that is good may be out. */
  *(volatile __u64*)&says->answered_ns = bpf_ktime_get_ns();
  return 1;
}

static __always_inline int answer_syn(struct xdp_md* ctx, struct packet* p, int is) {
  int length = read_syn(ctx, p) ? make_answer(p) : 0;
  if (length && write_answer(ctx, p, is, length)) return 1;
  __builtin_memset(p->answer, 0, sizeof(p->answer));
  return 0;
}

/* Whether the guard is on for an entry; a SYN counts towards it. */
__attribute__((noinline)) int guard_is_on(__u32 index, int is_syn) {
  __u32 zero = 0;
  const struct weir_config* cfg = bpf_map_lookup_elem(&config, &zero);
  const struct weir_syn_answer* says = bpf_map_lookup_elem(&syn_answer, &zero);
  struct weir_syn_guard* guard = bpf_map_lookup_elem(&syn_guard, &index);
  if (!cfg || !says || !guard || !*(volatile const __u32*)&says->valid) return 0;
  __u32 mode = cfg->syn_guard;
  __u64 until = *(volatile __u64*)&guard->on_until_ns;
  if (!is_syn && mode == WEIR_SYN_GUARD_ON) return 1;
  if (!is_syn && !until) return 0; /* most segments of most days: the clock costs more than all the rest here */
  __u64 now = bpf_ktime_get_ns();
  if (is_syn) {
    if (until && now >= until) __sync_val_compare_and_swap(&guard->on_until_ns, until, 0);
    __u32 count = 1;
    if (now - *(volatile __u64*)&guard->window_ns >= WEIR_SYN_GUARD_WINDOW_NS) {
      *(volatile __u64*)&guard->window_ns = now;
      *(volatile __u32*)&guard->last_count = guard->count;
      *(volatile __u32*)&guard->count = 1;
    } else {
      count = __sync_fetch_and_add(&guard->count, 1) + 1;
    }
    /* Off again only when a window stays below half of what switches it on. */
    if (count > (now < until ? cfg->syn_guard_rate / 2 : cfg->syn_guard_rate)) {
      until = now + WEIR_SYN_GUARD_HOLD_NS;
      *(volatile __u64*)&guard->on_until_ns = until;
    }
  }
  return mode == WEIR_SYN_GUARD_ON || now < until;
}

static __always_inline int has_good_cookie(const struct weir_syn_answer* says, const struct packet* p,
                                           const struct segment* s) {
  struct weir_cookie_flow flow;
  cookie_flow(&flow, p, s->seq - 1);
  return weir_cookie_is_good(says->cookie_key, &flow, s->ack - 1,
                             s->timestamps ? s->tsecr & WEIR_COOKIE_BITS : WEIR_COOKIE_NO_BITS,
                             weir_cookie_tick(bpf_ktime_get_ns()));
}

/* A segment that is no SYN, while the guard is on: of a connection of the engine's, or behind a good cookie, or
 * refused. */
__attribute__((noinline)) int judge_segment(struct xdp_md* ctx, const struct packet* p) {
  __u32 zero = 0;
  const struct weir_config* cfg = bpf_map_lookup_elem(&config, &zero);
  const struct weir_syn_answer* says = bpf_map_lookup_elem(&syn_answer, &zero);
  if (!cfg || !says || !p) return WEIR_R_DROP_BAD_COOKIE;
  __u32 at = weir_flow_hash(p->flow.src.half[0], p->flow.src.half[1], p->flow.sport_be, p->flow.dst.half[0],
                            p->flow.dst.half[1], p->flow.dport_be, IPPROTO_TCP, cfg->hash_key) &
             (WEIR_FLOW_CELLS - 1);
  struct weir_flow_cell* cell = bpf_map_lookup_elem(&flow_cells, &at);
  if (!cell) return WEIR_R_DROP_BAD_COOKIE;
  if (*(volatile __u16*)&cell->flows) return WEIR_R_STEER_SEGMENT;
  /* The engine has not yet got round to the cookie, and the next segments are here already. */
  __u32 second = (__u32)(bpf_ktime_get_ns() / 1000000000);
  if (*(volatile __u32*)&cell->opened && second - cell->opened <= WEIR_FLOW_OPENS_S) return WEIR_R_STEER_SEGMENT;
  struct option_walk w = {};
  if ((p->tcp_flags & (TCP_ACK | TCP_RST)) != TCP_ACK || !read_segment(ctx, p->l4_offset, &w) ||
      !has_good_cookie(says, p, &w.found))
    return WEIR_R_DROP_BAD_COOKIE;
  if (!p->explains) *(volatile __u32*)&cell->opened = second;
  return WEIR_R_STEER_COOKIE;
}

/* What the guard makes of a segment that would go to the engine. */
static __always_inline int guard_engine(struct xdp_md* ctx, const struct weir_config* cfg, struct packet* p,
                                        int reason) {
  if (!*(volatile const __u32*)&cfg->syn_guard) return reason;
  int is_syn = reason == WEIR_R_STEER_SYN;
  if (!is_syn && reason != WEIR_R_STEER_SEGMENT) return reason;
  if (!guard_is_on(p->steer, is_syn && !p->explains)) return reason;
  if (!is_syn) return judge_segment(ctx, p);
  /* Nobody's SYN comes in fragments. */
  return p->fragment == FRAGMENT_NONE ? WEIR_R_ANSWER_SYN : WEIR_R_DROP_BAD_COOKIE;
}
