/*
 * step.h - one event run to completion: what a step reads, and what it stages until it commits.
 *
 * Layer: shard. Owner: the shard; there is one step at a time.
 */
#ifndef PAWL_SHARD_STEP_H
#define PAWL_SHARD_STEP_H

#include <pawl/step.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "machine/compiled.h"
#include "task/slot.h"

struct shard;

/* A timer change that waits for the commit. The node is there already, so the commit cannot fail. */
struct staged_timer {
    uint64_t expiry_tick;
    uint32_t node; /* armed or fresh; 0: cancel */
    uint16_t timer;
    bool fresh; /* to be freed when the step aborts */
};

/* pawl_step.staged: what the commit must do beyond context and state. 0 is the short way. */
#define STAGED_POSTS   0x001u
#define STAGED_TIMERS  0x002u
#define STAGED_RAISES  0x004u
#define STAGED_ANSWER  0x008u
#define STAGED_FINISH  0x010u
#define STAGED_DEFER   0x020u
#define STAGED_CREATES 0x040u
#define STAGED_KEPT    0x080u
#define STAGED_ERROR   0x100u
#define STAGED_GOOD    0x200u /* for the lane's breaker and counters (shard/claim.h) */
#define STAGED_BAD     0x400u
#define STAGED_CLAIM   0x800u /* from the beginning: the machine has lane states */

struct pawl_step {
    struct shard *shard;
    struct slot *slot;
    uint32_t slot_index;
    uint32_t staged; /* STAGED_* */
    int error;       /* with STAGED_ERROR */
    uint16_t source; /* the event's port, 0 none */
    uint16_t raises_done;
    uint32_t timer_node; /* claimed for a timer's event, 0 none (shard/timers.h) */
    const struct pawl_machine *machine;
    const struct transition *transition; /* whose function runs: what it may raise */
    const struct pawl_event *event;      /* the outside event of this step */
    uint64_t answer;
    uint32_t posts_count;
    uint32_t timers_count;
    uint32_t raises_count;
    uint32_t creates_count;
    uint32_t kept_count;
    uint32_t transitions; /* taken */
    uint16_t state;       /* where the task will be */
    uint16_t history;     /* and what it will remember */
    bool external;        /* a state was left */
    bool was_recorded;    /* of a first step: the journal knows of the slot */
    struct pawl_event posts[STEP_EMIT_MAX];
    struct staged_timer timers[STEP_EMIT_MAX];
    struct pawl_event raises[RAISE_CHAIN_MAX];
    uint32_t creates[STEP_EMIT_MAX]; /* reserved slots, released when the step aborts */
    uint32_t kept[RAISE_CHAIN_MAX];  /* deferrals of raised events, freed when the step aborts */
    uint64_t context[CONTEXT_MAX / 8];
};

/* How a step ended. */
enum verdict {
    VERDICT_STEPPED, /* committed; the state was not left */
    VERDICT_CHANGED, /* committed; an external transition was taken: deferred events are recalled */
    VERDICT_ENDED,   /* committed; the task is gone */
    VERDICT_DEFERRED, /* the event is kept in the task */
    VERDICT_REFUSED,  /* nothing happened and the sender was told */
};

/*
 * pawl__step - one event at a live task, without recall of deferred events. The event is consumed:
 * completed, reported or kept. A cancel delivers the machine's cancel event, or runs the exit actions of
 * all active states and ends the task.
 */
enum verdict pawl__step(struct shard *shard, uint32_t slot_index, const struct pawl_event *event,
                        uint16_t source);

/* The first step of a reserved task: entry actions of the initial state. When it cannot be made the
 * reservation is given up. */
enum verdict pawl__step_create(struct shard *shard, uint32_t slot_index,
                               const struct pawl_event *event, uint16_t source);

/*
 * pawl__step_finish_plain - for the batch: a plain transition's function has run on step->context
 * and has staged something. Goes on from there to the end of the step.
 */
enum verdict pawl__step_finish_plain(struct shard *shard, uint32_t slot_index,
                                     const struct pawl_event *event,
                                     const struct transition *transition);

/* The task's last effects are out; now it goes. */
void pawl__step_end_task(struct shard *shard, struct pawl_task task);

/* Inside a handler: the first error of a step stands. Returns it. */
int pawl__step_fail(struct pawl_step *step, int error);

#endif /* PAWL_SHARD_STEP_H */
