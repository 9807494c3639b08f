/*
 * stress_slab.c - one owner allocates, frees and trims through peaks and troughs while readers
 * look at random indexes and walk. A reader must never fault, never believe a torn object, and
 * never see an index's generation go back, though memory is given back and read in again.
 *
 *     stress_slab [SECONDS [SEED]]
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "host/slab.h"

#define OBJECTS 60000u
#define READERS 2u

/* head is generation << 1 | live. The body is written while head says "not live". */
struct object {
    _Atomic uint64_t head;
    _Atomic uint64_t body[2];
    _Atomic uint32_t link;
    uint32_t unused;
};

static struct slab slab;
static _Atomic bool stop;
static _Atomic uint64_t errors;

struct reader {
    pthread_t thread;
    uint64_t seed;
    uint64_t looks;
    uint64_t believed;
};

static void complain(const char *what, uint32_t index)
{
    if (add_relaxed(&errors, 1) < 10)
        fprintf(stderr, "index %" PRIu32 ": %s\n", index, what);
}

static uint64_t body_of(uint32_t index, uint64_t head)
{
    return mix64((uint64_t)index << 32 ^ head);
}

static bool look(uint32_t index, uint64_t *generation)
{
    struct object *object = slab_peek(&slab, index);

    if (object == NULL)
        return false;

    const uint64_t head = load_acquire(&object->head);
    const uint64_t first = load_acquire(&object->body[0]);
    const uint64_t second = load_acquire(&object->body[1]);

    if (head != 0 && head >> 1 < *generation)
        complain("its generation went back", index);
    if (head != 0)
        *generation = head >> 1;
    if ((head & 1) == 0 || load_relaxed(&object->head) != head)
        return false;
    if (first != body_of(index, head) || second != ~first)
        complain("torn", index);
    return true;
}

static void *read_objects(void *argument)
{
    struct reader *reader = argument;
    struct random random = {reader->seed};
    uint64_t *generations = calloc(slab_limit(&slab), sizeof *generations);

    while (!load_relaxed(&stop)) {
        for (unsigned count = 0; count < 1000; count++) {
            const uint32_t index = (uint32_t)random_below(&random, slab_limit(&slab));

            reader->believed += look(index, &generations[index]);
        }
        reader->looks += 1000;
        for (uint32_t index = slab_next_used(&slab, 1); index < slab_top(&slab);
             index = slab_next_used(&slab, index + 1)) {
            if ((random_next(&random) & 15) != 0)
                continue;
            reader->believed += look(index, &generations[index]);
            reader->looks++;
        }
    }
    free(generations);
    return NULL;
}

static void highest_generation(void *user, uint32_t first, uint32_t count, uint32_t *floor)
{
    (void)user;
    for (uint32_t index = first; index < first + count; index++) {
        struct object *object = slab_at(&slab, index);
        const uint64_t generation = load_relaxed(&object->head) >> 1;

        if (generation > *floor)
            *floor = (uint32_t)generation;
    }
}

static uint32_t take(void)
{
    const uint32_t index = slab_alloc(&slab);

    if (index == 0)
        return 0;

    struct object *object = slab_at(&slab, index);
    uint64_t head = load_relaxed(&object->head);

    if (head & 1)
        complain("handed out while live", index);
    if (head == 0)
        head = (uint64_t)slab_floor(&slab, index) << 1;
    head = ((head >> 1) + 1) << 1 | 1;
    store_release(&object->body[0], body_of(index, head));
    store_release(&object->body[1], ~body_of(index, head));
    store_release(&object->head, head);
    return index;
}

static void give(uint32_t index)
{
    struct object *object = slab_at(&slab, index);
    const uint64_t head = load_relaxed(&object->head);

    if ((head & 1) == 0 || load_relaxed(&object->body[0]) != body_of(index, head))
        complain("not what its owner left", index);
    store_release(&object->head, head & ~UINT64_C(1));
    slab_free(&slab, index);
}

/* One peak and one trough; every few objects a turn ends with its trim. */
static uint64_t swing(struct random *random, uint32_t *held, uint32_t *count)
{
    const uint32_t up = (uint32_t)random_below(random, OBJECTS);
    uint64_t trims = 0;

    while (*count < up && (held[*count] = take()) != 0)
        ++*count;

    const uint32_t down = (uint32_t)random_below(random, *count + 1) / 8;

    while (*count > down) {
        /* Mostly the newest, so that high granules fall idle, and some at random. */
        const uint32_t at =
            random_below(random, 8) == 0 ? (uint32_t)random_below(random, *count) : *count - 1;

        give(held[at]);
        held[at] = held[--*count];
        if (*count % 64 == 0)
            trims += slab_trim(&slab);
    }
    while (slab_trim(&slab))
        trims++;
    if (!slab_validate(&slab))
        complain("the slab is not sound", 0);
    return trims;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? atof(argv[1]) : 3;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    const struct slab_options options = {.object_size = sizeof(struct object),
                                         .link_offset = offsetof(struct object, link),
                                         .objects_max = OBJECTS,
                                         .indexes_max = 2 * OBJECTS,
                                         .hooks = {.on_empty = highest_generation}};
    struct reader readers[READERS] = {0};
    struct random random = {seed};
    uint32_t *held = calloc(OBJECTS + 1, sizeof *held);
    uint32_t count = 0;
    uint64_t swings = 0, trims = 0, looks = 0, believed = 0;
    struct timespec begin, now;

    printf("stress_slab: seed %" PRIu64 "\n", seed);
    if (held == NULL || slab_init(&slab, &options) != 0)
        return 1;
    for (unsigned at = 0; at < READERS; at++) {
        readers[at].seed = seed + 1 + at;
        if (pthread_create(&readers[at].thread, NULL, read_objects, &readers[at]) != 0)
            return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        trims += swing(&random, held, &count);
        swings++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 <
             seconds);
    store_relaxed(&stop, true);
    for (unsigned at = 0; at < READERS; at++) {
        pthread_join(readers[at].thread, NULL);
        looks += readers[at].looks;
        believed += readers[at].believed;
    }
    while (count > 0)
        give(held[--count]);
    if (slab_live(&slab) != 0)
        complain("live objects are left", 0);
    slab_fini(&slab);
    free(held);
    printf("stress_slab: %" PRIu64 " swings, %" PRIu64 " granules given back, %" PRIu64
           " looks (%" PRIu64 " at live objects), %" PRIu64 " errors\n",
           swings, trims, looks, believed, load_relaxed(&errors));
    return load_relaxed(&errors) != 0 || looks == 0;
}
