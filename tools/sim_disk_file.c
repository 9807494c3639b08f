/*
 * sim_disk_file.c - the bytes of a file of the simulated disk: what is cached, durable and
 * unsynced.
 */
#include <stdlib.h>
#include <string.h>

#include "sim_disk_inner.h"

struct page sim_zero_page;

/* ---- Pages ---- */

static struct page *page_copy(const void *bytes)
{
    struct page *page = aligned_alloc(64, sizeof(*page));

    CHECK(page != NULL);
    page->refs = 1;
    if (bytes != NULL)
        memcpy(page->bytes, bytes, PAGE);
    else
        memset(page->bytes, 0, PAGE);
    return page;
}

struct page *sim_page_of(const void *bytes)
{
    /* Journals are filled with zeroes ahead: those must cost no memory. */
    if (memcmp(bytes, sim_zero_page.bytes, PAGE) == 0)
        return sim_page_ref(&sim_zero_page);
    return page_copy(bytes);
}

void sim_page_drop(struct page *page)
{
    if (page != NULL && page != &sim_zero_page && --page->refs == 0)
        free(page);
}

struct page *sim_page_merge(struct page *base, struct page *page, unsigned sectors)
{
    struct page *merged;

    if (sectors == SECTORS_ALL)
        return sim_page_ref(page);
    if (sectors == 0)
        return sim_page_ref(base);
    merged = page_copy(base != NULL ? base->bytes : NULL);
    for (unsigned s = 0; s < SECTORS; s++) {
        if (sectors & (1u << s))
            memcpy(merged->bytes + s * SIM_SECTOR, page->bytes + s * SIM_SECTOR, SIM_SECTOR);
    }
    return merged;
}

void sim_page_set(struct page **place, struct page *page)
{
    sim_page_drop(*place);
    *place = page;
}

/* ---- Inodes ---- */

struct inode *sim_inode_create(struct sim_disk *disk, const char *path)
{
    struct inode *inode = sim_allocate(sizeof(*inode));

    memcpy(inode->path, path, strlen(path) + 1);
    inode->refs = 1;
    disk->inodes =
        sim_grow(disk->inodes, disk->inodes_count, &disk->inodes_capacity, sizeof(struct inode *));
    disk->inodes[disk->inodes_count++] = inode;
    return inode;
}

static void unsynced_clear(struct inode *inode)
{
    for (uint32_t i = 0; i < inode->unsynced_count; i++)
        sim_page_drop(inode->unsynced[i].page);
    inode->unsynced_count = 0;
}

void sim_inode_drop(struct sim_disk *disk, struct inode *inode)
{
    uint32_t i = 0;

    if (--inode->refs != 0)
        return;
    while (disk->inodes[i] != inode)
        i++;
    /* Their order decides what a seed means, so it is kept. */
    memmove(&disk->inodes[i], &disk->inodes[i + 1],
            (--disk->inodes_count - i) * sizeof(struct inode *));
    for (i = 0; i < inode->pages; i++) {
        sim_page_drop(inode->cached[i]);
        sim_page_drop(inode->durable[i]);
    }
    unsynced_clear(inode);
    free(inode->cached);
    free(inode->durable);
    free(inode->unsynced);
    free(inode);
}

uint64_t sim_inode_bytes(const struct inode *inode)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < inode->pages; i++)
        count += inode->cached[i] != NULL;
    return count * PAGE;
}

static void remember_stale(struct sim_disk *disk, struct page *page)
{
    if (page == NULL || page == &sim_zero_page)
        return;
    sim_page_set(&disk->stale[disk->stale_at], sim_page_ref(page));
    disk->stale_at = (disk->stale_at + 1) % STALE_MAX;
    if (disk->stale_count < STALE_MAX)
        disk->stale_count++;
}

void sim_inode_settle(struct sim_disk *disk, struct inode *inode)
{
    if (inode->linked || inode->open != 0 || inode->freed)
        return;
    inode->freed = true;
    disk->used -= sim_inode_bytes(inode);
    for (uint32_t i = 0; i < inode->pages; i++)
        remember_stale(disk, inode->cached[i]);
}

void sim_inode_reserve(struct inode *inode, uint64_t size)
{
    const uint32_t need = (uint32_t)((size + PAGE - 1) / PAGE);
    uint32_t pages = inode->pages < 16 ? 16 : inode->pages;

    if (need <= inode->pages)
        return;
    while (pages < need)
        pages *= 2;
    inode->cached = realloc(inode->cached, pages * sizeof(struct page *));
    inode->durable = realloc(inode->durable, pages * sizeof(struct page *));
    CHECK(inode->cached != NULL && inode->durable != NULL);
    for (uint32_t i = inode->pages; i < pages; i++)
        inode->cached[i] = inode->durable[i] = NULL;
    inode->pages = pages;
}

/* Whether the page is there or there is room for it, which is taken. */
static bool take_room(struct sim_disk *disk, const struct inode *inode, uint32_t at)
{
    const uint64_t capacity = disk->options.capacity_bytes;

    if (inode->cached[at] != NULL || inode->freed)
        return true;
    if (capacity != 0 && disk->used + PAGE > capacity) {
        disk->counters.full++;
        return false;
    }
    disk->used += PAGE;
    return true;
}

/*
 * A write begins behind the end: the pages between are never written, and may show what they once
 * were.
 */
static void leave_hole(struct sim_disk *disk, struct inode *inode, uint64_t offset)
{
    const uint32_t from = (uint32_t)((inode->size + PAGE - 1) / PAGE);
    const uint32_t to = (uint32_t)(offset / PAGE);

    if (from >= to || disk->stale_count == 0 || !sim_stale_strikes(disk, inode->path))
        return;
    for (uint32_t at = from; at < to; at++) {
        struct page *page = disk->stale[random_below(&disk->random, disk->stale_count)];

        if (inode->cached[at] != NULL || !take_room(disk, inode, at))
            continue;
        disk->counters.sectors_stale += SECTORS;
        sim_page_set(&inode->cached[at], sim_page_ref(page));
        sim_page_set(&inode->durable[at], sim_page_ref(page));
    }
}

/* ---- Writing and reading ---- */

static unsigned sectors_between(uint64_t from, uint64_t to)
{
    const unsigned first = (unsigned)(from / SIM_SECTOR);
    const unsigned end = (unsigned)((to + SIM_SECTOR - 1) / SIM_SECTOR);

    return ((1u << end) - 1) & ~((1u << first) - 1);
}

uint64_t sim_inode_write(struct sim_disk *disk, struct inode *inode, const uint8_t *bytes,
                         uint64_t size, uint64_t offset)
{
    uint64_t done = 0;

    sim_inode_reserve(inode, offset + size);
    leave_hole(disk, inode, offset);
    while (done < size) {
        const uint32_t at = (uint32_t)((offset + done) / PAGE);
        const uint64_t start = (offset + done) % PAGE;
        const uint64_t count = size - done < PAGE - start ? size - done : PAGE - start;
        struct page *page;

        if (!take_room(disk, inode, at))
            break;
        if (count == PAGE) {
            page = sim_page_of(bytes + done);
        } else {
            page = page_copy(inode->cached[at] != NULL ? inode->cached[at]->bytes : NULL);
            memcpy(page->bytes + start, bytes + done, count);
        }
        sim_page_set(&inode->cached[at], page);
        done += count;
        if (offset + done > inode->size)
            inode->size = offset + done;
        inode->dirty = true;
        inode->unsynced = sim_grow(inode->unsynced, inode->unsynced_count,
                                   &inode->unsynced_capacity, sizeof(struct unsynced));
        inode->unsynced[inode->unsynced_count++] =
            (struct unsynced){.page = sim_page_ref(page),
                              .size = inode->size,
                              .at = at,
                              .sectors = (uint8_t)sectors_between(start, start + count)};
    }
    return done;
}

uint64_t sim_inode_write_through(struct sim_disk *disk, struct inode *inode, struct page **pages,
                                 const uint8_t *sectors, uint64_t size, uint64_t offset)
{
    uint64_t done = 0;

    sim_inode_reserve(inode, offset + size);
    leave_hole(disk, inode, offset);
    for (uint32_t i = 0; done < size; i++, done += PAGE) {
        const uint32_t at = (uint32_t)(offset / PAGE) + i;
        const unsigned set = sectors != NULL ? sectors[i] : SECTORS_ALL;
        struct page *merged;

        if (!take_room(disk, inode, at))
            break;
        sim_inode_flush_page(inode, at);
        if (set == 0)
            continue;
        merged = sim_page_merge(inode->durable[at], pages[i], set);
        if (inode->cached[at] == inode->durable[at] || set == SECTORS_ALL)
            sim_page_set(&inode->cached[at], sim_page_ref(merged));
        else
            sim_page_set(&inode->cached[at], sim_page_merge(inode->cached[at], pages[i], set));
        sim_page_set(&inode->durable[at], merged);
        if (offset + done + PAGE > inode->durable_size)
            inode->durable_size = offset + done + PAGE;
        if (inode->durable_size > inode->size)
            inode->size = inode->durable_size;
    }
    return done;
}

void sim_inode_cache(struct inode *inode, struct page **pages, uint64_t size, uint64_t offset)
{
    for (uint64_t i = 0; i < size / PAGE; i++)
        sim_page_set(&inode->cached[offset / PAGE + i], sim_page_ref(pages[i]));
    if (offset + size > inode->size)
        inode->size = offset + size;
    inode->dirty = true;
}

static bool page_is_unsynced(const struct inode *inode, uint32_t at)
{
    for (uint32_t i = 0; i < inode->unsynced_count; i++) {
        if (inode->unsynced[i].at == at)
            return true;
    }
    return false;
}

void sim_inode_read(const struct inode *inode, bool past_cache, uint8_t *bytes, uint64_t size,
                    uint64_t offset)
{
    for (uint64_t done = 0; done < size;) {
        const uint32_t at = (uint32_t)((offset + done) / PAGE);
        const uint64_t start = (offset + done) % PAGE;
        const uint64_t count = size - done < PAGE - start ? size - done : PAGE - start;
        const struct page *page = at < inode->pages ? inode->cached[at] : NULL;

        /*
         * What waits to be written is written first, so only what the cache wrongly takes for clean
         * differs.
         */
        if (past_cache && inode->dirty && at < inode->pages && !page_is_unsynced(inode, at))
            page = inode->durable[at];
        if (page != NULL)
            memcpy(bytes + done, page->bytes + start, count);
        else
            memset(bytes + done, 0, count);
        done += count;
    }
}

/* ---- Syncing ---- */

static void make_durable(struct inode *inode, const struct unsynced *write)
{
    struct page **place = &inode->durable[write->at];

    sim_page_set(place, sim_page_merge(*place, write->page, write->sectors));
}

void sim_inode_flush_page(struct inode *inode, uint32_t at)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < inode->unsynced_count; i++) {
        const struct unsynced write = inode->unsynced[i];
        const uint64_t end = (uint64_t)(at + 1) * PAGE;
        const uint64_t size = write.size < end ? write.size : end;

        if (write.at != at) {
            inode->unsynced[kept++] = write;
            continue;
        }
        make_durable(inode, &write);
        sim_page_drop(write.page);
        if (size > inode->durable_size)
            inode->durable_size = size;
    }
    inode->unsynced_count = kept;
}

void sim_misdirect(struct sim_disk *disk, struct page **pages, uint32_t count,
                   const struct inode *inode, uint32_t at)
{
    uint64_t places = 0;
    uint64_t place;

    for (uint32_t i = 0; i < disk->inodes_count; i++)
        places += disk->inodes[i]->freed ? 0 : disk->inodes[i]->size / PAGE;
    if (places == 0)
        return;
    place = random_below(&disk->random, places);
    for (uint32_t i = 0; i < disk->inodes_count; i++) {
        struct inode *other = disk->inodes[i];
        const uint64_t here = other->freed ? 0 : other->size / PAGE;

        if (place >= here) {
            place -= here;
            continue;
        }
        if (other == inode && place == at)
            return; /* where it belongs does not count: it is lost */
        for (uint32_t n = 0; n < count && place < here; n++, place++) {
            disk->used += other->cached[place] == NULL ? PAGE : 0;
            if (other->cached[place] == other->durable[place])
                sim_page_set(&other->cached[place], sim_page_ref(pages[n]));
            sim_page_set(&other->durable[place], sim_page_ref(pages[n]));
        }
        return;
    }
}

void sim_inode_sync(struct sim_disk *disk, struct inode *inode, enum sync_mode mode)
{
    const uint32_t count = inode->unsynced_count;
    uint32_t lost_at = UINT32_MAX; /* the page that does not become durable */
    struct page *lost = NULL;

    if (mode != SYNC_WHOLE && count != 0)
        lost_at = inode->unsynced[random_below(&disk->random, count)].at;
    for (uint32_t i = 0; i < count; i++) {
        const struct unsynced *write = &inode->unsynced[i];

        if (write->at == lost_at)
            lost = write->page;
        else if (mode != SYNC_FAILED || sim_coin(disk))
            make_durable(inode, write);
    }
    if (lost != NULL && mode == SYNC_MISDIRECTED)
        sim_misdirect(disk, &lost, 1, inode, lost_at);
    unsynced_clear(inode);
    if (mode != SYNC_FAILED || sim_coin(disk))
        inode->durable_size = inode->size;
    if (mode == SYNC_WHOLE && !inode->dirty)
        return;
    inode->dirty = false;
    for (uint32_t at = 0; at < inode->pages; at++)
        inode->dirty |= inode->cached[at] != inode->durable[at];
    inode->dirty |= inode->durable_size != inode->size;
}
