/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stand-in for the embedded CPU, for tests of the server and its client: no guest,
 * but bytes that are known, put where ToPA tables say.
 */
#include <endian.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/pt/topa.h"
#include "hv/sim/guest/abi.h"
#include "hv/sim/sim.h"
#include "libxenpt/cleanup.h"
#include "tests/sim-fake.h"

#define VCPUS 2
#define BYTES_PER_RUN 700  /* of each vCPU */
#define BYTES_IN_ALL 20000 /* before the guest crashes or ends */
#define MEMORY_SIZE (GUEST_WINDOW_BASE + GUEST_WINDOW_SIZE)

struct fake_vcpu {
	struct sim_trace_setup setup;
	struct sim_trace_position position;
	uint64_t consumed, ran;
	bool set_up, enabled, waits;
};

struct sim {
	const struct sim_scenario *scenario;
	sim_notify_fn *notify;
	void *arg;
	int fd;
	uint8_t *memory;
	uint8_t populated[GUEST_WINDOW_SIZE / 4096];
	enum hv_state state;
	bool paused;
	struct fake_vcpu vcpus[VCPUS];
};

const struct sim_scenario sim_scenarios[] = {
	{ .name = "run", .about = "bytes without end", .guest = "", .vcpus = VCPUS },
	{ .name = "crash", .about = "a crash", .guest = "crash", .vcpus = VCPUS },
	{ .name = "end", .about = "an end", .guest = "end", .vcpus = VCPUS },
	{ .name = "hostile",
	  .about = "rewrites tables",
	  .guest = "hostile",
	  .vcpus = VCPUS },
	{},
};

struct xenpt_error *sim_scenario_parse(const char *text, struct sim_scenario *ret)
{
	size_t length = strcspn(text, ",");
	const struct sim_scenario *s;

	for (s = sim_scenarios; s->name; s++) {
		if (strlen(s->name) == length && strncmp(s->name, text, length) == 0)
			break;
	}
	if (!s->name)
		return xenpt_error_create(XENPT_ERROR_INVALID, "no scenario '%s'", text);
	*ret = *s;
	ret->tiny = strstr(text, ",tiny");
	ret->stop = strstr(text, ",stop");
	text = strstr(text, ",topa=");
	if (text)
		snprintf(ret->topa, sizeof(ret->topa), "%s", text + strlen(",topa="));
	return NULL;
}

struct xenpt_error *sim_create(const struct sim_scenario *scenario, sim_notify_fn *notify,
			       void *arg, struct sim **ret)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return xenpt_error_no_memory();
	sim->scenario = scenario;
	sim->notify = notify;
	sim->arg = arg;
	sim->fd = memfd_create("fake", MFD_CLOEXEC);
	if (ftruncate(sim->fd, MEMORY_SIZE) < 0)
		abort();
	sim->memory =
		mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, sim->fd, 0);
	if (sim->memory == MAP_FAILED)
		abort();
	memcpy(sim->memory + 0x1000, "guest memory", 12);
	*ret = sim;
	return NULL;
}

void sim_destroy(struct sim *sim)
{
	if (!sim)
		return;
	munmap(sim->memory, MEMORY_SIZE);
	close(sim->fd);
	free(sim);
}

/* Put a byte where the MSRs point; false: not there, for it is not the buffer's. */
static bool put(struct sim *sim, struct fake_vcpu *vcpu, uint8_t byte)
{
	struct sim_trace_position *p = &vcpu->position;
	uint64_t index = (p->mask_ptrs & 0xffffffff) >> 7, offset = p->mask_ptrs >> 32;
	uint64_t *table = (uint64_t *)(sim->memory + p->output_base);
	uint64_t entry = le64toh(table[index]), size, gpa;

	size = 4096ull << (entry >> XPT_TOPA_SIZE_SHIFT & XPT_TOPA_SIZE_MASK);
	gpa = (entry & ~0xfffull) + offset;
	if (gpa < GUEST_WINDOW_BASE || gpa >= MEMORY_SIZE ||
	    !sim->populated[(gpa - GUEST_WINDOW_BASE) / 4096])
		return false;
	sim->memory[gpa] = byte;
	p->total++;
	if (++offset == size && entry & XPT_TOPA_STOP) {
		p->status |= XPT_STATUS_STOPPED;
	} else if (offset == size) {
		offset = 0;
		index++;
		if (le64toh(table[index]) & XPT_TOPA_END) {
			p->output_base = le64toh(table[index]) & ~0xfffull;
			index = 0;
		}
		if (entry & XPT_TOPA_INT)
			sim->notify(sim->arg, HV_EVENT_DATA, vcpu - sim->vcpus);
	}
	p->mask_ptrs = offset << 32 | index << 7 | 0x7f;
	return true;
}

/* False: it waits. */
static bool run_vcpu(struct sim *sim, uint32_t id)
{
	struct fake_vcpu *vcpu = &sim->vcpus[id];
	struct sim_trace_position *p = &vcpu->position;

	for (size_t i = 0; i < BYTES_PER_RUN; i++) {
		if (vcpu->enabled && vcpu->setup.lossless &&
		    p->total - vcpu->consumed >= vcpu->setup.ring) {
			if (!vcpu->waits)
				sim->notify(sim->arg, HV_EVENT_FULL, id);
			vcpu->waits = true;
			return false;
		}
		vcpu->ran++;
		if (!vcpu->enabled || p->fault ||
		    p->status & (XPT_STATUS_STOPPED | XPT_STATUS_ERROR))
			continue;
		if (!put(sim, vcpu, sim_fake_byte(id, p->total))) {
			p->fault = true;
			sim->notify(sim->arg, HV_EVENT_DATA, id);
		}
	}
	if (strcmp(sim->scenario->guest, "hostile") == 0 && vcpu->enabled)
		memset(sim->memory + vcpu->setup.output_base + 8 * SIM_FAKE_HOSTILE_ENTRY,
		       0xff, 8);
	return true;
}

struct xenpt_error *sim_run(struct sim *sim, uint64_t insns, bool *ret)
{
	const char *guest = sim->scenario->guest;

	*ret = false;
	if (sim->paused || sim->state != HV_RUNNING)
		return NULL;
	for (uint32_t i = 0; i < VCPUS; i++)
		*ret |= run_vcpu(sim, i);
	if (sim->vcpus[0].ran < BYTES_IN_ALL)
		return NULL;
	if (strcmp(guest, "crash") == 0)
		sim->state = HV_CRASHED;
	else if (strcmp(guest, "end") == 0)
		sim->state = HV_ENDED;
	if (sim->state != HV_RUNNING) {
		sim->notify(sim->arg, HV_EVENT_STATE, 0);
		*ret = false;
	}
	return NULL;
}

enum hv_state sim_state(const struct sim *sim)
{
	return sim->paused && sim->state == HV_RUNNING ? HV_PAUSED : sim->state;
}

uint32_t sim_vcpus(const struct sim *sim)
{
	return VCPUS;
}

void sim_cpu(const struct sim *sim, struct xenpt_cpu *ret)
{
	*ret = (struct xenpt_cpu){ .family = 6, .model = 85, .intel = 1 };
}

int sim_memory_fd(const struct sim *sim)
{
	return sim->fd;
}

int sim_guest_fd(const struct sim *sim)
{
	return sim->fd; /* no ELF file */
}

const char *sim_console(const struct sim *sim)
{
	return "last words\n";
}

bool sim_populate(struct sim *sim, uint64_t gfn, uint64_t count, bool populated)
{
	memset(sim->populated + gfn - GUEST_WINDOW_BASE / 4096, populated, count);
	return true;
}

void sim_pause(struct sim *sim)
{
	sim->paused = true;
}

void sim_resume(struct sim *sim)
{
	sim->paused = false;
}

void sim_registers(const struct sim *sim, uint32_t vcpu, struct xenpt_registers *ret)
{
	*ret = (struct xenpt_registers){ .rip = 0x1000 + vcpu };
}

struct xenpt_error *sim_trace_setup(struct sim *sim, uint32_t vcpu,
				    const struct sim_trace_setup *setup)
{
	if (setup->output_base % 4096 || setup->output_base >= MEMORY_SIZE)
		return xenpt_error_create(XENPT_ERROR_INVALID, "WRMSR 560H");
	sim->vcpus[vcpu] = (struct fake_vcpu){ .setup = *setup,
					       .ran = sim->vcpus[vcpu].ran,
					       .set_up = true };
	sim_trace_reset(sim, vcpu);
	return NULL;
}

struct xenpt_error *sim_trace_enable(struct sim *sim, uint32_t vcpu)
{
	sim->vcpus[vcpu].enabled = true;
	return NULL;
}

void sim_trace_disable(struct sim *sim, uint32_t vcpu)
{
	sim->vcpus[vcpu].enabled = false;
}

void sim_trace_teardown(struct sim *sim, uint32_t vcpu)
{
	sim->vcpus[vcpu].set_up = sim->vcpus[vcpu].waits = false;
}

void sim_trace_reset(struct sim *sim, uint32_t vcpu)
{
	sim->vcpus[vcpu].position = (struct sim_trace_position){
		.output_base = sim->vcpus[vcpu].setup.output_base,
		.mask_ptrs = 0x7f,
	};
	sim->vcpus[vcpu].consumed = 0;
}

void sim_trace_position(const struct sim *sim, uint32_t vcpu,
			struct sim_trace_position *ret)
{
	*ret = sim->vcpus[vcpu].position;
}

void sim_trace_consume(struct sim *sim, uint32_t vcpu, uint64_t total)
{
	sim->vcpus[vcpu].consumed = total;
	sim->vcpus[vcpu].waits = false;
}
