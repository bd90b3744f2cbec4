# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the kernel programs cannot be had, mendd says so in every place where somebody may look, and goes on with
the process connector: deaths of main processes are known and healed, without their killers.
"""
import json
import os

from harness import (case, daemon_reload, expect, expect_text, manager, metrics, run, run_raw, wait,
                     wait_mendd_ready, write)
from vm import code_of_waitid, wait_zombie

FAST = "Heal=restart\nVerifyFor=300ms\nBackoff=100ms..1s"
HYBRID = os.environ["VM_HIERARCHY"] != "unified"


def make_degraded():
    """In the hybrid hierarchy it is so from the start; else BPF is taken away, from now on."""
    if manager()["Degraded"]:
        return
    write("/run/systemd/system/mendd.service.d/50-degraded.conf",
          "[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_NET_ADMIN\n")
    daemon_reload()
    # Not "restart": the programs in the FD store would be adopted. A stop empties it.
    run("systemctl", "stop", "mendd.service")
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()


def check_said(t):
    """That it is degraded, and why, wherever one looks."""
    why = "cgroup" if HYBRID else "CAP_BPF"
    m = manager()
    expect("Degraded and State on D-Bus", (m["Degraded"], m["State"]), (True, "degraded"))
    r = run_raw("mendctl", "--no-pager", "status")
    expect_text("mendctl status", r.stdout.lower(), "degraded")
    r = run_raw("mendctl", "--json=short", "doctor")
    expect("exit status of mendctl doctor", r.returncode, 1)
    rows = {x["what"]: x for x in json.loads(r.stdout)}
    expect("doctor about bpf", rows["bpf"]["state"], "degraded")
    expect_text("doctor about bpf", rows["bpf"]["text"], why)
    expect("doctor about kernel programs", rows["kernel programs"]["state"], "degraded")
    expect("doctor about the connector", rows["connector"]["state"], "ok")
    if HYBRID:
        expect("doctor about cgroup v2", rows["cgroup v2"]["state"], "degraded")
        expect_text("what to do about it", rows["cgroup v2"]["advice"], "systemd.unified_cgroup_hierarchy=1")
    n = metrics()
    expect("mendd_collector_up", (n.of("mendd_collector_up", collector="bpf"),
                                  n.of("mendd_collector_up", collector="connector")), (0, 1))
    text = run("journalctl", "-q", "--no-pager", "-o", "cat", "-b", "-p", "warning", "SYSLOG_IDENTIFIER=mendd")
    expect_text("the journal", text, "DEGRADED", why)
    t.say([line for line in text.splitlines() if "DEGRADED" in line][-1])


def check_healed(u, pid, cause, signal):
    i = u.wait_closed()
    expect("cause and verdict", (i["cause"], i["verdict"]), (cause, "fixed-weak"))
    expect("the death, without a killer", {k: i["death"][k] for k in ("pid", "signal", "killer")},
           {"pid": pid, "signal": signal, "killer": "none"})
    expect("restarts", u.wait_settled()["NRestarts"], {"mendd": 1, "systemd": 0, "other": 0})
    return i


@case("degraded: said everywhere, deaths from the process connector, healed", alone=True, last=True)
def degraded(t):
    make_degraded()
    check_said(t)
    u = t.unit("killed", mendd=FAST)
    pid = u.pid
    t.kill(pid)
    i = check_healed(u, pid, "killed", 9)
    detected = [e["text"] for e in i["timeline"] if e["kind"] == "detected"][0]
    t.say(detected)
    u = t.unit("exits", mendd=FAST)
    pid = u.pid
    u.request("exit 7")
    i = check_healed(u, pid, "exited", 0)
    expect("exit code", i["death"]["code"], 7)
    # The bystander of this case was started before; it has to be seen now as well.
    wait("the bystander is healthy", lambda: t.bystander.mendd()["Health"] == "healthy")


@case("degraded: a process with many threads is killed", alone=True, last=True)
def degraded_threads(t):
    make_degraded()
    # Which of its threads leaves last is left to chance: known at once or from PID 1, it is one death.
    for n in range(3):
        u = t.unit(f"threads{n}", mendd=FAST)
        old, pid = u.invocation, u.pid
        u.request("threads 20")
        wait("they are there", lambda p=pid: len(os.listdir(f"/proc/{p}/task")) == 21)
        t.kill(pid)
        i = u.wait_closed()
        expect("cause and verdict", (i["cause"], i["verdict"], i["relapses"]), ("killed", "fixed-weak", 0))
        expect("restarts", u.wait_settled()["NRestarts"], {"mendd": 1, "systemd": 0, "other": 0})
        expect("a new invocation", u.invocation != old, True)


@case("degraded: the main thread leaves first, workers live on", alone=True, last=True)
def degraded_leader(t):
    make_degraded()
    u = t.unit(mendd=FAST)
    identity, pid = u.identity(), u.pid
    u.request("leader-exit 42")
    wait_zombie(pid)
    # A death that comes later is reported later: what the first one would do, it has done by then.
    other = t.unit("other", mendd=FAST)
    t.kill(other.pid)
    other.wait_closed()
    expect("incidents", u.incidents(), [])
    expect("it goes on", u.identity(), identity)
    u.request("exit 3")
    i = u.wait_closed()
    expect("cause and verdict", (i["cause"], i["verdict"]), ("exited", "fixed-weak"))
    expect_text("the code that PID 1 was told", u.wait_record("unit-failed")["MESSAGE"],
                f"exited with code {code_of_waitid(42, 3)}")
    expect("restarts", u.wait_settled()["NRestarts"], {"mendd": 1, "systemd": 0, "other": 0})

