// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The HTTP programs without a socket. BPF_PROG_TEST_RUN gives a packet a socket of no protocol, at
 * which http_in and http_out leave at once; here the same functions, behind that decision, work on
 * a connection that lies in an array, so that any packet reaches them in any state.
 *
 * For the test of this folder, on the kernel that it runs on. Needs bpf_loop: 5.17.
 */
#include "../../bpf/http.bpf.c"
#include "http_any.h"

_Static_assert(ANY_SERVER == ROLE_SERVER, "what a report says of a connection");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ANY_SUBJECTS);
	__type(key, u32);
	__type(value, struct connection);
} subjects SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ANY_SUBJECTS);
	__type(key, u32);
	__type(value, struct any_report);
} reports SEC(".maps");

static __always_inline void report(
	struct any_report *r, const struct connection *c, const struct packet *p)
{
	r->packets++;
	r->role = c->role;
	r->open = c->open;
	r->client_gone = c->client_gone;
	r->waiting = c->ahead.length;
	r->in_next = c->in.next;
	r->out_next = c->out.next;
	r->offset = p->offset;
	r->length = p->length;
}

static __always_inline int any_packet(struct __sk_buff *skb, bool ingress)
{
	u32 mark = skb->mark, at = mark & (ANY_SUBJECTS - 1);
	struct connection *c = bpf_map_lookup_elem(&subjects, &at);
	struct any_report *r = bpf_map_lookup_elem(&reports, &at);
	struct packet p = {};

	if (!c || !r || !parse_packet(skb, &p))
		return 1;
	if (!c->unit) {
		c->unit = ANY_UNIT;
		c->connecting = !!(mark & ANY_CONNECTING);
		c->role = mark & ANY_JOINED ? ROLE_JOINED : ROLE_NEW;
		c->in.known = !!(mark & ANY_BEGIN_KNOWN);
		c->in.next = r->in_next;
	}
	if (c->role != ROLE_UNTRACKED)
		take_packet(skb, c, &p, ingress);
	report(r, c, &p);
	return 1;
}

SEC("cgroup_skb/ingress")
int any_in(struct __sk_buff *skb)
{
	return any_packet(skb, true);
}

SEC("cgroup_skb/egress")
int any_out(struct __sk_buff *skb)
{
	return any_packet(skb, false);
}

/* Functions of their own: the stack of all that call each other is small. */
static __attribute__((noinline)) int join_unit(struct __sk_buff *skb)
{
	u64 id = bpf_skb_cgroup_id(skb);
	u32 unit = ANY_UNIT;

	return (int)bpf_map_update_elem(&members, &id, &unit, BPF_ANY);
}

static __attribute__((noinline)) int report_early(struct __sk_buff *skb, const struct packet *p)
{
	u32 at = skb->mark & (ANY_SUBJECTS - 1);
	struct any_report *r = bpf_map_lookup_elem(&reports, &at);
	struct connection *c;
	struct ends ends;

	if (!r || !read_ends(skb, p, &ends))
		return 0;
	c = bpf_map_lookup_elem(&early, &ends);
	if (c) {
		report(r, c, p);
		r->unit = c->early_unit;
	}
	return 0;
}

/* As if the socket were one that listens, in a cgroup that is watched. */
SEC("cgroup_skb/ingress")
int any_early(struct __sk_buff *skb)
{
	struct http_totals *nobody = totals_of(0);
	struct connection *c;
	struct packet p = {};

	join_unit(skb);
	if (nobody && parse_packet(skb, &p)) {
		c = begin_early(skb, &p);
		if (c)
			take_payload(skb, c, nobody, &p, true);
		report_early(skb, &p);
	}
	return 1;
}
