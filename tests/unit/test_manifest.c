/* test_manifest.c - the manifest's file, on a disk in memory whose every call can fail. */
#include <pawl/machine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/format.h"
#include "store/frame.h"
#include "store/manifest.h"
#include "support/test.h"

/* ---- a disk of a few files ----------------------------------------------------------------------- */

#define DISK_FILES 3
#define DISK_LOG   32

struct disk_file {
    char name[64]; /* "": none */
    uint8_t *bytes;
    size_t size;
};

struct disk {
    struct disk_file files[DISK_FILES];
    unsigned calls;
    unsigned fail_at; /* the call that fails, from 1; 0: none */
    int error;
    bool lies;          /* what is written reads back with a flipped bit */
    char log[DISK_LOG]; /* a letter for each call */
};

static struct disk disk;

static int called(char letter)
{
    if (disk.calls < DISK_LOG - 1)
        disk.log[disk.calls] = letter;
    disk.calls++;
    return disk.calls == disk.fail_at ? disk.error : 0;
}

static struct disk_file *disk_find(const char *path)
{
    for (int i = 0; i < DISK_FILES; i++)
        if (strcmp(disk.files[i].name, path) == 0)
            return &disk.files[i];
    return NULL;
}

static int disk_remove(void *user, const char *path)
{
    struct disk_file *const file = disk_find(path);
    const int error = called('x');

    (void)user;
    if (error)
        return error;
    if (!file)
        return -ENOENT;
    free(file->bytes);
    *file = (struct disk_file){0};
    return 0;
}

static int disk_rename(void *user, const char *from, const char *to)
{
    struct disk_file *const file = disk_find(from), *const old = disk_find(to);
    const int error = called('n');

    (void)user;
    if (error)
        return error;
    cr_assert(file != NULL);
    if (old) {
        free(old->bytes);
        *old = (struct disk_file){0};
    }
    snprintf(file->name, sizeof(file->name), "%s", to);
    return 0;
}

static int disk_sync_directory(void *user, const char *path)
{
    (void)user;
    cr_assert_str_eq(path, "store");
    return called('d');
}

static int disk_open(void *user, const char *path, unsigned flags, void **file)
{
    const int error = called((flags & PAWL_STORAGE_CREATE) != 0 ? 'c' : 'o');
    struct disk_file *known = disk_find(path);

    (void)user;
    if (error)
        return error;
    if ((flags & PAWL_STORAGE_CREATE) == 0) {
        *file = known;
        return known ? 0 : -ENOENT;
    }
    if (known)
        return -EEXIST;
    known = disk_find("");
    cr_assert(known != NULL);
    snprintf(known->name, sizeof(known->name), "%s", path);
    *file = known;
    return 0;
}

static int64_t disk_size(void *user, void *file)
{
    const int error = called('s');

    (void)user;
    return error ? error : (int64_t)((struct disk_file *)file)->size;
}

static int64_t disk_read(void *user, void *file, void *bytes, size_t size, uint64_t offset)
{
    const struct disk_file *const from = file;
    const int error = called('r');

    (void)user;
    if (error)
        return error;
    cr_assert(offset <= from->size);
    if (size > from->size - offset)
        size = from->size - (size_t)offset;
    memcpy(bytes, from->bytes + offset, size);
    if (disk.lies)
        ((uint8_t *)bytes)[size / 2] ^= 1;
    return (int64_t)size;
}

static int64_t disk_write(void *user, void *file, const void *bytes, size_t size, uint64_t offset)
{
    struct disk_file *const to = file;
    const int error = called('w');

    (void)user;
    if (error)
        return error;
    cr_assert_eq(size % PAWL_STORAGE_BLOCK, 0);
    cr_assert_eq((uintptr_t)bytes % PAWL_STORAGE_BLOCK, 0);
    cr_assert_eq(offset, 0);
    free(to->bytes);
    to->bytes = malloc(size);
    cr_assert(to->bytes != NULL);
    memcpy(to->bytes, bytes, size);
    to->size = size;
    return (int64_t)size;
}

static int disk_sync(void *user, void *file)
{
    (void)user, (void)file;
    return called('y');
}

static int disk_close(void *user, void *file)
{
    (void)user, (void)file;
    return called('z');
}

static const struct pawl_storage storage = {
    .rename = disk_rename,
    .remove = disk_remove,
    .sync_directory = disk_sync_directory,
    .open = disk_open,
    .size = disk_size,
    .read = disk_read,
    .write = disk_write,
    .sync = disk_sync,
    .close = disk_close,
};

static void disk_reset(void)
{
    for (int i = 0; i < DISK_FILES; i++)
        free(disk.files[i].bytes);
    disk = (struct disk){.error = -EIO};
}

static void disk_fail_at(unsigned call)
{
    disk.calls = 0;
    disk.fail_at = call;
    memset(disk.log, 0, sizeof(disk.log));
}

/* ---- manifests ----------------------------------------------------------------------------------- */

static const char *const events[] = {"coin", "push \"100 %\" \xc3\xa4"};
static const struct pawl_state_def states[] = {
    {.name = "locked", .timeout_ns = 1000, .timeout = "coin"},
    {.name = "wide open"},
};
static const struct pawl_transition_def transitions[] = {
    {.from = "locked", .on = "coin", .to = "wide open"},
    {.from = "wide open", .on = "push \"100 %\" \xc3\xa4", .to = "locked"},
};
static const struct pawl_timer_def timers[] = {{"bell", "coin"}};

static struct pawl_machine *compile(const char *name, size_t context_size)
{
    const struct pawl_machine_def definition = {
        .name = name,
        PAWL_TABLE(events),
        PAWL_TABLE(states),
        PAWL_TABLE(transitions),
        PAWL_TABLE(timers),
        .context_size = context_size,
    };
    struct pawl_machine *machine;

    cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &machine), 0);
    return machine;
}

static struct manifest *sample(void)
{
    struct manifest *const manifest = pawl__manifest_create();
    struct pawl_machine *const gate = compile("gate", 8), *const other = compile("gate", 4096);

    cr_assert(manifest != NULL);
    manifest->store = UINT64_MAX;
    manifest->key_seed = 1;
    manifest->epoch = UINT32_MAX;
    manifest->set = 65535;
    manifest->shards = 1024;
    manifest->closed = true;
    manifest->begun = 65536;
    cr_assert_eq(pawl__manifest_add(manifest, gate), 0);
    cr_assert_eq(pawl__manifest_add(manifest, other), 1);
    pawl_machine_destroy(gate);
    pawl_machine_destroy(other);
    return manifest;
}

static void count_findings(void *user, const struct pawl_diagnostic *diagnostic)
{
    cr_assert_eq(diagnostic->error, -EBADMSG);
    cr_assert_str_eq(diagnostic->where, "store/manifest");
    cr_assert(strlen(diagnostic->what) > 40);
    ++*(unsigned *)user;
}

/* Reads and says so; every -EBADMSG, and nothing else, comes with one finding. */
static int read_it(struct manifest **manifest)
{
    unsigned findings = 0;
    const int error = pawl__manifest_read(&storage, "store", count_findings, &findings, manifest);

    cr_assert_eq(findings, error == -EBADMSG);
    cr_assert_eq(*manifest != NULL, error == 0);
    return error;
}

static void write_sample(void)
{
    struct manifest *const manifest = sample();

    disk_reset();
    cr_assert_eq(pawl__manifest_write(&storage, "store", manifest, 7), 0);
    pawl__manifest_destroy(manifest);
}

Test(manifest, what_was_written_is_read_back)
{
    struct manifest *manifest;

    write_sample();
    cr_assert_eq(read_it(&manifest), 0);
    cr_assert_eq(manifest->store, UINT64_MAX);
    cr_assert_eq(manifest->key_seed, 1);
    cr_assert_eq(manifest->epoch, UINT32_MAX);
    cr_assert_eq(manifest->set, 65535);
    cr_assert_eq(manifest->shards, 1024);
    cr_assert(manifest->closed);
    cr_assert(manifest_is_begun(manifest));
    cr_assert_eq(manifest->machines_count, 2);
    cr_assert_str_eq(manifest->machines[1].name, "gate");
    cr_assert_eq(manifest->machines[0].context_size, 8);
    cr_assert_eq(manifest->machines[1].context_size, 4096);
    cr_assert(manifest->machines[0].hash != manifest->machines[1].hash);
    cr_assert_eq(manifest->machines[1].states_count, 2);
    cr_assert_str_eq(manifest->machines[1].states[1], "wide open");
    cr_assert_eq(manifest->machines[1].events_count, 2);
    cr_assert_str_eq(manifest->machines[1].events[1], events[1]);
    cr_assert_eq(manifest->machines[1].timers_count, 2);
    cr_assert_str_eq(manifest->machines[1].timers[0], "bell");
    cr_assert_str_eq(manifest->machines[1].timers[1], "locked", "a timeout has its state's name");
    pawl__manifest_destroy(manifest);
    disk_reset();
}

Test(manifest, machine_is_found_by_name_and_hash_and_added_once)
{
    struct manifest *const manifest = sample();
    struct pawl_machine *const gate = compile("gate", 8);
    const uint64_t hash = pawl_machine_hash(gate);

    cr_assert_eq(pawl__manifest_find(manifest, "gate", hash), 0);
    cr_assert_eq(pawl__manifest_find(manifest, "gate", 0), 1, "the last one of the name");
    cr_assert_eq(pawl__manifest_find(manifest, "gate", hash + 1), -ENOENT);
    cr_assert_eq(pawl__manifest_find(manifest, "door", 0), -ENOENT);
    cr_assert_eq(pawl__manifest_add(manifest, gate), 0, "it is there");
    cr_assert_eq(manifest->machines_count, 2);
    pawl_machine_destroy(gate);
    pawl__manifest_destroy(manifest);
}

Test(manifest, no_more_machines_than_an_entry_can_name)
{
    struct manifest *const manifest = pawl__manifest_create();
    struct pawl_machine *machine;
    char name[16];

    for (unsigned i = 0; i <= MANIFEST_MACHINES_MAX; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        machine = compile(name, 0);
        cr_assert_eq(pawl__manifest_add(manifest, machine),
                     i < MANIFEST_MACHINES_MAX ? (int)i : -ENOSPC);
        pawl_machine_destroy(machine);
    }
    pawl__manifest_forget_machines(manifest);
    machine = compile("another", 0);
    cr_assert_eq(pawl__manifest_find(manifest, "m0", 0), -ENOENT);
    cr_assert_eq(pawl__manifest_add(manifest, machine), 0, "there is room again");
    pawl_machine_destroy(machine);
    pawl__manifest_destroy(manifest);
}

Test(manifest, written_beside_synced_read_back_renamed_and_the_name_synced_in_this_order)
{
    write_sample();
    cr_assert_str_eq(disk.log, "xcwyzosrznd");
    disk_reset();
}

Test(manifest, after_any_failed_call_the_old_or_the_new_one_is_there_whole)
{
    struct manifest *const manifest = sample();
    struct manifest *read;
    unsigned call = 0, made;

    do {
        int error;

        write_sample();
        manifest->epoch = 5;
        disk_fail_at(++call);
        error = pawl__manifest_write(&storage, "store", manifest, 8);
        made = disk.calls;
        disk.fail_at = 0;
        /* Closing a file that was only read cannot lose anything. */
        cr_assert(error == (made < call ? 0 : -EIO) || disk.log[call - 1] == 'z',
                  "call %u failed and nobody was told", call);
        cr_assert_eq(read_it(&read), 0);
        cr_assert(read->epoch == 5 || (error && read->epoch == UINT32_MAX));
        cr_assert(read->epoch == 5 || made < call || disk.log[call - 1] == 'x' ||
                      disk_find("store/manifest.new") == NULL,
                  "something is left after call %u failed", call);
        pawl__manifest_destroy(read);
    } while (made >= call);
    cr_assert_eq(call, 12, "11 calls can fail");
    pawl__manifest_destroy(manifest);
    disk_reset();
}

Test(manifest, disk_that_gives_back_something_else_is_noticed_before_the_old_one_goes)
{
    struct manifest *const manifest = sample();
    struct manifest *read;

    write_sample();
    manifest->epoch = 5;
    disk.lies = true;
    cr_assert_eq(pawl__manifest_write(&storage, "store", manifest, 8), -EIO);
    disk.lies = false;
    cr_assert_eq(read_it(&read), 0);
    cr_assert_eq(read->epoch, UINT32_MAX);
    pawl__manifest_destroy(read);
    pawl__manifest_destroy(manifest);
    disk_reset();
}

Test(manifest, leftover_of_a_process_that_died_is_no_hindrance)
{
    struct manifest *const manifest = sample();
    void *file;

    write_sample();
    cr_assert_eq(disk_open(NULL, "store/manifest.new", PAWL_STORAGE_CREATE, &file), 0);
    cr_assert_eq(pawl__manifest_write(&storage, "store", manifest, 8), 0);
    cr_assert(disk_find("store/manifest.new") == NULL);
    pawl__manifest_destroy(manifest);
    disk_reset();
}

Test(manifest, missing_one_is_told_from_a_broken_one)
{
    struct manifest *manifest;

    disk_reset();
    cr_assert_eq(read_it(&manifest), -ENOENT);
    write_sample();
    disk_find("store/manifest")->size = 0;
    cr_assert_eq(read_it(&manifest), -EBADMSG);
    disk_reset();
}

Test(manifest, every_changed_byte_is_found)
{
    struct manifest *manifest;
    struct disk_file *file;

    write_sample();
    file = disk_find("store/manifest");
    for (size_t i = 0; i < file->size; i++) {
        const uint8_t bit = (uint8_t)(1u << i % 8);

        file->bytes[i] ^= bit;
        cr_assert_eq(read_it(&manifest), -EBADMSG, "byte %zu", i);
        file->bytes[i] ^= bit;
    }
    cr_assert_eq(read_it(&manifest), 0);
    pawl__manifest_destroy(manifest);
    disk_reset();
}

Test(manifest, other_lengths_are_refused)
{
    struct manifest *manifest;
    struct disk_file *file;
    size_t whole;

    write_sample();
    file = disk_find("store/manifest");
    whole = file->size;
    file->bytes = realloc(file->bytes, whole + STORE_BLOCK);
    memset(file->bytes + whole, 0, STORE_BLOCK);
    for (size_t size = 0; size <= whole + STORE_BLOCK; size += STORE_SECTOR) {
        file->size = size;
        if (size == whole)
            continue;
        cr_assert_eq(read_it(&manifest), -EBADMSG, "%zu bytes", size);
    }
    disk_reset();
}

/* Seals header and frame again after a change, as only a program could that means it. */
static void reseal(struct disk_file *file)
{
    struct frame_header frame;

    memcpy(&frame, file->bytes + STORE_BLOCK, sizeof(frame));
    pawl__frame_seal(&frame, file->bytes + STORE_BLOCK + sizeof(frame));
    memcpy(file->bytes + STORE_BLOCK, &frame, sizeof(frame));
    pawl__file_header_seal((struct file_header *)(void *)file->bytes);
}

Test(manifest, well_sealed_nonsense_is_refused_too)
{
    struct manifest *manifest;
    struct disk_file *file;
    char *text;

    write_sample();
    file = disk_find("store/manifest");
    text = (char *)file->bytes + STORE_BLOCK + sizeof(struct frame_header);
    reseal(file);
    cr_assert_eq(read_it(&manifest), 0, "to seal again changes nothing");
    pawl__manifest_destroy(manifest);

    text[0] = 'q';
    reseal(file);
    cr_assert_eq(read_it(&manifest), -EBADMSG);
    text[0] = 'p';
    text[5] = '2';
    reseal(file);
    cr_assert_eq(read_it(&manifest), -EBADMSG, "a text of the future");
    text[5] = '1';
    text[13] = 'e'; /* the store's id, which the header has as well */
    reseal(file);
    cr_assert_eq(read_it(&manifest), -EBADMSG);
    text[13] = 'f';
    ((struct file_header *)(void *)file->bytes)->kind = FILE_SNAPSHOT;
    reseal(file);
    cr_assert_eq(read_it(&manifest), -EBADMSG);
    disk_reset();
}

Test(manifest, longer_than_a_frame_it_is_several)
{
    struct manifest *const manifest = sample();
    struct manifest_machine *const machine = &manifest->machines[1];
    struct manifest *read;
    struct disk_file *file;
    char name[512];

    /* More states than one frame can name. */
    for (uint32_t i = 0; i < machine->states_count; i++)
        free(machine->states[i]);
    free(machine->states);
    machine->states_count = 2000;
    machine->states = calloc(machine->states_count, sizeof(*machine->states));
    memset(name, 's', sizeof(name));
    for (uint32_t i = 0; i < machine->states_count; i++) {
        snprintf(name + 400, sizeof(name) - 400, "%u", i);
        machine->states[i] = strdup(name);
    }
    disk_reset();
    cr_assert_eq(pawl__manifest_write(&storage, "store", manifest, 7), 0);
    file = disk_find("store/manifest");
    cr_assert(file->size > 3 * FRAME_PAYLOAD_MAX);
    cr_assert_eq(read_it(&read), 0);
    cr_assert_eq(read->machines[1].states_count, 2000);
    cr_assert_str_eq(read->machines[1].states[1999], machine->states[1999]);
    pawl__manifest_destroy(read);
    pawl__manifest_destroy(manifest);

    for (size_t i = STORE_BLOCK; i < file->size; i += 997) {
        file->bytes[i] ^= 0x10;
        cr_assert_eq(read_it(&read), -EBADMSG, "byte %zu", i);
        file->bytes[i] ^= 0x10;
    }
    disk_reset();
}
