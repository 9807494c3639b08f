/*
 * stress_completion.c - each completion must be one that a producer waits for, once, and must say
 * what became of that very event.
 */
#include <errno.h>

#include "stress_producer.h"

#define TAG_SLOT_BITS 20
#define TAG_SLOT_MASK ((1u << TAG_SLOT_BITS) - 1)

struct pending *pending_take(struct producer *p, enum pending_kind kind, uint32_t *tag)
{
    if (p->pending_free_count == 0)
        return NULL;
    uint32_t slot = p->pending_free[--p->pending_free_count];
    struct pending *pending = &p->pending[slot];
    pending->generation = (pending->generation + 1) & 0x7ff;
    pending->busy = true;
    pending->kind = (uint8_t)kind;
    *tag = slot | pending->generation << TAG_SLOT_BITS;
    return pending;
}

void pending_give_back(struct producer *p, uint32_t tag)
{
    p->pending[tag & TAG_SLOT_MASK].busy = false;
    p->pending_free[p->pending_free_count++] = tag & TAG_SLOT_MASK;
}

static void complete_handled(struct producer *p, const struct pending *pending,
                             const struct pawl_completion *c)
{
    struct stress *s = p->s;
    uint32_t index = key_index(pending->key);
    bool leaf = c->state == ST_IDLE || c->state == ST_BUSY || c->state == ST_WAITING;
    if (pending->code == EV_WORK && work_op(pending->work) >= OP_ABORT &&
        work_op(pending->work) <= OP_ABORT_LATE)
        stress_find_key(s, FINDING_UNEXPLAINED, pending->key, "a step that was given up completed");
    else if (pending->code != EV_RESUME && pending->kind == PENDING_RESIDENT &&
             c->value != answer_to(pending->key))
        stress_find_key(s, FINDING_UNEXPLAINED, pending->key, "completed with a wrong answer");
    else if (!leaf || (pending->code == EV_PAUSE && c->state != ST_WAITING))
        stress_find_key(s, FINDING_UNEXPLAINED, pending->key, "completed in the wrong state %u",
                        c->state);
    if (index >= HOT)
        return;
    /* Completions come in the order of the steps; versions count steps modulo 2^31. */
    uint32_t ahead = (c->version - p->versions[index]) & 0x7fffffff;
    if (ahead == 0 || ahead > 0x3fffffff)
        stress_find_key(s, FINDING_MISORDERED, pending->key,
                        "completed with version %u after version %u", c->version,
                        p->versions[index]);
    p->versions[index] = c->version;
}

static void complete(struct producer *p, const struct pawl_completion *c)
{
    uint32_t slot = c->tag & TAG_SLOT_MASK;
    struct pending *pending = slot < p->pending_count ? &p->pending[slot] : NULL;
    p->totals.completed++;
    if (pending == NULL || !pending->busy || pending->generation != c->tag >> TAG_SLOT_BITS) {
        stress_find(p->s, FINDING_DUPLICATED,
                    "producer %u got a completion that it does not wait for: tag %#x, task %#llx",
                    p->number, c->tag, (unsigned long long)c->task.id);
        return;
    }
    struct pending was = *pending;
    pending_give_back(p, c->tag);
    bool creation = was.kind == PENDING_LIFE_CREATE || was.kind == PENDING_RIVAL_CREATE;
    if (!creation && c->task.id != was.task.id)
        stress_find(p->s, FINDING_UNEXPLAINED,
                    "producer %u got a completion with task %#llx instead of %#llx", p->number,
                    (unsigned long long)c->task.id, (unsigned long long)was.task.id);
    if (was.kind != PENDING_RESIDENT && was.kind != PENDING_CANCEL)
        lives_complete(p, &was, c);
    else if (c->status == 0)
        complete_handled(p, &was, c);
    else
        stress_explain(p->s, was.code, was.work, was.key, c->status);
}

bool completions_reap(struct producer *p)
{
    struct pawl_completion completions[64];
    int count = pawl_port_reap(p->port, completions, ARRAY_LEN(completions));
    if (count < 0)
        stress_find(p->s, FINDING_UNEXPLAINED, "producer %u cannot reap: %s", p->number,
                    pawl_strerror(count));
    for (int i = 0; i < count; i++)
        complete(p, &completions[i]);
    return count > 0;
}
