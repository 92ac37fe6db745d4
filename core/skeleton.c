// SPDX-License-Identifier: GPL-2.0-only
#include "skeleton.h"

#include <stdlib.h>

#include <bpf/libbpf.h>

int skeleton__load(struct skeleton *skel)
{
	return bpf_object__load_skeleton(skel->skeleton);
}

void skeleton__destroy(struct skeleton *skel)
{
	if (!skel)
		return;
	bpf_object__destroy_skeleton(skel->skeleton);
	free(skel);
}
