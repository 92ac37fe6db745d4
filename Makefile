# SPDX-License-Identifier: GPL-2.0-only
# kvm_watcher. The targets are listed by `make help`.

VERSION := 1.0.0
OUTPUT ?= build
PROGRAM ?= kvm_watcher
DEFINES ?=
PREFIX ?= /usr/local
DESTDIR ?=
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
# Ubuntu keeps the real bpftool beside the kernel's tools.
BPFTOOL ?= $(or $(shell command -v bpftool 2>/dev/null),$(wildcard /usr/sbin/bpftool),$(lastword $(wildcard /usr/lib/linux-tools/*/bpftool)),bpftool)
PKG_CONFIG ?= pkg-config
# A line's end, for lists.
define newline


endef
# One file that runs on every kernel and in every test machine. STATIC=0 links dynamically.
STATIC ?= 1
V ?= 0

ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
else
Q :=
say = @:
endif

WARNINGS := -Wall -Wextra -Werror -Wno-missing-field-initializers
CFLAGS ?= -O2 -g
# Nothing of where or when it is built is in what is built: tests/cases/build.sh builds it twice.
RELATIVE := -ffile-prefix-map=$(CURDIR)=.
ALL_CFLAGS = $(CFLAGS) $(RELATIVE) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -DVERSION='"$(VERSION)"' \
	     $(DEFINES) -I$(OUTPUT)/skel $(shell $(PKG_CONFIG) --cflags json-c libbpf libseccomp libzstd zlib libevent_extra libevent_core)
# What a mistake with memory is to run into. FORTIFY wants optimisation, and 3 a compiler that knows sizes at run time.
# The compiler is asked when it is first needed: `make deps bpf` is read before there is one.
FORTIFY = $(eval FORTIFY := $(if $(filter-out -O0,$(filter -O%,$(CFLAGS))),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(or \
	  $(shell echo __has_builtin\(__builtin_dynamic_object_size\) | sed 's/^/\#if /;a 3\n\#endif' | \
		$(CC) -E -P - 2>/dev/null),2)))$(FORTIFY)
HARDEN_CFLAGS = -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection=full $(FORTIFY)
HARDEN_LDFLAGS := $(if $(filter 1,$(STATIC)),-static-pie,-pie) -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,text
LIBS = $(shell $(PKG_CONFIG) $(if $(filter 1,$(STATIC)),--static) --libs libbpf libelf json-c libseccomp libzstd zlib libevent_extra libevent_core tinfo) -lm
# compat/vmlinux.c stands before these functions of libbpf, core/memory.c before json-c's.
WRAP := -Wl,--wrap=btf__load_vmlinux_btf -Wl,--wrap=btf__free \
	-Wl,--wrap=json_object_object_add -Wl,--wrap=json_object_array_add \
	-Wl,--wrap=json_object_array_length -Wl,--wrap=json_object_set_userdata
BPF_CFLAGS = -g -O2 $(RELATIVE) -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 $(DEFINES) $(WARNINGS) -Wno-unused-parameter \
	      -I/usr/include/$(shell gcc -print-multiarch 2>/dev/null)

BPF_SOURCES := $(sort $(wildcard bpf/*.bpf.c monitors/*.bpf.c compat/*.bpf.c))
SOURCES := $(sort $(filter-out %.bpf.c,$(wildcard cli/*.c core/*.c compat/*.c decode/*.c output/*.c monitors/*.c diagnose/*.c top/*.c serve/*.c)))
SKELETONS := $(patsubst %.bpf.c,$(OUTPUT)/skel/%.skel.h,$(notdir $(BPF_SOURCES)))
OBJECTS := $(SOURCES:%.c=$(OUTPUT)/%.o)

# Unit tests: everything but main, with sanitizers.
SANITIZE := -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer
TEST_OBJECTS := $(filter-out $(OUTPUT)/san/cli/main.o,$(SOURCES:%.c=$(OUTPUT)/san/%.o))
UNIT_TESTS := $(patsubst %.c,$(OUTPUT)/%,$(wildcard tests/unit/test_*.c))
GUEST_SOURCES := $(wildcard tests/guest/*.c)

.DELETE_ON_ERROR:
.PHONY: fuzz docs-samples docs-kernels soak completions manual uninstall dist deb rpm test-package compdb watch-test
.PHONY: all bpf deps deps-build deps-ci demo test test-unit test-matrix bench machine install clean help
.PHONY: test-valgrind
.PHONY: format format-check lint lint-files lint-cppcheck lint-shellcheck lint-scan-build scan-build
.SECONDARY:

# `make -j deps demo`: what the packages are for waits until they are installed.
ifneq ($(filter deps deps-build deps-ci,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

all bpf: $(PROGRAM) ## build (bpf is the original's name for it)

help: ## this list
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z -]+):.*## (.*)/\1|\2/' | \
		while IFS='|' read -r t h; do printf '  make %-14s %s\n' "$$t" "$$h"; done

deps-build: ## install what building needs
	@scripts/deps.sh build

deps: ## install what building, testing and the demo need
	@scripts/deps.sh test

deps-ci: ## install that, and what proves a change: make format-check, make lint
	@scripts/deps.sh ci

$(PROGRAM): $(OBJECTS)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HARDEN_LDFLAGS) -o $@ $^ $(LDFLAGS) $(WRAP) $(LIBS)

$(OUTPUT)/%.o: %.c $(SKELETONS)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(HARDEN_CFLAGS) -MMD -MP -c -o $@ $<

$(OUTPUT)/san/%.o: %.c $(SKELETONS)
	$(call say,'CC san',$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -O1 $(SANITIZE) -MMD -MP -c -o $@ $<

define bpf_rule
$(OUTPUT)/bpf/$(notdir $(1:.c=.o)): $(1)
	$$(call say,BPF,$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CLANG) $$(BPF_CFLAGS) -MMD -MP -c -o $$@ $$<
	$$(Q)$$(LLVM_STRIP) -g $$@
endef
$(foreach source,$(BPF_SOURCES),$(eval $(call bpf_rule,$(source))))

$(OUTPUT)/skel/%.skel.h: $(OUTPUT)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q){ echo '/* NOLINTBEGIN */' && $(BPFTOOL) gen skeleton $< name $*_bpf && echo '/* NOLINTEND */'; } > $@

# The page of --format=html.
PAGE := $(OUTPUT)/skel/page.h

$(PAGE): scripts/gen-page.sh $(wildcard output/html/*)
	$(call say,PAGE,$@)
	$(Q)mkdir -p $(@D)
	$(Q)scripts/gen-page.sh output/html > $@

$(OUTPUT)/output/html_page.o $(OUTPUT)/san/output/html_page.o $(OUTPUT)/lint/output/html_page.o: $(PAGE)

# The types that any of the programs names, for compat/picked_types.c.
CORE_TYPES := $(OUTPUT)/skel/core_types.h

$(CORE_TYPES): $(patsubst %.bpf.c,$(OUTPUT)/bpf/%.bpf.o,$(notdir $(BPF_SOURCES)))
	$(call say,TYPES,$@)
	$(Q)mkdir -p $(@D)
	$(Q){ echo 'static const char *const core_types[] = {' && \
		for object in $^; do $(BPFTOOL) btf dump file $$object format raw || exit; done | \
		sed -nE "s/^\[[0-9]+\] (STRUCT|UNION|ENUM|ENUM64|TYPEDEF) '([A-Za-z0-9_]+)'.*/\2/p" | \
		sed 's/\(.\)___.*/\1/' | LC_ALL=C sort -u | sed 's/.*/	"&",/' && echo '};'; } > $@

$(OUTPUT)/compat/picked_types.o $(OUTPUT)/san/compat/picked_types.o $(OUTPUT)/lint/compat/picked_types.o: $(CORE_TYPES)

$(OUTPUT)/tests/unit/test_%: $(OUTPUT)/san/tests/unit/test_%.o $(TEST_OBJECTS)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SANITIZE) -o $@ $^ $(WRAP) $(shell $(PKG_CONFIG) --libs libbpf json-c libseccomp libzstd zlib libevent_extra libevent_core tinfo cmocka) -lelf -lz -lm

# What completions and manual pages are made of: the tables of options.
TABLES := $(OUTPUT)/tables.tsv

$(OUTPUT)/print-tables: $(OUTPUT)/scripts/print-tables.o $(filter-out $(OUTPUT)/cli/main.o,$(OBJECTS))
	$(call say,LINK,$@)
	$(Q)$(CC) $(HARDEN_LDFLAGS) -o $@ $^ $(LDFLAGS) $(WRAP) $(LIBS)

$(TABLES): $(OUTPUT)/print-tables
	$(Q)$< > $@

COMPLETIONS := $(OUTPUT)/completions/kvm_watcher.bash $(OUTPUT)/completions/_kvm_watcher \
	       $(OUTPUT)/completions/kvm_watcher.fish

$(OUTPUT)/completions/%: scripts/gen-completions.sh $(wildcard scripts/completion/*) $(TABLES)
	$(call say,COMPL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)scripts/gen-completions.sh $* < $(TABLES) > $@

completions: $(COMPLETIONS) ## for bash, zsh and fish, from the tables of options: in build/completions

# A page for each command with a word.
MANUAL := $(OUTPUT)/man/made

$(MANUAL): scripts/gen-man.sh scripts/man.awk docs/kvm_watcher.8 $(wildcard docs/man/*) $(TABLES)
	$(call say,MAN,$(@D))
	$(Q)scripts/gen-man.sh $(@D) < $(TABLES)
	$(Q)touch $@

manual: $(MANUAL) ## the manual pages, those of commands from the tables of options: in build/man

# What is fuzzed: tests/fuzz/NAME.c has fuzz_NAME(), tests/fuzz/corpus/NAME/ what it begins with. Unit tests replay that.
FUZZ_TARGETS := recording options process decode events assertion text request config format
FUZZ_TIME ?= 600
FUZZ_WRAP := -Wl,--wrap=vcpus__get_new -Wl,--wrap=vcpus__find_vm -Wl,--wrap=summary__write_vms
FUZZ_FLAGS := -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_SOURCES := tests/fuzz/oracles.c $(FUZZ_TARGETS:%=tests/fuzz/%.c)

$(OUTPUT)/tests/unit/test_fuzz: $(FUZZ_SOURCES:%.c=$(OUTPUT)/san/%.o)
$(OUTPUT)/tests/unit/test_fuzz: WRAP += $(FUZZ_WRAP)

$(OUTPUT)/fuzz/%.o: %.c $(SKELETONS)
	$(call say,'CC fuzz',$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(filter-out -O2,$(ALL_CFLAGS)) -O1 -Wno-error $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(OUTPUT)/fuzz/tests/fuzz/main_%.o: tests/fuzz/main.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(ALL_CFLAGS) -DFUZZED=fuzz_$* $(FUZZ_FLAGS) -c -o $@ $<

$(OUTPUT)/fuzz/compat/picked_types.o: $(CORE_TYPES)
$(OUTPUT)/fuzz/output/html_page.o: $(PAGE)

$(OUTPUT)/tests/fuzz_%: $(OUTPUT)/fuzz/tests/fuzz/main_%.o $(filter-out $(OUTPUT)/fuzz/cli/main.o,$(SOURCES:%.c=$(OUTPUT)/fuzz/%.o)) $(FUZZ_SOURCES:%.c=$(OUTPUT)/fuzz/%.o)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(WRAP) $(FUZZ_WRAP) $(shell $(PKG_CONFIG) --libs libbpf json-c libseccomp libzstd zlib libevent_extra libevent_core tinfo) -lelf -lz -lm

# What it finds is in build/fuzz/crash-*, and what it learns in build/fuzz/found/NAME.
fuzz: $(FUZZ_TARGETS:%=$(OUTPUT)/tests/fuzz_%) ## look for input that breaks something: each target for FUZZ_TIME seconds (600)
	@for name in $(FUZZ_TARGETS); do \
		mkdir -p $(OUTPUT)/fuzz/found/$$name; \
		echo "fuzz: $$name, $(FUZZ_TIME) s"; \
		$(OUTPUT)/tests/fuzz_$$name -close_fd_mask=3 -artifact_prefix=$(OUTPUT)/fuzz/ -max_len=65536 -max_total_time=$(FUZZ_TIME) \
			-print_final_stats=1 -verbosity=0 $(FUZZ) $(OUTPUT)/fuzz/found/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

# Faults by call site: the whole program with sanitizers and a seam, tests/cases/faults.sh; and in one process, test_faults.
FAULT_WRAP := $(foreach call,malloc calloc realloc reallocarray strdup fopen fdopen fdopendir read write epoll_create1 eventfd \
	      timerfd_create socketpair fork mmap pthread_create open openat syscall \
	      $(addprefix json_object_new_,object array string boolean double int int64 uint64),-Wl,--wrap=$(call))

$(OUTPUT)/tests/faults: $(SOURCES:%.c=$(OUTPUT)/san/%.o) $(OUTPUT)/san/tests/faults/seam.o
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SANITIZE) -o $@ $^ $(WRAP) $(FAULT_WRAP) $(shell $(PKG_CONFIG) --libs json-c libseccomp libzstd zlib libevent_extra libevent_core tinfo) -l:libbpf.a -lelf -lz -lm

$(OUTPUT)/tests/unit/test_faults: $(OUTPUT)/san/tests/faults/seam.o
$(OUTPUT)/tests/unit/test_faults: WRAP += $(FAULT_WRAP)

# Unit tests without sanitizers, for valgrind, which sees what is used before it has a value.
# Not those that load programs, whose maps valgrind does not know as memory; nor the faults, which ask LeakSanitizer.
NOT_IN_VALGRIND := again driver faults kernel monitors two_runs
VALGRIND_TESTS := $(patsubst tests/unit/%.c,$(OUTPUT)/valgrind/%,\
	$(filter-out $(NOT_IN_VALGRIND:%=tests/unit/test_%.c),$(wildcard tests/unit/test_*.c)))
VALGRIND := IN_VALGRIND=1 valgrind --quiet --suppressions=tests/unit/valgrind.supp --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite

$(OUTPUT)/valgrind/test_%: $(OUTPUT)/tests/unit/test_%.o $(filter-out $(OUTPUT)/cli/main.o,$(OBJECTS))
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $^ $(WRAP) $(VALGRIND_WRAP) $(shell $(PKG_CONFIG) --libs libbpf json-c libseccomp libzstd zlib libevent_extra libevent_core tinfo cmocka) -lelf -lz -lm

$(OUTPUT)/valgrind/test_fuzz: $(FUZZ_SOURCES:%.c=$(OUTPUT)/%.o)
$(OUTPUT)/valgrind/test_fuzz: VALGRIND_WRAP = $(FUZZ_WRAP)

# Two at a time, as run.sh has its machines; what failed is shown.
test-valgrind: $(VALGRIND_TESTS) ## unit tests in valgrind
	@printf '%s\n' $(VALGRIND_TESTS) | xargs -P 2 -I TEST sh -c \
		'$(VALGRIND) TEST >TEST.log 2>&1 && echo "valgrind passed TEST" || { cat TEST.log; echo "valgrind FAILED TEST"; exit 1; }'

$(OUTPUT)/tests/kvm_guest: $(GUEST_SOURCES) $(wildcard tests/guest/*.h)
	$(call say,GUEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static $(CFLAGS) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -o $@ $(GUEST_SOURCES) -lpthread

# How large recordings become: see docs/cost.md.
$(OUTPUT)/tests/recording: $(OUTPUT)/tests/bench/recording.o $(filter-out $(OUTPUT)/cli/main.o,$(OBJECTS))
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HARDEN_LDFLAGS) -o $@ $^ $(LDFLAGS) $(WRAP) $(LIBS)

# What top takes with many VMs, and how long a key waits: see docs/cost.md.
$(OUTPUT)/tests/top: $(OUTPUT)/tests/bench/top.o $(filter-out $(OUTPUT)/cli/main.o,$(OBJECTS))
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HARDEN_LDFLAGS) -o $@ $^ $(LDFLAGS) $(WRAP) $(LIBS)

# What a scrape of kvm_watcher serve costs: see docs/cost.md.
$(OUTPUT)/tests/metrics: $(OUTPUT)/tests/bench/metrics.o $(filter-out $(OUTPUT)/cli/main.o,$(OBJECTS))
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HARDEN_LDFLAGS) -o $@ $^ $(LDFLAGS) $(WRAP) $(LIBS)

# Runs inside the Linux guest.
$(OUTPUT)/tests/guest_writer: tests/machine/guest-writer.c
	$(call say,GUEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static $(CFLAGS) -std=gnu11 $(WARNINGS) -o $@ $<

# Runs a program with some capabilities.
$(OUTPUT)/tests/with_caps: tests/machine/with-caps.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static $(CFLAGS) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -o $@ $<

# A terminal that keys and screens of top are tested in.
$(OUTPUT)/tests/terminal: tests/terminal/terminal.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static $(CFLAGS) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -o $@ $<

# The program with an attacker in the unprivileged process: tests/cases/privileges.sh.
$(OUTPUT)/tests/compromised: $(OUTPUT)/tests/machine/compromised.o $(OBJECTS)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HARDEN_LDFLAGS) -o $@ $^ $(LDFLAGS) $(WRAP) -Wl,--wrap=loop__watch $(LIBS)

# What a monitor costs at least: tests/bench.
$(OUTPUT)/bench/empty.bpf.o: tests/bench/empty.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(OUTPUT)/bench/empty.skel.h: $(OUTPUT)/bench/empty.bpf.o
	$(Q){ echo '/* NOLINTBEGIN */' && $(BPFTOOL) gen skeleton $< name empty_bpf && echo '/* NOLINTEND */'; } > $@

$(OUTPUT)/tests/empty_programs: tests/bench/empty.c $(OUTPUT)/bench/empty.skel.h
	$(call say,CC,$@)
	$(Q)$(CC) -static $(CFLAGS) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -I$(OUTPUT)/bench -o $@ $< \
		$(shell $(PKG_CONFIG) --static --cflags --libs libbpf)

$(OUTPUT)/tests/host_events: tests/bench/host_events.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static $(CFLAGS) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -o $@ $<

# Functions of the BPF programs by themselves, with BPF_PROG_TEST_RUN: tests/cases/bpf_functions.sh.
BPF_TESTS := $(patsubst tests/bpf/%.bpf.c,$(OUTPUT)/tests/bpf/%.skel.h,$(wildcard tests/bpf/*.bpf.c))

$(OUTPUT)/tests/bpf/%.bpf.o: tests/bpf/%.bpf.c $(wildcard bpf/*.h compat/*.h monitors/*.bpf.c monitors/*.h)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(OUTPUT)/tests/bpf/%.skel.h: $(OUTPUT)/tests/bpf/%.bpf.o
	$(Q){ echo '/* NOLINTBEGIN */' && $(BPFTOOL) gen skeleton $< name $*_bpf && echo '/* NOLINTEND */'; } > $@

$(OUTPUT)/tests/bpf_functions: tests/bpf/functions.c $(BPF_TESTS)
	$(call say,CC,$@)
	$(Q)$(CC) -static $(CFLAGS) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -I$(OUTPUT)/tests/bpf -o $@ $< \
		$(shell $(PKG_CONFIG) --static --cflags --libs libbpf)

# All vCPUs have one place in the tables by address: what two of them do to each other there happens all the time.
$(OUTPUT)/tests/one_place: $(OBJECTS)
	$(Q)$(MAKE) --no-print-directory OUTPUT=$(OUTPUT)/one_place PROGRAM=$@ DEFINES=-DSLOT_CACHE_BITS=0 $@

# The cases call jq; gojq is the same language and starts ten times faster.
$(OUTPUT)/tests/jq:
	$(Q)mkdir -p $(@D)
	$(Q)ln -sf "$$(command -v gojq || command -v jq)" $@

TESTED := kvm_watcher $(UNIT_TESTS) $(OUTPUT)/tests/kvm_guest $(OUTPUT)/tests/guest_writer $(OUTPUT)/tests/jq \
	  $(OUTPUT)/tests/one_place $(OUTPUT)/tests/bpf_functions $(OUTPUT)/tests/with_caps completions manual \
	  $(OUTPUT)/tests/compromised $(OUTPUT)/tests/faults $(OUTPUT)/tests/terminal $(OUTPUT)/tests/metrics

# make test KERNEL=/path/vmlinuz MODULES=/path: the machine tests on a kernel of your own; KERNEL=DIR: on each in it.
OWN_KERNEL := $(if $(KERNEL),$(if $(MODULES),--kernel=$(KERNEL) --modules=$(MODULES)))
OWN_KERNELS := $(patsubst %/.,%,$(wildcard $(KERNEL:%=%/.)))
QUICK := unit native 6.1-svm 6.1-vmx
# run.sh begins with those that take longest: two run at a time.
MATRIX := 7.2-vmx 6.12-vmx 6.1-vmx 5.10-vmx 7.2-svm 6.12-svm 6.1-svm 5.10-svm

test: $(TESTED) ## minutes: unit tests, this host, one SVM and one VMX machine
	@tests/run.sh $(if $(OWN_KERNELS),--kernels=$(OWN_KERNELS) --grid,$(OWN_KERNEL)) --quick --jobs=2 $(if $(OWN_KERNELS),,$(QUICK))

test-unit: $(UNIT_TESTS) ## unit tests alone
	@tests/run.sh unit

test-matrix: $(TESTED) ## everything on all eight machines
	@tests/run.sh --jobs=2 --grid unit native $(MATRIX)

SOAK_TIME ?= 3600
soak: kvm_watcher $(OUTPUT)/tests/kvm_guest $(OUTPUT)/tests/jq $(OUTPUT)/tests/unit/test_again ## SOAK_TIME seconds (3600) of VMs that come and go; then all monitors are attached and detached 1,000 times
	@PATH=$(CURDIR):$(CURDIR)/$(OUTPUT)/tests:$$PATH tests/soak.sh $(SOAK_TIME)
	@AGAIN_ROUNDS=70 $(OUTPUT)/tests/unit/test_again

bench: kvm_watcher $(OUTPUT)/tests/kvm_guest $(OUTPUT)/tests/empty_programs $(OUTPUT)/tests/host_events ## what watching costs: docs/cost.md; KERNEL=7.2, BENCH=--quick
	@tests/bench/bench $(BENCH) $(addsuffix -vmx,$(KERNEL))

machine: kvm_watcher $(OUTPUT)/tests/kvm_guest ## a shell in a test machine: KERNEL=6.12 CPU=vmx
	@tests/machine/machine shell $(or $(KERNEL),6.1)-$(or $(CPU),svm)

docs-samples: kvm_watcher $(OUTPUT)/tests/kvm_guest ## make the samples in the documents again: minutes, in test machines
	@scripts/docs-samples.sh $(PAGES)
	@scripts/screen-svg.sh

docs-kernels: kvm_watcher $(OUTPUT)/tests/jq ## the table of docs/kernels.md again, from the packages of distributions: KERNELS=debian-13 tries one
	@scripts/kernels.sh $(KERNELS)

demo: kvm_watcher completions manual $(OUTPUT)/tests/guest_writer ## all monitors beside a live QEMU/Linux guest, here or in a test machine: DEMO=-e YES=1
	@tests/demo.sh

# Where things go below DESTDIR.
BIN_DIR = $(DESTDIR)$(PREFIX)/sbin
SHARE_DIR = $(DESTDIR)$(PREFIX)/share
MAN_DIR = $(SHARE_DIR)/man/man8
BASH_COMPLETION = $(SHARE_DIR)/bash-completion/completions/kvm_watcher
ZSH_COMPLETION = $(SHARE_DIR)/zsh/site-functions/_kvm_watcher
FISH_COMPLETION = $(SHARE_DIR)/fish/vendor_completions.d/kvm_watcher.fish
# Rules, boards and units for who runs it: contrib/.
CONTRIB_DIR = $(SHARE_DIR)/kvm_watcher

install: kvm_watcher completions manual ## DESTDIR= PREFIX=/usr/local
	install -D -m 0755 kvm_watcher '$(BIN_DIR)/kvm_watcher'
	install -d '$(MAN_DIR)'
	install -m 0644 $(OUTPUT)/man/*.8 '$(MAN_DIR)'
	install -D -m 0644 $(OUTPUT)/completions/kvm_watcher.bash '$(BASH_COMPLETION)'
	install -D -m 0644 $(OUTPUT)/completions/_kvm_watcher '$(ZSH_COMPLETION)'
	install -D -m 0644 $(OUTPUT)/completions/kvm_watcher.fish '$(FISH_COMPLETION)'
	for file in $$(cd contrib && find . -type f); do \
		install -D -m 0644 "contrib/$$file" '$(CONTRIB_DIR)'/"$$file" || exit; done
	sed -i 's|/usr/local/sbin|$(PREFIX)/sbin|' '$(CONTRIB_DIR)/systemd/kvm_watcher.service'

uninstall: ## remove what make install has installed, with the same DESTDIR= and PREFIX=
	rm -f '$(BIN_DIR)/kvm_watcher' '$(MAN_DIR)/kvm_watcher.8' '$(MAN_DIR)'/kvm_watcher-*.8
	rm -f '$(BASH_COMPLETION)' '$(ZSH_COMPLETION)' '$(FISH_COMPLETION)'
	rm -rf '$(CONTRIB_DIR)'

# The program for hosts without a compiler: the same bytes from the same sources. tests/cases/build.sh makes it twice.
# Without git, the date of the newest release in the changelog.
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),$(shell date -u +%s \
	-d "$$(sed -n 's/^\#\# .*\] - \([0-9-]*\)$$/\1/p' CHANGELOG.md | head -n 1)"))
DIST := kvm_watcher-$(VERSION)-x86_64

dist: kvm_watcher completions manual ## a tarball with the program, manual, completions and documents: in build/dist
	@test '$(STATIC)' = 1 || { echo 'make dist: the program has to run everywhere; leave STATIC=0 out' >&2; exit 1; }
	$(call say,DIST,$(OUTPUT)/dist/$(DIST).tar.gz)
	$(Q)scripts/dist.sh '$(OUTPUT)' '$(DIST)' '$(SOURCE_DATE_EPOCH)'

deb: ## a Debian package: in build/deb
	@scripts/deb.sh '$(OUTPUT)/deb' '$(VERSION)' '$(SOURCE_DATE_EPOCH)'

rpm: ## an RPM package: in build/rpm; RPM=--nodeps where packages have other names
	@scripts/rpm.sh '$(OUTPUT)/rpm' '$(VERSION)' '$(SOURCE_DATE_EPOCH)' $(RPM)

test-package: ## the packages: what their checkers say; the Debian package installed, run and purged; PACKAGE=--clean
	@tests/package.sh $(PACKAGE)

# Generated lists are as their generator writes them.
GENERATED = $(shell grep -lE '^/\* (Written by|.*gen-names)' decode/*.h)
FORMATTED = $(filter-out $(GENERATED),$(shell git ls-files '*.c' '*.h'))

format: ## the kernel's style for all C files, by .clang-format
	@clang-format -i $(FORMATTED)

format-check: ## fails when a C file is not in that style
	@clang-format --dry-run --Werror $(FORMATTED)
	@awk '{ line = $$0 } \
		{ while (at = index(line, "\t")) line = substr(line, 1, at - 1) sprintf("%*s", 8 - (at - 1) % 8, "") substr(line, at + 1) } \
		length(line) > 100 { print FILENAME ":" FNR ": " length(line) " columns"; bad = 1 } \
		END { exit bad }' $(FORMATTED)

# What a linter finds is mended, or suppressed where it is, with the reason.
# gcc's -fanalyzer and clang-tidy look at each file; a file is looked at again when it has changed.
# User space only: clang compiles the BPF programs, and they have no libc that a linter knows.
LINTED = $(filter-out %.bpf.c,$(shell git ls-files '*.c'))
SCRIPTS = $(shell git ls-files '*.sh') $(filter-out %.zsh,$(shell git grep -lE '^(#!.*sh|# shellcheck shell=)' -- ':!*.sh'))
LINT_CFLAGS = $(ALL_CFLAGS) -I$(OUTPUT)/bench -I$(OUTPUT)/tests/bpf

# gcc 12 loses a pointer that an array of pointers holds; clang-tidy and LeakSanitizer look for leaks as well.
# What it says of the unit tests is wrong: it does not know that an assertion of cmocka does not return.
ANALYZER = $(if $(filter tests/unit/%,$<),,-fanalyzer -Wno-analyzer-malloc-leak)

# It is compiled once for each target.
$(OUTPUT)/lint/tests/fuzz/main.o: DEFINES += -DFUZZED=fuzz_text

$(OUTPUT)/lint/%.o: %.c $(SKELETONS) $(OUTPUT)/bench/empty.skel.h $(BPF_TESTS) .clang-tidy tests/unit/.clang-tidy
	$(call say,LINT,$<)
	$(Q)mkdir -p $(@D)
	$(Q)gcc $(LINT_CFLAGS) -O1 $(ANALYZER) -MMD -MP -c -o $@ $<
	$(Q)clang-tidy --quiet $< -- $(LINT_CFLAGS) 2>$@.log || { cat $@.log >&2; exit 1; }

# readdirCalled: glibc's readdir() may be used by threads that do not share a stream; readdir_r() is obsolete.
# arithOperationsOnVoidPointer: GNU C defines it.
# nullPointerRedundantCheck in unit tests: it does not know that an assertion of cmocka does not return.
lint-cppcheck:
	$(call say,LINT,cppcheck)
	$(Q)cppcheck --quiet -j$$(nproc) --std=c11 --library=posix,gnu --library=scripts/cppcheck.xml \
		--enable=warning,portability,performance --inline-suppr --error-exitcode=1 --template=gcc \
		-D_GNU_SOURCE '-DVERSION=""' --suppress=readdirCalled \
		--suppress=arithOperationsOnVoidPointer --suppress='nullPointerRedundantCheck:tests/unit/*' $(LINTED)

lint-shellcheck:
	$(call say,LINT,shellcheck)
	$(Q)shellcheck -x -P SCRIPTDIR $(SCRIPTS)

# Why scan-build does not look at the files as well.
lint-scan-build:
	$(call say,LINT,scan-build)
	$(Q)scripts/lint-scan-build.sh

lint-files: lint-shellcheck lint-cppcheck lint-scan-build $(LINT_OBJECTS)

lint: ## clang-tidy, cppcheck, shellcheck and gcc's analyzer have nothing to say
	@missing=; for tool in clang-tidy scan-build cppcheck shellcheck; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
		[ -z "$$missing" ] || { echo "lint: there is no$$missing (make deps-ci installs it)" >&2; exit 1; }
	@$(MAKE) --no-print-directory -k -j$$(nproc) lint-files LINT_OBJECTS='$(LINTED:%.c=$(OUTPUT)/lint/%.o)'

# clang-tidy looks for the same in each file, but keeps what it finds in headers to itself. Of skeletons, which bpftool
# writes, it does not know that libbpf frees what they hand over.
scan-build: $(SKELETONS) $(PAGE) $(CORE_TYPES) ## clang's analyzer over the whole program; minutes
	$(Q)rm -rf $(OUTPUT)/scan/*
	$(Q)mkdir -p $(OUTPUT)/scan
	$(Q)cp -pr $(OUTPUT)/skel $(OUTPUT)/bpf $(OUTPUT)/scan
	$(Q)scan-build -o $(OUTPUT)/scan/report $(MAKE) --no-print-directory -j$$(nproc) OUTPUT=$(OUTPUT)/scan \
		PROGRAM=$(OUTPUT)/scan/kvm_watcher $(OUTPUT)/scan/kvm_watcher >$(OUTPUT)/scan/log 2>&1 || \
		{ cat $(OUTPUT)/scan/log >&2; exit 1; }
	$(Q)! grep 'warning: .*\[' $(OUTPUT)/scan/log | grep -v '^$(OUTPUT)/scan/skel/' >&2

# How each file is compiled, for clangd. What is generated is made first, so that nothing is missing in it.
COMPDB_C = $(SOURCES) $(sort $(wildcard tests/unit/*.c)) scripts/print-tables.c tests/bench/recording.c $(sort $(wildcard tests/fuzz/*.c))

compdb: $(SKELETONS) $(PAGE) $(CORE_TYPES) ## compile_commands.json for clangd
	$(file >$(OUTPUT)/commands,$(foreach f,$(COMPDB_C),$f	$(CC) $(ALL_CFLAGS)$(newline)))
	$(file >>$(OUTPUT)/commands,$(foreach f,$(BPF_SOURCES) $(sort $(wildcard tests/bpf/*.bpf.c)),$f	$(CLANG) $(BPF_CFLAGS)$(newline)))
	$(Q)sed 's/^ *//; /^$$/d' $(OUTPUT)/commands | scripts/compdb.sh > compile_commands.json

watch-test: ## unit tests again whenever a source is saved: UNIT=test_times for one of them
	@scripts/watch-test.sh $(UNIT)

clean: ## remove what was built
	$(Q)rm -rf $(OUTPUT) kvm_watcher

-include $(shell find $(OUTPUT) -name '*.d' 2>/dev/null)

# `make deps test` on a bare machine: deps is finished before anything else starts.
ifneq ($(filter deps deps-build deps-ci,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif
