// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs that do nothing, one per kind of hook: what any BPF monitor costs there at least. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define EMPTY(_name, _section, _value) \
	SEC("?" _section)              \
	int _name(void *ctx)           \
	{                              \
		return _value;         \
	}

EMPTY(raw_tp, "raw_tp", 0)
EMPTY(tp_btf, "tp_btf", 0)
EMPTY(fentry, "fentry", 0)
EMPTY(fexit, "fexit", 0)
EMPTY(kprobe, "kprobe", 0)
EMPTY(kprobe_multi, "kprobe.multi", 0)
/* Else perf events of others would not get it. */
EMPTY(tracepoint, "tp", 1)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
