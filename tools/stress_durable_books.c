/*
 * stress_durable_books.c - the totals of `pawl stress --durable`: what must add up once nothing is
 * under way, and the log begun anew from it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress_durable.h"

/*
 * Orders worked out again in one comparison, more or less; beyond, those of randomly chosen
 * accounts.
 */
#define MODEL_MAX UINT64_C(20000000)

struct books {
    uint64_t accounts;
    uint64_t clerks;
    uint64_t tokens;
    uint64_t given;
    uint64_t got;
    uint64_t unsettled; /* tasks that time or an event under way will change */
    uint64_t unanswered;
    uint64_t questions; /* accounts whose replies are not those of their questions */
    uint64_t orders;
    uint64_t modelled;
    uint64_t model_share; /* of 2^64: accounts compared with what their orders should have done */
    uint64_t model_salt;
};

void bank_walk(struct bank *bank, bank_view_fn *seen, void *user)
{
    enum { PORTION = 128 };
    static _Thread_local uint64_t contexts[PORTION][sizeof(struct account) / 8];
    struct pawl_view views[PORTION];
    struct pawl_walk walk = {.done = 0};
    const struct pawl_filter all = {.machine = PAWL_ANY, .state = PAWL_ANY};
    while (!walk.done) {
        for (int i = 0; i < PORTION; i++) {
            views[i].context = contexts[i];
            views[i].context_capacity = sizeof(contexts[i]);
        }
        int count = pawl_task_walk(bank->runtime, &walk, &all, views, PORTION, 4096);
        for (int i = 0; i < count; i++)
            seen(bank, &views[i], user);
    }
}

static void fault_of(struct bank *bank, const struct pawl_view *view, const char *fault)
{
    stress_find(bank->s, FINDING_TORN, "task %#llx (%s) %s", (unsigned long long)view->task.id,
                view->machine < BANK_MACHINES ? pawl_machine_name(bank->machines[view->machine])
                                              : "?",
                fault);
}

static void look(struct bank *bank, const struct pawl_view *view, void *user)
{
    const char *fault = bank_view_fault(bank, view);
    (void)user;
    if (fault != NULL)
        fault_of(bank, view, fault);
}

void bank_look(struct bank *bank)
{
    bank_walk(bank, look, NULL);
}

/* --- one walk --- */

static void model(struct bank *bank, const struct account *account, struct books *books)
{
    uint32_t done[BANK_OPS] = {0};
    if (mix64(account->index ^ books->model_salt) > books->model_share)
        return;
    books->modelled += account->last;
    for (uint32_t number = 1; number <= account->last; number++)
        done[bank_order_of(bank, account->index, number).op]++;
    for (int op = 0; op < BANK_OPS; op++)
        if (done[op] != account->done[op])
            stress_find(
                bank->s, FINDING_UNEXPLAINED,
                "account %u: of its first %u orders %u are of kind %d, and it has handled %u",
                account->index, account->last, done[op], op, account->done[op]);
}

static void add_account(struct bank *bank, const struct pawl_view *view, struct books *books)
{
    const struct account *a = view->context;
    bool waits = (a->flags & (ACCOUNT_IS_ARMED | ACCOUNT_IS_CLOSED)) != 0;
    bool asks = a->replies < a->done[OP_BANK_ASK] || a->employed < a->hired;
    books->accounts++;
    books->tokens += a->balance;
    books->given += a->given;
    books->got += a->got;
    books->unsettled += waits;
    books->unanswered += asks;
    books->questions += !asks && a->asked != 0;
    books->orders += a->last;
    if (books->model_share > 0)
        model(bank, a, books);
}

static void add(struct bank *bank, const struct pawl_view *view, void *user)
{
    struct books *books = user;
    const char *fault = bank_view_fault(bank, view);
    if (fault != NULL) {
        fault_of(bank, view, fault);
        return;
    }
    if (view->machine == BANK_ACCOUNT)
        add_account(bank, view, books);
    if (view->machine == BANK_CLERK) {
        books->clerks++;
        books->unsettled++;
        books->tokens += ((const struct clerk *)view->context)->tokens;
    }
}

static struct books take_books(struct bank *bank, uint64_t model_share)
{
    struct books books = {.model_share = model_share, .model_salt = stress_wall_ns()};
    bank_walk(bank, add, &books);
    return books;
}

static uint64_t share_of(const struct books *books)
{
    return books->orders <= MODEL_MAX
               ? UINT64_MAX
               : (uint64_t)((double)MODEL_MAX / (double)books->orders * 0x1p64);
}

/* --- the end of what is under way --- */

/*
 * Nothing waits, and nothing is under way: then the runtime stands still. Events that are handled
 * by a drain may close accounts again, so it may take several.
 */
static bool come_to_rest(struct bank *bank, struct books *books)
{
    uint64_t begin_ns = stress_wall_ns();
    struct pawl_drain_report report = {.blocker = PAWL_BLOCKED_BY_NOTHING};
    for (;;) {
        bool late = stress_wall_ns() - begin_ns > bank_settle_ns(bank);
        *books = take_books(bank, 0);
        if (load_acquire(&bank->failed))
            return false;
        if (books->unsettled > 0 && !late) {
            stress_nap(2 * MILLISECOND);
            continue;
        }
        int rc = pawl_drain(bank->runtime, bank_settle_ns(bank), &report);
        if (load_acquire(&bank->failed))
            return false;
        if (rc != 0) {
            stress_find(bank->s, FINDING_UNEXPLAINED, "drain: %s: %s", pawl_strerror(rc),
                        report.text);
            return false;
        }
        *books = take_books(bank, share_of(books));
        if (books->unsettled == 0 || late)
            return true;
        pawl_resume(bank->runtime);
    }
}

static void compare_tokens(struct bank *bank, const struct books *books, bool recovered)
{
    uint64_t made = books->accounts * bank->head.tokens;
    uint64_t wanted = made + (uint64_t)bank->head.excess;
    /* What was dropped before a crash may have been sent again after it. */
    uint64_t least = wanted - load_relaxed(&bank->dropped_tokens);
    bool good = books->tokens >= least && (books->tokens == least || recovered) &&
                (books->tokens <= wanted || (recovered && bank->head.loose != 0));
    if (good) {
        bank->head.excess = (int64_t)(books->tokens - made);
        return;
    }
    stress_find(bank->s, books->tokens < least ? FINDING_LOST : FINDING_DUPLICATED,
                "the accounts began with %llu tokens%s, and now there are %llu",
                (unsigned long long)wanted,
                bank->head.excess == 0 ? "" : ", doubled and dropped ones considered",
                (unsigned long long)books->tokens);
}

/*
 * Orders that were deferred when the process ended have been handled since: tellers go on behind
 * them.
 */
static void go_on_behind(struct bank *bank, const struct pawl_view *view, void *user)
{
    const struct account *account = view->context;
    (void)user;
    if (view->machine != BANK_ACCOUNT || account->index >= bank->accounts_count)
        return;
    struct bank_account *ours = &bank->accounts[account->index];
    ours->posted = ours->acked = account->last;
    ours->urgent_acked = account->urgent;
}

bool bank_settle(struct bank *bank, bool recovered, struct bank_result *result)
{
    struct books books;
    if (!come_to_rest(bank, &books))
        return false;
    bank->head.unanswered += (uint32_t)load_relaxed(&bank->dropped_replies);
    if (books.unsettled > 0)
        stress_find(bank->s, FINDING_LOST,
                    "%llu tasks still wait for a timer that should have fired long ago",
                    (unsigned long long)books.unsettled);
    if (books.unanswered > bank->head.unanswered)
        stress_find(bank->s, FINDING_LOST, "%llu accounts wait for a reply that never came",
                    (unsigned long long)books.unanswered);
    if (books.questions > 0 && bank->head.loose == 0 && bank->head.unanswered == 0)
        stress_find(bank->s, FINDING_UNEXPLAINED,
                    "%llu accounts got other replies than they asked for",
                    (unsigned long long)books.questions);
    if (books.unsettled == 0)
        compare_tokens(bank, &books, recovered);
    if (recovered)
        bank_walk(bank, go_on_behind, NULL);
    store_relaxed(&bank->dropped_tokens, 0);
    store_relaxed(&bank->dropped_replies, 0);
    result->tokens = books.tokens;
    result->modelled = books.modelled;
    return true;
}

/* --- the log, from now on --- */

enum { PORTION = 1024 };

struct lines {
    struct ack_record records[PORTION];
    size_t count;
    int fd;
    int rc;
};

static void line(struct lines *lines, enum ack_kind kind, uint32_t index, uint32_t number)
{
    lines->records[lines->count++] =
        (struct ack_record){.kind = (uint16_t)kind, .firm = 1, .index = index, .number = number};
    if (lines->count < PORTION || lines->rc != 0)
        return;
    lines->rc = ack_append(lines->fd, lines->records, lines->count);
    lines->count = 0;
}

static void all_lines(const struct bank *bank, struct lines *lines)
{
    for (uint32_t i = 0; i < bank->accounts_count && lines->rc == 0; i++) {
        const struct bank_account *account = &bank->accounts[i];
        line(lines, ACK_ORDER, i, account->acked);
        if (account->urgent_acked > 0 && lines->rc == 0)
            line(lines, ACK_URGENT, i, account->urgent_acked);
    }
    for (uint32_t i = 0; i < bank->guests_count && lines->rc == 0; i++) {
        const struct bank_guest *guest = &bank->guests[i];
        if (guest->newest > 0 && guest->phase != GUEST_HERE)
            line(lines, ACK_LEFT, i, guest->newest);
        else if (guest->phase == GUEST_HERE)
            line(lines, ACK_CAME, i, guest->number);
    }
    if (lines->rc == 0)
        lines->rc = ack_append(lines->fd, lines->records, lines->count);
}

int bank_rewrite_log(struct bank *bank)
{
    struct lines *lines = calloc(1, sizeof(*lines));
    int rc = lines == NULL ? -ENOMEM : pawl_sync(bank->runtime, bank_settle_ns(bank));
    if (rc != 0) {
        free(lines);
        return load_acquire(&bank->failed) ? rc : stress_failed("pawl_sync", rc);
    }
    bank->head.shards = bank->shards;
    lines->fd = ack_create(bank->log_path, &bank->head);
    lines->rc = lines->fd < 0 ? lines->fd : 0;
    if (lines->rc == 0)
        all_lines(bank, lines);
    if (lines->rc == 0)
        lines->rc = ack_publish(bank->log_path, lines->fd);
    rc = lines->rc;
    if (rc == 0 && bank->log >= 0)
        close(bank->log);
    if (rc == 0)
        bank->log = lines->fd;
    else if (lines->fd >= 0)
        close(lines->fd);
    free(lines);
    return rc == 0 ? 0 : stress_failed("cannot write the acknowledgement log", rc);
}
