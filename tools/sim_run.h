/*
 * sim_run.h - one seed of the simulator: rounds of work, each ended by a death or in order, with
 * faults meanwhile and checks between; and the search for the shortest run that fails.
 */
#ifndef PAWL_TOOLS_SIM_RUN_H
#define PAWL_TOOLS_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What may go wrong; a set of bits. */
enum sim_faults {
    SIM_FAULTS_KILL = 1 << 0,     /* kill -9, between operations and within them */
    SIM_FAULTS_POWER = 1 << 1,    /* power loss, likewise */
    SIM_FAULTS_ERROR = 1 << 2,    /* operations fail, once or for ever */
    SIM_FAULTS_FULL = 1 << 3,     /* the disk is full */
    SIM_FAULTS_SHORT = 1 << 4,    /* writes reach the disk in part */
    SIM_FAULTS_SLOW = 1 << 5,     /* writes take long and end in another order */
    SIM_FAULTS_SNAPSHOT = 1 << 6, /* snapshots are written badly, or read back badly */
    SIM_FAULTS_STALE = 1 << 7,    /* space that was not written shows old bytes */
    SIM_FAULTS_RECOVERY = 1 << 8, /* recovery is killed, fails, is done twice; a second opener */
    SIM_FAULTS_DAMAGE =
        1 << 9, /* on copies: bits flip, blocks and files are lost, moved, doubled */
    SIM_FAULTS_ALL = (1 << 10) - 1,
};

struct sim_run_options {
    uint64_t seed;
    uint64_t steps;   /* actions of the simulated host */
    unsigned shards;  /* 0: 2 to 4, drawn */
    unsigned faults;  /* SIM_FAULTS_* */
    bool memory;      /* no store, no crashes */
    FILE *log;        /* every step, as it happens; NULL: no */
    const char *dump; /* where the files of the last crash go, if the run fails; NULL: nowhere */
};

struct sim_run_result {
    bool failed;
    char rule[32];
    char text[768];
    uint64_t leases, reports, retries, submitted; /* of agents' work */
    uint64_t rounds;                              /* openings that went on to work */
    uint64_t crashes;
    uint64_t recoveries; /* all openings, of copies too */
    uint64_t steps;      /* of tasks */
    uint64_t acknowledged;
    uint64_t digest; /* equal for two runs of the same options */
};

/* Whether this run has lanes, work and agents. */
bool sim_run_has_agents(uint64_t seed);

/* trace: where the last operations and steps of a run that fails are printed; NULL: nowhere. */
void sim_run(const struct sim_run_options *options, struct sim_run_result *result, FILE *trace);

/* The smallest number of steps found with which the run fails; options->steps makes it fail. */
uint64_t sim_run_shorten(const struct sim_run_options *options);

/* "all", "none" or names with commas between. False: an unknown name, in *unknown. */
bool sim_faults_parse(const char *text, unsigned *faults, char unknown[32]);
const char *sim_faults_names(void);

#endif /* PAWL_TOOLS_SIM_RUN_H */
