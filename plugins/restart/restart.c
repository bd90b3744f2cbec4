/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Action "restart": asks PID 1 to restart a unit and reports how the job went.
 *
 * RestartUnit is called with the mode "fail": where another job for the unit is queued, PID 1
 * refuses, and the operator's (or systemd's own) intention wins. The job that PID 1 answers with is
 * over when the signal JobRemoved names its path. That signal is listened to from the beginning,
 * not from the answer on: a job can be over before its number has arrived here, and such results
 * are kept for as long as a call has no answer.
 *
 * Nothing here is an error of the plugin: what the bus or PID 1 say is reported as a stage, so that
 * a broken bus does not set the only action aside.
 */
#include "../builtin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#define DESTINATION "org.freedesktop.systemd1"
#define PATH "/org/freedesktop/systemd1"
#define INTERFACE "org.freedesktop.systemd1.Manager"

/* PID 1 answers in milliseconds; one that does not answer in 5 s is itself the trouble. */
#define REPLY_TIMEOUT_USEC UINT64_C(5000000)

enum {
	PATH_SIZE = 128,   /* "/org/freedesktop/systemd1/job/4294967295" is 40 */
	EARLY_RESULTS = 64 /* results kept while calls wait for an answer: as many as PID 1 may
			      finish in between, on a host where many units restart at once */
};

struct request {
	struct restart *restart; /* borrowed */
	uint64_t ticket;
	char *unit;        /* owned */
	sd_bus_slot *call; /* owned; NULL once it is answered */
	char job[PATH_SIZE];
	int64_t timer;
	LIST_ENTRY(request) link;
};

struct result {
	char job[PATH_SIZE];
	char word[24];
};

struct restart {
	const struct mend_services *services;
	struct mend_host *host;
	sd_bus_slot *subscribe;   /* owned */
	sd_bus_slot *job_removed; /* owned; one match for all */
	LIST_HEAD(, request) requests;
	struct result early[EARLY_RESULTS]; /* a ring */
	size_t n_early;
};

static struct request *request_free(struct request *q)
{
	LIST_REMOVE(q, link);
	sd_bus_slot_unref(q->call); /* an answer that still comes is ignored */
	q->restart->services->timer_del(q->restart->host, q->timer);
	free(q->unit);
	free(q);
	return NULL;
}

static void report(const struct request *q, uint32_t stage, const char *error)
{
	struct mend_action_result result = {
		.size = sizeof(result),
		.stage = stage,
		.job = *q->job ? q->job : NULL,
		.error = error,
	};

	q->restart->services->action_report(q->restart->host, q->ticket, &result);
}

static void finish(struct request *q, uint32_t stage, const char *error)
{
	report(q, stage, error);
	request_free(q);
}

/* What PID 1 says of a job that is over; see systemd's job_result_table. */
static void finish_job(struct request *q, const char *word)
{
	char error[96];

	snprintf(error, sizeof(error), "job result: %s", word);
	if (strcmp(word, "done") == 0)
		finish(q, MEND_STAGE_DONE, NULL);
	else if (strcmp(word, "canceled") == 0)
		finish(q, MEND_STAGE_CANCELED, error);
	else if (strcmp(word, "timeout") == 0)
		finish(q, MEND_STAGE_TIMEOUT, error);
	else /* failed, dependency, skipped, invalid, assert, unsupported, collected, once … */
		finish(q, MEND_STAGE_FAILED, error);
}

/* The names that D-Bus and PID 1 give to what they refuse. */
static uint32_t stage_of(const char *name)
{
	static const struct {
		const char *name;
		uint32_t stage;
	} known[] = {
		/* Another job is queued: somebody else's intention. */
		{ "org.freedesktop.systemd1.TransactionIsDestructive", MEND_STAGE_CANCELED },
		/* No answer: it may or may not have been queued. */
		{ "org.freedesktop.DBus.Error.NoReply", MEND_STAGE_TIMEOUT },
		{ "org.freedesktop.DBus.Error.Timeout", MEND_STAGE_TIMEOUT },
		{ "org.freedesktop.DBus.Error.TimedOut", MEND_STAGE_TIMEOUT },
		/* The bus, not the unit: worth another try. */
		{ "org.freedesktop.DBus.Error.Disconnected", MEND_STAGE_FAILED },
		{ "org.freedesktop.DBus.Error.LimitsExceeded", MEND_STAGE_FAILED },
		{ "org.freedesktop.DBus.Error.NoMemory", MEND_STAGE_FAILED },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].stage;
	/* NoSuchUnit, UnitMasked, BadUnitSetting, OnlyByDependency, ShuttingDown, AccessDenied,
	 * InteractiveAuthorizationRequired …: PID 1 said no. */
	return MEND_STAGE_REFUSED;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct request *q = userdata;
	struct restart *p = q->restart;
	const sd_bus_error *e = sd_bus_message_get_error(m);
	const char *job = NULL;
	int r;

	q->call = sd_bus_slot_unref(q->call);
	if (e) {
		char error[256];

		snprintf(error, sizeof(error), "%s: %s", e->name, e->message ? e->message : "");
		finish(q, stage_of(e->name), error);
		return 0;
	}
	r = sd_bus_message_read(m, "o", &job);
	if (r < 0 || strlen(job) >= sizeof(q->job)) {
		finish(q, MEND_STAGE_FAILED, "PID 1 answered with something that is no job");
		return 0;
	}
	snprintf(q->job, sizeof(q->job), "%s", job);
	report(q, MEND_STAGE_QUEUED, NULL);
	for (size_t i = 0; i < EARLY_RESULTS; i++)
		if (strcmp(p->early[i].job, q->job) == 0) {
			p->early[i].job[0] = '\0';
			finish_job(q, p->early[i].word);
			return 0;
		}
	return 0;
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct restart *p = userdata;
	const char *job, *unit, *word;
	struct request *q;
	uint32_t id;
	bool unanswered = false;

	if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &word) < 0)
		return 0; /* of another shape than known: not ours to judge */
	LIST_FOREACH (q, &p->requests, link) {
		if (strcmp(q->job, job) == 0) {
			finish_job(q, word);
			return 0;
		}
		unanswered = unanswered || (q->call && strcmp(q->unit, unit) == 0);
	}
	if (unanswered) {
		struct result *early = &p->early[p->n_early++ % EARLY_RESULTS];

		snprintf(early->job, sizeof(early->job), "%s", job);
		snprintf(early->word, sizeof(early->word), "%s", word);
	}
	return 0;
}

/* Without a subscriber PID 1 does not send JobRemoved. That somebody on this connection has
 * subscribed before is fine. */
static int on_subscribed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct restart *p = userdata;
	const sd_bus_error *e = sd_bus_message_get_error(m);
	char text[256];

	if (!e || strcmp(e->name, "org.freedesktop.systemd1.AlreadySubscribed") == 0)
		return 0;
	snprintf(text, sizeof(text), "cannot subscribe to systemd: %s: %s", e->name,
		e->message ? e->message : "");
	p->services->log(p->host, LOG_WARNING, text);
	return 0;
}

static void on_deadline(void *userdata, uint64_t now_ns)
{
	struct request *q = userdata;

	q->timer = 0;
	finish(q, MEND_STAGE_TIMEOUT,
		q->call ? "systemd did not answer before the deadline"
			: "the job was not over before the deadline");
}

static int call(struct request *q)
{
	sd_bus *bus = q->restart->services->bus;
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(bus, &m, DESTINATION, PATH, INTERFACE, "RestartUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", q->unit, "fail");
	if (r >= 0)
		r = sd_bus_call_async(bus, &q->call, m, on_answer, q, REPLY_TIMEOUT_USEC);
	sd_bus_message_unref(m);
	return r;
}

static int32_t restart_run(void *plugin, const struct mend_action_request *request, uint64_t ticket)
{
	struct restart *p = plugin;
	struct request *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	q->restart = p;
	q->ticket = ticket;
	q->unit = strdup(request->unit);
	LIST_INSERT_HEAD(&p->requests, q, link);
	if (!q->unit) {
		request_free(q);
		return -ENOMEM;
	}
	q->timer = p->services->timer_add(p->host, request->deadline_ns, on_deadline, q);
	r = q->timer < 0 ? (int)q->timer : call(q);
	if (r < 0) {
		char error[128];

		snprintf(error, sizeof(error), "cannot call systemd: %s", strerror(-r));
		finish(q, MEND_STAGE_FAILED, error);
	}
	return 0;
}

static void restart_cancel(void *plugin, uint64_t ticket)
{
	struct restart *p = plugin;
	struct request *q;

	LIST_FOREACH (q, &p->requests, link)
		if (q->ticket == ticket) {
			request_free(q);
			return;
		}
}

static void restart_destroy(void *plugin)
{
	struct restart *p = plugin;
	struct request *q;

	while ((q = LIST_FIRST(&p->requests)))
		request_free(q);
	sd_bus_slot_unref(p->job_removed);
	sd_bus_slot_unref(p->subscribe);
	free(p);
}

static int32_t restart_create(
	const struct mend_services *services, struct mend_host *host, void **ret)
{
	struct restart *p;
	int r;

	if (!services->bus)
		return -ENOTCONN;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->services = services;
	p->host = host;
	LIST_INIT(&p->requests);
	/* The match goes out before any call on the same connection, so it is in force before. */
	r = sd_bus_match_signal_async(services->bus, &p->job_removed, DESTINATION, PATH, INTERFACE,
		"JobRemoved", on_job_removed, NULL, p);
	if (r >= 0)
		r = sd_bus_call_method_async(services->bus, &p->subscribe, DESTINATION, PATH,
			INTERFACE, "Subscribe", on_subscribed, p, "");
	if (r < 0) {
		restart_destroy(p);
		return r;
	}
	*ret = p;
	return 0;
}

static const struct mend_action restart_action = {
	.size = sizeof(restart_action),
	.run = restart_run,
	.cancel = restart_cancel,
};

const struct mend_plugin restart_plugin = {
	.size = sizeof(restart_plugin),
	.major = MEND_ABI_MAJOR,
	.minor = 0,
	.kind = MEND_KIND_ACTION,
	.name = "restart",
	.version = MENDD_VERSION,
	.summary = "restarts a unit through systemd",
	.create = restart_create,
	.destroy = restart_destroy,
	.action = &restart_action,
};
