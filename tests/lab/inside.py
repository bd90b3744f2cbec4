# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part of the suite that runs inside the lab: starts mendd, imports all cases, runs them."""
import argparse
import glob
import importlib
import os
import sys

import harness
from harness import Failure, case, journal, run, wait_mendd_ready


def start_mendd():
    os.makedirs(harness.RUN, exist_ok=True)
    os.makedirs(harness.UNIT_DIR, exist_ok=True)
    os.chmod(harness.RUN, 0o777)
    run("journalctl", "--update-catalog")
    run("systemctl", "start", "mendd.socket")
    run("systemctl", "start", "mendd.service")
    wait_mendd_ready()


@case("no report of a sanitizer in the journal", alone=True, last=True)
def no_sanitizer_report(_):
    found = [r["MESSAGE"] for r in journal("_SYSTEMD_UNIT=mendd.service")
             if any(word in str(r.get("MESSAGE", "")) for word in
                    ("Sanitizer", "runtime error:", "assertion", "Assertion"))]
    if found:
        raise Failure(" | ".join(found[:40]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--label", default="")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    start_mendd()
    here = os.path.dirname(os.path.abspath(__file__))
    for path in sorted(glob.glob(here + "/cases_*.py")):
        importlib.import_module(os.path.basename(path)[:-3])
    return 1 if harness.run_all(arguments.label, arguments.only) else 0


if __name__ == "__main__":
    sys.exit(main())
