// SPDX-License-Identifier: GPL-2.0-only
#include "terminfo.h"

#include <stddef.h>

#include <curses.h>
#include <term.h>

bool terminfo__open(const char *name, int fd)
{
	int err;

	return setupterm(name, fd, &err) == OK;
}

void terminfo__close(void)
{
	del_curterm(cur_term);
}

const char *terminfo__string(const char *capability)
{
	char *text = tigetstr(capability);

	return text && text != (char *)-1 ? text : NULL;
}

int terminfo__number(const char *capability)
{
	return tigetnum(capability);
}

const char *terminfo__with(const char *string, int a, int b)
{
	return tiparm(string, a, b);
}
