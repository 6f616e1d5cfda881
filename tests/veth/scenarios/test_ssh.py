# SPDX-License-Identifier: MIT
"""Nobody is locked out, with OpenSSH itself: commands typed in a real session, through sudo, tmux and screen."""
import contextlib
import os
import pathlib
import pty
import re
import subprocess
import tempfile

import story
from story import V4, V6, lab

SSH_PORT, WEB_PORT = 2022, 8000
OLD, NEW = "10.77.0.2", "10.77.0.3"
SSHD, RUN_SSHD = "/usr/sbin/sshd", pathlib.Path("/run/sshd")


class Session:
    """A shell at the other end of ssh; each line is answered by what it printed, and its exit status."""

    def __init__(self, test, address=V4, source=None):
        argv = ["ssh", "-F", "none", "-T", "-p", SSH_PORT, "-i", test.directory / "user", "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={test.directory}/known", "-o", "LogLevel=ERROR",
                "-o", "ConnectTimeout=10", *(["-b", source] if source else []), f"root@{address}", "exec sh"]
        self.child = test.client.popen(*argv, stdin=subprocess.PIPE)
        self.ask("true")

    def ask(self, line):
        print(f"{{ {line}\n}} 2>&1; echo \"[done $?]\"", file=self.child.stdin, flush=True)
        out = ""
        for text in self.child.stdout:
            if over := re.fullmatch(r"(.*)\[done (\d+)\]\n", text, re.S):
                return out + over[1], int(over[2])
            out += text
        raise AssertionError(f"the session is over, after {line!r}: {out}")

    def ok(self, line):
        out, status = self.ask(line)
        assert status == 0, (line, status, out)
        return out

    def alive(self):
        return self.ok("echo here") == "here\n"

    def port(self):
        """Of the client, as the session's environment has it."""
        return self.ok("echo $SSH_CONNECTION").split()[1]

    def kill(self):
        self.child.kill()
        self.child.wait()

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        self.child.wait(timeout=20)


class Ssh(story.Pair):
    NEEDS = ("ssh", "ssh-keygen", SSHD, "ping")
    HOSTS = {"client_addresses": (f"{OLD}/24", f"{NEW}/24", "fd77::2/64")}

    def setUp(self):
        super().setUp()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.start_sshd()
        self.web = self.server.socket()
        self.web.setsockopt(story.socket.SOL_SOCKET, story.socket.SO_REUSEADDR, 1)
        self.web.bind((V4, WEB_PORT))
        self.web.listen()
        self.addCleanup(self.web.close)

    def start_sshd(self):
        if not RUN_SSHD.exists():
            RUN_SSHD.mkdir(mode=0o755, exist_ok=True)
            self.addCleanup(self.leave_run)
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / key], check=True)
        config = self.directory / "sshd_config"
        config.write_text(f"Port {SSH_PORT}\nHostKey {self.directory}/host\nAuthorizedKeysFile {self.directory}/user.pub\n"
                          f"PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n")
        self.sshd = self.server.popen(SSHD, "-D", "-e", "-f", config)
        lab.wait_until(lambda: f":{SSH_PORT} " in self.server.run("ss", "-Hltn").stdout, "sshd")

    @staticmethod
    def leave_run():
        with contextlib.suppress(OSError):
            RUN_SSHD.rmdir()

    def session(self, *where, **how):
        session = Session(self, *where, **how)
        self.addCleanup(session.kill)
        return session

    def file(self, text):
        path = self.directory / "rules"
        path.write_text(text)
        return path

    def pings(self):
        return self.client.run("ping", "-c", 1, "-W", "0.3", V4, check=False).returncode == 0

    def connects(self):
        with contextlib.closing(self.client.socket()) as s:
            s.settimeout(0.4)
            return s.connect_ex((V4, WEB_PORT)) == 0

    def guarded(self):
        return [(g["remote"], g["port"]) for g in story.status(self.server)["guarded"]]

    def test_drop_everything_through_sudo_with_the_command_killed(self):
        lab.need("sudo")
        for address, remote in ((V4, OLD), (V6, "fd77::2")):
            with self.subTest(address):
                session = self.session(address)
                shown = f"[{remote}]" if ":" in remote else remote
                line = f"guard: your SSH session {shown}:{session.port()} -> {SSH_PORT} stays with the kernel\n"
                self.assertEqual(session.ok("sudo -n sh -c 'echo ${SSH_CONNECTION-none}'"), "none\n")
                self.assertIn(line, session.ok(f"sudo -n {lab.WEIR} attach veth0"))
                rules = self.file("rule everything drop\n")
                # Its standard output is a pipe that is full: it cannot end, and is killed.
                session.ok(f"{{ head -c 65536 /dev/zero; sudo -n {lab.WEIR} filter apply {rules} --confirm 20s 2>{self.directory}/told; }} | sleep 60 >/dev/null 2>&1 & ")
                lab.wait_until(lambda: not self.pings(), "the rules")
                self.assertEqual((self.directory / "told").read_text(), line)
                pid = session.ok(f"pgrep -f -x '{lab.WEIR} filter apply {rules} --confirm 20s'").split()
                self.assertEqual(len(pid), 1)
                session.ok(f"kill -9 {pid[0]}")
                self.assertFalse(self.connects())
                self.assertTrue(session.alive())
                another = self.session(address)
                self.assertTrue(another.alive())
                self.assertFalse(self.pings(), "the trial was over before all was looked at")
                session.kill()
                lab.wait_until(self.pings, "the rules from before", seconds=60)
                self.assertTrue(self.connects() and another.alive())
                self.assertTrue(story.status(self.server)["filter_rolled_back"])
                self.server.weir("detach", "veth0")

    def test_its_port_is_not_steered(self):
        lab.need("sudo")
        session = self.session()
        session.ok(f"sudo -n {lab.WEIR} attach veth0 --no-guard")
        self.assertEqual(self.guarded(), [])
        for ports in (SSH_PORT, "2000-2100", "1-65535", f"{SSH_PORT} to {V4}"):
            out, status = session.ask(f"sudo -n {lab.WEIR} steer add {ports}")
            self.assertEqual(status, 1)
            self.assertIn(f"is the port of sshd, by the guarded session of {OLD}: --no-guard", out)
            self.assertEqual(story.status(self.server)["steer"], [])
        self.server.weir("guard", "del", OLD)
        out = session.ok(f"sudo -n {lab.WEIR} steer add {SSH_PORT} absent drop --no-guard")
        self.assertNotIn("guard:", out)
        self.assertEqual(self.guarded(), [])
        # What the kernel has stays the kernel's; a new one is dropped, as it was asked for.
        self.assertTrue(session.alive())
        with contextlib.closing(self.client.socket()) as s:
            s.settimeout(0.4)
            self.assertNotEqual(s.connect_ex((V4, SSH_PORT)), 0)
        session.ok(f"{lab.WEIR} steer del {SSH_PORT}")
        self.assertTrue(self.session().alive())

    def terminal(self, *command):
        """A session from the new address, on a terminal, in which the command runs."""
        main, child = pty.openpty()
        self.addCleanup(os.close, main)
        environment = dict(os.environ, TERM="vt100")
        process = self.client.popen("ssh", "-F", "none", "-tt", "-b", NEW, "-p", SSH_PORT, "-i", self.directory / "user",
                                    "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                                    f"UserKnownHostsFile={self.directory}/known", f"root@{V4}", *command,
                                    stdin=child, stdout=child, stderr=child, env=environment)
        os.close(child)
        return process, main

    def aged(self, start, attach, typed, quit):
        """A terminal's server that an old session has started, and which another one from elsewhere uses now."""
        environment = self.directory / "environment"
        old = self.session()
        old.ok(start)
        self.addCleanup(subprocess.run, quit, shell=True, check=False, capture_output=True)
        old.close()
        process, main = self.terminal(*attach)
        os.set_blocking(main, False)

        def read_all():
            drawn = 0
            with contextlib.suppress(BlockingIOError, OSError):
                while more := os.read(main, 65536):
                    drawn += len(more)
            return drawn

        def run(line, done):
            subprocess.run([*typed, f"{line}; echo $? >{done}\r"], check=True)

            return lab.wait_until(lambda: read_all() < 0 or (done.exists() and done.read_text()), line)

        lab.wait_until(read_all, "a screen that is drawn")
        self.assertEqual(run(f"env >{environment}", self.directory / "one"), "0\n")
        self.assertIn(f"SSH_CONNECTION={OLD} ", environment.read_text(), "the environment is that of the old session")
        said = self.directory / "said"
        self.assertEqual(run(f"{lab.WEIR} attach veth0 2>{said}", self.directory / "two"), "0\n")
        self.assertRegex(said.read_text(), rf"guard: your SSH session {NEW}:\d+ -> {SSH_PORT} stays")
        rules = self.file("rule everything drop\n")
        self.assertEqual(run(f"{lab.WEIR} filter apply {rules} --confirm 1h", self.directory / "three"), "0\n")
        self.assertEqual(self.guarded(), [(NEW, SSH_PORT)])
        self.assertFalse(self.pings())
        # The terminal's session carries what is typed at the client, and its answer.
        answer = self.directory / "four"
        os.write(main, f"echo alive >{answer}\r".encode())
        lab.wait_until(lambda: read_all() < 0 or (answer.exists() and answer.read_text()), "what was typed at the client")
        self.assertIsNone(process.poll())
        self.assertTrue(self.session(source=NEW).alive())

    def test_through_tmux_with_the_environment_of_another_session(self):
        lab.need("tmux")
        name = f"weirt-{os.getpid()}"
        tmux = ["tmux", "-L", name, "-f", "/dev/null"]
        self.aged(f"{' '.join(tmux)} new-session -d -s one sh", [*tmux, "attach", "-t", "one"],
                  [*tmux, "send-keys", "-t", "one", "-l"], f"tmux -L {name} kill-server")

    def test_through_screen_with_the_environment_of_another_session(self):
        lab.need("screen")
        name = f"weirt-{os.getpid()}"
        self.aged(f"TERM=vt100 screen -d -m -S {name} sh", ["screen", "-x", name],
                  ["screen", "-S", name, "-p", "0", "-X", "stuff"], f"screen -S {name} -X quit")


if __name__ == "__main__":
    lab.main()
