/*
 * keys.cc - Pawl from C++: a task under a caller's key is created once, found and peeked.
 */
#include <cstdio>
#include <cstring>

#include <pawl/pawl.h>

namespace
{

const char *const events[] = {"touch"};

void touch(pawl_step *, void *context, const pawl_event *)
{
    ++*static_cast<uint64_t *>(context);
}

pawl_machine *compile()
{
    pawl_state_def state{};
    pawl_transition_def transition{};
    pawl_machine_def definition{};
    pawl_machine *machine = nullptr;

    state.name = "alive";
    transition.from = "alive";
    transition.on = "touch";
    transition.action = touch;
    definition.name = "session";
    definition.events = events;
    definition.events_count = 1;
    definition.states = &state;
    definition.states_count = 1;
    definition.transitions = &transition;
    definition.transitions_count = 1;
    definition.context_size = sizeof(uint64_t);
    return pawl_machine_compile(&definition, nullptr, nullptr, &machine) == 0 ? machine : nullptr;
}

} // namespace

int main()
{
    static const char key[] = "session/42";
    const pawl_machine *machines[1];
    pawl_machine *machine = compile();
    pawl_runtime *runtime = nullptr;
    pawl_task first{}, second{}, found{};
    pawl_task_spec spec{};
    pawl_options options = PAWL_OPTIONS_INIT;

    if (machine == nullptr)
        return 1;
    machines[0] = machine;
    options.machines = machines;
    options.machine_count = 1;
    if (pawl_open(&options, &runtime) != 0 || pawl_start(runtime) != 0)
        return 1;
    spec.key = key;
    spec.key_size = std::strlen(key);
    const int created = pawl_task_create(runtime, &spec, &first);
    const int again = pawl_task_create(runtime, &spec, &second);
    const int seen = pawl_task_find(runtime, key, spec.key_size, &found);
    std::printf("created: %s; again: %s; found: %s\n", pawl_strerror(created), pawl_strerror(again),
                pawl_strerror(seen));
    pawl_close(runtime);
    pawl_machine_destroy(machine);
    return created == 0 && again == -EEXIST && second.id == first.id && found.id == first.id ? 0
                                                                                             : 1;
}
