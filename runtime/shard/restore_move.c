#include "shard/restore_move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shard/deferral.h"
#include "shard/timers.h"
#include "task/event.h"

/* ---- Where to ---- */

/* The shard that has the number of one of the store's, or takes its place. */
static uint32_t heir(const struct move *move, uint32_t shard)
{
    return shard % move->runtime->shard_count;
}

static uint32_t home_of_key(const struct move *move, const void *key, size_t size)
{
    return index_home(index_hash(move->runtime->key_seed, key, size), move->runtime->shard_count);
}

static uint32_t shard_of(const struct move *move, const struct image *image,
                         const struct slot *slot)
{
    unsigned char key[KEY_SIZE_MAX];
    const size_t size = pawl__table_key(image->table, slot, key);

    return size > 0 ? home_of_key(move, key, size) : heir(move, image->number);
}

static bool stays(const struct move *move, const struct image *image, const struct slot *slot)
{
    return shard_of(move, image, slot) == image->number;
}

/* One past the highest index that an image's table has. */
static uint32_t end_of(const struct image *image)
{
    const struct slab *slots = &image->table->slots;

    return slots->granules_made << slots->granule_shift;
}

/* The slot of a task of the store, if it lives. */
static struct slot *find_old(const struct move *move, struct pawl_task task)
{
    const struct image *image;
    struct slot *slot;

    if (id_shard(task) >= move->images_count)
        return NULL;
    image = &move->images[id_shard(task)];
    if (id_slot(task) == 0 || id_slot(task) >= end_of(image))
        return NULL;
    slot = table_slot(image->table, id_slot(task));
    /* relaxed: nobody reads yet. */
    return slot->mark != 0 && load_relaxed(&slot->generation) == id_generation(task) ? slot : NULL;
}

/* What an id of the store means now, and its old slot; PAWL_NO_TASK: the task is gone. */
static struct pawl_task resolve(const struct move *move, struct pawl_task task, struct slot **old)
{
    *old = find_old(move, task);
    if (*old == NULL) { /* an alias from before, perhaps: its cell leads to the new id already */
        const struct pawl_task now = aliases_resolve(&move->runtime->aliases, task);

        return now.id != task.id ? now : PAWL_NO_TASK;
    }
    return aliases_resolve(&move->runtime->aliases, task);
}

/* ---- A task ---- */

/* Deferred events, timers and key follow when the task is in its new slot. */
static int place_state(struct move *move, struct image *image, struct slot *old, uint32_t index,
                       struct shard *shard, struct slot *slot)
{
    const uint64_t head = load_relaxed(&old->head); /* relaxed, here and below: nobody reads yet */
    const uint32_t number = (uint32_t)move->machines->number[head_machine(head)];
    const struct shard_machine *machine = &move->runtime->machines[number];
    uint64_t context[CONTEXT_MAX / 8];
    _Atomic uint64_t *words;
    unsigned state;
    int error = pawl__restore_machines_task(move->machines, image, old, index, &state, context);

    if (error != 0)
        return error;
    store_relaxed(&slot->head, head_make(0, 0, number, 0));
    if (!pawl__table_restore_context(&shard->table, slot, machine->context_size))
        return pawl__image_fail(image, -ENOSPC, "shard %u has no room for another task",
                                shard->number);
    words = table_context(&shard->table, slot, machine->context_size);
    for (uint32_t i = 0; i < machine->context_words; i++)
        store_relaxed(&words[i], context[i]);
    slot->history = move->machines->migration[head_machine(head)] == NULL ? old->history : 0;
    store_relaxed(&slot->since, load_relaxed(&old->since));
    store_relaxed(&slot->head, head_make(head_version(head), head_flags(head), number, state));
    slot->mark = old->mark;
    return 0;
}

static int place_timers(struct move *move, struct image *image, const struct slot *old,
                        struct shard *shard, struct slot *slot, uint32_t index)
{
    const uint32_t machine = head_machine(load_relaxed(&old->head));

    for (uint32_t node = old->timers; node != 0;) {
        const struct timer_node *timer = slab_at(image->timers, node);
        const int number = pawl__restore_machines_timer(move->machines, machine, timer->id);

        if (number < 0)
            return pawl__image_fail(
                image, -EINVAL,
                "a task of machine '%.64s' has timer %u armed, of which the new definition has "
                "none of the same name: keep that name, or let such tasks end first",
                move->machines->manifest->machines[machine].name, timer->id);
        if (!pawl__timers_restore_add(&shard->timer_nodes, slot, index, (unsigned)number,
                                      timer->expiry))
            return pawl__image_fail(image, -ENOMEM, "there is no memory for timers");
        node = timer->sibling;
    }
    return 0;
}

static int place_task(struct move *move, struct image *image, uint32_t old_index, uint32_t to,
                      uint32_t index, uint32_t generation)
{
    struct shard *shard = move->runtime->shards[to];
    struct slot *old = table_slot(image->table, old_index);
    struct slot *slot = table_restore_slot(&shard->table, index);
    unsigned char key[KEY_SIZE_MAX];
    const size_t key_size = pawl__table_key(image->table, old, key);
    int error;

    if (slot == NULL)
        return pawl__image_fail(image, -ENOSPC, "shard %u has no slot for another task", to);
    store_relaxed(&slot->generation, generation);
    error = place_state(move, image, old, old_index, shard, slot);
    if (error == 0)
        error = place_timers(move, image, old, shard, slot, index);
    if (error == 0 && key_size > 0 &&
        pawl__table_restore_key(&shard->table, slot, index, key, key_size) != 0)
        return pawl__image_fail(image, -ENOSPC, "shard %u has no room for another key", to);
    return error;
}

/* ---- All tasks ---- */

typedef int move_fn(struct move *move, struct image *image, struct slot *slot, uint32_t index);

static int each_slot(struct move *move, move_fn *fn)
{
    int error = 0;

    for (uint32_t i = 0; i < move->images_count && error == 0; i++) {
        struct image *image = &move->images[i];
        const uint32_t end = end_of(image);

        for (uint32_t index = 1; index < end && error == 0; index++)
            error = fn(move, image, table_slot(image->table, index), index);
    }
    return error;
}

/* A life that the entries do not tell from its beginning is none. */
static int check_life(struct move *move, struct image *image, const struct slot *slot,
                      uint32_t index)
{
    const uint32_t machine = head_machine(load_relaxed(&slot->head));

    if ((slot->mark & (RESTORED_STATE | RESTORED_BORN)) != (RESTORED_STATE | RESTORED_BORN))
        return pawl__image_fail(image, -EBADMSG,
                                "the task in slot %u has no beginning: the writer was at fault, "
                                "not the disk",
                                index);
    if (move->machines->number[machine] == MACHINE_NONE)
        return pawl__restore_machines_refuse(move->machines, image, machine);
    return 0;
}

/* What stays, and the generations of what does not. */
static int move_staying(struct move *move, struct image *image, struct slot *slot, uint32_t index)
{
    const uint32_t generation = load_relaxed(&slot->generation);
    const bool lives = slot->mark != 0;
    struct slot *place;
    int error = lives ? check_life(move, image, slot, index) : 0;

    if (error != 0 || generation == 0)
        return error;
    if (lives && stays(move, image, slot))
        return place_task(move, image, index, image->number, index, generation);
    if (image->number >= move->runtime->shard_count)
        return 0;
    place = table_restore_slot(&move->runtime->shards[image->number]->table, index);
    if (place == NULL)
        return pawl__image_fail(image, -ENOMEM, "there is no memory for slot %u", index);
    store_relaxed(&place->generation, lives ? generation + 1 : generation);
    return 0;
}

static int move_leaving(struct move *move, struct image *image, struct slot *slot, uint32_t index)
{
    const uint32_t generation = load_relaxed(&slot->generation);
    uint32_t to, life;

    if (slot->mark == 0 || stays(move, image, slot))
        return 0;
    to = shard_of(move, image, slot);
    life = move->floors[to].all + 1;
    if (move->next[to] == UINT32_MAX || life >= GENERATION_MAX)
        return pawl__image_fail(image, -ENOSPC, "shard %u has no ids left", to);
    pawl__aliases_add(&move->runtime->aliases, id_make(image->number, generation, index).id,
                      id_make(to, life, move->next[to]).id);
    return place_task(move, image, index, to, move->next[to]++, life);
}

/* A task that nobody is: an event for it is found undeliverable where it arrives. */
static struct pawl_task nobody(uint32_t shard)
{
    return id_make(shard, GENERATION_MAX, 0);
}

/* Who asked, and what the answer is called there. One who is gone is told as nobody. */
static int move_asker(const struct move *move, struct image *image, uint32_t sender,
                      struct pawl_event *event)
{
    struct slot *asker;
    struct pawl_task now;
    int code;

    if ((event->flags & PAWL_EVENT_ASK) == 0)
        return 0;
    now = resolve(move, (struct pawl_task){event->arg[1]}, &asker);
    event->arg[1] = now.id != 0 ? now.id : nobody(sender).id;
    if (asker == NULL)
        return 0;
    /* relaxed: nobody reads yet */
    code = pawl__restore_machines_event(move->machines, head_machine(load_relaxed(&asker->head)),
                                        event->tag);
    if (code < 0)
        return pawl__image_fail(image, -EINVAL,
                                "a task waits for an answer with an event that its new definition "
                                "does not have: keep its name");
    event->tag = (uint32_t)code;
    return 0;
}

/* Now every id is known. */
static int move_deferred(struct move *move, struct image *image, struct slot *old, uint32_t index)
{
    const uint32_t machine = head_machine(load_relaxed(&old->head));
    const struct pawl_task before = id_make(image->number, load_relaxed(&old->generation), index);
    uint32_t at = 0;

    if (old->mark == 0)
        return 0;
    while ((at = pawl__deferral_restore_next(image->deferrals, old, at)) != 0) {
        const struct deferral *kept = slab_at(image->deferrals, at);
        struct pawl_event event = kept->event;
        struct slot *found;
        struct shard *shard;
        int code, error;

        event.task = resolve(move, before, &found);
        code = pawl__restore_machines_event(move->machines, machine, event.code);
        if (code < 0)
            return pawl__image_fail(
                image, -EINVAL,
                "a task of machine '%.64s' keeps an event '%.64s' deferred, which the new "
                "definition does not have: keep that name, or let such tasks end first",
                move->machines->manifest->machines[machine].name,
                move->machines->manifest->machines[machine].events[event.code]);
        event.code = (uint16_t)code;
        error = move_asker(move, image, id_shard(event.task), &event);
        if (error != 0)
            return error;
        shard = move->runtime->shards[id_shard(event.task)];
        if (!pawl__deferral_restore_add(&shard->deferrals,
                                        table_slot(&shard->table, id_slot(event.task)), &event))
            return pawl__image_fail(image, -ENOMEM, "there is no memory for deferred events");
        if ((event.flags & PAWL_EVENT_BUFFER) != 0)
            pawl_buffer_ref(event_buffer(&event));
    }
    return 0;
}

/* ---- Ids ---- */

static void lift(uint32_t *floor, uint32_t generation)
{
    if (*floor < generation)
        *floor = generation;
}

/* The highest generation that an id of this shard of the store can have had. */
static uint32_t highest_generation(const struct image *image)
{
    const uint32_t end = end_of(image);
    uint32_t highest = image->floors.all;

    for (uint32_t i = 0; i < image->floors.runs_count; i++)
        lift(&highest, image->floors.runs[i]);
    for (uint32_t index = 1; index < end; index++)
        lift(&highest, load_relaxed(&table_slot(image->table, index)->generation));
    return highest;
}

/*
 * A shard goes on with the floors of the one with its number; one that the store does not have
 * begins above the ids that an earlier shard of that number had. The slots of those who move in lie
 * above all old ones.
 */
static int inherit_floors(struct move *move)
{
    for (uint32_t i = 0; i < move->runtime->shard_count; i++) {
        move->next[i] = 1;
        if (i >= move->images_count)
            continue;
        move->next[i] = end_of(&move->images[i]);
        lift(&move->next[i], move->images[i].floors.runs_count * SLAB_RESTORE_RUN);
        lift(&move->next[i], 1);
        move->floors[i].all = move->images[i].floors.all;
        if (move->images[i].floors.runs_count == 0)
            continue;
        move->floors[i].runs =
            malloc(move->images[i].floors.runs_count * sizeof(*move->floors[i].runs));
        if (move->floors[i].runs == NULL)
            return pawl__image_fail(&move->images[i], -ENOMEM, "there is no memory for floors");
        memcpy(move->floors[i].runs, move->images[i].floors.runs,
               move->images[i].floors.runs_count * sizeof(*move->floors[i].runs));
        move->floors[i].runs_count = move->images[i].floors.runs_count;
    }
    return 0;
}

/*
 * What earlier sets have said of shards' generations, and what is to be said of shards that go now.
 */
static void note_generations(struct move *move)
{
    struct aliases *aliases = &move->runtime->aliases;
    uint32_t highest[SHARDS_MAX] = {0};

    for (uint32_t i = 0; i < move->images_count; i++)
        for (size_t k = 0; k < move->images[i].aliases_count; k++) {
            const struct pawl_task from = {move->images[i].aliases[k].from};

            if (move->images[i].aliases[k].to == 0)
                lift(&highest[id_shard(from)], id_generation(from));
        }
    for (uint32_t i = move->runtime->shard_count; i < move->images_count; i++)
        lift(&highest[i], highest_generation(&move->images[i]));
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        if (highest[i] == 0)
            continue;
        pawl__aliases_add(aliases, id_make(i, highest[i], 0).id, 0);
        if (i < move->runtime->shard_count)
            lift(&move->floors[i].all, highest[i]);
    }
}

/* Old names of tasks that have moved before, as far as the tasks live. */
static void carry_aliases(struct move *move)
{
    for (uint32_t i = 0; i < move->images_count; i++)
        for (size_t k = 0; k < move->images[i].aliases_count; k++) {
            const struct entry_alias *alias = &move->images[i].aliases[k];
            const struct pawl_task to = {alias->to};

            if (alias->to != 0 && find_old(move, to) != NULL)
                pawl__aliases_add(&move->runtime->aliases, alias->from,
                                  aliases_resolve(&move->runtime->aliases, to).id);
        }
}

static size_t aliases_needed(const struct move *move)
{
    size_t count = SHARDS_MAX;

    for (uint32_t i = 0; i < move->images_count; i++) {
        const struct image *image = &move->images[i];
        const uint32_t end = end_of(image);

        count += image->aliases_count;
        for (uint32_t index = 1; index < end; index++) {
            const struct slot *slot = table_slot(image->table, index);

            count += slot->mark != 0 && !stays(move, image, slot);
        }
    }
    return count;
}

int pawl__move_tasks(struct move *move)
{
    int error = pawl__aliases_init(&move->runtime->aliases, aliases_needed(move));

    if (error != 0)
        return pawl__image_fail(&move->images[0], error, "there is no memory for old ids");
    error = inherit_floors(move);
    if (error != 0)
        return error;
    note_generations(move);
    error = each_slot(move, move_staying);
    if (error == 0)
        error = each_slot(move, move_leaving);
    if (error != 0)
        return error;
    carry_aliases(move);
    return each_slot(move, move_deferred);
}

/* ---- Events under way ---- */

/* A request for a new task goes to the home of its key. */
static int move_request(struct move *move, struct image *image, struct pawl_event *event)
{
    const struct create_request *request = restore_request(event);
    uint32_t to = heir(move, id_shard(event->task));
    const int error = pawl__restore_machines_request(move->machines, image, event);

    if (error != 0)
        return error;
    if (request != NULL && request->key_size > 0)
        to = home_of_key(move, request->bytes, request->key_size);
    event->task = id_make(to, 0, id_slot(event->task));
    return 0;
}

int pawl__move_event(struct move *move, uint32_t from, struct pawl_event *event, uint32_t *sender)
{
    struct image *image = &move->images[from];
    struct slot *old;
    int code;

    *sender = heir(move, from);
    code = move_asker(move, image, *sender, event);
    if (code != 0)
        return code;
    if (event->code == PAWL_CODE_CREATE && id_generation(event->task) == 0)
        return move_request(move, image, event);
    event->task = resolve(move, event->task, &old);
    if (event->task.id == 0) {
        event->task = nobody(*sender);
        return 0;
    }
    if (old == NULL)
        return 0;
    code = pawl__restore_machines_event(move->machines, head_machine(load_relaxed(&old->head)),
                                        event->code);
    if (code < 0)
        return pawl__image_fail(image, -EINVAL,
                                "an event is under way to a task whose new "
                                "definition does not have it: keep its name, or let such events "
                                "be handled first (pawl_drain)");
    event->code = (uint16_t)code;
    return 0;
}
