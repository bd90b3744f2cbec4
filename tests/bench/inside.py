# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benchmarks need inside the lab: units, mendd's process, its counters, and quiet."""
import glob
import os
import re
import socket
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = "/run/systemd/system"
DEADLINE = 30.0


def program(name):
    return os.path.join(HERE, "bench_" + name)


def run(*command):
    r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, check=False)
    if r.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {r.returncode}\n" + r.stderr.decode())
    return r.stdout.decode()


def wait_for(what, condition, deadline=DEADLINE, every=0.02):
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {deadline:.0f} s\n"
                             + run("journalctl", "--no-pager", "-n", "20", "-o", "short-monotonic"))
        time.sleep(every)


def write_unit(name, text):
    with open(os.path.join(UNITS, name), "w", encoding="utf-8") as f:
        f.write(text)


def start_mendd():
    run("systemctl", "start", "mendd.socket", "mendd.service")
    wait_for("mendd on the bus", lambda: mendd("State") != "")
    return main_pid("mendd.service")


def main_pid(unit):
    return int(run("systemctl", "show", "-P", "MainPID", unit))


def _property(path, interface, name):
    r = subprocess.run(["busctl", "get-property", "org.mendd1", path, interface, name],
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return r.stdout.decode().partition(" ")[2].strip().strip('"')


def mendd(name):
    return _property("/org/mendd1", "org.mendd1.Manager", name)


def unit_property(unit, name):
    path = "/org/mendd1/unit/" + "".join(
        c if c.isalnum() else f"_{ord(c):02x}" for c in unit)
    return _property(path, "org.mendd1.Unit", name)


def who_serves(port):
    """The pid that serves, 0: nobody."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            return int.from_bytes(s.recv(4), "little")
    except OSError:
        return 0


def metrics():
    """{'name{labels}': value} of mendd's page."""
    with urllib.request.urlopen("http://127.0.0.1:16363/metrics", timeout=DEADLINE) as page:
        lines = page.read().decode().splitlines()
    return {name: float(value) for name, _, value in
            (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def metric_sum(values, prefix, *parts):
    return sum(v for k, v in values.items() if k.startswith(prefix) and all(p in k for p in parts))


def cpu_ns(pid):
    """Time on a CPU of all threads so far, to the nanosecond."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path, encoding="ascii") as f:
                total += int(f.read().split()[0])
        except OSError:
            pass
    return total


def switches(pid):
    """(voluntary, involuntary) context switches of all threads: the former are its sleeps."""
    voluntary = involuntary = 0
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        with open(path, encoding="ascii") as f:
            text = f.read()
        voluntary += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])
        involuntary += int(re.search(r"^nonvoluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])
    return voluntary, involuntary


def memory(pid):
    """KiB by kind, of smaps_rollup."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return {k: int(v) for k, v in re.findall(r"^(\w+):\s+(\d+) kB", f.read(), re.M)}


def memory_by_file(pid):
    """{file: resident KiB} of what is mapped."""
    sums, name = {}, ""
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as f:
        for line in f:
            m = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)", line)
            if m:
                name = os.path.basename(m[1]) or "(anonymous)"
            elif line.startswith("Rss:"):
                sums[name] = sums.get(name, 0) + int(line.split()[1])
    return sums


def quiet(pids, limit=DEADLINE):
    """Waits until these processes have together run for less than 1 ms in 50 ms."""
    end = time.monotonic() + limit
    before = sum(map(cpu_ns, pids))
    while time.monotonic() < end:
        time.sleep(0.05)
        now = sum(map(cpu_ns, pids))
        if now - before < 1_000_000:
            return
        before = now
    raise SystemExit("the lab does not become quiet")


def lab_pids():
    """Who works for every restart: PID 1, the bus, the journal, mendd."""
    return [1] + [main_pid(u) for u in
                  ("dbus.service", "systemd-journald.service", "mendd.service")]
