/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Housekeeping, once a second: what nobody announces. The kill-switch file, the end of a pause,
 * sockets of units that have just started, names of cgroups that are long gone, statistics for the
 * metrics.
 */
#include "manager.h"
#include "base/clock.h"

#include <malloc.h>

#define TICK_USEC USEC_PER_SEC
/* It may wait for the kernel edge's timer: half the wake-ups of an idle host. */
#define TICK_ACCURACY_USEC TICK_USEC
/* Messages that come and go leave holes in the heap. */
#define TRIM_EVERY_NS (60 * NSEC_PER_SEC)
/* Sockets of settled units change rarely; those of new ones are looked for at every tick. */
#define SOCKETS_EVERY_NS (10 * NSEC_PER_SEC)
#define YOUNG_NS (10 * NSEC_PER_SEC)
#define REFRESH_NS (10 * NSEC_PER_SEC)
#define KILL_SWITCH "/etc/mendd/healing-off"

void manager_check_kill_switch(struct manager *m)
{
	struct pause *p = &m->world.pause;
	bool there = access(KILL_SWITCH, F_OK) == 0;

	if (there == p->kill_switch)
		return;
	p->kill_switch = there;
	if (there)
		manager_tell_host(m, MESSAGE_PAUSED, LOG_NOTICE,
			"healing is off because " KILL_SWITCH " exists");
	else {
		manager_tell_host(
			m, MESSAGE_RESUMED, LOG_NOTICE, "healing goes on: " KILL_SWITCH " is gone");
		manager_step_waiting(m);
	}
	api_manager_changed(m->api);
	manager_status(m);
}

static void check_pause(struct manager *m, uint64_t now)
{
	struct pause *p = &m->world.pause;

	if (!p->active || now < p->until_ns)
		return;
	p->active = false;
	store_put_pause(m->store, p, NULL, NULL);
	manager_tell_host(m, MESSAGE_RESUMED, LOG_NOTICE, "the pause has ended; healing goes on");
	manager_step_waiting(m);
	api_manager_changed(m->api);
	manager_status(m);
}

/* PID 1 was too busy, or the bus: a change that was not read must not be missed for ever. */
static void read_again(struct manager *m)
{
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor))) {
		struct unit_edge *e = u->edge;

		if (!e || !e->unread)
			continue;
		e->unread = false;
		systemd_read_all(m->systemd, u);
	}
}

static bool any_young(const struct manager *m, uint64_t now)
{
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor))) {
		const struct unit_edge *e = u->edge;

		if (e && e->up_since_ns && clock_since_ns(now, e->up_since_ns) < YOUNG_NS)
			return true;
	}
	return false;
}

/* A scrape reads memory only: what has to be asked for is asked for here, now and then. */
static void refresh_statistics(struct manager *m)
{
	struct store_stats stats;

	if (m->kernel)
		kernel_refresh(m->kernel);
	if (m->http)
		http_source_refresh(m->http);
	store_stats(m->store, &stats);
	m->world.store_written = stats.written;
	if (m->metrics && metrics_server_requests(m->metrics) != m->requests) {
		m->requests = metrics_server_requests(m->metrics);
		m->world.last_scrape_usec = clock_realtime_usec();
	}
}

/* What the heap holds free after the start, and later now and then: some 50 us for 4 MiB. */
static void give_memory_back(struct manager *m, uint64_t now)
{
	if (!m->complete || (m->trimmed_ns && clock_since_ns(now, m->trimmed_ns) < TRIM_EVERY_NS))
		return;
	m->trimmed_ns = now;
	malloc_trim(0);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	uint64_t now = clock_monotonic_ns(), delay = TICK_USEC, accuracy = TICK_ACCURACY_USEC;

	manager_check_kill_switch(m);
	check_pause(m, now);
	read_again(m);
	if (clock_since_ns(now, m->sockets_read_ns) >= SOCKETS_EVERY_NS || any_young(m, now))
		manager_read_sockets(m);
	if (clock_since_ns(now, m->refreshed_ns) >= REFRESH_NS) {
		m->refreshed_ns = now;
		refresh_statistics(m);
	}
	manager_check_obstacles(m);
	if (m->http)
		http_source_tick(m->http, now);
	manager_judge_levels(m, now);
	manager_forget_cgroups(m, now);
	give_memory_back(m, now);
	manager_pace_levels(m, now, &delay, &accuracy);
	sd_event_source_set_time_accuracy(source, accuracy);
	sd_event_source_set_time_relative(source, delay);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int manager_start_tick(struct manager *m)
{
	return sd_event_add_time_relative(
		m->event, &m->tick, CLOCK_MONOTONIC, TICK_USEC, TICK_ACCURACY_USEC, on_tick, m);
}
