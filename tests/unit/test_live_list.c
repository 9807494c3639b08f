/* Lanes and agents, one after another. */
#include <pawl/live.h>

#include "support/work_fixture.h"

static struct work_fixture w;

Test(live_list, lanes_are_named_by_their_position)
{
    work_open(&w, NULL);
    cr_assert_str_eq(pawl_lane_name(w.f.runtime, 0), "work");
    cr_assert_str_eq(pawl_lane_name(w.f.runtime, 1), "verify");
    cr_assert(pawl_lane_name(w.f.runtime, 2) == NULL);
    cr_assert(pawl_lane_name(w.f.runtime, UINT32_MAX) == NULL);
    work_close(&w);
}

static unsigned list(struct pawl_agent_view *views, unsigned capacity)
{
    unsigned next = 0, count = 0;
    int some;

    while ((some = pawl_agent_list(w.f.runtime, &next, views + count, capacity)) > 0) {
        cr_assert((unsigned)some <= capacity);
        count += (unsigned)some;
        cr_assert(count <= 8);
    }
    cr_assert_eq(some, 0);
    return count;
}

Test(live_list, open_agents_are_listed_once_whatever_the_portions)
{
    struct pawl_agent_view views[16];
    struct pawl_agent *a, *b, *c;
    struct pawl_lease lease;

    work_open(&w, NULL);
    cr_assert_eq(list(views, 4), 0); /* ports that are nobody's are none */
    a = work_agent(&w, "a", "work", 3);
    b = work_agent(&w, "b", "verify", 1);
    c = work_agent(&w, "c", "work", 1);
    cr_assert_eq(pawl_agent_next(a, &lease, 1, 0), 0); /* grants */
    for (unsigned capacity = 1; capacity <= 4; capacity++) {
        cr_assert_eq(list(views, capacity), 3);
        cr_assert_eq(views[0].incarnation, pawl_agent_incarnation(a));
        cr_assert_eq(views[0].number, pawl_agent_number("a"));
        cr_assert_eq(views[0].credits, 3);
        cr_assert_str_eq(views[0].name, "a");
        cr_assert_eq(views[0].lanes, 1);
        cr_assert_eq(views[1].incarnation, pawl_agent_incarnation(b));
        cr_assert_eq(views[1].lanes, 2);
        cr_assert_eq(views[2].incarnation, pawl_agent_incarnation(c));
    }
    work_agent_end(&w, b);
    cr_assert_eq(list(views, 1), 2);
    cr_assert_eq(views[1].incarnation, pawl_agent_incarnation(c));
    work_agent_end(&w, a);
    work_agent_end(&w, c);
    cr_assert_eq(list(views, 1), 0);
    work_close(&w);
}

Test(live_list, silence_is_told_of_agents_with_a_heartbeat)
{
    static const char *const lanes[] = {"work"};
    const struct pawl_agent_options options = {
        .name = "beats", .lanes = lanes, .lanes_count = 1, .heartbeat_ns = 10 * FIXTURE_SECOND};
    struct pawl_agent_view view;
    struct pawl_agent *agent;
    unsigned next = 0;

    work_open(&w, NULL);
    cr_assert_eq(pawl_agent_open(w.f.runtime, &options, &agent), 0);
    pawl_virtual_clock_advance_to(w.f.clock, fixture_now(&w.f) + FIXTURE_SECOND);
    cr_assert_eq(pawl_agent_list(w.f.runtime, &next, &view, 1), 1);
    cr_assert_eq(view.silent_ns, FIXTURE_SECOND);
    pawl_agent_beat(agent);
    next = 0;
    cr_assert_eq(pawl_agent_list(w.f.runtime, &next, &view, 1), 1);
    cr_assert_eq(view.silent_ns, 0);
    work_agent_end(&w, agent);
    work_close(&w);
}
