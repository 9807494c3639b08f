/*
 * entry.h - what a frame is made of: one entry for each thing that a step has changed.
 *
 * Layer: store. An entry is a header of 8 bytes and a body, a multiple of 8 bytes together:
 *   0  words   2  length in words of 8 bytes, header included
 *   2  type    1  enum entry_type
 *   3  flags   1  ENTRY_*
 *   4  slot    4  of the task; 0 where there is none
 *
 * Entries are after-images: applied in order, from any point at or before the one at which an image
 * was taken, they lead to the same end. So a snapshot taken while the shard works is made of the
 * same entries and needs no other rule: it is read first, then the journal from its base on.
 *
 * STEP    8  generation 4, version 4 (the head's, 32 bits, even), 16 state 2, history 2, code 2,
 *         machine 1, zero 1; with ENTRY_SINCE 8 bytes of `since` (shard's time in ns, of which
 *         the low SINCE_SHIFT bits count for nothing: task/slot.h); the context in words.
 *         The task is in this state now, whatever was before.
 *         ENTRY_EXTERNAL: it entered the state with this step, at the frame's time. ENTRY_CREATED:
 *         its life begins; the KEY entry, if it has a key, stands before. ENTRY_ENDED: it is gone,
 *         no context follows. ENTRY_IMAGE: from a snapshot, no step was made. code: of the event
 *         (PAWL_CODE_CREATE, PAWL_CODE_CANCEL are possible). machine: a number of the manifest.
 * KEY     8  generation 4, size 4; the key's bytes, zero-padded
 * TIMERS  8  generation 4, count 4; count times: expiry 8 (shard's time, ns), timer 8 (its number
 *         in the definition, timeouts of states behind the named ones). All armed timers of the
 *         task: what is not listed is not armed.
 * DEFER   8  generation 4, count 4; an event (below). Appended to what the task keeps: with it they
 *         are `count`, and what is kept at that place or behind it is replaced (an image may hold
 *         it already); 0: appended whatever is there. With ENTRY_RESET the task keeps nothing else,
 *         older ones are gone; ENTRY_EMPTY (only with it): no event follows, it keeps nothing at
 *         all, count is 0.
 * SEND    8  number 8; an event (below). Sent by a step of `slot` (0: by the shard itself) to the
 *         event's task. Numbers count, from 1, the durable events from this shard to one shard
 *         (itself included), ordinary and control ones apart.
 * MARK    8  value 8, peer 2, what 2 (enum mark), control 2 (0 or 1), zero 2. Only grows.
 * FLOOR   slot: the first of a block of slots (host/slab.h: a granule); 8  count 4, generation 4.
 *         No generation of these slots has been above; new lives begin above it.
 * ALIAS   8  from 8, to 8; both ids of tasks. The task whose id was `from` is `to` now
 *         (shard/alias.h). to 0: no generation of the ids of that shard has been above the one of
 *         `from`; it may be a shard that the set does not have.
 *
 * An event is 40 bytes and its payload, zero-padded:
 *   0  task 8, 8  code 2, flags 2, tag 4, 16 arg 2 * 8, 32 size 4 of the payload, zero 4
 * With the flag PAWL_EVENT_BUFFER arg[0] is 0 here and the payload holds the buffer's bytes. (A
 * creation has the code PAWL_CODE_CREATE and its request as the payload: shard/create.h, struct
 * create_request.)
 */
#ifndef PAWL_STORE_ENTRY_H
#define PAWL_STORE_ENTRY_H

#include <pawl/task.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

enum entry_type {
    ENTRY_STEP = 1,
    ENTRY_KEY = 2,
    ENTRY_TIMERS = 3,
    ENTRY_DEFER = 4,
    ENTRY_SEND = 5,
    ENTRY_MARK = 6,
    ENTRY_FLOOR = 7,
    ENTRY_ALIAS = 8,
};

#define ENTRY_EXTERNAL 0x01u /* STEP */
#define ENTRY_CREATED  0x02u
#define ENTRY_ENDED    0x04u
#define ENTRY_IMAGE    0x08u
#define ENTRY_SINCE    0x10u
#define ENTRY_RESERVED 0x20u
#define ENTRY_RESET    0x01u /* DEFER */
#define ENTRY_EMPTY    0x02u

enum mark {
    MARK_TAKEN = 1,     /* durable events from peer that this shard has handled */
    MARK_CONFIRMED = 2, /* events to peer that peer has durably handled: they need not be kept */
};

/* The payload of a durable event. */
#define EVENT_PAYLOAD_MAX (64u << 10)

struct entry_header {
    uint16_t words;
    uint8_t type;
    uint8_t flags;
    uint32_t slot;
};

struct entry_step {
    struct entry_header header;
    uint32_t generation;
    uint32_t version;
    uint16_t state;
    uint16_t history;
    uint16_t code;
    uint8_t machine;
    uint8_t zero;
    uint64_t words[]; /* since, if ENTRY_SINCE; context */
};

struct entry_key {
    struct entry_header header;
    uint32_t generation;
    uint32_t size;
    uint8_t bytes[];
};

struct entry_timer {
    uint64_t expiry_ns;
    uint64_t timer;
};

struct entry_timers {
    struct entry_header header;
    uint32_t generation;
    uint32_t count;
    struct entry_timer timers[];
};

struct entry_event {
    uint64_t task;
    uint16_t code;
    uint16_t flags;
    uint32_t tag;
    uint64_t arg[2];
    uint32_t size;
    uint32_t zero;
    uint8_t payload[];
};

struct entry_defer {
    struct entry_header header;
    uint32_t generation;
    uint32_t count;
    struct entry_event event; /* unless ENTRY_EMPTY */
};

struct entry_send {
    struct entry_header header;
    uint64_t number;
    struct entry_event event;
};

struct entry_mark {
    struct entry_header header;
    uint64_t value;
    uint16_t peer;
    uint16_t what;
    uint16_t control;
    uint16_t zero;
};

struct entry_floor {
    struct entry_header header;
    uint32_t count;
    uint32_t generation;
};

struct entry_alias {
    struct entry_header header;
    uint64_t from;
    uint64_t to;
};

_Static_assert(sizeof(struct entry_header) == 8 && sizeof(struct entry_step) == 24 &&
                   sizeof(struct entry_key) == 16 && sizeof(struct entry_timers) == 16 &&
                   sizeof(struct entry_event) == 40 && sizeof(struct entry_mark) == 24 &&
                   sizeof(struct entry_floor) == 16 && sizeof(struct entry_alias) == 24,
               "no padding");

/*
 * The longest entry: a step with the largest context, all timers of a machine, an event with its
 * payload.
 */
#define ENTRY_BYTES_MAX (sizeof(struct entry_send) + EVENT_PAYLOAD_MAX)
_Static_assert(sizeof(struct entry_step) + 8 + CONTEXT_MAX <= ENTRY_BYTES_MAX, "steps fit");
_Static_assert(sizeof(struct entry_timers) + (TIMERS_MAX + 1) * sizeof(struct entry_timer) <=
                   ENTRY_BYTES_MAX,
               "timers fit");
_Static_assert(ENTRY_BYTES_MAX / 8 <= UINT16_MAX, "a length is 16 bits");

/*
 * pawl__entry_check - whether the bytes are well-formed entries from end to end: lengths inside,
 * known types and flags, zeroes where zeroes belong, counts and sizes that fit. NULL, or a sentence
 * that says what is wrong, with the offset of the bad entry in *offset. Call it before entry_next
 * is used on bytes from a disk.
 */
const char *pawl__entry_check(const void *bytes, size_t size, size_t *offset);

/*
 * The first entry, or the one after `entry`; NULL at the end. The bytes have passed
 * pawl__entry_check.
 */
static inline const struct entry_header *entry_next(const void *bytes, size_t size,
                                                    const struct entry_header *entry)
{
    const char *at = entry == NULL ? (const char *)bytes : (const char *)entry + 8u * entry->words;

    return at < (const char *)bytes + size ? (const struct entry_header *)(const void *)at : NULL;
}

/* A STEP's context; *words how many. */
static inline const uint64_t *entry_context(const struct entry_step *step, uint32_t *words)
{
    const uint32_t since = (step->header.flags & ENTRY_SINCE) != 0;

    *words = step->header.words - 3u - since;
    return step->words + since;
}

#endif /* PAWL_STORE_ENTRY_H */
