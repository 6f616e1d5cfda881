# SPDX-License-Identifier: MIT
"""The XDP program on each kernel: does the verifier take it, at what cost, and does it do what its tests say."""
import json
import pathlib

from machine.world import Failed, case

KEPT = pathlib.Path(__file__).resolve().parents[1] / "verifier.json"
GROWTH = 0.10  # of the verified instructions of a kernel, before somebody has to look and regenerate the table


@case("boot", short=True)
def boot(t):
    """The kernel boots, runs a program, and gives its exit status back."""
    g = t.guest()
    t.equal(g.run("true").status, 0, "true")
    t.equal(g.run("exit 3", check=False).status, 3, "exit 3")
    t.true(g.kernel.release in g.run("uname -r").output, "another kernel runs")
    t.facts["boot_seconds"] = round(g.boot_seconds, 1)


@case("bpf.load", short=True)
def load(t):
    """Every BPF program loads, and takes the verifier no more than the kept table says."""
    g = t.guest()
    figures = g.run("/weir/build/vm-tests/weir_vm_load /weir/build/bpf/weir.bpf.o").json()
    t.facts["programs"] = figures
    judge(t, figures)


def judge(t, figures):
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    version = str(t.kernel)
    if t.options.regenerate:
        kept[version] = {name: of["verified"] for name, of in figures.items()}
        KEPT.write_text(json.dumps(dict(sorted(kept.items(), key=lambda k: [int(n) for n in k[0].split(".")])), indent=1) + "\n")
        return
    if version not in kept:
        return  # a kernel newer than the table: it loads, and that is said
    for name, of in figures.items():
        before = kept[version].get(name)
        if before is None:
            raise Failed(f"{name} is not in the table of verifier figures: vm-tests/run --test bpf.load --regenerate")
        if of["verified"] > before * (1 + GROWTH):
            raise Failed(f"{name} takes the verifier of {version} {of['verified']} instructions, and took {before}: "
                         "make it simpler, or, where that is its price, vm-tests/run --test bpf.load --regenerate")


@case("bpf.tests", limit=600)
def tests(t):
    """The bpf tier: tables of packets by BPF_PROG_TEST_RUN."""
    g = t.guest()
    # A grace period is 25 to 40 ms on one idle CPU, and the tests wait for thousands: expedited, they take a third.
    # Their own clock comparisons, forty thousand mutated packets and most of the flips are of the host's run.
    g.run("echo 1 >/sys/kernel/rcu_expedited; cd /tmp && WEIR_FILTER_PAIRS=50000 WEIR_FILTER_APPLIES=20 /weir/build/tests/bpf/weir_bpf_test --gtest_brief=1 --gtest_filter=-*Speed*:*Mutation*", timeout=540)
