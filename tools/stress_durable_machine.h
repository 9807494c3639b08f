/*
 * stress_durable_machine.h - what the handlers of `pawl stress --durable` share:
 * stress_durable_account.c and stress_durable_machine.c.
 */
#ifndef PAWL_TOOLS_STRESS_DURABLE_MACHINE_H
#define PAWL_TOOLS_STRESS_DURABLE_MACHINE_H

#include <pawl/step.h>

#include "stress_durable.h"

/* Tags of events inside, for what is not delivered. */
#define TAG_GIFT 1u
#define TAG_SHOW 2u

static inline struct bank *bank_of(const struct pawl_step *step)
{
    return pawl_step_user(step);
}

static inline uint32_t small_seal(uint32_t a, uint32_t b, uint32_t c)
{
    return (uint32_t)mix64(mix64((uint64_t)a << 32 | b) + c + 1);
}

static inline uint32_t clerk_seal(const struct clerk *clerk)
{
    return small_seal(clerk->boss, clerk->number, clerk->tokens);
}

static inline void bank_find_torn(const struct pawl_step *step, const char *what, uint32_t index)
{
    stress_find(bank_of(step)->s, FINDING_TORN,
                "a step of %s %u (task %#llx) began with a context that no step committed", what,
                index, (unsigned long long)pawl_step_task(step).id);
}

struct pawl_machine_def account_definition(void);
uint32_t gift_amount(const struct pawl_event *gift);
/* What is wrong with an account, in words; NULL: nothing. */
const char *account_fault(const struct bank *bank, const struct account *account);

#endif /* PAWL_TOOLS_STRESS_DURABLE_MACHINE_H */
