/*
 * store_read.h - for tests: reads a file that was made with store_build.h, perhaps damaged since,
 * and compares every frame handed out with what was built.
 */
#ifndef PAWL_TESTS_SUPPORT_STORE_READ_H
#define PAWL_TESTS_SUPPORT_STORE_READ_H

#include "store/reader.h"
#include "support/store_build.h"

struct store_read {
    enum reader_result result; /* READER_CORRUPT if it could not be opened; error says why */
    int error;
    uint64_t lsn; /* of the next frame */
    uint32_t previous_crc;
    uint64_t where;
    uint64_t end;
    bool is_wrong; /* a frame was handed out that was not built so, or out of order */
    char what[192];
};

static inline struct store_read store_read_file(const struct pawl_storage *storage,
                                                const char *directory,
                                                const struct store_file *name,
                                                const struct store_build *built)
{
    struct store_read read = {.result = READER_CORRUPT};
    struct reader_frame frame;
    struct reader reader;
    uint64_t offset = sizeof(struct file_header);

    read.error = pawl__reader_open(&reader, storage, directory, name, 0);
    if (read.error == 0) {
        read.lsn = reader.lsn;
        while ((read.result = pawl__reader_next(&reader, &frame)) == READER_FRAME) {
            read.is_wrong |=
                frame.header.lsn != read.lsn || frame.offset < offset ||
                frame.offset + frame_bytes(&frame.header) > built->size ||
                memcmp(&frame.header, built->bytes + frame.offset, sizeof(frame.header)) != 0 ||
                memcmp(frame.payload, built->bytes + frame.offset + sizeof(frame.header),
                       frame.header.size) != 0;
            offset = frame.offset + frame_bytes(&frame.header);
            read.lsn++;
        }
        read.lsn = reader.lsn;
        read.previous_crc = reader.previous_crc;
        read.where = reader.where;
        read.end = reader.end;
        read.error = reader.error;
        pawl__reader_close(&reader);
    }
    memcpy(read.what, reader.what, sizeof(read.what));
    return read;
}

/* What build_save has saved. */
static inline struct store_read store_read_saved(const struct store_build *built,
                                                 const struct memory_disk *disk,
                                                 const char *directory)
{
    const struct store_file name = build_name(built);

    return store_read_file(&disk->storage, directory, &name, built);
}

/* Where the frame of this LSN was built, or where building stopped. */
static inline uint64_t store_read_next_offset(const struct store_build *built, uint64_t lsn)
{
    uint64_t offset = sizeof(struct file_header);

    while (offset + sizeof(struct frame_header) <= built->size) {
        struct frame_header header;

        memcpy(&header, built->bytes + offset, sizeof(header));
        if (header.magic != FRAME_MAGIC) {
            offset = (offset / STORE_BLOCK + 1) * STORE_BLOCK;
            continue;
        }
        if (header.lsn == lsn)
            return offset;
        offset += frame_bytes(&header);
    }
    return built->size;
}

#endif /* PAWL_TESTS_SUPPORT_STORE_READ_H */
