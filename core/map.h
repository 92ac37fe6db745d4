/* SPDX-License-Identifier: GPL-2.0-only */
/* Small helpers over libbpf's maps. Errors are negative errno values. */
#ifndef KVM_WATCHER_MAP_H
#define KVM_WATCHER_MAP_H

#include <stddef.h>
#include <stdint.h>

struct bpf_map;
struct bpf_object;

/* Maps a BPF_F_MMAPABLE array for reading and writing; NULL and errno on error. */
void *map__mmap(const struct bpf_map *map, size_t *size);

/* A stack of free indices has 1 to its size - 1, the first on top. 0 or -errno. */
int map__fill(const struct bpf_map *stack);

/*
 * What is done to maps while programs run.
 *
 * The kernel lets no classic tracepoint program or kprobe run on a CPU that is
 * inside such a system call (bpf_disable_instrumentation()), and with Linux 7's
 * preemption whatever runs there meanwhile misses events. So these run with a
 * real-time priority, where that is allowed.
 */
/* 0 or -errno. */
int map__lookup(const struct bpf_map *map, const void *key, void *value);
int map__update(const struct bpf_map *map, const void *key, const void *value);
int map__delete(const struct bpf_map *map, const void *key);
/* Removes a key, if its value (a u32) still is this one. */
void map__forget(const struct bpf_map *map, const void *key, uint32_t value);
/* Gives an index back to a stack of free ones. */
void map__give_back(const struct bpf_map *stack, uint32_t index);

/*
 * Offset of a variable in a data section (".rodata", ".data") and that
 * section's map; -ENOENT.
 */
long map__find_variable(const struct bpf_object *obj, const char *section, const char *variable,
			struct bpf_map **map);

/*
 * Before the object is loaded: a constant becomes that field's host__field_offset();
 * it is left alone where there is none.
 */
void map__set_offset(uint32_t *constant, const char *event, const char *field);

/* Sets a u32 constant before the object is loaded. 0 or -ENOENT. */
int map__set_const(const struct bpf_object *obj, const char *variable, uint32_t value);
int map__set_const64(const struct bpf_object *obj, const char *variable, uint64_t value);

#endif
