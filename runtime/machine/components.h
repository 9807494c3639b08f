/*
 * components.h - the strongly connected components of a graph: which nodes lead to one another.
 *
 * Layer: machine. Owner: one compile. Limits: fewer than 2^32 - 1 nodes and as many edges. Takes time
 * and memory in proportion to the graph, and no more stack for a long path than for a short one.
 */
#ifndef PAWL_MACHINE_COMPONENTS_H
#define PAWL_MACHINE_COMPONENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/blocks.h"

/* Node n leads to the nodes to[first[n]] .. to[first[n + 1] - 1]. */
struct digraph {
    uint32_t nodes_count;
    const uint32_t *first; /* nodes_count + 1 of them */
    const uint32_t *to;
};

/*
 * pawl__components - numbers the components from 1 on. A component's number is higher than that of
 * any other that it leads to. component: by node, its component's number. order: all nodes, by
 * component. Both have room for nodes_count; scratch gives what it takes to find them.
 * false: no memory.
 */
bool pawl__components(const struct digraph *graph, struct blocks *scratch, uint32_t *component,
                      uint32_t *order);

#endif /* PAWL_MACHINE_COMPONENTS_H */
