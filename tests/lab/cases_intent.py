# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an administrator or systemd itself wants comes first: stopped stays stopped, nothing is restarted twice."""
import os
import signal

from harness import (Failure, case, expect, expect_text, metrics, read, run, run_raw, wait, write, UNIT_DIR, RUN,
                     daemon_reload)

HEAL = "Heal=restart\nVerifyFor=300ms\nBackoff=100ms..1s"


def no_trouble(u, starts):
    """mendd has seen it go down and took it for what it is."""
    m = u.wait_mendd(Health="inactive", HealingState="idle", MainPID=0)
    expect("incidents", u.incidents(), [])
    expect("actions", (m["Attempts"], m["NRestarts"]), (0, {"mendd": 0, "systemd": 0, "other": 0}))
    expect("starts", u.starts(), starts)
    expect("mendd_incident_open", metrics().of("mendd_incident_open", name=u.name), 0)


@case("systemctl stop: no incident, never healed")
def stopped(t):
    u = t.unit(mendd=HEAL)
    run("systemctl", "stop", u.name)
    no_trouble(u, 1)


@case("systemctl stop of a unit that has to be killed for it")
def stopped_hard(t):
    u = t.unit("stubborn", mendd=HEAL, service="TimeoutStopSec=300ms\nKillMode=mixed",
               command=f"/bin/sh -c 'trap \"\" TERM; echo $$ >{RUN}/%n.pid; while :; do sleep 1000; done'")
    wait("it ignores SIGTERM", lambda: read(f"{RUN}/{u.name}.pid"))
    run("systemctl", "stop", u.name)
    expect("systemd's Result", u.get("Result"), "timeout")
    u.wait_mendd(HealingState="idle", MainPID=0)
    expect("incidents", u.incidents(), [])
    expect("starts", u.starts(), 1)


@case("systemctl restart: no incident")
def restarted(t):
    u = t.unit(mendd=HEAL)
    old = u.invocation
    run("systemctl", "restart", u.name)
    m = u.wait_settled()
    expect("a new invocation", (m["InvocationID"] != old, m["InvocationID"]), (True, u.invocation))
    expect("incidents", u.incidents(), [])
    expect("starts", u.starts(), 2)
    expect("restarts by mendd or systemd", (m["NRestarts"]["mendd"], m["NRestarts"]["systemd"]), (0, 0))


@case("systemctl stop --no-block, and kill -9 right after it")
def stop_then_kill(t):
    u = t.unit(mendd=HEAL)
    os.system(f"systemctl stop --no-block {u.name}; kill -9 {u.pid} 2>/dev/null")
    wait("it is down", lambda: u.get("ActiveState") in ("inactive", "failed"))
    m = u.wait_mendd(HealingState="idle", MainPID=0)
    expect("incidents", u.incidents(), [])
    expect("actions", m["Attempts"], 0)
    expect("starts", u.starts(), 1)


@case("systemctl restart --no-block, and kill -9 right after it")
def restart_then_kill(t):
    u = t.unit(mendd=HEAL)
    pid = u.pid
    os.system(f"systemctl restart --no-block {u.name}; kill -9 {pid} 2>/dev/null")
    wait("the operator's restart is done", lambda: u.pid not in (0, pid))
    m = u.wait_settled()
    expect("restarts by mendd", (m["Attempts"], m["NRestarts"]["mendd"]), (0, 0))
    expect("starts", u.starts(), 2)


@case("an operator stops a unit that is waiting for its restart")
def stopped_in_backoff(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=1min\nBackoff=3s..3s")
    u.request("exit 1")  # before it was well for VerifyFor=: not at once
    u.wait_mendd(HealingState="backoff")
    run("systemctl", "stop", u.name)
    run("systemctl", "reset-failed", u.name)
    i = u.wait_closed()
    expect("attempts", i["attempts"], 0)
    expect_text("resolution", i["resolution"], "administrator")
    expect("starts", u.starts(), 1)


@case("a unit that is masked while it is down")
def masked(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=1min\nBackoff=1s..1s")
    u.request("exit 1")
    u.wait_mendd(HealingState="backoff")
    t.cleanup(run, "systemctl", "unmask", "--runtime", u.name)
    run("systemctl", "mask", "--runtime", u.name)
    u.wait_mendd(Refusal="masked")
    expect("starts", u.starts(), 1)
    r = run_raw("mendctl", "restart", u.name, "--reason=test of a masked unit")
    expect("mendctl restart changes nothing", (u.wait_mendd(Refusal="masked")["Attempts"], u.starts()), (0, 1))
    del r


def systemd_restarts(t, service):
    u = t.unit(mendd=HEAL, service=service)
    old, pid = u.invocation, u.pid
    by = t.kill(pid)
    i = u.wait_closed()
    m = u.wait_settled()
    expect("who restarted it", m["NRestarts"], {"mendd": 0, "systemd": 1, "other": 0})
    expect("actions of mendd", m["Attempts"], 0)
    expect("it was started once more", (u.starts(), u.get("NRestarts")), (1, "1"))
    expect("cause, verdict, attempts", (i["cause"], i["verdict"], i["attempts"]), ("killed", "fixed-weak", 1))
    expect("the death", (i["death"]["pid"], i["death"]["killer_pid"]), (pid, by.pid))
    expect_text("resolution", i["resolution"], "restarted by systemd")
    expect("invocation", (m["InvocationID"] != old, m["InvocationID"]), (True, u.invocation))
    expect("metrics", metrics().of("mendd_unit_restarts_total", name=u.name, initiator="systemd"), 1)


@case("Restart=always: systemd restarts it once, mendd verifies")
def restart_always(t):
    systemd_restarts(t, "Restart=always")


@case("Restart=on-failure RestartSec=0: systemd restarts it once, mendd verifies")
def restart_at_once(t):
    systemd_restarts(t, "Restart=on-failure\nRestartSec=0")


@case("Restart=always that runs into its start limit is handed to mendd")
def start_limit(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=300ms\nBackoff=100ms..1s", service="Restart=always\nRestartSec=0",
               unit="StartLimitBurst=2\nStartLimitIntervalSec=1min")
    u.request("exit 1")
    wait("systemd has restarted it", lambda: u.get("NRestarts") == "1")
    u.request("exit 1")
    wait("systemd has given up", lambda: u.get("Result") == "start-limit-hit")
    # Another start now would be refused by PID 1: a person, or time, has to help.
    u.wait_mendd(IncidentOpen=True, HealingState=("hold", "exhausted"))
    expect("actions of mendd", u.mendd()["Attempts"], 0)


@case("a frozen unit is not touched")
def frozen(t):
    u = t.unit(mendd=HEAL)
    pid, old = u.pid, u.invocation
    run("systemctl", "freeze", u.name)
    t.cleanup(run_raw, "systemctl", "thaw", u.name)
    expect("systemd's FreezerState", u.get("FreezerState"), "frozen")
    r = run_raw("mendctl", "restart", u.name, "--reason=test of a frozen unit")
    u.wait_mendd(Refusal="frozen")
    expect("main process and invocation", u.identity(), (str(pid), old))
    del r
    run("systemctl", "thaw", u.name)
    # What was asked for is done as soon as nothing stands against it.
    wait("it is restarted after all", lambda: u.invocation != old)
    expect("restarts", u.wait_closed()["attempts"], 1)


@case("a frozen unit that is killed")
def frozen_killed(t):
    u = t.unit(mendd=HEAL)
    pid = u.pid
    run("systemctl", "freeze", u.name)
    t.cleanup(run_raw, "systemctl", "thaw", u.name)
    os.kill(pid, signal.SIGKILL)
    wait("it is gone", lambda: not os.path.exists(f"/proc/{pid}"))
    m = u.wait_mendd(Refusal="frozen", IncidentOpen=True)
    expect("actions", m["Attempts"], 0)
    # It is for a person to say that it may go on.
    run("systemctl", "thaw", u.name)
    u.wait_closed()
    u.wait_settled()


@case("a unit of the deny list is never touched")
def denied(t):
    name = f"systemd-lab{t.number}.service"
    u = t.unit("denied", mendd=HEAL, name=name)
    t.kill(u.pid)
    m = u.wait_mendd(Refusal="deny-list", IncidentOpen=True)
    expect("actions", (m["Attempts"], m["Denied"]), (0, True))
    r = run_raw("mendctl", "restart", u.name, "--reason=test of the deny list")
    expect("mendctl restart is refused", r.returncode, 1)
    expect("starts", u.starts(), 1)


@case("systemd-logind is killed: systemd restarts it, mendd does not act")
def logind(t):
    write("/run/systemd/system/systemd-logind.service.d/50-lab.conf", "[X-Mendd]\nHeal=restart\nVerifyFor=300ms\n")
    t.cleanup(daemon_reload)
    t.cleanup(os.unlink, "/run/systemd/system/systemd-logind.service.d/50-lab.conf")
    daemon_reload()
    from harness import Unit
    u = Unit("systemd-logind.service")
    u.wait_mendd(HealMode="restart", Health="healthy")
    before, pid = u.mendd(), u.pid
    t.kill(pid)
    wait("systemd has restarted it", lambda: u.pid not in (0, pid))
    i = u.wait_closed()
    m = u.mendd()
    expect("restarts", (m["NRestarts"]["systemd"] - before["NRestarts"]["systemd"], m["Attempts"]), (1, 0))
    expect("cause", i["cause"], "killed")
