#include "shard/restore_sends.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define CHUNK_BYTES ((size_t)16 << 10)

static size_t bytes_of(const struct entry_send *entry)
{
    return (size_t)entry->header.words * 8;
}

void pawl__sends_fini(struct sends *sends)
{
    while (sends->head != NULL) {
        struct sends_chunk *chunk = sends->head;

        sends->head = chunk->next;
        free(chunk);
    }
    *sends = (struct sends){0};
}

static bool grow(struct sends *sends, size_t size)
{
    const size_t capacity = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct sends_chunk *chunk = malloc(sizeof(*chunk) + capacity);

    if (chunk == NULL)
        return false;
    if (sends->count == 0 && sends->tail != NULL) { /* empty, and too small */
        free(sends->tail);
        sends->head = sends->tail = NULL;
    }
    chunk->next = NULL;
    chunk->capacity = capacity;
    chunk->used = 0;
    if (sends->tail != NULL)
        sends->tail->next = chunk;
    else
        sends->head = chunk;
    sends->tail = chunk;
    return true;
}

bool pawl__sends_add(struct sends *sends, const struct entry_send *entry)
{
    const size_t size = bytes_of(entry);

    if (entry->number <= sends->last)
        return true;
    if ((sends->tail == NULL || sends->tail->capacity - sends->tail->used < size) &&
        !grow(sends, size))
        return false;
    memcpy((char *)sends->tail->bytes + sends->tail->used, entry, size);
    sends->tail->used += size;
    sends->last = entry->number;
    sends->count++;
    return true;
}

/* Takes the oldest away. */
static void drop_first(struct sends *sends)
{
    struct sends_chunk *chunk = sends->head;

    sends->head_at += bytes_of(sends_first(sends));
    sends->count--;
    if (sends->head_at < chunk->used)
        return;
    sends->head_at = 0;
    if (chunk == sends->tail) {
        CHECK(sends->count == 0);
        chunk->used = 0; /* kept for the next one */
        return;
    }
    sends->head = chunk->next;
    free(chunk);
}

void pawl__sends_trim(struct sends *sends, uint64_t number)
{
    while (sends->count > 0 && sends_first(sends)->number <= number)
        drop_first(sends);
}
