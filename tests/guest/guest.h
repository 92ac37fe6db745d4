/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvm_guest: guests of a few dozen bytes that do exactly N of one thing, so
 * that what a monitor reports can be compared with what really happened.
 */
#ifndef KVM_GUEST_H
#define KVM_GUEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <linux/kvm.h>

/* Every ioctl of the generator is counted, for whoever watches them: tally.c. */
#define ioctl(...) tally__ioctl(__VA_ARGS__)
int tally__ioctl(int fd, unsigned long cmd, ...);
/* What this process called since the last report, a line for each command. */
void tally__report(void);

enum { EXIT_AS_EXPECTED = 0, EXIT_GUEST_FAILED = 1, EXIT_BAD_USAGE = 2 };

enum mode { MODE_LONG, MODE_REAL };

/* How the dirty log is read: KVM_GET_DIRTY_LOG, with KVM_CLEAR_DIRTY_LOG, the rings; or never. */
enum log_kind { LOG_BITMAP, LOG_CLEAR, LOG_RING, LOG_NONE };

/* What the main thread does: all, or nothing and ends, or nothing, with other descriptors. */
enum main_thread { MAIN_RUNS, MAIN_EXITS, MAIN_UNSHARED };

/* What another thread does to the process while vCPU 0 runs, when all else is done. */
enum amid { AMID_NOTHING, AMID_EXIT, AMID_EXEC, AMID_FORK };

/* What a thread of the VMM does beside the vCPUs: --helper. */
enum helper_kind {
	HELPER_LINE,
	HELPER_LINES,
	HELPER_MSI,
	HELPER_IRQFD,
	HELPER_ROUTES,
	HELPER_KICK,
	HELPER_VHOST
};

enum { MAX_HELPERS = 4 };

struct helper_use {
	enum helper_kind what;
	uint32_t us; /* between two; 0: no pause */
	uint32_t arg;
	int cpu; /* -1: anywhere */
	bool rt; /* before all that is not SCHED_FIFO */
};

struct helper {
	struct vm *vm;
	const struct helper_use *use;
	pthread_t thread;
	int event_fd; /* of HELPER_IRQFD */
};

enum {
	MAX_OPS = 64,
	MAX_VMS = 256,
	MAX_VCPUS = 64,
	PAGE = 4096,
	PORT_END = 0xf4,   /* out: this vCPU is done */
	PORT_SLEEP = 0xf5, /* out of 4 bytes: sleep that many ms */
	PORT_LOG = 0xf6,   /* out: read the dirty log */
	PORT_IRQ = 0xf7,   /* out of 4 bytes: raise that interrupt */
	PORT_TAKE = 0xf8,  /* out of 4 bytes: take the vCPU's page that way */
	PORT_STATE = 0xf9, /* out of 4 bytes: 0: keep the vCPU's state, 1: set it back to that */
};

/*
 * Guest-physical memory. RAM holds the page tables and then two pages per
 * vCPU, code and data; the pages of touch=N are a slot of their own.
 */
enum {
	GPA_PML4 = 0x1000,
	GPA_PDPT = 0x2000,
	GPA_PD = 0x3000,      /* four: 0..4 GiB */
	GPA_TABLES = 0x7000,  /* further tables, for an MMIO address above */
	GPA_HANDLER = 0xe000, /* of interrupts; the segments behind it */
	GPA_GDT = GPA_HANDLER + 0x800,
	GPA_IDT = 0xf000,
	GPA_VCPUS = 0x10000,
	VCPU_AREA = 2 * PAGE,
	GPA_NESTED = GPA_VCPUS + MAX_VCPUS * VCPU_AREA, /* nested.c: of each vCPU */
	NESTED_AREA = 3 * PAGE,
	RAM_SIZE = GPA_NESTED + MAX_VCPUS * NESTED_AREA,
	GPA_TOUCH = 0x40000000,
	PREFETCH = 8,		   /* PTE_PREFETCH_NUM of arch/x86/kvm/mmu/mmu.c */
	MAX_TOUCH_PAGES = 0x80000, /* 2 GiB */
	MAX_LOG_PAGES = 0x10000,   /* 256 MiB */
	LOG_ROUNDS = 40,	   /* what fits into a page of code */
	LOG_RING_BYTES = 1 << 20,
	MAX_TIMES = 1 << 20, /* of one vCPU */
	MAX_SLOTS = 1 << 15,
	TAKEN_PAGES = MAX_VCPUS,
	LOG_SLOT = 2, /* with dirty logging on */
};

#define GPA_LOG 0xc0000000ULL	 /* the slot with dirty logging on */
#define GPA_TIMES 0xe0000000ULL	 /* the slot for the times of each turn, 32 bits each */
#define GPA_TAKEN 0xe8000000ULL	 /* the slot that is taken away, a page of each vCPU */
#define GPA_SLOTS 0x100000000ULL /* further slots of a page each */
#define GPA_MMIO 0xd0000000ULL	 /* no memory, no device: user space */

/* What ends a KVM_RUN: KVM_EXIT_*, and a return with EINTR. */
enum { USER_EXIT_INTR = 62, USER_EXIT_NONE = 63, NR_USER_EXITS = 64 };

/* In a vCPU's data page: the counter of HLTs, and when to end each, in us. */
enum { HLT_COUNT_AT = 0, HLT_DELAY_AT = 4, HLT_IPI_AT = 8 };
/* There too: interrupts that the guest took. */
enum { IRQ_COUNT_AT = 12, IRQ_READY_AT = 16, IRQ_RUNS_AT = 20, MAX_IOAPIC_VCPUS = 8 };

/* The instruction whose emulation fails. */
enum { UNEMULATED_0 = 0xd9, UNEMULATED_1 = 0x07, UNEMULATED_LEN = 2 };

/* The local APIC of each vCPU, and the I/O APIC. */
enum {
	APIC_EOI = 0xfee000b0,
	APIC_SPURIOUS = 0xfee000f0,
	APIC_ICR = 0xfee00300,
	APIC_ICR2 = 0xfee00310,
	APIC_LVTT = 0xfee00320,
	APIC_TMICT = 0xfee00380,
	APIC_TDCR = 0xfee003e0,
	APIC_REMOTE_READ = 3 << 8,
	APIC_ASSERT = 1 << 14,
	IOAPIC_SELECT = 0xfec00000,
	IOAPIC_WINDOW = 0xfec00010,
};

/* How GSIs are routed in VMs of OP_IRQS: 16 pins of the PICs, then those of the I/O APIC. */
enum { ROUTE_IOAPIC = 16 };

struct code;
struct vcpu;
struct op_use;

enum op_flags {
	OP_IRQCHIP = 1 << 0,	/* needs the in-kernel interrupt controllers */
	OP_NO_IRQCHIP = 1 << 1, /* must not have them */
	OP_WAKER = 1 << 2,	/* needs the thread that ends HLTs */
	OP_TOUCH = 1 << 3,	/* each count is a page of the touch slot */
	OP_USER = 1 << 4,	/* done by user space before the guest's first instruction */
	OP_MSEC = 1 << 5,	/* the count is milliseconds, the op happens once */
	OP_GPA = 1 << 6,	/* the argument is a guest-physical address */
	OP_HYPERV = 1 << 7,	/* the guest is one of Hyper-V: so are all its hypercalls */
	OP_XEN = 1 << 8,	/* the guest is one of Xen: so are all its hypercalls */
	OP_LONG = 1 << 9,	/* long mode only */
	OP_IOCTLS = 1 << 10,	/* ioctls of the vCPU's thread, before the guest runs */
	OP_LOG = 1 << 11,	/* each count is a page of the logged slot, the argument rounds */
	OP_PAIRS = 1 << 12,	/* needs an even number of vCPUs */
	OP_IRQS = 1 << 13,	/* routes interrupts pin by pin */
	OP_TAKES = 1 << 14,	/* takes interrupts */
	OP_TSC_TIMER = 1 << 15, /* the guest's CPUID has the TSC-deadline timer */
	OP_SLOW = 1 << 16,	/* the touch slot's pages come from user space, after a while */
	OP_TAKEN = 1 << 17,	/* needs the slot whose pages are taken away */
	OP_UFFD_WP = 1 << 18,	/* a userfaultfd may write-protect them */
	OP_USER_MSR = 1 << 19,	/* the argument is an MSR that user space is asked for */
	OP_TWICE = 1 << 20,	/* two exits to user space each */
	OP_RESETS = 1 << 21,	/* user space begins the code anew after each */
	OP_SKIPPED = 1 << 22,	/* user space skips what KVM cannot emulate */
	OP_STUCK = 1 << 23,	/* UD2 is not stepped over */
	OP_ENDLESS = 1 << 24,	/* does not end by itself, or without a helper: it is not probed */
	OP_SAVES = 1 << 25,	/* what follows is done twice ... */
	OP_LOADS = 1 << 26,	/* ... up to this */
};

/* One thing a guest can do. Adding one is a row in ops.c and an emitter. */
struct op {
	const char *name;
	const char *help;
	const char *arg_name; /* NULL: takes no argument */
	uint64_t arg;	      /* default */
	uint64_t max_arg;
	uint64_t max_count;
	unsigned int flags;
	int user_exit; /* what each one makes KVM_RUN return with */
	void (*emit)(struct code *c, struct vcpu *vcpu, const struct op_use *use);
	/* Done by the vCPU's thread before the guest runs. 0 or -1 after a message. */
	int (*call)(struct vcpu *vcpu, const struct op_use *use);
};

extern const struct op ops[];
extern const size_t nr_ops;

const struct op *op__find(const char *name, size_t len);
bool host_is_amd(void);

/* One OP of the command line. */
struct op_use {
	const struct op *op;
	uint64_t count;
	uint64_t arg;
};

struct plan {
	unsigned int nr_vms;
	unsigned int nr_vcpus;
	unsigned int repeat;
	unsigned int pause_ms;
	unsigned int timeout;  /* seconds */
	unsigned int nr_slots; /* besides those that the guest uses */
	unsigned int nr_holders;
	enum main_thread main;
	enum amid amid;
	int halt_poll_us;     /* -1: as the host has it */
	unsigned int late_ms; /* further vCPUs are created one by one, so long after each other */
	unsigned int id_step; /* of vCPUs' ids */
	int cpu;	      /* where all vCPUs' threads are to run; -1: anywhere */
	enum mode mode;
	enum log_kind log;
	bool separate;
	pid_t pid;     /* 0: whatever */
	bool huge;     /* the pages to touch are 2 MiB pages of the host */
	bool thp;      /* they may be, when the guest first needs them */
	bool auto_eoi; /* an interrupt of Hyper-V's that ends by itself: APICv can't be used */
	bool same_thread;
	bool pit;
	bool holes; /* half of the pages of touch are taken away at the end */
	bool ksm;   /* pages of the slot that is taken away are all the same, and may be merged */
	const char *start_on;	 /* a file: vCPUs start when it is there; NULL: at once */
	const char *collapse_on; /* a file: khugepaged may have pages of touch when it is there */
	const char *go_on;	 /* a file: long sleeps end when it is there; NULL: by themselves */
	const char *end_on;	 /* a file: VMs end when it is there; NULL: when they are done */
	bool probe;
	bool time;    /* the guest takes the time of every turn of its loops */
	bool forever; /* the OPs begin anew when they are done */
	bool step;    /* KVM_SET_GUEST_DEBUG: an exit to user space for each instruction */
	bool no_hlt_exits;
	int ioeventfd; /* a port whose 2-byte OUTs KVM handles; -1: none */
	struct helper_use helpers[MAX_HELPERS];
	size_t nr_helpers;
	int helper_cpu; /* of the next one */
	bool helper_rt;
	struct op_use uses[MAX_OPS];
	size_t nr_uses;
};

/* All op_flags of all ops of the plan. */
unsigned int plan__flags(const struct plan *plan);
/*
 * Of one vCPU, in whole windows of PREFETCH pages: KVM maps pages ahead that
 * lie between two mapped ones of a window, and those would not fault.
 */
uint64_t plan__vcpu_touch_pages(const struct plan *plan);
uint64_t plan__touch_pages(const struct plan *plan);
/* Pages of the logged slot: of each vCPU, every round the same. */
uint64_t plan__log_pages(const struct plan *plan);
/* Turns of one vCPU's loops, when they are timed; in whole pages. */
uint64_t plan__times(const struct plan *plan);
/* Sum of the counts of one flag's ops. */
uint64_t plan__count(const struct plan *plan, unsigned int flag);
/* Adds what one vCPU's op list makes KVM_RUN return with. */
void plan__expect(const struct plan *plan, uint64_t expect[NR_USER_EXITS]);

struct vcpu_state;

struct vcpu {
	struct vm *vm;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	struct vcpu_state *state; /* that it may be set back to, NULL: none */
	struct kvm_dirty_gfn *ring;
	uint32_t ring_next;
	pthread_t thread;
	pid_t tid;
	uint64_t touch_gpa;    /* the next fresh page while code is emitted */
	uint64_t after_resets; /* where a guest goes on that was reset as often as it is to be */
	uint64_t resets;       /* that are to come */
	uint64_t user_exits[NR_USER_EXITS];
	uint64_t runs;	       /* KVM_RUNs */
	uint64_t slept_ns;     /* in user space, as PORT_SLEEP asks for */
	uint64_t run_delay_ns; /* the thread's, by the scheduler, from the first to the last */
	bool failed;
};

struct vm {
	const struct plan *plan;
	unsigned int id;
	unsigned int round;
	int kvm_fd;
	int fd;
	size_t run_size;
	uint8_t *ram;
	void *touch;
	size_t touch_size;
	void *log;
	size_t log_size;
	void *times;
	size_t times_size;
	void *taken;
	int taken_fd; /* the userfaultfd for it, or -1 */
	pthread_mutex_t log_lock;
	uint64_t log_reads;
	uint64_t log_pages;	/* dirty pages that all reads found */
	unsigned int nr_tables; /* used of GPA_TABLES */
	struct vcpu vcpus[MAX_VCPUS];
	pthread_t waker;
	bool waking;
	struct helper helpers[MAX_HELPERS];
	size_t nr_helpers; /* that run */
	int event_fd;	   /* of --ioeventfd, or -1 */
	int slow_fd;
	pthread_t pager;
	bool paging;
	uint64_t slow_ns;  /* that pages were made to wait for */
	atomic_bool ended; /* the waker and the pager are to go */
	atomic_bool stop;  /* the watchdog wants the vCPUs out */
	pthread_barrier_t *start;
};

/* vm.c. Functions return 0 or -1 after a message. */
void *vm__alloc(size_t size);
int vm__add_slot(struct vm *vm, uint32_t slot, uint64_t gpa, void *mem, size_t size,
		 uint32_t flags);
int vm__failed(const struct vm *vm, const char *what);
/* KVM's id of it. */
unsigned int vcpu__id(const struct vcpu *vcpu);
int vm__open_vcpu(struct vm *vm, unsigned int id);
int vm__open(struct vm *vm, const struct plan *plan, unsigned int id, unsigned int round);
void vm__close(struct vm *vm);
uint8_t *vm__ram(const struct vm *vm, uint64_t gpa);
uint64_t vcpu__code_gpa(const struct vcpu *vcpu);
uint64_t vcpu__data_gpa(const struct vcpu *vcpu);
uint64_t vcpu__times_gpa(const struct vcpu *vcpu);
uint64_t vcpu__get_msr(const struct vcpu *vcpu, uint32_t index);
uint32_t vcpu__tsc_khz(const struct vcpu *vcpu);

/* state.c: a vCPU is saved, and set back to that, once. */
int state__save(struct vcpu *vcpu);
int state__load(struct vcpu *vcpu);
void state__free(struct vcpu *vcpu);

/* log.c: the slot with dirty logging on. */
int log__setup_vm(struct vm *vm);
int log__setup_vcpu(struct vcpu *vcpu);
int log__read(struct vcpu *vcpu);
void log__close(struct vm *vm);

/* taken.c: the slot that is taken away. */
enum { TAKE_DONTNEED, TAKE_PROTECT, TAKE_PAGEOUT, TAKE_UFFD_WP, TAKE_SLOT };
int taken__setup(struct vm *vm);
int taken__take(struct vcpu *vcpu, uint32_t how);
void taken__close(struct vm *vm);

/* slow.c: the touch slot's pages as user space fills them in. */
int slow__setup(struct vm *vm);
void slow__close(struct vm *vm);

/* helpers.c: --helper. 0 or -1. */
int helpers__start(struct vm *vm);
void helpers__end(struct vm *vm);

/* cpu.c: the registers a guest starts with, and its page tables. */
int cpu__setup(struct vcpu *vcpu);
int cpu__map(struct vm *vm, uint64_t gpa);
void cpu__page_tables(struct vm *vm);

/* run.c: the clock; runs all of a round's VMs and waits for their end. */
int run__vms(struct vm *vms, size_t nr, const struct plan *plan);
int run__all(const struct plan *plan);
uint64_t now_ns(void);
void sleep_us(uint64_t us);

/* probe.c */
int probe(const struct plan *plan);

/* ioctls.c: count rounds of ioctls with known arguments. 0 or -1 after a message. */
int ioctls__call(struct vcpu *vcpu, uint64_t count);
/* An ioctl on the VM for each count, of a number that is nobody's. 0. */
int ioctls__call_each(struct vcpu *vcpu, const struct op_use *use);

/* irqs.c: interrupts raised by user space, and what a guest needs to take some. */
int irqs__route(struct vm *vm);
int irqs__write_routes(struct vm *vm);
/* An eventfd for messages to vCPU 0, or for pulses of a pin; -1: an error. */
int irqs__open_fd(struct vm *vm, uint8_t vector);
int irqs__open_pin(struct vm *vm, uint32_t gsi);
void irqs__tables(struct vm *vm);
int irqs__ask(struct vcpu *vcpu, uint32_t what);
int irqs__lines(struct vcpu *vcpu, const struct op_use *use);
int irqs__msis(struct vcpu *vcpu, const struct op_use *use);
int irqs__irqfd(struct vcpu *vcpu, const struct op_use *use);

/* nested.c: guests of the guest. check: 0, or -1 after a message where there can't be any. */
void nested__emit(struct code *c, struct vcpu *vcpu, const struct op_use *use);
void nested__emit_cpuid(struct code *c, struct vcpu *vcpu, const struct op_use *use);
int nested__check(struct vcpu *vcpu, const struct op_use *use);

/* stats.c: KVM's own counters of one VM as a JSON object, or null. */
void stats__print(FILE *out, const struct vm *vm);

/* report.c */
const char *user_exit__name(unsigned int reason, char *buf, size_t size);
void report__vcpu(const struct vcpu *vcpu);
void report__vm(const struct vm *vm);
void vcpu__error(struct vcpu *vcpu, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
