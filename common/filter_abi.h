/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * The layout of the filter: part of the map ABI (abi.h includes it).
 *
 * A generation is one inner map of `filter` (ARRAY_OF_MAPS, two slots): chunks of WEIR_CHUNK octets, as many as it
 * needs. Whoever holds the pointer to it holds all of it, so no frame can be judged by half of one and half of another.
 *
 * What is in it is named by its offset in octets from the first chunk's begin. Arrays may go over from one chunk to the
 * next, their elements do not: a size is a power of two, and an array begins at a multiple of it. A look-up in the map
 * gives one chunk, so what stands in the first costs none but the header's own; the small arrays stand there, and of
 * nearly all rule sets everything does.
 *
 *   struct weir_generation    which fields are in use, and where what follows begins
 *   pages                     per field from a value to its class
 *   struct weir_head          per field, by class: what most frames need of the vector
 *   vectors                   per field, by class: the rules that the class's values do not rule out, those that do not
 *                             ask for the field among them: WEIR_RULE_WORDS words, rule r is bit r % 64 of word r / 64
 *   struct weir_rule_verdict  by rule: what XDP does on a match; struct weir_rule_limit, by rule, where any has a limit
 *   struct weir_rule          by rule: what the tools read back; no program looks at them
 *
 * The intersection of the vectors of a frame's classes is the set of the rules that match it; its first bit decides. A
 * head has a word of summary (bit w: word w of the vector is not zero), and the intersection of those says which words
 * can matter; and it has the word that mostly is the first that does. A word in which a class has every rule there is has
 * the bits beyond the last rule, too, so that it is equal to other such words.
 *
 * Values: the two addresses by themselves (below). A protocol, TCP flags, an ICMP type and a fragment index one page of
 * classes; all others are numbers of 16 bits: the first page has, by their upper octet, the number of the page of
 * classes for the lower. Pages of equal content are one.
 */
#pragma once

#define WEIR_MAX_RULES 4096
#define WEIR_RULE_WORDS (WEIR_MAX_RULES / 64)
#define WEIR_RULE_NAME 32 /* with its NUL */
/* Those of the current generation, of the one that it replaces, and of the one that is being built. */
#define WEIR_RULE_COUNTERS (2 * WEIR_MAX_RULES)
#define WEIR_MAX_LIMIT_SOURCES 32768
#define WEIR_MAX_SAMPLE 1000000000

enum weir_field {
  WEIR_FIELD_SOURCE,
  WEIR_FIELD_DESTINATION,
  WEIR_FIELD_SOURCE_PORT,      /* TCP and UDP, whole packets and first fragments; else none */
  WEIR_FIELD_DESTINATION_PORT, /* likewise */
  WEIR_FIELD_PROTOCOL,         /* behind the extension headers */
  WEIR_FIELD_TCP_FLAGS,        /* the 14th octet of the header */
  WEIR_FIELD_ICMP_TYPE,        /* ICMP over IPv4, ICMPv6 over IPv6 */
  WEIR_FIELD_VLAN,             /* 0: untagged; 1 + the identifier of the outermost tag */
  WEIR_FIELD_FRAGMENT,         /* enum weir_fragment */
  WEIR_FIELD_LENGTH,           /* of the IP packet with its header, octets; 65535 stands for more, too */
  WEIR_FIELD_SOURCE_SETS,      /* bit s: the address is in set s of the generation's table; of the sets it asks for */
  WEIR_FIELD_DESTINATION_SETS,
  WEIR_FIELD_COUNT
};
enum weir_fragment { WEIR_FRAGMENT_NONE, WEIR_FRAGMENT_FIRST, WEIR_FRAGMENT_LATER };
#define WEIR_VLAN_VALUES 4097

enum weir_action { WEIR_ACTION_ACCEPT = 0, WEIR_ACTION_DROP = 1, WEIR_ACTION_PASS = 2 };
enum weir_limit {
  WEIR_LIMIT_PACKETS = 1u << 0,    /* frames beyond the rate are dropped */
  WEIR_LIMIT_BYTES = 1u << 1,      /* octets from the Ethernet header on; one of the two, or no limit */
  WEIR_LIMIT_PER_SOURCE = 1u << 2, /* a bucket a source address (IPv6: its /64), not one for the rule */
};

struct weir_prefix {
  struct weir_addr address; /* host bits are zero */
  weir_u8 family;           /* 0: any address of either; 4; 6 */
  weir_u8 length;           /* of the family: 0..32, 0..128 */
  weir_u8 pad[6];
};
WEIR_ASSERT_SIZE(struct weir_prefix, 24);

/* A rule as it was written. Ranges are inclusive, and count only where their bit of `fields` is set. */
struct weir_rule {
  char name[WEIR_RULE_NAME]; /* unique in the generation; what its counter follows */
  weir_u32 fields;           /* bit per enum weir_field that the rule asks for */
  weir_u16 counter;          /* index into `rule_counters` and `limits`, the same as long as the name lives */
  weir_u8 action;            /* enum weir_action */
  weir_u8 limit;             /* enum weir_limit */
  struct weir_prefix source;
  struct weir_prefix destination;
  weir_u16 source_port[2];
  weir_u16 destination_port[2];
  weir_u16 vlan[2];
  weir_u16 length[2];
  weir_u8 icmp_type[2];
  weir_u8 fragment[2];
  weir_u8 tcp_flags; /* what (flags & tcp_mask) must be */
  weir_u8 tcp_mask;
  weir_u8 protocol;
  weir_u8 pad0;
  weir_u64 rate;        /* of the limit: packets or octets a second, at least 1 */
  weir_u64 burst;       /* packets or octets, at least 1 */
  weir_u32 source_sets; /* bit per number of a set: the address is in all of them */
  weir_u32 destination_sets;
  weir_u32 sample; /* one in so many is copied to who asks for samples; 0: none */
  weir_u32 pad1;
};
WEIR_ASSERT_SIZE(struct weir_rule, 144);

#define WEIR_CHUNK 524288u

#define WEIR_PAGE 256 /* entries */
struct weir_page {
  weir_u16 entries[WEIR_PAGE];
};
WEIR_ASSERT_SIZE(struct weir_page, 512);

/* Addresses of IPv4: `pages` is one array of 65,536 entries by their upper half. An entry is a class, or with this the
 * number of a page of a further array, for the third octet; so has that for the fourth. */
#define WEIR_PAGE_NODE 0x8000u

struct weir_head {
  weir_u64 summary;
  weir_u64 lead; /* of the vector's words the first that is not zero */
  weir_u64 span; /* bit w: word w is the same */
  weir_u64 pad;
};
WEIR_ASSERT_SIZE(struct weir_head, 32);
#define WEIR_VECTOR_SIZE (WEIR_RULE_WORDS * 8)

/* One node of a search tree over 64-bit keys, host order: entry i serves keys[i] <= key < keys[i + 1]. keys[0] is the
 * least key that comes here; entries that are not needed repeat the last. */
#define WEIR_TREE_KEYS 32
#define WEIR_TREE_DEPTH 3 /* 32^3 intervals */
enum weir_tree_entry {
  WEIR_TREE_CLASS = 1u << 31, /* the rest is a class; the search is over */
  WEIR_TREE_LOW = 1u << 30,   /* the rest is the root of a tree over the address's low half */
};                            /* neither: the number of a node one further down */
struct weir_tree_node {
  weir_u64 keys[WEIR_TREE_KEYS];
  weir_u32 entries[WEIR_TREE_KEYS];
  weir_u64 pad[16];
};
WEIR_ASSERT_SIZE(struct weir_tree_node, 512);

/* A token bucket is one word: the time until which its tokens are lent out, in sixteenths of a nanosecond (GCRA). A
 * frame costs `cost` of that time and fits while the debt stays within `depth`. */
#define WEIR_LIMIT_SECOND 16000000000ULL
struct weir_rule_limit {
  weir_u64 cost;  /* of a packet; 0 where octets are counted */
  weir_u64 rate;  /* octets a second */
  weir_u64 depth; /* the burst, in time */
  weir_u64 pad;
};
WEIR_ASSERT_SIZE(struct weir_rule_limit, 32);
struct weir_rule_verdict {
  weir_u8 action; /* enum weir_action */
  weir_u8 limit;  /* enum weir_limit */
  weir_u16 counter;
  weir_u32 sample; /* of the rule */
};
WEIR_ASSERT_SIZE(struct weir_rule_verdict, 8);

/* Offsets. */
struct weir_field_place {
  weir_u32 pages;
  weir_u32 nodes; /* pages for IPv4's third and fourth octet */
  weir_u32 tree;  /* nodes over IPv6 addresses */
  weir_u32 root;  /* the number of the node to begin at */
  weir_u32 heads;
  weir_u32 vectors;
  weir_u32 none; /* the class of a frame that has no such field */
  weir_u32 pad;
};
WEIR_ASSERT_SIZE(struct weir_field_place, 32);

/* A de Bruijn sequence: its 64 windows of six bits all differ. */
#define WEIR_BITS_FACTOR 0x03f79d71b4cb0a89ULL

struct weir_generation {
  weir_u32 chunks; /* in all */
  weir_u32 rules;
  weir_u32 fields; /* bit per enum weir_field that some rule asks for: the others are not looked up */
  weir_u32 verdicts;
  weir_u32 limits; /* 0: no rule has one */
  weir_u32 definitions;
  weir_u64 serial;           /* of no other generation of the interface, and never 0 in the map */
  weir_u32 next_name;        /* for rules that are added without a name */
  weir_u32 sets;             /* the slot of `sets` that has the generation's table, or WEIR_NO_SET_TABLE */
  weir_u32 source_sets;      /* bit per set that some rule asks for */
  weir_u32 destination_sets; /* likewise */
  weir_u64 pad[2];
  struct weir_field_place field[WEIR_FIELD_COUNT];
  weir_u8 bits[64]; /* the number of a word's only bit, by word * WEIR_BITS_FACTOR >> 58 */
};
WEIR_ASSERT_SIZE(struct weir_generation, 512);

union weir_chunk {
  struct weir_generation generation; /* of the first */
  weir_u8 octets[WEIR_CHUNK];
};
WEIR_ASSERT_SIZE(union weir_chunk, WEIR_CHUNK);

/* config.filter_selector, one word, read once a frame: bit 0 is the current slot; the rest, if not 0, is the time
 * (CLOCK_MONOTONIC, nanoseconds) after which the other slot is current again because nobody confirmed this one. */
static inline weir_u32 weir_selected(weir_u64 selector, weir_u64 now_ns) {
  weir_u32 slot = selector & 1 ? 1 : 0;
  weir_u64 deadline_ns = selector >> 1;
  return deadline_ns && now_ns > deadline_ns ? slot ^ 1 : slot;
}

/* Key of `limit_sources`. */
struct weir_limit_source {
  struct weir_addr source; /* IPv6: its upper half, the rest zero */
  weir_u32 counter;        /* of the rule */
  weir_u32 pad;
};
WEIR_ASSERT_SIZE(struct weir_limit_source, 24);
