/* Notes: long and short ones, in order; they end with their task; details survive packing. */
#include "agent/note.h"

#include "support/work_fixture.h"

static struct work_fixture w;
static unsigned char text[PAWL_WORK_TEXT_MAX];

static void fill_text(void)
{
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (unsigned char)(i * 7 + i / 251);
}

static struct pawl_task submit_payload(size_t size)
{
    struct pawl_work_spec spec = work_spec();

    spec.payload = text;
    spec.payload_size = size;
    return work_submit(&w, &spec);
}

/* Sizes around those where another machine or another part begins. */
static const size_t sizes[] = {1,    45,   46,   47,   900,  942,   943,   3998,
                               4013, 4014, 4015, 8000, 9000, 57000, 57343, PAWL_WORK_TEXT_MAX};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

Test(note, payload_of_any_size_comes_back)
{
    static char buffer[PAWL_WORK_TEXT_MAX + 64];

    fill_text();
    work_open(&w, NULL);
    for (size_t i = 0; i < SIZES; i++) {
        const struct pawl_task task = submit_payload(sizes[i]);
        struct pawl_work_detail detail;
        size_t size = sizeof(buffer);

        cr_assert_eq(pawl_work_read_detail(w.f.runtime, task, buffer, &size, &detail), 0);
        cr_assert_eq(detail.payload_size, sizes[i]);
        cr_assert_eq(memcmp(detail.payload, text, sizes[i]), 0, "%zu bytes", sizes[i]);
        cr_assert_str_eq(detail.title, "");
        cr_assert_eq(size, sizeof(struct note_detail) + 2 + sizes[i]);
    }
    work_close(&w);
}

Test(note, notes_end_with_their_task)
{
    struct pawl_task tasks[SIZES];

    fill_text();
    work_open(&w, NULL);
    for (size_t i = 0; i < SIZES; i++)
        tasks[i] = submit_payload(sizes[i]);
    cr_assert(work_live(&w) > 2 * SIZES);
    for (size_t i = 0; i < SIZES; i++) {
        work_cancel(&w, tasks[i], false);
        cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, tasks[i], 1)).status, 0);
    }
    cr_assert_eq(work_live(&w), 0);
    work_close(&w);
}

Test(note, detail_is_packed_and_unpacked)
{
    const struct pawl_work_detail in = {.title = "t",
                                        .description = "a\nb",
                                        .payload = "\0\1\2",
                                        .payload_size = 3,
                                        .metadata = "m",
                                        .metadata_size = 1};
    char bytes[64];
    struct pawl_work_note note = {.kind = PAWL_WORK_NOTE_DETAIL, .bytes = bytes};
    struct pawl_work_detail out;

    note.size = pawl__detail_size(&in);
    cr_assert_eq(note.size, sizeof(struct note_detail) + 2 + 4 + 4);
    pawl__detail_write(bytes, &in);
    cr_assert_eq(pawl_work_note_detail(&note, &out), 0);
    cr_assert_str_eq(out.title, "t");
    cr_assert_str_eq(out.description, "a\nb");
    cr_assert_eq(out.payload_size, 3);
    cr_assert_eq(memcmp(out.payload, "\0\1\2", 3), 0);
    cr_assert_eq(out.metadata_size, 1);
    cr_assert_eq(*(const char *)out.metadata, 'm');
}

/* Whatever the bytes are: refused, or all of it lies within them. */
Test(note, detail_believes_nothing)
{
    unsigned char bytes[40];
    uint64_t random = 88172645463325252u;
    unsigned taken = 0;

    for (unsigned round = 0; round < 200000; round++) {
        struct pawl_work_note note = {.kind = PAWL_WORK_NOTE_DETAIL, .bytes = bytes};
        struct pawl_work_detail out;

        memset(bytes, 0, sizeof(bytes));
        for (size_t i = 0; i < 8; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[(random >> 8) % sizeof(bytes)] = (unsigned char)((random >> 40) % 9);
        }
        note.size = random % (sizeof(bytes) + 1);
        if (pawl_work_note_detail(&note, &out) != 0)
            continue;
        taken++;
        cr_assert((const unsigned char *)out.metadata + out.metadata_size == bytes + note.size);
        cr_assert(strlen(out.title) + strlen(out.description) + 18 <= note.size);
    }
    cr_assert(taken > 0);
}

Test(note, too_long_a_detail_has_no_size)
{
    const struct pawl_work_detail most = {.payload_size = PAWL_WORK_TEXT_MAX};
    const struct pawl_work_detail more = {.title = "x", .payload_size = PAWL_WORK_TEXT_MAX};
    const struct pawl_work_detail wraps = {.metadata_size = SIZE_MAX, .payload_size = 1};

    cr_assert(pawl__detail_size(&most) > PAWL_WORK_TEXT_MAX);
    cr_assert_eq(pawl__detail_size(&more), 0);
    cr_assert_eq(pawl__detail_size(&wraps), 0);
}
