/*
 * stress_producer.c - producers and their sequenced events to residents.
 */
#include "stress_producer.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

/* --- events to residents --- */

struct pawl_event *stage(struct producer *p)
{
    CHECK(p->staged_end < STAGE_SIZE);
    struct pawl_event *event = &p->staged[p->staged_end++];
    *event = (struct pawl_event){.code = 0};
    return event;
}

/*
 * A resident, hot or not, that has a lane for this producer; false when there is none to be found.
 */
static bool pick(struct producer *p, uint32_t *index, unsigned *lane)
{
    unsigned producers = p->s->options.producers;
    for (int tries = 0; tries < 64; tries++) {
        uint64_t bound = random_next(&p->random) & 1 && p->s->tasks > HOT ? HOT : p->s->tasks;
        uint32_t group = (uint32_t)random_below(&p->random, (bound + producers - 1) / producers);
        *lane = (unsigned)random_below(&p->random, p->lanes);
        *index = group * producers + (p->number + producers - *lane) % producers;
        if (*index < p->s->tasks && (*lane == 0 || is_porter(*index)))
            return true;
    }
    return false;
}

static enum op pick_op(struct producer *p)
{
    static const struct {
        uint8_t below;
        uint8_t op;
    } mix[] = {{150, OP_PLAIN},  {176, OP_CHAIN}, {196, OP_ARM},
               {204, OP_DISARM}, {218, OP_RAISE}, {230, OP_ASK},
               {234, OP_SPARK},  {240, OP_ABORT}, {246, OP_ABORT_LATE}};
    unsigned draw = (unsigned)random_below(&p->random, 246);
    size_t i = 0;
    while (draw >= mix[i].below)
        i++;
    return (enum op)mix[i].op;
}

static bool make_parcel(struct pawl_event *event, uint64_t work, uint64_t key)
{
    const uint64_t words[PARCEL_WORDS] = {work, key, answer_to(key)};
    struct pawl_buffer *buffer = pawl_buffer_create(sizeof(words));
    if (buffer == NULL)
        return false;
    memcpy(pawl_buffer_bytes(buffer), words, sizeof(words));
    event->code = EV_PARCEL;
    event->flags |= PAWL_EVENT_BUFFER;
    event->arg[0] = (uintptr_t)buffer;
    return true;
}

/* Three of five events ask for a completion; the others are heard of only when they fail. */
static void ask_completion(struct producer *p, struct pawl_event *event, uint64_t work,
                           enum pending_kind kind)
{
    uint32_t tag = TAG_RESIDENT;
    struct pending *pending = NULL;
    if (p->port != NULL && random_below(&p->random, 5) < 3)
        pending = pending_take(p, kind, &tag);
    event->tag = tag;
    if (pending == NULL)
        return;
    event->flags |= PAWL_EVENT_COMPLETE;
    pending->task = event->task;
    pending->work = work;
    pending->key = event->arg[1];
    pending->code = event->code;
}

static void stage_event(struct producer *p, uint32_t index, unsigned code, uint64_t work,
                        uint64_t key)
{
    struct pawl_event *event = stage(p);
    event->task.id = p->s->handles[index];
    event->code = (uint16_t)code;
    event->flags = code == EV_URGENT ? PAWL_EVENT_CONTROL : 0;
    event->arg[0] = work;
    event->arg[1] = key;
    if (code == EV_PARCEL && !make_parcel(event, work, key))
        event->code = EV_WORK;
    ask_completion(p, event, work, PENDING_RESIDENT);
    p->left--;
    p->totals.posted++;
}

/*
 * The planted fault, once. In a runner, because only this producer gives it work, and because there
 * is room for what it defers: nothing can hide the fault.
 */
static void stage_plant(struct producer *p, uint32_t index, unsigned lane, uint32_t *sequence)
{
    static const uint8_t ops[PLANT_COUNT] = {
        [PLANT_TEAR] = OP_TEAR, [PLANT_CHAIN] = OP_CHEAT_CHAIN, [PLANT_TIMER] = OP_CHEAT_TIMER};
    enum plant plant = p->s->options.plant;
    uint32_t first = ++*sequence;
    uint32_t second = first;
    uint32_t tag = 0;
    struct pending *expected;
    uint64_t work = work_make((enum op)ops[plant], 0, 0, p->number, 0);
    p->planted = true;
    if (plant == PLANT_LOSE || plant == PLANT_REORDER)
        first = ++*sequence;
    else if (plant == PLANT_CONTRADICT)
        book_add(&p->s->failed, key_make(index, lane, first));
    else if (plant == PLANT_COMPLETION && (expected = pending_take(p, PENDING_RESIDENT, &tag)))
        expected->key = key_make(index, lane, first);
    stage_event(p, index, EV_WORK, work, key_make(index, lane, first));
    if (plant == PLANT_DOUBLE || plant == PLANT_REORDER)
        stage_event(p, index, EV_WORK, work, key_make(index, lane, second));
    if (plant == PLANT_TIMER)
        p->left = 0; /* or the task might arm its timer in earnest */
}

static bool stage_resident(struct producer *p)
{
    uint32_t index = 0;
    unsigned lane = 0;
    if (!pick(p, &index, &lane))
        return false;
    struct stress_options *options = &p->s->options;
    uint32_t *sequence = &p->sent[(size_t)(index / options->producers) * p->lanes + lane];
    if (unlikely(options->plant != PLANT_NONE && p->number == 0 && !p->planted &&
                 !is_porter(index) && p->left >= 2 && p->totals.posted >= 200)) {
        stage_plant(p, index, lane, sequence);
        return true;
    }
    uint64_t draw = random_next(&p->random);
    uint32_t detail = (uint32_t)(draw >> 32);
    unsigned percent = (unsigned)draw % 100;
    if (percent < 2) {
        stage_event(p, index, EV_RESUME, work_make(OP_PLAIN, 0, 0, p->number, 0),
                    key_make(index, LANE_NONE, 0));
        p->totals.resumes++;
    } else if (percent < 4 && index < HOT && is_porter(index)) {
        uint32_t *control =
            &p->sent_control[(size_t)(index / options->producers) * p->lanes + lane];
        stage_event(p, index, EV_URGENT, work_make(OP_PLAIN, 0, 0, p->number, 0),
                    key_make(index, LANE_CONTROL + lane, ++*control));
    } else if (percent < 6) {
        unsigned code = percent == 4 ? EV_PAUSE : EV_PARCEL;
        stage_event(p, index, code, work_make(OP_PLAIN, 0, 0, p->number, 0),
                    key_make(index, lane, ++*sequence));
    } else {
        enum op op = pick_op(p);
        bool aborts = op == OP_ABORT || op == OP_ABORT_LATE;
        unsigned flags = percent < 20 ? WORK_FLIP : percent < 24 ? WORK_AGAIN : 0;
        uint32_t number = aborts ? *sequence : ++*sequence;
        p->totals.aborts += aborts;
        stage_event(p, index, EV_WORK, work_make(op, flags, detail >> 8 & 7, p->number, detail),
                    key_make(index, lane, number));
    }
    return true;
}

/* A cancel of a resident delivers the machine's cancel event; it does not go through the stage. */
static void cancel_resident(struct producer *p)
{
    uint32_t tag = 0;
    uint32_t index = (uint32_t)random_below(&p->random, p->s->tasks);
    struct pawl_task task = {p->s->handles[index]};
    int rc = 0;
    if (p->port == NULL) {
        rc = pawl_task_cancel(p->s->runtime, task);
    } else {
        struct pending *pending = pending_take(p, PENDING_CANCEL, &tag);
        if (pending == NULL)
            return;
        pending->task = task;
        pending->code = EV_RESUME; /* it is not sequenced and has no answer */
        pending->work = 0;
        pending->key = key_make(index, LANE_NONE, 0);
        rc = pawl_port_cancel(p->port, task, tag);
        if (rc != 0)
            pending_give_back(p, tag);
    }
    p->totals.cancels += rc == 0;
    p->totals.full += rc == -EAGAIN;
    if (rc != 0 && rc != -EAGAIN)
        stress_find(p->s, FINDING_UNEXPLAINED, "producer %u cannot cancel: %s", p->number,
                    pawl_strerror(rc));
}

/* --- the turn --- */

static bool post(struct producer *p)
{
    if (p->staged_at == p->staged_end)
        return false;
    size_t count = p->staged_end - p->staged_at;
    const struct pawl_event *events = &p->staged[p->staged_at];
    int accepted = p->port != NULL ? pawl_port_post(p->port, events, count)
                                   : pawl_task_post(p->s->runtime, events, count);
    if (accepted == -EAGAIN) {
        p->totals.full++;
        return false;
    }
    if (accepted <= 0 || (size_t)accepted > count) {
        stress_find(p->s, FINDING_UNEXPLAINED, "producer %u cannot post: %s (%d of %zu)", p->number,
                    pawl_strerror(accepted), accepted, count);
        store_relaxed(&p->s->abandoned, 1);
        return false;
    }
    p->staged_at += (unsigned)accepted;
    if (p->staged_at == p->staged_end)
        p->staged_at = p->staged_end = 0;
    return true;
}

static void generate(struct producer *p)
{
    lives_turn(p);
    for (unsigned i = 0; i < BATCH_RESIDENT && p->left > 0; i++)
        if (!stage_resident(p))
            p->left = 0;
    if (random_below(&p->random, 32) == 0)
        cancel_resident(p);
}

static enum progress producer_turn(struct producer *p)
{
    struct stress *s = p->s;
    bool some = p->port != NULL && completions_reap(p);
    if (load_relaxed(&s->abandoned))
        return PROGRESS_DONE;
    p->finishing =
        p->finishing || p->left == 0 || load_relaxed(&s->stopping) || stress_found_any(s);
    if (p->staged_at == p->staged_end && !p->finishing)
        generate(p);
    else if (p->staged_at == p->staged_end && lives_turn(p))
        some = true;
    if (post(p))
        some = true;
    bool idle = p->finishing && p->staged_at == p->staged_end && lives_over(p);
    if (idle && (p->port == NULL || pawl_port_outstanding(p->port) == 0))
        return PROGRESS_DONE;
    return some ? PROGRESS_SOME : PROGRESS_NONE;
}

enum progress producers_turn(struct stress *s, unsigned number)
{
    struct producer *p = &s->producers[number];
    if (load_relaxed(&p->finished))
        return PROGRESS_DONE;
    enum progress progress = producer_turn(p);
    if (progress == PROGRESS_DONE)
        store_release(&p->finished, 1);
    return progress;
}

static void *producer_main(void *argument)
{
    struct producer *p = argument;
    const struct timespec nap = {.tv_nsec = 50000};
    unsigned idle = 0;
    for (;;) {
        enum progress progress = producers_turn(p->s, p->number);
        if (progress == PROGRESS_DONE)
            return NULL;
        idle = progress == PROGRESS_SOME ? 0 : idle + 1;
        if (idle == 0)
            continue;
        if (p->port != NULL && pawl_port_outstanding(p->port) > 0)
            pawl_port_wait(p->port, 1000000);
        else if (idle < 16)
            sched_yield();
        else
            nanosleep(&nap, NULL);
    }
}

/* --- from open to close --- */

static int producer_open(struct stress *s, unsigned number)
{
    struct producer *p = &s->producers[number];
    unsigned producers = s->options.producers;
    struct pawl_port_options options = {.capacity = s->options.port_capacity};
    p->s = s;
    p->number = number;
    p->lanes = producers < LANES ? producers : LANES;
    p->random.state = s->options.seed * UINT64_C(0x2545f4914f6cdd1d) + number;
    p->left = s->options.events == 0
                  ? UINT64_MAX
                  : s->options.events / producers + (number < s->options.events % producers);
    p->sent = calloc((size_t)(s->tasks / producers + 1) * p->lanes, sizeof(*p->sent));
    p->sent_control = calloc((size_t)(HOT / producers + 1) * p->lanes, sizeof(*p->sent_control));
    p->pending_count = s->options.port_capacity;
    p->pending = calloc(p->pending_count, sizeof(*p->pending));
    p->pending_free = calloc(p->pending_count, sizeof(*p->pending_free));
    if (!p->sent || !p->sent_control || !p->pending || !p->pending_free)
        return -ENOMEM;
    while (p->pending_free_count < p->pending_count) {
        p->pending_free[p->pending_free_count] = p->pending_free_count;
        p->pending_free_count++;
    }
    if (number + s->options.portless >= producers)
        return 0;
    return pawl_port_open(s->runtime, &options, &p->port);
}

int producers_open(struct stress *s)
{
    unsigned count = s->options.producers;
    s->producers = aligned_alloc(CACHE_LINE, count * sizeof(*s->producers));
    s->lives = s->lives_memory = calloc((size_t)count * LIVES, sizeof(*s->lives));
    if (s->producers == NULL || s->lives == NULL)
        return -ENOMEM;
    memset(s->producers, 0, count * sizeof(*s->producers));
    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = producer_open(s, i);
    return rc;
}

void producers_close(struct stress *s)
{
    for (unsigned i = 0; s->producers != NULL && i < s->options.producers; i++) {
        struct producer *p = &s->producers[i];
        stress_close_port(s, p->port);
        for (; p->staged_at < p->staged_end; p->staged_at++)
            if (p->staged[p->staged_at].flags & PAWL_EVENT_BUFFER)
                pawl_buffer_unref((struct pawl_buffer *)(uintptr_t)p->staged[p->staged_at].arg[0]);
        free(p->sent);
        free(p->sent_control);
        free(p->pending);
        free(p->pending_free);
    }
    free(s->producers);
    free(s->lives_memory);
    s->producers = NULL;
    s->lives = s->lives_memory = NULL;
}

int producers_start(struct stress *s)
{
    for (unsigned i = 0; i < s->options.producers; i++) {
        int rc = pthread_create(&s->producers[i].thread, NULL, producer_main, &s->producers[i]);
        if (rc != 0)
            return -rc;
        s->producers[i].started = true;
    }
    return 0;
}

bool producers_finished(struct stress *s)
{
    for (unsigned i = 0; i < s->options.producers; i++)
        if (!load_acquire(&s->producers[i].finished))
            return false;
    return true;
}

void producers_join(struct stress *s)
{
    for (unsigned i = 0; s->producers != NULL && i < s->options.producers; i++) {
        if (s->producers[i].started)
            pthread_join(s->producers[i].thread, NULL);
        s->producers[i].started = false;
    }
}

void producers_total(struct stress *s, struct producer_totals *totals)
{
    *totals = (struct producer_totals){0};
    for (unsigned i = 0; i < s->options.producers; i++) {
        const struct producer_totals *t = &s->producers[i].totals;
        totals->posted += t->posted;
        totals->completed += t->completed;
        totals->aborts += t->aborts;
        totals->resumes += t->resumes;
        totals->cancels += t->cancels;
        totals->notes += t->notes;
        totals->notes_silent += t->notes_silent;
        totals->notes_failed += t->notes_failed;
        totals->ignored += t->ignored;
        totals->created += t->created;
        totals->full += t->full;
    }
}

uint32_t producer_sent(struct stress *s, uint32_t index, unsigned lane)
{
    unsigned producers = s->options.producers;
    bool control = lane >= LANE_CONTROL;
    unsigned place = control ? lane - LANE_CONTROL : lane;
    const struct producer *p = &s->producers[(index + place) % producers];
    size_t at = (size_t)(index / producers) * p->lanes + place;
    return !control ? p->sent[at] : index < HOT ? p->sent_control[at] : 0;
}

void producers_check_end(struct stress *s)
{
    for (unsigned i = 0; i < s->options.producers; i++)
        for (uint32_t slot = 0; slot < s->producers[i].pending_count; slot++)
            if (s->producers[i].pending[slot].busy)
                stress_find_key(s, FINDING_LOST, s->producers[i].pending[slot].key,
                                "the completion that producer %u asked for never came", i);
}
