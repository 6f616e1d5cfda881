# SPDX-License-Identifier: MIT
"""attach beside other programs, and on devices that it refuses."""
import json

from machine import world
from machine.world import case
from tests import virtio

PORT = virtio.PORT


def dispatched(guest):
    """The programs that libxdp's dispatcher runs on eth0."""
    return guest.run("xdp-loader status eth0", check=False).output


@case("attach.shared", guests=2)
def shared(t):
    """attach --shared beside xdp-filter, by libxdp's dispatcher: both do their work, in either order, and part in peace."""
    server, client = t.pair()
    # The other program first.
    server.run("xdp-filter load eth0 --mode native")
    refused = server.weir("attach", "eth0", check=False)
    t.equal(refused.status, 1, "attach without --shared")
    t.true("--shared" in refused.output, f"the refusal does not name the way: {refused.output}")
    report, pid = virtio.serve(server, "--shared")
    t.equal((report["shared"], report["mode"]), (True, "native"), "the report of attach")
    status = virtio.status(server)
    t.equal((status["attached"], status["shared"]), (True, True), "weir status")
    t.true(any("xdpfilt" in name for name in status["beside"]), f"weir status names no other program: {status['beside']}")
    t.facts["status"] = server.weir("status").output
    virtio.main_job(t, server, client)
    # What the filter drops does not come to weir; what it lets through again does.
    server.run("xdp-filter ip 10.77.0.2 --mode src")
    t.true(client.run(f"curl -sS --max-time 3 http://10.77.0.1:{PORT}/", check=False).status != 0, "xdp-filter drops nothing")
    server.run("xdp-filter ip 10.77.0.2 --mode src --remove")
    virtio.fetch(t, client, size=1 << 16)
    checks = {c["check"]: c for c in json.loads(server.weir("-j", "doctor", "eth0", check=False).output)["checks"]}
    t.equal(checks["other xdp"]["health"], "ok", checks["other xdp"]["text"])
    # weir goes, the other stays; then the other way round.
    virtio.take_down(t, server, pid)
    t.true("xdpfilt" in dispatched(server), "xdp-filter went with weir")
    _, pid = virtio.serve(server, "--shared")
    server.run("xdp-filter unload eth0")
    virtio.fetch(t, client, size=1 << 16)
    server.run("xdp-filter load eth0 --mode native")
    virtio.fetch(t, client, size=1 << 16)
    t.true("xdpfilt" in dispatched(server) and "weir_xdp_shared" in dispatched(server), dispatched(server))
    # Somebody takes everything off the interface: that is said, and cleaned up.
    server.run("xdp-loader unload eth0 --all")
    server.until(f"curl -sS --max-time 5 http://10.77.0.1:{PORT}/ | grep -q 'by the kernel'", "the service by the kernel")
    server.run(f"kill {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.05; done")
    t.true("gone" in server.weir("status", check=False).output or "detach" in server.weir("status", check=False).output,
           "weir status does not say that its program is gone")
    server.weir("detach", "eth0")
    t.equal(server.run("ls /sys/fs/bpf/weir 2>/dev/null | wc -l").output.strip(), "0", "pins that are left")


@case("attach.devices")
def devices(t):
    """VLAN, bond and bridge devices: attach refuses by name, or works; doctor says the same and what to do."""
    g = t.guest(**world.hub())
