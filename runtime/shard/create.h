/*
 * create.h - new tasks: reserved here, or asked for by an event that travels to the shard.
 *
 * Layer: shard. An event of code PAWL_CODE_CREATE has one of two forms:
 *   - its task is a reserved slot of this shard: the step that reserved it committed;
 *   - its generation is 0: a request; slot is the machine's number, and a buffer, if the flag says
 *     so, holds struct create_request with key and context.
 * A request with a key goes to the key's home shard.
 */
#ifndef PAWL_SHARD_CREATE_H
#define PAWL_SHARD_CREATE_H

#include "shard/shard.h"

struct create_request {
    uint64_t arg[2];
    uint32_t key_size;
    uint32_t context_size;
    unsigned char bytes[]; /* key, then context, then payload to the buffer's end */
};

/* Whether a spec makes sense for these machines: 0 or -EINVAL. */
int pawl__create_check(const struct shard_machine *machines, uint32_t machine_count,
                       uint32_t shard_count, const struct pawl_task_spec *spec);

/* The request's event, without ASK or COMPLETE. -ENOMEM: no buffer. */
int pawl__create_request(const struct pawl_task_spec *spec, uint32_t shard,
                         struct pawl_event *event);

/* The shard a checked spec names: by key, by number, or `any`. */
uint32_t pawl__create_home(uint64_t key_seed, uint32_t shard_count,
                           const struct pawl_task_spec *spec, uint32_t any);

/* For pawl_step_create. */
int pawl__create_staged(struct pawl_step *step, const struct pawl_task_spec *spec,
                        uint16_t reply_code, struct pawl_task *task);

/* A reserved task without a first step, whose machine has a `birth`, comes to life. */
void pawl__create_alive(struct shard *shard, uint32_t slot_index, const struct transition *birth);

/* Handles an event of code PAWL_CODE_CREATE. */
void pawl__create(struct shard *shard, const struct pawl_event *event, uint16_t source);

/* The same for a spec at hand, on the thread that owns the shard (host-driven mode). */
int pawl__create_direct(struct shard *shard, const struct pawl_task_spec *spec,
                        struct pawl_task *task);

/* Stages any event, the runtime's own included (shard/handler.c). */
int pawl__step_stage(struct pawl_step *step, const struct pawl_event *event);

#endif /* PAWL_SHARD_CREATE_H */
