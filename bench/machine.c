/*
 * machine.c - the facts that decide how far two reports can be compared.
 */
#include "machine.h"

#include <pawl/pawl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "harness.h"

typedef void tell_fn(const char *key, const char *value);

/* The first line of a file, or of the first line in it that begins with `prefix`, what comes after. */
static void tell_line(tell_fn *tell, const char *key, const char *path, const char *prefix)
{
    FILE *file = fopen(path, "r");
    char line[512];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *value = line + strlen(prefix);

        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        value += strspn(value, " \t:");
        value[strcspn(value, "\n")] = '\0';
        tell(key, value);
        fclose(file);
        return;
    }
    if (file != NULL)
        fclose(file);
    tell(key, "unknown");
}

void bench_machine_describe(tell_fn *tell)
{
    struct utsname kernel;
    struct sysinfo info;
    char text[128];

    tell_line(tell, "processor", "/proc/cpuinfo", "model name");
    snprintf(text, sizeof(text), "%u", bench_cpu_count());
    tell("cpus", text);
    if (sysinfo(&info) == 0) {
        snprintf(text, sizeof(text), "%.1f", (double)info.totalram * info.mem_unit / 1e9);
        tell("memory_gb", text);
    }
    if (uname(&kernel) == 0)
        tell("kernel", kernel.release);
    tell_line(tell, "governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "");
    tell_line(tell, "huge_pages", "/sys/kernel/mm/transparent_hugepage/enabled", "");
    tell_line(tell, "load", "/proc/loadavg", "");
    snprintf(text, sizeof(text), "%.0f", bench_line_ns());
    tell("line_ns", text);
    tell("instructions", bench_instructions_start() ? "counted" : "not countable here");
#ifdef __clang__
    tell("compiler", "clang " __clang_version__);
#else
    tell("compiler", "gcc " __VERSION__);
#endif
    tell("pawl", PAWL_VERSION);
    tell("scale", bench_scale() == BENCH_FULL    ? "full"
                  : bench_scale() == BENCH_QUICK ? "quick"
                                                 : "smoke");
}
