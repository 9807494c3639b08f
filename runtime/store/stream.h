/*
 * stream.h - the shard's side of a file that grows: entries are appended to frames, frames to
 * groups, and full or ripe groups are handed to whoever writes them.
 *
 * Layer: store. Two sides, one thread each:
 *   the shard  appends, closes frames, hands groups over           (fields S)
 *   the pump   finishes frames' headers, writes, gives groups back (store/journal.c; fields P)
 *
 * A group is one buffer and becomes one write. Numbers count groups from 0 and never wrap; they are
 * written and given back in order. A buffer that came back last is used first, while it is warm: so
 * the address space may be generous, for a single step that writes very much, and only what was
 * ever needed at once takes memory.
 *
 * Serials number the shard's frames as it makes them. The LSNs on disk are the pump's: they count
 * the seals too, which the shard knows nothing of.
 *
 * Nothing is allocated after stream_init. Room is the caller's business: stream_room says how many
 * bytes of entries can be appended without waiting, and stream_append of more than that is a bug.
 *
 * Ordering: (G1) `handed` stored, release -> (G2) loaded by the pump, acquire: the group's bytes
 *           and size.
 *           (G3) `freed` stored, release -> (G4) loaded by the shard, acquire: the buffer is no
 *           longer read.
 */
#ifndef PAWL_STORE_STREAM_H
#define PAWL_STORE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/check.h"
#include "host/pages.h"
#include "store/entry.h"
#include "store/format.h"

/* How far ahead lines are asked for: the disk had those that are written anew last. */
#define STREAM_AHEAD 1024u

/* A group's buffer; a frame lies in one group. */
#define GROUP_BYTES FRAME_PAYLOAD_MAX
_Static_assert(GROUP_BYTES % STORE_BLOCK == 0, "whole blocks are written");
_Static_assert(2 * ENTRY_BYTES_MAX + sizeof(struct frame_header) <= GROUP_BYTES,
               "an entry fits, whatever is left open before it");

struct group {
    uint16_t buffer;      /* which of the stream's */
    uint32_t size;        /* bytes of frames; once it is written, in whole blocks */
    uint64_t last_serial; /* of the frames in it */
    uint64_t last_lsn;    /* P: the same, as the file has it */
};

struct stream {
    uint8_t *memory;       /* I: groups_count buffers */
    uint16_t *spare;       /* S: buffers that no group has */
    uint32_t spare_count;  /* S */
    uint32_t groups_count; /* I: a power of two */
    struct group *groups;  /* S before it is handed over, then P */
    struct pages_stats *pages;

    uint8_t *at;                /* S: where the next entry goes */
    uint8_t *end;               /* S: of the group under way */
    struct frame_header *frame; /* S: open; NULL: none */
    uint64_t serial;            /* S: of the last frame begun */
    uint64_t filling;           /* S: number of the group under way */
    uint64_t freed_seen;        /* S */
    uint64_t bytes;             /* S: in whole blocks, of groups handed over */
    uint64_t entries;           /* S */
    uint64_t time_ns, wall_ns;  /* S: for frames' headers */

    _Alignas(2 * CACHE_LINE) _Atomic uint64_t handed; /* S */
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t freed;  /* P */
};

/* groups_count: a power of two, 2 or more. first: the first frame's serial. -ENOMEM. */
int pawl__stream_init(struct stream *stream, uint32_t groups_count, uint64_t first,
                      struct pages_stats *pages);
void pawl__stream_fini(struct stream *stream);

/* The rest of stream_append: opens a frame, goes on in the next group. */
void *pawl__stream_append_slow(struct stream *stream, size_t bytes);

/* The buffer of a group that is being filled, or was handed over and not given back. */
static inline uint8_t *stream_group(const struct stream *stream, uint64_t number)
{
    return stream->memory +
           (size_t)stream->groups[number & (stream->groups_count - 1)].buffer * GROUP_BYTES;
}

/* Groups that the shard can fill, the one under way included. */
static inline uint32_t stream_groups_free(struct stream *stream)
{
    const uint64_t freed = load_acquire(&stream->freed); /* (G4) pairs with (G3) */

    while (unlikely(stream->freed_seen != freed)) {
        stream->spare[stream->spare_count++] =
            stream->groups[stream->freed_seen & (stream->groups_count - 1)].buffer;
        stream->freed_seen++;
    }
    return stream->groups_count - (uint32_t)(stream->filling - stream->freed_seen);
}

/* Bytes of entries, each at most ENTRY_BYTES_MAX long, that can be appended for sure. */
static inline size_t stream_room(struct stream *stream)
{
    const uint32_t groups = stream_groups_free(stream);

    /* What an entry that does not fit leaves free at a group's end counts as used. */
    return groups < 2 ? 0
                      : (size_t)(groups - 1) *
                            (GROUP_BYTES - sizeof(struct frame_header) - ENTRY_BYTES_MAX);
}

/*
 * Where the next entry of so many bytes, a multiple of 8, is to be written; a frame is open then.
 */
static inline void *stream_append(struct stream *stream, size_t bytes)
{
    uint8_t *at = stream->at;

    stream->entries++;
    if (unlikely(stream->frame == NULL || bytes > (size_t)(stream->end - at)))
        return pawl__stream_append_slow(stream, bytes);
    prefetch_own(at + STREAM_AHEAD);
    stream->at = at + bytes;
    return at;
}

/* Bytes in whole blocks, of groups handed over and the one under way. */
static inline uint64_t stream_bytes(const struct stream *stream)
{
    return stream->bytes +
           align_up((uint64_t)(stream->at - stream_group(stream, stream->filling)), STORE_BLOCK);
}

static inline bool stream_is_open(const struct stream *stream)
{
    return stream->frame != NULL;
}

/* Frames wait in the group under way. */
static inline bool stream_has_group(const struct stream *stream)
{
    return stream->at != stream_group(stream, stream->filling);
}

/* Closes the open frame; returns its serial. */
uint64_t pawl__stream_close(struct stream *stream);

/*
 * Hands the group under way over; its frame is closed and it is not empty. The next group is free
 * (stream_groups_free > 1), or nothing may be appended until it is.
 */
void pawl__stream_hand_over(struct stream *stream);

#endif /* PAWL_STORE_STREAM_H */
