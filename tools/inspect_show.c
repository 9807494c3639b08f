/*
 * inspect_show.c - pieces of what `pawl inspect` prints.
 */
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "inspect.h"
#include "tool.h"
#include "watch/live_text.h"

void inspect_put_seconds(uint64_t ns, int columns)
{
    printf("%*" PRIu64 ".%03" PRIu64 " s", columns > 6 ? columns - 6 : 0, ns / 1000000000u,
           ns / 1000000u % 1000u);
}

const char *inspect_incarnation(uint64_t incarnation, char text[48])
{
    const uint64_t count = incarnation & ((UINT64_C(1) << 40) - 1);

    if (incarnation == 0)
        return "-";
    snprintf(text, 48, "%" PRIu64 ".%" PRIu64, incarnation >> 40, count);
    return text;
}

/* Names are the host's, and a terminal would obey some of them. */
void inspect_put_name(const char *name, int columns)
{
    const unsigned char *at = (const unsigned char *)name;
    size_t left = strlen(name);

    columns -= (int)(left < 1000 ? left : 1000);
    while (left > 0) {
        const size_t length = pawl__live_text_sequence(at, left);
        const size_t step = length > 0 ? length : 1;

        if (length == 0 || at[0] < 0x20)
            putchar('?');
        else
            fwrite(at, 1, length, stdout);
        at += step;
        left -= step;
    }
    printf("%*s", columns > 0 ? columns : 0, "");
}

bool inspect_is_text(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    while (size > 0) {
        const size_t length = pawl__live_text_sequence(at, size);

        if (length == 0)
            return false;
        at += length;
        size -= length;
    }
    return true;
}

static bool has_text_key(const char *key, uint32_t size, char text[KEY_SIZE_MAX + 1])
{
    if (size == 0 || size > KEY_SIZE_MAX || !inspect_is_text(key, size))
        return false;
    memcpy(text, key, size);
    text[size] = '\0';
    return true;
}

bool inspect_put_key(const char *key, uint32_t size, const char *before)
{
    char text[KEY_SIZE_MAX + 1];

    if (size == 0)
        return false;
    fputs(before, stdout);
    if (has_text_key(key, size, text)) {
        tool_json_string(stdout, text);
        return true;
    }
    for (uint32_t i = 0; i < size; i++)
        printf("%02x", (unsigned char)key[i]);
    return true;
}

void inspect_put_json(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    tool_json_string(stdout, text);
}

void inspect_put_json_key(const char *key, uint32_t size)
{
    char text[KEY_SIZE_MAX + 1];

    if (has_text_key(key, size, text)) {
        inspect_put_json("key", text);
    } else if (inspect_put_key(key, size, ",\"key_hex\":\"")) {
        putchar('"');
    }
}
