# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other kernels: fetched from the distribution by name and unpacked, never installed.

Which mirror the host uses, and how it reaches it, is read from the host's own apt at run time. Everything else of
apt (sources, lists, cache, status) is a private directory; the host's apt is only read.
"""
import glob
import os
import re
import shutil
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
UPDATE_DEADLINE = 120
DOWNLOAD_DEADLINE = 300

# Name -> the releases of the distribution that have this kernel, best first. "R-security" is on another mirror.
KERNELS = {
    "5.10": [["bullseye", "bullseye-security"], ["bullseye"]],
    "6.1": [["bookworm", "bookworm-security"], ["bookworm"]],
    "6.12": [["trixie", "trixie-security"], ["trixie"], ["bookworm-backports"]],
    "newest": [["sid"]],
}
META = "linux-image-cloud-amd64"
PART = re.compile(r"^linux-(image|binary|modules)-\d")

# All that the daemon needs beyond what is built in: sock_diag, which the kernel loads on demand.
MODULES = ("inet_diag", "tcp_diag", "udp_diag", "unix_diag", "netlink_diag")


class CannotHave(Exception):
    """This kernel cannot be had here; the text says why."""


def command(arguments, deadline, environment=None, cwd=None):
    """Output of a command; CannotHave with its last words where it fails."""
    try:
        r = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=deadline, check=False, cwd=cwd,
                           env=dict(os.environ, LC_ALL="C.UTF-8", **(environment or {})))
    except FileNotFoundError as e:
        raise CannotHave(f"{arguments[0]} is not installed") from e
    except subprocess.TimeoutExpired as e:
        raise CannotHave(f"{arguments[0]} {arguments[1]}: no end within {deadline} s") from e
    text = r.stdout.decode(errors="replace")
    if r.returncode:
        lines = [x for x in text.splitlines() if x.startswith(("E:", "Err:"))] or text.splitlines()
        raise CannotHave(f"{' '.join(arguments[:2])}: {' '.join(lines[-2:])}")
    return text


def host_mirrors():
    """(URI of the archive, URI of its security updates or None) that this host is configured with."""
    text = command(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(SIGNED_BY)",
                    "Created-By: Packages"], 30)
    releases = {r for ways in KERNELS.values() for way in ways for r in way}
    main, security = None, None
    for line in text.splitlines():
        uri, release = line.split()[:2]
        if release.endswith("-security") and release in releases:
            security = security or uri
        elif release in releases:
            main = main or uri
    if not main:
        raise CannotHave("apt of this host knows no Debian mirror")
    return main, security


class Apt:
    """An apt of our own for some releases, below `directory`."""

    def __init__(self, directory, releases):
        self.directory = directory
        self.archives = os.path.join(directory, "archives")
        main, security = host_mirrors()
        if not security and any(r.endswith("-security") for r in releases):
            raise CannotHave("apt of this host knows no mirror of security updates")
        for part in ("lists/partial", "archives/partial", "empty"):
            os.makedirs(os.path.join(directory, part), mode=0o700, exist_ok=True)
        trust = f"signed-by={KEYRING} " if os.path.exists(KEYRING) else ""
        with open(directory + "/sources", "w", encoding="utf-8") as f:
            for r in releases:
                uri = security if r.endswith("-security") else main
                f.write(f"deb [{trust}arch=amd64] {uri} {r} main\n")
        open(directory + "/status", "w", encoding="utf-8").close()
        self.write_configuration()

    def write_configuration(self):
        """How the host reaches its mirror (proxies and the like), and nothing else of its configuration."""
        reach = [line for line in command(["apt-config", "dump"], 30).splitlines()
                 if line.startswith("Acquire::") and "IndexTargets" not in line]
        d = self.directory
        own = {"APT::Architecture": "amd64", "APT::Architectures": "amd64",
               "Acquire::Languages": "none", "Acquire::Retries": "2",
               "Acquire::http::Timeout": "20", "Acquire::https::Timeout": "20",
               "Dir::State": d, "Dir::State::lists": d + "/lists", "Dir::State::status": d + "/status",
               "Dir::Cache": d, "Dir::Cache::archives": self.archives, "Dir::Cache::pkgcache": "",
               "Dir::Cache::srcpkgcache": "",
               "Dir::Etc::sourcelist": d + "/sources", "Dir::Etc::sourceparts": d + "/empty",
               "Dir::Etc::parts": d + "/empty", "Dir::Etc::main": "/dev/null",
               "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": d + "/empty"}
        with open(d + "/apt.conf", "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("\n".join(reach + [f'{k} "{v}";' for k, v in own.items()]) + "\n")

    def run(self, *arguments, deadline):
        return command(list(arguments), deadline, {"APT_CONFIG": self.directory + "/apt.conf"},
                       self.archives)

    def dependencies(self, package):
        text = self.run("apt-cache", "show", "--no-all-versions", package, deadline=60)
        found = re.search(r"^Depends: (.*)$", text, re.M)
        return [d.split()[0] for d in found.group(1).split(",")] if found else []

    def download(self):
        """The packages of the kernel that the meta package stands for."""
        self.run("apt-get", "-qq", "update", deadline=UPDATE_DEADLINE)
        packages, seen = [META], set()
        while packages:
            package = packages.pop()
            for d in self.dependencies(package):
                if PART.match(d) and d not in seen:
                    seen.add(d)
                    packages.append(d)
        if not seen:
            raise CannotHave(f"{META} names no kernel")
        # What is there already, complete and of the right version, apt does not fetch again.
        self.run("apt-get", "-qq", "download", *sorted(seen), deadline=DOWNLOAD_DEADLINE)
        debs = []
        for path in glob.glob(self.archives + "/*.deb"):
            if os.path.basename(path).split("_")[0] in seen:
                debs.append(path)
            else:
                os.unlink(path)  # of an older version
        return debs


class Kernel:
    """An unpacked kernel: its image, its release, and a tree with the modules that are needed."""

    def __init__(self, name, cache, directory):
        """cache: where downloads stay; directory: where it is unpacked."""
        self.name = name
        why = []
        for releases in KERNELS[name]:
            try:
                debs = Apt(os.path.join(cache, "-".join(releases)), releases).download()
                break
            except CannotHave as e:
                why.append(f"{releases[0]}: {e}")
        else:
            raise CannotHave("; ".join(why))
        tree = os.path.join(directory, "packages")
        os.makedirs(tree)
        for deb in debs:
            unpack(deb, tree)
        images = glob.glob(tree + "/boot/vmlinuz-*") + glob.glob(tree + "/usr/lib/modules/*/vmlinuz")
        if len(images) != 1:
            raise CannotHave(f"{len(images)} kernel images in {META}")
        self.image = images[0]
        folders = glob.glob(tree + "/lib/modules/*") + glob.glob(tree + "/usr/lib/modules/*")
        if len(folders) != 1:
            raise CannotHave(f"modules of {len(folders)} kernels in {META}")
        self.release = os.path.basename(folders[0])
        self.version = re.match(r"\d+\.\d+", self.release).group(0)
        self.modules = index_modules(folders[0], os.path.join(directory, "modules"))


def unpack(deb, tree):
    """Only what is needed out of some thousands of modules."""
    patterns = ["*/vmlinuz*", "*/modules.builtin*", "*/modules.order"] + [f"*/{m}.ko*" for m in MODULES]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        # A pattern that matches nothing is an error for tar: a package may have none of these files.
        subprocess.run(["tar", "-x", "-C", tree, "--wildcards", *patterns], stdin=source.stdout, check=False,
                       stderr=subprocess.DEVNULL, timeout=120)
        source.stdout.close()
    if source.returncode:
        raise CannotHave(f"{os.path.basename(deb)} cannot be unpacked")


def index_modules(folder, target):
    """The modules in a tree of their own with an index of only them; its path."""
    release = os.path.basename(folder)
    where = os.path.join(target, "lib/modules", release)
    shutil.copytree(folder, where, ignore=shutil.ignore_patterns("vmlinuz*"))
    command(["depmod", "-b", target, release], 60)
    return os.path.join(target, "lib/modules")
