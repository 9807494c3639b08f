/* Work policies: defaults, what is refused, what follows a failure, and backoff. */
#include "agent/policy.h"

#include <pawl/work.h>

#include "support/diagnostics.h"
#include "support/test.h"

#define SECOND UINT64_C(1000000000)

static struct diagnostics d;

static int check(const struct pawl_work_policy *policy)
{
    const struct pawl_work_options options = {.policies = policy, .policies_count = 1};

    d.length = d.errors = 0;
    d.text[0] = '\0';
    return pawl__policies_check(&options, diagnostics_add, &d);
}

static int no_check(void *user, struct pawl_task task, const struct pawl_work *work,
                    const struct pawl_reported *report)
{
    (void)user, (void)task, (void)work, (void)report;
    return 0;
}

Test(policy, defaults)
{
    const struct pawl_work_policy *plain = pawl__policy_of(NULL, 7);

    cr_assert_eq(policy_attempts(plain), 3);
    cr_assert_eq(policy_keep_ns(plain), 60 * SECOND);
    cr_assert_eq(policy_keep_dead_ns(plain), PAWL_WORK_FOREVER);
    cr_assert_eq(policy_notes_max(plain), 256);
    cr_assert_eq(policy_bytes_max(plain), 1u << 20);
    cr_assert_eq(pawl__policy_backoff(plain, 5, 1234), 0);
    cr_assert_eq(check(plain), 0);
}

Test(policy, one_that_is_not_there_any_more_is_the_first)
{
    const struct pawl_work_policy policies[] = {{.attempts = 4}, {.attempts = 5}};
    const struct pawl_work_options options = {.policies = policies, .policies_count = 2};

    cr_assert_eq(policy_attempts(pawl__policy_of(&options, 1)), 5);
    cr_assert_eq(policy_attempts(pawl__policy_of(&options, 2)), 4);
}

Test(policy, each_mistake_is_told_with_its_place)
{
    const struct pawl_work_options lost = {.policies_count = 3};

    cr_assert_eq(check(&(struct pawl_work_policy){.name = "x", .verify = PAWL_WORK_VERIFY_HOST}),
                 -EINVAL);
    cr_assert(diagnostics_have(&d, "error", "pawl_options.work, policy 0 (x)", "check is NULL"));
    cr_assert_eq(check(&(struct pawl_work_policy){.verify = PAWL_WORK_VERIFY_LANE}), -EINVAL);
    cr_assert(diagnostics_have(&d, "error", "policy 0 (no name)", "verify_lane"));
    cr_assert_eq(check(&(struct pawl_work_policy){.backoff_ns = 2, .backoff_max_ns = 1}), -EINVAL);
    cr_assert_eq(check(&(struct pawl_work_policy){.crashes = 256}), -EINVAL);
    cr_assert_eq(check(&(struct pawl_work_policy){.crashes = PAWL_WORK_UNLIMITED}), 0);
    cr_assert_eq(check(&(struct pawl_work_policy){.notes_max = 60001}), -EINVAL);
    cr_assert_eq(check(&(struct pawl_work_policy){.jitter = (enum pawl_work_jitter)9}), -EINVAL);
    cr_assert_eq(check(&(struct pawl_work_policy){.broken = (enum pawl_work_broken)9}), -EINVAL);
    cr_assert_eq(check(&(struct pawl_work_policy){.verify = (enum pawl_work_verify)9}), -EINVAL);
    cr_assert_eq(
        check(&(struct pawl_work_policy){.verify = PAWL_WORK_VERIFY_HOST, .check = no_check}), 0);
    cr_assert_eq(pawl__policies_check(&lost, NULL, NULL), -EINVAL);
}

Test(policy, backoff_doubles_up_to_its_cap)
{
    const struct pawl_work_policy policy = {.backoff_ns = 3 * SECOND,
                                            .backoff_max_ns = 20 * SECOND};
    static const uint64_t seconds[] = {3, 6, 12, 20, 20};

    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(pawl__policy_backoff(&policy, i + 1, 99), seconds[i] * SECOND);
    cr_assert_eq(pawl__policy_backoff(&policy, UINT32_MAX, 99), 20 * SECOND);
    cr_assert_eq(pawl__policy_backoff(&(struct pawl_work_policy){.backoff_ns = SECOND}, 40, 0),
                 3600 * SECOND);
    cr_assert_eq(pawl__policy_backoff(&(struct pawl_work_policy){.backoff_ns = UINT64_MAX}, 9, 5),
                 UINT64_MAX);
}

Test(policy, jitter_keeps_its_bounds_and_reaches_them)
{
    struct pawl_work_policy policy = {.backoff_ns = 8, .jitter = PAWL_WORK_JITTER_FULL};
    uint64_t seen = 0;

    for (uint64_t random = 0; random < 100; random++) {
        const uint64_t delay = pawl__policy_backoff(&policy, 1, random);

        cr_assert(delay <= 8);
        seen |= UINT64_C(1) << delay;
    }
    cr_assert_eq(seen, 0x1ff);
    policy.jitter = PAWL_WORK_JITTER_EQUAL;
    seen = 0;
    for (uint64_t random = 0; random < 100; random++)
        seen |= UINT64_C(1) << pawl__policy_backoff(&policy, 1, random);
    cr_assert_eq(seen, 0x1f0);
}

static enum pawl_work_state after(const struct pawl_work_policy *policy, uint8_t klass,
                                  uint32_t attempts, uint8_t crashes)
{
    const struct pawl_work work = {
        .klass = klass, .attempts = attempts, .attempts_max = 3, .crashes = crashes};

    return pawl__policy_after(policy, &work);
}

Test(policy, what_follows_a_failure)
{
    const struct pawl_work_policy plain = {.not_retried = UINT64_C(1) << 63 | 2};
    const struct pawl_work_policy later = {.backoff_ns = 1};

    cr_assert_eq(after(&plain, 0, 2, 0), PAWL_WORK_READY);
    cr_assert_eq(after(&plain, 0, 3, 0), PAWL_WORK_DEAD);
    cr_assert_eq(after(&plain, 1, 1, 0), PAWL_WORK_FAILED);
    cr_assert_eq(after(&plain, 63, 3, 0), PAWL_WORK_FAILED);
    cr_assert_eq(after(&plain, PAWL_WORK_CLASS_LOST, 1, 2), PAWL_WORK_READY);
    cr_assert_eq(after(&plain, PAWL_WORK_CLASS_LOST, 1, 3), PAWL_WORK_DEAD);
    cr_assert_eq(after(&plain, PAWL_WORK_CLASS_EXPIRED, 1, 3), PAWL_WORK_READY);
    cr_assert_eq(after(&later, 0, 1, 0), PAWL_WORK_DELAYED);
}

Test(policy, unlimited_attempts_never_end)
{
    const struct pawl_work_policy plain = {.attempts = PAWL_WORK_UNLIMITED};
    const struct pawl_work work = {.attempts = UINT32_MAX - 1, .attempts_max = PAWL_WORK_UNLIMITED};

    cr_assert_eq(pawl__policy_after(&plain, &work), PAWL_WORK_READY);
}
