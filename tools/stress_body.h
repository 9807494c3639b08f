/*
 * stress_body.h - a resident's context, whichever form it has: opened and sealed again by each of
 * its handlers, the place where a lane's next event is accepted, and the work that residents do.
 */
#ifndef PAWL_TOOLS_STRESS_BODY_H
#define PAWL_TOOLS_STRESS_BODY_H

#include "stress.h"

/* Exactly one of porter and runner is set. */
struct body {
    struct stress *s;
    struct resident *common;
    struct porter *porter;
    struct runner *runner;
    uint32_t index;
};

/* body_of takes the context as it is; body_open finds fault with one that does not fit its seal. */
struct body body_of(struct pawl_step *step, void *context);
struct body body_open(struct pawl_step *step, void *context);
void body_close(struct body *b);
struct shard_side *body_side(struct body *b, struct pawl_step *step);

/* The event's place in its lane: true for the next one and for one after a gap, which is booked;
 * false, and a finding, for one that should not be here any more. */
bool body_accept(struct body *b, struct pawl_step *step, uint32_t *last, uint64_t key);
/* Likewise, for an event of a producer's lane, ordinary or control. */
bool body_accept_lane(struct body *b, struct pawl_step *step, unsigned sender, uint64_t key);

/* --- stress_work.c --- */

#define ECHO_ABORT UINT32_MAX /* arg[0] of a raised event whose handler is to give up */

/* Posts on to the resident's successor. */
void work_chain(struct body *b, struct pawl_step *step, unsigned hops);
/* Does what an accepted piece of work asks for. */
void work_run(struct body *b, struct pawl_step *step, uint64_t work);
/* Spoils everything and gives the step up, at once or in the handler of an event it raises. */
void work_give_up(struct body *b, struct pawl_step *step, uint64_t work, uint64_t key);

#endif /* PAWL_TOOLS_STRESS_BODY_H */
