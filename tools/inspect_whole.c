/*
 * inspect_whole.c - one work task whole, in memory: what belongs to it is added piece by piece.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"

void inspect_whole_fini(struct inspect_whole *whole)
{
    for (size_t i = 0; i < whole->notes_count; i++)
        free(whole->notes[i].owned);
    free(whole->notes);
    free(whole->waits_for.at);
    free(whole->waited_by.at);
    free(whole->parent.at);
    free(whole->children.at);
    memset(whole, 0, sizeof(*whole));
}

/* Room for one more; false: no memory, and the whole says so. */
static bool grow(struct inspect_whole *whole, void *at, size_t count, size_t *capacity, size_t size)
{
    void *now, *more;
    const size_t wanted = 2 * *capacity + 8;

    if (count < *capacity)
        return true;
    memcpy(&now, at, sizeof(now));
    more = realloc(now, wanted * size);
    if (more == NULL) {
        whole->no_memory = true;
        return false;
    }
    memcpy(at, &more, sizeof(more));
    *capacity = wanted;
    return true;
}

void inspect_whole_add(struct inspect_whole *whole, struct inspect_others *others,
                       const struct inspect_other *other)
{
    if (grow(whole, &others->at, others->count, &others->capacity, sizeof(*others->at)))
        others->at[others->count++] = *other;
}

void inspect_whole_add_note(struct inspect_whole *whole, const struct pawl_work_note *note,
                            bool copied)
{
    struct inspect_note added = {.note = *note};

    if (copied && note->size > 0) {
        added.owned = malloc(note->size);
        if (added.owned == NULL) {
            whole->no_memory = true;
            return;
        }
        memcpy(added.owned, note->bytes, note->size);
        added.note.bytes = added.owned;
    }
    if (!grow(whole, &whole->notes, whole->notes_count, &whole->notes_capacity, sizeof(added))) {
        free(added.owned);
        return;
    }
    added.detailed = note->kind == PAWL_WORK_NOTE_DETAIL &&
                     pawl_work_note_detail(&added.note, &added.detail) == 0;
    whole->notes[whole->notes_count++] = added;
}

void inspect_whole_add_timer(struct inspect_whole *whole, const char *name, int64_t in_ns)
{
    struct inspect_timer *timer;

    if (whole->timers_count == INSPECT_TIMERS_MAX)
        return; /* the work machine has fewer */
    timer = &whole->timers[whole->timers_count++];
    snprintf(timer->name, sizeof(timer->name), "%s", name);
    timer->in_ns = in_ns;
}
