#include "shard/portless.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "shard/create.h"
#include "shard/runtime.h"

#define PORTLESS_COMPLETIONS 64u

/* One thread's hidden port for one runtime, in the thread's list. */
struct hidden {
    uint64_t number; /* of the runtime */
    struct pawl_port *port;
    struct hidden *next; /* the thread's next */
};

struct known_runtime {
    uint64_t number;
    struct port_registry *registry;
    struct known_runtime *next;
};

/* Which runtimes are alive. Taken when a thread ends and when a runtime opens or closes. */
static pthread_mutex_t known_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct known_runtime *known;
static uint64_t known_last;

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static _Thread_local struct hidden *mine;

static struct known_runtime **find_known(uint64_t number)
{
    struct known_runtime **link = &known;

    while (*link != NULL && (*link)->number != number)
        link = &(*link)->next;
    return link;
}

/* A thread ends: its ports of runtimes that are still alive are abandoned. */
static void thread_ended(void *list)
{
    struct hidden *hidden = list;

    pthread_mutex_lock(&known_mutex);
    while (hidden != NULL) {
        struct hidden *next = hidden->next;

        if (*find_known(hidden->number) != NULL)
            pawl__port_abandon(hidden->port);
        free(hidden);
        hidden = next;
    }
    pthread_mutex_unlock(&known_mutex);
    mine = NULL;
}

static void make_key(void)
{
    key_error = pthread_key_create(&key, thread_ended);
}

uint64_t pawl__portless_register(struct port_registry *registry)
{
    struct known_runtime *added = malloc(sizeof(*added));
    uint64_t number;

    if (added == NULL)
        return 0;
    pthread_mutex_lock(&known_mutex);
    number = ++known_last;
    *added = (struct known_runtime){.number = number, .registry = registry, .next = known};
    known = added;
    pthread_mutex_unlock(&known_mutex);
    return number;
}

void pawl__portless_unregister(uint64_t number)
{
    struct known_runtime **link;
    struct known_runtime *gone;

    pthread_mutex_lock(&known_mutex);
    link = find_known(number);
    gone = *link;
    if (gone != NULL)
        *link = gone->next;
    pthread_mutex_unlock(&known_mutex);
    free(gone);
}

/*
 * Entries for runtimes that are closed go when a new one is made, so that a thread that outlives
 * many runtimes keeps few.
 */
static void prune(void)
{
    struct hidden **link = &mine;

    pthread_mutex_lock(&known_mutex);
    while (*link != NULL) {
        struct hidden *hidden = *link;

        if (*find_known(hidden->number) != NULL) {
            link = &hidden->next;
            continue;
        }
        *link = hidden->next;
        free(hidden);
    }
    pthread_mutex_unlock(&known_mutex);
    pthread_setspecific(key, mine);
}

uint32_t pawl__portless_entries(void)
{
    uint32_t count = 0;

    for (const struct hidden *hidden = mine; hidden != NULL; hidden = hidden->next)
        count++;
    return count;
}

/* A new hidden port for this thread; NULL and *error when there can be none. */
static struct hidden *add_hidden(uint64_t number, struct port_registry *registry, int *error)
{
    struct hidden *hidden;

    pthread_once(&key_once, make_key);
    *error = -key_error;
    if (key_error != 0)
        return NULL;
    prune();
    hidden = malloc(sizeof(*hidden));
    *error = -ENOMEM;
    if (hidden == NULL)
        return NULL;
    *error = pawl__port_create(registry, PORTLESS_RING, PORTLESS_COMPLETIONS, true, &hidden->port);
    if (*error != 0)
        goto fail;
    hidden->number = number;
    hidden->next = mine;
    *error = -pthread_setspecific(key, hidden);
    if (*error != 0) {
        pawl__port_abandon(hidden->port);
        goto fail;
    }
    mine = hidden;
    return hidden;

fail:
    free(hidden);
    return NULL;
}

int pawl__portless_get(uint64_t number, struct port_registry *registry, struct pawl_port **port)
{
    struct hidden *hidden = mine;
    int error = 0;

    while (hidden != NULL && hidden->number != number)
        hidden = hidden->next;
    if (unlikely(hidden == NULL))
        hidden = add_hidden(number, registry, &error);
    if (unlikely(hidden == NULL))
        return error != 0 ? error : -ENOMEM;
    *port = hidden->port;
    return 0;
}

/* ---- The public calls ---- */

int pawl_task_post(struct pawl_runtime *runtime, const struct pawl_event *events, size_t count)
{
    struct pawl_port *port = NULL;
    int error;

    /* A completion would have nobody to go to. */
    for (size_t i = 0; i < count; i++)
        if (unlikely((events[i].flags & PAWL_EVENT_COMPLETE) != 0)) {
            if (i == 0)
                return -EINVAL;
            count = i;
        }
    error = pawl__portless_get(runtime->number, runtime->ports, &port);
    return error != 0 ? error : pawl_port_post(port, events, count);
}

int pawl_task_cancel(struct pawl_runtime *runtime, struct pawl_task task)
{
    struct pawl_port *port = NULL;
    const int error = pawl__portless_get(runtime->number, runtime->ports, &port);

    return error != 0 ? error : pawl__port_cancel(port, task, 0, false);
}

/* The hidden port has no other completions, so the one that comes is the creation's. */
static int create_and_wait(struct pawl_port *port, const struct pawl_task_spec *spec,
                           struct pawl_task *task)
{
    struct pawl_completion completion;
    int error;

    while ((error = pawl_port_create(port, spec, 0)) == -EAGAIN)
        sched_yield(); /* the ring is full: its shard has to catch up */
    if (error != 0)
        return error;
    error = pawl_port_wait(port, UINT64_MAX);
    if (error != 0)
        return error;
    CHECK(pawl_port_reap(port, &completion, 1) == 1);
    *task = completion.task;
    return completion.status;
}

int pawl_task_create(struct pawl_runtime *runtime, const struct pawl_task_spec *spec,
                     struct pawl_task *task)
{
    const struct port_registry *ports = runtime->ports;
    struct pawl_port *port = NULL;
    uint32_t home;
    int error;

    *task = PAWL_NO_TASK;
    if (!runtime->host_driven) {
        error = pawl__portless_get(runtime->number, runtime->ports, &port);
        return error != 0 ? error : create_and_wait(port, spec, task);
    }
    if (load_acquire(&ports->admits) != ADMITS_ALL)
        return -EBUSY;
    error =
        pawl__create_check(runtime->machines, runtime->machine_count, runtime->shard_count, spec);
    if (error != 0)
        return error;
    /* Without a hint the emptiest shard takes it. */
    home = 0;
    for (uint32_t i = 1; i < runtime->shard_count; i++)
        if (slab_live(&runtime->shards[i]->table.slots) <
            slab_live(&runtime->shards[home]->table.slots))
            home = i;
    home = pawl__create_home(runtime->key_seed, runtime->shard_count, spec, home);
    return pawl__host_create(runtime->shards[home], spec, task);
}
