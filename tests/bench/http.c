/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client for the HTTP benchmarks that makes exactly as many requests as it is told, over
 * connections that it keeps, as fast as answers come or at a fixed rate; and the two servers that
 * are not worth a real one. Prints one line of JSON.
 *
 *	bench_http [OPTIONS] PORT N     N requests
 *	bench_http --fetch PATH PORT    one answer, thrown away: bytes and seconds
 *	bench_http --serve PORT         answers each segment with a small response
 *	bench_http --echo PORT          answers each segment with itself: a protocol that is not
 *HTTP
 *
 * --connections, --depth (requests in one segment), --rate (a second; 0: as fast as answers come),
 * --path, --post BYTES, --line (of a protocol that is not HTTP), --agent (the headers of a
 *browser).
 *
 * At a fixed rate a request's time begins when it was due, not when a connection was free for it:
 * a server that stops for a while delays all that were due meanwhile, and this is what users feel.
 * The first answer tells how long all are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, REQUEST_MAX = 1 << 20, BUFFER = 1 << 18 };

#define NSEC_PER_SEC 1000000000ULL

static const char browser[] =
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
	"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
	"DNT: 1\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\n"
	"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nSec-Fetch-User: ?1\r\n"
	"Priority: u=0, i\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n";

struct connection {
	int fd;
	size_t left; /* bytes of answers that are to come; 0: it is free */
	uint64_t due_ns;
};

struct client {
	struct connection connections[CONNECTIONS_MAX];
	struct connection *idle[CONNECTIONS_MAX];
	unsigned int n_connections, n_idle, depth;
	char *request; /* depth of them */
	size_t size, answer;
	uint64_t begun_ns, rate;
	size_t sent, done, wanted; /* in units of depth */
	uint32_t *took_ns;
	int epoll;
};

static char buffer[BUFFER];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in address_of(const char *port)
{
	return (struct sockaddr_in) { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int connect_to(const char *port)
{
	struct sockaddr_in address = address_of(port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void send_all(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t r = send(fd, data, n, MSG_NOSIGNAL);

		if (r < 0)
			fail("send");
		data += r;
		n -= (size_t)r;
	}
}

/* --- servers ---------------------------------------------------------------------------------- */

static void answer(int fd, bool echo)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

	if (n > 0)
		send_all(fd, echo ? buffer : ok, echo ? (size_t)n : sizeof(ok) - 1);
	else
		close(fd);
}

static _Noreturn void serve(const char *port, bool echo)
{
	struct sockaddr_in address = address_of(port);
	struct epoll_event event = { .events = EPOLLIN }, events[64];
	int one = 1, epoll = epoll_create1(EPOLL_CLOEXEC);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
		fail("listen");
	event.data.fd = fd;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll");
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != fd) {
				answer(events[i].data.fd, echo);
				continue;
			}
			event.data.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
			if (event.data.fd < 0)
				continue;
			setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
		}
	}
}

/* --- client ----------------------------------------------------------------------------------- */

/* One answer on a connection of its own; how long it is, with its head. */
static size_t fetch(const char *port, const char *request, size_t size, size_t *ret_head)
{
	int fd = connect_to(port);
	size_t n = 0, all = 0;
	const char *end = NULL, *length;

	send_all(fd, request, size);
	while (!end) {
		ssize_t r = recv(fd, buffer + n, sizeof(buffer) - 1 - n, 0);

		if (r <= 0)
			fail("the first answer");
		n += (size_t)r;
		buffer[n] = '\0';
		end = strstr(buffer, "\r\n\r\n");
	}
	length = strstr(buffer, "Content-Length: ");
	if (strncmp(buffer, "HTTP/1.1 20", 11) != 0 || !length || length > end) {
		fprintf(stderr, "no answer with a length: %.*s\n", (int)(end - buffer), buffer);
		exit(1);
	}
	*ret_head = (size_t)(end - buffer) + 4;
	all = *ret_head + strtoul(length + strlen("Content-Length: "), NULL, 10);
	while (n < all) {
		/* thrown away without being copied */
		ssize_t r = recv(fd, NULL, all - n < (1 << 20) ? all - n : 1 << 20, MSG_TRUNC);

		if (r <= 0)
			fail("the first answer");
		n += (size_t)r;
	}
	close(fd);
	return all;
}

static void send_next(struct client *c, struct connection *k)
{
	k->due_ns = c->rate ? c->begun_ns + c->sent * c->depth * NSEC_PER_SEC / c->rate : now_ns();
	k->left = c->answer * c->depth;
	c->sent++;
	send_all(k->fd, c->request, c->size * c->depth);
}

static void take(struct client *c, struct connection *k)
{
	ssize_t n = recv(k->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	uint64_t took;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || (size_t)n > k->left) {
		fprintf(stderr, "%s\n",
			n <= 0 ? "a connection was closed" : "more than was asked for");
		exit(1);
	}
	k->left -= (size_t)n;
	if (k->left)
		return;
	took = now_ns() - k->due_ns;
	c->took_ns[c->done++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
	c->idle[c->n_idle++] = k;
}

/* Sends what is due; nanoseconds until the next one is, 0: something else comes first. */
static uint64_t send_due(struct client *c)
{
	while (c->n_idle && c->sent < c->wanted) {
		uint64_t due =
			c->begun_ns + c->sent * c->depth * NSEC_PER_SEC / (c->rate ? c->rate : 1);
		uint64_t now = c->rate ? now_ns() : 0;

		if (c->rate && due > now)
			return due - now;
		send_next(c, c->idle[--c->n_idle]);
	}
	return 0;
}

static void run(struct client *c)
{
	struct epoll_event events[64];

	c->begun_ns = now_ns();
	while (c->done < c->wanted) {
		uint64_t wait = send_due(c);
		struct timespec t = { .tv_sec = (time_t)(wait / NSEC_PER_SEC),
			.tv_nsec = (long)(wait % NSEC_PER_SEC) };
		int n = epoll_pwait2(c->epoll, events, 64, wait ? &t : NULL, NULL);

		if (n < 0)
			fail("epoll");
		for (int i = 0; i < n; i++)
			take(c, events[i].data.ptr);
	}
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double percentile(const struct client *c, double share)
{
	size_t at = (size_t)(share * (double)c->wanted);

	return c->took_ns[at < c->wanted ? at : c->wanted - 1] / 1e3;
}

static void print(struct client *c)
{
	double took = (double)(now_ns() - c->begun_ns) / 1e9;

	qsort(c->took_ns, c->wanted, sizeof(*c->took_ns), compare);
	printf("{\"requests\":%zu,\"seconds\":%.6f,\"answer\":%zu,\"p50_us\":%.1f,\"p90_us\":%.1f,"
	       "\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}\n",
		c->wanted * c->depth, took, c->answer, percentile(c, 0.5), percentile(c, 0.9),
		percentile(c, 0.99), percentile(c, 0.999), percentile(c, 1));
}

/* One request, `depth` times; how long one is. */
static size_t write_request(
	char *request, const char *path, size_t post, const char *headers, unsigned int depth)
{
	int n = post ? snprintf(request, REQUEST_MAX,
			       "POST %s HTTP/1.1\r\nHost: lab\r\n%sContent-Length: %zu\r\n\r\n",
			       path, headers, post)
		     : snprintf(request, REQUEST_MAX, "GET %s HTTP/1.1\r\nHost: lab\r\n%s\r\n",
			       path, headers);
	size_t size = (size_t)n + post;

	if (n < 0 || size * depth > REQUEST_MAX) {
		fprintf(stderr, "the requests are too long\n");
		exit(2);
	}
	memset(request + n, 'x', post);
	for (unsigned int i = 1; i < depth; i++)
		memcpy(request + i * size, request, size);
	return size;
}

static void connect_all(struct client *c, const char *port)
{
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned int i = 0; i < c->n_connections; i++) {
		struct connection *k = &c->connections[i];
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = k };

		k->fd = connect_to(port);
		if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, k->fd, &event) < 0)
			fail("epoll");
		c->idle[c->n_idle++] = k;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "connections", required_argument, NULL, 'c' },
		{ "depth", required_argument, NULL, 'd' },
		{ "rate", required_argument, NULL, 'r' },
		{ "path", required_argument, NULL, 'p' },
		{ "post", required_argument, NULL, 'b' },
		{ "line", no_argument, NULL, 'l' },
		{ "agent", no_argument, NULL, 'a' },
		{ "fetch", required_argument, NULL, 'f' },
		{ "serve", no_argument, NULL, 's' },
		{ "echo", no_argument, NULL, 'e' },
		{},
	};
	static struct client c = { .n_connections = 8, .depth = 1 };
	static char request[REQUEST_MAX];
	const char *path = "/", *headers = "";
	bool line = false, one = false;
	size_t post = 0, head;
	int o, server = 0;

	while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (o) {
		case 'c':
			c.n_connections = (unsigned int)atoi(optarg);
			break;
		case 'd':
			c.depth = (unsigned int)atoi(optarg);
			break;
		case 'r':
			c.rate = strtoul(optarg, NULL, 10);
			break;
		case 'f':
			one = true;
			path = optarg;
			break;
		case 'p':
			path = optarg;
			break;
		case 'b':
			post = strtoul(optarg, NULL, 10);
			break;
		case 'l':
			line = true;
			break;
		case 'a':
			headers = browser;
			break;
		case 's':
		case 'e':
			server = o;
			break;
		default:
			return 2;
		}
	if (optind + (server || one ? 1 : 2) != argc || !c.depth || !c.n_connections ||
		c.n_connections > CONNECTIONS_MAX)
		return 2;
	if (server)
		serve(argv[optind], server == 'e');
	c.request = request;
	if (line)
		c.answer = c.size = (size_t)snprintf(
			request, REQUEST_MAX, "*3\r\n$3\r\nset\r\n$3\r\nkey\r\n$5\r\nvalue\r\n");
	else
		c.size = write_request(request, path, post, headers, c.depth);
	c.begun_ns = now_ns();
	if (!line)
		c.answer = fetch(argv[optind], request, c.size, &head);
	if (one) {
		printf("{\"bytes\":%zu,\"seconds\":%.6f}\n", c.answer,
			(double)(now_ns() - c.begun_ns) / 1e9);
		return 0;
	}
	c.wanted = strtoul(argv[optind + 1], NULL, 10) / c.depth;
	c.took_ns = calloc(c.wanted + 1, sizeof(*c.took_ns));
	if (!c.took_ns || !c.wanted)
		return 2;
	connect_all(&c, argv[optind]);
	run(&c);
	print(&c);
	return 0;
}
