/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two sides of the store share; nobody else includes it.
 *
 *	store.c         the loop's side: values into the queue, acknowledgements out of it, queries
 *	store_worker.c  the worker: batches, back-off, damaged files, forgetting; the checkpointer
 *	store_db.c      the database, store_read.c: reading from it
 */
#pragma once

#include "store_db.h"

#include <pthread.h>

enum { NOTES_MAX = 4 };

/* A change of state that the loop is to hear of. */
struct note {
	int error;
	char text[384];
};

/* One question of the loop, which waits for a while, and no longer. */
struct query {
	bool list;
	char what[UNIT_NAME_SIZE]; /* id, or unit */
	uint32_t limit;
	struct strbuf answer;
	int result;
	bool taken;     /* the worker has it */
	bool answered;  /* result and answer are there */
	bool abandoned; /* nobody waits any more: the worker frees it */
};

struct store {
	/* the loop's */
	sd_event *event;          /* owned reference */
	sd_event_source *wakeup;  /* owned; of `fd` */
	sd_event_source *begin;   /* owned; starts the threads once the loop runs */
	sd_event_source *handing; /* owned; wakes the worker for entries that nobody waits for */
	struct store_options options;
	bool started;
	pthread_t worker, checkpointer;

	int fd; /* owned; eventfd: the loop has something to fetch */

	/* shared, by `lock`, which is never held over I/O */
	pthread_mutex_t lock;
	pthread_cond_t work;     /* for the worker */
	pthread_cond_t answered; /* for the loop that waits for a query */
	pthread_cond_t tidy;     /* for the checkpointer */
	struct entry_list queue;
	uint32_t n_queue; /* with what the worker has in its hands */
	size_t queue_bytes;
	struct ack_list acks;
	struct note notes[NOTES_MAX];
	size_t n_notes;
	struct query *query; /* borrowed from the loop, unless abandoned */
	bool slow;           /* a query was not answered in time, and the worker is not back yet */
	bool stopping;
	bool checkpoint;
	bool refused; /* a newer schema, or no thread: never */
	int error;    /* 0: healthy */
	uint64_t written, failed, dropped;

	/* the worker's, and of store_open() and store_load_…() before there is one */
	struct db db;
	pthread_mutex_t files; /* held while files are renamed or checkpointed */
	uint64_t retry_ns;     /* when to try again */
	uint64_t backoff_ns;
	int checkpointed_pages;
	uint64_t since_prune;
};

void *store_work(void *userdata);
void *store_tidy(void *userdata);

/* Opens the database, moves a damaged one aside; the loop will hear of it. */
int store_prepare(struct store *s);
/* With the lock held. */
void store_note(struct store *s, int error, const char *text);
void store_wake(struct store *s);
