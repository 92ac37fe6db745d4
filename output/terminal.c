// SPDX-License-Identifier: GPL-2.0-only
#include <sys/ioctl.h>
#include <unistd.h>

#include "format.h"

int terminal__width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return 80;
	return size.ws_col;
}

unsigned int output__lines(const struct output *out)
{
	int fd = fileno(out->stream);
	struct winsize size;

	if (!out->ops->more || fd < 0 || ioctl(fd, TIOCGWINSZ, &size))
		return 0;
	return size.ws_row;
}
