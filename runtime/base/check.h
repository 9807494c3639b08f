/*
 * check.h - contracts. CHECK is always on and ends the process with the broken rule: it is for what
 * only a bug in Pawl, or a caller that broke a documented contract beyond repair, can cause. What a
 * user or a file can get wrong is an error code, never a CHECK. DEBUG_CHECK costs something and is
 * compiled into debug and sanitizer builds only.
 *
 * Layer: base.
 */
#ifndef PAWL_BASE_CHECK_H
#define PAWL_BASE_CHECK_H

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Prints "pawl: broken contract: RULE (FILE:LINE)" to stderr and aborts. */
_Noreturn void pawl__check_failed(const char *rule, const char *file, int line);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (unlikely(!(condition)))                                                                \
            pawl__check_failed(#condition, __FILE__, __LINE__);                                    \
    } while (0)

#ifdef PAWL_DEBUG
#define DEBUG_CHECK(condition) CHECK(condition)
#else
#define DEBUG_CHECK(condition) ((void)0)
#endif

#endif /* PAWL_BASE_CHECK_H */
