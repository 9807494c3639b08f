/*
 * policy.h - what a work task's policy says: defaults, checks, and what follows a failure.
 *
 * Layer: agent. No state: pure functions of the options, which nobody changes while a runtime is
 * open, and of a task's context.
 */
#ifndef PAWL_AGENT_POLICY_H
#define PAWL_AGENT_POLICY_H

#include <pawl/work.h>

/* The policy that a task names, or the first when there is none of that position. Never NULL. */
const struct pawl_work_policy *pawl__policy_of(const struct pawl_work_options *options,
                                               unsigned position);

/* Every finding goes to diagnose (may be NULL). 0 or -EINVAL. */
int pawl__policies_check(const struct pawl_work_options *options, pawl_diagnostic_fn *diagnose,
                         void *user);

/* What follows a failure of this class, which work counts already: PAWL_WORK_READY,
 * PAWL_WORK_DELAYED, PAWL_WORK_FAILED or PAWL_WORK_DEAD. */
enum pawl_work_state pawl__policy_after(const struct pawl_work_policy *policy,
                                        const struct pawl_work *work);

/* How long a task with this many attempts behind it waits for the next; random: any word. */
uint64_t pawl__policy_backoff(const struct pawl_work_policy *policy, uint32_t attempts,
                              uint64_t random);

static inline uint32_t policy_attempts(const struct pawl_work_policy *policy)
{
    return policy->attempts != 0 ? policy->attempts : 3;
}

static inline uint64_t policy_keep_ns(const struct pawl_work_policy *policy)
{
    return policy->keep_ns != 0 ? policy->keep_ns : UINT64_C(60000000000);
}

static inline uint64_t policy_keep_dead_ns(const struct pawl_work_policy *policy)
{
    return policy->keep_dead_ns != 0 ? policy->keep_dead_ns : PAWL_WORK_FOREVER;
}

static inline uint32_t policy_notes_max(const struct pawl_work_policy *policy)
{
    return policy->notes_max != 0 ? policy->notes_max : 256;
}

static inline uint32_t policy_bytes_max(const struct pawl_work_policy *policy)
{
    return policy->bytes_max != 0 ? policy->bytes_max : 1u << 20;
}

/* Whether a task has killed too many agents. */
static inline bool policy_quarantines(const struct pawl_work_policy *policy,
                                      const struct pawl_work *work)
{
    return work->crashes >= (policy->crashes != 0 ? policy->crashes : 3);
}

#endif /* PAWL_AGENT_POLICY_H */
