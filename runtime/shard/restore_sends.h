/*
 * restore_sends.h - durable events from one shard of a store to another, by number: those that may
 * have to be sent again.
 *
 * Layer: shard. Owner: the thread that reads the sender's shard. The entries are kept as they are,
 * in chunks; what the receiver is known to have handled is given back while the journal is read, so
 * the memory is that of what was under way at one time.
 */
#ifndef PAWL_SHARD_RESTORE_SENDS_H
#define PAWL_SHARD_RESTORE_SENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/entry.h"

struct sends_chunk {
    struct sends_chunk *next;
    size_t capacity;
    size_t used;
    uint64_t bytes[]; /* entries */
};

struct sends {
    struct sends_chunk *head; /* of the oldest entry */
    struct sends_chunk *tail;
    size_t head_at;
    uint64_t last;  /* number of the newest ever added */
    uint64_t count; /* entries held */
};

void pawl__sends_fini(struct sends *sends);

/* Appends a copy; one that is not newer than the last is passed over. False: no memory. */
bool pawl__sends_add(struct sends *sends, const struct entry_send *entry);

/* Forgets the numbers up to this one. */
void pawl__sends_trim(struct sends *sends, uint64_t number);

/* The oldest; NULL: none is left. It stays until it is trimmed. */
static inline const struct entry_send *sends_first(const struct sends *sends)
{
    return sends->count == 0 ? NULL
                             : (const void *)((const char *)sends->head->bytes + sends->head_at);
}

#endif /* PAWL_SHARD_RESTORE_SENDS_H */
