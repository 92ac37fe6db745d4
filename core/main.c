// SPDX-License-Identifier: GPL-2.0-only
/* kvm_watcher: what every VM of this host does, and what that costs. */
#include "check.h"
#include "list.h"
#include "log.h"
#include "options.h"
#include "run.h"

int main(int argc, char **argv)
{
	struct options opts;
	int code;

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
