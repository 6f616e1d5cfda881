# SPDX-License-Identifier: MIT
"""What each command does on a real interface: text and JSON say the same, and nothing is left behind."""
import fcntl
import json
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))
import lab  # noqa: E402


class Commands(unittest.TestCase):
    def setUp(self):
        lab.need("ip", "nsenter", "ping")
        context = lab.Lab()
        self.lab = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.server, self.client = self.lab.pair()
        self.cookie = lab.netns_cookie(self.server.netns)

    def json(self, *argv, **kw):
        text = self.server.weir("-j", *argv, **kw).stdout
        self.assertEqual(len(text.splitlines()), 1)
        return json.loads(text)

    def text(self, *argv):
        return self.server.weir(*argv).stdout

    def test_attach_status_detach(self):
        self.assertEqual(self.json("status")["interfaces"], [])
        self.assertIn("weir attach", self.text("status"))
        for mode in ("native", "generic"):
            with self.subTest(mode):
                told = self.json("attach", "veth0", "--mode", mode)
                self.assertEqual((told["interface"], told["mode"], told["replaced"]), ("veth0", mode, False))
                self.assertEqual(told["netns_cookie"], self.cookie)
                link = json.loads(self.server.run("ip", "-j", "link", "show", "veth0").stdout)[0]
                self.assertEqual(link["xdp"]["prog"]["id"], told["program_id"])
                status = self.json("status", "veth0")["interfaces"][0]
                self.assertEqual((status["mode"], status["program_id"]), (mode, told["program_id"]))
                self.assertLessEqual({"10.77.0.1", "fd77::1"}, set(status["addresses"]))
                self.assertEqual([q["engine"] for q in status["queues"]], ["absent"])
                self.assertRegex(self.text("status"), rf"^veth0: attached, {mode} mode, program id {told['program_id']}, ABI \d+\n")
                self.assertEqual(self.json("detach", "veth0")["removed"], 1)
                self.assertEqual(list(lab.PIN_ROOT.glob(f"{self.cookie}-*")) + list(lab.RUN_DIR.glob(f"{self.cookie}-*")), [])
                self.assertNotIn("xdp", json.loads(self.server.run("ip", "-j", "link", "show", "veth0").stdout)[0])

    def test_replace_keeps_steering_filter_and_counters(self):
        self.server.weir("attach", "veth0", "--checksum", "verify")
        self.server.weir("steer", "add", 80)
        self.server.weir("filter", "add", "drop", "proto", "icmp")
        self.client.run("ping", "-c", "1", "-W", "0.2", "10.77.0.1", check=False)
        told = self.json("attach", "veth0", "--replace", "--bypass-firewall")
        self.assertEqual((told["replaced"], told["bypass_firewall"], told["checksums"]), (True, True, "verify"))
        self.assertEqual([e["port"] for e in self.json("steer", "list")["steer"]], [80])
        self.assertEqual(self.json("filter", "list")["rules"][0]["packets"], 1)

    def test_from_inside_and_from_outside(self):
        self.server.weir("attach", "veth0")
        inside = json.loads(self.server.run(lab.WEIR, "status", "-j").stdout)
        self.assertEqual(inside["interfaces"][0]["netns_cookie"], self.cookie)
        by_path = subprocess.run([str(lab.WEIR), "status", "-n", str(lab.NETNS_DIR / self.server.netns), "-j"],
                                 capture_output=True, text=True, check=True).stdout
        self.assertEqual(json.loads(by_path)["interfaces"][0]["netns_cookie"], self.cookie)

    def test_steer(self):
        self.server.weir("attach", "veth0")
        self.assertIn("no port is steered", self.text("steer"))
        self.assertIn("no port is steered", self.text("status"))
        self.server.weir("steer", "add", "http")
        self.server.weir("steer", "add", "tcp", 8080, "dev", "veth0", "absent", "drop")
        entries = {e["port"]: e for e in self.json("steer", "list")["steer"]}
        self.assertEqual(sorted(entries), [80, 8080])
        self.assertEqual([entries[p]["absent"] for p in (80, 8080)], ["pass", "drop"])
        self.assertFalse(entries[80]["listening"] or entries[80]["draining"])
        self.assertRegex(self.text("steer", "show"), r"veth0 +tcp 8080 +serve +not listening +0 +drop")
        self.assertIn("no engine is there", self.text("status"))
        # A SYN to each: one falls to the kernel, which has nobody there and says so; the other is dropped.
        for port, expected in ((80, "7"), (8080, "28")):
            done = self.client.run("curl", "-s", "--connect-timeout", "0.4", f"http://10.77.0.1:{port}/", check=False)
            self.assertEqual(str(done.returncode), expected)
        entries = {e["port"]: e for e in self.json("steer", "list")["steer"]}
        self.assertEqual([entries[p]["packets"] for p in (80, 8080)], [0, 0])  # of frames that went to an engine
        reasons = {(r["verdict"], r["name"]) for r in self.json("stats")["reasons"]}
        self.assertLessEqual({("pass", "syn_no_acceptor"), ("drop", "absent")}, reasons)
        self.assertTrue(self.json("steer", "del", 80)["removed"])
        self.server.weir("steer", "delete", 8080, "--now")
        # What the list shows can be typed again.
        told = self.json("steer", "add", "tcp", "8000-8099", "to", "10.77.0.1", "from", "10.0.0.0/8", "app", "web", "absent", "drop")
        self.assertEqual((told["entry"], told["app"]), ("tcp 8000-8099 to 10.77.0.1 from 10.0.0.0/8", "web"))
        entry = self.json("steer", "list")["steer"][0]
        self.assertEqual([entry[k] for k in ("port", "port_last", "to", "from", "app", "absent")],
                         [8000, 8099, "10.77.0.1/32", "10.0.0.0/8", "web", "drop"])
        self.assertRegex(self.text("steer", "list"), r"veth0 +tcp 8000-8099 to 10\.77\.0\.1 from 10\.0\.0\.0/8 app web +serve +not listening +0 +drop")
        self.assertTrue(self.json("steer", "del", *entry["entry"].split())["removed"])
        self.assertEqual(self.json("steer", "list")["steer"], [])

    def test_filter_in_order_with_counters(self):
        self.server.weir("attach", "veth0")
        self.assertIn("no rules", self.text("filter"))
        drop = self.json("filter", "add", "drop", "from", "10.77.0.0/24", "proto", "icmp")
        self.assertEqual(self.client.run("ping", "-c", "2", "-i", "0.05", "-W", "0.2", "10.77.0.1", check=False).returncode, 1)
        self.client.run("ping", "-c", "1", "-W", "1", "fd77::1")
        accept = self.json("filter", "add", "index", 0, "accept", "from", "10.77.0.2")
        self.client.run("ping", "-c", "1", "-W", "1", "10.77.0.1")
        port = self.json("filter", "add", "pass", "proto", "tcp", "to", "fd77::/64", "port", "8000-8099")
        rules = self.json("filter", "list")["rules"]
        self.assertEqual([r["name"] for r in rules], [accept["name"], drop["name"], port["name"]])
        self.assertEqual([r["packets"] for r in rules], [1, 2, 0])
        self.assertEqual(rules[2]["port"], [8000, 8099])
        # What is listed can be typed again.
        for rule in rules:
            again = self.json("filter", "add", *rule["rule"].split())
            self.assertEqual(again["rule"], rule["rule"])
            self.json("filter", "del", again["name"])
        text = self.text("filter", "list").splitlines()
        self.assertEqual(len(text), 4)
        self.assertRegex(text[2], r"veth0 +r\d+ +drop +icmp +10\.77\.0\.0/24 +any +any +- +2 +\d+")
        self.assertEqual(self.json("filter", "flush")["removed"], 3)
        self.assertEqual(self.json("filter", "list")["rules"], [])

    def rules_file(self, text):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = pathlib.Path(directory.name) / "rules"
        path.write_text(text)
        return str(path)

    def test_sets(self):
        self.server.weir("attach", "veth0")
        self.assertIn("no sets", self.text("set"))
        self.assertTrue(self.json("set", "add", "ban")["made"])
        self.assertFalse(self.json("set", "add", "ban")["made"])
        self.server.weir("filter", "add", "drop", "from", "@ban")
        self.assertTrue(self.pings())
        told = self.json("set", "add", "ban", "10.77.0.0-10.77.0.3")
        self.assertEqual((told["changed"], told["unchanged"]), (1, 0))
        self.assertFalse(self.pings())
        # Again is no change; what was there for good is given no end.
        told = self.json("set", "add", "ban", "10.77.0.0/30", "ttl", "1h")
        self.assertEqual((told["changed"], told["unchanged"]), (0, 1))
        self.server.weir("set", "add", "ban", "10.77.0.2", "ttl", "1h")
        self.assertIn("10.77.0.0/30 covers it still", self.text("set", "del", "ban", "10.77.0.2"))
        self.assertFalse(self.pings())
        self.assertEqual(self.json("set", "del", "ban", "10.77.0.0/30")["covered_by"], None)
        self.assertTrue(self.pings())
        self.assertIn("no entry", self.server.weir("set", "del", "ban", "10.77.0.0/30", check=False).stderr)
        # A whole list, of both families, in the place of what there was.
        self.server.weir("set", "add", "ban", "192.0.2.1")
        path = self.rules_file("# bad\n10.77.0.2 ; SBL1\r\nfd77::/64\n\n10.77.0.2\n203.0.113.0/24 ttl 5m\n")
        told = self.json("set", "load", "ban", path)
        self.assertEqual((told["made"], told["before"], told["entries"]), (False, 1, 3))
        self.assertFalse(self.pings())
        self.assertEqual(self.client.run("ping", "-c", "1", "-W", "0.3", "fd77::1", check=False).returncode, 1)
        shown = self.json("set", "show", "ban")["entries"]
        self.assertEqual([e["entry"] for e in shown], ["10.77.0.2", "203.0.113.0/24", "fd77::/64"])
        self.assertEqual([e["ttl"] is None for e in shown], [True, False, True])
        self.assertRegex(self.text("set", "list"), r"veth0 +ban +2 +1 +1 +r1\n")
        self.assertEqual(self.json("set", "list")["sets"][0]["rules"], ["r1"])
        self.assertEqual(self.text("set", "test", "ban", "fd77::99"), "fd77::99 is in ban, by fd77::/64\n")
        missing = self.server.weir("-j", "set", "test", "ban", "10.77.0.1", check=False)
        self.assertEqual((missing.returncode, json.loads(missing.stdout)["member"]), (1, False))
        # A list that is wrong changes nothing.
        wrong = self.server.weir("set", "load", "ban", self.rules_file("10.77.0.1\n 10.77.0.1/24\n"), check=False)
        self.assertEqual((wrong.returncode, len(wrong.stderr.splitlines())), (1, 1))
        self.assertRegex(wrong.stderr, r":2:2: .*did you mean 10\.77\.0\.0/24")
        self.assertEqual(len(self.json("set", "show", "ban")["entries"]), 3)
        # A set that a rule asks for stays.
        self.assertIn("rule r1 asks for", self.server.weir("set", "del", "ban", check=False).stderr)
        self.assertIn("ban", self.server.run(lab.WEIR, "__complete", "set", "show", "").stdout.split())
        self.assertEqual(self.json("set", "flush", "ban")["removed"], 3)
        self.assertTrue(self.pings())
        self.server.weir("filter", "flush")
        self.assertEqual(self.json("set", "del", "ban")["removed"], 0)
        self.assertEqual(self.json("set", "list")["sets"], [])

    def test_sets_in_a_file(self):
        self.server.weir("attach", "veth0")
        directory = pathlib.Path(self.rules_file("")).parent
        (directory / "more.txt").write_text("10.77.0.0/24\n")
        path = directory / "rules"
        path.write_text("set ban {\n  10.77.0.2 fd77::2 ttl 1h\n}\nset more file more.txt\nset empty\n"
                        "rule a drop proto icmp from @ban\nrule b pass to @more\n")
        self.assertIn("+ set ban (2 entries)", self.text("filter", "diff", path))
        self.assertEqual(self.text("filter", "apply", path),
                         "veth0: 2 rules in force: 2 added, set ban added (2 entries), set more added (1 entry), set empty added (0 entries)\n")
        self.assertFalse(self.pings())
        self.assertEqual(self.text("filter", "apply", path), "veth0: the filter says this already\n")
        # What is exported is the same again, inline and by files; by name alone it leaves entries as they are.
        exported = self.text("filter", "export")
        self.assertTrue(self.json("filter", "diff", self.rules_file(exported))["same"])
        listed = self.text("filter", "export", "--sets", directory)
        self.assertIn(f"set ban file {directory}/ban.list\n", listed)
        self.assertTrue(self.json("filter", "diff", self.rules_file(listed))["same"])
        names = self.rules_file(self.text("filter", "export", "--no-entries"))
        self.server.weir("set", "del", "ban", "10.77.0.2")
        self.assertTrue(self.json("filter", "diff", names)["same"])
        self.assertEqual(self.json("filter", "diff", path)["sets"],
                         [{"change": "changed", "name": "ban", "added": 1, "removed": 0}])
        self.assertTrue(self.pings())
        # Other entries come and go back with a trial; what is added meanwhile stays.
        self.server.weir("filter", "apply", path, "--confirm", "60s")
        self.assertFalse(self.pings())
        self.server.weir("set", "add", "ban", "192.0.2.1")
        self.server.weir("filter", "rollback")
        self.assertTrue(self.pings())
        self.assertEqual([e["entry"] for e in self.json("set", "show", "ban")["entries"]], ["192.0.2.1", "fd77::2"])
        # Sets that a file does not have go; a rule may not ask for one of them.
        wrong = self.server.weir("filter", "apply", self.rules_file("rule a drop from @ban\n"), check=False)
        self.assertRegex(wrong.stderr, r":1:1: rule a asks for the set ban, which the file does not have")
        self.server.weir("filter", "apply", self.rules_file("rule a drop proto 47\n"))
        self.assertEqual(self.json("set", "list")["sets"], [])

    def test_a_load_that_is_killed_or_interrupted_leaves_the_old_set(self):
        self.server.weir("attach", "veth0")
        self.server.weir("set", "load", "ban", self.rules_file("10.77.0.2\n"))
        self.server.weir("filter", "add", "drop", "from", "@ban")
        big = self.rules_file("".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(300000)))
        for number, signum in enumerate((signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)):
            child = self.server.popen(lab.WEIR, "set", "load", "ban", big, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                child.wait(timeout=0.02 + 0.04 * number)
            except subprocess.TimeoutExpired:
                child.send_signal(signum)
            child.stderr.read()
            child.wait(timeout=30)
            # The old one whole, or, where the signal came late, the new one.
            entries = self.json("set", "list")["sets"][0]["entries"]
            self.assertIn(entries, (1, 300000))
            if entries == 300000:
                self.server.weir("set", "load", "ban", self.rules_file("10.77.0.2\n"))
            self.assertFalse(self.pings())
        self.assertEqual(self.json("set", "load", "ban", big)["entries"], 300000)
        self.assertTrue(self.pings())

    def pings(self, count=1):
        return self.client.run("ping", "-c", count, "-i", "0.05", "-W", "0.3", "10.77.0.1", check=False).returncode == 0

    def names(self):
        return [r["name"] for r in self.json("filter", "list")["rules"]]

    def test_filter_as_a_file(self):
        self.server.weir("attach", "veth0")
        self.assertIn("no rules", self.text("filter", "export"))
        text = ("# what the office may\n"
                "rule pings accept proto icmp from 10.77.0.0/24 limit 1k/s burst 100 per source\n"
                "rule v6 drop from fd77::/64 proto tcp flags S/SA port 1-1023  # new connections\n"
                "rule last pass vlan none fragment no length 0-1500\n")
        path = self.rules_file(text)
        told = self.json("filter", "apply", path, "--dry-run")
        self.assertEqual((told["applied"], told["same"], [c["change"] for c in told["changes"]]), (False, False, ["added"] * 3))
        self.assertEqual(self.names(), [])
        self.assertRegex(self.text("filter", "diff", path), r"^\+ rule pings accept proto icmp from 10\.77\.0\.0/24 limit 1k/s")
        self.assertRegex(self.text("filter", "apply", path), r"^veth0: 3 rules in force: 3 added\n$")
        self.assertTrue(self.pings(2))
        self.assertEqual(self.json("filter", "list")["rules"][0]["packets"], 2)
        # To apply it again is no change; what is exported is what was applied.
        self.assertEqual(self.text("filter", "apply", path), "veth0: the filter says this already\n")
        exported = self.text("filter", "export")
        self.assertEqual([line.split()[:3] for line in exported.splitlines()],
                         [["rule", "pings", "accept"], ["rule", "v6", "drop"], ["rule", "last", "pass"]])
        self.assertTrue(self.json("filter", "diff", self.rules_file(exported))["same"])
        done = subprocess.run([str(lab.WEIR), "-n", self.server.netns, "-j", "filter", "diff", "-"], input=exported,
                              capture_output=True, text=True, check=True)
        self.assertTrue(json.loads(done.stdout)["same"])
        # Another order, one changed, one gone, one new: the counter of the one that stays goes on.
        other = "rule new drop proto 47\nrule last pass vlan none fragment no length 0-1500\nrule pings pass proto icmp\n"
        told = self.json("filter", "apply", self.rules_file(other))
        self.assertEqual({(c["change"], c["name"]) for c in told["changes"]},
                         {("added", "new"), ("removed", "v6"), ("changed", "pings"), ("moved", "last")})
        self.assertTrue(self.pings())
        rules = {r["name"]: r["packets"] for r in self.json("filter", "list")["rules"]}
        self.assertEqual(rules["pings"] + rules["last"], 3)
        # add and del work on the same rules.
        self.server.weir("filter", "add", "name", "added", "drop", "proto", 47)
        self.server.weir("filter", "add", "name", "added", "drop", "proto", 47)
        self.assertEqual(self.names(), ["new", "last", "pings", "added"])
        refused = self.server.weir("filter", "add", "name", "added", "pass", check=False)
        self.assertEqual((refused.returncode, "another rule added" in refused.stderr), (1, True))
        bad = self.server.weir("filter", "apply", self.rules_file("rule a drop\nrule b drop port 80\n"), check=False)
        self.assertEqual(bad.returncode, 1)
        self.assertRegex(bad.stderr, r"^weir: /.*/rules:2:1: a port needs proto tcp")
        self.assertEqual(self.names(), ["new", "last", "pings", "added"])

    def test_a_change_that_nobody_confirms_is_taken_back(self):
        self.server.weir("attach", "veth0")
        self.server.weir("filter", "add", "name", "keep", "accept", "proto", "icmp")
        everything = self.rules_file("rule everything drop\n")
        told = self.text("filter", "apply", everything, "--confirm", "2s")
        self.assertIn("`weir filter confirm dev veth0` keeps them", told)
        self.assertFalse(self.pings())
        status = self.json("status", "veth0")["interfaces"][0]
        self.assertTrue(0 < status["filter_confirm_seconds"] <= 2)
        self.assertRegex(self.text("status"), r"filter +1 rule, on trial for another .*weir filter confirm")
        self.assertRegex(self.text("filter", "list"), r"\nveth0: on trial for another ")
        busy = self.server.weir("filter", "add", "drop", check=False)
        self.assertEqual((busy.returncode, "waits to be confirmed" in busy.stderr), (1, True))
        # Nobody is there any more; the program goes back by itself.
        lab.wait_until(self.pings, "the rules from before")
        self.assertEqual(self.names(), ["keep"])
        self.assertIn("was taken back", self.text("status"))
        late = self.server.weir("filter", "confirm", check=False)
        self.assertEqual((late.returncode, "too late" in late.stderr), (1, True))
        # Confirmed, it stays; taken back by hand, it goes at once.
        self.server.weir("filter", "apply", everything, "--confirm", "1h")
        self.assertFalse(self.pings())
        self.assertFalse(self.json("filter", "rollback")["confirmed"])
        self.assertTrue(self.pings())
        self.server.weir("filter", "apply", everything, "--confirm=10m")
        self.assertTrue(self.json("filter", "confirm")["confirmed"])
        self.assertIsNone(self.json("status", "veth0")["interfaces"][0]["filter_confirm_seconds"])
        self.assertFalse(self.pings())
        self.assertEqual(self.names(), ["everything"])

    def asked(self, *words):
        return self.json("filter", "test", *words)

    def test_the_program_says_what_it_would_do_and_keeps_nothing_of_it(self):
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", 8080)
        self.server.weir("filter", "add", "name", "web", "pass", "proto", "tcp", "port", "443", "limit", "2/s", "burst", "1")
        self.server.weir("filter", "add", "name", "bad", "drop", "from", "10.77.0.2")
        def counted():
            # The two kernels find each other meanwhile.
            return [r for r in self.json("stats", "--all")["reasons"] if r["name"] not in ("infrastructure", "arp")]

        before = counted()
        for _ in range(3):
            told = self.asked("from", "192.0.2.1", "proto", "tcp", "dport", "443", "flags", "S")
            self.assertEqual((told["verdict"], told["reason"], told["rule"]["name"], told["rule"]["limit"]), ("pass", "filter_pass", "web", "within"))
        told = self.asked("from", "10.77.0.2", "proto", "icmp")
        self.assertEqual((told["verdict"], told["reason"], told["rule"]["index"]), ("drop", "filter_drop", 1))
        told = self.asked("from", "fd77::2", "port", "8080", "vlan", "none", "length", "100", "queue", "0")
        self.assertEqual((told["reason"], told["steer"]["port"], told["packet"].split(" S")[0]),
                         ("syn_no_acceptor", 8080, "tcp [fd77::2]:40000 -> [fd77::1]:8080"))
        self.assertEqual(self.asked("from", "fd77::2", "port", "8080", "vlan", "5")["reason"], "vlan")
        self.assertEqual(self.asked("from", "10.77.0.9", "proto", "udp", "fragment", "later")["fragment"], "later")
        told = self.asked("from", "fd77::2", "proto", "icmpv6", "icmp-type", "135")
        self.assertEqual((told["reason"], told["guarded"], told["rule"]), ("infrastructure", True, None))
        self.assertEqual(self.asked("hex", "ff:ff:ff:ff:ff:ff 020000000001 0806")["reason"], "arp")
        self.assertIn("queue 7", self.asked("from", "10.77.0.9", "port", "1", "queue", "7")["notes"][0])
        self.assertEqual(counted(), before)
        self.assertEqual([r["packets"] for r in self.json("filter", "list")["rules"]], [0, 0])
        self.assertRegex(self.text("filter", "test", "from", "10.77.0.2", "port", "9"),
                         r"^veth0: drop: a filter rule refused it \(filter_drop\)\n  packet    tcp 10\.77\.0\.2:40000 -> "
                         r"10\.77\.0\.1:9 S, 54 octets\n  rule      bad, number 1 of 2: drop from 10\.77\.0\.2/32\n$")

    def feed(self, *argv, text):
        return subprocess.run([str(lab.WEIR), "-n", self.server.netns, *argv], input=text, text=True, capture_output=True, check=False, timeout=60)

    def test_a_feed_changes_a_set_line_by_line(self):
        self.server.weir("attach", "veth0")
        refused = self.feed("set", "add", "ban", "-", text="192.0.2.1\n")
        self.assertEqual((refused.returncode, "there is no set ban" in refused.stderr), (1, True))
        self.server.weir("set", "add", "ban")

        def entries():
            return sorted(e["entry"] for e in self.json("set", "show", "ban")["entries"])
        many = "".join(f"10.{i >> 8}.{i & 255}.0/24\n2001:db8:{i:x}::/48 ttl 1h\n" for i in range(10000))
        done = self.feed("-j", "set", "add", "ban", "-", text=many + "del 10.0.0.0/24\n10.0.1.0/24\n")
        self.assertEqual(json.loads(done.stdout), {"interface": "veth0", "name": "ban", "added": 20000, "removed": 1, "unchanged": 1}, done.stderr)
        self.assertEqual(len(entries()), 19999)
        done = self.feed("set", "del", "ban", "-", text=many)
        self.assertEqual((done.stdout, done.returncode), ("veth0: set ban: 0 entries in, 19999 out, 1 unchanged\n", 0))
        self.assertEqual(entries(), [])
        done = self.feed("set", "add", "ban", "-", text="192.0.2.1\n192.0.2.2\nnonsense\n192.0.2.3\n")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"^weir: stdin:3:1: 'nonsense' is not a prefix.*; until then 2 entries in, 0 out, 0 unchanged\n$")
        self.assertEqual(entries(), ["192.0.2.1", "192.0.2.2"])
        done = self.feed("set", "add", "ban", "-", text="192.0.2.4" + " " * 70000)
        self.assertRegex(done.stderr, r"^weir: stdin:1: a line of more than 65536 octets")
        # One that is open: each line is in force when it is read, and others change the set between.
        child = subprocess.Popen([str(lab.WEIR), "-n", self.server.netns, "set", "del", "ban", "-"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lab._die_with_parent)
        for line, after in (("192.0.2.1", ["192.0.2.2"]), ("add 2001:db8::1 ttl 1h", ["192.0.2.2", "2001:db8::1"])):
            child.stdin.write(line + "\n")
            child.stdin.flush()
            lab.wait_until(lambda: entries() == after, line)
        self.server.weir("set", "add", "ban", "192.0.2.5")
        self.server.weir("detach", "veth0")
        self.server.weir("attach", "veth0")
        self.server.weir("set", "add", "ban")
        self.server.weir("set", "add", "ban", "192.0.2.5")
        _, said = child.communicate("192.0.2.5\n", timeout=30)
        self.assertEqual((child.returncode, "attached anew" in said, "until then 1 entry in, 1 out" in said), (1, True, True), said)
        self.assertEqual(entries(), ["192.0.2.5"])

    def test_what_is_asked_names_the_set_and_the_entry(self):
        self.server.weir("attach", "veth0")
        self.server.weir("set", "add", "bad")
        self.server.weir("set", "add", "ours")
        for entry in ("198.51.100.0/24", "198.51.0.0/16", "198.51.100.7", "2001:db8::/32", "2001:db8:0:1::/64"):
            self.server.weir("set", "add", "bad", entry)
        self.server.weir("set", "add", "ours", "10.77.0.0/24", "ttl", "1h")
        self.server.weir("set", "add", "ours", "fd77::1")
        # Ends now, and hides nothing.
        self.server.weir("set", "add", "bad", "198.51.100.9", "ttl", "1s")
        self.server.weir("set", "add", "bad", "2001:db8::9", "ttl", "1s")
        self.server.weir("set", "add", "bad", "203.0.113.9", "ttl", "1s")
        self.server.weir("filter", "add", "name", "both", "drop", "from", "@bad", "to", "@ours")
        self.server.weir("filter", "add", "name", "one", "drop", "from", "@bad")
        lab.wait_until(lambda: not any(e["entry"] in ("198.51.100.9", "2001:db8::9", "203.0.113.9")
                                       for e in self.json("set", "show", "bad")["entries"]), "the end of three entries")

        def named(*words):
            told = self.asked(*words)
            return (told["rule"] or {}).get("name"), [(s["word"], s["set"], s["entry"], s["ttl"] is not None)
                                                      for s in (told["rule"] or {}).get("sets", [])], [
                (e["word"], e["set"], e["entry"], e["seconds_ago"] >= 1) for e in told["ended"]]
        v4, v6 = ("to", "ours", "10.77.0.0/24", True), ("to", "ours", "fd77::1", False)
        self.assertEqual(named("from", "198.51.100.7", "port", "9"), ("both", [("from", "bad", "198.51.100.7", False), v4], []))
        self.assertEqual(named("from", "198.51.100.8", "port", "9"), ("both", [("from", "bad", "198.51.100.0/24", False), v4], []))
        self.assertEqual(named("from", "198.51.1.1", "to", "10.9.9.9", "port", "9"),
                         ("one", [("from", "bad", "198.51.0.0/16", False)], []))
        self.assertEqual(named("from", "198.51.100.9", "port", "9"), ("both", [("from", "bad", "198.51.100.0/24", False), v4],
                                                                     [("from", "bad", "198.51.100.9", True)]))
        self.assertEqual(named("from", "2001:db8:0:1::5", "port", "9"), ("both", [("from", "bad", "2001:db8:0:1::/64", False), v6], []))
        self.assertEqual(named("from", "2001:db8::9", "port", "9", "vlan", "7"),
                         ("both", [("from", "bad", "2001:db8::/32", False), v6], [("from", "bad", "2001:db8::9", True)]))
        self.assertEqual(named("from", "203.0.113.9", "port", "9"), (None, [], [("from", "bad", "203.0.113.9", True)]))
        self.assertEqual(named("from", "192.0.2.1", "port", "9"), (None, [], []))
        self.assertEqual(named("hex", "ff:ff:ff:ff:ff:ff 020000000001 0806"), (None, [], []))
        text = self.text("filter", "test", "from", "198.51.100.9", "port", "9")
        self.assertRegex(text, r"(?m)^  rule      both, number 0 of 2: drop from @bad to @ours\n  entry     from @bad: 198\.51\.100\.0/24\n"
                               r"  entry     to @ours: 10\.77\.0\.0/24, for another \d+ s\n"
                               r"  note      from @bad: 198\.51\.100\.9 was an entry, and ended \d+ s ago$")
        ethernet = bytes.fromhex("020000000001020000000002")
        dns = ethernet + bytes.fromhex("0800450000240000000040110000c63301010a4d0001") + struct.pack(">HHHH", 9, 53, 16, 0) + bytes(8)
        capture = self.pcap([dns])
        self.assertRegex(self.text("filter", "test", "pcap", capture),
                         r"(?m)^ +1  drop   filter_drop by both \(@bad 198\.51\.0\.0/16\) \(@ours 10\.77\.0\.0/24\)  udp ")
        self.assertEqual([s["entry"] for s in self.json("filter", "test", "pcap", capture)["packets"][0]["rule"]["sets"]],
                         ["198.51.0.0/16", "10.77.0.0/24"])

    def pcap(self, packets, link=1, magic=0xa1b2c3d4, cut=65535):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = pathlib.Path(directory.name) / "capture"
        text = struct.pack("=IHHiIII", magic, 2, 4, 0, 0, 65535, link)
        for packet in packets:
            text += struct.pack("=IIII", 0, 0, min(len(packet), cut), len(packet)) + packet[:cut]
        path.write_bytes(text)
        return str(path)

    def test_a_capture_is_answered_packet_by_packet(self):
        self.server.weir("attach", "veth0")
        self.server.weir("filter", "add", "name", "dns", "drop", "proto", "udp", "port", "53")
        ethernet = bytes.fromhex("020000000001020000000002")
        arp = ethernet + bytes.fromhex("0806") + bytes(28)
        dns = ethernet + bytes.fromhex("0800450000240000000040110000c00002010a4d0001") + struct.pack(">HHHH", 9, 53, 16, 0) + bytes(8)
        told = self.json("filter", "test", "pcap", self.pcap([arp, dns, dns, arp + bytes(4000), b"short"], cut=4020))
        self.assertEqual([p.get("reason") for p in told["packets"]], ["arp", "filter_drop", "filter_drop", None, None])
        self.assertEqual({(s["reason"], s["rule"], s["packets"]) for s in told["summary"]}, {("arp", None, 1), ("filter_drop", "dns", 2)})
        self.assertEqual((told["not_run"], told["not_whole"], told["more"]), (2, 0, False))
        # Headers are enough: what was not captured is no header.
        told = self.json("filter", "test", "pcap", self.pcap([dns], cut=42))
        self.assertEqual((told["packets"][0]["reason"], told["not_whole"]), ("filter_drop", 1))
        text = self.text("filter", "test", "pcap", self.pcap([arp, dns]))
        self.assertRegex(text, r"(?m)^ +2  drop   filter_drop by dns  udp 192\.0\.2\.1:9 -> 10\.77\.0\.1:53, 50 octets$")
        self.assertRegex(text, r"(?m)^ +1  drop +filter_drop +dns$")
        for path, says in ((self.pcap([], link=113), "link type LINUX_SLL"), (self.pcap([], magic=1), "unknown file format"),
                           ("/no/such", "No such file")):
            done = self.server.weir("filter", "test", "pcap", path, check=False)
            self.assertEqual((done.returncode, says in done.stderr, done.stderr.count("\n")), (1, True, 1), done.stderr)
        self.assertEqual(self.json("filter", "list")["rules"][0]["packets"], 0)

    def test_a_capture_or_a_reader_that_is_slow_holds_up_nobody(self):
        self.server.weir("attach", "veth0")
        self.server.weir("filter", "add", "name", "dns", "drop", "proto", "udp", "port", "53")
        capture = self.pcap([bytes.fromhex("0200000000010200000000020806") + bytes(28)] * 3000)

        def test(path, **kw):
            child = subprocess.Popen([str(lab.WEIR), "-n", self.server.netns, "filter", "test", "pcap", path], stdout=subprocess.PIPE, **kw)
            self.addCleanup(child.stdout.close)
            self.addCleanup(child.wait)
            self.addCleanup(child.kill)
            return child

        def waiting_in(pipe):
            octets = bytearray(4)
            fcntl.ioctl(pipe, termios.FIONREAD, octets)
            return int.from_bytes(octets, sys.byteorder)

        slow = test("-", stdin=subprocess.PIPE)
        slow.stdin.write(pathlib.Path(capture).read_bytes()[:100])
        slow.stdin.flush()
        lab.wait_until(lambda: waiting_in(slow.stdin) == 0, "the begin of the capture to be read")
        self.server.weir("filter", "flush")
        slow.stdin.close()
        self.assertEqual(slow.wait(timeout=20), 1)
        # The answers are more than a pipe takes that nobody reads.
        unread = test(capture)
        lab.wait_until(lambda: waiting_in(unread.stdout) >= 60000, "a pipe that is full")
        self.server.weir("filter", "add", "drop", "proto", "99")
        self.assertIsNone(unread.poll())

    def test_a_writer_that_is_killed_leaves_one_of_the_two_filters(self):
        self.server.weir("attach", "veth0")
        files = {n: self.rules_file("".join(f"rule {n}{i} accept proto tcp port {i + 1}\n" for i in range(300))) for n in "ab"}
        self.server.weir("filter", "apply", files["a"])
        whole = {n: [f"{n}{i}" for i in range(300)] for n in "ab"}
        seen = set()
        for attempt in range(40):
            wanted = "ba"[attempt % 2]
            child = subprocess.Popen([str(lab.WEIR), "-n", self.server.netns, "filter", "apply", files[wanted]],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(attempt * 0.001)
            child.kill()
            child.wait()
            found = self.names()
            self.assertIn(found, whole.values())
            seen.add(found[0][0])
        self.server.weir("filter", "flush")
        self.assertEqual(self.names(), [])

    def test_two_writers_at_once_both_write(self):
        self.server.weir("attach", "veth0")
        children = [subprocess.Popen([str(lab.WEIR), "-n", self.server.netns, "filter", "add", "drop", "proto", str(100 + i)],
                                     stdout=subprocess.DEVNULL) for i in range(6)]
        self.assertEqual([child.wait(timeout=30) for child in children], [0] * 6)
        rules = self.json("filter", "list")["rules"]
        self.assertEqual(sorted(r["proto"] for r in rules), [str(100 + i) for i in range(6)])
        self.assertEqual(len({r["name"] for r in rules}), 6)

    def test_stats_explain_every_frame_and_add_up(self):
        self.server.weir("attach", "veth0")
        self.client.run("ping", "-c", "3", "-i", "0.05", "10.77.0.1")
        told = self.json("stats", "veth0", "--all")
        rows = {(r["verdict"], r["name"]): r for r in told["reasons"]}
        self.assertEqual(rows[("pass", "icmp")]["packets"], 3)
        self.assertEqual(rows[("pass", "icmp")]["bytes"], 3 * 98)
        self.assertIsNone(rows[("taken", "tcp")]["bytes"])
        self.assertTrue(all(r["text"] for r in rows.values()))
        for total in told["verdicts"]:
            self.assertEqual(total["packets"], sum(r["packets"] for r in rows.values() if r["verdict"] == total["verdict"]))
        shown = self.text("stats").splitlines()
        self.assertTrue(all("  0  " not in line for line in shown[2:]), shown)
        self.assertTrue(any(line.startswith("pass     icmp") for line in shown), shown)

    def watch(self, *options):
        child = subprocess.Popen([str(lab.WEIR), "-n", self.server.netns, "stats", "--watch", "0.1", *options],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (child.stdout.close(), child.stderr.close()))
        self.addCleanup(child.kill)
        return child

    def test_watch_until_interrupted(self):
        self.server.weir("attach", "veth0")
        child = self.watch("-j")
        first = json.loads(child.stdout.readline())
        self.client.run("ping", "-c", "2", "-i", "0.05", "10.77.0.1")

        def rate():
            rows = {r["name"]: r for r in json.loads(child.stdout.readline())["reasons"] if r["verdict"] == "pass"}
            return rows.get("icmp", {}).get("packets_per_second", 0) > 0
        lab.wait_until(rate, "the pings' rate")
        self.assertAlmostEqual(first["interval_seconds"], 0.1, delta=5)
        child.send_signal(signal.SIGINT)
        child.stdout.read()
        self.assertEqual(child.wait(timeout=10), 0)

    def test_watch_ends_when_weir_is_detached(self):
        self.server.weir("attach", "veth0")
        child = self.watch()
        self.assertIn("veth0:", child.stdout.readline())
        self.server.weir("detach", "veth0")
        child.stdout.read()
        self.assertEqual(child.wait(timeout=10), 1)
        self.assertIn("weir has been detached", child.stderr.read())

    def test_what_is_left_of_a_namespace_that_is_gone_is_shown_and_removed(self):
        self.server.run("ip", "link", "set", "veth0", "down")  # older kernels rename only what is down
        self.server.run("ip", "link", "set", "veth0", "name", "stale0", "up")
        self.server.weir("attach", "stale0")
        self.server.run("ip", "link", "del", "stale0")
        told = [s for s in self.json("status")["stale"] if s["netns_cookie"] == self.cookie]
        self.assertEqual([s["interface"] for s in told], ["stale0"])
        self.assertRegex(self.text("status"), r"stale0 .*weir detach stale0")
        self.assertTrue(self.json("detach", "stale0")["stale"])
        self.assertEqual(list(lab.PIN_ROOT.glob(f"{self.cookie}-*")), [])

    def test_run_hands_over_descriptors_and_nothing_else(self):
        self.server.weir("attach", "veth0")
        script = "cat /proc/self/status; ls -l /proc/$$/fd; env"
        for user, uid, gid in (("nobody", 65534, 65534), (None, 0, 0)):
            with self.subTest(user):
                options = ("--user", user) if user else ()
                told = self.server.weir("run", *options, "--", "sh", "-c", script).stdout
                for kind, wanted in (("Uid", uid), ("Gid", gid)):
                    self.assertRegex(told, rf"{kind}:(\s+{wanted}){{4}}\n")
                self.assertEqual(set(re.findall(r"Cap\w+:\s*(\w+)", told)), {"0" * 16})
                self.assertIn("NoNewPrivs:\t1", told)
                maps, sockets = re.search(r"WEIR_INHERIT=v1;maps=([\d,]+);socket=(\d+),", told).groups()
                held = dict(re.findall(r" (\d+) -> (\S+)", told))
                self.assertEqual({held[fd] for fd in maps.split(",")}, {"anon_inode:bpf-map"})
                self.assertIn("socket:", held[sockets])
                # The engine makes its own socket there.
                directory = next(lab.RUN_DIR.glob(f"{self.cookie}-*"))
                self.assertEqual(directory.stat().st_uid, uid)
        self.assertEqual(self.server.weir("run", "--", "sh", "-c", "exit 7", check=False).returncode, 7)
        missing = self.server.weir("run", "--", "no-such-program", check=False)
        self.assertEqual((missing.returncode, len(missing.stderr.splitlines())), (1, 1))
        nobody = self.server.weir("run", "--user", "no-such-user", "--", "true", check=False)
        self.assertEqual((nobody.returncode, len(nobody.stderr.splitlines())), (1, 1))

    def test_run_where_nothing_is_attached_says_so_and_runs(self):
        done = self.server.weir("run", "--", "sh", "-c", "echo ran ${WEIR_INHERIT-alone}")
        self.assertEqual(done.stdout, "ran alone\n")
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("kernel sockets", done.stderr)

    def engine(self, answer):
        """An engine's socket, answered by the test."""
        index = json.loads(self.server.run("ip", "-j", "link", "show", "veth0").stdout)[0]["ifindex"]
        path = lab.RUN_DIR / f"{self.cookie}-{index}" / "engine.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        self.addCleanup(listener.close)
        asked = []

        def serve():
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                asked.append(json.loads(peer.makefile().readline()))
                peer.sendall((json.dumps(answer) + "\n").encode())
                peer.close()
        if answer is not None:
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            # The thread ends before the number of its descriptor may be another listener's (cleanups run last first).
            self.addCleanup(thread.join)
            self.addCleanup(listener.shutdown, socket.SHUT_RDWR)
        return asked

    def test_sockets(self):
        self.server.weir("attach", "veth0")
        numbers = {"send_queue": 7, "recv_queue": 3, "srtt_us": 1500, "rttvar_us": 250, "min_rtt_us": 900, "rto_us": 200000,
                   "cwnd": 14480, "ssthresh": 2 ** 32 - 1, "send_mss": 1448, "recv_mss": 1448, "send_window": 65535,
                   "recv_window": 131072, "in_flight": 7, "bytes_acked": 12345, "bytes_received": 678, "segments_out": 20,
                   "segments_in": 19, "retransmits": 2, "timeouts": 1, "out_of_order": 4, "lost": 5, "delivered": 9000, "send_scale": 7, "recv_scale": 6}
        answer = {"ok": True, "pid": 42, "interface": "veth0",
                  "listeners": [{"local": "[::]:8080", "mode": "engine", "adopted": False, "queued": 1, "pending": 0, "backlog": 4096},
                                {"local": "0.0.0.0:81", "mode": "kernel", "why": "the port is not steered", "adopted": False,
                                 "queued": 0, "pending": 0, "backlog": 128}],
                  "connections": [{"local": "10.77.0.1:8080", "remote": "10.77.0.2:40000", "state": "ESTAB", **numbers,
                                   "timestamps": True, "sack": True, "ecn": True, "window_scaling": True}], "time_wait": 2}
        asked = self.engine(answer)
        lines = self.text("sockets").splitlines()
        self.assertEqual(asked, [{"cmd": "sockets"}])
        self.assertRegex(lines[0], r"^State +Recv-Q +Send-Q +Local Address:Port +Peer Address:Port$")
        self.assertRegex(lines[1], r"^LISTEN +1 +4096 +\[::\]:8080 +\*:\*$")
        self.assertRegex(lines[2], r"^LISTEN +0 +128 +0\.0\.0\.0:81 +\*:\* +by the kernel: the port is not steered$")
        self.assertRegex(lines[3], r"^ESTAB +3 +7 +10\.77\.0\.1:8080 +10\.77\.0\.2:40000$")
        self.assertEqual(lines[4:], ["and 2 in TIME-WAIT (--all)"])
        self.assertEqual(len(self.text("sockets", "--all").splitlines()), 4)
        self.assertEqual(asked[-1], {"cmd": "sockets", "time_wait": True})
        info = self.text("sockets", "-i").splitlines()[4]
        for part in ("rto:200", "rtt:1.500/0.250", "cwnd:14480", "wscale:7,6", "retrans:2", "rcv_ooopack:4", "lost:5", "delivered:9000", "sack ecn"):
            self.assertIn(part, info)
        self.assertNotIn("ssthresh", info)
        told = self.json("sockets", "veth0")
        self.assertEqual((told["interface"], told["pid"]), ("veth0", 42))
        self.assertEqual(told["connections"], answer["connections"])

    def test_cc(self):
        self.server.weir("attach", "veth0")
        asked = self.engine({"ok": True, "pid": 42, "interface": "veth0", "default": "bbr", "controllers": ["cubic", "bbr"],
                             "connections": {"cubic": 3, "bbr": 0}})
        lines = self.text("cc", "list").splitlines()
        self.assertEqual(asked, [{"cmd": "cc"}])
        self.assertRegex(lines[0], r"^NAME +NEW +CONNECTIONS$")
        self.assertEqual([line.split() for line in lines[1:]], [["cubic", "3"], ["bbr", "yes", "0"]])
        self.assertEqual(self.json("cc", "list", "veth0")["default"], "bbr")

    def test_cc_set(self):
        self.server.weir("attach", "veth0")
        asked = self.engine({"ok": True, "name": "dctcp", "changed": 3, "refused": 1})
        self.assertEqual(self.text("cc", "set", "veth0", "dctcp"),
                         "dctcp on veth0: new connections, and 3 running; 1 kept theirs, without ECN\n")
        self.assertEqual(asked, [{"cmd": "cc_set", "name": "dctcp"}])

    def test_cc_set_refused(self):
        self.server.weir("attach", "veth0")
        self.engine({"ok": False, "error": "the engine has no congestion control of that name; it has cubic, bbr"})
        done = self.server.weir("cc", "set", "veth0", "vegas", check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1))
        self.assertIn("it has cubic, bbr", done.stderr)

    def test_sockets_of_an_engine_that_does_not_answer(self):
        self.server.weir("attach", "veth0")
        none = self.server.weir("sockets", check=False)
        self.assertEqual(none.returncode, 1)
        self.assertIn("no engine runs on veth0", none.stderr)
        self.engine(None)
        begin = time.monotonic()
        done = self.server.weir("sockets", check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1))
        self.assertIn("is stopped", done.stderr)
        self.assertGreater(time.monotonic() - begin, 0.9)

    def http(self, *prefix):
        if not (lab.EXAMPLES / "weir-http").exists():
            self.skipTest("weir-http is not built")
        out = open(self.enterContext(tempfile.NamedTemporaryFile()).name, "w")
        self.addCleanup(out.close)
        child = self.server.popen(*prefix, lab.EXAMPLES / "weir-http", "--port", 8080, stdout=out)
        self.wait_listening(True)
        return child

    def wait_listening(self, wanted):
        lab.wait_until(lambda: any(e["port"] == 8080 and e["listening"] == wanted for e in self.json("steer", "list")["steer"]),
                       f"tcp 8080 to be {'' if wanted else 'not '}listening")

    def wait_engine(self, state):
        lab.wait_until(lambda: self.json("status")["interfaces"][0]["queues"][0]["engine"] == state, f"the engine to be {state}")

    def test_an_engine_is_seen_alive_silent_stopped_and_dead(self):
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", 8080)
        child = self.http()
        self.wait_engine("alive")
        status = self.text("status")
        self.assertRegex(status, rf"queue 0 +engine alive, pid {child.pid}, copy mode, up ")
        self.assertRegex(status, r"tcp 8080 +listening")
        self.assertNotIn("->", status)
        self.assertIn(":8080", self.text("sockets"))
        child.send_signal(signal.SIGSTOP)
        self.wait_engine("silent")
        self.assertRegex(self.text("status"), rf"-> .*silent for .*kill -CONT {child.pid}")
        self.wait_engine("stopped")
        self.assertRegex(self.text("status"), rf"-> .*frames of old ones are dropped.*kill -CONT {child.pid}")
        self.assertFalse(self.json("steer", "list")["steer"][0]["listening"])
        self.assertIn("is stopped", self.server.weir("sockets", check=False).stderr)
        child.send_signal(signal.SIGCONT)
        self.wait_engine("alive")
        self.wait_listening(True)
        child.kill()
        child.wait()
        self.wait_engine("dead")
        self.assertFalse(self.json("steer", "list")["steer"][0]["listening"])
        self.assertRegex(self.text("status"), rf"-> .*pid {child.pid}\) is gone.*start it again")
        self.assertIn("no engine runs", self.server.weir("sockets", check=False).stderr)
        # Nobody is left to be waited for, or to have connections.
        self.assertEqual(self.text("detach", "veth0"), "veth0: detached\n")

    def test_run_hands_over_what_it_saw_of_the_firewall(self):
        lab.need("nft", "curl")
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", 8080)
        self.http(lab.WEIR, "run", "--user", "nobody", "--")
        page = self.client.run("curl", "-sS", "--max-time", "10", "http://10.77.0.1:8080/").stdout
        self.assertIn("by weir's engine", page)
        # The program may not read the rules; it hears that they changed, and leaves new connections to the kernel.
        self.server.run("nft", "add table inet later; add chain inet later input { type filter hook input priority 0; }; "
                               "add rule inet later input tcp dport 9999 drop")
        self.wait_listening(False)
        page = self.client.run("curl", "-sS", "--max-time", "10", "http://10.77.0.1:8080/").stdout
        self.assertIn("by the kernel", page)
        self.assertRegex(self.text("sockets"), r"by the kernel: .*weir run")

    def test_doctor(self):
        report = self.json("doctor", "veth0")
        self.assertTrue(report["healthy"])
        checks = {(c["about"], c["check"]): c for c in report["checks"]}
        for name in ("kernel", "xdp", "af_xdp", "capabilities", "bpffs", "memlock"):
            self.assertEqual(checks[("machine", name)]["health"], "ok", checks[("machine", name)])
        self.assertIn("veth", checks[("veth0", "driver")]["text"])
        self.assertEqual(checks[("veth0", "tso")]["health"], "warn")
        for check in report["checks"]:
            self.assertTrue(check["health"] == "ok" or check["mend"] or "carrier" in check["text"], check)
        self.server.weir("attach", "veth0", "--mode", "generic", "--checksum", "verify")
        checks = {(c["about"], c["check"]): c for c in self.json("doctor")["checks"]}
        self.assertEqual(checks[("veth0", "tso")]["health"], "ok")
        self.assertIn("verified", checks[("veth0", "checksums")]["text"])
        self.assertIn("generic", checks[("veth0", "weir")]["text"])
        self.assertEqual(checks[("veth0", "other xdp")]["health"], "ok")

    def test_doctor_and_status_tell_of_the_firewall(self):
        lab.need("nft")
        self.server.weir("attach", "veth0")
        self.server.run("nft", "add table inet guard; add chain inet guard input { type filter hook input priority 0; policy drop; }")
        firewall = self.json("status")["interfaces"][0]["firewall"]
        self.assertEqual((firewall["state"], firewall["bypassed"]), ("rules", False))
        self.assertRegex(self.text("status"), r"firewall +.*inet guard input.*respected")
        self.assertIn("--bypass-firewall", self.text("status"))
        self.assertRegex(self.text("doctor", "veth0"), r"warn firewall .*inet guard input")
        self.server.weir("attach", "veth0", "--replace", "--bypass-firewall")
        self.assertRegex(self.text("status"), r"firewall +.*inet guard input.*bypassed")

    def test_doctor_fails_for_what_cannot_work(self):
        self.server.run("ip", "link", "add", "br0", "type", "bridge")
        self.server.run("ip", "link", "set", "veth0", "master", "br0")
        done = self.server.weir("doctor", "veth0", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"fail kind .*bridge br0")
        self.assertIn("ip link set veth0 nomaster", done.stdout)
        refused = self.server.weir("attach", "veth0", check=False)
        self.assertIn("br0", refused.stderr)


if __name__ == "__main__":
    lab.main()
