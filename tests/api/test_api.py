#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The D-Bus API from outside: every property, every method, bad arguments, and who may change something,
with the bus policy that is installed, without polkit and with a real polkitd.

UPDATE_GOLDEN=1 writes the introspection files instead of comparing with them."""

import json
import os
import select
import signal
import subprocess
import time
import unittest
import xml.etree.ElementTree as ET

from private_bus import (ACTIONS, Case, DEADLINE, MANAGER, NOBODY, POLKITD, RULES, SOURCE, VERSION, main)

GOLDEN = os.path.join(SOURCE, "tests", "golden")
# Of everything that is decoded from a hostile name: what a terminal would obey.
CONTROLS = [chr(c) for c in list(range(0x20)) + [0x7f] + list(range(0x80, 0xa0)) if c != 0x0a]


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

    def test_bus_policy_lists_every_method_and_the_page_every_name(self):
        """The policy names each method, so that a new one is a decision; so does org.mendd1(5)."""
        rules = ET.parse(os.path.join(SOURCE, "data/org.mendd1.conf")).iter("allow")
        allowed = {r.get("send_member") for r in rules
                   if r.get("send_interface") == "org.mendd1.Manager"}
        with open(os.path.join(SOURCE, "data/man/org.mendd1.5.scd")) as f:
            page = f.read()
        for path, name in (("/org/mendd1", "org.mendd1.Manager"),
                           (self.path("idle.service"), "org.mendd1.Unit")):
            found = self.interface(path, name)
            for member in found:
                self.assertIn(f"*{member.get('name')}*", page)
            if path == "/org/mendd1":
                self.assertEqual({m.get("name") for m in found.findall("method")}, allowed)

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
        idle = self.path("idle.service")
        for path, name, value in (
                (nginx, "Name", "nginx.service"),
                (nginx, "Health", "healthy"),
                (nginx, "HealMode", "restart"),
                (nginx, "NRestarts", {"mendd": 2, "systemd": 1, "other": 0}),
                (nginx, "ListeningSockets", ["tcp 127.0.0.1:80", "tcp [::]:443"]),
                (nginx, "CheckStatus", "warning"),
                (nginx, "CheckText", "disk 91% full"),
                (nginx, "Program", "/usr/sbin/nginx"),
                (nginx, "ProbeStatus", "ok"),
                (nginx, "ProbeText", "HTTP 200 after 3ms"),
                (nginx, "ProbeDurationUSec", 3000),
                (nginx, "HTTPVisibility", "http"),
                (nginx, "HTTPRequests", 1000),
                (nginx, "HTTPErrors", 50),
                (nginx, "HTTPRequestRate", 100),
                (nginx, "HTTPInFlight", 2),
                (nginx, "HTTPUnread", 1),
                (nginx, "HTTPOutgoing", 7),
                (nginx, "HTTPCodes", {"200": 946, "500": 50}),
                (nginx, "HTTPIncomplete", {"client_reset": 2, "server_reset": 0, "server_died": 0,
                                           "timed_out": 0, "sent_ahead": 0}),
                (nginx, "HTTPMode", "auto"),
                (shop, "HTTPMode", "yes"),
                (shop, "HTTPVisibility", "tls"),
                (shop, "HTTPRequests", 0),
                (shop, "HTTPErrorRatio", None),
                (shop, "HTTPFirstByteP99USec", 2**64 - 1),
                (shop, "HTTPUntracked", {"tls": 3, "http2": 0, "upgraded": 0, "not_http": 0,
                                         "table_full": 0, "lost": 0}),
                (idle, "HTTPVisibility", "unavailable"),
                (idle, "HTTPRequests", 0),
                (idle, "HTTPErrorRatio", None),
                (idle, "HTTPCodes", {}),
                (idle, "HTTPUntracked", dict.fromkeys(("tls", "http2", "upgraded", "not_http",
                                                       "table_full", "lost"), 0)),
                (self.path("systemd-journald.service"), "HTTPVisibility", "off"),
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

    def test_quantiles(self):
        p50, p95, p99, queue, oldest = (
            self.property(self.path("nginx.service"), "org.mendd1.Unit", f"HTTP{name}USec")
            for name in ("FirstByteP50", "FirstByteP95", "FirstByteP99", "QueueP95",
                         "OldestInFlight"))
        self.assertTrue(0 < queue < p50 <= p95 < p99 < 1_000_000, (queue, p50, p95, p99))
        self.assertTrue(1_500_000 <= oldest < 120_000_000, oldest)
        ratio = self.property(self.path("nginx.service"), "org.mendd1.Unit", "HTTPErrorRatio")
        self.assertAlmostEqual(ratio, 50 / 996)

    def test_list_http(self):
        rows = json.loads(self.ok(self.bus.call("ListHTTP")))["data"][0]
        rows = [{k: v["data"] for k, v in row.items()} for row in rows]
        self.assertEqual([r["Name"] for r in rows], sorted(r["Name"] for r in rows))
        nginx, shop = (next(r for r in rows if r["Name"] == n + ".service")
                       for n in ("nginx", "shop"))
        self.assertEqual((nginx["Health"], nginx["Restarts"], nginx["HTTPRequestRate"],
                          nginx["HTTPInFlight"]), ("healthy", 3, 100, 2))
        # The same names and values as the properties have.
        for name in ("HTTPRequests", "HTTPErrors", "HTTPErrorRatio", "HTTPFirstByteP99USec",
                     "HTTPQueueP95USec", "HTTPUnread"):
            self.assertEqual(nginx[name], self.property(self.path("nginx.service"),
                                                        "org.mendd1.Unit", name))
        self.assertEqual(shop, {"Name": "shop.service", "Health": "unhealthy", "Restarts": 0,
                                "HTTPVisibility": "tls"})

    def test_manager_properties(self):
        for name, value in (("Version", VERSION), ("NUnits", 5), ("NUnitsUnhealthy", 1),
                            ("NIncidentsOpen", 1), ("NEventsLost", 3), ("NEvents", 12),
                            ("State", "running"), ("Pause", [0, ""])):
            with self.subTest(name=name):
                self.assertEqual(self.property("/org/mendd1", MANAGER[2], name), value)

    def test_names_of_strangers_are_harmless(self):
        comm = self.property(self.path("shop.service"), "org.mendd1.Unit", "LastExitKillerComm")
        self.assertEqual(comm, "?[31mev\ufffdil?")
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
        self.assertEqual(explained["decision"]["verb"], "wait")
        self.assertEqual(explained["decision"]["refusal"], "observe-only")
        self.assertIn("Heal=restart", explained["decision"]["text"])
        hang, probe = explained["alerts"]
        self.assertEqual([hang[k] for k in ("rule", "state", "value", "threshold")],
                         ["http-hang", "firing", 31.5, 30])
        self.assertGreater(hang["since_usec"], 0)
        self.assertIn("not one answer", hang["text"])
        self.assertEqual([probe[k] for k in ("rule", "state", "since_usec", "value")],
                         ["probe", "inactive", None, None])
        # Asking changes nothing, and asking twice gives the same.
        again = json.loads(json.loads(self.ok(self.bus.call("Explain", "s", "shop.service")))
                           ["data"][0])
        self.assertEqual(explained, again)

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
                                   uid=NOBODY), 1, "Access denied")

    def test_refusals_of_the_manager(self):
        self.fails(self.bus.ctl("restart", "systemd-journald", "--reason=x"), 1, "depends on it")
        bad = os.path.join(self.bus.directory, "bad-config")
        open(bad, "w").close()
        try:
            self.fails(self.bus.ctl("reload"), 1, "mendd.conf:3: unknown key")
            self.fails(self.bus.call("Reload"), 1, "mendd.conf:3")
        finally:
            os.unlink(bad)

    def test_log_level(self):
        log = ["org.mendd1", "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1"]
        read = ["get-property", *log, "LogLevel"]
        self.assertEqual(self.ok(self.bus.busctl(*read)), 's "info"\n')
        self.ok(self.bus.busctl("set-property", *log, "LogLevel", "s", "debug"))
        self.assertEqual(self.ok(self.bus.busctl(*read)), 's "debug"\n')
        for error, uid, arguments in (("Access denied", NOBODY, ["LogLevel", "s", "err"]),
                                      ("one of emerg", 0, ["LogLevel", "s", "loud"]),
                                      ("is a string", 0, ["LogLevel", "u", "3"]),
                                      ("not writable", 0, ["LogTarget", "s", "kmsg"]),
                                      ("nknown", 0, ["LogColour", "s", "red"])):
            with self.subTest(arguments=arguments):
                self.fails(self.bus.busctl("set-property", *log, *arguments, uid=uid), 1, error)
        self.assertEqual(self.ok(self.bus.busctl(*read)), 's "debug"\n')
        self.ok(self.bus.busctl("set-property", *log, "LogLevel", "s", "info"))

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


@unittest.skipUnless(POLKITD, "polkitd is not installed")
@unittest.skipUnless(all(map(os.path.isdir, (ACTIONS, RULES))), "polkit's folders are elsewhere")
@unittest.skipUnless(subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
                                    stderr=subprocess.DEVNULL).returncode == 0,
                     "mount namespaces are not allowed here")
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

    def test_a_polkit_that_hangs_is_a_no_and_locks_nobody_out(self):
        """Four questions of one user stay open until their deadline (15 s); the fifth is refused
        at once, root is served meanwhile, and what polkit would have allowed is not done."""
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                   self.bus.mendctl, "enable", "nginx"]
        before = self.bus.calls()
        self.bus.polkitd.send_signal(signal.SIGSTOP)
        try:
            asking = [subprocess.Popen(command, env=self.bus.environ, stdin=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE) for _ in range(5)]
            ended = select.select([p.stderr for p in asking], [], [], 10)[0]
            self.assertEqual(len(ended), 1)
            crowded = next(p for p in asking if p.stderr == ended[0])
            self.assertIn(b"Too many questions", crowded.stderr.read())
            self.ok(self.bus.ctl("reset", "nginx"))
            for p in asking:
                self.assertEqual(p.wait(timeout=DEADLINE), 1)
                if p is not crowded:
                    self.assertIn(b"polkit did not answer in time", p.stderr.read())
                p.stderr.close()
        finally:
            self.bus.polkitd.send_signal(signal.SIGCONT)
        self.assertEqual(self.bus.calls(), before + ["reset nginx.service 0"])
        # What polkit says too late to a question that was cancelled is not heard either.
        self.ok(self.bus.ctl("reset", "nginx"))
        self.assertEqual(self.bus.calls()[-2:], ["reset nginx.service 0"] * 2)


if __name__ == "__main__":
    main()
