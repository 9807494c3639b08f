/*
 * machine.h - what the machine and the build are, for the head of every report.
 */
#ifndef PAWL_BENCH_MACHINE_H
#define PAWL_BENCH_MACHINE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Calls `tell` for each fact; both texts are valid during the call only. */
void bench_machine_describe(void (*tell)(const char *key, const char *value));

#ifdef __cplusplus
}
#endif

#endif
