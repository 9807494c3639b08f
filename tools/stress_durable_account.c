/*
 * stress_durable_account.c - the account of `pawl stress --durable`: it takes orders by number, and
 * each of them does what the seed, the account and the number decide.
 *
 * Handlers may run more than once for one step (a step that is given up for want of room is made
 * again), so they count in the context alone.
 */
#include <errno.h>
#include <pawl/step.h>
#include <stdio.h>
#include <string.h>

#include "stress_durable_machine.h"

#define CLOSED_NS (5 * MILLISECOND)

/* A parcel: amount, key, then bytes that its key gives. */
#define PARCEL_HEAD (2 * sizeof(uint64_t))
#define PARCEL_MAX  1500u

/* --- orders --- */

struct bank_order bank_order_of(const struct bank *bank, uint32_t index, uint32_t number)
{
    static const uint8_t ops[32] = {
        OP_BANK_PLAIN,  OP_BANK_PLAIN, OP_BANK_PLAIN, OP_BANK_PLAIN,  OP_BANK_PLAIN, OP_BANK_PLAIN,
        OP_BANK_PAY,    OP_BANK_PAY,   OP_BANK_PAY,   OP_BANK_PAY,    OP_BANK_PAY,   OP_BANK_PAY,
        OP_BANK_PAY,    OP_BANK_PAY,   OP_BANK_PAY,   OP_BANK_PAY,    OP_BANK_PAY,   OP_BANK_PAY,
        OP_BANK_PARCEL, OP_BANK_ASK,   OP_BANK_ASK,   OP_BANK_ASK,    OP_BANK_ASK,   OP_BANK_ARM,
        OP_BANK_ARM,    OP_BANK_ARM,   OP_BANK_ARM,   OP_BANK_DISARM, OP_BANK_CLOSE, OP_BANK_HIRE,
        OP_BANK_HIRE,   OP_BANK_SHOW,
    };
    uint64_t dice = mix64(bank->head.seed ^ mix64(((uint64_t)index << 32 | number) + 1));
    uint64_t more = mix64(dice);
    return (struct bank_order){
        .op = (enum bank_op)ops[dice % 32],
        .target = (uint32_t)((dice >> 8) % bank->accounts_count),
        .amount = 1 + (uint32_t)(more % 8),
        .hops = (more >> 8) % 4 == 0 ? (uint32_t)(more >> 16) % 4 : 0,
        .bytes = PARCEL_HEAD + (uint32_t)(more >> 24) % (PARCEL_MAX - PARCEL_HEAD),
        .delay_ns = (more >> 8) % 16 == 0 ? 200 * MILLISECOND : (more >> 40) % (20 * MILLISECOND),
        .control = (more >> 4) % 8 == 0,
    };
}

/* --- the context --- */

static uint64_t account_seal(const struct account *account)
{
    uint64_t words[sizeof(*account) / 8];
    uint64_t seal = 1;
    memcpy(words, account, sizeof(words));
    for (size_t i = 0; i + 1 < ARRAY_LEN(words); i++)
        seal = mix64(seal ^ words[i]) + i;
    return seal;
}

struct account account_new(const struct bank *bank, uint32_t index)
{
    struct account account = {.index = index, .balance = bank->head.tokens};
    account.seal = account_seal(&account);
    return account;
}

size_t account_key(char key[64], uint32_t index)
{
    return index % 2 == 0 ? (size_t)snprintf(key, 64, "account %u", index) : 0;
}

const char *account_fault(const struct bank *bank, const struct account *a)
{
    uint32_t orders = 0;
    for (int op = 0; op < BANK_OPS; op++)
        orders += a->done[op];
    if (a->seal != account_seal(a))
        return "has a context that no step committed";
    if (a->index >= bank->accounts_count)
        return "has a number that no account has";
    if (a->balance != bank->head.tokens + a->got - a->given)
        return "has a balance that is not what it began with, got and gave";
    if (orders != a->last)
        return "has handled other orders than it counts";
    if (a->done[OP_BANK_ARM] !=
        a->fired + a->disarmed + ((a->flags & ACCOUNT_IS_ARMED) != 0 ? 1 : 0))
        return "has armed, fired and cancelled timers that do not add up";
    if (bank->head.loose == 0 && (a->replies > a->done[OP_BANK_ASK] || a->employed > a->hired))
        return "was replied to more often than it asked";
    return NULL;
}

static void account_begin(const struct pawl_step *step, const struct account *a)
{
    if (a->seal != account_seal(a))
        bank_find_torn(step, "account", a->index);
}

static void account_end(struct account *a)
{
    a->seal = account_seal(a);
}

/* --- gifts --- */

static uint8_t parcel_byte(uint64_t key, size_t at)
{
    return (uint8_t)(key + at * 29);
}

static struct pawl_buffer *parcel_make(uint64_t words, uint64_t key, uint32_t bytes)
{
    struct pawl_buffer *buffer = pawl_buffer_create(bytes);
    if (buffer == NULL)
        return NULL;
    uint8_t *at = pawl_buffer_bytes(buffer);
    memcpy(at, &words, sizeof(words));
    memcpy(at + sizeof(words), &key, sizeof(key));
    for (size_t i = PARCEL_HEAD; i < bytes; i++)
        at[i] = parcel_byte(key, i);
    return buffer;
}

static uint64_t parcel_open(const struct pawl_step *step, const struct pawl_event *event)
{
    struct pawl_buffer *buffer = (struct pawl_buffer *)(uintptr_t)event->arg[0];
    const uint8_t *at = pawl_buffer_bytes(buffer);
    size_t size = pawl_buffer_size(buffer);
    uint64_t words = 0, key = 0;
    bool whole = size >= PARCEL_HEAD;
    if (whole) {
        memcpy(&words, at, sizeof(words));
        memcpy(&key, at + sizeof(words), sizeof(key));
        whole = key == event->arg[1];
    }
    for (size_t i = PARCEL_HEAD; i < size && whole; i++)
        whole = at[i] == parcel_byte(key, i);
    if (!whole)
        stress_find(bank_of(step)->s, FINDING_TORN, "a parcel of %zu bytes (%#llx) was changed",
                    size, (unsigned long long)event->arg[1]);
    return words;
}

uint32_t gift_amount(const struct pawl_event *gift)
{
    uint64_t words = gift->arg[0];
    if ((gift->flags & PAWL_EVENT_BUFFER) != 0)
        memcpy(&words, pawl_buffer_bytes((struct pawl_buffer *)(uintptr_t)gift->arg[0]),
               sizeof(words));
    return (uint32_t)(words >> 32);
}

/* amount:32 | hops:32. A gift that is on its way carries what its giver no longer has. */
static void give(struct pawl_step *step, struct account *a, const struct bank_order *order,
                 uint64_t key)
{
    struct bank *bank = bank_of(step);
    uint64_t amount = order->amount < a->balance ? order->amount : a->balance;
    uint64_t words = amount << 32 | order->hops;
    struct pawl_event gift = {.task.id = bank->accounts[order->target].task,
                              .code = ACCOUNT_GIFT,
                              .flags = order->control ? PAWL_EVENT_CONTROL : 0,
                              .tag = TAG_GIFT,
                              .arg = {words, key}};
    a->balance -= amount;
    a->given += amount;
    if (amount > 0 && bank_wants(bank, PLANT_CHAIN))
        return;
    if (order->bytes > 0) {
        struct pawl_buffer *buffer = parcel_make(words, key, order->bytes);
        if (buffer == NULL) {
            pawl_step_abort(step, -ENOMEM);
            return;
        }
        gift.flags |= PAWL_EVENT_BUFFER;
        gift.arg[0] = (uint64_t)(uintptr_t)buffer;
        if (pawl_step_post(step, &gift) != 0)
            pawl_buffer_unref(buffer);
        return;
    }
    pawl_step_post(step, &gift);
}

static void account_on_gift(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct account *a = context;
    account_begin(step, a);
    uint64_t words =
        (event->flags & PAWL_EVENT_BUFFER) != 0 ? parcel_open(step, event) : event->arg[0];
    uint32_t amount = (uint32_t)(words >> 32);
    uint32_t hops = (uint32_t)words;
    a->balance += amount;
    a->got += amount;
    if (hops > 0 && amount > 1) {
        const struct bank *bank = bank_of(step);
        uint64_t dice = mix64(event->arg[1] + hops);
        give(step, a,
             &(struct bank_order){.target = (uint32_t)(dice % bank->accounts_count),
                                  .amount = amount / 2,
                                  .hops = hops - 1},
             dice);
    }
    account_end(a);
}

/* --- what orders do --- */

static void ask(struct pawl_step *step, struct account *a, const struct bank_order *order,
                uint64_t key)
{
    a->asked ^= answer_to(key);
    pawl_step_ask(step,
                  &(struct pawl_event){.task.id = bank_of(step)->accounts[order->target].task,
                                       .code = ACCOUNT_ASK,
                                       .arg[0] = key},
                  ACCOUNT_REPLY);
}

static void disarm(struct account *a)
{
    a->disarmed += (a->flags & ACCOUNT_IS_ARMED) != 0;
    a->flags &= ~ACCOUNT_IS_ARMED;
}

static void arm(struct pawl_step *step, struct account *a, const struct bank_order *order)
{
    disarm(a);
    a->flags |= ACCOUNT_IS_ARMED;
    if (!bank_wants_some(bank_of(step), PLANT_TIMER, a->index))
        pawl_step_arm(step, 0, order->delay_ns);
    else
        pawl_step_cancel(step, 0);
}

static void hire(struct pawl_step *step, struct account *a, const struct bank_order *order)
{
    if (a->balance == 0)
        return;
    struct clerk clerk = {.boss = a->index, .number = a->hired + 1, .tokens = 1};
    clerk.seal = clerk_seal(&clerk);
    char key[64];
    struct pawl_task made = PAWL_NO_TASK;
    struct pawl_task_spec spec = {
        .machine = BANK_CLERK,
        .shard = order->control ? PAWL_ANY_SHARD : order->target % pawl_step_shard_count(step),
        .context = &clerk,
        .context_size = sizeof(clerk),
        .arg[0] = order->delay_ns};
    if (order->amount % 2 == 0) {
        spec.key = key;
        spec.key_size =
            (size_t)snprintf(key, sizeof(key), "clerk %u of %u", clerk.number, a->index);
    }
    if (pawl_step_create(step, &spec, ACCOUNT_EMPLOYED, &made) == -EEXIST) {
        /* A clerk of a step that a crash took back, and that had been made on another shard. */
        if (bank_of(step)->head.loose == 0)
            stress_find(bank_of(step)->s, FINDING_DUPLICATED,
                        "clerk %u of account %u (task %#llx) is there before it was hired",
                        clerk.number, a->index, (unsigned long long)made.id);
        a->hired++;
        a->employed++;
        return;
    }
    a->hired++;
    a->employed += made.id != 0;
    a->balance--;
    a->given++;
}

/* What storage does is told elsewhere: refused for want of room, or unknown after a failure. */
static bool is_unexpected(uint64_t error)
{
    return error != 0 && (int64_t)error != -ENOSPC && (int64_t)error != -EIO;
}

static void account_on_employed(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    struct account *a = context;
    account_begin(step, a);
    a->employed++;
    if (event->arg[1] != 0) {
        a->balance++;
        a->got++;
        if (bank_of(step)->head.loose == 0 && is_unexpected(event->arg[1]))
            stress_find(bank_of(step)->s, FINDING_UNEXPLAINED,
                        "a clerk of account %u was not created: %s", a->index,
                        pawl_strerror((int)(int64_t)event->arg[1]));
    }
    account_end(a);
}

/* Recovered orders may be handled before there is a witness: nobody is told of those. */
static void show(struct pawl_step *step, const struct account *a)
{
    struct bank *bank = bank_of(step);
    uint64_t witness = load_acquire(&bank->witnesses[a->last % bank->shards]);
    struct pawl_event event = {
        .task.id = witness, .code = WITNESS_SEE, .tag = TAG_SHOW, .arg = {a->index, a->last}};
    if (witness != 0)
        pawl_step_post(step, &event);
}

static void order_run(struct pawl_step *step, struct account *a)
{
    struct bank_order order = bank_order_of(bank_of(step), a->index, a->last);
    uint64_t key = (uint64_t)a->index << 32 | a->last;
    a->done[order.op]++;
    switch (order.op) {
    case OP_BANK_PAY:
        order.bytes = 0;
        give(step, a, &order, key);
        break;
    case OP_BANK_PARCEL:
        give(step, a, &order, key);
        break;
    case OP_BANK_ASK:
        ask(step, a, &order, key);
        break;
    case OP_BANK_ARM:
        arm(step, a, &order);
        break;
    case OP_BANK_DISARM:
        disarm(a);
        pawl_step_cancel(step, 0);
        break;
    case OP_BANK_HIRE:
        hire(step, a, &order);
        break;
    case OP_BANK_SHOW:
        show(step, a);
        break;
    case OP_BANK_PLAIN:
    case OP_BANK_CLOSE:
    case BANK_OPS:
        break;
    }
}

/* Whether this is the account's next order. If not, the step is given up. */
static bool is_next(struct pawl_step *step, const struct account *a, const char *what,
                    uint32_t last, const struct pawl_event *event)
{
    if (event->arg[1] != a->index)
        stress_find(bank_of(step)->s, FINDING_UNEXPLAINED, "account %u got an order for %llu",
                    a->index, (unsigned long long)event->arg[1]);
    else if (event->arg[0] == (uint64_t)last + 1)
        return true;
    else if (event->arg[0] <= last)
        stress_find(bank_of(step)->s, FINDING_DUPLICATED,
                    "%s %llu of account %u (task %#llx) came again: %u is handled already", what,
                    (unsigned long long)event->arg[0], a->index,
                    (unsigned long long)pawl_step_task(step).id, last);
    pawl_step_abort(step, -EBADMSG); /* its teller knows why, or finds that it does not */
    return false;
}

static void account_on_order(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct account *a = context;
    account_begin(step, a);
    if (!is_next(step, a, "order", a->last, event))
        return;
    a->last++;
    order_run(step, a);
    pawl_step_answer(step, a->last);
    account_end(a);
    /* Where no entry action would seal it again. */
    if (bank_order_of(bank_of(step), a->index, a->last).op == OP_BANK_PLAIN &&
        bank_wants(bank_of(step), PLANT_TEAR))
        a->seal++;
}

static bool closes(const struct pawl_step *step, const void *context,
                   const struct pawl_event *event)
{
    const struct account *a = context;
    return event->arg[0] == (uint64_t)a->last + 1 &&
           bank_order_of(bank_of(step), a->index, a->last + 1).op == OP_BANK_CLOSE;
}

static void account_on_urgent(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct account *a = context;
    account_begin(step, a);
    if (!is_next(step, a, "urgent order", a->urgent, event))
        return;
    a->urgent++;
    pawl_step_answer(step, a->urgent);
    account_end(a);
}

static void account_on_ask(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct account *a = context;
    account_begin(step, a);
    pawl_step_answer(step, answer_to(event->arg[0]));
}

static void account_on_reply(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct account *a = context;
    account_begin(step, a);
    a->replies++;
    a->asked ^= event->arg[0];
    if (is_unexpected(event->arg[1]))
        stress_find(bank_of(step)->s, FINDING_UNEXPLAINED, "account %u was not answered: %s",
                    a->index, pawl_strerror((int)(int64_t)event->arg[1]));
    account_end(a);
}

static void account_on_ring(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct account *a = context;
    (void)event;
    account_begin(step, a);
    if ((a->flags & ACCOUNT_IS_ARMED) == 0)
        stress_find(bank_of(step)->s, FINDING_DUPLICATED,
                    "a timer of account %u fired that was not armed any more", a->index);
    else
        a->fired++;
    a->flags &= ~ACCOUNT_IS_ARMED;
    account_end(a);
}

static void account_enter_closed(struct pawl_step *step, void *context,
                                 const struct pawl_event *event)
{
    struct account *a = context;
    (void)step, (void)event;
    a->flags |= ACCOUNT_IS_CLOSED;
    account_end(a);
}

static void account_leave_closed(struct pawl_step *step, void *context,
                                 const struct pawl_event *event)
{
    struct account *a = context;
    (void)event;
    account_begin(step, a);
    a->flags &= ~ACCOUNT_IS_CLOSED;
    account_end(a);
}

/* --- the chart --- */

static const char *const account_events[] = {
    [ACCOUNT_ORDER] = "order",       [ACCOUNT_GIFT] = "gift",     [ACCOUNT_URGENT] = "urgent",
    [ACCOUNT_ASK] = "ask",           [ACCOUNT_REPLY] = "reply",   [ACCOUNT_RING] = "ring",
    [ACCOUNT_EMPLOYED] = "employed", [ACCOUNT_REOPEN] = "reopen",
};
static const char *const account_defers[] = {"order", "gift", NULL};
static const struct pawl_state_def account_states[] = {
    [ACCOUNT_LIVING] = {.name = "living", .initial = "open"},
    [ACCOUNT_OPEN] = {.name = "open", .parent = "living"},
    [ACCOUNT_CLOSED] = {.name = "closed",
                        .parent = "living",
                        .entry = account_enter_closed,
                        .exit = account_leave_closed,
                        .defers = account_defers,
                        .timeout_ns = CLOSED_NS,
                        .timeout = "reopen"},
};
static const struct pawl_transition_def account_transitions[] = {
    {.from = "open", .on = "order", .to = "closed", .guard = closes, .action = account_on_order},
    {.from = "open", .on = "order", .action = account_on_order},
    {.from = "open", .on = "gift", .action = account_on_gift},
    {.from = "closed", .on = "reopen", .to = "open"},
    {.from = "living", .on = "urgent", .action = account_on_urgent},
    {.from = "living", .on = "ask", .action = account_on_ask},
    {.from = "living", .on = "reply", .action = account_on_reply},
    {.from = "living", .on = "ring", .action = account_on_ring},
    {.from = "living", .on = "employed", .action = account_on_employed},
};
static const struct pawl_timer_def account_timers[] = {{"bell", "ring"}};

struct pawl_machine_def account_definition(void)
{
    return (struct pawl_machine_def){.name = "account",
                                     .events = account_events,
                                     .events_count = ARRAY_LEN(account_events),
                                     .states = account_states,
                                     .states_count = ARRAY_LEN(account_states),
                                     .transitions = account_transitions,
                                     .transitions_count = ARRAY_LEN(account_transitions),
                                     .timers = account_timers,
                                     .timers_count = ARRAY_LEN(account_timers),
                                     .initial = "living",
                                     .context_size = sizeof(struct account),
                                     .unexpected = PAWL_UNEXPECTED_REFUSE,
                                     .deferred_max = 1u << 16};
}
