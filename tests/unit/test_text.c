// SPDX-License-Identifier: GPL-2.0-only
/* Hostile names through every sink. Run from the project's root, where the sources are. */
#include <ctype.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <cmocka.h>
#include <json-c/json.h>

#include "../../cli/options.h"
#include "../../core/log.h"
#include "../../output/output.h"
#include "../../output/text.h"

#define TEN(_s) _s _s _s _s _s _s _s _s _s _s

/* csv and json: what is in the file, quotes of the cell included; NULL: as shown. */
static const struct hostile {
	const char *name, *shown, *csv, *json;
} names[] = {
	{ "web", "web", NULL, NULL },
	{ "", "-", "", "" },
	{ "\033[2J\033[31mred", "?[2J?[31mred", NULL, "\\u001b[2J\\u001b[31mred" },
	{ "\033]0;title\007", "?]0;title?", "\"?]0;title?\"", "\\u001b]0;title\\u0007" },
	{ "\xc2\x9b"
	  "31m",
	  "?31m", NULL, "\\u009b31m" },
	{ "\x9b"
	  "31m",
	  "?31m", NULL, "\ufffd31m" },
	{ "x\nkvm_watcher: all is well", "x?kvm_watcher: all is well", NULL,
	  "x\\nkvm_watcher: all is well" },
	{ "x\r\n\tvm", "x???vm", NULL, "x\\r\\n\\tvm" },
	{ "\b\b\x7f", "???", NULL, "\\b\\b\\u007f" },
	{ "\u202etxt.exe\u202c", "?txt.exe?", NULL, "\\u202etxt.exe\\u202c" },
	{ "a\u061cb\u200fc\u2066d", "a?b?c?d", NULL, "a\\u061cb\\u200fc\\u2066d" },
	{ "w\u200be\u00adb\ufeff\u180e", "w?e?b??", NULL, "w\\u200be\\u00adb\\ufeff\\u180e" },
	{ "\u2028\u2029\u2060\ufff9", "????", NULL, "\\u2028\\u2029\\u2060\\ufff9" },
	{ "\U000e0001\U000e0041\U000e0100", "???", NULL,
	  "\\udb40\\udc01\\udb40\\udc41\\udb40\\udd00" },
	{ "\U0001d173\ue000\U0010fffd", "???", NULL, "\\ud834\\udd73\\ue000\\udbff\\udffd" },
	{ "\ufdd0\uffff\u3164\ufe0f", "????", NULL, "\\ufdd0\\uffff\\u3164\\ufe0f" },
	{ "e\u0301", "e\u0301", NULL, NULL },
	{ "Z\u0310\u0311\u0312\u0313a", "Z\u0310\u0311?\?a", NULL, "Z\u0310\u0311\\u0312\\u0313a" },
	{ "\xff\xc3(", "?\?(", NULL, "\ufffd\ufffd(" },
	{ "\xc0\xaf\xe0\x80\x9b\xf0\x80\x80\x9b", "?????????", NULL,
	  "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd" },
	{ "\xed\xa0\x80\xf4\x90\x80\x80", "???????", NULL,
	  "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd" },
	{ "\xca(\xe0(", "?(?(", NULL, "\ufffd(\ufffd(" },
	{ "cut\xe2\x82", "cut??", NULL, "cut\ufffd\ufffd" },
	{ "=cmd|'/c calc'!A1", "=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1", NULL },
	{ "+1", "+1", "'+1", NULL },
	{ "-1", "-1", "'-1", NULL },
	{ "@SUM(A1,A2)", "@SUM(A1,A2)", "\"'@SUM(A1,A2)\"", NULL },
	{ "\uff1d1", "\uff1d1", "'\uff1d1", NULL },
	{ "\t=1", "?=1", NULL, "\\t=1" },
	{ "x;=1", "x;=1", "\"x;=1\"", NULL },
	{ "\"=1\",\"", "\"=1\",\"", "\"\"\"=1\"\",\"\"\"", "\\\"=1\\\",\\\"" },
	{ "back\\slash", "back\\slash", NULL, "back\\\\slash" },
	{ "虚拟机-ÄÖ", "虚拟机-ÄÖ", NULL, NULL },
	{ "💾 vm", "💾 vm", NULL, NULL },
	{ "%s%n%s", "%s%n%s", NULL, NULL },
};
enum { NR_NAMES = sizeof(names) / sizeof(*names) };

/* What no sink may write, said anew. */
static bool is_forbidden(uint32_t cp)
{
	return cp < ' ' || (cp >= 0x7f && cp < 0xa0) || cp == 0xad || cp == 0x61c || cp == 0x180e ||
	       (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2060 && cp <= 0x206f) || (cp >= 0xd800 && cp < 0xf900) ||
	       (cp >= 0xfdd0 && cp <= 0xfdef) || (cp >= 0xfe00 && cp <= 0xfe0f) || cp == 0xfeff ||
	       (cp >= 0xfff9 && cp <= 0xfffb) || (cp >= 0x1d173 && cp <= 0x1d17a) ||
	       (cp & 0xfffe) == 0xfffe || cp >= 0xe0000;
}

static void assert_safe(const char *text, const char *allowed)
{
	const char *at = text;

	while (*at) {
		unsigned char first = *at;
		int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
		uint32_t cp = more ? first & (0x3f >> more) : first;

		if (first >= 0x80 && !more)
			fail_msg("byte %#x in \"%s\"", first, text);
		for (at++; more--; at++) {
			if ((*at & 0xc0) != 0x80)
				fail_msg("byte %#x in \"%s\"", *at & 0xff, text);
			cp = cp << 6 | (*at & 0x3f);
		}
		if (is_forbidden(cp) && !(cp < 0x80 && strchr(allowed, cp)))
			fail_msg("U+%04X in \"%s\"", cp, text);
	}
}

static void test_every_character(void **state)
{
	(void)state;
	for (uint32_t cp = 1; cp < 0x110000; cp++) {
		struct text_char c = {};
		char s[4];
		size_t n = 0;

		if (cp >= 0x10000) {
			s[n++] = 0xf0 | cp >> 18;
			s[n++] = 0x80 | (cp >> 12 & 0x3f);
		} else if (cp >= 0x800) {
			s[n++] = 0xe0 | cp >> 12;
		}
		if (cp >= 0x800)
			s[n++] = 0x80 | (cp >> 6 & 0x3f);
		else if (cp >= 0x80)
			s[n++] = 0xc0 | cp >> 6;
		s[n++] = cp < 0x80 ? cp : 0x80 | (cp & 0x3f);
		text__read(&c, s, n);
		if (cp >= 0xd800 && cp < 0xe000) {
			assert_false(c.valid);
			continue;
		}
		assert_true(c.valid);
		assert_int_equal(c.len, n);
		assert_int_equal(c.cp, cp);
		if (is_forbidden(cp) && c.shown)
			fail_msg("U+%04X is shown", cp);
	}
}

static void test_in_place(void **state)
{
	char text[256];

	(void)state;
	for (size_t i = 0; i < NR_NAMES; i++) {
		size_t len = strlen(names[i].name);

		memcpy(text, names[i].name, len);
		len = text__neutralise(text, len);
		text[len] = '\0';
		assert_string_equal(text, len ? names[i].shown : "");
		assert_safe(text, "");
	}
}

static void test_cut(void **state)
{
	(void)state;
	assert_int_equal(text__cut("abc", 3, 3), 3);
	assert_int_equal(text__cut("abcd", 4, 3), 3);
	assert_int_equal(text__cut("ab\u20ac", 5, 5), 5);
	for (size_t most = 2; most < 5; most++)
		assert_int_equal(text__cut("ab\u20acd", 6, most), 2);
	for (size_t most = 1; most < 5; most++)
		assert_int_equal(text__cut("a💾b", 6, most), 1);
	assert_int_equal(text__cut("a💾b", 6, 5), 5);
	assert_int_equal(text__cut("\u20ac", 3, 1), 0);
	/* No character goes on that long. */
	assert_int_equal(text__cut("\x80\x80\x80\x80\x80\x80\x80\x80", 8, 6), 6);
	assert_int_equal(text__cut("", 0, 0), 0);
}

struct name_row {
	struct row row;
	const char *text;
	const char *const *texts;
	struct json_object *object;
};

static const struct view views[] = { { "NAMES", "NAMES", .per_vcpu = false }, {} };
static const struct column columns[] = {
	COLUMN(struct name_row, text, "TEXT", COL_STRING, ROLE_LABEL),
	COLUMN(struct name_row, texts, "TEXTS", COL_STRINGS, ROLE_LABEL),
	COLUMN(struct name_row, object, "OBJECT", COL_OBJECT, ROLE_LABEL),
	{},
};

/* Each name is a VM's, and in each kind of column. */
static char *render(enum format format, enum scope scope, int width, const char *name)
{
	const struct section section = {
		.monitor = "names",
		.columns = columns,
		.view = views,
		.view_bit = 1,
		.scope = scope,
	};
	const char *const texts[] = { name, "b", NULL };
	struct name_row row = {
		.row = { 1, name, "1.2.1", 1, 2, 3 },
		.text = name,
		.texts = texts,
		.object = json_object_new_object(),
	};
	struct output *out;
	char *text = NULL;
	FILE *stream;
	size_t len;

	json_object_object_add(row.object, "k", json_object_new_string(name));
	stream = open_memstream(&text, &len);
	assert_non_null(stream);
	out = output__new(format, stream, width);
	assert_non_null(out);
	output__begin(out, &section);
	output__row(out, &row.row, 0);
	output__end(out);
	output__object(out, json_object_get(row.object));
	assert_int_equal(output__flush(out), 0);
	output__free(out);
	fclose(stream);
	json_object_put(row.object);
	assert_int_equal(strlen(text), len);
	return text;
}

static size_t count_lines(const char *text)
{
	size_t nr = 0;

	for (; (text = strchr(text, '\n')); text++)
		nr++;
	return nr;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in \"%s\"", part, text);
}

/* A terminal's titles and headings are emphasised, by whole lines of ours. */
static void strip_emphasis(char *text)
{
	static const char normal[] = "\033[0m\n";
	char *line, *end, *to = text;

	for (line = text; *line; line = end + 1) {
		bool strong = !strncmp(line, "\033[1m", 4) || !strncmp(line, "\033[4m", 4);
		size_t len;

		end = strchr(line, '\n');
		assert_non_null(end);
		if (strong)
			assert_memory_equal(end - 4, normal, 5);
		len = strong ? end - line - 8 : end - line;
		memmove(to, strong ? line + 4 : line, len);
		to += len;
		*to++ = '\n';
	}
	*to = '\0';
}

static void test_table(void **state)
{
	char *text;

	(void)state;
	for (size_t i = 0; i < NR_NAMES; i++) {
		for (int width = 20; width < 200; width += 7) {
			text = render(FORMAT_TABLE, SCOPE_INTERVAL, width, names[i].name);
			strip_emphasis(text);
			assert_safe(text, "\n");
			/* When it is narrow, another line says that PID is not there. */
			assert_int_equal(count_lines(text),
					 strstr(text, "no room for PID\n") ? 4 : 3);
			free(text);
		}
		text = render(FORMAT_TABLE, SCOPE_EVENT, 1000, names[i].name);
		strip_emphasis(text);
		assert_safe(text, "\n");
		assert_has(text, names[i].shown);
		free(text);
	}
}

static void test_csv(void **state)
{
	char expected[512], *text;

	(void)state;
	for (size_t i = 0; i < NR_NAMES; i++) {
		text = render(FORMAT_CSV, SCOPE_INTERVAL, 0, names[i].name);
		assert_safe(text, "\r\n");
		assert_int_equal(count_lines(text), 2);
		snprintf(expected, sizeof(expected), ",%s,",
			 names[i].csv ? names[i].csv : names[i].shown);
		assert_has(text, expected);
		free(text);
	}
}

static const char *string_of(struct json_object *obj, const char *key)
{
	return json_object_get_string(json_object_object_get(obj, key));
}

static void assert_json(const char *line, const struct hostile *name)
{
	struct json_object *obj = json_tokener_parse(line), *texts;

	assert_non_null(obj);
	texts = json_object_object_get(obj, "texts");
	assert_string_equal(string_of(obj, "vm"), name->name);
	assert_string_equal(string_of(obj, "text"), name->name);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(texts, 0)),
			    name->name);
	assert_string_equal(string_of(json_object_object_get(obj, "object"), "k"), name->name);
	json_object_put(obj);
}

static void test_json(void **state)
{
	char expected[512], *text, *end;

	(void)state;
	for (size_t i = 0; i < NR_NAMES; i++) {
		text = render(FORMAT_JSON, SCOPE_INTERVAL, 0, names[i].name);
		assert_safe(text, "\n");
		assert_int_equal(count_lines(text), 2);
		snprintf(expected, sizeof(expected), "\"text\":\"%s\"",
			 names[i].json ? names[i].json : names[i].shown);
		assert_has(text, expected);
		snprintf(expected, sizeof(expected), "\n{\"k\":\"%s\"}\n",
			 names[i].json ? names[i].json : names[i].shown);
		assert_has(text, expected);
		end = strchr(text, '\n');
		*end = '\0';
		/* What is no UTF-8 is not the name any more. */
		if (!strstr(text, "\ufffd"))
			assert_json(text, &names[i]);
		free(text);
	}
}

/* What fn writes to stderr. */
static char *said(void (*fn)(const char *), const char *name)
{
	FILE *real = stderr;
	char *text = NULL;
	size_t len;

	stderr = open_memstream(&text, &len);
	assert_non_null(stderr);
	fn(name);
	fclose(stderr);
	stderr = real;
	assert_int_equal(strlen(text), len);
	return text;
}

static void say_name(const char *name)
{
	say("the VM %s, for short %.3s, is \"%s\"", name, name, name);
}

static void refuse_name(const char *name)
{
	assert_int_equal(usage_error("\"%s\" is not an option", name), EXIT_USAGE);
}

static void refuse_word(const char *name)
{
	static const struct monitor *const none[] = { NULL };
	static const size_t nr_none = 0;
	static const struct option_row *const tables[] = { NULL };
	const struct command command = {
		.doc = "",
		.tables = tables,
		.monitors = none,
		.nr_monitors = &nr_none,
	};
	char program[] = "kvm_watcher", word[256];
	char *argv[] = { program, word, NULL };
	struct options opts;

	snprintf(word, sizeof(word), "--%s", name);
	if (*name)
		assert_int_equal(options__parse(&command, 2, argv, &opts), EXIT_USAGE);
	else
		say("nothing");
}

static void libbpf_prints(libbpf_print_fn_t print, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(LIBBPF_WARN, format, args);
	va_end(args);
}

static void libbpf_says(const char *name)
{
	libbpf_print_fn_t print;

	log__init(true);
	print = libbpf_set_print(NULL);
	libbpf_prints(print, "libbpf: the program '%s'\nwas refused\n", name);
	log__init(false);
}

static void test_messages(void **state)
{
	void (*const one_line[])(const char *) = { say_name, refuse_name, refuse_word };
	char *text;

	(void)state;
	for (size_t i = 0; i < NR_NAMES; i++)
		for (size_t j = 0; j < sizeof(one_line) / sizeof(*one_line); j++) {
			text = said(one_line[j], names[i].name);
			assert_safe(text, "\n");
			assert_int_equal(count_lines(text), 1);
			assert_ptr_equal(strstr(text, "kvm_watcher: "), text);
			if (names[i].name[0])
				assert_has(text, names[i].shown);
			free(text);
		}
}

/* Lines behind the first one are libbpf's own, or a name's: neither looks like a message. */
static void test_libbpf(void **state)
{
	char *text, *at;

	(void)state;
	for (size_t i = 0; i < NR_NAMES; i++) {
		text = said(libbpf_says, names[i].name);
		assert_safe(text, "\n");
		assert_ptr_equal(strstr(text, "libbpf: the program"), text);
		assert_has(text, "\n  was refused\n");
		for (at = text; (at = strchr(at, '\n')) && at[1]; at++)
			assert_memory_equal(at, "\n  ", 3);
		free(text);
	}
}

static void test_long_message(void **state)
{
	char *name = malloc(200001), *text;

	(void)state;
	assert_non_null(name);
	/* Wherever the line is cut, it is not within a character. */
	for (size_t begin = 0; begin < 4; begin++) {
		memset(name, 'x', begin);
		for (size_t i = begin; i + 4 < 200000; i += 4)
			memcpy(name + i, "💾", 5);
		text = said(refuse_name, name);
		assert_safe(text, "\n");
		assert_int_equal(count_lines(text), 1);
		assert_true(strlen(text) > 8000 && strlen(text) < 8300);
		assert_string_equal(text + strlen(text) - 8, "💾...\n");
		assert_null(strchr(text, '?'));
		free(text);
	}
	free(name);
}

static void test_long_name(void **state)
{
	static const enum format formats[] = { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };
	static const char name[] = TEN(TEN(TEN("\033虚\u202e\xff")));
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		text = render(formats[i], SCOPE_INTERVAL, 0, name);
		assert_safe(text, "\r\n");
		free(text);
	}
}

/* Nothing else writes to a stream: it would not know these rules. */
static const char *const writers[] = {
	"printf", "fprintf", "vprintf", "vfprintf", "dprintf", "puts",	"fputs",   "putc",
	"fputc",  "putchar", "fwrite",	"perror",   "warn",    "warnx", "psignal", NULL,
};

static const char *writer_in(const char *line)
{
	for (const char *at = line; (at = strchr(at, '(')); at++) {
		const char *begin = at;

		while (begin > line && (isalnum((unsigned char)begin[-1]) || begin[-1] == '_'))
			begin--;
		for (const char *const *w = writers; *w; w++)
			if (strlen(*w) == (size_t)(at - begin) && !strncmp(begin, *w, at - begin))
				return *w;
	}
	return NULL;
}

static void read_source(const char *path)
{
	char line[512];
	FILE *file;

	/* These write for all others; on a canvas is only what was neutralised. */
	if (!strcmp(path, "output/text.c") || !strcmp(path, "output/output.c") ||
	    !strcmp(path, "top/canvas.c"))
		return;
	file = fopen(path, "r");
	assert_non_null(file);
	for (int nr = 1; fgets(line, sizeof(line), file); nr++) {
		if (writer_in(line) && !strstr(line, "format(printf") &&
		    !strstr(line, "puts(PROGRAM \" \" VERSION)"))
			fail_msg("%s:%d: %s() and not say(), text__print() or an output", path, nr,
				 writer_in(line));
	}
	fclose(file);
}

static void test_one_place(void **state)
{
	static const char *const rooms[] = {
		"cli", "monitors", "core", "output", "decode", "compat", "top",
	};
	size_t nr = 0;

	(void)state;
	assert_non_null(writer_in("	printf(\"x\");"));
	assert_non_null(writer_in("	if (fputs(x, stderr))"));
	assert_null(writer_in("	snprintf(x, 1, y); buf__puts(x); puts;"));
	for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++) {
		DIR *dir = opendir(rooms[i]);
		struct dirent *entry;

		assert_non_null(dir);
		while ((entry = readdir(dir))) {
			const char *dot = strchr(entry->d_name, '.');
			char path[512];

			if (!dot || strcmp(dot, ".c"))
				continue;
			snprintf(path, sizeof(path), "%s/%s", rooms[i], entry->d_name);
			read_source(path);
			nr++;
		}
		closedir(dir);
	}
	assert_true(nr > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_character),
		cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_libbpf),
		cmocka_unit_test(test_long_message),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_one_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
