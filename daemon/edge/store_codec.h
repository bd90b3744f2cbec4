/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the structures of floor 1 and the text that the store keeps of them: one JSON object
 * each, with every member that is needed to go on after a restart. It is not the form for people
 * (incident_to_json), and only open incidents are kept in it.
 *
 * Reading takes what it finds: members of another version that are missing stay 0, unknown ones are
 * passed over, words of a newer version become the "unknown" of their kind.
 */
#pragma once

#include "../base/str.h"
#include "../state/world.h"
#include "store.h"

void incident_encode(const struct incident *i, struct strbuf *ret);
void attempt_encode(const struct attempt *a, struct strbuf *ret);
void unit_state_encode(const struct unit_state *s, struct strbuf *ret);
void pause_encode(const struct pause *p, struct strbuf *ret);

/* 0, -EBADMSG: it is not what it should be, -ENOMEM. */
int incident_decode(const char *text, struct incident **ret);
int attempt_decode(const char *text, struct attempt *ret);
int unit_state_decode(const char *text, struct unit_state *ret);
int pause_decode(const char *text, struct pause *ret);
