/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's table of routes; see http_routes.h. */
#include "http_routes.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

int http_routes_open(struct http_routes *r, const struct http_programs *p)
{
	void *table = mmap(NULL, HTTP_ROUTES * sizeof(*r->table), PROT_READ | PROT_WRITE,
		MAP_SHARED, p->maps[HTTP_MAP_ROUTE_COUNTS], 0);

	if (table == MAP_FAILED)
		return -errno;
	r->table = table;
	r->index = p->maps[HTTP_MAP_ROUTES];
	r->free = p->maps[HTTP_MAP_FREE_ROUTES];
	return 0;
}

void http_routes_done(struct http_routes *r)
{
	if (r->table)
		munmap(r->table, HTTP_ROUTES * sizeof(*r->table));
	r->table = NULL;
}

void http_routes_find(const struct http_routes *r, struct http_state *s, uint32_t unit)
{
	size_t wanted = s->totals->routes, n = 0;
	const volatile struct http_route **found;

	if (wanted <= s->n_routes)
		return;
	found = reallocarray(s->routes, wanted, sizeof(*found));
	if (!found)
		return;
	s->routes = found;
	/* The kernel may be about to add one: what is not there yet comes with the next tick. */
	for (uint32_t i = 1; i < HTTP_ROUTES && n < wanted; i++)
		if (r->table[i].unit == unit)
			s->routes[n++] = &r->table[i];
	s->n_routes = n;
}

void http_routes_forget(struct http_routes *r, uint32_t unit)
{
	for (uint32_t i = 1; i < HTTP_ROUTES; i++) {
		struct http_route *route = &r->table[i];
		struct http_route_key key = { .unit = unit };

		if (route->unit != unit)
			continue;
		memcpy(key.name, route->name, sizeof(key.name));
		bpf_map_delete_elem(r->index, &key);
		memset(route, 0, sizeof(*route));
		bpf_map_update_elem(r->free, NULL, &i, BPF_ANY);
	}
}
