/*
 * test_registry.c - which ports there are: entries, their lives, and what is left of ended threads.
 */
#include "support/threads_fixture.h"

#include "shard/registry.h"
#include "shard/runtime.h"

static struct pawl_port *open_port(struct pawl_runtime *runtime)
{
    struct pawl_port *port = NULL;
    const struct pawl_port_options small = {.capacity = 64};

    cr_assert_eq(pawl_port_open(runtime, &small, &port), 0);
    return port;
}

Test(registry, the_lowest_free_entry_is_used_and_its_life_grows)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct port_registry *registry = world->runtime->ports;
    struct pawl_port *first = open_port(world->runtime);
    struct pawl_port *second = open_port(world->runtime);
    const uint32_t place = first->index;
    uint32_t life;

    cr_assert_eq(second->index, place + 1);
    life = load_acquire(&registry->entries[place].life);
    cr_assert_eq(life & 1, 1u);
    close_port(world, first);
    cr_assert_eq(load_acquire(&registry->entries[place].life), life + 1);
    first = open_port(world->runtime);
    cr_assert_eq(first->index, place);
    cr_assert_eq(load_acquire(&registry->entries[place].life), life + 2);
    close_port(world, first);
    close_port(world, second);
    world_close(world);
}

Test(registry, no_more_ports_than_there_are_entries)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct pawl_port **ports = calloc(PORTS_MAX, sizeof(struct pawl_port *));
    const struct pawl_port_options small = {.capacity = 64};
    unsigned count = 0;
    int error = 0;

    while (count < PORTS_MAX && error == 0) {
        error = pawl_port_open(world->runtime, &small, &ports[count]);
        count += error == 0;
    }
    if (error == 0) {
        struct pawl_port *extra;

        error = pawl_port_open(world->runtime, &small, &extra);
    }
    cr_assert_eq(error, -ENOSPC, "%d after %u", error, count);
    cr_assert(count > PORTS_MAX - 8);
    for (unsigned i = 0; i < count; i++)
        close_port(world, ports[i]);
    cr_assert_eq(pawl_port_open(world->runtime, &small, &ports[0]), 0);
    close_port(world, ports[0]);
    free(ports);
    world_close(world);
}

struct last_post {
    struct pawl_runtime *runtime;
    struct pawl_event event;
    int result;
};

static void *post_and_end(void *argument)
{
    struct last_post *last = argument;

    last->result = pawl_task_post(last->runtime, &last->event, 1);
    return NULL;
}

Test(registry, an_ended_threads_port_goes_when_its_events_were_taken)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct port_registry *registry = world->runtime->ports;
    struct last_post last = {.runtime = world->runtime};
    pthread_t thread;

    last.event = event_to(create_on(world, MACHINE_PROBE, 0), EV_HIT);
    cr_assert_eq(pthread_create(&thread, NULL, post_and_end, &last), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(last.result, 1);
    pawl__ports_reap(registry);
    cr_assert(registry->dead != NULL, "it went before its event was taken");
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.hits), 1u);
    pawl_turn(world->runtime, 0);
    pawl__ports_reap(registry);
    cr_assert(registry->dead == NULL);
    world_close(world);
}
