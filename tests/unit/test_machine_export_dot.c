#include <string.h>

#include "support/diagnostics.h"
#include "support/test.h"

static void draw(const struct pawl_machine_def *definition, char *text, size_t size)
{
    static struct diagnostics d;
    struct pawl_machine *machine;

    cr_assert(diagnostics_compile(&d, definition, &machine) == 0, "%s", d.text);
    cr_assert(pawl_machine_dot(machine, text, size) < size);
    pawl_machine_destroy(machine);
}

Test(machine_export_dot, clusters_dots_circles_and_clipped_edges)
{
    static const char *const events[] = {"go", "stop", "again"};
    static const struct pawl_state_def states[] = {
        {.name = "idle"},
        {.name = "busy", .initial = "hard", .flags = PAWL_STATE_HISTORY},
        {.name = "hard", .parent = "busy"},
        {.name = "done", .flags = PAWL_STATE_FINAL},
    };
    static const struct pawl_transition_def transitions[] = {
        {.from = "idle", .on = "go", .to = "busy"},
        {.from = "idle", .on = "again", .to = "busy", .flags = PAWL_TRANSITION_HISTORY},
        {.from = "busy", .on = "stop", .to = "idle"},
        {.from = "busy", .on = "again", .to = "hard"},
        {.from = "hard", .on = "go", .to = "done"},
    };
    static const struct pawl_machine_def definition = {
        .name = "worker", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};
    static char text[4096];

    draw(&definition, text, sizeof(text));
    cr_assert_str_eq(text, "digraph \"worker\" {\n"
                           "    compound=true;\n"
                           "    node [shape=box, style=rounded];\n"
                           "    initial [label=\"\", shape=point];\n"
                           "    s0 [label=\"idle\"];\n"
                           "    subgraph cluster_1 {\n"
                           "        label=\"busy\";\n"
                           "        initial_1 [label=\"\", shape=point];\n"
                           "        history_1 [label=\"H\", shape=circle];\n"
                           "        s2 [label=\"hard\"];\n"
                           "        initial_1 -> s2;\n"
                           "    }\n"
                           "    s3 [label=\"done\", shape=doublecircle, style=solid];\n"
                           "    initial -> s0;\n"
                           "    s0 -> initial_1 [label=\"go\", lhead=cluster_1];\n"
                           "    s0 -> history_1 [label=\"again\"];\n"
                           "    initial_1 -> s0 [label=\"stop\", ltail=cluster_1];\n"
                           "    initial_1 -> s2 [label=\"again\"];\n"
                           "    s2 -> s3 [label=\"go\"];\n"
                           "}\n");
}

Test(machine_export_dot, names_are_escaped)
{
    static const char *const events[] = {"a\"b\\c\nd\te&lt;"};
    static const struct pawl_state_def states[] = {{.name = "\"];}"}, {.name = "\\N"}};
    static const struct pawl_transition_def transitions[] = {
        {.from = "\"];}", .on = "a\"b\\c\nd\te&lt;", .to = "\\N", .label = "\"quoted\""},
        {.from = "\\N", .on = "a\"b\\c\nd\te&lt;", .to = "\"];}"},
    };
    static const struct pawl_machine_def definition = {
        .name = "\"", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};
    static char text[4096];

    draw(&definition, text, sizeof(text));
    cr_assert(strstr(text, "digraph \"\\\"\" {\n") != NULL, "%s", text);
    cr_assert(strstr(text, "s0 [label=\"\\\"];}\"];\n") != NULL, "%s", text);
    cr_assert(strstr(text, "s1 [label=\"\\\\N\"];\n") != NULL, "%s", text);
    cr_assert(strstr(text, "[label=\"a\\\"b\\\\c\\nd e&amp;lt; / \\\"quoted\\\"\"];\n") != NULL,
              "%s", text);
}
