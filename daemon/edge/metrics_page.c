/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page of metrics: the world's (judge/collect.h), then the daemon's own under the names that
 * every Prometheus client library uses. See metrics_page.h.
 */
#include "metrics_page.h"
#include "../base/clock.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>

static bool read_memory(uint64_t *ret_virtual, uint64_t *ret_resident)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), size, resident;

	if (!f || fscanf(f, "%" SCNu64 " %" SCNu64, &size, &resident) != 2)
		return false;
	*ret_virtual = size * page;
	*ret_resident = resident * page;
	return true;
}

static bool count_fds(uint64_t *ret)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	uint64_t n = 0;

	if (!dir)
		return false;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			n++;
	closedir(dir);
	*ret = n - 1; /* the one that reads the directory */
	return true;
}

/* What cannot be read is left out: absent is the word for unknown. */
static void process(const struct world *w, struct metric_writer *m)
{
	uint64_t cpu_ns = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID), virtual, resident, fds;
	struct rlimit limit;

	metric_family(m, "process_cpu_seconds_total", METRIC_COUNTER, "seconds",
		"User and system CPU time of mendd.");
	metric_sample(m, NULL, (double)cpu_ns / 1e9);
	if (count_fds(&fds)) {
		metric_family(m, "process_open_fds", METRIC_GAUGE, NULL,
			"Open file descriptors of mendd.");
		metric_count(m, NULL, fds);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		metric_family(m, "process_max_fds", METRIC_GAUGE, NULL,
			"Most file descriptors that mendd may have open.");
		metric_count(m, NULL, limit.rlim_cur);
	}
	if (read_memory(&virtual, &resident)) {
		metric_family(m, "process_virtual_memory_bytes", METRIC_GAUGE, "bytes",
			"Virtual memory of mendd.");
		metric_count(m, NULL, virtual);
		metric_family(m, "process_resident_memory_bytes", METRIC_GAUGE, "bytes",
			"Resident memory of mendd.");
		metric_count(m, NULL, resident);
	}
	if (w->started_usec > 0) {
		metric_family(m, "process_start_time_seconds", METRIC_GAUGE, "seconds",
			"When mendd started, in seconds since the epoch.");
		metric_sample(m, NULL, (double)w->started_usec / 1e6);
	}
}

static void server(const struct scrape_counters *c, struct metric_writer *m)
{
	metric_family(m, "mendd_scrapes_total", METRIC_COUNTER, NULL,
		"Requests that this HTTP server answered.");
	metric_count(m, NULL, c->requests);
	metric_family(m, "mendd_scrape_connections_refused_total", METRIC_COUNTER, NULL,
		"Connections and answers of this HTTP server that a limit refused.");
	metric_count(m, NULL, c->refused);
	metric_family(m, "mendd_scrape_connections_cut_total", METRIC_COUNTER, NULL,
		"Connections that this HTTP server closed because the client was too slow.");
	metric_count(m, NULL, c->cut);
}

int metrics_page(const struct world *w, const struct scrape_counters *counters,
	enum metric_format format, struct strbuf *out)
{
	uint64_t begin_ns = clock_monotonic_ns();
	struct metric_writer m;
	int r;

	out->cap = METRICS_PAGE_MAX;
	metric_begin(&m, out, format);
	r = collect_world(w, &m, begin_ns, clock_realtime_usec());
	if (r < 0)
		return r;
	process(w, &m);
	if (counters)
		server(counters, &m);
	metric_family(&m, "mendd_scrape_duration_seconds", METRIC_GAUGE, "seconds",
		"Time that it took to write this page.");
	metric_sample(&m, NULL, (double)(clock_monotonic_ns() - begin_ns) / 1e9);
	metric_end(&m);
	return out->error;
}
