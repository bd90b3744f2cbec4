/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread that loads the HTTP programs; see http_loader.h. */
#include "http_loader.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct http_loader {
	pthread_t thread;
	bool running; /* the thread has to be joined */
	int done_fd;  /* owned; an eventfd */
	sd_event_source *source;
	uint32_t n_details;
	/* Written by the thread before it writes to .done_fd. */
	struct http_programs programs;
	int error;
	http_loaded_fn on_loaded;
	void *userdata;
};

static void *run(void *userdata)
{
	struct http_loader *l = userdata;

	l->error = http_programs_load(&l->programs, l->n_details);
	(void)eventfd_write(l->done_fd, 1);
	return NULL;
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct http_loader *l = userdata;

	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	pthread_join(l->thread, NULL);
	l->running = false;
	l->on_loaded(l->userdata, &l->programs, l->error);
	return 0;
}

struct http_loader *http_loader_free(struct http_loader *l)
{
	if (!l)
		return NULL;
	if (l->running) {
		pthread_join(l->thread, NULL);
		if (l->error >= 0)
			http_programs_done(&l->programs);
	}
	sd_event_source_disable_unref(l->source);
	if (l->done_fd >= 0)
		close(l->done_fd);
	free(l);
	return NULL;
}

int http_loader_new(struct http_loader **ret, sd_event *event, uint32_t n_details,
	http_loaded_fn on_loaded, void *userdata)
{
	struct http_loader *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->n_details = n_details;
	l->on_loaded = on_loaded;
	l->userdata = userdata;
	l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = l->done_fd < 0 ? -errno : 0;
	if (r >= 0)
		r = sd_event_add_io(event, &l->source, l->done_fd, EPOLLIN, on_done, l);
	if (r >= 0)
		r = -pthread_create(&l->thread, NULL, run, l);
	if (r < 0) {
		http_loader_free(l);
		return r;
	}
	l->running = true;
	*ret = l;
	return 0;
}
