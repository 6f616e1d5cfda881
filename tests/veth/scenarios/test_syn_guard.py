# SPDX-License-Identifier: MIT
"""The SYN guard: a kernel's connections come through while XDP answers for the engine, and forged segments do not."""
import json
import socket
import struct

import story
import test_dump
from story import ENGINE, V4, V6, lab

FORGED = "10.77.0.77"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(flags, seq, ack, sport):
    """A TCP segment without options, from a host that is not there."""
    ends = socket.inet_aton(FORGED) + socket.inet_aton(V4)
    head = struct.pack("!HHIIBBHHH", sport, story.PORT, seq, ack, 5 << 4, flags, 65535, 0, 0)
    sum_of = checksum(ends + struct.pack("!BBH", 0, 6, len(head)) + head)
    return head[:16] + struct.pack("!H", sum_of) + head[18:]


class SynGuard(story.Pair):
    NEEDS = ("curl", "ss", "ethtool")

    def setUp(self):
        super().setUp()
        # XDP_TX out of a veth needs an XDP program at the other end, where XDP is native.
        self.server.weir("attach", "veth0", "--mode", "generic")
        self.server.weir("steer", "add", story.PORT)
        story.Server(self.server)
        story.wait_engine(self.server)

    def reasons(self):
        return {f"{r['verdict']}/{r['name']}": r["packets"] for r in json.loads(self.server.weir("-j", "stats").stdout)["reasons"]}

    def octets(self, address, size):
        """How many of the octets asked for came."""
        return int(story.get(self.client, address, f"/bytes/{size}", story.PORT, "-o", "/dev/null", "-w", "%{size_download}") or 0)

    def guard(self, *words):
        return json.loads(self.server.weir("-j", "syn-guard", *words).stdout)

    def test_connections_come_through(self):
        old = [story.connect(self.client, a) for a in (V4, V6)]
        for sock in old:
            self.addCleanup(sock.close)
        lab.wait_until(lambda: story.steered(self.server)["flows"] == 2, "two flows")
        before = self.reasons()
        told = self.guard("on")
        self.assertEqual((told["mode"], told["engine"], told["entries"][0]["on"]), ("on", True, True))
        for address in (V4, V6):
            for _ in range(3):
                self.assertEqual(story.served_by(self.client, address), ENGINE)
            self.assertEqual(self.octets(address, 1000000), 1000000)
        after = self.reasons()
        self.assertEqual(after["answer/syn_cookie"], 8)
        self.assertEqual(after["steer/cookie"], 8)
        self.assertEqual(after["steer/syn"], before["steer/syn"])
        # Those from before it go on.
        for sock in old:
            self.assertIn(b"by weir's engine", story.http_exchange(sock))
        # What the SYN offered was kept: window scaling, and timestamps, which take 12 octets of each segment. SACK: tests/bpf.
        held = story.connect(self.client, V4)
        self.addCleanup(held.close)
        info = self.client.run("ss", "-Htin", "dst", V4).stdout
        self.assertRegex(info, r"ESTAB[^\n]*\n[^\n]*wscale:\d+,\d+ [^\n]*\bmss:1448\b")
        told = self.guard("off")
        self.assertEqual((told["mode"], told["entries"][0]["on"]), ("off", False))
        self.assertIn(b"by weir's engine", story.http_exchange(held))
        self.assertEqual(story.served_by(self.client, V4), ENGINE)
        self.assertGreater(self.reasons()["steer/syn"], before["steer/syn"])

    def test_a_dump_has_the_syn_and_the_answer(self):
        self.guard("on")
        dump = test_dump.Dumping(self.server, "--verdict", "answer", "-j")
        for address in (V4, V6):
            self.assertEqual(story.served_by(self.client, address), ENGINE)
        lab.wait_until(lambda: dump.text().count("\n") == 4, "two SYNs and two answers")
        dump.stop()
        frames = [json.loads(line) for line in dump.text().splitlines()]
        self.assertEqual([f["direction"] for f in frames], ["in", "out"] * 2)
        self.assertEqual({f["reason"] for f in frames}, {"syn_cookie"})
        self.assertIn(f"{V4}:{story.PORT} -> ", frames[1]["packet"])

    def test_every_option_may_be_missing(self):
        self.guard("on")
        for off in ("tcp_timestamps", "tcp_sack", "tcp_window_scaling"):
            self.client.run("sysctl", "-qw", f"net.ipv4.{off}=0")
            with self.subTest(off):
                for address in (V4, V6):
                    self.assertEqual(self.octets(address, 300000), 300000)
            self.client.run("sysctl", "-qw", f"net.ipv4.{off}=1")
        self.client.run("sysctl", "-qw", "net.ipv4.tcp_ecn=1")
        self.assertEqual(story.served_by(self.client, V4), ENGINE)

    def test_forged_segments_are_refused(self):
        self.guard("on")
        served = story.connect(self.client, V4)
        self.addCleanup(served.close)
        self.client.address("veth0", f"{FORGED}/24")
        # The kernel of the client resets what it has not opened, which is one more forged segment each.
        with self.raw() as raw:
            for flags in (0x10, 0x11, 0x04, 0x12):
                raw.sendto(segment(flags, 1, 1, 40000 + flags), (V4, 0))
        lab.wait_until(lambda: self.reasons().get("drop/bad_cookie", 0) >= 4, "four to be refused")
        self.assertIn(b"by weir's engine", story.http_exchange(served))

    def raw(self):
        with lab.inside(self.client.netns):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        raw.bind((FORGED, 0))
        return raw

    def test_it_goes_on_by_itself(self):
        self.assertEqual(self.guard("auto", "rate", 5)["rate"], 5)
        self.assertEqual(story.served_by(self.client, V4), ENGINE)
        self.assertNotIn("answer/syn_cookie", self.reasons())
        for _ in range(12):
            story.connect(self.client, V4).close()
        self.assertGreater(self.reasons().get("answer/syn_cookie", 0), 0)
        self.assertTrue(self.guard()["entries"][0]["on"])
        self.assertEqual(story.served_by(self.client, V4), ENGINE)


if __name__ == "__main__":
    lab.main()
