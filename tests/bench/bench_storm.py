# SPDX-License-Identifier: LGPL-2.1-or-later
"""Thousands of deaths within seconds in one unit: what is counted, and what mendd pays.

One process forks children that end at once, as fast as it can, while a client asks mendd over D-Bus
every 5 ms. First children that exit (their records wait for the next look into the ring), then
children that die of SIGKILL (each record wakes mendd).

    tests/bench/run storm [--deaths 10000] [--rounds 5]
"""
import argparse
import os
import signal
import subprocess

import figures
import inside

GO = "/run/mendd-bench.go"
KINDS = {"exit": ("exited_ok", "children that exit"), "killed": ("signaled", "children killed by SIGKILL")}


def storm(kind, deaths, pid):
    """One storm; a dictionary of figures."""
    unit = f"bench-{kind}.service"
    output = f"/run/bench-{kind}.out"
    if os.path.exists(GO):
        os.unlink(GO)
    inside.run("systemd-run", "-q", "--unit", unit, f"--property=StandardOutput=truncate:{output}",
               inside.program("load"), "wait", GO, kind, str(deaths))
    inside.wait_for("the unit in mendd's eyes",
                    lambda: inside.unit_property(unit, "Health") == "healthy")
    before = counted(unit, kind)
    inside.quiet([1, pid])
    ask = subprocess.Popen([inside.program("ask"), "5000"], stdout=subprocess.PIPE)
    ask.stdout.readline()  # it works
    memory, cpu = inside.memory(pid), inside.cpu_ns(pid)
    open(GO, "w", encoding="ascii").close()
    inside.wait_for("the end of the storm", lambda: os.path.getsize(output), deadline=120, every=0.05)
    done, ns = map(int, open(output, encoding="ascii").read().split())

    def settled():
        now = counted(unit, kind)
        return sum(now) - sum(before) >= done and now
    after = inside.wait_for("all deaths counted or lost", settled, every=0.2)
    result = {"seconds": ns / 1e9, "cpu": (inside.cpu_ns(pid) - cpu) / 1e9,
              "counted": after[0] - before[0], "lost": after[1] - before[1], "died": done,
              "before": memory, "after": inside.memory(pid)}
    ask.send_signal(signal.SIGTERM)
    result["replies"] = [int(x) for x in ask.communicate()[0].split()]
    inside.run("systemctl", "stop", unit)
    return result


def counted(unit, kind):
    values = inside.metrics()
    return (inside.metric_sum(values, "mendd_process_exits_total", f'name="{unit}"', KINDS[kind][0]),
            inside.metric_sum(values, "mendd_bpf_events_lost_total", 'kind="death"'))


def report(kind, results):
    died = sum(r["died"] for r in results)
    print(f"{KINDS[kind][1]}: died {died}, counted {sum(r['counted'] for r in results):.0f}, "
          f"lost and counted as lost {sum(r['lost'] for r in results):.0f}")
    figures.header("")
    figures.line("  seconds of a storm", [r["seconds"] for r in results])
    figures.line("  mendd's CPU seconds", [r["cpu"] for r in results], digits=3)
    figures.line("  mendd's CPU, microseconds per death", [r["cpu"] / r["died"] for r in results],
                 scale=1e-6)
    figures.line("  D-Bus reply, milliseconds", [x for r in results for x in r["replies"]], scale=1e6)
    figures.line("  worst D-Bus reply of a storm, milliseconds",
                 [max(r["replies"]) for r in results], scale=1e6)
    figures.line("  resident before, KiB", [r["before"]["Rss"] for r in results], digits=0)
    figures.line("  resident after, KiB", [r["after"]["Rss"] for r in results], digits=0)
    figures.line("  anonymous before, KiB", [r["before"]["Anonymous"] for r in results], digits=0)
    figures.line("  anonymous after, KiB", [r["after"]["Anonymous"] for r in results], digits=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--deaths", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    with figures.Frame(f"a storm of {a.deaths} deaths in one unit"):
        pid = inside.start_mendd()
        results = {kind: [] for kind in KINDS}
        for _ in range(a.rounds):
            for kind in KINDS:
                results[kind].append(storm(kind, a.deaths, pid))
        for kind, list_ in results.items():
            report(kind, list_)


if __name__ == "__main__":
    main()
