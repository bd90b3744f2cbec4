/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The check "tcp" against real sockets of this host. */
#include "../../daemon/edge/plugin_host.h"
#include "../../plugins/builtin.h"
#include "loop.h"

#include "../../daemon/base/str.h"

#include <arpa/inet.h>
#include <sys/socket.h>

struct fixture {
	sd_event *event;
	struct plugin_host *host;
	struct world world;
	int verdicts, status;
	char text[512], perfdata[256];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(plugin_host_new(&f->host, f->event, NULL, &f->world), 0);
	assert_int_equal(plugin_host_register(f->host, &tcp_plugin), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	plugin_host_free(f->host);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static void on_verdict(void *userdata, const char *unit, const struct mend_verdict *verdict)
{
	struct fixture *f = userdata;

	f->verdicts++;
	f->status = verdict->status;
	str_copy(f->text, sizeof(f->text), verdict->text);
	str_copy(f->perfdata, sizeof(f->perfdata), verdict->perfdata);
}

static void run(struct fixture *f, const char *command, uint64_t timeout_ns)
{
	int before = f->verdicts;

	assert_int_equal(plugin_host_check_start(f->host, "shop.service", command,
				 3600 * NSEC_PER_SEC, timeout_ns, on_verdict, f),
		0);
	plugin_host_check_now(f->host, "shop.service");
	LOOP_UNTIL(f->event, f->verdicts > before);
	plugin_host_check_stop(f->host, "shop.service");
}

/* A bound socket of the loopback, its port, and the length of its queue; -1: it does not listen. */
static int make_socket(int family, uint16_t *ret_port, int queue)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = { .any.sa_family = (sa_family_t)family };
	socklen_t size = family == AF_INET ? sizeof(a.v4) : sizeof(a.v6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (family == AF_INET)
		a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a.v6.sin6_addr = in6addr_loopback;
	if (fd < 0 || bind(fd, &a.any, size) < 0) {
		print_message("skipped: no loopback of family %d\n", family);
		skip();
	}
	assert_int_equal(getsockname(fd, &a.any, &size), 0);
	*ret_port = ntohs(family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
	if (queue >= 0)
		assert_int_equal(listen(fd, queue), 0);
	return fd;
}

static void accepts(void **state)
{
	struct fixture *f = *state;
	char command[64];
	uint16_t port;
	int fd = make_socket(AF_INET, &port, 4);

	snprintf(command, sizeof(command), "tcp 127.0.0.1:%u", port);
	run(f, command, NSEC_PER_SEC);
	assert_int_equal(f->status, MEND_OK);
	assert_non_null(strstr(f->text, "accepts connections"));
	assert_int_equal(strncmp(f->perfdata, "time=0.", 7), 0);
	assert_non_null(strstr(f->perfdata, "s;;;0;1.000"));
	snprintf(command, sizeof(command), "tcp localhost:%u", port);
	run(f, command, NSEC_PER_SEC);
	assert_int_equal(f->status, MEND_OK);
	close(fd);
}

static void accepts_v6(void **state)
{
	struct fixture *f = *state;
	char command[64];
	uint16_t port;
	int fd = make_socket(AF_INET6, &port, 4);

	snprintf(command, sizeof(command), "tcp [::1]:%u", port);
	run(f, command, NSEC_PER_SEC);
	assert_int_equal(f->status, MEND_OK);
	close(fd);
}

static void refuses(void **state)
{
	struct fixture *f = *state;
	char command[64];
	uint16_t port;
	int fd = make_socket(AF_INET, &port, -1);

	snprintf(command, sizeof(command), "tcp 127.0.0.1:%u", port);
	run(f, command, NSEC_PER_SEC);
	assert_int_equal(f->status, MEND_CRITICAL);
	assert_non_null(strstr(f->text, "Connection refused"));
	close(fd);
}

static void does_not_answer(void **state)
{
	struct fixture *f = *state;
	char command[64];
	uint16_t port;
	int fd = make_socket(AF_INET, &port, 0), full[8];
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port) };

	/* A queue that is full: the kernel drops further connections, as a hung server's does. */
	for (size_t i = 0; i < ARRAY_SIZE(full); i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(connect(full[i], (struct sockaddr *)&a, sizeof(a)) == 0 ||
			    errno == EINPROGRESS);
	}
	snprintf(command, sizeof(command), "tcp 127.0.0.1:%u", port);
	run(f, command, 60 * NSEC_PER_MSEC);
	assert_int_equal(f->status, MEND_CRITICAL);
	assert_non_null(strstr(f->text, "did not accept within 60 ms"));
	for (size_t i = 0; i < ARRAY_SIZE(full); i++)
		close(full[i]);
	close(fd);
}

static void mistakes(void **state)
{
	static const char *const bad[] = {
		"tcp",
		"tcp 127.0.0.1",
		"tcp 127.0.0.1:",
		"tcp 127.0.0.1:0",
		"tcp 127.0.0.1:65536",
		"tcp 127.0.0.1:80x",
		"tcp 127.0.0.1:-1",
		"tcp www.example.org:80",
		"tcp ::1:80",
		"tcp [::1]80",
		"tcp [::1:80",
		"tcp :80",
		"tcp 1111111111111111111111111111111111111111111111111111111111111:80",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		run(f, bad[i], NSEC_PER_SEC);
		assert_int_equal(f->status, MEND_UNKNOWN);
		assert_non_null(strstr(f->text, "is not HOST:PORT"));
	}
	assert_true(f->world.plugins[0].active);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(accepts),
		TEST(accepts_v6),
		TEST(refuses),
		TEST(does_not_answer),
		TEST(mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
