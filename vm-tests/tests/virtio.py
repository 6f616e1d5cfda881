# SPDX-License-Identifier: MIT
"""The main job over virtio-net: two machines on one wire, an engine on one, the kernel or another engine on the other."""
import hashlib

from machine import world
from machine.world import case

PORT = 8080
SIZE = 1 << 20
ZERO_COPY = (6, 18)  # virtio_net's AF_XDP zero-copy, true with iommu_platform
WHY_ZERO_COPY = "virtio_net has no AF_XDP zero-copy before"


def digest(size=SIZE):
    """Of what /bytes/<size> answers (userspace/examples/README.md)."""
    tail = bytes(j % 251 for j in range(8, 65536))
    whole = b"".join(k.to_bytes(8, "big") + tail for k in range(-(-size // 65536)))[:size]
    return hashlib.sha256(whole).hexdigest()


def serve(server, *attach):
    """weir attached to eth0, the port steered, weir-http on its engine. Returns the report of attach, and the server's pid."""
    report = server.weir("-j", "attach", "eth0", *attach).json()
    server.weir("steer", "add", "tcp", PORT)
    pid = server.background(f"weir-http --port {PORT}", "/tmp/http")
    server.until(f"weir -j steer list | grep -q '\"listening\": *true'", "an engine that listens")
    return report, pid


def status(server):
    return server.weir("-j", "status", "eth0").json()["interfaces"][0]


def fetch(t, client, address="10.77.0.1", size=SIZE):
    """The page says that the engine made it, and the bytes are the right ones."""
    host = f"[{address}]" if ":" in address else address
    # On a machine that is short of CPU the engine's heartbeat may be older than a second: such a SYN is the kernel's.
    client.until(f"curl -sS --fail --max-time 20 http://{host}:{PORT}/ | grep \"by weir's engine\"", "a page by the engine")
    got = client.run(f"curl -sS --fail --max-time 100 http://{host}:{PORT}/bytes/{size} | sha256sum", timeout=120).output.split()[0]
    t.equal(got, digest(size), f"the digest of {size} bytes over {address}")


def main_job(t, server, client):
    """Served by the engine over both families; ping and the kernel's own service untouched."""
    server.background(f"python3 -m http.server 9090 --bind :: --directory /weir/tests", "/tmp/kernel-http")
    for address in ("10.77.0.1", "fd77::1"):
        fetch(t, client, address)
        client.run(f"ping -c 3 -i 0.2 -W 5 {address}")
    client.until("curl -sS --fail --max-time 5 http://10.77.0.1:9090/ >/dev/null", "the kernel's own service")


def take_down(t, server, pid):
    """The server ends, its program is detached, nothing is left."""
    server.run(f"kill {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.05; done")
    server.weir("detach", "eth0")
    t.equal(server.run("ls /sys/fs/bpf/weir 2>/dev/null | wc -l").output.strip(), "0", "pins that are left")


def zero_copy(server):
    """Of each queue, as weir status has it."""
    return [q["zero_copy"] for q in status(server)["queues"]]


@case("virtio.native", guests=2, short=True)
def native(t):
    """The main job on two machines: native XDP, and the AF_XDP mode that the kernel's driver does best."""
    server, client = t.pair()
    report, pid = serve(server)
    t.equal(report["mode"], "native", "XDP mode")
    main_job(t, server, client)
    best = t.kernel.version >= ZERO_COPY
    t.equal(zero_copy(server), [best], "zero copy in weir status")
    driver = next(c["text"] for c in server.weir("-j", "doctor", "eth0", check=False).json()["checks"] if c["check"] == "driver")
    t.true(("native XDP and zero-copy" if best else "Linux 6.18 has zero-copy") in driver, f"doctor on the driver: {driver}")
    t.facts["status"] = server.weir("status").output
    t.true(("zero-copy" if best else "copy mode") in t.facts["status"], "weir status does not name the mode")
    take_down(t, server, pid)


@case("virtio.copy", guests=2, since=ZERO_COPY, why="where there is no zero-copy, virtio.native is in copy mode")
def copy(t):
    """The main job in copy mode on a kernel that has zero-copy: the device's memory does not go by the DMA interface."""
    server, client = t.pair(device=world.PLAIN)
    _, pid = serve(server)
    main_job(t, server, client)
    t.equal(zero_copy(server), [False], "zero copy in weir status")
    take_down(t, server, pid)


@case("virtio.generic", guests=2)
def generic(t):
    """The main job with generic XDP."""
    server, client = t.pair()
    report, pid = serve(server, "--mode", "generic")
    t.equal(report["mode"], "generic", "XDP mode")
    main_job(t, server, client)
    t.equal(zero_copy(server), [False], "zero copy in weir status")
    take_down(t, server, pid)


@case("virtio.queues", guests=2)
def queues(t):
    """Two queues, an AF_XDP socket on each: connections on both are served."""
    server, client = t.pair(wire=t.taps(2), cpus=2)
    server.run("ethtool -L eth0 combined 2")
    report, pid = serve(server)
    t.equal(report["mode"], "native", "XDP mode")
    best = t.kernel.version >= ZERO_COPY
    t.equal(zero_copy(server), [best, best], "zero copy in weir status")
    main_job(t, server, client)
    used = server.run("ethtool -S eth0 | grep -E 'rx_?(queue_)?[0-9]+_(xdp_)?packets'", check=False).output
    t.facts["queues"] = used
    take_down(t, server, pid)


@case("virtio.engines", guests=2)
def engines(t):
    """Engine to engine, on two kernels: weir-get connects by its own engine to weir-http's."""
    server, client = t.pair(kernels=(t.kernel, t.other))
    _, pid = serve(server)
    client.weir("attach", "eth0")
    for host in ("10.77.0.1", "[fd77::1]"):
        page = client.run(f"weir-get http://{host}:{PORT}/bytes/{SIZE} >/tmp/got 2>/tmp/said; cat /tmp/said; sha256sum </tmp/got",
                          timeout=120).output
        t.true("through weir's engine" in page, f"weir-get did not use its engine: {page}")
        t.true(digest() in page, f"other bytes from {host}: {page}")
    client.weir("detach", "eth0")
    take_down(t, server, pid)


@case("virtio.kernels", guests=2)
def kernels(t):
    """The engine on this kernel, the client's kernel another."""
    server, client = t.pair(kernels=(t.kernel, t.other))
    _, pid = serve(server)
    main_job(t, server, client)
    t.facts["client"] = client.kernel.release
    take_down(t, server, pid)


@case("virtio.killed", guests=2)
def killed(t):
    """kill -9 of the engine: the kernel has the interface, the next engine has the queue, and detach leaves nothing."""
    server, client = t.pair()
    _, pid = serve(server)
    for _ in range(3):
        fetch(t, client, size=1 << 16)
        server.run(f"kill -9 {pid}")
        client.run("ping -c 2 -i 0.2 -W 5 10.77.0.1")
        pid = server.background(f"weir-http --port {PORT}", "/tmp/http")
        server.until(f"weir -j status eth0 | grep -q '\"engine\":\"alive\",\"pid\":{pid}'", "the next engine")
        server.until("weir -j steer list | grep -q '\"listening\": *true'", "an engine that listens")
    fetch(t, client, size=1 << 16)
    take_down(t, server, pid)


@case("virtio.order", guests=2)
def order(t):
    """detach with a live engine: its sockets are closed before the program goes, as the kernel's own calls show."""
    server, client = t.pair()
    trace = "/sys/kernel/tracing"
    # What frees an AF_XDP socket, and what takes a program from a device: by a link's end, or by netlink.
    server.run(f"cd {trace}; echo 'xsk_release bpf_xdp_link_release bpf_xdp_link_detach dev_xdp_detach_link' >set_ftrace_filter; "
               "echo function >current_tracer")
    for _ in range(3):
        _, pid = serve(server)
        fetch(t, client, size=1 << 16)
        server.run(f"echo >{trace}/trace")
        server.weir("detach", "eth0", "--force")
        seen = server.run(f"grep -oE 'xsk_release|bpf_xdp_link_release|bpf_xdp_link_detach' {trace}/trace", check=False).output.split()
        t.facts["calls"] = calls = [c for n, c in enumerate(seen) if n == 0 or c != seen[n - 1]]
        t.true("xsk_release" in calls, f"no socket was closed: {calls}")
        t.true(len(calls) > 1 and calls[0] == "xsk_release" and "xsk_release" not in calls[1:],
               f"a program went before a socket: {calls}")
        t.true("by the kernel" in client.run(f"curl -sS --max-time 10 http://10.77.0.1:{PORT}/").output,
               "the service did not go on by the kernel")
        server.run(f"kill {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.05; done")


@case("virtio.memory", guests=2)
def memory(t):
    """Memory pressure: the machine's memory is taken while the engine serves; it goes on, and nothing is killed."""
    server, client = t.pair(memory=512)
    _, pid = serve(server)
    # A file in memory, until little is left; given back when it is removed.
    server.run("free=$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo); "
               "dd if=/dev/zero of=/tmp/fill bs=1024 count=$((free - 24000)) 2>/dev/null; grep MemAvailable /proc/meminfo", timeout=120)
    fetch(t, client)
    fetch(t, client, "fd77::1")
    server.run(f"kill -0 {pid}; rm /tmp/fill")
    fetch(t, client)
    t.equal(server.run("dmesg | grep -c 'Out of memory'", check=False).output.strip(), "0", "processes killed for memory")
    take_down(t, server, pid)
