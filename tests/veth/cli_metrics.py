# SPDX-License-Identifier: MIT
"""weir metrics: read as strictly as Prometheus reads it, once, from a file, and over HTTP."""
import http.client
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))
import lab  # noqa: E402

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def parse(text):
    """Text exposition format 0.0.4: {(name, ((label, value), ...)): number}. Whatever is not exactly that is an error."""
    assert text.endswith("\n"), "the last line has no end"
    samples, types, helped, family, closed = {}, {}, set(), None, set()
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name, _, rest = line[7:].partition(" ")
            assert NAME.fullmatch(name) and rest and name not in helped, line
            assert re.fullmatch(r"(?:[^\\\n]|\\[\\n])*", rest), line
            helped.add(name)
            if family:
                closed.add(family)
            family = name
            continue
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == family and name not in types and kind in ("counter", "gauge"), line
            assert (kind == "counter") == name.endswith("_total"), line
            types[name] = kind
            continue
        name = NAME.match(line)[0]
        assert name == family and name in types and name not in closed, line
        rest, labels = line[len(name):], []
        if rest.startswith("{"):
            at = 1
            while rest[at] != "}":
                pair = LABEL.match(rest, at)
                assert pair, line
                assert not pair[1].startswith("__"), line
                labels.append((pair[1], re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), pair[2])))
                at = pair.end()
                if rest[at] == ",":
                    at += 1
                    assert rest[at] != "}", line
            rest = rest[at + 1:]
        assert len({name for name, _ in labels}) == len(labels), line
        assert re.fullmatch(r" (?:[0-9]+|[0-9.]+(?:e[+-][0-9]+)?|NaN|[+-]Inf)", rest), line
        key = (name, tuple(sorted(labels)))
        assert key not in samples, f"twice: {line}"
        samples[key] = float(rest)
        if types[name] == "counter":
            assert samples[key] >= 0 and not math.isnan(samples[key]), line
    assert helped == set(types) == {name for name, _ in samples}, "a family without samples, HELP or TYPE"
    return samples


class Metrics(unittest.TestCase):
    def setUp(self):
        lab.need("ip", "nsenter", "ping")
        context = lab.Lab()
        self.lab = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.server, self.client = self.lab.pair()
        self.server.weir("attach", "veth0")

    def metrics(self, *argv):
        return parse(self.server.weir("metrics", *argv).stdout)

    def value(self, samples, name, **labels):
        return samples[(name, tuple(sorted({"interface": "veth0", **labels}.items())))]

    def test_the_parser_can_tell_right_from_wrong(self):
        good = '# HELP a_total x\n# TYPE a_total counter\na_total{l="v\\"\\\\\\n"} 1\n'
        self.assertEqual(parse(good), {("a_total", (("l", 'v"\\\n'),)): 1.0})
        for bad in (good[:-1], good + good, good.replace("counter", "gauge"), good.replace("} 1", "} one"), good.replace('\\\\', '\\x'),
                    good + 'a_total{l="v\\"\\\\\\n"} 2\n', good.replace("# TYPE a_total counter\n", ""), good.replace('l="', 'l=')):
            with self.assertRaises((AssertionError, TypeError)):
                parse(bad)

    def test_counters_say_what_stats_says(self):
        self.server.weir("filter", "add", "name", "noisy", "drop", "proto", "icmp")
        self.server.weir("steer", "add", 8080)
        self.client.run("ping", "-c", "3", "-i", "0.05", "-W", "0.2", "10.77.0.1", check=False)
        samples = self.metrics()
        self.assertEqual(self.value(samples, "weir_frames_total", verdict="drop", reason="filter_drop"), 3)
        self.assertEqual(self.value(samples, "weir_frame_bytes_total", verdict="drop", reason="filter_drop"), 3 * 98)
        self.assertEqual(self.value(samples, "weir_filter_rule_frames_total", rule="noisy", action="drop"), 3)
        self.assertEqual(self.value(samples, "weir_filter_rules"), 1)
        self.assertEqual(self.value(samples, "weir_filter_trial"), 0)
        self.assertEqual(self.value(samples, "weir_steer_frames_total", entry="tcp 8080"), 0)
        self.assertEqual(self.value(samples, "weir_steer_listening", entry="tcp 8080"), 0)
        self.assertEqual(self.value(samples, "weir_engine_up", queue="0"), 0)
        self.assertNotIn("weir_connections", {name for name, _ in samples})
        families = json.loads(self.server.weir("-j", "metrics").stdout)["families"]
        self.assertEqual({f["name"] for f in families}, {name for name, _ in samples})
        rules = pathlib.Path(self.directory()) / "rules"
        rules.write_text("rule a drop proto 47\n")
        self.server.weir("filter", "apply", rules, "--confirm", "1h")
        samples = self.metrics("veth0")
        self.assertEqual(self.value(samples, "weir_filter_trial"), 1)
        self.assertTrue(3500 < self.value(samples, "weir_filter_trial_remaining_seconds") <= 3600)

    def test_sets_and_the_syn_guard(self):
        samples = self.metrics()
        self.assertEqual(self.value(samples, "weir_sets"), 0)
        self.assertNotIn("weir_set_entries", {name for name, _ in samples})
        self.assertEqual([self.value(samples, "weir_syn_guard_mode", mode=m) for m in ("off", "on", "auto")], [1, 0, 0])
        self.server.weir("set", "add", "ban")
        self.server.weir("set", "add", "other")
        for entry in ("192.0.2.0/24", "192.0.2.7", "2001:db8::1"):
            self.server.weir("set", "add", "ban", entry)
        self.server.weir("set", "add", "ban", "2001:db8::2", "ttl", "1h")
        self.server.weir("set", "add", "other", "192.0.2.7")
        self.server.weir("filter", "add", "drop", "from", "@ban")
        self.server.weir("steer", "add", 8080)
        self.server.weir("syn-guard", "auto", "rate", 1234)
        samples = self.metrics()
        for name, ipv4, ipv6, ending, rules in (("ban", 2, 2, 1, 1), ("other", 1, 0, 0, 0)):
            self.assertEqual(self.value(samples, "weir_set_entries", set=name, family="ipv4"), ipv4)
            self.assertEqual(self.value(samples, "weir_set_entries", set=name, family="ipv6"), ipv6)
            self.assertEqual(self.value(samples, "weir_set_entries_with_ttl", set=name), ending)
            self.assertEqual(self.value(samples, "weir_set_rules", set=name), rules)
        self.assertEqual(self.value(samples, "weir_sets"), 2)
        self.assertEqual(self.value(samples, "weir_sets_capacity"), 16)
        self.assertEqual(self.value(samples, "weir_set_entries_capacity"), 1 << 21)
        self.assertEqual([self.value(samples, "weir_syn_guard_mode", mode=m) for m in ("off", "on", "auto")], [0, 0, 1])
        self.assertEqual(self.value(samples, "weir_syn_guard_rate"), 1234)
        self.assertEqual(self.value(samples, "weir_syn_guard_engine"), 0)
        self.assertEqual(self.value(samples, "weir_syn_guard_on", entry="tcp 8080"), 0)
        self.assertEqual(self.value(samples, "weir_syn_guard_syns_per_second", entry="tcp 8080"), 0)

    def test_what_the_engine_tells(self):
        cookie = lab.netns_cookie(self.server.netns)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(next(lab.RUN_DIR.glob(f"{cookie}-*")) / "engine.sock"))
        listener.listen(4)
        self.addCleanup(listener.close)

        def serve():
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(json.dumps({"ok": True, "time_wait": 4, "connections": [
                    {"state": "ESTAB", "retransmits": 2}, {"state": "ESTAB", "retransmits": 3}, {"state": 'a"\\\n\x9b'}]}).encode())
        thread = threading.Thread(target=serve)
        thread.start()
        samples = self.metrics()
        thread.join()
        self.assertEqual(self.value(samples, "weir_connections", state="ESTAB"), 2)
        self.assertEqual(self.value(samples, "weir_connections", state="TIME-WAIT"), 4)
        self.assertEqual(self.value(samples, "weir_connections", state='a"\\\\x0a\\xc2\\x9b'), 1)
        self.assertEqual(self.value(samples, "weir_connections_retransmits"), 5)
        self.assertEqual(self.value(samples, "weir_engine_answers"), 1)
        # One that is stopped: the rest is there all the same.
        samples = self.metrics()
        self.assertIn("weir_frames_total", {name for name, _ in samples})
        self.assertNotIn("weir_connections", {name for name, _ in samples})

    def directory(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return directory.name

    def test_a_file_is_there_whole_or_not_at_all(self):
        directory = self.directory()
        path = pathlib.Path(directory) / "weir.prom"
        path.write_text("from before\n")
        self.server.weir("metrics", "--output", path)
        parse(path.read_text())
        self.assertEqual(os.listdir(directory), ["weir.prom"])
        before = path.stat()
        refused = self.server.weir("metrics", "--output", "/nowhere/at/all", check=False)
        self.assertEqual((refused.returncode, len(refused.stderr.splitlines())), (1, 1))
        self.server.weir("detach", "veth0")
        self.assertEqual(self.server.weir("metrics", "--output", path, check=False).returncode, 1)
        self.assertEqual(path.stat().st_ino, before.st_ino)

    def test_names_of_any_octets(self):
        self.server.weir("detach", "veth0")
        self.server.run("ip", "link", "set", "veth0", "down")
        self.server.run("ip", "link", "set", "veth0", "name", 'a"\\\033[2J', "up")
        self.server.weir("attach", 'a"\\\033[2J')
        samples = self.metrics()
        self.assertEqual({dict(labels)["interface"] for _, labels in samples}, {'a"\\\\x1b[2J'})

    @unittest.skipUnless(shutil.which("promtool"), "needs promtool")
    def test_promtool_agrees(self):
        text = self.server.weir("metrics").stdout
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def serving(self, address="127.0.0.1:0"):
        child = subprocess.Popen([str(lab.WEIR), "-n", self.server.netns, "metrics", "--listen", address],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lab._die_with_parent)
        self.addCleanup(lambda: (child.kill(), child.wait(), child.stdout.close(), child.stderr.close()))
        port = int(re.fullmatch(r"http://.*:(\d+)/metrics\n", child.stdout.readline())[1])
        return child, port

    def connect(self, port, family=socket.AF_INET):
        client = self.server.socket(family)
        self.addCleanup(client.close)
        client.settimeout(20)
        client.connect(("127.0.0.1" if family == socket.AF_INET else "::1", port))
        return client

    def ask(self, port, request, family=socket.AF_INET):
        client = self.connect(port, family)
        client.sendall(request)
        response = http.client.HTTPResponse(client)
        response.begin()
        return response.status, response.headers, response.read().decode()

    def test_over_http(self):
        child, port = self.serving()
        status, headers, body = self.ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        samples = parse(body)
        self.assertIn("weir_frames_total", {name for name, _ in samples})
        for request, expected in ((b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200), (b"GET / HTTP/1.1\r\n\r\n", 404),
                                  (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405), (b"nonsense\r\n\r\n", 400),
                                  (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000, 431), (b"GET  /metrics\r\n\r\n", 400)):
            with self.subTest(request[:30]):
                self.assertEqual(self.ask(port, request)[0], expected)
        client = self.connect(port)
        client.sendall(b"HEAD /metrics HTTP/1.1\r\n\r\n")
        told = b"".join(iter(lambda: client.recv(65536), b""))
        self.assertTrue(told.startswith(b"HTTP/1.1 200 ") and told.endswith(b"\r\n\r\n"), told)
        # Octet by octet is a request, too.
        client = self.connect(port)
        for octet in b"GET /metrics HTTP/1.1\r\n\r\n":
            client.sendall(bytes([octet]))
        self.assertTrue(client.recv(12).startswith(b"HTTP/1.1 200"))
        self.server.weir("detach", "veth0")
        self.assertEqual(lab.wait_until(lambda: self.ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")[0] == 503, "nothing to tell"), True)
        self.server.weir("attach", "veth0")
        lab.wait_until(lambda: self.ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")[0] == 200, "something again")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(timeout=10), 0)

    def test_over_ipv6(self):
        _, port = self.serving("[::1]:0")
        self.assertEqual(self.ask(port, b"GET /metrics HTTP/1.1\r\n\r\n", socket.AF_INET6)[0], 200)

    def test_those_who_ask_and_say_nothing_are_let_go(self):
        _, port = self.serving()
        idle = [self.connect(port) for _ in range(30)]
        # All places are taken; whoever comes now has that of the one who came first, and waits for nobody.
        self.assertEqual(self.ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")[0], 200)
        idle[15].setblocking(False)
        self.assertRaises(BlockingIOError, idle[15].recv, 1)
        self.assertEqual(idle[0].recv(1), b"")

    def test_an_address_that_is_none(self):
        for text in ("x", "1.2.3.4", "127.0.0.1:99999", "::1:80", "[127.0.0.1]:80", "host:80", ":80", "[::1]"):
            with self.subTest(text):
                done = self.server.weir("metrics", "--listen", text, check=False)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertIn("no address to listen at", done.stderr)
        taken = self.server.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        done = self.server.weir("metrics", "--listen", taken.getsockname()[1], check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("in use", done.stderr)


if __name__ == "__main__":
    lab.main()
