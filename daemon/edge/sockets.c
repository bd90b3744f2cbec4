/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sock_diag through libnl; see sockets.h. libnl's error codes are translated here. */
#include "sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>

struct sockets {
	struct nl_sock *netlink; /* owned */
	socket_fn fn;            /* of the dump under way */
	void *userdata;
};

static int nl_to_errno(int r)
{
	switch (-r) {
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
		return -EPERM;
	case NLE_AGAIN:
		return -EAGAIN;
	case NLE_PROTO_MISMATCH:
	case NLE_OPNOTSUPP:
		return -EOPNOTSUPP;
	default:
		return r < 0 ? -EIO : r;
	}
}

static int on_message(struct nl_msg *message, void *userdata)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	struct listening_socket socket = { .protocol = IPPROTO_TCP };
	struct inet_diag_msg *diag;
	struct nlattr *cgroup;
	struct sockets *s = userdata;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		nlmsg_datalen(header) < (int)sizeof(struct inet_diag_msg))
		return NL_OK;
	diag = nlmsg_data(header);
	socket.family = diag->idiag_family;
	socket.port = ntohs(diag->id.idiag_sport);
	memcpy(socket.address, diag->id.idiag_src, diag->idiag_family == AF_INET6 ? 16 : 4);
	cgroup = nlmsg_find_attr(header, sizeof(*diag), INET_DIAG_CGROUP_ID);
	s->fn(s->userdata, cgroup ? nla_get_u64(cgroup) : 0, &socket);
	return NL_OK;
}

static int dump(struct sockets *s, uint8_t family)
{
	struct inet_diag_req_v2 request = {
		.sdiag_family = family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = 1 << TCP_LISTEN,
	};
	int r = nl_send_simple(
		s->netlink, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request));

	/* A dump is produced while it is read: the kernel never makes us wait for it. */
	if (r >= 0)
		r = nl_recvmsgs_default(s->netlink);
	return nl_to_errno(r);
}

int sockets_read(struct sockets *s, socket_fn fn, void *userdata)
{
	int r;

	s->fn = fn;
	s->userdata = userdata;
	r = dump(s, AF_INET);
	return r < 0 ? r : dump(s, AF_INET6);
}

struct sockets *sockets_free(struct sockets *s)
{
	if (s)
		nl_socket_free(s->netlink);
	free(s);
	return NULL;
}

int sockets_new(struct sockets **ret)
{
	struct sockets *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->netlink = nl_socket_alloc();
	if (!s->netlink) {
		free(s);
		return -ENOMEM;
	}
	nl_socket_modify_cb(s->netlink, NL_CB_VALID, NL_CB_CUSTOM, on_message, s);
	r = nl_to_errno(nl_connect(s->netlink, NETLINK_SOCK_DIAG));
	if (r < 0) {
		sockets_free(s);
		return r;
	}
	*ret = s;
	return 0;
}
