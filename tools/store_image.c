/*
 * store_image.c - the model: entries change it, and its hash says what it is.
 *
 * Entries are applied as store/entry.h says and nothing more: each is the whole truth about what it
 * names, whatever was there before. So a snapshot, whose images may be newer than the frames that
 * follow, and the journal behind it lead to the same end as the journal alone.
 */
#include "store_image.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "task/slot.h"

static const char no_memory[] = "there is no memory for it";

bool image_set(void *to, const void *bytes, size_t size)
{
    void *old, *copy = NULL;

    if (size > 0) {
        copy = malloc(size);
        if (!copy)
            return false;
        memcpy(copy, bytes, size);
    }
    memcpy(&old, to, sizeof(old));
    free(old);
    memcpy(to, &copy, sizeof(copy));
    return true;
}

/* ---- events ---------------------------------------------------------------------------------- */

void image_events_clear(struct image_events *events)
{
    for (size_t i = events->first; i < events->count; i++)
        free(events->at[i]);
    free(events->at);
    *events = (struct image_events){0};
}

/* Keeps the oldest `count`. */
static void events_cut(struct image_events *events, size_t count)
{
    while (events->count - events->first > count)
        free(events->at[--events->count]);
}

/* Forgets those up to a number. */
static void events_trim(struct image_events *events, uint64_t number)
{
    while (events->first < events->count && events->at[events->first]->number <= number)
        free(events->at[events->first++]);
    if (events->first == events->count)
        image_events_clear(events);
}

static bool events_reserve(struct image_events *events)
{
    if (events->count < events->capacity)
        return true;
    if (events->first > events->capacity / 2) {
        events->count -= events->first;
        memmove(events->at, events->at + events->first,
                events->count * sizeof(struct image_event *));
        events->first = 0;
    } else {
        const size_t capacity = 2 * events->capacity + 4;
        struct image_event **const at =
            realloc(events->at, capacity * sizeof(struct image_event *));

        if (!at)
            return false;
        events->at = at;
        events->capacity = capacity;
    }
    return true;
}

bool image_events_add(struct image_events *events, uint64_t number, const struct entry_event *event,
                      const void *payload)
{
    struct image_event *const copy = malloc(sizeof(*copy) + event->size);
    size_t at;

    if (!copy || !events_reserve(events)) {
        free(copy);
        return false;
    }
    copy->number = number;
    copy->event = *event;
    memcpy(copy->event.payload, payload, event->size);
    /* Numbers come in order, but for those that a snapshot has told already. */
    at = events->count;
    while (number != 0 && at > events->first && events->at[at - 1]->number > number)
        at--;
    if (number != 0 && at > events->first && events->at[at - 1]->number == number) {
        free(events->at[at - 1]);
        events->at[at - 1] = copy;
        return true;
    }
    memmove(events->at + at + 1, events->at + at,
            (events->count - at) * sizeof(struct image_event *));
    events->at[at] = copy;
    events->count++;
    return true;
}

/* ---- tasks by slot --------------------------------------------------------------------------- */

static size_t map_place(const struct image_shard *shard, uint32_t slot)
{
    size_t at = (slot * UINT32_C(2654435761)) & (shard->map_capacity - 1);

    while (shard->map[at] != 0 && shard->tasks[shard->map[at] - 1].slot != slot)
        at = (at + 1) & (shard->map_capacity - 1);
    return at;
}

static bool map_grow(struct image_shard *shard)
{
    const size_t capacity = shard->map_capacity ? 2 * shard->map_capacity : 64;
    uint32_t *const map = calloc(capacity, sizeof(*map));

    if (!map)
        return false;
    free(shard->map);
    shard->map = map;
    shard->map_capacity = capacity;
    for (size_t i = 0; i < shard->tasks_count; i++)
        map[map_place(shard, shard->tasks[i].slot)] = (uint32_t)i + 1;
    return true;
}

struct image_task *image_shard_task(const struct image_shard *shard, uint32_t slot)
{
    const uint32_t found = shard->map_capacity ? shard->map[map_place(shard, slot)] : 0;

    return found ? &shard->tasks[found - 1] : NULL;
}

static struct image_task *task_create(struct image_shard *shard, uint32_t slot)
{
    if (2 * (shard->tasks_count + 1) > shard->map_capacity && !map_grow(shard))
        return NULL;
    if (shard->tasks_count == shard->tasks_capacity) {
        const size_t capacity = 2 * shard->tasks_capacity + 32;
        struct image_task *const tasks = realloc(shard->tasks, capacity * sizeof(tasks[0]));

        if (!tasks)
            return NULL;
        shard->tasks = tasks;
        shard->tasks_capacity = capacity;
    }
    shard->map[map_place(shard, slot)] = (uint32_t)shard->tasks_count + 1;
    shard->tasks[shard->tasks_count] = (struct image_task){.slot = slot};
    return &shard->tasks[shard->tasks_count++];
}

/* Leaves slot and generation. */
static void task_empty(struct image_task *task)
{
    image_events_clear(&task->deferred);
    free(task->key); /* NOLINT(clang-analyzer-unix.Malloc): emptied before, it is NULL */
    free(task->context);
    free(task->timers);
    *task = (struct image_task){.slot = task->slot, .generation = task->generation};
}

struct image_task *image_shard_place(struct image_shard *shard, uint32_t slot, uint32_t generation)
{
    struct image_task *task = image_shard_task(shard, slot);

    if (!task)
        task = task_create(shard, slot);
    if (task && task->generation != generation) {
        task_empty(task);
        task->generation = generation;
    }
    return task;
}

uint64_t image_task_id(const struct image_shard *shard, const struct image_task *task)
{
    return id_make(shard->number, task->generation, task->slot).id;
}

/* ---- a shard --------------------------------------------------------------------------------- */

int image_shard_init(struct image_shard *shard, uint32_t number, uint32_t peers)
{
    *shard = (struct image_shard){.number = number, .peers = peers};
    shard->links = calloc(peers, sizeof(shard->links[0]));
    return shard->links ? 0 : -ENOMEM;
}

void image_shard_fini(struct image_shard *shard)
{
    for (size_t i = 0; i < shard->tasks_count; i++)
        task_empty(&shard->tasks[i]);
    for (uint32_t i = 0; shard->links && i < shard->peers; i++) {
        image_events_clear(&shard->links[i].sent[0]);
        image_events_clear(&shard->links[i].sent[1]);
    }
    free(shard->tasks);
    free(shard->map);
    free(shard->links);
    free(shard->floors);
    free(shard->aliases);
    free(shard->parts);
    *shard = (struct image_shard){0};
}

/* ---- entries --------------------------------------------------------------------------------- */

static const char *check_event(const struct image_shard *shard, const struct entry_event *event)
{
    return store_event_shard(event) < shard->peers
               ? NULL
               : "an event goes to a shard that the store does not have";
}

static const char *apply_step(struct image_shard *shard, const struct manifest *manifest,
                              const struct entry_step *step, uint64_t time_ns)
{
    const unsigned flags = step->header.flags;
    const struct manifest_machine *machine;
    struct image_task *task;
    const uint64_t *context;
    uint32_t words;

    if (step->machine >= manifest->machines_count)
        return "a step is of a machine that the manifest does not have";
    machine = &manifest->machines[step->machine];
    if (step->state >= machine->states_count)
        return "a step leads to a state that its machine does not have";
    context = entry_context(step, &words);
    if (words != 0 && words != (machine->context_size + 7) / 8)
        return "a step's context is not as large as its machine says";
    task = image_shard_place(shard, step->header.slot, step->generation);
    if (!task)
        return no_memory;
    if ((flags & ENTRY_ENDED) != 0) {
        task_empty(task);
        return NULL;
    }
    if ((flags & (ENTRY_CREATED | ENTRY_RESERVED | ENTRY_IMAGE)) != 0)
        task->flags |= IMAGE_BORN;
    task->flags &= (uint8_t) ~(IMAGE_ALIVE | IMAGE_RESERVED);
    task->flags |= (flags & ENTRY_RESERVED) != 0 ? IMAGE_RESERVED : IMAGE_ALIVE;
    task->version = step->version;
    task->state = step->state;
    task->history = step->history;
    task->machine = step->machine;
    if ((flags & ENTRY_SINCE) != 0)
        task->since = step->words[0];
    else if ((flags & ENTRY_EXTERNAL) != 0)
        task->since = time_ns >> SINCE_SHIFT << SINCE_SHIFT; /* as an image has it */
    if (!image_set(&task->context, context, 8 * (size_t)words))
        return no_memory;
    task->context_words = words;
    return NULL;
}

static const char *apply_key(struct image_shard *shard, const struct entry_key *key)
{
    struct image_task *const task = image_shard_place(shard, key->header.slot, key->generation);

    if (!task || !image_set(&task->key, key->bytes, key->size))
        return no_memory;
    task->key_size = key->size;
    return NULL;
}

/* The task's machine may not be known yet; store_check looks at the timers' numbers at the end. */
static const char *apply_timers(struct image_shard *shard, const struct entry_timers *timers)
{
    struct image_task *const task =
        image_shard_place(shard, timers->header.slot, timers->generation);

    if (!task)
        return no_memory;
    if (!image_set(&task->timers, timers->timers, timers->count * sizeof(timers->timers[0])))
        return no_memory;
    task->timers_count = timers->count;
    return NULL;
}

static const char *apply_defer(struct image_shard *shard, const struct entry_defer *defer)
{
    struct image_task *const task = image_shard_place(shard, defer->header.slot, defer->generation);

    if (!task)
        return no_memory;
    if ((defer->header.flags & ENTRY_RESET) != 0)
        image_events_clear(&task->deferred);
    if ((defer->header.flags & ENTRY_EMPTY) != 0)
        return NULL;
    if (defer->count > 0) /* an image may have it already */
        events_cut(&task->deferred, defer->count - 1);
    return image_events_add(&task->deferred, 0, &defer->event, defer->event.payload) ? NULL
                                                                                     : no_memory;
}

static const char *apply_send(struct image_shard *shard, const struct entry_send *send)
{
    const unsigned control = (send->event.flags & PAWL_EVENT_CONTROL) != 0;
    const char *const wrong = check_event(shard, &send->event);
    struct image_link *link;

    if (wrong)
        return wrong;
    link = &shard->links[store_event_shard(&send->event)];
    if (send->number == 0)
        return "an event that was sent has no number";
    if (send->number <= link->confirmed[control])
        return NULL;
    return image_events_add(&link->sent[control], send->number, &send->event, send->event.payload)
               ? NULL
               : no_memory;
}

static const char *apply_mark(struct image_shard *shard, const struct entry_mark *mark)
{
    struct image_link *link;
    uint64_t *value;

    if (mark->peer >= shard->peers)
        return "a mark is about a shard that the store does not have";
    link = &shard->links[mark->peer];
    value =
        mark->what == MARK_TAKEN ? &link->taken[mark->control] : &link->confirmed[mark->control];
    if (mark->value > *value)
        *value = mark->value;
    if (mark->what == MARK_CONFIRMED)
        events_trim(&link->sent[mark->control], mark->value);
    return NULL;
}

bool image_shard_add_floor(struct image_shard *shard, const struct image_floor *floor)
{
    const struct image_floor new = *floor;
    size_t at = shard->floors_count;

    /* Sorted by the first slot; a snapshot tells them in this order. */
    while (at > 0 && shard->floors[at - 1].slot > new.slot)
        at--;
    if (at > 0 && shard->floors[at - 1].slot == new.slot &&
        shard->floors[at - 1].count == new.count) {
        if (shard->floors[at - 1].generation < new.generation)
            shard->floors[at - 1].generation = new.generation;
        return true;
    }
    if (shard->floors_count == shard->floors_capacity) {
        const size_t capacity = 2 * shard->floors_capacity + 8;
        struct image_floor *const floors = realloc(shard->floors, capacity * sizeof(floors[0]));

        if (!floors)
            return false;
        shard->floors = floors;
        shard->floors_capacity = capacity;
    }
    memmove(shard->floors + at + 1, shard->floors + at,
            (shard->floors_count - at) * sizeof(shard->floors[0]));
    shard->floors[at] = new;
    shard->floors_count++;
    return true;
}

static const char *apply_floor(struct image_shard *shard, const struct entry_floor *floor)
{
    const struct image_floor new = {floor->header.slot, floor->count, floor->generation};

    return image_shard_add_floor(shard, &new) ? NULL : no_memory;
}

bool image_shard_add_alias(struct image_shard *shard, const struct image_alias *alias)
{
    const struct image_alias new = *alias;
    size_t at = shard->aliases_count;

    while (at > 0 && shard->aliases[at - 1].from > new.from)
        at--;
    if (at > 0 && shard->aliases[at - 1].from == new.from) {
        shard->aliases[at - 1] = new;
        return true;
    }
    if (shard->aliases_count == shard->aliases_capacity) {
        const size_t capacity = 2 * shard->aliases_capacity + 8;
        struct image_alias *const aliases = realloc(shard->aliases, capacity * sizeof(aliases[0]));

        if (!aliases)
            return false;
        shard->aliases = aliases;
        shard->aliases_capacity = capacity;
    }
    memmove(shard->aliases + at + 1, shard->aliases + at,
            (shard->aliases_count - at) * sizeof(shard->aliases[0]));
    shard->aliases[at] = new;
    shard->aliases_count++;
    return true;
}

static const char *apply_alias(struct image_shard *shard, const struct entry_alias *alias)
{
    const struct image_alias new = {alias->from, alias->to};

    return image_shard_add_alias(shard, &new) ? NULL : no_memory;
}

#define FOLD_SLOTS 1024u /* slots that share a floor here */

struct fold {
    uint32_t generation; /* the highest of the block */
    bool ended;          /* a task of it has */
};

bool image_shard_fold(struct image_shard *shard)
{
    uint32_t highest = 0;
    struct fold *blocks;
    bool done = true;

    for (size_t i = 0; i < shard->tasks_count; i++)
        if (shard->tasks[i].slot > highest)
            highest = shard->tasks[i].slot;
    blocks = calloc(highest / FOLD_SLOTS + 1, sizeof(*blocks));
    if (!blocks)
        return false;
    for (size_t i = 0; i < shard->tasks_count; i++) {
        const struct image_task *const task = &shard->tasks[i];
        struct fold *const block = &blocks[task->slot / FOLD_SLOTS];

        if (task->generation > block->generation)
            block->generation = task->generation;
        block->ended |= !image_task_lives(task) && task->generation > 0;
    }
    for (uint32_t i = 0; done && i <= highest / FOLD_SLOTS; i++) {
        const struct image_floor floor = {i * FOLD_SLOTS, FOLD_SLOTS, blocks[i].generation};

        if (blocks[i].ended)
            done = image_shard_add_floor(shard, &floor);
    }
    free(blocks);
    return done;
}

static const char *apply(struct image_shard *shard, const struct manifest *manifest,
                         const struct entry_header *entry, uint64_t time_ns)
{
    const void *const any = entry;

    switch ((enum entry_type)entry->type) {
    case ENTRY_STEP:
        return apply_step(shard, manifest, any, time_ns);
    case ENTRY_KEY:
        return apply_key(shard, any);
    case ENTRY_TIMERS:
        return apply_timers(shard, any);
    case ENTRY_DEFER:
        return apply_defer(shard, any);
    case ENTRY_SEND:
        return apply_send(shard, any);
    case ENTRY_MARK:
        return apply_mark(shard, any);
    case ENTRY_FLOOR:
        return apply_floor(shard, any);
    case ENTRY_ALIAS:
        return apply_alias(shard, any);
    }
    return "an entry of a kind that this version does not know";
}

static const char *apply_all(struct image_shard *shard, const struct manifest *manifest,
                             const void *bytes, size_t size, uint64_t time_ns)
{
    const struct entry_header *entry = NULL;

    while ((entry = entry_next(bytes, size, entry)) != NULL) {
        const char *const wrong = apply(shard, manifest, entry, time_ns);

        if (wrong)
            return wrong;
    }
    return NULL;
}

const char *image_shard_apply(struct image_shard *shard, const struct manifest *manifest,
                              const struct reader_frame *frame)
{
    const char *wrong;
    size_t size;

    if (frame->header.time_ns > shard->time_ns)
        shard->time_ns = frame->header.time_ns;
    if ((frame->header.flags & FRAME_MORE) == 0 && shard->parts_size == 0)
        return apply_all(shard, manifest, frame->payload, frame->header.size,
                         frame->header.time_ns);
    size = shard->parts_size + frame->header.size;
    if (size > shard->parts_capacity) {
        uint8_t *const parts = realloc(shard->parts, 2 * size);

        if (!parts)
            return no_memory;
        shard->parts = parts;
        shard->parts_capacity = 2 * size;
    }
    memcpy(shard->parts + shard->parts_size, frame->payload, frame->header.size);
    shard->parts_size = size;
    if ((frame->header.flags & FRAME_MORE) != 0)
        return NULL;
    wrong = apply_all(shard, manifest, shard->parts, size, frame->header.time_ns);
    shard->parts_size = 0;
    return wrong;
}
