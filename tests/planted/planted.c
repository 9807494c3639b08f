/*
 * planted.c - the checker is checked: each rule is broken on purpose, and the simulator must notice.
 *
 *   planted [BUG...] [SEEDS]   all bugs, or those with these names; up to so many seeds for each (default 400)
 *
 * The library and the simulator are compiled with PAWL_PLANTED here. A seed counts only if it fails with the bug and
 * passes without it. Exit status: 0 all were noticed, 1 one never was.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/planted.h"
#include "sim_run.h"

#define SEEDS_DEFAULT 400
#define STEPS         1200

enum planted pawl__planted;

static const unsigned deaths = SIM_FAULTS_KILL | SIM_FAULTS_POWER;

/* Each bug with what brings it to light, so that few seeds are needed. */
static const struct bug {
    enum planted planted;
    const char *name;
    unsigned faults; /* besides deaths */
} bugs[] = {
    {PLANTED_ACK_BEFORE_SYNC, "ack_before_sync", SIM_FAULTS_SLOW},
    {PLANTED_EFFECT_BEFORE_SYNC, "effect_before_sync", SIM_FAULTS_SLOW},
    {PLANTED_FAILURE_IGNORED, "failure_ignored", SIM_FAULTS_ERROR | SIM_FAULTS_SHORT},
    {PLANTED_DURABLE_OUT_OF_ORDER, "durable_out_of_order", SIM_FAULTS_SLOW},
    {PLANTED_SEAL_NOT_AWAITED, "seal_not_awaited", SIM_FAULTS_SLOW},
    {PLANTED_DIRECTORY_NOT_SYNCED, "directory_not_synced", 0},
    {PLANTED_CRC_NOT_CHECKED, "crc_not_checked", SIM_FAULTS_DAMAGE},
    {PLANTED_PLACE_NOT_CHECKED, "place_not_checked", SIM_FAULTS_DAMAGE},
    {PLANTED_CORRUPT_AS_TORN, "corrupt_as_torn", SIM_FAULTS_DAMAGE},
    {PLANTED_SNAPSHOT_NOT_READ_BACK, "snapshot_not_read_back", SIM_FAULTS_SNAPSHOT},
    {PLANTED_CUT_TOO_EARLY, "cut_too_early", SIM_FAULTS_RECOVERY},
    {PLANTED_SNAPSHOT_NOT_AWAITED, "snapshot_not_awaited", SIM_FAULTS_SLOW},
    {PLANTED_DUPLICATES_KEPT, "duplicates_kept", 0},
    {PLANTED_NOT_RESENT, "not_resent", 0},
    {PLANTED_TIMERS_LOST, "timers_lost", 0},
    {PLANTED_DEFERRED_LOST, "deferred_lost", 0},
    {PLANTED_END_FORGOTTEN, "end_forgotten", 0},
    {PLANTED_GENERATION_REUSED, "generation_reused", 0},
    {PLANTED_MORE_IGNORED, "more_ignored", SIM_FAULTS_SLOW},
    {PLANTED_TOKENS_BEGIN_AGAIN, "tokens_begin_again", 0},
    {PLANTED_LEASE_BEFORE_SYNC, "lease_before_sync", SIM_FAULTS_SLOW},
    {PLANTED_CLAIM_NOT_RESTORED, "claim_not_restored", 0},
    {PLANTED_RANK_NOT_RESTORED, "rank_not_restored", 0},
    {PLANTED_REPORT_TWICE, "report_twice", 0},
    {PLANTED_ATTEMPT_NOT_COUNTED, "attempt_not_counted", 0},
    {PLANTED_RELEASED_EARLY, "released_early", 0},
    {PLANTED_TREE_STANDS, "tree_stands", 0},
    {PLANTED_CREDIT_LOST, "credit_lost", 0},
    {PLANTED_DEATH_FORGOTTEN, "death_forgotten", 0},
};
enum { BUGS = sizeof(bugs) / sizeof(bugs[0]) };
_Static_assert(BUGS == PLANTED_COUNT - 1, "every switch of base/planted.h is tried");

static bool fails(enum planted planted, const struct sim_run_options *options,
                  struct sim_run_result *result)
{
    pawl__planted = planted;
    sim_run(options, result, NULL);
    pawl__planted = PLANTED_NONE;
    return result->failed;
}

static bool is_noticed(const struct bug *bug, uint64_t seeds)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        const struct sim_run_options options = {
            .seed = seed, .steps = STEPS, .faults = deaths | bug->faults};
        struct sim_run_result result, sound;

        if (bug->planted >= PLANTED_TOKENS_BEGIN_AGAIN && !sim_run_has_agents(seed))
            continue; /* it is not in the way */
        if (!fails(bug->planted, &options, &result) || fails(PLANTED_NONE, &options, &sound))
            continue;
        printf("%-24s seed %" PRIu64 ", rule '%s': %.160s\n", bug->name, seed, result.rule,
               result.text);
        fflush(stdout);
        return true;
    }
    printf("%-24s NOT NOTICED in %" PRIu64 " seeds\n", bug->name, seeds);
    fflush(stdout);
    return false;
}

static bool is_asked_for(const struct bug *bug, int argc, char **argv, bool any)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], bug->name) == 0)
            return true;
    return !any;
}

int main(int argc, char **argv)
{
    uint64_t seeds = SEEDS_DEFAULT;
    unsigned missed = 0;
    bool any = false;

    for (int i = 1; i < argc; i++) {
        if (argv[i][0] >= '0' && argv[i][0] <= '9')
            seeds = strtoull(argv[i], NULL, 10);
        else
            any = true;
    }
    for (unsigned i = 0; i < BUGS; i++)
        if (is_asked_for(&bugs[i], argc, argv, any) && !is_noticed(&bugs[i], seeds))
            missed++;
    printf("planted bugs never noticed: %u\n", missed);
    return missed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
