# SPDX-License-Identifier: LGPL-2.1-or-later
"""Healing: who is healed, when, how often, and what proves it."""
import json
import socket
import time

from harness import (Failure, call_manager, case, expect, expect_in, expect_text, manager, remove, run, run_raw,
                     wait, wait_metrics, write)

FAST = "Heal=restart\nVerifyFor=300ms\nBackoff=100ms..1s"
KILL_SWITCH = "/etc/mendd/healing-off"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def accepts(port):
    with socket.create_connection(("127.0.0.1", port), 2):
        return True


def offsets(incident, kind):
    return [e["offset_usec"] for e in incident["timeline"] if e["kind"] == kind]


def healed(u, i, old, verdict="fixed-weak", restarts=1):
    """It was restarted by mendd, once, and verified; all sides agree."""
    m = u.wait_settled()
    expect("verdict, attempts, open", (i["verdict"], i["attempts"], i["open"]), (verdict, restarts, False))
    expect("restarts", m["NRestarts"], {"mendd": restarts, "systemd": 0, "other": 0})
    expect("jobs of PID 1", u.starts(), 1 + restarts)
    expect("invocation", (m["InvocationID"] != old, m["InvocationID"]), (True, u.invocation))
    expect("state", m["HealingState"], "probation")
    r = u.wait_record("verified")
    expect("fields of 'verified'", (r["MENDD_INCIDENT_ID"], r["MENDD_VERDICT"], r["MENDD_ACTION"]),
           (i["id"], verdict, "restart"))
    expect("recovery time in the record", int(r["MENDD_RECOVERY_USEC"]) > 0, True)
    wait_metrics("the metrics agree", lambda n: (
        n.of("mendd_unit_restarts_total", name=u.name, initiator="mendd"),
        n.of("mendd_heal_actions_total", name=u.name, action="restart"),
        n.of("mendd_heal_verdicts_total", name=u.name, verdict=verdict),
        n.of("mendd_unit_healthy", name=u.name),
        n.of("mendd_incident_open", name=u.name)) == (restarts, restarts, 1, 1, 0))
    wanted = ["failed", "detected", "decided", "acted", "restarted", "up", "verified", "closed"]
    order = [e["kind"] for e in i["timeline"] if e["kind"] in wanted]
    # A unit that had not been well for VerifyFor= yet waits first: two decisions.
    order = [k for n, k in enumerate(order) if order[n - 1:n] != [k]]
    expect("order of the timeline", order, wanted)


@case("Heal=restart: killed, restarted, verified", alone=True)  # two actions at most at once: none besides
def heal_killed(t):
    port = free_port()
    u = t.unit(arguments=f"--listen {port}", mendd=FAST)
    wait("mendd knows its socket", lambda: u.mendd()["ListeningSockets"] == [f"tcp 127.0.0.1:{port}"])
    since = int(u.get("ActiveEnterTimestampMonotonic"))
    wait("it has been well for VerifyFor=", lambda: time.monotonic() * 1e6 > since + 4e5)
    old, pid = u.invocation, u.pid
    by = t.kill(pid)
    i = u.wait_closed()
    healed(u, i, old)
    expect("cause and killer", (i["cause"], i["death"]["killer_pid"], i["death"]["killer_unit"]),
           ("killed", by.pid, by.unit))
    expect("evidence: its socket", i["evidence"]["listening"], [f"127.0.0.1:{port}"])
    expect("it serves", accepts(port), True)
    expect_text("the verdict says what it stands on", str(i["timeline"]), "sockets open")
    expect_text("the record", u.wait_record("unit-failed")["MESSAGE"],
                f"killed by SIGKILL from sh[{by.pid}] (uid 0, {by.unit}), restarting (1 of 5)")


@case("Heal=restart: SIGTERM from outside is healed, though systemd calls it clean")
def heal_terminated(t):
    u = t.unit(mendd=FAST)
    old = u.invocation
    t.kill(u.pid, "TERM")
    i = u.wait_closed()
    healed(u, i, old)
    expect("cause", i["cause"], "killed")


@case("Heal=restart: crash")
def heal_crashed(t):
    u = t.unit(mendd=FAST)
    old = u.invocation
    u.request("segv")
    i = u.wait_closed()
    healed(u, i, old)
    expect("cause", i["cause"], "crashed")


@case("Heal=restart: a unit that PID 1 unloads when it is down")
def heal_unloaded(t):
    u = t.unit(mendd=FAST, held=False)
    old = u.invocation
    t.kill(u.pid, "TERM")
    healed(u, u.wait_closed(), old)


@case("observe-only is the default: nothing is done, and that is said")
def observe(t):
    u = t.unit(mendd=None)
    m = u.mendd()
    expect("mode of healing", m["HealMode"], "observe")
    u.request("exit 3")
    u.wait_incident()
    m = u.wait_mendd(Refusal="observe-only", HealingState="hold")
    # Once, and once more behind each time that other units' actions at that moment were the reason.
    counted, between = m["Refusals"]["observe-only"], m["Refusals"]["concurrency"]
    expect_in("refusals counted", counted, *{between or 1, between + 1})
    wait_metrics("mendd_heal_refusals_total", lambda n: n.of(
        "mendd_heal_refusals_total", name=u.name, reason="observe-only") == counted)
    expect_text("the record", u.wait_record("unit-failed")["MESSAGE"], "would restart it")
    expect_text("mendctl explain", run_raw("mendctl", "explain", u.name).stdout, "observe-only")
    r = run_raw("mendctl", "--no-pager", "status", u.name)
    expect("exit status of mendctl status", r.returncode, 1)
    wait_metrics("the alert fires", lambda n: n.of("mendd_alert_firing", name=u.name) == 1)
    expect("starts and actions", (u.starts(), m["Attempts"]), (1, 0))
    u.start()
    i = u.wait_closed()
    expect_text("resolution", i["resolution"], "operator")
    wait_metrics("the alert is resolved", lambda n: n.of("mendd_alert_firing", name=u.name) == 0)
    expect("exit status of mendctl status", run_raw("mendctl", "--no-pager", "status", u.name).returncode, 0)


@case("Heal=off: no incident, but no secret either")
def off(t):
    u = t.unit(mendd="Heal=off")
    u.request("exit 3")
    m = u.wait_mendd(Health="unhealthy")
    expect("incidents", u.incidents(), [])
    expect("actions", m["Attempts"], 0)


@case("the budget is used up: exhausted, a person is called, no more restarts")
def budget(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=100ms\nBackoff=100ms..100ms\nBudget=2/1h",
               unit="StartLimitIntervalSec=0")
    for n in (1, 2):
        u.request("exit 1")
        u.wait_mendd(HealingState="probation", NRestarts={"mendd": n, "systemd": 0, "other": 0})
        u.wait_settled()
    u.request("exit 1")
    m = u.wait_mendd(HealingState="exhausted", Refusal="budget", BudgetRemaining=0)
    expect("actions", (m["Attempts"], u.starts()), (2, 3))
    r = u.wait_record("exhausted")
    expect("priority of the record", r["PRIORITY"], "2")
    expect_text("the record", r["MESSAGE"], "a person is needed")
    expect("there is a next time", 0 < m["NextWakeUSec"] < 2**63, True)
    expect("relapses of one incident", (len(u.incidents()), u.incident()["relapses"]), (1, 2))
    # mendctl reset: the next failure is healed at once.
    run("mendctl", "reset", u.name)
    u.wait_mendd(NRestarts={"mendd": 3, "systemd": 0, "other": 0})
    u.wait_closed()
    expect("starts", u.starts(), 4)


@case("a crash loop: back-off grows, then the budget ends it")
def crash_loop(t):
    u = t.unit("loop", mendd="Heal=restart\nVerifyFor=1s\nBackoff=100ms..10s\nBudget=5/1h", start=False,
               unit="StartLimitIntervalSec=0", command="/bin/sh -c 'exit 9'")
    u.start()
    m = u.wait_mendd(HealingState="exhausted", deadline=30)
    i = u.incident()
    acted = offsets(i, "acted")
    gaps = [b - a for a, b in zip(acted, acted[1:])]
    expect("restarts", (len(acted), m["Attempts"], u.starts()), (5, 5, 6))
    # Steps of 1, 2, 4, 8 times 100 ms with a quarter more or less, and the time that starting takes.
    for gap, step in zip(gaps, (100, 200, 400, 800)):
        if not 0.75 * step * 1000 <= gap:
            raise Failure(f"back-off: {gaps} µs, at least a step of {step} ms - 25 % was expected")
    expect("each attempt has a verdict", m["Verdicts"]["not-fixed"], 5)


@case("the same sender again: held")
def same_killer(t):
    u = t.unit(mendd=FAST)
    t.kill(u.pid)
    u.wait_closed()
    u.wait_settled()
    t.kill(u.pid)
    m = u.wait_mendd(Refusal="same-killer", IncidentOpen=True)
    expect("restarts", (m["Attempts"], u.starts()), (1, 2))
    # The first reason may be that two others are being restarted.
    wait("a record", lambda: [r for r in u.records() if "same sender" in r["MESSAGE"]])
    u.start()
    u.wait_closed()


@case("a dependency is down: held until it is well")
def dependency(t):
    below = t.unit("below", mendd="VerifyFor=300ms")
    above = t.unit("above", mendd=FAST, unit=f"Requires={below.name}\nAfter={below.name}")
    below.request("exit 1")
    below.wait_incident()
    above.request("exit 1")
    m = above.wait_mendd(Refusal="dependency-down", IncidentOpen=True)
    expect("actions", m["Attempts"], 0)
    expect("starts", (above.starts(), below.starts()), (1, 1))
    below.start()
    below.wait_closed()
    above.wait_closed()
    expect("restarts", above.wait_settled()["NRestarts"]["mendd"], 1)
    expect("the dependency was not touched", below.mendd()["Attempts"], 0)


@case("mendctl restart goes past observe-only")
def restart_by_hand(t):
    u = t.unit(mendd="VerifyFor=300ms")
    u.request("exit 3")
    u.wait_mendd(Refusal="observe-only")
    run("mendctl", "restart", u.name, "--reason=by hand")
    i = u.wait_closed()
    expect("attempts and verdict", (i["attempts"], i["verdict"], i["cause"]), (1, "fixed-weak", "exited"))
    expect("starts", u.starts(), 2)


@case("mendctl restart of a healthy unit")
def restart_healthy(t):
    u = t.unit(mendd="VerifyFor=300ms")
    old = u.invocation
    run("mendctl", "restart", u.name, "--reason=quarterly leak")
    i = u.wait_closed()
    expect("cause and verdict", (i["cause"], i["verdict"]), ("requested", "fixed-weak"))
    expect_text("the reason is part of it", i["summary"], "quarterly leak", "uid 0")
    expect("invocation", u.wait_settled()["InvocationID"] != old, True)
    expect("starts", u.starts(), 2)
    r = run_raw("mendctl", "restart", u.name)
    expect("without a reason", r.returncode, 2)


@case("the verdict is 'fixed' where a check agrees: built-in tcp")
def check_tcp(t):
    port = free_port()
    u = t.unit(arguments=f"--listen {port}",
               mendd=FAST + f"\nCheck=tcp 127.0.0.1:{port}\nCheckInterval=1s\nCheckTimeout=1s")
    u.wait_mendd(CheckStatus="ok")
    old = u.invocation
    t.kill(u.pid)
    healed(u, u.wait_closed(), old, verdict="fixed")


@case("the verdict is 'fixed' where a check agrees: check_tcp of monitoring-plugins")
def check_plugin(t):
    port = free_port()
    u = t.unit(arguments=f"--listen {port}",
               mendd=FAST + f"\nCheck=/usr/lib/nagios/plugins/check_tcp -H 127.0.0.1 -p {port}\nCheckInterval=1s")
    m = u.wait_mendd(CheckStatus="ok")
    expect_text("text of the check", m["CheckText"], "TCP OK")
    old = u.invocation
    t.kill(u.pid)
    healed(u, u.wait_closed(), old, verdict="fixed")


@case("a check that fails: said, the unit is unhealthy, and nothing is restarted for it")
def check_fails(t):
    u = t.unit(mendd=FAST + "\nCheck=tcp 127.0.0.1:1\nCheckInterval=1s")
    m = u.wait_mendd(CheckStatus="critical", Health="unhealthy")
    expect("actions", m["Attempts"], 0)
    expect_text("the record", u.wait_record("check-failed")["MESSAGE"], u.name)
    alert = wait("the alert fires", lambda: next(
        a for a in json.loads(run_raw("mendctl", "explain", "--json=short", u.name).stdout)["alerts"]
        if a["rule"] == "check" and a["state"] == "firing"))
    expect("value and limit", (alert["value"] >= 3, alert["threshold"]), (True, 3))
    expect_text("for people", run_raw("mendctl", "explain", u.name).stdout, "check firing", alert["text"])
    expect_text("for Prometheus", run("mendctl", "metrics"),
                f'mendd_alert_firing{{name="{u.name}",rule="check",severity="warning"}} 1\n')


@case("its address is in use: said by whom, no fast loop, healed when it is free")
def address_in_use(t):
    port = free_port()
    u = t.unit(arguments=f"--listen {port}",
               mendd="Heal=restart\nVerifyFor=10s\nBackoff=1s..1s\nBudget=10/1h", unit="StartLimitIntervalSec=0")
    wait("mendd knows its socket", lambda: u.mendd()["ListeningSockets"] == [f"tcp 127.0.0.1:{port}"])
    u.request("exit 1")  # it had not lived for VerifyFor=: the restart is a second away
    u.wait_mendd(MainPID=0, HealingState="backoff")
    other = t.unit("squatter", arguments=f"--listen {port}", mendd=None)
    m = u.wait_mendd(HealingState="hold", Refusal="obstacle")
    expect("restarts so far", (m["Attempts"], m["Verdicts"]["not-fixed"]), (1, 1))
    expect_text("mendd says what is in the way", u.wait_record("not-fixed")["MESSAGE"],
                f"127.0.0.1:{port} is in use by {other.name}")
    expect_text("so does the incident", str(u.incident()["timeline"]), f"in use by {other.name}")
    expect("it waits for long, or for a change", m["NextWakeUSec"] > (time.time() + 60) * 10**6, True)
    run("systemctl", "stop", other.name)
    u.wait_closed()
    expect("restarts", u.wait_settled()["Attempts"], 2)
    expect("it serves", accepts(port), True)


@case("twenty units are killed at once: each is healed once")
def many(t):
    units = [t.unit(f"many{n}", mendd="Heal=restart\nVerifyFor=100ms\nBackoff=100ms..100ms", start=False)
             for n in range(20)]
    run("systemctl", "start", *(u.name for u in units))
    for u in units:
        u.wait_settled()
    for u in units:
        u.request("kill 9")
    for u in units:
        u.wait_mendd(deadline=30, HealingState="probation", NRestarts={"mendd": 1, "systemd": 0, "other": 0})
    for u in units:
        expect(f"{u.name}: starts", u.starts(), 2)
        expect(f"{u.name}: incidents", [(i["open"], i["cause"], i["verdict"]) for i in u.incidents()],
               [(False, "crashed", "fixed-weak")])


@case("mendctl enable and disable")
def enable_disable(t):
    u = t.unit(mendd=None)
    expect("before", u.mendd()["HealMode"], "observe")
    t.cleanup(run, "mendctl", "disable", u.name)
    run("mendctl", "enable", u.name)
    u.wait_mendd(HealMode="restart")
    u.request("exit 1")
    u.wait_mendd(NRestarts={"mendd": 1, "systemd": 0, "other": 0})
    u.wait_closed()
    run("mendctl", "disable", u.name)
    u.wait_mendd(HealMode="observe")


@case("pause and resume", alone=True)
def pause(t):
    u = t.unit(mendd=FAST)
    t.cleanup(run_raw, "mendctl", "resume")
    run("mendctl", "pause", "--for=10min", "--reason=release 4.2")
    expect("reason of the pause", manager()["Pause"][1], "release 4.2")
    expect("healing enabled", manager()["HealingEnabled"], False)
    wait_metrics("mendd_healing_enabled", lambda n: n.of("mendd_healing_enabled") == 0)
    u.request("exit 1")
    m = u.wait_mendd(Refusal="paused", IncidentOpen=True)
    expect("actions", m["Attempts"], 0)
    run("mendctl", "resume")
    u.wait_closed()
    expect("restarts", u.mendd()["NRestarts"]["mendd"], 1)


@case("a pause ends by itself", alone=True)
def pause_ends(t):
    u = t.unit(mendd=FAST)
    t.cleanup(run_raw, "mendctl", "resume")
    run("mendctl", "pause", "--for=2s", "--reason=short")
    u.request("exit 1")
    u.wait_mendd(Refusal="paused")
    u.wait_closed()
    expect("pause on D-Bus", manager()["Pause"][0], 0)


@case("the kill switch: a file stops all healing", alone=True)
def kill_switch(t):
    u = t.unit(mendd=FAST)
    t.cleanup(remove, KILL_SWITCH)
    write(KILL_SWITCH, "")
    wait("mendd has seen it", lambda: manager()["KillSwitch"])
    u.request("exit 1")
    m = u.wait_mendd(Refusal="paused", IncidentOpen=True)
    expect("actions", m["Attempts"], 0)
    expect_text("STATUS= of the daemon", run("systemctl", "show", "mendd.service", "--property=StatusText"), "PAUSED")
    remove(KILL_SWITCH)
    u.wait_closed()
    expect("restarts", u.mendd()["NRestarts"]["mendd"], 1)


@case("D-Bus explains the decision of the moment")
def explain(t):
    u = t.unit(mendd=None)
    u.request("exit 3")
    u.wait_mendd(Refusal="observe-only")
    e = json.loads(call_manager("Explain", "s", u.name)[0])
    expect("decision", (e["decision"]["verb"], e["decision"]["refusal"]), ("wait", "observe-only"))
    expect("nothing was done by asking", (u.mendd()["Attempts"], u.starts()), (0, 1))
