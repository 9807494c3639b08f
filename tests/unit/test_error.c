/* test_error.c - the closed list of errors, in words. */
#include <ctype.h>
#include <limits.h>
#include <pawl/error.h>
#include <pawl/version.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "support/test.h"

/* The list of include/pawl/error.h. */
static const int errors[] = {
    0,      EINVAL, EAGAIN,    ENOSPC, ENOMEM,    ESTALE,  EEXIST,  ENOENT,
    EPROTO, EBUSY,  ECANCELED, EIO,    ETIMEDOUT, ENOTSUP, EBADMSG,
};

Test(error, every_error_of_the_list_has_words_of_its_own)
{
    const char *unknown = pawl_strerror(-EDOM);

    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        const char *words = pawl_strerror(-errors[i]);

        cr_assert(words != NULL && words[0] != '\0', "error %d", errors[i]);
        cr_assert(strcmp(words, unknown) != 0, "error %d has no words", errors[i]);
        for (size_t j = 0; j < i; j++)
            cr_assert(strcmp(words, pawl_strerror(-errors[j])) != 0,
                      "errors %d and %d have the same words", errors[i], errors[j]);
    }
}

Test(error, either_sign_will_do)
{
    for (int error = -200; error <= 200; error++)
        cr_assert(pawl_strerror(error) == pawl_strerror(-error), "error %d", error);
}

Test(error, the_words_are_a_phrase_without_a_full_stop)
{
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        const char *words = pawl_strerror(-errors[i]);

        cr_assert(islower((unsigned char)words[0]), "%s", words);
        cr_assert(words[strlen(words) - 1] != '.', "%s", words);
    }
}

Test(error, any_number_has_words)
{
    cr_assert_str_eq(pawl_strerror(INT_MAX), pawl_strerror(EDOM));
    cr_assert_str_eq(pawl_strerror(-INT_MAX), pawl_strerror(EDOM));
    cr_assert_str_eq(pawl_strerror(INT_MIN), pawl_strerror(EDOM));
}

Test(error, the_version_is_that_of_the_header)
{
    char version[32];

    snprintf(version, sizeof(version), "%d.%d.%d", PAWL_VERSION_MAJOR, PAWL_VERSION_MINOR,
             PAWL_VERSION_PATCH);
    cr_assert_str_eq(pawl_version(), PAWL_VERSION);
    cr_assert_str_eq(pawl_version(), version);
}
