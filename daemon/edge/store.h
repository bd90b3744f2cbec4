/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What outlives the daemon: incidents, attempts, what the budgets need, and a pause. SQLite behind
 * one worker thread and a bounded queue; the loop never waits for a disk.
 *
 * A write is turned into a value on the loop, put into the queue, and acknowledged on the loop once
 * it is committed to the write-ahead log. Then it survives the daemon (kill -9), because it is in
 * the page cache; it survives the host a checkpoint later. synchronous=NORMAL: a commit calls no
 * fsync, and after a power cut the database is whole and lacks at most the newest entries. That is
 * the right trade here: evidence is wanted before an action within a millisecond, and a host that
 * lost power has no services left to heal from that moment. Checkpoints, which do fsync, are made
 * by a second thread on a connection of its own, so that no acknowledgement waits for one.
 *
 * Reading (history, for people) goes through the worker too, and the loop waits for it, but for
 * QUERY_MAX_NS at most whatever the disk does. A read-only connection on the loop was the
 * alternative: it would have bounded the work, not the wait for a disk that hangs. After a query
 * that took too long further ones are refused at once until the worker is back.
 *
 * While the database cannot be written (full, read-only, gone), writes are acknowledged with the
 * error at once and kept, up to the cap, and tried again with growing pauses. A damaged database is
 * moved aside and a new one begun. One of a newer version of mendd is left alone.
 */
#pragma once

#include "../base/str.h"
#include "../state/world.h"

#include <systemd/sd-event.h>

enum {
	STORE_SCHEMA = 1,                    /* PRAGMA user_version */
	STORE_QUEUE_MAX = 512,               /* writes waiting */
	STORE_QUEUE_BYTES = 2 * 1024 * 1024, /* of these */
	STORE_INCIDENTS_MAX = 10000,         /* kept; the oldest closed ones go first */
	STORE_AGE_DAYS = 90,                 /* kept at most */
	STORE_LIST_MAX = 1000,               /* incidents of one list */
	STORE_LIST_BYTES = 1024 * 1024,      /* of these: it becomes one D-Bus message */
	STORE_CORRUPT_KEPT = 3,              /* damaged databases kept for whoever wants to look */
};

/* The longest that a query holds the loop: less than a person notices, more than any query needs.
 */
#define QUERY_MAX_NS (UINT64_C(50) * NSEC_PER_MSEC)

struct store;

/* What budgets, back-off and the verification need of a unit. `listening` are the sockets that it
 * had while it was well: after a restart of the daemon in a probation nobody could learn them. */
struct unit_state {
	struct heal heal;
	enum heal_mode mode;
	struct socket_set listening; /* .read_ns is not kept */
};

/* error 0: committed. Else -errno: not (yet) in the database; -ENOSPC, -EROFS, -EIO … it is kept
 * and tried again, -ENOBUFS: no room to keep it, -EPROTONOSUPPORT: never, the database is of a
 * newer version. `key` is the id of the incident, the name of the unit, or "pause". */
typedef void (*store_ack_fn)(void *userdata, const char *key, int error);

struct store_options {
	/* Called on the loop whenever the state changes: error < 0 it cannot write, 0 it can again.
	 * -EUCLEAN: the database was damaged and moved aside; when 0 follows, a new one is in use,
	 * which lacks what is open: put that again. `text` is for people. */
	void (*on_state)(void *userdata, int error, const char *text);
	void *userdata;
	const char *boot_id;     /* NULL: of the running kernel */
	uint32_t incidents_max;  /* 0: STORE_INCIDENTS_MAX */
	uint64_t age_usec;       /* 0: STORE_AGE_DAYS */
	uint64_t retry_first_ns; /* 0: 1 s; doubled up to 1 min */
};

struct store_stats {
	bool healthy;
	uint64_t written, failed, dropped; /* entries */
	uint32_t queued;
};

/* Opens or makes the database, waiting for the disk: at startup only. Trouble with the database is
 * not an error here: the store is there and not healthy, and on_state says why once the loop runs.
 */
int store_open(
	struct store **ret, sd_event *event, const char *path, const struct store_options *options);
/* Writes what is queued, waiting for at most 2 s. Acks that are still out are not called. */
struct store *store_close(struct store *s);

/* Each is 0 (ack, unless NULL, will be called, never from inside), or -ENOMEM, -ENOBUFS: it will
 * not. */
int store_put_incident(struct store *s, const struct incident *i, store_ack_fn ack, void *userdata);
int store_put_attempt(struct store *s, const char *incident_id, const struct attempt *a,
	store_ack_fn ack, void *userdata);
/* As a struct unit_state. */
int store_put_unit(struct store *s, const struct unit *u, store_ack_fn ack, void *userdata);
int store_put_pause(struct store *s, const struct pause *p, store_ack_fn ack, void *userdata);

struct stored_incident {
	struct incident *incident; /* owned */
	struct attempt attempt;    /* the last one; number 0: none */
	bool this_boot; /* false: the host went down meanwhile, its monotonic times mean nothing now
			 */
};

/* At startup, before the loop runs: the open incidents, oldest first. *ret is freed with
 * stored_incidents_free(). */
int store_load_open(struct store *s, struct stored_incident **ret, size_t *ret_n);
void stored_incidents_free(struct stored_incident *list, size_t n);
/* What was put of this boot, for each unit. `state->mode` is the one in force then. */
int store_load_units(struct store *s,
	void (*fn)(void *userdata, const char *unit, const struct unit_state *state),
	void *userdata);
/* The pause of this boot; inactive where there is none. */
int store_load_pause(struct store *s, struct pause *ret);

/* The JSON object of an incident, by id or an unambiguous beginning of it (at least 4 characters).
 * -ENOENT, -ENOTUNIQ, -EINVAL, -ETIMEDOUT or -EBUSY (the disk is slow), or why it cannot be read.
 */
int store_get_incident(struct store *s, const char *id, struct strbuf *ret);
/* A JSON array of them, newest first; unit NULL or "": of all. */
int store_list(struct store *s, const char *unit, uint32_t limit, struct strbuf *ret);

bool store_healthy(const struct store *s);
void store_stats(const struct store *s, struct store_stats *ret);
