/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.mendd1.Unit: the vtable and the marshalling of one unit. Userdata of every getter is the
 * struct unit, looked up by name for each call (api.c), so no object can outlive its unit. Counters
 * change all the time and are never announced; what people wait for is.
 */
#include "api_internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>

/* Every getter has the same parameters, and uses two of them. */
#define GETTER(name)                                                          \
	static int name(sd_bus *bus, const char *path, const char *interface, \
		const char *property, sd_bus_message *reply, void *userdata,  \
		sd_bus_error *ret_error)

#define TEXT_GETTER(name, expression)                    \
	GETTER(name)                                     \
	{                                                \
		const struct unit *u = userdata;         \
                                                         \
		return append_text(reply, (expression)); \
	}

#define VALUE_GETTER(name, type, expression)                               \
	GETTER(name)                                                       \
	{                                                                  \
		const struct unit *u = userdata;                           \
                                                                           \
		return sd_bus_message_append(reply, (type), (expression)); \
	}

static const char *describe(const struct death *d, char *ret, size_t size)
{
	ret[0] = '\0';
	if (d->time_ns)
		death_describe(d, ret, size);
	return ret;
}

TEXT_GETTER(get_name, u->name)
TEXT_GETTER(get_health, health_word(u->health))
TEXT_GETTER(get_health_reason, u->health_reason)
TEXT_GETTER(get_heal_mode, heal_mode_word(u->settings.heal))
TEXT_GETTER(get_heal_state, heal_state_word(u->heal.state))
TEXT_GETTER(get_severity, severity_word(u->settings.severity))
TEXT_GETTER(get_refusal, refusal_word(u->heal.refusal))
TEXT_GETTER(get_cause, cause_word(u->heal.trouble.present ? u->heal.trouble.cause : CAUSE_NONE))
TEXT_GETTER(get_invocation, u->facts.invocation)
TEXT_GETTER(get_active_state, active_state_word(u->facts.active))
TEXT_GETTER(get_sub_state, u->facts.sub_state)
TEXT_GETTER(get_restart_policy, u->facts.restart)
TEXT_GETTER(get_service_type, u->facts.type)
TEXT_GETTER(get_incident, u->incident ? u->incident->id : "")
TEXT_GETTER(get_program, u->program.path)
TEXT_GETTER(get_config_error, u->settings.error)
TEXT_GETTER(get_check, u->settings.check)
TEXT_GETTER(get_check_text, u->check.text)
TEXT_GETTER(get_probe, u->settings.probe)
TEXT_GETTER(get_probe_text, u->probe.text)
TEXT_GETTER(get_exit_comm, unit_last_exit(u)->comm)
TEXT_GETTER(get_exit_outcome,
	unit_last_exit(u)->time_ns ? outcome_word(death_outcome(unit_last_exit(u))) : "")
TEXT_GETTER(get_exit_killer, killer_word(unit_last_exit(u)->killer))
TEXT_GETTER(get_exit_killer_comm, unit_last_exit(u)->killer_comm)
TEXT_GETTER(get_exit_killer_unit, unit_last_exit(u)->killer_unit)
TEXT_GETTER(get_exit_description, describe(unit_last_exit(u), (char[512]) {}, 512))
TEXT_GETTER(get_process_exit_description, describe(&u->last_death, (char[512]) {}, 512))

VALUE_GETTER(get_since, "t", wall_usec(unit_since_ns(u)))
VALUE_GETTER(get_healing_since, "t", wall_usec(u->heal.since_ns))
VALUE_GETTER(get_next_wake, "t", wall_usec(u->heal.wake_ns))
VALUE_GETTER(get_budget, "u", policy_budget_remaining(u, clock_monotonic_ns()))
VALUE_GETTER(get_denied, "b", policy_denies(u))
VALUE_GETTER(get_main_pid, "u", (uint32_t)u->facts.main_pid)
VALUE_GETTER(get_incident_open, "b", u->incident && u->incident->open)
VALUE_GETTER(get_program_changed, "b", u->program.changed)
VALUE_GETTER(get_check_time, "t", wall_usec(u->check.time_ns))
VALUE_GETTER(get_probe_time, "t", wall_usec(u->probe.time_ns))
VALUE_GETTER(get_probe_duration, "t", u->probe.took_ns / NSEC_PER_USEC)
VALUE_GETTER(get_oom_kills, "t", u->oom_kills)
VALUE_GETTER(get_attempts, "t", u->attempts)
VALUE_GETTER(get_attempt_failures, "t", u->attempt_failures)
VALUE_GETTER(get_exit_time, "t", wall_usec(unit_last_exit(u)->time_ns))
VALUE_GETTER(get_exit_time_monotonic, "t", unit_last_exit(u)->time_ns / NSEC_PER_USEC)
VALUE_GETTER(get_exit_pid, "u", (uint32_t)unit_last_exit(u)->pid)
VALUE_GETTER(get_exit_code, "i", unit_last_exit(u)->code)
VALUE_GETTER(get_exit_signal, "i", unit_last_exit(u)->signal)
VALUE_GETTER(get_exit_asked, "i", unit_last_exit(u)->asked_signal)
VALUE_GETTER(get_exit_own_limit, "b", unit_last_exit(u)->oom_own_limit)
VALUE_GETTER(get_exit_core, "b", unit_last_exit(u)->core_dumped)
VALUE_GETTER(get_exit_killer_pid, "u", (uint32_t)unit_last_exit(u)->killer_pid)
VALUE_GETTER(get_exit_killer_uid, "u", (uint32_t)unit_last_exit(u)->killer_uid)
VALUE_GETTER(get_exit_rss, "t", unit_last_exit(u)->peak_rss_bytes)
VALUE_GETTER(get_exit_lifetime, "t", unit_last_exit(u)->lifetime_ns / NSEC_PER_USEC)
VALUE_GETTER(get_process_exit_time, "t", wall_usec(u->last_death.time_ns))

static const char *check_word(int status)
{
	/* The plugin ABI's and the monitoring plugins' numbers. */
	static const char *const words[] = { "ok", "warning", "critical", "unknown" };

	if (status < 0)
		return ""; /* never ran */
	return (size_t)status < ARRAY_SIZE(words) ? words[status] : "unknown";
}

TEXT_GETTER(get_check_status, check_word(u->check.status))
TEXT_GETTER(get_probe_status, check_word(u->probe.status))

static const char *initiator_name(size_t i)
{
	return initiator_word((enum initiator)i);
}

static const char *outcome_name(size_t i)
{
	return outcome_word((enum outcome)i);
}

static const char *refusal_name(size_t i)
{
	return refusal_word((enum refusal)i);
}

static const char *verdict_name(size_t i)
{
	return verdict_word((enum verdict)i);
}

/* Counters by word, from the first-th on: the zeroth refusal and verdict mean "none". */
static int append_counters(sd_bus_message *reply, const uint64_t *counters, size_t first, size_t n,
	const char *(*name)(size_t i))
{
	int r;

	r = sd_bus_message_open_container(reply, 'a', "{st}");
	for (size_t i = first; r >= 0 && i < n; i++)
		r = sd_bus_message_append(reply, "{st}", name(i), counters[i]);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(get_restarts)
{
	const struct unit *u = userdata;

	return append_counters(reply, u->restarts, 0, INITIATOR_COUNT, initiator_name);
}

GETTER(get_exits)
{
	const struct unit *u = userdata;

	return append_counters(reply, u->exits, 0, OUTCOME_COUNT, outcome_name);
}

GETTER(get_refusals)
{
	const struct unit *u = userdata;

	return append_counters(reply, u->refusals, REFUSAL_NONE + 1, REFUSAL_COUNT, refusal_name);
}

GETTER(get_verdicts)
{
	const struct unit *u = userdata;

	return append_counters(reply, u->verdicts, VERDICT_NONE + 1, VERDICT_COUNT, verdict_name);
}

GETTER(get_sockets)
{
	const struct unit *u = userdata;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "s");
	for (size_t i = 0; r >= 0 && i < MIN(u->listening.n, (size_t)SOCKETS_MAX); i++) {
		const struct listening_socket *s = &u->listening.sockets[i];
		bool v6 = s->family == AF_INET6;
		char address[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + sizeof("tcp []:65535")];

		if (!inet_ntop(s->family, s->address, address, sizeof(address)))
			continue; /* a family that has no address to show */
		snprintf(text, sizeof(text), "%s %s%s%s:%u",
			s->protocol == IPPROTO_TCP ? "tcp" : "udp", v6 ? "[" : "", address,
			v6 ? "]" : "", s->port);
		r = sd_bus_message_append(reply, "s", text);
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(get_dependencies)
{
	const struct unit *u = userdata;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "s");
	for (size_t i = 0; r >= 0 && i < u->n_dependencies; i++)
		r = append_text(reply, u->dependencies[i]);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

#define ANNOUNCED SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST

const sd_bus_vtable api_unit_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Name", "s", get_name, 0, CONSTANT),
	SD_BUS_PROPERTY("Health", "s", get_health, 0, ANNOUNCED),
	SD_BUS_PROPERTY("HealthReason", "s", get_health_reason, 0, ANNOUNCED),
	SD_BUS_PROPERTY("SinceUSec", "t", get_since, 0, 0),
	SD_BUS_PROPERTY("HealMode", "s", get_heal_mode, 0, ANNOUNCED),
	SD_BUS_PROPERTY("HealingState", "s", get_heal_state, 0, ANNOUNCED),
	SD_BUS_PROPERTY("HealingSinceUSec", "t", get_healing_since, 0, 0),
	SD_BUS_PROPERTY("NextWakeUSec", "t", get_next_wake, 0, 0),
	SD_BUS_PROPERTY("Refusal", "s", get_refusal, 0, ANNOUNCED),
	SD_BUS_PROPERTY("Cause", "s", get_cause, 0, ANNOUNCED),
	SD_BUS_PROPERTY("Severity", "s", get_severity, 0, 0),
	SD_BUS_PROPERTY("Denied", "b", get_denied, 0, CONSTANT),
	SD_BUS_PROPERTY("BudgetRemaining", "u", get_budget, 0, 0),
	SD_BUS_PROPERTY("InvocationID", "s", get_invocation, 0, ANNOUNCED),
	SD_BUS_PROPERTY("ActiveState", "s", get_active_state, 0, 0),
	SD_BUS_PROPERTY("SubState", "s", get_sub_state, 0, 0),
	SD_BUS_PROPERTY("RestartPolicy", "s", get_restart_policy, 0, 0),
	SD_BUS_PROPERTY("ServiceType", "s", get_service_type, 0, 0),
	SD_BUS_PROPERTY("MainPID", "u", get_main_pid, 0, 0),
	SD_BUS_PROPERTY("IncidentID", "s", get_incident, 0, ANNOUNCED),
	SD_BUS_PROPERTY("IncidentOpen", "b", get_incident_open, 0, ANNOUNCED),
	SD_BUS_PROPERTY("LastExitTimeUSec", "t", get_exit_time, 0, 0),
	SD_BUS_PROPERTY("LastExitTimeMonotonicUSec", "t", get_exit_time_monotonic, 0, 0),
	SD_BUS_PROPERTY("LastExitPid", "u", get_exit_pid, 0, 0),
	SD_BUS_PROPERTY("LastExitComm", "s", get_exit_comm, 0, 0),
	SD_BUS_PROPERTY("LastExitOutcome", "s", get_exit_outcome, 0, 0),
	SD_BUS_PROPERTY("LastExitCode", "i", get_exit_code, 0, 0),
	SD_BUS_PROPERTY("LastExitSignal", "i", get_exit_signal, 0, 0),
	SD_BUS_PROPERTY("LastExitAskedSignal", "i", get_exit_asked, 0, 0),
	SD_BUS_PROPERTY("LastExitOOMOwnLimit", "b", get_exit_own_limit, 0, 0),
	SD_BUS_PROPERTY("LastExitCoreDumped", "b", get_exit_core, 0, 0),
	SD_BUS_PROPERTY("LastExitKiller", "s", get_exit_killer, 0, 0),
	SD_BUS_PROPERTY("LastExitKillerPid", "u", get_exit_killer_pid, 0, 0),
	SD_BUS_PROPERTY("LastExitKillerComm", "s", get_exit_killer_comm, 0, 0),
	SD_BUS_PROPERTY("LastExitKillerUID", "u", get_exit_killer_uid, 0, 0),
	SD_BUS_PROPERTY("LastExitKillerUnit", "s", get_exit_killer_unit, 0, 0),
	SD_BUS_PROPERTY("LastExitPeakRSS", "t", get_exit_rss, 0, 0),
	SD_BUS_PROPERTY("LastExitLifetimeUSec", "t", get_exit_lifetime, 0, 0),
	SD_BUS_PROPERTY("LastExitDescription", "s", get_exit_description, 0, 0),
	SD_BUS_PROPERTY("LastProcessExitTimeUSec", "t", get_process_exit_time, 0, 0),
	SD_BUS_PROPERTY("LastProcessExitDescription", "s", get_process_exit_description, 0, 0),
	SD_BUS_PROPERTY("NRestarts", "a{st}", get_restarts, 0, 0),
	SD_BUS_PROPERTY("Exits", "a{st}", get_exits, 0, 0),
	SD_BUS_PROPERTY("OOMKills", "t", get_oom_kills, 0, 0),
	SD_BUS_PROPERTY("Attempts", "t", get_attempts, 0, 0),
	SD_BUS_PROPERTY("AttemptFailures", "t", get_attempt_failures, 0, 0),
	SD_BUS_PROPERTY("Verdicts", "a{st}", get_verdicts, 0, 0),
	SD_BUS_PROPERTY("Refusals", "a{st}", get_refusals, 0, 0),
	SD_BUS_PROPERTY("Check", "s", get_check, 0, 0),
	SD_BUS_PROPERTY("CheckStatus", "s", get_check_status, 0, ANNOUNCED),
	SD_BUS_PROPERTY("CheckText", "s", get_check_text, 0, 0),
	SD_BUS_PROPERTY("CheckTimeUSec", "t", get_check_time, 0, 0),
	SD_BUS_PROPERTY("Probe", "s", get_probe, 0, 0),
	SD_BUS_PROPERTY("ProbeStatus", "s", get_probe_status, 0, ANNOUNCED),
	SD_BUS_PROPERTY("ProbeText", "s", get_probe_text, 0, 0),
	SD_BUS_PROPERTY("ProbeTimeUSec", "t", get_probe_time, 0, 0),
	SD_BUS_PROPERTY("ProbeDurationUSec", "t", get_probe_duration, 0, 0),
	SD_BUS_PROPERTY("HTTPMode", "s", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPVisibility", "s", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPRequests", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPErrors", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPRequestRate", "d", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPErrorRatio", "d", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPFirstByteP50USec", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPFirstByteP95USec", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPFirstByteP99USec", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPQueueP95USec", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPInFlight", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPUnread", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPOldestInFlightUSec", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPOutgoing", "t", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPIncomplete", "a{st}", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPUntracked", "a{st}", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPCodes", "a{st}", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPRoutes", "a{st}", api_get_http, 0, 0),
	SD_BUS_PROPERTY("HTTPRouteErrors", "a{st}", api_get_http, 0, 0),
	SD_BUS_PROPERTY("ListeningSockets", "as", get_sockets, 0, 0),
	SD_BUS_PROPERTY("Dependencies", "as", get_dependencies, 0, 0),
	SD_BUS_PROPERTY("Program", "s", get_program, 0, 0),
	SD_BUS_PROPERTY("ProgramChanged", "b", get_program_changed, 0, 0),
	SD_BUS_PROPERTY("ConfigError", "s", get_config_error, 0, ANNOUNCED),
	SD_BUS_VTABLE_END,
};
