/*
 * lane_keeper.h - what a lane is told while it runs, its pause and its breaker's state, outlives the
 * process: a durable task for each lane keeps it.
 *
 * Layer: shard.
 */
#ifndef PAWL_SHARD_LANE_KEEPER_H
#define PAWL_SHARD_LANE_KEEPER_H

#include "shard/shard.h"

/* The context of such a task. */
struct lane_kept {
    uint8_t paused;  /* 0 no, 1 until its timer, 2 until resumed */
    uint8_t breaker; /* enum pawl_breaker */
    uint16_t unused;
    uint32_t failures;
};

/*
 * The machine of these tasks, which is listed where there are lanes and a store, and where a store
 * has been told of lanes before: what it has kept is theirs again when they are listed.
 */
extern const struct pawl_machine_def pawl__lane_machine;

/* Setup, after recovery: lanes are as they were kept. */
void pawl__lane_keeper_restore(struct pawl_runtime *runtime);

/* Phase of the turn: this shard writes down what has changed of the lanes that it keeps. */
void pawl__lane_keeper_take(struct shard *shard);

/* Whether it has something to write down; and whether another shard has, which is then woken. */
bool pawl__lane_keeper_has_work(const struct shard *shard);
void pawl__lane_keeper_tell(const struct shard *shard, uint32_t lane);

#endif /* PAWL_SHARD_LANE_KEEPER_H */
