/*
 * options.h - what pawl_open is given.
 *
 * Layer: shard. Owner: the opener. Whatever is wrong is told to pawl_options.diagnose.
 */
#ifndef PAWL_SHARD_OPTIONS_H
#define PAWL_SHARD_OPTIONS_H

#include "shard/runtime.h"

/* Tells what is wrong, and where; returns the error. */
int pawl__options_complain(const struct pawl_options *options, int error, const char *where,
                           const char *what);

/* The options as this library knows them: those of an older host end earlier, and the rest is 0. */
int pawl__options_copy(const struct pawl_options *given, struct pawl_options *options);

/* All but the machines; the machines, when all are listed. 0, -EINVAL, -ENOTSUP. */
int pawl__options_check(const struct pawl_options *options);
int pawl__options_check_machines(const struct pawl_options *options);

/* Lists the library's own machines behind the host's, where they are wanted. 0, -EINVAL, -ENOMEM. */
int pawl__options_add_own(struct pawl_runtime *runtime, struct pawl_options *options);

/*
 * When the store's manifest is known: what it has kept of lanes stays, though none is listed now.
 * 0 or -ENOMEM.
 */
int pawl__options_add_kept(struct pawl_runtime *runtime, struct pawl_options *options);

#endif /* PAWL_SHARD_OPTIONS_H */
