# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real servers, real clients: what mendd counts is exactly what the clients saw, by method and by status."""
import re

from harness import Failure, case, expect, run, wait
from http_client import V4, Client
from http_servers import SERVERS
from http_truth import Counts, Seen, Truth, expect_server

SMALL, LARGE = b"name=value&other=thing", b"x" * 4000
# method, status that is asked for, what goes with it. (A server that cannot do it says what it says.)
MIX = (
    ("GET", 200, {}), ("GET", 204, {}), ("GET", 301, {}), ("GET", 304, {}), ("GET", 404, {}), ("GET", 500, {}),
    ("GET", 200, {}), ("HEAD", 200, {}), ("HEAD", 404, {}), ("GET", 200, {}),
    ("POST", 200, {"body": SMALL}), ("POST", 500, {"body": SMALL}), ("POST", 204, {"body": b""}),
    ("POST", 200, {"chunks": (b"a", SMALL, b"GET / HTTP/1.1\r\n\r\n")}),
    ("PUT", 204, {"body": SMALL}), ("PUT", 200, {"chunks": (SMALL,)}), ("GET", 200, {}),
    ("DELETE", 204, {}), ("DELETE", 404, {}), ("OPTIONS", 200, {}), ("PATCH", 200, {"body": SMALL}),
    ("PROPFIND", 404, {}), ("GET", 500, {}),
)


class Connection:
    """Keeps a connection as long as the server does, and then makes another one."""

    def __init__(self, port, way, tally):
        self.port, self.way, self.tally, self.client = port, way, tally, None

    def ask(self, method, path, **options):
        if self.client and self.client.closed_by_server:
            self.close()
        self.client = self.client or Client(self.port, self.way, self.tally)
        return self.client.ask(method, path, **options)

    def close(self):
        if self.client:
            self.client.sock.close()
        self.client = None


def mix(server, u, tally):
    for way in server.ways:
        for close in (False, True):
            c = Connection(u.port, way, tally)
            for method, status, options in MIX:
                c.ask(method, server.path.format(status), close=close, **options)
                if close:
                    c.close()
            if server.large:
                c.close()
                c.ask("POST", server.large, body=LARGE)
            c.close()


def curl(server, u, tally):
    """One curl, several transfers: it uses its connection again where it may."""
    port, host = (u.port, "127.0.0.1") if V4 in server.ways else (u.port + 1, "[::1]")
    arguments = []
    for method, status, more in (("GET", 200, ()), ("GET", 404, ()), ("HEAD", 200, ("--head",)),
                                 ("POST", 200, ("--data", "a=b")), ("PUT", 204, ("--request", "PUT")),
                                 ("GET", 200, ("--http1.0",)), ("DELETE", 500, ("--request", "DELETE")),
                                 ("GET", 200, ("--header", "Connection: close")), ("GET", 304, ())):
        arguments += ["--next", "--silent", "--output", "/dev/null", "--write-out", f"{method} %{{http_code}}\\n",
                      *more, f"http://{host}:{port}{server.path.format(status)}"]
    for line in run("curl", *arguments[1:]).split("\n")[:-1]:
        method, status = line.split()
        tally[(method, int(status))] += 1


def number(pattern, text, default=None):
    found = re.search(pattern, text, re.M)
    if not found:
        if default is None:
            raise Failure(f"'{pattern}' is not in: {text.strip()[-600:]}")
        return default
    return int(found.group(1))


def ab(server, u, tally, n, *options):
    port = u.port if V4 in server.ways else u.port + 1
    text = run("ab", "-q", "-n", str(n), "-c", "4", *options, f"http://127.0.0.1:{port}{server.light}")
    expect("requests that ab saw answered", number(r"^Complete requests:\s+(\d+)", text), n)
    expect("answers that were no 200", number(r"^Non-2xx responses:\s+(\d+)", text, 0), 0)
    tally[("HEAD" if "-i" in options else "GET", 200)] += n


def h2load(server, u, tally, n, connections=5):
    text = run("h2load", "--h1", "-n", str(n), "-c", str(connections), "-t", "1",
               f"http://127.0.0.1:{u.port}{server.light}")
    expect("answers of 2xx that h2load saw", number(r"^status codes: (\d+) 2xx", text), n)
    tally[("GET", 200)] += n


def wrk(t, server, u):
    """It stops with requests in flight: what it saw, and at most one more for each connection."""
    connections = 4
    truth = Truth(u)
    text = run("wrk", "-t", "1", "-c", str(connections), "-d", "1s", f"http://127.0.0.1:{u.port}{server.light}")
    n = number(r"^\s*(\d+) requests in", text)

    def fact():
        seen = truth.since(Seen(u.name))
        answered = seen["requests"].get(("GET", "200"), 0)
        gone = seen["incomplete"].get("client_reset", 0)
        if seen["in flight"] or not n <= answered <= n + connections or answered + gone > n + connections or \
                set(seen["requests"]) != {("GET", "200")} or set(seen["incomplete"]) - {"client_reset"}:
            raise Failure(f"wrk saw {n} answers on {connections} connections, mendd {seen}")
        return answered
    answered = wait("mendd agrees with wrk", fact, 6)
    t.say(f"wrk saw {n}, {answered - n} more were under way when it stopped")


def compare(t, server):
    u = server.start(t)
    truth, tally = Truth(u), Counts()
    mix(server, u, tally)
    curl(server, u, tally)
    if server.path.format(1) != "/1":  # it can do what is asked
        wanted = Counts({(m, s) for m, s, _ in MIX})
        missing = set(wanted) - set(tally)
        expect("what was asked for and not given", {k for k in missing if k[0] != "PROPFIND"}, set())
    if server.large:
        expect("413 was among it", tally[("POST", 413)] > 0, True)
    ab(server, u, tally, 300)
    ab(server, u, tally, 50, "-i")
    if server.keeps:
        ab(server, u, tally, 300, "-k")
    if server.h2load:
        h2load(server, u, tally, 500)
    if server.log:
        expect_server(u, tally)
    truth.check(tally)
    t.say(f"{sum(tally.values())} requests, {len(tally)} kinds")


for s in SERVERS:
    case(f"{s.name}: counted exactly as the clients saw it")(lambda t, s=s: compare(t, s))


@case("nginx under wrk: what it saw, and what was under way when it stopped")
def nginx_wrk(t):
    server = SERVERS[0]
    u = server.start(t)
    wrk(t, server, u)


@case("nginx with 300 connections at once: not one request is missed")
def nginx_crowd(t):
    server, tally = SERVERS[0], Counts()
    u = server.start(t)
    truth = Truth(u)
    h2load(server, u, tally, 20_000, 300)
    ab(server, u, tally, 3000, "-c", "200")
    truth.check(tally)
