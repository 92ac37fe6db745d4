// SPDX-License-Identifier: GPL-2.0-only
#include "hook_kind.h"

#include <string.h>

static const char *const kind_names[NR_HOOK_KINDS] = {
	[HOOK_RAW_TP] = "raw_tp", [HOOK_TP_BTF] = "tp_btf",	    [HOOK_FENTRY] = "fentry",
	[HOOK_KPROBE] = "kprobe", [HOOK_TRACEPOINT] = "tracepoint", [HOOK_ITER] = "iter",
};

const char *hook_kind__name(enum hook_kind kind)
{
	return kind_names[kind];
}

int hook_kind__parse(const char *name)
{
	for (int i = 0; i < NR_HOOK_KINDS; i++)
		if (!strcmp(name, kind_names[i]))
			return i;
	return -1;
}

const char *hook_kind__names(void)
{
	return "raw_tp, tp_btf, fentry, kprobe, tracepoint, iter";
}
