# SPDX-License-Identifier: MIT
"""What a test gets: guests of the kernel under test, wires between them, and the words for "no" and "not here"."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from . import guest as machine


class Failed(Exception):
    """The test's own judgement."""


class Skip(Exception):
    """It cannot be shown here, and why."""


class Case:
    """A test: a function of a World. `guests`: how many machines it boots at once. `limit`: seconds, of an idle machine's
    time twice over. `since`: the oldest kernel that can show it. `short`: part of the repository's test command. `matrix`: run where no
    test is named."""

    def __init__(self, name, function, guests, limit, since, short, matrix, why):
        self.name, self.function, self.guests, self.limit = name, function, guests, limit
        self.since, self.short, self.matrix, self.why = since, short, matrix, why

    @property
    def about(self):
        return (self.function.__doc__ or "").strip().splitlines()[0]


CASES = []


def case(name, guests=1, limit=180, since=(0, 0), short=False, matrix=True, why=""):
    def register(function):
        CASES.append(Case(name, function, guests, limit, since, short, matrix, why))
        return function
    return register


class Wire:
    """A cable between two network devices: a pair of sockets that QEMU passes frames through. A full one holds its sender
    back, so nothing is lost on it."""

    def __init__(self, number):
        self.number = number
        self.ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in self.ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def nic(self, end, device):
        """A Guest's arguments for the device at one end (0 or 1)."""
        fd = self.ends[end].fileno()
        name = f"wire{self.number}{'ab'[end]}"
        return {"nics": [["-netdev", f"dgram,id={name},local.type=fd,local.str={fd}",
                          "-device", f"virtio-net-pci,netdev={name},mac={mac(self.number, end)}{device}"]], "fds": [fd]}

    def close(self):
        for end in self.ends:
            end.close()


class Taps:
    """A cable for devices of several queues: two tap devices and a bridge, in a network namespace of their own."""

    def __init__(self, queues):
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise Skip("several queues need tap devices, and /dev/net/tun may not be opened here")
        self.queues = queues
        # The namespace lives as long as this child, which ends with its standard input.
        enter = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        self.holder = subprocess.Popen([*enter, "sh", "-c", "echo ready; read -r _"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            raise Skip("several queues need a network namespace, and none may be made here: " + self.holder.stderr.read().strip())
        spaces = [f"--net=/proc/{self.holder.pid}/ns/net"]
        if os.geteuid():
            spaces += [f"--user=/proc/{self.holder.pid}/ns/user", "--preserve-credentials"]
        self.inside = ["nsenter", *spaces]
        commands = ["link add wire type bridge", "link set wire up"]
        for tap in ("tap0", "tap1"):
            commands += [f"tuntap add {tap} mode tap multi_queue", f"link set {tap} master wire up"]
        for command in commands:
            subprocess.run([*self.inside, "ip", *command.split()], check=True, capture_output=True)

    def nic(self, end, device):
        return {"nics": [["-netdev", f"tap,id=tap,ifname=tap{end},script=no,downscript=no,vhost=off,queues={self.queues}",
                          "-device", f"virtio-net-pci,netdev=tap,mac={mac(0, end)},mq=on,vectors={2 * self.queues + 2}{device}"]],
                "prefix": self.inside}

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()


# A device whose memory goes by the DMA interface, as true zero-copy wants it; and one as older hosts have it.
MODERN = ",iommu_platform=on,disable-legacy=on"
PLAIN = ""


def mac(number, end):
    return f"52:54:00:00:{number:02x}:{end + 1:02x}"


def hub(device=MODERN):
    """A Guest's arguments for two devices that are joined to each other: eth0 and eth1."""
    return {"nics": [["-netdev", f"hubport,id=hub{n},hubid=0",
                      "-device", f"virtio-net-pci,netdev=hub{n},mac={mac(255, n)}{device}"] for n in (0, 1)]}


LIVE = []  # the worlds of tests that run now


class World:
    """The place of one test on one kernel. Whatever it makes ends with it."""

    def __init__(self, kernel, image, logs, other=None, options=None):
        self.kernel, self.image, self.logs = kernel, image, logs
        self.other = other or kernel  # a second kernel, for tests of two that talk
        self.options = options
        self.guests, self.wires = [], []
        self.facts = {}               # what the test wants remembered beside its result
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="weir-vm-"))
        LIVE.append(self)

    def start(self, name="guest", kernel=None, **kw):
        """A guest that begins to boot."""
        kernel = kernel or self.kernel
        self.logs.mkdir(parents=True, exist_ok=True)
        for old in (self.logs / f"{name}.log", self.logs / f"{name}.kernel.log"):
            old.unlink(missing_ok=True)
        initrd = self.scratch / f"{name}.initrd"
        self.image.write(initrd, kernel)
        made = machine.Guest(name, kernel, initrd, self.logs, **kw)
        self.guests.append(made)
        return made

    def guest(self, name="guest", **kw):
        return self.start(name, **kw).booted()

    def wire(self):
        self.wires.append(Wire(len(self.wires)))
        return self.wires[-1]

    def taps(self, queues):
        self.wires.append(Taps(queues))
        return self.wires[-1]

    def pair(self, kernels=None, device=MODERN, wire=None, **kw):
        """(server, client): two guests with one wire, addresses set, eth0 up. Booted at the same time."""
        wire = wire or self.wire()
        kernels = kernels or (self.kernel, self.kernel)
        pair = []
        for end, name in enumerate(("server", "client")):
            pair.append(self.start(name, kernels[end], **wire.nic(end, device), **kw))
        for host, one in enumerate(pair, 1):
            one.booted().run(f"ip addr add 10.77.0.{host}/24 dev eth0; ip addr add fd77::{host}/64 dev eth0 nodad; "
                             "ip link set eth0 up")
        server, client = pair
        client.until("ping -c 1 -W 1 10.77.0.1 >/dev/null", "an answer of the server's kernel")
        return server, client

    def equal(self, got, wanted, what=""):
        if got != wanted:
            raise Failed(f"{what or 'value'}: {got!r}, and {wanted!r} was to be")

    def true(self, got, what):
        if not got:
            raise Failed(what)

    def kill(self):
        """From another thread: the test ends in an error at its next word with a guest."""
        for one in list(self.guests):
            one.process.kill()

    def abandon(self):
        """When the whole run is stopped: no guest and no file is left, whatever the test is about to do."""
        self.kill()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def close(self):
        """Ends every guest; what was wrong with one, or None."""
        wrong = None
        for one in self.guests:
            ended = one.stop()
            trouble = one.trouble()
            if trouble:
                wrong = wrong or f"{one.name}'s kernel says:\n{trouble}"
            elif not ended:
                wrong = wrong or f"{one.name} did not end by itself"
        for wire in self.wires:
            wire.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
        LIVE.remove(self)
        return wrong
