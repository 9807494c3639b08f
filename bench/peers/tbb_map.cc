/*
 * tbb_map.cc - oneTBB's concurrent_hash_map, from C. Each look-up locks its element, which is how
 * this map lets elements be changed and erased while others read.
 */
#include <tbb/concurrent_hash_map.h>

#include <cstdlib>
#include <new>

extern "C" {
#include "base/bits.h"
}
#include "harness.h"
#include "peers/tables.h"

namespace
{

struct Mixed {
    static std::size_t hash(const uint64_t &key)
    {
        return mix64(key);
    }
    static bool equal(const uint64_t &a, const uint64_t &b)
    {
        return a == b;
    }
};

/* The value of a map of tasks is the address of the record. */
using Map = tbb::concurrent_hash_map<uint64_t, uint64_t, Mixed>;

Map &map_of(void *table)
{
    return *static_cast<Map *>(table);
}

table_task *task_of(uint64_t value)
{
    return reinterpret_cast<table_task *>(value);
}

void put(Map &map, uint64_t key, uint64_t value)
{
    if (!map.insert(Map::value_type(key, value)))
        bench_fail("tbb: a key is there twice");
}

table_task *task_create(uint64_t id)
{
    auto *task = static_cast<table_task *>(std::malloc(sizeof(table_task)));

    if (task == nullptr)
        bench_fail("tbb: no memory");
    *task = table_task{};
    task->id = task->value = id;
    return task;
}

void *create(table_kind, uint64_t keys)
{
    Map *map = new (std::nothrow) Map(keys);

    if (map == nullptr)
        bench_fail("tbb: no memory");
    return map;
}

void destroy(void *table)
{
    delete static_cast<Map *>(table);
}

void swap(void *table, const uint64_t *before, const uint64_t *after, const uint64_t *values,
          size_t count)
{
    Map &map = map_of(table);

    for (size_t i = 0; i < count; i++) {
        if (before != nullptr && !map.erase(before[i]))
            bench_fail("tbb: a key is missing");
        if (after != nullptr)
            put(map, after[i], values[i]);
    }
}

uint64_t sum(void *table, const uint64_t *keys, size_t count)
{
    const Map &map = map_of(table);
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        Map::const_accessor found;

        if (map.find(found, keys[i]))
            total += found->second;
    }
    return total;
}

void add(void *table, table_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put(map_of(table), tasks[i].id, reinterpret_cast<uint64_t>(&tasks[i]));
}

/* Once the element's lock is held for writing nobody reads the record, nor will. */
void end(Map &map, uint64_t id)
{
    Map::accessor found;

    if (!map.find(found, id))
        bench_fail("tbb: a task is missing");
    std::free(task_of(found->second));
    map.erase(found);
}

void turn(void *table, const uint64_t *before, const uint64_t *after, size_t count)
{
    Map &map = map_of(table);

    for (size_t i = 0; i < count; i++) {
        if (before != nullptr)
            end(map, before[i]);
        if (after != nullptr)
            put(map, after[i], reinterpret_cast<uint64_t>(task_create(after[i])));
    }
}

uint64_t look(void *table, const uint64_t *ids, size_t count)
{
    const Map &map = map_of(table);
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        Map::const_accessor found;

        if (map.find(found, ids[i]))
            total += task_of(found->second)->value;
    }
    return total;
}

uint64_t copy(void *table, const uint64_t *ids, size_t count)
{
    const Map &map = map_of(table);
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        table_task task = {};

        {
            Map::const_accessor found;

            if (map.find(found, ids[i]))
                task = *task_of(found->second);
        }
        bench_keep(reinterpret_cast<uint64_t>(&task));
        total += task.value + task.count + task.count_down;
    }
    return total;
}

void step(void *table, const uint64_t *ids, size_t count)
{
    Map &map = map_of(table);

    for (size_t i = 0; i < count; i++) {
        Map::accessor found;

        if (!map.find(found, ids[i]))
            bench_fail("tbb: a task is missing");
        task_of(found->second)->count++;
        task_of(found->second)->count_down--;
    }
}

} // namespace

extern "C" const table_peer peer_tbb_map = {
    create, destroy, swap, sum, add, turn, look, copy, step,
};
