# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part of the suite that runs inside the virtual machine: starts mendd and runs the cases, some of them the lab's.

The host reads what is printed from the second serial line: BEGIN, lines of results, END.
"""
import importlib
import os

import harness
from harness import Failure, run, run_raw, wait_mendd_ready

# Of the lab's cases those whose outcome depends on what a kernel tells of a death.
FROM_THE_LAB = ("exit 0: no incident, counted", "exit 7", "SIGKILL from another service", "cgroup.kill",
                "SIGTERM from outside, answered with exit 0", "SIGSEGV of its own making", "abort()",
                "a thread that is not the first executes a program",
                "a double-forked child dies while the main process lives",
                "HTTP: keep-alive, close, HTTP/1.0; IPv4, IPv6, v4-mapped",
                "HTTP: pipelining of mixed methods, HEAD among them",
                "HTTP: chunked, trailers, bodies to the end of the connection",
                "HTTP: the client resets, closes, half-closes",
                "HTTP: clients reset by the hundred while others take the processors",
                "HTTP: the server resets, closes, stops in the middle",
                "HTTP: the server is killed with requests in flight",
                "HTTP: socket-activated, and restarted in between: counted for the service from its first request",
                "HTTP: restarted under load: counted from the first request on",
                "HTTP: kill -9 of mendd under load loses no count",
                "HTTP: routes, with ids replaced, the rest together, none where nobody asked",
                "HTTP: TCP fast open on the loopback: a request on the SYN",
                "HTTP: both ends of a connection say their first words at the same time")


def start_mendd():
    os.makedirs(harness.RUN, exist_ok=True)
    os.makedirs(harness.UNIT_DIR, exist_ok=True)
    os.chmod(harness.RUN, 0o777)
    run("systemctl", "start", "mendd.socket")
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()


def main():
    print("BEGIN", flush=True)
    label = os.environ["VM_LABEL"]
    harness.label_name = lambda _: label
    try:
        start_mendd()
    except Failure as e:
        print(f"not ok {label}: mendd starts # {e}".replace("\n", " | "))
        print(run_raw("journalctl", "-q", "--no-pager", "-n", "60").stdout)
    else:
        if os.environ["VM_HIERARCHY"] == "unified":
            for module in ("cases_deaths", "cases_http_protocol", "cases_http_world", "cases_http_moment"):
                importlib.import_module(module)
            harness.CASES[:] = [c for c in harness.CASES if c["name"] in FROM_THE_LAB
                                and (c["name"] != "cgroup.kill" or has_cgroup_kill())]
            importlib.import_module("cases_kernel")
            importlib.import_module("cases_refused")
        importlib.import_module("cases_degraded")
        if os.environ["VM_HIERARCHY"] == "unified" or not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            harness.run_all("", os.environ["VM_ONLY"])
        else:
            print(f"skip {label}: degraded # this systemd boots with the unified hierarchy only")
    print("END", flush=True)


def has_cgroup_kill():
    """Since 5.14."""
    return os.path.exists("/sys/fs/cgroup/system.slice/cgroup.kill")


main()
