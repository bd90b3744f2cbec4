/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl doctor: what this host lets mendd see and do, one line each, with what to do about what
 * is missing. Works without a running mendd, and then says that first.
 */
#include "ctl.h"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <systemd/sd-daemon.h>

enum finding {
	OK,
	DEGRADED,
	MISSING,
};

struct doctor {
	const struct ctl *ctl; /* borrowed */
	json_t *rows;          /* owned */
	enum finding worst;
};

static void find(struct doctor *d, enum finding finding, const char *what, const char *text,
	const char *advice)
{
	static const char *const words[] = { "ok", "degraded", "missing" };

	d->worst = MAX(d->worst, finding);
	json_array_append_new(
		d->rows, json_pack("{ss ss ss ss}", "state", words[finding], "what", what, "text",
				 text, "advice", finding == OK ? "" : advice));
}

static bool path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool is_cgroup2(const char *path)
{
	struct statfs s;

	return statfs(path, &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC;
}

static void check_host(struct doctor *d)
{
	bool systemd = sd_booted() > 0, btf = path_exists("/sys/kernel/btf/vmlinux");

	find(d, systemd ? OK : MISSING, "systemd",
		systemd ? "is PID 1" : "is not PID 1 of this host",
		"mendd heals through systemd; it has nothing to watch here");
	if (is_cgroup2("/sys/fs/cgroup"))
		find(d, OK, "cgroup v2", "at /sys/fs/cgroup", "");
	else if (is_cgroup2("/sys/fs/cgroup/unified"))
		find(d, DEGRADED, "cgroup v2", "mounted beside version 1, without controllers",
			"boot with systemd.unified_cgroup_hierarchy=1");
	else
		find(d, MISSING, "cgroup v2", "is not mounted",
			"boot with systemd.unified_cgroup_hierarchy=1");
	find(d, btf ? OK : MISSING, "BTF",
		btf ? "/sys/kernel/btf/vmlinux" : "the kernel does not describe its types",
		"a kernel with CONFIG_DEBUG_INFO_BTF=y; without it deaths are seen late and without "
		"their sender");
	if (path_exists("/run/systemd/journal/socket"))
		find(d, OK, "journal", "/run/systemd/journal/socket", "");
	else
		find(d, DEGRADED, "journal", "there is none to write to",
			"start systemd-journald; incidents are still kept in the store");
}

/* Whether the bus lists the name; `list` is ListNames or ListActivatableNames. */
static bool bus_lists(sd_bus *bus, const char *list, const char *name)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	const char *s;

	if (sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
		    "org.freedesktop.DBus", list, NULL, &m, "") < 0 ||
		sd_bus_message_enter_container(m, 'a', "s") < 0)
		return false;
	while (sd_bus_message_read(m, "s", &s) > 0)
		if (str_eq(s, name))
			return true;
	return false;
}

static void check_daemon(struct doctor *d, const json_t *m)
{
	const json_t *feature;
	char version[96];
	uint64_t lost = get_number(m, "NEventsLost");
	size_t i;

	snprintf(version, sizeof(version), "version %.40s, %.40s", get_text(m, "Version"),
		get_text(m, "State"));
	find(d, OK, "mendd", version, "");
	if (get_bool(m, "Degraded"))
		find(d, DEGRADED, "kernel programs", "are not loaded; the fallbacks are at work",
			"see the lines below, and 'journalctl -u mendd'");
	json_array_foreach (json_object_get(m, "Features"), i, feature)
		find(d, json_is_true(json_array_get(feature, 1)) ? OK : DEGRADED,
			json_string_value(json_array_get(feature, 0)),
			json_string_value(json_array_get(feature, 2)),
			"'journalctl -u mendd' says what was tried");
	if (lost > 0)
		find(d, DEGRADED, "records", "the kernel could not hand over all of them",
			"systemd is asked instead; mendd_bpf_events_lost_total says which and when");
	if (*get_text(m, "ConfigError"))
		find(d, DEGRADED, "configuration", get_text(m, "ConfigError"),
			"mendctl check-config, then mendctl reload");
}

/* 0, or EXIT_NO_DAEMON. */
static int check_bus(struct ctl *c, struct doctor *d)
{
	json_t *m = NULL;

	if (!c->bus && sd_bus_open_system(&c->bus) < 0) {
		find(d, MISSING, "system bus", "cannot be reached", "start dbus.service");
		find(d, MISSING, "mendd", "cannot be asked without the bus",
			"systemctl start mendd");
		return EXIT_NO_DAEMON;
	}
	find(d, OK, "system bus", "answers", "");
	if (bus_lists(c->bus, "ListNames", "org.freedesktop.PolicyKit1") ||
		bus_lists(c->bus, "ListActivatableNames", "org.freedesktop.PolicyKit1"))
		find(d, OK, "polkit", "decides who may change something", "");
	else
		find(d, DEGRADED, "polkit", "is not installed: only root may change something",
			"install polkit to let others");
	if (!bus_lists(c->bus, "ListNames", BUS_NAME) ||
		bus_properties(c, &m, BUS_PATH, BUS_MANAGER) != 0) {
		find(d, MISSING, "mendd", "is not running", "systemctl start mendd");
		return EXIT_NO_DAEMON;
	}
	check_daemon(d, m);
	json_decref(m);
	return 0;
}

static void print_rows(const struct doctor *d)
{
	const json_t *row;
	size_t i;

	json_array_foreach (d->rows, i, row) {
		const char *state = get_text(row, "state");
		enum color color = str_eq(state, "ok")         ? COLOR_GOOD
				   : str_eq(state, "degraded") ? COLOR_WARN
							       : COLOR_BAD;

		printf("%s%-8s%s  ", color_on(d->ctl, color), state, color_off(d->ctl, color));
		put_clean(stdout, get_text(row, "what"));
		printf(": ");
		put_clean(stdout, get_text(row, "text"));
		putchar('\n');
		if (*get_text(row, "advice")) {
			printf("          -> ");
			put_clean(stdout, get_text(row, "advice"));
			putchar('\n');
		}
	}
}

int verb_doctor(struct ctl *c, int argc, char **argv)
{
	struct doctor d = { .ctl = c, .rows = json_array() };
	int r;

	if (!d.rows)
		return out_of_memory();
	r = check_bus(c, &d);
	check_host(&d);
	if (c->json != JSON_OFF)
		print_json(c, d.rows);
	else
		print_rows(&d);
	json_decref(d.rows);
	return r != 0 ? r : d.worst == OK ? EXIT_HEALTHY : EXIT_UNHEALTHY;
}
