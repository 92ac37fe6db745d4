// SPDX-License-Identifier: GPL-2.0-only
#include "skeleton.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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

size_t skeleton__map_fds(const struct skeleton *skel, int *fds, size_t max)
{
	struct bpf_map *map;
	size_t nr = 0;

	bpf_object__for_each_map(map, skel->obj)
	{
		if (nr < max)
			fds[nr] = bpf_map__fd(map);
		nr++;
	}
	return nr;
}

/* As libbpf does it when it loads: the kernel's memory takes the place of the initial one. */
static int map_variables(struct bpf_object_skeleton *s)
{
	size_t page = sysconf(_SC_PAGESIZE);

	for (int i = 0; i < s->map_cnt; i++) {
		const struct bpf_map *map = *s->maps[i].map;
		bool read_only = bpf_map__map_flags(map) & BPF_F_RDONLY_PROG;
		size_t size = bpf_map__value_size(map);
		const void *at;

		if (!s->maps[i].mmaped || bpf_map__fd(map) < 0)
			continue;
		/* A section of which no variable is seen from here. */
		if (!(bpf_map__map_flags(map) & BPF_F_MMAPABLE)) {
			*s->maps[i].mmaped = NULL;
			continue;
		}
		size = (size + page - 1) & ~(page - 1);
		at = mmap(*s->maps[i].mmaped, size, PROT_READ | (read_only ? 0 : PROT_WRITE),
			  MAP_SHARED | MAP_FIXED, bpf_map__fd(map), 0);
		if (at == MAP_FAILED)
			return -errno;
	}
	return 0;
}

int skeleton__take_maps(struct skeleton *skel, const int *fds, size_t nr)
{
	struct bpf_map *map;
	size_t i = 0;
	int err = 0;

	bpf_object__for_each_map(map, skel->obj)
	{
		if (i >= nr)
			return -EINVAL;
		if (!err && fds[i] >= 0)
			err = bpf_map__reuse_fd(map, fds[i]);
		i++;
	}
	return err ? err : map_variables(skel->skeleton);
}
