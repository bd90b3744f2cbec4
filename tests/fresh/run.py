#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two commands of the README, and the packages, on a machine that nobody has prepared.

    run.py [--release bookworm|trixie|all]… [--command quickstart|package|test]…

A minimal root of the release is made with mmdebstrap from the mirror that apt is configured with (kept in
build/fresh for a week), the sources are copied into it, below a path with a blank, and the commands run in a
chroot there: they have to install whatever they need. What needs a kernel of its own is left out of the second. Prints "ok …",
"not ok …", "skip …" lines; exit status 1 if something failed.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
CACHE = os.path.join(SOURCE, "build/fresh")
RELEASES = ("bookworm", "trixie")
COMMANDS = {
    # Where PID 1 of this host is systemd, it would be installed there.
    "quickstart": ("scripts/quickstart --lab", "The shop was killed, restarted and verified"),
    "package": ("scripts/packages build package demo && tests/package/check", " 0 failed"),
    "test": ("scripts/test --only style --only build --only unit", " 0 failed, "),
}
PLACE = "/root/a checkout"
WEEK = 7 * 24 * 3600
# What apt needs to reach its mirror from within.
APT = ("/etc/apt/apt.conf.d", "/etc/ssl/certs", "/usr/local/share/ca-certificates", "/etc/resolv.conf", "/etc/hosts")

# $1: the root, $2: the directory, $3: the command. The mounts go with the namespace.
INSIDE = r"""
set -eu
mount --bind "$1" "$1" # systemd-nspawn wants its / to be a mount point
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=755 tmpfs "$1/run"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
exec chroot "$1" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    LANG=C.UTF-8 TERM=dumb /bin/bash -c 'cd "$1" && exec bash -c "$2"' - "$2" "$3"
"""


class CannotHave(Exception):
    """A root cannot be had here; the text says why."""


def mirrors():
    """The sites that apt is configured with, the most used first."""
    r = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, encoding="utf-8")
    sites = [s for s in r.stdout.split() if re.match(r"https?:", s) and "security" not in s]
    return sorted(set(sites), key=lambda s: -sites.count(s))


def make_root(release):
    """The tar of a minimal root."""
    path = os.path.join(CACHE, release + ".tar")
    if os.path.exists(path) and time.time() - os.path.getmtime(path) < WEEK:
        return path
    for program in ("mmdebstrap", "apt-get"):
        if not shutil.which(program):
            raise CannotHave(f"{program} is missing")
    sites = mirrors()
    if not sites:
        raise CannotHave("apt has no mirror")
    os.makedirs(CACHE, exist_ok=True)
    said = ""
    for site in sites:
        lines = [f"deb {site} {release} main", f"deb {site} {release}-updates main"]
        r = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", release, path + ".new", *lines],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                           encoding="utf-8", errors="replace")
        if r.returncode == 0:
            os.replace(path + ".new", path)
            return path
        said = (r.stdout.strip().splitlines() or ["it says nothing"])[-1]
    raise CannotHave(f"mmdebstrap cannot make a root of {release}: {said}")


def unpack(release, directory):
    root = os.path.join(directory, "root")
    os.mkdir(root)
    subprocess.run(["tar", "-C", root, "-xf", make_root(release), "--exclude=./dev/*"], check=True)
    for path in APT:
        if os.path.isdir(path):
            shutil.copytree(path, root + path, symlinks=False, ignore_dangling_symlinks=True, dirs_exist_ok=True)
        elif os.path.exists(path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            shutil.copyfile(path, root + path)
    names = subprocess.run(["scripts/sources"], cwd=SOURCE, stdout=subprocess.PIPE, check=True,
                           encoding="utf-8").stdout.splitlines()
    for name in names:
        to = root + PLACE + "/" + name
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy2(os.path.join(SOURCE, name), to)
    return root


def run(release, name, root):
    command, wanted = COMMANDS[name]
    log = os.path.join(CACHE, f"{release}-{name}.log")
    began = time.monotonic()
    with open(log, "w+b") as f:
        status = subprocess.run(["unshare", "--mount", "bash", "-c", INSIDE, "-", root, PLACE, command],
                                stdin=subprocess.DEVNULL, stdout=f, stderr=f, check=False).returncode
        f.seek(0)
        text = f.read().decode(errors="replace")
    took = time.monotonic() - began
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    told = re.sub(r"\x1b\[[0-9;]*m", "", lines[-1])
    if status == 0 and wanted in told:
        print(f"ok fresh {release}: {command} # {took:.0f} s: {told}", flush=True)
        return True
    print("\n".join("    " + line for line in lines[-60:]))
    print(f"not ok fresh {release}: {command} # status {status} after {took:.0f} s; all of it is in {log}", flush=True)
    return False


def try_release(release, commands):
    if os.geteuid() != 0:
        raise CannotHave("root is needed")
    os.makedirs(CACHE, exist_ok=True)
    for name in os.listdir(CACHE):  # of a run that was killed
        if name.startswith("mendd-fresh-"):
            shutil.rmtree(os.path.join(CACHE, name), ignore_errors=True)
    directory = tempfile.mkdtemp(prefix="mendd-fresh-", dir=CACHE)
    try:
        root = unpack(release, directory)
        return all([run(release, name, root) for name in commands])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--release", action="append", choices=(*RELEASES, "all"))
    parser.add_argument("--command", action="append", choices=tuple(COMMANDS))
    arguments = parser.parse_args()
    releases = RELEASES if "all" in (arguments.release or ()) else arguments.release or RELEASES[:1]
    good = True
    for release in releases:
        try:
            good = try_release(release, arguments.command or tuple(COMMANDS)) and good
        except CannotHave as e:
            print(f"skip fresh {release} # {e}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
