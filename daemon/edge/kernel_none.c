/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In the place of kernel.c, http.c and their parts where the option "bpf" is disabled: the kernel
 * is not asked for anything, and the fallbacks of a kernel that refuses are at work.
 */
#include "http.h"
#include "http_loader.h"
#include "kernel.h"

#define WHY "this mendd was built without kernel programs"

int kernel_new(struct kernel **ret, sd_event *event, struct world *w, struct fdstore *stored,
	const struct kernel_handlers *handlers, void *userdata)
{
	world_feature(w, "bpf", false, WHY);
	return -EOPNOTSUPP;
}

struct kernel *kernel_free(struct kernel *k)
{
	return NULL;
}

int kernel_scan(struct kernel *k)
{
	return -EOPNOTSUPP;
}

int kernel_watch(struct kernel *k, uint64_t cgroup, bool watch)
{
	return -EOPNOTSUPP;
}

uint64_t kernel_unit_cgroup(const struct kernel *k, uint64_t cgroup)
{
	return 0;
}

void kernel_refresh(struct kernel *k)
{
}

bool kernel_is_adopted(const struct kernel *k)
{
	return false;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

bool http_programs_adopt(struct http_programs *p, uint32_t n_details, struct fdstore *stored)
{
	return false;
}

void http_programs_store(const struct http_programs *p)
{
}

void http_programs_tell(const struct http_programs *p, int error, struct world *w)
{
	world_feature(w, "http", false, WHY);
}

int http_loader_new(struct http_loader **ret, sd_event *event, uint32_t n_details,
	http_loaded_fn on_loaded, void *userdata)
{
	return -EOPNOTSUPP;
}

struct http_loader *http_loader_free(struct http_loader *l)
{
	return NULL;
}

int http_source_new(struct http_source **ret, struct world *w, struct http_programs *programs,
	struct fdstore *stored, http_record_fn on_record, void *userdata)
{
	return -EOPNOTSUPP;
}

struct http_source *http_source_free(struct http_source *s)
{
	return NULL;
}

void http_source_settle(struct http_source *s)
{
}

int http_source_attach(struct http_source *s, const char *unit, uint64_t cgroup, const char *path)
{
	return -EOPNOTSUPP;
}

void http_source_detach(struct http_source *s, uint64_t cgroup)
{
}

struct http_state *http_source_state(struct http_source *s, const char *unit)
{
	return NULL;
}

void http_source_forget(struct http_source *s, const char *unit)
{
}

void http_source_tick(struct http_source *s, uint64_t now_ns)
{
}

void http_source_refresh(struct http_source *s)
{
}

void http_source_limit(struct http_source *s, const char *unit, uint64_t slow_ns, uint32_t routes)
{
}

void http_source_probe_port(struct http_source *s, uint16_t port, bool in_use)
{
}
