/*
 * stress_agents_report.c - what `pawl stress --agents` says: progress, the summary and its verdict.
 */
#include <stdio.h>
#include <unistd.h>

#include "stress_agents.h"

typedef unsigned long long ull;

/* relaxed, here and below: while the run lasts it is only for people; then no thread is left */
static ull count_of(const _Atomic uint64_t *counter)
{
    return load_relaxed(counter);
}

void fleet_say_progress(struct fleet *fleet, uint64_t begin_ns, uint64_t *shown_ns, uint64_t *shown)
{
    const uint64_t now = stress_wall_ns();
    const uint64_t cycles = count_of(&fleet->cycles);
    const bool tty = isatty(STDERR_FILENO);

    fprintf(stderr, "%s%5.0f s  %llu cycles  %.1f k/s  %llu jobs settled  %llu reports refused%s",
            tty ? "\r\033[K" : "", (double)(now - begin_ns) / 1e9, (ull)cycles,
            (double)(cycles - *shown) / ((double)(now - *shown_ns) / 1e6),
            count_of(&fleet->settled), count_of(&fleet->refused), tty ? "" : "\n");
    fflush(stderr);
    *shown_ns = now;
    *shown = cycles;
}

static double rate_of(uint64_t count, const struct fleet_result *r)
{
    return r->seconds > 0 ? (double)count / r->seconds : 0;
}

static void json_count(const char *name, uint64_t value)
{
    printf("  \"%s\": %llu,\n", name, (ull)value);
}

static const char *durability_of(const struct fleet *f)
{
    return f->log < 0 ? "memory" : f->durability == PAWL_DURABILITY_SYNC ? "sync" : "async";
}

static void print_json(struct fleet *f, const struct fleet_result *r, bool ok)
{
    const struct stress_options *o = &f->s->options;
    const struct pawl_counters *c = &r->counters;

    printf("{\n  \"kept\": %s,\n", ok && !fleet_is_abandoned(f) ? "true" : "false");
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        json_count(finding_names[kind], count_of(&f->s->findings[kind]));
    json_count("tasks", f->jobs_count);
    json_count("events", r->events);
    json_count("posted", count_of(&f->submitted));
    json_count("transitions", r->transitions);
    printf("  \"seconds\": %.6f,\n  \"transitions_per_s\": %.0f,\n", r->seconds,
           rate_of(r->transitions, r));
    json_count("shards", f->shards);
    json_count("producers", f->requesters_count);
    printf("  \"drive\": \"threads\",\n");
    json_count("completions", count_of(&f->completions));
    json_count("undelivered", c->undelivered);
    json_count("created", c->created);
    json_count("ended", c->ended);
    json_count("deferred", c->deferred);
    json_count("aborted", c->aborted);
    json_count("stale", c->stale);
    json_count("timers_fired", c->timers_fired);
    json_count("sent", c->sent);
    json_count("agents", f->agents_count);
    json_count("incarnations", count_of(&f->incarnations));
    json_count("cycles", r->cycles);
    printf("  \"cycles_per_s\": %.0f,\n", rate_of(r->cycles, r));
    json_count("settled", count_of(&f->settled));
    for (unsigned i = PAWL_WORK_COMPLETED; i <= PAWL_WORK_DEAD; i++)
        json_count(pawl_work_state_name(i), count_of(&f->outcomes[i]));
    json_count("leases", r->handed_out);
    json_count("leases_ordered", count_of(&f->ordered));
    json_count("leases_expired", r->expired);
    json_count("leases_lost", r->lost);
    json_count("reports", count_of(&f->reports));
    json_count("reports_untrue", count_of(&f->lies));
    json_count("reports_refused", count_of(&f->refused));
    json_count("evidence", count_of(&f->evidence));
    json_count("double_holders", count_of(&f->double_holders));
    json_count("attempts_wrong", count_of(&f->attempts_wrong));
    printf("  \"durability\": \"%s\",\n", durability_of(f));
    if (f->log >= 0) {
        printf("  \"resumed\": %s,\n", f->resumed ? "true" : "false");
        json_count("epoch", f->epoch);
        json_count("recovered_tasks", f->recovered_tasks);
        json_count("taken_over", f->taken_over);
        json_count("lost_in_window", f->lost_in_window);
    }
    printf("  \"allocator\": \"%s\",\n", r->allocator);
    printf("  \"seed\": %llu\n}\n", (ull)o->seed);
}

static void print_summary(struct fleet *f, const struct fleet_result *r, bool ok)
{
    const struct pawl_counters *c = &r->counters;

    printf("tasks         %u at once on %u shard%s, %u requester%s\n", f->jobs_count, f->shards,
           f->shards == 1 ? "" : "s", f->requesters_count, f->requesters_count == 1 ? "" : "s");
    printf("agents        %u, opened %llu times\n", f->agents_count, count_of(&f->incarnations));
    printf("load          %.2f s, %llu events, %.3f M transitions/s\n", r->seconds, (ull)r->events,
           rate_of(r->transitions, r) / 1e6);
    printf("cycles        %llu, %.1f k/s: leases that a report has ended\n", (ull)r->cycles,
           rate_of(r->cycles, r) / 1e3);
    printf("leases        %llu, of which %llu expired, %llu were lost with their agent\n",
           (ull)r->handed_out, (ull)r->expired, (ull)r->lost);
    printf("order         %llu leases of a lane whose order is known\n", count_of(&f->ordered));
    printf("reports       %llu, of which %llu were untrue; %llu were refused\n",
           count_of(&f->reports), count_of(&f->lies), count_of(&f->refused));
    printf("evidence      %llu pieces found again\n", count_of(&f->evidence));
    printf("settled       %llu:", count_of(&f->settled));
    for (unsigned i = PAWL_WORK_COMPLETED; i <= PAWL_WORK_DEAD; i++)
        printf("%s %s %llu", i == PAWL_WORK_COMPLETED ? "" : ",", pawl_work_state_name(i),
               count_of(&f->outcomes[i]));
    printf("\nbetween       %llu events sent from shard to shard\n", (ull)c->sent);
    printf("created       %llu tasks, notes included, ended %llu\n", (ull)c->created,
           (ull)c->ended);
    if (f->log >= 0)
        printf("store         %s: %s; %llu tasks recovered, %llu jobs taken over, %llu lost within "
               "the window\n",
               f->s->options.store, durability_of(f), (ull)f->recovered_tasks, (ull)f->taken_over,
               (ull)f->lost_in_window);
    printf("seed          %llu\n", (ull)f->s->options.seed);
    printf("holders       %llu too many; %llu attempts wrong\n", count_of(&f->double_holders),
           count_of(&f->attempts_wrong));
    fputs(!ok                     ? "VIOLATED     "
          : fleet_is_abandoned(f) ? "STOPPED      "
                                  : "kept         ",
          stdout);
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        printf("%s %s %llu", kind == 0 ? "" : ",", finding_names[kind],
               count_of(&f->s->findings[kind]));
    putchar('\n');
}

void fleet_report(struct fleet *fleet, const struct fleet_result *result)
{
    const bool ok = !stress_found_any(fleet->s);

    if (fleet->s->options.json)
        print_json(fleet, result, ok);
    else
        print_summary(fleet, result, ok);
}
