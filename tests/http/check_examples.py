#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of mendd-metrics(7), expressions and rules, through Prometheus' own checker. usage: check_examples.py PAGE"""
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77


def as_rules(blocks):
    """Expressions stand alone in the page; a rule is the form in which they can be checked."""
    for i, block in enumerate(blocks):
        if block.startswith("groups:"):
            yield block
        else:
            text = "".join("          " + line for line in block.splitlines(True))
            yield f"groups:\n  - name: example\n    rules:\n      - record: example:{i}\n        expr: |\n{text}"


def main():
    if not shutil.which("promtool"):
        print("skipped: promtool (package prometheus) is missing")
        return SKIPPED
    with open(sys.argv[1], encoding="utf-8") as f:
        blocks = re.findall(r"^```\n(.*?)^```$", f.read(), re.M | re.S)
    failed = len(blocks) < 2  # else the page is written in another way than it is read here
    for rules in as_rules(blocks):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as f:
            f.write(rules)
            f.flush()
            r = subprocess.run(["promtool", "check", "rules", f.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, check=False)
        if r.returncode:
            print(rules, r.stdout, sep="\n")
            failed = True
    print(f"{len(blocks)} examples")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
