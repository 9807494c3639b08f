#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void pawl__check_failed(const char *rule, const char *file, int line)
{
    fprintf(stderr, "pawl: broken contract: %s (%s:%d)\n", rule, file, line);
    abort();
}
