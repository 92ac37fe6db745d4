/* SPDX-License-Identifier: GPL-2.0-only */
/* What a user chose, for the next time: ${XDG_CONFIG_HOME}/kvm_watcher/toprc. */
#ifndef KVM_WATCHER_TOP_SETTINGS_H
#define KVM_WATCHER_TOP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_SORTS = 64, TAB_LEN = 40, COLUMN_LEN = 40, SETTINGS_LEN = 16384 };

struct settings {
	uint64_t interval_ns; /* 0: not said */
	struct sort_setting {
		char tab[TAB_LEN], column[COLUMN_LEN];
		bool inverted;
	} sorts[MAX_SORTS];
	size_t nr_sorts;
	bool changed;
};

/* Lines that are not understood are left out. */
void settings__parse(struct settings *s, const char *text);
/* Returns its length. */
size_t settings__write(const struct settings *s, char *text, size_t size);

const struct sort_setting *settings__sort(const struct settings *s, const char *tab);
void settings__set_sort(struct settings *s, const char *tab, const char *column, bool inverted);

/*
 * With the rights of the user: under sudo those of who called it. Makes the file and its directory
 * if they are not there. A descriptor for settings__save(); -1: it can't be kept: no error.
 */
int settings__load(struct settings *s);
void settings__save(const struct settings *s, int fd);

#endif
