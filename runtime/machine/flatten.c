/*
 * flatten.c - from nested states to the rows and cells of compiled.h.
 *
 * A transition declared in a parent becomes a row of its own in every leaf inside, because the exit
 * actions differ from leaf to leaf. Rows are built in arrays that grow, then packed into one block:
 * machine, rows, cells, functions, timer changes, bitmaps, states, timers.
 *
 * Rows that take nothing (ignore, refuse, defer) are shared by all events of a leaf: their event is
 * UINT16_MAX, their target is the leaf. A final leaf has no others: its task has ended, so what its
 * parents declare can never be taken there.
 */
#include "machine/flatten.h"

#include <string.h>

#include "base/bits.h"
#include "machine/path.h"

#define PATH_FUNCTIONS (2 * NESTING_MAX + 1) /* exits, action, entries */

/* What a row needs beside its fixed part: ranges of the growing arrays. */
struct extent {
    uint32_t functions;
    uint32_t timers;
    uint32_t raises; /* in words, + 1; 0: none */
};

struct flattener {
    struct machine_source *source;
    struct findings *findings;
    struct blocks *scratch;
    struct transition *rows;
    struct extent *extents;
    struct origin *origins;
    pawl_action_fn **functions;
    struct timer_change *timers;
    uint64_t *raises;
    uint64_t *bitmap; /* of one row, while it is made */
    uint16_t *cells;
    uint16_t *tails;   /* by event: the last row of the chain so far, while a leaf is made */
    bool *closed;      /* by event: nothing can follow in the chain */
    uint16_t *cancels; /* by state */
    size_t rows_count, rows_capacity, extents_capacity, origins_capacity;
    size_t functions_count, functions_capacity;
    size_t timers_count, timers_capacity;
    size_t raises_count, raises_capacity; /* in words */
    unsigned words;                       /* of a bitmap */
    unsigned create;
    bool full;
};

/* ---- rows ---------------------------------------------------------------------------------------- */

static bool grow_rows(struct flattener *f)
{
    struct transition *const rows =
        pawl__blocks_grow(f->scratch, f->rows, f->rows_count, &f->rows_capacity, sizeof(*rows));
    struct extent *const extents = pawl__blocks_grow(f->scratch, f->extents, f->rows_count,
                                                     &f->extents_capacity, sizeof(*extents));
    struct origin *const origins = pawl__blocks_grow(f->scratch, f->origins, f->rows_count,
                                                     &f->origins_capacity, sizeof(*origins));

    if (!rows || !extents || !origins) {
        f->findings->out_of_memory = true;
        return false;
    }
    f->rows = rows;
    f->extents = extents;
    f->origins = origins;
    return true;
}

/* A new row; TRANSITION_NONE: no number or no memory is left for it. */
static uint16_t add_row(struct flattener *f, enum transition_kind kind, unsigned leaf,
                        unsigned event, unsigned origin)
{
    if (f->rows_count >= TRANSITION_NONE) {
        f->full = true;
        return TRANSITION_NONE;
    }
    if (!grow_rows(f))
        return TRANSITION_NONE;
    f->rows[f->rows_count] = (struct transition){.kind = (uint8_t)kind,
                                                 .target = (uint16_t)leaf,
                                                 .state = (uint16_t)leaf,
                                                 .event = (uint16_t)event,
                                                 .next = TRANSITION_NONE};
    f->extents[f->rows_count] = (struct extent){0, 0, 0};
    f->origins[f->rows_count] = (struct origin){(uint16_t)origin, 0};
    return (uint16_t)f->rows_count++;
}

static bool add_functions(struct flattener *f, uint16_t row, pawl_action_fn *const *functions,
                          unsigned count)
{
    f->extents[row].functions = (uint32_t)f->functions_count;
    f->rows[row].functions_count = (uint16_t)count;
    for (unsigned i = 0; i < count; i++) {
        pawl_action_fn **const grown =
            pawl__blocks_grow(f->scratch, f->functions, f->functions_count, &f->functions_capacity,
                              sizeof(*f->functions));

        if (!grown) {
            f->findings->out_of_memory = true;
            return false;
        }
        f->functions = grown;
        f->functions[f->functions_count++] = functions[i];
    }
    return true;
}

static bool add_timer(struct flattener *f, uint16_t row, unsigned timer, uint64_t delay_ns)
{
    struct timer_change *const grown = pawl__blocks_grow(f->scratch, f->timers, f->timers_count,
                                                         &f->timers_capacity, sizeof(*f->timers));

    if (!grown) {
        f->findings->out_of_memory = true;
        return false;
    }
    f->timers = grown;
    f->timers[f->timers_count++] = (struct timer_change){delay_ns, (uint16_t)timer};
    f->rows[row].timers_count++;
    return true;
}

static bool path_enters(const struct path *path, unsigned state)
{
    for (unsigned i = 0; i < path->entries_count; i++) {
        if (path->entries[i] == state)
            return true;
    }
    return false;
}

/* Cancels, then arms. To arm a timer replaces what it was armed to, so a timer gets one change. */
static bool add_timers(struct flattener *f, uint16_t row, const struct path *path)
{
    const struct source_state *const states = f->source->states;
    const bool ends = f->rows[row].flags & TRANSITION_FINAL;

    f->extents[row].timers = (uint32_t)f->timers_count;
    for (unsigned i = 0; i < path->exits_count; i++) {
        const unsigned state = path->exits[i];

        if (states[state].timeout_ns && (ends || !path_enters(path, state)) &&
            !add_timer(f, row, states[state].timer, 0))
            return false;
    }
    for (unsigned i = 0; !ends && i < path->entries_count; i++) {
        const struct source_state *const state = &states[path->entries[i]];

        if (state->timeout_ns && !add_timer(f, row, state->timer, state->timeout_ns))
            return false;
    }
    return true;
}

static void bitmap_add(struct flattener *f, const struct event_set *set, unsigned *count)
{
    for (unsigned i = 0; i < set->count; i++)
        f->bitmap[set->codes[i] / 64] |= UINT64_C(1) << (set->codes[i] % 64);
    *count += set->count;
}

static bool add_bitmap(struct flattener *f, uint16_t row)
{
    f->extents[row].raises = (uint32_t)f->raises_count + 1;
    for (unsigned i = 0; i < f->words; i++) {
        uint64_t *const grown = pawl__blocks_grow(f->scratch, f->raises, f->raises_count,
                                                  &f->raises_capacity, sizeof(*f->raises));

        if (!grown) {
            f->findings->out_of_memory = true;
            return false;
        }
        f->raises = grown;
        f->raises[f->raises_count++] = f->bitmap[i];
    }
    return true;
}

static void set_history(struct flattener *f, struct transition *row, const struct path *path)
{
    for (unsigned i = 1; i < path->exits_count; i++) {
        const struct source_state *const state = &f->source->states[path->exits[i]];
        const unsigned number = f->source->states[path->exits[i - 1]].child_number + 1u;

        if (!state->history_width)
            continue;
        row->history_mask |=
            (uint16_t)(((1u << state->history_width) - 1u) << state->history_shift);
        row->history_bits |= (uint16_t)(number << state->history_shift);
    }
}

/* What a final row does to timers and history does not matter. */
static unsigned short_way(const struct machine_source *source, const struct transition *row)
{
    const bool final = (row->flags & TRANSITION_FINAL) != 0;

    if (row->kind != TRANSITION_TAKE || row->guard ||
        (!final && (row->timers_count > 0 || row->history_mask != 0)))
        return 0;
    if (source->lease != SOURCE_NONE)
        return TRANSITION_CLAIM;
    return row->functions_count > 1 ? 0 : final ? TRANSITION_LAST : TRANSITION_PLAIN;
}

/* Everything that follows from the path and the action; by is NULL for create and cancel. */
static bool fill_row(struct flattener *f, uint16_t number, const struct path *path,
                     const struct source_transition *by)
{
    const struct source_state *const states = f->source->states;
    struct transition *row = &f->rows[number];
    pawl_action_fn *functions[PATH_FUNCTIONS];
    unsigned count = 0, raises = 0;

    memset(f->bitmap, 0, f->words * sizeof(*f->bitmap));
    for (unsigned i = 0; i < path->exits_count; i++) {
        if (!states[path->exits[i]].exit)
            continue;
        functions[count++] = states[path->exits[i]].exit;
        bitmap_add(f, &states[path->exits[i]].raises, &raises);
    }
    if (by && by->action) {
        functions[count++] = by->action;
        bitmap_add(f, &by->raises, &raises);
    }
    for (unsigned i = 0; i < path->entries_count; i++) {
        if (!states[path->entries[i]].entry)
            continue;
        functions[count++] = states[path->entries[i]].entry;
        bitmap_add(f, &states[path->entries[i]].raises, &raises);
    }
    row->target = (uint16_t)path_target(path, row->target);
    if (path->entries_count) {
        row->flags |= TRANSITION_EXTERNAL;
        if (source_is_final(f->source, row->target))
            row->flags |= TRANSITION_FINAL;
        set_history(f, row, path);
    }
    if (!add_functions(f, number, functions, count) || !add_timers(f, number, path) ||
        (raises && !add_bitmap(f, number)))
        return false;
    f->origins[number].raises_count = (uint16_t)(raises > UINT16_MAX ? UINT16_MAX : raises);
    row->flags |= (uint8_t)short_way(f->source, row);
    return true;
}

static unsigned child_by_number(const struct machine_source *source, unsigned state,
                                unsigned number)
{
    unsigned child = source->states[state].first_child;

    while (number-- > 0)
        child = source->states[child].next_sibling;
    return child;
}

/* The rows behind a VARIANTS row: one for each value of the remembering state's field. */
static bool add_variants(struct flattener *f, uint16_t first, struct path *path, unsigned kept,
                         const struct source_transition *by)
{
    const struct source_state *const state = &f->source->states[by->to];
    const unsigned count = 1u << state->history_width;
    uint16_t target = 0;

    for (unsigned value = 0; value < count; value++) {
        const unsigned child = value >= 1 && value <= state->children_count
                                   ? child_by_number(f->source, by->to, value - 1)
                                   : SOURCE_NONE;
        const uint16_t row =
            add_row(f, TRANSITION_TAKE, f->rows[first].state, by->on, f->origins[first].transition);

        if (row == TRANSITION_NONE)
            return false;
        path_entries(f->source, path, kept, by->to, child);
        if (!fill_row(f, row, path, by))
            return false;
        if (value == 0) {
            f->rows[first].variants = row;
            target = f->rows[row].target;
        }
    }
    f->rows[first].target = target;
    f->rows[first].flags = TRANSITION_EXTERNAL;
    f->rows[first].variant_shift = state->history_shift;
    f->rows[first].variant_mask = (uint16_t)(count - 1);
    return true;
}

/* The candidate that a declared transition is for one leaf. */
static uint16_t add_candidate(struct flattener *f, unsigned leaf, unsigned origin)
{
    const struct source_transition *const by = &f->source->transitions[origin];
    const uint16_t row = add_row(f, TRANSITION_TAKE, leaf, by->on, origin);
    struct path path = {.exits_count = 0, .entries_count = 0};
    unsigned kept, child = SOURCE_NONE;

    if (row == TRANSITION_NONE)
        return row;
    f->rows[row].guard = by->guard;
    if (by->to == SOURCE_NONE)
        return fill_row(f, row, &path, by) ? row : TRANSITION_NONE;
    kept = path_kept(f->source, by->from, by->to);
    path_exits(f->source, &path, leaf, kept);
    if (by->flags & PAWL_TRANSITION_HISTORY) {
        child = path_exited_child(&path, by->to);
        if (child == SOURCE_NONE) {
            f->rows[row].kind = TRANSITION_VARIANTS;
            return add_variants(f, row, &path, kept, by) ? row : TRANSITION_NONE;
        }
    }
    path_entries(f->source, &path, kept, by->to, child);
    return fill_row(f, row, &path, by) ? row : TRANSITION_NONE;
}

/* ---- leaves -------------------------------------------------------------------------------------- */

/* Appends row to the chain of one event of the leaf. */
static void append(struct flattener *f, unsigned leaf, unsigned event, uint16_t row)
{
    if (f->tails[event] == TRANSITION_NONE)
        f->cells[(size_t)leaf * f->source->events_count + event] = row;
    else
        f->rows[f->tails[event]].next = row;
    f->tails[event] = row;
}

/* The candidates that one level, the leaf or a parent, adds to the chains. *defer: the shared row. */
static bool flatten_level(struct flattener *f, unsigned leaf, unsigned level, uint16_t *defer)
{
    const struct machine_source *const source = f->source;
    const struct source_state *const state = &source->states[level];

    for (unsigned i = state->first_transition; i != SOURCE_NONE; i = source->transitions[i].next) {
        const unsigned event = source->transitions[i].on;
        uint16_t row;

        if (f->closed[event])
            continue;
        row = add_candidate(f, leaf, i);
        if (row == TRANSITION_NONE)
            return false;
        append(f, leaf, event, row);
        f->closed[event] = !source->transitions[i].guard;
    }
    for (unsigned i = 0; i < state->defers.count; i++) {
        const unsigned event = state->defers.codes[i];

        if (f->closed[event])
            continue;
        if (*defer == TRANSITION_NONE)
            *defer = add_row(f, TRANSITION_DEFER, leaf, UINT16_MAX, ORIGIN_NONE);
        if (*defer == TRANSITION_NONE)
            return false;
        append(f, leaf, event, *defer);
        f->closed[event] = true;
    }
    return true;
}

/* Ends the chains that are still open as the policy for unexpected events says. */
static bool flatten_unexpected(struct flattener *f, unsigned leaf, uint16_t defer)
{
    static const enum transition_kind policies[] = {
        [PAWL_UNEXPECTED_IGNORE] = TRANSITION_IGNORE,
        [PAWL_UNEXPECTED_REFUSE] = TRANSITION_REFUSE,
        [PAWL_UNEXPECTED_DEFER] = TRANSITION_DEFER,
    };
    const enum transition_kind kind =
        source_is_final(f->source, leaf) ? TRANSITION_IGNORE : policies[f->source->unexpected];
    uint16_t row = kind == TRANSITION_DEFER ? defer : TRANSITION_NONE;

    for (unsigned event = 0; event < f->source->events_count; event++) {
        if (f->closed[event])
            continue;
        if (row == TRANSITION_NONE)
            row = add_row(f, kind, leaf, UINT16_MAX, ORIGIN_NONE);
        if (row == TRANSITION_NONE)
            return false;
        append(f, leaf, event, row);
    }
    return true;
}

static bool flatten_leaf(struct flattener *f, unsigned leaf)
{
    const struct machine_source *const source = f->source;
    uint16_t defer = TRANSITION_NONE;

    for (unsigned event = 0; event < source->events_count; event++) {
        f->tails[event] = TRANSITION_NONE;
        f->closed[event] = false;
    }
    for (unsigned level = leaf; !source_is_final(source, leaf) && level != SOURCE_NONE;
         level = source->states[level].parent) {
        if (!flatten_level(f, leaf, level, &defer))
            return false;
    }
    return flatten_unexpected(f, leaf, defer);
}

static bool add_cancel(struct flattener *f, unsigned leaf)
{
    const uint16_t row = add_row(f, TRANSITION_TAKE, leaf, PAWL_CODE_CANCEL, ORIGIN_NONE);
    struct path path = {.entries_count = 0};

    if (row == TRANSITION_NONE)
        return false;
    path_exits(f->source, &path, leaf, SOURCE_NONE);
    f->rows[row].flags = TRANSITION_FINAL;
    f->cancels[leaf] = row;
    return fill_row(f, row, &path, NULL);
}

static bool add_create(struct flattener *f)
{
    const uint16_t row =
        add_row(f, TRANSITION_TAKE, f->source->initial, PAWL_CODE_CREATE, ORIGIN_NONE);
    struct path path = {.exits_count = 0};

    if (row == TRANSITION_NONE)
        return false;
    path_entries(f->source, &path, SOURCE_NONE, f->source->initial, SOURCE_NONE);
    f->create = row;
    if (!fill_row(f, row, &path, NULL))
        return false;
    f->rows[row].state = f->rows[row].target;
    return true;
}

/* ---- packing ------------------------------------------------------------------------------------- */

/* Hands out the parts of one block; the first time with base NULL, to learn its size. */
struct packer {
    char *base;
    size_t used;
};

static void *pack(struct packer *packer, size_t count, size_t size, size_t alignment)
{
    char *const base = packer->base;
    const size_t at = align_up(packer->used, alignment);

    packer->used = at + count * size;
    return base ? base + at : NULL;
}

struct parts {
    struct pawl_machine *machine;
    struct transition *rows;
    uint16_t *cells;
    pawl_action_fn **functions;
    struct timer_change *timers;
    uint64_t *raises;
    struct compiled_state *states;
    struct compiled_timer *compiled_timers;
};

static void pack_parts(const struct flattener *f, struct packer *packer, struct parts *parts)
{
    const struct machine_source *const source = f->source;

    parts->machine = pack(packer, 1, sizeof(*parts->machine), CACHE_LINE);
    parts->rows = pack(packer, f->rows_count, sizeof(*parts->rows), CACHE_LINE);
    parts->cells = pack(packer, (size_t)source->states_count * source->events_count,
                        sizeof(*parts->cells), CACHE_LINE);
    parts->functions = pack(packer, f->functions_count, sizeof(*parts->functions), CACHE_LINE);
    parts->timers = pack(packer, f->timers_count, sizeof(*parts->timers), 8);
    parts->raises = pack(packer, f->raises_count, sizeof(*parts->raises), 8);
    parts->states = pack(packer, source->states_count, sizeof(*parts->states), 8);
    parts->compiled_timers = pack(packer, source->timers_total, sizeof(*parts->compiled_timers), 8);
}

static void copy(void *to, const void *from, size_t count, size_t size)
{
    if (count)
        memcpy(to, from, count * size);
}

static void fill_tables(const struct flattener *f, const struct parts *parts)
{
    const struct machine_source *const source = f->source;

    copy(parts->rows, f->rows, f->rows_count, sizeof(*f->rows));
    copy(parts->cells, f->cells, (size_t)source->states_count * source->events_count,
         sizeof(*f->cells));
    copy(parts->functions, f->functions, f->functions_count, sizeof(*f->functions));
    copy(parts->timers, f->timers, f->timers_count, sizeof(*f->timers));
    copy(parts->raises, f->raises, f->raises_count, sizeof(*f->raises));
    for (size_t i = 0; i < f->rows_count; i++) {
        const struct extent *const extent = &f->extents[i];
        struct transition *const row = &parts->rows[i];

        row->functions = row->functions_count ? parts->functions + extent->functions : NULL;
        row->timers = row->timers_count ? parts->timers + extent->timers : NULL;
        row->raises = extent->raises ? parts->raises + (extent->raises - 1) : NULL;
    }
    for (unsigned i = 0; i < source->timers_count; i++)
        parts->compiled_timers[i] =
            (struct compiled_timer){source->timers[i].name, source->timers[i].event, 0};
    for (unsigned i = 0; i < source->states_count; i++) {
        const struct source_state *const state = &source->states[i];

        parts->states[i] = (struct compiled_state){.name = state->name,
                                                   .parent = state->parent,
                                                   .leaf = source_is_leaf(source, i),
                                                   .final = source_is_final(source, i),
                                                   .role = (uint8_t)source_role(source, i),
                                                   .cancel = f->cancels[i]};
        if (state->timeout_ns)
            parts->compiled_timers[state->timer] =
                (struct compiled_timer){state->name, state->timeout_event, state->timeout_ns};
    }
}

static struct pawl_machine *pack_machine(struct flattener *f)
{
    const struct machine_source *const source = f->source;
    struct packer packer = {NULL, 0};
    struct parts parts;

    pack_parts(f, &packer, &parts);
    packer.base = pawl__blocks_get(&f->source->blocks, packer.used, 1, CACHE_LINE);
    if (!packer.base) {
        f->findings->out_of_memory = true;
        return NULL;
    }
    packer.used = 0;
    pack_parts(f, &packer, &parts);
    fill_tables(f, &parts);
    *parts.machine = (struct pawl_machine){
        .cells = parts.cells,
        .transitions = parts.rows,
        .transitions_count = (uint32_t)f->rows_count,
        .events_count = source->events_count,
        .states_count = source->states_count,
        .timers_count = (uint16_t)source->timers_total,
        .named_timers_count = source->timers_count,
        .create = (uint16_t)f->create,
        .cancel_event = source->cancel,
        .lease_event = source->lease,
        .lease_timer = source->lease_timer,
        .context_size = source->context_size,
        .deferred_max = source->deferred_max,
        .history_width = source->history_width,
        .durability = source->durability,
        .unexpected = source->unexpected,
        .name = source->name,
        .events = source->events,
        .states = parts.states,
        .timers = parts.compiled_timers,
        .source = source,
    };
    return parts.machine;
}

/* -------------------------------------------------------------------------------------------------- */

static bool flatten_all(struct flattener *f)
{
    for (unsigned i = 0; i < f->source->states_count; i++) {
        f->cancels[i] = TRANSITION_NONE;
        if (source_is_leaf(f->source, i) && (!flatten_leaf(f, i) || !add_cancel(f, i)))
            return false;
    }
    return add_create(f);
}

struct pawl_machine *pawl__flatten(struct machine_source *source, struct findings *findings,
                                   const struct origin **origins)
{
    struct flattener f = {.source = source, .findings = findings, .scratch = findings->blocks};
    const size_t cells = (size_t)source->states_count * source->events_count;

    f.words = (source->events_count + 63u) / 64u;
    f.bitmap = BLOCKS_NEW(f.scratch, f.words, uint64_t);
    f.cells = BLOCKS_NEW(f.scratch, cells, uint16_t);
    f.tails = BLOCKS_NEW(f.scratch, source->events_count, uint16_t);
    f.closed = BLOCKS_NEW(f.scratch, source->events_count, bool);
    f.cancels = BLOCKS_NEW(f.scratch, source->states_count, uint16_t);
    if (!f.bitmap || !f.cells || !f.tails || !f.closed || !f.cancels) {
        findings->out_of_memory = true;
        return NULL;
    }
    memset(f.cells, 0xff, cells * sizeof(*f.cells)); /* TRANSITION_NONE in the rows of parents */
    if (!flatten_all(&f)) {
        if (f.full)
            pawl__find(findings, -ENOSPC, FINDING_MACHINE, 0,
                       "the transitions, counted once for each leaf state that inherits them, are "
                       "more than %u; use fewer states or split the machine",
                       (unsigned)TRANSITION_NONE);
        return NULL;
    }
    *origins = f.origins;
    return pack_machine(&f);
}
