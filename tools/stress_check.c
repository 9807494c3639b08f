/*
 * stress_check.c - findings, the books of failed events and of gaps, and what the runtime reports
 * of events that were not handled (stress.h explains the method).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

const char *const finding_names[FINDING_KINDS] = {
    [FINDING_LOST] = "lost",
    [FINDING_DUPLICATED] = "duplicated",
    [FINDING_MISORDERED] = "misordered",
    [FINDING_CONTRADICTED] = "contradicted",
    [FINDING_TORN] = "torn",
    [FINDING_UNEXPLAINED] = "unexplained",
};

static void show(struct stress *s, enum finding kind, const char *text)
{
    add_relaxed(&s->findings[kind], 1);
    uint64_t number = add_relaxed(&s->findings_shown, 1);
    if (number > FINDINGS_SHOWN)
        return;
    pthread_mutex_lock(&s->findings_lock);
    if (number == FINDINGS_SHOWN)
        fputs("pawl stress: more of this is counted but not shown\n", stderr);
    else
        fprintf(stderr, "pawl stress: %s: %s\n", finding_names[kind], text);
    pthread_mutex_unlock(&s->findings_lock);
}

void stress_find(struct stress *s, enum finding kind, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    show(s, kind, text);
}

/* "producer 2 to resident 17 (task 0x...), sequence 5" */
static int describe(struct stress *s, char *text, size_t size, uint64_t key)
{
    uint32_t index = key_index(key);
    unsigned lane = key_lane(key);
    if (index >= s->tasks)
        return snprintf(text, size,
                        "an event with the senseless key %#llx: ", (unsigned long long)key);
    uint32_t sender = lane == LANE_CHAIN || lane == LANE_ASK
                          ? stress_predecessor(s, index)
                          : (index + lane % LANES) % s->options.producers;
    const char *what = lane == LANE_CHAIN     ? "resident"
                       : lane == LANE_ASK     ? "a question of resident"
                       : lane >= LANE_CONTROL ? "control events of producer"
                                              : "producer";
    return snprintf(text, size, "%s %u to resident %u (task %#llx), sequence %u: ", what, sender,
                    index, (unsigned long long)s->handles[index], key_sequence(key));
}

void stress_find_key(struct stress *s, enum finding kind, uint64_t key, const char *format, ...)
{
    char text[512];
    va_list arguments;
    int used = describe(s, text, sizeof(text), key);
    va_start(arguments, format);
    vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
    va_end(arguments);
    show(s, kind, text);
}

bool stress_found_any(struct stress *s)
{
    return load_relaxed(&s->findings_shown) != 0; /* only says when to stop early */
}

/* --- books --- */

void book_init(struct book *book)
{
    *book = (struct book){.words = NULL};
    pthread_mutex_init(&book->lock, NULL);
}

void book_fini(struct book *book)
{
    free(book->words);
    pthread_mutex_destroy(&book->lock);
}

/* Room for two more words. Without its books a run proves nothing, so it ends here. */
static void book_reserve(struct book *book)
{
    if (book->count + 2 <= book->capacity)
        return;
    size_t capacity = book->capacity == 0 ? 1024 : book->capacity * 2;
    uint64_t *words = realloc(book->words, capacity * sizeof(*words));
    if (words == NULL) {
        fputs("pawl stress: no memory left for the books\n", stderr);
        abort();
    }
    book->words = words;
    book->capacity = capacity;
}

void book_add(struct book *book, uint64_t key)
{
    pthread_mutex_lock(&book->lock);
    book_reserve(book);
    book->words[book->count++] = key;
    pthread_mutex_unlock(&book->lock);
}

void book_add_gap(struct book *book, uint64_t last, uint32_t next)
{
    pthread_mutex_lock(&book->lock);
    book_reserve(book);
    book->words[book->count++] = last;
    book->words[book->count++] = next;
    pthread_mutex_unlock(&book->lock);
}

bool book_has_gap(struct book *book, uint64_t key)
{
    bool found = false;
    pthread_mutex_lock(&book->lock);
    for (size_t i = 0; i < book->count && !found; i += 2)
        found = book->words[i] >> 32 == key >> 32 && book->words[i] < key &&
                key_sequence(key) < book->words[i + 1];
    pthread_mutex_unlock(&book->lock);
    return found;
}

size_t life_key(char key[64], uint32_t owner)
{
    return (size_t)snprintf(key, 64, "life-%08x", owner);
}

size_t resident_key(char key[64], uint32_t index)
{
    return (size_t)snprintf(key, 64, "resident/%u/of the stress run", index);
}

/* --- what the runtime reports --- */

void stress_explain(struct stress *s, unsigned code, uint64_t arg0, uint64_t key, int reason)
{
    bool sequenced = code == EV_WORK || code == EV_PARCEL || code == EV_PAUSE || code == EV_CHAIN;
    bool aborting =
        code == EV_WORK && (work_op(arg0) == OP_ABORT || work_op(arg0) == OP_ABORT_LATE);
    if (aborting && reason == abort_error(work_detail(arg0))) {
        add_relaxed(&s->told.aborted, 1);
    } else if (aborting && reason == -ENOSPC) {
        add_relaxed(&s->told.aborts_nospace, 1);
    } else if (sequenced && !aborting && reason == -ENOSPC) {
        add_relaxed(&s->told.nospace, 1);
        book_add(&s->failed, key);
    } else if (code == EV_RESUME && reason == -EPROTO) {
        add_relaxed(&s->told.refused, 1);
    } else {
        stress_find_key(s, FINDING_UNEXPLAINED, key, "event %u was reported as failed: %s", code,
                        pawl_strerror(reason));
    }
}

static void explain_note(struct stress *s, const struct pawl_event *event, int reason)
{
    add_relaxed(&s->told.notes, 1);
    if (event->code == LIFE_NOTE && reason == -ESTALE)
        add_relaxed(&s->told.stale, 1);
    else if (event->code == LIFE_NOTE && reason == -ECANCELED)
        add_relaxed(&s->told.canceled, 1);
    else
        stress_find(s, FINDING_UNEXPLAINED,
                    "event %u to life %#x (task %#llx) was reported as failed: %s", event->code,
                    (unsigned)(event->arg[1] >> 32), (unsigned long long)event->task.id,
                    pawl_strerror(reason));
}

/* May be called by several shards at once. */
void stress_undelivered(void *user, const struct pawl_event *event, int reason)
{
    struct stress *s = user;
    uint32_t kind = event->tag & TAG_KIND;
    add_relaxed(&s->told.undelivered, 1);
    if (!(event->flags & PAWL_EVENT_TIMER) && kind == TAG_RESIDENT) {
        stress_explain(s, event->code, event->arg[0], event->arg[1], reason);
    } else if (!(event->flags & PAWL_EVENT_TIMER) && kind == TAG_LIFE) {
        explain_note(s, event, reason);
    } else if (!(event->flags & PAWL_EVENT_TIMER) && kind == TAG_POKE && reason == -ESTALE) {
        add_relaxed(&s->told.pokes, 1); /* the spark had burnt out before */
        add_relaxed(&s->told.stale, 1);
    } else if (event->code == PAWL_CODE_CREATE && reason == -ENOSPC && event->arg[1] < s->tasks) {
        book_add(&s->unlit, event->arg[1]);
    } else {
        stress_find(s, FINDING_UNEXPLAINED,
                    "event %u (flags %#x, tag %#x) to task %#llx was not delivered: %s",
                    event->code, event->flags, event->tag, (unsigned long long)event->task.id,
                    pawl_strerror(reason));
    }
}
