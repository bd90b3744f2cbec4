# SPDX-License-Identifier: LGPL-2.1-or-later
"""A citizen of systemd: notify, reload, configuration, D-Bus and polkit, metrics and HTTP, the journal."""
import gzip
import json
import os
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request

from harness import (RUN, SLOW, Failure, Skip, call_manager, case, daemon_reload, expect, expect_in, expect_text,
                     http_get, journal, manager, mendd_pid, metrics, read, remove, run, run_raw, wait,
                     wait_mendd_ready, wait_metrics, write)

CONF = "/etc/mendd/mendd.conf.d/50-lab.conf"
NOBODY = ("runuser", "-u", "nobody", "--")


@case("Type=notify, STATUS=, watchdog, FD store as systemd sees them")
def notify(_):
    text = run("systemctl", "show", "mendd.service",
               "--property=Type,StatusText,WatchdogUSec,NFileDescriptorStore,NotifyAccess,ActiveState")
    d = dict(line.split("=", 1) for line in text.splitlines())
    expect("type and state", (d["Type"], d["ActiveState"]), ("notify", "active"))
    if not re.search(r"\d+ services watched, healing \w+ for \d+, \d+ open incidents", d["StatusText"]):
        raise Failure(f"STATUS: {d['StatusText']}")
    expect("there are maps and links in the FD store", int(d["NFileDescriptorStore"]) > 4, True)


@case("systemd-analyze security mendd")
def exposure(t):
    if os.environ.get("LAB_SANITIZED"):
        raise Skip("a build with sanitizers runs with a wider unit than the shipped one")
    text = run("systemd-analyze", "security", "--no-pager", "mendd.service")
    line = [x for x in text.splitlines() if "Overall exposure level" in x][0]
    line = line[line.index("Overall"):]
    t.say(line.encode("ascii", "ignore").decode().strip())
    level = float(line.split(":")[1].split()[0])
    if level > 2.5:
        raise Failure(line)


def reload_by_signal():
    run("systemctl", "reload", "mendd.service")


@case("SIGHUP: of a bad file its last good version stays, but what it forbids counts", alone=True)
def reload(t):
    u = t.unit(mendd=None)

    def restore():
        remove(CONF)
        reload_by_signal()

    t.cleanup(restore)
    write(CONF, f"[Unit {u.name}]\nHeal=restart\nBudget=7/1min\n")
    reload_by_signal()
    u.wait_mendd(HealMode="restart")
    expect("no mistakes", manager()["ConfigError"], "")
    since = time.time()
    write(CONF, f"[Unit {u.name}]\nHeal=restart\nBugdet=3/1min\nX=y\n")
    reload_by_signal()
    error = wait("D-Bus tells of the mistake", lambda: manager()["ConfigError"])
    expect_text("it names file, line and key", error, CONF + ":3", "Bugdet", "Budget", "and 1 more")
    records = wait("a record of each mistake, and of what is used",
                   lambda: (lambda r: r if len(r) == 3 else None)(journal("MENDD_EVENT=config-error", since=since)))
    expect_text("the records", str([r["MESSAGE"] for r in records]), CONF + ":3", CONF + ":4",
                "its last version without a mistake is used")
    expect("critical", {r["PRIORITY"] for r in records}, {"2"})
    expect("the old one stays", u.mendd()["HealMode"], "restart")
    wait_metrics("metrics and the alert", lambda m: (
        m.of("mendd_config_last_reload_successful"), m.of("mendd_alert_firing", rule="mendd-config")) == (0, 1))
    c = run_raw("mendctl", "check-config")
    expect("mendctl check-config", (c.returncode, CONF + ":3" in c.stdout), (1, True))
    c = run_raw("mendctl", "reload")
    expect("mendctl reload: each mistake is a line", (c.returncode, c.stdout.count(f"\n{CONF}:")), (1, 3))
    u.request("exit 1")
    u.wait_mendd(NRestarts={"mendd": 1, "systemd": 0, "other": 0})
    write(CONF, f"[Unit {u.name}]\nHeal=observe\nX=y\n")
    reload_by_signal()
    u.wait_mendd(HealMode="observe")
    write(CONF, f"[Unit {u.name}]\nHeal=observe\n")
    reload_by_signal()
    wait("no mistakes", lambda: manager()["ConfigError"] == "")
    wait_metrics("metrics and the alert", lambda m: (
        m.of("mendd_config_last_reload_successful"), m.of("mendd_alert_firing", rule="mendd-config")) == (1, 0))
    expect("mendctl check-config", run_raw("mendctl", "check-config").returncode, 0)


@case("a typing error in one drop-in: a restart of mendd forgets nothing of the others", alone=True)
def typing_error(t):
    enabled, own = t.unit("enabled", mendd=None), t.unit("own", mendd="Heal=restart")
    t.cleanup(run_raw, "mendctl", "disable", enabled.name)
    t.cleanup(remove, CONF)
    run("mendctl", "enable", enabled.name)
    enabled.wait_mendd(HealMode="restart")
    write(CONF, "[Mend]\nLogLevel=info\n")
    for how in (("systemctl", "restart", "mendd"), ("pkill", "-9", "-x", "mendd")):
        old = mendd_pid()
        run(*how)
        wait_mendd_ready(old)
        enabled.wait_mendd(HealMode="restart")
        own.wait_mendd(HealMode="restart")
    expect_text("D-Bus", manager()["ConfigError"], CONF + ":1", "[Mend]", "did you mean [Mendd]?")
    c = run_raw("mendctl", "--no-pager", "status")
    expect_text("status", c.stdout, CONF + ":1", "all else of the configuration is in use")
    wait_metrics("the alert", lambda m: m.of("mendd_alert_firing", rule="mendd-config") == 1)
    enabled.request("exit 3")
    enabled.wait_closed()
    # What mendctl writes works beside it, and what it wrote survives when its own file is the bad one.
    run("mendctl", "disable", enabled.name)
    enabled.wait_mendd(HealMode="observe")
    run("mendctl", "enable", enabled.name)
    enabled.wait_mendd(HealMode="restart")
    written = "/etc/mendd/mendd.conf.d/80-mendctl.conf"
    t.cleanup(write, written, read(written))
    write(written, f"[Unit {enabled.name}\nHeal=restart\n")
    old = mendd_pid()
    run("systemctl", "restart", "mendd")
    wait_mendd_ready(old)
    enabled.wait_mendd(HealMode="restart")
    c = run_raw("mendctl", "disable", enabled.name)
    expect_text("a file that mendd does not understand is not written over", str((c.returncode, c.stdout)),
                "(1, ", written + " has a mistake", "check-config")


@case("a configuration file that cannot be read", alone=True)
def unreadable_conf(t):
    def restore():
        remove(CONF)
        reload_by_signal()

    t.cleanup(restore)
    write(CONF, "[Mendd]\n", 0o000)
    reload_by_signal()
    expect_text("D-Bus", wait("D-Bus tells of it", lambda: manager()["ConfigError"]), CONF, "ermission")


@case("rubbish in [X-Mendd]: it allows nothing, and the mistake is visible")
def rubbish(t):
    u = t.unit(mendd="Heal=restart\nBackoff=soon\nthis is rubbish\n\x01\x02=\x03")
    m = u.mendd()
    expect("defaults", m["HealMode"], "observe")
    expect_text("ConfigError", m["ConfigError"], f"{u.name}:", "Backoff")
    expect_text("the record", u.wait_record("config-error")["MESSAGE"], u.name, "Backoff")
    expect_text("mendctl status", run_raw("mendctl", "--no-pager", "status", u.name).stdout, "Backoff")
    u.request("exit 1")
    u.wait_mendd(Refusal="observe-only", IncidentOpen=True)


@case("a drop-in that cannot be read, one that is well", alone=True)
def unreadable_drop_in(t):
    u = t.unit(mendd="Heal=restart")
    good = t.unit("good", mendd=None)
    path = t.drop_in(u.name, "[X-Mendd]\nSeverity=critical\n")
    os.chmod(path, 0)
    t.drop_in(good.name, "[X-Mendd]\nHeal=restart\nSeverity=critical\n")
    daemon_reload()
    good.wait_mendd(HealMode="restart", Severity="critical")
    m = wait("the mistake is visible", lambda: (lambda m: m if m["ConfigError"] else None)(u.mendd()))
    expect_text("ConfigError", m["ConfigError"], path, "ermission")
    expect("defaults", m["HealMode"], "observe")


@case("polkit: who is not root may read, and not change")
def polkit(t):
    u = t.unit(mendd="Heal=restart")
    for arguments in (("status", u.name), ("show", u.name), ("incidents",), ("explain", u.name), ("metrics",)):
        r = run_raw(*NOBODY, "mendctl", "--no-pager", *arguments)
        # 1: an incident of another test is open
        if r.returncode not in (0, 1) or "denied" in r.stdout:
            raise Failure(f"mendctl {arguments} as nobody: {r.returncode}: {r.stdout}")
    identity = u.identity()
    for arguments in (("restart", u.name, "--reason=no"), ("pause", "--for=1min", "--reason=no"), ("resume",),
                      ("reset", u.name), ("enable", u.name), ("disable", u.name), ("reload",)):
        r = run_raw(*NOBODY, "mendctl", *arguments)
        expect(f"exit status of mendctl {arguments[0]} as nobody", r.returncode, 1)
        expect_in("its text", bool(re.search("denied|[Aa]uthoriz|[Aa]uthentication|permi", r.stdout)), True)
    expect("the unit", u.identity(), identity)
    expect("mode and pause", (u.mendd()["HealMode"], manager()["Pause"][0]), ("restart", 0))


@case("without polkitd only root may change something", alone=True)
def no_polkit(t):
    u = t.unit(mendd="VerifyFor=100ms")
    t.cleanup(run, "systemctl", "unmask", "--runtime", "polkit.service")
    run("systemctl", "mask", "--runtime", "polkit.service")
    run_raw("systemctl", "stop", "polkit.service")
    identity = u.identity()
    r = run_raw(*NOBODY, "mendctl", "restart", u.name, "--reason=no")
    expect("exit status as nobody", r.returncode, 1)
    expect("the unit", u.identity(), identity)
    run("mendctl", "restart", u.name, "--reason=root may")
    u.wait_closed()
    expect("starts", u.starts(), 2)


def call(*arguments):
    return run_raw("busctl", "--timeout=10", "call", "org.mendd1", "/org/mendd1", "org.mendd1.Manager", *arguments)


@case("D-Bus: wrong names, oversized texts, wrong numbers")
def dbus(t):
    u = t.unit(mendd=None)
    pid, identity = mendd_pid(), u.identity()
    long = "x" * 60000
    for name in ("", "x", "../../etc/passwd", "a b.service", "\x7f.service", "x" * 300 + ".service", long,
                 "nosuch.service", "/org/mendd1", "*.service", "ünit.service"):
        for verb, signature, rest in (("GetUnit", "s", ()), ("Explain", "s", ()), ("ResetUnit", "st", ("0",)),
                                      ("RestartUnit", "sst", ("why", "0")), ("SetHealing", "ss", ("restart",))):
            r = call(verb, signature, name, *rest)
            expect(f"{verb} {name[:20]!r} is refused", (r.returncode, r.stdout.startswith("Call failed: ")), (1, True))
    for arguments in (("RestartUnit", "sst", u.name, "", "0"), ("RestartUnit", "sst", u.name, "x" * 256, "0"),
                      ("RestartUnit", "sst", u.name, "a\nb", "0"), ("RestartUnit", "sst", u.name, "why", "1"),
                      ("PauseHealing", "tst", "0", "why", "0"),
                      ("PauseHealing", "tst", "18446744073709551615", "why", "0"),
                      ("PauseHealing", "tst", "1000000", long, "0"), ("SetHealing", "ss", u.name, "bogus"),
                      ("SetHealing", "ss", u.name, long), ("GetIncident", "s", "abc"), ("GetIncident", "s", long),
                      ("ListIncidents", "su", long, "1"), ("DumpMetrics", "s", "xml"), ("NoSuchMethod",),
                      ("GetUnit", "u", "1"), ("GetUnit",)):
        r = call(*arguments)
        expect(f"{arguments[0]} {str(arguments[1:])[:60]} is refused",
               (r.returncode, r.stdout.startswith("Call failed: ")), (1, True))
    expect("mendd goes on", (mendd_pid(), manager()["Pause"][0], u.identity()), (pid, 0, identity))
    expect("mode", u.mendd()["HealMode"], "observe")


@case("metrics: promtool finds nothing to say; content negotiation; gzip")
def metrics_page(_):
    status, headers, body = http_get()
    expect("status and type", (status, headers["Content-Type"].split(";")[0]), (200, "text/plain"))
    expect_text("version of the format", headers["Content-Type"], "version=0.0.4")
    r = run_raw("promtool", "check", "metrics", stdin=body.decode())
    expect("promtool", (r.returncode, r.stdout), (0, ""))
    status, headers, body = http_get(headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    expect_text("OpenMetrics", headers["Content-Type"], "application/openmetrics-text", "version=1.0.0")
    expect("its last line", body.endswith(b"# EOF\n"), True)
    status, headers, body = http_get(headers={"Accept-Encoding": "gzip"})
    expect("compressed", headers.get("Content-Encoding"), "gzip")
    expect_text("unpacked", gzip.decompress(body).decode(), "mendd_build_info")
    for path in ("/", "/-/healthy", "/-/ready"):
        expect(path, http_get(path)[0], 200)
    expect("no such page", http_get("/etc/passwd")[0], 404)


@case("a real Prometheus scrapes mendd and answers a PromQL query")
def prometheus(t):
    port = 19090 + t.number
    directory = f"{RUN}/prometheus-{t.number}"
    u = t.unit(mendd=None)
    write(f"{directory}/prometheus.yml", "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n"
          "  - job_name: mendd\n    static_configs: [{targets: ['localhost:16363']}]\n")
    server = t.unit("prometheus", mendd=None, start=False, command="/usr/bin/prometheus "
                    f"--config.file={directory}/prometheus.yml --storage.tsdb.path={directory}/data "
                    f"--web.listen-address=127.0.0.1:{port}")
    server.start()

    def query(text):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": text})
        with urllib.request.urlopen(url, timeout=5) as f:
            result = json.load(f)["data"]["result"]
        return result[0]["value"][1] if result else None

    wait("healthy", lambda: query(f'mendd_unit_healthy{{name="{u.name}"}}') == "1", 30)
    expect("up", query('up{job="mendd"}'), "1")
    u.request("exit 3")
    wait("unhealthy", lambda: query(f'mendd_unit_healthy{{name="{u.name}"}}') == "0", 30)
    wait("the alert", lambda: query(f'mendd_alert_firing{{name="{u.name}",rule="unit-down"}}') == "1")


def connection():
    s = socket.create_connection(("127.0.0.1", 16363), 10 * SLOW)
    s.settimeout(20 * SLOW)
    return s


def answers_quickly():
    begin = time.monotonic()
    manager()
    if time.monotonic() - begin > SLOW:
        raise Failure(f"D-Bus answered after {time.monotonic() - begin:.2f} s")


@case("HTTP garbage: slow clients, 1 MB of headers, 500 connections", alone=True)
def http_garbage(t):
    pid = mendd_pid()
    # Rubbish, and endless heads: refused, not stored.
    for data in (os.urandom(65536), b"GET " + b"/" * (1 << 20), b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200000,
                 b"GET /metrics HTTP/1.1\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n", b"\0" * 4096, b"\r\n" * 10000,
                 b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"z" * 65536):
        with connection() as s:
            answer = b""
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                answer = s.recv(4096)
            except OSError:
                pass  # it need not listen to the end of it
            expect(f"no page for {data[:12]!r}", answer.startswith(b"HTTP/1.1 200"), False)
    expect("it answers afterwards", http_get()[0], 200)
    # Clients that send a byte now and then, and many that send nothing.
    slow = [connection() for _ in range(50)]
    idle, refused = [], 0
    for s in slow:
        s.sendall(b"GET /met")
    for _ in range(500):
        try:
            idle.append(connection())
        except OSError:
            refused += 1
        if len(idle) % 100 == 99:
            answers_quickly()
    answers_quickly()
    m = t.unit("meanwhile", mendd="Heal=restart\nVerifyFor=100ms")
    m.request("exit 1")
    m.wait_mendd(NRestarts={"mendd": 1, "systemd": 0, "other": 0})
    for s in slow + idle:
        s.close()
    wait("it serves pages again", lambda: http_get()[0] == 200, 30)
    memory = metrics().of("process_resident_memory_bytes")
    t.say(f"500 connections: {refused} refused at once; resident memory afterwards {memory / 1e6:.1f} MB")
    expect("mendd goes on", mendd_pid(), pid)


@case("journalctl -u shows mendd's lines, journalctl -x explains them")
def catalogue(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=100ms")
    t.kill(u.pid)
    u.wait_closed()
    u.wait_record("verified")
    text = run("journalctl", "-q", "--no-pager", "-u", u.name)
    expect_text("journalctl -u", text, "mendd[", "killed by SIGKILL from sh[", "restarted by mendd",
                "systemd[1]: Started")
    text = run("journalctl", "-q", "--no-pager", "-x", "-u", u.name)
    expect_text("journalctl -x", text, f"Subject: Unit {u.name} has failed",
                "Documentation: man:mendd(8)", "What to do:")
    for r in u.records():
        expect(f"{r['MENDD_EVENT']} has a MESSAGE_ID", len(r.get("MESSAGE_ID", "")), 32)


@case("mendctl: what a user looks at")
def mendctl(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=100ms")
    by = t.kill(u.pid)
    i = u.wait_closed()
    text = run("mendctl", "--no-pager", "status", u.name)
    expect_text("status", text, u.name, "healthy", f"sh[{by.pid}]")
    text = run("mendctl", "--no-pager", "incident", i["id"][:8])
    expect_text("incident", text, u.name, "killed by SIGKILL", "fixed-weak", "RestartUnit sent")
    text = run("mendctl", "--no-pager", "incident", i["id"], "--format=markdown")
    expect_text("postmortem", text, "#", u.name, "killed by SIGKILL")
    stored = json.loads(run("mendctl", "--json=short", "incident", i["id"]))
    expect("JSON is what D-Bus gives", (stored["id"], stored["death"]["killer_pid"]), (i["id"], by.pid))
    units = json.loads(run_raw("mendctl", "--json=short", "status").stdout)
    expect_text("status of all as JSON", json.dumps(units), u.name)
    expect("exit status for a unit that is not watched", run_raw("mendctl", "status", "nosuch.service").returncode, 3)
    expect("exit status for wrong usage", run_raw("mendctl", "frobnicate").returncode, 2)
    shown = call_manager("GetUnit", "s", u.name)[0]
    expect("its object", shown, u.path)


def listeners_to(name):
    """Process ids of who listens to signals of that name; the bus knows."""
    text = run("busctl", "--json=short", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
               "org.freedesktop.DBus.Debug.Stats", "GetAllMatchRules")
    rules = json.loads(text)["data"][0]
    found = []
    for client, matches in rules.items():
        if any(name in match for match in matches):
            r = run("busctl", "--json=short", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
                    "org.freedesktop.DBus", "GetConnectionUnixProcessID", "s", client, check=False)
            found += [str(json.loads(r)["data"][0])] if r.startswith("{") else []
    return found


@case("mendctl events tells what happens as it happens")
def events(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=100ms")
    log = f"{RUN}/{u.name}.events"
    follower = subprocess.Popen(["mendctl", "--json=short", "events", u.name], stdout=open(log, "wb"),
                                stderr=subprocess.DEVNULL)
    try:
        wait("it listens to the bus", lambda: str(follower.pid) in listeners_to("org.mendd1"))
        u.request("exit 1")
        u.wait_closed()
        text = wait("the incident was opened and closed", lambda: (lambda x: x if "closed" in x.lower() else None)(
            read(log)))
        for line in text.splitlines():
            expect_text("a line", json.dumps(json.loads(line)), u.name)
    finally:
        follower.terminate()
        follower.wait()


@case("mendctl without mendd: exit status 4, and asking does not start it", alone=True)
def without_daemon(t):
    t.cleanup(run, "systemctl", "start", "mendd.socket", "mendd.service")
    run("systemctl", "stop", "mendd.socket", "mendd.service")
    for verb in ("status", "incidents", "doctor", "check-config"):
        r = run_raw("mendctl", "--no-pager", verb)
        expect_in(f"exit status of mendctl {verb}", r.returncode, *((1, 4) if verb == "doctor" else (4,)))
    expect("mendd", run_raw("systemctl", "is-active", "mendd.service").stdout.strip(), "inactive")
