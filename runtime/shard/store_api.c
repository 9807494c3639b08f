/*
 * store_api.c - what a host asks of its store: be durable now, write a snapshot, how are you.
 *
 * Layer: shard. Thread: any but a shard's.
 *
 * Ordering: (D3) sync_asked grows, release -> (D4) the shard loads it, acquire, before it closes
 *           its frame: steps before the call are in it. (D5) sync_seen stored, release -> (D6)
 *           loaded, acquire: `serial` covers them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shard/durable.h"
#include "shard/store_open.h"

/* A short sleep between two looks. */
#define LOOK_NS 100000

static bool is_over(uint64_t deadline)
{
    return pawl_clock_monotonic.now_ns(NULL) >= deadline;
}

static uint64_t deadline_of(uint64_t timeout_ns)
{
    const uint64_t now = pawl_clock_monotonic.now_ns(NULL);

    return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

static void nap(void)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};

    nanosleep(&pause, NULL);
}

static int may_ask(struct pawl_runtime *runtime)
{
    int error = 0;

    if (runtime->store == NULL)
        return -ENOTSUP;
    pthread_mutex_lock(&runtime->mutex);
    if (runtime->stage != STAGE_RUNNING)
        error = -EBUSY;
    pthread_mutex_unlock(&runtime->mutex);
    return error;
}

/* ---- pawl_sync ---- */

/*
 * 0: durable as of `ticket`; -EAGAIN: not yet. *serial: 0 until the shard has seen the ticket, then
 * the frame that is waited for: later ones are not.
 */
static int sync_look(struct shard *shard, uint32_t ticket, uint64_t *serial)
{
    struct durable *durable = shard->durable;

    if (load_acquire(&durable->journal.failed) != 0)
        return -EIO;
    if (*serial == 0) {
        if ((int32_t)(load_acquire(&durable->sync_seen) - ticket) < 0) /* (D6) pairs with (D5) */
            return -EAGAIN;
        *serial = load_acquire(&durable->serial);
    }
    return load_acquire(&durable->journal.durable) >= *serial ? 0 : -EAGAIN;
}

static uint32_t sync_ask(struct shard *shard)
{
    const uint32_t ticket = add_acq_rel(&shard->durable->sync_asked, 1) + 1; /* (D3) */

    park_wake(&shard->park);
    return ticket;
}

/* The host turns the shards itself: between two turns everything is in closed frames. */
static int sync_host(struct pawl_runtime *runtime)
{
    int result = 0;

    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        struct shard *shard = runtime->shards[i];
        struct durable *durable = shard->durable;

        if (load_acquire(&durable->journal.failed) != 0)
            return -EIO;
        if (load_acquire(&durable->journal.durable) >= load_acquire(&durable->serial))
            continue;
        if (load_acquire(&durable->sync_asked) == load_acquire(&durable->sync_seen))
            sync_ask(shard);
        result = -EAGAIN;
    }
    return result;
}

static int sync_shard(struct shard *shard, uint64_t deadline)
{
    const uint32_t ticket = sync_ask(shard);
    uint64_t serial = 0;
    int result;

    while ((result = sync_look(shard, ticket, &serial)) == -EAGAIN) {
        if (is_over(deadline))
            return -ETIMEDOUT;
        nap();
    }
    return result;
}

int pawl_sync(struct pawl_runtime *runtime, uint64_t timeout_ns)
{
    const uint64_t deadline = deadline_of(timeout_ns);
    int result = may_ask(runtime);

    if (result != 0)
        return result;
    if (runtime->host_driven)
        return sync_host(runtime);
    for (uint32_t i = 0; i < runtime->shard_count && result == 0; i++)
        result = sync_shard(runtime->shards[i], deadline);
    return result;
}

/* ---- pawl_snapshot ---- */

static void snapshot_ask(struct pawl_runtime *runtime, uint64_t *waits)
{
    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        struct shard *shard = runtime->shards[i];

        store_release(&shard->durable->snapshot_asked, 1);
        waits[i] = 0;
        park_wake(&shard->park);
    }
}

/*
 * 0: every shard has ended one that was begun after the question; -EAGAIN: not yet. waits: 1 for a
 * shard that has, so that the next one it begins by itself is not waited for.
 */
static int snapshot_look(struct pawl_runtime *runtime, uint64_t *waits)
{
    int result = 0;

    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        const struct durable *durable = runtime->shards[i]->durable;

        if (load_acquire(&durable->journal.failed) != 0)
            return -EIO;
        if (load_acquire(&durable->snapshot_asked) != 0) {
            result = -EAGAIN;
            continue;
        }
        if (waits[i] != 0)
            continue;
        if (load_acquire(&durable->journal.snapshot_stage) != SNAPSHOT_NONE) {
            result = -EAGAIN;
            continue;
        }
        waits[i] = 1;
    }
    return result;
}

static int snapshot_result(const struct pawl_runtime *runtime, const uint64_t *dropped)
{
    for (uint32_t i = 0; i < runtime->shard_count; i++)
        if (load_acquire(&runtime->shards[i]->durable->journal.snapshots_dropped) != dropped[i])
            return load_acquire(&runtime->shards[i]->durable->journal.snapshot_error);
    return 0;
}

static void note_dropped(const struct pawl_runtime *runtime, uint64_t *dropped)
{
    for (uint32_t i = 0; i < runtime->shard_count; i++)
        dropped[i] = load_acquire(&runtime->shards[i]->durable->journal.snapshots_dropped);
}

static int snapshot_host_locked(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    const size_t shards = runtime->shard_count;
    int result;

    if (store->waits == NULL) {
        store->waits = calloc(2 * shards, sizeof(*store->waits));
        if (store->waits == NULL)
            return -ENOMEM;
        note_dropped(runtime, store->waits + shards);
        snapshot_ask(runtime, store->waits);
    }
    result = snapshot_look(runtime, store->waits);
    if (result == 0)
        result = snapshot_result(runtime, store->waits + shards);
    if (result == -EAGAIN)
        return result;
    free(store->waits);
    store->waits = NULL;
    return result;
}

/*
 * The host calls again and again: what it waits for is kept between the calls, under the runtime's
 * mutex. Threads that call at the same time wait for one snapshot, and one of them sees it end; the
 * others ask for the next.
 */
static int snapshot_host(struct pawl_runtime *runtime)
{
    int result;

    pthread_mutex_lock(&runtime->mutex);
    result = snapshot_host_locked(runtime);
    pthread_mutex_unlock(&runtime->mutex);
    return result;
}

int pawl_snapshot(struct pawl_runtime *runtime, uint64_t timeout_ns)
{
    const uint64_t deadline = deadline_of(timeout_ns);
    int result = may_ask(runtime);
    uint64_t *waits;

    if (result != 0)
        return result;
    if (runtime->host_driven)
        return snapshot_host(runtime);
    waits = calloc(2 * (size_t)runtime->shard_count, sizeof(*waits));
    if (waits == NULL)
        return -ENOMEM;
    note_dropped(runtime, waits + runtime->shard_count);
    snapshot_ask(runtime, waits);
    while ((result = snapshot_look(runtime, waits)) == -EAGAIN) {
        if (is_over(deadline)) {
            result = -ETIMEDOUT;
            break;
        }
        nap();
    }
    if (result == 0)
        result = snapshot_result(runtime, waits + runtime->shard_count);
    free(waits);
    return result;
}

/* ---- pawl_shard_store ---- */

int pawl_shard_store(const struct pawl_runtime *runtime, unsigned shard,
                     struct pawl_store_status *status)
{
    const struct durable *durable;

    if (shard >= runtime->shard_count)
        return -EINVAL;
    if (runtime->store == NULL)
        return -ENOTSUP;
    durable = runtime->shards[shard]->durable;
    *status = (struct pawl_store_status){
        .epoch = runtime->store->manifest->epoch,
        .frames = load_acquire(&durable->serial),
        .durable_frames = load_acquire(&durable->journal.durable),
        .journal_bytes = load_acquire(&durable->bytes),
        .entries = load_acquire(&durable->entries),
        .snapshots = load_acquire(&durable->journal.snapshots),
        .recovered_tasks = durable->recovered_tasks,
        .recovered_entries = durable->recovered_entries,
        .resent = durable->resent,
        .failed = load_acquire(&durable->journal.failed),
    };
    return 0;
}
