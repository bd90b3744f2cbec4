/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registering of plugins, counting and timing of calls, setting aside, and the two simple kinds:
 * sinks and sources. See plugin_host.h; checks and actions have files of their own.
 */
#include "plugin_impl.h"

#include "../base/clock.h"
#include "../base/str.h"

#include <inttypes.h>
#include <stdarg.h>

static const char *kind_word(uint32_t kind)
{
	switch (kind) {
	case MEND_KIND_SOURCE:
		return "source";
	case MEND_KIND_CHECK:
		return "check";
	case MEND_KIND_ACTION:
		return "action";
	case MEND_KIND_SINK:
		return "sink";
	default:
		return "";
	}
}

int plugin_host_new(struct plugin_host **ret, sd_event *event, sd_bus *bus, struct world *world)
{
	struct plugin_host *host = calloc(1, sizeof(*host));

	if (!host)
		return -ENOMEM;
	host->event = sd_event_ref(event);
	host->bus = bus ? sd_bus_ref(bus) : NULL;
	host->world = world;
	TAILQ_INIT(&host->waiting);
	TAILQ_INIT(&host->reports);
	plugin_services_init(host);
	*ret = host;
	return 0;
}

struct plugin_host *plugin_host_free(struct plugin_host *host)
{
	if (!host)
		return NULL;
	plugin_checks_done(host);
	plugin_actions_done(host);
	while (host->n_plugins > 0) {
		struct mend_host *p = host->plugins[--host->n_plugins];

		if (p->descriptor->destroy)
			p->descriptor->destroy(p->instance);
		plugin_handles_drop(host, p);
		p->state->active = false;
		free(p);
	}
	plugin_handles_drop(host, NULL);
	hash_done(&host->handles);
	sd_event_source_disable_unref(host->pump);
	sd_bus_unref(host->bus);
	sd_event_unref(host->event);
	free(host);
	return NULL;
}

void plugin_host_set_config(struct plugin_host *host, plugin_config_fn fn, void *userdata)
{
	host->config = fn;
	host->config_userdata = userdata;
}

void plugin_host_set_observer(struct plugin_host *host, observe_fn fn, void *userdata)
{
	host->observe = fn;
	host->observe_userdata = userdata;
}

/* --- calls ------------------------------------------------------------------------------------ */

uint64_t plugin_enter(struct mend_host *p)
{
	p->state->calls++;
	return clock_monotonic_ns();
}

void plugin_leave_within(
	struct mend_host *p, uint64_t begin_ns, uint64_t limit_ns, const char *what)
{
	uint64_t now_ns = clock_monotonic_ns(), took_ns = now_ns - begin_ns;

	if (took_ns <= limit_ns)
		return;
	p->state->slow++;
	if (ratelimit_pass(&p->slow_limit, now_ns))
		log_warning("plugin %s: %s took %" PRIu64 " ms; callbacks must not block",
			p->descriptor->name, what, took_ns / NSEC_PER_MSEC);
}

void plugin_leave(struct mend_host *p, uint64_t begin_ns, const char *what)
{
	plugin_leave_within(p, begin_ns, PLUGIN_SLOW_NS, what);
}

static void set_aside(struct mend_host *p, const char *what, int error)
{
	struct plugin_host *host = p->host;

	p->state->active = false;
	snprintf(p->state->error, sizeof(p->state->error),
		"set aside: %s failed %u times in a row: %s", what, p->errors, strerror(-error));
	log_error("plugin %s: %s", p->descriptor->name, p->state->error);
	plugin_handles_drop(host, p);
	/* The rest not now: this may be inside of emit(), or of the plugin's own run(). */
	p->announce = true;
	plugin_pump(host);
}

void plugin_result(struct mend_host *p, int r, const char *what)
{
	if (r >= 0) {
		p->errors = 0;
		return;
	}
	p->state->failures++;
	p->errors++;
	if (p->state->active && p->errors >= PLUGIN_ERRORS_MAX)
		set_aside(p, what, r);
}

static int on_pump(sd_event_source *source, void *userdata)
{
	struct plugin_host *host = userdata;

	plugin_actions_pump(host);
	plugin_checks_pump(host);
	for (size_t i = 0; i < host->n_plugins; i++) {
		struct mend_host *p = host->plugins[i];
		char message[320];
		struct mend_field field = { "MENDD_PLUGIN", p->descriptor->name };
		struct mend_record record = {
			.size = sizeof(record),
			.priority = LOG_ERR,
			.time_ns = clock_monotonic_ns(),
			.kind = "plugin-refused",
			.message = message,
			.fields = &field,
			.n_fields = 1,
		};

		if (!p->announce)
			continue;
		p->announce = false;
		snprintf(message, sizeof(message), "plugin %s: %s", p->descriptor->name,
			p->state->error);
		plugin_host_emit(host, &record);
	}
	return 0;
}

void plugin_pump(struct plugin_host *host)
{
	int r;

	if (host->pump)
		r = sd_event_source_set_enabled(host->pump, SD_EVENT_ONESHOT);
	else
		r = sd_event_add_defer(host->event, &host->pump, on_pump, host);
	if (r < 0)
		log_warning_errno(r, "cannot arrange for plugins to be served");
}

/* --- registering ------------------------------------------------------------------------------ */

/* The place in world->plugins, NULL: all are taken. */
static struct plugin_state *new_state(
	struct plugin_host *host, const char *name, const char *path, uint32_t kind)
{
	struct world *w = host->world;
	struct plugin_state *s;

	if (w->n_plugins >= PLUGINS_MAX)
		return NULL;
	s = &w->plugins[w->n_plugins++];
	*s = (struct plugin_state) {};
	str_copy_clean(s->name, sizeof(s->name), name);
	str_copy_clean(s->path, sizeof(s->path), path);
	str_copy(s->kind, sizeof(s->kind), kind_word(kind));
	return s;
}

int plugin_refuse(struct plugin_host *host, const char *name, const char *path, int error,
	const char *format, ...)
{
	struct plugin_state *s = new_state(host, name, path, 0);
	char text[sizeof(s->error)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (s)
		str_copy_clean(s->error, sizeof(s->error), text);
	log_error("plugin %s%s%s refused: %s", name, *path ? " of " : "", path, text);
	return error;
}

static bool is_name(const char *s)
{
	size_t n = s ? strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") : 0;

	return n > 0 && n < sizeof(((struct plugin_state *)NULL)->name) && s[n] == '\0';
}

/* The first verb that is missing, NULL: none. */
static const char *missing_verb(const struct mend_plugin *d)
{
	switch (d->kind) {
	case MEND_KIND_CHECK:
		return !d->check->run ? "run" : !d->check->cancel ? "cancel" : NULL;
	case MEND_KIND_ACTION:
		return !d->action->run ? "run" : !d->action->cancel ? "cancel" : NULL;
	case MEND_KIND_SINK:
		return !d->sink->emit ? "emit" : NULL;
	default:
		return !d->source->watch ? "watch" : !d->source->unwatch ? "unwatch" : NULL;
	}
}

struct table {
	const void *at; /* begins with its size, like every table */
	size_t least;
};

static struct table table_of(const struct mend_plugin *d)
{
	switch (d->kind) {
	case MEND_KIND_CHECK:
		return (struct table) { d->check, SIZE_UP_TO(struct mend_check, cancel) };
	case MEND_KIND_ACTION:
		return (struct table) { d->action, SIZE_UP_TO(struct mend_action, cancel) };
	case MEND_KIND_SINK:
		return (struct table) { d->sink, SIZE_UP_TO(struct mend_sink, emit) };
	case MEND_KIND_SOURCE:
		return (struct table) { d->source, SIZE_UP_TO(struct mend_source, unwatch) };
	default:
		return (struct table) {};
	}
}

static bool name_is_taken(const struct plugin_host *host, const char *name)
{
	for (size_t i = 0; i < host->n_plugins; i++)
		if (str_eq(host->plugins[i]->descriptor->name, name))
			return true;
	return false;
}

/* Everything that can be said of a descriptor without calling into it. The order is the one of
 * trust: nothing is read before what says how to read it. */
static int examine(
	struct plugin_host *host, const struct mend_plugin *d, const char *name, const char *path)
{
	struct table table;
	uint32_t size;
	const char *verb;

	if (d->size < SIZE_UP_TO(struct mend_plugin, minor))
		return plugin_refuse(host, name, path, -EINVAL,
			"its descriptor has %u bytes and not even a version", d->size);
	if (d->major != MEND_ABI_MAJOR)
		return plugin_refuse(host, name, path, -EINVAL,
			"it is built for major version %u of the interface, this mendd has %u",
			d->major, MEND_ABI_MAJOR);
	if (d->minor > MEND_ABI_MINOR)
		return plugin_refuse(host, name, path, -EINVAL,
			"it needs version %u.%u of the interface, this mendd has %u.%u", d->major,
			d->minor, MEND_ABI_MAJOR, MEND_ABI_MINOR);
	if (d->size < SIZE_UP_TO(struct mend_plugin, sink))
		return plugin_refuse(host, name, path, -EINVAL,
			"its descriptor is too short: %u bytes, at least %zu are needed", d->size,
			SIZE_UP_TO(struct mend_plugin, sink));
	if (!is_name(d->name))
		return plugin_refuse(host, name, path, -EINVAL,
			"its name is not of a-z, 0-9, '-' and '_', at most 63 characters");
	if (name_is_taken(host, d->name))
		return plugin_refuse(
			host, d->name, path, -EEXIST, "another plugin has the name %s", d->name);
	table = table_of(d);
	if (table.least == 0)
		return plugin_refuse(
			host, d->name, path, -EINVAL, "its kind %u is not known", d->kind);
	if (!table.at)
		return plugin_refuse(host, d->name, path, -EINVAL,
			"it says that it is a %s and has no table of one", kind_word(d->kind));
	if (!!d->source + !!d->check + !!d->action + !!d->sink != 1)
		return plugin_refuse(
			host, d->name, path, -EINVAL, "it has tables of more than one kind");
	memcpy(&size, table.at, sizeof(size));
	if (size < table.least)
		return plugin_refuse(host, d->name, path, -EINVAL,
			"its table of a %s is too short: %u bytes, at least %zu are needed",
			kind_word(d->kind), size, table.least);
	verb = missing_verb(d);
	if (verb)
		return plugin_refuse(host, d->name, path, -EINVAL, "a %s must have the verb %s",
			kind_word(d->kind), verb);
	return 0;
}

int plugin_register(struct plugin_host *host, const struct mend_plugin *d, const char *path)
{
	const char *name = *path ? strrchr(path, '/') + 1 : "(linked in)";
	struct mend_host *p;
	uint64_t begin_ns;
	int r;

	r = examine(host, d, name, path);
	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->host = host;
	p->descriptor = d;
	p->slow_limit = (struct ratelimit) { .interval_ns = 60 * NSEC_PER_SEC, .burst = 1 };
	p->log_limit = (struct ratelimit) { .interval_ns = 60 * NSEC_PER_SEC, .burst = 30 };
	p->state = new_state(host, d->name, path, d->kind);
	if (!p->state) {
		log_error("plugin %s refused: there are %d already", d->name, PLUGINS_MAX);
		free(p);
		return -ENOSPC;
	}
	str_copy_clean(p->state->version, sizeof(p->state->version), d->version);
	p->state->active = true; /* so that create() may use the services */
	if (d->create) {
		begin_ns = plugin_enter(p);
		r = d->create(&host->services, p, &p->instance);
		plugin_leave_within(p, begin_ns, PLUGIN_SLOW_CREATE_NS, "create");
	}
	if (r < 0) {
		p->state->active = false;
		p->state->failures++;
		snprintf(p->state->error, sizeof(p->state->error), "its create failed: %s",
			strerror(-r));
		log_error("plugin %s refused: %s", d->name, p->state->error);
		plugin_handles_drop(host, p);
		free(p);
		return r;
	}
	host->plugins[host->n_plugins++] = p;
	log_debug("plugin %s %s: %s, %s", d->name, p->state->version, kind_word(d->kind),
		*path ? path : "linked in");
	return 0;
}

int plugin_host_register(struct plugin_host *host, const struct mend_plugin *descriptor)
{
	return plugin_register(host, descriptor, "");
}

struct mend_host *plugin_find(const struct plugin_host *host, uint32_t kind, const char *name)
{
	for (size_t i = 0; i < host->n_plugins; i++) {
		struct mend_host *p = host->plugins[i];

		if (p->state->active && p->descriptor->kind == kind &&
			str_eq(p->descriptor->name, name))
			return p;
	}
	return NULL;
}

/* --- sinks and sources ------------------------------------------------------------------------ */

void plugin_host_emit(struct plugin_host *host, const struct mend_record *record)
{
	if (host->emitting) /* a sink that reports through a sink would never end */
		return;
	host->emitting = true;
	for (size_t i = 0; i < host->n_plugins; i++) {
		struct mend_host *p = host->plugins[i];
		uint64_t begin_ns;
		int r;

		if (p->descriptor->kind != MEND_KIND_SINK || !p->state->active)
			continue;
		begin_ns = plugin_enter(p);
		r = p->descriptor->sink->emit(p->instance, record);
		plugin_leave(p, begin_ns, "emit");
		plugin_result(p, r, "emit");
	}
	host->emitting = false;
}

static void tell_sources(struct plugin_host *host, const char *unit, bool watch)
{
	for (size_t i = 0; i < host->n_plugins; i++) {
		struct mend_host *p = host->plugins[i];
		uint64_t begin_ns;
		int r = 0;

		if (p->descriptor->kind != MEND_KIND_SOURCE || !p->state->active)
			continue;
		begin_ns = plugin_enter(p);
		if (watch)
			r = p->descriptor->source->watch(p->instance, unit);
		else
			p->descriptor->source->unwatch(p->instance, unit);
		plugin_leave(p, begin_ns, watch ? "watch" : "unwatch");
		plugin_result(p, r, "watch");
	}
}

void plugin_host_watch(struct plugin_host *host, const char *unit)
{
	tell_sources(host, unit, true);
}

void plugin_host_unwatch(struct plugin_host *host, const char *unit)
{
	tell_sources(host, unit, false);
}
