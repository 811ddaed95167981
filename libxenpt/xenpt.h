/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxenpt: read, decode and tell the story of Intel Processor Trace (PT).
 *
 * The sections stand in the order in which the data flows:
 *
 *	Version		what this build can do
 *	Errors		how every function fails
 *	Description	CPU, vCPU, image, symbol: what surrounds a trace
 *	Writer		makes a .xpt file
 *	Import		makes a .xpt file from traces that others recorded
 *	File		opens a .xpt file
 *	Image		code by address space and address
 *	Symbols		address -> symbol and back
 *	Clock		TSC -> nanoseconds
 *	Packets		the trace, packet by packet
 *	Events		what the vCPU executed
 *	Decoder		packets -> events
 *	Capture		which code a trace reaches, while it is recorded
 *	Filter		which events a user asked for
 *	Stack		events -> call stacks
 *	Sinks		events -> text, JSON
 *
 * Conventions.  A function that can fail returns struct xenpt_error *, NULL for
 * success; its result is the last parameter, "ret", which is left alone on
 * failure.  _destroy() and _close() take NULL.  Objects may be used by one
 * thread at a time; different objects by different threads, and those said to
 * be immutable by any number.  The library prints nothing and never exits.
 * Addresses, sizes and offsets are in bytes, times in TSC ticks.
 *
 * Everything that comes out of a trace or a file (names, too) may have been
 * chosen by a hostile guest: escape it before it reaches a terminal.
 */
#ifndef XENPT_H
#define XENPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define XENPT_API __attribute__((visibility("default")))
#define XENPT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define XENPT_API
#define XENPT_PRINTF(fmt, args)
#endif

/* ---- Version ----------------------------------------------------------- */

/** The library's version, "MAJOR.MINOR.PATCH". Static. */
XENPT_API const char *xenpt_version(void);

/** An optional part of the library. */
struct xenpt_feature {
	const char *name;    /* as configure names it: "zstd" */
	const char *version; /* of the library used; NULL: not built in */
	const char *purpose; /* what is missing without it */
};

/** All optional parts; the last has a NULL name. Static. */
XENPT_API const struct xenpt_feature *xenpt_features(void);

/* ---- Errors ------------------------------------------------------------ */

enum xenpt_error_code {
	XENPT_ERROR_NO_MEMORY,
	XENPT_ERROR_OS,          /* a system call failed: errnum */
	XENPT_ERROR_INVALID,     /* the caller asked for the impossible */
	XENPT_ERROR_FORMAT,      /* a file is not what it should be */
	XENPT_ERROR_UNSUPPORTED, /* not in this build or version */
	XENPT_ERROR_NOT_FOUND,
	XENPT_ERROR_CANCELLED, /* a callback asked to stop */
};

/** Why something failed. Owned by who got it: xenpt_error_destroy(). */
struct xenpt_error {
	enum xenpt_error_code code;
	int errnum;    /* errno of XENPT_ERROR_OS, or 0 */
	char *message; /* "guest.xpt: chunk 17: bad checksum" */
};

/** Make an error. Never NULL: out of memory gives a static error. */
XENPT_API struct xenpt_error *xenpt_error_create(enum xenpt_error_code code,
						 const char *fmt, ...) XENPT_PRINTF(2, 3);

/** The same for a failed system call: ": strerror(errnum)" is appended. */
XENPT_API struct xenpt_error *xenpt_error_os(int errnum, const char *fmt, ...)
	XENPT_PRINTF(2, 3);

/** The static out-of-memory error. */
XENPT_API struct xenpt_error *xenpt_error_no_memory(void);

/**
 * Put "CONTEXT: " before the message of @err, which may be NULL; returns @err.
 * Each layer says what it was doing: xenpt_error_prepend(err, "%s", path).
 */
XENPT_API struct xenpt_error *xenpt_error_prepend(struct xenpt_error *err,
						  const char *fmt, ...)
	XENPT_PRINTF(2, 3);

XENPT_API void xenpt_error_destroy(struct xenpt_error *err);

/* ---- Description ------------------------------------------------------- */

/** Any address space: what has no CR3 of its own, and a filter that passes all. */
#define XENPT_CR3_ANY UINT64_MAX

/** The CPU that recorded. Zero where unknown. */
struct xenpt_cpu {
	uint16_t family; /* 6 */
	uint8_t model;   /* 85 */
	uint8_t stepping;
	uint8_t intel;         /* GenuineIntel: 1; another vendor or unknown: 0 */
	uint8_t nom_freq;      /* max. non-turbo ratio, MSR CEH[15:8]: x 100 MHz */
	uint8_t mtc_freq;      /* IA32_RTIT_CTL.MTCFreq */
	uint32_t cpuid_15_eax; /* TSC / crystal clock = ebx / eax */
	uint32_t cpuid_15_ebx;
	/* ns = time_zero + ((tsc * time_mult) >> time_shift); perf's numbers */
	uint16_t time_shift;
	uint32_t time_mult; /* 0: unknown */
	uint64_t time_zero;
};

/** Whether libipt knows this CPU's errata; if not, those of all Cores apply. */
XENPT_API bool xenpt_cpu_is_known(const struct xenpt_cpu *cpu);

/** One stream of trace. */
struct xenpt_vcpu {
	uint32_t id;
	const char *name; /* where it came from, for people; may be "" */
};

/** What was recorded. Strings may be "". */
struct xenpt_domain {
	const char *name, *uuid;
	const char *type;    /* "sim", "HVM", "PVH" */
	const char *backend; /* "sim", "vmtrace", "vpt" */
	uint32_t vcpus;
	uint64_t memory; /* bytes of RAM */
};

/** How a recording ended. Strings may be "". */
struct xenpt_outcome {
	const char *why;     /* "the domain crashed", "interrupted", … */
	const char *console; /* what the guest or hypervisor said last */
	bool crashed;
};

/** A 4-KiB page of an address space. */
struct xenpt_mapping {
	uint64_t address;
	uint64_t gpa; /* guest-physical; XENPT_GPA_NONE: nothing that could be read */
};
#define XENPT_GPA_NONE UINT64_MAX

/** A file whose code or symbols are in the .xpt. */
struct xenpt_image_info {
	uint32_t id;
	const char *name;     /* path in the guest or host */
	const char *build_id; /* hex digits; "": unknown */
	uint64_t cr3;         /* the address space that it is in, or XENPT_CR3_ANY */
	uint64_t code_size;   /* of an open file: bytes of its code */
};

/** A function or object. @name is valid as long as its table. */
struct xenpt_symbol {
	uint64_t address;
	uint64_t size; /* 0: up to the next symbol, at most 64 KiB */
	const char *name;
	const char *image; /* name of the image; may be "" */
	uint64_t cr3;      /* the image's address space, or XENPT_CR3_ANY */
};

/** What a vCPU was in. Zero where unknown. */
struct xenpt_registers {
	uint64_t gpr[16]; /* RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15 */
	uint64_t rip, rflags;
	uint64_t cr0, cr2, cr3, cr4, efer;
	uint64_t fs_base, gs_base, shadow_gs_base;
	uint64_t idt_base, gdt_base, lstar;
	uint64_t tsc;
	uint16_t cs, ss; /* selectors */
	uint8_t cpl;
	uint8_t mode; /* 16, 32, 64 */
	uint8_t reserved[2];
};

/** Why trace is missing. The numbers are those of the file format. */
enum xenpt_gap_reason {
	XENPT_GAP_SEAM = 1,     /* the recorder cannot say whether bytes are lost */
	XENPT_GAP_LAPPED = 2,   /* the CPU overwrote what was not yet read */
	XENPT_GAP_STOPPED = 3,  /* the output region was full */
	XENPT_GAP_FAULT = 4,    /* the output could not be written */
	XENPT_GAP_DROPPED = 5,  /* the recorder could not keep up (perf: LOST) */
	XENPT_GAP_DAMAGED = 6,  /* the file is damaged here (made by the reader) */
	XENPT_GAP_NO_PSB = 7,   /* bytes before the first PSB (made by the decoder) */
	XENPT_GAP_ERROR = 8,    /* the CPU did not like its ToPA table */
	XENPT_GAP_TAMPERED = 9, /* the guest rewrote its ToPA table */
	XENPT_GAP_GONE = 10,    /* the domain was destroyed before its trace was read */
};

/** "lapped", …; "gap" for a number that is not known. Static. */
XENPT_API const char *xenpt_gap_reason_name(unsigned int reason);

/* ---- Writer ------------------------------------------------------------ */

/**
 * Writes a .xpt file, chunk by chunk, also into a pipe: see xenpt-file(5).
 * What was written stays readable whenever the writer stops. All functions
 * can fail with XENPT_ERROR_OS (full disk; EPIPE, where the program ignores
 * SIGPIPE); after that all others fail.
 */
struct xenpt_writer;

/** Start a file on @fd, which stays the caller's. @name is for messages. */
XENPT_API struct xenpt_error *xenpt_writer_create(int fd, const char *name,
						  struct xenpt_writer **ret);

/** Free; without xenpt_writer_finish() the file is left without its end mark. */
XENPT_API void xenpt_writer_destroy(struct xenpt_writer *writer);

/** Describe the CPU; once, before any trace. */
XENPT_API struct xenpt_error *xenpt_writer_cpu(struct xenpt_writer *writer,
					       const struct xenpt_cpu *cpu);

/** Announce a vCPU, before its trace. Ids are below XENPT_VCPUS_MAX. */
XENPT_API struct xenpt_error *xenpt_writer_vcpu(struct xenpt_writer *writer,
						const struct xenpt_vcpu *vcpu);
#define XENPT_VCPUS_MAX 4096

/** Append trace of one vCPU: it follows the bytes before it without a seam. */
XENPT_API struct xenpt_error *xenpt_writer_trace(struct xenpt_writer *writer,
						 uint32_t vcpu, const void *data,
						 size_t size);

/** Mark that trace is missing here; @lost bytes, 0 where unknown. */
XENPT_API struct xenpt_error *xenpt_writer_gap(struct xenpt_writer *writer, uint32_t vcpu,
					       enum xenpt_gap_reason reason,
					       uint64_t lost);

/** Describe an image, before its code and symbols. Ids: below XENPT_IMAGES_MAX. */
XENPT_API struct xenpt_error *xenpt_writer_image(struct xenpt_writer *writer,
						 const struct xenpt_image_info *image);
#define XENPT_IMAGES_MAX 65536

/** Add code at @address in @cr3 (or XENPT_CR3_ANY); a later one wins. */
XENPT_API struct xenpt_error *xenpt_writer_code(struct xenpt_writer *writer,
						uint32_t image, uint64_t cr3,
						uint64_t address, const void *data,
						size_t size);

/** Add symbols of an image. Their members @image and @cr3 are not used. */
XENPT_API struct xenpt_error *xenpt_writer_symbols(struct xenpt_writer *writer,
						   uint32_t image,
						   const struct xenpt_symbol *symbols,
						   size_t count);

/** Say what was recorded; once, before any trace. */
XENPT_API struct xenpt_error *xenpt_writer_domain(struct xenpt_writer *writer,
						  const struct xenpt_domain *domain);

/**
 * Add guest-physical memory, whole 4-KiB pages at @gpa, as it was in the present epoch.
 * Of the same page in the same epoch a later one wins.
 */
XENPT_API struct xenpt_error *xenpt_writer_pages(struct xenpt_writer *writer,
						 uint64_t gpa, const void *data,
						 size_t size);

/** Say that in the present epoch these pages were mapped, in @cr3 (masked). */
XENPT_API struct xenpt_error *xenpt_writer_map(struct xenpt_writer *writer, uint64_t cr3,
					       const struct xenpt_mapping *mappings,
					       size_t count);

/**
 * Begin a new epoch: code or page tables are about to change. What was written of each
 * vCPU's trace ran before; what follows starts with a PSB and ran after. Pages and
 * mappings of older epochs hold until a newer epoch has its own.
 */
XENPT_API struct xenpt_error *xenpt_writer_epoch(struct xenpt_writer *writer);

/** Add what the vCPU was in where its trace now ends. */
XENPT_API struct xenpt_error *xenpt_writer_registers(struct xenpt_writer *writer,
						     uint32_t vcpu,
						     const struct xenpt_registers *regs);

/** Say what became of the domain, and what its console last said. At most once. */
XENPT_API struct xenpt_error *xenpt_writer_outcome(struct xenpt_writer *writer,
						   const struct xenpt_outcome *outcome);

/** Bytes written so far: whole chunks. */
XENPT_API uint64_t xenpt_writer_size(const struct xenpt_writer *writer);

/** Write the end mark: the file is complete. */
XENPT_API struct xenpt_error *xenpt_writer_finish(struct xenpt_writer *writer);

/* ---- Import ------------------------------------------------------------ */

/** What to import; see xenpt-import(1). Strings are borrowed for the call. */
struct xenpt_import {
	struct xenpt_cpu cpu; /* bundle, recording: what is not zero overrides them */
	const char *symfs;    /* directory to find images below, or NULL */
	int64_t pid;          /* bundle, recording: whose code; -1: the only one's */
	uint64_t cr3;         /* the address space that code goes to, or XENPT_CR3_ANY */
	/* Told about each thing that a user should know; may be NULL. */
	void (*warn)(void *arg, const char *message);
	/* Told how many bytes of the file being read are done; may be NULL. */
	void (*progress)(void *arg, const char *path, uint64_t done, uint64_t total);
	void *arg;
};

#define XENPT_IMPORT_DEFAULTS                   \
	{                                       \
		.pid = -1, .cr3 = XENPT_CR3_ANY \
	}

/**
 * Raw PT, one file or pipe per vCPU, as vCPU @vcpu, which it announces; "-" is
 * standard input. The CPU is the caller's to describe, before:
 * xenpt_writer_cpu().
 */
XENPT_API struct xenpt_error *xenpt_import_pt(struct xenpt_writer *writer,
					      const struct xenpt_import *import,
					      uint32_t vcpu, const char *path);

/**
 * Code and symbols of an ELF file, as image @image, which it announces. @base
 * is the address of the page of its lowest loaded byte, or UINT64_MAX for the
 * addresses in the file. @build_id, hex digits or NULL, is checked.
 */
XENPT_API struct xenpt_error *xenpt_import_elf(struct xenpt_writer *writer,
					       const struct xenpt_import *import,
					       uint32_t image, const char *path,
					       uint64_t base, const char *build_id);

/**
 * The functions of the ELF file @path that a guest's kernel was started from, as image
 * @image called @name, which it announces: those of the upper half, in all address
 * spaces. Its code is the guest's memory's to tell.
 */
XENPT_API struct xenpt_error *xenpt_import_kernel(struct xenpt_writer *writer,
						  uint32_t image, const char *path,
						  const char *name);

/** Bytes [@begin, @end) of a file as code at @address, as image @image. */
XENPT_API struct xenpt_error *xenpt_import_raw(struct xenpt_writer *writer,
					       const struct xenpt_import *import,
					       uint32_t image, const char *path,
					       uint64_t begin, uint64_t end,
					       uint64_t address);

/** A page map: lines "BEGIN END ADDRESS" in hex over the bytes of @data_path. */
XENPT_API struct xenpt_error *xenpt_import_map(struct xenpt_writer *writer,
					       const struct xenpt_import *import,
					       uint32_t image, const char *map_path,
					       const char *data_path);

/**
 * A whole bundle: an LLDB trace.json and the files it names. @ret is the CPU
 * that was written, so that the caller can say whether it is known.
 */
XENPT_API struct xenpt_error *xenpt_import_lldb(struct xenpt_writer *writer,
						const struct xenpt_import *import,
						const char *path, struct xenpt_cpu *ret);

/** A whole recording: a perf.data with Intel PT AUX data. @ret: as above. */
XENPT_API struct xenpt_error *xenpt_import_perf(struct xenpt_writer *writer,
						const struct xenpt_import *import,
						const char *path, struct xenpt_cpu *ret);

/* ---- File -------------------------------------------------------------- */

/** An open .xpt file. Immutable once open. */
struct xenpt_file;

/**
 * Open @path, "-" for standard input (spooled). Reads all chunk headers, and
 * the payload of those that describe; trace is read when it is decoded. A
 * damaged file opens if one whole chunk is left: see xenpt_file_info.
 */
XENPT_API struct xenpt_error *xenpt_file_open(const char *path, struct xenpt_file **ret);
XENPT_API void xenpt_file_close(struct xenpt_file *file);

/** A part of the file that cannot be read. */
struct xenpt_damage {
	uint64_t offset, size; /* in the file; size 0: chunks are missing here */
	const char *why;       /* static */
};

/** What a file holds. Valid as long as the file. */
struct xenpt_file_info {
	const char *path;
	uint64_t size;
	unsigned int major, minor; /* of the format */
	const char *creator;       /* "xenpt 0.1.0"; may be "" */
	bool complete;             /* has its end mark, and no damage */
	struct xenpt_cpu cpu;
	const struct xenpt_vcpu_info *vcpus; /* by id */
	size_t vcpu_count;
	const struct xenpt_image_info *images; /* in file order */
	size_t image_count;
	const struct xenpt_damage *damages; /* by offset; the first 1,024 */
	size_t damage_count;
	uint64_t chunks;                     /* whole ones */
	uint64_t code_size;                  /* bytes of code */
	const struct xenpt_domain *domain;   /* NULL: not recorded from one */
	const struct xenpt_outcome *outcome; /* NULL: unknown */
	const struct xenpt_sample *samples;  /* by vCPU, then by offset */
	size_t sample_count;
	uint64_t pages;  /* of guest memory, counting each version */
	uint32_t epochs; /* 1: the code never changed */
};

/** What a vCPU was in at a place in its trace. */
struct xenpt_sample {
	uint32_t vcpu;
	uint64_t offset; /* in its trace: of the first byte that came later */
	struct xenpt_registers regs;
};

struct xenpt_vcpu_info {
	struct xenpt_vcpu vcpu;
	uint64_t size; /* bytes of trace in the file */
	uint64_t gaps; /* recorded, or made by the reader for damage */
	uint64_t lost; /* bytes that they are known to have lost */
};

XENPT_API const struct xenpt_file_info *xenpt_file_info(const struct xenpt_file *file);

/* ---- Image ------------------------------------------------------------- */

/** All code of a file, by address space. Immutable once made. */
struct xenpt_image;

XENPT_API struct xenpt_error *xenpt_image_create(const struct xenpt_file *file,
						 struct xenpt_image **ret);
XENPT_API void xenpt_image_destroy(struct xenpt_image *image);

/**
 * Copy up to @size bytes of code at @address of @cr3, as it was in @epoch (see
 * XENPT_EVENT_CODE; before the first such event it is 0); the address space's own
 * code goes before that of XENPT_CR3_ANY. Returns how many bytes there were.
 */
XENPT_API size_t xenpt_image_read(const struct xenpt_image *image, uint32_t epoch,
				  uint64_t cr3, uint64_t address, void *buf, size_t size);

/* ---- Symbols ----------------------------------------------------------- */

/** All symbols of a file, by address space. Immutable once made. */
struct xenpt_symtab;

XENPT_API struct xenpt_error *xenpt_symtab_create(const struct xenpt_file *file,
						  struct xenpt_symtab **ret);
XENPT_API void xenpt_symtab_destroy(struct xenpt_symtab *symtab);

/** The symbol that @address of @cr3 lies in. False: none. */
XENPT_API bool xenpt_symtab_find(const struct xenpt_symtab *symtab, uint64_t cr3,
				 uint64_t address, struct xenpt_symbol *ret);

/**
 * The first symbol called @name, by CR3 and address, that @cr3 has: its own go
 * before those of XENPT_CR3_ANY, which as @cr3 has all. False: none.
 */
XENPT_API bool xenpt_symtab_find_name(const struct xenpt_symtab *symtab, uint64_t cr3,
				      const char *name, struct xenpt_symbol *ret);

/* ---- Clock ------------------------------------------------------------- */

/** TSC ticks -> nanoseconds. */
struct xenpt_clock {
	double ns_per_tick; /* 0: unknown */
};

/** From perf's numbers, or CPUID 15H and the nominal frequency, or nothing. */
XENPT_API struct xenpt_clock xenpt_clock_from_cpu(const struct xenpt_cpu *cpu);

/* ---- Packets ----------------------------------------------------------- */

/** The packets of SDM volume 3, chapter "Intel Processor Trace". */
enum xenpt_packet_type {
	XENPT_PACKET_BAD, /* bytes that are no packet, up to the next PSB */
	XENPT_PACKET_PAD, /* one byte each */
	XENPT_PACKET_PSB,
	XENPT_PACKET_PSBEND,
	XENPT_PACKET_TNT_8, /* payload: bits, the oldest highest; aux: count */
	XENPT_PACKET_TNT_64,
	XENPT_PACKET_TIP, /* payload: IP; aux: IPBytes, 0: suppressed */
	XENPT_PACKET_TIP_PGE,
	XENPT_PACKET_TIP_PGD,
	XENPT_PACKET_FUP,
	XENPT_PACKET_PIP,       /* payload: CR3; aux: NR */
	XENPT_PACKET_VMCS,      /* payload: VMCS base address */
	XENPT_PACKET_MODE_EXEC, /* aux: 16, 32, 64 bits, 0 reserved; payload: IF */
	XENPT_PACKET_MODE_TSX,  /* payload: bit 0 InTX, bit 1 TXAbort */
	XENPT_PACKET_TSC,       /* payload: TSC[55:0] */
	XENPT_PACKET_MTC,       /* payload: CTC */
	XENPT_PACKET_TMA,       /* payload: CTC; aux: FastCounter */
	XENPT_PACKET_CYC,       /* payload: cycles */
	XENPT_PACKET_CBR,       /* payload: core:bus ratio */
	XENPT_PACKET_OVF,
	XENPT_PACKET_STOP,   /* TraceStop */
	XENPT_PACKET_PTW,    /* payload: data; aux: bytes | IP bit << 8 */
	XENPT_PACKET_EXSTOP, /* aux: IP bit */
	XENPT_PACKET_MWAIT,  /* payload: hints | extensions << 32 */
	XENPT_PACKET_PWRE,   /* payload: raw */
	XENPT_PACKET_PWRX,   /* payload: raw */
	XENPT_PACKET_MNT,    /* payload: raw */
	XENPT_PACKET_BBP,    /* payload: type; aux: SZ bit, 1: BIPs of 4 bytes */
	XENPT_PACKET_BIP,    /* payload: value; aux: id */
	XENPT_PACKET_BEP,    /* aux: IP bit */
	XENPT_PACKET_CFE,    /* payload: vector; aux: type | IP bit << 8 */
	XENPT_PACKET_EVD,    /* payload: data; aux: type */
	XENPT_PACKET_GAP,    /* no packet, size 0: payload: bytes lost; aux: reason */
	XENPT_PACKET_TYPES
};

struct xenpt_packet {
	uint64_t offset; /* in the vCPU's trace */
	uint64_t payload;
	uint32_t size; /* bytes in the trace: all of it is in some packet */
	uint16_t aux;
	uint8_t type; /* enum xenpt_packet_type */
};

/** "psb", "tip.pge", …. Static; NULL if there is no such type. */
XENPT_API const char *xenpt_packet_type_name(unsigned int type);

/** Lists the packets of one vCPU. */
struct xenpt_packets;

/** @file must outlive it. @vcpu is an id. */
XENPT_API struct xenpt_error *xenpt_packets_create(const struct xenpt_file *file,
						   uint32_t vcpu,
						   struct xenpt_packets **ret);
XENPT_API void xenpt_packets_destroy(struct xenpt_packets *packets);

/** The next packets, valid until the next call; *@count_ret 0 at the end. */
XENPT_API struct xenpt_error *xenpt_packets_next(struct xenpt_packets *packets,
						 const struct xenpt_packet **ret,
						 size_t *count_ret);

/* ---- Events ------------------------------------------------------------ */

enum xenpt_event_type {
	XENPT_EVENT_BLOCK,     /* instructions ip..last ran, ended by branch */
	XENPT_EVENT_INTERRUPT, /* ip -> to: interrupt, exception, … */
	XENPT_EVENT_ON,        /* tracing starts at ip */
	XENPT_EVENT_OFF,       /* tracing stops at ip, on the way to to */
	XENPT_EVENT_CR3,       /* value: CR3; non_root */
	XENPT_EVENT_VMCS,      /* value: VMCS base */
	XENPT_EVENT_MODE,      /* mode has changed */
	XENPT_EVENT_TSX,       /* value: bit 0 in a transaction, bit 1 aborted */
	XENPT_EVENT_OVERFLOW,  /* the CPU lost packets; goes on at ip */
	XENPT_EVENT_STOP,      /* TraceStop: an address filter ended the trace */
	XENPT_EVENT_PTWRITE,   /* value: payload */
	XENPT_EVENT_CBR,       /* value: core:bus ratio */
	XENPT_EVENT_EXSTOP,    /* execution stopped at ip */
	XENPT_EVENT_MWAIT,     /* value: hints | extensions << 32 */
	XENPT_EVENT_PWRE,      /* value: state | sub-state << 8 | hw << 16 */
	XENPT_EVENT_PWRX,      /* value: last | deepest << 8 | why << 16 */
	XENPT_EVENT_GAP,       /* value: bytes lost, 0 unknown; reason */
	XENPT_EVENT_ERROR,     /* value: bytes of trace skipped; reason; ip */
	XENPT_EVENT_CODE,      /* code has changed: value: epoch of what follows */
	XENPT_EVENT_DOUBT,     /* address spaces were wrong since offset value; reason */
	XENPT_EVENT_TYPES
};

/** How a block ended. */
enum xenpt_branch {
	XENPT_BRANCH_NONE, /* it did not branch: cut by an event */
	XENPT_BRANCH_COND, /* conditional; to tells whether taken */
	XENPT_BRANCH_JUMP,
	XENPT_BRANCH_CALL,
	XENPT_BRANCH_RETURN,
	XENPT_BRANCH_SYSCALL,    /* SYSCALL, SYSENTER, INT n */
	XENPT_BRANCH_FAR_CALL,   /* other call-like ones: far CALL, VMLAUNCH, … */
	XENPT_BRANCH_FAR_RETURN, /* SYSRET, SYSEXIT, IRET, far RET */
	XENPT_BRANCH_FAR_JUMP,
};

/** Why decoding went wrong. */
enum xenpt_trouble {
	XENPT_TROUBLE_BAD_PACKET = 1, /* bytes that are no packet */
	XENPT_TROUBLE_BAD_CONTEXT,    /* packet out of place: PSB without PSBEND */
	XENPT_TROUBLE_NO_CODE,        /* no code at ip */
	XENPT_TROUBLE_BAD_CODE,       /* no instruction at ip */
	XENPT_TROUBLE_BAD_FLOW,       /* the code does not fit the packets */
	XENPT_TROUBLE_ENDLESS,        /* the code loops without packets */
	XENPT_TROUBLE_OTHER,
};

/**
 * How it is known that PIPs are missing. After a first one, nothing is trusted any more:
 * each doubt begins where the last one ended. Between the offset in value and the event's
 * own the trace named one address space, but cr3 was in use at the end of it. Blocks
 * between the two are those of what was named: the right ones, the same code by chance,
 * or none that ran. cr3 is XENPT_CR3_ANY where trace is lost before it is told again.
 */
enum xenpt_doubt {
	XENPT_DOUBT_PSB = 1,   /* the PIP of a PSB+ is not the CR3 that was announced */
	XENPT_DOUBT_REGISTERS, /* CR3, as the recorder read it, is not */
	XENPT_DOUBT_EARLIER,   /* PIPs were missing before: the rest of the trace */
};

/** "no code", …. Static. */
XENPT_API const char *xenpt_trouble_name(unsigned int trouble);

/** "PSB+", "registers"; "doubt" for a number that is not known. Static. */
XENPT_API const char *xenpt_doubt_name(unsigned int doubt);

/** "block", "interrupt", …. Static; NULL if there is no such type. */
XENPT_API const char *xenpt_event_type_name(unsigned int type);

/** "call", …. Static; NULL if there is no such branch. */
XENPT_API const char *xenpt_branch_name(unsigned int branch);

/** What happened. Plain data: copy at will. */
struct xenpt_event {
	union {
		uint64_t ip;    /* 0 with !has_ip */
		uint64_t named; /* DOUBT: the CR3 that the trace told; or XENPT_CR3_ANY */
	};
	union {
		uint64_t to;    /* BLOCK, INTERRUPT, OFF: next IP, if has_to */
		uint64_t value; /* others: see the type */
	};
	union {
		uint64_t last;   /* BLOCK: IP of its last instruction */
		uint64_t offset; /* others: about where in the vCPU's trace */
	};
	uint64_t time;  /* TSC; 0: unknown */
	uint64_t cr3;   /* address space; XENPT_CR3_ANY: unknown */
	uint32_t insns; /* BLOCK: instructions; others: 0 */
	uint8_t type;   /* enum xenpt_event_type */
	union {
		uint8_t branch; /* BLOCK: enum xenpt_branch */
		uint8_t reason; /* GAP: enum xenpt_gap_reason; ERROR: xenpt_trouble;
				   DOUBT: xenpt_doubt */
	};
	uint8_t mode; /* 16, 32, 64; 0: unknown */
	uint8_t has_ip : 1;
	uint8_t has_to : 1;
	uint8_t non_root : 1;    /* CR3: PIP.NR */
	uint8_t transaction : 1; /* BLOCK: speculative */
	uint8_t async : 1;       /* OFF: not by a branch of the code */
	uint8_t resumed : 1;     /* ON: where it was switched off */
	uint8_t status : 1;      /* CR3, VMCS, MODE, TSX, CBR: told by a PSB+ */
	uint8_t misfit : 1;      /* DOUBT: nor did the code fit the packets */
};

/* ---- Decoder ----------------------------------------------------------- */

/** Events in order: of one vCPU. */
struct xenpt_batch {
	const struct xenpt_event *events;
	size_t count;
	uint32_t vcpu; /* id */
};

struct xenpt_decoder_options {
	const struct xenpt_image *image; /* or NULL: made from the file */
	unsigned int threads;            /* 1: in the caller's; 0: one per CPU */
	const uint32_t *vcpus;           /* ids; NULL: all */
	size_t vcpu_count;
	bool timeless; /* ignore time: vCPUs one after the other */
	/* Count blocks instead of giving them: xenpt_decoder_add_counts(). */
	bool count_blocks;
};

/** Progress, in bytes of trace. */
struct xenpt_progress {
	uint64_t done, total;
};

struct xenpt_decoder;
struct xenpt_stats;

/** Start decoding. @file and options->image must outlive the decoder. */
XENPT_API struct xenpt_error *
xenpt_decoder_create(const struct xenpt_file *file,
		     const struct xenpt_decoder_options *options,
		     struct xenpt_decoder **ret);
XENPT_API void xenpt_decoder_destroy(struct xenpt_decoder *decoder);

/**
 * The next events, valid until the next call; ret->count 0 at the end. vCPUs
 * with time are merged in its order; others come one after the other. The
 * events are the same for any number of threads. Trouble inside the trace is
 * an event; errors are those of reading the file and of the system.
 */
XENPT_API struct xenpt_error *xenpt_decoder_next(struct xenpt_decoder *decoder,
						 struct xenpt_batch *ret);

/**
 * With count_blocks: add the blocks of a vCPU to @stats, of the trace whose events
 * were read so far; to be called at the end.
 */
XENPT_API void xenpt_decoder_add_counts(const struct xenpt_decoder *decoder,
					uint32_t vcpu, struct xenpt_stats *stats);

XENPT_API struct xenpt_progress
xenpt_decoder_progress(const struct xenpt_decoder *decoder);

/* ---- Capture ----------------------------------------------------------- */

/**
 * Finds out which code a trace reaches, while it is being recorded: so that the pages
 * can be read while they are there.
 */
struct xenpt_capture;

/**
 * Copy the 4-KiB page at @address of @cr3 (XENPT_CR3_ANY: unknown) to @page. False: it
 * cannot be had. Asked once for each page, until xenpt_capture_forget().
 */
typedef bool xenpt_capture_page_fn(void *arg, uint64_t cr3, uint64_t address,
				   uint8_t page[4096]);

XENPT_API struct xenpt_error *xenpt_capture_create(const struct xenpt_cpu *cpu,
						   xenpt_capture_page_fn *page, void *arg,
						   struct xenpt_capture **ret);
XENPT_API void xenpt_capture_destroy(struct xenpt_capture *capture);

/** More trace of a vCPU. Decodes as far as whole spans (PSB to PSB) are there. */
XENPT_API struct xenpt_error *xenpt_capture_feed(struct xenpt_capture *capture,
						 uint32_t vcpu, const void *data,
						 size_t size);

/** Trace is missing here. */
XENPT_API struct xenpt_error *xenpt_capture_gap(struct xenpt_capture *capture,
						uint32_t vcpu);

/**
 * Decode what is held back of a vCPU without waiting for its end: that will be decoded
 * again with what follows.
 */
XENPT_API struct xenpt_error *xenpt_capture_peek(struct xenpt_capture *capture,
						 uint32_t vcpu);

/** Bytes of a vCPU's trace whose code has been asked for, of those that were fed. */
XENPT_API uint64_t xenpt_capture_done(const struct xenpt_capture *capture, uint32_t vcpu);

/** Decode what is held back of all vCPUs; what follows starts with a PSB. */
XENPT_API struct xenpt_error *xenpt_capture_flush(struct xenpt_capture *capture);

/** Pages may be others now: ask again. After a flush. */
XENPT_API void xenpt_capture_forget(struct xenpt_capture *capture);

/* ---- Filter ------------------------------------------------------------ */

/** Which events to show. All zero but cr3 and the ends: everything. */
struct xenpt_filter {
	uint64_t cr3;              /* or XENPT_CR3_ANY */
	uint64_t ip_lo, ip_hi;     /* inclusive */
	uint64_t time_lo, time_hi; /* inclusive TSC */
	bool kernel, user;         /* neither: both */
};

#define XENPT_FILTER_ALL                                                         \
	{                                                                        \
		.cr3 = XENPT_CR3_ANY, .ip_hi = UINT64_MAX, .time_hi = UINT64_MAX \
	}

/**
 * Whether to show @event. Gaps, errors and doubts pass unless their time or address
 * space is known to be outside: what is missing is never hidden by an IP range.
 */
XENPT_API bool xenpt_filter_match(const struct xenpt_filter *filter,
				  const struct xenpt_event *event);

/** PT has no CPL: an address of the upper half is the kernel's. */
static inline bool xenpt_address_is_kernel(uint64_t address)
{
	return address >> 63;
}

/* ---- Stack ------------------------------------------------------------- */

enum xenpt_frame_kind {
	XENPT_FRAME_ROOT, /* where the trace began or a gap ended */
	XENPT_FRAME_CALL,
	XENPT_FRAME_SYSCALL,
	XENPT_FRAME_INTERRUPT,
};

/** One frame; the outermost has index 0. */
struct xenpt_frame {
	uint64_t entry; /* where it was entered; inferred: where returned to */
	uint64_t from;  /* the call, or the interrupted IP; 0: not seen */
	uint64_t time;  /* when it was entered, if known */
	uint64_t cr3;
	uint8_t kind;  /* enum xenpt_frame_kind */
	bool inferred; /* its entry was not seen */
};

/** What an event did to the stack. */
struct xenpt_stack_change {
	unsigned int popped; /* frames that were left */
	unsigned int pushed; /* then: frames that were entered; 2: a root, then a call */
	bool inferred;       /* then: the outermost frame is a new, unseen caller */
	bool switched; /* then: the frames are those of another thread, kept earlier */
	bool lost;     /* the stack is not known any more: it was emptied */
};

/** The call stack of one vCPU, rebuilt from its events. */
struct xenpt_stack;

XENPT_API struct xenpt_error *xenpt_stack_create(struct xenpt_stack **ret);
XENPT_API void xenpt_stack_destroy(struct xenpt_stack *stack);

/** Feed the next event of the vCPU. Frames past 65,536 forget the outermost. */
XENPT_API struct xenpt_error *xenpt_stack_update(struct xenpt_stack *stack,
						 const struct xenpt_event *event,
						 struct xenpt_stack_change *ret);

/** The frames; valid until the next update. */
XENPT_API const struct xenpt_frame *xenpt_stack_frames(const struct xenpt_stack *stack,
						       size_t *count_ret);

/* ---- Sinks ------------------------------------------------------------- */

/**
 * Make @size bytes of @s fit for a terminal: control characters and what is
 * not UTF-8 as \xNN, bidirectional overrides as \u{NNNN}, \ as \\. @buf gets
 * NUL at the end, and never half an escape; 4 * @size + 1 bytes are enough.
 * Returns the length.
 */
XENPT_API size_t xenpt_escape(const char *s, size_t size, char *buf, size_t buf_size);

/** Counts, the same for all of a trace or one vCPU of it. */
struct xenpt_stats {
	uint64_t insns, blocks;
	uint64_t branches[XENPT_BRANCH_FAR_JUMP + 1];
	uint64_t events[XENPT_EVENT_TYPES];
	uint64_t lost;                  /* bytes that gaps are known to have lost */
	uint64_t skipped;               /* bytes that could not be decoded */
	uint64_t doubtful;              /* bytes whose address spaces are in doubt */
	uint64_t first_time, last_time; /* TSC; 0: none */
};

/** Add a batch. Start from all zero. */
XENPT_API void xenpt_stats_add(struct xenpt_stats *stats,
			       const struct xenpt_event *events, size_t count);

/** Add all that @other counts to @stats. */
XENPT_API void xenpt_stats_merge(struct xenpt_stats *stats,
				 const struct xenpt_stats *other);

/** Note a time (TSC; 0: none). */
XENPT_API void xenpt_stats_add_time(struct xenpt_stats *stats, uint64_t time);

/** Rows of a listing; a sink shows those in its mask. */
enum xenpt_row {
	XENPT_ROW_INSN = 1 << 0,
	XENPT_ROW_BLOCK = 1 << 1,
	XENPT_ROW_BRANCH = 1 << 2, /* taken ones, interrupts too */
	XENPT_ROW_CALL = 1 << 3,   /* branches that are calls */
	XENPT_ROW_RETURN = 1 << 4, /* … that are returns */
	XENPT_ROW_TSX = 1 << 5,
	XENPT_ROW_PTWRITE = 1 << 6,
	XENPT_ROW_POWER = 1 << 7,   /* CBR, MWAIT, PWRE, EXSTOP, PWRX */
	XENPT_ROW_STATE = 1 << 8,   /* CR3, VMCS, mode, on, off, stop, code */
	XENPT_ROW_TROUBLE = 1 << 9, /* gaps, errors, overflows, doubts */
	XENPT_ROW_TREE = 1 << 10,   /* calls as an indented tree */
};

struct xenpt_sink_options {
	FILE *out;         /* written to; stays the caller's */
	unsigned int rows; /* enum xenpt_row */
	struct xenpt_filter filter;
	struct xenpt_clock clock;
	const struct xenpt_image *image;   /* ROW_INSN, ROW_BRANCH need it */
	const struct xenpt_symtab *symtab; /* or NULL */
	bool color;                        /* text: escape sequences */
	size_t vcpu_count;                 /* of the file: text shows the vCPU if > 1 */
	uint64_t period;                   /* ROW_INSN: each period-th; 0 and 1: all */
	uint64_t period_ticks;             /* ROW_INSN: at most one in so many; 0: all */
	uint64_t skip;                     /* rows to leave out first */
	uint64_t last;                     /* only that many rows, the last; 0: all */
};
#define XENPT_LAST_MAX 1000000

/** Shows events. */
struct xenpt_sink;

XENPT_API struct xenpt_error *
xenpt_sink_create_text(const struct xenpt_sink_options *options, struct xenpt_sink **ret);
XENPT_API struct xenpt_error *
xenpt_sink_create_json(const struct xenpt_sink_options *options, struct xenpt_sink **ret);
XENPT_API void xenpt_sink_destroy(struct xenpt_sink *sink);

/** Show a batch. Fails with XENPT_ERROR_OS if it cannot be written. */
XENPT_API struct xenpt_error *xenpt_sink_events(struct xenpt_sink *sink,
						const struct xenpt_batch *batch);

/** Packets instead of events (by the same sink, the one or the other). */
XENPT_API struct xenpt_error *xenpt_sink_packets(struct xenpt_sink *sink, uint32_t vcpu,
						 const struct xenpt_packet *packets,
						 size_t count);

/** Show what was held back (last). The stream is flushed. */
XENPT_API struct xenpt_error *xenpt_sink_finish(struct xenpt_sink *sink);

#ifdef __cplusplus
}
#endif
#endif /* XENPT_H */
