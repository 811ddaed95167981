/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The embedded hypervisor's own trace against its own truth: every instruction, by
 * libipt, with the memory as it is when a client would read it.
 */
#include <errno.h>
#include <intel-pt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/sim/machine.h"
#include "libxenpt/array.h"
#include "libxenpt/cleanup.h"

#define RING (16u << 10) /* of two regions */

#define TRUTH "test-sim-trace.truth"
#define STEPS_MAX 3000000

struct insn {
	uint64_t ip, cr3;
};

/* A client of the domain, in the same program. */
struct client {
	struct sim *sim;
	uint64_t read[SIM_VCPUS_MAX];
	ARRAY(uint8_t) trace[SIM_VCPUS_MAX];     /* not decoded yet */
	ARRAY(struct insn) insns[SIM_VCPUS_MAX]; /* decoded */
	uint64_t cr3;
	unsigned int codes, fulls, datas, states, errors;
	bool lossless, watch, pauses, slow;
	uint64_t ctl;
	/* Of a client that reads all pages at once: the memory since code was held. */
	uint8_t *held;
};

static void on_notify(void *arg, enum hv_event_type type, uint32_t vcpu)
{
	struct client *client = arg;

	client->codes += type == HV_EVENT_CODE;
	client->fulls += type == HV_EVENT_FULL;
	client->datas += type == HV_EVENT_DATA;
	client->states += type == HV_EVENT_STATE;
}

/* ---- Buffers ----------------------------------------------------------- */

static uint64_t table_of(uint32_t vcpu)
{
	return GUEST_WINDOW_BASE + vcpu * (1u << 20);
}

static void write_table(struct sim *sim, uint32_t vcpu)
{
	const uint64_t table = table_of(vcpu), half = RING / 2;
	uint64_t *entry = (uint64_t *)engine_at(&sim->memory, table, SIM_PAGE);

	/* Regions are aligned to their size: 8 KiB. */
	entry[0] = (table + 0x10000) | 1 << XPT_TOPA_SIZE_SHIFT | XPT_TOPA_INT;
	entry[1] = (table + 0x10000 + half) | 1 << XPT_TOPA_SIZE_SHIFT;
	entry[2] = table | XPT_TOPA_END;
}

static void start_trace(struct client *client, uint32_t vcpu)
{
	const struct sim_trace_setup setup = {
		.output_base = table_of(vcpu),
		.ctl = client->ctl,
		.ring = RING,
		.lossless = client->lossless,
		.watch_code = client->watch,
	};
	struct sim *sim = client->sim;

	assert_true(sim_populate(sim, setup.output_base / SIM_PAGE, 64, true));
	write_table(sim, vcpu);
	assert_null(sim_trace_setup(sim, vcpu, &setup));
	assert_null(sim_trace_enable(sim, vcpu));
}

static void drain(struct client *client, uint32_t vcpu)
{
	const uint8_t *ring =
		engine_at(&client->sim->memory, table_of(vcpu) + 0x10000, RING);
	struct sim_trace_position position;

	sim_trace_position(client->sim, vcpu, &position);
	for (; client->read[vcpu] < position.total; client->read[vcpu]++) {
		uint8_t *byte = array_add(&client->trace[vcpu]);

		assert_non_null(byte);
		*byte = ring[client->read[vcpu] % RING];
	}
	sim_trace_consume(client->sim, vcpu, position.total);
}

/* ---- Decoding ---------------------------------------------------------- */

static int read_code(uint8_t *buf, size_t size, const struct pt_asid *asid, uint64_t ip,
		     void *arg)
{
	struct client *client = arg;
	const struct engine_memory *memory = &client->sim->memory;
	uint64_t gpa;

	for (size_t i = 0; i < size; i++) {
		if (!engine_walk(memory, asid->cr3, ip + i, NULL, NULL, &gpa, NULL) ||
		    gpa >= memory->ram_size)
			return i ? (int)i : -pte_nomap;
		buf[i] = client->held ? client->held[gpa] : memory->ram[gpa];
	}
	return size;
}

static int take_events(struct client *client, struct pt_insn_decoder *decoder, int status)
{
	struct pt_event event;

	while (status >= 0 && status & pts_event_pending) {
		status = pt_insn_event(decoder, &event, sizeof(event));
		if (status < 0)
			break;
		if (event.type == ptev_paging)
			client->cr3 = event.variant.paging.cr3;
		else if (event.type == ptev_async_paging)
			client->cr3 = event.variant.async_paging.cr3;
	}
	return status;
}

static int decode_from(struct client *client, struct pt_insn_decoder *decoder,
		       uint32_t vcpu)
{
	int status = pt_insn_sync_forward(decoder);

	while (status >= 0) {
		struct pt_insn insn;
		struct insn *entry;

		status = take_events(client, decoder, status);
		if (status < 0 || status & pts_eos)
			break;
		status = pt_insn_next(decoder, &insn, sizeof(insn));
		if (insn.iclass == ptic_error && status < 0)
			break;
		entry = array_add(&client->insns[vcpu]);
		assert_non_null(entry);
		*entry = (struct insn){ insn.ip, client->cr3 };
	}
	return status;
}

/* All that is read, with the memory as it is. */
static void decode(struct client *client, uint32_t vcpu)
{
	struct pt_config config;
	struct pt_insn_decoder *decoder;
	uint64_t offset = 0, ip = 0;
	int status;

	if (!client->trace[vcpu].count)
		return;
	pt_config_init(&config);
	config.begin = client->trace[vcpu].data;
	config.end = config.begin + client->trace[vcpu].count;
	config.cpu = (struct pt_cpu){ pcv_intel, 6, 85, 4 };
	pt_cpu_errata(&config.errata, &config.cpu);
	decoder = pt_insn_alloc_decoder(&config);
	assert_non_null(decoder);
	pt_image_set_callback(pt_insn_get_image(decoder), read_code, client);
	status = decode_from(client, decoder, vcpu);
	if (status != -pte_eos && !(status >= 0 && status & pts_eos)) {
		pt_insn_get_offset(decoder, &offset);
		if (client->insns[vcpu].count)
			ip = client->insns[vcpu].data[client->insns[vcpu].count - 1].ip;
		print_error("vCPU %u: %s at offset %#jx behind %#jx\n", vcpu,
			    pt_errstr(pt_errcode(status)), (uintmax_t)offset,
			    (uintmax_t)ip);
		client->errors++;
	}
	pt_insn_free_decoder(decoder);
	client->trace[vcpu].count = 0;
}

/* ---- Truth ------------------------------------------------------------- */

static void compare(struct client *client, uint32_t vcpu)
{
	_cleanup_fclose_ FILE *file = fopen(TRUTH, "r");
	const struct insn *insns = client->insns[vcpu].data;
	size_t count = client->insns[vcpu].count, at = 0;
	struct truth_record record;

	assert_non_null(file);
	while (fread(&record, sizeof(record), 1, file) == 1) {
		if (record.type != TRUTH_BLOCK || !record.traced || record.vcpu != vcpu)
			continue;
		if (at + record.insns > count) {
			print_error("vCPU %u: decoded %zu, more ran\n", vcpu, count);
			client->errors++;
			return;
		}
		if (insns[at].ip != record.ip || insns[at].cr3 != record.cr3 ||
		    insns[at + record.insns - 1].ip != record.last) {
			print_error("vCPU %u: insn %zu: %#jx in %#jx, not %#jx in %#jx\n",
				    vcpu, at, (uintmax_t)insns[at].ip,
				    (uintmax_t)insns[at].cr3, (uintmax_t)record.ip,
				    (uintmax_t)record.cr3);
			client->errors++;
			return;
		}
		at += record.insns;
	}
	print_message("vCPU %u: %zu instructions\n", vcpu, at);
	assert_true(at > 1000);
	assert_int_equal(at, count);
}

/* ---- Runs -------------------------------------------------------------- */

static void create(struct client *client, const char *text)
{
	struct sim_scenario scenario;
	struct xenpt_error *err;

	err = sim_scenario_parse(text, &scenario);
	assert_null(err);
	strcpy(scenario.truth, TRUTH);
	err = sim_create(&scenario, on_notify, client, &client->sim);
	if (err)
		print_error("%s\n", err->message);
	assert_null(err);
	client->ctl = XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_TOPA | XPT_CTL_BRANCH_EN |
		      XPT_CTL_TSC_EN;
}

static void read_all(struct client *client)
{
	if (client->held)
		memcpy(client->held, client->sim->memory.ram,
		       client->sim->memory.ram_size);
}

static void run(struct client *client)
{
	struct sim *sim = client->sim;
	bool more = true;

	read_all(client);
	for (uint32_t i = 0; i < sim->vcpu_count; i++)
		start_trace(client, i);
	while (sim_state(sim) != HV_CRASHED && sim_state(sim) != HV_ENDED &&
	       sim->now < STEPS_MAX) {
		assert_null(sim_run(sim, 777, &more));
		if (client->pauses && !sim->code_held)
			sim_pause(sim);
		for (uint32_t i = 0; i < sim->vcpu_count; i++) {
			/* A slow client comes only when it has to. */
			if (more && client->slow)
				continue;
			drain(client, i);
			if (sim->code_held)
				decode(client, i);
		}
		if (sim->code_held) {
			sim_resume(sim);
			read_all(client);
		} else if (sim->paused) {
			sim_resume(sim);
		}
	}
	assert_true(sim->now < STEPS_MAX);
	for (uint32_t i = 0; i < sim->vcpu_count; i++) {
		sim_trace_disable(sim, i);
		drain(client, i);
		decode(client, i);
	}
}

static void destroy(struct client *client)
{
	for (uint32_t i = 0; i < SIM_VCPUS_MAX; i++) {
		array_deinit(&client->trace[i]);
		array_deinit(&client->insns[i]);
	}
	free(client->held);
	sim_destroy(client->sim);
	unlink(TRUTH);
}

static void decodes_to_truth(const char *scenario, bool watch, uint64_t ctl)
{
	struct client client = { .lossless = true, .watch = watch };

	create(&client, scenario);
	client.ctl |= ctl;
	if (watch)
		client.held = malloc(client.sim->memory.ram_size);
	run(&client);
	truth_close(client.sim);
	for (uint32_t i = 0; i < client.sim->vcpu_count; i++)
		compare(&client, i);
	assert_int_equal(client.errors, 0);
	assert_int_equal(client.states, 1);
	if (watch)
		assert_true(client.codes > 0);
	destroy(&client);
}

static void test_demo(void **state)
{
	decodes_to_truth("demo", false, 0);
	decodes_to_truth("demo,seed=2", true, XPT_CTL_DIS_RETC);
}

static void test_crash(void **state)
{
	decodes_to_truth("crash", false, XPT_CTL_MTC_EN);
}

static void test_smp(void **state)
{
	decodes_to_truth("smp", false, XPT_CTL_CYC_EN | XPT_CTL_MTC_EN);
}

static void test_introspect(void **state)
{
	decodes_to_truth("introspect", false, 0);
}

static void test_jit(void **state)
{
	decodes_to_truth("jit", true, 0);
}

/* Without what the hypervisor adds, the same comparison finds what is wrong. */
static void test_wrong(void **state)
{
	struct client client = { .lossless = true };

	create(&client, "introspect,no-pip");
	run(&client);
	truth_close(client.sim);
	compare(&client, 0);
	assert_true(client.errors > 0);
	destroy(&client);

	client = (struct client){ .lossless = true };
	create(&client, "jit");
	run(&client);
	assert_int_equal(client.codes, 0);
	assert_true(client.errors > 0);
	destroy(&client);
}

/* ---- Time -------------------------------------------------------------- */

/* Of what the domain has come to: its memory, and its time. */
static uint64_t state_sum(const struct sim *sim)
{
	const uint64_t *words = (const uint64_t *)sim->memory.ram;
	uint64_t sum = sim->now;

	for (size_t i = 0; i < sim->memory.ram_size / sizeof(*words); i++)
		sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15;
	return sum;
}

static uint64_t sum_of(const char *scenario, struct client client, bool traced)
{
	uint64_t sum;
	bool more = true;

	create(&client, scenario);
	if (traced)
		run(&client);
	else
		while (more)
			assert_null(sim_run(client.sim, 12345, &more));
	sum = state_sum(client.sim);
	destroy(&client);
	return sum;
}

/* A seed's domain does the same, whoever looks, in whatever steps. */
static void test_same(void **state)
{
	static const char *const scenarios[] = { "smp,seed=5", "jit,seed=5" };
	const struct client nobody = {}, fast = { .lossless = true };
	const struct client slow = { .lossless = true, .slow = true, .watch = true };
	const struct client pauses = { .pauses = true };

	for (size_t i = 0; i < 2; i++) {
		uint64_t sum = sum_of(scenarios[i], nobody, false);

		assert_int_equal(sum_of(scenarios[i], nobody, false), sum);
		assert_int_equal(sum_of(scenarios[i], fast, true), sum);
		assert_int_equal(sum_of(scenarios[i], slow, true), sum);
		assert_int_equal(sum_of(scenarios[i], pauses, true), sum);
	}
	assert_int_not_equal(sum_of("smp,seed=6", nobody, false),
			     sum_of("smp,seed=5", nobody, false));
}

static void test_pauses(void **state)
{
	struct client client = { .lossless = true, .pauses = true };

	create(&client, "smp");
	run(&client);
	truth_close(client.sim);
	for (uint32_t i = 0; i < 2; i++)
		compare(&client, i);
	assert_int_equal(client.errors, 0);
	destroy(&client);
}

/* ---- The ends of a buffer ---------------------------------------------- */

static void run_to_end(struct client *client)
{
	bool more = true;

	while (more)
		assert_null(sim_run(client->sim, 10000, &more));
	assert_int_equal(sim_state(client->sim), HV_ENDED);
}

static void start_with(struct client *client, uint64_t first, uint64_t second)
{
	uint64_t *entry;

	create(client, "demo");
	start_trace(client, 0);
	sim_trace_disable(client->sim, 0);
	entry = (uint64_t *)engine_at(&client->sim->memory, table_of(0), SIM_PAGE);
	entry[0] |= first;
	entry[1] |= second;
	sim_trace_reset(client->sim, 0);
	assert_null(sim_trace_enable(client->sim, 0));
}

static void test_stop(void **state)
{
	struct sim_trace_position position;
	struct client client = {};

	start_with(&client, 0, XPT_TOPA_STOP);
	run_to_end(&client);
	sim_trace_position(client.sim, 0, &position);
	assert_int_equal(position.total, RING);
	assert_true(position.status & XPT_STATUS_STOPPED);
	assert_false(position.fault);
	assert_true(client.datas > 1);
	drain(&client, 0);
	/* And again, from the start. */
	sim_trace_reset(client.sim, 0);
	sim_trace_position(client.sim, 0, &position);
	assert_int_equal(position.total, 0);
	assert_false(position.status & XPT_STATUS_STOPPED);
	destroy(&client);
}

static void test_error(void **state)
{
	struct sim_trace_position position;
	struct client client = {};

	start_with(&client, 2, 0); /* a reserved bit */
	run_to_end(&client);
	sim_trace_position(client.sim, 0, &position);
	assert_int_equal(position.total, 0);
	assert_true(position.status & XPT_STATUS_ERROR);
	assert_int_equal(client.datas, 1);
	destroy(&client);
}

static void test_fault(void **state)
{
	struct sim_trace_position position;
	struct client client = {};

	start_with(&client, 0, 0);
	assert_true(sim_populate(client.sim, (table_of(0) + 0x10000) / SIM_PAGE + 3, 1,
				 false));
	run_to_end(&client);
	sim_trace_position(client.sim, 0, &position);
	assert_true(position.fault);
	assert_int_equal(position.total, 3 * SIM_PAGE);
	destroy(&client);
}

/* A vCPU whose buffer is full waits, and says so once. */
static void test_full(void **state)
{
	struct client client = { .lossless = true };
	struct sim_trace_position position;
	bool more = true;

	create(&client, "demo");
	start_trace(&client, 0);
	while (more)
		assert_null(sim_run(client.sim, 10000, &more));
	assert_int_equal(sim_state(client.sim), HV_RUNNING);
	for (unsigned int i = 0; i < 3; i++)
		assert_null(sim_run(client.sim, 10000, &more));
	assert_false(more);
	assert_int_equal(client.fulls, 1);
	sim_trace_position(client.sim, 0, &position);
	assert_true(position.total <= RING);
	sim_trace_consume(client.sim, 0, position.total);
	assert_null(sim_run(client.sim, 1000, &more));
	assert_true(more);
	/* Nobody waits for a client that is gone. */
	sim_trace_teardown(client.sim, 0);
	run_to_end(&client);
	destroy(&client);
}

/* It looks for the buffer, and finds it. */
static void test_hostile(void **state)
{
	struct client client = {};
	bool more = true;

	create(&client, "hostile");
	start_trace(&client, 0);
	while (more)
		assert_null(sim_run(client.sim, 10000, &more));
	assert_non_null(strstr(sim_console(client.sim), "hostile: spoilt"));
	assert_null(strstr(sim_console(client.sim), "spoilt 0 tables, 0 pages"));
	destroy(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demo),    cmocka_unit_test(test_crash),
		cmocka_unit_test(test_smp),     cmocka_unit_test(test_introspect),
		cmocka_unit_test(test_jit),     cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_same),    cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_stop),    cmocka_unit_test(test_error),
		cmocka_unit_test(test_fault),   cmocka_unit_test(test_full),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
