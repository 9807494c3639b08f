/*
 * compile.c - from a definition to a compiled machine: the order of the phases.
 *
 *   names       source.c    resolve, nesting, limits
 *   structure   check.c     what hides what
 *   tables      flatten.c   rows and cells
 *   behaviour   check.c     reachable, trapped, waiting, recalled; on the rows
 *               lane_states.c  what a lane needs; on the rows
 *               raises.c    chains of raised events; on the rows
 *
 * The first phase must find no error for the others to run: what a misspelt name makes unreachable
 * would be noise. All findings of the phases that ran are told, in the order of the tables.
 */
#include "machine/compile.h"

#include "machine/check.h"
#include "machine/findings.h"
#include "machine/flatten.h"
#include "machine/hash.h"
#include "machine/lane_states.h"
#include "machine/raises.h"
#include "machine/source.h"

static struct pawl_machine *build(struct machine_source *source, struct findings *findings)
{
    struct pawl_machine *machine;
    const struct origin *origins;

    pawl__check_structure(source, findings);
    machine = pawl__flatten(source, findings, &origins);
    if (!machine)
        return NULL;
    pawl__check_behaviour(machine, origins, findings);
    pawl__check_lanes(machine, origins, findings);
    pawl__check_raises(machine, origins, findings);
    machine->hash = pawl__machine_hash(source);
    return machine;
}

static void compile(const struct pawl_machine_def *definition, const struct allocator *allocator,
                    struct findings *findings, struct pawl_machine **machine)
{
    struct machine_source *const source = pawl__source_create(definition, findings, allocator);

    if (!source)
        return;
    if (!findings->errors)
        *machine = build(source, findings);
    if (!*machine || findings->errors || findings->out_of_memory) {
        *machine = NULL;
        pawl__source_destroy(source);
    }
}

int pawl__machine_compile(const struct pawl_machine_def *definition, pawl_diagnostic_fn *diagnose,
                          void *user, const struct allocator *allocator,
                          struct pawl_machine **machine)
{
    struct findings findings;
    struct blocks scratch;
    int error;

    if (machine)
        *machine = NULL;
    if (!definition || !machine) {
        const struct pawl_diagnostic diagnostic = {
            -EINVAL, "machine",
            definition ? "the place for the compiled machine is NULL; give the address of a pointer"
                       : "the definition is NULL; give the address of one"};

        if (diagnose)
            diagnose(user, &diagnostic);
        return -EINVAL;
    }
    pawl__blocks_init(&scratch, allocator);
    pawl__findings_init(&findings, definition, &scratch);
    compile(definition, allocator, &findings, machine);
    error = pawl__findings_tell(&findings, diagnose, user);
    pawl__blocks_fini(&scratch);
    return error;
}

int pawl_machine_compile(const struct pawl_machine_def *definition, pawl_diagnostic_fn *diagnose,
                         void *user, struct pawl_machine **machine)
{
    return pawl__machine_compile(definition, diagnose, user, &pawl__allocator_libc, machine);
}
