// SPDX-License-Identifier: GPL-2.0-only
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "../core/clock.h"
#include "../output/format.h"
#include "../output/text.h"

/* Rows */

struct diagnose_row {
	struct row row;
	const char *rule, *family, *title, *state, *severity, *certainty, *object, *explained_by,
		*why, *not_what, *verify, *help;
	uint64_t cost_ns;
	double share;
	uint32_t windows_true, windows_of;
	uint8_t ignored, known, seen;
	struct json_object *vcpus, *evidence, *claims, *remedies;
	/* Of an account. */
	uint64_t wall_ns, guest_ns, kvm_ns, vmm_ns, poll_ns, halted_ns, steal_ns, blocked_ns,
		unaccounted_ns, lost_ns, explained_ns;
	/* Of an assertion. */
	const char *assertion, *result;
	double value, limit;
	uint64_t events;
};

enum { VIEW_ACCOUNT, VIEW_DIAGNOSIS, VIEW_ASSERTIONS };

const struct view diagnose_views[] = {
	[VIEW_ACCOUNT] = { .title = "WHERE THE TIME WENT",
			   .name = "TIME_ACCOUNT",
			   .per_vcpu = true },
	[VIEW_DIAGNOSIS] = { .title = "DIAGNOSIS", .name = "DIAGNOSIS" },
	[VIEW_ASSERTIONS] = { .title = "ASSERTIONS", .name = "ASSERTIONS", .per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct diagnose_row, __VA_ARGS__)
#define DIAGNOSIS .views = 1 << VIEW_DIAGNOSIS
#define ACCOUNT .views = 1 << VIEW_ACCOUNT
#define ASSERTED .views = 1 << VIEW_ASSERTIONS
#define TESTED .views = (1 << VIEW_DIAGNOSIS | 1 << VIEW_ASSERTIONS)
#define TEXT(_member, ...) \
	COL(_member, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY, __VA_ARGS__)
#define TIME(_member, ...) \
	COL(_member, NULL, COL_NSEC, ROLE_GAUGE, ACCOUNT, .flags = COL_DATA_ONLY, __VA_ARGS__)
#define OBJECT(_member, ...) \
	COL(_member, NULL, COL_OBJECT, ROLE_GAUGE, DIAGNOSIS, .flags = COL_DATA_ONLY, __VA_ARGS__)

const struct column diagnose_columns[] = {
	TEXT(rule, DIAGNOSIS, .help = "the rule: a section of docs/diagnose.md"),
	TEXT(family, DIAGNOSIS, .help = "the group of rules that it belongs to"),
	TEXT(state, DIAGNOSIS,
	     .help = "finding, note, explained, unknown, too_little, pass or not_applicable"),
	TEXT(severity, DIAGNOSIS,
	     .help = "critical or warning for a finding, note for a note; else absent"),
	TEXT(certainty, DIAGNOSIS,
	     .help = "certain: a setting or its measured cost proves it; likely: the signature is "
		     "complete; possible: a look-alike cannot be excluded"),
	COL(cost_ns, NULL, COL_NSEC, ROLE_GAUGE, DIAGNOSIS, .flags = COL_DATA_ONLY,
	    .help = "time that it costs: of all affected vCPUs, or of host CPUs"),
	COL(share, NULL, COL_DOUBLE, ROLE_GAUGE, DIAGNOSIS, .flags = COL_DATA_ONLY,
	    .help = "share of the worst vCPU's time, or of one CPU; 1 is all"),
	OBJECT(vcpus, .help = "the affected vCPUs; absent: the rule judges the VM or the host"),
	TEXT(object, DIAGNOSIS, .help = "what to change: a device, a thread, a cgroup"),
	OBJECT(claims, .help = "nanoseconds that it claims of each slice of the worst vCPU"),
	OBJECT(evidence, .help = "values of the worst vCPU, and their thresholds"),
	COL(windows_true, NULL, COL_U32, ROLE_GAUGE, TESTED, .flags = COL_DATA_ONLY,
	    .help = "parts of the run in which it holds"),
	COL(windows_of, NULL, COL_U32, ROLE_GAUGE, TESTED, .flags = COL_DATA_ONLY,
	    .help = "parts of the run that were judged"),
	TEXT(explained_by, DIAGNOSIS, .help = "the rule that claimed the time"),
	TEXT(why, TESTED,
	     .help = "why it is unknown, not applicable, undecided, or has too little data"),
	TEXT(title, DIAGNOSIS, .help = "the problem, in a sentence"),
	TEXT(not_what, DIAGNOSIS, .help = "the look-alikes that are excluded"),
	OBJECT(remedies, .help = "commands, when each takes effect, and its risk"),
	TEXT(verify, DIAGNOSIS, .help = "what to expect once it is cured"),
	TEXT(help, DIAGNOSIS, .help = "where the rule is explained"),
	COL(ignored, NULL, COL_BOOL, ROLE_LABEL, DIAGNOSIS, .flags = COL_DATA_ONLY,
	    .help = "--ignore names it: it does not fail the run"),
	COL(known, NULL, COL_BOOL, ROLE_LABEL, DIAGNOSIS, .flags = COL_DATA_ONLY,
	    .help = "--baseline has it too, and it now costs at most 20 % more"),
	COL(seen, NULL, COL_BOOL, ROLE_LABEL, DIAGNOSIS, .flags = COL_DATA_ONLY,
	    .help = "a test has reproduced it on a machine and found it; false: not yet"),

	TIME(wall_ns, .help = "time that the vCPU was watched"),
	TIME(guest_ns, .help = "in the guest; absent: cannot be told apart from KVM"),
	TIME(kvm_ns, .help = "in KVM"),
	TIME(vmm_ns, .help = "in the VMM"),
	TIME(poll_ns, .help = "halt-polling"),
	TIME(halted_ns, .help = "halted"),
	TIME(steal_ns, .help = "ready to run, without a CPU"),
	TIME(blocked_ns, .help = "asleep in KVM, not halted"),
	TIME(unaccounted_ns, .help = "in none of these states"),
	TIME(lost_ns, .help = "KVM, VMM, polling, steal and sleep together"),
	TIME(explained_ns, .help = "part of lost_ns that findings claim"),

	TEXT(assertion, ASSERTED, .help = "its text, as given"),
	TEXT(result, ASSERTED, .help = "holds, failed or undecided"),
	COL(value, NULL, COL_DOUBLE, ROLE_GAUGE, ASSERTED, .flags = COL_DATA_ONLY,
	    .help = "value of the worst vCPU: ns, a share (1 is all), a rate or a number"),
	COL(limit, NULL, COL_DOUBLE, ROLE_GAUGE, ASSERTED, .flags = COL_DATA_ONLY,
	    .help = "its limit, in the same unit"),
	COL(events, NULL, COL_U64, ROLE_GAUGE, ASSERTED, .flags = COL_DATA_ONLY,
	    .help = "the exits that it covers; absent if it is not about exits"),
	{},
};

/* Names are chosen by anybody, and a command is pasted into a shell. */
static void put_quoted(struct buf *to, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "._-+:@/";

	if (*word && *word != '-' && strspn(word, plain) == strlen(word)) {
		buf__puts(to, word);
		return;
	}
	buf__putc(to, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			buf__puts(to, "'\\''");
		else
			buf__putc(to, *word);
	}
	buf__putc(to, '\'');
}

/* Fills in {vm}, {pid}, {object} and {cgroup}. */
static void put_command(struct buf *to, const char *command, const struct result *r)
{
	static const struct {
		const char *name;
		int what;
	} holes[] = { { "{vm}", 0 }, { "{pid}", 1 }, { "{object}", 2 }, { "{cgroup}", 3 } };

	while (*command) {
		size_t i = 0, len = 1;

		while (i < 4 && strncmp(command, holes[i].name, strlen(holes[i].name)))
			i++;
		if (i < 4)
			len = strlen(holes[i].name);
		if (i == 0)
			put_quoted(to, r->vm->name);
		else if (i == 1)
			buf__printf(to, "%" PRIu32, r->vm->pid);
		else if (i == 2)
			put_quoted(to,
				   r->finding && *r->finding->object ? r->finding->object : "?");
		else if (i == 3)
			put_quoted(to, *r->vm->cgroup ? r->vm->cgroup : "?");
		else
			buf__putc(to, *command);
		command += len;
	}
}

static struct json_object *real(double value)
{
	return isnan(value) || isinf(value) ? NULL : json_object_new_double(value);
}

static struct json_object *text(const char *s)
{
	return s ? json_object_new_string(s) : NULL;
}

static const char *unit_name(enum unit unit)
{
	static const char *const names[] = {
		[UNIT_SHARE] = "share",	  [UNIT_PER_S] = "per_s", [UNIT_NSEC] = "ns",
		[UNIT_NUMBER] = "number", [UNIT_WORD] = "word",
	};

	return names[unit];
}

static struct json_object *evidence_of(const struct finding *f)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < f->nr_evidence; i++) {
		const struct evidence *e = &f->evidence[i];
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "what", text(e->what));
		json_object_object_add(one, "value",
				       e->unit == UNIT_WORD ? text(e->word) : real(e->value));
		json_object_object_add(one, "unit", text(unit_name(e->unit)));
		if (!isnan(e->least)) {
			json_object_object_add(one, e->most ? "below" : "least", real(e->least));
			json_object_object_add(one, "threshold_by",
					       text(e->whose ?: "kvm_watcher"));
		}
		json_object_array_add(array, one);
	}
	return array;
}

static struct json_object *claims_of(const struct finding *f)
{
	struct json_object *obj = json_object_new_object();

	for (int i = 0; i < NR_SLICES; i++)
		if (f->claims[i] > 0)
			json_object_object_add(obj, slice__name(i),
					       json_object_new_uint64(f->claims[i]));
	return obj;
}

static struct json_object *remedies_of(const struct result *r)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < MAX_REMEDIES && r->rule->remedies[i].command; i++) {
		const struct remedy *remedy = &r->rule->remedies[i];
		struct json_object *one = json_object_new_object();
		struct buf command = {};

		put_command(&command, remedy->command, r);
		json_object_object_add(one, "command", text(command.data));
		json_object_object_add(one, "when", text(remedy->when));
		json_object_object_add(one, "risk", text(remedy->risk));
		json_object_array_add(array, one);
		buf__free(&command);
	}
	return array;
}

static const char *certainty_name(const struct result *r)
{
	if (r->state > STATE_EXPLAINED)
		return NULL;
	return r->certainty == OPINION_CERTAIN ? "certain" :
	       r->certainty == OPINION_LIKELY  ? "likely" :
						 "possible";
}

static struct row head_of(const struct facts *f, const struct fact_vm *vm, uint32_t vcpu)
{
	bool host = !vm || !*vm->name;

	return (struct row){
		.ts_ns = f->total.now_ns,
		.vm = host ? NULL : vm->name,
		.vm_id = host || !*vm->id ? NULL : vm->id,
		.pid = host ? UINT32_MAX : vm->pid,
		.tid = UINT32_MAX,
		.vcpu = vcpu,
	};
}

static void write_result(const struct facts *f, const struct result *r, struct output *out)
{
	bool shown = r->finding && r->state <= STATE_TOO_LITTLE;
	char help[128];
	struct diagnose_row row = {
		.row = head_of(f, r->vm, UINT32_MAX),
		.rule = r->rule->id,
		.family = r->rule->family,
		.title = r->rule->title,
		.state = state__name(r->state),
		.severity = severity__name(r->severity),
		.certainty = certainty_name(r),
		.object = shown && *r->finding->object ? r->finding->object : NULL,
		.explained_by = r->explained_by ? r->explained_by->id : NULL,
		.why = r->why,
		.not_what = r->rule->not_what,
		.verify = r->rule->verify,
		.help = help,
		.cost_ns = r->state <= STATE_EXPLAINED ? (uint64_t)r->cost_ns : UINT64_MAX,
		.share = r->state <= STATE_EXPLAINED ? r->share : NAN,
		.windows_true = r->windows_of ? r->windows_true : UINT32_MAX,
		.windows_of = r->windows_of ?: UINT32_MAX,
		.ignored = r->ignored,
		.known = r->known,
		.seen = r->rule->seen,
	};

	snprintf(help, sizeof(help), "docs/diagnose.md#%s", r->rule->id);
	if (shown) {
		row.evidence = evidence_of(r->finding);
		row.claims = claims_of(r->finding);
	}
	if (r->state <= STATE_EXPLAINED) {
		row.remedies = remedies_of(r);
		if (r->nr_vcpus)
			row.vcpus = json_object_new_array();
		for (size_t i = 0; i < r->nr_vcpus; i++)
			json_object_array_add(row.vcpus, json_object_new_int64(r->vcpus[i]));
	}
	output__row(out, &row.row, 0);
	json_object_put(row.evidence);
	json_object_put(row.claims);
	json_object_put(row.remedies);
	json_object_put(row.vcpus);
}

static void write_account(const struct facts *f, const struct account *a, struct output *out)
{
	const struct diagnose_row row = {
		.row = head_of(f, a->vm, a->vcpu),
		.wall_ns = a->wall_ns,
		.guest_ns = a->guest_is_known ? (uint64_t)a->slices[SLICE_GUEST] : UINT64_MAX,
		.kvm_ns = a->slices[SLICE_KVM],
		.vmm_ns = a->slices[SLICE_VMM],
		.poll_ns = a->slices[SLICE_POLL],
		.halted_ns = a->slices[SLICE_HALT],
		.steal_ns = a->slices[SLICE_STEAL],
		.blocked_ns = a->slices[SLICE_BLOCK],
		.unaccounted_ns = a->slices[SLICE_UNACC],
		.lost_ns = account__lost(a),
		.explained_ns = account__explained(a),
	};

	output__row(out, &row.row, 0);
}

static void write_assertion(const struct facts *f, const struct assertion *a, struct output *out)
{
	bool of_exits = !*a->slice && !*a->table;
	const struct diagnose_row row = {
		.row = head_of(f, a->of, a->vcpu),
		.assertion = a->text,
		.result = assertion_state__name(a->state),
		.value = a->value,
		.limit = a->limit,
		.events = of_exits ? (uint64_t)a->events : UINT64_MAX,
		.windows_true = a->windows_of ? a->windows_true : UINT32_MAX,
		.windows_of = a->windows_of ?: UINT32_MAX,
		.why = a->state == ASSERTION_UNDECIDED ? a->why : NULL,
	};

	output__row(out, &row.row, 0);
}

static void begin(struct output *out, const struct facts *f, unsigned int view)
{
	const struct section section = {
		.monitor = "diagnose",
		.columns = diagnose_columns,
		.view = &diagnose_views[view],
		.view_bit = 1U << view,
		.scope = SCOPE_TOTAL,
		.since_ns = f->total.since_ns,
		.now_ns = f->total.now_ns,
	};

	output__begin(out, &section);
}

static void write_rows(const struct diagnosis *d, const struct assertion *assertions, size_t nr,
		       struct output *out)
{
	begin(out, d->facts, VIEW_ACCOUNT);
	for (size_t i = 0; i < d->nr_accounts; i++)
		write_account(d->facts, &d->accounts[i], out);
	output__end(out);
	begin(out, d->facts, VIEW_DIAGNOSIS);
	for (size_t i = 0; i < d->nr_results; i++)
		write_result(d->facts, &d->results[i], out);
	output__end(out);
	begin(out, d->facts, VIEW_ASSERTIONS);
	for (size_t i = 0; i < nr; i++)
		write_assertion(d->facts, &assertions[i], out);
	output__end(out);
}

/* Text */

enum { LEAST_COLUMNS = 40, COLUMNS = 80, LABEL = 10, INDENT = 2 };

/*
 * Words from a column on; a line that is full goes on there. Commands stay whole. What names put
 * in goes through here: nothing of it reaches a terminal that obeys it.
 */
static void put_wrapped(struct buf *to, int from, const char *text, bool whole)
{
	struct buf safe = {};
	const char *words;
	int at = from;

	buf__puts(&safe, text);
	buf__neutralise(&safe, 0);
	buf__puts(&safe, "");
	words = safe.failed ? "" : safe.data;

	while (!whole && *words) {
		size_t len = strcspn(words, " ");
		char word[512];

		/* A number and its sign are one word. */
		if (words[len] == ' ' && words[len + 1] == '%')
			len += 1 + strcspn(words + len + 1, " ");
		len = text__cut(words, len, sizeof(word) - 1);
		snprintf(word, sizeof(word), "%.*s", (int)len, words);
		/* A name may be longer than a line. */
		if (text__width(word) > to->columns - from) {
			len = text__prefix(word, to->columns - from);
			word[len] = '\0';
		}
		if (at > from && at + 1 + text__width(word) > to->columns) {
			buf__putc(to, '\n');
			buf__pad(to, from);
			at = from;
		} else if (at > from) {
			buf__putc(to, ' ');
			at++;
		}
		buf__puts(to, word);
		at += text__width(word);
		words += len + strspn(words + len, " ");
	}
	if (whole)
		buf__puts(to, words);
	buf__putc(to, '\n');
	buf__free(&safe);
}

/* "  evidence  ...": the label only where there is one. */
static void put_labelled(struct buf *to, const char *label, const char *words, bool whole)
{
	size_t from = to->len;

	buf__pad(to, INDENT);
	buf__puts(to, label);
	buf__pad(to, LABEL + INDENT - (int)(to->len - from));
	put_wrapped(to, LABEL + INDENT, words, whole);
}

static void put_value(struct buf *to, double value, enum unit unit)
{
	if (isnan(value))
		buf__puts(to, "-");
	else if (unit == UNIT_SHARE)
		buf__printf(to, "%.1f %%", 100 * value);
	else if (unit == UNIT_PER_S)
		buf__printf(to, value < 10 ? "%.1f/s" : "%.0f/s", value);
	else if (unit != UNIT_NSEC)
		buf__printf(to, "%.6g", value);
	else if (value < 10e3)
		buf__printf(to, "%.0f ns", value);
	else if (value < 10e6)
		buf__printf(to, "%.0f us", value / 1e3);
	else if (value < 10e9)
		buf__printf(to, "%.0f ms", value / 1e6);
	else
		buf__printf(to, "%.1f s", value / 1e9);
}

static void put_evidence(struct buf *to, const struct evidence *e)
{
	buf__printf(to, "%s ", e->what);
	if (e->unit == UNIT_WORD) {
		buf__puts(to, e->word);
		return;
	}
	put_value(to, e->value, e->unit);
	if (isnan(e->least))
		return;
	buf__puts(to, e->most ? " (below " : " (threshold ");
	put_value(to, e->least, e->unit);
	if (e->whose)
		buf__printf(to, ", %s", e->whose);
	buf__putc(to, ')');
}

/* "vCPUs 0-2, 5" */
static void put_vcpus(struct buf *to, const struct result *r)
{
	if (!r->nr_vcpus)
		return;
	buf__puts(to, r->nr_vcpus > 1 ? ", vCPUs " : ", vCPU ");
	for (size_t i = 0; i < r->nr_vcpus;) {
		size_t last = i;

		while (last + 1 < r->nr_vcpus && r->vcpus[last + 1] == r->vcpus[last] + 1)
			last++;
		buf__printf(to, i ? ", %u" : "%u", r->vcpus[i]);
		if (last > i)
			buf__printf(to, "-%u", r->vcpus[last]);
		i = last + 1;
	}
}

static const char *subject_name(const struct result *r)
{
	return *r->vm->name ? r->vm->name : "the host";
}

static void put_cost(struct buf *to, const struct result *r)
{
	if (r->share > 0)
		buf__printf(to, ": %.1f %% of %s", 100 * r->share,
			    r->rule->per_vm ? "a CPU" :
			    r->nr_vcpus > 1 ? "the worst vCPU's time" :
					      "its time");
}

static void put_details(struct buf *to, const struct result *r)
{
	const struct finding *f = r->finding;
	struct buf words = {};

	if (f && *f->object) {
		buf__puts(&words, f->object);
		put_labelled(to, "what", words.data, true);
	}
	for (size_t i = 0; f && i < f->nr_evidence; i++) {
		buf__reset(&words);
		put_evidence(&words, &f->evidence[i]);
		put_labelled(to, i ? "" : "evidence", words.data ?: "", false);
	}
	buf__free(&words);
}

static void put_remedies(struct buf *to, const struct result *r)
{
	for (size_t i = 0; i < MAX_REMEDIES && r->rule->remedies[i].command; i++) {
		const struct remedy *remedy = &r->rule->remedies[i];
		struct buf words = {};

		put_command(&words, remedy->command, r);
		put_labelled(to, i ? "" : "remedy", words.data ?: "", true);
		buf__reset(&words);
		buf__printf(&words, "(%s", remedy->when);
		if (remedy->risk)
			buf__printf(&words, "; %s", remedy->risk);
		buf__putc(&words, ')');
		put_labelled(to, "", words.data ?: "", false);
		buf__free(&words);
	}
}

static void put_finding(struct buf *to, const struct result *r, size_t nr)
{
	struct buf words = {};

	buf__printf(&words, "%s, %s", r->rule->id, subject_name(r));
	put_vcpus(&words, r);
	put_cost(&words, r);
	if (r->ignored)
		buf__puts(&words, " (ignored: --ignore)");
	if (r->known)
		buf__puts(&words, " (known: --baseline)");
	buf__printf(to, "%zu %s ", nr, r->severity == SEVERITY_CRITICAL ? "CRITICAL" : "WARNING");
	put_wrapped(to, LABEL + INDENT, words.data ?: "", false);
	buf__reset(&words);
	buf__printf(&words, "%s.", r->rule->title);
	buf__pad(to, INDENT);
	put_wrapped(to, INDENT, words.data ?: "", false);
	put_details(to, r);
	put_labelled(to, "is not", r->rule->not_what, false);
	put_remedies(to, r);
	put_labelled(to, "verify", r->rule->verify, false);
	buf__reset(&words);
	buf__printf(&words, "docs/diagnose.md#%s (%s", r->rule->id, certainty_name(r));
	if (r->windows_of)
		buf__printf(&words, "; in %u of %u parts of the run", r->windows_true,
			    r->windows_of);
	if (r->before)
		buf__puts(&words, " of the first pass; the second did not see it");
	buf__puts(&words, r->rule->seen ? ")" : "; not yet seen on hardware)");
	put_labelled(to, "more", words.data ?: "", false);
	buf__free(&words);
}

/* A line of those that are no findings. */
static void put_line(struct buf *to, const struct result *r)
{
	struct buf words = {};

	buf__printf(&words, "%s, %s", r->rule->id, subject_name(r));
	put_vcpus(&words, r);
	if (r->state == STATE_NOTE)
		buf__printf(&words, ": %s.", r->rule->title);
	if (r->state == STATE_EXPLAINED && r->explained_by == r->rule)
		buf__puts(&words, ": its slices have less than half of the time that it claims.");
	else if (r->state == STATE_EXPLAINED)
		buf__printf(&words, ": explained by %s.", r->explained_by->id);
	for (size_t i = 0; r->state == STATE_NOTE && r->finding && i < r->finding->nr_evidence;
	     i++) {
		buf__puts(&words, i ? "; " : " ");
		put_evidence(&words, &r->finding->evidence[i]);
	}
	if (r->why)
		buf__printf(&words, ": %s", r->why);
	buf__pad(to, INDENT);
	put_wrapped(to, 2 * INDENT, words.data ?: "", false);
	if (r->state == STATE_NOTE)
		put_remedies(to, r);
	buf__free(&words);
}

static bool is_first_of_vm(const struct diagnosis *d, size_t i)
{
	return !i || d->accounts[i - 1].vm != d->accounts[i].vm;
}

static const struct account *worst_of(const struct diagnosis *d, size_t i)
{
	const struct account *worst = &d->accounts[i];

	for (size_t j = i + 1; j < d->nr_accounts && d->accounts[j].vm == worst->vm; j++)
		if (account__lost(&d->accounts[j]) * worst->wall_ns >
		    account__lost(worst) * d->accounts[j].wall_ns)
			worst = &d->accounts[j];
	return worst;
}

/* What it lost of its time; a VM that is stopped lost nothing. */
static double lost_share(const struct account *a)
{
	return a->stopped ? 0 : account__lost(a) / a->wall_ns;
}

/* The name, in so many columns; the number that VMs of one process and name have is kept. */
static void put_name(struct buf *to, const char *name, int columns)
{
	const char *number = strrchr(name, '#');
	size_t from = to->len, cut;

	if (!number || strlen(number) >= (size_t)columns)
		number = name + strlen(name);
	cut = text__prefix(name, columns - text__width(number));
	if (cut > (size_t)(number - name))
		cut = number - name;
	buf__add(to, name, cut);
	buf__puts(to, number);
	buf__neutralise(to, from);
	buf__pad(to, columns - text__width(to->data + from));
}

/* Slices of the account, and which go first where there is no room: the greatest rank. */
static const struct {
	const char *title;
	enum slice slice;
	int rank;
} account_slices[] = {
	{ " GUEST", SLICE_GUEST, 3 }, { "   KVM", SLICE_KVM, 2 },  { "   VMM", SLICE_VMM, 1 },
	{ "  POLL", SLICE_POLL, 6 },  { "  HALT", SLICE_HALT, 4 }, { " STEAL", SLICE_STEAL, 0 },
	{ " BLOCK", SLICE_BLOCK, 5 },
};

enum { NR_SHOWN = sizeof(account_slices) / sizeof(*account_slices) };

static int name_columns(const struct buf *to)
{
	return to->columns < COLUMNS ? 10 : 17;
}

/* How many slices there is room for, behind name, PID and vCPU, and before the last column. */
static int fitting_slices(const struct buf *to)
{
	return (to->columns - name_columns(to) - (int)strlen("     PID VCPU stopped")) / 6;
}

static void put_account(struct buf *to, const struct account *a)
{
	put_name(to, a->vm->name, name_columns(to));
	buf__printf(to, " %7" PRIu32 " %4" PRIu32, a->vm->pid, a->vcpu);
	for (size_t s = 0; s < NR_SHOWN; s++) {
		enum slice slice = account_slices[s].slice;

		if (account_slices[s].rank >= fitting_slices(to))
			continue;
		if (slice == SLICE_GUEST && !a->guest_is_known)
			buf__puts(to, "     -");
		else
			buf__printf(to, " %5.1f", 100 * a->slices[slice] / a->wall_ns);
	}
	if (a->stopped)
		buf__puts(to, " stopped");
	else if (account__lost(a) > 0.05 * a->wall_ns)
		buf__printf(to, " %5.0f", 100 * account__explained(a) / account__lost(a));
	else
		buf__puts(to, "     -");
	buf__putc(to, '\n');
}

/* The VMs that lost most come first. */
static void put_accounts(struct buf *to, const struct diagnosis *d)
{
	enum { MOST_ROWS = 20 };
	const struct account *rows[MOST_ROWS + 1];
	size_t nr = 0, vms = 0;

	for (size_t i = 0; i < d->nr_accounts; i++) {
		const struct account *worst;
		size_t at = nr;

		if (!is_first_of_vm(d, i))
			continue;
		worst = worst_of(d, i);
		for (; at && lost_share(rows[at - 1]) < lost_share(worst); at--)
			rows[at] = rows[at - 1];
		rows[at] = worst;
		nr = ++vms < MOST_ROWS ? vms : MOST_ROWS;
	}
	put_wrapped(to, 0, "WHERE THE TIME WENT, in percent (the worst vCPU of each VM)", false);
	buf__puts(to, "VM");
	buf__pad(to, name_columns(to) - 2);
	buf__puts(to, "     PID VCPU");
	for (size_t s = 0; s < NR_SHOWN; s++)
		if (account_slices[s].rank < fitting_slices(to))
			buf__puts(to, account_slices[s].title);
	buf__puts(to, "  EXPL\n");
	for (size_t i = 0; i < nr; i++)
		put_account(to, rows[i]);
	if (vms > nr)
		buf__printf(to, "... and %zu more VMs, which lost less\n", vms - nr);
}

static void put_assertion(struct buf *to, const struct assertion *a)
{
	static const char *const heads[] = { "holds     ", "FAILED    ", "undecided " };
	enum unit unit = assertion__is_time(a)	? UNIT_NSEC :
			 assertion__is_share(a) ? UNIT_SHARE :
			 a->agg == AGG_RATE	? UNIT_PER_S :
						  UNIT_NUMBER;
	struct buf words = {};

	buf__printf(&words, "%s: ", a->text);
	if (a->state == ASSERTION_UNDECIDED) {
		buf__puts(&words, a->why);
	} else {
		put_value(&words, a->value, unit);
		if (a->of && *a->of->name)
			buf__printf(&words, " on %s", a->of->name);
		if (a->vcpu != UINT32_MAX)
			buf__printf(&words, " vCPU %" PRIu32, a->vcpu);
		if (a->windows_of)
			buf__printf(&words, "; it holds in %u of %u parts of the run",
				    a->windows_true, a->windows_of);
		if (a->close)
			buf__puts(&words, "; close: percentiles are accurate to 12.5 %");
	}
	buf__puts(to, heads[a->state]);
	put_wrapped(to, LABEL, words.data ?: "", false);
	buf__free(&words);
}

/* "1 rule", "2 rules" */
static void put_number(struct buf *to, size_t nr, const char *what)
{
	buf__printf(to, "%zu %s%s", nr, what, nr == 1 ? "" : "s");
}

static size_t count_sick(const struct diagnosis *d)
{
	size_t sick = 0;

	for (size_t i = 0; i < d->nr_results && d->results[i].state == STATE_FINDING; i++) {
		bool seen = false;

		for (size_t j = 0; j < i; j++)
			seen |= d->results[j].vm == d->results[i].vm;
		sick += !seen;
	}
	return sick;
}

/* Rules that could not be judged, of any VM. */
static size_t count_open(const struct diagnosis *d)
{
	const struct rule *rule;
	size_t nr = 0;

	for (size_t i = 0; (rule = rule__at(i)); i++) {
		bool is_open = false;

		for (size_t j = 0; j < d->nr_results; j++)
			is_open |= d->results[j].rule == rule &&
				   (d->results[j].state == STATE_UNKNOWN ||
				    d->results[j].state == STATE_TOO_LITTLE);
		nr += is_open;
	}
	return nr;
}

/* The costliest that nobody knows of yet. */
static const struct result *first_new(const struct diagnosis *d)
{
	for (size_t i = 0; i < d->by_state[STATE_FINDING]; i++)
		if (!d->results[i].known && !d->results[i].ignored)
			return &d->results[i];
	return &d->results[0];
}

/* The line that says it all. */
static void put_verdict(struct buf *to, const struct diagnosis *d)
{
	const struct facts_window *all = &d->facts->total;
	size_t nr = d->by_state[STATE_FINDING], open = count_open(d);
	double seconds = (all->now_ns - all->since_ns) / 1e9;
	struct buf words = {};

	if (!d->nr_vms) {
		buf__puts(&words, "No VM was seen.");
	} else if (!nr && seconds < LEAST_SECONDS) {
		buf__printf(&words,
			    "Too short: %.1f s were measured, but rules need 5 s (-t 5 or more).",
			    seconds);
		open = 0;
	} else if (!nr) {
		buf__puts(&words, "No finding in ");
		put_number(&words, d->nr_vms, "VM");
		buf__putc(&words, '.');
	} else {
		const struct result *first = first_new(d);

		put_number(&words, nr, "finding");
		if (d->nr_known)
			buf__printf(&words, " (%zu known)", d->nr_known);
		buf__printf(&words, " in %zu of ", count_sick(d));
		put_number(&words, d->nr_vms, "VM");
		buf__printf(&words, "; first: %s: %s", subject_name(first), first->rule->title);
		put_cost(&words, first);
		buf__putc(&words, '.');
	}
	if (open) {
		buf__putc(&words, ' ');
		put_number(&words, open, "rule");
		buf__puts(&words, " could not be judged.");
	}
	put_wrapped(to, 0, words.data ?: "", false);
	buf__free(&words);
}

/* A line of the end; words are used up. */
static void put_headed(struct buf *to, const char *head, struct buf *words)
{
	buf__puts(to, head);
	buf__pad(to, LABEL - (int)strlen(head + (*head == '\n')));
	put_wrapped(to, LABEL, words->data ?: "", false);
	buf__reset(words);
}

static void put_cost_of_us(struct buf *to, const struct facts *f)
{
	double ns =
		f->watched_ns > 0 ? f->watched_ns : (double)(f->total.now_ns - f->total.since_ns);
	struct buf words = {};

	if (!(f->self_cpu_ns > 0 && ns > 0))
		return;
	buf__printf(&words, "watching took %.1f %% of a CPU", 100 * f->self_cpu_ns / ns);
	if (f->bpf_runs > 0)
		buf__printf(&words,
			    "; its BPF programs ran %.0f times, %.0f ns each: %.1f %% of a CPU",
			    f->bpf_runs, f->bpf_ns / f->bpf_runs,
			    100 * f->bpf_ns / (f->total.now_ns - f->total.since_ns));
	else
		buf__puts(&words, ", besides the time it added to exits (--self-cost measures it)");
	put_headed(to, "COST", &words);
	buf__free(&words);
}

static void put_counts(struct buf *to, const struct diagnosis *d, bool all)
{
	const struct facts *f = d->facts;
	struct buf words = {};

	put_number(&words, d->nr_rules, "rule");
	buf__puts(&words, ", ");
	put_number(&words, d->nr_vms, "VM");
	buf__puts(&words, ": ");
	put_number(&words, d->by_state[STATE_FINDING], "finding");
	buf__puts(&words, ", ");
	put_number(&words, d->by_state[STATE_NOTE], "note");
	buf__printf(&words,
		    ", %zu explained, %zu passed, %zu not applicable, %zu unknown, %zu with too "
		    "little data%s",
		    d->by_state[STATE_EXPLAINED], d->by_state[STATE_PASS],
		    d->by_state[STATE_NOT_APPLICABLE], d->by_state[STATE_UNKNOWN],
		    d->by_state[STATE_TOO_LITTLE], all ? "" : " (--verbose lists them)");
	put_headed(to, "\nCHECKED", &words);
	if (d->passes) {
		buf__puts(&words, d->passes);
		put_headed(to, "MEASURED", &words);
	}
	put_cost_of_us(to, f);
	buf__free(&words);
}

static bool has_rule(const struct rule *const *rules, size_t nr, const struct rule *rule)
{
	for (size_t i = 0; i < nr; i++)
		if (rules[i] == rule)
			return true;
	return false;
}

/* Of those that can't be judged each reason once, with some of the rules that it is of. */
static void put_blind(struct buf *to, const struct diagnosis *d)
{
	enum { MOST_NAMED = 4, MOST_RULES = 128 };

	for (size_t i = 0; i < d->nr_results; i++) {
		const struct result *r = &d->results[i];
		struct buf words = {};
		const struct rule *rules[MOST_RULES];
		bool told = false;
		size_t nr = 0;

		if ((r->state != STATE_UNKNOWN && r->state != STATE_TOO_LITTLE) || !r->why)
			continue;
		for (size_t j = 0; j < i; j++)
			told |= d->results[j].state == r->state && d->results[j].why &&
				!strcmp(d->results[j].why, r->why);
		if (told)
			continue;
		for (size_t j = i; j < d->nr_results; j++) {
			const struct result *same = &d->results[j];

			if (same->state != r->state || !same->why || strcmp(same->why, r->why))
				continue;
			/* Of several VMs it is one rule. */
			if (has_rule(rules, nr, same->rule) || nr == MOST_RULES)
				continue;
			rules[nr++] = same->rule;
			if (nr <= MOST_NAMED)
				buf__printf(&words, words.len ? ", %s" : "%s", same->rule->id);
		}
		if (nr > MOST_NAMED)
			buf__printf(&words, " and %zu more", nr - MOST_NAMED);
		buf__printf(&words, ": %s", r->why);
		buf__puts(to, r->state == STATE_UNKNOWN ? "UNKNOWN   " : "TOO SHORT ");
		put_wrapped(to, LABEL, words.data ?: "", false);
		buf__free(&words);
	}
}

static void put_state(struct buf *to, const struct diagnosis *d, enum state state,
		      const char *heading)
{
	bool any = false;

	for (size_t i = 0; i < d->nr_results; i++) {
		if (d->results[i].state != state)
			continue;
		if (!any)
			buf__printf(to, "\n%s\n", heading);
		any = true;
		put_line(to, &d->results[i]);
	}
}

static void write_text(const struct diagnosis *d, const struct assertion *assertions, size_t nr,
		       struct output *out, bool all)
{
	int width = out->nr_files ? out->files[0]->width : out->width;
	struct buf to = { .columns = COLUMNS };

	if (width && width < COLUMNS)
		to.columns = width < LEAST_COLUMNS ? LEAST_COLUMNS : width;
	put_verdict(&to, d);
	if (d->nr_accounts) {
		buf__putc(&to, '\n');
		put_accounts(&to, d);
	}
	if (nr)
		buf__puts(&to, "\nASSERTIONS\n");
	for (size_t i = 0; i < nr; i++)
		put_assertion(&to, &assertions[i]);
	for (size_t i = 0; i < d->nr_results && d->results[i].state == STATE_FINDING; i++) {
		buf__puts(&to, i ? "\n" : "\nFINDINGS, costliest first\n");
		put_finding(&to, &d->results[i], i + 1);
	}
	put_state(&to, d, STATE_NOTE, "NOTES");
	put_state(&to, d, STATE_EXPLAINED, "EXPLAINED");
	if (all) {
		put_state(&to, d, STATE_UNKNOWN, "UNKNOWN");
		put_state(&to, d, STATE_TOO_LITTLE, "TOO LITTLE DATA");
		put_state(&to, d, STATE_PASS, "PASSED");
		put_state(&to, d, STATE_NOT_APPLICABLE, "NOT APPLICABLE");
	}
	put_counts(&to, d, all);
	if (!all)
		put_blind(&to, d);
	output__write(out, to.data ?: "", to.len);
	buf__free(&to);
}

void diagnosis__write(const struct diagnosis *d, const struct assertion *assertions, size_t nr,
		      struct output *out, bool all)
{
	output__set_clock(out, clock__real_offset_ns());
	if (out->ops->for_people)
		write_text(d, assertions, nr, out, all);
	else
		write_rows(d, assertions, nr, out);
}
