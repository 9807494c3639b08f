/*
 * stress_durable_guest.c - guests: tasks with a key that a teller creates, sends notes and ends,
 * again and again. What it is going to do stands in the log before it is posted, so that after a
 * crash the log says exactly whether the guest must be there, must not, or may.
 */
#include <errno.h>

#include "stress_durable.h"

static bool intend(struct teller *t, enum ack_kind kind, uint32_t index, uint32_t number)
{
    struct ack_record record = {.kind = (uint16_t)kind,
                                .index = index,
                                .number = number,
                                .teller = (uint16_t)t->number,
                                .time_ns = stress_wall_ns()};
    return bank_log(t->bank, &record, 1);
}

static void not_posted(struct teller *t, uint32_t index, int rc)
{
    if (rc != -EAGAIN)
        stress_find(t->bank->s, FINDING_UNEXPLAINED, "a post for guest %u says: %s", index,
                    pawl_strerror(rc));
}

static uint32_t tag_of(enum bank_tag kind, uint32_t index)
{
    return (uint32_t)kind << BANK_TAG_KIND | index;
}

static bool come(struct teller *t, uint32_t index, struct bank_guest *guest)
{
    struct guest_context context = guest_new(index, guest->newest + 1);
    char key[64];
    struct pawl_task_spec spec = {.machine = BANK_GUEST,
                                  .key = key,
                                  .key_size = guest_key(key, index),
                                  .context = &context,
                                  .context_size = sizeof(context)};
    if (!intend(t, ACK_COMING, index, context.number))
        return false;
    guest->number = guest->newest = context.number;
    int rc = pawl_port_create(t->port, &spec, tag_of(BANK_TAG_GUEST, index));
    if (rc != 0) {
        not_posted(t, index, rc);
        return false;
    }
    guest->phase = GUEST_COMING;
    return true;
}

static bool note(struct teller *t, uint32_t index, struct bank_guest *guest)
{
    struct pawl_event event = {.task = guest->task,
                               .code = GUEST_NOTE,
                               .flags = PAWL_EVENT_COMPLETE,
                               .tag = tag_of(BANK_TAG_NOTE, index),
                               .arg[0] = guest->noted + 1};
    int rc = pawl_port_post(t->port, &event, 1);
    if (rc != 1) {
        not_posted(t, index, rc);
        return false;
    }
    guest->noted++;
    guest->notes--;
    guest->waiting++;
    return true;
}

/* Every other guest is cancelled, which overtakes whatever is under way for it. */
static bool leave(struct teller *t, uint32_t index, struct bank_guest *guest)
{
    uint32_t tag = tag_of(BANK_TAG_GUEST, index);
    struct pawl_event event = {
        .task = guest->task, .code = GUEST_LEAVE, .flags = PAWL_EVENT_COMPLETE, .tag = tag};
    if (!intend(t, ACK_LEAVING, index, guest->number))
        return false;
    int rc = guest->number % 2 == 0 ? pawl_port_cancel(t->port, guest->task, tag)
                                    : pawl_port_post(t->port, &event, 1);
    if (rc < 0) {
        not_posted(t, index, rc);
        return false;
    }
    guest->phase = GUEST_LEAVING;
    return true;
}

bool guest_turn(struct teller *t)
{
    uint32_t tellers = t->bank->s->options.producers;
    uint32_t count = (t->bank->guests_count + tellers - 1 - t->number) / tellers;
    if (t->number >= t->bank->guests_count || count == 0)
        return false;
    uint32_t index = (uint32_t)random_below(&t->random, count) * tellers + t->number;
    struct bank_guest *guest = &t->bank->guests[index];
    switch ((enum guest_phase)guest->phase) {
    case GUEST_GONE:
        return come(t, index, guest);
    case GUEST_HERE:
        if (guest->waiting > 0)
            return false;
        return guest->notes > 0 ? note(t, index, guest) : leave(t, index, guest);
    case GUEST_COMING:
    case GUEST_LEAVING:
        break;
    }
    return false;
}

void guest_record(struct teller *t, const struct pawl_completion *c, uint64_t now_ns)
{
    uint32_t index = c->tag & BANK_TAG_INDEX;
    const struct bank_guest *guest = &t->bank->guests[index];
    teller_record(t, guest->phase == GUEST_COMING ? ACK_CAME : ACK_LEFT, index, guest->number,
                  c->task, now_ns);
    if (guest->phase == GUEST_COMING && bank_wants_some(t->bank, PLANT_CONTRADICT, index))
        t->records[t->records_count - 1].kind = ACK_LEFT;
}

static void failed(struct teller *t, const struct pawl_completion *c, struct bank_guest *guest)
{
    uint32_t index = c->tag & BANK_TAG_INDEX;
    if (c->status == -EIO) {
        store_release(&t->bank->abandoned, 1);
        return;
    }
    if (c->status == -ENOSPC)
        bank_is_full(t->bank);
    else if (c->status != -ENOMEM)
        stress_find(t->bank->s, FINDING_UNEXPLAINED,
                    "guest %u, visit %u: what was asked failed: %s", index, guest->number,
                    pawl_strerror(c->status));
    if (guest->phase == GUEST_COMING)
        guest->phase = GUEST_GONE;
    else if (guest->phase == GUEST_LEAVING)
        guest->phase = GUEST_HERE;
}

void guest_complete(struct teller *t, const struct pawl_completion *c)
{
    uint32_t index = c->tag & BANK_TAG_INDEX;
    struct bank_guest *guest = &t->bank->guests[index];
    if (c->tag >> BANK_TAG_KIND == BANK_TAG_NOTE) {
        guest->waiting--;
        if (c->status == 0)
            return;
        guest->noted = 0; /* what follows cannot be right any more: let it end */
        guest->notes = 0;
    }
    if (c->status != 0) {
        failed(t, c, guest);
        return;
    }
    if (guest->phase == GUEST_COMING) {
        guest->task = c->task;
        guest->phase = GUEST_HERE;
        guest->notes = (uint8_t)random_below(&t->random, GUESTS_NOTES + 1);
        guest->noted = 0;
        t->came++;
    } else {
        guest->phase = GUEST_GONE;
        t->left++;
    }
}
