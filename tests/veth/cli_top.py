# SPDX-License-Identifier: MIT
"""weir top on a terminal of its own: what it shows, what it does when things change, and that it gives the terminal back."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))
import lab  # noqa: E402

ENTER, LEAVE = b"\033[?1049h", b"\033[?1049l"


class Screen:
    """A terminal with `weir ARGUMENTS` on it: just enough of one to know what a reader would see."""

    def __init__(self, *argv, columns=100, rows=40, term="xterm"):
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self.lines = []
        self.raw = b""
        self.pending = b""
        self.child = subprocess.Popen([str(lab.WEIR), *map(str, argv)], stdin=self.slave, stdout=self.slave,
                                      stderr=subprocess.PIPE, preexec_fn=self._own_terminal,
                                      env=dict(os.environ, TERM=term))

    def _own_terminal(self):
        lab._die_with_parent()
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def close(self):
        self.child.kill()
        self.child.wait()
        self.child.stderr.close()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys)

    def read(self):
        """Takes what has been written; True if there was any."""
        got = False
        while select.select([self.master], [], [], 0.05)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            got = True
            self.raw += data
            # Each drawing begins at the top; whole ones only.
            self.pending += data
            parts = self.pending.split(b"\033[J")
            self.pending = parts.pop()
            for part in parts:
                text = re.sub(rb"\033\[\??[0-9;]*[a-zA-Z]", b"", part[part.rindex(b"\033[H"):])
                self.lines = text.decode("ascii").replace("\r", "").split("\n")
        return got

    def text(self):
        self.read()
        return "\n".join(self.lines)

    def ended(self):
        """Exit status, once it has ended; what it wrote has been read."""
        def status():
            self.read()
            return self.child.poll() is not None
        lab.wait_until(status, "the end of weir top")
        self.read()
        return self.child.returncode


class Top(unittest.TestCase):
    def setUp(self):
        lab.need("ip", "nsenter", "ping")
        context = lab.Lab()
        self.lab = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.server, self.client = self.lab.pair()
        self.server.weir("attach", "veth0")

    def screen(self, *argv, **kw):
        screen = Screen("-n", self.server.netns, "top", "--interval", "0.1", *argv, **kw)
        self.addCleanup(screen.close)
        return screen

    def until(self, screen, pattern):
        return lab.wait_until(lambda: re.search(pattern, screen.text(), re.M), f"{pattern!r} on the screen:\n{screen.text()}")

    def ping(self, count=2):
        self.client.run("ping", "-c", count, "-i", "0.02", "-W", "0.2", "10.77.0.1", check=False)

    def given_back(self, screen):
        self.assertEqual(termios.tcgetattr(screen.slave), screen.before)
        self.assertEqual(screen.raw.count(ENTER), screen.raw.count(LEAVE))
        self.assertTrue(screen.raw.rstrip().endswith(LEAVE), screen.raw[-80:])

    def test_what_passes_is_on_the_screen(self):
        self.server.weir("filter", "add", "name", "noisy", "drop", "proto", "icmp")
        self.server.weir("steer", "add", 8080)
        screen = self.screen()
        self.until(screen, r"^weir top: veth0, native mode, program id \d+  every 0.1 s, overview by packets")
        pinging = self.client.popen("ping", "-i", "0.02", "10.77.0.1")
        self.until(screen, r"^drop +filter_drop +[1-9]")
        self.until(screen, r"^noisy +[1-9][0-9.]* +\S+ +\d+ +drop proto icmp$")
        self.until(screen, r"^tcp 8080 +serve +not listening +0 ")
        for key, pattern in ((b"3", r"rules by packets[\s\S]*^noisy "), (b"2", r"reasons by [\s\S]*WHAT IT MEANS"), (b"s", r"reasons by bits"),
                             (b"r", r"least first"), (b"4", r"ports by[\s\S]*^tcp 8080"), (b"5", r"no engine is there"), (b"6", r"connections by")):
            screen.type(key)
            self.until(screen, pattern)
        screen.type(b"1p")
        self.until(screen, r"PAUSED")
        screen.type(b" ")
        lab.wait_until(lambda: "PAUSED" not in screen.text(), "going on")
        pinging.kill()
        screen.type(b"q")
        self.assertEqual(screen.ended(), 0)
        self.given_back(screen)

    def test_a_terminal_that_obeys_nothing_gets_plain_text(self):
        screen = self.screen("--count", 2, term="dumb")
        self.assertEqual(screen.ended(), 0)
        self.assertIn(b"weir top: veth0", screen.raw)
        self.assertNotIn(b"\033", screen.raw)

    def test_the_terminal_is_given_back_however_it_ends(self):
        for name, end in (("ctrl-c", lambda s: s.type(b"\x03")), ("term", lambda s: s.child.terminate()),
                          ("hup", lambda s: s.child.send_signal(signal.SIGHUP)), ("ctrl-\\", lambda s: s.type(b"\x1c"))):
            with self.subTest(name):
                screen = self.screen()
                self.until(screen, "weir top")
                end(screen)
                self.assertEqual(screen.ended(), 0)
                self.given_back(screen)

    def test_stopped_and_continued(self):
        screen = self.screen()
        self.until(screen, "weir top")

        def state():
            screen.read()
            return pathlib.Path(f"/proc/{screen.child.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        # Its process group has no shell above it here, and an orphan is not stopped by SIGTSTP: it gives the terminal
        # back and takes it again. SIGSTOP leaves no choice.
        screen.child.send_signal(signal.SIGTSTP)
        lab.wait_until(lambda: screen.read() or screen.raw.count(ENTER) == 2, "the screen again")
        lab.wait_until(lambda: screen.read() is not None and screen.raw.count(LEAVE) == 1, "the screen left")
        screen.child.send_signal(signal.SIGSTOP)
        lab.wait_until(lambda: state() == "T", "stopped")
        termios.tcsetattr(screen.slave, termios.TCSANOW, screen.before)  # as a shell does meanwhile
        screen.child.send_signal(signal.SIGCONT)
        lab.wait_until(lambda: screen.read() is not None and not termios.tcgetattr(screen.slave)[3] & termios.ECHO, "raw again")
        screen.type(b"q")
        self.assertEqual(screen.ended(), 0)
        self.assertEqual(termios.tcgetattr(screen.slave), screen.before)

    def test_it_follows_the_size_of_the_terminal(self):
        screen = self.screen(columns=120, rows=50)
        self.ping()
        self.until(screen, r"WHAT IT MEANS")
        for columns, rows in ((30, 8), (10, 2), (200, 60)):
            screen.resize(columns, rows)
            screen.child.send_signal(signal.SIGWINCH)
            screen.lines = []
            lab.wait_until(lambda: screen.text() != "", "a drawing")
            lab.wait_until(lambda: screen.read() or True, "more")
            self.assertLessEqual(len(screen.lines), rows)
            self.assertLessEqual(max(map(len, screen.lines)), columns)

    def test_detached_and_attached_anew_and_gone(self):
        screen = self.screen()
        self.until(screen, r"^weir top: veth0, native")
        self.server.weir("attach", "veth0", "--replace")
        self.until(screen, r"program was replaced|native mode, program id")
        self.server.weir("detach", "veth0")
        self.until(screen, r"^veth0: weir has been detached; waiting for `weir attach veth0`$")
        self.server.weir("attach", "veth0", "--mode", "generic")
        self.until(screen, r"^weir top: veth0, generic mode")
        self.server.run("ip", "link", "del", "veth0")
        self.until(screen, r"; waiting$|has been detached")
        screen.type(b"q")
        self.assertEqual(screen.ended(), 0)
        self.given_back(screen)

    def engine(self, answer):
        """A socket in the engine's place, which gives that answer; None: it takes questions and says nothing."""
        cookie = lab.netns_cookie(self.server.netns)
        directory = next(lab.RUN_DIR.glob(f"{cookie}-*"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(directory / "engine.sock"))
        listener.listen(1)
        self.addCleanup(listener.close)

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(4096)
                    client.sendall(answer())
        if answer is not None:
            threading.Thread(target=serve, daemon=True).start()

    def test_an_engine_that_does_not_answer_holds_nothing_up(self):
        self.engine(None)
        screen = self.screen()
        pinging = self.client.popen("ping", "-i", "0.02", "10.77.0.1")
        self.until(screen, r"^pass +icmp +[1-9]")
        self.until(screen, r"^the engine does not answer: it is stopped, or very busy$")
        screen.type(b"2")
        self.until(screen, r"reasons by")
        pinging.kill()
        screen.type(b"q")
        self.assertEqual(screen.ended(), 0)

    def test_connections_with_the_most_traffic_come_first(self):
        told = [0]

        def answer():
            told[0] += 1
            rows = [{"local": "10.77.0.1:80", "remote": f"10.77.0.2:{1000 + i}", "state": "ESTAB", "srtt_us": 1500,
                     "bytes_received": told[0] * i * 1000, "bytes_acked": 0} for i in range(5)]
            rows.append({"local": "\x1b[2J\u009b1m", "remote": "", "state": "\n"})
            return json.dumps({"ok": True, "connections": rows}).encode()
        self.engine(answer)
        screen = self.screen("--view", "connections")
        self.until(screen, r"LOCAL .*\n10.77.0.1:80 +10.77.0.2:1004 +ESTAB +\S+k.*\n10.77.0.1:80 +10.77.0.2:1003")
        self.until(screen, r"^\?\[2J")
        screen.type(b"q")
        self.assertEqual(screen.ended(), 0)
        self.assertNotIn(b"\xc2\x9b", screen.raw)

    def weir(self, *argv):
        return self.server.weir(*argv)

    def test_frames_where_there_is_no_terminal(self):
        self.ping()
        done = self.weir("top", "--interval", "0.1", "--count", 2)
        self.assertEqual(done.stdout.count("weir top: veth0"), 2)
        self.assertNotIn("\033", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^pass +icmp +0 +0 +2 +ICMP")
        self.assertEqual(self.weir("top", "--batch", "--count", 0).stdout, "")
        documents = [json.loads(line) for line in self.weir("-j", "top", "--interval", "0.1", "--count", 2).stdout.splitlines()]
        self.assertEqual(len(documents), 2)
        for told in documents:
            self.assertTrue(told["attached"])
            self.assertGreater(told["interval_seconds"], 0)
            self.assertEqual([v["verdict"] for v in told["verdicts"]], ["pass", "drop", "steer", "answer", "ring", "taken", "lost"])
            self.assertEqual({r["name"]: r["packets"] for r in told["reasons"]}["icmp"], 2)
            self.assertIsNone(told["connections"])

    def test_batch_ends_by_a_signal(self):
        child = subprocess.Popen([str(lab.WEIR), "-n", self.server.netns, "top", "--batch", "--interval", "0.1"],
                                 stdout=subprocess.PIPE, text=True, preexec_fn=lab._die_with_parent)
        self.addCleanup(lambda: (child.kill(), child.wait(), child.stdout.close()))
        self.assertIn("weir top", child.stdout.readline())
        child.terminate()
        child.stdout.read()
        self.assertEqual(child.wait(timeout=10), 0)

    def test_a_name_that_commands_a_terminal_is_shown_and_not_obeyed(self):
        self.server.weir("detach", "veth0")
        self.server.run("ip", "link", "set", "veth0", "down")
        self.server.run("ip", "link", "set", "veth0", "name", "\033[2J\033[8mx", "up")
        self.server.weir("attach", "\033[2J\033[8mx")
        for argv in (("status",), ("stats",), ("top", "--interval", "0.1", "--count", 1), ("steer", "list"), ("filter", "list"), ("-j", "status"),
                     ("-j", "top", "--interval", "0.1", "--count", 1), ("doctor",)):
            with self.subTest(argv):
                self.assertNotIn("\033", self.server.weir(*argv, check=False).stdout)
        self.assertIn("?[2J?[8mx: attached", self.weir("status").stdout)
        self.assertEqual(json.loads(self.weir("-j", "status").stdout)["interfaces"][0]["interface"], "\033[2J\033[8mx")


if __name__ == "__main__":
    lab.main()
