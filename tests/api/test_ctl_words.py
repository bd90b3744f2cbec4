#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What people type and read: verbs that they expect, hints that help, units that need somebody first."""

import re
import unittest

from private_bus import Case, main


class Words(Case):
    def test_a_pattern_prints_each_unit_once(self):
        before = len(self.bus.ctl("status", "shop")[1].splitlines())
        code, out, _ = self.bus.ctl("status", "shop*")
        self.assertEqual((code, out.count("shop.service\n"), len(out.splitlines())), (1, 1, before))

    def test_who_needs_somebody_comes_first(self):
        for arguments in ([], ["status"], ["list"]):
            rows = self.bus.ctl("--no-legend", "-a", *arguments)[1].splitlines()
            health = [row.split()[1] for row in rows]
            order = ["unhealthy", "unknown", "healthy", "inactive"]
            self.assertEqual(health, sorted(health, key=order.index), arguments)
            self.assertTrue(rows[0].startswith("shop.service"), rows[0])
            self.assertIn("killed by SIGKILL", rows[0])
            self.assertTrue(all(row.rstrip().endswith(" -") for row in rows if " healthy " in row), rows)

    def test_list_is_the_table_alone(self):
        out = self.ok(self.bus.ctl("list"))
        self.assertTrue(out.startswith("UNIT "), out)
        self.assertNotIn("Healing:", out)
        self.assertIn('"reason":"', self.ok(self.bus.ctl("list", "--json=short")))

    def test_help_and_version_are_verbs(self):
        self.assertEqual(self.ok(self.bus.ctl("help")), self.ok(self.bus.ctl("--help")))
        self.assertEqual(self.ok(self.bus.ctl("help", "pause")), self.ok(self.bus.ctl("pause", "--help")))
        self.fails(self.bus.ctl("help", "puase"), 2, "Did you mean pause?")
        lines = self.ok(self.bus.ctl("version")).splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["mendctl", "mendd"])
        self.assertEqual(lines[0].split()[1], self.ok(self.bus.ctl("--version")).split()[1])

    def test_a_verb_lists_its_own_options(self):
        own = {"pause": {"--for", "--reason"}, "top": {"--all", "--lines", "--iterations", "--delay", "--batch",
                                                       "--sort"},
               "status": {"--all"}, "resume": set(), "incident": {"--format"}, "logs": {"--lines", "--follow"}}
        common = {"--help", "--version", "--json", "--no-legend", "--no-pager", "--quiet"}
        for verb, options in own.items():
            out = self.ok(self.bus.ctl("help", verb)).split("Options:\n")[1]
            self.assertEqual(set(re.findall(r"--[a-z-]+", out)), options | common, verb)

    def test_no_guess_far_off(self):
        for arguments in (["status", "postgres"], ["explain", "zzzzz"], ["reset", "idol-worship"], ["xyz"],
                          ["status", "dbus"]):
            code, _, err = self.bus.ctl(*arguments)
            self.assertIn(code, (2, 3))
            self.assertNotIn("Did you mean", err, arguments)
        for arguments, meant in ((["status", "ngnix"], "nginx.service"), (["explain", "shpo"], "shop.service"),
                                 (["stauts"], "status")):
            self.assertIn(f"Did you mean {meant}?", self.bus.ctl(*arguments)[2])

    def test_limits_and_times_are_for_people(self):
        code, _, err = self.bus.ctl("pause", "--for=8d")
        self.assertEqual(code, 2)
        self.assertIn("it lasts at most 1w.", err)
        self.assertNotIn("microseconds", err)
        for arguments in (["status", "shop"], ["incident", "eeeeffff"], ["explain", "shop"], ["incidents"]):
            self.assertNotRegex(self.bus.ctl(*arguments)[1], r"\b\d{4,} ?us\b")

    def test_restarts_are_counted_in_one_way(self):
        for arguments in (["status", "shop"], ["explain", "shop"]):
            out = self.bus.ctl(*arguments)[1]
            self.assertRegex(out, r"Budget: used \d+ of 5 restarts in 1min, \d+ of 20 restarts in 1d")
            self.assertNotIn("more now", out)

    def test_each_mistake_is_a_line(self):
        with open(self.bus.directory + "/bad-config", "w"):
            pass
        code, _, err = self.bus.ctl("reload")
        self.assertEqual(code, 1)
        self.assertNotIn("?\nf", err)
        self.assertEqual(err.splitlines(), ["mendd.conf:3: unknown key Hael=; did you mean Heal=?",
                                            "mendd.conf:4: unknown key Buget="])

    def test_logs_of_nothing(self):
        self.fails(self.bus.ctl("logs"), 2, "Usage: mendctl logs UNIT")
        self.fails(self.bus.ctl("logs", "shop", "--sort=p99"), 2, "no option --sort=")


if __name__ == "__main__":
    main()
