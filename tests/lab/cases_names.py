# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names of units: every one that systemctl takes, also of units that were never started."""
import os

from cases_citizen import CONF, reload_by_signal
from harness import (RUN, UNIT_DIR, VICTIM, case, daemon_reload, expect, expect_text, manager, read, remove, run, run_raw,
                     wait, write)

WRITTEN = "/etc/mendd/mendd.conf.d/80-mendctl.conf"


def written():
    return read(WRITTEN) if os.path.exists(WRITTEN) else ""


def never_started(t, stem, install=""):
    """A unit file, and nothing that would have made PID 1 load it."""
    name = t.unit_name(stem)
    fifo = f"{RUN}/{name}.fifo"
    os.mkfifo(fifo)
    os.chmod(fifo, 0o666)
    return t.write_unit(stem, f"[Service]\nExecStart={VICTIM} {fifo}\nWorkingDirectory={RUN}\nLimitCORE=0\n{install}")


@case("mendctl enable before the first start, and nothing for a unit that there is not", alone=True)
def enable_first(t):
    u = never_started(t, "fresh")
    t.cleanup(run_raw, "mendctl", "disable", u.name)
    c = run_raw("mendctl", "enable", u.name.removesuffix(".service"))
    expect("mendctl enable", (c.returncode, c.stdout.strip()), (0, f"{u.name}: is restarted when it fails"))
    expect_text("it is written", written(), f"[Unit {u.name}]\nHeal=restart")
    u.start()
    u.wait_mendd(HealMode="restart")
    u.wait_settled()
    u.request("exit 3")
    u.wait_closed()
    c = run_raw("mendctl", "enable", u.name.replace(".service", ".socket"))
    expect_text("no name of a service", str((c.returncode, c.stdout)), "(3, ", "not the name of a service unit")
    before = written()
    c = run_raw("mendctl", "enable", "no-such-thing")
    expect_text("no such unit", str((c.returncode, c.stdout)), "(3, ", "There is no unit no-such-thing.service")
    expect("no suggestion far off", "Did you mean" in c.stdout, False)
    c = run_raw("mendctl", "enable", u.name.replace("fresh", "frehs"))
    expect_text("a typing error", str((c.returncode, c.stdout)), "(3, ", f"Did you mean {u.name}?")
    masked = t.unit_name("masked")
    os.symlink("/dev/null", f"{UNIT_DIR}/{masked}")
    t.cleanup(remove, f"{UNIT_DIR}/{masked}")
    daemon_reload()
    c = run_raw("mendctl", "enable", masked)
    expect_text("a masked one", str((c.returncode, c.stdout)), "(3, ", 'systemd says "masked"')
    expect("nothing of these is written", written(), before)


@case("mendctl enable: an instance of a template, and not the template", alone=True)
def enable_instance(t):
    template = never_started(t, "many@")
    instance = template.name.replace("@", "@one")
    t.cleanup(run_raw, "mendctl", "disable", instance)
    c = run_raw("mendctl", "enable", instance)
    expect("mendctl enable", c.returncode, 0)
    expect_text("it is written", written(), f"[Unit {instance}]\nHeal=restart")
    c = run_raw("mendctl", "enable", template.name)
    expect_text("the template", str((c.returncode, c.stdout)), "(3, ", "systemd cannot load it")


@case("units that are never restarted: enabling them is refused, with the reason", alone=True)
def enable_denied(t):
    before = written()
    for verb in (("enable", "dbus"), ("enable", "systemd-journald"), ("enable", "getty@tty1"),
                 ("restart", "dbus", "--reason=test")):
        c = run_raw("mendctl", *verb)
        expect_text(" ".join(verb), str((c.returncode, c.stdout)), "(1, ", "is never restarted by mendd", "depend")
        expect("no words of errno", "not permitted" in c.stdout, False)
    expect("nothing is written", written(), before)


@case("an alias is as good as the name: verbs, [Unit …], Exclude=", alone=True)
def aliases(t):
    other = t.unit_name("other")
    u = never_started(t, "real", f"[Install]\nAlias={other}\n")
    t.cleanup(run_raw, "mendctl", "disable", u.name)
    t.cleanup(remove, f"{UNIT_DIR}/{other}")
    t.cleanup(reload_by_signal)
    t.cleanup(remove, CONF)
    os.symlink(f"{UNIT_DIR}/{u.name}", f"{UNIT_DIR}/{other}")
    daemon_reload()
    c = run_raw("mendctl", "enable", other)  # before the first start
    expect("mendctl enable", c.returncode, 0)
    expect_text("written by its name", written(), f"[Unit {u.name}]\nHeal=restart")
    expect("and not by the other", f"[Unit {other}]" in written(), False)
    u.start()
    u.wait_settled()
    u.wait_mendd(HealMode="restart")
    for verb in ("status", "explain", "reset"):
        expect(f"mendctl {verb}", run_raw("mendctl", "--no-pager", verb, other).returncode, 0)
    u.request("exit 3")
    u.wait_closed()
    c = run_raw("mendctl", "--no-pager", "incidents", other)
    expect_text("mendctl incidents", c.stdout, u.name)
    expect("mendctl disable", run_raw("mendctl", "disable", other).returncode, 0)
    u.wait_mendd(HealMode="observe")
    write(CONF, f"[Unit {other}]\nSeverity=critical\n")
    reload_by_signal()
    u.wait_mendd(Severity="critical")
    write(CONF, f"[Mendd]\nExclude={other}\n")
    reload_by_signal()

    def is_watched():
        return run_raw("mendctl", "--no-pager", "status", u.name).returncode != 3

    wait("it is left out", lambda: not is_watched())
    run("systemctl", "restart", u.name)
    expect("nothing is wrong", manager()["ConfigError"], "")
    wait("it is still left out", lambda: not is_watched())
    remove(CONF)
    reload_by_signal()
    wait("it is watched again", is_watched)


@case("mendctl logs: a unit's own lines and mendd's")
def logs(t):
    u = t.unit(mendd="Heal=restart\nVerifyFor=300ms")
    u.request("exit 3")
    u.wait_closed()
    u.wait_record("verified")
    c = run_raw("mendctl", "logs", "--no-pager", u.name.removesuffix(".service"))
    expect("exit status", c.returncode, 0)
    expect_text("systemd's and mendd's lines", c.stdout, "Main process exited", "restarted by mendd")
    c = run_raw("mendctl", "logs", "--no-pager", "-n", "1", u.name)
    expect("lines", len(c.stdout.splitlines()), 1)


@case("mendctl enable says when a stronger section wins", alone=True)
def stronger(t):
    u = t.unit(mendd=None)
    strong = "/etc/mendd/mendd.conf.d/90-lab.conf"
    t.cleanup(reload_by_signal)
    t.cleanup(remove, strong)
    t.cleanup(run_raw, "mendctl", "disable", u.name)
    write(strong, f"[Unit {u.name}]\nHeal=off\n")
    reload_by_signal()
    u.wait_mendd(HealMode="off")
    c = run_raw("mendctl", "enable", u.name)
    expect_text("mendctl enable", str((c.returncode, c.stdout)), "(1, ", "another section", "Heal=off")
