// SPDX-License-Identifier: GPL-2.0-only
/* A network card that is not there, and its driver, which has a bug: scenario=crash. */
#include "kernel.h"

#define RING_SIZE 16

struct entry {
	uint64_t sequence;
	uint64_t length;
	uint64_t checksum;
};

struct ring {
	struct entry *slots[RING_SIZE];
	struct entry entries[RING_SIZE];
	uint64_t head, tail;
};

struct driver {
	struct ring receive;
	uint64_t random;
	uint64_t polls_left; /* then a slot is lost */
	uint64_t received;
};

static struct driver driver;

static uint64_t checksum(uint64_t value, uint64_t length)
{
	uint64_t sum = 0;

	for (; length; length--) {
		sum += value & 0xff;
		value = value >> 1 | value << 63;
		if (sum & 0x100)
			sum = (sum & 0xff) + 1;
	}
	return sum;
}

static void entry_update(struct entry *entry, uint64_t sequence, uint64_t length)
{
	entry->sequence = sequence;
	entry->length = length;
	entry->checksum = checksum(sequence, length);
}

static void ring_entry_get(struct ring *ring, uint64_t index, uint64_t length)
{
	entry_update(ring->slots[index % RING_SIZE], index, length);
}

static void ring_refill(struct ring *ring, uint64_t *random)
{
	uint64_t count = random_between(random, 1, RING_SIZE / 2);

	for (; count; count--)
		ring_entry_get(ring, ring->head++, random_between(random, 4, 32));
}

static void ring_drain(struct ring *ring)
{
	for (; ring->tail != ring->head; ring->tail++) {
		const struct entry *entry = ring->slots[ring->tail % RING_SIZE];

		if (entry->checksum == checksum(entry->sequence, entry->length))
			driver.received++;
	}
}

/* The bug: the slot's owner is gone, the ring still counts on it. */
static void ring_release(struct ring *ring, uint64_t *random)
{
	ring->slots[(ring->head + random_next(random) % 4) % RING_SIZE] = NULL;
}

static void driver_poll(struct driver *d)
{
	if (d->polls_left-- == 0)
		ring_release(&d->receive, &d->random);
	ring_refill(&d->receive, &d->random);
	ring_drain(&d->receive);
}

void driver_thread(void)
{
	driver.random = random_start(options.seed, 'd');
	driver.polls_left = random_between(&driver.random, 2, 24);
	for (size_t i = 0; i < RING_SIZE; i++)
		driver.receive.slots[i] = &driver.receive.entries[i];
	print("driver: polls\n");
	for (;;) {
		driver_poll(&driver);
		yield();
	}
}
