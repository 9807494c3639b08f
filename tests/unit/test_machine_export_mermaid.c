#include <string.h>

#include "support/diagnostics.h"
#include "support/test.h"

static void draw(const struct pawl_machine_def *definition, char *text, size_t size)
{
    static struct diagnostics d;
    struct pawl_machine *machine;

    cr_assert(diagnostics_compile(&d, definition, &machine) == 0, "%s", d.text);
    cr_assert(pawl_machine_mermaid(machine, text, size) < size);
    pawl_machine_destroy(machine);
}

/* No edge may lead from a parent to a state inside it or back, nor from a parent to itself. */
Test(machine_export_mermaid, nesting_history_and_edges_that_mermaid_can_draw)
{
    static const char *const events[] = {"go", "stop", "again", "in", "out"};
    static const struct pawl_state_def states[] = {
        {.name = "idle"},
        {.name = "busy", .initial = "hard", .flags = PAWL_STATE_HISTORY},
        {.name = "hard", .parent = "busy"},
        {.name = "easy", .parent = "busy"},
        {.name = "done", .flags = PAWL_STATE_FINAL},
    };
    static const struct pawl_transition_def transitions[] = {
        {.from = "idle", .on = "go", .to = "busy"},
        {.from = "idle", .on = "again", .to = "busy", .flags = PAWL_TRANSITION_HISTORY},
        {.from = "busy", .on = "stop", .to = "idle"},
        {.from = "busy", .on = "again", .to = "busy"},
        {.from = "busy", .on = "in", .to = "easy"},
        {.from = "easy", .on = "out", .to = "busy"},
        {.from = "hard", .on = "go", .to = "done"},
    };
    static const struct pawl_machine_def definition = {
        .name = "worker", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};
    static char text[4096];

    draw(&definition, text, sizeof(text));
    cr_assert_str_eq(text, "---\n"
                           "title: \"worker\"\n"
                           "---\n"
                           "stateDiagram-v2\n"
                           "    state \"idle\" as s0\n"
                           "    state \"busy (again, exits and enters again)\" as s1 {\n"
                           "        [*] --> s2\n"
                           "        state \"H\" as h1\n"
                           "        state \"hard\" as s2\n"
                           "        state \"easy\" as s3\n"
                           "    }\n"
                           "    state \"done\" as s4\n"
                           "    s4 --> [*]\n"
                           "    [*] --> s0\n"
                           "    s0 --> s1 : go\n"
                           "    s0 --> h1 : again\n"
                           "    s1 --> s0 : stop\n"
                           "    s2 --> s3 : in\n"
                           "    s3 --> s3 : in\n"
                           "    s3 --> s2 : out\n"
                           "    s2 --> s4 : go\n");
}

Test(machine_export_mermaid, names_are_escaped)
{
    static const char *const events[] = {"a;b:c\nd%%e"};
    static const struct pawl_state_def states[] = {{.name = "\"x\" {#"},
                                                   {.name = "caf\xc3\xa9 -->"}};
    static const struct pawl_transition_def transitions[] = {
        {.from = "\"x\" {#", .on = "a;b:c\nd%%e", .to = "caf\xc3\xa9 -->", .label = "<b>"},
        {.from = "caf\xc3\xa9 -->", .on = "a;b:c\nd%%e", .to = "\"x\" {#"},
    };
    static const struct pawl_machine_def definition = {
        .name = "a \"b\" \\ c\n", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};
    static char text[4096];

    draw(&definition, text, sizeof(text));
    cr_assert(strstr(text, "title: \"a \\\"b\\\" \\\\ c \"\n") != NULL, "%s", text);
    cr_assert(strstr(text, "state \"#34;x#34; #123;#35;\" as s0\n") != NULL, "%s", text);
    cr_assert(strstr(text, "state \"caf\xc3\xa9 --#62;\" as s1\n") != NULL, "%s", text);
    cr_assert(strstr(text, "s0 --> s1 : a#59;b#58;c d#37;#37;e / #60;b#62;\n") != NULL, "%s", text);
}
