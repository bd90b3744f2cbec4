/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HTTP of one unit; see http.h. */
#include "http.h"
#include "../base/clock.h"
#include "http_ages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Native histograms of schema 3: 2^(k/8) seconds, here from 61 us to 32 s. */
#define NATIVE_FIRST (-112)
#define NATIVE_LAST 40

const double http_classic_bounds[HTTP_CLASSIC_BOUNDS] = { .001, .0025, .005, .01, .025, .05, .075,
	.1, .25, .5, .75, 1, 2.5, 5, 7.5, 10 };

static const uint16_t known_codes[] = { HTTP_KNOWN_CODES };
_Static_assert(ARRAY_SIZE(known_codes) < HTTP_CODES, "place 0 is for other codes");

static const char *const method_words[HTTP_METHODS] = {
	[HTTP_OTHER] = "_OTHER",
	[HTTP_GET] = "GET",
	[HTTP_HEAD] = "HEAD",
	[HTTP_POST] = "POST",
	[HTTP_PUT] = "PUT",
	[HTTP_DELETE] = "DELETE",
	[HTTP_OPTIONS] = "OPTIONS",
	[HTTP_PATCH] = "PATCH",
	[HTTP_CONNECT] = "CONNECT",
	[HTTP_TRACE] = "TRACE",
};

static const char *const class_words[HTTP_CLASSES] = {
	[HTTP_CLASS_OTHER] = "other",
	[HTTP_CLASS_2XX] = "2xx",
	[HTTP_CLASS_3XX] = "3xx",
	[HTTP_CLASS_4XX] = "4xx",
	[HTTP_CLASS_5XX] = "5xx",
};

static const char *const incomplete_words[HTTP_INCOMPLETE_REASONS] = {
	[HTTP_CLIENT_RESET] = "client_reset",
	[HTTP_SERVER_RESET] = "server_reset",
	[HTTP_SERVER_DIED] = "server_died",
	[HTTP_TIMED_OUT] = "timed_out",
	[HTTP_SENT_AHEAD] = "sent_ahead",
};

static const char *const untracked_words[HTTP_UNTRACKED_REASONS] = {
	[HTTP_UNTRACKED_TLS] = "tls",
	[HTTP_UNTRACKED_HTTP2] = "http2",
	[HTTP_UNTRACKED_UPGRADED] = "upgraded",
	[HTTP_UNTRACKED_NOT_HTTP] = "not_http",
	[HTTP_UNTRACKED_FULL] = "table_full",
	[HTTP_UNTRACKED_LOST] = "lost",
};

static const char *word(const char *const *words, unsigned int n, unsigned int i)
{
	return i < n ? words[i] : "unknown";
}

const char *http_method_word(enum http_method m)
{
	return word(method_words, HTTP_METHODS, m);
}

const char *http_class_word(enum http_class c)
{
	return word(class_words, HTTP_CLASSES, c);
}

const char *http_incomplete_word(enum http_incomplete r)
{
	return word(incomplete_words, HTTP_INCOMPLETE_REASONS, r);
}

const char *http_untracked_word(enum http_untracked r)
{
	return word(untracked_words, HTTP_UNTRACKED_REASONS, r);
}

unsigned int http_code_of_place(unsigned int place)
{
	return place > 0 && place <= ARRAY_SIZE(known_codes) ? known_codes[place - 1] : 0;
}

unsigned int http_place_of_code(unsigned int code)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(known_codes); i++)
		if (known_codes[i] == code)
			return i + 1;
	return 0;
}

/* In the order of time: the merge of the native and the classic bounds, without doubles. */
static void compute_bounds(uint64_t ret[HTTP_BOUNDS])
{
	size_t classic = 0, n = 0;

	for (int k = NATIVE_FIRST; k <= NATIVE_LAST; k++) {
		double native = exp2((double)k / 8);

		while (classic < HTTP_CLASSIC_BOUNDS && http_classic_bounds[classic] <= native) {
			if (http_classic_bounds[classic] < native)
				ret[n++] = (uint64_t)llround(http_classic_bounds[classic] * 1e9);
			classic++;
		}
		/* Whole nanoseconds: what is at most the bound is at most its integral part. */
		ret[n++] = (uint64_t)floor(native * 1e9);
	}
}

/* Computed once: a scrape needs them a dozen times for each unit. The daemon has one thread. */
static const uint64_t *bounds_ns(void)
{
	static uint64_t bounds[HTTP_BOUNDS];

	if (!bounds[0])
		compute_bounds(bounds);
	return bounds;
}

void http_bounds_ns(uint64_t ret[HTTP_BOUNDS])
{
	memcpy(ret, bounds_ns(), HTTP_BOUNDS * sizeof(*ret));
}

struct http_state *http_state_new(
	const volatile struct http_totals *totals, const volatile struct http_detail *detail)
{
	struct http_state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->totals = totals;
	s->detail = detail;
	return s;
}

struct http_state *http_state_free(struct http_state *s)
{
	if (s) {
		free(s->window);
		free(s->routes);
	}
	free(s);
	return NULL;
}

/* What the details say of all answers so far. */
struct sums {
	uint64_t answered[HTTP_CLASSES];
	uint64_t first_bytes[HTTP_BUCKETS], queues[HTTP_BUCKETS]; /* of all classes */
	uint64_t reads;                                           /* the sum of .queues */
};

static void read_details(const struct http_state *s, struct sums *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!s->detail)
		return;
	for (unsigned int b = 0; b < HTTP_BUCKETS; b++) {
		for (unsigned int c = 0; c < HTTP_CLASSES; c++) {
			uint64_t n = s->detail->histograms[HTTP_FIRST_BYTE][c][b];

			ret->answered[c] += n;
			ret->first_bytes[b] += n;
		}
		ret->queues[b] = s->detail->histograms[HTTP_QUEUE][HTTP_CLASS_OTHER][b];
		ret->reads += ret->queues[b];
	}
}

static struct http_counts read_totals(const struct http_state *s)
{
	struct http_counts c = {};

	/* In this order, so that what is in flight never looks negative. */
	c.finished = s->totals->finished;
	c.started = s->totals->started;
	c.outgoing = s->totals->outgoing;
	for (unsigned int i = 0; i < HTTP_INCOMPLETE_REASONS; i++)
		c.incomplete[i] = s->totals->incomplete[i];
	return c;
}

struct http_counts http_counts_now(const struct http_state *s)
{
	struct http_counts c = read_totals(s);
	struct sums sums;

	read_details(s, &sums);
	memcpy(c.answered, sums.answered, sizeof(c.answered));
	return c;
}

uint64_t http_in_flight_now(const struct http_state *s)
{
	uint64_t finished = s->totals->finished, started = s->totals->started;

	return started > finished ? started - finished : 0;
}

uint64_t http_oldest_age_ns(const struct http_state *s, uint64_t now_ns)
{
	bool same = s->totals->finished == s->counts.finished;

	if (!s->oldest_ns || !http_in_flight_now(s))
		return 0;
	return clock_since_ns(same ? now_ns : s->tick_ns, s->oldest_ns);
}

uint64_t http_errors(const struct http_counts *c)
{
	return c->answered[HTTP_CLASS_5XX] + c->incomplete[HTTP_SERVER_RESET] +
	       c->incomplete[HTTP_SERVER_DIED];
}

/* What was added; a memory that was emptied meanwhile has added nothing. */
static uint32_t increase(uint64_t now, uint64_t before)
{
	return now > before ? (uint32_t)MIN(now - before, (uint64_t)UINT32_MAX) : 0;
}

static void take_histogram(uint32_t *second, const uint64_t *now, uint64_t *before)
{
	for (unsigned int b = 0; b < HTTP_BUCKETS; b++) {
		second[b] = increase(now[b], before[b]);
		before[b] = now[b];
	}
}

static void take_second(struct http_state *s, const struct http_counts *now,
	const struct sums *sums /* NULL: nothing has changed */, uint64_t now_ns)
{
	struct http_window *w = s->window;
	const struct http_counts *before = &s->counts;
	struct http_second *x = &w->seconds[w->n % HTTP_SECONDS];
	size_t h = w->n % HTTP_HISTOGRAM_SECONDS;

	*x = (struct http_second) { .from_ns = s->tick_ns, .to_ns = now_ns };
	if (sums) {
		take_histogram(w->first_bytes[h], sums->first_bytes, w->first_byte_totals);
		take_histogram(w->queues[h], sums->queues, w->queue_totals);
	} else {
		memset(w->first_bytes[h], 0, sizeof(w->first_bytes[h]));
		memset(w->queues[h], 0, sizeof(w->queues[h]));
	}
	x->started = increase(now->started, before->started);
	for (unsigned int i = 0; i < HTTP_CLASSES; i++) {
		x->answered[i] = increase(now->answered[i], before->answered[i]);
		if (x->answered[i])
			s->last_answer_ns = now_ns;
	}
	for (unsigned int i = 0; i < HTTP_INCOMPLETE_REASONS; i++)
		x->incomplete[i] = increase(now->incomplete[i], before->incomplete[i]);
	if (x->started)
		s->last_arrival_ns = now_ns;
	w->n++;
}

/*
 * Begins with the present counts where they are older than the last tick: then nobody knows of
 * which second they are.
 */
static void begin_window(struct http_state *s, const struct sums *sums)
{
	uint64_t before = 0;

	for (unsigned int i = 0; i < HTTP_CLASSES; i++)
		before += s->counts.answered[i];
	s->window = calloc(1, sizeof(*s->window));
	if (!s->window || (s->tick_ns && !before))
		return;
	memcpy(s->window->first_byte_totals, sums->first_bytes, sizeof(sums->first_bytes));
	memcpy(s->window->queue_totals, sums->queues, sizeof(sums->queues));
}

/* Who waits, and since when. */
static void read_ages(struct http_state *s, uint64_t now_ns)
{
	int64_t unread = (int64_t)(s->counts.started - s->totals->never_read - s->reads);
	struct http_age waiting = {}, transfers = {};

	if (!s->in_flight)
		s->unread_error = unread;
	else if (s->detail && !s->ends_unseen) {
		waiting = http_ages_read(&s->detail->waiting, now_ns);
		transfers = http_ages_read(&s->detail->transfers, now_ns);
	}
	unread -= s->unread_error;
	s->unanswered = waiting.n;
	s->unread = unread > 0 ? MIN((uint64_t)unread, waiting.n) : 0;
	s->oldest_unanswered_ns = waiting.oldest_ns;
	s->oldest_ns = waiting.oldest_ns;
	if (transfers.n && (!s->oldest_ns || transfers.oldest_ns < s->oldest_ns))
		s->oldest_ns = transfers.oldest_ns;
}

void http_tick(struct http_state *s, uint64_t now_ns)
{
	struct http_counts now = read_totals(s);
	bool changed = !s->tick_ns || now.started != s->counts.started ||
		       now.finished != s->counts.finished || s->in_flight;
	struct sums sums;

	/*
	 * The details are read once more after the last change: the kernel may have been between
	 * its two counts when they were read before.
	 */
	if (changed || !s->settled) {
		read_details(s, &sums);
		memcpy(now.answered, sums.answered, sizeof(now.answered));
		s->reads = sums.reads;
		if (!s->window && (s->detail || now.started))
			begin_window(s, &sums);
		if (s->tick_ns && s->window)
			take_second(s, &now, &sums, now_ns);
	} else {
		memcpy(now.answered, s->counts.answered, sizeof(now.answered));
		if (s->window)
			take_second(s, &now, NULL, now_ns);
	}
	s->settled = !changed;
	s->counts = now;
	s->tick_ns = now_ns;
	s->in_flight = now.started > now.finished ? now.started - now.finished : 0;
	read_ages(s, now_ns);
}

struct http_view http_view(const struct http_state *s, unsigned int seconds)
{
	struct http_view v = { .error_ratio = NAN };
	const struct http_window *w = s ? s->window : NULL;
	uint64_t from = UINT64_MAX, to = 0, unserved = 0;

	for (uint64_t i = 1;
		w && i <= MIN(w->n, (uint64_t)MIN(seconds, (unsigned int)HTTP_SECONDS)); i++) {
		const struct http_second *x = &w->seconds[(w->n - i) % HTTP_SECONDS];

		from = MIN(from, x->from_ns);
		to = MAX(to, x->to_ns);
		v.started += x->started;
		for (unsigned int c = 0; c < HTTP_CLASSES; c++)
			v.answered += x->answered[c];
		v.errors += x->answered[HTTP_CLASS_5XX];
		for (unsigned int r = 0; r < HTTP_INCOMPLETE_REASONS; r++)
			v.incomplete += x->incomplete[r];
		/* A client that gives up is not a failure of the service. */
		unserved += x->incomplete[HTTP_SERVER_RESET] + x->incomplete[HTTP_SERVER_DIED];
	}
	v.errors += unserved;
	if (from < to) {
		v.span = (double)(to - from) / 1e9;
		v.rate = (double)v.started / v.span;
	}
	if (v.answered + unserved)
		v.error_ratio = (double)v.errors / (double)(v.answered + unserved);
	return v;
}

unsigned int http_seconds_since(const struct http_state *s, uint64_t since_ns)
{
	const struct http_window *w = s ? s->window : NULL;
	unsigned int n = 0;

	while (w && n < MIN(w->n, (uint64_t)HTTP_SECONDS)) {
		const struct http_second *x = &w->seconds[(w->n - n - 1) % HTTP_SECONDS];

		/* What took no time has seen what came before it. */
		if (x->from_ns < since_ns || x->to_ns <= since_ns)
			break;
		n++;
	}
	return n;
}

static uint64_t quantile(const struct http_window *w,
	const uint32_t (*histograms)[HTTP_BUCKETS] /* a ring */, unsigned int seconds, double q,
	uint64_t *ret_n)
{
	uint64_t sums[HTTP_BUCKETS] = {}, n = 0;
	const uint64_t *bounds = bounds_ns();
	double rank, below = 0;

	for (uint64_t i = 1;
		w && i <= MIN(w->n, (uint64_t)MIN(seconds, (unsigned int)HTTP_HISTOGRAM_SECONDS));
		i++) {
		const uint32_t *histogram = histograms[(w->n - i) % HTTP_HISTOGRAM_SECONDS];

		for (unsigned int b = 0; b < HTTP_BUCKETS; b++) {
			sums[b] += histogram[b];
			n += histogram[b];
		}
	}
	if (ret_n)
		*ret_n = n;
	if (n == 0)
		return UINT64_MAX;
	rank = q * (double)n;
	for (unsigned int b = 0; b < HTTP_BOUNDS; b++) {
		double low = b ? (double)bounds[b - 1] : 0, high = (double)bounds[b];

		if (sums[b] && below + (double)sums[b] >= rank)
			return (uint64_t)(low +
					  (high - low) * MAX(rank - below, 0.0) / (double)sums[b]);
		below += (double)sums[b];
	}
	return bounds[HTTP_BOUNDS - 1]; /* above all bounds: at least that */
}

uint64_t http_quantile_ns(
	const struct http_state *s, unsigned int seconds, double q, uint64_t *ret_n)
{
	const struct http_window *w = s ? s->window : NULL;

	return quantile(w, w ? w->first_bytes : NULL, seconds, q, ret_n);
}

uint64_t http_queue_quantile_ns(
	const struct http_state *s, unsigned int seconds, double q, uint64_t *ret_n)
{
	const struct http_window *w = s ? s->window : NULL;

	return quantile(w, w ? w->queues : NULL, seconds, q, ret_n);
}

uint64_t http_code_count(const struct http_state *s, enum http_method m, unsigned int place)
{
	return s && s->detail && m < HTTP_METHODS && place < HTTP_CODES ? s->detail->codes[m][place]
									: 0;
}

const char *http_route_name(const volatile struct http_route *r, char ret[HTTP_ROUTE])
{
	for (unsigned int i = 0; i < HTTP_ROUTE; i++)
		ret[i] = r->name[i];
	ret[HTTP_ROUTE - 1] = '\0';
	return ret;
}

uint64_t http_route_answered(const volatile struct http_route *r)
{
	uint64_t n = 0;

	for (unsigned int c = 0; c < HTTP_CLASSES; c++)
		n += r->answered[c];
	return n;
}

uint64_t http_route_errors(const volatile struct http_route *r)
{
	return r->answered[HTTP_CLASS_5XX];
}

unsigned int http_classic_of_bucket(unsigned int bucket)
{
	const uint64_t *bounds = bounds_ns();
	unsigned int to = 0;

	while (to < HTTP_CLASSIC_BOUNDS &&
		(bucket >= HTTP_BOUNDS ||
			bounds[bucket] > (uint64_t)llround(http_classic_bounds[to] * 1e9)))
		to++;
	return to;
}

void http_fold_classic(const struct http_state *s, enum http_clock clock, enum http_class class,
	uint64_t ret[HTTP_CLASSIC_BOUNDS + 1], double *ret_sum)
{
	static uint8_t classic_of[HTTP_BUCKETS];

	/* Computed once: a page of 500 units folds thousands of histograms. */
	for (unsigned int b = 0; b < HTTP_BUCKETS && !classic_of[HTTP_BUCKETS - 1]; b++)
		classic_of[b] = (uint8_t)http_classic_of_bucket(b);
	memset(ret, 0, (HTTP_CLASSIC_BOUNDS + 1) * sizeof(*ret));
	*ret_sum = 0;
	if (!s || !s->detail)
		return;
	for (unsigned int b = 0; b < HTTP_BUCKETS; b++)
		ret[classic_of[b]] += s->detail->histograms[clock][class][b];
	*ret_sum = (double)s->detail->sums_ns[clock][class] / 1e9;
}

int http_blindness(const struct http_state *s)
{
	uint64_t most = 0;
	int found = -1;

	if (!s || s->totals->started)
		return -1;
	for (unsigned int i = 0; i < HTTP_UNTRACKED_REASONS; i++)
		if (s->totals->untracked[i] > most) {
			most = s->totals->untracked[i];
			found = (int)i;
		}
	return found;
}

void http_record_target(const struct http_record *r, char *ret, size_t size)
{
	size_t line = strnlen(r->line, sizeof(r->line)), from = 0, n;

	while (from < line && r->line[from] != ' ')
		from++;
	while (from < line && r->line[from] == ' ')
		from++;
	for (n = 0; from + n < line && r->line[from + n] != ' ' && r->line[from + n] != '?'; n++)
		;
	snprintf(ret, size, "%.*s%s", (int)n, r->line + from,
		line == sizeof(r->line) && from + n == line ? "…" : "");
}
