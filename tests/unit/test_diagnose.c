// SPDX-License-Identifier: GPL-2.0-only
/*
 * All rules against all fixtures of tests/diagnose/fixtures.facts: a sickness is found, and it
 * alone; just below each of its thresholds it is not; healthy VMs have nothing; what can't be seen
 * is unknown. Run from the project's root. VERBOSE=1 prints the matrix.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../core/attach.h"
#include "../../diagnose/report.h"
#include "fixtures.h"

static const struct diagnose_options options = { .least_age_s = 60 };

static enum state state_of(const struct fixture *fixture, const struct made *made, const char *id)
{
	enum state state = NR_STATES;
	struct diagnosis d;
	struct facts f;

	make_facts(&f, fixture, made);
	diagnosis__make(&d, &f, &options);
	for (size_t i = 0; i < d.nr_results; i++)
		if (!strcmp(d.results[i].rule->id, id))
			state = d.results[i].state;
	diagnosis__free(&d);
	facts__free(&f);
	return state;
}

static bool is_healthy(const struct fixture *fixture)
{
	return !strncmp(fixture->name, "healthy:", 8);
}

static bool is_found(enum state state)
{
	return state == STATE_FINDING || state == STATE_NOTE;
}

/* Returns how many cells of the matrix the row has. */
static size_t check_row(const struct fixture *fixture, const struct made *made,
			const char *expected)
{
	bool verbose = getenv("VERBOSE"), found = false;
	struct diagnosis d;
	struct facts f;
	size_t nr;

	make_facts(&f, fixture, made);
	diagnosis__make(&d, &f, &options);
	for (size_t i = 0; i < d.nr_results; i++) {
		const struct result *r = &d.results[i];

		if (!is_found(r->state))
			continue;
		if (verbose)
			printf("%-40s %s %s\n", fixture->name, state__name(r->state), r->rule->id);
		if (!expected || strcmp(r->rule->id, expected))
			fail_msg("%s: %s is found, too", fixture->name, r->rule->id);
		assert_true((r->state == STATE_NOTE) ==
			    (r->rule->note || r->certainty == OPINION_POSSIBLE));
		found = true;
	}
	if (expected && !found)
		fail_msg("%s is not found", expected);
	nr = d.nr_results;
	diagnosis__free(&d);
	facts__free(&f);
	return nr;
}

static void test_matrix(void **state)
{
	const struct made ill = made_of(sick), near = made_of(healthy);
	size_t cells = 0;

	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct fixture *f = &fixtures[i];

		cells += check_row(f, &ill, is_healthy(f) ? NULL : f->name);
		if (f->nr_marks)
			cells += check_row(f, &near, NULL);
	}
	print_message("%zu fixtures, %zu cells\n", nr_fixtures, cells);
}

static void test_each_rule_has_a_fixture(void **state)
{
	const struct rule *rule;
	size_t nr = 0;

	(void)state;
	for (size_t i = 0; (rule = rule__at(i)); i++) {
		bool found = false;

		for (size_t j = 0; j < nr_fixtures; j++)
			found |= !strcmp(fixtures[j].name, rule->id);
		if (!found)
			fail_msg("%s has no fixture", rule->id);
	}
	for (size_t j = 0; j < nr_fixtures; j++) {
		nr += is_healthy(&fixtures[j]);
		if (!is_healthy(&fixtures[j]) && !rule__find(fixtures[j].name))
			fail_msg("%s is no rule", fixtures[j].name);
	}
	assert_true(nr >= 14);
}

/* Each marked number alone, at 0.98 and 1.02 of its threshold. */
static void test_thresholds_flip(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct fixture *f = &fixtures[i];

		for (size_t mark = 1; mark <= f->nr_marks; mark++) {
			struct scale at = sick;
			enum state low, high;
			struct made made;

			at.only = mark;
			at.factor = 0.98;
			made = made_of(at);
			low = state_of(f, &made, f->name);
			at.factor = 1.02;
			made = made_of(at);
			high = state_of(f, &made, f->name);
			/* Which way depends on the mark. */
			if (is_found(low) == is_found(high))
				fail_msg("%s: number %zu: %s at 0.98, %s at 1.02", f->name, mark,
					 state__name(low), state__name(high));
		}
	}
}

static void test_once_is_not_always(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct fixture *f = &fixtures[i];
		const struct rule *rule = rule__find(f->name);
		struct made made = made_of(healthy);

		if (!rule || rule->error || !f->nr_marks)
			continue;
		/* The whole is over the threshold, by one part of five; then by three. */
		made.total = sick;
		made.windows[2] = sick;
		/* What the whole alone has is not of a part. */
		if (rule->of_host && f->nr_marks == 1 && strstr(f->lines[f->nr_lines - 1], "host "))
			continue;
		if (is_found(state_of(f, &made, rule->id)) && strcmp(rule->id, "host-is-slow"))
			fail_msg("%s is found by one part of five", rule->id);
		made.windows[0] = made.windows[4] = sick;
		if (!is_found(state_of(f, &made, rule->id)))
			fail_msg("%s is not found by three parts of five", rule->id);
	}
}

static void test_blindness(void **state)
{
	size_t nr = 0;

	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct rule *rule = rule__find(fixtures[i].name);

		for (size_t j = 0; rule && j < MAX_RULE_NEEDS && rule->needs[j]; j++) {
			struct made made = made_of(sick);
			enum state is;

			made.missing = rule->needs[j];
			is = state_of(&fixtures[i], &made, rule->id);
			if (is != STATE_UNKNOWN)
				fail_msg("%s without %s is %s", rule->id, rule->needs[j],
					 state__name(is));
			nr++;
		}
	}
	assert_true(nr > 100);
}

/* A need is one that its monitor has. */
static void test_needs_exist(void **state)
{
	const struct rule *rule;

	(void)state;
	for (size_t i = 0; (rule = rule__at(i)); i++) {
		assert_non_null(rule->needs[0]);
		for (size_t j = 0; j < MAX_RULE_NEEDS && rule->needs[j]; j++) {
			const char *need = strchr(rule->needs[j], ':');
			size_t len =
				need ? (size_t)(need - rule->needs[j]) : strlen(rule->needs[j]);
			bool found = false;

			for (size_t k = 0; k < nr_monitors; k++) {
				if (strlen(monitors[k]->name) != len ||
				    strncmp(monitors[k]->name, rule->needs[j], len))
					continue;
				found = !need;
				for (const struct hook *hook = monitors[k]->hooks;
				     need && hook && hook->need; hook++)
					found |= !strcmp(hook->need, need + 1);
			}
			if (!found)
				fail_msg("%s: there is no need %s", rule->id, rule->needs[j]);
		}
	}
}

static void test_age_and_losses(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct rule *rule = rule__find(fixtures[i].name);
		struct made made = made_of(sick);

		if (!rule)
			continue;
		made.age_s = 59;
		assert_int_equal(state_of(&fixtures[i], &made, rule->id) == STATE_TOO_LITTLE,
				 rule->storm);
		made.age_s = 61;
		assert_true(is_found(state_of(&fixtures[i], &made, rule->id)));
		made.lost = 1e9;
		if (strchr(rule->needs[0], ':'))
			assert_int_equal(state_of(&fixtures[i], &made, rule->id), STATE_UNKNOWN);
	}
}

/* Nothing is claimed twice, and no more than there is. */
static void test_claims(void **state)
{
	const struct made made = made_of(sick);

	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		struct diagnosis d;
		struct facts f;

		make_facts(&f, &fixtures[i], &made);
		diagnosis__make(&d, &f, &options);
		for (size_t j = 0; j < d.nr_accounts; j++) {
			const struct account *a = &d.accounts[j];

			for (int s = 0; s < NR_SLICES; s++)
				assert_true(a->claimed[s] <= a->slices[s] * 1.000001);
			assert_true(account__explained(a) <= account__lost(a) * 1.000001);
		}
		diagnosis__free(&d);
		facts__free(&f);
	}
}

/* Two sicknesses that want the same time: the first rule has it. */
static void test_explained(void **state)
{
	static struct fixture both = { .name = "both" };
	const struct made made = made_of(sick);

	(void)state;
	both.nr_lines = 0;
	both.lines[both.nr_lines++] = "slices vmm=25%";
	both.lines[both.nr_lines++] = "vcpu KVM_USERSPACE_EXIT class=msr reason=X86_RDMSR "
				      "count=500/s total_ns=24% p99_ns=500000";
	assert_int_equal(state_of(&both, &made, "msr-to-vmm"), STATE_FINDING);
	assert_int_equal(state_of(&both, &made, "vmm-slow"), STATE_EXPLAINED);
	/* The slice is longer than what the exits took: that is no reason for a second finding. */
	both.lines[0] = "slices vmm=45%";
	assert_int_equal(state_of(&both, &made, "msr-to-vmm"), STATE_FINDING);
	assert_int_equal(state_of(&both, &made, "vmm-slow"), STATE_EXPLAINED);
}

static void test_stopped(void **state)
{
	static struct fixture stopped = { .name = "stopped" };
	const struct made made = made_of(sick);

	(void)state;
	stopped.nr_lines = 0;
	stopped.lines[stopped.nr_lines++] = "slices vmm=100%";
	assert_int_equal(state_of(&stopped, &made, "vmm-slow"), STATE_NOT_APPLICABLE);
	assert_int_equal(state_of(&stopped, &made, "cpuid-loop"), STATE_NOT_APPLICABLE);
}

/* Assertions */

static void test_assertions_are_understood(void **state)
{
	static const char *const right[] = {
		"steal < 5%",
		"share of vmm < 10% for 1m",
		"p99 of IO_INSTRUCTION < 200us for 30s",
		"rate of class=msr < 20000",
		"p50 of class=io <= 1.5ms in web*",
		"kvm_timer.late_p99_ns < 50us in rt*",
		"max of VCPU_LOAD.max_ns < 1s",
		"count of INTERNAL_ERROR = 0",
		"rate of KVM_EXIT_DETAIL.count[detail_kind=msr,write=true] < 100/s",
		"rate of PAGE_FAULTS.count > 0 for 2s in *",
	}, *const wrong[] = {
		"", "steal", "steal <", "steal < 5", "steal < 5us", "p99 of steal < 5%",
		"IO_INSTRUCTION < 200us", "p99 of IO_INSTRUCTON < 200us", "p99 of io < 200",
		"rate of class=masr < 1", "vcpu_load.stele_ns < 5us", "nothing.count < 5",
		"count of INTERNAL_ERROR = x", "steal < 5% for", "steal < 5% for 3",
		"steal < 5% or",
		"p99 of VCPU_LOAD.max_ns < 1s", "rate of class=msr < 5us", "steal ~ 5%",
		"rate of KVM_EXIT.count[ < 5", "rate of KVM_EXIT.count[x < 5",
		"rate of KVM_EXIT.count[a=b,c=d,e=f,g=h,i=j] < 5",
	};
	struct assertion a;

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++) {
		const char *why = assertion__parse(&a, right[i]);

		if (why)
			fail_msg("%s: %s", right[i], why);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (!assertion__parse(&a, wrong[i]))
			fail_msg("\"%s\" is understood", wrong[i]);
}

/* Every prefix of every one, and with each byte another: nothing but an answer. */
static void test_assertions_survive(void **state)
{
	const char *text = "rate of KVM_EXIT_DETAIL.count[detail_kind=msr] <= 5.5ms for 30s in we*";
	char cut[128];
	struct assertion a;

	(void)state;
	for (size_t i = 0; i <= strlen(text); i++) {
		snprintf(cut, sizeof(cut), "%.*s", (int)i, text);
		assertion__parse(&a, cut);
		for (int c = 1; c < 256; c++) {
			snprintf(cut, sizeof(cut), "%s", text);
			cut[i] = c;
			assertion__parse(&a, cut);
		}
	}
}

static enum assertion_state asserted(const char *lines[], size_t nr, const char *text,
				     const char *missing, struct assertion *a)
{
	static struct fixture fixture = { .name = "asserted" };
	struct made made = made_of(sick);
	struct facts f;
	const char *why = assertion__parse(a, text);

	if (why)
		fail_msg("%s: %s", text, why);
	memcpy(fixture.lines, lines, nr * sizeof(*lines));
	fixture.nr_lines = nr;
	made.missing = missing;
	make_facts(&f, &fixture, &made);
	assertion__judge(a, &f);
	a->of = NULL;
	facts__free(&f);
	return a->state;
}

static void test_assertions(void **state)
{
	const char *lines[] = {
		"slices kvm=20% steal=4.9%",
		"vcpu KVM_EXIT class=io reason=IO_INSTRUCTION count=1000/s total_ns=10% "
		"p50_ns=90000 "
		"p99_ns=190000",
		"vcpu KVM_EXIT class=cpuid reason=CPUID count=10/s total_ns=1% p99_ns=3000000",
	};
	static const struct {
		const char *text;
		enum assertion_state state;
		double value;
	} list[] = {
		{ "steal < 5%", ASSERTION_HOLDS, 0.049 },
		{ "steal < 4.8%", ASSERTION_FAILED, 0.049 },
		{ "p99 of IO_INSTRUCTION < 200us", ASSERTION_HOLDS, 190000 },
		{ "p99 of IO_INSTRUCTION < 180us", ASSERTION_FAILED, 190000 },
		{ "p99 of IO_INSTRUCTION < 200us for 30s", ASSERTION_UNDECIDED, 190000 },
		{ "p99 of IO_INSTRUCTION < 200us for 10s", ASSERTION_HOLDS, 190000 },
		{ "p99 of CPUID < 1us", ASSERTION_UNDECIDED, NAN },
		{ "rate of class=io < 1001", ASSERTION_HOLDS, 1000 },
		{ "rate of class=io < 999/s", ASSERTION_FAILED, 1000 },
		{ "rate of class=msr < 1", ASSERTION_HOLDS, 0 },
		{ "share of class=io <= 10%", ASSERTION_HOLDS, 0.1 },
		{ "count of INTERNAL_ERROR = 0", ASSERTION_HOLDS, 0 },
		{ "mean of IO_INSTRUCTION < 101us", ASSERTION_HOLDS, 100000 },
		{ "rate of KVM_EXIT.count[class=cpuid] = 10", ASSERTION_HOLDS, 10 },
		{ "vcpu_load.steal_ns < 1s in other*", ASSERTION_UNDECIDED, NAN },
	};
	struct assertion a;

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
		enum assertion_state is = asserted(lines, 3, list[i].text, NULL, &a);

		if (is != list[i].state)
			fail_msg("%s: %s, %g: %s", list[i].text, assertion_state__name(is), a.value,
				 a.why);
		if (isnan(list[i].value))
			assert_true(isnan(a.value));
		else
			assert_true(fabs(a.value - list[i].value) < 1e-6 * (1 + list[i].value));
	}
	assert_int_equal(asserted(lines, 3, "p99 of IO_INSTRUCTION < 200us", NULL, &a),
			 ASSERTION_HOLDS);
	assert_true(a.close);
	assert_int_equal(asserted(lines, 3, "rate of class=msr < 1", "vm_exit:kvm_exit", &a),
			 ASSERTION_UNDECIDED);
	assert_int_equal(asserted(lines, 3, "steal < 5%", "vcpu_load", &a), ASSERTION_UNDECIDED);
}

/* Output */

static char *written(const struct fixture *fixture, enum format format)
{
	const struct made made = made_of(sick);
	struct diagnosis d;
	struct facts f;
	struct output *out;
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	make_facts(&f, fixture, &made);
	diagnosis__make(&d, &f, &options);
	out = output__new(format, file, 0);
	diagnosis__write(&d, NULL, 0, out, true);
	assert_int_equal(output__flush(out), 0);
	output__free(out);
	fclose(file);
	diagnosis__free(&d);
	facts__free(&f);
	return text;
}

/* 80 columns, but for commands, which are pasted; no hole of a remedy stays empty. */
static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		char *text = written(&fixtures[i], FORMAT_TABLE), *rest = text, *line;
		bool remedy = false;

		assert_null(strstr(text, "{vm}"));
		assert_null(strstr(text, "{object}"));
		while ((line = strsep(&rest, "\n"))) {
			if (!strncmp(line, "  remedy", 8))
				remedy = true;
			else if (!strncmp(line, "  verify", 8) || !strncmp(line, "EXPLAINED", 9))
				remedy = false;
			/* A note ends with its remedies. */
			if (strlen(line) > 80 && !remedy)
				fail_msg("%s: longer than 80: %s", fixtures[i].name, line);
		}
		free(text);
	}
}

static void test_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		char *text = written(&fixtures[i], FORMAT_JSON), *rest = text, *line;
		size_t nr = 0;

		while ((line = strsep(&rest, "\n")) && *line) {
			struct json_object *obj = json_tokener_parse(line);

			assert_non_null(obj);
			json_object_put(obj);
			nr++;
		}
		assert_true(nr > 40);
		free(text);
	}
}

/* What a run says of its VMs, before rows of them. */
static void test_objects(void **state)
{
	enum { MANY = 40 };
	struct output *out;
	struct facts f;
	char text[256];

	(void)state;
	facts__init(&f);
	out = facts__output(&f);
	assert_non_null(out);
	output__object(out,
		       json_tokener_parse(
			       "{\"scope\":\"start\",\"host\":{\"vendor\":\"kvm_amd\",\"cpus\":4},"
			       "\"hooks\":[{\"monitor\":\"vm_exit\",\"need\":\"kvm_exit\","
			       "\"state\":\"missing\",\"why\":\"because\"}]}"));
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text),
			 "{\"scope\":\"vm\",\"vm\":\"web%d\",\"vm_id\":\"%d.1.1\",\"pid\":%d,"
			 "\"cgroup\":\"/web%d\"}",
			 i, i, i, i);
		output__object(out, json_tokener_parse(text));
	}
	output__object(out, json_tokener_parse("{\"scope\":\"summary\",\"watching_cpu_ns\":5,"
					       "\"lost\":{\"events\":3,\"records_full\":4}}"));
	assert_int_equal(f.nr_vms, MANY + 1);
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "/web%d", i);
		assert_string_equal(f.vms[i + 1].cgroup, text);
	}
	assert_int_equal(f.cpus, 4);
	assert_string_equal(facts__missing(&f, "vm_exit", "kvm_exit")->why, "because");
	assert_true(f.lost == 7 && f.self_cpu_ns == 5);
	/* A monitor with hooks of which none was told has not run. */
	facts__add_monitor(&f, "vm_exit", true);
	facts__add_monitor(&f, "nested", true);
	facts__add_monitor(&f, "host", false);
	assert_true(facts__has_monitor(&f, "vm_exit") && facts__has_monitor(&f, "host"));
	assert_false(facts__has_monitor(&f, "nested"));
	output__free(out);
	facts__free(&f);
}

/* A section of its name, and one that names no rule is none of ours. */
static void test_documents(void **state)
{
	FILE *file = fopen("docs/diagnose.md", "re");
	const struct rule *rule;
	char line[4096], id[64];
	size_t nr = 0, sections = 0;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "### %63s", id) != 1)
			continue;
		sections++;
		if (!rule__find(id))
			fail_msg("docs/diagnose.md: %s is no rule", id);
	}
	fclose(file);
	for (; (rule = rule__at(nr)); nr++) {
		assert_true(rule->title && rule->not_what && rule->verify && rule->family);
		assert_non_null(rule->remedies[0].command);
		for (size_t i = 0; i < nr; i++)
			assert_string_not_equal(rule__at(i)->id, rule->id);
	}
	assert_int_equal(sections, nr);
	assert_true(nr >= 40);
}

/* What can't be there need not be seen */

static void calm(struct fixture *f)
{
	f->nr_lines = 0;
	f->lines[f->nr_lines++] = "slices guest=0.5% halt=99.4%";
	f->lines[f->nr_lines++] = "vm VMM_THREADS role=main comm=qemu cpu_ns=0.1% delay_ns=0%";
}

/* The need tells how long the rule's slices are, or the one thing that it asks first. */
static bool tells_it(const struct rule *rule, const char *need)
{
	static const char *const of_vcpus[] = { "vcpu_load", "vcpu_load:kvm_fpu",
						"vcpu_load:sched_switch", "vcpu_load:sched_wakeup",
						"vcpu_load:kvm_vcpu_wakeup" };
	unsigned int threads = IN(HELPERS) | IN(DELAYS);

	if (rule->may)
		return !strcmp(need, rule->may_needs);
	if (!rule->slices || ((rule->slices & threads) && !strcmp(need, "vmm_threads:threads")))
		return true;
	for (size_t i = 0; (rule->slices & ~threads) && i < 5; i++)
		if (!strcmp(need, of_vcpus[i]))
			return true;
	return false;
}

static void test_what_cannot_be(void **state)
{
	static struct fixture quiet = { .name = "quiet" };
	const struct rule *rule;
	size_t passed = 0, unknown = 0;

	(void)state;
	calm(&quiet);
	for (size_t i = 0; (rule = rule__at(i)); i++)
		for (size_t j = 0; j < MAX_RULE_NEEDS && rule->needs[j]; j++) {
			struct made made = made_of(sick);
			enum state is, expected;

			made.missing = rule->needs[j];
			is = state_of(&quiet, &made, rule->id);
			expected = tells_it(rule, rule->needs[j]) ? STATE_UNKNOWN : STATE_PASS;
			if (is != expected)
				fail_msg("%s without %s: %s", rule->id, rule->needs[j],
					 state__name(is));
			passed += is == STATE_PASS;
			unknown += is == STATE_UNKNOWN;
		}
	/* Losses, too: what was counted may be less than there was. */
	struct made lossy = made_of(sick);

	lossy.lost = 1e9;
	assert_int_equal(state_of(&quiet, &lossy, "cpuid-loop"), STATE_UNKNOWN);
	/* Age is no question where there is nothing. */
	lossy.lost = 0;
	lossy.age_s = 5;
	assert_int_equal(state_of(&quiet, &lossy, "cpuid-loop"), STATE_PASS);
	print_message("%zu pass unseen, %zu are unknown\n", passed, unknown);
	assert_true(passed > 60 && unknown > 40);
}

static const struct fixture *fixture_of(const char *name)
{
	for (size_t i = 0; i < nr_fixtures; i++)
		if (!strcmp(fixtures[i].name, name))
			return &fixtures[i];
	fail_msg("no fixture %s", name);
	return NULL;
}

static struct result *result_of(struct diagnosis *d, const char *id)
{
	for (size_t i = 0; i < d->nr_results; i++)
		if (!strcmp(d->results[i].rule->id, id))
			return &d->results[i];
	fail_msg("no result of %s", id);
	return NULL;
}

/* In a second pass, by what the first one saw. */
static enum state state_after(const struct fixture *first, const char *missing)
{
	struct diagnose_options with = options;
	struct made made = made_of(sick);
	struct diagnosis d;
	struct facts f, before;
	enum state state;

	make_facts(&before, first, &made);
	made.missing = missing;
	make_facts(&f, fixture_of("cpuid-loop"), &made);
	with.before = &before;
	diagnosis__make(&d, &f, &with);
	state = result_of(&d, "cpuid-loop")->state;
	diagnosis__free(&d);
	facts__free(&f);
	facts__free(&before);
	return state;
}

static void test_before(void **state)
{
	static struct fixture quiet = { .name = "quiet" };
	const struct made made = made_of(sick);
	struct diagnosis d, first;
	struct facts f, before;
	struct result *r;

	(void)state;
	calm(&quiet);
	assert_int_equal(state_after(&quiet, "vm_exit"), STATE_PASS);
	assert_int_equal(state_after(fixture_of("cpuid-loop"), "vm_exit"), STATE_UNKNOWN);
	assert_int_equal(state_after(&quiet, NULL), STATE_FINDING);
	/* What was found does not go because nobody found it again. */
	make_facts(&before, fixture_of("cpuid-loop"), &made);
	make_facts(&f, &quiet, &made);
	diagnosis__make(&first, &before, &options);
	diagnosis__make(&d, &f, &options);
	assert_int_equal(result_of(&d, "cpuid-loop")->state, STATE_PASS);
	diagnosis__add_before(&d, &first);
	r = result_of(&d, "cpuid-loop");
	assert_int_equal(r->state, STATE_FINDING);
	assert_true(r->before && r->vm == &f.vms[1] && r == &d.results[0]);
	assert_int_equal(d.by_state[STATE_FINDING], 1);
	assert_int_equal(r->severity, SEVERITY_WARNING);
	diagnosis__free(&first);
	diagnosis__free(&d);
	facts__free(&f);
	/* Not even with its VM. */
	vm_name = "db";
	make_facts(&f, &quiet, &made);
	vm_name = "web";
	diagnosis__make(&first, &before, &options);
	diagnosis__make(&d, &f, &options);
	diagnosis__add_before(&d, &first);
	r = &d.results[0];
	assert_true(r->before && r->state == STATE_FINDING && r->vm == &before.vms[1]);
	assert_string_equal(r->vm->name, "web");
	assert_int_equal(d.nr_vms, 2);
	assert_int_equal(d.by_state[STATE_FINDING], 1);
	diagnosis__free(&first);
	diagnosis__free(&d);
	facts__free(&f);
	facts__free(&before);
}

/* A recording that somebody made without details does not tell that there is nothing. */
static void test_not_asked_for(void **state)
{
	static struct fixture busy = { .name = "busy" };
	const struct made made = made_of(sick);
	struct diagnosis d;
	struct facts f;

	(void)state;
	busy.nr_lines = 0;
	busy.lines[busy.nr_lines++] = "slices kvm=30% vmm=30%";
	make_facts(&f, &busy, &made);
	/* Of vm_exit the run's first object has told of three needs. */
	for (size_t i = 0; i < f.nr_monitors; i++)
		f.monitors[i].has_hooks = !strcmp(f.monitors[i].name, "vm_exit");
	facts__set_need(&f, "vm_exit", "kvm_exit", false, "");
	facts__set_need(&f, "vm_exit", "kvm_entry", false, "");
	facts__set_need(&f, "vm_exit", "kvm_userspace_exit", false, "");
	facts__set_need(&f, "vm_exit", "kvm_run", false, "");
	diagnosis__make(&d, &f, &options);
	assert_int_equal(result_of(&d, "cpuid-loop")->state, STATE_PASS);
	assert_int_equal(result_of(&d, "pio-device")->state, STATE_UNKNOWN);
	assert_string_equal(result_of(&d, "pio-device")->why, "vm_exit: kvm_pio was not requested");
	diagnosis__free(&d);
	facts__free(&f);
}

/* Is the sickness known when it was there with so much steal, in a VM of that name? */
static bool is_known(const char *was, const char *name)
{
	static struct fixture now = { .name = "now" }, then = { .name = "then" };
	const struct made made = made_of((struct scale){ 1, 1 });
	struct diagnosis d, baseline;
	struct facts f, g;
	bool known;

	now.nr_lines = then.nr_lines = 0;
	now.lines[now.nr_lines++] = "slices steal=50% thieves_ns=50%";
	now.lines[now.nr_lines++] = "vcpu VCPU_LOAD.thieves name=backup comm=backup ns=50%";
	then.lines[then.nr_lines++] = "slices steal=50% thieves_ns=50%";
	then.lines[then.nr_lines++] = (char *)was;
	make_facts(&f, &now, &made);
	vm_name = name;
	make_facts(&g, &then, &made);
	vm_name = "web";
	diagnosis__make(&d, &f, &options);
	diagnosis__make(&baseline, &g, &options);
	diagnosis__compare(&d, &baseline);
	known = result_of(&d, "steal-host-task")->known;
	assert_int_equal(d.nr_known, known);
	diagnosis__free(&d);
	diagnosis__free(&baseline);
	facts__free(&f);
	facts__free(&g);
	return known;
}

static void test_baseline(void **state)
{
	(void)state;
	assert_true(is_known("vcpu VCPU_LOAD.thieves name=x comm=x ns=50%", "web"));
	assert_true(is_known("vcpu VCPU_LOAD.thieves name=x comm=x ns=42%", "web"));
	/* Dearer by more than a fifth. */
	assert_false(is_known("vcpu VCPU_LOAD.thieves name=x comm=x ns=41%", "web"));
	assert_false(is_known("vcpu VCPU_LOAD.thieves name=x comm=x ns=50%", "db"));
	/* Another sickness. */
	assert_false(
		is_known("vcpu VCPU_LOAD.thieves name=x comm=x vm=other vm_id=1 ns=50%", "web"));
}

/* Names that want to be obeyed: by a terminal, a shell, a reader of lines. */
static void test_hostile_names(void **state)
{
	static struct fixture f = { .name = "hostile" };
	static const char name[] = "\033[2J\r\nCHECKED'; reboot #\x9b\xff{object}"
				   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
				   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	char *text, *rest, *line;

	(void)state;
	f.nr_lines = 0;
	f.lines[f.nr_lines++] = "slices steal=50% thieves_ns=50%";
	f.lines[f.nr_lines++] = "vcpu VCPU_LOAD.thieves name=\"$(reboot)\033]0;x\a\" comm=x ns=50%";
	vm_name = name;
	text = written(&f, FORMAT_TABLE);
	assert_non_null(strstr(text, "steal-host-task"));
	for (const char *p = text; *p; p++)
		assert_true((unsigned char)*p >= ' ' || *p == '\n');
	/* Nothing is longer than a line but a command. */
	assert_non_null(strstr(text, "AAAAAAAA\n"));
	/* In quotes, whatever a shell would do with it. */
	assert_non_null(strstr(text, "pgrep -x '$(reboot)?]0;x?'"));
	assert_null(strstr(text, "\nCHECKED'"));
	free(text);
	text = written(&f, FORMAT_JSON);
	for (rest = text; (line = strsep(&rest, "\n")) && *line;) {
		struct json_object *obj = json_tokener_parse(line);

		assert_non_null(obj);
		json_object_put(obj);
		for (const char *p = line; *p; p++)
			assert_true((unsigned char)*p >= ' ');
	}
	free(text);
	vm_name = "web";
}

/* The first line says it all, in words that agree with their numbers. */
static void test_first_line(void **state)
{
	char *text = written(fixture_of("cpuid-loop"), FORMAT_TABLE);

	(void)state;
	assert_non_null(
		strstr(text, "1 finding in 1 of 1 VM; first: web: A program in the guest "));
	assert_non_null(strstr(text, " rules, 1 VM: 1 finding, 0 notes"));
	assert_null(strstr(text, "1 VMs"));
	assert_null(strstr(text, "1 findings"));
	free(text);
	text = written(fixture_of("healthy:idle"), FORMAT_TABLE);
	assert_int_equal(strncmp(text, "No finding in 1 VM.", 19), 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_rule_has_a_fixture),
		cmocka_unit_test(test_needs_exist),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_thresholds_flip),
		cmocka_unit_test(test_once_is_not_always),
		cmocka_unit_test(test_blindness),
		cmocka_unit_test(test_age_and_losses),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_explained),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_assertions_are_understood),
		cmocka_unit_test(test_assertions_survive),
		cmocka_unit_test(test_assertions),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_what_cannot_be),
		cmocka_unit_test(test_before),
		cmocka_unit_test(test_not_asked_for),
		cmocka_unit_test(test_baseline),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_first_line),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
