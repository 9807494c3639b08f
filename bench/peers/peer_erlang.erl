%% peer_erlang.erl - Erlang/OTP's side of the rows about actors (actors.h, child.h).
%%
%%   erl -noshell +S THREADS:THREADS -s peer_erlang main
%%
%%   open PLACE WORK N     makes the processes of a work                 ok
%%   run PLACE OPERATIONS  does at least so many, and checks them        ok NANOSECONDS OPERATIONS
%%   close PLACE           ends its processes                            ok
%%
%% A machine of the life cycle is a gen_statem with a function for each state, to which events are cast.
%% It enters its loop by gen_statem:enter_loop, which spares a million answers to a starter. All else is
%% plain processes, which is what such small things are made of in Erlang. Processes are spawned with
%% default options. What is timed runs in a process of its own each time, so that no garbage of an
%% earlier run is left in the driver's heap.
-module(peer_erlang).
-behaviour(gen_statem).

-export([main/0]).
-export([init/1, callback_mode/0, s0/3, s1/3, s2/3, s3/3, s4/3]).
-export([machine_start/1, hopper/2, planter/0, node/3, receiver/0, sender/2, parent/0, child/2,
         member/6]).

-define(WINDOWS, 2).
-define(BURST, 16).

%% ---- Questions -----------------------------------------------------------------------------------

main() ->
    spawn(fun() -> serve(#{}) end).

serve(Places) ->
    case io:get_line("") of
        Line when is_list(Line) ->
            {Answer, After} =
                try
                    answer(string:lexemes(Line, " \n"), Places)
                catch
                    _:Why -> {io_lib:format("error ~0p", [Why]), Places}
                end,
            io:put_chars([Answer, "\n"]),
            serve(After);
        _ ->
            erlang:halt(0)
    end.

answer(["open", Place, Name, Count], Places) ->
    Work = list_to_existing_atom(Name),
    {"ok", Places#{Place => {Work, open(Work, list_to_integer(Count))}}};
answer(["run", Place, Wanted], Places) ->
    #{Place := {Work, State}} = Places,
    {Ns, Done, After} = run(Work, State, list_to_integer(Wanted)),
    {io_lib:format("ok ~b ~b", [Ns, Done]), Places#{Place := {Work, After}}};
answer(["close", Place], Places) ->
    #{Place := {Work, State}} = Places,
    close(Work, State),
    {"ok", maps:remove(Place, Places)}.

divide_up(A, B) ->
    (A + B - 1) div B.

check(true, _What) ->
    ok;
check(false, What) ->
    error(What).

%% Runs a function in a process of its own and returns what it returns.
apart(Run) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({value, Run()}) end),
    receive
        {'DOWN', Monitor, process, Pid, {value, Value}} -> Value;
        {'DOWN', Monitor, process, Pid, Why} -> error(Why)
    end.

end_all(Pids) ->
    Monitors = [monitor(process, Pid) || Pid <- Pids],
    [exit(Pid, kill) || Pid <- Pids],
    [receive {'DOWN', Monitor, process, _, _} -> ok end || Monitor <- Monitors],
    ok.

open(lifecycle, Count) ->
    lifecycle_open(Count);
open(Ring, Count) when Ring =:= thread_ring; Ring =:= ping_pong ->
    [First | Rest] = Pids = [spawn(?MODULE, hopper, [none, 0]) || _ <- lists:seq(1, Count)],
    [Pid ! {link, Next} || {Pid, Next} <- lists:zip(Pids, Rest ++ [First])],
    {Pids, 0};
open(skynet, Leaves) ->
    {spawn(?MODULE, planter, []), Leaves};
open(fan_in, Senders) ->
    Receiver = spawn(?MODULE, receiver, []),
    {Receiver, [spawn(?MODULE, sender, [Receiver, 0]) || _ <- lists:seq(1, Senders)]};
open(fork_join, Children) ->
    {spawn(?MODULE, parent, []), Children, lists:sum([trivial(I) || I <- lists:seq(1, Children)])};
open(big, Count) ->
    Pids = [spawn(?MODULE, member, [[], 0, none, 0, 0, 0]) || _ <- lists:seq(1, Count)],
    [Pid ! {link, lists:delete(Pid, Pids)} || Pid <- Pids],
    {Pids, 0}.

run(lifecycle, State, Wanted) ->
    lifecycle_run(State, Wanted);
run(Ring, {Pids, Total}, Wanted) when Ring =:= thread_ring; Ring =:= ping_pong ->
    Ns = apart(fun() -> ring_run(hd(Pids), Wanted) end),
    check(ask_all(Pids) =:= Total + Wanted, "ring: hops were lost"),
    {Ns, Wanted, {Pids, Total + Wanted}};
run(skynet, {Planter, Leaves} = State, Wanted) ->
    Trees = divide_up(Wanted, Leaves),
    Ns = apart(fun() -> skynet_run(Planter, Leaves, Trees) end),
    {Ns, Trees * Leaves, State};
run(fan_in, {Receiver, Senders} = State, Wanted) ->
    Each = divide_up(Wanted, length(Senders)),
    Ns = apart(fun() -> fan_in_run(Receiver, Senders, Each) end),
    {Ns, Each * length(Senders), State};
run(fork_join, {Parent, Children, Sum} = State, Wanted) ->
    Rounds = divide_up(Wanted, Children),
    Ns = apart(fun() -> fork_join_run(Parent, Children, Sum, Rounds) end),
    {Ns, Rounds * Children, State};
run(big, {Pids, Total}, Wanted) ->
    Pings = length(Pids) * (length(Pids) - 1),
    Rounds = divide_up(Wanted, 2 * Pings),
    Ns = apart(fun() -> big_run(Pids, Rounds) end),
    check(ask_all(Pids) =:= Total + Rounds * Pings, "big: messages were lost"),
    {Ns, 2 * Rounds * Pings, {Pids, Total + Rounds * Pings}}.

close(lifecycle, State) ->
    lifecycle_close(State);
close(Ring, {Pids, _}) when Ring =:= thread_ring; Ring =:= ping_pong; Ring =:= big ->
    end_all(Pids);
close(fan_in, {Receiver, Senders}) ->
    end_all([Receiver | Senders]);
close(skynet, {Planter, _}) ->
    end_all([Planter]);
close(fork_join, {Parent, _, _}) ->
    end_all([Parent]).

%% The sum of what each process has counted.
ask_all(Pids) ->
    [Pid ! {count, self()} || Pid <- Pids],
    lists:sum([receive {count, Count} -> Count end || _ <- Pids]).

now_ns() ->
    erlang:monotonic_time(nanosecond).

%% ---- Life cycle ----------------------------------------------------------------------------------

%% Events go out in windows, two of them under way. In a window the last event to each machine is marked
%% with the window; handling a marked one counts the window down, and who comes to zero tells the driver.
%% A wide window pays with few machines, as each finds several events when it runs.
%% A machine's data: the two counts, and where windows are counted down.
-record(data, {events = 0, sum = 0, left}).

init(_) ->
    ignore.

callback_mode() ->
    state_functions.

machine_start(Left) ->
    gen_statem:enter_loop(?MODULE, [], s0, #data{left = Left}).

s0(cast, Event, Data) -> {next_state, s1, advance(Event, Data)};
s0(Type, Event, Data) -> other(Type, Event, Data).
s1(cast, Event, Data) -> {next_state, s2, advance(Event, Data)};
s1(Type, Event, Data) -> other(Type, Event, Data).
s2(cast, Event, Data) -> {next_state, s3, advance(Event, Data)};
s2(Type, Event, Data) -> other(Type, Event, Data).
s3(cast, Event, Data) -> {next_state, s4, advance(Event, Data)};
s3(Type, Event, Data) -> other(Type, Event, Data).
s4(cast, Event, Data) -> {next_state, s0, advance(Event, Data)};
s4(Type, Event, Data) -> other(Type, Event, Data).

advance({advance, Arg}, #data{events = Events, sum = Sum} = Data) ->
    Data#data{events = Events + 1, sum = Sum + Arg};
advance({advance, Arg, Slot, Driver}, #data{events = Events, sum = Sum, left = Left} = Data) ->
    case atomics:sub_get(Left, Slot, 1) of
        0 -> Driver ! {window, Slot};
        _ -> ok
    end,
    Data#data{events = Events + 1, sum = Sum + Arg}.

other(info, {count, From}, #data{events = Count, sum = Count}) ->
    From ! {count, Count},
    keep_state_and_data.

%% Pids are kept where every process can read them without a copy.
lifecycle_open(Count) ->
    Key = {?MODULE, make_ref()},
    Left = atomics:new(?WINDOWS, []),
    Pids = [proc_lib:spawn(?MODULE, machine_start, [Left]) || _ <- lists:seq(1, Count)],
    persistent_term:put(Key, list_to_tuple(Pids)),
    check(ask_all(Pids) =:= 0, "life cycle: not ready"),
    {Key, Count, Left, rand:seed_s(exsss, Count), 0}.

lifecycle_run({Key, Count, Left, Random, Total}, Wanted) ->
    {Ns, After} = apart(fun() ->
                           {Windows, Next} = draw(Key, Count, Random, Wanted, []),
                           garbage_collect(),
                           {lifecycle_timed(Left, Windows), Next}
                        end),
    case Count =< 10000 of
        true -> lifecycle_check(Key, Total + Wanted);
        false -> ok
    end,
    {Ns, Wanted, {Key, Count, Left, After, Total + Wanted}}.

lifecycle_check(Key, Total) ->
    check(ask_all(tuple_to_list(persistent_term:get(Key))) =:= Total,
          "life cycle: events were lost").

%% With many machines all are asked at the end only: that takes longer than a run.
lifecycle_close({Key, _Count, _Left, _Random, Total}) ->
    lifecycle_check(Key, Total),
    end_all(tuple_to_list(persistent_term:get(Key))),
    persistent_term:erase(Key).

window_size(Count) when Count > 65536 ->
    1024;
window_size(_) ->
    8192.

%% Windows of {Marks, Targets}; a target is the pid, or [pid] where it is marked.
draw(_Key, _Count, Random, 0, Windows) ->
    {lists:reverse(Windows), Random};
draw(Key, Count, Random, Left, Windows) ->
    Size = min(window_size(Count), Left),
    {Drawn, After} = draw_some(persistent_term:get(Key), Count, Random, Size, []),
    {Marks, Targets} = mark(Drawn, #{}, 0, []),
    draw(Key, Count, After, Left - Size, [{Marks, Targets} | Windows]).

draw_some(_Pids, _Count, Random, 0, Drawn) ->
    {Drawn, Random};
draw_some(Pids, Count, Random, Left, Drawn) ->
    {Index, After} = rand:uniform_s(Count, Random),
    draw_some(Pids, Count, After, Left - 1, [element(Index, Pids) | Drawn]).

%% From the last to the first, which turns the list round.
mark([], _Seen, Marks, Targets) ->
    {Marks, Targets};
mark([Pid | Rest], Seen, Marks, Targets) ->
    case Seen of
        #{Pid := _} -> mark(Rest, Seen, Marks, [Pid | Targets]);
        _ -> mark(Rest, Seen#{Pid => true}, Marks + 1, [[Pid] | Targets])
    end.

lifecycle_timed(Left, Windows) ->
    Begin = now_ns(),
    drive(Left, lists:seq(1, ?WINDOWS), 0, Windows),
    now_ns() - Begin.

%% Fills free slots; with none free or no window left it waits for one to be done.
drive(_Left, _Free, 0, []) ->
    ok;
drive(Left, [Slot | Free], Open, [{Marks, Targets} | Windows]) ->
    atomics:put(Left, Slot, Marks),
    cast_all(Targets, {advance, 1}, {advance, 1, Slot, self()}),
    drive(Left, Free, Open + 1, Windows);
drive(Left, Free, Open, Windows) ->
    receive
        {window, Slot} -> drive(Left, [Slot | Free], Open - 1, Windows)
    end.

cast_all([[Pid] | Rest], Plain, Marked) ->
    gen_statem:cast(Pid, Marked),
    cast_all(Rest, Plain, Marked);
cast_all([Pid | Rest], Plain, Marked) ->
    gen_statem:cast(Pid, Plain),
    cast_all(Rest, Plain, Marked);
cast_all([], _Plain, _Marked) ->
    ok.

%% ---- Ring, and ping-pong as a ring of two --------------------------------------------------------

hopper(Next, Hops) ->
    receive
        {token, 0, Driver} ->
            Driver ! done,
            hopper(Next, Hops + 1);
        {token, Left, Driver} ->
            Next ! {token, Left - 1, Driver},
            hopper(Next, Hops + 1);
        {link, Other} ->
            hopper(Other, Hops);
        {count, From} ->
            From ! {count, Hops},
            hopper(Next, Hops)
    end.

ring_run(First, Wanted) ->
    Begin = now_ns(),
    First ! {token, Wanted - 1, self()},
    receive
        done -> now_ns() - Begin
    end.

%% ---- Skynet --------------------------------------------------------------------------------------

skynet_run(Planter, Leaves, Trees) ->
    Begin = now_ns(),
    [begin
         Planter ! {go, self(), Leaves},
         receive
             {done, Sum} -> check(Sum =:= Leaves * (Leaves - 1) div 2, "skynet: the sum is wrong")
         end
     end || _ <- lists:seq(1, Trees)],
    now_ns() - Begin.

planter() ->
    receive
        {go, Driver, Leaves} ->
            spawn(?MODULE, node, [self(), 0, Leaves]),
            receive
                Sum -> Driver ! {done, Sum}
            end,
            planter()
    end.

node(Parent, Number, 1) ->
    Parent ! Number;
node(Parent, Number, Leaves) ->
    Part = Leaves div 10,
    plant(Number, Part, 10),
    Parent ! gather(10, 0).

plant(_Number, _Part, 0) ->
    ok;
plant(Number, Part, Left) ->
    spawn(?MODULE, node, [self(), Number, Part]),
    plant(Number + Part, Part, Left - 1).

gather(0, Sum) ->
    Sum;
gather(Left, Sum) ->
    receive
        Value -> gather(Left - 1, Sum + Value)
    end.

%% ---- Fan in --------------------------------------------------------------------------------------

fan_in_run(Receiver, Senders, Each) ->
    Wanted = Each * length(Senders),
    Begin = now_ns(),
    Receiver ! {expect, self(), Wanted},
    [Sender ! {go, Each} || Sender <- Senders],
    receive
        {done, Sum} ->
            Ns = now_ns() - Begin,
            check(Sum =:= length(Senders) * (Each * (Each - 1) div 2), "fan-in: the sum is wrong"),
            Ns
    end.

receiver() ->
    receive
        {expect, Driver, Wanted} ->
            Driver ! {done, take(Wanted, 0)},
            receiver()
    end.

take(0, Sum) ->
    Sum;
take(Left, Sum) ->
    receive
        {value, Value} ->
            take(Left - 1, Sum + Value);
        {last, Value, From} ->
            From ! more,
            take(Left - 1, Sum + Value)
    end.

%% The last of a burst is answered, unless nothing is left: so few are under way.
sender(Receiver, Left) ->
    receive
        {go, Count} -> sender(Receiver, burst(Receiver, Count, ?BURST));
        more -> sender(Receiver, burst(Receiver, Left, ?BURST))
    end.

burst(_Receiver, 0, _Burst) ->
    0;
burst(Receiver, Left, 1) when Left > 1 ->
    Receiver ! {last, Left - 1, self()},
    Left - 1;
burst(Receiver, Left, Burst) ->
    Receiver ! {value, Left - 1},
    burst(Receiver, Left - 1, Burst - 1).

%% ---- Fork and join -------------------------------------------------------------------------------

trivial(Number) ->
    Number * 40503 bsr 8.

fork_join_run(Parent, Children, Wanted, Rounds) ->
    Begin = now_ns(),
    [begin
         Parent ! {go, self(), Children},
         receive
             {done, Sum} -> check(Sum =:= Wanted, "fork-join: the sum is wrong")
         end
     end || _ <- lists:seq(1, Rounds)],
    now_ns() - Begin.

parent() ->
    receive
        {go, Driver, Children} ->
            fork(Children),
            Driver ! {done, gather(Children, 0)},
            parent()
    end.

fork(0) ->
    ok;
fork(Left) ->
    spawn(?MODULE, child, [self(), Left]),
    fork(Left - 1).

child(Parent, Number) ->
    Parent ! trivial(Number).

%% ---- Big: all to all -----------------------------------------------------------------------------

big_run(Pids, Rounds) ->
    Begin = now_ns(),
    [Pid ! {go, self(), Rounds} || Pid <- Pids],
    [receive done -> ok end || _ <- Pids],
    now_ns() - Begin.

member(Others, Count, Driver, Pings, Pongs, Rounds) ->
    receive
        {ping, From} ->
            From ! pong,
            member(Others, Count, Driver, Pings + 1, Pongs, Rounds);
        pong when Pongs > 1 ->
            member(Others, Count, Driver, Pings, Pongs - 1, Rounds);
        pong when Rounds > 1 ->
            ping_all(Others),
            member(Others, Count, Driver, Pings, Count, Rounds - 1);
        pong ->
            Driver ! done,
            member(Others, Count, none, Pings, 0, 0);
        {go, From, Wanted} ->
            ping_all(Others),
            member(Others, Count, From, Pings, Count, Wanted);
        {link, Them} ->
            member(Them, length(Them), none, Pings, 0, 0);
        {count, From} ->
            From ! {count, Pings},
            member(Others, Count, Driver, Pings, Pongs, Rounds)
    end.

ping_all(Others) ->
    Ping = {ping, self()},
    [Other ! Ping || Other <- Others],
    ok.
