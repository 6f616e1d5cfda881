# SPDX-License-Identifier: MIT
"""Promise 2: the service never disappears. One binary serves through the engine, from its own host, without weir, and as an
ordinary user; `ss` shows its port in all four."""

import story
from story import ENGINE, KERNEL, V4, V6, lab


class Promise2(story.Pair):
    NEEDS = ("curl", "ss", "ethtool", "setpriv")

    def shown_by_ss(self):
        return f":{story.PORT} " in self.server.run("ss", "-Hltn").stdout

    def test_a_through_the_engine_and_b_from_its_own_host(self):
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", "tcp", story.PORT)
        story.Server(self.server)
        story.wait_engine(self.server)
        for address in (V4, V6):
            self.assertEqual(story.served_by(self.client, address), ENGINE)
        for address in ("127.0.0.1", "::1", V4, V6):
            self.assertEqual(story.served_by(self.server, address), KERNEL)
        self.assertTrue(self.shown_by_ss())

    def test_c_without_weir(self):
        web = story.Server(self.server)
        story.wait_kernel(self.server)
        for address in (V4, V6):
            self.assertEqual(story.served_by(self.client, address), KERNEL)
        self.assertTrue(self.shown_by_ss())
        self.assertIn("not attached", web.output())

    def test_d_as_an_ordinary_user(self):
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", "tcp", story.PORT)
        web = story.Server(self.server, prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
        story.wait_kernel(self.server)
        for address in (V4, V6):
            self.assertEqual(story.served_by(self.client, address), KERNEL)
        self.assertTrue(self.shown_by_ss())
        said = [line for line in web.output().splitlines() if "privilege" in line or "permission" in line or "CAP_" in line]
        self.assertEqual(len(said), 1, web.output())

    def test_run_drops_privileges_and_keeps_the_engine(self):
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", "tcp", story.PORT)
        story.Server(self.server, prefix=(lab.WEIR, "run", "--user", "nobody", "--"))
        story.wait_engine(self.server)
        for address in (V4, V6):
            self.assertEqual(story.served_by(self.client, address), ENGINE)
        owner = self.server.run("ps", "-o", "user=", "-C", "weir-http").stdout.split()
        self.assertIn("nobody", owner)

    def test_attached_while_the_server_runs(self):
        story.Server(self.server)
        story.wait_kernel(self.server)
        self.assertEqual(story.served_by(self.client, V4), KERNEL)
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", "tcp", story.PORT)
        story.wait_engine(self.server)
        self.assertEqual(story.served_by(self.client, V4), ENGINE)
        self.server.weir("detach", "veth0", "--force")
        self.assertEqual(story.served_by(self.client, V4), KERNEL)
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", "tcp", story.PORT)
        story.wait_engine(self.server)
        self.assertEqual(story.served_by(self.client, V4), ENGINE)

    def test_a_second_process_is_served_by_the_kernel_and_told_so(self):
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", "tcp", story.PORT)
        self.server.weir("steer", "add", "tcp", 8081)
        first = story.Server(self.server)
        story.wait_engine(self.server)
        second = story.Server(self.server, port=8081)
        story.wait_kernel(self.server, 8081)
        self.assertEqual(story.served_by(self.client, V4, 8081), KERNEL)
        self.assertEqual(story.served_by(self.client, V4), ENGINE)
        lab.wait_until(lambda: str(first.pid) in second.output() or "queue" in second.output(), "the second to say why")
        first.stop()
        story.wait_engine(self.server, 8081)
        self.assertEqual(story.served_by(self.client, V4, 8081), ENGINE)


if __name__ == "__main__":
    lab.main()
