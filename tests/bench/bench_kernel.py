# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each kernel program costs per hit, by the kernel's own accounting.

The load runs once in a watched unit and once outside of any; the difference in a program's run time
divided by the difference in its runs. What else happens on the machine meanwhile is in the figures:
it is unwatched, and few against the load. The accounting itself is part of each hit (two clock
readings, some 20 to 50 ns).

    tests/bench/run kernel [--rounds 30] [--hits 3000]
"""
import argparse
import ctypes
import glob
import os
import re

import figures
import inside

BPF_ENABLE_STATS = 32  # enum bpf_cmd in <linux/bpf.h>
SYS_BPF = 321          # x86-64
GO = "/run/mendd-bench.go"
# load, the programs that it hits
EXIT = ("exit_told", "exit_told_2nd", "exit_counted")
LOADS = {"exit": EXIT, "killed": (*EXIT, "signal_sent"),
         "exec": ("program_execute", "program_executed"), "signal": ("signal_sent",),
         "child": ("signal_sent",)}


def account():
    """Switches the accounting on for as long as this descriptor is open: as the sysctl
    kernel.bpf_stats_enabled would, but it ends with us, however we end."""
    attributes = ctypes.create_string_buffer(128)  # type 0: BPF_STATS_RUN_TIME
    libc = ctypes.CDLL(None, use_errno=True)
    number = SYS_BPF if os.uname().machine == "x86_64" else 280  # the generic table
    fd = libc.syscall(number, BPF_ENABLE_STATS, attributes, len(attributes))
    if fd < 0:
        raise SystemExit("the kernel's accounting cannot be switched on: "
                         + os.strerror(ctypes.get_errno()))
    return fd


def programs(pid):
    """{name: (runs, nanoseconds)}."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        with open(path, encoding="ascii") as f:
            text = f.read()
        number = re.search(r"^prog_id:\s+(\d+)", text, re.M)
        runs = re.search(r"^run_cnt:\s+(\d+)", text, re.M)
        if number and runs:
            spent = re.search(r"^run_time_ns:\s+(\d+)", text, re.M)
            found[name_of(number[1])] = int(runs[1]), int(spent[1])
    return found


names = {}


def name_of(number):
    if number not in names:
        shown = inside.run("bpftool", "prog", "show", "id", number)
        names[number] = re.search(r" name (\S+)", shown)[1]
    return names[number]


def watched(kind, hits):
    """The load in a unit of its own; the unit has ended when this returns."""
    inside.run("systemd-run", "-q", "--wait", "--collect", inside.program("load"), kind, str(hits))


def unwatched(kind, hits):
    inside.run(inside.program("load"), kind, str(hits))


def cgroups(hits):
    """Births and ends of cgroups that no service has."""
    directory = "/sys/fs/cgroup/mendd-bench.scope"
    for _ in range(hits):
        os.mkdir(directory)
        os.rmdir(directory)


def services(hits):
    for _ in range(hits):
        inside.run("systemd-run", "-q", "--wait", "--collect", "/bin/true")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--hits", type=int, default=3000)
    a = parser.parse_args()
    with figures.Frame("kernel programs, per hit"):
        pid = inside.start_mendd()
        fd = account()
        results = {}

        def take(label, wanted, function, *arguments):
            before = programs(pid)
            function(*arguments)
            for name, (runs, ns) in programs(pid).items():
                runs -= before[name][0]
                if name in wanted and runs:
                    results.setdefault(f"{name}: {label}", []).append(
                        (ns - before[name][1]) / runs)

        for _ in range(a.rounds):
            for kind, hit in LOADS.items():
                take(f"{kind}, watched", hit, watched, kind, a.hits)
                take(f"{kind}, not watched", hit, unwatched, kind, a.hits)
            births = ("cgroup_born", "cgroup_ended")
            take("services start and stop", births, services, 5)
            take("no service", births, cgroups, 100)
        os.close(fd)
        figures.header("nanoseconds")
        for label in sorted(results):
            figures.line(label, results[label], digits=0)


if __name__ == "__main__":
    main()
