# SPDX-License-Identifier: MIT
"""What a test gets: guests of the kernel under test, wires between them, and the words for "no" and "not here"."""
import socket
import tempfile
import threading

from . import guest as machine


class Failed(Exception):
    """The test's own judgement."""


class Skip(Exception):
    """It cannot be shown here, and why."""


class Case:
    """A test: a function of a World. `guests`: how many machines it boots at once. `limit`: seconds, of an idle machine's
    time twice over. `since`: the oldest kernel that can show it. `short`: part of the repository's test command."""

    def __init__(self, name, function, guests, limit, since, short, why):
        self.name, self.function, self.guests, self.limit = name, function, guests, limit
        self.since, self.short, self.why = since, short, why

    @property
    def about(self):
        return (self.function.__doc__ or "").strip().splitlines()[0]


CASES = []


def case(name, guests=1, limit=180, since=(0, 0), short=False, why=""):
    def register(function):
        CASES.append(Case(name, function, guests, limit, since, short, why))
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

    def nic(self, end, device=""):
        """QEMU's arguments for the device at one end (0 or 1), and the descriptor that it needs."""
        fd = self.ends[end].fileno()
        name = f"wire{self.number}{'ab'[end]}"
        return [["-netdev", f"dgram,id={name},local.type=fd,local.str={fd}",
                 "-device", f"virtio-net-pci,netdev={name},mac=52:54:00:00:{self.number:02x}:{end + 1:02x}{MODERN}{device}"]], [fd]

    def close(self):
        for end in self.ends:
            end.close()


# True zero-copy needs a device whose memory goes by the DMA interface (iommu_platform), which legacy devices do not.
MODERN = ",iommu_platform=on,disable-legacy=on"


def hub(device=""):
    """QEMU's arguments for two devices of one guest that are joined: eth0 and eth1."""
    out = []
    for n in (0, 1):
        out.append(["-netdev", f"hubport,id=hub{n},hubid=0",
                    "-device", f"virtio-net-pci,netdev=hub{n},mac=52:54:00:00:ff:{n + 1:02x}{MODERN}{device}"])
    return out


class World:
    """The place of one test on one kernel. Whatever it makes ends with it."""

    def __init__(self, kernel, image, logs, other=None, options=None):
        self.kernel, self.image, self.logs = kernel, image, logs
        self.other = other or kernel  # a second kernel, for tests of two that talk
        self.options = options
        self.guests, self.wires, self.processes = [], [], []
        self.facts = {}               # what the test wants remembered beside its result
        self._lock = threading.Lock()

    def guest(self, name="guest", kernel=None, **kw):
        kernel = kernel or self.kernel
        self.logs.mkdir(parents=True, exist_ok=True)
        for old in (self.logs / f"{name}.log", self.logs / f"{name}.kernel.log"):
            old.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(prefix="weir-vm-") as initrd:
            self.image.write(initrd.name, kernel)
            made = machine.Guest(name, kernel, initrd.name, self.logs, **kw)
        self.guests.append(made)
        return made

    def wire(self):
        self.wires.append(Wire(len(self.wires)))
        return self.wires[-1]

    def pair(self, kernels=None, device="", **kw):
        """(server, client): two guests with one wire, addresses set, eth0 up. Booted at the same time."""
        wire = self.wire()
        kernels = kernels or (self.kernel, self.kernel)
        made, wrong = {}, []

        def boot(name, kernel, end):
            try:
                nics, fds = wire.nic(end, device)
                made[name] = self.guest(name, kernel, nics=nics, fds=fds, **kw)
            except Exception as e:  # pylint: disable=broad-except
                wrong.append(e)
        # QEMU dies with the thread that started it, so the second is started here, where the test goes on.
        boot("server", kernels[0], 0)
        if not wrong:
            boot("client", kernels[1], 1)
        if wrong:
            raise wrong[0]
        for name, host in (("server", 1), ("client", 2)):
            made[name].run(f"ip addr add 10.77.0.{host}/24 dev eth0; ip addr add fd77::{host}/64 dev eth0 nodad; "
                           "ip link set eth0 up")
        made["client"].until("ping -c 1 -W 1 10.77.0.1 >/dev/null", "an answer of the server's kernel")
        return made["server"], made["client"]

    def equal(self, got, wanted, what=""):
        if got != wanted:
            raise Failed(f"{what or 'value'}: {got!r}, and {wanted!r} was to be")

    def true(self, got, what):
        if not got:
            raise Failed(what)

    def kill(self):
        """From another thread: the test ends in an error at its next word with a guest."""
        with self._lock:
            for one in self.guests:
                one.process.kill()

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
        return wrong
