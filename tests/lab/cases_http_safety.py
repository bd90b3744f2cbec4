# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever passes a watched service's port, the service is untouched and mendd is up: random streams of bytes through
real sockets, of which half is HTTP. systemd's own programs at the same cgroup, which count and refuse, keep working
beside ours. And what only looks as if a service hung is no reason to restart it."""
import random
import socket
import struct
import threading
import time

from harness import Failure, case, expect, mendd_pid, run, wait
from http_client import MAPPED, V4, V6, Client, message, once
from http_servers import SERVERS
from http_truth import HTTP, Counts, Seen, Truth, expect_server, http_unit, port_of
from level import wait_alert
from wire import Wire

SEED = 20240521


# --- streams -----------------------------------------------------------------------------------------------------

def text_request(r):
    body = r.randbytes(r.randrange(400)) if r.random() < 0.3 else None
    chunks = [r.randbytes(r.randrange(1, 90)) for _ in range(r.randrange(4))] if r.random() < 0.2 else None
    return message(r.choice(("GET", "GET", "HEAD", "POST", "PUT", "PATCH", "PROPFIND")), "/" + "x" * r.randrange(90),
                   *[f"X-{i}: {'y' * r.randrange(120)}" for i in range(r.randrange(6))], body=body, chunks=chunks)


def text_answer(r):
    status = r.choice((100, 101, 103, 200, 204, 304, 404, 500, 999))
    n = r.randrange(300)
    return f"HTTP/1.{r.randrange(2)} {status} Text\r\nContent-Length: {n}\r\n\r\n".encode() + r.randbytes(n)


def spoilt(r, data):
    data = bytearray(data)
    for _ in range(r.randrange(1, 6)):
        data[r.randrange(len(data))] = r.randrange(256)
    return bytes(data)


KINDS = {
    "requests": lambda r: b"".join(text_request(r) for _ in range(r.randrange(1, 80))),
    "requests, spoilt": lambda r: spoilt(r, b"".join(text_request(r) for _ in range(r.randrange(1, 20)))),
    "answers": lambda r: b"".join(text_answer(r) for _ in range(r.randrange(1, 40))),
    "requests and answers": lambda r: b"".join(r.choice((text_request, text_answer))(r) for _ in range(40)),
    "tiny requests": lambda r: b"GET / HTTP/1.1\n\n" * r.randrange(1, 20_000),
    "tiny chunks": lambda r: message("POST", "/", chunks=()) [:-5] + b"1\r\nx\r\n" * r.randrange(1, 40_000),
    "a giant head": lambda r: b"GET / HTTP/1.1\r\nX: " + b"y" * r.randrange(60_000, 300_000) + b"\r\n\r\n" + text_request(r),
    "a giant length": lambda r: b"POST / HTTP/1.1\r\nContent-Length: 999999999999999999\r\n\r\n" + r.randbytes(100_000),
    "line feeds": lambda r: b"\n" * r.randrange(1, 200_000),
    "TLS": lambda r: b"\x16\x03\x01" + struct.pack("!H", 512) + b"\x01" + r.randbytes(r.randrange(20_000)),
    "HTTP/2": lambda r: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + r.randbytes(r.randrange(20_000)),
    "Redis": lambda r: b"*1\r\n$4\r\nPING\r\n" * r.randrange(1, 3000),
    "noise": lambda r: r.randbytes(r.randrange(1, 200_000)),
    "noise after a request": lambda r: text_request(r) + r.randbytes(r.randrange(1, 50_000)),
}


def pieces(r, data):
    """Cut in one of several ways: a few bytes each at the beginning, anywhere, or not at all."""
    way, at = r.randrange(3), 0
    while at < len(data):
        n = len(data) if way == 0 else r.randrange(1, 12) if way == 1 and at < 200 else r.randrange(1, 40_000)
        yield data[at:at + n]
        at += n


class Visitor(threading.Thread):
    """Sends streams of all kinds, one connection each, and looks at what comes back."""

    def __init__(self, port, seed, rounds, echoes):
        super().__init__()
        self.port, self.r, self.rounds, self.echoes = port, random.Random(seed), rounds, echoes
        self.problem, self.sent = "", 0

    def run(self):
        try:
            for _ in range(self.rounds):
                for kind in self.r.sample(sorted(KINDS), len(KINDS)):
                    self.visit(kind, KINDS[kind](self.r))
        except (OSError, Failure) as e:
            self.problem = f"{e!r}"

    def visit(self, kind, data):
        with Client(self.port, self.r.choice((V4, V6, MAPPED))) as c:
            reader = threading.Thread(target=self.read, args=(c, kind, data))
            leaves = self.r.random() < 0.15
            if not leaves:
                reader.start()
            try:
                for piece in pieces(self.r, data[:len(data) // 2] if leaves and len(data) < 30_000 else data[:30_000]
                                    if leaves else data):
                    c.send(piece)
                    self.sent += len(piece)
                if leaves:
                    c.reset()
                    return
                c.end()
            except OSError:  # a server may say no before it has heard everything
                if self.echoes:
                    raise
            finally:
                if not leaves:
                    reader.join()

    def read(self, c, kind, data):
        try:
            got = c.rest()
        except OSError as e:
            if self.echoes:
                self.problem = f"{kind}: {e!r}"
            return
        if self.echoes and got != data:
            self.problem = f"{kind}: {len(data)} bytes have come back as {len(got)} others"


def visit(t, u, rounds, echoes):
    visitors = [Visitor(u.port, SEED + i, rounds, echoes) for i in range(4)]
    for v in visitors:
        v.start()
    for v in visitors:
        v.join()
    t.say(f"seed {SEED}: {sum(v.sent for v in visitors)} bytes in {4 * rounds * len(KINDS)} connections")
    for v in visitors:
        expect("what went wrong", v.problem, "")


def caught_up(u, truth):
    """mendd's page is newer than all that has been: it has a request that nobody else makes."""
    once(u.port, "DELETE", "/status/404")
    wait("mendd has seen the last request", lambda: truth.since(Seen(u.name))["requests"].get(("DELETE", "404")))


def nothing_is_left(u, truth):
    """All connections have ended, and mendd knows: nothing is in flight."""
    wait("nothing is in flight", lambda: Seen(u.name).numbers["in_flight"] == 0)
    expect("the service's main process and invocation", u.identity(), truth.identity)
    u.wait_mendd(Health="healthy")


@case("HTTP safety: an echo service gets random streams: each byte comes back, nothing stays in flight")
def echo(t):
    port, pid = port_of(t), mendd_pid()
    u = t.unit("echo", start=False, mendd="Heal=restart", service="Type=notify",
               command=f"/usr/bin/python3 -S -E {HTTP}/echo.py --port {port}")
    u.port = port
    u.start()
    truth = Truth(u)
    visit(t, u, 3, True)
    with Client(port) as c:  # the last one of all
        c.send(b"\x16\x03\x01\x02\x00")
        wait("all connections of TLS are told", lambda: truth.since(Seen(u.name))["untracked"].get("tls") == 13)
    nothing_is_left(u, truth)
    expect("mendd's main process", mendd_pid(), pid)
    seen = truth.since(Seen(u.name))
    t.say(f"untracked: {dict(seen['untracked'])}")
    for reason in ("http2", "not_http"):
        expect(f"connections that are said to be {reason}", seen["untracked"].get(reason, 0) > 0, True)


@case("HTTP safety: nginx gets random streams, and then answers as before")
def nginx(t):
    pid = mendd_pid()
    u = next(s for s in SERVERS if s.name == "nginx").start(t)
    truth = Truth(u)
    workers = run("pgrep", "-P", str(u.pid))
    visit(t, u, 2, False)
    caught_up(u, truth)
    nothing_is_left(u, truth)
    expect("nginx' workers", run("pgrep", "-P", str(u.pid)), workers)
    expect("mendd's main process", mendd_pid(), pid)
    after, tally = Truth(u), Counts()
    with Client(u.port, V4, tally) as c:
        for status in (200, 404, 500) * 5:
            c.ask("GET", f"/status/{status}")
    after.check(tally, clocks=False)


# --- systemd's own programs ------------------------------------------------------------------------------------------

@case("HTTP safety: IPAddressDeny=any and IPAddressAllow=: who is denied stays outside, who is allowed is counted")
def allow(t):
    u = http_unit(t, service="IPAccounting=yes\nIPAddressDeny=any\nIPAddressAllow=127.0.0.0/8 ::1")
    everybody = http_unit(t, "everybody")
    wire, truth, tally = Wire(t), Truth(u), Counts()
    for v6 in (False, True):
        wire.flow(everybody, v6=v6).connect().close()  # it would get there
    before = int(u.get("IPIngressBytes"))
    denied = [wire.flow(u), wire.flow(u, v6=True)]
    for f in denied:
        f.syn()
        f.put(message("GET", "/status/200"), offset=1)  # and as if it had been let in
    for way in (V4, V6):
        for status in (200, 404, 500):
            once(u.port, "GET", f"/status/{status}", tally=tally, way=way)
        once(u.port, "POST", "/status/200", tally=tally, way=way, body=b"x" * 50_000)
    expect_server(u, tally)
    truth.check(tally)
    grew = int(u.get("IPIngressBytes")) - before
    expect(f"IPIngressBytes grew by {grew}", 100_000 < grew < 120_000, True)
    wire.take_all()
    for f in denied:
        expect("who is denied has got an answer", f.established or f.was_reset, False)


@case("HTTP safety: who is denied while it talks is heard no more; the programs of both stay attached")
def denied_later(t):
    u = http_unit(t, service="IPAccounting=yes")
    wire, truth, tally = Wire(t), Truth(u), Counts()
    f = wire.flow(u).connect()
    f.send(message("GET", "/status/200"))
    tally[("GET", f.answer())] += 1
    with Client(u.port, V4, tally) as c:
        c.ask("GET", "/status/200")
        run("systemctl", "set-property", "--runtime", u.name, f"IPAddressDeny={wire.v4}2")
        t.cleanup(run, "systemctl", "revert", u.name)
        f.send(message("GET", "/status/404"))
        for _ in range(10):
            c.ask("GET", "/status/500")
        wire.take_all()
        expect("who is denied has got an answer", f.data, b"")
        expect_server(u, tally)
        # It has reached us, and will not reach the service.
        truth.check(tally, in_flight=1, clocks=False)
        run("systemctl", "set-property", "--runtime", u.name, "IPAddressDeny=")
        f.put(message("GET", "/status/404"), offset=-len(message("GET", "/status/404")))  # it tries again
        tally[("GET", f.answer())] += 1
        c.ask("GET", "/status/200")
    f.close()
    expect_server(u, tally)
    truth.check(tally)
    expect("IPIngressBytes counts", int(u.get("IPIngressBytes")) > 1000, True)


# --- no hang ---------------------------------------------------------------------------------------------------------

def old_request(u, seconds):
    wait(f"{u.name}: a request is {seconds} s old", lambda: Seen(u.name).numbers["oldest"] >= seconds)


@case("HTTP safety: a slow upload is no hang of the server")
def slow_upload(t):
    u = http_unit(t, mendd="Heal=restart\nHangAfter=1s")
    truth, tally = Truth(u), Counts()
    once(u.port, "GET", "/status/200", tally=tally)
    data = message("POST", "/sleep/700", body=b"x" * 1000)  # and an answer that takes nearly as long as it may
    with Client(u.port, V4, tally) as c:
        c.send(data[:-900])
        begin = time.monotonic()
        old_request(u, 4)
        for at in range(900, 0, -300):
            c.send(data[-at:len(data) - at + 300])
        c.answer("POST")
        expect("it took long", time.monotonic() - begin > 3, True)
    truth.check(tally)
    expect("incidents", u.incidents(), [])


@case("HTTP safety: a request that TCP has thrown away is no hang of the server")
def thrown_away(t):
    u = http_unit(t, mendd="Heal=restart\nHangAfter=1s")
    wire, truth, tally = Wire(t), Truth(u), Counts()
    once(u.port, "GET", "/status/200", tally=tally)
    f = wire.flow(u).connect()
    f.put(message("GET", "/status/404"), acknowledge=f.expected + 100_000)  # of what was never sent
    old_request(u, 4)
    f.send(message("GET", "/status/404"))
    tally[("GET", f.answer())] += 1
    f.close()
    truth.check(tally)
    expect("incidents", u.incidents(), [])


@case("HTTP safety: a server that does not read an upload hangs")
def unread_upload(t):
    u = http_unit(t, mendd="Heal=restart\nHangAfter=1s\nVerifyFor=300ms\nBackoff=100ms..1s", options="--single")
    once(u.port, "GET", "/status/200")
    with Client(u.port) as hangs, Client(u.port) as c:
        hangs.send(message("GET", "/hang"))
        c.send(message("POST", "/status/200", body=b"x" * 100)[:-50])
        wait_alert(u, "http-hang", "firing")


@case("HTTP safety: TLS on the ACK that completes the handshake is untracked, and said to be")
def early_tls(t):
    u = http_unit(t)
    wire, truth = Wire(t), Truth(u)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)
    flows = [wire.flow(u, v6=v6).connect(data=hello) for v6 in (False, True)]
    truth.check({}, untracked={"tls": 2})
    for f in flows:
        f.reset()


def close_unread(port):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(b"GET /zero/1000000/0 HTTP/1.1\r\nHost: a\r\n\r\n" * 3)


@case("HTTP safety: clients that come and go while their answers are on the way: nothing stays in flight")
def comers_and_goers(t):
    u = http_unit(t)
    truth = Truth(u)
    for _ in range(5):
        threads = [threading.Thread(target=close_unread, args=(u.port,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    caught_up(u, truth)
    nothing_is_left(u, truth)
    after, tally = Truth(u), Counts()
    once(u.port, "GET", "/status/200", tally=tally)
    after.check(tally)
