# SPDX-License-Identifier: LGPL-2.1-or-later
"""What measuring HTTP costs a server: nginx with one worker, a small file, the same process all the time, without
and with the programs at its cgroup, in turn; and once more with mendd stopped.

The states of a round follow each other within seconds and change their order from round to round, so that what else
happens on the machine meets all of them; the ratio is taken within a round.

    tests/bench/run http-pairs [--rounds 9] [--seconds 5] [--rate 4000] [--gigabytes 1]

no:      HTTP=no by a drop-in: the programs are detached from its cgroup; those for all sockets go on
stopped: mendd and all of its programs are gone
"""
import argparse
import os

import figures
import inside
import web

DROP_IN = f"/run/systemd/system/{web.NGINX}.d/http.conf"
BASES = ("no", "stopped")


def become(state):
    """Until connections from now on are measured, or are not."""
    if state == "stopped":
        inside.run("systemctl", "stop", "mendd.service", "mendd.socket")
        return
    word = "yes" if state == "with" else "no"
    web.write(DROP_IN, f"[X-Mendd]\nHTTP={word}\n")
    inside.run("systemctl", "daemon-reload")
    inside.start_mendd()
    if state == "with":
        web.wait_measured(web.NGINX, web.NGINX_PORT)
    else:
        web.wait_unmeasured(web.NGINX, web.NGINX_PORT)


class Taken:
    """The figures of one state of one round."""

    def __init__(self, a):
        path = ("--path", "/small")
        before = web.cpu_usec(web.NGINX)
        n, took = web.wrk(a.seconds)
        self.rate = n / took
        self.cpu_ns = 1000 * (web.cpu_usec(web.NGINX) - before) / n
        paced = web.client(*path, "--connections", 32, "--rate", a.rate, web.NGINX_PORT, a.rate * a.seconds)
        self.p50, self.p99 = paced["p50_us"], paced["p99_us"]
        before = web.cpu_usec(web.NGINX)
        loaded = web.client("--fetch", "/large", web.NGINX_PORT)
        self.bulk = loaded["bytes"] / loaded["seconds"] / (1 << 20)
        self.bulk_cpu = (web.cpu_usec(web.NGINX) - before) / 1000


FIGURES = (("rate", "requests/s, wrk", 0), ("cpu_ns", "the server's CPU, ns/request", 0),
           ("p50", "µs at the fixed rate, p50", 0), ("p99", "µs at the fixed rate, p99", 0),
           ("bulk", "download, MiB/s", 0), ("bulk_cpu", "the server's CPU, ms/download", 1))


def per_packet(pid, rounds):
    """ns per run in a download, by the kernel's accounting: of both directions' programs and of an empty one."""
    held = [*web.attach_empty(web.NGINX), web.account()]
    results = {}
    for _ in range(rounds):
        before, mine = web.accounts(pid), web.accounts(os.getpid())
        web.client("--fetch", "/large", web.NGINX_PORT)
        grown = {**web.grown(before, web.accounts(pid)), **web.grown(mine, web.accounts(os.getpid()))}
        for name, (runs, ns) in grown.items():
            if runs and (name in web.PROGRAMS or name == "empty"):
                results.setdefault(name, []).append((runs, ns / runs))
    for fd in held:
        os.close(fd)
    figures.header("ns per run within a download, accounting included")
    for name, values in sorted(results.items()):
        runs = figures.percentile(sorted(r for r, _ in values), 50)
        figures.line(f"{name}, {runs} runs", [ns for _, ns in values], digits=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=4000)
    parser.add_argument("--gigabytes", type=int, default=1)
    a = parser.parse_args()
    with figures.Frame("nginx without and with its HTTP measured"):
        inside.start_mendd()
        web.check_measured()
        web.start_nginx(a.gigabytes)
        states = ("with", *BASES)
        rounds = []
        for i in range(a.rounds):
            taken = {}
            for j in range(len(states)):
                state = states[(i + j) % len(states)]
                become(state)
                taken[state] = Taken(a)
            rounds.append(taken)
            print(f"round {i + 1}: " + ", ".join(f"{s} {t.rate:.0f}/s" for s, t in taken.items())
                  + f"; load average {figures.load()}", flush=True)
        figures.header("as said")
        for attribute, what, digits in FIGURES:
            for state in states:
                figures.line(f"{what}: {state}", [getattr(r[state], attribute) for r in rounds],
                             digits=digits)
        figures.header("ratio within a round")
        for attribute, what, _ in FIGURES:
            for base in BASES:
                figures.line(f"{what}: with / {base}", [getattr(r["with"], attribute) / getattr(r[base], attribute)
                                                        for r in rounds], digits=4)
            figures.line(f"{what}: stopped / no", [getattr(r["stopped"], attribute) / getattr(r["no"], attribute)
                                                   for r in rounds], digits=4)
        become("with")
        per_packet(inside.main_pid("mendd.service"), a.rounds)


if __name__ == "__main__":
    main()
