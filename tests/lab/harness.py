# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the cases of the lab stand on; it runs inside the lab, as root.

Nothing here sleeps and hopes: wait() asks for a fact until it is there or its deadline has passed. A case gets a
`Case`, whose units are started before and taken away after it, always together with a bystander: a unit of the
same kind that nobody touches, and which must keep its main process and its invocation.
"""
import fnmatch
import http.client
import json
import os
import re
import subprocess
import threading
import time
import traceback

UNIT_DIR = "/usr/local/lib/systemd/system"  # below /etc and /run, so that `systemctl mask` works
RUN = "/run/lab"
VICTIM = "/opt/mendd-tests/victim"
SLOW = float(os.environ.get("LAB_SLOW", "1"))  # a build with sanitizers takes its time
DEADLINE = 15.0
WIDTH, WIDTH_AMONG = int(os.environ.get("LAB_WIDTH", "8")), 3  # how many cases run side by side
CASES = []
LEAVE_ALONE = threading.Lock()  # daemon-reload and the like: one at a time


class Failure(Exception):
    """What was expected did not happen."""


class Skip(Exception):
    """This machine cannot show it; the text says why."""


def case(name, alone=False, last=False, among=""):
    """Registers a case. Cases run side by side, unless they change something that concerns all (alone). Those with
    the same word for `among` run beside each other, and beside nothing else."""
    def register(function):
        CASES.append({"name": name, "run": function, "alone": alone, "last": last, "among": among})
        return function
    return register


def run(*command, check=True, timeout=60, stdin="", environment=None):
    """Output of a command, both streams; a failure of it is one of the case."""
    r = run_raw(*command, timeout=timeout, stdin=stdin, environment=environment)
    if check and r.returncode:
        raise Failure(f"{' '.join(command)}: exit status {r.returncode}: {r.stdout.strip()[-400:]}")
    return r.stdout


def run_raw(*command, timeout=60, stdin="", environment=None):
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, timeout=timeout * SLOW, encoding="utf-8", errors="replace",
                          env=dict(os.environ, **environment) if environment else None)


def wait(what, fact, deadline=DEADLINE):
    """Asks until fact() is true, and returns it; an exception of fact() counts as "not yet"."""
    end = time.monotonic() + deadline * SLOW
    last, pause = None, 0.005
    while True:
        try:
            value = fact()
            if value:
                return value
            last = value
        except (Failure, OSError, LookupError, ValueError, subprocess.SubprocessError,
                http.client.HTTPException) as e:
            last = e
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {deadline * SLOW:g} s (last: {last!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def expect(what, got, wanted):
    if got != wanted:
        raise Failure(f"{what}: {got!r} instead of {wanted!r}")


def expect_in(what, got, *wanted):
    if got not in wanted:
        raise Failure(f"{what}: {got!r} is none of {wanted!r}")


def expect_text(what, text, *parts):
    for part in parts:
        if part not in text:
            raise Failure(f"{what}: '{part}' is not in: {text.strip()[-600:]}")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def object_path(unit):
    """As sd_bus_path_encode(3)."""
    name = "".join(c if c.isalnum() and not (i == 0 and c.isdigit()) else f"_{ord(c):02x}"
                   for i, c in enumerate(unit))
    return "/org/mendd1/unit/" + name


def plain(value):
    """busctl's JSON without its types."""
    if isinstance(value, dict) and set(value) == {"type", "data"}:
        return plain(value["data"])
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def properties(path, interface):
    text = run("busctl", "--json=short", "--timeout=10", "call", "org.mendd1", path,
               "org.freedesktop.DBus.Properties", "GetAll", "s", interface)
    return plain(json.loads(text)["data"][0])


def manager():
    return properties("/org/mendd1", "org.mendd1.Manager")


def call_manager(method, *arguments):
    """Output of a method of org.mendd1.Manager."""
    text = run("busctl", "--json=short", "--timeout=20", "call", "org.mendd1", "/org/mendd1",
               "org.mendd1.Manager", method, *arguments)
    return json.loads(text)["data"] if text.strip() else None


def http_get(path="/metrics", headers=None, timeout=10):
    c = http.client.HTTPConnection("127.0.0.1", 16363, timeout=timeout * SLOW)
    try:
        c.request("GET", path, headers=headers or {})
        r = c.getresponse()
        return r.status, dict(r.getheaders()), r.read()
    finally:
        c.close()


class Metrics(dict):
    """Samples by their text: metrics()['mendd_unit_healthy{name="x.service"}']."""

    def of(self, family, **labels):
        total, found = 0.0, False
        for key, value in self.items():
            if key.split("{")[0] == family and all(f'{k}="{v}"' in key for k, v in labels.items()):
                total, found = total + value, True
        if not found:
            raise Failure(f"no sample of {family} {labels}")
        return total


def wait_metrics(what, fact):
    """Waits until fact(metrics()) holds: a page is kept for a tenth of a second."""
    return wait(what, lambda: fact(metrics()))


def metrics():
    status, _, body = http_get()
    expect("status of /metrics", status, 200)
    samples = Metrics()
    for line in body.decode().splitlines():
        if line and not line.startswith("#"):
            key, value = line.rsplit(" ", 1)
            samples[key] = float(value)
    return samples


def journal(*matches, since=None, extra=()):
    """Records of the journal that match FIELD=VALUE, as dictionaries."""
    command = ["journalctl", "-q", "--no-pager", "-o", "json", "--all", *extra]
    if since:
        command.append(f"--since=@{since:.6f}")
    text = run_raw(*command, *matches).stdout
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def alive(pid):
    """Whether a process exists and is no zombie."""
    try:
        return read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def request(fifo, line):
    """A request to a victim; it reads from the FIFO as soon as it is up."""
    def write_line():
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        try:
            return os.write(fd, (line + "\n").encode())
        finally:
            os.close(fd)
    wait(f"somebody reads from {fifo}", write_line)


class Killer:
    """A process that sent a signal, as the test knows it."""

    def __init__(self, pid, comm, uid, unit):
        self.pid, self.comm, self.uid, self.unit = pid, comm, uid, unit


class Unit:
    """A unit of the lab, with what systemd and mendd say of it."""

    def __init__(self, name):
        self.name = name if "." in name else name + ".service"
        self.fifo = f"{RUN}/{self.name}.fifo"
        self.path = object_path(self.name)
        self.stem = self.name[:-len(".service")]

    def start(self):
        run("systemctl", "start", self.name)
        return self

    def hold(self):
        """Something refers to it, as to an enabled unit: PID 1 keeps it loaded while it is down."""
        holder = f"{self.stem}-holder.target"
        write(f"{UNIT_DIR}/{holder}", f"[Unit]\nAfter={self.name}\n")
        run("systemctl", "start", holder)

    def show(self, *names):
        text = run("systemctl", "show", self.name, "--property=" + ",".join(names))
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def get(self, name):
        return self.show(name).get(name, "")

    def identity(self):
        d = self.show("MainPID", "InvocationID")
        return d.get("MainPID"), d.get("InvocationID")

    @property
    def pid(self):
        return int(self.get("MainPID"))

    @property
    def invocation(self):
        return self.get("InvocationID")

    def mendd(self):
        return properties(self.path, "org.mendd1.Unit")

    def wait_mendd(self, deadline=DEADLINE, **wanted):
        """Waits until mendd's properties have these values (or one of a tuple of values)."""
        def fact():
            m = self.mendd()
            wrong = {k: m[k] for k, v in wanted.items()
                     if (m[k] not in v if isinstance(v, tuple) else m[k] != v)}
            if wrong:
                raise Failure(f"{wrong}, HealingState {m['HealingState']}, Refusal {m['Refusal']}")
            return m
        return wait(f"{self.name}: {wanted}", fact, deadline)

    def wait_settled(self, main_pid=None):
        """mendd has seen it run: what is asked about it afterwards is not about an older state."""
        return self.wait_mendd(Health="healthy", MainPID=main_pid or self.pid)

    def wait_incident(self, deadline=DEADLINE):
        self.wait_mendd(deadline, IncidentOpen=True)
        return self.incident()

    def incidents(self):
        return json.loads(call_manager("ListIncidents", "su", self.name, "100")[0])

    def incident(self, index=0):
        """The newest incident, as the API gives it."""
        identifier = self.mendd()["IncidentID"]
        if not identifier or index:
            found = self.incidents()
            if len(found) <= index:
                raise Failure(f"{self.name}: there is no incident")
            identifier = found[index]["id"]
        return json.loads(call_manager("GetIncident", "s", identifier)[0])

    def wait_closed(self, deadline=DEADLINE):
        """The newest incident, once it is closed."""
        def fact():
            i = self.incident()
            return i if not i["open"] else None
        return wait(f"{self.name}: its incident is closed", fact, deadline)

    def request(self, line):
        request(self.fifo, line)

    def records(self, *matches):
        """mendd's records about this unit."""
        return journal("SYSLOG_IDENTIFIER=mendd", "OBJECT_SYSTEMD_UNIT=" + self.name, *matches)

    def wait_record(self, event, deadline=DEADLINE):
        found = wait(f"{self.name}: a record '{event}' in the journal",
                     lambda: self.records("MENDD_EVENT=" + event), deadline)
        return found[-1]

    def starts(self):
        """How often PID 1 has started it, by its own account."""
        return len(journal("_PID=1", "UNIT=" + self.name, "JOB_TYPE=start", "JOB_RESULT=done"))


class Case:
    """One case: its units, its bystander, and what it leaves to take away."""

    def __init__(self, number, name):
        self.number, self.name = number, name
        self.units, self.later = [], []
        self.bystander, self.bystander_is = None, None
        self.facts = []

    def unit_name(self, stem):
        return f"t{self.number}-{stem}.service"

    def write_unit(self, stem, text, name=None):
        u = Unit(name or self.unit_name(stem))
        write(f"{UNIT_DIR}/{u.name}", text)
        self.units.append(u)
        return u

    def unit(self, stem="victim", arguments="", service="", unit="", mendd="", start=True, name=None,
             command=None, held=True):
        """A unit that runs the victim, with the given lines in its sections; held: as if enabled."""
        full = name or self.unit_name(stem)
        fifo = f"{RUN}/{full}.fifo"
        if not os.path.exists(fifo):
            os.mkfifo(fifo)
            os.chmod(fifo, 0o666)
        lines = ["[Unit]", f"Description=Unit of the test '{self.name}'", *split(unit), "[Service]",
                 "ExecStart=" + (command or f"{VICTIM} {fifo} {arguments}"),
                 f"WorkingDirectory={RUN}", "LimitCORE=0", *split(service)]
        if mendd is not None:
            lines += ["[X-Mendd]", *split(mendd)]
        u = self.write_unit(stem, "\n".join(lines) + "\n", name)
        if held:
            u.hold()
        if start:
            u.start()
            u.wait_settled()
        return u

    def watch_bystander(self):
        """Healing is on for it: whatever is done to it by mistake would be seen."""
        self.bystander = self.unit("bystander", mendd="Heal=restart", start=False,
                                   held=False).start()
        self.bystander_is = self.bystander.identity()

    def check_bystander(self):
        expect("the bystander's main process and invocation", self.bystander.identity(),
               self.bystander_is)
        expect("state of the bystander", self.bystander.get("ActiveState"), "active")

    def cleanup(self, function, *arguments):
        self.later.append((function, arguments))

    def say(self, text):
        """A line for the reader of the results."""
        self.facts.append(text)

    def drop_in(self, unit, text, name="50-lab.conf"):
        """A drop-in in /run, gone after the case; needs daemon_reload()."""
        path = f"/run/systemd/system/{unit}.d/{name}"
        write(path, text)
        self.cleanup(daemon_reload)
        self.cleanup(remove, path)
        return path

    def close(self):
        for function, arguments in reversed(self.later):
            try:
                function(*arguments)
            except (Failure, OSError, subprocess.SubprocessError) as e:
                print(f"# cleaning up after '{self.name}': {e}", flush=True)
        names = [u.name for u in self.units]
        names += [f"{u.stem}-holder.target" for u in self.units
                  if os.path.exists(f"{UNIT_DIR}/{u.stem}-holder.target")]
        if names:
            run("systemctl", "stop", *names, check=False, timeout=60)
            run("systemctl", "reset-failed", *names, check=False)
        for u in self.units:
            remove(f"{UNIT_DIR}/{u.name}")
            remove(f"{UNIT_DIR}/{u.stem}-holder.target")
            remove(u.fifo)

    # --- killers ---------------------------------------------------------------------------------

    def shell(self, script, stem="killer", session=False, uid=0):
        """Runs a shell in a unit of its own; (its output lines, Killer that it was)."""
        name = self.unit_name(f"{stem}-{time.monotonic_ns()}")
        command = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={name}"]
        if uid or session:
            command.append(f"--property=User={uid}")
        if session:
            command.append("--property=PAMName=login")
        output = run(*command, "/bin/sh", "-c",
                     "echo $$$$; sed -n 's|^0::.*/||p' /proc/self/cgroup; " + script).splitlines()
        return output[2:], Killer(int(output[0]), "sh", uid, output[1])

    def kill(self, pid, signal="KILL", session=False, uid=0):
        return self.shell(f"kill -{signal} {pid}", session=session, uid=uid)[1]


def split(lines):
    return [line for line in lines.split("\n") if line]


def daemon_reload():
    with LEAVE_ALONE:
        run("systemctl", "daemon-reload")


def mendd_pid():
    return int(run("systemctl", "show", "mendd.service", "--property=MainPID", "--value"))


def wait_mendd_ready(not_pid=0):
    """mendd runs, is ready, and answers; its pid."""
    def fact():
        text = run("systemctl", "show", "mendd.service", "--property=MainPID,ActiveState,SubState")
        d = dict(line.split("=", 1) for line in text.splitlines())
        ready = d["ActiveState"] == "active" and d["SubState"] == "running"
        return int(d["MainPID"]) if ready and int(d["MainPID"]) != not_pid else None
    pid = wait("mendd is ready", fact, 30)
    wait("mendd answers on the bus", manager, 30)
    wait("the HTTP programs are loaded, or refused", http_is_known, 30)
    return pid


def http_is_known():
    """They are loaded behind READY=1."""
    rows = json.loads(run_raw("mendctl", "doctor", "--json=short").stdout)
    return not any("not measured yet" in row["text"] for row in rows)


def label_name(label):
    return f"lab ({label})" if label else "lab"


def run_case(number, c, label, lock):
    t = Case(number, c["name"])
    result, why = "ok", ""
    try:
        t.watch_bystander()
        c["run"](t)
        t.check_bystander()
    except Skip as e:
        result, why = "skip", f" # {e}"
    except Failure as e:
        result, why = "not ok", f" # {e}"
    except Exception:  # a mistake of the test is a failure of the test, and not the end of the others
        result, why = "not ok", " # " + traceback.format_exc()
    with lock:
        why = why.strip().replace("\n", " | ")
        print(f"{result} {label_name(label)}: {c['name']}{' ' + why if why else ''}", flush=True)
        for fact in t.facts:
            print(f"    {fact}", flush=True)
        if result == "not ok":
            show_trouble(t)
    t.close()
    return result


def result_of_bystander(t):
    return t.bystander_is and t.bystander.identity() == t.bystander_is


def show_trouble(t):
    """What the journal has of the units of a case that failed."""
    for u in t.units[:3]:
        if u is t.bystander and result_of_bystander(t):
            continue
        text = run_raw("journalctl", "-q", "--no-pager", "-o", "short-precise", "-n", "12", "-u",
                       u.name).stdout
        for line in text.splitlines():
            print("    | " + line[:300], flush=True)


def is_wanted(name, only):
    if not only or fnmatch.fnmatch(name, only):
        return True
    try:
        return bool(re.search(only, name))
    except re.error:  # it was meant as a glob
        return False


def run_all(label, only):
    """Runs the registered cases; how many failed."""
    wanted = [(i, c) for i, c in enumerate(CASES) if is_wanted(c["name"], only)]
    lock = threading.Lock()
    results = []

    def side_by_side(cases, width):
        def worker():
            while True:
                with lock:
                    if not cases:
                        return
                    i, c = cases.pop(0)
                results.append(run_case(i, c, label, lock))

        threads = [threading.Thread(target=worker) for _ in range(width)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    side_by_side([x for x in wanted if not x[1]["alone"] and not x[1]["among"]], WIDTH)
    for among in sorted({c["among"] for _, c in wanted if c["among"]}):
        side_by_side([x for x in wanted if x[1]["among"] == among], WIDTH_AMONG)
    for i, c in sorted((x for x in wanted if x[1]["alone"]), key=lambda x: x[1]["last"]):
        results.append(run_case(i, c, label, lock))
    return sum(r == "not ok" for r in results)
