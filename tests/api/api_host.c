/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The D-Bus API on a world that was filled in by hand: no kernel, no systemd, no manager. The verbs
 * write down that they were called and then change the world and notify, as the manager does, so
 * that a script can see authorization, marshalling and signals from outside (test_api.py).
 *
 *     api-host DIRECTORY
 *
 * writes DIRECTORY/calls, fails to reload while DIRECTORY/bad-config exists, prints "ready" when it
 * has its name, and on SIGUSR1 sends one of each signal.
 */
#include "../../daemon/base/clock.h"
#include "../../daemon/edge/api.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <math.h>
#include <signal.h>
#include <systemd/sd-event.h>

struct host {
	struct world world;
	struct api *api;
	const char *directory;
	FILE *calls;
};

#define OLD_INCIDENT "aaaabbbb-0000-4000-8000-000000000001"
#define STORED_INCIDENT "ccccdddd-0000-4000-8000-000000000002"
#define OPEN_INCIDENT "eeeeffff-0000-4000-8000-000000000003"

/* What a hostile process calls itself: a terminal escape, and bytes that are not UTF-8. */
#define HOSTILE "\033[31mev\xffil\xc2\x9b"

_printf_(2, 3) static void note(struct host *h, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(h->calls, format, ap);
	va_end(ap);
	fputc('\n', h->calls);
	fflush(h->calls);
}

static int set_heal(void *manager, const char *unit, enum heal_mode mode, char **ret_error)
{
	struct host *h = manager;
	struct unit *u = world_unit(&h->world, unit);

	note(h, "set_heal %s %s", unit, heal_mode_word(mode));
	u->settings.heal = mode;
	api_unit_changed(h->api, u);
	api_manager_changed(h->api);
	return 0;
}

static int restart(void *manager, const char *unit, const char *reason, uid_t uid, char **ret_error)
{
	struct host *h = manager;

	note(h, "restart %s %u %s", unit, (unsigned int)uid, reason);
	if (!policy_is_denied(unit))
		return 0;
	*ret_error = strdup("The host depends on it.");
	return -EPERM;
}

static int reset(void *manager, const char *unit, uid_t uid, char **ret_error)
{
	note(manager, "reset %s %u", unit, (unsigned int)uid);
	return 0;
}

static int pause_healing(
	void *manager, uint64_t usec, const char *reason, uid_t uid, char **ret_error)
{
	struct host *h = manager;
	struct pause *p = &h->world.pause;

	note(h, "pause %llu %u %s", (unsigned long long)usec, (unsigned int)uid, reason);
	p->active = true;
	p->until_ns = clock_monotonic_ns() + usec * NSEC_PER_USEC;
	str_copy(p->reason, sizeof(p->reason), reason);
	api_manager_changed(h->api);
	return 0;
}

static int resume(void *manager, uid_t uid, char **ret_error)
{
	struct host *h = manager;

	note(h, "resume %u", (unsigned int)uid);
	h->world.pause = (struct pause) {};
	api_manager_changed(h->api);
	return 0;
}

static int reload(void *manager, char **ret_error)
{
	struct host *h = manager;
	char path[512];

	note(h, "reload");
	snprintf(path, sizeof(path), "%s/bad-config", h->directory);
	if (access(path, F_OK) != 0)
		return 0;
	*ret_error = strdup("mendd.conf:3: unknown key Hael=; did you mean Heal=?\n"
			    "mendd.conf:4: unknown key Buget=\n");
	return -EINVAL;
}

static int stored_incident(void *manager, const char *id, struct strbuf *ret)
{
	if (strncmp(STORED_INCIDENT, id, strlen(id)) != 0)
		return -ENOENT;
	/* Pretty-printed, as a store may keep it. */
	strbuf_add(ret, "{\n\t\"id\":\"" STORED_INCIDENT "\",\"unit\":\"gone.service\"}");
	return 0;
}

static int list_incidents(void *manager, const char *unit, uint32_t limit, struct strbuf *ret)
{
	struct host *h = manager;
	const struct incident *all[] = { world_incident(&h->world, OPEN_INCIDENT),
		world_incident(&h->world, OLD_INCIDENT) };
	size_t n = 0;

	note(h, "list_incidents %s %u", *unit ? unit : "-", limit);
	strbuf_add(ret, "[");
	for (size_t i = 0; i < ARRAY_SIZE(all) && n < limit; i++)
		if (!*unit || str_eq(all[i]->unit, unit)) {
			strbuf_add(ret, n++ ? "," : "");
			incident_to_json(all[i], ret);
		}
	strbuf_add(ret, "]");
	return 0;
}

static int verify_config(void *manager, const char *name, const char *text, struct strbuf *ret)
{
	/* The quoted line comes from the file, and may hold anything. */
	if (name && strstr(text, "Hael"))
		strbuf_addf(ret, "%s:1: unknown key Hael=\xff; did you mean Heal=?\n", name);
	return 0;
}

static int dump_metrics(void *userdata, const char *format, struct strbuf *ret)
{
	/* Larger than a pipe's buffer and than one read of mendctl. */
	for (int i = 0; i < 5000; i++)
		strbuf_addf(ret, "mendd_unit_healthy{name=\"unit-%d.service\"} 1\n", i);
	if (str_eq(format, "openmetrics"))
		strbuf_add(ret, "# EOF\n");
	return 0;
}

static void kill_unit(struct unit *u, uint64_t now)
{
	struct death d = { .source = DEATH_FROM_KERNEL,
		.time_ns = now - 2 * NSEC_PER_SEC,
		.pid = 4242,
		.lifetime_ns = 90 * NSEC_PER_SEC,
		.peak_rss_bytes = 64 * 1024 * 1024,
		.comm = "shop",
		.signal = SIGKILL,
		.killer = KILLER_PROCESS,
		.killer_si_code = 0,
		.killer_pid = 666,
		.killer_uid = 1000,
		.killer_comm = HOSTILE,
		.killer_unit = "session-3.scope" };

	unit_note_death(u, &d);
	unit_remember_death(u, &d);
	u->facts.exec_main_pid = d.pid;
	u->facts.active = ACTIVE_FAILED;
	u->facts.read_ns = now;
	str_copy(u->facts.sub_state, sizeof(u->facts.sub_state), "failed");
	u->health = HEALTH_UNHEALTHY;
	u->heal.state = HEAL_STATE_HOLD;
	u->heal.since_ns = d.time_ns;
	u->heal.refusal = REFUSAL_OBSERVE_ONLY;
	u->heal.trouble = (struct trouble) { .present = true,
		.cause = CAUSE_KILLED,
		.time_ns = d.time_ns,
		.detected_ns = d.time_ns + 80 * NSEC_PER_USEC };
	death_describe(&d, u->heal.trouble.text, sizeof(u->heal.trouble.text));
	str_copy(u->health_reason, sizeof(u->health_reason), u->heal.trouble.text);
	u->incident = incident_new(u->name, &u->heal.trouble, now, clock_realtime_usec());
	str_copy(u->incident->id, sizeof(u->incident->id), OPEN_INCIDENT);
	u->incident->death = d;
	u->incident->evidence = strdup("{\"last_log\":\"out of | cheese\",\"open_files\":12}");
	incident_note(u->incident, d.time_ns, "failed", "%s", u->heal.trouble.text);
	incident_note(u->incident, d.time_ns + 80 * NSEC_PER_USEC, "detected", "by the kernel");
	incident_note(u->incident, now, "held", "%s", refusal_text(REFUSAL_OBSERVE_ONLY));
}

static void fill_nginx(struct unit *u, uint64_t now)
{
	u->settings.heal = HEAL_RESTART;
	u->health = HEALTH_HEALTHY;
	u->facts.active = ACTIVE_ACTIVE;
	u->facts.main_pid = 100;
	u->facts.active_enter_usec = (now - 100 * NSEC_PER_SEC) / NSEC_PER_USEC;
	str_copy(u->facts.sub_state, sizeof(u->facts.sub_state), "running");
	str_copy(u->facts.invocation, INVOCATION_SIZE, "0123456789abcdef0123456789abcdef");
	u->restarts[INITIATOR_MENDD] = 2;
	u->restarts[INITIATOR_SYSTEMD] = 1;
	u->listening.n = 2;
	u->listening.sockets[0] = (struct listening_socket) {
		.family = AF_INET, .protocol = IPPROTO_TCP, .port = 80, .address = { 127, 0, 0, 1 }
	};
	u->listening.sockets[1] = (struct listening_socket) {
		.family = AF_INET6, .protocol = IPPROTO_TCP, .port = 443
	};
	str_copy(u->program.path, sizeof(u->program.path), "/usr/sbin/nginx");
	u->check.status = 1;
	u->check.time_ns = now;
	str_copy(u->check.text, sizeof(u->check.text), "disk 91% full");
	str_copy(u->settings.probe, sizeof(u->settings.probe), "http://127.0.0.1/health");
	u->probe.status = 0;
	u->probe.time_ns = now;
	u->probe.took_ns = 3 * NSEC_PER_MSEC;
	str_copy(u->probe.text, sizeof(u->probe.text), "HTTP 200 after 3ms");
}

/* The kernel's memory of two units: ten seconds of traffic, and connections with TLS only. */
static struct http_totals http_totals, tls_totals = { .untracked = { [HTTP_UNTRACKED_TLS] = 3 } };
static struct http_detail http_detail;

static int fill_http(struct unit *u, struct unit *blind, uint64_t now)
{
	struct http_totals *t = &http_totals;
	struct http_detail *d = &http_detail;

	u->http = http_state_new(t, d);
	blind->http = http_state_new(&tls_totals, NULL);
	if (!u->http || !blind->http)
		return -ENOMEM;
	http_tick(u->http, now - HTTP_WINDOW * NSEC_PER_SEC);
	t->started = 1000;
	t->finished = 998;
	t->never_read = 3; /* and 996 were read */
	http_ages_add(&d->waiting, now - 1500 * NSEC_PER_MSEC, 1);
	t->outgoing = 7;
	t->incomplete[HTTP_CLIENT_RESET] = 2;
	/* Buckets that end at about 5 and 100 ms, and what was waited of it. */
	d->histograms[HTTP_FIRST_BYTE][HTTP_CLASS_2XX][60] = 946;
	d->histograms[HTTP_FIRST_BYTE][HTTP_CLASS_5XX][90] = 50;
	d->histograms[HTTP_QUEUE][HTTP_CLASS_OTHER][30] = 996;
	d->codes[HTTP_GET][http_place_of_code(200)] = 900;
	d->codes[HTTP_POST][http_place_of_code(200)] = 46;
	d->codes[HTTP_GET][http_place_of_code(500)] = 50;
	http_tick(u->http, now);
	return 0;
}

/* One that fires, and one of which nothing is known yet. */
static bool add_alerts(struct unit *u)
{
	struct levels *l = unit_levels(u);

	if (!l)
		return false;
	l->alerts[RULE_HTTP_HANG] = (struct alert) { .state = ALERT_FIRING,
		.since_ns = clock_monotonic_ns(),
		.value = 31.5,
		.threshold = 30,
		.text = "not one answer " HOSTILE };
	l->alerts[RULE_PROBE].value = NAN;
	str_copy(u->settings.probe, sizeof(u->settings.probe), "tcp://localhost:1");
	return true;
}

static int fill(struct world *w)
{
	static const char *const names[] = { "nginx.service", "shop.service", "web-app@1.service",
		"idle.service", "systemd-journald.service" };
	uint64_t now = clock_monotonic_ns();
	struct trouble t = { .cause = CAUSE_OOM,
		.time_ns = now - 60 * NSEC_PER_SEC,
		.detected_ns = now - 60 * NSEC_PER_SEC,
		.text = "killed by the OOM killer" };
	struct incident *i;

	world_init(w);
	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		if (!world_unit_add(w, names[n]))
			return -errno;
	fill_nginx(world_unit(w, "nginx.service"), now);
	kill_unit(world_unit(w, "shop.service"), now);
	if (fill_http(world_unit(w, "nginx.service"), world_unit(w, "shop.service"), now) < 0)
		return -ENOMEM;
	world_unit(w, "systemd-journald.service")->settings.http = HTTP_MODE_NO;
	world_unit(w, "shop.service")->settings.http = HTTP_MODE_YES;
	world_unit(w, "web-app@1.service")->health = HEALTH_HEALTHY;
	str_copy(world_unit(w, "web-app@1.service")->settings.error, 256,
		"web-app@1.service.d/x.conf:2: unknown key Hael=");
	world_unit(w, "idle.service")->health = HEALTH_INACTIVE;
	i = incident_new("nginx.service", &t, now, clock_realtime_usec());
	if (!i)
		return -ENOMEM;
	str_copy(i->id, sizeof(i->id), OLD_INCIDENT);
	i->open = false;
	i->closed_ns = now - 50 * NSEC_PER_SEC;
	i->verdict = VERDICT_FIXED;
	i->attempts = 1;
	incident_note(i, now - 55 * NSEC_PER_SEC, "acted", "restart by mendd");
	world_incident_archive(w, i);
	world_feature(w, "deaths", true, "kernel tracepoint");
	world_feature(w, "exec", false, "refused: Operation not permitted");
	w->lost[w->n_lost++] = (struct loss) { .kind = "death", .count = 3 };
	if (!add_alerts(world_unit(w, "shop.service")))
		return -ENOMEM;
	w->plugins[w->n_plugins++] = (struct plugin_state) {
		.name = "http", .kind = "check", .version = "1.0", .active = true, .calls = 7
	};
	w->plugins[w->n_plugins++] = (struct plugin_state) { .name = "bad",
		.kind = "sink",
		.path = "/usr/lib/mendd/bad.so",
		.error = "writable by others" };
	w->events = 12;
	w->started_usec = clock_realtime_usec();
	return 0;
}

/* One of each, as they come in life. */
static int on_round(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	struct host *h = userdata;
	struct unit *u = world_unit(&h->world, "web-app@1.service");
	struct trouble t = { .cause = CAUSE_EXITED, .text = "exited with code 7" };
	struct incident *i;

	u->health = HEALTH_UNHEALTHY;
	str_copy(u->health_reason, sizeof(u->health_reason), "exited with code 7 " HOSTILE);
	api_unit_changed(h->api, u);
	api_unit_changed(h->api, u); /* nothing changed: nothing is sent */
	api_alert_changed(h->api, u, "unit-down", ALERT_FIRING);
	i = incident_new(u->name, &t, clock_monotonic_ns(), clock_realtime_usec());
	if (!i)
		return -ENOMEM;
	api_incident_opened(h->api, i);
	i->verdict = VERDICT_FIXED_WEAK;
	api_incident_closed(h->api, i);
	incident_free(i);
	u = world_unit_add(&h->world, "fresh.service");
	if (!u)
		return -errno;
	api_unit_added(h->api, u);
	api_unit_removed(h->api, u);
	world_unit_remove(&h->world, u);
	return 0;
}

static int on_named(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	const char *name;

	if (sd_bus_message_read(m, "s", &name) >= 0 && str_eq(name, API_NAME)) {
		puts("ready");
		fflush(stdout);
	}
	return 0;
}

static int run(struct host *h, const struct verbs *v)
{
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	int r;

	r = sd_event_new(&event);
	if (r >= 0)
		r = sd_event_add_signal(
			event, NULL, SIGUSR1 | SD_EVENT_SIGNAL_PROCMASK, on_round, h);
	if (r >= 0)
		r = sd_event_add_signal(
			event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
	if (r >= 0)
		r = sd_bus_open_system(&bus);
	if (r >= 0)
		r = sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
			"org.freedesktop.DBus", "NameAcquired", on_named, h);
	if (r >= 0)
		r = api_new(&h->api, bus, &h->world, v);
	if (r < 0)
		return r;
	api_set_dump_metrics(h->api, dump_metrics, h);
	r = sd_event_loop(event);
	h->api = api_free(h->api);
	return r;
}

int main(int argc, char **argv)
{
	struct host h = {};
	const struct verbs v = { .manager = &h,
		.set_heal = set_heal,
		.restart = restart,
		.reset = reset,
		.pause = pause_healing,
		.resume = resume,
		.reload = reload,
		.stored_incident = stored_incident,
		.list_incidents = list_incidents,
		.verify_config = verify_config };
	char path[512];
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: api-host DIRECTORY\n");
		return 2;
	}
	h.directory = argv[1];
	snprintf(path, sizeof(path), "%s/calls", h.directory);
	h.calls = fopen(path, "we");
	r = h.calls ? fill(&h.world) : -errno;
	if (r >= 0)
		r = run(&h, &v);
	world_done(&h.world);
	if (h.calls)
		fclose(h.calls);
	if (r < 0)
		fprintf(stderr, "api-host: %s\n", strerror(-r));
	return r < 0;
}
