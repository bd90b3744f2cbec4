/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the HTTP endpoint serves: paths, methods, negotiation of form and of compression. Each
 * answer is written when it is asked for, from memory, and owned by libmicrohttpd until it has been
 * fetched. See metrics_server.h.
 */
#include "metrics_answer.h"
#include "metrics_server.h"
#include "../base/accept.h"
#include "../base/clock.h"

#include <zlib.h>

enum {
	GZIP_SMALLEST = 512, /* below, headers and CPU outweigh what is saved */
	HEADER_MAX = 4096,   /* of one Accept header put together; the rest is not looked at */
};

/* A page this old is as good as a new one for a scraper, and spares the loop a crowd. */
#define PAGE_KEPT_NS (100 * NSEC_PER_MSEC)

static const char text_type[] = "text/plain; charset=utf-8";
static const char html_type[] = "text/html; charset=utf-8";

struct answer {
	unsigned int status;
	const char *type; /* Content-Type */
	struct strbuf body;
	bool gzipped;
	bool negotiated; /* depends on Accept and Accept-Encoding: caches must know */
};

/* Bytes in the hands of libmicrohttpd. */
struct held {
	struct answers *answers; /* borrowed */
	char *data;              /* owned */
	size_t size;
};

static void release(void *userdata)
{
	struct held *h = userdata;

	h->answers->held -= h->size;
	free(h->data);
	free(h);
}

struct gather {
	const char *name;
	struct strbuf *ret;
};

static enum MHD_Result add_header(
	void *userdata, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct gather *g = userdata;

	if (strcasecmp(name, g->name) == 0 && value)
		strbuf_addf(g->ret, "%s%s", g->ret->len ? ", " : "", value);
	return MHD_YES;
}

/* All headers of one name put together, as RFC 9110 has it; NULL where there is none. */
static const char *header(struct MHD_Connection *c, const char *name, struct strbuf *storage)
{
	struct gather g = { .name = name, .ret = storage };

	storage->cap = HEADER_MAX;
	MHD_get_connection_values(c, MHD_HEADER_KIND, add_header, &g);
	return storage->data;
}

/* In place. A client that takes gzip takes plain text too, so a failure here is none for it. */
static void compress_body(struct answer *a)
{
	_cleanup_free_ unsigned char *out = NULL;
	z_stream z = {};
	uLong bound;
	int r;

	/* 16 asks for the gzip form; level 1, because a scrape must not take the loop's time */
	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return;
	bound = deflateBound(&z, a->body.len);
	out = malloc(bound);
	if (!out) {
		deflateEnd(&z);
		return;
	}
	z.next_in = (unsigned char *)a->body.data;
	z.avail_in = (uInt)a->body.len; /* at most METRICS_PAGE_MAX */
	z.next_out = out;
	z.avail_out = (uInt)bound;
	r = deflate(&z, Z_FINISH);
	deflateEnd(&z);
	if (r != Z_STREAM_END)
		return;
	strbuf_reset(&a->body);
	strbuf_add_mem(&a->body, out, bound - z.avail_out); /* deflated bytes fit: it was larger */
	a->gzipped = a->body.error == 0;
}

static enum metric_format choose_format(const char *accept)
{
	int text = accept_media(accept, "text/plain", "0.0.4");
	int open = accept_media(accept, "application/openmetrics-text", "1.0.0");

	/* Where a client wants neither, the plain one: nearly everything can read it. */
	return open > text && open > 0 ? METRIC_OPENMETRICS : METRIC_TEXT;
}

/* What of the negotiated pages a client is to get. */
struct choice {
	enum metric_format format;
	bool people;
	bool gzip;
};

/* Which of the negotiated pages this is; false where it is none of them. */
static bool choose(struct MHD_Connection *c, const char *url, struct choice *ret)
{
	_cleanup_strbuf_ struct strbuf accept = {}, encoding = {};
	bool metrics = strcmp(url, "/metrics") == 0, people = strcmp(url, "/") == 0;

	if (!metrics && !people)
		return false;
	*ret = (struct choice) {
		.format = metrics ? choose_format(header(c, "Accept", &accept)) : METRIC_TEXT,
		.people = people,
		.gzip = accept_gzip(header(c, "Accept-Encoding", &encoding)),
	};
	return true;
}

static struct page_cached *slot_of(struct answers *s, const struct choice *choice)
{
	size_t kind = choice->people ? METRIC_FORMAT_COUNT : choice->format;

	return &s->pages[2 * kind + choice->gzip];
}

uint64_t answers_expire(struct answers *s, uint64_t now_ns)
{
	uint64_t next_ns = TIME_INFINITY;

	for (size_t i = 0; i < PAGES; i++) {
		struct page_cached *p = &s->pages[i];

		if (!p->response)
			continue;
		if (now_ns < p->until_ns) {
			next_ns = MIN(next_ns, p->until_ns);
			continue;
		}
		MHD_destroy_response(p->response);
		p->response = NULL;
	}
	return next_ns;
}

void answers_done(struct answers *s)
{
	answers_expire(s, TIME_INFINITY);
}

static void plain_answer(struct answer *a, unsigned int status, const char *text)
{
	strbuf_reset(&a->body);
	a->body.error = 0;
	a->body.cap = 0;
	a->status = status;
	a->type = text_type;
	a->negotiated = a->gzipped = false;
	strbuf_add(&a->body, text);
}

static void write_page(struct answers *s, const struct choice *choice, struct answer *a)
{
	int r = -EBUSY;

	a->negotiated = true;
	a->type = choice->people ? html_type : metric_content_type(choice->format);
	if (s->held <= METRICS_HELD_MAX)
		r = choice->people ? people_page(s->world, &a->body)
				   : metrics_page(s->world, &s->counters, choice->format, &a->body);
	if (r < 0) {
		s->counters.refused++;
		plain_answer(a, MHD_HTTP_SERVICE_UNAVAILABLE, "Out of memory.\n");
		return;
	}
	if (choice->gzip && a->body.len >= GZIP_SMALLEST)
		compress_body(a);
}

static void write_incident(struct answers *s, const char *id, struct answer *a)
{
	int r = s->held <= METRICS_HELD_MAX ? incident_page(s->world, id, &a->body) : -EBUSY;

	a->type = html_type;
	if (r == -ENOENT)
		plain_answer(a, MHD_HTTP_NOT_FOUND,
			"No incident in memory has that id; 'mendctl incident ID' looks further back.\n");
	else if (r < 0)
		plain_answer(a, MHD_HTTP_SERVICE_UNAVAILABLE, "Out of memory.\n");
}

static void write_other(struct answers *s, const char *url, struct answer *a)
{
	const char *incident = str_after_prefix(url, "/incident/");

	if (incident)
		write_incident(s, incident, a);
	else if (strcmp(url, "/-/healthy") == 0) /* its loop turns, or nobody would answer */
		plain_answer(a, MHD_HTTP_OK, "mendd is healthy.\n");
	else if (strcmp(url, "/-/ready") != 0)
		plain_answer(a, MHD_HTTP_NOT_FOUND,
			"Not found. There are /metrics, / (for people), /-/healthy and /-/ready.\n");
	else if (s->world->settings_loaded_usec > 0)
		plain_answer(a, MHD_HTTP_OK, "mendd is ready.\n");
	else
		plain_answer(a, MHD_HTTP_SERVICE_UNAVAILABLE,
			"mendd has not loaded a configuration yet.\n");
}

static void add_headers(struct MHD_Response *response, const struct answer *a)
{
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (a->negotiated)
		MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
	if (a->type == html_type || a->negotiated) {
		/* The pages for people load nothing, run nothing, and are in nobody's frame. */
		MHD_add_response_header(response, "Content-Security-Policy",
			"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
	}
	if (a->gzipped)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
}

/* The body is the response's from here on; NULL for lack of memory. */
static struct MHD_Response *response_of(struct answers *s, struct answer *a)
{
	struct held *h = malloc(sizeof(*h));
	struct MHD_Response *response;

	if (!h)
		return NULL;
	*h = (struct held) { .answers = s, .size = a->body.len };
	h->data = strbuf_take(&a->body);
	if (!h->data) {
		free(h);
		return NULL;
	}
	s->held += h->size;
	response = MHD_create_response_from_buffer_with_free_callback_cls(
		h->size, h->data, release, h);
	if (!response) {
		release(h);
		return NULL;
	}
	add_headers(response, a);
	return response;
}

static bool has_body(struct MHD_Connection *c)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING) ||
	       MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
}

enum MHD_Result answers_on_request(void *userdata, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **request_context)
{
	static int seen;
	struct answers *s = userdata;
	struct answer a = { .status = MHD_HTTP_OK, .type = text_type };
	struct page_cached *slot = NULL;
	struct MHD_Response *response;
	struct choice choice;
	enum MHD_Result r;

	/*
	 * The first call is for the headers alone; an answer now would end the connection. That is
	 * right where a body follows, which nobody needs to send here; without one it is kept.
	 */
	if (!*request_context && !has_body(c)) {
		*request_context = &seen;
		return MHD_YES;
	}
	s->counters.requests++;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		plain_answer(
			&a, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD are known here.\n");
	else if (!choose(c, url, &choice))
		write_other(s, url, &a);
	else
		slot = slot_of(s, &choice);
	if (slot) {
		answers_expire(s, clock_monotonic_ns());
		if (slot->response)
			return MHD_queue_response(c, MHD_HTTP_OK, slot->response);
		write_page(s, &choice, &a);
	}
	response = response_of(s, &a);
	strbuf_done(&a.body);
	if (!response)
		return MHD_NO; /* closes the connection */
	r = MHD_queue_response(c, a.status, response);
	if (slot && a.status == MHD_HTTP_OK)
		*slot = (struct page_cached) { response, clock_monotonic_ns() + PAGE_KEPT_NS };
	else
		MHD_destroy_response(response);
	return r;
}
