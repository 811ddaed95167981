/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages a trace is found to reach, while it comes. */
#include "decode.h"
#include "libxenpt/array.h"

#define OTHER_CR3 0x6000

struct asked {
	uint64_t cr3, address;
};

/* A domain whose every address space has the code at 0x1000, and one its own at 0x2000.
 */
struct domain {
	struct xenpt_capture *capture;
	ARRAY(struct asked) asked;
	uint64_t missing; /* the page that cannot be had */
};

static bool page(void *arg, uint64_t cr3, uint64_t address, uint8_t data[4096])
{
	struct domain *domain = arg;
	struct asked *asked = array_add(&domain->asked);

	assert_non_null(asked);
	*asked = (struct asked){ cr3, address };
	assert_int_equal(0, address % 4096);
	if (address == domain->missing || address > 0x2000)
		return false;
	memset(data, 0x90, 4096);
	memcpy(data, code, sizeof(code));
	/* jmp 0x2000, of which the last byte is on that page */
	if (address == 0x1000)
		memcpy(data + 0xffc, (uint8_t[]){ 0xe9, 0xff, 0xff, 0xff }, 4);
	if (address == 0x2000)
		data[0] = 0xff;
	return true;
}

static void domain_init(struct domain *domain)
{
	struct xenpt_cpu cpu = { .intel = 1, .family = 6, .model = 0x55 };

	*domain = (struct domain){ .missing = 1 };
	check_error(xenpt_capture_create(&cpu, page, domain, &domain->capture));
}

static void domain_deinit(struct domain *domain)
{
	xenpt_capture_destroy(domain->capture);
	array_deinit(&domain->asked);
}

static void feed(struct domain *domain, uint32_t vcpu, struct trace *trace)
{
	check_error(xenpt_capture_feed(domain->capture, vcpu, trace->data, trace->size));
	trace_deinit(trace);
}

static void flush(struct domain *domain)
{
	check_error(xenpt_capture_flush(domain->capture));
}

static size_t count_asked(const struct domain *domain, uint64_t cr3, uint64_t address)
{
	size_t count = 0;

	for (size_t i = 0; i < domain->asked.count; i++)
		count += domain->asked.data[i].cr3 == cr3 &&
			 domain->asked.data[i].address == address;
	return count;
}

/* At @ip; the loop at 0x1000 takes a RET and a JNZ each time round. */
static void start(struct trace *trace, uint64_t cr3, uint64_t ip)
{
	trace_psb_plus(trace, &(struct psb){ .cr3 = cr3, .mode = 64, .ip = ip });
}

static void loop(struct trace *trace, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		trace_tnt(trace, "111111");
}

static void test_pages_are_asked_for_once(void **state)
{
	struct trace trace = {};
	struct domain domain;

	domain_init(&domain);
	start(&trace, CR3, 0x1000);
	loop(&trace, 10);
	feed(&domain, 0, &trace);
	flush(&domain);
	assert_int_equal(1, domain.asked.count);
	assert_int_equal(1, count_asked(&domain, CR3, 0x1000));

	start(&trace, CR3, 0x1000);
	loop(&trace, 10);
	feed(&domain, 3, &trace);
	flush(&domain);
	assert_int_equal(1, domain.asked.count);

	/* The code has changed. */
	xenpt_capture_forget(domain.capture);
	start(&trace, CR3, 0x1000);
	loop(&trace, 10);
	feed(&domain, 0, &trace);
	flush(&domain);
	assert_int_equal(2, count_asked(&domain, CR3, 0x1000));
	domain_deinit(&domain);
}

static void test_spaces_are_apart(void **state)
{
	struct trace trace = {};
	struct domain domain;

	domain_init(&domain);
	start(&trace, CR3, 0x1040);
	trace_pip(&trace, OTHER_CR3, false);
	trace_ip(&trace, ppt_tip, 0x1000);
	loop(&trace, 2);
	feed(&domain, 0, &trace);
	flush(&domain);
	assert_int_equal(2, domain.asked.count);
	assert_int_equal(1, count_asked(&domain, CR3, 0x1000));
	assert_int_equal(1, count_asked(&domain, OTHER_CR3, 0x1000));

	/* A trace of user code alone does not tell. */
	start(&trace, 0, 0x1000);
	loop(&trace, 2);
	feed(&domain, 0, &trace);
	flush(&domain);
	assert_int_equal(1, count_asked(&domain, XENPT_CR3_ANY, 0x1000));
	domain_deinit(&domain);
}

static void test_instruction_over_two_pages(void **state)
{
	struct trace trace = {};
	struct domain domain;

	domain_init(&domain);
	start(&trace, CR3, 0x1ffc);
	feed(&domain, 0, &trace);
	flush(&domain);
	assert_int_equal(1, count_asked(&domain, CR3, 0x1000));
	assert_int_equal(1, count_asked(&domain, CR3, 0x2000));
	domain_deinit(&domain);
}

/* A page that cannot be had is asked for once; after it the trace goes on at a PSB. */
static void test_missing_page(void **state)
{
	struct trace trace = {};
	struct domain domain;

	domain_init(&domain);
	domain.missing = 0x2000;
	start(&trace, CR3, 0x2000);
	loop(&trace, 10);
	start(&trace, CR3, 0x2000);
	loop(&trace, 10);
	start(&trace, CR3, 0x1000);
	loop(&trace, 10);
	feed(&domain, 0, &trace);
	flush(&domain);
	assert_int_equal(1, count_asked(&domain, CR3, 0x2000));
	assert_int_equal(1, count_asked(&domain, CR3, 0x1000));
	domain_deinit(&domain);
}

/* While trace comes, pages are asked for without a flush, in pieces of any size. */
static void test_spans_are_decoded_as_they_come(void **state)
{
	static const size_t pieces[] = { 1, 100, 100000 };

	for (size_t i = 0; i < 3; i++) {
		struct trace trace = {};
		struct domain domain;

		domain_init(&domain);
		start(&trace, CR3, 0x1000);
		loop(&trace, 5000);
		start(&trace, CR3, 0x1000);
		loop(&trace, 5000);
		/* At the end of a flow that only the second span has. */
		trace_tnt(&trace, "1");
		trace_ip(&trace, ppt_fup, 0x1005);
		trace_ip(&trace, ppt_tip, 0x1ffc);
		start(&trace, OTHER_CR3, 0x1000);
		for (size_t at = 0; at < trace.size; at += pieces[i]) {
			size_t size = trace.size - at;

			if (size > pieces[i])
				size = pieces[i];
			check_error(xenpt_capture_feed(domain.capture, 0, trace.data + at,
						       size));
		}
		trace_deinit(&trace);
		assert_int_equal(1, count_asked(&domain, CR3, 0x1000));
		flush(&domain);
		assert_int_equal(1, count_asked(&domain, CR3, 0x2000));
		assert_int_equal(1, count_asked(&domain, OTHER_CR3, 0x1000));
		assert_int_equal(3, domain.asked.count);
		domain_deinit(&domain);
	}
}

/* Before trace is written to a file, its code can be. */
static void test_peek(void **state)
{
	struct trace trace = {};
	struct domain domain;
	uint64_t fed;

	domain_init(&domain);
	assert_int_equal(0, xenpt_capture_done(domain.capture, 0));
	loop(&trace, 100);
	fed = trace.size;
	feed(&domain, 0, &trace);
	assert_in_range(xenpt_capture_done(domain.capture, 0), fed - 15, fed);

	start(&trace, CR3, 0x1000);
	loop(&trace, 10);
	fed += trace.size;
	feed(&domain, 0, &trace);
	assert_int_equal(0, domain.asked.count);
	assert_in_range(xenpt_capture_done(domain.capture, 0), 0, fed - 1);
	check_error(xenpt_capture_peek(domain.capture, 0));
	assert_int_equal(1, count_asked(&domain, CR3, 0x1000));
	assert_int_equal(fed, xenpt_capture_done(domain.capture, 0));

	/* It goes on where it was. */
	trace_ip(&trace, ppt_fup, 0x1000);
	trace_ip(&trace, ppt_tip, 0x2000);
	fed += trace.size;
	feed(&domain, 0, &trace);
	assert_int_not_equal(fed, xenpt_capture_done(domain.capture, 0));
	flush(&domain);
	assert_int_equal(1, count_asked(&domain, CR3, 0x2000));
	assert_int_equal(fed, xenpt_capture_done(domain.capture, 0));
	domain_deinit(&domain);
}

/* Who wrote what is done cannot take it back: where a PSB begins is seen at its end. */
static void test_done_never_goes_back(void **state)
{
	struct trace trace = {};
	struct domain domain;
	uint64_t done = 0;

	domain_init(&domain);
	loop(&trace, 20);
	start(&trace, CR3, 0x1000);
	for (size_t i = 0; i < trace.size; i++) {
		check_error(xenpt_capture_feed(domain.capture, 0, trace.data + i, 1));
		assert_in_range(xenpt_capture_done(domain.capture, 0), done, i + 1);
		done = xenpt_capture_done(domain.capture, 0);
	}
	assert_int_equal(20, done);
	flush(&domain);
	assert_int_equal(trace.size, xenpt_capture_done(domain.capture, 0));
	trace_deinit(&trace);
	domain_deinit(&domain);
}

/* What comes after a gap is not read as if it belonged to what came before. */
static void test_gap(void **state)
{
	struct trace trace = {};
	struct domain domain;

	domain_init(&domain);
	start(&trace, CR3, 0x1000);
	trace_tnt(&trace, "1");
	feed(&domain, 0, &trace);
	check_error(xenpt_capture_gap(domain.capture, 0));
	assert_int_equal(1, count_asked(&domain, CR3, 0x1000));

	trace_ip(&trace, ppt_tip, 0x2000);
	feed(&domain, 0, &trace);
	flush(&domain);
	assert_int_equal(1, domain.asked.count);

	start(&trace, OTHER_CR3, 0x1000);
	feed(&domain, 0, &trace);
	flush(&domain);
	assert_int_equal(1, count_asked(&domain, OTHER_CR3, 0x1000));
	domain_deinit(&domain);
}

/* A guest may write what it likes; it costs no more than so much. */
static void test_garbage(void **state)
{
	uint32_t random = 1;
	struct domain domain;

	domain_init(&domain);
	for (unsigned int i = 0; i < 100; i++) {
		struct trace trace = {};
		uint8_t bytes[4096];

		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = (random = random * 1664525 + 1013904223) >> 24;
		start(&trace, CR3, i % 2 ? 0x1000 : 0x1030);
		trace_bytes(&trace, bytes, i * 40);
		feed(&domain, i % 3, &trace);
	}
	flush(&domain);
	assert_int_equal(1, count_asked(&domain, CR3, 0x1000));
	domain_deinit(&domain);
}

/* No PSB for megabytes: what is held stays bounded, and nothing is asked for twice. */
static void test_no_psb(void **state)
{
	struct domain domain;

	domain_init(&domain);
	for (unsigned int i = 0; i < 50; i++) {
		struct trace trace = {};

		if (!i)
			start(&trace, CR3, 0x1000);
		loop(&trace, 100000);
		feed(&domain, 0, &trace);
	}
	assert_int_equal(1, count_asked(&domain, CR3, 0x1000));
	domain_deinit(&domain);
}

static void test_vcpu_numbers(void **state)
{
	struct domain domain;
	struct xenpt_error *err;

	domain_init(&domain);
	err = xenpt_capture_feed(domain.capture, XENPT_VCPUS_MAX, "", 1);
	assert_non_null(err);
	xenpt_error_destroy(err);
	check_error(xenpt_capture_gap(domain.capture, XENPT_VCPUS_MAX - 1));
	domain_deinit(&domain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_are_asked_for_once),
		cmocka_unit_test(test_spaces_are_apart),
		cmocka_unit_test(test_instruction_over_two_pages),
		cmocka_unit_test(test_missing_page),
		cmocka_unit_test(test_spans_are_decoded_as_they_come),
		cmocka_unit_test(test_peek),
		cmocka_unit_test(test_done_never_goes_back),
		cmocka_unit_test(test_gap),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_no_psb),
		cmocka_unit_test(test_vcpu_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
