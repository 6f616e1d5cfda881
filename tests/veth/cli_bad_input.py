# SPDX-License-Identifier: MIT
"""What cannot be done on a real interface: one clear line, exit status 1 (2 where it was mistyped), nothing half-done."""
import json
import pathlib
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))
import lab  # noqa: E402

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")


def dump(pin):
    return subprocess.run(["bpftool", "-j", "map", "dump", "pinned", str(pin)], capture_output=True, text=True, check=True).stdout


class BadInput(unittest.TestCase):
    def setUp(self):
        lab.need("ip", "nsenter", "bpftool", "setpriv")
        context = lab.Lab()
        self.lab = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.server, self.client = self.lab.pair()
        self.cookie = lab.netns_cookie(self.server.netns)

    def state(self):
        """All that a command could have left or changed: pins, what the maps of the configuration hold, the attachment,
        the run directory."""
        pins = sorted(str(p) for d in lab.PIN_ROOT.glob(f"{self.cookie}-*") for p in [d, *d.iterdir()])
        held = {p: dump(p) for p in pins if pathlib.Path(p).name in ("config", "steer", "steer_index", "filter", "local_addrs")}
        links = json.loads(self.server.run("ip", "-j", "link", "show").stdout)
        attached = {link["ifname"]: link.get("xdp", {}).get("prog", {}).get("id") for link in links}
        run = sorted(str(p) for p in lab.RUN_DIR.glob(f"{self.cookie}-*"))
        return pins, held, attached, run

    def refused(self, *argv, status=1, says=(), prefix=None):
        before = self.state()
        if prefix:
            done = self.server.run(*prefix, lab.WEIR, *argv, check=False)
        else:
            done = self.server.weir(*argv, check=False)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("weir: "), done.stderr)
        for word in says:
            self.assertIn(word, done.stderr)
        self.assertEqual(self.state(), before)

    EVERY = [("attach", "veth0"), ("detach", "veth0"), ("status", "veth0"), ("stats",), ("top", "--count", 1), ("metrics",), ("steer", "add", 80),
             ("steer", "del", 80), ("steer", "list"), ("filter", "add", "drop"), ("filter", "del", "r1"), ("filter", "list"),
             ("filter", "flush"), ("filter", "export"), ("filter", "confirm"), ("filter", "rollback"),
             ("set", "list"), ("set", "show", "ban"), ("set", "add", "ban"), ("set", "del", "ban"), ("set", "load", "ban", "/dev/null"),
             ("set", "flush", "ban"), ("set", "test", "ban", "10.0.0.1"), ("sockets",), ("run", "--interface", "veth0", "--", "true")]

    def test_an_unknown_interface(self):
        for argv in (("attach", "none0"), ("detach", "none0"), ("status", "none0"), ("stats", "none0"), ("top", "none0"), ("metrics", "none0"), ("sockets", "none0"),
                     ("steer", "add", 80, "dev", "none0"), ("steer", "del", 80, "dev", "none0"), ("steer", "list", "dev", "none0"),
                     ("filter", "add", "drop", "dev", "none0"), ("filter", "list", "dev", "none0"),
                     ("run", "--interface", "none0", "--", "true")):
            with self.subTest(argv):
                self.refused(*argv, says=("no interface named none0",))
        doctor = self.server.weir("doctor", "none0", check=False)
        self.assertEqual(doctor.returncode, 1)
        self.assertRegex(doctor.stdout, r"fail link .*none0")

    def test_an_unknown_namespace(self):
        done = subprocess.run([str(lab.WEIR), "-n", "weirt-none", "status"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1))
        self.assertIn("weirt-none", done.stderr)

    def test_an_empty_name_of_a_namespace(self):
        # What a script with an unset variable says: it must not act on the caller's own namespace.
        for argv in (("-n", "", "status"), ("--netns=", "status")):
            done = subprocess.run([str(lab.WEIR), *argv], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1))
            self.assertIn("is empty", done.stderr)

    def test_what_is_mistyped_changes_nothing(self):
        self.server.weir("attach", "veth0")
        for argv in (("steer", "add", 0), ("steer", "add", 65536), ("steer", "add", "90-80"), ("steer", "add", "nosuchservice"),
                     ("filter", "add", "drop", "from", "10.0.0.0/33"), ("filter", "add", "drop", "from", "10.0.0.1/8"),
                     ("filter", "add", "drop", "to", "fd00::/129"), ("filter", "add", "drop", "from", "somewhere")):
            with self.subTest(argv):
                self.refused(*argv, status=2)

    def test_nothing_is_attached(self):
        for argv in self.EVERY[1:]:
            with self.subTest(argv):
                advice = "weir status" if argv[0] == "detach" else "weir attach"
                self.refused(*argv, says=("not attached to veth0" if "veth0" in argv else "attached to no interface", advice))

    def test_a_second_attach(self):
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", 80)
        self.server.weir("filter", "add", "drop", "from", "192.0.2.1")
        self.refused("attach", "veth0", says=("already attached", "--replace"))
        self.refused("attach", "veth0", "--mode", "generic", says=("already attached",))
        self.refused("steer", "add", 80, says=("tcp 80 is steered already",))
        self.refused("steer", "del", 81, says=("81",))
        self.refused("steer", "del", 80, "from", "192.0.2.1", says=("'tcp 80 from 192.0.2.1' is not steered",))
        self.server.weir("steer", "add", "8000-8010")
        self.refused("steer", "add", "8005-8015", says=("overlaps 'tcp 8000-8010'", "weir steer del tcp 8000-8010"))
        self.refused("steer", "add", 81, "to", "192.0.2.1", "from", "::/0", says=("two families",))
        self.refused("filter", "del", "r99", says=("r99",))
        for words, says in ((("port", 1), "'from' is missing"), (("from", "10.0.0.0/8", "port", 1), "is a network"),
                            (("from", "10.0.0.1"), "'port' is missing"), (("from", "10.0.0.1", "port", "1-2"), "a packet has one port"),
                            (("from", "10.0.0.1", "to", "fd00::1", "port", 1), "famil"), (("hex", "00"), "a frame of 1 octets"),
                            (("from", "10.0.0.1", "port", 1, "length", 39), "40 is the least"), (("hex", "0g"), "hexadecimal"),
                            (("from", "10.0.0.1", "port", 1, "length", 9000), "the kernel takes 14 to 3400")):
            self.refused("filter", "test", *words, says=(says,))
        self.refused("filter", "confirm", says=("no change of the filter waits",))
        self.refused("filter", "rollback", says=("no change of the filter waits",))
        self.refused("filter", "apply", "/no/such/file", says=("/no/such/file",))
        self.refused("filter", "diff", "/", says=("is a directory",))
        self.refused("filter", "add", "drop", "from", "@ban", says=("there is not", "weir set add ban"))
        for argv in (("show", "ban"), ("add", "ban", "10.0.0.1"), ("del", "ban", "10.0.0.1"), ("del", "ban"), ("flush", "ban"),
                     ("test", "ban", "10.0.0.1")):
            self.refused("set", *argv, says=("there is no set ban", "weir set list"))
        self.refused("set", "load", "ban", "/no/such/file", says=("/no/such/file",))
        self.refused("set", "load", "ban", "/", says=("is a directory", "prefixes"))

    def test_another_xdp_program_is_named_and_left_alone(self):
        self.server.weir("attach", "veth0")
        pins = next(lab.PIN_ROOT.glob(f"{self.cookie}-*"))
        link = json.loads(subprocess.run(["bpftool", "-j", "link", "show", "pinned", str(pins / "link")], capture_output=True,
                                         text=True, check=True).stdout)
        # weir's own program serves as the stranger: attached by another hand, to another interface.
        self.lab.veth(self.server, self.client, "veth1", "veth1")
        self.server.run("bpftool", "net", "attach", "xdpgeneric", "id", link["prog_id"], "dev", "veth1")
        self.refused("attach", "veth1", says=("another XDP program", str(link["prog_id"]), "xdpgeneric off"))
        self.assertRegex(self.server.weir("doctor", "veth1", check=False).stdout, r"fail other xdp.*\n.*xdpgeneric off")

    def test_without_privileges(self):
        self.refused("attach", "veth0", prefix=NOBODY, says=("attach needs CAP_BPF, CAP_NET_ADMIN", "sudo"))
        self.server.weir("attach", "veth0")
        for argv in self.EVERY:
            with self.subTest(argv):
                self.refused(*argv, prefix=NOBODY, says=("root",))
        done = self.server.run(*NOBODY, lab.WEIR, "doctor", "veth0", check=False)
        self.assertRegex(done.stdout, r"warn capabilities .*CAP_BPF")
        self.assertNotIn("fail", done.stdout)

    def test_maps_of_another_abi_are_refused_by_name(self):
        self.server.weir("attach", "veth0")
        pins = next(lab.PIN_ROOT.glob(f"{self.cookie}-*"))
        entry = json.loads(dump(pins / "config"))[0]
        value = bytes(int(b, 16) for b in entry["value"])
        other = struct.unpack("=I", value[:4])[0] + 1000

        def write(version):
            changed = struct.pack("=I", version) + value[4:]
            subprocess.run(["bpftool", "map", "update", "pinned", str(pins / "config"), "key", "0", "0", "0", "0", "value",
                            *(str(b) for b in changed)], check=True)
        write(other)
        for argv in [*self.EVERY, ("attach", "veth0", "--replace")]:
            with self.subTest(argv):
                self.refused(*argv, says=(f"ABI {other}",))
        # Of all interfaces; on stdout there may be what tests that were killed have left in other namespaces.
        status = self.server.weir("status", check=False)
        self.assertEqual((status.returncode, len(status.stderr.splitlines())), (1, 1))
        self.assertIn(f"ABI {other}", status.stderr)
        doctor = self.server.weir("doctor", "veth0", check=False)
        self.assertEqual(doctor.returncode, 1)
        self.assertRegex(doctor.stdout, rf"fail weir .*ABI {other}")
        # The line it shows leads out.
        self.server.weir("detach", "--force", "veth0")
        self.assertEqual(self.state()[0], [])
        self.assertIsNone(self.state()[2]["veth0"])

    def test_an_attach_that_the_driver_refuses_leaves_nothing(self):
        # A veth whose peer sends on more queues than it receives on cannot run XDP natively.
        lab.ip("link", "add", "veth2", "netns", self.server.netns, "numrxqueues", "1", "numtxqueues", "1", "type", "veth",
               "peer", "name", "veth2", "netns", self.client.netns, "numtxqueues", "4", "numrxqueues", "4")
        self.client.run("ip", "link", "set", "veth2", "up")
        self.server.run("ip", "link", "set", "veth2", "up")
        self.client.run("ethtool", "-L", "veth2", "tx", "4")
        self.refused("attach", "veth2", "--mode", "native", says=("veth2",))
        self.refused("attach", "lo", says=("loopback",))

    def test_two_interfaces_want_a_name(self):
        self.lab.veth(self.server, self.client, "veth1", "veth1")
        self.server.weir("attach", "veth0")
        self.server.weir("attach", "veth1")
        for argv in (("stats",), ("sockets",), ("steer", "add", 80), ("filter", "flush")):
            with self.subTest(argv):
                self.refused(*argv, says=("veth0, veth1",))


if __name__ == "__main__":
    lab.main()
