// SPDX-License-Identifier: GPL-2.0-only
/* The XDP program: one frame, one reason, one counted exit.
 *
 * parse -> guard -> filter -> steer -> hash. Each stage either settles the frame by a reason of weir/common/reasons.h
 * or leaves it to the next; the verdict follows from the reason. Stages read packet bytes only through parse.h.
 *
 * SEC("xdp") without frags: every byte that is parsed lies in the first buffer, and the engine takes one chunk a frame.
 * A driver refuses the attach where the MTU needs more than one buffer.
 *
 * GPL: the kernel reads the licence section to decide which helpers a program may call.
 */
#include "capture.h"
#include "filter.h"
#include "guard.h"
#include "hash.h"
#include "steer.h"
#include "syn_guard.h"

const char LICENSE[] SEC("license") = "GPL";

_Static_assert(WEIR_R_STEER_ICMP < 64, "the XDP program's reasons come first, and fit a word");
#define WEIR_BIT_IF(id, verdict, wanted) \
  (WEIR_V_##verdict == (wanted) && WEIR_R_##id < 64 ? 1ULL << (WEIR_R_##id & 63) : 0)
static __always_inline int is_drop(__u32 reason) {
#define WEIR_X(id, verdict, name, text) | WEIR_BIT_IF(id, verdict, WEIR_V_DROP)
  return ((0ULL WEIR_REASONS(WEIR_X)) >> (reason & 63)) & 1;
#undef WEIR_X
}
static __always_inline int is_steer(__u32 reason) {
#define WEIR_X(id, verdict, name, text) | WEIR_BIT_IF(id, verdict, WEIR_V_STEER)
  return ((0ULL WEIR_REASONS(WEIR_X)) >> (reason & 63)) & 1;
#undef WEIR_X
}

/* Whether the program writes in front of the frame, and answers. */
enum writes { WRITES_METADATA, WRITES_NOTHING };

static __always_inline int judge(struct xdp_md* ctx, const struct weir_config* cfg, struct packet* p, __u32 length,
                                 enum writes writes) {
  int reason = NEXT_STAGE;
  if (!parse_plain(ctx, p)) reason = parse(ctx, p);
  if (reason != NEXT_STAGE) return reason;

  enum guarded guarded = guard(p);
  if (guarded == GUARD_INFRA) return WEIR_R_PASS_INFRA;
  if (guarded == GUARD_FLOW_ERROR) return steer_error(ctx, cfg, p);

  if ((*(volatile const __u32*)&cfg->flags & WEIR_CONFIG_GUARDED) && guards_session(p)) {
    /* If the port is steered, the connection is the kernel's all the same, also when the guard is gone. */
    if (is_bare_syn(p)) find_own_entry(cfg, p);
    return WEIR_R_PASS_GUARD;
  }

  reason = filter_packet(p, *(volatile __u64*)&cfg->filter_selector, length);
  if (reason == NEXT_STAGE) {
    if (is_of_no_entry(cfg, p)) return WEIR_R_PASS_NOT_STEERED;
    reason = steer_packet(ctx, cfg, p);
    return writes == WRITES_METADATA ? guard_engine(ctx, cfg, p, reason) : reason;
  }
  /* A rule may give the kernel a connection on a steered port, and be taken away before the connection ends. */
  if (reason == WEIR_R_PASS_FILTER && is_bare_syn(p)) find_own_entry(cfg, p);
  return reason;
}

/* This moves the frame's bounds, and a function that both programs call must not, whether it comes to it or not: see
 * weir_xdp_shared. */
static __noinline void put_metadata(struct xdp_md* ctx, const struct weir_config* cfg, const struct packet* p,
                                    int reason) {
  write_metadata(ctx, cfg, p, reason);
}

/* To the queue's socket; where there is none, to whom the entry gives it. Returns the reason that is final. */
static __noinline int hand_over(struct xdp_md* ctx, const struct packet* p, int reason) {
  if (bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS) == XDP_REDIRECT) return reason;
  struct weir_steer* entry = bpf_map_lookup_elem(&steer, &p->steer);
  if (entry && (reason == WEIR_R_STEER_SYN || reason == WEIR_R_STEER_DATAGRAM))
    return when_absent(entry, WEIR_R_PASS_NO_SOCKET);
  return WEIR_R_PASS_NO_SOCKET;
}

/* What a settled frame leaves behind for those that come after it. */
static __noinline void remember(const struct packet* p, int reason) {
  if (p->fragment == FRAGMENT_FIRST) {
    struct weir_fragment_key key = fragment_key(p);
    if (is_steer(reason))
      bpf_map_update_elem(&fragments, &key, &p->steer, BPF_ANY);
    else
      /* Identifications recur: what an older packet left must not draw this one's fragments to the engine. */
      bpf_map_delete_elem(&fragments, &key);
  }
  /* Whatever the reason was, a SYN of a steered port that the kernel sees may become the kernel's connection. */
  if (is_bare_syn(p) && !is_steer(reason) && !is_drop(reason) && reason != WEIR_R_ANSWER_SYN) {
    struct weir_steer* entry = bpf_map_lookup_elem(&steer, &p->steer);
    if (entry) __sync_fetch_and_add(&entry->syns_to_kernel, 1);
  }
}

/* Whether the frame comes with a request to explain (abi: struct weir_explanation). What is in front of it may be a
 * driver's, or another program's: then not. This and the next are functions of their own for frames that pay for
 * nothing but a comparison, and for the verifier. */
__attribute__((noinline)) int is_request(struct xdp_md* ctx) {
  __u32 zero = 0;
  const struct weir_config* cfg = bpf_map_lookup_elem(&config, &zero);
  if (!cfg || !cfg->explain_key || ctx->data - ctx->data_meta != sizeof(struct weir_explanation)) return 0;
  struct weir_explanation* request = (void*)(long)ctx->data_meta;
  return (void*)(request + 1) <= (void*)(long)ctx->data && request->key == cfg->explain_key;
}

__attribute__((noinline)) int explain(struct xdp_md* ctx, const struct packet* p, int reason) {
  struct weir_explanation* answer = (void*)(long)ctx->data_meta;
  if (!p || (void*)(answer + 1) > (void*)(long)ctx->data) return 0;
  answer->key = 0;
  answer->rule = p->rule;
  answer->steer = p->steer;
  answer->reason = reason;
  answer->slot = p->slot;
  answer->fragment = p->fragment;
  answer->l4_offset = p->l4_offset;
  return 0;
}

static __always_inline int run(struct xdp_md* ctx, enum writes writes) {
  struct packet p = {.steer = NO_STEER, .rule = NO_RULE, .slot = WEIR_NO_SLOT};
  if (ctx->data_meta != ctx->data) p.explains = is_request(ctx);
  __u32 zero = 0;
  __u32 length = ctx->data_end - ctx->data;
  const struct weir_config* cfg = bpf_map_lookup_elem(&config, &zero);
  if (!cfg) return XDP_PASS; /* an array's first entry: never, but the verifier cannot know */

  int reason = judge(ctx, cfg, &p, length, writes);
  int action = is_drop(reason) ? XDP_DROP : XDP_PASS;
  if (writes == WRITES_METADATA && reason == WEIR_R_ANSWER_SYN) {
    action = XDP_TX;
    if (!p.explains) {
      /* As it came, not as it goes. */
      if (*(volatile const __u32*)&cfg->captures) capture(ctx, &p, reason, length, 0);
      if (!answer_syn(ctx, &p, length))
        reason = WEIR_R_STEER_SYN; /* a frame that cannot be made as long as its answer is the engine's to answer */
      else if (*(volatile const __u32*)&cfg->captures)
        capture(ctx, &p, reason, ctx->data_end - ctx->data, WEIR_CAPTURE_ANSWER);
    }
  }
  if (is_steer(reason)) {
    if (writes == WRITES_METADATA && !p.explains) put_metadata(ctx, cfg, &p, reason);
    reason = hand_over(ctx, &p, reason);
    action = is_steer(reason) ? XDP_REDIRECT : is_drop(reason) ? XDP_DROP : XDP_PASS;
  }
  if (p.explains) {
    explain(ctx, &p, reason);
    return action;
  }
  if (p.fragment == FRAGMENT_FIRST || is_bare_syn(&p)) remember(&p, reason);
  if (action == XDP_REDIRECT) count(&steer_counters, p.steer, length);
  count(&counters, reason, length);
  if (action == XDP_DROP) sample_drop(ctx, &p, reason, length);
  if (action != XDP_TX && *(volatile const __u32*)&cfg->captures) capture(ctx, &p, reason, length, 0);
  return action;
}

SEC("xdp") int weir_xdp(struct xdp_md* ctx) { return run(ctx, WRITES_METADATA); }

/* For libxdp's dispatcher: kernel 6.12 and newer refuse a replacement that moves the frame's bounds where the function
 * that it replaces does not, and in libxdp 1.3 none does. Loaded only when asked for. */
SEC("?xdp") int weir_xdp_shared(struct xdp_md* ctx) { return run(ctx, WRITES_NOTHING); }
