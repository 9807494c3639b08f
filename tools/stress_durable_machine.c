/*
 * stress_durable_machine.c - the machines of `pawl stress --durable`.
 *
 * account  takes numbered orders (stress_durable_account.c)
 * clerk    created by an account from inside a step; gives its token back when its timer fires, and
 *          ends
 * guest    a keyed task that tellers create and end
 * witness  memory-only: what reaches it must be safe on disk already, so it logs that at once
 */
#include <stdio.h>
#include <string.h>

#include "stress_durable_machine.h"

/* --- seals and faults --- */

static uint32_t guest_seal(const struct guest_context *guest)
{
    return small_seal(guest->index, guest->number, guest->notes);
}

struct guest_context guest_new(uint32_t index, uint32_t number)
{
    struct guest_context guest = {.index = index, .number = number};
    guest.seal = guest_seal(&guest);
    return guest;
}

size_t guest_key(char key[64], uint32_t index)
{
    return (size_t)snprintf(key, 64, "guest %u", index);
}

const char *bank_view_fault(const struct bank *bank, const struct pawl_view *view)
{
    const struct account *account = view->context;
    const struct clerk *clerk = view->context;
    const struct guest_context *guest = view->context;
    const char *fault;
    char key[64];
    size_t size;
    switch ((enum bank_machine)view->machine) {
    case BANK_ACCOUNT:
        fault = account_fault(bank, account);
        if (fault != NULL)
            return fault;
        size = account_key(key, account->index);
        if (view->key_size != size || memcmp(key, view->key, size) != 0)
            return "has not the key that it was given";
        return (view->state == ACCOUNT_CLOSED) == ((account->flags & ACCOUNT_IS_CLOSED) != 0)
                   ? NULL
                   : "is in another state than its context says";
    case BANK_CLERK:
        return clerk->seal == clerk_seal(clerk) && clerk->boss < bank->accounts_count
                   ? NULL
                   : "has a context that no step committed";
    case BANK_GUEST:
        size = guest_key(key, guest->index);
        if (guest->seal != guest_seal(guest) || guest->index >= bank->guests_count)
            return "has a context that no step committed";
        return view->key_size == size && memcmp(key, view->key, size) == 0
                   ? NULL
                   : "has not the key that it was given";
    case BANK_WITNESS:
        return NULL;
    case BANK_MACHINES:
        break;
    }
    return "is of no machine that there is";
}

/* --- clerks, guests, witnesses --- */

static void clerk_enter(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct clerk *clerk = context;
    if (clerk->seal != clerk_seal(clerk))
        bank_find_torn(step, "a clerk of account", clerk->boss);
    pawl_step_arm(step, 0, event->arg[0]);
}

static void clerk_on_ring(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct clerk *clerk = context;
    struct bank *bank = bank_of(step);
    (void)event;
    if (clerk->seal != clerk_seal(clerk) || clerk->boss >= bank->accounts_count) {
        bank_find_torn(step, "a clerk of account", clerk->boss);
        return;
    }
    pawl_step_post(step, &(struct pawl_event){.task.id = bank->accounts[clerk->boss].task,
                                              .code = ACCOUNT_GIFT,
                                              .tag = TAG_GIFT,
                                              .arg[0] = (uint64_t)clerk->tokens << 32});
}

static void guest_on_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct guest_context *guest = context;
    if (guest->seal != guest_seal(guest))
        bank_find_torn(step, "guest", guest->index);
    if (event->arg[0] != (uint64_t)guest->notes + 1)
        stress_find(bank_of(step)->s,
                    event->arg[0] <= guest->notes ? FINDING_DUPLICATED : FINDING_LOST,
                    "guest %u, visit %u: note %llu came after note %u", guest->index, guest->number,
                    (unsigned long long)event->arg[0], guest->notes);
    guest->notes = (uint32_t)event->arg[0];
    guest->seal = guest_seal(guest);
    pawl_step_answer(step, guest->notes);
}

static void witness_on_see(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct ack_record record = {.kind = ACK_SEEN,
                                .index = (uint32_t)event->arg[0],
                                .number = (uint32_t)event->arg[1],
                                .shard = (uint16_t)pawl_step_shard(step),
                                .time_ns = stress_wall_ns()};
    (void)context;
    bank_log(bank_of(step), &record, 1);
}

/* Told, so not lost in silence: the books allow for it. */
static void dropped(struct bank *bank, const struct pawl_event *event)
{
    struct ack_record record = {.kind = ACK_DROPPED, .time_ns = stress_wall_ns()};
    bool reply = event->code == ACCOUNT_REPLY || event->code == ACCOUNT_EMPLOYED;
    if (event->tag == TAG_GIFT)
        record.number = gift_amount(event);
    bank_is_full(bank);
    if (!reply && record.number == 0)
        return;
    bank_log(bank, &record, 1);
    add_relaxed(reply ? &bank->dropped_replies : &bank->dropped_tokens, reply ? 1 : record.number);
}

void bank_undelivered(void *user, const struct pawl_event *event, int reason)
{
    struct bank *bank = user;
    if (reason == -EIO || reason == -ECANCELED)
        return; /* the journal has failed, or the runtime was stopped: recovery sends it again */
    if (reason == -ENOSPC) {
        dropped(bank, event);
        return;
    }
    /*
     * A witness of before the crash: what it should have seen is not sent again, but may be under
     * way.
     */
    if (event->tag == TAG_SHOW && reason == -ESTALE)
        return;
    stress_find(bank->s, FINDING_LOST, "%s for task %#llx (code %u) was not handled: %s",
                event->tag == TAG_GIFT ? "a gift" : "an event", (unsigned long long)event->task.id,
                event->code, pawl_strerror(reason));
}

/* --- charts --- */

static const struct pawl_timer_def bells[] = {{"bell", "ring"}};

static const char *const clerk_events[] = {[CLERK_RING] = "ring"};
static const struct pawl_state_def clerk_states[] = {
    {.name = "employed", .entry = clerk_enter},
    {.name = "gone", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def clerk_transitions[] = {
    {.from = "employed", .on = "ring", .to = "gone", .action = clerk_on_ring},
};

static const char *const guest_events[] = {[GUEST_NOTE] = "note", [GUEST_LEAVE] = "leave"};
static const struct pawl_state_def guest_states[] = {
    {.name = "here"},
    {.name = "gone", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def guest_transitions[] = {
    {.from = "here", .on = "note", .action = guest_on_note},
    {.from = "here", .on = "leave", .to = "gone"},
};

static const char *const witness_events[] = {[WITNESS_SEE] = "see"};
static const struct pawl_state_def witness_states[] = {{.name = "watching"}};
static const struct pawl_transition_def witness_transitions[] = {
    {.from = "watching", .on = "see", .action = witness_on_see},
};

int bank_machine_compile(enum bank_machine machine, enum pawl_durability durability,
                         pawl_diagnostic_fn *diagnose, struct pawl_machine **compiled)
{
    struct pawl_machine_def definition;
    switch (machine) {
    case BANK_ACCOUNT:
        definition = account_definition();
        break;
    case BANK_CLERK:
        definition = (struct pawl_machine_def){.name = "clerk",
                                               .events = clerk_events,
                                               .events_count = ARRAY_LEN(clerk_events),
                                               .states = clerk_states,
                                               .states_count = ARRAY_LEN(clerk_states),
                                               .transitions = clerk_transitions,
                                               .transitions_count = ARRAY_LEN(clerk_transitions),
                                               .timers = bells,
                                               .timers_count = ARRAY_LEN(bells),
                                               .context_size = sizeof(struct clerk),
                                               .unexpected = PAWL_UNEXPECTED_REFUSE};
        break;
    case BANK_GUEST:
        definition = (struct pawl_machine_def){.name = "guest",
                                               .events = guest_events,
                                               .events_count = ARRAY_LEN(guest_events),
                                               .states = guest_states,
                                               .states_count = ARRAY_LEN(guest_states),
                                               .transitions = guest_transitions,
                                               .transitions_count = ARRAY_LEN(guest_transitions),
                                               .context_size = sizeof(struct guest_context),
                                               .unexpected = PAWL_UNEXPECTED_REFUSE};
        break;
    case BANK_WITNESS:
    case BANK_MACHINES:
        definition = (struct pawl_machine_def){.name = "witness",
                                               .events = witness_events,
                                               .events_count = ARRAY_LEN(witness_events),
                                               .states = witness_states,
                                               .states_count = ARRAY_LEN(witness_states),
                                               .transitions = witness_transitions,
                                               .transitions_count = ARRAY_LEN(witness_transitions)};
        durability = PAWL_DURABILITY_MEMORY;
        break;
    }
    definition.durability = durability;
    return pawl_machine_compile(&definition, diagnose, NULL, compiled);
}
