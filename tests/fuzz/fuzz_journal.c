/*
 * fuzz_journal.c - any bytes at all as a journal of one to four files: the reader must neither
 * crash nor break what it promises of the frames it hands out, and all of them have their LSNs in
 * order.
 */
#include "support/store_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A seal has an LSN too and is not handed out. A later epoch may have taken a chain back. */
static void check_order(const struct reader_frame *frame, uint64_t *lsn)
{
    CHECK(*lsn == 0 || frame->header.lsn == *lsn || frame->header.lsn == *lsn + 1);
    *lsn = frame->header.lsn + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memory_disk disk;
    struct store_file files[4];
    struct journal_reader journal;
    struct reader_frame frame;
    enum reader_result result;
    const unsigned count = fuzz_make(&disk, FILE_JOURNAL, data, size);
    uint64_t lsn = 0;
    int rc;

    for (unsigned i = 0; i < count; i++)
        files[i] = (struct store_file){1, 0, i + 1, FILE_JOURNAL, false};
    rc = pawl__journal_reader_open(&journal, &disk.storage, "d", files, count, BUILD_STORE);
    CHECK(rc == 0 || (rc == -EBADMSG && strlen(journal.what) > 0));
    if (rc == 0) {
        while ((result = pawl__journal_reader_next(&journal, &frame)) == READER_FRAME) {
            fuzz_check_frame(&journal.reader, &frame);
            check_order(&frame, &lsn);
        }
        if (result == READER_CORRUPT)
            CHECK(strlen(journal.what) > 0);
        else if (journal.files_count > 0)
            fuzz_check_end(&journal.reader, result);
        CHECK(pawl__journal_reader_next(&journal, &frame) == result);
        pawl__journal_reader_close(&journal);
    }
    CHECK(disk.open == 0);
    memory_disk_fini(&disk);
    return 0;
}
