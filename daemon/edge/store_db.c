/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening, schema, writing, forgetting. Reading is in store_read.c. See store_db.h.
 *
 * RAM: a cache of 256 KiB, no mapping of the file. The write-ahead log is held to a few MiB by the
 * checkpoints.
 */
#include "store_db.h"

#include "../base/clock.h"

#include <endian.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>

/* "SQLite format 3" and the place of user_version in a database file; fixed by its file format. */
#define MAGIC "SQLite format 3"
enum { VERSION_OFFSET = 60, HEADER_SIZE = 100 };

static const char schema[] =
	"CREATE TABLE incident ("
	" id TEXT PRIMARY KEY, unit TEXT NOT NULL, boot TEXT NOT NULL, opened_usec INTEGER NOT NULL,"
	" open INTEGER NOT NULL, cause TEXT NOT NULL, verdict TEXT NOT NULL, json TEXT NOT NULL,"
	" state TEXT);"
	"CREATE INDEX incident_time ON incident (opened_usec);"
	"CREATE INDEX incident_unit ON incident (unit, opened_usec);"
	"CREATE INDEX incident_open ON incident (opened_usec) WHERE open;"
	"CREATE TABLE attempt ("
	" incident TEXT NOT NULL, number INTEGER NOT NULL, boot TEXT NOT NULL, state TEXT NOT NULL,"
	" PRIMARY KEY (incident, number)) WITHOUT ROWID;"
	"CREATE TABLE unit ("
	" name TEXT PRIMARY KEY, boot TEXT NOT NULL, written_usec INTEGER NOT NULL,"
	" state TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX unit_time ON unit (written_usec);"
	"CREATE TABLE pause ("
	" name TEXT PRIMARY KEY, boot TEXT NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TRIGGER incident_gone AFTER DELETE ON incident BEGIN"
	" DELETE FROM attempt WHERE incident = old.id; END;";

static const char *const writes[ENTRY_KIND_COUNT] = {
	[ENTRY_INCIDENT] =
		("INSERT INTO incident"
		 " (id, boot, state, json, unit, opened_usec, open, cause, verdict)"
		 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET"
		 " boot = ?2, state = ?3, json = ?4, open = ?7, cause = ?8, verdict = ?9"),
	[ENTRY_ATTEMPT] = ("INSERT INTO attempt (incident, boot, state, number)"
			   " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (incident, number) DO UPDATE SET"
			   " boot = ?2, state = ?3"),
	[ENTRY_UNIT] = ("INSERT INTO unit (name, boot, state, written_usec)"
			" VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET"
			" boot = ?2, state = ?3, written_usec = ?4"),
	[ENTRY_PAUSE] = ("INSERT INTO pause (name, boot, state) VALUES (?1, ?2, ?3)"
			 " ON CONFLICT (name) DO UPDATE SET boot = ?2, state = ?3"),
};

struct entry *entry_free(struct entry *e)
{
	if (!e)
		return NULL;
	free(e->state);
	free(e->json);
	free(e->ack);
	free(e);
	return NULL;
}

void entry_list_free(struct entry_list *list)
{
	struct entry *e;

	while ((e = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, link);
		entry_free(e);
	}
}

static int translate(sqlite3 *sqlite, int rc)
{
	int system = sqlite ? sqlite3_system_errno(sqlite) : 0; /* of its last I/O error */

	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_TOOBIG:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return -EINVAL;
	case SQLITE_CANTOPEN:
		return system > 0 ? -system : -ENOENT;
	case SQLITE_IOERR:
		return system > 0 ? -system : -EIO;
	default:
		return -EIO;
	}
}

int db_error(const struct db *db, int rc)
{
	return translate(db->sqlite, rc);
}

static int complain(const struct db *db, int rc, const char *what, char *text, size_t size)
{
	int r = translate(db->sqlite, rc);

	snprintf(text, size, "%s: cannot %s: %s", db->path, what,
		db->sqlite ? sqlite3_errmsg(db->sqlite) : sqlite3_errstr(rc));
	return r;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Whether something can be written there. SQLite would fall back to reading, and to an error that
 * says nothing. */
static int is_writable(const struct db *db, char *text, size_t size)
{
	char dir[PATH_MAX];
	char *slash;
	int r;

	str_copy(dir, sizeof(dir), db->path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[1] = '\0';
	else
		str_copy(dir, sizeof(dir), ".");
	if (access(dir, W_OK) == 0 && (access(db->path, W_OK) == 0 || errno == ENOENT))
		return 0;
	r = -errno;
	snprintf(text, size, "%s: cannot write: %s", db->path, strerror(-r));
	return r;
}

/* Looks at the file itself before SQLite may touch it: opening one in WAL mode writes beside it. */
static int read_header(const struct db *db, char *text, size_t size)
{
	_cleanup_close_ int fd = open(db->path, O_RDONLY | O_CLOEXEC);
	unsigned char header[HEADER_SIZE];
	uint32_t version;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0) {
		snprintf(text, size, "%s: cannot open: %s", db->path, strerror(errno));
		return -errno;
	}
	n = read(fd, header, sizeof(header));
	if (n == 0)
		return 0; /* an empty file becomes a database */
	if (n < 0) {
		snprintf(text, size, "%s: cannot read: %s", db->path, strerror(errno));
		return -errno;
	}
	if ((size_t)n < sizeof(header) || memcmp(header, MAGIC, sizeof(MAGIC)) != 0) {
		snprintf(text, size, "%s is not a database", db->path);
		return -EUCLEAN;
	}
	memcpy(&version, header + VERSION_OFFSET, sizeof(version));
	if (be32toh(version) > STORE_SCHEMA) {
		snprintf(text, size,
			"%s was written by a newer version of mendd (schema %u, this one knows %d)",
			db->path, be32toh(version), STORE_SCHEMA);
		return -EPROTONOSUPPORT;
	}
	return 0;
}

static int get_integer(sqlite3 *sqlite, const char *sql, int *ret)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(sqlite, sql, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Makes the tables where there are none. */
static int make_schema(struct db *db, char *text, size_t size)
{
	char sql[64];
	int version = 0, rc;

	rc = get_integer(db->sqlite, "PRAGMA user_version", &version);
	if (rc != SQLITE_OK)
		return complain(db, rc, "read", text, size);
	if (version > STORE_SCHEMA) { /* the header was older than the log beside it */
		snprintf(text, size, "%s was written by a newer version of mendd", db->path);
		return -EPROTONOSUPPORT;
	}
	if (version == STORE_SCHEMA)
		return 0;
	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", STORE_SCHEMA);
	rc = sqlite3_exec(db->sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db->sqlite, schema, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db->sqlite, "COMMIT", NULL, NULL, NULL);
	/* So that the header has the version, for a mendd that comes back after a newer one. */
	if (rc == SQLITE_OK)
		rc = sqlite3_wal_checkpoint_v2(
			db->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return rc == SQLITE_OK ? 0 : complain(db, rc, "make the tables of", text, size);
}

/* What earlier boots left behind and means nothing now, and attempts without an incident. */
static int forget_boots(struct db *db)
{
	char *sql = sqlite3_mprintf(
		"DELETE FROM unit WHERE boot <> %Q;"
		"DELETE FROM pause WHERE boot <> %Q;"
		"DELETE FROM attempt WHERE incident NOT IN (SELECT id FROM incident)",
		db->boot, db->boot);
	int rc = sql ? sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	return rc;
}

static int on_commit(void *userdata, sqlite3 *sqlite, const char *name, int pages)
{
	struct db *db = userdata;

	db->wal_pages = pages;
	return SQLITE_OK;
}

static int set_up(struct db *db, char *text, size_t size)
{
	/* The order matters: what the first one reads decides whether the others make sense. */
	static const char pragmas[] = "PRAGMA journal_mode = WAL;"
				      "PRAGMA synchronous = NORMAL;"
				      "PRAGMA journal_size_limit = 8388608;"
				      "PRAGMA cache_size = -256;"
				      "PRAGMA mmap_size = 0;"
				      "PRAGMA temp_store = MEMORY;"
				      "PRAGMA foreign_keys = OFF;"
				      "PRAGMA trusted_schema = OFF;";
	int rc, r;

	/* Only our own checkpointer may hold a lock, for moments. */
	sqlite3_busy_timeout(db->sqlite, 1000);
	sqlite3_extended_result_codes(db->sqlite, 1);
	rc = sqlite3_exec(db->sqlite, pragmas, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return complain(db, rc, "set up", text, size);
	/* Takes the place of the hook that would make a checkpoint inside of a commit. */
	sqlite3_wal_hook(db->sqlite, on_commit, db);
	r = make_schema(db, text, size);
	if (r < 0)
		return r;
	rc = forget_boots(db);
	for (int k = 0; rc == SQLITE_OK && k < ENTRY_KIND_COUNT; k++)
		rc = sqlite3_prepare_v3(
			db->sqlite, writes[k], -1, SQLITE_PREPARE_PERSISTENT, &db->write[k], NULL);
	return rc == SQLITE_OK ? 0 : complain(db, rc, "write", text, size);
}

int db_open(struct db *db, char *text, size_t size)
{
	int rc, r;

	r = read_header(db, text, size);
	if (r >= 0)
		r = is_writable(db, text, size);
	if (r < 0)
		return r;
	/* One thread at a time uses it: the loop at startup, the worker afterwards. */
	rc = sqlite3_open_v2(db->path, &db->sqlite,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	r = rc == SQLITE_OK ? set_up(db, text, size) : complain(db, rc, "open", text, size);
	if (r < 0)
		db_close(db);
	return r;
}

void db_close(struct db *db)
{
	for (int k = 0; k < ENTRY_KIND_COUNT; k++) {
		sqlite3_finalize(db->write[k]);
		db->write[k] = NULL;
	}
	sqlite3_close(db->sqlite);
	db->sqlite = NULL;
}

/* Keeps the newest damaged databases only. Their names end in a time, so they sort by age. */
static void drop_old_copies(const char *path)
{
	char pattern[PATH_MAX];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s.corrupt-*[0-9]", path);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i + STORE_CORRUPT_KEPT < g.gl_pathc; i++) {
		char wal[PATH_MAX];

		snprintf(wal, sizeof(wal), "%s-wal", g.gl_pathv[i]);
		unlink(g.gl_pathv[i]);
		unlink(wal);
	}
	globfree(&g);
}

int db_move_aside(struct db *db, char *moved, size_t size)
{
	char from[PATH_MAX], to[PATH_MAX];

	db_close(db);
	snprintf(moved, size, "%s.corrupt-%llu", db->path,
		(unsigned long long)(clock_realtime_usec() / USEC_PER_SEC));
	/* The log first: a log without its database is nothing, a database that is found beside the
	 * log of another one is a danger. */
	snprintf(from, sizeof(from), "%s-wal", db->path);
	snprintf(to, sizeof(to), "%s-wal", moved);
	if (rename(from, to) < 0 && errno != ENOENT)
		return -errno;
	if (rename(db->path, moved) < 0 && errno != ENOENT)
		return -errno;
	snprintf(from, sizeof(from), "%s-shm", db->path);
	if (unlink(from) < 0 && errno != ENOENT)
		return -errno;
	drop_old_copies(db->path);
	return 0;
}

bool db_has_moved(struct db *db)
{
	int moved = 0;

	return sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
		       SQLITE_OK &&
	       moved;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int write_entry(struct db *db, const struct entry *e)
{
	sqlite3_stmt *stmt = db->write[e->kind];
	int rc;

	/* Static: the entry outlives the step, and bindings are cleared below. */
	sqlite3_bind_text(stmt, 1, e->key, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, db->boot, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 3, e->state, -1, SQLITE_STATIC);
	if (e->kind == ENTRY_INCIDENT) {
		sqlite3_bind_text(stmt, 4, e->json, -1, SQLITE_STATIC);
		sqlite3_bind_text(stmt, 5, e->unit, -1, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 6, e->opened_usec);
		sqlite3_bind_int(stmt, 7, e->open);
		sqlite3_bind_text(stmt, 8, e->cause, -1, SQLITE_STATIC);
		sqlite3_bind_text(stmt, 9, e->verdict, -1, SQLITE_STATIC);
	} else if (e->kind == ENTRY_ATTEMPT) {
		sqlite3_bind_int64(stmt, 4, e->number);
	} else if (e->kind == ENTRY_UNIT) {
		sqlite3_bind_int64(stmt, 4, (int64_t)clock_realtime_usec());
	}
	rc = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int db_write(struct db *db, const struct entry_list *list, struct entry **ret_bad, char *text,
	size_t size)
{
	struct entry *e;
	int rc, r;

	*ret_bad = NULL;
	rc = sqlite3_exec(db->sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return complain(db, rc, "write", text, size);
	STAILQ_FOREACH (e, list, link) {
		rc = write_entry(db, e);
		if (rc != SQLITE_OK) {
			*ret_bad = e;
			break;
		}
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db->sqlite, "COMMIT", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	r = complain(db, rc, "write", text, size);
	/* Fails where SQLite has rolled back by itself already, as it does on a full disk. */
	sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int db_checkpoint(const char *path)
{
	sqlite3 *sqlite = NULL;
	int rc, r;

	rc = sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(sqlite, "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -64;",
			NULL, NULL, NULL);
	/* Passive: copies what nobody reads, waits for nobody and keeps nobody waiting. */
	if (rc == SQLITE_OK)
		rc = sqlite3_wal_checkpoint_v2(sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	r = translate(sqlite, rc);
	sqlite3_close(sqlite);
	return r;
}

/* --- forgetting ------------------------------------------------------------------------------- */

int db_prune(struct db *db, uint32_t incidents_max, int64_t oldest_usec)
{
	/* Rows a step: a step is some pages, well under a millisecond, and a write may wait for it.
	 */
	enum { STEP = 20 };
	int n_incidents = 0, n_units = 0, excess, rc, before = sqlite3_total_changes(db->sqlite);
	char *sql;

	rc = get_integer(db->sqlite, "SELECT count(*) FROM incident", &n_incidents);
	if (rc == SQLITE_OK)
		rc = get_integer(db->sqlite, "SELECT count(*) FROM unit", &n_units);
	if (rc != SQLITE_OK)
		return translate(db->sqlite, rc);
	excess = MAX(0, MIN((int)STEP, n_incidents - (int)incidents_max));
	sql = sqlite3_mprintf(
		"BEGIN IMMEDIATE;"
		"DELETE FROM incident WHERE rowid IN (SELECT rowid FROM incident"
		" WHERE NOT open ORDER BY opened_usec LIMIT %d);"
		"DELETE FROM incident WHERE rowid IN (SELECT rowid FROM incident"
		" WHERE NOT open AND opened_usec < %lld ORDER BY opened_usec LIMIT %d);"
		/* Units come and go within a boot; twice what is watched at most is remembered. */
		"DELETE FROM unit WHERE name IN (SELECT name FROM unit"
		" ORDER BY written_usec LIMIT %d);"
		"COMMIT",
		excess, (long long)oldest_usec, (int)STEP,
		MAX(0, MIN((int)STEP, n_units - 2 * UNITS_MAX)));
	rc = sql ? sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
	sqlite3_free(sql);
	if (rc != SQLITE_OK) {
		int r = translate(db->sqlite, rc);

		sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
		return r;
	}
	return sqlite3_total_changes(db->sqlite) != before;
}
