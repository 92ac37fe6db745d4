// SPDX-License-Identifier: GPL-2.0-only
#include "confidential.h"

#include <stddef.h>

#include "../compat/confidential.h"

const char *confidential__name(uint32_t found, bool is_svm)
{
	uint32_t type = found >> CONFIDENTIAL_TYPE_SHIFT;

	/* Each has what the one before it has. */
	if (type == KVM_TYPE_TDX)
		return "tdx";
	if (type == KVM_TYPE_SNP || (is_svm && found & CONFIDENTIAL_SEV_SNP))
		return "sev-snp";
	if (type == KVM_TYPE_SEV_ES || (is_svm && found & CONFIDENTIAL_SEV_ES))
		return "sev-es";
	if (type == KVM_TYPE_SEV || (is_svm && found & CONFIDENTIAL_SEV))
		return "sev";
	return NULL;
}
