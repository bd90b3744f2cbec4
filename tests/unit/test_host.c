/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host as a reason (judge/host.c): clocks, pressure, and many units at once; and reading the
 * pressure and the processes of a unit (edge/pressure.c, edge/processes.c), from files of the
 * test's own and from the processes that it has.
 */
#include "cmocka_all.h"
#include "../../daemon/edge/pressure.h"
#include "../../daemon/edge/processes.h"
#include "../../daemon/judge/host.h"
#include "traffic_model.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define S NSEC_PER_SEC
#define NOW (100000 * S)
#define FAST (10 * NSEC_PER_MSEC)

static void clocks(void **state)
{
	struct host_state h = {};

	/* just booted */
	assert_int_equal(host_grace_end_ns(&h, 5 * S), HOST_GRACE_NS);
	host_note_clocks(&h, NOW, NOW + 7 * S); /* it slept before mendd was started */
	assert_int_equal(h.resumed_ns, 0);
	assert_true(host_grace_end_ns(&h, NOW) <= NOW);
	/* readings of the two clocks are some time apart: that is no sleep */
	host_note_clocks(&h, NOW + S, NOW + 8 * S + S / 2);
	assert_int_equal(h.resumed_ns, 0);
	host_note_clocks(&h, NOW + 2 * S, NOW + 9 * S);
	assert_int_equal(h.resumed_ns, 0);
	/* an hour */
	host_note_clocks(&h, NOW + 3 * S, NOW + 3610 * S);
	assert_int_equal(h.resumed_ns, NOW + 3 * S);
	assert_int_equal(host_grace_end_ns(&h, NOW + 3 * S), NOW + 3 * S + HOST_GRACE_NS);
	host_note_clocks(&h, NOW + 4 * S, NOW + 3611 * S);
	assert_int_equal(h.resumed_ns, NOW + 3 * S);
}

static void pressure_has_hysteresis(void **state)
{
	static const struct {
		struct pressure p;
		bool pressed, starved;
	} rows[] = {
		{ { 59, 0, 0 }, false, false },
		{ { 60, 0, 0 }, true, false },
		{ { 41, 0, 0 }, true, false },
		{ { 39, 0, 0 }, false, false },
		{ { 59, 19, 49 }, false, false },
		{ { 0, 20, 0 }, true, false },
		{ { 0, 0, 0 }, false, false },
		{ { 0, 0, 50 }, true, false },
		{ { 0, 0, 29 }, false, false },
		{ { 96, 0, 0 }, true, true },
		{ { 81, 0, 0 }, true, true },
		{ { 79, 0, 0 }, true, false },
		{ { 0, 41, 0 }, true, true },
		{ { 0, 0, 0 }, false, false },
	};
	struct host_state h = {};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		host_note_pressure(&h, &rows[i].p, NOW);
		if (h.pressed != rows[i].pressed || h.starved != rows[i].starved)
			fail_msg("row %zu: pressed %d, starved %d", i, h.pressed, h.starved);
	}
	host_note_pressure(&h, &(struct pressure) { 100, 100, 100 }, NOW);
	assert_true(h.starved);
	/* a kernel that cannot tell says nothing against anybody */
	host_note_pressure(&h, NULL, NOW);
	assert_false(h.pressed || h.starved);
	assert_int_equal(h.pressure_ns, 0);
}

static void note(struct host_state *h, double waited, double average, uint64_t now)
{
	const struct pressure waits = { waited, 0, 0 }, p = { average, 0, 0 };

	host_note_waits(h, &waits, &p, now);
	host_note_pressure(h, &p, now);
}

/* Second by second: what the kernel's average has not seen yet. */
static void pressure_is_noticed_soon(void **state)
{
	struct host_state h = {};
	double waited = 1000;
	uint64_t now = NOW;

	for (int second = 0; second <= 6; second++) {
		note(&h, waited, 0, now);
		assert_int_equal(h.pressed, second >= 2);
		assert_int_equal(h.starved, second >= 6);
		waited += 1;
		now += S;
	}
	/* read again at once: nothing has been learned */
	note(&h, waited, 20, now - S + 1);
	assert_true(h.starved);
	/* nobody waits any more, and both averages have to say so */
	for (int second = 0; second < 3; second++) {
		note(&h, waited, 60, now);
		now += S;
	}
	assert_true(h.pressed && !h.starved);
	note(&h, waited, 39, now);
	assert_false(h.pressed);
	/* what began while nobody looked is not known to have been lately: the average counts … */
	waited += 1000;
	now += 60 * S;
	note(&h, waited, 25, now);
	assert_false(h.pressed);
	/* … and what comes is added to it, where nothing would still be too little */
	note(&h, waited + .8, 25, now + S);
	assert_false(h.pressed);
	note(&h, waited + 1.6, 25, now + 2 * S);
	assert_true(h.pressed);
}

enum { UNITS = 12 };

struct park {
	struct service s[UNITS];
	struct world w;
};

static struct park *park_new(void)
{
	struct park *p = calloc(1, sizeof(*p));
	char name[32];

	assert_non_null(p);
	world_init(&p->w);
	for (int i = 0; i < UNITS; i++) {
		snprintf(name, sizeof(name), "shop-%d.service", i);
		service_begin(&p->s[i], &p->w, name, NOW);
	}
	return p;
}

static void park_free(struct park *p)
{
	world_done(&p->w);
	free(p);
}

/* One second in which the first `bad` units fail; the others are well. */
static void park_second(struct park *p, int bad)
{
	for (int i = 0; i < UNITS; i++) {
		service_answer(&p->s[i], i < bad ? HTTP_CLASS_5XX : HTTP_CLASS_2XX, FAST, 20);
		service_pass(&p->s[i], S);
	}
	host_judge(&p->w, p->s[0].now);
}

static const struct alert *correlated(const struct park *p)
{
	return host_alert(&p->w.host, RULE_CORRELATED);
}

static void many_at_once(void **state)
{
	struct park *p = park_new();

	/* nearly: 3 of 12, and 30 % are 4 */
	for (int i = 0; i < 20; i++)
		park_second(p, 3);
	assert_int_equal(unit_alert_state(p->s[2].u, RULE_HTTP_ERRORS), ALERT_FIRING);
	assert_int_equal(correlated(p)->state, ALERT_INACTIVE);
	assert_int_equal(p->w.host.n_judged, UNITS);
	park_free(p);

	p = park_new();
	park_second(p, 0);
	for (int i = 0; i < 2; i++) {
		park_second(p, 6);
		assert_int_equal(correlated(p)->state, ALERT_INACTIVE); /* only suspicions yet */
	}
	park_second(p, 6);
	assert_int_equal(unit_alert_state(p->s[5].u, RULE_HTTP_ERRORS), ALERT_FIRING);
	/* in the same second in which the first of them could be acted upon */
	assert_int_equal(correlated(p)->state, ALERT_FIRING);
	assert_non_null(strstr(correlated(p)->text, "6 of 12 units went bad within 30 s"));
	assert_non_null(strstr(correlated(p)->text, "all by http-errors"));
	assert_non_null(strstr(correlated(p)->text, "nothing else is known"));
	assert_true(host_counts(p->s[0].u, p->s[0].now));
	assert_false(host_counts(p->s[6].u, p->s[6].now));
	/* it lasts as long as they are bad, also beyond the half minute */
	for (int i = 0; i < 60; i++)
		park_second(p, 6);
	assert_int_equal(correlated(p)->state, ALERT_FIRING);
	/* nearly over: it takes ten seconds of calm, and some for the units' own alerts */
	for (int i = 0; i < 9; i++)
		park_second(p, 0);
	assert_int_equal(unit_alert_state(p->s[5].u, RULE_HTTP_ERRORS), ALERT_RESOLVED);
	assert_int_equal(correlated(p)->state, ALERT_FIRING);
	for (int i = 0; i < 10; i++)
		park_second(p, 0);
	assert_int_equal(correlated(p)->state, ALERT_RESOLVED);
	park_free(p);
}

/* One after the other is not at once. */
static void one_after_the_other(void **state)
{
	struct park *p = park_new();

	for (int bad = 1; bad <= 6; bad++)
		for (int i = 0; i < 15; i++)
			park_second(p, bad);
	assert_int_equal(unit_alert_state(p->s[5].u, RULE_HTTP_ERRORS), ALERT_FIRING);
	assert_int_equal(correlated(p)->state, ALERT_INACTIVE);
	park_free(p);
}

/* Deaths count as bad, so that what fails because of them is not restarted too. */
static void deaths_count(void **state)
{
	struct park *p = park_new();

	for (int i = 3; i < 6; i++) {
		p->s[i].u->facts.active = ACTIVE_FAILED;
		p->s[i].u->heal.trouble = (struct trouble) {
			.present = true, .cause = CAUSE_CRASHED, .detected_ns = NOW
		};
	}
	for (int i = 0; i < 3; i++)
		park_second(p, 1);
	assert_int_equal(correlated(p)->state, ALERT_FIRING);
	assert_non_null(strstr(correlated(p)->text, "4 of 12 units"));
	park_free(p);
}

/* Few units: three at least. */
static void three_at_least(void **state)
{
	for (int bad = 2; bad <= 3; bad++) {
		struct park *p = park_new();

		for (int i = 4; i < UNITS; i++)
			p->s[i].u->settings.http = HTTP_MODE_NO;
		for (int i = 0; i < 5; i++)
			park_second(p, bad);
		assert_int_equal(p->w.host.n_judged, 4);
		assert_int_equal(correlated(p)->state, bad == 3 ? ALERT_FIRING : ALERT_INACTIVE);
		park_free(p);
	}
}

static void require(struct unit *u, const char *name)
{
	u->dependencies = calloc(1, sizeof(char *));
	u->dependencies[0] = strdup(name);
	u->n_dependencies = 1;
}

static void common_factors(void **state)
{
	static const char *const expected[] = { "all require db.service", "all are in /shop.slice/",
		"the host is overloaded", "nothing else is known" };

	for (int way = 0; way < 4; way++) {
		struct park *p = park_new();

		for (int i = 0; i < 5; i++) {
			struct unit *u = p->s[i].u;

			if (way == 0)
				require(u, i == 2 ? "other.service" : "db.service");
			else if (way == 1)
				snprintf(u->facts.cgroup, sizeof(u->facts.cgroup), "/shop.slice/%s",
					u->name);
		}
		/* where all are, those who are down and have none do not count */
		for (int i = 0; way == 3 && i < UNITS; i++)
			snprintf(p->s[i].u->facts.cgroup, sizeof(p->s[i].u->facts.cgroup),
				"/system.slice/%s", p->s[i].u->name);
		if (way == 3)
			assert_non_null(world_unit_add(&p->w, "down.service"));
		if (way == 0) /* one that does not would spoil it */
			strcpy(p->s[2].u->dependencies[0], "db.service");
		if (way == 2)
			host_note_pressure(&p->w.host, &(struct pressure) { 99, 0, 0 }, NOW);
		for (int i = 0; i < 4; i++)
			park_second(p, 5);
		assert_int_equal(correlated(p)->state, ALERT_FIRING);
		if (!strstr(correlated(p)->text, expected[way]))
			fail_msg("%s is not in: %s", expected[way], correlated(p)->text);
		park_free(p);
	}
}

static void pressure_is_told_where_it_matters(void **state)
{
	struct park *p = park_new();
	const struct alert *a = host_alert(&p->w.host, RULE_HOST_PRESSURE);

	host_note_pressure(&p->w.host, &(struct pressure) { 99, 0, 0 }, NOW);
	park_second(p, 0);
	assert_int_equal(a->state, ALERT_INACTIVE); /* busy, and all are well */
	assert_false(host_wants_pressure(&p->w));
	for (int i = 0; i < 3; i++)
		park_second(p, 1);
	assert_true(host_wants_pressure(&p->w));
	assert_int_equal(a->state, ALERT_FIRING);
	assert_non_null(strstr(a->text, "tasks wait for processors 99 %"));
	/* it is asked until it is over, also when the units are well again */
	for (int i = 0; i < 30; i++) {
		host_note_pressure(&p->w.host, &(struct pressure) { 70, 0, 0 }, p->s[0].now);
		park_second(p, 0);
	}
	assert_int_equal(a->state, ALERT_FIRING);
	assert_true(host_wants_pressure(&p->w));
	for (int i = 0; i < 10; i++) {
		host_note_pressure(&p->w.host, &(struct pressure) { 0, 0, 0 }, p->s[0].now);
		park_second(p, 0);
	}
	assert_int_equal(a->state, ALERT_RESOLVED);
	/* what was read long ago says nothing */
	host_note_pressure(&p->w.host, &(struct pressure) { 99, 99, 99 }, p->s[0].now);
	for (int i = 0; i < 20; i++)
		park_second(p, 1);
	assert_false(p->w.host.pressed);
	park_free(p);
}

/* --- the edges -------------------------------------------------------------------------------- */

static void put(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void reading_pressure(void **state)
{
	char dir[] = "/tmp/mendd-test-XXXXXX", command[64];
	struct pressure p = { 1, 2, 3 }, waits = { 4, 5, 6 };

	assert_non_null(mkdtemp(dir));
	assert_int_equal(pressure_read(dir, &p, NULL), -ENOENT);
	put(dir, "cpu",
		"some avg10=12.34 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=9.00 x\n");
	put(dir, "memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n");
	assert_int_equal(pressure_read(dir, &p, NULL), -ENOENT);
	put(dir, "io", "some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n");
	assert_true(p.cpu == 1 && p.memory == 2 && p.io == 3);
	assert_int_equal(pressure_read(dir, &p, NULL), 0);
	assert_true(p.cpu > 12.33 && p.cpu < 12.35 && p.memory == 0 && p.io == 100);
	assert_int_equal(pressure_read(dir, &p, &waits), 0);
	assert_true(waits.cpu == 2.5 && waits.memory == 1e-6 && waits.io == 1e-6);
	put(dir, "io", "some avg10=101.00 avg60=0.00 avg300=0.00 total=1\n");
	assert_int_equal(pressure_read(dir, &p, NULL), -EBADMSG);
	put(dir, "io", "some avg10=1.00 avg60=0.00 avg300=0.00\n");
	assert_int_equal(pressure_read(dir, &p, NULL), -EBADMSG);
	put(dir, "io", "");
	assert_int_equal(pressure_read(dir, &p, NULL), -EBADMSG);
	put(dir, "io", "some avg10=nan avg60=0.00 avg300=0.00 total=1\n");
	assert_int_equal(pressure_read(dir, &p, NULL), -EBADMSG);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void looking_at_processes(void **state)
{
	char file[] = "/tmp/mendd-test-XXXXXX", pids[64];
	_cleanup_strbuf_ struct strbuf json = {};
	pid_t child = fork();
	bool stopped;
	int fd;

	if (child == 0)
		for (;;)
			pause();
	assert_true(child > 0);
	fd = mkstemp(file);
	assert_true(fd >= 0);
	/* ours, the child, and one that is gone */
	snprintf(pids, sizeof(pids), "%d\n%d\n%d\n", (int)getpid(), (int)child, 0x3fffffff);
	assert_int_equal(write(fd, pids, strlen(pids)), (ssize_t)strlen(pids));
	close(fd);
	assert_int_equal(processes_look(file, getpid(), &stopped, &json), 2);
	assert_false(stopped);
	assert_int_equal(json.error, 0);
	assert_int_equal(json.data[0], '[');
	snprintf(pids, sizeof(pids), "{\"pid\":%d,\"comm\":\"test_host\",\"state\":\"R\"",
		(int)getpid());
	assert_non_null(strstr(json.data, pids));
	assert_int_equal(kill(child, SIGSTOP), 0);
	assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
	assert_int_equal(processes_look(file, 0, &stopped, NULL), 2);
	assert_true(stopped);
	/* the main process alone, where there is no cgroup to ask */
	assert_int_equal(processes_look("/nonexistent", child, &stopped, NULL), 1);
	assert_true(stopped);
	assert_int_equal(processes_look("/nonexistent", 0, &stopped, NULL), 0);
	assert_false(stopped);
	/* it runs, and is being traced: by a stranger, or by one that is listed with it */
	assert_int_equal(kill(child, SIGCONT), 0);
	assert_int_equal(waitpid(child, NULL, WCONTINUED), child);
	assert_int_equal(processes_look("/nonexistent", child, &stopped, NULL), 1);
	assert_false(stopped);
	assert_int_equal(ptrace(PTRACE_SEIZE, child, NULL, NULL), 0);
	json.len = 0;
	assert_int_equal(processes_look("/nonexistent", child, &stopped, &json), 1);
	assert_true(stopped);
	snprintf(pids, sizeof(pids), ",\"tracer\":%d}]", (int)getpid());
	assert_non_null(strstr(json.data, pids));
	assert_int_equal(processes_look(file, 0, &stopped, NULL), 2);
	assert_false(stopped);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	unlink(file);
}

static void configuration(void **state)
{
	struct world w = {};
	const struct alert *a;

	world_init(&w);
	a = host_alert(&w.host, RULE_CONFIG);
	host_judge(&w, NSEC_PER_SEC);
	assert_int_equal(a->state, ALERT_INACTIVE);
	w.settings_ok = false;
	strcpy(w.settings_error, "f:1: unknown section [Mend]");
	host_judge(&w, 2 * NSEC_PER_SEC);
	assert_int_equal(a->state, ALERT_FIRING);
	assert_string_equal(a->text, "f:1: unknown section [Mend]");
	w.settings_ok = true;
	host_judge(&w, 3 * NSEC_PER_SEC);
	assert_int_equal(a->state, ALERT_RESOLVED);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks),
		cmocka_unit_test(pressure_has_hysteresis),
		cmocka_unit_test(pressure_is_noticed_soon),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(deaths_count),
		cmocka_unit_test(three_at_least),
		cmocka_unit_test(common_factors),
		cmocka_unit_test(pressure_is_told_where_it_matters),
		cmocka_unit_test(configuration),
		cmocka_unit_test(reading_pressure),
		cmocka_unit_test(looking_at_processes),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
