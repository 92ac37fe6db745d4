/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs guests: the vCPU threads, the thread that ends HLTs, the watchdog. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

enum { WAKER_PERIOD_US = 100, RESCUE_US = 1000000, RESCUE_PERIOD_US = 50000, GRACE_MS = 2000 };

/* The delivery mode of a message that makes a halted vCPU runnable. */
enum { MSI_BASE = 0xfee00000, MSI_WAKE_UP = 3 << 8 };

enum verdict { GO_ON, ENDED, BROKEN };

/* vCPUs of this process that have not ended. */
static atomic_uint running;

void sleep_us(uint64_t us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

enum { LONG_MS = 60000 }; /* sleeps that --go-on ends */

/* A sleep of a vCPU's thread, which the watchdog can end. */
static void vcpu_sleep(struct vcpu *vcpu, uint64_t msec)
{
	struct timespec ts = { .tv_sec = msec / 1000, .tv_nsec = msec % 1000 * 1000000 };
	const char *go_on = vcpu->vm->plan->go_on;

	for (; go_on && msec >= LONG_MS && !atomic_load(&vcpu->vm->stop); msec -= 10) {
		if (!access(go_on, F_OK))
			return;
		sleep_us(10000);
	}
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR && !atomic_load(&vcpu->vm->stop))
		;
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static uint32_t *hlt_counter(struct vm *vm, unsigned int vcpu)
{
	return (uint32_t *)vm__ram(vm, vcpu__data_gpa(&vm->vcpus[vcpu]));
}

static void signal_wake_up(struct vm *vm, unsigned int vcpu)
{
	struct kvm_msi msi = { .address_lo = MSI_BASE | vcpu << 12, .data = MSI_WAKE_UP };

	if (ioctl(vm->fd, KVM_SIGNAL_MSI, &msi) < 0)
		perror("kvm_guest: KVM_SIGNAL_MSI");
}

/*
 * Emulated CPUs have been seen to take an interrupt between STI and HLT, and
 * then nothing ends the HLT. A guest without progress for a second is woken.
 */
static void rescue(struct vm *vm, unsigned int vcpu, uint32_t *seen, uint64_t *since)
{
	uint32_t count =
		__atomic_load_n(hlt_counter(vm, vcpu) + IRQ_COUNT_AT / 4, __ATOMIC_ACQUIRE);

	if (count != *seen || !*since)
		*since = now_ns();
	*seen = count;
	if (now_ns() - *since < RESCUE_US * 1000ULL)
		return;
	*since = now_ns();
	signal_wake_up(vm, vcpu);
}

/*
 * A guest counts up in memory and then executes HLT. One message for each
 * count ends that HLT. It is not an interrupt: nothing runs in the guest,
 * nothing has to be acknowledged, and one that arrives before the HLT is kept
 * for it. The count has to be seen twice, so that the guest really halts.
 */
static void *waker(void *arg)
{
	uint32_t irqs[MAX_VCPUS] = { 0 };
	uint64_t irq_since[MAX_VCPUS] = { 0 };
	uint32_t seen[MAX_VCPUS] = { 0 }, woken[MAX_VCPUS] = { 0 };
	uint64_t since[MAX_VCPUS] = { 0 };
	struct vm *vm = arg;
	unsigned int i;

	while (!atomic_load(&vm->ended)) {
		for (i = 0; i < vm->plan->nr_vcpus; i++) {
			uint32_t count = __atomic_load_n(hlt_counter(vm, i), __ATOMIC_ACQUIRE);

			if (count != seen[i])
				since[i] = now_ns();
			if (count == seen[i] && count != woken[i] &&
			    now_ns() - since[i] >= hlt_counter(vm, i)[HLT_DELAY_AT / 4] * 1000ULL) {
				woken[i]++;
				signal_wake_up(vm, i);
			}
			seen[i] = count;
			if (plan__flags(vm->plan) & OP_TAKES)
				rescue(vm, i, &irqs[i], &irq_since[i]);
		}
		sleep_us(plan__flags(vm->plan) & OP_WAKER ? WAKER_PERIOD_US : RESCUE_PERIOD_US);
	}
	return NULL;
}

static enum verdict handle_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t msec, what;

	if (run->io.direction == KVM_EXIT_IO_IN) {
		memset(data, 0, (size_t)run->io.size * run->io.count);
		return GO_ON;
	}
	if (run->io.port == PORT_SLEEP) {
		uint64_t since = now_ns();

		memcpy(&msec, data, sizeof(msec));
		vcpu_sleep(vcpu, msec);
		vcpu->slept_ns += now_ns() - since;
	}
	if (run->io.port == PORT_LOG && log__read(vcpu))
		return BROKEN;
	if (run->io.port == PORT_IRQ) {
		memcpy(&what, data, sizeof(what));
		if (irqs__ask(vcpu, what)) {
			vcpu__error(vcpu, "interrupt %u: %s", what, strerror(errno));
			return BROKEN;
		}
	}
	if (run->io.port == PORT_STATE) {
		memcpy(&what, data, sizeof(what));
		if (what ? state__load(vcpu) : state__save(vcpu)) {
			vcpu__error(vcpu, "its state: %s", strerror(errno));
			return BROKEN;
		}
	}
	if (run->io.port == PORT_TAKE) {
		memcpy(&what, data, sizeof(what));
		if (taken__take(vcpu, what)) {
			vcpu__error(vcpu, "taking its page away: %s", strerror(errno));
			return BROKEN;
		}
	}
	return run->io.port == PORT_END ? ENDED : GO_ON;
}

static enum verdict broken(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	char name[32];

	user_exit__name(run->exit_reason, name, sizeof(name));
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		vcpu__error(vcpu, "%s, suberror %u", name, run->internal.suberror);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		vcpu__error(vcpu, "%s, hardware reason 0x%llx", name,
			    (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else if (run->exit_reason == KVM_EXIT_SHUTDOWN)
		vcpu__error(vcpu, "%s: the guest faulted", name);
	else
		vcpu__error(vcpu, "unexpected exit %s", name);
	return BROKEN;
}

/* As after a triple fault: from the start, or, after the last one, from behind it. */
static enum verdict reset(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = {};
	struct kvm_regs regs;

	if (!vcpu->resets)
		return broken(vcpu);
	if (ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0 || cpu__setup(vcpu))
		return BROKEN;
	if (--vcpu->resets)
		return GO_ON;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0)
		return BROKEN;
	regs.rip = vcpu->after_resets;
	return ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0 ? BROKEN : GO_ON;
}

/* KVM has queued #UD for the guest before it gave up, and left RIP where it was. */
static enum verdict skip_unemulated(struct vcpu *vcpu)
{
	static const uint8_t insn[UNEMULATED_LEN] = { UNEMULATED_0, UNEMULATED_1 };
	struct kvm_vcpu_events events;
	struct kvm_regs regs;

	if (!(plan__flags(vcpu->vm->plan) & OP_SKIPPED) ||
	    vcpu->run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
		return broken(vcpu);
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return BROKEN;
	if (regs.rip > RAM_SIZE - sizeof(insn) ||
	    memcmp(vm__ram(vcpu->vm, regs.rip), insn, sizeof(insn)) != 0)
		return broken(vcpu);
	memset(&events.exception, 0, sizeof(events.exception));
	events.flags = 0;
	regs.rip += sizeof(insn);
	return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0 ||
			       ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0 ?
		       BROKEN :
		       GO_ON;
}

static enum verdict handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->exit_reason < USER_EXIT_INTR)
		vcpu->user_exits[run->exit_reason]++;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return handle_io(vcpu);
	case KVM_EXIT_MMIO:
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
		return GO_ON;
	case KVM_EXIT_XEN:
		run->xen.u.hcall.result = 0;
		return plan__flags(vcpu->vm->plan) & OP_XEN ? GO_ON : broken(vcpu);
	case KVM_EXIT_X86_RDMSR:
		run->msr.data = 0;
		run->msr.error = 0;
		return plan__flags(vcpu->vm->plan) & OP_USER_MSR ? GO_ON : broken(vcpu);
	case KVM_EXIT_DEBUG:
		return vcpu->vm->plan->step ? GO_ON : broken(vcpu);
	case KVM_EXIT_INTERNAL_ERROR:
		/* A KVM that emulates has this for a triple fault, too. */
		if (!(plan__flags(vcpu->vm->plan) & OP_RESETS))
			return skip_unemulated(vcpu);
		return reset(vcpu);
	case KVM_EXIT_SHUTDOWN:
		return plan__flags(vcpu->vm->plan) & OP_RESETS ? reset(vcpu) : broken(vcpu);
	case KVM_EXIT_HLT:
		return plan__flags(vcpu->vm->plan) & OP_NO_IRQCHIP ? GO_ON : broken(vcpu);
	default:
		return broken(vcpu);
	}
}

static enum verdict run_once(struct vcpu *vcpu)
{
	vcpu->runs++;
	if (ioctl(vcpu->fd, KVM_RUN, 0) >= 0)
		return handle_exit(vcpu);
	if (errno == EAGAIN)
		return GO_ON;
	if (errno == EINTR) {
		if (atomic_load(&vcpu->vm->stop)) {
			vcpu__error(vcpu, "not finished after %u s", vcpu->vm->plan->timeout);
			return BROKEN;
		}
		vcpu->user_exits[USER_EXIT_INTR]++;
		return GO_ON;
	}
	vcpu__error(vcpu, "KVM_RUN: %s", strerror(errno));
	return BROKEN;
}

/* immediate_exit: KVM_RUN returns before the guest executes anything. */
static enum verdict run_interrupted(struct vcpu *vcpu, uint64_t count)
{
	enum verdict verdict = GO_ON;

	vcpu->run->immediate_exit = 1;
	while (count-- && verdict == GO_ON)
		verdict = run_once(vcpu);
	if (!atomic_load(&vcpu->vm->stop))
		vcpu->run->immediate_exit = 0;
	return verdict;
}

/* The scheduler's own count of how long this thread was runnable and not running. */
static uint64_t run_delay(void)
{
	unsigned long long ran, delay = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "re");

	if (f && fscanf(f, "%llu %llu", &ran, &delay) != 2)
		delay = 0;
	if (f)
		fclose(f);
	return delay;
}

static void pin(struct vcpu *vcpu, int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		vcpu__error(vcpu, "not to be had on CPU %d: %s", cpu, strerror(errno));
		vcpu->failed = true;
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	const struct plan *plan = vcpu->vm->plan;
	enum verdict verdict;
	uint64_t delay;

	vcpu->tid = gettid();
	pin(vcpu, plan->cpu);
	pthread_barrier_wait(vcpu->vm->start);
	while (plan->start_on && access(plan->start_on, F_OK) && !atomic_load(&vcpu->vm->stop))
		sleep_us(10000);
	vcpu_sleep(vcpu, plan->pause_ms);
	if (vcpu->fd < 0) {
		vcpu_sleep(vcpu, (uint64_t)plan->late_ms * vcpu->id);
		vcpu->failed = vm__open_vcpu(vcpu->vm, vcpu->id);
	}
	if (vcpu->failed) {
		atomic_fetch_sub(&running, 1);
		return NULL;
	}
	delay = run_delay();
	verdict = ioctls__call(vcpu, plan__count(plan, OP_IOCTLS)) ? BROKEN : GO_ON;
	if (verdict == GO_ON)
		verdict = run_interrupted(vcpu, plan__count(plan, OP_USER));
	for (size_t i = 0; i < plan->nr_uses && verdict == GO_ON; i++)
		if (plan->uses[i].op->call && plan->uses[i].op->call(vcpu, &plan->uses[i]))
			verdict = BROKEN;
	while (verdict == GO_ON)
		verdict = run_once(vcpu);
	vcpu->run_delay_ns = run_delay() - delay;
	if (verdict == BROKEN)
		vcpu->failed = true;
	atomic_fetch_sub(&running, 1);
	/*
	 * A thread that ends gives its stack back. Until 5.12 KVM then has every vCPU of the
	 * process repeat the fault that it is in. Where faults are counted, all end together.
	 */
	while (plan__flags(plan) & OP_TOUCH && atomic_load(&running) &&
	       !atomic_load(&vcpu->vm->stop))
		sleep_us(1000);
	return NULL;
}

static void wake_up(int sig)
{
	(void)sig;
}

static int start_threads(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->plan->nr_vcpus; i++)
		if (pthread_create(&vm->vcpus[i].thread, NULL, vcpu_thread, &vm->vcpus[i]))
			return -1;
	if (plan__flags(vm->plan) & OP_WAKER ||
	    (plan__flags(vm->plan) & OP_TAKES && plan__flags(vm->plan) & OP_IRQCHIP))
		vm->waking = !pthread_create(&vm->waker, NULL, waker, vm);
	return helpers__start(vm);
}

/* Gets a vCPU out of KVM_RUN; if even that fails the process has to end. */
static void stop_vcpu(struct vcpu *vcpu)
{
	int ms;

	atomic_store(&vcpu->vm->stop, true);
	for (ms = 0; ms < GRACE_MS; ms += 10) {
		if (vcpu->run)
			vcpu->run->immediate_exit = 1;
		pthread_kill(vcpu->thread, SIGUSR1);
		sleep_us(10000);
		if (!pthread_tryjoin_np(vcpu->thread, NULL))
			return;
	}
	fprintf(stderr, "kvm_guest: vm %u vcpu %u: stuck inside KVM_RUN\n", vcpu->vm->id, vcpu->id);
	fflush(stdout);
	_exit(EXIT_GUEST_FAILED);
}

static void join_vcpus(struct vm *vm, const struct timespec *deadline)
{
	unsigned int i;

	for (i = 0; i < vm->plan->nr_vcpus; i++)
		if (pthread_timedjoin_np(vm->vcpus[i].thread, NULL, deadline))
			stop_vcpu(&vm->vcpus[i]);
	atomic_store(&vm->ended, true);
	if (vm->waking)
		pthread_join(vm->waker, NULL);
	helpers__end(vm);
}

/* Signals that KVM_RUN reports as EINTR may come from outside: no error. */
static bool as_expected(struct vcpu *vcpu)
{
	uint64_t expect[NR_USER_EXITS] = { 0 };
	bool same;

	if (vcpu->failed)
		return false;
	plan__expect(vcpu->vm->plan, expect);
	same = vcpu->user_exits[USER_EXIT_INTR] >= expect[USER_EXIT_INTR];
	expect[USER_EXIT_INTR] = vcpu->user_exits[USER_EXIT_INTR];
	/* An exit for each instruction: how many there are nobody says. */
	if (vcpu->vm->plan->step)
		expect[KVM_EXIT_DEBUG] = vcpu->user_exits[KVM_EXIT_DEBUG];
	if (same && !memcmp(expect, vcpu->user_exits, sizeof(expect)))
		return true;
	vcpu__error(vcpu, "other exits to user space than expected");
	return false;
}

static int report(struct vm *vm)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < vm->plan->nr_vcpus; i++) {
		report__vcpu(&vm->vcpus[i]);
		if (!as_expected(&vm->vcpus[i]))
			err = -1;
	}
	report__vm(vm);
	return err;
}

/* The one vCPU runs in this thread; no watchdog but SIGALRM, which ends the process. */
static int run_here(struct vm *vm)
{
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, 1);
	vm->start = &start;
	alarm(vm->plan->timeout + (vm->plan->pause_ms + 999) / 1000);
	vcpu_thread(&vm->vcpus[0]);
	alarm(0);
	pthread_barrier_destroy(&start);
	vm->start = NULL;
	return report(vm);
}

/* Of each 6 pages 3: compaction takes steps of up to 32 in its search for free ones. */
static int make_holes(const struct vm *vms, size_t nr)
{
	const size_t hole = 3UL * PAGE;

	for (size_t i = 0; i < nr; i++)
		for (size_t at = 0; at + hole <= vms[i].touch_size; at += 2 * hole)
			if (madvise((char *)vms[i].touch + at, hole, MADV_DONTNEED))
				return vm__failed(&vms[i], "MADV_DONTNEED");
	return 0;
}

/* Asks for 2 MiB pages where there are small ones: khugepaged makes them. */
static int collapse(const struct vm *vms, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (madvise(vms[i].touch, vms[i].touch_size, MADV_HUGEPAGE))
			return vm__failed(&vms[i], "MADV_HUGEPAGE");
	return 0;
}

/* The VMs are open. 0 when every guest did what it was told. */
int run__vms(struct vm *vms, size_t nr, const struct plan *plan)
{
	struct sigaction action = { .sa_handler = wake_up };
	pthread_barrier_t start;
	struct timespec deadline;
	bool collapsed = false;
	int err = 0;
	size_t i;

	sigaction(SIGUSR1, &action, NULL);
	atomic_store(&running, nr * plan->nr_vcpus);
	if (plan->same_thread)
		return run_here(&vms[0]);
	pthread_barrier_init(&start, NULL, nr * plan->nr_vcpus + 1);
	for (i = 0; i < nr; i++) {
		vms[i].start = &start;
		if (start_threads(&vms[i])) {
			fprintf(stderr, "kvm_guest: no thread for a vCPU of vm %u\n", vms[i].id);
			_exit(EXIT_GUEST_FAILED);
		}
	}
	pthread_barrier_wait(&start);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += plan->timeout + (plan->pause_ms + 999) / 1000;
	for (i = 0; i < nr; i++)
		join_vcpus(&vms[i], &deadline);
	if (plan->holes)
		err |= make_holes(vms, nr);
	for (i = 0; i < nr; i++)
		err |= report(&vms[i]);
	fflush(stdout);
	/* Seldom: KVM stops polling for halts of others when this wakes up. */
	for (i = 0; plan->end_on && access(plan->end_on, F_OK) && i < 1200; i++) {
		sleep_us(50000);
		if (collapsed || !plan->collapse_on || access(plan->collapse_on, F_OK))
			continue;
		err |= collapse(vms, nr);
		collapsed = true;
	}
	pthread_barrier_destroy(&start);
	return err;
}

/* Processes that do nothing but hold what is open now, until this one ends. */
static void hold(unsigned int nr)
{
	while (nr--) {
		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

/* The guest has done what shows outside, and spins. */
static void *act_amid(void *arg)
{
	enum { SPINS_US = 20000, OUTLIVES_US = 300000 };
	const struct vm *vm = arg;
	const volatile uint64_t *done = &vm->vcpus[0].user_exits[KVM_EXIT_IO];
	uint64_t expect[NR_USER_EXITS] = {};
	pid_t parent = getpid();

	plan__expect(vm->plan, expect);
	/* All but the one that ends it. */
	while (*done + 1 < expect[KVM_EXIT_IO])
		sleep_us(1000);
	sleep_us(SPINS_US);
	if (vm->plan->amid == AMID_EXIT)
		_exit(EXIT_AS_EXPECTED);
	if (vm->plan->amid == AMID_EXEC)
		execl("/proc/self/exe", "kvm_guest", "out=7", NULL);
	if (!fork()) {
		while (getppid() == parent)
			sleep_us(10000);
		sleep_us(OUTLIVES_US);
		_exit(EXIT_AS_EXPECTED);
	}
	return NULL;
}

/* One process's share of a round: opens nr VMs, says so, and runs them. */
static int run_process(const struct plan *plan, unsigned int first, unsigned int nr,
		       unsigned int round, const int go[2])
{
	struct vm *vms = calloc(nr, sizeof(*vms));
	unsigned int opened = 0;
	int err = vms ? 0 : -1;
	pthread_t amid;
	char byte;

	while (!err && opened < nr) {
		err = vm__open(&vms[opened], plan, first + opened, round);
		opened++;
	}
	/* The other processes' VMs are to be open before any of them runs. */
	if (!err && go) {
		err = write(go[1], "", 1) == 1 ? 0 : -1;
		while (!err && read(go[0], &byte, 1) < 0 && errno == EINTR)
			;
	}
	hold(plan->nr_holders);
	if (!err && plan->amid && pthread_create(&amid, NULL, act_amid, vms))
		err = -1;
	if (!err)
		err = run__vms(vms, nr, plan);
	while (opened)
		vm__close(&vms[--opened]);
	tally__report();
	free(vms);
	return err;
}

static void child(const struct plan *plan, unsigned int vm, unsigned int round, int ready[2],
		  int start[2])
{
	int go[2] = { start[0], ready[1] };
	int err;

	close(ready[0]);
	close(start[1]);
	err = run_process(plan, vm, 1, round, go);
	fflush(stdout);
	_exit(err ? EXIT_GUEST_FAILED : 0);
}

/* ready: one byte of each child, or its end. start: closed when all are. */
static int run_separate(const struct plan *plan, unsigned int round)
{
	int ready[2], start[2], status, err = 0;
	unsigned int i, forked = 0;
	char byte;

	if (pipe(ready) < 0 || pipe(start) < 0) {
		perror("kvm_guest: pipe");
		return -1;
	}
	for (i = 0; i < plan->nr_vms; i++) {
		pid_t pid = fork();

		if (!pid)
			child(plan, i, round, ready, start);
		if (pid < 0)
			perror("kvm_guest: fork");
		err |= pid < 0 ? -1 : 0;
		forked += pid > 0;
	}
	close(ready[1]);
	for (i = 0; i < forked && read(ready[0], &byte, 1) == 1; i++)
		;
	close(start[0]);
	close(start[1]);
	close(ready[0]);
	while (forked--)
		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
			err = -1;
	return err;
}

int run__all(const struct plan *plan)
{
	unsigned int round;
	int err = 0;

	for (round = 0; round < plan->repeat && !err; round++)
		err = plan->separate ? run_separate(plan, round) :
				       run_process(plan, 0, plan->nr_vms, round, NULL);
	return err;
}
