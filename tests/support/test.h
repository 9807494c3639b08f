/*
 * test.h - the few test macros Pawl's unit tests use, for two worlds.
 *
 * Normally they are Criterion's: each test runs in a process of its own. With PAWL_NO_CRITERION they
 * are the stand-in's below, which runs all tests of a file in one process: for ThreadSanitizer, under
 * which Criterion does not start, and for leak checks, whose verdict Criterion ignores. So a test
 * uses only what both have:
 *
 *     Test(suite, name) { ... }                 no options after the name
 *     cr_assert(condition)                      each optionally followed by "printf text", values...
 *     cr_assert_eq(actual, expected)
 *     cr_assert_str_eq(actual, expected)
 *
 * and asserts only in the thread that runs the test: other threads leave their findings for it.
 */
#ifndef PAWL_TESTS_SUPPORT_TEST_H
#define PAWL_TESTS_SUPPORT_TEST_H

#ifndef PAWL_NO_CRITERION

#include <criterion/criterion.h>

#else

#include <string.h>

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

/* Appends a case to the list; called by constructors, before main. */
void test_register(struct test_case *test);

/* Prints the failed condition and the text, then the closing line, and ends the process. */
_Noreturn void test_failed(const char *file, int line, const char *condition, const char *text, ...)
    __attribute__((format(printf, 4, 5)));

#define Test(suite, test)                                                                          \
    static void suite##_##test##_run(void);                                                        \
    static struct test_case suite##_##test##_case = {#suite "::" #test, suite##_##test##_run, 0};  \
    __attribute__((constructor)) static void suite##_##test##_register(void)                       \
    {                                                                                              \
        test_register(&suite##_##test##_case);                                                     \
    }                                                                                              \
    static void suite##_##test##_run(void)

/* The " " makes one format of no text and of a given text. */
#define TEST_ASSERT(condition, shown, ...)                                                         \
    ((condition) ? (void)0 : test_failed(__FILE__, __LINE__, shown, " " __VA_ARGS__))

#define cr_assert(condition, ...) TEST_ASSERT((condition), #condition, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)   TEST_ASSERT((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)                                                                \
    TEST_ASSERT(strcmp((a), (b)) == 0, #a " equals " #b, __VA_ARGS__)

#endif /* PAWL_NO_CRITERION */

#endif /* PAWL_TESTS_SUPPORT_TEST_H */
