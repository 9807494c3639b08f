/*
 * stress_durable.c - a run of `pawl stress --durable`, or of `--resume`, from open to close:
 *
 *   open (recover, compare with the log) -> come to rest, totals -> create what is missing -> the
 *   log begins anew -> load -> come to rest, totals, log against accounts -> the log begins anew ->
 *   close
 *
 * It may be killed at any point. What is in the log is then what the next run holds the store to;
 * where the two do not agree, both are left as they are.
 */
#include "stress_durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define COMMAND "pawl stress"

/* Small enough that files are begun, sealed and cut while a short run lasts. */
#define SEGMENT_BYTES  (UINT64_C(4) << 20)
#define SNAPSHOT_BYTES (UINT64_C(24) << 20)
/*
 * An account's image on disk, roughly: a snapshot must not be due again before the last one is
 * done.
 */
#define IMAGE_BYTES 300u

bool bank_log(struct bank *bank, struct ack_record *records, size_t count)
{
    int rc = ack_append(bank->log, records, count);
    if (rc == 0)
        return true;
    bank_log_failed(bank, rc);
    return false;
}

/* --- opening --- */

static void show_diagnostic(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    fprintf(stderr, COMMAND ": %s%s: %s\n", diagnostic->error == 0 ? "warning: " : "",
            diagnostic->where, diagnostic->what);
}

static void show_machine_error(void *user, const struct pawl_diagnostic *diagnostic)
{
    if (diagnostic->error != 0)
        show_diagnostic(user, diagnostic);
}

static int compile(struct bank *bank)
{
    int rc = 0;
    for (int m = 0; m < BANK_MACHINES && rc == 0; m++)
        rc = bank_machine_compile((enum bank_machine)m, (enum pawl_durability)bank->head.durability,
                                  show_machine_error, &bank->machines[m]);
    return rc == 0 ? 0 : stress_failed("cannot compile the machines", rc);
}

static int open_runtime(struct bank *bank, struct bank_result *result)
{
    const struct stress_options *o = &bank->s->options;
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    uint64_t image = (uint64_t)bank->accounts_count * IMAGE_BYTES;
    store.directory = o->store;
    store.window_ns = bank->head.window_ns;
    store.segment_bytes = SEGMENT_BYTES;
    store.snapshot_bytes = SNAPSHOT_BYTES > image ? SNAPSHOT_BYTES : image;
    store.on_failed = bank_storage_failed;
    store.on_progress = bank_recovering;
    options.machines = (const struct pawl_machine *const *)bank->machines;
    options.machine_count = BANK_MACHINES;
    options.shards = o->shards;
    options.no_pin = o->no_pin;
    options.user = bank;
    options.on_undelivered = bank_undelivered;
    options.diagnose = show_diagnostic;
    options.store = &store;
    bank->shown_ns = stress_wall_ns();
    uint64_t begin_ns = bank->shown_ns;
    int rc = pawl_open(&options, &bank->runtime);
    if (rc != 0)
        return stress_failed("cannot open the store", rc);
    result->open_seconds = (double)(stress_wall_ns() - begin_ns) / 1e9;
    bank->shards = pawl_shard_count(bank->runtime);
    for (unsigned i = 0; i < bank->shards; i++) {
        struct pawl_store_status status = {.epoch = 0};
        if (pawl_shard_store(bank->runtime, i, &status) != 0)
            continue;
        result->epoch = status.epoch;
        result->recovered_tasks += status.recovered_tasks;
        result->recovered_entries += status.recovered_entries;
        result->resent += status.resent;
    }
    return 0;
}

/* Waits no longer than for anything else: a shard whose journal has no room takes no events. */
static int create_witness(struct bank *bank, unsigned shard)
{
    struct pawl_task_spec spec = {.machine = BANK_WITNESS, .shard = shard};
    struct pawl_completion made;
    int rc = pawl_port_create(bank->port, &spec, shard);
    if (rc == 0)
        rc = pawl_port_wait(bank->port, bank_settle_ns(bank));
    if (rc != 0 || pawl_port_reap(bank->port, &made, 1) != 1)
        return rc;
    store_release(&bank->witnesses[shard], made.task.id);
    return made.status;
}

static int start(struct bank *bank)
{
    int rc = stress_live_open(bank->s, bank->runtime);
    if (rc != 0)
        return rc;
    rc = pawl_start(bank->runtime);
    if (rc != 0)
        return stress_failed("cannot start the runtime", rc);
    rc = pawl_port_open(bank->runtime, NULL, &bank->port);
    for (unsigned i = 0; i < bank->shards && rc == 0; i++)
        rc = create_witness(bank, i);
    if (load_acquire(&bank->failed))
        return -EIO;
    return rc == 0 ? 0 : stress_failed("cannot make a witness on each shard", rc);
}

/* --- accounts --- */

static int reap_accounts(struct bank *bank, uint32_t *made)
{
    struct pawl_completion completions[64];
    struct ack_record records[64];
    int count = pawl_port_reap(bank->port, completions, ARRAY_LEN(completions));
    uint64_t now_ns = stress_wall_ns();
    for (int i = 0; i < count; i++) {
        const struct pawl_completion *c = &completions[i];
        if (c->status != 0)
            return stress_failed("cannot create the accounts", c->status);
        records[i] = (struct ack_record){.kind = ACK_ORDER,
                                         .index = c->tag,
                                         .shard = (uint16_t)pawl_task_shard(c->task),
                                         .time_ns = now_ns};
    }
    if (count > 0 && !bank_log(bank, records, (size_t)count))
        return -EIO;
    for (int i = 0; i < count; i++) {
        struct bank_account *account = &bank->accounts[completions[i].tag];
        if (account->task != 0)
            stress_find(bank->s, FINDING_DUPLICATED, "the creation of account %u completed twice",
                        completions[i].tag);
        account->task = completions[i].task.id;
        ++*made;
    }
    return count;
}

static int ask_account(struct bank *bank, uint32_t index)
{
    struct account context = account_new(bank, index);
    char key[64];
    size_t size = account_key(key, index);
    return pawl_port_create(bank->port,
                            &(struct pawl_task_spec){.machine = BANK_ACCOUNT,
                                                     .shard = index / 2 % bank->shards,
                                                     .key = size > 0 ? key : NULL,
                                                     .key_size = size,
                                                     .context = &context,
                                                     .context_size = sizeof(context)},
                            index);
}

/* All that are not there: all of them in a new store, few or none later. */
static int create_accounts(struct bank *bank)
{
    uint32_t next = 0;
    uint32_t asked = 0;
    uint32_t made = 0;
    uint64_t moved_ns = stress_wall_ns();
    while (next < bank->accounts_count || made < asked) {
        int rc = 0;
        if (next < bank->accounts_count && bank->accounts[next].task != 0) {
            next++;
            continue;
        }
        rc = next < bank->accounts_count ? ask_account(bank, next) : -EAGAIN;
        if (rc == 0) {
            next++;
            asked++;
            continue;
        }
        if (rc != -EAGAIN)
            return stress_failed("cannot create the accounts", rc);
        rc = reap_accounts(bank, &made);
        if (rc < 0)
            return rc;
        if (rc > 0)
            moved_ns = stress_wall_ns();
        else
            pawl_port_wait(bank->port, MILLISECOND);
        if (stress_wall_ns() - moved_ns > bank_settle_ns(bank))
            return stress_failed("the creation of the accounts does not come to an end",
                                 -ETIMEDOUT);
    }
    return 0;
}

/* --- load --- */

static bool time_is_up(const struct bank *bank, uint64_t begin_ns)
{
    const struct stress_options *o = &bank->s->options;
    return o->seconds > 0 && (double)(stress_wall_ns() - begin_ns) >= o->seconds * 1e9;
}

static void watch(struct bank *bank, uint64_t begin_ns)
{
    const uint64_t steps = bank->s->options.steps;
    uint64_t shown_ns = begin_ns, shown = 0;
    uint64_t moved_ns = begin_ns, moved = 0;
    while (!tellers_finished(bank)) {
        stress_nap(2 * MILLISECOND);
        uint64_t acked = load_relaxed(&bank->acked);
        uint64_t now_ns = stress_wall_ns();
        if (time_is_up(bank, begin_ns) || (steps > 0 && acked >= steps))
            store_release(&bank->stopping, 1);
        if (acked != moved) {
            moved = acked;
            moved_ns = now_ns;
        }
        if (now_ns - shown_ns >= 1000 * MILLISECOND) {
            bank_say_progress(bank, begin_ns, &shown_ns, &shown);
            bank_look(bank);
        }
        if (now_ns - moved_ns > bank_settle_ns(bank) && !load_acquire(&bank->abandoned)) {
            stress_find(bank->s, FINDING_UNEXPLAINED,
                        "nothing is acknowledged any more, and tellers still wait");
            store_release(&bank->abandoned, 1);
        }
    }
    if (shown > 0 && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static int load(struct bank *bank, struct bank_result *result)
{
    int rc = tellers_open(bank);
    uint64_t begin_ns = stress_wall_ns();
    if (rc == 0)
        rc = tellers_start(bank);
    if (rc == 0)
        watch(bank, begin_ns);
    else
        store_release(&bank->abandoned, 1);
    tellers_join(bank);
    result->load_seconds = (double)(stress_wall_ns() - begin_ns) / 1e9;
    result->orders = load_relaxed(&bank->acked);
    for (unsigned i = 0; bank->tellers != NULL && i < bank->s->options.producers; i++) {
        result->urgent += bank->tellers[i].urgent;
        result->came += bank->tellers[i].came;
        result->left += bank->tellers[i].left;
    }
    return rc == 0 ? 0 : stress_failed("cannot start the tellers", rc);
}

static void count(struct bank *bank, struct bank_result *result)
{
    if (bank->runtime == NULL)
        return;
    for (uint32_t i = 0; i < bank->accounts_count; i++)
        result->all_orders += bank->accounts[i].acked;
    pawl_runtime_counters(bank->runtime, &result->counters);
    for (unsigned i = 0; i < bank->shards; i++) {
        struct pawl_store_status status = {.epoch = 0};
        if (pawl_shard_store(bank->runtime, i, &status) != 0)
            continue;
        result->journal_bytes += status.journal_bytes;
        result->entries += status.entries;
        result->snapshots += status.snapshots;
    }
}

/* --- the log at the beginning --- */

/* The path without slashes at its end, and what is added to it. */
static char *path_with(const char *directory, const char *end)
{
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    char *path = malloc(length + strlen(end) + 1);
    if (path != NULL)
        snprintf(path, length + strlen(end) + 1, "%.*s%s", (int)length, directory, end);
    return path;
}

static bool is_there(const char *path)
{
    struct stat status;
    return path != NULL && stat(path, &status) == 0;
}

static int begin_log(struct bank *bank)
{
    const struct stress_options *o = &bank->s->options;
    char *manifest = path_with(o->store, "/manifest");
    if (manifest == NULL)
        return stress_failed("cannot begin", -ENOMEM);
    bool store = is_there(manifest);
    free(manifest);
    if (store || is_there(bank->log_path)) {
        fprintf(stderr,
                COMMAND ": %s is there already: go on with it by --resume %s, or name another "
                        "directory\n",
                store ? o->store : bank->log_path, o->store);
        return -EEXIST;
    }
    bank->head = (struct ack_head){.seed = o->seed,
                                   .window_ns = 10 * MILLISECOND,
                                   .accounts = (uint32_t)o->tasks,
                                   .guests = BANK_GUESTS,
                                   .tokens = BANK_TOKENS,
                                   .durability = o->durability,
                                   .runs = 1};
    bank->log = ack_create(bank->log_path, &bank->head);
    int rc = bank->log < 0 ? bank->log : ack_publish(bank->log_path, bank->log);
    if (rc != 0)
        fprintf(stderr, COMMAND ": cannot write %s: %s\n", bank->log_path, strerror(-rc));
    return rc;
}

static int load_log(struct bank *bank, struct ack_log *log)
{
    int rc = ack_load(bank->log_path, log);
    if (rc == -ENOENT) {
        fprintf(stderr,
                COMMAND ": there is no acknowledgement log %s: nothing to resume. Name it with "
                        "--ack, or begin with --durable\n",
                bank->log_path);
        return rc;
    }
    if (rc == -EBADMSG) {
        fprintf(stderr,
                COMMAND ": %s is no acknowledgement log of this tool, or its head is damaged\n",
                bank->log_path);
        return rc;
    }
    if (rc != 0) {
        fprintf(stderr, COMMAND ": cannot read %s: %s\n", bank->log_path, strerror(-rc));
        return rc;
    }
    bank->head = log->head;
    bank->head.runs++;
    bank->log = bank->log_path != NULL ? open(bank->log_path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (bank->log >= 0)
        return 0;
    rc = -errno;
    fprintf(stderr, COMMAND ": cannot write %s: %s\n", bank->log_path, strerror(-rc));
    return rc;
}

static int make_tables(struct bank *bank)
{
    bank->accounts_count = bank->head.accounts;
    bank->guests_count = bank->head.guests;
    bank->accounts =
        calloc(bank->accounts_count > 0 ? bank->accounts_count : 1, sizeof(*bank->accounts));
    bank->guests = calloc(bank->guests_count > 0 ? bank->guests_count : 1, sizeof(*bank->guests));
    bank->witnesses = calloc(1024, sizeof(*bank->witnesses));
    return bank->accounts == NULL || bank->guests == NULL || bank->witnesses == NULL
               ? stress_failed("cannot make the books", -ENOMEM)
               : 0;
}

/* --- the run --- */

/*
 * From a recovered store to one that is at rest and in order; in a new one there is nothing to do.
 */
static int take_over(struct bank *bank, struct ack_log *log, struct bank_result *result)
{
    struct ack_record retry = {.kind = ACK_RETRY, .time_ns = stress_wall_ns()};
    bank_say_recovered(bank, result);
    bool doubles = !bank_is_sync(bank) && log->head.shards > 1;
    /* With a number of shards of its own, and before that is in the log. */
    doubles |= !bank_is_sync(bank) && bank->shards > 1;
    bank->head.loose |= doubles;
    int rc = bank_check_recovered(bank, log, result);
    if (rc != 0)
        return rc;
    if (stress_found_any(bank->s)) {
        fputs(COMMAND ": the store and the log do not agree, and are left as they are\n", stderr);
        return -EBADMSG;
    }
    return bank_log(bank, &retry, 1) ? 0 : -EIO;
}

static int run(struct bank *bank, struct ack_log *log, struct bank_result *result)
{
    int rc = compile(bank);
    if (rc == 0)
        rc = open_runtime(bank, result);
    if (rc == 0 && result->resumed)
        rc = take_over(bank, log, result);
    if (rc == 0)
        rc = start(bank);
    if (rc == 0 && result->resumed) {
        if (!bank_settle(bank, true, result) || stress_found_any(bank->s))
            return -EBADMSG;
        rc = pawl_resume(bank->runtime);
    }
    if (rc == 0)
        rc = create_accounts(bank);
    if (rc == 0)
        rc = bank_rewrite_log(bank);
    if (rc == 0)
        rc = load(bank, result);
    if (rc == 0 && !load_acquire(&bank->failed) && bank_settle(bank, false, result)) {
        bank_check_log(bank);
        if (!stress_found_any(bank->s))
            rc = bank_rewrite_log(bank);
        result->complete = rc == 0;
    }
    count(bank, result);
    return rc;
}

static void close_all(struct bank *bank, bool cut_short)
{
    /* What was not to be waited for is cancelled, so that the ports can be closed. */
    if (bank->runtime != NULL && cut_short)
        pawl_stop(bank->runtime);
    tellers_close(bank);
    if (bank->port != NULL)
        stress_close_port(bank->s, bank->port);
    stress_live_close(bank->s);
    int rc = bank->runtime == NULL ? 0 : pawl_close(bank->runtime);
    if (rc != 0)
        stress_find(bank->s, FINDING_UNEXPLAINED, "the runtime cannot be closed: %s",
                    pawl_strerror(rc));
    for (int m = 0; m < BANK_MACHINES; m++)
        pawl_machine_destroy(bank->machines[m]);
    if (bank->log >= 0)
        close(bank->log);
    free(bank->witnesses);
    free(bank->guests);
    free(bank->accounts);
}

int bank_run(struct stress *s)
{
    struct bank bank = {.s = s, .log = -1};
    struct bank_result result = {.resumed = s->options.resume};
    struct ack_log log = {.bytes = NULL};
    char *own_path = s->options.acks == NULL ? path_with(s->options.store, ".acks") : NULL;
    bank.log_path = own_path != NULL ? own_path : s->options.acks;
    pthread_mutex_init(&s->findings_lock, NULL);
    int rc = bank.log_path == NULL ? stress_failed("cannot begin", -ENOMEM) : 0;
    if (rc == 0)
        rc = result.resumed ? load_log(&bank, &log) : begin_log(&bank);
    if (rc == 0)
        rc = make_tables(&bank);
    if (rc == 0)
        (void)run(&bank, &log, &result); /* which is in the result */
    bool opened = bank.runtime != NULL;
    if (!opened && !result.resumed && bank.log >= 0)
        unlink(bank.log_path); /* of a store that could not be made: there is nothing to resume */
    close_all(&bank, !result.complete);
    if (opened)
        bank_report(&bank, &result);
    ack_unload(&log);
    free(own_path);
    pthread_mutex_destroy(&s->findings_lock);
    return result.complete && !stress_found_any(s) ? TOOL_OK : TOOL_FAILED;
}
