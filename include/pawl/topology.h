/*
 * topology.h - where threads belong: the machine as Pawl sees it, and the plan that gives every
 * shard, the monitor and each I/O thread its cpu.
 *
 * A runtime makes its plan by itself when it is opened. This header is for those who want to see
 * the plan first, to test it against machines they do not have, or to place threads of their own
 * beside Pawl's.
 *
 *     struct pawl_topology *machine;
 *     struct pawl_plan *plan;
 *
 *     pawl_topology_open(NULL, &machine);
 *     pawl_plan_create(machine, &(struct pawl_plan_request){.monitor = true}, &plan);
 *     for (unsigned s = 0; s < pawl_plan_shards(plan); s++)
 *         printf("shard %u: cpu %u\n", s, pawl_plan_shard(plan, s)->cpus[0]);
 *
 * The rules of a plan:
 *
 *   1. Shards take physical cores first, one hardware thread each; the SMT siblings follow only
 *      when there are more shards than cores.
 *   2. Shards fill one L3 group, then the next of the same NUMA node, then the next node:
 *      neighbours in shard number are neighbours in memory. On a machine with cores of several
 *      kinds the fast ones come first.
 *   3. The I/O threads and the monitor take SMT siblings of shards' cores, near the shards they
 *      serve, and when those are used up cores that no shard uses; they share a cpu with each other
 *      when that is not enough. Where every cpu has a shard they float over all allowed cpus: they
 *      are never pinned to a cpu that has a shard.
 *   4. When the number of shards is left to the plan it is one per physical core; without SMT, on
 *      8 cores or more, and when there is a monitor or an I/O thread to put there, the last core
 *      is left for housekeeping.
 *   5. More shards than cpus go round the cpus again and are marked oversubscribed.
 *
 * A topology and a plan never change once made: any number of threads may read one at a time.
 */
#ifndef PAWL_TOPOLOGY_H
#define PAWL_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>

#include <pawl/export.h>

PAWL_BEGIN_DECLS

struct pawl_topology;
struct pawl_plan;

/* Stands for "no such number" in the fields of struct pawl_placement. */
#define PAWL_PLACE_NONE (~0u)

/* Which machine to look at. At most one member is set; neither means this machine. */
struct pawl_topology_source {
    const char *synthetic; /* a made-up one, in hwloc's words: "pack:2 numa:1 l3:8 core:8 pu:1" */
    const char *xml_path;  /* one saved by `lstopo --of xml FILE` */
};

/* The size of a topology, counted over the cpus that may be used. */
struct pawl_topology_summary {
    unsigned packages;
    unsigned nodes;     /* NUMA nodes */
    unsigned l3_groups; /* sets of cores that share a last-level cache */
    unsigned cores;
    unsigned cpus;  /* hardware threads */
    unsigned kinds; /* kinds of core, told apart by their efficiency; 1 on most machines */
    bool smt;       /* some core has two or more cpus that may be used */
};

/*
 * pawl_topology_open - read a machine.
 *
 * Of this machine only the cpus count that the cgroup's cpuset allows and that are in the affinity
 * mask of the calling thread. The call takes milliseconds and leaves that mask as it is. Without a
 * source, the environment variables of hwloc (HWLOC_XMLFILE, HWLOC_SYNTHETIC, ...) can put another
 * machine in the place of this one; the affinity mask then says nothing about it and is not applied
 * (unless HWLOC_THISSYSTEM=1), and threads planned for it may find no such cpu to be pinned to.
 *
 * @source: the machine, or NULL for this one.
 * @out:    the topology, to be closed with pawl_topology_close; unchanged on an error.
 *
 * Thread:  any.
 * Returns: 0; -EINVAL when two sources are given, or the synthetic description makes no sense;
 *          -ENOENT when there is no such XML file; -EBADMSG when it is not a topology; -EIO when
 *          the file or the machine cannot be read; -ENOTSUP when no cpu of it may be used;
 *          -ENOMEM.
 */
PAWL_API int pawl_topology_open(const struct pawl_topology_source *source,
                                struct pawl_topology **out);

/* pawl_topology_close - frees it; plans made from it live on. NULL is allowed. Thread: any. */
PAWL_API void pawl_topology_close(struct pawl_topology *topology);

/* pawl_topology_summarize - counts what there is. Thread: any. */
PAWL_API void pawl_topology_summarize(const struct pawl_topology *topology,
                                      struct pawl_topology_summary *out);

/* What a plan is asked for. All zero is valid: one shard per core and nothing beside them. */
struct pawl_plan_request {
    unsigned shards;     /* 1 .. 1024, or 0: as rule 4 says */
    unsigned io_threads; /* 0 .. 1024 */
    bool monitor;        /* there will be a monitor thread */
};

/* Why a thread is where it is. */
enum pawl_place {
    PAWL_PLACE_CORE,         /* shard: the first on its physical core */
    PAWL_PLACE_SIBLING,      /* SMT sibling: a shard, named in `beside`, is on the same core */
    PAWL_PLACE_SHARED,       /* shard: second or later on its cpu; there are too few cpus */
    PAWL_PLACE_HOUSEKEEPING, /* monitor, I/O: a core without any shard */
    PAWL_PLACE_FLOATING,     /* monitor, I/O: any cpu; none is free of shards */
};

/* Where one thread goes. Members may be added at the end: never copy or allocate it yourself. */
struct pawl_placement {
    enum pawl_place why;
    unsigned cpu_count;   /* 1, unless floating */
    const unsigned *cpus; /* operating system's numbers, ascending: the affinity to set */
    unsigned package;     /* numbered from 0 in the machine's order; NONE when floating */
    unsigned node;        /* operating system's number of the NUMA node; NONE when floating */
    unsigned l3;          /* numbered from 0 in the machine's order; NONE when floating */
    unsigned core;        /* numbered from 0 in the machine's order; NONE when floating */
    unsigned kind;        /* kind of core, 0 is the fastest; NONE when floating */
    unsigned beside;      /* the lowest other shard on the same core, or NONE */
    bool shares_core;     /* a shard, other than this thread itself, is on the same core */
    bool oversubscribed;  /* shard: another shard is on the same cpu */
};

/*
 * pawl_plan_create - decide where every thread goes, by the rules at the head of this file. The
 * same topology and request always give the same plan.
 *
 * @out:    the plan, to be destroyed with pawl_plan_destroy; unchanged on an error. It does not
 *          need the topology any more.
 *
 * Thread:  any.
 * Returns: 0; -EINVAL when a number is out of its range; -ENOMEM.
 */
PAWL_API int pawl_plan_create(const struct pawl_topology *topology,
                              const struct pawl_plan_request *request, struct pawl_plan **out);

/* pawl_plan_destroy - frees it and every placement taken from it. NULL is allowed. Thread: any. */
PAWL_API void pawl_plan_destroy(struct pawl_plan *plan);

/* How many shards and I/O threads the plan has. Thread: any. */
PAWL_API unsigned pawl_plan_shards(const struct pawl_plan *plan);
PAWL_API unsigned pawl_plan_io_threads(const struct pawl_plan *plan);

/*
 * pawl_plan_shard, pawl_plan_monitor, pawl_plan_io - where one thread goes.
 *
 * Thread:   any.
 * Returns:  the placement, or NULL when the plan has no such shard, monitor or I/O thread.
 * Lifetime: until the plan is destroyed.
 */
PAWL_API const struct pawl_placement *pawl_plan_shard(const struct pawl_plan *plan, unsigned shard);
PAWL_API const struct pawl_placement *pawl_plan_monitor(const struct pawl_plan *plan);
PAWL_API const struct pawl_placement *pawl_plan_io(const struct pawl_plan *plan, unsigned io);

/* pawl_place_name - one word for a reason: "core", "sibling", "shared", "housekeeping",
 * "floating". Thread: any. */
PAWL_API const char *pawl_place_name(enum pawl_place why);

/*
 * pawl_plan_explain - the plan in words: a line on the whole, then one line per thread with its
 * place and the reason.
 *
 * @buffer: receives the text as snprintf would write it: cut to fit, always ended by a NUL. May be
 *          NULL when size is 0.
 * @size:   bytes at buffer.
 *
 * Thread:  any.
 * Returns: the length of the whole text without the NUL (the text was cut when that is not below
 *          size); -EINVAL when plan is NULL, or buffer is and size is not 0.
 */
PAWL_API int pawl_plan_explain(const struct pawl_plan *plan, char *buffer, size_t size);

/*
 * pawl_plan_draw - the plan as a drawing for a terminal, in UTF-8 box characters: packages, NUMA
 * nodes, L3 groups and cores as boxes, and in each core a row per cpu with what runs on it.
 *
 * @columns: the width to keep to; below 40 counts as 40, 0 means 100. A line of the legend may
 *           take 80.
 * The other parameters and the thread are as for pawl_plan_explain. A cut may fall inside a
 * character.
 *
 * Returns: as pawl_plan_explain, and -ENOMEM.
 */
PAWL_API int pawl_plan_draw(const struct pawl_plan *plan, unsigned columns, char *buffer,
                            size_t size);

PAWL_END_DECLS

#endif /* PAWL_TOPOLOGY_H */
