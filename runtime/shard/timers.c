#include "shard/timers.h"

#include <errno.h>

#include "shard/durable.h"

/* Nodes moved by the wheel in one turn. */
#define WHEEL_BUDGET 4096u

static struct timer_node *node_at(const struct shard *shard, uint32_t node)
{
    return slab_at_sized(&shard->timer_nodes, node, sizeof(struct timer_node));
}

static uint32_t find(const struct shard *shard, const struct slot *slot, unsigned timer)
{
    uint32_t node = slot->timers;

    while (node != 0 && node_at(shard, node)->id != timer)
        node = node_at(shard, node)->sibling;
    return node;
}

uint64_t pawl__timer_tick(const struct shard *shard, const struct slot *slot, unsigned timer)
{
    const uint32_t node = find(shard, slot, timer);

    return node != 0 ? node_at(shard, node)->expiry : UINT64_MAX;
}

static void unlink(const struct shard *shard, struct slot *slot, uint32_t node)
{
    uint32_t *link = &slot->timers;

    while (*link != node) {
        CHECK(*link != 0);
        link = &node_at(shard, *link)->sibling;
    }
    *link = node_at(shard, node)->sibling;
}

static uint32_t node_alloc(struct shard *shard, uint32_t slot_index, unsigned timer)
{
    const uint32_t index = slab_alloc(&shard->timer_nodes);
    struct timer_node *node;

    if (index == 0)
        return 0;
    node = node_at(shard, index);
    /* The stamp goes on from the node's last life: old events stay void. */
    node->where = WHEEL_IDLE;
    node->slot = slot_index;
    node->id = (uint16_t)timer;
    return index;
}

static uint64_t tick_after(const struct shard *shard, uint64_t since_open_ns)
{
    return since_open_ns / shard->tick_ns + (since_open_ns % shard->tick_ns != 0);
}

uint64_t pawl__timer_tick_at(const struct shard *shard, uint64_t ns)
{
    return tick_after(shard, ns - shard->open_ns);
}

/* The first tick at or after now + delay. */
static uint64_t expiry_tick(struct shard *shard, uint64_t delay_ns)
{
    const uint64_t since_open = shard_fresh_ns(shard) - shard->open_ns;

    return tick_after(shard,
                      since_open + delay_ns < since_open ? UINT64_MAX : since_open + delay_ns);
}

static struct staged_timer *staged_find(struct pawl_step *step, unsigned timer)
{
    for (uint32_t i = 0; i < step->timers_count; i++)
        if (step->timers[i].timer == timer)
            return &step->timers[i];
    return NULL;
}

static struct staged_timer *staged_add(struct pawl_step *step, unsigned timer)
{
    struct staged_timer *staged;

    if (step->timers_count == STEP_EMIT_MAX)
        return NULL;
    staged = &step->timers[step->timers_count++];
    *staged = (struct staged_timer){.timer = (uint16_t)timer};
    step->staged |= STAGED_TIMERS;
    return staged;
}

int pawl__timer_stage_arm(struct pawl_step *step, unsigned timer, uint64_t delay_ns)
{
    struct shard *shard = step->shard;
    struct staged_timer *staged = staged_find(step, timer);

    if (staged == NULL)
        staged = staged_add(step, timer);
    if (staged == NULL)
        return -ENOSPC;
    if (staged->node == 0) {
        const uint32_t slot_index = id_slot(pawl_step_task(step));

        staged->node = find(shard, table_slot(&shard->table, slot_index), timer);
        if (staged->node == 0) {
            staged->node = node_alloc(shard, slot_index, timer);
            if (staged->node == 0)
                return -ENOMEM;
            staged->fresh = true;
        }
    }
    staged->expiry_tick = expiry_tick(shard, delay_ns);
    return 0;
}

int pawl__timer_stage_cancel(struct pawl_step *step, unsigned timer)
{
    struct staged_timer *staged = staged_find(step, timer);

    if (staged == NULL)
        staged = staged_add(step, timer);
    if (staged == NULL)
        return -ENOSPC;
    if (staged->fresh)
        slab_free(&step->shard->timer_nodes, staged->node);
    staged->fresh = false;
    staged->node = 0;
    return 0;
}

bool pawl__timer_arm(struct shard *shard, struct slot *slot, uint32_t slot_index, unsigned timer,
                     uint64_t tick)
{
    uint32_t node = find(shard, slot, timer);

    if (node == 0) {
        node = node_alloc(shard, slot_index, timer);
        if (node == 0)
            return false;
        node_at(shard, node)->sibling = slot->timers;
        slot->timers = node;
    }
    wheel_arm(&shard->wheel, node, tick);
    return true;
}

void pawl__timer_cancel(struct shard *shard, struct slot *slot, unsigned timer)
{
    const uint32_t node = find(shard, slot, timer);

    if (node == 0)
        return;
    wheel_cancel(&shard->wheel, node);
    unlink(shard, slot, node);
    slab_free(&shard->timer_nodes, node);
}

void pawl__timers_commit(struct pawl_step *step)
{
    struct shard *shard = step->shard;
    struct slot *slot = step->slot;

    for (uint32_t i = 0; i < step->timers_count; i++) {
        const struct staged_timer *staged = &step->timers[i];

        if (staged->node == 0) {
            pawl__timer_cancel(shard, slot, staged->timer);
            continue;
        }
        if (staged->fresh) {
            node_at(shard, staged->node)->sibling = slot->timers;
            slot->timers = staged->node;
        }
        wheel_arm(&shard->wheel, staged->node, staged->expiry_tick);
    }
}

void pawl__timers_abort(struct pawl_step *step)
{
    for (uint32_t i = 0; i < step->timers_count; i++)
        if (step->timers[i].fresh)
            slab_free(&step->shard->timer_nodes, step->timers[i].node);
}

void pawl__timers_end(struct shard *shard, struct slot *slot)
{
    while (slot->timers != 0) {
        const uint32_t node = slot->timers;

        slot->timers = node_at(shard, node)->sibling;
        wheel_cancel(&shard->wheel, node);
        slab_free(&shard->timer_nodes, node);
    }
}

static uint64_t pack(uint32_t node, uint32_t stamp)
{
    return (uint64_t)stamp << 32 | node;
}

uint32_t pawl__timer_claim(struct shard *shard, struct slot *slot, const struct pawl_event *event)
{
    const uint32_t node = (uint32_t)event->arg[1];

    if (find(shard, slot, (unsigned)event->arg[0]) != node)
        return 0;
    if (pack(node, node_at(shard, node)->stamp) != event->arg[1] ||
        wheel_is_armed(node_at(shard, node)))
        return 0;
    unlink(shard, slot, node);
    return node;
}

void pawl__timer_drop(struct shard *shard, uint32_t node)
{
    slab_free(&shard->timer_nodes, node);
}

void pawl__timer_retry(struct shard *shard, struct slot *slot, uint32_t node)
{
    node_at(shard, node)->sibling = slot->timers;
    slot->timers = node;
    wheel_arm(&shard->wheel, node, shard_tick_of(shard, shard->now_ns) + 1);
}

/* The event of a node that has just been popped. */
static struct pawl_event expired_event(const struct shard *shard, uint32_t index)
{
    const struct timer_node *node = node_at(shard, index);
    const struct slot *slot = table_slot(&shard->table, node->slot);
    const struct pawl_machine *machine =
        shard->machines[head_machine(load_relaxed(&slot->head))].machine; /* relaxed: our own */

    return (struct pawl_event){
        .task = shard_task(shard, slot, node->slot),
        .code = machine->timers[node->id].event,
        .flags = PAWL_EVENT_TIMER,
        .arg = {node->id, pack(index, node->stamp)},
    };
}

uint32_t pawl__timers_take(struct shard *shard, uint64_t tick)
{
    struct pawl_event events[BATCH_MAX];
    uint32_t fired = 0;

    pawl__wheel_advance(&shard->wheel, tick, WHEEL_BUDGET);
    while (fired < QUOTA) {
        uint32_t count = 0;
        uint32_t node;

        if (shard->durable != NULL && !pawl__durable_gate(shard, true))
            break;

        while (count < BATCH_MAX && (node = wheel_due_pop(&shard->wheel)) != 0)
            events[count++] = expired_event(shard, node);
        if (count == 0)
            break;
        for (uint32_t i = 0; i < count; i++)
            pawl__dispatch(shard, &events[i], 0);
        fired += count;
    }
    shard->count.events += fired;
    return fired;
}

/* Restoring */

bool pawl__timers_restore_add(struct slab *nodes, struct slot *slot, uint32_t slot_index,
                              unsigned timer, uint64_t expiry_ns)
{
    const uint32_t index = slab_alloc(nodes);
    struct timer_node *node;

    if (index == 0)
        return false;
    node = slab_at(nodes, index);
    node->where = WHEEL_IDLE;
    node->slot = slot_index;
    node->id = (uint16_t)timer;
    node->expiry = expiry_ns;
    node->sibling = slot->timers;
    slot->timers = index;
    return true;
}

void pawl__timers_restore_forget(struct slab *nodes, struct slot *slot)
{
    while (slot->timers != 0) {
        const uint32_t index = slot->timers;

        slot->timers = ((struct timer_node *)slab_at(nodes, index))->sibling;
        slab_free(nodes, index);
    }
}

bool pawl__timers_restore_arm(struct shard *shard, struct slot *slot, unsigned timers_count)
{
    for (uint32_t index = slot->timers; index != 0; index = node_at(shard, index)->sibling) {
        const struct timer_node *node = node_at(shard, index);
        const uint64_t at = node->expiry;

        if (node->id >= timers_count)
            return false;
        wheel_arm(&shard->wheel, index, at / shard->tick_ns + (at % shard->tick_ns != 0));
    }
    return true;
}
