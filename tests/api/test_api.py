#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The D-Bus API and mendctl from outside: api-host on a private bus with the policy of a system
bus, asked by busctl and mendctl as root, as nobody, and with a real polkitd.

    test_api.py API-HOST MENDCTL SOURCE-ROOT

UPDATE_GOLDEN=1 writes the introspection files instead of comparing with them."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ET

HOST, MENDCTL, SOURCE = sys.argv[1:4]
GOLDEN = os.path.join(SOURCE, "tests", "golden")
DEADLINE = 20
NOBODY = 65534
MANAGER = ["org.mendd1", "/org/mendd1", "org.mendd1.Manager"]
ACTIONS = "/usr/share/polkit-1/actions"
POLKITD = next((p for p in ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd") if
                os.path.exists(p)), None)
# Of everything that is decoded from a hostile name: what a terminal would obey.
CONTROLS = [chr(c) for c in list(range(0x20)) + [0x7f] + list(range(0x80, 0xa0)) if c != 0x0a]


def lines_until(stream, wanted, deadline=DEADLINE):
    """Reads lines of a pipe until wanted(lines); fails after the deadline."""
    end, lines, rest = time.monotonic() + deadline, [], b""
    while not wanted(lines):
        left = end - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise AssertionError(f"not in {deadline} s, after {lines}")
        data = os.read(stream.fileno(), 65536)
        if not data:
            raise AssertionError(f"the end, after {lines}")
        *whole, rest = (rest + data).split(b"\n")
        lines += [line.decode() for line in whole]
    return lines


class Bus:
    """dbus-daemon, api-host and, where asked for, polkitd."""

    def __init__(self, polkit=False):
        self.directory = tempfile.mkdtemp(prefix="mendd-api-")
        os.chmod(self.directory, 0o755)
        self.processes = []
        # As nobody the build directory may be out of reach.
        self.mendctl = shutil.copy(MENDCTL, self.directory)
        config = os.path.join(self.directory, "bus.conf")
        with open(os.path.join(SOURCE, "tests/api/bus.conf.in")) as f:
            text = f.read().replace("@directory@", self.directory).replace("@source@", SOURCE)
        with open(config, "w") as f:
            f.write(text)
        bus = self.start(["dbus-daemon", f"--config-file={config}", "--nofork",
                          "--print-address=1"], stdout=subprocess.PIPE)
        self.address = lines_until(bus.stdout, lambda lines: lines)[0]
        self.environ = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.address, LC_ALL="C.UTF-8",
                            NO_COLOR="1")
        if polkit:
            # Its actions and rules are at fixed places: they are replaced in a namespace.
            script = (f"mount -t tmpfs -o mode=755 none {ACTIONS} && "
                      f"cp {SOURCE}/data/org.mendd1.policy {ACTIONS} && "
                      "mount -t tmpfs -o mode=755 none /etc/polkit-1/rules.d && "
                      f"cp {self.directory}/50-test.rules /etc/polkit-1/rules.d && "
                      f"exec {POLKITD} --no-debug")
            with open(os.path.join(self.directory, "50-test.rules"), "w") as f:
                f.write('polkit.addRule(function(action, subject) {\n'
                        '  if (action.id == "org.mendd1.manage" && subject.user == "nobody" &&\n'
                        '      action.lookup("verb") == "set-healing" &&\n'
                        '      action.lookup("unit") == "nginx.service")\n'
                        '    return polkit.Result.YES;\n'
                        '});\n')
            self.start(["unshare", "-m", "sh", "-c", script], env=self.environ)
            self.wait_for_name("org.freedesktop.PolicyKit1")
        self.host = self.start([HOST, self.directory], stdout=subprocess.PIPE, env=self.environ)
        lines_until(self.host.stdout, lambda lines: "ready" in lines)

    def start(self, command, **options):
        p = subprocess.Popen(command, **options)
        self.processes.append(p)
        return p

    def wait_for_name(self, name):
        end = time.monotonic() + DEADLINE
        # Each look is a round trip to the bus, which paces the loop.
        while name not in subprocess.run(
                ["busctl", f"--address={self.address}", "list", "--no-legend"],
                stdout=subprocess.PIPE, text=True, check=True).stdout:
            if time.monotonic() > end:
                raise AssertionError(f"{name} is not on the bus after {DEADLINE} s")

    def stop(self):
        codes = []
        for p in reversed(self.processes):
            p.terminate()
            codes.append(p.wait(timeout=DEADLINE))
            if p.stdout:
                p.stdout.close()
        shutil.rmtree(self.directory)
        return codes

    def calls(self):
        with open(os.path.join(self.directory, "calls")) as f:
            return f.read().splitlines()

    def run(self, command, uid=0):
        if uid:
            command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] + command
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environ, timeout=DEADLINE,
                              cwd="/")

    def ctl(self, *arguments, uid=0):
        r = self.run([self.mendctl, *arguments], uid)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def busctl(self, *arguments, uid=0):
        r = self.run(["busctl", f"--address={self.address}", *arguments], uid)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def call(self, *arguments, uid=0):
        return self.busctl("--json=short", "call", *MANAGER, *arguments, uid=uid)


class Case(unittest.TestCase):
    maxDiff = None
    polkit = False

    @classmethod
    def setUpClass(cls):
        cls.bus = Bus(cls.polkit)

    @classmethod
    def tearDownClass(cls):
        codes = cls.bus.stop()
        # The host was started last; its sanitizers speak through its exit code.
        if codes[0] != 0:
            raise AssertionError(f"api-host ended with {codes[0]}")

    def ok(self, result):
        code, out, err = result
        self.assertEqual(code, 0, err)
        return out

    def fails(self, result, code, text):
        self.assertEqual(result[0], code, result)
        self.assertIn(text, result[2])

    def path(self, unit):
        out = self.ok(self.bus.call("GetUnit", "s", unit))
        return json.loads(out)["data"][0]

    def property(self, path, interface, name):
        out = self.ok(self.bus.busctl("--json=short", "get-property", "org.mendd1", path,
                                      interface, name))
        return json.loads(out)["data"]


class Objects(Case):
    def interface(self, path, name):
        xml = self.ok(self.bus.busctl("introspect", "--xml-interface", "org.mendd1", path))
        # The interfaces that sd-bus adds differ between its versions; ours must not.
        found = ET.fromstring(xml).find(f"interface[@name='{name}']")
        self.assertIsNotNone(found, xml)
        ET.indent(found)
        return found

    def golden(self, path, name):
        found = self.interface(path, name)
        text = ET.tostring(found, encoding="unicode").rstrip() + "\n"
        file = os.path.join(GOLDEN, name + ".xml")
        if os.environ.get("UPDATE_GOLDEN"):
            with open(file, "w") as f:
                f.write(text)
        with open(file) as f:
            self.assertEqual(f.read(), text)
        return found

    def test_introspection_is_golden_and_every_property_readable(self):
        for path, name in (("/org/mendd1", "org.mendd1.Manager"),
                           (self.path("shop.service"), "org.mendd1.Unit"),
                           (self.path("idle.service"), "org.mendd1.Unit")):
            found = self.golden(path, name)
            properties = [p.get("name") for p in found.findall("property")]
            self.assertGreater(len(properties), 10)
            for p in properties:
                self.property(path, name, p)

    def test_unit_properties(self):
        unit = "org.mendd1.Unit"
        nginx, shop = self.path("nginx.service"), self.path("shop.service")
        for path, name, value in (
                (nginx, "Name", "nginx.service"),
                (nginx, "Health", "healthy"),
                (nginx, "HealMode", "restart"),
                (nginx, "NRestarts", {"mendd": 2, "systemd": 1, "other": 0}),
                (nginx, "ListeningSockets", ["tcp 127.0.0.1:80", "tcp [::]:443"]),
                (nginx, "CheckStatus", "warning"),
                (nginx, "CheckText", "disk 91% full"),
                (nginx, "Program", "/usr/sbin/nginx"),
                (nginx, "LastExitTimeUSec", 0),
                (nginx, "LastExitDescription", ""),
                (nginx, "InvocationID", "0123456789abcdef0123456789abcdef"),
                (nginx, "Denied", False),
                (self.path("systemd-journald.service"), "Denied", True),
                (shop, "Health", "unhealthy"),
                (shop, "HealingState", "hold"),
                (shop, "Refusal", "observe-only"),
                (shop, "Cause", "killed"),
                (shop, "IncidentID", "eeeeffff-0000-4000-8000-000000000003"),
                (shop, "IncidentOpen", True),
                (shop, "LastExitSignal", 9),
                (shop, "LastExitOutcome", "signaled"),
                (shop, "LastExitKiller", "process"),
                (shop, "LastExitKillerPid", 666),
                (shop, "LastExitKillerUID", 1000),
                (shop, "LastExitKillerUnit", "session-3.scope"),
                (shop, "LastExitPeakRSS", 64 << 20),
                (shop, "LastExitLifetimeUSec", 90_000_000),
                (shop, "NextWakeUSec", 2**64 - 1)):
            with self.subTest(path=path, name=name):
                self.assertEqual(self.property(path, unit, name), value)
        exited = self.property(shop, unit, "LastExitTimeUSec") / 1e6
        self.assertLess(abs(exited - time.time()), 120)

    def test_manager_properties(self):
        for name, value in (("Version", "0.1.0"), ("NUnits", 5), ("NUnitsUnhealthy", 1),
                            ("NIncidentsOpen", 1), ("NEventsLost", 3), ("NEvents", 12),
                            ("State", "running"), ("Pause", [0, ""])):
            with self.subTest(name=name):
                self.assertEqual(self.property("/org/mendd1", MANAGER[2], name), value)

    def test_names_of_strangers_are_harmless(self):
        comm = self.property(self.path("shop.service"), "org.mendd1.Unit", "LastExitKillerComm")
        self.assertEqual(comm, " [31mev\ufffdil ")
        for arguments in (["status", "shop"], ["show", "shop"], ["explain", "shop"],
                          ["incident", "eeeeffff"], ["incidents"],
                          ["incident", "eeeeffff", "--format=markdown"]):
            out = "".join(self.bus.ctl(*arguments)[1:])
            self.assertIn("il", out)
            self.assertEqual([c for c in CONTROLS if c in out], [], out)

    def test_object_manager_knows_all_units(self):
        out = self.ok(self.bus.busctl("--json=short", "call", "org.mendd1", "/org/mendd1",
                                      "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"))
        objects = json.loads(out)["data"][0]
        self.assertEqual({o["org.mendd1.Unit"]["Name"]["data"] for p, o in objects.items()
                          if "org.mendd1.Unit" in o},
                         {"nginx.service", "shop.service", "web-app@1.service", "idle.service",
                          "systemd-journald.service"})

    def test_list_units(self):
        rows = json.loads(self.ok(self.bus.call("ListUnits")))["data"][0]
        self.assertEqual([r[0] for r in rows], sorted(r[0] for r in rows))
        nginx = next(r for r in rows if r[0] == "nginx.service")
        self.assertEqual(nginx[1:6], ["healthy", "restart", "idle", "none", 3])
        self.assertEqual(nginx[7], self.path("nginx.service"))

    def test_explain(self):
        out = json.loads(self.ok(self.bus.call("Explain", "s", "shop.service")))
        explained = json.loads(out["data"][0])
        self.assertEqual(explained["state"], "hold")
        self.assertEqual(explained["trouble"]["cause"], "killed")
        self.assertIn(explained["decision"]["verb"],
                      ("none", "wait", "act", "adopt", "conclude", "close"))

    def test_incidents_come_from_memory_and_from_the_store(self):
        for id, unit in (("aaaabbbb", "nginx.service"), ("ccccdddd", "gone.service")):
            out = json.loads(self.ok(self.bus.call("GetIncident", "s", id)))
            self.assertEqual(json.loads(out["data"][0])["unit"], unit)
        for limit, n, asked in ((0, 2, 100), (1, 1, 1), (4294967295, 2, 1000)):
            out = json.loads(self.ok(self.bus.call("ListIncidents", "su", "", str(limit))))
            self.assertEqual(len(json.loads(out["data"][0])), n)
            self.assertEqual(self.bus.calls()[-1], f"list_incidents - {asked}")

    def test_bad_arguments(self):
        many = "x" * 256
        for error, arguments in (
                ("not the name of a service", ["GetUnit", "s", ""]),
                ("not the name of a service", ["GetUnit", "s", "a" * 5000]),
                ("not the name of a service", ["GetUnit", "s", "x/../y.service"]),
                ("not watched", ["GetUnit", "s", "nothere.service"]),
                ("not watched", ["Explain", "s", "nothere.service"]),
                ("not watched", ["RestartUnit", "sst", "nothere.service", "why", "0"]),
                ("256 bytes", ["RestartUnit", "sst", "nginx.service", many, "0"]),
                ("control character", ["RestartUnit", "sst", "nginx.service", "a\nb", "0"]),
                ("control character", ["RestartUnit", "sst", "nginx.service", "a\x9bb", "0"]),
                ("reason is needed", ["RestartUnit", "sst", "nginx.service", "", "0"]),
                ("must be 0", ["RestartUnit", "sst", "nginx.service", "why", "1"]),
                ("must be 0", ["ResumeHealing", "t", "8"]),
                ("must be 0", ["ResetUnit", "st", "nginx.service", "1"]),
                ("must be 0", ["PauseHealing", "tst", "1", "", "2"]),
                ("pause always ends", ["PauseHealing", "tst", "0", "", "0"]),
                ("pause always ends", ["PauseHealing", "tst", "604800000001", "", "0"]),
                ("pause always ends", ["PauseHealing", "tst", str(2**64 - 1), "", "0"]),
                ("mode is one of", ["SetHealing", "ss", "nginx.service", "reboot"]),
                ("in lower case", ["GetIncident", "s", "abc"]),
                ("in lower case", ["GetIncident", "s", "../../x"]),
                ("in lower case", ["GetIncident", "s", "a" * 37]),
                ("no incident", ["GetIncident", "s", "1234567"]),
                ("not the name", ["ListIncidents", "su", "%", "1"]),
                ("format is", ["DumpMetrics", "s", "xml"]),
                ("control character", ["VerifyConfigText", "ss", "a\x1bb", ""])):
            with self.subTest(arguments=arguments):
                before = self.bus.calls()
                self.fails(self.bus.call(*arguments), 1, error)
                self.assertEqual(self.bus.calls(), before)

    def test_nothing_can_be_set(self):
        self.fails(self.bus.busctl("set-property", *MANAGER, "State", "s", "x"), 1, "")
        code, out, err = self.bus.busctl("get-property", "org.mendd1", "/org/mendd1/unit/no_2eservice",
                                         "org.mendd1.Unit", "Name")
        self.assertNotEqual(code, 0)


class Changes(Case):
    def test_root_may(self):
        for arguments, call in (
                (["enable", "nginx"], "set_heal nginx.service restart"),
                (["disable", "web-app@1"], "set_heal web-app@1.service observe"),
                (["reset", "shop"], "reset shop.service 0"),
                (["restart", "shop", "--reason=because of ünïcode"],
                 "restart shop.service 0 because of ünïcode"),
                (["reload"], "reload"),
                (["pause"], "pause 300000000 0 "),
                (["pause", "--for=1h 30min", "--reason=deploy"], "pause 5400000000 0 deploy"),
                (["resume"], "resume 0")):
            with self.subTest(arguments=arguments):
                self.ok(self.bus.ctl(*arguments))
                self.assertEqual(self.bus.calls()[-1], call)

    def test_nobody_may_not_without_polkit(self):
        for arguments in (["enable", "nginx"], ["disable", "nginx"], ["reset", "shop"],
                          ["restart", "shop", "--reason=x"], ["reload"], ["pause"], ["resume"]):
            with self.subTest(arguments=arguments):
                before = self.bus.calls()
                self.fails(self.bus.ctl(*arguments, uid=NOBODY), 1, "only root may")
                self.assertEqual(self.bus.calls(), before)

    def test_nobody_may_read(self):
        for arguments, code in ((["status"], 1), (["status", "nginx"], 0), (["show", "nginx"], 0),
                                (["explain", "nginx"], 0), (["incidents"], 1), (["metrics"], 0),
                                (["incident", "aaaabbbb"], 0), (["check-config"], 0)):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.bus.ctl(*arguments, uid=NOBODY)[0], code)

    def test_nobody_cannot_take_the_name(self):
        self.fails(self.bus.busctl("call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                   "org.freedesktop.DBus", "RequestName", "su", "org.mendd1", "0",
                                   uid=NOBODY), 1, "not allowed to own")

    def test_refusals_of_the_manager(self):
        self.fails(self.bus.ctl("restart", "systemd-journald", "--reason=x"), 1, "depends on it")
        bad = os.path.join(self.bus.directory, "bad-config")
        open(bad, "w").close()
        try:
            self.fails(self.bus.ctl("reload"), 1, "mendd.conf:3: unknown key")
            self.fails(self.bus.call("Reload"), 1, "mendd.conf:3")
        finally:
            os.unlink(bad)

    def test_pause_is_shown(self):
        self.ok(self.bus.ctl("pause", "--for=10min", "--reason=release"))
        out = self.bus.ctl("status")[1]
        self.assertIn("paused until", out)
        self.assertIn("release", out)
        m = json.loads(self.bus.ctl("status", "--json=short")[1])["manager"]
        self.assertEqual(m["State"], "paused")
        self.assertFalse(m["HealingEnabled"])
        self.assertLess(abs(m["Pause"][0] / 1e6 - time.time() - 600), 60)
        self.ok(self.bus.ctl("resume"))
        self.assertNotIn("paused", self.bus.ctl("status")[1])


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
                (1, "no incident", ["incident", "12345678"]),
                (3, "Did you mean nginx.service?", ["status", "ngnix"]),
                (3, "not watched", ["show", "nothere"]),
                (3, "not watched", ["explain", "nothere"]),
                (3, "not watched", ["enable", "nothere"]),
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
        self.assertEqual(len(verbs), 17)
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
                                  ["doctor"], ["plugins"], ["incident", "aaaabbbb"]):
                    with self.subTest(address=address, arguments=arguments):
                        self.assertEqual(self.bus.ctl(*arguments)[0], 4)
        finally:
            self.bus.environ = environ
            empty.terminate()
            empty.wait(timeout=DEADLINE)
            empty.stdout.close()

    def setUp(self):
        text = open(self.bus.directory + "/bus.conf").read()
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
        self.assertIn("mendd 0.1.0", out)
        self.assertIn("1 unit is restarted on failure", out)
        self.assertIn("5 watched", out)
        self.assertIn("1 unhealthy", out)
        self.assertIn("1 open", out)
        self.assertIn("3 lost", out)
        self.assertIn("Degraded: exec: refused: Operation not permitted", out)
        header = next(line for line in out.splitlines() if line.startswith("UNIT"))
        self.assertEqual(header.split(),
                         ["UNIT", "HEALTH", "HEALING", "CAUSE", "RESTARTS", "SINCE"])
        self.assertEqual(self.bus.ctl()[1].split("\n\n")[0].splitlines()[1:],
                         out.split("\n\n")[0].splitlines()[1:])
        rows = self.bus.ctl("--no-legend")[1].splitlines()
        self.assertEqual(len(rows), 5)
        self.assertTrue(rows[0].startswith("idle.service"))

    def test_status_of_a_unit(self):
        out = self.bus.ctl("status", "shop")[1]
        for text in ("Health: unhealthy", "SIGKILL", "666", "uid 1000", "session-3.scope",
                     "Incident: eeeeffff-0000-4000-8000-000000000003 (open",
                     "peak memory 64.0M", "had run for 1min 30s", "Next: "):
            self.assertIn(text, out)
        out = self.bus.ctl("status", "nginx")[1]
        self.assertIn("2 by mendd, 1 by systemd, 0 by others", out)
        self.assertIn("Sockets: tcp 127.0.0.1:80, tcp [::]:443", out)
        self.assertIn("Check: warning: disk 91% full", out)
        self.assertIn("unknown key Hael=", self.bus.ctl("status", "web-app@1")[1])

    def test_show(self):
        out = self.ok(self.bus.ctl("show", "nginx"))
        self.assertIn("\nHealth=healthy\n", out)
        self.assertIn("\nNextWakeUSec=infinity\n", out)
        self.assertTrue(all("=" in line for line in out.splitlines()))

    def test_incident_forms(self):
        text = self.ok(self.bus.ctl("incident", "eeee"))
        self.assertIn("Detected: 80us later", text)
        self.assertIn("+0.000s  failed", text)
        markdown = self.ok(self.bus.ctl("incident", "eeee", "--format=markdown"))
        for part in ("# Postmortem: shop.service", "## Timeline", "## Cause", "## Impact",
                     "## Actions", "## Verdict", "## Five whys", "out of \\| cheese",
                     "session-3.scope"):
            self.assertIn(part, markdown)
        self.assertIn("lasted" if False else "10s",
                      self.ok(self.bus.ctl("incident", "aaaa", "--format=markdown")))
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
        self.assertIn("ok        mendd: version 0.1.0", out)
        self.assertIn("degraded  exec: refused", out)
        self.assertIn("degraded  polkit", out)
        self.assertIn("-> ", out)

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


@unittest.skipUnless(POLKITD, "polkitd is not installed")
class Polkit(Case):
    polkit = True

    def test_rules_decide_by_verb_and_unit(self):
        self.ok(self.bus.ctl("enable", "nginx", uid=NOBODY))
        self.assertEqual(self.bus.calls()[-1], "set_heal nginx.service restart")
        before = self.bus.calls()
        for arguments in (["enable", "shop"], ["reset", "nginx"], ["pause"], ["reload"],
                          ["restart", "nginx", "--reason=x"]):
            with self.subTest(arguments=arguments):
                self.fails(self.bus.ctl(*arguments, uid=NOBODY), 1, "")
                self.assertEqual(self.bus.calls(), before)

    def test_root_need_not_ask(self):
        self.ok(self.bus.ctl("reset", "nginx"))
        self.assertEqual(self.bus.calls()[-1], "reset nginx.service 0")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: the difference between root and others needs root to be tested")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
