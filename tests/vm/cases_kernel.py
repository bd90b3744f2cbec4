# SPDX-License-Identifier: LGPL-2.1-or-later
"""What depends on the kernel: which programs it takes, that deaths are neither lost nor counted twice, who the OOM
killer's victim was and because of which limit, executions, and cgroups that come and go.

The lab's cases about single deaths run beside these.
"""
import glob
import json
import os
import shutil
import signal
import time

from cases_deaths import OUTCOMES, check_counters, only_marker, operator_restarts
from harness import (RUN, VICTIM, Skip, case, daemon_reload, expect, expect_in, expect_text, mendd_pid, metrics, read,
                     run, run_raw, wait, wait_mendd_ready)
from vm import OBJECTS, VERIFY, code_of_waitid, kernel_version, wait_zombie

PROGRAMS = ("deaths", "signals", "oom", "exec", "cgroup-births", "cgroup-ends")
HTTP = ("http", "http-queue", "http-ends", "http-oldest")  # from 5.17 on
HTTP_PROGRAMS = 5
FAST = "Heal=restart\nVerifyFor=300ms\nBackoff=100ms..1s"


def doctor():
    """What mendctl doctor finds, by its first words."""
    rows = json.loads(run_raw("mendctl", "--json=short", "doctor").stdout)
    return {r["what"]: r for r in rows}


@case("all kernel programs are loaded, and mendctl doctor says so")
def programs(t):
    rows = doctor()
    for what in ("bpf", "cgroups", "BTF", "sockets", *PROGRAMS):
        expect(f"doctor about {what}", rows[what]["state"], "ok")
    expect("doctor about kernel programs", "kernel programs" in rows, False)
    m = metrics()
    for what in ("bpf", *PROGRAMS):
        expect(f"mendd_collector_up of {what}", m.of("mendd_collector_up", collector=what), 1)
    http = kernel_version() >= (5, 17)
    for what in HTTP if http else HTTP[:1]:
        expect(f"doctor about {what} ({rows[what]['text']})", rows[what]["state"], "ok" if http else "degraded")
        expect(f"mendd_collector_up of {what}", m.of("mendd_collector_up", collector=what), int(http))

    exits = ["exit_told", "exit_told_2nd"] if kernel_version() >= (6, 16) else ["exit_counted"]
    wanted = len(PROGRAMS) - 1 + len(exits) + HTTP_PROGRAMS * http

    def loaded():
        names = [k.split('"')[1] for k in metrics() if k.startswith("mendd_bpf_program_runs_total{")]
        return names if len(names) == wanted else None
    names = wait("the kernel's accounting lists the programs", loaded, 30)
    expect("programs for deaths", [n for n in names if n.startswith("exit_")], exits)


@case("the programs as each compiler makes them load, with less than 40 % of the verifier's limit")
def compilers(t):
    version = kernel_version()
    lacks = [] if version >= (6, 16) else ["--without=exit_told", "--without=exit_told_2nd"]
    objects = [o for o in sorted(glob.glob(OBJECTS + "/*.o")) if version >= (5, 17) or "/lifecycle" in o]
    if not objects:
        raise Skip("no second compiler was there when the tests were built")
    r = run_raw(VERIFY, "--limit=400000", *lacks, *objects, timeout=600)
    for line in r.stdout.splitlines():
        t.say(line)
    expect("exit status", r.returncode, 0)


@case("killed, healed and verified, killer named")
def healed(t):
    u = t.unit(mendd=FAST)
    old, pid = u.invocation, u.pid
    by = t.kill(pid)
    i = u.wait_closed()
    death = i["death"]
    expect("cause and verdict", (i["cause"], i["verdict"]), ("killed", "fixed-weak"))
    expect("the death and its killer",
           {k: death[k] for k in ("pid", "signal", "killer", "killer_pid", "killer_comm", "killer_uid",
                                  "killer_unit")},
           {"pid": pid, "signal": 9, "killer": "process", "killer_pid": by.pid, "killer_comm": by.comm,
            "killer_uid": by.uid, "killer_unit": by.unit})
    m = u.wait_settled()
    expect("restarts", m["NRestarts"], {"mendd": 1, "systemd": 0, "other": 0})
    expect("a new invocation", u.invocation != old, True)


def child_of(u, *deadline):
    """The pid of a child that waits; it begins when all that was asked of the victim before is done."""
    file = f"{RUN}/{u.name}.child"
    u.request(f"child {file}")
    return int(wait("the child is there", lambda: read(file), *deadline))


def missed():
    """Deaths that the kernel may have kept from both programs, and says so: see exit_told_2nd."""
    return metrics().of("mendd_bpf_program_misses_total", program="exit_told_2nd") if kernel_version() >= (6, 16) else 0


def counted(t, request, wanted):
    """A burst of ends of children: each is counted once, and nothing else is."""
    u = t.unit(mendd="Heal=restart")
    before, identity = u.mendd(), u.identity()
    began = time.monotonic()
    u.request(request)
    wanted = {**wanted, "signaled": 1}
    os.kill(child_of(u, 60), signal.SIGKILL)  # records come in order: behind this one there is nothing of the burst left
    wait("a child's death is counted", lambda: u.mendd()["Exits"]["signaled"] > before["Exits"]["signaled"], 60)
    m = u.mendd()
    counts = {o: m["Exits"][o] - before["Exits"][o] for o in OUTCOMES}
    missing = sum(wanted.values()) - sum(counts.values())
    if missing <= 0 or any(counts[o] > wanted.get(o, 0) for o in OUTCOMES):
        expect("ends counted", counts, {o: wanted.get(o, 0) for o in OUTCOMES})
    else:  # the accounting is read every 10 s
        wait(f"of {missing} that are missing the kernel says that it left them out", lambda: missed() >= missing, 15)
    expect("the unit goes on", u.identity(), identity)
    expect("incidents", u.incidents(), [])
    expect("records lost", metrics().of("mendd_bpf_events_lost_total"), 0)
    t.say(f"{sum(wanted.values())} ends in {time.monotonic() - began:.1f} s, {missing} not seen")


@case("2,000 exits are counted exactly", alone=True)
def storm(t):
    counted(t, "storm 2000", {"exited_ok": 1000, "exited_error": 1000})


@case("2,000 exits of processes that take the processor from each other are counted exactly", alone=True)
def crowd(t):
    counted(t, "crowd 2000", {"exited_ok": 1000, "exited_error": 1000})
    misses = {k: v for k, v in metrics().items() if k.startswith("mendd_bpf_program_misses_total{") and v}
    t.say(f"runs that the kernel left out: {misses}")


@case("500 processes whose two threads leave together are counted once each", alone=True)
def pairs(t):
    counted(t, "pairs 500", {"exited_ok": 500})


@case("the main thread leaves first, workers live on: one death, with the right code")
def leader_leaves(t):
    u = t.unit(mendd=None)
    before, pid = u.mendd(), u.pid
    u.request("leader-exit 42")
    wait_zombie(pid)
    only_marker(u, before, pid)
    before = u.mendd()
    u.request("exit 3")
    i = u.wait_incident()
    expect("the death", (i["cause"], i["death"]["pid"], i["death"]["code"]), ("exited", pid, 3))
    m = u.wait_mendd(Refusal="observe-only")
    check_counters(u, before, m, "exited_error")
    wait("systemd has reaped it", lambda: u.get("ExecMainCode") == "1")
    expect("what systemd was told", u.get("ExecMainStatus"), str(code_of_waitid(42, 3)))
    operator_restarts(u)


def check_oom(u, before, pid, cause, own):
    i = u.wait_incident()
    m = u.wait_mendd(Refusal="observe-only", Cause=cause)
    expect("the incident", (i["cause"], i["death"]["pid"], i["death"]["killer"]), (cause, pid, "oom-killer"))
    expect("the death", (m["LastExitKiller"], m["LastExitOutcome"], m["LastExitPid"], m["LastExitOOMOwnLimit"]),
           ("oom-killer", "oom_killed", pid, own))
    # PID 1 stops a unit with an OOM kill, and is sometimes faster than the kernel that told it.
    expect_in("signal", m["LastExitSignal"], signal.SIGKILL, signal.SIGTERM)
    check_counters(u, before, m, "oom_killed")
    expect("OOM kills", (m["OOMKills"], metrics().of("mendd_oom_kills_total", name=u.name)), (1, 1))
    expect("systemd's Result", u.get("Result"), "oom-kill")
    text = u.wait_record("unit-failed")["MESSAGE"]
    expect_text("the record", text, "OOM killer")
    for where in (text, m["LastExitDescription"]):
        expect("the own limit is named only where it was the reason", "own memory limit" in where, own)
    return text


@case("OOM kill by the unit's own MemoryMax=")
def oom_own(t):
    u = t.unit(mendd=None, service="MemoryMax=24M\nMemorySwapMax=0")
    before, pid = u.mendd(), u.pid
    u.request(f"eat {64 << 20}")
    t.say(check_oom(u, before, pid, "oom", True))
    operator_restarts(u)


@case("OOM kill by the unit's own MemoryMax=, mendd comes when the cgroup is gone", alone=True)
def oom_late(t):
    u = t.unit(mendd=None, service="MemoryMax=24M\nMemorySwapMax=0")
    before, pid = u.mendd(), u.pid
    cgroup = "/sys/fs/cgroup" + u.get("ControlGroup")
    mendd = mendd_pid()
    t.cleanup(run, "kill", "-CONT", str(mendd))
    run("kill", "-STOP", str(mendd))
    u.request(f"eat {64 << 20}")
    wait("its cgroup is gone", lambda: not os.path.exists(cgroup))
    run("kill", "-CONT", str(mendd))
    check_oom(u, before, pid, "oom", True)
    operator_restarts(u)


@case("OOM kill by the limit of an outer slice", alone=True)  # it reloads PID 1
def oom_outer(t):
    slice_name = f"t{t.number}.slice"
    t.drop_in(slice_name, "[Slice]\nMemoryMax=24M\nMemorySwapMax=0\n")
    daemon_reload()
    u = t.unit(mendd=None, service=f"Slice={slice_name}")
    t.cleanup(run, "systemctl", "stop", slice_name)
    before, pid = u.mendd(), u.pid
    u.request(f"eat {64 << 20}")
    t.say(check_oom(u, before, pid, "oom-host", False))


@case("the program that a unit executes, and that it has changed")
def program(t):
    copy = f"{RUN}/{t.unit_name('program')}"
    shutil.copy(VICTIM, copy)
    u = t.unit(mendd=None, command=f"{copy} {RUN}/{t.unit_name('victim')}.fifo")
    m = wait("mendd has seen the program", lambda: u.mendd() if u.mendd()["Program"] else None)
    expect("the program", (m["Program"], m["ProgramChanged"]), (copy, False))
    run("systemctl", "restart", u.name)
    u.wait_settled()
    expect("the same program", u.mendd()["ProgramChanged"], False)
    # The same inode, another time: only the time of modification tells.
    os.utime(copy, ns=(1, os.stat(copy).st_mtime_ns + 1))
    run("systemctl", "restart", u.name)
    u.wait_settled()
    wait("it has changed", lambda: u.mendd()["ProgramChanged"])


@case("a cgroup's birth: the first process of each new invocation is watched")
def births(t):
    # It ends as soon as it has begun: only who watches the cgroup from its birth sees that.
    u = t.write_unit("short", "[Service]\nType=oneshot\nExecStart=/bin/false\n"
                     "[Unit]\nStartLimitIntervalSec=0\n[X-Mendd]\nHeal=off\n")
    u.hold()
    rounds = 20
    for _ in range(rounds):
        run("systemctl", "start", u.name, check=False)
    wait("all of them are counted", lambda: u.mendd()["Exits"]["exited_error"] >= rounds)
    expect("ends", u.mendd()["Exits"], {o: rounds if o == "exited_error" else 0 for o in OUTCOMES})


@case("mendd killed and started again: the programs go on, and no death is lost", alone=True)
def adopted(t):
    u = t.unit(mendd="Heal=restart")
    before, identity = u.mendd(), u.identity()
    # Counters are not kept: what is seen after the restart is what the ring had kept.
    t.drop_in("mendd.service", "[Service]\nRestartSec=2s\n", "50-vm.conf")
    daemon_reload()
    old = mendd_pid()
    run("kill", "-KILL", str(old))
    wait("mendd is gone", lambda: mendd_pid() == 0)
    u.request("storm 10")
    pid = child_of(u)
    by = t.kill(pid)
    expect("mendd has not come back before", mendd_pid(), 0)
    wait_mendd_ready(old)
    u.wait_mendd(Exits={"exited_ok": 5, "exited_error": 5, "signaled": 1, "dumped": 0, "oom_killed": 0})
    r = u.wait_record("helper-died")
    expect("who killed the child, while mendd was dead",
           (r["MENDD_EXIT_PID"], r["MENDD_KILLER_PID"], r["MENDD_KILLER_UNIT"]),
           (str(pid), str(by.pid), by.unit))
    expect_text("doctor about bpf", doctor()["bpf"]["text"], "of the former run go on")
    u.wait_settled()
    expect("the unit goes on", (u.identity(), before["Exits"]["signaled"]), (identity, 0))
