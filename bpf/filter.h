/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Third stage: the operator's rules, in order, first match wins.
 *
 * A packet without ports (a later fragment, ICMP, any protocol but TCP and UDP) matches only rules that ask for none.
 * So a rule that drops a port does not see the later fragments of what it dropped; without their first they are never
 * reassembled. The same holds for TCP flags and the ICMP type.
 */
#pragma once

#include "classify.h"
#include "limit.h"
#include "parse.h"
#include "sets.h"

static __always_inline int is_icmp(const struct packet* p) {
  return p->fragment != FRAGMENT_LATER && p->flow.protocol == (p->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}
static __always_inline int is_tcp(const struct packet* p) {
  return p->fragment != FRAGMENT_LATER && p->flow.protocol == IPPROTO_TCP;
}
static __always_inline int has_ports(const struct packet* p) {
  return p->fragment != FRAGMENT_LATER && (p->flow.protocol == IPPROTO_TCP || p->flow.protocol == IPPROTO_UDP);
}

/* Calls X(field, its class) for each field; those that most rule sets ask for, and that rule out most, first. */
#define FILTER_COMMON(X)                                                                           \
  X(PROTOCOL, by_octet(FIELD(PROTOCOL), 1, p->flow.protocol))                                      \
  X(DESTINATION_PORT, by_word(FIELD(DESTINATION_PORT), has_ports(p), bpf_ntohs(p->flow.dport_be))) \
  X(SOURCE, by_address(FIELD(SOURCE), &p->flow.src, p->is_v6))                                     \
  X(DESTINATION, by_address(FIELD(DESTINATION), &p->flow.dst, p->is_v6))

#define FILTER_RARE(X)                                                                   \
  X(SOURCE_PORT, by_word(FIELD(SOURCE_PORT), has_ports(p), bpf_ntohs(p->flow.sport_be))) \
  X(TCP_FLAGS, by_octet(FIELD(TCP_FLAGS), is_tcp(p), p->tcp_flags))                      \
  X(ICMP_TYPE, by_octet(FIELD(ICMP_TYPE), is_icmp(p), p->icmp_type))                     \
  X(VLAN, by_word(FIELD(VLAN), 1, p->vlan))                                              \
  X(FRAGMENT, by_octet(FIELD(FRAGMENT), 1, p->fragment))                                 \
  X(LENGTH, by_word(FIELD(LENGTH), 1, p->ip_length))

/* Those that cost most: asked where the others have left a rule. */
#define FILTER_SETS(X)                                                                                     \
  X(SOURCE_SETS, by_word(FIELD(SOURCE_SETS), 1, sets_of(&p->flow.src, p->is_v6, g->sets, g->source_sets))) \
  X(DESTINATION_SETS,                                                                                      \
    by_word(FIELD(DESTINATION_SETS), 1, sets_of(&p->flow.dst, p->is_v6, g->sets, g->destination_sets)))

#define RARE_FIELDS                                                                            \
  (~(1u << WEIR_FIELD_PROTOCOL | 1u << WEIR_FIELD_DESTINATION_PORT | 1u << WEIR_FIELD_SOURCE | \
     1u << WEIR_FIELD_DESTINATION))

#define FIELD(name) generation, g, &g->field[WEIR_FIELD_##name]

/* The mask is read anew each time: a verifier that remembered its bits would follow every combination of fields in use
 * and fields not. */
#define ASKED(field) (*(volatile const __u32*)&g->fields & (1u << WEIR_FIELD_##field))

/* A look-up of rules on its way. What was found is kept by class, not as pointers, of which those of unused fields
 * would be one and the same: verifiers from 7.2 on would follow every combination. */
struct match_walk {
  void* generation;
  struct weir_generation* g;
  __u64 summary; /* of the words that are still to be looked at */
  __u32 found;   /* number of a rule, or NO_RULE */
  __u16 classes[WEIR_FIELD_COUNT] __attribute__((aligned(8)));
  __u32 pad;
};

/* The next word. */
static long step_match(__u32 i, struct match_walk* m) {
  (void)i;
  void* generation = m->generation;
  struct weir_generation* g = m->g;
  __u64 summary = m->summary;
  __u64 bit = summary & -summary;
  __u32 w = rule_bit(g, summary) & (WEIR_RULE_WORDS - 1);
  __u64 match = ~0ULL;
#define X(field, look_up)                                                   \
  if (ASKED(field)) {                                                       \
    __u32 class_number = *(volatile __u16*)&m->classes[WEIR_FIELD_##field]; \
    const struct weir_head* head = head_of(FIELD(field), class_number);     \
    if (!head) return 1;                                                    \
    __u64 word = head->lead;                                                \
    if (!(head->span & bit)) {                                              \
      const __u64* at = word_of(FIELD(field), class_number, w);             \
      if (!at) return 1;                                                    \
      word = *at;                                                           \
    }                                                                       \
    match &= word;                                                          \
  }
  FILTER_COMMON(X)
  if (*(volatile __u32*)&g->fields & RARE_FIELDS) {
    FILTER_RARE(X)
    FILTER_SETS(X)
  }
#undef X
  if (match) {
    m->found = w * 64 + rule_bit(g, match);
    return 1;
  }
  m->summary = summary & ~bit;
  return m->summary == 0;
}

/* The first rule that matches, or NO_RULE. */
static __always_inline __u32 first_match(void* generation, struct weir_generation* g, const struct packet* p) {
  __u32 fields = g->fields;
  /* Rules that ask for nothing: the first of them has every frame. */
  if (!fields) return g->rules ? 0 : NO_RULE;
  __u64 summary = ~0ULL;
  __u64 lead = ~0ULL;
  __u64 span = ~0ULL;

  struct match_walk m;
  m.generation = generation;
  m.g = g;
  m.found = NO_RULE;
  /* Of fields that are not asked for: anything that is no constant, which would make a state of each. */
  __u64* classes = (__u64*)m.classes;
  __u64 anything = *(volatile __u64*)&g->serial;
  classes[0] = anything;
  classes[1] = anything;
  classes[2] = anything;
#define X(field, look_up)                                               \
  if (ASKED(field)) {                                                   \
    __u32 class_number = look_up;                                       \
    const struct weir_head* head = head_of(FIELD(field), class_number); \
    if (!head) return NO_RULE;                                          \
    summary &= head->summary;                                           \
    lead &= head->lead;                                                 \
    span &= head->span;                                                 \
    *(volatile __u16*)&m.classes[WEIR_FIELD_##field] = class_number;    \
  }
  FILTER_COMMON(X)
  if (*(volatile __u32*)&g->fields & RARE_FIELDS) { FILTER_RARE(X) }
  if (!summary) return NO_RULE;
  if (*(volatile __u32*)&g->fields & RARE_FIELDS) { FILTER_SETS(X) }
#undef X
  /* Most are decided on the way: where the leads of all are the first word that can matter. */
  if (!summary) return NO_RULE;
  __u64 bit = summary & -summary;
  if (span & bit) {
    if (lead) return rule_bit(g, bit) * 64 + rule_bit(g, lead);
    summary ^= bit;
    if (!summary) return NO_RULE;
  }
  m.summary = summary;
  bpf_loop(WEIR_RULE_WORDS, step_match, &m, 0);
  return m.found;
}
#undef ASKED

/* A function of its own to the verifier: it is examined once, not once for every way that leads to it. `selector` is
 * the word of config, read once by the caller, so that a frame is judged by one generation and no other. */
__attribute__((noinline)) int filter_packet(struct packet* p, __u64 selector, __u32 frame_length) {
  if (!p) return WEIR_R_DROP_MALFORMED;
  /* No clock where no deadline is set. */
  __u32 slot = selector & 1;
  if (selector >> 1) slot = weir_selected(selector, bpf_ktime_get_ns());
  p->slot = slot;
  void* generation = bpf_map_lookup_elem(&filter, &slot);
  if (!generation) return NEXT_STAGE;
  __u32 zero = 0;
  struct weir_generation* g = bpf_map_lookup_elem(generation, &zero);
  if (!g) return NEXT_STAGE;
  __u32 number = first_match(generation, g, p);
  if (number == NO_RULE) return NEXT_STAGE;
  p->rule = number;
  p->generation = g->serial;
  const struct weir_rule_verdict* rule =
      element(generation, g, g->verdicts + number * sizeof(struct weir_rule_verdict), sizeof(struct weir_rule_verdict));
  if (!rule) return NEXT_STAGE;

  p->sample = rule->sample;
  if (!p->explains) count(&rule_counters, rule->counter, frame_length);
  if (rule->action == WEIR_ACTION_DROP) return WEIR_R_DROP_FILTER;
  if (rule->limit) {
    const struct weir_rule_limit* limit =
        element(generation, g, g->limits + number * sizeof(struct weir_rule_limit), sizeof(struct weir_rule_limit));
    if (!limit) return NEXT_STAGE;
    if (!limit_admits(p, limit, (__u32)rule->counter << 8 | rule->limit, frame_length)) return WEIR_R_DROP_LIMIT;
  }
  return rule->action == WEIR_ACTION_PASS ? WEIR_R_PASS_FILTER : NEXT_STAGE;
}
