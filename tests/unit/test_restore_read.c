/* Which snapshot is read, from where the journal is, and where it goes on. */
#include "shard/restore_image.h"

#include "support/restore_fixture.h"

static void put(struct store_build *b, uint32_t slot, unsigned flags, uint64_t word)
{
    const uint64_t context[3] = {word};

    build_step(b, slot, 1, 2, S_IDLE, flags, context, sizeof(context));
}

/* Frames `from` to `to` of the tale: frame n gives task 1 the word n, the first creates it. */
static void put_frames(struct store_build *b, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++) {
        put(b, 1, n == 1 ? ENTRY_CREATED : 0, n);
        build_frame(b, 0);
    }
}

/* The journal in two files: frames 1 to 4, a seal (LSN 5), frames 6 to 9. Its end in *b. */
static void put_journal(struct restore_fixture *f, struct store_build *b, bool has_first)
{
    restore_journal(b, 0);
    put_frames(b, 1, 4);
    build_seal(b);
    if (has_first)
        build_save(b, &f->disk, RESTORE_DIRECTORY, RESTORE_FILE);
    build_next(b);
    put_frames(b, 6, 9);
    build_save(b, &f->disk, RESTORE_DIRECTORY, RESTORE_FILE);
}

static struct memory_file *put_snapshot(struct restore_fixture *f, uint64_t number,
                                        uint64_t base_lsn, uint64_t base_file, uint64_t word)
{
    struct store_build b;

    restore_snapshot(&b, 0, number, base_lsn, base_file);
    put(&b, 1, ENTRY_IMAGE, word);
    return restore_save(f, &b);
}

static void expect(struct restore_fixture *f, uint64_t word)
{
    restore_open(f, 1, 0);
    restore_is(f, restore_task(0, 1, 1), S_IDLE, word);
}

Test(restore_read, the_journal_alone_is_enough_from_its_beginning)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, true);
    expect(&f, 9);
    cr_assert_eq(f.restored.shards[0].position.lsn, 10u);
    cr_assert_eq(f.restored.shards[0].position.previous_crc, b.previous_crc);
    cr_assert_eq(f.restored.shards[0].position.file, 3u);
    cr_assert_eq(f.restored.shards[0].position.snapshot, 1u);
    cr_assert_eq(f.restored.shards[0].base_file, 0u);
    cr_assert_eq(f.restored.shards[0].entries, 8u);
    build_end(&b);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_read, the_journal_is_read_from_the_snapshots_base_on)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, false); /* the first file was cut */
    build_end(&b);
    put_snapshot(&f, 7, 7, 2, 7);
    expect(&f, 9);
    cr_assert_eq(f.restored.shards[0].entries, 3u, "the image and frames 8 and 9");
    cr_assert_eq(f.restored.shards[0].position.snapshot, 8u);
    cr_assert_eq(f.restored.shards[0].base_file, 2u);
    restore_close(&f);
    put_snapshot(&f, 8, 9, 2, 9); /* all of it */
    expect(&f, 9);
    cr_assert_eq(f.restored.shards[0].entries, 1u);
    cr_assert_eq(f.restored.shards[0].position.lsn, 10u);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_read, a_journal_that_does_not_reach_the_base_is_refused)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, false);
    build_end(&b);
    restore_refused(&f, 1, -EBADMSG, "begins at LSN 6");
    put_snapshot(&f, 1, 3, 1, 3); /* frame 4 and the seal are missing */
    restore_refused(&f, 1, -EBADMSG, "ends at 3");
    put_snapshot(&f, 2, 12, 2, 12); /* frames 10 to 12 are */
    restore_refused(&f, 1, -EBADMSG, "taken at 12");
    put_snapshot(&f, 2, 5, 2, 4);
    expect(&f, 9);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_read, a_damaged_snapshot_is_passed_over_while_the_one_before_is_there)
{
    struct restore_fixture f;
    struct memory_file *newest;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, false);
    build_end(&b);
    put_snapshot(&f, 1, 5, 2, 4);
    for (unsigned damage = 0; damage < 5; damage++) {
        newest = put_snapshot(&f, 2, 8, 2, 8);
        if (damage == 0)
            newest->bytes[100] ^= 1; /* its header */
        if (damage == 1)
            newest->bytes[4096 + 20] ^= 1; /* a frame's */
        if (damage == 2)
            newest->bytes[4096 + 80 + 30] ^= 1; /* an entry */
        if (damage == 3)
            memset(newest->bytes + 4096 + 80 + 48, 0, 96); /* the seal */
        if (damage == 4)
            memory_file_resize(newest, 4096);
        expect(&f, 9);
        cr_assert(strstr(f.told, "warning 0 | a snapshot of the store | ") != NULL &&
                      strstr(f.told, "0001-0000-000000000002.snapshot") != NULL,
                  "damage %u: %s", damage, f.told);
        cr_assert_eq(f.restored.shards[0].base_file, 2u);
        cr_assert_eq(f.restored.shards[0].position.snapshot, 3u);
        cr_assert_eq(f.restored.shards[0].entries, 5u, "of the older one and frames 6 to 9");
        restore_close(&f);
    }
    memory_remove(&f.disk, RESTORE_DIRECTORY "/0001-0000-000000000001.snapshot");
    restore_refused(&f, 1, -EBADMSG, "begins at LSN 6");
    restore_fixture_fini(&f);
}

Test(restore_read, nothing_of_a_damaged_snapshot_stays)
{
    const struct pawl_event event = {
        .task = restore_task(0, 1, 2), .code = P_WAIT, .flags = PAWL_EVENT_BUFFER};
    const struct entry_timer timer = {1000, 1};
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, true);
    build_end(&b);
    restore_snapshot(&b, 0, 1, 9, 2);
    build_key(&b, 2, 1, "a key", 5);
    put(&b, 2, ENTRY_IMAGE, 5);
    build_defer(&b, 2, 1, ENTRY_RESET, &event, "buffer", 6);
    build_timers(&b, 2, 1, &timer, 1);
    build_floor(&b, 0, 1024, 50);
    build_mark(&b, 0, MARK_TAKEN, false, 9);
    build_frame(&b, 0);
    restore_save(&f, &b)->bytes[4096 + 80 + 250] ^= 1; /* of the seal, behind the frame */
    expect(&f, 9);
    restore_is_gone(&f, restore_task(0, 1, 2));
    cr_assert_eq(slab_live(&f.runtime->shards[0]->deferrals), 0u);
    cr_assert_eq(slab_live(&f.runtime->shards[0]->timer_nodes), 0u);
    cr_assert_eq(f.restored.shards[0].floors.runs_count, 0u);
    cr_assert_eq(f.runtime->shards[0]->durable->links[0].taken[0], 0u);
    cr_assert(strstr(f.told, "warning") != NULL);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_read, without_a_journal_the_snapshot_is_all)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_snapshot(&b, 0, 1, 30, 0); /* as an import writes it */
    b.header.previous_crc = 0;         /* of the snapshot's own chain */
    put(&b, 1, ENTRY_IMAGE, 4);
    restore_save(&f, &b);
    expect(&f, 4);
    cr_assert_eq(f.restored.shards[0].position.lsn, 31u);
    cr_assert_eq(f.restored.shards[0].position.file, 1u);
    restore_close(&f);
    put_snapshot(&f, 2, 40, 6, 5); /* of a journal that had begun: file 6 was there */
    restore_refused(&f, 1, -EBADMSG, "file 6 and those behind it are missing");
    restore_fixture_fini(&f);
}

Test(restore_read, a_base_in_a_file_that_was_never_begun_is_the_end_of_the_one_before)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, true);
    put_snapshot(&f, 1, 9, 3, 9);
    /* Prepared, and nothing written yet. */
    memory_file_resize(
        memory_disk_create(&f.disk, RESTORE_DIRECTORY "/0001-0000-000000000003.journal"),
        RESTORE_FILE);
    expect(&f, 9);
    cr_assert_eq(f.restored.shards[0].position.lsn, 10u);
    cr_assert_eq(f.restored.shards[0].position.previous_crc, b.previous_crc);
    cr_assert_eq(f.restored.shards[0].position.file, 3u);
    build_end(&b);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_read, frames_that_belong_together_take_effect_together)
{
    struct restore_fixture f;
    struct store_build b;
    uint32_t crc;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put_frames(&b, 1, 2);
    crc = b.previous_crc;
    put(&b, 1, 0, 3);
    build_frame(&b, FRAME_MORE);
    put(&b, 2, ENTRY_CREATED, 3);
    build_frame(&b, FRAME_MORE);
    build_save(&b, &f.disk, RESTORE_DIRECTORY, RESTORE_FILE);
    expect(&f, 2); /* the last of them is missing */
    restore_is_gone(&f, restore_task(0, 1, 2));
    cr_assert_eq(f.restored.shards[0].position.lsn, 3u);
    cr_assert_eq(f.restored.shards[0].position.previous_crc, crc);
    restore_close(&f);
    put(&b, 1, 0, 5);
    build_frame(&b, 0);
    restore_save(&f, &b);
    expect(&f, 5);
    restore_is(&f, restore_task(0, 1, 2), S_IDLE, 3);
    cr_assert_eq(f.restored.shards[0].position.lsn, 6u);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_read, a_torn_end_is_left_out_and_corruption_is_refused)
{
    struct restore_fixture f;
    struct memory_file *file;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put_frames(&b, 1, 3);
    build_group(&b);
    put_frames(&b, 4, 4);
    file = build_save(&b, &f.disk, RESTORE_DIRECTORY, RESTORE_FILE);
    memset(file->bytes + b.last_offset, 0, 512); /* not written */
    expect(&f, 3);
    cr_assert_eq(f.restored.shards[0].position.lsn, 4u);
    restore_close(&f);
    file = build_save(&b, &f.disk, RESTORE_DIRECTORY, RESTORE_FILE);
    file->bytes[b.last_offset + 90] ^= 1; /* written, and changed since */
    restore_refused(&f, 1, -EBADMSG, "0001-0000-000000000001.journal");
    build_end(&b);
    restore_fixture_fini(&f);
}

Test(restore_read, a_read_that_fails_is_told_as_such)
{
    struct restore_fixture f;
    struct store_build b;
    unsigned reads;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, true);
    build_end(&b);
    f.disk.read_max = 65536;
    expect(&f, 9);
    restore_close(&f);
    reads = f.disk.reads;
    cr_assert(reads > 10);
    for (unsigned nth = 1; nth <= reads; nth++) {
        f.disk.reads = 0;
        f.disk.fail_read = nth;
        f.disk.fail_error = -EIO;
        restore_open(&f, 1, -EIO);
        restore_close(&f);
    }
    restore_fixture_fini(&f);
}

/* ---- what is missing ----------------------------------------------------------------------------- */

static void put_prepared(struct restore_fixture *f, uint64_t number)
{
    const struct store_file file = {.set = 1, .file = number, .kind = FILE_JOURNAL};
    char name[STORE_NAME_MAX], path[STORE_PATH_MAX];

    pawl__store_file_name(&file, name);
    cr_assert_eq(pawl__store_path(RESTORE_DIRECTORY, name, path), 0);
    memory_file_resize(memory_disk_create(&f->disk, path), RESTORE_FILE);
}

/* The first file was lost, and the second has a header and nothing else. */
Test(restore_read, a_gap_is_seen_though_no_frame_follows_it)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put_frames(&b, 1, 4);
    build_seal(&b);
    build_next(&b);
    build_save(&b, &f.disk, RESTORE_DIRECTORY, RESTORE_FILE);
    build_end(&b);
    restore_refused(&f, 1, -EBADMSG, "begins at LSN 6");
    restore_fixture_fini(&f);
}

Test(restore_read, files_prepared_behind_lost_ones_tell_of_them)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_prepared(&f, 2);
    put_prepared(&f, 3);
    restore_refused(&f, 1, -EBADMSG, "its next file is number 1, but the lowest of those prepared");
    put_journal(&f, &b, true); /* files 1 and 2 */
    build_end(&b);
    expect(&f, 9);
    restore_close(&f);
    memory_remove(&f.disk, RESTORE_DIRECTORY "/0001-0000-000000000003.journal");
    put_prepared(&f, 4);
    restore_refused(&f, 1, -EBADMSG, "its next file is number 3, but the lowest of those prepared");
    put_prepared(&f, 3);
    put_prepared(&f, 6); /* the higher ones are removed in any order */
    expect(&f, 9);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_read, a_shard_without_a_journal_is_refused_once_the_set_has_begun)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 2, NULL);
    put_journal(&f, &b, true);
    build_end(&b);
    restore_open(&f, 2, 0); /* the first opening died before it came to shard 1 */
    restore_is(&f, restore_task(0, 1, 1), S_IDLE, 9);
    restore_close(&f);
    f.manifest->begun = f.manifest->set + 1;
    restore_refused(&f, 2, -EBADMSG, "shard 1, journal | there is none");
    restore_refused(&f, 1, -EBADMSG, "shard 1, journal | there is none"); /* in a new shape too */
    put_prepared(&f, 3);
    restore_refused(&f, 2, -EBADMSG, "shard 1, journal | there is none");
    restore_fixture_fini(&f);
}

Test(restore_read, an_epoch_that_was_closed_in_order_has_a_file_of_each_shard)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, true);
    build_end(&b);
    f.manifest->begun = f.manifest->set + 1;
    f.manifest->epoch = 2;
    expect(&f, 9); /* the second opening died before it began a file */
    restore_close(&f);
    f.manifest->closed = true;
    restore_refused(&f, 1, -EBADMSG, "epoch 2 was closed in order");
    f.manifest->epoch = 1;
    expect(&f, 9);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_read, journals_of_a_later_set_say_that_the_manifest_is_an_older_copy)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    put_journal(&f, &b, true);
    build_end(&b);
    memory_disk_create(&f.disk, RESTORE_DIRECTORY "/0002-0000-000000000001.snapshot");
    expect(&f, 9); /* of a rewrite that died before the manifest */
    restore_close(&f);
    memory_disk_create(&f.disk, RESTORE_DIRECTORY "/0002-0000-000000000001.journal");
    restore_refused(&f, 1, -EBADMSG, "older copy");
    restore_fixture_fini(&f);
}
