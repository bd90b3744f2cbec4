# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an administrator or systemd itself wants comes first: stopped stays stopped, nothing is restarted twice."""
import os
import signal

from harness import (RUN, Unit, case, daemon_reload, expect, expect_text, read, run, run_raw, wait,
                     wait_metrics, write)

HEAL = "Heal=restart\nVerifyFor=300ms\nBackoff=100ms..1s"


def no_trouble(u, starts):
    """mendd has seen it go down and took it for what it is."""
    m = u.wait_mendd(Health="inactive", HealingState="idle", MainPID=0)
    expect("incidents", u.incidents(), [])
    expect("actions", (m["Attempts"], m["NRestarts"]), (0, {"mendd": 0, "systemd": 0, "other": 0}))
    expect("starts", u.starts(), starts)
    wait_metrics("no open incident", lambda m: m.of("mendd_incident_open", name=u.name) == 0)


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


ERROR_ON_TERM = "/bin/sh -c 'trap \"exit 1\" TERM; echo $$ >%s/%%n.pid; while :; do sleep 1000 & wait; done'" % RUN


def fails_on_stop(t):
    u = t.unit("sulky", mendd=HEAL, command=ERROR_ON_TERM)
    wait("the trap is set", lambda: read(f"{RUN}/{u.name}.pid"))
    os.unlink(f"{RUN}/{u.name}.pid")
    return u


@case("systemctl stop of a unit that answers with exit 1")
def stopped_with_error(t):
    u = fails_on_stop(t)
    run("systemctl", "stop", u.name)
    expect("systemd's Result", (u.get("ActiveState"), u.get("Result")), ("failed", "exit-code"))
    u.wait_mendd(HealingState="idle", MainPID=0)
    expect("incidents", u.incidents(), [])
    expect("starts", u.starts(), 1)


@case("systemctl restart of a unit that answers with exit 1")
def restarted_with_error(t):
    u = fails_on_stop(t)
    old = u.invocation
    run("systemctl", "restart", u.name)
    m = u.wait_settled()
    expect("a new invocation", m["InvocationID"] != old, True)
    expect("incidents", u.incidents(), [])
    expect("starts", (u.starts(), m["Attempts"]), (2, 0))


@case("a start that fails is not taken for a stop")
def fails_at_start(t):
    u = t.unit("hasty", mendd=None, start=False, command="/bin/false")
    for _ in range(5):
        run("systemctl", "start", u.name, check=False)
        u.wait_incident()
        m = u.wait_mendd(Cause="exited", Refusal="observe-only")
        expect("last exit", m["LastExitCode"], 1)
        run("systemctl", "reset-failed", u.name)
        u.wait_mendd(IncidentOpen=False)


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


@case("an operator stops a unit that has been killed and waits for its restart")
def stopped_after_kill(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=1min\nBackoff=2s..2s")
    t.kill(u.pid)
    u.wait_mendd(HealingState="backoff")
    run("systemctl", "stop", u.name)
    i = u.wait_closed()
    expect("attempts", i["attempts"], 0)
    expect_text("resolution", i["resolution"], "administrator")
    expect("starts", u.starts(), 1)


@case("a unit that is masked while it is down", alone=True)  # masking reloads PID 1
def masked(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=1min\nBackoff=1s..1s")
    u.request("exit 1")
    u.wait_mendd(HealingState="backoff")
    t.cleanup(run, "systemctl", "unmask", "--runtime", u.name)
    run("systemctl", "mask", "--runtime", u.name)
    i = u.wait_closed()
    expect_text("resolution", i["resolution"], "administrator")
    run_raw("mendctl", "restart", u.name, "--reason=test of a masked unit")
    m = u.wait_mendd(Refusal="masked", IncidentOpen=True)
    expect("actions and starts", (m["Attempts"], u.starts()), (0, 1))


def systemd_restarts(t, service):
    u = t.unit(mendd=HEAL, service=service)
    old, pid = u.invocation, u.pid
    by = t.kill(pid)
    i = u.wait_closed()
    m = u.wait_settled()
    expect("who restarted it", m["NRestarts"], {"mendd": 0, "systemd": 1, "other": 0})
    expect("actions of mendd", m["Attempts"], 0)
    expect("it was started once more", (u.starts(), u.get("NRestarts")), (2, "1"))
    expect("cause, verdict, attempts", (i["cause"], i["verdict"], i["attempts"]), ("killed", "fixed-weak", 1))
    expect("the death", (i["death"]["pid"], i["death"]["killer_pid"]), (pid, by.pid))
    expect("LastExit* on D-Bus", (m["LastExitPid"], m["LastExitKillerPid"], m["LastExitSignal"]), (pid, by.pid, 9))
    expect_text("resolution", i["resolution"], "restarted by systemd")
    expect("invocation", (m["InvocationID"] != old, m["InvocationID"]), (True, u.invocation))
    wait_metrics("mendd_unit_restarts_total",
                 lambda m: m.of("mendd_unit_restarts_total", name=u.name, initiator="systemd") == 1)


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
    wait("systemd has given up", lambda: u.get("ActiveState") == "failed")
    # Another start now would be refused by PID 1, and manual ones count against the limit: time has to help.
    m = u.wait_mendd(IncidentOpen=True, HealingState="exhausted", Refusal="budget")
    expect("actions of mendd, restarts by systemd", (m["Attempts"], m["NRestarts"]["systemd"]), (0, 1))
    expect_text("a person is called", u.wait_record("exhausted")["MESSAGE"], "a person is needed")


@case("a frozen unit is not touched")
def frozen(t):
    u = t.unit(mendd=HEAL)
    pid, old = u.pid, u.invocation
    run("systemctl", "freeze", u.name)
    t.cleanup(run_raw, "systemctl", "thaw", u.name)
    expect("systemd's FreezerState", u.get("FreezerState"), "frozen")
    run_raw("mendctl", "restart", u.name, "--reason=test of a frozen unit")
    u.wait_mendd(Refusal="frozen")
    expect("main process and invocation", u.identity(), (str(pid), old))
    run("systemctl", "thaw", u.name)
    # What was asked for is done as soon as nothing stands against it.
    u.wait_mendd(deadline=5, NRestarts={"mendd": 1, "systemd": 0, "other": 0})
    expect("restarts", (u.wait_closed()["attempts"], u.invocation != old), (1, True))


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
    expect("starts", u.starts(), 1)
    u.start()  # it is for a person to say that it may go on
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


@case("systemd-logind is killed: systemd restarts it, mendd does not act", alone=True)
def logind(t):
    write("/run/systemd/system/systemd-logind.service.d/50-lab.conf", "[X-Mendd]\nHeal=restart\nVerifyFor=300ms\n")
    t.cleanup(daemon_reload)
    t.cleanup(os.unlink, "/run/systemd/system/systemd-logind.service.d/50-lab.conf")
    daemon_reload()
    u = Unit("systemd-logind.service")
    u.wait_mendd(HealMode="restart", Health="healthy")
    before, pid = u.mendd(), u.pid
    t.kill(pid)
    wait("systemd has restarted it", lambda: u.pid not in (0, pid))
    i = u.wait_closed()
    m = u.mendd()
    expect("restarts", (m["NRestarts"]["systemd"] - before["NRestarts"]["systemd"], m["Attempts"]), (1, 0))
    expect("cause", i["cause"], "killed")
