#include "store/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void begin_group(struct stream *stream)
{
    CHECK(stream->spare_count > 0);
    stream->groups[stream->filling & (stream->groups_count - 1)].buffer =
        stream->spare[--stream->spare_count];
    stream->at = stream_group(stream, stream->filling);
    stream->end = stream->at + GROUP_BYTES;
}

int pawl__stream_init(struct stream *stream, uint32_t groups_count, uint64_t first,
                      struct pages_stats *pages)
{
    CHECK(groups_count >= 2 && groups_count <= UINT16_MAX && is_power_of_two(groups_count));
    memset(stream, 0, sizeof(*stream));
    stream->groups_count = groups_count;
    stream->pages = pages;
    stream->serial = first - 1;
    stream->groups = calloc(groups_count, sizeof(*stream->groups));
    stream->spare = calloc(groups_count, sizeof(*stream->spare));
    stream->memory = pawl__pages_reserve((size_t)groups_count * GROUP_BYTES, PAGES_PLAIN, pages);
    if (stream->groups == NULL || stream->spare == NULL || stream->memory == NULL) {
        pawl__stream_fini(stream);
        return -ENOMEM;
    }
    while (stream->spare_count < groups_count) {
        stream->spare[stream->spare_count] = (uint16_t)(groups_count - 1 - stream->spare_count);
        stream->spare_count++;
    }
    begin_group(stream);
    return 0;
}

void pawl__stream_fini(struct stream *stream)
{
    if (stream->memory != NULL)
        pawl__pages_unmap(stream->memory, (size_t)stream->groups_count * GROUP_BYTES,
                          stream->pages);
    free(stream->spare);
    free(stream->groups);
    stream->memory = NULL;
    stream->spare = NULL;
    stream->groups = NULL;
}

static void open_frame(struct stream *stream)
{
    struct frame_header *header = (struct frame_header *)(void *)stream->at;

    *header = (struct frame_header){
        .magic = FRAME_MAGIC,
        .version = FORMAT_VERSION,
        .type = FRAME_STEPS,
        .lsn = ++stream->serial,
        .time_ns = stream->time_ns,
        .wall_ns = stream->wall_ns,
    };
    stream->frame = header;
    stream->at += sizeof(*header);
}

uint64_t pawl__stream_close(struct stream *stream)
{
    struct frame_header *header = stream->frame;

    header->size = (uint32_t)(stream->at - (uint8_t *)(header + 1));
    stream->frame = NULL;
    stream->groups[stream->filling & (stream->groups_count - 1)].last_serial = header->lsn;
    return header->lsn;
}

void pawl__stream_hand_over(struct stream *stream)
{
    struct group *group = &stream->groups[stream->filling & (stream->groups_count - 1)];

    CHECK(stream->frame == NULL);
    group->size = (uint32_t)(stream->at - stream_group(stream, stream->filling));
    stream->bytes += align_up(group->size, STORE_BLOCK);
    stream->filling++;
    begin_group(stream);
    store_release(&stream->handed, stream->filling); /* (G1) pairs with (G2) */
}

void *pawl__stream_append_slow(struct stream *stream, size_t bytes)
{
    const bool more = stream->frame != NULL;
    uint8_t *at;

    if (more || bytes + sizeof(struct frame_header) > (size_t)(stream->end - stream->at)) {
        if (more) {
            /* The frame goes on in the next group. */
            stream->frame->flags |= FRAME_MORE;
            pawl__stream_close(stream);
        }
        CHECK(stream_groups_free(stream) > 1); /* the caller has looked at stream_room */
        pawl__stream_hand_over(stream);
    }
    open_frame(stream);
    CHECK(bytes <= (size_t)(stream->end - stream->at));
    at = stream->at;
    stream->at += bytes;
    return at;
}
