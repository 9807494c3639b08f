/*
 * inspect_list.c - the list of lanes, agents and work tasks; as a table, and as JSON.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include "tool.h"

/* ---- the order of the list ------------------------------------------------------------------- */

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_age(const void *left, const void *right)
{
    const struct inspect_item *a = left, *b = right;
    int order = compare(b->age_ns, a->age_ns);

    if (order == 0)
        order = compare(a->shard->number, b->shard->number);
    return order != 0 ? order : compare(a->task->slot, b->task->slot);
}

static int by_state(const void *left, const void *right)
{
    const struct inspect_item *a = left, *b = right;
    const int order = compare(a->task->state, b->task->state);

    return order != 0 ? order : by_age(a, b);
}

static int by_agent(const void *left, const void *right)
{
    const struct inspect_item *a = left, *b = right;
    const int order = compare(a->work.claim.agent, b->work.claim.agent);

    return order != 0 ? order : by_age(a, b);
}

static int by_lane(const void *left, const void *right)
{
    const struct inspect_item *a = left, *b = right;
    const int order = strcmp(a->lane->name, b->lane->name);

    return order != 0 ? order : by_age(a, b);
}

static int by_priority(const void *left, const void *right)
{
    const struct inspect_item *a = left, *b = right;
    int order = compare(a->work.claim.priority, b->work.claim.priority);

    if (order == 0) /* as a lane hands them out */
        order = compare(a->work.claim.since_ns, b->work.claim.since_ns);
    return order != 0 ? order : by_age(a, b);
}

static void sort(struct inspect *inspect, enum inspect_sort sort)
{
    static int (*const orders[INSPECT_SORTS])(const void *, const void *) = {
        by_state, by_age, by_agent, by_lane, by_priority};

    qsort(inspect->items, inspect->count, sizeof(inspect->items[0]), orders[sort]);
}

/* ---- the list -------------------------------------------------------------------------------- */

static bool is_wanted(const struct inspect_choice *choice, const struct inspect_item *item)
{
    return (!choice->state || strcmp(choice->state, item->state) == 0) &&
           (!choice->lane || choice->lane == item->lane);
}

static uint64_t id_of(const struct inspect_item *item)
{
    return image_task_id(item->shard, item->task);
}

bool inspect_is_held(const struct inspect_item *item)
{
    return strcmp(item->state, "leased") == 0 || strcmp(item->state, "checked") == 0;
}

static void print_states(const struct inspect *inspect)
{
    const struct manifest *const manifest = inspect->image.manifest;
    const uint64_t *count = inspect->states;

    printf("%-24s %-16s %10s\n", "machine", "state", "tasks");
    for (unsigned i = 0; i < manifest->machines_count; i++)
        for (unsigned k = 0; k < manifest->machines[i].states_count; k++, count++)
            if (*count > 0)
                printf("%-24s %-16s %10" PRIu64 "\n", manifest->machines[i].name,
                       manifest->machines[i].states[k], *count);
}

static void print_lanes(const struct inspect *inspect)
{
    if (inspect->lanes_count == 0)
        return;
    printf("\n%-31s %10s %10s %10s %16s\n", "lane", "ready", "leased", "others", "oldest ready");
    for (size_t i = 0; i < inspect->lanes_count; i++) {
        const struct inspect_lane *const lane = &inspect->lanes[i];

        printf("%-31s %10" PRIu64 " %10" PRIu64 " %10" PRIu64, lane->name, lane->ready,
               lane->leased, lane->others);
        if (lane->oldest_ns > 0 || lane->ready > 0)
            inspect_put_seconds(lane->oldest_ns, 17);
        else
            printf(" %16s", "-");
        puts(lane->paused && lane->broken ? "  paused, breaker open"
             : lane->paused               ? "  paused"
             : lane->broken               ? "  breaker open"
                                          : "");
    }
}

/* Who has leases, in the order of incarnations; the items are sorted by agent. */
static void each_agent(const struct inspect *inspect,
                       void (*fn)(const struct inspect *inspect, uint64_t agent, uint64_t leases,
                                  uint64_t oldest_ns, bool first))
{
    bool first = true;

    for (size_t i = 0; i < inspect->count;) {
        const uint64_t agent = inspect->items[i].work.claim.agent;
        uint64_t leases = 0, oldest_ns = 0;

        for (; i < inspect->count && inspect->items[i].work.claim.agent == agent; i++) {
            if (!inspect_is_held(&inspect->items[i]))
                continue;
            leases++;
            if (inspect->items[i].age_ns > oldest_ns)
                oldest_ns = inspect->items[i].age_ns;
        }
        if (leases == 0)
            continue;
        fn(inspect, agent, leases, oldest_ns, first);
        first = false;
    }
}

static void print_agent(const struct inspect *inspect, uint64_t agent, uint64_t leases,
                        uint64_t oldest_ns, bool first)
{
    char text[48];

    (void)inspect;
    if (first)
        printf("\n%-24s %10s %16s\n", "agent", "leases", "oldest");
    printf("%-24s %10" PRIu64 " ", inspect_incarnation(agent, text), leases);
    inspect_put_seconds(oldest_ns, 16);
    putchar('\n');
}

static void print_item(const struct inspect_item *item)
{
    const struct pawl_work *const work = &item->work;
    char text[48];

    printf("%016" PRIx64 "  %-10s ", id_of(item), item->state);
    inspect_put_seconds(item->age_ns, 14);
    printf("  %-16s %8" PRIu32 "  %" PRIu32 " of ", item->lane->name, work->claim.priority,
           work->attempts);
    if (work->attempts_max == PAWL_WORK_UNLIMITED)
        printf("any  ");
    else
        printf("%-3" PRIu32 "  ", work->attempts_max);
    printf("%-12s", inspect_is_held(item) ? inspect_incarnation(work->claim.agent, text) : "-");
    inspect_put_key(item->task, "  ");
    putchar('\n');
}

/* Returns how many are wanted, of which no more than the limit are passed to fn. */
static uint64_t each_wanted(const struct inspect *inspect, const struct inspect_choice *choice,
                            void (*fn)(const struct inspect_item *item, bool first))
{
    uint64_t wanted = 0;

    for (size_t i = 0; i < inspect->count; i++)
        if (is_wanted(choice, &inspect->items[i]) && wanted++ < choice->limit)
            fn(&inspect->items[i], wanted == 1);
    return wanted;
}

static void print_listed(const struct inspect_item *item, bool first)
{
    if (first)
        printf("\n%-16s  %-10s %14s  %-16s %8s  %-8s %-12s  %s\n", "task", "state", "age", "lane",
               "priority", "attempts", "agent", "key");
    print_item(item);
}

static void print_list(struct inspect *inspect, const struct inspect_choice *choice)
{
    uint64_t wanted;

    print_states(inspect);
    print_lanes(inspect);
    sort(inspect, INSPECT_BY_AGENT);
    each_agent(inspect, print_agent);
    sort(inspect, choice->sort);
    wanted = each_wanted(inspect, choice, print_listed);
    if (wanted > choice->limit)
        printf("and %" PRIu64 " more: --limit shows them\n", wanted - choice->limit);
    if (inspect->foreign > 0)
        printf("\n%zu work tasks of another version of the library are not listed\n",
               inspect->foreign);
}

/* ---- the same as JSON ------------------------------------------------------------------------ */

static void json_agent(const struct inspect *inspect, uint64_t agent, uint64_t leases,
                       uint64_t oldest_ns, bool first)
{
    char text[48];

    (void)inspect;
    printf("%s{\"agent\":\"%s\",\"leases\":%" PRIu64 ",\"oldest_ns\":%" PRIu64 "}",
           first ? "" : ",", inspect_incarnation(agent, text), leases, oldest_ns);
}

static void json_item(const struct inspect_item *item, bool first)
{
    const struct pawl_work *const work = &item->work;
    char text[48];

    printf("%s\n{\"task\":\"%016" PRIx64 "\"", first ? "" : ",", id_of(item));
    inspect_put_json("state", item->state);
    inspect_put_json("lane", item->lane->name);
    inspect_put_json_key(item->task);
    printf(",\"age_ns\":%" PRIu64 ",\"priority\":%" PRIu32 ",\"attempts\":%" PRIu32
           ",\"attempts_max\":%" PRIu32,
           item->age_ns, work->claim.priority, work->attempts, work->attempts_max);
    if (inspect_is_held(item))
        inspect_put_json("agent", inspect_incarnation(work->claim.agent, text));
    putchar('}');
}

static void json_states(const struct inspect *inspect)
{
    const struct manifest *const manifest = inspect->image.manifest;
    const uint64_t *count = inspect->states;
    bool first = true;

    for (unsigned i = 0; i < manifest->machines_count; i++)
        for (unsigned k = 0; k < manifest->machines[i].states_count; k++, count++) {
            if (*count == 0)
                continue;
            fputs(first ? "{\"machine\":" : ",{\"machine\":", stdout);
            tool_json_string(stdout, manifest->machines[i].name);
            inspect_put_json("state", manifest->machines[i].states[k]);
            printf(",\"tasks\":%" PRIu64 "}", *count);
            first = false;
        }
}

static void json_list(struct inspect *inspect, const struct inspect_choice *choice)
{
    uint64_t wanted;

    fputs("{\"states\":[", stdout);
    json_states(inspect);
    fputs("],\n\"lanes\":[", stdout);
    for (size_t i = 0; i < inspect->lanes_count; i++) {
        const struct inspect_lane *const lane = &inspect->lanes[i];

        fputs(i == 0 ? "{\"lane\":" : ",{\"lane\":", stdout);
        tool_json_string(stdout, lane->name);
        printf(",\"number\":\"%08" PRIx32 "\",\"ready\":%" PRIu64 ",\"leased\":%" PRIu64
               ",\"others\":%" PRIu64 ",\"oldest_ns\":%" PRIu64
               ",\"paused\":%s,\"breaker_open\":%s}",
               lane->number, lane->ready, lane->leased, lane->others, lane->oldest_ns,
               lane->paused ? "true" : "false", lane->broken ? "true" : "false");
    }
    fputs("],\n\"agents\":[", stdout);
    sort(inspect, INSPECT_BY_AGENT);
    each_agent(inspect, json_agent);
    fputs("],\n\"tasks\":[", stdout);
    sort(inspect, choice->sort);
    wanted = each_wanted(inspect, choice, json_item);
    printf("],\n\"matching\":%" PRIu64 ",\"other_versions\":%zu}\n", wanted, inspect->foreign);
}

void inspect_list(struct inspect *inspect, const struct inspect_choice *choice)
{
    if (inspect->json)
        json_list(inspect, choice);
    else
        print_list(inspect, choice);
}
