# SPDX-License-Identifier: MIT
"""Promise 1: whatever becomes of the engine, nothing else on the interface notices."""
import hashlib
import re
import signal
import threading

import story
from story import ENGINE, V4, V6, lab

ROUNDS = 10


class Background:
    """A ping at 100/s and an endless series of kernel transfers, over the whole of a test."""

    def __init__(self, server, client):
        self.client, self.server = client, server
        self.stop = threading.Event()
        self.transfers = 0
        self.wrong = []

    def __enter__(self):
        self.stream = story.kernel_stream(self.server, 9090, 16 << 20)
        self.expected = self.stream.__enter__()
        self.ping = self.client.popen("ping", "-q", "-i", "0.01", V4)
        self.thread = threading.Thread(target=self.transfer, daemon=True)
        self.thread.start()
        return self

    def transfer(self):
        while not self.stop.is_set():
            digest = hashlib.sha256()
            try:
                with story.connect(self.client, V4, 9090, timeout=30) as sock:
                    while chunk := sock.recv(1 << 16):
                        digest.update(chunk)
            except OSError as error:
                self.wrong.append(repr(error))
                return
            if digest.hexdigest() != self.expected:
                self.wrong.append("a transfer arrived changed")
            self.transfers += 1

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(timeout=60)
        self.ping.send_signal(signal.SIGINT)
        self.report = self.ping.communicate(timeout=30)[0]
        self.stream.__exit__(None, None, None)

    def lost_pings(self):
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", self.report).groups())
        return sent - received, sent


class Promise1(story.Pair):
    NEEDS = ("bpftool", "curl", "ping", "ethtool")

    def setUp(self):
        super().setUp()
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", "tcp", story.PORT)

    def during(self, rounds):
        """Runs rounds(background) under traffic; then nothing may be lost, and nothing left after detach."""
        made = story.objects(story.pins(self.server))
        self.assertTrue(made)
        with Background(self.server, self.client) as background:
            rounds()
        self.assertEqual(background.wrong, [])
        self.assertGreater(background.transfers, 0)
        lost, sent = background.lost_pings()
        self.assertGreater(sent, 50)
        self.assertEqual(lost, 0, background.report)
        pins = story.pins(self.server)
        self.server.weir("detach", "veth0")
        self.assertFalse(pins.exists(), "pins are left after detach")
        lab.wait_until(lambda: not (made & story.all_objects()), "the kernel to free every BPF object")
        self.assertEqual(list(lab.RUN_DIR.glob(f"{pins.name}*")), [])

    def engine_state(self):
        return story.status(self.server)["queues"][0]["engine"]

    def test_kill_and_restart(self):
        def rounds():
            for _ in range(ROUNDS):
                web = story.Server(self.server)
                story.wait_engine(self.server, server=web)
                self.assertEqual(self.engine_state(), "alive")
                self.assertEqual(story.served_by(self.client, V4), ENGINE)
                self.assertEqual(story.served_by(self.client, V6), ENGINE)
                web.kill(signal.SIGKILL)
                # Nobody listens: the kernel refuses at once, as it would for any server that died.
                with self.assertRaises(ConnectionRefusedError):
                    story.connect(self.client, V4)
                lab.wait_until(lambda: self.engine_state() in ("absent", "dead"), "status to see that the engine is gone")
        self.during(rounds)

    def test_kill_with_a_forked_child_left_alive(self):
        def rounds():
            for _ in range(ROUNDS):
                web = story.Server(self.server, program=lab.HARNESS / "weir_forking_server")
                story.wait_engine(self.server, server=web)
                self.assertEqual(story.served_by(self.client, V4), ENGINE)
                child = int(re.search(r"child (\d+)", web.output())[1])
                web.kill(signal.SIGKILL)
                self.assertIsNotNone(lab.start_time(child), "the child was to outlive its parent")
                # A new engine gets the queue although the child lives.
                successor = story.Server(self.server)
                story.wait_engine(self.server, server=successor)
                self.assertEqual(story.served_by(self.client, V4), ENGINE)
                successor.stop()
                signal.pidfd_send_signal(self.pidfd(child), signal.SIGKILL)
        self.during(rounds)

    def pidfd(self, pid):
        import os
        fd = os.pidfd_open(pid)
        self.addCleanup(os.close, fd)
        return fd

    def test_stop_and_continue(self):
        web = story.Server(self.server)
        story.wait_engine(self.server)

        def rounds():
            for _ in range(ROUNDS):
                before = story.connect(self.client, V4)
                self.addCleanup(before.close)
                web.kill(signal.SIGSTOP)
                lab.wait_until(lambda: self.engine_state() in ("stale", "stopped"), "status to see the silence")
                # A new connection is the kernel's: its handshake completes while the engine is stopped.
                meanwhile = story.connect(self.client, V4)
                self.addCleanup(meanwhile.close)
                web.kill(signal.SIGCONT)
                self.assertIn(b"by the kernel", story.http_exchange(meanwhile))
                # And one from before goes on where it stood.
                self.assertIn(b"by weir's engine", story.http_exchange(before))
                lab.wait_until(lambda: self.engine_state() == "alive", "status to see the engine back")
                self.assertEqual(story.served_by(self.client, V4), ENGINE)
            web.stop()
        self.during(rounds)


if __name__ == "__main__":
    lab.main()
