/*
 * stress_reader.c - readers of `pawl stress`: they peek, find and walk all the while, and check
 * that each view is a state that some step committed, that a task's version never goes back, and
 * that a walk sees every resident exactly once and every other task at most once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stress.h"

#define PORTION 64

/* What a walk looks for. */
enum walk_kind { WALK_ALL, WALK_PORTERS, WALK_WAITING, WALK_OLD, WALK_KINDS };

struct reader {
    struct stress *s;
    struct random random;
    struct pawl_walk walk;
    struct pawl_filter filter;
    enum walk_kind kind;
    uint64_t residents; /* seen in this walk */
    uint64_t *seen;     /* bitmap by index */
    uint64_t porters;   /* in all */
    uint32_t versions[HOT];
    struct porter contexts[PORTION];
    struct pawl_view views[PORTION];
    pthread_t thread;
    bool started;
};

static void walk_begin(struct reader *r)
{
    r->walk = (struct pawl_walk){0};
    r->filter = (struct pawl_filter){PAWL_ANY, PAWL_ANY, 0};
    r->kind = (enum walk_kind)random_below(&r->random, WALK_KINDS);
    r->residents = 0;
    memset(r->seen, 0, (r->s->tasks / 64 + 1) * sizeof(*r->seen));
    if (r->kind == WALK_PORTERS)
        r->filter.machine = MACHINE_PORTER;
    if (r->kind == WALK_WAITING)
        r->filter.state = ST_WAITING;
    if (r->kind == WALK_OLD)
        r->filter.older_than_ns = 100000000;
}

static void walk_end(struct reader *r)
{
    uint64_t expected = r->kind == WALK_ALL ? r->s->tasks : r->porters;
    if (r->kind <= WALK_PORTERS && r->residents != expected)
        stress_find(r->s, FINDING_UNEXPLAINED, "a walk saw %llu of %llu residents",
                    (unsigned long long)r->residents, (unsigned long long)expected);
    add_relaxed(&r->s->walks, 1);
    walk_begin(r);
}

static void check_view(struct reader *r, const struct pawl_view *view)
{
    const char *fault = stress_view_fault(r->s, view);
    if (fault != NULL)
        stress_find(r->s, FINDING_TORN, "a reader saw that task %#llx (version %u) %s",
                    (unsigned long long)view->task.id, view->version, fault);
}

static void walk_view(struct reader *r, const struct pawl_view *view)
{
    const struct pawl_filter *filter = &r->filter;
    /* Ages are exact to 17 ms, in the filter and in the view. */
    if ((filter->machine != PAWL_ANY && filter->machine != view->machine) ||
        (filter->state != PAWL_ANY && filter->state != view->state) ||
        view->age_ns + 34000000 < filter->older_than_ns)
        stress_find(r->s, FINDING_UNEXPLAINED,
                    "a walk showed task %#llx, which its filter excludes",
                    (unsigned long long)view->task.id);
    check_view(r, view);
    if (view->machine >= MACHINE_LIFE)
        return;
    struct resident common;
    memcpy(&common, view->context, sizeof(common));
    uint32_t index = common.head & HEAD_INDEX;
    if (index >= r->s->tasks)
        return;
    uint64_t bit = UINT64_C(1) << index % 64;
    if (r->seen[index / 64] & bit)
        stress_find(r->s, FINDING_UNEXPLAINED, "a walk saw resident %u twice", index);
    r->seen[index / 64] |= bit;
    r->residents++;
}

static void walk_portion(struct reader *r)
{
    for (int i = 0; i < PORTION; i++) {
        r->views[i].context = &r->contexts[i];
        r->views[i].context_capacity = sizeof(r->contexts[i]);
    }
    int count = pawl_task_walk(r->s->runtime, &r->walk, &r->filter, r->views, PORTION, 512);
    for (int i = 0; i < count; i++)
        walk_view(r, &r->views[i]);
    if (count < 0) {
        stress_find(r->s, FINDING_UNEXPLAINED, "a walk ended with: %s", pawl_strerror(count));
        walk_begin(r);
    } else if (r->walk.done) {
        walk_end(r);
    }
}

static void peek_resident(struct reader *r)
{
    struct stress *s = r->s;
    uint64_t bound = random_next(&r->random) & 1 && s->tasks > HOT ? HOT : s->tasks;
    uint32_t index = (uint32_t)random_below(&r->random, bound);
    struct pawl_view view = {.context = &r->contexts[0], .context_capacity = sizeof(struct porter)};
    int rc = pawl_task_peek(s->runtime, (struct pawl_task){s->handles[index]}, &view);
    if (rc != 0 || view.task.id != s->handles[index]) {
        stress_find(s, FINDING_UNEXPLAINED, "a peek at resident %u says: %s", index,
                    rc != 0 ? pawl_strerror(rc) : "another task");
        return;
    }
    check_view(r, &view);
    if (index >= HOT)
        return;
    if (((view.version - r->versions[index]) & 0x7fffffff) > 0x3fffffff)
        stress_find(s, FINDING_TORN, "a reader saw version %u of resident %u after version %u",
                    view.version, index, r->versions[index]);
    r->versions[index] = view.version;
}

static void find_resident(struct reader *r)
{
    struct stress *s = r->s;
    char key[64];
    uint64_t bound = s->tasks < RESIDENT_KEYS ? s->tasks : RESIDENT_KEYS;
    uint32_t index = (uint32_t)random_below(&r->random, bound);
    struct pawl_task task = PAWL_NO_TASK;
    int rc = pawl_task_find(s->runtime, key, resident_key(key, index), &task);
    if (rc != 0 || task.id != s->handles[index])
        stress_find(s, FINDING_UNEXPLAINED, "a search for resident %u by its key says: %s", index,
                    rc != 0 ? pawl_strerror(rc) : "another task");
    rc = pawl_task_find(s->runtime, key, resident_key(key, index + RESIDENT_KEYS), &task);
    if (rc != -ENOENT)
        stress_find(s, FINDING_UNEXPLAINED, "a search for a key that never was says: %s",
                    pawl_strerror(rc));
}

/* A life may end at any moment; its handle is then stale for ever. */
static void peek_life(struct reader *r)
{
    struct stress *s = r->s;
    char key[64];
    uint64_t place = random_below(&r->random, s->options.producers * LIVES);
    struct pawl_task task = {load_relaxed(&s->lives[place])}; /* any of its handles will do */
    struct pawl_view view = {.context = &r->contexts[0], .context_capacity = sizeof(struct porter)};
    if (task.id == 0)
        return;
    int rc = pawl_task_peek(s->runtime, task, &view);
    if (rc == 0 && view.task.id == task.id)
        check_view(r, &view);
    else if (rc != -ESTALE)
        stress_find(s, FINDING_UNEXPLAINED, "a peek at life %#llx says: %s",
                    (unsigned long long)task.id, rc != 0 ? pawl_strerror(rc) : "another task");
    uint32_t owner = (uint32_t)(place / LIVES) << 16 | (uint32_t)(place % LIVES);
    rc = pawl_task_find(s->runtime, key, life_key(key, owner), &task);
    if (rc != 0 && rc != -ENOENT)
        stress_find(s, FINDING_UNEXPLAINED, "a search for a life by its key says: %s",
                    pawl_strerror(rc));
}

void reader_turn(struct reader *r)
{
    for (int i = 0; i < 16; i++)
        peek_resident(r);
    for (int i = 0; i < 2; i++)
        peek_life(r);
    find_resident(r);
    walk_portion(r);
    add_relaxed(&r->s->reads, 21);
}

static void *reader_main(void *argument)
{
    struct reader *r = argument;
    /* A reader that never rests would show nothing more, and on few cores take the shards' time. */
    const struct timespec nap = {.tv_nsec = 20000};
    while (!load_relaxed(&r->s->readers_stopping)) {
        reader_turn(r);
        nanosleep(&nap, NULL);
    }
    return NULL;
}

int reader_create(struct stress *s, unsigned number, struct reader **reader)
{
    struct reader *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    r->s = s;
    r->random.state = s->options.seed * UINT64_C(0x9fb21c651e98df25) + number;
    r->seen = calloc(s->tasks / 64 + 1, sizeof(*r->seen));
    if (r->seen == NULL) {
        free(r);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < s->tasks; i++)
        r->porters += is_porter(i);
    walk_begin(r);
    *reader = r;
    return 0;
}

int reader_start(struct reader *r)
{
    int rc = pthread_create(&r->thread, NULL, reader_main, r);
    r->started = rc == 0;
    return -rc;
}

void reader_join(struct reader *r)
{
    if (r->started)
        pthread_join(r->thread, NULL);
    r->started = false;
}

void reader_destroy(struct reader *r)
{
    free(r->seen);
    free(r);
}
