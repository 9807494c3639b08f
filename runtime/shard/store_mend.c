/*
 * store_mend.c - before a journal is gone on with: its end is written once more.
 *
 * Layer: shard. After a write that failed, a system's memory may show bytes that the disk does not
 * have, and no sync writes them any more (the pages count as clean). Recovery has believed what it
 * read; so what may never have reached the disk, the last JOURNAL_INFLIGHT_MAX bytes of each
 * shard's last file, is written again, the same bytes in the same place, durably. Where files are
 * written past the system's memory (O_DIRECT) this changes nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shard/store_open.h"
#include "store/frame.h"

#define PIECE_BYTES (256u << 10)

struct mending {
    const struct pawl_storage *storage;
    void *from; /* the file, for reading */
    void *to;   /* and for durable writing */
    uint8_t *piece;
    uint8_t *again; /* a second look */
};

static int read_piece(const struct mending *mending, uint64_t offset, size_t size)
{
    const int64_t got =
        mending->storage->read(mending->storage->user, mending->from, mending->piece, size, offset);

    if (got < 0)
        return (int)got;
    return (size_t)got == size ? 0 : -EIO;
}

/* What is written back is read twice: a fault of one reading must not become the truth. */
static int read_surely(const struct mending *mending, uint64_t offset, size_t size)
{
    const int error = read_piece(mending, offset, size);
    int64_t got;

    if (error != 0)
        return error;
    got =
        mending->storage->read(mending->storage->user, mending->from, mending->again, size, offset);
    if (got < 0)
        return (int)got;
    return (size_t)got == size && memcmp(mending->piece, mending->again, size) == 0 ? 0 : -EIO;
}

/* Where what was written ends, in whole blocks: behind the last that is not all zeroes. */
static int find_end(const struct mending *mending, uint64_t *end)
{
    while (*end > 0) {
        const size_t size = *end % PIECE_BYTES != 0 ? *end % PIECE_BYTES : PIECE_BYTES;
        const int error = read_piece(mending, *end - size, size);

        if (error != 0)
            return error;
        for (size_t block = size; block > 0; block -= STORE_BLOCK)
            if (!pawl__is_zero(mending->piece + block - STORE_BLOCK, STORE_BLOCK)) {
                *end = *end - size + block;
                return 0;
            }
        *end -= size;
    }
    return 0;
}

static int rewrite_end(const struct mending *mending, uint64_t end)
{
    uint64_t at =
        end > JOURNAL_INFLIGHT_MAX + PIECE_BYTES ? end - JOURNAL_INFLIGHT_MAX - PIECE_BYTES : 0;

    while (at < end) {
        const size_t size = end - at < PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES;
        int64_t put;
        int error = read_surely(mending, at, size);

        if (error != 0)
            return error;
        put =
            mending->storage->write(mending->storage->user, mending->to, mending->piece, size, at);
        if (put != (int64_t)size)
            return put < 0 ? (int)put : -EIO;
        at += size;
    }
    return 0;
}

static int mend_file(struct mending *mending, const char *path)
{
    const struct pawl_storage *storage = mending->storage;
    int64_t size;
    uint64_t end;
    int error = storage->open(storage->user, path, PAWL_STORAGE_READ, &mending->from);

    if (error != 0)
        return error;
    size = storage->size(storage->user, mending->from);
    error = size < 0 ? (int)size : 0;
    if (error == 0)
        error = storage->open(storage->user, path, PAWL_STORAGE_DURABLE, &mending->to);
    if (error == 0) {
        end = (uint64_t)size / STORE_BLOCK * STORE_BLOCK;
        error = find_end(mending, &end);
        if (error == 0)
            error = rewrite_end(mending, end);
        storage->close(storage->user, mending->to);
    }
    storage->close(storage->user, mending->from);
    return error;
}

int pawl__store_mend(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    struct mending mending = {.storage = store->storage};
    int error = 0;

    if (store->manifest == NULL || store->manifest->closed)
        return 0;
    mending.piece = aligned_alloc(STORE_BLOCK, 2 * PIECE_BYTES);
    if (mending.piece == NULL)
        return -ENOMEM;
    mending.again = mending.piece + PIECE_BYTES;
    for (uint32_t shard = 0; shard < runtime->shard_count && error == 0; shard++) {
        const struct store_file last = {.set = store->manifest->set,
                                        .shard = shard,
                                        .file = store->durables[shard].position.file - 1,
                                        .kind = FILE_JOURNAL};
        char name[STORE_NAME_MAX], path[STORE_PATH_MAX];

        pawl__store_file_name(&last, name);
        error = pawl__store_path(store->directory, name, path);
        if (error == 0 && last.file > 0)
            error = mend_file(&mending, path);
        if (error == -ENOENT) /* a snapshot without a journal behind it */
            error = 0;
    }
    free(mending.piece);
    return error == 0 ? 0 : pawl__store_complain(store, error, "writing the journal's end again");
}
