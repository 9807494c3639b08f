/*
 * store_sample.c - for the tests of the tool: writes a small store of two shards, with journals, two
 * snapshots of the first and a key, into an empty directory.
 *
 *   store_sample DIR [contradiction | orphan]
 *
 * contradiction: the first snapshot has a task that no other way leads to. orphan: a task makes a step and was never
 * created. All checksums are right.
 *
 * Shard 0, file 1: LSN 1 creates task 1 with the key "alpha", a timer and a deferred event; LSN 2 is a step of it
 * that sends an event to shard 1; LSN 3 creates task 2; LSN 4 seals. File 2: LSN 5 and 6 belong together, a step of
 * task 1; LSN 7 ends task 2. The snapshots were begun after LSN 1 and after LSN 4; the images of the first are newer
 * than its base.
 * Shard 1, file 1, epoch 1: LSN 1 creates a task; LSN 2 was torn by a crash. File 2, epoch 2, goes on: LSN 2
 * handles shard 0's event.
 */
#include <pawl/machine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/manifest.h"
#include "store_build.h"
#include "task/slot.h"

#define MS UINT64_C(1000000)

static struct memory_disk disk;
static const char *wish = "";

static struct pawl_machine *compile(void)
{
    static const char *const events[] = {"coin", "push"};
    static const struct pawl_state_def states[] = {
        {.name = "locked", .timeout_ns = MS, .timeout = "push"}, {.name = "open"}};
    static const struct pawl_transition_def transitions[] = {
        {.from = "locked", .on = "coin", .to = "open"},
        {.from = "open", .on = "push", .to = "locked"},
        {.from = "locked", .on = "push"},
    };
    static const struct pawl_machine_def definition = {
        .name = "gate",
        PAWL_TABLE(events),
        PAWL_TABLE(states),
        PAWL_TABLE(transitions),
        .context_size = 8,
        .durability = PAWL_DURABILITY_SYNC,
    };
    struct pawl_machine *machine;

    build_require(pawl_machine_compile(&definition, NULL, NULL, &machine) == 0, "no machine");
    return machine;
}

static void begin(struct store_build *b, enum file_kind kind, uint32_t shard, uint64_t file)
{
    build_begin(b, kind, shard, file);
    b->time_ns = 10 * MS;
}

static struct pawl_event event_for(uint32_t shard, uint32_t slot, uint16_t code)
{
    return (struct pawl_event){.task = id_make(shard, 1, slot),
                               .code = code,
                               .flags = PAWL_EVENT_DURABLE,
                               .arg = {UINT64_MAX, 2}};
}

static void step(struct store_build *b, uint32_t slot, uint32_t version, uint16_t state,
                 unsigned flags, uint16_t code, uint64_t context)
{
    build_step(b, slot, 1, version, state, flags, &context,
               (flags & ENTRY_ENDED) != 0 ? 0 : sizeof(context))
        ->code = code;
}

/*
 * Task 1 as it is after LSN 2. wanted: the port that posted the deferred event waits for its
 * completion; a runtime that has recovered the task knows of none.
 */
static void image_of_first(struct store_build *b, bool wanted)
{
    const struct entry_timer timer = {20 * MS, 0};
    struct pawl_event late = event_for(0, 1, 1);

    late.flags = wanted ? PAWL_EVENT_COMPLETE : 0;
    build_key(b, 1, 1, "alpha", 5);
    step(b, 1, 4, 1, ENTRY_IMAGE | ENTRY_SINCE, 0, 11);
    build_timers(b, 1, 1, &timer, 1);
    build_defer(b, 1, 1, ENTRY_RESET, &late, NULL, 0);
}

static void journal_of_first(void)
{
    const struct entry_timer timer = {20 * MS, 0};
    const struct pawl_event sent = event_for(1, 3, 0);
    struct pawl_event late = event_for(0, 1, 1);
    struct store_build b;

    late.flags = PAWL_EVENT_COMPLETE;
    begin(&b, FILE_JOURNAL, 0, 1);
    build_floor(&b, 0, 1024, 1);
    build_key(&b, 1, 1, "alpha", 5);
    step(&b, 1, 2, 0, ENTRY_CREATED | ENTRY_EXTERNAL, PAWL_CODE_CREATE, 10);
    build_timers(&b, 1, 1, &timer, 1);
    build_defer(&b, 1, 1, ENTRY_RESET, &late, NULL, 0);
    build_frame(&b, 0);
    step(&b, 1, 4, 1, ENTRY_EXTERNAL, 0, 11);
    build_send(&b, 1, 1, &sent, NULL, 0);
    build_frame(&b, 0);
    step(&b, 2, 2, 0, ENTRY_CREATED | ENTRY_EXTERNAL, PAWL_CODE_CREATE, 20);
    build_frame(&b, 0);
    build_seal(&b);
    build_save(&b, &disk, "store", 1 << 16);
    build_next(&b);
    b.time_ns = 12 * MS;
    step(&b, 1, 6, 0, ENTRY_EXTERNAL, 1, 12);
    build_frame(&b, FRAME_MORE);
    build_timers(&b, 1, 1, NULL, 0);
    build_frame(&b, 0);
    build_group(&b);
    step(&b, 2, 4, 0, ENTRY_ENDED, PAWL_CODE_CANCEL, 0);
    if (strcmp(wish, "orphan") == 0)
        step(&b, 5, 4, 0, ENTRY_EXTERNAL, 0, 50);
    build_frame(&b, 0);
    build_save(&b, &disk, "store", 1 << 16);
    build_end(&b);
}

static void snapshots_of_first(void)
{
    const struct pawl_event sent = event_for(1, 3, 0);
    struct store_build b;

    for (unsigned i = 1; i <= 2; i++) {
        begin(&b, FILE_SNAPSHOT, 0, i);
        b.header.base_lsn = i == 1 ? 1 : 4;
        b.header.base_file = i;
        build_floor(&b, 0, 1024, 1);
        image_of_first(&b, i == 1);
        if (i == 1 && strcmp(wish, "contradiction") == 0)
            step(&b, 9, 2, 0, ENTRY_IMAGE | ENTRY_SINCE, 0, 90);
        if (i == 2)
            step(&b, 2, 2, 0, ENTRY_IMAGE | ENTRY_SINCE, 0, 20);
        build_send(&b, 0, 1, &sent, NULL, 0);
        build_frame(&b, 0);
        build_seal(&b);
        build_save(&b, &disk, "store", 0);
        build_end(&b);
    }
}

static void journal_of_second(void)
{
    struct store_build b;
    uint32_t crc;

    begin(&b, FILE_JOURNAL, 1, 1);
    build_floor(&b, 0, 1024, 1);
    step(&b, 3, 2, 0, ENTRY_CREATED | ENTRY_EXTERNAL, PAWL_CODE_CREATE, 30);
    build_frame(&b, 0);
    crc = b.previous_crc;
    build_group(&b);
    step(&b, 3, 4, 1, ENTRY_EXTERNAL, 0, 666);
    build_frame(&b, 0);
    b.bytes[b.last_offset + sizeof(struct frame_header)] ^= 1;
    build_save(&b, &disk, "store", 1 << 16);
    b.lsn = 2;
    b.previous_crc = crc;
    b.header.epoch = 2;
    build_next(&b);
    step(&b, 3, 4, 1, ENTRY_EXTERNAL, 0, 31);
    build_mark(&b, 0, MARK_TAKEN, false, 1);
    build_frame(&b, 0);
    build_save(&b, &disk, "store", 1 << 16);
    build_end(&b);
}

static void manifest_of_both(void)
{
    struct manifest *const manifest = pawl__manifest_create();
    struct pawl_machine *const machine = compile();

    build_require(manifest != NULL, "no memory");
    manifest->store = BUILD_STORE;
    manifest->epoch = 2;
    manifest->set = 1;
    manifest->shards = 2;
    build_require(pawl__manifest_add(manifest, machine) == 0, "no memory");
    build_require(pawl__manifest_write(&disk.storage, "store", manifest, 1) == 0, "no manifest");
    pawl__manifest_destroy(manifest);
    pawl_machine_destroy(machine);
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fputs("usage: store_sample DIR [contradiction | orphan]\n", stderr);
        return 2;
    }
    wish = argc == 3 ? argv[2] : "";
    memory_disk_init(&disk);
    journal_of_first();
    snapshots_of_first();
    journal_of_second();
    manifest_of_both();
    build_require(mkdir(argv[1], 0755) == 0, "cannot make the directory");
    for (unsigned i = 0; i < MEMORY_FILES; i++) {
        char path[4096];
        FILE *out;

        if (disk.files[i].path[0] == '\0')
            continue;
        snprintf(path, sizeof(path), "%s%s", argv[1], disk.files[i].path + strlen("store"));
        out = fopen(path, "wbx");
        build_require(out != NULL &&
                          fwrite(disk.files[i].bytes, 1, disk.files[i].size, out) ==
                              disk.files[i].size &&
                          fclose(out) == 0,
                      "cannot write a file");
    }
    memory_disk_fini(&disk);
    return 0;
}
