/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the host offers to plugins: log, clock, configuration, fds, timers. Handles are numbers, not
 * pointers, so that a plugin that uses one twice does nothing worse than nothing.
 */
#include "plugin_impl.h"

#include "../base/clock.h"
#include "../base/str.h"

#include <sys/epoll.h>

_Static_assert(MEND_IO_IN == EPOLLIN && MEND_IO_OUT == EPOLLOUT && MEND_IO_ERR == EPOLLERR &&
		       MEND_IO_HUP == EPOLLHUP,
	"the interface promises the bits of epoll");

/* One fd or timer of a plugin. */
struct handle {
	uint64_t id;
	struct mend_host *plugin; /* borrowed */
	sd_event_source *source;  /* owned */
	mend_io_fn io;            /* NULL: a timer */
	mend_timer_fn timer;
	void *userdata; /* the plugin's */
};

static void handle_free(struct handle *h)
{
	h->plugin->n_handles--;
	sd_event_source_disable_unref(h->source);
	free(h);
}

static int handle_new(struct handle **ret, struct mend_host *p, void *userdata)
{
	struct handle *h;
	int r;

	if (!p->state->active)
		return -ESHUTDOWN;
	if (p->n_handles >= PLUGIN_HANDLES_MAX)
		return -EMFILE;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->id = ++p->host->last_id;
	h->plugin = p;
	h->userdata = userdata;
	r = hash_put_u64(&p->host->handles, h->id, h);
	if (r < 0) {
		free(h);
		return r;
	}
	p->n_handles++;
	*ret = h;
	return 0;
}

void plugin_handles_drop(struct plugin_host *host, const struct mend_host *of)
{
	size_t cursor = 0;
	struct handle *h;

	while ((h = hash_next(&host->handles, &cursor)))
		if (!of || h->plugin == of) {
			hash_remove_u64(&host->handles, h->id);
			handle_free(h);
		}
}

static void drop(struct mend_host *p, int64_t id)
{
	struct handle *h = id > 0 ? hash_get_u64(&p->host->handles, (uint64_t)id) : NULL;

	if (!h || h->plugin != p)
		return;
	hash_remove_u64(&p->host->handles, h->id);
	handle_free(h);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct handle *h = userdata; /* may be gone after the call */
	struct mend_host *p = h->plugin;
	uint64_t begin_ns = plugin_enter(p);

	h->io(h->userdata, fd, revents);
	plugin_leave(p, begin_ns, "the callback of an fd");
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct handle *h = userdata;
	struct mend_host *p = h->plugin;
	mend_timer_fn fn = h->timer;
	void *plugin_userdata = h->userdata;
	uint64_t begin_ns = plugin_enter(p);

	drop(p, (int64_t)h->id);
	fn(plugin_userdata, begin_ns);
	plugin_leave(p, begin_ns, "the callback of a timer");
	return 0;
}

static int64_t service_io_add(
	struct mend_host *p, int32_t fd, uint32_t events, mend_io_fn fn, void *userdata)
{
	struct handle *h;
	int r;

	if (fd < 0 || !fn)
		return -EINVAL;
	r = handle_new(&h, p, userdata);
	if (r < 0)
		return r;
	h->io = fn;
	r = sd_event_add_io(
		p->host->event, &h->source, fd, events & (EPOLLIN | EPOLLOUT), on_io, h);
	if (r < 0) {
		drop(p, (int64_t)h->id);
		return r;
	}
	return (int64_t)h->id;
}

static int64_t service_timer_add(
	struct mend_host *p, uint64_t at_ns, mend_timer_fn fn, void *userdata)
{
	struct handle *h;
	int r;

	if (!fn)
		return -EINVAL;
	r = handle_new(&h, p, userdata);
	if (r < 0)
		return r;
	h->timer = fn;
	/* Rounded up: a timer that comes early makes its owner wait again for nothing. */
	r = sd_event_add_time(p->host->event, &h->source, CLOCK_MONOTONIC,
		at_ns / NSEC_PER_USEC + (at_ns % NSEC_PER_USEC != 0), 1000, on_timer, h);
	if (r < 0) {
		drop(p, (int64_t)h->id);
		return r;
	}
	return (int64_t)h->id;
}

static void service_log(struct mend_host *p, int32_t priority, const char *text)
{
	char line[1024];

	if (!ratelimit_pass(&p->log_limit, clock_monotonic_ns()))
		return;
	str_copy_clean(line, sizeof(line), text);
	log_line(MAX(LOG_EMERG, MIN(LOG_DEBUG, priority)), "plugin %s: %s", p->descriptor->name,
		line);
}

static uint64_t service_now_ns(void)
{
	return clock_monotonic_ns();
}

static const char *service_config(struct mend_host *p, const char *key)
{
	struct plugin_host *host = p->host;

	if (!host->config)
		return NULL;
	return host->config(host->config_userdata, p->descriptor->name, key);
}

static int32_t service_observe(struct mend_host *p, const struct mend_observation *o)
{
	struct plugin_host *host = p->host;
	struct mend_observation seen;
	char unit[UNIT_NAME_SIZE], text[256], invocation[INVOCATION_SIZE];

	if (p->descriptor->kind != MEND_KIND_SOURCE || !p->state->active)
		return -EPERM;
	if (o->size < SIZE_UP_TO(struct mend_observation, text) || !o->unit ||
		!str_copy_clean(unit, sizeof(unit), o->unit) || o->status < MEND_OK ||
		o->status > MEND_UNKNOWN || (o->type != MEND_EDGE && o->type != MEND_LEVEL)) {
		plugin_result(p, -EINVAL, "an observation");
		return -EINVAL;
	}
	plugin_result(p, 0, "");
	str_copy_clean(text, sizeof(text), o->text);
	str_copy_clean(invocation, sizeof(invocation), o->invocation);
	seen = (struct mend_observation) {
		.size = sizeof(seen),
		.type = o->type,
		.status = o->status,
		.time_ns = o->time_ns ? o->time_ns : clock_monotonic_ns(),
		.unit = unit,
		.invocation = invocation,
		.text = text,
	};
	return host->observe ? host->observe(host->observe_userdata, &seen) : -ENOENT;
}

void plugin_services_init(struct plugin_host *host)
{
	host->services = (struct mend_services) {
		.size = sizeof(host->services),
		.minor = MEND_ABI_MINOR,
		.event = host->event,
		.bus = host->bus,
		.log = service_log,
		.now_ns = service_now_ns,
		.config = service_config,
		.io_add = service_io_add,
		.io_del = drop,
		.timer_add = service_timer_add,
		.timer_del = drop,
		.check_report = plugin_check_report,
		.action_report = plugin_action_report,
		.observe = service_observe,
	};
}
