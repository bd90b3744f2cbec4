# SPDX-License-Identifier: LGPL-2.1-or-later
"""What mendd costs when nothing happens: memory, CPU, wake-ups; with few and with many units.

    tests/bench/run idle [--units 50,200] [--seconds 60] [--files]

--files: also which files the resident memory is mapped from
"""
import argparse
import glob
import json
import re
import subprocess
import time

import figures
import inside


def start_units(first, last):
    for number in range(first, last):
        inside.run("systemd-run", "-q", f"--unit=idle-{number}", "/usr/bin/sleep", "infinity")
    inside.wait_for("all units in mendd's eyes", lambda: sum(
        k.startswith("mendd_unit_healthy") and 'name="idle-' in k and v == 1
        for k, v in inside.metrics().items()) == last)


def kernel_memory(pid):
    """[(map, bytes)]: all maps of the programs that mendd holds, also those only the kernel uses."""
    programs = set()
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        with open(path, encoding="ascii") as f:
            programs.update(re.findall(r"^prog_id:\s+(\d+)", f.read(), re.M))
    maps, code = set(), 0
    for number in programs:
        shown = json.loads(inside.run("bpftool", "--json", "prog", "show", "id", number))
        maps.update(shown.get("map_ids", []))
        code += shown["bytes_memlock"]
    shown = [json.loads(inside.run("bpftool", "--json", "map", "show", "id", str(m)))
             for m in sorted(maps)]
    return [(m.get("name", "?"), m["bytes_memlock"]) for m in shown] + [("(programs)", code)]


def measure(pid, units, seconds):
    inside.quiet([1, pid])
    cpu, switches = inside.cpu_ns(pid), inside.switches(pid)
    begun = time.monotonic()
    time.sleep(seconds)  # this is what is measured: nothing
    took = time.monotonic() - begun
    spent = inside.cpu_ns(pid) - cpu
    woken, preempted = (b - a for a, b in zip(switches, inside.switches(pid)))
    m = inside.memory(pid)
    private = m["Private_Clean"] + m["Private_Dirty"]
    print(f"{units:4} units: resident {m['Rss']} KiB, proportional {m['Pss']}, anonymous "
          f"{m['Anonymous']}, private {private} KiB; CPU {spent / 1e6:.2f} ms in {took:.0f} s = "
          f"{100 * spent / took / 1e9:.4f} % of a core; "
          f"{woken} wake-ups ({woken / took:.2f}/s), {preempted} preemptions", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", default="50,200")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--files", action="store_true")
    a = parser.parse_args()
    with figures.Frame("an idle host"):
        pid = inside.start_mendd()
        started = 0
        for units in sorted(int(x) for x in a.units.split(",")):
            start_units(started, units)
            started = units
            # Young units are looked at more often; this is about settled ones.
            time.sleep(15)
            measure(pid, units, a.seconds)
        if a.files:
            files = inside.memory_by_file(pid)
            for name in sorted(files, key=files.get, reverse=True):
                if files[name]:
                    print(f"  {files[name]:6d} KiB  {name}")
        total = 0
        for name, size in kernel_memory(pid):
            print(f"  kernel memory: {name:18} {size:9d} bytes")
            total += size
        print(f"  kernel memory: {'all':18} {total:9d} bytes")


if __name__ == "__main__":
    main()
