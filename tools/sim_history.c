/*
 * sim_history.c - turns, pictures of what is there after them, and the way back after a crash.
 */
#include <inttypes.h>
#include <pawl/runtime.h>
#include <stdlib.h>
#include <string.h>

#include "shard/durable.h"
#include "shard/runtime.h"
#include "shard/store_open.h"
#include "sim_jobs.h"
#include "sim_model.h"

#define VIEWS 32u

/* ---- looking at a runtime ---- */

/* One after the other, all tasks of a runtime; shard: PAWL_ANY, or only this one's. */
struct look {
    const struct pawl_runtime *runtime;
    struct pawl_walk walk;
    uint32_t shard;
    struct pawl_view views[VIEWS];
    uint64_t words[VIEWS][SIM_CONTEXT_WORDS];
    int count;
    int at;
};

static void look_begin(struct look *look, const struct pawl_runtime *runtime, uint32_t shard)
{
    look->runtime = runtime;
    look->walk = (struct pawl_walk){.shard = shard == PAWL_ANY ? 0 : shard};
    look->shard = shard;
    look->count = 0;
    look->at = 0;
    for (unsigned i = 0; i < VIEWS; i++)
        look->views[i] = (struct pawl_view){.context = look->words[i],
                                            .context_capacity = sizeof(look->words[i])};
}

/* The next task, or NULL. */
static const struct pawl_view *look_next(struct look *look)
{
    static const struct pawl_filter all = {.machine = PAWL_ANY, .state = PAWL_ANY};

    while (look->at == look->count) {
        if (look->walk.done || (look->shard != PAWL_ANY && look->walk.shard != look->shard))
            return NULL;
        look->at = 0;
        look->count = pawl_task_walk(look->runtime, &look->walk, &all, look->views, VIEWS, 4096);
        if (look->count < 0)
            look->count = 0;
    }
    if (look->shard != PAWL_ANY && pawl_task_shard(look->views[look->at].task) != look->shard)
        return NULL;
    return &look->views[look->at++];
}

/* Keys are "k" and a number; 0: none. */
static uint32_t key_of(const struct pawl_view *view)
{
    char text[sizeof(view->key) + 1] = "";

    if (view->key_size < 2 || view->key_size >= sizeof(view->key))
        return view->key_size == 0 ? 0 : UINT32_MAX;
    memcpy(text, view->key, view->key_size);
    return text[0] == 'k' ? (uint32_t)strtoul(text + 1, NULL, 10) : UINT32_MAX;
}

static uint64_t view_hash(const struct pawl_view *view)
{
    if (view->machine >= SIM_MACHINES)
        return sim_jobs_hash(view);
    return sim_hash_of(view->task.id, view->machine, view->state, view->version, key_of(view),
                       sim_context_hash(view->context, view->context_size));
}

/* Where frames go in files is not told: the files' headers are read. */
static bool header_of(const struct store *store, const struct store_file *file,
                      struct file_header *header)
{
    const struct pawl_storage *storage = store->storage;
    char name[STORE_NAME_MAX], path[STORE_PATH_MAX];
    int64_t got;
    void *handle;

    pawl__store_file_name(file, name);
    if (pawl__store_path(store->directory, name, path) != 0 ||
        storage->open(storage->user, path, PAWL_STORAGE_READ, &handle) != 0)
        return false;
    got = storage->read(storage->user, handle, header, sizeof(*header), 0);
    storage->close(storage->user, handle);
    return got == (int64_t)sizeof(*header) &&
           memcmp(header->magic, FILE_MAGIC, sizeof(header->magic)) == 0;
}

static void find_files(const struct store *store, struct sim_picture *picture)
{
    struct store_file *files = NULL;
    size_t count = 0;

    if (pawl__store_list(store->storage, store->directory, &files, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct store_file *file = &files[i];
        struct file_header header;

        if (file->kind == FILE_JOURNAL && !file->is_new && file->shard < picture->shards &&
            file->set == store->manifest->set && header_of(store, file, &header) &&
            header.epoch < store->manifest->epoch &&
            header.first_lsn <= picture->lsn[file->shard] + 1 &&
            file->file > picture->file[file->shard])
            picture->file[file->shard] = file->file;
    }
    free(files);
}

void sim_picture_take(const struct pawl_runtime *runtime, struct sim_picture *picture)
{
    static struct look look;
    const struct pawl_view *view;

    memset(picture, 0, sizeof(*picture));
    picture->shards = pawl_shard_count(runtime);
    look_begin(&look, runtime, PAWL_ANY);
    while ((view = look_next(&look)) != NULL) {
        if (!sim_is_durable((enum sim_machine)view->machine))
            continue;
        picture->hash[pawl_task_shard(view->task)] += view_hash(view);
        picture->tasks++;
    }
    for (unsigned i = 0; i < picture->shards; i++) {
        if (runtime->store == NULL)
            continue;
        picture->lsn[i] = runtime->shards[i]->durable->position.lsn - 1;
        picture->next_file[i] = runtime->shards[i]->durable->position.file;
    }
    if (runtime->store != NULL) {
        picture->set = runtime->store->manifest->set;
        find_files(runtime->store, picture);
    }
}

/* ---- turns ---- */

void sim_turn_begin(struct sim_model *model, unsigned shard, uint64_t now_ns)
{
    model->turning = shard;
    model->now_ns = now_ns;
}

static void compare(struct sim_model *model, const struct pawl_view *view, struct sim_task *task)
{
    const struct sim_context *context = view->context;

    if (view->machine >= SIM_MACHINES) {
        sim_jobs_seen(model, view);
        return;
    }
    if ((task == NULL || task->life != SIM_ALIVE) && context->uid < model->tasks_count) {
        task = &model->tasks[context->uid];
        if (task->life == SIM_UNBORN && task->uid != 0)
            sim_step_born(model, task, view);
    }
    if (task == NULL || task->life != SIM_ALIVE) {
        sim_fail(model, "steps", "there is a task %" PRIx64 " of which nobody knows",
                 view->task.id);
        return;
    }
    if (view->machine != task->machine || view->state != task->state ||
        view->version != task->version || key_of(view) != task->key ||
        sim_context_hash(view->context, view->context_size) != task->hash)
        sim_fail(model, "steps",
                 "task %" PRIu32 " is %s, version %" PRIu32 ", key %" PRIu32
                 " and should be %s, version %" PRIu32 ", key %" PRIu32 "%s",
                 task->uid, sim_state_name(view->state), view->version, key_of(view),
                 sim_state_name(task->state), task->version, task->key,
                 sim_context_hash(view->context, view->context_size) != task->hash
                     ? "; its context is another one"
                     : "");
    task->alive_slot |= UINT32_C(1) << 31;
}

/* A memory-only task's cancel runs no function that the model could hear of. */
static void missed(struct sim_model *model, struct sim_task *task)
{
    if (task->machine != SIM_MEMORY || task->cancels == 0) {
        sim_fail(model, "steps", "task %" PRIu32 " (%s) is gone, and nothing has ended it",
                 task->uid, sim_state_name(task->state));
        return;
    }
    task->life = SIM_ENDED;
    sim_task_list(model, task);
}

static void compare_all(struct sim_model *model)
{
    static struct look look;
    const struct pawl_view *view;

    look_begin(&look, model->runtime, model->turning);
    while (!model->failed && (view = look_next(&look)) != NULL)
        compare(model, view, sim_task_by_id(model, view->task.id));
    for (uint32_t i = model->alive_count; i-- > 0;) {
        struct sim_task *task = &model->tasks[model->alive[i]];
        const bool seen = task->alive_slot >> 31 != 0;

        task->alive_slot &= ~(UINT32_C(1) << 31);
        if (!seen && task->shard == model->turning && !model->failed)
            missed(model, task);
    }
    if (model->jobs != NULL && !model->failed)
        sim_jobs_turned(model);
}

void sim_timers_check(struct sim_model *model)
{
    if (model->shard[model->turning].failed || model->frozen || model->failed)
        return;
    for (uint32_t i = 0; i < model->alive_count; i++) {
        const struct sim_task *task = &model->tasks[model->alive[i]];

        if (task->shard != model->turning)
            continue;
        for (unsigned t = 0; t < SIM_TIMERS; t++)
            if (task->timers[t].armed && task->timers[t].to_ns <= model->now_ns)
                sim_fail(
                    model, "timers",
                    "timer %u of task %" PRIu32 " has not fired by %.3f ms; it was due by %.3f ms",
                    t, task->uid, (double)model->now_ns / 1e6, (double)task->timers[t].to_ns / 1e6);
    }
}

void sim_turn_end(struct sim_model *model, uint64_t frames, bool seen)
{
    struct sim_shard *shard = &model->shard[model->turning];

    sim_step_settle(model);
    /* A lane is kept by steps that no event leads to. */
    seen |= model->jobs != NULL && frames != shard->turns[shard->turns_count - 1].frames;
    if (seen && !model->failed)
        compare_all(model);
    if (shard->turns_count == shard->turns_capacity) {
        shard->turns_capacity *= 2;
        shard->turns = realloc(shard->turns, shard->turns_capacity * sizeof(*shard->turns));
        if (shard->turns == NULL)
            abort();
    }
    if (frames < shard->turns[shard->turns_count - 1].frames)
        sim_fail(model, "lsn", "shard %u went from frame %" PRIu64 " back to %" PRIu64,
                 model->turning, shard->turns[shard->turns_count - 1].frames, frames);
    shard->turns[shard->turns_count++] =
        (struct sim_turn){.hash = shard->hash, .now_ns = model->now_ns, .frames = frames};
}

void sim_all_durable(struct sim_model *model)
{
    for (unsigned i = 0; i < model->shards; i++)
        sim_raise_floor(model, i, model->shard[i].turns_count - 1);
}

/* ---- the way back ---- */

/* The last turn whose frame has a number no higher than this. */
static size_t turn_of(const struct sim_shard *shard, uint64_t frame)
{
    size_t low = 0, high = shard->turns_count;

    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;

        if (shard->turns[middle].frames <= frame)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/*
 * Seals have LSNs, too, and turns know of frames only. All files of the epoch but the last have
 * one; whether the last has one, nobody has told: that gives two turns to choose from.
 */
static void exact_turns(const struct sim_shard *shard, uint64_t lsn, uint64_t file, size_t *high,
                        size_t *low)
{
    const uint64_t base = shard->turns[shard->epoch_first].frames;
    const uint64_t seals = file > shard->base_file ? file - shard->base_file : 0;

    *high = turn_of(shard, lsn > base + seals ? lsn - seals : base);
    *low = lsn > base + seals ? turn_of(shard, lsn - seals - 1) : *high;
}

static size_t like(const struct sim_shard *shard, uint64_t hash, size_t first)
{
    size_t turn = shard->turns_count;

    while (turn > first && shard->turns[turn - 1].hash != hash)
        turn--;
    return turn > first ? turn - 1 : SIZE_MAX;
}

static bool shard_legal(const struct sim_shard *shard, unsigned number,
                        const struct sim_picture *picture, enum sim_legal legal, size_t *turn,
                        char *why, size_t why_size)
{
    const uint64_t hash = picture->hash[number];
    size_t high, low;

    exact_turns(shard, picture->lsn[number], picture->file[number], &high, &low);
    *turn = shard->turns[high].hash == hash ? high : low;
    if (legal != SIM_EXACT)
        *turn = like(shard, hash, legal == SIM_HELD ? shard->floor : 0);
    if (*turn == SIZE_MAX || shard->turns[*turn].hash != hash) {
        const size_t other = like(shard, hash, 0);

        snprintf(why, why_size,
                 "shard %u came back at LSN %" PRIu64
                 " as it was after turn %zu; the LSN is that of turn %zu, "
                 "turn %" PRIu64 " had been acknowledged, the last was %zu",
                 number, picture->lsn[number], other, high, shard->floor, shard->turns_count - 1);
        if (other == SIZE_MAX)
            snprintf(why, why_size,
                     "shard %u came back at LSN %" PRIu64
                     " as it never was; the LSN is that of turn %zu, "
                     "turn %" PRIu64 " had been acknowledged, the last was %zu",
                     number, picture->lsn[number], high, shard->floor, shard->turns_count - 1);
        return false;
    }
    if (legal != SIM_ANY && *turn < shard->floor) {
        snprintf(why, why_size,
                 "shard %u came back at LSN %" PRIu64 " as it was after turn %zu, and turn %" PRIu64
                 " had been acknowledged",
                 number, picture->lsn[number], *turn, shard->floor);
        return false;
    }
    return true;
}

bool sim_picture_legal(const struct sim_model *model, const struct sim_picture *picture,
                       enum sim_legal legal, size_t *turns, char *why, size_t why_size)
{
    if (picture->shards != model->shards) {
        snprintf(why, why_size, "there are %u shards and were %u", picture->shards, model->shards);
        return false;
    }
    if (picture->set != model->set && model->set != 0 && legal == SIM_EXACT)
        legal = SIM_HELD;
    for (unsigned i = 0; i < model->shards; i++) {
        size_t turn;

        if (!shard_legal(&model->shard[i], i, picture, legal, &turn, why, why_size))
            return false;
        if (turns != NULL)
            turns[i] = turn;
    }
    return true;
}

/*
 * An id that was given out in a turn that is lost is lost, too: another task may get it. Somebody
 * can have known it only if the task was async, memory-only, or created on the host's own thread.
 */
static void roll_back(struct sim_model *model, struct sim_shard *shard, size_t turn)
{
    while (shard->log_count > 0 && shard->log[shard->log_count - 1].turn > turn) {
        const struct sim_before *before = &shard->log[--shard->log_count];
        struct sim_task *task = &model->tasks[before->task.uid];
        const struct sim_task now = *task;

        *task = before->task;
        task->id = now.id;
        task->told = now.told && before->task.life != SIM_UNBORN;
        task->alive_slot = now.alive_slot;
        sim_task_list(model, task);
    }
    shard->log_count = 0;
}

/*
 * A timer has left what it had left at the shard's last frame, or less, but no less than at the
 * last turn of any shard: they all go on at one time.
 */
static void shift_timers(struct sim_task *task, uint64_t frame_ns, uint64_t crash_ns,
                         uint64_t now_ns)
{
    for (unsigned i = 0; i < SIM_TIMERS; i++) {
        struct sim_timer *timer = &task->timers[i];
        const uint64_t slack = SIM_TICK_NS;

        if (!timer->armed)
            continue;
        timer->from_ns = now_ns + (timer->from_ns > crash_ns ? timer->from_ns - crash_ns : 0);
        timer->from_ns = timer->from_ns > now_ns + slack ? timer->from_ns - slack : now_ns;
        timer->to_ns = now_ns + (timer->to_ns > frame_ns ? timer->to_ns - frame_ns : 0) + 2 * slack;
    }
}

/* Each task, one by one: the sums were equal, so a difference here is the model's, or a key's. */
static void check_tasks(struct sim_model *model, const struct pawl_runtime *runtime)
{
    for (uint32_t i = 0; i < model->alive_count; i++) {
        const struct sim_task *task = &model->tasks[model->alive[i]];
        struct pawl_view view = {.context = NULL};
        struct pawl_task found;
        char key[16];

        if (pawl_task_peek(runtime, (struct pawl_task){task->id}, &view) != 0 ||
            view.state != task->state || view.version != task->version) {
            sim_fail(model, "prefix", "task %" PRIu32 " (%" PRIx64 ") did not come back as it was",
                     task->uid, task->id);
            continue;
        }
        if (task->key == 0)
            continue;
        snprintf(key, sizeof(key), "k%" PRIu32, task->key);
        if (pawl_task_find(runtime, key, strlen(key), &found) != 0 || found.id != task->id)
            sim_fail(model, "ids", "key %s does not lead to task %" PRIu32 " any more", key,
                     task->uid);
    }
}

/* Those that are not durable are gone. */
static void forget_memory(struct sim_model *model)
{
    for (uint32_t i = model->alive_count; i-- > 0;) {
        struct sim_task *task = &model->tasks[model->alive[i]];

        if (!sim_is_durable(task->machine)) {
            task->life = SIM_ENDED;
            sim_task_list(model, task);
        } else {
            task->cancels = 0;
        }
    }
}

/* The shard's history ends after this turn, and goes on with the epoch that begins at now_ns. */
static void go_back(struct sim_model *model, unsigned number, const struct sim_picture *picture,
                    size_t turn, uint64_t now_ns)
{
    struct sim_shard *shard = &model->shard[number];
    size_t high, low;

    exact_turns(shard, picture->lsn[number], picture->file[number], &high, &low);
    shard->sure = low < turn ? low : turn;
    if (model->log != NULL)
        fprintf(model->log,
                "shard %u comes back at LSN %" PRIu64 ", after turn %zu of %zu; floor %" PRIu64
                "\n",
                number, picture->lsn[number], turn, shard->turns_count - 1, shard->floor);
    roll_back(model, shard, turn);
    if (model->jobs != NULL)
        sim_jobs_go_back(model, number, turn);
    shard->turns_count = turn + 1;
    shard->turns[turn].now_ns = now_ns;
    shard->turns[turn].frames = picture->lsn[number];
    shard->base_file = picture->next_file[number];
    shard->epoch_first = turn;
    shard->floor = turn;
    shard->hash = shard->turns[turn].hash;
    shard->failed = false;
}

void sim_recover(struct sim_model *model, const struct pawl_runtime *runtime, uint64_t now_ns)
{
    struct sim_picture picture;
    uint64_t frame_ns[SIM_SHARDS_MAX], crash_ns = 0;
    size_t turns[SIM_SHARDS_MAX] = {0};
    char why[512];

    model->step.open = false;
    sim_picture_take(runtime, &picture);
    if (!sim_picture_legal(model, &picture, SIM_EXACT, turns, why, sizeof(why))) {
        sim_fail(model, "prefix", "%s", why);
        return;
    }
    for (unsigned i = 0; i < model->shards; i++) {
        const struct sim_shard *shard = &model->shard[i];
        size_t frame = turns[i];

        while (frame > shard->epoch_first &&
               shard->turns[frame - 1].hash == shard->turns[turns[i]].hash)
            frame--;
        frame_ns[i] = shard->turns[frame].now_ns;
        if (shard->turns[shard->turns_count - 1].now_ns > crash_ns)
            crash_ns = shard->turns[shard->turns_count - 1].now_ns;
    }
    for (unsigned i = 0; i < model->shards; i++)
        go_back(model, i, &picture, turns[i], now_ns);
    model->set = picture.set;
    forget_memory(model);
    for (uint32_t i = 0; i < model->alive_count; i++) {
        struct sim_task *task = &model->tasks[model->alive[i]];

        shift_timers(task, frame_ns[task->shard], crash_ns, now_ns);
        task->touched = 0;
    }
    sim_letters_recover(model);
    model->runtime = runtime;
    model->now_ns = now_ns;
    model->frozen = false;
    model->silent = false;
    check_tasks(model, runtime);
    if (model->jobs != NULL && !model->failed)
        sim_jobs_recovered(model, now_ns, crash_ns);
}

void sim_tokens_check(struct sim_model *model)
{
    uint64_t minted = 0, held = 0, under_way = 0, gone = 0;

    for (uint32_t i = 1; i < model->tasks_count; i++) {
        const struct sim_task *task = &model->tasks[i];

        if (!sim_is_sync(task->machine) || task->life == SIM_UNBORN || task->letter == 0)
            continue;
        held += task->context.tokens;
        if (model->letters[task->letter].sender == SIM_FROM_PORT)
            minted += SIM_MINT;
    }
    for (uint32_t i = 1; i < model->letters_count; i++) {
        const struct sim_letter *letter = &model->letters[i];

        if (letter->code != SIM_GIVE)
            continue;
        if (letter->fate == SIM_EXPECTED)
            under_way += letter->arg;
        else if (letter->reported)
            gone += letter->arg;
    }
    if (minted != held + under_way + gone)
        sim_fail(model, "tokens",
                 "%" PRIu64 " tokens were given out; tasks hold %" PRIu64 ", %" PRIu64
                 " are under way, %" PRIu64 " went to tasks that had ended",
                 minted, held, under_way, gone);
}
