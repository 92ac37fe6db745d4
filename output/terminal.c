// SPDX-License-Identifier: GPL-2.0-only
#include <sys/ioctl.h>
#include <unistd.h>

#include "output.h"

/* Columns of the terminal on stdout; 0 when it is none. */
static int terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return 80;
	return size.ws_col;
}

struct output *output__to_stdout(enum format format, int width)
{
	struct output *out = output__new(format, stdout, terminal_width());

	if (out && width)
		output__set_width(out, width);
	return out;
}
