# SPDX-License-Identifier: MIT
"""The main job: attach, steer, serve, fall through; a live filter; counters that explain every frame."""
import json

import story
from story import ENGINE, V4, V6, lab


class MainJob(story.Pair):
    NEEDS = ("curl", "ping", "ethtool")
    HOSTS = {"client_addresses": ("10.77.0.2/24", "10.77.0.3/24", "fd77::2/64", "fd77::3/64")}

    def story(self, *attach_options):
        self.server.weir("attach", "veth0", *attach_options)
        before_attach = self.uncounted()
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
        self.assertEqual(self.uncounted(), before_attach, "frames that no counter explains")

    def filter_stops_one_source(self, address, source, prefix):
        self.server.weir("filter", "add", "drop", "from", prefix)
        self.assertIsNone(story.served_by(self.client, address, story.PORT, "--interface", source, "--connect-timeout", "0.5"))
        self.assertEqual(story.served_by(self.client, address, story.PORT, "--interface", source[:-1] + "2"), ENGINE)
        rules = json.loads(self.server.weir("-j", "filter", "list").stdout)["rules"]
        self.assertEqual(len(rules), 1)
        self.assertGreater(rules[0]["packets"], 0)
        self.server.weir("filter", "del", rules[0]["name"])
        self.assertEqual(story.served_by(self.client, address, story.PORT, "--interface", source), ENGINE)

    def uncounted(self):
        """Frames that the driver received and the XDP program did not count, read while none is under way."""
        def received():
            links = json.loads(self.server.run("ip", "-j", "-s", "link", "show", "veth0").stdout)
            return links[0]["stats64"]["rx"]["packets"]

        def settled():
            before = received()
            rows = json.loads(self.server.weir("-j", "stats", "veth0", "--all").stdout)["reasons"]
            counted = sum(r["packets"] for r in rows if r["verdict"] in ("pass", "drop", "steer"))
            return (before - counted,) if before == received() else None
        return lab.wait_until(settled, "a quiet link")[0]

    def test_native(self):
        self.story("--mode", "native")

    def test_generic(self):
        self.story("--mode", "generic")


if __name__ == "__main__":
    lab.main()
