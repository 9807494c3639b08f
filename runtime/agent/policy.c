/*
 * policy.c - defaults, checks and decisions of work policies.
 *
 * Layer: agent.
 */
#include "agent/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BACKOFF_MAX_NS UINT64_C(3600000000000)
#define CRASHES_MAX    255u /* a byte in the context counts them */
#define NOTES_MAX      60000u

const struct pawl_work_policy *pawl__policy_of(const struct pawl_work_options *options,
                                               unsigned position)
{
    static const struct pawl_work_policy plain;

    if (options == NULL || options->policies_count == 0)
        return &plain;
    return &options->policies[position < options->policies_count ? position : 0];
}

struct findings {
    pawl_diagnostic_fn *diagnose;
    void *user;
    int error;
};

static void find(struct findings *f, const char *where, const char *what)
{
    const struct pawl_diagnostic diagnostic = {.error = -EINVAL, .where = where, .what = what};

    f->error = -EINVAL;
    if (f->diagnose != NULL)
        f->diagnose(f->user, &diagnostic);
}

static bool lane_name_is_valid(const char *name)
{
    const size_t length = name != NULL ? strnlen(name, PAWL_LANE_NAME_MAX + 1) : 0;

    return length >= 1 && length <= PAWL_LANE_NAME_MAX;
}

static void check_policy(struct findings *f, const struct pawl_work_policy *policy, size_t position)
{
    char where[128];

    snprintf(where, sizeof(where), "pawl_options.work, policy %zu (%.64s)", position,
             policy->name != NULL ? policy->name : "no name");
    if ((unsigned)policy->jitter > PAWL_WORK_JITTER_EQUAL)
        find(f, where, "jitter is none of enum pawl_work_jitter; take PAWL_WORK_JITTER_NONE");
    if ((unsigned)policy->broken > PAWL_WORK_BROKEN_GO_ON)
        find(f, where, "broken is none of enum pawl_work_broken; take PAWL_WORK_BROKEN_FAIL");
    if ((unsigned)policy->verify > PAWL_WORK_VERIFY_LANE)
        find(f, where, "verify is none of enum pawl_work_verify; take PAWL_WORK_VERIFY_NONE");
    if (policy->verify == PAWL_WORK_VERIFY_HOST && policy->check == NULL)
        find(f, where, "verify says that the host checks results, but check is NULL; set it");
    if (policy->verify == PAWL_WORK_VERIFY_LANE && !lane_name_is_valid(policy->verify_lane))
        find(f, where,
             "verify says that agents check results, but verify_lane names no lane; name one of "
             "pawl_options.lanes, with 1 to 31 bytes");
    if (policy->backoff_max_ns != 0 && policy->backoff_max_ns < policy->backoff_ns)
        find(f, where,
             "backoff_max_ns is less than backoff_ns, with which it begins; raise the one or lower "
             "the other");
    if (policy->crashes > CRASHES_MAX && policy->crashes != PAWL_WORK_UNLIMITED)
        find(f, where, "crashes is more than 255; take PAWL_WORK_UNLIMITED for no limit");
    if (policy->notes_max > NOTES_MAX)
        find(f, where, "notes_max is more than 60000; lower it");
}

int pawl__policies_check(const struct pawl_work_options *options, pawl_diagnostic_fn *diagnose,
                         void *user)
{
    struct findings f = {.diagnose = diagnose, .user = user};

    if (options->policies_count > PAWL_WORK_POLICIES_MAX)
        find(&f, "pawl_options.work", "there are more than 4096 policies; share some");
    else if (options->policies_count > 0 && options->policies == NULL)
        find(&f, "pawl_options.work", "policies is NULL, but policies_count is not 0");
    else
        for (size_t i = 0; i < options->policies_count; i++)
            check_policy(&f, &options->policies[i], i);
    if ((unsigned)options->durability > PAWL_DURABILITY_SYNC)
        find(&f, "pawl_options.work", "durability is none of enum pawl_durability");
    return f.error;
}

enum pawl_work_state pawl__policy_after(const struct pawl_work_policy *policy,
                                        const struct pawl_work *work)
{
    if (work->klass == PAWL_WORK_CLASS_LOST && policy_quarantines(policy, work))
        return PAWL_WORK_DEAD;
    if (work->klass < PAWL_WORK_CLASSES && (policy->not_retried >> work->klass & 1) != 0)
        return PAWL_WORK_FAILED;
    if (work->attempts >= work->attempts_max && work->attempts_max != PAWL_WORK_UNLIMITED)
        return PAWL_WORK_DEAD;
    return policy->backoff_ns != 0 ? PAWL_WORK_DELAYED : PAWL_WORK_READY;
}

uint64_t pawl__policy_backoff(const struct pawl_work_policy *policy, uint32_t attempts,
                              uint64_t random)
{
    uint64_t most = policy->backoff_max_ns != 0 ? policy->backoff_max_ns : BACKOFF_MAX_NS;
    uint64_t delay = policy->backoff_ns;
    uint64_t fixed;

    most = most > policy->backoff_ns ? most : policy->backoff_ns;
    for (uint32_t i = 1; i < attempts && delay < most; i++)
        delay = delay > most / 2 ? most : delay * 2;
    delay = delay < most ? delay : most;
    if (policy->jitter == PAWL_WORK_JITTER_NONE)
        return delay;
    fixed = policy->jitter == PAWL_WORK_JITTER_EQUAL ? delay / 2 : 0;
    /* What is added is 0 to delay - fixed; 2^64 - 1 is any word at all. */
    return fixed + (delay - fixed == UINT64_MAX ? random : random % (delay - fixed + 1));
}
