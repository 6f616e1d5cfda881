# SPDX-License-Identifier: MIT
"""One virtual machine: a QEMU without disk, display or privileges, that runs what it is told over a serial line."""
import base64
import contextlib
import ctypes
import functools
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BOOT_SECONDS = 120  # of a machine whose CPUs others use too; four seconds when they do not
PASSED = 33         # QEMU's exit status when the guest said by its debug exit port that it ended by itself (guest/exit.c)

# What a kernel says of itself that no test may see. Read in the log of each guest after each test.
TROUBLE = re.compile(r"Kernel panic|\bBUG: |\bBUG at |\bWARNING: |Oops|general protection fault|\bRIP: |Call Trace|"
                     r"unregister_netdevice: waiting|blocked for more than|soft lockup|rcu: INFO|UBSAN|use-after-free")
# Said of software emulation, not of us.
HARMLESS = re.compile(r"Spectre|mitigation|clocksource|TSC|MDS|hrtimer: interrupt took")

_libc = ctypes.CDLL(None, use_errno=True)


class GuestFailed(Exception):
    """The machine did not boot, died, or did not answer."""


class CommandFailed(Exception):
    pass


class Done:
    def __init__(self, status, output):
        self.status, self.output = status, output

    def json(self):
        return json.loads(self.output)


def qemu():
    return shutil.which("qemu-system-x86_64")


@functools.lru_cache
def accelerator():
    """"kvm" where a guest truly runs by it within two seconds, else "tcg": /dev/kvm may open and yet not work, or run a boot
    sector and never a kernel, where the processor shows no virtualisation of its own."""
    with open("/proc/cpuinfo") as info:
        able = re.search(r"^flags\s*:.*\b(vmx|svm)\b", info.read(), re.MULTILINE)
    if not able or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    # A boot sector that ends the machine by the debug exit port: mov al,1; out 0xf4,al; hlt.
    sector = b"\xb0\x01\xe6\xf4\xf4" + bytes(505) + b"\x55\xaa"
    with tempfile.NamedTemporaryFile() as disk:
        disk.write(sector)
        disk.flush()
        try:
            done = subprocess.run([qemu(), "-accel", "kvm", "-cpu", "host", "-M", "pc", "-m", "16", "-nodefaults", "-display", "none",
                                   "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
                                   "-drive", f"file={disk.name},format=raw,if=ide"],
                                  timeout=2, check=False, stdin=subprocess.DEVNULL, capture_output=True)
        except subprocess.TimeoutExpired:
            return "tcg"
        return "kvm" if done.returncode == 3 else "tcg"


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)


class Guest:
    """Begins to boot when made; booted() waits. `nics` are QEMU's arguments for each network device, in the order of their
    names: eth0, eth1."""

    def __init__(self, name, kernel, initrd, logs, nics=(), cpus=1, memory=768, fds=(), prefix=()):
        self.name, self.kernel = name, kernel
        self.log = logs / f"{name}.log"
        self.kernel_log = logs / f"{name}.kernel.log"
        self._marks, self._initrd = 0, initrd
        self._exit = None
        ours, theirs = socket.socketpair()
        self._line = ours
        accel = accelerator()
        machine = ["-accel", "kvm", "-cpu", "host"] if accel == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "max,-la57"]
        command = [*prefix, qemu(), "-M", "pc", *machine, "-smp", str(cpus), "-m", str(memory), "-nodefaults", "-no-user-config",
                   "-no-reboot", "-display", "none", "-monitor", "none", "-kernel", str(kernel.vmlinux), "-initrd", str(initrd),
                   "-append", "console=ttyS0 loglevel=5 panic=-1 oops=panic mitigations=off cryptomgr.notests no_timer_check "
                              "noreplace-smp audit=0 apparmor=0 net.ifnames=0 tsc=reliable random.trust_cpu=on rdinit=/init",
                   "-chardev", f"file,id=log,path={self.kernel_log}", "-serial", "chardev:log",
                   "-chardev", f"socket,id=line,fd={theirs.fileno()}", "-serial", "chardev:line",
                   "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-device", "virtio-rng-pci"]
        for nic in nics:
            command += nic
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        pass_fds=[theirs.fileno(), *fds], start_new_session=True, preexec_fn=_die_with_parent)
        theirs.close()
        self._started = time.monotonic()
        self.boot_seconds = None

    def booted(self):
        """Waits until it takes commands; returns itself."""
        try:
            self._read_until(b"weir-vm ready\n", BOOT_SECONDS, None)
        except GuestFailed as e:
            raise GuestFailed(f"{self.name} did not boot: {e}") from None
        self.boot_seconds = time.monotonic() - self._started
        self._initrd.unlink()
        return self

    def run(self, command, timeout=60, check=True, quiet=False):
        """A command for the guest's sh; Done(status, output), the output of both streams. `quiet`: not into the log."""
        if not isinstance(command, str):
            command = shlex.join(map(str, command))
        self._marks += 1
        mark = f"done-{self._marks}"
        line = f"{mark} {base64.b64encode(command.encode()).decode()}\n".encode()
        if len(line) > 4000:
            raise ValueError("a command longer than the line's buffer: put it into a file of the guest first")
        with open(self.log, "ab") as log:
            if not quiet:
                log.write(f"$ {command}\n".encode())
                log.flush()
            self._send(line)
            got = self._read_until(re.compile(rb"\n" + mark.encode() + rb" (\d+)\n"), timeout, None if quiet else log, command)
        done = Done(int(got[1]), got[0].decode(errors="replace"))
        if check and done.status:
            tail = "\n".join(done.output.strip().splitlines()[-15:])
            raise CommandFailed(f"{self.name}: {command}: exit {done.status}\n{tail}")
        return done

    def background(self, command, output="/tmp/background"):
        """Starts a program that goes on; returns its process id. Its output goes to a file of the guest."""
        return int(self.run(f"{command} >{output} 2>&1 </dev/null & echo $!").output)

    def weir(self, *words, check=True, timeout=60):
        return self.run(["weir", *words], check=check, timeout=timeout)

    def until(self, command, what=None, seconds=30):
        """Runs a command again and again until it exits 0."""
        end = time.monotonic() + seconds
        while True:
            done = self.run(command, check=False)
            if done.status == 0:
                return done
            if time.monotonic() > end:
                raise CommandFailed(f"{self.name}: {what or command}: not within {seconds} s\n{done.output[-800:]}")
            time.sleep(0.1)

    def put(self, path, data):
        """Writes a small file of the guest."""
        if isinstance(data, str):
            data = data.encode()
        self.run(f": >{path}", quiet=True)
        for at in range(0, len(data), 1800):
            self.run(f"echo {base64.b64encode(data[at:at + 1800]).decode()} | base64 -d >>{path}", quiet=True)

    def trouble(self):
        """The first lines of what the kernel's log must not say, or None."""
        lines = self.kernel_log.read_text(errors="replace").splitlines() if self.kernel_log.exists() else []
        for at, line in enumerate(lines):
            if TROUBLE.search(line) and not HARMLESS.search(line):
                return "\n".join(lines[at:at + 12])
        return None

    def stop(self):
        """Ends the machine; False where it was not the guest's own doing (a panic, or it does not answer)."""
        if self._exit is None:
            with contextlib.suppress(OSError):
                self._send(b"end " + base64.b64encode(b"/weir/build/vm-tests/weir_vm_exit 0") + b"\n")
            try:
                self._exit = self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._exit = None
            self.kill()
        return self._exit == PASSED

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self._line.close()

    def _send(self, data):
        try:
            self._line.sendall(data)
        except OSError as e:
            raise GuestFailed(self._death() or str(e)) from None

    def _death(self):
        """Why the machine is gone; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=0.5)
        if self.process.poll() is None:
            return None
        said = self.process.stderr.read().decode(errors="replace").strip().splitlines()
        return self.trouble() or (said[-1] if said else f"QEMU ended with status {self.process.returncode}")

    def _read_until(self, end, seconds, log, what=""):
        pattern = end if isinstance(end, re.Pattern) else re.compile(re.escape(end))
        got, until = bytearray(), time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            ready = select.select([self._line], [], [], max(0, left))[0]
            if not ready:
                raise GuestFailed(f"{what or 'no answer'}: not within {seconds} s" + (f"\n{self.trouble()}" if self.trouble() else ""))
            try:
                data = self._line.recv(65536)
            except OSError:
                data = b""
            if not data:
                raise GuestFailed(self._death() or "the machine closed its line")
            if log:
                log.write(data)
                log.flush()
            searched = max(0, len(got) - 80)
            got += data
            found = pattern.search(got, searched)
            if found:
                return bytes(got[:found.start()]), found[1] if pattern.groups else b""
