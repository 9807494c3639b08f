/*
 * note.c - notes are made and ended; what a task was submitted with is packed and unpacked.
 *
 * Layer: agent.
 */
#include "agent/note.h"

#include <errno.h>
#include <string.h>

enum { NOTE_END, NOTE_EVENTS };

/* One by one, each a step of its own: so a long list takes no more room than a short one. */
static void pass_end_on(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct note *note = context;

    (void)event;
    if (note->before != 0)
        pawl_step_post(step, &(struct pawl_event){.task = {note->before}, .code = NOTE_END});
}

static const char *const note_events[NOTE_EVENTS] = {"end"};
static const struct pawl_state_def note_states[] = {
    {.name = "kept"},
    {.name = "gone", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def note_transitions[] = {
    {.from = "kept", .on = "end", .to = "gone", .action = pass_end_on},
};

#define NOTE_MACHINE(suffix, bytes)                                                                \
    {                                                                                              \
        .name = "pawl.note." suffix, .events = note_events, .events_count = NOTE_EVENTS,           \
        .states = note_states, .states_count = sizeof(note_states) / sizeof(note_states[0]),       \
        .transitions = note_transitions, .transitions_count = 1, .context_size = (bytes),          \
    }

const struct pawl_machine_def pawl__note_machines[NOTE_MACHINES] = {
    NOTE_MACHINE("s", NOTE_SMALL), NOTE_MACHINE("m", NOTE_MEDIUM), NOTE_MACHINE("l", NOTE_LARGE)};

/* One part; from, size: its bytes of the record. */
static int append_part(struct pawl_step *step, struct pawl_work *work, unsigned first,
                       const struct note *head, const struct note_record *record,
                       const unsigned char *bytes, size_t from, size_t size, bool must)
{
    _Alignas(8) unsigned char context[NOTE_LARGE];
    const size_t whole = sizeof(*head) + size;
    struct pawl_task_spec spec = {.machine = first + (whole > NOTE_SMALL) + (whole > NOTE_MEDIUM),
                                  .shard = pawl_step_shard(step),
                                  .context = context,
                                  .context_size = whole};
    unsigned char *to = context + sizeof(*head);
    struct pawl_task task;
    int error;

    memcpy(context, head, sizeof(*head));
    if (from == 0) {
        memcpy(to, record, sizeof(*record));
        to += sizeof(*record);
        size -= sizeof(*record);
    } else {
        from -= sizeof(*record);
    }
    if (size > 0)
        memcpy(to, bytes + from, size);
    error = must ? pawl_step_create(step, &spec, PAWL_NO_REPLY, &task)
                 : pawl__step_try_create(step, &spec, &task);
    if (error == 0)
        work->newest = task.id;
    return error;
}

int pawl__note_append(struct pawl_step *step, struct pawl_work *work, unsigned first,
                      const struct pawl_work_note *note, bool must)
{
    const struct note_record record = {
        .agent = note->agent, .token = note->token, .value = note->value, .reason = note->reason};
    const size_t size = sizeof(record) + note->size;
    unsigned part = (unsigned)((size - 1) / NOTE_BYTES_MAX);

    for (;; part--) {
        const size_t from = part * NOTE_BYTES_MAX;
        const struct note head = {.before = work->newest,
                                  .wall_ns = note->wall_ns,
                                  .hash = note->hash,
                                  .size = (uint32_t)size,
                                  .part = (uint16_t)part,
                                  .kind = (uint8_t)note->kind,
                                  .klass = note->klass};
        const size_t rest = size - from;
        const int error = append_part(step, work, first, &head, &record, note->bytes, from,
                                      rest < NOTE_BYTES_MAX ? rest : NOTE_BYTES_MAX,
                                      must || size > NOTE_BYTES_MAX);

        if (error != 0 || part == 0)
            return error;
    }
}

void pawl__notes_end(struct pawl_step *step, struct pawl_work *work)
{
    if (work->newest != 0)
        pawl_step_post(step, &(struct pawl_event){.task = {work->newest}, .code = NOTE_END});
    work->newest = 0;
    work->detail = 0;
}

/* ---- What a task was submitted with ---- */

static size_t length_of(const char *text)
{
    return text != NULL ? strnlen(text, PAWL_WORK_TEXT_MAX + 1) : 0;
}

size_t pawl__detail_size(const struct pawl_work_detail *detail)
{
    const size_t title = length_of(detail->title), description = length_of(detail->description);

    if (title > PAWL_WORK_TEXT_MAX || description > PAWL_WORK_TEXT_MAX ||
        detail->payload_size > PAWL_WORK_TEXT_MAX || detail->metadata_size > PAWL_WORK_TEXT_MAX ||
        title + description + detail->payload_size + detail->metadata_size > PAWL_WORK_TEXT_MAX)
        return 0;
    return sizeof(struct note_detail) + title + 1 + description + 1 + detail->payload_size +
           detail->metadata_size;
}

static unsigned char *put(unsigned char *to, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(to, bytes, size);
    return to + size;
}

void pawl__detail_write(void *to, const struct pawl_work_detail *detail)
{
    const struct note_detail head = {.title_size = (uint32_t)length_of(detail->title),
                                     .description_size = (uint32_t)length_of(detail->description),
                                     .payload_size = (uint32_t)detail->payload_size,
                                     .metadata_size = (uint32_t)detail->metadata_size};
    unsigned char *at = put(to, &head, sizeof(head));

    at = put(at, detail->title, head.title_size);
    at = put(at, "", 1);
    at = put(at, detail->description, head.description_size);
    at = put(at, "", 1);
    at = put(at, detail->payload, head.payload_size);
    put(at, detail->metadata, head.metadata_size);
}

int pawl_work_note_detail(const struct pawl_work_note *note, struct pawl_work_detail *detail)
{
    const char *at = note->bytes;
    struct note_detail head;
    uint64_t size = sizeof(head) + 2;

    memset(detail, 0, sizeof(*detail));
    if (note->kind != PAWL_WORK_NOTE_DETAIL || note->bytes == NULL || note->size < size)
        return -EBADMSG;
    memcpy(&head, at, sizeof(head));
    size +=
        (uint64_t)head.title_size + head.description_size + head.payload_size + head.metadata_size;
    if (size != note->size)
        return -EBADMSG;
    at += sizeof(head);
    if (at[head.title_size] != '\0' ||
        at[(size_t)head.title_size + 1 + head.description_size] != '\0')
        return -EBADMSG;
    detail->title = at;
    detail->description = at + head.title_size + 1;
    detail->payload = detail->description + head.description_size + 1;
    detail->payload_size = head.payload_size;
    detail->metadata = (const char *)detail->payload + head.payload_size;
    detail->metadata_size = head.metadata_size;
    return 0;
}
