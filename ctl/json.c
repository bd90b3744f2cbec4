/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus values as JSON, whatever their type, and the reading and printing of JSON. */
#include "ctl.h"

#include <math.h>

static int from_basic(sd_bus_message *m, char type, json_t **ret)
{
	union {
		uint8_t y;
		int b;
		int16_t n;
		uint16_t q;
		int32_t i;
		uint32_t u;
		int64_t x;
		uint64_t t;
		double d;
		const char *s;
	} v;
	int r;

	r = sd_bus_message_read_basic(m, type, &v);
	if (r <= 0)
		return r < 0 ? r : -ENXIO;
	switch (type) {
	case 'y':
		*ret = json_integer(v.y);
		break;
	case 'b':
		*ret = json_boolean(v.b);
		break;
	case 'n':
		*ret = json_integer(v.n);
		break;
	case 'q':
		*ret = json_integer(v.q);
		break;
	case 'i':
		*ret = json_integer(v.i);
		break;
	case 'u':
		*ret = json_integer(v.u);
		break;
	case 'x':
		*ret = json_integer(v.x);
		break;
	case 't': /* all ones mean "never", and JSON readers have no such number */
		*ret = v.t > INT64_MAX ? json_null() : json_integer((json_int_t)v.t);
		break;
	case 'd':
		*ret = isfinite(v.d) ? json_real(v.d) : json_null();
		break;
	case 's':
	case 'o':
	case 'g':
		*ret = json_string(v.s);
		break;
	default:
		return -EOPNOTSUPP;
	}
	return *ret ? 0 : -ENOMEM;
}

/* A dictionary with string keys; the container has been entered. */
static int from_dictionary(sd_bus_message *m, const char *entry, json_t *o)
{
	const char *key;
	json_t *value;
	int r;

	while ((r = sd_bus_message_enter_container(m, 'e', entry)) > 0) {
		r = sd_bus_message_read(m, "s", &key);
		if (r >= 0)
			r = json_from_message(m, &value);
		if (r < 0)
			return r;
		json_object_set_new(o, key, value);
		r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	return r;
}

static int from_list(sd_bus_message *m, json_t *a)
{
	json_t *value;
	int r;

	while ((r = sd_bus_message_at_end(m, 0)) == 0) {
		r = json_from_message(m, &value);
		if (r < 0)
			return r;
		json_array_append_new(a, value);
	}
	return r;
}

int json_from_message(sd_bus_message *m, json_t **ret)
{
	const char *contents;
	json_t *j = NULL;
	char type;
	int r;

	r = sd_bus_message_peek_type(m, &type, &contents);
	if (r <= 0)
		return r < 0 ? r : -ENXIO;
	if (!strchr("avr", type))
		return from_basic(m, type, ret);
	r = sd_bus_message_enter_container(m, type, contents);
	if (r < 0)
		return r;
	if (type == 'v') {
		r = json_from_message(m, &j);
	} else if (type == 'a' && contents[0] == '{' && contents[1] == 's') {
		char entry[64];

		/* Without its braces. */
		str_copy(entry, sizeof(entry), contents + 1);
		entry[strlen(entry) - 1] = '\0';
		j = json_object();
		r = j ? from_dictionary(m, entry, j) : -ENOMEM;
	} else {
		j = json_array();
		r = j ? from_list(m, j) : -ENOMEM;
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	if (r < 0) {
		json_decref(j);
		return r;
	}
	*ret = j;
	return 0;
}

int print_json(const struct ctl *c, const json_t *j)
{
	size_t flags = c->json == JSON_PRETTY ? JSON_INDENT(8) : JSON_COMPACT;

	if (json_dumpf(j, stdout, flags | JSON_ENCODE_ANY) < 0)
		return out_of_memory();
	putchar('\n');
	return 0;
}

const char *get_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

uint64_t get_number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

bool get_bool(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}
