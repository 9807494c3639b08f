/*
 * stress_durable_check.c - the recovered store against the acknowledgement log (stress_durable.h
 * says how).
 *
 * Each account and guest has two lines in the log's table: what is told (the last acknowledgement),
 * and what is firm: told so long ago that no window excuses its loss. With sync steps they are the
 * same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stress_durable.h"

struct told_account {
    uint32_t order;
    uint32_t urgent;
    uint32_t seen;
    uint32_t firm_order;
    uint32_t firm_urgent;
    uint32_t firm_seen;
    bool opened;
    bool firm_opened;
    bool found;
};

struct told_guest {
    struct ack_record last; /* kind 0: none */
    struct ack_record firm; /* the last one that is firm */
    uint32_t found;         /* number of the visit; 0: not there */
};

struct check {
    struct bank *bank;
    struct bank_result *result;
    struct told_account *accounts;
    struct told_guest *guests;
    const struct account *now; /* by index */
    uint64_t end_ns;           /* of the last record of the process that was killed */
    uint64_t excused_ns;       /* what was told after this may be lost */
    bool retried;              /* the store has gone on since the last acknowledgement */
};

/* --- the log --- */

static bool is_firm(const struct check *check, const struct ack_record *r)
{
    return r->firm != 0 || r->time_ns <= check->excused_ns;
}

static uint32_t greater(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void note_account(struct check *check, const struct ack_record *r)
{
    struct told_account *told = &check->accounts[r->index];
    bool firm = is_firm(check, r);
    switch (r->kind) {
    case ACK_ORDER:
        told->opened = true;
        told->firm_opened |= firm;
        told->order = greater(told->order, r->number);
        told->firm_order = firm ? greater(told->firm_order, r->number) : told->firm_order;
        break;
    case ACK_URGENT:
        told->urgent = greater(told->urgent, r->number);
        told->firm_urgent = firm ? greater(told->firm_urgent, r->number) : told->firm_urgent;
        break;
    default:
        told->seen = greater(told->seen, r->number);
        told->firm_seen = firm ? greater(told->firm_seen, r->number) : told->firm_seen;
        break;
    }
}

static void note_guest(struct check *check, const struct ack_record *r)
{
    struct told_guest *told = &check->guests[r->index];
    told->last = *r;
    if (is_firm(check, r))
        told->firm = *r;
}

static bool is_of_guest(const struct ack_record *r)
{
    return r->kind == ACK_COMING || r->kind == ACK_CAME || r->kind == ACK_LEAVING ||
           r->kind == ACK_LEFT;
}

static void note(struct check *check, const struct ack_record *r)
{
    bool guest = is_of_guest(r);
    if (r->kind == ACK_RETRY)
        check->retried = true;
    else if (r->kind == ACK_DROPPED)
        add_relaxed(r->number > 0 ? &check->bank->dropped_tokens : &check->bank->dropped_replies,
                    r->number > 0 ? r->number : 1);
    else if (r->index >= (guest ? check->bank->guests_count : check->bank->accounts_count))
        stress_find(check->bank->s, FINDING_UNEXPLAINED, "the log is about %s %u, which is not",
                    guest ? "guest" : "account", r->index);
    else if (guest)
        note_guest(check, r);
    else
        note_account(check, r);
}

static void read_log(struct check *check, struct ack_log *log)
{
    struct ack_record record;
    size_t at = 0;
    /*
     * A run that has recovered the store once, and was killed as well, has written at a later time.
     */
    while (ack_next(log, &at, &record) && record.kind != ACK_RETRY)
        if (record.firm == 0 && record.time_ns > check->end_ns)
            check->end_ns = record.time_ns;
    uint64_t excuse = log->head.window_ns + BANK_WINDOW_SLACK_NS;
    check->excused_ns = bank_is_sync(check->bank) ? UINT64_MAX
                        : check->end_ns > excuse  ? check->end_ns - excuse
                                                  : 0;
    at = 0;
    while (ack_next(log, &at, &record))
        note(check, &record);
    check->result->torn = log->torn;
}

/* --- the store --- */

struct seeing {
    struct check *check;
    struct account *now;
};

static void see_account(struct check *check, const struct pawl_view *view, struct account *now)
{
    struct bank *bank = check->bank;
    const struct account *account = view->context;
    struct told_account *told = &check->accounts[account->index];
    struct pawl_task found = PAWL_NO_TASK;
    char key[64];
    size_t size = account_key(key, account->index);
    if (told->found)
        stress_find(bank->s, FINDING_DUPLICATED, "account %u is there twice: task %#llx and %#llx",
                    account->index, (unsigned long long)view->task.id,
                    (unsigned long long)bank->accounts[account->index].task);
    told->found = true;
    if (size > 0 &&
        (pawl_task_find(bank->runtime, key, size, &found) != 0 || found.id != view->task.id))
        stress_find(bank->s, FINDING_LOST, "the key '%s' does not lead to task %#llx", key,
                    (unsigned long long)view->task.id);
    now[account->index] = *account;
    bank->accounts[account->index].task = view->task.id;
}

static void see_guest(struct check *check, const struct pawl_view *view)
{
    const struct guest_context *guest = view->context;
    struct told_guest *told = &check->guests[guest->index];
    if (told->found != 0)
        stress_find(check->bank->s, FINDING_DUPLICATED, "guest %u is there twice: visits %u and %u",
                    guest->index, told->found, guest->number);
    told->found = guest->number;
    check->bank->guests[guest->index] = (struct bank_guest){
        .task = view->task, .number = guest->number, .phase = GUEST_HERE, .noted = guest->notes};
}

static void see(struct bank *bank, const struct pawl_view *view, void *user)
{
    struct seeing *seeing = user;
    const char *fault = bank_view_fault(bank, view);
    if (fault != NULL)
        stress_find(bank->s, FINDING_TORN, "task %#llx (%s) %s", (unsigned long long)view->task.id,
                    pawl_machine_name(bank->machines[view->machine]), fault);
    else if (view->machine == BANK_ACCOUNT)
        see_account(seeing->check, view, seeing->now);
    else if (view->machine == BANK_GUEST)
        see_guest(seeing->check, view);
}

/* --- the comparison --- */

static void lost(struct check *check, const char *what, uint32_t told, uint32_t now, uint32_t index)
{
    stress_find(check->bank->s, FINDING_LOST,
                "%s %u of account %u (task %#llx) was acknowledged, and the store has only %u",
                what, told, index, (unsigned long long)check->bank->accounts[index].task, now);
}

static void compare_account(struct check *check, uint32_t index)
{
    const struct told_account *told = &check->accounts[index];
    const struct account *now = &check->now[index];
    if (!told->found) {
        if (told->firm_opened)
            stress_find(check->bank->s, FINDING_LOST,
                        "account %u was acknowledged (%u orders), and the store has it not", index,
                        told->order);
        return;
    }
    check->result->checked += told->order;
    if (now->last < told->firm_order)
        lost(check, "order", told->firm_order, now->last, index);
    else if (now->last < told->firm_seen)
        lost(check, "order", told->firm_seen, now->last, index);
    if (now->urgent < told->firm_urgent)
        lost(check, "urgent order", told->firm_urgent, now->urgent, index);
}

/*
 * What must be there by this record. If nothing came after it, exactly that; else it or what came
 * later.
 */
static bool guest_keeps(const struct ack_record *r, bool is_last, uint32_t found)
{
    switch (r->kind) {
    case ACK_COMING:
    case ACK_LEAVING:
        return found == 0 || found == r->number || (!is_last && found > r->number);
    case ACK_CAME:
        return is_last ? found == r->number : found == 0 || found >= r->number;
    case ACK_LEFT:
        return is_last ? found == 0 : found == 0 || found > r->number;
    default:
        return true; /* no record */
    }
}

static void compare_guest(struct check *check, uint32_t index)
{
    static const char *const said[] = {[ACK_COMING] = "was about to come",
                                       [ACK_CAME] = "had come",
                                       [ACK_LEAVING] = "was about to leave",
                                       [ACK_LEFT] = "had left"};
    const struct told_guest *told = &check->guests[index];
    struct bank_guest *guest = &check->bank->guests[index];
    bool firm_is_last =
        told->last.kind == told->firm.kind && told->last.number == told->firm.number;
    const struct ack_record *last = &told->last;
    if (told->firm.kind != 0 && !guest_keeps(&told->firm, firm_is_last, told->found))
        stress_find(check->bank->s, told->found == 0 ? FINDING_LOST : FINDING_CONTRADICTED,
                    "guest %u %s (visit %u), and the store has %s (visit %u)", index,
                    said[told->firm.kind], told->firm.number,
                    told->found == 0 ? "no such guest" : "it here", told->found);
    else if (last->kind != 0 && !guest_keeps(last, true, told->found))
        check->result->lost++;
    /* A number is never used twice, so that no visit can be taken for another. */
    guest->newest = greater(guest->number, last->number);
}

/*
 * Async steps: what was acknowledged and is lost, and that it is the end of its shard. Completions
 * of one shard come in the order of its steps, so those of one teller and shard are lost from one
 * on, or none is.
 */
static void compare_ends(struct check *check, struct ack_log *log)
{
    const size_t shards = 1024;
    struct bank *bank = check->bank;
    size_t tellers = UINT16_MAX + (size_t)1;
    uint8_t *broken = calloc(tellers * shards / 8, 1);
    struct ack_record r;
    size_t at = 0;
    if (broken == NULL)
        return;
    while (ack_next(log, &at, &r)) {
        if (r.kind != ACK_ORDER || r.firm != 0 || r.index >= bank->accounts_count)
            continue;
        size_t bit = r.teller * shards + r.shard % shards;
        bool is_lost = !check->accounts[r.index].found || r.number > check->now[r.index].last;
        bool is_broken = (broken[bit / 8] >> bit % 8 & 1) != 0;
        if (is_lost) {
            broken[bit / 8] |= (uint8_t)(1u << bit % 8);
            check->result->lost++;
            if (check->end_ns > r.time_ns && check->end_ns - r.time_ns > check->result->lost_ns)
                check->result->lost_ns = check->end_ns - r.time_ns;
        } else if (is_broken && !check->retried) {
            stress_find(bank->s, FINDING_MISORDERED,
                        "order %u of account %u is there, and one that shard %u acknowledged "
                        "before it is not",
                        r.number, r.index, r.shard);
        }
    }
    free(broken);
}

int bank_check_recovered(struct bank *bank, struct ack_log *log, struct bank_result *result)
{
    struct check check = {.bank = bank, .result = result};
    struct account *now = calloc(bank->accounts_count, sizeof(*now));
    check.accounts = calloc(bank->accounts_count, sizeof(*check.accounts));
    check.guests = calloc(bank->guests_count, sizeof(*check.guests));
    int rc = now == NULL || check.accounts == NULL || check.guests == NULL ? -ENOMEM : 0;
    check.now = now;
    if (rc == 0) {
        struct seeing seeing = {&check, now};
        read_log(&check, log);
        bank_walk(bank, see, &seeing);
        for (uint32_t i = 0; i < bank->accounts_count; i++)
            compare_account(&check, i);
        for (uint32_t i = 0; i < bank->guests_count; i++)
            compare_guest(&check, i);
        if (!bank_is_sync(bank))
            compare_ends(&check, log);
    }
    free(check.guests);
    free(check.accounts);
    free(now);
    return rc == 0 ? 0 : stress_failed("cannot check what was recovered", rc);
}

/* --- the end --- */

struct ending {
    const uint32_t *told;
    uint32_t seen;
};

static void see_end(struct bank *bank, const struct pawl_view *view, void *user)
{
    struct ending *ending = user;
    const struct account *account = view->context;
    if (view->machine != BANK_ACCOUNT || account->index >= bank->accounts_count)
        return;
    const struct bank_account *ours = &bank->accounts[account->index];
    ending->seen++;
    if (account->last != ours->posted || account->last != ours->acked)
        stress_find(
            bank->s, account->last < ours->posted ? FINDING_LOST : FINDING_UNEXPLAINED,
            "account %u (task %#llx) has handled %u orders; %u were posted, %u acknowledged",
            account->index, (unsigned long long)view->task.id, account->last, ours->posted,
            ours->acked);
    else if (account->last != ending->told[account->index])
        stress_find(
            bank->s,
            account->last < ending->told[account->index] ? FINDING_LOST : FINDING_CONTRADICTED,
            "account %u (task %#llx) has handled %u orders, and the log has %u", account->index,
            (unsigned long long)view->task.id, account->last, ending->told[account->index]);
    if (account->urgent != ours->urgent_acked)
        stress_find(bank->s, FINDING_UNEXPLAINED,
                    "account %u has handled %u urgent orders; %u were acknowledged", account->index,
                    account->urgent, ours->urgent_acked);
}

static void check_guest(struct bank *bank, uint32_t index, const struct ack_record *last)
{
    const struct bank_guest *guest = &bank->guests[index];
    struct pawl_task task = PAWL_NO_TASK;
    char key[64];
    bool found = pawl_task_find(bank->runtime, key, guest_key(key, index), &task) == 0;
    if (found != (guest->phase == GUEST_HERE))
        stress_find(bank->s, found ? FINDING_CONTRADICTED : FINDING_LOST, "guest %u %s", index,
                    found ? "is there again after it left" : "is not there");
    if (last->kind != 0 && !guest_keeps(last, true, found ? guest->number : 0))
        stress_find(bank->s, FINDING_CONTRADICTED, "guest %u, visit %u: the log says otherwise",
                    index, guest->number);
}

void bank_check_log(struct bank *bank)
{
    struct ack_log log;
    struct ack_record r;
    size_t at = 0;
    uint32_t *told = calloc(bank->accounts_count, sizeof(*told));
    struct ack_record *guests = calloc(bank->guests_count, sizeof(*guests));
    int rc = told == NULL || guests == NULL ? -ENOMEM : ack_load(bank->log_path, &log);
    if (rc != 0) {
        stress_find(bank->s, FINDING_UNEXPLAINED, "%s cannot be read: %s", bank->log_path,
                    pawl_strerror(rc));
        goto out;
    }
    while (ack_next(&log, &at, &r)) {
        if (r.kind == ACK_ORDER && r.index < bank->accounts_count)
            told[r.index] = greater(told[r.index], r.number);
        else if (is_of_guest(&r) && r.index < bank->guests_count)
            guests[r.index] = r;
    }
    ack_unload(&log);
    struct ending ending = {.told = told};
    bank_walk(bank, see_end, &ending);
    if (ending.seen != bank->accounts_count)
        stress_find(bank->s, FINDING_LOST, "of %u accounts %u are there", bank->accounts_count,
                    ending.seen);
    for (uint32_t i = 0; i < bank->guests_count; i++)
        check_guest(bank, i, &guests[i]);
out:
    free(guests);
    free(told);
}
