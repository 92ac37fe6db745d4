/* SPDX-License-Identifier: GPL-2.0-only */
/* Small helpers over libbpf's maps. Errors are negative errno values. */
#ifndef KVM_WATCHER_MAP_H
#define KVM_WATCHER_MAP_H

#include <stddef.h>
#include <stdint.h>

struct bpf_map;
struct bpf_object;

/* Sets the size of a map before the object is loaded. */
int map__resize(struct bpf_object *obj, const char *name, uint32_t entries);

/* Maps a BPF_F_MMAPABLE array for reading and writing; NULL and errno on error. */
void *map__mmap(const struct bpf_map *map, size_t *size);
void *map__mmap_name(const struct bpf_object *obj, const char *name, size_t *size);

/* Pushes first .. first + nr - 1 into a queue of free indices. */
int map__fill_queue(const struct bpf_object *obj, const char *name, uint32_t first, uint32_t nr);

/* File descriptor of a map of a loaded object, or -ENOENT. */
int map__fd(const struct bpf_object *obj, const char *name);

/*
 * Offset of a variable in a data section (".rodata", ".data") and that
 * section's map; -ENOENT.
 */
long map__find_variable(const struct bpf_object *obj, const char *section, const char *variable,
			struct bpf_map **map);

/* Sets a u32 constant before the object is loaded. 0 or -ENOENT. */
int map__set_const(const struct bpf_object *obj, const char *variable, uint32_t value);

#endif
