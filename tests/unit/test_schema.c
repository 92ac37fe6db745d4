// SPDX-License-Identifier: GPL-2.0-only
/*
 * docs/schema.json is what the columns say, and names of tables are good for
 * files. After a change that is meant, UPDATE_GOLDEN=1 writes it anew. Run from
 * the project's root.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../bpf/records.h"
#include "../../cli/commands.h"
#include "../../core/attach.h"
#include "../../core/histogram.h"
#include "../../core/losses.h"
#include "../../core/vcpus.h"
#include "../../diagnose/report.h"
#include "../../monitors/monitors.h"
#include "../../output/format.h"

#define SCHEMA "docs/schema.json"

enum { MAX_ALL = 64 };

/* What is no table: lines without columns. */
static const char fixed[] =
	"{"
	"  'text': {'type': ['string', 'null']},"
	"  'count': {'type': ['integer', 'null'], 'minimum': 0},"
	"  'signed': {'type': ['integer', 'null']},"
	"  'real': {'type': ['number', 'null']},"
	"  'flag': {'type': ['boolean', 'null']},"
	"  'texts': {'type': ['array', 'null'], 'items': {'type': 'string'}},"
	"  'object': {'type': ['object', 'array', 'null']},"
	"  'moment': {'type': 'string', 'format': 'date-time'},"
	"  'hook': {'type': 'object', 'properties': {"
	"    'monitor': {'type': 'string'}, 'need': {'type': 'string'}, 'hook': {'type': 'string'},"
	"    'state': {'enum': ['attached', 'replaced', 'missing']}, 'why': {'type': 'string'},"
	"    'runs': {'type': 'integer', 'minimum': 0, 'description': 'with --self-cost'},"
	"    'run_ns': {'type': 'integer', 'minimum': 0, 'description': 'with --self-cost'}},"
	"    'required': ['monitor', 'need', 'hook', 'state', 'why']},"
	"  'start': {'description': 'the first line of a run and of list', 'type': 'object',"
	"    'properties': {"
	"    'monitor': {'const': 'kvm_watcher'}, 'scope': {'const': 'start'},"
	"    'schema': {'const': 1}, 'version': {'type': 'string'},"
	"    'ts_ns': {'type': 'integer', 'minimum': 0}, 'time': {'$ref': '#/$defs/moment'},"
	"    'host': {'type': 'object', 'properties': {"
	"      'hostname': {'type': 'string'}, 'kernel': {'type': 'string'},"
	"      'vendor': {'type': 'string'}, 'cpus': {'type': 'integer', 'minimum': 1}},"
	"      'required': ['hostname', 'kernel', 'vendor', 'cpus']},"
	"    'options': {'type': 'array', 'items': {'type': 'string'}},"
	"    'clock': {'type': 'object', 'properties': {"
	"      'mono_ns': {'type': 'integer', 'minimum': 0}, 'real_ns': {'type': 'integer'},"
	"      'real_time': {'$ref': '#/$defs/moment'}},"
	"      'required': ['mono_ns', 'real_ns', 'real_time']},"
	"    'interval_ns': {'$ref': '#/$defs/count'},"
	"    'hooks': {'type': 'array', 'items': {'$ref': '#/$defs/hook'}}},"
	"    'required': ['monitor', 'scope', 'schema', 'version', 'ts_ns', 'time', 'host',"
	"      'options', 'clock']},"
	"  'vm': {'description': 'identity of a VM: once for each VM of a run, before its rows',"
	"    'type': 'object', 'properties': {"
	"    'monitor': {'const': 'kvm_watcher'}, 'scope': {'const': 'vm'},"
	"    'ts_ns': {'type': 'integer', 'minimum': 0}, 'time': {'$ref': '#/$defs/moment'},"
	"    'vm': {'type': 'string'}, 'vm_id': {'type': 'string'},"
	"    'pid': {'type': 'integer', 'minimum': 0}, 'vmm': {'$ref': '#/$defs/text'},"
	"    'vmm_version': {'$ref': '#/$defs/text'}, 'uuid': {'$ref': '#/$defs/text'},"
	"    'libvirt_name': {'$ref': '#/$defs/text'}, 'kube_namespace': {'$ref': '#/$defs/text'},"
	"    'kube_vmi': {'$ref': '#/$defs/text'}, 'pod_uid': {'$ref': '#/$defs/text'},"
	"    'cgroup': {'$ref': '#/$defs/text'}, 'confidential': {'$ref': '#/$defs/text'}},"
	"    'required': ['monitor', 'scope', 'ts_ns', 'time', 'vm', 'vm_id', 'pid', 'vmm',"
	"      'vmm_version', 'uuid', 'libvirt_name', 'kube_namespace', 'kube_vmi', 'pod_uid',"
	"      'cgroup', 'confidential']},"
	"  'summary': {'description': 'the last line of a run', 'type': 'object', 'properties': {"
	"    'monitor': {'const': 'kvm_watcher'}, 'scope': {'const': 'summary'},"
	"    'ts_ns': {'type': 'integer', 'minimum': 0}, 'time': {'$ref': '#/$defs/moment'},"
	"    'duration_ns': {'type': 'integer', 'minimum': 0},"
	"    'lost': {'type': 'object'},"
	"    'lost_by': {'type': 'array', 'items': {'type': 'object', 'properties': {"
	"      'kind': {'type': 'string'}, 'monitor': {'type': 'string'},"
	"      'vm': {'$ref': '#/$defs/text'}, 'vm_id': {'$ref': '#/$defs/text'},"
	"      'pid': {'type': ['integer', 'null']}, 'count': {'type': 'integer', 'minimum': 1}},"
	"      'required': ['kind', 'monitor', 'vm', 'vm_id', 'pid', 'count']}},"
	"    'hooks': {'type': 'array', 'items': {'$ref': '#/$defs/hook'}},"
	"    'self_cpu_ns': {'type': 'integer', 'minimum': 0},"
	"    'watching_cpu_ns': {'type': 'integer', 'minimum': 0}},"
	"    'required': ['monitor', 'scope', 'ts_ns', 'time', 'duration_ns', 'lost',"
	"      'lost_by', 'hooks',"
	"      'self_cpu_ns', 'watching_cpu_ns']},"
	"  'check': {'description': 'the whole output of check', 'type': 'object', 'properties': {"
	"    'monitor': {'const': 'kvm_watcher'}, 'scope': {'const': 'check'},"
	"    'schema': {'const': 1},"
	"    'host': {'type': 'object', 'properties': {"
	"      'kernel': {'type': 'string'}, 'kvm': {'type': 'boolean'},"
	"      'vendor': {'type': 'string'},"
	"      'btf': {'type': 'array', 'items': {'type': 'string'}},"
	"      'tracefs': {'$ref': '#/$defs/text'}, 'initial_pid_namespace': {'type': 'boolean'}},"
	"      'required': ['kernel', 'kvm', 'vendor', 'btf', 'tracefs',"
	"        'initial_pid_namespace']},"
	"    'hooks': {'type': 'object', 'additionalProperties': {'type': 'object', 'properties': {"
	"      'works': {'type': 'boolean'}, 'why': {'type': 'string'}},"
	"      'required': ['works', 'why']}},"
	"    'monitors': {'type': 'object', 'additionalProperties': {'type': 'object',"
	"      'properties': {'works': {'type': 'boolean'}, 'why': {'type': 'string'},"
	"        'needs': {'type': 'array', 'items': {'type': 'object', 'properties': {"
	"          'need': {'type': 'string'}, 'hook': {'type': 'string'},"
	"          'state': {'enum': ['attached', 'replaced', 'missing']},"
	"          'gives': {'type': 'string'}, 'why': {'type': 'string'}},"
	"          'required': ['need', 'hook', 'state', 'gives', 'why']}}},"
	"      'required': ['works', 'why', 'needs']}}},"
	"    'required': ['monitor', 'scope', 'schema', 'host', 'hooks', 'monitors']}"
	"}";

static struct json_object *parse(const char *text)
{
	char *copy = strdup(text);
	struct json_object *obj;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	obj = json_tokener_parse(copy);
	free(copy);
	assert_non_null(obj);
	return obj;
}

static struct json_object *string(const char *text)
{
	return json_object_new_string(text);
}

static void add_ref(struct json_object *obj, const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "#/$defs/%s", name);
	json_object_object_add(obj, "$ref", string(text));
}

static const char *type_of(const struct column *col)
{
	switch (col->type) {
	case COL_STRING:
		return "text";
	case COL_U32:
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		return "count";
	case COL_S64:
		return "signed";
	case COL_PERCENT:
	case COL_DOUBLE:
		return "real";
	case COL_BOOL:
		return "flag";
	case COL_STRINGS:
		return "texts";
	case COL_OBJECT:
		return "object";
	default:
		fail_msg("%s is not shown, or of a type that the schema has not", col->name);
		return NULL;
	}
}

static void add_column(struct json_object *properties, struct json_object *required,
		       const struct column *col)
{
	struct json_object *one = json_object_new_object();

	add_ref(one, type_of(col));
	if (col->help)
		json_object_object_add(one, "description", string(col->help));
	assert_false(json_object_object_get_ex(properties, col->name, NULL));
	json_object_object_add(properties, col->name, one);
	json_object_array_add(required, string(col->name));
}

/* What a schema says of an object. */
static struct json_object *object(struct json_object *properties, struct json_object *required)
{
	struct json_object *obj = json_object_new_object();

	json_object_object_add(obj, "type", string("object"));
	json_object_object_add(obj, "properties", properties);
	json_object_object_add(obj, "required", required);
	return obj;
}

/* What all rows begin with. */
static struct json_object *row_schema(void)
{
	struct json_object *properties =
		parse("{'monitor': {'type': 'string'}, 'table': {'type': 'string'},"
		      " 'scope': {'enum': ['interval', 'total', 'event']}}");
	struct json_object *required = parse("['monitor', 'table', 'scope']");

	for (const struct column *col = leading_columns; col->name; col++)
		add_column(properties, required, col);
	return object(properties, required);
}

static struct json_object *table_schema(const char *monitor, const struct column *columns,
					const struct view *view, unsigned int bit)
{
	const struct section section = { .view = view, .view_bit = bit };
	struct json_object *properties = json_object_new_object(), *obj;
	struct json_object *required = json_object_new_array(), *name;

	name = json_object_new_object();
	json_object_object_add(name, "const", string(monitor));
	json_object_object_add(properties, "monitor", name);
	name = json_object_new_object();
	json_object_object_add(name, "const", string(view->name));
	json_object_object_add(properties, "table", name);
	for (const struct column *col = columns; col->name; col++)
		if (section__has_data(&section, col))
			add_column(properties, required, col);
	obj = object(properties, required);
	add_ref(obj, "row");
	return obj;
}

static void add_tables(struct json_object *defs, const char *monitor, const struct column *columns,
		       const struct view *views)
{
	for (size_t i = 0; views[i].title; i++)
		if (!views[i].apart && !views[i].again)
			json_object_object_add(defs, views[i].name,
					       table_schema(monitor, columns, &views[i], 1U << i));
}

static void add_histograms(struct json_object *defs, const struct monitor *m)
{
	struct attachment at = { .monitor = m };
	const struct column *columns;

	for (size_t i = 0; m->views[i].title; i++) {
		const struct view *view;

		if (m->views[i].samples != i + 1)
			continue;
		view = histogram__view(&at, i, &columns);
		if (view)
			json_object_object_add(defs, view->name,
					       table_schema(m->name, columns, view, 1));
	}
	histogram__free(&at);
}

static struct json_object *schema(void)
{
	struct json_object *all = json_object_new_object(), *defs = parse(fixed);
	struct json_object *lines = json_object_new_array(), *lost = json_object_new_object();
	struct json_object *names = json_object_new_array(), *obj;

	for (int i = 0; i < NR_LOST; i++) {
		obj = parse("{'type': 'integer', 'minimum': 0}");
		json_object_object_add(obj, "description", string(lost__help(i)));
		json_object_object_add(lost, lost__name(i), obj);
		json_object_array_add(names, string(lost__name(i)));
	}
	obj = json_object_object_get(json_object_object_get(defs, "summary"), "properties");
	json_object_object_add(obj, "lost", object(lost, names));
	json_object_object_add(defs, "row", row_schema());
	for (size_t i = 0; i < nr_monitors; i++) {
		add_tables(defs, monitors[i]->name, monitors[i]->columns, monitors[i]->views);
		add_histograms(defs, monitors[i]);
	}
	add_tables(defs, "list", list_columns, list_views);
	add_tables(defs, "diagnose", diagnose_columns, diagnose_views);
	json_object_object_foreach(defs, name, def)
	{
		/* Lines say what they are by a constant. */
		if (!json_object_object_get_ex(def, "properties", &obj) ||
		    !json_object_object_get_ex(obj, "monitor", &obj) ||
		    !json_object_object_get_ex(obj, "const", NULL))
			continue;
		obj = json_object_new_object();
		add_ref(obj, name);
		json_object_array_add(lines, obj);
	}
	json_object_object_add(all, "$schema",
			       string("https://json-schema.org/draft/2020-12/schema"));
	json_object_object_add(all, "title", string("kvm_watcher: lines of --format=json"));
	json_object_object_add(all, "description",
			       string("schema 1: members are added, never renamed or removed"));
	json_object_object_add(all, "anyOf", lines);
	json_object_object_add(all, "$defs", defs);
	return all;
}

static void test_schema_is_of_the_columns(void **state)
{
	struct json_object *all = schema(), *kept;
	const char *text = json_object_to_json_string_ext(
		all,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
	FILE *file;

	(void)state;
	assert_int_equal(OUTPUT_SCHEMA, 1);
	if (getenv("UPDATE_GOLDEN")) {
		file = fopen(SCHEMA, "we");
		assert_non_null(file);
		assert_true(fprintf(file, "%s\n", text) > 0);
		assert_int_equal(fclose(file), 0);
	}
	kept = json_object_from_file(SCHEMA);
	if (!kept)
		fail_msg("%s can't be read: run this from the project's root", SCHEMA);
	if (!json_object_equal(all, kept))
		fail_msg("%s is not what the columns say: UPDATE_GOLDEN=1 writes it anew", SCHEMA);
	json_object_put(kept);
	json_object_put(all);
}

static size_t collect(const char **names, size_t nr, const struct view *views)
{
	for (; views->title; views++) {
		assert_true(nr < MAX_ALL);
		if (!views->name)
			fail_msg("the table %s has no name", views->title);
		names[nr++] = views->name;
	}
	return nr;
}

static void test_names_of_tables(void **state)
{
	const char *names[MAX_ALL];
	size_t nr = 0;

	(void)state;
	for (size_t i = 0; i < nr_monitors; i++)
		nr = collect(names, nr, monitors[i]->views);
	nr = collect(names, nr, list_views);
	nr = collect(names, nr, diagnose_views);
	assert_true(nr <= MAX_TABLES);
	for (size_t i = 0; i < nr; i++) {
		for (const char *p = names[i]; *p; p++)
			if (!isupper((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_')
				fail_msg("%s is not one word in capitals", names[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(names[i], names[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema_is_of_the_columns),
		cmocka_unit_test(test_names_of_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
