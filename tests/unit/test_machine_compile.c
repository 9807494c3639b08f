/*
 * The compiled tables against the documented meaning. A slow interpreter that walks the nesting of the
 * definition at every event is the reference; a minimal one runs the tables; both see the same random
 * events on random machines, and must call the same functions in the same order, end in the same leaf,
 * arm the same timers and may raise the same events. What compiling refuses is compared too: states
 * that cannot be reached, traps, endless chains of raised events.
 *
 * PAWL_TEST_SEED=N repeats a run.
 */
#include "support/diagnostics.h"
#include "support/machine_model.h"
#include "support/meter.h"
#include "support/seed.h"
#include "support/test.h"

#define MACHINES   6000
#define STEPS      120
#define RAISED_MAX 400

/* ---- the tables ---------------------------------------------------------------------------------- */

struct tables {
    const struct pawl_machine *m;
    unsigned leaf;
    uint16_t history;
    uint64_t armed[TIMERS_MAX];
    unsigned armed_at[TIMERS_MAX];
    unsigned step;
    bool ended;
};

static void run_row(struct tables *t, const struct transition *row, const struct pawl_event *event,
                    struct outcome *o)
{
    for (unsigned i = 0; i < row->functions_count; i++)
        row->functions[i](NULL, NULL, event);
    for (unsigned i = 0; i < row->timers_count; i++) {
        const struct timer_change *const change = &row->timers[i];

        cr_assert(change->timer < t->m->timers_count);
        cr_assert(i == 0 || change->delay_ns || !row->timers[i - 1].delay_ns);
        t->armed[change->timer] = change->delay_ns;
        t->armed_at[change->timer] = change->delay_ns ? t->step : 0;
    }
    t->history = (uint16_t)((t->history & ~row->history_mask) | row->history_bits);
    t->leaf = row->target;
    t->ended = row->flags & TRANSITION_FINAL;
    o->external = row->flags & TRANSITION_EXTERNAL;
    o->raises = row->raises ? row->raises[0] : 0;
}

static void tables_report(const struct tables *t, struct outcome *o)
{
    unsigned timer = t->m->named_timers_count;

    take_calls(o);
    o->leaf = (int)t->leaf;
    o->ended = t->ended;
    memset(o->armed, 0, sizeof(o->armed));
    memset(o->armed_at, 0, sizeof(o->armed_at));
    for (; timer < t->m->timers_count; timer++) {
        const int state = pawl_machine_state(t->m, t->m->timers[timer].name);

        cr_assert(state >= 0);
        o->armed[state] = t->armed[timer];
        o->armed_at[state] = t->armed_at[timer];
    }
}

static void tables_step(struct tables *t, const struct pawl_event *event, struct outcome *o)
{
    const struct pawl_machine *const m = t->m;
    const struct transition *row =
        &m->transitions[m->cells[t->leaf * m->events_count + event->code]];

    while (row->guard && !row->guard(NULL, NULL, event))
        row = &m->transitions[row->next];
    o->external = false;
    o->raises = 0;
    o->kind = row->kind == TRANSITION_VARIANTS ? TRANSITION_TAKE : row->kind;
    cr_assert_eq(row->state, t->leaf);
    if (row->kind == TRANSITION_VARIANTS)
        row = &m->transitions[row->variants +
                              ((t->history >> row->variant_shift) & row->variant_mask)];
    if (row->kind == TRANSITION_TAKE)
        run_row(t, row, event, o);
    tables_report(t, o);
}

/* ---- the comparison ------------------------------------------------------------------------------ */

static void compare(const struct outcome *want, const struct outcome *got, uint64_t seed,
                    unsigned machine, unsigned step)
{
    const char *differs = NULL;

    if (want->kind != got->kind)
        differs = "kind";
    else if (want->leaf != got->leaf)
        differs = "leaf";
    else if (want->external != got->external)
        differs = "external";
    else if (want->ended != got->ended)
        differs = "ended";
    else if (want->raises != got->raises)
        differs = "raises";
    else if (want->calls_count != got->calls_count ||
             memcmp(want->calls, got->calls, want->calls_count * sizeof(int)) != 0)
        differs = "calls";
    else if (!want->ended && memcmp(want->armed, got->armed, sizeof(want->armed)) != 0)
        differs = "timers";
    else if (!want->ended && memcmp(want->armed_at, got->armed_at, sizeof(want->armed_at)) != 0)
        differs = "when timers were armed";
    cr_assert(!differs, "%s differs: seed %llu, machine %u, step %u", differs ? differs : "",
              (unsigned long long)seed, machine, step);
}

/* The raised events that wait, with how many raises led to each. */
struct raised {
    unsigned codes[RAISED_MAX];
    unsigned depth[RAISED_MAX];
    unsigned head, tail;
};

static void raise_some(struct raised *q, uint64_t may, unsigned depth, bool all, struct random *r)
{
    for (unsigned code = 0; code < EVENTS && q->tail < RAISED_MAX; code++) {
        if (!(may >> code & 1) || (!all && chance(r, 30)))
            continue;
        cr_assert(depth < RAISE_CHAIN_MAX);
        q->depth[q->tail] = depth + 1;
        q->codes[q->tail++] = code;
    }
}

static void compare_cancel(const struct reference *reference, const struct tables *tables,
                           uint64_t seed, unsigned machine)
{
    struct reference m = *reference;
    struct tables t = *tables;
    struct outcome want = {.kind = TRANSITION_TAKE}, got = {.kind = TRANSITION_TAKE};
    const struct pawl_event event = {.code = PAWL_CODE_CANCEL};
    const int leaf = m.leaf;

    m.raises = 0;
    exit_up_to(&m, NONE, &event);
    take_calls(&want);
    want.leaf = leaf;
    want.ended = true;
    want.raises = m.raises;
    run_row(&t, &t.m->transitions[t.m->states[leaf].cancel], &event, &got);
    tables_report(&t, &got);
    for (unsigned i = 0; i < t.m->timers_count; i++)
        cr_assert_eq(t.armed[i], 0);
    compare(&want, &got, seed, machine, STEPS);
}

static void compare_run(const struct sample *s, const struct pawl_machine *m, struct random *r,
                        uint64_t seed, unsigned machine)
{
    struct reference reference;
    struct tables tables = {.m = m};
    struct outcome want, got;
    struct pawl_event event = {.code = PAWL_CODE_CREATE};
    struct raised raised = {.head = 0, .tail = 0};
    const bool all = chance(r, 50);

    memset(&want, 0, sizeof(want));
    memset(&got, 0, sizeof(got));
    called.count = 0;
    reference_create(&reference, &s->definition, &event);
    take_calls(&want);
    run_row(&tables, &m->transitions[m->create], &event, &got);
    tables_report(&tables, &got);
    cr_assert_eq(got.leaf, reference.leaf);
    want.leaf = reference.leaf;
    want.ended = reference.ended;
    want.external = true;
    want.raises = reference.raises;
    memcpy(want.armed, reference.armed, sizeof(want.armed));
    memcpy(want.armed_at, reference.armed_at, sizeof(want.armed_at));
    compare(&want, &got, seed, machine, 0);
    raise_some(&raised, want.raises, 0, all, r);
    for (unsigned step = 1; step < STEPS && !reference.ended; step++) {
        unsigned depth = 0;

        event = (struct pawl_event){.code = (uint16_t)random_below(r, EVENTS),
                                    .arg = {random_next(r), 0}};
        if (raised.head < raised.tail) {
            depth = raised.depth[raised.head];
            event.code = (uint16_t)raised.codes[raised.head++];
        } else {
            raised.head = raised.tail = 0;
        }
        reference.step = tables.step = step;
        reference_step(&reference, &event, &want);
        tables_step(&tables, &event, &got);
        compare(&want, &got, seed, machine, step);
        raise_some(&raised, want.raises, depth, all, r);
    }
    if (!reference.ended)
        compare_cancel(&reference, &tables, seed, machine);
}

/* ---- what is refused ----------------------------------------------------------------------------- */

struct verdicts {
    bool reached[STATES];
    bool trapped[STATES];
    bool endless; /* only with single_raises */
    bool single_raises;
};

struct world {
    struct reference seen[4096];
    unsigned count;
};

static bool is_same(const struct reference *a, const struct reference *b)
{
    return a->leaf == b->leaf && memcmp(a->remembered, b->remembered, sizeof(a->remembered)) == 0;
}

static void add_world(struct world *w, const struct reference *m)
{
    for (unsigned i = 0; i < w->count; i++) {
        if (is_same(&w->seen[i], m))
            return;
    }
    cr_assert(w->count < 4096);
    w->seen[w->count++] = *m;
}

static unsigned raise_count(const struct pawl_machine_def *d, const struct reference *before,
                            const struct pawl_transition_def *t)
{
    /* Counted as the functions that run, each with what it may raise. */
    struct reference m = *before;
    const struct pawl_event event = {.code = 0};
    unsigned count = (unsigned)__builtin_popcountll(t->action ? events_of(d, t->raises) : 0);

    if (!t->to)
        return count;
    called.count = 0;
    m.raises = 0;
    reference_take(&m, t, &event);
    for (size_t i = 0; i < d->states_count; i++) {
        const uint64_t set = events_of(d, d->states[i].raises);
        const int kept = kept_by(d, state_of(d, t->from), state_of(d, t->to));
        const bool exited = is_inside(d, before->leaf, (int)i) && (int)i != kept &&
                            (kept == NONE || is_inside(d, (int)i, kept));
        const bool entered = is_inside(d, m.leaf, (int)i) && (int)i != kept &&
                             (kept == NONE || is_inside(d, (int)i, kept));

        count += exited && d->states[i].exit ? (unsigned)__builtin_popcountll(set) : 0;
        count += entered && d->states[i].entry ? (unsigned)__builtin_popcountll(set) : 0;
    }
    called.count = 0;
    return count;
}

/*
 * Follows every candidate of every event from every configuration. longest[leaf][event] is how many
 * raised events can follow one another when this one waits alone in this leaf; it grows for ever if and
 * only if a chain has no end.
 */
static void judge(const struct sample *s, struct verdicts *v)
{
    static struct world w;
    static struct {
        int leaf, next;
        unsigned code;
        uint64_t raises;
    } moves[4096 * 8];
    const struct pawl_machine_def *const d = &s->definition;
    const struct pawl_event event = {.code = 0};
    struct reference m;
    unsigned moves_count = 0, longest[STATES][EVENTS] = {{0}};

    memset(v, 0, sizeof(*v));
    v->single_raises = true;
    for (unsigned i = 0; i < STATES; i++)
        v->trapped[i] = true;
    w.count = 0;
    reference_create(&m, d, &event);
    add_world(&w, &m);
    for (unsigned i = 0; i < w.count; i++) {
        const struct reference from = w.seen[i];

        for (int at = from.leaf; at != NONE; at = parent_of(d, at))
            v->reached[at] = true;
        for (unsigned code = 0; code < EVENTS && !from.ended; code++) {
            const struct pawl_transition_def *list[TRANSITIONS + 1];
            enum transition_kind otherwise;
            const unsigned count = candidates(d, from.leaf, code, list, &otherwise);

            for (unsigned k = 0; k < count; k++) {
                m = from;
                m.raises = 0;
                called.count = 0;
                reference_take(&m, list[k], &event);
                if (m.leaf != from.leaf || called.count)
                    v->trapped[from.leaf] = false;
                v->single_raises &= raise_count(d, &from, list[k]) <= 1;
                add_world(&w, &m);
                cr_assert(moves_count < 4096 * 8);
                moves[moves_count].leaf = from.leaf;
                moves[moves_count].next = m.leaf;
                moves[moves_count].code = code;
                moves[moves_count++].raises = m.ended ? 0 : m.raises;
            }
        }
    }
    called.count = 0;
    for (unsigned round = 0; round <= STATES * EVENTS; round++) {
        v->endless = false;
        for (unsigned i = 0; i < moves_count; i++) {
            for (unsigned code = 0; code < EVENTS; code++) {
                unsigned *const here = &longest[moves[i].leaf][moves[i].code];

                if ((moves[i].raises >> code & 1) && *here < longest[moves[i].next][code] + 1) {
                    *here = longest[moves[i].next][code] + 1;
                    v->endless = true;
                }
            }
        }
    }
}

/* The search for configurations may need more than there is room for when history is used. */
static void compare_verdict(const struct sample *s, const struct diagnostics *found, int error,
                            uint64_t seed, unsigned machine)
{
    const struct pawl_machine_def *const d = &s->definition;
    struct verdicts v;
    bool refused = false;

    judge(s, &v);
    for (size_t i = 0; i < d->states_count; i++) {
        const bool leaf = !d->states[i].initial, final = d->states[i].flags & PAWL_STATE_FINAL;
        char where[32];
        bool unreachable, trapped;

        snprintf(where, sizeof(where), "state %zu (", i);
        unreachable = diagnostics_have(found, "error", where, "no transition leads here");
        trapped = diagnostics_have(found, "error", where, "can never leave");
        refused |= unreachable || trapped;
        cr_assert(!unreachable || !v.reached[i], "seed %llu, machine %u: state %zu is reachable",
                  (unsigned long long)seed, machine, i);
        if (s->history)
            continue;
        cr_assert(unreachable || v.reached[i], "seed %llu, machine %u: state %zu is unreachable",
                  (unsigned long long)seed, machine, i);
        if (leaf && v.reached[i])
            cr_assert(trapped == (v.trapped[i] && !final), "seed %llu, machine %u: trap %zu",
                      (unsigned long long)seed, machine, i);
    }
    if (!s->history && !refused && v.single_raises)
        cr_assert(diagnostics_have(found, "error", "", "go round") == v.endless,
                  "seed %llu, machine %u: endless chain", (unsigned long long)seed, machine);
    cr_assert((error != 0) == (found->errors != 0));
}

Test(machine_compile, tables_do_what_the_definition_means)
{
    static struct sample s;
    static struct diagnostics found;
    const uint64_t seed = test_seed(20240229);
    unsigned accepted = 0, variants = 0, refused_chains = 0;

    for (unsigned i = 0; i < MACHINES; i++) {
        struct random r = {seed + i * UINT64_C(0x9e3779b97f4a7c15)};
        struct pawl_machine *machine;
        int error;

        make_sample(&s, &r);
        error = diagnostics_compile(&found, &s.definition, &machine);
        cr_assert((machine != NULL) == (error == 0));
        if (!diagnostics_have(&found, "error", "", "has no guard and is always taken first"))
            compare_verdict(&s, &found, error, seed, i);
        refused_chains += diagnostics_have(&found, "error", "", "go round") != 0;
        if (!machine)
            continue;
        accepted++;
        for (uint32_t row = 0; row < machine->transitions_count; row++)
            variants += machine->transitions[row].kind == TRANSITION_VARIANTS;
        for (unsigned run = 0; run < 4; run++)
            compare_run(&s, machine, &r, seed, i);
        pawl_machine_destroy(machine);
    }
    fprintf(stderr, "%u machines compared, %u rows with variants, %u endless chains\n", accepted,
            variants, refused_chains);
    cr_assert(accepted > MACHINES / 12);
    cr_assert(variants > 100);
    cr_assert(refused_chains > 50);
}

Test(machine_compile, without_memory_nothing_is_left_behind)
{
    static struct sample s;
    static struct diagnostics found;
    const uint64_t seed = test_seed(20240229);
    unsigned failures = 0, successes = 0;

    for (unsigned i = 0; i < 300; i++) {
        struct random r = {seed + i * UINT64_C(0x9e3779b97f4a7c15)};

        make_sample(&s, &r);
        for (unsigned left = 0; left < 1000; left++) {
            struct meter meter = {.left = left};
            const struct allocator allocator = {meter_allocate, meter_release, &meter};
            struct pawl_machine *machine;
            int error;

            memset(&found, 0, sizeof(found));
            error =
                pawl__machine_compile(&s.definition, diagnostics_add, &found, &allocator, &machine);
            if (error == -ENOMEM) {
                failures++;
                cr_assert(machine == NULL);
                cr_assert_eq(meter.out, 0);
                continue;
            }
            successes += error == 0;
            cr_assert_eq(error, found.first);
            pawl_machine_destroy(machine);
            cr_assert_eq(meter.out, 0);
            break;
        }
    }
    cr_assert(failures > 600);
    cr_assert(successes > 50);
}
