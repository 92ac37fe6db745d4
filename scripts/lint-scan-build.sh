#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# scan-build runs clang's analyzer, and so does clang-tidy, which looks at each file in `make lint` anyway. Looking twice
# would find nothing more, as long as this holds: what scan-build is set to look for is what .clang-tidy has clang-tidy
# look for, and both find the same in the same places of a file of mistakes. It takes two seconds.
#
# make scan-build has it look at the whole program all the same.
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

cat >"$work/mistakes.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int null(int *p) { if (!p) return *p; return 0; }
int zero(int n) { int d = n > 3 ? 0 : 0; return n / d; }
int leak(void) { char *p = malloc(10); return p != NULL; }
void twice(char *p) { free(p); free(p); }
char later(char *p) { free(p); return *p; }
int garbage(int n) { int x; if (n) x = 1; return x; }
int operand(int n) { int x; if (n) x = 1; return x + 1; }
int branch(int n) { int x; if (n) x = 1; if (x) return 3; return 0; }
int *escapes(void) { int x = 3; int *p = &x; return p; }
int dead(int n) { int x = n; x = n + 1; x = 3; return n; }
size_t length(void) { char *p = NULL; return strlen(p); }
char *insecure(char *p) { return mktemp(p); }
int length_0(int n) { if (n) return 0; int a[n]; a[0] = 1; return a[0]; }
int stack(void) { char a[3]; free(a); return 0; }
END
fail() { echo "lint: $*" >&2; exit 1; }

# The analyzer is one version's: the compiler that scan-build has by itself is clang-tidy's.
clang=$(scan-build -o "$work" true 2>&1 | sed -n "s/^scan-build: Using '\(.*\)' for static analysis/\1/p")
scan-build --help | sed -n 's/^ + \([a-z][A-Za-z.]*\).*/\1/p' | sort >"$work/of.scan-build"
(cp .clang-tidy "$work"; cd "$work" && clang-tidy --list-checks mistakes.c -- 2>/dev/null) |
	sed -n 's/^ *clang-analyzer-//p' | sort >"$work/of.clang-tidy"
[ -n "$clang" ] || fail "scan-build does not say which clang it has"
[ -s "$work/of.scan-build" ] || fail "scan-build does not list what it looks for"
more=$(comm -23 "$work/of.scan-build" "$work/of.clang-tidy")
[ -z "$more" ] || fail "scan-build looks for what .clang-tidy leaves out: $more"

# found: LINE:COLUMN CHECKER of each finding
found() { sed -n 's/.*mistakes\.c:\([0-9]*:[0-9]*\): \(warning\|error\): .*\[\(clang-analyzer-\)\{0,1\}\([A-Za-z.]*\)[],].*/\1 \4/p' | sort -u; }
cd "$work" || exit 1
"$clang" --analyze --analyzer-output text -o /dev/null mistakes.c 2>&1 | found >scan-build.found
clang-tidy --quiet --checks='-bugprone-*,-cert-*' mistakes.c -- -w 2>/dev/null | found >clang-tidy.found
[ "$(wc -l <scan-build.found)" -ge 14 ] || fail "scan-build's analyzer finds only $(wc -l <scan-build.found) of the mistakes"
diff scan-build.found clang-tidy.found >&2 || fail "scan-build's analyzer (<) and clang-tidy (>) find different mistakes"
