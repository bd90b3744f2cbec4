/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Creation and end of the daemon; see manager.h for the other parts.
 * Creation is in the order of the flow, so that a record never meets a part that is not there yet.
 */
#include "manager.h"
#include "base/clock.h"
#include "edge/check_exec.h"
#include "edge/plugin_loader.h"
#include "edge/metrics_page.h"
#include "../plugins/builtin.h"

#include <signal.h>
#include <systemd/sd-daemon.h>

#define STORE_PATH "/var/lib/mendd/mendd.sqlite"

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	manager_reload(userdata, NULL);
	return 0;
}

/* The bus is how systemd is asked: without it, begin anew. The FD store keeps the kernel's records.
 */
static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	struct manager *m = userdata;

	log_error("the connection to the system bus is gone; starting anew");
	m->exit_code = EXIT_FAILURE;
	sd_event_exit(m->event, EXIT_FAILURE);
	return 0;
}

/* A new database in the place of a damaged one: what still counts is put into it again. */
static void refill_store(struct manager *m)
{
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor))) {
		if (u->incident)
			store_put_incident(m->store, u->incident, NULL, NULL);
		if (u->heal.n_restarts > 0)
			store_put_unit(m->store, u, NULL, NULL);
	}
	if (m->world.pause.active)
		store_put_pause(m->store, &m->world.pause, NULL, NULL);
}

static void on_store_state(void *userdata, int error, const char *text)
{
	struct manager *m = userdata;

	world_feature(&m->world, "store", error >= 0, "%s", text);
	if (error < 0) {
		m->world.store_failures++;
		manager_tell_host(m, MESSAGE_STORE_ERROR, LOG_ERR,
			"incidents cannot be stored: %s; healing goes on", text);
	} else if (m->store_failing)
		manager_tell_host(m, MESSAGE_STORE_RECOVERED, LOG_NOTICE, "%s", text);
	if (error >= 0 && m->store_renewed)
		refill_store(m);
	m->store_renewed = error == -EUCLEAN;
	m->store_failing = error < 0;
	if (m->api)
		api_manager_changed(m->api);
}

static const char *plugin_config(void *userdata, const char *plugin, const char *key)
{
	const struct host_settings *s = &((struct manager *)userdata)->world.settings;
	const char *value = NULL;

	/* Later files win. */
	for (size_t i = 0; i < s->n_plugin_settings; i++)
		if (str_eq(s->plugin_settings[i].plugin, plugin) &&
			str_eq(s->plugin_settings[i].key, key))
			value = s->plugin_settings[i].value;
	return value;
}

static int dump_metrics(void *userdata, const char *format, struct strbuf *ret)
{
	const struct manager *m = userdata;

	return metrics_page(&m->world, NULL,
		str_eq(format, "openmetrics") ? METRIC_OPENMETRICS : METRIC_TEXT, ret);
}

static void restore_unit(void *userdata, const char *name, const struct unit_state *state)
{
	struct manager *m = userdata;
	struct unit *u = manager_is_watchable(m, name) ? manager_watch(m, name) : NULL;

	if (!u)
		return;
	u->heal = state->heal;
	u->listening = state->listening;
}

static int open_bus(struct manager *m)
{
	int r = sd_bus_open_system(&m->bus);

	if (r < 0)
		return log_error_errno(r, "cannot connect to the system bus");
	sd_bus_set_exit_on_disconnect(m->bus, 0);
	r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		return r;
	return sd_bus_match_signal_async(m->bus, NULL, "org.freedesktop.DBus.Local",
		"/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected",
		on_disconnected, NULL, m);
}

static int open_plugins(struct manager *m)
{
	int r = plugin_host_new(&m->plugins, m->event, m->bus, &m->world);

	if (r < 0)
		return r;
	plugin_host_set_config(m->plugins, plugin_config, m);
	plugin_host_set_observer(m->plugins, manager_on_observation, m);
	plugin_host_register(m->plugins, &journal_plugin);
	plugin_host_register(m->plugins, &restart_plugin);
	plugin_host_register(m->plugins, &tcp_plugin);
	plugin_host_register(m->plugins, &check_exec_plugin);
	plugin_host_load_dir(m->plugins, PLUGIN_DIR);
	return 0;
}

static void on_probe(
	void *userdata, const char *unit, int status, uint64_t took_ns, const char *text)
{
	manager_on_probe(userdata, unit, status, took_ns, text);
}

/* A connection to its socket unit would start what somebody has stopped. */
static bool is_probed(void *userdata, const char *unit)
{
	struct manager *m = userdata;
	const struct unit *u = world_unit(&m->world, unit);

	return u && (u->facts.active == ACTIVE_ACTIVE || u->facts.active == ACTIVE_RELOADING);
}

static void on_probe_port(void *userdata, uint16_t port, bool in_use)
{
	struct manager *m = userdata;

	if (m->http)
		http_source_probe_port(m->http, port, in_use);
}

static int open_prober(struct manager *m)
{
	const struct prober_handler handler = {
		.userdata = m,
		.on_result = on_probe,
		.is_wanted = is_probed,
		.on_port = on_probe_port,
	};

	return prober_new(&m->prober, m->event, &handler);
}

static int open_store(struct manager *m)
{
	struct store_options options = { .on_state = on_store_state, .userdata = m };
	int r = store_open(&m->store, m->event, STORE_PATH, &options);

	if (r < 0)
		return log_error_errno(r, "cannot begin to store incidents");
	if (store_healthy(m->store))
		world_feature(&m->world, "store", true, STORE_PATH);
	store_load_units(m->store, restore_unit, m);
	store_load_pause(m->store, &m->world.pause);
	manager_resume_open(m);
	return 0;
}

static void open_kernel(struct manager *m)
{
	int r = kernel_new(
		&m->kernel, m->event, &m->world, &m->stored, &manager_kernel_handlers, m);

	manager_adopt_http(m);
	if (r >= 0) {
		kernel_scan(m->kernel);
		return;
	}
	m->world.degraded = true;
	r = connector_new(&m->connector, m->event, manager_on_connector, m);
	errno = -r;
	if (r >= 0)
		world_feature(
			&m->world, "connector", true, "deaths of main processes, without killers");
	else
		world_feature(&m->world, "connector", false,
			"the process connector is not to be had: %m");
	manager_tell_host(m, MESSAGE_DEGRADED, LOG_WARNING,
		"DEGRADED: the kernel programs are not loaded (%s); deaths come from %s, and nobody can "
		"tell who sent a signal",
		world_find_feature(&m->world, "bpf") ? world_find_feature(&m->world, "bpf")->text
						     : "for an unknown reason",
		r >= 0 ? "the process connector and systemd" : "systemd alone");
}

static int open_metrics(struct manager *m)
{
	int fd = fdstore_take(&m->stored, "metrics");
	int r = metrics_server_new(&m->metrics, m->event, &m->world, fd);

	if (r < 0) {
		/* Another process has the port: said, and healing goes on without it. */
		if (fd >= 0)
			close(fd);
		if (r == -EOPNOTSUPP) {
			world_feature(&m->world, "metrics", false,
				"this mendd was built without an HTTP endpoint; 'mendctl metrics' has them");
			return r;
		}
		errno = -r;
		world_feature(&m->world, "metrics", false, "the metrics port cannot be opened: %m");
		return log_warning_errno(r, "cannot serve metrics");
	}
	world_feature(&m->world, "metrics", true, "http://localhost:%d/metrics", METRICS_PORT);
	while ((fd = fdstore_take(&m->stored, "metrics")) >= 0)
		metrics_server_listen(m->metrics, fd);
	return 0;
}

static void report_start(struct manager *m, const char *mistakes)
{
	manager_tell_host(m, MESSAGE_DAEMON_STARTED, LOG_INFO,
		"mendd " MENDD_VERSION " has started%s",
		m->kernel && kernel_is_adopted(m->kernel)
			? "; the kernel's records of the time in between are not lost"
			: "");
	manager_tell_mistakes(m, mistakes);
}

static int open_all(struct manager *m)
{
	_cleanup_strbuf_ struct strbuf errors = {};
	int r;

	fdstore_receive(&m->stored);
	manager_load_settings(m, &errors); /* a mistake is told by report_start() */
	r = open_bus(m);
	if (r >= 0)
		r = open_plugins(m);
	if (r >= 0)
		r = open_prober(m);
	if (r >= 0)
		r = open_store(m);
	if (r < 0)
		return r;
	manager_fill_verbs(m, &m->verbs);
	r = api_new(&m->api, m->bus, &m->world, &m->verbs);
	if (r < 0)
		return log_error_errno(r, "cannot put org.mendd1 on the bus");
	if (sockets_new(&m->sockets) < 0)
		world_feature(&m->world, "sockets", false, "sock_diag is not to be had");
	else
		world_feature(&m->world, "sockets", true, "who listens where, from sock_diag");
	manager_open_pressure(m);
	open_kernel(m);
	r = systemd_new(&m->systemd, m->bus, &m->world, &manager_systemd_handlers, m);
	if (r < 0)
		return log_error_errno(r, "cannot ask systemd");
	manager_read_socket_units(m);
	open_metrics(m);
	api_set_dump_metrics(m->api, dump_metrics, m);
	report_start(m, strbuf_text(&errors));
	return 0;
}

struct manager *manager_free(struct manager *m)
{
	size_t cursor = 0;
	struct unit *u;
	void *name;

	if (!m)
		return NULL;
	metrics_server_free(m->metrics);
	api_free(m->api);
	plugin_host_free(m->plugins);
	prober_free(m->prober);
	if (m->bus)
		sd_bus_flush_close_unref(m->bus);
	systemd_free(m->systemd);
	manager_free_http(m);
	kernel_free(m->kernel);
	connector_free(m->connector);
	sockets_free(m->sockets);
	store_close(m->store);
	while ((u = hash_next(&m->world.units, &cursor)))
		manager_free_edge(u);
	cursor = 0;
	while ((name = hash_next(&m->cgroups, &cursor)))
		free(name);
	hash_done(&m->cgroups);
	free(m->nameless);
	fdstore_close(&m->stored); /* before PID 1 had told of all units */
	world_done(&m->world);
	sd_event_source_disable_unref(m->tick);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}

int manager_new(struct manager **ret)
{
	struct manager *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	world_init(&m->world);
	m->world.started_usec = clock_realtime_usec();
	m->helper_limit = (struct ratelimit) { .interval_ns = 60 * NSEC_PER_SEC, .burst = 20 };
	m->loss_limit = (struct ratelimit) { .interval_ns = 60 * NSEC_PER_SEC, .burst = 2 };
	r = sd_event_default(&m->event);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGHUP, on_hangup, m);
	if (r >= 0)
		r = manager_start_tick(m);
	if (r >= 0)
		r = open_all(m);
	if (r < 0) {
		manager_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

int manager_run(struct manager *m)
{
	int r;

	/* Fed from the loop: a loop that hangs is noticed by systemd. */
	sd_event_set_watchdog(m->event, 1);
	manager_check_kill_switch(m);
	sd_notify(0, "READY=1");
	manager_load_http(m); /* behind it: nobody waits for this */
	manager_status(m);
	r = sd_event_loop(m->event);
	sd_notify(0, "STOPPING=1");
	if (r >= 0 && m->exit_code == 0)
		manager_tell_host(m, MESSAGE_DAEMON_STOPPED, LOG_INFO, "mendd has stopped");
	return r < 0 ? EXIT_FAILURE : m->exit_code;
}
