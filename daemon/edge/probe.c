/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See probe.h: when each probe is due, and how many are under way. A probe never overlaps itself:
 * it is due again an interval after its end. libcurl is set up with the first probe and not before:
 * most hosts have none.
 */
#include "probe.h"
#include "probe_transfer.h"

#include "../base/hash.h"
#include "../base/random.h"
#include "../base/str.h"
#include "../../plugins/mendd-plugin.h"

#include <sys/queue.h>

/* The first probe comes within this, spread at random. */
#define FIRST_WITHIN_NS (5 * NSEC_PER_SEC)
/* What could not be asked is not asked again before: a name that takes long to resolve holds a
 * thread of libcurl meanwhile. */
#define UNKNOWN_PAUSE_NS (30 * NSEC_PER_SEC)

struct probe {
	struct prober *prober; /* borrowed */
	char *unit, *target;   /* owned */
	uint64_t interval_ns, timeout_ns;
	sd_event_source *timer;    /* owned; the next one */
	struct transfer *transfer; /* owned; the present one, NULL: none */
	bool waiting;              /* is in prober->waiting */
	bool again;                /* asked for while one was under way */
	TAILQ_ENTRY(probe) link;
};

struct prober {
	sd_event *event; /* owned reference */
	struct prober_handler handler;
	struct transfers *transfers; /* owned; NULL before the first probe */
	struct hash probes;          /* unit -> struct probe, owned */
	TAILQ_HEAD(, probe) waiting; /* borrowed; due, and all places are taken */
	unsigned int n_running;
};

static void schedule(struct probe *x, uint64_t delay_ns)
{
	/* Neither can fail for a source that exists and a valid time. */
	sd_event_source_set_time(x->timer, (clock_monotonic_ns() + delay_ns) / NSEC_PER_USEC);
	sd_event_source_set_enabled(x->timer, SD_EVENT_ONESHOT);
}

static void begin(struct probe *x);

static void begin_waiting(struct prober *p)
{
	struct probe *x;

	while (p->n_running < PROBES_AT_ONCE && (x = TAILQ_FIRST(&p->waiting))) {
		TAILQ_REMOVE(&p->waiting, x, link);
		x->waiting = false;
		begin(x);
	}
}

static void end(struct probe *x, int status)
{
	x->prober->n_running--;
	x->transfer = NULL;
	if (x->again)
		schedule(x, 0);
	else
		schedule(x,
			random_jitter(status == MEND_UNKNOWN ? MAX(x->interval_ns, UNKNOWN_PAUSE_NS)
							     : x->interval_ns));
	x->again = false;
}

static void on_done(void *userdata, int status, uint64_t took_ns, const char *text)
{
	struct probe *x = userdata;
	struct prober *p = x->prober;
	_cleanup_free_ char *unit = strdup(x->unit); /* the probe may be stopped by the callback */

	end(x, status);
	if (unit)
		p->handler.on_result(p->handler.userdata, unit, status, took_ns, text);
	begin_waiting(p);
}

static void begin(struct probe *x)
{
	struct prober *p = x->prober;

	/* Only for lack of memory: as if it had not been due yet. */
	if (transfer_new(&x->transfer, p->transfers, x->target, x->timeout_ns, on_done, x) < 0)
		schedule(x, random_jitter(UNKNOWN_PAUSE_NS));
	else
		p->n_running++;
}

static int on_due(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct probe *x = userdata;
	const struct prober_handler *h = &x->prober->handler;

	if (h->is_wanted && !h->is_wanted(h->userdata, x->unit)) {
		schedule(x, random_jitter(x->interval_ns));
		return 0;
	}
	TAILQ_INSERT_TAIL(&x->prober->waiting, x, link);
	x->waiting = true;
	begin_waiting(x->prober);
	return 0;
}

static struct probe *probe_free(struct probe *x)
{
	if (!x)
		return NULL;
	if (x->waiting)
		TAILQ_REMOVE(&x->prober->waiting, x, link);
	if (x->transfer)
		x->prober->n_running--;
	transfer_free(x->transfer);
	sd_event_source_disable_unref(x->timer);
	free(x->target);
	free(x->unit);
	free(x);
	return NULL;
}

int prober_new(struct prober **ret, sd_event *event, const struct prober_handler *handler)
{
	struct prober *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->event = sd_event_ref(event);
	p->handler = *handler;
	TAILQ_INIT(&p->waiting);
	*ret = p;
	return 0;
}

struct prober *prober_free(struct prober *p)
{
	size_t cursor = 0;
	struct probe *x;

	if (!p)
		return NULL;
	while ((x = hash_next(&p->probes, &cursor))) {
		hash_remove_str(&p->probes, x->unit);
		probe_free(x);
	}
	hash_done(&p->probes);
	transfers_free(p->transfers);
	sd_event_unref(p->event);
	free(p);
	return NULL;
}

int prober_start(struct prober *p, const char *unit, const char *target, uint64_t interval_ns,
	uint64_t timeout_ns)
{
	struct probe *x;
	int r;

	r = transfer_check_target(target);
	if (r >= 0 && !p->transfers)
		r = transfers_new(&p->transfers, p->event, p->handler.on_port, p->handler.userdata);
	if (r < 0)
		return r;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->prober = p;
	x->interval_ns = interval_ns;
	x->timeout_ns = timeout_ns;
	x->unit = strdup(unit);
	x->target = strdup(target);
	r = x->unit && x->target ? 0 : -ENOMEM;
	if (r >= 0) /* 10 ms: how late it may come for the sake of waking up together */
		r = sd_event_add_time(p->event, &x->timer, CLOCK_MONOTONIC, 0, 10000, on_due, x);
	if (r >= 0) {
		prober_stop(p, unit);
		r = hash_put_str(&p->probes, x->unit, x);
	}
	if (r < 0) {
		probe_free(x);
		return r;
	}
	schedule(x, random_below(MIN(interval_ns, FIRST_WITHIN_NS)));
	return 0;
}

void prober_stop(struct prober *p, const char *unit)
{
	struct probe *x = hash_remove_str(&p->probes, unit);

	if (!x)
		return;
	probe_free(x);
	begin_waiting(p);
}

int prober_now(struct prober *p, const char *unit)
{
	struct probe *x = hash_get_str(&p->probes, unit);

	if (!x)
		return -ENOENT;
	if (x->transfer)
		x->again = true;
	else if (!x->waiting)
		schedule(x, 0);
	return 0;
}
