# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the HTTP programs cost per request, by the kernel's own accounting: nginx with one worker, IPv4 on the loopback
device, connections that are kept.

The accounting itself, two clock readings a run, is in every figure; an empty program at the same cgroup shows how much
that is, and the last lines are without it. http_read and http_state see every socket of the host: with the client on
the same machine each request makes two reads, of which one is the client's, and only looked up.

    tests/bench/run http-cost [--rounds 9] [--seconds 2] [--requests 40000]
"""
import argparse
import os

import figures
import inside
import web

KEPT = ["--connections", 16]


def loads(seconds, requests):
    """{name: (what is counted, what makes it and says how many)}."""
    def client(*options, port=web.NGINX_PORT):
        return web.client(*KEPT, *options, port, requests)["requests"]

    return {
        "small file, wrk": ("request", lambda: web.wrk(seconds)[0]),
        "small file, a browser's head": ("request", lambda: client("--path", "/small", "--agent")),
        "POST of 1000 bytes": ("request", lambda: client("--path", "/answer", "--post", 1000)),
        "small file, 8 pipelined": ("request", lambda: client("--path", "/small", "--depth", 8)),
        "not HTTP, echo": ("exchange", lambda: client("--line", port=web.ECHO_PORT)),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--requests", type=int, default=40000)
    a = parser.parse_args()
    with figures.Frame("HTTP programs, per request"):
        pid = inside.start_mendd()
        web.check_measured()
        units = web.start_nginx(), web.start_echo()
        for unit, port in zip(units, (web.NGINX_PORT, web.ECHO_PORT)):
            web.wait_measured(unit, port, line=port == web.ECHO_PORT)
        held = [fd for unit in units for fd in web.attach_empty(unit)] + [web.account()]
        results = {}
        for _ in range(a.rounds):
            for name, (_, make) in loads(a.seconds, a.requests).items():
                before, mine = web.accounts(pid), web.accounts(os.getpid())
                n = make()
                grown = web.grown(before, web.accounts(pid))
                runs, ns = map(sum, zip(*web.grown(mine, web.accounts(os.getpid())).values()))
                results.setdefault(name, []).append((n, grown, ns / runs))
        for name, (what, _) in loads(0, 0).items():
            show(name, what, results[name])
        for fd in held:
            os.close(fd)


def show(name, what, rounds):
    print(f"-- {name}")
    figures.header(f"ns per {what}, accounting included")
    totals, nets = [], []
    for program in web.PROGRAMS:
        per, each, often = [], [], []
        for n, grown, _ in rounds:
            runs, ns = grown.get(program, (0, 0))
            per.append(ns / n)
            often.append(runs / n)
            if runs:
                each.append(ns / runs)
        figures.line(program, per, digits=0)
        if each:
            print(f"{'':12}{figures.percentile(sorted(often), 50):.3f} runs per {what}, "
                  f"{figures.percentile(sorted(each), 50):.0f} ns each (median)")
    for n, grown, empty in rounds:
        mine = [grown[p] for p in web.PROGRAMS if p in grown]
        totals.append(sum(ns for _, ns in mine) / n)
        nets.append(totals[-1] - empty * sum(runs for runs, _ in mine) / n)
    figures.line("all", totals, digits=0)
    figures.line("an empty program, per run", [empty for *_, empty in rounds], digits=0)
    figures.line("all without the accounting", nets, digits=0)


if __name__ == "__main__":
    main()
