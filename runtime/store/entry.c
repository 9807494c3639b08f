/*
 * entry.c - whether bytes from a disk are entries, before anything looks into them.
 *
 * What is checked here is what makes an entry readable and its meaning single: lengths, known types
 * and flags, zeroes, limits. Whether it fits the rest of the store (a slot, a machine, a state) is
 * the business of those who know the rest.
 */
#include "store/entry.h"

#include <string.h>

#include "base/bits.h"
#include "base/check.h"

#define STEP_FLAGS                                                                                 \
    (ENTRY_EXTERNAL | ENTRY_CREATED | ENTRY_ENDED | ENTRY_IMAGE | ENTRY_SINCE | ENTRY_RESERVED)
#define DEFER_FLAGS (ENTRY_RESET | ENTRY_EMPTY)

static const char bad_length[] = "an entry's length does not fit its contents";
static const char bad_flags[] = "an entry has unknown or contradictory flags";
static const char bad_zeroes[] = "an entry has something where zeroes belong";
static const char bad_generation[] = "an entry says an impossible generation";

static inline size_t entry_bytes(const struct entry_header *header)
{
    return (size_t)header->words * 8;
}

/* Fewer than 8 bytes, or a key. */
static bool is_padding(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static inline const char *check_step(const struct entry_header *header)
{
    const struct entry_step *const step = (const void *)header;
    const unsigned flags = header->flags;
    const size_t fixed = sizeof(*step) + ((flags & ENTRY_SINCE) != 0 ? 8 : 0);

    if (unlikely((flags & ~STEP_FLAGS) != 0))
        return bad_flags;
    if (unlikely(entry_bytes(header) < fixed || entry_bytes(header) > fixed + CONTEXT_MAX))
        return bad_length;
    if (unlikely((flags & ENTRY_ENDED) != 0 && entry_bytes(header) != fixed))
        return "an ended task has a context";
    if (unlikely(step->generation > GENERATION_MAX))
        return bad_generation;
    if (unlikely((step->version & 1) != 0))
        return "a task's version is odd";
    if (unlikely(step->zero != 0))
        return bad_zeroes;
    return NULL;
}

static const char *check_key(const struct entry_header *header)
{
    const struct entry_key *const key = (const void *)header;

    if (header->flags != 0)
        return bad_flags;
    if (entry_bytes(header) < sizeof(*key) || key->size == 0 || key->size > KEY_SIZE_MAX ||
        entry_bytes(header) != sizeof(*key) + align_up(key->size, 8))
        return bad_length;
    if (key->generation > GENERATION_MAX)
        return bad_generation;
    return is_padding(key->bytes + key->size, align_up(key->size, 8) - key->size) ? NULL
                                                                                  : bad_zeroes;
}

static const char *check_timers(const struct entry_header *header)
{
    const struct entry_timers *const entry = (const void *)header;
    uint64_t seen[TIMERS_MAX / 64 + 1] = {0};

    if (header->flags != 0)
        return bad_flags;
    if (entry_bytes(header) < sizeof(*entry) || entry->count > TIMERS_MAX + 1 ||
        entry_bytes(header) != sizeof(*entry) + entry->count * sizeof(entry->timers[0]))
        return bad_length;
    if (entry->generation > GENERATION_MAX)
        return bad_generation;
    for (uint32_t i = 0; i < entry->count; i++) {
        const uint64_t timer = entry->timers[i].timer;

        if (timer > TIMERS_MAX)
            return "an entry says an impossible timer";
        if ((seen[timer / 64] >> timer % 64 & 1) != 0)
            return "an entry has one timer twice";
        seen[timer / 64] |= UINT64_C(1) << timer % 64;
    }
    return NULL;
}

/* size: from the event to the end of the entry. */
static const char *check_event(const struct entry_event *event, size_t size)
{
    const bool has_buffer = (event->flags & PAWL_EVENT_BUFFER) != 0;

    if (size < sizeof(*event) || event->size > EVENT_PAYLOAD_MAX ||
        size != sizeof(*event) + align_up(event->size, 8))
        return bad_length;
    if (event->zero != 0 || (has_buffer && event->arg[0] != 0) ||
        !is_padding(event->payload + event->size, align_up(event->size, 8) - event->size))
        return bad_zeroes;
    if (event->size != 0 && !has_buffer && event->code != PAWL_CODE_CREATE)
        return "an event has a payload that nothing asks for";
    return NULL;
}

static const char *check_defer(const struct entry_header *header)
{
    const struct entry_defer *const entry = (const void *)header;
    const size_t fixed = offsetof(struct entry_defer, event);
    const unsigned flags = header->flags;

    if ((flags & ~DEFER_FLAGS) != 0 || flags == ENTRY_EMPTY)
        return bad_flags;
    if (entry_bytes(header) < fixed)
        return bad_length;
    if (entry->generation > GENERATION_MAX)
        return bad_generation;
    if ((flags & ENTRY_EMPTY) != 0 && entry->count != 0)
        return bad_zeroes;
    if ((flags & ENTRY_EMPTY) != 0)
        return entry_bytes(header) == fixed ? NULL : bad_length;
    return check_event(&entry->event, entry_bytes(header) - fixed);
}

static const char *check_send(const struct entry_header *header)
{
    const struct entry_send *const entry = (const void *)header;
    const size_t fixed = offsetof(struct entry_send, event);

    if (header->flags != 0)
        return bad_flags;
    if (entry_bytes(header) < fixed)
        return bad_length;
    if (entry->number == 0)
        return "a sent event has no number";
    return check_event(&entry->event, entry_bytes(header) - fixed);
}

static const char *check_mark(const struct entry_header *header)
{
    const struct entry_mark *const entry = (const void *)header;

    if (header->flags != 0)
        return bad_flags;
    if (entry_bytes(header) != sizeof(*entry))
        return bad_length;
    if (header->slot != 0 || entry->zero != 0)
        return bad_zeroes;
    if (entry->what != MARK_TAKEN && entry->what != MARK_CONFIRMED)
        return "a mark is of an unknown kind";
    if (entry->control > 1 || entry->peer >= SHARDS_MAX)
        return "a mark says an impossible shard or class";
    return NULL;
}

static const char *check_floor(const struct entry_header *header)
{
    const struct entry_floor *const entry = (const void *)header;

    if (header->flags != 0)
        return bad_flags;
    if (entry_bytes(header) != sizeof(*entry))
        return bad_length;
    if (entry->generation > GENERATION_MAX)
        return bad_generation;
    if (entry->count == 0 || entry->count - 1 > UINT32_MAX - header->slot)
        return "a block of slots ends beyond the last slot";
    return NULL;
}

static const char *check_alias(const struct entry_header *header)
{
    const struct entry_alias *const entry = (const void *)header;

    if (header->flags != 0)
        return bad_flags;
    if (entry_bytes(header) != sizeof(*entry))
        return bad_length;
    if (header->slot != 0)
        return bad_zeroes;
    return entry->from != 0 ? NULL : "an id that leads elsewhere is none";
}

static inline const char *check_one(const struct entry_header *header)
{
    if (likely(header->type == ENTRY_STEP))
        return check_step(header);
    switch (header->type) {
    case ENTRY_KEY:
        return check_key(header);
    case ENTRY_TIMERS:
        return check_timers(header);
    case ENTRY_DEFER:
        return check_defer(header);
    case ENTRY_SEND:
        return check_send(header);
    case ENTRY_MARK:
        return check_mark(header);
    case ENTRY_FLOOR:
        return check_floor(header);
    case ENTRY_ALIAS:
        return check_alias(header);
    default: /* any byte may stand here */
        return "an entry is of an unknown type";
    }
}

const char *pawl__entry_check(const void *bytes, size_t size, size_t *offset)
{
    const char *const begin = bytes;
    const char *wrong = NULL;
    size_t at = 0;

    while (at < size) {
        const struct entry_header *const header = (const void *)(begin + at);

        if (unlikely(size - at < sizeof(*header)))
            wrong = "an entry's header ends beyond the frame";
        else if (unlikely(header->words == 0 || entry_bytes(header) > size - at))
            wrong = "an entry ends beyond the frame or is empty";
        else
            wrong = check_one(header);
        if (unlikely(wrong != NULL)) {
            *offset = at;
            return wrong;
        }
        at += entry_bytes(header);
    }
    return NULL;
}
