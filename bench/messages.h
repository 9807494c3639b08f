/*
 * messages.h - Pawl's side of the works that actor systems are measured by: a runtime with tasks that last, and what
 * handlers do in it.
 *
 * "pawl" is one shard that the calling thread turns, "pawl-2" two shards with a thread each, their tasks
 * dealt out in turn. The peers are programs (peers/actors.h) with one scheduler thread or two. Where a
 * single message is under way, as in the rows of one ring, what is measured is the way of one event
 * through an empty system; a turn of Pawl is made for batches.
 *
 * A run is begun by events from a port and is over when a handler says so, which also takes the time.
 * What was done is checked afterwards, from the tasks' contexts or by the sums that they bring.
 */
#ifndef PAWL_BENCH_MESSAGES_H
#define PAWL_BENCH_MESSAGES_H

#include <pawl/pawl.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "harness.h"

enum { MESSAGE_MACHINES = 3 };

struct world;

/* What a work is made of. The first task is of the first machine, all others that last of the second. */
struct message_work {
    const struct pawl_machine_def *machines[MESSAGE_MACHINES];
    uint64_t (*task_count)(const struct world *world); /* of those that last */
    void (*prepare)(struct world *world);              /* once, when they are there; or NULL */
    /* Posts what begins a run of at least so many operations; returns how many it will be. */
    uint64_t (*begin)(struct world *world, uint64_t operations);
    void (*check)(struct world *world); /* fails if the tasks do not show world->total; or NULL */
    uint64_t tokens;
};

/* A runtime with its tasks; the runtime's user pointer. */
struct world {
    const struct message_work *work;
    struct pawl_machine *machines[MESSAGE_MACHINES];
    unsigned machine_count;
    unsigned shards;
    bool threads;
    uint64_t size; /* of the row */
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    struct pawl_task *tasks; /* those that last; handlers read them */
    uint64_t count;
    uint64_t operations; /* of a round */
    uint64_t total;      /* operations so far */

    /* Written by the first task's shard: */
    uint64_t arrived;
    bool is_over;
    uint64_t end_ns;
    sem_t over; /* hands the above to the host */
};

/* ---- For handlers ---- */

void message_post(struct pawl_step *step, struct pawl_task task, uint16_t code, uint64_t arg0,
                  uint64_t arg1);
void message_create(struct pawl_step *step, unsigned machine, unsigned shard, uint64_t arg0,
                    uint64_t arg1);

/* Only on the first task's shard. */
void message_run_is_over(struct pawl_step *step);

/* One of `wanted` has come to the first task. */
void message_arrive(struct pawl_step *step, uint64_t wanted);

/* ---- For a work ---- */

/* Posts, and lets the shards come on while there is no room. */
void world_post(struct world *world, struct pawl_event event);
void world_start(struct world *world, uint64_t task, uint16_t code, uint64_t arg);

/* Takes completions, those that are there or all; of creations the tasks are kept. */
void world_reap(struct world *world, bool creations);
void world_reap_all(struct world *world, bool creations);

/* A task's context, of at most three words. */
void world_look(const struct world *world, uint64_t task, void *context, size_t size);

/* Tasks that last: as many as the row's size, or one. */
uint64_t world_size(const struct world *world);
uint64_t world_one(const struct world *world);

/* Fails unless only those are left, or memory would grow from round to round. */
void world_lasting(struct world *world);

/* ---- Rows ---- */

/* A contender's detail. */
struct message_role {
    const struct message_work *work;
    unsigned shards;
    enum pawl_drive drive;
};

#define MESSAGE_TWO_SHARDS "two shards, a pinned thread each, tasks dealt out in turn"

/* Of a contender. */
void *world_open(const struct bench_row *row, const struct bench_contender *contender);
void world_run(void *state, struct bench_sample *sample);
void world_close(void *state);

/* A row that the actor systems run too, as `actors`; limit may be NULL. */
void message_row(struct bench_row row, const struct message_work *work, const char *actors,
                 const struct bench_contender *limit, const char *notes);

#endif /* PAWL_BENCH_MESSAGES_H */
