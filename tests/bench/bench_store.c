/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the evidence of an incident takes from the loop into the store and back as an
 * acknowledgement: what stands between a death and the first action. Prints percentiles for one
 * incident at a time and for bursts, and what the loop itself spends.
 *
 *	bench_store [FOLDER]	(default /var/tmp; the disk under it is what is measured)
 */
#include "../../daemon/base/clock.h"
#include "../../daemon/edge/store.h"

#include <stdio.h>
#include <string.h>

enum { SINGLES = 5000, BURSTS = 50, BURST = 200 };

static uint64_t took_ns[SINGLES > BURSTS *BURST ? SINGLES : BURSTS *BURST];
static uint64_t spent_ns[SINGLES > BURSTS *BURST ? SINGLES : BURSTS *BURST];
static size_t n_done;
static int failed;

static void on_ack(void *userdata, const char *key, int error)
{
	uint64_t *slot = userdata;

	*slot = clock_monotonic_ns() - *slot;
	failed += error != 0;
	n_done++;
}

/* What of this process is in memory now, in KiB. */
static long resident(void)
{
	long total = 0, pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file || fscanf(file, "%ld %ld", &total, &pages) != 2)
		pages = 0;
	if (file)
		fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void print(const char *what, uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	printf("%-34s p50 %8.1f us  p95 %8.1f us  p99 %8.1f us  max %9.1f us  (n=%zu)\n", what,
		(double)values[n / 2] / 1e3, (double)values[n * 95 / 100] / 1e3,
		(double)values[n * 99 / 100] / 1e3, (double)values[n - 1] / 1e3, n);
}

static struct incident *make(void)
{
	struct trouble t = { .present = true, .cause = CAUSE_KILLED };
	struct incident *i;
	char evidence[2048];

	t.time_ns = t.detected_ns = clock_monotonic_ns();
	strcpy(t.text, "killed by SIGKILL from bash[4711] (uid 1000, session-3.scope)");
	i = incident_new("bench.service", &t, t.time_ns, clock_realtime_usec());
	if (!i)
		abort();
	memset(evidence, 'x', sizeof(evidence));
	memcpy(evidence, "{\"log\":\"", 8);
	memcpy(evidence + sizeof(evidence) - 3, "\"}", 3);
	i->evidence = strdup(evidence);
	for (int k = 0; k < 8; k++)
		incident_note(i, t.time_ns, "detected", "line %d of the timeline, as it is", k);
	return i;
}

static int put(struct store *s, struct incident *i, size_t k)
{
	int r;

	took_ns[k] = spent_ns[k] = clock_monotonic_ns();
	r = store_put_incident(s, i, on_ack, &took_ns[k]);
	spent_ns[k] = clock_monotonic_ns() - spent_ns[k];
	incident_free(i);
	return r;
}

int main(int argc, char **argv)
{
	char dir[256], command[300];
	long before, after;
	struct store *s;
	sd_event *event;

	snprintf(dir, sizeof(dir), "%s/mendd-bench-XXXXXX", argc > 1 ? argv[1] : "/var/tmp");
	if (!mkdtemp(dir) || sd_event_new(&event) < 0)
		return 1;
	snprintf(command, sizeof(command), "%s/mendd.sqlite", dir);
	before = resident();
	if (store_open(&s, event, command, NULL) < 0 || sd_event_run(event, 0) < 0)
		return 1;

	for (size_t k = 0; k < SINGLES; k++) {
		if (put(s, make(), k) < 0)
			return 1;
		while (n_done == k)
			sd_event_run(event, UINT64_MAX);
	}
	after = resident();
	print("one at a time, put to ack:", took_ns, SINGLES);
	print("  of this on the loop, to put:", spent_ns, SINGLES);

	n_done = 0;
	for (size_t b = 0; b < BURSTS; b++) {
		for (size_t k = 0; k < BURST; k++)
			if (put(s, make(), b * BURST + k) < 0)
				return 1;
		while (n_done < (b + 1) * BURST)
			sd_event_run(event, UINT64_MAX);
	}
	print("bursts of 200, put to ack:", took_ns, (size_t)BURSTS * BURST);
	printf("failed: %d; resident: %ld KiB before, %ld KiB with the store in use, %ld KiB after"
	       " the bursts\n",
		failed, before, after, resident());
	store_close(s);
	sd_event_unref(event);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) == 0 ? 0 : 1;
}
