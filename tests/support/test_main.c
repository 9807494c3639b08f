/*
 * test_main.c - runs the tests of one file one after the other, in the order they are written.
 *
 *     test_x [PART]      only the tests whose "suite::name" contains PART
 *
 * The first failure ends the run: threads of the failed test may still use its stack, so whatever a
 * later test found could not be trusted. Exit 1 for a failure or when nothing ran. The closing line
 * has Criterion's form, so that one reader understands both.
 */
#include "support/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct test_case *first;
static struct test_case **last = &first;
static unsigned tested;

void test_register(struct test_case *test)
{
    *last = test;
    last = &test->next;
}

static void print_summary(unsigned failed)
{
    fprintf(stderr, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: 0\n",
            tested, tested - failed, failed);
}

void test_failed(const char *file, int line, const char *condition, const char *text, ...)
{
    va_list arguments;

    fprintf(stderr, "[FAIL] %s:%d: not true: %s\n", file, line, condition);
    if (text[1] != '\0') {
        fprintf(stderr, "      ");
        va_start(arguments, text);
        vfprintf(stderr, text, arguments);
        va_end(arguments);
        fputc('\n', stderr);
    }
    print_summary(1);
    /* Not exit(): its handlers would run beside the threads of the failed test. */
    _exit(1);
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";

    for (const struct test_case *test = first; test; test = test->next) {
        if (!strstr(test->name, part))
            continue;
        fprintf(stderr, "[RUN ] %s\n", test->name);
        tested++;
        test->run();
    }
    print_summary(0);
    if (tested == 0)
        fprintf(stderr, "[FAIL] no test has a name with \"%s\" in it\n", part);
    return tested == 0;
}
