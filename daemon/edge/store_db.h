/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The database of the store: SQL and nothing else. Every function waits for the disk and so belongs
 * to the store's worker, except at startup. SQLite's codes are translated here: -ENOSPC, -EROFS,
 * -EIO, -EUCLEAN (damaged), -EPROTONOSUPPORT (of a newer version), …
 */
#pragma once

#include "store.h"

#include <limits.h>
#include <sqlite3.h>
#include <sys/queue.h>

enum entry_kind {
	ENTRY_INCIDENT,
	ENTRY_ATTEMPT,
	ENTRY_UNIT,
	ENTRY_PAUSE,
	ENTRY_KIND_COUNT,
};

/* One write, as a value that no longer refers to anything of the loop. */
struct entry {
	STAILQ_ENTRY(entry) link;
	enum entry_kind kind;
	char key[UNIT_NAME_SIZE]; /* id of the incident, name of the unit, "pause" */
	char *state;              /* owned; what the daemon reads after a restart; NULL: closed */
	char *json;               /* owned; for people; incidents only */
	size_t bytes;             /* of both */
	/* incidents: what is looked for by */
	char unit[UNIT_NAME_SIZE];
	const char *cause, *verdict; /* borrowed words */
	int64_t opened_usec;
	bool open;
	/* attempts */
	int64_t number;

	struct ack *ack; /* owned; NULL: nobody waits, or has been told */
};
STAILQ_HEAD(entry_list, entry);

/* What is told to who waits; outlives the entry. */
struct ack {
	STAILQ_ENTRY(ack) link;
	store_ack_fn fn;
	void *userdata;
	int error;
	char key[UNIT_NAME_SIZE];
};
STAILQ_HEAD(ack_list, ack);

struct entry *entry_free(struct entry *e);
void entry_list_free(struct entry_list *list);

struct db {
	char *path; /* owned */
	char boot[40];
	sqlite3 *sqlite;                       /* owned; NULL: not open */
	sqlite3_stmt *write[ENTRY_KIND_COUNT]; /* owned */
	int wal_pages;                         /* in the log, as of the last commit */
};

int db_error(const struct db *db, int rc);

/* Opens, makes or brings up to date. *text says what is wrong. */
int db_open(struct db *db, char *text, size_t size);
void db_close(struct db *db);
/* Renames the files of a database that is damaged; the reason why that is impossible, or 0.
 * ret_moved is where it is now. */
int db_move_aside(struct db *db, char *ret_moved, size_t size);
/* Whether the file that is open is not the one at the path any more. */
bool db_has_moved(struct db *db);

/* All of a list in one transaction: on an error nothing of it is written. *ret_bad is the entry
 * that failed, NULL where it was the transaction. */
int db_write(struct db *db, const struct entry_list *list, struct entry **ret_bad, char *text,
	size_t size);

/* A small step of forgetting what is beyond the caps; 1: there is more to do. */
int db_prune(struct db *db, uint32_t incidents_max, int64_t oldest_usec);

int db_get_incident(struct db *db, const char *id, struct strbuf *ret);
int db_list(struct db *db, const char *unit, uint32_t limit, struct strbuf *ret);

int db_load_open(struct db *db, struct stored_incident **ret, size_t *ret_n);
/* The state of each unit, or of the pause (name ""), of this boot. */
int db_load_states(struct db *db, enum entry_kind kind,
	void (*fn)(void *userdata, const char *name, const char *state), void *userdata);

/* Makes a checkpoint on a connection of its own, so that the writer goes on meanwhile. */
int db_checkpoint(const char *path);
