# SPDX-License-Identifier: LGPL-2.1-or-later
"""A kernel that refuses single programs: each is left out alone, said to be, and the others go on. (The process
`refuse` makes it refuse them.)

Only when asked for by name (run.py --only refused): it changes the kernel's text while that runs, and once in about
ten runs on 6.1 an emulated processor was stuck for good meanwhile.
"""
import functools
import os
import subprocess

from cases_kernel import HTTP, PROGRAMS, doctor
from harness import Skip, case, expect, expect_text, metrics, run, wait_mendd_ready
from http_client import once
from http_truth import Counts, Truth, http_unit
from vm import REFUSE, kernel_version

# What is refused at a time, and the features that are then said to be missing.
ROUNDS = ((("http_read", "http_state_2nd", "program_executed"), {"http-queue", "exec"}),
          (("http_state",), {"http-ends"}))


def load_anew():
    """A stop empties the FD store: after a restart the programs in it would be adopted."""
    run("systemctl", "stop", "mendd.service")
    run("systemctl", "start", "mendd.service", timeout=150)
    wait_mendd_ready()


def check_features(missing):
    rows, up = doctor(), metrics()
    for feature in (*PROGRAMS, *HTTP):
        expect(f"doctor about {feature}", rows[feature]["state"], "degraded" if feature in missing else "ok")
        expect(f"mendd_collector_up of {feature}", up.of("mendd_collector_up", collector=feature),
               int(feature not in missing))
    for feature in missing:
        expect_text(f"doctor about {feature}", rows[feature]["text"], "the kernel refuses the program")


def refuse(t, program):
    p = subprocess.Popen([REFUSE, program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    t.cleanup(p.wait)
    t.cleanup(p.kill)
    line = p.stdout.readline()
    if line != "ready\n":
        raise Skip(f"nothing can make this kernel refuse {program}: {line}{p.stdout.read()}")


def left_out(t, programs, missing):
    if not os.environ["VM_ONLY"]:
        raise Skip("an emulated processor may be stuck meanwhile: only by name, with --only refused")
    if kernel_version() < (5, 17):
        raise Skip("needs HTTP programs: Linux 5.17")
    u = http_unit(t)
    t.cleanup(load_anew)
    for program in programs:
        refuse(t, program)
    load_anew()
    check_features(missing)
    truth, tally = Truth(u), Counts()
    expect("counts of the former run", sum(truth.before.requests.values()), 0)
    for status in (200, 404, 500):
        once(u.port, "GET", f"/status/{status}", tally=tally)
    truth.check(tally, clocks="http-queue" not in missing)


for programs, missing in ROUNDS:
    case(f"refused by the kernel: {', '.join(programs)}: left out, and the others measure", alone=True)(
        functools.partial(left_out, programs=programs, missing=missing))
