#include "shard/restore_machines.h"

#include <errno.h>
#include <string.h>

#include <pawl/machine.h>
#include <stdio.h>

#include "agent/work_machine.h"

static int find_runtime(const struct pawl_runtime *runtime, const char *name)
{
    for (uint32_t i = 0; i < runtime->machine_count; i++)
        if (strcmp(runtime->machines[i].machine->name, name) == 0)
            return (int)i;
    return MACHINE_NONE;
}

static const struct pawl_migration *find_migration(const struct pawl_migration *migrations,
                                                   size_t count,
                                                   const struct manifest_machine *machine)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(migrations[i].machine, machine->name) == 0 &&
            migrations[i].from_hash == machine->hash)
            return &migrations[i];
    return NULL;
}

int pawl__restore_machines_init(struct restore_machines *machines,
                                const struct pawl_runtime *runtime, const struct manifest *manifest,
                                const struct pawl_migration *migrations, size_t migrations_count,
                                void *user, uint32_t *bad)
{
    *machines = (struct restore_machines){.runtime = runtime, .manifest = manifest, .user = user};
    for (uint32_t i = 0; i < manifest->machines_count; i++) {
        const struct manifest_machine *stored = &manifest->machines[i];
        const int number = find_runtime(runtime, stored->name);
        const struct pawl_machine *now =
            number == MACHINE_NONE ? NULL : runtime->machines[number].machine;
        const bool same = now != NULL && now->hash == stored->hash;

        *bad = i;
        if (stored->context_size > CONTEXT_MAX ||
            (same && now->context_size != stored->context_size))
            return -EBADMSG;
        machines->stored[i] =
            (struct image_machine){.context_size = stored->context_size,
                                   .context_words = (stored->context_size + 7) / 8,
                                   .number = (uint8_t)i,
                                   .known = true};
        machines->in_place[i] = machines->stored[i];
        machines->in_place[i].known = same;
        machines->in_place[i].number = same ? (uint8_t)number : 0;
        machines->number[i] = same ? number : MACHINE_NONE;
        if (same || now == NULL || now->durability == PAWL_DURABILITY_MEMORY)
            continue;
        machines->migration[i] = find_migration(migrations, migrations_count, stored);
        if (machines->migration[i] == NULL) {
            machines->migration[i] = pawl__work_migration(stored->name, stored->hash);
            machines->own[i] = machines->migration[i] != NULL;
        }
        if (machines->migration[i] != NULL) {
            machines->number[i] = number;
            machines->changed = true;
        }
    }
    return 0;
}

int pawl__restore_machines_refuse(const struct restore_machines *machines, struct image *image,
                                  uint32_t machine)
{
    const struct manifest_machine *stored = &machines->manifest->machines[machine];
    const int number = find_runtime(machines->runtime, stored->name);

    snprintf(image->fault.where, sizeof(image->fault.where), "shard %u, machine '%.64s'",
             image->number, stored->name);
    if (number == MACHINE_NONE)
        return pawl__image_fail(
            image, -EINVAL,
            "the store has tasks of machine '%.64s' (hash %016llx), which is not among "
            "pawl_options.machines: add it there, or open the store with it once and let its "
            "tasks end",
            stored->name, (unsigned long long)stored->hash);
    return pawl__image_fail(
        image, -EINVAL,
        "the store has tasks of machine '%.64s' with hash %016llx, but the one given has hash "
        "%016llx%s: open the store with the old definition, or give a pawl_migration from "
        "%016llx",
        stored->name, (unsigned long long)stored->hash,
        (unsigned long long)machines->runtime->machines[number].machine->hash,
        machines->runtime->machines[number].machine->durability == PAWL_DURABILITY_MEMORY
            ? " and is memory-only"
            : "",
        (unsigned long long)stored->hash);
}

bool pawl__restore_machines_is_state(const struct pawl_machine *machine, unsigned state)
{
    return state < machine->states_count && machine->states[state].leaf != 0 &&
           machine->states[state].final == 0;
}

int pawl__restore_machines_event(const struct restore_machines *machines, uint32_t machine,
                                 unsigned code)
{
    const struct manifest_machine *stored = &machines->manifest->machines[machine];

    if (machines->migration[machine] == NULL || code >= PAWL_CODE_RUNTIME)
        return (int)code;
    if (code >= stored->events_count)
        return -ENOENT;
    return pawl_machine_event(machines->runtime->machines[machines->number[machine]].machine,
                              stored->events[code]);
}

/* A name may be that of a timer and that of a state with a timeout: the nth stays the nth. */
int pawl__restore_machines_timer(const struct restore_machines *machines, uint32_t machine,
                                 unsigned timer)
{
    const struct manifest_machine *stored = &machines->manifest->machines[machine];
    const struct pawl_machine *now;
    unsigned nth = 0;

    if (machines->migration[machine] == NULL)
        return (int)timer;
    if (timer >= stored->timers_count)
        return -ENOENT;
    now = machines->runtime->machines[machines->number[machine]].machine;
    for (unsigned i = 0; i < timer; i++)
        nth += strcmp(stored->timers[i], stored->timers[timer]) == 0;
    for (unsigned i = 0; i < now->timers_count; i++)
        if (strcmp(now->timers[i].name, stored->timers[timer]) == 0 && nth-- == 0)
            return (int)i;
    return -ENOENT;
}

static int migrate(const struct restore_machines *machines, struct image *image,
                   const struct pawl_migrating *given, uint32_t machine, unsigned *state)
{
    const struct pawl_machine *now = machines->runtime->machines[machines->number[machine]].machine;
    const bool begun = given->old_state[0] != '\0';
    struct pawl_migrating task = *given;
    const int error = machines->migration[machine]->migrate(machines->user, &task);

    if (error != 0)
        return pawl__image_fail(image, -EINVAL,
                                "the migration of machine '%.64s' refused task %016llx in state "
                                "'%.64s' with %d: the store is left as it was",
                                now->name, (unsigned long long)task.task.id, task.old_state, error);
    if (begun && !pawl__restore_machines_is_state(now, task.state))
        return pawl__image_fail(image, -EINVAL,
                                "the migration of machine '%.64s' gave task %016llx state %u, "
                                "which no task can be in: set the number of a leaf that is not "
                                "final",
                                now->name, (unsigned long long)task.task.id, task.state);
    *state = begun ? task.state : 0;
    return 0;
}

int pawl__restore_machines_task(const struct restore_machines *machines, struct image *image,
                                struct slot *slot, uint32_t slot_index, unsigned *state,
                                uint64_t *context)
{
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: nobody reads yet */
    const uint32_t machine = head_machine(head);
    const struct manifest_machine *stored = &machines->manifest->machines[machine];
    const struct image_machine *size = &machines->stored[machine];
    const bool begun = (head_flags(head) & SLOT_ALIVE) != 0;
    uint64_t old[CONTEXT_MAX / 8];
    struct pawl_migrating task;

    *state = head_state(head);
    words_load(old, table_context(image->table, slot, size->context_size), size->context_words);
    if (machines->migration[machine] == NULL) {
        memcpy(context, old, 8u * size->context_words);
        return 0;
    }
    if (begun && *state >= stored->states_count)
        return pawl__image_fail(image, -EBADMSG,
                                "slot %u is in state %u, which machine '%.64s' "
                                "never had: the writer was at fault, not the disk",
                                slot_index, *state, stored->name);
    memset(context, 0, CONTEXT_MAX);
    task = (struct pawl_migrating){
        .task = id_make(image->number, load_relaxed(&slot->generation), slot_index),
        .old_hash = stored->hash,
        .old_state = begun ? stored->states[*state] : "",
        .old_context = old,
        .old_context_size = stored->context_size,
        .context = context,
        .context_size = machines->runtime->machines[machines->number[machine]].context_size,
    };
    return migrate(machines, image, &task, machine, state);
}

/* The buffer holds what it says, and no more than a task of this machine can have. */
static bool is_request(const struct pawl_event *event, uint32_t context_max)
{
    const struct create_request *request = restore_request(event);
    size_t size;

    if (request == NULL)
        return true;
    size = pawl_buffer_size(event_buffer(event));
    return size >= sizeof(*request) && request->key_size <= KEY_SIZE_MAX &&
           request->context_size <= context_max &&
           size - sizeof(*request) == (size_t)request->key_size + request->context_size;
}

int pawl__restore_machines_request(const struct restore_machines *machines, struct image *image,
                                   struct pawl_event *event)
{
    const uint32_t machine = id_slot(event->task);
    const struct create_request *request = restore_request(event);

    if (machine >= machines->manifest->machines_count ||
        !is_request(event, machines->stored[machine].context_size))
        return pawl__image_fail(image, -EBADMSG,
                                "an event asks for a task of machine %u in a way that cannot be: "
                                "the writer was at fault, not the disk",
                                machine);
    if (machines->number[machine] == MACHINE_NONE)
        return pawl__restore_machines_refuse(machines, image, machine);
    /* What the library's own tasks are asked for with is read without belief, and means the same. */
    if (machines->migration[machine] != NULL && !machines->own[machine] && request != NULL &&
        request->context_size > 0)
        return pawl__image_fail(image, -EINVAL,
                                "a task of machine '%.64s' is asked for, with a context of the "
                                "old definition: open the store with that one until no event is "
                                "under way (pawl_drain)",
                                machines->manifest->machines[machine].name);
    event->task = id_make(id_shard(event->task), 0, (uint32_t)machines->number[machine]);
    return 0;
}
