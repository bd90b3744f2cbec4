# SPDX-License-Identifier: LGPL-2.1-or-later
"""What mendd says of a unit's HTTP, to be compared with the truth: what clients saw, and what the server wrote down.

Everything is compared exactly. A count that has not come yet may come within the deadline; one too many fails,
also if it comes a moment later: the page that agrees was made after the traffic had ended (it is kept for a tenth
of a second).
"""
import collections
import re
import time

from harness import RUN, Failure, Skip, expect, metrics, remove, wait

HTTP = "/opt/mendd-tests/http"
LABEL = re.compile(r'(\w+)="([^"]*)"')
PAGE_AGE = 0.15  # seconds that a page of the metrics may be old, and a little more
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE")
FIRST, DURATION, QUEUE = ("mendd_http_first_byte_seconds", "mendd_http_request_duration_seconds",
                          "mendd_http_queue_seconds")
Counts = collections.Counter


def key(method, status):
    """A request as mendd names it: few methods have a name of their own."""
    return (method if method in METHODS else "_OTHER", str(status))


def without_zeros(counts):
    return {k: int(v) for k, v in counts.items() if v}


class Seen:
    """mendd's view of one unit at one moment."""

    def __init__(self, name):
        self.requests, self.incomplete, self.untracked = Counts(), Counts(), Counts()
        self.numbers = Counts()  # outgoing, in_flight
        self.samples, self.seconds = Counts(), Counts()  # histograms: how many, and their sum
        self.buckets = {}  # histogram → {le: cumulative count, all classes}
        page = metrics()
        if not page.get('mendd_collector_up{collector="http"}'):
            raise Skip("mendd does not measure HTTP on this kernel")
        for text, value in page.items():
            family, _, labels = text.partition("{")
            if family.startswith("mendd_http_"):
                labels = dict(LABEL.findall(labels))
                if labels.pop("name", None) == name:
                    self.take(family, labels, value)

    def take(self, family, labels, value):
        if family == "mendd_http_requests_total":
            self.requests[(labels["method"], labels["code"])] += value
        elif family == "mendd_http_incomplete_requests_total":
            self.incomplete[labels["reason"]] += value
        elif family == "mendd_http_untracked_connections_total":
            self.untracked[labels["reason"]] += value
        elif family == "mendd_http_outgoing_requests_total":
            self.numbers["outgoing"] += value
        elif family == "mendd_http_requests_in_flight":
            self.numbers["in_flight"] += value
        elif family == "mendd_http_oldest_request_age_seconds":
            self.numbers["oldest"] = value
        elif family.endswith("_count"):
            self.samples[family[:-len("_count")]] += value
        elif family.endswith("_sum"):
            self.seconds[family[:-len("_sum")]] += value
        elif family.endswith("_bucket"):
            buckets = self.buckets.setdefault(family[:-len("_bucket")], Counts())
            buckets[float(labels["le"])] += value

    def bucket(self, family, le):
        return self.buckets.get(family, {}).get(le, 0)


def grown(before, now):
    return without_zeros(Counts({k: v - before[k] for k, v in now.items()}))


def difference(got, wanted):
    if not isinstance(got, dict):
        return f"{got} instead of {wanted}"
    keys = [k for k in {**wanted, **got} if got.get(k, 0) != wanted.get(k, 0)]
    return ", ".join(f"{' '.join(k) if isinstance(k, tuple) else k} {got.get(k, 0)} instead of {wanted.get(k, 0)}"
                     for k in keys)


class Truth:
    """Watches one unit from now on. Nobody may touch it: neither its main process nor its invocation changes."""

    def __init__(self, u):
        self.u, self.before, self.identity = u, Seen(u.name), u.identity()

    def check(self, requests=None, incomplete=None, untracked=None, outgoing=0, in_flight=0, clocks=True,
              restarted=False):
        """
        Waits until mendd agrees, and returns what it says. requests: {(method, status): how many}. clocks: each
        answered request is in every histogram (where nothing has gone wrong on the way).
        """
        requests = Counts({key(*k): n for k, n in (requests or {}).items()} if not isinstance(requests, Counts)
                          else fold(requests))
        answered = sum(requests.values())
        wanted = {"requests": without_zeros(requests), "incomplete": without_zeros(incomplete or {}),
                  "untracked": without_zeros(untracked or {}), "outgoing": outgoing, "in flight": in_flight}
        if clocks and not incomplete and not untracked and not in_flight:
            wanted["clocks"] = {FIRST: answered, DURATION: answered, QUEUE: answered} if answered else {}
        begin = time.monotonic()

        def fact():
            seen = Seen(self.u.name)
            got = self.since(seen)
            wrong = [f"{k}: {difference(got[k], v)}" for k, v in wanted.items() if got[k] != v]
            if wrong:
                raise Failure("; ".join(wrong))
            return seen if time.monotonic() > begin + PAGE_AGE else None
        seen = wait(f"{self.u.name}: mendd agrees with the truth", fact, 6)
        if not restarted:
            expect(f"{self.u.name}: main process and invocation", self.u.identity(), self.identity)
        return seen

    def since(self, seen):
        """What has happened since then, in the words of check()."""
        return {"requests": grown(self.before.requests, seen.requests),
                "incomplete": grown(self.before.incomplete, seen.incomplete),
                "untracked": grown(self.before.untracked, seen.untracked),
                "outgoing": int(seen.numbers["outgoing"] - self.before.numbers["outgoing"]),
                "in flight": int(seen.numbers["in_flight"]),
                "clocks": {k: n for k, n in grown(self.before.samples, seen.samples).items()
                           if k in (FIRST, DURATION, QUEUE)}}

    def seconds(self, seen, family):
        return seen.seconds[family] - self.before.seconds[family]

    def bucket(self, seen, family, le):
        return int(seen.bucket(family, le) - self.before.bucket(family, le))


def fold(tally):
    """A client's tally in mendd's words: several methods may have become _OTHER."""
    folded = Counts()
    for k, n in tally.items():
        folded[key(*k)] += n
    return folded


def port_of(t):
    """A port that is this case's alone; so is the one after it."""
    t.ports = getattr(t, "ports", 0) + 2
    return 20000 + 40 * t.number + t.ports


def http_unit(t, stem="http", options="", service="", start=True, mendd="", server="server.py", unit=""):
    """A unit that runs http/server.py; u.port, u.log."""
    port = port_of(t)
    name = t.unit_name(stem)
    log = f"{RUN}/{name}.requests"
    t.cleanup(remove, log)
    u = t.unit(stem, start=False, mendd=mendd, unit=unit, service="Type=notify\n" + service,
               command=f"/usr/bin/python3 -S -E {HTTP}/{server} --log {log} --port {port} {options}")
    u.port, u.log = port, log
    if start:
        u.start()
    return u


def server_says(u):
    """The server's own account: {(method, status): how many}."""
    try:
        with open(u.log, encoding="ascii") as f:
            return Counts((m, int(s)) for m, s in (line.split() for line in f))
    except FileNotFoundError:
        return Counts()


def expect_server(u, tally):
    """The truth is one: what the clients saw is what the server wrote down."""
    wait(f"{u.name}: the server's log says the same as the clients", lambda: _same(server_says(u), tally), 3)


def _same(said, tally):
    if said != tally:
        raise Failure(f"{without_zeros(said)} instead of {without_zeros(tally)}")
    return True
