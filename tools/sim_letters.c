/*
 * sim_letters.c - every event of a simulated run, from its sending to its fate: handled or reported
 * once, or never seen again (sim_model.h).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shard/create.h"
#include "sim_jobs.h"
#include "sim_model.h"

struct sim_letter *sim_letter_at(struct sim_model *model, uint64_t number)
{
    if (number == 0 || number >= model->letters_count)
        return NULL;
    return &model->letters[number];
}

/* Only letters that may come have a place in the count of open ones. */
static void set_fate(struct sim_model *model, struct sim_letter *letter, enum sim_fate fate)
{
    model->open -= letter->fate <= SIM_EXPECTED;
    letter->fate = (uint8_t)fate;
    model->open += fate <= SIM_EXPECTED;
}

static enum sim_sender sender_of(const struct sim_task *from)
{
    if (from == NULL)
        return SIM_FROM_PORT;
    if (sim_is_sync(from->machine))
        return SIM_FROM_SYNC;
    return from->machine == SIM_ASYNC ? SIM_FROM_ASYNC : SIM_FROM_MEMORY;
}

uint32_t sim_letter(struct sim_model *model, const struct sim_task *from, const struct sim_task *to,
                    uint16_t code, uint64_t arg, uint32_t buffer_size)
{
    const uint32_t number = model->letters_count;
    struct sim_letter *letter;

    if (number == SIM_LETTERS_MAX) {
        fputs("pawl sim: too many events for one run; use fewer steps\n", stderr);
        exit(EXIT_FAILURE);
    }
    model->letters_count++;
    letter = &model->letters[number];
    *letter = (struct sim_letter){.to = code == SIM_CREATION ? 0 : to->id,
                                  .arg = arg,
                                  .to_uid = to->uid,
                                  .from_uid = from != NULL ? from->uid : 0,
                                  .buffer_size = buffer_size,
                                  .code = code,
                                  .from_shard = (uint8_t)model->turning,
                                  .to_shard = (uint8_t)to->shard,
                                  .fate = from != NULL ? SIM_STAGED : SIM_EXPECTED,
                                  .sender = (uint8_t)sender_of(from)};
    model->open++;
    if (model->log != NULL)
        fprintf(model->log,
                "      #%" PRIu32 ": %s from %" PRIu32 " to %s %" PRIu32 ", key %" PRIu32 "\n",
                number, sim_code_name(code), letter->from_uid, sim_machine_name(to->machine),
                to->uid, to->key);
    return number;
}

void sim_letter_withdraw(struct sim_model *model, uint32_t number)
{
    set_fate(model, sim_letter_at(model, number), SIM_VOID);
}

void sim_letter_bytes(uint32_t number, uint8_t *bytes, size_t size)
{
    struct random r = {number};

    for (size_t i = 0; i < size; i += 8) {
        const uint64_t word = random_next(&r);

        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
}

/* ---- seen ---- */

static bool buffer_is_right(uint32_t number, const struct sim_letter *letter,
                            const struct pawl_event *event)
{
    struct pawl_buffer *buffer;
    uint8_t *expected;
    bool same;

    if ((event->flags & PAWL_EVENT_BUFFER) == 0)
        return letter->buffer_size == 0;
    buffer = (struct pawl_buffer *)(uintptr_t)event->arg[0];
    if (pawl_buffer_size(buffer) != letter->buffer_size)
        return false;
    expected = malloc(letter->buffer_size);
    sim_letter_bytes(number, expected, letter->buffer_size);
    same =
        expected != NULL && memcmp(expected, pawl_buffer_bytes(buffer), letter->buffer_size) == 0;
    free(expected);
    return same;
}

/* An effect of a sync step is seen where only what is on disk may be seen. */
static void prove_sender(struct sim_model *model, const struct sim_letter *letter,
                         const struct sim_task *task)
{
    if (letter->sender != SIM_FROM_SYNC)
        return;
    if (letter->from_shard != model->turning || !sim_is_durable(task->machine))
        sim_raise_floor(model, letter->from_shard, letter->sent_at);
}

static const char *fate_name(enum sim_fate fate)
{
    switch (fate) {
    case SIM_STAGED:
        return "its step had not ended";
    case SIM_EXPECTED:
        return "open";
    case SIM_TAKEN:
        return "handled or reported before";
    case SIM_MAYBE:
        return "may come";
    case SIM_VOID:
        return "lost with its sender, or settled before the crash";
    }
    return "?";
}

static bool may_be_seen(struct sim_model *model, uint32_t number, const char *what)
{
    const struct sim_letter *letter = sim_letter_at(model, number);

    if (letter == NULL) {
        sim_fail(model, "letters", "an event was %s that nobody has sent: #%" PRIu32, what, number);
        return false;
    }
    if (letter->fate != SIM_EXPECTED && letter->fate != SIM_MAYBE) {
        sim_fail(model, "letters",
                 "event #%" PRIu32 " (%s from task %" PRIu32 " to task %" PRIu32
                 ") was %s although it must not be: %s",
                 number, sim_code_name(letter->code), letter->from_uid, letter->to_uid, what,
                 fate_name(letter->fate));
        return false;
    }
    return true;
}

void sim_letter_seen(struct sim_model *model, uint32_t number, const struct sim_task *task,
                     const struct pawl_event *event)
{
    const struct sim_letter *letter = sim_letter_at(model, number);

    if (!may_be_seen(model, number, "handled"))
        return;
    if (letter->code != event->code || letter->to_uid != task->uid ||
        (letter->to != 0 && letter->to != task->id))
        sim_fail(model, "letters",
                 "event #%" PRIu32 " was sent as %s to task %" PRIu32
                 ", and came as %s to task %" PRIu32,
                 number, sim_code_name(letter->code), letter->to_uid, sim_code_name(event->code),
                 task->uid);
    /* An asker's address takes the second word's place. */
    if (letter->code != SIM_ASK && letter->arg != event->arg[1])
        sim_fail(model, "letters",
                 "event #%" PRIu32 " has the word %" PRIx64 " and was sent with %" PRIx64, number,
                 event->arg[1], letter->arg);
    if (!buffer_is_right(number, letter, event))
        sim_fail(model, "letters",
                 "event #%" PRIu32 " came with another buffer than it was sent with", number);
    prove_sender(model, letter, task);
}

void sim_letter_taken(struct sim_model *model, uint32_t number, const struct sim_task *task,
                      bool reported)
{
    struct sim_letter *letter = sim_letter_at(model, number);

    if (letter == NULL)
        return;
    set_fate(model, letter, SIM_TAKEN);
    letter->to_shard = (uint8_t)model->turning;
    letter->taken_at = model->shard[model->turning].turns_count;
    letter->reported = reported;
    if (task != NULL) {
        letter->version = task->version;
        letter->state = (uint16_t)task->state;
    }
}

/* ---- told ---- */

uint32_t sim_letter_number(const struct pawl_event *event)
{
    if ((event->flags & PAWL_EVENT_TIMER) != 0 || event->code == SIM_REPLY ||
        event->code == SIM_BORN || event->code == SIM_RAISED || event->code == SIM_CANCELLING)
        return 0;
    if ((event->flags & PAWL_EVENT_BUFFER) != 0) {
        struct pawl_buffer *buffer = (struct pawl_buffer *)(uintptr_t)event->arg[0];

        if (event->code == SIM_CREATION)
            return (uint32_t)((const struct create_request *)pawl_buffer_bytes(buffer))->arg[0];
        return (uint32_t)event->arg[1];
    }
    return (uint32_t)event->arg[0];
}

/*
 * What is asked for and refused is reported to the asker by an answer, which does not say what it
 * answers. A question names the task that it was for, a creation the one that has its key: the
 * oldest that fits is meant, before those of which nobody knows whether they come.
 */
static bool is_answered_by(struct sim_model *model, const struct sim_letter *letter,
                           const struct sim_task *asker, const struct pawl_event *answer)
{
    const struct sim_task *named = sim_task_by_id(model, answer->arg[0]);

    if (letter->from_uid != asker->uid)
        return false;
    if (answer->code == SIM_REPLY)
        return letter->code == SIM_ASK && letter->to == answer->arg[0];
    return letter->code == SIM_CREATION && named != NULL &&
           model->tasks[letter->to_uid].key == named->key;
}

static uint32_t oldest_answered_by(struct sim_model *model, const struct sim_task *asker,
                                   const struct pawl_event *answer, enum sim_fate fate)
{
    for (uint32_t i = model->letters_first; i < model->letters_count; i++)
        if (model->letters[i].fate == fate &&
            is_answered_by(model, &model->letters[i], asker, answer))
            return i;
    return 0;
}

void sim_refused(struct sim_model *model, const struct sim_task *asker,
                 const struct pawl_event *answer)
{
    uint32_t number = oldest_answered_by(model, asker, answer, SIM_EXPECTED);
    struct sim_letter *letter;

    if (number == 0)
        number = oldest_answered_by(model, asker, answer, SIM_MAYBE);
    if (number == 0)
        return;
    letter = sim_letter_at(model, number);
    sim_letter_taken(model, number, NULL, true);
    /*
     * Here, or in another shard in a turn that is over. What a sync step asks for is answered when
     * that is durable; an async asker may have its answer from a turn that a crash undoes.
     */
    if (pawl_task_shard((struct pawl_task){answer->arg[0]}) == model->turning)
        return;
    letter->taken_at = 0;
    if (letter->sender != SIM_FROM_SYNC)
        set_fate(model, letter, SIM_MAYBE);
}

static void refused_in_vain(struct sim_model *model, const struct pawl_event *answer)
{
    const struct sim_task *asker = sim_task_by_id(model, answer->task.id);

    if (asker == NULL || answer->arg[1] == 0)
        return;
    sim_step_settle(model); /* which may have asked */
    sim_refused(model, asker, answer);
}

/* An event for a task of the library's own: what it answers, or was asked for, is no letter. */
static bool is_of_work(struct sim_model *model, const struct pawl_event *event)
{
    const struct sim_task *task = sim_task_by_id(model, event->task.id);
    const struct sim_job *job;

    if (model->jobs == NULL || event->code == SIM_CREATION)
        return false;
    job = sim_job_by_id(model->jobs, event->task.id);
    return task == NULL || (job != NULL && (job->alive || task->life != SIM_ALIVE));
}

void sim_reported(struct sim_model *model, const struct pawl_event *event, int reason)
{
    const uint32_t number = sim_letter_number(event);

    if (model->silent || model->frozen || model->failed || is_of_work(model, event))
        return;
    if (event->code == SIM_REPLY || event->code == SIM_BORN)
        refused_in_vain(model, event);
    if (number == 0)
        return;
    /*
     * A task that ends reports what it has put aside while its last step still runs; but what a
     * step has sent can only be reported when that step is over.
     */
    if (number < model->letters_count && model->letters[number].fate == SIM_STAGED)
        sim_step_settle(model);
    if (!may_be_seen(model, number, "reported"))
        return;
    sim_note(model, &model->tasks[sim_letter_at(model, number)->to_uid], number, event->code, 0, 0,
             pawl_strerror(reason));
    /* Failed storage: nobody knows, and recovery may send it again. */
    if (reason == -EIO) {
        if (sim_letter_at(model, number)->sender < SIM_FROM_ASYNC)
            set_fate(model, sim_letter_at(model, number), SIM_MAYBE);
        return;
    }
    sim_letter_taken(model, number, NULL, true);
}

static void completed_well(struct sim_model *model, const struct pawl_completion *completion,
                           struct sim_letter *letter)
{
    struct sim_task *task = sim_task_by_id(model, completion->task.id);
    const bool sync = task != NULL && sim_is_sync(task->machine);

    if (task == NULL || task->uid != letter->to_uid) {
        sim_fail(model, "letters",
                 "the completion of #%" PRIu32 " names task %" PRIx64 ", not task %" PRIu32,
                 completion->tag, completion->task.id, letter->to_uid);
        return;
    }
    if (letter->code == SIM_CREATION)
        task->told = true;
    if (letter->fate != SIM_TAKEN || letter->reported) {
        sim_fail(model, "letters",
                 "#%" PRIu32 " was completed as handled, and nobody has handled it",
                 completion->tag);
        return;
    }
    if (completion->version != letter->version || completion->state != letter->state)
        sim_fail(model, "steps",
                 "the completion of #%" PRIu32 " says state %s, version %" PRIu32
                 "; its step led to %s, version %" PRIu32,
                 completion->tag, sim_state_name(completion->state), completion->version,
                 sim_state_name(letter->state), letter->version);
    if (letter->code == SIM_ASK && completion->value != completion->tag)
        sim_fail(model, "letters", "#%" PRIu32 " was answered with %" PRIu64, completion->tag,
                 completion->value);
    if (model->shard[letter->to_shard].failed && sync &&
        letter->taken_at > model->shard[letter->to_shard].failed_turn)
        sim_fail(model, "failed",
                 "#%" PRIu32 " was acknowledged although its shard had failed before",
                 completion->tag);
    if (model->store && sync && completion->durability != PAWL_DURABILITY_SYNC)
        sim_fail(model, "floor", "the completion of #%" PRIu32 ", a sync step, says durability %u",
                 completion->tag, completion->durability);
    if (completion->durability == PAWL_DURABILITY_SYNC && sim_is_durable(task->machine)) {
        model->acknowledged++;
        sim_raise_floor(model, letter->to_shard, letter->taken_at);
    }
}

void sim_completed(struct sim_model *model, const struct pawl_completion *completion)
{
    struct sim_letter *letter = sim_letter_at(model, completion->tag);
    struct sim_task *task;

    if (model->failed || model->frozen)
        return;
    if (letter == NULL || !letter->complete) {
        sim_fail(model, "letters", "a completion for #%" PRIu32 ", for which none is due",
                 completion->tag);
        return;
    }
    letter->complete = false;
    task = &model->tasks[letter->to_uid];
    sim_note(model, task, completion->tag, letter->code, 0, 0,
             completion->status == 0 ? "acknowledged" : pawl_strerror(completion->status));
    if (letter->code == SIM_CANCELLING) {
        task->cancels--;
        set_fate(model, letter, SIM_VOID);
        if (completion->status == 0 && task->life == SIM_ENDED &&
            completion->durability == PAWL_DURABILITY_SYNC)
            sim_raise_floor(model, task->shard, task->ended_turn);
        return;
    }
    if (completion->status == 0) {
        completed_well(model, completion, letter);
        return;
    }
    if (letter->fate == SIM_TAKEN && completion->status != -EIO) {
        sim_fail(model, "letters", "#%" PRIu32 " was handled, and its completion says: %s",
                 completion->tag, pawl_strerror(completion->status));
        return;
    }
    if (completion->status == -EEXIST) {
        const struct sim_task *holder = sim_task_by_id(model, completion->task.id);

        if (holder != NULL && holder->key != task->key)
            sim_fail(model, "ids",
                     "#%" PRIu32 " was refused because task %" PRIx64
                     " has its key, and it has not",
                     completion->tag, completion->task.id);
    }
    if (letter->fate != SIM_EXPECTED && letter->fate != SIM_MAYBE)
        return;
    /* What failed storage has made unknown may have been handled all the same. */
    if (completion->status == -EIO || letter->to_shard >= model->shards) {
        set_fate(model, letter, SIM_MAYBE);
        return;
    }
    /* It was refused in this turn of its shard or an earlier one, which a crash may undo. */
    set_fate(model, letter, SIM_TAKEN);
    letter->reported = true;
    letter->taken_at = model->shard[letter->to_shard].turns_count - 1;
}

/* ---- after a crash ---- */

static enum sim_fate fate_after(const struct sim_model *model, const struct sim_letter *letter)
{
    const struct sim_task *to = &model->tasks[letter->to_uid];
    const bool sent = letter->fate != SIM_STAGED &&
                      letter->sent_at < model->shard[letter->from_shard].turns_count;
    const bool taken =
        letter->fate == SIM_TAKEN && letter->taken_at < model->shard[letter->to_shard].turns_count;

    if (letter->fate == SIM_VOID || letter->code == SIM_CANCELLING)
        return SIM_VOID;
    /* What leaves no trace in any durable task may be in the last frame or not. */
    if (taken && (letter->reported || !sim_is_durable(to->machine)) &&
        letter->taken_at > model->shard[letter->to_shard].sure)
        return SIM_MAYBE;
    switch ((enum sim_sender)letter->sender) {
    case SIM_FROM_PORT:
    case SIM_FROM_MEMORY:
        /* It may have been put aside by a task that has survived. */
        return taken || !sim_is_durable(to->machine) ? SIM_VOID : SIM_MAYBE;
    case SIM_FROM_ASYNC:
        if (!sent)
            return taken || !sim_is_durable(to->machine) ? SIM_VOID : SIM_MAYBE;
        break;
    case SIM_FROM_SYNC:
        if (!sent)
            return SIM_VOID;
        break;
    }
    if (letter->fate == SIM_MAYBE)
        return SIM_MAYBE;
    if (!sim_is_durable(to->machine))
        return letter->code == SIM_CREATION && !taken ? SIM_EXPECTED : SIM_MAYBE;
    return taken ? SIM_VOID : SIM_EXPECTED;
}

void sim_letters_recover(struct sim_model *model)
{
    uint32_t first = model->letters_count;

    for (uint32_t i = model->letters_first; i < model->letters_count; i++) {
        struct sim_letter *letter = &model->letters[i];
        const enum sim_fate fate = fate_after(model, letter);

        if (letter->fate == SIM_VOID)
            continue;
        /* Reported for good, or so it seems: what was in it is gone (sim_tokens_check). */
        letter->reported = letter->reported && fate != SIM_EXPECTED &&
                           (letter->fate == SIM_MAYBE ||
                            letter->taken_at < model->shard[letter->to_shard].turns_count);
        if (fate != SIM_VOID && first > i)
            first = i;
        /* A task that only memory held may come to life once more. */
        if (fate != SIM_VOID && letter->code == SIM_CREATION &&
            !sim_is_durable(model->tasks[letter->to_uid].machine)) {
            struct sim_task *task = &model->tasks[letter->to_uid];

            task->life = SIM_UNBORN;
            task->hash = task->first_hash;
        }
        letter->complete = false;
        /* Turn numbers begin anew: these are those of the turns that are left. */
        if (fate == SIM_EXPECTED || fate == SIM_MAYBE)
            letter->taken_at = UINT64_MAX;
        set_fate(model, letter, fate);
    }
    model->letters_first = first;
}

void sim_letters_check(struct sim_model *model)
{
    for (uint32_t i = model->letters_first; i < model->letters_count; i++) {
        const struct sim_letter *letter = &model->letters[i];

        if (letter->fate == SIM_EXPECTED) {
            sim_fail(model, "letters",
                     "event #%" PRIu32 " (%s from %s %" PRIu32 " to task %" PRIu32
                     ") was neither handled nor reported",
                     i, sim_code_name(letter->code),
                     letter->from_uid == 0
                         ? "the port"
                         : sim_machine_name(model->tasks[letter->from_uid].machine),
                     letter->from_uid, letter->to_uid);
            return;
        }
    }
    for (uint32_t i = 0; i < model->alive_count; i++) {
        const struct sim_task *task = &model->tasks[model->alive[i]];

        if (sim_is_sync(task->machine) && task->due != 0)
            sim_fail(model, "letters",
                     "task %" PRIu32 " waits for %" PRId32 " answers that do not come", task->uid,
                     task->due);
    }
}
