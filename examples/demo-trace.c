/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * demo-trace PROGRAM TRACE: writes the trace that Processor Trace would make of
 * PROGRAM's own code, on any x86-64 machine. The program runs one instruction
 * at a time; where it goes at each branch becomes packets, by libipt's encoder.
 */
#include <err.h>
#include <errno.h>
#include <intel-pt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define BUF_SIZE (1 << 20)
#define EXIT_SKIP 77 /* may not trace here */

static uint8_t buf[BUF_SIZE];
static struct pt_encoder *encoder;

/* ---- Packets ----------------------------------------------------------- */

static void put(const struct pt_packet *packet)
{
	int status = pt_enc_next(encoder, packet);

	if (status < 0)
		errx(1, "cannot encode: %s", pt_errstr(pt_errcode(status)));
}

static void put_type(enum pt_packet_type type)
{
	struct pt_packet packet = { .type = type };

	put(&packet);
}

static void put_ip(enum pt_packet_type type, enum pt_ip_compression ipc, uint64_t ip)
{
	struct pt_packet packet = { .type = type };

	packet.payload.ip.ipc = ipc;
	packet.payload.ip.ip = ip;
	put(&packet);
}

static void put_tsc(void)
{
	struct pt_packet packet = { .type = ppt_tsc };

	packet.payload.tsc.tsc = __rdtsc() & ((UINT64_C(1) << 56) - 1);
	put(&packet);
}

/* Conditional branches: up to six to a packet, the oldest in the highest bit. */
static struct pt_packet_tnt tnt;

static void put_tnt(void)
{
	struct pt_packet packet = { .type = ppt_tnt_8 };

	if (!tnt.bit_size)
		return;
	packet.payload.tnt = tnt;
	put(&packet);
	memset(&tnt, 0, sizeof(tnt));
}

static void add_branch(bool taken)
{
	tnt.payload = tnt.payload << 1 | taken;
	if (++tnt.bit_size == 6)
		put_tnt();
}

static void put_tip(uint64_t ip)
{
	put_tnt(); /* what was before it */
	put_tsc();
	put_ip(ppt_tip, pt_ipc_sext_48, ip);
}

/* Tracing is of the program's code only, so it starts at the first of it. */
static void put_begin(uint64_t ip)
{
	struct pt_packet mode = { .type = ppt_mode };

	put_type(ppt_psb);
	put_tsc();
	put_type(ppt_psbend);
	mode.payload.mode.leaf = pt_mol_exec;
	mode.payload.mode.bits.exec.csl = 1; /* 64-bit code */
	put(&mode);
	put_ip(ppt_tip_pge, pt_ipc_sext_48, ip);
}

/* ... and ends where the kernel takes over. */
static void put_end(void)
{
	put_tnt();
	put_tsc();
	put_ip(ppt_tip_pgd, pt_ipc_suppressed, 0);
}

/* ---- Instructions ------------------------------------------------------ */

enum kind {
	KIND_OTHER, /* goes where its bytes say: no packet */
	KIND_COND,
	KIND_INDIRECT, /* RET, JMP and CALL through a register or memory */
	KIND_SYSCALL,
};

/* What makes packets (SDM volume 3, "Change of Flow Instruction Tracing"). */
static enum kind classify(const uint8_t *insn, size_t *length_ret)
{
	const uint8_t *p = insn;

	while (*p == 0x66 || *p == 0xf2 || *p == 0xf3 || *p == 0x2e || *p == 0x3e)
		p++;
	if ((*p & 0xf0) == 0x40) /* REX */
		p++;
	if ((*p & 0xf0) == 0x70 || (*p >= 0xe0 && *p <= 0xe3)) {
		*length_ret = p - insn + 2; /* Jcc, LOOP, JCXZ rel8 */
		return KIND_COND;
	}
	if (p[0] == 0x0f && (p[1] & 0xf0) == 0x80) {
		*length_ret = p - insn + 6; /* Jcc rel32 */
		return KIND_COND;
	}
	if (p[0] == 0x0f && p[1] == 0x05)
		return KIND_SYSCALL;
	if (p[0] == 0xc2 || p[0] == 0xc3)
		return KIND_INDIRECT;
	if (p[0] == 0xff && ((p[1] >> 3 & 7) == 2 || (p[1] >> 3 & 7) == 4))
		return KIND_INDIRECT;
	return KIND_OTHER;
}

/* ---- The program ------------------------------------------------------- */

static void start(char *program)
{
	char *const argv[] = { program, NULL };

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		err(EXIT_SKIP, "cannot be traced");
	execv(program, argv);
	err(1, "%s", program);
}

static uint64_t get_ip(pid_t pid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		err(1, "cannot read registers");
	return regs.rip;
}

static void get_insn(pid_t pid, uint64_t ip, uint8_t insn[16])
{
	size_t i;

	for (i = 0; i < 16; i += 8) {
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKTEXT, pid, (void *)(ip + i), NULL);
		if (errno) /* the end of the code, maybe in an instruction's reach */
			word = 0;
		memcpy(insn + i, &word, 8);
	}
}

/* False: it has ended. */
static bool step(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL))
		err(1, "cannot step");
	if (waitpid(pid, &status, 0) < 0)
		err(1, "cannot wait");
	return WIFSTOPPED(status);
}

/* Returns the number of instructions. */
static unsigned int trace(pid_t pid)
{
	unsigned int insns = 0;
	uint64_t ip = get_ip(pid), next;
	uint8_t insn[16];
	size_t length = 0;
	enum kind kind;

	put_begin(ip);
	for (;; insns++) {
		get_insn(pid, ip, insn);
		kind = classify(insn, &length);
		if (kind == KIND_SYSCALL)
			put_end();
		if (!step(pid))
			return insns + 1;
		next = get_ip(pid);
		if (kind == KIND_SYSCALL)
			errx(1, "the program may make one system call, to exit");
		if (kind == KIND_COND)
			add_branch(next != ip + length);
		else if (kind == KIND_INDIRECT)
			put_tip(next);
		ip = next;
	}
}

static void save(const char *path)
{
	uint64_t size;
	FILE *out;

	if (pt_enc_get_offset(encoder, &size) < 0)
		errx(1, "no trace");
	out = fopen(path, "wb");
	if (!out || fwrite(buf, 1, size, out) != size || fclose(out))
		err(1, "%s", path);
}

int main(int argc, char **argv)
{
	struct pt_config config;
	unsigned int insns;
	int status;
	pid_t pid;

	if (argc != 3)
		errx(2, "usage: demo-trace PROGRAM TRACE");
	pt_config_init(&config);
	config.begin = buf;
	config.end = buf + sizeof(buf);
	encoder = pt_alloc_encoder(&config);
	if (!encoder)
		errx(1, "out of memory");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid)
		start(argv[1]);
	if (waitpid(pid, &status, 0) < 0)
		err(1, "wait");
	if (!WIFSTOPPED(status))
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	insns = trace(pid);
	save(argv[2]);
	printf("%s: %u instructions\n", argv[1], insns);
	pt_free_encoder(encoder);
	return 0;
}
