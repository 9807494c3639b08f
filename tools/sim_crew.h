/*
 * sim_crew.h - the agents of a simulated host, and what it asks for of work: submissions,
 * dependencies, cancels and the rest. The seed decides whether a run has them.
 *
 * Agents lease, report, report again, report what is not theirs, fall silent, close with leases in
 * hand, and go on as the incarnation that they were before the process died.
 *
 * Owner: one thread, that of the world.
 */
#ifndef PAWL_TOOLS_SIM_CREW_H
#define PAWL_TOOLS_SIM_CREW_H

#include "sim_jobs.h"

#define SIM_HOLDS     24u /* leases that an agent remembers, those that are over included */
#define SIM_REQUESTS  48u
#define SIM_JOBS_LIVE 40u /* unsettled tasks beyond which nothing new is submitted */

struct sim_hold {
    struct pawl_lease lease;
    uint32_t next_id;
    bool over; /* as far as its agent knows */
};

struct sim_member {
    struct pawl_agent *agent; /* NULL: closed */
    uint64_t incarnation;     /* the newest */
    bool closing, may_resume;
    uint64_t silent_until_ns;
    uint32_t credits, lanes;
    struct sim_hold holds[SIM_HOLDS];
    uint32_t holds_count;
    struct { /* the last report, to be sent once more */
        struct pawl_lease lease;
        struct pawl_report report;
        bool any;
    } last;
};

enum sim_request_kind {
    SIM_REQUEST_NONE,
    SIM_REQUEST_SUBMIT,
    SIM_REQUEST_OPEN,
    SIM_REQUEST_AFTER,
    SIM_REQUEST_CANCEL,
    SIM_REQUEST_KICK,
    SIM_REQUEST_DISCARD,
    SIM_REQUEST_PRIORITISE,
    SIM_REQUEST_WATCH
};

struct sim_request {
    uint8_t kind; /* enum sim_request_kind */
    uint32_t plan;
    uint32_t job;
};

struct sim_world;

struct sim_crew {
    struct pawl_port *port;
    struct sim_member members[SIM_AGENTS];
    struct sim_request requests[SIM_REQUESTS];
};

/* The runtime has been opened, or is about to be closed after its process has died. */
void sim_crew_open(struct sim_world *world);
void sim_crew_drop(struct sim_world *world);

/* One thing that agents do (sim_crew.c), or that the host asks for (sim_requests.c). */
void sim_crew_act(struct sim_world *world);
void sim_request_act(struct sim_world *world);
void sim_requests_reap(struct sim_world *world);
/* What is held is let go. */
void sim_requests_open_all(struct sim_world *world);

/* All agents end; false: one does not, which is a violation or the end of a shard. */
bool sim_crew_close(struct sim_world *world);
/*
 * Nothing goes wrong any more and all agents work: every task comes to its end. False: a violation,
 * or a shard has failed on the way.
 */
bool sim_crew_finish(struct sim_world *world);

#endif /* PAWL_TOOLS_SIM_CREW_H */
