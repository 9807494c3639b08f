/*
 * writer.c - one file that takes a stream's groups: its header, groups several at once, its seal.
 *
 * Layer: store. Owner: the pump.
 */
#include <errno.h>
#include <string.h>

#include "base/planted.h"
#include "store/frame.h"
#include "store/journal.h"

int pawl__writer_init(struct writer *writer, struct stream *stream, uint16_t kind)
{
    memset(writer, 0, sizeof(*writer));
    writer->stream = stream;
    writer->kind = kind;
    writer->block = pawl__pages_reserve(STORE_BLOCK, PAGES_PLAIN, stream->pages);
    return writer->block != NULL ? 0 : -ENOMEM;
}

void pawl__writer_fini(struct writer *writer, const struct pawl_storage *storage)
{
    if (writer->file != NULL)
        storage->close(storage->user, writer->file);
    if (writer->block != NULL)
        pawl__pages_unmap(writer->block, STORE_BLOCK, writer->stream->pages);
    writer->file = NULL;
    writer->block = NULL;
}

static enum journal_write block_write(const struct writer *writer)
{
    return writer->kind == FILE_JOURNAL ? WRITE_STEPS_BLOCK : WRITE_IMAGES_BLOCK;
}

static enum journal_write group_write(const struct writer *writer)
{
    return writer->kind == FILE_JOURNAL ? WRITE_STEPS : WRITE_IMAGES;
}

static void write_block(struct journal *journal, struct writer *writer, uint64_t offset)
{
    pawl__journal_write(journal, writer->file, writer->block, STORE_BLOCK, offset,
                        journal_tag(journal, block_write(writer), 0));
}

static uint64_t wall_ns(const struct journal *journal)
{
    const struct pawl_clock *clock = journal->options.clock;

    return clock->wall_ns != NULL ? clock->wall_ns(clock->user) : 0;
}

void pawl__writer_begin(struct journal *journal, struct writer *writer, void *file, uint64_t number,
                        uint64_t base_lsn, uint64_t base_file)
{
    const struct journal_options *options = &journal->options;
    struct file_header *header = (struct file_header *)(void *)writer->block;

    *header = (struct file_header){
        .version = FORMAT_VERSION,
        .kind = writer->kind,
        .store = options->store,
        .set = options->set,
        .shard = options->shard,
        .epoch = options->epoch,
        .file = number,
        .first_lsn = writer->next_lsn,
        .previous_crc = writer->previous_crc,
        .blocks = writer->kind == FILE_JOURNAL ? (uint32_t)(writer->capacity / STORE_BLOCK) : 0,
        .base_lsn = base_lsn,
        .base_file = base_file,
        .wall_ns = wall_ns(journal),
    };
    memcpy(header->magic, FILE_MAGIC, sizeof(header->magic));
    pawl__file_header_seal(header);
    writer->file = file;
    writer->number = number;
    writer->offset = STORE_BLOCK;
    writer->frames = 0;
    writer->stage = WRITER_HEADER;
    write_block(journal, writer, 0);
}

static void finish_frame(struct journal *journal, struct writer *writer,
                         struct frame_header *header, uint64_t offset)
{
    const struct journal_options *options = &journal->options;

    header->store = options->store;
    header->shard = (uint16_t)options->shard;
    header->set = (uint16_t)options->set;
    header->epoch = (uint32_t)options->epoch;
    header->previous_crc = writer->previous_crc;
    header->file = (uint32_t)writer->number;
    header->place = (uint32_t)(offset / 8);
    header->durable_lsn = writer->kind == FILE_JOURNAL ? writer->durable_lsn : 0;
    pawl__frame_seal(header, header + 1);
    writer->previous_crc = header->header_crc;
}

/*
 * What the shard left open in a group's frames, and zeroes up to the end of the block. Returns its
 * size.
 */
static uint32_t finish_group(struct journal *journal, struct writer *writer, uint64_t number)
{
    struct stream *stream = writer->stream;
    const uint32_t size = stream->groups[number & (stream->groups_count - 1)].size;
    const uint32_t whole = (uint32_t)align_up(size, STORE_BLOCK);
    uint8_t *bytes = stream_group(stream, number);
    uint32_t at = 0;

    while (at < size) {
        struct frame_header *header = (struct frame_header *)(void *)(bytes + at);

        header->lsn = writer->next_lsn++;
        writer->time_ns = header->time_ns;
        finish_frame(journal, writer, header, writer->offset + at);
        writer->frames++;
        at += (uint32_t)sizeof(*header) + header->size;
    }
    memset(bytes + size, 0, whole - size);
    return whole;
}

bool pawl__writer_submit(struct journal *journal, struct writer *writer, uint64_t handed,
                         unsigned writes_max)
{
    struct stream *stream = writer->stream;
    bool any = false;

    while (writer_may_submit(journal, writer, handed, writes_max) &&
           load_relaxed(&journal->failed) == 0) { /* relaxed: only the pump writes it */
        const uint64_t number = writer->submitted;
        const uint32_t index = (uint32_t)number & (stream->groups_count - 1);
        uint32_t size = (uint32_t)align_up(stream->groups[index].size, STORE_BLOCK);

        if (writer->frames > 0 && writer->offset + size + STORE_BLOCK > writer->capacity) {
            writer->stage = WRITER_FULL;
            return true;
        }
        size = finish_group(journal, writer, number);
        writer->submitted++;
        writer->in_flight++;
        writer->in_flight_bytes += size;
        writer->submitted_bytes += size;
        stream->groups[index].size = size;
        stream->groups[index].last_lsn = writer->next_lsn - 1;
        writer->offset += size;
        any = true;
        pawl__journal_write(journal, writer->file, stream_group(stream, number), size,
                            writer->offset - size,
                            journal_tag(journal, group_write(writer), number));
    }
    return any;
}

void pawl__writer_seal(struct journal *journal, struct writer *writer)
{
    struct frame_header *header = (struct frame_header *)(void *)writer->block;
    struct seal *seal = (struct seal *)(void *)(header + 1);

    memset(writer->block, 0, STORE_BLOCK);
    *header = (struct frame_header){
        .magic = FRAME_MAGIC,
        .version = FORMAT_VERSION,
        .type = FRAME_SEAL,
        .size = sizeof(*seal),
        .lsn = writer->next_lsn++,
        .time_ns = writer->time_ns,
        .wall_ns = wall_ns(journal),
    };
    *seal = (struct seal){.frames = writer->frames, .last_lsn = writer->next_lsn - 2};
    finish_frame(journal, writer, header, writer->offset);
    writer->stage = WRITER_SEALING;
    write_block(journal, writer, writer->offset);
}

/* Bytes count as in flight until all before them have ended: so far apart may torn ones lie. */
static void finish_first(struct writer *writer)
{
    const struct stream *stream = writer->stream;

    writer->in_flight_bytes -= stream->groups[writer->finished & (stream->groups_count - 1)].size;
    writer->done >>= 1;
    writer->finished++;
}

static bool finish_groups(struct writer *writer, uint64_t number)
{
    const uint64_t before = writer->finished;

    writer->done |= UINT64_C(1) << (number - writer->finished);
    while ((writer->done & 1) != 0)
        finish_first(writer);
    while (planted(PLANTED_DURABLE_OUT_OF_ORDER) && number + 1 > writer->finished)
        finish_first(writer);
    return writer->finished != before;
}

uint64_t pawl__writer_size(const struct journal *journal, uint64_t tag)
{
    const enum journal_write write = tag_write(tag);
    const struct stream *stream = write == WRITE_STEPS ? &journal->steps : &journal->images;

    if (write != WRITE_STEPS && write != WRITE_IMAGES)
        return STORE_BLOCK;
    return stream->groups[tag & (stream->groups_count - 1)].size;
}

bool pawl__writer_done(struct writer *writer, uint64_t tag)
{
    const struct stream *stream = writer->stream;
    uint64_t number;
    bool moved;

    if (tag_write(tag) == block_write(writer)) {
        writer->stage = writer->stage == WRITER_HEADER ? WRITER_OPEN : WRITER_SEALED;
        return false;
    }
    /* The tag has the number's low bits; it lies less than JOURNAL_WRITES_MAX above `finished`. */
    number = writer->finished + ((tag - writer->finished) & UINT64_C(0xffffffffff));
    writer->in_flight--;
    if (planted(PLANTED_DURABLE_OUT_OF_ORDER) && number - writer->finished >= JOURNAL_WRITES_MAX)
        return false; /* it was taken for finished before */
    CHECK(number - writer->finished < JOURNAL_WRITES_MAX);
    moved = finish_groups(writer, number);
    if (moved)
        writer->durable_lsn =
            stream->groups[(writer->finished - 1) & (stream->groups_count - 1)].last_lsn;
    return moved;
}

void pawl__writer_close(struct journal *journal, struct writer *writer)
{
    const struct pawl_storage *storage = journal->options.storage;

    if (writer->file != NULL)
        storage->close(storage->user, writer->file);
    writer->file = NULL;
    writer->stage = WRITER_NONE;
}
