/*
 * record.c - see record.h. Here: all that is not in the way of a look-up.
 */
#include "task/record.h"

#include <errno.h>
#include <string.h>

static size_t words_for(size_t length)
{
    return (length + 7) / 8;
}

int pawl__records_init(struct records *records, uint64_t keys_max, bool huge)
{
    if (keys_max == 0 || keys_max > RECORD_KEYS_MAX)
        return -EINVAL;

    struct slab_options options = {.object_size = sizeof(struct record) + 8,
                                   .link_offset = offsetof(struct record, stamp),
                                   .objects_max = (uint32_t)keys_max,
                                   .huge = huge};
    int error = slab_init(&records->slabs[RECORD_SHORT], &options);

    if (error != 0)
        return error;
    options.object_size = sizeof(struct record) + KEY_SIZE_MAX;
    error = slab_init(&records->slabs[RECORD_LONG], &options);
    if (error != 0)
        slab_fini(&records->slabs[RECORD_SHORT]);
    return error;
}

void pawl__records_fini(struct records *records)
{
    slab_fini(&records->slabs[RECORD_LONG]);
    slab_fini(&records->slabs[RECORD_SHORT]);
}

uint32_t pawl__record_create(struct records *records, uint64_t stamp, const uint64_t *words)
{
    const size_t length = stamp_length(stamp);
    const enum record_class kind = length > 8 ? RECORD_LONG : RECORD_SHORT;
    const uint32_t index = slab_alloc(&records->slabs[kind]);

    if (index == 0)
        return 0;

    struct record *record = slab_at(&records->slabs[kind], index);

    for (size_t at = 0; at < words_for(length); at++)
        store_release(&record->words[at], words[at]); /* (R3) pairs with (R4) */
    store_release(&record->stamp, stamp);             /* (R1) pairs with (R2) */
    return record_number(kind, index);
}

void pawl__record_destroy(struct records *records, uint32_t number)
{
    struct slab *slab = &records->slabs[record_class(number)];
    struct record *record = slab_at(slab, record_index(number));

    store_release(&record->stamp, 0); /* before the bytes of the next use: (R3) */
    slab_free(slab, record_index(number));
}

size_t pawl__record_key(const struct records *records, uint32_t number, void *buffer64)
{
    const struct record *record =
        slab_peek(&records->slabs[record_class(number)], record_index(number));
    uint64_t words[RECORD_KEY_WORDS];

    if (record == NULL)
        return 0;

    const uint64_t stamp = load_acquire(&record->stamp); /* (R2) pairs with (R1) */
    const size_t length = stamp_length(stamp);

    for (size_t at = 0; at < words_for(length); at++)
        words[at] = load_acquire(&record->words[at]); /* (R4) pairs with (R3) */
    if (load_relaxed(&record->stamp) != stamp)        /* (R5) relaxed: behind the acquires above */
        return 0;
    memcpy(buffer64, words, length);
    return length;
}

bool pawl__records_trim(struct records *records)
{
    const bool more_short = slab_trim(&records->slabs[RECORD_SHORT]);
    const bool more_long = slab_trim(&records->slabs[RECORD_LONG]);

    return more_short || more_long;
}

bool pawl__records_validate(const struct records *records)
{
    return slab_validate(&records->slabs[RECORD_SHORT]) &&
           slab_validate(&records->slabs[RECORD_LONG]);
}
