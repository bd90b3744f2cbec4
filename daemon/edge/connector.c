/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process connector through libnl; see connector.h. */
#include "connector.h"
#include "../base/clock.h"
#include "../base/log.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The kernel drops what does not fit; a burst of a thousand exits takes about 100 KiB. */
#define RECEIVE_BYTES (512 * 1024)

#define MESSAGES_AT_ONCE 256

/* Processes whose leader has left while other threads live on: rare, and mostly for microseconds.
 */
#define HEADLESS_MAX 64

struct headless {
	pid_t pid; /* 0: free */
	int status;
};

struct connector {
	struct nl_sock *netlink; /* owned */
	sd_event_source *source; /* owned */
	connector_fn fn;
	void *userdata;
	struct headless headless[HEADLESS_MAX]; /* a ring: the oldest gives way */
	size_t n_headless;                      /* ever put in */
};

/* Whether any thread of the process lives besides the leader, which may be a zombie. */
static bool has_other_threads(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[32], line[512];
	const char *rest;
	long n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return false; /* PID 1 has reaped it already */
	rest = strrchr(line, ')');
	/* The 20th field of proc(5); the name in brackets before is the second. */
	if (!rest ||
		sscanf(rest + 1,
			" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld",
			&n) != 1)
		return false;
	return n > 1;
}

/*
 * An event comes for each thread, and the process is dead when the last one is. Its status is then
 * certain if the leader left with the same one, as when all are ended at once; if not, nothing is
 * told here, and PID 1 will know. Returns whether the process died with this event.
 */
static bool is_death(struct connector *c, pid_t thread, pid_t pid, int status)
{
	if (thread == pid) {
		if (!has_other_threads(pid))
			return true;
		c->headless[c->n_headless++ % HEADLESS_MAX] =
			(struct headless) { .pid = pid, .status = status };
		return false;
	}
	for (size_t i = 0; i < MIN(c->n_headless, (size_t)HEADLESS_MAX); i++) {
		struct headless *h = &c->headless[i];

		if (h->pid != pid || has_other_threads(pid))
			continue;
		h->pid = 0;
		return h->status == status;
	}
	return false;
}

static int on_message(struct nl_msg *message, void *userdata)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	struct connector *c = userdata;
	const struct proc_event *e;
	const struct cn_msg *cn;
	struct death d = { .source = DEATH_FROM_CONNECTOR };
	int status;

	if (nlmsg_datalen(header) < (int)(sizeof(*cn) + sizeof(*e)))
		return NL_OK;
	cn = nlmsg_data(header);
	if (cn->id.idx != CN_IDX_PROC || cn->len < sizeof(*e))
		return NL_OK;
	e = (const struct proc_event *)cn->data;
	if (e->what != PROC_EVENT_EXIT)
		return NL_OK;
	status = (int)e->event_data.exit.exit_code;
	if (!is_death(c, e->event_data.exit.process_pid, e->event_data.exit.process_tgid, status))
		return NL_OK;
	d.time_ns = e->timestamp_ns;
	d.seen_ns = clock_monotonic_ns();
	d.pid = e->event_data.exit.process_tgid;
	if (WIFSIGNALED(status)) {
		d.signal = WTERMSIG(status);
		d.core_dumped = WCOREDUMP(status);
	} else
		d.code = WEXITSTATUS(status);
	c->fn(c->userdata, &d);
	return NL_OK;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct connector *c = userdata;
	int r, n = 0;

	/* Everything that is there, but not for ever: a fork storm must not starve the loop. */
	do
		r = nl_recvmsgs_default(c->netlink);
	while (r >= 0 && ++n < MESSAGES_AT_ONCE);
	if (r < 0 && r != -NLE_AGAIN)
		log_warning("the process connector lost events: %s", nl_geterror(r));
	return 0;
}

/*
 * Elsewhere the kernel takes the subscription and sends nothing (cn_proc_mcast_ctl() in
 * drivers/connector/cn_proc.c). The numbers are those of the first namespaces: PROC_PID_INIT_INO
 * and PROC_USER_INIT_INO in include/linux/proc_ns.h, part of the kernel's interface (ioctl_ns(2)).
 */
static bool in_first_namespaces(void)
{
	struct stat pid, user;

	return stat("/proc/self/ns/pid", &pid) < 0 || stat("/proc/self/ns/user", &user) < 0 ||
	       (pid.st_ino == 0xEFFFFFFC && user.st_ino == 0xEFFFFFFD);
}

static int subscribe(struct connector *c)
{
	enum proc_cn_mcast_op op = PROC_CN_MCAST_LISTEN;
	struct cn_msg head = { .id = { .idx = CN_IDX_PROC, .val = CN_VAL_PROC },
		.len = sizeof(op) };
	char request[sizeof(head) + sizeof(op)];

	memcpy(request, &head, sizeof(head));
	memcpy(request + sizeof(head), &op, sizeof(op));
	return nl_send_simple(c->netlink, NLMSG_DONE, 0, request, sizeof(request));
}

struct connector *connector_free(struct connector *c)
{
	if (!c)
		return NULL;
	sd_event_source_disable_unref(c->source);
	nl_socket_free(c->netlink);
	free(c);
	return NULL;
}

int connector_new(struct connector **ret, sd_event *event, connector_fn fn, void *userdata)
{
	struct connector *c;
	int r;

	if (!in_first_namespaces())
		return -EOPNOTSUPP;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fn = fn;
	c->userdata = userdata;
	c->netlink = nl_socket_alloc();
	if (!c->netlink) {
		free(c);
		return -ENOMEM;
	}
	nl_socket_disable_seq_check(c->netlink);
	/* The connector's messages are of type NLMSG_DONE, which libnl takes for the end of a dump.
	 */
	nl_socket_modify_cb(c->netlink, NL_CB_FINISH, NL_CB_CUSTOM, on_message, c);
	nl_join_groups(c->netlink, CN_IDX_PROC);
	r = nl_connect(c->netlink, NETLINK_CONNECTOR);
	if (r >= 0) {
		nl_socket_set_nonblocking(c->netlink);
		nl_socket_set_buffer_size(c->netlink, RECEIVE_BYTES, 0);
		r = subscribe(c);
	}
	if (r < 0) {
		log_debug("process connector: %s", nl_geterror(r));
		connector_free(c);
		return r == -NLE_PERM ? -EPERM : -EOPNOTSUPP;
	}
	r = sd_event_add_io(
		event, &c->source, nl_socket_get_fd(c->netlink), EPOLLIN, on_readable, c);
	if (r < 0) {
		connector_free(c);
		return r;
	}
	*ret = c;
	return 0;
}
