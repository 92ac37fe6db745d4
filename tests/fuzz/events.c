// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of a ring of single events, as they come from the kernel: the first byte chooses the
 * monitor, the second one the format, and the rest are events, each behind its length.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/records.h"
#include "../../core/attach.h"
#include "../../core/events.h"
#include "../../core/filter.h"
#include "../../core/monitor.h"
#include "../../core/sink.h"
#include "../../core/vcpus.h"
#include "../../core/window.h"
#include "../../monitors/monitors.h"
#include "fuzz.h"

static struct vm_ref vm = {
	.tgid = 4242, .nr = 1, .users = 1, .chosen = true, .name = "web", .label = "web"
};
static struct vcpu_ref vcpu = { .vm = &vm, .known = true, .chosen = true };

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker makes these names. */
/* Half of all slots and VMs are there. */
const struct vcpu_ref *__wrap_vcpus__get_new(struct vcpus *vcpus, uint32_t slot);
const struct vm_ref *__wrap_vcpus__find_vm(struct vcpus *vcpus, uint64_t kvm);
void __wrap_summary__write_vms(const struct attach_env *env, struct sink *sink);

const struct vcpu_ref *__wrap_vcpus__get_new(struct vcpus *vcpus, uint32_t slot)
{
	(void)vcpus;
	return slot & 1 ? &vcpu : NULL;
}

const struct vm_ref *__wrap_vcpus__find_vm(struct vcpus *vcpus, uint64_t kvm)
{
	(void)vcpus;
	return kvm & 1 ? &vm : NULL;
}

void __wrap_summary__write_vms(const struct attach_env *env, struct sink *sink)
{
	(void)env;
	(void)sink;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* Exactly as large as it is. */
static void hand(struct attachment *at, const uint8_t *data, size_t size)
{
	uint8_t *event = malloc(size + !size);

	if (event)
		memcpy(event, data, size);
	if (event)
		events__hand(at, event, size);
	free(event);
}

static void hand_all(const struct monitor *m, struct written *w, const uint8_t *data, size_t size)
{
	static const struct filter all;
	struct sink sink = { .out = w->out };
	struct attach_env env = { .sinks = &sink, .nr_sinks = 1, .filter = &all, .events = true };
	const struct chosen chosen = { .monitor = m };
	struct attachment at = {
		.env = &env,
		.chosen = &chosen,
		.monitor = m,
		.config = calloc(1, m->config_size + 1),
		.state = calloc(1, m->state_size + 1),
		.until_ns = UINT64_MAX,
		.read_until_ns = UINT64_MAX,
		.shows_events = true,
	};
	const struct window none = { .out = w->out,
				     .selection = sink__selection(&sink),
				     .scope = SCOPE_EVENT };

	output__set_clock(w->out, 0);
	window__begin(&none, m, events__view(&env, &chosen));
	while (at.state && at.config && size) {
		size_t len = data[0] < size - 1 ? data[0] : size - 1;

		hand(&at, data + 1, len);
		data += len + 1;
		size -= len + 1;
	}
	output__end(w->out);
	free((void *)at.config);
	free(at.state);
}

int fuzz_events(const uint8_t *data, size_t size)
{
	static const enum format formats[] = { FORMAT_JSON, FORMAT_CSV, FORMAT_TABLE };
	const struct monitor *m;
	enum format format;
	struct written w;

	if (size < 2)
		return 0;
	m = monitors[data[0] % nr_monitors];
	format = formats[data[1] % 3];
	if (!m->event)
		return 0;
	if (!written__open(&w, format, format == FORMAT_TABLE ? 80 : 0))
		hand_all(m, &w, data + 2, size - 2);
	written__check(&w);
	return 0;
}
