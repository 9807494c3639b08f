/*
 * test_topology.c - reading machines: made-up ones, saved ones, and the part of this one that the
 * calling thread may use. Nothing here needs more than one cpu.
 */
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "host/thread.h"
#include "host/topology.h"
#include "support/test.h"

static struct pawl_topology *open_synthetic(const char *text)
{
    struct pawl_topology *topology = NULL;
    const int rc = pawl_topology_open(&(struct pawl_topology_source){.synthetic = text}, &topology);

    cr_assert(rc == 0, "\"%s\": %d", text, rc);
    return topology;
}

static struct pawl_topology_summary summarize(const char *text)
{
    struct pawl_topology *topology = open_synthetic(text);
    struct pawl_topology_summary summary;

    pawl_topology_summarize(topology, &summary);
    pawl_topology_close(topology);
    return summary;
}

Test(topology, counts_two_sockets_of_64_cores)
{
    const struct pawl_topology_summary s = summarize("pack:2 numa:1 l3:8 core:8 pu:1");

    cr_assert_eq(s.packages, 2);
    cr_assert_eq(s.nodes, 2);
    cr_assert_eq(s.l3_groups, 16);
    cr_assert_eq(s.cores, 128);
    cr_assert_eq(s.cpus, 128);
    cr_assert_eq(s.kinds, 1);
    cr_assert(!s.smt);
}

Test(topology, counts_smt_siblings_as_cpus_of_one_core)
{
    const struct pawl_topology_summary s = summarize("pack:1 l3:2 core:4 pu:2");

    cr_assert_eq(s.cores, 8);
    cr_assert_eq(s.cpus, 16);
    cr_assert_eq(s.l3_groups, 2);
    cr_assert(s.smt);
}

Test(topology, takes_a_node_for_the_cache_group_where_no_l3_is_known)
{
    const struct pawl_topology_summary s = summarize("pack:2 numa:2 core:3 pu:1");

    cr_assert_eq(s.nodes, 4);
    cr_assert_eq(s.l3_groups, 4);
}

Test(topology, counts_a_cache_that_two_nodes_share_once)
{
    const struct pawl_topology_summary s = summarize("pack:1 l3:1 numa:2 core:4 pu:1");

    cr_assert_eq(s.nodes, 2);
    cr_assert_eq(s.l3_groups, 1);
}

Test(topology, reads_the_smallest_machine)
{
    const struct pawl_topology_summary s = summarize("pu:1");

    cr_assert_eq(s.packages, 1);
    cr_assert_eq(s.nodes, 1);
    cr_assert_eq(s.l3_groups, 1);
    cr_assert_eq(s.cores, 1);
    cr_assert_eq(s.cpus, 1);
}

/* What plan.c builds upon: see the head of struct pu. */
static void assert_in_order(const struct pawl_topology *topology, const char *text)
{
    for (unsigned i = 0; i < topology->pu_count; i++) {
        const struct pu *pu = &topology->pus[i];
        const struct pu *last = i ? pu - 1 : NULL;

        cr_assert(last ? pu->package - last->package <= 1 : pu->package == 0, "%s: %u", text, i);
        cr_assert(last ? pu->node - last->node <= 1 : pu->node == 0, "%s: %u", text, i);
        cr_assert(last ? pu->l3 - last->l3 <= 1 : pu->l3 == 0, "%s: %u", text, i);
        cr_assert(last ? pu->core - last->core <= 1 : pu->core == 0, "%s: %u", text, i);
        cr_assert_eq(pu->smt, last && pu->core == last->core ? last->smt + 1 : 0);
    }
}

Test(topology, numbers_random_machines_densely_and_in_order)
{
    struct random random = {.state = 20240607};

    for (int round = 0; round < 60; round++) {
        const unsigned packages = 1 + (unsigned)random_below(&random, 3);
        const unsigned nodes = 1 + (unsigned)random_below(&random, 3);
        const unsigned caches = 1 + (unsigned)random_below(&random, 4);
        const unsigned cores = 1 + (unsigned)random_below(&random, 6);
        const unsigned pus = 1 + (unsigned)random_below(&random, 4);
        struct pawl_topology_summary s;
        struct pawl_topology *topology;
        char text[128];

        snprintf(text, sizeof(text), "pack:%u numa:%u l3:%u core:%u pu:%u", packages, nodes, caches,
                 cores, pus);
        topology = open_synthetic(text);
        pawl_topology_summarize(topology, &s);
        assert_in_order(topology, text);
        cr_assert_eq(s.packages, packages);
        cr_assert_eq(s.nodes, packages * nodes);
        cr_assert_eq(s.l3_groups, packages * nodes * caches);
        cr_assert_eq(s.cores, packages * nodes * caches * cores);
        cr_assert_eq(s.cpus, packages * nodes * caches * cores * pus);
        cr_assert_eq(s.smt, pus > 1);
        pawl_topology_close(topology);
    }
}

static int open_source(const struct pawl_topology_source *source)
{
    struct pawl_topology *topology = NULL;
    const int rc = pawl_topology_open(source, &topology);

    cr_assert((rc == 0) == (topology != NULL), "%d", rc);
    pawl_topology_close(topology);
    return rc;
}

Test(topology, refuses_what_describes_no_machine)
{
    const struct pawl_topology_source both = {.synthetic = "pu:1", .xml_path = "/dev/null"};

    cr_assert_eq(open_source(&both), -EINVAL);
    cr_assert_eq(open_source(&(struct pawl_topology_source){.synthetic = ""}), -EINVAL);
    cr_assert_eq(open_source(&(struct pawl_topology_source){.synthetic = "core:"}), -EINVAL);
    cr_assert_eq(open_source(&(struct pawl_topology_source){.synthetic = "core:0"}), -EINVAL);
    cr_assert_eq(open_source(&(struct pawl_topology_source){.xml_path = "/nowhere/x.xml"}),
                 -ENOENT);
    cr_assert_eq(open_source(&(struct pawl_topology_source){.xml_path = "/dev/null"}), -EBADMSG);
    cr_assert_eq(pawl_topology_open(NULL, NULL), -EINVAL);
}

#define CPU(n, bit)                                                                                \
    "<object type=\"Core\" os_index=\"" #n "\" cpuset=\"" bit "\" complete_cpuset=\"" bit          \
    "\" nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"1" #n "\">"                            \
    "<object type=\"PU\" os_index=\"" #n "\" cpuset=\"" bit "\" complete_cpuset=\"" bit            \
    "\" nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"2" #n "\"/></object>"

/* In lines, as hwloc writes it: its own small parser, for where libxml is missing, wants them.
 * Four cores, of which the last two are the fast ones and cpu 1 is forbidden. */
static const char saved_machine[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
    "<topology version=\"2.0\">\n"
    "<object type=\"Machine\" os_index=\"0\" cpuset=\"0xf\" complete_cpuset=\"0xf\" "
    "allowed_cpuset=\"0xd\" nodeset=\"0x1\" complete_nodeset=\"0x1\" allowed_nodeset=\"0x1\" "
    "gp_index=\"1\">"
    "<object type=\"NUMANode\" os_index=\"0\" cpuset=\"0xf\" complete_cpuset=\"0xf\" "
    "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"2\" local_memory=\"1073741824\"/>" //
    CPU(0, "0x1") CPU(1, "0x2") CPU(2, "0x4") CPU(3, "0x8")                                 //
    "</object>"
    "<cpukind cpuset=\"0x3\" forced_efficiency=\"0\"/>"
    "<cpukind cpuset=\"0xc\" forced_efficiency=\"5\"/>"
    "</topology>";

Test(topology, ranks_the_kinds_of_core_of_a_saved_machine)
{
    char path[] = "/tmp/pawl-topology-XXXXXX";
    const int fd = mkstemp(path);
    const size_t length = sizeof(saved_machine) - 1;
    struct pawl_topology *topology = NULL;
    int rc;

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, saved_machine, length), (ssize_t)length);
    close(fd);
    rc = pawl_topology_open(&(struct pawl_topology_source){.xml_path = path}, &topology);
    unlink(path);
    cr_assert(rc == 0, "%d", rc);
    cr_assert_eq(topology->pu_count, 3);
    cr_assert_eq(topology->pus[0].os, 0);
    cr_assert_eq(topology->pus[0].kind, 1);
    cr_assert_eq(topology->pus[1].os, 2);
    cr_assert_eq(topology->pus[1].kind, 0);
    cr_assert_eq(topology->pus[2].os, 3);
    cr_assert_eq(topology->pus[2].kind, 0);
    pawl_topology_close(topology);
}

/* The lowest cpu that this thread may use. */
static unsigned first_allowed(const cpu_set_t *mask)
{
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, mask))
            return cpu;
    return CPU_SETSIZE;
}

Test(topology, counts_only_cpus_in_the_affinity_mask)
{
    struct pawl_topology *topology = NULL;
    cpu_set_t before, after;
    unsigned first;
    int rc;

    cr_assert_eq(sched_getaffinity(0, sizeof(before), &before), 0);
    first = first_allowed(&before);
    cr_assert_eq(pawl__thread_pin_self(&first, 1), 0);
    rc = pawl_topology_open(NULL, &topology);
    sched_getaffinity(0, sizeof(after), &after);
    sched_setaffinity(0, sizeof(before), &before);

    cr_assert(rc == 0, "%d", rc);
    cr_assert_eq(topology->pu_count, 1);
    cr_assert_eq(topology->pus[0].os, first);
    cr_assert_eq(CPU_COUNT(&after), 1, "the mask is left as it was");
    cr_assert(CPU_ISSET(first, &after));
    pawl_topology_close(topology);
}

static void wait_for_post(void *argument)
{
    sem_wait(argument);
}

/* Opens this machine in a thread bound to own while another is bound to other. */
static unsigned count_beside(const cpu_set_t *own, const cpu_set_t *other)
{
    const struct pawl_thread_spec spec = {.name = "elsewhere"};
    struct pawl_topology *topology = NULL;
    cpu_set_t before;
    unsigned count;
    void *thread;
    sem_t end;
    int rc;

    cr_assert_eq(sem_init(&end, 0, 0), 0);
    cr_assert_eq(sched_getaffinity(0, sizeof(before), &before), 0);
    sched_setaffinity(0, sizeof(*other), other); /* a new thread inherits it */
    rc = pawl_threads_posix.start(NULL, &spec, wait_for_post, &end, &thread);
    cr_assert(rc == 0, "%d", rc);
    sched_setaffinity(0, sizeof(*own), own);
    rc = pawl_topology_open(NULL, &topology);
    sched_setaffinity(0, sizeof(before), &before);
    sem_post(&end);
    cr_assert_eq(pawl_threads_posix.join(NULL, thread), 0);
    sem_destroy(&end);

    cr_assert(rc == 0, "%d", rc);
    count = topology->pu_count;
    pawl_topology_close(topology);
    return count;
}

Test(topology, goes_by_the_calling_thread_when_threads_differ)
{
    cpu_set_t wide, narrow;

    cr_assert_eq(sched_getaffinity(0, sizeof(wide), &wide), 0);
    CPU_ZERO(&narrow);
    CPU_SET(first_allowed(&wide), &narrow);
    cr_assert_eq(count_beside(&narrow, &wide), 1);
    cr_assert_eq(count_beside(&wide, &narrow), (unsigned)CPU_COUNT(&wide));
}
