/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * What XDP tells of single frames: part of the map ABI (abi.h includes it).
 *
 * Copies for whoever listens (`weir dump`). A listener takes a slot of the map `capture_slots`, puts a perf event for
 * each CPU into the map `captures` (slot * WEIR_CAPTURE_CPUS + CPU), and sets its bit in config.captures: the one word
 * that XDP looks at. It writes its deadline anew several times a second; past it XDP clears the bit, so that a listener
 * that was killed or is stopped soon costs nothing. Its perf events leave with its file descriptors.
 *
 * The latest dropped frame of each reason stands in the map `drop_samples`.
 */
#pragma once

#define WEIR_CAPTURE_SLOTS 4
#define WEIR_CAPTURE_CPUS 1024
#define WEIR_CAPTURE_LEASE_NS 1000000000ULL
#define WEIR_CAPTURE_MOST 32768 /* octets of a frame: a perf record is less than 64 KiB */

enum weir_capture_flags {
  WEIR_CAPTURE_SAMPLED = 1u << 0, /* slot: only what a rule's `sample` chose; record: it did */
  WEIR_CAPTURE_ANSWER = 1u << 1,  /* record: what XDP itself sends, behind the record of what it answers */
};

/* Map `capture_slots`: ARRAY, mmapable, WEIR_CAPTURE_SLOTS entries. Taken under the lock; then its owner's, and XDP
 * adds to the two counters. */
struct weir_capture_slot {
  weir_u64 until_ns; /* CLOCK_MONOTONIC; in the past: the slot is free */
  weir_u64 reasons;  /* bit r: frames of enum weir_reason r */
  weir_u32 snaplen;  /* octets of each frame, at least 1 */
  weir_u32 flags;    /* enum weir_capture_flags */
  weir_u64 owner;    /* of the time and process that took it, so that nobody renews what is another's by now */
  weir_u32 pid;
  weir_u32 pad0;
  weir_u64 captured; /* copies that were due */
  weir_u64 lost;     /* of those: for which the listener had no room */
  weir_u64 pad1;
};
WEIR_ASSERT_SIZE(struct weir_capture_slot, 64);

/* In the perf record, before the octets. */
struct weir_capture_record {
  weir_u64 time_ns;    /* CLOCK_MONOTONIC */
  weir_u64 generation; /* weir_generation.serial of what judged it; 0: no rule did */
  weir_u32 rule;       /* its number there, or WEIR_NONE */
  weir_u32 steer;      /* index of its steering entry, or WEIR_NONE */
  weir_u32 length;     /* of the frame */
  weir_u32 captured;   /* octets that follow; alignment may add some */
  weir_u16 reason;     /* enum weir_reason */
  weir_u16 queue;
  weir_u32 flags; /* enum weir_capture_flags */
};
WEIR_ASSERT_SIZE(struct weir_capture_record, 40);

/* Map `drop_samples`: PERCPU_ARRAY, WEIR_DROP_SAMPLES entries by enum weir_reason. Written by XDP, at most once in
 * WEIR_DROP_SAMPLE_JIFFIES. A reader that finds `sequence` even, and the same before and after, has a whole one. */
#define WEIR_DROP_SAMPLES 64
#define WEIR_DROP_SAMPLE_JIFFIES 256
#define WEIR_DROP_SAMPLE_OCTETS 128
struct weir_drop_sample {
  weir_u64 jiffies; /* when it was taken, by the kernel's tick; 0: never */
  weir_u64 time_ns; /* CLOCK_MONOTONIC */
  weir_u64 generation;
  weir_u32 sequence;
  weir_u32 rule;
  weir_u32 length;   /* of the frame */
  weir_u32 captured; /* octets in `octets` */
  weir_u8 octets[WEIR_DROP_SAMPLE_OCTETS];
};
WEIR_ASSERT_SIZE(struct weir_drop_sample, 168);
