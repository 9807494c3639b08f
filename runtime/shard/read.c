/*
 * read.c - reading tasks from any thread while their shards run: peek, find, walk.
 *
 * Layer: shard. No lock and no grace period: slots are type-stable and say by their head whether
 * what was read is of one piece (task/slot.h). Only the key index needs a read section, because its
 * arrays are replaced when it grows.
 *
 * Progress: lock-free; a read is repeated only when the task made a step meanwhile. A shard that
 * loses its core in the few stores of a commit makes the reader yield.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "shard/runtime.h"

/* Tries before the reader gives its core away. */
#define TRIES_BEFORE_YIELD 64u

/* Coarse is enough for ages in steps of 17 ms; a coarse now before the opening is the opening. */
static uint32_t since_now(const struct pawl_runtime *runtime)
{
    const struct pawl_clock *clock = runtime->clock;
    const uint64_t now =
        clock->coarse_ns != NULL ? clock->coarse_ns(clock->user) : clock->now_ns(clock->user);

    /* open_ns may lie before the clock's beginning, and a coarse clock a little behind it. */
    return (int64_t)(now - runtime->open_ns) > 0
               ? (uint32_t)((now - runtime->open_ns) >> SINCE_SHIFT)
               : 0;
}

/* Where a context's words are; NULL when what was read cannot be right. */
static const _Atomic uint64_t *context_words(const struct shard *shard, const struct slot *slot,
                                             uint32_t context_size)
{
    if (context_size <= CONTEXT_INLINE)
        return slot->context;
    return slab_peek(&shard->table.blocks[block_class(context_size)],
                     (uint32_t)load_acquire(&slot->context[0])); /* (R) */
}

/* Copies what the view has room for; false: tried too soon. */
static bool read_context(const struct shard *shard, const struct slot *slot, struct pawl_view *view)
{
    const uint32_t size = shard->machines[view->machine].context_size;
    const size_t wanted = view->context_capacity < size ? view->context_capacity : size;
    const _Atomic uint64_t *words;
    char *to = view->context;
    size_t at = 0;

    view->context_size = size;
    if (view->context == NULL || wanted == 0)
        return true;
    words = context_words(shard, slot, size);
    if (words == NULL)
        return false;
    for (; at + 8 <= wanted; at += 8) {
        const uint64_t word = load_acquire(&words[at / 8]); /* (R) */

        memcpy(to + at, &word, sizeof(word));
    }
    if (at < wanted) {
        const uint64_t word = load_acquire(&words[at / 8]); /* (R) */

        memcpy(to + at, &word, wanted - at);
    }
    return true;
}

/*
 * One attempt. Returns 0; -ESTALE: the slot has no live task (of that generation, if it is not 0);
 * or -EAGAIN: it was written meanwhile.
 */
static int try_read(const struct pawl_runtime *runtime, const struct shard *shard,
                    const struct slot *slot, uint32_t index, uint32_t generation,
                    struct pawl_view *view)
{
    const uint32_t life = load_acquire(&slot->generation); /* (R) */
    const uint64_t head = load_acquire(&slot->head);       /* h1: pairs with (E) */
    uint32_t key, since, now;

    if ((head_version(head) & 1) != 0)
        return -EAGAIN;
    if ((head_flags(head) & SLOT_ALIVE) == 0)
        return -ESTALE;
    if (generation != 0 && life != generation)
        return -ESTALE;
    view->task = id_make(shard->number, life, index);
    view->machine = head_machine(head);
    view->state = head_state(head);
    view->version = head_version(head) >> 1;
    since = load_acquire(&slot->since); /* (R) */
    now = since_now(runtime);
    view->age_ns = now > since ? (uint64_t)(now - since) << SINCE_SHIFT : 0;
    key = load_acquire(&slot->key); /* (R) */
    view->key_size = key == 0 ? 0 : (uint32_t)index_key(&shard->table.keys, key, view->key);
    if (!read_context(shard, slot, view))
        return -EAGAIN;
    /* Another life of the slot may have come to the same head; never to the same generation. */
    if (load_acquire(&slot->generation) != life) /* (R) */
        return -EAGAIN;
    return load_relaxed(&slot->head) == head ? 0 : -EAGAIN; /* h2 */
}

static void relax(unsigned tries)
{
    if (tries % TRIES_BEFORE_YIELD == 0)
        sched_yield();
    else
        cpu_relax();
}

static int read_slot(const struct pawl_runtime *runtime, const struct shard *shard, uint32_t index,
                     uint32_t generation, struct pawl_view *view)
{
    const struct slot *slot = slab_peek(&shard->table.slots, index);
    int error;

    if (slot == NULL)
        return -ESTALE;
    for (unsigned tries = 1;; tries++) {
        error = try_read(runtime, shard, slot, index, generation, view);
        if (error != -EAGAIN)
            return error;
        relax(tries);
    }
}

int pawl_task_peek(const struct pawl_runtime *runtime, struct pawl_task task,
                   struct pawl_view *view)
{
    if (unlikely(runtime->aliases.count > 0))
        task = aliases_resolve(&runtime->aliases, task);
    if (id_shard(task) >= runtime->shard_count || id_slot(task) == 0 || id_generation(task) == 0)
        return -ESTALE;
    return read_slot(runtime, runtime->shards[id_shard(task)], id_slot(task), id_generation(task),
                     view);
}

/* One attempt, as try_read, at no more than the claim. */
static int try_claim(const struct shard *shard, const struct slot *slot, uint32_t generation,
                     struct pawl_claim *claim, unsigned *machine, unsigned *state)
{
    const uint32_t life = load_acquire(&slot->generation); /* (R) */
    const uint64_t head = load_acquire(&slot->head);       /* h1: pairs with (E) */
    const struct shard_machine *of = &shard->machines[head_machine(head)];
    const _Atomic uint64_t *words;

    if ((head_version(head) & 1) != 0)
        return -EAGAIN;
    if ((head_flags(head) & SLOT_ALIVE) == 0 || of->staged == 0 || life != generation)
        return -ESTALE;
    words = context_words(shard, slot, of->context_size);
    if (words == NULL)
        return -EAGAIN;
    words_read((uint64_t *)(void *)claim, words, sizeof(*claim) / 8);
    *machine = head_machine(head);
    *state = head_state(head);
    if (load_acquire(&slot->generation) != generation) /* (R) */
        return -EAGAIN;
    return load_relaxed(&slot->head) == head ? 0 : -EAGAIN; /* h2 */
}

int pawl__claim_peek(const struct pawl_runtime *runtime, struct pawl_task task,
                     struct pawl_claim *claim, unsigned *machine, unsigned *state)
{
    const struct shard *shard;
    const struct slot *slot;
    int error;

    if (unlikely(runtime->aliases.count > 0))
        task = aliases_resolve(&runtime->aliases, task);
    if (id_shard(task) >= runtime->shard_count || id_slot(task) == 0)
        return -ESTALE;
    shard = runtime->shards[id_shard(task)];
    slot = slab_peek(&shard->table.slots, id_slot(task));
    if (slot == NULL)
        return -ESTALE;
    for (unsigned tries = 1;; tries++) {
        error = try_claim(shard, slot, id_generation(task), claim, machine, state);
        if (likely(error != -EAGAIN))
            return error;
        relax(tries);
    }
}

/* A key is bound from the reservation on; a task can be found once it is alive. */
static bool is_alive(const struct shard *shard, uint32_t index, uint32_t generation)
{
    const struct slot *slot = slab_peek(&shard->table.slots, index);

    return slot != NULL && (head_flags(load_acquire(&slot->head)) & SLOT_ALIVE) != 0 &&
           load_acquire(&slot->generation) == generation;
}

int pawl_task_find(const struct pawl_runtime *runtime, const void *key, size_t key_size,
                   struct pawl_task *task)
{
    const struct shard *shard;
    uint32_t index, generation;
    bool found;

    if (key == NULL || key_size < 1 || key_size > KEY_SIZE_MAX)
        return -EINVAL;
    shard = runtime->shards[index_home(index_hash(runtime->key_seed, key, key_size),
                                       runtime->shard_count)];
    pawl__read_enter();
    found = index_find(&shard->table.keys, key, key_size, &index, &generation);
    pawl__read_exit();
    if (!found || !is_alive(shard, index, generation))
        return -ENOENT;
    *task = id_make(shard->number, generation, index);
    return 0;
}

static bool may_match(const struct pawl_filter *filter, uint64_t head)
{
    return (head_flags(head) & SLOT_ALIVE) != 0 &&
           (filter->machine == PAWL_ANY || filter->machine == head_machine(head)) &&
           (filter->state == PAWL_ANY || filter->state == head_state(head));
}

static bool matches(const struct pawl_filter *filter, const struct pawl_view *view)
{
    return (filter->machine == PAWL_ANY || filter->machine == view->machine) &&
           (filter->state == PAWL_ANY || filter->state == view->state) &&
           view->age_ns >= filter->older_than_ns;
}

int pawl_task_walk(const struct pawl_runtime *runtime, struct pawl_walk *walk,
                   const struct pawl_filter *filter, struct pawl_view *views, size_t capacity,
                   size_t budget)
{
    static const struct pawl_filter all = {.machine = PAWL_ANY, .state = PAWL_ANY};
    size_t found = 0;

    if (filter == NULL)
        filter = &all;
    if (capacity > INT32_MAX)
        capacity = INT32_MAX;
    while (walk->shard < runtime->shard_count && found < capacity && budget > 0) {
        const struct shard *shard = runtime->shards[walk->shard];
        const struct slab *slots = &shard->table.slots;
        const uint32_t index = slab_next_used(slots, walk->slot);

        budget--;
        if (index >= slab_top(slots)) {
            walk->shard++;
            walk->slot = 0;
            continue;
        }
        walk->slot = index + 1;
        if (index != 0 &&
            may_match(filter, load_acquire(&((struct slot *)slab_at(slots, index))->head)) &&
            read_slot(runtime, shard, index, 0, &views[found]) == 0 &&
            matches(filter, &views[found]))
            found++;
    }
    walk->done = walk->shard == runtime->shard_count;
    return (int)found;
}
