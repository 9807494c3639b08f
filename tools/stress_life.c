/*
 * stress_life.c - lives: keyed tasks that a producer creates, uses, ends and uses after their end.
 *
 * Only their producer posts to a life, and its events arrive in order; so the fate of each is known
 * in advance: handled, deferred and then handled, deferred and then cancelled by the end, or stale.
 * The key is free again once the end was completed. Rivals are lives whose key all producers fight
 * for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "stress_producer.h"

#define HOUR_NS    UINT64_C(3600000000000)
#define RIVAL      LIVES
#define RIVAL_KEYS 4u

static uint32_t owner_of(const struct producer *p, unsigned place)
{
    return p->number << 16 | place;
}

static void fault(struct producer *p, unsigned place, const char *what, int rc)
{
    stress_find(p->s, FINDING_UNEXPLAINED, "life %#x (task %#llx): %s: %s", owner_of(p, place),
                (unsigned long long)p->lives[place].task.id, what,
                rc == 0 ? "no error" : pawl_strerror(rc));
}

/* --- birth --- */

static size_t key_of(const struct producer *p, unsigned place, char key[64])
{
    if (place == RIVAL)
        return (size_t)snprintf(key, 64, "rival-%u", p->lives[place].notes % RIVAL_KEYS);
    return life_key(key, owner_of(p, place));
}

static void published(struct producer *p, unsigned place)
{
    if (place != RIVAL) /* readers may look at it, also when it has ended */
        store_relaxed(&p->s->lives[p->number * LIVES + place], p->lives[place].task.id);
}

static void born(struct producer *p, unsigned place, struct pawl_task task)
{
    struct life_place *life = &p->lives[place];
    life->task = task;
    if (task.id == 0 || task.id == life->before.id)
        fault(p, place, "was created with a handle that was used before", 0);
    life->before = task;
    life->notes = place == RIVAL ? life->notes : 0;
    life->phase = life->short_lived ? PHASE_EXPIRING : PHASE_LIVE;
    p->totals.created++;
    published(p, place);
}

static bool create(struct producer *p, unsigned place, enum pending_kind kind)
{
    struct life_place *life = &p->lives[place];
    char key[64];
    uint32_t owner = owner_of(p, place);
    struct pawl_task_spec spec = {.machine = MACHINE_LIFE,
                                  .shard = PAWL_ANY_SHARD,
                                  .key = key,
                                  .key_size = key_of(p, place, key),
                                  .context = &owner,
                                  .context_size = sizeof(owner),
                                  .arg = {owner, HOUR_NS}};
    if (life->short_lived)
        spec.arg[1] = random_below(&p->random, 3000000);
    if (p->port == NULL) {
        struct pawl_task task = PAWL_NO_TASK;
        int rc = pawl_task_create(p->s->runtime, &spec, &task);
        if (rc == 0)
            born(p, place, task);
        else if (rc != -EAGAIN)
            fault(p, place, "cannot be created", rc);
        return rc == 0;
    }
    uint32_t tag = 0;
    struct pending *pending = pending_take(p, kind, &tag);
    if (pending == NULL)
        return false;
    pending->place = (uint8_t)place;
    pending->task = life->task;
    pending->key = key_make(0, LANE_NONE, owner);
    int rc = pawl_port_create(p->port, &spec, tag);
    if (rc != 0)
        pending_give_back(p, tag);
    if (rc != 0 && rc != -EAGAIN)
        fault(p, place, "cannot be created", rc);
    return rc == 0;
}

/* --- the script --- */

static void stage_life(struct producer *p, unsigned place, unsigned code, bool told, int status,
                       unsigned state)
{
    struct life_place *life = &p->lives[place];
    struct pawl_event *event = stage(p);
    event->task = life->task;
    event->code = (uint16_t)code;
    event->tag = TAG_LIFE;
    if (code == LIFE_NOTE) {
        p->totals.notes++;
        event->arg[1] = (uint64_t)owner_of(p, place) << 32 | ++life->notes;
    }
    uint32_t tag = 0;
    struct pending *pending = NULL;
    if (p->port != NULL && told)
        pending = pending_take(p, place == RIVAL ? PENDING_RIVAL_END : PENDING_LIFE_EVENT, &tag);
    if (pending == NULL) {
        p->totals.notes_silent += status != 0;
        return;
    }
    event->tag = tag;
    event->flags = PAWL_EVENT_COMPLETE;
    pending->task = life->task;
    pending->key = event->arg[1];
    pending->code = (uint16_t)code;
    pending->state = (uint16_t)state;
    pending->status = (int16_t)status;
    pending->place = (uint8_t)place;
    life->waiting++;
}

static void stage_notes(struct producer *p, unsigned place, unsigned count, int status,
                        unsigned state, bool told)
{
    for (unsigned i = 0; i < count; i++)
        stage_life(p, place, LIFE_NOTE, told && random_below(&p->random, 3) > 0, status, state);
}

/* At most 3 + 1 + 1 + 4 + 1 + 1 + 2 events, below SCRIPT_MAX. */
static void stage_script(struct producer *p, unsigned place)
{
    struct life_place *life = &p->lives[place];
    uint64_t draw = random_next(&p->random);
    bool sleeps = draw & 1;
    bool wakes = draw & 2;
    bool ends_by_event = draw & 4;
    life->cancels = p->port != NULL && (draw & 24) == 0;
    stage_notes(p, place, (unsigned)(draw >> 8 & 3), 0, LIFE_ALERT, true);
    if (draw & 32) { /* not expected in this state: ignored by policy */
        stage_life(p, place, LIFE_WAKE, true, 0, LIFE_ALERT);
        p->totals.ignored++;
    }
    if (sleeps) {
        stage_life(p, place, LIFE_SLEEP, true, 0, LIFE_ASLEEP);
        /* What a cancel will drop is silent, so that the last completion says that all are in. */
        stage_notes(p, place, (unsigned)(draw >> 16 & 3) + 1, wakes ? 0 : -ECANCELED, LIFE_ALERT,
                    wakes || !life->cancels);
        if (wakes)
            stage_life(p, place, LIFE_WAKE, true, 0, LIFE_ALERT);
    }
    bool asleep = sleeps && !wakes;
    if (life->cancels) {
        stage_life(p, place, asleep ? LIFE_SLEEP : LIFE_WAKE, true, 0,
                   asleep ? LIFE_ASLEEP : LIFE_ALERT);
        p->totals.ignored++;
        life->phase = PHASE_CANCEL;
        return;
    }
    stage_life(p, place, ends_by_event ? LIFE_END : LIFE_FINISH, true, 0,
               ends_by_event ? LIFE_DEAD : STATE_ANY);
    stage_notes(p, place, (unsigned)(draw >> 24) % 3, -ESTALE, STATE_ANY, true);
    life->phase = p->port != NULL ? PHASE_SCRIPT : PHASE_EXPIRING;
}

/* --- the end --- */

/* The task has ended and this producer knows it: nothing must find it any more. */
static void check_over(struct producer *p, unsigned place)
{
    struct life_place *life = &p->lives[place];
    struct pawl_view view = {.context = NULL};
    struct pawl_task found = PAWL_NO_TASK;
    char key[64];
    size_t size = key_of(p, place, key);
    int rc = pawl_task_peek(p->s->runtime, life->task, &view);
    if (rc != -ESTALE)
        fault(p, place, "a peek after its end says", rc);
    rc = place == RIVAL ? -ENOENT : pawl_task_find(p->s->runtime, key, size, &found);
    if (rc != -ENOENT)
        fault(p, place, "a search by key after its end says", rc);
    life->phase = PHASE_EMPTY;
}

static bool cancel(struct producer *p, unsigned place)
{
    struct life_place *life = &p->lives[place];
    uint32_t tag = 0;
    int rc;
    if (p->port != NULL) {
        struct pending *pending = pending_take(p, PENDING_LIFE_EVENT, &tag);
        if (pending == NULL)
            return false;
        pending->task = life->task;
        pending->code = PAWL_CODE_CANCEL;
        pending->state = STATE_ANY;
        pending->status = 0;
        pending->place = (uint8_t)place;
        rc = pawl_port_cancel(p->port, life->task, tag);
        if (rc != 0)
            pending_give_back(p, tag);
    } else {
        rc = pawl_task_cancel(p->s->runtime, life->task);
    }
    if (rc != 0 && rc != -EAGAIN)
        fault(p, place, "cannot be cancelled", rc);
    if (rc != 0)
        return false;
    life->waiting += p->port != NULL;
    life->phase = p->port != NULL ? PHASE_SCRIPT : PHASE_EXPIRING;
    return true;
}

/* Alive and known to be: its key finds it, and nobody else can take it. */
static bool check_live(struct producer *p, unsigned place)
{
    struct life_place *life = &p->lives[place];
    struct pawl_task found = PAWL_NO_TASK;
    char key[64];
    size_t size = key_of(p, place, key);
    int rc = pawl_task_find(p->s->runtime, key, size, &found);
    if (rc != 0 || found.id != life->task.id)
        fault(p, place, "a search by key while it lives says", rc);
    if (p->port != NULL) {
        if (!create(p, place, PENDING_LIFE_TWICE))
            return false;
        life->phase = PHASE_TWICE;
        return true;
    }
    if (random_below(&p->random, 4) == 0)
        return cancel(p, place);
    stage_script(p, place);
    return true;
}

static bool rival_turn(struct producer *p)
{
    struct life_place *life = &p->lives[RIVAL];
    if (p->port == NULL || life->waiting > 0)
        return false;
    if (life->phase == PHASE_LIVE) {
        if (p->pending_free_count == 0)
            return false;
        stage_life(p, RIVAL, LIFE_END, true, 0, LIFE_DEAD);
        life->phase = PHASE_SCRIPT;
        return true;
    }
    if (life->phase == PHASE_SCRIPT)
        check_over(p, RIVAL);
    if (p->finishing || life->phase != PHASE_EMPTY)
        return false;
    life->notes = (uint32_t)random_below(&p->random, RIVAL_KEYS);
    if (create(p, RIVAL, PENDING_RIVAL_CREATE))
        life->phase = PHASE_CREATING;
    return true;
}

bool lives_turn(struct producer *p)
{
    unsigned place = p->life_turn++ % (LIVES + 1);
    if (place == RIVAL)
        return rival_turn(p);
    struct life_place *life = &p->lives[place];
    struct pawl_view view = {.context = NULL};
    switch ((enum life_phase)life->phase) {
    case PHASE_EMPTY:
        if (p->finishing)
            return false;
        life->short_lived = random_below(&p->random, 8) == 0;
        if (create(p, place, PENDING_LIFE_CREATE) && p->port != NULL)
            life->phase = PHASE_CREATING;
        return true;
    case PHASE_LIVE:
        return check_live(p, place);
    case PHASE_READY:
        if (p->pending_free_count < SCRIPT_MAX)
            return false;
        stage_script(p, place);
        return true;
    case PHASE_SCRIPT:
        if (life->waiting > 0)
            return false;
        check_over(p, place);
        return true;
    case PHASE_CANCEL:
        return life->waiting == 0 && cancel(p, place);
    case PHASE_EXPIRING:
        if (pawl_task_peek(p->s->runtime, life->task, &view) != -ESTALE)
            return false;
        check_over(p, place);
        return true;
    case PHASE_CREATING:
    case PHASE_TWICE:
        break;
    }
    return false;
}

bool lives_over(const struct producer *p)
{
    for (unsigned place = 0; place <= LIVES; place++)
        if (p->lives[place].phase != PHASE_EMPTY)
            return false;
    return true;
}

/* --- completions --- */

static void complete_rival(struct producer *p, const struct pawl_completion *c)
{
    struct life_place *life = &p->lives[RIVAL];
    struct pawl_view view = {.context = NULL};
    char key[64];
    size_t size = key_of(p, RIVAL, key);
    if (c->status == 0) {
        born(p, RIVAL, c->task);
        return;
    }
    life->phase = PHASE_EMPTY;
    if (c->status != -EEXIST || c->task.id == 0) {
        fault(p, RIVAL, "cannot be created", c->status);
        return;
    }
    int rc = pawl_task_peek(p->s->runtime, c->task, &view);
    if (rc == 0 && (view.key_size != size || memcmp(view.key, key, size) != 0))
        fault(p, RIVAL, "the existing task has another key", c->status);
    else if (rc != 0 && rc != -ESTALE)
        fault(p, RIVAL, "a peek at the existing task says", rc);
}

static void complete_event(struct producer *p, const struct pending *was,
                           const struct pawl_completion *c)
{
    struct life_place *life = &p->lives[was->place];
    bool is_note = was->code == LIFE_NOTE && was->kind == PENDING_LIFE_EVENT;
    life->waiting--;
    p->totals.notes_failed += is_note && c->status != 0;
    if (c->status == -ESTALE)
        add_relaxed(&p->s->told.stale, 1);
    if (c->status == -ECANCELED)
        add_relaxed(&p->s->told.canceled, 1);
    bool state = c->status != 0 || was->state == STATE_ANY || was->state == c->state;
    bool answer = c->status != 0 || !is_note || c->value == answer_to(was->key);
    if (c->status != was->status || !state || !answer)
        stress_find(
            p->s, FINDING_UNEXPLAINED,
            "event %u (%u) of life %#x (task %#llx): expected status %d, state %u, got status "
            "%d, state %u%s",
            was->code, (unsigned)was->key, owner_of(p, was->place),
            (unsigned long long)was->task.id, was->status, was->state, c->status, c->state,
            answer ? "" : ", a wrong answer");
}

void lives_complete(struct producer *p, const struct pending *was, const struct pawl_completion *c)
{
    switch ((enum pending_kind)was->kind) {
    case PENDING_LIFE_CREATE:
        if (c->status == 0) {
            born(p, was->place, c->task);
            break;
        }
        p->lives[was->place].phase = PHASE_EMPTY;
        fault(p, was->place, "cannot be created", c->status);
        break;
    case PENDING_LIFE_TWICE:
        if (c->status != -EEXIST || c->task.id != was->task.id)
            fault(p, was->place, "its key was given twice", c->status);
        p->lives[was->place].phase = PHASE_READY;
        break;
    case PENDING_RIVAL_CREATE:
        complete_rival(p, c);
        break;
    case PENDING_LIFE_EVENT:
    case PENDING_RIVAL_END:
        complete_event(p, was, c);
        break;
    case PENDING_RESIDENT:
    case PENDING_CANCEL:
        break;
    }
}
