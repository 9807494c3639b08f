#include "watch/live_text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define CAPACITY_FIRST 4096u

void pawl__live_text_fini(struct live_text *text)
{
    free(text->bytes);
    text->bytes = NULL;
    text->size = text->rows = text->capacity = 0;
}

static bool grow(struct live_text *text, size_t wanted)
{
    size_t capacity = text->capacity > 0 ? text->capacity : CAPACITY_FIRST;
    char *bytes;

    if (wanted <= text->capacity)
        return true;
    while (capacity < wanted)
        capacity *= 2;
    if (capacity > text->limit)
        capacity = text->limit;
    bytes = capacity >= wanted ? realloc(text->bytes, capacity) : NULL;
    if (bytes == NULL)
        return false;
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

static void add(struct live_text *text, const char *bytes, size_t size)
{
    if (!text->full && !grow(text, text->size + size))
        text->full = true;
    if (text->full || size == 0)
        return;
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

void pawl__live_text_say(struct live_text *text, const char *format, ...)
{
    char line[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    CHECK(length >= 0 && (size_t)length < sizeof(line));
    add(text, line, (size_t)length);
}

size_t pawl__live_text_sequence(const unsigned char *at, size_t size)
{
    const size_t length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t code = at[0];

    if (length == 1)
        return (at[0] >= 0x20 && at[0] != 0x7f) || at[0] == '\n' || at[0] == '\t';
    if (at[0] < 0xc2 || at[0] > 0xf4 || size < length)
        return 0;
    code &= 0x7fu >> length;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    if (code < 0xa0 || (length == 3 && code < 0x800) || (length == 4 && code < 0x10000) ||
        (code >= 0xd800 && code < 0xe000) || code > 0x10ffff)
        return 0;
    return length;
}

void pawl__live_text_string(struct live_text *text, const char *string)
{
    const unsigned char *at = (const unsigned char *)string;
    size_t left = strlen(string);

    add(text, "\"", 1);
    while (left > 0) {
        const size_t length = pawl__live_text_sequence(at, left);

        if (at[0] == '"' || at[0] == '\\' || (length == 1 && at[0] < 0x20) ||
            (length == 0 && at[0] < 0x80))
            pawl__live_text_say(text, "\\u%04x", at[0]);
        else if (length == 0)
            pawl__live_text_say(text, "\\ufffd");
        else
            add(text, (const char *)at, length);
        at += length > 0 ? length : 1;
        left -= length > 0 ? length : 1;
    }
    add(text, "\"", 1);
}

void pawl__live_text_hex(struct live_text *text, const void *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = bytes;

    add(text, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        const char both[2] = {digits[at[i] >> 4], digits[at[i] & 15]};

        add(text, both, sizeof(both));
    }
    add(text, "\"", 1);
}

bool pawl__live_text_end_row(struct live_text *text)
{
    add(text, "\n", 1);
    if (text->full)
        text->size = text->rows;
    text->rows = text->size;
    return !text->full;
}
