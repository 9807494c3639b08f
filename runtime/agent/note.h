/*
 * note.h - a task's notes: texts, evidence and history, each in tasks of its own.
 *
 * A work task grows by notes without growing itself: each note is a task of one of three small
 * machines, on the same shard, made in the step that writes it, and so as durable. It knows the id
 * of the note before it; the work task knows the newest. Appending is O(1), however long the list.
 *
 * Layout of a note's context: struct note, then bytes. What is longer than one note has several,
 * its parts, of NOTE_BYTES_MAX bytes but the last; part 0 is the newest of them, so that who walks
 * from the newest meets the parts in order. All parts together are a record: struct note_record, then
 * the caller's bytes.
 *
 * Notes are never changed. They end from the newest to the oldest, when their task is gone.
 *
 * Layer: agent. Owner: the shard, inside steps; read from anywhere by peek.
 */
#ifndef PAWL_AGENT_NOTE_H
#define PAWL_AGENT_NOTE_H

#include <pawl/step.h>
#include <pawl/work.h>

#define NOTE_MACHINES  3
#define NOTE_SMALL     128u /* bytes of context */
#define NOTE_MEDIUM    1024u
#define NOTE_LARGE     4096u
#define NOTE_BYTES_MAX (NOTE_LARGE - sizeof(struct note))

struct note {
    uint64_t before; /* the next older one; 0: none */
    uint64_t wall_ns;
    uint64_t hash;
    uint32_t size; /* of the whole record */
    uint16_t part; /* from 0 */
    uint8_t kind;  /* enum pawl_work_note_kind */
    uint8_t klass;
    /* bytes follow */
};
_Static_assert(sizeof(struct note) == 32, "a note's bytes begin at 32");

struct note_record {
    uint64_t agent;
    uint64_t token;
    uint64_t value;
    int32_t reason;
    uint32_t zero;
    /* the caller's bytes follow */
};
_Static_assert(sizeof(struct note_record) == 32, "a record's bytes begin at 32");

/* The bytes of a PAWL_WORK_NOTE_DETAIL: this, then title 0 description 0 payload metadata. */
struct note_detail {
    uint32_t title_size; /* without the closing zeros */
    uint32_t description_size;
    uint32_t payload_size;
    uint32_t metadata_size;
};

/* The definitions; durability is the caller's to set. */
extern const struct pawl_machine_def pawl__note_machines[NOTE_MACHINES];

/*
 * pawl__note_append - in the step of a work task: a note becomes its newest. first: position of the
 * first note machine. 0, or the error; must: the step has failed with it, otherwise not where room
 * is missing and the note has one part. bytes: up to PAWL_REPORT_BYTES_MAX and what a detail has
 * besides.
 */
int pawl__note_append(struct pawl_step *step, struct pawl_work *work, unsigned first,
                      const struct pawl_work_note *note, bool must);

/* As pawl_step_create on this shard, but a want of room does not fail the step (shard/handler.c). */
int pawl__step_try_create(struct pawl_step *step, const struct pawl_task_spec *spec,
                          struct pawl_task *task);

/* Ends all notes of a task; it forgets them. */
void pawl__notes_end(struct pawl_step *step, struct pawl_work *work);

/* Bytes of a detail; 0: too many. */
size_t pawl__detail_size(const struct pawl_work_detail *detail);
void pawl__detail_write(void *to, const struct pawl_work_detail *detail);

#endif /* PAWL_AGENT_NOTE_H */
