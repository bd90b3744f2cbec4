/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop's side of the store; see store.h. It takes the lock for moments only and does no I/O but
 * on its eventfd. */
#include "store_impl.h"
#include "store_codec.h"

#include "../base/clock.h"
#include "../base/log.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <systemd/sd-id128.h>

/* How long to wait for the last writes when the daemon ends: PID 1 is waiting for it. */
#define CLOSE_MAX_NS (UINT64_C(2) * NSEC_PER_SEC)

void store_wake(struct store *s)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the loop is awake already. */
	if (write(s->fd, &one, sizeof(one)) < 0)
		return;
}

void store_note(struct store *s, int error, const char *text)
{
	struct note *n = &s->notes[MIN(s->n_notes, (size_t)NOTES_MAX - 1)];

	n->error = error;
	str_copy_clean(n->text, sizeof(n->text), text);
	s->n_notes = MIN(s->n_notes + 1, (size_t)NOTES_MAX);
	store_wake(s);
}

static int on_wakeup(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct store *s = userdata;
	struct ack_list acks = STAILQ_HEAD_INITIALIZER(acks);
	struct note notes[NOTES_MAX];
	size_t n_notes;
	uint64_t count;
	struct ack *a;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return 0;
	pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&acks, &s->acks);
	n_notes = s->n_notes;
	memcpy(notes, s->notes, sizeof(notes));
	s->n_notes = 0;
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < n_notes; i++)
		if (s->options.on_state)
			s->options.on_state(s->options.userdata, notes[i].error, notes[i].text);
	while ((a = STAILQ_FIRST(&acks))) {
		STAILQ_REMOVE_HEAD(&acks, link);
		a->fn(a->userdata, a->key, a->error);
		free(a);
	}
	return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

/* A thread that takes no signals: those are the loop's. */
static int start_thread(pthread_t *ret, void *(*fn)(void *), struct store *s)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, NULL, fn, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static void refuse(struct store *s, int error, const char *text)
{
	pthread_mutex_lock(&s->lock);
	s->refused = true;
	s->error = error;
	store_note(s, error, text);
	pthread_mutex_unlock(&s->lock);
}

static int start(struct store *s)
{
	int r;

	if (s->started || s->refused)
		return 0;
	r = start_thread(&s->worker, store_work, s);
	if (r < 0) {
		refuse(s, r, "cannot start the store's thread");
		return r;
	}
	s->started = true;
	r = start_thread(&s->checkpointer, store_tidy, s);
	if (r < 0) {
		/* Then the log of the database grows until the next start; writing still works. */
		s->checkpointer = s->worker;
		pthread_mutex_lock(&s->lock);
		store_note(s, r, "cannot start the thread that tidies the database");
		pthread_mutex_unlock(&s->lock);
	}
	return 0;
}

static int on_begin(sd_event_source *source, void *userdata)
{
	start(userdata);
	return 0;
}

/*
 * Entries that nobody waits for reach the worker when the loop's turn is over, or with the next one
 * that somebody does wait for: the evidence of an action is then one transaction, not two.
 */
static int on_handing(sd_event_source *source, void *userdata)
{
	struct store *s = userdata;

	pthread_mutex_lock(&s->lock);
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int init(struct store *s, sd_event *event, const char *path)
{
	pthread_condattr_t monotonic;
	sd_id128_t boot;
	int r;

	s->fd = -1;
	STAILQ_INIT(&s->queue);
	STAILQ_INIT(&s->acks);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->files, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &monotonic);
	pthread_cond_init(&s->answered, &monotonic);
	pthread_cond_init(&s->tidy, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (str_set(&s->db.path, path) < 0)
		return -ENOMEM;
	if (s->options.boot_id) {
		str_copy(s->db.boot, sizeof(s->db.boot), s->options.boot_id);
	} else {
		r = sd_id128_get_boot(&boot);
		if (r < 0)
			return r;
		sd_id128_to_string(boot, s->db.boot);
	}
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd < 0)
		return -errno;
	s->event = sd_event_ref(event);
	r = sd_event_add_io(event, &s->wakeup, s->fd, EPOLLIN, on_wakeup, s);
	if (r < 0)
		return r;
	r = sd_event_add_defer(event, &s->begin, on_begin, s);
	if (r < 0)
		return r;
	r = sd_event_add_defer(event, &s->handing, on_handing, s);
	return r < 0 ? r : sd_event_source_set_enabled(s->handing, SD_EVENT_OFF);
}

static struct store *store_free(struct store *s)
{
	struct ack *a;

	sd_event_source_disable_unref(s->handing);
	sd_event_source_disable_unref(s->begin);
	sd_event_source_disable_unref(s->wakeup);
	sd_event_unref(s->event);
	db_close(&s->db);
	free(s->db.path);
	entry_list_free(&s->queue);
	while ((a = STAILQ_FIRST(&s->acks))) {
		STAILQ_REMOVE_HEAD(&s->acks, link);
		free(a);
	}
	pthread_cond_destroy(&s->tidy);
	pthread_cond_destroy(&s->answered);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->files);
	pthread_mutex_destroy(&s->lock);
	closep(&s->fd);
	free(s);
	return NULL;
}

int store_open(
	struct store **ret, sd_event *event, const char *path, const struct store_options *options)
{
	struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	if (options)
		s->options = *options;
	if (!s->options.incidents_max)
		s->options.incidents_max = STORE_INCIDENTS_MAX;
	if (!s->options.age_usec)
		s->options.age_usec = STORE_AGE_DAYS * UINT64_C(24) * 3600 * USEC_PER_SEC;
	if (!s->options.retry_first_ns)
		s->options.retry_first_ns = NSEC_PER_SEC;
	s->backoff_ns = s->options.retry_first_ns;
	s->since_prune = UINT64_MAX / 2; /* at once */
	r = init(s, event, path);
	if (r < 0) {
		store_free(s);
		return r;
	}
	s->options.boot_id = NULL; /* copied: it was borrowed for this call */
	store_prepare(s);
	*ret = s;
	return 0;
}

struct store *store_close(struct store *s)
{
	struct timespec until;
	uint64_t until_ns = clock_monotonic_ns() + CLOSE_MAX_NS;

	if (!s)
		return NULL;
	if (start(s) < 0 || !s->started)
		return store_free(s);
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->work);
	pthread_cond_broadcast(&s->tidy);
	pthread_mutex_unlock(&s->lock);
	until.tv_sec = (time_t)(until_ns / NSEC_PER_SEC);
	until.tv_nsec = (long)(until_ns % NSEC_PER_SEC);
	if ((s->checkpointer != s->worker &&
		    pthread_clockjoin_np(s->checkpointer, NULL, CLOCK_MONOTONIC, &until) != 0) ||
		pthread_clockjoin_np(s->worker, NULL, CLOCK_MONOTONIC, &until) != 0) {
		/* The disk hangs. The threads still use all this, so it is left to them: the
		 * process is about to end. */
		log_warning("%s: the disk does not answer; not waiting for it", s->db.path);
		sd_event_source_disable_unref(s->handing);
		sd_event_source_disable_unref(s->begin);
		sd_event_source_disable_unref(s->wakeup);
		sd_event_unref(s->event);
		return NULL;
	}
	return store_free(s);
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool same(const struct entry *a, const struct entry *b)
{
	return a->kind == b->kind && a->number == b->number && str_eq(a->key, b->key);
}

static void unqueue(struct store *s, struct entry *e)
{
	STAILQ_REMOVE(&s->queue, e, entry, link);
	s->n_queue--;
	s->queue_bytes -= e->bytes;
	entry_free(e);
}

/* While nothing can be written: a newer value replaces an older one, and when there is no room the
 * oldest goes. Nobody waits for these any more. */
static void make_room(struct store *s, const struct entry *e)
{
	struct entry *old = STAILQ_FIRST(&s->queue), *next;

	for (; old; old = next) {
		next = STAILQ_NEXT(old, link);
		if (!old->ack && same(old, e))
			unqueue(s, old);
	}
	while ((s->n_queue >= STORE_QUEUE_MAX || s->queue_bytes + e->bytes > STORE_QUEUE_BYTES) &&
		(old = STAILQ_FIRST(&s->queue)) && !old->ack) {
		unqueue(s, old);
		s->dropped++;
	}
}

/* Takes ownership of e. */
static int put(struct store *s, struct entry *e, store_ack_fn ack, void *userdata)
{
	if (ack) {
		e->ack = calloc(1, sizeof(*e->ack));
		if (!e->ack) {
			entry_free(e);
			return -ENOMEM;
		}
		e->ack->fn = ack;
		e->ack->userdata = userdata;
		str_copy(e->ack->key, sizeof(e->ack->key), e->key);
	}
	pthread_mutex_lock(&s->lock);
	if (s->error)
		make_room(s, e);
	if (!s->refused &&
		(s->n_queue >= STORE_QUEUE_MAX || s->queue_bytes + e->bytes > STORE_QUEUE_BYTES)) {
		s->dropped++;
		pthread_mutex_unlock(&s->lock);
		entry_free(e);
		return -ENOBUFS;
	}
	if (s->error && e->ack) { /* who waits is told now what it would be told anyway */
		e->ack->error = s->error;
		STAILQ_INSERT_TAIL(&s->acks, e->ack, link);
		e->ack = NULL;
		store_wake(s);
	}
	if (s->refused) {
		s->failed++;
		pthread_mutex_unlock(&s->lock);
		entry_free(e);
		return 0;
	}
	STAILQ_INSERT_TAIL(&s->queue, e, link);
	s->n_queue++;
	s->queue_bytes += e->bytes;
	if (ack)
		pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	if (!ack)
		sd_event_source_set_enabled(s->handing, SD_EVENT_ONESHOT);
	return 0;
}

static struct entry *entry_new(enum entry_kind kind, const char *key)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->kind = kind;
	str_copy(e->key, sizeof(e->key), key);
	return e;
}

/* Hands the text over into the entry; false for lack of memory. */
static bool take_text(struct entry *e, char **ret, struct strbuf *b)
{
	size_t n = b->len;

	*ret = strbuf_take(b);
	if (!*ret)
		return false;
	e->bytes += n;
	return true;
}

int store_put_incident(struct store *s, const struct incident *i, store_ack_fn ack, void *userdata)
{
	_cleanup_strbuf_ struct strbuf state = {}, json = {};
	struct entry *e = entry_new(ENTRY_INCIDENT, i->id);

	if (!e)
		return -ENOMEM;
	str_copy(e->unit, sizeof(e->unit), i->unit);
	e->cause = cause_word(i->cause);
	e->verdict = verdict_word(i->verdict);
	e->open = i->open;
	e->opened_usec = (int64_t)incident_realtime_usec(i, i->opened_ns);
	incident_to_json(i, &json);
	if (i->open)
		incident_encode(i, &state);
	if (!take_text(e, &e->json, &json) || (i->open && !take_text(e, &e->state, &state))) {
		entry_free(e);
		return -ENOMEM;
	}
	return put(s, e, ack, userdata);
}

int store_put_attempt(struct store *s, const char *incident_id, const struct attempt *a,
	store_ack_fn ack, void *userdata)
{
	_cleanup_strbuf_ struct strbuf state = {};
	struct entry *e = entry_new(ENTRY_ATTEMPT, incident_id);

	if (!e)
		return -ENOMEM;
	e->number = a->number;
	attempt_encode(a, &state);
	if (!take_text(e, &e->state, &state)) {
		entry_free(e);
		return -ENOMEM;
	}
	return put(s, e, ack, userdata);
}

int store_put_unit(struct store *s, const struct unit *u, store_ack_fn ack, void *userdata)
{
	const struct unit_state unit = {
		.heal = u->heal,
		.mode = u->settings.heal,
		.listening = u->listening,
	};
	_cleanup_strbuf_ struct strbuf state = {};
	struct entry *e = entry_new(ENTRY_UNIT, u->name);

	if (!e)
		return -ENOMEM;
	unit_state_encode(&unit, &state);
	if (!take_text(e, &e->state, &state)) {
		entry_free(e);
		return -ENOMEM;
	}
	return put(s, e, ack, userdata);
}

int store_put_pause(struct store *s, const struct pause *p, store_ack_fn ack, void *userdata)
{
	_cleanup_strbuf_ struct strbuf state = {};
	struct entry *e = entry_new(ENTRY_PAUSE, "pause");

	if (!e)
		return -ENOMEM;
	pause_encode(p, &state);
	if (!take_text(e, &e->state, &state)) {
		entry_free(e);
		return -ENOMEM;
	}
	return put(s, e, ack, userdata);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Before the threads run, the database is the loop's. */
static int may_load(const struct store *s)
{
	if (s->started)
		return -EBUSY;
	return s->db.sqlite ? 0 : s->error ? s->error : -ENODATA;
}

int store_load_open(struct store *s, struct stored_incident **ret, size_t *ret_n)
{
	int r = may_load(s);

	return r < 0 ? r : db_load_open(&s->db, ret, ret_n);
}

struct load_units {
	void (*fn)(void *userdata, const char *unit, const struct unit_state *state);
	void *userdata;
};

static void on_unit(void *userdata, const char *name, const char *state)
{
	struct load_units *load = userdata;
	struct unit_state unit;

	if (unit_state_decode(state, &unit) >= 0)
		load->fn(load->userdata, name, &unit);
}

int store_load_units(struct store *s,
	void (*fn)(void *userdata, const char *unit, const struct unit_state *state),
	void *userdata)
{
	struct load_units load = { fn, userdata };
	int r = may_load(s);

	return r < 0 ? r : db_load_states(&s->db, ENTRY_UNIT, on_unit, &load);
}

static void on_pause(void *userdata, const char *name, const char *state)
{
	pause_decode(state, userdata);
}

int store_load_pause(struct store *s, struct pause *ret)
{
	int r = may_load(s);

	*ret = (struct pause) {};
	return r < 0 ? r : db_load_states(&s->db, ENTRY_PAUSE, on_pause, ret);
}

static void query_free(struct query *q)
{
	strbuf_done(&q->answer);
	free(q);
}

/* Waits for the worker, with the lock held. */
static int await(struct store *s, struct query *q)
{
	uint64_t until_ns = clock_monotonic_ns() + QUERY_MAX_NS;
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(until_ns % NSEC_PER_SEC),
	};

	while (!q->answered)
		if (pthread_cond_timedwait(&s->answered, &s->lock, &until) == ETIMEDOUT)
			break;
	if (q->answered)
		return 0;
	s->slow = true;
	if (!q->taken)
		s->query = NULL;
	return -ETIMEDOUT;
}

static int ask(struct store *s, bool list, const char *what, uint32_t limit, struct strbuf *ret)
{
	struct query *q;
	int r;

	if (!s->started)
		return s->refused ? s->error : -EAGAIN;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->list = list;
	q->limit = MIN(limit, (uint32_t)STORE_LIST_MAX);
	str_copy(q->what, sizeof(q->what), what);
	pthread_mutex_lock(&s->lock);
	if (s->slow) {
		r = -EBUSY;
	} else {
		s->query = q;
		pthread_cond_signal(&s->work);
		r = await(s, q);
		if (r < 0 && q->taken) {
			q->abandoned = true;
			q = NULL;
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (r >= 0) {
		r = q->result;
		if (r >= 0)
			strbuf_add(ret, strbuf_text(&q->answer));
		if (r >= 0)
			r = ret->error;
	}
	if (q)
		query_free(q);
	return r;
}

int store_get_incident(struct store *s, const char *id, struct strbuf *ret)
{
	size_t n = strspn(id, "0123456789abcdef-");

	if (n < 4 || n >= INCIDENT_ID_SIZE || id[n])
		return -EINVAL;
	return ask(s, false, id, 0, ret);
}

int store_list(struct store *s, const char *unit, uint32_t limit, struct strbuf *ret)
{
	if (unit && strlen(unit) >= UNIT_NAME_SIZE)
		return -EINVAL;
	return ask(s, true, unit ? unit : "", limit, ret);
}

/* --- state ------------------------------------------------------------------------------------ */

void store_stats(const struct store *cs, struct store_stats *ret)
{
	struct store *s = (struct store *)cs; /* the lock is not part of what is looked at */

	pthread_mutex_lock(&s->lock);
	*ret = (struct store_stats) {
		.healthy = s->error == 0,
		.written = s->written,
		.failed = s->failed,
		.dropped = s->dropped,
		.queued = s->n_queue,
	};
	pthread_mutex_unlock(&s->lock);
}

bool store_healthy(const struct store *s)
{
	struct store_stats stats;

	store_stats(s, &stats);
	return stats.healthy;
}
