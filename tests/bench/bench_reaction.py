# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long after a death in the kernel mendd knows, and has sent RestartUnit to PID 1.

Both as mendd's own records tell, from the kernel's timestamp of the death: MENDD_DETECT_USEC and
MENDD_ACT_USEC. A process that dies takes its time: the bigger, the longer before PID 1 can reap it.

    tests/bench/run reaction [--kills 200]
"""
import argparse
import json
import subprocess

import figures
import inside

SIZES = (2, 256)  # MiB resident
UNITS = 4         # of each size, in turn: one can be killed while another is on probation
# Each kill meets a unit that is verified and past its probation; see bench_heal.py for the keys.
UNIT = """
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart={server} --resident {size} {port}
[X-Mendd]
Heal=restart
Budget=60/1min 60/1d
Backoff=100ms..100ms
VerifyFor=100ms
Probation=1s
"""


def records(unit):
    """One per healed death: what mendd said when it had verified the restart."""
    text = inside.run("journalctl", "--no-pager", "-o", "json", "OBJECT_SYSTEMD_UNIT=" + unit,
                      "MENDD_EVENT=verified")
    return [json.loads(x) for x in text.splitlines()]


def kill(unit, port, number, pids):
    """Kills the unit's server in a quiet lab, and waits until mendd has verified the restart."""
    inside.wait_for(unit + " idle and healthy", lambda: (
        inside.unit_property(unit, "HealingState"), inside.unit_property(unit, "Health"))
        == ("idle", "healthy"))
    inside.wait_for(unit + " serving", lambda: inside.who_serves(port))
    inside.run("mendctl", "reset", unit)
    inside.quiet(pids)
    r = subprocess.run([inside.program("kill"), f"killer{number}", str(port), "30"],
                       stdout=subprocess.DEVNULL, check=False)
    if r.returncode:
        raise SystemExit(inside.run("journalctl", "--no-pager", "-n", "40"))
    inside.wait_for("the verdict",
                    lambda: inside.unit_property(unit, "HealingState") in ("probation", "idle"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    kills = parser.parse_args().kills
    with figures.Frame("kernel death to mendd knowing, and to RestartUnit sent"):
        inside.start_mendd()
        units = [(size, f"bench-{size}-{i}.service", 7100 + 10 * k + i)
                 for i in range(UNITS) for k, size in enumerate(SIZES)]
        for size, unit, port in units:
            inside.write_unit(unit, UNIT.format(server=inside.program("server"), size=size, port=port))
        inside.run("systemctl", "daemon-reload")
        inside.run("systemctl", "start", *(unit for _, unit, _ in units))
        pids = inside.lab_pids()
        for number in range(kills * len(SIZES)):
            _, unit, port = units[number % len(units)]
            kill(unit, port, number, pids)
        figures.header("milliseconds")
        for size in SIZES:
            told = []
            for _, unit, _ in (u for u in units if u[0] == size):
                told += records(unit)
            for what, key in (("known", "MENDD_DETECT_USEC"), ("RestartUnit sent", "MENDD_ACT_USEC")):
                figures.line(f"{size} MiB resident, {what}", [int(r[key]) for r in told], scale=1e3,
                             digits=3)


if __name__ == "__main__":
    main()
