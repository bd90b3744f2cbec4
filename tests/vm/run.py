#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""mendd on other kernels, in virtual machines under qemu's software emulation: no KVM and no disk is needed.

    run.py [--build DIR] [--kernel NAME]… [--only PATTERN] [--cache DIR] [--log DIR]

Kernels: 5.10 6.1 6.12 newest (the distribution's development release), or all. Each is booted twice: with the
unified cgroup hierarchy, where all cases run, and with the hybrid one, where mendd has to be honestly degraded.
One line a case: "ok vm KERNEL: NAME", "not ok vm KERNEL: NAME # why", "skip vm KERNEL: NAME # reason". Exit status
1 if any failed. Downloads stay in the cache, by default in the build directory; nothing else is left.
"""
import argparse
import ctypes
import glob
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
LAB = os.path.join(os.path.dirname(HERE), "lab")
sys.path[:0] = [HERE, LAB]
import kernels  # noqa: E402
import lab as lab_module  # noqa: E402
import root  # noqa: E402

INSIDE = "/opt/mendd-tests"
QEMU = "qemu-system-x86_64"
MEMORY = "1024M"
BOOT_DEADLINE = 180  # until the first line of the tests; about 25 s on an idle machine
SILENCE_DEADLINE = 180  # between two lines
DEADLINE = 1500  # of one boot altogether
PR_SET_PDEATHSIG = 1

UNIT = """[Unit]
Description=Tests of mendd
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 {inside}/inside.py
Environment=LAB_SLOW=6 LAB_WIDTH=4 PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
EnvironmentFile={inside}/environment
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
"""

HIERARCHIES = {
    "unified": "systemd.unified_cgroup_hierarchy=1",
    # The second one is asked for by newer versions of systemd before they do the first.
    "hybrid": "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
}


def die_with_owner():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.setsid()


def install(build, target):
    r = subprocess.run(["meson", "install", "--no-rebuild", "--quiet", "-C", build, "--destdir", target],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)
    if r.returncode:
        raise kernels.CannotHave("meson install failed: " + r.stdout.decode())


def prepare_tests(directory, build):
    """What runs inside: the lab's harness and cases, ours, the victim, and who makes the kernel refuse programs."""
    os.makedirs(directory)
    for path in (LAB + "/harness.py", LAB + "/host.py", LAB + "/cases_deaths.py", LAB + "/cases_http_protocol.py",
                 LAB + "/cases_http_world.py", LAB + "/cases_http_moment.py", LAB + "/http_truth.py",
                 LAB + "/http_client.py", LAB + "/http_servers.py", HERE + "/inside.py", HERE + "/vm.py",
                 HERE + "/cases_kernel.py", HERE + "/cases_degraded.py", HERE + "/cases_refused.py",
                 build + "/tests/vm/refuse", build + "/tests/bpf/verify"):
        shutil.copy(path, directory)
    os.mkdir(directory + "/objects")
    for path in glob.glob(build + "/tests/bpf/*-clang-*.bpf.o"):
        shutil.copy(path, directory + "/objects")
    shutil.copytree(LAB + "/http", directory + "/http")
    subprocess.run(["cc", "-O1", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "-pthread",
                    "-o", directory + "/victim", LAB + "/victim.c"], check=True)


def write_initramfs(path, base, modules, environment, directory):
    """The base, the kernel's modules and what differs between boots, in a row."""
    more = os.path.join(directory, "more")
    root.write_modules(more, modules)
    own = root.Archive(more + "2")
    own.known.update(("opt", INSIDE[1:], "etc", "etc/systemd", "etc/systemd/system"))
    own.text(INSIDE + "/environment", "".join(f"{k}={v}\n" for k, v in environment.items()))
    own.text("etc/systemd/system/vm-tests.service", UNIT.format(inside=INSIDE))
    own.link("etc/systemd/system/multi-user.target.wants/vm-tests.service", "../vm-tests.service")
    own.close()
    with open(path, "wb") as out:
        for part in (base, more, more + "2"):
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out, 1 << 20)


class Machine:
    """A virtual machine that runs; its second serial line carries the results."""

    def __init__(self, kernel, initramfs, hierarchy, console):
        self.console = console
        # cmpxchg16b: qemu 7.2 emulates it wrongly, which kernels from 6.12 on stumble over. Without it newer ones give BPF
        # no memory for sockets, unless the allocator is one that checks itself. The time stamp counter is taken as it
        # is: its watchdog misjudges an emulated one when the host is busy.
        line = ("console=ttyS0 quiet loglevel=4 panic=-1 rdinit=/lib/systemd/systemd tsc=reliable "
                "mitigations=off slab_debug=F systemd.show_status=0 systemd.journald.forward_to_console=0 "
                + HIERARCHIES[hierarchy])
        command = [QEMU, "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2", "-m", MEMORY,
                   "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-kernel",
                   kernel.image, "-initrd", initramfs, "-append", line, "-serial", "file:" + console,
                   "-serial", "stdio"]
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, preexec_fn=die_with_owner)
        except FileNotFoundError as e:
            raise kernels.CannotHave(f"{QEMU} is not installed (package qemu-system-x86)") from e
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode(errors="replace").rstrip())
        self.lines.put(None)

    def next(self, deadline):
        """The next line; None at the end; queue.Empty after the deadline."""
        return self.lines.get(timeout=max(0.01, deadline))

    def stop(self):
        self.process.kill()
        self.process.wait()

    def last_words(self):
        try:
            with open(self.console, encoding="utf-8", errors="replace") as f:
                return " | ".join(f.read().replace("\r", "").splitlines()[-12:])[-1500:]
        except OSError:
            return ""


class DoesNotBoot(Exception):
    """It has stopped, or fallen silent, before anything of ours ran."""


def follow(machine, label):
    """Prints what the machine says until its tests have ended; how many failed."""
    began, failed, booted = time.monotonic(), 0, None
    while True:
        left = DEADLINE - (time.monotonic() - began)
        why = "it stopped"
        try:
            line = machine.next(min(left, SILENCE_DEADLINE if booted else BOOT_DEADLINE))
        except queue.Empty:
            line, why = None, "silence"
        if line is None:
            why += f"; console: {machine.last_words()}"
            if not booted:
                raise DoesNotBoot(why)
            print(f"not ok {label}: runs to its end # {why}", flush=True)
            return failed + 1
        if line == "BEGIN":
            booted = time.monotonic() - began
            print(f"ok {label}: boots # {booted:.1f} s", flush=True)
        elif line == "END":
            print(f"    {label}: {time.monotonic() - began - booted:.1f} s of tests", flush=True)
            return failed
        elif line:
            failed += line.startswith("not ok ")
            print(line, flush=True)


def run_kernel(name, base, arguments, directory):
    os.makedirs(directory)
    try:
        kernel = kernels.Kernel(name, arguments.cache, directory)
    except kernels.CannotHave as e:
        print(f"skip vm {name}: boots # {e}".replace("\n", " | "), flush=True)
        return 0
    print(f"    vm {kernel.version}: {kernel.release}", flush=True)
    failed = 0
    for hierarchy in arguments.hierarchy or HIERARCHIES:
        label = f"vm {kernel.version}" + ("" if hierarchy == "unified" else f" ({hierarchy})")
        initramfs = os.path.join(directory, "initramfs")
        write_initramfs(initramfs, base, kernel.modules, {
            "VM_LABEL": f'"{label}"', "VM_HIERARCHY": hierarchy, "VM_ONLY": f'"{arguments.only}"',
        }, directory)
        console = os.path.join(arguments.log or directory, label.replace(" ", "-") + ".console")
        failed += boot(kernel, initramfs, hierarchy, console, label)
    return failed


def boot(kernel, initramfs, hierarchy, console, label):
    """How many tests failed. An emulated kernel sometimes panics while it patches its own code: then once more."""
    for last in (False, True):
        machine = Machine(kernel, initramfs, hierarchy, console)
        try:
            return follow(machine, label)
        except DoesNotBoot as e:
            print(f"not ok {label}: boots # {e}" if last else f"    {label}: does not boot, once more: {e}", flush=True)
        finally:
            machine.stop()
    return 1


def main():
    def interrupted(number, _):
        raise KeyboardInterrupt(number)

    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build/release", help="build directory to install from")
    parser.add_argument("--kernel", action="append", choices=[*kernels.KERNELS, "all"],
                        help="may be given several times (default: 6.1)")
    parser.add_argument("--hierarchy", action="append", choices=HIERARCHIES, help="(default: both)")
    parser.add_argument("--only", default="", help="cases whose name matches (expression)")
    parser.add_argument("--cache", help="directory for downloads (default: in the build directory)")
    parser.add_argument("--log", help="directory for the kernels' consoles")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    names = arguments.kernel or ["6.1"]
    if "all" in names:
        names = list(kernels.KERNELS)
    if arguments.log:
        os.makedirs(arguments.log, exist_ok=True)
    arguments.cache = os.path.abspath(arguments.cache or arguments.build + "/vm-downloads")
    directory = tempfile.mkdtemp(prefix="mendd-vm.")
    guard = lab_module.janitor([], directory)
    try:
        base = os.path.join(directory, "base")
        try:
            if os.uname().machine != "x86_64":
                raise kernels.CannotHave("only for x86_64: its packages and its emulator are used")
            if not shutil.which(QEMU):
                raise kernels.CannotHave(f"{QEMU} is not installed (package qemu-system-x86)")
            install(os.path.abspath(arguments.build), directory + "/installed")
            prepare_tests(directory + "/tests", os.path.abspath(arguments.build))
            root.write_base(base, directory + "/installed", {directory + "/tests": INSIDE})
        except kernels.CannotHave as e:
            for name in names:
                print(f"skip vm {name}: boots # {e}".replace("\n", " | "), flush=True)
            return 0
        failed = 0
        for name in names:
            failed += run_kernel(name, base, arguments, os.path.join(directory, name))
            shutil.rmtree(os.path.join(directory, name))
        return 1 if failed else 0
    except KeyboardInterrupt:
        return 130
    except Exception:  # a mistake in here must not look like a run without failures
        why = traceback.format_exc().strip().replace("\n", " | ")
        print(f"not ok vm: the machines are made and run # {why}", flush=True)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(guard)


if __name__ == "__main__":
    sys.exit(main())
