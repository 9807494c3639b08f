/*
 * work.h - the work machine: a ready-made task for agents, with retries, dependencies, verdicts,
 * evidence and history.
 *
 *     struct pawl_work_policy policies[] = {{.name = "usual", .attempts = 5}};
 *     struct pawl_work_options work = {PAWL_TABLE(policies)};
 *     options.work = &work;                          pawl_open(&options, &runtime)
 *
 *     struct pawl_work_spec spec = PAWL_WORK_SPEC_INIT;
 *     spec.lane = "build";
 *     spec.title = "make all";
 *     pawl_work_submit(port, &spec, tag);            the completion says the task's id
 *
 * A task goes from new or waiting (for other tasks, for a time) to ready, is leased by an agent
 * (agent.h), perhaps verified, and is settled: completed, failed, cancelled or dead. A settled task
 * can be looked at, and holds its key, as long as its policy says; then it is gone. All of this is
 * as durable as the options say, whatever happens between two steps.
 *
 * Every call here that names a port is thread-safe as far as the port is: one thread at a time. It
 * is answered by a completion on that port, with the tag, as any event is.
 */
#ifndef PAWL_WORK_H
#define PAWL_WORK_H

#include <pawl/agent.h>
#include <pawl/error.h>
#include <pawl/export.h>
#include <pawl/lane.h>
#include <pawl/machine.h>
#include <pawl/port.h>
#include <pawl/runtime.h>
#include <pawl/task.h>
#include <stdbool.h>
#include <string.h>

PAWL_BEGIN_DECLS

/* The library's machines behind the host's own: the work machine, then three of notes. */
#define PAWL_WORK_MACHINES 4

#define PAWL_WORK_AFTER_MAX    64    /* tasks that one task can wait for from its creation on */
#define PAWL_WORK_TEXT_MAX     57344 /* bytes of title, description, payload and metadata together */
#define PAWL_WORK_POLICIES_MAX 4096
#define PAWL_WORK_FOREVER      UINT64_MAX
#define PAWL_WORK_UNLIMITED    UINT32_MAX

/* The leaves of the work machine: what completions, receipts and views call state. */
enum pawl_work_state {
    PAWL_WORK_NEW,        /* held back until pawl_work_open */
    PAWL_WORK_DEPENDENT,  /* waits for other tasks */
    PAWL_WORK_DELAYED,    /* waits for its time */
    PAWL_WORK_READY,      /* in its lane */
    PAWL_WORK_LEASED,     /* in progress */
    PAWL_WORK_UNVERIFIED, /* done, in the lane of those who verify */
    PAWL_WORK_CHECKED,    /* in the hands of one who verifies */
    PAWL_WORK_COMPLETED,
    PAWL_WORK_FAILED,
    PAWL_WORK_CANCELLED,
    PAWL_WORK_DEAD, /* attempts used up, or quarantined */
    PAWL_WORK_STATES
};

/* "new", "dependent" ...; "?" for what is no leaf. */
PAWL_API const char *pawl_work_state_name(unsigned state);

/* Classes of failures: 0 to 63 are the host's, those here are the runtime's; a report with one of
 * these, or any above 63, is refused. */
enum pawl_work_class {
    PAWL_WORK_CLASSES = 64,
    PAWL_WORK_CLASS_EXPIRED = 240, /* the lease ended by its time */
    PAWL_WORK_CLASS_LOST,          /* the agent died */
    PAWL_WORK_CLASS_REJECTED,      /* the verdict was no */
    PAWL_WORK_CLASS_OVERDUE,       /* the task's deadline passed */
    PAWL_WORK_CLASS_DEPENDENCY,    /* a task that it waits for has not completed */
    PAWL_WORK_CLASS_PARENT,        /* its parent was cancelled with its tree */
    PAWL_WORK_CLASS_QUARANTINED,   /* it has killed too many agents */
    PAWL_WORK_CLASS_NO_LANE,       /* the runtime has no lane of that name any more */
    PAWL_WORK_CLASS_UNDECLARED,    /* a crash came before its graph had been declared */
};

/* ---- Policies ---- */

enum pawl_work_jitter {
    PAWL_WORK_JITTER_NONE,
    PAWL_WORK_JITTER_FULL,  /* anything from 0 to the backoff */
    PAWL_WORK_JITTER_EQUAL, /* anything from half the backoff to all of it */
};

enum pawl_work_verify {
    PAWL_WORK_VERIFY_NONE,
    PAWL_WORK_VERIFY_HOST, /* a predicate, within the step of the report */
    PAWL_WORK_VERIFY_LANE, /* a verdict by an agent that serves verify_lane */
};

/*
 * Lanes and verdicts. A lane's breaker and its counters good and bad are told what its own leases
 * have come to: a result that is reported is good for the task's lane, and a verdict, yes or no, is
 * good for verify_lane, where only what fails, expires or is lost is bad. That a result was rejected
 * is in the task's history, and is not told to the task's lane, which has had its lease back long
 * since. With PAWL_WORK_VERIFY_HOST a rejected result is bad for the task's lane.
 */

enum pawl_work_broken {
    PAWL_WORK_BROKEN_FAIL,   /* a task whose dependency did not complete fails */
    PAWL_WORK_BROKEN_CANCEL, /* ... is cancelled */
    PAWL_WORK_BROKEN_GO_ON,  /* ... waits for the others and goes on */
};

struct pawl_work;

/*
 * Whether a result will do: 0; or a negative error, the reason why not: the attempt has then failed
 * (PAWL_WORK_CLASS_REJECTED). Called on the task's shard; must not block. All is valid only during
 * the call.
 */
typedef int pawl_work_check_fn(void *user, struct pawl_task task, const struct pawl_work *work,
                               const struct pawl_reported *report);

/* What becomes of tasks. 0 and NULL mean the default said here. */
struct pawl_work_policy {
    const char *name;        /* for people; may be NULL */
    uint32_t attempts;       /* leases that may end otherwise than well, or by release; 0: 3 */
    uint32_t crashes;        /* agents that it may kill before it is quarantined; 0: 3 */
    uint64_t backoff_ns;     /* before the second attempt, doubled for each later one; 0: none */
    uint64_t backoff_max_ns; /* 0: one hour */
    enum pawl_work_jitter jitter;
    uint64_t not_retried;  /* classes of failures that fail the task at once: bit n is class n */
    uint64_t keep_ns;      /* how long completed, failed and cancelled tasks stay; 0: 60 s */
    uint64_t keep_dead_ns; /* the dead; 0: for ever, until they are kicked or discarded */
    enum pawl_work_verify verify;
    const char *verify_lane;
    pawl_work_check_fn *check; /* with PAWL_WORK_VERIFY_HOST */
    enum pawl_work_broken broken;
    uint32_t notes_max; /* evidence, and again as many entries of history; 0: 256 */
    uint32_t bytes_max; /* of evidence; 0: 1 MiB */
};

/*
 * pawl_options.work. It and all it points to must stay as they are while the runtime is open. Tasks
 * name policies by their position; a task of a store whose policy is not there any more has the
 * first one. Without policies there is one: all defaults.
 */
struct pawl_work_options {
    const struct pawl_work_policy *policies;
    size_t policies_count;
    enum pawl_durability durability; /* of tasks and notes; other than memory needs a store */
    void *user;                      /* for check */
};

/* ---- Tasks ---- */

#define PAWL_WORK_HELD  0x1u /* stays new until pawl_work_open */
#define PAWL_WORK_GROUP 0x2u /* no work of its own: completes when what it waits for has */

/* A task as it is: its context. Filled by the library; times are of the wall clock, 0: not yet. */
struct pawl_work {
    struct pawl_claim claim;
    uint64_t detail;   /* the first of its notes: title, description, payload, metadata; 0: none */
    uint64_t newest;   /* the newest of its notes; 0: none */
    uint64_t parent;   /* task id; 0: none */
    uint64_t value;    /* the result: value of the report that it was done */
    uint64_t assignee; /* as submitted; the claim's is another while it is verified */
    uint64_t created_ns;
    uint64_t started_ns; /* first handed out */
    uint64_t settled_ns;
    uint64_t due_ns;      /* not ready before; 0: at once */
    uint64_t deadline_ns; /* 0: none */
    uint64_t progress;    /* value of the newest such report */
    uint32_t lane;        /* as submitted; the claim's is another while it is verified */
    uint32_t waits;       /* tasks that it still waits for */
    uint32_t attempts;    /* made */
    uint32_t attempts_max;
    uint32_t last_report; /* id of the newest report applied in this lease */
    uint32_t bytes;       /* of evidence */
    uint32_t undeclared;  /* of a graph: tasks to wait for that it has not been told of yet */
    int32_t reason;       /* why it has failed, or did the last time: a negative error, or 0 */
    uint16_t policy;
    uint16_t notes;   /* pieces of evidence */
    uint16_t history; /* entries */
    uint8_t klass;    /* of the last failure */
    uint8_t crashes;  /* agents that died with it */
    uint8_t flags;    /* PAWL_WORK_HELD, PAWL_WORK_GROUP, and the library's */
    uint8_t next;     /* the library's: within a step */
    uint16_t missed;  /* entries of history for which there was no room */
    uint8_t outcome;  /* enum pawl_work_state of a settled task */
    uint8_t unused;
};

/* What a new task is to be. Start from PAWL_WORK_SPEC_INIT. */
struct pawl_work_spec {
    size_t size;
    uint32_t shard;  /* where it lives, without a key; or PAWL_ANY_SHARD */
    const void *key; /* 1 to 64 bytes, or NULL: unique among all tasks until this one is gone */
    size_t key_size;
    const char *lane; /* of pawl_options.lanes */
    uint32_t priority;
    uint32_t policy;
    uint32_t flags;       /* PAWL_WORK_HELD, PAWL_WORK_GROUP */
    uint64_t delay_ns;    /* it is not ready earlier than this from now */
    uint64_t deadline_ns; /* from now; what is not settled by then fails; 0: none */
    const char *assignee; /* name of the only agent that may have it; NULL: any */
    struct pawl_task parent;
    const struct pawl_task *after; /* tasks to wait for */
    size_t after_count;            /* up to PAWL_WORK_AFTER_MAX */
    const char *title;
    const char *description;
    const void *payload;
    size_t payload_size;
    const void *metadata; /* bytes that mean something to the host alone */
    size_t metadata_size;
};

static inline struct pawl_work_spec pawl_work_spec_init(void)
{
    struct pawl_work_spec spec;

    memset(&spec, 0, sizeof(spec));
    spec.size = sizeof(spec);
    spec.shard = PAWL_ANY_SHARD;
    return spec;
}
#define PAWL_WORK_SPEC_INIT pawl_work_spec_init()

/* The position of the work machine among a runtime's machines; -ENOENT: opened without work. */
PAWL_API int pawl_work_machine(const struct pawl_runtime *runtime);

/*
 * pawl_work_submit - a new task. The completion's value is its id; status -EEXIST: task is the one
 * that has the key, which is left as it is. Returns 0, or -EAGAIN (as pawl_port_post), -ENOTSUP
 * (opened without work), -ENOENT (no such lane), -ESTALE (a task to wait for, or the parent, is
 * gone), -EBUSY (a task to wait for is held: open it first, or declare both with pawl_work_graph;
 * or the runtime was stopped), -EINVAL (no such policy, flags, a name, too many or too long things),
 * -ENOMEM.
 *
 * Dependencies. It waits until each task of `after` is settled, and what becomes of it when one has
 * not completed is its policy's matter. A task that is gone by the time it is asked counts as not
 * completed: keep_ns is to be longer than an event may be under way. One that has too many who want
 * to know of it already (below) counts as not completed too, with reason -ENOSPC. No cycle can come
 * about: one waits only for tasks that have been opened.
 *
 * Parent. When the parent is cancelled with its tree, so is this task, and its children in turn. A
 * parent that has failed or is dead can be kicked and cancelled then: children follow it until it
 * is gone. One that has failed itself, or is dead, is cancelled with the tree as well: then it
 * cannot be kicked any more. A parent that is gone when it is asked counts as cancelled. A child
 * that the parent has no room to know of (below) lives on its own: no cancel of a tree finds it.
 *
 * Who wants to know of a task. Over its life, until it is settled, a task can be asked 4096 times
 * in all: by those that wait for it, by its children and by pawl_work_watch. One that has asked and
 * is settled or gone before the task is still counts. When the task fails or is dead the questions
 * of children stay, until it is gone; all others are answered, and give their room back.
 */
PAWL_API int pawl_work_submit(struct pawl_port *port, const struct pawl_work_spec *spec,
                              uint32_t tag);

/* Lets a held task go. -EPROTO in its completion: it is not held. */
PAWL_API int pawl_work_open(struct pawl_port *port, struct pawl_task task, uint32_t tag);

/* A held task is to wait for these too; errors as with pawl_work_submit, and -EPROTO in the
 * completion: it is not held, or its graph is closed. */
PAWL_API int pawl_work_after(struct pawl_port *port, struct pawl_task task,
                             const struct pawl_task *after, size_t count, uint32_t tag);

/*
 * pawl_work_cancel - cancels a task that is not settled, and with tree its descendants. -EALREADY
 * in the completion: it is settled. An agent that has it is told -ESTALE when it reports. A tree
 * ends at a descendant that had completed before, or was cancelled without its tree: what is below
 * that is not cancelled.
 */
PAWL_API int pawl_work_cancel(struct pawl_port *port, struct pawl_task task, bool tree,
                              uint32_t tag);

/* The completion comes when the task is settled: value is the enum pawl_work_state; status -ESTALE:
 * there is no such task; -ENOSPC: the task has been asked 4096 times (pawl_work_submit). */
PAWL_API int pawl_work_watch(struct pawl_port *port, struct pawl_task task, uint32_t tag);

/*
 * pawl_work_kick - a failed or dead task is ready again, with as many attempts as its policy gives
 * a new one, and without its deadline and its delay; if tasks that it waits for have not settled
 * yet, it waits for those. One that was held, and failed before anybody had opened it, is not held
 * any more: the kick opens it. In the completion: -EPERM: a task that it waits for has not
 * completed, and its policy minds, or it was never told what to wait for: discard it and submit it
 * again; -EPROTO: it is neither failed nor dead; -ENOENT: the runtime has no lane of its name.
 */
PAWL_API int pawl_work_kick(struct pawl_port *port, struct pawl_task task, uint32_t tag);

/* A settled task is gone now. -EPROTO in the completion: it is not settled. */
PAWL_API int pawl_work_discard(struct pawl_port *port, struct pawl_task task, uint32_t tag);

/* Another priority, for a task that is not settled. */
PAWL_API int pawl_work_prioritise(struct pawl_port *port, struct pawl_task task, uint32_t priority,
                                  uint32_t tag);

/*
 * pawl_work_graph - many tasks and who waits for whom, at once: specs[e.task] waits for
 * specs[e.after], for each edge. The specs may have flags, after and all the rest. Nothing is made
 * when the edges have a cycle: -EINVAL, and *cycle, if not NULL, is an edge of it. Otherwise all
 * tasks are made held, then linked, then those that were not asked to be held are opened; tasks has
 * their ids. -EEXIST: a key is taken (the position is in cycle->task, its task in tasks). -ENOSPC:
 * more than 4096 wait for one task (cycle->task), a store is full, or a shard's inflight_max has no
 * room for what a task is to wait for. Other errors as with pawl_work_submit. After any error those
 * that were made are cancelled.
 *
 * Waits for the shards: what returns 0 has been done, and is as durable as the options say. When a
 * drain comes in between, it waits: until pawl_resume, and goes on, or until pawl_stop, and returns
 * -EBUSY. So whoever drains must not wait for this call before one of those two. If nothing had
 * been made it returns -EBUSY at once.
 *
 * In the host-driven mode it turns the shards only where it needs room, and no other thread may do
 * so meanwhile; what it returns 0 for is under way. -EAGAIN there: the journal
 * had no room for a task, or for a second they have taken nothing (they are paused, a disk is full);
 * what had been made is cancelled as far as there is room for that: turn them, and call again.
 *
 * A crash in between may leave a part of the graph. When the store is opened again, what had not
 * been opened yet is cancelled (PAWL_WORK_CLASS_UNDECLARED), also what was to stay held; what waits
 * for it does as its policy says. What is to stay held is finished last: where any of it is kept,
 * all the rest had been opened; in the host-driven mode that holds shard by shard. Nothing else
 * ends a graph that is being declared: it may take as long as it takes.
 */
struct pawl_work_edge {
    uint32_t task;
    uint32_t after;
};
PAWL_API int pawl_work_graph(struct pawl_runtime *runtime, const struct pawl_work_spec *specs,
                             size_t count, const struct pawl_work_edge *edges, size_t edges_count,
                             struct pawl_task *tasks, struct pawl_work_edge *cycle);

/* ---- Reading: any thread, while the shards run ---- */

struct pawl_work_view {
    struct pawl_task task;
    enum pawl_work_state state;
    uint32_t version;
    uint32_t key_size;
    uint64_t age_ns; /* since the state was entered, to within 17 ms */
    char key[64];
    struct pawl_work work;
};

/* -ESTALE; -EINVAL: it is a task of another machine. */
PAWL_API int pawl_work_read(const struct pawl_runtime *runtime, struct pawl_task task,
                            struct pawl_work_view *view);

/* Views that one call of pawl_work_walk fills at most. */
#define PAWL_WORK_WALK_MAX 64

/* Which tasks a walk shows: all that is named here must hold. Start from PAWL_WORK_FILTER_INIT. */
struct pawl_work_filter {
    uint32_t state;         /* enum pawl_work_state, or PAWL_ANY */
    const char *lane;       /* whose claim is for this lane; NULL: any */
    uint64_t agent;         /* the incarnation that has it now; 0: any, or none */
    uint64_t older_than_ns; /* in its state for at least this long */
};

static inline struct pawl_work_filter pawl_work_filter_init(void)
{
    struct pawl_work_filter filter;

    memset(&filter, 0, sizeof(filter));
    filter.state = PAWL_ANY;
    return filter;
}
#define PAWL_WORK_FILTER_INIT pawl_work_filter_init()

/*
 * pawl_work_walk - looks at work tasks a portion at a time, as pawl_task_walk does: start with a
 * zeroed walk and call until walk->done. A call looks at up to budget slots and fills up to
 * capacity views, and no more than PAWL_WORK_WALK_MAX; it returns how many, 0 too when the portion
 * had none that match. filter may be NULL: all. A task that lives through the whole walk is seen
 * exactly once, each view is consistent in itself. -ENOTSUP: opened without work; -ENOENT: no such
 * lane. Thread: any, while the shards run; it waits for nobody.
 */
PAWL_API int pawl_work_walk(const struct pawl_runtime *runtime, struct pawl_walk *walk,
                            const struct pawl_work_filter *filter, struct pawl_work_view *views,
                            size_t capacity, size_t budget);

enum pawl_work_note_kind {
    PAWL_WORK_NOTE_DETAIL,   /* what the task was submitted with; pawl_work_note_detail */
    PAWL_WORK_NOTE_EVIDENCE, /* bytes of a report */
    PAWL_WORK_NOTE_ATTEMPT,  /* an attempt has failed; klass and reason say why */
    PAWL_WORK_NOTE_VERDICT,  /* value 1: accepted, 0: rejected */
    PAWL_WORK_NOTE_KICKED,   /* value: the enum pawl_work_state that it was in */
    PAWL_WORK_NOTE_KINDS
};

/* An entry of a task's notes: evidence and history. */
struct pawl_work_note {
    enum pawl_work_note_kind kind;
    uint8_t klass;
    int32_t reason;
    uint64_t wall_ns;
    uint64_t agent; /* the incarnation; 0: none */
    uint64_t token; /* of its lease */
    uint64_t value;
    uint64_t hash;
    const void *bytes;
    size_t size;
};

/* Called for each note; bytes live only during the call. Other than 0 ends the walk. */
typedef int pawl_work_note_fn(void *user, const struct pawl_work_note *note);

/*
 * pawl_work_notes - a task's notes, newest first. Returns 0, what the function returned, -ESTALE
 * (the task is gone, perhaps meanwhile), -EINVAL, -ENOMEM, or -EBADMSG: the notes are damaged, in a
 * circle or of a size that cannot be. A note that comes meanwhile is not seen.
 */
PAWL_API int pawl_work_notes(const struct pawl_runtime *runtime, struct pawl_task task,
                             pawl_work_note_fn *fn, void *user);

/* What the task was submitted with. The strings are closed by a zero. */
struct pawl_work_detail {
    const char *title;
    const char *description;
    const void *payload;
    size_t payload_size;
    const void *metadata;
    size_t metadata_size;
};

/* Takes the bytes of a PAWL_WORK_NOTE_DETAIL apart; -EBADMSG. */
PAWL_API int pawl_work_note_detail(const struct pawl_work_note *note,
                                   struct pawl_work_detail *detail);

/*
 * pawl_work_read_detail - the same for a task: into buffer, where detail then points. *size: its bytes,
 * and then those needed. 0, -ENOSPC (more are needed), -ESTALE, -EINVAL, -ENOMEM, -EBADMSG (it is
 * damaged). Without detail all is empty.
 */
PAWL_API int pawl_work_read_detail(const struct pawl_runtime *runtime, struct pawl_task task,
                                   void *buffer, size_t *size, struct pawl_work_detail *detail);

PAWL_END_DECLS

#endif /* PAWL_WORK_H */
