#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An interrupted run leaves nothing behind: Ctrl-C, kill -9 of the script, kill -9 of the lab's owner.

    interrupted.py --build DIR
"""
import argparse
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BOOT_DEADLINE, CLEAN_DEADLINE = 60, 40


def leftovers():
    return subprocess.run([os.path.join(TOP, "scripts/leftovers")], stdout=subprocess.PIPE,
                          check=True).stdout


def wait_for(what, fact, seconds):
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(child) for child in f.read().split()]


def sleepers():
    return subprocess.run(["pgrep", "-f", "^sleep 600.25$"], stdout=subprocess.PIPE,
                          check=False).stdout


def start(build):
    """A script that runs a lab, as the quickstart does: its process, and the name of the lab when it is up."""
    flag = os.path.join("/tmp", f"interrupted.{os.getpid()}")
    if os.path.exists(flag):
        os.unlink(flag)
    inside = f"tests/lab/lab.py enter -- systemctl start mendd && dirname $LAB_ROOT >{flag} && exec sleep 600.25"
    script = subprocess.Popen(
        ["bash", "-c", f"/usr/bin/python3 tests/lab/lab.py run --build '{build}' -- bash -c '{inside}'; true"],
        cwd=TOP, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        # A shell starts what it puts into the background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_for("the lab did not boot", lambda: os.path.exists(flag) and os.path.getsize(flag),
             BOOT_DEADLINE)
    with open(flag, encoding="utf-8") as f:
        name = os.path.basename(f.read().strip())
    os.unlink(flag)
    return script, name


def ctrl_c(script):
    os.killpg(script.pid, signal.SIGINT)


def kill_script(script):
    os.kill(script.pid, signal.SIGKILL)


def kill_owner(script):
    owner, = children(script.pid)
    os.kill(owner, signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    build = os.path.abspath(parser.parse_args().build)
    failed = False
    for name, interrupt in (("Ctrl-C", ctrl_c), ("kill -9 of the script", kill_script),
                            ("kill -9 of the lab's owner", kill_owner)):
        try:
            script, lab = start(build)
            # Other labs may come and go meanwhile: this one is known by its name.
            assert lab and lab.encode() in leftovers(), "a running lab does not show"
            interrupt(script)
            wait_for("something is left behind", lambda: lab.encode() not in leftovers(),
                     CLEAN_DEADLINE)
            script.wait(CLEAN_DEADLINE)
            wait_for("the lab's command lives on", lambda: not sleepers(), CLEAN_DEADLINE)
            print(f"ok nothing is left behind after {name}", flush=True)
        except (AssertionError, TimeoutError, subprocess.TimeoutExpired) as e:
            failed = True
            print(f"not ok nothing is left behind after {name} # {e}", flush=True)
            print(leftovers().decode(), file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
