/*
 * snapshot.pml - snapshots taken while the shard works, and the cutting of the journal behind them: from
 * whatever a crash leaves, at any step of it, recovery comes to the newest durable state.
 *
 * The state is two tasks; odd frames change the one, even frames the other, and frame n leaves a value that
 * tells n. Each frame is a journal file of its own. A snapshot notes its base, the last frame given out; images of
 * the tasks, one after the other, while frames go on; then it waits until the journal is durable up to
 * there; then it is written and synced as *.new, read back, renamed, the directory synced. Only then the
 * generation before the previous is removed, and the journal files that the previous one does not need.
 *
 * Names and removals are seen at once and durable after a sync of the directory; a crash of the power keeps
 * any of those that are not. A written snapshot may be bad, whatever the disk said; that is found when it is
 * read. One whole snapshot may rot later, once two have been made. A crash leaves the journal up to any
 * frame from the last durable one on; a kill of the process is the one that keeps all names.
 *
 * Recovery takes the newest snapshot that is whole, or the one before, or none, and then needs every journal
 * file from its base on.
 *
 * Not covered: how the journal's own files begin and end (journal.pml).
 *
 * run: safety holds                        : two crashes
 * run: safety fails -DWRONG_CUT            : the journal is cut up to the newest snapshot
 * run: safety fails -DWRONG_ONE            : one generation is kept
 * run: safety fails -DWRONG_READ_BACK      : a snapshot is not read back
 * run: safety fails -DWRONG_DIRECTORY      : the directory is not synced before what is old is removed
 * run: safety fails -DWRONG_NOT_AWAITED    : a snapshot counts before the journal is durable up to its end
 * run: safety fails -DWRONG_BASE           : the base is the last frame at the end of the walk
 */
#define LSNS      4
#define SNAPSHOTS 3
#ifndef CRASHES
#define CRASHES 2
#endif

/* The tasks after frame n. */
#define ODD(n)  (((n) + 1) / 2)
#define EVEN(n) ((n) / 2)

/* A name in the directory. */
#define ABSENT   0
#define APPEARED 1 /* not yet durable */
#define THERE    2
#define REMOVED  3 /* not yet durable */

byte file[LSNS + 1]; /* by its frame; THERE once that is written: journal.pml */
typedef snapshot {
    byte name;
    bool whole;
    byte base, odd, even;
}
snapshot shot[SNAPSHOTS];

/* The journal and what was promised. */
byte lsn, durable;

/* The process. */
byte odd, even;
byte step;     /* of the snapshot under way */
byte made;     /* snapshots ever begun; the number of the one under way */
byte end_lsn;
byte newest = SNAPSHOTS, previous = SNAPSHOTS; /* those that count; SNAPSHOTS: none */

byte crashes, bad_writes;
bool rotten;
byte finished; /* snapshots, all their steps done */
byte i, n, base;
bool found;

#define BASE(s) (s == SNAPSHOTS -> 0 : shot[s].base)
#define SEEN(x) (x == APPEARED || x == THERE)

inline forget()
{
    i = 0;
    n = 0;
    base = 0;
    found = false
}

inline sync_directory()
{
    i = 0;
    do
    :: i < SNAPSHOTS ->
        if
        :: shot[i].name == APPEARED -> shot[i].name = THERE
        :: shot[i].name == REMOVED -> shot[i].name = ABSENT; shot[i].whole = false
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 1;
    do
    :: i <= LSNS ->
        if
        :: file[i] == REMOVED -> file[i] = ABSENT
        :: else
        fi;
        i++
    :: else -> break
    od
}

inline remove_old()
{
    i = 0;
    do
    :: i < SNAPSHOTS ->
        if
#ifdef WRONG_ONE
        :: SEEN(shot[i].name) && i != newest ->
#else
        :: SEEN(shot[i].name) && i != newest && i != previous ->
#endif
            shot[i].name = REMOVED
        :: else
        fi;
        i++
    :: else -> break
    od
}

#if defined(WRONG_CUT) || defined(WRONG_ONE)
#define CUT BASE(newest)
#else
#define CUT BASE(previous)
#endif

inline cut_journal()
{
    i = 1;
    do
    :: i <= LSNS ->
        if
        :: file[i] == THERE && i <= CUT -> file[i] = REMOVED
        :: else
        fi;
        i++
    :: else -> break
    od
}

inline power_fails()
{
    i = 0;
    do
    :: i < SNAPSHOTS ->
        if
        :: shot[i].name == APPEARED -> shot[i].name = ABSENT
        :: shot[i].name == APPEARED -> shot[i].name = THERE
        :: shot[i].name == REMOVED -> shot[i].name = ABSENT
        :: shot[i].name == REMOVED -> shot[i].name = THERE
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 1;
    do
    :: i <= LSNS ->
        if
        :: file[i] == REMOVED -> file[i] = ABSENT
        :: file[i] == REMOVED -> file[i] = THERE
        :: else
        fi;
        i++
    :: else -> break
    od;
    do
    :: lsn > durable -> lsn--
    :: break
    od
}

inline recover()
{
    sync_directory();
    /* Files behind the last frame were never begun. */
    i = 1;
    do
    :: i <= LSNS ->
        if
        :: i > lsn -> file[i] = ABSENT
        :: else
        fi;
        i++
    :: else -> break
    od;
    newest = SNAPSHOTS;
    previous = SNAPSHOTS;
    i = 0;
    do
    :: i < SNAPSHOTS ->
        if
        :: shot[i].name == THERE && shot[i].whole -> previous = newest; newest = i
        :: else
        fi;
        i++
    :: else -> break
    od;
    /* Is the journal there from the base on? */
    base = BASE(newest);
    assert(base <= lsn);
    n = base + 1;
    do
    :: n <= lsn -> assert(file[n] == THERE); n++
    :: else -> break
    od;
    /* The images, and every frame behind the base on top of them. */
    if
    :: newest == SNAPSHOTS -> odd = 0; even = 0
    :: else -> odd = shot[newest].odd; even = shot[newest].even
    fi;
    if
    :: ODD(lsn) > ODD(base) -> odd = ODD(lsn)
    :: else
    fi;
    if
    :: EVEN(lsn) > EVEN(base) -> even = EVEN(lsn)
    :: else
    fi;
    assert(odd == ODD(lsn) && even == EVEN(lsn));
    durable = lsn;
    step = 0
}

#define NOW shot[made - 1]

active proctype process()
{
end:
    do
    /* A frame. */
    :: d_step {
        lsn < LSNS ->
        lsn++;
        file[lsn] = THERE;
        odd = ODD(lsn);
        even = EVEN(lsn)
       }
    /* The journal is durable up to here. */
    :: d_step { durable < lsn -> durable = lsn }

    /* A snapshot, step by step. */
    :: d_step { step == 0 && made < SNAPSHOTS -> made++; NOW.base = lsn; step = 1 }
    :: d_step { step == 1 -> NOW.odd = odd; step = 2 }
    :: d_step {
        step == 2 ->
        NOW.even = even;
        end_lsn = lsn;
#ifdef WRONG_BASE
        NOW.base = lsn;
#endif
        step = 3
       }
#ifdef WRONG_NOT_AWAITED
    :: d_step { step == 3 -> end_lsn = 0; step = 4 }
#else
    :: d_step { step == 3 && durable >= end_lsn -> end_lsn = 0; step = 4 }
#endif
    :: d_step { step == 4 -> NOW.whole = true; step = 5 }
    :: d_step { step == 4 && bad_writes < 2 -> bad_writes++; step = 5 }
#ifdef WRONG_READ_BACK
    :: d_step { step == 5 -> step = 6 }
#else
    :: d_step { step == 5 && NOW.whole -> step = 6 }
    :: d_step { step == 5 && !NOW.whole -> step = 0 }
#endif
    :: d_step { step == 6 -> NOW.name = APPEARED; previous = newest; newest = made - 1; step = 7 }
#ifdef WRONG_DIRECTORY
    :: d_step { step == 7 -> step = 8 }
#else
    :: d_step { step == 7 -> sync_directory(); forget(); step = 8 }
#endif
    :: d_step { step == 8 -> remove_old(); forget(); step = 9 }
    :: d_step { step == 9 -> cut_journal(); forget(); step = 10 }
    :: d_step { step == 10 -> sync_directory(); forget(); finished++; step = 0 }

    /* One of two whole snapshots rots. */
    :: d_step {
        !rotten && step == 0 && finished >= 2 && newest < SNAPSHOTS ->
        rotten = true;
        shot[newest].whole = false
       }
    :: d_step {
        !rotten && step == 0 && finished >= 2 && previous < SNAPSHOTS ->
        rotten = true;
        shot[previous].whole = false
       }

    :: atomic { crashes < CRASHES -> crashes++; power_fails(); d_step { skip; recover(); forget() } }
    od
}
