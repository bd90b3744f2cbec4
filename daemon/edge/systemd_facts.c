/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus properties into facts; see systemd_facts.h. A property is added to the table and nowhere
 * else. */
#include "systemd_facts.h"
#include "../base/str.h"

enum type { TEXT, ACTIVE, NUMBER32, SIGNED32, USEC, USEC_TO_NS, FLAG, ID128, JOB };

static const struct property {
	const char *name;
	enum type type;
	size_t offset, size;
} properties[] = {
#define FIELD(field) offsetof(struct unit_facts, field), sizeof(((struct unit_facts *)0)->field)
	{ "ActiveState", ACTIVE, FIELD(active) },
	{ "SubState", TEXT, FIELD(sub_state) },
	{ "LoadState", TEXT, FIELD(load_state) },
	{ "InvocationID", ID128, FIELD(invocation) },
	{ "Result", TEXT, FIELD(result) },
	{ "Restart", TEXT, FIELD(restart) },
	{ "Type", TEXT, FIELD(type) },
	{ "FreezerState", TEXT, FIELD(freezer_state) },
	{ "MainPID", NUMBER32, FIELD(main_pid) },
	{ "ExecMainPID", NUMBER32, FIELD(exec_main_pid) },
	{ "ExecMainCode", SIGNED32, FIELD(exec_main_code) },
	{ "ExecMainStatus", SIGNED32, FIELD(exec_main_status) },
	{ "NRestarts", NUMBER32, FIELD(n_restarts) },
	{ "Job", JOB, FIELD(job) },
	{ "ActiveEnterTimestampMonotonic", USEC, FIELD(active_enter_usec) },
	{ "TimeoutStartUSec", USEC_TO_NS, FIELD(start_timeout_ns) },
	{ "StartLimitBurst", NUMBER32, FIELD(start_limit_burst) },
	{ "StartLimitIntervalUSec", USEC_TO_NS, FIELD(start_limit_interval_ns) },
	{ "RemainAfterExit", FLAG, FIELD(remain_after_exit) },
	{ "ControlGroup", TEXT, FIELD(cgroup) },
#undef FIELD
};

static void strv_free(char **v)
{
	for (char **s = v; s && *s; s++)
		free(*s);
	free(v);
}

void facts_extra_done(struct facts_extra *e)
{
	free(e->fragment);
	strv_free(e->drop_ins);
	strv_free(e->requires);
	strv_free(e->binds_to);
	strv_free(e->names);
	*e = (struct facts_extra) {};
}

static int read_id128(sd_bus_message *m, char ret[INVOCATION_SIZE])
{
	const void *bytes;
	size_t n;
	int r = sd_bus_message_read_array(m, 'y', &bytes, &n);

	if (r < 0)
		return r;
	ret[0] = '\0';
	for (size_t i = 0; n == 16 && i < n; i++)
		snprintf(ret + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
	return 0;
}

static int read_value(sd_bus_message *m, const struct property *p, void *field)
{
	const char *text;
	uint64_t usec;
	int flag, r;

	switch (p->type) {
	case TEXT:
		r = sd_bus_message_read_basic(m, 's', &text);
		if (r >= 0)
			str_copy(field, p->size, text);
		return r;
	case ACTIVE:
		r = sd_bus_message_read_basic(m, 's', &text);
		if (r >= 0)
			*(enum active_state *)field = active_state_parse(text);
		return r;
	case NUMBER32:
		return sd_bus_message_read_basic(m, 'u', field);
	case SIGNED32:
		return sd_bus_message_read_basic(m, 'i', field);
	case USEC:
		return sd_bus_message_read_basic(m, 't', field);
	case USEC_TO_NS:
		r = sd_bus_message_read_basic(m, 't', &usec);
		if (r >= 0)
			*(uint64_t *)field = usec > TIME_INFINITY / NSEC_PER_USEC
						     ? TIME_INFINITY
						     : usec * NSEC_PER_USEC;
		return r;
	case FLAG:
		r = sd_bus_message_read_basic(m, 'b', &flag);
		if (r >= 0)
			*(bool *)field = flag;
		return r;
	case ID128:
		return read_id128(m, field);
	case JOB:
		return sd_bus_message_read(m, "(uo)", field, &text);
	}
	return -EINVAL;
}

static int read_extra(sd_bus_message *m, const char *name, struct facts_extra *e)
{
	char ***list = str_eq(name, "DropInPaths") ? &e->drop_ins
		       : str_eq(name, "Requires")  ? &e->requires
		       : str_eq(name, "BindsTo")   ? &e->binds_to
		       : str_eq(name, "Names")     ? &e->names
						   : NULL;
	const char *text;
	int r;

	if (list) {
		strv_free(*list);
		*list = NULL;
		return sd_bus_message_read_strv(m, list);
	}
	r = sd_bus_message_read_basic(m, 's', &text);
	return r < 0 ? r : str_set(&e->fragment, text);
}

static bool is_extra(const char *name)
{
	return str_eq(name, "FragmentPath") || str_eq(name, "DropInPaths") ||
	       str_eq(name, "Requires") || str_eq(name, "BindsTo") || str_eq(name, "Names");
}

int facts_read_variant(
	sd_bus_message *m, const char *name, struct unit_facts *f, struct facts_extra *extra)
{
	const struct property *p = NULL;
	const char *contents;
	char type;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(properties) && !p; i++)
		if (str_eq(properties[i].name, name))
			p = &properties[i];
	if (!p && !(extra && is_extra(name)))
		return sd_bus_message_skip(m, "v");
	r = sd_bus_message_peek_type(m, &type, &contents);
	if (r < 0)
		return r;
	r = sd_bus_message_enter_container(m, 'v', contents);
	if (r < 0)
		return r;
	r = p ? read_value(m, p, (char *)f + p->offset) : read_extra(m, name, extra);
	if (r < 0)
		return r;
	return sd_bus_message_exit_container(m);
}

int facts_read_dictionary(sd_bus_message *m, struct unit_facts *f, struct facts_extra *extra)
{
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		const char *name;

		r = sd_bus_message_read_basic(m, 's', &name);
		if (r < 0)
			return r;
		r = facts_read_variant(m, name, f, extra);
		if (r < 0)
			return r;
		r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}
