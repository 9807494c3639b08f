/*
 * text.h - writing into a caller's buffer the way snprintf does: cut to fit, always ended by a NUL,
 * and counted on to the full length.
 *
 * Layer: host. Owner: the function that writes. Limits: INT_MAX bytes, because the length is
 * returned as an int.
 */
#ifndef PAWL_HOST_TEXT_H
#define PAWL_HOST_TEXT_H

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/check.h"

struct text {
    char *buffer; /* may be NULL when size is 0 */
    size_t size;
    size_t length; /* of all that was said, whether or not it fitted */
};

static inline void text_say(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void text_say(struct text *text, const char *format, ...)
{
    const bool room = text->length < text->size;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(room ? text->buffer + text->length : NULL,
                       room ? text->size - text->length : 0, format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    text->length += (size_t)length;
    CHECK(text->length <= INT_MAX);
}

#endif /* PAWL_HOST_TEXT_H */
