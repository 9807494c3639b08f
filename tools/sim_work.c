/*
 * sim_work.c - what the simulated host does from outside: posts, creates, cancels, lets time pass,
 * turns shards, asks for syncs and snapshots.
 */
#include <inttypes.h>
#include <string.h>

#include "base/bits.h"
#include "sim_world.h"

static uint64_t dice(struct sim_world *world, uint64_t sides)
{
    return random_below(&world->random, sides);
}

static void post(struct sim_world *world, const struct sim_task *to, uint16_t code, uint16_t flags)
{
    struct pawl_event event = {.task = {to->id}, .code = code, .flags = flags};
    const uint32_t number = sim_letter(&world->model, NULL, to, code, 0, 0);

    event.arg[0] = number;
    event.tag = number;
    sim_letter_at(&world->model, number)->complete = (flags & PAWL_EVENT_COMPLETE) != 0;
    if (pawl_port_post(world->port, &event, 1) != 1)
        sim_letter_withdraw(&world->model, number);
}

static void post_some(struct sim_world *world, uint64_t count)
{
    static const uint16_t codes[] = {SIM_WORK,   SIM_WORK,   SIM_WORK,  SIM_WORK, SIM_WORK,
                                     SIM_WORK,   SIM_START,  SIM_START, SIM_REST, SIM_PAUSE,
                                     SIM_RESUME, SIM_RESUME, SIM_ASK,   SIM_END};

    for (uint64_t i = 0; i < count; i++) {
        const struct sim_task *to = sim_pick(&world->hands, NULL, false);
        uint16_t code = codes[dice(world, ARRAY_LEN(codes))];
        uint16_t flags = dice(world, 3) == 0 ? 0 : PAWL_EVENT_COMPLETE;

        if (to == NULL)
            return;
        if (code == SIM_END && dice(world, 4) != 0)
            code = SIM_WORK;
        if (dice(world, 10) == 0)
            flags |= PAWL_EVENT_CONTROL;
        post(world, to, code, flags);
    }
}

/* So many steps of large contexts in one turn that one frame cannot hold them. */
static void post_flood(struct sim_world *world)
{
    struct sim_model *model = &world->model;

    for (uint32_t i = 0; i < model->alive_count; i++) {
        const struct sim_task *to = &model->tasks[model->alive[i]];

        if (to->machine == SIM_BULK && sim_step_knows(model, NULL, to))
            for (unsigned n = 0; n < 30; n++)
                post(world, to, SIM_ASK, 0);
    }
}

static enum sim_machine some_machine(struct sim_world *world)
{
    static const enum sim_machine like[] = {SIM_SMALL, SIM_SMALL, SIM_SMALL,  SIM_LARGE, SIM_LARGE,
                                            SIM_ASYNC, SIM_ASYNC, SIM_MEMORY, SIM_BULK};

    return like[dice(world, ARRAY_LEN(like))];
}

static void create(struct sim_world *world)
{
    struct sim_model *model = &world->model;
    struct sim_task *task;
    struct pawl_task_spec spec;
    struct sim_context context;
    char key[16];
    uint32_t number;

    if (sim_is_full(model) || model->alive_count >= 2 * world->hands.alive_max)
        return;
    task = sim_task_plan(model, some_machine(world));
    number = sim_letter(model, NULL, task, SIM_CREATION, 0, 0);
    sim_spec(&world->hands, task, number, sim_is_sync(task->machine) ? SIM_MINT : 0, &context, key,
             &spec);
    sim_letter_at(model, number)->complete = true;
    if (pawl_port_create(world->port, &spec, number) != 0)
        sim_letter_withdraw(model, number);
}

/* At once, on this thread; a turn of its own. Nobody is told that it is durable. */
static void create_direct(struct sim_world *world)
{
    struct sim_model *model = &world->model;
    struct pawl_store_status status = {.frames = 0};
    struct pawl_task_spec spec;
    struct sim_context context;
    struct sim_task *task;
    struct pawl_task made;
    char key[16];
    uint32_t number;
    int error;

    if (sim_is_full(model) || model->alive_count >= 2 * world->hands.alive_max)
        return;
    task = sim_task_plan(model, some_machine(world));
    number = sim_letter(model, NULL, task, SIM_CREATION, 0, 0);
    sim_spec(&world->hands, task, number, sim_is_sync(task->machine) ? SIM_MINT : 0, &context, key,
             &spec);
    spec.key = NULL;
    spec.key_size = 0;
    task->key = 0;
    sim_turn_begin(model, spec.shard, sim_world_now(world));
    error = pawl_task_create(world->runtime, &spec, &made);
    if (error == 0)
        sim_task_name(model, task, made.id);
    if (world->options.store)
        pawl_shard_store(world->runtime, spec.shard, &status);
    sim_turn_end(model, status.frames, true);
    if (error != 0)
        sim_letter_withdraw(model, number);
}

static void cancel(struct sim_world *world)
{
    const struct sim_task *to = sim_pick(&world->hands, NULL, false);
    struct sim_task *task;
    uint32_t number;

    if (to == NULL)
        return;
    task = &world->model.tasks[to->uid];
    number = sim_letter(&world->model, NULL, to, SIM_CANCELLING, 0, 0);
    sim_letter_at(&world->model, number)->complete = true;
    if (pawl_port_cancel(world->port, (struct pawl_task){to->id}, number) != 0)
        sim_letter_withdraw(&world->model, number);
    else
        task->cancels++;
}

static void pass(struct sim_world *world)
{
    const uint64_t how = dice(world, 40);

    if (how == 0)
        sim_world_pass(world, dice(world, 2000) * SIM_TICK_NS);
    else if (how < 4)
        sim_world_pass(world, dice(world, 20 * SIM_TICK_NS));
    else
        sim_world_pass(world, dice(world, 600000));
}

void sim_world_release(struct sim_world *world)
{
    struct sim_model *model = &world->model;
    uint32_t first;

    if (model->open == 0 || model->alive_count == 0)
        return;
    /* The port takes only so many at once: others have their turn next time. */
    first = (uint32_t)dice(world, model->alive_count);
    for (uint32_t i = 0; i < model->alive_count; i++) {
        const struct sim_task *to = &model->tasks[model->alive[(first + i) % model->alive_count]];

        /* A change of state is what recalls: out of and back to where it was. */
        if (to->state == SIM_PAUSED)
            post(world, to, SIM_RESUME, 0);
        else if (to->state == SIM_BUSY)
            post(world, to, SIM_REST, 0);
        else
            post(world, to, dice(world, 2) == 0 ? SIM_PAUSE : SIM_START, 0);
    }
}

void sim_world_act(struct sim_world *world)
{
    uint64_t action;

    if (world->options.agents && dice(world, 2) == 0) {
        if (dice(world, 3) == 0)
            sim_request_act(world);
        else
            sim_crew_act(world);
        return;
    }
    action = dice(world, 128);

    if (action < 64)
        sim_world_turn(world, (unsigned)dice(world, world->options.shards));
    else if (action < 84)
        post_some(world, 1 + dice(world, 6));
    else if (action < 92)
        create(world);
    else if (action < 94)
        create_direct(world);
    else if (action < 96)
        cancel(world);
    else if (action < 124)
        pass(world);
    else if (action < 125 && dice(world, 4) == 0)
        post_flood(world);
    else if (action < 127 && world->options.store)
        sim_world_sync(world);
    else if (world->options.store)
        pawl_snapshot(world->runtime, 0);
}
