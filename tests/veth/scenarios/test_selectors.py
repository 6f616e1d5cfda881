# SPDX-License-Identifier: MIT
"""Steering by more than a port: some clients, some addresses, a range of ports, and an application by its name."""
import json
import os

import story
from story import ENGINE, KERNEL, V4, V6, lab

NEAR, FAR = ("10.77.0.2", "fd77::2"), ("10.77.0.130", "fd77:0:0:0:8000::2")
OTHER = "10.77.0.9"


class Selectors(story.Pair):
    NEEDS = ("curl", "ss", "ethtool")

    def setUp(self):
        super().setUp()
        self.client.address("veth0", *(f"{a}/{24 if ':' not in a else 64}" for a in FAR))
        self.server.weir("attach", "veth0")

    def steer(self, *words):
        self.server.weir("steer", "add", *words)

    def entry(self, text):
        entries = json.loads(self.server.weir("-j", "steer", "list").stdout)["steer"]
        return next((e for e in entries if e["entry"] == text), None)

    def by(self, source, address, port=story.PORT):
        return story.served_by(self.client, address, port, "--interface", source)

    def connect(self, source, address):
        sock = self.client.socket(story.socket.AF_INET6 if ":" in address else story.socket.AF_INET)
        self.addCleanup(sock.close)
        sock.settimeout(10)
        sock.bind((source, 0))
        sock.connect((address, story.PORT))
        return sock

    def listening(self, text):
        lab.wait_until(lambda: (self.entry(text) or {}).get("listening"), f"an engine that listens by '{text}'")

    def test_only_some_clients(self):
        story.Server(self.server)
        self.steer(story.PORT, "from", "10.77.0.0/25")
        self.steer(story.PORT, "from", "fd77::/65")
        four, six = f"tcp {story.PORT} from 10.77.0.0/25", f"tcp {story.PORT} from fd77::/65"
        self.listening(four)
        self.listening(six)
        for near, far, address in zip(NEAR, FAR, (V4, V6)):
            self.assertEqual((self.by(near, address), self.by(far, address)), (ENGINE, KERNEL), address)
        self.assertGreater(self.entry(four)["packets"], 0)
        # The flows are the entry's whose they are.
        old = self.connect(NEAR[0], V4)
        lab.wait_until(lambda: (self.entry(four)["flows"], self.entry(six)["flows"]) == (1, 0), "the flow to be counted")
        # It drains while its flow lives; the flow stays the engine's, new ones are the kernel's.
        self.server.weir("steer", "del", story.PORT, "from", "10.77.0.0/25")
        self.assertTrue(self.entry(four)["draining"])
        self.assertEqual(self.by(NEAR[0], V4), KERNEL)
        self.assertIn(b"by weir's engine", story.http_exchange(old))
        old.close()
        lab.wait_until(lambda: self.entry(four) is None, "the drained entry to go")
        self.assertEqual(self.by(NEAR[1], V6), ENGINE)

    def test_connections_stay_whose_they_are_when_entries_come_and_go(self):
        story.Server(self.server)
        narrow = f"tcp {story.PORT} from 10.77.0.0/25"
        self.steer(story.PORT, "from", "10.77.0.0/25")
        self.listening(narrow)
        engine, kernel = self.connect(NEAR[0], V4), self.connect(FAR[0], V4)
        # A wider entry takes new connections; the kernel keeps what it has.
        self.steer(story.PORT)
        self.listening(f"tcp {story.PORT}")
        self.assertEqual(self.by(FAR[0], V4), ENGINE)
        self.server.weir("steer", "del", story.PORT, "from", "10.77.0.0/25")
        lab.wait_until(lambda: self.entry(narrow) is None, "the entry to go: the wider one has its flows")
        self.assertEqual(self.by(NEAR[0], V4), ENGINE)
        self.assertIn(b"by weir's engine", story.http_exchange(engine))
        self.assertIn(b"by the kernel", story.http_exchange(kernel))

    def test_del_now_resets_only_its_own(self):
        story.Server(self.server)
        self.steer(story.PORT)
        self.steer(story.PORT, "from", NEAR[0])
        self.listening(f"tcp {story.PORT} from {NEAR[0]}")
        self.listening(f"tcp {story.PORT}")
        near, far = self.connect(NEAR[0], V4), self.connect(FAR[0], V4)
        lab.wait_until(lambda: self.entry(f"tcp {story.PORT} from {NEAR[0]}")["flows"] == 1, "the flow to be counted")
        self.server.weir("steer", "del", story.PORT, "from", NEAR[0], "--now")
        with self.assertRaises(ConnectionResetError):
            near.recv(1)
        self.assertIn(b"by weir's engine", story.http_exchange(far))

    def test_a_range_takes_only_ports_on_which_the_engine_listens(self):
        story.Server(self.server)
        other = story.Server(self.server, port=8081, env=dict(os.environ, WEIR_INTERFACE="none0"))
        self.steer("8000-8100")
        self.listening("tcp 8000-8100")
        self.assertEqual(self.by(NEAR[0], V4), ENGINE)
        self.assertEqual(story.served_by(self.client, V4, 8081), KERNEL)
        self.assertEqual(story.served_by(self.client, V6, 8081), KERNEL)
        self.assertIsNotNone(other.process)

    def test_one_address_of_ours(self):
        self.server.address("veth0", f"{OTHER}/24")
        story.Server(self.server)
        self.steer(story.PORT, "to", OTHER)
        self.listening(f"tcp {story.PORT} to {OTHER}")
        self.assertEqual((self.by(NEAR[0], OTHER), self.by(NEAR[0], V4)), (ENGINE, KERNEL))

    def test_a_named_application(self):
        self.steer(story.PORT, "app", "web")
        stranger = story.Server(self.server, env=dict(os.environ, WEIR_APP="other"))
        lab.wait_until(lambda: story.status(self.server)["queues"][0]["app"] == "other", "the engine to say its name")
        self.assertEqual(story.served_by(self.client, V4), KERNEL)
        self.assertRegex(" ".join(story.status(self.server)["advice"]), r"named other.*--app web")
        stranger.stop()
        story.Server(self.server, prefix=(lab.WEIR, "run", "--app", "web", "--"))
        self.listening(f"tcp {story.PORT}")
        self.assertEqual(story.served_by(self.client, V4), ENGINE)


if __name__ == "__main__":
    lab.main()
