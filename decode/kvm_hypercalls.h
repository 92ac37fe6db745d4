/* SPDX-License-Identifier: GPL-2.0-only */
/* Written by scripts/gen-names.sh from the headers of Linux 7.2. */
{ 1, "VAPIC_POLL_IRQ" },
{ 2, "MMU_OP" },
{ 3, "FEATURES" },
{ 4, "PPC_MAP_MAGIC_PAGE" },
{ 5, "KICK_CPU" },
{ 6, "MIPS_GET_CLOCK_FREQ" },
{ 7, "MIPS_EXIT_VM" },
{ 8, "MIPS_CONSOLE_OUTPUT" },
{ 9, "CLOCK_PAIRING" },
{ 10, "SEND_IPI" },
{ 11, "SCHED_YIELD" },
{ 12, "MAP_GPA_RANGE" },
