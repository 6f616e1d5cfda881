/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * The closed list of what can become of a frame: promise 5. The XDP program counts exactly one reason a frame at its one
 * exit; the AF_XDP rings and the engine add theirs. Each reason belongs to one verdict, so a reason alone explains a frame.
 *
 * X(id, verdict, name, text): WEIR_R_<id>; `name` is the stable identifier in JSON and in `weir stats`; `text` the line
 * that explains it. Adding, removing or reordering one changes the map layout: raise WEIR_ABI_VERSION.
 */
#pragma once

/* What happens to a frame.
 * PASS  the kernel's stack has it          DROP  the XDP program refused it
 * ANSWER the XDP program answered it itself
 * STEER it went to the engine's socket     RING  it was lost between the XDP program and the engine, or the engine and the wire
 * TAKEN the engine used it                 LOST  the engine discarded it
 */
#define WEIR_VERDICTS(X) \
  X(PASS, "pass")        \
  X(DROP, "drop")        \
  X(STEER, "steer")      \
  X(ANSWER, "answer")    \
  X(RING, "ring")        \
  X(TAKEN, "taken")      \
  X(LOST, "lost")

/* clang-format off: one reason a line */
#define WEIR_REASONS(X) \
  /* XDP: to the kernel */ \
  X(PASS_NOT_IP,         PASS,  "not_ip",            "neither IPv4, IPv6 nor ARP") \
  X(PASS_ARP,            PASS,  "arp",               "ARP: addresses and neighbours are the kernel's") \
  X(PASS_INFRA,          PASS,  "infrastructure",    "neighbour discovery, router advertisements, DHCP or ICMP errors: never filtered") \
  X(PASS_ICMP,           PASS,  "icmp",              "ICMP or ICMPv6 that concerns no steered flow") \
  X(PASS_OTHER_PROTO,    PASS,  "other_protocol",    "an IP protocol other than TCP and UDP") \
  X(PASS_OTHER_MAC,      PASS,  "other_mac",         "multicast, broadcast, or for another station") \
  X(PASS_VLAN,           PASS,  "vlan",              "VLAN-tagged: only untagged frames are steered") \
  X(PASS_FILTER,         PASS,  "filter_pass",       "a filter rule sends it to the kernel") \
  X(PASS_GUARD,          PASS,  "guard",             "an operator's SSH session: never filtered, never steered") \
  X(PASS_NOT_STEERED,    PASS,  "not_steered",       "its port is not steered") \
  X(PASS_NOT_LOCAL,      PASS,  "not_local",         "its port is steered, but the address is not this interface's: transit") \
  X(PASS_KERNEL_OWNED,   PASS,  "kernel_owned",      "its connection belongs to a kernel socket") \
  X(PASS_SYN_DRAINING,   PASS,  "syn_draining",      "new connection on a port that is draining: the kernel's") \
  X(PASS_SYN_NO_ACCEPTOR,PASS,  "syn_no_acceptor",   "new connection, and no engine listens on that port: the kernel's") \
  X(PASS_SYN_STALE,      PASS,  "syn_stale",         "new connection, and the engine has been silent for over 1 s: the kernel's") \
  X(PASS_NO_SOCKET,      PASS,  "no_socket",         "no engine socket on the queue it arrived on: the kernel's") \
  X(PASS_FRAG_UNKNOWN,   PASS,  "fragment_unknown",  "later fragment whose first was not steered, or has not been seen") \
  /* XDP: refused */ \
  X(DROP_MALFORMED,      DROP,  "malformed",         "a header is cut short or contradicts itself") \
  X(DROP_EXT_HEADERS,    DROP,  "ext_headers",       "more IPv6 extension headers than are walked") \
  X(DROP_VLAN_TAGS,      DROP,  "vlan_tags",         "more VLAN tags than are read: the filter could not judge what they hide") \
  X(DROP_FILTER,         DROP,  "filter_drop",       "a filter rule refused it") \
  X(DROP_LIMIT,          DROP,  "filter_limit",      "beyond the rate that a filter rule allows") \
  X(DROP_ABSENT,         DROP,  "absent",            "no engine, and the steering entry says drop") \
  X(DROP_STALE,          DROP,  "engine_stopped",    "its engine has been silent for over 3 s; TCP recovers when it wakes") \
  X(DROP_BAD_COOKIE,     DROP,  "bad_cookie",        "under the SYN guard: of no connection of the engine's, and no SYN cookie of ours") \
  /* XDP: answered */ \
  X(ANSWER_SYN,          ANSWER,"syn_cookie",        "SYN answered by XDP with a cookie: the SYN guard is on") \
  /* XDP: to the engine */ \
  X(STEER_SYN,           STEER, "syn",               "new connection, to the engine") \
  X(STEER_COOKIE,        STEER, "cookie",            "first segment behind an answer of XDP's, its cookie is good") \
  X(STEER_SEGMENT,       STEER, "segment",           "segment of an engine connection, or of none") \
  X(STEER_DATAGRAM,      STEER, "datagram",          "UDP datagram, to the engine") \
  X(STEER_FRAGMENT,      STEER, "fragment",          "fragment of a steered packet") \
  X(STEER_ICMP,          STEER, "icmp_error",        "ICMP error about a steered flow") \
  /* AF_XDP rings (XDP_STATISTICS) */ \
  X(RING_RX_FULL,        RING,  "rx_ring_full",      "the receive ring was full: the engine did not keep up") \
  X(RING_RX_NO_FILL,     RING,  "fill_ring_empty",   "no free receive buffer: the engine did not keep up") \
  X(RING_RX_DROPPED,     RING,  "rx_dropped",        "dropped by the socket for another reason, such as a frame larger than a chunk") \
  X(RING_TX_INVALID,     RING,  "tx_invalid",        "transmit descriptor refused by the kernel") \
  X(RING_TX_FAILED,      RING,  "tx_failed",         "the driver refused the frame: link down or over the MTU") \
  /* engine: used */ \
  X(TAKEN_TCP,           TAKEN, "tcp",               "segment given to a connection or listener") \
  X(TAKEN_SYN_COOKIE,    TAKEN, "syn_cookie",        "SYN answered by a cookie (RFC 4987 3.6): nothing is kept of it") \
  X(TAKEN_ICMP,          TAKEN, "icmp",              "ICMP error that was about a live connection") \
  X(TAKEN_FRAGMENT,      TAKEN, "fragment",          "fragment kept for reassembly") \
  /* engine: discarded */ \
  X(LOST_MALFORMED,      LOST,  "malformed",         "a header is cut short or contradicts itself") \
  X(LOST_CHECKSUM,       LOST,  "bad_checksum",      "IP, TCP or ICMP checksum is wrong") \
  X(LOST_NOT_OURS,       LOST,  "not_ours",          "addressed to none of the engine's addresses, or from a martian source") \
  X(LOST_PROTOCOL,       LOST,  "protocol",          "a protocol or ICMP type the engine does not serve") \
  X(LOST_FRAG_LIMIT,     LOST,  "fragment_limit",    "reassembly is at its memory limit") \
  X(LOST_FRAG_OVERLAP,   LOST,  "fragment_overlap",  "overlapping fragments (RFC 5722): the packet is discarded") \
  X(LOST_FRAG_TIMEOUT,   LOST,  "fragment_timeout",  "the rest of the packet did not come in time") \
  X(LOST_NO_CONNECTION,  LOST,  "no_connection",     "no connection and no listener has it: answered with RST") \
  X(LOST_STRAY_RST,      LOST,  "stray_rst",         "RST for no connection") \
  X(LOST_BACKLOG_FULL,   LOST,  "backlog_full",      "SYN while the listener's backlog is full") \
  X(LOST_SYN_LAPSED,     LOST,  "syn_lapsed",        "SYN queued while the engine's heartbeat had lapsed: the kernel has its successor") \
  X(LOST_BAD_COOKIE,     LOST,  "bad_cookie",        "no connection, and no SYN cookie of ours, while cookies are out: not answered") \
  X(LOST_MEMORY_LIMIT,   LOST,  "memory_limit",      "SYN while the buffers of all connections are at their limit") \
  X(LOST_NO_MEMORY,      LOST,  "no_memory",         "a connection, buffer or queue limit is reached") \
  X(LOST_OUT_OF_WINDOW,  LOST,  "out_of_window",     "segment outside the receive window (RFC 9293 3.10.7.4): answered with an ACK") \
  X(LOST_PAWS,           LOST,  "paws",              "old timestamp (RFC 7323 5.3): answered with an ACK") \
  X(LOST_BAD_ACK,        LOST,  "bad_ack",           "acknowledges what was never sent, or is too old (RFC 5961 5)") \
  X(LOST_BAD_FLAGS,      LOST,  "bad_flags",         "no ACK where one is due, or a combination of flags that means nothing") \
  X(LOST_CHALLENGED,     LOST,  "challenged",        "RST or SYN that is not exact (RFC 5961): answered with a challenge ACK") \
  X(LOST_DUPLICATE,      LOST,  "duplicate_text",    "all of its text had been received before") \
  X(LOST_OOO_LIMIT,      LOST,  "reorder_limit",     "out-of-order text beyond the reassembly limit") \
  X(LOST_AFTER_CLOSE,    LOST,  "text_after_close",  "text for a connection whose reader is gone: answered with RST") \
  X(LOST_ICMP_INVALID,   LOST,  "icmp_invalid",      "ICMP error whose quoted segment matches no connection, or lies outside its window") \
  X(LOST_NO_NEXT_HOP,    LOST,  "no_next_hop",       "no route or no neighbour: what was to be sent is discarded") \
  X(LOST_REPLY_LIMIT,    LOST,  "reply_limit",       "the queue of connectionless replies (RST) is full")
/* clang-format on */

enum weir_verdict {
#define WEIR_X(id, name) WEIR_V_##id,
  WEIR_VERDICTS(WEIR_X)
#undef WEIR_X
  WEIR_VERDICT_COUNT
};

enum weir_reason {
#define WEIR_X(id, verdict, name, text) WEIR_R_##id,
  WEIR_REASONS(WEIR_X)
#undef WEIR_X
  WEIR_REASON_COUNT
};
