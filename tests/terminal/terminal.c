// SPDX-License-Identifier: GPL-2.0-only
/*
 * A terminal for tests: runs a command in it, and does what lines on stdin say, one by one.
 *
 *	terminal [--rows=24] [--cols=80] COMMAND ARGUMENT...
 *
 *	keys TEXT	sends it; \e, \r, \t and \xHH are what they are in C
 *	until S TEXT	waits until TEXT is on the screen: "ok until TEXT", or "not ok ..."
 *	gone S TEXT	the same, until it is not
 *	answers MS TEXT	sends TEXT up to a space; the rest is on the screen within MS
 *	sleep MS
 *	screen FILE	writes what is on it
 *	size ROWS COLS	it is another one from now on
 *	signal NR	to the command
 *	kill NR		the same, and waits for its end
 *	ends S		waits for its end: "ok ends STATUS", 128 + NR after a signal
 *	restored	it reads keys as before, and shows what it showed before
 *	hangs_up	the terminal is gone
 *	run COMMAND	by the shell, with the command's pid in $CHILD; reads what comes meanwhile
 *
 * Knows what terminfo has for xterm, vt220, screen and linux, as far as kvm_watcher uses it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 512, TEXT = 4096 };

static char cells[MOST][MOST][8]; /* UTF-8; "" right of a wide one */
static int rows = 24, cols = 80, row, col;
static bool alternate, hidden, failed;
static int pty = -1;
static pid_t child;
static int status = -1;
static struct termios before;
static unsigned char sequence[64], character[8];
static size_t nr_sequence, nr_character;
static bool in_sequence;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void clear(void)
{
	for (int r = 0; r < MOST; r++)
		for (int c = 0; c < MOST; c++)
			strcpy(cells[r][c], " ");
}

static void end_sequence(unsigned char final)
{
	int a = 0, b = 0;

	sequence[nr_sequence] = '\0';
	if (final == 'H') {
		if (sscanf((char *)sequence, "%d;%d", &a, &b) < 1)
			a = b = 1;
		row = a ? a - 1 : 0;
		col = b ? b - 1 : 0;
	} else if (final == 'J') {
		clear();
	} else if (final == 'h' || final == 'l') {
		if (strstr((char *)sequence, "?1049"))
			alternate = final == 'h';
		if (!strcmp((char *)sequence, "?25") || !strncmp((char *)sequence, "?25;", 4) ||
		    strstr((char *)sequence, ";25"))
			hidden = final == 'l';
	}
}

/* What is as wide as two: enough for the names that tests have. */
static bool is_wide(const unsigned char *text)
{
	unsigned int cp = nr_character == 3 ?
				  (text[0] & 0xf) << 12 | (text[1] & 0x3f) << 6 | (text[2] & 0x3f) :
				  0;

	return (cp >= 0x2e80 && cp <= 0xa4cf) || (cp >= 0xac00 && cp <= 0xd7a3) ||
	       nr_character == 4;
}

static void put(void)
{
	if (row < MOST && col < MOST && row >= 0 && col >= 0) {
		memcpy(cells[row][col], character, nr_character);
		cells[row][col][nr_character] = '\0';
	}
	col++;
	if (is_wide(character) && row < MOST && col < MOST)
		cells[row][col++][0] = '\0';
	nr_character = 0;
}

static void take(unsigned char byte)
{
	if (in_sequence) {
		if (nr_sequence == 0 && byte == '[') {
			nr_sequence = 1;
			sequence[0] = '[';
		} else if (nr_sequence == 0 && (byte == '(' || byte == ')')) {
			nr_sequence = 1;
			sequence[0] = '(';
		} else if (nr_sequence == 0 || sequence[0] == '(') {
			in_sequence = false;
		} else if (byte >= 0x40 && byte <= 0x7e) {
			memmove(sequence, sequence + 1, --nr_sequence);
			end_sequence(byte);
			in_sequence = false;
		} else if (nr_sequence < sizeof(sequence) - 1) {
			sequence[nr_sequence++] = byte;
		}
		return;
	}
	if (byte == 0x1b) {
		in_sequence = true;
		nr_sequence = 0;
	} else if (byte == '\r') {
		col = 0;
	} else if (byte == '\n') {
		row++;
	} else if (byte >= ' ') {
		size_t need;

		if (nr_character < sizeof(character) - 1)
			character[nr_character++] = byte;
		need = character[0] < 0x80 ? 1 :
		       character[0] < 0xe0 ? 2 :
		       character[0] < 0xf0 ? 3 :
					     4;
		if (nr_character >= need)
			put();
	} else if (byte && byte != 0x0f && byte != 0x0e) {
		printf("not ok a control character reached the terminal: %#x\n", byte);
		failed = true;
	}
}

/* Reads what comes within so many ms; false: nothing did. */
static bool listen(int ms)
{
	struct pollfd in = { .fd = pty, .events = POLLIN };
	unsigned char data[TEXT];
	ssize_t len;

	if (pty < 0) {
		usleep(ms * 1000);
		return false;
	}
	if (poll(&in, 1, ms) <= 0)
		return false;
	len = read(pty, data, sizeof(data));
	if (len <= 0) {
		usleep(1000);
		return false;
	}
	for (ssize_t i = 0; i < len; i++)
		take(data[i]);
	return true;
}

static bool is_shown(const char *text)
{
	static char line[MOST * 8];

	for (int r = 0; r < rows; r++) {
		line[0] = '\0';
		for (int c = 0, at = 0; c < cols; c++)
			at += sprintf(line + at, "%s", cells[r][c]);
		if (strstr(line, text))
			return true;
	}
	return false;
}

static bool has_ended(void)
{
	int word;

	if (status < 0 && waitpid(child, &word, WNOHANG) == child)
		status = WIFEXITED(word) ? WEXITSTATUS(word) : 128 + WTERMSIG(word);
	return status >= 0;
}

static void tell(bool ok, const char *what, const char *text)
{
	printf("%s %s %s\n", ok ? "ok" : "not ok", what, text);
	failed |= !ok;
	fflush(stdout);
}

static bool wait_for(double seconds, const char *text, bool shown)
{
	uint64_t end = now_ms() + seconds * 1000;

	while (is_shown(text) != shown && now_ms() < end)
		if (!listen(5) && has_ended())
			break;
	return is_shown(text) == shown;
}

static void send_keys(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned int byte = (unsigned char)text[i];

		if (text[i] == '\\' && i + 1 < len) {
			i++;
			byte = text[i] == 'e' ? 0x1b :
			       text[i] == 'r' ? '\r' :
			       text[i] == 't' ? '\t' :
						text[i];
			if (text[i] == 'x' && sscanf(text + i + 1, "%2x", &byte) == 1)
				i += 2;
		}
		if (pty >= 0 && write(pty, &(char){ byte }, 1) != 1)
			return;
	}
}

static void write_screen(const char *path)
{
	FILE *file = fopen(path, "we");

	for (int r = 0; file && r < rows; r++) {
		int last = cols;

		while (last && !strcmp(cells[r][last - 1], " "))
			last--;
		for (int c = 0; c < last; c++)
			fputs(cells[r][c], file);
		fputc('\n', file);
	}
	if (!file || fclose(file))
		tell(false, "screen", path);
}

static void set_size(int new_rows, int new_cols)
{
	const struct winsize size = { .ws_row = new_rows, .ws_col = new_cols };

	rows = new_rows < MOST ? new_rows : MOST;
	cols = new_cols < MOST ? new_cols : MOST;
	ioctl(pty, TIOCSWINSZ, &size);
}

static void end_of(double seconds)
{
	uint64_t end = now_ms() + seconds * 1000;
	char text[32];

	while (!has_ended() && now_ms() < end)
		listen(5);
	while (listen(20))
		;
	snprintf(text, sizeof(text), "%d", status);
	tell(status >= 0, "ends", text);
}

/* The process that restores it may come after the one that was killed. */
static void restored(void)
{
	uint64_t end = now_ms() + 3000;
	struct termios now = {};
	bool same = false;

	do {
		listen(20);
		tcgetattr(pty, &now);
		same = now.c_lflag == before.c_lflag && now.c_iflag == before.c_iflag &&
		       now.c_oflag == before.c_oflag &&
		       !memcmp(now.c_cc, before.c_cc, sizeof(now.c_cc));
	} while ((!same || alternate || hidden) && now_ms() < end);
	tell(same && !alternate && !hidden, "restored",
	     !same     ? "it reads keys in another way" :
	     alternate ? "it shows another screen" :
	     hidden    ? "it has no cursor" :
			 "");
}

static void answers(const char *text, double ms)
{
	const char *rest = strchr(text, ' ');
	uint64_t begin;
	char took[64];

	if (!rest)
		return;
	while (listen(50))
		;
	begin = now_ms();
	send_keys(text, rest - text);
	wait_for(5, rest + 1, true);
	snprintf(took, sizeof(took), "%s: %d ms", rest + 1, (int)(now_ms() - begin));
	tell(is_shown(rest + 1) && now_ms() - begin <= ms, "answers", took);
}

static void obey(char *line)
{
	char *rest = strchr(line, ' ');
	char *end = NULL;
	double number;

	if (rest)
		*rest++ = '\0';
	else
		rest = line + strlen(line);
	number = strtod(rest, &end);
	if (!end)
		end = rest;
	if (*end == ' ')
		end++;
	if (!strcmp(line, "keys")) {
		send_keys(rest, strlen(rest));
	} else if (!strcmp(line, "until")) {
		tell(wait_for(number, end, true), line, end);
	} else if (!strcmp(line, "gone")) {
		tell(wait_for(number, end, false), line, end);
	} else if (!strcmp(line, "answers")) {
		answers(end, number);
	} else if (!strcmp(line, "sleep")) {
		uint64_t until = now_ms() + number;

		while (now_ms() < until)
			listen(5);
	} else if (!strcmp(line, "screen")) {
		while (listen(30))
			;
		write_screen(rest);
	} else if (!strcmp(line, "size")) {
		set_size(number, atoi(end));
	} else if (!strcmp(line, "signal") || !strcmp(line, "kill")) {
		kill(child, number);
		if (*line == 'k')
			end_of(10);
	} else if (!strcmp(line, "ends")) {
		end_of(number);
	} else if (!strcmp(line, "restored")) {
		restored();
	} else if (!strcmp(line, "run")) {
		/* NOLINTNEXTLINE(cert-env33-c): the script is the test's own. */
		if (system(rest))
			tell(false, "run", rest);
	} else if (!strcmp(line, "hangs_up")) {
		close(pty);
		pty = -1;
	} else {
		tell(false, "there is no command", line);
	}
}

/* Its own session, with this terminal. */
static void run(char **argv)
{
	int tty;

	setsid();
	tty = open(ptsname(pty), O_RDWR);
	if (tty < 0 || ioctl(tty, TIOCSCTTY, 0))
		_exit(126);
	close(pty);
	for (int fd = 0; fd < 3; fd++)
		dup2(tty, fd);
	if (tty > 2)
		close(tty);
	execvp(*argv, argv);
	_exit(127);
}

int main(int argc, char **argv)
{
	char line[TEXT];
	int first = 1;

	for (; first < argc && !strncmp(argv[first], "--", 2); first++)
		if (sscanf(argv[first], "--rows=%d", &rows) != 1 &&
		    sscanf(argv[first], "--cols=%d", &cols) != 1)
			return 2;
	pty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (first == argc || pty < 0 || grantpt(pty) || unlockpt(pty) || tcgetattr(pty, &before))
		return 2;
	signal(SIGPIPE, SIG_IGN);
	clear();
	set_size(rows, cols);
	child = fork();
	if (!child)
		run(argv + first);
	snprintf(line, sizeof(line), "%d", child);
	setenv("CHILD", line, 1);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line && *line != '#')
			obey(line);
	}
	if (!has_ended()) {
		kill(child, SIGTERM);
		end_of(10);
	}
	return failed;
}
