/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store's worker, which waits for the disk so that the loop need not, and the checkpointer,
 * which waits for fsync so that the worker need not. See store.h and store_impl.h.
 */
#include "store_impl.h"

#include "../base/clock.h"

/* Entries of one transaction: what is behind them in the queue waits for one commit more. */
enum { BATCH_MAX = 64 };
/* Pages of the log after which a checkpoint is worth its fsync: 1 MiB. */
enum { CHECKPOINT_PAGES = 256 };
/* Written entries after which it is looked whether something is to be forgotten. */
enum { PRUNE_EVERY = 64 };
/* Back-off ends here: a disk that was repaired is noticed within a minute. */
#define RETRY_MAX_NS (UINT64_C(60) * NSEC_PER_SEC)

/* --- opening and failing ---------------------------------------------------------------------- */

/* Damaged: out of the way, loudly, and a new one. */
static int begin_anew(struct store *s, const char *why)
{
	char moved[PATH_MAX], text[384];
	int r;

	pthread_mutex_lock(&s->files);
	r = db_move_aside(&s->db, moved, sizeof(moved));
	pthread_mutex_unlock(&s->files);
	if (r < 0)
		snprintf(text, sizeof(text), "%s; it cannot be moved aside: %s", why, strerror(-r));
	else
		snprintf(text, sizeof(text), "%s: the database was damaged and is now %s", why,
			moved);
	pthread_mutex_lock(&s->lock);
	store_note(s, -EUCLEAN, text);
	pthread_mutex_unlock(&s->lock);
	if (r >= 0)
		r = db_open(&s->db, text, sizeof(text));
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "%s: a new database was begun", s->db.path);
	pthread_mutex_lock(&s->lock);
	s->error = 0;
	store_note(s, 0, text);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int open_db(struct store *s, char *text, size_t size)
{
	int r = db_open(&s->db, text, size);

	return r == -EUCLEAN ? begin_anew(s, text) : r;
}

/* Cannot write: says so once for each reason, and when to try again. */
static void fail(struct store *s, int error, const char *text)
{
	pthread_mutex_lock(&s->lock);
	if (s->error != error)
		store_note(s, error, text);
	s->error = error;
	if (error == -EPROTONOSUPPORT)
		s->refused = true;
	pthread_mutex_unlock(&s->lock);
	s->retry_ns = clock_monotonic_ns() + s->backoff_ns;
	s->backoff_ns = MIN(s->backoff_ns * 2, RETRY_MAX_NS);
}

static void recover(struct store *s)
{
	char text[384];

	s->retry_ns = 0;
	s->backoff_ns = s->options.retry_first_ns;
	pthread_mutex_lock(&s->lock);
	if (s->error) {
		snprintf(text, sizeof(text), "%s can be written again", s->db.path);
		s->error = 0;
		store_note(s, 0, text);
	}
	pthread_mutex_unlock(&s->lock);
}

int store_prepare(struct store *s)
{
	char text[384] = "";
	int r = open_db(s, text, sizeof(text));

	if (r < 0)
		fail(s, r, text);
	return r;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* The connection, fresh after a failure: one that was opened while the file system was read-only
 * stays so, and one whose file was removed writes into nothing. */
static int ensure_open(struct store *s, char *text, size_t size)
{
	if (s->db.sqlite && (s->error || db_has_moved(&s->db)))
		db_close(&s->db);
	return s->db.sqlite ? 0 : open_db(s, text, size);
}

/* Acknowledges and, where it is written or never will be, frees. */
static void settle(struct store *s, struct entry_list *list, int error, bool gone)
{
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	STAILQ_FOREACH (e, list, link) {
		if (error)
			s->failed++;
		else
			s->written++;
		if (gone) {
			s->n_queue--;
			s->queue_bytes -= e->bytes;
		}
		if (!e->ack)
			continue;
		e->ack->error = error;
		STAILQ_INSERT_TAIL(&s->acks, e->ack, link);
		e->ack = NULL;
	}
	if (!gone) { /* back to where they were, before what came meanwhile */
		STAILQ_CONCAT(list, &s->queue);
		STAILQ_CONCAT(&s->queue, list);
	}
	store_wake(s);
	pthread_mutex_unlock(&s->lock);
	entry_list_free(list);
}

static void write_batch(struct store *s, struct entry_list *batch, size_t n)
{
	struct entry *bad;
	char text[384] = "";
	int r;

	r = ensure_open(s, text, sizeof(text));
	if (r >= 0)
		r = db_write(&s->db, batch, &bad, text, sizeof(text));
	if (r == -EUCLEAN) {
		r = begin_anew(s, text);
		if (r >= 0)
			r = db_write(&s->db, batch, &bad, text, sizeof(text));
	}
	while (r == -EINVAL && bad) { /* one that no database would take must not stop the others */
		struct entry_list one = STAILQ_HEAD_INITIALIZER(one);

		STAILQ_REMOVE(batch, bad, entry, link);
		STAILQ_INSERT_TAIL(&one, bad, link);
		settle(s, &one, -EINVAL, true);
		n--;
		r = db_write(&s->db, batch, &bad, text, sizeof(text));
	}
	if (r < 0) {
		fail(s, r, text);
		settle(s, batch, r, false);
		return;
	}
	recover(s);
	settle(s, batch, 0, true);
	s->since_prune += n;
	if (s->db.wal_pages < s->checkpointed_pages)
		s->checkpointed_pages = 0; /* the log began anew */
	if (s->db.wal_pages - s->checkpointed_pages >= CHECKPOINT_PAGES) {
		s->checkpointed_pages = s->db.wal_pages;
		pthread_mutex_lock(&s->lock);
		s->checkpoint = true;
		pthread_cond_signal(&s->tidy);
		pthread_mutex_unlock(&s->lock);
	}
}

/* With the lock held. */
static size_t take_batch(struct store *s, struct entry_list *ret)
{
	struct entry *e;
	size_t n = 0;

	STAILQ_INIT(ret);
	while (n < BATCH_MAX && (e = STAILQ_FIRST(&s->queue))) {
		STAILQ_REMOVE_HEAD(&s->queue, link);
		STAILQ_INSERT_TAIL(ret, e, link);
		n++;
	}
	return n;
}

/* --- the rest --------------------------------------------------------------------------------- */

static void answer(struct store *s, struct query *q)
{
	int r = -ENODATA;

	if (!s->db.sqlite)
		r = s->error ? s->error : -ENODATA;
	else if (q->list)
		r = db_list(&s->db, q->what, q->limit, &q->answer);
	else
		r = db_get_incident(&s->db, q->what, &q->answer);
	if (r == -EUCLEAN)
		begin_anew(s, s->db.path);
	pthread_mutex_lock(&s->lock);
	q->result = r;
	q->answered = true;
	if (q->abandoned) {
		strbuf_done(&q->answer);
		free(q);
	} else {
		pthread_cond_signal(&s->answered);
	}
	pthread_mutex_unlock(&s->lock);
}

/* One step of forgetting; false when there is nothing (more) to forget. */
static bool forget(struct store *s)
{
	int64_t oldest = (int64_t)clock_realtime_usec() - (int64_t)s->options.age_usec;

	if (s->since_prune < PRUNE_EVERY || !s->db.sqlite || s->retry_ns)
		return false;
	if (db_prune(&s->db, s->options.incidents_max, oldest) > 0)
		return true;
	s->since_prune = 0;
	return false;
}

void *store_work(void *userdata)
{
	struct store *s = userdata;

	pthread_setname_np(pthread_self(), "mendd-store");
	pthread_mutex_lock(&s->lock);
	for (;;) {
		uint64_t now_ns = clock_monotonic_ns();
		bool writable = now_ns >= s->retry_ns || s->stopping;
		bool broken = s->retry_ns != 0;

		s->slow = false;
		if (writable && !s->refused && (!STAILQ_EMPTY(&s->queue) || broken)) {
			struct entry_list batch;
			size_t n = take_batch(s, &batch);

			pthread_mutex_unlock(&s->lock);
			write_batch(s, &batch, n);
			pthread_mutex_lock(&s->lock);
			if (s->stopping && s->error)
				break;
			continue;
		}
		if (s->query) {
			struct query *q = s->query;

			s->query = NULL;
			q->taken = true;
			pthread_mutex_unlock(&s->lock);
			answer(s, q);
			pthread_mutex_lock(&s->lock);
			continue;
		}
		if (s->stopping)
			break;
		pthread_mutex_unlock(&s->lock);
		if (forget(s)) {
			pthread_mutex_lock(&s->lock);
			continue;
		}
		pthread_mutex_lock(&s->lock);
		if (!STAILQ_EMPTY(&s->queue) && s->retry_ns == 0)
			continue; /* it came while we looked */
		if (s->query || s->stopping)
			continue;
		if (s->retry_ns && !s->refused) {
			struct timespec until = {
				.tv_sec = (time_t)(s->retry_ns / NSEC_PER_SEC),
				.tv_nsec = (long)(s->retry_ns % NSEC_PER_SEC),
			};

			pthread_cond_timedwait(&s->work, &s->lock, &until);
		} else {
			pthread_cond_wait(&s->work, &s->lock);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void *store_tidy(void *userdata)
{
	struct store *s = userdata;

	pthread_setname_np(pthread_self(), "mendd-tidy");
	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		if (!s->checkpoint) {
			pthread_cond_wait(&s->tidy, &s->lock);
			continue;
		}
		s->checkpoint = false;
		pthread_mutex_unlock(&s->lock);
		pthread_mutex_lock(&s->files);
		/* What goes wrong here shows in the next write, which is where it matters. */
		db_checkpoint(s->db.path);
		pthread_mutex_unlock(&s->files);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
