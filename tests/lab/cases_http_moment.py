# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP: both ends of a connection act at the same moment, each on a processor of its own, where the programs of both
directions meet."""
from harness import case, expect, wait
from http_client import V4, Client, await_tick, message
from http_truth import Counts, Seen, Truth, http_unit


@case("HTTP: both ends of a connection say their first words at the same time")
def at_once(t):
    """Each on its own processor, and each of the two programs would make room for the connection."""
    u = http_unit(t, options="--banner '220 mail.example ESMTP' --at-once")
    truth = Truth(u)
    for i in range(1000):
        with Client(u.port) as c:
            await_tick()
            c.send(b"GET /status/200 HTTP/1.1\r\n\r\n" if i % 2 else b"EHLO lab 1\r\n")
            expect("the banner", c.line(), "220 mail.example ESMTP")
    truth.check({}, untracked={"not_http": 1000})


def at_ticks(rounds):
    """What one end does a little later than the other one begins, from not at all to as much as that may take."""
    for i in range(rounds):
        yield 60e-6 * i / rounds


def not_zero(got):
    """Of what has happened since; each answer is in the histograms, too."""
    return {k: v for k, v in got.items() if v and k != "clocks"}


@case("HTTP: an answer at the moment when the request's body comes")
def answer_and_body(t):
    u = http_unit(t)
    truth, tally = Truth(u), Counts()
    for late in at_ticks(500):
        with Client(u.port, V4, tally) as c:
            head, body = message("POST", "/tick/early/413", body=b"x" * 3000).split(b"\r\n\r\n")
            c.send(head + b"\r\n\r\n")
            await_tick(late)
            c.send(body)
            c.answer("POST")
            c.ask("GET", "/status/200")
    truth.check(tally)


@case("HTTP: an answer at the moment when the client resets")
def answer_and_reset(t):
    u = http_unit(t)
    truth, n = Truth(u), 500
    for late in at_ticks(n):
        c = Client(u.port)
        c.send(message("GET", "/tick/status/200"))
        await_tick(late)
        c.reset()

    def counted():
        got = truth.since(Seen(u.name))
        answered, reset = got["requests"].pop(("GET", "200"), 0), got["incomplete"].pop("client_reset", 0)
        expect("answered or reset, and the others", (answered + reset, not_zero(got)), (n, {}))
        return f"{answered} answered, {reset} reset before"
    t.say(wait("each is answered or reset, and nothing else", counted))


@case("HTTP: the next request at the moment when the server closes")
def request_and_end(t):
    u = http_unit(t)
    truth, n = Truth(u), 500
    for late in at_ticks(n):
        with Client(u.port) as c:
            c.send(message("GET", "/tick/close"))
            await_tick(late)
            try:
                c.send(message("GET", "/status/404"))
                c.rest()
            except ConnectionError:
                pass

    def counted():
        got = truth.since(Seen(u.name))
        ahead = got["incomplete"].pop("sent_ahead", 0)
        expect("at most one each is sent ahead, and the others", (ahead <= n, not_zero(got)),
               (True, {"requests": {("GET", "200"): n}}))
        return f"{ahead} of the next requests were seen"
    t.say(wait("each first one is answered, and none stays in flight", counted))
