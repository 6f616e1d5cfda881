# SPDX-License-Identifier: MIT
"""Writers that collide, that are killed wherever they are, and maps that somebody else has changed: what is in force is whole,
and the tool says what is the matter."""
import ctypes
import json
import mmap
import os
import pathlib
import platform
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))
import lab  # noqa: E402

PTRACE_TRACEME, PTRACE_SYSCALL = 0, 24
FLOCK = {"x86_64": 73, "aarch64": 32}.get(platform.machine())
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def run_until(argv, last):
    """Runs the command and kills it when it stops for the `last`-th time at the begin or the end of a system call, counted
    from where it takes the writers' lock: what it changes, it changes between two such stops. False: it ended before that."""
    child = os.fork()
    if child == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        _libc.prctl(1, signal.SIGKILL)
        _libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.execv(argv[0], argv)
    try:
        seen = -1  # before the lock
        while True:
            _, status = os.waitpid(child, 0)
            if not os.WIFSTOPPED(status):
                child = 0
                return False
            if seen >= 0:
                seen += 1
            elif pathlib.Path(f"/proc/{child}/syscall").read_text().split()[0] == str(FLOCK):
                seen = 0
            if seen == last:
                return True
            number = os.WSTOPSIG(status)
            _libc.ptrace(PTRACE_SYSCALL, child, None, None if number == signal.SIGTRAP else number)
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def overwrite(number):
    """The first page of a map that can be mapped, by its identifier: too many octets for bpftool's command line."""
    system_call = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    attributes = ctypes.create_string_buffer(struct.pack("=III", number, 0, 0), 128)
    fd = ctypes.CDLL(None).syscall(system_call, 14, attributes, len(attributes))  # BPF_MAP_GET_FD_BY_ID
    if fd < 0:
        raise OSError(f"no map {number}")
    with mmap.mmap(fd, mmap.PAGESIZE) as memory:
        memory[:] = b"\xff" * mmap.PAGESIZE
    os.close(fd)


class Robust(unittest.TestCase):
    def setUp(self):
        lab.need("ip", "nsenter", "ping", "bpftool")
        context = lab.Lab()
        self.lab = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.server, self.client = self.lab.pair()
        self.server.weir("attach", "veth0")
        self.pins = next(lab.PIN_ROOT.glob(f"{lab.netns_cookie(self.server.netns)}-*"))

    def json(self, *argv):
        return json.loads(self.server.weir("-j", *argv).stdout)

    def names(self):
        return [r["name"] for r in self.json("filter", "list")["rules"]]

    def file(self, name, rules, more=""):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = pathlib.Path(directory.name) / "rules"
        path.write_text("".join(f"rule {name}{i} accept proto tcp port {i + 1}\n" for i in range(rules)) + more)
        return str(path)

    def command(self, *argv):
        return [str(lab.WEIR), "-n", self.server.netns, *map(str, argv)]

    def pings(self):
        return self.client.run("ping", "-c", 1, "-W", "0.5", "10.77.0.1", check=False).returncode == 0

    def bpftool(self, *argv):
        return subprocess.run(["bpftool", "-j", "map", *map(str, argv)], check=True, capture_output=True, text=True).stdout

    def killed_everywhere(self, argv, check, reset=None, step=1):
        """`check` after the command was killed at each place; then once more, so that nothing it left stands in the way."""
        if FLOCK is None:
            self.skipTest("the number of flock is not known on this machine")
        last = 0
        while run_until(self.command(*argv), last):
            check(last)
            if reset:
                reset()
            last += step
        self.assertGreater(last, 0)
        return last

    def test_a_filter_killed_at_any_system_call_is_the_old_or_the_new_one(self):
        whole = {n: [f"{n}{i}" for i in range(8)] for n in "ab"}
        files = {n: self.file(n, 8) for n in "abc"}
        seen = set()

        def before():
            # The slot that the new one goes to has yet another in it, which must not come back.
            self.server.weir("filter", "apply", files["c"])
            self.server.weir("filter", "apply", files["a"])

        def check(place):
            found = self.names()
            self.assertIn(found, whole.values(), place)
            seen.add(found[0][0])

        before()
        self.killed_everywhere(("filter", "apply", files["b"]), check, before)
        self.assertEqual(seen, {"a", "b"})
        self.assertTrue(self.pings())
        self.assertEqual(self.names(), whole["b"])

    def test_a_trial_killed_at_any_system_call_is_whole_too(self):
        everything = self.file("keep", 3, "rule everything drop proto 99\n")
        self.server.weir("filter", "add", "name", "old", "accept")

        def check(place):
            pending = self.json("status", "veth0")["interfaces"][0]["filter_confirm_seconds"] is not None
            self.assertEqual(self.names(), ["keep0", "keep1", "keep2", "everything"] if pending else ["old"], place)
            if pending:
                self.server.weir("filter", "rollback")
            self.assertEqual(self.names(), ["old"])

        self.killed_everywhere(("filter", "apply", everything, "--confirm", "1h"), check)
        self.server.weir("filter", "rollback")

    def test_steering_and_guards_killed_at_any_system_call(self):
        def check(place):
            told = self.server.weir("-j", "steer", "add", 8080, check=False)
            self.assertTrue(told.returncode == 0 or "is steered already" in told.stderr, (place, told.stderr))
            self.assertEqual([e["port"] for e in self.json("steer", "list")["steer"]], [8080], place)
            self.server.weir("steer", "del", 8080)
            self.assertEqual(self.json("steer", "list")["steer"], [], place)

        self.killed_everywhere(("steer", "add", 8080), check)
        self.server.weir("steer", "del", 8080)

        def deleted(place):
            left = [e["port"] for e in self.json("steer", "list")["steer"]]
            self.assertIn(left, ([], [8080]), place)
            if left:
                self.server.weir("steer", "del", 8080)

        self.server.weir("steer", "add", 8080)
        self.killed_everywhere(("steer", "del", 8080), deleted, lambda: self.server.weir("steer", "add", 8080))

        def guarded(place):
            self.assertIn([g["remote"] for g in self.json("guard", "list")["guarded"]], ([], ["10.77.0.2"]), place)
            self.server.weir("guard", "add", "10.77.0.2")
            self.server.weir("guard", "del", "10.77.0.2")

        self.killed_everywhere(("guard", "add", "10.77.0.2"), guarded)

    def test_an_attach_killed_at_any_system_call_leaves_the_next_one_its_way(self):
        self.server.weir("detach", "veth0")

        def check(place):
            told = self.server.weir("attach", "veth0", check=False)
            self.assertTrue(told.returncode == 0 or "already attached" in told.stderr, (place, told.stderr))
            self.assertTrue(self.json("status", "veth0")["interfaces"][0]["attached"], place)

        # Loading takes most of the calls, and changes nothing that others see.
        self.killed_everywhere(("attach", "veth0"), check, lambda: self.server.weir("detach", "veth0"), step=7)
        self.assertTrue(self.pings())

    def test_writers_that_collide_leave_one_of_their_filters_whole(self):
        whole = {n: [f"{n}{i}" for i in range(200)] for n in "abc"}
        files = {n: self.file(n, 200) for n in whole}
        self.server.weir("filter", "apply", files["a"])
        loops = [subprocess.Popen(["sh", "-ec", f"for i in 1 2 3 4 5 6 7 8 9 10; do {' '.join(self.command('filter', 'apply', path))}; done"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for path in files.values()]
        for loop in loops:
            self.addCleanup(loop.stderr.close)
            self.addCleanup(loop.kill)
        seen = 0
        while any(loop.poll() is None for loop in loops):
            self.assertIn(self.names(), whole.values())
            seen += 1
        self.assertGreater(seen, 0)
        for loop in loops:
            self.assertEqual(loop.wait(), 0, loop.stderr.read())
        self.assertIn(self.names(), whole.values())

    def generations(self):
        """The identifiers of the maps that are in the filter's slots."""
        slots = (subprocess.run(["bpftool", "-j", "map", "lookup", "pinned", str(self.pins / "filter"), "key", str(slot), "0", "0", "0"],
                                check=False, capture_output=True, text=True).stdout for slot in (0, 1))
        return [int.from_bytes(bytes(int(b, 16) for b in json.loads(text)["value"]), sys.byteorder)
                for text in slots if text.strip() not in ("", "null")]

    def test_rules_that_somebody_else_has_overwritten(self):
        rules = self.file("r", 5, "rule everything drop proto 99\n")
        for mend in (("filter", "flush"), ("filter", "apply", rules)):
            with self.subTest(mend):
                self.server.weir("filter", "flush")
                self.server.weir("filter", "apply", rules)
                for number in self.generations():
                    overwrite(number)
                for argv in (("filter", "list"), ("filter", "export"), ("filter", "diff", rules), ("filter", "del", "r1"),
                             ("filter", "add", "drop", "proto", "98"), ("filter", "test", "from", "10.77.0.2", "port", 1)):
                    done = self.server.weir(*argv, check=False)
                    self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done)
                    self.assertRegex(done.stderr, r"the filter's map does not hold together: .*weir filter apply.*weir filter flush")
                self.assertTrue(self.pings(), "frames are judged by no rule, and go on")
                self.server.weir(*mend)
                self.assertEqual(len(self.names()), 0 if mend[1] == "flush" else 6)
                self.assertTrue(self.pings())

    def test_other_maps_that_somebody_else_has_changed(self):
        # An index that leads nowhere, and one that leads to another port's entry.
        self.server.weir("steer", "add", 8080)
        for port, index in ((81, 5000), (82, 0)):
            self.bpftool("update", "pinned", self.pins / "steer_index", "key", 6, 0, port >> 8, port & 255, "value",
                         *index.to_bytes(4, "little"))
            done = self.server.weir("steer", "del", port, check=False)
            self.assertEqual((done.returncode, f"'tcp {port}' is not steered" in done.stderr), (1, True), done)
            self.assertEqual([e["port"] for e in self.json("steer", "list")["steer"]], [8080])
            self.server.weir("steer", "add", port)
            self.server.weir("steer", "del", port)
        # Guards that the flag says there are none of.
        self.server.weir("guard", "add", "10.77.0.2")
        config = [int(b, 16) for b in json.loads(self.bpftool("dump", "pinned", self.pins / "config"))[0]["value"]]
        config[4] &= ~8
        self.bpftool("update", "pinned", self.pins / "config", "key", 0, 0, 0, 0, "value", *config)
        self.assertIn("not in force", self.server.weir("status").stdout)
        self.server.weir("guard", "add", "10.77.0.2")
        self.assertNotIn("not in force", self.server.weir("status").stdout)
        # The slot of the filter taken away: no rules, and that is what is told.
        self.server.weir("filter", "add", "drop")
        self.assertFalse(self.pings())
        for slot in (0, 1):
            subprocess.run(["bpftool", "map", "delete", "pinned", str(self.pins / "filter"), "key", str(slot), "0", "0", "0"],
                           check=False, capture_output=True)
        self.assertEqual(self.names(), [])
        self.assertTrue(self.pings())
        self.server.weir("filter", "add", "drop", "proto", "99")
        self.assertEqual(len(self.names()), 1)

    def test_what_is_full_is_told_and_nothing_is_changed(self):
        full = self.file("r", 4096)
        self.server.weir("filter", "apply", full)
        for argv in (("filter", "add", "drop", "proto", "99"), ("filter", "apply", self.file("s", 4097))):
            done = self.server.weir(*argv, check=False)
            self.assertEqual((done.returncode, "4096 rules" in done.stderr), (1, True), done.stderr)
        self.assertEqual(len(self.names()), 4096)
        self.assertTrue(self.pings())


if __name__ == "__main__":
    lab.main()
