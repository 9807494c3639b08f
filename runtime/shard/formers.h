/*
 * formers.h - which names the agents had that held leases when the store was opened: who resumes an
 * incarnation must be of its name.
 *
 * Layer: shard. Owner: the opener, until it is sealed; then any thread reads it. One entry an
 * incarnation, in a sorted array: it is searched when an agent is resumed, which is seldom.
 */
#ifndef PAWL_SHARD_FORMERS_H
#define PAWL_SHARD_FORMERS_H

#include <stddef.h>
#include <stdint.h>

struct former {
    uint64_t incarnation;
    uint32_t name; /* the lower half of its pawl_agent_number; 0: the store did not keep it */
};

/* All zero is an empty one. */
struct formers {
    struct former *entries;
    size_t count;
    size_t room;
};

/* Any number of times for the same incarnation. 0 or -ENOMEM. */
int pawl__formers_add(struct formers *formers, uint64_t incarnation, uint32_t name);

/* No more will be added. */
void pawl__formers_seal(struct formers *formers);

/* The name of an incarnation; 0: not known. Only when sealed. */
uint32_t pawl__formers_name(const struct formers *formers, uint64_t incarnation);

void pawl__formers_fini(struct formers *formers);

#endif /* PAWL_SHARD_FORMERS_H */
