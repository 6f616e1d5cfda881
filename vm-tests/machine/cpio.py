# SPDX-License-Identifier: MIT
"""A cpio archive in the form the kernel unpacks (newc). Archives may follow each other in one initramfs."""
import os
import stat


class Writer:
    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.made = set()

    def close(self):
        self._entry("TRAILER!!!", 0, b"")

    def directory(self, path, mode=0o755):
        """With its parents."""
        path = path.strip("/")
        if not path or path in self.made:
            return
        self.directory(os.path.dirname(path))
        self.made.add(path)
        self._entry(path, stat.S_IFDIR | mode, b"")

    def file(self, path, data, mode=0o644, modified=0):
        self._new(path, stat.S_IFREG | mode, data, modified=modified)

    def link(self, path, target):
        self._new(path, stat.S_IFLNK | 0o777, os.fsencode(target))

    def device(self, path, major, minor):
        self._new(path, stat.S_IFCHR | 0o600, b"", (major, minor))

    def copy(self, source, path):
        """A file or symbolic link of this machine, as `path`. The time of its last change is kept, or Python would compile
        each module anew."""
        if os.path.islink(source):
            self.link(path, os.readlink(source))
        else:
            with open(source, "rb") as data:
                self.file(path, data.read(), 0o755 if os.access(source, os.X_OK) else 0o644, int(os.stat(source).st_mtime))

    def tree(self, source, path, skip=lambda name: False):
        for base, directories, files in os.walk(source):
            directories[:] = [d for d in sorted(directories) if not skip(d)]
            below = os.path.relpath(base, source)
            at = path if below == "." else f"{path}/{below}"
            self.directory(at)
            for name in sorted(files) + [d for d in directories if os.path.islink(os.path.join(base, d))]:
                if not skip(name):
                    self.copy(os.path.join(base, name), f"{at}/{name}")

    def _new(self, path, mode, data, device=(0, 0), modified=0):
        path = path.strip("/")
        if path in self.made:
            return
        self.directory(os.path.dirname(path))
        self.made.add(path)
        self._entry(path, mode, data, device, modified)

    def _entry(self, path, mode, data, device=(0, 0), modified=0):
        self.inode += 1
        name = os.fsencode(path) + b"\0"
        head = b"070701" + b"".join(b"%08X" % n for n in (
            self.inode, mode, 0, 0, 1, modified, len(data), 0, 0, *device, len(name), 0))
        self.out.write(head + name + bytes(-(len(head) + len(name)) % 4) + data + bytes(-len(data) % 4))
