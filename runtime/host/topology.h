/*
 * topology.h - what a machine comes down to for a plan: a list of its usable cpus in the order of
 * nearness, each with the numbers of the core, cache, node and package above it.
 *
 * hwloc's tree is read once and thrown away, so that everything after it is arithmetic on this
 * list: the plan is tested on machines that exist only as arrays, and no other file needs hwloc.
 *
 * Layer: host. May include: base. Owner: immutable once built.
 */
#ifndef PAWL_HOST_TOPOLOGY_H
#define PAWL_HOST_TOPOLOGY_H

#include <pawl/topology.h>

/*
 * One usable cpu (a "processing unit"). The numbers of packages, nodes, caches and cores are
 * dense, from 0, and never fall along the list: what is near has near numbers.
 */
struct pu {
    unsigned os;      /* the operating system's number of this cpu: what an affinity mask takes */
    unsigned package; /* dense */
    unsigned node;    /* dense */
    unsigned node_os; /* the operating system's number of the node: what a memory policy takes */
    unsigned l3;      /* dense; where no L3 is known, the cpus of one node of one package */
    unsigned core;    /* dense */
    unsigned kind;    /* dense, 0 is the fastest kind of core */
    unsigned smt;     /* 0 is the first usable cpu of its core, 1 the next, ... */
};

struct pawl_topology {
    unsigned pu_count; /* at least 1 */
    struct pu pus[];
};

#endif /* PAWL_HOST_TOPOLOGY_H */
