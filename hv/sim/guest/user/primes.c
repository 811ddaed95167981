// SPDX-License-Identifier: GPL-2.0-only
/* Primes, common divisors, and a hash of it all; it stumbles on purpose. */
#include "user.h"

void primes_start(uint64_t seed);

static uint8_t primes_sieve[512];
static uint64_t primes_hash = 0xcbf29ce484222325;

static void primes_hash_byte(uint8_t byte)
{
	primes_hash = (primes_hash ^ byte) * 0x100000001b3;
}

static void primes_hash_word(uint64_t word)
{
	for (; word; word >>= 8)
		primes_hash_byte(word);
}

static void primes_strike(uint32_t prime, uint32_t limit)
{
	for (uint32_t i = prime * prime; i < limit; i += prime)
		primes_sieve[i] = 1;
}

static uint64_t primes_count(uint64_t limit)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < limit; i++)
		primes_sieve[i] = i < 2;
	for (uint32_t i = 2; i < limit; i++) {
		if (primes_sieve[i])
			continue;
		primes_strike(i, limit);
		count++;
	}
	return count;
}

static uint64_t primes_gcd(uint64_t a, uint64_t b)
{
	return b ? primes_gcd(b, a % b) : a;
}

static uint64_t primes_totient(uint64_t n)
{
	uint64_t count = 0;

	for (uint64_t i = 1; i < n; i++)
		count += primes_gcd(n, i) == 1;
	return count;
}

static uint64_t primes_collatz(uint64_t n)
{
	if (n < 2)
		return 0;
	return 1 + primes_collatz(n % 2 ? 3 * n + 1 : n / 2);
}

static const struct primes_task {
	const char *name;
	uint64_t (*run)(uint64_t argument);
	uint64_t limit;
} primes_tasks[] = {
	{ "primes", primes_count, sizeof(primes_sieve) },
	{ "totient", primes_totient, 64 },
	{ "collatz", primes_collatz, 1000 },
};

static void primes_task_run(const struct primes_task *task, uint64_t *random)
{
	uint64_t result = task->run(random_between(random, task->limit / 2, task->limit));

	primes_hash_word(result);
	report(task->name, result);
}

/* Once each; a switch that a compiler makes a table of. */
static void primes_stumble(uint64_t round)
{
	switch (round) {
	case 0:
		asm volatile("ud2");
		break;
	case 1:
		asm volatile("int3");
		break;
	case 2:
		primes_hash_byte(1);
		break;
	case 3:
		primes_hash_word(~0ull);
		break;
	case 4:
		primes_hash_byte(4);
		break;
	case 5:
		syscall(SYS_YIELD, 0, 0);
		break;
	}
}

ENTRY primes_start(uint64_t seed)
{
	uint64_t random = random_start(seed, 'p');

	for (uint64_t round = 0; round < 8; round++) {
		primes_stumble(round);
		primes_task_run(&primes_tasks[random_next(&random) % 3], &random);
	}
	report("hash", primes_hash);
	syscall(SYS_EXIT, 0, 0);
	__builtin_unreachable();
}
