#include "watch/drain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shard/intake.h"
#include "shard/lanes.h"
#include "watch/monitor.h"

/* Slots looked at to name a task with deferred events. */
#define DEFERRED_LOOK 1000000u

/* A step that takes this long is worth naming. */
#define STEP_LOOK_NS 2000000

static uint64_t ports_waiting(const struct pawl_runtime *runtime, unsigned *shard)
{
    uint64_t waiting = 0;

    pthread_mutex_lock(&runtime->ports->mutex);
    for (unsigned i = 0; i < runtime->shard_count && waiting == 0; i++) {
        waiting = pawl__ports_waiting(runtime->ports, i);
        *shard = i;
    }
    pthread_mutex_unlock(&runtime->ports->mutex);
    return waiting;
}

void pawl__drain_begin(struct pawl_runtime *runtime)
{
    pawl__ports_refuse(runtime->ports, ADMITS_AGENTS);
    add_acq_rel(&runtime->ports->drains, 1); /* (R1) pairs with (R2) in shard/lanes.c */
    pawl__ports_wake_shards(runtime->ports);
}

static uint64_t leases(const struct pawl_runtime *runtime, unsigned *shard)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < runtime->shard_count && runtime->lane_count > 0; i++) {
        const uint32_t busy = load_acquire(&runtime->shards[i]->lanes->busy);

        if (busy > 0)
            *shard = i;
        count += busy;
    }
    return count;
}

uint64_t pawl__drain_leases(const struct pawl_runtime *runtime)
{
    unsigned shard;

    return leases(runtime, &shard);
}

bool pawl__drain_is_heard(const struct pawl_runtime *runtime)
{
    const uint32_t drains = load_acquire(&runtime->ports->drains);

    for (unsigned i = 0; i < runtime->shard_count && runtime->lane_count > 0; i++)
        if (load_acquire(&runtime->shards[i]->lanes->drained) != drains) /* (R4) pairs with (R3) */
            return false;
    return true;
}

bool pawl__drain_has_no_leases(const struct pawl_runtime *runtime)
{
    return pawl__drain_is_heard(runtime) && pawl__drain_leases(runtime) == 0;
}

/* Events routed inside and not yet handled. */
static uint64_t under_way(const struct pawl_runtime *runtime)
{
    uint64_t taken = 0, routed = 0;

    for (unsigned i = 0; i < runtime->shard_count; i++)
        taken += load_acquire(&runtime->shards[i]->taken);
    for (unsigned i = 0; i < runtime->shard_count; i++)
        routed += load_acquire(&runtime->shards[i]->routed);
    return routed - taken;
}

/* Those whose answer nobody waits for. */
static uint64_t deferred(const struct pawl_runtime *runtime, unsigned *shard)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < runtime->shard_count && count == 0; i++) {
        count = load_acquire(&runtime->shards[i]->unasked);
        *shard = i;
    }
    return count;
}

bool pawl__drain_is_quiet(const struct pawl_runtime *runtime)
{
    unsigned shard;

    /*
     * Each look for deferred ones is followed by one at what is under way, because a recalled event
     * counts as deferred until what it led to is. The second pair finds what a port's event, or one
     * that was under way at the first, has put aside meanwhile: nothing else moves by then.
     */
    return deferred(runtime, &shard) == 0 && ports_waiting(runtime, &shard) == 0 &&
           under_way(runtime) == 0 && deferred(runtime, &shard) == 0 && under_way(runtime) == 0;
}

/* A racy look at the owner's field, for a report. */
static bool is_deferring(const struct pawl_runtime *runtime, struct pawl_task task)
{
    return slot_deferred(
               table_slot(&runtime->shards[pawl_task_shard(task)]->table, id_slot(task))) != 0;
}

static void name_task(struct pawl_drain_report *report, const struct pawl_view *view)
{
    report->task = view->task;
    report->machine = view->machine;
    report->state = view->state;
}

/* The task that was last given one, if it still has some; or any of the shard that has. */
static bool find_deferring(const struct pawl_runtime *runtime, unsigned number,
                           struct pawl_drain_report *report)
{
    /* relaxed: any of them will do */
    const struct pawl_task last = {load_relaxed(&runtime->shards[number]->unasked_task)};
    struct pawl_walk walk = {.shard = number};
    struct pawl_view view = {0};

    if (last.id != 0 && pawl_task_peek(runtime, last, &view) == 0 && is_deferring(runtime, last)) {
        name_task(report, &view);
        return true;
    }
    while (!walk.done && walk.shard == number && walk.slot < DEFERRED_LOOK) {
        if (pawl_task_walk(runtime, &walk, NULL, &view, 1, DEFERRED_LOOK) != 1 ||
            pawl_task_shard(view.task) != number)
            break;
        if (is_deferring(runtime, view.task)) {
            name_task(report, &view);
            return true;
        }
    }
    return false;
}

/* A task of the shard that is leased, as an example; the agent may be one that is not waited for. */
static bool find_leased(const struct pawl_runtime *runtime, unsigned number,
                        struct pawl_drain_report *report, struct pawl_claim *claim)
{
    struct pawl_walk walk = {.shard = number};
    struct pawl_view view = {.context = claim, .context_capacity = sizeof(*claim)};

    while (!walk.done && walk.shard == number && walk.slot < DEFERRED_LOOK) {
        const struct pawl_machine *machine;

        if (pawl_task_walk(runtime, &walk, NULL, &view, 1, DEFERRED_LOOK) != 1 ||
            pawl_task_shard(view.task) != number)
            break;
        machine = runtime->machines[view.machine].machine;
        if (machine->lease_event == UINT16_MAX || machine->states[view.state].role != ROLE_LEASED)
            continue;
        name_task(report, &view);
        return true;
    }
    return false;
}

static void report_leases(const struct pawl_runtime *runtime, struct pawl_drain_report *report)
{
    const struct pawl_machine *machine;
    struct pawl_claim claim;

    report->blocker = PAWL_BLOCKED_BY_LEASE;
    if (!find_leased(runtime, report->shard, report, &claim)) {
        snprintf(report->text, sizeof(report->text), "agents have %" PRIu64 " leases",
                 report->count);
        return;
    }
    machine = runtime->machines[report->machine].machine;
    snprintf(report->text, sizeof(report->text),
             "task %016" PRIx64 " of machine '%s' is leased to agent %016" PRIx64
             ", which has not reported (%" PRIu64 " leases in all)",
             report->task.id, pawl_machine_name(machine), claim.agent, report->count);
}

static void say(struct pawl_drain_report *report, const char *text)
{
    snprintf(report->text, sizeof(report->text), "%s", text);
}

static void report_deferred(const struct pawl_runtime *runtime, struct pawl_drain_report *report)
{
    const struct pawl_machine *machine;

    report->blocker = PAWL_BLOCKED_BY_DEFERRED;
    if (!find_deferring(runtime, report->shard, report)) {
        snprintf(report->text, sizeof(report->text),
                 "shard %u keeps %" PRIu64 " deferred events that no state change has recalled",
                 report->shard, report->count);
        return;
    }
    machine = runtime->machines[report->machine].machine;
    snprintf(report->text, sizeof(report->text),
             "task %016" PRIx64 " of machine '%s' in state '%s' keeps deferred events until its "
             "state changes (%" PRIu64 " deferred on shard %u)",
             report->task.id, pawl_machine_name(machine),
             pawl_machine_state_name(machine, report->state), report->count, report->shard);
}

/* A step that is still the same after a moment; the monitor may not have called it a stall yet. */
static bool is_in_step(const struct pawl_runtime *runtime, unsigned number, struct pawl_stall *step)
{
    const struct shard *shard = runtime->shards[number];
    const struct timespec moment = {.tv_nsec = STEP_LOOK_NS};
    /* relaxed: compared with a later look at the same words. */
    const uint32_t steps = load_relaxed(&shard->busy_steps);
    const uint64_t turns = load_relaxed(&shard->published[0]);

    if (pawl_shard_stall(runtime, number, step) == 0)
        return true;
    if (!pawl__monitor_busy(runtime, number, step))
        return false;
    nanosleep(&moment, NULL);
    return load_relaxed(&shard->busy_task) == step->task.id &&
           load_relaxed(&shard->busy_steps) == steps && load_relaxed(&shard->published[0]) == turns;
}

static bool report_step(const struct pawl_runtime *runtime, struct pawl_drain_report *report)
{
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        struct pawl_stall stall;

        if (!is_in_step(runtime, i, &stall))
            continue;
        report->blocker = PAWL_BLOCKED_BY_STEP;
        report->shard = i;
        report->task = stall.task;
        report->machine = stall.machine;
        report->state = stall.state;
        report->event = stall.event;
        snprintf(report->text, sizeof(report->text),
                 "shard %u is in a step of task %016" PRIx64
                 " (machine '%s', state '%s', event '%s') that has not come back",
                 i, stall.task.id, stall.machine_name, stall.state_name, stall.event_name);
        return true;
    }
    return false;
}

void pawl__drain_report(const struct pawl_runtime *runtime, struct pawl_drain_report *report)
{
    memset(report, 0, sizeof(*report));
    if (report_step(runtime, report))
        return;
    report->count = leases(runtime, &report->shard);
    if (report->count > 0) {
        report_leases(runtime, report);
        return;
    }
    report->count = ports_waiting(runtime, &report->shard);
    if (report->count > 0) {
        report->blocker = PAWL_BLOCKED_BY_PORT;
        snprintf(report->text, sizeof(report->text),
                 "shard %u has not taken %" PRIu64 " events from its ports", report->shard,
                 report->count);
        return;
    }
    report->count = under_way(runtime);
    if (report->count > 0) {
        report->blocker = PAWL_BLOCKED_BY_EVENTS;
        report->shard = 0;
        for (unsigned i = 1; i < runtime->shard_count; i++) {
            struct pawl_counters most, one;

            pawl_shard_counters(runtime, report->shard, &most);
            pawl_shard_counters(runtime, i, &one);
            if (one.inflight > most.inflight)
                report->shard = i;
        }
        snprintf(report->text, sizeof(report->text),
                 "%" PRIu64 " events are under way in and between the shards, most in shard %u",
                 report->count, report->shard);
        return;
    }
    report->count = deferred(runtime, &report->shard);
    if (report->count > 0)
        report_deferred(runtime, report);
    else
        say(report, "nothing is in the way any more");
}

void pawl__drain_report_pause(const struct pawl_runtime *runtime, struct pawl_drain_report *report)
{
    struct pawl_drain_report held;

    pawl__drain_report(runtime, &held);
    *report = held;
    report->blocker = PAWL_BLOCKED_BY_PAUSE;
    snprintf(report->text, sizeof(report->text), "the runtime is paused, and %.160s", held.text);
}
