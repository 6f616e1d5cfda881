/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * The layout of every map that the XDP program, the engine and the tools share: one header, C11 and C++20 alike.
 * Rules: fixed widths, explicit padding, sizes asserted. Fields named *_be are in network byte order; all others are in
 * host order. An IPv4 address is written as IPv4-mapped IPv6 (::ffff:a.b.c.d), so that one key serves both families;
 * an IPv6 packet that carries such an address on the wire is malformed (RFC 4291 2.5.5.2, RFC 4942 2.2).
 *
 * Every map is pinned under /sys/fs/bpf/weir/<netns cookie>-<ifindex>/<map name>.
 */
#pragma once

#ifdef __bpf__
#include <linux/types.h>
typedef __u8 weir_u8;
typedef __u16 weir_u16;
typedef __u32 weir_u32;
typedef __u64 weir_u64;
#else
#include <stdint.h>
typedef uint8_t weir_u8;
typedef uint16_t weir_u16;
typedef uint32_t weir_u32;
typedef uint64_t weir_u64;
#endif

#ifdef __cplusplus
#define WEIR_ASSERT_SIZE(type, size) static_assert(sizeof(type) == (size), "map ABI: " #type)
#else
#define WEIR_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "map ABI: " #type)
#endif

/* Raised with every change of a layout, of a map's kind or size, or of the list of reasons. A tool refuses maps of another. */
#define WEIR_ABI_VERSION 5

#define WEIR_PIN_ROOT "/sys/fs/bpf/weir"
#define WEIR_RUN_DIR "/run/weir"

#define WEIR_MAX_QUEUES 64
#define WEIR_MAX_STEER 1024
#define WEIR_MAX_STEER_CHAIN 64 /* entries of one port, and of all port ranges of a protocol */
#define WEIR_APP_NAME 16        /* with its NUL */
#define WEIR_MAX_LOCAL_ADDRS 4096
#define WEIR_MAX_FRAGMENTS 4096
#define WEIR_MAX_GUARDS 64

/* An engine silent for longer than this gets no new connections ... */
#define WEIR_SYN_STALE_NS 1000000000ULL
/* ... and after this no frames at all (a full ring would stall the queue). */
#define WEIR_FLOW_STALE_NS 3000000000ULL

/* An index or a number that there is not. */
#define WEIR_NONE 0xffffffffu

struct weir_addr {
  weir_u8 bytes[16]; /* network order; IPv4 as ::ffff:a.b.c.d */
};
WEIR_ASSERT_SIZE(struct weir_addr, 16);

/* Map `config`: BPF_MAP_TYPE_ARRAY, mmapable, one entry. Written by attach and by tools that hold the lock. */
enum weir_config_flags {
  WEIR_CONFIG_BYPASS_FIREWALL = 1u << 0, /* acceptors may steer although the host's firewall has input rules */
  WEIR_CONFIG_PARTIAL_CSUM = 1u << 1,    /* the link delivers frames whose checksum is only the pseudo-header's (veth, virtio) */
  WEIR_CONFIG_DETACHING = 1u << 2,       /* detach --force: the engine resets its flows and closes its sockets */
  WEIR_CONFIG_GUARDED = 1u << 3,         /* `guarded` is not empty */
  WEIR_CONFIG_STEER_RANGES = 1u << 4,    /* a steering entry has a range of ports, in which any port may be */
};
struct weir_config {
  weir_u32 abi_version; /* always the first word */
  weir_u32 flags;
  weir_u64 netns_cookie;
  weir_u32 ifindex;
  weir_u32 captures; /* bit s: slot s of `capture_slots` listens; set by its owner, cleared by it or by XDP */
  weir_u64 filter_selector; /* which slot of `filter` is current, and until when: weir_selected() */
  weir_u64 hash_key[2];     /* of weir_flow_hash */
  weir_u8 mac[6];           /* the interface's own */
  weir_u8 pad1[2];
  char ifname[16]; /* a label; the interface may have been renamed */
  weir_u32 queues; /* receive queues at attach */
  weir_u32 xdp_mode; /* enum weir_xdp_mode */
  weir_u64 explain_key; /* what a request to explain begins with: struct weir_explanation. 0: there are none */
  weir_u32 syn_guard;      /* enum weir_syn_guard_mode */
  weir_u32 syn_guard_rate; /* SYNs a second of an entry above which `auto` switches it on; at least 1 */
  weir_u8 pad2[32];
};
WEIR_ASSERT_SIZE(struct weir_config, 128);
enum weir_xdp_mode { WEIR_XDP_NATIVE = 1, WEIR_XDP_GENERIC = 2 };
enum weir_syn_guard_mode { WEIR_SYN_GUARD_OFF = 0, WEIR_SYN_GUARD_ON = 1, WEIR_SYN_GUARD_AUTO = 2 };

/* Map `heartbeats`: ARRAY, mmapable, WEIR_MAX_QUEUES entries; one writer each, the engine that holds the queue. */
struct weir_heartbeat {
  weir_u64 monotonic_ns; /* CLOCK_MONOTONIC, as bpf_ktime_get_ns; 0: no engine, or it left in good order */
  weir_u64 started_ns;
  weir_u32 pid;
  weir_u32 zero_copy; /* 1: the queue's socket is in zero-copy mode */
  weir_u64 loop_lag_ns; /* the longest turn of the loop in the last second */
  char app[WEIR_APP_NAME]; /* the name that the engine gives itself; empty: none */
  weir_u8 pad[16];
};
WEIR_ASSERT_SIZE(struct weir_heartbeat, 64);

/* Map `local_addrs`: HASH of struct weir_addr -> weir_u32, enum weir_local. What "any address" means. Written by attach
 * and then by the engine. */
enum weir_local {
  WEIR_LOCAL = 1,
  WEIR_LOCAL_LEFT = 2, /* taken from the interface; an engine's connections have it still, and nothing new begins there */
};

/* Map `steer_index`: HASH of struct weir_steer_key -> weir_u32, an index into `steer`: the first entry of the port's
 * chain. Port 0 leads to the chain of the entries with a range of ports. */
struct weir_steer_key {
  weir_u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
  weir_u8 pad;
  weir_u16 port_be;
};
WEIR_ASSERT_SIZE(struct weir_steer_key, 4);

/* Map `steer`: ARRAY, mmapable, WEIR_MAX_STEER entries. Each field has one kind of writer, so nobody overwrites
 * another.
 *
 * The entries of one port form a chain, and so do those with a range of ports: the most specific first, that is the
 * narrowest range, then one with prefixes, then the longest destination prefix, then the longest source prefix. The
 * port's own chain is asked before that of the ranges, and the first entry that matches has the packet; one that drains
 * has only what no other has. A tool links an entry when all of it is written, and clears it a grace period after it was
 * unlinked. */
enum weir_steer_flags {
  WEIR_STEER_DRAINING = 1u << 0,    /* SYNs to the kernel, the rest to the engine */
  WEIR_STEER_ABSENT_DROP = 1u << 1, /* SYNs are dropped, not passed, while no engine is there */
  WEIR_STEER_RESERVED = 1u << 2,    /* a local port of the engine's own outgoing connections, not an operator's entry */
};
#define WEIR_NO_PREFIX 0xff /* as a length: none was given */
struct weir_steer {
  weir_u16 port_be;
  weir_u8 protocol; /* 0: the entry is free */
  weir_u8 family;   /* 4 or 6: only packets of that family, by the prefixes below; 0: any address of either */
  weir_u32 flags;   /* tools, under the lock */
  /* The kernel may own connections of this port while these two differ: look its sockets up then, and only then.
   * XDP adds one to the first whenever a SYN of the port falls to the kernel; it starts at 1 against 0. The engine
   * stores into the second the value of the first that it had read before sock_diag found no kernel connection on the
   * port. With a range of ports they always differ: among them are those that the kernel connects from. */
  weir_u32 syns_to_kernel;
  weir_u32 kernel_clear;
  weir_u64 listeners;    /* engine: bit q is set while queue q's engine accepts on this port, or on some of the range */
  weir_u32 flows;        /* engine: its live connections that this entry matches */
  weir_u32 next;         /* tools: 1 + the index of the next in its chain; 0: it is the last */
  weir_u16 port_last_be; /* 0: one port */
  weir_u8 destination_length; /* of the prefix, in the family's bits; tools alone read the two */
  weir_u8 source_length;
  weir_u32 pad0;
  struct weir_addr destination; /* masked; all zero where family is 0 */
  struct weir_addr destination_mask;
  struct weir_addr source;
  struct weir_addr source_mask;
  char app[WEIR_APP_NAME]; /* only an engine of that name marks it; empty: any */
  weir_u8 pad1[8];
};
WEIR_ASSERT_SIZE(struct weir_steer, 128);

/* Map `listening`: ARRAY of weir_u64, mmapable, WEIR_LISTENING_WORDS entries: the ports on which the engine accepts, a
 * bit each; engine. Of an entry with a range of ports its `listeners` say less than is to be known. */
#define WEIR_LISTENING_WORDS 2048
static inline weir_u32 weir_listening_word(weir_u8 protocol, weir_u16 port) {
  return (protocol == 17 /* UDP */ ? 1024u : 0u) + port / 64u;
}

/* Map `steered`: ARRAY of weir_u64, mmapable, WEIR_LISTENING_WORDS entries, by weir_listening_word(): the ports that have
 * an entry in `steer_index`, a bit each, so that a frame of another costs no look-up in a hash. Set before there is an
 * entry and cleared after; by who writes that. */

/* Map `syn_guard`: ARRAY, mmapable, WEIR_MAX_STEER entries, by steering entry: how many SYNs come, and until when XDP
 * answers them itself; XDP. */
#define WEIR_SYN_GUARD_WINDOW_NS 1000000000ULL
#define WEIR_SYN_GUARD_HOLD_NS 5000000000ULL
struct weir_syn_guard {
  weir_u64 window_ns; /* when the window began in which `count` counts */
  weir_u64 on_until_ns; /* 0 from the first SYN after that on */
  weir_u32 count;
  weir_u32 last_count; /* of the window before */
  weir_u64 pad;
};
WEIR_ASSERT_SIZE(struct weir_syn_guard, 32);

/* Map `syn_answer`: ARRAY, mmapable, one entry: what the engine would say in its SYN-ACK, and its keys; engine. */
enum weir_answer_flags {
  WEIR_ANSWER_TIMESTAMPS = 1u << 0,
  WEIR_ANSWER_SCALE = 1u << 1,
  WEIR_ANSWER_SACK = 1u << 2,
  WEIR_ANSWER_ECN = 1u << 3,
};
struct weir_syn_answer {
  weir_u32 valid; /* 1 while an engine is there to take the connections */
  weir_u32 flags; /* enum weir_answer_flags */
  weir_u16 mss4;
  weir_u16 mss6;
  weir_u16 window; /* as it stands in the header */
  weir_u8 scale;
  weir_u8 pad0;
  weir_u64 cookie_key[2]; /* by little-endian words */
  weir_u64 timestamp_key[2];
  weir_u64 answered_ns; /* XDP: when it last made a cookie */
  weir_u8 pad1[8];
};
WEIR_ASSERT_SIZE(struct weir_syn_answer, 64);

/* Map `flow_cells`: ARRAY, mmapable, WEIR_FLOW_CELLS entries, by weir_flow_hash: how many connections of the engine hash
 * to it. An empty cell says that the engine has none. */
#define WEIR_FLOW_CELLS 131072u /* a power of two */
#define WEIR_FLOW_OPENS_S 2
struct weir_flow_cell {
  weir_u16 flows; /* engine; TIME-WAIT included */
  weir_u16 pad;
  weir_u32 opened; /* XDP: the second of CLOCK_MONOTONIC at which a good cookie came */
};
WEIR_ASSERT_SIZE(struct weir_flow_cell, 8);

/* Map `steer_counters`: PERCPU_ARRAY, WEIR_MAX_STEER; map `counters`: PERCPU_ARRAY, WEIR_REASON_COUNT (see reasons.h);
 * map `rule_counters`: PERCPU_ARRAY, WEIR_RULE_COUNTERS, by weir_rule.counter. */
struct weir_counter {
  weir_u64 packets;
  weir_u64 bytes; /* of the frame, from its Ethernet header */
};
WEIR_ASSERT_SIZE(struct weir_counter, 16);

/* Map `engine_counters`: ARRAY, mmapable, WEIR_MAX_QUEUES entries; one writer each. Outlives the engine. */
#define WEIR_ENGINE_COUNTERS 128
struct weir_engine_counters {
  weir_u64 by_reason[WEIR_ENGINE_COUNTERS]; /* frames, by enum weir_reason */
};
WEIR_ASSERT_SIZE(struct weir_engine_counters, 1024);

/* Map `filter`: ARRAY_OF_MAPS of two slots, each empty (every frame is accepted) or a generation; config.filter_selector
 * names the current one. First match wins; no match accepts. A slot that is not current is rebuilt by one update of this
 * map. Map `limits`: ARRAY of weir_u64, WEIR_RULE_COUNTERS: token buckets by weir_rule.counter. Map `limit_sources`: LRU_HASH
 * of struct weir_limit_source -> weir_u64, the buckets of rules with one a source. */
#include "filter_abi.h"

/* Map `sets`: ARRAY_OF_MAPS of WEIR_SET_TABLES slots, each empty or a table of named sets. Tools, under the lock. */
#include "set_abi.h"

/* Map `fragments`: LRU_HASH -> weir_u32 steer index: where a steered first fragment sends the later ones. */
struct weir_fragment_key {
  struct weir_addr src;
  struct weir_addr dst;
  weir_u32 id; /* the IPv4 identification, or the IPv6 fragment header's, as on the wire */
  weir_u32 protocol;
};
WEIR_ASSERT_SIZE(struct weir_fragment_key, 40);

/* Map `guarded`: HASH of struct weir_guard_key -> struct weir_guard. Operators' SSH sessions: TCP from that address to that
 * port is the kernel's, unfiltered and unsteered. Written by tools under the lock; `seen_ns` by XDP. */
struct weir_guard_key {
  struct weir_addr remote;
  weir_u16 port_be; /* of sshd */
  weir_u16 pad0;
  weir_u32 pad1;
};
WEIR_ASSERT_SIZE(struct weir_guard_key, 24);
struct weir_guard {
  struct weir_addr local; /* where the session's other end was; for people to read */
  weir_u64 added_ns;      /* CLOCK_MONOTONIC, as the next */
  weir_u64 seen_ns;       /* when the last frame came; 0: none yet */
  weir_u16 remote_port_be; /* of the session that brought it; 0: it was typed */
  weir_u16 pad0;
  weir_u32 uid; /* who brought it */
};
WEIR_ASSERT_SIZE(struct weir_guard, 40);

/* A request to explain is a run of the program with this, and nothing else, as the frame's metadata (BPF_PROG_TEST_RUN
 * with data_meta 0 and data 32). No wire can bring one; `key` tells it from the metadata of a driver or of another
 * program. The program judges the frame as any other, touches no counter, bucket or memory, and answers in its place. */
struct weir_explanation {
  weir_u64 key;       /* config.explain_key; in the answer 0 */
  weir_u32 rule;      /* number in its generation, or WEIR_NONE */
  weir_u32 steer;     /* index of the steering entry, or WEIR_NONE */
  weir_u16 reason;    /* enum weir_reason */
  weir_u8 slot;       /* of `filter`, that the frame was judged by; WEIR_NO_SLOT: the filter was not asked */
  weir_u8 fragment;   /* enum weir_fragment */
  weir_u16 l4_offset; /* 0: none */
  weir_u8 pad[10];
};
WEIR_ASSERT_SIZE(struct weir_explanation, 32); /* kernels before 6.8 take no more */
#define WEIR_NO_SLOT 0xff

#include "capture_abi.h"

/* Map `secrets`: ARRAY, one entry, pinned mode 0600; no program reads it. Random from the first attach, kept over restarts,
 * so that RFC 6528's clock and RFC 7323's timestamp offsets go on where a dead engine left them. */
struct weir_secrets {
  weir_u8 isn_key[16];
  weir_u8 timestamp_key[16];
  weir_u8 cookie_key[16];
  weir_u8 pad[16];
};
WEIR_ASSERT_SIZE(struct weir_secrets, 64);

/* What XDP hands on in front of a steered frame (bpf_xdp_adjust_meta); it ends where the frame begins. The engine clears
 * the magic when it has read it, so that a driver without metadata is noticed and not misread. */
#define WEIR_META_MAGIC 0x77656972u
struct weir_meta {
  weir_u32 magic;
  weir_u32 flow_hash;
  weir_u16 l3_offset; /* from the start of the frame */
  weir_u16 l4_offset; /* 0: the frame is a later fragment */
  weir_u16 steer;     /* index of its entry */
  weir_u16 reason;    /* enum weir_reason, STEER_* */
};
WEIR_ASSERT_SIZE(struct weir_meta, 16);
