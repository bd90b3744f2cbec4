# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private bus with the policy of a system bus, api-host on it, and ways to ask both: what test_api.py and
test_ctl.py share. Both are called as

    test_….py API-HOST MENDCTL SOURCE-ROOT
"""

import json
import os
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from xml.sax.saxutils import escape

HOST, MENDCTL, SOURCE = sys.argv[1:4]
DEADLINE = 20
NOBODY = 65534
MANAGER = ["org.mendd1", "/org/mendd1", "org.mendd1.Manager"]
ACTIONS = "/usr/share/polkit-1/actions"
RULES = "/etc/polkit-1/rules.d"
POLKITD = next((p for p in ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd") if
                os.path.exists(p)), None)


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


# As the build has it.
VERSION = subprocess.run([MENDCTL, "--version"], stdout=subprocess.PIPE, check=True,
                         text=True).stdout.split()[1]


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
            text = f.read().replace("@directory@", self.directory).replace("@source@", escape(SOURCE))
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
                      f"cp {shlex.quote(SOURCE)}/data/org.mendd1.policy {ACTIONS} && "
                      f"mount -t tmpfs -o mode=755 none {RULES} && "
                      f"cp {self.directory}/50-test.rules {RULES} && "
                      f"exec {POLKITD} --no-debug")
            with open(os.path.join(self.directory, "50-test.rules"), "w") as f:
                f.write('polkit.addRule(function(action, subject) {\n'
                        '  if (action.id == "org.mendd1.manage" && subject.user == "nobody" &&\n'
                        '      action.lookup("verb") == "set-healing" &&\n'
                        '      action.lookup("unit") == "nginx.service")\n'
                        '    return polkit.Result.YES;\n'
                        '});\n')
            self.polkitd = self.start(["unshare", "-m", "sh", "-c", script], env=self.environ)
            self.wait_for_name("org.freedesktop.PolicyKit1")
        self.start_host()

    def start(self, command, **options):
        p = subprocess.Popen(command, **options)
        self.processes.append(p)
        return p

    def start_host(self):
        self.host = self.start([HOST, self.directory], stdout=subprocess.PIPE, env=self.environ)
        lines_until(self.host.stdout, lambda lines: "ready" in lines)

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


def main():
    if os.geteuid() != 0:
        print("SKIP: the difference between root and others needs root to be tested")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
