/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tools of marshalling for the D-Bus API: text that is safe to send, arguments that are safe to
 * take, errors by name, and times for people. No bus traffic of its own.
 */
#include "api_internal.h"

/* Times are for people, who read milliseconds; slewing by NTP moves less than that for minutes. */
#define DISTANCE_SLACK_USEC 1000

int append_text(sd_bus_message *m, const char *s)
{
	_cleanup_strbuf_ struct strbuf b = {};

	if (str_is_clean(s))
		return sd_bus_message_append_basic(m, 's', s);
	strbuf_add_clean(&b, s);
	if (b.error)
		return b.error;
	return sd_bus_message_append_basic(m, 's', strbuf_text(&b));
}

int check_text(const char *s, const char *what, sd_bus_error *ret_error)
{
	size_t length = strlen(s);

	if (length > API_TEXT_MAX)
		return sd_bus_error_setf(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"The %s has %zu bytes; at most %d are taken.", what, length, API_TEXT_MAX);
	if (!str_is_clean(s))
		return sd_bus_error_setf(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"The %s has a control character or is not UTF-8.", what);
	return 0;
}

struct unit *find_unit(const struct world *w, const char *name, sd_bus_error *ret_error)
{
	struct unit *u;

	if (!unit_name_is_service(name)) {
		/* The name is not repeated: it may be anything, of any length. */
		sd_bus_error_set(ret_error, API_ERROR_NO_SUCH_UNIT,
			"That is not the name of a service unit; names end in \".service\".");
		return NULL;
	}
	u = world_unit_by_any_name(w, name);
	if (!u)
		sd_bus_error_setf(ret_error, API_ERROR_NO_SUCH_UNIT,
			"Unit %s is not watched: it is not loaded, or Exclude= in mendd.conf "
			"leaves it out.",
			name);
	return u;
}

int set_error(sd_bus_error *ret_error, int error, const char *text)
{
	static const struct {
		int error;
		const char *name, *text;
	} known[] = {
		{ -ENOENT, API_ERROR_NO_SUCH_UNIT, "That unit is not watched." },
		{ -ENODATA, API_ERROR_NO_SUCH_INCIDENT, "There is no such incident." },
		{ -EINVAL, SD_BUS_ERROR_INVALID_ARGS, "That is not valid." },
		{ -EBADMSG, API_ERROR_CONFIG, "The configuration has a mistake." },
		{ -EPERM, API_ERROR_REFUSED, "mendd does not do that to this unit." },
		{ -EBUSY, API_ERROR_REFUSED, "Another action is under way." },
		{ -EALREADY, API_ERROR_REFUSED, "That is under way already." },
		{ -EOPNOTSUPP, API_ERROR_UNAVAILABLE, "This mendd cannot do that." },
		{ -ENOMEM, SD_BUS_ERROR_NO_MEMORY, "Out of memory." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].error == error)
			return sd_bus_error_set(
				ret_error, known[i].name, text ? text : known[i].text);
	if (!text)
		return sd_bus_error_set_errno(ret_error, error);
	return sd_bus_error_set(ret_error, SD_BUS_ERROR_FAILED, text);
}

uint64_t wall_usec(uint64_t monotonic_ns)
{
	/* The distance of the two clocks, kept as long as it is about right: read anew each time,
	   the same event would have a slightly different time in every answer. */
	static int64_t kept_usec;
	int64_t distance_usec;

	if (monotonic_ns == 0 || monotonic_ns == TIME_INFINITY)
		return monotonic_ns;
	distance_usec = (int64_t)(clock_realtime_usec() - clock_monotonic_ns() / NSEC_PER_USEC);
	if (llabs(distance_usec - kept_usec) > DISTANCE_SLACK_USEC)
		kept_usec = distance_usec;
	return monotonic_ns / NSEC_PER_USEC + (uint64_t)kept_usec;
}

const struct death *unit_last_exit(const struct unit *u)
{
	const struct death *d = unit_find_death(u, u->facts.exec_main_pid);

	if (!d)
		d = unit_find_death(u, u->former.exec_main_pid);
	if (!d && u->n_deaths > 0)
		d = &u->deaths[(u->n_deaths - 1) % DEATHS_RECENT];
	return d ? d : &u->last_death;
}

uint64_t unit_since_ns(const struct unit *u)
{
	uint64_t active_ns = u->facts.active_enter_usec * NSEC_PER_USEC;

	if (u->heal.state != HEAL_STATE_IDLE && u->heal.since_ns != 0)
		return u->heal.since_ns;
	if (u->health == HEALTH_HEALTHY)
		return active_ns;
	return MAX(active_ns, unit_last_exit(u)->time_ns);
}

uint64_t unit_restarts(const struct unit *u)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < INITIATOR_COUNT; i++)
		sum += u->restarts[i];
	return sum;
}

uint64_t world_events_lost(const struct world *w)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < w->n_lost; i++)
		sum += w->lost[i].count;
	return sum;
}
