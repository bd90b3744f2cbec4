/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What people ask for over D-Bus; names, sizes and authorization were checked there (edge/api.h).
 */
#include "manager.h"
#include "base/clock.h"
#include "edge/config_files.h"

/* How many incidents of memory and store a list joins at most. */
#define LIST_MAX 1000

static int explain_error(int r, char **ret_error, const char *what)
{
	char text[256];

	errno = -r;
	snprintf(text, sizeof(text), "%s: %m", what);
	if (!*ret_error)
		*ret_error = strdup(text);
	return r;
}

static int refuse_denied(const char *name, char **ret_error)
{
	if (asprintf(ret_error,
		    "%s is never restarted by mendd: the host, its logins or mendd itself "
		    "depend on it. mendd(8) lists these units.",
		    name) < 0)
		*ret_error = NULL;
	return -EPERM;
}

/* What was written is on disk, and something stronger says otherwise. */
static int explain_loser(const struct unit *u, char **ret_error)
{
	if (asprintf(ret_error,
		    "Written to " CONFIG_WRITTEN ", but another section of the configuration "
		    "is stronger: %s has Heal=%s. A file with a higher name wins.",
		    u->name, heal_mode_word(u->settings.heal)) < 0)
		*ret_error = NULL;
	return -EEXIST;
}

static int set_heal(void *userdata, const char *name, enum heal_mode mode, char **ret_error)
{
	struct manager *m = userdata;
	const struct unit *u = world_unit(&m->world, name);
	int r;

	if (mode == HEAL_RESTART && (u ? policy_denies(u) : policy_is_denied(name)))
		return refuse_denied(name, ret_error);
	r = config_write_heal(NULL, name, mode);
	if (r == -EBADMSG) {
		*ret_error = strdup(CONFIG_WRITTEN " has a mistake; it is left as it is until that "
						   "is mended ('mendctl check-config' says where)");
		return r;
	}
	if (r < 0)
		return explain_error(r, ret_error, "cannot write " CONFIG_WRITTEN);
	/* A mistake in another file is told there, and has nothing to do with this. */
	r = manager_reload(m, NULL);
	if (r < 0 && r != -EINVAL)
		return r;
	u = world_unit(&m->world, name);
	if (u && u->settings.heal != mode)
		return explain_loser(u, ret_error);
	return 0;
}

static int restart(
	void *userdata, const char *name, const char *reason, uid_t uid, char **ret_error)
{
	struct manager *m = userdata;
	struct unit *u = world_unit(&m->world, name);
	uint64_t now = clock_monotonic_ns();
	struct heal *h;

	if (!u)
		return -ENOENT;
	h = &u->heal;
	if (h->state == HEAL_STATE_ACT || h->state == HEAL_STATE_VERIFY)
		return explain_error(-EALREADY, ret_error, "it is being restarted");
	if (policy_denies(u))
		return refuse_denied(name, ret_error);
	h->restart_asked = true;
	if (!h->trouble.present) {
		h->trouble = (struct trouble) { .present = true,
			.cause = CAUSE_REQUESTED,
			.time_ns = now,
			.detected_ns = now };
		str_copy(h->trouble.invocation, sizeof(h->trouble.invocation), u->facts.invocation);
		snprintf(h->trouble.text, sizeof(h->trouble.text),
			"restart asked for by uid %u: %s", (unsigned int)uid,
			*reason ? reason : "no reason given");
		h->state = HEAL_STATE_GATE;
		h->since_ns = now;
		manager_open_incident(m, u, now);
	}
	manager_step(m, u);
	return 0;
}

static int reset(void *userdata, const char *name, uid_t uid, char **ret_error)
{
	struct manager *m = userdata;
	struct unit *u = world_unit(&m->world, name);
	struct heal *h;

	if (!u)
		return -ENOENT;
	h = &u->heal;
	h->n_restarts = 0;
	h->backoff_step = 0;
	h->last_killer_key[0] = '\0';
	h->level_tried = false;
	h->level_restart_ns = 0;
	if (h->attempt.verdict == VERDICT_WORSE)
		h->attempt.verdict = VERDICT_NOT_FIXED; /* one more chance, as was asked for */
	store_put_unit(m->store, u, NULL, NULL);
	log_info("%s: back-off and budget reset by uid %u", name, (unsigned int)uid);
	manager_step(m, u);
	return 0;
}

static int pause_healing(
	void *userdata, uint64_t usec, const char *reason, uid_t uid, char **ret_error)
{
	struct manager *m = userdata;
	struct pause *p = &m->world.pause;

	if (usec == 0 || usec > PAUSE_MAX_USEC)
		return explain_error(-ERANGE, ret_error, "a pause lasts up to a week");
	p->active = true;
	p->until_ns = clock_monotonic_ns() + usec * NSEC_PER_USEC;
	p->uid = uid;
	str_copy(p->reason, sizeof(p->reason), reason);
	store_put_pause(m->store, p, NULL, NULL);
	manager_tell_host(m, MESSAGE_PAUSED, LOG_NOTICE,
		"healing is paused for %llu s by uid %u: %s",
		(unsigned long long)(usec / USEC_PER_SEC), (unsigned int)uid,
		*reason ? reason : "no reason given");
	api_manager_changed(m->api);
	manager_status(m);
	return 0;
}

static int resume(void *userdata, uid_t uid, char **ret_error)
{
	struct manager *m = userdata;

	if (!m->world.pause.active)
		return 0;
	m->world.pause.active = false;
	store_put_pause(m->store, &m->world.pause, NULL, NULL);
	manager_tell_host(
		m, MESSAGE_RESUMED, LOG_NOTICE, "healing goes on, by uid %u", (unsigned int)uid);
	manager_step_waiting(m);
	api_manager_changed(m->api);
	manager_status(m);
	return 0;
}

static int reload(void *userdata, char **ret_error)
{
	return manager_reload(userdata, ret_error);
}

static int stored_incident(void *userdata, const char *id, struct strbuf *ret)
{
	struct manager *m = userdata;

	return store_get_incident(m->store, id, ret);
}

static int compare_opened(const void *a, const void *b)
{
	const struct incident *x = *(const struct incident *const *)a;
	const struct incident *y = *(const struct incident *const *)b;

	return x->opened_ns < y->opened_ns ? 1 : x->opened_ns > y->opened_ns ? -1 : 0;
}

static bool wanted(const struct incident *i, const char *unit)
{
	return i && (str_is_empty(unit) || str_eq(i->unit, unit));
}

/* Memory only: what the store would add is older than all of it, or unreadable just now. */
static void list_memory(struct manager *m, const char *unit, uint32_t limit, struct strbuf *ret)
{
	const struct incident *list[INCIDENTS_RECENT_MAX + LIST_MAX];
	size_t n = 0, cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor)))
		if (wanted(u->incident, unit) && n < LIST_MAX)
			list[n++] = u->incident;
	for (size_t i = 0; i < INCIDENTS_RECENT_MAX; i++)
		if (wanted(m->world.recent[i], unit))
			list[n++] = m->world.recent[i];
	qsort(list, n, sizeof(list[0]), compare_opened);
	strbuf_add(ret, "[");
	for (size_t i = 0; i < n && i < limit; i++) {
		strbuf_add(ret, i ? "," : "");
		incident_to_json(list[i], ret);
	}
	strbuf_add(ret, "]");
}

static int list_incidents(void *userdata, const char *unit, uint32_t limit, struct strbuf *ret)
{
	struct manager *m = userdata;
	int r = store_list(m->store, unit, limit, ret);

	if (r < 0) {
		strbuf_reset(ret);
		list_memory(m, unit, limit, ret);
	}
	return ret->error;
}

/* A text with a section [X-Mendd] is a unit file or a drop-in of one, and not a mendd.conf. */
static int verify_text(const char *name, const char *text, struct strbuf *ret)
{
	struct settings_errors errors = { .text = ret };
	struct host_settings settings;
	struct unit_rule rule = {};
	bool present;
	int r;

	if (str_after_prefix(text, "[X-Mendd]") || strstr(text, "\n[X-Mendd]"))
		return unit_rule_parse(&rule, &present, name, text, strlen(text), &errors);
	host_settings_init(&settings);
	r = host_settings_parse(&settings, name, text, strlen(text), &errors);
	host_settings_done(&settings);
	return r;
}

static int verify_config(void *userdata, const char *name, const char *text, struct strbuf *ret)
{
	struct host_settings settings;
	int r;

	if (name)
		return verify_text(name, text, ret);
	r = config_load(NULL, &settings, ret);
	if (r >= 0)
		host_settings_done(&settings);
	/* Mistakes are the answer, not an error. */
	return r == -EINVAL ? 0 : r;
}

void manager_fill_verbs(struct manager *m, struct verbs *ret)
{
	*ret = (struct verbs) {
		.manager = m,
		.set_heal = set_heal,
		.restart = restart,
		.reset = reset,
		.pause = pause_healing,
		.resume = resume,
		.reload = reload,
		.stored_incident = stored_incident,
		.list_incidents = list_incidents,
		.verify_config = verify_config,
	};
}
