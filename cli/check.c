// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <json-c/json.h>

#include "../compat/host.h"
#include "../compat/other_kernel.h"
#include "../compat/probes.h"
#include "../core/attach.h"
#include "../core/broker.h"
#include "../core/log.h"
#include "../core/vcpus.h"
#include "../monitors/monitors.h"
#include "../output/text.h"
#include "commands.h"

static const char *const btf_names[] = { "vmlinux", "kvm", "kvm_intel", "kvm_amd" };

static struct json_object *check_btf(void)
{
	struct json_object *btf = json_object_new_array();

	for (size_t i = 0; i < sizeof(btf_names) / sizeof(*btf_names); i++)
		if (host__has_btf(btf_names[i]))
			json_object_array_add(btf, json_object_new_string(btf_names[i]));
	return btf;
}

/* --btf: what files tell of it. */
static struct json_object *check_other_host(const char *files)
{
	struct json_object *host = json_object_new_object();

	json_object_object_add(host, "files", json_object_new_string(files));
	json_object_object_add(host, "kvm", json_object_new_boolean(other_kernel__has_kvm()));
	json_object_object_add(host, "vendor", json_object_new_string(host__vendor_name()));
	json_object_object_add(host, "btf", check_btf());
	return host;
}

/* Every answer goes into one object; the table is written from it. */
static struct json_object *check_host(void)
{
	struct json_object *host = json_object_new_object();
	const char *tracefs = host__tracefs();
	struct utsname names;

	uname(&names);
	json_object_object_add(host, "kernel", json_object_new_string(names.release));
	json_object_object_add(host, "kvm", json_object_new_boolean(host__has_kvm()));
	json_object_object_add(host, "vendor", json_object_new_string(host__vendor_name()));
	json_object_object_add(host, "btf", check_btf());
	json_object_object_add(host, "tracefs", tracefs ? json_object_new_string(tracefs) : NULL);
	json_object_object_add(host, "initial_pid_namespace",
			       json_object_new_boolean(host__initial_pid_namespace()));
	return host;
}

static struct json_object *check_kinds(void)
{
	struct json_object *kinds = json_object_new_object();

	for (int kind = 0; kind < NR_HOOK_KINDS; kind++) {
		struct json_object *one = json_object_new_object();
		bool other = other_kernel__is_open();
		int err = other ? 0 : probe__hook_kind(kind);
		bool works = other ? other_kernel__has_kind(kind) : !err;

		json_object_object_add(one, "works", json_object_new_boolean(works));
		json_object_object_add(one, "why",
				       json_object_new_string(works ? "" :
							      other ? "not in that kernel's BTF" :
								      strerror(-err)));
		json_object_object_add(kinds, hook_kind__name(kind), one);
	}
	return kinds;
}

static struct json_object *check_need(const struct need_state *need)
{
	const struct hook *hook = need->hook ? need->hook : need->first;
	struct json_object *obj = json_object_new_object();
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", hook_kind__name(hook->kind), hook->target);
	json_object_object_add(obj, "need", json_object_new_string(need->first->need));
	json_object_object_add(obj, "hook", json_object_new_string(text));
	json_object_object_add(obj, "state", json_object_new_string(need_state__word(need)));
	json_object_object_add(obj, "gives", json_object_new_string(need->first->gives));
	json_object_object_add(obj, "why", json_object_new_string(need->why));
	return obj;
}

/* Attaches the monitor for real, for a moment. */
static struct json_object *check_monitor(struct attach_env *env, const struct chosen *chosen,
					 bool *works)
{
	struct json_object *obj = json_object_new_object(), *needs = json_object_new_array();
	struct attachment at;
	int err = attach__load(env, chosen, &at);

	if (!err)
		err = attach__attach(&at);
	for (size_t i = 0; i < at.nr_needs; i++)
		json_object_array_add(needs, check_need(&at.needs[i]));
	if (!err)
		attach__close(&at);
	*works |= !err;
	json_object_object_add(obj, "works", json_object_new_boolean(!err));
	json_object_object_add(
		obj, "why",
		json_object_new_string(!err || err == -EOPNOTSUPP ? "" : strerror(-err)));
	json_object_object_add(obj, "needs", needs);
	return obj;
}

static struct json_object *no_monitor(const char *why)
{
	struct json_object *obj = json_object_new_object();

	json_object_object_add(obj, "works", json_object_new_boolean(false));
	json_object_object_add(obj, "why", json_object_new_string(why));
	json_object_object_add(obj, "needs", json_object_new_array());
	return obj;
}

/* What would be attached. */
static struct json_object *foresee_monitor(struct attach_env *env, const struct chosen *chosen,
					   bool *works)
{
	struct json_object *obj = json_object_new_object(), *needs = json_object_new_array();
	const char *lacks = other_kernel__lacks();
	struct attachment at;
	bool meets;

	hooks__init(&at, env, chosen);
	meets = hooks__foresee(&at) && (!lacks || !at.monitor->hooks);
	for (size_t i = 0; i < at.nr_needs; i++)
		json_object_array_add(needs, check_need(&at.needs[i]));
	*works |= meets;
	json_object_object_add(obj, "works", json_object_new_boolean(meets));
	json_object_object_add(obj, "why",
			       json_object_new_string(lacks && at.monitor->hooks ? lacks : ""));
	json_object_object_add(obj, "needs", needs);
	return obj;
}

static struct attach_env env_of(const struct options *opts)
{
	return (struct attach_env){
		.filter = &opts->filter,
		.kinds = opts->kinds,
		.ring_mib = opts->ring_mib,
		.events = !opts->summary,
		.summary = opts->summary,
		.verbose = opts->verbose,
	};
}

static struct json_object *foresee_monitors(const struct options *opts, bool *works)
{
	struct json_object *all = json_object_new_object();
	struct attach_env env = env_of(opts);
	struct chosen chosen[MAX_MONITORS];
	size_t nr = options__chosen(opts, chosen);

	for (size_t i = 0; i < nr; i++)
		json_object_object_add(
			all, chosen[i].monitor->name,
			other_kernel__has_kvm() ?
				foresee_monitor(&env, &chosen[i], works) :
				no_monitor("unknown without the BTF of kvm and of kvm_intel or "
					   "kvm_amd: --btf=vmlinux,kvm,kvm_intel"));
	return all;
}

static struct json_object *check_monitors(const struct options *opts, bool *works)
{
	struct json_object *all = json_object_new_object();
	struct attach_env env = env_of(opts);
	struct chosen chosen[MAX_MONITORS];
	size_t nr = options__chosen(opts, chosen);
	const struct broker_options privileged = {
		.env = &env,
		.chosen = chosen,
		.nr_chosen = nr,
		.max_vcpus = opts->max_vcpus,
	};
	const char *why = NULL;

	if (!host__has_kvm())
		why = "KVM is not loaded";
	else if (!(env.broker = broker__start(&privileged)) ||
		 vcpus__open(&opts->filter, env.broker, &env.vcpus))
		why = host__bpf_refusal() ?: "the kernel refused to create the BPF maps";
	for (size_t i = 0; i < nr; i++)
		json_object_object_add(all, chosen[i].monitor->name,
				       why ? no_monitor(why) :
					     check_monitor(&env, &chosen[i], works));
	vcpus__close(env.vcpus);
	broker__close(env.broker);
	return all;
}

static const char *text_of(struct json_object *obj, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(obj, key, &value) ? json_object_get_string(value) : NULL;
}

static bool true_of(struct json_object *obj, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(obj, key, &value) && json_object_get_boolean(value);
}

static void print_btf(struct json_object *host)
{
	struct json_object *btf = json_object_object_get(host, "btf");
	char names[128] = "";
	size_t len = 0;

	for (size_t i = 0; i < json_object_array_length(btf) && len < sizeof(names); i++)
		len += snprintf(names + len, sizeof(names) - len, " %s",
				json_object_get_string(json_object_array_get_idx(btf, i)));
	text__print(stdout, "", "BTF        %s", *names ? names : " none");
}

static void print_other_host(struct json_object *host)
{
	text__print(stdout, "", "files       %s", text_of(host, "files"));
	text__print(stdout, "", "KVM         %s",
		    true_of(host, "kvm") ? "yes" : "not in these files");
	text__print(stdout, "", "vendor      %s", text_of(host, "vendor"));
	print_btf(host);
}

static void print_host(struct json_object *host)
{
	text__print(stdout, "", "kernel      %s", text_of(host, "kernel"));
	text__print(stdout, "", "KVM         %s",
		    true_of(host, "kvm") ? "yes" : "no: load kvm_intel or kvm_amd (modprobe)");
	text__print(
		stdout, "", "vendor      %s%s", text_of(host, "vendor"),
		host__vendors() ?
			"" :
			" (no kvm_exit, kvm_entry events: these belong to kvm_intel and kvm_amd)");
	print_btf(host);
	text__print(stdout, "", "tracefs     %s", text_of(host, "tracefs") ?: "not mounted");
	if (!true_of(host, "initial_pid_namespace"))
		text__print(stdout, "",
			    "namespace   not the host's PID namespace: pids here differ from the "
			    "kernel's");
}

static void print_kinds(struct json_object *kinds)
{
	text__print(stdout, "\n", "%-12s%s", "HOOKS",
		    other_kernel__is_open() ? "IN THAT KERNEL" : "LOADED AND ATTACHED HERE");
	json_object_object_foreach(kinds, kind, one)
		text__print(stdout, "", "%-12s%s%s%s", kind, true_of(one, "works") ? "yes" : "no",
			    true_of(one, "works") ? "" : ": ", text_of(one, "why"));
}

static const char *words_of(struct json_object *monitor)
{
	bool works = true_of(monitor, "works");

	if (other_kernel__is_open())
		return !other_kernel__has_kvm() ? "not known" :
		       works			? "would work" :
						  "not known to work there";
	return works ? "works" : "can't work here";
}

static void print_monitors(struct json_object *all)
{
	json_object_object_foreach(all, name, one)
	{
		struct json_object *needs = json_object_object_get(one, "needs");
		const char *why_not = text_of(one, "why") ?: "";

		text__print(stdout, "\n", "%s: %s%s%s", name, words_of(one), *why_not ? ": " : "",
			    why_not);
		for (size_t i = 0; i < json_object_array_length(needs); i++) {
			struct json_object *need = json_object_array_get_idx(needs, i);
			const char *why = text_of(need, "why"), *state = text_of(need, "state");

			text__print(stdout, "", "  %-20s %-9s %s", text_of(need, "need"), state,
				    text_of(need, "hook"));
			if (state && !strcmp(state, "missing"))
				text__print(stdout, "", "  %-20s missing: %s", "",
					    text_of(need, "gives"));
			if (why && *why)
				text__print(stdout, "", "  %-20s because %s", "", why);
		}
	}
}

/* One kernel, or one with that vendor's KVM; *works: something can be measured there. */
static int answer(const struct options *opts, bool *works)
{
	struct json_object *all = json_object_new_object();
	struct output *out = output__new(opts->format, stdout, 0);
	int err;

	json_object_object_add(all, "monitor", json_object_new_string("kvm_watcher"));
	json_object_object_add(all, "scope", json_object_new_string("check"));
	json_object_object_add(all, "schema", json_object_new_int(OUTPUT_SCHEMA));
	json_object_object_add(all, "host", opts->btf ? check_other_host(opts->btf) : check_host());
	json_object_object_add(all, "hooks", check_kinds());
	json_object_object_add(all, "monitors",
			       opts->btf ? foresee_monitors(opts, works) :
					   check_monitors(opts, works));
	if (opts->format == FORMAT_TABLE) {
		if (opts->btf)
			print_other_host(json_object_object_get(all, "host"));
		else
			print_host(json_object_object_get(all, "host"));
		print_kinds(json_object_object_get(all, "hooks"));
		print_monitors(json_object_object_get(all, "monitors"));
	}
	if (out)
		output__object(out, all);
	else
		json_object_put(all);
	err = out ? output__flush(out) : ENOMEM;
	if (err)
		say("can't write the output: %s", strerror(err));
	output__free(out);
	return err;
}

/* Those of its vendors that its files are of, one after the other. */
static int check_other_kernel(const struct options *opts, bool *works)
{
	unsigned int vendors;
	char wrong[4400];
	int err = other_kernel__open(opts->btf, wrong, sizeof(wrong));

	if (err) {
		say("--btf: %s", wrong);
		return err;
	}
	vendors = other_kernel__vendors();
	if (!vendors) {
		host__set_vendor(other_kernel__has_kvm() ? "other" : "not known");
		err = answer(opts, works);
	}
	for (unsigned int vendor = VENDOR_VMX; vendor <= VENDOR_SVM && !err; vendor <<= 1) {
		if (!(vendors & vendor))
			continue;
		if (vendors >> 1 & vendor && opts->format == FORMAT_TABLE)
			text__print(stdout, "", "%s", "");
		host__set_vendor(vendor == VENDOR_VMX ? "kvm_intel" : "kvm_amd");
		err = answer(opts, works);
	}
	host__set_vendor(NULL);
	other_kernel__close();
	return err;
}

int check__run(const struct options *opts)
{
	bool works = false;
	int err;

	if (opts->output && !freopen(opts->output, "we", stdout)) {
		say("--output: %s can't be written: %s", opts->output, strerror(errno));
		return EXIT_NOT_MEASURED;
	}
	err = opts->btf ? check_other_kernel(opts, &works) : answer(opts, &works);
	return works && !err ? EXIT_MEASURED : EXIT_NOT_MEASURED;
}

static int parse_btf(struct options *opts, const char *arg)
{
	if (!*arg)
		return usage_error("--btf: the name is empty; give files with BTF, separated by "
				   "commas: vmlinux,kvm,kvm_intel");
	opts->btf = arg;
	return 0;
}

const struct option_row btf_options[] = {
	{ "btf", 0, "FILE[,FILE]|DIR",
	  "with --check: check the kernel in these files, such as vmlinux,kvm,kvm_intel, without "
	  "root",
	  GROUP_INSTEAD, parse_btf, .rare = true },
	{},
};

int check__options(struct options *opts)
{
	if (opts->format == FORMAT_CSV)
		return usage_error("--check has no CSV output; use --format=json or no --format");
	if (opts->format == FORMAT_HTML)
		return usage_error("--check has no HTML output; use --format=json or no --format");
	if (format__is_picture(opts->format))
		return usage_error(
			"--check has no trace or stack output; use --format=json or no --format");
	return 0;
}

static const struct option_row *const tables[] = {
	filter_options, hooks_options, format_options, btf_options, NULL,
};

const struct command check_command = {
	.name = "check",
	.doc = "Report what can be measured on this host, by these monitors or all.",
	.tables = tables,
	.monitors = monitors,
	.nr_monitors = &nr_monitors,
	.check = check__options,
	.run = check__run,
};
