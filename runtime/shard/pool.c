/*
 * pool.c - a pool: agents on threads of their own, each of which calls the host's function for one
 * lease after another.
 *
 * Layer: shard. Owner: each agent is its thread's, from `go` until the thread has ended, and
 * otherwise the host's thread that starts and stops the pool; so a thread that could not be started
 * leaves nothing half done, and no agent is closed under a thread's hands.
 *
 * Where the threads go: to processors that no shard has, one each if there are enough, and not
 * beside the monitor and the I/O if that can be helped. Where every processor has a shard they
 * float.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/plan.h"
#include "shard/agents.h"

#define STOP_LOOK_NS   UINT64_C(100000000)
#define SETTLE_LOOK_NS UINT64_C(10000000)
#define NAP_NS         100000
#define THREAD_NAME    16 /* with the NUL: what the system shows */
#define RECEIPTS       16

enum pool_go { POOL_WAIT, POOL_GO, POOL_ABANDONED };

/* Field owners: I constant before `go`; H the host's thread; T this thread. */
struct pool_thread {
    struct pawl_agent_pool *pool; /* I */
    struct pawl_agent *agent;     /* I, until H closes it */
    void *thread;                 /* H: NULL when it is joined */
};

struct pawl_agent_pool {
    struct pawl_runtime *runtime;
    pawl_agent_work_fn *work;
    void *user;
    unsigned count;
    _Atomic uint32_t go;      /* H: enum pool_go */
    _Atomic uint32_t stop;    /* H */
    _Atomic uint32_t working; /* T: threads that have not ended their work */
    struct park park;         /* H sleeps in stop, T wake */
    struct pool_thread threads[];
};

/* ---- Places ---- */

static void cross_off(const struct pawl_placement *place, const struct pawl_plan *plan, bool *taken)
{
    if (place == NULL || place->why == PAWL_PLACE_FLOATING)
        return;
    for (unsigned i = 0; i < plan->pu_count; i++)
        for (unsigned k = 0; k < place->cpu_count; k++)
            taken[i] |= plan->allowed[i] == place->cpus[k];
}

static unsigned count_free(const bool *taken, unsigned count)
{
    unsigned left = 0;

    for (unsigned i = 0; i < count; i++)
        left += !taken[i];
    return left;
}

/* Processors for the threads; cpus has room for all of the plan. Returns how many. */
static unsigned choose_cpus(const struct pawl_plan *plan, bool *taken, unsigned *cpus)
{
    bool *const wished = taken + plan->pu_count;
    unsigned count = 0;

    for (unsigned i = 0; i < pawl_plan_shards(plan); i++)
        cross_off(pawl_plan_shard(plan, i), plan, taken);
    memcpy(wished, taken, plan->pu_count * sizeof(*wished));
    cross_off(pawl_plan_monitor(plan), plan, wished);
    for (unsigned i = 0; i < pawl_plan_io_threads(plan); i++)
        cross_off(pawl_plan_io(plan, i), plan, wished);
    if (count_free(wished, plan->pu_count) > 0)
        taken = wished;
    else if (count_free(taken, plan->pu_count) == 0)
        memset(taken, 0, plan->pu_count * sizeof(*taken)); /* they float */
    for (unsigned i = 0; i < plan->pu_count; i++)
        if (!taken[i])
            cpus[count++] = plan->allowed[i];
    return count;
}

/* ---- A thread ---- */

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

/*
 * Receipts of the work function's own reports included: a host that wants to see them uses an
 * agent.
 */
static void drop_receipts(struct pawl_agent *agent)
{
    struct pawl_receipt receipts[RECEIPTS];

    while (pawl_agent_receipts(agent, receipts, RECEIPTS) > 0)
        ;
}

/* What cannot be said at all, the lease's deadline will say. */
static void tell(struct pawl_agent *agent, const struct pawl_lease *lease,
                 const struct pawl_report *report)
{
    int error;

    while ((error = pawl_agent_report(agent, lease, report)) == -EAGAIN || error == -ENOMEM ||
           error == -EBUSY) {
        if (agent_is_stopped(agent))
            return;
        if (error == -EAGAIN)
            pawl_agent_settle(agent, SETTLE_LOOK_NS);
        else
            nap(); /* -EBUSY: the runtime is drained, and may go on */
        drop_receipts(agent);
    }
}

static void work_on(const struct pool_thread *own)
{
    struct pawl_agent_pool *pool = own->pool;
    struct pawl_lease lease;
    int count = 0;

    while (count >= 0 && load_acquire(&pool->stop) == 0) {
        count = pawl_agent_next(own->agent, &lease, 1, UINT64_MAX);
        if (count == 1) {
            struct pawl_report report = {.kind = PAWL_REPORT_DONE};

            pool->work(pool->user, own->agent, &lease, &report);
            tell(own->agent, &lease, &report);
        }
        drop_receipts(own->agent);
    }
}

static void pool_main(void *argument)
{
    const struct pool_thread *own = argument;
    struct pawl_agent_pool *pool = own->pool;
    uint32_t go;

    while ((go = load_acquire(&pool->go)) == POOL_WAIT)
        nap();
    if (go == POOL_GO)
        work_on(own);
    sub_acq_rel(&pool->working, 1);
    park_wake(&pool->park);
}

/* ---- Starting ---- */

static int open_agents(struct pawl_agent_pool *pool, const struct pawl_agent_options *options)
{
    struct pawl_agent_options own = *options;
    char name[PAWL_AGENT_NAME_MAX + 1];

    own.name = name;
    for (unsigned i = 0; i < pool->count; i++) {
        const int length = snprintf(name, sizeof(name), "%s-%u", options->name, i);
        int error = -EINVAL;

        if (length > 0 && (size_t)length < sizeof(name))
            error = pawl_agent_open(pool->runtime, &own, &pool->threads[i].agent);
        if (error != 0)
            return error;
    }
    return 0;
}

static int start_thread(struct pawl_agent_pool *pool, const char *base, unsigned number,
                        const unsigned *cpus, unsigned cpu_count)
{
    const struct pawl_threads *threads = pool->runtime->threads;
    const bool each = pool->count <= cpu_count;
    const struct pawl_thread_spec place = {
        .cpus = each ? cpus + number : cpus,
        .cpu_count = each ? 1 : cpu_count,
    };
    struct pawl_thread_spec spec = cpu_count > 0 ? place : (struct pawl_thread_spec){0};
    char digits[12], name[THREAD_NAME];
    const int length = snprintf(digits, sizeof(digits), "-%u", number);
    int error;

    snprintf(name, sizeof(name), "%.*s%s", THREAD_NAME - 1 - length, base, digits);
    spec.name = name;
    add_acq_rel(&pool->working, 1);
    error = threads->start(threads->user, &spec, pool_main, &pool->threads[number],
                           &pool->threads[number].thread);
    if (error != 0)
        sub_acq_rel(&pool->working, 1);
    return error;
}

static int start_threads(struct pawl_agent_pool *pool, const char *base)
{
    const struct pawl_plan *plan = pool->runtime->no_pin ? NULL : pool->runtime->plan;
    const unsigned all = plan != NULL ? plan->pu_count : 0;
    bool *taken = calloc(2 * (size_t)all + 1, sizeof(*taken));
    unsigned *cpus = calloc((size_t)all + 1, sizeof(*cpus));
    unsigned cpu_count = 0;
    int error = taken != NULL && cpus != NULL ? 0 : -ENOMEM;

    if (error == 0 && plan != NULL)
        cpu_count = choose_cpus(plan, taken, cpus);
    for (unsigned i = 0; i < pool->count && error == 0; i++)
        error = start_thread(pool, base, i, cpus, cpu_count);
    free(cpus);
    free(taken);
    return error;
}

/* After the threads have ended, or before there were any. 0, or why an agent is not closed yet. */
static int end_agents(struct pawl_agent_pool *pool, uint64_t begin_ns, uint64_t timeout_ns)
{
    const struct pawl_threads *threads = pool->runtime->threads;
    int error = 0;

    for (unsigned i = 0; i < pool->count && error == 0; i++) {
        struct pool_thread *own = &pool->threads[i];
        const uint64_t waited = pawl_clock_monotonic.now_ns(NULL) - begin_ns;

        if (own->thread != NULL)
            threads->join(threads->user, own->thread);
        own->thread = NULL;
        if (own->agent != NULL)
            error = pawl_agent_close(own->agent, waited < timeout_ns ? timeout_ns - waited : 0);
        if (error == 0)
            own->agent = NULL;
    }
    if (error == 0) {
        pawl__park_fini(&pool->park);
        free(pool);
    }
    return error;
}

int pawl_agent_pool_start(struct pawl_runtime *runtime, const struct pawl_agent_options *options,
                          unsigned threads, pawl_agent_work_fn *work, void *user,
                          struct pawl_agent_pool **out)
{
    struct pawl_agent_pool *pool;
    int error;

    if (options == NULL || options->name == NULL || options->resume != 0 || work == NULL ||
        threads < 1 || threads > PORTS_MAX)
        return -EINVAL;
    if (runtime->host_driven)
        return -ENOTSUP;
    pool = aligned_alloc(_Alignof(struct pawl_agent_pool),
                         align_up(sizeof(*pool) + threads * sizeof(pool->threads[0]),
                                  _Alignof(struct pawl_agent_pool)));
    if (pool == NULL)
        return -ENOMEM;
    memset(pool, 0, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    pool->runtime = runtime;
    pool->work = work;
    pool->user = user;
    pool->count = threads;
    for (unsigned i = 0; i < threads; i++)
        pool->threads[i].pool = pool;
    error = pawl__park_init(&pool->park, false);
    if (error == 0)
        error = open_agents(pool, options);
    if (error == 0)
        error = start_threads(pool, options->name);
    store_release(&pool->go, error == 0 ? POOL_GO : POOL_ABANDONED);
    if (error != 0) {
        /* Agents that never granted anything: nothing but the shards' next turn is waited for. */
        while (end_agents(pool, pawl_clock_monotonic.now_ns(NULL), UINT64_MAX) != 0)
            nap();
        return error;
    }
    *out = pool;
    return 0;
}

/* ---- Stopping ---- */

static bool wait_for_work(struct pawl_agent_pool *pool, uint64_t begin_ns, uint64_t timeout_ns)
{
    while (load_acquire(&pool->working) > 0) {
        const uint64_t waited = pawl_clock_monotonic.now_ns(NULL) - begin_ns;
        const uint64_t left = waited < timeout_ns ? timeout_ns - waited : 0;

        if (left == 0)
            return false;
        pawl__park_prepare(&pool->park);
        if (load_acquire(&pool->working) == 0)
            pawl__park_cancel(&pool->park);
        else
            pawl__park_wait(&pool->park, left < STOP_LOOK_NS ? left : STOP_LOOK_NS);
    }
    return true;
}

int pawl_agent_pool_stop(struct pawl_agent_pool *pool, uint64_t timeout_ns)
{
    const uint64_t begin_ns = pawl_clock_monotonic.now_ns(NULL);

    if (load_acquire(&pool->stop) == 0) {
        store_release(&pool->stop, 1);
        for (unsigned i = 0; i < pool->count; i++)
            pawl__agent_call_off(pool->threads[i].agent);
    }
    if (!wait_for_work(pool, begin_ns, timeout_ns))
        return -ETIMEDOUT;
    return end_agents(pool, begin_ns, timeout_ns);
}
