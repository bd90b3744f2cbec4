# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is sampled of a service and what becomes of it: hangs, errors, slowness, probes; and when nothing is done: an
overloaded host, many at once, a start, somebody who debugs it. With the times that it took.

The services are http/sick.py, which falls ill when it is told to, under load of a known rate. Beside each runs a
neighbour of the same kind that is well, has customers too, and must not be touched. The cases run alone: what several
of them at once looked like to mendd is a case of its own.
"""
import ctypes
import json
import os
import re
import threading
import time

from harness import (RUN, SLOW, Failure, Skip, call_manager, case, expect, expect_in, expect_text, journal,
                     metrics, read, remove, run, run_raw, wait, wait_metrics, write)
from http_client import Client
from http_truth import HTTP, port_of

CALM = 30  # percent of the time that tasks wait for a processor: errors are held from 60 on, until 40
GRACE_OFF = "Heal=restart\nStartGrace=off\nVerifyFor=1s"
SICK = f"/usr/bin/python3 -S -E {HTTP}/sick.py"


def pressure():
    return float(re.search(r"some avg10=([\d.]+)", read("/proc/pressure/cpu")).group(1))


def firing(rule):
    """Whether an alert of the host fires."""
    return any(v for k, v in metrics().items() if k.startswith("mendd_alert_firing{") and f'rule="{rule}"' in k)


def wait_calm():
    """Levels are held while the host is busy: with something else, a test of what is done about them says nothing."""
    wait("no alert of the host fires", lambda: not firing("correlated") and not firing("host-pressure"), 40)
    try:
        wait("processors are idle", lambda: pressure() < CALM, 60)
    except Failure as e:
        raise Skip(f"this machine is busy with something else: {e}") from e


class Customers:
    """They ask at a steady rate, whatever the answers are like, `width` of them at most at once, and give up after
    `patience` seconds. What they saw is in .seen: (when they asked, how long it took, status or None)."""

    def __init__(self, t, port, rate, path="/", width=8, patience=5.0):
        self.port, self.rate, self.path, self.patience = port, rate, path, patience
        self.seen, self.lock, self.ending = [], threading.Lock(), threading.Event()
        self.next = time.monotonic()
        self.threads = [threading.Thread(target=self.go, daemon=True) for _ in range(width)]
        t.cleanup(self.stop)
        for thread in self.threads:
            thread.start()

    def turn(self):
        """When the next one asks. Who is late by more than a second stays away: no flood afterwards."""
        with self.lock:
            self.next = max(self.next + 1 / self.rate, time.monotonic() - 1)
            return self.next

    def go(self):
        while not self.ending.wait(max(0, self.turn() - time.monotonic())):
            begin, status = time.monotonic(), None
            try:
                with Client(self.port, timeout=self.patience / SLOW) as c:
                    status = c.ask("GET", self.path, close=True)
            except (Failure, OSError, ValueError, IndexError):
                pass
            self.seen.append((begin, time.monotonic() - begin, status))

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def since(self, begin, status=200):
        """Those who asked after that, and got that answer, by the time at which they had it."""
        return sorted((b + took, took) for b, took, s in list(self.seen) if b >= begin and s == status)

    def wait_answers(self, n, begin=0.0, status=200, deadline=15):
        return wait(f"{n} answers of {status}", lambda: (
            self.since(begin, status) if len(self.since(begin, status)) >= n else None), deadline)


def sick(t, stem="sick", mendd="Heal=restart", options="", service="", command=None, unit=""):
    """A unit that runs the application; u.port."""
    port = port_of(t)
    u = t.unit(stem, start=False, mendd=mendd, unit=unit, service="Type=notify\nNotifyAccess=all\n" + service,
               command=(command or SICK + " --port {} " + options).format(port))
    u.port = port
    u.start()
    return u


def gunicorn(t, mendd):
    """One worker, and nobody but mendd who looks after it."""
    return sick(t, "gunicorn", mendd=mendd, service="TimeoutStopSec=2", command=(
        f"/usr/bin/gunicorn -k sync -w 1 --timeout 0 --graceful-timeout 1 -b 127.0.0.1:{{}} --chdir {HTTP} sick:app"))


def ask(u, path, patience=10.0):
    with Client(u.port, timeout=patience / SLOW) as c:
        return c.ask("GET", path, close=True)


def become(u, what):
    """From that moment on it is."""
    now = time.monotonic()
    expect(f"{u.name} becomes {what}", ask(u, "/become/" + what), 200)
    return now


class Neighbour:
    """A service like the others that is well, has customers, and would be restarted if it were not."""

    def __init__(self, t):
        self.u = sick(t, "neighbour", mendd=GRACE_OFF)
        self.was = self.u.identity()
        self.customers = Customers(t, self.u.port, 5, width=4)
        self.customers.wait_answers(5)

    def check(self):
        expect("the neighbour's main process and invocation", self.u.identity(), self.was)
        expect("its incidents", self.u.incidents(), [])
        expect_in("what its customers saw", {s for _, _, s in self.customers.seen}, {200}, {200, None})
        expect("its records in the journal", self.u.records(), [])


def level(name):
    """A case about levels; see above."""
    def register(function):
        @case("level: " + name, alone=True)
        def with_neighbour(t):
            wait_calm()
            neighbour = Neighbour(t)
            expect("the bystander's incidents", t.bystander.incidents(), [])
            function(t)
            neighbour.check()
            expect("the bystander's incidents", t.bystander.incidents(), [])
        return with_neighbour
    return register


def explained(u):
    return json.loads(call_manager("Explain", "s", u.name)[0])


def alert(u, rule):
    """The unit's alert, or one that is inactive where nothing was seen yet."""
    return next((a for a in explained(u)["alerts"] if a["rule"] == rule), {"state": "inactive", "text": ""})


def wait_alert(u, rule, state, deadline=15):
    def fact():
        a = alert(u, rule)
        if a["state"] != state:
            raise Failure(f"{a['state']}: {a['text']}")
        return a
    return wait(f"{u.name}: alert {rule} is {state}", fact, deadline)


def told_at(record):
    """When the journal had it, on the clock of time.monotonic()."""
    return int(record["__MONOTONIC_TIMESTAMP"]) / 1e6


def offset(incident, kind, last=False):
    """Seconds from the beginning of the trouble to the first (last) entry of that kind."""
    found = [e["offset_usec"] / 1e6 for e in incident["timeline"] if e["kind"] == kind]
    if not found:
        raise Failure(f"nothing '{kind}' is in the timeline: {incident['timeline']}")
    return found[-1 if last else 0]


def stays(what, fact, seconds):
    """Asks for so long whether it is still true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not fact():
            raise Failure(f"{what}: no more")
        time.sleep(0.2)


def wait_unpressed(what, u, fact, deadline=20):
    """wait(), for longer where somebody else keeps this machine busy, and mendd waits for that to end."""
    def patiently():
        if u.mendd()["Refusal"] == "host-pressure" and pressure() >= CALM:
            raise Failure("the host is under pressure")
        return fact()
    try:
        return wait(what, patiently, deadline)
    except Failure as e:
        if "under pressure" not in str(e):
            raise
    try:
        return wait(what, patiently, 60)
    except Failure as e:
        if "under pressure" not in str(e):
            raise
        raise Skip("this machine has become busy with something else") from e


def wait_restarted(u, deadline=20):
    """mendd has restarted it, and the incident is closed."""
    def fact():
        m = u.mendd()
        if m["NRestarts"]["mendd"] != 1 or m["IncidentOpen"]:
            raise Failure(f"{m['NRestarts']}, {m['HealingState']}, refusal {m['Refusal']}, {m['HealthReason']}")
        return u.incident()
    i = wait_unpressed(f"{u.name}: restarted by mendd, and verified", u, fact, deadline)
    expect("verdict and attempts", (i["verdict"], i["attempts"]), ("fixed", 1))
    expect("jobs of PID 1", u.starts(), 2)
    return i


def wait_held(u, refusal, deadline=15):
    """It is not restarted, and why."""
    m = u.wait_mendd(deadline, Refusal=refusal, IncidentOpen=True)
    expect("restarts", (m["Attempts"], u.starts()), (0, 1))
    return m


def wait_over(u, deadline=25):
    """The trouble has ended by itself."""
    i = u.wait_closed(deadline)
    expect("attempts and resolution", (i["attempts"], i["resolution"]), (0, "recovered by itself"))
    return i


# --- hangs ---------------------------------------------------------------------------------------

def hang(t, patience, locker_patience):
    u = gunicorn(t, GRACE_OFF + "\nHangAfter=2s")
    customers = Customers(t, u.port, 20, width=12, patience=patience)
    customers.wait_answers(40)
    old, began = u.invocation, time.monotonic()
    locker = threading.Thread(target=run_raw, args=(
        "curl", "--silent", "--max-time", str(locker_patience), f"http://127.0.0.1:{u.port}/lock"))
    locker.start()
    record = u.wait_record("alert-firing", 2 + 3)
    detected = told_at(record) - began
    i = wait_restarted(u)
    locker.join()
    back = customers.wait_answers(1, told_at(record))[0][0] - began
    t.say(f"dead-locked; known after {detected:.3f} s (limit 2 s), restart sent after {offset(i, 'acted'):.3f} s, done "
          f"{offset(i, 'restarted'):.3f} s, first customer served {back:.3f} s, verified {offset(i, 'verified'):.3f} s")
    expect(f"it is known after {detected:.3f} s: its limit, and less than a second", 2 <= detected <= 3 * SLOW, True)
    expect("cause", (i["cause"], record["MENDD_RULE"], record["MENDD_CAUSE"]), ("hang", "http-hang", "hang"))
    expect_text("the record", record["MESSAGE"], "not one answer for", "limit 2.0 s", "restarting (1 of 5)")
    expect("the journal has the incident", record["MENDD_INCIDENT_ID"], i["id"])
    expect("invocation", u.invocation != old, True)
    verified = u.wait_record("verified")
    expect_text("what proves it: its customers", verified["MESSAGE"], "requests answered", "0.0 % errors")
    evidence = i["evidence"]
    expect("evidence: requests in flight, unanswered",
           (evidence["http"]["in_flight"] >= 1, evidence["http"]["unanswered"] >= 1), (True, True))
    expect("evidence: what was normal", evidence["http"]["baseline"]["error_ratio"], 0)
    expect("evidence: the alert", [a["rule"] for a in evidence["alerts"] if a["state"] == "firing"], ["http-hang"])
    expect("evidence: its processes, the arbiter and the worker", len(evidence["processes"]), 2)
    expect("alert", wait_alert(u, "http-hang", "resolved")["state"], "resolved")
    return evidence


@level("the only worker of gunicorn dead-locks: known within its limit and a second, restarted, proved by traffic")
def hang_waiting(t):
    evidence = hang(t, patience=10, locker_patience=20)
    expect("evidence: the oldest has waited for the limit", evidence["http"]["oldest_unanswered_usec"] >= 1.9e6, True)
    expect("evidence: those behind it have not even been read", evidence["http"]["unread"] >= 1, True)


@level("the only worker dead-locks, and its customers give up sooner than the limit")
def hang_in_vain(t):
    hang(t, patience=0.8, locker_patience=0.5)


# --- errors --------------------------------------------------------------------------------------

@level("500s at 20 requests a second: an alert within 5 s of the fifth; it ends when they end, not when the requests do")
def errors(t):
    u = sick(t, mendd="HTTPLatencyP99=off")  # only observed, as by default
    few = sick(t, "few")
    customers = Customers(t, u.port, 20)
    customers.wait_answers(40)
    expect("one of two", [ask(few, "/status/500"), ask(few, "/status/200")], [500, 200])
    began = become(u, "failing")
    record = u.wait_record("alert-firing")
    fifth = customers.wait_answers(5, began, 500)[4][0]
    took = told_at(record) - fifth
    expect("rule", (record["MENDD_RULE"], record["MENDD_CAUSE"]), ("http-errors", "http-errors"))
    expect(f"it fires {took:.3f} s after the fifth error", took <= 5 * SLOW, True)
    expect_text("the record", record["MESSAGE"], "requests failed within", "limit 5.0 %")
    wait_metrics("for Prometheus", lambda n: n.of("mendd_alert_firing", name=u.name, rule="http-errors") == 1)
    expect("health", u.mendd()["Health"], "unhealthy")
    # Nobody asks any more: nothing says that it is well.
    customers.stop()
    asked = u.mendd()["HTTPRequests"]
    stays("without requests it fires on", lambda: alert(u, "http-errors")["state"] == "firing", 8)
    expect("and there were none", u.mendd()["HTTPRequests"], asked)
    began = become(u, "well")
    customers = Customers(t, u.port, 20)
    wait_alert(u, "http-errors", "resolved", 20)
    ended = time.monotonic() - began
    i = wait_over(u)
    expect("cause", i["cause"], "http-errors")
    expect("one 500 of two requests", (alert(few, "http-errors")["state"], few.incidents()), ("inactive", []))
    expect_text("and it was seen", str(few.mendd()["HTTPErrors"]), "1")
    t.say(f"fires {took:.3f} s after the fifth error; resolved {ended:.3f} s after it answers well again")


@level("500s: one restart where it helps; where it does not, a person is called")
def errors_healed(t):
    file = f"{RUN}/{t.unit_name('ill')}.file"
    t.cleanup(remove, file)
    helped = sick(t, mendd=GRACE_OFF)
    stubborn = sick(t, "stubborn", mendd=GRACE_OFF, options=f"--ill-while {file}")
    customers = [Customers(t, u.port, 20) for u in (helped, stubborn)]
    for c in customers:
        c.wait_answers(40)
    write(file, "")
    began = become(helped, "failing")
    i = wait_restarted(helped)
    served = customers[0].wait_answers(1, began + offset(i, "restarted"))[0][0] - began
    expect("cause", i["cause"], "http-errors")
    t.say(f"helped: restart sent {offset(i, 'acted'):.3f} s after the first bad second, served again after "
          f"{served:.3f} s, verified {offset(i, 'verified'):.3f} s")
    m = wait_unpressed("the other one is not restarted again", stubborn, lambda: stubborn.wait_mendd(
        1, HealingState="exhausted", Refusal="not-helped"), 40)
    expect("restarts", (m["NRestarts"]["mendd"], stubborn.starts()), (1, 2))
    expect("verdict", stubborn.incident()["verdict"], "not-fixed")
    expect_text("a person is called", stubborn.wait_record("exhausted")["MESSAGE"], "a person is needed")
    remove(file)
    i = stubborn.wait_closed(25)
    expect("resolution and restarts", (i["resolution"], stubborn.starts()), ("recovered by itself", 2))


# --- slowness ------------------------------------------------------------------------------------

@level("slow: an alert, and no restart unless HTTPLatencyHeal=yes")
def slow(t):
    mendd = GRACE_OFF + "\nHTTPLatencyP99=200ms\nHTTPLatencyFor=2s"
    told = sick(t, mendd=mendd)
    healed = sick(t, "healed", mendd=mendd + "\nHTTPLatencyHeal=yes")
    customers = [Customers(t, u.port, 20, width=16) for u in (told, healed)]
    for c in customers:
        c.wait_answers(40)
    began = become(told, "slow/400")
    become(healed, "slow/400")
    record = told.wait_record("alert-firing")
    first = customers[0].wait_answers(1, began)[0][0]
    took = told_at(record) - first
    expect("rule and cause", (record["MENDD_RULE"], record["MENDD_CAUSE"]), ("http-latency", "slow"))
    expect_text("the record", record["MESSAGE"], "the slowest percent", "limit 200 ms")
    expect("value", 0.38 <= float(record["MENDD_VALUE"]) <= 0.6 * SLOW, True)
    wait_held(told, "notify-only")
    i = wait_restarted(healed)
    expect("cause", i["cause"], "slow")
    t.say(f"fires {took:.3f} s after the first slow answer; the other one is restarted {offset(i, 'acted'):.3f} s after "
          f"the first bad second, verified {offset(i, 'verified'):.3f} s")
    stays("the first one is left alone", lambda: told.mendd()["Refusal"] == "notify-only", 2)
    became = become(told, "well")
    wait_alert(told, "http-latency", "resolved", 25)
    t.say(f"resolved {time.monotonic() - became:.3f} s after it is fast again")
    expect("restarts", (wait_over(told)["attempts"], told.starts()), (0, 1))


@level("ten times the normal load on a host without idle processors: overload is told, and nothing is restarted")
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
    host = wait("the host's alert", lambda: [r for r in journal("MENDD_EVENT=host-pressure",
                                                                since=time.time() - 30)])
    expect_text("its record", host[-1]["MESSAGE"], "the host is overloaded", "only deaths are healed")
    expect("for Prometheus", firing("host-pressure"), True)
    wait_held(u, "host-pressure")
    stays("it is held", lambda: u.mendd()["Refusal"] == "host-pressure" and u.mendd()["Attempts"] == 0, 6)
    p99 = u.mendd()["HTTPFirstByteP99USec"] / 1e6
    t.say(f"told {told_at(record) - began:.3f} s after the load began; tasks wait {pressure():.0f} % of the time; first "
          f"byte before: p50 {p50:.3f} s, now: p99 {p99:.3f} s")
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
        raise Skip("all is as it should be but the end of the host's alert: this machine has become busy with something "
                   "else") from e


# --- many at once --------------------------------------------------------------------------------

@level("half of twelve units fail together: one alert, no restart; and healing goes on afterwards")
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
    became = become(good[0], "failing")
    i = wait_restarted(good[0])
    t.say(f"one of the others alone: restart sent {offset(i, 'acted'):.3f} s after its first bad second")
    expect("identities of the rest", [u.identity() for u in units if u is not good[0]],
           [x for u, x in zip(units, identities) if u is not good[0]])


# --- probes --------------------------------------------------------------------------------------

PROBED = GRACE_OFF + "\nProbeInterval=1s\nProbeTimeout=1s\nProbeFailures=2\nProbe="


@level("a probe: what answers 503, or does not listen any more, is restarted and verified")
def probes(t):
    refusing = sick(t, "refusing", mendd=PROBED)
    deaf = sick(t, "deaf", mendd=PROBED)
    for u, probe in ((refusing, "http://127.0.0.1:{}/"), (deaf, "tcp://127.0.0.1:{}")):
        t.drop_in(u.name, f"[X-Mendd]\nProbe={probe.format(u.port)}\n")
    run("systemctl", "daemon-reload")
    for u in (refusing, deaf):
        u.wait_mendd(ProbeStatus="ok")
    began = become(refusing, "refusing")
    expect("it stops listening", ask(deaf, "/deaf"), 200)
    for u, text in ((refusing, "probe: HTTP 503 after"), (deaf, "probe: no connection: Connection refused")):
        record = u.wait_record("alert-firing")
        expect("rule and cause", (record["MENDD_RULE"], record["MENDD_CAUSE"]), ("probe", "probe"))
        expect_text("the record", record["MESSAGE"], text, "restarting (1 of 5)")
        i = wait_restarted(u)
        expect("cause", i["cause"], "probe")
        expect_text("what proves it", u.wait_record("verified")["MESSAGE"], "probe ok")
        t.say(f"{text}: known {told_at(record) - began:.3f} s later, restart done {offset(i, 'restarted'):.3f} s after the "
              f"first failure, verified {offset(i, 'verified'):.3f} s")
        expect("status", u.mendd()["ProbeStatus"], "ok")
    expect("it listens again", ask(deaf, "/"), 200)


@level("TLS: that it cannot be seen is said and changes nothing; a probe over TLS sees it")
def encrypted(t):
    from cases_http_world import certificate
    u = sick(t, mendd=PROBED, options="--tls " + certificate(t))
    url = f"https://127.0.0.1:{u.port}/"

    def curl(path=""):
        return run("curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}", url + path)
    expect("it works", curl(), "200")
    wait("it is said", lambda: u.mendd()["HTTPVisibility"] == "tls")
    expect_text("for people", run_raw("mendctl", "--no-pager", "status", u.name).stdout,
                "cannot be seen: its connections are encrypted (TLS)")
    # It fails, which nobody can see: neither well nor ill by that.
    expect("it will fail", curl("become/failing"), "200")
    expect("it fails", [curl() for _ in range(30)], ["500"] * 30)
    stays("its health is what it was", lambda: u.mendd()["Health"] == "healthy", 3)
    expect("alerts that look at it", explained(u)["alerts"], [])
    expect("what is told of it", u.records(), [])
    wait_metrics("for Prometheus", lambda n: n.of(
        "mendd_http_untracked_connections_total", name=u.name, reason="tls") == 32)
    # Its certificate is signed by nobody.
    t.drop_in(u.name, f"[X-Mendd]\nProbe={url}\n")
    run("systemctl", "daemon-reload")
    record = u.wait_record("alert-firing")
    expect_text("the record", record["MESSAGE"], "probe: HTTP 500 after")
    i = wait_restarted(u)
    t.say(f"probed over TLS: restart done {offset(i, 'restarted'):.3f} s after the first failure")
    expect("it works again", curl(), "200")


# --- when nothing is done ------------------------------------------------------------------------

@level("a start: errors within StartGrace= are no reason; what lasts longer is")
def grace(t):
    ill, longer = (f"{RUN}/{t.unit_name(x)}.file" for x in ("ill", "longer"))
    for file in (ill, longer):
        write(file, "")
        t.cleanup(remove, file)
    begin = time.monotonic()
    u = sick(t, mendd="Heal=restart\nStartGrace=20s", options=f"--ill-while {ill}")
    # It comes up well when it is started again: its illness goes when it is stopped.
    other = sick(t, "longer", mendd="Heal=restart\nStartGrace=6s", options=f"--ill-while {longer}",
                 service=f"ExecStopPost=/bin/rm -f {longer}")
    customers = [Customers(t, x.port, 20) for x in (u, other)]
    for x in (u, other):
        wait_alert(x, "http-errors", "firing")
        wait_held(x, "grace")
    expect_text("the record", u.wait_record("alert-firing")["MESSAGE"], "was started", "not restarted")
    remove(ill)
    wait_over(u)
    i = wait_restarted(other)
    acted = offset(i, "acted") + i["opened_usec"] / 1e6
    enter = int(other.get("ActiveEnterTimestampMonotonic")) / 1e6
    t.say(f"well {time.monotonic() - begin:.1f} s after its start, not restarted; the other one, with 6 s of grace, was "
          f"restarted {acted - (time.time() - time.monotonic()) - begin:.3f} s after its start")
    expect("it waited for its grace", acted - (time.time() - time.monotonic()) >= begin + 6, True)
    expect("and was started again", enter > begin + 6, True)
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


# --- mendctl top ---------------------------------------------------------------------------------

def milliseconds(cell):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", cell).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


@level("mendctl top --batch shows what its customers see")
def top(t):
    u = sick(t, mendd="HTTPErrorRatio=off")
    become(u, "mixed/100")
    customers = Customers(t, u.port, 40, width=12)
    customers.wait_answers(400, deadline=20)  # the window of the figures is full

    def rows():
        lines = run("mendctl", "top", "--batch", "-n", "1", u.name).splitlines()
        titles = next(line for line in lines if line.startswith("UNIT")).split()
        return dict(zip(titles, next(line for line in lines if line.startswith(u.name)).split()))
    row = rows()
    customers.stop()
    t.say(str(row))
    now = time.monotonic()
    lately = sorted(took * 1000 for b, took, _ in customers.seen if b > now - 12)
    expect("rate", 30 <= float(row["RATE"]) <= 50, True)
    expect("errors, of which there are one in twenty", 3 <= float(row["ERR%"]) <= 7, True)
    p50, p95, p99 = (milliseconds(row[p]) for p in ("P50", "P95", "P99"))
    seen = [lately[int(len(lately) * q)] for q in (0.5, 0.95, 0.99)]
    t.say(f"customers: p50 {seen[0]:.1f} ms, p95 {seen[1]:.1f} ms, p99 {seen[2]:.1f} ms")
    expect("the median is short, and not longer than the customers' own", p50 <= seen[0] * 1.1 <= 50, True)
    expect("one in ten takes 100 ms", 95 <= p95 <= seen[1] * 1.1, True)
    expect("p99", 95 <= p99 <= seen[2] * 1.1, True)
    expect("restarts and health", (row["RESTARTS"], row["HEALTH"]), ("0", "healthy"))
    listed = json.loads(run("mendctl", "top", "--json=short", "-n", "1", u.name))["units"]
    expect("as JSON", [x["Name"] for x in listed], [u.name])
