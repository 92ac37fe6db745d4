// SPDX-License-Identifier: GPL-2.0-only
/* Gates, claims and states: everything that is the same for all rules. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose.h"

enum { LEAST_WINDOWS = 3, FEW_LOST = 2 };

static const double LEAST_SLICE = 0.05, CRITICAL = 0.20, MOST_LOST = 0.01, LEAST_OF_WINDOWS = 0.6,
		    STOPPED = 0.99;

const char *state__name(enum state state)
{
	static const char *const names[] = {
		[STATE_FINDING] = "finding",
		[STATE_NOTE] = "note",
		[STATE_EXPLAINED] = "explained",
		[STATE_UNKNOWN] = "unknown",
		[STATE_TOO_LITTLE] = "too_little",
		[STATE_PASS] = "pass",
		[STATE_NOT_APPLICABLE] = "not_applicable",
	};

	return names[state];
}

const char *severity__name(enum severity severity)
{
	static const char *const names[] = { NULL, "note", "warning", "critical" };

	return names[severity];
}

const char *slice__name(enum slice slice)
{
	static const char *const names[] = {
		[SLICE_GUEST] = "guest",   [SLICE_KVM] = "kvm",	    [SLICE_VMM] = "vmm",
		[SLICE_POLL] = "poll",	   [SLICE_HALT] = "halt",   [SLICE_STEAL] = "steal",
		[SLICE_BLOCK] = "block",   [SLICE_UNACC] = "unacc", [SLICE_HELPERS] = "helpers",
		[SLICE_DELAYS] = "delays",
	};

	return names[slice];
}

void slices__name(unsigned int slices, char *text, size_t size)
{
	static const char *const words[] = {
		[SLICE_GUEST] = "the guest",
		[SLICE_KVM] = "KVM",
		[SLICE_VMM] = "the VMM",
		[SLICE_POLL] = "polling",
		[SLICE_HALT] = "halts",
		[SLICE_STEAL] = "steal",
		[SLICE_BLOCK] = "sleep",
		[SLICE_UNACC] = "unaccounted time",
		[SLICE_HELPERS] = "the VMM's threads",
		[SLICE_DELAYS] = "threads waiting for a CPU",
	};
	size_t used = 0;

	*text = '\0';
	for (int i = 0; i < NR_SLICES; i++) {
		unsigned int later = slices >> i >> 1;

		if (slices >> i & 1 && used < size)
			used += snprintf(text + used, size - used, "%s%s", words[i],
					 !later		     ? "" :
					 later & (later - 1) ? ", " :
							       " and ");
	}
}

const struct rule *rule__at(size_t i)
{
	for (const struct rule *const *family = families; *family; family++)
		for (const struct rule *rule = *family; rule->id; rule++)
			if (!i--)
				return rule;
	return NULL;
}

/* The one after it, in the order of the families. */
static const struct rule *next_rule(const struct rule *const **family, const struct rule *rule)
{
	rule = rule ? rule + 1 : **family;
	while (!rule->id) {
		if (!*++*family)
			return NULL;
		rule = **family;
	}
	return rule;
}

const struct rule *rule__find(const char *id)
{
	const struct rule *rule;

	for (size_t i = 0; (rule = rule__at(i)); i++)
		if (!strcmp(rule->id, id))
			return rule;
	return NULL;
}

double account__lost(const struct account *a)
{
	return (a->guest_is_known ? a->slices[SLICE_KVM] : 0) + a->slices[SLICE_VMM] +
	       a->slices[SLICE_POLL] + a->slices[SLICE_STEAL] + a->slices[SLICE_BLOCK];
}

double account__explained(const struct account *a)
{
	return (a->guest_is_known ? a->claimed[SLICE_KVM] : 0) + a->claimed[SLICE_VMM] +
	       a->claimed[SLICE_POLL] + a->claimed[SLICE_STEAL] + a->claimed[SLICE_BLOCK];
}

/* Looks */

static void add_slices(struct look *l)
{
	static const struct {
		enum slice slice;
		const char *column;
	} columns[] = {
		{ SLICE_GUEST, "guest_ns" },   { SLICE_KVM, "kvm_ns" },
		{ SLICE_VMM, "vmm_ns" },       { SLICE_POLL, "poll_ns" },
		{ SLICE_HALT, "halted_ns" },   { SLICE_STEAL, "steal_ns" },
		{ SLICE_BLOCK, "blocked_ns" }, { SLICE_UNACC, "unaccounted_ns" },
	};
	const struct fact *thread = NULL;

	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
		l->slices[columns[i].slice] = look__sum(l, "VCPU_LOAD", columns[i].column, NULL);
	l->wall_ns = look__sum(l, "VCPU_LOAD", "wall_ns", NULL);
	l->guest_is_known = !isnan(look__max(l, "VCPU_LOAD", "guest_ns", NULL));
	while ((thread = look__next_of_none(l, "VMM_THREADS", thread))) {
		const char *role = fact__get_text(thread, "role");

		if (!role || !strcmp(role, "vcpu"))
			continue;
		l->slices[SLICE_HELPERS] += fact__get(thread, "cpu_ns");
		l->slices[SLICE_DELAYS] += fact__get(thread, "delay_ns");
	}
}

struct look look__at(const struct facts *f, const struct facts_window *window, size_t vm,
		     uint32_t vcpu, const struct rule *rule)
{
	struct look l = {
		.facts = f,
		.window = window,
		.vm = &f->vms[vm],
		.vm_at = vm,
		.vcpu = vcpu,
		.seconds = (window->now_ns - window->since_ns) / 1e9,
		.rule = rule,
	};
	const struct fact *row = NULL;
	double longest = 0;

	add_slices(&l);
	while ((row = look__next(&l, "VCPU_LOAD", row))) {
		double wall_ns = fact__get(row, "wall_ns");

		l.vcpus++;
		if (wall_ns > longest)
			longest = wall_ns;
	}
	/* Of a VM that began or ended in the window: while it was there. */
	if (longest > 0 && longest < l.seconds * 1e9)
		l.seconds = longest / 1e9;
	if (l.wall_ns <= 0) {
		l.vcpus = 1;
		l.wall_ns = l.seconds * 1e9;
	}
	return l;
}

/* Accounts */

static int by_vcpu(const void *a, const void *b)
{
	const struct account *x = a, *y = b;

	return (x->vcpu > y->vcpu) - (x->vcpu < y->vcpu);
}

static struct account *add_account(struct diagnosis *d)
{
	struct account *more = reallocarray(d->accounts, d->nr_accounts + 1, sizeof(*d->accounts));

	if (!more) {
		d->failed = true;
		return NULL;
	}
	d->accounts = more;
	more = &d->accounts[d->nr_accounts++];
	*more = (struct account){};
	return more;
}

/* The vCPUs of a VM that ran at all, and whether it is stopped. Returns how many. */
static size_t open_accounts(struct diagnosis *d, size_t vm)
{
	const struct facts *f = d->facts;
	size_t first = d->nr_accounts;
	const struct facts_of_vm *of = vm < f->total.nr_of ? &f->total.of[vm] : NULL;
	bool stopped = true;

	for (size_t i = 0; of && i < of->nr; i++) {
		struct account *a;
		struct look l;

		if (strcmp(of->list[i]->table, "VCPU_LOAD"))
			continue;
		a = add_account(d);
		if (!a)
			break;
		l = look__at(f, &f->total, vm, of->list[i]->vcpu, NULL);
		a->vm = l.vm;
		a->vcpu = l.vcpu;
		a->wall_ns = l.wall_ns;
		a->guest_is_known = l.guest_is_known;
		memcpy(a->slices, l.slices, sizeof(a->slices));
		stopped &= l.slices[SLICE_VMM] > STOPPED * l.wall_ns &&
			   look__sum(&l, "KVM_USERSPACE_EXIT", "count", NULL) < 1;
	}
	if (d->nr_accounts > first)
		qsort(d->accounts + first, d->nr_accounts - first, sizeof(*d->accounts), by_vcpu);
	for (size_t i = first; i < d->nr_accounts; i++)
		d->accounts[i].stopped = stopped;
	return d->nr_accounts - first;
}

/* One subject */

struct verdict {
	enum state state;
	enum opinion opinion;
	const struct rule *explained_by;
	double cost_ns, share;
	unsigned int windows_true, windows_of;
	double parts[NR_SLICES]; /* of what is left of each slice */
	struct finding finding;
};

static double claimed(const struct finding *f)
{
	double sum = 0;

	for (int i = 0; i < NR_SLICES; i++)
		sum += f->claims[i];
	return sum;
}

/* A vCPU's cost is a share of its time; a VM's, and the host's, is one of a CPU's. */
static double share_of(const struct look *l, const struct rule *rule, double ns)
{
	return ns / (rule->per_vm || rule->of_host ? l->seconds * 1e9 : l->wall_ns);
}

/* The rule's opinion, if both of its keys turn. */
static enum opinion judge(const struct look *l, struct finding *f)
{
	const struct rule *rule = l->rule;
	enum opinion opinion;
	bool turns = true;

	*f = (struct finding){ .rule = rule, .vm = l->vm, .vcpu = l->vcpu };
	opinion = rule->judge(l, f);
	if (opinion != OPINION_POSSIBLE && opinion != OPINION_LIKELY && opinion != OPINION_CERTAIN)
		return opinion;
	if (rule->rate > 0)
		turns &=
			finding__least(f, "events", f->rate, UNIT_PER_S, rule->rate, rule->rate_by);
	if (rule->cost > 0)
		turns &= finding__least(f, "cost", share_of(l, rule, claimed(f)), UNIT_SHARE,
					rule->cost, rule->cost_by);
	return turns ? opinion : OPINION_NO;
}

bool facts__is_rest(const struct facts *f, const struct facts_window *window)
{
	const struct facts_window *first = &f->windows[0];

	return (window->now_ns - window->since_ns) * 2 < first->now_ns - first->since_ns;
}

/* The VM, or vCPU, was there for half of the window. */
static bool is_there(const struct look *l)
{
	double length = l->window->now_ns - l->window->since_ns;

	return !l->vm_at || (look__next(l, "VCPU_LOAD", NULL) && l->seconds * 2e9 >= length);
}

/* In how many windows it is so, too. */
static void look_at_windows(struct verdict *v, const struct facts *f, size_t vm, uint32_t vcpu,
			    const struct rule *rule)
{
	for (size_t i = 0; i < f->nr_windows; i++) {
		struct finding finding;
		struct look l;
		enum opinion opinion;

		if (facts__is_rest(f, &f->windows[i]))
			continue;
		l = look__at(f, &f->windows[i], vm, vcpu, rule);
		if (!is_there(&l))
			continue;
		opinion = judge(&l, &finding);
		v->windows_of++;
		v->windows_true += opinion == OPINION_POSSIBLE || opinion == OPINION_LIKELY ||
				   opinion == OPINION_CERTAIN;
	}
}

/* Takes what is left in the slices of the accounts. Who has claimed it before: the rest. */
static const struct rule *claim(struct account *accounts, size_t nr, struct verdict *v,
				const struct rule *rule)
{
	const struct rule *before = NULL;
	double wanted = claimed(&v->finding), got = 0, most = 0;

	for (int s = 0; s < NR_SLICES; s++) {
		double left = 0, taken = 0;

		for (size_t i = 0; i < nr; i++) {
			taken += accounts[i].claimed[s];
			left += accounts[i].slices[s] - accounts[i].claimed[s];
			if (v->finding.claims[s] > 0 && accounts[i].most_claimed[s] > most) {
				most = accounts[i].most_claimed[s];
				before = accounts[i].claimed_by[s];
			}
		}
		/* Threads of the VMM are of the VM, which all of its accounts have. */
		if (s >= SLICE_HELPERS)
			left = nr ? accounts[0].slices[s] - accounts[0].claimed[s] : 0;
		/* The same exits: a slice may be longer than they are. */
		if (rule->rest)
			v->finding.claims[s] = fmax(0, v->finding.claims[s] - taken);
		if (v->finding.claims[s] > left)
			v->finding.claims[s] = left;
		v->parts[s] = left > 0 ? v->finding.claims[s] / left : 0;
		got += v->finding.claims[s];
	}
	v->cost_ns = got;
	return wanted > 0 && got < 0.5 * wanted ? before ?: rule : NULL;
}

static void take(struct account *accounts, size_t nr, const struct verdict *v,
		 const struct rule *rule)
{
	for (size_t i = 0; i < nr; i++)
		for (int s = 0; s < NR_SLICES; s++) {
			struct account *a = &accounts[i];
			double ns = v->parts[s] * (a->slices[s] - a->claimed[s]);

			a->claimed[s] += ns;
			if (ns > a->most_claimed[s]) {
				a->most_claimed[s] = ns;
				a->claimed_by[s] = rule;
			}
		}
}

/* One of them is not there: why. What this host lacks is a better reason than what nobody asked. */
static bool lacks(const struct facts *f, const char *const *needs, size_t most, char *why,
		  size_t size)
{
	bool unasked = false;

	for (size_t i = 0; i < most && needs[i]; i++) {
		const char *need = strchr(needs[i], ':');
		const struct fact_need *missing;
		char monitor[64];

		snprintf(monitor, sizeof(monitor), "%.*s",
			 (int)(need ? need - needs[i] : (long)strlen(needs[i])), needs[i]);
		missing = need ? facts__missing(f, monitor, need + 1) : NULL;
		if (missing) {
			snprintf(why, size, "%s: %s is missing: %s", monitor, need + 1,
				 missing->why);
			return true;
		}
		if (unasked)
			continue;
		unasked = true;
		if (!facts__has_monitor(f, monitor))
			snprintf(why, size, "%s was not measured", monitor);
		else if (need && facts__was_not_asked(f, monitor, need + 1))
			snprintf(why, size, "%s: %s was not requested", monitor, need + 1);
		else
			unasked = false;
	}
	return unasked;
}

bool rule__is_blind(const struct rule *rule, const struct facts *f, char *why, size_t size)
{
	return lacks(f, rule->needs, MAX_RULE_NEEDS, why, size);
}

/* The slices of these facts are all that the rule's slices were. */
static bool knows_slices(const struct facts *f, const struct rule *rule)
{
	static const char *const of_vcpus[] = { "vcpu_load:kvm_fpu", "vcpu_load:sched_switch",
						"vcpu_load:sched_wakeup",
						"vcpu_load:kvm_vcpu_wakeup" };
	static const char *const of_threads[] = { "vmm_threads:threads" };
	unsigned int threads = IN(HELPERS) | IN(DELAYS);
	char why[256];

	if ((rule->slices & ~threads) && lacks(f, of_vcpus, 4, why, sizeof(why)))
		return false;
	return !(rule->slices & threads) || !lacks(f, of_threads, 1, why, sizeof(why));
}

/* What is the same for all VMs; and below, for all rules of one. */
struct round {
	struct diagnosis *d;
	const struct diagnose_options *options;
	char **blind;  /* by rule: why; NULL: it sees all that it needs */
	double events; /* that losses are a share of */

	size_t vm;
	struct look whole, *looks; /* looks: of the accounts */
	struct account *accounts;
	size_t nr;
	double age;
	size_t windows; /* that it was in */
};

static bool has_hooks(const struct rule *rule)
{
	bool hooks = false;

	for (size_t i = 0; i < MAX_RULE_NEEDS && rule->needs[i]; i++)
		hooks |= strchr(rule->needs[i], ':') != NULL;
	return hooks;
}

/* All that was lost, as far as anybody knows, may have been of this rule. */
static bool lost_too_much(const struct round *round, const struct rule *rule)
{
	double lost = round->d->facts->lost;

	return lost > FEW_LOST && lost > MOST_LOST * round->events && has_hooks(rule);
}

static double count_events(const struct facts *f)
{
	double events = 0;

	for (size_t vm = 1; f->lost > FEW_LOST && vm < f->nr_vms; vm++) {
		struct look l = { .window = &f->total, .vm_at = vm, .vcpu = UINT32_MAX };

		events += look__sum(&l, "KVM_EXIT", "count", NULL) +
			  look__sum(&l, "KVM_USERSPACE_EXIT", "count", NULL);
	}
	return events;
}

static const char *too_little(const struct round *round, const struct rule *rule)
{
	const struct diagnose_options *options = round->options;
	static char why[128];

	if (!options->one_window &&
	    (round->whole.seconds < LEAST_SECONDS || round->windows < LEAST_WINDOWS)) {
		snprintf(why, sizeof(why),
			 "%.1f s in %zu parts were measured; a rule needs 5 s in %d parts",
			 round->whole.seconds, round->windows, LEAST_WINDOWS);
		return why;
	}
	/* One that began meanwhile was less than nothing old. */
	if (rule->storm && options->least_age_s > 0 && round->age < options->least_age_s) {
		snprintf(why, sizeof(why), "the VM was only %.0f s old and may have been booting",
			 round->age < 0 ? 0 : round->age);
		return why;
	}
	return NULL;
}

/* The rule's slices together are below what it takes for it to be run. */
static bool is_below(const struct look *l, const struct rule *rule)
{
	double slices = 0, gate = LEAST_SLICE;

	for (int i = 0; i < NR_SLICES; i++)
		if (rule->slices >> i & 1)
			slices += l->slices[i];
	if (rule->cost > 0 && rule->cost < gate)
		gate = rule->cost;
	if (rule->gate > 0)
		gate = rule->gate;
	return rule->slices && share_of(l, rule, slices) < gate;
}

/* whole: of the subject, in the whole run. Its slices are not below what the rule takes. */
static struct verdict examine(const struct look *whole, const struct rule *rule,
			      struct account *accounts, size_t nr)
{
	struct look l = *whole;
	struct verdict v = { .state = STATE_PASS };

	l.rule = rule;
	v.opinion = judge(&l, &v.finding);
	if (v.opinion == OPINION_NO)
		return v;
	if (v.opinion == OPINION_NOT_APPLICABLE || v.opinion == OPINION_UNKNOWN) {
		v.state = v.opinion == OPINION_UNKNOWN ? STATE_UNKNOWN : STATE_NOT_APPLICABLE;
		return v;
	}
	/* A VM dies once. */
	if (!rule->error)
		look_at_windows(&v, l.facts, l.vm_at, l.vcpu, rule);
	if (v.windows_true < LEAST_OF_WINDOWS * v.windows_of)
		return v;
	if (rule->note || v.opinion == OPINION_POSSIBLE) {
		v.state = STATE_NOTE;
		v.cost_ns = claimed(&v.finding);
		v.share = share_of(&l, rule, v.cost_ns);
		return v;
	}
	v.share = share_of(&l, rule, claimed(&v.finding));
	v.explained_by = claim(accounts, nr, &v, rule);
	v.state = v.explained_by ? STATE_EXPLAINED : STATE_FINDING;
	if (v.state == STATE_FINDING) {
		v.share = share_of(&l, rule, v.cost_ns);
		take(accounts, nr, &v, rule);
	}
	return v;
}

/* All subjects of a VM together */

static void add_vcpu(struct diagnosis *d, struct result *r, uint32_t vcpu)
{
	uint32_t *more = reallocarray(r->vcpus, r->nr_vcpus + 1, sizeof(*more));

	if (!more) {
		d->failed = true;
		return;
	}
	r->vcpus = more;
	r->vcpus[r->nr_vcpus++] = vcpu;
}

static void keep_finding(struct diagnosis *d, struct result *r, const struct verdict *v)
{
	free(r->finding);
	r->finding = malloc(sizeof(*r->finding));
	if (r->finding)
		*r->finding = v->finding;
	else
		d->failed = true;
}

static void keep_why(struct diagnosis *d, struct result *r, const char *why)
{
	free((char *)r->why);
	r->why = *why ? strdup(why) : NULL;
	d->failed |= *why && !r->why;
}

static void merge(struct diagnosis *d, struct result *r, const struct verdict *v, uint32_t vcpu,
		  bool is_first)
{
	bool better = is_first || v->state < r->state;
	bool worse = v->state == r->state && v->share > r->share;

	if (better) {
		r->state = v->state;
		r->nr_vcpus = 0;
		r->cost_ns = r->share = 0;
		r->windows_true = r->windows_of = 0;
	}
	if (v->state != r->state)
		return;
	r->cost_ns += v->cost_ns;
	if (vcpu != UINT32_MAX && v->state < STATE_UNKNOWN)
		add_vcpu(d, r, vcpu);
	if (!better && !worse)
		return;
	r->share = v->share;
	r->certainty = v->opinion;
	r->explained_by = v->explained_by;
	r->windows_true = v->windows_true;
	r->windows_of = v->windows_of;
	if (v->finding.rule && v->state != STATE_PASS)
		keep_finding(d, r, v);
	keep_why(d, r, v->finding.why);
}

static void set_severity(struct result *r)
{
	const struct rule *rule = r->rule;

	if (r->state == STATE_NOTE)
		r->severity = SEVERITY_NOTE;
	else if (r->state == STATE_FINDING)
		r->severity = rule->error || r->share >= (rule->critical ?: CRITICAL) ?
				      SEVERITY_CRITICAL :
				      SEVERITY_WARNING;
}

static bool is_ignored(const struct result *r, const struct diagnose_options *options)
{
	for (size_t i = 0; i < options->nr_ignored; i++)
		if (!strcmp(options->ignored[i].id, r->rule->id) &&
		    (!options->ignored[i].vm || !fnmatch(options->ignored[i].vm, r->vm->name, 0)))
			return true;
	return false;
}

/* The same VM in other facts; 0: it is not there. */
static size_t find_vm(const struct facts *f, const struct fact_vm *vm)
{
	for (size_t i = 1; i < f->nr_vms; i++)
		if (f->vms[i].pid == vm->pid && !strcmp(f->vms[i].id, vm->id) &&
		    !strcmp(f->vms[i].name, vm->name))
			return i;
	return 0;
}

/* In the whole of these facts the rule's slices, or what it says itself, leave no room for it. */
static bool is_out_of_question(const struct round *round, const struct rule *rule,
			       const struct facts *f)
{
	size_t vm = find_vm(f, &round->d->facts->vms[round->vm]);
	struct look l;
	char why[256];

	if (!vm || f->lost > FEW_LOST)
		return false;
	l = look__at(f, &f->total, vm, UINT32_MAX, rule);
	if (l.seconds < LEAST_SECONDS)
		return false;
	if (rule->may)
		return !lacks(f, &rule->may_needs, 1, why, sizeof(why)) && !rule->may(&l);
	if (!rule->slices || !knows_slices(f, rule))
		return false;
	if (rule->per_vm)
		return is_below(&l, rule);
	for (size_t i = 0; i < round->nr; i++) {
		l = look__at(f, &f->total, vm, round->accounts[i].vcpu, rule);
		if (!look__next(&l, "VCPU_LOAD", NULL) || !is_below(&l, rule))
			return false;
	}
	return round->nr > 0;
}

/*
 * What is not there can't have been a sickness: it would have taken more of the time than its
 * slices were. So nobody has to see it.
 */
static bool passes_unseen(const struct round *round, const struct rule *rule)
{
	const struct facts *before = round->options->before;

	return is_out_of_question(round, rule, round->d->facts) ||
	       (before && is_out_of_question(round, rule, before));
}

/* What keeps the rule from being run for this VM; NULL: nothing does. */
static const char *hindrance(const struct round *round, const struct rule *rule, size_t at,
			     enum state *state)
{
	const char *why = round->blind[at];

	*state = STATE_NOT_APPLICABLE;
	if (round->nr && round->accounts[0].stopped && !rule->of_host)
		return "the VM is stopped: none of its vCPUs runs";
	*state = STATE_UNKNOWN;
	if (!why && lost_too_much(round, rule))
		why = "too many events were lost";
	if (why)
		return why;
	*state = STATE_TOO_LITTLE;
	return too_little(round, rule);
}

/* whole: of the subject. */
static void examine_one(const struct round *round, struct result *r, const struct look *whole,
			struct account *accounts, size_t nr, bool is_first)
{
	struct verdict v;

	if (is_below(whole, r->rule))
		return;
	v = examine(whole, r->rule, accounts, nr);
	merge(round->d, r, &v, whole->vcpu, is_first);
}

static void add_result(const struct round *round, const struct rule *rule, size_t at)
{
	struct diagnosis *d = round->d;
	struct result *r = &d->results[d->nr_results];
	enum state state;
	const char *why = hindrance(round, rule, at, &state);

	/* Nobody asks why. */
	if (why && round->options->one_window)
		return;
	if (why && state != STATE_NOT_APPLICABLE && !rule->of_host && passes_unseen(round, rule)) {
		state = STATE_PASS;
		why = "the time that it would claim is below its threshold";
	}
	*r = (struct result){ .rule = rule, .vm = &d->facts->vms[round->vm], .state = STATE_PASS };
	if (why) {
		r->state = state;
		keep_why(d, r, why);
	} else if (rule->per_vm || rule->of_host) {
		examine_one(round, r, &round->whole, round->accounts, round->nr, true);
	} else {
		for (size_t i = 0; i < round->nr; i++)
			examine_one(round, r, &round->looks[i], &round->accounts[i], 1, !i);
	}
	set_severity(r);
	r->ignored = is_ignored(r, round->options);
	d->nr_results++;
}

static int by_weight(const void *a, const void *b)
{
	const struct result *x = a, *y = b;
	int order = (int)x->state - (int)y->state;

	if (order)
		return order;
	if (x->state == STATE_FINDING && x->rule->error != y->rule->error)
		return x->rule->error ? -1 : 1;
	if (x->cost_ns != y->cost_ns)
		return x->cost_ns > y->cost_ns ? -1 : 1;
	order = (x->vm > y->vm) - (x->vm < y->vm);
	return order ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

/* The VM's accounts are open: what all rules of it ask for. */
static void look_at_vm(struct round *round, size_t vm, size_t first, size_t nr)
{
	struct diagnosis *d = round->d;
	const struct facts *f = d->facts;

	round->vm = vm;
	round->accounts = d->accounts + first;
	round->nr = nr;
	round->whole = look__at(f, &f->total, vm, UINT32_MAX, NULL);
	round->age = facts__age_s(f, &f->vms[vm]);
	round->windows = 0;
	for (size_t i = 0; i < f->nr_windows; i++) {
		const struct look l = look__at(f, &f->windows[i], vm, UINT32_MAX, NULL);

		round->windows += !facts__is_rest(f, &f->windows[i]) && is_there(&l);
	}
	free(round->looks);
	round->looks = calloc(nr ?: 1, sizeof(*round->looks));
	if (!round->looks) {
		d->failed = true;
		round->nr = 0;
	}
	for (size_t i = 0; i < round->nr; i++)
		round->looks[i] = look__at(f, &f->total, vm, round->accounts[i].vcpu, NULL);
}

static void judge_vm(struct round *round, size_t vm)
{
	struct diagnosis *d = round->d;
	size_t first = d->nr_accounts, nr = vm ? open_accounts(d, vm) : 0, at = 0;
	const struct rule *const *family = families;
	bool one_window = round->options->one_window;

	/* VMs that did nothing, or of which a loss alone tells, have no account. */
	if (vm && !nr)
		return;
	d->nr_vms += vm > 0;
	look_at_vm(round, vm, first, nr);
	for (const struct rule *rule = NULL; (rule = next_rule(&family, rule)); at++)
		if (rule->of_host == !vm && !(one_window && rule->note))
			add_result(round, rule, at);
}

static char *why_blind(const struct rule *rule, const struct facts *f, bool *failed)
{
	char why[256], *copy = NULL;

	if (rule__is_blind(rule, f, why, sizeof(why))) {
		copy = strdup(why);
		*failed |= !copy;
	}
	return copy;
}

void diagnosis__make(struct diagnosis *d, const struct facts *facts,
		     const struct diagnose_options *options)
{
	struct round round = { .d = d, .options = options, .events = count_events(facts) };
	const struct rule *rule;

	*d = (struct diagnosis){ .facts = facts };
	while (rule__at(d->nr_rules))
		d->nr_rules++;
	d->results = calloc(d->nr_rules * (facts->nr_vms + 1), sizeof(*d->results));
	round.blind = calloc(d->nr_rules, sizeof(*round.blind));
	if (!d->results || !round.blind) {
		free(round.blind);
		d->failed = true;
		return;
	}
	for (size_t i = 0; (rule = rule__at(i)); i++)
		round.blind[i] = why_blind(rule, facts, &d->failed);
	for (size_t vm = 0; vm < facts->nr_vms; vm++)
		judge_vm(&round, vm);
	qsort(d->results, d->nr_results, sizeof(*d->results), by_weight);
	for (size_t i = 0; i < d->nr_results; i++)
		d->by_state[d->results[i].state]++;
	d->failed |= facts->failed;
	for (size_t i = 0; i < d->nr_rules; i++)
		free(round.blind[i]);
	free(round.blind);
	free(round.looks);
}

/* The VM is gone by now. It takes what was found. */
static void append(struct diagnosis *d, struct result *was)
{
	struct result *more = reallocarray(d->results, d->nr_results + 1, sizeof(*more));
	bool known = false;

	if (!more) {
		d->failed = true;
		return;
	}
	d->results = more;
	for (size_t i = 0; i < d->nr_results; i++)
		known |= more[i].vm == was->vm;
	d->nr_vms += !known;
	more = &more[d->nr_results++];
	*more = *was;
	more->before = true;
	d->by_state[STATE_FINDING]++;
	was->vcpus = NULL;
	was->finding = NULL;
	was->why = NULL;
}

/* It passed, or could not be judged: what was found before stands in its place. */
static void replace(struct diagnosis *d, struct result *is, struct result *was)
{
	const struct result now = *is;

	*is = *was;
	*was = now;
	is->vm = now.vm;
	is->before = true;
	d->by_state[now.state]--;
	d->by_state[is->state]++;
}

void diagnosis__add_before(struct diagnosis *d, struct diagnosis *before)
{
	for (size_t i = 0; i < before->nr_results; i++) {
		struct result *was = &before->results[i], *is = NULL;
		size_t vm = was->state == STATE_FINDING ? find_vm(d->facts, was->vm) : 0;

		if (was->state != STATE_FINDING || was->rule->of_host)
			continue;
		for (size_t j = 0; vm && j < d->nr_results && !is; j++)
			if (d->results[j].rule == was->rule &&
			    d->results[j].vm == &d->facts->vms[vm])
				is = &d->results[j];
		if (!is)
			append(d, was);
		else if (is->state > STATE_EXPLAINED)
			replace(d, is, was);
	}
	qsort(d->results, d->nr_results, sizeof(*d->results), by_weight);
}

static bool is_found(const struct result *r)
{
	return r->state == STATE_FINDING || r->state == STATE_NOTE;
}

static double per_second(const struct facts *f, double ns)
{
	double length = f->total.now_ns - f->total.since_ns;

	return length > 0 ? ns * 1e9 / length : 0;
}

void diagnosis__compare(struct diagnosis *d, const struct diagnosis *baseline)
{
	static const double DEARER = 1.20;

	for (size_t i = 0; i < d->nr_results; i++) {
		struct result *r = &d->results[i];
		double cost = per_second(d->facts, r->cost_ns);

		for (size_t j = 0; is_found(r) && j < baseline->nr_results; j++) {
			const struct result *was = &baseline->results[j];

			if (was->rule != r->rule || !is_found(was) ||
			    strcmp(was->vm->name, r->vm->name) != 0)
				continue;
			r->known |= cost <= DEARER * per_second(baseline->facts, was->cost_ns);
		}
		d->nr_known += r->known && r->state == STATE_FINDING;
	}
}

void diagnosis__free(struct diagnosis *d)
{
	for (size_t i = 0; i < d->nr_results; i++) {
		free(d->results[i].vcpus);
		free(d->results[i].finding);
		free((char *)d->results[i].why);
	}
	free(d->results);
	free(d->accounts);
}
