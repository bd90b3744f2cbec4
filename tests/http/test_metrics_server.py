#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The HTTP endpoint, run for real and asked by curl and by bare sockets.

usage: test_metrics_server.py PATH-OF-serve [unittest arguments]
"""
import gzip
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

SERVE = None
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
DEADLINE = 30  # seconds; for facts that come at once unless the machine is very busy


class Server:
    def __init__(self, units=8, *more, prefix=()):
        self.process = subprocess.Popen([*prefix, SERVE, str(units), *more], stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("the server did not start")
        self.port = int(line)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE)
        self.process.stdout.close()
        return status


class Answer:
    def __init__(self, raw):
        head, self.body = raw.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            self.headers[name.lower()] = value.strip()

    @property
    def type(self):
        return self.headers.get("content-type")


class Case(unittest.TestCase):
    units = 8

    def setUp(self):
        self.server = Server(self.units)
        self.clients = []

    def tearDown(self):
        for c in self.clients:
            c.close()
        # the loop has ended by itself: no crash, no leak found by a sanitizer
        self.assertEqual(self.server.stop(), 0)

    def curl(self, path, *options, host="127.0.0.1"):
        r = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", str(DEADLINE), "--path-as-is", *options,
             f"http://{host}:{self.server.port}{path}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(r.returncode, 0, r.stderr)
        return Answer(r.stdout)

    def connect(self, address="127.0.0.1"):
        c = socket.create_connection((address, self.server.port), DEADLINE)
        self.clients.append(c)
        return c

    def until_closed(self, client):
        """All that comes until the server closes."""
        got = b""
        while True:
            try:
                piece = client.recv(65536)
            except ConnectionResetError:
                return got
            if not piece:
                return got
            got += piece

    def until_served(self):
        end = time.monotonic() + DEADLINE
        while True:
            r = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5",
                                f"http://127.0.0.1:{self.server.port}/-/healthy"],
                               stdout=subprocess.PIPE, check=False)
            if r.stdout == b"200":
                return
            self.assertLess(time.monotonic(), end, "not served in time")


class Paths(Case):
    def test_metrics(self):
        a = self.curl("/metrics")
        self.assertEqual((a.status, a.type), (200, TEXT))
        self.assertIn(b'mendd_unit_healthy{name="unit\\\\x2d1.service"} 1\n', a.body)
        self.assertIn(b'mendd_alert_firing{name="unit\\\\x2d2.service",rule="unit-down",', a.body)
        for name in (b"process_cpu_seconds_total", b"process_open_fds", b"process_max_fds",
                     b"process_virtual_memory_bytes", b"process_resident_memory_bytes",
                     b"process_start_time_seconds", b"mendd_scrape_duration_seconds", b"mendd_scrapes_total"):
            self.assertRegex(a.body, rb"\n" + name + rb" [0-9.e+-]+\n")
        self.assertEqual(a.headers["vary"], "Accept, Accept-Encoding")
        self.assertEqual(self.curl("/metrics?a=b").status, 200)

    def test_people(self):
        a = self.curl("/")
        self.assertEqual((a.status, a.type), (200, "text/html; charset=utf-8"))
        text = a.body.decode("utf-8")  # well-formed although a reason was not
        self.assertIn("&lt;script&gt;alert(&#39;0&#39;)&lt;/script&gt; &amp; &quot;\ufffd&quot;", text)
        self.assertIn("killed by SIGKILL from &lt;b&gt;bash&lt;/b&gt;[4711]", text)
        self.assertNotIn("<script", text)
        self.assertNotIn("<b>", text)
        self.assertIn("default-src 'none'", a.headers["content-security-policy"])
        self.assertIn('http-equiv="refresh"', text)
        health = re.findall(r'<td class="([a-z]+)">', text)
        order = ["unhealthy", "unknown", "healthy", "inactive"]
        self.assertEqual(health, sorted(health, key=order.index))
        self.assertLess({"unhealthy", "inactive"}, set(health))

    def test_incident(self):
        text = self.curl("/").body.decode()
        path, = re.findall(r'<a href="(/incident/[0-9a-f-]{36})">', text)
        a = self.curl(path)
        self.assertEqual((a.status, a.type), (200, "text/html; charset=utf-8"))
        page = a.body.decode()
        self.assertIn("killed by SIGKILL from &lt;b&gt;bash&lt;/b&gt;[4711]", page)
        self.assertIn("<h1>unit\\x2d2.service</h1>", page)
        self.assertNotIn("<b>", page)
        self.assertIn("default-src 'none'", a.headers["content-security-policy"])
        self.assertEqual(self.curl(path[:len("/incident/") + 8]).status, 200)
        for other in ("/incident/", "/incident/x", "/incident/00000000", "/incident/" + "f" * 4000):
            self.assertEqual(self.curl(other).status, 404, other)

    def test_probes(self):
        for path, body in (("/-/healthy", b"mendd is healthy.\n"), ("/-/ready", b"mendd is ready.\n")):
            a = self.curl(path)
            self.assertEqual((a.status, a.type, a.body), (200, "text/plain; charset=utf-8", body))

    def test_not_found(self):
        for path in ("/metrics/", "/metric", "//metrics", "/../metrics", "/%2e%2e/etc/passwd", "/-/",
                     "/" + "x" * 4000):
            a = self.curl(path)
            self.assertEqual((a.status, a.type), (404, "text/plain; charset=utf-8"), path)

    def test_methods(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"):
            a = self.curl("/metrics", "-X", method)
            self.assertEqual((a.status, a.type, a.headers["allow"]),
                             (405, "text/plain; charset=utf-8", "GET, HEAD"), method)
        for method, status in (("POST", 405), ("GET", 200)):  # a body is not waited for
            a = self.curl("/metrics", "-X", method, "--data-binary", "x" * 100000, "-H", "Expect:")
            self.assertEqual(a.status, status)

    def test_head(self):
        get = self.curl("/-/healthy")
        for path, kind in (("/-/healthy", "text/plain; charset=utf-8"), ("/metrics", TEXT)):
            a = self.curl(path, "--head")
            self.assertEqual((a.status, a.type, a.body), (200, kind, b""))
            self.assertGreater(int(a.headers["content-length"]), 0)
        self.assertEqual(self.curl("/-/healthy", "--head").headers["content-length"],
                         get.headers["content-length"])
        self.assertEqual(self.curl("/nothing", "--head").status, 404)

    def test_keep_alive(self):
        c = self.connect()
        for _ in range(3):
            c.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while not got.endswith(b"mendd is healthy.\n"):
                piece = c.recv(4096)
                self.assertTrue(piece)
                got += piece

    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as e:
            self.skipTest(f"no IPv6 here: {e}")
        self.assertEqual(self.curl("/-/healthy", host="[::1]").status, 200)


class Negotiation(Case):
    def test_formats(self):
        prometheus_2 = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
                        "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
        table = (
            (None, TEXT), ("*/*", TEXT), ("text/plain", TEXT), ("text/html,*/*;q=0.8", TEXT),
            ("image/png", TEXT), ("nonsense;;;q=", TEXT),
            ("application/openmetrics-text", OPEN), (prometheus_2, OPEN),
            ("application/openmetrics-text;version=1.0.0;q=0.4,text/plain;q=0.5", TEXT),
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4", OPEN),
            ("application/openmetrics-text;version=9.9.9,text/plain;q=0.1", TEXT),
            ("application/openmetrics-text;q=0", TEXT),
        )
        for accept, kind in table:
            a = self.curl("/metrics", "-H", "Accept:" if accept is None else f"Accept: {accept}")
            self.assertEqual((a.status, a.type), (200, kind), accept)
            self.assertEqual(a.body.endswith(b"# EOF\n"), kind == OPEN, accept)
        # several lines of one header are one list
        a = self.curl("/metrics", "-H", "Accept: text/plain;q=0.2", "-H", "Accept: application/openmetrics-text")
        self.assertEqual(a.type, OPEN)

    def test_openmetrics_is_well_formed(self):
        try:
            from prometheus_client.openmetrics import parser
        except ImportError:
            self.skipTest("the OpenMetrics parser (package python3-prometheus-client) is missing")
        body = self.curl("/metrics", "-H", "Accept: application/openmetrics-text").body.decode()
        families = {f.name: f for f in parser.text_string_to_metric_families(body)}
        self.assertEqual(families["mendd_build"].type, "info")
        self.assertEqual(families["mendd_process_exits"].type, "counter")
        self.assertEqual(families["mendd_detection_delay_seconds"].unit, "seconds")
        names = {s.name for f in families.values() for s in f.samples}
        self.assertIn("mendd_process_exits_total", names)
        # both forms tell the same
        text = self.curl("/metrics").body.decode()
        plain = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}
        self.assertEqual(names, plain)

    def test_gzip(self):
        plain = self.curl("/metrics").body
        for encoding, packed in (("gzip", True), ("gzip;q=0", False), ("identity", False), ("*", True),
                                 ("br, gzip;q=0.5", True), ("gzip;q=0.2, identity;q=0.9", False)):
            a = self.curl("/metrics", "-H", f"Accept-Encoding: {encoding}")
            self.assertEqual(a.headers.get("content-encoding") == "gzip", packed, encoding)
            body = gzip.decompress(a.body) if packed else a.body
            self.assertEqual(len(body.splitlines()), len(plain.splitlines()), encoding)
            self.assertEqual(int(a.headers["content-length"]), len(a.body))
        self.assertEqual(gzip.decompress(self.curl("/", "-H", "Accept-Encoding: gzip").body),
                         self.curl("/").body)


class Strangers(Case):
    def test_garbage(self):
        for text in (b"\0" * 1000, b"\r\n\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\xff" * 5000,
                     b"GET /metrics HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"):
            c = self.connect()
            c.sendall(text)
            c.shutdown(socket.SHUT_WR)
            self.until_closed(c)  # whatever it says: it ends
            self.assertEqual(self.curl("/-/healthy").status, 200)

    def test_large_header(self):
        c = self.connect()
        try:
            c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1000000 + b"\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the end of it
        got = self.until_closed(c)
        if got:
            self.assertIn(Answer(got).status, (400, 413, 414, 431))
        c = self.connect()
        try:
            c.sendall(b"GET /" + b"x" * 1000000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = self.until_closed(c)
        if got:
            self.assertIn(Answer(got).status, (400, 413, 414, 431))
        self.assertEqual(self.curl("/-/healthy").status, 200)

    def test_500_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 1024:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
        clients = [self.connect() for _ in range(500)]
        poll = select.poll()
        # The limit of one address is 64: the others are closed at once.
        end = time.monotonic() + DEADLINE
        while True:
            held = len(os.listdir(f"/proc/{self.server.process.pid}/fd"))
            dead = 0
            for c in clients:
                c.setblocking(False)
                try:
                    if c.recv(1, socket.MSG_PEEK) == b"":
                        dead += 1
                except BlockingIOError:
                    pass
                except ConnectionResetError:
                    dead += 1
            if dead >= 500 - 64:
                break
            self.assertLess(time.monotonic(), end)
            poll.poll(200)
        self.assertLess(held, 64 + 32)
        self.until_served()  # the idle ones are cut in time
        a = self.curl("/metrics")
        self.assertRegex(a.body, rb"\nmendd_scrape_connections_refused_total [1-9][0-9]*\n")

    def test_slow_client(self):
        """One byte now and then is never idle, and yet ends."""
        c = self.connect()
        c.settimeout(1)
        begin = time.monotonic()
        closed = False
        for byte in b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 100:
            try:
                c.sendall(bytes([byte]))
                closed = c.recv(1) == b""  # waits up to its timeout
            except socket.timeout:
                pass
            except (BrokenPipeError, ConnectionResetError):
                closed = True
            if closed or time.monotonic() > begin + DEADLINE:
                break
        self.assertTrue(closed)
        self.assertGreater(time.monotonic() - begin, 5)
        self.assertRegex(self.curl("/metrics").body, rb"\nmendd_scrape_connections_cut_total 1\n")

    def test_idle_client(self):
        c = self.connect()
        self.assertEqual(self.until_closed(c), b"")

    def test_does_not_spin(self):
        """With connections that do nothing the server does nothing."""
        for _ in range(10):
            self.connect()
        self.until_served()
        before = cpu_ticks(self.server.process.pid)
        self.assertEqual(self.until_closed(self.clients[0]), b"")
        self.assertLess(cpu_ticks(self.server.process.pid) - before, 20)  # of 100 a second, in 5 s


class Large(Case):
    units = 2000

    def test_readers_that_do_not_read(self):
        """Answers that nobody fetches are bounded in memory, and end."""
        for _ in range(60):
            c = self.connect()
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.until_served()
        with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as f:
            peak = [int(line.split()[1]) for line in f if line.startswith("VmHWM:")][0]
        self.assertLess(peak, 400 * 1024)

    def test_a_crowd_shares_a_page(self):
        """Many at once cost about as much as one."""
        before = cpu_ticks(self.server.process.pid)
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n"
        crowd = [self.connect() for _ in range(50)]
        for c in crowd:
            c.sendall(request)
        bodies = {Answer(self.until_closed(c)).body for c in crowd}
        self.assertLess(len(bodies), 10)
        self.assertIn(b"mendd_units_watched 2000", gzip.decompress(bodies.pop()))
        self.assertLess(cpu_ticks(self.server.process.pid) - before, 100)

    def test_whole_page(self):
        a = self.curl("/metrics", "-H", "Accept-Encoding: gzip")
        self.assertEqual(gzip.decompress(a.body).count(b"\nmendd_incident_open{"), 2000)


class OwnPort(unittest.TestCase):
    def test_both_loopbacks(self):
        """In a network namespace of its own, because the port is a fixed one."""
        if not shutil.which("unshare") or not shutil.which("ip"):
            self.skipTest("unshare or ip is missing")
        script = f"""ip link set lo up || exit 77
            dir=$(mktemp -d) && mkfifo "$dir/port" || exit 1
            "{SERVE}" 1 own >"$dir/port" & pid=$!
            read -r port <"$dir/port" && [ "$port" = 16363 ] &&
            curl -sS -o /dev/null http://127.0.0.1:16363/-/healthy &&
            if [ -e /proc/net/if_inet6 ]; then
                curl -sS -o /dev/null "http://[::1]:16363/-/healthy"
            fi && ! "{SERVE}" 1 own 2>/dev/null
            result=$?; kill $pid; wait $pid; rm -r "$dir"; exit $result"""
        r = subprocess.run(["unshare", "-rn", "sh", "-c", script], check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if r.returncode == 77 or b"unshare" in r.stderr:
            self.skipTest(f"no network namespace: {r.stderr.decode(errors='replace').strip()}")
        self.assertEqual(r.returncode, 0, r.stderr)


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    SERVE = os.path.abspath(sys.argv.pop(1))
    if not shutil.which("curl"):
        print("skipped: curl is missing")
        sys.exit(77)
    unittest.main(verbosity=2)
