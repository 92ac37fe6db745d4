// SPDX-License-Identifier: GPL-2.0-only
#include "negotiate.h"

#include <string.h>
#include <strings.h>

/* "0.75" in thousandths; what is none is 0. */
static int number(const char *at)
{
	int value = *at == '1' ? 1000 : 0;

	if ((*at != '0' && *at != '1') || at[1] != '.')
		return value;
	at += 2;
	for (int scale = 100; scale && *at >= '0' && *at <= '9'; scale /= 10)
		value += (*at++ - '0') * scale;
	return value > 1000 ? 1000 : value;
}

/* Of an element whose name is behind us. */
static int quality(const char *at)
{
	for (;;) {
		at += strcspn(at, ";,");
		if (*at != ';')
			return 1000;
		at++;
		at += strspn(at, " \t");
		if (!strncasecmp(at, "q=", 2))
			return number(at + 2);
	}
}

/* How much a list likes a name; no less than before. */
static void hear(int *liking, const char *list, const char *name)
{
	while (*list) {
		size_t len;

		list += strspn(list, ", \t");
		len = strcspn(list, ";, \t");
		if (len == strlen(name) && !strncasecmp(list, name, len)) {
			int q = quality(list + len);

			*liking = q > *liking ? q : *liking;
		}
		list += strcspn(list, ",");
	}
}

void wishes__hear(struct wishes *w, const char *header, const char *value)
{
	if (!strcasecmp(header, "accept")) {
		hear(&w->openmetrics, value, "application/openmetrics-text");
		hear(&w->classic, value, "text/plain");
		hear(&w->classic, value, "text/*");
	} else if (!strcasecmp(header, "accept-encoding")) {
		hear(&w->gzip, value, "gzip");
	}
}

bool wishes__openmetrics(const struct wishes *w)
{
	return w->openmetrics && w->openmetrics >= w->classic;
}
