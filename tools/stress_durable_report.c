/*
 * stress_durable_report.c - what `pawl stress --durable` says: recovery, progress, a failed
 * journal, the summary and its verdict.
 */
#include <stdio.h>
#include <unistd.h>

#include "stress_durable.h"
#include "tool.h"

typedef unsigned long long ull;

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void bank_recovering(void *user, unsigned shard, uint64_t bytes, uint64_t total)
{
    struct bank *bank = user;
    uint64_t now = stress_wall_ns();
    if (now - bank->shown_ns < 500 * MILLISECOND)
        return;
    bank->shown_ns = now;
    fprintf(stderr, "pawl stress: recovering shard %u: %.1f", shard, (double)bytes / 1e6);
    if (total > 0)
        fprintf(stderr, " of %.1f", (double)total / 1e6);
    fputs(" MB\n", stderr);
}

static const char *what_is_safe(const struct bank *bank)
{
    return bank->head.durability == PAWL_DURABILITY_SYNC
               ? "nothing that was acknowledged is lost"
               : "what was acknowledged is safe, but for the last window";
}

/* The command that goes on with the store. */
static void say_resume(const struct bank *bank)
{
    const struct stress_options *o = &bank->s->options;
    fprintf(stderr, "then: pawl stress --resume %s%s%s\n", o->store,
            o->acks == NULL ? "" : " --ack ", o->acks == NULL ? "" : o->acks);
}

void bank_storage_failed(void *user, unsigned shard, int error, const char *what)
{
    struct bank *bank = user;
    store_release(&bank->failed, 1);
    fprintf(stderr,
            "pawl stress: storage has failed: %s: %s\n"
            "pawl stress: shard %u acknowledges nothing any more; %s. Mend the storage%s, ",
            what, pawl_strerror(error), shard, what_is_safe(bank),
            error == -ENOSPC ? " (make room on it)" : "");
    say_resume(bank);
}

void bank_is_full(struct bank *bank)
{
    if (swap_acq_rel(&bank->failed, 1) != 0)
        return;
    fprintf(stderr,
            "pawl stress: steps are refused for want of room: %s\n"
            "pawl stress: %s. Make room for the store, ",
            pawl_strerror(-ENOSPC), what_is_safe(bank));
    say_resume(bank);
}

void bank_log_failed(struct bank *bank, int error)
{
    if (swap_acq_rel(&bank->failed, 1) != 0)
        return;
    fprintf(stderr,
            "pawl stress: the acknowledgement log %s cannot be written: %s\n"
            "pawl stress: the run ends here. Make room for it, ",
            bank->log_path, pawl_strerror(error));
    say_resume(bank);
}

void bank_say_recovered(const struct bank *bank, const struct bank_result *r)
{
    fprintf(stderr,
            "pawl stress: recovered %llu task%s on %u shard%s in %.3f s: %llu entries read, %llu "
            "event%s sent again\n",
            (ull)r->recovered_tasks, plural(r->recovered_tasks), bank->shards, plural(bank->shards),
            r->open_seconds, (ull)r->recovered_entries, (ull)r->resent, plural(r->resent));
}

void bank_say_progress(struct bank *bank, uint64_t begin_ns, uint64_t *shown_ns, uint64_t *shown)
{
    uint64_t now = stress_wall_ns();
    uint64_t acked = load_relaxed(&bank->acked);
    bool tty = isatty(STDERR_FILENO);
    struct pawl_counters c;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < bank->shards; i++) {
        struct pawl_store_status status;
        if (pawl_shard_store(bank->runtime, i, &status) == 0)
            bytes += status.journal_bytes;
    }
    pawl_runtime_counters(bank->runtime, &c);
    fprintf(stderr, "%s%5.0f s  %llu acknowledged  %.3f M/s  %llu tasks  journal %.1f MB%s",
            tty ? "\r\033[K" : "", (double)(now - begin_ns) / 1e9, (ull)acked,
            (double)(acked - *shown) / ((double)(now - *shown_ns) / 1e3), (ull)c.tasks,
            (double)bytes / 1e6, tty ? "" : "\n");
    fflush(stderr);
    *shown_ns = now;
    *shown = acked;
}

/* --- the summary --- */

static const char *kind_of(const struct bank *bank)
{
    return bank_is_sync(bank) ? "sync" : "async";
}

static double rate_of(const struct bank_result *r)
{
    return r->load_seconds > 0 ? (double)r->orders / r->load_seconds : 0;
}

static const char *verdict_of(struct bank *bank, const struct bank_result *r)
{
    if (stress_found_any(bank->s))
        return "VIOLATED";
    return r->complete ? "kept" : "STOPPED";
}

static void json_count(const char *name, uint64_t value)
{
    printf("  \"%s\": %llu,\n", name, (ull)value);
}

static void print_json(struct bank *bank, const struct bank_result *r)
{
    const struct stress_options *o = &bank->s->options;
    bool found = stress_found_any(bank->s);
    printf("{\n  \"kept\": %s,\n  \"stopped\": %s,\n", !found && r->complete ? "true" : "false",
           r->complete ? "false" : "true");
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        json_count(finding_names[kind], load_relaxed(&bank->s->findings[kind]));
    printf("  \"durability\": \"%s\",\n  \"store\": ", kind_of(bank));
    tool_json_string(stdout, o->store);
    printf(",\n  \"log\": ");
    tool_json_string(stdout, bank->log_path);
    printf(",\n  \"resumed\": %s,\n", r->resumed ? "true" : "false");
    json_count("runs", bank->head.runs);
    json_count("epoch", r->epoch);
    json_count("accounts", bank->accounts_count);
    json_count("shards", bank->shards);
    json_count("producers", o->producers);
    json_count("recovered_tasks", r->recovered_tasks);
    json_count("recovered_entries", r->recovered_entries);
    json_count("resent", r->resent);
    printf("  \"recovery_seconds\": %.6f,\n", r->open_seconds);
    json_count("checked", r->checked);
    json_count("lost_in_window", r->lost);
    printf("  \"lost_oldest_ms\": %.3f,\n", (double)r->lost_ns / 1e6);
    json_count("log_torn", r->torn);
    json_count("acknowledged", r->orders);
    json_count("acknowledged_in_all", r->all_orders);
    json_count("urgent", r->urgent);
    json_count("guests_came", r->came);
    json_count("guests_left", r->left);
    printf("  \"seconds\": %.6f,\n  \"acknowledged_per_s\": %.0f,\n", r->load_seconds, rate_of(r));
    json_count("modelled", r->modelled);
    json_count("tokens", r->tokens);
    json_count("tokens_made", (uint64_t)bank->accounts_count * bank->head.tokens);
    printf("  \"tokens_excess\": %lld,\n", (long long)bank->head.excess);
    json_count("events", r->counters.events);
    json_count("created", r->counters.created);
    json_count("ended", r->counters.ended);
    json_count("deferred", r->counters.deferred);
    json_count("timers_fired", r->counters.timers_fired);
    json_count("sent", r->counters.sent);
    json_count("journal_bytes", r->journal_bytes);
    json_count("entries", r->entries);
    json_count("snapshots", r->snapshots);
    printf("  \"seed\": %llu\n}\n", (ull)bank->head.seed);
}

static void print_recovery(const struct bank *bank, const struct bank_result *r)
{
    printf("recovered     %llu tasks, %llu entries, %llu events sent again, %.3f s\n",
           (ull)r->recovered_tasks, (ull)r->recovered_entries, (ull)r->resent, r->open_seconds);
    printf("before        %llu acknowledged orders looked up", (ull)r->checked);
    if (r->lost > 0)
        printf(", %llu lost within the window (the oldest %.1f ms before the end)", (ull)r->lost,
               (double)r->lost_ns / 1e6);
    else
        printf(", none lost");
    if (r->torn > 0)
        printf("; %llu torn record%s in the log", (ull)r->torn, plural(r->torn));
    putchar('\n');
    (void)bank;
}

static void print_tokens(const struct bank *bank, const struct bank_result *r)
{
    long long excess = (long long)bank->head.excess;
    printf("tokens        %llu made, %llu found", (ull)bank->accounts_count * bank->head.tokens,
           (ull)r->tokens);
    if (excess > 0)
        printf(" (%lld doubled by async steps that crashes took back)", excess);
    if (excess < 0)
        printf(" (%lld dropped for want of room, which was told)", -excess);
    printf("; %llu orders worked out again\n", (ull)r->modelled);
}

static void print_summary(struct bank *bank, const struct bank_result *r)
{
    const struct stress_options *o = &bank->s->options;
    printf("store         %s: %s, %u shard%s, epoch %llu, run %u; log %s\n", o->store,
           kind_of(bank), bank->shards, plural(bank->shards), (ull)r->epoch, bank->head.runs,
           bank->log_path);
    if (r->resumed)
        print_recovery(bank, r);
    printf("accounts      %u, %u producers\n", bank->accounts_count, o->producers);
    printf("acknowledged  %llu orders in %.2f s, %.3f M/s; %llu in all runs; %llu urgent\n",
           (ull)r->orders, r->load_seconds, rate_of(r) / 1e6, (ull)r->all_orders, (ull)r->urgent);
    printf("guests        %llu came, %llu left\n", (ull)r->came, (ull)r->left);
    printf("events        %llu, of which %llu went from shard to shard; %llu deferred\n",
           (ull)r->counters.events, (ull)r->counters.sent, (ull)r->counters.deferred);
    printf("tasks         %llu created, %llu ended; %llu timers fired\n", (ull)r->counters.created,
           (ull)r->counters.ended, (ull)r->counters.timers_fired);
    printf("journal       %.1f MB, %llu entries, %llu snapshots\n", (double)r->journal_bytes / 1e6,
           (ull)r->entries, (ull)r->snapshots);
    if (r->complete)
        print_tokens(bank, r);
    printf("seed          %llu\n", (ull)bank->head.seed);
    printf("%-13s", verdict_of(bank, r));
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        printf("%s %s %llu", kind == 0 ? "" : ",", finding_names[kind],
               (ull)load_relaxed(&bank->s->findings[kind]));
    putchar('\n');
}

void bank_report(struct bank *bank, const struct bank_result *result)
{
    if (bank->s->options.json)
        print_json(bank, result);
    else
        print_summary(bank, result);
}
