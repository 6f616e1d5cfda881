# SPDX-License-Identifier: MIT
"""A part of the veth tier on each kernel: two namespaces within one guest, joined by a veth pair."""
from machine import guest
from machine.world import Skip, case

SCENARIOS = "/weir/tests/veth/scenarios"
SKIPPED = 77


def python(t, path, *tests, timeout):
    """A test file of the veth tier, as ctest runs it."""
    g = t.guest(memory=1024)
    done = g.run(f"python3 {path} {' '.join(tests)}", timeout=timeout, check=False)
    if done.status == SKIPPED:
        raise Skip("; ".join(line for line in done.output.splitlines() if line.startswith("SKIP")))
    if done.status:
        raise guest.CommandFailed(f"{path}: exit {done.status}\n" + "\n".join(done.output.strip().splitlines()[-25:]))


@case("veth.xdp", limit=900, matrix=False)
def xdp(t):
    """xdp_veth_test: attach and detach, policy, AF_XDP sockets."""
    g = t.guest(memory=1024)
    g.run("cd /tmp && /weir/build/tests/veth/xdp_veth_test --gtest_brief=1", timeout=880)


@case("veth.sockets", limit=300)
def sockets(t):
    """AF_XDP over veth: attach, receive, what one kick sends, full rings, a child that outlives its parent."""
    g = t.guest()
    chosen = ("XdpAttach.NativeAndNothingIsLeft:XdpAttach.GenericAndNothingIsLeft:XdpAttach.ReplaceKeepsMapsAndChangesTheProgram:"
              "XdpSocket.ReceivesADatagramOfASteeredPortWithMetadata:XdpSocket.AForkedChildDoesNotKeepTheQueue:"
              "XdpTransmit.OneKickDrainsTheRing:XdpTransmit.AFullCompletionRingHoldsTheRestBack")
    g.run(f"cd /tmp && /weir/build/tests/veth/xdp_veth_test --gtest_brief=1 --gtest_filter={chosen}", timeout=280)


@case("veth.runtime", limit=900, matrix=False)
def runtime(t):
    """runtime_veth_test: the engine against the kernel's stack."""
    g = t.guest(memory=1024)
    g.run("cd /tmp && /weir/build/tests/veth/runtime_veth_test --gtest_brief=1", timeout=880)


@case("veth.main_job", limit=300)
def main_job(t):
    """The demo's story: steered ports by the engine, all else by the kernel, a filter that is live; native and generic."""
    python(t, f"{SCENARIOS}/test_main_job.py", timeout=880)


@case("veth.demo", limit=300)
def demo(t):
    """The README's first command, less the building: scripts/demo."""
    t.guest(memory=1024).run("cd /weir && bash scripts/demo --built build", timeout=280)


@case("veth.promise1", limit=900, matrix=False)
def promise1(t):
    """The engine is killed with traffic under way: nothing else on the interface notices."""
    python(t, f"{SCENARIOS}/test_promise1.py", "Promise1.test_kill_and_restart", timeout=880)


@case("veth.ownership", limit=900, matrix=False)
def ownership(t):
    """Who owns a connection: the kernel's stay the kernel's."""
    python(t, f"{SCENARIOS}/test_ownership.py", timeout=880)


@case("veth.commands", limit=900, matrix=False)
def commands(t):
    """What each command of the CLI does on a real interface."""
    python(t, "/weir/tests/veth/cli_commands.py", timeout=880)
