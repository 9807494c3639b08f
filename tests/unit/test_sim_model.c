/* The simulator's model: what it calls a violation, and what it lets pass. */
#include <string.h>

#include "sim_model.h"
#include "sim_run.h"
#include "support/test.h"

static struct sim_model model;

static struct sim_task *live_task(enum sim_machine machine, uint64_t id)
{
    struct sim_task *task = sim_task_plan(&model, machine);

    sim_task_name(&model, task, id);
    task->life = SIM_ALIVE;
    task->state = SIM_IDLE;
    task->shard = 0;
    sim_task_list(&model, task);
    return task;
}

/* A turn of shard 0 that leaves this sum of hashes, in this frame. */
static void turn(uint64_t hash, uint64_t frames)
{
    sim_turn_begin(&model, 0, 1000 * frames);
    model.shard[0].hash = hash;
    sim_turn_end(&model, frames, false);
}

static struct sim_picture picture(uint64_t hash, uint64_t lsn)
{
    return (struct sim_picture){.shards = 1, .hash = {hash}, .lsn = {lsn}, .file = {1}};
}

static bool legal(struct sim_picture of, enum sim_legal how)
{
    char why[512];

    return sim_picture_legal(&model, &of, how, NULL, why, sizeof(why));
}

Test(sim_model, what_was_there_after_a_turn_is_legal)
{
    sim_model_init(&model, 1);
    model.shard[0].base_file = 1;
    turn(11, 1);
    turn(22, 2);
    turn(33, 3);
    cr_assert(legal(picture(22, 2), SIM_EXACT));
    cr_assert(legal(picture(33, 3), SIM_EXACT));
    cr_assert(!legal(picture(33, 2), SIM_EXACT), "tasks of one turn under the number of another");
    cr_assert(!legal(picture(44, 3), SIM_ANY), "what never was");
    sim_model_fini(&model);
}

Test(sim_model, what_was_acknowledged_must_be_there)
{
    sim_model_init(&model, 1);
    model.shard[0].base_file = 1;
    turn(11, 1);
    turn(22, 2);
    turn(33, 3);
    sim_raise_floor(&model, 0, 3);
    cr_assert(!legal(picture(22, 2), SIM_EXACT));
    cr_assert(!legal(picture(22, 2), SIM_HELD));
    cr_assert(legal(picture(22, 2), SIM_ANY));
    cr_assert(legal(picture(33, 3), SIM_HELD));
    sim_model_fini(&model);
}

Test(sim_model, nobody_learns_of_what_a_dead_process_does)
{
    sim_model_init(&model, 1);
    turn(11, 1);
    model.frozen = true;
    sim_raise_floor(&model, 0, 1);
    cr_assert_eq(model.shard[0].floor, 0);
    sim_model_fini(&model);
}

Test(sim_model, an_event_is_handled_once)
{
    struct sim_task *task;
    struct pawl_event event = {.code = SIM_WORK};
    uint32_t number;

    sim_model_init(&model, 1);
    task = live_task(SIM_SMALL, 7);
    number = sim_letter(&model, NULL, task, SIM_WORK, 0, 0);
    event.task.id = 7;
    event.arg[0] = number;
    sim_letter_seen(&model, number, task, &event);
    cr_assert(!model.failed);
    sim_letter_taken(&model, number, task, false);
    sim_letter_seen(&model, number, task, &event);
    cr_assert(model.failed);
    cr_assert_str_eq(model.rule, "letters");
    sim_model_fini(&model);
}

Test(sim_model, an_event_must_come_as_it_was_sent)
{
    struct sim_task *task;
    struct pawl_event event = {.task = {7}, .code = SIM_GIVE, .arg = {0, 5}};
    uint32_t number;

    sim_model_init(&model, 1);
    task = live_task(SIM_SMALL, 7);
    number = sim_letter(&model, NULL, task, SIM_GIVE, 4, 0);
    event.arg[0] = number;
    sim_letter_seen(&model, number, task, &event);
    cr_assert(model.failed, "four tokens became five");
    sim_model_fini(&model);
}

/* One durable event from a sync task, sent in turn 1 and taken in turn 2; the crash leaves `turns` of them. */
static enum sim_fate fate_after_crash(size_t turns)
{
    struct sim_task *from, *to;
    struct sim_letter *letter;
    enum sim_fate fate;
    uint32_t number;

    sim_model_init(&model, 1);
    from = live_task(SIM_SMALL, 7);
    to = live_task(SIM_SMALL, 8);
    number = sim_letter(&model, from, to, SIM_WORK, 0, 0);
    letter = sim_letter_at(&model, number);
    letter->fate = SIM_EXPECTED;
    letter->sent_at = 1;
    turn(1, 1);
    sim_letter_taken(&model, number, to, false);
    turn(2, 2);
    model.shard[0].turns_count = turns;
    model.shard[0].sure = turns - 1;
    sim_letters_recover(&model);
    fate = (enum sim_fate)letter->fate;
    sim_model_fini(&model);
    return fate;
}

Test(sim_model, a_crash_decides_what_becomes_of_an_event)
{
    cr_assert_eq(fate_after_crash(3), SIM_VOID, "handled for good");
    cr_assert_eq(fate_after_crash(2), SIM_EXPECTED, "sent for good, handled once more");
    cr_assert_eq(fate_after_crash(1), SIM_VOID, "never sent");
}

Test(sim_model, an_event_that_never_comes_is_found)
{
    sim_model_init(&model, 1);
    sim_letter(&model, NULL, live_task(SIM_SMALL, 7), SIM_WORK, 0, 0);
    sim_letters_check(&model);
    cr_assert(model.failed);
    sim_model_fini(&model);
}

Test(sim_model, a_known_id_is_not_given_out_again)
{
    struct sim_task *task;

    sim_model_init(&model, 1);
    task = live_task(SIM_SMALL, 7);
    task->life = SIM_ENDED;
    sim_task_list(&model, task);
    live_task(SIM_SMALL, 8);
    cr_assert(!model.failed);
    task->told = true;
    live_task(SIM_SMALL, 7);
    cr_assert(model.failed);
    cr_assert_str_eq(model.rule, "ids");
    sim_model_fini(&model);
}

Test(sim_model, tokens_balance)
{
    struct sim_task *task;

    sim_model_init(&model, 1);
    task = live_task(SIM_SMALL, 7);
    task->letter = sim_letter(&model, NULL, task, SIM_CREATION, 0, 0);
    task->context.tokens = SIM_MINT;
    sim_tokens_check(&model);
    cr_assert(!model.failed);
    task->context.tokens--;
    sim_tokens_check(&model);
    cr_assert(model.failed);
    sim_model_fini(&model);
}

Test(sim_model, the_first_violation_is_kept)
{
    sim_model_init(&model, 1);
    sim_fail(&model, "one", "first %d", 1);
    sim_fail(&model, "two", "second");
    cr_assert_str_eq(model.rule, "one");
    cr_assert_str_eq(model.text, "first 1");
    sim_model_fini(&model);
}

Test(sim_run, the_same_work_in_memory_is_sound)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        const struct sim_run_options options = {.seed = seed, .steps = 1500, .memory = true};
        struct sim_run_result result;

        sim_run(&options, &result, NULL);
        cr_assert(!result.failed, "seed %d: %s: %s", (int)seed, result.rule, result.text);
        cr_assert(result.steps > 100);
    }
}

Test(sim_run, a_seed_is_one_run)
{
    const struct sim_run_options options = {
        .seed = 7, .steps = 400, .faults = SIM_FAULTS_KILL | SIM_FAULTS_POWER};
    const struct sim_run_options other = {
        .seed = 8, .steps = 400, .faults = SIM_FAULTS_KILL | SIM_FAULTS_POWER};
    struct sim_run_result first, second, third;

    sim_run(&options, &first, NULL);
    sim_run(&options, &second, NULL);
    sim_run(&other, &third, NULL);
    cr_assert_eq(first.digest, second.digest);
    cr_assert(first.digest != third.digest);
    cr_assert(first.crashes > 0);
}

Test(sim_run, faults_have_names)
{
    unsigned faults = 99;
    char unknown[32];

    cr_assert(sim_faults_parse("none", &faults, unknown));
    cr_assert_eq(faults, 0);
    cr_assert(sim_faults_parse("all", &faults, unknown));
    cr_assert_eq(faults, SIM_FAULTS_ALL);
    cr_assert(sim_faults_parse("kill,damage", &faults, unknown));
    cr_assert_eq(faults, SIM_FAULTS_KILL | SIM_FAULTS_DAMAGE);
    cr_assert(!sim_faults_parse("kill,moth", &faults, unknown));
    cr_assert_str_eq(unknown, "moth");
}
