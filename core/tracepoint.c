// SPDX-License-Identifier: GPL-2.0-only
#include "tracepoint.h"

#include <errno.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/libbpf.h>

/* The number of "kvm/kvm_exit", or -errno. */
static long number_of(const char *event)
{
	static const char *const directories[] = { "/sys/kernel/tracing",
						   "/sys/kernel/debug/tracing" };
	char path[PATH_MAX];
	FILE *file = NULL;
	long number;

	for (size_t i = 0; !file && i < sizeof(directories) / sizeof(*directories); i++) {
		snprintf(path, sizeof(path), "%s/events/%s/id", directories[i], event);
		file = fopen(path, "re");
	}
	if (!file)
		return -errno;
	if (fscanf(file, "%ld", &number) != 1)
		number = -EIO;
	fclose(file);
	return number;
}

static int open_event(const char *event)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	long number = number_of(event);

	if (number < 0) {
		errno = -number;
		return -1;
	}
	attr.config = number;
	return syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
}

struct bpf_link *tracepoint__attach(const struct bpf_program *prog)
{
	const char *event = strchr(bpf_program__section_name(prog), '/');
	int fd = event ? open_event(event + 1) : -1, err;
	struct bpf_link *link;

	if (fd < 0)
		return NULL;
	link = bpf_program__attach_perf_event(prog, fd);
	if (!link) {
		err = errno;
		close(fd);
		errno = err;
		return NULL;
	}
	/* The link has the descriptor now. Where this is refused it is only slower. */
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	return link;
}
