#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What people meet is in the manual, each thing once and in its page, and the manual names nothing that is not there:
settings, metrics, journal fields and ids, alerts, refusals, causes, options. (The bus and the verbs: tests/api.)"""
import glob
import os
import re
import sys

MAN = "data/man/"
mistakes = []


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def page(name):
    return read(f"{MAN}{name}.scd")


def section(text, title):
    return re.search(rf"^# {title}\n(.*?)(?=^# |\Z)", text, re.M | re.S).group(1)


def words(text, pattern):
    """What the code has. None at all means that this file looks for it in the wrong way."""
    found = re.findall(pattern, text, re.S)
    if not found:
        mistakes.append(f"tests/documented.py: nothing is found by {pattern}")
    return found


def compare(what, where, names, documented):
    for name in sorted(set(names)):
        n = documented.count(name)
        if n != 1:
            mistakes.append(f"{where}: {what} {name} is there {n} times")
    for name in sorted(set(documented) - set(names)):
        mistakes.append(f"{where}: {what} {name} is not in the code")


def bold(text, pattern=r"[\w-]+"):
    return re.findall(rf"\*({pattern})\*", text)


def first_cells(text):
    return re.findall(r"^\|\[? +[*_]([\w-]+)[*_]", text, re.M)


def enumeration(source, table):
    """Words of `static const … TABLE[…] = { [X] = "word" or { "word", …"""
    body = re.search(rf"{table}\[[A-Z_]+\] = {{(.*?)\n}};", source, re.S).group(1)
    return words(body, r'\[[A-Z_0-9]+\] =\s*{?\s*"([\w-]+)"')


def check_settings():
    source = read("daemon/state/settings_keys.c").split("static const struct key keys[]")[1].split("\n};")[0]
    keys = words(source, r'(?:HOST|HOST_COUNT|UNIT\w*)\(\s*"(\w+)"') + words(source, r'{ "(\w+)"')
    compare("setting", "mendd.conf(5)", keys, [k[:-1] for k in bold(page("mendd.conf.5"), r"\w+=")])
    compare("setting", "data/mendd.conf", keys, re.findall(r"^#([A-Z]\w+)=(?!Value)", read("data/mendd.conf"), re.M))
    for path in glob.glob(MAN + "*.scd"):
        for block in re.findall(r"^```\n(.*?)^```$", read(path), re.M | re.S):
            if re.match(r"\[(Mendd|Unit|X-Mendd)\b", block):
                for key in re.findall(r"^(\w+)=", block, re.M):
                    if key not in keys:
                        mistakes.append(f"{path}: the example has a setting {key}")


def check_metrics():
    sources = "".join(map(read, ("daemon/judge/collect.c", "daemon/judge/collect_http.c", "daemon/edge/metrics_page.c")))
    names = words(sources, r'(?:metric_family|by_class)\([\w>&, -]+?"((?:mendd|process)_\w+)"')
    text = page("mendd-metrics.7")
    compare("metric", "mendd-metrics(7)", names, bold(text.split("# EXAMPLES")[0], r"(?:mendd|process)_\w+"))
    for used in re.findall(r"\bmendd_\w+", "".join(re.findall(r"^```\n(.*?)^```$", text, re.M | re.S))):
        if used not in names and re.sub(r"_(bucket|sum|count)$", "", used) not in names:
            mistakes.append(f"mendd-metrics(7): the example has a metric {used}")


def check_journal():
    text = page("mendd-journal.7")
    tell = read("daemon/manager_tell.c") + read("plugins/journal/journal.c") + read("daemon/edge/plugin_host.c")
    compare("field", "mendd-journal(7)", words(tell, r'"(MENDD_\w+)"'),
            [f[:-1] for f in bold(section(text, "FIELDS"), r"MENDD_\w+=")])
    ids = words(read("plugins/message-ids.h"), r'{ "([\w-]+)", "([0-9a-f]{32})" }')
    compare("event", "mendd-journal(7)", ids, re.findall(r"\*([\w-]+)\*\n:<? +([0-9a-f]{32})$", text, re.M))


def check_words():
    source, text = read("daemon/state/words.c"), page("mendd.8")
    compare("alert", "mendd(8)", enumeration(source, "rule_words"), first_cells(section(text, "ALERTS")))
    compare("refusal", "mendd(8)", set(enumeration(source, "refusals")) - {"none"}, first_cells(section(text, "REFUSALS")))
    # A check opens no incident of its own, and what is frozen is a refusal.
    causes = set(enumeration(source, "cause_words")) - {"none", "check", "frozen"}
    compare("cause", "mendd(8)", causes, bold(section(text, "CAUSES")))
    http, text = read("daemon/state/http.c"), page("mendd-http.7")
    reasons = enumeration(http, "incomplete_words") + enumeration(http, "untracked_words")
    compare("reason", "mendd-http(7)", reasons, re.findall(r"^\|\[? +_(\w+)_$", text, re.M))


def check_options():
    source = read("ctl/help.c").split("common_options[]")[1].split("};")[0]
    long = words(source, r"--[\w-]+=?")
    heads = "\n".join(re.findall(r"^\*-.*", section(page("mendctl.1"), "OPTIONS"), re.M))
    compare("option", "mendctl(1)", long, bold(heads, r"--[\w-]+=?"))
    completed = re.search(r'local options="(.*?)"', read("data/completions/mendctl"), re.S).group(1)
    compare("option", "the completion", long, re.findall(r"--[\w-]+=?", completed))


def check_references():
    there = {os.path.basename(path)[:-4] for path in glob.glob(MAN + "*.scd")}
    built = re.findall(r"^  '([\w.-]+\.\d)',$", read("data/meson.build"), re.M)
    compare("page", "data/meson.build", there, built)
    for path in [*glob.glob(MAN + "*.scd"), "README.md", "data/mendd.service", "data/mendd.catalog"]:
        for name, number in re.findall(r"\*?\b((?:org\.)?mend[\w.-]*)\*?\((\d)\)", read(path)):
            if f"{name}.{number}" not in there:
                mistakes.append(f"{path}: there is no {name}({number})")


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    check_settings()
    check_metrics()
    check_journal()
    check_words()
    check_options()
    check_references()
    print(*mistakes, sep="\n", end="\n" if mistakes else "")
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    main()
