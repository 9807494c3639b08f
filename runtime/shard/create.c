#include "shard/create.h"

#include <errno.h>
#include <string.h>

#include "shard/durable.h"
#include "task/event.h"

int pawl__create_check(const struct shard_machine *machines, uint32_t machine_count,
                       uint32_t shard_count, const struct pawl_task_spec *spec)
{
    if (spec->machine >= machine_count)
        return -EINVAL;
    if (spec->context_size > machines[spec->machine].context_size)
        return -EINVAL;
    if (spec->context_size > 0 && spec->context == NULL)
        return -EINVAL;
    if (spec->payload_size > PAWL_PAYLOAD_MAX || (spec->payload_size > 0 && spec->payload == NULL))
        return -EINVAL;
    if (spec->key != NULL)
        return spec->key_size >= 1 && spec->key_size <= KEY_SIZE_MAX ? 0 : -EINVAL;
    if (spec->key_size != 0)
        return -EINVAL;
    return spec->shard < shard_count || spec->shard == PAWL_ANY_SHARD ? 0 : -EINVAL;
}

uint32_t pawl__create_home(uint64_t key_seed, uint32_t shard_count,
                           const struct pawl_task_spec *spec, uint32_t any)
{
    if (spec->key != NULL)
        return index_home(index_hash(key_seed, spec->key, spec->key_size), shard_count);
    return spec->shard == PAWL_ANY_SHARD ? any : spec->shard;
}

int pawl__create_request(const struct pawl_task_spec *spec, uint32_t shard,
                         struct pawl_event *event)
{
    const size_t bytes = spec->key_size + spec->context_size + spec->payload_size;
    struct pawl_buffer *buffer;
    struct create_request *request;

    *event =
        (struct pawl_event){.task = id_make(shard, 0, spec->machine), .code = PAWL_CODE_CREATE};
    if (bytes == 0 && spec->arg[0] == 0 && spec->arg[1] == 0)
        return 0;
    buffer = pawl_buffer_create(sizeof(*request) + bytes);
    if (buffer == NULL)
        return -ENOMEM;
    request = pawl_buffer_bytes(buffer);
    memcpy(request->arg, spec->arg, sizeof(request->arg));
    request->key_size = (uint32_t)spec->key_size;
    request->context_size = (uint32_t)spec->context_size;
    if (spec->key_size > 0)
        memcpy(request->bytes, spec->key, spec->key_size);
    if (spec->context_size > 0)
        memcpy(request->bytes + spec->key_size, spec->context, spec->context_size);
    if (spec->payload_size > 0)
        memcpy(request->bytes + spec->key_size + spec->context_size, spec->payload,
               spec->payload_size);
    event->flags = PAWL_EVENT_BUFFER;
    event->arg[0] = (uint64_t)(uintptr_t)buffer;
    return 0;
}

/* Writes the first bytes of a reserved task's context; nobody can see it yet. */
static void context_write(struct table *table, struct slot *slot, uint32_t context_size,
                          const void *bytes, size_t size)
{
    _Atomic uint64_t *words = table_context(table, slot, context_size);

    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;

        memcpy(&word, (const char *)bytes + at, size - at < 8 ? size - at : 8);
        store_release(&words[at / 8], word);
    }
}

/* The slot's generation is one that no task of an earlier epoch had. False: it has none left, and is to be retired. */
static bool begin_above_floor(struct shard *shard, struct slot *slot, uint32_t index)
{
    const uint32_t now = load_relaxed(&slot->generation); /* relaxed: our own */
    const uint32_t generation = pawl__durable_generation(shard, index, now);

    if (likely(generation == now))
        return true;
    store_release(&slot->generation, generation != 0 ? generation : GENERATION_MAX - 1);
    return generation != 0;
}

/* What a new task writes to a journal. */
#define RESERVE_BYTES                                                                              \
    (sizeof(struct entry_key) + KEY_SIZE_MAX + sizeof(struct entry_step) + CONTEXT_MAX +           \
     sizeof(struct entry_floor))

/*
 * A slot for the spec on this shard, with key and context, or 0 and *error. On -EEXIST *task is the
 * task that has the key.
 */
static uint32_t reserve(struct shard *shard, const struct pawl_task_spec *spec,
                        enum durable_room room, int *error, struct pawl_task *task)
{
    const struct shard_machine *machine = &shard->machines[spec->machine];
    struct slot *slot;
    uint32_t index, key, taken_slot, taken_generation;

    if (machine->machine->durability != PAWL_DURABILITY_MEMORY) {
        *error = pawl__durable_admit(shard, RESERVE_BYTES, room);
        if (*error != 0)
            return 0;
    }
    index = pawl__table_reserve(&shard->table, spec->machine, machine->context_size);
    if (index == 0) {
        const struct slab *slots = &shard->table.slots;

        *error = slab_live(slots) >= slots->objects_max ? -ENOSPC : -ENOMEM;
        return 0;
    }
    slot = table_slot(&shard->table, index);
    if (shard->durable != NULL && !begin_above_floor(shard, slot, index)) {
        *error = -ENOSPC;
        pawl__table_release(&shard->table, index, machine->context_size);
        return 0;
    }
    *task = shard_task(shard, slot, index);
    if (spec->key != NULL) {
        *error = index_insert(&shard->table.keys, spec->key, spec->key_size, index,
                              id_generation(*task), &key, &taken_slot, &taken_generation);
        if (*error != 0) {
            if (*error == -EEXIST)
                *task = id_make(shard->number, taken_generation, taken_slot);
            else
                *task = PAWL_NO_TASK;
            pawl__table_release(&shard->table, index, machine->context_size);
            return 0;
        }
        store_release(&slot->key, key);
    }
    context_write(&shard->table, slot, machine->context_size, spec->context, spec->context_size);
    if (shard->durable != NULL)
        pawl__durable_floor(shard, index, id_generation(*task));
    *error = 0;
    return index;
}

/* The request as a spec whose pointers lead into the event's buffer. */
static struct pawl_task_spec spec_of(const struct pawl_event *event)
{
    struct pawl_task_spec spec = {.machine = id_slot(event->task)};

    if ((event->flags & PAWL_EVENT_BUFFER) != 0) {
        const struct create_request *request = pawl_buffer_bytes(event_buffer(event));

        memcpy(spec.arg, request->arg, sizeof(spec.arg));
        spec.key = request->key_size > 0 ? request->bytes : NULL;
        spec.key_size = request->key_size;
        spec.context = request->bytes + request->key_size;
        spec.context_size = request->context_size;
        spec.payload = request->bytes + request->key_size + request->context_size;
        spec.payload_size = pawl_buffer_size(event_buffer(event)) - sizeof(*request) -
                            request->key_size - request->context_size;
    }
    return spec;
}

/* What the entry actions see. Flags say how the creator learns of it; the buffer stays the event's. */
static struct pawl_event first_event(struct pawl_task task, const uint64_t arg[2])
{
    return (struct pawl_event){.task = task, .code = PAWL_CODE_CREATE, .arg = {arg[0], arg[1]}};
}

static __attribute__((noinline)) void create_record(struct shard *shard, uint32_t slot_index)
{
    pawl__durable_step(shard, slot_index, PAWL_CODE_CREATE, ENTRY_CREATED | ENTRY_EXTERNAL);
    shard->durable->tasks++;
}

void pawl__create_alive(struct shard *shard, uint32_t slot_index, const struct transition *birth)
{
    struct slot *slot = table_slot(&shard->table, slot_index);
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */

    slot_write_begin(slot, head);
    store_release(&slot->since, shard->since);
    slot_write_end(slot, head, SLOT_ALIVE, birth->target);
    if (unlikely(shard->machines[head_machine(head)].machine->durability != PAWL_DURABILITY_MEMORY))
        create_record(shard, slot_index);
    shard->count.created++;
    shard->count.transitions++;
}

/* The first step of a reserved task, with the result in the shard's create_* fields. */
static void live(struct shard *shard, uint32_t index, struct pawl_task *task,
                 const struct pawl_task_spec *spec)
{
    const struct transition *birth = shard->machines[spec->machine].birth;
    struct slot *slot = table_slot(&shard->table, index);
    struct pawl_event first;

    shard->create_error = 0;
    shard->step.machine = shard->machines[spec->machine].machine; /* whose durability is told */
    if (birth != NULL) {
        pawl__create_alive(shard, index, birth);
        shard->create_state = birth->target;
        /* relaxed: our own */
        shard->create_version = head_version(load_relaxed(&slot->head)) >> 1;
        return;
    }
    first = first_event(*task, spec->arg);
    shard->create_payload = spec->payload_size > 0 ? spec->payload : NULL;
    shard->create_payload_size = spec->payload_size;
    if (pawl__step_create(shard, index, &first, SOURCE_CREATE) == VERDICT_REFUSED)
        *task = PAWL_NO_TASK;
    shard->create_payload = NULL;
    shard->create_payload_size = 0;
}

void pawl__create(struct shard *shard, const struct pawl_event *event, uint16_t source)
{
    struct pawl_task task = PAWL_NO_TASK;
    struct pawl_task_spec spec;
    uint32_t index;
    int error;

    if (id_generation(event->task) != 0) { /* reserved by a step of this shard */
        pawl__step_create(shard, id_slot(event->task), event, source);
        return;
    }
    spec = spec_of(event);
    index =
        reserve(shard, &spec, (event->flags & PAWL_EVENT_DURABLE) != 0 ? ROOM_INSIDE : ROOM_PLAIN,
                &error, &task);
    if (index == 0) {
        pawl__report_failed(shard, event, source, task, error);
        return;
    }
    live(shard, index, &task, &spec);
    if (shard->create_error != 0)
        pawl__report_failed(shard, event, source, task, shard->create_error);
    else
        pawl__report_done(shard, event, source, task, shard->create_state, shard->create_version,
                          task.id);
}

int pawl__create_direct(struct shard *shard, const struct pawl_task_spec *spec,
                        struct pawl_task *task)
{
    uint32_t index;
    int error;

    index = reserve(shard, spec, ROOM_PLAIN, &error, task);
    if (index == 0)
        return error;
    live(shard, index, task, spec);
    return shard->create_error;
}

/* Creation that travels to another shard, with an answer if one is wanted. */
static int stage_request(struct pawl_step *step, const struct pawl_task_spec *spec, uint32_t home,
                         uint16_t reply_code)
{
    struct pawl_event event;
    int error = pawl__create_request(spec, home, &event);

    if (error != 0)
        return error;
    if (reply_code != PAWL_NO_REPLY) {
        event.flags |= PAWL_EVENT_ASK;
        event.arg[1] = pawl_step_task(step).id;
        event.tag = reply_code;
    }
    error = pawl__step_stage(step, &event);
    if (error != 0)
        event_drop_buffer(&event);
    return error;
}

int pawl__create_staged(struct pawl_step *step, const struct pawl_task_spec *spec,
                        uint16_t reply_code, struct pawl_task *task)
{
    struct shard *shard = step->shard;
    struct pawl_event first;
    uint32_t home, index;
    int error;

    *task = PAWL_NO_TASK;
    error = pawl__create_check(shard->machines, shard->machine_count, shard->shard_count, spec);
    if (error != 0)
        return error;
    if (spec->payload_size > 0) /* the step would have to keep it */
        return -EINVAL;
    home = pawl__create_home(shard->table.keys.seed, shard->shard_count, spec, shard->number);
    if (home != shard->number)
        return stage_request(step, spec, home, reply_code);
    if (step->creates_count == STEP_EMIT_MAX)
        return -ENOSPC;
    index = reserve(shard, spec, ROOM_PLAIN, &error, task);
    if (index == 0)
        return error;
    step->creates[step->creates_count++] = index;
    step->staged |= STAGED_CREATES;
    if (shard->machines[spec->machine].birth != NULL)
        return 0; /* it comes to life when this step commits */
    first = first_event(*task, spec->arg);
    return pawl__step_stage(step, &first);
}
