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
    """VLAN, bond and bridge: ports are refused by name, the devices themselves are named as untested, doctor says what to do."""
    g = t.guest(**world.hub())

    def doctor(device):
        told = g.weir("-j", "doctor", device, check=False).json()
        return {c["check"]: c for c in told["checks"] if c["about"] == device}

    def refused(device, *words):
        said = g.weir("attach", device, check=False)
        t.equal(said.status, 1, f"attach {device}")
        for word in words:
            t.true(word in said.output, f"attach {device} does not say {word!r}: {said.output}")

    def untested(device):
        report = g.weir("-j", "attach", device).json()
        t.true(any("plain Ethernet" in note for note in report["notes"]), f"attach {device} says nothing of its kind")
        check = doctor(device)["kind"]
        t.equal((check["health"], bool(check["mend"])), ("warn", True), f"doctor on {device}: {check}")
        g.weir("detach", device)

    for kind in ("bond", "bridge"):
        g.run(f"ip link add over0 type {kind}; ip link set eth0 down; ip link set eth0 master over0; ip link set over0 up")
        refused("eth0", f"{kind} over0", "nomaster")
        check = doctor("eth0")["kind"]
        t.equal((check["health"], check["mend"]), ("fail", "ip link set eth0 nomaster"), "doctor on a port")
        untested("over0")
        g.run(check["mend"] + "; ip link del over0")
    # A VLAN device above: its frames are the kernel's, unless the driver takes the tags off before XDP looks.
    g.run("ip link set eth0 up; ip link add link eth0 name eth0.5 type vlan id 5; ip link set eth0.5 up")
    g.weir("attach", "eth0")
    t.equal(doctor("eth0")["vlan"]["health"], "ok", "doctor on a device below a VLAN device")
    g.weir("detach", "eth0")
    untested("eth0.5")
    g.run("ip link add v0 type veth peer name v1; ip link add link v0 name v0.7 type vlan id 7; ip link set v0 up; ip link set v1 up")
    refused("v0", "v0.7", "rxvlan off")
    check = doctor("v0")["vlan"]
    t.equal((check["health"], check["mend"]), ("fail", "ethtool -K v0 rxvlan off"), "doctor on rxvlan")
    g.run(check["mend"])
    g.weir("attach", "v0")
    g.weir("detach", "v0")
