# SPDX-License-Identifier: MIT
"""TCP Fast Open (RFC 7413) between the engine and the kernel's TCP, in both roles; the kernel's own counters say what came
of it."""
import json
import socket
import threading

import story
from story import V4, V6, lab
from test_peers import counters

FASTOPEN, FASTOPEN_CONNECT = 23, 30  # of IPPROTO_TCP
SYN_DATA = 32  # TCPI_OPT_SYN_DATA
SYSCTL = "net.ipv4.tcp_fastopen"  # 1: as a client, 2: as a server; of both families


def told(host):
    return json.loads(host.weir("-j", "sockets", "veth0").stdout)


def fast_client(host, address):
    sock = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.settimeout(20)
    sock.setsockopt(socket.IPPROTO_TCP, FASTOPEN_CONNECT, 1)
    sock.connect((address, story.PORT))
    return sock


def options(sock):
    """TCP_INFO's tcpi_options."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5]


class FastOpen(story.Pair):
    NEEDS = ("ethtool", "nstat")

    def serve(self, *how):
        self.server.weir("attach", "veth0")
        self.server.weir("steer", "add", "tcp", story.PORT)
        web = story.Server(self.server, *how)
        story.wait_engine(self.server)
        return web

    def ask(self, address):
        """One exchange; the socket stays open."""
        sock = fast_client(self.client, address)
        self.addCleanup(sock.close)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        answer = b""
        while b".\n" not in answer:
            chunk = sock.recv(65536)
            self.assertTrue(chunk, answer)
            answer += chunk
        self.assertIn(b"by weir's engine", answer)
        return sock

    def test_the_kernel_opens_to_the_engine(self):
        self.serve("--fast-open", "16")
        self.client.run("sysctl", "-qw", f"{SYSCTL}=1")
        for n, address in enumerate((V4, V6)):
            with self.subTest(address=address):
                self.assertEqual(options(self.ask(address)) & SYN_DATA, 0, "the first asks for a cookie")
                for _ in range(3):
                    sock = self.ask(address)
                    self.assertEqual(options(sock) & SYN_DATA, SYN_DATA, "the request went with the SYN")
                    mine = next(c for c in told(self.server)["connections"]
                                if c["remote"].endswith(f":{sock.getsockname()[1]}"))
                    self.assertTrue(mine["syn_data"])
                    self.assertEqual(mine["retransmits"], 0)
                self.assertEqual(counters(self.client, "TcpExtTCPFastOpenActive", "TcpExtTCPFastOpenActiveFail",
                                          "TcpRetransSegs"), [3 * (n + 1), 0, 0])
        answer = told(self.server)
        self.assertEqual(answer["fast_open"], {"active": 0, "active_failed": 0, "passive": 6, "passive_failed": 0,
                                               "cookies_given": 2, "overflows": 0})
        self.assertEqual([(l["fast_open"], l["fast_open_pending"]) for l in answer["listeners"]], [(16, 0)])
        self.assertIn("fastopen", self.server.weir("sockets", "--info", "veth0").stdout)

    def test_a_server_without_it_serves_who_asks_for_it(self):
        self.serve()
        self.client.run("sysctl", "-qw", f"{SYSCTL}=1")
        for address in (V4, V6):
            for _ in range(2):
                self.assertEqual(options(self.ask(address)) & SYN_DATA, 0)
        self.assertEqual(counters(self.client, "TcpExtTCPFastOpenActive"), [0])
        self.assertEqual(told(self.server)["fast_open"]["cookies_given"], 0)

    def test_the_engine_opens_to_the_kernel(self):
        self.server.weir("attach", "veth0")
        self.client.run("sysctl", "-qw", f"{SYSCTL}=2")
        body = b"0123456789" * 10_000
        addresses = ("10.77.0.2", "fd77::2")
        listeners = []
        for address in addresses:
            listener = self.client.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            self.addCleanup(listener.close)
            listener.bind((address, 8081))
            listener.setsockopt(socket.IPPROTO_TCP, FASTOPEN, 16)
            listener.listen()
            listener.settimeout(20)
            listeners.append(listener)
        seen = []

        def serve():
            for n, listener in enumerate(listeners):
                for turn in range(5):
                    peer, _ = listener.accept()
                    with peer:
                        peer.settimeout(20)
                        assert peer.recv(4096).startswith(b"GET / ")
                        seen.append(options(peer) & SYN_DATA)
                        # From the fourth on another key is in use: the third cookie is refused, and a new one given.
                        if turn == 2:
                            self.client.run("sysctl", "-qw", f"{SYSCTL}_key=1-2-3-{n + 1}")
                        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        thread = threading.Thread(target=serve)
        thread.start()
        # One engine for all: a second would find the queue in use for a moment after the first, and go by the kernel.
        urls = [story.url(address, "/", 8081) for address in addresses for _ in range(5)]
        got = self.server.run(lab.EXAMPLES / "weir-get", "--fast-open", *urls)
        thread.join()
        self.assertEqual(got.stdout, (body * 10).decode())
        self.assertEqual(seen, [0, SYN_DATA, SYN_DATA, 0, SYN_DATA] * 2)
        self.assertEqual(got.stderr.count("through weir's engine"), 10)
        self.assertEqual(got.stderr.count("the request went with the SYN"), 6)
        self.assertEqual(counters(self.client, "TcpExtTCPFastOpenPassive", "TcpExtTCPFastOpenCookieReqd",
                                  "TcpExtTCPFastOpenPassiveFail"), [6, 2, 2])


if __name__ == "__main__":
    lab.main()
