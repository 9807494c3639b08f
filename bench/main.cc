/*
 * main.cc - registers the rows of the kernels, which are C, with google-benchmark, which is not.
 *
 *   pawl_bench [--scale=smoke|quick|full] [--benchmark_...]
 *   pawl_bench [--scale=...] --rows        what there is, as JSON, for bench/run
 *
 * A benchmark is called ROW/CONTENDER. One iteration is one round of a kernel, which times itself.
 * Contenders are opened when they first run and stay open to the end, and one round that is not
 * counted comes first, so repetitions are rounds of the same live thing; they are interleaved at random.
 * Rows that take much memory should run alone (--benchmark_filter=^ROW/), as bench/run does it.
 */
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "harness.h"
#include "machine.h"
#include "rows.h"

namespace
{

struct Live {
    const bench_row *row;
    const bench_contender *contender;
    void *state = nullptr;
    bool open = false;
};

void run_round(Live &live, bench_sample &sample)
{
    sample = bench_sample{};
    live.contender->run(live.state, &sample);
    if (sample.operations == 0 || !(sample.seconds > 0))
        bench_fail("%s/%s did nothing", live.row->name, live.contender->name);
}

void run(benchmark::State &state, Live &live)
{
    bench_sample sample;

    bench_pin(bench_cpu(0));
    if (!live.open) {
        live.open = true;
        if (live.contender->open != nullptr)
            live.state = live.contender->open(live.row, live.contender);
        run_round(live, sample);
    }
    for (auto unused : state) {
        (void)unused;
        const double line = (live.row->flags & BENCH_CROSS_CORE) != 0 ? bench_line_ns() : 0;
        const bool counting = bench_instructions_start();

        run_round(live, sample);
        if (counting)
            bench_count(&sample, "instructions",
                        double(bench_instructions_stop()) / double(sample.operations));
        if (line > 0)
            bench_count(&sample, "line_ns", line);
        state.SetIterationTime(sample.seconds);
    }
    state.SetItemsProcessed(int64_t(sample.operations));
    state.counters["ns"] = sample.seconds * 1e9 / double(sample.operations);
    for (unsigned i = 0; i < sample.counter_count; i++)
        state.counters[sample.counters[i].name] = sample.counters[i].value;
    bench_unpin();
}

/* Text between quotes in JSON. */
std::string quoted(const char *text)
{
    std::string out = "\"";

    for (const char *at = text != nullptr ? text : ""; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            out += '\\';
        if (static_cast<unsigned char>(*at) >= ' ')
            out += *at;
    }
    return out + '"';
}

void print_row(const bench_row &row)
{
    std::printf("{\"name\": %s, \"title\": %s, \"group\": %s, \"unit\": %s, \"metric\": %s, "
                "\"size\": %llu,\n",
                quoted(row.name).c_str(), quoted(row.title).c_str(), quoted(row.group).c_str(),
                quoted(row.unit).c_str(), quoted(row.metric).c_str(),
                static_cast<unsigned long long>(row.size));
    std::printf(" \"less_is_better\": %s, \"cross_core\": %s, \"full_only\": %s,\n",
                (row.flags & BENCH_LESS_IS_BETTER) != 0 ? "true" : "false",
                (row.flags & BENCH_CROSS_CORE) != 0 ? "true" : "false",
                (row.flags & BENCH_FULL_ONLY) != 0 ? "true" : "false");
    std::printf(" \"goal\": %.17g, \"goal_of\": %s,\n \"contenders\": [", row.goal.value,
                quoted(row.goal.of).c_str());
    for (unsigned i = 0; i < row.contender_count; i++)
        std::printf("%s\n  {\"name\": %s, \"semantics\": %s, \"absent\": %s}", i > 0 ? "," : "",
                    quoted(row.contenders[i].name).c_str(),
                    quoted(row.contenders[i].semantics).c_str(),
                    quoted(row.contenders[i].absent).c_str());
    std::printf("]}");
}

void print_rows()
{
    std::printf("[");
    for (unsigned i = 0; i < bench_row_count(); i++) {
        std::printf("%s", i > 0 ? ",\n" : "");
        print_row(*bench_row_at(i));
    }
    std::printf("]\n");
}

int usage(const char *unknown)
{
    std::fprintf(stderr,
                 "pawl_bench: unknown argument '%s'\n"
                 "usage: pawl_bench [--scale=smoke|quick|full] [--rows] [--benchmark_...]\n",
                 unknown);
    return 2;
}

} // namespace

int main(int argc, char **argv)
{
    std::vector<char *> arguments = {argv[0]};
    std::vector<std::unique_ptr<Live>> lives;
    std::string defaults[] = {"--benchmark_enable_random_interleaving=true",
                              "--benchmark_repetitions=5"};
    bool list = false;
    int count;

    bench_set_scale(BENCH_QUICK);
    for (std::string &flag : defaults)
        arguments.push_back(&flag[0]);
    for (int i = 1; i < argc; i++) {
        if (std::strcmp(argv[i], "--scale=smoke") == 0)
            bench_set_scale(BENCH_SMOKE);
        else if (std::strcmp(argv[i], "--scale=quick") == 0)
            bench_set_scale(BENCH_QUICK);
        else if (std::strcmp(argv[i], "--scale=full") == 0)
            bench_set_scale(BENCH_FULL);
        else if (std::strcmp(argv[i], "--rows") == 0)
            list = true;
        else if (std::strncmp(argv[i], "--benchmark_", 12) == 0)
            arguments.push_back(argv[i]);
        else
            return usage(argv[i]);
    }
    bench_rows_add();
    if (list) {
        print_rows();
        return 0;
    }
    bench_machine_describe(
        [](const char *key, const char *value) { benchmark::AddCustomContext(key, value); });
    count = int(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    for (unsigned r = 0; r < bench_row_count(); r++) {
        const bench_row *row = bench_row_at(r);

        for (unsigned c = 0; c < row->contender_count; c++) {
            if (row->contenders[c].absent != nullptr)
                continue;
            lives.push_back(std::make_unique<Live>());
            Live &live = *lives.back();
            live.row = row;
            live.contender = &row->contenders[c];
            benchmark::RegisterBenchmark(
                (std::string(row->name) + "/" + live.contender->name).c_str(),
                [&live](benchmark::State &state) { run(state, live); })
                ->Iterations(1)
                ->UseManualTime();
        }
    }
    if (benchmark::RunSpecifiedBenchmarks() == 0) {
        std::fprintf(stderr, "pawl_bench: no row has that name; --rows lists them\n");
        return 2;
    }
    for (auto &live : lives)
        if (live->open && live->contender->close != nullptr)
            live->contender->close(live->state);
    return 0;
}
