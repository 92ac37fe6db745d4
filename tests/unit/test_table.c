/* SPDX-License-Identifier: GPL-2.0-only */
/* What a table does over a run and at any width; how it looks is in test_output.c. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../core/log.h"
#include "../../output/output.h"
#include "../../output/text.h"

enum { MAX_LINES = 64, SECOND = 1000000000 };

struct exit_row {
	struct row row;
	uint64_t total_ns, max_ns, min_ns, count, p99_ns;
	const char *reason;
};

static const struct view views[] = { { "KVM_EXIT", "KVM_EXIT", .per_vcpu = true }, {} };

#define COL(...) COLUMN(struct exit_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_THIRD),
	COL(min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_FIRST),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE),
	COL(reason, "REASON", COL_STRING, ROLE_LABEL, .flags = COL_WORD),
	{},
};

/* What goes, in this order, and what stays. */
static const char *const going[] = { "MIN_TIME", "TID", "MAX_TIME",   "P99",
				     "COUNT",	 "PID", "TOTAL_TIME", NULL };
static const char *const staying[] = { "VM", "VCPU", "REASON", NULL };

static const struct section interval = { "vm_exit", columns, views, 1, SCOPE_INTERVAL };

static char *text;
static size_t text_len;
static FILE *stream;

static struct output *begin(int width)
{
	stream = open_memstream(&text, &text_len);
	assert_non_null(stream);
	return output__new(FORMAT_TABLE, stream, width);
}

/* The lines, of which each is a string of its own afterwards. */
static size_t end(struct output *out, char *lines[MAX_LINES])
{
	char *rest, *line;
	size_t nr = 0;

	assert_int_equal(output__flush(out), 0);
	output__free(out);
	fclose(stream);
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		if (!*line)
			continue;
		assert_true(nr < MAX_LINES);
		lines[nr++] = line;
	}
	return nr;
}

static void write_row(struct output *out, const char *vm, uint64_t count, const char *reason,
		      unsigned int flags)
{
	struct exit_row row = {
		.row = { 1, vm, "1.1.1", 4242, 4243, 0 },
		.total_ns = count * 1000,
		.max_ns = 1000000,
		.min_ns = 1000,
		.count = count,
		.p99_ns = 12345678,
		.reason = reason,
	};

	output__row(out, &row.row, flags);
}

static void write_table(struct output *out, uint64_t count)
{
	output__begin(out, &interval);
	write_row(out, "production-web-1", count, "io", 0);
	write_row(out, "production-web-2", count, "UD excp", 0);
	write_row(out, "production-web-2", 2 * count, "(all but halts)", ROW_DERIVED);
	output__end(out);
}

static bool has_word(const char *line, const char *word)
{
	const char *at = strstr(line, word);
	size_t len = strlen(word);

	return at && (at == line || at[-1] == ' ') && (!at[len] || at[len] == ' ');
}

static const char *header_of(char *lines[], size_t nr, size_t nth)
{
	for (size_t i = 0; i < nr; i++)
		if (has_word(lines[i], "VCPU") && strncmp(lines[i], "no room", 7) && !nth--)
			return lines[i];
	fail_msg("no header %zu", nth);
	return "";
}

/* In a pipe whose width --width says: whose rows they are shows at any width. */
static void test_any_width(void **state)
{
	char *lines[MAX_LINES];
	const char *header;
	struct output *out;
	size_t nr, at;

	(void)state;
	for (int width = 40; width <= 140; width++) {
		out = begin(0);
		output__set_width(out, width);
		write_table(out, 10);
		nr = end(out, lines);
		header = header_of(lines, nr, 0);
		for (size_t i = 0; staying[i]; i++)
			assert_true(has_word(header, staying[i]));
		for (at = 1; going[at]; at++)
			if (has_word(header, going[at - 1]))
				assert_true(has_word(header, going[at]));
		assert_int_equal(strncmp(lines[nr - 3], "produ", 5), 0);
		assert_int_equal(strncmp(lines[nr - 2], "produ", 5), 0);
		assert_int_not_equal(
			strncmp(lines[nr - 3], lines[nr - 2], strcspn(lines[nr - 2], " ")), 0);
		assert_true(has_word(lines[nr - 2], "UD_excp"));
		assert_true(has_word(lines[nr - 1], "(all but halts)"));
		/* Nobody sees the row above. */
		assert_int_equal(has_word(lines[nr - 1], "4242"), has_word(header, "PID"));
		for (size_t i = 0; i < nr; i++) {
			assert_null(strchr(lines[i], '\033'));
			assert_true(text__width(lines[i]) <= width);
		}
		free(text);
	}
}

static size_t count_words(const char *s, const char *word)
{
	size_t found = 0;

	for (; (s = strstr(s, word)); s++)
		found++;
	return found;
}

static size_t count_lines(char *lines[], size_t nr, const char *beginning)
{
	size_t found = 0;

	for (size_t i = 0; i < nr; i++)
		found += !strncmp(lines[i], beginning, strlen(beginning));
	return found;
}

/* An interval's table has the columns of the one before: they get wider only. */
static void test_fixed_for_the_run(void **state)
{
	char *lines[MAX_LINES], *first, *wide;
	struct output *out = begin(0);
	size_t nr;

	(void)state;
	output__set_width(out, 92);
	write_table(out, 1);
	write_table(out, 99999);
	write_table(out, 12345678901234);
	write_table(out, 1);
	output__begin(out, &interval);
	output__end(out);
	write_table(out, 3);
	nr = end(out, lines);
	first = strdup(header_of(lines, nr, 0));
	assert_string_equal(header_of(lines, nr, 1), first);
	wide = strdup(header_of(lines, nr, 2));
	assert_string_not_equal(wide, first);
	assert_string_equal(header_of(lines, nr, 3), wide);
	assert_string_equal(header_of(lines, nr, 4), wide);
	/* Each column that goes is said when it goes. */
	assert_true(has_word(first, "MIN_TIME"));
	assert_false(has_word(wide, "MIN_TIME"));
	assert_int_equal(count_lines(lines, nr, "no room for "), 1);
	free(first);
	free(wide);
	free(text);
}

/* The terminal is asked before each table. */
static void test_resize(void **state)
{
	struct winsize size = { .ws_row = 25, .ws_col = 60 };
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	char buffer[8192], *name;
	struct output *out;
	FILE *terminal;
	size_t used;
	ssize_t len;

	(void)state;
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	name = ptsname(master);
	assert_non_null(name);
	slave = open(name, O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	terminal = fdopen(slave, "w");
	out = output__new(FORMAT_TABLE, terminal, 200);
	for (int i = 0; i < 3; i++) {
		size.ws_col = i ? 140 : 60;
		assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
		if (i == 2)
			output__set_width(out, 60);
		write_table(out, 1);
		assert_int_equal(output__flush(out), 0);
		/* A terminal gives what it has. */
		for (used = 0, buffer[0] = '\0'; !strstr(buffer, "halts)"); used += len) {
			len = read(master, buffer + used, sizeof(buffer) - 1 - used);
			assert_true(len > 0);
			buffer[used + len] = '\0';
		}
		assert_int_equal(!!strstr(buffer, "4243"), i == 1);
		/* On a terminal people see the row above: once for each of two VMs. */
		assert_int_equal(count_words(buffer, "4242"), 2);
	}
	output__free(out);
	fclose(terminal);
	close(master);
}

static void write_windows(struct output *out)
{
	struct section section = interval;

	output__set_clock(out, 1767251600000000000 - 5LL * SECOND);
	output__begin_window(out, SCOPE_INTERVAL, 5LL * SECOND, 7LL * SECOND);
	section.total_follows = true;
	output__begin(out, &section);
	write_row(out, "web", 1, "io", 0);
	output__end(out);
	output__end_window(out);
	output__begin_window(out, SCOPE_TOTAL, 5LL * SECOND, 7LL * SECOND);
	section.scope = SCOPE_TOTAL;
	output__begin(out, &section);
	write_row(out, "web", 1, "io", 0);
	output__more(out, "\342\200\246 and 112 more\033 vCPUs");
	output__end(out);
	output__end_window(out);
}

/* A table is not shown twice: neither is the line of a window that has no other. */
static void test_window_once(void **state)
{
	char *lines[MAX_LINES];
	struct output *out = begin(0);

	(void)state;
	write_windows(out);
	assert_int_equal(end(out, lines), 5);
	assert_string_equal(lines[0], "\u2500\u2500 08:13:22  whole run, 2.0 s \u2500\u2500");
	assert_string_equal(lines[1], "KVM_EXIT (times in ms)");
	assert_int_equal(strncmp(lines[3], "web ", 4), 0);
	assert_string_equal(lines[4], "\342\200\246 and 112 more? vCPUs");
	free(text);
	/* Programs see both. */
	stream = open_memstream(&text, &text_len);
	out = output__new(FORMAT_JSON, stream, 0);
	write_windows(out);
	end(out, lines);
	assert_non_null(strstr(lines[0], "\"interval\""));
	assert_non_null(strstr(lines[1], "\"total\""));
	free(text);
}

static const char *window_line(const char *all, const char *ctype, const char *lang)
{
	static char line[256];
	char *lines[MAX_LINES];
	struct output *out;

	setenv("LC_ALL", all, 1);
	setenv("LC_CTYPE", ctype, 1);
	setenv("LANG", lang, 1);
	out = begin(0);
	write_windows(out);
	end(out, lines);
	snprintf(line, sizeof(line), "%.2s", lines[0]);
	free(text);
	setenv("LC_ALL", "C.UTF-8", 1);
	return line;
}

/* The locale of the environment: the first that says something. */
static void test_locale(void **state)
{
	(void)state;
	assert_string_equal(window_line("C", "C.UTF-8", "C.UTF-8"), "--");
	assert_string_equal(window_line("", "POSIX", "de_DE.utf8"), "--");
	assert_string_equal(window_line("", "", ""), "--");
	assert_string_not_equal(window_line("", "", "de_DE.utf8"), "--");
	assert_string_not_equal(window_line("zh_CN.UTF-8", "C", "C"), "--");
}

static void check_text(const char *string, int width, int columns, const char *prefix)
{
	assert_int_equal(text__width(string), width);
	assert_int_equal(text__prefix(string, columns), strlen(prefix));
}

/* Chinese takes two columns a character, a mark none. */
static void test_wide_characters(void **state)
{
	char *lines[MAX_LINES];
	struct output *out;
	size_t nr;

	(void)state;
	check_text("", 0, 5, "");
	check_text("web", 3, 2, "we");
	check_text("虚拟机", 6, 5, "虚拟");
	check_text("a虚b", 4, 1, "a");
	check_text("e\u0301a", 2, 1, "e\u0301");
	check_text("ne\u00e4", 3, 3, "ne\u00e4");
	check_text("\xff\xe8", 2, 1, "\xff");
	check_text("\U0001f680", 2, 1, "");
	for (int width = 40; width <= 140; width++) {
		out = begin(0);
		output__set_width(out, width);
		output__begin(out, &interval);
		write_row(out, "虚拟机虚拟机虚拟机一号", 1, "io", 0);
		write_row(out, "a虚拟机虚拟机虚拟机二号", 1, "io", 0);
		write_row(out, "web", 1, "虚拟机虚拟机虚拟机虚拟机", 0);
		output__end(out);
		nr = end(out, lines);
		/* The PIDs of all stand below each other. */
		for (size_t i = nr - 3; i < nr; i++) {
			char *at = strstr(lines[i], "4242");

			assert_non_null(at);
			assert_true(text__width(lines[i]) <= width);
			if (i > nr - 3)
				assert_int_equal(
					text__width(lines[i]) - text__width(at),
					text__width(lines[nr - 3]) -
						text__width(strstr(lines[nr - 3], "4242")));
		}
		assert_non_null(strstr(lines[nr - 3], "号"));
		free(text);
	}
}

/* What went to stdout before a message is there before it, to the line's end. */
static void test_messages_cut_no_line(void **state)
{
	int fds[2], saved[2] = { dup(STDOUT_FILENO), dup(STDERR_FILENO) };
	char buffer[64] = "";

	(void)state;
	fflush(stdout);
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDOUT_FILENO);
	dup2(fds[1], STDERR_FILENO);
	setvbuf(stdout, NULL, _IOFBF, 4096);
	fputs("a line\n", stdout);
	say("a message");
	dup2(saved[0], STDOUT_FILENO);
	dup2(saved[1], STDERR_FILENO);
	assert_true(read(fds[0], buffer, sizeof(buffer) - 1) > 0);
	assert_string_equal(buffer, "a line\nkvm_watcher: a message\n");
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(saved[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_width),
		cmocka_unit_test(test_fixed_for_the_run),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_window_once),
		cmocka_unit_test(test_locale),
		cmocka_unit_test(test_wide_characters),
		cmocka_unit_test(test_messages_cut_no_line),
	};

	/* An hour before Greenwich. */
	setenv("TZ", "XYZ-1", 1);
	tzset();
	setenv("LC_ALL", "C.UTF-8", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
