# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the HTTP benchmarks share: nginx and other servers as units of the lab, clients, the kernel's accounting, and
what the server itself spends."""
import ctypes
import glob
import json
import os
import re
import socket
import struct
import time

import inside

SYS_BPF = 321 if os.uname().machine == "x86_64" else 280  # x86-64, the generic table
BPF_PROG_LOAD, BPF_LINK_CREATE, BPF_ENABLE_STATS = 5, 28, 32  # enum bpf_cmd in <linux/bpf.h>
CGROUP_SKB, INGRESS = 8, 0                                    # its types of programs and of attachments
CGROUPS = "/sys/fs/cgroup"
WEB = "/run/mendd-bench-web"
NGINX_PORT, ECHO_PORT = 18080, 18081
NGINX = "bench-nginx.service"
SMALL = 612  # bytes: nginx's own welcome page
PAGE_AGE = 0.15  # seconds that a page of the metrics may be old, and a little more
PROGRAMS = ("http_in", "http_out", "http_read", "http_state", "http_state_2nd")

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes, what):
    attributes = ctypes.create_string_buffer(attributes, 128)
    fd = libc.syscall(SYS_BPF, command, attributes, len(attributes))
    if fd < 0:
        raise SystemExit(f"{what}: {os.strerror(ctypes.get_errno())}")
    return fd


def account():
    """Switches the accounting on for as long as this descriptor is open: as the sysctl kernel.bpf_stats_enabled
    would, but it ends with us, however we end."""
    return bpf(BPF_ENABLE_STATS, b"", "the kernel's accounting cannot be switched on")


def attach_empty(unit):
    """A program that only returns 1, at the unit's cgroup, ingress: (program, link). It shows what the accounting
    itself takes of each run."""
    code = ctypes.create_string_buffer(struct.pack("<QQ", 0x1000000b7, 0x95))  # r0 = 1; exit
    text = ctypes.create_string_buffer(b"GPL")
    program = bpf(BPF_PROG_LOAD, struct.pack(
        "=IIQQIIQII16sII", CGROUP_SKB, 2, ctypes.addressof(code), ctypes.addressof(text), 0, 0, 0, 0, 0, b"empty",
        0, INGRESS), "the empty program")
    directory = os.open(CGROUPS + cgroup_of(unit), os.O_RDONLY)
    link = bpf(BPF_LINK_CREATE, struct.pack("=IIII", program, directory, INGRESS, 0), "the empty program")
    os.close(directory)
    return program, link


def accounts(pid, names={}):
    """{name: (runs, nanoseconds)} of the programs that a process holds; those of one name together."""
    found, looked_at = {}, set()
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        try:
            with open(path, encoding="ascii") as f:
                text = f.read()
        except FileNotFoundError:
            continue
        number = re.search(r"^prog_id:\s+(\d+)", text, re.M)
        runs = re.search(r"^run_cnt:\s+(\d+)", text, re.M)
        if number and runs and number[1] not in looked_at:
            number = number[1]
            looked_at.add(number)
            if number not in names:
                names[number] = re.search(r" name (\S+)", inside.run("bpftool", "prog", "show", "id", number))[1]
            more = int(runs[1]), int(re.search(r"^run_time_ns:\s+(\d+)", text, re.M)[1])
            found[names[number]] = tuple(map(sum, zip(found.get(names[number], (0, 0)), more)))
    return found


def grown(before, after):
    return {k: (after[k][0] - before[k][0], after[k][1] - before[k][1]) for k in after if k in before}


def cgroup_of(unit):
    return inside.run("systemctl", "show", "-P", "ControlGroup", unit).strip()


def cpu_usec(unit):
    """What the unit has spent, interrupts that were served meanwhile included."""
    with open(f"{CGROUPS}{cgroup_of(unit)}/cpu.stat", encoding="ascii") as f:
        return int(re.search(r"^usage_usec (\d+)", f.read(), re.M)[1])


def client(*options):
    """bench_http, which says in JSON what it has seen."""
    return json.loads(inside.run(inside.program("http"), *map(str, options)))


def wrk(seconds, connections=16, path="/small"):
    """(requests, seconds): as fast as wrk can, which counts those of its warm-up too."""
    text = inside.run("/usr/bin/wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s",
                      f"http://127.0.0.1:{NGINX_PORT}{path}")
    m = re.search(r"(\d+) requests in ([\d.]+)s", text)
    if re.search(r"Socket errors|Non-2xx", text):
        raise SystemExit("wrk has seen errors:\n" + text)
    return int(m[1]), float(m[2])


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def start_nginx(gigabytes=0, settings=""):
    """One worker, so that there is a processor left for the client on a small machine."""
    os.makedirs(WEB, exist_ok=True)
    write(f"{WEB}/small", "x" * SMALL)
    if gigabytes:
        with open(f"{WEB}/large", "wb") as f:
            f.truncate(gigabytes << 30)  # a hole: no disk is read
    write(f"{WEB}/nginx.conf", f"""daemon off;
user root;
worker_processes 1;
pid {WEB}/pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
sendfile on;
tcp_nopush on;
access_log off;
keepalive_requests 1000000000;
server {{
listen 127.0.0.1:{NGINX_PORT};
root {WEB};
location = /answer {{ return 200 "ok\\n"; }}
}}
}}
""")
    start("nginx", f"/usr/sbin/nginx -e stderr -c {WEB}/nginx.conf", settings)
    listens(NGINX_PORT)
    return NGINX


def start(name, command, settings=""):
    """bench-NAME.service, with a section for mendd."""
    inside.write_unit(f"bench-{name}.service", f"[Service]\nExecStart={command}\nLimitNOFILE=65536\n"
                      f"[X-Mendd]\n{settings}\n")
    inside.run("systemctl", "daemon-reload")
    inside.run("systemctl", "start", f"bench-{name}.service")


def start_echo():
    start("echo", f"{inside.program('http')} --echo {ECHO_PORT}")
    listens(ECHO_PORT)
    return "bench-echo.service"


def listens(port):
    def asked():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True
    inside.wait_for(f"port {port}", asked)


def check_measured():
    if not inside.metrics().get('mendd_collector_up{collector="http"}'):
        raise SystemExit("mendd does not measure HTTP on this kernel")


def seen(unit):
    """Answers and connections that are not understood, as mendd counts them."""
    page = inside.metrics()
    return (inside.metric_sum(page, "mendd_http_requests_total", f'name="{unit}"'),
            inside.metric_sum(page, "mendd_http_untracked_connections_total", f'name="{unit}"'))


def wait_measured(unit, port, line=False):
    """Connections to the unit are seen: asks until mendd counts."""
    def asked():
        before = seen(unit)
        client(*(["--line"] if line else ["--path", "/answer"]), "--connections", 1, port, 1)
        time.sleep(PAGE_AGE)
        return seen(unit) > before
    inside.wait_for(f"the HTTP of {unit} is measured", asked)


def wait_unmeasured(unit, port):
    """New connections to the unit are not seen any more."""
    def asked():
        before = seen(unit)
        client("--path", "/answer", "--connections", 1, port, 1)
        time.sleep(PAGE_AGE)
        return seen(unit) == before
    inside.wait_for(f"the HTTP of {unit} is not measured", asked)
