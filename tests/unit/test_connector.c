/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process connector with real processes. Needs root in the host's own namespaces; else it is
 * skipped. */
#include "../../daemon/base/clock.h"
#include "../../daemon/edge/connector.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

/* A death is a matter of microseconds; a machine that is busy with a build needs longer. */
#define DEADLINE_NS (5 * NSEC_PER_SEC)

struct watch {
	pid_t pid;
	struct death death;
	bool seen;
};

static void on_death(void *userdata, const struct death *d)
{
	struct watch *w = userdata;

	if (d->pid == w->pid) {
		w->death = *d;
		w->seen = true;
	}
}

static void wait_for_death(sd_event *event, struct watch *w)
{
	uint64_t deadline = clock_monotonic_ns() + DEADLINE_NS;

	while (!w->seen && clock_monotonic_ns() < deadline)
		assert_true(sd_event_run(event, 100000) >= 0);
	assert_true(w->seen);
	assert_true(w->death.time_ns > 0 && w->death.time_ns <= clock_monotonic_ns());
}

static pid_t start(int code)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (code >= 0)
			_exit(code);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	return pid;
}

static void test_exit_and_signal(void **state)
{
	struct connector *c = NULL;
	sd_event *event = NULL;
	struct watch w = {};

	assert_true(sd_event_new(&event) >= 0);
	assert_true(connector_new(&c, event, on_death, &w) >= 0);
	w.pid = start(7);
	wait_for_death(event, &w);
	assert_int_equal(w.death.code, 7);
	assert_int_equal(w.death.signal, 0);
	waitpid(w.pid, NULL, 0);

	w = (struct watch) { .pid = start(-1) };
	kill(w.pid, SIGKILL);
	wait_for_death(event, &w);
	assert_int_equal(w.death.signal, SIGKILL);
	assert_int_equal(w.death.killer, KILLER_NONE); /* it does not know, and does not guess */
	waitpid(w.pid, NULL, 0);
	connector_free(c);
	sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_exit_and_signal) };
	struct connector *c = NULL;
	sd_event *event = NULL;

	if (sd_event_new(&event) < 0 || connector_new(&c, event, on_death, NULL) < 0) {
		puts("skipped: the process connector is not to be had here");
		return 77;
	}
	connector_free(c);
	sd_event_unref(event);
	return cmocka_run_group_tests_name("connector", tests, NULL, NULL);
}
