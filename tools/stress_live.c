/*
 * stress_live.c - `pawl stress --live`: a window on the run, for whoever wants to look in.
 */
#include <pawl/live.h>
#include <stdio.h>

#include "stress.h"

static void show_diagnostic(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    fprintf(stderr, "pawl stress: %s: %s\n", diagnostic->where, diagnostic->what);
}

int stress_live_open(struct stress *s, struct pawl_runtime *runtime)
{
    const struct pawl_live_options options = {.path = s->options.live, .diagnose = show_diagnostic};

    if (options.path == NULL)
        return 0;
    int rc = pawl_live_open(runtime, &options, &s->live);
    if (rc == 0)
        fprintf(stderr, "pawl stress: look in with: pawl inspect --live %s\n", options.path);
    return rc == 0 ? 0 : stress_failed("cannot open a window", rc);
}

void stress_live_close(struct stress *s)
{
    pawl_live_close(s->live);
    s->live = NULL;
}
