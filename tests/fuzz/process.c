// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process's files in /proc tell: stat, cmdline, cgroup and the link of its executable, with
 * bytes 255 between them. Its texts are also read as files of /proc, /sys and cgroups.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../core/vm.h"
#include "../../monitors/host_files.h"
#include "fuzz.h"

enum { NR_PARTS = 4 };

struct part {
	const uint8_t *data;
	size_t size;
};

static int file_of(const struct part *part)
{
	int fd = memfd_create("part", MFD_CLOEXEC);

	if (fd >= 0 &&
	    (write(fd, part->data, part->size) != (ssize_t)part->size || lseek(fd, 0, SEEK_SET))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void check_texts(const struct vm *vm)
{
	check_ends(vm->name, sizeof(vm->name));
	check_ends(vm->vmm, sizeof(vm->vmm));
	check_ends(vm->who.uuid, sizeof(vm->who.uuid));
	check_ends(vm->who.vmm_version, sizeof(vm->who.vmm_version));
	check_ends(vm->who.cgroup, sizeof(vm->who.cgroup));
	check_ends(vm->who.libvirt_name, sizeof(vm->who.libvirt_name));
	check_ends(vm->who.pod_uid, sizeof(vm->who.pod_uid));
	check_ends(vm->who.kube_namespace, sizeof(vm->who.kube_namespace));
	check_ends(vm->who.kube_vmi, sizeof(vm->who.kube_vmi));
}

/* The begin of the command line alone, whole and cut. */
static void name_late(const struct part *cmdline)
{
	struct vm vm = {};

	if (vm__name_args("qemu", (const char *)cmdline->data, cmdline->size, SIZE_MAX, &vm))
		return;
	check_texts(&vm);
	vm = (struct vm){};
	if (!vm__name_args("qemu", (const char *)cmdline->data, cmdline->size, cmdline->size, &vm))
		check_texts(&vm);
}

static void name(const struct part parts[NR_PARTS])
{
	struct process_files files = {
		.stat = file_of(&parts[0]),
		.cmdline = file_of(&parts[1]),
		.cgroup = file_of(&parts[2]),
	};
	size_t len = parts[3].size < sizeof(files.exe) ? parts[3].size : sizeof(files.exe) - 1;
	struct vm vm;

	memcpy(files.exe, parts[3].data, len);
	if (vm__name_process(&files, 1, &vm))
		return;
	check_texts(&vm);
	vm__match("*a?[b-d]*", vm.name);
}

static void read_as_file(const struct part *part)
{
	char *text = fuzz_text_of(part->data, part->size < FILE_LEN ? part->size : FILE_LEN - 1);
	char path[FILE_PATH_LEN];
	const char *found;
	uint64_t number;
	bool is_v1;

	if (!text)
		return;
	file__number(text, &number);
	file__value(text, "MemTotal:", &number);
	file__value(text, "nr_throttled", &number);
	file__pressure(text, "some", &number);
	found = file__cgroup(text, path, &is_v1);
	if (found)
		check_ends(found, sizeof(path));
	file__choice(text);
	free(text);
}

int fuzz_process(const uint8_t *data, size_t size)
{
	struct part parts[NR_PARTS] = {};
	const uint8_t *end = data + size;

	for (int i = 0; i < NR_PARTS; i++) {
		const uint8_t *stop = i < NR_PARTS - 1 ? memchr(data, 255, end - data) : NULL;

		parts[i] = (struct part){ data, (stop ? stop : end) - data };
		data = stop ? stop + 1 : end;
	}
	name(parts);
	name_late(&parts[1]);
	for (int i = 0; i < NR_PARTS; i++)
		read_as_file(&parts[i]);
	return 0;
}
