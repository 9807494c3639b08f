/*
 * fuzz_snapshot.c - any bytes at all as a snapshot: the reader must neither crash nor break what it
 * promises of the frames it hands out, and only a seal is a good end.
 */
#include "support/store_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct store_file name = {1, 0, 1, FILE_SNAPSHOT, false};
    static struct memory_disk disk;
    struct reader_frame frame;
    struct reader reader;
    enum reader_result result;
    int rc;

    fuzz_make(&disk, FILE_SNAPSHOT, data, size);
    rc = pawl__reader_open(&reader, &disk.storage, "d", &name, BUILD_STORE);
    CHECK(rc == 0 || (rc == -EBADMSG && strlen(reader.what) > 0));
    if (rc == 0) {
        while ((result = pawl__reader_next(&reader, &frame)) == READER_FRAME)
            fuzz_check_frame(&reader, &frame);
        CHECK(result == READER_SEALED || result == READER_CORRUPT);
        fuzz_check_end(&reader, result);
        CHECK(pawl__reader_next(&reader, &frame) == result);
        pawl__reader_close(&reader);
    }
    CHECK(disk.open == 0);
    memory_disk_fini(&disk);
    return 0;
}
