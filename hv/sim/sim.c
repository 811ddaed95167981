/* SPDX-License-Identifier: GPL-2.0-only */
/* The domain: made, held, looked at. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/sim/machine.h"
#include "libxenpt/cleanup.h"

#define BOOT_CR0 0x80010023 /* PG, WP, NE, MP, PE: abi.h */
#define BOOT_CR4 0x20       /* PAE */
#define BOOT_EFER 0xd01     /* NXE, LMA, LME, SCE */

#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_LSTAR 0xc0000082

XENPT_DEFINE_CLEANUP(struct sim, sim, sim_destroy)

/* ---- What all parts use ------------------------------------------------ */

/* SplitMix64, of Steele, Lea and Flood. */
uint64_t sim_random(struct sim *sim, uint64_t below)
{
	uint64_t z = sim->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % below;
}

/* What is old goes, in halves. */
void sim_print(struct sim *sim, const char *text, size_t length)
{
	const size_t half = SIM_CONSOLE_SIZE / 2;

	for (size_t i = 0; i < length; i++) {
		if (sim->console_length == SIM_CONSOLE_SIZE - 1) {
			memmove(sim->console, sim->console + half,
				sim->console_length - half);
			sim->console_length -= half;
		}
		sim->console[sim->console_length++] = text[i] ? text[i] : ' ';
		sim->console[sim->console_length] = '\0';
	}
}

void sim_printf(struct sim *sim, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sim_print(sim, text, strlen(text));
}

void sim_set_state(struct sim *sim, enum hv_state state)
{
	if (sim->state != HV_RUNNING)
		return;
	sim->state = state;
	for (uint32_t i = 0; i < sim->vcpu_count; i++) {
		trace_exit(&sim->vcpus[i]);
		truth_end_block(&sim->vcpus[i]);
	}
	truth_flush(sim);
	if (sim->notify)
		sim->notify(sim->notify_arg, HV_EVENT_STATE, 0);
}

/* ---- Life -------------------------------------------------------------- */

static struct xenpt_error *create_memory(struct sim *sim)
{
	const off_t size = (off_t)GUEST_WINDOW_BASE + GUEST_WINDOW_SIZE;
	void *memory;

	sim->fd = memfd_create("xenpt-sim", MFD_CLOEXEC);
	if (sim->fd < 0 || ftruncate(sim->fd, size) < 0)
		return xenpt_error_os(errno, "guest memory");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, sim->fd, 0);
	if (memory == MAP_FAILED)
		return xenpt_error_os(errno, "guest memory");
	sim->memory = (struct engine_memory){
		.ram = memory,
		.ram_size = GUEST_RAM_SIZE,
		.window = (uint8_t *)memory + GUEST_WINDOW_BASE,
		.window_base = GUEST_WINDOW_BASE,
		.window_size = GUEST_WINDOW_SIZE,
	};
	return NULL;
}

static struct xenpt_error *boot(struct sim *sim)
{
	struct vcpu_context start = {
		.mode = VCPU_HVM_MODE_64B,
		.cr0 = BOOT_CR0,
		.cr4 = BOOT_CR4,
		.efer = BOOT_EFER,
		.rflags = 2,
	};
	struct sim_image image;

	XENPT_TRY(sim_load(sim, &image));
	start.rip = image.entry;
	start.rbx = image.start_info;
	start.cr3 = image.cr3;
	cpu_start(&sim->vcpus[0], &start);
	sim->vcpus[0].up = sim->vcpus[0].initialised = true;
	return NULL;
}

struct xenpt_error *sim_create(const struct sim_scenario *scenario, sim_notify_fn *notify,
			       void *arg, struct sim **ret)
{
	_cleanup_(sim_cleanup) struct sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return xenpt_error_no_memory();
	sim->fd = sim->guest_fd = -1;
	if (!scenario->vcpus || scenario->vcpus > SIM_VCPUS_MAX)
		return xenpt_error_create(XENPT_ERROR_INVALID, "%u vCPUs: 1 to %d",
					  scenario->vcpus, SIM_VCPUS_MAX);
	sim->scenario = *scenario;
	sim->notify = notify;
	sim->notify_arg = arg;
	sim->vcpu_count = scenario->vcpus;
	sim->random = scenario->seed;
	XENPT_TRY(create_memory(sim));
	XENPT_TRY(cpu_create(sim));
	XENPT_TRY(boot(sim));
	XENPT_TRY(truth_open(sim));
	*ret = no_cleanup_ptr(sim);
	return NULL;
}

void sim_destroy(struct sim *sim)
{
	if (!sim)
		return;
	truth_close(sim);
	cpu_destroy(sim);
	if (sim->memory.ram)
		munmap(sim->memory.ram, (size_t)GUEST_WINDOW_BASE + GUEST_WINDOW_SIZE);
	if (sim->fd >= 0)
		close(sim->fd);
	if (sim->guest_fd >= 0)
		close(sim->guest_fd);
	free(sim);
}

/* ---- What a client asks ------------------------------------------------ */

enum hv_state sim_state(const struct sim *sim)
{
	return sim->state == HV_RUNNING && (sim->paused || sim->code_held) ? HV_PAUSED
									   : sim->state;
}

uint32_t sim_vcpus(const struct sim *sim)
{
	return sim->vcpu_count;
}

void sim_cpu(const struct sim *sim, struct xenpt_cpu *ret)
{
	*ret = (struct xenpt_cpu){
		.family = 6,
		.model = 85,
		.stepping = 4,
		.intel = 1,
		.nom_freq = SIM_NOMINAL_RATIO,
		.mtc_freq = sim->vcpus[0].trace.msrs.ctl >> XPT_CTL_MTC_FREQ_SHIFT & 0xf,
		.cpuid_15_eax = 1,
		.cpuid_15_ebx = 1 << SIM_MTC_SHIFT,
		/* 2.4 GHz: 5/12 ns */
		.time_shift = 31,
		.time_mult = (5ull << 31) / 12,
	};
}

int sim_memory_fd(const struct sim *sim)
{
	return sim->fd;
}

int sim_guest_fd(const struct sim *sim)
{
	return sim->guest_fd;
}

const char *sim_console(const struct sim *sim)
{
	return sim->console;
}

bool sim_populate(struct sim *sim, uint64_t gfn, uint64_t count, bool populated)
{
	const uint64_t first = GUEST_WINDOW_BASE / SIM_PAGE;

	if (gfn < first || gfn > SIM_PAGES || count > SIM_PAGES - gfn)
		return false;
	/* Nobody's bytes of before. */
	if (count && fallocate(sim->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       gfn * SIM_PAGE, count * SIM_PAGE) < 0)
		return false;
	for (uint64_t i = gfn; i < gfn + count; i++) {
		if (populated)
			sim->page_flags[i] |= SIM_PAGE_BUFFER;
		else
			sim->page_flags[i] &= ~SIM_PAGE_BUFFER;
		sim->forget_code |= sim->page_flags[i] & SIM_PAGE_RAN;
	}
	return true;
}

void sim_pause(struct sim *sim)
{
	sim->paused = true;
	for (uint32_t i = 0; i < sim->vcpu_count; i++)
		trace_exit(&sim->vcpus[i]);
	truth_flush(sim);
}

void sim_resume(struct sim *sim)
{
	sim->paused = false;
	if (sim->code_held)
		watch_release(sim);
}

/* For a vCPU that is not in the engine: put it in for the while. */
static void read_msrs(struct vcpu *vcpu, struct xenpt_registers *ret)
{
	struct sim *sim = vcpu->sim;

	if (sim->current)
		cpu_sync(sim->current);
	engine_update(sim->engine, vcpu->context);
	ret->shadow_gs_base = engine_msr(sim->engine, MSR_KERNEL_GS_BASE);
	ret->lstar = engine_msr(sim->engine, MSR_LSTAR);
	if (sim->current) {
		engine_update(sim->engine, sim->current->context);
		engine_set_flags(sim->engine, sim->current->flags);
	}
}

void sim_registers(const struct sim *sim, uint32_t id, struct xenpt_registers *ret)
{
	/* It is left as it was: only the engine is borrowed. */
	struct vcpu *vcpu = (struct vcpu *)&sim->vcpus[id];
	const struct engine_segment *segments = vcpu->state->segments;

	if (sim->current == vcpu)
		cpu_sync(vcpu);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->gpr, vcpu->state->gpr, sizeof(ret->gpr));
	ret->rip = vcpu->now.ip;
	ret->rflags = vcpu->flags;
	ret->cr0 = vcpu->state->cr[0];
	ret->cr2 = vcpu->state->cr[2];
	ret->cr3 = vcpu->state->cr[3];
	ret->cr4 = vcpu->state->cr[4];
	ret->efer = engine_context_efer(sim->engine, vcpu->context);
	ret->fs_base = segments[ENGINE_FS].base;
	ret->gs_base = segments[ENGINE_GS].base;
	ret->idt_base = segments[ENGINE_IDTR].base;
	ret->gdt_base = segments[ENGINE_GDTR].base;
	ret->tsc = cpu_now(vcpu)->tsc;
	ret->cs = segments[ENGINE_CS].selector;
	ret->ss = segments[ENGINE_SS].selector;
	ret->cpl = vcpu->now.cpl;
	ret->mode = vcpu->now.csl ? 64 : vcpu->now.csd ? 32 : 16;
	read_msrs(vcpu, ret);
}
