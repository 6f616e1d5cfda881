#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a SYN flood from spoofed sources leaves of an established connection, over the flood's rate.

    tests/bench/syn_flood.py [--rates N,N,...] [--seconds S] [--demand MBIT] [-j]      needs root and a built tree

A client echoes a stream of --demand Mb/s over one connection that was there before the flood. Beside it, over the same veth
pair, SYNs from 131,072 spoofed addresses go to the same port. The columns are what comes back, as a part of the demand:

    engine   weir attached, the port steered: the flood reaches the engine, which answers with SYN cookies
    auto     the same with `weir syn-guard auto`: as `guard` above 10,000 SYNs a second, as `engine` below
    guard    the same with `weir syn-guard on`: XDP answers with SYN cookies, and the engine gets no SYN
    filter   the same as engine, and `weir filter add drop from 198.18.0.0/15`: the flood is dropped by XDP
    kernel   the same server on kernel sockets, weir detached

The five take turns, and all rates of one run one after another. Beside what is kept stands its ratio to what the same way
kept without a flood in that run. New connections are made meanwhile, one after another, each of which has its first
octets echoed: how many a second. CPU is how much of both CPUs was in use, by anyone; where it is all, the figures say who
got more of it. RSS is the server's: before the first flood, after the first, which fills the listener's queue of half-open
connections, and after the last.
"""
import argparse
import json
import os
import pathlib
import selectors
import sys
import time

root = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("WEIR_BUILD_DIR", str(root / "build/release"))
sys.path.insert(0, str(root / "tests/harness"))
import lab  # noqa: E402

PORT = 7007
SERVER = "10.77.0.1"
SOURCES = "198.18.0.0/15"
WAYS = ("engine", "auto", "guard", "filter", "kernel")
FLOOD = lab.BUILD / "tests/bench/weir_syn_flood"
IN_FLIGHT = 256 * 1024
CONNECT_SECONDS = 0.5


def cpu_times():
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[:8]), fields[3] + fields[4]


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Echo:
    """One connection, over which a stream of `demand` bytes a second goes there and back."""

    def __init__(self, client, demand):
        self.client = client
        self.socket = client.socket()
        self.socket.settimeout(5)
        self.socket.connect((SERVER, PORT))
        self.socket.setblocking(False)
        self.demand = demand
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.socket, selectors.EVENT_READ)
        self.sent = self.received = 0
        self.chunk = bytes(65536)

    def run(self, seconds):
        """The bytes that came back, as a part of those asked for."""
        start, base, before = time.monotonic(), self.sent, self.received
        while (elapsed := time.monotonic() - start) < seconds:
            due = int(self.demand * elapsed) - (self.sent - base)
            room = IN_FLIGHT - (self.sent - self.received)
            if min(due, room) > 0:
                try:
                    self.sent += self.socket.send(self.chunk[:min(due, room)])
                except BlockingIOError:
                    pass
            if self.selector.select(timeout=0.001):
                self.received += len(self.socket.recv(1 << 18))
        return (self.received - before) / (self.demand * seconds)

    def connect(self):
        """Another connection, with one exchange."""
        with self.client.socket() as other:
            other.settimeout(5)
            other.connect((SERVER, PORT))
            other.sendall(b"x")
            return other.recv(1) == b"x"

    def settle(self):
        """What is still under way arrives."""
        self.socket.settimeout(10)
        while self.received < self.sent:
            self.received += len(self.socket.recv(1 << 18))
        self.socket.setblocking(False)

    def close(self):
        self.selector.close()
        self.socket.close()


def reasons(server):
    rows = json.loads(server.weir("-j", "stats", "veth0").stdout)["reasons"]
    return {f"{r['verdict']}/{r['name']}": r["packets"] for r in rows}


def one(server, client, mac, rate, options):
    """(part of the demand, SYNs sent a second, part of the CPUs, new connections a second)"""
    echo = Echo(client, options.demand * 1e6 / 8)
    echo.run(0.3)
    echo.settle()
    flood = None
    if rate != 0:
        limit = ["--rate", rate] if rate > 0 else []
        flood = client.popen(FLOOD, mac, SERVER, PORT, "--seconds", options.seconds + CONNECT_SECONDS + 0.5, *limit)
        time.sleep(0.25)
    busy = cpu_times()
    got = echo.run(options.seconds)
    total, idle = (b - a for a, b in zip(busy, cpu_times()))
    # After the stream: a client that waits for a connection does not echo.
    began, made = time.monotonic(), 0
    while time.monotonic() - began < CONNECT_SECONDS:
        try:
            made += echo.connect()
        except OSError:
            pass
    made /= time.monotonic() - began
    sent = 0
    if flood:
        told = json.loads(flood.communicate(timeout=60)[0])
        sent = told["sent"] / told["seconds"]
    echo.settle()
    echo.close()
    return got, sent, 1 - idle / total, made


def listening(server):
    entries = json.loads(server.weir("-j", "steer", "list").stdout)["steer"]
    return any(e["port"] == PORT and e["listening"] for e in entries)


def enter(server, way):
    if way == "kernel":
        return
    # Native XDP_TX out of a veth needs an XDP program at the other end; generic mode for all ways alike.
    server.weir("attach", "veth0", "--mode", "generic")
    server.weir("steer", "add", "tcp", PORT)
    if way in ("guard", "auto"):
        server.weir("syn-guard", {"guard": "on", "auto": "auto"}[way])
    if way == "filter":
        server.weir("filter", "add", "drop", "from", SOURCES)
    lab.wait_until(lambda: listening(server), "the engine")


def leave(server, way):
    if way != "kernel":
        server.weir("detach", "veth0", "--force")


def measure(options, progress):
    rates = [float(r) for r in options.rates.split(",")]
    got = {(way, rate): [] for way in WAYS for rate in rates}
    rss, counted = {}, {}
    with lab.Lab() as here:
        server, client = here.pair()
        # Answers to the spoofed sources leave by the link, and the kernel believes that their SYNs may come from it.
        server.run("ip", "route", "add", "default", "via", "10.77.0.2")
        client.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        mac = json.loads(server.run("ip", "-j", "link", "show", "veth0").stdout)[0]["address"]
        echo = server.popen(lab.EXAMPLES / "weir-echo", "--port", PORT, stdout=open(os.devnull, "w"))
        lab.wait_until(lambda: f":{PORT} " in server.run("ss", "-Hltn").stdout, "the server")
        for turn in range(options.rounds):
            for way in WAYS if turn % 2 == 0 else WAYS[::-1]:
                enter(server, way)
                one(server, client, mac, 0, options)
                told = rss.setdefault(way, [])
                told.append(rss_kib(echo.pid))
                for rate in rates:
                    progress(f"round {turn + 1} of {options.rounds}: {way}, {rate:,.0f} SYN/s")
                    got[way, rate].append(one(server, client, mac, rate, options))
                    if rate != 0:
                        told.append(rss_kib(echo.pid))
                if way != "kernel":
                    counted[way] = reasons(server)
                leave(server, way)
        echo.terminate()
    best = {key: max(runs) for key, runs in got.items()}  # of each by itself what was kept most
    return rates, best, rss, counted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="0,10000,50000,100000,200000,-1", help="SYNs a second; -1: as many as go (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="the best of which counts")
    parser.add_argument("--demand", type=float, default=100.0, help="Mb/s of the established connection, each way")
    parser.add_argument("-j", "--json", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("syn_flood.py: needs root, for namespaces and XDP: run it with sudo")
    if not FLOOD.exists():
        sys.exit("syn_flood.py: not built: cmake --preset release && cmake --build build/release")

    def progress(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    rates, best, rss, counted = measure(options, progress)
    progress("")
    if options.json:
        rows = [{"way": way, "asked": rate, "kept": k, "syn_per_second": s, "cpu": c, "connections_per_second": n}
                for (way, rate), (k, s, c, n) in best.items()]
        print(json.dumps({"rows": rows, "rss_kib": rss, "reasons": counted}, indent=2))
        return
    print(f"an echo of {options.demand:g} Mb/s on one connection; kept under a SYN flood, best of {options.rounds} x {options.seconds:g} s")
    lines = [["SYN/s asked for", *WAYS]]
    for rate in rates:
        line = ["all it can" if rate < 0 else f"{rate:,.0f}"]
        for way in WAYS:
            kept, sent, cpu, made = best[way, rate]
            quiet = best[way, rates[0]][0]
            at = f" at {sent:,.0f}" if rate < 0 else ""
            line.append(f"{kept:.0%}{at}, {kept / quiet:.2f}, CPU {cpu:.0%}, {made:,.0f} new/s")
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    for way in WAYS:
        print(f"server's RSS, {way}: {rss[way][0]:,} KiB before, {rss[way][1]:,} after the first flood, {rss[way][-1]:,} after the last")
    for way, by in counted.items():
        most = sorted(by.items(), key=lambda r: -r[1])[:6]
        print(f"frames, {way}: " + ", ".join(f"{name} {n:,}" for name, n in most if n))


if __name__ == "__main__":
    main()
