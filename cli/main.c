// SPDX-License-Identifier: GPL-2.0-only
/* kvm_watcher: what every VM of this host does, and what that costs. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../core/log.h"
#include "commands.h"

/* A closed stdout must not become the number of a map. */
static void open_standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static const struct command *const commands[] = { &check_command, &list_command };

/* The first word, if it is a command's; else the one without a word. */
static const struct command *find_command(const char *word)
{
	for (size_t i = 0; word && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i]->name, word))
			return commands[i];
	return &watch_command;
}

int main(int argc, char **argv)
{
	const struct command *command = find_command(argc > 1 ? argv[1] : NULL);
	int skipped = command->name ? 1 : 0;
	struct options opts;
	int code;

	open_standard_files();
	code = options__parse(command, argc - skipped, argv + skipped, &opts);
	if (code >= 0)
		return code;
	log__init(opts.verbose);
	return command->run(&opts);
}
