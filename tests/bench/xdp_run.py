# SPDX-License-Identifier: MIT
"""XDP programs of a few instructions, and BPF_PROG_TEST_RUN, by the system call alone."""
import contextlib
import ctypes
import json
import os
import struct

SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine)
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, PROG_LOAD, OBJ_GET, TEST_RUN, PROG_BY_ID, INFO, LINK_CREATE = 0, 1, 2, 5, 7, 10, 13, 15, 28
DROP, PASS = 1, 2
PROG_ARRAY, XDP, ATTACH_XDP, HAS_FRAGS = 3, 6, 37, 1 << 5
LIVE_FRAMES = 2
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
    got = libc.syscall(SYS_BPF, command, buffer, len(buffer))
    if got < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}: {os.strerror(ctypes.get_errno())}")
    return got, buffer.raw


def address_of(buffer):
    return ctypes.addressof(buffer)


def test_run(program, frame, repeat, flags=0, batch=0):
    """Mean nanoseconds of a run, and what the last one returned."""
    data = ctypes.create_string_buffer(frame, len(frame))
    # Live frames are counted from the front of a page's room; 0: no copy of the result.
    attributes = struct.pack("=IIIIQQIIIIQQIII", program, 0, len(frame), 0, address_of(data), 0, repeat, 0, 0, 0, 0, 0, flags, 0, batch)
    _, out = bpf(TEST_RUN, attributes)
    return struct.unpack_from("=I", out, 36)[0], struct.unpack_from("=I", out, 4)[0]


def send(program, frame, frames):
    """That many live frames, in batches of 64."""
    test_run(program, frame, frames, LIVE_FRAMES, 64)


def load(*instructions, flags=0):
    """An XDP program of that code."""
    code = ctypes.create_string_buffer(b"".join(instructions))
    text = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack("=IIQQIIQII16sII", XDP, len(code.raw) // 8, address_of(code), address_of(text), 0, 0, 0, 0, flags, b"", 0, ATTACH_XDP)
    return bpf(PROG_LOAD, attributes)[0]


def instruction(op, to=0, source=0, offset=0, immediate=0):
    return struct.pack("=BBhi", op, to | source << 4, offset, immediate)


def set_to(register, value):
    return instruction(0xB7, register, immediate=value)


def call(helper):
    return instruction(0x85, immediate=helper)


EXIT = instruction(0x95)


def then_return(value):
    return (set_to(0, value), EXIT)


def then_redirect(ifindex):
    return (set_to(1, ifindex), set_to(2, 0), call(23), EXIT)


def then_run(array):
    """The program at 0 of a map of programs."""
    return (instruction(0xBF, 1, 6), instruction(0x18, 2, 1, immediate=array), instruction(0), set_to(3, 0), call(12), set_to(0, 0), EXIT)


class Sources:
    """Sources of frames, each frame's drawn anew: BASE + n * STEP with n below COUNT, 32 bits at OFFSET of the frame."""

    def __init__(self, offset, base, step, count):
        self.offset, self.base, self.step, self.count = offset, base, step, count

    def code(self):
        return (instruction(0xBF, 6, 1), call(7), instruction(0x27, 0, immediate=self.count), instruction(0x77, 0, immediate=32),
                instruction(0x27, 0, immediate=self.step), instruction(0x07, 0, immediate=self.base), instruction(0xDC, 0, immediate=32),
                instruction(0x61, 2, 6, 0), instruction(0x61, 3, 6, 4), instruction(0xBF, 4, 2), instruction(0x07, 4, immediate=self.offset + 4),
                instruction(0x2D, 4, 3, 1), instruction(0x63, 2, 0, self.offset))


def program(then, sources=None, flags=0):
    return load(*(sources.code() if sources else (instruction(0xBF, 6, 1),)), *then, flags=flags)


@contextlib.contextmanager
def before(attached_program, sources):
    """A program that gives each frame another source and goes on with that one."""
    for flags in (HAS_FRAGS, 0):
        array = bpf(MAP_CREATE, struct.pack("=IIIII", PROG_ARRAY, 4, 4, 1, 0))[0]
        key, value = ctypes.create_string_buffer(bytes(4)), ctypes.create_string_buffer(struct.pack("=I", attached_program))
        chain = program(then_run(array), sources, flags)
        try:
            # Both must be of one kind, frames in several buffers or not.
            bpf(MAP_UPDATE, struct.pack("=IIQQQ", array, 0, address_of(key), address_of(value), 0))
            break
        except OSError:
            os.close(array)
            os.close(chain)
            if not flags:
                raise
    try:
        yield chain
    finally:
        os.close(chain)
        os.close(array)


def attached(host, device):
    """The program on a device, as a descriptor."""
    link = json.loads(host.run("ip", "-j", "-d", "link", "show", device).stdout)[0]
    return bpf(PROG_BY_ID, struct.pack("=III", link["xdp"]["prog"]["id"], 0, 0))[0]


def attach(program_fd, ifindex):
    """Native, for as long as the descriptor that it returns is open."""
    return bpf(LINK_CREATE, struct.pack("=IIII", program_fd, ifindex, ATTACH_XDP, 4))[0]
