/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads the HTTP programs on a thread of its own: the verifier takes a large part of a second, or
 * some seconds for what it refuses, and the loop has deaths to heal meanwhile.
 */
#pragma once

#include "http_programs.h"

#include <systemd/sd-event.h>

struct http_loader;

/*
 * The result, on the loop. `error` is of http_programs_load(); `programs` is owned by the callee
 * where it is 0. The loader is to be freed by http_loader_free() in either case.
 */
typedef void (*http_loaded_fn)(void *userdata, struct http_programs *programs, int error);

int http_loader_new(struct http_loader **ret, sd_event *event, uint32_t n_details,
	http_loaded_fn on_loaded, void *userdata);
/* Waits for the thread. */
struct http_loader *http_loader_free(struct http_loader *l);
