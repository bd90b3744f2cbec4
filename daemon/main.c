/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's command line and the frame around its loop. */
#include "manager.h"
#include "edge/config_files.h"

#include <getopt.h>
#include <signal.h>

static const char help[] =
	"mendd [OPTIONS…]\n"
	"\n"
	"Watches the services of this host from the kernel, and heals through systemd what can be\n"
	"healed. Usually run by systemd as mendd.service; talk to it with mendctl(1).\n"
	"\n"
	"  -h --help          Show this help\n"
	"     --version       Show the version\n"
	"     --check-config  Check the configuration files and exit: 0 good, 1 not\n"
	"\n"
	"See mendd(8), mendd.conf(5).\n";

static int check_config(void)
{
	_cleanup_strbuf_ struct strbuf errors = {};
	struct host_settings settings;
	int r = config_load(NULL, &settings, &errors);

	if (r < 0) {
		fprintf(stderr, "%s\n", strbuf_text(&errors));
		return EXIT_FAILURE;
	}
	host_settings_done(&settings);
	puts("the configuration is good");
	return EXIT_SUCCESS;
}

/* These arrive through the loop's signalfd; a write to a closed socket is an error, not a death. */
static void prepare_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	enum { OPTION_VERSION = 256, OPTION_CHECK };
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPTION_VERSION },
		{ "check-config", no_argument, NULL, OPTION_CHECK },
		{},
	};
	struct manager *m = NULL;
	int c, code;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
		switch (c) {
		case 'h':
			fputs(help, stdout);
			return EXIT_SUCCESS;
		case OPTION_VERSION:
			puts("mendd " MENDD_VERSION);
			return EXIT_SUCCESS;
		case OPTION_CHECK:
			return check_config();
		default:
			fputs("Try 'mendd --help'.\n", stderr);
			return 2;
		}
	if (optind < argc) {
		fprintf(stderr, "mendd takes no arguments: '%s'\nTry 'mendd --help'.\n",
			argv[optind]);
		return 2;
	}
	prepare_signals();
	if (manager_new(&m) < 0)
		return EXIT_FAILURE;
	code = manager_run(m);
	manager_free(m);
	return code;
}
