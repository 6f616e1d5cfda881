/* SPDX-License-Identifier: GPL-2.0-only
 *
 * From a field's value to its class, and to the vector of the rules that the class leaves (abi: filter_abi.h). A row
 * that is not there means a generation that does not hold together; it rules nothing in.
 */
#pragma once

#include "packet.h"

#define ADDRESS_STEPS (2 * WEIR_TREE_DEPTH)
#define NO_CLASS 0xffffffffu

static __always_inline union weir_row* row(void* generation, __u32 index) {
  return bpf_map_lookup_elem(generation, &index);
}

static __always_inline __u32 table_entry(void* generation, __u32 table, __u32 value) {
  union weir_row* r = row(generation, table + (value >> 8));
  return r ? r->table.entries[value & 255] : NO_CLASS;
}

/* 16 bits, then 8, then 8. */
static __always_inline __u32 class_of_v4(void* generation, const struct weir_field_rows* f, __u32 address) {
  __u32 entry = table_entry(generation, f->table, address >> 16);
  if (entry == NO_CLASS || !(entry & WEIR_TABLE_NODE)) return entry;
  entry = table_entry(generation, f->nodes + (entry & ~WEIR_TABLE_NODE), (address >> 8) & 255);
  if (entry == NO_CLASS || !(entry & WEIR_TABLE_NODE)) return entry;
  return table_entry(generation, f->nodes + (entry & ~WEIR_TABLE_NODE), address & 255);
}

/* a >= b, as 0 or 1, by the borrow of a - b: a comparison would be a branch, which the processor guesses wrong every
 * other time, and which the verifier follows both ways. */
static __always_inline __u32 not_less(__u64 a, __u64 b) { return ~((~a & b) | (~(a ^ b) & (a - b))) >> 63; }

/* What the verifier cannot follow through not_less(): a place in the node. */
static __always_inline __u32 place(__u32 i) {
  asm volatile("" : "+r"(i));
  return i & (WEIR_TREE_KEYS - 1);
}

/* The last entry whose key is not greater. */
static __always_inline __u32 tree_entry(const struct weir_tree_node* node, __u64 key) {
  __u32 i = not_less(key, node->keys[16]) << 4;
  i += not_less(key, node->keys[place(i) + 8]) << 3;
  i += not_less(key, node->keys[place(i) + 4]) << 2;
  i += not_less(key, node->keys[place(i) + 2]) << 1;
  i += not_less(key, node->keys[place(i) + 1]);
  return node->entries[place(i)];
}

static __always_inline __u32 class_of_v6(void* generation, const struct weir_field_rows* f,
                                         const union address* address) {
  __u64 key = bpf_be64_to_cpu(address->half[0]);
  __u32 at = f->tree;
  for (int i = 0; i < ADDRESS_STEPS; i++) {
    union weir_row* r = row(generation, at);
    if (!r) return NO_CLASS;
    __u32 entry = tree_entry(&r->node, key);
    if (entry & WEIR_TREE_CLASS) return entry & ~WEIR_TREE_CLASS;
    if (entry & WEIR_TREE_LOW) key = bpf_be64_to_cpu(address->half[1]);
    at = entry & ~WEIR_TREE_LOW;
  }
  return NO_CLASS;
}

static __always_inline __u32 by_address(void* generation, const struct weir_field_rows* f, const union address* address,
                                        int is_v6) {
  return is_v6 ? class_of_v6(generation, f, address) : class_of_v4(generation, f, bpf_ntohl(address->word[3]));
}

static __always_inline __u32 by_value(void* generation, const struct weir_field_rows* f, int present, __u32 value) {
  return present ? table_entry(generation, f->table, value) : f->none;
}

/* The vector of a class. */
static __always_inline union weir_row* vector_of(void* generation, const struct weir_field_rows* f,
                                                 __u32 class_number) {
  return class_number == NO_CLASS ? NULL : row(generation, f->vectors + class_number);
}
