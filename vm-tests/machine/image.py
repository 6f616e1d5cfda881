# SPDX-License-Identifier: MIT
"""The guest's file system: an initramfs of this machine's programs, our binaries and the kernel's modules.

Three archives one after the other, the first two from the cache: the kernel's modules, the machine's programs (python3
among them, so that the veth tests run unchanged), and what was built here, stripped.
"""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import cpio, kernels

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR", ROOT / "build/dev"))
HOME = "weir"  # ours, in the guest

# From this machine, with their shared libraries. What is missing is missing in the guest.
PROGRAMS = """
dash bash ip tc ss bridge ethtool sysctl nstat ping curl nsenter unshare setpriv bpftool nft iptables-nft kmod python3.11
xdp-loader xdp-filter sha256sum timeout strace tcpdump
""".split()
LINKS = {"usr/bin/sh": "dash", "usr/bin/python3": "python3.11", "usr/sbin/modprobe": "/usr/bin/kmod", "usr/sbin/insmod": "/usr/bin/kmod",
         "usr/sbin/lsmod": "/usr/bin/kmod", "usr/sbin/iptables": "iptables-nft"}
PYTHON = "/usr/lib/python3.11"
PYTHON_WITHOUT = re.compile(r"dist-packages|test|tests|idlelib|lib2to3|ensurepip|tkinter|turtledemo|pydoc_data|distutils|.*\.opt-[12]\.pyc|config-3.*")
# Configuration that the programs read, and libraries that they load by name.
FILES = ["/etc/protocols", "/etc/services", "/etc/nsswitch.conf", "/usr/lib/x86_64-linux-gnu/libnss_files.so.2",
         "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"]
TREES = ["/usr/lib/x86_64-linux-gnu/xtables", "/usr/lib/x86_64-linux-gnu/bpf", "/usr/lib/bpf", "/usr/lib/tc"]

# Of the build directory and of the tree: patterns; what is not built is not in the guest.
BUILT = ["cli/weir", "userspace/examples/weir-*", "tests/bpf/weir_*", "tests/veth/*_test", "tests/harness/weir_*", "tests/bench/weir_*",
         "bpf/weir.bpf.o", "vm-tests/weir_*"]
SOURCES = ["tests/harness/*.py", "tests/veth/*.py", "tests/veth/scenarios/*.py", "vm-tests/guest/*.py", "scripts/demo"]
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class NotBuilt(Exception):
    pass


def libraries(program):
    """The shared libraries that a program loads, by their real paths' names."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", said)


def busybox():
    found = shutil.which("busybox", path=SEARCH)
    if found is None:
        raise kernels.Unavailable("busybox is missing: scripts/setup vm")
    return found


class Image:
    """`write(path, kernel)` makes an initramfs in less than a second, once its parts are in the cache."""

    def __init__(self, cache, say=lambda text: None, extra=()):
        self.cache = cache / "image"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.say = say
        self.extra = extra  # (path here, path in the guest)
        self.parts = None

    def prepare(self):
        """Makes the parts that the cache lacks. Raises NotBuilt where there is nothing to test, Unavailable where this machine
        lacks a program."""
        self.parts = [self._machine(), self._ours()]

    def write(self, path, kernel):
        with open(path, "wb") as out:
            for part in [kernel.modules, *self.parts]:
                with open(part, "rb") as data:
                    shutil.copyfileobj(data, out, 1 << 20)
                # The kernel wants each archive to begin at a multiple of four.
                out.write(bytes(-out.tell() % 4))

    def _cached(self, name, stamp, make):
        """The archive of this stamp, made where the cache has another or none."""
        path = self.cache / f"{name}-{hashlib.sha256(repr(stamp).encode()).hexdigest()[:16]}.cpio"
        if not path.exists():
            for old in self.cache.glob(f"{name}-*.cpio"):
                if old.stat().st_mtime + 7 * 86400 < max(f.stat().st_mtime for f in self.cache.iterdir()):
                    old.unlink(missing_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.cache, delete=False) as out:
                writer = cpio.Writer(out)
                make(writer)
                writer.close()
            os.rename(out.name, path)
        os.utime(path)
        return path

    def _machine(self):
        programs = [p for p in (shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin") for name in PROGRAMS) if p]
        stamp = [(p, os.stat(p).st_mtime_ns) for p in [busybox(), __file__, cpio.__file__, *programs] + FILES + TREES if os.path.exists(p)]

        def make(writer):
            self.say("packing this machine's programs for the guests")
            for path in ("bin", "sbin", "lib", "lib64"):
                writer.link(path, f"usr/{path}")
            for path in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "proc", "sys", "dev", "run", "etc", "var/run", "root"):
                writer.directory(path)
            writer.directory("tmp", 0o1777)
            writer.device("dev/console", 5, 1)
            writer.device("dev/null", 1, 3)
            writer.link("etc/mtab", "/proc/mounts")
            writer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
            writer.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
            writer.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
            for path, target in LINKS.items():
                writer.link(path, target)
            writer.copy(os.path.realpath(busybox()), "usr/bin/busybox")
            for program in programs:
                self._binary(writer, program, os.path.relpath(os.path.realpath(os.path.dirname(program)), "/") + "/" + os.path.basename(program))
            for path in FILES:
                if os.path.exists(path):
                    with open(path, "rb") as data:
                        writer.file(path, data.read())
            for tree in TREES:
                if os.path.isdir(tree):
                    writer.tree(tree, tree.strip("/"), lambda name: name.endswith(".a"))
            writer.tree(PYTHON, PYTHON.strip("/"), lambda name: bool(PYTHON_WITHOUT.fullmatch(name)))
            for module in pathlib.Path(PYTHON, "lib-dynload").glob("*.so"):
                self._libraries(writer, module)
        return self._cached("machine", stamp, make)

    def _ours(self):
        built = [p for pattern in BUILT for p in sorted(BUILD.glob(pattern)) if p.is_file() and (os.access(p, os.X_OK) or p.suffix == ".o")]
        if not any(p.name == "weir" for p in built):
            raise NotBuilt(f"{BUILD} has no cli/weir: build first (cmake --preset dev && cmake --build build/dev), or set WEIR_BUILD_DIR")
        sources = [p for pattern in SOURCES for p in sorted(ROOT.glob(pattern))]
        files = [(p, f"{HOME}/build/{p.relative_to(BUILD)}") for p in built] + [(p, f"{HOME}/{p.relative_to(ROOT)}") for p in sources]
        files += [(pathlib.Path(here), there) for here, there in self.extra]
        files.append((ROOT / "vm-tests/guest/init", "init"))
        stamp = [(str(p), there, p.stat().st_mtime_ns, p.stat().st_size) for p, there in files]

        def make(writer):
            for path, there in files:
                if path.suffix == "" and there.startswith(f"{HOME}/build"):
                    self._binary(writer, path, there, strip=True)
                else:
                    writer.copy(path, there)
        return self._cached("ours", stamp, make)

    def _binary(self, writer, program, there, strip=False):
        data = pathlib.Path(program).read_bytes()
        if strip:
            with tempfile.NamedTemporaryFile() as out:
                if subprocess.run(["strip", "-o", out.name, program], check=False, stderr=subprocess.DEVNULL).returncode == 0:
                    data = pathlib.Path(out.name).read_bytes()
        writer.file(there, data, 0o755)
        self._libraries(writer, program)

    def _libraries(self, writer, program):
        for library in libraries(program):
            there = os.path.realpath(os.path.dirname(library)) + "/" + os.path.basename(library)
            with open(library, "rb") as data:
                writer.file(there, data.read(), 0o755)
