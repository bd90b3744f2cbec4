/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the HTTP endpoint serves: paths, methods, negotiation of form and of compression. Each
 * answer is written when it is asked for, from memory, and owned by libmicrohttpd until it has been
 * fetched. See metrics_server.h.
 */
#include "metrics_answer.h"
#include "metrics_server.h"
#include "../base/accept.h"

#include <zlib.h>

enum {
	GZIP_SMALLEST = 512, /* below, headers and CPU outweigh what is saved */
	HEADER_MAX = 4096,   /* of one Accept header put together; the rest is not looked at */
};

static const char text_type[] = "text/plain; charset=utf-8";

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

static int answer_metrics(struct answers *s, struct MHD_Connection *c, struct answer *a)
{
	_cleanup_strbuf_ struct strbuf storage = {};
	enum metric_format format = choose_format(header(c, "Accept", &storage));

	a->type = metric_content_type(format);
	a->negotiated = true;
	return metrics_page(s->world, &s->counters, format, &a->body);
}

static int answer_people(struct answers *s, struct MHD_Connection *c, struct answer *a)
{
	a->type = "text/html; charset=utf-8";
	a->negotiated = true;
	return people_page(s->world, &a->body);
}

static int answer_healthy(struct answers *s, struct MHD_Connection *c, struct answer *a)
{
	strbuf_add(&a->body, "mendd is healthy.\n"); /* its loop turns, or nobody would answer */
	return a->body.error;
}

static int answer_ready(struct answers *s, struct MHD_Connection *c, struct answer *a)
{
	bool ready = s->world->settings_loaded_usec > 0;

	a->status = ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	strbuf_add(&a->body,
		ready ? "mendd is ready.\n" : "mendd has not loaded a configuration yet.\n");
	return a->body.error;
}

static const struct {
	const char *path;
	int (*answer)(struct answers *s, struct MHD_Connection *c, struct answer *a);
} paths[] = {
	{ "/metrics", answer_metrics },
	{ "/", answer_people },
	{ "/-/healthy", answer_healthy },
	{ "/-/ready", answer_ready },
};

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

static void write_answer(struct answers *s, struct MHD_Connection *c, const char *url,
	const char *method, struct answer *a)
{
	_cleanup_strbuf_ struct strbuf storage = {};

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		plain_answer(a, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD are known here.\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (strcmp(paths[i].path, url) != 0)
			continue;
		/* Before the page is written, which is what costs time and memory. */
		if (s->held > METRICS_HELD_MAX || paths[i].answer(s, c, a) < 0) {
			s->counters.refused++;
			plain_answer(a, MHD_HTTP_SERVICE_UNAVAILABLE, "Out of memory.\n");
			return;
		}
		if (a->negotiated && a->body.len >= GZIP_SMALLEST &&
			accept_gzip(header(c, "Accept-Encoding", &storage)))
			compress_body(a);
		return;
	}
	plain_answer(a, MHD_HTTP_NOT_FOUND,
		"Not found. There are /metrics, / (for people), /-/healthy and /-/ready.\n");
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
	if (!response)
		release(h);
	return response;
}

enum MHD_Result answers_on_request(void *userdata, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **request_context)
{
	struct answers *s = userdata;
	struct answer a = { .status = MHD_HTTP_OK, .type = text_type };
	struct MHD_Response *response;
	enum MHD_Result r;

	/* Answered before any body is read: nobody needs to send one here. */
	s->counters.requests++;
	write_answer(s, c, url, method, &a);
	response = response_of(s, &a);
	strbuf_done(&a.body);
	if (!response)
		return MHD_NO; /* closes the connection */
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a.type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (a.negotiated) {
		MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
		/* The page for people loads nothing, runs nothing, and is in nobody's frame. */
		MHD_add_response_header(response, "Content-Security-Policy",
			"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
	}
	if (a.gzipped)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	if (a.status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	r = MHD_queue_response(c, a.status, response);
	MHD_destroy_response(response);
	return r;
}
