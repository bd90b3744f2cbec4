# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the cases about levels stand on: services that fall ill when they are told to (http/sick.py), customers that
ask them at a known rate, and what mendd makes of it.

Beside each sick service runs a neighbour of the same kind that is well, has customers too, and must not be touched.
Most cases run side by side, three at a time, among a crowd of healthy services: without it, what goes wrong in one
of them and in another would be a correlated failure, which is a case of its own. No other cases run meanwhile: levels
are held on a host that is busy, or on which much else is going wrong.
"""
import contextlib
import json
import re
import threading
import time

from harness import (SLOW, UNIT_DIR, Failure, Skip, call_manager, case, expect, expect_in, metrics, read, remove,
                     run, wait, wait_metrics, write)
from http_client import Client, once
from http_truth import HTTP, port_of

CALM, BUSY = 35, 60  # percent of the time in which tasks wait for a processor: mendd holds errors from 60 on, until 40
GRACE_OFF = "Heal=restart\nStartGrace=off\nVerifyFor=1s"
SICK = f"/usr/bin/python3 -S -E {HTTP}/sick.py"


# --- the machine that all this runs on ------------------------------------------------------------

def waited():
    """Seconds since boot in which some task waited for a processor."""
    return int(re.search(r"some .* total=(\d+)", read("/proc/pressure/cpu")).group(1)) / 1e6


def pressure():
    return float(re.search(r"some avg10=([\d.]+)", read("/proc/pressure/cpu")).group(1))


class Machine(threading.Thread):
    """Looks how busy the machine is, while a case runs: .worst, in percent of two seconds."""
    SPAN = 2

    def __init__(self):
        super().__init__(daemon=True)
        self.worst, self.ending = pressure(), threading.Event()
        self.start()

    def run(self):
        before, then = waited(), time.monotonic()
        while not self.ending.wait(self.SPAN):
            now, at = waited(), time.monotonic()
            self.worst = max(self.worst, 100 * (now - before) / (at - then), pressure())
            before, then = now, at

    def stop(self):
        self.ending.set()
        self.join()


def firing(rule):
    """Whether an alert of the host fires."""
    return any(v for k, v in metrics().items() if k.startswith("mendd_alert_firing{") and f'rule="{rule}"' in k)


def wait_calm():
    """Levels are held while the host is busy: with something else, a test of what is done about them says nothing."""
    try:
        wait("no alert of the host fires, and processors are idle", lambda: (
            not firing("correlated") and not firing("host-pressure") and pressure() < CALM), 40)
    except Failure as e:
        if pressure() < CALM and not firing("host-pressure"):
            raise
        raise Skip(f"this machine is busy with something else: tasks wait {pressure():.0f} % of the time") from e


# --- services, and who asks them ------------------------------------------------------------------

class Crowd:
    """Healthy services, there while any case wants them. As many as let six others be ill without being many."""
    SIZE, PORT = 20, 19000
    lock, users = threading.Lock(), 0
    template = f"{UNIT_DIR}/crowd@.service"
    units = [f"crowd@{n}.service" for n in range(SIZE)]

    @classmethod
    def start(cls):
        write(cls.template, f"[Service]\nExecStart=/bin/sh -c 'exec /usr/bin/python3 -S -E {HTTP}/well.py "
                            f"$$(({cls.PORT} + %i))'\nLimitCORE=0\n[X-Mendd]\n{GRACE_OFF}\n")
        run("systemctl", "start", *cls.units)
        wait("the crowd answers", lambda: all(once(cls.PORT + n, "GET", "/") == 200 for n in range(cls.SIZE)))
        wait_metrics("mendd has seen it", lambda m: all(
            m.of("mendd_http_requests_total", name=u) for u in cls.units))

    @classmethod
    def stop(cls):
        run("systemctl", "stop", *cls.units)
        remove(cls.template)

    @classmethod
    @contextlib.contextmanager
    def around(cls):
        with cls.lock:
            if cls.users == 0:
                cls.start()
            cls.users += 1
        try:
            yield
        finally:
            with cls.lock:
                cls.users -= 1
                if cls.users == 0:
                    cls.stop()


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


def sick(t, stem="sick", mendd="Heal=restart", options="", service="", command=None):
    """A unit that runs the application; u.port, which is {} in `mendd` and in `command`."""
    port = port_of(t)
    u = t.unit(stem, start=False, mendd=mendd.format(port), service="Type=notify\nNotifyAccess=all\n" + service,
               command=(command or f"{SICK} --port {{}} {options}").format(port))
    u.port = port
    return u.start()


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


@contextlib.contextmanager
def unless_busy(t):
    """What fails while this machine is busy with something else has not failed."""
    wait_calm()
    machine = Machine()
    try:
        yield
    except Failure as e:
        if machine.worst < BUSY:
            raise
        raise Skip(f"this machine has become busy: tasks wait {machine.worst:.0f} % of the time: {e}") from e
    finally:
        machine.stop()
    t.say(f"tasks waited for a processor {machine.worst:.0f} % of the time at most")


def with_neighbour(function, t):
    neighbour = Neighbour(t)
    expect("the bystander's incidents", t.bystander.incidents(), [])
    function(t)
    neighbour.check()
    expect("the bystander's incidents", t.bystander.incidents(), [])


def level(name):
    """A case about levels that runs beside others, among the crowd; see above."""
    def register(function):
        @case("level: " + name, among="levels")
        def among_others(t):
            with Crowd.around(), unless_busy(t):
                with_neighbour(function, t)
        return among_others
    return register


def level_of_host(name, makes_it_busy=False):
    """A case about levels and all of the host, which runs alone."""
    def register(function):
        @case("level: " + name, alone=True)
        def on_its_own(t):
            if makes_it_busy:
                wait_calm()
                with_neighbour(function, t)
            else:
                with unless_busy(t):
                    with_neighbour(function, t)
        return on_its_own
    return register


# --- what mendd makes of it -----------------------------------------------------------------------

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


def offset(incident, kind):
    """Seconds from the beginning of the trouble to the first entry of that kind."""
    found = [e["offset_usec"] / 1e6 for e in incident["timeline"] if e["kind"] == kind]
    if not found:
        raise Failure(f"nothing '{kind}' is in the timeline: {incident['timeline']}")
    return found[0]


def at(incident, kind):
    """The same, on the clock of time.monotonic()."""
    return offset(incident, kind) + incident["opened_usec"] / 1e6 - (time.time() - time.monotonic())


def stays(what, fact, seconds):
    """Asks for so long whether it is still true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not fact():
            raise Failure(f"{what}: no more")
        time.sleep(0.2)


def wait_restarted(u, deadline=20):
    """mendd has restarted it, and the incident is closed."""
    def fact():
        m = u.mendd()
        if m["NRestarts"]["mendd"] != 1 or m["IncidentOpen"]:
            raise Failure(f"{m['NRestarts']}, {m['HealingState']}, refusal {m['Refusal']}, {m['HealthReason']}")
        return u.incident()
    i = wait(f"{u.name}: restarted by mendd, and verified", fact, deadline)
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
