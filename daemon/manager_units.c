/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which units are watched, and with which settings: the configuration's files, each unit's own
 * section, and what changes when they do.
 */
#include "manager.h"
#include "base/clock.h"
#include "edge/config_files.h"
#include "edge/config_saved.h"

#include <fnmatch.h>
#include <systemd/sd-daemon.h>

/* A user's own manager is not a service in this sense: what runs below it belongs to the user. */
bool manager_is_watchable(const struct manager *m, const char *name)
{
	const struct unit *u = world_unit(&m->world, name);

	return unit_name_is_service(name) && fnmatch("user@*.service", name, 0) != 0 &&
	       fnmatch("user-runtime-dir@*.service", name, 0) != 0 &&
	       !host_settings_excludes(&m->world.settings, name, u ? u->aliases : NULL);
}

static void apply_check(struct manager *m, struct unit *u, const struct unit_settings *old)
{
	const struct unit_settings *s = &u->settings;
	int r;

	if (str_eq(old->check, s->check) && old->check_interval_ns == s->check_interval_ns &&
		old->check_timeout_ns == s->check_timeout_ns)
		return;
	plugin_host_check_stop(m->plugins, u->name);
	u->check = (struct check_state) { .status = -1 };
	if (!*s->check)
		return;
	r = plugin_host_check_start(m->plugins, u->name, s->check, s->check_interval_ns,
		s->check_timeout_ns, manager_on_check, m);
	if (r < 0) {
		/* Never "ok", never "critical": what cannot be observed is unknown. */
		u->check.status = MEND_UNKNOWN;
		snprintf(u->check.text, sizeof(u->check.text), "'%.200s' cannot be run: %s",
			s->check, r == -ENOENT ? "there is no such check" : strerror(-r));
		manager_tell_unit(
			m, u, MESSAGE_CONFIG_ERROR, LOG_WARNING, "Check=%s", u->check.text);
	}
}

static void apply_probe(struct manager *m, struct unit *u, const struct unit_settings *old)
{
	const struct unit_settings *s = &u->settings;
	int r;

	if (str_eq(old->probe, s->probe) && old->probe_interval_ns == s->probe_interval_ns &&
		old->probe_timeout_ns == s->probe_timeout_ns)
		return;
	prober_stop(m->prober, u->name);
	u->probe = (struct probe_state) { .status = -1 };
	if (!*s->probe)
		return;
	r = prober_start(m->prober, u->name, s->probe, s->probe_interval_ns, s->probe_timeout_ns);
	if (r < 0) {
		u->probe.status = MEND_UNKNOWN;
		snprintf(u->probe.text, sizeof(u->probe.text), "cannot be made: %s",
			r == -EOPNOTSUPP ? "this mendd was built without probes" : strerror(-r));
		manager_tell_unit(m, u, MESSAGE_CONFIG_ERROR, LOG_WARNING, "Probe=%s %s", s->probe,
			u->probe.text);
	}
}

void manager_apply_settings(struct manager *m, struct unit *u)
{
	struct unit_settings old = u->settings;

	unit_settings_merge(&u->settings, &m->world.settings, u->own_rule, u->name, u->aliases);
	apply_check(m, u, &old);
	apply_probe(m, u, &old);
	manager_apply_http(m, u);
}

struct unit *manager_watch(struct manager *m, const char *name)
{
	struct unit *u = world_unit(&m->world, name);
	struct unit_edge *e;

	if (u && u->edge)
		return u;
	if (!manager_is_watchable(m, name))
		return NULL;
	u = u ? u : world_unit_add(&m->world, name);
	if (!u)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e) {
		world_unit_remove(&m->world, u);
		return NULL;
	}
	e->manager = m;
	u->edge = e;
	plugin_host_watch(m->plugins, u->name);
	manager_begin_http(m, u);
	if (m->api)
		api_unit_added(m->api, u);
	/* The kernel may know of it before PID 1 has announced it. */
	if (m->systemd)
		systemd_read_all(m->systemd, u);
	return u;
}

void manager_free_edge(struct unit *u)
{
	struct unit_edge *e = u->edge;

	if (!e)
		return;
	sd_event_source_disable_unref(e->timer);
	sd_event_source_disable_unref(e->store_timer);
	free(e->fragment);
	free(e);
	u->edge = NULL;
}

void manager_unwatch(struct manager *m, struct unit *u)
{
	api_unit_removed(m->api, u);
	systemd_forget(m->systemd, u);
	plugin_host_unwatch(m->plugins, u->name);
	plugin_host_check_stop(m->plugins, u->name);
	prober_stop(m->prober, u->name);
	manager_end_http(m, u);
	manager_free_edge(u);
	world_unit_remove(&m->world, u);
}

void manager_leave(struct manager *m, struct unit *u)
{
	if (u->cgroup_id && m->kernel)
		kernel_watch(m->kernel, u->cgroup_id, false);
	manager_unwatch(m, u);
}

/* One line for people: the first mistake, and how many there are. */
static void describe_mistakes(struct world *w, const struct settings_errors *errors)
{
	const char *text = strbuf_text(errors->text);
	int n = (int)strcspn(text, "\n");

	if (errors->count > 1)
		snprintf(w->settings_error, sizeof(w->settings_error),
			"%.*s (and %u more; 'mendctl check-config' tells them)", n, text,
			errors->count - 1);
	else
		snprintf(w->settings_error, sizeof(w->settings_error), "%.*s", n, text);
}

/* The settings as files have them now; what has a mistake is left out. */
int manager_load_settings(struct manager *m, struct strbuf *text)
{
	struct settings_errors errors = { .text = text };
	struct world *w = &m->world;
	struct host_settings fresh;
	int r = config_load_best(NULL, CONFIG_SAVED_DIR, &fresh, &errors);

	w->settings_ok = r >= 0;
	describe_mistakes(w, &errors);
	if (r < 0 && r != -EINVAL)
		return r;
	host_settings_done(&w->settings);
	w->settings = fresh;
	w->settings_loaded_usec = clock_realtime_usec();
	log_set_level(fresh.log_level);
	return r;
}

void manager_tell_mistakes(struct manager *m, const char *text)
{
	while (*text) {
		int n = (int)strcspn(text, "\n");

		manager_tell_host(m, MESSAGE_CONFIG_ERROR, LOG_CRIT, "%.*s", n, text);
		text += n + (text[n] == '\n');
	}
}

int manager_reload(struct manager *m, char **ret_error)
{
	_cleanup_strbuf_ struct strbuf errors = {};
	struct unit **units = NULL;
	size_t n = 0;
	int r;

	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)(clock_monotonic_ns() / NSEC_PER_USEC));
	r = manager_load_settings(m, &errors);
	manager_tell_mistakes(m, strbuf_text(&errors));
	if (r < 0 && ret_error && errors.len > 0 &&
		asprintf(ret_error, "The configuration has mistakes, all else of it is in use:\n%s",
			strbuf_text(&errors)) < 0)
		*ret_error = NULL;
	if ((r >= 0 || r == -EINVAL) && world_units_sorted(&m->world, &units, &n) >= 0) {
		for (size_t i = 0; i < n; i++) {
			if (!manager_is_watchable(m, units[i]->name)) {
				manager_leave(m, units[i]);
				continue;
			}
			manager_apply_settings(m, units[i]);
			manager_step(m, units[i]);
		}
	}
	free(units);
	/* What is no longer excluded is met again; and own sections are read again: a person who
	 * reloads expects to see every change. */
	systemd_list(m->systemd);
	api_manager_changed(m->api);
	sd_notify(0, "READY=1");
	manager_status(m);
	return r;
}
