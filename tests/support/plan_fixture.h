/*
 * plan_fixture.h - for tests of what plans look like: a plan for a machine that is only described.
 */
#ifndef PAWL_TESTS_SUPPORT_PLAN_FIXTURE_H
#define PAWL_TESTS_SUPPORT_PLAN_FIXTURE_H

#include "host/plan.h"
#include "support/test.h"

/* machine: as hwloc writes it, such as "pack:1 core:4 pu:2". */
static inline struct pawl_plan *plan_for(const char *machine, unsigned shards, unsigned io_threads)
{
    const struct pawl_plan_request request = {
        .shards = shards, .io_threads = io_threads, .monitor = true};
    struct pawl_topology *topology = NULL;
    struct pawl_plan *plan = NULL;
    int rc = pawl_topology_open(&(struct pawl_topology_source){.synthetic = machine}, &topology);

    cr_assert(rc == 0, "\"%s\": %d", machine, rc);
    rc = pawl_plan_create(topology, &request, &plan);
    cr_assert(rc == 0, "%d", rc);
    pawl_topology_close(topology);
    return plan;
}

#endif /* PAWL_TESTS_SUPPORT_PLAN_FIXTURE_H */
