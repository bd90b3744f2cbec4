/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kinds of records, and for each the 128-bit id that the journal knows it by (MESSAGE_ID=). An
 * id never changes its meaning and is never used again; its explanation is in data/mendd.catalog.
 */
#pragma once

#include <stddef.h>

enum message_kind {
	MESSAGE_DAEMON_STARTED,
	MESSAGE_DAEMON_STOPPED,
	MESSAGE_DEGRADED,
	MESSAGE_UNIT_FAILED,
	MESSAGE_HELPER_DIED,
	MESSAGE_HIDDEN_OOM,
	MESSAGE_CHECK_FAILED,
	MESSAGE_HTTP_ERROR,
	MESSAGE_HTTP_SLOW,
	MESSAGE_HTTP_FULL,
	MESSAGE_ALERT_FIRING,
	MESSAGE_ALERT_RESOLVED,
	MESSAGE_ACTION_DECIDED,
	MESSAGE_ACTION_HELD,
	MESSAGE_ACTION_FAILED,
	MESSAGE_VERIFIED,
	MESSAGE_NOT_FIXED,
	MESSAGE_EXHAUSTED,
	MESSAGE_INCIDENT_CLOSED,
	MESSAGE_RELAPSE,
	MESSAGE_CORRELATED,
	MESSAGE_HOST_PRESSURE,
	MESSAGE_PAUSED,
	MESSAGE_RESUMED,
	MESSAGE_CONFIG_ERROR,
	MESSAGE_STORE_ERROR,
	MESSAGE_STORE_RECOVERED,
	MESSAGE_EVENTS_LOST,
	MESSAGE_PLUGIN_REFUSED,
	MESSAGE_KIND_COUNT,
};

static const struct {
	const char *kind; /* mend_record.kind, MENDD_EVENT= */
	const char *id;
} message_ids[MESSAGE_KIND_COUNT] = {
	[MESSAGE_DAEMON_STARTED] = { "daemon-started", "2c6640e314cf42bfbfdf1722cb629202" },
	[MESSAGE_DAEMON_STOPPED] = { "daemon-stopped", "243a92680dfc44c1bcb304b829d913bf" },
	[MESSAGE_DEGRADED] = { "degraded", "ddb56f02875442d19960c538d46dfaff" },
	[MESSAGE_UNIT_FAILED] = { "unit-failed", "d289c010aff04e1dbdcb3b8718713a8f" },
	[MESSAGE_HELPER_DIED] = { "helper-died", "1837d6ddcb8646969ba7c46793c294fe" },
	[MESSAGE_HIDDEN_OOM] = { "hidden-oom", "cd7b0d13356046d29313883586fa3c03" },
	[MESSAGE_HTTP_ERROR] = { "http-error", "1fa1aa6d18c446ba88b50386f5d5878a" },
	[MESSAGE_HTTP_SLOW] = { "http-slow", "bcefea157be14a08818b299295714844" },
	[MESSAGE_HTTP_FULL] = { "http-full", "e6fd0a9a74e244888bf8241b4eb30e1b" },
	[MESSAGE_CHECK_FAILED] = { "check-failed", "2e76ce13472d43c6ba30c780ef9fbff8" },
	[MESSAGE_ALERT_FIRING] = { "alert-firing", "5b8bf97e6e79442dbfd3844c62fda651" },
	[MESSAGE_ALERT_RESOLVED] = { "alert-resolved", "725defdff52340ad9bad781f38891f90" },
	[MESSAGE_ACTION_DECIDED] = { "action-decided", "5b47927fc3cb485daea82d3a3bee5a67" },
	[MESSAGE_ACTION_HELD] = { "action-held", "68e3cce6dd2f44edb322ebfca127051a" },
	[MESSAGE_ACTION_FAILED] = { "action-failed", "ab8a27f332f64fbc996fec2e5f1f7453" },
	[MESSAGE_VERIFIED] = { "verified", "58f7f1ea21234ab48c202cdedda5c1fb" },
	[MESSAGE_NOT_FIXED] = { "not-fixed", "13aab50fb5994ae0beaa32edaad35caa" },
	[MESSAGE_EXHAUSTED] = { "exhausted", "18cbfbaea0724e05a95776fe261d8f48" },
	[MESSAGE_INCIDENT_CLOSED] = { "incident-closed", "e2a4531282fe46c990174121718d0b67" },
	[MESSAGE_RELAPSE] = { "relapse", "822f9454a4c541d7ae9d7a8262c3e785" },
	[MESSAGE_CORRELATED] = { "correlated", "ad3171c46d474c39910dfb54e4e5d7a8" },
	[MESSAGE_HOST_PRESSURE] = { "host-pressure", "adf45af4ed3f42d194b76a550683cd95" },
	[MESSAGE_PAUSED] = { "paused", "ed61dacb745d494c8e30981d86c1754d" },
	[MESSAGE_RESUMED] = { "resumed", "76aa23c62eae4953b540e049536e409a" },
	[MESSAGE_CONFIG_ERROR] = { "config-error", "5445a2183ca64e25b224fd9d4c140af3" },
	[MESSAGE_STORE_ERROR] = { "store-error", "e662924f56334650ab5629165ea200a9" },
	[MESSAGE_STORE_RECOVERED] = { "store-recovered", "744889211c484ab18c92a133ac668d25" },
	[MESSAGE_EVENTS_LOST] = { "events-lost", "2ce10ea340514cee86eaed8c4a0e7ef1" },
	[MESSAGE_PLUGIN_REFUSED] = { "plugin-refused", "5b8f663cea0f4883af9bd65fd6a65f03" },
};

static inline const char *message_kind_word(enum message_kind kind)
{
	return message_ids[kind].kind;
}
