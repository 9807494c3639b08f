/*
 * fuzz_manifest.c - any bytes at all as a manifest: as the whole file, and as its text, which checksums would
 * otherwise keep a fuzzer away from. What is accepted must say the same when it is written again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/manifest.h"
#include "store/manifest_text.h"
#include "support/store_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_limits(const struct manifest *manifest)
{
    CHECK(manifest->shards >= 1 && manifest->shards <= SHARDS_MAX);
    CHECK(manifest->machines_count <= MANIFEST_MACHINES_MAX);
    for (uint32_t i = 0; i < manifest->machines_count; i++) {
        const struct manifest_machine *const machine = &manifest->machines[i];

        CHECK(machine->context_size <= CONTEXT_MAX && machine->states_count <= STATES_MAX);
        CHECK(strlen(machine->name) > 0);
        for (uint32_t s = 0; s < machine->states_count; s++)
            CHECK(strlen(machine->states[s]) > 0);
    }
}

static void as_text(const char *text, size_t size)
{
    struct manifest *const manifest = pawl__manifest_create();
    uint64_t line;
    const char *wrong;
    char *again;
    size_t again_size;

    if (!manifest)
        abort();
    if (pawl__manifest_parse(manifest, text, size, &line, &wrong) == 0) {
        check_limits(manifest);
        CHECK(pawl__manifest_text(manifest, &again, &again_size) == 0);
        /* But for how many line ends follow the end. */
        while (size > 0 && text[size - 1] == '\n')
            size--;
        while (again_size > 0 && again[again_size - 1] == '\n')
            again_size--;
        CHECK(again_size == size && memcmp(again, text, size) == 0);
        free(again);
    } else {
        CHECK(strlen(wrong) > 0 && line >= 1);
    }
    pawl__manifest_destroy(manifest);
}

static void as_file(const uint8_t *data, size_t size)
{
    struct memory_disk disk;
    struct manifest *manifest;

    memory_disk_init(&disk);
    memory_file_set(memory_disk_create(&disk, "store/manifest"), data, size);
    if (pawl__manifest_read(&disk.storage, "store", NULL, NULL, &manifest) == 0) {
        check_limits(manifest);
        CHECK(pawl__manifest_write(&disk.storage, "store", manifest, 0) == 0);
        pawl__manifest_destroy(manifest);
    }
    CHECK(disk.open == 0);
    memory_disk_fini(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_file(data, size);
    as_text((const char *)data, size);
    return 0;
}
