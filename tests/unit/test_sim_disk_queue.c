/*
 * test_sim_disk_queue.c - queues of the simulated disk: writes that end later, in any order, and
 * what faults make of them.
 */
#include "support/sim_disk_fixture.h"

static void *queue;
static void *queue_file;

static void queue_make(uint64_t seed, uint64_t latency_min, uint64_t latency_max)
{
    disk_make_with(&(struct sim_disk_options){
        .seed = seed, .latency_min_ns = latency_min, .latency_max_ns = latency_max});
    file_make("d/a", 1, 8 * BLOCK);
    queue_file = file_open("d/a", PAWL_STORAGE_DURABLE);
    cr_assert_eq(storage->queue_open(storage->user, 4, -1, &queue), 0);
    for (unsigned i = 0; i < 8; i++)
        memset(block + i * BLOCK, (int)(10 + i), BLOCK);
}

static void queue_unmake(void)
{
    storage->queue_close(storage->user, queue);
    file_close(queue_file);
    disk_unmake();
}

/* Block number n to its place, tagged so. */
static int queue_put(unsigned n)
{
    return storage->queue_write(storage->user, queue, queue_file, block + n * BLOCK, BLOCK,
                                (uint64_t)n * BLOCK, n);
}

static int queue_reap(struct pawl_storage_done *done)
{
    return storage->queue_reap(storage->user, queue, done, 8, UINT64_MAX);
}

Test(sim_disk_queue, a_queue_write_ends_when_it_is_due_and_not_before)
{
    struct pawl_storage_done done[8];

    queue_make(1, 100, 100);
    cr_assert_eq(storage->queue_fd(storage->user, queue), -ENOTSUP);
    cr_assert_eq(sim_disk_next_ns(disk), UINT64_MAX);
    cr_assert_eq(queue_put(2), 0);
    cr_assert_eq(sim_disk_next_ns(disk), 100);
    cr_assert_eq(sim_disk_advance(disk, 99), 0);
    cr_assert_eq(queue_reap(done), 0);
    cr_assert_eq(value_at("d/a", 2 * BLOCK, BLOCK), 1);
    cr_assert_eq(sim_disk_advance(disk, 100), 1);
    cr_assert_eq(value_at("d/a", 2 * BLOCK, BLOCK), 12);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert_eq(done[0].tag, 2);
    cr_assert_eq(done[0].result, BLOCK);
    cr_assert_eq(queue_reap(done), 0);
    queue_unmake();
}

Test(sim_disk_queue, a_queue_takes_its_depth_until_results_are_reaped)
{
    struct pawl_storage_done done[8];

    queue_make(1, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(queue_put(i), 0);
    cr_assert_eq(queue_put(4), -EAGAIN);
    cr_assert_eq(sim_disk_advance(disk, 0), 4);
    cr_assert_eq(queue_put(4), -EAGAIN);
    cr_assert_eq(storage->queue_reap(storage->user, queue, done, 3, 0), 3);
    cr_assert(done[0].tag == 0 && done[1].tag == 1 && done[2].tag == 2);
    cr_assert_eq(queue_put(4), 0);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert_eq(done[0].tag, 3);
    cr_assert_eq(sim_disk_under_way(disk), 1);
    storage->queue_close(storage->user, queue); /* which waits */
    cr_assert_eq(sim_disk_under_way(disk), 0);
    cr_assert_eq(value_at("d/a", 4 * BLOCK, BLOCK), 14);
    file_close(queue_file);
    disk_unmake();
}

Test(sim_disk_queue, queue_writes_end_in_every_order)
{
    bool first_was[3] = {false, false, false};
    uint64_t out_of_order = 0;

    for (uint64_t seed = 0; seed < 50; seed++) {
        struct pawl_storage_done done[8];

        queue_make(seed, 10, 1000);
        for (unsigned i = 0; i < 3; i++)
            cr_assert_eq(queue_put(i), 0);
        cr_assert_eq(sim_disk_advance(disk, 1000), 3);
        cr_assert_eq(queue_reap(done), 3);
        first_was[done[0].tag] = true;
        out_of_order += sim_disk_counters(disk)->out_of_order;
        queue_unmake();
    }
    cr_assert(first_was[0] && first_was[1] && first_was[2]);
    cr_assert(out_of_order != 0);
}

Test(sim_disk_queue, a_slow_write_is_overtaken)
{
    struct pawl_storage_done done[8];

    queue_make(1, 10, 10);
    cr_assert(sim_disk_fault_add(disk, &(struct sim_fault){.kind = SIM_FAULT_SLOW,
                                                           .ops = SIM_OPS_ALL,
                                                           .nth = 1,
                                                           .delay_ns = 5000}) >= 0);
    cr_assert_eq(queue_put(0), 0);
    cr_assert_eq(queue_put(1), 0);
    cr_assert_eq(sim_disk_advance(disk, 5009), 1);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert_eq(done[0].tag, 1);
    cr_assert_eq(sim_disk_advance(disk, 5010), 1);
    queue_unmake();
}

Test(sim_disk_queue, a_queue_write_fails_when_handed_over_or_when_it_ends)
{
    struct pawl_storage_done done[8];

    queue_make(1, 0, 0);
    fault(SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_WRITE), 2);
    fault(SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 2);
    cr_assert_eq(queue_put(0), 0);
    cr_assert_eq(queue_put(1), -EIO);
    cr_assert_eq(queue_put(2), 0);
    cr_assert_eq(sim_disk_advance(disk, 0), 2);
    cr_assert_eq(queue_reap(done), 2);
    cr_assert_eq(done[0].result, BLOCK);
    cr_assert_eq(done[1].tag, 2);
    cr_assert_eq(done[1].result, -EIO);
    cr_assert_eq(value_at("d/a", BLOCK, BLOCK), 1);
    for (unsigned s = 0; s < 8; s++) { /* each sector is old or new */
        const int value = value_at("d/a", 2 * BLOCK + s * SIM_SECTOR, SIM_SECTOR);

        cr_assert(value == 1 || value == 12);
    }
    queue_unmake();
}

Test(sim_disk_queue, a_short_queue_write_gives_the_smaller_count)
{
    struct pawl_storage_done done[8];

    queue_make(1, 0, 0);
    fault(SIM_FAULT_SHORT, SIM_OPS(SIM_QUEUE_END), 1);
    cr_assert_eq(storage->queue_write(storage->user, queue, queue_file, block, 4 * BLOCK, 0, 5), 0);
    cr_assert_eq(sim_disk_advance(disk, 0), 1);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert(done[0].result >= 0 && done[0].result < 4 * BLOCK &&
              done[0].result % SIM_SECTOR == 0);
    for (uint64_t at = 0; at < 4 * BLOCK; at += SIM_SECTOR)
        cr_assert_eq(value_at("d/a", at, SIM_SECTOR),
                     at < (uint64_t)done[0].result ? (int)(10 + at / BLOCK) : 1);
    queue_unmake();
}

/* How many of the file's eight blocks show the value. */
static unsigned blocks_of(int value)
{
    unsigned count = 0;

    for (unsigned i = 0; i < 8; i++)
        count += value_at("d/a", i * BLOCK, BLOCK) == value;
    return count;
}

Test(sim_disk_queue, a_phantom_write_is_reported_and_never_happens)
{
    struct pawl_storage_done done[8];

    queue_make(1, 0, 0);
    fault(SIM_FAULT_PHANTOM, SIM_OPS(SIM_QUEUE_END), 1);
    cr_assert_eq(queue_put(3), 0);
    sim_disk_advance(disk, 0);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert_eq(done[0].result, BLOCK);
    cr_assert_eq(blocks_of(1), 8);
    sim_disk_faults_clear(disk);
    fault(SIM_FAULT_PHANTOM, SIM_OPS(SIM_WRITE), 1);
    file_fill(queue_file, 5, BLOCK, 0);
    cr_assert_eq(blocks_of(1), 8);
    file_fill(queue_file, 5, BLOCK, 0);
    cr_assert_eq(blocks_of(5), 1);
    sim_disk_faults_clear(disk);
    fault(SIM_FAULT_PHANTOM, SIM_OPS(SIM_WRITE), 1);
    file_fill(queue_file, 5, BLOCK, 9 * BLOCK); /* only the file's size learns of it */
    cr_assert_eq(size_of("d/a"), 10 * BLOCK);
    cr_assert_eq(value_at("d/a", 8 * BLOCK, 2 * BLOCK), 0);
    queue_unmake();
}

Test(sim_disk_queue, a_misdirected_write_lands_elsewhere_or_nowhere)
{
    unsigned elsewhere = 0;
    unsigned other_file = 0;

    for (uint64_t seed = 0; seed < 50; seed++) {
        struct pawl_storage_done done[8];

        queue_make(seed, 0, 0);
        file_make("d/other", 2, 4 * BLOCK);
        memset(block, 10, BLOCK);
        fault(SIM_FAULT_MISDIRECTED, SIM_OPS(SIM_QUEUE_END), 1);
        cr_assert_eq(queue_put(0), 0);
        sim_disk_advance(disk, 0);
        cr_assert_eq(queue_reap(done), 1);
        cr_assert_eq(done[0].result, BLOCK);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 1);
        elsewhere += blocks_of(10);
        for (unsigned i = 0; i < 4; i++)
            other_file += value_at("d/other", i * BLOCK, BLOCK) == 10;
        queue_unmake();
    }
    cr_assert(elsewhere > 10 && other_file > 5, "%u %u", elsewhere, other_file);
}

Test(sim_disk_queue, queue_misuse_is_told)
{
    queue_make(1, 10, 10);
    cr_assert_eq(queue_put(0), 0);
    block[100]++;
    sim_disk_advance(disk, 10);
    cr_assert(strstr(sim_disk_misuse(disk), "under way") != NULL);
    sim_disk_destroy(disk);

    queue_make(1, 10, 10);
    cr_assert_eq(queue_put(0), 0);
    cr_assert_eq(queue_put(0), 0);
    cr_assert(strstr(sim_disk_misuse(disk), "two writes") != NULL);
    sim_disk_destroy(disk);

    queue_make(1, 10, 10);
    cr_assert_eq(storage->queue_write(storage->user, queue, queue_file, block, 100, 0, 0), -EINVAL);
    cr_assert(strstr(sim_disk_misuse(disk), "not aligned") != NULL);
    sim_disk_destroy(disk);
}
