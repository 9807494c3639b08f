/* Components of graphs: the right nodes together, and numbered against the edges. */
#include "machine/components.h"

#include <string.h>

#include "base/random.h"
#include "support/test.h"

#define NODES_MAX 12u

static struct blocks blocks;
static uint32_t component[NODES_MAX], order[NODES_MAX];

static void find(uint32_t nodes, const uint32_t *first, const uint32_t *to)
{
    const struct digraph graph = {nodes, first, to};

    cr_assert(pawl__components(&graph, &blocks, component, order));
}

Test(machine_components, a_graph_without_nodes_has_none)
{
    const uint32_t first[] = {0};

    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    find(0, first, NULL);
    pawl__blocks_fini(&blocks);
}

Test(machine_components, a_node_alone_is_one_with_or_without_a_loop)
{
    const uint32_t first[] = {0, 1, 1}, to[] = {0};

    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    find(2, first, to);
    cr_assert(component[0] != 0 && component[1] != 0 && component[0] != component[1]);
    pawl__blocks_fini(&blocks);
}

Test(machine_components, a_circle_is_one_and_what_it_leads_to_comes_first)
{
    /* 0 -> 1 -> 2 -> 0, 2 -> 3 -> 4 */
    const uint32_t first[] = {0, 1, 2, 4, 5, 5}, to[] = {1, 2, 0, 3, 4};

    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    find(5, first, to);
    cr_assert(component[0] == component[1] && component[1] == component[2]);
    cr_assert(component[0] > component[3] && component[3] > component[4]);
    cr_assert(order[0] == 4 && order[1] == 3);
    pawl__blocks_fini(&blocks);
}

Test(machine_components, a_long_path_needs_no_stack)
{
    enum { LENGTH = 300000 };
    uint32_t *first, *to, *numbers, *sorted;
    struct digraph graph = {.nodes_count = LENGTH};

    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    first = BLOCKS_NEW(&blocks, LENGTH + 1, uint32_t);
    to = BLOCKS_NEW(&blocks, LENGTH, uint32_t);
    numbers = BLOCKS_NEW(&blocks, LENGTH, uint32_t);
    sorted = BLOCKS_NEW(&blocks, LENGTH, uint32_t);
    for (uint32_t i = 0; i < LENGTH; i++) {
        first[i + 1] = i + 1;
        to[i] = (i + 1) % LENGTH;
    }
    graph.first = first;
    graph.to = to;
    cr_assert(pawl__components(&graph, &blocks, numbers, sorted));
    for (uint32_t i = 0; i < LENGTH; i++)
        cr_assert_eq(numbers[i], 1u);
    first[LENGTH] = LENGTH - 1; /* opens the circle */
    cr_assert(pawl__components(&graph, &blocks, numbers, sorted));
    for (uint32_t i = 0; i < LENGTH; i++)
        cr_assert_eq(numbers[i], LENGTH - i);
    pawl__blocks_fini(&blocks);
}

static void *no_memory(void *user, size_t size)
{
    (void)user, (void)size;
    return NULL;
}

Test(machine_components, without_memory_it_says_so)
{
    const struct allocator none = {.allocate = no_memory};
    const uint32_t first[] = {0, 0};
    const struct digraph graph = {1, first, NULL};

    pawl__blocks_init(&blocks, &none);
    cr_assert(!pawl__components(&graph, &blocks, component, order));
    pawl__blocks_fini(&blocks);
}

/* Against reachability by brute force. */
Test(machine_components, random_graphs)
{
    struct random random = {3};

    for (unsigned round = 0; round < 5000; round++) {
        const uint32_t nodes = 1 + (uint32_t)(random_next(&random) % NODES_MAX);
        const uint32_t odds = 1 + (uint32_t)(random_next(&random) % 8);
        uint32_t first[NODES_MAX + 1] = {0}, to[NODES_MAX * NODES_MAX], edges = 0;
        bool leads[NODES_MAX][NODES_MAX] = {{false}};

        for (uint32_t a = 0; a < nodes; a++) {
            for (uint32_t b = 0; b < nodes; b++) {
                if (random_next(&random) % odds == 0 && random_next(&random) % 2) {
                    to[edges++] = b;
                    leads[a][b] = true;
                }
            }
            first[a + 1] = edges;
        }
        for (uint32_t via = 0; via < nodes; via++)
            for (uint32_t a = 0; a < nodes; a++)
                for (uint32_t b = 0; b < nodes; b++)
                    leads[a][b] |= leads[a][via] && leads[via][b];
        pawl__blocks_init(&blocks, &pawl__allocator_libc);
        find(nodes, first, to);
        pawl__blocks_fini(&blocks);
        for (uint32_t a = 0; a < nodes; a++) {
            for (uint32_t b = 0; b < nodes; b++) {
                const bool together = a == b || (leads[a][b] && leads[b][a]);

                cr_assert_eq(component[a] == component[b], together, "round %u", round);
                cr_assert(together || !leads[a][b] || component[a] > component[b], "round %u",
                          round);
            }
            cr_assert(a == 0 || component[order[a - 1]] <= component[order[a]], "round %u", round);
        }
    }
}
