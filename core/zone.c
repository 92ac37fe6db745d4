// SPDX-License-Identifier: GPL-2.0-only
#include "zone.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A file of tzfile(5) since version 2 ends with "\nRULE\n". False: it has no rule. */
static bool read_rule(const char *path, char zone[ZONE_LEN])
{
	FILE *f = fopen(path, "re");
	char end[ZONE_LEN + 1] = "";
	char *rule;
	size_t len = 0;

	if (!f)
		return false;
	if (!fseek(f, -(long)(sizeof(end) - 1), SEEK_END) || !fseek(f, 0, SEEK_SET))
		len = fread(end, 1, sizeof(end) - 1, f);
	fclose(f);
	if (!len || end[len - 1] != '\n')
		return false;
	end[len - 1] = '\0';
	rule = memrchr(end, '\n', len - 1);
	if (!rule || !rule[1])
		return false;
	snprintf(zone, ZONE_LEN, "%s", rule + 1);
	return true;
}

void zone__read(char zone[ZONE_LEN])
{
	const char *tz = getenv("TZ");
	char path[512];
	bool is_rule;

	snprintf(path, sizeof(path), "/etc/localtime");
	if (tz) {
		tz += *tz == ':';
		snprintf(path, sizeof(path), "%s%s", *tz == '/' ? "" : "/usr/share/zoneinfo/", tz);
	}
	if (read_rule(path, zone))
		return;
	/* What is no file's name is a rule, or nothing. */
	is_rule = tz && *tz && (strchr(tz, ',') || !strchr(tz, '/'));
	snprintf(zone, ZONE_LEN, "%s", is_rule ? tz : "UTC0");
}

void zone__set(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}
