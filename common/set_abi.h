/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * The layout of a table of named sets: part of the map ABI (abi.h includes it).
 *
 * A table is one inner map of `sets` (ARRAY_OF_MAPS, WEIR_SET_TABLES slots): rows of WEIR_SET_ROW octets. It holds all
 * entries of up to WEIR_MAX_SETS sets; a generation of the filter names its table by the slot (weir_generation.sets).
 *
 *   row 0    struct weir_set_header
 *   rows     struct weir_set_name by the set's number
 *   rows     struct weir_set_guide by a hash of an address's upper bits: which prefixes there may be under them
 *   rows     narrow buckets: IPv4 entries without end, a word each
 *   rows     wide buckets, WEIR_SET_WIDE_ROWS rows each: IPv6, and IPv4 (as ::ffff:a.b.c.d) with an end
 *
 * An address is in a set if any entry of the set covers it, so a look-up asks one bucket for each length that the guide
 * leaves, and what has ended hides nothing. A bucket has 8 slots, filled in order. A full one goes on in the next, at
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

/* Lengths of prefixes, a bit each: IPv4 in one word, bit 32 - l; IPv6 in two, bit 64 - l for lengths 1 to 64, and bit
 * 128 - l for those to 128. So a bit is also the least address beyond the host bits of its length. */
struct weir_set_header {
  weir_u32 rows;   /* in all */
  weir_u32 guide;  /* first row */
  weir_u32 narrow; /* first row of the narrow buckets, WEIR_SET_BUCKETS(narrow_bits) of them */
  weir_u32 wide;
  weir_u8 guide_bits; /* the logarithm of its rows */
  weir_u8 narrow_bits;
  weir_u8 wide_bits;
  weir_u8 all6;         /* whether there may be ::/0 */
  weir_u32 narrow_used; /* slots; a writer's note, at most a few too low */
  weir_u32 wide_used;
  weir_u32 ends4;    /* lengths of IPv4 with an end, 1 to 32, that there are at all */
  weir_u64 seed;     /* of the hashes */
  weir_u64 lengths4; /* of those without; and WEIR_SET_END_OF_ALL */
  weir_u64 lengths6[2];
};
WEIR_ASSERT_SIZE(struct weir_set_header, WEIR_SET_ROW);

#define WEIR_SET_ROW_NAMES 1
struct weir_set_name {
  char name[WEIR_SET_NAME]; /* empty: the number is free. Its first octet is written last, and cleared first */
  weir_u64 pad[4];
};
WEIR_ASSERT_SIZE(struct weir_set_name, WEIR_SET_ROW);

/* What there may be under the upper 16 bits of an IPv4 address (a shorter prefix is told in each row that it covers);
 * under the upper 32 of an IPv6 one, for lengths 32 to 47; and under its upper 48, for longer ones. What was set stays
 * as long as the table lives. */
#define WEIR_SET_SIEVE_WORDS 6
struct weir_set_guide {
  weir_u64 lengths[2];                  /* IPv4: of entries without end, and with one */
  weir_u64 sieve[WEIR_SET_SIEVE_WORDS]; /* two bits of one word for each, but for IPv4 up to length 16 */
};
WEIR_ASSERT_SIZE(struct weir_set_guide, WEIR_SET_ROW);
#define WEIR_SET_END_OF_ALL (1ULL << 63) /* there may be 0.0.0.0/0 with an end */
#define WEIR_SET_LENGTHS4 0x1ffffffffULL
#define WEIR_SET_UNSIEVED4 0x1ffff0000ULL      /* 0 to 16 */
#define WEIR_SET_SHORT6 0xfffffffe00000000ULL  /* 1 to 31: no guide says where */
#define WEIR_SET_MIDDLE6 0x00000001fffe0000ULL /* 32 to 47 */
#define WEIR_SET_LONG6 0x000000000001ffffULL   /* 48 to 64 */

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
  struct weir_set_guide guide;
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
/* Which row of the guide, before its number is cut to guide_bits: of an IPv4 address's upper 16 bits; of an IPv6
 * address's upper half, with zeros behind its 32 or 48 bits. */
static inline weir_u64 weir_set_guide_row(weir_u64 upper, weir_u64 seed) {
  return ((upper ^ seed) * 0x9e3779b97f4a7c15ULL) >> 40;
}
/* What the sieve knows a prefix by: its host bits are zero, `bit` is that of its length, and `above` is of what all
 * that ask the row do not share: IPv4, whether it has an end; IPv6 beyond length 64, the upper half. A look-up asks for
 * some dozen prefixes; two that are alike cost a look into a bucket. */
static inline weir_u64 weir_set_sieve(weir_u64 above, weir_u64 prefix, weir_u64 bit) {
  weir_u64 x = (above * 0x9e3779b97f4a7c15ULL) ^ prefix ^ (bit >> 1);
  return (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
}
static inline weir_u64 weir_set_sieve_word(weir_u64 sieve) { return ((sieve >> 32) * WEIR_SET_SIEVE_WORDS) >> 32; }
/* The numbers of its two bits there, which may be one. */
static inline weir_u64 weir_set_sieve_one(weir_u64 sieve) { return sieve >> 32 & 63; }
static inline weir_u64 weir_set_sieve_other(weir_u64 sieve) { return sieve >> 38 & 63; }
