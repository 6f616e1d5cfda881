# SPDX-License-Identifier: MIT
"""A server under load for WEIR_SOAK_SECONDS (60 unless told): no crash, no sanitizer's report, memory flat. The load is new
connections, kept-alive requests, bulk both ways, half-sent requests and resets, over both families."""
import os
import pathlib
import signal
import socket
import struct
import threading
import time
import unittest

import story
from story import V4, V6, lab

SECONDS = int(os.environ.get("WEIR_SOAK_SECONDS", "60"))
ALLOWED_GROWTH = 16 << 20


def resident(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Soak(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lab.need("ethtool")

    def request(self, sock, path):
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = sock.recv(65536)
            if not chunk:
                raise ConnectionError("the server closed")
            answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
        while len(body) < length:
            chunk = sock.recv(65536)
            if not chunk:
                raise ConnectionError("the server closed within a body")
            body += chunk

    def churn(self, client, address, end, count, wrong):
        turn = 0
        while time.monotonic() < end:
            turn += 1
            try:
                with story.connect(client, address, timeout=30) as sock:
                    if turn % 7 == 0:    # half a request, then a reset
                        sock.sendall(b"GET /bytes/1000000 HTTP/1.1\r\nHo")
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    elif turn % 11 == 0:  # an answer that nobody reads to its end
                        sock.sendall(b"GET /bytes/3000000 HTTP/1.1\r\nHost: test\r\n\r\n")
                        sock.recv(1000)
                    else:
                        for _ in range(1 + turn % 20):
                            self.request(sock, "/bytes/%d" % (1 + turn * 977 % 50000))
                count.append(1)
            except OSError as error:
                wrong.append(repr(error))
                return

    def test_under_load(self):
        with lab.Lab() as here:
            server, client = here.pair()
            server.weir("attach", "veth0")
            server.weir("steer", "add", "tcp", story.PORT)
            web = story.Server(server)
            story.wait_engine(server)
            # The engine's process, not nsenter's: nsenter execs, so they are one.
            warm = time.monotonic() + SECONDS / 4
            end = time.monotonic() + SECONDS
            count, wrong = [], []
            threads = [threading.Thread(target=self.churn, args=(client, a, end, count, wrong), daemon=True) for a in (V4, V6) * 4]
            for thread in threads:
                thread.start()
            while time.monotonic() < warm:
                time.sleep(0.1)
            before = resident(web.pid)
            for thread in threads:
                thread.join(timeout=SECONDS + 60)
            after = resident(web.pid)
            self.assertEqual(wrong, [])
            self.assertIsNone(web.process.poll(), web.output())
            web.kill(signal.SIGTERM)
            self.assertEqual(web.process.returncode, 0, web.output())
            self.assertNotIn("Sanitizer", web.output())
            self.assertNotIn("runtime error", web.output())
            print(f"soak: {SECONDS} s, {len(count)} connections, resident {before >> 10} KiB after warm-up, {after >> 10} KiB at the end")
            self.assertLess(after - before, ALLOWED_GROWTH)


if __name__ == "__main__":
    lab.main()
