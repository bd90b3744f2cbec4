/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods that change something. All go one way: take the arguments apart and check them, ask
 * whether the sender may (api_auth.c), then call the manager's verb and answer. What a verb does is
 * the manager's business.
 */
#include "api_internal.h"
#include "../base/span.h"

/* What the arguments of a method are, in the order in which they come. */
enum {
	TAKES_UNIT = 1 << 0,
	TAKES_USEC = 1 << 1,
	TAKES_REASON = 1 << 2,
	NEEDS_REASON = 1 << 3, /* may not be empty */
	TAKES_MODE = 1 << 4,
	TAKES_FLAGS = 1 << 5,
};

static const struct method {
	const char *member;
	const char *verb;
	unsigned int takes;
} methods[REQUEST_COUNT] = {
	[REQUEST_RESTART] = { "RestartUnit", "restart",
		TAKES_UNIT | TAKES_REASON | NEEDS_REASON | TAKES_FLAGS },
	[REQUEST_PAUSE] = { "PauseHealing", "pause", TAKES_USEC | TAKES_REASON | TAKES_FLAGS },
	[REQUEST_RESUME] = { "ResumeHealing", "resume", TAKES_FLAGS },
	[REQUEST_RESET] = { "ResetUnit", "reset", TAKES_UNIT | TAKES_FLAGS },
	[REQUEST_SET_HEALING] = { "SetHealing", "set-healing", TAKES_UNIT | TAKES_MODE },
	[REQUEST_RELOAD] = { "Reload", "reload", 0 },
	[REQUEST_LOG_LEVEL] = { NULL, "log-level", 0 },
};

const char *request_verb(enum request_kind kind)
{
	return methods[kind].verb;
}

/* 1: it is not watched, but a setting may be written for it all the same if it exists. */
static int take_unit(struct api *a, sd_bus_message *m, struct request *q, sd_bus_error *ret_error)
{
	const struct unit *u;
	const char *name;
	int r;

	r = sd_bus_message_read(m, "s", &name);
	if (r < 0)
		return r;
	u = world_unit_by_any_name(a->world, name);
	if (!u && q->kind == REQUEST_SET_HEALING && unit_name_is_service(name)) {
		str_copy(q->unit, sizeof(q->unit), name);
		return 1;
	}
	if (!u && !find_unit(a->world, name, ret_error))
		return -ENOENT;
	str_copy(q->unit, sizeof(q->unit), u->name);
	return 0;
}

static int take_usec(sd_bus_message *m, struct request *q, sd_bus_error *ret_error)
{
	char span[SPAN_SIZE];
	int r;

	r = sd_bus_message_read(m, "t", &q->usec);
	if (r < 0)
		return r;
	if (q->usec == 0 || q->usec > PAUSE_MAX_USEC)
		return sd_bus_error_setf(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"A pause always ends: it lasts at most %s.",
			span_format(PAUSE_MAX_USEC, span));
	return 0;
}

static int take_reason(sd_bus_message *m, bool needed, struct request *q, sd_bus_error *ret_error)
{
	const char *reason;
	int r;

	r = sd_bus_message_read(m, "s", &reason);
	if (r < 0)
		return r;
	r = check_text(reason, "reason", ret_error);
	if (r < 0)
		return r;
	if (needed && !*reason)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"A reason is needed: it is what the incident will say.");
	str_copy(q->reason, sizeof(q->reason), reason);
	return 0;
}

static int take_mode(sd_bus_message *m, struct request *q, sd_bus_error *ret_error)
{
	const char *word;
	int r;

	r = sd_bus_message_read(m, "s", &word);
	if (r < 0)
		return r;
	r = heal_mode_parse(word);
	if (r < 0)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"The mode is one of \"off\", \"observe\" and \"restart\".");
	q->mode = (enum heal_mode)r;
	return 0;
}

static int take_flags(sd_bus_message *m, sd_bus_error *ret_error)
{
	uint64_t flags;
	int r;

	r = sd_bus_message_read(m, "t", &flags);
	if (r < 0)
		return r;
	if (flags != 0)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"No flags are known; they must be 0.");
	return 0;
}

int api_on_write(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	const char *member = sd_bus_message_get_member(m);
	struct request q = {};
	bool unknown = false;
	unsigned int takes;
	int r = 0;

	while (q.kind < REQUEST_COUNT && !str_eq(methods[q.kind].member, member))
		q.kind++;
	if (q.kind == REQUEST_COUNT)
		return -EBADRQC; /* a method of the vtable that has no row above */
	takes = methods[q.kind].takes;
	if (takes & TAKES_UNIT)
		r = take_unit(a, m, &q, ret_error);
	unknown = r > 0;
	if (r >= 0 && (takes & TAKES_USEC))
		r = take_usec(m, &q, ret_error);
	if (r >= 0 && (takes & TAKES_REASON))
		r = take_reason(m, takes & NEEDS_REASON, &q, ret_error);
	if (r >= 0 && (takes & TAKES_MODE))
		r = take_mode(m, &q, ret_error);
	if (r >= 0 && (takes & TAKES_FLAGS))
		r = take_flags(m, ret_error);
	if (r < 0)
		return r;
	r = unknown ? load_ask(a, m, &q, ret_error) : auth_ask(a, m, &q, ret_error);
	return r < 0 ? r : 1;
}

void request_perform(struct api *a, const struct request *q, uid_t uid, sd_bus_message *call)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_free_ char *text = NULL;
	const struct verbs *v = a->verbs;
	int r = -EOPNOTSUPP;

	log_notice("uid %u asks: %s%s%s%s%s", (unsigned int)uid, request_verb(q->kind),
		q->unit[0] ? " " : "", q->unit, q->reason[0] ? ", because: " : "", q->reason);
	switch (q->kind) {
	case REQUEST_RESTART:
		r = v->restart(v->manager, q->unit, q->reason, uid, &text);
		break;
	case REQUEST_PAUSE:
		r = v->pause(v->manager, q->usec, q->reason, uid, &text);
		break;
	case REQUEST_RESUME:
		r = v->resume(v->manager, uid, &text);
		break;
	case REQUEST_RESET:
		r = v->reset(v->manager, q->unit, uid, &text);
		break;
	case REQUEST_SET_HEALING:
		r = v->set_heal(v->manager, q->unit, q->mode, &text);
		break;
	case REQUEST_RELOAD:
		r = v->reload(v->manager, &text);
		/* Of a reload, "invalid" speaks of the files and not of the call. */
		if (r == -EINVAL)
			r = -EBADMSG;
		break;
	case REQUEST_LOG_LEVEL:
		log_set_level(q->log_level);
		r = 0;
		break;
	case REQUEST_COUNT:
		break;
	}
	if (r < 0) {
		set_error(&error, r, text);
		sd_bus_reply_method_error(call, &error);
	} else {
		sd_bus_reply_method_return(call, NULL);
	}
}
