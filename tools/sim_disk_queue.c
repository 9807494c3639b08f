/*
 * sim_disk_queue.c - writes past the cache: what strikes them, and the queues that carry those
 * nobody waits for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_disk_inner.h"

/* ---- One write past the cache ---- */

struct page **sim_pages_of(const void *bytes, uint64_t size)
{
    struct page **pages = sim_allocate(size / PAGE * sizeof(struct page *));

    for (uint64_t i = 0; i < size / PAGE; i++)
        pages[i] = sim_page_of((const uint8_t *)bytes + i * PAGE);
    return pages;
}

void sim_pages_free(struct page **pages, uint64_t size)
{
    for (uint64_t i = 0; i < size / PAGE; i++)
        sim_page_drop(pages[i]);
    free(pages);
}

/* The file grows as if it had been written. */
static void grow_only(struct inode *inode, uint64_t end)
{
    sim_inode_reserve(inode, end);
    if (inode->durable_size < end)
        inode->durable_size = end;
    if (inode->size < end)
        inode->size = end;
}

/* Only these sectors of each page, counted from the first, or those drawn. */
static void write_some(struct sim_disk *disk, struct inode *inode, struct page **pages,
                       uint64_t size, uint64_t offset, uint64_t first_sectors, bool drawn)
{
    uint8_t *sectors = sim_allocate(size / PAGE);
    uint64_t done;

    for (uint64_t i = 0; i < size / PAGE; i++) {
        const uint64_t left = first_sectors > i * SECTORS ? first_sectors - i * SECTORS : 0;

        if (drawn)
            sectors[i] = (uint8_t)random_next(&disk->random);
        else
            sectors[i] = (uint8_t)(left >= SECTORS ? SECTORS_ALL : (1u << left) - 1);
    }
    done = sim_inode_write_through(disk, inode, pages, sectors, size, offset);
    free(sectors);
    if (disk->options.no_direct)
        sim_inode_cache(inode, pages, drawn ? done : first_sectors / SECTORS * PAGE, offset);
}

int64_t sim_write_struck(struct sim_disk *disk, struct inode *inode, struct page **pages,
                         uint64_t size, uint64_t offset, const struct strike *strike)
{
    uint64_t done;

    if (!strike->is) {
        done = sim_inode_write_through(disk, inode, pages, NULL, size, offset);
        return done != 0 ? (int64_t)done : -ENOSPC;
    }
    if (strike->kind == SIM_FAULT_SHORT) {
        done = random_below(&disk->random, size / SIM_SECTOR);
        write_some(disk, inode, pages, size, offset, done, false);
        return (int64_t)(done * SIM_SECTOR);
    }
    if (strike->kind == SIM_FAULT_PHANTOM) {
        grow_only(inode, offset + size);
        return (int64_t)size;
    }
    if (strike->kind == SIM_FAULT_MISDIRECTED) {
        sim_misdirect(disk, pages, (uint32_t)(size / PAGE), inode, (uint32_t)(offset / PAGE));
        grow_only(inode, offset + size);
        return (int64_t)size;
    }
    write_some(disk, inode, pages, size, offset, 0, true);
    return strike->error;
}

/* ---- Flights ---- */

static struct flight *flight_add(struct sim_disk *disk, struct inode *inode, const void *bytes,
                                 uint64_t size, uint64_t offset)
{
    struct flight *flight;

    disk->flights = sim_grow(disk->flights, disk->flights_count, &disk->flights_capacity,
                             sizeof(struct flight));
    flight = &disk->flights[disk->flights_count++];
    *flight = (struct flight){
        .inode = sim_inode_ref(inode),
        .source = bytes,
        .offset = offset,
        .size = size,
        .sequence = disk->flights_begun++,
        .pages = sim_pages_of(bytes, size),
    };
    return flight;
}

void sim_flight_strand(struct sim_disk *disk, struct inode *inode, const void *bytes, uint64_t size,
                       uint64_t offset)
{
    flight_add(disk, inode, bytes, size, offset)->stranded = true;
}

void sim_flight_free(struct sim_disk *disk, struct flight *flight)
{
    sim_pages_free(flight->pages, flight->size);
    sim_inode_drop(disk, flight->inode);
    memmove(flight, flight + 1,
            (size_t)(&disk->flights[--disk->flights_count] - flight) * sizeof(*flight));
}

static void result_add(struct queue *queue, uint64_t tag, int64_t result)
{
    queue->done[queue->done_count++] = (struct pawl_storage_done){tag, result};
}

static bool is_unchanged(const struct flight *flight)
{
    for (uint64_t i = 0; i < flight->size / PAGE; i++) {
        if (memcmp(flight->pages[i]->bytes, flight->source + i * PAGE, PAGE) != 0)
            return false;
    }
    return true;
}

/* False: the process has died of it. */
static bool flight_end(struct sim_disk *disk, struct flight *flight)
{
    struct queue *queue = flight->queue;
    const uint64_t tag = flight->tag;
    struct strike strike;
    int64_t result;

    sim_begin(disk, SIM_QUEUE_END, flight->inode->path, flight->offset, flight->size, true,
              &strike);
    if (!is_unchanged(flight))
        sim_misuse(disk, "%s: the bytes of a write at %llu were changed while it was under way",
                   flight->inode->path, (unsigned long long)flight->offset);
    for (uint32_t i = 0; i < disk->flights_count; i++) {
        if (disk->flights[i].queue == queue && disk->flights[i].sequence < flight->sequence) {
            disk->counters.out_of_order++;
            break;
        }
    }
    if (strike.is && strike.kind == SIM_FAULT_DIE) {
        if (sim_coin(disk)) { /* it had ended, and nobody heard of it */
            strike.is = false;
            sim_write_struck(disk, flight->inode, flight->pages, flight->size, flight->offset,
                             &strike);
            sim_flight_free(disk, flight);
            result_add(queue, tag, -EIO);
        }
        sim_die_within(disk, SIM_QUEUE_END);
        return false;
    }
    result =
        sim_write_struck(disk, flight->inode, flight->pages, flight->size, flight->offset, &strike);
    if (result > 0)
        disk->counters.bytes_written += (uint64_t)result;
    sim_end(disk, SIM_QUEUE_END, result);
    result_add(queue, tag, result);
    sim_flight_free(disk, flight);
    return true;
}

/* The next to end, of one queue or of all (NULL). */
static struct flight *flight_next(const struct sim_disk *disk, const struct queue *queue)
{
    struct flight *next = NULL;

    for (uint32_t i = 0; i < disk->flights_count; i++) {
        struct flight *flight = &disk->flights[i];

        if (flight->queue == NULL || (queue != NULL && flight->queue != queue))
            continue;
        if (next == NULL || flight->due_ns < next->due_ns)
            next = flight;
    }
    return next;
}

unsigned sim_disk_advance(struct sim_disk *disk, uint64_t now_ns)
{
    unsigned ended = 0;
    struct flight *flight;

    if (now_ns > disk->now_ns)
        disk->now_ns = now_ns;
    while (!disk->dead && (flight = flight_next(disk, NULL)) != NULL &&
           flight->due_ns <= disk->now_ns) {
        ended++;
        if (!flight_end(disk, flight))
            break;
    }
    return ended;
}

uint64_t sim_disk_next_ns(const struct sim_disk *disk)
{
    const struct flight *flight = disk->dead ? NULL : flight_next(disk, NULL);

    return flight != NULL ? flight->due_ns : UINT64_MAX;
}

unsigned sim_disk_under_way(const struct sim_disk *disk)
{
    return disk->flights_count;
}

/* ---- The seam's calls ---- */

static int queue_open(void *user, unsigned depth, int wake_fd, void **queue)
{
    struct sim_disk *disk = user;
    struct strike strike;
    struct queue *q;

    (void)wake_fd;
    if (sim_begin(disk, SIM_QUEUE_OPEN, "", 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE)
        return sim_die_within(disk, SIM_QUEUE_OPEN);
    if (depth < 1 || depth > 256) {
        sim_misuse(disk, "queue_open: a depth of %u", depth);
        return (int)sim_end(disk, SIM_QUEUE_OPEN, -EINVAL);
    }
    if (strike.is)
        return (int)sim_end(disk, SIM_QUEUE_OPEN, strike.error);
    q = sim_allocate(sizeof(*q));
    q->depth = depth;
    q->done = sim_allocate(depth * sizeof(*q->done));
    q->next = disk->queues;
    disk->queues = q;
    *queue = q;
    return (int)sim_end(disk, SIM_QUEUE_OPEN, 0);
}

static void queue_free(struct sim_disk *disk, struct queue *queue)
{
    struct queue **link = &disk->queues;

    while (*link != queue)
        link = &(*link)->next;
    *link = queue->next;
    free(queue->done);
    free(queue);
}

static void queue_close(void *user, void *queue)
{
    struct sim_disk *disk = user;
    struct flight *flight;

    while (!disk->dead && (flight = flight_next(disk, queue)) != NULL)
        flight_end(disk, flight);
    queue_free(disk, queue);
}

static void check_overlap(struct sim_disk *disk, const struct inode *inode, uint64_t offset,
                          uint64_t size)
{
    for (uint32_t i = 0; i < disk->flights_count; i++) {
        const struct flight *f = &disk->flights[i];

        if (f->inode == inode && f->offset < offset + size && offset < f->offset + f->size)
            sim_misuse(disk, "%s: two writes are under way at %llu", inode->path,
                       (unsigned long long)offset);
    }
}

static int queue_write(void *user, void *queue, void *file, const void *bytes, size_t size,
                       uint64_t offset, uint64_t tag)
{
    struct sim_disk *disk = user;
    struct handle *handle = file;
    struct queue *q = queue;
    struct strike strike;
    struct flight *flight;
    uint64_t latency;

    if (!disk->dead && q->taken == q->depth)
        return -EAGAIN;
    if (disk->dead ||
        sim_begin(disk, SIM_QUEUE_WRITE, handle->inode->path, offset, size, false, &strike) != 0)
        return -EIO;
    if ((handle->flags & (PAWL_STORAGE_DURABLE | PAWL_STORAGE_READ)) != PAWL_STORAGE_DURABLE ||
        size == 0 || size % PAGE != 0 || offset % PAGE != 0 || (uintptr_t)bytes % PAGE != 0) {
        sim_misuse(disk,
                   "%s: a queue write of %zu bytes at %llu is not aligned, or the file not "
                   "open for it",
                   handle->inode->path, size, (unsigned long long)offset);
        return (int)sim_end(disk, SIM_QUEUE_WRITE, -EINVAL);
    }
    check_overlap(disk, handle->inode, offset, size);
    if (strike.is && strike.kind == SIM_FAULT_DIE) {
        sim_flight_strand(disk, handle->inode, bytes, size, offset);
        return sim_die_within(disk, SIM_QUEUE_WRITE);
    }
    if (strike.is && strike.kind != SIM_FAULT_SLOW)
        return (int)sim_end(disk, SIM_QUEUE_WRITE, strike.error);
    latency = disk->options.latency_min_ns + strike.delay_ns +
              random_below(&disk->random,
                           disk->options.latency_max_ns - disk->options.latency_min_ns + 1);
    flight = flight_add(disk, handle->inode, bytes, size, offset);
    flight->queue = q;
    flight->tag = tag;
    flight->due_ns = disk->now_ns + latency;
    q->taken++;
    return (int)sim_end(disk, SIM_QUEUE_WRITE, 0);
}

static int queue_reap(void *user, void *queue, struct pawl_storage_done *done, unsigned capacity,
                      uint64_t timeout_ns)
{
    struct queue *q = queue;
    const unsigned count = q->done_count < capacity ? q->done_count : capacity;

    (void)user;
    (void)timeout_ns;
    memcpy(done, q->done, count * sizeof(*done));
    q->done_count -= count;
    q->taken -= count;
    memmove(q->done, q->done + count, q->done_count * sizeof(*done));
    return (int)count;
}

static int queue_fd(void *user, void *queue)
{
    (void)user;
    (void)queue;
    return -ENOTSUP;
}

void sim_queue_fill_storage(struct pawl_storage *storage)
{
    storage->queue_open = queue_open;
    storage->queue_close = queue_close;
    storage->queue_write = queue_write;
    storage->queue_reap = queue_reap;
    storage->queue_fd = queue_fd;
}

/* ---- Ends ---- */

void sim_queues_die(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->flights_count; i++) {
        struct flight *flight = &disk->flights[i];

        if (flight->queue != NULL)
            result_add(flight->queue, flight->tag, -EIO);
        flight->queue = NULL;
        flight->source = NULL;
    }
}

void sim_queues_free(struct sim_disk *disk)
{
    while (disk->flights_count != 0)
        sim_flight_free(disk, &disk->flights[disk->flights_count - 1]);
    while (disk->queues != NULL)
        queue_free(disk, disk->queues);
}
