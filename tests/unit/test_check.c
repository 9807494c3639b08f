/* test_check.c - contracts: a broken one ends the process and says which it was. */
#include "base/check.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/test.h"

/* How a child that ran a function ended, and what it wrote to stderr. */
struct end {
    int status;
    char said[512];
};

static void child(void (*fn)(void), int out)
{
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    if (dup2(out, STDERR_FILENO) < 0)
        _exit(99);
    fn();
    _exit(0);
}

static struct end run(void (*fn)(void))
{
    struct end end = {0};
    size_t length = 0;
    int out[2];
    ssize_t got;
    pid_t pid;

    cr_assert_eq(pipe(out), 0);
    pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0)
        child(fn, out[1]);
    close(out[1]);
    while ((got = read(out[0], end.said + length, sizeof(end.said) - 1 - length)) > 0)
        length += (size_t)got;
    close(out[0]);
    cr_assert_eq(waitpid(pid, &end.status, 0), pid);
    return end;
}

static bool aborted(const struct end *end)
{
    return WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGABRT;
}

static bool is_fine(const struct end *end)
{
    return WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0;
}

static void break_check(void)
{
    const int doors = 3;

    CHECK(doors == 4);
}

static void keep_check(void)
{
    const int doors = 3;

    CHECK(doors == 3);
    CHECK(!(doors > 3));
}

static void break_at_once(void)
{
    pawl__check_failed("the sky is green", "sky.c", 42);
}

static void break_debug_check(void)
{
    DEBUG_CHECK(1 + 1 == 3);
}

Test(check, a_broken_contract_aborts_and_names_the_rule_and_the_place)
{
    const struct end end = run(break_check);

    cr_assert(aborted(&end), "status %#x", (unsigned)end.status);
    cr_assert(strstr(end.said, "pawl: broken contract: doors == 4 (") != NULL, "%s", end.said);
    cr_assert(strstr(end.said, "test_check.c:") != NULL, "%s", end.said);
}

Test(check, a_kept_contract_says_nothing)
{
    const struct end end = run(keep_check);

    cr_assert(is_fine(&end), "status %#x", (unsigned)end.status);
    cr_assert_str_eq(end.said, "");
}

Test(check, the_message_is_one_line_of_the_documented_form)
{
    const struct end end = run(break_at_once);

    cr_assert(aborted(&end), "status %#x", (unsigned)end.status);
    cr_assert_str_eq(end.said, "pawl: broken contract: the sky is green (sky.c:42)\n");
}

Test(check, debug_checks_hold_in_debug_builds_alone)
{
    const struct end end = run(break_debug_check);

#ifdef PAWL_DEBUG
    cr_assert(aborted(&end), "status %#x", (unsigned)end.status);
    cr_assert(strstr(end.said, "1 + 1 == 3") != NULL, "%s", end.said);
#else
    cr_assert(is_fine(&end), "status %#x", (unsigned)end.status);
#endif
}

Test(check, the_condition_is_evaluated_once)
{
    int evaluated = 0;

    CHECK(++evaluated > 0);
    cr_assert_eq(evaluated, 1);
    DEBUG_CHECK(++evaluated > 0);
#ifdef PAWL_DEBUG
    cr_assert_eq(evaluated, 2);
#else
    cr_assert_eq(evaluated, 1);
#endif
}

Test(check, a_check_is_one_statement)
{
    int branch = 0;

    if (branch != 0)
        CHECK(branch == 0);
    else
        branch = 7;
    cr_assert_eq(branch, 7);
}
