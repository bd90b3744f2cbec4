/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a process ended, in words; see death.h. Pure. */
#include "death.h"
#include "../base/str.h"

#include <signal.h>

enum outcome death_outcome(const struct death *d)
{
	if (d->killer == KILLER_OOM)
		return OUTCOME_OOM_KILLED;
	if (d->signal)
		return d->core_dumped ? OUTCOME_DUMPED : OUTCOME_SIGNALED;
	return d->code ? OUTCOME_EXITED_ERROR : OUTCOME_EXITED_OK;
}

const char *signal_name(int signal)
{
	static char other[32]; /* one thread, and used at once */
	const char *abbreviation = signal > 0 ? sigabbrev_np(signal) : NULL;

	if (abbreviation)
		snprintf(other, sizeof(other), "SIG%s", abbreviation);
	else
		snprintf(other, sizeof(other), "signal %d", signal);
	return other;
}

/* systemd's own exit codes for "could not even execute it"; systemd.exec(5), "Process Exit Codes".
 */
static const char *systemd_exit_name(int code)
{
	switch (code) {
	case 200:
		return "CHDIR";
	case 202:
		return "FDS";
	case 203:
		return "EXEC";
	case 208:
		return "STDIN";
	case 209:
		return "STDOUT";
	case 216:
		return "GROUP";
	case 217:
		return "USER";
	case 226:
		return "NAMESPACE";
	default:
		return NULL;
	}
}

static void describe_killer(const struct death *d, char *ret, size_t size)
{
	switch (d->killer) {
	case KILLER_PROCESS:
		snprintf(ret, size, " from %s[%d] (uid %u%s%s)",
			*d->killer_comm ? d->killer_comm : "?", (int)d->killer_pid,
			(unsigned int)d->killer_uid, *d->killer_unit ? ", " : "", d->killer_unit);
		break;
	case KILLER_SELF:
		snprintf(ret, size, " by itself");
		break;
	case KILLER_SYSTEMD:
		snprintf(ret, size, " from systemd");
		break;
	case KILLER_KERNEL:
		snprintf(ret, size, " by the kernel");
		break;
	case KILLER_OOM:
		snprintf(ret, size, "%s the kernel's OOM killer%s",
			d->signal == SIGKILL ? " by" : ", chosen by",
			d->oom_own_limit ? " for the unit's own memory limit" : "");
		break;
	default:
		snprintf(ret, size, ", sender not known");
		break;
	}
}

/* Signals that the kernel sends for a fault of the process itself. */
static bool is_fault(int signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
	       signal == SIGTRAP || signal == SIGSYS;
}

void death_describe(const struct death *d, char *ret, size_t size)
{
	char by[128];
	const char *name;

	if (d->signal && d->killer == KILLER_KERNEL && is_fault(d->signal)) {
		snprintf(ret, size, "crashed with %s%s", signal_name(d->signal),
			d->core_dumped ? ", core dumped" : "");
		return;
	}
	if (d->signal) {
		describe_killer(d, by, sizeof(by));
		snprintf(ret, size, "killed by %s%s%s", signal_name(d->signal), by,
			d->core_dumped ? ", core dumped" : "");
		return;
	}
	name = systemd_exit_name(d->code);
	if (d->asked_signal) {
		describe_killer(d, by, sizeof(by));
		snprintf(ret, size, "exited with code %d after %s%s", d->code,
			signal_name(d->asked_signal), by);
	} else if (name && d->parent_pid <= 1)
		snprintf(ret, size, "could not be executed: exit code %d/%s", d->code, name);
	else
		snprintf(ret, size, "exited with code %d", d->code);
}
