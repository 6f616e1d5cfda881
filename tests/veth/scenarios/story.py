# SPDX-License-Identifier: MIT
"""What the scenarios share: a server host with weir attached, the HTTP example on it, and ways to ask who answered."""
import contextlib
import hashlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "harness"))
import lab  # noqa: E402

PORT = 8080
V4, V6 = "10.77.0.1", "fd77::1"
ENGINE, KERNEL = "engine", "kernel"


def url(address, path="/", port=PORT):
    return f"http://[{address}]:{port}{path}" if ":" in address else f"http://{address}:{port}{path}"


class Case(unittest.TestCase):
    """A lab for each test: self.lab."""
    NEEDS = ("ethtool",)

    @classmethod
    def setUpClass(cls):
        lab.need(*cls.NEEDS)

    def setUp(self):
        context = lab.Lab()
        self.lab = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)


class Pair(Case):
    """Two hosts on one wire: self.server, self.client."""
    HOSTS = {}

    def setUp(self):
        super().setUp()
        self.server, self.client = self.lab.pair(**self.HOSTS)


class Server:
    """weir-http on a host; its output goes to a file, so that a full pipe never stops it."""

    def __init__(self, host, *options, program=None, prefix=(), env=None, port=PORT):
        self.host, self.port = host, port
        self.log = tempfile.NamedTemporaryFile(mode="r", prefix="weir-http-")
        program = program or lab.EXAMPLES / "weir-http"
        with open(self.log.name, "w") as out:
            self.process = host.popen(*prefix, program, "--port", port, *options, stdout=out, stderr=subprocess.STDOUT, env=env)

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        return pathlib.Path(self.log.name).read_text()

    def kill(self, signal_number=9):
        self.process.send_signal(signal_number)
        if signal_number in (9, 15, 2):
            self.process.wait(timeout=30)

    def stop(self):
        self.kill(15)


def status(host, device="veth0"):
    """`weir status` as JSON, for one interface; None where weir is not attached."""
    done = host.weir("-j", "status", device, check=False)
    if done.returncode:
        return None
    answer = json.loads(done.stdout)
    return answer["interfaces"][0] if "interfaces" in answer else answer


def steered(host, port=PORT, device="veth0"):
    """The steering entry of a port in `weir steer list`, or None."""
    entries = json.loads(host.weir("-j", "steer", "list", "dev", device).stdout)["steer"]
    return next((e for e in entries if e["port"] == port), None)


def wait_engine(host, port=PORT, seconds=20, server=None):
    """Until an engine listens on the steered port; that of `server`, where one is named."""
    def there():
        if server and all(q["pid"] != server.pid for q in (status(host) or {"queues": []})["queues"]):
            return False
        return (steered(host, port) or {}).get("listening")
    lab.wait_until(there, f"an engine that listens on {port}", seconds)


def wait_kernel(host, port=PORT, seconds=20):
    """Until a kernel socket listens on the port."""
    lab.wait_until(lambda: f":{port} " in host.run("ss", "-Hltn").stdout, f"a kernel listener on {port}", seconds)


def get(client, address, path="/", port=PORT, *options):
    done = client.run("curl", "-sS", "--fail", "--max-time", "20", *options, url(address, path, port), check=False)
    return done.stdout if done.returncode == 0 else None


def served_by(client, address, port=PORT, *options):
    """ENGINE, KERNEL, or None where nobody answered."""
    page = get(client, address, "/", port, *options)
    if page is None:
        return None
    return ENGINE if "by weir's engine" in page else KERNEL if "by the kernel" in page else page


def http_exchange(sock, path="/"):
    """One HTTP/1.0 request on a connected socket; the whole answer."""
    sock.sendall(f"GET {path} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
    answer = b""
    while chunk := sock.recv(65536):
        answer += chunk
    return answer


def connect(host, address, port=PORT, timeout=10):
    sock = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.settimeout(timeout)
    sock.connect((address, port))
    return sock


def pattern(size):
    """What /bytes/<size> answers (userspace/examples/README.md)."""
    tail = bytes(j % 251 for j in range(8, 65536))
    return b"".join(k.to_bytes(8, "big") + tail for k in range(-(-size // 65536)))[:size]


def pattern_digest(size):
    tail = bytes(j % 251 for j in range(8, 65536))
    digest = hashlib.sha256()
    for k in range(size // 65536):
        digest.update(k.to_bytes(8, "big") + tail)
    if size % 65536:
        digest.update(((size // 65536).to_bytes(8, "big") + tail)[:size % 65536])
    return digest.hexdigest()


def objects(device_pins):
    """The ids of the BPF objects behind the pins of a directory, as bpftool tells: {(kind, id)}."""
    found = set()
    for pin in device_pins.iterdir():
        for kind in ("map", "link", "prog"):
            done = subprocess.run(["bpftool", "-j", kind, "show", "pinned", str(pin)], capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip():
                told = json.loads(done.stdout)
                if "error" not in told:
                    found.add((kind, told["id"]))
                    if kind == "link":
                        found.add(("prog", told["prog_id"]))
                    break
    return found


def all_objects():
    found = set()
    for kind in ("map", "link", "prog"):
        # It fails where an object goes between its number and its facts, and other tests' go at any time.
        shown = None
        while shown is None or shown.returncode == 255:
            shown = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True, check=False)
        shown.check_returncode()
        told = json.loads(shown.stdout or "[]")
        found |= {(kind, o["id"]) for o in told}
    return found


def pins(host, device="veth0"):
    """The directory of pins of a host's interface."""
    index = json.loads(host.run("ip", "-j", "link", "show", device).stdout)[0]["ifindex"]
    return lab.PIN_ROOT / f"{lab.netns_cookie(host.netns)}-{index}"


@contextlib.contextmanager
def kernel_stream(host, port, total, chunk=1 << 16):
    """A kernel TCP service that sends `total` bytes to whoever connects; yields the digest to expect."""
    block = bytes(range(256)) * (chunk // 256)
    digest = hashlib.sha256()
    for _ in range(total // chunk):
        digest.update(block)
    code = ("import socket,sys\n"
            "s=socket.create_server(('::',int(sys.argv[1])),family=socket.AF_INET6,dualstack_ipv6=True)\n"
            "print('ready',flush=True)\n"
            "b=bytes(range(256))*(int(sys.argv[3])//256)\n"
            "while True:\n"
            "  c,_=s.accept()\n"
            "  try:\n"
            "    for _ in range(int(sys.argv[2])//len(b)): c.sendall(b)\n"
            "  except OSError: pass\n"
            "  c.close()\n")
    child = host.popen(sys.executable, "-c", code, port, total, chunk)
    assert child.stdout.readline().strip() == "ready"
    yield digest.hexdigest()
    child.kill()
