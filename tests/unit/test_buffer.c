/* test_buffer.c - payloads with a reference count. */
#include <malloc.h>
#include <pawl/task.h>
#include <pthread.h>
#include <string.h>

#include "base/bits.h"
#include "support/test.h"

#define THREADS 4u
#define ROUNDS  2000u
#define PART    64u

Test(buffer, has_the_size_asked_for_and_aligned_bytes)
{
    static const size_t sizes[] = {0, 1, 7, 16, 33, 4096, 100001};

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        struct pawl_buffer *buffer = pawl_buffer_create(sizes[i]);

        cr_assert(buffer != NULL);
        cr_assert_eq(pawl_buffer_size(buffer), sizes[i]);
        cr_assert_eq((uintptr_t)pawl_buffer_bytes(buffer) % 16, 0u);
        memset(pawl_buffer_bytes(buffer), 0x5a, sizes[i]);
        pawl_buffer_unref(buffer);
    }
}

Test(buffer, sizes_that_cannot_be_are_refused)
{
    cr_assert(pawl_buffer_create(SIZE_MAX) == NULL);
    cr_assert(pawl_buffer_create(SIZE_MAX - 31) == NULL);
    cr_assert(pawl_buffer_create(SIZE_MAX / 2 + 1) == NULL);
}

Test(buffer, lives_as_long_as_anyone_holds_it)
{
    struct pawl_buffer *buffer = pawl_buffer_create(5);
    char *bytes = pawl_buffer_bytes(buffer);

    memcpy(bytes, "text", 5);
    for (unsigned i = 0; i < 1000; i++)
        pawl_buffer_ref(buffer);
    for (unsigned i = 0; i < 1000; i++)
        pawl_buffer_unref(buffer);
    cr_assert(pawl_buffer_bytes(buffer) == bytes);
    cr_assert_str_eq(bytes, "text");
    pawl_buffer_unref(buffer);
}

/* Bytes given out by the C library; always 0 under sanitizers, which look for leaks themselves. */
static size_t in_use(void)
{
    const struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

Test(buffer, the_last_reference_frees)
{
    const size_t size = (size_t)8 << 20;
    const size_t before = in_use();
    struct pawl_buffer *buffer = pawl_buffer_create(size);

    cr_assert(buffer != NULL);
    pawl_buffer_ref(buffer);
    pawl_buffer_unref(buffer);
    cr_assert(before == 0 || in_use() >= before + size, "freed while it was held");
    pawl_buffer_unref(buffer);
    cr_assert(in_use() < before + size, "not freed");
}

struct holder {
    pthread_t thread;
    struct pawl_buffer *buffers[ROUNDS];
    unsigned number;
    unsigned wrong;
};

/* Writes its part of each buffer and lets go: whoever is last frees what the others wrote. */
static void *hold(void *argument)
{
    struct holder *self = argument;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pawl_buffer *buffer = self->buffers[i];
        unsigned char *part = (unsigned char *)pawl_buffer_bytes(buffer) + self->number * PART;

        memset(part, (int)(i % 251), PART);
        pawl_buffer_ref(buffer);
        pawl_buffer_unref(buffer);
        self->wrong += part[0] != i % 251 || part[PART - 1] != i % 251;
        self->wrong += pawl_buffer_size(buffer) != THREADS * PART;
        pawl_buffer_unref(buffer);
    }
    return NULL;
}

Test(buffer, threads_share_and_let_go_in_any_order)
{
    static struct holder holders[THREADS];
    struct pawl_buffer *kept[ROUNDS / 100];

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pawl_buffer *buffer = pawl_buffer_create(THREADS * PART);

        cr_assert(buffer != NULL);
        for (unsigned t = 0; t < THREADS; t++) {
            holders[t].number = t;
            holders[t].buffers[i] = buffer;
            if (t > 0)
                pawl_buffer_ref(buffer);
        }
        if (i % 100 == 0) {
            kept[i / 100] = buffer;
            pawl_buffer_ref(buffer);
        }
    }
    for (unsigned t = 0; t < THREADS; t++)
        cr_assert_eq(pthread_create(&holders[t].thread, NULL, hold, &holders[t]), 0);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(holders[t].thread, NULL);
    for (unsigned t = 0; t < THREADS; t++)
        cr_assert_eq(holders[t].wrong, 0u, "thread %u", t);
    for (unsigned i = 0; i < ARRAY_LEN(kept); i++) {
        const unsigned char *bytes = pawl_buffer_bytes(kept[i]);

        for (unsigned at = 0; at < THREADS * PART; at++)
            cr_assert_eq(bytes[at], i * 100 % 251);
        pawl_buffer_unref(kept[i]);
    }
}
