/*
 * stress_run.c - a run of `pawl stress` from open to close:
 *
 *   open, create the residents -> load (producers, readers, progress, pauses) -> settle (timers
 *   fire, sparks burn out) -> drain -> reconcile -> resume, retire half of the residents -> stop ->
 *   close
 *
 * With threads each producer and reader is one. When the host drives, all of it is one thread in an
 * order that the seed decides, under a virtual clock, and a run with --events repeats exactly.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

/* --- setting up --- */

static void show_diagnostic(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    if (diagnostic->error != 0)
        fprintf(stderr, "pawl stress: %s: %s\n", diagnostic->where, diagnostic->what);
}

static void show_stall(void *user, const struct pawl_stall *stall)
{
    (void)user;
    fprintf(stderr,
            "pawl stress: shard %u has been in one step for %llu ms: %s, state %s, event %s\n",
            stall->shard, (unsigned long long)(stall->stalled_ns / MILLISECOND),
            stall->machine_name, stall->state_name, stall->event_name);
}

static int open_runtime(struct stress *s)
{
    int rc = 0;
    for (int m = 0; m < STRESS_MACHINES && rc == 0; m++)
        rc = pawl_machine_compile(stress_machine_definition((enum stress_machine)m),
                                  show_diagnostic, NULL, &s->machines[m]);
    if (rc != 0)
        return stress_failed("cannot compile the machines", rc);
    if (host_drives(s))
        rc = pawl_virtual_clock_create(1000 * MILLISECOND, &s->clock);
    if (rc != 0)
        return stress_failed("cannot make a virtual clock", rc);
    struct pawl_options options = PAWL_OPTIONS_INIT;
    options.machines = (const struct pawl_machine *const *)s->machines;
    options.machine_count = STRESS_MACHINES;
    options.shards = s->options.shards;
    options.drive = s->options.drive;
    options.no_pin = s->options.no_pin;
    options.inflight_max = s->options.inflight;
    options.clock = host_drives(s) ? pawl_virtual_clock_seam(s->clock) : NULL;
    options.seed = s->options.seed;
    options.user = s;
    options.on_undelivered = stress_undelivered;
    options.on_stall = show_stall;
    options.diagnose = show_diagnostic;
    rc = pawl_open(&options, &s->runtime);
    if (rc != 0)
        return stress_failed("cannot open a runtime", rc);
    s->shard_count = pawl_shard_count(s->runtime);
    size_t size = s->shard_count * sizeof(*s->shards);
    s->shards = aligned_alloc(CACHE_LINE, align_up(size, CACHE_LINE));
    if (s->shards == NULL)
        return stress_failed("cannot make the books", -ENOMEM);
    memset(s->shards, 0, size);
    for (unsigned i = 0; i < s->shard_count; i++)
        book_init(&s->shards[i].gaps);
    rc = stress_live_open(s, s->runtime);
    if (rc != 0)
        return rc;
    rc = pawl_start(s->runtime);
    return rc == 0 ? 0 : stress_failed("cannot start the runtime", rc);
}

/* A factor that makes the successor a permutation, and its inverse, by Euclid's algorithm. */
static void choose_chain(struct stress *s)
{
    struct random random = {s->options.seed};
    int64_t n = s->tasks;
    for (;;) {
        int64_t factor = n == 1 ? 1 : (int64_t)random_below(&random, (uint64_t)n - 1) + 1;
        int64_t r0 = n, r1 = factor % n, t0 = 0, t1 = 1;
        while (r1 != 0) {
            int64_t q = r0 / r1;
            int64_t r2 = r0 - q * r1, t2 = t0 - q * t1;
            r0 = r1, r1 = r2, t0 = t1, t1 = t2;
        }
        if (r0 != 1)
            continue;
        s->chain_factor = (uint64_t)factor;
        s->chain_inverse = (uint64_t)((t0 % n + n) % n);
        s->chain_offset = random_below(&random, (uint64_t)n);
        return;
    }
}

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int reap_residents(struct stress *s, struct pawl_port *port, uint32_t *made)
{
    struct pawl_completion completions[64];
    int count = pawl_port_reap(port, completions, ARRAY_LEN(completions));
    for (int i = 0; i < count; i++) {
        const struct pawl_completion *c = &completions[i];
        if (c->status != 0)
            return stress_failed("cannot create the tasks", c->status);
        if (c->tag >= s->tasks || s->handles[c->tag] != 0)
            stress_find(s, FINDING_DUPLICATED, "the creation of resident %u completed twice",
                        c->tag);
        else
            s->handles[c->tag] = c->task.id;
        ++*made;
    }
    return count;
}

static int create_residents(struct stress *s, struct pawl_port *port)
{
    uint32_t asked = 0;
    uint32_t made = 0;
    uint64_t moved_ns = stress_wall_ns();
    while (made < s->tasks) {
        char key[64];
        bool keyed = asked < RESIDENT_KEYS;
        struct pawl_task_spec spec = {.machine = is_porter(asked) ? MACHINE_PORTER : MACHINE_RUNNER,
                                      .shard =
                                          asked & 1 ? PAWL_ANY_SHARD : asked / 2 % s->shard_count,
                                      .key = keyed ? key : NULL,
                                      .key_size = keyed ? resident_key(key, asked) : 0,
                                      .arg = {asked, answer_to(asked)}};
        int rc = asked < s->tasks ? pawl_port_create(port, &spec, asked) : -EAGAIN;
        if (rc == 0) {
            asked++;
            continue;
        }
        if (rc != -EAGAIN)
            return stress_failed("cannot create the tasks", rc);
        uint32_t before = made;
        stress_turn_all(s);
        rc = reap_residents(s, port, &made);
        if (rc < 0)
            return rc;
        if (made != before)
            moved_ns = stress_wall_ns();
        else if (!host_drives(s))
            pawl_port_wait(port, MILLISECOND);
        if (stress_wall_ns() - moved_ns > stress_settle_ns(s))
            return stress_failed("the creation of the tasks does not come to an end", -ETIMEDOUT);
    }
    return 0;
}

/* --- the end --- */

/* Lets time bring what it owes: timers fire, waiting residents lapse, sparks burn out. */
static void settle(struct stress *s)
{
    uint64_t begin_ns = stress_wall_ns();
    uint64_t count;
    while ((count = stress_unsettled(s)) > 0 && stress_wall_ns() - begin_ns < stress_settle_ns(s)) {
        if (!host_drives(s)) {
            stress_nap(10 * MILLISECOND);
            continue;
        }
        for (int i = 0; i < 8; i++) {
            while (stress_turn_all(s) > 0)
                continue;
            pawl_virtual_clock_advance_to(s->clock,
                                          pawl_virtual_clock_now_ns(s->clock) + MILLISECOND);
        }
    }
    if (count > 0)
        stress_find(s, FINDING_LOST,
                    "%llu tasks still wait for a timer that should have fired long ago",
                    (unsigned long long)count);
}

static bool drain(struct stress *s)
{
    struct pawl_drain_report report = {.blocker = PAWL_BLOCKED_BY_NOTHING};
    struct pawl_event event = {.task.id = s->handles[0], .code = EV_POISON};
    int rc = pawl_drain(s->runtime, stress_settle_ns(s), &report);
    if (rc != 0) {
        stress_find(s, FINDING_UNEXPLAINED, "drain: %s: %s", pawl_strerror(rc), report.text);
        return false;
    }
    rc = pawl_task_post(s->runtime, &event, 1);
    if (rc != -EBUSY)
        stress_find(s, FINDING_UNEXPLAINED, "a post to a drained runtime says %d", rc);
    return true;
}

static int retire_reap(struct stress *s, struct pawl_port *port)
{
    struct pawl_completion completions[64];
    int count = pawl_port_reap(port, completions, ARRAY_LEN(completions));
    for (int i = 0; i < count; i++) {
        const struct pawl_completion *c = &completions[i];
        struct pawl_view view = {.context = NULL};
        int rc = pawl_task_peek(s->runtime, c->task, &view);
        if (c->status != 0 || c->state != ST_GONE || c->task.id != s->handles[c->tag])
            stress_find(s, FINDING_UNEXPLAINED, "resident %u was retired with %d, state %u", c->tag,
                        c->status, c->state);
        else if (rc != -ESTALE)
            stress_find(s, FINDING_UNEXPLAINED, "a peek at a retired resident says: %s",
                        pawl_strerror(rc));
    }
    return count;
}

/* Ends every other resident; the rest is left to pawl_close. */
static void retire(struct stress *s, struct pawl_port *port)
{
    struct pawl_counters c;
    uint32_t next = 0;
    uint32_t retired = 0;
    uint64_t moved_ns = stress_wall_ns();
    int rc = pawl_resume(s->runtime);
    if (rc != 0)
        stress_find(s, FINDING_UNEXPLAINED, "resume after drain says: %s", pawl_strerror(rc));
    while (rc == 0 && retired < (s->tasks + 1) / 2) {
        struct pawl_event event = {.task.id = next < s->tasks ? s->handles[next] : 0,
                                   .code = EV_RETIRE,
                                   .flags = PAWL_EVENT_COMPLETE,
                                   .tag = next};
        int accepted = next < s->tasks ? pawl_port_post(port, &event, 1) : -EAGAIN;
        next += accepted == 1 ? 2 : 0;
        if (accepted == 1)
            continue;
        stress_turn_all(s);
        int count = retire_reap(s, port);
        if (count > 0)
            moved_ns = stress_wall_ns();
        else if (!host_drives(s))
            pawl_port_wait(port, MILLISECOND);
        retired += (uint32_t)(count > 0 ? count : 0);
        if (accepted != -EAGAIN || stress_wall_ns() - moved_ns > stress_settle_ns(s)) {
            stress_find(s, FINDING_UNEXPLAINED, "of %u residents %u were retired: %s", s->tasks,
                        retired, pawl_strerror(accepted));
            return;
        }
    }
    moved_ns = stress_wall_ns();
    do { /* a completion may be here before the turn that made it has shown its counters */
        stress_turn_all(s);
        stress_nap(MILLISECOND);
        pawl_runtime_counters(s->runtime, &c);
    } while (c.tasks != s->tasks - retired && stress_wall_ns() - moved_ns < stress_settle_ns(s));
    if (c.tasks != s->tasks - retired)
        stress_find(s, FINDING_UNEXPLAINED, "after %u of %u residents were retired, %llu are alive",
                    retired, s->tasks, (unsigned long long)c.tasks);
}

/* After stop tasks can be read and not be posted to. */
static void stop(struct stress *s)
{
    struct pawl_event event = {.task.id = s->handles[0], .code = EV_POISON};
    struct pawl_view view = {.context = NULL};
    int rc = pawl_stop(s->runtime);
    if (rc != 0)
        stress_find(s, FINDING_UNEXPLAINED, "stop says: %s", pawl_strerror(rc));
    rc = pawl_task_post(s->runtime, &event, 1);
    if (rc != -EBUSY)
        stress_find(s, FINDING_UNEXPLAINED, "a post to a stopped runtime says %d", rc);
    /* Those with an odd index were not retired. */
    rc = s->tasks < 2 ? 0 : pawl_task_peek(s->runtime, (struct pawl_task){s->handles[1]}, &view);
    if (rc != 0)
        stress_find(s, FINDING_UNEXPLAINED, "a peek in a stopped runtime says: %s",
                    pawl_strerror(rc));
}

static int run(struct stress *s, struct pawl_port *port, struct stress_result *result)
{
    uint64_t rss = resident_bytes();
    int rc = create_residents(s, port);
    if (rc != 0)
        return rc;
    uint64_t grown = resident_bytes();
    result->rss_bytes = grown > rss ? grown - rss : 0;
    rc = stress_load(s, result);
    if (rc != 0)
        return rc;
    result->reads = load_relaxed(&s->reads);
    result->walks = load_relaxed(&s->walks);
    settle(s);
    bool drained = drain(s);
    producers_total(s, &result->totals);
    if (drained)
        result->digest = stress_reconcile(s);
    pawl_runtime_counters(s->runtime, &result->counters);
    if (drained)
        retire(s, port);
    return 0;
}

void stress_close_port(struct stress *s, struct pawl_port *port)
{
    uint64_t begin_ns = stress_wall_ns();
    int rc = port == NULL ? 0 : pawl_port_close(port, stress_settle_ns(s));
    while (rc == -EAGAIN && host_drives(s) && stress_wall_ns() - begin_ns < stress_settle_ns(s)) {
        stress_turn_all(s);
        rc = pawl_port_close(port, 0);
    }
    if (rc != 0)
        stress_find(s, FINDING_UNEXPLAINED, "a port cannot be closed: %s", pawl_strerror(rc));
}

static void close_all(struct stress *s, struct pawl_port *port)
{
    if (s->producers != NULL)
        producers_close(s);
    stress_close_port(s, port);
    if (s->runtime != NULL && s->handles != NULL && s->handles[s->tasks - 1] != 0)
        stop(s);
    stress_live_close(s);
    int rc = s->runtime == NULL ? 0 : pawl_close(s->runtime);
    if (rc != 0)
        stress_find(s, FINDING_UNEXPLAINED, "the runtime cannot be closed: %s", pawl_strerror(rc));
    pawl_virtual_clock_destroy(s->clock);
    for (int m = 0; m < STRESS_MACHINES; m++)
        pawl_machine_destroy(s->machines[m]);
    for (unsigned i = 0; s->shards != NULL && i < s->shard_count; i++)
        book_fini(&s->shards[i].gaps);
    book_fini(&s->failed);
    book_fini(&s->unlit);
    pthread_mutex_destroy(&s->findings_lock);
    free(s->shards);
    free(s->handles);
}

int stress_run(struct stress *s, struct stress_result *result)
{
    struct pawl_port *port = NULL;
    s->tasks = (uint32_t)s->options.tasks;
    pthread_mutex_init(&s->findings_lock, NULL);
    book_init(&s->failed);
    book_init(&s->unlit);
    choose_chain(s);
    int rc = open_runtime(s);
    if (rc != 0)
        goto out;
    result->shards = s->shard_count;
    result->allocator = pawl_runtime_allocator(s->runtime);
    s->handles = calloc(s->tasks, sizeof(*s->handles));
    rc = s->handles == NULL ? -ENOMEM : producers_open(s);
    if (rc == 0)
        rc = pawl_port_open(s->runtime, NULL, &port);
    if (rc != 0) {
        stress_failed("cannot open the ports", rc);
        goto out;
    }
    memset(s->handles, 0, s->tasks * sizeof(*s->handles)); /* touched before memory is measured */
    rc = run(s, port, result);
out:
    close_all(s, port);
    return rc;
}
