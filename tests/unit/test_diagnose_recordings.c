// SPDX-License-Identifier: GPL-2.0-only
/*
 * All rules against recordings of VMs that were really made sick, or cured, by
 * tests/cases/diagnose.sh. tests/diagnose/record made them, and recordings/index.tsv: what each VM
 * was made to be, and what was found of it there; a neighbour's theft may be true, too. Those of
 * synthetic/ are derived by tests/diagnose/derive; they are judged alike, counted apart, and make
 * no rule a seen one. Run from the project's root. UPDATE_GOLDEN=1 writes the table of
 * docs/diagnose.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/attach.h"
#include "../../core/filter.h"
#include "../../core/replay.h"
#include "../../diagnose/report.h"
#include "../../monitors/monitors.h"

#define RECORDINGS "tests/diagnose/recordings/"
#define SYNTHETIC "synthetic/"
#define DOCUMENT "docs/diagnose.md"
#define TABLE_BEGINS "<!-- confusion: UPDATE_GOLDEN=1 build/tests/unit/test_diagnose_recordings -->"
#define TABLE_ENDS "<!-- confusion ends -->"

enum { MAX_RULES = 64, MAX_PLACES = 8, PLACE_LEN = 32 };

/* What all recordings say of one rule. */
struct tally {
	size_t made, found;	/* of those that were made for it */
	size_t beside;		/* found of others, of which it was true, too */
	size_t wrongly, silent; /* of all others */
	size_t derived;		/* found of what was derived for it */
	char places[MAX_PLACES][PLACE_LEN];
	size_t nr_places;
};

static struct tally tallies[MAX_RULES];
static size_t nr_recordings, nr_well, nr_derived, nr_failed;

static void read_recording(struct facts *f, const char *path)
{
	const char *const paths[] = { path };
	struct replay *r = replay__open(paths, 1, monitors, nr_monitors);
	const struct filter filter = {};
	const struct replay_options how = { .filter = &filter };
	struct chosen chosen[MAX_MONITORS];
	struct sink sink = {};
	size_t nr;

	if (!r)
		fail_msg("%s can't be read", path);
	facts__init(f);
	nr = replay__chosen(r, chosen);
	for (size_t i = 0; i < nr; i++)
		facts__add_monitor(f, chosen[i].monitor->name, chosen[i].monitor->hooks);
	sink.out = facts__output(f);
	assert_int_equal(replay__run(r, &how, &sink), 0);
	output__free(sink.out);
	replay__close(r);
	facts__sort(f);
}

static bool is_in(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = words; (p = strstr(p, word)); p += len)
		if ((p == words || p[-1] == ' ') && (!p[len] || p[len] == ' '))
			return true;
	return false;
}

static void add_place(struct tally *t, const char *file)
{
	int len = strcspn(file, "-");
	char place[PLACE_LEN];
	size_t i = 0;

	/* native-..., 6.12-svm-... */
	if (strncmp(file, "native", 6))
		len += 1 + (int)strcspn(file + len + 1, "-");
	snprintf(place, sizeof(place), "%.*s", len, file);
	while (i < t->nr_places && strcmp(t->places[i], place))
		i++;
	if (i == t->nr_places && i < MAX_PLACES)
		snprintf(t->places[t->nr_places++], PLACE_LEN, "%s", place);
}

static enum state state_of(const struct diagnosis *d, const struct rule *rule)
{
	enum state state = STATE_NOT_APPLICABLE;

	for (size_t i = 0; i < d->nr_results; i++)
		if (d->results[i].rule == rule && d->results[i].state < state)
			state = d->results[i].state;
	return state;
}

/* One cell of the matrix. */
static void check_cell(struct tally *t, const struct rule *rule, bool is, const char *file,
		       const char *made, const char *found)
{
	bool is_it = !strcmp(made, rule->id), was = is_in(found, rule->id);

	if (!strncmp(file, SYNTHETIC, strlen(SYNTHETIC))) {
		t->derived += is_it && is;
	} else if (is_it) {
		t->made++;
		t->found += is;
		if (is)
			add_place(t, file);
	} else if (is) {
		*(was ? &t->beside : &t->wrongly) += 1;
	} else {
		t->silent++;
	}
	if (is == (was || is_it))
		return;
	print_error("%s, made for %s: %s is %sfound\n", file, made, rule->id, is ? "" : "not ");
	nr_failed++;
}

/*
 * Emulated machines are slow, where enough exits tell it, but for one whose instructions are told
 * to be quick; this host is none.
 */
static void check_slow_host(struct tally *t, const struct rule *rule, enum state state,
			    const char *file)
{
	bool is_slow = strncmp(file, "native", 6) != 0 && !strstr(file, "-quick-");

	if (strncmp(file, SYNTHETIC, strlen(SYNTHETIC)) != 0 && state != STATE_UNKNOWN)
		check_cell(t, rule, state == STATE_NOTE, file, is_slow ? rule->id : "none", "");
}

static void check_recording(const char *file, const char *made, const char *found)
{
	const struct diagnose_options all_ages = {};
	const struct rule *rule;
	struct diagnosis d;
	char path[256];
	struct facts f;

	if (strcmp(made, "none") && !rule__find(made))
		fail_msg("%s: %s is no rule", file, made);
	snprintf(path, sizeof(path), RECORDINGS "%s", file);
	read_recording(&f, path);
	diagnosis__make(&d, &f, &all_ages);
	for (size_t i = 0; (rule = rule__at(i)); i++) {
		enum state state = state_of(&d, rule);

		assert_true(i < MAX_RULES);
		if (!strcmp(rule->id, "host-is-slow"))
			check_slow_host(&tallies[i], rule, state, file);
		else
			check_cell(&tallies[i], rule, state == STATE_FINDING || state == STATE_NOTE,
				   file, made, found);
	}
	if (!strncmp(file, SYNTHETIC, strlen(SYNTHETIC)))
		nr_derived++;
	else
		nr_recordings++;
	nr_well += !strcmp(made, "none");
	diagnosis__free(&d);
	facts__free(&f);
}

static void test_recordings(void **state)
{
	FILE *index = fopen(RECORDINGS "index.tsv", "re");
	const struct rule *rule;
	char line[1024];

	(void)state;
	assert_non_null(index);
	while (fgets(line, sizeof(line), index)) {
		char *rest = line, *file = strsep(&rest, "\t"), *made = strsep(&rest, "\t"),
		     *found = strsep(&rest, "\t");

		assert_non_null(rest);
		check_recording(file, made, found);
	}
	fclose(index);
	for (size_t i = 0; (rule = rule__at(i)); i++) {
		if (!tallies[i].found && !tallies[i].derived) {
			print_error("%s: nothing is recorded or derived of it\n", rule->id);
			nr_failed++;
		}
		if (rule->seen == (tallies[i].found > 0))
			continue;
		print_error("%s: .seen is %d, and %zu recordings have it\n", rule->id, rule->seen,
			    tallies[i].found);
		nr_failed++;
	}
	assert_int_equal(nr_failed, 0);
	assert_true(nr_well >= 14);
	print_message("%zu recordings, %zu of them of VMs that were well or cured; %zu derived\n",
		      nr_recordings, nr_well, nr_derived);
}

/* The script makes what is kept. */
static void test_derived_again(void **state)
{
	(void)state;
	assert_int_equal(system("tests/diagnose/derive --check"), 0);
}

static char *confusion_table(void)
{
	const struct rule *rule;
	char *text = NULL;
	size_t size, nr = 0, unseen = 0;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	fprintf(file, TABLE_BEGINS "\n"
				   "| rule | made | found | true beside another | wrongly found | "
				   "silent | where | synthetic |\n"
				   "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; (rule = rule__at(i)); i++) {
		const struct tally *t = &tallies[i];

		nr += t->found > 0;
		unseen += !t->found && t->derived;
		fprintf(file, "| %s | %zu | %zu | %zu | %zu | %zu | ", rule->id, t->made, t->found,
			t->beside, t->wrongly, t->silent);
		for (size_t p = 0; p < t->nr_places; p++)
			fprintf(file, "%s%s", p ? ", " : "", t->places[p]);
		fprintf(file, "%s | %zu |\n", t->nr_places ? "" : "synthetic alone", t->derived);
	}
	fprintf(file,
		"\n%zu recordings, %zu of them of VMs that were well or cured; %zu rules have "
		"found what was made for them. Rules with synthetic recordings alone: %zu; such "
		"recordings: %zu.\n" TABLE_ENDS "\n",
		nr_recordings, nr_well, nr, unseen, nr_derived);
	fclose(file);
	return text;
}

/* The table of the document is what the recordings gave. */
static void test_confusion_table(void **state)
{
	char *table = confusion_table(), *doc = NULL, *begins, *ends;
	size_t size = 0;
	FILE *file = fopen(DOCUMENT, "re");
	bool same;

	(void)state;
	assert_non_null(file);
	assert_true(getdelim(&doc, &size, '\0', file) > 0);
	fclose(file);
	begins = strstr(doc, TABLE_BEGINS);
	assert_non_null(begins);
	ends = strstr(begins, TABLE_ENDS "\n");
	assert_non_null(ends);
	ends += strlen(TABLE_ENDS "\n");
	same = strlen(table) == (size_t)(ends - begins) && !strncmp(begins, table, strlen(table));
	if (!same && getenv("UPDATE_GOLDEN")) {
		file = fopen(DOCUMENT, "we");
		assert_non_null(file);
		fprintf(file, "%.*s%s%s", (int)(begins - doc), doc, table, ends);
		fclose(file);
	} else if (!same) {
		fail_msg(DOCUMENT " does not have this table; UPDATE_GOLDEN=1 writes it:\n%s",
			 table);
	}
	free(table);
	free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recordings),
		cmocka_unit_test(test_derived_again),
		cmocka_unit_test(test_confusion_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
