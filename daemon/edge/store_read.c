/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading from the database of the store: history for people, state for a daemon that goes on. */
#include "store_db.h"
#include "store_codec.h"

static int done(const struct db *db, sqlite3_stmt *stmt, int rc)
{
	int r = db_error(db, rc);

	sqlite3_finalize(stmt);
	return r;
}

static const char *column(sqlite3_stmt *stmt, int i)
{
	const char *s = (const char *)sqlite3_column_text(stmt, i);

	return s ? s : "";
}

int db_get_incident(struct db *db, const char *id, struct strbuf *ret)
{
	sqlite3_stmt *stmt;
	int rc, n = 0;

	/* Ids are of hexadecimal digits and '-', all below 'g': so this is "begins with". */
	rc = sqlite3_prepare_v2(db->sqlite,
		"SELECT json FROM incident WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT 2",
		-1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return db_error(db, rc);
	sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		if (++n == 1)
			strbuf_add(ret, column(stmt, 0));
	rc = done(db, stmt, rc);
	if (rc < 0)
		return rc;
	return n == 0 ? -ENOENT : n > 1 ? -ENOTUNIQ : ret->error;
}

int db_list(struct db *db, const char *unit, uint32_t limit, struct strbuf *ret)
{
	sqlite3_stmt *stmt;
	const char *comma = "";
	int rc;

	rc = sqlite3_prepare_v2(db->sqlite,
		str_is_empty(unit) ? "SELECT json FROM incident ORDER BY opened_usec DESC LIMIT ?1"
				   : "SELECT json FROM incident WHERE unit = ?2"
				     " ORDER BY opened_usec DESC LIMIT ?1",
		-1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return db_error(db, rc);
	sqlite3_bind_int64(stmt, 1, limit);
	if (!str_is_empty(unit))
		sqlite3_bind_text(stmt, 2, unit, -1, SQLITE_STATIC);
	strbuf_add(ret, "[");
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (ret->len + (size_t)sqlite3_column_bytes(stmt, 0) > STORE_LIST_BYTES) {
			rc = SQLITE_DONE;
			break;
		}
		strbuf_add(ret, comma);
		strbuf_add(ret, column(stmt, 0));
		comma = ",";
	}
	strbuf_add(ret, "]");
	rc = done(db, stmt, rc);
	return rc < 0 ? rc : ret->error;
}

static int append(struct stored_incident **list, size_t *n, const struct stored_incident *item)
{
	struct stored_incident *bigger = realloc(*list, (*n + 1) * sizeof(**list));

	if (!bigger)
		return -ENOMEM;
	*list = bigger;
	bigger[(*n)++] = *item;
	return 0;
}

void stored_incidents_free(struct stored_incident *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		incident_free(list[i].incident);
	free(list);
}

int db_load_open(struct db *db, struct stored_incident **ret, size_t *ret_n)
{
	struct stored_incident *list = NULL;
	size_t n = 0;
	sqlite3_stmt *stmt;
	int rc, r = 0;

	rc = sqlite3_prepare_v2(db->sqlite,
		"SELECT i.state, i.boot, a.state FROM incident i LEFT JOIN attempt a"
		" ON a.incident = i.id AND a.number ="
		" (SELECT max(number) FROM attempt WHERE incident = i.id)"
		" WHERE i.open AND i.state IS NOT NULL ORDER BY i.opened_usec LIMIT ?1",
		-1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return db_error(db, rc);
	sqlite3_bind_int(stmt, 1, UNITS_MAX); /* one for each unit */
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct stored_incident item = {};

		r = incident_decode(column(stmt, 0), &item.incident);
		if (r == -EBADMSG)
			continue; /* one that cannot be read must not hide the others */
		if (r < 0)
			break;
		item.this_boot = str_eq(column(stmt, 1), db->boot);
		if (sqlite3_column_type(stmt, 2) != SQLITE_NULL)
			attempt_decode(column(stmt, 2), &item.attempt);
		r = append(&list, &n, &item);
		if (r < 0) {
			incident_free(item.incident);
			break;
		}
	}
	r = done(db, stmt, r == -ENOMEM ? SQLITE_NOMEM : rc);
	if (r < 0) {
		stored_incidents_free(list, n);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int db_load_states(struct db *db, enum entry_kind kind,
	void (*fn)(void *userdata, const char *name, const char *state), void *userdata)
{
	sqlite3_stmt *stmt;
	int rc;

	rc = sqlite3_prepare_v2(db->sqlite,
		kind == ENTRY_PAUSE ? "SELECT name, state FROM pause WHERE boot = ?1"
				    : "SELECT name, state FROM unit WHERE boot = ?1",
		-1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return db_error(db, rc);
	sqlite3_bind_text(stmt, 1, db->boot, -1, SQLITE_STATIC);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		fn(userdata, column(stmt, 0), column(stmt, 1));
	return done(db, stmt, rc);
}
