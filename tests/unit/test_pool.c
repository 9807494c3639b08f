/*
 * A pool of agents: each lease is worked on once, what the function says is reported, and a pool
 * ends cleanly at any time.
 */
#include "support/threads_fixture.h"

#include "support/agent_fixture.h"

#define TASKS 200u

struct shop {
    struct pawl_runtime *runtime;
    struct pawl_task tasks[TASKS];
    _Atomic uint64_t worked;
    _Atomic uint64_t inside;
    _Atomic uint64_t gate; /* work waits for it */
    _Atomic uint64_t inside_most;
    enum pawl_report_kind kind;
    bool chatty;
};

static struct shop *shop_open(bool pinned)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct shop *shop = calloc(1, sizeof(*shop));

    cr_assert(shop != NULL);
    store_release(&shop->gate, 1);
    options.shards = 2;
    options.no_pin = !pinned;
    shop->runtime = chores_open(options);
    cr_assert_eq(pawl_start(shop->runtime), 0);
    return shop;
}

static void shop_close(struct shop *shop)
{
    chores_close(shop->runtime);
    free(shop);
}

static void shop_fill(struct shop *shop)
{
    for (unsigned i = 0; i < TASKS; i++)
        shop->tasks[i] = chore_make(shop->runtime, i % 2);
}

/* As often as each state, over all tasks. */
static unsigned count_in(struct shop *shop, unsigned state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < TASKS; i++) {
        unsigned now;

        chore_of(shop->runtime, shop->tasks[i], &now);
        count += now == state;
    }
    return count;
}

static void work(void *user, struct pawl_agent *agent, const struct pawl_lease *lease,
                 struct pawl_report *report)
{
    struct shop *shop = user;
    const uint64_t inside = add_acq_rel(&shop->inside, 1) + 1;
    uint64_t most = load_acquire(&shop->inside_most);

    while (most < inside && !cas_acq_rel(&shop->inside_most, &most, inside))
        ;
    while (load_acquire(&shop->gate) == 0)
        nap_briefly();
    if (shop->chatty)
        for (unsigned i = 0; i < 3; i++)
            pawl_agent_report(agent, lease, &(struct pawl_report){.kind = PAWL_REPORT_PROGRESS});
    report->kind = shop->kind;
    sub_acq_rel(&shop->inside, 1);
    add_acq_rel(&shop->worked, 1);
}

static struct pawl_agent_pool *pool_of(struct shop *shop, unsigned threads, uint32_t credits,
                                       uint32_t reports)
{
    const struct pawl_agent_options options = {.name = "a pool with a long name",
                                               .lanes = work_only,
                                               .lanes_count = 1,
                                               .credits = credits,
                                               .reports = reports};
    struct pawl_agent_pool *pool = NULL;

    cr_assert_eq(pawl_agent_pool_start(shop->runtime, &options, threads, work, shop, &pool), 0);
    return pool;
}

Test(pool, every_task_is_worked_on_once)
{
    struct shop *shop = shop_open(false);
    struct pawl_agent_pool *pool = pool_of(shop, 3, 4, 1);

    shop_fill(shop);
    wait_for(&shop->worked, TASKS);
    cr_assert_eq(pawl_agent_pool_stop(pool, UINT64_MAX), 0);
    cr_assert_eq(load_acquire(&shop->worked), TASKS);
    cr_assert_eq(count_in(shop, C_OVER), TASKS);
    for (unsigned i = 0; i < TASKS; i++)
        cr_assert_eq(chore_of(shop->runtime, shop->tasks[i], NULL).done, 1u);
    shop_close(shop);
}

Test(pool, it_works_on_pinned_threads_too)
{
    struct shop *shop = shop_open(true);
    struct pawl_agent_pool *pool;

    shop->chatty = true;
    pool = pool_of(shop, 2, 1, 2);
    shop_fill(shop);
    wait_for(&shop->worked, TASKS);
    cr_assert_eq(pawl_agent_pool_stop(pool, UINT64_MAX), 0);
    cr_assert_eq(count_in(shop, C_OVER), TASKS);
    shop_close(shop);
}

Test(pool, what_the_function_says_is_reported)
{
    struct shop *shop = shop_open(false);
    struct pawl_agent_pool *pool;
    uint64_t failed = 0;

    shop->kind = PAWL_REPORT_FAILED; /* ready again: it never ends */
    pool = pool_of(shop, 2, 2, 0);
    shop_fill(shop);
    wait_for(&shop->worked, 3 * TASKS);
    cr_assert_eq(pawl_agent_pool_stop(pool, UINT64_MAX), 0);
    for (unsigned i = 0; i < TASKS; i++) {
        const struct chore chore = chore_of(shop->runtime, shop->tasks[i], NULL);

        failed += chore.failed;
        cr_assert_eq(chore.done + chore.lost, 0u);
    }
    cr_assert_eq(failed, load_acquire(&shop->worked));
    cr_assert_eq(count_in(shop, C_READY), TASKS);
    shop_close(shop);
}

Test(pool, to_stop_waits_for_work_and_gives_back_what_was_not_begun)
{
    struct shop *shop = shop_open(false);
    struct pawl_agent_pool *pool;
    unsigned done = 0;

    store_release(&shop->gate, 0);
    pool = pool_of(shop, 2, 10, 0);
    shop_fill(shop);
    wait_for(&shop->inside, 2);
    cr_assert_eq(pawl_agent_pool_stop(pool, 5 * MS), -ETIMEDOUT);
    cr_assert_eq(pawl_agent_pool_stop(pool, 0), -ETIMEDOUT);
    cr_assert_eq(load_acquire(&shop->inside), 2u);
    store_release(&shop->gate, 1);
    cr_assert_eq(pawl_agent_pool_stop(pool, UINT64_MAX), 0);
    cr_assert_eq(load_acquire(&shop->worked), 2u);
    for (unsigned i = 0; i < TASKS; i++) {
        const struct chore chore = chore_of(shop->runtime, shop->tasks[i], NULL);

        cr_assert_eq(chore.lost, 0u);
        done += chore.done;
    }
    cr_assert_eq(done, 2u);
    cr_assert_eq(count_in(shop, C_READY), TASKS - 2);
    shop_close(shop);
}

/* What the threads have, begun or not, is worked on; the rest stays where it is. */
Test(pool, a_drain_waits_for_the_work_that_was_handed_out)
{
    struct shop *shop = shop_open(false);
    struct pawl_agent_pool *pool;
    struct pawl_drain_report report;
    uint64_t worked;

    store_release(&shop->gate, 0);
    pool = pool_of(shop, 2, 3, 8);
    shop_fill(shop);
    wait_for(&shop->inside, 2);
    cr_assert_eq(pawl_drain(shop->runtime, 5 * MS, &report), -ETIMEDOUT);
    cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_LEASE, "%s", report.text);
    store_release(&shop->gate, 1);
    cr_assert_eq(pawl_drain(shop->runtime, 60000 * MS, &report), 0, "%s", report.text);
    worked = load_acquire(&shop->worked);
    cr_assert(worked >= 2 && worked <= 6, "%u", (unsigned)worked);
    cr_assert_eq(count_in(shop, C_OVER), worked);
    cr_assert_eq(count_in(shop, C_READY), TASKS - worked);
    cr_assert_eq(pawl_resume(shop->runtime), 0);
    wait_for(&shop->worked, TASKS);
    cr_assert_eq(pawl_agent_pool_stop(pool, UINT64_MAX), 0);
    shop_close(shop);
}

Test(pool, idle_threads_stop_at_once)
{
    struct shop *shop = shop_open(false);
    unsigned before;

    (void)threads_now();
    before = threads_now();
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(pawl_agent_pool_stop(pool_of(shop, 3, 1, 0), UINT64_MAX), 0);
    cr_assert(threads_become(before));
    shop_close(shop);
}

Test(pool, it_ends_with_the_runtime)
{
    struct shop *shop = shop_open(false);
    struct pawl_agent_pool *pool = pool_of(shop, 3, 4, 0);

    shop->kind = PAWL_REPORT_FAILED;
    shop_fill(shop);
    wait_for(&shop->worked, 100);
    cr_assert_eq(pawl_stop(shop->runtime), 0);
    cr_assert_eq(pawl_agent_pool_stop(pool, UINT64_MAX), 0);
    shop_close(shop);
}

Test(pool, each_thread_works_by_itself)
{
    struct shop *shop = shop_open(false);
    struct pawl_agent_pool *pool;

    store_release(&shop->gate, 0);
    pool = pool_of(shop, 3, 1, 0);
    shop_fill(shop);
    wait_for(&shop->inside, 3);
    store_release(&shop->gate, 1);
    wait_for(&shop->worked, TASKS);
    cr_assert_eq(pawl_agent_pool_stop(pool, UINT64_MAX), 0);
    cr_assert_eq(load_acquire(&shop->inside_most), 3u);
    shop_close(shop);
}

static int start_fails(void *user, const struct pawl_thread_spec *spec, pawl_thread_fn *fn,
                       void *argument, void **thread)
{
    unsigned *left = user;

    if (strncmp(spec->name, "pawl", 4) != 0 && (*left)-- == 0)
        return -EAGAIN;
    return pawl_threads_posix.start(NULL, spec, fn, argument, thread);
}

static int join_posix(void *user, void *thread)
{
    (void)user;
    return pawl_threads_posix.join(NULL, thread);
}

Test(pool, a_thread_that_cannot_be_started_leaves_nothing)
{
    const struct pawl_agent_options own = {.name = "pool", .lanes = work_only, .lanes_count = 1};
    unsigned left = 2;
    const struct pawl_threads threads = {.user = &left, .start = start_fails, .join = join_posix};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct shop shop = {.gate = 1};
    struct pawl_agent_pool *pool = NULL;

    options.shards = 1;
    options.no_pin = 1;
    options.threads = &threads;
    shop.runtime = chores_open(options);
    cr_assert_eq(pawl_start(shop.runtime), 0);
    cr_assert_eq(pawl_agent_pool_start(shop.runtime, &own, 4, work, &shop, &pool), -EAGAIN);
    cr_assert(pool == NULL);
    chores_close(shop.runtime); /* not -EBUSY: no agent is left open */
}

Test(pool, what_makes_no_pool_is_refused)
{
    static const char long_name[] = "12345678901234567890123456789012345678901234567";
    struct pawl_agent_options options = {.name = "pool", .lanes = work_only, .lanes_count = 1};
    struct shop *shop = shop_open(false);
    struct pawl_runtime *runtime = shop->runtime;
    struct pawl_agent_pool *pool;

    cr_assert_eq(pawl_agent_pool_start(runtime, NULL, 1, work, shop, &pool), -EINVAL);
    cr_assert_eq(pawl_agent_pool_start(runtime, &options, 0, work, shop, &pool), -EINVAL);
    cr_assert_eq(pawl_agent_pool_start(runtime, &options, 4097, work, shop, &pool), -EINVAL);
    cr_assert_eq(pawl_agent_pool_start(runtime, &options, 1, NULL, shop, &pool), -EINVAL);
    options.name = long_name; /* good for an agent, too long with a number */
    cr_assert_eq(pawl_agent_pool_start(runtime, &options, 2, work, shop, &pool), -EINVAL);
    options.name = "pool";
    options.resume = 1;
    cr_assert_eq(pawl_agent_pool_start(runtime, &options, 1, work, shop, &pool), -EINVAL);
    shop_close(shop);
}

Test(pool, the_host_driven_mode_has_no_threads)
{
    const struct pawl_agent_options own = {.name = "pool", .lanes = work_only, .lanes_count = 1};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_agent_pool *pool;
    struct pawl_runtime *runtime;

    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    runtime = chores_open(options);
    cr_assert_eq(pawl_agent_pool_start(runtime, &own, 1, work, NULL, &pool), -ENOTSUP);
    chores_close(runtime);
}
