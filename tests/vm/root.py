# SPDX-License-Identifier: LGPL-2.1-or-later
"""The root file system of the virtual machine: a small one, made of the host's own packages, as an initramfs.

The libraries are then those that mendd was built against, and nothing is downloaded. An archive is in cpio's "newc"
format (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel); several in a row are one. It is
not compressed: unpacking would take an emulated processor longer than reading.
"""
import os
import re
import stat
import subprocess
import uuid

from kernels import CannotHave

PACKAGES = ("base-files base-passwd bash coreutils dash dbus findutils grep iproute2 kmod libc-bin mawk mount "
            "ncurses-base passwd procps python3 sed systemd systemd-sysv util-linux curl jq").split()
# Needed by their scripts, which do not run here.
WITHOUT = {"debconf", "perl-base", "perl", "adduser", "dpkg", "tar", "ucf", "cdebconf", "init-system-helpers",
           "libc6-i386", "gpgv", "apt", "openssl", "ca-certificates", "tzdata"}
LEFT_OUT = re.compile(r"^/usr/share/(doc|man|locale|info|lintian|zoneinfo|bash-completion|zsh|menu|bug|i18n|"
                      r"polkit-1|perl5|pixmaps|applications|icons|common-licenses|gcc|gdb)/"
                      r"|^/usr/lib/(udev/hwdb\.d|python3[.\d]*/(test|idlelib|lib2to3|ensurepip|distutils|"
                      r"pydoc_data|unittest|tkinter|turtledemo))(/|$)"
                      r"|^/usr/lib/x86_64-linux-gnu/gconv/|^/var/(cache|log)/|^/usr/(lib/locale|games|src)/"
                      r"|^/(boot|home|media|mnt|srv|opt)/")
# Units that would only make the boot longer.
MASKED = ("systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket "
          "systemd-udev-trigger.service systemd-firstboot.service systemd-timesyncd.service "
          "systemd-resolved.service systemd-networkd.service systemd-networkd.socket systemd-logind.service "
          "systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-hwdb-update.service "
          "systemd-binfmt.service systemd-random-seed.service systemd-boot-system-token.service "
          "systemd-machine-id-commit.service systemd-sysusers.service systemd-rfkill.socket "
          "systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pstore.service "
          "systemd-tmpfiles-clean.timer kmod-static-nodes.service ldconfig.service "
          "systemd-modules-load.service systemd-remount-fs.service dev-hugepages.mount dev-mqueue.mount "
          "proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount sys-kernel-config.mount "
          "sys-kernel-debug.mount sys-kernel-tracing.mount modprobe@.service fstrim.timer apt-daily.timer "
          "apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer getty.target "
          "serial-getty@ttyS0.service").split()


def output(*arguments):
    r = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL, check=False, encoding="utf-8", timeout=120)
    return r.stdout


def installed_packages():
    """Name -> names that it depends on (all alternatives), of the host's packages."""
    found = {}
    text = output("dpkg-query", "-W", "-f", "${db:Status-Abbrev}|${Package}|${Pre-Depends}, ${Depends}\n")
    for line in text.splitlines():
        state, name, depends = line.split("|", 2)
        if state.startswith("ii"):
            found[name] = [re.split(r"[\s(:]", d.strip())[0] for d in re.split(r"[,|]", depends)]
    return found


def closure(seeds):
    packages = installed_packages()
    missing = [s for s in seeds if s not in packages]
    if missing:
        raise CannotHave("packages are missing on this host: " + " ".join(missing))
    found, todo = set(), list(seeds)
    while todo:
        name = todo.pop()
        if name in packages and name not in found and name not in WITHOUT:
            found.add(name)
            todo += packages[name]
    return sorted(found)


def libraries_of(programs):
    """Packages of the shared libraries that these programs are linked with."""
    paths = set()
    for program in programs:
        paths.update(re.findall(r"(?:=> |^\s*)(/\S+) \(0x", output("ldd", program), re.M))
    found = set()
    for path in paths:
        for name in {path, os.path.realpath(path), path.removeprefix("/usr")}:
            found.update(re.findall(r"^([^:\s,]+)(?::\S+)?: /", output("dpkg-query", "-S", name), re.M))
    return found


class Archive:
    """A cpio archive that is being written."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.known = set()
        self.number = 1

    def entry(self, path, mode, data=b"", mtime=0, owner=(0, 0), device=(0, 0)):
        path = path.strip("/")
        if not path or path in self.known:
            return
        self.parents(path)
        self.known.add(path)
        self.number += 1
        name = path.encode() + b"\0"
        fields = (self.number, mode, owner[0], owner[1], 1, int(mtime), len(data), 0, 0, device[0], device[1],
                  len(name), 0)
        self.file.write(b"070701" + b"".join(b"%08X" % f for f in fields) + name)
        self.pad()
        self.file.write(data)
        self.pad()

    def pad(self):
        self.file.write(b"\0" * (-self.file.tell() % 4))

    def parents(self, path):
        parent = os.path.dirname(path)
        if parent and parent not in self.known:
            self.entry(parent, stat.S_IFDIR | 0o755)

    def directory(self, path, mode=0o755):
        self.entry(path, stat.S_IFDIR | mode)

    def text(self, path, text, mode=0o644):
        self.entry(path, stat.S_IFREG | mode, text.encode())

    def link(self, path, target):
        self.entry(path, stat.S_IFLNK | 0o777, target.encode())

    def copy(self, source, path):
        """A file, link or directory of the host as it is there; not what is in a directory."""
        s = os.lstat(source)
        data = b""
        if stat.S_ISLNK(s.st_mode):
            data = os.readlink(source).encode()
        elif stat.S_ISREG(s.st_mode):
            with open(source, "rb") as f:
                data = f.read()
        elif not stat.S_ISDIR(s.st_mode):
            return
        self.entry(path, s.st_mode, data, s.st_mtime, (s.st_uid, s.st_gid))

    def tree(self, source, path):
        for where, directories, files in os.walk(source):
            for name in sorted(directories) + sorted(files):
                full = os.path.join(where, name)
                self.copy(full, os.path.join(path, os.path.relpath(full, source)))

    def close(self):
        self.entry("TRAILER!!!", 0)
        self.file.write(b"\0" * (-self.file.tell() % 512))
        self.file.close()


def add_package_files(archive, packages):
    files = output("dpkg-query", "-L", *packages).splitlines()
    for path in sorted({f for f in files if f.startswith("/") and f != "/."}):
        # On the host /bin is a link into /usr; so it is in the archive.
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if LEFT_OUT.search(path) or not os.path.lexists(path):
            continue
        archive.copy(path, path)
        if path.endswith(".py"):
            # Without it an emulated processor would compile the module anew at each start of Python.
            top, name = os.path.split(path)
            for compiled in output_names(top + "/__pycache__", name[:-3]):
                archive.copy(compiled, compiled)


def output_names(directory, stem):
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [os.path.join(directory, n) for n in names
            if n.startswith(stem + ".cpython-") and n.count(".") == 2]


def add_accounts(archive):
    """The host's system accounts; people have no business in there."""
    for name in ("passwd", "group"):
        with open("/etc/" + name, encoding="utf-8") as f:
            lines = [line for line in f if int(line.split(":")[2]) < 1000 or line.startswith("nobody")]
        archive.text("/etc/" + name, "".join(lines))


def write_base(path, installed, tests):
    """installed: tree that `meson install` has filled; tests: directory -> path inside."""
    a = Archive(path)
    for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        if os.path.islink("/" + name):
            a.link(name, os.readlink("/" + name))
    for name in ("dev", "proc", "sys", "run", "root", "usr", "etc", "var", "var/lib", "var/log", "opt"):
        a.directory(name)
    a.directory("tmp", 0o1777)
    a.directory("var/tmp", 0o1777)
    a.link("var/run", "/run")
    a.link("var/lock", "/run/lock")
    add_accounts(a)
    a.text("etc/machine-id", uuid.uuid4().hex + "\n")
    a.text("etc/hostname", "vm\n")
    a.text("etc/fstab", "")
    a.text("etc/systemd/journald.conf.d/vm.conf", "[Journal]\nStorage=volatile\nRateLimitBurst=0\n")
    for unit in MASKED:
        a.link("etc/systemd/system/" + unit, "/dev/null")
    a.link("etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    programs = [os.path.join(where, f) for where, _, files in os.walk(installed) for f in files
                if os.access(os.path.join(where, f), os.X_OK)]
    add_package_files(a, closure(sorted(set(PACKAGES) | libraries_of(programs))))
    a.copy("/etc/ld.so.cache", "/etc/ld.so.cache")
    a.tree(installed, "/")
    for source, inside in tests.items():
        a.tree(source, inside)
    a.close()


def write_modules(path, modules):
    a = Archive(path)
    a.known.update(("usr", "usr/lib"))
    a.directory("usr/lib/modules")
    a.tree(modules, "/usr/lib/modules")
    a.close()
