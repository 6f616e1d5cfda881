/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * The layout of a table of named sets: part of the map ABI (abi.h includes it).
 *
 * A table is one inner map of `sets` (ARRAY_OF_MAPS, WEIR_SET_TABLES slots): rows of WEIR_SET_ROW octets. It holds all
 * entries of up to WEIR_MAX_SETS sets; a generation of the filter names its table by the slot (weir_generation.sets).
 *
 *   row 0    struct weir_set_header
 *   rows     struct weir_set_name by the set's number
 *   rows     guide of IPv4: a word by the upper 16 bits of an address, which lengths of prefixes there may be under
 * them rows     guide of IPv6: two words by a hash of the upper 32 bits, likewise rows     narrow buckets: IPv4 entries
 * without end, a word each rows     wide buckets, WEIR_SET_WIDE_ROWS rows each: IPv6, and IPv4 (as ::ffff:a.b.c.d) with
 * an end
 *
 * An address is in a set if any entry of the set covers it, so a look-up asks one bucket for each length that the guide
 * names, and what has ended hides nothing. A bucket has 8 slots, filled in order. A full one goes on in the next, at
 * most WEIR_SET_PROBES in all. A slot once filled keeps its prefix as long as the table lives; what changes is its
 * word, by one store: to which sets it belongs, and until when. So a reader sees an entry before or after a change,
 * never between. A change of more than that builds another table, and one update of `sets` puts it in the place of the
 * old one.
 */
#pragma once

#define WEIR_MAX_SETS 16
#define WEIR_SET_TABLES 4 /* of the current generation, of the one that it replaces, of the one that is being built */
#define WEIR_NO_SET_TABLE 0xffffffffu
#define WEIR_SET_NAME 32                /* with its NUL */
#define WEIR_MAX_SET_ENTRIES (1u << 21) /* of a table: different prefixes, and one for each with an end in a set */

#define WEIR_SET_ROW 64
#define WEIR_SET_SLOTS 8
#define WEIR_SET_PROBES 8
#define WEIR_SET_WIDE_ROWS 3
#define WEIR_SET_BUCKETS(bits) ((1u << (bits)) + WEIR_SET_PROBES - 1)

struct weir_set_header {
  weir_u32 rows; /* in all */
  weir_u32 guide4;
  weir_u32 guide6;
  weir_u32 narrow; /* first row of the narrow buckets, WEIR_SET_BUCKETS(narrow_bits) of them */
  weir_u32 wide;
  weir_u8 narrow_bits;
  weir_u8 wide_bits;
  weir_u16 pad0;
  weir_u64 seed;          /* of weir_set_hash() */
  weir_u32 lengths6;      /* of IPv6 prefixes, 0 to 31: the guide has the longer ones */
  weir_u32 lengths4_ends; /* of IPv4 prefixes with an end, 0 and 1: likewise */
  weir_u32 narrow_used;   /* slots; a writer's note, at most a few too low */
  weir_u32 wide_used;
  weir_u64 pad1[2];
};
WEIR_ASSERT_SIZE(struct weir_set_header, WEIR_SET_ROW);

#define WEIR_SET_ROW_NAMES 1
struct weir_set_name {
  char name[WEIR_SET_NAME]; /* empty: the number is free. Its first octet is written last, and cleared first */
  weir_u64 pad[4];
};
WEIR_ASSERT_SIZE(struct weir_set_name, WEIR_SET_ROW);

/* Guide of IPv4: bits 0 to 32 are lengths of narrow entries, bits 33 to 63 lengths 2 to 32 of those with an end. */
#define WEIR_SET_GUIDE4_ROWS (65536 / WEIR_SET_SLOTS)
#define WEIR_SET_GUIDE4_ENDS 31 /* a length's bit, beyond the length */
/* Guide of IPv6: in the first word bit 0 is length 128, bits 32 to 63 are lengths 32 to 63; the second has 64 to 127.
 */
#define WEIR_SET_GUIDE6_ROWS (2 * 65536 / WEIR_SET_SLOTS)

/* A narrow slot: address << 32 | (length + 1) << 16 | sets.
 * A wide one, in the bucket's first row: end << 32 | sets << 16 | tag << 8 | length + 1; its address, two words in host
 * order, in the two rows behind, four to a row. The end is in seconds of CLOCK_MONOTONIC, 0 for none; a slot with an
 * end belongs to one set. A slot of no set is an entry that was removed. */
#define WEIR_SET_LENGTH_SHIFT 16 /* of a narrow slot */
#define WEIR_SET_SETS_SHIFT 16   /* of a wide one */
#define WEIR_SET_END_SHIFT 32
#define WEIR_SET_V4_LOW 0xffff00000000ULL /* the lower half of ::ffff:0.0.0.0 */

union weir_set_row {
  struct weir_set_header header;
  struct weir_set_name name;
  weir_u64 words[WEIR_SET_SLOTS];
};
WEIR_ASSERT_SIZE(union weir_set_row, WEIR_SET_ROW);

/* Of a prefix with its host bits zero, in host order; IPv4: high 0, and length of the family where the slot is narrow.
 */
static inline weir_u64 weir_set_hash(weir_u64 high, weir_u64 low, weir_u32 length, weir_u64 seed) {
  weir_u64 h = (high ^ seed) * 0x9e3779b97f4a7c15ULL;
  h = (h ^ (h >> 32) ^ low) * 0xd6e8feb86659fd93ULL;
  h = (h ^ (h >> 32) ^ length) * 0xa0761d6478bd642fULL;
  return h ^ (h >> 32);
}
static inline weir_u64 weir_set_tag(weir_u64 hash, weir_u32 length) { return (hash >> 56) << 8 | (length + 1); }
/* Which pair of words of IPv6's guide serves the address. */
static inline weir_u64 weir_set_guide6(weir_u64 high, weir_u64 seed) {
  return (((high >> 32) ^ (seed & 0xffffffff)) * 0x9e3779b97f4a7c15ULL) >> 48;
}
