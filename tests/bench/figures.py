# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all benchmarks print: the machine, its load, and distributions."""
import os
import platform
import time


def machine():
    """One line: what the figures were taken on."""
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{os.cpu_count()} × {model}, Linux {platform.release()}, load average {load()}"


def load():
    with open("/proc/loadavg", encoding="ascii") as f:
        return " ".join(f.read().split()[:3])


def _cpu():
    """(busy, all) ticks of the whole machine, other people's work included."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(x) for x in f.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


class Frame:
    """Prints the machine before and its load after a benchmark: figures mean nothing without."""

    def __init__(self, title):
        self.title = title

    def __enter__(self):
        print(f"== {self.title}", flush=True)
        print(f"machine: {machine()}", flush=True)
        self.begun, self.cpu = time.monotonic(), _cpu()
        return self

    def __exit__(self, kind, *_):
        busy, total = (b - a for a, b in zip(self.cpu, _cpu()))
        if kind is None:
            print(f"afterwards: load average {load()}; the machine was busy for "
                  f"{100 * busy / max(total, 1):.0f} % of {time.monotonic() - self.begun:.0f} s "
                  "(all work on it)", flush=True)


def percentile(ordered, percent):
    """By nearest rank: a value that was measured, never one in between."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def header(unit, width=44):
    print(f"{'':{width}} {'min':>9} {'median':>9} {'p90':>9} {'p99':>9} {'max':>9} {'n':>6}  ({unit})")


def line(what, values, width=44, scale=1.0, digits=2):
    """One distribution; the values are divided by scale."""
    if not values:
        print(f"{what:{width}} no values")
        return
    ordered = sorted(v / scale for v in values)
    figures = [ordered[0]] + [percentile(ordered, p) for p in (50, 90, 99)] + [ordered[-1]]
    print(f"{what:{width}} " + " ".join(f"{f:9.{digits}f}" for f in figures) + f" {len(ordered):6d}",
          flush=True)
