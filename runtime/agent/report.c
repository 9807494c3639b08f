#include "agent/report.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

struct report_head {
    uint32_t magic;
    uint32_t id;
    uint64_t token;
    uint64_t value;
    uint64_t hash;
    uint32_t size;
    uint8_t klass;
    uint8_t zeroes[3];
};
_Static_assert(sizeof(struct report_head) == 40, "the map in report.h has no holes");
_Static_assert(sizeof(struct report_head) + PAWL_REPORT_BYTES_MAX < 60 * 1024,
               "a report is no larger than other payloads may be");

const char *pawl_report_name(enum pawl_report_kind kind)
{
    static const char *const names[PAWL_REPORT_KINDS] = {
        [PAWL_REPORT_DONE] = "done",         [PAWL_REPORT_FAILED] = "failed",
        [PAWL_REPORT_RELEASE] = "release",   [PAWL_REPORT_EXTEND] = "extend",
        [PAWL_REPORT_PROGRESS] = "progress", [PAWL_REPORT_NOTE] = "note",
        [PAWL_REPORT_ACCEPT] = "accept",     [PAWL_REPORT_REJECT] = "reject",
    };

    return (unsigned)kind < PAWL_REPORT_KINDS ? names[kind] : "?";
}

static int write_buffer(const struct pawl_reported *reported, struct pawl_event *event)
{
    const struct report_head head = {
        .magic = REPORT_MAGIC,
        .id = reported->id,
        .token = reported->token,
        .value = reported->value,
        .hash = reported->hash,
        .size = (uint32_t)reported->size,
        .klass = reported->klass,
    };
    struct pawl_buffer *buffer = pawl_buffer_create(sizeof(head) + reported->size);
    char *bytes;

    if (buffer == NULL)
        return -ENOMEM;
    bytes = pawl_buffer_bytes(buffer);
    memcpy(bytes, &head, sizeof(head));
    if (reported->size > 0)
        memcpy(bytes + sizeof(head), reported->bytes, reported->size);
    event->flags |= PAWL_EVENT_BUFFER;
    event->arg[0] = (uint64_t)(uintptr_t)buffer;
    event->arg[1] = 0;
    return 0;
}

int pawl__report_write(const struct pawl_reported *reported, struct pawl_event *event)
{
    CHECK(reported->id <= REPORT_ID_MAX && reported->size <= PAWL_REPORT_BYTES_MAX);
    if (reported->size > 0 || reported->hash != 0 || reported->value > UINT32_MAX)
        return write_buffer(reported, event);
    event->arg[0] = reported->token;
    event->arg[1] =
        (uint64_t)reported->id << 40 | (uint64_t)reported->klass << 32 | reported->value;
    return 0;
}

static int read_buffer(struct pawl_buffer *buffer, struct pawl_reported *reported)
{
    const size_t size = pawl_buffer_size(buffer);
    const char *bytes = pawl_buffer_bytes(buffer);
    struct report_head head;

    if (size < sizeof(head) || size - sizeof(head) > PAWL_REPORT_BYTES_MAX)
        return -EINVAL;
    memcpy(&head, bytes, sizeof(head));
    if (head.magic != REPORT_MAGIC || head.id > REPORT_ID_MAX || head.size != size - sizeof(head) ||
        head.zeroes[0] != 0 || head.zeroes[1] != 0 || head.zeroes[2] != 0)
        return -EINVAL;
    *reported = (struct pawl_reported){
        .token = head.token,
        .value = head.value,
        .hash = head.hash,
        .id = head.id,
        .klass = head.klass,
        .bytes = head.size > 0 ? bytes + sizeof(head) : NULL,
        .size = head.size,
    };
    return 0;
}

int pawl_report_read(const struct pawl_event *event, struct pawl_reported *reported)
{
    /* A timer's words and an asking task's return address are not a report's. */
    if ((event->flags & (PAWL_EVENT_TIMER | PAWL_EVENT_ASK)) != 0)
        return -EINVAL;
    if ((event->flags & PAWL_EVENT_BUFFER) != 0)
        return event->arg[0] != 0
                   ? read_buffer((struct pawl_buffer *)(uintptr_t)event->arg[0], reported)
                   : -EINVAL;
    *reported = (struct pawl_reported){
        .token = event->arg[0],
        .value = (uint32_t)event->arg[1],
        .id = (uint32_t)(event->arg[1] >> 40),
        .klass = (uint8_t)(event->arg[1] >> 32),
    };
    return 0;
}
