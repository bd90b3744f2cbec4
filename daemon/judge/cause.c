/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding the cause; see cause.h. The order of the tests matters: intent first (a job explains a
 * death), then what systemd concluded, then what the kernel saw.
 */
#include "cause.h"
#include "../base/str.h"

#include <signal.h>
#include <wait.h>

/* Exit codes by which systemd says that it could not even execute the program; systemd.exec(5). */
#define SYSTEMD_EXIT_FIRST 200
#define SYSTEMD_EXIT_LAST 243

/* The death of the present main process, if the kernel has seen it. */
static const struct death *main_death(const struct unit *u)
{
	return unit_find_death(u, u->facts.exec_main_pid);
}

bool unit_is_up(const struct unit *u)
{
	const struct unit_facts *f = &u->facts;
	const struct death *d = main_death(u);

	if (f->active != ACTIVE_ACTIVE && f->active != ACTIVE_RELOADING)
		return false;
	/* PID 1 has not reaped it yet. A oneshot that remains after exit has no main process. */
	return !(d && f->main_pid == d->pid);
}

static bool is_fault(int signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
	       signal == SIGTRAP || signal == SIGSYS || signal == SIGABRT;
}

/* User-space OOM killers are processes like others: only their names tell. */
static bool is_oom_daemon(const char *comm)
{
	return str_eq(comm, "systemd-oomd") || str_eq(comm, "earlyoom") || str_eq(comm, "oomd");
}

enum cause cause_of_death(const struct death *d)
{
	if (d->killer == KILLER_OOM)
		return d->oom_own_limit ? CAUSE_OOM : CAUSE_OOM_HOST;
	if (d->killer == KILLER_PROCESS && is_oom_daemon(d->killer_comm))
		return CAUSE_OOM_HOST;
	if (d->asked_signal && d->killer == KILLER_PROCESS)
		return CAUSE_KILLED;
	if (!d->signal) {
		if (d->source == DEATH_FROM_KERNEL && d->parent_pid == 1 &&
			d->code >= SYSTEMD_EXIT_FIRST && d->code <= SYSTEMD_EXIT_LAST &&
			d->comm[0] == '(')
			return CAUSE_CANNOT_START; /* "(name)": systemd's child before its exec */
		return CAUSE_EXITED;
	}
	switch (d->killer) {
	case KILLER_SELF:
	case KILLER_KERNEL:
		return CAUSE_CRASHED;
	case KILLER_PROCESS:
	case KILLER_SYSTEMD:
		return CAUSE_KILLED;
	default:
		return is_fault(d->signal) ? CAUSE_CRASHED : CAUSE_KILLED;
	}
}

bool cause_death_from_facts(const struct unit_facts *f, struct death *ret)
{
	if (f->exec_main_code == 0)
		return false;
	*ret = (struct death) { .source = DEATH_FROM_SYSTEMD,
		.pid = f->exec_main_pid,
		.parent_pid = 1,
		.time_ns = f->read_ns,
		.seen_ns = f->read_ns };
	if (f->exec_main_code == CLD_EXITED)
		ret->code = f->exec_main_status;
	else {
		ret->signal = f->exec_main_status;
		ret->core_dumped = f->exec_main_code == CLD_DUMPED;
	}
	return true;
}

/* systemd's Result= where it says more than the process's status does. */
static enum cause cause_of_result(const char *result)
{
	if (str_eq(result, "timeout"))
		return CAUSE_START_TIMEOUT;
	if (str_eq(result, "watchdog"))
		return CAUSE_WATCHDOG;
	if (str_eq(result, "oom-kill"))
		return CAUSE_OOM;
	if (str_eq(result, "start-limit-hit") || str_eq(result, "resources") ||
		str_eq(result, "protocol") || str_eq(result, "exec-condition"))
		return CAUSE_CANNOT_START;
	return CAUSE_NONE;
}

static const char *text_of_result(enum cause cause)
{
	switch (cause) {
	case CAUSE_START_TIMEOUT:
		return "systemd gave up waiting for it (Result=timeout)";
	case CAUSE_WATCHDOG:
		return "it stopped transfers systemd's watchdog (Result=watchdog)";
	default:
		return NULL;
	}
}

static void fill_trouble(
	const struct unit *u, const struct death *d, const char *invocation, struct trouble *ret)
{
	enum cause by_result = cause_of_result(u->facts.result);
	const char *text = text_of_result(by_result);
	struct death told;

	*ret = (struct trouble) {
		.present = true, .time_ns = u->facts.read_ns, .detected_ns = u->facts.read_ns
	};
	str_copy(ret->invocation, sizeof(ret->invocation), invocation);
	if (!d && cause_death_from_facts(&u->facts, &told))
		d = &told;
	if (d) {
		ret->pid = d->pid;
		ret->cause = cause_of_death(d);
		ret->time_ns = d->time_ns;
		ret->detected_ns = d->seen_ns;
		ret->lived_ns = d->lifetime_ns;
		death_describe(d, ret->text, sizeof(ret->text));
		if (ret->cause == CAUSE_EXITED && *u->obstacle) {
			size_t n = strlen(ret->text);

			ret->cause = CAUSE_CANNOT_START;
			ret->obstacle_seen = true;
			snprintf(ret->text + n, sizeof(ret->text) - n, ": %s", u->obstacle);
		}
		if (d->killer == KILLER_PROCESS)
			snprintf(ret->killer_key, sizeof(ret->killer_key), "%s/%u", d->killer_comm,
				(unsigned int)d->killer_uid);
	} else {
		ret->cause = CAUSE_UNKNOWN;
		snprintf(ret->text, sizeof(ret->text), "%s (Result=%s)",
			active_state_word(u->facts.active), u->facts.result);
	}
	if (by_result == CAUSE_NONE || u->facts.active == ACTIVE_ACTIVE)
		return;
	/* Result is what systemd concluded; who died how stays as evidence. The OOM killer's own
	 * word is better. */
	if (ret->cause != CAUSE_OOM && ret->cause != CAUSE_OOM_HOST)
		ret->cause = by_result;
	if (text)
		str_copy(ret->text, sizeof(ret->text), text);
	else if (by_result == CAUSE_CANNOT_START)
		snprintf(ret->text, sizeof(ret->text), "it cannot start (Result=%s)",
			u->facts.result);
}

/* Somebody else's job for the unit is queued, or ended after this moment. */
static bool job_explains(const struct unit *u, uint64_t since_ns)
{
	const struct unit_facts *f = &u->facts;

	if (f->job)
		return true;
	return u->job.id && (u->job.ended_ns == 0 || u->job.ended_ns >= since_ns);
}

/* Dead, but PID 1 does not know yet: the kernel overtook it. */
static enum finding find_unreaped(const struct unit *u, const struct death *d, struct trouble *ret)
{
	if (job_explains(u, d->killer_time_ns ? d->killer_time_ns : d->time_ns))
		return FINDING_WAIT;
	/* What PID 1 will make of it is its own business where it restarts, or where the end is
	 * normal. */
	if (!str_eq(u->facts.restart, "no") || str_eq(u->facts.type, "oneshot"))
		return FINDING_WAIT;
	if (!d->signal && d->code == 0 && d->killer != KILLER_PROCESS)
		return FINDING_WAIT;
	/* PID 1 kills for timeouts and for systemctl kill: its Result tells which. */
	if (d->killer == KILLER_SYSTEMD)
		return FINDING_WAIT;
	fill_trouble(u, d, u->facts.invocation, ret);
	return FINDING_TROUBLE;
}

/* It is being started, or a job came or went since it was read: what it is now does not last. */
static bool is_changing(const struct unit *u)
{
	const struct unit_facts *f = &u->facts;

	if (f->job)
		return !str_eq(f->job_type, "stop");
	return u->job.id && (u->job.ended_ns == 0 || u->job.ended_ns > f->read_ns);
}

/* Longer than PID 1 needs to tell of a job's end, shorter than any useful life. */
#define JUST_STARTED_NS (5 * NSEC_PER_SEC)
/* A record that was read so late was waiting in the ring while nobody was there. */
#define LATE_RECORD_NS (50 * NSEC_PER_MSEC)

/*
 * Whether somebody stopped it, so that how it went down is only its way to go: many programs exit
 * with an error when they are told to end, and some have to be killed. A job that ended well around
 * the death may also have been the start of this very process. A job that is over quickly cannot be
 * asked what it was; then it was no start if the process was there before it came, or had lived
 * for long, or was signalled by PID 1, which does not do that to what it has just started.
 */
static bool was_stopped(const struct unit *u, const struct death *d)
{
	const struct foreign_job *j = &u->job;
	const struct unit_facts *f = &u->facts;
	uint64_t since = d ? d->killer_time_ns ? d->killer_time_ns : d->time_ns : 0;

	if (f->job)
		return str_eq(f->job_type, "stop");
	/* mendd was away, and has not heard of jobs: PID 1 signals what it was asked to stop. */
	if (d && !j->id && d->killer == KILLER_SYSTEMD &&
		d->seen_ns - d->time_ns > LATE_RECORD_NS &&
		cause_of_result(f->result) == CAUSE_NONE)
		return true;
	if (!d || !j->id || j->ended_ns < since || !str_eq(j->result, "done"))
		return false;
	if (*j->type)
		return str_eq(j->type, "stop");
	return j->former_pid == d->pid || d->killer == KILLER_SYSTEMD ||
	       d->lifetime_ns > JUST_STARTED_NS;
}

/* Down without a failure in systemd's eyes: a stop, a normal end, or a signal that counts as clean.
 */
static enum finding find_inactive(const struct unit *u, const struct death *d, struct trouble *ret)
{
	if (is_changing(u))
		return FINDING_WAIT;
	if (!d || d->killer != KILLER_PROCESS || !(d->signal || d->asked_signal))
		return FINDING_EXPLAINED;
	if (was_stopped(u, d))
		return FINDING_EXPLAINED;
	fill_trouble(u, d, u->facts.invocation, ret);
	return FINDING_TROUBLE;
}

static enum finding find_failed(const struct unit *u, const struct death *d, struct trouble *ret)
{
	const struct unit_facts *f = &u->facts;

	if (is_changing(u))
		return FINDING_WAIT;
	if (was_stopped(u, d))
		return FINDING_EXPLAINED;
	fill_trouble(u, d, f->invocation, ret);
	return FINDING_TROUBLE;
}

/* systemd restarted it between two readings: the former main process's death is the trouble. */
static enum finding find_overtaken(const struct unit *u, struct trouble *ret)
{
	const struct former *o = &u->former;
	const struct death *d;

	if (o->changed_ns == 0 || u->facts.n_restarts <= o->n_restarts)
		return FINDING_NONE;
	d = unit_find_death(u, o->exec_main_pid);
	if (!d || str_eq(u->heal.trouble.invocation, o->invocation))
		return FINDING_NONE;
	fill_trouble(u, d, o->invocation, ret);
	ret->by_systemd = true;
	return FINDING_TROUBLE;
}

enum finding cause_find(const struct unit *u, struct trouble *ret)
{
	const struct unit_facts *f = &u->facts;
	const struct death *d = main_death(u);

	if (f->read_ns == 0)
		return FINDING_WAIT;
	switch (f->active) {
	case ACTIVE_ACTIVE:
	case ACTIVE_RELOADING:
		if (!unit_is_up(u))
			return find_unreaped(u, d, ret);
		return find_overtaken(u, ret);
	case ACTIVE_ACTIVATING:
		if (!str_after_prefix(f->sub_state, "auto-restart"))
			return FINDING_WAIT;
		fill_trouble(u, d, f->invocation, ret);
		ret->by_systemd = true;
		return FINDING_TROUBLE;
	case ACTIVE_FAILED:
		return find_failed(u, d, ret);
	case ACTIVE_INACTIVE:
		return find_inactive(u, d, ret);
	default:
		return FINDING_WAIT;
	}
}
