// SPDX-License-Identifier: GPL-2.0-only
/* What kvm_watcher serve reads: requests of clients, and (behind a C) files of options. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../cli/commands.h"
#include "../../serve/http.h"

static void demand(bool holds)
{
	if (!holds)
		abort();
}

/* However a client's bytes arrive, they mean the same. */
static void parse_request(const char *data, size_t size)
{
	struct http_request whole, part;
	size_t used = 0, used_of_part = 0;
	int code = http__parse(data, size, &whole, &used);

	if (code != 200)
		return;
	demand(used && used <= size && whole.path[0] == '/' && strlen(whole.path) < MAX_PATH);
	for (size_t len = 0; len < used; len++)
		demand(!http__parse(data, len, &part, &used_of_part));
	demand(http__parse(data, used, &part, &used_of_part) == 200 && used_of_part == used);
	demand(part.gzip == whole.gzip && part.openmetrics == whole.openmetrics);
}

static void parse_config(const char *data, size_t size)
{
	int fd = memfd_create("serve.conf", MFD_CLOEXEC);
	struct options opts;
	char word[64];
	char *argv[] = { "serve", word, NULL };

	if (fd < 0)
		return;
	if (write(fd, data, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET)) {
		snprintf(word, sizeof(word), "--config=/proc/self/fd/%d", fd);
		options__parse(&serve_command, 2, argv, &opts);
	}
	close(fd);
}

int fuzz_request(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);

	if (!copy)
		return 0;
	/* Of that size exactly: what is read beyond it is noticed. */
	memcpy(copy, data, size);
	if (size && *copy == 'C')
		parse_config(copy + 1, size - 1);
	else
		parse_request(copy, size > MAX_REQUEST ? MAX_REQUEST : size);
	free(copy);
	return 0;
}
