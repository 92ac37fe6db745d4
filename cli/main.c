// SPDX-License-Identifier: GPL-2.0-only
/* kvm_watcher: what every VM of this host does, and what that costs. */
#include <fcntl.h>
#include <unistd.h>

#include "../core/log.h"
#include "../core/run.h"
#include "check.h"
#include "list.h"
#include "options.h"

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

int main(int argc, char **argv)
{
	struct options opts;
	int code;

	open_standard_files();
	code = options__parse(argc, argv, &opts);
	if (code >= 0)
		return code;
	log__init(opts.verbose);
	if (opts.check)
		return check__print(&opts);
	if (opts.list)
		return list__print(&opts);
	return run__watch(&opts);
}
