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
  return p->flow.protocol == (p->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/* Calls X(field, its class) for each field; those that most rule sets ask for, and that rule out most, first. */
#define FILTER_FIELDS(X)                                                                                             \
  X(PROTOCOL, by_value(generation, &f[WEIR_FIELD_PROTOCOL], 1, p->flow.protocol & 255))                              \
  X(DESTINATION_PORT, by_value(generation, &f[WEIR_FIELD_DESTINATION_PORT], has_ports, bpf_ntohs(p->flow.dport_be))) \
  X(SOURCE, by_address(generation, &f[WEIR_FIELD_SOURCE], &p->flow.src, p->is_v6))                                   \
  X(DESTINATION, by_address(generation, &f[WEIR_FIELD_DESTINATION], &p->flow.dst, p->is_v6))                         \
  X(SOURCE_PORT, by_value(generation, &f[WEIR_FIELD_SOURCE_PORT], has_ports, bpf_ntohs(p->flow.sport_be)))           \
  X(TCP_FLAGS, by_value(generation, &f[WEIR_FIELD_TCP_FLAGS], is_tcp, p->tcp_flags))                                 \
  X(ICMP_TYPE, by_value(generation, &f[WEIR_FIELD_ICMP_TYPE], whole&& is_icmp(p), p->icmp_type))                     \
  X(VLAN, by_value(generation, &f[WEIR_FIELD_VLAN], 1, p->vlan))                                                     \
  X(FRAGMENT, by_value(generation, &f[WEIR_FIELD_FRAGMENT], 1, p->fragment))                                         \
  X(LENGTH, by_value(generation, &f[WEIR_FIELD_LENGTH], 1, p->ip_length))

/* Those that cost most: asked where the others have left a rule. */
#define FILTER_SETS(X)                                                                                             \
  X(SOURCE_SETS,                                                                                                   \
    by_value(generation, &f[WEIR_FIELD_SOURCE_SETS], 1, sets_of(&p->flow.src, p->is_v6, g->sets, g->source_sets))) \
  X(DESTINATION_SETS, by_value(generation, &f[WEIR_FIELD_DESTINATION_SETS], 1,                                     \
                               sets_of(&p->flow.dst, p->is_v6, g->sets, g->destination_sets)))

/* The mask is read anew each time: a verifier that remembered its bits would follow every combination of fields in use
 * and fields not. */
#define ASKED(field) (*(volatile const __u32*)&g->fields & (1u << WEIR_FIELD_##field))

/* The first rule that matches, or NO_RULE. Vectors are kept by class and looked up again for a word: kept as
 * pointers, of which those of unused fields would be one and the same, they make verifiers from 7.2 on follow every
 * combination.
 */
static __always_inline __u32 first_match(void* generation, const struct weir_generation* g, const struct packet* p) {
  const struct weir_field_rows* f = g->field;
  /* Rules that ask for nothing: the first of them has every frame. */
  if (!g->fields) return g->rules ? 0 : NO_RULE;
  __u64 summary = ~0ULL;
  __u64 first = ~0ULL;
  int whole = p->fragment != FRAGMENT_LATER;
  int is_tcp = whole && p->flow.protocol == IPPROTO_TCP;
  int has_ports = whole && (p->flow.protocol == IPPROTO_TCP || p->flow.protocol == IPPROTO_UDP);

  volatile __u16 classes[WEIR_FIELD_COUNT]; /* variables of their own would take four times the stack */
#define X(field, look_up)                                                            \
  if (ASKED(field)) {                                                                \
    __u32 class_number = look_up;                                                    \
    union weir_row* v = vector_of(generation, &f[WEIR_FIELD_##field], class_number); \
    if (!v) return NO_RULE;                                                          \
    classes[WEIR_FIELD_##field] = class_number;                                      \
    summary &= v->vector.summary;                                                    \
    first &= v->vector.words[0];                                                     \
  } else {                                                                           \
    classes[WEIR_FIELD_##field] = 0; /* not looked at */                             \
  }
  FILTER_FIELDS(X)
  if (!summary) return NO_RULE;
  FILTER_SETS(X)
#undef X
  /* The first 64 rules are decided on the way: their word stands beside the summary. */
  if (first) return lowest_bit(first);
  summary &= ~1ULL;

  for (int i = 0; i < WEIR_RULE_WORDS && summary; i++) {
    __u32 w = lowest_bit(summary) & (WEIR_RULE_WORDS - 1);
    __u64 match = ~0ULL;
#define X(field, look_up)                                                                           \
  if (ASKED(field)) {                                                                               \
    union weir_row* v = vector_of(generation, &f[WEIR_FIELD_##field], classes[WEIR_FIELD_##field]); \
    if (!v) return NO_RULE;                                                                         \
    match &= v->vector.words[w];                                                                    \
  }
    FILTER_FIELDS(X)
    FILTER_SETS(X)
#undef X
    if (match) return w * 64 + lowest_bit(match);
    summary &= summary - 1;
  }
  return NO_RULE;
}
#undef ASKED

/* A function of its own to the verifier: it is examined once, not once for every way that leads to it. `selector` is
 * the word of config, read once by the caller, so that a frame is judged by one generation and no other. */
__attribute__((noinline)) int filter_packet(struct packet* p, __u64 selector, __u32 frame_length) {
  if (!p) return WEIR_R_DROP_MALFORMED;
  /* No clock where no deadline is set. */
  __u32 slot = weir_selected(selector, selector >> 1 ? bpf_ktime_get_ns() : 0);
  p->slot = slot;
  void* generation = bpf_map_lookup_elem(&filter, &slot);
  if (!generation) return NEXT_STAGE;
  union weir_row* header = row(generation, 0);
  if (!header) return NEXT_STAGE;
  __u32 number = first_match(generation, &header->generation, p);
  if (number == NO_RULE) return NEXT_STAGE;
  p->rule = number;
  p->generation = header->generation.serial;
  union weir_row* verdicts = row(generation, header->generation.verdicts + number / WEIR_VERDICTS_A_ROW);
  if (!verdicts) return NEXT_STAGE;
  const struct weir_rule_verdict* rule = &verdicts->verdicts.rules[number % WEIR_VERDICTS_A_ROW];

  p->sample = rule->sample;
  if (!p->explains) count(&rule_counters, rule->counter, frame_length);
  if (rule->action == WEIR_ACTION_DROP) return WEIR_R_DROP_FILTER;
  if (rule->limit && !limit_admits(p, rule, frame_length)) return WEIR_R_DROP_LIMIT;
  return rule->action == WEIR_ACTION_PASS ? WEIR_R_PASS_FILTER : NEXT_STAGE;
}
