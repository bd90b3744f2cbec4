/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two small hash tables with open addressing: by string and by 64-bit number. They borrow their
 * values; string keys are borrowed too (they live in the value). Entries may be removed while
 * walking with
 * *_next only if they are the one just returned.
 */
#pragma once

#include "macros.h"

struct hash_slot {
	uint64_t hash; /* 0: never used; 1: removed */
	union {
		const char *string; /* borrowed */
		uint64_t number;
	} key;
	void *value; /* borrowed */
};

struct hash {
	struct hash_slot *slots; /* owned; a power of two of them */
	size_t size;
	size_t used; /* live and removed slots */
	size_t live;
};

void hash_done(struct hash *h);

/* 0, or -EEXIST (the table is untouched), or -ENOMEM. */
int hash_put_str(struct hash *h, const char *key, void *value);
int hash_put_u64(struct hash *h, uint64_t key, void *value);
/* NULL where there is none. */
void *hash_get_str(const struct hash *h, const char *key);
void *hash_get_u64(const struct hash *h, uint64_t key);
/* The removed value, NULL where there was none. */
void *hash_remove_str(struct hash *h, const char *key);
void *hash_remove_u64(struct hash *h, uint64_t key);

/* Walks all values in no order: start with *cursor = 0; NULL at the end. */
void *hash_next(const struct hash *h, size_t *cursor);

/* FNV-1a, 64 bits: offset basis and prime as published by its authors. */
uint64_t hash_bytes(const void *p, size_t n);
