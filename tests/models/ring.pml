/*
 * ring.pml - the ring of one producer and one consumer (runtime/queue/spsc.h): every item arrives once, in
 * order, and whole, whatever the sizes of the batches and however late the other end sees a store.
 *
 * The indexes run over the smallest range that tells a full ring from an empty one, twice the capacity, as
 * 2^32 is twice the largest; so each run goes round many times. The items are numbers modulo 5: a stale
 * cell is never mistaken for a fresh one.
 *
 * The producer's stores go through a buffer. Stores of cells become visible in any order, those behind a
 * publication before it as well; the store of tail, a release, only after all stores before it. The
 * consumer's store of head becomes visible late too. (In the liveness run stores become visible in order.)
 * Loads are made one by one, in the order of the program, which is what the acquire gives.
 *
 * Not covered: loads that a machine reorders without an acquire, but for the one of -DWRONG_ACQUIRE, and
 * torn cells: a cell is one word here.
 *
 * run: safety holds -DCAP=2              : capacity 2
 * run: safety holds -DCAP=4 -DBATCH=2    : capacity 4, batches up to 2
 * run: safety holds -DCAP=1 -DBATCH=1    : capacity 1
 * run: safety holds -DCAP=2 -DOBSERVER   : somebody counts
 * run: live holds flows -DCAP=2          : items flow for ever
 * run: safety fails -DCAP=2 -DWRONG_PUBLISH              : tail is visible before the cells
 * run: safety fails -DCAP=2 -DWRONG_RELEASE              : head is visible before the cells were read
 * run: safety fails -DCAP=2 -DWRONG_ACQUIRE              : cells are loaded before tail
 * run: safety fails -DCAP=2 -DWRONG_ROOM                 : one cell too many
 * run: safety fails -DCAP=2 -DOBSERVER -DWRONG_COUNT     : tail is loaded before head
 */
#ifndef BATCH
#define BATCH CAP
#endif
#define WRAP (2 * CAP)
#define ITEMS 5

/* An entry of the buffer is a cell's number or this. Each publication has a cell, so this is enough. */
#define TAIL CAP
#define BUFFER (2 * CAP + 2)

#ifdef WRONG_ROOM
#define ROOM (CAP + 1)
#else
#define ROOM CAP
#endif

/* What is visible to all. */
byte cells[CAP];
byte tail, head;

byte what[BUFFER], value[BUFFER], used;
chan heads = [2] of { byte };

byte expected; /* the item that the consumer must get next */

#ifdef OBSERVER
/* Counted without end, for the observer only, whose run is a short one. */
#define LIMIT 5
byte total, total_tail, total_head;

inline total_stored()
{
    do
    :: total_tail % WRAP != tail -> total_tail++
    :: else -> break
    od
}

inline total_taken()
{
    do
    :: total_head % WRAP != head -> total_head++
    :: else -> break
    od
}
#else
#define total_stored() skip
#define total_taken()  skip
#endif

inline store(w, v)
{
    d_step {
        assert(used < BUFFER);
        what[used] = w;
        value[used] = v;
        used++;
    }
}

/* The store at `i` becomes visible. */
inline drain(i)
{
    if
    :: what[i] == TAIL ->
        tail = value[i];
        total_stored()
    :: else -> cells[what[i]] = value[i]
    fi;
    k = i;
    do
    :: k + 1 < used -> what[k] = what[k + 1]; value[k] = value[k + 1]; k++
    :: else -> break
    od;
    used--;
    what[used] = 0;
    value[used] = 0
}

/* Whether an older store in the buffer must be visible before the one at i. */
#ifdef WRONG_PUBLISH
#define HELD(i, k) (what[k] == what[i])
#else
#define HELD(i, k) (what[k] == what[i] || what[i] == TAIL)
#endif

active proctype producer_memory()
{
    byte i, k;
    bool held;

end:
    do
    :: atomic {
        used > 0 ->
        i = 0;
#ifndef LIVE
        do
        :: i + 1 < used -> i++
        :: break
        od;
#endif
        held = false;
        k = 0;
        do
        :: k < i -> held = held || HELD(i, k); k++
        :: else -> break
        od;
        if
        :: held
        :: !held -> drain(i)
        fi;
        i = 0;
        k = 0;
        held = false
       }
    od
}

active proctype consumer_memory()
{
end:
    do
    :: atomic { heads?head -> total_taken() }
    od
}

active proctype producer()
{
    byte my_tail, head_seen, next, wanted, room, count;

end:
    do
    ::
#ifdef OBSERVER
        total < LIMIT ->
#endif
        wanted = 1;
        do
        :: wanted < BATCH -> wanted++
        :: break
        od;
        room = ROOM - (my_tail + WRAP - head_seen) % WRAP;
        if
        :: room < wanted ->
            head_seen = head;
            room = ROOM - (my_tail + WRAP - head_seen) % WRAP
        :: else
        fi;
        assert(room <= CAP);
        count = 0;
        do
        :: count < wanted && count < room ->
            store((my_tail + count) % CAP, next);
            next = (next + 1) % ITEMS;
            count++
        :: else -> break
        od;
        if
        :: count > 0 ->
            my_tail = (my_tail + count) % WRAP;
            store(TAIL, my_tail);
#ifdef OBSERVER
            total = total + count
#endif
        :: else
        fi;
        d_step { wanted = 0; room = 0; count = 0 }
    od
}

active proctype consumer()
{
    byte my_head, tail_seen, wanted, filled, count, item;
#ifdef WRONG_ACQUIRE
    byte early[CAP];
#endif

end:
    do
    ::
        wanted = 1;
        do
        :: wanted < BATCH -> wanted++
        :: break
        od;
#ifdef WRONG_ACQUIRE
        count = 0;
        do
        :: count < CAP -> early[count] = cells[count]; count++
        :: else -> break
        od;
#endif
        filled = (tail_seen + WRAP - my_head) % WRAP;
        if
        :: filled < wanted ->
            tail_seen = tail;
            filled = (tail_seen + WRAP - my_head) % WRAP
        :: else
        fi;
        assert(filled <= CAP);
        if
        :: filled < wanted -> wanted = filled
        :: else
        fi;
#ifdef WRONG_RELEASE
        if
        :: wanted > 0 -> heads!((my_head + wanted) % WRAP)
        :: else
        fi;
#endif
        count = 0;
        do
        :: count < wanted ->
#ifdef WRONG_ACQUIRE
            item = early[(my_head + count) % CAP];
#else
            item = cells[(my_head + count) % CAP];
#endif
            d_step {
                assert(item == expected);
                expected = (expected + 1) % ITEMS;
                count++
            }
        :: else -> break
        od;
        my_head = (my_head + wanted) % WRAP;
#ifndef WRONG_RELEASE
        if
        :: wanted > 0 -> heads!my_head
        :: else
        fi;
#endif
        d_step { wanted = 0; filled = 0; count = 0; item = 0 }
    od
}

#ifdef OBSERVER
active proctype observer()
{
    byte seen_head, seen_tail;

#ifdef WRONG_COUNT
    seen_tail = total_tail;
    seen_head = total_head;
#else
    seen_head = total_head;
    seen_tail = total_tail;
#endif
    assert(seen_tail >= seen_head)
}
#endif

ltl flows { []<>(expected == 0) && []<>(expected == 1) }
