/*
 * inspect_notes.c - the notes of a work task, put together from the tasks that they are in.
 *
 * agent/note.h says how they lie. Nothing in them is believed: a length that cannot be, a part that
 * is missing and a list without an end are damage, and are said.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/note.h"
#include "inspect_store.h"

/* A note and its bytes; false: there is none of this id. */
static bool read_note(const struct inspect_store *inspect, uint64_t id, struct note *head,
                      const unsigned char **bytes, size_t *size)
{
    const struct image_task *const task = store_task(&inspect->image, id);
    const size_t words = task ? 8 * (size_t)task->context_words : 0;

    if (words < sizeof(*head) ||
        strncmp(store_machine(&inspect->image, task), "pawl.note.", 10) != 0)
        return false;
    memcpy(head, task->context, sizeof(*head));
    *bytes = (const unsigned char *)task->context + sizeof(*head);
    *size = words - sizeof(*head);
    return true;
}

/* The record whose newest part is *id, and then the note before it. NULL, or what is wrong. */
static const char *read_record(const struct inspect_store *inspect, uint64_t *id,
                               unsigned char *record, struct note *head)
{
    const unsigned char *bytes;
    struct note part;
    size_t size, at = 0;

    if (!read_note(inspect, *id, head, &bytes, &size))
        return "the note that should come next is not there";
    if (head->part != 0 || head->size < sizeof(struct note_record) ||
        head->size > sizeof(struct note_record) + UINT16_MAX)
        return "a note does not say how long it is";
    part = *head;
    for (unsigned number = 0;; number++) {
        const size_t rest = head->size - at;
        const size_t here = rest < NOTE_BYTES_MAX ? rest : NOTE_BYTES_MAX;

        if (part.part != number || size < here)
            return "a part of a note is not as long as it should be";
        memcpy(record + at, bytes, here);
        at += here;
        *id = part.before;
        if (at == head->size)
            return NULL;
        if (!read_note(inspect, *id, &part, &bytes, &size))
            return "a part of a note is not there";
    }
}

const char *inspect_notes(const struct inspect_store *inspect, uint64_t newest,
                          struct inspect_whole *whole)
{
    unsigned char *const record = malloc(sizeof(struct note_record) + UINT16_MAX);
    const char *wrong = record ? NULL : "there is no memory";
    uint64_t id = newest;
    /* A circle can only come of damage; more notes than these nobody may have. */
    unsigned left = 4u * UINT16_MAX;

    while (id != 0 && !wrong) {
        struct note_record told;
        struct note head;

        wrong = left-- > 0 ? read_record(inspect, &id, record, &head) : "the notes have no end";
        if (wrong)
            break;
        memcpy(&told, record, sizeof(told));
        inspect_whole_add_note(whole,
                               &(struct pawl_work_note){.kind = (enum pawl_work_note_kind)head.kind,
                                                        .klass = head.klass,
                                                        .reason = told.reason,
                                                        .wall_ns = head.wall_ns,
                                                        .agent = told.agent,
                                                        .token = told.token,
                                                        .value = told.value,
                                                        .hash = head.hash,
                                                        .bytes = record + sizeof(told),
                                                        .size = head.size - sizeof(told)},
                               true);
    }
    free(record);
    return wrong;
}
