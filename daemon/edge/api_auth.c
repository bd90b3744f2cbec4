/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * May the sender of this call change something? First the bus is asked for the sender's uid: uid 0
 * may. Everybody else is a question to polkit (action org.mendd1.manage, with unit and verb as
 * details). Both questions are asynchronous and have a deadline, and whatever is not a clear yes is
 * a no: no polkit, an error, a late answer, a bus without senders.
 */
#include "api_internal.h"

#include <inttypes.h>

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_ACTION "org.mendd1.manage"

enum {
	/* A stranger can keep a polkit question open by not transfers its prompt. Questions to the
	   bus end at once, so root, who needs only those, is never locked out by these caps. */
	PENDING_MAX = 64,
	POLKIT_MAX = 32,
	POLKIT_PER_UID_MAX = 4,
	POLKIT_INTERACTIVE = 1 << 0, /* AllowUserInteraction */
};

/* The bus daemon answers from memory. */
#define BUS_TIMEOUT_USEC (5 * USEC_PER_SEC)
/* polkitd may have to be activated and to run its rules. */
#define POLKIT_TIMEOUT_USEC (15 * USEC_PER_SEC)
/* A person types a password. */
#define POLKIT_INTERACTIVE_TIMEOUT_USEC (120 * USEC_PER_SEC)

struct authorization {
	struct api *api;      /* borrowed */
	sd_bus_message *call; /* owned */
	sd_bus_slot *slot;    /* owned; the question under way */
	struct request request;
	uid_t uid;
	bool at_polkit;
	char cancel_id[32];
	struct authorization *next; /* owned by the list */
};

static void authorization_free(struct authorization *x)
{
	struct authorization **p;

	for (p = &x->api->authorizations; *p; p = &(*p)->next)
		if (*p == x) {
			*p = x->next;
			x->api->n_authorizations--;
			break;
		}
	sd_bus_slot_unref(x->slot);
	sd_bus_message_unref(x->call);
	free(x);
}

void auth_drop_all(struct api *a)
{
	while (a->authorizations)
		authorization_free(a->authorizations);
}

static void refuse(struct authorization *x, const char *name, const char *text)
{
	log_info("Refused \"%s\" to uid %u: %s", request_verb(x->request.kind),
		(unsigned int)x->uid, text);
	sd_bus_reply_method_errorf(x->call, name, "%s", text);
	authorization_free(x);
}

static void grant(struct authorization *x)
{
	request_perform(x->api, &x->request, x->uid, x->call);
	authorization_free(x);
}

/* polkitd's dialog would stay on the screen for an answer that nobody waits for any more. */
static void cancel_question(struct authorization *x)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

	if (sd_bus_message_new_method_call(x->api->bus, &m, POLKIT_NAME, POLKIT_PATH,
		    POLKIT_INTERFACE, "CancelCheckAuthorization") < 0 ||
		sd_bus_message_append(m, "s", x->cancel_id) < 0 ||
		sd_bus_message_set_expect_reply(m, 0) < 0)
		return;
	sd_bus_send(x->api->bus, m, NULL);
}

static int on_polkit(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct authorization *x = userdata;
	const sd_bus_error *e = sd_bus_message_get_error(m);
	int authorized = 0, challenge = 0, r;

	if (e) {
		if (sd_bus_error_has_names(e, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT)) {
			cancel_question(x);
			refuse(x, SD_BUS_ERROR_ACCESS_DENIED, "polkit did not answer in time.");
		} else if (sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN,
				   SD_BUS_ERROR_NAME_HAS_NO_OWNER)) {
			refuse(x, SD_BUS_ERROR_ACCESS_DENIED,
				"polkit is not running, so only root may do that.");
		} else {
			log_warning("polkit could not be asked: %s: %s", e->name,
				e->message ? e->message : "");
			refuse(x, SD_BUS_ERROR_ACCESS_DENIED,
				"polkit could not be asked, so only root may do that.");
		}
		return 0;
	}
	r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
	if (r > 0)
		r = sd_bus_message_read(m, "bb", &authorized, &challenge);
	if (r > 0 && authorized)
		grant(x);
	else if (r > 0 && challenge)
		refuse(x, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
			"That needs authentication; use sudo or a polkit agent.");
	else
		refuse(x, SD_BUS_ERROR_ACCESS_DENIED, "Only an administrator may do that.");
	return 0;
}

static int ask_polkit(struct authorization *x)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int interactive = sd_bus_message_get_allow_interactive_authorization(x->call) > 0, r;

	snprintf(x->cancel_id, sizeof(x->cancel_id), "mendd-%" PRIu64, x->api->next_cancel_id++);
	r = sd_bus_message_new_method_call(
		x->api->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s",
		sd_bus_message_get_sender(x->call), POLKIT_ACTION);
	if (r < 0)
		return r;
	r = x->request.unit[0]
		    ? sd_bus_message_append(m, "a{ss}", 2, "verb", request_verb(x->request.kind),
			      "unit", x->request.unit)
		    : sd_bus_message_append(m, "a{ss}", 1, "verb", request_verb(x->request.kind));
	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "us", interactive ? POLKIT_INTERACTIVE : 0, x->cancel_id);
	if (r < 0)
		return r;
	x->slot = sd_bus_slot_unref(x->slot);
	return sd_bus_call_async(x->api->bus, &x->slot, m, on_polkit, x,
		interactive ? POLKIT_INTERACTIVE_TIMEOUT_USEC : POLKIT_TIMEOUT_USEC);
}

static bool polkit_is_crowded(const struct api *a, uid_t uid)
{
	unsigned int all = 0, own = 0;

	for (const struct authorization *x = a->authorizations; x; x = x->next)
		if (x->at_polkit) {
			all++;
			own += x->uid == uid;
		}
	return all >= POLKIT_MAX || own >= POLKIT_PER_UID_MAX;
}

static int on_uid(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct authorization *x = userdata;
	uint32_t uid;

	if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &uid) <= 0) {
		refuse(x, SD_BUS_ERROR_ACCESS_DENIED, "The bus does not say who you are.");
		return 0;
	}
	x->uid = uid;
	if (uid == 0) {
		grant(x);
		return 0;
	}
	if (polkit_is_crowded(x->api, uid)) {
		refuse(x, SD_BUS_ERROR_LIMITS_EXCEEDED,
			"Too many questions to polkit are open already.");
		return 0;
	}
	x->at_polkit = true;
	if (ask_polkit(x) < 0)
		refuse(x, SD_BUS_ERROR_ACCESS_DENIED,
			"polkit could not be asked, so only root may do that.");
	return 0;
}

static int ask_bus(struct authorization *x, const char *sender)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(x->api->bus, &m, "org.freedesktop.DBus",
		"/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser");
	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "s", sender);
	if (r < 0)
		return r;
	return sd_bus_call_async(x->api->bus, &x->slot, m, on_uid, x, BUS_TIMEOUT_USEC);
}

int auth_ask(struct api *a, sd_bus_message *call, const struct request *q, sd_bus_error *ret_error)
{
	const char *sender = sd_bus_message_get_sender(call);
	struct authorization *x;
	int r;

	if (!sender)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_ACCESS_DENIED,
			"This connection does not say who you are.");
	if (a->n_authorizations >= PENDING_MAX)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
			"Too many requests wait for authorization.");
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->api = a;
	x->call = sd_bus_message_ref(call);
	x->request = *q;
	x->uid = (uid_t)-1;
	x->next = a->authorizations;
	a->authorizations = x;
	a->n_authorizations++;
	r = ask_bus(x, sender);
	if (r < 0)
		authorization_free(x);
	return r;
}
