// SPDX-License-Identifier: GPL-2.0-only
/* Text from outside, as it is neutralised, measured and cut. */
#include <stdlib.h>
#include <string.h>

#include "../../output/text.h"
#include "fuzz.h"

int fuzz_text(const uint8_t *data, size_t size)
{
	char *text = fuzz_text_of(data, size);
	size_t len, prefix;
	char was;

	if (!text)
		return 0;
	len = text__neutralise(text, size);
	if (len > size)
		abort();
	check_line(text, len);
	/* Once is enough. */
	if (text__neutralise(text, len) != len)
		abort();
	text[len] = '\0';
	for (int columns = 0; columns < 20; columns++) {
		prefix = text__prefix(text, columns);
		if (prefix > strlen(text) || text__cut(text, len, prefix) != prefix)
			abort();
		was = text[prefix];
		text[prefix] = '\0';
		if (text__width(text) > columns)
			abort();
		text[prefix] = was;
	}
	free(text);
	return 0;
}
