# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is sampled of a service and what becomes of it: hangs, errors, slowness, probes, with the times that it took;
and what people see of it meanwhile. See level.py; where nothing is done is in cases_level_held.py."""
import json
import re
import threading
import time

from harness import (RUN, SLOW, expect, expect_text, remove, run, run_raw, wait, wait_metrics, write)
from http_servers import certificate
from http_truth import HTTP
from level import (GRACE_OFF, Customers, alert, ask, become, explained, level, offset, sick, stays, told_at,
                   wait_alert, wait_held, wait_over, wait_restarted)


# --- hangs ---------------------------------------------------------------------------------------

def gunicorn(t, mendd):
    """One worker, and nobody but mendd who looks after it."""
    return sick(t, "gunicorn", mendd=mendd, service="TimeoutStopSec=2", command=(
        f"/usr/bin/gunicorn -k sync -w 1 --timeout 0 --graceful-timeout 1 -b 127.0.0.1:{{}} --chdir {HTTP} sick:app"))


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

@level("500s at 20 requests a second: an alert within 5 s of the fifth, until they end, not until nobody asks")
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
    stays("without requests it fires on", lambda: alert(u, "http-errors")["state"] == "firing", 6)
    expect("and there were none", u.mendd()["HTTPRequests"], asked)
    began = become(u, "well")
    customers = Customers(t, u.port, 20)
    wait_alert(u, "http-errors", "resolved", 20)
    ended = time.monotonic() - began
    i = wait_over(u)
    expect("cause", i["cause"], "http-errors")
    expect("one 500 of two requests", (alert(few, "http-errors")["state"], few.incidents()), ("inactive", []))
    expect("and it was seen", few.mendd()["HTTPErrors"], 1)
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
    m = stubborn.wait_mendd(40, HealingState="exhausted", Refusal="not-helped")
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
    expect(f"value {record['MENDD_VALUE']}", 0.38 <= float(record["MENDD_VALUE"]) <= 0.8 * SLOW, True)
    wait_held(told, "notify-only")
    i = wait_restarted(healed)
    expect("cause", i["cause"], "slow")
    t.say(f"fires {took:.3f} s after the first slow answer; the other one is restarted {offset(i, 'acted'):.3f} s "
          f"after the first bad second, verified {offset(i, 'verified'):.3f} s")
    stays("the first one is left alone", lambda: told.mendd()["Refusal"] == "notify-only", 2)
    became = become(told, "well")
    wait_alert(told, "http-latency", "resolved", 25)
    t.say(f"resolved {time.monotonic() - became:.3f} s after it is fast again")
    expect("restarts", (wait_over(told)["attempts"], told.starts()), (0, 1))


# --- probes --------------------------------------------------------------------------------------

PROBED = GRACE_OFF + "\nProbeInterval=1s\nProbeTimeout=1s\nProbeFailures=2\nProbe="


@level("a probe: what answers 503, or does not listen any more, is restarted and verified")
def probes(t):
    refusing = sick(t, "refusing", mendd=PROBED + "http://127.0.0.1:{}/")
    deaf = sick(t, "deaf", mendd=PROBED + "tcp://127.0.0.1:{}")
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
        t.say(f"{text}: known {told_at(record) - began:.3f} s later, restart done {offset(i, 'restarted'):.3f} s "
              f"after the first failure, verified {offset(i, 'verified'):.3f} s")
        expect("status", u.mendd()["ProbeStatus"], "ok")
    expect("it listens again", ask(deaf, "/"), 200)


@level("TLS: that it cannot be seen is said and changes nothing; a probe over TLS sees it")
def encrypted(t):
    tls = "--tls " + certificate(t)  # signed by nobody
    u = sick(t, mendd=GRACE_OFF, options=tls)
    probed = sick(t, "probed", mendd=PROBED + "https://127.0.0.1:{}/", options=tls)

    def curl(unit, path=""):
        return run("curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}",
                   f"https://127.0.0.1:{unit.port}/{path}")
    expect("it works", curl(u), "200")
    wait("it is said", lambda: u.mendd()["HTTPVisibility"] == "tls")
    expect_text("for people", run_raw("mendctl", "--no-pager", "status", u.name).stdout,
                "cannot be seen: its connections are encrypted (TLS)")
    probed.wait_mendd(ProbeStatus="ok")
    # Both fail, which nobody can see of the first: neither well nor ill by that.
    for unit in (u, probed):
        expect("it will fail", curl(unit, "become/failing"), "200")
    expect("it fails", [curl(u) for _ in range(30)], ["500"] * 30)
    expect_text("the record", probed.wait_record("alert-firing")["MESSAGE"], "probe: HTTP 500 after")
    i = wait_restarted(probed)
    t.say(f"probed over TLS: restart done {offset(i, 'restarted'):.3f} s after the first failure")
    expect("it works again", curl(probed), "200")
    stays("the other one's health is what it was", lambda: u.mendd()["Health"] == "healthy", 1)
    expect("alerts that look at it", explained(u)["alerts"], [])
    expect("what is told of it", (u.records(), u.starts()), ([], 1))
    wait_metrics("for Prometheus", lambda n: n.of(
        "mendd_http_untracked_connections_total", name=u.name, reason="tls") == 32)


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

    lines = run("mendctl", "top", "--batch", "-n", "1", u.name).splitlines()
    now = time.monotonic()
    customers.stop()
    titles = next(line for line in lines if line.startswith("UNIT"))
    cells = next(line for line in lines if line.startswith(u.name))
    row = dict(zip(titles.split(), cells.split()))
    lately = sorted(took * 1000 for begin, took, _ in customers.seen if begin > now - 12)
    seen = [lately[int(len(lately) * q)] for q in (0.5, 0.95, 0.99)]
    t.say(titles)
    t.say(cells)
    t.say(f"customers: p50 {seen[0]:.1f} ms, p95 {seen[1]:.1f} ms, p99 {seen[2]:.1f} ms")
    expect(f"rate {row['RATE']}", 30 <= float(row["RATE"]) <= 50, True)
    expect(f"errors, of which there are one in twenty: {row['ERR%']}", 3 <= float(row["ERR%"]) <= 7, True)
    p50, p95, p99 = (milliseconds(row[p]) for p in ("P50", "P95", "P99"))
    # One request in ten takes 100 ms. A bucket is 9 % wide, and the two windows are not quite the same.
    for name, ours, theirs, least in (("p50", p50, seen[0], 0), ("p95", p95, seen[1], 95), ("p99", p99, seen[2], 95)):
        expect(f"{name} {ours} ms, of customers {theirs} ms", least <= ours <= 1.1 * theirs + 10, True)
    expect(f"p50 {p50} ms, of those that are not late", p50 <= 50, True)
    expect("restarts and health", (row["RESTARTS"], row["HEALTH"]), ("0", "healthy"))
    listed = json.loads(run("mendctl", "top", "--json=short", "-n", "1", u.name))["units"]
    expect("as JSON", [x["Name"] for x in listed], [u.name])
