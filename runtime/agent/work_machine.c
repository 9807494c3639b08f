/*
 * work_machine.c - the tables of the work machine, and compiling it.
 *
 * Layer: agent. The leaves come first, in the order of enum pawl_work_state: so the state that a
 * completion or a view tells is the public one.
 */
#include "agent/work_machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/policy.h"
#include "base/check.h"

_Static_assert(sizeof(struct pawl_work) <= 192, "each step writes all of it to the journal");
_Static_assert(PAWL_WORK_MACHINES == 1 + NOTE_MACHINES, "work and its notes");
_Static_assert(WORK_DONE == (int)PAWL_REPORT_DONE && WORK_REJECT == (int)PAWL_REPORT_REJECT,
               "reports come first, in the order of enum pawl_report_kind");

static const char *const events[WORK_EVENTS] = {
    "done",  "failed", "release", "extend",  "progress", "note",    "accept",  "reject",
    "go",    "lease",  "expired", "watch",   "follow",   "settled", "parent",  "open",
    "after", "cancel", "due",     "overdue", "reclaim",  "kick",    "discard", "prioritise"};

static const char *const raises_go[] = {"go", NULL};
static const char *const defers[] = {"watch", "follow", NULL};
static const char *const defers_follow[] = {"follow", NULL};

static const struct pawl_state_def states[] = {
    {.name = "new", .parent = "open", .entry = pawl__work_begin, .raises = raises_go},
    {.name = "dependent", .parent = "open"},
    {.name = "delayed", .parent = "open"},
    {.name = "ready", .parent = "open", .flags = PAWL_STATE_READY},
    {.name = "leased", .parent = "open", .flags = PAWL_STATE_LEASED},
    {.name = "unverified", .parent = "open", .flags = PAWL_STATE_READY},
    {.name = "checked", .parent = "open", .flags = PAWL_STATE_LEASED},
    {.name = "completed", .parent = "settled", .entry = pawl__work_enter_completed},
    {.name = "failed",
     .parent = "settled",
     .entry = pawl__work_enter_failed,
     .defers = defers_follow},
    {.name = "cancelled", .parent = "settled", .entry = pawl__work_enter_cancelled},
    {.name = "dead", .parent = "settled", .entry = pawl__work_enter_dead, .defers = defers_follow},
    {.name = "gone", .flags = PAWL_STATE_FINAL, .entry = pawl__work_end},
    {.name = "life", .initial = "open"},
    {.name = "open", .parent = "life", .initial = "new", .defers = defers},
    {.name = "settled", .parent = "life", .initial = "completed"},
};

static bool goes_to(const void *context, enum pawl_work_state state)
{
    return ((const struct pawl_work *)context)->next == (unsigned)state + 1;
}

#define GOES_TO(name, state)                                                                       \
    static bool goes_##name(const struct pawl_step *step, const void *context,                     \
                            const struct pawl_event *event)                                        \
    {                                                                                              \
        (void)step, (void)event;                                                                   \
        return goes_to(context, state);                                                            \
    }

GOES_TO(dependent, PAWL_WORK_DEPENDENT)
GOES_TO(delayed, PAWL_WORK_DELAYED)
GOES_TO(ready, PAWL_WORK_READY)
GOES_TO(unverified, PAWL_WORK_UNVERIFIED)
GOES_TO(completed, PAWL_WORK_COMPLETED)
GOES_TO(failed, PAWL_WORK_FAILED)
GOES_TO(cancelled, PAWL_WORK_CANCELLED)
GOES_TO(dead, PAWL_WORK_DEAD)

#define GO(name)                                                                                   \
    {                                                                                              \
        .from = "life", .on = "go", .to = #name, .guard = goes_##name, .action = pawl__work_go     \
    }
#define INSIDE(state, event, function)                                                             \
    {                                                                                              \
        .from = state, .on = event, .action = function                                             \
    }
#define MAYBE(state, event, function)                                                              \
    {                                                                                              \
        .from = state, .on = event, .action = function, .raises = raises_go                        \
    }
#define MOVES(state, event, target, function)                                                      \
    {                                                                                              \
        .from = state, .on = event, .to = target, .action = function                               \
    }

/* Its parent was cancelled with its tree: now it cannot be kicked, and its children are told. */
#define FOLLOWS(state)                                                                             \
    {                                                                                              \
        .from = state, .on = "parent", .to = "cancelled", .guard = pawl__work_is_parent_gone,      \
        .action = pawl__work_parent                                                                \
    }

static const struct pawl_transition_def transitions[] = {
    /* Where handlers send it. */
    GO(ready),
    GO(completed),
    GO(delayed),
    GO(dependent),
    GO(unverified),
    GO(failed),
    GO(dead),
    GO(cancelled),

    /* Before it is ready. */
    MAYBE("new", "open", pawl__work_open),
    INSIDE("new", "after", pawl__work_after),
    MAYBE("new", "settled", pawl__work_settled_held),
    MAYBE("dependent", "settled", pawl__work_settled),
    MAYBE("delayed", "due", pawl__work_due),

    /* In the hands of an agent. */
    MOVES("ready", "lease", "leased", pawl__work_lease),
    {.from = "leased",
     .on = "done",
     .to = "completed",
     .guard = pawl__work_is_unverified,
     .action = pawl__work_done},
    MAYBE("leased", "done", pawl__work_done_verify),
    MAYBE("leased", "failed", pawl__work_failed),
    MAYBE("leased", "release", pawl__work_release),
    MAYBE("leased", "expired", pawl__work_expired),
    INSIDE("leased", "extend", pawl__work_extend),
    INSIDE("leased", "progress", pawl__work_progress),
    INSIDE("leased", "note", pawl__work_note),

    /* And of those who verify. */
    MOVES("unverified", "lease", "checked", pawl__work_check),
    MOVES("checked", "accept", "completed", pawl__work_accept),
    MAYBE("checked", "reject", pawl__work_reject),
    MAYBE("checked", "failed", pawl__work_give_back),
    MAYBE("checked", "release", pawl__work_give_back),
    MAYBE("checked", "expired", pawl__work_check_expired),
    INSIDE("checked", "extend", pawl__work_extend),
    INSIDE("checked", "progress", pawl__work_progress),
    INSIDE("checked", "note", pawl__work_note),

    /* Any time until it is settled. */
    MOVES("open", "cancel", "cancelled", pawl__work_cancel),
    MOVES("open", "overdue", "failed", pawl__work_overdue),
    INSIDE("open", "prioritise", pawl__work_prioritise),
    INSIDE("open", "due", pawl__work_due_early),
    FOLLOWS("open"),

    /* Settled. */
    INSIDE("settled", "watch", pawl__work_watch),
    INSIDE("settled", "follow", pawl__work_follow),
    INSIDE("settled", "cancel", pawl__work_cancel_late),
    INSIDE("settled", "settled", pawl__work_settled_late),
    MAYBE("failed", "kick", pawl__work_kick),
    MAYBE("dead", "kick", pawl__work_kick),
    FOLLOWS("failed"),
    FOLLOWS("dead"),
    MOVES("settled", "discard", "gone", NULL),
    MOVES("settled", "reclaim", "gone", pawl__work_reclaim),

    /* Answers that come when nobody waits for them any more; reports that are out of place. */
    INSIDE("life", "settled", NULL),
    INSIDE("life", "parent", NULL),
    INSIDE("life", "done", pawl__work_refuse),
    INSIDE("life", "failed", pawl__work_refuse),
    INSIDE("life", "release", pawl__work_refuse),
    INSIDE("life", "extend", pawl__work_refuse),
    INSIDE("life", "progress", pawl__work_refuse),
    INSIDE("life", "note", pawl__work_refuse),
    INSIDE("life", "accept", pawl__work_refuse),
    INSIDE("life", "reject", pawl__work_refuse),
};

static const struct pawl_timer_def timers[] = {
    [WORK_TIMER_LEASE] = {"lease", "expired"},
    [WORK_TIMER_DELAY] = {"delay", "due"},
    [WORK_TIMER_DEADLINE] = {"deadline", "overdue"},
    [WORK_TIMER_KEEP] = {"keep", "reclaim"},
};

const struct pawl_machine_def pawl__work_machine = {
    .name = "pawl.work",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    PAWL_TABLE(timers),
    .initial = "life",
    .cancel = "cancel",
    .lease = "lease",
    .lease_timer = "lease",
    .context_size = sizeof(struct pawl_work),
    .unexpected = PAWL_UNEXPECTED_REFUSE,
    .deferred_max = WORK_WATCHERS_MAX,
};

const char *pawl_work_state_name(unsigned state)
{
    return state < PAWL_WORK_STATES ? states[state].name : "?";
}

int pawl__work_machines(const struct pawl_work_options *options, pawl_diagnostic_fn *diagnose,
                        void *user, const struct pawl_machine *machines[PAWL_WORK_MACHINES])
{
    int error = pawl__policies_check(options, diagnose, user);

    memset(machines, 0, PAWL_WORK_MACHINES * sizeof(struct pawl_machine *));
    for (unsigned i = 0; error == 0 && i < PAWL_WORK_MACHINES; i++) {
        struct pawl_machine_def definition =
            i == 0 ? pawl__work_machine : pawl__note_machines[i - 1];
        struct pawl_machine *machine = NULL;

        definition.durability = options->durability;
        /* Its warnings (tasks may wait for ever) are meant so. */
        error = pawl_machine_compile(&definition, NULL, NULL, &machine);
        CHECK(error == 0 || error == -ENOMEM);
        machines[i] = machine;
    }
    if (error != 0)
        pawl__work_machines_destroy(machines);
    return error;
}

void pawl__work_machines_destroy(const struct pawl_machine *machines[PAWL_WORK_MACHINES])
{
    for (unsigned i = 0; i < PAWL_WORK_MACHINES; i++) {
        union {
            const struct pawl_machine *given;
            struct pawl_machine *own; /* it is ours alone to destroy */
        } machine = {.given = machines[i]};

        if (machine.own != NULL)
            pawl_machine_destroy(machine.own);
        machines[i] = NULL;
    }
}

int pawl__work_check_lanes(const struct pawl_work_options *options,
                           const struct pawl_lane_def *lanes, unsigned lane_count,
                           pawl_diagnostic_fn *diagnose, void *user)
{
    int error = 0;

    for (size_t i = 0; i < options->policies_count; i++) {
        const struct pawl_work_policy *policy = &options->policies[i];
        bool found = policy->verify != PAWL_WORK_VERIFY_LANE;
        char where[128];

        for (unsigned lane = 0; lanes != NULL && lane < lane_count && !found; lane++)
            found = lanes[lane].name != NULL && strcmp(lanes[lane].name, policy->verify_lane) == 0;
        if (found)
            continue;
        error = -EINVAL;
        snprintf(where, sizeof(where), "pawl_options.work, policy %zu (%.64s)", i,
                 policy->name != NULL ? policy->name : "no name");
        if (diagnose != NULL)
            diagnose(user, &(struct pawl_diagnostic){
                               .error = -EINVAL,
                               .where = where,
                               .what = "verify_lane is none of pawl_options.lanes; add the lane or "
                                       "name another"});
    }
    return error;
}
