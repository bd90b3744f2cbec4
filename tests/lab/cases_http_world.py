# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP of units as systemd runs them: socket activation, restarts, delegation, network namespaces, IP accounting and
filters, mendd killed under load, outgoing requests, time in the queue, routes."""
import os
import re
import signal
import subprocess
import threading
import time

from harness import (RUN, SLOW, UNIT_DIR, Failure, Unit, case, expect, expect_text, journal, mendd_pid, metrics, remove,
                     run, run_raw, wait, wait_mendd_ready, write)
from http_client import MAPPED, V4, V6, Client, message, once
from http_servers import is_listening
from http_truth import HTTP, Counts, Seen, Truth, expect_server, http_unit, port_of, server_says

CONF = "/etc/mendd/mendd.conf.d/60-http.conf"


class Load:
    """Clients that go on asking until they are told to stop: new connections and kept ones in turn. What they saw
    answered is in .tally; .failed counts what was not."""

    def __init__(self, port, path="/status/200", width=2):
        self.port, self.path, self.tally, self.failed = port, path, Counts(), 0
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.go) for _ in range(width)]
        for thread in self.threads:
            thread.start()

    def go(self):
        tally, failed, turn = Counts(), 0, 0
        while not self.ending.is_set():
            turn += 1
            try:
                with Client(self.port, V4, tally) as c:
                    for _ in range(1 if turn % 2 else 20):
                        c.ask("GET", self.path)
                        if self.ending.is_set():
                            break
            except (Failure, OSError):
                failed += 1
                self.ending.wait(0.001)
        with self.lock:
            self.tally += tally
            self.failed += failed

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()
        return self.tally


def socket_unit(t, u, stem, more=""):
    """The .socket of a unit, which is started in its place."""
    name = u.name.replace(".service", ".socket")
    write(f"{UNIT_DIR}/{name}", f"[Socket]\nListenStream=0.0.0.0:{u.port}\nListenStream=[::]:{u.port + 1}\n{more}")
    t.cleanup(remove, f"{UNIT_DIR}/{name}")
    t.cleanup(run_raw, "systemctl", "stop", name, u.name)
    run("systemctl", "start", name)
    return name


@case("HTTP: socket-activated, and restarted in between: counted for the service from its first request")
def socket_activated(t):
    u = http_unit(t, start=False)
    truth, tally = Truth(u), Counts()
    listener = socket_unit(t, u, "http")
    expect("the service waits", u.get("ActiveState"), "inactive")
    for way in (V4, V6, MAPPED):
        with Client(u.port, way, tally) as c:
            c.ask("GET", "/status/200")
            c.ask("POST", "/status/204", body=b"x")
    wait("the service is active", lambda: u.get("ActiveState") == "active")
    truth.check(tally, restarted=True)
    run("systemctl", "restart", u.name)
    for way in (V4, V6, MAPPED):
        once(u.port, "GET", "/status/404", tally=tally, way=way)
    truth.check(tally, restarted=True)
    # What arrives while nobody is there waits in the listener's queue, and starts the service.
    run("systemctl", "stop", u.name)
    once(u.port, "GET", "/status/500", tally=tally)
    wait("the service is active", lambda: u.get("ActiveState") == "active")
    expect_server(u, tally)
    truth.check(tally, restarted=True)
    expect("the socket", Unit(listener).get("ActiveState"), "active")


@case("HTTP: socket-activated, under load while it is restarted: no request is missed")
def socket_restarts(t):
    u = http_unit(t, start=False)
    truth = Truth(u)
    socket_unit(t, u, "http")
    load = Load(u.port)
    try:
        for n in range(3):
            answered = sum(server_says(u).values())
            wait("it answers", lambda a=answered: sum(server_says(u).values()) > a + 50)
            run("systemctl", "restart", u.name)
    finally:
        tally = load.stop()
    check_restarts(t, u, truth, tally, load)


def check_restarts(t, u, truth, tally, load):
    """Each answer a client has seen was counted, and no more than the server has given."""
    seen, given = tally[("GET", 200)], server_says(u)[("GET", 200)]

    def fact():
        since = truth.since(Seen(u.name))
        counted = since["requests"].get(("GET", "200"), 0)
        if not seen <= counted <= given or set(since["requests"]) != {("GET", "200")} or since["in flight"]:
            raise Failure(f"clients saw {seen}, the server gave {given}, mendd says {since}")
        expect("untracked connections", since["untracked"], {})
        return since
    since = wait("mendd agrees", fact, 6)
    t.say(f"clients saw {seen} answers, the server gave {given}, mendd counted {since['requests'][('GET', '200')]}; "
          f"{load.failed} attempts failed; incomplete: {since['incomplete']}")


@case("HTTP: restarted under load: counted from the first request on")
def restarts(t):
    u = http_unit(t)
    truth = Truth(u)
    load = Load(u.port)
    try:
        for n in range(3):
            answered = sum(server_says(u).values())
            wait("it answers", lambda a=answered: sum(server_says(u).values()) > a + 50)
            run("systemctl", "restart", u.name)
        t.kill(u.pid)
        run("systemctl", "start", u.name)
        answered = sum(server_says(u).values())
        wait("it answers", lambda: sum(server_says(u).values()) > answered + 50)
    finally:
        tally = load.stop()
    check_restarts(t, u, truth, tally, load)


@case("HTTP: the very first request of a new unit, and of each restart")
def first_request(t):
    u = http_unit(t, start=False)
    truth, tally = Truth(u), Counts()
    for verb in ("start", "restart", "restart", "stop", "start"):
        run("systemctl", verb, u.name)
        if verb != "stop":
            once(u.port, "GET", "/status/200", tally=tally)
    truth.check(tally, restarted=True)


@case("HTTP: kill -9 of mendd under load loses no count", alone=True)
def mendd_killed(t):
    u = http_unit(t)
    truth = Truth(u)
    under_way = Client(u.port)
    under_way.send(message("GET", "/zero/1000/1500"))
    load = Load(u.port)
    try:
        for _ in range(2):
            pid = mendd_pid()
            os.kill(pid, signal.SIGKILL)
            wait_mendd_ready(pid)
        pid = mendd_pid()
        run("systemctl", "restart", "mendd.service")
        wait_mendd_ready(pid)
    finally:
        tally = load.stop()
    # What was in flight when it was killed is finished in the eyes of its successor.
    expect("status of the long one", under_way.answer(), 200)
    under_way.sock.close()
    expect("attempts that failed", load.failed, 0)
    expect_server(u, tally + under_way.tally)
    seen = truth.check(tally + under_way.tally)
    t.say(f"{sum(seen.requests.values()):.0f} requests while mendd was killed twice and restarted once")


@case("HTTP: requests while nobody is mendd are counted when it is back", alone=True)
def mendd_away(t):
    u = http_unit(t)
    truth, tally = Truth(u), Counts()
    once(u.port, "GET", "/status/200", tally=tally)
    t.drop_in("mendd.service", "[Service]\nRestartSec=2s\n")
    run("systemctl", "daemon-reload")
    pid = mendd_pid()
    os.kill(pid, signal.SIGKILL)
    wait("it is gone", lambda: not os.path.exists(f"/proc/{pid}"))
    with Client(u.port, V4, tally) as c:
        for status in [200, 404, 500] * 10:
            c.ask("GET", f"/status/{status}")
    expect("mendd is not there yet", run("systemctl", "show", "mendd.service", "--property=SubState",
                                         "--value").strip(), "auto-restart")
    wait_mendd_ready(pid)
    truth.check(tally)


@case("HTTP: MaxHTTPUnits=: who finds no place is said to; another number is a clean start that the log tells of", alone=True)
def places(t):
    first, second = http_unit(t), http_unit(t, "second")

    def restart(conf):
        remove(CONF)
        if conf:
            write(CONF, conf)
        pid, begin = mendd_pid(), time.time()
        run("systemctl", "restart", "mendd.service")
        wait_mendd_ready(pid)
        return [r for r in journal("_SYSTEMD_UNIT=mendd.service", since=begin)
                if "HTTP is counted anew" in r["MESSAGE"]]

    def ask(u, n):
        tally = Counts()
        for _ in range(n):
            once(u.port, "GET", "/status/200", tally=tally)
        return tally

    Truth(first).check(ask(first, 3))
    t.cleanup(restart, "")
    expect("what the log says", len(restart("[Mendd]\nMaxHTTPUnits=2\n")), 1)
    # mendd's own metrics are HTTP too, and take the other place.
    expect("counts of the former run", sum(Seen(first.name).requests.values()), 0)
    Truth(first).check(ask(first, 2))
    Truth(second).check({}, untracked={"table_full": sum(ask(second, 2).values())})
    expect_text("the record", second.wait_record("http-full")["MESSAGE"], "not measured", "MaxHTTPUnits=")
    expect("a restart with the same number", restart("[Mendd]\nMaxHTTPUnits=2\n"), [])
    expect("it goes on counting", sum(Seen(first.name).requests.values()), 2)
    expect("what the log says", len(restart("")), 1)
    for u in (first, second):
        Truth(u).check(ask(u, 2))


@case("HTTP: a delegated unit, whose processes live in a cgroup below its own")
def delegated(t):
    u = http_unit(t, start=False)
    script = f"{RUN}/{u.name}.sh"
    write(script, f"""#!/bin/sh
own=/sys/fs/cgroup$(sed -n 's|^0::||p' /proc/self/cgroup)
mkdir -p "$own/below/deeper" && echo $$ >"$own/below/deeper/cgroup.procs" || exit 1
exec /usr/bin/python3 -S -E {HTTP}/server.py --log {u.log} --port {u.port}
""", 0o755)
    t.cleanup(remove, script)
    write(f"{UNIT_DIR}/{u.name}", f"[Service]\nType=notify\nNotifyAccess=all\nDelegate=yes\nExecStart={script}\n")
    u.start()
    truth, tally = Truth(u), Counts()
    for way in (V4, V6):
        once(u.port, "GET", "/status/200", tally=tally, way=way)
        once(u.port, "GET", "/status/500", tally=tally, way=way)
    truth.check(tally)


@case("HTTP: a unit in a network namespace of its own")
def namespace(t):
    u = http_unit(t, service="PrivateNetwork=yes")
    truth = Truth(u)
    text = run("nsenter", f"--net=/proc/{u.pid}/ns/net", "curl", "--silent", "--output", "/dev/null",
               f"http://127.0.0.1:{u.port}/status/200", "--next", "--silent", "--output", "/dev/null", "--write-out",
               "%{http_code}", f"http://[::1]:{u.port + 1}/status/404")
    expect("status", text, "404")
    truth.check({("GET", 200): 1, ("GET", 404): 1})


@case("HTTP: IPAccounting= and IPAddressDeny= of the same unit keep working")
def accounting(t):
    u = http_unit(t, service="IPAccounting=yes\nIPAddressDeny=127.0.0.99")
    truth, tally = Truth(u), Counts()
    for _ in range(10):
        once(u.port, "GET", "/status/200", tally=tally)
    before = int(u.get("IPIngressBytes"))
    once(u.port, "POST", "/status/200", tally=tally, body=b"x" * 100_000)
    grew = int(u.get("IPIngressBytes")) - before
    expect(f"IPIngressBytes grew by {grew}", 100_000 < grew < 200_000, True)
    try:
        Client(u.port, source="127.0.0.99", timeout=0.5)
        raise Failure("IPAddressDeny= has let it through")
    except TimeoutError:
        pass
    with Client(u.port, source="127.0.0.98", tally=tally) as c:
        c.ask("GET", "/status/200")
    truth.check(tally)


# --- requests that a unit makes itself -------------------------------------------------------------------------------

@case("HTTP: outgoing requests are not mixed with its own")
def outgoing(t):
    front, back = http_unit(t, "front"), http_unit(t, "back")
    f, b, tally = Truth(front), Truth(back), Counts()
    with Client(front.port, V4, tally) as c:
        for _ in range(10):
            c.ask("POST", f"/call/{back.port}", body=b"x")
            c.ask("GET", "/status/200")
            c.ask("GET", f"/call/{back.port}/3")
    f.check(tally, outgoing=40)
    b.check({("DELETE", 404): 40})
    once(front.port, "GET", f"/again/{back.port}/5", tally=tally)
    f.check(tally, outgoing=45)
    b.check({("DELETE", 404): 45})
    # It asks itself: both ends of the connection are in its cgroup.
    once(front.port, "GET", f"/call/{front.port}", tally=tally)
    tally[("DELETE", 404)] += 1
    f.check(tally, outgoing=46)
    b.check({("DELETE", 404): 45})


@case("HTTP: nginx as a proxy: what it is asked, and what it asks")
def proxy(t):
    back = http_unit(t, "back")
    port, directory = port_of(t), f"{RUN}/{t.unit_name('nginx')}.d"
    write(f"{directory}/nginx.conf", f"""daemon off;
user root;
pid {directory}/pid;
error_log stderr;
events {{ }}
http {{
access_log off;
client_body_temp_path {directory}/1; proxy_temp_path {directory}/2; fastcgi_temp_path {directory}/3;
uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
upstream back {{ server 127.0.0.1:{back.port}; keepalive 4; }}
server {{
listen 0.0.0.0:{port};
location / {{ proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; }}
location /busy {{ proxy_pass http://127.0.0.1:1; }}
}}
}}
""")
    u = t.unit("nginx", command=f"/usr/sbin/nginx -e stderr -c {directory}/nginx.conf", start=False, mendd="").start()
    wait("nginx listens", lambda: is_listening(port))
    f, b, tally = Truth(u), Truth(back), Counts()
    with Client(port, V4, tally) as c:
        for status in (200, 204, 404, 500) * 5:
            c.ask("GET", f"/status/{status}")
            c.ask("POST", f"/status/{status}", body=b"x" * 50_000)
            c.ask("HEAD", f"/status/{status}")
        c.ask("GET", "/chunked/5")
        c.ask("GET", "/close")
    b.check(tally)
    # Nobody is behind this one: nginx answers itself, and has asked nobody.
    asked = sum(tally.values())
    once(port, "GET", "/busy", tally=tally)
    f.check(tally, outgoing=asked)


# --- time ------------------------------------------------------------------------------------------------------------

def compare_times(truth, seen, family, times, slack):
    """
    mendd's clock starts when the request has reached the socket and ends when the answer leaves: never later than the
    client's, and only a little shorter. So are the distributions, bound by bound.
    """
    slack *= SLOW
    total = truth.seconds(seen, family)
    expect(f"sum of {family} ({total:.3f} s) against the client's {sum(times):.3f} s",
           sum(times) - slack * len(times) <= total <= sum(times), True)
    for le in sorted(seen.buckets[family]):
        n = truth.bucket(seen, family, le)
        low, high = (sum(x <= limit for x in times) for limit in (le, le + slack))
        expect(f"{family} up to {le:g}: {n}, by the client's clock {low} to {high}", low <= n <= high, True)


@case("HTTP: a handler that sleeps 100 ms: the first byte's time is the client's")
def sleeper(t):
    u = http_unit(t)
    truth, times, lock = Truth(u), [], threading.Lock()

    def client():
        with Client(u.port) as c:
            for _ in range(5):
                begin = time.monotonic()
                c.ask("GET", "/sleep/100")
                with lock:
                    times.append(c.first_byte - begin)
    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = truth.check({("GET", 200): 20})
    compare_times(truth, seen, "mendd_http_first_byte_seconds", times, 0.03)
    expect("none was faster than it slept", truth.bucket(seen, "mendd_http_first_byte_seconds", 0.1), 0)
    times.sort()
    none = 2**64 - 1
    p50 = wait("the median on D-Bus", lambda: u.mendd()["HTTPFirstByteP50USec"] % none) / 1e6
    t.say(f"median: client {times[10]:.4f} s, mendd {p50:.4f} s; most {times[-1]:.4f} s")
    expect("the median within the histogram's resolution", 0.1 <= p50 <= times[-1] * 1.1, True)


@case("HTTP: the first requests of a new service are in its quantiles")
def young(t):
    units = [http_unit(t, stem=f"young{n}") for n in range(4)]
    for u in units:
        once(u.port, "GET", "/status/200")
    for u in units:
        wait("the median on D-Bus", lambda u=u: u.mendd()["HTTPFirstByteP50USec"] < 2**63, 5)


def queue_of(t, u, milliseconds):
    """Ten clients at once wait for one that serves one at a time; curl says when it saw the first byte."""
    truth = Truth(u)
    command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{time_connect} %{time_starttransfer}",
               f"http://127.0.0.1:{u.port}/sleep/{milliseconds}"]
    curls = [subprocess.Popen(command, stdout=subprocess.PIPE, encoding="ascii") for _ in range(10)]
    times = sorted(b - a for a, b in (map(float, c.communicate()[0].split()) for c in curls))
    seen = truth.check({("GET", 200): 10})
    # curl sends a moment after it has connected; it counts that.
    compare_times(truth, seen, "mendd_http_first_byte_seconds", times, 0.03)
    work = milliseconds / 1000
    queued = [max(0.0, x - work) for x in times]
    got = truth.seconds(seen, "mendd_http_queue_seconds")
    t.say(f"first bytes after {sum(times):.3f} s in all; queued: mendd {got:.3f} s, clients {sum(queued):.3f} s")
    expect("time in the queue", abs(got - sum(queued)) < 0.03 * SLOW * len(times), True)
    expect("the others' work is queueing", got > 0.5 * sum(queued), True)
    own = truth.seconds(seen, "mendd_http_first_byte_seconds") - got
    expect(f"one's own is not: {own:.3f} s", own >= work * len(times), True)


@case("HTTP: ten clients of a server with one thread: they queue, and the queue is told")
def queueing(t):
    queue_of(t, http_unit(t, options="--single"), 40)


@case("HTTP: ten clients of gunicorn with one worker: they queue, and the queue is told")
def queueing_gunicorn(t):
    from http_servers import SERVERS
    server = next(s for s in SERVERS if s.name == "gunicorn sync")
    u = server.start(t)
    truth = Truth(u)
    once(u.port, "GET", "/status/200")  # it loads its application when the first one asks
    truth.check({("GET", 200): 1})
    queue_of(t, u, 40)


# --- routes, and a request on the SYN ---------------------------------------------------------------------------------

def routes_of(u):
    """{(route, class): how many}, and of the first bytes' histogram {route: how many}."""
    wanted = re.compile(r'mendd_http_route_(requests_total|first_byte_seconds_count)\{name="([^"]*)",route="([^"]*)"'
                        r'(?:,class="([^"]*)")?\}')
    counts, clocks = Counts(), Counts()
    for text, value in metrics().items():
        m = wanted.match(text)
        if m and m[2] == u.name and value:
            if m[4]:
                counts[(m[3], m[4])] = int(value)
            else:
                clocks[m[3]] = int(value)
    return counts, clocks


@case("HTTP: routes, with ids replaced, the rest together, none where nobody asked")
def routes(t):
    u, without = http_unit(t, mendd="HTTPRoutes=5"), http_unit(t, stem="without")
    truth, tally = Truth(u), Counts()
    with Client(u.port, V4, tally) as c:
        for n in range(30):
            c.ask("GET", f"/status/200?user={n}")
            c.ask("POST", f"/status/{(404, 500)[n % 2]}", body=b"x")
        for name in ("head", "body", "zero", "more", "none"):
            for n in (7, 8):
                c.ask("GET", f"/{name}x/{n}")
    once(without.port, "GET", "/status/200")
    truth.check(tally)
    wanted = Counts({("/status/{id}", "2xx"): 30, ("/status/{id}", "4xx"): 15, ("/status/{id}", "5xx"): 15})
    for name in ("headx", "bodyx", "zerox", "morex"):  # with the first one five
        wanted[(f"/{name}/{{id}}", "4xx")] = 2
    wanted[("_OTHER", "4xx")] = 2
    by_route = Counts()
    for (route, _), n in wanted.items():
        by_route[route] += n
    wait("its routes", lambda: routes_of(u) == (wanted, by_route))
    expect("those of a unit that did not ask", routes_of(without), (Counts(), Counts()))
    expect("on D-Bus", u.mendd()["HTTPRoutes"], dict(by_route))
    expect("errors on D-Bus", {k: v for k, v in u.mendd()["HTTPRouteErrors"].items() if v}, {"/status/{id}": 15})


@case("HTTP: TCP fast open on the loopback: a request on the SYN")
def fastopen(t):
    run("sysctl", "-q", "-w", "net.ipv4.tcp_fastopen=3")
    u = http_unit(t, options="--fastopen")
    truth, tally = Truth(u), Counts()
    for way in (V4, MAPPED, V4, MAPPED, V4, MAPPED):
        with Client(u.port, way, tally, fastopen=message("GET", "/status/200")) as c:
            c.answer()
            c.ask("GET", "/status/404")
    text = run("nstat", "-az", "TcpExtTCPFastOpenPassive")
    expect("requests came on a SYN", int(text.split("TcpExtTCPFastOpenPassive")[1].split()[0]) > 0, True)
    truth.check(tally)
