/*
 * topo.c - `pawl topo`: the placement plan for this machine or another, in words and as a drawing,
 * or as JSON. It uses only the public interface.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <pawl/topology.h>

#include "tool.h"

#define THREADS_MOST 1024 /* what pawl_plan_create takes, for shards and for I/O threads */

static const char usage[] =
    "Usage: pawl topo [OPTION]...\n"
    "\n"
    "Prints where a runtime puts its threads: which cpu each shard, the monitor and each\n"
    "I/O thread gets, and why. Only cpus that this process may use are counted.\n"
    "\n"
    "  -s, --synthetic SPEC  plan for a made-up machine, described as for hwloc:\n"
    "                        \"pack:2 numa:1 l3:8 core:8 pu:1\" is 2 sockets of 64 cores\n"
    "  -x, --xml FILE        plan for a machine saved by `lstopo --of xml FILE`\n"
    "  -n, --shards N        plan for N shards, 1 to 1024 (default: by the number of cores)\n"
    "  -i, --io-threads N    plan for N I/O threads, 0 to 1024 (default: 1)\n"
    "  -j, --json            print one JSON object instead\n"
    "  -h, --help            print this text\n"
    "  -V, --version         print the version\n"
    "\n"
    "Exit status: 0 on success, 1 when the machine cannot be read, 2 on wrong usage.\n";

struct options {
    struct pawl_topology_source source;
    struct pawl_plan_request request;
    bool json;
};

/* Returns -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"synthetic", required_argument, NULL, 's'},
        {"xml", required_argument, NULL, 'x'},
        {"shards", required_argument, NULL, 'n'},
        {"io-threads", required_argument, NULL, 'i'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    uint64_t number;
    int option;

    optind = 0; /* the dispatcher may have used getopt before: start afresh */
    while ((option = getopt_long(argc, argv, "s:x:n:i:jhV", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options->source.synthetic = optarg;
            break;
        case 'x':
            options->source.xml_path = optarg;
            break;
        case 'n':
            if (!tool_parse_u64(argv[0], "--shards", optarg, 1, THREADS_MOST, &number))
                return TOOL_USAGE;
            options->request.shards = (unsigned)number;
            break;
        case 'i':
            if (!tool_parse_u64(argv[0], "--io-threads", optarg, 0, THREADS_MOST, &number))
                return TOOL_USAGE;
            options->request.io_threads = (unsigned)number;
            break;
        case 'j':
            options->json = true;
            break;
        default:
            return tool_option(argv[0], option, usage);
        }
    }
    if (optind < argc)
        return tool_usage(argv[0],
                          "unexpected argument '%s': topo takes options only, and a description "
                          "with blanks needs quotes",
                          argv[optind]);
    if (options->source.synthetic && options->source.xml_path)
        return tool_usage(argv[0], "--synthetic and --xml exclude each other: give one of them");
    return -1;
}

/* Says what failed, where, why, and what to do. */
static int fail_open(const char *command, const struct pawl_topology_source *source, int error)
{
    const char *why = error == -EINVAL    ? "it makes no sense"
                      : error == -EBADMSG ? "it is not a topology"
                      : error == -ENOTSUP ? "none of its cpus may be used"
                                          : strerror(-error);

    if (source->synthetic)
        return tool_fail(command,
                         "cannot read the synthetic description '%s': %s; write levels as "
                         "type:count from the outside in, as in \"pack:2 numa:1 l3:8 core:8 pu:1\"",
                         source->synthetic, why);
    if (source->xml_path)
        return tool_fail(command,
                         "cannot read the topology in '%s': %s; give a readable file written by "
                         "`lstopo --of xml FILE`",
                         source->xml_path, why);
    return tool_fail(command,
                     "cannot read this machine's topology: %s; see whether lstopo works, and "
                     "whether HWLOC_ variables are set by mistake",
                     why);
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* A number that may be missing. */
static void print_json_number(const char *key, unsigned value)
{
    if (value == PAWL_PLACE_NONE)
        printf(",\"%s\":null", key);
    else
        printf(",\"%s\":%u", key, value);
}

static void print_json_placement(const struct pawl_placement *place)
{
    printf("\"why\":\"%s\",\"cpus\":[", pawl_place_name(place->why));
    for (unsigned i = 0; i < place->cpu_count; i++)
        printf("%s%u", i ? "," : "", place->cpus[i]);
    putchar(']');
    print_json_number("core", place->core);
    print_json_number("l3", place->l3);
    print_json_number("node", place->node);
    print_json_number("package", place->package);
    print_json_number("kind", place->kind);
    print_json_number("beside", place->beside);
    printf(",\"shares_core\":%s", truth(place->shares_core));
}

static void print_json_topology(const struct pawl_topology_source *source,
                                const struct pawl_topology_summary *summary)
{
    const char *name = source->synthetic ? source->synthetic : source->xml_path;

    printf("{\"topology\":{\"source\":\"%s\",\"name\":", source->synthetic  ? "synthetic"
                                                         : source->xml_path ? "xml"
                                                                            : "machine");
    if (name)
        tool_json_string(stdout, name);
    else
        fputs("null", stdout);
    printf(",\"packages\":%u,\"nodes\":%u,\"l3_groups\":%u,\"cores\":%u,\"cpus\":%u,\"kinds\":%u,"
           "\"smt\":%s}",
           summary->packages, summary->nodes, summary->l3_groups, summary->cores, summary->cpus,
           summary->kinds, truth(summary->smt));
}

static void print_json(const struct pawl_topology_source *source,
                       const struct pawl_topology_summary *summary, const struct pawl_plan *plan)
{
    const struct pawl_placement *monitor = pawl_plan_monitor(plan);

    print_json_topology(source, summary);
    fputs(",\"shards\":[", stdout);
    for (unsigned s = 0; s < pawl_plan_shards(plan); s++) {
        const struct pawl_placement *place = pawl_plan_shard(plan, s);

        printf("%s{\"shard\":%u,\"cpu\":%u,", s ? "," : "", s, place->cpus[0]);
        print_json_placement(place);
        printf(",\"oversubscribed\":%s}", truth(place->oversubscribed));
    }
    fputs("],\"monitor\":", stdout);
    if (monitor) {
        putchar('{');
        print_json_placement(monitor);
        putchar('}');
    } else {
        fputs("null", stdout);
    }
    fputs(",\"io\":[", stdout);
    for (unsigned i = 0; i < pawl_plan_io_threads(plan); i++) {
        printf("%s{\"io\":%u,", i ? "," : "", i);
        print_json_placement(pawl_plan_io(plan, i));
        putchar('}');
    }
    fputs("]}\n", stdout);
}

/* The width of the terminal; 0, the plan's own default, where the output is none. */
static unsigned terminal_columns(void)
{
    struct winsize window;

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &window))
        return 0;
    return window.ws_col;
}

/* One of the plan's two texts; they are written twice, first to learn the length. */
static int print_text(const struct pawl_plan *plan, bool drawing)
{
    const unsigned columns = terminal_columns();
    const int length =
        drawing ? pawl_plan_draw(plan, columns, NULL, 0) : pawl_plan_explain(plan, NULL, 0);
    const size_t size = (size_t)length + 1;
    char *text;
    int rc;

    if (length < 0)
        return length;
    text = malloc(size);
    if (!text)
        return -ENOMEM;
    rc = drawing ? pawl_plan_draw(plan, columns, text, size) : pawl_plan_explain(plan, text, size);
    if (rc >= 0)
        fputs(text, stdout);
    free(text);
    return rc < 0 ? rc : 0;
}

static int print_plan(const struct options *options, const struct pawl_topology *topology,
                      const struct pawl_plan *plan)
{
    struct pawl_topology_summary summary;
    int rc;

    if (options->json) {
        pawl_topology_summarize(topology, &summary);
        print_json(&options->source, &summary, plan);
        return 0;
    }
    rc = print_text(plan, false);
    if (rc)
        return rc;
    putchar('\n');
    return print_text(plan, true);
}

int cmd_topo(int argc, char **argv)
{
    struct options options = {.request = {.io_threads = 1, .monitor = true}};
    struct pawl_topology *topology;
    struct pawl_plan *plan;
    int rc = parse(argc, argv, &options);

    if (rc >= 0)
        return rc;
    rc = pawl_topology_open(&options.source, &topology);
    if (rc)
        return fail_open(argv[0], &options.source, rc);
    rc = pawl_plan_create(topology, &options.request, &plan);
    if (!rc) {
        rc = print_plan(&options, topology, plan);
        pawl_plan_destroy(plan);
    }
    pawl_topology_close(topology);
    return rc ? tool_fail(argv[0], "cannot make the plan: %s", strerror(-rc)) : TOOL_OK;
}
