/*
 * reader.c - one file of a journal or snapshot, and the line between a torn tail and corruption.
 *
 * Finding the next frame is nearly always a look at the bytes behind the last one. What is not a
 * valid frame is judged by what the disk can have done: a sector is written whole or not at all,
 * and journals are zero-filled before use, so an unwritten part shows as zero sectors and nothing
 * else. The judgement (enum finding: was this perhaps never written?) is made where the bad bytes
 * are found; the look at everything behind them is made once, in judge().
 */
#include "store/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/planted.h"
#include "store/entry.h"
#include "store/frame.h"

/* What one read asks for at most, and keeps in the second-level cache. */
#define READ_BYTES (UINT64_C(1) << 20)
_Static_assert(READ_BYTES >= 2 * (FRAME_PAYLOAD_MAX + sizeof(struct frame_header) + STORE_BLOCK),
               "a frame fits, and a read is worth its call");

/* ---- bytes ----------------------------------------------------------------------------------- */

static enum reader_result fail(struct reader *r, int error, const char *what)
{
    r->error = error;
    r->where = r->offset;
    snprintf(r->what, sizeof(r->what), "%s", what);
    return READER_FAILED;
}

/* Fills the buffer from the block of `offset` on; what it has of that is moved to the front. */
static bool refill(struct reader *r, uint64_t offset)
{
    const uint64_t from = offset & ~(uint64_t)(STORE_BLOCK - 1);
    const uint64_t end = r->buffer_offset + r->buffer_bytes;
    size_t have = 0;

    if (from >= r->buffer_offset && from < end) {
        have = (size_t)(end - from);
        memmove(r->buffer, r->buffer + (from - r->buffer_offset), have);
    }
    r->buffer_offset = from;
    while (have < r->buffer_capacity && from + have < r->size) {
        const uint64_t rest = r->size - from - have;
        const size_t room = r->buffer_capacity - have;
        const int64_t got = r->storage->read(r->storage->user, r->file, r->buffer + have,
                                             rest < room ? (size_t)rest : room, from + have);

        if (got <= 0) {
            r->buffer_bytes = have;
            fail(r, got < 0 ? (int)got : -EIO,
                 got < 0 ? "the storage could not read it" : "it became shorter while it was read");
            return false;
        }
        have += (size_t)got;
    }
    r->buffer_bytes = have;
    return true;
}

/* The file's bytes at offset, `size` of them, all inside the file and the buffer's capacity. */
static const uint8_t *bytes_at(struct reader *r, uint64_t offset, size_t size)
{
    if (offset < r->buffer_offset || offset + size > r->buffer_offset + r->buffer_bytes) {
        if (!refill(r, offset))
            return NULL;
        CHECK(offset + size <= r->buffer_offset + r->buffer_bytes);
    }
    return r->buffer + (offset - r->buffer_offset);
}

/*
 * Whether all is zero from offset to the end of its sector, or of the file; -1: the storage failed.
 */
static int rest_of_sector_is_zero(struct reader *r, uint64_t offset)
{
    const uint64_t end = align_up(offset + 1, STORE_SECTOR);
    const size_t size = (size_t)((end < r->size ? end : r->size) - offset);
    const uint8_t *const bytes = bytes_at(r, offset, size);

    return bytes == NULL ? -1 : pawl__is_zero(bytes, size);
}

/* ---- open and close -------------------------------------------------------------------------- */

static int open_file(struct reader *r, const char *directory, const struct store_file *name)
{
    char words[STORE_NAME_MAX];
    char path[STORE_PATH_MAX];
    int64_t size;
    int rc;

    pawl__store_file_name(name, words);
    rc = pawl__store_path(directory, words, path);
    if (rc == 0)
        rc = r->storage->open(r->storage->user, path, PAWL_STORAGE_READ, &r->file);
    if (rc != 0) {
        r->file = NULL;
        fail(r, rc, "the storage could not open it");
        return rc;
    }
    size = r->storage->size(r->storage->user, r->file);
    if (size < 0) {
        fail(r, (int)size, "the storage could not say its size");
        return (int)size;
    }
    r->size = (uint64_t)size;
    return 0;
}

static int read_header(struct reader *r, const struct store_file *name, uint64_t store)
{
    const char *wrong = NULL;
    const uint8_t *bytes;

    if (r->size < sizeof(r->header))
        wrong = "it is shorter than its header";
    else if (r->size > FILE_BYTES_MAX)
        wrong = "it is longer than a file of a store can be";
    if (wrong == NULL) {
        r->buffer_capacity =
            (size_t)(r->size < READ_BYTES ? align_up(r->size, STORE_BLOCK) : READ_BYTES);
        r->buffer = malloc(r->buffer_capacity);
        if (r->buffer == NULL)
            return -ENOMEM;
        bytes = bytes_at(r, 0, sizeof(r->header));
        if (bytes == NULL)
            return r->error;
        memcpy(&r->header, bytes, sizeof(r->header));
        wrong = pawl__file_header_check(&r->header, name, store);
    }
    if (wrong != NULL) {
        snprintf(r->what, sizeof(r->what), "%s", wrong);
        return -EBADMSG;
    }
    return 0;
}

int pawl__reader_open(struct reader *reader, const struct pawl_storage *storage,
                      const char *directory, const struct store_file *name, uint64_t store)
{
    int rc;

    memset(reader, 0, sizeof(*reader));
    reader->storage = storage;
    rc = open_file(reader, directory, name);
    if (rc == 0)
        rc = read_header(reader, name, store);
    if (rc != 0) {
        pawl__reader_close(reader);
        return rc;
    }
    reader->offset = sizeof(reader->header);
    reader->lsn = reader->header.first_lsn;
    reader->previous_crc = reader->header.previous_crc;
    reader->result = READER_FRAME;
    return 0;
}

void pawl__reader_close(struct reader *reader)
{
    if (reader->file != NULL)
        reader->storage->close(reader->storage->user, reader->file);
    free(reader->buffer);
    reader->file = NULL;
    reader->buffer = NULL;
}

/* ---- what follows the last valid frame ------------------------------------------------------- */

/* What is known of bytes that should have been a frame and are none. */
enum finding {
    WRITTEN,   /* they are there and wrong */
    UNWRITTEN, /* a sector of them may never have reached the disk */
};

static enum reader_result corrupt(struct reader *r, uint64_t where, const char *wrong)
{
    r->where = where;
    snprintf(r->what, sizeof(r->what), "LSN %llu: %s", (unsigned long long)r->lsn, wrong);
    if (planted(PLANTED_CORRUPT_AS_TORN))
        return READER_TORN;
    return READER_CORRUPT;
}

/* What the look at everything behind the last valid frame found. */
struct behind {
    uint64_t durable_lsn; /* the highest that a whole frame header says; 0: none */
    uint64_t end;         /* behind the last byte that is not zero; 0: all are zero */
};

/* Notes the frame whose header may begin at this word, which has the magic. */
static void note_frame(const struct reader *r, const uint8_t *bytes, uint64_t offset,
                       struct behind *behind)
{
    struct frame_header header;

    memcpy(&header, bytes, sizeof(header));
    if (pawl__frame_check(&header, &r->header, offset) == NULL &&
        header.durable_lsn > behind->durable_lsn)
        behind->durable_lsn = header.durable_lsn;
}

/*
 * Every 8 bytes, not only where groups begin: the first frames of a group may be missing. A whole
 * header is enough, its contents need not be: what it says of other frames was true when it was
 * written.
 */
static bool look_behind(struct reader *r, uint64_t from, struct behind *behind)
{
    const uint32_t magic = FRAME_MAGIC;

    *behind = (struct behind){0, 0};
    while (from < r->size) {
        const uint64_t rest = r->size - from;
        const uint64_t piece = r->buffer_capacity - STORE_BLOCK;
        const size_t size = (size_t)(rest < piece ? rest : piece);
        const uint8_t *const bytes = bytes_at(r, from, size);
        size_t i;

        if (bytes == NULL)
            return false;
        for (i = 0; i + 8 <= size; i += 8) {
            uint64_t word;

            memcpy(&word, bytes + i, sizeof(word));
            if (likely(word == 0))
                continue;
            behind->end = from + i + 8;
            if ((uint32_t)word == magic && size - i < sizeof(struct frame_header) && rest > size)
                break; /* it goes on in the next piece */
            if ((uint32_t)word == magic && size - i >= sizeof(struct frame_header))
                note_frame(r, bytes + i, from + i, behind);
        }
        if (size - i < 8 && !pawl__is_zero(bytes + i, size - i))
            behind->end = from + size; /* the odd bytes of a file that was cut */
        from += i + 8 <= size ? i : size;
    }
    return true;
}

/* wrong: about the bytes at `where`. */
static enum reader_result judge(struct reader *r, uint64_t where, enum finding finding,
                                const char *wrong)
{
    struct behind behind;

    if (r->header.kind != FILE_JOURNAL || finding != UNWRITTEN)
        return corrupt(r, where, wrong);
    if (!look_behind(r, r->offset, &behind))
        return READER_FAILED;
    if (r->size < (uint64_t)r->header.blocks * STORE_BLOCK)
        return corrupt(r, r->size, "the file has been cut, what was behind is unknown");
    if (behind.durable_lsn >= r->lsn)
        return corrupt(r, where, "the frame is missing, but others say that it was durable");
    if (behind.end > align_up(r->offset, STORE_BLOCK) + JOURNAL_INFLIGHT_MAX)
        return corrupt(r, where,
                       "the frame is missing, but something lies farther behind than "
                       "writes can have been under way");
    r->where = r->offset;
    if (behind.end == 0)
        return READER_END;
    r->end = behind.end;
    snprintf(r->what, sizeof(r->what), "LSN %llu was not completely written",
             (unsigned long long)r->lsn);
    return READER_TORN;
}

/* ---- the next frame -------------------------------------------------------------------------- */

/* Whether a damaged header could be the cause of these bytes: whole fields of it are right. */
static bool resembles_frame(const struct reader *r, const struct frame_header *header)
{
    return header->magic == FRAME_MAGIC || header->store == r->header.store;
}

/* Where the next frame begins, or should. */
struct place {
    uint64_t at;
    /*
     * The place before it, behind the last valid frame, is a zero sector: a frame may have begun
     * there whose first sector was not written.
     */
    bool is_doubtful;
};

/*
 * Behind the last frame, or at the next block, which begins a group. Zeroes to the end of a sector
 * in which the last frame has left something else say that the group ended: that sector was
 * written. A sector that is zero from its beginning says nothing: what the next block shows
 * decides. False: the storage failed.
 */
static bool locate(struct reader *r, struct place *place)
{
    const uint64_t here = r->offset;
    const uint64_t next = align_up(here, STORE_BLOCK);
    struct frame_header header;
    const uint8_t *bytes;
    int zero;

    *place = (struct place){here, false};
    if (here == next || here >= r->size)
        return true;
    zero = rest_of_sector_is_zero(r, here);
    if (zero <= 0)
        return zero == 0;
    place->at = next;
    zero = rest_of_sector_is_zero(r, here & ~(uint64_t)(STORE_SECTOR - 1));
    if (zero <= 0)
        return zero == 0;
    place->is_doubtful = true;
    if (next + sizeof(header) > r->size)
        return true;
    zero = rest_of_sector_is_zero(r, next);
    if (zero != 0)
        return zero > 0;
    bytes = bytes_at(r, next, sizeof(header));
    if (bytes == NULL)
        return false;
    memcpy(&header, bytes, sizeof(header));
    if (!resembles_frame(r, &header))
        *place = (struct place){here, false}; /* the middle of a frame */
    return true;
}

/*
 * The bytes at `at` are no frame header that belongs there; the header is not whole if
 * `is_damaged`.
 */
static enum reader_result judge_header(struct reader *r, uint64_t at, bool is_damaged,
                                       const char *wrong)
{
    const uint64_t boundary = align_up(at + 1, STORE_SECTOR);
    int zero = rest_of_sector_is_zero(r, at);

    /* Its second part, in the next sector, may be what is missing. */
    if (zero == 0 && is_damaged && boundary < at + sizeof(struct frame_header) &&
        boundary < r->size)
        zero = rest_of_sector_is_zero(r, boundary);
    if (zero < 0)
        return READER_FAILED;
    return judge(r, at, zero > 0 ? UNWRITTEN : WRITTEN, wrong);
}

/* The header at `at` is whole and right but not the one that is due. */
static enum reader_result judge_order(struct reader *r, const struct place *place,
                                      const struct frame_header *header)
{
    if (header->lsn > r->lsn && place->is_doubtful)
        return judge(r, r->offset, UNWRITTEN, "the frame is missing");
    if (header->lsn > r->lsn)
        return corrupt(r, place->at, "a later frame lies where it should be");
    if (header->lsn < r->lsn)
        return corrupt(r, place->at, "an earlier frame lies where it should be");
    return corrupt(r, place->at, "the frame does not continue the one before it");
}

static enum reader_result judge_payload(struct reader *r, uint64_t at,
                                        const struct frame_header *header, const uint8_t *payload,
                                        const char *wrong)
{
    const unsigned said = frame_zeroes(header);
    const unsigned found = pawl__frame_zero_sectors(payload, header->size, at + sizeof(*header));
    const bool unwritten = found > said || said == FRAME_ZEROES_MAX;

    return judge(r, at, unwritten ? UNWRITTEN : WRITTEN, wrong);
}

static enum reader_result accept_seal(struct reader *r, const struct reader_frame *frame)
{
    struct seal seal;

    if (frame->header.size != sizeof(seal))
        return corrupt(r, frame->offset, "the seal has a wrong size");
    memcpy(&seal, frame->payload, sizeof(seal));
    if (seal.frames != r->frames || seal.last_lsn != r->lsn - 1)
        return corrupt(r, frame->offset, "the seal counts other frames than are there");
    if (r->header.kind == FILE_SNAPSHOT && r->chain_lsn != 0)
        return corrupt(r, frame->offset, "the seal stands inside frames that belong together");
    return READER_SEALED;
}

/* The frame is valid, but for what its type asks. */
static enum reader_result accept(struct reader *r, const struct reader_frame *frame)
{
    const struct frame_header *const header = &frame->header;
    enum reader_result result = READER_FRAME;
    const char *wrong;
    size_t offset;

    switch (header->type) {
    case FRAME_STEPS:
        wrong = pawl__entry_check(frame->payload, header->size, &offset);
        if (wrong != NULL)
            return corrupt(r, frame->offset + sizeof(*header) + offset, wrong);
        if ((header->flags & FRAME_MORE) == 0) {
            r->chain_lsn = 0;
        } else if (r->chain_lsn == 0) {
            r->chain_lsn = r->lsn;
            r->chain_crc = r->previous_crc;
        }
        r->frames++;
        break;
    case FRAME_SEAL:
        result = accept_seal(r, frame);
        if (result != READER_SEALED)
            return result;
        break;
    default:
        return corrupt(r, frame->offset, "the frame's type has no business in this file");
    }
    if (header->durable_lsn > r->durable_lsn)
        r->durable_lsn = header->durable_lsn;
    r->offset = frame->offset + frame_bytes(header);
    r->lsn = header->lsn + 1;
    r->previous_crc = header->header_crc;
    return result;
}

static enum reader_result read_frame(struct reader *r, struct reader_frame *frame)
{
    struct frame_header *const header = &frame->header;
    struct place place;
    const uint8_t *bytes;
    const char *wrong;
    uint64_t at;

    if (!locate(r, &place))
        return READER_FAILED;
    at = place.at;
    if (at >= r->size)
        return judge(r, at, UNWRITTEN, "the file ends without a seal");
    if (r->size - at < sizeof(*header))
        return judge_header(r, at, true, "the file ends inside the frame's header");
    bytes = bytes_at(r, at, sizeof(*header));
    if (bytes == NULL)
        return READER_FAILED;
    memcpy(header, bytes, sizeof(*header));
    wrong = pawl__frame_check(header, &r->header, at);
    if (wrong != NULL)
        return judge_header(r, at, !pawl__frame_is_whole(header), wrong);
    if (!planted(PLANTED_PLACE_NOT_CHECKED) &&
        (header->lsn != r->lsn || header->previous_crc != r->previous_crc))
        return judge_order(r, &place, header);
    if (header->durable_lsn >= header->lsn)
        return corrupt(r, at, "the frame says of itself that it was durable before it was written");
    if (frame_bytes(header) > r->size - at) {
        /*
         * A group longer than what was prepared makes the file grow, which may have come to
         * nothing.
         */
        const bool grew = r->header.blocks > 0 &&
                          at + frame_bytes(header) > (uint64_t)r->header.blocks * STORE_BLOCK &&
                          r->size >= (uint64_t)r->header.blocks * STORE_BLOCK;

        return judge(r, at, grew ? UNWRITTEN : WRITTEN, "the file ends inside the frame");
    }
    bytes = bytes_at(r, at, (size_t)frame_bytes(header));
    if (bytes == NULL)
        return READER_FAILED;
    frame->offset = at;
    frame->payload = bytes + sizeof(*header);
    wrong = pawl__frame_check_payload(header, frame->payload);
    if (wrong != NULL)
        return judge_payload(r, at, header, frame->payload, wrong);
    return accept(r, frame);
}

enum reader_result pawl__reader_next(struct reader *reader, struct reader_frame *frame)
{
    if (likely(reader->result == READER_FRAME))
        reader->result = read_frame(reader, frame);
    return reader->result;
}
