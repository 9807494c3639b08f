/*
 * fuzz_import.c - any bytes at all as the lines that `pawl import` reads: what is accepted, printed and read
 * again must be the same state, and so must what is written as a store and loaded.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store_image.h"
#include "support/store_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The state's hash in *hash; false: it was refused. */
static bool import_bytes(const char *bytes, size_t size, struct store_image *image)
{
    FILE *const in = fmemopen((void *)(uintptr_t)bytes, size, "r");
    char wrong[512] = "";
    int error;

    if (!in)
        abort();
    memset(image, 0, sizeof(*image));
    error = store_import(image, in, wrong, sizeof(wrong));
    CHECK((error == 0) == (wrong[0] == '\0'));
    fclose(in);
    return error == 0;
}

static void check_again(const struct store_image *image)
{
    struct store_image again;
    char *lines = NULL;
    size_t size = 0;
    FILE *const out = open_memstream(&lines, &size);

    if (!out)
        abort();
    CHECK(store_export(image, out) == 0);
    fclose(out);
    CHECK(import_bytes(lines, size, &again));
    CHECK(store_hash(&again) == store_hash(image));
    store_close(&again);
    free(lines);
}

/* A directory of few shards, as the disk in memory has room for. */
static void check_store(struct store_image *image)
{
    struct memory_disk disk;

    if (image->manifest->shards > MEMORY_FILES / 2)
        return;
    memory_disk_init(&disk);
    CHECK(store_write(image, &disk.storage, "store") == 0); /* it reads back and compares */
    memory_disk_fini(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_image image;

    if (size == 0)
        return 0;
    if (import_bytes((const char *)data, size, &image)) {
        check_again(&image);
        check_store(&image);
    }
    store_close(&image);
    return 0;
}
