/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Actions: hands a request to the plugin of that name, and its reports to who asked, in order: at
 * most one "queued", then exactly one final stage, whatever the plugin does. Reports are always
 * delivered from the loop, so that who asks has written down that it did before it hears of it.
 */
#include "plugin_impl.h"

#include "../base/clock.h"
#include "../base/str.h"

/* The plugin reports a missed deadline itself; it gets this much longer to do so. */
#define GRACE_NS NSEC_PER_SEC

struct report {
	uint32_t stage; /* 0: none */
	char job[256];
	char error[256];
};

struct act {
	uint64_t ticket;
	struct mend_host *plugin; /* borrowed */
	char unit[UNIT_NAME_SIZE];
	act_fn callback;
	void *userdata;
	sd_event_source *guard; /* owned */
	struct report queued, final;
	bool was_queued; /* has said so */
	bool listed;     /* is in host->reports */
	TAILQ_ENTRY(act) link;
};

static void act_free(struct act *a)
{
	struct plugin_host *host = a->plugin->host;

	if (a->listed)
		TAILQ_REMOVE(&host->reports, a, link);
	hash_remove_u64(&host->acts, a->ticket);
	sd_event_source_disable_unref(a->guard);
	free(a);
}

static void put_report(struct act *a, uint32_t stage, const char *job, const char *error)
{
	struct report *r = stage == MEND_STAGE_QUEUED ? &a->queued : &a->final;

	r->stage = stage;
	str_copy_clean(r->job, sizeof(r->job), job);
	str_copy_clean(r->error, sizeof(r->error), error);
	if (!a->listed)
		TAILQ_INSERT_TAIL(&a->plugin->host->reports, a, link);
	a->listed = true;
	plugin_pump(a->plugin->host);
}

void plugin_action_report(
	struct mend_host *p, uint64_t ticket, const struct mend_action_result *result)
{
	struct act *a = hash_get_u64(&p->host->acts, ticket);

	if (!a || a->plugin != p || a->final.stage)
		return; /* late, or said before: the first word counts */
	if (result->size < SIZE_UP_TO(struct mend_action_result, error) ||
		result->stage < MEND_STAGE_QUEUED || result->stage > MEND_STAGE_TIMEOUT) {
		put_report(a, MEND_STAGE_FAILED, NULL,
			"the plugin reported a stage that does not exist");
		plugin_result(p, -EINVAL, "a report");
		return;
	}
	if (result->stage == MEND_STAGE_QUEUED && a->was_queued)
		return;
	a->was_queued = true;
	put_report(a, result->stage, result->job, result->error);
	if (result->stage != MEND_STAGE_QUEUED)
		plugin_result(p, 0, "");
}

static int on_guard(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct act *a = userdata;
	struct mend_host *p = a->plugin;
	uint64_t begin_ns;

	if (a->final.stage || !p->state->active)
		return 0; /* the pump is about to deliver that */
	put_report(a, MEND_STAGE_TIMEOUT, NULL, "the plugin did not report before the deadline");
	begin_ns = plugin_enter(p);
	p->descriptor->action->cancel(p->instance, a->ticket);
	plugin_leave(p, begin_ns, "cancel");
	plugin_result(p, -ETIMEDOUT, "run");
	return 0;
}

/* Delivers one report; a is gone afterwards where that was the final one. */
static void deliver(struct act *a)
{
	struct report r = a->queued.stage ? a->queued : a->final;
	struct mend_action_result result = {
		.size = sizeof(result),
		.stage = r.stage,
		.job = r.job,
		.error = r.error,
	};
	char unit[UNIT_NAME_SIZE];
	act_fn callback = a->callback;
	void *userdata = a->userdata;

	str_copy(unit, sizeof(unit), a->unit);
	if (r.stage == MEND_STAGE_QUEUED) {
		a->queued.stage = 0;
		if (!a->final.stage) {
			TAILQ_REMOVE(&a->plugin->host->reports, a, link);
			a->listed = false;
		}
	} else {
		act_free(a);
	}
	callback(userdata, unit, &result);
}

void plugin_actions_pump(struct plugin_host *host)
{
	size_t cursor = 0;
	struct act *a;

	while ((a = hash_next(&host->acts, &cursor)))
		if (!a->plugin->state->active && !a->final.stage)
			put_report(a, MEND_STAGE_FAILED, NULL, a->plugin->state->error);
	while ((a = TAILQ_FIRST(&host->reports)))
		deliver(a);
}

int plugin_host_act(struct plugin_host *host, const char *action,
	const struct mend_action_request *request, act_fn callback, void *userdata)
{
	struct mend_host *p = plugin_find(host, MEND_KIND_ACTION, action);
	uint64_t begin_ns, ticket;
	struct act *a;
	int r;

	if (!p)
		return -ENOENT;
	if (host->acts.live >= ACTIONS_RUNNING_MAX)
		return -EBUSY;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->ticket = ticket = ++host->last_id;
	a->plugin = p;
	a->callback = callback;
	a->userdata = userdata;
	str_copy(a->unit, sizeof(a->unit), request->unit);
	r = hash_put_u64(&host->acts, ticket, a);
	if (r < 0) {
		free(a);
		return r;
	}
	r = sd_event_add_time(host->event, &a->guard, CLOCK_MONOTONIC,
		(request->deadline_ns + GRACE_NS) / NSEC_PER_USEC, 1000, on_guard, a);
	if (r < 0) {
		act_free(a);
		return r;
	}
	begin_ns = plugin_enter(p);
	r = p->descriptor->action->run(p->instance, request, ticket);
	plugin_leave(p, begin_ns, "run");
	if (r < 0) {
		act_free(a);
		plugin_result(p, r, "run");
		return r;
	}
	return 0;
}

void plugin_actions_done(struct plugin_host *host)
{
	size_t cursor = 0;
	struct act *a;

	while ((a = hash_next(&host->acts, &cursor))) {
		if (!a->final.stage && a->plugin->state->active)
			a->plugin->descriptor->action->cancel(a->plugin->instance, a->ticket);
		act_free(a);
	}
	hash_done(&host->acts);
}
