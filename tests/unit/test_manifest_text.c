/* test_manifest_text.c - the manifest's text: what it says exactly, and what it refuses. */
#include <pawl/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/manifest.h"
#include "store/manifest_text.h"
#include "support/test.h"

static const char whole[] =
    "pawl 1\n"
    "store 00000000000000ff\n"
    "key-seed 0123456789abcdef\n"
    "epoch 4294967295\n"
    "set 7\n"
    "shards 2\n"
    "closed 0\n"
    "machine a%20b%25 hash 00000000000000aa context 24 durability 2 states 2 "
    "events 1 timers 1\n"
    "state off\n"
    "state %c3%a4%0a\n"
    "event go\n"
    "timer off\n"
    "machine c hash 00000000000000bb context 0 durability 0 states 0 "
    "events 0 timers 0\n"
    "end\n";

/* Parses; -EBADMSG comes with a line and a sentence. The manifest is gone again after an error. */
static int parse(const char *text, size_t size, struct manifest **manifest, uint64_t *line)
{
    const char *wrong = NULL;
    int error;

    *manifest = pawl__manifest_create();
    error = pawl__manifest_parse(*manifest, text, size, line, &wrong);
    cr_assert_eq(error == 0, wrong == NULL);
    if (error)
        pawl__manifest_destroy(*manifest);
    return error;
}

static void replace(char *to, size_t room, const char *from, const char *by)
{
    const char *const place = strstr(whole, from);

    cr_assert(place != NULL, "'%s' is not there", from);
    snprintf(to, room, "%.*s%s%s", (int)(place - whole), whole, by, place + strlen(from));
}

Test(manifest_text, every_word_is_read)
{
    struct manifest *m;
    uint64_t line;

    cr_assert_eq(parse(whole, strlen(whole), &m, &line), 0);
    cr_assert_eq(m->store, 255);
    cr_assert_eq(m->key_seed, UINT64_C(0x0123456789abcdef));
    cr_assert_eq(m->epoch, UINT32_MAX);
    cr_assert_eq(m->set, 7);
    cr_assert_eq(m->shards, 2);
    cr_assert(!m->closed);
    cr_assert_eq(m->machines_count, 2);
    cr_assert_str_eq(m->machines[0].name, "a b%");
    cr_assert_eq(m->machines[0].hash, 0xaa);
    cr_assert_eq(m->machines[0].context_size, 24);
    cr_assert_eq(m->machines[0].durability, 2);
    cr_assert_str_eq(m->machines[0].states[0], "off");
    cr_assert_str_eq(m->machines[0].states[1], "\xc3\xa4\n");
    cr_assert_str_eq(m->machines[0].events[0], "go");
    cr_assert_str_eq(m->machines[0].timers[0], "off");
    cr_assert_str_eq(m->machines[1].name, "c");
    cr_assert_eq(m->machines[1].states_count, 0);
    pawl__manifest_destroy(m);
}

Test(manifest_text, written_again_it_is_the_same_filled_up_to_eight)
{
    struct manifest *m;
    uint64_t line;
    char *bytes;
    size_t size;

    cr_assert_eq(parse(whole, strlen(whole), &m, &line), 0);
    cr_assert_eq(pawl__manifest_text(m, &bytes, &size), 0);
    cr_assert_eq(size % 8, 0);
    cr_assert(size >= strlen(whole) && size < strlen(whole) + 8);
    cr_assert_eq(memcmp(bytes, whole, strlen(whole)), 0);
    for (size_t i = strlen(whole); i < size; i++)
        cr_assert_eq(bytes[i], '\n');
    pawl__manifest_destroy(m);
    cr_assert_eq(parse(bytes, size, &m, &line), 0);
    pawl__manifest_destroy(m);
    free(bytes);
}

/* Texts from before the second fact was told are of sets that have begun. */
Test(manifest_text, closed_tells_both_of_the_epoch_and_of_the_sets_journals)
{
    for (unsigned number = 0; number < 4; number++) {
        char text[sizeof(whole)], *bytes;
        struct manifest *m;
        uint64_t line;
        size_t size;

        memcpy(text, whole, sizeof(whole));
        strstr(text, "closed ")[7] = (char)('0' + number);
        cr_assert_eq(parse(text, strlen(text), &m, &line), 0);
        cr_assert_eq(m->closed, number % 2 != 0);
        cr_assert_eq(manifest_is_begun(m), number < 2);
        cr_assert_eq(pawl__manifest_text(m, &bytes, &size), 0);
        cr_assert_eq(memcmp(bytes, text, strlen(text)), 0);
        free(bytes);
        m->set++;
        cr_assert(!manifest_is_begun(m), "another set has journals of its own");
        pawl__manifest_destroy(m);
    }
}

Test(manifest_text, part_of_it_is_refused)
{
    struct manifest *m;
    uint64_t line;

    for (size_t size = 0; size < strlen(whole); size++) {
        /* Memory of just this size, so that reading behind it shows. */
        char *const part = malloc(size + (size == 0));

        memcpy(part, whole, size);
        cr_assert_eq(parse(part, size, &m, &line), -EBADMSG, "%zu bytes", size);
        free(part);
    }
}

Test(manifest_text, wrong_words_are_refused_with_their_line)
{
    static const struct {
        const char *from, *by;
        uint64_t line;
    } cases[] = {
        {"pawl 1", "pawl 2", 2}, /* known once the number has been read */
        {"pawl 1", "pawl 01", 1},
        {"00000000000000ff", "00000000000000fF", 2},
        {"00000000000000ff", "0000000000000ff", 2},
        {"4294967295", "4294967296", 4},
        {"4294967295", "99999999999999999999", 4},
        {"4294967295", "-1", 4},
        {"4294967295", "", 4},
        {"epoch", "epok", 4},
        {"set 7", "set 65536", 5},
        {"set 7", "set  7", 5},
        {"shards 2", "shards 1025", 6},
        {"shards 2", "shards 0", 8},
        {"closed 0", "closed 4", 7},
        {"context 24", "context 4097", 8},
        {"durability 2", "durability 3", 8},
        {"states 2", "states 65536", 8},
        {"events 1", "events 4097", 8},
        {"timers 1", "timers 256", 8},
        {"a%20b", "a b", 8},
        {"a%20b", "a%2", 8},
        {"a%20b", "a%61", 8},
        {"a%20b", "a%00", 8},
        {"a%20b", "a%C4", 8},
        {"state off", "state ", 9},
        {"state off", "event off", 9},
        {"states 2", "states 3", 11},
        {"states 2", "states 1", 10},
        {"event go\n", "", 11},
        {"machine c hash 00000000000000bb", "machine a%20b%25 hash 00000000000000aa", 14},
        {"end\n", "end\n\n\n\n\n\n\n\n\n", 22},
        {"end\n", "end\nx", 15},
        {"end\n", "", 14},
    };
    struct manifest *m;
    uint64_t line;
    char text[1024];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        replace(text, sizeof(text), cases[i].from, cases[i].by);
        cr_assert_eq(parse(text, strlen(text), &m, &line), -EBADMSG, "'%s' for '%s'", cases[i].by,
                     cases[i].from);
        cr_assert_eq(line, cases[i].line, "'%s' for '%s' is said to be in line %d", cases[i].by,
                     cases[i].from, (int)line);
    }
}

Test(manifest_text, machine_without_a_name_cannot_be_written)
{
    struct manifest *m;
    uint64_t line;
    char *bytes;
    size_t size;

    cr_assert_eq(parse(whole, strlen(whole), &m, &line), 0);
    m->machines[0].states[1][0] = '\0';
    cr_assert_eq(pawl__manifest_text(m, &bytes, &size), -EINVAL);
    pawl__manifest_destroy(m);
}
