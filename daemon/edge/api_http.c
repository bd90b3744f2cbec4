/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTP of units on the bus: properties of org.mendd1.Unit, and ListHTTP(), which gives all units in
 * one answer for who looks every second. One table serves both. Counters are the kernel's at this
 * moment; rates and quantiles are of the last HTTP_WINDOW seconds. None of it is ever announced.
 */
#include "api_internal.h"

#include <math.h>

const char *api_http_visibility(const struct unit *u)
{
	int blind;

	if (u->settings.http == HTTP_MODE_NO)
		return "off";
	if (!u->http || u->http->attach_error < 0)
		return "unavailable";
	if (u->http->totals->started > 0)
		return "http";
	blind = http_blindness(u->http);
	return blind < 0 ? "none" : http_untracked_word((enum http_untracked)blind);
}

/* --- values; u->http is there --------------------------------------------------------------------
 */

static uint64_t requests(const struct unit *u)
{
	return u->http->totals->started;
}

static uint64_t errors(const struct unit *u)
{
	const struct http_counts c = http_counts_now(u->http);

	return http_errors(&c);
}

static uint64_t outgoing(const struct unit *u)
{
	return u->http->totals->outgoing;
}

static uint64_t in_flight(const struct unit *u)
{
	return http_in_flight_now(u->http);
}

static uint64_t unread(const struct unit *u)
{
	return in_flight(u) > 0 ? u->http->unread : 0;
}

/* An age, and not a time: 0 where nothing is in flight. */
static uint64_t oldest_usec(const struct unit *u)
{
	return http_oldest_age_ns(u->http, clock_monotonic_ns()) / NSEC_PER_USEC;
}

static uint64_t to_usec(uint64_t ns)
{
	return ns == UINT64_MAX ? ns : ns / NSEC_PER_USEC;
}

static uint64_t p50_usec(const struct unit *u)
{
	return to_usec(http_quantile_ns(u->http, HTTP_WINDOW, .5, NULL));
}

static uint64_t p95_usec(const struct unit *u)
{
	return to_usec(http_quantile_ns(u->http, HTTP_WINDOW, .95, NULL));
}

static uint64_t p99_usec(const struct unit *u)
{
	return to_usec(http_quantile_ns(u->http, HTTP_WINDOW, .99, NULL));
}

static uint64_t queue_usec(const struct unit *u)
{
	return to_usec(http_queue_quantile_ns(u->http, HTTP_WINDOW, .95, NULL));
}

static double rate(const struct unit *u)
{
	return http_view(u->http, HTTP_WINDOW).rate;
}

static double error_ratio(const struct unit *u)
{
	return http_view(u->http, HTTP_WINDOW).error_ratio;
}

static uint64_t restarts(const struct unit *u)
{
	return unit_restarts(u);
}

static const char *name(const struct unit *u)
{
	return u->name;
}

static const char *health(const struct unit *u)
{
	return health_word(u->health);
}

static const char *mode(const struct unit *u)
{
	return http_mode_word(u->settings.http);
}

/* --- counters by word ----------------------------------------------------------------------------
 */

static int append_incomplete(sd_bus_message *m, const struct unit *u)
{
	int r = 0;

	for (unsigned int i = 0; r >= 0 && i < HTTP_INCOMPLETE_REASONS; i++)
		r = sd_bus_message_append(m, "{st}", http_incomplete_word((enum http_incomplete)i),
			u->http ? u->http->totals->incomplete[i] : UINT64_C(0));
	return r;
}

static int append_untracked(sd_bus_message *m, const struct unit *u)
{
	int r = 0;

	for (unsigned int i = 0; r >= 0 && i < HTTP_UNTRACKED_REASONS; i++)
		r = sd_bus_message_append(m, "{st}", http_untracked_word((enum http_untracked)i),
			u->http ? u->http->totals->untracked[i] : UINT64_C(0));
	return r;
}

/* Only those that were met: there are dozens. */
static int append_codes(sd_bus_message *m, const struct unit *u)
{
	int r = 0;

	for (unsigned int place = 0; r >= 0 && place < HTTP_CODES; place++) {
		unsigned int code = http_code_of_place(place);
		char text[16] = "other";
		uint64_t n = 0;

		for (unsigned int i = 0; i < HTTP_METHODS; i++)
			n += http_code_count(u->http, (enum http_method)i, place);
		if (n == 0)
			continue;
		if (code)
			snprintf(text, sizeof(text), "%u", code);
		r = sd_bus_message_append(m, "{st}", text, n);
	}
	return r;
}

static int append_routes_of(sd_bus_message *m, const struct unit *u,
	uint64_t (*number)(const volatile struct http_route *r))
{
	int r = 0;

	for (size_t i = 0; r >= 0 && u->http && i < u->http->n_routes; i++) {
		const volatile struct http_route *route = u->http->routes[i];
		char name[HTTP_ROUTE];

		r = sd_bus_message_append(m, "{st}", http_route_name(route, name), number(route));
	}
	return r;
}

static int append_routes(sd_bus_message *m, const struct unit *u)
{
	return append_routes_of(m, u, http_route_answered);
}

static int append_route_errors(sd_bus_message *m, const struct unit *u)
{
	return append_routes_of(m, u, http_route_errors);
}

/* --- the table -----------------------------------------------------------------------------------
 */

/* Exactly one of the functions is set. */
static const struct member {
	const char *name;
	uint64_t (*number)(const struct unit *u);
	uint64_t none; /* the number where nothing is measured */
	double (*ratio)(const struct unit *u);
	double no_ratio;
	const char *(*text)(const struct unit *u); /* also without u->http */
	int (*counters)(sd_bus_message *m, const struct unit *u);
	bool listed; /* in ListHTTP() */
	bool always; /* also of a unit that speaks none */
} members[] = {
	{ .name = "Name", .text = name, .listed = true, .always = true },
	{ .name = "Health", .text = health, .listed = true, .always = true },
	{ .name = "Restarts", .number = restarts, .listed = true, .always = true },
	{ .name = "HTTPVisibility", .text = api_http_visibility, .listed = true, .always = true },
	{ .name = "HTTPRequests", .number = requests, .listed = true },
	{ .name = "HTTPErrors", .number = errors, .listed = true },
	{ .name = "HTTPRequestRate", .ratio = rate, .listed = true },
	{ .name = "HTTPErrorRatio", .ratio = error_ratio, .no_ratio = NAN, .listed = true },
	{ .name = "HTTPFirstByteP50USec", .number = p50_usec, .none = UINT64_MAX, .listed = true },
	{ .name = "HTTPFirstByteP95USec", .number = p95_usec, .none = UINT64_MAX, .listed = true },
	{ .name = "HTTPFirstByteP99USec", .number = p99_usec, .none = UINT64_MAX, .listed = true },
	{ .name = "HTTPQueueP95USec", .number = queue_usec, .none = UINT64_MAX, .listed = true },
	{ .name = "HTTPInFlight", .number = in_flight, .listed = true },
	{ .name = "HTTPUnread", .number = unread, .listed = true },
	{ .name = "HTTPOldestInFlightUSec", .number = oldest_usec, .listed = true },
	{ .name = "HTTPMode", .text = mode, .always = true },
	{ .name = "HTTPOutgoing", .number = outgoing },
	{ .name = "HTTPIncomplete", .counters = append_incomplete },
	{ .name = "HTTPUntracked", .counters = append_untracked },
	{ .name = "HTTPCodes", .counters = append_codes },
	{ .name = "HTTPRoutes", .counters = append_routes },
	{ .name = "HTTPRouteErrors", .counters = append_route_errors },
};

static const char *type_of(const struct member *x)
{
	return x->number ? "t" : x->ratio ? "d" : x->text ? "s" : "a{st}";
}

static int append(sd_bus_message *m, const struct unit *u, const struct member *x)
{
	bool known = u->http || x->always;
	int r;

	if (x->text)
		return append_text(m, x->text(u));
	if (x->number)
		return sd_bus_message_append(m, "t", known ? x->number(u) : x->none);
	if (x->ratio)
		return sd_bus_message_append(m, "d", known ? x->ratio(u) : x->no_ratio);
	r = sd_bus_message_open_container(m, 'a', "{st}");
	if (r >= 0)
		r = x->counters(m, u);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int api_get_http(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (str_eq(members[i].name, property))
			return append(reply, userdata, &members[i]);
	return -ENOENT;
}

static int append_entry(sd_bus_message *m, const struct unit *u, const struct member *x)
{
	int r;

	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", x->name);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', type_of(x));
	if (r >= 0)
		r = append(m, u, x);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_unit(sd_bus_message *m, const struct unit *u)
{
	bool speaks = u->http && u->http->totals->started > 0;
	int r;

	r = sd_bus_message_open_container(m, 'a', "{sv}");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(members); i++)
		if (members[i].listed && (speaks || members[i].always))
			r = append_entry(m, u, &members[i]);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int api_on_list_http(sd_bus_message *call, void *userdata, sd_bus_error *ret_error)
{
	return api_list_units(userdata, call, "a{sv}", append_unit);
}
