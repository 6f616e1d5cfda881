# SPDX-License-Identifier: MIT
"""The engine against the kernel's TCP, in both roles, over paths that misbehave: loss by chance, a path MTU that falls, a
reader that stops, one side that closes first, and connections that come and go."""
import json
import os
import signal
import socket
import tempfile
import threading
import time

import story
from story import V4, V6, lab

MIB = 1 << 20
# For minutes by hand: the tenth probe of a closed window leaves after about three and a half.
CHURN_SECONDS = float(os.environ.get("WEIR_CHURN_SECONDS", "3"))
ZERO_WINDOW_PROBES = int(os.environ.get("WEIR_ZERO_WINDOW_PROBES", "3"))


def counters(host, *names):
    """The kernel's own, of one namespace."""
    answer = json.loads(host.run("nstat", "-asj").stdout)["kernel"]
    return [answer.get(name, 0) for name in names]


def sockets(host):
    return json.loads(host.weir("-j", "sockets", "veth0").stdout)["connections"]


def drain(sock, size):
    """Reads `size` bytes of a body; what there is where the peer ends sooner."""
    got = bytearray()
    while len(got) < size:
        chunk = sock.recv(min(1 << 16, size - len(got)))
        if not chunk:
            break
        got += chunk
    return bytes(got)


def ask(sock, path):
    """Sends a request and reads its head; the connection stays open."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise AssertionError(f"no answer to {path}: {head!r}")
        head += byte
    return head


class Peers(story.Case):
    NEEDS = ("curl", "ethtool", "nstat")

    def serve(self, server):
        server.weir("attach", "veth0")
        server.weir("steer", "add", "tcp", story.PORT)
        web = story.Server(server)
        story.wait_engine(server)
        return web

    def impaired(self, *plan):
        server, middle, client = (self.lab.host(n) for n in ("server", "middle", "client"))
        self.lab.veth(server, middle, "veth0", "left")
        self.lab.veth(client, middle, "veth0", "right")
        server.address("veth0", f"{V4}/24", f"{V6}/64")
        client.address("veth0", "10.77.0.2/24", "fd77::2/64")
        link = middle.popen(lab.HARNESS / "weir_impair", "left", "right", *plan)
        self.assertEqual(link.stdout.readline().strip(), "ready")
        self.serve(server)
        return server, client, link

    def routed(self):
        """server - router - client, two links, two prefixes; the router is the kernel's."""
        server, router, client = (self.lab.host(n) for n in ("server", "router", "client"))
        self.lab.veth(server, router, "veth0", "left")
        self.lab.veth(client, router, "veth0", "right")
        server.address("veth0", f"{V4}/24", f"{V6}/64")
        router.address("left", "10.77.0.254/24", "fd77::fe/64")
        router.address("right", "10.78.0.254/24", "fd78::fe/64")
        client.address("veth0", "10.78.0.2/24", "fd78::2/64")
        for knob in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            router.run("sysctl", "-qw", knob)
        for host, net in ((server, 77), (client, 78)):
            host.run("ip", "route", "add", "default", "via", f"10.{net}.0.254")
            host.run("ip", "-6", "route", "add", "default", "via", f"fd{net}::fe")
        self.serve(server)
        return server, router, client

    def test_loss_by_chance_is_mended_in_both_directions(self):
        for percent in (1, 10):
            with self.subTest(percent=percent):
                server, client, link = self.impaired("--loss", percent, "--seed", percent, "--delay", 2)
                size = 4 * MIB
                for address in (V4, V6):
                    sock = story.connect(client, address, timeout=60)
                    ask(sock, f"/bytes/{size}")
                    self.assertEqual(drain(sock, size), story.pattern(size))
                    told = sockets(server)[0]
                    self.assertGreater(told["retransmits"], 0)
                    sock.close()
                    # And the engine as the receiver: what the kernel sent twice it did not need to for want of SACK.
                    body = story.pattern(size)
                    done = client.run("curl", "-sS", "--fail", "--max-time", "60", "-X", "POST", "-H", "Expect:",
                                      "--data-binary", "@-", story.url(address, "/upload"), input=body.decode("latin-1"),
                                      check=False)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(counters(client, "TcpExtTCPSackFailures"), [0])
                link.send_signal(signal.SIGTERM)
                did = json.loads(link.communicate(timeout=20)[0])
                for direction in did.values():
                    self.assertGreater(direction["dropped"], 0)
                self.doCleanups()
                self.setUp()

    def test_the_path_mtu_falls_in_the_middle_of_a_transfer(self):
        server, router, client = self.routed()
        size = 24 * MIB
        for address, least in ((V4, 1300), (V6, 1290)):
            with self.subTest(address=address):
                router.run("ip", "link", "set", "right", "mtu", 1500)
                sock = story.connect(client, address, timeout=60)
                ask(sock, f"/bytes/{size}")
                first = drain(sock, 2 * MIB)
                self.assertEqual(sockets(server)[0]["send_mss"] // 100, 14)
                router.run("ip", "link", "set", "right", "mtu", least)
                rest = drain(sock, size - len(first))
                self.assertEqual(first + rest, story.pattern(size))
                self.assertLess(sockets(server)[0]["send_mss"], least)
                sock.close()

    def test_congestion_is_told_by_marks_and_not_by_loss(self):
        server, client, link = self.impaired("--mark", 5, "--seed", 3, "--delay", 2)
        client.run("sysctl", "-qw", "net.ipv4.tcp_ecn=1")
        size = 4 * MIB
        for address in (V4, V6):
            sock = story.connect(client, address, timeout=60)
            self.addCleanup(sock.close)
            ask(sock, f"/bytes/{size}")
            self.assertEqual(drain(sock, size), story.pattern(size))
            options = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5]
            self.assertEqual(options & 24, 24, "TCPI_OPT_ECN and TCPI_OPT_ECN_SEEN: the engine's segments are ECN-capable")
            told = next(c for c in sockets(server) if c["remote"].endswith(f":{sock.getsockname()[1]}"))
            self.assertTrue(told["ecn"])
            self.assertGreater(told["ecn_echoes"], 0)
            self.assertLess(told["ssthresh"], size, "an echo has lowered it")
            self.assertEqual(told["timeouts"], 0)
        link.send_signal(signal.SIGTERM)
        did = json.loads(link.communicate(timeout=20)[0])
        self.assertGreater(did["left"]["marked"], 0)
        self.assertEqual(did["left"]["dropped"], 0)

    def test_readers_that_stop_and_go_on(self):
        """What is sent comes back, and nobody reads: the engine's window closes to the kernel, and the kernel's to the
        engine. Each probes the other's."""
        server, client = self.lab.pair()
        server.weir("attach", "veth0")
        server.weir("steer", "add", "tcp", story.PORT)
        echo = story.Server(server, program=lab.EXAMPLES / "weir-echo")
        self.addCleanup(echo.stop)
        story.wait_engine(server)
        size = 16 * MIB
        for address in (V4, V6):
            sock = client.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            self.addCleanup(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            sock.settimeout(300)
            sock.connect((address, story.PORT))
            writer = threading.Thread(target=sock.sendall, args=(story.pattern(size),))
            writer.start()
            local = sock.getsockname()[1]

            def mine():
                return next(c for c in sockets(server) if c["remote"].endswith(f":{local}"))

            def closed(c):
                return c["send_window"] == 0 and c["recv_window"] >> c["recv_scale"] == 0
            lab.wait_until(lambda: closed(mine()), "both windows to close")
            before = mine()
            # Each side's probes, and the other's answers.
            wanted = before["segments_out"] + 2 * ZERO_WINDOW_PROBES
            lab.wait_until(lambda: mine()["segments_out"] >= wanted, "the probes", 60 + 2 ** ZERO_WINDOW_PROBES)
            self.assertTrue(closed(mine()))
            for count in ("bytes_acked", "bytes_received"):
                self.assertEqual(mine()[count], before[count])
            self.assertEqual(mine()["state"], "ESTAB")
            self.assertEqual(drain(sock, size), story.pattern(size))
            writer.join()

    def test_a_peer_that_closes_its_side_first_gets_the_whole_answer(self):
        server, client = self.lab.pair()
        self.serve(server)
        for address in (V4, V6):
            sock = story.connect(client, address)
            self.addCleanup(sock.close)
            sock.sendall(b"GET /bytes/3000000 HTTP/1.0\r\nHost: test\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            answer = drain(sock, 1 << 30)
            self.assertEqual(answer.partition(b"\r\n\r\n")[2], story.pattern(3000000))

    def test_the_engine_opens_to_a_kernel_server(self):
        server, client = self.lab.pair()
        server.weir("attach", "veth0")
        body = story.pattern(2 * MIB)
        for address in ("10.77.0.2", "fd77::2"):
            listener = client.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            self.addCleanup(listener.close)
            listener.bind((address, 8081))
            listener.listen()
            listener.settimeout(20)
            out = tempfile.TemporaryFile()
            self.addCleanup(out.close)
            got = server.popen(lab.EXAMPLES / "weir-get", story.url(address, "/", 8081), stdout=out, text=False)
            peer, _ = listener.accept()
            peer.settimeout(20)
            self.assertTrue(peer.recv(4096).startswith(b"GET / "))
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            peer.close()
            self.assertEqual(got.wait(timeout=30), 0)
            out.seek(0)
            self.assertIn(body, out.read())

    def test_connections_that_come_and_go_leave_nothing(self):
        server, client = self.lab.pair()
        web = self.serve(server)
        end = time.monotonic() + CHURN_SECONDS
        made = [0, 0, 0, 0]
        failures = []

        def churn(lane):
            address = V6 if lane % 2 else V4
            try:
                while time.monotonic() < end:
                    with story.connect(client, address) as sock:
                        answer = story.http_exchange(sock, "/healthz")
                        assert b" 200 " in answer, answer
                    made[lane] += 1
            except Exception as problem:  # noqa: BLE001: reported by the test's thread
                failures.append(problem)
        threads = [threading.Thread(target=churn, args=(lane,)) for lane in range(len(made))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        print(f"churn: {sum(made)} connections in {CHURN_SECONDS:g} s", flush=True)
        lab.wait_until(lambda: story.steered(server)["flows"] == 0, "the flows to end")
        self.assertEqual(sockets(server), [])
        web.stop()
        self.assertEqual(web.process.returncode, 0)


if __name__ == "__main__":
    lab.main()
