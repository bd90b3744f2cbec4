/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one spelling of every word; see words.h. */
#include "words.h"
#include "../base/str.h"

static const char *const health_words[HEALTH_COUNT] = {
	[HEALTH_UNKNOWN] = "unknown",
	[HEALTH_HEALTHY] = "healthy",
	[HEALTH_UNHEALTHY] = "unhealthy",
	[HEALTH_INACTIVE] = "inactive",
};

static const char *const cause_words[CAUSE_COUNT] = {
	[CAUSE_NONE] = "none",
	[CAUSE_EXITED] = "exited",
	[CAUSE_KILLED] = "killed",
	[CAUSE_CRASHED] = "crashed",
	[CAUSE_OOM] = "oom",
	[CAUSE_OOM_HOST] = "oom-host",
	[CAUSE_CANNOT_START] = "cannot-start",
	[CAUSE_START_TIMEOUT] = "start-timeout",
	[CAUSE_WATCHDOG] = "watchdog",
	[CAUSE_CHECK] = "check",
	[CAUSE_HANG] = "hang",
	[CAUSE_PROBE] = "probe",
	[CAUSE_HTTP_ERRORS] = "http-errors",
	[CAUSE_SLOW] = "slow",
	[CAUSE_OVERLOAD] = "overload",
	[CAUSE_FROZEN] = "frozen",
	[CAUSE_REQUESTED] = "requested",
	[CAUSE_UNKNOWN] = "unknown",
};

static const char *const killer_words[KILLER_COUNT] = {
	[KILLER_NONE] = "none",
	[KILLER_PROCESS] = "process",
	[KILLER_SELF] = "itself",
	[KILLER_SYSTEMD] = "systemd",
	[KILLER_KERNEL] = "kernel",
	[KILLER_OOM] = "oom-killer",
};

static const char *const outcome_words[OUTCOME_COUNT] = {
	[OUTCOME_EXITED_OK] = "exited_ok",
	[OUTCOME_EXITED_ERROR] = "exited_error",
	[OUTCOME_SIGNALED] = "signaled",
	[OUTCOME_DUMPED] = "dumped",
	[OUTCOME_OOM_KILLED] = "oom_killed",
};

static const char *const initiator_words[INITIATOR_COUNT] = {
	[INITIATOR_MENDD] = "mendd",
	[INITIATOR_SYSTEMD] = "systemd",
	[INITIATOR_OTHER] = "other",
};

static const char *const heal_mode_words[HEAL_MODE_COUNT] = {
	[HEAL_OFF] = "off",
	[HEAL_OBSERVE] = "observe",
	[HEAL_RESTART] = "restart",
};

static const char *const http_mode_words[HTTP_MODE_COUNT] = {
	[HTTP_MODE_AUTO] = "auto",
	[HTTP_MODE_YES] = "yes",
	[HTTP_MODE_NO] = "no",
};

static const char *const heal_state_words[HEAL_STATE_COUNT] = {
	[HEAL_STATE_IDLE] = "idle",
	[HEAL_STATE_CONFIRM] = "confirm",
	[HEAL_STATE_GATE] = "gate",
	[HEAL_STATE_HOLD] = "hold",
	[HEAL_STATE_BACKOFF] = "backoff",
	[HEAL_STATE_ACT] = "act",
	[HEAL_STATE_VERIFY] = "verify",
	[HEAL_STATE_PROBATION] = "probation",
	[HEAL_STATE_EXHAUSTED] = "exhausted",
};

static const char *const action_words[ACTION_COUNT] = {
	[ACTION_NONE] = "none",
	[ACTION_RESTART] = "restart",
};

static const char *const verdict_words[VERDICT_COUNT] = {
	[VERDICT_NONE] = "none",
	[VERDICT_FIXED] = "fixed",
	[VERDICT_FIXED_WEAK] = "fixed-weak",
	[VERDICT_NOT_FIXED] = "not-fixed",
	[VERDICT_WORSE] = "worse",
	[VERDICT_INCONCLUSIVE] = "inconclusive",
};

static const struct {
	const char *word, *text;
} refusals[REFUSAL_COUNT] = {
	[REFUSAL_NONE] = { "none", "nothing stands against it" },
	[REFUSAL_STOPPED_BY_ADMIN] = { "stopped-by-admin", "its administrator stopped it" },
	[REFUSAL_MASKED] = { "masked", "it is masked or its unit file is gone" },
	[REFUSAL_PENDING_JOB] = { "pending-job", "another job for it is queued in systemd" },
	[REFUSAL_SYSTEMD_RESTARTS] = { "systemd-restarts",
		"systemd restarts it itself (Restart=)" },
	[REFUSAL_DENY_LIST] = { "deny-list", "the host depends on it; it is never touched" },
	[REFUSAL_FROZEN] = { "frozen", "it is frozen, stopped or traced" },
	[REFUSAL_PAUSED] = { "paused", "healing is paused" },
	[REFUSAL_GRACE] = { "grace", "it, or the host, was started or woke up just now" },
	[REFUSAL_OBSTACLE] = { "obstacle", "it cannot start and nothing has changed since" },
	[REFUSAL_SAME_KILLER] = { "same-killer", "the same sender killed it again" },
	[REFUSAL_DEPENDENCY_DOWN] = { "dependency-down", "a unit that it requires is down" },
	[REFUSAL_HOST_PRESSURE] = { "host-pressure", "the host itself is overloaded" },
	[REFUSAL_CORRELATED] = { "correlated", "many units went bad at once" },
	[REFUSAL_NOTIFY_ONLY] = { "notify-only",
		"slowness alone does not restart it (HTTPLatencyHeal=no)" },
	[REFUSAL_NOT_HELPED] = { "not-helped",
		"a restart did not help against this before, or not for long" },
	[REFUSAL_CONCURRENCY] = { "concurrency", "two actions are already under way" },
	[REFUSAL_BUDGET] = { "budget", "its restart budget is used up" },
	[REFUSAL_STALE] = { "stale", "records were lost and systemd has not answered yet" },
	[REFUSAL_OBSERVE_ONLY] = { "observe-only", "healing is not enabled for it (Heal=restart)" },
};

static const char *const severity_words[SEVERITY_COUNT] = {
	[SEVERITY_INFO] = "info",
	[SEVERITY_WARNING] = "warning",
	[SEVERITY_CRITICAL] = "critical",
};

static const char *const alert_state_words[ALERT_STATE_COUNT] = {
	[ALERT_INACTIVE] = "inactive",
	[ALERT_PENDING] = "pending",
	[ALERT_FIRING] = "firing",
	[ALERT_RESOLVED] = "resolved",
};

static const char *const rule_words[RULE_COUNT] = {
	[RULE_UNIT_DOWN] = "unit-down",
	[RULE_HTTP_HANG] = "http-hang",
	[RULE_PROBE] = "probe",
	[RULE_HTTP_ERRORS] = "http-errors",
	[RULE_HTTP_LATENCY] = "http-latency",
	[RULE_CHECK] = "check",
	[RULE_HOST_PRESSURE] = "host-pressure",
	[RULE_CORRELATED] = "correlated",
	[RULE_CONFIG] = "mendd-config",
};

static const char *word(const char *const *words, size_t n, unsigned int v)
{
	return v < n ? words[v] : "unknown";
}

static int parse(const char *const *words, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(words[i], s))
			return (int)i;
	return -EINVAL;
}

#define DEFINE_WORD(name)                                                             \
	const char *name##_word(enum name v)                                          \
	{                                                                             \
		return word(name##_words, ARRAY_SIZE(name##_words), (unsigned int)v); \
	}
#define DEFINE_PARSE(name)                                               \
	int name##_parse(const char *s)                                  \
	{                                                                \
		return parse(name##_words, ARRAY_SIZE(name##_words), s); \
	}

DEFINE_WORD(health)
DEFINE_WORD(cause)
DEFINE_WORD(killer)
DEFINE_WORD(outcome)
DEFINE_WORD(initiator)
DEFINE_WORD(heal_mode)
DEFINE_WORD(http_mode)
DEFINE_WORD(heal_state)
DEFINE_WORD(action)
DEFINE_WORD(verdict)
DEFINE_WORD(severity)
DEFINE_WORD(alert_state)
DEFINE_WORD(rule)
DEFINE_PARSE(heal_mode)
DEFINE_PARSE(http_mode)
DEFINE_PARSE(severity)
DEFINE_PARSE(cause)
DEFINE_PARSE(verdict)
DEFINE_PARSE(initiator)

const char *refusal_word(enum refusal v)
{
	return (unsigned int)v < REFUSAL_COUNT ? refusals[v].word : "unknown";
}

const char *refusal_text(enum refusal v)
{
	return (unsigned int)v < REFUSAL_COUNT ? refusals[v].text : "for an unknown reason";
}
