/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service that speaks HTTP, as the kernel counts it: plain structures in the place of the
 * kernel's memory. Requests come and are answered by calls, and time passes by one.
 */
#pragma once

#include "../../daemon/base/str.h"
#include "../../daemon/judge/level.h"

struct service {
	struct http_totals totals;
	struct http_detail detail;
	struct unit *u; /* borrowed; of w */
	uint64_t now;
	unsigned int waiting; /* requests, each on a connection of its own */
};

static unsigned int bucket_of(uint64_t ns)
{
	uint64_t bounds[HTTP_BOUNDS];
	unsigned int b = 0;

	http_bounds_ns(bounds);
	while (b < HTTP_BOUNDS && ns > bounds[b])
		b++;
	return b;
}

/* A running unit that has spoken HTTP before. */
static _unused_ void service_begin(
	struct service *s, struct world *w, const char *name, uint64_t now)
{
	struct unit_facts *f;

	*s = (struct service) { .now = now };
	s->u = world_unit_add(w, name);
	f = &s->u->facts;
	f->read_ns = now;
	f->active = ACTIVE_ACTIVE;
	strcpy(f->sub_state, "running");
	strcpy(f->load_state, "loaded");
	strcpy(f->invocation, "aaaa");
	strcpy(f->result, "success");
	strcpy(f->restart, "no");
	strcpy(f->type, "simple");
	strcpy(f->freezer_state, "running");
	snprintf(f->cgroup, sizeof(f->cgroup), "/system.slice/%s", name);
	f->active_enter_usec = 1;
	f->main_pid = f->exec_main_pid = 42;
	s->u->settings.heal = HEAL_RESTART;
	s->totals.started = s->totals.finished = 100;
	s->detail.histograms[HTTP_FIRST_BYTE][HTTP_CLASS_2XX][bucket_of(10 * NSEC_PER_MSEC)] = 100;
	s->u->http = http_state_new(&s->totals, &s->detail);
	http_tick(s->u->http, now);
	level_judge(s->u, now);
}

/* n requests come and are answered at once, after `ns`. */
static void service_answer(struct service *s, enum http_class class, uint64_t ns, unsigned int n)
{
	s->totals.started += n;
	s->totals.finished += n;
	s->detail.histograms[HTTP_FIRST_BYTE][class][bucket_of(ns)] += n;
}

/* One request comes and waits. */
static _unused_ void service_ask(struct service *s)
{
	s->totals.started++;
	s->waiting++;
	http_ages_add(&s->detail.waiting, s->now, 1);
}

/* All that wait are answered (give_up: have left). */
static _unused_ void service_release(struct service *s, bool give_up)
{
	unsigned int n = s->waiting;

	s->totals.finished += n;
	s->totals.never_read += n;
	if (give_up)
		s->totals.incomplete[HTTP_CLIENT_RESET] += n;
	else
		s->detail.histograms[HTTP_FIRST_BYTE][HTTP_CLASS_2XX][bucket_of(NSEC_PER_SEC)] += n;
	s->waiting = 0;
	memset(&s->detail.waiting, 0, sizeof(s->detail.waiting));
}

/* It was restarted: what waited is gone. */
static _unused_ void service_restart(struct service *s, const char *invocation)
{
	unsigned int n = s->waiting;

	service_release(s, true);
	s->totals.incomplete[HTTP_CLIENT_RESET] -= n;
	s->totals.incomplete[HTTP_SERVER_DIED] += n;
	strcpy(s->u->facts.invocation, invocation);
	s->u->facts.active_enter_usec = s->now / NSEC_PER_USEC;
	s->u->facts.read_ns = s->now;
}

static _unused_ void service_pass(struct service *s, uint64_t ns)
{
	s->now += ns;
	http_tick(s->u->http, s->now);
	level_judge(s->u, s->now);
}
