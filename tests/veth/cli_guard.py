# SPDX-License-Identifier: MIT
"""Nobody is locked out: the SSH session that a command is typed in stays, whatever the command does."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))
import lab  # noqa: E402

# Plays sshd: a listener, and for each connection a process that keeps the socket, under which what the connection asks for
# is run: a line of JSON (argv, environment) for each, answered by another. Its name is what makes it an sshd.
SSHD = r"""
import ctypes, json, os, socket, subprocess, sys
ctypes.CDLL(None).prctl(15, b"sshd", 0, 0, 0)
listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    if os.fork():
        connection.close()
        continue
    listener.close()
    lines = connection.makefile("rw")
    for line in lines:
        asked = json.loads(line)
        done = subprocess.run(asked["argv"], env=asked["env"], text=True, capture_output=True) if asked["argv"] else None
        print(json.dumps([done.returncode, done.stdout, done.stderr] if done else "here"), file=lines, flush=True)
    os._exit(0)
"""
SSH_PORT = 22
WEB_PORT = 8000


class Session:
    """A connection to the played sshd."""

    def __init__(self, host, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = host.socket(family)
        self.socket.settimeout(20)
        self.socket.connect((address, SSH_PORT))
        self.lines = self.socket.makefile("rw")
        self.port = self.socket.getsockname()[1]

    def ask(self, argv, env=None):
        print(json.dumps({"argv": [str(a) for a in argv], "env": env or {}}), file=self.lines, flush=True)
        return json.loads(self.lines.readline())

    def alive(self):
        return self.ask([]) == "here"

    def weir(self, *argv, status=0, env=None):
        code, out, err = self.ask([lab.WEIR, *argv], env)
        assert code == status, (argv, code, out, err)
        return out, err

    def close(self):
        self.lines.close()
        self.socket.close()


class Guard(unittest.TestCase):
    def setUp(self):
        lab.need("ip", "nsenter", "ping")
        context = lab.Lab()
        self.lab = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.server, self.client = self.lab.pair()
        sshd = self.server.popen(sys.executable, "-c", SSHD, SSH_PORT)
        self.assertEqual(sshd.stdout.readline(), "ready\n")
        self.web = self.server.socket()
        self.web.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.web.bind(("10.77.0.1", WEB_PORT))
        self.web.listen()
        self.addCleanup(self.web.close)

    def session(self, address="10.77.0.1"):
        session = Session(self.client, address)
        self.addCleanup(session.close)
        return session

    def pings(self):
        return self.client.run("ping", "-c", 1, "-W", "0.3", "10.77.0.1", check=False).returncode == 0

    def connects(self, port):
        with contextlib.closing(self.client.socket()) as s:
            s.settimeout(0.4)
            return s.connect_ex(("10.77.0.1", port)) == 0

    def status(self):
        return json.loads(self.server.weir("-j", "status", "veth0").stdout)["interfaces"][0]

    def file(self, text):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = pathlib.Path(directory.name) / "rules"
        path.write_text(text)
        return str(path)

    def test_drop_everything_spares_the_session_and_is_taken_back_with_nobody_left(self):
        for address, remote in (("10.77.0.1", "10.77.0.2"), ("fd77::1", "[fd77::2]")):
            with self.subTest(address):
                session = self.session(address)
                line = f"guard: your SSH session {remote}:{session.port} -> {SSH_PORT} stays with the kernel\n"
                # Without an environment, as sudo leaves it.
                _, err = session.weir("attach", "veth0")
                self.assertEqual(err, line)
                session.weir("filter", "add", "name", "keep", "accept", "proto", "icmp")
                self.assertTrue(self.pings() and self.connects(WEB_PORT))
                # The command cannot say that it is done, and is killed: its pipe is full.
                full, pipe = os.pipe()
                os.set_blocking(pipe, False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(pipe, bytes(4096))
                os.set_blocking(pipe, True)
                rules = self.file("rule everything drop\n")
                child = subprocess.Popen([str(lab.WEIR), "-n", self.server.netns, "filter", "apply", rules, "--confirm", "5s"],
                                         stdout=pipe)
                self.addCleanup(child.wait)
                self.addCleanup(child.kill)
                lab.wait_until(lambda: not self.pings(), "the rules")
                self.assertIsNone(child.poll())
                child.send_signal(signal.SIGKILL)
                child.wait()
                os.close(full)
                os.close(pipe)
                self.assertFalse(self.connects(WEB_PORT))
                self.assertTrue(session.alive())
                another = self.session(address)
                self.assertTrue(another.alive())
                told, _ = session.weir("-j", "filter", "test", "from", remote.strip("[]"), "port", SSH_PORT)
                self.assertEqual(json.loads(told)["reason"], "guard")
                self.assertFalse(self.pings(), "the trial was over before all was looked at")
                lab.wait_until(self.pings, "the rules from before")
                self.assertTrue(self.connects(WEB_PORT))
                self.assertTrue(self.status()["filter_rolled_back"])
                self.assertTrue(session.alive() and another.alive())
                self.server.weir("detach", "veth0")

    def test_each_command_guards_the_session_it_is_typed_in(self):
        self.server.weir("attach", "veth0")
        self.assertEqual(self.status()["guarded"], [])
        session = self.session()
        rules = self.file("rule everything drop\n")
        commands = [["attach", "veth0", "--replace"], ["filter", "add", "name", "other", "accept", "proto", "47"],
                    ["filter", "apply", rules, "--dry-run"], ["filter", "apply", rules], ["steer", "add", "8080"]]
        for command in commands:
            with self.subTest(command):
                self.server.weir("guard", "del", "10.77.0.2", check=False)
                out, err = session.weir("-j", *command)
                if "--dry-run" in command:
                    self.assertEqual((err, self.status()["guarded"]), ("", []))
                    continue
                self.assertEqual(err, f"guard: your SSH session 10.77.0.2:{session.port} -> 22 stays with the kernel\n")
                self.assertEqual(json.loads(out)["guard"],
                                 [{"remote": "10.77.0.2", "remote_port": session.port, "port": 22, "found": "ancestor"}])
                self.assertEqual([(g["remote"], g["port"], g["remote_port"]) for g in self.status()["guarded"]],
                                 [("10.77.0.2", 22, session.port)])
                self.server.weir("guard", "del", "10.77.0.2")
                if command[0] == "steer":
                    self.server.weir("steer", "del", "8080")
                if command[0] == "filter":
                    self.server.weir("filter", "flush")
                _, err = session.weir(*command, "--no-guard")
                self.assertEqual((err, self.status()["guarded"]), ("", []))
                self.server.weir("filter", "flush")
        # Guarded once, it stays so over commands that are typed elsewhere.
        session.weir("filter", "add", "name", "other", "accept", "proto", "47")
        self.server.weir("filter", "apply", rules)
        self.assertTrue(session.alive())
        self.assertIn("guard       SSH, never filtered: 10.77.0.2 -> port 22", self.server.weir("status").stdout)
        self.assertGreater(self.status()["guarded"][0]["heard_seconds_ago"], -1)
        counted = {r["name"]: r["packets"] for r in json.loads(self.server.weir("-j", "stats").stdout)["reasons"]}
        self.assertGreater(counted["guard"], 0)

    def test_the_port_of_sshd_is_not_steered(self):
        self.server.weir("attach", "veth0")
        session = self.session()
        _, err = session.weir("steer", "add", SSH_PORT, status=1)
        self.assertIn("tcp 22 is the port of sshd, by the guarded session of 10.77.0.2: --no-guard", err)
        self.assertEqual(self.status()["steer"], [])
        # Somebody at the console is told likewise.
        done = self.server.weir("steer", "add", SSH_PORT, check=False)
        self.assertEqual((done.returncode, "10.77.0.2" in done.stderr), (1, True))
        session.weir("steer", "add", SSH_PORT, "absent", "drop", "--no-guard")
        self.assertTrue(session.alive(), "guarded by the command before")
        self.assertTrue(self.session().alive())

    def test_the_environment_where_no_socket_tells(self):
        self.server.weir("attach", "veth0")
        environment = dict(os.environ, SSH_CONNECTION="10.77.0.9 50022 10.77.0.1 2222")
        done = self.server.weir("filter", "add", "drop", "proto", "47", env=environment)
        self.assertEqual(done.stderr, "guard: your SSH session 10.77.0.9:50022 -> 2222 stays with the kernel\n")
        # That of another namespace's sshd is none of this interface.
        environment = dict(os.environ, SSH_CONNECTION="10.77.0.9 50022 10.78.0.1 22")
        self.assertEqual(self.server.weir("filter", "add", "drop", "proto", "48", env=environment).stderr, "")
        self.assertEqual([g["port"] for g in self.status()["guarded"]], [2222])

    def test_what_is_typed_is_guarded_and_bounded(self):
        self.server.weir("attach", "veth0")
        self.assertIn("no SSH session is guarded", self.server.weir("guard").stdout)
        self.server.weir("guard", "add", "10.77.0.2", "port", WEB_PORT)
        self.server.weir("filter", "add", "drop")
        self.assertTrue(self.connects(WEB_PORT))
        self.assertFalse(self.pings())
        for i in range(70):
            if i == 40:
                self.assertTrue(self.connects(WEB_PORT))
            self.server.weir("guard", "add", f"fd77::{i:x}")
        listed = json.loads(self.server.weir("-j", "guard", "list").stdout)["guarded"]
        self.assertEqual(len(listed), 64)
        self.assertIn("fd77::45", [g["remote"] for g in listed])
        # Those that were heard of longest ago went; to be put counts.
        self.assertIn("10.77.0.2", [g["remote"] for g in listed])
        self.assertTrue(self.connects(WEB_PORT))
        self.assertRegex(self.server.weir("guard", "list").stdout, r"(?m)^veth0  10\.77\.0\.2 +8000  typed +[\d.]+ s +[\d.]+ s ago$")
        self.server.weir("guard", "del", "10.77.0.2", "port", WEB_PORT)
        self.assertFalse(self.connects(WEB_PORT))
        for argv, says in ((("del", "10.77.0.2"), "no session of 10.77.0.2 is guarded"), (("add", "x"), "is not an address")):
            done = self.server.weir("guard", *argv, check=False)
            self.assertEqual((done.returncode, says in done.stderr), (1, True), done.stderr)


if __name__ == "__main__":
    lab.main()
