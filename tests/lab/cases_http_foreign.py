# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP: what cannot be seen is said: TLS, HTTP/2, databases, servers that speak first."""
import glob
import re

from harness import RUN, case, expect, run, run_raw, wait
from http_client import Client, once
from http_servers import certificate, is_listening
from http_truth import HTTP, Truth, http_unit, port_of


@case("HTTP: TLS is untracked, connection by connection")
def tls(t):
    u = http_unit(t, options="--tls " + certificate(t))
    truth = Truth(u)
    for _ in range(3):
        expect("status", run("curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}",
                             f"https://127.0.0.1:{u.port}/status/404"), "404")
    truth.check({}, untracked={"tls": 3})
    u.wait_mendd(Health="healthy")


@case("HTTP: HTTP/2 with prior knowledge is untracked; the upgrade to it is a 101")
def http2(t):
    port = port_of(t)
    u = t.unit("nghttpd", command=f"/usr/sbin/nghttpd --no-tls -d {HTTP} {port}", start=False, mendd="").start()
    wait("nghttpd listens", lambda: is_listening(port))
    truth = Truth(u)
    url = f"http://127.0.0.1:{port}/app.py"
    expect("what curl saw", run("curl", "--silent", "--http2-prior-knowledge", "--output", "/dev/null", "--write-out",
                                "%{http_version} %{http_code}", url), "2 200")
    text = run("h2load", "-n", "200", "-c", "3", "-t", "1", url)
    expect("what h2load saw", "200 2xx" in text, True)
    truth.check({}, untracked={"http2": 4})
    port = port_of(t)
    u = t.unit("hypercorn", start=False, mendd="", service=f"WorkingDirectory={HTTP}",
               command=f"/usr/bin/hypercorn -b 127.0.0.1:{port} --log-level warning asgi:app").start()
    wait("hypercorn listens", lambda: is_listening(port))
    truth = Truth(u)
    for option, says in (("--http1.1", "1.1 200"), ("--http2-prior-knowledge", "2 200"), ("--http2", "2 200")):
        saw = run("curl", "--silent", option, "--output", "/dev/null", "--write-out", "%{http_version} %{http_code}",
                  f"http://127.0.0.1:{port}/status/200")
        expect(f"what curl {option} saw", saw, says)
    truth.check({("GET", 200): 1, ("GET", 101): 1}, untracked={"http2": 1, "upgraded": 1})


@case("HTTP: Redis is not HTTP")
def redis(t):
    port = port_of(t)
    u = t.unit("redis", start=False, mendd="", service="Type=notify", command=(
        f"/usr/bin/redis-server --bind 127.0.0.1 --port {port} --save \"\" --supervised systemd --dir {RUN}")).start()
    truth = Truth(u)
    run("redis-benchmark", "-p", str(port), "-n", "2000", "-c", "5", "-t", "set", "-q")
    expect("Redis", run("redis-cli", "-p", str(port), "get", "no such key").strip(), "")
    text = run("redis-cli", "-p", str(port), "info", "stats")
    n = int(re.search(r"total_connections_received:(\d+)", text).group(1))
    expect("connections, as Redis counts them", n >= 7, True)
    truth.check({}, untracked={"not_http": n})
    u.wait_mendd(Health="healthy")


@case("HTTP: PostgreSQL is not HTTP")
def postgres(t):
    port, data = port_of(t), f"{RUN}/{t.unit_name('pg')}.d"
    programs = glob.glob("/usr/lib/postgresql/*/bin")[0]
    run("install", "-d", "-o", "postgres", "-m", "0700", data)
    t.cleanup(run_raw, "rm", "-rf", data)
    run("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", f"{programs}/initdb", "--no-sync",
        "--auth=trust", "--no-instructions", "-D", data)
    u = t.unit("pg", start=False, mendd="", service="Type=notify\nUser=postgres\n", command=(
        f"{programs}/postgres -D {data} -p {port} -c listen_addresses=127.0.0.1 -c fsync=off "
        "-c unix_socket_directories=''")).start()
    truth = Truth(u)
    for _ in range(3):
        expect("PostgreSQL", run("psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-Atc",
                                 "SELECT repeat('GET / HTTP/1.1', 2)", "postgres").strip(), "GET / HTTP/1.1" * 2)
    truth.check({}, untracked={"not_http": 3})
    u.wait_mendd(Health="healthy")


@case("HTTP: servers that speak first, and clients that speak nonsense")
def nonsense(t):
    u = http_unit(t, options="--banner '220 mail.example ESMTP'")
    truth = Truth(u)
    with Client(u.port) as c:
        expect("the banner", c.line(), "220 mail.example ESMTP")
        c.send(b"EHLO lab\r\n", b"QUIT\r\n")
    truth.check({}, untracked={"not_http": 1})
    u = http_unit(t, "plain")
    truth = Truth(u)
    for junk in (b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"220 what\r\n",
                 b"*1\r\n$4\r\nPING\r\n", b"{\"a\": 1}\n", b"GET\r\n\r\n", b"\xff" * 5000, b"EHLO lab\r\n",
                 b"\x80\x2e\x01\x03\x01"):
        with Client(u.port) as c:
            c.send(junk)
    truth.check({}, untracked={"not_http": 9})
    once(u.port, "GET", "/status/200")
    truth.check({("GET", 200): 1}, untracked={"not_http": 9})
