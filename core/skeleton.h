/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Generic code over the skeletons that bpftool makes. A monitor names programs,
 * maps and variables as members of its skeleton, so that the compiler knows
 * them; core has them as offsets into it. 0 is no member's offset.
 *
 * Only what the shared headers in bpf/ declare is found by its name: it is in
 * the objects of all that include them.
 */
#ifndef KVM_WATCHER_SKELETON_H
#define KVM_WATCHER_SKELETON_H

#include <stddef.h>

struct bpf_map;
struct bpf_object;
struct bpf_object_open_opts;
struct bpf_object_skeleton;
struct bpf_program;

/* How each of them begins. */
struct skeleton {
	struct bpf_object_skeleton *skeleton;
	struct bpf_object *obj;
};

/* Defines open_skeleton() for a monitor's row: NULL and errno on error. */
#define DEFINE_OPEN_SKELETON(_type)                                                           \
	static struct skeleton *open_skeleton(const struct bpf_object_open_opts *opts)        \
	{                                                                                     \
		_Static_assert(offsetof(struct _type, obj) == offsetof(struct skeleton, obj), \
			       "a skeleton begins with these");                               \
		return (struct skeleton *)_type##__open_opts(opts);                           \
	}

/* 0 or -errno. */
int skeleton__load(struct skeleton *skel);
/* NULL is accepted. */
void skeleton__destroy(struct skeleton *skel);

/* For what the shared headers declare. */
static inline struct bpf_object *skeleton__object(const struct skeleton *skel)
{
	return skel->obj;
}
/*
 * For a process that has opened the same skeleton and does not load it: the descriptors
 * of the maps, in the object's order, -1 where there is none. Returns how many.
 */
size_t skeleton__map_fds(const struct skeleton *skel, int *fds, size_t max);

/* That process: these maps become the skeleton's, its variables too. 0 or -errno. */
int skeleton__take_maps(struct skeleton *skel, const int *fds, size_t nr);

static inline struct bpf_map *skeleton__map(const struct skeleton *skel, size_t member)
{
	return *(struct bpf_map *const *)((const char *)skel + member);
}

static inline struct bpf_program *skeleton__prog(const struct skeleton *skel, size_t member)
{
	return *(struct bpf_program *const *)((const char *)skel + member);
}

#endif
