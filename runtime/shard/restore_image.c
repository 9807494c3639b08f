/*
 * restore_image.c - applies entries. The short way is a step of a task that is known: a compare and
 * the stores of its new state. Slots are fetched some entries ahead, and blocks of contexts half as
 * far: tasks come in no order, and each would wait for memory (a million tasks: 70 ns an entry
 * without, 13 with).
 */
#include "shard/restore_image.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "shard/deferral.h"
#include "shard/durable.h"
#include "shard/timers.h"
#include "task/event.h"

#define AHEAD 48u /* entries between fetching a slot and its use */

/* ---- Making and unmaking ---- */

/* What an image has that is not in place. */
struct image_own {
    struct table table;
    struct slab timers;
    struct slab deferrals;
    unsigned made; /* of these, in this order */
};

static int own_init(struct image *image)
{
    struct image_own *own = calloc(1, sizeof(*own));
    uint32_t sizes[MANIFEST_MACHINES_MAX];
    const uint32_t slots_max = UINT32_MAX - (1u << 16);
    const struct table_options table = {
        .shard = image->number,
        .tasks_max = slots_max,
        .seed = 1,
        .context_sizes = sizes,
        .context_sizes_count = image->machines_count,
    };
    struct slab_options slab = {.object_size = sizeof(struct timer_node), .objects_max = slots_max};
    int error;

    if (own == NULL)
        return -ENOMEM;
    image->own = own;
    for (uint32_t i = 0; i < image->machines_count; i++)
        sizes[i] = image->machines[i].context_size;
    error = pawl__table_init(&own->table, &table);
    if (error != 0)
        return error;
    own->made = 1;
    error = slab_init(&own->timers, &slab);
    if (error != 0)
        return error;
    own->made = 2;
    slab.object_size = sizeof(struct deferral);
    error = slab_init(&own->deferrals, &slab);
    if (error != 0)
        return error;
    own->made = 3;
    image->table = &own->table;
    image->timers = &own->timers;
    image->deferrals = &own->deferrals;
    return 0;
}

int pawl__image_init(struct image *image, struct shard *shard, uint32_t number, uint32_t shards,
                     const struct image_machine *machines, uint32_t machines_count)
{
    memset(image, 0, sizeof(*image));
    image->number = number;
    image->shards = shards;
    image->machines = machines;
    image->machines_count = machines_count;
    for (uint32_t i = 0; i < machines_count; i++)
        image->has_blocks |= machines[i].context_size > CONTEXT_INLINE;
    image->links = calloc(shards, sizeof(*image->links));
    if (image->links == NULL)
        return -ENOMEM;
    if (shard == NULL)
        return own_init(image);
    image->table = &shard->table;
    image->timers = &shard->timer_nodes;
    image->deferrals = &shard->deferrals;
    return 0;
}

static void links_fini(struct image *image)
{
    for (uint32_t i = 0; image->links != NULL && i < image->shards; i++)
        for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++)
            pawl__sends_fini(&image->links[i].sends[klass]);
}

/* The buffers of what tasks keep deferred. */
static void drop_buffers(struct image *image)
{
    struct slab *slots = &image->table->slots;
    const uint32_t end = slots->granules_made << slots->granule_shift;

    if (slab_live(image->deferrals) == 0)
        return;
    for (uint32_t index = 1; index < end; index++)
        if (table_slot(image->table, index)->mark != 0)
            pawl__deferral_restore_cut(image->deferrals, table_slot(image->table, index), 0);
}

void pawl__image_fini(struct image *image)
{
    struct image_own *own = image->own;

    links_fini(image);
    free(image->links);
    free(image->aliases);
    free(image->floors.runs);
    if (own != NULL) {
        if (own->made > 2) {
            drop_buffers(image);
            slab_fini(&own->deferrals);
        }
        if (own->made > 1)
            slab_fini(&own->timers);
        if (own->made > 0)
            pawl__table_fini(&own->table);
        free(own);
    }
    image->own = NULL;
    image->links = NULL;
    image->aliases = NULL;
    image->floors.runs = NULL;
}

int pawl__image_clear(struct image *image)
{
    int error;

    drop_buffers(image);
    links_fini(image);
    for (uint32_t i = 0; image->links != NULL && i < image->shards; i++)
        image->links[i] = (struct image_link){0};
    free(image->floors.runs);
    image->floors = (struct table_floors){0};
    image->aliases_count = 0;
    image->time_ns = 0;
    image->entries = 0;
    image->fault = (struct restore_fault){0};
    error = pawl__table_clear(image->table);
    if (error == 0)
        error = slab_clear(image->timers);
    if (error == 0)
        error = slab_clear(image->deferrals);
    return error;
}

int pawl__image_fail(struct image *image, int error, const char *format, ...)
{
    va_list arguments;

    if (image->fault.error != 0)
        return error;
    image->fault.error = error;
    va_start(arguments, format);
    vsnprintf(image->fault.what, sizeof(image->fault.what), format, arguments);
    va_end(arguments);
    return error;
}

static int fail_memory(struct image *image, const struct entry_header *entry)
{
    return pawl__image_fail(image, -ENOMEM, "there is no memory for slot %u: %s", entry->slot,
                            "give the process more, or more shards on more nodes");
}

static int fail_entry(struct image *image, const struct entry_header *entry, const char *what)
{
    return pawl__image_fail(image, -EBADMSG,
                            "an entry of slot %u %s: the writer was at fault, "
                            "not the disk; pawl salvage can copy what comes before",
                            entry->slot, what);
}

/* ---- Lives ---- */

static uint32_t context_size_of(const struct image *image, const struct slot *slot)
{
    const uint8_t machine = head_machine(load_relaxed(&slot->head)); /* relaxed: nobody reads yet */

    if (!image->has_blocks)
        return 0;
    for (uint32_t i = 0; i < image->machines_count; i++)
        if (image->machines[i].known && image->machines[i].number == machine)
            return image->machines[i].context_size;
    return 0;
}

/* The slot's life, whatever it was, is over. */
static void forget(struct image *image, struct slot *slot)
{
    const uint32_t size = (slot->mark & (RESTORED_BORN | RESTORED_FOREIGN)) == RESTORED_BORN
                              ? context_size_of(image, slot)
                              : 0;

    pawl__timers_restore_forget(image->timers, slot);
    pawl__deferral_restore_cut(image->deferrals, slot, 0);
    pawl__table_restore_forget(image->table, slot, size);
}

/* The slot, with this life and no other in it. */
static struct slot *hold(struct image *image, const struct entry_header *entry, uint32_t generation)
{
    struct slot *slot = table_restore_slot(image->table, entry->slot);

    if (slot == NULL || generation == 0) {
        fail_entry(image, entry,
                   slot == NULL ? "names an impossible slot"
                                : "says generation 0, which no task has");
        return NULL;
    }
    /* relaxed, here and below: nobody reads yet. */
    if (slot->mark != 0 && load_relaxed(&slot->generation) != generation)
        forget(image, slot);
    if (slot->mark == 0) {
        store_relaxed(&slot->generation, generation);
        slot->history = 0;
        slot->mark = RESTORED_HELD;
    }
    return slot;
}

static int end_life(struct image *image, const struct entry_step *step)
{
    struct slot *slot = hold(image, &step->header, step->generation);

    if (slot == NULL)
        return -EBADMSG;
    forget(image, slot);
    store_relaxed(&slot->generation, step->generation + 1);
    return 0;
}

/* What the short way does, for a life that is known. */
static inline void store_step(struct image *image, struct slot *slot, const struct entry_step *step,
                              const struct image_machine *machine, unsigned flags,
                              const uint64_t *words)
{
    _Atomic uint64_t *context = table_context(image->table, slot, machine->context_size);

    for (uint32_t i = 0; i < machine->context_words; i++)
        store_relaxed(&context[i], words[i]);
    slot->history = step->history;
    if ((step->header.flags & ENTRY_EXTERNAL) != 0)
        store_relaxed(&slot->since, image->since);
    else if (unlikely((step->header.flags & ENTRY_SINCE) != 0))
        store_relaxed(&slot->since, (uint32_t)(step->words[0] >> SINCE_SHIFT));
    store_relaxed(&slot->head, head_make(step->version, flags, machine->number, step->state));
}

/*
 * A life that begins, that was not known, or that takes a form which the short way does not have.
 */
static int step_slow(struct image *image, const struct entry_step *step,
                     const struct image_machine *machine)
{
    const unsigned born = ENTRY_CREATED | ENTRY_RESERVED | ENTRY_IMAGE;
    const bool reserved = (step->header.flags & ENTRY_RESERVED) != 0;
    struct slot *slot = hold(image, &step->header, step->generation);
    const uint64_t *words;
    uint32_t count;

    if (slot == NULL)
        return -EBADMSG;
    if ((slot->mark & RESTORED_STATE) != 0 &&
        ((slot->mark & RESTORED_FOREIGN) != 0
             ? slot->extension != step->machine
             : !machine->known || head_machine(load_relaxed(&slot->head)) != machine->number))
        return fail_entry(image, &step->header, "changes its task's machine");
    slot->mark |= RESTORED_STATE;
    if (!machine->known) {
        slot->mark |= RESTORED_FOREIGN;
        slot->extension = step->machine;
        if ((step->header.flags & born) != 0)
            slot->mark |= RESTORED_BORN;
        return 0;
    }
    words = entry_context(step, &count);
    if (count != machine->context_words)
        return fail_entry(image, &step->header, "has a context of another size than its machine's");
    if ((slot->mark & RESTORED_BORN) == 0) {
        store_relaxed(&slot->head, head_make(0, 0, machine->number, 0));
        if ((step->header.flags & born) == 0)
            return 0; /* its end will follow */
        if (!pawl__table_restore_context(image->table, slot, machine->context_size))
            return pawl__image_fail(image, -ENOSPC, "there is no room for a context of slot %u",
                                    step->header.slot);
        slot->mark |= RESTORED_BORN;
    }
    if ((step->header.flags & (ENTRY_CREATED | ENTRY_RESERVED)) != 0)
        store_relaxed(&slot->since, image->since);
    /* The journal knows of it: if its creation is refused, that is written down too. */
    store_step(image, slot, step, machine, reserved ? SLOT_RESERVED | SLOT_RECORDED : SLOT_ALIVE,
               words);
    return 0;
}

static inline int apply_step(struct image *image, const struct entry_step *step)
{
    const unsigned slow = ENTRY_CREATED | ENTRY_ENDED | ENTRY_RESERVED;
    const struct image_machine *machine = &image->machines[step->machine];
    const uint64_t *words;
    struct slot *slot;
    uint32_t count;

    if (unlikely(step->machine >= image->machines_count))
        return fail_entry(image, &step->header, "has a machine that the manifest does not know");
    if (unlikely((step->header.flags & slow) != 0))
        return (step->header.flags & ENTRY_ENDED) != 0 ? end_life(image, step)
                                                       : step_slow(image, step, machine);
    slot = table_restore_slot(image->table, step->header.slot);
    words = entry_context(step, &count);
    /* relaxed: nobody reads yet. A reserved task's first step comes with ENTRY_CREATED. */
    if (unlikely(slot == NULL || (slot->mark & RESTORED_BORN) == 0 ||
                 load_relaxed(&slot->generation) != step->generation ||
                 head_machine(load_relaxed(&slot->head)) != machine->number ||
                 count != machine->context_words || !machine->known))
        return step_slow(image, step, machine);
    store_step(image, slot, step, machine, SLOT_ALIVE, words);
    return 0;
}

/* ---- What belongs to a life ---- */

/* Whether what an entry adds to a life is worth keeping. */
static bool is_worth(const struct slot *slot)
{
    return (slot->mark & (RESTORED_STATE | RESTORED_BORN)) != RESTORED_STATE;
}

static int apply_key(struct image *image, const struct entry_key *key)
{
    struct slot *slot = hold(image, &key->header, key->generation);

    if (slot == NULL)
        return -EBADMSG;
    if (load_relaxed(&slot->key) != 0 || !is_worth(slot)) /* a life has one key */
        return 0;
    if (pawl__table_restore_key(image->table, slot, key->header.slot, key->bytes, key->size) != 0)
        return pawl__image_fail(image, -ENOSPC, "there is no room for the key of slot %u",
                                key->header.slot);
    return 0;
}

static int apply_timers(struct image *image, const struct entry_timers *entry)
{
    struct slot *slot = hold(image, &entry->header, entry->generation);

    if (slot == NULL)
        return -EBADMSG;
    pawl__timers_restore_forget(image->timers, slot);
    if (!is_worth(slot))
        return 0;
    /* The list grows at its head: so it comes to stand as it was. */
    for (uint32_t i = entry->count; i-- > 0;)
        if (!pawl__timers_restore_add(image->timers, slot, entry->header.slot,
                                      (unsigned)entry->timers[i].timer, entry->timers[i].expiry_ns))
            return fail_memory(image, &entry->header);
    return 0;
}

int pawl__restore_event(const struct entry_event *entry, struct pawl_event *event)
{
    *event = (struct pawl_event){.task = {entry->task},
                                 .code = entry->code,
                                 .flags = entry->flags,
                                 .tag = entry->tag,
                                 .arg = {entry->arg[0], entry->arg[1]}};
    if ((entry->flags & PAWL_EVENT_BUFFER) != 0) {
        struct pawl_buffer *buffer = pawl_buffer_create(entry->size);

        if (buffer == NULL)
            return -ENOMEM;
        memcpy(pawl_buffer_bytes(buffer), entry->payload, entry->size);
        event->arg[0] = (uint64_t)(uintptr_t)buffer;
    }
    return 0;
}

static int apply_defer(struct image *image, const struct entry_defer *entry)
{
    struct slot *slot = hold(image, &entry->header, entry->generation);
    struct pawl_event event;

    if (slot == NULL)
        return -EBADMSG;
    if ((entry->header.flags & ENTRY_RESET) != 0)
        pawl__deferral_restore_cut(image->deferrals, slot, 0);
    else if (entry->count != 0)
        pawl__deferral_restore_cut(image->deferrals, slot, entry->count - 1);
    if ((entry->header.flags & ENTRY_EMPTY) != 0 || !is_worth(slot))
        return 0;
    if (pawl__restore_event(&entry->event, &event) != 0)
        return fail_memory(image, &entry->header);
    /* The port that wanted to know is gone. */
    event.flags &= (uint16_t)~PAWL_EVENT_COMPLETE;
    if (!pawl__deferral_restore_add(image->deferrals, slot, &event)) {
        event_drop_buffer(&event);
        return fail_memory(image, &entry->header);
    }
    return 0;
}

/* ---- What belongs to the shard ---- */

static int apply_send(struct image *image, const struct entry_send *entry)
{
    const uint32_t to = id_shard((struct pawl_task){entry->event.task});
    const enum durable_class klass =
        (entry->event.flags & PAWL_EVENT_CONTROL) != 0 ? DURABLE_CONTROL : DURABLE_ORDINARY;
    struct image_link *link;

    if (to >= image->shards)
        return fail_entry(image, &entry->header, "sends to a shard that the store does not have");
    link = &image->links[to];
    if (!pawl__sends_add(&link->sends[klass], entry))
        return fail_memory(image, &entry->header);
    pawl__sends_trim(&link->sends[klass],
                     to == image->number ? link->taken[klass] : link->confirmed[klass]);
    return 0;
}

static int apply_mark(struct image *image, const struct entry_mark *mark)
{
    struct image_link *link;
    uint64_t *value;

    if (mark->peer >= image->shards)
        return fail_entry(image, &mark->header, "marks a shard that the store does not have");
    link = &image->links[mark->peer];
    value =
        mark->what == MARK_TAKEN ? &link->taken[mark->control] : &link->confirmed[mark->control];
    if (mark->value > *value)
        *value = mark->value;
    if (mark->what == MARK_CONFIRMED || mark->peer == image->number)
        pawl__sends_trim(&link->sends[mark->control], *value);
    return 0;
}

static int floors_reach(struct table_floors *floors, uint32_t run)
{
    const uint32_t count = (uint32_t)round_up_power_of_two((uint64_t)run + 1);
    uint32_t *runs;

    if (run < floors->runs_count)
        return 0;
    runs = realloc(floors->runs, count * sizeof(*runs));
    if (runs == NULL)
        return -ENOMEM;
    memset(runs + floors->runs_count, 0, (count - floors->runs_count) * sizeof(*runs));
    floors->runs = runs;
    floors->runs_count = count;
    return 0;
}

static int apply_floor(struct image *image, const struct entry_floor *entry)
{
    struct table_floors *floors = &image->floors;
    const uint32_t first = entry->header.slot / SLAB_RESTORE_RUN;
    const uint32_t last = (entry->header.slot + (entry->count - 1)) / SLAB_RESTORE_RUN;

    if (floors_reach(floors, last) != 0)
        return fail_memory(image, &entry->header);
    for (uint32_t run = first; run <= last; run++)
        if (floors->runs[run] < entry->generation)
            floors->runs[run] = entry->generation;
    return 0;
}

static int apply_alias(struct image *image, const struct entry_alias *entry)
{
    if (image->aliases_count == image->aliases_capacity) {
        const size_t capacity = 2 * image->aliases_capacity + 16;
        struct entry_alias *aliases = realloc(image->aliases, capacity * sizeof(*aliases));

        if (aliases == NULL)
            return fail_memory(image, &entry->header);
        image->aliases = aliases;
        image->aliases_capacity = capacity;
    }
    image->aliases[image->aliases_count++] = *entry;
    return 0;
}

/* ---- A frame ---- */

static int apply_other(struct image *image, const struct entry_header *entry)
{
    switch ((enum entry_type)entry->type) {
    case ENTRY_STEP:
        break;
    case ENTRY_KEY:
        return apply_key(image, (const void *)entry);
    case ENTRY_TIMERS:
        return apply_timers(image, (const void *)entry);
    case ENTRY_DEFER:
        return apply_defer(image, (const void *)entry);
    case ENTRY_SEND:
        return apply_send(image, (const void *)entry);
    case ENTRY_MARK:
        return apply_mark(image, (const void *)entry);
    case ENTRY_FLOOR:
        return apply_floor(image, (const void *)entry);
    case ENTRY_ALIAS:
        return apply_alias(image, (const void *)entry);
    }
    return apply_step(image, (const void *)entry);
}

static bool has_address(const struct image *image, uint32_t index)
{
    const struct slab *slots = &image->table->slots;

    return index >> slots->granule_shift < slots->granules_made;
}

static inline void fetch_slot(const struct image *image, const struct entry_header *entry)
{
    if (likely(has_address(image, entry->slot)))
        prefetch_own(table_slot(image->table, entry->slot));
}

/* The slot is here by now, and says where its context is. */
static void fetch_context(const struct image *image, const struct entry_header *entry)
{
    const struct entry_step *step = (const void *)entry;
    const struct image_machine *machine;
    struct slot *slot;

    if (entry->type != ENTRY_STEP || step->machine >= image->machines_count ||
        !has_address(image, entry->slot))
        return;
    machine = &image->machines[step->machine];
    slot = table_slot(image->table, entry->slot);
    if (machine->context_size > CONTEXT_INLINE && machine->known &&
        (slot->mark & (RESTORED_BORN | RESTORED_FOREIGN)) == RESTORED_BORN &&
        head_machine(load_relaxed(&slot->head)) == machine->number) {
        const _Atomic uint64_t *context = table_context(image->table, slot, machine->context_size);

        prefetch_own(context);
        if (machine->context_size > CACHE_LINE)
            prefetch_own(context + CACHE_LINE / sizeof(*context));
    }
}

int pawl__image_apply(struct image *image, const void *entries, size_t size, uint64_t time_ns)
{
    const struct entry_header *ahead = entry_next(entries, size, NULL);
    const struct entry_header *middle = ahead;
    uint32_t lead = 0; /* entries between the one applied and `ahead` */
    uint64_t applied = 0;
    int error = 0;

    image->since = (uint32_t)(time_ns >> SINCE_SHIFT);
    if (time_ns > image->time_ns)
        image->time_ns = time_ns;
    for (const struct entry_header *entry = ahead; entry != NULL && error == 0;
         entry = entry_next(entries, size, entry)) {
        for (; ahead != NULL && lead < AHEAD; lead++) {
            fetch_slot(image, ahead);
            if (image->has_blocks && lead >= AHEAD / 2) {
                fetch_context(image, middle);
                middle = entry_next(entries, size, middle);
            }
            ahead = entry_next(entries, size, ahead);
        }
        lead--;
        applied++;
        error = likely(entry->type == ENTRY_STEP) ? apply_step(image, (const void *)entry)
                                                  : apply_other(image, entry);
    }
    image->entries += applied;
    return error;
}
