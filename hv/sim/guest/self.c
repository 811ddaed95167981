// SPDX-License-Identifier: GPL-2.0-only
/*
 * scenario=self: Processor Trace for the guest itself. What CPUID says of it, which
 * writes of its MSRs are refused, and traces of what the guest does, by its own tables.
 * SDM volume 3, "Intel Processor Trace": "Enabling and Configuration MSRs" for the rules.
 */
#include "kernel.h"
#include "self.h"

#define MSR_PERF_GLOBAL_STATUS 0x38e
#define MSR_PERF_GLOBAL_OVF_CTRL 0x390
#define MSR_OUTPUT_BASE 0x560
#define MSR_MASK_PTRS 0x561
#define MSR_CTL 0x570
#define MSR_STATUS 0x571
#define MSR_CR3_MATCH 0x572
#define MSR_ADDR0_A 0x580

#define CTL_TRACE_EN (1ull << 0)
#define CTL_OS (1ull << 2)
#define CTL_USER (1ull << 3)
#define CTL_TOPA (1ull << 8)
#define CTL_TSC_EN (1ull << 10)
#define CTL_DIS_RETC (1ull << 11)
#define CTL_BRANCH_EN (1ull << 13)

#define STATUS_TRIGGER_EN (1ull << 2)
#define STATUS_ERROR (1ull << 4)
#define STATUS_STOPPED (1ull << 5)

#define TOPA_END (1ull << 0)
#define TOPA_INT (1ull << 2)
#define TOPA_STOP (1ull << 4)
#define TOPA_4K (0ull << 6)
#define TOPA_8K (1ull << 6)
#define TOPA_64K (4ull << 6)

#define TICK 1000000 /* while it waits */

#define TOPA_PMI (1ull << 55) /* IA32_PERF_GLOBAL_STATUS */

static struct self_log *const self_log = (void *)(KERNEL_BASE + SELF_BASE);
static const struct path_log *const path_log_header = (void *)(KERNEL_BASE + PATH_BASE);
static uint64_t checked, broken;
static uint64_t pmis, pmis_wrong;
static bool self_is_on;

/* ---- MSRs that may fault ----------------------------------------------------- */

/* False: #GP. By the addresses self_fault() goes on behind the instruction. */
bool msr_write(uint32_t msr, uint64_t value);
bool msr_read(uint32_t msr, uint64_t *ret);
extern uint8_t msr_write_insn[], msr_read_insn[], msr_refused[];

asm(".text\n"
    ".type msr_write, @function\n"
    "msr_write:\n"
    "	mov %edi, %ecx\n"
    "	mov %esi, %eax\n"
    "	mov %rsi, %rdx\n"
    "	shr $32, %rdx\n"
    "msr_write_insn:\n"
    "	wrmsr\n"
    "	mov $1, %eax\n"
    "	ret\n"
    ".size msr_write, . - msr_write\n"
    ".type msr_read, @function\n"
    "msr_read:\n"
    "	mov %edi, %ecx\n"
    "msr_read_insn:\n"
    "	rdmsr\n"
    "	mov %eax, (%rsi)\n"
    "	mov %edx, 4(%rsi)\n"
    "	mov $1, %eax\n"
    "	ret\n"
    "msr_refused:\n"
    "	xor %eax, %eax\n"
    "	ret\n"
    ".size msr_read, . - msr_read\n");

bool self_fault(struct frame *frame)
{
	if (frame->rip != (uint64_t)msr_write_insn &&
	    frame->rip != (uint64_t)msr_read_insn)
		return false;
	frame->rip = (uint64_t)msr_refused;
	return true;
}

static void check(bool holds, const char *rule, uint64_t value)
{
	checked++;
	if (holds)
		return;
	broken++;
	print("self: broken: %s (%x)\n", rule, value);
}

static void refused(uint32_t msr, uint64_t value, const char *rule)
{
	check(!msr_write(msr, value), rule, value);
}

static void becomes(uint32_t msr, uint64_t value, uint64_t want, const char *rule)
{
	uint64_t got = 0;

	check(msr_write(msr, value) && msr_read(msr, &got) && got == want, rule, got);
}

/* ---- What CPUID says --------------------------------------------------------- */

static struct cpuid pt_0, pt_1; /* leaf 14H */

static bool pt_is_there(void)
{
	uint32_t leaves = cpuid(0).eax, features = cpuid(7).ebx;

	pt_0 = cpuid(0x14);
	pt_1 = cpuid_count(0x14, 1);
	print("self: CPUID: %u leaves, 7: EBX %x, 14H: EBX %x ECX %x, EAX %x EBX %x\n",
	      (uint64_t)leaves, (uint64_t)features, (uint64_t)pt_0.ebx,
	      (uint64_t)pt_0.ecx, (uint64_t)pt_1.eax, (uint64_t)pt_1.ebx);
	return leaves >= 0x14 && features & 1u << 25;
}

static uint32_t address_ranges(void)
{
	return pt_0.ebx & 1u << 2 ? pt_1.eax & 7 : 0;
}

static uint64_t physical_limit(void)
{
	return 1ull << (cpuid(0x80000008).eax & 0xff);
}

/* Whether a guest that is not offered PT finds any of it. */
static void self_without(void)
{
	static const uint32_t msrs[] = { MSR_OUTPUT_BASE, MSR_MASK_PTRS, MSR_CTL,
					 MSR_STATUS,      MSR_CR3_MATCH, MSR_ADDR0_A };
	uint64_t value;

	check(!(cpuid(7).ebx & 1u << 25), "CPUID.7:EBX[25]", cpuid(7).ebx);
	check(!pt_0.eax && !pt_0.ebx && !pt_0.ecx, "CPUID.14H", pt_0.ebx);
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		refused(msrs[i], 0, "WRMSR without PT");
		check(!msr_read(msrs[i], &value), "RDMSR without PT", msrs[i]);
	}
	print("self: no PT: %u rules, %u broken\n", checked, broken);
}

/* ---- Which writes are refused ------------------------------------------------ */

/* A field of CTL whose only bit is @bit: whether a bitmap of CPUID has its value. */
static bool encoding_is_there(uint32_t bitmap, uint32_t bit)
{
	return bitmap >> (1u << bit) & 1;
}

/* Whether CTL may have it as its only bit. */
static bool ctl_bit_is_there(uint32_t bit)
{
	switch (bit) {
	case 2 ... 3: /* OS, User */
	case 10 ... 11:
	case 13:
		return true;
	case 1: /* CYCEn */
		return pt_0.ebx & 1u << 1;
	case 4: /* PwrEvtEn */
		return pt_0.ebx & 1u << 5;
	case 5: /* FUPonPTW */
	case 12:
		return pt_0.ebx & 1u << 4;
	case 6: /* FabricEn */
		return pt_0.ecx & 1u << 3;
	case 7: /* CR3Filter */
		return pt_0.ebx & 1u << 0;
	case 8: /* ToPA */
		return pt_0.ecx & 1u << 0;
	case 9: /* MTCEn */
		return pt_0.ebx & 1u << 3;
	case 14 ... 17: /* MTCFreq */
		return pt_0.ebx & 1u << 3 && encoding_is_there(pt_1.eax >> 16, bit - 14);
	case 19 ... 22: /* CycThresh */
		return pt_0.ebx & 1u << 1 &&
		       encoding_is_there(pt_1.ebx & 0xffff, bit - 19);
	case 24 ... 27: /* PSBFreq */
		return pt_0.ebx & 1u << 1 && encoding_is_there(pt_1.ebx >> 16, bit - 24);
	case 32 ... 63: /* ADDRn_CFG: 1 and 2 */
		return (bit - 32) / 4 < address_ranges() && bit % 4 < 2;
	default:
		return false;
	}
}

static void ctl_rules(void)
{
	for (uint32_t bit = 1; bit < 64; bit++) {
		if (ctl_bit_is_there(bit))
			becomes(MSR_CTL, 1ull << bit, 1ull << bit, "a bit of CTL");
		else
			refused(MSR_CTL, 1ull << bit, "a reserved bit of CTL");
	}
	becomes(MSR_CTL, 0, 0, "CTL 0");
	if (address_ranges())
		refused(MSR_CTL, 3ull << 32, "ADDR0_CFG 3");
}

static void filter_rules(void)
{
	uint32_t end = MSR_ADDR0_A + 2 * address_ranges();
	uint64_t value;

	for (uint32_t msr = MSR_ADDR0_A; msr < end; msr++) {
		becomes(msr, KERNEL_BASE + msr, KERNEL_BASE + msr, "an address");
		refused(msr, 1ull << 63, "an address that is not canonical");
		becomes(msr, 0, 0, "address 0");
	}
	refused(end, 0, "one range more");
	check(!msr_read(end, &value), "one range more, read", end);
	if (pt_0.ebx & 1u << 0) {
		refused(MSR_CR3_MATCH, 1ull << 4, "CR3_MATCH 4:0");
		becomes(MSR_CR3_MATCH, 1ull << 5, 1ull << 5, "CR3_MATCH");
		becomes(MSR_CR3_MATCH, 0, 0, "CR3_MATCH 0");
	}
}

static void output_rules(void)
{
	refused(MSR_OUTPUT_BASE, 1ull << 6, "OUTPUT_BASE 6:0");
	refused(MSR_OUTPUT_BASE, physical_limit(), "OUTPUT_BASE from MAXPHYADDR up");
	becomes(MSR_OUTPUT_BASE, physical_limit() / 2, physical_limit() / 2,
		"OUTPUT_BASE");
	becomes(MSR_OUTPUT_BASE, 1ull << 7, 1ull << 7, "OUTPUT_BASE 11:7");
	becomes(MSR_MASK_PTRS, 0, 0x7f, "MASK_PTRS 6:0");
	becomes(MSR_MASK_PTRS, ~0ull, ~0ull, "MASK_PTRS");
	refused(MSR_STATUS, 1ull << 3, "STATUS 3");
	refused(MSR_STATUS, 1ull << 6, "STATUS 6");
	refused(MSR_STATUS, 1ull << 49, "STATUS 49");
	becomes(MSR_STATUS, STATUS_ERROR, STATUS_ERROR, "STATUS.Error");
	becomes(MSR_STATUS, STATUS_STOPPED, STATUS_STOPPED, "STATUS.Stopped");
	becomes(MSR_STATUS, STATUS_TRIGGER_EN, 0, "STATUS 2:0 are not for writing");
	becomes(MSR_PERF_GLOBAL_STATUS, 0, 0, "PERF_GLOBAL_STATUS");
}

/* CTL is @ctl, with TraceEn. */
static void rules_while_on(uint64_t ctl)
{
	uint64_t base = rdmsr(MSR_OUTPUT_BASE);

	refused(MSR_OUTPUT_BASE, base, "OUTPUT_BASE while TraceEn");
	refused(MSR_MASK_PTRS, 0, "MASK_PTRS while TraceEn");
	refused(MSR_STATUS, 0, "STATUS while TraceEn");
	if (pt_0.ebx & 1u << 0)
		refused(MSR_CR3_MATCH, 0, "CR3_MATCH while TraceEn");
	if (address_ranges())
		refused(MSR_ADDR0_A, 0, "ADDR0_A while TraceEn");
	refused(MSR_CTL, ctl ^ CTL_OS, "CTL.OS while TraceEn");
	refused(MSR_CTL, ctl ^ CTL_TSC_EN, "CTL.TSCEn while TraceEn");
	becomes(MSR_CTL, ctl, ctl, "CTL as it is");
	check(rdmsr(MSR_OUTPUT_BASE) == base, "OUTPUT_BASE stays", base);
}

/* ---- Traces ------------------------------------------------------------------ */

/*
 * Tables and regions in no order, which are not found by counting on:
 *
 *	HELD: | 4k |		STOP: | 4k INT STOP |
 *	WAYS: | 4k INT | 4k INT | END -> | 8k | 64k STOP |
 */
enum self_page {
	PAGE_HELD,
	PAGE_STOP,
	PAGE_WAYS_2,
	PAGE_WAYS,
	PAGE_WAYS_8K, /* two */
	PAGE_WAYS_4K_2 = PAGE_WAYS_8K + 2,
	PAGE_WAYS_4K,
	PAGE_HELD_4K,
	PAGE_STOP_4K,
	PAGE_BAD,
	PAGE_WAYS_64K = 16, /* 16 */
};

static uint64_t page_at(enum self_page page)
{
	return SELF_MEMORY + page * (uint64_t)PAGE_SIZE;
}

static void tables_make(void)
{
	uint64_t *held = at_physical(page_at(PAGE_HELD));
	uint64_t *stop = at_physical(page_at(PAGE_STOP));
	uint64_t *ways = at_physical(page_at(PAGE_WAYS));
	uint64_t *ways_2 = at_physical(page_at(PAGE_WAYS_2));

	held[0] = page_at(PAGE_HELD_4K) | TOPA_4K;
	held[1] = page_at(PAGE_HELD) | TOPA_END;
	stop[0] = page_at(PAGE_STOP_4K) | TOPA_4K | TOPA_INT | TOPA_STOP;
	stop[1] = page_at(PAGE_STOP) | TOPA_END;
	ways[0] = page_at(PAGE_WAYS_4K) | TOPA_4K | TOPA_INT;
	ways[1] = page_at(PAGE_WAYS_4K_2) | TOPA_4K | TOPA_INT;
	ways[2] = page_at(PAGE_WAYS_2) | TOPA_END;
	ways_2[0] = page_at(PAGE_WAYS_8K) | TOPA_8K;
	ways_2[1] = page_at(PAGE_WAYS_64K) | TOPA_64K | TOPA_STOP;
	ways_2[2] = page_at(PAGE_WAYS) | TOPA_END;
}

static void trace_on(enum self_page table, uint64_t ctl)
{
	wrmsr(MSR_OUTPUT_BASE, page_at(table));
	wrmsr(MSR_MASK_PTRS, 0);
	wrmsr(MSR_STATUS, 0);
	wrmsr(MSR_CTL, ctl);
}

/* Interrupts are off: what is logged from here on is in the trace. */
static void trace_begin(enum self_trace_id id, enum self_page table, uint64_t ctl)
{
	struct self_trace *trace = &self_log->traces[id];

	pmis = 0;
	pmi_arm();
	trace->table = page_at(table);
	trace->first = path_log_header->count;
	trace_on(table, ctl);
}

static void trace_end(enum self_trace_id id)
{
	struct self_trace *trace = &self_log->traces[id];
	uint64_t status;

	wrmsr(MSR_CTL, 0);
	status = rdmsr(MSR_STATUS) & (STATUS_ERROR | STATUS_STOPPED);
	trace->base = rdmsr(MSR_OUTPUT_BASE);
	trace->pointers = rdmsr(MSR_MASK_PTRS);
	trace->last = path_log_header->count - 1;
	print("self: trace %u: status %x, %u interrupts, entries %u to %u\n",
	      (uint64_t)id, status, pmis, (uint64_t)trace->first, (uint64_t)trace->last);
}

/* It may be in the middle of a print: no word is said here. */
void self_pmi(void)
{
	pmis++;
	pmis_wrong += rdmsr(MSR_PERF_GLOBAL_STATUS) != TOPA_PMI;
	wrmsr(MSR_PERF_GLOBAL_OVF_CTRL, TOPA_PMI);
	pmis_wrong += rdmsr(MSR_PERF_GLOBAL_STATUS) != 0;
	/* SDM volume 3, "Local Vector Table": delivery has masked it. */
	pmis_wrong += pmi_is_armed();
	pmi_arm();
}

/* ---- Steps ------------------------------------------------------------------- */

static void wait_for_go(uint32_t step)
{
	print("self: step %u\n", (uint64_t)step);
	while (__atomic_load_n(&self_log->go, __ATOMIC_ACQUIRE) < step)
		wait_for_interrupt();
}

/* The kernel is not in this trace, which grows by nothing while it waits. */
static void held_trace(void)
{
	uint64_t ctl = CTL_TRACE_EN | CTL_USER | CTL_BRANCH_EN | CTL_TOPA;

	trace_begin(SELF_HELD, PAGE_HELD, ctl);
	rules_while_on(ctl);
	wait_for_go(1);
	check(rdmsr(MSR_CTL) == ctl, "CTL is as it was", rdmsr(MSR_CTL));
	trace_end(SELF_HELD);
}

/* dom0 traces it. */
static void others_trace(void)
{
	uint64_t ctl = CTL_TRACE_EN | CTL_OS | CTL_BRANCH_EN | CTL_TOPA;

	wait_for_go(2);
	check(rdmsr(MSR_CTL) == CTL_TRACE_EN, "CTL while others trace", rdmsr(MSR_CTL));
	refused(MSR_CTL, ctl, "CTL.TraceEn while others trace");
	wait_for_go(3);
	check(!rdmsr(MSR_CTL), "CTL after others traced", rdmsr(MSR_CTL));
}

static void stop_trace(void)
{
	uint64_t status;

	trace_begin(SELF_STOP, PAGE_STOP,
		    CTL_TRACE_EN | CTL_OS | CTL_BRANCH_EN | CTL_TOPA | CTL_TSC_EN);
	for (uint32_t i = 0; i < 1000; i++) {
		path_beacon();
		status = rdmsr(MSR_STATUS);
		if (status & (STATUS_STOPPED | STATUS_ERROR))
			break;
	}
	check((status & (STATUS_STOPPED | STATUS_ERROR | STATUS_TRIGGER_EN)) ==
		      STATUS_STOPPED,
	      "STATUS at a STOP", status);
	check(rdmsr(MSR_CTL) & CTL_TRACE_EN, "TraceEn at a STOP", rdmsr(MSR_CTL));
	check(rdmsr(MSR_MASK_PTRS) == ((uint64_t)PAGE_SIZE << 32 | 0x7f),
	      "MASK_PTRS at a STOP", rdmsr(MSR_MASK_PTRS));
	interrupts_on();
	asm volatile("nop");
	interrupts_off();
	check(pmis == 1, "one interrupt at a STOP", pmis);
	trace_end(SELF_STOP);
}

/* "ToPA Errors"; and a page that is not there, of which only the hypervisor knows. */
static void bad_tables(void)
{
	static const uint64_t entries[] = {
		SELF_MEMORY | 1u << 1,       /* reserved */
		SELF_MEMORY | TOPA_END,      /* in the first entry */
		SELF_MEMORY | TOPA_64K << 1, /* not aligned */
		1u << 30,                    /* nowhere */
	};
	uint64_t *table = at_physical(page_at(PAGE_BAD)), status;

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		table[0] = entries[i];
		trace_on(PAGE_BAD, CTL_TRACE_EN | CTL_OS | CTL_BRANCH_EN | CTL_TOPA);
		path_beacon();
		status = rdmsr(MSR_STATUS);
		wrmsr(MSR_CTL, 0);
		check((status & (STATUS_ERROR | STATUS_STOPPED)) == STATUS_ERROR,
		      "STATUS with a bad table", entries[i]);
	}
}

static void ways_trace(void)
{
	trace_begin(SELF_WAYS, PAGE_WAYS,
		    CTL_TRACE_EN | CTL_OS | CTL_USER | CTL_BRANCH_EN | CTL_TOPA |
			    CTL_DIS_RETC);
	self_is_on = true;
}

void self_start(void)
{
	if (!pt_is_there()) {
		self_without();
		return;
	}
	path_init();
	self_log->magic = SELF_MAGIC;
	process_new(&program_left);
	process_new(&program_right);
	process_new(&program_narrow);
	ctl_rules();
	filter_rules();
	output_rules();
	tables_make();
	timer_start(options.tick ? options.tick : TICK);
	held_trace();
	others_trace();
	stop_trace();
	bad_tables();
	ways_trace();
}

/* All processes have exited. */
void self_end(void)
{
	if (!self_is_on)
		return;
	trace_end(SELF_WAYS);
	check(!pmis_wrong, "what an interrupt finds", pmis_wrong);
	print("self: PT: %u rules, %u broken\n", checked, broken);
}
