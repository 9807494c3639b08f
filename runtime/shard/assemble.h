/*
 * assemble.h - making and unmaking the shards of a runtime and the registry of its ports.
 *
 * Layer: shard.
 */
#ifndef PAWL_SHARD_ASSEMBLE_H
#define PAWL_SHARD_ASSEMBLE_H

#include "shard/runtime.h"

/* runtime's counts, machines, clock and plan are settled. On an error pawl__shards_destroy frees
 * what there is. 0, -ENOMEM, or what a part says. */
int pawl__shards_create(struct pawl_runtime *runtime, const struct pawl_options *options,
                        uint64_t seed);

void pawl__shards_destroy(struct pawl_runtime *runtime);

#endif /* PAWL_SHARD_ASSEMBLE_H */
