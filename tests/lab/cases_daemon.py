# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon dies, hangs, is stopped, is overrun, or its store is: no death is forgotten, none is healed twice."""
import contextlib
import os
import random
import signal
import sqlite3
import time

from cases_healing import free_port
from harness import (SLOW, Failure, case, daemon_reload, expect, expect_in, expect_text, journal, manager, mendd_pid,
                     metrics, read, remove, run, run_raw, wait, wait_mendd_ready, wait_metrics, write)

FAST = "Heal=restart\nVerifyFor=100ms\nBackoff=100ms..100ms\nBudget=60/1h\nProbation=1s"
STATE = "/var/lib/mendd"


def restarts_of_mendd():
    return int(run("systemctl", "show", "mendd.service", "--property=NRestarts", "--value"))


@case("a storm: 10,000 processes end in one unit, each is counted", alone=True)
def storm(t):
    total = 10000
    u = t.unit(mendd="Heal=restart")
    before, identity = u.mendd(), u.identity()
    lost_before = manager()["NEventsLost"]
    begin = time.monotonic()
    u.request(f"storm {total}")
    u.request("child-exit 77")  # the marker: its end comes behind all others
    slowest, calls, marker = 0.0, 0, False
    while not marker:
        asked = time.monotonic()
        m = u.mendd()
        slowest, calls = max(slowest, time.monotonic() - asked), calls + 1
        marker = m["LastProcessExitDescription"] == "exited with code 77"
        if asked > begin + 60 * SLOW:
            raise Failure(f"the last end is not counted: {m['LastProcessExitDescription']}, {m['Exits']}")
    duration = time.monotonic() - begin
    ends = {o: m["Exits"][o] - before["Exits"][o] for o in m["Exits"]}
    lost = manager()["NEventsLost"] - lost_before
    got = sum(ends.values())
    t.say(f"{total} ends in {duration:.1f} s: {got - 1} counted, {lost} lost and counted as such; "
          f"{calls} D-Bus calls meanwhile, the slowest took {slowest * 1000:.0f} ms")
    expect("counted and lost", got + lost, total + 1)
    if not lost:
        expect("by how they ended", (ends["exited_ok"], ends["exited_error"]), (total / 2, total / 2 + 1))
    if slowest > SLOW:
        raise Failure(f"a D-Bus call took {slowest:.2f} s")
    expect("the unit goes on", u.identity(), identity)
    expect("incidents", u.incidents(), [])
    wait("mendd_bpf_events_lost_total", lambda: metrics().of("mendd_bpf_events_lost_total") == manager()["NEventsLost"])


@case("kill -9 of mendd at 50 random instants of healing", alone=True)
def killed_while_healing(t):
    seed = int(os.environ.get("LAB_SEED", time.time_ns() % 1000000))
    dice = random.Random(seed)
    t.say(f"seed {seed} (LAB_SEED={seed} repeats it)")
    units = [t.unit(f"victim{n}", mendd=FAST, unit="StartLimitIntervalSec=0") for n in range(5)]
    kills = {u.name: 0 for u in units}
    invocations = {u.name: [u.invocation] for u in units}
    pid = 0
    for _ in range(50):
        pid = wait_mendd_ready(pid)
        chosen = dice.sample(units, 2)
        for u in chosen:
            kills[u.name] += 1
            u.request("kill 9")
        time.sleep(dice.uniform(0, 0.06 * SLOW))  # the instant is what is random here
        os.kill(pid, signal.SIGKILL)
        for u in chosen:
            def up(u=u):
                d = u.show("ActiveState", "SubState", "InvocationID")
                return d["InvocationID"] if d["SubState"] == "running" and \
                    d["InvocationID"] != invocations[u.name][-1] else None
            invocations[u.name].append(wait(f"seed {seed}: {u.name} is up again", up, 30))
    wait_mendd_ready(pid)
    for u in units:
        i = u.wait_closed(30)
        expect(f"{u.name}: health", u.wait_settled()["Health"], "healthy")
        expect(f"seed {seed}: {u.name}: starts", u.starts(), 1 + kills[u.name])
        expect(f"{u.name}: is up in the invocation that it was healed into", u.invocation,
               invocations[u.name][-1])
        expect(f"{u.name}: open incidents", [x["id"] for x in u.incidents() if x["open"]], [])
        expect("the last incident is closed", i["open"], False)
    expect("the metrics' socket survives that too", (run("systemctl", "is-active", "mendd.socket").strip(),
                                                     metrics().of("mendd_units_watched") > 5), ("active", True))


def stopped_mendd(t):
    """mendd stands still; it is continued or killed by who calls."""
    pid = mendd_pid()
    os.kill(pid, signal.SIGSTOP)
    t.cleanup(lambda: os.path.exists(f"/proc/{pid}") and os.kill(pid, signal.SIGCONT))
    wait("mendd stands still", lambda: read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] == "T")
    return pid


@case("a death while mendd is killed: healed, and its killer is known", alone=True)
def death_while_down(t):
    u = t.unit(mendd=FAST)
    old, pid = u.invocation, u.pid
    mendd = stopped_mendd(t)
    by = t.kill(pid)
    wait("systemd knows that it is down", lambda: u.get("ActiveState") == "failed")
    os.kill(mendd, signal.SIGKILL)
    wait_mendd_ready(mendd)
    i = u.wait_closed()
    expect("the death", (i["cause"], i["death"]["pid"], i["death"]["signal"]), ("killed", pid, 9))
    expect("its killer, from the kernel's records in the FD store",
           (i["death"]["killer_pid"], i["death"]["killer_comm"], i["death"]["killer_unit"]), (by.pid, "sh", by.unit))
    expect("starts", (u.starts(), u.invocation != old), (2, True))
    text = journal("MENDD_EVENT=daemon-started")[-1]["MESSAGE"]
    expect_text("the new mendd says so", text, "not lost")


@case("SIGTERM of a unit while mendd is killed: healed all the same", alone=True)
def clean_death_while_down(t):
    u = t.unit(mendd=FAST)
    pid = u.pid
    mendd = stopped_mendd(t)
    by = t.kill(pid, "TERM")
    wait("systemd knows that it is down", lambda: u.get("ActiveState") == "inactive")
    os.kill(mendd, signal.SIGKILL)
    wait_mendd_ready(mendd)
    i = u.wait_closed()
    expect("the death", (i["cause"], i["death"]["pid"], i["death"]["killer_pid"]), ("killed", pid, by.pid))
    expect("starts", u.starts(), 2)


@case("systemctl stop of a unit while mendd is killed: not healed", alone=True)
def stopped_while_down(t):
    u = t.unit(mendd=FAST)
    mendd = stopped_mendd(t)
    run("systemctl", "stop", u.name)
    os.kill(mendd, signal.SIGKILL)
    wait_mendd_ready(mendd)
    u.wait_mendd(Health="inactive", HealingState="idle")
    expect("incidents", u.incidents(), [])
    expect("starts", u.starts(), 1)


@case("a death while mendd is stopped: healed when it is started", alone=True)
def death_while_stopped(t):
    u = t.unit(mendd=FAST)
    t.cleanup(run, "systemctl", "start", "mendd.service")
    run("systemctl", "stop", "mendd.service")
    t.kill(u.pid)
    wait("systemd knows that it is down", lambda: u.get("ActiveState") == "failed")
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()
    i = u.wait_closed()
    expect("cause and verdict", (i["cause"], i["verdict"]), ("killed", "fixed-weak"))
    expect("starts", u.starts(), 2)


@case("systemctl restart mendd: a death meanwhile, an open incident and a pause live on", alone=True)
def restarted(t):
    healed = t.unit("healed", mendd=FAST)
    held = t.unit("held", mendd=None)
    held.request("exit 3")
    incident = held.wait_incident()["id"]
    old = mendd_pid()
    healed.request("kill 9")
    run("systemctl", "restart", "mendd.service")
    wait_mendd_ready(old)
    m = held.wait_mendd(IncidentOpen=True, Refusal="observe-only")
    expect("the same incident", m["IncidentID"], incident)
    healed.wait_closed()
    expect("starts", healed.starts(), 2)
    t.cleanup(run_raw, "mendctl", "resume")
    run("mendctl", "pause", "--for=10min", "--reason=over a restart")
    old = mendd_pid()
    os.kill(old, signal.SIGKILL)
    wait_mendd_ready(old)
    expect("the pause", manager()["Pause"][1], "over a restart")


@case("watchdog: a mendd that hangs is restarted by systemd", alone=True)
def watchdog(t):
    expect_in("WatchdogUSec as shipped",
              run("systemctl", "show", "mendd.service", "--property=WatchdogUSec", "--value").strip(), "30s")
    u = t.unit(mendd=FAST)
    t.drop_in("mendd.service", f"[Service]\nWatchdogSec={int(SLOW)}s\n")
    daemon_reload()
    run("systemctl", "restart", "mendd.service")
    wait_mendd_ready()
    n = restarts_of_mendd()
    pid = stopped_mendd(t)
    by = t.kill(u.pid)
    wait_mendd_ready(pid)
    expect("restarts of mendd", restarts_of_mendd(), n + 1)
    expect_text("why", run("journalctl", "-q", "--no-pager", "-o", "cat", "-u", "mendd.service", "-n", "50"),
                "Watchdog timeout")
    expect("the death meanwhile", u.wait_closed()["death"]["killer_pid"], by.pid)
    expect("starts", u.starts(), 2)


@case("without BPF: degraded, said loudly, and healing works", alone=True)
def degraded(t):
    u = t.unit(mendd=FAST)
    listener = t.unit("listener", mendd=None)

    def restore():
        run("systemctl", "restart", "mendd.service")
        wait_mendd_ready()

    t.cleanup(restore)
    t.drop_in("mendd.service", "[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_NET_ADMIN\n")
    daemon_reload()
    run("systemctl", "stop", "mendd.service")  # the FD store goes with it
    since = time.time() - 1
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()
    m = manager()
    expect("state on D-Bus", (m["State"], m["Degraded"]), ("degraded", True))
    expect_text("STATUS=", run("systemctl", "show", "mendd.service", "--property=StatusText"), "DEGRADED")
    wait_metrics("mendd_collector_up", lambda n: n.of("mendd_collector_up", collector="bpf") == 0)
    r = wait("a record", lambda: journal("MENDD_EVENT=degraded", since=since))[-1]
    expect_text("the record", r["MESSAGE"], "DEGRADED")
    r = run_raw("mendctl", "doctor")
    expect("mendctl doctor", (r.returncode, "degraded" in r.stdout), (1, True))
    u.wait_settled()
    listener.wait_settled()
    by_systemd, pid = u.mendd()["NRestarts"]["systemd"], u.pid
    t.kill(pid)
    i = u.wait_closed()
    expect("cause, verdict", (i["cause"], i["verdict"]), ("killed", "fixed-weak"))
    expect("the death", (i["death"]["pid"], i["death"]["signal"], i["death"]["killer"]), (pid, 9, "none"))
    expect("starts", (u.starts(), u.mendd()["NRestarts"]["systemd"]), (2, by_systemd))
    listener.request("exit 7")
    m = listener.wait_mendd(Refusal="observe-only")
    expect("the other death", (m["Cause"], m["LastExitCode"]), ("exited", 7))
    run("systemctl", "stop", listener.name)
    listener.wait_mendd(HealingState="idle")


@case("PID 1 executes itself anew: healing goes on", alone=True)
def reexecuted(t):
    u = t.unit(mendd=FAST)
    pid = mendd_pid()
    run("systemctl", "daemon-reexec")
    wait("PID 1 answers", lambda: run("systemctl", "is-system-running", check=False).strip() in
         ("running", "degraded"))
    expect("mendd goes on", mendd_pid(), pid)
    by = t.kill(u.pid)
    i = u.wait_closed()
    expect("the death", (i["cause"], i["death"]["killer_pid"], i["verdict"]), ("killed", by.pid, "fixed-weak"))
    expect("starts", u.starts(), 2)


@case("the journal stands still: healing goes on, and nothing that was to be said is lost", alone=True)
def journal_stands_still(t):
    u = t.unit(mendd=FAST)
    journald = int(run("systemctl", "show", "systemd-journald.service", "--property=MainPID", "--value"))
    os.kill(journald, signal.SIGSTOP)
    try:
        for n in range(1, 4):
            u.request("exit 1")
            u.wait_mendd(NRestarts={"mendd": n, "systemd": 0, "other": 0}, Health="healthy")
    finally:
        os.kill(journald, signal.SIGCONT)
    i = u.incident()
    wait("the records of all three are there", lambda: len(
        u.records("MENDD_EVENT=verified", "MENDD_INCIDENT_ID=" + i["id"])) == 3)


@case("the bus is restarted: mendd comes back, and heals what died meanwhile", alone=True, last=True)
def bus_restarted(t):
    u = t.unit(mendd=FAST)
    old = mendd_pid()
    pid = u.pid
    run("systemctl", "kill", "--signal=KILL", "dbus.service")
    u.request("kill 9")
    wait_mendd_ready(old)
    i = u.wait_closed(30)
    expect("cause and verdict", (i["cause"] in ("crashed", "killed"), i["verdict"]), (True, "fixed-weak"))
    # The old mendd may have read the kernel's record with nobody left to ask about it: then only PID 1 knows how.
    expect("whose death", i.get("death", {"pid": pid})["pid"], pid)
    expect("starts", u.starts(), 2)


def stored_incidents():

    with contextlib.closing(sqlite3.connect(f"file:{STATE}/mendd.sqlite?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT id FROM incident")]


def fill_up(path):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC)
    try:
        while os.write(fd, b"x" * 4096):
            pass
    except OSError:
        pass
    finally:
        os.close(fd)


def store_feature():
    return {name: (up, text) for name, up, text in manager()["Features"]}["store"]


@case("a store that is full, read-only, and well again: said loudly, healing goes on", alone=True)
def store_full(t):
    u = t.unit(mendd=FAST)

    def restore():
        run("systemctl", "stop", "mendd.service")
        run_raw("umount", STATE)
        run("systemctl", "start", "mendd.service")
        wait_mendd_ready()

    t.cleanup(restore)
    run("systemctl", "stop", "mendd.service")
    run("mount", "-t", "tmpfs", "-o", "size=2m,mode=0750", "tmpfs", STATE)
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()
    expect("the store is well", store_feature()[0], True)

    def broken(what, word):
        since = time.time() - 5
        n = u.wait_settled()["NRestarts"]["mendd"]
        u.request("exit 1")
        u.wait_mendd(NRestarts={"mendd": n + 1, "systemd": 0, "other": 0}, Health="healthy")
        wait(f"{what}: mendd knows", lambda: not store_feature()[0])
        r = wait(f"{what}: a record", lambda: journal("MENDD_EVENT=store-error", since=since))[-1]
        expect("its priority", r["PRIORITY"], "3")
        expect_text("its text", r["MESSAGE"], "healing goes on", word)
        expect_text("mendctl doctor", run_raw("mendctl", "doctor").stdout, "store")
        expect("exit status of mendctl doctor", run_raw("mendctl", "doctor").returncode, 1)
        wait("mendd_store_failures_total", lambda: metrics().of("mendd_store_failures_total") > 0)

    def well(what):
        wait(f"{what}: the store is well again", lambda: store_feature()[0], 60)
        i = u.wait_closed()
        wait(f"{what}: the incident is stored",
             lambda: i["id"] in stored_incidents())

    fill_up(STATE + "/filler")
    broken("full", "full")
    remove(STATE + "/filler")
    well("full")
    # A mount with a file open for writing does not become read-only.
    run("systemctl", "stop", "mendd.service")
    run("mount", "-o", "remount,ro", STATE)
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()
    broken("read-only", "only")
    # Its mount namespace has a read-only mount of its own: only a new one sees the change.
    run("systemctl", "stop", "mendd.service")
    run("mount", "-o", "remount,rw", STATE)
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()
    u.request("exit 1")
    u.wait_mendd(NRestarts={"mendd": 1, "systemd": 0, "other": 0})
    well("read-only")


@case("a store that is damaged: said loudly, moved aside, healing goes on", alone=True)
def store_damaged(t):
    u = t.unit(mendd=FAST)
    t.cleanup(run, "systemctl", "start", "mendd.service")
    run("systemctl", "stop", "mendd.service")
    since = time.time()
    for suffix in ("-wal", "-shm"):
        remove(f"{STATE}/mendd.sqlite{suffix}")
    write(f"{STATE}/mendd.sqlite", "this is no database\n" * 500, 0o640)
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()
    u.wait_settled()
    u.request("exit 1")
    u.wait_closed()
    u.wait_settled()
    expect("starts", u.starts(), 2)
    r = wait("a record", lambda: journal("MENDD_EVENT=store-error", since=since))[-1]
    expect("its priority", r["PRIORITY"], "3")
    wait("a new store is in use", lambda: store_feature()[0], 30)
    expect("the damaged one is kept",
           len([f for f in os.listdir(STATE) if f.startswith("mendd.sqlite") and "corrupt" in f]) >= 1, True)


@case("mendd restarted and killed within a probation: the sockets of a unit are still known", alone=True)
def sockets_known(t):
    port = free_port()
    u = t.unit(arguments=f"--listen {port}", mendd="Heal=restart\nVerifyFor=300ms\nBackoff=100ms..1s")
    address = f"tcp 127.0.0.1:{port}"
    wait("mendd knows its socket", lambda: u.mendd()["ListeningSockets"] == [address])
    u.request("exit 3")
    u.wait_closed()
    for how in ("systemctl restart mendd", "pkill -9 -x mendd"):
        old = mendd_pid()
        run("sh", "-c", how)
        wait_mendd_ready(old)
        expect("in a probation, with its sockets",
               [u.wait_mendd(HealingState="probation")[k] for k in ("HealingState", "ListeningSockets")],
               ["probation", [address]])
        n = len(u.incidents())
        u.request("exit 3")
        wait("another incident, closed", lambda: len(u.incidents()) == n + 1 and not u.incident()["open"])
        expect("verdict", u.incident()["verdict"], "fixed-weak")
        expect_text("the verification asked for its sockets", str(u.incident()["timeline"]), "sockets open again")
