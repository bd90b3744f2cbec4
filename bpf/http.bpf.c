// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * HTTP of watched units, measured where it passes: requests when they reach the socket, before the
 * application reads them, and answers when they leave it.
 *
 * Hooks: cgroup_skb ingress and egress, attached to the cgroups of watched units and of their
 * sockets; what other services do costs nothing. tp_btf/tcp_rcv_space_adjust tells when the
 * application reads, inet_sock_set_state when a connection begins and ends. Needs bpf_loop: 5.17.
 *
 * No path returns anything but 1: an observer must not drop a packet. One request makes no record
 * for user space: it is counted in mapped arrays. `current` means nothing here (softirq):
 * everything hangs on the socket. Programs can be preempted, so that per-CPU scratch is taken.
 */
#include "http_early.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define TCP_LAST_ACK 9
#define TCP_LISTEN 10
#define PF_EXITING 4
#define ETIMEDOUT 110

static __always_inline struct connection *begin_connection(
	struct __sk_buff *skb, struct bpf_sock *sk, const struct packet *p, bool ingress)
{
	u32 unit = find_unit(skb);
	struct http_totals *t = totals_of(unit);
	struct connection *c, *blank;
	struct bench *bench;
	struct bpf_tcp_sock *tcp;
	struct ends ends;
	u16 port = p->from;

	if (!unit || !t)
		return NULL;
	/* A handshake that is not over, and yet data: TCP Fast Open. */
	if (sk->state == TCP_SYN_RECV && read_ends(skb, p, &ends)) {
		struct ends other = { .from_port = ends.to_port, .to_port = ends.from_port };

		if (!ingress) {
			__builtin_memcpy(other.from, ends.to, 16);
			__builtin_memcpy(other.to, ends.from, 16);
			ends = other;
		}
		c = bpf_map_lookup_elem(&early, &ends);
		if (c) {
			c = move_early(sk, c);
			bpf_map_delete_elem(&early, &ends);
			return c;
		}
	}
	bench = take_bench();
	if (!bench) {
		count(&t->untracked[HTTP_UNTRACKED_FULL]);
		return NULL;
	}
	blank = clear_blank(bench);
	blank->unit = unit;
	blank->connecting = !ingress && p->flags & TCP_SYN;
	/* Bytes went by before we looked: this is the middle of a conversation. */
	tcp = bpf_tcp_sock(sk);
	if (tcp && (tcp->bytes_received || tcp->bytes_acked > 1))
		blank->role = ROLE_JOINED;
	else if (tcp && ingress) {
		blank->in.next = tcp->rcv_nxt;
		blank->in.known = 1;
	}
	if (ingress && bpf_map_lookup_elem(&probe_ports, &port))
		blank->role = ROLE_UNTRACKED;
	c = open_connection(sk, blank);
	return_bench(bench);
	if (!c)
		count(&t->untracked[HTTP_UNTRACKED_FULL]);
	return c;
}

/*
 * Since when the server has kept the connection's first request waiting; 0: it is the client's
 * turn, or bytes are missing. A request whose body is incomplete waits for its client, unless the
 * application does not read what has come of it.
 */
static __always_inline u64 waits_since(
	const struct connection *c, u64 arrival, bool last, u32 acknowledged)
{
	/* TCP has not taken what was seen: the server cannot know of it. */
	if (!c->in.known || (s32)(acknowledged - c->in.next) < 0)
		return 0;
	if (!last)
		return arrival;
	if (!http_in_body(&c->in.stream))
		return c->body_ns > arrival ? c->body_ns : arrival;
	if (!reads_are_seen || (c->reading && c->read_to == acknowledged))
		return 0;
	return c->reading ? bpf_ktime_get_ns() : arrival; /* it has read, and goes on or not */
}

/*
 * The server's own packet tells what TCP has taken, and that what is not answered by now takes its
 * time: an answer that comes at once carries the acknowledgement itself. So requests that are
 * answered within some 40 ms never get here.
 */
__attribute__((noinline)) int note_flight(
	struct connection *c, struct http_totals *t, u32 acknowledged)
{
	u32 answered, waiting;
	u64 arrival, since;

	if (!c || !t)
		return 0;
	answered = beyond_dropped(c, c->answered);
	waiting = *(volatile u32 *)&c->arrived - answered;
	if (!waiting || c->server_gone)
		return 0;
	arrival = arrival_of(c, answered);
	since = waits_since(c, arrival, waiting == 1, acknowledged);
	if (since) {
		if (c->transfer_ns && !c->answered_ns)
			set_transfer(c, t, 0);
		set_waiting(c, t, since);
	} else if (!c->transfer_ns)
		set_transfer(c, t, arrival);
	return 0;
}

/* A segment of a connection that is known. */
static __always_inline void take_packet(
	struct __sk_buff *skb, struct connection *c, const struct packet *p, bool ingress)
{
	struct http_totals *t = totals_of(c->unit);

	if (!t)
		return;
	if (p->length && !(p->flags & TCP_SYN))
		take_payload(skb, c, t, p, ingress);
	if (p->flags & (TCP_FIN | TCP_RST)) {
		/* A reset that TCP will not believe changes nothing. */
		if (ingress && !c->server_gone &&
			(!c->in.known || p->sequence + p->length - c->in.next <= WINDOW_MAX))
			c->client_gone = 1;
		else if (!ingress && c->out.stream.stage == HTTP_UNTIL_CLOSE &&
			 c->role == ROLE_SERVER)
			answer_ends(c, t, bpf_ktime_get_ns());
	}
	if (!ingress && c->role == ROLE_SERVER && !c->waiting_ns && c->arrived != c->answered)
		note_flight(c, t, p->acknowledged);
}

/* At a socket of which nothing is known yet: what is remembered from now on, if it is a connection.
 */
static __attribute__((noinline)) struct connection *first_packet(
	struct __sk_buff *skb, struct packet *p, bool ingress)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_TCP)
		return NULL;
	if (sk->state == TCP_LISTEN)
		return ingress ? begin_early(skb, p) : NULL;
	if (p->length == 0 && (ingress || sk->state != TCP_SYN_SENT))
		return NULL;
	return begin_connection(skb, sk, p, ingress);
}

static __always_inline int packet_passes(struct __sk_buff *skb, bool ingress)
{
	struct bpf_sock *sk = skb->sk;
	struct connection *c;
	struct packet p = {};

	if (!sk)
		return 1;
	c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if ((c && c->role == ROLE_UNTRACKED) || !parse_packet(skb, &p))
		return 1;
	if (!c)
		c = first_packet(skb, &p, ingress);
	if (c)
		take_packet(skb, c, &p, ingress);
	return 1;
}

SEC("cgroup_skb/ingress")
int http_in(struct __sk_buff *skb)
{
	return packet_passes(skb, true);
}

SEC("cgroup_skb/egress")
int http_out(struct __sk_buff *skb)
{
	return packet_passes(skb, false);
}

/* The server is at work on an incomplete request: it waits for its client now, or goes on reading.
 */
static __always_inline void read_body(struct connection *c, struct http_totals *t, struct sock *sk)
{
	u32 answered = beyond_dropped(c, c->answered);

	c->read_to = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
	c->reading = 1;
	if (!c->waiting_ns || c->arrived - answered != 1)
		return;
	set_waiting(c, t, 0);
	if (!c->transfer_ns)
		set_transfer(c, t, arrival_of(c, answered));
}

/* The application has copied data out of the socket: what had arrived is being worked on. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(http_read, struct sock *sk)
{
	struct connection *c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	struct http_totals *t;
	struct http_detail *d;
	u32 arrived, read;
	bool body;
	u64 now;

	if (!c || c->role != ROLE_SERVER)
		return 0;
	arrived = *(volatile u32 *)&c->arrived; /* more may arrive meanwhile */
	read = beyond_dropped(c, c->read);
	body = http_in_body(&c->in.stream);
	if (read == arrived && !body)
		return 0;
	t = totals_of(c->unit);
	d = t ? detail_of(t) : NULL;
	if (!d)
		return 0;
	if (body)
		read_body(c, t, sk);
	now = bpf_ktime_get_ns();
	for (int i = 0; i < HTTP_PENDING && read != arrived; i++) {
		c->queue_ns = time_from(arrival_of(c, read), now);
		observe(d, HTTP_QUEUE, HTTP_CLASS_OTHER, c->queue_ns, 1);
		read++;
	}
	if ((s32)(arrived - read) > 0)
		observe(d, HTTP_QUEUE, HTTP_CLASS_OTHER, time_from(c->late_ns, now),
			arrived - read);
	c->read = arrived;
	return 0;
}

static __always_inline u32 why_incomplete(const struct connection *c, struct sock *sk)
{
	if (BPF_CORE_READ(sk, sk_err) == ETIMEDOUT)
		return HTTP_TIMED_OUT;
	if (c->server_died)
		return HTTP_SERVER_DIED;
	return c->client_gone ? HTTP_CLIENT_RESET : HTTP_SERVER_RESET;
}

/* Requests that will not be answered, the connection's last ones. */
static __always_inline void end_unanswered(
	struct connection *c, struct http_totals *t, u32 reason, u32 n)
{
	s32 ahead = (s32)(c->sent_ahead - c->answered);

	__sync_fetch_and_add(&t->finished, n);
	if (reason == HTTP_SERVER_RESET && ahead > 0) {
		ahead = ahead < (s32)n ? ahead : (s32)n;
		count_incomplete(t, HTTP_SENT_AHEAD, ahead);
		n -= ahead;
	}
	if (n)
		count_incomplete(t, reason, n);
}

/* A connection begins, is closed by one side, or is over: then what is open never will be answered.
 */
static __always_inline int take_state(struct sock *sk, int old_state, int new_state)
{
	struct connection *c;
	struct http_totals *t;
	u32 open;

	if (new_state == TCP_ESTABLISHED) {
		if (old_state == TCP_SYN_RECV)
			connection_begins(sk);
		return 0;
	}
	c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (!c)
		return 0;
	/* Another connection of the same socket: connect(2) after AF_UNSPEC or a refusal. */
	if (new_state == TCP_SYN_SENT || new_state == TCP_LISTEN) {
		bpf_sk_storage_delete(&connections, sk);
		return 0;
	}
	t = totals_of(c->unit);
	if (c->role != ROLE_SERVER) {
		/* A request that arrived while another CPU gave up what was open. */
		if (new_state == TCP_CLOSE && t)
			drop_requests(c, t);
		return 0;
	}
	/* The server closes, or the client's FIN or RST, which was seen before, is taken. */
	if (new_state == TCP_LAST_ACK || (old_state == TCP_ESTABLISHED && !c->client_gone)) {
		c->server_gone = 1;
		if (BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), flags) & PF_EXITING)
			c->server_died = 1;
		/* Nobody will answer any more, and nobody waits for this process. */
		if (t && c->waiting_ns)
			set_waiting(c, t, 0);
	}
	if (new_state != TCP_CLOSE || !t)
		return 0;
	/* An answer without a length ends with its connection; another one was cut off. */
	if (c->answered_ns) {
		if (c->out.stream.stage != HTTP_UNTIL_CLOSE)
			count_incomplete(t, why_incomplete(c, sk), 1);
		answer_ends(c, t, bpf_ktime_get_ns());
	}
	/* First this, as in give_up(): ingress may be at it on another CPU. */
	c->role = ROLE_UNTRACKED;
	open = __sync_lock_test_and_set(&c->open, 0);
	if (open)
		end_unanswered(c, t, why_incomplete(c, sk), open);
	drop_requests(c, t);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(http_state, struct sock *sk, int old_state, int new_state)
{
	return take_state(sk, old_state, new_state);
}

/*
 * The same once more, which changes nothing where the first one ran. The kernel leaves a program
 * out while it is under way on that processor: interrupted by a packet, or, from 7.0 on, by another
 * task for as long as that one runs. Requests of a connection whose end was missed would stay "in
 * flight" for ever.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(http_state_2nd, struct sock *sk, int old_state, int new_state)
{
	return take_state(sk, old_state, new_state);
}
