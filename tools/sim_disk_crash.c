/* sim_disk_crash.c - death, what a crash leaves, reopening; copies of a disk, and its hash. */
#include <stdlib.h>
#include <string.h>

#include "sim_disk_inner.h"

/*
 * How much of what is not durable a power loss keeps, drawn for each: a mixture alone would never
 * show the ends.
 */
enum style { KEEP_ALL, KEEP_NONE, KEEP_WRITES, KEEP_SECTORS, KEEP_FIRST_SECTORS, STYLES };

void sim_disk_die(struct sim_disk *disk)
{
    if (disk->dead)
        return;
    disk->dead = true;
    sim_queues_die(disk);
}

bool sim_disk_is_dead(const struct sim_disk *disk)
{
    return disk->dead;
}

void sim_disk_on_death(struct sim_disk *disk, void (*fn)(void *user), void *user)
{
    disk->on_death = fn;
    disk->on_death_user = user;
}

/* Of one page of one write; whole_kept is drawn once a write. */
static unsigned keep(struct sim_disk *disk, enum style style, bool whole_kept)
{
    switch (style) {
    case KEEP_ALL:
        return SECTORS_ALL;
    case KEEP_NONE:
        return 0;
    case KEEP_WRITES:
        return whole_kept ? SECTORS_ALL : 0;
    case KEEP_SECTORS:
        return (unsigned)(random_next(&disk->random) & SECTORS_ALL);
    case KEEP_FIRST_SECTORS:
    case STYLES:
        break;
    }
    return (1u << random_below(&disk->random, SECTORS + 1)) - 1;
}

static void count_kept(struct sim_disk *disk, unsigned kept, unsigned of)
{
    const unsigned lost = of & ~kept;

    kept &= of;
    disk->counters.sectors_kept += (unsigned)__builtin_popcount(kept);
    disk->counters.sectors_lost += (unsigned)__builtin_popcount(lost);
    disk->counters.torn_pages += kept != 0 && lost != 0;
}

/* ---- Writes under way ---- */

/* The disk had them in any order, each whole, in part or not at all. */
static void flights_power_loss(struct sim_disk *disk, enum style style)
{
    while (disk->flights_count != 0) {
        struct flight *f = &disk->flights[random_below(&disk->random, disk->flights_count)];
        const uint64_t count = f->size / PAGE;
        uint8_t *sectors = sim_allocate(count);
        const bool whole_kept = sim_coin(disk);
        bool any = false;

        for (uint64_t i = 0; i < count; i++) {
            sectors[i] = (uint8_t)keep(disk, style, whole_kept);
            any |= sectors[i] != 0;
            count_kept(disk, sectors[i], SECTORS_ALL);
        }
        if (any)
            sim_inode_write_through(disk, f->inode, f->pages, sectors, f->size, f->offset);
        free(sectors);
        sim_flight_free(disk, f);
    }
}

static void flights_kill(struct sim_disk *disk)
{
    while (disk->flights_count != 0) {
        struct flight *f = &disk->flights[random_below(&disk->random, disk->flights_count)];
        uint64_t size = sim_coin(disk) ? f->size : 0;

        if (f->stranded)
            size = random_below(&disk->random, f->size / PAGE + 1) * PAGE;
        if (size != 0)
            sim_inode_write_through(disk, f->inode, f->pages, NULL, size, f->offset);
        sim_flight_free(disk, f);
    }
}

/* ---- Files ---- */

static uint64_t size_left(struct sim_disk *disk, const struct inode *inode, enum style style)
{
    const uint64_t n = random_below(&disk->random, inode->unsynced_count + 1u);
    uint64_t size = inode->durable_size;

    if (style == KEEP_NONE || inode->unsynced_count == 0)
        return size;
    if (style == KEEP_ALL)
        size = inode->size;
    else if (n != 0)
        size = inode->unsynced[n - 1].size;
    return size > inode->durable_size ? size : inode->durable_size;
}

static struct page *stale_page(struct sim_disk *disk)
{
    return disk->stale[random_below(&disk->random, disk->stale_count)];
}

void sim_pages_cut(struct page **pages, uint32_t count, uint64_t size)
{
    const uint32_t end = (uint32_t)((size + PAGE - 1) / PAGE);
    const uint64_t tail = size % PAGE;

    for (uint32_t at = end; at < count; at++)
        sim_page_set(&pages[at], NULL);
    if (tail != 0 && pages[end - 1] != NULL) {
        uint8_t bytes[PAGE] = {0};

        memcpy(bytes, pages[end - 1]->bytes, tail);
        sim_page_set(&pages[end - 1], sim_page_of(bytes));
    }
}

static void file_power_loss(struct sim_disk *disk, struct inode *inode, enum style style)
{
    const uint32_t first = (uint32_t)(inode->durable_size / PAGE);
    uint64_t size;
    bool stale;

    if (!inode->dirty && inode->unsynced_count == 0 && inode->size == inode->durable_size)
        return;
    size = size_left(disk, inode, style);
    stale = size > inode->durable_size && disk->stale_count != 0 &&
            sim_stale_strikes(disk, inode->path);
    for (uint32_t at = first; stale && (uint64_t)at * PAGE < size; at++) {
        if (inode->durable[at] != NULL)
            continue;
        disk->counters.sectors_stale += SECTORS;
        sim_page_set(&inode->durable[at], sim_page_ref(stale_page(disk)));
    }
    for (uint32_t i = 0; i < inode->unsynced_count; i++) {
        const struct unsynced *write = &inode->unsynced[i];
        struct page **place = &inode->durable[write->at];
        const unsigned kept = keep(disk, style, sim_coin(disk)) & write->sectors;

        count_kept(disk, kept, write->sectors);
        if (kept != 0)
            sim_page_set(place, sim_page_merge(*place, write->page, kept));
        sim_page_drop(write->page);
    }
    inode->unsynced_count = 0;
    inode->durable_size = size;
    sim_pages_cut(inode->durable, inode->pages, size);
    inode->size = size;
    for (uint32_t at = 0; at < inode->pages; at++) {
        if (inode->cached[at] != inode->durable[at])
            sim_page_set(&inode->cached[at], sim_page_ref(inode->durable[at]));
    }
    inode->dirty = false;
}

/* ---- Crash and reopening ---- */

static void handles_lose_files(struct sim_disk *disk)
{
    for (struct handle *handle = disk->handles; handle != NULL; handle = handle->next) {
        if (handle->inode == NULL)
            continue;
        handle->inode->open--;
        sim_inode_settle(disk, handle->inode);
        sim_inode_drop(disk, handle->inode);
        handle->inode = NULL;
    }
}

void sim_count_used(struct sim_disk *disk)
{
    disk->used = 0;
    for (uint32_t i = 0; i < disk->inodes_count; i++)
        disk->used += disk->inodes[i]->freed ? 0 : sim_inode_bytes(disk->inodes[i]);
}

void sim_disk_crash(struct sim_disk *disk, enum sim_crash how)
{
    const enum style style = (enum style)random_below(&disk->random, STYLES);

    sim_disk_die(disk);
    disk->counters.crashes++;
    if (how == SIM_CRASH_KILL) {
        flights_kill(disk);
        handles_lose_files(disk);
        return;
    }
    flights_power_loss(disk, style);
    handles_lose_files(disk);
    for (uint32_t i = 0; i < disk->inodes_count; i++)
        file_power_loss(disk, disk->inodes[i], style);
    sim_names_power_loss(disk);
    sim_count_used(disk);
}

void sim_disk_reopen(struct sim_disk *disk)
{
    CHECK(disk->flights_count == 0); /* a crash has decided about them */
    sim_handles_free(disk);
    sim_queues_free(disk);
    for (uint32_t i = 0; i < disk->directories_count; i++)
        disk->directories[i].locked = false;
    disk->dead = false;
    disk->now_ns = 0;
}

/* ---- Copies ---- */

void sim_inode_copy(struct inode *to, const struct inode *from)
{
    sim_inode_reserve(to, (uint64_t)from->pages * PAGE);
    for (uint32_t i = 0; i < from->pages; i++) {
        to->cached[i] = sim_page_ref(from->cached[i]);
        to->durable[i] = sim_page_ref(from->durable[i]);
    }
    to->size = from->size;
    to->durable_size = from->durable_size;
    to->linked = from->linked;
    to->freed = !from->linked;
    to->dirty = from->dirty;
    for (uint32_t i = 0; i < from->unsynced_count; i++) {
        to->unsynced = sim_grow(to->unsynced, i, &to->unsynced_capacity, sizeof(struct unsynced));
        to->unsynced[i] = from->unsynced[i];
        sim_page_ref(to->unsynced[i].page);
    }
    to->unsynced_count = from->unsynced_count;
}

static struct inode *copy_of(const struct sim_disk *disk, const struct sim_disk *copy,
                             const struct inode *inode)
{
    uint32_t i = 0;

    if (inode == NULL)
        return NULL;
    while (disk->inodes[i] != inode)
        i++;
    return sim_inode_ref(copy->inodes[i]);
}

static void copy_names(const struct sim_disk *disk, struct sim_disk *copy)
{
    sim_table_copy(&copy->current, &disk->current);
    for (uint32_t i = 0; i < copy->current.count; i++)
        copy->current.names[i].inode = copy_of(disk, copy, disk->current.names[i].inode);
    sim_table_copy(&copy->durable, &disk->durable);
    for (uint32_t i = 0; i < copy->durable.count; i++)
        copy->durable.names[i].inode = copy_of(disk, copy, disk->durable.names[i].inode);
    for (uint32_t i = 0; i < disk->changes_count; i++) {
        copy->changes = sim_grow(copy->changes, i, &copy->changes_capacity, sizeof(struct change));
        copy->changes[i] = disk->changes[i];
        copy->changes[i].inode = copy_of(disk, copy, disk->changes[i].inode);
    }
    copy->changes_count = disk->changes_count;
    copy->directories_count = 0;
    for (uint32_t i = 0; i < disk->directories_count; i++) {
        copy->directories = sim_grow(copy->directories, copy->directories_count,
                                     &copy->directories_capacity, sizeof(struct directory));
        copy->directories[i] = disk->directories[i];
        copy->directories[i].locked = copy->directories[i].locked_other = false;
        copy->directories_count++;
    }
}

int sim_disk_copy(const struct sim_disk *disk, uint64_t seed, struct sim_disk **copy)
{
    struct sim_disk_options options = disk->options;
    struct sim_disk *c;
    int error;

    options.seed = seed;
    error = sim_disk_create(&options, &c);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < disk->inodes_count; i++)
        sim_inode_copy(sim_inode_create(c, disk->inodes[i]->path), disk->inodes[i]);
    copy_names(disk, c);
    for (uint32_t i = c->inodes_count; i-- > 0;)
        sim_inode_drop(c, c->inodes[i]); /* the names keep those that have one */
    memcpy(c->stale, disk->stale, sizeof(c->stale));
    for (unsigned i = 0; i < STALE_MAX; i++)
        sim_page_ref(c->stale[i]);
    c->stale_at = disk->stale_at;
    c->stale_count = disk->stale_count;
    sim_count_used(c);
    *copy = c;
    return 0;
}

/* ---- The hash ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;

        memcpy(&word, from + i, size - i < 8 ? size - i : 8);
        hash = mix(hash, word);
    }
    return hash;
}

uint64_t sim_disk_hash(const struct sim_disk *disk)
{
    uint64_t hash = disk->current.count;
    uint64_t directories = 0;

    /* Each file and directory apart and then summed: the order of the tables is no matter. */
    for (uint32_t i = 0; i < disk->directories_count; i++)
        directories += mix_bytes(1, disk->directories[i].path, strlen(disk->directories[i].path));
    hash = mix(hash, directories);
    for (uint32_t i = 0; i < disk->current.count; i++) {
        const struct name *name = &disk->current.names[i];
        const struct inode *inode = name->inode;
        uint64_t own = mix_bytes(inode->size, name->path, strlen(name->path));

        for (uint32_t at = 0; (uint64_t)at * PAGE < inode->size; at++) {
            const struct page *page = inode->cached[at];

            if (page == NULL || page == &sim_zero_page) {
                own = mix(own, 0);
                continue;
            }
            own = mix(own, memcmp(page->bytes, sim_zero_page.bytes, PAGE) == 0
                               ? 0
                               : mix_bytes(at, page->bytes, PAGE));
        }
        hash += own;
    }
    return hash;
}
