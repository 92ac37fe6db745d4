// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/log.h"
#include "model.h"

enum { CHUNK = 1 << 18, ALIGN = 16 };

struct chunk {
	struct chunk *next;
	size_t size, used;
	_Alignas(ALIGN) char data[];
};

struct arena {
	struct chunk *chunks; /* the one in use first */
	struct chunk *spare;
};

struct arena *arena__new(void)
{
	return calloc(1, sizeof(struct arena));
}

static void free_chunks(struct chunk *c)
{
	while (c) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
}

void arena__free(struct arena *a)
{
	if (!a)
		return;
	free_chunks(a->chunks);
	free_chunks(a->spare);
	free(a);
}

void arena__reset(struct arena *a)
{
	while (a->chunks) {
		struct chunk *c = a->chunks;

		a->chunks = c->next;
		if (c->size > CHUNK) {
			free(c);
			continue;
		}
		c->next = a->spare;
		a->spare = c;
	}
}

void *arena__get(struct arena *a, size_t size)
{
	struct chunk *c = a->chunks;
	void *got;

	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	if (!c || c->size - c->used < size) {
		size_t need = size > CHUNK ? size : CHUNK;

		c = need == CHUNK ? a->spare : NULL;
		if (c)
			a->spare = c->next;
		else
			c = malloc(sizeof(*c) + need);
		if (!c) {
			say_failed("there is not enough memory for the screen");
			exit(1);
		}
		c->size = need;
		c->used = 0;
		c->next = a->chunks;
		a->chunks = c;
	}
	got = c->data + c->used;
	c->used += size;
	return memset(got, 0, size);
}

char *arena__printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = arena__get(a, len + 1);
	va_start(args, fmt);
	vsnprintf(text, len + 1, fmt, args);
	va_end(args);
	return text;
}

char *arena__copy(struct arena *a, const char *text)
{
	return arena__printf(a, "%s", text);
}
