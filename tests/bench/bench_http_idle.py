# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon itself spends while a service answers: requests are counted in the kernel, so that it should not
depend on how many there are.

    tests/bench/run http-idle [--seconds 30] [--rounds 3] [--rates 0,1000,10000,max]

The rates follow each other in each round. CPU is that of mendd's cgroup; a wake-up is a voluntary context switch.
"""
import argparse
import subprocess
import time

import figures
import inside
import web

UNIT = "mendd.service"
# Young units are looked at more often; this is about settled ones.
SETTLED = 15


def traffic(rate, seconds):
    """Starts it; None where there is none."""
    if rate == "0":
        return None
    if rate == "max":
        command = ["/usr/bin/wrk", "-t", "1", "-c", "32", "-d", f"{seconds + 2:.0f}s",
                   f"http://127.0.0.1:{web.NGINX_PORT}/small"]
    else:
        command = [inside.program("http"), "--connections", "32", "--rate", rate, "--path", "/small",
                   str(web.NGINX_PORT), str(int(rate) * int(seconds + 2))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def measure(pid, rate, seconds):
    """(requests a second, share of a core in %, wake-ups a second)."""
    child = traffic(rate, seconds)
    time.sleep(1)  # connections are made
    started = web.seen(web.NGINX)[0]
    cpu, switches, begun = web.cpu_usec(UNIT), inside.switches(pid), time.monotonic()
    time.sleep(seconds)  # this is what is measured
    took = time.monotonic() - begun
    spent = web.cpu_usec(UNIT) - cpu
    woken = inside.switches(pid)[0] - switches[0]
    n = web.seen(web.NGINX)[0] - started
    if child and child.wait():
        raise SystemExit(f"the client ended with {child.returncode}")
    return n / took, spent / took / 1e4, woken / took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", default="0,1000,10000,max")
    a = parser.parse_args()
    rates = a.rates.split(",")
    with figures.Frame("the daemon while a service answers"):
        pid = inside.start_mendd()
        web.check_measured()
        web.start_nginx()
        web.wait_measured(web.NGINX, web.NGINX_PORT)
        time.sleep(SETTLED)
        results = {r: [] for r in rates}
        for i in range(a.rounds):
            for rate in rates if i % 2 == 0 else reversed(rates):
                results[rate].append(measure(pid, rate, a.seconds))
        figures.header("as said")
        for rate in rates:
            seen, cpu, woken = zip(*results[rate])
            figures.line(f"{rate}: requests/s", seen, digits=0)
            figures.line(f"{rate}: CPU of mendd, % of a core", cpu, digits=4)
            figures.line(f"{rate}: wake-ups/s", woken, digits=2)


if __name__ == "__main__":
    main()
