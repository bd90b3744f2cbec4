/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vocabulary: every enumeration that people meet, with the one spelling that the journal,
 * D-Bus, the metrics and the command line share. A word is added here and nowhere else.
 */
#pragma once

#include "../base/macros.h"

/* Whether a unit does its job, as far as mendd can tell. */
enum health {
	HEALTH_UNKNOWN, /* not observed yet, or could not be observed; never leads to an action */
	HEALTH_HEALTHY,
	HEALTH_UNHEALTHY,
	HEALTH_INACTIVE, /* not running, and nobody expects it to */
	HEALTH_COUNT,
};

/* Why a unit is not well. The ladders of actions hang on it. */
enum cause {
	CAUSE_NONE,
	CAUSE_EXITED,        /* main process exited with an error code */
	CAUSE_KILLED,        /* killed by a signal that another process sent */
	CAUSE_CRASHED,       /* SEGV, BUS, ILL, FPE, ABRT … by its own doing */
	CAUSE_OOM,           /* OOM killer, limit of its own cgroup */
	CAUSE_OOM_HOST,      /* OOM killer for the whole host or an outer cgroup */
	CAUSE_CANNOT_START,  /* the start failed: 203/EXEC, address in use, missing file, … */
	CAUSE_START_TIMEOUT, /* systemd gave up waiting for it to become ready */
	CAUSE_WATCHDOG,      /* systemd's watchdog: it stopped answering */
	CAUSE_CHECK,         /* a check says critical */
	CAUSE_HANG,          /* requests come, and none is answered */
	CAUSE_PROBE,         /* it does not answer when it is asked from outside */
	CAUSE_HTTP_ERRORS,   /* it answers with 5xx */
	CAUSE_SLOW,          /* it answers, too late */
	CAUSE_OVERLOAD,      /* one of these while the host itself is short of something */
	CAUSE_FROZEN,        /* frozen, stopped or traced */
	CAUSE_REQUESTED,     /* nothing is wrong: a person asked for a restart */
	CAUSE_UNKNOWN,       /* it is down and nobody saw why */
	CAUSE_COUNT,
};

/* Who or what ended a process, where a signal did. */
enum killer {
	KILLER_NONE,    /* no signal, or nothing is known of it */
	KILLER_PROCESS, /* another process: pid, comm, uid, unit are known */
	KILLER_SELF,    /* the process itself (abort(), raise()) */
	KILLER_SYSTEMD, /* PID 1, on somebody's behalf or for a timeout */
	KILLER_KERNEL,  /* a fault, a broken pipe, a limit … */
	KILLER_OOM,     /* the kernel's OOM killer */
	KILLER_COUNT,
};

/* How a process ended; label `outcome` of mendd_process_exits_total. */
enum outcome {
	OUTCOME_EXITED_OK,
	OUTCOME_EXITED_ERROR,
	OUTCOME_SIGNALED,
	OUTCOME_DUMPED,
	OUTCOME_OOM_KILLED,
	OUTCOME_COUNT,
};

/* Who made a restart happen; label `initiator` of mendd_unit_restarts_total. */
enum initiator {
	INITIATOR_MENDD,
	INITIATOR_SYSTEMD, /* Restart= */
	INITIATOR_OTHER,   /* an operator, a dependency, a timer */
	INITIATOR_COUNT,
};

enum heal_mode {
	HEAL_OFF,     /* watched and counted, no incident */
	HEAL_OBSERVE, /* everything but the action */
	HEAL_RESTART,
	HEAL_MODE_COUNT,
};

/* Whether a unit's HTTP is measured. */
enum http_mode {
	HTTP_MODE_AUTO, /* where it turns out to be HTTP */
	HTTP_MODE_YES,  /* and it is a finding where it is not */
	HTTP_MODE_NO,
	HTTP_MODE_COUNT,
};

/* Where a unit stands in the healing state machine. */
enum heal_state {
	HEAL_STATE_IDLE,
	HEAL_STATE_CONFIRM,   /* a level is bad, not for long enough yet */
	HEAL_STATE_GATE,      /* interlocks are being asked */
	HEAL_STATE_HOLD,      /* an interlock said no; asked again at every change */
	HEAL_STATE_BACKOFF,   /* the next attempt has its time */
	HEAL_STATE_ACT,       /* an action is under way */
	HEAL_STATE_VERIFY,    /* the action is done; does it help? */
	HEAL_STATE_PROBATION, /* verified; a relapse re-opens the incident */
	HEAL_STATE_EXHAUSTED, /* the budget is gone: a human, and slow retries */
	HEAL_STATE_COUNT,
};

enum action {
	ACTION_NONE,
	ACTION_RESTART,
	ACTION_COUNT,
};

enum verdict {
	VERDICT_NONE, /* not decided yet */
	VERDICT_FIXED,
	VERDICT_FIXED_WEAK, /* up, but neither traffic nor a check could prove it */
	VERDICT_NOT_FIXED,
	VERDICT_WORSE,
	VERDICT_INCONCLUSIVE,
	VERDICT_COUNT,
};

/* Why GATE said no. Stable identifiers: label `reason` of mendd_heal_refusals_total. In order. */
enum refusal {
	REFUSAL_NONE,
	REFUSAL_STOPPED_BY_ADMIN, /* a stop job or a clean end by systemd explains it */
	REFUSAL_MASKED,           /* masked, or its unit file is gone */
	REFUSAL_PENDING_JOB,      /* an operator's or systemd's job for it is queued */
	REFUSAL_SYSTEMD_RESTARTS, /* Restart= is already at work */
	REFUSAL_DENY_LIST,        /* never touched: systemd-*, dbus, sshd, mendd itself … */
	REFUSAL_FROZEN,           /* frozen, stopped or traced: somebody is looking at it */
	REFUSAL_PAUSED,           /* mendctl pause, or the kill-switch file */
	REFUSAL_GRACE,            /* level: it, or the host, was started or woke up just now */
	REFUSAL_OBSTACLE,         /* cannot start: nothing changed since it last could not */
	REFUSAL_SAME_KILLER,      /* the same sender killed it again: do not fight an operator */
	REFUSAL_DEPENDENCY_DOWN,  /* what it requires has an open incident */
	REFUSAL_HOST_PRESSURE,    /* level: the host is short of processor, memory or disk */
	REFUSAL_CORRELATED,       /* many units at once: one common factor, not many causes */
	REFUSAL_NOTIFY_ONLY,      /* slow, and HTTPLatencyHeal=no: people are told, no more */
	REFUSAL_NOT_HELPED,       /* a restart for the same reason did not help, or not for long */
	REFUSAL_CONCURRENCY,      /* two actions are already under way on this host */
	REFUSAL_BUDGET,           /* restarts used up */
	REFUSAL_STALE,            /* records were lost and systemd could not be asked */
	REFUSAL_OBSERVE_ONLY,     /* Heal=observe: would act */
	REFUSAL_COUNT,
};

enum severity {
	SEVERITY_INFO,
	SEVERITY_WARNING,
	SEVERITY_CRITICAL,
	SEVERITY_COUNT,
};

/*
 * What an alert is about. Those of units stand in the order of their weight: the first one that
 * fires is what is acted upon. All but RULE_UNIT_DOWN are levels: sampled, not announced.
 */
enum rule {
	RULE_UNIT_DOWN, /* dead, or could not start: the incident itself is the alert */
	RULE_HTTP_HANG,
	RULE_PROBE,
	RULE_HTTP_ERRORS,
	RULE_HTTP_LATENCY,
	RULE_CHECK,      /* told, and never acted upon: a check may ask for anything */
	RULE_UNIT_COUNT, /* what follows is of the host */
	RULE_HOST_PRESSURE = RULE_UNIT_COUNT,
	RULE_CORRELATED,
	RULE_CONFIG, /* the configuration has a mistake; holds nothing */
	RULE_COUNT,
};

/* State of an alert, in Prometheus' words. */
enum alert_state {
	ALERT_INACTIVE,
	ALERT_PENDING,
	ALERT_FIRING,
	ALERT_RESOLVED,
	ALERT_STATE_COUNT,
};

/* The word for a value; never NULL ("unknown" for a value out of range). Lower case, '-' between
 * words. */
const char *health_word(enum health v);
const char *cause_word(enum cause v);
const char *killer_word(enum killer v);
const char *outcome_word(enum outcome v); /* with '_', as a metric label */
const char *initiator_word(enum initiator v);
const char *http_mode_word(enum http_mode v);
const char *heal_mode_word(enum heal_mode v);
const char *heal_state_word(enum heal_state v);
const char *action_word(enum action v);
const char *verdict_word(enum verdict v);
const char *refusal_word(enum refusal v);
const char *refusal_text(
	enum refusal v); /* a half sentence for people: "an operator's job is queued" */
const char *severity_word(enum severity v);
const char *alert_state_word(enum alert_state v);
const char *rule_word(enum rule v);

/* The value for a word, or -EINVAL. */
int http_mode_parse(const char *s);
int heal_mode_parse(const char *s);
int severity_parse(const char *s);
/* For reading stored records back; -EINVAL for a word of a newer version. */
int cause_parse(const char *s);
int verdict_parse(const char *s);
int initiator_parse(const char *s);
