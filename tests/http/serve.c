/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The real HTTP server on a real sd-event loop, over a world of as many units as the first argument
 * says. Listens on a free port of 127.0.0.1 and on the same one of ::1 where there is IPv6, prints
 * the port, and ends at SIGTERM; "own" as second argument lets the server bind its own port.
 */
#include "../../daemon/base/clock.h"
#include "../../daemon/edge/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel's memory of one unit that speaks HTTP. */
static struct http_totals totals = { .started = 9, .finished = 8 };
static struct http_detail detail;

static void fill_http(struct world *w, struct unit *u)
{
	u->http = http_state_new(&totals, &detail);
	if (!u->http)
		exit(1);
	detail.codes[HTTP_GET][http_place_of_code(200)] = 7;
	detail.codes[HTTP_OTHER][0] = 1;
	for (unsigned int c = 0; c < HTTP_CLOCKS; c++) {
		detail.histograms[c][HTTP_CLASS_OTHER][80] = 1;
		detail.histograms[c][HTTP_CLASS_2XX][100] = 7;
		detail.sums_ns[c][HTTP_CLASS_2XX] = NSEC_PER_SEC;
	}
	totals.untracked[HTTP_UNTRACKED_TLS] = 1;
	http_ages_add(&detail.waiting, 1, 1);
	http_tick(u->http, clock_monotonic_ns());
	w->http_units = 1;
	w->http_units_max = 2;
}

static void fill(struct world *w, unsigned int n)
{
	uint64_t now_ns = clock_monotonic_ns();

	world_init(w);
	w->started_usec = w->settings_loaded_usec = clock_realtime_usec();
	world_feature(w, "bpf", true, "in use");
	world_feature(w, "store", false, "no room");
	w->lost[w->n_lost++] = (struct loss) { .kind = "death", .count = 1 };
	w->programs[w->n_programs++] = (struct program_stats) { .name = "on_exit", .runs = 3 };
	delay_histogram_add(&w->detection, .00004);
	for (unsigned int i = 0; i < n; i++) {
		char name[64];
		struct unit *u;

		snprintf(name, sizeof(name), "unit\\x2d%u.service", i);
		u = world_unit_add(w, name);
		if (!u)
			exit(1);
		u->health = (enum health)(i % HEALTH_COUNT);
		/* what a page for people must not take as its own text */
		snprintf(u->health_reason, sizeof(u->health_reason),
			"killed by <script>alert('%u')</script> & \"\xff\"", i);
		u->last_death.time_ns = now_ns;
	}
	if (n > 1)
		fill_http(w, world_unit(w, "unit\\x2d1.service"));
	if (n > 2) {
		const struct trouble t = { .present = true,
			.cause = CAUSE_KILLED,
			.text = "killed by SIGKILL from <b>bash</b>[4711]" };
		struct unit *u = world_unit(w, "unit\\x2d2.service");

		u->incident = incident_new(u->name, &t, now_ns, clock_realtime_usec());
	}
}

static int listen_on(const void *address, socklen_t size)
{
	int fd = socket(
		((const struct sockaddr *)address)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	if (((const struct sockaddr *)address)->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, address, size) < 0 || listen(fd, 512) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_in four = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct metrics_server *server = NULL;
	socklen_t size = sizeof(four);
	sd_event *event = NULL;
	struct world world;
	sigset_t set;
	int fd, r;

	if (argc < 2)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fill(&world, (unsigned int)atoi(argv[1]));
	if (sd_event_new(&event) < 0 || sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL) < 0)
		return 1;
	if (argc > 2) {
		r = metrics_server_new(&server, event, &world, -1);
		four.sin_port = htons(METRICS_PORT);
	} else {
		fd = listen_on(&four, sizeof(four));
		if (fd < 0 || getsockname(fd, (struct sockaddr *)&four, &size) < 0)
			return 1;
		r = metrics_server_new(&server, event, &world, fd);
		six.sin6_port = four.sin_port;
		fd = listen_on(&six, sizeof(six));
		if (r >= 0 && fd >= 0)
			r = metrics_server_listen(server, fd);
	}
	if (r < 0) {
		fprintf(stderr, "server: %s\n", strerror(-r));
		return 1;
	}
	printf("%u\n", ntohs(four.sin_port));
	fflush(stdout);
	r = sd_event_loop(event);
	metrics_server_free(server);
	sd_event_unref(event);
	world_done(&world);
	return r < 0;
}
