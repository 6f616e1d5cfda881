# SPDX-License-Identifier: MIT
"""Many connections, and much text, both ways, both families; and a link that drops and reorders."""
import hashlib
import json
import selectors
import signal
import socket
import sys

import story
from story import V4, V6, lab

GIB = 1 << 30
CONNECTIONS = 1000


class Load(story.Case):
    NEEDS = ("curl", "ethtool")

    def serve(self, server):
        server.weir("attach", "veth0")
        server.weir("steer", "add", "tcp", story.PORT)
        story.Server(server)
        story.wait_engine(server)

    def engine_frames(self, server):
        """Segments that the engine took, so that a test knows who did the work."""
        rows = json.loads(server.weir("-j", "stats", "veth0").stdout)["reasons"]
        return sum(r["packets"] for r in rows if r["verdict"] == "taken" and r["name"] == "tcp")

    def download(self, client, address, size):
        curl = client.popen("curl", "-sS", "--fail", story.url(address, f"/bytes/{size}"), stderr=None, text=False,
                            bufsize=1 << 20)
        digest = hashlib.sha256()
        while chunk := curl.stdout.read(1 << 20):
            digest.update(chunk)
        self.assertEqual(curl.wait(timeout=60), 0)
        return digest.hexdigest()

    def upload(self, client, address, size):
        """The server's digest of what it received, and ours of what was sent."""
        make = ("import sys,hashlib,random\n"
                "r=random.Random(7); b=r.randbytes(1<<20); h=hashlib.sha256()\n"
                "for i in range(int(sys.argv[1])>>20):\n"
                "  c=i.to_bytes(8,'big')+b[8:]; h.update(c); sys.stdout.buffer.write(c)\n"
                "print(h.hexdigest(),file=sys.stderr)\n")
        source = client.popen(sys.executable, "-c", make, size, stderr=-1, text=False)
        curl = client.popen("curl", "-sS", "--fail", "-X", "POST", "-H", "Expect:", "-T", "-", story.url(address, "/upload"),
                            stdin=source.stdout, stderr=None)
        source.stdout.close()
        told = curl.communicate(timeout=300)[0].split()
        sent = source.stderr.read().decode().strip()
        self.assertEqual(curl.returncode, 0)
        return told[0] if told else "", sent

    def test_a_gibibyte_each_way_over_v4_and_v6(self):
        server, client = self.lab.pair()
        self.serve(server)
        expected = story.pattern_digest(GIB)
        for address in (V4, V6):
            before = self.engine_frames(server)
            self.assertEqual(self.download(client, address, GIB), expected)
            told, sent = self.upload(client, address, GIB)
            self.assertEqual(told, sent)
            self.assertGreater(self.engine_frames(server) - before, GIB // 1500)

    def test_a_thousand_connections_at_once(self):
        server, client = self.lab.pair()
        self.serve(server)
        selector = selectors.DefaultSelector()
        answers = {}
        for i in range(CONNECTIONS):
            sock = client.socket(socket.AF_INET6 if i % 2 else socket.AF_INET)
            self.addCleanup(sock.close)
            sock.setblocking(False)
            sock.connect_ex((V6 if i % 2 else V4, story.PORT))
            selector.register(sock, selectors.EVENT_WRITE)
        connected = []
        while len(connected) < CONNECTIONS:
            ready = selector.select(timeout=20)
            self.assertTrue(ready, f"only {len(connected)} of {CONNECTIONS} connected")
            for key, _ in ready:
                self.assertEqual(key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
                selector.unregister(key.fileobj)
                connected.append(key.fileobj)
        lab.wait_until(lambda: story.steered(server)["flows"] >= CONNECTIONS, "a thousand flows on the engine")
        for i, sock in enumerate(connected):
            sock.sendall(f"GET /bytes/{1000 + i} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
            selector.register(sock, selectors.EVENT_READ)
            answers[sock] = bytearray()
        ended = 0
        while ended < CONNECTIONS:
            ready = selector.select(timeout=20)
            self.assertTrue(ready, f"only {ended} of {CONNECTIONS} answered")
            for key, _ in ready:
                chunk = key.fileobj.recv(65536)
                if chunk:
                    answers[key.fileobj] += chunk
                else:
                    selector.unregister(key.fileobj)
                    ended += 1
        for i, sock in enumerate(connected):
            body = bytes(answers[sock]).partition(b"\r\n\r\n")[2]
            self.assertEqual(body, story.pattern(1000 + i))

    def test_sixty_four_mebibytes_while_every_fiftieth_frame_is_lost_and_some_are_reordered(self):
        server, middle, client = (self.lab.host(n) for n in ("server", "middle", "client"))
        self.lab.veth(server, middle, "veth0", "left")
        self.lab.veth(client, middle, "veth0", "right")
        server.address("veth0", f"{V4}/24", f"{V6}/64")
        client.address("veth0", "10.77.0.2/24", "fd77::2/64")
        link = middle.popen(lab.HARNESS / "weir_impair", "left", "right", "--drop-every", 50, "--reorder-every", 71)
        self.assertEqual(link.stdout.readline().strip(), "ready")
        self.serve(server)
        size = 64 << 20
        expected = story.pattern_digest(size)
        self.assertEqual(self.download(client, V4, size), expected)
        told, sent = self.upload(client, V6, size)
        self.assertEqual(told, sent)
        link.send_signal(signal.SIGTERM)
        did = json.loads(link.communicate(timeout=20)[0])
        for direction in did.values():
            self.assertGreaterEqual(direction["dropped"], direction["frames"] // 50)
            self.assertGreater(direction["reordered"], 0)


if __name__ == "__main__":
    lab.main()
