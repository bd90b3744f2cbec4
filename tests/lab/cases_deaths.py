# SPDX-License-Identifier: LGPL-2.1-or-later
"""The cause matrix: what mendd says of a death is compared with what PID 1's waitid() and the test itself know.

Most of these units are only observed (the default): they stay as they died, so that systemd's account of the death
is still there to compare with.
"""
import os
import signal as signals
import subprocess

from harness import (RUN, VICTIM, Killer, Unit, alive, case, expect, expect_in, expect_text, journal,
                     manager, read, run, wait, wait_metrics)

# si_code names of waitid(2), as systemd's ExecMainCode= has them.
CLD_EXITED, CLD_KILLED, CLD_DUMPED = "1", "2", "3"
OUTCOMES = ("exited_ok", "exited_error", "signaled", "dumped", "oom_killed")


class Death:
    """What is expected of one death of a main process."""

    def __init__(self, cause, outcome, killer, code=0, signal=0, asked=0, core=False, by=None):
        self.cause, self.outcome, self.killer = cause, outcome, killer
        self.code, self.signal, self.asked, self.core, self.by = code, signal, asked, core, by


def check_counters(u, before, wanted, outcome, count=1):
    """Exactly one process more ended, with this outcome; D-Bus and the metrics say the same."""
    difference = {o: wanted["Exits"][o] - before["Exits"][o] for o in OUTCOMES}
    expect("ends counted", difference, {o: count if o == outcome else 0 for o in OUTCOMES})
    wait_metrics("mendd_process_exits_total agrees", lambda m: wanted["Exits"] == {
        o: m.of("mendd_process_exits_total", name=u.name, outcome=o) for o in OUTCOMES})


def check_systemd(u, pid, d):
    s = u.show("ExecMainPID", "ExecMainCode", "ExecMainStatus")
    code = CLD_DUMPED if d.core else CLD_KILLED if d.signal else CLD_EXITED
    expect("systemd's account of the death",
           (s["ExecMainPID"], s["ExecMainCode"], s["ExecMainStatus"]),
           (str(pid), code, str(d.signal or d.code)))


def check_bus(m, pid, d):
    expect("LastExit* on D-Bus", {k: m["LastExit" + k] for k in (
        "Pid", "Code", "Signal", "AskedSignal", "CoreDumped", "Outcome", "Killer")},
           {"Pid": pid, "Code": d.code, "Signal": d.signal, "AskedSignal": d.asked,
            "CoreDumped": d.core, "Outcome": d.outcome, "Killer": d.killer})
    expect("Cause on D-Bus", m["Cause"], d.cause)
    if d.by:
        expect("the killer on D-Bus",
               {k: m["LastExitKiller" + k] for k in ("Pid", "Comm", "UID", "Unit")},
               {"Pid": d.by.pid, "Comm": d.by.comm, "UID": d.by.uid, "Unit": d.by.unit})


def check_incident(i, u, pid, d):
    expect("unit and cause of the incident", (i["unit"], i["cause"]), (u.name, d.cause))
    death = i["death"]
    expect("the incident's death", {k: death[k] for k in
                                    ("pid", "code", "signal", "core_dumped", "killer")},
           {"pid": pid, "code": d.code, "signal": d.signal, "core_dumped": d.core, "killer": d.killer})
    if d.by:
        expect("the incident's killer",
               {k: death["killer_" + k] for k in ("pid", "comm", "uid", "unit")},
               {"pid": d.by.pid, "comm": d.by.comm, "uid": d.by.uid, "unit": d.by.unit})
    expect("evidence: state as systemd had it", "active_state" in i["evidence"], True)


def check_journal(u, i, pid, d):
    r = u.wait_record("unit-failed")
    wanted = {"PRIORITY": "3", "MENDD_INCIDENT_ID": i["id"], "MENDD_CAUSE": d.cause,
              "MENDD_EXIT_PID": str(pid), "MENDD_KILLER": d.killer,
              "MENDD_EXIT_CODE": "dumped" if d.core else "killed" if d.signal else "exited"}
    if d.signal:
        wanted["MENDD_EXIT_SIGNAL"] = signals.Signals(d.signal).name
    else:
        wanted["MENDD_EXIT_STATUS"] = str(d.code)
    if d.by:
        wanted.update(MENDD_KILLER_PID=str(d.by.pid), MENDD_KILLER_COMM=d.by.comm,
                      MENDD_KILLER_UID=str(d.by.uid), MENDD_KILLER_UNIT=d.by.unit)
    expect("fields of the record", {k: r.get(k) for k in wanted}, wanted)
    expect("the message begins with the unit", r["MESSAGE"].startswith(u.name + ": "), True)
    if d.by:
        expect_text("the message names the killer", r["MESSAGE"],
                    f"from {d.by.comm}[{d.by.pid}] (uid {d.by.uid}, {d.by.unit})")
    expect_text("journalctl -u shows it",
                run("journalctl", "-q", "--no-pager", "-o", "cat", "-u", u.name), r["MESSAGE"])
    timeline = [x for x in journal("MENDD_INCIDENT_ID=" + i["id"])]
    expect("journalctl MENDD_INCIDENT_ID= finds it", r["MESSAGE"] in [x["MESSAGE"] for x in timeline],
           True)


def check_down(u, before, pid, d):
    """A unit that is only observed died like this."""
    i = u.wait_incident()
    m = u.wait_mendd(HealingState="hold", Refusal="observe-only", Health="unhealthy")
    check_systemd(u, pid, d)
    check_bus(m, pid, d)
    check_incident(i, u, pid, d)
    check_journal(u, i, pid, d)
    check_counters(u, before, m, d.outcome)
    expect("actions taken", m["Attempts"], 0)
    expect("the invocation is the one that died", u.invocation, before["InvocationID"])
    return i


def operator_restarts(u):
    u.start()
    i = u.wait_closed()
    expect("who restarted it", u.mendd()["NRestarts"], {"mendd": 0, "systemd": 0, "other": 1})
    expect_text("resolution", i["resolution"], "operator")
    u.wait_settled()


def matrix(t, provoke, d, **options):
    u = t.unit(mendd=None, **options)
    before, pid = u.mendd(), u.pid
    by = provoke(t, u, pid)
    if isinstance(by, Killer):
        d.by = by
    check_down(u, before, pid, d)
    operator_restarts(u)
    return u


@case("exit 0: no incident, counted")
def exit_zero(t):
    u = t.unit(mendd="Heal=restart")
    before, pid = u.mendd(), u.pid
    u.request("exit 0")
    m = u.wait_mendd(Health="inactive", HealingState="idle")
    check_systemd(u, pid, Death("none", "exited_ok", "none"))
    check_counters(u, before, m, "exited_ok")
    expect("incidents", u.incidents(), [])
    expect("actions", m["Attempts"], 0)
    expect("last exit", (m["LastExitPid"], m["LastExitCode"], m["LastExitSignal"]), (pid, 0, 0))


@case("a unit that PID 1 unloads when it ends")
def unloaded(t):
    u = t.unit(mendd=None, held=False)
    pid = u.pid
    u.request("exit 0")
    m = u.wait_mendd(Health="inactive", HealingState="idle")
    expect("counted", (m["Exits"]["exited_ok"], m["LastExitPid"]), (1, pid))
    expect("incidents", u.incidents(), [])
    u.start()
    u.wait_settled()
    pid = u.pid
    by = t.kill(pid, "TERM")
    i = u.wait_incident()
    expect("the death", (i["cause"], i["death"]["pid"], i["death"]["killer_pid"]), ("killed", pid, by.pid))
    operator_restarts(u)
    expect("counters went on", u.mendd()["Exits"]["exited_ok"], 1)


@case("a transient unit that is gone leaves no open incident")
def transient_gone(t):
    name = t.unit_name("transient")
    run("systemd-run", "--quiet", "--collect", "--unit=" + name, "sleep", "1000")
    u = Unit(name)
    u.wait_settled()
    pid = u.pid
    t.kill(pid)
    wait("mendd does not watch it any more",
         lambda: "Unknown object" in run("busctl", "introspect", "org.mendd1", u.path, check=False))
    i = wait("its incident", u.incidents)[0]
    expect("the incident", (i["cause"], i["open"], i["death"]["pid"]), ("killed", False, pid))
    expect_text("why it is closed", i["resolution"], "gone")


@case("asking for a unit that is down does not go round in circles")
def no_circle(t):
    u = t.write_unit("idle", "[Service]\nExecStart=/bin/true\n")
    log = f"{RUN}/{u.name}.signals"
    monitor = subprocess.Popen(["busctl", "--json=short", "monitor", "org.freedesktop.systemd1"],
                               stdout=open(log, "wb"), stderr=subprocess.DEVNULL)
    try:
        def seen():
            run("systemctl", "show", u.name, "--property=Id")  # loads it
            return f'"{u.name}"' in read(log)
        wait("the monitor sees units come", seen)
        run("systemctl", "show", u.name, "--property=Id")
        # As many bus messages later as would make hundreds of rounds.
        for _ in range(20):
            manager()
        n = sum('"UnitNew"' in line and f'"{u.name}"' in line for line in read(log).splitlines())
        expect(f"announced a few times, not {n} times", n < 20, True)
    finally:
        monitor.terminate()
        monitor.wait()


@case("exit 7")
def exit_seven(t):
    matrix(t, lambda t, u, pid: u.request("exit 7"), Death("exited", "exited_error", "none", code=7))


@case("SIGKILL from a root shell in a login session")
def killed_by_session(t):
    def provoke(t, u, pid):
        by = t.kill(pid, session=True)
        expect("the killer was in a session", by.unit.startswith("session-"), True)
        return by
    matrix(t, provoke, Death("killed", "signaled", "process", signal=9))


@case("SIGKILL from another service")
def killed_by_service(t):
    matrix(t, lambda t, u, pid: t.kill(pid), Death("killed", "signaled", "process", signal=9))


@case("SIGKILL from a process of an ordinary user")
def killed_by_user(t):
    matrix(t, lambda t, u, pid: t.kill(pid, uid=65534),
           Death("killed", "signaled", "process", signal=9), service="User=65534")


@case("systemctl kill --signal=KILL")
def killed_by_systemctl(t):
    matrix(t, lambda t, u, pid: run("systemctl", "kill", "--signal=KILL", u.name) and None,
           Death("killed", "signaled", "systemd", signal=9))


@case("cgroup.kill")
def killed_by_cgroup(t):
    matrix(t, lambda t, u, pid: t.shell(
        f"echo 1 >/sys/fs/cgroup{u.get('ControlGroup')}/cgroup.kill")[1],
           Death("killed", "signaled", "process", signal=9))


@case("SIGTERM from outside: clean for systemd, an incident for mendd")
def terminated(t):
    u = matrix(t, lambda t, u, pid: t.kill(pid, "TERM"),
               Death("killed", "signaled", "process", signal=15))
    expect("systemd's Result", u.get("Result"), "success")


@case("SIGTERM from outside, answered with exit 0")
def asked_to_exit(t):
    u = t.unit(mendd=None, command="/bin/sh -c 'trap \"exit 0\" TERM; echo $$ >%s/%%n.pid; "
               "while :; do sleep 1000 & wait; done'" % RUN)
    pid = u.pid
    wait("the trap is set", lambda: read(f"{RUN}/{u.name}.pid"))
    by = t.kill(pid, "TERM")
    i = u.wait_incident()
    d = Death("killed", "exited_ok", "process", asked=15, by=by)
    check_systemd(u, pid, d)
    check_bus(u.wait_mendd(Refusal="observe-only"), pid, d)
    check_incident(i, u, pid, d)
    check_journal(u, i, pid, d)
    operator_restarts(u)


@case("SIGSEGV of its own making")
def crashed(t):
    matrix(t, lambda t, u, pid: u.request("segv"), Death("crashed", "signaled", "kernel", signal=11))


@case("SIGSEGV with a core dump")
def crashed_with_core(t):
    pattern = read("/proc/sys/kernel/core_pattern").strip()
    directory = f"{RUN}/{t.unit_name('cores')}"
    os.makedirs(directory, exist_ok=True)
    u = t.unit(mendd=None, service=f"LimitCORE=infinity\nWorkingDirectory={directory}")
    before, pid = u.mendd(), u.pid
    u.request("segv")
    u.wait_incident()
    wait("systemd has reaped it", lambda: u.get("ExecMainCode") in (CLD_KILLED, CLD_DUMPED))
    # Whether this kernel wrote one depends on the machine's core_pattern; systemd knows from waitid().
    core = u.get("ExecMainCode") == CLD_DUMPED
    t.say(f"core dumped: {core} (core_pattern '{pattern}')")
    check_down(u, before, pid, Death("crashed", "dumped" if core else "signaled", "kernel", signal=11,
                                     core=core))
    operator_restarts(u)


@case("abort()")
def aborted(t):
    matrix(t, lambda t, u, pid: u.request("abort"), Death("crashed", "signaled", "itself", signal=6))


@case("SIGKILL sent to itself")
def suicide(t):
    matrix(t, lambda t, u, pid: u.request("kill 9"), Death("crashed", "signaled", "itself", signal=9))


def only_marker(u, before, pid):
    """A child that exits afterwards is counted, and nothing else: records come in order."""
    u.request("child-exit 9")
    m = u.wait_mendd(Exits={**before["Exits"], "exited_error": before["Exits"]["exited_error"] + 1})
    expect("incidents", u.incidents(), [])
    expect("health", m["Health"], "healthy")
    expect("invocation", u.identity(), (str(pid), before["InvocationID"]))


@case("the main thread leaves first, workers live on")
def leader_leaves(t):
    u = t.unit(mendd=None)
    before, pid = u.mendd(), u.pid
    u.request("leader-exit 42")
    wait("the main thread is a zombie",
         lambda: read(f"/proc/{pid}/task/{pid}/stat").rsplit(")", 1)[1].split()[0] == "Z")
    only_marker(u, before, pid)
    before = u.mendd()
    u.request("exit 3")
    check_down(u, before, pid, Death("exited", "exited_error", "none", code=3))
    operator_restarts(u)


@case("a thread that is not the first executes a program")
def thread_executes(t):
    u = t.unit(mendd=None)
    before, pid = u.mendd(), u.pid
    wait("mendd has seen the program", lambda: u.mendd()["Program"] == VICTIM)
    file = f"{RUN}/{u.name}.started"
    u.request(f"thread-exec {file}")
    expect("pid of the new program", wait("it has started", lambda: read(file)).strip(), str(pid))
    only_marker(u, before, pid)
    before = u.mendd()
    u.request("exit 5")
    check_down(u, before, pid, Death("exited", "exited_error", "none", code=5))


def child_dies(t, verb):
    u = t.unit(mendd="Heal=restart")
    before, pid = u.mendd(), u.pid
    file = f"{RUN}/{u.name}.child"
    u.request(f"{verb} {file}")
    child = int(wait("the child is there", lambda: read(file)))
    by = t.kill(child)
    r = u.wait_record("helper-died")
    expect("fields of the record",
           {k: r.get("MENDD_" + k) for k in ("EXIT_PID", "EXIT_SIGNAL", "KILLER_PID", "KILLER_COMM",
                                             "KILLER_UNIT")},
           {"EXIT_PID": str(child), "EXIT_SIGNAL": "SIGKILL", "KILLER_PID": str(by.pid),
            "KILLER_COMM": by.comm, "KILLER_UNIT": by.unit})
    m = u.wait_mendd(Health="healthy", HealingState="idle")
    if verb == "orphan":  # its parent has ended, as that of a daemon does
        before["Exits"]["exited_ok"] += 1
    check_counters(u, before, m, "signaled")
    expect("incidents", u.incidents(), [])
    expect("the unit goes on", u.identity(), (str(pid), before["InvocationID"]))
    expect("actions", m["Attempts"], 0)
    return u


def stop_with_child(u, verb):
    """What PID 1 kills in stopping a unit is no news."""
    file = f"{RUN}/{u.name}.second"
    u.request(f"{verb} {file}")
    wait("the second child is there", lambda: read(file))
    before = u.mendd()["Exits"]["signaled"]
    run("systemctl", "stop", u.name)
    # The main process and its child.
    wait("both ends are counted", lambda: u.mendd()["Exits"]["signaled"] == before + 2)
    expect("records of helpers", len(u.records("MENDD_EVENT=helper-died")), 1)
    expect("incidents", u.incidents(), [])


@case("a child dies while the main process lives")
def child_dies_case(t):
    stop_with_child(child_dies(t, "child"), "child")


@case("a double-forked child dies while the main process lives")
def orphan_dies(t):
    stop_with_child(child_dies(t, "orphan"), "orphan")


@case("a forking daemon is killed and healed")
def forking_daemon(t):
    pid_file = f"{RUN}/{t.unit_name('daemon')}.pid"
    u = t.unit("daemon", arguments=f"--fork {pid_file}", mendd="Heal=restart\nVerifyFor=300ms",
               service=f"Type=forking\nPIDFile={pid_file}\nGuessMainPID=no")
    old, pid = u.invocation, u.pid
    by = t.kill(pid)
    i = u.wait_closed()
    expect("cause and verdict", (i["cause"], i["verdict"]), ("killed", "fixed-weak"))
    expect("the incident's death", (i["death"]["pid"], i["death"]["signal"], i["death"]["killer_pid"]),
           (pid, 9, by.pid))
    m = u.wait_settled()
    expect("restarts", m["NRestarts"], {"mendd": 1, "systemd": 0, "other": 0})
    expect("a new invocation", u.invocation != old and alive(u.pid), True)


@case("ExecStart= does not exist: 203/EXEC, no loop")
def missing_program(t):
    u = t.unit(mendd="Heal=restart\nBackoff=100ms..100ms", start=False, command="/nonexistent/program")
    run("systemctl", "start", u.name, check=False)
    i = u.wait_incident()
    m = u.wait_mendd(HealingState="hold", Refusal="obstacle", Cause="cannot-start")
    s = u.show("ExecMainCode", "ExecMainStatus", "Result")
    expect("systemd's account", s, {"ExecMainCode": "1", "ExecMainStatus": "203", "Result": "exit-code"})
    expect("LastExit* on D-Bus", (m["LastExitCode"], m["LastExitSignal"], m["LastExitOutcome"]),
           (203, 0, "exited_error"))
    expect("cause", i["cause"], "cannot-start")
    expect("actions", m["Attempts"], 0)
    expect("it waits for long", m["NextWakeUSec"] > i["opened_usec"] + 5 * 60 * 10**6, True)
    expect_text("the record", u.wait_record("unit-failed")["MESSAGE"], "203/EXEC")


@case("Type=notify that never notifies: start timeout")
def start_timeout(t):
    u = t.unit(mendd=None, start=False, service="Type=notify\nTimeoutStartSec=1")
    run("systemctl", "start", u.name, check=False)
    i = u.wait_incident()
    expect("cause", i["cause"], "start-timeout")
    expect("systemd's Result", u.get("Result"), "timeout")
    m = u.wait_mendd(Refusal="observe-only", Cause="start-timeout")
    expect("who ended it", (m["LastExitKiller"], m["LastExitSignal"]), ("systemd", 15))
    expect_text("the record", u.wait_record("unit-failed")["MESSAGE"], "Result=timeout")


@case("OOM kill")
def oom(t):
    from host import limit_memory
    u = t.unit(mendd=None)
    limit_memory(u.name, 24 << 20)
    before, pid = u.mendd(), u.pid
    u.request(f"eat {256 << 20}")
    u.wait_incident()
    m = u.wait_mendd(Refusal=("observe-only",))
    check_systemd(u, pid, Death("", "", "", signal=9))
    expect_in("cause", m["Cause"], "oom", "oom-host")
    expect("who, and how", (m["LastExitKiller"], m["LastExitSignal"], m["LastExitOutcome"],
                            m["LastExitPid"]), ("oom-killer", 9, "oom_killed", pid))
    check_counters(u, before, m, "oom_killed")
    expect("OOM kills", m["OOMKills"], 1)
    wait_metrics("mendd_oom_kills_total", lambda m: m.of("mendd_oom_kills_total", name=u.name) == 1)
    expect_text("the record", u.wait_record("unit-failed")["MESSAGE"], "OOM killer")
    operator_restarts(u)


WSGI = """def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"well"]
"""


@case("a gunicorn worker is killed while its master lives")
def gunicorn_worker(t):
    directory = f"{RUN}/{t.unit_name('app')}"
    os.makedirs(directory, exist_ok=True)
    with open(directory + "/well.py", "w", encoding="ascii") as f:
        f.write(WSGI)
    u = t.unit("gunicorn", mendd="Heal=restart", start=False,
               command=f"/usr/bin/gunicorn --chdir {directory} --workers 2 --bind unix:{directory}/socket "
               "well:app")
    u.start()
    master = u.pid

    def workers():
        found = read(f"/proc/{master}/task/{master}/children").split()
        return [int(x) for x in found] if len(found) == 2 else None

    old = wait("two workers", workers)
    u.wait_settled()
    before = u.mendd()
    by = t.kill(old[0])
    r = u.wait_record("helper-died")
    expect("which process, and by whom",
           (r.get("MENDD_EXIT_PID"), r.get("MENDD_KILLER_PID"), r.get("MENDD_KILLER_UNIT")),
           (str(old[0]), str(by.pid), by.unit))
    wait("gunicorn has replaced it", lambda: set(workers() or old) != set(old))
    m = u.wait_mendd(Health="healthy", HealingState="idle")
    check_counters(u, before, m, "signaled")
    expect("the master and its invocation", u.identity(), (str(master), before["InvocationID"]))
    expect("incidents", u.incidents(), [])
