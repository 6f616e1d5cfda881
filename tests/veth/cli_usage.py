# SPDX-License-Identifier: MIT
"""What is typed: grammar, help, messages, exit status, completion. Needs no root and changes nothing."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))
import lab  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def weir(*argv, **kw):
    return subprocess.run([str(lab.WEIR), *map(str, argv)], text=True, capture_output=True, check=False, timeout=30, **kw)


def commands():
    """Every command that the overview names."""
    lines = weir("help").stdout.split("\n\n")[1].splitlines()
    return [re.split(r"\s{2,}", line.strip())[0].split() for line in lines]


class Usage(unittest.TestCase):
    def assertOneLine(self, done, status, *expected):
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("weir: "), lines[0])
        for pattern in expected:
            self.assertRegex(lines[0], pattern)

    def test_what_is_not_understood_is_one_line_and_exit_2(self):
        cases = [
            (["stattus"], "'stattus'.*did you mean 'status'"),
            (["frobnicate"], "'frobnicate'.*weir help"),
            (["steer", "ad", 80], "did you mean 'add'"),
            (["steer", "frobnicate"], "weir steer help"),
            (["filter", "lst"], "did you mean 'list'"),
            (["help", "stattus"], "did you mean 'status'"),
            (["help", "steer", "lisst"], "did you mean 'list'"),
            (["attach"], "IFACE is missing"),
            (["attach", "eth0", "eth1"], "'eth1'"),
            (["attach", "eth0", "--mod", "native"], "did you mean '--mode'"),
            (["attach", "eth0", "--mode"], "--mode needs auto.native.generic"),
            (["attach", "eth0", "--mode", "fast"], "auto.native.generic, not 'fast'"),
            (["attach", "eth0", "--checksum=maybe"], "auto.verify.partial, not 'maybe'"),
            (["attach", "eth0", "--force"], "'--force'"),
            (["attach", "eth0", "--replace=yes"], "--replace takes no value"),
            (["attach", "eth0", "--replace", "--replace"], "--replace is given twice"),
            (["attach", "an-interface-name-too-long"], "not an interface name"),
            (["attach", "a/b"], "not an interface name"),
            (["steer", "add"], "PORT is missing"),
            (["steer", "add", 0], "out of range: 1-65535"),
            (["steer", "add", 65536], "65536 is out of range: 1-65535"),
            (["steer", "add", 99999999999999], "out of range"),
            (["steer", "add", "90-80"], "ends before it begins: 80-90"),
            (["steer", "add", "80-"], "'' is neither a port"),
            (["steer", "add", "80-65536"], "out of range: 1-65535"),
            (["steer", "add", "80,90"], "'80,90' is neither a port"),
            (["steer", "add", 80, "from", "10.0.0.1/8"], "10.0.0.0/8"),
            (["steer", "add", 80, "to"], "'to' needs PREFIX"),
            (["steer", "add", 80, "app", "a b"], "no name of an application"),
            (["steer", "add", 80, "app", "sixteen-letters."], "1 to 15 letters"),
            (["run", "--app", "-x", "--", "true"], "no name of an application"),
            (["steer", "add", "no-such-service"], "neither a port"),
            (["steer", "add", 80, "absent", "refuse"], "absent is pass.drop, not 'refuse'"),
            (["steer", "add", 80, "dev"], "'dev' needs IFACE"),
            (["steer", "add", 80, "on", "eth0"], "unknown word 'on'"),
            (["steer", "del", 80, "--mow"], "did you mean '--now'"),
            (["syn-guard", "maybe"], "unknown word 'maybe'"),
            (["syn-guard", "auto", "rate", "x"], "'x' is not a number"),
            (["filter", "add"], "drop.pass.accept is missing"),
            (["filter", "add", "reject"], "unknown word 'reject'"),
            (["filter", "add", "drop", "accept"], "given twice"),
            (["filter", "add", "drop", "from", "10.0.0"], "'10.0.0'"),
            (["filter", "add", "drop", "from", "10.0.0.0/33"], "0 to 32"),
            (["filter", "add", "drop", "from", "10.0.0.1/8"], "10.0.0.0/8"),
            (["filter", "add", "drop", "to", "fd00::/129"], "0 to 128"),
            (["filter", "add", "drop", "to", "fd00::g"], "'fd00::g'"),
            (["filter", "add", "drop", "from", "::ffff:10.0.0.1"], "IPv4"),
            (["filter", "add", "drop", "proto", "tpc"], "'tpc'"),
            (["filter", "add", "drop", "proto", 256], "'256'"),
            (["filter", "add", "drop", "proto", "tcp", "port", "9-8"], "8-9"),
            (["filter", "add", "drop", "proto", "tcp", "port", "65536"], "'65536'"),
            (["filter", "add", "drop", "index", "first"], "'first' is not a number"),
            (["filter", "add", "drop", "frm", "10.0.0.1"], "did you mean 'from'"),
            (["filter", "apply"], "FILE is missing"),
            (["filter", "apply", "rules", "--confirm", "soon"], "'soon' is not a time: write 60s"),
            (["filter", "apply", "rules", "--confirm", "25h"], "24h at the most"),
            (["filter", "apply", "rules", "--confirm"], "--confirm needs TIME"),
            (["filter", "del"], "NAME is missing"),
            (["filter", "del", "a/b"], "'a/b' is not a name"),
            (["filter", "add", "drop", "name", "-x"], "'-x' is not a name"),
            (["filter", "add", "drop", "flags", "Q"], "'Q' are not TCP flags"),
            (["filter", "add", "drop", "vlan", "4096"], "0 to 4095"),
            (["filter", "add", "accept", "limit", "fast"], "'fast' is not a rate"),
            (["filter", "add", "accept", "per", "host"], "rule|source"),
            (["filter", "add", "drop", "from", "@a/b"], "'@a/b' names no set"),
            (["set", "ad"], "did you mean 'add'"),
            (["set", "show"], "SET is missing"),
            (["set", "add", "a/b"], "'a/b' is not a name"),
            (["set", "add", "ban", "10.0.0.1/8"], "10.0.0.0/8"),
            (["set", "add", "ban", "10.0.0.9-10.0.0.1"], "is an empty range"),
            (["set", "add", "ban", "10.0.0.1", "ttl", "soon"], "'soon' is not a time to live: write 60s"),
            (["set", "load", "ban"], "FILE is missing"),
            (["set", "test", "ban"], "ADDRESS is missing"),
            (["set", "test", "ban", "host"], "'host' is not a prefix"),
            (["stats", "--watch=0"], "interval"),
            (["stats", "--watch=soon"], "interval"),
            (["top", "--interval", "0"], "interval"),
            (["top", "--view", "all"], "overview.reasons.*not 'all'"),
            (["top", "--count", "few"], "'few' is not a number"),
            (["run"], "command is missing"),
            (["run", "--"], "command is missing"),
            (["run", "--user", "nobody", "true"], "'true'"),
            (["completion", "tcsh"], "'tcsh'"),
            (["status", "-n"], "-n needs NETNS"),
        ]
        for argv, expected in cases:
            with self.subTest(argv):
                self.assertOneLine(weir(*argv), 2, expected)

    def test_no_message_commands_a_terminal(self):
        for octets in (b"\x1b[31mred", b"\xc2\x9b31mred", b"\x9b31mred", b"\x7f\x08\xff\xfe"):
            done = subprocess.run([str(lab.WEIR), b"set", b"test", b"x", octets], capture_output=True, check=False, timeout=30)
            self.assertEqual(done.returncode, 2)
            said = done.stderr.decode("utf-8")
            self.assertTrue(all(c.isprintable() or c == "\n" for c in said), said)

    def test_a_command_that_contradicts_itself_is_refused_before_anything_is_opened(self):
        cases = [
            (["steer", "add", "udp", 53], "TCP only"),
            (["filter", "add", "drop", "port", 80], "proto"),
            (["filter", "add", "drop", "limit", "1/s"], "a drop has no limit"),
            (["filter", "add", "accept", "burst", "5"], "limit RATE before"),
            (["set", "add", "ban", "ttl", "5m"], "ttl is of an entry"),
            (["filter", "add", "drop", "from", "10.0.0.1", "to", "fd00::1"], "famil"),
            (["filter", "test", "hex", "00", "from", "10.0.0.1"], "hex and 'from' exclude"),
            (["filter", "test", "hex", "00", "pcap", "f"], "hex and pcap exclude"),
            (["filter", "test", "from", "10.0.0.1", "port", 1, "dport", 2], "the same"),
        ]
        for argv, expected in cases:
            with self.subTest(argv):
                self.assertOneLine(weir(*argv), 1, expected)

    def test_nothing_typed_is_a_line_for_each_object_on_stderr(self):
        done = weir()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("Usage: weir", done.stderr)
        lines = done.stderr.split("\n\n")[1].splitlines()
        self.assertEqual([line.split()[0] for line in lines], list(dict.fromkeys(c[0] for c in commands())))
        self.assertRegex(done.stderr, r"(?m)^  steer +add\|del\|list$")

    def test_the_grammar_as_json(self):
        told = json.loads(weir("-j", "help").stdout)
        self.assertEqual([[w for w in (c["object"], c["verb"]) if w] for c in told["commands"]], commands())
        for command in told["commands"]:
            name = " ".join(w for w in (command["object"], command["verb"]) if w)
            self.assertIn(f"weir {name} {command['grammar']}".rstrip() + "\n", weir("help", *name.split()).stdout.replace(" \n", "\n"))
        attach = {a["name"]: a for a in told["commands"][0]["arguments"]}
        self.assertTrue(attach["IFACE"]["required"])
        self.assertEqual((attach["--mode"]["shape"], attach["--mode"]["metavar"]), ("option", "auto|native|generic"))
        self.assertEqual([o["name"] for o in told["options"]], ["--netns", "--json", "--help", "--version"])

    def test_help_of_each_command_by_each_way(self):
        self.assertGreaterEqual(len(commands()), 14)
        for command in commands():
            with self.subTest(command):
                ways = [weir("help", *command), weir(*command, "help"), weir(*command, "-h"), weir("--help", *command)]
                for done in ways:
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertEqual(done.stdout, ways[0].stdout)
                self.assertTrue(ways[0].stdout.startswith(f"Usage: weir {' '.join(command)}"))
                self.assertIn("Example: weir", ways[0].stdout) if len(command) else None
        self.assertIn("weir steer add", weir("steer", "help").stdout)
        self.assertEqual(weir("help").stdout, weir("-h").stdout)

    def test_version_and_abi(self):
        abi = re.search(r"#define WEIR_ABI_VERSION (\d+)", (ROOT / "common/abi.h").read_text())[1]
        self.assertRegex(weir("-V").stdout, rf"^weir \d+\.\d+\.\d+, map ABI {abi}\n$")
        self.assertEqual(json.loads(weir("--version", "-j").stdout)["abi"], int(abi))

    def test_global_options_stand_before_or_after(self):
        for argv in (["-n", "no-such-netns", "status"], ["status", "-n", "no-such-netns"], ["status", "--netns=no-such-netns"]):
            with self.subTest(argv):
                self.assertOneLine(weir(*argv), 1, "no-such-netns")

    def test_a_full_disk_is_not_success(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([str(lab.WEIR), "help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left", done.stderr)


class Completion(unittest.TestCase):
    def candidates(self, *words):
        done = weir("__complete", *words)
        self.assertEqual(done.returncode, 0)
        return done.stdout.split()

    def test_candidates_come_from_the_grammar(self):
        self.assertEqual(self.candidates("sta"), ["status", "stats"])
        self.assertEqual(self.candidates("steer", ""), ["add", "del", "list"])
        self.assertEqual(self.candidates("-j", "steer", "d"), ["del"])
        self.assertIn("lo", self.candidates("attach", ""))
        self.assertIn("--mode", self.candidates("attach", "lo", "--"))
        self.assertNotIn("--mode", self.candidates("attach", "lo", "--mode", "native", "--"))
        self.assertEqual(self.candidates("attach", "lo", "--mode", ""), ["auto", "native", "generic"])
        self.assertEqual(self.candidates("steer", "add", "tcp", "80", "d"), ["dev"])
        self.assertIn("lo", self.candidates("steer", "add", "tcp", "80", "dev", ""))
        self.assertEqual(self.candidates("filter", "add", "a"), ["accept"])
        self.assertEqual(self.candidates("filter", "add", "drop", "proto", "t"), ["tcp"])
        self.assertEqual(self.candidates("frobnicate", ""), [])
        self.assertEqual(self.candidates("run", "--u"), ["--user"])
        self.assertEqual(self.candidates("help", "fil"), ["filter"])
        self.assertEqual(self.candidates("set", "l"), ["list", "load"])

    def test_namespaces(self):
        names = sorted(p.name for p in lab.NETNS_DIR.iterdir()) if lab.NETNS_DIR.is_dir() else []
        offered = self.candidates("-n", "")
        # Others make and remove namespaces while this runs.
        self.assertTrue(not names or set(names) & set(offered) or not offered)

    def test_the_scripts_that_are_printed_are_those_that_are_installed(self):
        for shell, name in (("bash", "weir.bash"), ("zsh", "_weir"), ("fish", "weir.fish")):
            self.assertEqual(weir("completion", shell).stdout, (ROOT / "cli/completions" / name).read_text())

    @unittest.skipUnless(shutil.which("bash"), "needs bash")
    def test_bash_completes(self):
        def reply(*words):
            script = (f"PATH={lab.WEIR.parent}:$PATH; source <(weir completion bash); COMP_WORDS=(\"$@\"); "
                      "COMP_CWORD=$(($# - 1)); _weir; printf '%s\\n' \"${COMPREPLY[@]}\"")
            done = subprocess.run(["bash", "-c", script, "bash", *words], text=True, capture_output=True, check=True)
            return done.stdout.split()
        self.assertEqual(reply("weir", "steer", ""), ["add", "del", "list"])
        self.assertEqual(reply("weir", "att"), ["attach"])
        self.assertIn("true", reply("weir", "run", "--", "tru"))


class Manual(unittest.TestCase):
    page = ROOT / "cli/man/weir.8"

    def test_every_word_of_the_grammar_is_in_the_manual(self):
        text = self.page.read_text().replace("\\-", "-")
        for command in commands():
            usage = weir("help", *command).stdout
            for word in set(re.findall(r"--[a-z-]+", usage)) | {" ".join(command)}:
                with self.subTest(command=command, word=word):
                    self.assertIn(word, text)

    @unittest.skipUnless(shutil.which("groff"), "needs groff")
    def test_it_is_sound_roff(self):
        done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", str(self.page)], text=True, capture_output=True,
                              check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    lab.main()
