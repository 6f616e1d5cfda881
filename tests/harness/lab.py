# SPDX-License-Identifier: MIT
"""Namespaces, veth pairs and processes for the veth tests.

A Lab is a few network namespaces with names derived from its owner (weirt-<pid>-<start time>-<name>), so that tests run in
parallel, and so that a lab whose owner was killed is known to be dead: the next Lab removes it, pins included. Children die
with their owner (PR_SET_PDEATHSIG).
"""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

NETNS_DIR = pathlib.Path("/run/netns")
PIN_ROOT = pathlib.Path("/sys/fs/bpf/weir")
RUN_DIR = pathlib.Path("/run/weir")
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build/dev"))
WEIR = BUILD / "cli/weir"
EXAMPLES = BUILD / "userspace/examples"
HARNESS = BUILD / "tests/harness"

SO_NETNS_COOKIE = 71
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)


_mounted = False


def own_mounts():
    """Gives the process a BPF file system and a run directory that no other sees, so that a test waits for no lock of another's,
    and leaves no pin when it is killed."""
    global _mounted
    if _mounted or os.geteuid() != 0:
        return
    _mounted = True
    RUN_DIR.mkdir(exist_ok=True)

    def call(result, what):
        if result:
            raise OSError(ctypes.get_errno(), what)

    call(_libc.unshare(CLONE_NEWNS), "unshare")
    call(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "making the mounts private")
    for kind, where, options in ((b"tmpfs", RUN_DIR, b"mode=755"), (b"bpf", PIN_ROOT.parent, b"mode=700")):
        call(_libc.mount(kind, str(where).encode(), kind, 0, options), f"mounting {where}")


def start_time(pid):
    """Of a process, in clock ticks since boot: with the pid it names a process for good. None where there is none."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2:].split()
    return None if fields[0] == "Z" else int(fields[19])


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)


@contextlib.contextmanager
def inside(namespace):
    """Runs the block with this thread in the namespace (the network namespace alone changes)."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(NETNS_DIR / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        _libc.setns(here, CLONE_NEWNET)
        os.close(there)
        os.close(here)


def netns_cookie(namespace):
    with inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return int.from_bytes(s.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)


def remove_namespace(namespace):
    """The namespace, and whatever weir pinned or recorded for it."""
    with contextlib.suppress(OSError):
        cookie = netns_cookie(namespace)
        for base in (PIN_ROOT, RUN_DIR):
            for left in base.glob(f"{cookie}-*"):
                if left.is_dir():
                    for pin in left.iterdir():
                        pin.unlink()
                    left.rmdir()
                else:
                    left.unlink()
    subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL, check=False)


def sweep():
    """Removes the labs of owners that are gone."""
    if not NETNS_DIR.is_dir():
        return
    for entry in NETNS_DIR.iterdir():
        owner = re.fullmatch(r"weirt-(\d+)-(\d+)-.*", entry.name)
        if owner and start_time(int(owner[1])) != int(owner[2]):
            remove_namespace(entry.name)


class Host:
    """One namespace."""

    def __init__(self, lab, name):
        self.lab = lab
        self.netns = f"weirt-{os.getpid()}-{start_time(os.getpid())}-{name}"
        ip("netns", "add", self.netns)
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *argv):
        return ["nsenter", f"--net={NETNS_DIR / self.netns}", *map(str, argv)]

    def run(self, *argv, check=True, timeout=120, **kw):
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        done = subprocess.run(self.command(*argv), timeout=timeout, text=True, check=False, preexec_fn=_die_with_parent, **kw)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, *argv, **kw):
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.STDOUT)
        kw.setdefault("text", True)
        child = subprocess.Popen(self.command(*argv), preexec_fn=_die_with_parent, **kw)
        self.lab.children.append(child)
        return child

    def weir(self, *argv, check=True, **kw):
        """The CLI, from outside, as an operator would: weir -n NETNS ..."""
        done = subprocess.run([str(WEIR), "-n", self.netns, *map(str, argv)], text=True, check=False, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
        if check and done.returncode:
            raise AssertionError(f"weir {' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def address(self, device, *prefixes):
        for prefix in prefixes:
            self.run("ip", "addr", "add", prefix, "dev", device, *(["nodad"] if ":" in prefix else []))
        self.run("ip", "link", "set", device, "up")

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A kernel socket that lives in this namespace, usable from anywhere."""
        with inside(self.netns):
            return socket.socket(family, kind)


def ip(*argv):
    subprocess.run(["ip", *argv], check=True, stderr=subprocess.PIPE)


class Lab:
    """with Lab() as lab: lab.host("server") ..."""

    def __init__(self):
        self.hosts = {}
        self.children = []

    def __enter__(self):
        own_mounts()
        sweep()
        return self

    def __exit__(self, *_):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe:
                    pipe.close()
        for host in self.hosts.values():
            remove_namespace(host.netns)

    def host(self, name):
        self.hosts[name] = Host(self, name)
        return self.hosts[name]

    def veth(self, a, b, device_a="veth0", device_b="veth0"):
        """Joins two hosts. The far ends send whole checksums (a veth sender leaves them to hardware that is not there)."""
        ip("link", "add", device_a, "netns", a.netns, "type", "veth", "peer", "name", device_b, "netns", b.netns)
        for host, device in ((a, device_a), (b, device_b)):
            host.run("ethtool", "-K", device, "tx", "off")
            host.run("ip", "link", "set", device, "up")

    def pair(self, server_addresses=("10.77.0.1/24", "fd77::1/64"), client_addresses=("10.77.0.2/24", "fd77::2/64")):
        """The usual two hosts: (server, client), joined by veth0 on each side."""
        server, client = self.host("server"), self.host("client")
        self.veth(server, client)
        server.address("veth0", *server_addresses)
        client.address("veth0", *client_addresses)
        return server, client


def wait_until(condition, what, seconds=20):
    """Polls: for what another process does in its own time. `condition` returns something true in the end."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def need(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root: namespaces and XDP")
    if missing:
        raise unittest.SkipTest(f"needs {', '.join(missing)}")


def main():
    """Runs the calling module's tests; 77 (ctest's SKIP) where every one was skipped, with the reasons on stdout."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if result.wasSuccessful() and result.testsRun and len(result.skipped) == result.testsRun:
        for test, why in result.skipped:
            print(f"SKIP {test}: {why}")
        sys.exit(77)
    sys.exit(0 if result.wasSuccessful() else 1)
