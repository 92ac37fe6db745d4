// SPDX-License-Identifier: GPL-2.0-only
/* kvm_watcher: what every VM of this host does, and what that costs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../core/limits.h"
#include "../core/log.h"
#include "commands.h"

/* A closed stdout must not become the number of a map, and what is written there is an error. */
static void open_standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDONLY);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* The first word, if it is a command's; else the one without a word. */
static const struct command *find_command(const char *word)
{
	for (const struct command *const *c = watch_command.words; word && *c; c++)
		if (!strcmp((*c)->name, word))
			return *c;
	return &watch_command;
}

/* glibc has a size of its own for a buffer that it makes. */
static char stdout_buffer[1 << 16];

static bool stdout_is_open(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* The code if what was printed has arrived, or nobody wants it any more; else 1, and a sentence. */
static int end_output(int code)
{
	bool failed = ferror(stdout);

	errno = 0;
	failed |= fflush(stdout) != 0;
	/* Not 0: the command has said why. */
	if (!failed || code || errno == EPIPE)
		return code;
	say("can't write to standard output%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
	return EXIT_NOT_MEASURED;
}

/* Not inlined: what it keeps is not on a stack that has no room for it. */
__attribute__((noinline)) static int run(int argc, char **argv)
{
	const struct command *command =
		top__is_meant(argc, argv) ? &top_command : find_command(argc > 1 ? argv[1] : NULL);
	int skipped = command->name && argc > 1 && !strcmp(argv[1], command->name) ? 1 : 0;
	struct options opts;
	int code;

	open_standard_files();
	/* Tables and batches of events are flushed as a whole, what is short only at the end. */
	setvbuf(stdout, stdout_buffer, _IOFBF, sizeof(stdout_buffer));
	code = options__parse(command, argc - skipped, argv + skipped, &opts);
	if (code == EXIT_USAGE)
		return code;
	if (!stdout_is_open()) {
		say("standard output is closed: nothing can be shown");
		return EXIT_NOT_MEASURED;
	}
	if (code < 0) {
		log__init(opts.verbose);
		code = command->run(&opts);
	}
	return end_output(code);
}

int main(int argc, char **argv)
{
	return limits__raise() ? EXIT_NOT_MEASURED : run(argc, argv);
}
