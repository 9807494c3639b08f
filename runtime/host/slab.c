/*
 * slab.c - see slab.h. Here: the layout of segments, the maps of granules, and what happens when a
 * granule changes its state. The paths of a single object are inline in the header.
 */
#include "host/slab.h"

#include <errno.h>
#include <string.h>

#define SEGMENT_BYTES ((uint64_t)64 << 20)
#define GRANULE_SMALL ((uint64_t)64 << 10)
#define DIRECTORY_MAX (UINT64_C(1) << 20) /* entries: 8 MiB of address space */
#define TRIM_LOOKS    16u                 /* granules one slab_trim may look at */
#define NO_GRANULE    UINT32_MAX

/* Maps: a tree of bit words, 64 to one. */

static void map_set(struct slab_map *map, unsigned levels, uint32_t bit)
{
    for (unsigned level = 0; level < levels; level++, bit /= 64) {
        uint64_t *word = &map->level[level][bit / 64];
        const uint64_t before = *word;

        *word |= UINT64_C(1) << (bit % 64);
        if (before != 0)
            return;
    }
}

static void map_clear(struct slab_map *map, unsigned levels, uint32_t bit)
{
    for (unsigned level = 0; level < levels; level++, bit /= 64) {
        uint64_t *word = &map->level[level][bit / 64];

        *word &= ~(UINT64_C(1) << (bit % 64));
        if (*word != 0)
            return;
    }
}

static bool map_has(const struct slab_map *map, uint32_t bit)
{
    return (map->level[0][bit / 64] >> (bit % 64) & 1) != 0;
}

/* The lowest (or highest) bit set, or NO_GRANULE. */
static uint32_t map_find(const struct slab_map *map, unsigned levels, bool lowest)
{
    uint32_t at = 0;

    for (unsigned level = levels; level-- > 0;) {
        const uint64_t word = map->level[level][at];

        if (word == 0)
            return NO_GRANULE; /* only the root can be empty */
        at = at * 64 +
             (lowest ? (uint32_t)__builtin_ctzll(word) : 63u - (uint32_t)__builtin_clzll(word));
    }
    return at;
}

/* The levels' sizes depend on the number of granules alone; returns the words of all levels. */
static uint64_t map_words(uint64_t granules, uint8_t *levels)
{
    uint64_t words = 0;

    *levels = 0;
    do {
        granules = (granules + 63) / 64;
        words += granules;
        ++*levels;
    } while (granules > 1);
    return words;
}

static uint64_t *map_place(struct slab_map *map, uint64_t *words, uint64_t granules)
{
    unsigned level = 0;

    do {
        granules = (granules + 63) / 64;
        map->level[level++] = words;
        words += granules;
    } while (granules > 1);
    return words;
}

/* Layout */

/* Objects in a granule: a power of two, so that indexes split by bits, and whole pages, so that it
 * can be given back. */
static uint64_t granule_objects(uint64_t object_size, bool huge)
{
    const uint64_t lowest_bit = object_size & -object_size;
    const uint64_t whole_pages = lowest_bit >= PAGE_BYTES ? 1 : PAGE_BYTES / lowest_bit;
    const uint64_t fit = (huge ? PAGE_BYTES_HUGE : GRANULE_SMALL) / object_size;
    const uint64_t fit_power = UINT64_C(1) << (63 - __builtin_clzll(fit));

    return fit_power > whole_pages ? fit_power : whole_pages;
}

static void lay_out(struct slab *slab, const struct slab_options *options)
{
    const uint64_t size = options->object_size;
    const uint64_t indexes =
        1 + (options->indexes_max > options->objects_max ? (uint64_t)options->indexes_max
                                                         : (uint64_t)options->objects_max);

    /* A granule of another size would straddle huge pages, and a slab that never fills one would
     * only waste it. */
    slab->huge = options->huge && is_power_of_two(size) &&
                 (uint64_t)options->objects_max * size >= PAGE_BYTES_HUGE;

    const uint64_t granule = granule_objects(size, slab->huge);
    uint64_t segment = round_up_power_of_two((uint64_t)options->objects_max + 1);

    if (segment * size > SEGMENT_BYTES)
        segment = UINT64_C(1) << (63 - __builtin_clzll(SEGMENT_BYTES / size));
    if (segment < round_up_power_of_two(indexes) / DIRECTORY_MAX)
        segment = round_up_power_of_two(indexes) / DIRECTORY_MAX;
    if (segment < granule)
        segment = granule;

    /* Whole granules, below 2^32 so that one past the highest index is a 32-bit number. */
    uint64_t granules = (indexes + granule - 1) / granule;

    if (granules * granule > UINT32_MAX)
        granules = UINT32_MAX / granule;

    slab->object_size = options->object_size;
    slab->object_shift = is_power_of_two(size) ? (uint8_t)bits_for(size) : 0;
    slab->link_offset = options->link_offset;
    slab->granule_shift = (uint8_t)bits_for(granule);
    slab->granule_mask = (uint32_t)(granule - 1);
    slab->segment_shift = (uint8_t)bits_for(segment);
    slab->segment_mask = (uint32_t)(segment - 1);
    slab->segment_bytes = segment * size;
    slab->granules_max = (uint32_t)granules;
    slab->limit = (uint32_t)(granules * granule);
    slab->objects_max = options->objects_max;
    /* Enough free objects to be worth coming back to a granule for: 1/64 of the large ones; of
     * small ones up to 1/16, or the rotation among them would be too short. */
    slab->room_min = (uint32_t)(granule / 64);
    if (slab->room_min < 32)
        slab->room_min = granule >= 16 * 32 ? 32 : granule >= 16 ? (uint32_t)(granule / 16) : 1;
}

static uint32_t directory_entries(const struct slab *slab)
{
    return ((slab->limit - 1) >> slab->segment_shift) + 1;
}

static size_t segment_mapped(const struct slab *slab)
{
    const size_t granules = ((size_t)slab->segment_mask + 1) >> slab->granule_shift;

    return slab->segment_bytes + granules * sizeof(struct slab_granule);
}

int pawl__slab_init(struct slab *slab, const struct slab_options *options)
{
    const uint32_t size = options->object_size;

    if (size < 8 || size > SLAB_OBJECT_MAX || size % 8 != 0 || options->objects_max == 0 ||
        options->link_offset % 4 != 0 || options->link_offset > size - 4)
        return -EINVAL;

    memset(slab, 0, sizeof *slab);
    lay_out(slab, options);
    slab->hooks = options->hooks;
    slab->none.reuse_min = UINT32_MAX;
    slab->current = &slab->none;
    slab->current_number = NO_GRANULE;

    const uint64_t words = map_words(slab->granules_max, &slab->map_levels);
    const size_t directory_bytes = align_up(directory_entries(slab) * sizeof(char *), 64);

    slab->control_bytes = directory_bytes + 3 * words * sizeof(uint64_t);
    slab->control = pawl__pages_reserve(slab->control_bytes, PAGES_SMALL, &slab->pages);
    if (slab->control == NULL)
        return -ENOMEM;
    slab->directory = slab->control;

    uint64_t *place = (uint64_t *)(void *)((char *)slab->control + directory_bytes);

    place = map_place(&slab->map_ready, place, slab->granules_max);
    place = map_place(&slab->map_spare, place, slab->granules_max);
    map_place(&slab->map_idle, place, slab->granules_max);
    return 0;
}

void pawl__slab_fini(struct slab *slab)
{
    if (slab->control == NULL)
        return;
    for (uint32_t entry = 0; entry < directory_entries(slab); entry++) {
        /* relaxed: only the owner enters segments; they are entered in order. */
        char *base = load_relaxed(&slab->directory[entry]);

        if (base == NULL)
            break;
        pawl__pages_unmap(base, segment_mapped(slab), &slab->pages);
    }
    pawl__pages_unmap(slab->control, slab->control_bytes, &slab->pages);
    slab->control = NULL;
}

/* Granules */

static struct slab_granule *granule_at(const struct slab *slab, uint32_t number)
{
    return slab_granule_of(slab, number << slab->granule_shift);
}

/* The state of a granule without committed memory. Index 0 counts as handed out for ever. */
static void granule_reset(struct slab_granule *granule, uint32_t number)
{
    granule->free = 0;
    granule->reuse_min = SLAB_FIFO_MIN;
    store_relaxed(&granule->fresh, number == 0 ? 1 : 0);
}

static void granule_make_ready(struct slab *slab, struct slab_granule *granule, uint32_t number)
{
    if (granule->flags & SLAB_SPARE)
        map_clear(&slab->map_spare, slab->map_levels, number);
    map_set(&slab->map_ready, slab->map_levels, number);
    granule->flags = (granule->flags & ~(unsigned)SLAB_SPARE) | SLAB_READY;
    if (number < slab->current_number) { /* the lowest ready one serves */
        slab->current = granule;
        slab->current_number = number;
    }
}

/* Finds the lowest ready granule anew. */
static bool choose_current(struct slab *slab)
{
    slab->current_number = map_find(&slab->map_ready, slab->map_levels, true);
    slab->current =
        slab->current_number == NO_GRANULE ? &slab->none : granule_at(slab, slab->current_number);
    return slab->current_number != NO_GRANULE;
}

static void granule_leave(struct slab *slab, struct slab_granule *granule, uint32_t number)
{
    map_clear(&slab->map_ready, slab->map_levels, number);
    granule->flags &= ~(unsigned)SLAB_READY;
    if (granule->free > 0) {
        map_set(&slab->map_spare, slab->map_levels, number);
        granule->flags |= SLAB_SPARE;
    }
}

/* Brings the next granule that never existed into being. */
static bool granule_create(struct slab *slab)
{
    const uint32_t number = slab->granules_made;

    if (number == slab->granules_max)
        return false;

    const uint32_t entry = (number << slab->granule_shift) >> slab->segment_shift;

    if (load_relaxed(&slab->directory[entry]) == NULL) { /* relaxed: only the owner writes it */
        char *base = pawl__pages_reserve(segment_mapped(slab),
                                         slab->huge ? PAGES_HUGE : PAGES_SMALL, &slab->pages);

        if (base == NULL)
            return false;
        store_release(&slab->directory[entry], base); /* (S1) pairs with (S2) */
    }
    slab->granules_made++;
    granule_reset(granule_at(slab, number), number);
    granule_at(slab, number)->floor = slab->floor_first;
    granule_make_ready(slab, granule_at(slab, number), number);
    return true;
}

/* Objects */

static uint32_t take_fresh(struct slab *slab, struct slab_granule *granule, uint32_t number)
{
    /* relaxed: only the owner writes it; walks need no more than a recent value. */
    const uint32_t position = load_relaxed(&granule->fresh);
    const uint32_t index = (number << slab->granule_shift) + position;

    store_relaxed(&granule->fresh, position + 1);
    store_relaxed(&slab->touched, load_relaxed(&slab->touched) + 1);
    if (position == slab->granule_mask) { /* that was the last fresh one */
        const uint32_t low = slab->room_min / 2;

        granule->reuse_min = low > 1 ? low : 1;
    }
    if ((granule->flags & SLAB_COMMITTED) == 0) {
        granule->flags |= SLAB_COMMITTED;
        store_relaxed(&slab->committed, load_relaxed(&slab->committed) + 1);
    } else if (granule->live == 0) {
        slab->idle--;
    }
    granule->live++;
    store_relaxed(&slab->live, load_relaxed(&slab->live) + 1);
    if (index >= load_relaxed(&slab->top))
        store_release(&slab->top, index + 1); /* (S3) pairs with (S4) */
    return index;
}

/* No granule is ready and none can be made: take what the others have left over. */
static uint32_t take_spare(struct slab *slab)
{
    const uint32_t number = map_find(&slab->map_spare, slab->map_levels, true);

    if (number == NO_GRANULE)
        return 0;

    struct slab_granule *granule = granule_at(slab, number);
    const uint32_t index = slab_take_free(slab, granule);

    if (granule->free == 0) {
        map_clear(&slab->map_spare, slab->map_levels, number);
        granule->flags &= ~(unsigned)SLAB_SPARE;
    }
    return index;
}

uint32_t pawl__slab_alloc_slow(struct slab *slab)
{
    if (load_relaxed(&slab->live) >= slab->objects_max)
        return 0;
    for (;;) { /* each round but the last takes a granule out of the ready ones */
        struct slab_granule *granule = slab->current;

        if (granule != &slab->none) {
            if (granule->free >= granule->reuse_min)
                return slab_take_free(slab, granule);
            if (load_relaxed(&granule->fresh) <= slab->granule_mask)
                return take_fresh(slab, granule, slab->current_number);
            granule_leave(slab, granule, slab->current_number);
        }
        if (!choose_current(slab) && !granule_create(slab))
            return take_spare(slab);
    }
}

static void note_idle(struct slab *slab, struct slab_granule *granule, uint32_t number)
{
    slab->idle++;
    if ((granule->flags & SLAB_CANDIDATE) == 0) {
        granule->flags |= SLAB_CANDIDATE;
        map_set(&slab->map_idle, slab->map_levels, number);
    }
}

void pawl__slab_free_slow(struct slab *slab, struct slab_granule *granule, uint32_t index)
{
    const uint32_t number = index >> slab->granule_shift;

    if ((granule->flags & SLAB_READY) == 0) {
        if (granule->free >= slab->room_min) {
            granule_make_ready(slab, granule, number);
        } else if ((granule->flags & SLAB_SPARE) == 0) {
            granule->flags |= SLAB_SPARE;
            map_set(&slab->map_spare, slab->map_levels, number);
        }
    }
    if (granule->live == 0)
        note_idle(slab, granule, number);
}

void pawl__slab_retire(struct slab *slab, uint32_t index)
{
    struct slab_granule *granule = slab_granule_of(slab, index);

    CHECK(granule->live > 0);
    granule->live--;
    store_relaxed(&slab->live, load_relaxed(&slab->live) - 1);
    if (granule->live == 0)
        note_idle(slab, granule, index >> slab->granule_shift);
}

/* Giving back */

static void empty_granule(struct slab *slab, struct slab_granule *granule, uint32_t number)
{
    const uint32_t first = number << slab->granule_shift;
    const uint32_t begin = number == 0 ? 1 : 0;
    const uint32_t used = load_relaxed(&granule->fresh) - begin;
    const uint32_t floor_before = granule->floor;
    const bool has_retired = granule->free < used;

    if (slab->hooks.on_empty != NULL)
        slab->hooks.on_empty(slab->hooks.user, first + begin, used, &granule->floor);
    if (has_retired)
        granule->floor = UINT32_MAX; /* fresh objects would bring the retired ones back */

    const size_t bytes = ((size_t)slab->granule_mask + 1) * slab->object_size;

    if (pawl__pages_give_back(slab_at(slab, first), bytes) != 0) {
        /* Locked memory. The granule stays committed and is used again as it is. */
        slab->trim_refused = true;
        granule->floor = floor_before;
        return;
    }
    store_relaxed(&slab->touched, load_relaxed(&slab->touched) - used);
    store_relaxed(&slab->committed, load_relaxed(&slab->committed) - 1);
    slab->idle--;
    granule->flags &= ~(unsigned)SLAB_COMMITTED;
    granule_reset(granule, number);
    if (granule->floor == UINT32_MAX) {
        granule_leave(slab, granule, number); /* its list is empty: not a spare one either */
        map_clear(&slab->map_spare, slab->map_levels, number);
        granule->flags = SLAB_DEAD;
        choose_current(slab);
    } else if ((granule->flags & SLAB_READY) == 0) {
        granule_make_ready(slab, granule, number);
    }
}

bool pawl__slab_trim_one(struct slab *slab)
{
    for (unsigned look = 0; look < TRIM_LOOKS; look++) {
        const uint32_t number = map_find(&slab->map_idle, slab->map_levels, false);

        if (number == NO_GRANULE)
            return false;

        struct slab_granule *granule = granule_at(slab, number);

        /* A granule is marked when it falls idle and not unmarked when it is used again, which
         * would burden each allocation. */
        map_clear(&slab->map_idle, slab->map_levels, number);
        granule->flags &= ~(unsigned)SLAB_CANDIDATE;
        if (granule->live == 0) {
            empty_granule(slab, granule, number);
            return true;
        }
    }
    return true;
}

/* Restoring */

bool pawl__slab_restore_grow(struct slab *slab, uint32_t index)
{
    if (index == 0 || index >= slab->limit)
        return false;
    while (index >> slab->granule_shift >= slab->granules_made)
        if (!granule_create(slab))
            return false;
    return true;
}

/* Puts an index that has not been handed out in this run into its granule's list. */
static void put_free(struct slab *slab, struct slab_granule *granule, uint32_t index)
{
    const uint32_t strand = granule->free % SLAB_STRANDS;

    store_relaxed(slab_link(slab, index), 0); /* relaxed, both: there are no readers yet */
    if (granule->free >= SLAB_STRANDS)
        store_relaxed(slab_link(slab, granule->tail[strand]), index);
    else
        granule->head[strand] = index;
    granule->tail[strand] = index;
    granule->free++;
}

/*
 * What an index is, in ascending order. A fresh one below one that is not was passed over when the
 * slab was filled: it becomes a free one, which still reads as zeroes.
 */
static void granule_restore(struct slab *slab, struct slab_granule *granule, uint32_t number,
                            slab_restored_fn fn, void *user)
{
    const uint32_t base = number << slab->granule_shift;
    uint32_t used = number == 0 ? 1 : 0; /* positions below are counted */
    uint8_t kinds[SLAB_RESTORE_RUN];

    for (uint32_t at = used; at <= slab->granule_mask;) {
        const uint32_t left = slab->granule_mask + 1 - at;
        const uint32_t run = left < SLAB_RESTORE_RUN ? left : SLAB_RESTORE_RUN;

        fn(user, base + at, run, kinds, &granule->floor);
        for (uint32_t i = 0; i < run; i++) {
            if (kinds[i] == SLAB_RESTORED_FRESH)
                continue;
            for (; used < at + i; used++)
                put_free(slab, granule, base + used);
            used++;
            if (kinds[i] == SLAB_RESTORED_LIVE)
                granule->live++;
            else if (kinds[i] == SLAB_RESTORED_FREE)
                put_free(slab, granule, base + at + i);
        }
        at += run;
    }
    store_relaxed(&granule->fresh, used);
}

static void granule_restored(struct slab *slab, struct slab_granule *granule, uint32_t number)
{
    const uint32_t begin = number == 0 ? 1 : 0;
    const uint32_t fresh = load_relaxed(&granule->fresh);
    const uint32_t low = slab->room_min / 2;

    if (fresh > slab->granule_mask) {
        granule->reuse_min = low > 1 ? low : 1;
        if (granule->free < slab->room_min)
            granule_leave(slab, granule, number);
    }
    if (fresh == begin) {
        if (granule->floor == UINT32_MAX) {
            granule_leave(slab, granule, number);
            granule->flags = SLAB_DEAD;
        }
        return; /* nothing of it was ever used */
    }
    granule->flags |= SLAB_COMMITTED;
    store_relaxed(&slab->committed, load_relaxed(&slab->committed) + 1);
    store_relaxed(&slab->touched, load_relaxed(&slab->touched) + (fresh - begin));
    store_relaxed(&slab->live, load_relaxed(&slab->live) + granule->live);
    if (granule->live == 0) {
        slab->idle++;
        empty_granule(slab, granule, number);
    }
}

void pawl__slab_restore_end(struct slab *slab, slab_restored_fn fn, void *user)
{
    for (uint32_t number = 0; number < slab->granules_made; number++) {
        struct slab_granule *granule = granule_at(slab, number);
        uint32_t fresh;

        CHECK(granule->flags == SLAB_READY && granule->free == 0 && granule->live == 0);
        granule_restore(slab, granule, number, fn, user);
        fresh = load_relaxed(&granule->fresh);
        if (fresh > (number == 0 ? 1u : 0u))
            store_release(&slab->top, (number << slab->granule_shift) + fresh); /* (S3) */
        granule_restored(slab, granule, number);
    }
    choose_current(slab);
}

/* Checking */

static bool granule_is_sound(const struct slab *slab, const struct slab_granule *granule,
                             uint32_t number)
{
    const uint32_t fresh = load_relaxed(&granule->fresh);
    const uint32_t begin = number == 0 ? 1 : 0;
    const bool is_ready = (granule->flags & SLAB_READY) != 0;
    const bool is_spare = (granule->flags & SLAB_SPARE) != 0;
    uint32_t at[SLAB_STRANDS];

    if (is_ready != map_has(&slab->map_ready, number) ||
        is_spare != map_has(&slab->map_spare, number) ||
        ((granule->flags & SLAB_CANDIDATE) != 0) != map_has(&slab->map_idle, number))
        return false;
    if (granule->live + granule->free > fresh - begin || (is_ready && is_spare))
        return false;
    if (!is_ready && is_spare != (granule->free > 0))
        return false;
    if (granule->flags & SLAB_DEAD)
        return granule->live == 0 && granule->free == 0 && fresh == begin && !is_ready;
    memcpy(at, granule->head, sizeof(at));
    for (uint32_t seen = 0; seen < granule->free; seen++) {
        const uint32_t strand = (granule->taken + seen) % SLAB_STRANDS;
        const uint32_t index = at[strand];

        if (index >> slab->granule_shift != number || (index & slab->granule_mask) >= fresh ||
            index == 0)
            return false;
        if (granule->free - seen <= SLAB_STRANDS && index != granule->tail[strand])
            return false;
        at[strand] = load_relaxed(slab_link(slab, index));
    }
    return true;
}

bool pawl__slab_validate(const struct slab *slab)
{
    uint64_t live = 0, touched = 0;
    uint32_t committed = 0, idle = 0;

    for (uint32_t number = 0; number < slab->granules_made; number++) {
        const struct slab_granule *granule = granule_at(slab, number);

        if (!granule_is_sound(slab, granule, number))
            return false;
        live += granule->live;
        touched += load_relaxed(&granule->fresh) - (number == 0 ? 1 : 0);
        if (granule->flags & SLAB_COMMITTED) {
            committed++;
            idle += granule->live == 0;
        }
    }
    return live == load_relaxed(&slab->live) && touched == load_relaxed(&slab->touched) &&
           committed == load_relaxed(&slab->committed) && idle == slab->idle &&
           slab->current_number == map_find(&slab->map_ready, slab->map_levels, true);
}
