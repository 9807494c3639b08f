/*
 * store_check.c - what must be true of a store's state however it was read: it does not contradict
 * itself, and two ways to it lead to the same hash.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store_image.h"
#include "task/slot.h"

#define RESOLVE_MAX 64 /* changes of the number of shards that an id can have seen */

static uint64_t resolve_once(const struct store_image *image, uint64_t id)
{
    for (uint32_t s = 0; s < image->manifest->shards; s++) {
        const struct image_shard *const shard = &image->shards[s];
        size_t low = 0, high = shard->aliases_count;

        while (low < high) {
            const size_t middle = (low + high) / 2;

            if (shard->aliases[middle].from < id)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < shard->aliases_count && shard->aliases[low].from == id &&
            shard->aliases[low].to != 0)
            return shard->aliases[low].to;
    }
    return id;
}

uint64_t store_resolve(const struct store_image *image, uint64_t id)
{
    for (int i = 0; i < RESOLVE_MAX; i++) {
        const uint64_t next = resolve_once(image, id);

        if (next == id)
            break;
        id = next;
    }
    return id;
}

const struct image_task *store_task(const struct store_image *image, uint64_t id)
{
    const struct pawl_task handle = {store_resolve(image, id)};
    const struct image_task *task;

    if (id_shard(handle) >= image->manifest->shards)
        return NULL;
    task = image_shard_task(&image->shards[id_shard(handle)], id_slot(handle));
    return task && task->generation == id_generation(handle) && image_task_lives(task) ? task
                                                                                       : NULL;
}

bool store_is_under_way(const struct store_image *image, uint32_t from, uint32_t to,
                        unsigned control, uint64_t number)
{
    return number > image->shards[from].links[to].confirmed[control] &&
           number > image->shards[to].links[from].taken[control];
}

/* ---- contradictions -------------------------------------------------------------------------- */

static const char *check_task(const struct manifest *manifest, const struct image_task *task)
{
    const struct manifest_machine *const machine = &manifest->machines[task->machine];

    if ((task->flags & IMAGE_BORN) == 0)
        return "it makes steps, but was never created";
    if ((task->flags & IMAGE_ALIVE) != 0 && task->context_words != (machine->context_size + 7) / 8)
        return "its context is missing";
    for (uint32_t i = 0; i < task->timers_count; i++)
        if (task->timers[i].timer >= machine->timers_count)
            return "it has a timer that its machine does not have";
    return NULL;
}

struct keyed {
    const struct image_task *task;
    uint64_t id;
};

static int keyed_order(const void *a, const void *b)
{
    const struct image_task *const x = ((const struct keyed *)a)->task;
    const struct image_task *const y = ((const struct keyed *)b)->task;

    if (x->key_size != y->key_size)
        return x->key_size < y->key_size ? -1 : 1;
    return memcmp(x->key, y->key, x->key_size);
}

/* Two of them that have one key; the array is sorted. */
static const struct keyed *keyed_twice(const struct keyed *keyed, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (keyed_order(&keyed[i - 1], &keyed[i]) == 0)
            return &keyed[i - 1];
    return NULL;
}

static const char *check_keys(const struct store_image *image, size_t count, char *text,
                              size_t size)
{
    struct keyed *const keyed = malloc((count + 1) * sizeof(*keyed));
    const struct keyed *twice;
    size_t at = 0;

    if (!keyed) {
        snprintf(text, size, "there is no memory to compare %zu keys", count);
        return text;
    }
    for (uint32_t s = 0; s < image->manifest->shards; s++) {
        const struct image_shard *const shard = &image->shards[s];

        for (size_t i = 0; i < shard->tasks_count; i++)
            if (image_task_lives(&shard->tasks[i]) && shard->tasks[i].key_size > 0)
                keyed[at++] =
                    (struct keyed){&shard->tasks[i], image_task_id(shard, &shard->tasks[i])};
    }
    qsort(keyed, at, sizeof(*keyed), keyed_order);
    twice = keyed_twice(keyed, at);
    if (twice)
        snprintf(text, size, "the tasks %016" PRIx64 " and %016" PRIx64 " have one key",
                 twice[0].id, twice[1].id);
    free(keyed);
    return twice ? text : NULL;
}

const char *store_check(const struct store_image *image, char *text, size_t size)
{
    size_t keys = 0;

    for (uint32_t s = 0; s < image->manifest->shards; s++) {
        const struct image_shard *const shard = &image->shards[s];

        for (size_t i = 0; i < shard->tasks_count; i++) {
            const struct image_task *const task = &shard->tasks[i];
            const char *wrong = NULL;

            if (!image_task_lives(task))
                continue;
            wrong = check_task(image->manifest, task);
            if (wrong) {
                snprintf(text, size, "task %016" PRIx64 ": %s", image_task_id(shard, task), wrong);
                return text;
            }
            keys += task->key_size > 0;
        }
    }
    return check_keys(image, keys, text, size);
}

/* ---- the hash -------------------------------------------------------------------------------- */

/* One multiplication a word; bits of the high half come back down. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
    return hash ^ hash >> 32;
}

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    hash = mix(hash, size);
    for (; size > 0; size -= size < 8 ? size : 8, at += 8) {
        uint64_t word = 0;

        memcpy(&word, at, size < 8 ? size : 8);
        hash = mix(hash, word);
    }
    return hash;
}

/* A port that wants to know does not outlive its process: recovery drops that, so it means nothing. */
static uint64_t mix_event(uint64_t hash, const struct image_event *event)
{
    struct entry_event plain = event->event;

    plain.flags &= (uint16_t)~PAWL_EVENT_COMPLETE;
    hash = mix_bytes(hash, &plain, sizeof(plain));
    return mix_bytes(hash, event->event.payload, event->event.size);
}

static uint64_t hash_task(const struct image_shard *shard, const struct image_task *task)
{
    uint64_t hash = mix(image_task_id(shard, task), task->flags & (IMAGE_ALIVE | IMAGE_RESERVED));
    uint64_t timers = 0;

    hash = mix(hash, (uint64_t)task->version << 32 | task->state);
    hash = mix(hash, (uint64_t)task->history << 8 | task->machine);
    hash = mix_bytes(hash, task->key, task->key_size);
    hash = mix_bytes(hash, task->context, 8 * (size_t)task->context_words);
    for (uint32_t i = 0; i < task->timers_count; i++) /* in any order */
        timers += mix(mix(1, task->timers[i].expiry_ns), task->timers[i].timer);
    hash = mix(hash, timers);
    for (size_t i = task->deferred.first; i < task->deferred.count; i++)
        hash = mix_event(hash, task->deferred.at[i]);
    return hash;
}

static uint64_t hash_links(const struct store_image *image, uint32_t from, uint32_t to)
{
    const struct image_link *const link = &image->shards[from].links[to];
    uint64_t sum = mix(mix(from, to), 0);

    for (unsigned control = 0; control < 2; control++) {
        const struct image_events *const sent = &link->sent[control];

        sum = mix(sum, link->taken[control]);
        for (size_t i = sent->first; i < sent->count; i++)
            if (store_is_under_way(image, from, to, control, sent->at[i]->number))
                sum = mix_event(mix(sum, sent->at[i]->number), sent->at[i]);
    }
    return sum;
}

uint64_t store_hash(const struct store_image *image)
{
    uint64_t sum = 0;

    for (uint32_t s = 0; s < image->manifest->shards; s++) {
        const struct image_shard *const shard = &image->shards[s];

        for (size_t i = 0; i < shard->tasks_count; i++)
            if (image_task_lives(&shard->tasks[i]))
                sum += hash_task(shard, &shard->tasks[i]);
        for (size_t i = 0; i < shard->aliases_count; i++)
            sum += mix(mix(2, shard->aliases[i].from), shard->aliases[i].to);
        for (uint32_t to = 0; to < image->manifest->shards; to++)
            sum += hash_links(image, s, to);
    }
    return sum;
}
