/*
 * stress_read.c - readers against shards that create, step and end tasks as fast as they can. What a
 * task is can be told from its key, its machine and its context; so every view is checked against
 * itself, every key against what it found, and every walk against the tasks that live throughout.
 *
 *     stress_read [SECONDS [SEED]]      2 seconds by default
 */
#define FIXTURE_WITHOUT_TESTS
#include "support/threads_fixture.h"

#include <sched.h>

#include "base/random.h"

#define SHARDS    2u
#define RESIDENTS 300u
#define CHURN     (1u << 16) /* numbers of tasks that come and go, at most */
#define AT_ONCE   64u        /* of them alive */
#define GUEST     (UINT64_C(1) << 32)

/* Of a task that comes and goes; what others may conclude from it. */
enum life {
    LIFE_NONE,
    LIFE_LIVES,  /* its creation has completed */
    LIFE_ENDING, /* its end may come any moment */
    LIFE_ENDED,  /* its end has completed */
};

struct guest {
    _Atomic uint64_t id;
    _Atomic uint32_t life;
};

struct scene {
    struct world *world;
    struct pawl_task residents[RESIDENTS];
    struct guest *guests;
    _Atomic uint64_t guests_count;
    _Atomic uint64_t stop;
};

/* What a reader found wrong, by kind. */
struct reader {
    struct scene *scene;
    struct random random;
    uint64_t looks;
    uint64_t torn;    /* a view that does not agree with itself */
    uint64_t wrong;   /* another task than the one asked for */
    uint64_t missing; /* a task that lives and was not there */
    uint64_t risen;   /* a task that has ended and was there */
    uint64_t doubled; /* seen twice in a walk */
};

static int make_key(char key[32], uint64_t number)
{
    return snprintf(key, 32, "%s task %llu", (number & GUEST) != 0 ? "guest" : "resident",
                    (unsigned long long)(uint32_t)number);
}

static unsigned machine_of(uint64_t number)
{
    return number % 2 ? MACHINE_WIDE : MACHINE_PROBE;
}

/* Key, machine and context of a view must tell of the same task, and its sum of its count. */
static bool is_sound(const struct pawl_view *view)
{
    const struct probe_context *context = view->context;
    char key[32];
    const int size = make_key(key, context->sequence);

    return view->key_size == (uint32_t)size && memcmp(view->key, key, (size_t)size) == 0 &&
           view->machine == machine_of(context->sequence) &&
           context->sum == (context->count > 0 ? mix64(context->count) : 0);
}

static void look(struct reader *reader, struct pawl_task task, uint64_t number, bool must,
                 bool must_not)
{
    struct probe_context context;
    struct pawl_view view = {.context = &context, .context_capacity = sizeof(context)};
    const int error = pawl_task_peek(reader->scene->world->runtime, task, &view);

    reader->looks++;
    if (error != 0) {
        reader->missing += must;
        return;
    }
    reader->risen += must_not;
    if (!is_sound(&view))
        reader->torn++;
    else if (context.sequence != number || view.task.id != task.id)
        reader->wrong++;
}

/* A guest, by its handle and by its key, with what its life allows. */
static void look_at_guest(struct reader *reader)
{
    struct scene *scene = reader->scene;
    const uint64_t count = load_acquire(&scene->guests_count);
    const uint64_t back = random_below(&reader->random, 4) == 0 ? count : 2 * AT_ONCE;
    uint64_t at;
    struct guest *guest;
    struct pawl_task task, found;
    uint32_t before, after;
    char key[32];
    int size, error;

    if (count == 0)
        return;
    at = count - 1 - random_below(&reader->random, back < count ? back : count);
    guest = &scene->guests[at];
    before = load_acquire(&guest->life);
    task.id = load_acquire(&guest->id);
    if (before == LIFE_NONE)
        return;
    {
        /* It lives for certain only if nobody has asked for its end by the time of the answer. */
        struct reader copy = *reader;

        look(&copy, task, at | GUEST, true, before == LIFE_ENDED);
        after = load_acquire(&guest->life);
        if (after != LIFE_LIVES)
            copy.missing = reader->missing;
        *reader = copy;
    }
    size = make_key(key, at | GUEST);
    before = load_acquire(&guest->life);
    error = pawl_task_find(scene->world->runtime, key, (size_t)size, &found);
    after = load_acquire(&guest->life);
    if (error == 0) {
        reader->wrong += found.id != task.id;
        reader->risen += before == LIFE_ENDED;
    } else {
        reader->missing += after == LIFE_LIVES;
    }
}

static void look_at_resident(struct reader *reader)
{
    struct scene *scene = reader->scene;
    const uint64_t at = random_below(&reader->random, RESIDENTS);
    struct pawl_task found;
    char key[32];
    const int size = make_key(key, at);

    look(reader, scene->residents[at], at, true, false);
    if (pawl_task_find(scene->world->runtime, key, (size_t)size, &found) != 0)
        reader->missing++;
    else
        reader->wrong += found.id != scene->residents[at].id;
}

static void *look_around(void *argument)
{
    struct reader *reader = argument;

    while (load_acquire(&reader->scene->stop) == 0) {
        for (unsigned i = 0; i < 200; i++) {
            look_at_resident(reader);
            look_at_guest(reader);
        }
        nap_briefly(); /* where threads outnumber cores the shards need some too */
    }
    return NULL;
}

/* One whole walk in portions of random size. */
static void walk_once(struct reader *reader, unsigned char *residents, unsigned char *guests)
{
    struct pawl_view views[16];
    struct probe_context contexts[16];
    struct pawl_walk walk = {0};

    memset(views, 0, sizeof(views));
    memset(residents, 0, RESIDENTS);
    memset(guests, 0, CHURN);
    for (unsigned i = 0; i < 16; i++) {
        views[i].context = &contexts[i];
        views[i].context_capacity = sizeof(contexts[i]);
    }
    while (!walk.done) {
        const size_t capacity = 1 + (size_t)random_below(&reader->random, 16);
        const size_t budget = 1 + (size_t)random_below(&reader->random, 200);
        const int found =
            pawl_task_walk(reader->scene->world->runtime, &walk, NULL, views, capacity, budget);

        cr_assert(found >= 0 && found <= (int)capacity);
        for (int i = 0; i < found; i++) {
            const uint64_t number = contexts[i].sequence;
            unsigned char *seen;

            reader->looks++;
            if (!is_sound(&views[i]) || (uint32_t)number >= CHURN) {
                reader->torn++;
                continue;
            }
            seen = (number & GUEST) != 0 ? &guests[(uint32_t)number] : &residents[number];
            reader->doubled += *seen;
            *seen = 1;
            if ((number & GUEST) == 0)
                reader->wrong += views[i].task.id != reader->scene->residents[number].id;
        }
    }
    for (unsigned i = 0; i < RESIDENTS; i++)
        reader->missing += residents[i] == 0;
}

static void *walk_around(void *argument)
{
    struct reader *reader = argument;
    unsigned char *residents = calloc(RESIDENTS, 1);
    unsigned char *guests = calloc(CHURN, 1);

    while (load_acquire(&reader->scene->stop) == 0) {
        walk_once(reader, residents, guests);
        nap_briefly();
    }
    free(residents);
    free(guests);
    return NULL;
}

/* ---- The load ---- */

static struct pawl_task_spec spec_of(uint64_t number, char key[32], struct probe_context *context)
{
    const int size = make_key(key, number);

    *context = (struct probe_context){.sequence = number};
    return (struct pawl_task_spec){.machine = machine_of(number),
                                   .key = key,
                                   .key_size = (size_t)size,
                                   .context = context,
                                   .context_size = sizeof(*context)};
}

/* Posts, waiting for room; completions are dealt with by the caller. */
static bool try_post(struct pawl_port *port, struct pawl_task task, uint16_t code, uint32_t tag)
{
    struct pawl_event event = event_to(task, code);

    event.tag = tag;
    event.flags = code == EV_END ? PAWL_EVENT_COMPLETE : 0;
    return pawl_port_post(port, &event, 1) == 1;
}

static void note_completions(struct scene *scene, struct pawl_port *port)
{
    struct pawl_completion completions[64];
    const int reaped = pawl_port_reap(port, completions, 64);

    for (int i = 0; i < reaped; i++) {
        struct guest *guest = &scene->guests[completions[i].tag];

        cr_assert(completions[i].status == 0);
        if (load_relaxed(&guest->life) == LIFE_NONE) {
            store_release(&guest->id, completions[i].task.id);
            store_release(&guest->life, LIFE_LIVES);
        } else {
            store_release(&guest->life, LIFE_ENDED);
        }
    }
}

/* Creates guests, hits everybody, ends the oldest; until the numbers or the time are used up. */
static void churn(struct scene *scene, struct random *random, uint64_t deadline_ns)
{
    struct pawl_port *port;
    uint64_t created = 0, ended = 0;

    cr_assert(pawl_port_open(scene->world->runtime, NULL, &port) == 0);
    while (created < CHURN && pawl_clock_monotonic.now_ns(NULL) < deadline_ns) {
        struct probe_context context;
        char key[32];
        const struct pawl_task_spec spec = spec_of(created | GUEST, key, &context);

        if (created - ended < AT_ONCE && pawl_port_create(port, &spec, (uint32_t)created) == 0) {
            created++;
            store_release(&scene->guests_count, created);
        }
        for (unsigned i = 0; i < 4; i++) {
            const uint64_t at = ended + random_below(random, created - ended + 1);

            try_post(port, scene->residents[random_below(random, RESIDENTS)], EV_HIT, 0);
            if (at < created && load_relaxed(&scene->guests[at].life) == LIFE_LIVES)
                try_post(port, (struct pawl_task){load_relaxed(&scene->guests[at].id)}, EV_HIT, 0);
        }
        note_completions(scene, port);
        if (created - ended == AT_ONCE && load_relaxed(&scene->guests[ended].life) == LIFE_LIVES) {
            struct guest *guest = &scene->guests[ended];

            store_release(&guest->life, LIFE_ENDING);
            while (!try_post(port, (struct pawl_task){load_relaxed(&guest->id)}, EV_END,
                             (uint32_t)ended))
                note_completions(scene, port);
            ended++;
        }
    }
    while (pawl_port_outstanding(port) > 0) {
        cr_assert(pawl_port_wait(port, UINT64_MAX) == 0);
        note_completions(scene, port);
    }
    cr_assert(pawl_port_close(port, UINT64_MAX) == 0);
}

static void create_residents(struct scene *scene)
{
    for (uint64_t i = 0; i < RESIDENTS; i++) {
        struct probe_context context;
        char key[32];
        const struct pawl_task_spec spec = spec_of(i, key, &context);

        cr_assert(pawl_task_create(scene->world->runtime, &spec, &scene->residents[i]) == 0);
    }
}

int main(int argc, char **argv)
{
    const uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 0) : 2;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    struct scene scene = {.world = world_start(PAWL_DRIVE_THREADS, SHARDS)};
    struct random random = {seed};
    struct reader readers[3], sum = {0};
    pthread_t threads[3];
    bool ok;

    printf("stress_read: seed %llu\n", (unsigned long long)seed);
    scene.guests = calloc(CHURN, sizeof(*scene.guests));
    create_residents(&scene);
    for (unsigned i = 0; i < 3; i++) {
        readers[i] = (struct reader){.scene = &scene, .random = {seed + 1 + i}};
        cr_assert(pthread_create(&threads[i], NULL, i == 2 ? walk_around : look_around,
                                 &readers[i]) == 0);
    }
    churn(&scene, &random, pawl_clock_monotonic.now_ns(NULL) + seconds * 1000 * MS);
    store_release(&scene.stop, 1);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        sum.looks += readers[i].looks;
        sum.torn += readers[i].torn;
        sum.wrong += readers[i].wrong;
        sum.missing += readers[i].missing;
        sum.risen += readers[i].risen;
        sum.doubled += readers[i].doubled;
    }
    ok = sum.looks > 0 && sum.torn + sum.wrong + sum.missing + sum.risen + sum.doubled == 0;
    printf(
        "%llu guests, %llu looks: %llu torn, %llu wrong, %llu missing, %llu risen, %llu doubled: "
        "%s\n",
        (unsigned long long)load_acquire(&scene.guests_count), (unsigned long long)sum.looks,
        (unsigned long long)sum.torn, (unsigned long long)sum.wrong,
        (unsigned long long)sum.missing, (unsigned long long)sum.risen,
        (unsigned long long)sum.doubled, ok ? "passed" : "FAILED");
    free(scene.guests);
    world_close(scene.world);
    return ok ? 0 : 1;
}
