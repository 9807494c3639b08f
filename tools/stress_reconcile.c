/*
 * stress_reconcile.c - is each view of a task a state that some step committed, and do all totals
 * add up once nothing moves any more? (stress.h explains the method.)
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

/* --- views --- */

static const char *resident_fault(const struct stress *s, const struct pawl_view *view,
                                  const struct resident *common)
{
    uint32_t index = common->head & HEAD_INDEX;
    static const unsigned states[] = {ST_GONE, ST_IDLE, ST_BUSY, ST_WAITING};
    if (index >= s->tasks || s->handles[index] != view->task.id)
        return "holds the context of another resident";
    if ((view->machine == MACHINE_PORTER) != is_porter(index))
        return "has the wrong machine";
    if (states[common->head >> HEAD_WHERE] != view->state)
        return "has a state and a context of different steps";
    return NULL;
}

static const char *porter_fault(const struct stress *s, const struct pawl_view *view)
{
    struct porter porter;
    if (view->context_size != sizeof(porter))
        return "has a context of the wrong size";
    memcpy(&porter, view->context, sizeof(porter));
    if (!porter_is_sealed(&porter))
        return "has a context of different steps";
    if (porter.raised != porter.echoed || porter.entries != porter.exits + 1)
        return "shows half a step: raised events, entries and exits do not balance";
    if (porter.armed != porter.fired + porter.disarmed + !!(porter.common.head & HEAD_ARMED))
        return "shows half a step: its timers do not balance";
    return resident_fault(s, view, &porter.common);
}

static const char *runner_fault(const struct stress *s, const struct pawl_view *view)
{
    struct runner runner;
    if (view->context_size != sizeof(runner))
        return "has a context of the wrong size";
    memcpy(&runner, view->context, sizeof(runner));
    if (!runner_is_sealed(&runner))
        return "has a context of different steps";
    if (runner.raised != runner.echoed)
        return "shows half a step: raised events do not balance";
    return resident_fault(s, view, &runner.common);
}

static const char *life_fault(const struct pawl_view *view)
{
    struct life life;
    char key[64];
    if (view->context_size != sizeof(life))
        return "has a context of the wrong size";
    memcpy(&life, view->context, sizeof(life));
    if (!life_is_sealed(&life))
        return "has a context of different steps";
    /* A task may be seen in its final state just before it is gone. */
    if (view->state != LIFE_DEAD && view->state != (life.asleep ? LIFE_ASLEEP : LIFE_ALERT))
        return "has a state and a context of different steps";
    size_t size = life_key(key, life.owner);
    bool own = view->key_size == size && memcmp(key, view->key, size) == 0;
    bool rival = view->key_size == 7 && memcmp(view->key, "rival-", 6) == 0;
    return own || rival ? NULL : "has the key of another";
}

const char *stress_view_fault(const struct stress *s, const struct pawl_view *view)
{
    switch (view->machine) {
    case MACHINE_PORTER:
        return porter_fault(s, view);
    case MACHINE_RUNNER:
        return runner_fault(s, view);
    case MACHINE_LIFE:
        return life_fault(view);
    case MACHINE_SPARK:
        return view->state <= 1 && view->context_size == 0 ? NULL : "is a spark that cannot be";
    default:
        return "is of a machine that is not there";
    }
}

void stress_walk(struct stress *s, stress_view_fn *seen, void *user)
{
    enum { PORTION = 64 };
    struct pawl_walk walk = {0};
    struct pawl_filter filter = {PAWL_ANY, PAWL_ANY, 0};
    struct pawl_view views[PORTION] = {{.context = NULL}};
    struct porter contexts[PORTION];
    while (!walk.done) {
        for (int i = 0; i < PORTION; i++) {
            views[i].context = &contexts[i];
            views[i].context_capacity = sizeof(contexts[i]);
        }
        int count = pawl_task_walk(s->runtime, &walk, &filter, views, PORTION, 4096);
        if (count < 0) {
            stress_find(s, FINDING_UNEXPLAINED, "a walk ended with: %s", pawl_strerror(count));
            return;
        }
        for (int i = 0; i < count; i++)
            seen(s, &views[i], user);
    }
}

static void count_unsettled(struct stress *s, const struct pawl_view *view, void *user)
{
    uint64_t *count = user;
    (void)s;
    if (view->machine >= MACHINE_LIFE) {
        ++*count;
        return;
    }
    struct resident common;
    memcpy(&common, view->context, sizeof(common));
    bool armed = (common.head & HEAD_ARMED) && !(common.head & HEAD_LONG);
    *count += armed || view->state == ST_WAITING;
}

uint64_t stress_unsettled(struct stress *s)
{
    uint64_t count = 0;
    stress_walk(s, count_unsettled, &count);
    return count;
}

/* --- the reconciliation --- */

struct gap {
    uint64_t last;
    uint64_t next;
};

struct sums {
    uint64_t residents;
    uint64_t digest;
    uint64_t still_armed;
    uint64_t sparks_made;
    uint64_t sparks_failed;
    uint64_t pokes;
    struct book tails; /* what both ends of the lanes disagree about at the end */
};

static int compare_words(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sparks of a resident that were made and then could not post from their first state. */
static uint32_t count_unlit(const struct stress *s, uint32_t index)
{
    size_t low = 0;
    size_t high = s->unlit.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->unlit.words[middle] < index)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t count = 0;
    while (low + count < s->unlit.count && s->unlit.words[low + count] == index)
        count++;
    return count;
}

static void compare_lane(struct stress *s, struct sums *sums, uint32_t index, unsigned lane,
                         uint32_t got, uint32_t sent)
{
    if (got < sent)
        book_add_gap(&sums->tails, key_make(index, lane, got), sent + 1);
    else if (got > sent)
        stress_find_key(s, FINDING_UNEXPLAINED, key_make(index, lane, got),
                        "was accepted, but only %u were sent", sent);
}

static void compare_porter(struct stress *s, struct sums *sums, uint32_t index,
                           const struct porter *p)
{
    unsigned lanes = s->options.producers < LANES ? s->options.producers : LANES;
    for (unsigned j = 0; j < lanes; j++) {
        compare_lane(s, sums, index, j, p->lane[j], producer_sent(s, index, j));
        compare_lane(s, sums, index, LANE_CONTROL + j, p->control[j],
                     producer_sent(s, index, LANE_CONTROL + j));
    }
    if (p->asks != p->replies)
        stress_find(s, FINDING_LOST, "resident %u asked %u times and got %u answers", index,
                    p->asks, p->replies);
    uint32_t unlit = count_unlit(s, index);
    if (p->sparks_asked != p->sparks_made + p->sparks_failed ||
        p->sparks_made != p->sparks_heard + unlit)
        stress_find(
            s, FINDING_LOST,
            "resident %u asked for %u tasks, was told of %u made and %u failed, heard of %u, and "
            "%u were reported",
            index, p->sparks_asked, p->sparks_made, p->sparks_failed, p->sparks_heard, unlit);
    sums->sparks_made += p->sparks_made - unlit;
    sums->sparks_failed += p->sparks_failed;
    sums->pokes += p->pokes;
}

static void compare_resident(struct stress *s, const struct pawl_view *view, void *user)
{
    struct sums *sums = user;
    struct porter context;
    memcpy(&context, view->context, sizeof(struct runner));
    const char *fault = stress_view_fault(s, view);
    if (fault != NULL)
        stress_find(s, FINDING_TORN, "at the end, task %#llx %s", (unsigned long long)view->task.id,
                    fault);
    uint32_t index = context.common.head & HEAD_INDEX;
    if (view->machine >= MACHINE_LIFE || index >= s->tasks)
        return;
    sums->residents++;
    sums->still_armed += (context.common.head & HEAD_ARMED) != 0;
    uint64_t head = (uint64_t)view->state << 32 | view->version;
    sums->digest = mix64(sums->digest ^ mix64(view->task.id) ^ head);
    for (size_t at = 0; at < view->context_size; at += 4) {
        uint32_t word;
        memcpy(&word, (const char *)view->context + at, 4);
        sums->digest = mix64(sums->digest + word);
    }
    if (is_porter(index)) {
        memcpy(&context, view->context, sizeof(context));
        compare_porter(s, sums, index, &context);
    } else {
        struct runner runner;
        memcpy(&runner, view->context, sizeof(runner));
        compare_lane(s, sums, index, 0, runner.lane, producer_sent(s, index, 0));
    }
    struct porter before = {.lane = {0}};
    struct pawl_view other = {.context = &before, .context_capacity = sizeof(before)};
    struct pawl_task predecessor = {s->handles[stress_predecessor(s, index)]};
    int rc = pawl_task_peek(s->runtime, predecessor, &other);
    if (rc != 0)
        stress_find(s, FINDING_UNEXPLAINED, "at the end, a peek at resident %u says: %s",
                    stress_predecessor(s, index), pawl_strerror(rc));
    else
        compare_lane(s, sums, index, LANE_CHAIN, context.common.chain_in, before.common.chain_out);
}

static int compare_gaps(const void *a, const void *b)
{
    const struct gap *x = a;
    const struct gap *y = b;
    return x->last != y->last ? compare_words(&x->last, &y->last)
                              : compare_words(&x->next, &y->next);
}

/* All gaps in order, one for each last accepted key: of those that began there the widest. (A step
 * that was given up after it had booked a gap leaves a narrower one behind.) */
static struct gap *collect_gaps(struct stress *s, struct book *tails, size_t *count)
{
    size_t words = tails->count;
    for (unsigned i = 0; i < s->shard_count; i++)
        words += s->shards[i].gaps.count;
    struct gap *gaps = malloc((words / 2 + 1) * sizeof(*gaps));
    if (gaps == NULL)
        return NULL;
    size_t filled = 0;
    for (unsigned i = 0; i <= s->shard_count; i++) {
        const struct book *book = i < s->shard_count ? &s->shards[i].gaps : tails;
        for (size_t at = 0; at < book->count; at += 2)
            gaps[filled++] = (struct gap){book->words[at], book->words[at + 1]};
    }
    qsort(gaps, filled, sizeof(*gaps), compare_gaps);
    size_t kept = 0;
    for (size_t i = 0; i < filled; i++) {
        if (kept > 0 && gaps[kept - 1].last == gaps[i].last)
            kept--;
        gaps[kept++] = gaps[i];
    }
    *count = kept;
    return gaps;
}

/* The failed events, at least *at, that lie in a gap; the others of the gap are lost. */
static void compare_gap(struct stress *s, const struct gap *gap, const uint64_t *failed,
                        size_t count, size_t *at)
{
    uint64_t end = (gap->last & ~(uint64_t)UINT32_MAX) | gap->next;
    for (; *at < count && failed[*at] <= gap->last; ++*at)
        stress_find_key(s, FINDING_CONTRADICTED, failed[*at],
                        "was reported as failed, but it was handled");
    for (uint64_t key = gap->last + 1; key < end; key++) {
        bool explained = *at < count && failed[*at] == key;
        if (!explained)
            stress_find_key(s, FINDING_LOST, key,
                            "never came, and nobody was told; before it came %u",
                            key_sequence(gap->last));
        *at += explained;
        for (; *at < count && failed[*at] == key; ++*at)
            stress_find_key(s, FINDING_CONTRADICTED, key, "was reported as failed twice");
    }
}

static void compare_books(struct stress *s, struct book *tails)
{
    size_t count = 0;
    size_t at = 0;
    struct book *failed = &s->failed;
    struct gap *gaps = collect_gaps(s, tails, &count);
    if (gaps == NULL) {
        stress_find(s, FINDING_UNEXPLAINED, "there is no memory left to compare the books");
        return;
    }
    if (failed->count > 0)
        qsort(failed->words, failed->count, sizeof(*failed->words), compare_words);
    for (size_t i = 0; i < count; i++)
        compare_gap(s, &gaps[i], failed->words, failed->count, &at);
    for (; at < failed->count; at++)
        stress_find_key(s, FINDING_CONTRADICTED, failed->words[at],
                        "was reported as failed, but it was handled");
    free(gaps);
}

static void expect(struct stress *s, const char *what, uint64_t expected, uint64_t got)
{
    if (expected != got)
        stress_find(s, FINDING_UNEXPLAINED, "total of %s: expected %llu, got %llu", what,
                    (unsigned long long)expected, (unsigned long long)got);
}

static uint64_t side_sum(struct stress *s, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->shard_count; i++)
        sum += load_relaxed((_Atomic uint64_t *)(void *)((char *)&s->shards[i] + offset));
    return sum;
}

#define SIDE(field) side_sum(s, offsetof(struct shard_side, field))
#define TOLD(field) load_relaxed(&s->told.field)

/* What senders and receivers counted must agree. */
static void compare_ends(struct stress *s, const struct sums *sums,
                         const struct producer_totals *sent)
{
    expect(s, "residents alive", s->tasks, sums->residents);
    expect(s, "steps given up", sent->aborts, TOLD(aborted) + TOLD(aborts_nospace));
    expect(s, "resumes handled or refused", sent->resumes, SIDE(resumed) + TOLD(refused));
    expect(s, "cancels of residents", sent->cancels, SIDE(cancels));
    expect(s, "notes handled or failed", sent->notes,
           SIDE(notes) + sent->notes_failed + TOLD(notes));
    expect(s, "notes without a completion that failed", sent->notes_silent, TOLD(notes));
    expect(s, "lives created and ended", sent->created, SIDE(lives_ended));
    expect(s, "sparks made and burnt out", sums->sparks_made, SIDE(sparks_ended));
    expect(s, "pokes handled or stale", sums->pokes, SIDE(pokes) + TOLD(pokes));
}

/* What the runtime counted must agree with both. */
static void compare_counters(struct stress *s, const struct sums *sums,
                             const struct producer_totals *sent)
{
    struct pawl_counters c;
    pawl_runtime_counters(s->runtime, &c);
    expect(s, "counter tasks", s->tasks, c.tasks);
    expect(s, "counter created", s->tasks + sent->created + sums->sparks_made, c.created);
    expect(s, "counter ended", sent->created + sums->sparks_made, c.ended);
    expect(s, "counter refused", TOLD(refused), c.refused);
    expect(s, "counter stale", TOLD(stale), c.stale);
    expect(s, "counter ignored", sent->ignored, c.ignored);
    expect(s, "counter aborted",
           TOLD(nospace) + TOLD(aborted) + TOLD(aborts_nospace) + SIDE(asks_failed) +
               sums->sparks_failed + s->unlit.count,
           c.aborted);
    expect(s, "counter undelivered", TOLD(undelivered), c.undelivered);
    expect(s, "counter deferred", c.recalled + TOLD(canceled), c.deferred);
    expect(s, "counter timers_fired", SIDE(fired), c.timers_fired);
    expect(s, "level timers", sums->still_armed, c.timers);
    expect(s, "level inflight", 0, c.inflight);
}

uint64_t stress_reconcile(struct stress *s)
{
    struct sums sums = {.digest = s->options.seed};
    struct producer_totals sent;
    book_init(&sums.tails);
    producers_total(s, &sent);
    producers_check_end(s);
    if (s->unlit.count > 0)
        qsort(s->unlit.words, s->unlit.count, sizeof(*s->unlit.words), compare_words);
    stress_walk(s, compare_resident, &sums);
    compare_books(s, &sums.tails);
    compare_ends(s, &sums, &sent);
    compare_counters(s, &sums, &sent);
    book_fini(&sums.tails);
    return sums.digest;
}
