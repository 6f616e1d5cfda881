# SPDX-License-Identifier: MIT
"""Who owns a connection: the kernel's stay the kernel's, the engine's drain, transit passes, the firewall is not opened."""

import story
from story import ENGINE, KERNEL, V4, V6, lab


class Ownership(story.Pair):
    NEEDS = ("curl", "ss", "ethtool")

    def attach(self, *options):
        self.server.weir("attach", "veth0", *options)
        self.server.weir("steer", "add", "tcp", story.PORT)

    def test_kernel_connections_from_before_go_on(self):
        web = story.Server(self.server)
        story.wait_kernel(self.server)
        old = [story.connect(self.client, a) for a in (V4, V6) for _ in range(5)]
        for sock in old:
            self.addCleanup(sock.close)
        self.attach()
        story.wait_engine(self.server)
        self.assertEqual(story.served_by(self.client, V4), ENGINE)
        for sock in old:
            self.assertIn(b"by the kernel", story.http_exchange(sock))
        web.stop()

    def test_steer_del_drains(self):
        story.Server(self.server)
        self.attach()
        story.wait_engine(self.server)
        old = story.connect(self.client, V4)
        self.addCleanup(old.close)
        old.sendall(b"GET /bytes/1000 HTTP/1.1\r\nHost: test\r\n\r\n")
        self.assertTrue(old.recv(4096).startswith(b"HTTP/1.1 200"))
        lab.wait_until(lambda: story.steered(self.server)["flows"] >= 1, "the flow to be counted")
        self.server.weir("steer", "del", "tcp", story.PORT)
        entry = story.steered(self.server)
        self.assertTrue(entry and entry["draining"], entry)
        self.assertEqual(story.served_by(self.client, V4), KERNEL)
        self.assertIn(b"by weir's engine", story.http_exchange(old))
        old.close()
        lab.wait_until(lambda: story.steered(self.server) is None, "the drained entry to go")
        self.assertEqual(story.served_by(self.client, V4), KERNEL)

    def test_steer_del_now_resets(self):
        story.Server(self.server)
        self.attach()
        story.wait_engine(self.server)
        old = story.connect(self.client, V4)
        self.addCleanup(old.close)
        lab.wait_until(lambda: story.steered(self.server)["flows"] == 1, "the flow to be counted")
        self.server.weir("steer", "del", "tcp", story.PORT, "--now")
        with self.assertRaises(ConnectionResetError):
            old.recv(1)
        lab.wait_until(lambda: story.steered(self.server) is None, "the entry to go")
        self.assertEqual(story.served_by(self.client, V4), KERNEL)

    def test_detach_refuses_while_flows_live_and_resets_them_by_force(self):
        story.Server(self.server)
        self.attach()
        story.wait_engine(self.server)
        old = [story.connect(self.client, a) for a in (V4, V6, V4)]
        for sock in old:
            self.addCleanup(sock.close)
        lab.wait_until(lambda: story.steered(self.server)["flows"] == 3, "three flows")
        refused = self.server.weir("detach", "veth0", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"\b3\b.*--force")
        self.assertEqual(len(refused.stderr.strip().splitlines()), 1)
        self.assertEqual(story.served_by(self.client, V4), ENGINE)
        self.server.weir("detach", "veth0", "--force")
        for sock in old:
            with self.assertRaises(ConnectionResetError):
                sock.recv(1)
        self.assertIsNone(story.status(self.server))
        self.assertEqual(story.served_by(self.client, V4), KERNEL)

    def test_transit_to_the_same_port_is_not_taken(self):
        # client - server(router) - behind: the router steers 8080 on its own address, and forwards to the host behind it.
        behind = self.lab.host("behind")
        self.lab.veth(self.server, behind, "veth1", "veth0")
        self.server.address("veth1", "10.78.0.1/24", "fd78::1/64")
        behind.address("veth0", "10.78.0.2/24", "fd78::2/64")
        for host, gateways in ((self.client, (V4, V6)), (behind, ("10.78.0.1", "fd78::1"))):
            host.run("ip", "route", "add", "default", "via", gateways[0])
            host.run("ip", "route", "add", "default", "via", gateways[1])
        self.server.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        story.Server(behind)
        story.wait_kernel(behind)
        story.Server(self.server)
        self.attach()
        story.wait_engine(self.server)
        for address in ("10.78.0.2", "fd78::2"):
            self.assertEqual(story.served_by(self.client, address), KERNEL)
        for address in (V4, V6):
            self.assertEqual(story.served_by(self.client, address), ENGINE)

    def nft_input_drop(self):
        lab.need("nft")
        self.server.run("nft", "add table inet guard; add chain inet guard input "
                               "{ type filter hook input priority 0; policy drop; }; "
                               "add rule inet guard input meta l4proto { icmp, ipv6-icmp } accept")

    def test_the_hosts_firewall_is_not_opened(self):
        self.nft_input_drop()
        story.Server(self.server)
        self.attach()
        lab.wait_until(lambda: story.status(self.server)["queues"][0]["engine"] == "alive", "the engine")
        self.assertIsNone(story.served_by(self.client, V4, story.PORT, "--connect-timeout", "1.5"))
        self.assertFalse(story.steered(self.server)["listening"])
        self.assertIn("firewall", self.server.weir("status").stdout)

    def test_bypassing_the_firewall_is_a_choice_and_shown(self):
        self.nft_input_drop()
        story.Server(self.server)
        self.attach("--bypass-firewall")
        story.wait_engine(self.server)
        for address in (V4, V6):
            self.assertEqual(story.served_by(self.client, address), ENGINE)
        self.assertRegex(self.server.weir("status").stdout, r"firewall.*bypass")

    def test_a_firewall_that_appears_later_closes_the_engine_to_new_connections(self):
        story.Server(self.server)
        self.attach()
        story.wait_engine(self.server)
        self.nft_input_drop()
        lab.wait_until(lambda: not story.steered(self.server)["listening"], "the engine to stop listening")
        self.assertIsNone(story.served_by(self.client, V4, story.PORT, "--connect-timeout", "1.5"))
        self.server.run("nft", "flush ruleset")
        story.wait_engine(self.server)
        self.assertEqual(story.served_by(self.client, V4), ENGINE)


if __name__ == "__main__":
    lab.main()
