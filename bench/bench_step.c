/*
 * bench_step.c - what a step costs by the kind of its transition, in the cache.
 *
 *   pawl    events are posted to a port in batches of 1024 and stepped by pawl_turn on the same core;
 *           both are counted
 *   limit   a bare loop over an array of 64-byte records, a switch over the state, direct calls of
 *           handlers: no queue before it, no ids, no readers, no atomicity. What belongs to the kind is
 *           there, written by hand: a list of timeouts of one length, a place for a deferred event in
 *           the record, a ring for events to others.
 *
 * A thousand random tasks. step_kinds.h has the machines. Handlers of the limit are not inlined, as no
 * handler of a real program of some size would be.
 */
#include <stdalign.h>
#include <stdlib.h>

#include "harness.h"
#include "rows.h"
#include "step_kinds.h"

/* Rounds of the limit are so many times longer: a tenth of Pawl's time is too short to tell. */
enum { LIMIT_LONGER = 4 };

static unsigned batches_of(const struct step_kind *kind)
{
    const uint64_t steps = bench_pick(UINT64_C(1) << 14, UINT64_C(2) << 20, UINT64_C(4) << 20);
    const uint64_t batches = steps / kind->steps / STEP_BATCH;

    return batches > 0 ? (unsigned)batches : 1;
}

/* ---- Pawl ---- */

struct pawl_state {
    struct step_side side;
    struct step_feed feed;
    struct pawl_event batch[STEP_BATCH];
};

static void *pawl_open_kind(const struct bench_row *row, const struct bench_contender *contender)
{
    struct pawl_state *state = malloc(sizeof(*state));

    (void)row;
    if (state == NULL)
        bench_fail("no memory");
    step_side_open(&state->side, contender->detail, NULL);
    step_feed_init(&state->feed, contender->detail);
    return state;
}

static void pawl_run_kind(void *argument, struct bench_sample *sample)
{
    struct pawl_state *state = argument;
    const struct step_kind *kind = state->side.kind;
    const unsigned batches = batches_of(kind);
    uint64_t spent_ns = 0;

    for (unsigned i = 0; i < batches; i++) {
        uint64_t begin;

        step_feed_fill(&state->feed, state->batch, state->side.first);
        begin = bench_now_ns();
        step_side_run(&state->side, state->batch, STEP_BATCH);
        spent_ns += bench_now_ns() - begin;
    }
    step_side_run(&state->side, state->batch,
                  step_feed_finish(&state->feed, state->batch, state->side.first));
    step_side_check(&state->side, &state->feed);
    sample->seconds = (double)spent_ns * 1e-9;
    sample->operations = (uint64_t)batches * STEP_BATCH * kind->steps;
}

static void pawl_close_kind(void *argument)
{
    struct pawl_state *state = argument;

    step_side_close(&state->side);
    free(state);
}

/* ---- The limit ---- */

enum { NOBODY = STEP_TASKS, QUEUE = 4096 };

_Static_assert(QUEUE >= 2 * STEP_BATCH && (QUEUE & (QUEUE - 1)) == 0,
               "an event of a batch has at most one successor in the ring");

struct bare_task {
    uint64_t state;
    struct step_counts counts;
    uint32_t next, prev; /* in the list of timeouts */
    uint64_t deadline_ns;
    uint64_t kept_count;
    uint64_t kept[2]; /* arguments of deferred events */
};
_Static_assert(sizeof(struct bare_task) == 64, "a line a task, as Pawl's slots");

struct bare {
    alignas(64) struct bare_task tasks[STEP_TASKS];
    uint32_t timeout_first,
        timeout_last; /* all of one length, so in the order of their deadlines */
    uint64_t now_ns;
    uint32_t head, tail; /* of the queue */
    struct pawl_event queue[QUEUE];
    struct step_feed feed;
    struct pawl_event batch[STEP_BATCH];
};

typedef void bare_fn(struct bare *bare, struct bare_task *task, const struct pawl_event *event);

#define NOT_INLINED static __attribute__((noinline)) void
#define UNROLLED    static inline __attribute__((always_inline)) void

NOT_INLINED bare_advance(struct step_counts *counts, const struct pawl_event *event)
{
    counts->count++;
    counts->sum += event->arg[0];
}

NOT_INLINED bare_path(struct step_counts *counts, const struct pawl_event *event)
{
    (void)event;
    counts->count++;
}

static __attribute__((noinline)) bool bare_is_zero(const struct step_counts *counts,
                                                   const struct pawl_event *event)
{
    (void)counts;
    return event->arg[0] == 0;
}

static __attribute__((noinline)) bool bare_is_not_zero(const struct step_counts *counts,
                                                       const struct pawl_event *event)
{
    (void)counts;
    return event->arg[0] != 0;
}

UNROLLED bare_flat(struct bare *bare, struct bare_task *task, const struct pawl_event *event)
{
    static const uint8_t targets[] = {1, 2, 3, 4, 0};

    (void)bare;
    bare_advance(&task->counts, event);
    task->state = targets[task->state];
}

UNROLLED bare_nested(struct bare *bare, struct bare_task *task, const struct pawl_event *event)
{
    (void)bare;
    for (unsigned level = 0; level < 4; level++)
        bare_path(&task->counts, event);
    bare_advance(&task->counts, event);
    for (unsigned level = 0; level < 4; level++)
        bare_path(&task->counts, event);
    task->state = !task->state;
}

UNROLLED bare_guard(struct bare *bare, struct bare_task *task, const struct pawl_event *event)
{
    (void)bare;
    if (bare_is_zero(&task->counts, event)) {
        bare_advance(&task->counts, event);
    } else if (bare_is_not_zero(&task->counts, event)) {
        bare_advance(&task->counts, event);
        task->state = !task->state;
    }
}

UNROLLED bare_timeout(struct bare *bare, struct bare_task *task, const struct pawl_event *event)
{
    const uint32_t self = (uint32_t)(task - bare->tasks);

    bare_advance(&task->counts, event);
    task->state = !task->state;
    if (task->prev != NOBODY)
        bare->tasks[task->prev].next = task->next;
    else
        bare->timeout_first = task->next;
    if (task->next != NOBODY)
        bare->tasks[task->next].prev = task->prev;
    else
        bare->timeout_last = task->prev;
    task->next = NOBODY;
    task->prev = bare->timeout_last;
    bare->tasks[bare->timeout_last].next = self;
    bare->timeout_last = self;
    task->deadline_ns = bare->now_ns + STEP_TIMEOUT_NS;
}

UNROLLED bare_defer(struct bare *bare, struct bare_task *task, const struct pawl_event *event)
{
    (void)bare;
    if (event->code == 0 && task->state == 0) {
        if (task->kept_count == sizeof(task->kept) / sizeof(task->kept[0]))
            bench_fail("no room for another deferred event");
        task->kept[task->kept_count++] = event->arg[0];
        return;
    }
    bare_advance(&task->counts, event);
    task->state = event->code;
    /* What waited is handled now, unless one of its like has made the task busy again. */
    while (task->kept_count > 0 && task->state == 1) {
        const struct pawl_event kept = {.arg = {task->kept[0]}};

        task->kept[0] = task->kept[1];
        task->kept_count--;
        bare_advance(&task->counts, &kept);
        task->state = 0;
    }
}

UNROLLED bare_raise(struct bare *bare, struct bare_task *task, const struct pawl_event *event)
{
    const struct pawl_event raised = {.code = 1, .arg = {event->arg[0]}};

    (void)bare;
    bare_advance(&task->counts, event);
    task->state = 1;
    bare_advance(&task->counts, &raised);
    task->state = 0;
}

static inline void enqueue(struct bare *bare, uint64_t task, uint16_t code, uint64_t arg0,
                           uint64_t arg1)
{
    bare->queue[bare->tail++ % QUEUE] =
        (struct pawl_event){.task = {task}, .code = code, .arg = {arg0, arg1}};
}

UNROLLED bare_post(struct bare *bare, struct bare_task *task, const struct pawl_event *event)
{
    bare_advance(&task->counts, event);
    task->state = !task->state;
    if (step_hops_left(event) > 1)
        enqueue(bare, step_target(event), 0, event->arg[0], event->arg[1] - 1);
}

UNROLLED bare_ask(struct bare *bare, struct bare_task *task, const struct pawl_event *event)
{
    bare_advance(&task->counts, event);
    task->state = !task->state;
    switch (event->code) {
    case 0:
        enqueue(bare, step_target(event), 1, event->arg[0], (uint64_t)(task - bare->tasks));
        break;
    case 1:
        enqueue(bare, event->arg[1], 2, event->arg[0], 0);
        break;
    default:
        break;
    }
}

/* The loop, once for each kind with its step in place. */
UNROLLED bare_batch(struct bare *bare, bare_fn *step)
{
    for (unsigned i = 0; i < STEP_BATCH; i++)
        step(bare, &bare->tasks[bare->batch[i].task.id], &bare->batch[i]);
    while (bare->head != bare->tail) {
        const struct pawl_event *event = &bare->queue[bare->head++ % QUEUE];

        step(bare, &bare->tasks[event->task.id], event);
    }
}

static void bare_batch_of(struct bare *bare, const struct step_kind *kind)
{
    switch (kind - step_kinds) {
    case STEP_FLAT:
        bare_batch(bare, bare_flat);
        break;
    case STEP_NESTED:
        bare_batch(bare, bare_nested);
        break;
    case STEP_GUARD:
        bare_batch(bare, bare_guard);
        break;
    case STEP_TIMEOUT:
        bare->now_ns = bench_now_ns();
        bare_batch(bare, bare_timeout);
        if (bare->tasks[bare->timeout_first].deadline_ns <= bare->now_ns)
            bench_fail("a timeout of ten minutes has passed");
        break;
    case STEP_DEFER:
        bare_batch(bare, bare_defer);
        break;
    case STEP_RAISE:
        bare_batch(bare, bare_raise);
        break;
    case STEP_POST:
        bare_batch(bare, bare_post);
        break;
    case STEP_ASK:
        bare_batch(bare, bare_ask);
        break;
    default:
        bench_fail("the limit does not know %s", kind->name);
    }
}

static void *bare_open_kind(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bare *bare = aligned_alloc(64, sizeof(*bare));

    (void)row;
    if (bare == NULL)
        bench_fail("no memory");
    memset(bare, 0, sizeof(*bare));
    for (uint32_t i = 0; i < STEP_TASKS; i++) {
        bare->tasks[i].prev = i > 0 ? i - 1 : NOBODY;
        bare->tasks[i].next = i + 1; /* the last one's is NOBODY */
        bare->tasks[i].deadline_ns = bench_now_ns() + STEP_TIMEOUT_NS;
    }
    bare->timeout_last = STEP_TASKS - 1;
    step_feed_init(&bare->feed, contender->detail);
    return bare;
}

static void bare_check(const struct bare *bare)
{
    struct step_counts total = {0};

    for (unsigned i = 0; i < STEP_TASKS; i++) {
        total.count += bare->tasks[i].counts.count;
        total.sum += bare->tasks[i].counts.sum;
    }
    if (total.count != bare->feed.expected.count || total.sum != bare->feed.expected.sum)
        bench_fail("%s: the limit has lost count", bare->feed.kind->name);
}

static void bare_run_kind(void *argument, struct bench_sample *sample)
{
    struct bare *bare = argument;
    const struct step_kind *kind = bare->feed.kind;
    const unsigned batches = batches_of(kind) * LIMIT_LONGER;
    uint64_t spent_ns = 0;
    unsigned rest;

    for (unsigned i = 0; i < batches; i++) {
        uint64_t begin;

        step_feed_fill(&bare->feed, bare->batch, 0);
        begin = bench_now_ns();
        bare_batch_of(bare, kind);
        spent_ns += bench_now_ns() - begin;
    }
    rest = step_feed_finish(&bare->feed, bare->batch, 0);
    for (unsigned i = 0; i < rest; i++)
        bare_defer(bare, &bare->tasks[bare->batch[i].task.id], &bare->batch[i]);
    bare_check(bare);
    sample->seconds = (double)spent_ns * 1e-9;
    sample->operations = (uint64_t)batches * STEP_BATCH * kind->steps;
}

/* ---- Rows ---- */

void bench_step_rows(void)
{
    static struct bench_contender contenders[STEP_KINDS][2];

    for (unsigned i = 0; i < STEP_KINDS; i++) {
        const struct step_kind *kind = &step_kinds[i];

        contenders[i][0] = (struct bench_contender){
            .name = "pawl",
            .semantics =
                "one shard, host-driven: posting to a port in batches of 1024 and turning, "
                "on one core; steps are atomic, readable from any thread",
            .open = pawl_open_kind,
            .run = pawl_run_kind,
            .close = pawl_close_kind,
            .detail = kind,
        };
        contenders[i][1] = (struct bench_contender){
            .name = "limit",
            .semantics =
                "hand-written switch over an array of 64-byte records: no posting, no ids, "
                "no atomicity, no readers; only what the kind needs",
            .open = bare_open_kind,
            .run = bare_run_kind,
            .close = free,
            .detail = kind,
        };
        bench_add(&(struct bench_row){
            .name = kind->name,
            .title = kind->title,
            .group = NULL,
            .unit = "step",
            .metric = "ns",
            .size = STEP_TASKS,
            .flags = BENCH_LESS_IS_BETTER,
            .contenders = contenders[i],
            .contender_count = 2,
        });
    }
}
