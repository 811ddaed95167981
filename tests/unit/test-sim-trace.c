/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The embedded hypervisor's own trace against its own truth: every instruction, by
 * libipt, with the memory as it is when a client would read it.
 */
#include <errno.h>
#include <intel-pt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/sim/machine.h"
#include "libxenpt/array.h"
#include "libxenpt/cleanup.h"

#define RING (64u << 10) /* of two regions */
#define TOPA_PAGES (1 + RING / SIM_PAGE)
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
	bool lossless, watch;
	uint64_t ctl;
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

	/* Regions are aligned to their size: 32 KiB. */
	entry[0] = (table + 0x10000) | 3 << XPT_TOPA_SIZE_SHIFT | XPT_TOPA_INT;
	entry[1] = (table + 0x10000 + half) | 3 << XPT_TOPA_SIZE_SHIFT;
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
		    !engine_at(memory, gpa, 1))
			return i ? (int)i : -pte_nomap;
		buf[i] = *engine_at(memory, gpa, 1);
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

static void run(struct client *client)
{
	struct sim *sim = client->sim;
	bool more = true;

	for (uint32_t i = 0; i < sim->vcpu_count; i++)
		start_trace(client, i);
	while (sim_state(sim) != HV_CRASHED && sim_state(sim) != HV_ENDED &&
	       sim->now < STEPS_MAX) {
		assert_null(sim_run(sim, 777, &more));
		for (uint32_t i = 0; i < sim->vcpu_count; i++) {
			drain(client, i);
			if (sim->code_held)
				decode(client, i);
		}
		if (sim->code_held)
			sim_resume(sim);
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
	sim_destroy(client->sim);
	unlink(TRUTH);
}

static void decodes_to_truth(const char *scenario, bool watch, uint64_t ctl)
{
	struct client client = { .lossless = true, .watch = watch };

	create(&client, scenario);
	client.ctl |= ctl;
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
	decodes_to_truth("smp", false, 0);
}

static void test_introspect(void **state)
{
	decodes_to_truth("introspect", false, 0);
}

static void test_jit(void **state)
{
	decodes_to_truth("jit", true, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demo), cmocka_unit_test(test_crash),
		cmocka_unit_test(test_smp),  cmocka_unit_test(test_introspect),
		cmocka_unit_test(test_jit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
