/* SPDX-License-Identifier: GPL-2.0-only */
/* KVM's own counters: KVM_GET_STATS_FD, or debugfs on kernels before 5.14. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"

enum { MAX_STATS = 256, MAX_NAME = 64 };

struct counter {
	char name[MAX_NAME];
	uint64_t value;
};

struct stats {
	struct counter counters[MAX_STATS];
	size_t nr;
};

/* Always written, the others only when they are not 0. */
static const char *const always[] = { "exits",	    "io_exits", "mmio_exits",	 "halt_exits",
				      "hypercalls", "pf_fixed", "irq_injections" };

static void add(struct stats *stats, const char *name, uint64_t value)
{
	size_t i;

	for (i = 0; i < stats->nr && strcmp(stats->counters[i].name, name); i++)
		;
	if (i == MAX_STATS)
		return;
	if (i == stats->nr) {
		snprintf(stats->counters[i].name, MAX_NAME, "%s", name);
		stats->nr++;
	}
	stats->counters[i].value += value;
}

/* A histogram has a value per bucket: NAME is their sum, NAME.BUCKET what is in one. */
static void add_value(struct stats *stats, const struct kvm_stats_desc *desc, unsigned int bucket,
		      uint64_t value)
{
	char name[MAX_NAME];

	add(stats, desc->name, value);
	if (desc->size <= 1 || !value)
		return;
	snprintf(name, sizeof(name), "%.48s.%u", desc->name, bucket);
	add(stats, name, value);
}

static void add_descriptor(struct stats *stats, int fd, const struct kvm_stats_header *head,
			   size_t index)
{
	size_t size = sizeof(struct kvm_stats_desc) + head->name_size;
	struct kvm_stats_desc *desc = calloc(1, size + 1);
	uint64_t value;
	unsigned int i;

	if (desc && pread(fd, desc, size, head->desc_offset + index * size) == (ssize_t)size)
		for (i = 0; i < desc->size; i++)
			if (pread(fd, &value, sizeof(value),
				  head->data_offset + desc->offset + i * sizeof(value)) ==
			    sizeof(value))
				add_value(stats, desc, i, value);
	free(desc);
}

static int add_fd(struct stats *stats, int kvm_object)
{
	struct kvm_stats_header head;
	int fd = ioctl(kvm_object, KVM_GET_STATS_FD, 0);
	size_t i;

	if (fd < 0)
		return -1;
	if (pread(fd, &head, sizeof(head), 0) == sizeof(head))
		for (i = 0; i < head.num_desc; i++)
			add_descriptor(stats, fd, &head, i);
	close(fd);
	return 0;
}

static int from_fds(struct stats *stats, const struct vm *vm)
{
	unsigned int i;

	if (add_fd(stats, vm->fd))
		return -1;
	for (i = 0; i < vm->plan->nr_vcpus; i++)
		if (add_fd(stats, vm->vcpus[i].fd))
			return -1;
	return 0;
}

static void add_file(struct stats *stats, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char text[32], *end;
	uint64_t value;
	ssize_t len;

	if (fd < 0)
		return;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return;
	text[len] = '\0';
	value = strtoull(text, &end, 10);
	if (end != text && (!*end || *end == '\n'))
		add(stats, name, value);
}

/* The VM's directory has one file per counter, summed over its vCPUs. */
static int from_debugfs(struct stats *stats, const struct vm *vm)
{
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d", getpid(), vm->fd);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_REG)
			add_file(stats, dirfd(dir), entry->d_name);
	closedir(dir);
	return 0;
}

static bool is_wanted(const struct counter *counter)
{
	size_t i;

	for (i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (!strcmp(counter->name, always[i]))
			return true;
	return counter->value;
}

void stats__print(FILE *out, const struct vm *vm)
{
	struct stats *stats = calloc(1, sizeof(*stats));
	const char *comma = "";
	size_t i;

	if (!stats || (from_fds(stats, vm) && from_debugfs(stats, vm))) {
		fprintf(out, "null");
		free(stats);
		return;
	}
	fprintf(out, "{");
	for (i = 0; i < stats->nr; i++) {
		if (!is_wanted(&stats->counters[i]))
			continue;
		fprintf(out, "%s\"%s\":%" PRIu64, comma, stats->counters[i].name,
			stats->counters[i].value);
		comma = ",";
	}
	fprintf(out, "}");
	free(stats);
}
