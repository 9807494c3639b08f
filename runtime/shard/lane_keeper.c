/*
 * lane_keeper.c - a lane's pause and its breaker's state outlive the process.
 *
 * Layer: shard. Owner: of each lane's task the shard that is the home of its key; that shard alone
 * writes it, whoever has changed the lane. The task is made when there is first something to keep. Its
 * timers hold the two points of time, so they come back with what was left of them, like any timer.
 */
#include "shard/lane_keeper.h"

#include <errno.h>
#include <pawl/step.h>
#include <stdio.h>

#include "shard/create.h"
#include "shard/durable.h"
#include "shard/lanes.h"
#include "shard/runtime.h"
#include "shard/timers.h"

enum { KEPT_STATE, KEPT_TIME };
enum { TIMER_PAUSE, TIMER_REOPEN };

/* arg[0]: struct lane_kept; arg[1]: ns from now, the pause's end in the upper half, in units of 2^24 ns. */
struct news {
    struct lane_kept kept;
    uint32_t pause; /* units, rounded up; what is beyond 2.3 years ends then */
    uint32_t reopen;
};

_Static_assert(sizeof(struct news) == 16, "the two words of an event");

#define UNIT_SHIFT 24u

/* What could not be written down, as where the table is full, is tried again after so long. */
#define AGAIN_NS UINT64_C(10000000)

static void store_state(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct news news;

    memcpy(&news, event->arg, sizeof(news));
    memcpy(context, &news.kept, sizeof(news.kept));
    if (news.kept.paused == 1)
        pawl_step_arm(step, TIMER_PAUSE, (uint64_t)news.pause << UNIT_SHIFT);
    else
        pawl_step_cancel(step, TIMER_PAUSE);
    if (news.kept.breaker != PAWL_BREAKER_CLOSED)
        pawl_step_arm(step, TIMER_REOPEN, (uint64_t)news.reopen << UNIT_SHIFT);
    else
        pawl_step_cancel(step, TIMER_REOPEN);
}

static const char *const events[] = {"state", "time"};
static const struct pawl_state_def states[] = {{.name = "kept", .entry = store_state}};
static const struct pawl_transition_def transitions[] = {
    {.from = "kept", .on = "state", .action = store_state},
    {.from = "kept", .on = "time"}, /* the lane itself knows what time it is */
};
static const struct pawl_timer_def timers[] = {{"pause", "time"}, {"reopen", "time"}};

const struct pawl_machine_def pawl__lane_machine = {
    .name = "pawl.lane",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    PAWL_TABLE(timers),
    .context_size = sizeof(struct lane_kept),
    .durability = PAWL_DURABILITY_SYNC,
};

static size_t key_of(const struct lane *lane, char key[KEY_SIZE_MAX])
{
    return (size_t)snprintf(key, KEY_SIZE_MAX, "pawl.lane/%s", lane->name);
}

static uint32_t home_of(const struct pawl_runtime *runtime, uint32_t lane)
{
    char key[KEY_SIZE_MAX];
    const size_t size = key_of(&runtime->lanes[lane], key);

    return index_home(index_hash(runtime->key_seed, key, size), runtime->shard_count);
}

/* Whoever gives a key of ours to a task of his own has no lanes kept. */
static bool is_ours(const struct shard *shard, const struct slot *slot)
{
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */

    return (head_flags(head) & SLOT_ALIVE) != 0 &&
           head_machine(head) == shard->runtime->lane_machine;
}

/* ---- Writing ---- */

static uint32_t units_until(uint64_t at_ns, uint64_t now_ns)
{
    const uint64_t left = at_ns > now_ns ? (at_ns - now_ns) >> UNIT_SHIFT : 0;

    return left < UINT32_MAX ? (uint32_t)left + 1 : UINT32_MAX;
}

static struct news news_of(const struct lane *lane, uint64_t now_ns)
{
    struct lane_state state;
    struct news news = {.kept.paused = 0};

    pawl__lane_state(lane, &state);
    if (state.pause_until == UINT64_MAX)
        news.kept.paused = 2;
    else if (state.pause_until > now_ns)
        news.kept.paused = 1;
    news.kept.breaker = (uint8_t)state.breaker;
    news.kept.failures = state.failures;
    news.pause = news.kept.paused == 1 ? units_until(state.pause_until, now_ns) : 0;
    news.reopen = state.breaker != PAWL_BREAKER_CLOSED ? units_until(state.reopen_ns, now_ns) : 0;
    return news;
}

/* False: it cannot be written now; it is tried again in another turn. */
static bool write_down(struct shard *shard, uint32_t number, const struct news *news)
{
    const struct pawl_runtime *runtime = shard->runtime;
    const struct lane *lane = &runtime->lanes[number];
    char key[KEY_SIZE_MAX];
    struct pawl_event event = {.code = KEPT_STATE};
    struct pawl_task_spec spec = {
        .machine = runtime->lane_machine, .key = key, .key_size = key_of(lane, key)};
    struct pawl_task task;
    int error;

    memcpy(event.arg, news, sizeof(event.arg));
    memcpy(spec.arg, news, sizeof(spec.arg));
    error = pawl__create_direct(shard, &spec, &task);
    if (error != -EEXIST)
        return error == 0;
    if (!is_ours(shard, table_slot(&shard->table, id_slot(task))))
        return true;
    if (pawl__durable_admit(shard, sizeof(struct entry_step) + sizeof(struct lane_kept),
                            ROOM_PLAIN) != 0)
        return false;
    event.task = task;
    pawl__dispatch(shard, &event, 0);
    return true;
}

void pawl__lane_keeper_take(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;

    for (uint32_t i = 0; i < lanes->count; i++) {
        struct lane_part *part = &lanes->parts[i];
        const uint64_t changed = pawl__lane_changed(part->lane);
        struct news news;

        if (likely(part->kept == changed) || home_of(shard->runtime, i) != shard->number)
            continue;
        if (!pawl__durable_gate(shard, false))
            return;
        news = news_of(part->lane, shard->now_ns);
        if (write_down(shard, i, &news))
            part->kept = changed;
        else
            lanes->keep_ns = shard->now_ns + AGAIN_NS;
    }
}

bool pawl__lane_keeper_has_work(const struct shard *shard)
{
    const struct lanes *lanes = shard->lanes;

    if (lanes->keep_ns > shard->now_ns)
        return false;
    for (uint32_t i = 0; i < lanes->count; i++)
        if (lanes->parts[i].kept != pawl__lane_changed(lanes->parts[i].lane) &&
            home_of(shard->runtime, i) == shard->number && !durable_has_failed(shard->durable) &&
            load_acquire(&shard->durable->journal.full) == 0) /* room comes with a wake */
            return true;
    return false;
}

void pawl__lane_keeper_tell(const struct shard *shard, uint32_t lane)
{
    struct shard *home;

    if (shard->runtime->lane_machine == LANE_MACHINE_NONE)
        return;
    home = shard->shards[home_of(shard->runtime, lane)];
    if (home != shard)
        park_wake(&home->park);
}

/* ---- After recovery ---- */

static uint64_t time_of(const struct shard *shard, const struct slot *slot, unsigned timer)
{
    const uint64_t tick = pawl__timer_tick(shard, slot, timer);

    return tick != UINT64_MAX ? shard->open_ns + tick * shard->tick_ns : 0;
}

void pawl__lane_keeper_restore(struct pawl_runtime *runtime)
{
    for (uint32_t i = 0; i < runtime->lane_count; i++) {
        struct lane *lane = &runtime->lanes[i];
        struct shard *shard = runtime->shards[home_of(runtime, i)];
        char key[KEY_SIZE_MAX];
        const size_t size = key_of(lane, key);
        uint32_t index, generation;
        struct lane_state state = {.pause_until = 0};
        const struct slot *slot;
        struct lane_kept kept;

        if (!index_find(&shard->table.keys, key, size, &index, &generation))
            continue;
        slot = table_slot(&shard->table, index);
        if (!is_ours(shard, slot))
            continue;
        words_load((uint64_t *)(void *)&kept, slot->context, 1);
        if (kept.paused == 2)
            state.pause_until = UINT64_MAX;
        else if (kept.paused == 1)
            state.pause_until = time_of(shard, slot, TIMER_PAUSE);
        state.breaker = (enum pawl_breaker)kept.breaker;
        state.failures = kept.failures;
        state.reopen_ns = time_of(shard, slot, TIMER_REOPEN);
        if (pawl__lane_restore(lane, &state) == 0)
            shard->lanes->parts[i].kept = pawl__lane_changed(lane);
    }
}
