/*
 * plan_explain.c - a plan in words: a line on the whole, then a line for every thread that says
 * where it goes and why.
 *
 * Owner: the caller; nothing is shared.
 */
#include <errno.h>

#include "host/plan.h"
#include "host/text.h"

const char *pawl_place_name(enum pawl_place why)
{
    switch (why) {
    case PAWL_PLACE_CORE:
        return "core";
    case PAWL_PLACE_SIBLING:
        return "sibling";
    case PAWL_PLACE_SHARED:
        return "shared";
    case PAWL_PLACE_HOUSEKEEPING:
        return "housekeeping";
    case PAWL_PLACE_FLOATING:
        return "floating";
    }
    return "unknown"; /* a number that is not in the enumeration */
}

/* "1 core", "2 cores". */
static void say_count(struct text *text, const char *before, unsigned count, const char *noun)
{
    text_say(text, "%s%u %s%s", before, count, noun, count == 1 ? "" : "s");
}

/* Ascending numbers as "0-3,8". */
static void say_cpus(struct text *text, const struct pawl_placement *place)
{
    for (unsigned i = 0, end; i < place->cpu_count; i = end) {
        end = i + 1;
        while (end < place->cpu_count && place->cpus[end] == place->cpus[end - 1] + 1)
            end++;
        text_say(text, "%s%u", i ? "," : "", place->cpus[i]);
        if (end - i > 1)
            text_say(text, "-%u", place->cpus[end - 1]);
    }
}

static unsigned count_kinds(const struct pawl_plan *plan)
{
    unsigned kinds = 1;

    for (unsigned i = 0; i < plan->pu_count; i++)
        if (plan->pus[i].kind >= kinds)
            kinds = plan->pus[i].kind + 1;
    return kinds;
}

static void say_summary(struct text *text, const struct pawl_plan *plan)
{
    const struct pu *last = &plan->pus[plan->pu_count - 1];
    const unsigned kinds = count_kinds(plan);

    say_count(text, "", plan->shard_count, "shard");
    if (plan->has_monitor)
        text_say(text, ", 1 monitor");
    if (plan->io_count)
        say_count(text, ", ", plan->io_count, "I/O thread");
    say_count(text, " on ", plan->pu_count, "cpu");
    say_count(text, ": ", last->package + 1, "package");
    say_count(text, ", ", last->node + 1, "NUMA node");
    say_count(text, ", ", last->l3 + 1, "L3 group");
    say_count(text, ", ", last->core + 1, "core");
    if (kinds > 1)
        text_say(text, " of %u kinds", kinds);
    text_say(text, "\nthe number of shards is ");
    if (plan->shards_asked)
        text_say(text, "as asked");
    else if (plan->left_a_core)
        text_say(text, "one per core, but one core is left for housekeeping");
    else if (plan->shard_count <= last->core)
        text_say(text, "the most that a runtime can have");
    else
        text_say(text, "one per core");
    text_say(text, "\n");
}

static void say_reason(struct text *text, const struct pawl_plan *plan, const struct seat *seat,
                       bool is_shard)
{
    const struct pawl_placement *place = &seat->place;

    switch (place->why) {
    case PAWL_PLACE_CORE:
        if (place->oversubscribed)
            text_say(text,
                     "the first of several shards on this cpu: there are more shards than cpus");
        else if (place->shares_core)
            text_say(text, "the first on its core, with shard %u on an SMT sibling", place->beside);
        else
            text_say(text, "a core with no other shard");
        return;
    case PAWL_PLACE_SIBLING:
        text_say(text, "SMT sibling of shard %u: %s", place->beside,
                 !is_shard               ? "no shard needs this cpu"
                 : place->oversubscribed ? "there are more shards than cpus"
                                         : "there are more shards than cores");
        return;
    case PAWL_PLACE_SHARED:
        text_say(text, "shared with other shards: there are more shards than cpus");
        return;
    case PAWL_PLACE_HOUSEKEEPING:
        text_say(text, "a core that no shard uses");
        return;
    case PAWL_PLACE_FLOATING:
        text_say(text, plan->pu_count == 1
                           ? "there is no other cpu"
                           : "each has a shard, and the thread is tied to none of them");
        return;
    }
}

static void say_seat(struct text *text, const struct pawl_plan *plan, const struct seat *seat,
                     bool is_shard)
{
    const struct pawl_placement *place = &seat->place;

    if (place->why == PAWL_PLACE_FLOATING) {
        text_say(text, "floats over cpu%s ", place->cpu_count == 1 ? "" : "s");
        say_cpus(text, place);
    } else {
        text_say(text, "cpu %u (core %u, L3 %u, node %u, package %u", place->cpus[0], place->core,
                 place->l3, place->node, place->package);
        if (place->kind)
            text_say(text, ", kind %u", place->kind);
        text_say(text, ")");
    }
    text_say(text, ": ");
    say_reason(text, plan, seat, is_shard);
    text_say(text, "\n");
}

int pawl_plan_explain(const struct pawl_plan *plan, char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};

    if (!plan || (!buffer && size))
        return -EINVAL;
    say_summary(&text, plan);
    for (unsigned s = 0; s < plan->shard_count; s++) {
        text_say(&text, "shard %u: ", s);
        say_seat(&text, plan, &plan->shards[s], true);
    }
    if (plan->has_monitor) {
        text_say(&text, "monitor: ");
        say_seat(&text, plan, &plan->monitor, false);
    }
    for (unsigned i = 0; i < plan->io_count; i++) {
        text_say(&text, "I/O thread %u: ", i);
        say_seat(&text, plan, &plan->io[i], false);
    }
    return (int)text.length;
}
