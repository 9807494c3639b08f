/* Looking at work tasks: state, notes newest first, detail; what is no work task is refused. */
#include "support/work_fixture.h"

static struct work_fixture w;

struct seen {
    unsigned count;
    unsigned stop_after;
    struct pawl_work_note notes[16];
    unsigned char bytes[16][PAWL_REPORT_BYTES_MAX];
};
static struct seen seen;

static int see(void *user, const struct pawl_work_note *note)
{
    struct seen *s = user;

    s->notes[s->count] = *note;
    memcpy(s->bytes[s->count], note->bytes, note->size);
    s->count++;
    return s->stop_after == s->count ? 42 : 0;
}

Test(work_read, notes_come_newest_first_with_all_that_was_said)
{
    static unsigned char large[50000];
    struct pawl_work_spec spec = work_spec();
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;

    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (unsigned char)(i * 31 >> 3);
    memset(&seen, 0, sizeof(seen));
    work_open(&w, NULL);
    spec.title = "the title";
    task = work_submit(&w, &spec);
    agent = work_agent(&w, "a", "work", 1);
    lease = work_lease(&w, agent);
    cr_assert_eq(work_receipt(&w, agent, &lease,
                              &(struct pawl_report){.kind = PAWL_REPORT_NOTE,
                                                    .bytes = large,
                                                    .size = sizeof(large),
                                                    .hash = 99,
                                                    .value = 5})
                     .status,
                 0);
    cr_assert_eq(
        work_receipt(&w, agent, &lease,
                     &(struct pawl_report){
                         .kind = PAWL_REPORT_FAILED, .klass = 7, .bytes = "why", .size = 3})
            .status,
        0);
    cr_assert_eq(pawl_work_notes(w.f.runtime, task, see, &seen), 0);
    cr_assert_eq(seen.count, 4);
    cr_assert_eq(seen.notes[0].kind, PAWL_WORK_NOTE_ATTEMPT);
    cr_assert_eq(seen.notes[0].klass, 7);
    cr_assert_eq(seen.notes[0].value, 1);
    cr_assert_eq(seen.notes[0].token, lease.token);
    cr_assert_eq(seen.notes[0].agent, pawl_agent_incarnation(agent));
    cr_assert_eq(seen.notes[1].kind, PAWL_WORK_NOTE_EVIDENCE);
    cr_assert_eq(seen.notes[1].klass, 7);
    cr_assert_eq(memcmp(seen.bytes[1], "why", 3), 0);
    cr_assert_eq(seen.notes[2].size, sizeof(large));
    cr_assert_eq(memcmp(seen.bytes[2], large, sizeof(large)), 0);
    cr_assert_eq(seen.notes[2].hash, 99);
    cr_assert_eq(seen.notes[2].value, 5);
    cr_assert_eq(seen.notes[3].kind, PAWL_WORK_NOTE_DETAIL);
    seen.count = 0;
    seen.stop_after = 2;
    cr_assert_eq(pawl_work_notes(w.f.runtime, task, see, &seen), 42);
    cr_assert_eq(seen.count, 2);
    work_agent_end(&w, agent);
    work_close(&w);
}

Test(work_read, detail_says_how_much_room_it_needs)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_work_detail detail;
    char buffer[64];
    struct pawl_task task;
    size_t size = 0;

    work_open(&w, NULL);
    spec.title = "title";
    spec.description = "words";
    spec.metadata = "mm";
    spec.metadata_size = 2;
    task = work_submit(&w, &spec);
    cr_assert_eq(pawl_work_read_detail(w.f.runtime, task, buffer, &size, &detail), -ENOSPC);
    cr_assert(size > 0 && size <= sizeof(buffer));
    cr_assert_eq(pawl_work_read_detail(w.f.runtime, task, buffer, &size, &detail), 0);
    cr_assert_str_eq(detail.title, "title");
    cr_assert_str_eq(detail.description, "words");
    cr_assert_eq(detail.metadata_size, 2);
    task = work_submit(&w, NULL);
    size = sizeof(buffer);
    cr_assert_eq(pawl_work_read_detail(w.f.runtime, task, buffer, &size, &detail), 0);
    cr_assert_eq(size, 0);
    cr_assert_str_eq(detail.title, "");
    work_close(&w);
}

Test(work_read, another_machines_task_is_refused)
{
    struct pawl_work_view view;
    struct pawl_task puppet;

    work_open(&w, NULL);
    puppet = fixture_puppet(&w.f, 0);
    cr_assert_eq(pawl_work_read(w.f.runtime, puppet, &view), -EINVAL);
    cr_assert_eq(pawl_work_notes(w.f.runtime, puppet, see, &seen), -EINVAL);
    cr_assert_eq(pawl_work_read(w.f.runtime, PAWL_NO_TASK, &view), -ESTALE);
    work_close(&w);
}

Test(work_read, view_has_key_and_version)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_work_view before, after;
    struct pawl_task task;

    work_open(&w, NULL);
    spec.key = "key";
    spec.key_size = 3;
    task = work_submit(&w, &spec);
    before = work_view(&w, task);
    cr_assert_eq(before.key_size, 3);
    cr_assert_eq(memcmp(before.key, "key", 3), 0);
    cr_assert_eq(work_done(&w, pawl_work_prioritise(w.f.port, task, 1, 1)).status, 0);
    after = work_view(&w, task);
    cr_assert(after.version > before.version);
    work_close(&w);
}

static int count_note(void *user, const struct pawl_work_note *note)
{
    (void)note;
    ++*(unsigned *)user;
    return 0;
}

/* The note of this id says something else from now on, as one of a damaged store may. */
static void spoil(uint64_t id, const struct note *note)
{
    const struct pawl_task task = {id};
    const struct table *table = &w.f.runtime->shards[pawl_task_shard(task)]->table;

    words_store(table_context(table, table_slot(table, id_slot(task)), NOTE_SMALL),
                (const uint64_t *)(const void *)note, sizeof(*note) / 8);
}

static struct note note_of(uint64_t id)
{
    _Alignas(8) unsigned char bytes[NOTE_LARGE];
    struct pawl_view view = {.context = bytes, .context_capacity = sizeof(bytes)};
    struct note note;

    cr_assert_eq(pawl_task_peek(w.f.runtime, (struct pawl_task){id}, &view), 0);
    cr_assert_eq(view.context_size, NOTE_SMALL);
    memcpy(&note, bytes, sizeof(note));
    return note;
}

Test(work_read, notes_in_a_circle_have_an_end)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task task;
    unsigned count = 0;
    struct note note;
    uint64_t id;

    work_open(&w, NULL);
    spec.title = "t";
    task = work_submit(&w, &spec);
    id = work_view(&w, task).work.newest;
    note = note_of(id);
    note.before = id;
    spoil(id, &note);
    cr_assert_eq(pawl_work_notes(w.f.runtime, task, count_note, &count), -EBADMSG);
    cr_assert_eq(count, 4u * UINT16_MAX);
    note.before = 0;
    spoil(id, &note);
    work_close(&w);
}

Test(work_read, note_of_a_size_that_cannot_be_is_refused_before_memory_is_taken)
{
    static const uint32_t sizes[] = {0, sizeof(struct note_record) - 1,
                                     sizeof(struct note_record) + UINT16_MAX + 1, UINT32_MAX};
    struct pawl_work_spec spec = work_spec();
    struct pawl_work_detail detail;
    struct note note, spoilt;
    struct pawl_task task;
    unsigned count = 0;
    char buffer[64];
    uint64_t id;

    work_open(&w, NULL);
    spec.title = "t";
    task = work_submit(&w, &spec);
    id = work_view(&w, task).work.newest;
    note = spoilt = note_of(id);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = sizeof(buffer);

        /* What it has is taken for a whole note, of which the next part is missing. */
        spoilt.size = sizes[i];
        spoil(id, &spoilt);
        cr_assert_eq(pawl_work_notes(w.f.runtime, task, count_note, &count), -EBADMSG);
        cr_assert_eq(pawl_work_read_detail(w.f.runtime, task, buffer, &size, &detail), -EBADMSG);
    }
    cr_assert_eq(count, 0);
    spoil(id, &note);
    cr_assert_eq(pawl_work_notes(w.f.runtime, task, count_note, &count), 0);
    cr_assert_eq(count, 1);
    work_close(&w);
}
