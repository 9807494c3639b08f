/*
 * Reports that were refused can be read: whose, of what, and why.
 */
#include <pthread.h>

#include "shard/lanes.h"
#include "shard/refusals.h"
#include "shard/runtime.h"
#include "support/agents_fixture.h"

static struct pawl_agent *agent, *liar;

static void begin(void)
{
    agents_open(2, 10 * FIXTURE_SECOND);
    agent = agents_agent("agent", 0, 0);
    liar = agents_agent("liar", 0, 0);
}

static void end(void)
{
    agents_close(agent);
    agents_close(liar);
    fixture_close(&f);
}

static struct pawl_lease lease_on(unsigned shard)
{
    agents_chore(shard);
    return agents_lease(agent);
}

static int told(struct pawl_agent *by, const struct pawl_lease *lease, enum pawl_report_kind kind,
                uint32_t id)
{
    return agents_told(by, lease, &(struct pawl_report){.kind = kind, .id = id});
}

Test(refusals, nothing_is_kept_where_nothing_is_refused)
{
    struct pawl_refusal refusal;
    struct pawl_lease lease;

    begin();
    lease = lease_on(0);
    cr_assert_eq(told(agent, &lease, PAWL_REPORT_PROGRESS, 0), 0);
    cr_assert_eq(told(agent, &lease, PAWL_REPORT_DONE, 0), 0);
    cr_assert_eq(pawl_refusals_read(f.runtime, 0, 0, &refusal, 1), 0);
    cr_assert_eq(pawl_refusals_read(f.runtime, 1, 0, &refusal, 1), 0);
    cr_assert_eq(pawl_refusals_read(f.runtime, 2, 0, &refusal, 1), -EINVAL);
    /* What is no agent's is no report: a host's event that is refused, a lease that is. */
    cr_assert_eq(fixture_ask(&f, lease.task, C_LEASE, 0, 0).status, -EPROTO);
    chore_create(f.runtime, 0,
                 &(struct chore){.claim = {.lane = pawl_lane_number("work")}, .shy = 1});
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_refusals_read(f.runtime, 0, 0, &refusal, 1), 0);
    end();
}

Test(refusals, each_says_who_what_and_why)
{
    struct pawl_refusal refusals[8];
    struct pawl_lease lease, stale;

    begin();
    lease = lease_on(1);
    stale = lease;
    stale.token--;
    cr_assert_eq(told(liar, &lease, PAWL_REPORT_DONE, 3), -EPERM);
    cr_assert_eq(told(agent, &stale, PAWL_REPORT_FAILED, 4), -ESTALE);
    cr_assert_eq(told(agent, &lease, PAWL_REPORT_PROGRESS, 5), 0);
    cr_assert_eq(told(agent, &lease, PAWL_REPORT_PROGRESS, 5), -EALREADY);
    cr_assert_eq(fixture_ask(&f, lease.task, C_END, 0, 0).status, 0);
    cr_assert_eq(told(agent, &lease, PAWL_REPORT_DONE, 6), -ESTALE);
    cr_assert_eq(pawl_refusals_read(f.runtime, 0, 0, refusals, 8), 0);
    cr_assert_eq(pawl_refusals_read(f.runtime, 1, 0, refusals, 8), 4);
    for (unsigned i = 0; i < 4; i++) {
        static const int reasons[] = {-EPERM, -ESTALE, -EALREADY, -ESTALE};
        static const enum pawl_report_kind kinds[] = {PAWL_REPORT_DONE, PAWL_REPORT_FAILED,
                                                      PAWL_REPORT_PROGRESS, PAWL_REPORT_KINDS};

        cr_assert_eq(refusals[i].number, i + 1);
        cr_assert_eq(refusals[i].task.id, lease.task.id);
        cr_assert_eq(refusals[i].agent, pawl_agent_incarnation(i == 0 ? liar : agent));
        cr_assert_eq(refusals[i].token, i == 1 ? stale.token : lease.token);
        cr_assert_eq(refusals[i].id, i + 3);
        cr_assert_eq(refusals[i].reason, reasons[i]);
        cr_assert_eq(refusals[i].kind, kinds[i], "%u: kind %u", i, (unsigned)refusals[i].kind);
        cr_assert_eq(refusals[i].lane, i < 3 ? pawl_lane_number("work") : 0);
    }
    end();
}

Test(refusals, the_last_ones_are_kept_and_can_be_followed)
{
    struct pawl_refusal refusals[PAWL_REFUSALS_KEPT + 1];
    struct pawl_lease lease;

    begin();
    lease = lease_on(0);
    for (uint32_t i = 0; i < PAWL_REFUSALS_KEPT + 10; i++)
        cr_assert_eq(told(liar, &lease, PAWL_REPORT_DONE, i + 1), -EPERM);
    cr_assert_eq(pawl_refusals_read(f.runtime, 0, 0, refusals, PAWL_REFUSALS_KEPT + 1),
                 PAWL_REFUSALS_KEPT);
    for (unsigned i = 0; i < PAWL_REFUSALS_KEPT; i++)
        cr_assert_eq(refusals[i].number, i + 11);
    cr_assert_eq(pawl_refusals_read(f.runtime, 0, refusals[4].number, refusals, 3), 3);
    cr_assert_eq(refusals[0].number, 16u);
    cr_assert_eq(refusals[2].id, 18u);
    cr_assert_eq(pawl_refusals_read(f.runtime, 0, PAWL_REFUSALS_KEPT + 10, refusals, 3), 0);
    cr_assert_eq(pawl_refusals_read(f.runtime, 0, UINT64_MAX, refusals, 3), 0);
    end();
}

/* ---- Read while they are written ---- */

struct reader {
    _Atomic uint32_t stop;
    uint64_t read;
    bool torn;
};

static void *read_on(void *argument)
{
    struct reader *reader = argument;
    uint64_t after = 0;

    while (load_acquire(&reader->stop) == 0) {
        struct pawl_refusal refusals[32];
        const int count = pawl_refusals_read(f.runtime, 0, after, refusals, 32);

        for (int i = 0; i < count; i++) {
            /* The writer counts ids as the shard counts refusals. */
            reader->torn |= refusals[i].id != refusals[i].number % (1u << 20) + 1 ||
                            refusals[i].number <= after || refusals[i].reason != -EPERM;
            after = refusals[i].number;
        }
        reader->read += (uint64_t)count;
    }
    return NULL;
}

Test(refusals, a_reader_sees_whole_ones_while_they_are_written_over)
{
    enum { ROUNDS = 20000 };
    struct reader reader = {.read = 0};
    struct pawl_lease lease;
    pthread_t thread;

    begin();
    lease = lease_on(0);
    cr_assert_eq(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (uint32_t i = 1; i <= ROUNDS; i++)
        cr_assert_eq(told(liar, &lease, PAWL_REPORT_DONE, i % (1u << 20) + 1), -EPERM);
    store_release(&reader.stop, 1);
    pthread_join(thread, NULL);
    cr_assert(!reader.torn);
    cr_assert(reader.read > 0);
    end();
}
