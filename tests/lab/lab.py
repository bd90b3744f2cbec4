#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab: a real systemd as PID 1, in a container, on any machine.

An overlay of / whose upper layer is a tmpfs, booted by systemd-nspawn: real journald, D-Bus and cgroup v2,
and nothing of the host is changed. Everything that the lab makes is taken away again when its owner ends, also
by kill -9: mounts live in a mount namespace of their own, the container dies with its owner, and a janitor
that waits for that end removes what is left (cgroups, the temporary directory).

    lab.py run [--build DIR] [--network host|private] -- COMMAND …

boots the lab, installs mendd from DIR into it, and runs COMMAND on the host with LAB_LEADER set to the
container's PID 1; `lab.py enter -- COMMAND …` runs a command inside. Exit status: that of COMMAND; 125 where the
lab cannot be had, with the reason.
"""
import argparse
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1
BOOT_DEADLINE = 60.0
CANNOT = 125

libc = ctypes.CDLL(None, use_errno=True)


class CannotBoot(Exception):
    """The lab cannot be had here; the text says why."""


def check_machine():
    """Says what stands against a lab on this machine, before anything is changed."""
    if os.geteuid() != 0:
        raise CannotBoot("root is needed (namespaces, mounts, BPF)")
    if not shutil.which("systemd-nspawn"):
        raise CannotBoot("systemd-nspawn is missing (package systemd-container)")
    with open("/proc/filesystems", encoding="ascii") as f:
        if "overlay" not in f.read():
            subprocess.run(["modprobe", "overlay"], stderr=subprocess.DEVNULL, check=False)


def cgroup_mounts():
    """Mount points of the hierarchies that systemd-nspawn puts its container into."""
    found = []
    with open("/proc/self/mounts", encoding="utf-8") as f:
        for line in f:
            _, where, kind, options = line.split()[:4]
            if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
                found.append(where)
    if not any(os.path.exists(os.path.join(m, "cgroup.controllers")) for m in found):
        raise CannotBoot("no cgroup v2 hierarchy is mounted")
    return found


def memory_cgroup(name):
    """Where a cgroup of the memory controller of cgroup v1 could be made for the lab; None: there is none."""
    own = None
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        for line in f:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                own = path
    with open("/proc/self/mounts", encoding="utf-8") as f:
        for line in f:
            _, where, kind, options = line.split()[:4]
            if own and kind == "cgroup" and "memory" in options.split(","):
                return os.path.join(where, own.lstrip("/"), name)
    return None


def kill_cgroups(paths):
    """Everything in the lab's cgroups: its PID 1 does not always die with systemd-nspawn."""
    for path in paths:
        for root, _, _ in os.walk(path):
            try:
                with open(os.path.join(root, "cgroup.procs"), encoding="ascii") as f:
                    for pid in f.read().split():
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass


def remove_cgroups(paths):
    for path in paths:
        for root, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(root)
            except OSError:
                pass


def janitor(paths, directory):
    """A process that outlives us and cleans up when we end, however we end."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(write_end)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        os.read(read_end, 1)  # end of file: the owner is gone
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(os.path.isdir(p) for p in paths):
            kill_cgroups(paths)
            remove_cgroups(paths)
            time.sleep(0.02)
        shutil.rmtree(directory, ignore_errors=True)
        os._exit(0)
    os.close(read_end)
    return write_end


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


class Lab:
    def __init__(self, network="private"):
        check_machine()
        mounts = cgroup_mounts()
        self.network = network
        self.directory = tempfile.mkdtemp(prefix="mendd-lab.")
        name = os.path.basename(self.directory)
        self.cgroups = [os.path.join(m, name) for m in mounts]
        self.memory = memory_cgroup(name)  # made by whoever needs it, taken away with the rest
        self.all_cgroups = self.cgroups + ([self.memory] if self.memory else [])
        self.janitor = janitor(self.all_cgroups, self.directory)
        self.root = os.path.join(self.directory, "root")
        self.nspawn = None
        self.leader = None

    def mount_root(self):
        if libc.unshare(CLONE_NEWNS) != 0:
            raise CannotBoot("no mount namespace: " + os.strerror(ctypes.get_errno()))
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        try:
            mount("-t", "tmpfs", "tmpfs", self.directory)
            for part in ("upper", "work", "root"):
                os.mkdir(os.path.join(self.directory, part))
            mount("-t", "overlay", "overlay", "-o",
                  f"lowerdir=/,upperdir={self.directory}/upper,workdir={self.directory}/work",
                  self.root)
        except subprocess.CalledProcessError as e:
            raise CannotBoot("no overlay of / on a tmpfs") from e

    def prepare_root(self):
        """Only what the lab is about is started; everything is named so that it can be told apart."""
        wants = os.path.join(self.root, "etc/systemd/system")
        for target in ("multi-user.target.wants", "graphical.target.wants", "timers.target.wants",
                       "sockets.target.wants"):
            shutil.rmtree(os.path.join(wants, target), ignore_errors=True)
        # An empty id would make this a first boot, which enables every unit again.
        for name in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
            if os.path.lexists(self.root + name):
                os.unlink(self.root + name)
        write(self.root + "/etc/machine-id", uuid.uuid4().hex + "\n")
        shutil.rmtree(self.root + "/var/log/journal", ignore_errors=True)
        write(self.root + "/etc/hostname", "lab\n")
        for unit in ("systemd-firstboot.service", "console-getty.service", "getty.target",
                     "systemd-resolved.service", "systemd-networkd.service",
                     "systemd-timesyncd.service", "systemd-udevd.service", "exim4.service"):
            link = os.path.join(wants, unit)
            if not os.path.lexists(link):
                os.symlink("/dev/null", link)

    def install(self, build):
        """mendd as `meson install` puts it onto a host."""
        environment = dict(os.environ, DESTDIR=self.root)
        r = subprocess.run(["meson", "install", "--no-rebuild", "--quiet", "-C", build],
                           env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           check=False)
        if r.returncode:
            raise CannotBoot("meson install failed:\n" + r.stdout.decode())

    def enter_cgroup(self):
        for path in self.cgroups:
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")

    def die_with_owner(self):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.setsid()  # Ctrl-C is for the owner: it takes the container down in order
        self.enter_cgroup()

    def boot(self):
        log = open(os.path.join(self.directory, "console"), "wb")
        command = ["systemd-nspawn", "--boot", "--quiet", "--directory=" + self.root, "--register=no",
                   "--keep-unit", "--capability=all", "--link-journal=no", "--console=pipe",
                   "--machine=" + re.sub("[^a-z0-9]", "x", os.path.basename(self.directory))]
        if self.network == "private":
            command.append("--private-network")
        # Its seccomp filter would refuse bpf(2) inside; cgroup v2 only, as on a current host.
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_SECCOMP": "0",
                       "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "LANG": "C.UTF-8"}
        self.nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env=environment, preexec_fn=self.die_with_owner)
        log.close()
        deadline = time.monotonic() + BOOT_DEADLINE
        while time.monotonic() < deadline:
            if self.nspawn.poll() is not None:
                break
            self.leader = self.find_leader()
            if self.leader and self.state() in ("running", "degraded"):
                return
            time.sleep(0.02)
        with open(os.path.join(self.directory, "console"), encoding="utf-8", errors="replace") as f:
            tail = f.read()[-2000:].strip()
        raise CannotBoot("the container did not boot: " + self.why_not_booted() + (tail and "\n" + tail))

    def why_not_booted(self):
        status = self.nspawn.poll()
        if status is not None:
            return f"systemd-nspawn ended with status {status}"
        if not self.leader:
            return f"no systemd came up in it within {BOOT_DEADLINE:.0f} s"
        return f"its systemd was still '{self.state() or 'silent'}' after {BOOT_DEADLINE:.0f} s"

    def find_leader(self):
        try:
            with open(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children",
                      encoding="ascii") as f:
                children = f.read().split()
            with open(f"/proc/{children[0]}/comm", encoding="ascii") as f:
                return int(children[0]) if f.read().strip() == "systemd" else None
        except (OSError, IndexError):
            return None

    def state(self):
        return enter(self.leader, ["systemctl", "is-system-running"], quiet=True)[1].strip()

    def stop(self):
        if self.nspawn and self.nspawn.poll() is None:
            if self.leader:
                try:
                    os.kill(self.leader, signal.SIGRTMIN + 4)  # systemd: power off
                except ProcessLookupError:
                    pass
            try:
                self.nspawn.wait(15)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        subprocess.run(["umount", self.root], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["umount", self.directory], stderr=subprocess.DEVNULL, check=False)
        remove_cgroups(self.all_cgroups)
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self.janitor)


def enter_command(leader, command):
    # Root and working directory are named because ours may be those of a chroot.
    return ["nsenter", "--target", str(leader), "--mount", "--uts", "--ipc", "--net", "--pid",
            "--cgroup", "--root", "--wd", "--", "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8", "HOME=/root", "TERM=" + os.environ.get("TERM", "dumb"), *command]


def enter(leader, command, quiet=False):
    """Runs a command inside; (exit status, output)."""
    r = subprocess.run(enter_command(leader, command), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, check=False,
                       stderr=subprocess.DEVNULL if quiet else subprocess.STDOUT)
    return r.returncode, r.stdout.decode(errors="replace")


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def run_in_lab(arguments):
    def interrupted(number, _):
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGTERM, interrupted)
    # Whoever wanted the lab may be killed: it is taken down then.
    if not arguments.outlive:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    lab = None
    try:
        lab = Lab(arguments.network)
        lab.mount_root()
        lab.prepare_root()
        if arguments.build:
            lab.install(arguments.build)
        lab.boot()
        environment = dict(os.environ, LAB_LEADER=str(lab.leader), LAB_ROOT=lab.root)
        return subprocess.run(arguments.command, env=environment, check=False,
                              preexec_fn=die_with_parent).returncode
    except CannotBoot as e:
        print(f"lab: {e}", file=sys.stderr)
        return CANNOT
    except KeyboardInterrupt:
        return 130
    finally:
        if lab:
            lab.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="boot the lab, run a command on the host, take it down")
    run.add_argument("--build", help="build directory to install from")
    run.add_argument("--network", choices=("private", "host"), default="private")
    run.add_argument("--outlive", action="store_true", help="go on when the caller ends")
    run.add_argument("command", nargs="+")
    inside = verbs.add_parser("enter", help="run a command inside a running lab (LAB_LEADER)")
    inside.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.verb == "run":
        sys.exit(run_in_lab(arguments))
    leader = os.environ.get("LAB_LEADER", "")
    if not re.fullmatch(r"\d+", leader):
        parser.error("LAB_LEADER is not set: there is no lab")
    command = enter_command(leader, arguments.command)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
