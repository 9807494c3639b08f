/*
 * stress_load.c - the loaded part of a run of `pawl stress`: producers and readers at work, as
 * threads or in turns, with progress lines and pauses. And the few helpers that a run needs
 * throughout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

uint64_t stress_wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void stress_nap(uint64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

int stress_failed(const char *what, int rc)
{
    fprintf(stderr, "pawl stress: %s: %s\n", what, pawl_strerror(rc));
    return rc;
}

int stress_turn_all(struct stress *s)
{
    int done = 0;
    for (unsigned shard = 0; host_drives(s) && shard < s->shard_count; shard++) {
        int rc = pawl_turn(s->runtime, shard);
        if (rc < 0)
            stress_find(s, FINDING_UNEXPLAINED, "a turn says: %s", pawl_strerror(rc));
        done += rc > 0 ? rc : 0;
    }
    return done;
}

/* --- progress --- */

struct progress_line {
    uint64_t begin_ns;
    uint64_t shown_ns;
    uint64_t events; /* when last shown */
    uint64_t moved_ns;
    uint64_t moved;
    bool tty;
    bool any;
};

static void progress_begin(struct progress_line *line)
{
    *line = (struct progress_line){.begin_ns = stress_wall_ns(), .tty = isatty(STDERR_FILENO)};
    line->shown_ns = line->moved_ns = line->begin_ns;
}

static void progress_show(struct progress_line *line, const struct pawl_counters *c, uint64_t now)
{
    double rate = (double)(c->events - line->events) / ((double)(now - line->shown_ns) / 1e9);
    fprintf(stderr, "%s%5.0f s  %llu events  %.2f M/s  %llu tasks  %llu timers%s",
            line->tty ? "\r\033[K" : "", (double)(now - line->begin_ns) / 1e9,
            (unsigned long long)c->events, rate / 1e6, (unsigned long long)c->tasks,
            (unsigned long long)c->timers, line->tty ? "" : "\n");
    fflush(stderr);
    line->shown_ns = now;
    line->events = c->events;
    line->any = true;
}

static void progress_end(struct progress_line *line)
{
    if (line->tty && line->any)
        fputs("\r\033[K", stderr);
}

/* Shows a line each second. False when nothing has moved for longer than it may. */
static bool progress_tick(struct stress *s, struct progress_line *line)
{
    struct pawl_counters c;
    uint64_t now = stress_wall_ns();
    if (now - line->shown_ns < 1000 * MILLISECOND)
        return true;
    pawl_runtime_counters(s->runtime, &c);
    if (c.events != line->moved) {
        line->moved = c.events;
        line->moved_ns = now;
    }
    progress_show(line, &c, now);
    return now - line->moved_ns <= stress_settle_ns(s);
}

/* --- producers and readers --- */

/* "Returns when no shard is inside a step": so nothing may move until resume. */
static void pause_once(struct stress *s)
{
    struct pawl_counters a, b;
    int rc = pawl_pause(s->runtime);
    pawl_runtime_counters(s->runtime, &a);
    stress_nap(2 * MILLISECOND);
    pawl_runtime_counters(s->runtime, &b);
    if (rc == 0 && (a.events != b.events || a.transitions != b.transitions || a.tasks != b.tasks))
        stress_find(s, FINDING_UNEXPLAINED, "a paused runtime went on");
    if (rc == 0)
        rc = pawl_resume(s->runtime);
    if (rc != 0)
        stress_find(s, FINDING_UNEXPLAINED, "pause and resume say: %s", pawl_strerror(rc));
}

static bool time_is_up(const struct stress *s, const struct progress_line *line)
{
    return s->options.seconds > 0 &&
           (double)(stress_wall_ns() - line->begin_ns) >= s->options.seconds * 1e9;
}

static void not_moving(struct stress *s)
{
    stress_find(s, FINDING_UNEXPLAINED, "nothing moves any more, and producers still wait");
    store_relaxed(&s->abandoned, 1);
}

static int load_with_threads(struct stress *s, struct reader **readers, struct progress_line *line)
{
    uint64_t paused_ns = stress_wall_ns();
    int rc = 0;
    for (unsigned i = 0; i < s->options.readers && rc == 0; i++)
        rc = reader_start(readers[i]);
    if (rc == 0)
        rc = producers_start(s);
    while (rc == 0 && !producers_finished(s)) {
        stress_nap(2 * MILLISECOND);
        if (time_is_up(s, line))
            store_relaxed(&s->stopping, 1);
        if (stress_wall_ns() - paused_ns > 300 * MILLISECOND) {
            pause_once(s);
            paused_ns = stress_wall_ns();
        }
        if (!progress_tick(s, line))
            not_moving(s);
    }
    store_relaxed(&s->abandoned, rc != 0);
    producers_join(s);
    store_relaxed(&s->readers_stopping, 1);
    for (unsigned i = 0; i < s->options.readers; i++)
        reader_join(readers[i]);
    return rc == 0 ? 0 : stress_failed("cannot start the threads", rc);
}

static void load_with_host(struct stress *s, struct reader **readers, struct progress_line *line)
{
    struct random random = {~s->options.seed};
    unsigned producers = s->options.producers;
    unsigned turns = s->shard_count * 2;
    for (uint64_t i = 1; !producers_finished(s); i++) {
        uint64_t actor = random_below(&random, producers + turns + s->options.readers);
        if (actor < producers)
            producers_turn(s, (unsigned)actor);
        else if (actor < producers + turns)
            pawl_turn(s->runtime, (unsigned)(actor - producers) / 2);
        else
            reader_turn(readers[actor - producers - turns]);
        if (random_below(&random, 8) == 0)
            pawl_virtual_clock_advance_to(s->clock, pawl_virtual_clock_now_ns(s->clock) +
                                                        random_below(&random, MILLISECOND / 4));
        if (i % 256 != 0)
            continue;
        if (time_is_up(s, line))
            store_relaxed(&s->stopping, 1);
        if (!progress_tick(s, line))
            not_moving(s);
    }
}

int stress_load(struct stress *s, struct stress_result *result)
{
    struct pawl_counters before, after;
    struct progress_line line;
    int rc = 0;
    struct reader **readers = calloc(s->options.readers + 1, sizeof(struct reader *));
    for (unsigned i = 0; readers != NULL && i < s->options.readers && rc == 0; i++)
        rc = reader_create(s, i, &readers[i]);
    if (readers == NULL || rc != 0) {
        rc = stress_failed("cannot make the readers", -ENOMEM);
        goto out;
    }
    pawl_runtime_counters(s->runtime, &before);
    progress_begin(&line);
    line.events = before.events;
    if (host_drives(s))
        load_with_host(s, readers, &line);
    else
        rc = load_with_threads(s, readers, &line);
    progress_end(&line);
    pawl_runtime_counters(s->runtime, &after);
    result->seconds = (double)(stress_wall_ns() - line.begin_ns) / 1e9;
    result->events = after.events - before.events;
    result->transitions = after.transitions - before.transitions;
out:
    for (unsigned i = 0; readers != NULL && i < s->options.readers; i++)
        if (readers[i] != NULL)
            reader_destroy(readers[i]);
    free(readers);
    return rc;
}
