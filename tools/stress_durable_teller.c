/*
 * stress_durable_teller.c - tellers: threads that post orders to the accounts that are theirs
 * (those with index % tellers = number), and log each one that is acknowledged before it counts.
 *
 * An order that failed for want of room leaves those behind it refused, because accounts take
 * orders by number only. When none is under way any more the teller begins again behind the last
 * that was acknowledged. An order that is refused without such a reason means that one before it
 * has vanished.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress_durable.h"

static uint32_t tag_of(enum bank_tag kind, uint32_t index)
{
    return (uint32_t)kind << BANK_TAG_KIND | index;
}

static enum bank_tag tag_kind(uint32_t tag)
{
    return (enum bank_tag)(tag >> BANK_TAG_KIND);
}

/* --- what comes back --- */

void teller_record(struct teller *t, enum ack_kind kind, uint32_t index, uint32_t number,
                   struct pawl_task task, uint64_t now_ns)
{
    t->records[t->records_count++] = (struct ack_record){.kind = (uint16_t)kind,
                                                         .index = index,
                                                         .number = number,
                                                         .teller = (uint16_t)t->number,
                                                         .shard = (uint16_t)pawl_task_shard(task),
                                                         .time_ns = now_ns};
}

static void record(struct teller *t, const struct pawl_completion *c, uint64_t now_ns)
{
    uint32_t index = c->tag & BANK_TAG_INDEX;
    if (c->status != 0)
        return;
    switch (tag_kind(c->tag)) {
    case BANK_TAG_ORDER:
        teller_record(t, ACK_ORDER, index, (uint32_t)c->value, c->task, now_ns);
        break;
    case BANK_TAG_URGENT:
        teller_record(t, ACK_URGENT, index, (uint32_t)c->value, c->task, now_ns);
        break;
    case BANK_TAG_GUEST:
        guest_record(t, c, now_ns);
        break;
    case BANK_TAG_NOTE:
        break;
    }
}

/* An order came back undone. */
static void order_failed(struct teller *t, uint32_t index, int status)
{
    struct bank *bank = t->bank;
    struct bank_account *account = &bank->accounts[index];
    switch (status) {
    case -ENOSPC:
        bank_is_full(bank);
        break;
    case -ENOMEM: /* it is posted again */
        break;
    case -EIO: /* unknown: the journal has failed, or will be told to have */
        store_release(&bank->abandoned, 1);
        break;
    case -EBADMSG:
        if (!account->failing)
            stress_find(bank->s, FINDING_MISORDERED,
                        "an order of account %u (task %#llx) behind %u came before its turn", index,
                        (unsigned long long)account->task, account->acked);
        break;
    default:
        stress_find(bank->s, FINDING_UNEXPLAINED,
                    "an order of account %u (task %#llx) behind %u was not handled: %s", index,
                    (unsigned long long)account->task, account->acked, pawl_strerror(status));
    }
    account->failing = true;
}

static void order_complete(struct teller *t, const struct pawl_completion *c)
{
    struct bank *bank = t->bank;
    uint32_t index = c->tag & BANK_TAG_INDEX;
    struct bank_account *account = &bank->accounts[index];
    account->under_way--;
    if (c->status != 0) {
        order_failed(t, index, c->status);
    } else {
        if (c->value != (uint64_t)account->acked + 1 || c->task.id != account->task)
            stress_find(bank->s, FINDING_MISORDERED,
                        "account %u: order %llu was acknowledged behind %u", index,
                        (unsigned long long)c->value, account->acked);
        if (c->durability != bank->head.durability)
            stress_find(bank->s, FINDING_UNEXPLAINED,
                        "order %llu of account %u was acknowledged as of durability %u",
                        (unsigned long long)c->value, index, c->durability);
        account->acked = (uint32_t)c->value;
        t->orders++;
    }
    if (account->failing && account->under_way == 0) {
        account->posted = account->acked;
        account->failing = false;
    }
}

static void urgent_complete(struct teller *t, const struct pawl_completion *c)
{
    uint32_t index = c->tag & BANK_TAG_INDEX;
    struct bank_account *account = &t->bank->accounts[index];
    account->urgent_posted = false;
    if (c->status == 0) {
        if (c->value != (uint64_t)account->urgent_acked + 1)
            stress_find(t->bank->s, FINDING_MISORDERED,
                        "account %u: urgent order %llu was acknowledged behind %u", index,
                        (unsigned long long)c->value, account->urgent_acked);
        account->urgent_acked = (uint32_t)c->value;
        t->urgent++;
    } else if (c->status == -EIO) {
        store_release(&t->bank->abandoned, 1);
    } else if (c->status == -ENOSPC) {
        bank_is_full(t->bank);
    } else if (c->status != -ENOMEM) {
        stress_find(t->bank->s, FINDING_UNEXPLAINED,
                    "an urgent order of account %u was not handled: %s", index,
                    pawl_strerror(c->status));
    }
}

static void complete(struct teller *t, const struct pawl_completion *c)
{
    switch (tag_kind(c->tag)) {
    case BANK_TAG_ORDER:
        order_complete(t, c);
        break;
    case BANK_TAG_URGENT:
        urgent_complete(t, c);
        break;
    case BANK_TAG_GUEST:
    case BANK_TAG_NOTE:
        guest_complete(t, c);
        break;
    }
}

/* Takes completions: first into the log, then into account. */
static bool reap(struct teller *t)
{
    struct pawl_completion completions[TELLER_REAP];
    int count = pawl_port_reap(t->port, completions, TELLER_REAP);
    if (count <= 0)
        return false;
    uint64_t now_ns = stress_wall_ns();
    t->records_count = 0;
    for (int i = 0; i < count; i++)
        record(t, &completions[i], now_ns);
    if (!bank_log(t->bank, t->records, t->records_count))
        return true; /* not logged, so not counted: the run is over */
    uint64_t before = t->orders;
    for (int i = 0; i < count; i++)
        complete(t, &completions[i]);
    add_relaxed(&t->bank->acked, t->orders - before);
    return true;
}

/* --- what is posted --- */

/* One of this teller's accounts, or one of none; UINT32_MAX: it has none. */
static uint32_t some_account(struct teller *t)
{
    uint32_t tellers = t->bank->s->options.producers;
    uint32_t count = (t->bank->accounts_count + tellers - 1 - t->number) / tellers;
    return count == 0 ? UINT32_MAX
                      : (uint32_t)random_below(&t->random, count) * tellers + t->number;
}

static struct pawl_event *stage(struct teller *t, enum bank_tag kind, uint32_t index)
{
    struct pawl_event *event = &t->staged[t->staged_end++];
    *event = (struct pawl_event){.task.id = t->bank->accounts[index].task,
                                 .flags = PAWL_EVENT_COMPLETE,
                                 .tag = tag_of(kind, index),
                                 .arg[1] = index};
    return event;
}

static void stage_order(struct teller *t, uint32_t index)
{
    struct bank *bank = t->bank;
    struct bank_account *account = &bank->accounts[index];
    if (account->failing || account->under_way >= BANK_DEPTH)
        return;
    account->under_way++;
    struct pawl_event *event = stage(t, BANK_TAG_ORDER, index);
    event->code = ACCOUNT_ORDER;
    event->arg[0] = ++account->posted;
    if (account->posted < 3)
        return; /* the planted faults below want some that went well */
    if (bank_wants(bank, PLANT_COMPLETION)) {
        event->flags = 0;
    } else if (bank_wants(bank, PLANT_DOUBLE) && t->staged_end < TELLER_POST) {
        t->staged[t->staged_end] = *event;
        t->staged[t->staged_end++].flags = 0;
    } else if (bank_wants(bank, PLANT_REORDER)) {
        event->arg[0]++;
    } else if (bank_wants(bank, PLANT_LOSE)) {
        struct ack_record lie = {.kind = ACK_ORDER,
                                 .index = index,
                                 .number = account->posted + 1000,
                                 .time_ns = 1}; /* long ago */
        bank_log(bank, &lie, 1);
    }
}

static void stage_urgent(struct teller *t, uint32_t index)
{
    struct bank_account *account = &t->bank->accounts[index];
    if (account->urgent_posted)
        return;
    account->urgent_posted = true;
    struct pawl_event *event = stage(t, BANK_TAG_URGENT, index);
    event->code = ACCOUNT_URGENT;
    event->flags |= PAWL_EVENT_CONTROL;
    event->arg[0] = account->urgent_acked + 1;
}

static void stage_some(struct teller *t)
{
    t->staged_at = t->staged_end = 0;
    for (unsigned i = 0; i < TELLER_POST && t->staged_end + 1 < TELLER_POST; i++) {
        uint32_t index = some_account(t);
        if (index == UINT32_MAX)
            return;
        if (random_below(&t->random, 32) == 0)
            stage_urgent(t, index);
        else
            stage_order(t, index);
    }
}

/* Posts what is staged; stages more when nothing is left. False: nothing went. */
static bool post(struct teller *t, bool more)
{
    if (t->staged_at == t->staged_end) {
        t->staged_at = t->staged_end = 0;
        if (more)
            stage_some(t);
    }
    unsigned count = t->staged_end - t->staged_at;
    if (count == 0)
        return false;
    int rc = pawl_port_post(t->port, &t->staged[t->staged_at], count);
    if (rc > 0)
        t->staged_at += (unsigned)rc;
    else if (rc != -EAGAIN)
        stress_find(t->bank->s, FINDING_UNEXPLAINED, "a post says: %s", pawl_strerror(rc));
    return rc > 0;
}

/* --- the thread --- */

static bool is_stopping(const struct bank *bank)
{
    return load_acquire(&bank->stopping) || load_acquire(&bank->abandoned) ||
           load_acquire(&bank->failed);
}

static bool is_done(struct teller *t)
{
    return t->staged_at == t->staged_end && pawl_port_outstanding(t->port) == 0;
}

static void *teller_main(void *argument)
{
    struct teller *t = argument;
    struct bank *bank = t->bank;
    while (!load_acquire(&bank->abandoned) && !load_acquire(&bank->failed)) {
        bool stopping = is_stopping(bank);
        bool any = reap(t);
        any |= post(t, !stopping);
        if (stopping && is_done(t))
            break;
        if (!stopping)
            any |= guest_turn(t);
        if (!any)
            pawl_port_wait(t->port, MILLISECOND);
    }
    /* What the runtime still tells is for the log, too. */
    while (pawl_port_wait(t->port, 100 * MILLISECOND) == 0)
        reap(t);
    store_release(&t->finished, 1);
    return NULL;
}

int tellers_open(struct bank *bank)
{
    const struct stress_options *o = &bank->s->options;
    size_t size = align_up(o->producers * sizeof(*bank->tellers), CACHE_LINE);
    bank->tellers = aligned_alloc(CACHE_LINE, size);
    if (bank->tellers == NULL)
        return -ENOMEM;
    memset(bank->tellers, 0, size);
    for (unsigned i = 0; i < o->producers; i++) {
        struct teller *t = &bank->tellers[i];
        struct pawl_port_options options = {.capacity = o->port_capacity};
        t->bank = bank;
        t->number = i;
        t->random.state = mix64(bank->head.seed + ((uint64_t)bank->head.runs << 20) + i);
        int rc = pawl_port_open(bank->runtime, &options, &t->port);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int tellers_start(struct bank *bank)
{
    for (unsigned i = 0; i < bank->s->options.producers; i++) {
        struct teller *t = &bank->tellers[i];
        int rc = pthread_create(&t->thread, NULL, teller_main, t);
        if (rc != 0)
            return -rc;
        t->started = true;
    }
    return 0;
}

bool tellers_finished(struct bank *bank)
{
    for (unsigned i = 0; i < bank->s->options.producers; i++)
        if (!load_acquire(&bank->tellers[i].finished))
            return false;
    return true;
}

void tellers_join(struct bank *bank)
{
    for (unsigned i = 0; i < bank->s->options.producers; i++) {
        struct teller *t = &bank->tellers[i];
        if (t->started)
            pthread_join(t->thread, NULL);
        t->started = false;
    }
}

void tellers_close(struct bank *bank)
{
    for (unsigned i = 0; bank->tellers != NULL && i < bank->s->options.producers; i++)
        stress_close_port(bank->s, bank->tellers[i].port);
    free(bank->tellers);
    bank->tellers = NULL;
}
