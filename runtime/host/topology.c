/*
 * topology.c - reads the machine with hwloc, and is the only file that knows hwloc.
 *
 * Two decisions a reader may question. First, hwloc is told not to change the binding of the
 * calling thread while it looks (a guest has no business moving its host's thread from cpu to
 * cpu); Linux tells through sysfs all that a plan needs. Second, the affinity mask of the calling
 * thread is applied here once more, although hwloc is asked to: hwloc asks for the mask of the
 * whole process and gives up silently when its threads differ, which they do in a host that pins
 * threads of its own.
 *
 * Owner: the caller; nothing is shared. Limits: memory only.
 */
#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "host/topology.h"

#if HWLOC_API_VERSION < 0x00020500
#error "hwloc 2.5 or later is needed"
#endif

#define KINDS_MAX 64u /* further kinds of core count as the slowest */

/* hwloc says why through errno; only lack of memory is told apart from a general failure. */
static int hwloc_error(int otherwise)
{
    return errno == ENOMEM ? -ENOMEM : otherwise;
}

static int set_xml(hwloc_topology_t tree, const char *path)
{
    /* hwloc tells an unreadable file from a bad one by nothing, so look first. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : -EIO;
    close(fd);
    errno = 0;
    return hwloc_topology_set_xml(tree, path) ? hwloc_error(-EBADMSG) : 0;
}

static int set_this_machine(hwloc_topology_t tree)
{
    const unsigned long flags = HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM |
                                HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING |
                                HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING;

    return hwloc_topology_set_flags(tree, flags) ? hwloc_error(-EIO) : 0;
}

/* Loads the tree that @source names. */
static int load(hwloc_topology_t tree, const struct pawl_topology_source *source)
{
    int unreadable = -EIO;
    int rc;

    errno = 0;
    if (source && source->synthetic) {
        unreadable = -EINVAL;
        rc = hwloc_topology_set_synthetic(tree, source->synthetic) ? hwloc_error(-EINVAL) : 0;
    } else if (source && source->xml_path) {
        unreadable = -EBADMSG;
        rc = set_xml(tree, source->xml_path);
    } else {
        rc = set_this_machine(tree);
    }
    if (rc)
        return rc;
    errno = 0;
    return hwloc_topology_load(tree) ? hwloc_error(unreadable) : 0;
}

/* The cpus to look at: of this machine, those the calling thread may run on. */
static int usable_cpus(hwloc_topology_t tree, bool this_machine, hwloc_bitmap_t usable)
{
    if (hwloc_bitmap_copy(usable, hwloc_topology_get_allowed_cpuset(tree)))
        return -ENOMEM;
    if (this_machine) {
        hwloc_bitmap_t mask = hwloc_bitmap_alloc();

        if (!mask)
            return -ENOMEM;
        /* Of a machine that hwloc was told to make up this is the mask of all its cpus. */
        if (!hwloc_get_cpubind(tree, mask, HWLOC_CPUBIND_THREAD))
            hwloc_bitmap_and(usable, usable, mask);
        hwloc_bitmap_free(mask);
    }
    return hwloc_bitmap_iszero(usable) ? -ENOTSUP : 0;
}

/* The NUMA node nearest to a cpu: of several at one place (say DRAM and HBM) the first. */
static hwloc_obj_t node_of(hwloc_obj_t cpu)
{
    for (hwloc_obj_t above = cpu; above; above = above->parent) {
        hwloc_obj_t memory = above->memory_first_child;

        /* A memory-side cache stands between its parent and the node. */
        while (memory && memory->type != HWLOC_OBJ_NUMANODE)
            memory = memory->memory_first_child;
        if (memory)
            return memory;
    }
    return NULL;
}

/* Kinds are numbered by hwloc from the slowest to the fastest, where it can rank them at all. */
static unsigned kind_of(hwloc_topology_t tree, hwloc_obj_t cpu)
{
    const int count = hwloc_cpukinds_get_nr(tree, 0);
    const int kind = count > 1 ? hwloc_cpukinds_get_by_cpuset(tree, cpu->cpuset, 0) : -1;
    int efficiency = -1;

    if (kind < 0 || hwloc_cpukinds_get_info(tree, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0))
        return 0;
    return efficiency < 0 ? 0 : (unsigned)(count - 1 - kind);
}

/* Numbers the kinds that are present 0, 1, ... in their order; the others may not be usable. */
static void make_kinds_dense(struct pawl_topology *topology)
{
    unsigned dense[KINDS_MAX] = {0};
    unsigned next = 0;

    for (unsigned i = 0; i < topology->pu_count; i++) {
        if (topology->pus[i].kind >= KINDS_MAX)
            topology->pus[i].kind = KINDS_MAX - 1;
        dense[topology->pus[i].kind] = 1;
    }
    for (unsigned k = 0; k < KINDS_MAX; k++)
        if (dense[k])
            dense[k] = next++;
    for (unsigned i = 0; i < topology->pu_count; i++)
        topology->pus[i].kind = dense[topology->pus[i].kind];
}

/* What stands above one cpu in hwloc's tree; NULL where the machine does not tell. */
struct above {
    hwloc_obj_t package, node, l3, core;
};

static struct above look_up(hwloc_topology_t tree, hwloc_obj_t cpu)
{
    return (struct above){
        .package = hwloc_get_ancestor_obj_by_type(tree, HWLOC_OBJ_PACKAGE, cpu),
        .node = node_of(cpu),
        .l3 = hwloc_get_ancestor_obj_by_type(tree, HWLOC_OBJ_L3CACHE, cpu),
        .core = hwloc_get_ancestor_obj_by_type(tree, HWLOC_OBJ_CORE, cpu),
    };
}

/*
 * Describes a cpu, given the one before it in hwloc's logical order. In that order the cpus below
 * any object are neighbours, so "a new number when the object changes" numbers objects densely.
 */
static struct pu describe(const struct pu *last, const struct above *was, const struct above *is)
{
    const bool new_place = is->package != was->package || is->node != was->node;
    const bool new_core = !is->core || is->core != was->core;
    struct pu pu = {
        .package = last->package + (is->package != was->package),
        .node = last->node + (is->node != was->node),
        .l3 = last->l3 + (is->l3 ? is->l3 != was->l3 : was->l3 || new_place),
        .core = last->core + new_core,
        .smt = new_core ? 0 : last->smt + 1,
    };

    return pu;
}

/* Turns hwloc's tree into the list of cpus. */
static int extract(hwloc_topology_t tree, bool this_machine, struct pawl_topology **out)
{
    const int total = hwloc_get_nbobjs_by_type(tree, HWLOC_OBJ_PU);
    hwloc_bitmap_t usable = hwloc_bitmap_alloc();
    struct pawl_topology *topology = NULL;
    struct above was = {0};
    int rc;

    rc = usable ? usable_cpus(tree, this_machine, usable) : -ENOMEM;
    if (rc)
        goto out;
    CHECK(total > 0);
    topology = calloc(1, sizeof(*topology) + (size_t)total * sizeof(topology->pus[0]));
    if (!topology) {
        rc = -ENOMEM;
        goto out;
    }

    for (hwloc_obj_t cpu = hwloc_get_next_obj_by_type(tree, HWLOC_OBJ_PU, NULL); cpu;
         cpu = hwloc_get_next_obj_by_type(tree, HWLOC_OBJ_PU, cpu)) {
        struct above is = look_up(tree, cpu);
        struct pu *pu = &topology->pus[topology->pu_count];

        if (!hwloc_bitmap_isset(usable, cpu->os_index))
            continue;
        if (topology->pu_count)
            *pu = describe(pu - 1, &was, &is);
        pu->os = cpu->os_index;
        pu->node_os = is.node ? is.node->os_index : 0;
        pu->kind = kind_of(tree, cpu);
        was = is;
        topology->pu_count++;
    }
    if (!topology->pu_count) {
        rc = -ENOTSUP;
        goto out;
    }
    make_kinds_dense(topology);
    *out = topology;
    topology = NULL;
out:
    free(topology);
    hwloc_bitmap_free(usable);
    return rc;
}

int pawl_topology_open(const struct pawl_topology_source *source, struct pawl_topology **out)
{
    const bool this_machine = !source || (!source->synthetic && !source->xml_path);
    hwloc_topology_t tree;
    int rc;

    if (!out || (source && source->synthetic && source->xml_path))
        return -EINVAL;
    if (hwloc_topology_init(&tree))
        return -ENOMEM;
    rc = load(tree, source);
    if (!rc)
        rc = extract(tree, this_machine, out);
    hwloc_topology_destroy(tree);
    return rc;
}

void pawl_topology_close(struct pawl_topology *topology)
{
    free(topology);
}

void pawl_topology_summarize(const struct pawl_topology *topology,
                             struct pawl_topology_summary *out)
{
    const struct pu *last = &topology->pus[topology->pu_count - 1];

    *out = (struct pawl_topology_summary){
        .packages = last->package + 1,
        .nodes = last->node + 1,
        .l3_groups = last->l3 + 1,
        .cores = last->core + 1,
        .cpus = topology->pu_count,
        .kinds = 1,
    };
    for (unsigned i = 0; i < topology->pu_count; i++) {
        const struct pu *pu = &topology->pus[i];

        out->smt = out->smt || pu->smt > 0;
        if (pu->kind + 1 > out->kinds)
            out->kinds = pu->kind + 1;
    }
}
