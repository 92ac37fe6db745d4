// SPDX-License-Identifier: GPL-2.0-only
/* Numbers that a guest or a VMM chooses, and structures that an ioctl is given. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../../decode/exit_details.h"
#include "../../decode/exit_reasons.h"
#include "../../decode/guest_os.h"
#include "../../decode/hypercalls.h"
#include "../../decode/ioctls.h"
#include "../../decode/irqs.h"
#include "../../decode/thread_roles.h"
#include "fuzz.h"

struct numbers {
	uint32_t cmd, kind;
	uint64_t arg, in;
	int64_t ret;
	__u64 args[HYPERCALL_ARGS];
};

static void is_text(const char *text)
{
	if (text)
		check_line(text, strlen(text));
}

static void try_names(const struct numbers *n)
{
	struct irq_route routes[] = { irq__ioapic(n->arg), irq__msi(n->arg, n->in) };
	char buf[128], os[GUEST_OS_LEN];
	uint32_t type;
	uint64_t value;

	is_text(exit_detail__name(n->kind, n->arg, buf, EXIT_DETAIL_LEN));
	is_text(exit_detail__kind(n->kind));
	exit_detail__of_reason(n->kind, n->cmd, &type, &value);
	is_text(msr__name(n->cmd, buf, sizeof(buf)));
	is_text(port__name(n->cmd));
	for (unsigned int isa = 0; isa < 4; isa++) {
		is_text(exit_reason__name(isa, n->arg, buf, sizeof(buf)));
		is_text(exit_reason__class(isa, n->arg));
		exit_reason__is_halt(isa, n->arg);
	}
	is_text(userspace_reason__name(n->cmd, buf, sizeof(buf)));
	is_text(userspace_reason__class(n->cmd));
	is_text(guest_os__name(n->arg, os));
	is_text(kvm_cap__name(n->cmd, buf, IOCTL_NAME_LEN));
	is_text(ioctl__name(n->cmd, buf, IOCTL_NAME_LEN));
	for (int i = 0; i < 2; i++) {
		is_text(irq__delivery(routes[i].delivery));
		is_text(irq__others(&routes[i], n->in & 1, buf, sizeof(buf)));
	}
}

int fuzz_decode(const uint8_t *data, size_t size)
{
	struct numbers n = {};
	size_t taken = size < sizeof(n) ? size : sizeof(n);
	char name[HYPERCALL_NAME_LEN], *comm;
	/* Exactly as large as it is: what is read behind it is found. */
	unsigned char *rest = malloc(size - taken + !(size - taken));

	memcpy(&n, data, taken);
	if (!rest)
		return 0;
	memcpy(rest, data + taken, size - taken);
	try_names(&n);
	for (uint32_t abi = 0; abi < 5; abi++) {
		is_text(hypercall__abi(abi));
		is_text(hypercall__name(abi, n.arg, name, sizeof(name)));
		hypercall__nr_args(abi);
		check_object(hypercall__decode(abi, n.arg, n.args, n.kind & 1));
	}
	check_object(ioctl__decode(&(struct ioctl_seen){ .cmd = n.cmd,
							 .arg = n.arg,
							 .in = n.in,
							 .ret = n.ret,
							 .data = rest,
							 .len = size - taken }));
	comm = fuzz_text_of(rest, size - taken < 15 ? size - taken : 15);
	if (comm)
		is_text(thread_role(comm));
	free(comm);
	free(rest);
	return 0;
}
