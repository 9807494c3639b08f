#include "watch/monitor.h"

#include <string.h>

/* Looks per stall_ns, and the bounds of the time between two. */
#define LOOKS       4u
#define LOOK_MIN_NS UINT64_C(1000000)
#define LOOK_MAX_NS UINT64_C(100000000)

bool pawl__monitor_busy(const struct pawl_runtime *runtime, unsigned number,
                        struct pawl_stall *busy)
{
    const struct shard *shard = runtime->shards[number];
    /* relaxed, all of them: read again to see that they belong together. */
    const uint64_t task = load_relaxed(&shard->busy_task);
    const uint32_t where = load_relaxed(&shard->busy_where);
    const uint32_t event = load_relaxed(&shard->busy_event);
    const struct pawl_machine *machine;

    if (task == 0 || where >> 24 >= runtime->machine_count ||
        load_relaxed(&shard->busy_task) != task || load_relaxed(&shard->busy_where) != where ||
        load_relaxed(&shard->busy_event) != event)
        return false;
    machine = runtime->machines[where >> 24].machine;
    *busy = (struct pawl_stall){
        .shard = number,
        .task = {task},
        .machine = where >> 24,
        .state = where & 0xffff,
        .event = event,
        .machine_name = pawl_machine_name(machine),
        .state_name = pawl_machine_state_name(machine, where & 0xffff),
        .event_name = event == PAWL_CODE_CREATE   ? "(create)"
                      : event == PAWL_CODE_CANCEL ? "(cancel)"
                                                  : pawl_machine_event_name(machine, event),
    };
    return true;
}

static void note_stall(struct pawl_runtime *runtime, unsigned number,
                       const struct pawl_stall *stall)
{
    pthread_mutex_lock(&runtime->stall_mutex);
    runtime->stalls[number] = *stall;
    pthread_mutex_unlock(&runtime->stall_mutex);
}

static void look_at(struct pawl_runtime *runtime, unsigned number, uint64_t now)
{
    struct shard_watch *watch = &runtime->watches[number];
    const struct shard *shard = runtime->shards[number];
    struct pawl_stall busy = {0};
    /* The turn's number is published when a turn ends, so it stands still during a step. */
    const uint64_t turns = load_relaxed(&shard->published[0]);
    const uint32_t steps = load_relaxed(&shard->busy_steps);
    const bool is_busy = pawl__monitor_busy(runtime, number, &busy);

    if (!is_busy || watch->turns != turns || watch->task != busy.task.id || watch->steps != steps) {
        if (watch->reported)
            note_stall(runtime, number, &(struct pawl_stall){0});
        *watch = (struct shard_watch){
            .turns = turns, .task = busy.task.id, .steps = steps, .since_ns = now};
        return;
    }
    busy.stalled_ns = now - watch->since_ns;
    if (busy.stalled_ns < runtime->stall_ns)
        return;
    note_stall(runtime, number, &busy);
    if (watch->reported)
        return;
    watch->reported = true;
    /* relaxed: only the monitor writes it. */
    store_relaxed(&runtime->stall_counts[number], load_relaxed(&runtime->stall_counts[number]) + 1);
    if (runtime->on_stall != NULL)
        runtime->on_stall(runtime->user, &busy);
}

static void serve_grace_periods(struct pawl_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        struct reclaim *one = &runtime->shards[i]->table.reclaim;

        if (reclaim_waits(one))
            pawl__reclaim_grace(&one, 1);
    }
}

void pawl__monitor_look(struct pawl_runtime *runtime)
{
    const uint64_t now = runtime->clock->now_ns(runtime->clock->user);

    for (unsigned i = 0; i < runtime->shard_count; i++)
        look_at(runtime, i, now);
}

void pawl__monitor_main(void *argument)
{
    struct pawl_runtime *runtime = argument;
    uint64_t look_ns = runtime->stall_ns / LOOKS;

    if (look_ns < LOOK_MIN_NS)
        look_ns = LOOK_MIN_NS;
    if (look_ns > LOOK_MAX_NS)
        look_ns = LOOK_MAX_NS;
    while (load_acquire(&runtime->monitor_stop) == 0) {
        pawl__monitor_look(runtime);
        serve_grace_periods(runtime);
        pawl__ports_reap(runtime->ports);
        pawl__park_prepare(&runtime->monitor_park);
        if (load_acquire(&runtime->monitor_stop) != 0) {
            pawl__park_cancel(&runtime->monitor_park);
            break;
        }
        pawl__park_wait(&runtime->monitor_park, look_ns);
    }
}
