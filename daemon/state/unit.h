/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A watched unit: everything that mendd remembers of it. The name is the identity; cgroup ids and
 * pids come and go. Owned by the unit table of struct world; everyone else borrows.
 */
#pragma once

#include "alert.h"
#include "death.h"
#include "heal.h"
#include "http.h"
#include "settings.h"

#include "../base/hash.h"

enum {
	DEATHS_RECENT = 8,    /* deaths of PID 1's own children that are remembered */
	SOCKETS_MAX = 16,     /* listening sockets remembered per unit */
	DEPENDENCIES_MAX = 32 /* Requires= and BindsTo= looked at per unit */
};

enum active_state {
	ACTIVE_UNKNOWN,
	ACTIVE_ACTIVE,
	ACTIVE_RELOADING,
	ACTIVE_INACTIVE,
	ACTIVE_FAILED,
	ACTIVE_ACTIVATING,
	ACTIVE_DEACTIVATING,
};

enum active_state active_state_parse(const char *s);
const char *active_state_word(enum active_state v);

/* What PID 1 said last, and when. Written by the PID 1 client only. */
struct unit_facts {
	uint64_t read_ns; /* when; 0: never */
	enum active_state active;
	char sub_state[32];  /* "running", "dead", "auto-restart", … */
	char load_state[16]; /* "loaded", "masked", "not-found", … */
	char invocation[INVOCATION_SIZE];
	char result[32];            /* "success", "exit-code", "signal", "start-limit-hit", … */
	char restart[16];           /* Restart= */
	char type[16];              /* Type= */
	char freezer_state[16];     /* "running", "frozen", …; "" on systemd without it */
	pid_t main_pid;             /* 0: none now */
	pid_t exec_main_pid;        /* the last main process, also after its end */
	int exec_main_code;         /* CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: has not ended */
	int exec_main_status;       /* exit code or signal */
	uint32_t n_restarts;        /* by Restart= */
	uint32_t job;               /* queued job, 0: none */
	char job_type[16];          /* "start", "stop", "restart" …; "" none or not known */
	uint64_t active_enter_usec; /* CLOCK_MONOTONIC */
	uint64_t start_timeout_ns;
	uint32_t start_limit_burst;
	uint64_t start_limit_interval_ns;
	bool remain_after_exit;
	char cgroup[512]; /* path below the cgroup root, "" while it has none */
};

/* A listening socket that the unit is known to own. */
struct listening_socket {
	uint8_t family;   /* AF_INET, AF_INET6 */
	uint8_t protocol; /* IPPROTO_TCP */
	uint16_t port;    /* host order */
	uint8_t address[16];
};

struct socket_set {
	uint64_t read_ns; /* 0: never looked */
	size_t n;
	struct listening_socket sockets[SOCKETS_MAX];
};

/*
 * The last job for the unit that was not mendd's own: what an operator, a dependency or a timer
 * asked systemd for. It explains why a unit is down.
 */
struct foreign_job {
	uint32_t id; /* 0: none seen yet */
	uint64_t seen_ns;
	pid_t former_pid;  /* the main process that PID 1 had named before the job came: no job is
			      the start of that one; 0: not known */
	uint64_t ended_ns; /* 0: still queued */
	char result[16];   /* "done", "failed", "canceled", …; "" while queued */
	char type[16]; /* "start", "stop", …; "" where it was over before it could be asked for */
};

/* The main process and invocation before the present ones. */
struct former {
	pid_t exec_main_pid;
	uint32_t n_restarts;
	uint64_t changed_ns; /* when the change was noticed; 0: there was none */
	char invocation[INVOCATION_SIZE];
};

/* Last program that was executed as the unit's main or control process. */
struct program {
	char path[256]; /* "" unknown; cut where longer */
	uint64_t device, inode;
	uint64_t mtime_ns;
	bool changed; /* differs from the one before */
	uint64_t time_ns;
};

/* Result of the unit's check, as its plugin or executable gave it. */
struct check_state {
	int status;      /* MEND_OK, MEND_WARNING, MEND_CRITICAL, MEND_UNKNOWN; -1: never ran */
	uint32_t in_row; /* same status this many times */
	uint64_t time_ns;
	char text[256];
};

/* Result of the unit's probe. What cannot be asked (no route, no memory) is no result at all. */
struct probe_state {
	int status;      /* MEND_OK, MEND_CRITICAL, MEND_UNKNOWN; -1: never ran */
	uint32_t in_row; /* same status this many times */
	uint64_t time_ns;
	uint64_t took_ns;
	char text[128]; /* "HTTP 503 after 3 ms", "connection refused" */
};

struct unit {
	char *name;     /* owned */
	char **aliases; /* owned, NULL-terminated: its other names; NULL: none, or not read yet */
	struct unit_settings settings;
	struct unit_rule *own_rule; /* owned; its [X-Mendd], as last read; NULL: it has none */
	struct unit_facts facts;
	uint64_t cgroup_id; /* of the present cgroup, 0: none */

	enum health health;
	char health_reason[256];

	/* Counters: only ever grow, exported as they are. */
	uint64_t exits[OUTCOME_COUNT]; /* process deaths, also of helpers */
	uint64_t restarts[INITIATOR_COUNT];
	uint64_t oom_kills;
	uint64_t refusals[REFUSAL_COUNT];
	uint64_t attempts;
	uint64_t attempt_failures;
	uint64_t verdicts[VERDICT_COUNT];

	struct death last_death; /* of any process; time_ns 0: none yet */
	/*
	 * Of PID 1's own children (main and control processes); owned: a ring of DEATHS_RECENT,
	 * newest at (n - 1) % size. NULL before the first: most units never die.
	 */
	struct death *deaths;
	uint64_t n_deaths;
	struct foreign_job job;
	struct former former;
	struct program program;
	struct socket_set listening;     /* while last seen well */
	struct socket_set listening_now; /* as last read; compared with the former */
	char obstacle[128]; /* what stands in the way of its start, seen when it last exited with an
			     * error: "127.0.0.1:80 is in use by other.service"; "" nothing seen */
	struct check_state check;
	struct probe_state probe;
	struct http_state *http; /* owned; NULL: its HTTP is not measured */
	struct levels *levels;   /* owned; NULL: nothing was sampled yet */
	bool stopped; /* a process of it is stopped by a signal or traced; looked at while one of
			 its alerts is active */

	struct heal heal;
	struct incident *incident; /* owned; open, or closed and in probation; NULL: none */
	char **dependencies;       /* owned; Requires= and BindsTo=, at most DEPENDENCIES_MAX */
	size_t n_dependencies;

	void *edge; /* borrowed: the manager's own per-unit data */
};

/* The new unit, or NULL for lack of memory. */
struct unit *unit_new(const char *name);
struct unit *unit_free(struct unit *u);

/* Takes over a NULL-terminated list of all its names (NULL: none); the list is then the unit's. */
void unit_take_names(struct unit *u, char **names);

/* Counts the death and remembers it. */
void unit_note_death(struct unit *u, const struct death *d);

/* Remembers the death of a main or control process for the judges. */
void unit_remember_death(struct unit *u, const struct death *d);

/* The remembered death of this process; NULL: none. Borrowed. */
const struct death *unit_find_death(const struct unit *u, pid_t pid);

/* Its levels, made at the first use; NULL for lack of memory. */
struct levels *unit_levels(struct unit *u);
/* The state of one of its alerts; inactive where nothing was sampled yet. */
enum alert_state unit_alert_state(const struct unit *u, enum rule r);

/* true for a name that ends in .service and is of systemd's characters and length. */
bool unit_name_is_service(const char *name);
