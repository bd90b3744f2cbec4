# SPDX-License-Identifier: LGPL-2.1-or-later
"""How soon a server that was killed is serving again, and who restarts it.

The same static server under five supervisors in one lab, killed in turn (A B C D E A B …) by the same
client, which asks every 0.2 ms from before the kill on.

    tests/bench/run heal [--rounds 40]
"""
import argparse
import os
import random
import subprocess
import time

import figures
import inside

DIRECTORY = "/run/mendd-bench"
SECONDS = 20  # a round that takes longer ends the benchmark: somebody does not restart at all

# StartLimitIntervalSec=0: a benchmark kills more often than systemd lets a service be started.
SYSTEMD = """
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart={server} {port}
{service}
{mendd}
"""

# Heal=restart    the contestant; systemd's own Restart= stays at "no"
# Budget=         the defaults (5 a minute, 20 a day) are there to stop what this benchmark does
# Backoff=        the first restart after verified health is at once in any case; a short one keeps
#                 a single failed round from delaying those behind it
# VerifyFor=      the verdict, not the restart: shorter than the pause between two rounds, so that
#                 each kill meets a unit that was verified
# Probation=      a kill within it is a relapse, and a relapse is not restarted at once
MENDD = """
[X-Mendd]
Heal=restart
Budget=60/1min 60/1d
Backoff=100ms..100ms
VerifyFor=100ms
Probation=1s
"""

# As its manual recommends for a service that shall always run.
SUPERVISORD = """
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={directory}/supervisord.pid
[program:server]
command={server} {port}
autostart=true
autorestart=true
startretries=10
"""

# "set daemon 1" is its fastest cycle.
MONIT = """
set daemon 1
set pidfile {directory}/monit.pid
set idfile {directory}/monit.id
set statefile {directory}/monit.state
check process server with pidfile {directory}/server.pid
  start program = "{server} --daemon {directory}/server.pid {port}"
  stop program = "/bin/true"
"""


def systemd_service(name, port, service="", mendd=""):
    inside.write_unit(name + ".service", SYSTEMD.format(
        server=inside.program("server"), port=port, service=service, mendd=mendd))
    return name + ".service"


def supervisor(name, port, config, command):
    """A supervisor with its configuration, run by systemd as the distribution does."""
    path = os.path.join(DIRECTORY, name + ".conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write(config.format(directory=DIRECTORY, server=inside.program("server"), port=port))
    os.chmod(path, 0o600)  # monit refuses others
    inside.write_unit(name + ".service", f"[Service]\nExecStart={command} {path}\n")
    return name + ".service"


def contestants():
    os.makedirs(DIRECTORY, exist_ok=True)
    return [
        ("systemd, Restart=always RestartSec=0", 7001,
         systemd_service("bench-a", 7001, "Restart=always\nRestartSec=0")),
        ("systemd, Restart=always (RestartSec=100ms)", 7002,
         systemd_service("bench-b", 7002, "Restart=always")),
        ("mendd, Restart=no Heal=restart", 7003, systemd_service("bench-c", 7003, "", MENDD)),
        ("supervisord, autorestart=true", 7004,
         supervisor("bench-d", 7004, SUPERVISORD, "/usr/bin/supervisord -c")),
        ("monit, set daemon 1", 7005,
         supervisor("bench-e", 7005, MONIT, "/usr/bin/monit -I -c")),
    ]


def is_settled(unit):
    return inside.unit_property(unit, "HealingState") == "idle" and \
        inside.unit_property(unit, "Health") == "healthy"


def measure(number, port):
    r = subprocess.run([inside.program("kill"), f"killer{number}", str(port), str(SECONDS)],
                       stdout=subprocess.PIPE, check=False)
    if r.returncode:
        raise SystemExit(inside.run("journalctl", "--no-pager", "-n", "40"))
    return int(r.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with figures.Frame("serving again after SIGKILL"):
        inside.start_mendd()
        all_ = contestants()
        inside.run("systemctl", "daemon-reload")
        inside.run("systemctl", "start", *(unit for _, _, unit in all_))
        results = {what: [] for what, _, _ in all_}
        pids = inside.lab_pids()
        healed = all_[2][2]
        chance = random.Random(1)
        for number in range(rounds + 1):
            for what, port, unit in all_:
                inside.wait_for(what + " serving", lambda p=port: inside.who_serves(p))
                if unit == healed:
                    inside.wait_for("mendd done with the round before", lambda: is_settled(healed))
                    inside.run("mendctl", "reset", healed)
                inside.quiet(pids)
                # Two of them look once a second: the kill must not keep step with that.
                time.sleep(chance.random())
                took = measure(f"{number}", port)
                if number:  # the first round warms caches
                    results[what].append(took)
        figures.header("milliseconds")
        for what, values in results.items():
            figures.line(what, values, scale=1e6)
        verdicts = inside.unit_property(healed, "Verdicts")
        print(f"mendd's own view of its {rounds + 1} restarts: {verdicts}")


if __name__ == "__main__":
    main()
