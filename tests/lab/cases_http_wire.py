# SPDX-License-Identifier: LGPL-2.1-or-later
"""What real networks do to TCP, made by hand: the programs in the kernel run before TCP has looked at a segment, and
see duplicates, bytes that come twice, segments in any order and such as TCP throws away. Whatever comes, each request
that the server has answered is counted, once."""
import struct
import time

from harness import case, expect, run, wait
from http_client import message
from http_truth import DURATION, FIRST, Counts, Seen, Truth, expect_server, http_unit
from wire import DESTINATION, FIN, HOP_BY_HOP, PSH, ACK, Wire

GET = message("GET", "/status/200", "User-Agent: made by hand")
MISSING = message("GET", "/status/404")
POST = message("POST", "/status/200", body=b"GET / HTTP/1.1\r\n\r\n" * 5)


class Bench:
    """A server, a wire to it, and what the client by hand has got answered."""

    def __init__(self, t, options=""):
        self.u, self.wire = http_unit(t, options=options), Wire(t)
        self.truth, self.tally = Truth(self.u), Counts()

    def flow(self, **options):
        return self.wire.flow(self.u, **options)

    def flows(self):
        """One of each protocol, connected."""
        return [self.flow().connect(), self.flow(v6=True).connect()]

    def got(self, flow, *methods):
        for method in methods or ("GET",):
            self.tally[(method, flow.answer())] += 1

    def then(self, flow):
        """Another request on this connection, and its end: nothing has lost its place."""
        flow.send(MISSING)
        self.got(flow)
        flow.close()

    def check(self, **wanted):
        expect_server(self.u, self.tally)
        return self.truth.check(self.tally, **wanted)


@case("wire: a plain conversation by hand, on IPv4 and IPv6")
def plain(t):
    b = Bench(t)
    for f in b.flows():
        for _ in range(3):
            f.send(GET)
            b.got(f)
        f.send(POST)
        b.got(f, "POST")
        b.then(f)
    b.check()


@case("wire: every segment of a request comes three times")
def duplicates(t):
    b = Bench(t)
    for f in b.flows():
        for _ in range(3):
            for part in (GET[:20], GET[20:50], GET[50:]):
                f.put(part)
                f.put(part)
                f.send(part)
            b.got(f)
            f.put(GET, offset=-len(GET))  # and once more when it has been answered
        for part in (POST[:-50], POST[-50:]):
            f.put(part)
            f.send(part)
        b.got(f, "POST")
        b.then(f)
    b.check()


@case("wire: retransmissions that overlap with new bytes")
def overlaps(t):
    b = Bench(t)
    for f in b.flows():
        f.send(GET[:60])
        f.put(GET[40:], offset=-20)
        f.sequence += len(GET) - 60
        b.got(f)
        # All of the last request again, with a new one behind it.
        f.put(GET + MISSING, offset=-len(GET))
        f.sequence += len(MISSING)
        b.got(f)
        # The end of a head again, with its body and the next request.
        head = len(POST) - 90
        f.send(POST[:head])
        f.put(POST[head - 10:] + GET, offset=-10)
        f.sequence += 90 + len(GET)
        b.got(f, "POST", "GET")
        # In the middle of a body.
        f.send(POST[:-40])
        f.put(POST[-60:] + MISSING[:10], offset=-20)
        f.sequence += 40 + 10
        f.send(MISSING[10:])
        b.got(f, "POST", "GET")
        b.then(f)
    b.check()


@case("wire: the two halves of a head are swapped")
def swapped_head(t):
    b = Bench(t)
    for f in b.flows():
        f.put(GET[40:], offset=40)
        f.send(GET[:40])
        f.sequence += len(GET) - 40
        b.got(f)
        b.then(f)
    b.check()


@case("wire: a head's halves are swapped on a connection that has been used, and the first one comes again")
def swapped_later(t):
    b = Bench(t)
    for f in b.flows():
        f.send(MISSING)
        b.got(f)
        f.put(GET[40:], offset=40)
        f.put(GET)  # the sender has lost patience and sends all of it
        f.sequence += len(GET)
        b.got(f)
        b.then(f)
    b.check()


@case("wire: segments of bodies are swapped")
def swapped_body(t):
    b = Bench(t)
    body = GET * 20
    long = message("POST", "/status/200", body=body)
    head = len(long) - len(body)
    chunked = message("PUT", "/status/200", chunks=(body,))
    for f in b.flows():
        for data, method, at in ((long, "POST", head), (chunked, "PUT", 120)):
            third = (len(data) - at - 100) // 3
            cuts = [at, at + third, at + 2 * third, len(data) - 60]
            parts = [(x, data[x:y]) for x, y in zip(cuts, cuts[1:])]
            f.put(data[:at])
            for x, part in (parts[2], parts[0], parts[1]):
                f.put(part, offset=x)
            f.put(data[cuts[3]:], offset=cuts[3])
            f.sequence += len(data)
            b.got(f, method)
        b.then(f)
    b.check()


@case("wire: the second request comes before the first one")
def swapped_requests(t):
    b = Bench(t)
    for f in b.flows():
        f.put(MISSING, offset=len(GET))
        f.send(GET)
        f.sequence += len(MISSING)
        b.got(f, "GET", "GET")
        b.then(f)
    b.check()


@case("wire: a request on the ACK that completes the handshake")
def on_handshake(t):
    b = Bench(t)
    for v6 in (False, True):
        f = b.flow(v6=v6).connect(data=GET)
        b.got(f)
        b.then(f)
        f = b.flow(v6=v6).connect(data=GET[:30])
        f.send(GET[30:])
        b.got(f)
        b.then(f)
        f = b.flow(v6=v6).connect(data=GET + MISSING)
        b.got(f, "GET", "GET")
        b.then(f)
        # The ACK comes twice; the second one finds a connection.
        f = b.flow(v6=v6).connect(data=GET)
        f.put(GET, offset=-len(GET))
        b.got(f)
        b.then(f)
        # The bare ACK gets lost, and so does its data at first.
        f = b.flow(v6=v6)
        f.syn()
        b.wire.pump("the handshake", lambda f=f: f.established)
        f.put(GET[30:], offset=30)
        f.put(GET)
        f.sequence += len(GET)
        b.got(f)
        b.then(f)
    b.check()


@case("wire: a request on the SYN (fast open)")
def on_syn(t):
    run("sysctl", "-q", "-w", "net.ipv4.tcp_fastopen=3")
    b = Bench(t, "--fastopen")
    for v6 in (False, True):
        f = b.flow(v6=v6).connect(options=bytes([34, 2]))
        cookie = f.cookie
        expect("a cookie was given", len(cookie) >= 4, True)
        b.then(f)
        for data in (GET, GET + MISSING, GET[:25]):
            f = b.flow(v6=v6)
            f.cookie = cookie
            begin = f.sequence
            f.connect(on_syn=data)
            expect("bytes of the SYN that were taken", f.sequence - begin - 1, len(data))
            if data == GET[:25]:
                f.send(GET[25:])
            b.got(f, *["GET"] * (2 if len(data) > len(GET) else 1))
            b.then(f)
        # The SYN comes again, although its data has been taken.
        f = b.flow(v6=v6)
        f.cookie, begin = cookie, f.sequence
        f.connect(on_syn=GET)
        f.sequence, end = begin, f.sequence
        f.syn(GET)
        f.sequence = end
        b.got(f)
        b.then(f)
        # A cookie that is not right: the data does not count, and comes again behind the handshake.
        f = b.flow(v6=v6)
        f.cookie = bytes(len(cookie))
        begin = f.sequence
        f.connect(on_syn=GET)
        expect("bytes of the SYN that were taken", f.sequence - begin - 1, 0)
        f.send(GET)
        b.got(f)
        b.then(f)
    b.check()


@case("wire: IPv6 with extension headers, IPv4 and TCP with options")
def headers(t):
    b = Bench(t)
    router_alert = bytes([148, 4, 0, 0])
    timestamps = struct.pack("!BBBBII", 1, 1, 8, 10, 1, 0)
    for options in ({"v6": True, "extensions": ((HOP_BY_HOP, 8),)},
                    {"v6": True, "extensions": ((DESTINATION, 8),)},
                    {"v6": True, "extensions": ((HOP_BY_HOP, 16), (DESTINATION, 64))},
                    {"v6": True, "extensions": ((DESTINATION, 256),)},
                    {"v6": True, "extensions": ((HOP_BY_HOP, 8), (DESTINATION, 8), (DESTINATION, 16))},
                    {"ip_options": b"\1\1\1"}, {"ip_options": router_alert}, {"ip_options": b"\1" * 40},
                    {"tcp_options": timestamps}, {"tcp_options": b"\1" * 32},
                    {"ip_options": b"\1" * 12, "tcp_options": timestamps}):
        f = b.flow(**options).connect()
        f.send(GET)
        b.got(f)
        f.send(POST[:50])
        f.send(POST[50:])
        b.got(f, "POST")
        b.then(f)
        f = b.flow(**options).connect(data=GET)
        b.got(f)
        b.then(f)
    b.check()


@case("wire: IP fragments of a request")
def fragments(t):
    b = Bench(t)
    for f in b.flows():
        f.send(GET, fragments=48)
        b.got(f)
        f.send(POST + GET, fragments=64)
        b.got(f, "POST", "GET")
        b.then(f)
    b.check()


@case("wire: sequence numbers that wrap around within a request")
def wrap(t):
    b = Bench(t)
    for v6 in (False, True):
        for before in (1, 10, len(GET) - 1, len(GET), len(GET) + 40, len(GET) + len(POST) - 30):
            f = b.flow(v6=v6, first=(1 << 32) - 1 - before).connect()
            f.send(GET[:10])
            f.send(GET[10:])
            f.put(GET, offset=-len(GET))
            b.got(f)
            f.send(POST)
            b.got(f, "POST")
            b.then(f)
    b.check()


@case("wire: the client's window is closed for a while in the middle of an answer")
def zero_window(t):
    b = Bench(t)
    pause = 0.6
    f = b.flow()
    f.window = 4000
    f.connect()
    f.send(message("GET", "/zero/60000/0"))
    n = f.head()
    b.tally[("GET", f.status)] += 1
    f.window = 0
    f.acknowledge()
    seen = b.check(in_flight=1, clocks=False)
    expect("first bytes, and requests that are over", (seen.samples[FIRST], seen.samples[DURATION]), (1, 0))
    begin = time.monotonic()
    b.wire.pump("it asks again for a window", lambda: time.monotonic() > begin + pause, pause + 5)
    f.window = 65535
    f.acknowledge()
    b.wire.pump("the rest", lambda: len(f.data) >= n)
    f.data = b""
    b.then(f)
    seen = b.check()
    expect("the pause is in the duration", b.truth.seconds(seen, DURATION) >= pause, True)
    expect("and not in the first byte", b.truth.seconds(seen, FIRST) < pause, True)


@case("wire: the server has to send its answer again")
def repeated_answer(t):
    b = Bench(t)
    for f in b.flows():
        f.acknowledges = False
        f.send(message("GET", "/zero/3000/0"))
        b.got(f)
        b.wire.pump("it sends again", lambda f=f: f.repeated >= 2, 10)
        f.acknowledges = True
        f.acknowledge()
        b.then(f)
    b.check()


@case("wire: RST before the answer, in its middle, and one that is no valid one")
def resets(t):
    b = Bench(t)
    for n, f in enumerate(b.flows()):
        f.send(message("GET", "/hang"))
        b.truth.check(b.tally, incomplete={"client_reset": 2 * n}, in_flight=1, clocks=False)
        f.reset()
        b.check(incomplete={"client_reset": 2 * n + 1})
        f = b.flow(v6=f.v6)
        f.window = 3000
        f.connect()
        f.send(message("GET", "/zero/60000/0"))
        f.head()
        b.tally[("GET", f.status)] += 1
        f.reset()
        b.check(incomplete={"client_reset": 2 * n + 2})
    for f in b.flows():
        f.send(GET)
        b.got(f)
        f.send(message("GET", "/sleep/100"))
        f.reset(offset=1 << 30)  # far outside of the window: TCP does not believe it
        b.got(f)
        b.then(f)
    b.check(incomplete={"client_reset": 4})


@case("wire: segments that TCP throws away")
def thrown_away(t):
    b = Bench(t)
    for f in b.flows():
        f.put(POST, offset=1 << 30)  # outside of the window
        f.put(POST, offset=-(1 << 30))
        f.put(GET, wrong=True)  # a wrong checksum: the sender will send it again
        f.send(GET)
        b.got(f)
        f.put(b"X", offset=-1)  # what some systems send to ask whether one is there
        f.put(b"", ACK, offset=-1)
        f.send(GET)
        b.got(f)
        b.then(f)
    b.check()


@case("wire: FIN with the request, and before it")
def fin(t):
    b = Bench(t)
    for v6 in (False, True):
        f = b.flow(v6=v6).connect()
        f.put(GET, PSH | ACK | FIN)
        f.sequence += len(GET) + 1
        b.got(f)
        b.wire.pump("its FIN", lambda f=f: f.finished)
        f = b.flow(v6=v6).connect()
        f.close()  # not a word
        f = b.flow(v6=v6).connect()
        f.put(b"", ACK | FIN, offset=len(GET))  # overtakes the data
        f.put(GET)
        f.sequence += len(GET) + 1
        b.got(f)
        b.wire.pump("its FIN", lambda f=f: f.finished)
    b.check()


@case("wire: the same port again, connection after connection")
def same_port(t):
    b = Bench(t)
    for i in range(5):
        b.wire.ports = 45000
        f = b.flow(first=100_000 * i).connect()
        f.send(GET)
        b.got(f)
        f.send(message("GET", "/status/404", close=True))
        b.got(f)
        b.wire.pump("its FIN", lambda f=f: f.finished)
        f.close()
    b.check()


@case("wire: another request when the server has closed is no error of it")
def after_the_end(t):
    b = Bench(t)
    for f in b.flows():
        f.acknowledges = False  # else its side of the connection may be forgotten at once
        f.send(message("GET", "/close"))
        b.got(f)
        b.wire.pump("its FIN", lambda f=f: f.finished)
        f.send(MISSING)
        b.wire.pump("a reset", lambda f=f: f.was_reset)
    seen = b.check(incomplete={"sent_ahead": 2})
    expect("clocks", {k: seen.samples[k] for k in (FIRST, DURATION)}, {FIRST: 2, DURATION: 2})


@case("wire: a client that is never heard of again")
def vanished(t):
    b = Bench(t)
    f = b.flow().connect()
    f.send(message("GET", "/keepalive"))
    b.wire.pump("it asks whether we are there", lambda: f.probes, 5)
    wait("it gives us up", lambda: b.truth.since(Seen(b.u.name))["incomplete"], 8)
    b.check(incomplete={"timed_out": 1})
