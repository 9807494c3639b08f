/*
 * buffer.c - payloads with a reference count.
 *
 * Layer: task. Any thread. Made by hosts and handlers alike and freed wherever the last reference
 * goes, so it lives in the C library's heap and not in a shard's arena.
 *
 * Ordering: (B1) unref subtracts, release -> (B2) the last unref looks or subtracts, acquire: all that
 * other holders did with the bytes happened before they are freed.
 */
#include <pawl/task.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "base/check.h"

struct pawl_buffer {
    _Atomic uint32_t references;
    size_t size;
    alignas(16) unsigned char bytes[];
};

struct pawl_buffer *pawl_buffer_create(size_t size_bytes)
{
    struct pawl_buffer *buffer;

    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    buffer = malloc(sizeof(*buffer) + size_bytes);
    if (buffer == NULL)
        return NULL;
    store_relaxed(&buffer->references, 1); /* relaxed: nobody else knows it yet */
    buffer->size = size_bytes;
    return buffer;
}

void pawl_buffer_ref(struct pawl_buffer *buffer)
{
    /* relaxed: the caller holds a reference, so the buffer cannot go meanwhile. */
    const uint32_t before = add_relaxed(&buffer->references, 1);

    CHECK(before > 0 && before < UINT32_MAX);
}

void pawl_buffer_unref(struct pawl_buffer *buffer)
{
    /*
     * Nobody else has one, so nobody can make another: the last reference, which most buffers' is,
     * goes without an atomic instruction, which would wait for all stores before it.
     */
    if (load_acquire(&buffer->references) != 1) {                    /* (B2) */
        const uint32_t before = sub_acq_rel(&buffer->references, 1); /* (B1), (B2) */

        CHECK(before > 0);
        if (before != 1)
            return;
    }
    free(buffer);
}

void *pawl_buffer_bytes(struct pawl_buffer *buffer)
{
    return buffer->bytes;
}

size_t pawl_buffer_size(const struct pawl_buffer *buffer)
{
    return buffer->size;
}
