#include <string.h>

#include "machine/findings.h"
#include "support/diagnostics.h"
#include "support/test.h"

static const char *const events[] = {"shut"};
static const struct pawl_state_def states[] = {{.name = "open"}, {.name = "closed"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "open", .on = "shut", .to = "closed"}, {.from = "open", .on = "shut"}};
static const struct pawl_timer_def timers[] = {{.name = "bell", .event = "shut"}};
static const struct pawl_machine_def door = {.name = "door",
                                             PAWL_TABLE(events),
                                             PAWL_TABLE(states),
                                             PAWL_TABLE(transitions),
                                             PAWL_TABLE(timers)};

Test(machine_findings, are_told_in_the_order_of_the_tables)
{
    static struct diagnostics d;
    struct findings findings;
    struct blocks blocks;

    memset(&d, 0, sizeof(d));
    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    pawl__findings_init(&findings, &door, &blocks);
    pawl__find(&findings, 0, FINDING_TIMER, 0, "six");
    pawl__find(&findings, -EINVAL, FINDING_TRANSITION, 1, "five");
    pawl__find(&findings, -ENOSPC, FINDING_TRANSITION, 0, "four %d", 4);
    pawl__find(&findings, 0, FINDING_STATE, 1, "three");
    pawl__find(&findings, 0, FINDING_STATE, 1, "three and a half");
    pawl__find(&findings, 0, FINDING_EVENT, 0, "two");
    pawl__find(&findings, 0, FINDING_MACHINE, 0, "one");
    cr_assert_eq(findings.errors, 2);
    cr_assert_eq(pawl__findings_tell(&findings, diagnostics_add, &d), -ENOSPC);
    cr_assert_str_eq(d.text,
                     "warning | machine 'door' | one\n"
                     "warning | machine 'door', event 0 (shut) | two\n"
                     "warning | machine 'door', state 1 (closed) | three\n"
                     "warning | machine 'door', state 1 (closed) | three and a half\n"
                     "error -28 | machine 'door', transition 0 (open --shut--> closed) | four 4\n"
                     "error -22 | machine 'door', transition 1 (open --shut--> itself, internal) | "
                     "five\n"
                     "warning | machine 'door', timer 0 (bell) | six\n");
    pawl__blocks_fini(&blocks);
}

Test(machine_findings, a_long_name_is_cut_between_characters)
{
    char name[200];

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memcpy(name + 63, "\xc3\xa4", 2); /* one character in the 64th and 65th byte */
    cr_assert_eq(strlen(SHORT(name)), 63 + 3);
    cr_assert_str_eq(SHORT(name) + 63, "...");
    name[64] = '\0';
    name[63] = 'a';
    cr_assert_eq(strlen(SHORT(name)), 64);
    cr_assert_str_eq(SHORT(NULL), "?");
}

static void *no_memory(void *user, size_t size)
{
    (void)user, (void)size;
    return NULL;
}

static void no_release(void *user, void *memory)
{
    (void)user, (void)memory;
}

Test(machine_findings, lost_for_want_of_memory_are_an_error_themselves)
{
    const struct allocator allocator = {no_memory, no_release, NULL};
    struct findings findings;
    struct blocks blocks;

    pawl__blocks_init(&blocks, &allocator);
    pawl__findings_init(&findings, &door, &blocks);
    pawl__find(&findings, 0, FINDING_MACHINE, 0, "a warning");
    cr_assert_eq(pawl__findings_tell(&findings, NULL, NULL), -ENOMEM);
    pawl__blocks_fini(&blocks);
}
