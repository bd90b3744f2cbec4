/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open addressing with linear probing and tombstones; grows at 3/4. See hash.h. */
#include "hash.h"

#include <string.h>

enum { FREE = 0, REMOVED = 1, SMALLEST = 16 };

uint64_t hash_bytes(const void *p, size_t n)
{
	const unsigned char *s = p;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ s[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* A key as either kind, so that probing is written once. */
struct key {
	const char *string; /* NULL: number counts */
	uint64_t number;
	uint64_t hash;
};

static struct key key_of_str(const char *s)
{
	uint64_t h = hash_bytes(s, strlen(s));

	return (struct key) { .string = s, .hash = h <= REMOVED ? h + 2 : h };
}

static struct key key_of_u64(uint64_t n)
{
	uint64_t h = hash_bytes(&n, sizeof(n));

	return (struct key) { .number = n, .hash = h <= REMOVED ? h + 2 : h };
}

static bool matches(const struct hash_slot *s, const struct key *k)
{
	if (s->hash != k->hash)
		return false;
	return k->string ? strcmp(s->key.string, k->string) == 0 : s->key.number == k->number;
}

static struct hash_slot *find(const struct hash *h, const struct key *k)
{
	if (h->size == 0)
		return NULL;
	for (size_t i = k->hash & (h->size - 1);; i = (i + 1) & (h->size - 1)) {
		if (h->slots[i].hash == FREE)
			return NULL;
		if (matches(&h->slots[i], k))
			return &h->slots[i];
	}
}

static void place(struct hash *h, const struct hash_slot *slot)
{
	size_t i = slot->hash & (h->size - 1);

	while (h->slots[i].hash > REMOVED)
		i = (i + 1) & (h->size - 1);
	if (h->slots[i].hash == FREE)
		h->used++;
	h->slots[i] = *slot;
	h->live++;
}

static int make_room(struct hash *h)
{
	struct hash bigger = {};

	if (h->used + 1 <= h->size / 4 * 3)
		return 0;
	bigger.size = MAX((size_t)SMALLEST, h->live * 2 >= h->size / 2 ? h->size * 2 : h->size);
	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < h->size; i++)
		if (h->slots[i].hash > REMOVED)
			place(&bigger, &h->slots[i]);
	free(h->slots);
	*h = bigger;
	return 0;
}

static int put(struct hash *h, const struct key *k, void *value)
{
	struct hash_slot slot = { .hash = k->hash, .value = value };
	int r;

	if (find(h, k))
		return -EEXIST;
	r = make_room(h);
	if (r < 0)
		return r;
	if (k->string)
		slot.key.string = k->string;
	else
		slot.key.number = k->number;
	place(h, &slot);
	return 0;
}

static void *remove_key(struct hash *h, const struct key *k)
{
	struct hash_slot *s = find(h, k);
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	*s = (struct hash_slot) { .hash = REMOVED };
	h->live--;
	return value;
}

void hash_done(struct hash *h)
{
	free(h->slots);
	*h = (struct hash) {};
}

int hash_put_str(struct hash *h, const char *key, void *value)
{
	struct key k = key_of_str(key);

	return put(h, &k, value);
}

int hash_put_u64(struct hash *h, uint64_t key, void *value)
{
	struct key k = key_of_u64(key);

	return put(h, &k, value);
}

void *hash_get_str(const struct hash *h, const char *key)
{
	struct key k = key_of_str(key);
	struct hash_slot *s = find(h, &k);

	return s ? s->value : NULL;
}

void *hash_get_u64(const struct hash *h, uint64_t key)
{
	struct key k = key_of_u64(key);
	struct hash_slot *s = find(h, &k);

	return s ? s->value : NULL;
}

void *hash_remove_str(struct hash *h, const char *key)
{
	struct key k = key_of_str(key);

	return remove_key(h, &k);
}

void *hash_remove_u64(struct hash *h, uint64_t key)
{
	struct key k = key_of_u64(key);

	return remove_key(h, &k);
}

void *hash_next(const struct hash *h, size_t *cursor)
{
	while (*cursor < h->size) {
		struct hash_slot *s = &h->slots[(*cursor)++];

		if (s->hash > REMOVED)
			return s->value;
	}
	return NULL;
}
