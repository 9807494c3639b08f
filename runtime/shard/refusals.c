#include "shard/refusals.h"

#include <errno.h>

#include "lane/agent.h"
#include "shard/lanes.h"
#include "shard/registry.h"
#include "shard/runtime.h"

#define MACHINE_UNKNOWN UINT16_MAX

enum { AT_WALL, AT_TASK, AT_AGENT, AT_TOKEN, AT_LANE_REASON, AT_ID_CODE, AT_MACHINE };

/* ---- Writing ---- */

/* Where the task is and what it is, as long as it lives. */
static void look_up(const struct shard *shard, struct pawl_task task, uint32_t *lane,
                    uint64_t *machine)
{
    const uint32_t index = id_slot(task);
    const struct slot *slot;

    *lane = 0;
    *machine = MACHINE_UNKNOWN;
    if (index == 0 || index >= slab_top(&shard->table.slots))
        return;
    slot = table_slot(&shard->table, index);
    /* relaxed, both: our own */
    if (load_relaxed(&slot->generation) != id_generation(task) ||
        (head_flags(load_relaxed(&slot->head)) & SLOT_ALIVE) == 0)
        return;
    *machine = head_machine(load_relaxed(&slot->head)); /* relaxed: as above */
    if (slot->extension != 0 &&
        lanes_ticket(shard->lanes, slot->extension)->place != TICKET_NONE) /* it is in none now */
        *lane = shard->lanes->parts[lanes_ticket(shard->lanes, slot->extension)->lane].lane->number;
}

static void write(struct refusals *refusals, const uint64_t words[REFUSAL_WORDS])
{
    const uint64_t number = load_relaxed(&refusals->count) + 1; /* relaxed: our own */
    struct refusal *entry = &refusals->entries[(number - 1) % PAWL_REFUSALS_KEPT];

    store_relaxed(&entry->version, 2 * number - 1); /* relaxed: W orders it */
    words_store(entry->words, words, REFUSAL_WORDS);
    store_release(&entry->version, 2 * number); /* E */
    store_release(&refusals->count, number);
}

void pawl__refusals_note(struct shard *shard, const struct pawl_event *event, uint16_t source,
                         int reason)
{
    struct pawl_reported reported = {.token = 0};
    uint64_t words[REFUSAL_WORDS];
    const struct agent *agent;
    uint32_t lane;

    if (event->tag == PAWL__LEASE_TAG) /* a lease that was refused, not a report */
        return;
    /* relaxed: as in port_place. */
    agent = load_acquire(&load_relaxed(&shard->ports->entries[source - 1u].port)->agent); /* (A6) */
    if (agent == NULL)
        return;
    (void)pawl_report_read(event, &reported); /* all that an agent sends can be read */
    look_up(shard, event->task, &lane, &words[AT_MACHINE]);
    words[AT_WALL] = shard_wall_ns(shard);
    words[AT_TASK] = event->task.id;
    words[AT_AGENT] = agent->incarnation;
    words[AT_TOKEN] = reported.token;
    words[AT_LANE_REASON] = (uint64_t)lane << 32 | (uint32_t)reason;
    words[AT_ID_CODE] = (uint64_t)reported.id << 32 | event->code;
    write(shard->lanes->refusals, words);
}

/* ---- Reading ---- */

static enum pawl_report_kind kind_of(const struct pawl_runtime *runtime, uint64_t machine,
                                     uint16_t code)
{
    if (machine == MACHINE_UNKNOWN)
        return PAWL_REPORT_KINDS;
    for (unsigned kind = 0; kind < PAWL_REPORT_KINDS; kind++)
        if (pawl_machine_event(runtime->machines[machine].machine,
                               pawl_report_name((enum pawl_report_kind)kind)) == code)
            return (enum pawl_report_kind)kind;
    return PAWL_REPORT_KINDS;
}

/* False: it has been written over meanwhile. */
static bool read_one(const struct pawl_runtime *runtime, const struct refusals *refusals,
                     uint64_t number, struct pawl_refusal *refusal)
{
    const struct refusal *entry = &refusals->entries[(number - 1) % PAWL_REFUSALS_KEPT];
    uint64_t words[REFUSAL_WORDS];

    if (load_acquire(&entry->version) != 2 * number)
        return false;
    words_read(words, entry->words, REFUSAL_WORDS);
    if (load_relaxed(&entry->version) != 2 * number) /* relaxed: R orders it */
        return false;
    *refusal = (struct pawl_refusal){
        .number = number,
        .wall_ns = words[AT_WALL],
        .task = {words[AT_TASK]},
        .agent = words[AT_AGENT],
        .token = words[AT_TOKEN],
        .id = (uint32_t)(words[AT_ID_CODE] >> 32),
        .lane = (uint32_t)(words[AT_LANE_REASON] >> 32),
        .reason = (int32_t)(uint32_t)words[AT_LANE_REASON],
        .kind = kind_of(runtime, words[AT_MACHINE], (uint16_t)words[AT_ID_CODE]),
    };
    return true;
}

int pawl_refusals_read(const struct pawl_runtime *runtime, unsigned shard, uint64_t after,
                       struct pawl_refusal *refusals, unsigned capacity)
{
    const struct refusals *kept;
    uint64_t count;
    int read = 0;

    if (shard >= runtime->shard_count)
        return -EINVAL;
    if (runtime->lane_count == 0)
        return 0;
    if (capacity > INT32_MAX)
        capacity = INT32_MAX;
    kept = runtime->shards[shard]->lanes->refusals;
    count = load_acquire(&kept->count);
    if (count > PAWL_REFUSALS_KEPT && after < count - PAWL_REFUSALS_KEPT)
        after = count - PAWL_REFUSALS_KEPT;
    while (after < count && (unsigned)read < capacity)
        read += read_one(runtime, kept, ++after, &refusals[read]);
    return read;
}
