/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the healing state machine remembers of one unit. It is judged in daemon/judge/policy.h,
 * which alone changes it; everyone else reads.
 */
#pragma once

#include "words.h"
#include "death.h"

enum {
	RESTART_LOG_MAX =
		64 /* restarts remembered for the budgets: above the largest count allowed */
};

/* Why the unit needs healing: one observation, with its diagnosis. */
struct trouble {
	bool present;
	enum cause cause;
	enum rule rule;       /* RULE_UNIT_DOWN: it happened; all others: a level, the unit is up */
	uint64_t time_ns;     /* when it happened in the kernel */
	uint64_t detected_ns; /* when mendd knew */
	pid_t pid;            /* of the main process that ended; 0: not known */
	uint64_t lived_ns;    /* how long the main process had run; 0: not known */
	bool obstacle_seen; /* unit.obstacle says what is in its way: once that is empty, try again
			     */
	bool by_systemd;    /* Restart= is at work or was: mendd only verifies */
	char invocation[INVOCATION_SIZE]; /* that went bad */
	char text[256]; /* "killed by SIGKILL from bash[4711] (uid 1000, session-3.scope)" */
	char killer_key[COMM_SIZE + 16]; /* "comm/uid" of a sender, to know it again; "" none */
};

enum job_result {
	JOB_NOT_SENT,
	JOB_STORING, /* evidence is on its way to the store */
	JOB_SENT,    /* RestartUnit called, no answer yet */
	JOB_QUEUED,  /* PID 1 answered with a job */
	JOB_DONE,
	JOB_FAILED,   /* start failed */
	JOB_CANCELED, /* somebody else's job won */
	JOB_REFUSED,  /* PID 1 said no; see attempt.error */
	JOB_TIMEOUT,
	JOB_UNKNOWN, /* the daemon was restarted in between: PID 1 knows whether it was sent */
};

struct attempt {
	uint32_t number; /* 1 is the first of the incident; 0: none yet */
	enum action action;
	enum initiator initiator;
	enum job_result job;
	char error[128]; /* D-Bus error name and text, "" none */
	char old_invocation[INVOCATION_SIZE];
	char new_invocation[INVOCATION_SIZE];
	uint64_t decided_ns, sent_ns, done_ns, up_ns, verified_ns;
	enum verdict verdict;
	bool manual; /* asked for by mendctl restart */
};

struct heal {
	enum heal_state state;
	uint64_t since_ns;
	uint64_t wake_ns;      /* the machine wants to be asked again then; TIME_INFINITY: only at a
				  change */
	enum refusal refusal;  /* why it holds; NONE otherwise */
	uint32_t backoff_step; /* 0: at once; n: first * 2^(n-1) */
	uint64_t verified_since_ns; /* health verified without a break since; 0: not */
	struct trouble trouble;
	struct attempt attempt; /* the present or last one */
	bool ever_verified;
	/* Times of restarts, whoever made them; a ring, newest at (n_restarts - 1) % MAX. */
	uint64_t restart_ns[RESTART_LOG_MAX];
	uint64_t n_restarts;
	/* The last sender that killed it, for "do not fight an operator". */
	char last_killer_key[COMM_SIZE + 16];
	uint64_t last_killer_ns;
	/* Restarts for errors and slowness, which get one each: in this incident, and the last one.
	 */
	bool level_tried;
	uint64_t level_restart_ns;
	bool restart_asked; /* mendctl restart: one attempt that skips budget and observe-only */
};
