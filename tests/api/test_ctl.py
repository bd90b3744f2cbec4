#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""mendctl from outside: exit codes, hints, JSON, tables, reports, the terminal, completion, and following."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from private_bus import Case, DEADLINE, SOURCE, VERSION, lines_until, main


class Ctl(Case):
    def test_exit_codes_and_hints(self):
        for code, text, arguments in (
                (2, "Did you mean status?", ["statsu"]),
                (2, "Unknown verb", ["xyzzy-plugh"]),
                (2, "Did you mean --json?", ["--jsn=x"]),
                (2, "Unknown option -x", ["-x"]),
                (2, "takes no value", ["--quiet=1"]),
                (2, "needs a value", ["pause", "--for"]),
                (2, "needs a value", ["incidents", "-n"]),
                (2, "number from 1", ["incidents", "-n", "0"]),
                (2, "number from 1", ["incidents", "-n", "-5"]),
                (2, "time span", ["pause", "--for=soon"]),
                (2, "time span", ["pause", "--for=99999999999999999999w"]),
                (2, "time span", ["pause", "--for=infinity"]),
                (2, "time span", ["pause", "--for=0"]),
                (2, "pause always ends", ["pause", "--for=2w"]),
                (2, "pretty, short", ["--json=xml"]),
                (2, "Usage: mendctl explain UNIT", ["explain"]),
                (2, "Usage: mendctl pause", ["pause", "now"]),
                (2, "no option --reason=", ["reset", "nginx", "--reason=x"]),
                (2, "Say why", ["restart", "nginx"]),
                (2, "Say why", ["restart", "nginx", "--reason="]),
                (2, "256 bytes", ["restart", "nginx", "--reason=" + "x" * 256]),
                (2, "one of text, json", ["incident", "aaaabbbb", "--format=pdf"]),
                (2, "text or openmetrics", ["metrics", "--format=pdf"]),
                (2, "lower case", ["incident", "AAAA"]),
                (2, "needs a terminal", ["top"]),
                (2, "one of rate, errors", ["top", "-b", "--sort=size"]),
                (2, "from 100ms", ["top", "-b", "-d", "0.01"]),
                (2, "from 100ms", ["top", "-b", "--delay=never"]),
                (2, "number from 1", ["top", "-b", "--iterations=0"]),
                (2, "no option --batch", ["status", "-b"]),
                (2, "no option --iterations=", ["incidents", "--iterations=2"]),
                (1, "no incident", ["incident", "12345678"]),
                (3, "Did you mean nginx.service?", ["status", "ngnix"]),
                (3, "not watched", ["show", "nothere"]),
                (3, "not watched", ["explain", "nothere"]),
                (3, "not watched", ["enable", "nothere"]),
                (3, "not watched", ["incidents", "nothere"]),
                (3, "No watched unit", ["status", "not*"]),
                (3, "", ["status", "nginx", "nothere", "shop"]),
                (1, "", ["status"]),
                (1, "", ["status", "shop"]),
                (0, "", ["status", "nginx"]),
                (0, "", ["status", "ng*"]),
                (1, "", ["status", "*"]),
                (1, "", ["explain", "shop"]),
                (0, "", ["explain", "nginx.service"]),
                (0, "", ["incidents", "nginx"]),
                (1, "", ["incidents"]),
                (1, "", ["plugins"]),
                (0, "", ["--help"]),
                (0, "", ["pause", "--help"]),
                (0, "", ["-h", "pause"]),
                (0, "", ["--version"])):
            with self.subTest(arguments=arguments):
                got = self.bus.ctl(*arguments)
                self.assertEqual(got[0], code, got)
                self.assertIn(text, got[2])

    def test_every_verb_helps(self):
        listed = self.ok(self.bus.ctl("--help"))
        verbs = [line.split()[0] for line in listed.split("Verbs:\n")[1].split("\n\n")[0]
                 .splitlines()]
        self.assertEqual(len(verbs), 23)
        for verb in verbs:
            self.assertIn(f"mendctl {verb}", self.ok(self.bus.ctl(verb, "--help")))

    def test_without_daemon(self):
        environ = dict(self.bus.environ)
        try:
            for address in ("unix:path=/nonexistent", None):
                if address:
                    self.bus.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
                else:
                    empty = subprocess.Popen(
                        ["dbus-daemon", "--config-file=" + self.bus.directory + "/empty.conf",
                         "--nofork", "--print-address=1"], stdout=subprocess.PIPE)
                    self.bus.environ["DBUS_SYSTEM_BUS_ADDRESS"] = lines_until(
                        empty.stdout, lambda lines: lines)[0]
                for arguments in (["status"], ["status", "nginx"], ["show", "nginx"],
                                  ["explain", "a"], ["events"], ["metrics"], ["check-config"],
                                  ["check-config", "/dev/null", "/dev/null"], ["reload"],
                                  ["doctor"], ["plugins"], ["top", "-b"], ["incident", "aaaabbbb"]):
                    with self.subTest(address=address, arguments=arguments):
                        self.assertEqual(self.bus.ctl(*arguments)[0], 4)
        finally:
            self.bus.environ = environ
            empty.terminate()
            empty.wait(timeout=DEADLINE)
            empty.stdout.close()

    def setUp(self):
        with open(self.bus.directory + "/bus.conf") as f:
            text = f.read()
        with open(self.bus.directory + "/empty.conf", "w") as f:
            f.write(text.replace(self.bus.directory + "/bus<", self.bus.directory + "/empty<"))

    def test_json_is_json(self):
        for arguments in (["status"], ["status", "nginx", "shop"], ["show", "nginx"],
                          ["explain", "shop"], ["incidents"], ["incident", "eeeeffff"],
                          ["doctor"], ["plugins"], ["check-config"]):
            for mode in ("pretty", "short"):
                with self.subTest(arguments=arguments, mode=mode):
                    out = self.bus.ctl(*arguments, f"--json={mode}")[1]
                    json.loads(out)
                    self.assertEqual(out.count("\n") == 1, mode == "short")

    def test_status_of_the_host(self):
        code, out, err = self.bus.ctl("status")
        self.assertIn(f"mendd {VERSION}", out)
        self.assertIn("1 unit is restarted on failure", out)
        self.assertIn("5 watched", out)
        self.assertIn("1 unhealthy", out)
        self.assertIn("1 open", out)
        self.assertIn("3 lost", out)
        self.assertIn("Degraded: exec: refused: Operation not permitted", out)
        header = next(line for line in out.splitlines() if line.startswith("UNIT"))
        self.assertEqual(header.split(),
                         ["UNIT", "HEALTH", "HEALING", "CAUSE", "RESTARTS", "SINCE", "REASON"])
        self.assertEqual(self.bus.ctl()[1].split("\n\n")[0].splitlines()[1:],
                         out.split("\n\n")[0].splitlines()[1:])
        self.assertIn("1 inactive units are not shown; --all shows them.", out)
        rows = self.bus.ctl("--no-legend")[1].splitlines()
        self.assertEqual(len(rows), 4)
        self.assertFalse([row for row in rows if row.startswith("idle.service")])
        rows = self.bus.ctl("--no-legend", "-a")[1].splitlines()
        self.assertEqual(len(rows), 5)
        self.assertTrue(rows[-1].startswith("idle.service"))

    def test_status_of_a_unit(self):
        out = self.bus.ctl("status", "shop")[1]
        for text in ("Health: unhealthy", "SIGKILL", "666", "uid 1000", "session-3.scope",
                     "Incident: eeeeffff-0000-4000-8000-000000000003 (open",
                     "peak memory 64.0M", "had run for 1min 30s", "Next: "):
            self.assertIn(text, out)
        self.assertNotIn("another of its processes", out)
        out = self.bus.ctl("status", "nginx")[1]
        self.assertIn("2 by mendd, 1 by systemd, 0 by others", out)
        self.assertIn("Sockets: tcp 127.0.0.1:80, tcp [::]:443", out)
        self.assertIn("Check: warning: disk 91% full", out)
        self.assertIn("unknown key Hael=", self.bus.ctl("status", "web-app@1")[1])

    def test_status_of_http(self):
        out = self.bus.ctl("status", "nginx")[1]
        for text in ("Probe: ok: HTTP 200 after 3ms", "HTTP: 100 requests/s, 5.0% errors; first",
                     "p50 8.2ms, p95 75ms, p99 80ms; queue p95 817us",
                     "2 in flight (1 not read yet), the oldest for ",
                     "; 1000 requests, 50 errors, 2 incomplete so far"):
            self.assertIn(text, out)
        for unit, text in (("shop", "HTTP: cannot be seen: its connections are encrypted (TLS) "
                                    "(3 connections)"),
                           ("systemd-journald", "HTTP: not measured: HTTP=no")):
            self.assertIn(text, self.bus.ctl("status", unit)[1])
        # It does not run: there is nothing to say.
        self.assertNotIn("HTTP", self.bus.ctl("status", "idle")[1])

    def test_audit(self):
        code, out, _ = self.bus.ctl("audit")
        self.assertEqual(code, 1)
        self.assertIn("the metrics have never been scraped", out)
        code, out, _ = self.bus.ctl("audit", "shop", "--json=short")
        audited = json.loads(out)
        self.assertEqual([row["unit"] for row in audited], ["shop.service"])
        self.assertEqual(code, 1 if audited[0]["missing"] else 0)
        self.assertIn("no HTTP, in spite of HTTP=yes: cannot be seen: its connections are encrypted "
                      "(TLS)", audited[0]["missing"])
        # It listens; its probe is as good as a check.
        self.assertEqual(self.bus.ctl("audit", "nginx", "--json=short")[:2],
                         (0, '[{"unit":"nginx.service","missing":[]}]\n'))
        self.assertEqual(self.bus.ctl("audit", "nonesuch")[0], 3)

    def test_show(self):
        out = self.ok(self.bus.ctl("show", "nginx"))
        self.assertIn("\nHealth=healthy\n", out)
        self.assertIn("\nNextWakeUSec=infinity\n", out)
        self.assertTrue(all("=" in line for line in out.splitlines()))

    def test_show_http(self):
        lines = self.ok(self.bus.ctl("show", "nginx")).splitlines()
        for line in ("HTTPVisibility=http", "HTTPRequests=1000", 'HTTPCodes={"200":946,"500":50}',
                     "HTTPErrorRatio=0.0502008", "HTTPRequestRate=100"):
            self.assertIn(line, lines)
        self.assertIn("HTTPErrorRatio=", self.bus.ctl("show", "idle")[1].splitlines())

    def test_top_as_text(self):
        out = self.ok(self.bus.ctl("top", "-b", "-n", "3", "--delay=100ms"))
        pages = out.rstrip("\n").split("\n\n")
        self.assertEqual(len(pages), 3)
        for page in pages:
            time, titles, *rows = page.splitlines()
            self.assertEqual(titles.split(), ["UNIT", "RATE", "ERR%", "P50", "P95", "P99", "QUEUE",
                                              "INFL", "OLDEST", "RESTARTS", "HEALTH"])
            self.assertEqual(len(rows), 1)
            cells = rows[0].split()
            self.assertEqual(cells[:8] + cells[9:], ["nginx.service", "100", "5.0", "8.2ms", "75ms",
                                                     "80ms", "817us", "2", "3", "healthy"])
            # What nobody cuts off stays in its column.
            self.assertLessEqual(max(map(len, page.splitlines())), 80)
        self.assertIn("No HTTP has been seen", self.ok(self.bus.ctl("top", "-bn1", "shop")))
        self.assertIn("called that", self.ok(self.bus.ctl("top", "-bn1", "nothere")))

    def test_top_rows(self):
        def units(*options):
            out = self.ok(self.bus.ctl("top", "-bn1", "--no-legend", *options))
            return [line.split()[0] for line in out.splitlines()]
        everything = ["idle.service", "nginx.service", "shop.service", "systemd-journald.service",
                      "web-app@1.service"]
        busy_first = ["nginx.service"] + [u for u in everything if u != "nginx.service"]
        self.assertEqual(units(), ["nginx.service"])
        self.assertEqual(units("--all", "--sort=name"), everything)
        for key in ("rate", "errors", "p99", "queue", "inflight", "oldest", "r", "e", "p", "u", "i",
                    "o"):
            self.assertEqual(units("-a", f"--sort={key}"), busy_first)
        self.assertEqual(units("-a", "shop", "web*"), ["shop.service", "web-app@1.service"])
        self.assertEqual(units("--all", "*.service", "--sort=n"), everything)

    def test_top_as_json(self):
        lines = self.ok(self.bus.ctl("top", "--json=short", "-n", "2", "-d", ".1")).splitlines()
        self.assertEqual(len(lines), 2)
        first, second = map(json.loads, lines)
        self.assertLess(first["time_usec"], second["time_usec"])
        self.assertEqual([u["Name"] for u in first["units"]], ["nginx.service"])
        self.assertEqual(first["units"][0]["HTTPRequests"], 1000)

    def test_incident_forms(self):
        text = self.ok(self.bus.ctl("incident", "eeee"))
        self.assertIn("Detected: 80us later", text)
        self.assertIn("+0.000s  failed", text)
        markdown = self.ok(self.bus.ctl("incident", "eeee", "--format=markdown"))
        for part in ("# Postmortem: shop.service", "## Timeline", "## Cause", "## Impact",
                     "## Actions", "## Verdict", "## Five whys", "out of \\| cheese",
                     "session-3.scope"):
            self.assertIn(part, markdown)
        closed = self.ok(self.bus.ctl("incident", "aaaa", "--format=markdown"))
        self.assertIn("From the failure to the end of the incident: 10s", closed)
        self.assertIn("* acted: restart by mendd", closed)
        whole = json.loads(self.ok(self.bus.ctl("incident", "eeee", "--format=json")))
        self.assertEqual(whole["death"]["killer_pid"], 666)

    def test_metrics(self):
        out = self.ok(self.bus.ctl("metrics"))
        self.assertEqual(out.count("\n"), 5000)
        self.assertTrue(self.ok(self.bus.ctl("metrics", "--format=openmetrics"))
                        .endswith("# EOF\n"))

    def test_check_config(self):
        good, bad = (os.path.join(self.bus.directory, n) for n in ("good.conf", "bad.conf"))
        for path, text in ((good, "[X]\nHeal=restart\n"), (bad, "Hael=restart\n")):
            with open(path, "w") as f:
                f.write(text)
        self.ok(self.bus.ctl("check-config"))
        self.ok(self.bus.ctl("check-config", good))
        self.fails(self.bus.ctl("check-config", good, bad), 1,
                   f"{bad}:1: unknown key Hael=\ufffd; did you mean Heal=?")
        self.fails(self.bus.ctl("check-config", "/nonexistent"), 1, "No such file")
        with open(bad, "w") as f:
            f.write("x" * (256 * 1024 + 1))
        self.assertEqual(self.bus.ctl("check-config", bad)[0], 1)

    def test_doctor(self):
        code, out, err = self.bus.ctl("doctor")
        self.assertEqual(code, 1)
        self.assertIn(f"ok        mendd: version {VERSION}", out)
        self.assertIn("degraded  exec: refused", out)
        self.assertIn("degraded  polkit", out)
        self.assertIn("-> ", out)

    def on_terminal(self, *arguments, **environ):
        """Output of mendctl on a terminal of its own; the pager marks what went through it."""
        ours, theirs = pty.openpty()
        environ = {**self.bus.environ, "TERM": "xterm", "SYSTEMD_PAGER": "sed s/^/PAGED:/",
                   **environ}
        p = subprocess.Popen([self.bus.mendctl, *arguments], stdin=subprocess.DEVNULL,
                             stdout=theirs, stderr=theirs, env=environ)
        os.close(theirs)
        out = b""
        try:
            while select.select([ours], [], [], DEADLINE)[0]:
                data = os.read(ours, 65536)
                if not data:
                    break
                out += data
        except OSError:  # EIO: the last writer has gone
            pass
        os.close(ours)
        p.wait(timeout=DEADLINE)
        return out.decode()

    def test_terminal(self):
        colored = self.on_terminal("status", NO_COLOR="")
        self.assertIn("PAGED:UNIT", colored)
        self.assertIn("\x1b[0;1;31m", colored)
        self.assertNotIn("Cannot write", self.on_terminal("metrics", SYSTEMD_PAGER="head -n 1"))
        self.assertNotIn("\x1b", self.on_terminal("status", NO_COLOR="1"))
        self.assertNotIn("\x1b", self.on_terminal("status", NO_COLOR="", TERM="dumb"))
        self.assertNotIn("PAGED", self.on_terminal("status", "--no-pager"))
        self.assertNotIn("PAGED", self.on_terminal("status", "--json=short"))
        self.assertNotIn("\x1b", self.bus.run(["env", "-u", "NO_COLOR", self.bus.mendctl, "status"])
                         .stdout.decode())

    def test_a_reader_that_leaves_and_a_full_disk(self):
        command = f"{self.bus.mendctl} metrics"
        self.assertEqual(self.bus.run(["sh", "-c", command + " | head -n 1"]).returncode, 0)
        r = self.bus.run(["sh", "-c", command + " > /dev/full"])
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"Cannot write all of the output", r.stderr)

    def complete(self, *words):
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mendctl; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        r = self.bus.run(["env", "PATH=" + self.bus.directory + ":" + os.environ["PATH"], "bash",
                          "-c", script, "bash", f"{SOURCE}/data/completions/mendctl", *words])
        return r.stdout.decode().split()

    def test_completion(self):
        for words, found in ((["mendctl", "sta"], ["status"]),
                             (["mendctl", "status", "ng"], ["nginx.service"]),
                             (["mendctl", "--no-pager", "enable", "shop", "web"],
                              ["web-app@1.service"]),
                             (["mendctl", "top", "ng"], ["nginx.service"]),
                             (["mendctl", "top", "--sort", "=", "q"], ["queue"]),
                             (["mendctl", "top", "--ba"], ["--batch"]),
                             (["mendctl", "incident", "eeee"], ["eeeeffff"]),
                             (["mendctl", "pause", "--rea"], ["--reason="]),
                             (["mendctl", "status", "--json", "="], ["pretty", "short", "off"]),
                             (["mendctl", "--json", "=", "sh"], ["short"]),
                             (["mendctl", "metrics", "--format", "=", "o"], ["openmetrics"]),
                             (["mendctl", "incident", "--format", "=", "m"], ["markdown"])):
            with self.subTest(words=words):
                self.assertEqual(self.complete(*words), found)

    def test_verbs_are_documented_and_completed(self):
        with open(f"{SOURCE}/data/man/mendctl.1.scd") as f:
            page = f.read()
        verbs = [line.split()[0] for line in self.ok(self.bus.ctl("--help"))
                 .split("Verbs:\n")[1].split("\n\n")[0].splitlines()]
        completed = self.complete("mendctl", "")
        for verb in verbs:
            self.assertIn(f"*{verb}*", page)
        self.assertEqual(sorted(verbs), sorted(completed))

    def test_quiet_says_nothing(self):
        self.assertEqual(self.bus.ctl("-q", "reset", "nginx"), (0, "", ""))
        self.assertEqual(self.bus.ctl("reset", "nginx", "-q"), (0, "", ""))


class Events(Case):
    def test_signals_are_printed(self):
        for options in ([], ["--json=short"]):
            p = subprocess.Popen([self.bus.mendctl, "events", *options], env=self.bus.environ,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with p.stdout, p.stderr:
                lines_until(p.stderr, lambda lines: lines)
                self.bus.host.send_signal(signal.SIGUSR1)
                lines = lines_until(p.stdout, lambda seen: any("unit-removed" in s for s in seen))
                p.send_signal(signal.SIGINT)
                self.assertEqual(p.wait(timeout=DEADLINE), 0)
            if options:
                objects = [json.loads(line) for line in lines]
                self.assertIn(("alert", "web-app@1.service", "unit-down: firing"),
                              [(o["event"], o["unit"], o["text"]) for o in objects])
                # The second round found the unit unhealthy already: that is not said again.
                self.assertNotIn("health", [o["event"] for o in objects])
            else:
                whole = "\n".join(lines)
                for text in ("health  web-app@1.service  healthy -> unhealthy: exited with code 7",
                             "alert  web-app@1.service  unit-down: firing",
                             "incident-opened  web-app@1.service", ": exited",
                             "incident-closed  web-app@1.service", ": fixed-weak",
                             "unit-added  fresh.service", "unit-removed  fresh.service"):
                    self.assertIn(text, whole)
                self.assertEqual(whole.count("healthy -> unhealthy"), 1)
                self.assertNotIn("\x1b", whole)


class EventsOfOneUnit(Case):
    def test_only_one_unit_and_so_many_lines(self):
        p = subprocess.Popen([self.bus.mendctl, "events", "nginx", "-n", "2"],
                             env=self.bus.environ, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        with p.stdout, p.stderr:
            lines_until(p.stderr, lambda lines: lines)
            self.bus.host.send_signal(signal.SIGUSR1)
            self.ok(self.bus.ctl("disable", "nginx"))
            self.ok(self.bus.ctl("enable", "nginx"))
            self.assertEqual(p.wait(timeout=DEADLINE), 0)
            lines = p.stdout.read().decode().splitlines()
        self.assertEqual([line.split("  ", 1)[1] for line in lines],
                         ["healing  nginx.service  HealMode=observe",
                          "healing  nginx.service  HealMode=restart"])


@unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
class TopOnAScreen(Case):
    """A real terminal of a known size, what stands on it, and keys."""

    def tmux(self, *arguments):
        command = ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**self.bus.environ, "TERM": "xterm"}, timeout=DEADLINE)

    def start(self, width, height, *arguments, environ="NO_COLOR=1"):
        # A server for each: one that was told to end is there for another moment, with its socket.
        directory = tempfile.TemporaryDirectory(prefix="mendd-top-", ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.socket = directory.name + "/tmux"
        command = f"{environ} {self.bus.mendctl} top {' '.join(arguments)}; echo code=$?; cat"
        r = self.tmux("new-session", "-d", "-x", str(width), "-y", str(height), "sh", "-c", command)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.addCleanup(self.tmux, "kill-server")

    def screen(self, *options):
        return self.tmux("capture-pane", "-p", *options).stdout.decode().splitlines()

    def wait(self, wanted, *options):
        """Each look is a process, which paces the loop."""
        end = time.monotonic() + DEADLINE
        while not wanted(lines := self.screen(*options)):
            self.assertLess(time.monotonic(), end, "\n".join(lines))
        return lines

    def units(self, lines):
        return [line.split()[0] for line in lines[3:-1] if line.strip()]

    def test_keys_and_sizes(self):
        self.start(80, 8, "--all", "-d", ".1")
        lines = self.wait(lambda lines: len(lines) > 3 and lines[3].startswith("nginx"))
        self.assertEqual(lines[2].split(), ["UNIT", "RATE", "ERR%", "P95", "P99", "QUEUE", "INFL",
                                            "OLDEST", "RESTARTS", "HEALTH"])
        self.assertIn("5 of 5 units, by rate", lines[0])
        self.assertEqual(self.units(lines), ["nginx", "idle", "shop", "systemd-journald"])
        self.tmux("send-keys", "n")
        self.wait(lambda lines: self.units(lines)[:2] == ["idle", "nginx"])
        self.tmux("send-keys", "Down")
        self.wait(lambda lines: self.units(lines) == ["nginx", "shop", "systemd-journald",
                                                      "web-app@1"])
        self.tmux("send-keys", "Down", "Down", "PageUp")
        self.wait(lambda lines: self.units(lines)[0] == "idle")
        self.tmux("send-keys", "NPage")
        self.wait(lambda lines: self.units(lines)[-1] == "web-app@1")
        self.tmux("resize-window", "-x", "120", "-y", "12")
        lines = self.wait(lambda lines: len(self.units(lines)) == 5)
        self.assertIn("P50", lines[2])
        self.tmux("resize-window", "-x", "20", "-y", "6")
        lines = self.wait(lambda lines: len(lines[2]) <= 20 and lines[2].startswith("UNIT"))
        self.tmux("resize-window", "-x", "1", "-y", "1")
        self.tmux("resize-window", "-x", "80", "-y", "12")
        self.wait(lambda lines: len(self.units(lines)) == 5)
        self.tmux("send-keys", "q")
        self.wait(lambda lines: "code=0" in lines)

    def test_colours(self):
        self.start(80, 12, "--all", environ="TERM=screen NO_COLOR=")
        self.wait(lambda lines: any("\x1b[32mhealthy" in line for line in lines), "-e")
        self.tmux("kill-server")
        self.start(80, 12, "--all", environ="TERM=screen NO_COLOR=1")
        lines = self.wait(lambda lines: any("healthy" in line for line in lines), "-e")
        self.assertNotRegex("\n".join(lines), r"\x1b\[3[0-7]m")

    def test_no_screen_at_all(self):
        for term in ("nonesuch", "dumb"):
            self.start(80, 12, environ=f"TERM={term}")
            self.wait(lambda lines: "code=2" in lines and
                      any("no screen" in line for line in lines))
            self.tmux("kill-server")


class TopAndARestart(Case):
    def test_goes_on_when_mendd_is_back(self):
        p = subprocess.Popen([self.bus.mendctl, "top", "-b", "-d", ".1", "--no-legend"],
                             env=self.bus.environ, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        with p.stdout, p.stderr:
            lines_until(p.stdout, lambda lines: len(lines) > 1)
            self.bus.host.terminate()
            self.assertEqual(self.bus.host.wait(timeout=DEADLINE), 0)
            said = lines_until(p.stderr, lambda lines: lines)
            self.assertEqual(said, ["mendd is not running; waiting for it to come back."])
            # Whatever was on its way is read; what follows is of the new one.
            while select.select([p.stdout], [], [], 0)[0]:
                os.read(p.stdout.fileno(), 65536)
            self.bus.host.stdout.close()
            self.bus.start_host()
            lines_until(p.stdout, lambda lines: len(lines) > 1)
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(timeout=DEADLINE), 0)
            self.assertEqual(p.stderr.read(), b"")


if __name__ == "__main__":
    main()
