/*
 * store_fuzz.h - for fuzz targets: makes files of a store out of any bytes, and reads them.
 *
 * A checksum would stop nearly every mutation at the door, so headers are mended first, if the
 * input says so. Its first byte:
 *   0x01  the bytes are a whole file, header included, taken as they are
 *   0x02  (not with 0x01) the header says the file's length
 *   0x0c  (journals, not with 0x01) the bytes are cut into one to four files, which continue each
 *   other 0x10  each of them is of a new epoch
 *   0x20  reads give few bytes at a time
 * The rest is what lies behind the header: frames, whose version says what of them is not mended: 1
 * lsn, 2 previous_crc, 4 payload_crc, 8 header_crc, 16 size, 32 what says where it belongs.
 */
#ifndef PAWL_TESTS_SUPPORT_STORE_FUZZ_H
#define PAWL_TESTS_SUPPORT_STORE_FUZZ_H

#include "base/bits.h"
#include "base/check.h"
#include "store/reader.h"
#include "support/store_build.h"

#define FUZZ_RAW    0x01u
#define FUZZ_BLOCKS 0x02u
#define FUZZ_FILES  0x0cu
#define FUZZ_EPOCHS 0x10u
#define FUZZ_SLOWLY 0x20u

static inline unsigned fuzz_files(enum file_kind kind, unsigned options)
{
    return kind == FILE_JOURNAL ? 1 + ((options & FUZZ_FILES) >> 2) : 1;
}

/* What the next frame must continue. */
struct fuzz_chain {
    uint64_t lsn;
    uint32_t crc;
};

/* Mends the header at offset; returns how far the frame goes, 0: there is none. */
static inline size_t fuzz_mend(const struct file_header *file, struct fuzz_chain *chain,
                               uint8_t *bytes, size_t size, size_t offset)
{
    struct frame_header header;
    unsigned keep;

    if (size - offset < sizeof(header))
        return 0;
    memcpy(&header, bytes + offset, sizeof(header));
    if (header.magic != FRAME_MAGIC)
        return 0;
    keep = header.version;
    header.version = FORMAT_VERSION;
    if ((keep & 32) == 0)
        pawl__frame_fill(&header, file, offset);
    if ((keep & 16) == 0)
        header.size = (uint32_t)(header.size % (size - offset - sizeof(header) + 8) / 8 * 8);
    if ((keep & 1) == 0) {
        header.lsn = chain->lsn;
        header.durable_lsn %= chain->lsn;
    }
    if ((keep & 2) == 0)
        header.previous_crc = chain->crc;
    if (header.size <= size - offset - sizeof(header)) {
        const struct frame_header before = header;

        header.place = (uint32_t)(offset / 8);
        pawl__frame_seal(&header, bytes + offset + sizeof(header));
        if ((keep & 4) != 0 || (keep & 32) != 0) {
            header.payload_crc = (keep & 4) != 0 ? before.payload_crc : header.payload_crc;
            header.place = before.place;
        }
        if ((keep & 8) != 0)
            header.header_crc = before.header_crc;
    }
    memcpy(bytes + offset, &header, sizeof(header));
    chain->lsn = header.lsn + 1 != 0 ? header.lsn + 1 : 1;
    chain->crc = header.header_crc;
    return header.size <= size - offset - sizeof(header) ? (size_t)frame_bytes(&header) : 0;
}

/* One file out of these bytes. */
static inline void fuzz_make_file(struct memory_disk *disk, struct file_header *header,
                                  struct fuzz_chain *chain, const uint8_t *data, size_t size)
{
    const struct store_file name = {header->set, header->shard, header->file, header->kind, false};
    char words[STORE_NAME_MAX];
    char path[STORE_PATH_MAX];
    struct memory_file *file;
    size_t offset = STORE_BLOCK;

    pawl__store_file_name(&name, words);
    build_require(pawl__store_path("d", words, path) == 0, "a path is too long");
    file = memory_disk_create(disk, path);
    memory_file_resize(file, STORE_BLOCK + size);
    if (size > 0)
        memcpy(file->bytes + STORE_BLOCK, data, size);
    header->first_lsn = chain->lsn;
    header->previous_crc = chain->crc;
    pawl__file_header_seal(header);
    memcpy(file->bytes, header, sizeof(*header));
    while (offset < file->size) {
        const size_t bytes = fuzz_mend(header, chain, file->bytes, file->size, offset);

        offset = bytes != 0 ? offset + bytes : (offset / STORE_BLOCK + 1) * STORE_BLOCK;
    }
}

/* Files 1 ... of shard 0; how many. */
static inline unsigned fuzz_make(struct memory_disk *disk, enum file_kind kind, const uint8_t *data,
                                 size_t size)
{
    const unsigned options = size > 0 ? data[0] : 0;
    struct file_header header = {
        .kind = (uint16_t)kind, .store = BUILD_STORE, .set = 1, .epoch = 1, .file = 1};
    struct fuzz_chain chain = {1, 0};
    unsigned files = fuzz_files(kind, options);

    memory_disk_init(disk);
    if (size > 0) {
        data++;
        size--;
    }
    if ((options & FUZZ_RAW) != 0) {
        const char *const path = kind == FILE_JOURNAL ? "d/0001-0000-000000000001.journal"
                                                      : "d/0001-0000-000000000001.snapshot";

        memory_file_set(memory_disk_create(disk, path), data, size);
        return 1;
    }
    for (unsigned i = 0; i < files; i++) {
        const size_t part = size / files;

        header.blocks =
            (options & FUZZ_BLOCKS) != 0 ? (uint32_t)((STORE_BLOCK + part) / STORE_BLOCK) : 0;
        fuzz_make_file(disk, &header, &chain, data + i * part, part);
        header.file++;
        header.epoch += (options & FUZZ_EPOCHS) != 0;
    }
    if ((options & FUZZ_SLOWLY) != 0)
        disk->read_max = 100;
    return files;
}

/* What a frame that was handed out promises. */
static inline void fuzz_check_frame(const struct reader *reader, const struct reader_frame *frame)
{
    const struct entry_header *entry = NULL;
    size_t offset;

    CHECK(frame->offset >= STORE_BLOCK && frame->offset % 8 == 0);
    CHECK(frame->offset + frame_bytes(&frame->header) <= reader->size);
    CHECK((uintptr_t)frame->payload % 8 == 0);
    CHECK(frame->header.type == FRAME_STEPS && frame->header.lsn + 1 == reader->lsn);
    CHECK(pawl__frame_check_payload(&frame->header, frame->payload) == NULL);
    CHECK(pawl__entry_check(frame->payload, frame->header.size, &offset) == NULL);
    while ((entry = entry_next(frame->payload, frame->header.size, entry)) != NULL)
        CHECK(entry->words > 0);
}

static inline void fuzz_check_end(const struct reader *reader, enum reader_result result)
{
    switch (result) {
    case READER_SEALED:
        CHECK(reader->offset <= reader->size);
        break;
    case READER_END:
        CHECK(reader->header.kind == FILE_JOURNAL);
        break;
    case READER_TORN:
        CHECK(reader->header.kind == FILE_JOURNAL && strlen(reader->what) > 0);
        CHECK(reader->where < reader->end && reader->end <= align_up(reader->size, 8));
        break;
    case READER_CORRUPT:
        CHECK(strlen(reader->what) > 0);
        break;
    case READER_FRAME:
    case READER_FAILED: /* this storage does not fail */
        CHECK(false);
    }
}

#endif /* PAWL_TESTS_SUPPORT_STORE_FUZZ_H */
