# SPDX-License-Identifier: MIT
"""netem.py DEVICE LIMIT DELAY_MS RATE_MBIT LOSS_PERCENT SEED: netem as a device's root qdisc, with a seed for its chances.

The kernel takes a seed since 6.7; Debian 12's tc has no word for it. A rate of 0 is none.
"""
import socket
import struct
import sys

RTM_NEWQDISC = 36
FLAGS = 0x1 | 0x4 | 0x100 | 0x400  # request, acknowledge, replace, create
TC_H_ROOT = 0xFFFFFFFF
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_NETEM_RATE, TCA_NETEM_LATENCY64, TCA_NETEM_PRNG_SEED = 6, 10, 14


def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def main(device, limit, delay, rate, loss, seed):
    # struct tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter
    options = struct.pack("=6I", 0, int(limit), int(float(loss) / 100 * 0xFFFFFFFF), 0, 0, 0)
    if float(rate):
        options += attribute(TCA_NETEM_RATE, struct.pack("=IiIi", int(float(rate) * 1e6 / 8), 0, 0, 0))
    options += attribute(TCA_NETEM_LATENCY64, struct.pack("=q", int(float(delay) * 1e6)))
    options += attribute(TCA_NETEM_PRNG_SEED, struct.pack("=Q", int(seed)))
    body = struct.pack("=BxxxiIII", socket.AF_UNSPEC, socket.if_nametoindex(device), 0, TC_H_ROOT, 0)
    body += attribute(TCA_KIND, b"netem\0") + attribute(TCA_OPTIONS, options)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWQDISC, FLAGS, 1, 0) + body)
        answer = s.recv(4096)
    error = struct.unpack_from("=i", answer, 16)[0]
    if error:
        sys.exit(f"netem on {device}: error {-error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
