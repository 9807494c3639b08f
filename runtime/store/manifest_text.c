/*
 * manifest_text.c - the manifest's text, both ways.
 *
 * Layer: store.
 *
 * The text is lines that end with '\n', in this order, of words with one blank between them.
 * Numbers are decimal without a sign or leading zeroes; X is 16 hexadecimal digits, small letters.
 * A name is its bytes, where '%' and all that is not a printable ASCII character is %XX (two such
 * digits); it is not empty.
 *
 *   pawl 1                    the version of this text
 *   store X                   the id that every file and frame carries
 *   key-seed X
 *   epoch N                   0 to 4294967295
 *   set N                     0 to 65535
 *   shards N                  1 to 1024
 *   closed N                  1: the epoch was closed in order; 0: not, or not yet; and 2 more
 *                             while not every shard of the set has begun a journal
 *   machine NAME hash X context N durability N states N events N timers N
 *   state NAME                as many lines of each kind as the machine's line says,
 *   event NAME                numbers count from 0 in each
 *   timer NAME
 *   end
 *
 * with one block from `machine` to the last `timer` for each machine, numbered from 0. After `end`
 * there are '\n' up to a multiple of 8 bytes.
 *
 * It is text so that a person with nothing but a pager can tell what a store holds. The reader is
 * as strict as the writer: every byte is decided by what the text says.
 */
#include "store/manifest_text.h"

#include <inttypes.h>
#include <pawl/machine.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "store/manifest.h"

#define MANIFEST_TEXT_VERSION 1u

/* The number behind `closed`. */
#define CLOSED    1u
#define NOT_BEGUN 2u

_Static_assert(MANIFEST_MACHINES_MAX == MACHINES_MAX, "an entry's machine is 8 bits");

/* ---- the text: writing ----------------------------------------------------------------------- */

struct text {
    char *bytes;
    size_t size;
    size_t capacity;
    int error; /* -ENOMEM, -EINVAL: stays */
};

static void text_add(struct text *text, const void *bytes, size_t size)
{
    if (text->error)
        return;
    if (text->capacity - text->size < size) {
        const size_t capacity = 2 * (text->capacity + size) + 4096;
        char *const grown = realloc(text->bytes, capacity);

        if (!grown) {
            text->error = -ENOMEM;
            return;
        }
        text->bytes = grown;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

static void text_print(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void text_print(struct text *text, const char *format, ...)
{
    char line[160];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    CHECK(length >= 0 && (size_t)length < sizeof(line));
    text_add(text, line, (size_t)length);
}

static void text_name(struct text *text, const char *name)
{
    if (!*name)
        text->error = text->error ? text->error : -EINVAL;
    for (; *name; name++) {
        const unsigned char byte = (unsigned char)*name;

        if (byte > ' ' && byte < 0x7f && byte != '%')
            text_add(text, name, 1);
        else
            text_print(text, "%%%02x", byte);
    }
}

static void text_names(struct text *text, const char *kind, char *const *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        text_print(text, "%s ", kind);
        text_name(text, names[i]);
        text_add(text, "\n", 1);
    }
}

int pawl__manifest_text(const struct manifest *manifest, char **bytes, size_t *size)
{
    struct text filled = {NULL, 0, 0, 0};
    struct text *const text = &filled;

    text_print(text, "pawl %u\nstore %016" PRIx64 "\nkey-seed %016" PRIx64 "\n",
               MANIFEST_TEXT_VERSION, manifest->store, manifest->key_seed);
    text_print(text, "epoch %" PRIu64 "\nset %u\nshards %u\nclosed %u\n", manifest->epoch,
               manifest->set, manifest->shards,
               (manifest->closed ? CLOSED : 0u) | (manifest_is_begun(manifest) ? 0u : NOT_BEGUN));
    for (uint32_t i = 0; i < manifest->machines_count; i++) {
        const struct manifest_machine *const machine = &manifest->machines[i];

        text_add(text, "machine ", 8);
        text_name(text, machine->name);
        text_print(text,
                   " hash %016" PRIx64 " context %u durability %u states %u events %u timers %u\n",
                   machine->hash, machine->context_size, machine->durability, machine->states_count,
                   machine->events_count, machine->timers_count);
        text_names(text, "state", machine->states, machine->states_count);
        text_names(text, "event", machine->events, machine->events_count);
        text_names(text, "timer", machine->timers, machine->timers_count);
    }
    text_add(text, "end\n", 4);
    while (text->size % 8 != 0 && !text->error)
        text_add(text, "\n", 1);
    if (text->error) {
        free(text->bytes);
        return text->error;
    }
    *bytes = text->bytes;
    *size = text->size;
    return 0;
}

/* ---- the text: reading ----------------------------------------------------------------------- */

struct parse {
    const char *at;
    const char *end;
    uint64_t line;
    const char *wrong; /* NULL, or the first thing that is */
    bool no_memory;
};

static void parse_fail(struct parse *parse, const char *wrong)
{
    if (!parse->wrong)
        parse->wrong = wrong;
}

/* Passes over exactly this text. */
static void parse_text(struct parse *parse, const char *text)
{
    const size_t size = strlen(text);

    if (parse->wrong || (size_t)(parse->end - parse->at) < size ||
        memcmp(parse->at, text, size) != 0) {
        parse_fail(parse, "an unexpected word");
        return;
    }
    parse->at += size;
    parse->line += text[size - 1] == '\n';
}

/* A decimal number up to max, then the text. */
static uint64_t parse_number(struct parse *parse, uint64_t max, const char *then)
{
    const char *const start = parse->at;
    uint64_t value = 0;

    while (!parse->wrong && parse->at < parse->end && *parse->at >= '0' && *parse->at <= '9') {
        const uint64_t digit = (uint64_t)(*parse->at++ - '0');

        if (digit > max || value > (max - digit) / 10)
            parse_fail(parse, "a number above its limit");
        else
            value = value * 10 + digit;
    }
    if (parse->at == start || (*start == '0' && parse->at - start > 1))
        parse_fail(parse, "no number where one belongs");
    parse_text(parse, then);
    return value;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint64_t parse_hex(struct parse *parse, const char *then)
{
    uint64_t value = 0;

    for (int i = 0; i < 16 && !parse->wrong; i++) {
        const int digit = parse->at < parse->end ? hex_digit(*parse->at++) : -1;

        if (digit < 0)
            parse_fail(parse, "not 16 hexadecimal digits where they belong");
        else
            value = value << 4 | (uint64_t)digit;
    }
    parse_text(parse, then);
    return value;
}

/* A name, then the text; NULL if that is not there. */
static char *parse_name(struct parse *parse, const char *then)
{
    size_t size = 0;
    char *name;

    while (!parse->wrong && parse->at + size < parse->end && parse->at[size] > ' ' &&
           parse->at[size] < 0x7f)
        size++;
    if (size == 0) {
        parse_fail(parse, "no name where one belongs");
        return NULL;
    }
    name = malloc(size + 1);
    if (!name) {
        parse->no_memory = true;
        parse_fail(parse, "no memory for a name");
        return NULL;
    }
    size = 0;
    for (; parse->at<parse->end && * parse->at> ' ' && *parse->at < 0x7f; parse->at++) {
        int byte = (unsigned char)*parse->at;

        if (byte == '%') {
            const int high = parse->end - parse->at > 2 ? hex_digit(parse->at[1]) : -1;
            const int low = high >= 0 ? hex_digit(parse->at[2]) : -1;

            byte = low < 0 ? 0 : high << 4 | low;
            if (byte == 0 || (byte > ' ' && byte < 0x7f && byte != '%')) {
                parse_fail(parse, "a '%' that stands for no byte, or for one that needs none");
                break;
            }
            parse->at += 2;
        }
        name[size++] = (char)byte;
    }
    name[size] = '\0';
    parse_text(parse, then);
    return name;
}

static void parse_names(struct parse *parse, const char *kind, char **names, uint32_t count)
{
    for (uint32_t i = 0; i < count && !parse->wrong; i++) {
        parse_text(parse, kind);
        names[i] = parse_name(parse, "\n");
    }
}

static void parse_machine(struct parse *parse, struct manifest *manifest)
{
    struct manifest_machine *const machine = &manifest->machines[manifest->machines_count];
    struct manifest_machine read = {.name = parse_name(parse, " hash ")};

    read.hash = parse_hex(parse, " context ");
    read.context_size = (uint32_t)parse_number(parse, CONTEXT_MAX, " durability ");
    read.durability = (uint32_t)parse_number(parse, PAWL_DURABILITY_SYNC, " states ");
    read.states_count = (uint32_t)parse_number(parse, STATES_MAX, " events ");
    read.events_count = (uint32_t)parse_number(parse, EVENTS_MAX, " timers ");
    read.timers_count = (uint32_t)parse_number(parse, TIMERS_MAX, "\n");
    if (!parse->wrong && pawl__manifest_find(manifest, read.name, read.hash) >= 0 && read.hash != 0)
        parse_fail(parse, "the same machine a second time");
    if (!parse->wrong && pawl__manifest_machine_init(&read) != 0) {
        parse->no_memory = true;
        parse_fail(parse, "no memory for a machine");
    }
    if (parse->wrong) {
        pawl__manifest_machine_fini(&read);
        return;
    }
    *machine = read;
    manifest->machines_count++;
    parse_names(parse, "state ", machine->states, machine->states_count);
    parse_names(parse, "event ", machine->events, machine->events_count);
    parse_names(parse, "timer ", machine->timers, machine->timers_count);
}

static bool parse_is(const struct parse *parse, const char *word)
{
    const size_t size = strlen(word);

    return !parse->wrong && (size_t)(parse->end - parse->at) >= size &&
           memcmp(parse->at, word, size) == 0;
}

static void parse_all(struct parse *parse, struct manifest *manifest)
{
    uint64_t closed;

    parse_text(parse, "pawl ");
    if (parse_number(parse, UINT32_MAX, "\n") != MANIFEST_TEXT_VERSION)
        parse_fail(parse, "a version of this text that this Pawl does not know; use the newer one");
    parse_text(parse, "store ");
    manifest->store = parse_hex(parse, "\n");
    parse_text(parse, "key-seed ");
    manifest->key_seed = parse_hex(parse, "\n");
    parse_text(parse, "epoch ");
    manifest->epoch = parse_number(parse, UINT32_MAX, "\n");
    parse_text(parse, "set ");
    manifest->set = (uint32_t)parse_number(parse, UINT16_MAX, "\n");
    parse_text(parse, "shards ");
    manifest->shards = (uint32_t)parse_number(parse, SHARDS_MAX, "\n");
    parse_text(parse, "closed ");
    closed = parse_number(parse, CLOSED | NOT_BEGUN, "\n");
    manifest->closed = (closed & CLOSED) != 0;
    manifest->begun = (closed & NOT_BEGUN) != 0 ? 0 : manifest->set + 1;
    if (manifest->shards == 0)
        parse_fail(parse, "0 shards");
    while (parse_is(parse, "machine ")) {
        if (manifest->machines_count == MANIFEST_MACHINES_MAX) {
            parse_fail(parse, "too many machines");
            return;
        }
        parse->at += strlen("machine ");
        parse_machine(parse, manifest);
    }
    parse_text(parse, "end\n");
    for (unsigned i = 0; !parse->wrong && parse->at < parse->end; i++) {
        if (i == 7)
            parse_fail(parse, "something behind its end");
        parse_text(parse, "\n");
    }
}

int pawl__manifest_parse(struct manifest *manifest, const char *text, size_t size, uint64_t *line,
                         const char **wrong)
{
    struct parse parse = {.at = text, .end = text + size, .line = 1};

    parse_all(&parse, manifest);
    *line = parse.line;
    *wrong = parse.wrong;
    return !parse.wrong ? 0 : parse.no_memory ? -ENOMEM : -EBADMSG;
}
