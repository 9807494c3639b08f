/*
 * sim_machines.h - the machines of the simulator: one statechart in five kinds, which differ in how
 * safe their steps are, in the size of their contexts, and in whether a new task makes a first
 * step.
 *
 *   idle --start--> busy --rest, timeout--> idle      pause, resume: away and back by history
 *
 * What a task does on WORK the dice say: post, give, ask, create, arm and cancel timers, raise,
 * defer, give the step up, end itself. Every handler begins and ends with a word to the model
 * (sim_model.h).
 */
#ifndef PAWL_TOOLS_SIM_MACHINES_H
#define PAWL_TOOLS_SIM_MACHINES_H

#include <pawl/pawl.h>

#include "base/random.h"
#include "sim_model.h"

/* What handlers need: pawl_options.user of the simulated runtimes. */
struct sim_hands {
    struct sim_model *model;
    struct random *random;
    uint32_t open_max; /* events under way beyond which tasks send nothing new */
    uint32_t alive_max;
    uint32_t keys; /* different ones */
    bool calm;     /* tasks begin nothing new */
};

/*
 * Compiles all of them, by number of enum sim_machine; without a store none is durable. 0 or a
 * negative error.
 */
int sim_machines_compile(struct pawl_machine *machines[SIM_MACHINES], bool store);
void sim_machines_destroy(struct pawl_machine *machines[SIM_MACHINES]);

size_t sim_machine_context_size(enum sim_machine machine);

/* A task to send to: any that the sender may know; from NULL: the port. NULL: there is none. */
const struct sim_task *sim_pick(struct sim_hands *hands, const struct sim_task *from,
                                bool sync_only);

/* Fills the first context and the key (key: at least 16 bytes) of a planned task. */
void sim_spec(struct sim_hands *hands, struct sim_task *task, uint32_t letter, uint32_t tokens,
              struct sim_context *context, char *key, struct pawl_task_spec *spec);

#endif /* PAWL_TOOLS_SIM_MACHINES_H */
