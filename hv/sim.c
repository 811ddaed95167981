/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The embedded hypervisor as a back-end. A domain is a process, xenpt-sim, and its
 * memory a file that is mapped here as a Xen guest's would be.
 *
 *	"sim:SCENARIO[,OPTION]..."	starts one, and attaches
 *	"sim:NAME"			attaches to one that runs
 *
 * What is set up is xenpt-sim's to undo, when the connection ends: also when this
 * program is killed.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hv/backend.h"
#include "hv/buffer.h"
#include "hv/pt/msr.h"
#include "hv/pt/topa.h"
#include "hv/sim-link.h"
#include "hv/trace-ctl.h"
#include "libxenpt/cleanup.h"

#define TINY_REGIONS "4k+4k"

/* One vCPU's buffer. */
struct sim_buffer {
	struct buffer *layout; /* NULL: the vCPU is not traced */
	uint8_t *ring;         /* all regions, one after the other; read-only */
	uint8_t *tables;       /* guest memory */
	struct hv_position last;
	bool enabled;
};

struct sim_domain {
	struct hv_domain domain;
	struct hv_info info;
	struct xenpt_mem mem;
	struct sim_link *link;
	const uint8_t *memory; /* of the guest, all of it up to the window's end */
	uint64_t memory_size;
	struct hv_trace trace; /* as it was started; its vcpus are not kept */
	bool paused;           /* by pause(): trace_start() does not let it go */
	struct sim_buffer buffers[SIM_LINK_VCPUS_MAX];
};

static void sim_close(struct hv_domain *domain);

static void cleanup_domain(struct sim_domain **sim)
{
	if (*sim)
		sim_close(&(*sim)->domain);
}

static struct sim_domain *of_domain(struct hv_domain *domain)
{
	return (struct sim_domain *)((char *)domain -
				     offsetof(struct sim_domain, domain));
}

static struct xenpt_error *ask(struct sim_domain *sim, enum sim_op op, uint32_t vcpu,
			       uint64_t a, uint64_t b)
{
	struct sim_packet packet = { .message = {
					     .op = op, .vcpu = vcpu, .a = a, .b = b } };

	return sim_link_ask(sim->link, &packet);
}

/* ---- Memory ------------------------------------------------------------ */

static bool read_memory(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	struct sim_domain *sim =
		(struct sim_domain *)((char *)mem - offsetof(struct sim_domain, mem));
	const struct sim_hello *hello = &sim->link->hello;
	bool ram = gpa < hello->ram_size && size <= hello->ram_size - gpa;
	bool window = gpa >= hello->window_base && gpa < sim->memory_size &&
		      size <= sim->memory_size - gpa;

	if (!ram && !window)
		return false;
	memcpy(buf, sim->memory + gpa, size);
	return true;
}

static struct xenpt_error *map_memory(struct sim_domain *sim)
{
	const struct sim_hello *hello = &sim->link->hello;
	struct stat st;
	void *memory;

	/* Past the end of the file a read would be a signal. */
	if (__builtin_add_overflow(hello->window_base, hello->window_size,
				   &sim->memory_size) ||
	    hello->ram_size > hello->window_base || hello->window_base % BUFFER_PAGE ||
	    fstat(sim->link->memory_fd, &st) < 0 || st.st_size < 0 ||
	    (uint64_t)st.st_size < sim->memory_size || !sim->memory_size)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "sim:%s: its memory is not as large as it says",
					  sim->link->name);
	memory = mmap(NULL, sim->memory_size, PROT_READ, MAP_SHARED | MAP_NORESERVE,
		      sim->link->memory_fd, 0);
	if (memory == MAP_FAILED)
		return xenpt_error_os(errno, "sim:%s: cannot map its memory",
				      sim->link->name);
	sim->memory = memory;
	sim->mem.read = read_memory;
	return NULL;
}

/* ---- Opening ----------------------------------------------------------- */

static bool sim_claims(const char *domain)
{
	return strncmp(domain, SIM_PREFIX, strlen(SIM_PREFIX)) == 0;
}

static struct xenpt_error *start(const char *scenario, char **name_ret)
{
	char *argv[] = { (char *)"xenpt-sim", (char *)"run",    (char *)"--held",
			 (char *)"--",        (char *)scenario, NULL };

	return xenpt_error_prepend(sim_program_run(argv, name_ret), "sim:%s", scenario);
}

/* A domain that runs, or else a scenario to start. */
static struct xenpt_error *find(const char *name, struct sim_link **ret)
{
	_cleanup_free_ char *started = NULL;
	struct xenpt_error *err;

	if (sim_name_is_valid(name)) {
		err = sim_link_open(name, false, ret);
		if (!err || err->code != XENPT_ERROR_NOT_FOUND)
			return err;
		xenpt_error_destroy(err);
	}
	XENPT_TRY(start(name, &started));
	return sim_link_open(started, false, ret);
}

static struct xenpt_error *sim_open(const char *domain, const char *backend,
				    struct hv_domain **ret)
{
	_cleanup_(cleanup_domain) struct sim_domain *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return xenpt_error_no_memory();
	if (backend && strcmp(backend, hv_sim_ops.name) != 0)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "%s: the back-end '%s' is not for sim: "
					  "domains: there is sim",
					  domain, backend);
	XENPT_TRY(find(domain + strlen(SIM_PREFIX), &sim->link));
	XENPT_TRY(map_memory(sim));
	XENPT_TRY(sim_link_info(sim->link, &sim->info));
	sim->domain.ops = &hv_sim_ops;
	sim->domain.info = &sim->info;
	sim->domain.mem = &sim->mem;
	*ret = &no_cleanup_ptr(sim)->domain;
	return NULL;
}

static void free_buffer(struct sim_buffer *buffer)
{
	if (buffer->ring)
		munmap(buffer->ring, buffer->layout->size);
	if (buffer->tables)
		munmap(buffer->tables, buffer->layout->table_pages * (size_t)BUFFER_PAGE);
	buffer_destroy(buffer->layout);
	*buffer = (struct sim_buffer){};
}

static void sim_close(struct hv_domain *domain)
{
	struct sim_domain *sim = of_domain(domain);

	for (size_t i = 0; i < SIM_LINK_VCPUS_MAX; i++)
		free_buffer(&sim->buffers[i]);
	if (sim->memory)
		munmap((void *)sim->memory, sim->memory_size);
	sim_link_close(sim->link);
	sim_info_deinit(&sim->info);
	free(sim);
}

/* ---- Buffers ----------------------------------------------------------- */

static struct xenpt_error *lay_out(struct sim_domain *sim, uint64_t gfn,
				   struct buffer **ret)
{
	const struct sim_hello *hello = &sim->link->hello;
	_cleanup_free_ uint64_t *sizes = NULL;
	struct buffer_layout layout = {
		.gfn = gfn,
		.size = sim->trace.size,
		.stop = hello->want_stop,
		.interrupt = true,
	};
	const char *text = *hello->topa       ? hello->topa
			   : hello->want_tiny ? TINY_REGIONS
					      : NULL;

	if (text)
		XENPT_TRY(buffer_parse_sizes(text, &sizes, &layout.size_count));
	layout.sizes = sizes;
	return buffer_create(&layout, ret);
}

/* All regions in a row, wherever in guest memory each of them is. */
static struct xenpt_error *map_ring(struct sim_domain *sim, struct sim_buffer *buffer)
{
	const struct buffer *layout = buffer->layout;
	int fd = sim->link->memory_fd;
	void *ring, *tables;

	tables = mmap(NULL, layout->table_pages * (size_t)BUFFER_PAGE,
		      PROT_READ | PROT_WRITE, MAP_SHARED, fd, layout->table_gpa);
	if (tables == MAP_FAILED)
		return xenpt_error_os(errno, "cannot map guest memory");
	buffer->tables = tables;
	ring = mmap(NULL, layout->size, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ring == MAP_FAILED)
		return xenpt_error_os(errno, "cannot map guest memory");
	buffer->ring = ring;
	for (size_t i = 0; i < layout->region_count; i++) {
		const struct buffer_region *region = &layout->regions[i];

		if (mmap(buffer->ring + region->offset, region->size, PROT_READ,
			 MAP_SHARED | MAP_FIXED, fd, region->gpa) == MAP_FAILED)
			return xenpt_error_os(errno, "cannot map guest memory");
	}
	return NULL;
}

/* Pages that lie in a row are one request. */
static struct xenpt_error *populate(struct sim_domain *sim, const struct buffer *layout)
{
	uint64_t begin = layout->table_gpa;
	uint64_t end = begin + layout->table_pages * BUFFER_PAGE;

	for (size_t i = 0; i < layout->region_count; i++) {
		const struct buffer_region *region = &layout->regions[i];

		if (region->gpa != end) {
			XENPT_TRY(ask(sim, SIM_POPULATE, 0, begin / BUFFER_PAGE,
				      (end - begin) / BUFFER_PAGE));
			begin = region->gpa;
		}
		end = region->gpa + region->size;
	}
	return ask(sim, SIM_POPULATE, 0, begin / BUFFER_PAGE,
		   (end - begin) / BUFFER_PAGE);
}

static void write_tables(struct sim_buffer *buffer)
{
	memcpy(buffer->tables, buffer->layout->tables,
	       buffer->layout->table_pages * (size_t)BUFFER_PAGE);
}

static struct xenpt_error *make_buffer(struct sim_domain *sim, struct sim_buffer *buffer,
				       uint64_t *gfn)
{
	XENPT_TRY(lay_out(sim, *gfn, &buffer->layout));
	if (buffer->layout->end_gfn > sim->memory_size / BUFFER_PAGE)
		return xenpt_error_create(
			XENPT_ERROR_INVALID,
			"%ju bytes of buffer do not fit: all vCPUs share %ju MiB",
			(uintmax_t)buffer->layout->size,
			(uintmax_t)sim->link->hello.window_size >> 20);
	*gfn = buffer->layout->end_gfn;
	XENPT_TRY(populate(sim, buffer->layout));
	XENPT_TRY(map_ring(sim, buffer));
	write_tables(buffer);
	return NULL;
}

/* ---- Tracing ----------------------------------------------------------- */

static struct xenpt_error *set_up(struct sim_domain *sim, uint32_t vcpu)
{
	const struct hv_trace *trace = &sim->trace;
	const struct buffer *layout = sim->buffers[vcpu].layout;
	struct sim_packet packet = { .message = {
					     .op = SIM_SETUP,
					     .vcpu = vcpu,
					     .a = layout->table_gpa,
					     .b = XPT_CTL_TOPA | hv_trace_ctl(trace),
					     .e = layout->size,
				     } };

	if (trace->cr3 != XENPT_CR3_ANY)
		packet.message.c = trace->cr3;
	if (trace->lossless)
		packet.message.d |= SIM_SETUP_LOSSLESS;
	if (trace->watch_code)
		packet.message.d |= SIM_SETUP_WATCH_CODE;
	for (size_t i = 0; i < trace->range_count && i < HV_RANGES_MAX; i++) {
		packet.message.ranges[2 * i] = trace->ranges[i].lo;
		packet.message.ranges[2 * i + 1] = trace->ranges[i].hi;
	}
	return sim_link_ask(sim->link, &packet);
}

static struct xenpt_error *start_vcpu(struct sim_domain *sim, uint32_t vcpu,
				      uint64_t *gfn)
{
	struct sim_buffer *buffer;

	if (vcpu >= sim->info.vcpus)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "no such vCPU: the domain has 0 to %u",
					  sim->info.vcpus - 1);
	buffer = &sim->buffers[vcpu];
	if (buffer->layout)
		return xenpt_error_create(XENPT_ERROR_INVALID, "is traced already");
	XENPT_TRY(make_buffer(sim, buffer, gfn));
	XENPT_TRY(set_up(sim, vcpu));
	XENPT_TRY(ask(sim, SIM_ENABLE, vcpu, 0, 0));
	buffer->last = (struct hv_position){ .has_total = true };
	buffer->enabled = true;
	return NULL;
}

/* As if it had not been begun; what cannot be undone ends with the connection. */
static void undo_start(struct sim_domain *sim)
{
	for (uint32_t i = 0; i < sim->info.vcpus; i++) {
		const struct buffer *layout = sim->buffers[i].layout;

		if (!layout)
			continue;
		xenpt_error_destroy(ask(sim, SIM_TEARDOWN, i, 0, 0));
		xenpt_error_destroy(
			ask(sim, SIM_DEPOPULATE, 0, layout->table_gpa / BUFFER_PAGE,
			    layout->end_gfn - layout->table_gpa / BUFFER_PAGE));
		free_buffer(&sim->buffers[i]);
	}
}

static struct xenpt_error *resume(struct sim_domain *sim)
{
	XENPT_TRY(ask(sim, SIM_RESUME, 0, 0, 0));
	sim->paused = false;
	if (sim->link->hello.held)
		sim->info.state = HV_RUNNING;
	sim->link->hello.held = false;
	return NULL;
}

static struct xenpt_error *start_all(struct sim_domain *sim, const struct hv_trace *trace)
{
	size_t count = trace->vcpus ? trace->vcpu_count : sim->info.vcpus;
	uint64_t gfn = sim->link->hello.window_base / BUFFER_PAGE;
	struct xenpt_error *err;

	for (size_t i = 0; i < count; i++) {
		uint32_t vcpu = trace->vcpus ? trace->vcpus[i] : i;

		err = start_vcpu(sim, vcpu, &gfn);
		if (err)
			return xenpt_error_prepend(err, "sim:%s: vCPU %u",
						   sim->link->name, vcpu);
	}
	if (!sim->link->hello.held || sim->paused)
		return NULL;
	return resume(sim);
}

static struct xenpt_error *check_trace(const struct hv_trace *trace)
{
	if (trace->catch_triple_fault)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "--catch-triple-fault is for Xen domains: a "
					  "sim: guest that ends so has crashed anyway");
	if (trace->insns)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "--insns: not with an embedded guest, whose "
					  "own length bounds it");
	if (trace->ptw)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "--ptw: the embedded CPU has no PTWRITE");
	if (trace->no_pip)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "--no-pip: an embedded guest is started so: "
					  "-d sim:SCENARIO,no-pip");
	return NULL;
}

static struct xenpt_error *sim_trace_start(struct hv_domain *domain,
					   const struct hv_trace *trace)
{
	struct sim_domain *sim = of_domain(domain);
	struct xenpt_error *err;

	XENPT_TRY(check_trace(trace));
	sim->trace = *trace;
	sim->trace.vcpus = NULL;
	err = start_all(sim, trace);
	if (err)
		undo_start(sim);
	return err;
}

/* A xenpt-sim that has ended writes nothing any more, and nobody has to be told. */
static struct xenpt_error *unless_gone(struct sim_domain *sim, struct xenpt_error *err)
{
	if (!err || !sim->link->gone)
		return err;
	sim->info.state = HV_ENDED;
	xenpt_error_destroy(err);
	return NULL;
}

static struct xenpt_error *sim_trace_stop(struct hv_domain *domain)
{
	struct sim_domain *sim = of_domain(domain);

	for (uint32_t i = 0; i < sim->info.vcpus; i++) {
		if (!sim->buffers[i].enabled)
			continue;
		XENPT_TRY(unless_gone(sim, ask(sim, SIM_DISABLE, i, 0, 0)));
		sim->buffers[i].enabled = false;
	}
	return NULL;
}

static struct xenpt_error *find_buffer(struct sim_domain *sim, uint32_t vcpu,
				       struct sim_buffer **ret)
{
	if (vcpu >= sim->info.vcpus || !sim->buffers[vcpu].layout)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "sim:%s: vCPU %u is not traced",
					  sim->link->name, vcpu);
	*ret = &sim->buffers[vcpu];
	return NULL;
}

static const uint8_t *sim_buffer(struct hv_domain *domain, uint32_t vcpu,
				 size_t *size_ret)
{
	struct sim_domain *sim = of_domain(domain);

	if (vcpu >= sim->info.vcpus || !sim->buffers[vcpu].layout)
		return NULL;
	*size_ret = sim->buffers[vcpu].layout->size;
	return sim->buffers[vcpu].ring;
}

/*
 * The total counts what the CPU put out, wherever the tables sent it: it says where in
 * the ring that is only as long as they are ours, and the MSRs agree.
 */
static bool is_believable(const struct sim_buffer *buffer,
			  const struct sim_message *reply)
{
	uint64_t offset;

	return buffer_is_intact(buffer->layout, buffer->tables) &&
	       buffer_offset(buffer->layout, reply->b, reply->c, &offset) &&
	       offset % buffer->layout->size == reply->a % buffer->layout->size &&
	       reply->a >= buffer->last.total;
}

static struct xenpt_error *sim_position(struct hv_domain *domain, uint32_t vcpu,
					struct hv_position *ret)
{
	struct sim_packet packet = { .message = { .op = SIM_POSITION, .vcpu = vcpu } };
	struct sim_domain *sim = of_domain(domain);
	const struct sim_message *reply = &packet.message;
	struct sim_buffer *buffer;

	XENPT_TRY(find_buffer(sim, vcpu, &buffer));
	XENPT_TRY(unless_gone(sim, sim_link_ask(sim->link, &packet)));
	if (!sim->link->gone) {
		buffer->last.stopped = reply->d & XPT_STATUS_STOPPED;
		buffer->last.error = reply->d & XPT_STATUS_ERROR;
		buffer->last.fault = reply->e;
		if (is_believable(buffer, reply))
			buffer->last.total = reply->a;
		else
			buffer->last.tampered = true;
	}
	buffer->last.gone = sim->link->gone;
	*ret = buffer->last;
	return NULL;
}

static struct xenpt_error *sim_consume(struct hv_domain *domain, uint32_t vcpu,
				       uint64_t total)
{
	struct sim_domain *sim = of_domain(domain);

	return unless_gone(sim, ask(sim, SIM_CONSUME, vcpu, total, 0));
}

static struct xenpt_error *sim_restart(struct hv_domain *domain, uint32_t vcpu)
{
	struct sim_domain *sim = of_domain(domain);
	struct sim_buffer *buffer;

	XENPT_TRY(find_buffer(sim, vcpu, &buffer));
	XENPT_TRY(ask(sim, SIM_DISABLE, vcpu, 0, 0));
	write_tables(buffer);
	XENPT_TRY(ask(sim, SIM_RESET, vcpu, 0, 0));
	buffer->last = (struct hv_position){ .has_total = true };
	return ask(sim, SIM_ENABLE, vcpu, 0, 0);
}

/* ---- The domain -------------------------------------------------------- */

static struct xenpt_error *sim_pause(struct hv_domain *domain)
{
	struct sim_domain *sim = of_domain(domain);

	XENPT_TRY(unless_gone(sim, ask(sim, SIM_PAUSE, 0, 0, 0)));
	sim->paused = true;
	return NULL;
}

static struct xenpt_error *sim_resume(struct hv_domain *domain)
{
	struct sim_domain *sim = of_domain(domain);

	return unless_gone(sim, resume(sim));
}

static struct xenpt_error *sim_registers(struct hv_domain *domain, uint32_t vcpu,
					 struct xenpt_registers *ret)
{
	struct sim_packet packet = { .message = { .op = SIM_REGISTERS, .vcpu = vcpu } };

	XENPT_TRY(sim_link_ask(of_domain(domain)->link, &packet));
	*ret = packet.registers;
	return NULL;
}

static int sim_fd(struct hv_domain *domain)
{
	return of_domain(domain)->link->poll_fd;
}

static struct xenpt_error *sim_event(struct hv_domain *domain, struct hv_event *ret)
{
	struct sim_domain *sim = of_domain(domain);

	XENPT_TRY(sim_link_event(sim->link, ret));
	if (ret->type == HV_EVENT_STATE)
		sim->info.state = sim->link->hello.state;
	return NULL;
}

static struct xenpt_error *sim_console(struct hv_domain *domain, char **ret)
{
	struct sim_packet packet = { .message = { .op = SIM_CONSOLE } };
	char *text;

	XENPT_TRY(sim_link_ask(of_domain(domain)->link, &packet));
	text = strdup(packet.message.size ? packet.text : "");
	if (!text)
		return xenpt_error_no_memory();
	*ret = text;
	return NULL;
}

const struct hv_ops hv_sim_ops = {
	.name = "sim",
	.claims = sim_claims,
	.list = sim_list,
	.open = sim_open,
	.check = sim_check,
	.close = sim_close,
	.trace_start = sim_trace_start,
	.trace_stop = sim_trace_stop,
	.buffer = sim_buffer,
	.position = sim_position,
	.consume = sim_consume,
	.restart = sim_restart,
	.pause = sim_pause,
	.resume = sim_resume,
	.registers = sim_registers,
	.fd = sim_fd,
	.event = sim_event,
	.console = sim_console,
};
