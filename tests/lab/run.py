#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab's test suite: boots one lab, installs mendd into it, and runs all cases inside.

    run.py [--build DIR] [--label TEXT] [--only PATTERN] [--keep-journal FILE]

One line a case: "ok lab: NAME", "not ok lab: NAME # why", "skip lab: NAME # reason". Exit status 1 if any failed.
This part runs on the host: it boots the lab, and does for the cases what only the host can do (the memory
controller). Everything else runs inside, in harness.py and cases_*.py.
"""
import argparse
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as lab_module  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
INSIDE = "/opt/mendd-tests"

# A build with sanitizers has to run under the shipped unit as well: it maps terabytes of shadow memory, and looks
# for leaks by tracing itself.
SANITIZER_DROP_IN = """[Service]
Environment=ASAN_OPTIONS=abort_on_error=0:exitcode=99:detect_leaks=1
Environment=UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99
Environment=LSAN_OPTIONS=exitcode=99
SystemCallFilter=ptrace
MemoryDenyWriteExecute=no
"""


def is_sanitized(build):
    r = subprocess.run(["meson", "introspect", "--buildoptions", build], stdout=subprocess.PIPE,
                       check=True)
    return any(o["name"] == "b_sanitize" and o["value"] != "none" for o in json.loads(r.stdout))


def prepare(lab, build):
    """The cases and the victim, where the lab sees them; the project may lie on another file system."""
    where = lab.root + INSIDE
    os.makedirs(where)
    for path in glob.glob(HERE + "/*.py"):
        shutil.copy(path, where)
    shutil.copytree(HERE + "/http", where + "/http")
    subprocess.run(["cc", "-O1", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "-pthread",
                    "-o", where + "/victim", HERE + "/victim.c"], check=True)
    if is_sanitized(build):
        lab_module.write(lab.root + "/etc/systemd/system/mendd.service.d/50-sanitizers.conf",
                         SANITIZER_DROP_IN)
        return True
    return False


def unit_cgroup(lab, unit):
    for top in lab.cgroups:
        path = os.path.join(top, "payload", "system.slice", unit)
        if os.path.isfile(path + "/cgroup.procs"):
            return path
    raise OSError(f"{unit} has no cgroup")


def limit_memory(lab, unit, size):
    """Puts the processes of a unit of the lab into a memory cgroup (v1) of their own."""
    os.makedirs(lab.memory, exist_ok=True)
    with open(lab.memory + "/memory.limit_in_bytes", "w", encoding="ascii") as f:
        f.write(str(size))
    with open(unit_cgroup(lab, unit) + "/cgroup.procs", encoding="ascii") as f:
        pids = f.read().split()
    for pid in pids:
        with open(lab.memory + "/cgroup.procs", "w", encoding="ascii") as f:
            f.write(pid)


def serve(lab, connection):
    """Answers the requests of the cases: one JSON object a line."""
    with connection.makefile("rw", encoding="utf-8") as stream:
        for line in stream:
            request = json.loads(line)
            try:
                if not lab.memory:
                    raise OSError("the host has no memory controller of cgroup v1")
                limit_memory(lab, request["unit"], request["bytes"])
                answer = ""
            except OSError as e:
                answer = str(e)
            stream.write(json.dumps({"error": answer}) + "\n")
            stream.flush()


def run_inside(lab, arguments, sanitized):
    ours, theirs = socket.socketpair()
    threading.Thread(target=serve, args=(lab, ours), daemon=True).start()
    command = ["/usr/bin/env", f"LAB_HOST_FD={theirs.fileno()}",
               f"LAB_SLOW={'3' if sanitized else '1'}", "PYTHONDONTWRITEBYTECODE=1",
               *(["LAB_SANITIZED=1"] if sanitized else []),
               "/usr/bin/python3", INSIDE + "/inside.py", "--label", arguments.label,
               "--only", arguments.only]
    process = subprocess.Popen(lab_module.enter_command(lab.leader, command),
                               stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                               start_new_session=True)  # Ctrl-C is for us: we take the lab down
    theirs.close()
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.kill()
        if arguments.keep_journal:
            keep_journal(lab, arguments.keep_journal)


def keep_journal(lab, path):
    _, text = lab_module.enter(lab.leader, ["journalctl", "--no-pager", "-o", "short-precise"])
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def main():
    def interrupted(number, _):
        raise KeyboardInterrupt(number)

    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build/release", help="build directory to install from")
    parser.add_argument("--label", default="", help="is part of each name")
    parser.add_argument("--only", default="", help="cases whose name matches (glob or expression)")
    parser.add_argument("--keep-journal", metavar="FILE", help="writes the lab's journal there")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    name = f"lab ({arguments.label})" if arguments.label else "lab"
    lab = None
    try:
        lab = lab_module.Lab()
        lab.mount_root()
        lab.prepare_root()
        lab.install(os.path.abspath(arguments.build))
        sanitized = prepare(lab, arguments.build)
        lab.boot()
        return run_inside(lab, arguments, sanitized)
    except lab_module.CannotBoot as e:
        print(f"not ok {name}: the lab boots # {e}".replace("\n", " | "), flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if lab:
            lab.stop()


if __name__ == "__main__":
    sys.exit(main())
