# SPDX-License-Identifier: LGPL-2.1-or-later
"""The HTTP programs of several builds under the same load, in turn: what a change of them costs or saves.

Each round loads the programs of one build after the other, makes exactly N requests of nginx over connections that are
kept, and asks the kernel what each program ran and took. The programs' own time does not depend on how fast the
client is; it does on what shares the machine's caches, so that the differences are taken within a round.

    tests/bench/run http-builds DIR… [--rounds 15] [--requests 40000] [--load get|agent|post|pipeline|echo]
"""
import argparse
import json

import figures
import inside
import web

LOADS = {
    "get": ["--path", "/small"],
    "agent": ["--path", "/small", "--agent"],
    "post": ["--path", "/answer", "--post", "1000"],
    "pipeline": ["--path", "/small", "--depth", "8"],
    "echo": ["--line"],
}


def measure(build, cgroup, load, requests):
    """{program: (runs per request, nanoseconds per request)}."""
    port = web.ECHO_PORT if load == "echo" else web.NGINX_PORT
    said = inside.run(inside.program(f"attach_{build}"), cgroup, inside.program("http"), *LOADS[load], str(port),
                      str(requests)).splitlines()[-1]
    said = json.loads(said)
    started, finished = said.pop("started"), said.pop("finished")
    if load != "echo" and not started == finished == requests + 1:  # one more to see how long it is
        raise SystemExit(f"{requests + 1} requests, {started} were seen and {finished} were finished")
    return {name: (runs / requests, ns / requests, ns / max(runs, 1)) for name, (runs, ns) in said.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--builds", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=40000)
    parser.add_argument("--load", choices=LOADS, default="get")
    a = parser.parse_args()
    with figures.Frame(f"HTTP programs of {a.builds} builds, {a.load}"):
        unit = web.start_nginx()
        if a.load == "echo":
            unit = web.start_echo()
        cgroup = web.cgroup_of(unit)
        rounds = []
        for i in range(a.rounds):
            order = range(a.builds) if i % 2 == 0 else reversed(range(a.builds))
            rounds.append({b: measure(b, cgroup, a.load, a.requests) for b in order})
        figures.header("ns per request")
        for name in (*web.PROGRAMS, "all"):
            for b in range(a.builds):
                figures.line(f"{name}, build {b + 1}", [total(r[b], name) for r in rounds], digits=1)
            for b in range(1, a.builds):
                figures.line(f"{name}, build {b + 1} less build 1",
                             [total(r[b], name) - total(r[0], name) for r in rounds], digits=1)
        figures.line("an empty program, per run", [r[b]["empty"][2] for r in rounds for b in r], digits=1)
        for name in web.PROGRAMS:
            print(f"runs per request: {name} {rounds[0][0].get(name, (0,))[0]:.3f}")


def total(programs, name):
    return sum(programs[n][1] for n in web.PROGRAMS if n in programs) if name == "all" else programs.get(
        name, (0, 0))[1]


if __name__ == "__main__":
    main()
