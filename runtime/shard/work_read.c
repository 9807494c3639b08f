/*
 * work_read.c - looking at work tasks and their notes, from any thread.
 *
 * Layer: shard. A task is read in one piece; its notes never change, and end only after it. So what
 * is read is a state that the task was in, or -ESTALE because it is gone.
 *
 * Notes may come from a store that was damaged or made by somebody else: a length that cannot be and
 * a list without an end are refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/note.h"
#include "agent/work_machine.h"
#include "shard/runtime.h"

int pawl_work_read(const struct pawl_runtime *runtime, struct pawl_task task,
                   struct pawl_work_view *view)
{
    struct pawl_view seen = {.context = &view->work, .context_capacity = sizeof(view->work)};
    int error;

    if (runtime->work == NULL)
        return -EINVAL;
    error = pawl_task_peek(runtime, task, &seen);
    if (error != 0)
        return error;
    if ((int)seen.machine != pawl_work_machine(runtime))
        return -EINVAL;
    if (seen.state >= PAWL_WORK_STATES) /* it ends just now */
        return -ESTALE;
    view->task = seen.task;
    view->state = (enum pawl_work_state)seen.state;
    view->version = seen.version;
    view->key_size = seen.key_size;
    view->age_ns = seen.age_ns;
    memcpy(view->key, seen.key, sizeof(view->key));
    return 0;
}

/* A record is not longer than this, and no task has more of them: a circle does. */
#define RECORD_MAX (sizeof(struct note_record) + UINT16_MAX)
#define NOTES_MOST (4u * UINT16_MAX)

/* A note in memory that may be read whole, and the record that is being put together. */
struct reader {
    const struct pawl_runtime *runtime;
    union {
        struct note note;
        unsigned char bytes[NOTE_LARGE];
    } now;
    size_t size; /* of the context */
    unsigned char *record;
    size_t capacity;
};

static int read_note(struct reader *r, uint64_t id)
{
    const unsigned first = (unsigned)pawl_work_machine(r->runtime) + 1;
    struct pawl_view view = {.context = &r->now, .context_capacity = sizeof(r->now)};
    const int error = pawl_task_peek(r->runtime, (struct pawl_task){id}, &view);

    if (error != 0)
        return error;
    if (view.machine < first || view.machine >= first + NOTE_MACHINES)
        return -ESTALE;
    r->size = view.context_size;
    return 0;
}

static int grow(struct reader *r, size_t size)
{
    unsigned char *grown;

    if (size <= r->capacity)
        return 0;
    grown = realloc(r->record, size);
    if (grown == NULL)
        return -ENOMEM;
    r->record = grown;
    r->capacity = size;
    return 0;
}

/* The record whose part 0 is this note; *id: then the note before it. */
static int read_record(struct reader *r, uint64_t *id, struct pawl_work_note *note)
{
    struct note head;
    struct note_record record;
    size_t at = 0;
    unsigned part = 0;
    int error = read_note(r, *id);

    head = r->now.note;
    if (error == 0 && (head.part != 0 || head.size < sizeof(record) || head.size > RECORD_MAX))
        error = -EBADMSG;
    if (error == 0)
        error = grow(r, head.size);
    while (error == 0) {
        const size_t rest = head.size - at;
        const size_t size = rest < NOTE_BYTES_MAX ? rest : NOTE_BYTES_MAX;

        if (r->now.note.part != part || r->size < sizeof(struct note) + size) {
            error = -EBADMSG;
            break;
        }
        memcpy(r->record + at, r->now.bytes + sizeof(struct note), size);
        at += size;
        *id = r->now.note.before;
        if (at == head.size)
            break;
        part++;
        error = read_note(r, *id);
    }
    if (error != 0)
        return error;
    memcpy(&record, r->record, sizeof(record));
    *note = (struct pawl_work_note){.kind = (enum pawl_work_note_kind)head.kind,
                                    .klass = head.klass,
                                    .reason = record.reason,
                                    .wall_ns = head.wall_ns,
                                    .agent = record.agent,
                                    .token = record.token,
                                    .value = record.value,
                                    .hash = head.hash,
                                    .bytes = r->record + sizeof(record),
                                    .size = head.size - sizeof(record)};
    return 0;
}

int pawl_work_notes(const struct pawl_runtime *runtime, struct pawl_task task,
                    pawl_work_note_fn *fn, void *user)
{
    struct reader r = {.runtime = runtime};
    struct pawl_work_note note;
    struct pawl_work_view view;
    int result = pawl_work_read(runtime, task, &view);
    uint64_t id = result == 0 ? view.work.newest : 0;
    unsigned left = NOTES_MOST;

    while (id != 0 && result == 0) {
        result = left-- > 0 ? read_record(&r, &id, &note) : -EBADMSG;
        if (result == 0)
            result = fn(user, &note);
    }
    free(r.record);
    return result;
}

int pawl_work_read_detail(const struct pawl_runtime *runtime, struct pawl_task task, void *buffer,
                          size_t *size, struct pawl_work_detail *detail)
{
    const size_t capacity = *size;
    struct reader r = {.runtime = runtime};
    struct pawl_work_note note;
    struct pawl_work_view view;
    uint64_t id;
    int error = pawl_work_read(runtime, task, &view);

    *size = 0;
    *detail = (struct pawl_work_detail){.title = "", .description = ""};
    if (error != 0 || view.work.detail == 0)
        return error;
    id = view.work.detail;
    error = read_record(&r, &id, &note);
    if (error == 0) {
        *size = note.size;
        error = note.size > capacity ? -ENOSPC : 0;
    }
    if (error == 0) {
        memcpy(buffer, note.bytes, note.size);
        note.bytes = buffer;
        error = pawl_work_note_detail(&note, detail);
    }
    free(r.record);
    return error;
}
