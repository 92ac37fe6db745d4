# SPDX-License-Identifier: GPL-2.0-only
# Two minutes of tests/soak.sh, which says what it does. make soak takes an hour.
# shellcheck source=../soak.sh
. "$(dirname "$0")/../soak.sh"
