# SPDX-License-Identifier: MIT
"""The main job: attach, steer, serve, fall through; a live filter; counters that explain every frame."""
import json
import unittest

import story
from story import ENGINE, V4, V6, lab


class MainJob(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lab.need("curl", "ping", "ethtool")

    def setUp(self):
        context = lab.Lab()
        self.lab = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.server, self.client = self.lab.pair(client_addresses=("10.77.0.2/24", "10.77.0.3/24", "fd77::2/64", "fd77::3/64"))

    def story(self, *attach_options):
        self.server.weir("attach", "veth0", *attach_options)
        self.server.weir("steer", "add", "tcp", story.PORT)
        story.Server(self.server)
        story.wait_engine(self.server)
        with story.kernel_stream(self.server, 9090, 1 << 20):
            for address in (V4, V6):
                self.assertEqual(story.served_by(self.client, address), ENGINE)
                self.client.run("ping", "-c", "3", "-i", "0.05", "-W", "2", address)
                with story.connect(self.client, address, 9090) as kernel:
                    self.assertTrue(kernel.recv(1))
            self.filter_stops_one_source(V4, "10.77.0.3", "10.77.0.3/32")
            self.filter_stops_one_source(V6, "fd77::3", "fd77::3/128")
        self.assertEveryFrameCounted()

    def filter_stops_one_source(self, address, source, prefix):
        self.server.weir("filter", "add", "drop", "from", prefix)
        self.assertIsNone(story.served_by(self.client, address, story.PORT, "--interface", source, "--connect-timeout", "0.5"))
        self.assertEqual(story.served_by(self.client, address, story.PORT, "--interface", source[:-1] + "2"), ENGINE)
        rules = json.loads(self.server.weir("-j", "filter", "list").stdout)["rules"]
        self.assertEqual(len(rules), 1)
        self.assertGreater(rules[0]["packets"], 0)
        self.server.weir("filter", "del", rules[0]["id"])
        self.assertEqual(story.served_by(self.client, address, story.PORT, "--interface", source), ENGINE)

    def assertEveryFrameCounted(self):
        """What the driver says it received is what the XDP program says became of it."""
        def received():
            links = json.loads(self.server.run("ip", "-j", "-s", "link", "show", "veth0").stdout)
            return links[0]["stats64"]["rx"]["packets"]

        def counted():
            rows = json.loads(self.server.weir("-j", "stats", "veth0", "--all").stdout)["reasons"]
            return sum(r["packets"] for r in rows if r["verdict"] in ("pass", "drop", "steer"))

        # Nothing is under way but stragglers: two readings around the counters must agree with them.
        def agree():
            before = received() - self.received_before_attach
            told = counted()
            return told if before == told == received() - self.received_before_attach else None
        lab.wait_until(agree, f"{received()} frames to be explained by {counted()} counted")

    def test_native(self):
        self.count_from_here()
        self.story("--mode", "native")

    def test_generic(self):
        self.count_from_here()
        self.story("--mode", "generic")

    def count_from_here(self):
        links = json.loads(self.server.run("ip", "-j", "-s", "link", "show", "veth0").stdout)
        self.received_before_attach = links[0]["stats64"]["rx"]["packets"]


if __name__ == "__main__":
    lab.main()
