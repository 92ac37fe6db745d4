// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer's way into one of them: the Makefile says into which. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return FUZZED(data, size);
}
