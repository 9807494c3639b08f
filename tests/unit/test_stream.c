#include <string.h>

#include "store/frame.h"
#include "store/stream.h"
#include "support/test.h"

enum { GROUPS = 4 };

static struct pages_stats pages;

static void open_stream(struct stream *stream)
{
    memset(&pages, 0, sizeof(pages));
    cr_assert_eq(pawl__stream_init(stream, GROUPS, 1, &pages), 0);
}

static void append(struct stream *stream, size_t bytes, uint8_t value)
{
    memset(stream_append(stream, bytes), value, bytes);
}

/* What the pump does with all that was handed over, in its simplest form. */
static void free_all(struct stream *stream)
{
    store_release(&stream->freed, load_acquire(&stream->handed));
}

Test(stream, a_frame_opens_with_its_first_entry_and_serials_have_no_gap)
{
    struct stream stream;

    open_stream(&stream);
    for (uint64_t serial = 1; serial <= 5; serial++) {
        cr_assert(!stream_is_open(&stream));
        append(&stream, 48, 1);
        cr_assert(stream_is_open(&stream));
        append(&stream, 24, 2);
        cr_assert_eq(pawl__stream_close(&stream), serial);
    }
    cr_assert(stream_has_group(&stream));
    cr_assert_eq(load_acquire(&stream.handed), 0); /* nothing leaves before it is handed over */
    pawl__stream_hand_over(&stream);
    cr_assert_eq(load_acquire(&stream.handed), 1);
    cr_assert(!stream_has_group(&stream));
    cr_assert_eq(stream.groups[0].last_serial, 5);
    cr_assert_eq(stream.groups[0].size, 5 * (sizeof(struct frame_header) + 72));
    pawl__stream_fini(&stream);
    cr_assert_eq(load_relaxed(&pages.reserved), 0);
}

Test(stream, frames_lie_one_behind_the_other_with_what_was_appended)
{
    struct stream stream;
    const struct frame_header *header;
    const uint8_t *bytes;

    open_stream(&stream);
    stream.time_ns = 11;
    stream.wall_ns = 22;
    append(&stream, 48, 7);
    append(&stream, 24, 8);
    pawl__stream_close(&stream);
    append(&stream, 16, 9);
    pawl__stream_close(&stream);
    pawl__stream_hand_over(&stream);
    bytes = stream_group(&stream, 0);
    header = (const struct frame_header *)(const void *)bytes;
    cr_assert_eq(header->magic, FRAME_MAGIC);
    cr_assert_eq(header->type, FRAME_STEPS);
    cr_assert_eq(header->flags & FRAME_MORE, 0);
    cr_assert_eq(header->size, 72);
    cr_assert_eq(header->time_ns, 11);
    cr_assert_eq(header->wall_ns, 22);
    cr_assert(bytes[80] == 7 && bytes[127] == 7 && bytes[128] == 8 && bytes[151] == 8);
    header = (const struct frame_header *)(const void *)(bytes + 152);
    cr_assert_eq(header->size, 16);
    pawl__stream_fini(&stream);
}

/* The frame goes on behind the end of a group, and says so. */
Test(stream, a_frame_larger_than_a_group_goes_on_in_the_next)
{
    struct stream stream;
    unsigned more = 0;
    size_t bytes = 0;

    open_stream(&stream);
    for (unsigned i = 0; i < 9; i++)
        append(&stream, 60000, (uint8_t)i);
    cr_assert_eq(load_acquire(&stream.handed), 2);
    pawl__stream_close(&stream);
    pawl__stream_hand_over(&stream);
    for (uint64_t number = 0; number < 3; number++) {
        const struct frame_header *header =
            (const struct frame_header *)(const void *)stream_group(&stream, number);

        cr_assert_eq(header->lsn, number + 1);
        cr_assert_eq(header->size % 60000, 0);
        cr_assert(sizeof(*header) + header->size <= GROUP_BYTES);
        more += (header->flags & FRAME_MORE) != 0;
        bytes += header->size;
    }
    cr_assert_eq(more, 2);
    cr_assert_eq(bytes, 9 * 60000);
    pawl__stream_fini(&stream);
}

Test(stream, a_closed_frame_that_leaves_no_room_is_not_continued)
{
    struct stream stream;
    const struct frame_header *header;

    open_stream(&stream);
    for (unsigned i = 0; i < 4; i++)
        append(&stream, 60000, 1);
    pawl__stream_close(&stream);
    append(&stream, 60000, 2);
    pawl__stream_close(&stream);
    header = (const struct frame_header *)(const void *)stream_group(&stream, 0);
    cr_assert_eq(header->flags & FRAME_MORE, 0);
    cr_assert_eq(load_acquire(&stream.handed), 1);
    pawl__stream_fini(&stream);
}

/* As much as stream_room says can be appended, whatever the sizes; and it never says too much. */
Test(stream, the_room_that_is_promised_is_there)
{
    static const size_t sizes[] = {8, 24, 48, 4096, 30000, 65000, ENTRY_BYTES_MAX / 8 * 8};

    for (unsigned kind = 0; kind < sizeof(sizes) / sizeof(sizes[0]); kind++) {
        struct stream stream;

        open_stream(&stream);
        for (unsigned round = 0; round < 3; round++) {
            size_t total = 0;

            while (stream_room(&stream) >= sizes[kind]) {
                append(&stream, sizes[kind], 1);
                total += sizes[kind];
            }
            cr_assert(total >= GROUP_BYTES / 2, "size %zu: %zu", sizes[kind], total);
            cr_assert(stream_groups_free(&stream) >= 1);
            if (stream_is_open(&stream))
                pawl__stream_close(&stream);
            free_all(&stream); /* the groups handed over so far */
            cr_assert(stream_room(&stream) > 0);
        }
        pawl__stream_fini(&stream);
    }
}

Test(stream, room_comes_back_with_the_groups_that_are_given_back)
{
    struct stream stream;

    open_stream(&stream);
    cr_assert_eq(stream_groups_free(&stream), GROUPS);
    for (unsigned i = 0; i < GROUPS - 1; i++) {
        append(&stream, 64, 1);
        pawl__stream_close(&stream);
        pawl__stream_hand_over(&stream);
    }
    cr_assert_eq(stream_groups_free(&stream), 1);
    cr_assert_eq(stream_room(&stream), 0);
    store_release(&stream.freed, 2);
    cr_assert_eq(stream_groups_free(&stream), 3);
    cr_assert(stream_room(&stream) > 0);
    pawl__stream_fini(&stream);
}

Test(stream, bytes_are_counted_in_whole_blocks)
{
    struct stream stream;

    open_stream(&stream);
    append(&stream, 64, 1);
    pawl__stream_close(&stream);
    pawl__stream_hand_over(&stream);
    cr_assert_eq(stream.bytes, 4096);
    append(&stream, 5000, 1);
    pawl__stream_close(&stream);
    pawl__stream_hand_over(&stream);
    cr_assert_eq(stream.bytes, 3 * 4096);
    pawl__stream_fini(&stream);
}
