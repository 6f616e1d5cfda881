# SPDX-License-Identifier: MIT
"""weir dump: what it shows is what the counters count, and nothing that becomes of it holds up the traffic."""
import json
import os
import pathlib
import signal
import struct
import subprocess
import tempfile

import story
from story import V4, V6, lab


def packets(path):
    """(octets of the frame, comment, outbound) of each packet in a pcapng file of this machine's byte order."""
    data = pathlib.Path(path).read_bytes()
    at, found = 0, []
    while at < len(data):
        kind, size = struct.unpack_from("=II", data, at)
        assert size % 4 == 0 and struct.unpack_from("=I", data, at + size - 4)[0] == size
        if kind == 6:
            captured, = struct.unpack_from("=I", data, at + 20)
            option, comment, outbound = at + 28 + (captured + 3) // 4 * 4, "", None
            while option < at + size - 4:
                code, length = struct.unpack_from("=HH", data, option)
                value = data[option + 4:option + 4 + length]
                if code == 1:
                    comment = value.decode()
                if code == 2:
                    outbound = struct.unpack("=I", value)[0] & 3 == 2
                option += 4 + (length + 3) // 4 * 4
            found.append((data[at + 28:at + 28 + captured], comment, outbound))
        at += size
    return found


class Dumping:
    """weir dump on a host, from the moment it listens. Its output goes to a file, unless it goes to a pipe."""

    def __init__(self, host, *options, stdout=None):
        before = listening(host)
        self.errors = tempfile.NamedTemporaryFile(mode="r", prefix="weir-dump-")
        self.out = tempfile.NamedTemporaryFile(prefix="weir-dump-")
        with open(self.errors.name, "w") as errors, open(self.out.name, "w") as out:
            self.process = host.popen(lab.WEIR, "dump", "veth0", *options, stdout=stdout or out, stderr=errors)
        lab.wait_until(lambda: listening(host) > before or self.process.poll() is not None, "a dump that listens")

    def text(self):
        return pathlib.Path(self.out.name).read_text()

    def stop(self):
        """(captured, shown, lost), as it says at its end."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=20) == 0
        return self.totals()

    def totals(self):
        words = pathlib.Path(self.errors.name).read_text().split()
        return int(words[1]), int(words[3]), int(words[5])


def listening(host):
    """How many listen, by the bits of config.captures (common/abi.h)."""
    raw = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", str(story.pins(host) / "config")], capture_output=True,
                         text=True, check=True).stdout
    value = json.loads(raw)[0]
    octets = bytes(int(octet, 16) for octet in value["value"])
    return bin(struct.unpack_from("=I", octets, 20)[0]).count("1")


class Dump(story.Pair):
    NEEDS = ("curl", "ping", "ethtool", "tcpdump", "bpftool")

    def setUp(self):
        super().setUp()
        self.server.weir("attach", "veth0")

    def ping(self, address, count=5):
        return self.client.run("ping", "-c", count, "-i", "0.02", "-W", "1", address, check=False).returncode == 0

    def counted(self):
        rows = json.loads(self.server.weir("-j", "stats", "veth0").stdout)["reasons"]
        return {(r["verdict"], r["name"]): r["packets"] for r in rows}

    def test_comments_and_counters(self):
        self.server.weir("filter", "add", "name", "noping", "drop", "proto", "icmp")
        self.server.weir("filter", "add", "name", "noping6", "drop", "proto", "icmpv6", "icmp-type", "128")
        with tempfile.NamedTemporaryFile() as file:
            # The hosts have a word with each other at any time: what comes as the dump begins or ends, it may have or not.
            before = [self.counted()]
            dump = Dumping(self.server, "-w", file.name)
            before.append(self.counted())
            for address in (V4, V6):
                self.assertFalse(self.ping(address))
            after = [self.counted()]
            captured, shown, lost = dump.stop()
            after.append(self.counted())
            found = packets(file.name)
            self.assertEqual((captured, lost, shown), (len(found), 0, len(found)))
            told = {}
            for _, comment, outbound in found:
                words = dict(word.split("=") for word in comment.split())
                self.assertFalse(outbound)
                told[(words["verdict"], words["reason"])] = told.get((words["verdict"], words["reason"]), 0) + 1
            for key in after[1].keys() | told.keys():
                least = after[0].get(key, 0) - before[1].get(key, 0)
                most = after[1].get(key, 0) - before[0].get(key, 0)
                self.assertTrue(least <= told.get(key, 0) <= most, (key, least, told.get(key, 0), most))
            for name, kind in (("noping", b"\x08\x00"), ("noping6", b"\x86\xdd")):
                self.assertEqual(len([1 for frame, comment, _ in found if f"rule={name} " in comment and frame[12:14] == kind]), 5, name)
            read = self.client.run("tcpdump", "-n", "-r", file.name, "icmp or icmp6[0] == 128")
            self.assertEqual(len(read.stdout.splitlines()), 10)

    def test_a_pipe_to_tcpdump(self):
        done = self.server.popen("sh", "-c", f"{lab.WEIR} dump veth0 -w - icmp | tcpdump -n -c 3 -r -")
        lab.wait_until(lambda: listening(self.server), "a dump that listens")
        self.assertTrue(self.ping(V4, 10))
        out, _ = done.communicate(timeout=20)
        self.assertEqual(out.count("ICMP echo request"), 3)
        self.assertNotIn("weir: ", out)

    def test_only_what_was_asked_for(self):
        self.server.weir("filter", "add", "name", "no", "drop", "proto", "icmp")
        dropped = Dumping(self.server, "--verdict", "drop")
        by_reason = Dumping(self.server, "-j", "--reason", "icmp", "--count", "2")
        by_expression = Dumping(self.server, "ip6", "and", "icmp6[0] == 128", "--snaplen", "60", "-j")
        self.ping(V4, 3)
        self.ping(V6, 4)
        self.assertEqual(by_reason.process.wait(timeout=20), 0)
        self.assertEqual(by_reason.totals()[1], 2)
        self.assertEqual(dropped.stop(), (3, 3, 0))
        self.assertEqual(dropped.text().count("filter_drop rule no\n"), 3)
        self.assertEqual(by_expression.stop()[1], 4)
        for line in by_expression.text().splitlines():
            told = json.loads(line)
            self.assertEqual((told["packet"], told["length"], len(told["octets"])), ("icmpv6 fd77::2 -> fd77::1 type 128, 118 octets", 118, 120))

    def test_both_directions_of_a_served_connection(self):
        self.server.weir("steer", "add", "tcp", story.PORT)
        engine = story.Server(self.server)
        story.wait_engine(self.server, server=engine)
        for address in (V4, V6):
            with self.subTest(address), tempfile.NamedTemporaryFile() as file:
                before = self.counted()
                dump = Dumping(self.server, "-w", file.name)
                done = self.client.run("curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download}",
                                       story.url(address, "/bytes/300000"))
                self.assertEqual(done.stdout, "300000")
                # The last ACK comes after curl has gone.
                lab.wait_until(lambda: json.loads(self.server.weir("-j", "sockets").stdout)["connections"] == [], "the end of the connection")
                captured, shown, lost = dump.stop()
                self.assertEqual((captured, lost), (shown, 0))
                found = packets(file.name)
                came = [frame for frame, comment, outbound in found if not outbound and "verdict=steer" in comment]
                sent = [frame for frame, comment, outbound in found if outbound and comment == "verdict=send reason=engine"]
                after = self.counted()
                steered = sum(n - before.get(key, 0) for key, n in after.items() if key[0] == "steer")
                self.assertEqual(len(came), steered)
                # What the client's kernel has received is what the engine has sent: text and all.
                text = sum(len(frame) for frame in sent)
                self.assertGreater(text, 300000)
                read = self.client.run("tcpdump", "-n", "-r", file.name, f"tcp src port {story.PORT} and dst host " +
                                       ("10.77.0.2" if address == V4 else "fd77::2")).stdout.splitlines()
                self.assertEqual(len(read), len(sent))
                self.assertIn("Flags [S.]", read[0])
                times = [line.split()[0] for line in self.client.run("tcpdump", "-n", "-r", file.name, "tcp").stdout.splitlines()]
                self.assertEqual(times, sorted(times))
        only = Dumping(self.server, "--verdict", "send", "-j", "--count", "1")
        story.get(self.client, V4)
        self.assertEqual(only.process.wait(timeout=20), 0)
        self.assertEqual(json.loads(only.text())["reason"], "engine")
        # The engine dies under a dump, and the next one is listened to again.
        dump = Dumping(self.server, "--verdict", "send", "tcp")
        story.get(self.client, V4)
        engine.kill()
        engine = story.Server(self.server)
        story.wait_engine(self.server, server=engine)
        lab.wait_until(lambda: story.served_by(self.client, V4) == story.ENGINE and len(dump.text().splitlines()) > 20, "the next engine's frames")
        dump.stop()
        self.assertIn("1 engine ended", pathlib.Path(dump.errors.name).read_text())

    def test_the_engine_is_not_held_up_by_a_stopped_dump(self):
        self.server.weir("steer", "add", "tcp", story.PORT)
        engine = story.Server(self.server)
        story.wait_engine(self.server, server=engine)
        dump = Dumping(self.server, "--verdict", "send", "tcp")
        story.get(self.client, V4)
        lab.wait_until(lambda: "send" in dump.text(), "the engine's frames")
        dump.process.send_signal(signal.SIGSTOP)
        size = 20_000_000
        done = self.client.run("curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download}", story.url(V4, f"/bytes/{size}"))
        self.assertEqual(done.stdout, str(size))
        dump.process.send_signal(signal.SIGCONT)
        captured, shown, lost = dump.stop()
        self.assertGreater(lost, 0)
        self.assertEqual(captured, shown + lost)

    def test_samples(self):
        self.server.weir("filter", "add", "name", "one", "accept", "proto", "icmp", "sample", "1")
        self.server.weir("filter", "add", "name", "few", "accept", "proto", "icmpv6", "icmp-type", "128", "sample", "1000000000")
        everything = Dumping(self.server, "icmp or icmp6[0] == 128")
        sampled = Dumping(self.server, "--sampled")
        self.ping(V4, 4)
        self.ping(V6, 4)
        self.assertEqual(sampled.stop(), (4, 4, 0))
        self.assertEqual(everything.stop()[1], 8)
        self.assertEqual(sampled.text().count("rule one sampled\n"), 4)
        self.assertEqual(everything.text().count(" sampled\n"), 4)

    def test_drops(self):
        self.assertIn("0 frames dropped", self.server.weir("drops").stdout)
        self.server.weir("filter", "add", "name", "noping", "drop", "proto", "icmp")
        self.ping(V4, 3)
        told = json.loads(self.server.weir("-j", "drops").stdout)["drops"]
        self.assertEqual([(d["reason"], d["packets"], d["latest"]["rule"]) for d in told], [("filter_drop", 3, "noping")])
        self.assertEqual((told[0]["latest"]["length"], len(told[0]["latest"]["octets"])), (98, 196))
        self.assertIn("icmp 10.77.0.2 -> 10.77.0.1 type 8, 98 octets", told[0]["latest"]["packet"])
        self.assertIn("noping  icmp 10.77.0.2", self.server.weir("drops").stdout)
        # The rule goes, and its name with it: another rule of that number must not be named for it.
        self.server.weir("filter", "del", "noping")
        self.server.weir("filter", "add", "name", "other", "drop", "proto", "udp")
        self.server.weir("filter", "del", "other")
        self.server.weir("filter", "add", "name", "third", "drop", "proto", "udp")
        latest = json.loads(self.server.weir("-j", "drops").stdout)["drops"][0]["latest"]
        self.assertEqual(latest["rule"], "#0")

    def test_killed(self):
        dump = Dumping(self.server)
        self.ping(V4, 1)
        dump.process.kill()
        dump.process.wait()
        self.assertTrue(self.ping(V4, 3))
        # Its lease ends within a second, and the next frame takes its bit away.
        lab.wait_until(lambda: self.ping(V4, 1) and listening(self.server) == 0, "an end of the lease")
        self.assertEqual(Dumping(self.server).stop()[2], 0)

    def test_a_reader_that_does_not_read(self):
        read, write = os.pipe()
        with open(read, "rb"), open(write, "wb") as pipe:
            dump = Dumping(self.server, "-w", "-", "icmp or icmp6", stdout=pipe)
            before = self.counted()[("pass", "icmp")] if ("pass", "icmp") in self.counted() else 0
            # Far more than the pipe, the rings and the command hold.
            done = self.client.run("ping", "-q", "-f", "-c", "20000", "-s", "1400", V4, timeout=100)
            self.assertIn("20000 received, 0% packet loss", done.stdout)
            self.assertEqual(self.counted()[("pass", "icmp")] - before, 20000)
            dump.process.send_signal(signal.SIGINT)
            dump.process.send_signal(signal.SIGINT)
            lab.wait_until(lambda: dump.process.poll() is not None or dump.process.send_signal(signal.SIGINT), "an end")
            captured, shown, lost = dump.totals()
            self.assertGreaterEqual(captured, 20000)
            self.assertGreater(lost, 0)
            self.assertGreater(shown, 0)
            self.assertLessEqual(shown + lost, captured)

    def test_as_many_as_can(self):
        dumps = [Dumping(self.server) for _ in range(4)]
        refused = self.server.weir("dump", "veth0", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(str(dumps[0].process.pid), refused.stderr)
        self.ping(V4, 2)
        for dump in dumps:
            captured, shown, lost = dump.stop()
            self.assertEqual((captured, lost), (shown, 0))
            self.assertGreaterEqual(captured, 2)
        self.assertEqual(listening(self.server), 0)

    def test_detached_meanwhile(self):
        dump = Dumping(self.server)
        self.server.weir("detach", "veth0")
        self.assertEqual(dump.process.wait(timeout=20), 1)
        self.assertIn("weir has been detached", pathlib.Path(dump.errors.name).read_text())


if __name__ == "__main__":
    lab.main()
