# SPDX-License-Identifier: MIT
"""Kernels from Debian's packages: found, fetched once into a cache and unpacked there. Nothing is installed.

A private apt configuration reads the machine's own Debian mirror, and of the same host the suites that carry newer kernels;
the machine's sources, lists and packages are not touched. A kernel in the cache is an uncompressed vmlinux (software
emulation takes seconds to decompress one) and an archive of the modules that the tests need, with their index.
"""
import fcntl
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import zlib

from . import cpio

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NEWER_SUITES = ("bookworm-backports", "trixie", "trixie-backports", "sid")
NEWEST = "newest"

# With whatever they depend on; one that a kernel lacks, or has built in, is passed over.
MODULES = """
virtio_pci virtio_net virtio_rng veth tun bridge bonding 8021q macvlan dummy ifb vrf team
sch_netem sch_tbf sch_htb sch_fq sch_fq_codel sch_ingress cls_bpf cls_matchall act_mirred
nf_tables nft_ct nft_limit nft_reject_inet nft_chain_nat nf_conntrack ip_tables iptable_filter x_tables
tcp_diag udp_diag inet_diag unix_diag xsk_diag netlink_diag tcp_bbr tcp_dctcp tls
""".split()


class Unavailable(Exception):
    """The kernel cannot be had here, and why."""


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "weir" / "vm"


def sort_key(release):
    """Version order: 6.9 before 6.12."""
    return [int(part) if part.isdigit() else 0 for part in re.split(r"[.+-]", release)]


class Kernel:
    """An unpacked kernel in the cache."""

    def __init__(self, directory):
        self.directory = directory
        self.release = directory.name
        self.vmlinux = directory / "vmlinux"
        self.modules = directory / "modules.cpio"

    @property
    def version(self):
        """(6, 12)"""
        return tuple(int(n) for n in self.release.split(".")[:2])

    def __str__(self):
        return ".".join(map(str, self.version))


class Catalogue:
    """The kernels of the cache, and of the package source where one is wanted that the cache lacks."""

    def __init__(self, cache=None, say=lambda text: None, update=False):
        self.cache = cache or cache_directory()
        self.say = say
        self.update = update
        self._served = None

    def find(self, wanted):
        """A Kernel for "6.1", a whole release, or "newest". Raises Unavailable."""
        self.cache.mkdir(parents=True, exist_ok=True)
        # Two runs at once: the second waits, and finds what the first has fetched.
        with open(self.cache / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            release = self._resolve(wanted)
            directory = self.cache / "kernels" / release
            if not (directory / "modules.cpio").exists():
                self._fetch(release, directory)
            return Kernel(directory)

    def _resolve(self, wanted):
        remembered = self.cache / "resolved.json"
        known = json.loads(remembered.read_text()) if remembered.exists() else {}
        if wanted in known and not self.update:
            return known[wanted]
        matching = [r for r in self.served() if wanted == NEWEST or r == wanted or re.match(re.escape(wanted) + r"[.+-]", r)]
        if not matching:
            raise Unavailable(f"the package source serves no kernel {wanted} (it has {', '.join(self.versions())})")
        known[wanted] = max(matching, key=sort_key)
        remembered.write_text(json.dumps(known, indent=1) + "\n")
        return known[wanted]

    def served(self):
        """The releases of cloud kernels that the package source serves."""
        if self._served is None:
            names = self._apt("apt-cache", "search", "--names-only", r"^linux-image-[0-9]+[.][0-9]+[.][0-9].*-cloud-amd64$")
            self._served = [line.split()[0].removeprefix("linux-image-") for line in names.splitlines()]
        return self._served

    def versions(self):
        return sorted({".".join(r.split(".")[:2]) for r in self.served()}, key=sort_key)

    def _apt(self, *command, cwd=None):
        home = self.cache / "apt"
        config = home / "apt.conf"
        if not config.exists() or self.update:
            self._read_lists(home, config)
            self.update = False
        done = subprocess.run(command, cwd=cwd, env={**os.environ, "APT_CONFIG": str(config)}, text=True, capture_output=True, check=False)
        if done.returncode:
            raise Unavailable(f"{command[0]}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
        return done.stdout

    def _read_lists(self, home, config):
        self.say("reading the package lists of the Debian mirror")
        for part in ("state/lists/partial", "cache/archives/partial"):
            (home / part).mkdir(parents=True, exist_ok=True)
        (home / "status").write_text("")
        (home / "sources.list").write_text("".join(f"deb [signed-by={KEYRING}] {site} {suite} main\n" for site, suite in mirror()))
        draft = config.with_suffix(".new")
        draft.write_text(f'Dir::Etc::sourcelist "{home}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
                         'Dir::Etc::preferences "/dev/null";\nDir::Etc::preferencesparts "/dev/null";\n'
                         f'Dir::State "{home}/state";\nDir::State::status "{home}/status";\nDir::Cache "{home}/cache";\n'
                         'APT::Architecture "amd64";\nAcquire::Languages "none";\nAPT::Sandbox::User "root";\n')
        done = subprocess.run(["apt-get", "update", "-q"], env={**os.environ, "APT_CONFIG": str(draft)}, text=True,
                              capture_output=True, check=False)
        # A mirror may lack a suite: what it does have is used.
        if done.returncode and not list((home / "state/lists").glob("*_Packages*")):
            raise Unavailable("no package lists: " + (done.stderr.strip().splitlines() or ["apt-get update failed"])[-1])
        draft.rename(config)

    def _fetch(self, release, directory):
        self.say(f"fetching kernel {release}")
        # From 7.2 on the image's package is empty, and depends on the kernel's and the modules'.
        names = [f"linux-image-{release}"]
        depends = self._apt("apt-cache", "depends", names[0])
        names += re.findall(r"Depends: (linux-(?:binary|modules)-" + re.escape(release) + ")", depends)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as work:
            work = pathlib.Path(work)
            self._apt("apt-get", "download", "-q", *names, cwd=work)
            for package in work.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, work / "root"], check=True)
            root, made = work / "root", work / "made"
            made.mkdir()
            image = next(iter([*root.glob("boot/vmlinuz-*"), *root.glob("usr/lib/modules/*/vmlinuz")]), None)
            tree = next(iter([*root.glob("lib/modules/*"), *root.glob("usr/lib/modules/*")]), None)
            if image is None or tree is None:
                raise Unavailable(f"linux-image-{release} has no kernel in a place that is known")
            (made / "vmlinux").write_bytes(uncompressed(image.read_bytes()))
            pack_modules(tree, work / "modules", made / "modules.cpio")
            made.rename(directory)


def mirror():
    """(address, suite) of each Debian source of this machine, and the newer suites of the same mirror."""
    said = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(ORIGIN)", "Created-By: Packages"],
                          text=True, capture_output=True, check=False).stdout
    own = [tuple(line.split()[:2]) for line in said.splitlines() if line.endswith(" Debian")]
    own = list(dict.fromkeys(own))
    main = next((site for site, suite in own if suite in ("bookworm", "stable", "oldstable")), None)
    if main is None:
        raise Unavailable("this machine has no package source of Debian 12 (apt-get indextargets names none)")
    return own + [(main, suite) for suite in NEWER_SUITES if (main, suite) not in own]


def uncompressed(image):
    """The ELF kernel within a bzImage: whichever compressor's stream is found in it that holds one."""
    def by_program(*command):
        return lambda data: subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    kinds = ((b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)),
             (b"\x28\xb5\x2f\xfd", by_program("zstd", "-dc")),
             (b"\x02\x21\x4c\x18", by_program("lz4", "-dc")),
             (b"\x1f\x8b\x08", lambda data: zlib.decompressobj(31).decompress(data)))
    for magic, expand in kinds:
        at = image.find(magic)
        while at >= 0:
            try:
                kernel = expand(image[at:])
            except (lzma.LZMAError, zlib.error, OSError):
                kernel = b""
            if kernel.startswith(b"\x7fELF"):
                return kernel
            at = image.find(magic, at + 1)
    raise Unavailable("the kernel's image is compressed in a way that is not known (are zstd and lz4 installed?)")


def pack_modules(tree, work, archive):
    """The modules that tests need and what they depend on, uncompressed and indexed, as a cpio archive."""
    files = {f.name.split(".ko")[0].replace("-", "_"): f for f in tree.rglob("*.ko*")}
    target = work / "lib/modules" / tree.name
    target.mkdir(parents=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        if (tree / name).exists():
            shutil.copy(tree / name, target / name)
    wanted, done = list(MODULES), set()
    while wanted:
        name = wanted.pop()
        if name in done or name not in files:
            continue
        done.add(name)
        data = files[name].read_bytes()
        if files[name].suffix == ".xz":
            data = lzma.decompress(data)
        elif files[name].suffix == ".zst":
            data = subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
        for depends in re.findall(rb"\0depends=([^\0]*)\0", data):
            wanted += [d.replace("-", "_") for d in depends.decode().split(",") if d]
        (target / f"{name}.ko").write_bytes(data)
    depmod = shutil.which("depmod", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if depmod is None:
        raise Unavailable("depmod is missing: install kmod (scripts/setup vm)")
    subprocess.run([depmod, "-b", work, tree.name], check=True, stderr=subprocess.DEVNULL)
    with open(archive, "wb") as out:
        writer = cpio.Writer(out)
        writer.tree(work / "lib", "usr/lib")
        writer.close()
