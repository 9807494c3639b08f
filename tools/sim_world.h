/*
 * sim_world.h - one simulated host: a runtime in the host-driven mode, its clock, its disk, one
 * port, and the model beside them. Everything happens on one thread, in an order that one seed
 * decides.
 *
 * The process of the simulated host dies by a dead disk: from then on no operation does anything,
 * so the old runtime can be closed in the ordinary way and leaves no trace, and the model does not
 * listen (model.frozen).
 */
#ifndef PAWL_TOOLS_SIM_WORLD_H
#define PAWL_TOOLS_SIM_WORLD_H

#include <pawl/pawl.h>
#include <stdbool.h>

#include "base/random.h"
#include "sim_crew.h"
#include "sim_disk.h"
#include "sim_machines.h"
#include "sim_model.h"

#define SIM_DIRECTORY "store"

struct sim_world_options {
    uint64_t seed;
    unsigned shards;
    bool store;  /* false: everything in memory only */
    bool agents; /* lanes, work and agents, beside the rest */
};

struct sim_world {
    struct sim_world_options options;
    struct random random;
    struct sim_model model;
    struct sim_hands hands;
    struct pawl_machine *machines[SIM_MACHINES];
    struct sim_disk *disk;
    struct pawl_virtual_clock *clock; /* of this epoch */
    uint64_t start_ns;                /* where it began */
    struct pawl_runtime *runtime;     /* NULL: closed */
    struct pawl_port *port;
    struct sim_crew crew;
    struct pawl_work_options work;
    bool dead;
    bool syncing;                        /* pawl_sync has been asked, and has not said 0 since */
    uint64_t sync_turns[SIM_SHARDS_MAX]; /* the last turns at that time */
    int failed_error;                    /* what the last pawl_store_failed_fn said */
    unsigned failed_count;               /* shards that have failed in this epoch */
    uint64_t window_ns;
    uint64_t segment_bytes;
    uint64_t snapshot_bytes;
    uint64_t quota_bytes;
    unsigned writes_max;
    uint32_t opened_operations; /* of the disk, that the last opening took */
    char diagnosis[256];        /* the last error that an opening gave */
};

/* 0 or a negative error. */
int sim_world_init(struct sim_world *world, const struct sim_world_options *options);
void sim_world_fini(struct sim_world *world);

/*
 * A runtime on any disk, which hears nothing and whose tasks are only to be looked at; quiet of all
 * faults, the caller closes it with sim_glance_close. The error of pawl_open, with words in
 * `diagnosis`.
 */
struct sim_glance {
    struct pawl_runtime *runtime;
    struct pawl_virtual_clock *clock;
};
int sim_glance_open(struct sim_world *world, struct sim_disk *disk, struct sim_glance *glance);
void sim_glance_close(struct sim_glance *glance);

/* Opens the store and starts; the model follows to where it is. The error of pawl_open. */
int sim_world_open(struct sim_world *world);

/*
 * The process dies here, if it has not; afterwards there is no runtime, and the disk's fate is the
 * caller's.
 */
void sim_world_die(struct sim_world *world);

/*
 * Lets everything come to rest and closes in order. False: it does not come to rest, which is a
 * violation, or a shard has failed on the way.
 */
bool sim_world_close(struct sim_world *world);

/*
 * Turns, with time standing still, until everything that steps have asked for is done and durable;
 * time goes on in small steps for the disk and for timers. False: not within so many rounds.
 */
bool sim_world_settle(struct sim_world *world, unsigned rounds);

/*
 * Asks pawl_sync, which in this mode is asked again and again; what it says holds for the first
 * time of asking.
 */
void sim_world_sync(struct sim_world *world);

uint64_t sim_world_now(const struct sim_world *world);
void sim_world_turn(struct sim_world *world, unsigned shard);
void sim_world_pass(struct sim_world *world, uint64_t ns);
/* One action of the workload (sim_work.c): drawn from the world's dice. */
void sim_world_act(struct sim_world *world);
/* Every task that puts events aside is told to go on. */
void sim_world_release(struct sim_world *world);

#endif /* PAWL_TOOLS_SIM_WORLD_H */
