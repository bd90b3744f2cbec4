/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checks of units: when each runs, at most so many at once, never one twice at the same time,
 * and a verdict for every run even where the plugin gives none. What a verdict means is not judged
 * here.
 *
 * A run has a ticket. Whoever calls into a plugin must look the ticket up again afterwards: the
 * verdict may have come from inside of the call, and its receiver may have stopped the check.
 */
#include "plugin_impl.h"

#include "../base/clock.h"
#include "../base/random.h"
#include "../base/str.h"

#include <inttypes.h>

/* The first run comes within this time: soon enough for who has just configured a check. */
#define FIRST_WITHIN_NS (UINT64_C(5) * NSEC_PER_SEC)
/* A plugin ends its run itself when the time is up; it gets this much longer to say so. */
#define GRACE_NS NSEC_PER_SEC
/* More often than this a check is a load, not a check. */
#define INTERVAL_MIN_NS (UINT64_C(100) * NSEC_PER_MSEC)

struct check {
	char *unit;               /* owned */
	struct mend_host *plugin; /* borrowed */
	char *arguments;          /* owned */
	uint64_t interval_ns, timeout_ns;
	check_fn callback;
	void *userdata;
	sd_event_source *timer; /* owned; the next run */
	sd_event_source *guard; /* owned; the end of the present run */
	uint64_t ticket;        /* of the present run, 0: none */
	bool waiting;           /* is in host->waiting */
	bool again;             /* asked for while it ran */
	struct plugin_host *host;
	TAILQ_ENTRY(check) link;
};

static struct check *check_free(struct check *c)
{
	if (!c)
		return NULL;
	sd_event_source_disable_unref(c->timer);
	sd_event_source_disable_unref(c->guard);
	free(c->unit);
	free(c->arguments);
	free(c);
	return NULL;
}

/* Takes the run off the books; the check itself stays. */
static void forget_run(struct check *c)
{
	if (c->waiting)
		TAILQ_REMOVE(&c->host->waiting, c, link);
	c->waiting = false;
	if (!c->ticket)
		return;
	hash_remove_u64(&c->host->check_tickets, c->ticket);
	c->ticket = 0;
	c->host->n_running--;
	sd_event_source_set_enabled(c->guard, SD_EVENT_OFF);
	if (!TAILQ_EMPTY(&c->host->waiting))
		plugin_pump(c->host);
}

static void cancel_run(struct check *c)
{
	uint64_t ticket = c->ticket;
	struct mend_host *p = c->plugin;

	forget_run(c);
	if (ticket && p->state->active) {
		uint64_t begin_ns = plugin_enter(p);

		p->descriptor->check->cancel(p->instance, ticket);
		plugin_leave(p, begin_ns, "cancel");
	}
}

static void schedule(struct check *c, uint64_t delay_ns)
{
	uint64_t at_ns = clock_monotonic_ns() + delay_ns;

	/* Neither can fail for a source that exists and a valid time. */
	sd_event_source_set_time(c->timer, at_ns / NSEC_PER_USEC);
	sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

/* Ends the present run; c may be gone afterwards. */
static void finish(struct check *c, const struct mend_verdict *verdict)
{
	char unit[UNIT_NAME_SIZE];

	forget_run(c);
	if (c->again)
		schedule(c, 0);
	else
		schedule(c, random_jitter(c->interval_ns));
	c->again = false;
	str_copy(unit, sizeof(unit), c->unit);
	c->callback(c->userdata, unit, verdict);
}

static void finish_unknown(struct check *c, const char *text)
{
	struct mend_verdict verdict = {
		.size = sizeof(verdict),
		.status = MEND_UNKNOWN,
		.text = text,
		.perfdata = "",
	};

	finish(c, &verdict);
}

void plugin_check_report(struct mend_host *p, uint64_t ticket, const struct mend_verdict *verdict)
{
	struct check *c = hash_get_u64(&p->host->check_tickets, ticket);
	char text[512], perfdata[1024];
	struct mend_verdict clean = {
		.size = sizeof(clean),
		.text = text,
		.perfdata = perfdata,
	};

	if (!c || c->plugin != p)
		return;
	if (verdict->size < SIZE_UP_TO(struct mend_verdict, perfdata) ||
		verdict->status < MEND_OK || verdict->status > MEND_UNKNOWN) {
		finish_unknown(c, "the plugin gave a verdict that does not exist");
		plugin_result(p, -EINVAL, "a verdict");
		return;
	}
	clean.status = verdict->status;
	str_copy_clean(text, sizeof(text), verdict->text);
	str_copy_clean(perfdata, sizeof(perfdata), verdict->perfdata);
	plugin_result(p, 0, "");
	finish(c, &clean);
}

static int on_guard(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct check *c = userdata;
	struct mend_host *p = c->plugin;
	char text[160];

	cancel_run(c);
	snprintf(text, sizeof(text), "plugin %s gave no verdict within %" PRIu64 " ms",
		p->descriptor->name, c->timeout_ns / NSEC_PER_MSEC);
	finish_unknown(c, text);
	plugin_result(p, -ETIMEDOUT, "run");
	return 0;
}

/* Calls run(); c may be gone afterwards. */
static void begin_run(struct check *c)
{
	struct plugin_host *host = c->host;
	struct mend_host *p = c->plugin;
	uint64_t ticket, begin_ns = clock_monotonic_ns();
	struct mend_check_request request = {
		.size = sizeof(request),
		.timeout_ns = c->timeout_ns,
		.unit = c->unit,
		.arguments = c->arguments,
	};
	char text[256];
	int r;

	if (!p->state->active) {
		snprintf(text, sizeof(text), "plugin %s was %s", p->descriptor->name,
			p->state->error);
		return finish_unknown(c, text);
	}
	ticket = ++host->last_id;
	r = hash_put_u64(&host->check_tickets, ticket, c);
	if (r < 0)
		return finish_unknown(c, "out of memory");
	c->ticket = ticket;
	host->n_running++;
	sd_event_source_set_time(c->guard, (begin_ns + c->timeout_ns + GRACE_NS) / NSEC_PER_USEC);
	sd_event_source_set_enabled(c->guard, SD_EVENT_ONESHOT);

	begin_ns = plugin_enter(p);
	r = p->descriptor->check->run(p->instance, &request, ticket);
	plugin_leave(p, begin_ns, "run");
	if (r >= 0)
		return; /* that it began is no success yet: a verdict is */
	c = hash_get_u64(&host->check_tickets, ticket);
	if (c) {
		snprintf(text, sizeof(text), "plugin %s: %s", p->descriptor->name, strerror(-r));
		finish_unknown(c, text);
	}
	plugin_result(p, r, "run");
}

/* A run that belongs to a plugin that has been set aside, NULL: none. */
static struct check *orphan(struct plugin_host *host)
{
	size_t cursor = 0;
	struct check *c;

	while ((c = hash_next(&host->check_tickets, &cursor)))
		if (!c->plugin->state->active)
			return c;
	return NULL;
}

void plugin_checks_pump(struct plugin_host *host)
{
	struct check *c;

	while ((c = orphan(host))) {
		char text[256];

		snprintf(text, sizeof(text), "plugin %s was %s", c->plugin->descriptor->name,
			c->plugin->state->error);
		finish_unknown(c, text);
	}
	while (host->n_running < CHECKS_RUNNING_MAX && (c = TAILQ_FIRST(&host->waiting))) {
		TAILQ_REMOVE(&host->waiting, c, link);
		c->waiting = false;
		begin_run(c);
	}
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct check *c = userdata;

	if (c->waiting || c->ticket)
		return 0;
	TAILQ_INSERT_TAIL(&c->host->waiting, c, link);
	c->waiting = true;
	plugin_checks_pump(c->host);
	return 0;
}

/* The plugin for a command, and where its arguments begin. */
static struct mend_host *plugin_for(
	const struct plugin_host *host, const char *command, const char **ret_arguments)
{
	char word[sizeof(((struct plugin_state *)NULL)->name)];
	size_t n = strcspn(command, " \t");

	if (n < sizeof(word)) {
		struct mend_host *p;

		memcpy(word, command, n);
		word[n] = '\0';
		p = plugin_find(host, MEND_KIND_CHECK, word);
		if (p) {
			*ret_arguments = command + n + strspn(command + n, " \t");
			return p;
		}
	}
	*ret_arguments = command;
	return plugin_find(host, MEND_KIND_CHECK, "exec");
}

int plugin_host_check_start(struct plugin_host *host, const char *unit, const char *command,
	uint64_t interval_ns, uint64_t timeout_ns, check_fn callback, void *userdata)
{
	const char *arguments;
	struct mend_host *p;
	struct check *c;
	int r;

	command += strspn(command, " \t");
	if (!*command || !*unit || timeout_ns == 0 || strlen(unit) >= UNIT_NAME_SIZE)
		return -EINVAL;
	p = plugin_for(host, command, &arguments);
	if (!p)
		return -ENOENT;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->host = host;
	c->plugin = p;
	c->interval_ns = MAX(interval_ns, INTERVAL_MIN_NS);
	c->timeout_ns = timeout_ns;
	c->callback = callback;
	c->userdata = userdata;
	r = str_set(&c->unit, unit);
	if (r >= 0)
		r = str_set(&c->arguments, arguments);
	if (r >= 0) /* 1 ms: how late a run may come for the sake of waking up together */
		r = sd_event_add_time(host->event, &c->timer, CLOCK_MONOTONIC, 0, 1000, on_due, c);
	if (r >= 0)
		r = sd_event_add_time(
			host->event, &c->guard, CLOCK_MONOTONIC, 0, 1000, on_guard, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->guard, SD_EVENT_OFF);
	if (r >= 0) {
		plugin_host_check_stop(host, unit);
		r = hash_put_str(&host->checks, c->unit, c);
	}
	if (r < 0) {
		check_free(c);
		return r;
	}
	schedule(c, random_below(MIN(c->interval_ns, FIRST_WITHIN_NS)));
	return 0;
}

void plugin_host_check_stop(struct plugin_host *host, const char *unit)
{
	struct check *c = hash_remove_str(&host->checks, unit);

	if (!c)
		return;
	cancel_run(c);
	check_free(c);
}

int plugin_host_check_now(struct plugin_host *host, const char *unit)
{
	struct check *c = hash_get_str(&host->checks, unit);

	if (!c)
		return -ENOENT;
	if (c->ticket)
		c->again = true;
	else if (!c->waiting)
		schedule(c, 0);
	return 0;
}

void plugin_checks_done(struct plugin_host *host)
{
	size_t cursor = 0;
	struct check *c;

	while ((c = hash_next(&host->checks, &cursor))) {
		hash_remove_str(&host->checks, c->unit);
		cancel_run(c);
		check_free(c);
	}
	hash_done(&host->checks);
	hash_done(&host->check_tickets);
}
