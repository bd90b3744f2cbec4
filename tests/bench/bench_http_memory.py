# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory and scrapes with many units that speak HTTP, and how long it takes to attach the programs to a new one.

    tests/bench/run http-memory [--units 1,100,500] [--scrapes 15] [--births 40]

Each unit is a tiny server that has answered requests of two methods. Scrapes are taken from nothing: a page is kept for a
tenth of a second, and made anew after that. Attaching: from the start of a unit until both links hang at its cgroup,
asked of the kernel in a loop.
"""
import argparse
import ctypes
import gzip
import json
import os
import re
import struct
import time
import urllib.request

import figures
import inside
import web

FIRST_PORT = 21000
MAX = 1000  # MaxHTTPUnits=, above its default
BPF_PROG_QUERY = 16


def start_units(begin, end):
    """Units for ports from begin to end; each answers until mendd must have seen it speak HTTP."""
    for i in range(begin, end):
        inside.write_unit(f"web-{i}.service",
                          f"[Service]\nExecStart={inside.program('http')} --serve {FIRST_PORT + i}\n")
    inside.run("systemctl", "daemon-reload")
    names = [f"web-{i}.service" for i in range(begin, end)]
    inside.run("systemctl", "start", *names)
    for i in range(begin, end):
        web.listens(FIRST_PORT + i)
        for load in ("--path", "/"), ("--post", 10):
            web.client("--connections", 1, *load, FIRST_PORT + i, 20)


def fetch(accept="text/plain", encoding=""):
    """(seconds, bytes on the wire, the page)."""
    request = urllib.request.Request("http://127.0.0.1:16363/metrics",
                                     headers={"Accept": accept, "Accept-Encoding": encoding})
    begun = time.monotonic()
    with urllib.request.urlopen(request, timeout=inside.DEADLINE) as page:
        data = page.read()
        took = time.monotonic() - begun
        packed = page.headers.get("Content-Encoding") == "gzip"
    return took, len(data), gzip.decompress(data) if packed else data


def kernel_maps(pid):
    """[(name, bytes)] of the maps that the programs of mendd use, by the kernel's own account."""
    programs = {number for number in _numbers(pid, "prog_id")}
    maps = {m for p in programs for m in json.loads(
        inside.run("bpftool", "--json", "prog", "show", "id", p)).get("map_ids", [])}
    shown = [json.loads(inside.run("bpftool", "--json", "map", "show", "id", str(m))) for m in sorted(maps)]
    return [(m.get("name", "?"), m["type"], m.get("max_entries", 0), m["bytes_memlock"]) for m in shown]


def _numbers(pid, field):
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as f:
                m = re.search(rf"^{field}:\s+(\d+)", f.read(), re.M)
        except FileNotFoundError:
            continue
        if m:
            yield m[1]


def measure(pid, units, scrapes):
    inside.wait_for(f"{units} units speak HTTP", lambda: speaking() >= units)
    m = inside.memory(pid)
    print(f"{units:4} units: resident {m['Rss']} KiB, proportional {m['Pss']}, anonymous {m['Anonymous']} KiB",
          flush=True)
    figures.header("scrape, ms")
    for what, encoding in (("text", ""), ("text, gzip", "gzip")):
        taken = []
        for _ in range(scrapes):
            time.sleep(web.PAGE_AGE)
            taken.append(fetch(encoding=encoding))
        figures.line(f"{units} units, {what}", [t * 1000 for t, *_ in taken])
        _, size, page = taken[-1]
        lines = sum(not l.startswith(b"#") for l in page.splitlines())
        print(f"{'':12}{size} bytes, {lines} samples")


def speaking():
    """Units with requests on the page."""
    page = inside.metrics()
    return len({re.search(r'name="([^"]*)"', k)[1] for k, v in page.items()
                if k.startswith("mendd_http_requests_total") and v and 'name="web-' in k})


def attached(path):
    """How many programs hang at a cgroup's ingress and egress."""
    total = 0
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    for direction in (0, 1):
        attributes = ctypes.create_string_buffer(struct.pack("=IIII", fd, direction, 0, 0), 128)
        if web.libc.syscall(web.SYS_BPF, BPF_PROG_QUERY, attributes, len(attributes)) == 0:
            # prog_cnt follows the pointer to the ids
            total += struct.unpack_from("=I", attributes, 24)[0] > 0
    os.close(fd)
    return total


def births(n):
    """Milliseconds from the birth of a unit's cgroup to the programs at it, and from StartUnit on."""
    name = "web-born.service"
    inside.write_unit(name, f"[Service]\nExecStart={inside.program('http')} --serve {FIRST_PORT - 1}\n")
    inside.run("systemctl", "daemon-reload")
    path = f"{web.CGROUPS}/system.slice/{name}"
    times = []
    for _ in range(n):
        inside.run("systemctl", "start", "--no-block", name)
        end = time.monotonic() + inside.DEADLINE
        while not os.path.isdir(path) and time.monotonic() < end:
            pass
        born = time.monotonic()
        while attached(path) < 2 and time.monotonic() < end:
            pass
        times.append((time.monotonic() - born) * 1000)
        if times[-1] > 1000 * inside.DEADLINE - 1:
            raise SystemExit("the programs are not attached")
        inside.run("systemctl", "stop", name)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", default="1,100,500")
    parser.add_argument("--scrapes", type=int, default=15)
    parser.add_argument("--births", type=int, default=40)
    a = parser.parse_args()
    with figures.Frame("units that speak HTTP"):
        web.write("/etc/mendd/mendd.conf.d/bench.conf", f"[Mendd]\nMaxHTTPUnits={MAX}\n")
        pid = inside.start_mendd()
        web.check_measured()
        before = inside.memory(pid)
        print(f"   0 units: resident {before['Rss']} KiB, proportional {before['Pss']}, "
              f"anonymous {before['Anonymous']} KiB")
        started = 0
        for units in sorted(int(x) for x in a.units.split(",")):
            start_units(started, units)
            started = units
            measure(pid, units, a.scrapes)
        figures.header("attaching, ms")
        figures.line(f"from a cgroup's birth, {started} units beside", births(a.births), digits=3)
        total = 0
        for name, kind, entries, size in kernel_maps(pid):
            print(f"  kernel memory: {name:18} {kind:16} {entries:7d} entries {size:10d} bytes")
            total += size
        print(f"  kernel memory: {'all maps':18} {'':16} {'':7} {'':7} {total:10d} bytes")


if __name__ == "__main__":
    main()
