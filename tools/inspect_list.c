/*
 * inspect_list.c - shows lanes, agents and work tasks; as a table, and as JSON.
 */
#include <inttypes.h>
#include <string.h>

#include "inspect.h"
#include "tool.h"
#include "watch/live_reply.h"

/* ---- as tables ------------------------------------------------------------------------------- */

static uint64_t number_of(const struct inspect_process *process, const char *name)
{
    for (size_t i = 0; i < process->numbers_count; i++)
        if (strcmp(process->numbers[i].name, name) == 0)
            return process->numbers[i].value;
    return 0;
}

/* A second, since the runtime was opened. */
static double rate(const struct inspect_process *process, uint64_t count)
{
    return process->uptime_ns > 0 ? (double)count * 1e9 / (double)process->uptime_ns : 0;
}

static void print_process(const struct inspect_process *process)
{
    const uint64_t events = number_of(process, "events");

    printf("process %" PRIu64 ", Pawl ", process->pid);
    inspect_put_name(process->version, 0);
    fputs(", up for ", stdout);
    inspect_put_seconds(process->uptime_ns, 0);
    printf(", shards: %" PRIu64 "\n", number_of(process, "shards"));
    printf("tasks: %" PRIu64 ", timers: %" PRIu64 ", under way: %" PRIu64 ", memory: %" PRIu64
           " bytes\n",
           number_of(process, "tasks"), number_of(process, "timers"),
           number_of(process, "inflight"), number_of(process, "memory_bytes"));
    printf("events: %" PRIu64 " (%.0f/s), refused: %" PRIu64 ", stale: %" PRIu64
           ", given up: %" PRIu64 ", undelivered: %" PRIu64 ", stalls: %" PRIu64 "\n\n",
           events, rate(process, events), number_of(process, "refused"),
           number_of(process, "stale"), number_of(process, "aborted"),
           number_of(process, "undelivered"), number_of(process, "stalls"));
}

static void print_states(const struct sight *sight)
{
    printf("%-24s %-16s %10s\n", "machine", "state", "tasks");
    for (size_t i = 0; i < sight->states_count; i++) {
        inspect_put_name(sight->states[i].machine, 24);
        putchar(' ');
        inspect_put_name(sight->states[i].state, 16);
        printf(" %10" PRIu64 "\n", sight->states[i].tasks);
    }
}

static void print_lane(const struct inspect_list *list, const struct sight_lane *lane)
{
    const struct pawl_lane_status *const status = &lane->status;
    const bool broken = status->breaker != PAWL_BREAKER_CLOSED;

    inspect_put_name(lane->name, 31);
    printf(" %10" PRIu64 " %10" PRIu64 " %10" PRIu64, status->ready, status->leased, lane->others);
    if (status->oldest_ns > 0 || status->ready > 0)
        inspect_put_seconds(status->oldest_ns, 17);
    else
        printf(" %16s", "-");
    if (list->process)
        printf(" %10" PRIu64 " %9.1f %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64,
               status->leases, rate(list->process, status->leases), status->expired, status->lost,
               status->refused, status->bad);
    puts(status->paused && broken ? "  paused, breaker open"
         : status->paused         ? "  paused"
         : broken                 ? "  breaker open"
                                  : "");
}

static void print_lanes(const struct inspect_list *list)
{
    if (list->sight.lanes_count == 0)
        return;
    printf("\n%-31s %10s %10s %10s %16s", "lane", "ready", "leased", "others", "oldest ready");
    if (list->process)
        printf(" %10s %9s %9s %9s %9s %9s", "leases", "a second", "expired", "lost", "refused",
               "failed");
    putchar('\n');
    for (size_t i = 0; i < list->sight.lanes_count; i++)
        print_lane(list, &list->sight.lanes[i]);
}

static void print_agent(const struct inspect_list *list, const struct sight_agent *agent)
{
    char text[48];

    printf("%-24s %10" PRIu64 " ", inspect_incarnation(agent->incarnation, text), agent->leases);
    inspect_put_seconds(agent->oldest_ns, 16);
    if (list->process) {
        printf(" %10" PRIu32 "  ", agent->credits);
        inspect_put_name(!agent->open ? "(gone)" : agent->name[0] != 0 ? agent->name : "-", 0);
    }
    putchar('\n');
}

static void print_agents(const struct inspect_list *list)
{
    if (list->sight.agents_count == 0)
        return;
    printf("\n%-24s %10s %16s", "agent", "leases", "oldest");
    if (list->process)
        printf(" %10s  %s", "credits", "name");
    putchar('\n');
    for (size_t i = 0; i < list->sight.agents_count; i++)
        print_agent(list, &list->sight.agents[i]);
    if (list->sight.agents_left_out > 0)
        printf("and others with %" PRIu64 " leases\n", list->sight.agents_left_out);
}

static void print_task(const struct sight *sight, const struct sight_task *task)
{
    const struct pawl_work_view *const view = &task->view;
    const struct pawl_work *const work = &view->work;
    char text[48];

    printf("%016" PRIx64 "  %-10s ", view->task.id, pawl_work_state_name(view->state));
    inspect_put_seconds(view->age_ns, 14);
    fputs("  ", stdout);
    inspect_put_name(sight->lanes[task->lane].name, 16);
    printf(" %8" PRIu32 "  %" PRIu32 " of ", work->claim.priority, work->attempts);
    if (work->attempts_max == PAWL_WORK_UNLIMITED)
        printf("any  ");
    else
        printf("%-3" PRIu32 "  ", work->attempts_max);
    printf("%-12s", sight_is_held(view) ? inspect_incarnation(work->claim.agent, text) : "-");
    inspect_put_key(view->key, view->key_size, "  ");
    putchar('\n');
}

static void print_tasks(const struct sight *sight)
{
    if (sight->tasks_count > 0)
        printf("\n%-16s  %-10s %14s  %-16s %8s  %-8s %-12s  %s\n", "task", "state", "age", "lane",
               "priority", "attempts", "agent", "key");
    for (size_t i = 0; i < sight->tasks_count; i++)
        print_task(sight, sight_task(sight, i));
    if (sight->matching > sight->tasks_count)
        printf("and %" PRIu64 " more: --limit shows them\n", sight->matching - sight->tasks_count);
    if (sight->foreign > 0)
        printf("\n%" PRIu64 " work tasks of another version of the library are not listed\n",
               sight->foreign);
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static void json_process(const struct inspect_process *process)
{
    printf("\"process\":{\"pid\":%" PRIu64, process->pid);
    inspect_put_json("version", process->version);
    printf(",\"uptime_ns\":%" PRIu64, process->uptime_ns);
    for (size_t i = 0; i < process->numbers_count; i++) {
        putchar(',');
        tool_json_string(stdout, process->numbers[i].name);
        printf(":%" PRIu64, process->numbers[i].value);
    }
    fputs("},\n", stdout);
}

static void json_state(const struct sight_state *state, const char *before)
{
    printf("%s{\"machine\":", before);
    tool_json_string(stdout, state->machine);
    inspect_put_json("state", state->state);
    printf(",\"tasks\":%" PRIu64 "}", state->tasks);
}

static void json_lane(const struct inspect_list *list, const struct sight_lane *lane,
                      const char *before)
{
    const struct pawl_lane_status *const status = &lane->status;

    printf("%s{\"lane\":", before);
    tool_json_string(stdout, lane->name);
    printf(",\"number\":\"%08" PRIx32 "\",\"ready\":%" PRIu64 ",\"leased\":%" PRIu64
           ",\"others\":%" PRIu64 ",\"oldest_ns\":%" PRIu64 ",\"paused\":%s,\"breaker_open\":%s",
           lane->number, status->ready, status->leased, lane->others, status->oldest_ns,
           status->paused ? "true" : "false",
           status->breaker != PAWL_BREAKER_CLOSED ? "true" : "false");
    if (list->process)
        printf(",\"breaker\":\"%s\",\"leases\":%" PRIu64
               ",\"leases_per_s\":%.3f,\"returned\":%" PRIu64 ",\"expired\":%" PRIu64
               ",\"lost\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"good\":%" PRIu64
               ",\"bad\":%" PRIu64,
               pawl__reply_breaker_name(status->breaker), status->leases,
               rate(list->process, status->leases), status->returned, status->expired, status->lost,
               status->refused, status->good, status->bad);
    putchar('}');
}

static void json_agent(const struct inspect_list *list, const struct sight_agent *agent,
                       const char *before)
{
    char text[48];

    printf("%s{\"agent\":\"%s\",\"leases\":%" PRIu64 ",\"oldest_ns\":%" PRIu64, before,
           inspect_incarnation(agent->incarnation, text), agent->leases, agent->oldest_ns);
    if (list->process) {
        inspect_put_json("name", agent->name);
        printf(",\"open\":%s,\"credits\":%" PRIu32, agent->open ? "true" : "false", agent->credits);
    }
    putchar('}');
}

static void json_task(const struct sight *sight, const struct sight_task *task, const char *before)
{
    const struct pawl_work_view *const view = &task->view;
    char text[48];

    printf("%s\n{\"task\":\"%016" PRIx64 "\"", before, view->task.id);
    inspect_put_json("state", pawl_work_state_name(view->state));
    inspect_put_json("lane", sight->lanes[task->lane].name);
    inspect_put_json_key(view->key, view->key_size);
    printf(",\"age_ns\":%" PRIu64 ",\"priority\":%" PRIu32 ",\"attempts\":%" PRIu32
           ",\"attempts_max\":%" PRIu32,
           view->age_ns, view->work.claim.priority, view->work.attempts, view->work.attempts_max);
    if (sight_is_held(view))
        inspect_put_json("agent", inspect_incarnation(view->work.claim.agent, text));
    putchar('}');
}

static void json_list(const struct inspect_list *list)
{
    const struct sight *const sight = &list->sight;

    putchar('{');
    if (list->process)
        json_process(list->process);
    fputs("\"states\":[", stdout);
    for (size_t i = 0; i < sight->states_count; i++)
        json_state(&sight->states[i], i > 0 ? "," : "");
    fputs("],\n\"lanes\":[", stdout);
    for (size_t i = 0; i < sight->lanes_count; i++)
        json_lane(list, &sight->lanes[i], i > 0 ? "," : "");
    fputs("],\n\"agents\":[", stdout);
    for (size_t i = 0; i < sight->agents_count; i++)
        json_agent(list, &sight->agents[i], i > 0 ? "," : "");
    fputs("],\n\"tasks\":[", stdout);
    for (size_t i = 0; i < sight->tasks_count; i++)
        json_task(sight, sight_task(sight, i), i > 0 ? "," : "");
    printf("],\n\"matching\":%" PRIu64 ",\"other_versions\":%" PRIu64 "}\n", sight->matching,
           sight->foreign);
}

void inspect_show_list(const struct inspect_list *list, bool json)
{
    if (json) {
        json_list(list);
        return;
    }
    if (list->process)
        print_process(list->process);
    print_states(&list->sight);
    print_lanes(list);
    print_agents(list);
    print_tasks(&list->sight);
}
