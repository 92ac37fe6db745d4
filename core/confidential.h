/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_CONFIDENTIAL_NAME_H
#define KVM_WATCHER_CONFIDENTIAL_NAME_H

#include <stdbool.h>
#include <stdint.h>

/*
 * "sev", "sev-es", "sev-snp" or "tdx", of what compat/confidential.h tells; is_svm: the VM
 * is kvm_amd's. NULL: the VM hides nothing, or it is not known.
 */
const char *confidential__name(uint32_t found, bool is_svm);

#endif
