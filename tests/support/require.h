/*
 * require.h - for programs of stress/ that need no test framework: what must be so, or the program
 * ends.
 */
#ifndef PAWL_TESTS_SUPPORT_REQUIRE_H
#define PAWL_TESTS_SUPPORT_REQUIRE_H

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif /* PAWL_TESTS_SUPPORT_REQUIRE_H */
