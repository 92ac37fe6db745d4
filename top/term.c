// SPDX-License-Identifier: GPL-2.0-only
#include "term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "../output/format.h"
#include "terminfo.h"

enum { IN_SIZE = 512, RESTORE_SIZE = 512, ESC_MS = 25, WRITE_MS = 2000 };

struct term {
	struct termios saved, raw;
	struct canvas shown;
	bool is_shown; /* shown is on it */
	struct buf out;
	unsigned char in[IN_SIZE];
	size_t nr_in;
	bool started, ascii, blocks, mouse, gone;
	const char *cup, *sgr0, *rev, *bold, *dim, *under, *clear;
	char styles[2 * STYLE_SELECTED][96];
	int guard; /* the pipe to the process that restores it */
	pid_t guard_pid;
};

/* What restores it, for whoever is in a hurry. */
static struct {
	volatile sig_atomic_t active;
	char text[RESTORE_SIZE];
	size_t len;
	struct termios saved;
} restore;

static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };

static void add_restore(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (restore.len + len >= sizeof(restore.text))
		return;
	memcpy(restore.text + restore.len, text ?: "", len);
	restore.len += len;
}

static void restore_now(void)
{
	if (!restore.active)
		return;
	restore.active = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &restore.saved);
	(void)!write(STDOUT_FILENO, restore.text, restore.len);
}

static void on_crash(int signal)
{
	restore_now();
	/* The handler is gone (SA_RESETHAND): the default does the rest. */
	raise(signal);
}

/* Locales are not there in a static binary; what they are called is enough. */
static bool is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return strcasestr(value, "UTF-8") || strcasestr(value, "UTF8");
	}
	return false;
}

static void add_text(char *to, size_t size, const char *text)
{
	size_t len = strlen(to);

	if (text && len + strlen(text) < size)
		memcpy(to + len, text, strlen(text) + 1);
}

/* Red and magenta are legible on white and on black. */
static void make_styles(struct term *t, bool colour)
{
	const char *setaf = terminfo__string("setaf");
	char red[32] = "", magenta[32] = "";

	if (colour && setaf && terminfo__number("colors") >= 8) {
		snprintf(red, sizeof(red), "%s", terminfo__with(setaf, 1, 0));
		snprintf(magenta, sizeof(magenta), "%s", terminfo__with(setaf, 5, 0));
	}
	for (int i = 0; i < 2 * STYLE_SELECTED; i++) {
		int style = i & ~STYLE_SELECTED;
		char *to = t->styles[i];
		size_t size = sizeof(t->styles[i]);

		add_text(to, size, t->sgr0);
		if ((i & STYLE_SELECTED) || style == STYLE_HEAD)
			add_text(to, size, t->rev);
		if (style == STYLE_DIM && !(i & STYLE_SELECTED))
			add_text(to, size, t->dim);
		if (style == STYLE_STRONG || style == STYLE_CRITICAL)
			add_text(to, size, t->bold);
		if (style == STYLE_WARNING)
			add_text(to, size, *magenta ? magenta : t->under);
		if (style == STYLE_CRITICAL)
			add_text(to, size, *red ? red : t->under);
	}
}

/* In the process that waits for the end of this one. */
static _Noreturn void guard(int fd, const struct termios *raw)
{
	static const int ignored[] = { SIGINT,	SIGTERM, SIGHUP,  SIGQUIT,
				       SIGTSTP, SIGTTOU, SIGTTIN, SIGPIPE };
	struct termios now;
	char word = 0;
	bool started = false;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	close(STDERR_FILENO);
	while (read(fd, &word, 1) == 1)
		started = word == '1';
	/* Whoever has made it something else has it now. */
	if (started && !tcgetattr(STDIN_FILENO, &now) && now.c_lflag == raw->c_lflag &&
	    now.c_iflag == raw->c_iflag) {
		restore.active = 1;
		restore_now();
	}
	_exit(0);
}

static bool start_guard(struct term *t)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return false;
	t->guard_pid = fork();
	if (!t->guard_pid) {
		if (!geteuid() &&
		    (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
			_exit(1);
		if (fds[0] != 3)
			dup2(fds[0], 3);
		syscall(SYS_close_range, 4, ~0U, 0);
		guard(3, &t->raw);
	}
	close(fds[0]);
	t->guard = fds[1];
	return t->guard_pid > 0;
}

static void tell_guard(const struct term *t, char word)
{
	(void)!write(t->guard, &word, 1);
}

static const char *setup(struct term *t, const struct term_options *opts)
{
	const char *name = getenv("TERM"), *no_colour = getenv("NO_COLOR");

	if (!name || !*name)
		return "TERM is not set";
	if (!terminfo__open(name, STDOUT_FILENO))
		return "there is no terminfo entry for TERM";
	t->cup = terminfo__string("cup");
	t->clear = terminfo__string("clear");
	if (!t->cup || !t->clear)
		return "the terminal can't move its cursor";
	t->sgr0 = terminfo__string("sgr0");
	t->rev = terminfo__string("rev");
	t->bold = terminfo__string("bold");
	t->dim = terminfo__string("dim");
	t->under = terminfo__string("smul");
	t->mouse = !opts->no_mouse && terminfo__string("kmous");
	t->ascii = !is_utf8();
	t->blocks = !t->ascii && strncmp(name, "linux", 5) != 0;
	make_styles(t, !opts->no_colour && !(no_colour && *no_colour));
	return NULL;
}

struct term *term__open(const struct term_options *opts, char *why, size_t size)
{
	struct term *t = calloc(1, sizeof(*t));
	const char *wrong;

	if (!t) {
		snprintf(why, size, "there is not enough memory");
		return NULL;
	}
	t->guard = -1;
	wrong = !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
				tcgetattr(STDIN_FILENO, &t->saved) ?
			"standard input and output are not a terminal" :
			setup(t, opts);
	if (wrong) {
		snprintf(why, size, "%s", wrong);
		free(t);
		return NULL;
	}
	t->raw = t->saved;
	/* Ctrl-C and Ctrl-Z stay signals: they are for all processes of the program. */
	t->raw.c_lflag &= ~(ICANON | ECHO | IEXTEN);
	t->raw.c_iflag &= ~(IXON | ICRNL | INLCR);
	t->raw.c_cc[VMIN] = 0;
	t->raw.c_cc[VTIME] = 0;
	restore.saved = t->saved;
	restore.len = 0;
	if (t->mouse)
		add_restore("\033[?1006l\033[?1000l");
	add_restore(t->sgr0);
	add_restore(terminfo__string("cnorm"));
	add_restore(terminfo__string("rmkx"));
	add_restore(terminfo__string("rmcup") ?: t->clear);
	if (!start_guard(t)) {
		snprintf(why, size, "no process can be started: %s", strerror(errno));
		term__close(t);
		return NULL;
	}
	return t;
}

void term__close(struct term *t)
{
	if (!t)
		return;
	term__stop(t);
	if (t->guard >= 0)
		close(t->guard);
	if (t->guard_pid > 0)
		waitpid(t->guard_pid, NULL, 0);
	terminfo__close();
	canvas__free(&t->shown);
	buf__free(&t->out);
	free(t);
}

static bool send(struct term *t)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
	size_t done = 0;

	while (done < t->out.len) {
		ssize_t len = write(STDOUT_FILENO, t->out.data + done, t->out.len - done);

		if (len > 0)
			done += len;
		else if (errno == EAGAIN && poll(&out, 1, WRITE_MS) > 0)
			continue;
		else if (errno != EINTR)
			return !(t->gone = true);
	}
	buf__reset(&t->out);
	return true;
}

static void add(struct term *t, const char *text)
{
	buf__puts(&t->out, text ?: "");
}

bool term__start(struct term *t)
{
	struct sigaction action = { .sa_handler = on_crash,
				    .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };

	if (t->started)
		return true;
	for (size_t i = 0; i < sizeof(crashes) / sizeof(*crashes); i++)
		sigaction(crashes[i], &action, NULL);
	tell_guard(t, '1');
	restore.active = 1;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t->raw)) {
		restore.active = 0;
		return false;
	}
	t->started = true;
	add(t, terminfo__string("smcup"));
	add(t, terminfo__string("smkx"));
	add(t, terminfo__string("civis"));
	add(t, t->clear);
	if (t->mouse)
		add(t, "\033[?1000h\033[?1006h");
	term__forget(t);
	return send(t);
}

void term__stop(struct term *t)
{
	if (!t->started)
		return;
	t->started = false;
	restore_now();
	tell_guard(t, '0');
	for (size_t i = 0; i < sizeof(crashes) / sizeof(*crashes); i++)
		signal(crashes[i], SIG_DFL);
}

bool term__is_ascii(const struct term *t)
{
	return t->ascii;
}

bool term__has_blocks(const struct term *t)
{
	return t->blocks;
}

void term__size(const struct term *t, int *rows, int *cols)
{
	struct winsize size;

	(void)t;
	*rows = 24;
	*cols = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return;
	if (size.ws_row)
		*rows = size.ws_row;
	if (size.ws_col)
		*cols = size.ws_col;
}

void term__forget(struct term *t)
{
	t->is_shown = false;
}

static bool same(const struct glyph *a, const struct glyph *b)
{
	return a->style == b->style && !strcmp(a->text, b->text);
}

static void draw_row(struct term *t, const struct canvas *c, int row)
{
	int first = 0, last = c->cols - 1, style = -1;

	if (t->is_shown) {
		while (first <= last &&
		       same(canvas__at(c, row, first), canvas__at(&t->shown, row, first)))
			first++;
		while (last >= first &&
		       same(canvas__at(c, row, last), canvas__at(&t->shown, row, last)))
			last--;
		/* A wide one is drawn as a whole: the one that was there, too. */
		while (first > 0 && first <= last &&
		       (!*canvas__at(c, row, first)->text ||
			!*canvas__at(&t->shown, row, first)->text))
			first--;
	}
	/* The last place of all would scroll some terminals. */
	if (row == c->rows - 1 && last == c->cols - 1)
		last--;
	if (first > last)
		return;
	add(t, terminfo__with(t->cup, row, first));
	for (int col = first; col <= last; col++) {
		const struct glyph *glyph = canvas__at(c, row, col);

		if (glyph->style != style) {
			style = glyph->style;
			add(t, t->styles[style]);
		}
		add(t, glyph->text);
	}
	add(t, t->sgr0);
}

bool term__draw(struct term *t, const struct canvas *c)
{
	if (t->gone)
		return false;
	if (t->shown.rows != c->rows || t->shown.cols != c->cols) {
		if (!canvas__resize(&t->shown, c->rows, c->cols))
			return true;
		t->is_shown = false;
	}
	if (!t->is_shown)
		add(t, t->clear);
	for (int row = 0; row < c->rows; row++)
		draw_row(t, c, row);
	memcpy(t->shown.glyphs, c->glyphs, (size_t)c->rows * c->cols * sizeof(*c->glyphs));
	t->is_shown = true;
	return send(t);
}

int term__fd(const struct term *t)
{
	(void)t;
	return STDIN_FILENO;
}

bool term__read(struct term *t)
{
	ssize_t len = read(STDIN_FILENO, t->in + t->nr_in, sizeof(t->in) - t->nr_in);

	if (len < 0)
		return errno == EAGAIN || errno == EINTR;
	t->nr_in += len;
	/* Readable, and nothing there: its other end is closed. */
	return len > 0 || t->nr_in == sizeof(t->in);
}

bool term__key(struct term *t, bool more, struct key *key)
{
	size_t len = key__decode(t->in, t->nr_in, !more, key);

	if (!len)
		return false;
	t->nr_in -= len;
	memmove(t->in, t->in + len, t->nr_in);
	return true;
}

int term__wait_ms(const struct term *t)
{
	return t->nr_in ? ESC_MS : -1;
}
