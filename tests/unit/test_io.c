#include <poll.h>
#include <unistd.h>

#include "support/store_fixture.h"

/* Two journals on one queue, pumped by hand: what the turn of an I/O thread does. */
struct pair {
    struct journal journals[2];
    struct journal *list[2];
    struct park wakes[2];
    struct io io;
    struct pages_stats pages;
    struct pawl_virtual_clock *clock;
    struct sim_disk *disk;
    const struct pawl_storage *storage;
};

static void pair_open(struct pair *p)
{
    const struct sim_disk_options disk = {
        .seed = 1, .latency_min_ns = 1000, .latency_max_ns = 9000};

    memset(p, 0, sizeof(*p));
    cr_assert_eq(sim_disk_create(&disk, &p->disk), 0);
    p->storage = sim_disk_storage(p->disk);
    cr_assert_eq(p->storage->make_directory(p->storage->user, "d"), 0);
    cr_assert_eq(pawl_virtual_clock_create(1, &p->clock), 0);
    for (uint32_t i = 0; i < 2; i++) {
        const struct journal_options options = {.storage = p->storage,
                                                .clock = pawl_virtual_clock_seam(p->clock),
                                                .directory = "d",
                                                .store = 9,
                                                .set = 1,
                                                .shard = 4 + i,
                                                .epoch = 1,
                                                .segment_bytes = 1u << 20,
                                                .writes_max = 4,
                                                .next_lsn = 1,
                                                .next_file = 1,
                                                .next_snapshot = 1,
                                                .wake = &p->wakes[i],
                                                .pages = &p->pages};

        cr_assert_eq(pawl__park_init(&p->wakes[i], false), 0);
        cr_assert_eq(pawl__journal_init(&p->journals[i], &options), 0);
        p->list[i] = &p->journals[i];
    }
    cr_assert_eq(pawl__io_open(&p->io, p->storage, p->list, 4, 2, 4, false), 0);
}

static void pair_close(struct pair *p)
{
    pawl__io_close(&p->io);
    for (unsigned i = 0; i < 2; i++) {
        pawl__journal_fini(&p->journals[i]);
        pawl__park_fini(&p->wakes[i]);
    }
    pawl_virtual_clock_destroy(p->clock);
    cr_assert(sim_disk_misuse(p->disk) == NULL, "%s", sim_disk_misuse(p->disk));
    sim_disk_destroy(p->disk);
}

static void pair_add(struct pair *p, unsigned i)
{
    struct entry_mark *mark = stream_append(&p->journals[i].steps, sizeof(*mark));

    *mark = (struct entry_mark){
        .header = {.words = 3, .type = ENTRY_MARK}, .value = 1, .what = MARK_TAKEN};
    pawl__stream_close(&p->journals[i].steps);
    pawl__stream_hand_over(&p->journals[i].steps);
}

static void pair_run(struct pair *p)
{
    do
        while (pawl__io_turn(&p->io))
            ;
    while (sim_disk_advance(p->disk, sim_disk_next_ns(p->disk) == UINT64_MAX
                                         ? 0
                                         : sim_disk_next_ns(p->disk)) > 0);
}

Test(io, one_queue_serves_several_journals)
{
    struct pair p;

    pair_open(&p);
    for (unsigned i = 0; i < 20; i++) {
        pair_add(&p, i & 1);
        pawl__io_turn(&p.io);
    }
    pair_run(&p);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(load_acquire(&p.journals[i].durable), 10);
        cr_assert(pawl__journal_is_idle(&p.journals[i]));
    }
    cr_assert_eq(p.io.queue.used, 0);
    pair_close(&p);
}

/* One journal's failure is its own. */
Test(io, a_failed_journal_holds_no_other_up)
{
    const struct sim_fault fault = {.kind = SIM_FAULT_ERROR,
                                    .ops = SIM_OPS(SIM_QUEUE_END),
                                    .path = "-0005-",
                                    .nth = 1,
                                    .error = -EIO};
    struct pair p;

    pair_open(&p);
    pair_run(&p); /* the first files are there */
    cr_assert(sim_disk_fault_add(p.disk, &fault) >= 0);
    for (unsigned i = 0; i < 20; i++) {
        pair_add(&p, i & 1);
        pawl__io_turn(&p.io);
    }
    pair_run(&p);
    cr_assert_eq(load_acquire(&p.journals[0].failed), 0);
    cr_assert_eq(load_acquire(&p.journals[0].durable), 10);
    cr_assert_eq(load_acquire(&p.journals[1].failed), -EIO);
    cr_assert(load_acquire(&p.journals[1].durable) < 10);
    cr_assert(strstr(p.journals[1].what, "shard 5") != NULL, "%s", p.journals[1].what);
    pair_close(&p);
}

Test(io, a_finish_that_nobody_moves_gives_up)
{
    struct pair p;

    pair_open(&p);
    pair_add(&p, 0);
    cr_assert(!pawl__io_finish(&p.io, true)); /* a simulated disk moves by itself for nobody */
    pair_run(&p);
    cr_assert(pawl__io_finish(&p.io, false));
    cr_assert_eq(load_acquire(&p.journals[0].durable), 1);
    pair_close(&p);
}

static struct pair *waiting;

/* A wait as a system has it: over at once while the park is readable, else when a write ends. */
static int wait_as_a_system(void *user, void *queue, struct pawl_storage_done *done,
                            unsigned capacity, uint64_t timeout_ns)
{
    struct pollfd woken = {.fd = waiting->io.park.event_fd, .events = POLLIN};

    if (timeout_ns > 0 && poll(&woken, 1, 0) == 0 && sim_disk_next_ns(waiting->disk) != UINT64_MAX)
        sim_disk_advance(waiting->disk, sim_disk_next_ns(waiting->disk));
    return waiting->storage->queue_reap(user, queue, done, capacity, 0);
}

/* From one who saw the pump asleep, lost its core, and goes on when the pump is at its end. */
Test(io, a_wake_that_comes_late_does_not_cut_the_finish_short)
{
    const uint64_t one = 1;
    struct pawl_storage storage;
    struct pair p;

    pair_open(&p);
    pawl__io_close(&p.io);
    cr_assert_eq(pawl__io_open(&p.io, p.storage, p.list, 4, 2, 4, true), 0);
    storage = *p.storage;
    storage.queue_reap = wait_as_a_system;
    p.io.storage = &storage;
    waiting = &p;
    pair_add(&p, 0);
    cr_assert_eq(write(p.io.park.event_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
    cr_assert(pawl__io_finish(&p.io, true));
    cr_assert_eq(load_acquire(&p.journals[0].durable), 1);
    pair_close(&p);
}

Test(io, a_queue_that_cannot_be_opened_is_an_error)
{
    const struct sim_fault fault = {
        .kind = SIM_FAULT_ERROR, .ops = SIM_OPS(SIM_QUEUE_OPEN), .nth = 1, .error = -ENOMEM};
    struct pair p;
    struct io second;

    pair_open(&p);
    cr_assert(sim_disk_fault_add(p.disk, &fault) >= 0);
    cr_assert_eq(pawl__io_open(&second, p.storage, p.list, 4, 2, 4, false), -ENOMEM);
    cr_assert_eq(pawl__io_open(&second, p.storage, p.list, 4, 2, 4, true), 0);
    pawl__io_close(&second);
    for (unsigned i = 0; i < 2; i++)
        p.journals[i].queue = &p.io.queue;
    pair_close(&p);
}
