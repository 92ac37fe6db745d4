// SPDX-License-Identifier: GPL-2.0-only
/* The command line: a word per line, the first one of them chooses the command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../cli/commands.h"
#include "fuzz.h"

static const struct command *const commands[] = {
	&watch_command,	 &check_command, &list_command,	    &record_command,
	&replay_command, &diff_command,	 &diagnose_command,
};

enum { MOST_WORDS = 64, NR_COMMANDS = sizeof(commands) / sizeof(*commands) };

static void check_refusal(int code, char *text, size_t size)
{
	if (code == EXIT_USAGE && (!size || text[size - 1] != '\n'))
		abort();
	if (code == EXIT_USAGE && memchr(text, '\n', size) != text + size - 1)
		abort();
	if (code == EXIT_USAGE)
		check_line(text, size - 1);
	if (code < 0 && size)
		check_line(text, strcspn(text, "\n"));
}

void fuzz_command(const struct command *command, int argc, char **argv)
{
	static struct options opts;
	char *said = NULL, *shown = NULL;
	FILE *out = stdout, *err = stderr;
	size_t said_size = 0, shown_size = 0;
	int code;

	memset(&opts, 0, sizeof(opts));
	stdout = open_memstream(&shown, &shown_size);
	stderr = open_memstream(&said, &said_size);
	code = options__parse(command, argc, argv, &opts);
	fclose(stdout);
	fclose(stderr);
	stdout = out;
	stderr = err;
	check_refusal(code, said, said_size);
	free(said);
	free(shown);
}

int fuzz_options(const uint8_t *data, size_t size)
{
	char *text = size ? fuzz_text_of(data + 1, size - 1) : NULL, *save = NULL;
	char *argv[MOST_WORDS + 2] = { "kvm_watcher" };
	int argc = 1;

	if (!text)
		return 0;
	for (char *word = strtok_r(text, "\n", &save); word && argc <= MOST_WORDS;
	     word = strtok_r(NULL, "\n", &save))
		argv[argc++] = word;
	fuzz_command(commands[data[0] % NR_COMMANDS], argc, argv);
	free(text);
	return 0;
}
