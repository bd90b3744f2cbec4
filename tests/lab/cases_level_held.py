# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is sampled of a service, and nothing is done about it: it has just started, somebody debugs it, the host is
overloaded, or many have it at once. See level.py."""
import ctypes
import os
import threading
import time

from harness import RUN, Failure, Skip, expect, expect_text, journal, remove, run, run_raw, wait, write
from level import (CALM, GRACE_OFF, Customers, alert, at, become, firing, level, level_of_host, offset, pressure, sick,
                   stays, told_at, wait_alert, wait_held, wait_over, wait_restarted)


# --- one of them ---------------------------------------------------------------------------------

@level("a start: errors within StartGrace= are no reason; what lasts longer is")
def grace(t):
    ill, longer = (f"{RUN}/{t.unit_name(x)}.file" for x in ("ill", "longer"))
    for file in (ill, longer):
        write(file, "")
        t.cleanup(remove, file)
    begin = time.monotonic()
    u = sick(t, mendd="Heal=restart\nStartGrace=25s", options=f"--ill-while {ill}")
    # It comes up well when it is started again: its illness goes when it is stopped.
    other = sick(t, "longer", mendd="Heal=restart\nStartGrace=8s", options=f"--ill-while {longer}",
                 service=f"ExecStopPost=/bin/rm -f {longer}")
    started = int(other.get("ActiveEnterTimestampMonotonic")) / 1e6
    customers = [Customers(t, x.port, 20) for x in (u, other)]
    for x in (other, u):
        wait_alert(x, "http-errors", "firing")
        wait_held(x, "grace")
        expect_text("the record", x.wait_record("alert-firing")["MESSAGE"], "was started", "not restarted")
    remove(ill)
    wait_over(u)
    well = time.monotonic() - begin
    acted = at(wait_restarted(other), "acted") - started
    t.say(f"well {well:.1f} s after its start, not restarted; the other one, with 8 s of grace, was restarted "
          f"{acted:.3f} s after its start")
    expect(f"it waited for its grace, {acted:.3f} s", acted >= 8, True)
    customers[0].wait_answers(1, begin)
    expect("starts", (u.starts(), other.starts()), (1, 2))


class Tracer:
    """Attaches to a process as a debugger does, and lets it run or not."""

    def __init__(self, pid):
        self.pid = pid
        self.go, self.done = threading.Event(), threading.Event()
        self.error = 0
        # ptrace(2) belongs to the thread.
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.done.wait()
        if self.error:
            raise Skip(f"ptrace is not allowed here: {os.strerror(self.error)}")

    def ptrace(self, request):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        libc.ptrace.restype = ctypes.c_long
        if libc.ptrace(request, self.pid, None, None) < 0:
            self.error = ctypes.get_errno()

    def run(self):
        seize, interrupt, detach = 0x4206, 0x4207, 17
        self.ptrace(seize)
        if not self.error:
            self.ptrace(interrupt)
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | 0x40000000)  # __WALL
        self.done.set()
        self.go.wait()
        if not self.error:
            self.ptrace(detach)

    def end(self):
        self.go.set()
        self.thread.join()


@level("somebody debugs it: stopped, traced or frozen, it hangs and is not restarted")
def debugged(t):
    u = sick(t, mendd=GRACE_OFF + "\nHangAfter=1s")
    customers = Customers(t, u.port, 20)
    customers.wait_answers(40)
    tracers = []
    ways = (("SIGSTOP", lambda: run("systemctl", "kill", "--signal=STOP", u.name),
             lambda: run("systemctl", "kill", "--signal=CONT", u.name)),
            ("ptrace", lambda: tracers.append(Tracer(u.pid)), lambda: tracers.pop().end()),
            ("systemctl freeze", lambda: run("systemctl", "freeze", u.name),
             lambda: run("systemctl", "thaw", u.name)))
    for n, (way, begin, end) in enumerate(ways):
        began = time.monotonic()
        begin()
        t.cleanup(run_raw, "systemctl", "kill", "--signal=CONT", u.name)
        t.cleanup(run_raw, "systemctl", "thaw", u.name)
        try:
            wait_held(u, "frozen")
            took = time.monotonic() - began
            expect(f"{way}: cause", u.incident()["cause"], "hang")
            stays(f"{way}: held", lambda: u.mendd()["Refusal"] == "frozen", 2)
        finally:
            end()
        ended = time.monotonic()
        wait_over(u)
        t.say(f"{way}: known and held after {took:.3f} s; over {time.monotonic() - ended:.3f} s after it goes on")
        expect("records", len(u.records("MENDD_EVENT=alert-firing")), n + 1)
        customers.wait_answers(5, ended)
    expect("restarts", (u.mendd()["Attempts"], u.starts()), (0, 1))


# --- the host ------------------------------------------------------------------------------------

@level_of_host("ten times the normal load, and no idle processor: overload is told, and nothing is restarted",
               makes_it_busy=True)
def overload(t):
    u = sick(t, mendd=GRACE_OFF + "\nHTTPLatencyP99=250ms\nHTTPLatencyFor=2s\nHTTPLatencyHeal=yes\nHangAfter=30s")
    become(u, "busy/12")
    normal = Customers(t, u.port, 8)
    normal.wait_answers(30)
    expect("alert under normal load", alert(u, "http-latency")["state"], "inactive")
    p50 = u.mendd()["HTTPFirstByteP50USec"] / 1e6
    burner = t.unit("burner", mendd="HTTP=no", start=False, command=(
        "/bin/sh -c 'for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait'")).start()
    began = time.monotonic()
    crowd = Customers(t, u.port, 72, width=40)
    record = u.wait_record("alert-firing", 30)
    expect("rule and cause", (record["MENDD_RULE"], record["MENDD_CAUSE"]), ("http-latency", "overload"))
    expect_text("it is told", record["MESSAGE"], "the host is overloaded: tasks wait for processors",
                "not restarted: the host itself is overloaded")
    host = wait("the host's alert", lambda: journal("MENDD_EVENT=host-pressure", since=time.time() - 30))
    expect_text("its record", host[-1]["MESSAGE"], "the host is overloaded", "only deaths are healed")
    expect("for Prometheus", firing("host-pressure"), True)
    wait_held(u, "host-pressure")
    stays("it is held", lambda: u.mendd()["Refusal"] == "host-pressure" and u.mendd()["Attempts"] == 0, 6)
    p99 = u.mendd()["HTTPFirstByteP99USec"] / 1e6
    t.say(f"told {told_at(record) - began:.3f} s after the load began; tasks wait {pressure():.0f} % of the time; "
          f"first byte before: p50 {p50:.3f} s, now: p99 {p99:.3f} s")
    run("systemctl", "stop", burner.name)
    crowd.stop()
    ended = time.monotonic()
    i = wait_over(u, 40)
    expect("cause", i["cause"], "overload")
    t.say(f"over {time.monotonic() - ended:.3f} s after the load has ended")
    expect("starts", u.starts(), 1)
    try:
        wait("the host's alert is over", lambda: not firing("host-pressure"), 40)
    except Failure as e:
        if pressure() < CALM:
            raise
        raise Skip("all is well but the end of the host's alert: this machine is busy with something else") from e


@level_of_host("half of twelve units fail together: one alert, no restart; and healing goes on afterwards")
def together(t):
    # The first one is a service like the others, five more ask it, and six have nothing to do with it.
    names = [f"shop{n}" for n in range(12)]
    units = [sick(t, name, mendd=GRACE_OFF + "\nHTTPErrorMin=3") for name in names]
    bad, good = units[:6], units[6:]
    for u in bad[1:]:
        become(u, f"relay/{bad[0].port}")
    customers = [Customers(t, u.port, 5, width=3) for u in units]
    for c in customers:
        c.wait_answers(15)
    identities = [u.identity() for u in units]
    since = time.time()

    def told():
        return journal("SYSLOG_IDENTIFIER=mendd", "MENDD_EVENT=correlated", since=since)
    began = become(bad[0], "failing")
    wait("the alert of the host", told)
    took = told_at(told()[0]) - began
    for u in bad:
        wait_alert(u, "http-errors", "firing")
        wait_held(u, "correlated")
    stays("they are held", lambda: all(u.mendd()["Refusal"] == "correlated" for u in bad), 5)
    expect("it is told once", len(told()), 1)
    message = told()[0]["MESSAGE"]
    expect_text("it says how many, by what, and which", message, "units went bad within 30 s, all by http-errors",
                "only deaths are healed", *(u.name for u in bad))
    expect("it fires", firing("correlated"), True)
    t.say(f"frozen {took:.3f} s after the first 500: {message}")
    became = become(bad[0], "well")
    for u in bad:
        wait_over(u)
    wait("it is over", lambda: not firing("correlated"), 30)
    t.say(f"over {time.monotonic() - became:.3f} s after they answer well again")
    expect("identities", [u.identity() for u in units], identities)
    expect("incidents of the others", [u.incidents() for u in good], [[]] * 6)
    expect("records", [("over:" in r["MESSAGE"]) for r in told()], [False, True])
    # One alone is healed again.
    become(good[0], "failing")
    i = wait_restarted(good[0])
    t.say(f"one of the others alone: restart sent {offset(i, 'acted'):.3f} s after its first bad second")
    expect("identities of the rest", [u.identity() for u in units if u is not good[0]],
           [x for u, x in zip(units, identities) if u is not good[0]])


