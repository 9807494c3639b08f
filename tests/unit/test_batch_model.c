/*
 * Batches: whatever order a shard steps events in, every one of them has exactly one fate. A model of plain arrays
 * predicts what becomes of every task and every event, and is compared with the runtime after each round.
 *
 * PAWL_TEST_SEED=N repeats a run.
 */
#include "base/random.h"
#include "support/fixture.h"
#include "support/seed.h"

static struct fixture f;

/*
 * account: idle <-> busy (timeout 20 ms back to idle) in up; hold is deferred in idle. sum depends on
 * the order of all that changes it; notes and ticks come when they come, so they only count.
 */
enum { MODEL_TASKS = 600, MODEL_TAGS = 60000, MODEL_DEFERRED = 4, MODEL_KEYS = 24 };

struct account {
    uint64_t sum;
    uint64_t notes;
    uint64_t ticks;
};

enum model_event {
    M_ADD,
    M_CHOOSE,
    M_START,
    M_STOP,
    M_HOLD,
    M_ARM,
    M_DISARM,
    M_FAIL,
    M_SEND,
    M_RAISE,
    M_FINISH,
    M_END,
    M_SPAWN,
    M_PASS,
    M_NOTE,
    M_TICK,
    M_LATE,
    M_RAISED
};
static const char *const model_events[] = {
    "add",   "choose", "start", "stop",  "hold", "arm",  "disarm", "fail", "send",
    "raise", "finish", "end",   "spawn", "pass", "note", "tick",   "late", "raised"};
enum { MS_UP, MS_IDLE, MS_BUSY, MS_END };

static struct {
    struct pawl_task id;
    bool alive;
    unsigned state;
    int key; /* or -1 */
    struct account account;
    uint32_t version;
    unsigned deferred_count;
    struct {
        uint16_t code;
        uint64_t arg;
        uint32_t tag;
    } deferred[MODEL_DEFERRED];
    uint64_t tick_at; /* in ms; 0: not armed */
    uint64_t late_at;
    unsigned notes_coming;
} model[MODEL_TASKS];
static unsigned model_count;

static struct {
    bool decided, completed;
    int status;
    unsigned state;
    uint64_t value;
    unsigned spawned; /* the new task's place in the model; 0: none */
    struct pawl_task task;
} fates[MODEL_TAGS];
static uint32_t tags_count;

static uint64_t notes_sent, notes_handled;
static uint64_t model_now_ms;

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return sum * 31 + value + 1;
}

static void m_add(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct account *const account = context;

    account->sum = mix(account->sum, event->arg[0]);
    if (event->arg[0] % 4 == 0 || event->code != M_ADD) /* some stage nothing */
        pawl_step_answer(step, account->sum);
}

static void m_choose_even(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct account *const account = context;

    account->sum = mix(account->sum, event->arg[0] + 1000);
    (void)step;
}

static bool m_is_odd(const struct pawl_step *step, const void *context,
                     const struct pawl_event *event)
{
    (void)step;
    return (((const struct account *)context)->sum + event->arg[0]) % 2 == 1;
}

static void m_arm(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_arm(step, 0, event->arg[0] * FIXTURE_MS), 0);
    (void)context;
}

static void m_disarm(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_cancel(step, 0), 0);
    (void)context, (void)event;
}

static void m_fail(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_task made;

    ((struct account *)context)->sum = 0xdead;
    pawl_step_arm(step, 0, FIXTURE_MS);
    pawl_step_post(step, &(struct pawl_event){.task = event->task, .code = M_NOTE});
    pawl_step_create(step, &(struct pawl_task_spec){.shard = pawl_step_shard(step)}, PAWL_NO_REPLY,
                     &made);
    pawl_step_abort(step, event->arg[0] % 2 ? -EIO : -ETIMEDOUT);
}

static void m_send(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    cr_assert_eq(
        pawl_step_post(step, &(struct pawl_event){.task = model[event->arg[0]].id, .code = M_NOTE}),
        0);
    notes_sent++;
    (void)context;
}

static void m_raise(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    for (uint64_t i = 0; i < event->arg[0] % 4; i++)
        cr_assert_eq(pawl_step_raise(step, M_RAISED, event->arg[0] + i, 0), 0);
    (void)context;
}

static void m_finish(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    pawl_step_finish(step);
    (void)context, (void)event;
}

static void m_spawn(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct account first = {.sum = event->arg[0]};
    struct pawl_task made;

    cr_assert_eq(pawl_step_create(step,
                                  &(struct pawl_task_spec){.shard = pawl_step_shard(step),
                                                           .context = &first,
                                                           .context_size = sizeof(first)},
                                  PAWL_NO_REPLY, &made),
                 0);
    pawl_step_answer(step, made.id);
    (void)context;
}

static void m_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    ((struct account *)context)->notes++;
    notes_handled++;
    (void)step, (void)event;
}

static void m_tick(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    ((struct account *)context)->ticks++;
    (void)step, (void)event;
}

static const char *const model_raises[] = {"raised", NULL};
static const char *const model_defers[] = {"hold", NULL};
static const struct pawl_timer_def model_timers[] = {{"t", "tick"}};
static const struct pawl_state_def model_states[] = {
    {.name = "up", .initial = "idle"},
    {.name = "idle", .parent = "up", .defers = model_defers},
    {.name = "busy", .parent = "up", .timeout_ns = 20 * FIXTURE_MS, .timeout = "late"},
    {.name = "end", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def model_transitions[] = {
    {.from = "up", .on = "add", .action = m_add},
    {.from = "up", .on = "choose", .guard = m_is_odd, .action = m_add},
    {.from = "up", .on = "choose", .action = m_choose_even},
    {.from = "idle", .on = "start", .to = "busy"},
    {.from = "busy", .on = "stop", .to = "idle", .action = m_add},
    {.from = "busy", .on = "hold", .action = m_add},
    {.from = "busy", .on = "pass", .to = "busy"},
    {.from = "idle", .on = "pass", .to = "idle"}, /* plain, and recalls */
    {.from = "up", .on = "arm", .action = m_arm},
    {.from = "up", .on = "disarm", .action = m_disarm},
    {.from = "up", .on = "fail", .action = m_fail},
    {.from = "up", .on = "send", .action = m_send},
    {.from = "up", .on = "raise", .action = m_raise, .raises = model_raises},
    {.from = "up", .on = "finish", .action = m_finish},
    {.from = "up", .on = "end", .to = "end"},
    {.from = "up", .on = "spawn", .action = m_spawn},
    {.from = "up", .on = "note", .action = m_note},
    {.from = "up", .on = "tick", .action = m_tick},
    {.from = "busy", .on = "late", .to = "idle"},
    {.from = "up", .on = "raised", .action = m_add},
};

enum outcome { KEPT, STEPPED, CHANGED, ENDED, FAILED };

static void decide(uint32_t tag, unsigned t, int status, uint64_t value)
{
    if (tag == UINT32_MAX)
        return;
    cr_assert(!fates[tag].decided);
    fates[tag].decided = true;
    fates[tag].status = status;
    fates[tag].state = model[t].state;
    fates[tag].value = value;
    fates[tag].task = model[t].id;
}

static void model_leave(unsigned t, unsigned state)
{
    model[t].state = state;
    model[t].late_at = state == MS_BUSY ? model_now_ms + 20 : 0;
}

static void model_gone(unsigned t)
{
    model[t].alive = false;
    for (unsigned i = 0; i < model[t].deferred_count; i++)
        decide(model[t].deferred[i].tag, t, -ECANCELED, 0);
    model[t].deferred_count = 0;
    model[t].tick_at = model[t].late_at = 0;
}

/* One event at a live task, without recall. */
static enum outcome model_step(unsigned t, uint16_t code, uint64_t arg, uint32_t tag)
{
    struct account *const account = &model[t].account;
    enum outcome outcome = STEPPED;
    uint64_t value = 0;
    int status = 0;

    switch ((enum model_event)code) {
    case M_ADD:
        account->sum = mix(account->sum, arg);
        value = arg % 4 == 0 ? account->sum : 0;
        break;
    case M_CHOOSE:
        if ((account->sum + arg) % 2 == 1) {
            account->sum = mix(account->sum, arg);
            value = account->sum;
        } else {
            account->sum = mix(account->sum, arg + 1000);
        }
        break;
    case M_START:
    case M_STOP:
        if (model[t].state != (code == M_START ? MS_IDLE : MS_BUSY))
            break;
        if (code == M_STOP) {
            account->sum = mix(account->sum, arg);
            value = account->sum;
        }
        model_leave(t, code == M_START ? MS_BUSY : MS_IDLE);
        outcome = CHANGED;
        break;
    case M_PASS:
        model_leave(t, model[t].state);
        outcome = CHANGED;
        break;
    case M_HOLD:
        if (model[t].state == MS_BUSY) {
            account->sum = mix(account->sum, arg);
            value = account->sum;
        } else if (model[t].deferred_count == MODEL_DEFERRED) {
            status = -ENOSPC;
        } else {
            model[t].deferred[model[t].deferred_count].code = code;
            model[t].deferred[model[t].deferred_count].arg = arg;
            model[t].deferred[model[t].deferred_count++].tag = tag;
            return KEPT;
        }
        break;
    case M_ARM:
        model[t].tick_at = model_now_ms + arg;
        break;
    case M_DISARM:
        model[t].tick_at = 0;
        break;
    case M_FAIL:
        status = arg % 2 ? -EIO : -ETIMEDOUT;
        break;
    case M_SEND:
        model[arg].notes_coming++;
        break;
    case M_RAISE:
        for (uint64_t i = 0; i < arg % 4; i++)
            account->sum = mix(account->sum, arg + i);
        value = arg % 4 ? account->sum : 0;
        break;
    case M_FINISH:
    case M_END:
        if (code == M_END)
            model[t].state = MS_END;
        outcome = ENDED;
        break;
    case M_SPAWN:
        fates[tag].spawned = model_count;
        model[model_count].account = (struct account){.sum = arg};
        model[model_count].state = MS_IDLE;
        model[model_count].key = -1;
        model[model_count++].alive = true;
        break;
    case M_NOTE:
    case M_TICK:
    case M_LATE:
    case M_RAISED:
        cr_assert(false, "not posted");
    }
    if (status != 0) {
        decide(tag, t, status, 0);
        return FAILED;
    }
    model[t].version++;
    if (outcome == ENDED)
        model_gone(t);
    decide(tag, t, 0, value);
    return outcome;
}

static void model_recall(unsigned t)
{
    bool again = true;

    while (again && model[t].alive) {
        const unsigned count = model[t].deferred_count;
        typeof(model[t].deferred[0]) old[MODEL_DEFERRED];

        memcpy(old, model[t].deferred, sizeof(old));
        model[t].deferred_count = 0;
        again = false;
        for (unsigned i = 0; i < count; i++) {
            if (again)
                model[t].deferred[model[t].deferred_count++] = old[i];
            else
                again = model_step(t, old[i].code, old[i].arg, old[i].tag) == CHANGED;
        }
    }
}

static void model_post(unsigned t, uint16_t code, uint64_t arg, uint32_t tag)
{
    if (!model[t].alive) {
        decide(tag, t, -ESTALE, 0);
        return;
    }
    if (model_step(t, code, arg, tag) == CHANGED)
        model_recall(t);
}

/* All timers up to a time. A tick and a timeout do not disturb each other, so their order is free. */
static void model_advance(uint64_t to_ms)
{
    const uint64_t from_ms = model_now_ms;

    for (unsigned t = 0; t < model_count; t++) {
        if (!model[t].alive)
            continue;
        if (model[t].tick_at != 0 && model[t].tick_at <= to_ms) {
            model[t].tick_at = 0;
            model[t].account.ticks++;
            model[t].version++;
        }
        if (model[t].late_at != 0 && model[t].late_at <= to_ms) {
            cr_assert(model[t].late_at >= from_ms);
            model[t].version++;
            model_leave(t, MS_IDLE);
            model_recall(t);
        }
    }
    model_now_ms = to_ms;
}

/* ---- running the model beside the runtime -------------------------------------------------------- */

static void reap_all(void)
{
    struct pawl_completion done;

    while (pawl_port_reap(f.port, &done, 1) == 1) {
        cr_assert(done.tag < tags_count);
        cr_assert(fates[done.tag].decided, "event %u: %d was not to come yet", done.tag,
                  done.status);
        cr_assert(!fates[done.tag].completed, "event %u has completed twice", done.tag);
        fates[done.tag].completed = true;
        cr_assert_eq(done.status, fates[done.tag].status, "event %u: %d in place of %d", done.tag,
                     done.status, fates[done.tag].status);
        if (done.status == 0)
            cr_assert_eq(done.state, fates[done.tag].state, "event %u: state %u", done.tag,
                         done.state);
        if (fates[done.tag].spawned != 0) {
            cr_assert_eq(done.status, 0);
            cr_assert(done.value != 0);
            model[fates[done.tag].spawned].id.id = done.value;
        } else if (done.status == 0) {
            cr_assert_eq(done.value, fates[done.tag].value, "event %u: value", done.tag);
        }
        if (fates[done.tag].task.id != 0)
            cr_assert_eq(done.task.id, fates[done.tag].task.id);
    }
}

/* Everybody agrees, down to the versions; keys lead to their tasks. */
static void compare(unsigned first)
{
    uint64_t expected = 0;

    reap_all();
    for (unsigned t = 0; t < model_count; t++) {
        struct account account;
        struct pawl_view view;

        if (model[t].alive) {
            model[t].account.notes += model[t].notes_coming;
            model[t].version += model[t].notes_coming;
        }
        model[t].notes_coming = 0;
        cr_assert_eq(fixture_is_alive(&f, model[t].id), model[t].alive, "task %u", t);
        if (!model[t].alive)
            continue;
        expected += model[t].account.notes;
        view = fixture_view(&f, model[t].id, &account, sizeof(account));
        if (t >= first)
            model[t].version = view.version;
        cr_assert_eq(view.state, model[t].state, "task %u is in %u, not in %u", t, view.state,
                     model[t].state);
        cr_assert_eq(account.sum, model[t].account.sum, "task %u", t);
        cr_assert_eq(account.notes, model[t].account.notes, "task %u", t);
        cr_assert_eq(account.ticks, model[t].account.ticks, "task %u", t);
        cr_assert_eq(view.version, model[t].version, "task %u: version %u, not %u", t, view.version,
                     model[t].version);
        if (model[t].key >= 0) {
            const uint64_t key = (uint64_t)model[t].key;
            struct pawl_task found;

            cr_assert_eq(pawl_task_find(f.runtime, &key, sizeof(key), &found), 0);
            cr_assert_eq(found.id, model[t].id.id);
        }
    }
    cr_assert(expected <= notes_handled);
    cr_assert_eq(notes_handled + f.undelivered_count, notes_sent);
}

static unsigned keyed(int key)
{
    for (unsigned t = 0; t < model_count; t++)
        if (model[t].alive && model[t].key == key)
            return t;
    return MODEL_TASKS;
}

/* A creation by the port, with a key or without; its completion comes at once. */
static void round_create(struct random *random, unsigned shards)
{
    const int key = random_below(random, 3) == 0 ? (int)random_below(random, MODEL_KEYS) : -1;
    const uint64_t key_word = (uint64_t)key;
    const struct account first = {.sum = random_next(random) % 1000};
    const struct pawl_task_spec spec = {.shard = (uint32_t)random_below(random, shards),
                                        .key = key >= 0 ? &key_word : NULL,
                                        .key_size = key >= 0 ? sizeof(key_word) : 0,
                                        .context = &first,
                                        .context_size = sizeof(first)};
    const unsigned existing = key >= 0 ? keyed(key) : MODEL_TASKS;
    struct pawl_completion done;

    if (model_count == MODEL_TASKS)
        return;
    cr_assert_eq(pawl_port_create(f.port, &spec, 0), 0);
    fixture_run(&f);
    done = fixture_reap(&f);
    if (existing != MODEL_TASKS) {
        cr_assert_eq(done.status, -EEXIST);
        cr_assert_eq(done.task.id, model[existing].id.id);
        return;
    }
    cr_assert_eq(done.status, 0);
    model[model_count].id = done.task;
    model[model_count].account = first;
    model[model_count].state = MS_IDLE;
    model[model_count].key = key;
    model[model_count].alive = true;
    model_count++;
}

static void round_cancel(struct random *random)
{
    const unsigned t = (unsigned)random_below(random, model_count);
    struct pawl_completion done;
    const bool alive = model[t].alive;
    const unsigned state = model[t].state;

    model_gone(t);
    cr_assert_eq(pawl_port_cancel(f.port, model[t].id, tags_count), 0);
    fates[tags_count].decided = true;
    fates[tags_count].status = alive ? 0 : -ESTALE;
    fates[tags_count].state = state;
    tags_count++;
    fixture_run(&f);
    (void)done;
}

static void round_post(struct random *random, unsigned count)
{
    static const uint16_t codes[] = {M_ADD,   M_ADD,   M_ADD,  M_CHOOSE, M_START, M_START, M_STOP,
                                     M_HOLD,  M_HOLD,  M_ARM,  M_DISARM, M_FAIL,  M_SEND,  M_SEND,
                                     M_RAISE, M_RAISE, M_PASS, M_FINISH, M_END,   M_SPAWN};
    const unsigned among = model_count; /* what is spawned has no handle yet */

    for (unsigned i = 0; i < count && tags_count < MODEL_TAGS - 8; i++) {
        const unsigned t = (unsigned)random_below(random, among);
        uint16_t code = codes[random_below(random, 20)];
        uint64_t arg = 1 + random_below(random, 40);

        if ((code == M_FINISH || code == M_END) && random_below(random, 8) != 0)
            code = M_ADD;
        if (code == M_SPAWN && (model_count == MODEL_TASKS || random_below(random, 6) != 0))
            code = M_CHOOSE;
        if (code == M_SEND)
            arg = random_below(random, among);
        fixture_post(&f, &(struct pawl_event){.task = model[t].id,
                                              .code = code,
                                              .flags = PAWL_EVENT_COMPLETE,
                                              .tag = tags_count,
                                              .arg = {arg}});
        model_post(t, code, arg, tags_count++);
    }
    fixture_run(&f);
}

static void check_model(uint64_t seed)
{
    struct random random = {seed};
    const unsigned shards = 1 + (unsigned)random_below(&random, 3);
    const unsigned rounds = 60;
    const struct pawl_machine_def definition = {
        .name = "account",
        FIXTURE_TABLE(events, model_events),
        FIXTURE_TABLE(states, model_states),
        FIXTURE_TABLE(transitions, model_transitions),
        FIXTURE_TABLE(timers, model_timers),
        .context_size =
            random_below(&random, 2) ? sizeof(struct account) : 24 + random_below(&random, 1000),
        .deferred_max = MODEL_DEFERRED};
    const unsigned crowd = 1 + (unsigned)random_below(&random, 60);

    fprintf(stderr, "  seed %llu: %u shards, %u tasks, context %zu\n", (unsigned long long)seed,
            shards, crowd, definition.context_size);
    fixture_open(&f, &(struct fixture_options){.machines = {&definition},
                                               .shards = shards,
                                               .port_capacity = 65536,
                                               .exchange_ring = random_below(&random, 2) ? 4 : 0,
                                               .seed = seed + 1});
    memset(model, 0, sizeof(model));
    memset(fates, 0, sizeof(fates));
    model_count = tags_count = 0;
    notes_sent = notes_handled = model_now_ms = 0;
    for (unsigned i = 0; i < crowd; i++)
        round_create(&random, shards);
    compare(0);
    for (unsigned round = 0; round < rounds; round++) {
        const unsigned first = model_count;

        switch (random_below(&random, 6)) {
        case 0:
            round_create(&random, shards);
            break;
        case 1:
            round_cancel(&random);
            break;
        case 2: {
            const uint64_t ms = random_below(&random, 30);

            if (random_below(&random, 2))
                fixture_jump(&f, ms * FIXTURE_MS);
            else
                fixture_advance(&f, ms * FIXTURE_MS);
            model_advance(model_now_ms + ms);
            break;
        }
        default:
            round_post(&random, 1 + (unsigned)random_below(&random, 600));
            break;
        }
        compare(first);
    }
    cr_assert_eq(pawl_stop(f.runtime), 0);
    for (unsigned t = 0; t < model_count; t++)
        model_gone(t);
    reap_all();
    for (uint32_t tag = 0; tag < tags_count; tag++)
        cr_assert(fates[tag].completed, "event %u has had no fate", tag);
    fixture_close(&f);
}

Test(batch_model, random_lives_agree_with_the_model)
{
    const uint64_t seed = test_seed(21);

    for (unsigned i = 0; i < 30; i++)
        check_model(seed + i);
}
