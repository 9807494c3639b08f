/*
 * journal.pml - the durable prefix of one shard's journal (runtime/store/format.h): whatever a crash
 * leaves of the groups under way, what the reader accepts is what was written, without a gap, and holds all
 * that was acknowledged and all that an earlier opening has gone on from.
 *
 * A file has room for two frames, each a group of its own, and a seal. All of a file's groups may be under
 * way at once and reach the disk in any order. A cell of a file is empty; or under way; or visible, which
 * means that a reader sees it and that it is gone with the power; or durable. A file appears under its name
 * with its header in it, and the name too is visible at first and then durable.
 *
 * A crash takes the process, then what is under way may land much later; or the power, then each thing
 * that is not durable is there or not. A crash may come at any step, an opening included.
 *
 * Not covered: damage (the reader's own tests), the CRCs, frames with FRAME_MORE, cutting (snapshot.pml).
 *
 * run: safety holds                          : two crashes
 * run: safety fails -DWRONG_ORDER            : a finished group is taken for those before it as well
 * run: safety fails -DWRONG_SEAL             : the next file is begun while the seal is under way
 * run: safety fails -DWRONG_DIRECTORY        : a file is used before its name is durable
 * run: safety fails -DWRONG_NO_SYNC          : an opening reads what is only visible, without a sync before
 * run: safety fails -DWRONG_SAME_FILE        : an opening goes on in the last file
 * run: safety fails -DWRONG_LATE_FILE        : an opening goes on before its new file is durable
 * run: safety fails -DWRONG_ACKNOWLEDGE      : a frame is acknowledged when it is under way
 */
#define FILES  4
#define FRAMES 2
#define SEAL   FRAMES /* the place of a file's seal */
#define CELLS  (FRAMES + 1)
#define LSNS   6
#ifndef CRASHES
#define CRASHES 2
#endif

#define EMPTY     0
#define UNDER_WAY 1
#define VISIBLE   2
#define DURABLE   3

#define CELL(f, s) cell[(f) * CELLS + (s)]

/* The disk. */
byte cell[FILES * CELLS];
byte written_by[FILES * CELLS]; /* the epoch; a file's own but for WRONG_SAME_FILE */
byte says[FILES * CELLS];       /* the frame's durable_lsn */
byte name[FILES];
byte first[FILES];

/* What was promised: the epoch that wrote each LSN, and how far it must be there. */
byte truth[LSNS];
byte acknowledged;

/* The running process. */
bool open;
byte epoch;
byte file;  /* that is written */
byte used;  /* cells of it */
byte lsn;   /* last given out */
byte reached; /* durable, as far as it knows */

byte crashes;

/* The reader. */
byte got, f, s;
bool refused;

/* Files in order; each says in first where the one before ends. */
inline read_all()
{
    got = 0;
    refused = false;
    f = 0;
    do
    :: f < FILES && name[f] >= VISIBLE ->
        if
        :: first[f] > got + 1 -> refused = true; break /* frames are missing */
        :: else
        fi;
        got = first[f] - 1;
        s = 0;
        do
        :: s < FRAMES && CELL(f, s) >= VISIBLE -> got++; s++
        :: else -> break
        od;
        f++
    :: else -> break
    od;
    /* A missing file, and a hole that a frame behind it says was durable. */
    s = f;
    do
    :: s < FILES ->
        if
        :: name[s] >= VISIBLE -> refused = true
        :: else
        fi;
        s++
    :: else -> break
    od;
    if
    :: f > 0 ->
        s = 0;
        do
        :: s < FRAMES ->
            if
            :: CELL(f - 1, s) >= VISIBLE && says[(f - 1) * CELLS + s] > got -> refused = true
            :: else
            fi;
            s++
        :: else -> break
        od
    :: else
    fi;
    assert(!refused);
    assert(got >= acknowledged);
    /* Each frame is that of the history: now that the ends of the files are known. */
    f = 0;
    do
    :: f < FILES && name[f] >= VISIBLE ->
        s = 0;
        do
        :: s < FRAMES && CELL(f, s) >= VISIBLE &&
           (f + 1 == FILES || name[f + 1] < VISIBLE || first[f] + s < first[f + 1]) ->
            assert(truth[first[f] + s] == written_by[f * CELLS + s]);
            s++
        :: else -> break
        od;
        f++
    :: else -> break
    od
}

/* How far the journal is durable, as the writes of this opening that have ended show. */
#ifdef WRONG_ORDER
#define COVERS(l) (l > reached)
#else
#define COVERS(l) (l == reached + 1)
#endif
#define ENDED(f, s) (CELL(f, s) == DURABLE && written_by[(f) * CELLS + s] == epoch)

inline reap()
{
    f = 0;
    do
    :: f < FILES && name[f] != EMPTY ->
        s = 0;
        do
        :: s < FRAMES ->
            if
            :: ENDED(f, s) && COVERS(first[f] + s) -> reached = first[f] + s
            :: else
            fi;
            s++
        :: else -> break
        od;
        f++
    :: else -> break
    od
}

#ifdef WRONG_SEAL
#define MAY_GO_ON true
#else
#define MAY_GO_ON (CELL(file, SEAL) == DURABLE && reached == lsn)
#endif

inline begin_file(number)
{
    file = number;
    used = 0;
    first[number] = lsn + 1;
    name[number] = VISIBLE;
    if
#ifdef WRONG_DIRECTORY
    :: open
#endif
#ifdef WRONG_LATE_FILE
    :: !open
#endif
    :: else -> name[number] = DURABLE
    fi
}

inline put(place)
{
    CELL(file, place) = UNDER_WAY;
    written_by[file * CELLS + place] = epoch;
    says[file * CELLS + place] = reached
}

inline crash_power()
{
    f = 0;
    do
    :: f < FILES ->
        if
        :: name[f] == VISIBLE -> name[f] = EMPTY
        :: name[f] == VISIBLE -> name[f] = DURABLE
        :: name[f] != VISIBLE
        fi;
        s = 0;
        do
        :: s < CELLS ->
            if
            :: name[f] == EMPTY || CELL(f, s) == EMPTY -> CELL(f, s) = EMPTY
            :: name[f] != EMPTY && CELL(f, s) != EMPTY && CELL(f, s) != DURABLE -> CELL(f, s) = EMPTY
            :: name[f] != EMPTY && CELL(f, s) != EMPTY -> CELL(f, s) = DURABLE
            fi;
            s++
        :: else -> break
        od;
        f++
    :: else -> break
    od
}

inline sync_all()
{
    f = 0;
    do
    :: f < FILES ->
        if
        :: name[f] == VISIBLE -> name[f] = DURABLE
        :: else
        fi;
        s = 0;
        do
        :: s < CELLS ->
            if
            :: CELL(f, s) == VISIBLE -> CELL(f, s) = DURABLE
            :: else
            fi;
            s++
        :: else -> break
        od;
        f++
    :: else -> break
    od
}

inline forget()
{
    got = 0;
    f = 0;
    s = 0
}

inline stop()
{
    open = false;
    file = 0;
    used = 0;
    lsn = 0;
    reached = 0
}

#define LANDS(i)                                                                                   \
    :: d_step { cell[i] == UNDER_WAY -> cell[i] = VISIBLE }                                        \
    :: d_step { cell[i] == VISIBLE -> cell[i] = DURABLE }

active proctype disk()
{
end:
    do
    LANDS(0) LANDS(1) LANDS(2) LANDS(3) LANDS(4) LANDS(5) LANDS(6) LANDS(7)
    LANDS(8) LANDS(9) LANDS(10) LANDS(11)
    od
}

active proctype process()
{
end:
    do
    /* Opening: sync, read, a new epoch and its file. */
    :: d_step {
        !open && crashes <= CRASHES ->
#ifndef WRONG_NO_SYNC
        sync_all();
#endif
        read_all();
        lsn = got;
        reached = got;
        /* All that lies behind is given up, and the state at this point is handed out. */
        f = got + 1;
        do
        :: f < LSNS -> truth[f] = 0; f++
        :: else -> break
        od;
        f = 0;
        do
        :: f < FILES && name[f] >= VISIBLE -> f++
        :: else -> break
        od;
        if
        :: f < FILES ->
            epoch++;
#ifdef WRONG_SAME_FILE
            if
            :: f == 0 -> begin_file(0)
            :: else -> file = f - 1; used = lsn + 1 - first[file]
            fi;
#else
            begin_file(f);
#endif
            open = true;
            acknowledged = lsn
        :: else -> crashes = CRASHES + 1 /* the room of this model is used up */
        fi;
        forget()
       }

    /* A frame. */
    :: d_step {
        open && used < FRAMES && lsn + 1 < LSNS ->
        lsn++;
        truth[lsn] = epoch;
        put(used);
        used++;
#ifdef WRONG_ACKNOWLEDGE
        acknowledged = lsn;
#endif
        skip
       }

    /* The seal. */
    :: d_step { open && used == FRAMES && file + 1 < FILES -> put(SEAL); used++ }

    /* The next file. */
    :: d_step {
        open && used == CELLS && MAY_GO_ON ->
        f = file + 1;
        begin_file(f);
        forget()
       }

    /* Writes have ended; what they cover is acknowledged. */
    :: d_step {
        open ->
        reap();
        acknowledged = (reached > acknowledged -> reached : acknowledged);
        forget()
       }

    /* The process is killed: what is under way may land later, or never. */
    :: d_step { open && crashes < CRASHES -> crashes++; stop() }

    /* The power fails, perhaps behind a kill. */
    :: atomic { crashes < CRASHES -> crashes++; stop(); crash_power(); forget() }
    od
}
