/* SPDX-License-Identifier: GPL-2.0-only
 *
 * From a field's value to its class, and to the rules that the class leaves (abi: filter_abi.h). What is not there
 * means a generation that does not hold together; it rules nothing in.
 */
#pragma once

#include "packet.h"

#define ADDRESS_STEPS (2 * WEIR_TREE_DEPTH)
#define NO_CLASS 0xffffffffu

static __noinline void* far_chunk(void* generation, __u32 offset) {
  __u32 index = offset / WEIR_CHUNK;
  return bpf_map_lookup_elem(generation, &index);
}

/* The element at an offset, of a size that is a power of two. `near` is the first chunk: a look-up in the map, whose
 * size the verifier does not know, is a call. */
static __always_inline void* element(void* generation, void* near, __u32 offset, __u32 size) {
  if (__builtin_expect(offset >= WEIR_CHUNK, 0)) {
    near = far_chunk(generation, offset);
    if (!near) return NULL;
  }
  /* The compiler may know more of the offset than the verifier. */
  asm volatile("" : "+r"(offset));
  void* at = near + (offset & (WEIR_CHUNK - 1) & ~(size - 1));
  __builtin_assume(at != NULL);
  return at;
}

/* The number of a word's lowest bit. */
static __always_inline __u32 rule_bit(const struct weir_generation* g, __u64 word) {
  return g->bits[(word & -word) * WEIR_BITS_FACTOR >> 58];
}

static __always_inline __u32 page_entry(void* generation, void* near, __u32 pages, __u32 page, __u32 value) {
  __u16* entry = element(generation, near, pages + page * sizeof(struct weir_page) + (value & 255) * 2, 2);
  return entry ? *entry : NO_CLASS;
}

static __always_inline __u32 class_of_octet(void* generation, void* near, const struct weir_field_place* f,
                                            __u32 value) {
  return page_entry(generation, near, f->pages, 0, value);
}

static __always_inline __u32 class_of_word(void* generation, void* near, const struct weir_field_place* f,
                                           __u32 value) {
  __u32 page = page_entry(generation, near, f->pages, 0, value >> 8);
  return page == NO_CLASS ? NO_CLASS : page_entry(generation, near, f->pages, page, value);
}

static __always_inline __u32 class_of_v4(void* generation, void* near, const struct weir_field_place* f,
                                         __u32 address) {
  __u16* top = element(generation, near, f->pages + (address >> 16) * 2, 2);
  __u32 entry = top ? *top : NO_CLASS;
  if (entry == NO_CLASS || !(entry & WEIR_PAGE_NODE)) return entry;
  entry = page_entry(generation, near, f->nodes, entry & ~WEIR_PAGE_NODE, address >> 8);
  if (entry == NO_CLASS || !(entry & WEIR_PAGE_NODE)) return entry;
  return page_entry(generation, near, f->nodes, entry & ~WEIR_PAGE_NODE, address);
}

/* a >= b, as 0 or 1, by the borrow of a - b: a comparison would be a branch, which the processor guesses wrong every
 * other time, and which the verifier follows both ways. */
static __always_inline __u32 not_less(__u64 a, __u64 b) { return ~((~a & b) | (~(a ^ b) & (a - b))) >> 63; }

/* What the verifier cannot follow through not_less(): a place in the node. */
static __always_inline __u32 place(__u32 i) {
  asm volatile("" : "+r"(i));
  return i & (WEIR_TREE_KEYS - 1);
}

/* The last entry whose key is not greater: among each eighth, then among eight. The comparisons of a step do not wait
 * for one another, as halving would. */
static __always_inline __u32 tree_entry(const struct weir_tree_node* node, __u64 key) {
  __u32 i = 8 * (not_less(key, node->keys[8]) + not_less(key, node->keys[16]) + not_less(key, node->keys[24]));
  const __u64* keys = &node->keys[place(i) & 24];
  __u32 among = not_less(key, keys[1]) + not_less(key, keys[2]) + not_less(key, keys[3]) + not_less(key, keys[4]) +
                not_less(key, keys[5]) + not_less(key, keys[6]) + not_less(key, keys[7]);
  return node->entries[place(i + among)];
}

/* A function of its own, for the stack's sake. */
static __noinline __u32 class_of_v6(void* generation, void* near, const struct weir_field_place* f,
                                    const union address* address) {
  __u64 key = bpf_be64_to_cpu(address->half[0]);
  __u32 at = f->root;
  for (int i = 0; i < ADDRESS_STEPS; i++) {
    const struct weir_tree_node* node =
        element(generation, near, f->tree + at * sizeof(struct weir_tree_node), sizeof(struct weir_tree_node));
    if (!node) return NO_CLASS;
    __u32 entry = tree_entry(node, key);
    if (entry & WEIR_TREE_CLASS) return entry & ~WEIR_TREE_CLASS;
    if (entry & WEIR_TREE_LOW) key = bpf_be64_to_cpu(address->half[1]);
    at = entry & ~WEIR_TREE_LOW;
  }
  return NO_CLASS;
}

static __always_inline __u32 by_address(void* generation, void* near, const struct weir_field_place* f,
                                        const union address* address, int is_v6) {
  return is_v6 ? class_of_v6(generation, near, f, address)
               : class_of_v4(generation, near, f, bpf_ntohl(address->word[3]));
}

static __always_inline __u32 by_octet(void* generation, void* near, const struct weir_field_place* f, int present,
                                      __u32 value) {
  return present ? class_of_octet(generation, near, f, value) : f->none;
}

static __always_inline __u32 by_word(void* generation, void* near, const struct weir_field_place* f, int present,
                                     __u32 value) {
  return present ? class_of_word(generation, near, f, value) : f->none;
}

static __always_inline const struct weir_head* head_of(void* generation, void* near, const struct weir_field_place* f,
                                                       __u32 class_number) {
  return class_number == NO_CLASS
             ? NULL
             : element(generation, near, f->heads + class_number * sizeof(struct weir_head), sizeof(struct weir_head));
}

static __always_inline const __u64* word_of(void* generation, void* near, const struct weir_field_place* f,
                                            __u32 class_number, __u32 word) {
  return element(generation, near, f->vectors + class_number * WEIR_VECTOR_SIZE + word * 8, 8);
}
