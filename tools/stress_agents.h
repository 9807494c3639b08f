/*
 * stress_agents.h - `pawl stress --agents`: what its parts share.
 *
 *   stress_agents.c           the run: open, threads, the end, totals
 *   stress_agents_job.c       what a job is to be: lanes, policies, plans; whose lease it is
 *   stress_agents_book.c      a job's ledger: leases, evidence, who holds it
 *   stress_agents_request.c   requesters: jobs submitted, disturbed, looked at, discarded
 *   stress_agents_mischief.c  requesters: graphs, keys taken twice, cancelled and hurried jobs
 *   stress_agents_crew.c      threads, each of which is several agents
 *   stress_agents_work.c      agents that work, stall, crash and lie
 *   stress_agents_say.c       what agents report, and their receipts held against the ledger
 *   stress_agents_check.c     a settled job against its ledger
 *   stress_agents_order.c     a lane of its own, whose order is known exactly
 *   stress_agents_log.c       what is known, in a file outside the store
 *   stress_agents_resume.c    a recovered store against that file
 *   stress_agents_report.c    progress and summary
 *
 * How one holder, exact attempts and complete evidence are proved. A job is one work task. Beside
 * the library it has a ledger: each lease as the agent saw it that got it, each report with its
 * receipt. The ledger has an owner, who is put in when a lease arrives and taken out before the
 * report is posted that ends it: an owner whose deadline has not passed, and who cannot have been
 * given up for dead, is one holder too many when another lease arrives. A report that is a lie, or
 * that is posted when a newer lease is known, must be refused; one that is refused as late must
 * have been late: the deadline had passed, or the job may have been ended by somebody else, or the
 * agent was silent or closed. When a job is settled, and nobody has a word to say about it any
 * more, its notes, its counts and its state must be what follows from the ledger and its policy.
 * In the end nothing may be left: every job has settled, every task is gone, and the lanes have
 * counted as many leases as the tasks have.
 */
#ifndef PAWL_TOOLS_STRESS_AGENTS_H
#define PAWL_TOOLS_STRESS_AGENTS_H

#include <pawl/agent.h>
#include <pawl/work.h>

#include "stress.h"

/* --- what there is --- */

enum fleet_lane {
    FLEET_WORK,
    FLEET_BULK,    /* with ageing */
    FLEET_NARROW,  /* few at once */
    FLEET_RATED,   /* so many a second */
    FLEET_BRITTLE, /* with a breaker */
    FLEET_BRIEF,   /* of jobs that are gone soon after they have settled */
    FLEET_VERIFY,
    FLEET_ORDER, /* of its own thread */
    FLEET_LANES,
};
extern const struct pawl_lane_def fleet_lanes[FLEET_LANES];

enum fleet_policy {
    FLEET_USUAL,
    FLEET_ONCE,
    FLEET_STUBBORN,
    FLEET_HOST, /* verified by a predicate */
    FLEET_LANE, /* verified by agents */
    FLEET_MEAGRE,
    FLEET_GO_ON,
    FLEET_CANCEL,
    FLEET_SHORT, /* gone soon */
    FLEET_EXACT, /* of the lane whose order is known */
    FLEET_POLICIES,
};
extern const struct pawl_work_policy fleet_policies[FLEET_POLICIES];
pawl_work_check_fn fleet_verify;

#define FLEET_LEASE_NS    (60 * MILLISECOND)
#define FLEET_ORDER_NS    (1000 * MILLISECOND)
#define FLEET_DELAY_NS    (100 * MILLISECOND) /* and up to twice that, of those that are long */
#define FLEET_BEAT_NS     (40 * MILLISECOND)
#define FLEET_RATE        2000u
#define FLEET_BURST       50u
#define FLEET_EVIDENCE    5000u /* bytes of one piece, at most */
#define FLEET_AFTER       3u    /* jobs that one waits for, at most */
#define FLEET_AGENTS_MAX  2048u /* each is a port, and some have descriptors */
#define FLEET_TASKS_MAX   (1u << 18)
#define FLEET_VALUES      (UINT64_C(1) << 32) /* those of evidence begin there */
#define FLEET_STRANGERS   4096u
#define FLEET_REPORTS     64u
#define FLEET_HOLDS       32u
#define FLEET_NOT_RETRIED 7u /* a class of failures that every policy but one gives up at */

/* --- jobs --- */

struct fleet_agent;

/* A lease as its agent saw it. */
struct job_lease {
    const struct fleet_agent *holder;
    uint64_t token;
    uint64_t agent;       /* the incarnation */
    uint64_t deadline_ns; /* it does not end by its time before that */
    uint64_t value;       /* of the report that it was done */
    uint32_t last_id;     /* the newest report accepted */
    uint8_t verdict;      /* it was to verify */
    uint8_t ended;        /* 1 + the kind of the accepted report that ended it; 0: none has */
    uint8_t klass;
    uint8_t loose;   /* its agent may have been given up for dead */
    uint8_t unknown; /* a report that may have ended it has no receipt any more */
};

enum fate { FATE_SENT, FATE_ACCEPTED, FATE_REFUSED, FATE_UNKNOWN };

struct job_evidence {
    uint64_t value; /* unique; what the bytes are follows from it */
    uint64_t token;
    uint32_t size;
    uint8_t fate; /* enum fate */
    uint8_t full; /* it was refused for want of room */
};

/* R: its requester. The rest of a job is a requester's way through this. */
enum job_phase {
    JOB_FREE,
    JOB_SUBMITTED,
    JOB_MADE,    /* to be watched */
    JOB_WATCHED, /* it is not known to be settled */
    JOB_SETTLED, /* to be looked at when all is said */
    JOB_KICKED,
    JOB_CHECKED, /* to be discarded */
    JOB_DISCARDED,
    JOB_FADING, /* goes by itself */
    JOB_GONE,
};

#define JOB_IS_KEYED    0x01u
#define JOB_IS_DETAILED 0x02u
#define JOB_IS_GROUP    0x04u
#define JOB_IS_HELD     0x08u
#define JOB_IS_BRIEF    0x10u
#define JOB_IN_GRAPH    0x20u
#define JOB_IS_RESUMED  0x40u /* of a run before this one */

struct job {
    pthread_mutex_t lock; /* of what is marked L */
    uint32_t slot;
    uint32_t generation; /* L to change: which job of this slot */

    /* Constant from its submission to its end. */
    uint8_t flags;
    uint8_t policy;
    uint8_t lane;
    uint8_t after_count;
    uint32_t priority;
    uint32_t assignee; /* an agent's number, and 1; 0: any */
    uint32_t shard;
    uint32_t payload_size;
    uint64_t delay_ns;
    uint64_t deadline_ns;
    uint64_t submitted_ns;
    struct job *after[FLEET_AFTER];
    struct job *parent;

    _Atomic int ends_early; /* R writes: somebody else may end it: cancelled, or a deadline */
    _Atomic int hurried;    /* R writes: its priority was changed */

    /* R */
    uint8_t phase;
    uint8_t outcome; /* as its watch was told */
    uint8_t kicks;
    uint8_t cancel_posted;
    uint8_t cancel_accepted;
    uint8_t tree;         /* with its tree */
    uint8_t opening;      /* it is not to be waited for yet */
    uint8_t under_way;    /* completions to come, beside the watch */
    uint8_t kept_outcome; /* of a resumed job: what was told before; 0: nothing */
    uint8_t seen;         /* likewise: its task is in the store */
    uint32_t dependents;  /* jobs whose books look at this one */
    uint32_t handed_out;  /* as its task counted, when it was last looked at */
    uint32_t expired;     /* likewise, in its history */
    uint32_t lost;
    uint64_t id;
    uint64_t settled_ns;

    /* L */
    uint32_t refs;   /* agents that have something to say about it */
    int32_t owner;   /* index of a lease; -1: none */
    uint64_t newest; /* token */
    struct job_lease *leases;
    uint32_t leases_count;
    uint32_t leases_capacity;
    struct job_evidence *evidence;
    uint32_t evidence_count;
    uint32_t evidence_capacity;
};

struct requester;
struct crew;
struct order_lane;

struct fleet {
    struct stress *s; /* options, findings */
    struct pawl_runtime *runtime;
    unsigned shards;
    unsigned agents_count;
    unsigned crews_count;
    unsigned requesters_count;
    uint32_t jobs_count;
    struct job *jobs;
    struct requester *requesters;
    struct crew *crews;
    struct order_lane *order;
    int log; /* descriptor; -1: memory only */
    enum pawl_durability durability;
    bool resumed;
    uint64_t resumed_leases; /* as the recovered tasks have counted */
    uint64_t taken_over;     /* jobs of runs before */
    uint64_t lost_in_window; /* with async steps */
    uint64_t recovered_tasks;
    uint64_t epoch;
    struct pawl_task strangers[FLEET_STRANGERS];
    unsigned strangers_count;
    _Atomic int stopping;  /* no new jobs */
    _Atomic int ending;    /* agents do no mischief, so that what there is comes to its end */
    _Atomic int abandoned; /* nobody waits any more */
    _Atomic int planted;
    _Atomic uint64_t values; /* evidence so far */
    _Atomic uint64_t undelivered;
    _Atomic uint64_t submitted;
    _Atomic uint64_t settled;
    _Atomic uint64_t outcomes[PAWL_WORK_STATES];
    _Atomic uint64_t leases; /* that agents saw */
    _Atomic uint64_t cycles; /* leases that a report has ended */
    _Atomic uint64_t reports;
    _Atomic uint64_t refused; /* reports */
    _Atomic uint64_t lies;
    _Atomic uint64_t evidence; /* pieces found again */
    _Atomic uint64_t double_holders;
    _Atomic uint64_t attempts_wrong;
    _Atomic uint64_t task_leases;  /* as the checked tasks have counted */
    _Atomic uint64_t task_expired; /* likewise, from their history */
    _Atomic uint64_t task_lost;
    _Atomic uint64_t incarnations; /* of agents that were opened */
    _Atomic uint64_t ordered;      /* leases in the lane whose order is known */
    _Atomic uint64_t completions;
};

static inline uint64_t fleet_now(void)
{
    return pawl_clock_monotonic.now_ns(NULL);
}
/* Whether to plant this fault, once. */
static inline bool fleet_wants(struct fleet *fleet, enum plant plant)
{
    return fleet->s->options.plant == plant && swap_acq_rel(&fleet->planted, 1) == 0;
}
static inline bool fleet_is_ending(const struct fleet *fleet)
{
    return load_acquire(&fleet->ending) != 0;
}
static inline bool fleet_is_abandoned(const struct fleet *fleet)
{
    return load_acquire(&fleet->abandoned) != 0;
}
static inline uint64_t fleet_settle_ns(const struct fleet *fleet)
{
    return stress_settle_ns(fleet->s);
}
static inline struct pawl_task job_task(const struct job *job)
{
    return (struct pawl_task){job->id};
}
static inline uint64_t job_number(const struct job *job)
{
    return (uint64_t)job->generation << 32 | job->slot;
}

/* --- stress_agents_job.c --- */

/* A new job in its slot; what it waits for and its parent are left to the requester. */
void job_plan(struct fleet *fleet, struct job *job, struct random *random);

/* What a submission of it says, with the room for what it points to. */
struct job_spec {
    struct pawl_work_spec spec;
    struct pawl_task after[FLEET_AFTER];
    char key[64];
    char title[64];
    char assignee[PAWL_AGENT_NAME_MAX + 1];
    uint64_t metadata;
    unsigned char payload[PAWL_WORK_TEXT_MAX];
};
void job_specify(const struct job *job, struct job_spec *spec);

size_t job_key(const struct job *job, char key[64]);
void agent_name(char name[PAWL_AGENT_NAME_MAX + 1], unsigned number);

/* The bytes of a payload, or of a piece of evidence. */
void fleet_fill(unsigned char *bytes, size_t size, uint64_t number);
bool fleet_filled(const unsigned char *bytes, size_t size, uint64_t number);

/*
 * job_of - the job that a lease is about, locked; NULL: it is over already, or something is wrong,
 * which is a finding.
 */
struct job *job_of(struct fleet *fleet, const struct pawl_lease *lease);

/* The number that was submitted with a task: from its key, or from its metadata. */
int job_read_number(struct fleet *fleet, struct pawl_task task, uint64_t *number);

/* Finds fault with what a task was submitted with. The job must not end meanwhile. */
void job_check_detail(struct fleet *fleet, const struct job *job);

/* --- stress_agents_book.c: the caller has the job's lock --- */

/* Books a lease that an agent has; its index. Finds fault with a holder too many. */
uint32_t book_lease(struct fleet *fleet, struct job *job, const struct pawl_lease *lease,
                    const struct fleet_agent *agent);
/* What runs before this one have booked. */
void book_old_lease(struct job *job, uint64_t token, uint64_t incarnation, bool verdict);
void book_old_evidence(struct job *job, uint64_t value, uint64_t token, uint32_t size);
uint32_t book_evidence(struct fleet *fleet, struct job *job, uint64_t token, uint32_t size);
/* Whether a lease may be over for all that the ledger knows. */
bool book_may_be_over(const struct job *job, const struct job_lease *lease, uint64_t now_ns);
/* Nothing that the lease's agent says can be taken for late without reason any more. */
void book_loosen(struct job *job, uint32_t lease);
const struct job_lease *book_find(const struct job *job, uint64_t token);
void book_clear(struct job *job);
/* Says which job first. Counts in attempts_wrong or double_holders where that is what it is. */
void job_find(struct fleet *fleet, const struct job *job, enum finding kind, const char *format,
              ...) __attribute__((format(printf, 4, 5)));
void job_find_attempts(struct fleet *fleet, const struct job *job, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- stress_agents_request.c --- */

enum job_tag {
    TAG_CREATE,
    TAG_WATCH,
    TAG_OPEN,
    TAG_CANCEL,
    TAG_HURRY,
    TAG_TWICE,
    TAG_KICK,
    TAG_DISCARD
};
#define JOB_TAG_SHIFT 28

struct requester {
    _Alignas(CACHE_LINE) struct fleet *fleet;
    unsigned number;
    struct pawl_port *port;
    struct random random;
    struct job *jobs; /* of its own */
    uint32_t jobs_count;
    uint32_t sweep;
    uint32_t alive; /* jobs that are not free */
    struct job_spec spec;
    _Atomic int finished;
    bool started;
    pthread_t thread;
};

int requesters_open(struct fleet *fleet);
int requesters_start(struct fleet *fleet);
bool requesters_finished(struct fleet *fleet);
void requesters_join(struct fleet *fleet);
void requesters_close(struct fleet *fleet);

/* A free slot, planned; NULL: there is none. It is the caller's to submit or to drop. */
struct job *requester_begin(struct requester *r);
/* Some job that may be waited for, or be a parent; NULL. */
struct job *requester_pick(struct requester *r);
void requester_depend(struct job *job, struct job *other);
void requester_drop(struct requester *r, struct job *job);
static inline uint32_t job_tag_of(const struct requester *r, const struct job *job,
                                  enum job_tag tag)
{
    return (uint32_t)tag << JOB_TAG_SHIFT | (uint32_t)(job - r->jobs);
}

/* --- stress_agents_mischief.c --- */

/* Something unkind to one of its jobs. */
void requester_disturb(struct requester *r);
void requester_disturbed(struct requester *r, struct job *job, enum job_tag tag,
                         const struct pawl_completion *completion);

/* --- stress_agents_crew.c --- */

int crews_open(struct fleet *fleet);
int crews_start(struct fleet *fleet);
void crews_stop(struct fleet *fleet); /* and joins them */
void crews_close(struct fleet *fleet);

enum plan {
    PLAN_DONE,
    PLAN_FAIL,
    PLAN_RELEASE,
    PLAN_TWICE,
    PLAN_EXTEND,
    PLAN_STALL,
    PLAN_FORGET,
    PLAN_LIE,
    PLANS
};

/* A lease that an agent does something about. */
struct hold {
    struct pawl_lease lease;
    struct job *job; /* with a reference */
    uint32_t book;
    uint32_t next_id;
    uint64_t act_ns;
    uint8_t plan;
    uint8_t notes; /* to be reported before the end */
    uint8_t ghost; /* of an incarnation before */
    uint8_t lied;
};

/* What is untrue in a report, and so must be refused. */
enum lie { LIE_NONE, LIE_TOKEN, LIE_FOREIGN, LIE_KIND, LIE_CLASS, LIE_REPEATED, LIE_GHOST };

/* A report without a receipt. */
struct said {
    struct job *job; /* with a reference */
    struct pawl_task task;
    uint32_t book;
    uint64_t token;
    uint32_t id;
    int32_t evidence; /* index; -1: none */
    uint64_t value;
    uint8_t kind;
    uint8_t klass;
    uint8_t lie;
    uint8_t stale; /* a newer lease was known when it was posted */
    uint8_t used;
};

struct crew;

struct fleet_agent {
    struct fleet *fleet;
    struct crew *crew;
    struct pawl_agent *agent; /* NULL: closed */
    unsigned number;
    uint64_t incarnation;
    uint64_t heartbeat_ns;
    _Atomic uint64_t seen_ns; /* when it last made a call */
    uint64_t silent_ns;       /* it makes none until then */
    uint32_t credits;
    uint32_t holds_count;
    struct hold holds[FLEET_HOLDS];
    struct said said[FLEET_REPORTS];
    struct { /* of each shard and lane without ageing: what was handed out last */
        uint64_t since_ns[4];
    } * streams;
};

struct crew {
    _Alignas(CACHE_LINE) struct fleet *fleet;
    unsigned number;
    unsigned agents_count;
    struct fleet_agent *agents;
    struct random random;
    struct hold shown; /* a lease of somebody here, for others to lie about */
    pthread_mutex_t shown_lock;
    unsigned char bytes[FLEET_EVIDENCE];
    _Atomic int stopping;
    bool started;
    pthread_t thread;
};

/* Whether shards may take it for dead by now. Any thread. */
static inline bool agent_is_quiet(const struct fleet_agent *a, uint64_t now_ns)
{
    return a->heartbeat_ns != 0 && now_ns - load_acquire(&a->seen_ns) > a->heartbeat_ns / 2;
}
/* Where it has made no call for so long that shards may take it for dead, it loosens its leases. */
void agent_look_at_clock(struct fleet_agent *a);

int agent_open(struct fleet_agent *a);
void agent_close(struct fleet_agent *a);
void agent_find(struct fleet_agent *a, enum finding kind, const char *what, int rc);

/* --- stress_agents_work.c --- */

/* Never blocks but to crash. True: something was done. */
bool agent_turn(struct fleet_agent *a);
/* One lease less to think of. */
void agent_unhold(struct fleet_agent *a, unsigned index);

/* --- stress_agents_say.c --- */

struct word {
    enum pawl_report_kind kind;
    enum lie lie;
    uint8_t klass;
    uint32_t id;
    uint32_t size; /* of evidence; 0: none */
    uint64_t value;
    int32_t evidence; /* of a report that is repeated; -1: none */
};

/* Posts a report about a lease; false: there is no room, try again. *evidence: index, or NULL. */
bool agent_say(struct fleet_agent *a, const struct pawl_lease *lease, struct job *job,
               uint32_t book, struct word word, int32_t *evidence);
/* Takes the receipts there are; how many. */
unsigned agent_hear(struct fleet_agent *a);
/* What has no receipt will have none any more. */
void agent_forget_said(struct fleet_agent *a);

static inline bool kind_ends(enum pawl_report_kind kind)
{
    return kind == PAWL_REPORT_DONE || kind == PAWL_REPORT_FAILED || kind == PAWL_REPORT_RELEASE ||
           kind == PAWL_REPORT_ACCEPT || kind == PAWL_REPORT_REJECT;
}

/* --- stress_agents_check.c --- */

/* A settled job that nobody has a word to say about any more. Its requester's thread. */
void job_check(struct fleet *fleet, struct job *job);

/* What had failed, or was dead, is cancelled after all when its parent's tree is. */
static inline bool job_followed_late(const struct pawl_work_view *view, uint8_t outcome)
{
    return view->state == PAWL_WORK_CANCELLED && view->work.klass == PAWL_WORK_CLASS_PARENT &&
           (outcome == PAWL_WORK_FAILED || outcome == PAWL_WORK_DEAD);
}

/* --- stress_agents_order.c --- */

int order_open(struct fleet *fleet);
int order_start(struct fleet *fleet);
void order_join(struct fleet *fleet);
void order_close(struct fleet *fleet);

/* --- stress_agents_resume.c --- */

/* Holds the recovered store to the log, before the first turn; takes its jobs over. 0 or -errno. */
int fleet_resume(struct fleet *fleet);
int fleet_dismiss(struct fleet *fleet, struct pawl_port *port);

/* --- stress_agents.c --- */

/* fleet_run - the whole run. Returns the command's exit code. */
int fleet_run(struct stress *s);

/* --- stress_agents_report.c --- */

struct fleet_result {
    struct pawl_counters counters;
    double seconds;
    uint64_t cycles; /* under load */
    uint64_t events;
    uint64_t transitions;
    uint64_t expired; /* as the lanes have counted */
    uint64_t lost;
    uint64_t handed_out;
    const char *allocator;
    bool complete;
};
void fleet_say_progress(struct fleet *fleet, uint64_t begin_ns, uint64_t *shown_ns,
                        uint64_t *shown);
void fleet_report(struct fleet *fleet, const struct fleet_result *result);

#endif /* PAWL_TOOLS_STRESS_AGENTS_H */
