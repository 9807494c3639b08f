/*
 * messages.c - Pawl's side of the works that actor systems are measured by (messages.h).
 */
#include "messages.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "peers/actors.h"

enum { OWN = 3, WAIT_S = 120 };

/* ---- For handlers -------------------------------------------------------------------------------- */

void message_post(struct pawl_step *step, struct pawl_task task, uint16_t code, uint64_t arg0,
                  uint64_t arg1)
{
    pawl_step_post(step, &(struct pawl_event){.task = task, .code = code, .arg = {arg0, arg1}});
}

void message_create(struct pawl_step *step, unsigned machine, unsigned shard, uint64_t arg0,
                    uint64_t arg1)
{
    struct pawl_task task;

    pawl_step_create(
        step, &(struct pawl_task_spec){.machine = machine, .shard = shard, .arg = {arg0, arg1}},
        PAWL_NO_REPLY, &task);
}

void message_run_is_over(struct pawl_step *step)
{
    struct world *world = pawl_step_user(step);

    world->end_ns = bench_now_ns();
    world->is_over = true;
    sem_post(&world->over);
}

void message_arrive(struct pawl_step *step, uint64_t wanted)
{
    struct world *world = pawl_step_user(step);

    if (++world->arrived == wanted)
        message_run_is_over(step);
}

/* ---- The world ----------------------------------------------------------------------------------- */

static void on_undelivered(void *user, const struct pawl_event *event, int reason)
{
    (void)user;
    bench_fail("event %u was not handled: %s", event->code, pawl_strerror(reason));
}

/* Lets the shards come on. */
static void give_way(struct world *world)
{
    if (world->threads)
        sched_yield();
    else
        pawl_turn(world->runtime, 0);
}

void world_post(struct world *world, struct pawl_event event)
{
    int posted;

    while ((posted = pawl_port_post(world->port, &event, 1)) == -EAGAIN)
        give_way(world);
    if (posted < 0)
        bench_need(posted, "posting");
}

void world_start(struct world *world, uint64_t task, uint16_t code, uint64_t arg)
{
    world_post(world, (struct pawl_event){.task = world->tasks[task], .code = code, .arg = {arg}});
}

void world_reap(struct world *world, bool creations)
{
    struct pawl_completion done[256];
    int reaped;

    give_way(world);
    while ((reaped = pawl_port_reap(world->port, done, 256)) > 0)
        for (int i = 0; i < reaped; i++) {
            bench_need(done[i].status, "a completion");
            if (creations)
                world->tasks[done[i].tag] = done[i].task;
        }
}

void world_reap_all(struct world *world, bool creations)
{
    while (pawl_port_outstanding(world->port) > 0)
        world_reap(world, creations);
}

static void create_tasks(struct world *world)
{
    const bool two_kinds = world->machine_count > 1;

    world->count = world->work->task_count(world);
    world->tasks = calloc(world->count, sizeof(*world->tasks));
    if (world->tasks == NULL)
        bench_fail("no memory for handles");
    for (uint64_t i = 0; i < world->count; i++) {
        const struct pawl_task_spec spec = {
            .machine = i > 0 && two_kinds,
            .shard = i == 0 ? 0 : (uint32_t)((i - two_kinds) % world->shards)};

        while (pawl_port_create(world->port, &spec, (uint32_t)i) != 0)
            world_reap(world, true);
    }
    world_reap_all(world, true);
}

static uint64_t world_round(void *state, uint64_t operations, uint64_t *ns)
{
    struct world *world = state;
    const uint64_t begin_ns = bench_now_ns();
    struct timespec until;
    uint64_t done;

    world->arrived = 0;
    world->is_over = false;
    done = world->work->begin(world, operations);
    if (!world->threads)
        while (!world->is_over)
            if (pawl_turn(world->runtime, 0) <= 0)
                bench_fail("a message was lost: the shard is idle and the run not over");
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    if (sem_timedwait(&world->over, &until) != 0)
        bench_fail("a message was lost: the run is not over after %d s", (int)WAIT_S);
    *ns = world->end_ns - begin_ns;
    world->total += done;
    if (world->work->check != NULL) {
        /* The step that said so may not have been committed. */
        if (world->threads)
            bench_need(pawl_pause(world->runtime), "pausing");
        world->work->check(world);
        if (world->threads)
            bench_need(pawl_resume(world->runtime), "resuming");
    }
    return done;
}

void *world_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const struct pawl_port_options wide = {.capacity = 8192};
    const struct message_role *role = contender->detail;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct world *world = calloc(1, sizeof(*world));

    if (world == NULL || sem_init(&world->over, 0, 0) != 0)
        bench_fail("no memory for %s", row->name);
    world->work = role->work;
    world->shards = role->shards;
    world->threads = role->drive == PAWL_DRIVE_THREADS;
    world->size = row->size;
    for (unsigned i = 0; i < MESSAGE_MACHINES && role->work->machines[i] != NULL; i++) {
        bench_need(pawl_machine_compile(role->work->machines[i], NULL, NULL, &world->machines[i]),
                   role->work->machines[i]->name);
        world->machine_count++;
    }
    options.machines = (const struct pawl_machine *const *)world->machines;
    options.machine_count = world->machine_count;
    options.shards = role->shards;
    options.drive = role->drive;
    options.inflight_max = 1 << 22; /* a million of skynet's leaves are under way */
    options.user = world;
    options.on_undelivered = on_undelivered;
    bench_unpin(); /* the plan heeds the affinity of the thread that opens */
    bench_need(pawl_open(&options, &world->runtime), "opening");
    bench_need(pawl_start(world->runtime), "starting");
    bench_need(pawl_port_open(world->runtime, &wide, &world->port), "opening a port");
    create_tasks(world);
    if (role->work->prepare != NULL)
        role->work->prepare(world);
    bench_pin(bench_cpu(0));
    world->operations = actor_fit(world_round, world);
    return world;
}

void world_run(void *state, struct bench_sample *sample)
{
    struct world *world = state;
    uint64_t ns;

    sample->operations = world_round(world, world->operations, &ns);
    sample->seconds = (double)ns * 1e-9;
}

void world_close(void *state)
{
    struct world *world = state;

    while (pawl_port_close(world->port, UINT64_MAX) == -EAGAIN)
        give_way(world);
    bench_need(pawl_close(world->runtime), "closing");
    for (unsigned i = 0; i < world->machine_count; i++)
        pawl_machine_destroy(world->machines[i]);
    sem_destroy(&world->over);
    free(world->tasks);
    free(world);
}

void world_look(const struct world *world, uint64_t task, void *context, size_t size)
{
    struct pawl_view view = {.context = context, .context_capacity = size};

    bench_need(pawl_task_peek(world->runtime, world->tasks[task], &view), "peeking");
}

uint64_t world_size(const struct world *world)
{
    return world->size;
}

uint64_t world_one(const struct world *world)
{
    (void)world;
    return 1;
}

void world_lasting(struct world *world)
{
    struct pawl_counters counters;

    pawl_runtime_counters(world->runtime, &counters);
    if (counters.tasks != world->count)
        bench_fail("%llu tasks did not end", (unsigned long long)(counters.tasks - world->count));
}

/* ---- Rows ---------------------------------------------------------------------------------------- */

#define ONE_SHARD "one shard, turned by the calling thread"

void message_row(struct bench_row row, const struct message_work *work, const char *actors,
                 const struct bench_contender *limit, const char *notes)
{
    struct bench_contender *list = calloc(OWN + ACTOR_CONTENDERS, sizeof(*list));
    struct message_role *roles = calloc(2, sizeof(*roles));
    unsigned count = 0;

    if (list == NULL || roles == NULL)
        bench_fail("no memory for rows");
    roles[0] = (struct message_role){work, 1, PAWL_DRIVE_HOST};
    roles[1] = (struct message_role){work, 2, PAWL_DRIVE_THREADS};
    for (unsigned i = 0; i < 2; i++)
        list[count++] = (struct bench_contender){
            .name = i == 0 ? "pawl" : "pawl-2",
            .semantics = bench_text("%s; atomic steps, readable from outside; %s",
                                    i == 0 ? ONE_SHARD : MESSAGE_TWO_SHARDS, notes),
            .open = world_open,
            .run = world_run,
            .close = world_close,
            .detail = &roles[i]};
    if (limit != NULL)
        list[count++] = *limit;
    count += actor_contenders(list + count, actors);
    row.metric = "rate";
    row.flags = BENCH_CROSS_CORE;
    row.contenders = list;
    row.contender_count = count;
    bench_add(&row);
}
