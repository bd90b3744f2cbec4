# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP itself, trap by trap: each case sends exactly the segments it is about to a server that answers as it is told,
and compares mendd's counts with what came back. Most connections are used again afterwards: whoever has lost its
place in the stream shows it there."""
import time

from harness import SLOW, case, expect, wait
from http_client import MAPPED, V4, V6, Client, message, once
from http_truth import DURATION, FIRST, QUEUE, Counts, Seen, Truth, expect_server, http_unit

WAYS = (V4, V6, MAPPED)


class Talk:
    """A server, the truth about it, and a client on a connection that is kept."""

    def __init__(self, t, options="", **more):
        self.u = http_unit(t, options=options, **more)
        self.truth, self.tally = Truth(self.u), Counts()
        self.port = self.u.port

    def client(self, way=V4, **options):
        return Client(self.port, way, self.tally, **options)

    def check(self, **wanted):
        """The server's word is the clients', and mendd's is theirs."""
        expect_server(self.u, self.tally)
        return self.truth.check(self.tally, **wanted)


@case("HTTP: keep-alive, close, HTTP/1.0; IPv4, IPv6, v4-mapped")
def connections(t):
    talk = Talk(t)
    for way in WAYS:
        with talk.client(way) as c:
            for _ in range(20):
                c.ask("GET", "/status/200")
            c.ask("GET", "/status/404", close=True)
            expect("the end of the connection", c.rest(), b"")
        for method in ("GET", "HEAD", "POST"):
            with talk.client(way) as c:
                c.send(message(method, "/status/200", version="HTTP/1.0"))
                c.answer(method)
        with talk.client(way):
            pass  # no byte is no request, and no untracked connection either
    talk.check()


@case("HTTP: methods, known and unknown, and targets of every form")
def methods(t):
    talk = Talk(t)
    with talk.client() as c:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "M-SEARCH",
                       "REPORT", "GETS", "MKCOL", "VERSION-CONTROL"):
            c.ask(method, "/status/200")
            c.ask(method, "/status/500")
        c.ask("GET", "http://lab.example/status/200")
        c.ask("GET", "HTTP://lab.example:80/status/404?x=http://y/")
        c.ask("OPTIONS", "*")
        c.ask("GET", "/status/200?" + "q" * 2000)
        c.ask("GET", "/status/200?a=%20%0d%0aGET%20/")
    talk.check()


@case("HTTP: every status that is known, and some that are not")
def codes(t):
    talk = Talk(t)
    odd = {299, 419, 599, 799, 999}  # no name of their own: "other" or the like, but counted
    with talk.client() as c:
        for status in (200, 201, 202, 206, 207, 226, 300, 302, 303, 305, 307, 308, 400, 401, 403, 405, 418, 429, 431,
                       451, 499, 501, 502, 503, 504, 511, 520):
            c.ask("GET", f"/status/{status}")
        talk.check()
        for status in odd:
            c.ask("GET", f"/status/{status}")
        expect_server(talk.u, talk.tally)
        named = sum(n for (_, s), n in talk.tally.items() if s not in odd)
        wait("those without a name are counted too", lambda: sum(
            talk.truth.since(Seen(talk.u.name))["requests"].values()) == named + len(odd), 6)


@case("HTTP: pipelining, also of more requests than are kept apart")
def pipelining(t):
    talk = Talk(t)
    with talk.client() as c:
        c.send(b"".join(message("GET", "/status/200") for _ in range(3)))
        c.answers(*["GET"] * 3)
        c.send(b"".join(message("GET", f"/status/{s}") for s in [200, 404] * 25))
        c.answers(*["GET"] * 50)
        # Two and a half requests in a segment, and the rest in the next one.
        data = b"".join(message("POST", "/status/200", body=b"GET / HTTP/1.1\r\n\r\n") for _ in range(4))
        c.send(data[:len(data) * 5 // 8], data[len(data) * 5 // 8:])
        c.answers(*["POST"] * 4)
    talk.check()


@case("HTTP: pipelining of mixed methods, HEAD among them")
def pipelining_mixed(t):
    talk = Talk(t)
    with talk.client() as c:
        for n in (2, 8, 20):  # the answer to a HEAD has a length and no body: its request must be known
            order = [("GET", "HEAD", "POST", "HEAD", "DELETE")[i % 5] for i in range(n)]
            c.send(b"".join(message(m, "/status/200") for m in order))
            c.answers(*order)
            c.ask("GET", "/status/404")
    talk.check()


def cut_everywhere(t, data, method, then=b""):
    """The request in two segments, cut behind each byte, a connection each."""
    talk = Talk(t)
    for i in range(1, len(data)):
        with talk.client(WAYS[i % 3]) as c:
            c.send(data[:i], data[i:])
            c.answer(method)
            c.ask("GET", "/status/404")  # it has not lost its place
    talk.check()
    t.say(f"{len(data) - 1} cuts")


@case("HTTP: a head cut behind every byte")
def cut_head(t):
    cut_everywhere(t, message("GET", "/status/200", "User-Agent: one that cuts", "Accept: */*",
                              "X-Content-Length: 77", "Cookie: a=b"), "GET")


@case("HTTP: a request with a Content-Length cut behind every byte")
def cut_length(t):
    cut_everywhere(t, message("POST", "/status/500", "Accept: */*", body=b"GET /no HTTP/1.1\r\n\r\n"), "POST")


@case("HTTP: a chunked request cut behind every byte")
def cut_chunked(t):
    cut_everywhere(t, message("PUT", "/status/204", chunks=(b"PUT /no HTTP/1.1\r\n\r\n", b"1")), "PUT")


@case("HTTP: an answer cut behind every byte, and one byte a segment")
def cut_answer(t):
    talk = Talk(t)
    with talk.client() as c:
        for i in range(1, len(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nas asked\n")):
            c.ask("GET", f"/cut/{i}")
        c.ask("GET", "/drip")
        c.ask("GET", "/status/404")
    talk.check()


@case("HTTP: a request that comes byte by byte")
def slow_head(t):
    talk = Talk(t)
    for data, method in ((message("GET", "/status/200", "Accept: text/html"), "GET"),
                         (message("POST", "/status/200", chunks=(b"name=value", b"&")), "POST")):
        with talk.client() as c:
            c.send(*(bytes([b]) for b in data))
            c.answer(method)
            c.ask("DELETE", "/status/404")
    talk.check()


@case("HTTP: a slow client's head counts from its first byte, and is no request before it is whole")
def slow_client(t):
    talk = Talk(t)
    data = message("GET", "/status/200")
    with talk.client() as c:
        c.send(data[:30])
        begin = time.monotonic()
        talk.truth.check({}, in_flight=0)
        c.send(data[30:])
        c.answer()
        took = time.monotonic() - begin
    seen = talk.check()
    t.say(f"first byte after {talk.truth.seconds(seen, FIRST):.3f} s, the client took {took:.3f} s")
    expect("no later than the client saw it", talk.truth.seconds(seen, FIRST) < took + 0.05 * SLOW, True)


@case("HTTP: Expect: 100-continue")
def expect_continue(t):
    talk = Talk(t)
    with talk.client() as c:
        for body in ({"body": b"x" * 1000}, {"chunks": (b"x" * 500, b"y")}):
            data = message("POST", "/echo", "Expect: 100-continue", **body)
            head, rest = data.split(b"\r\n\r\n", 1)
            c.send(head + b"\r\n\r\n")
            expect("the interim answer", c.head(), 100)
            c.send(rest)
            c.answer("POST")
            # This one does not wait.
            expect("the final answer", (c.ask("PUT", "/status/204", "Expect: 100-continue", **body), c.interim),
                   (204, [100]))
    talk.check()


@case("HTTP: 103 early hints")
def hints(t):
    talk = Talk(t)
    with talk.client() as c:
        for path, n in (("/hints/1", 1), ("/hints/3", 3), ("/hints-joined", 1)):
            c.ask("GET", path)
            expect(f"interim answers of {path}", c.interim, [103] * n)
        c.ask("GET", "/status/404")
    talk.check()


@case("HTTP: 101, and what follows is something else")
def upgrade(t):
    talk = Talk(t)
    for follow in (b"\x81\x05hello" * 10, b"GET /status/500 HTTP/1.1\r\nHost: no\r\n\r\n"):
        for joined in (False, True):
            with talk.client() as c:
                data = message("GET", "/upgrade", "Upgrade: parrot", "Connection: Upgrade")
                c.send(*((data + follow,) if joined else (data,)))
                expect("status", c.answer(), 101)
                if not joined:
                    c.send(follow)
                expect("what the parrot says", c.take(len(follow)), follow)
                c.send(b"HTTP/1.1 200 OK\r\n\r\n")
                c.take(19)
    talk.check(untracked={"upgraded": 4})


@case("HTTP: CONNECT that is granted, and one that is not")
def connect_method(t):
    talk = Talk(t)
    with talk.client() as c:
        c.send(b"CONNECT lab.example:443 HTTP/1.1\r\nHost: lab.example:443\r\n\r\n")
        expect("not granted", c.answer("CONNECT"), 404)
        c.ask("GET", "/status/200")
    talk.check()
    with talk.client() as c:
        c.send(message("CONNECT", "/tunnel"))
        c.head()
        talk.tally[("CONNECT", 200)] += 1
        c.send(b"GET /status/500 HTTP/1.1\r\n\r\n")
        c.take(28)
    talk.check(untracked={"upgraded": 1})


@case("HTTP: HEAD, 204, 304: a length, and no body")
def bodiless(t):
    talk = Talk(t)
    with talk.client() as c:
        for _ in range(3):
            for method, status in (("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404), ("HEAD", 304),
                                   ("POST", 204), ("GET", 200)):
                c.ask(method, f"/status/{status}")
    talk.check()


@case("HTTP: chunked, trailers, bodies to the end of the connection")
def bodies(t):
    talk = Talk(t)
    with talk.client() as c:
        for path in ("/chunked/0", "/chunked/1", "/chunked/200", "/trailer", "/status/404", "/zero/300000/1"):
            c.ask("GET", path)
            c.ask("POST", path, chunks=[b"x" * n for n in (1, 15, 16, 255, 256, 4096, 70000)])
    for method in ("GET", "POST"):
        with talk.client() as c:
            c.ask(method, "/close")
            expect("it is all one body", c.body.count(b"HTTP/1.1 200 OK"), 3)
    talk.check()


@case("HTTP: server-sent events: in flight while they run, the first byte early")
def events(t):
    talk = Talk(t)
    milliseconds = 2500
    with talk.client() as c:
        c.send(message("GET", "/sse/%d" % milliseconds))
        expect("status", c.head(), 200)
        talk.tally[("GET", 200)] += 1
        seen = talk.check(in_flight=1, clocks=False)
        expect("first bytes, and requests that are over", (seen.samples[FIRST], seen.samples[DURATION]), (1, 0))
        expect("first byte at once", talk.truth.seconds(seen, FIRST) < 0.25 * SLOW, True)
        wait("its age is told", lambda: Seen(talk.u.name).numbers["oldest"] > 0.5)
        while c.line() != "0":
            c.take(17)
        c.line()
        c.ask("GET", "/status/404")
    seen = talk.check()
    expect("how long it ran", milliseconds / 1000 <= talk.truth.seconds(seen, DURATION), True)


@case("HTTP: sendfile of 200 MB, and the next request")
def sendfile(t):
    talk = Talk(t)
    size = 200_000_000
    for way in (V4, V6):
        with talk.client(way) as c:
            for _ in range(2):
                c.send(message("GET", f"/file/{size if way == V4 else size // 10}"))
                expect("status", c.head(), 200)
                c.skip(size if way == V4 else size // 10)
                talk.tally[("GET", 200)] += 1
            c.ask("GET", "/status/404")
    talk.check()


@case("HTTP: a large upload full of requests")
def upload(t):
    talk = Talk(t)
    text = message("GET", "/status/500") * 300_000  # 12 MB
    for body in ({"body": text}, {"chunks": [text[i:i + 70_001] for i in range(0, len(text), 70_001)]}):
        with talk.client(timeout=60) as c:
            c.ask("POST", "/status/200", **body)
            c.ask("GET", "/status/404")
    talk.check()


@case("HTTP: the answer comes before the request has ended")
def early(t):
    talk = Talk(t)
    with talk.client() as c:
        data = message("POST", "/early/413", body=b"GET / HTTP/1.1\r\n\r\n" * 100)
        for cut in (len(data) - 1700, len(data) - 1):
            c.send(data[:cut])
            c.answer("POST")
            c.send(data[cut:])
            c.ask("GET", "/status/200")
    talk.check()
    with talk.client() as c:
        c.send(data[:300].replace(b"/early", b"/refuse"))
        c.answer("POST")
        c.send(data[300:])  # it has been refused: nobody is waiting for the rest
    talk.check()


@case("HTTP: bodies that look like messages")
def look_alike(t):
    talk = Talk(t)
    with talk.client() as c:
        for body in (b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n", b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n"):
            data = message("POST", "/echo", body=body)
            c.send(data[:-len(body)], body)
            c.answer("POST")
            expect("the echo", c.body, body)
            c.send(data)
            c.answer("POST")
            data = message("POST", "/echo", chunks=(body,))
            c.send(*[x + b"\r\n" for x in data[:-2].split(b"\r\n")])  # line by line
            c.answer("POST")
    talk.check()


@case("HTTP: large heads, odd lines, leading empty lines")
def heads(t):
    talk = Talk(t)
    padding = [f"X-Padding-{i}: {'x' * 70}" for i in range(100)]
    large = message("GET", "/status/200", *padding)
    expect("more than 8 KB", len(large) > 8192, True)
    with talk.client() as c:
        c.send(large)
        c.answer()
        c.send(*(large[i:i + 1000] for i in range(0, len(large), 1000)))
        c.answer()
        c.ask("GET", "/status/200", "Cookie: " + "c" * 8000)
        c.ask("POST", "/status/200", *padding, body=b"at the end")
        for empty in (b"\r\n", b"\n", b"\r\n\r\n"):
            c.send(empty + message("GET", "/status/200"))
            c.answer()
            c.send(empty, message("GET", "/status/404"))
            c.answer()
        c.send(b"GET /status/404 HTTP/1.1\nHost: lab\nAccept: */*\n\n")
        c.answer()
        for line in ("content-LENGTH:  5 ", "Content-Length:5", "CONTENT-LENGTH:\t5"):
            c.send(message("POST", "/echo", line) + b"GET /")
            c.answer("POST")
        c.send(message("POST", "/echo", "X-Content-Length: 999", "Content-Length-X: 999", "Content-Length: 4",
                       "Content: Content-Length: 999") + b"1234")
        c.answer("POST")
        c.send(message("POST", "/echo", "transfer-ENCODING:Chunked") + b"4\r\nPOST\r\n0\r\n\r\n")
        c.answer("POST")
        c.ask("GET", "/status/200")
    talk.check()


@case("HTTP: the client resets, closes, half-closes")
def client_goes(t):
    talk = Talk(t)
    c = talk.client()
    c.send(message("GET", "/hang"))
    talk.check(in_flight=1)
    c.reset()
    talk.check(incomplete={"client_reset": 1})
    with talk.client() as c:  # says that it sends nothing more, and waits for its answer
        c.send(message("GET", "/sleep/100"))
        c.end()
        expect("status", c.answer(), 200)
        expect("the end", c.rest(), b"")
    with talk.client() as c:
        c.send(message("GET", "/status/200")[:20])  # never a request
    with talk.client() as c:
        c.send(message("GET", "/zero/20000000/0"))
        c.head()
        talk.tally[("GET", 200)] += 1
        c.reset()
    talk.check(incomplete={"client_reset": 2})
    c = talk.client()
    c.send(message("GET", "/hang") * 3)  # three are waiting
    talk.check(incomplete={"client_reset": 2}, in_flight=3)
    c.reset()
    talk.check(incomplete={"client_reset": 5})


@case("HTTP: what is answered before it is read has not waited in the queue")
def blind(t):
    talk = Talk(t)
    with talk.client() as c:
        c.ask("GET", "/blind")
        c.ask("GET", "/status/200")
        expect("it says that it has read that", c.head(), 103)
        c.ask("GET", "/status/200")
    expect("waits of less than the server's", talk.truth.bucket(talk.check(), QUEUE, 0.75), 3)


@case("HTTP: clients reset by the hundred while others take the processors")
def crowd_goes(t):
    talk, busy = Talk(t), t.unit("busy")
    for gone in (100, 200, 300):
        clients = [talk.client() for _ in range(100)]
        busy.request("crowd 600")
        for c in clients:
            c.send(message("GET", "/hang"))
        for c in clients:
            c.reset()
        talk.check(incomplete={"client_reset": gone})


@case("HTTP: the server resets, closes, stops in the middle")
def server_goes(t):
    talk = Talk(t)
    for path, status, reason in (("/reset", 0, "server_reset"), ("/drop", 0, "server_reset"),
                                 ("/half", 200, "server_reset"), ("/reset-half", 200, "server_reset")):
        with talk.client() as c:
            c.send(message("GET", path))
            if status:
                expect(f"status of {path}", c.head(), status)
                talk.tally[("GET", status)] += 1
            try:
                c.rest()
            except ConnectionResetError:
                pass
    talk.check(incomplete={"server_reset": 4})
    with talk.client() as c:  # a server may close behind an answer: whoever sends more ahead makes no errors of it
        c.send(message("GET", "/status/200", "Connection: close") + message("GET", "/status/404") * 2)
        expect("status", c.answer(), 200)
        try:
            c.rest()
        except ConnectionResetError:
            pass
    with talk.client() as c:  # nor does who sends more while it answers
        c.send(message("GET", "/zero/1000/1000", "Connection: close"))
        expect("status", c.head(), 200)
        talk.tally[("GET", 200)] += 1
        c.send(message("GET", "/status/404"))
        try:
            c.rest()
        except ConnectionResetError:
            pass
    with talk.client() as c:  # but this one came after an answer, behind which it did not close
        c.ask("GET", "/status/200")
        c.send(message("GET", "/drop"))
        c.rest()
    talk.check(incomplete={"server_reset": 5, "sent_ahead": 3})


@case("HTTP: the server is killed with requests in flight")
def server_killed(t):
    talk = Talk(t)
    waiting = [talk.client(WAYS[i % 3]) for i in range(5)]
    idle = [talk.client() for i in range(3)]
    for c in waiting:
        c.send(message("GET", "/hang"))
    for c in idle:
        c.ask("GET", "/status/200")
    talk.check(in_flight=5, clocks=False)
    t.kill(talk.u.pid)
    talk.truth.check(talk.tally, incomplete={"server_died": 5}, restarted=True)
    for c in waiting + idle:
        c.sock.close()
    talk.u.start()
    with talk.client() as c:
        c.send(message("GET", "/die"))
        try:
            c.rest()
        except ConnectionResetError:
            pass
    talk.truth.check(talk.tally, incomplete={"server_died": 6}, restarted=True)


@case("HTTP: a unit that is not asked, and one whose HTTP is not to be seen")
def not_seen(t):
    talk, idle = Talk(t), Talk(t, stem="idle")
    without = http_unit(t, stem="without", mendd="HTTP=no")
    no = Truth(without)
    once(talk.port, "GET", "/status/200", tally=talk.tally)
    once(without.port, "GET", "/status/200")
    talk.check()
    idle.check()
    no.check({})
    expect("mendd's view of the bystander", Seen(t.bystander.name).requests, Counts())
