#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A file includes its own floor and those below it, never one above. See CONTRIBUTING.md."""
import os
import re
import subprocess
import sys

# Floor of a file, by its folder; the longest prefix counts. ctl/ and plugins/ are houses of their own.
FLOORS = {"daemon/base/": 0, "daemon/state/": 1, "daemon/judge/": 2, "daemon/edge/": 3, "daemon/": 4}
# Seen from everywhere: the kernel's records (edge only) and its HTTP counts and the public plugin header.
SHARED = {"bpf/wire.h": 3, "bpf/http_wire.h": 1, "bpf/http.h": 0, "plugins/mendd-plugin.h": 3, "plugins/builtin.h": 4, "plugins/message-ids.h": 4}
# Floors 0 to 2 touch nothing of the outside world.
PURE_FORBIDDEN = re.compile(r"#include <(systemd|bpf|netlink|curl|microhttpd|sqlite3)[/.]")
INCLUDE = re.compile(r'#include "([^"]+)"')


def floor(path):
    if path in SHARED:
        return SHARED[path]
    found = [prefix for prefix in FLOORS if path.startswith(prefix)]
    return FLOORS[max(found, key=len)] if found else None


def check(path):
    own = floor(path)
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if own is not None and own <= 2 and PURE_FORBIDDEN.match(line):
                yield f"{path}:{number}: floor {own} must not know {line.strip()}"
            match = INCLUDE.match(line)
            if not match:
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(path), match[1]))
            above = floor(target)
            if own is not None and above is not None and above > own:
                yield f"{path}:{number}: floor {own} includes floor {above}: {target}"
            if path.startswith("ctl/") and above is not None and above > 0:
                yield f"{path}:{number}: the command line speaks D-Bus; it must not know {target}"


def main():
    files = subprocess.run(["scripts/sources", "*.c", "*.h"], stdout=subprocess.PIPE, check=True,
                           text=True).stdout.split()
    mistakes = [m for f in files if not f.startswith("tests/") for m in check(f)]
    print("\n".join(mistakes))
    sys.exit(1 if mistakes or not files else 0)


if __name__ == "__main__":
    main()
