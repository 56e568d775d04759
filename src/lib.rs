//! liveroom: a realtime live-room server.
//!
//! Viewers and streamers join a live room, see who is online, send comments (弹幕) and gifts that
//! cost coins; every change reaches the whole room at once, and the coins are exact.
//!
//! # The map
//!
//! ```text
//!  socket.io 2, 3, 4 clients     plain WebSocket clients       operators, HTTP API
//!    polling | websocket               /ws?token=                /api  /admin  /
//!           \      |                       /                           |
//!            transport   frames <-> packets                           http
//!                  \               /                                   |
//!                   actors::session   who it is, limits, deadlines     |
//!                         |  join, leave, comment, gift                |
//!                   actors::registry  opens, stops, replaces rooms     |
//!                         |                                            |
//!                   actors::live_room  asks domain::Room, performs its effects
//!                    |            |                 |                  |
//!          actors::hub      actors::persister    cluster::Broker       |
//!          one per worker   group commit         order of events,      |
//!                |                |                other nodes           |
//!             outbox           storage: SQLite |    memory | Redis     |
//!                              PostgreSQL  <---------------------------+
//! ```
//!
//! | layer | knows | does not know |
//! |---|---|---|
//! | [`domain`] | what a room decides: [`domain::Room`] is stepped with commands and time | actors, JSON, databases, the clock |
//! | [`protocol`] | bytes and types: every wire name, error text, code | sockets, actors |
//! | [`outbox`] | one session's bounded queue, the slow-member policy | what a packet means |
//! | [`config`] | every key an operator may choose, once; all layers but the domain read their sections of it | what follows from a value |
//! | [`actors`] | who holds which state, and in which order effects happen | rules |
//! | [`storage`], [`cluster`] | rows; order of events, tokens of other programs, the other nodes | rules beyond a WHERE clause |
//! | [`tls`] | certificate authorities for both | addresses |
//! | [`transport`], [`http`] | frames, requests | commands and events; rules |
//! | [`app`] | which parts are in use, and in which order they start and stop | everything else |
//!
//! `tests/core/tidy/mod.rs` holds the imports to this table.
//!
//! # The life of a comment
//!
//! Read each file once, in this order:
//!
//! 1. `transport/socket.rs` takes a text frame off the socket and hands it to the session; it reads
//!    on when the session is done with it. (How a connection is accepted and limited:
//!    `transport/connections`. How it becomes a WebSocket: `transport/upgrades.rs`.)
//! 2. `actors/session/handlers.rs` picks the decoder: `protocol/plain_json.rs` or
//!    `protocol/socketio.rs` makes it a [`protocol::ClientCommand`], which carries a
//!    [`domain::RoomCommand`].
//! 3. `actors/session/commands.rs` passes it through the session's limiter, makes sure of the token
//!    (`auth.rs`), finds the room and sends it a `SessionCommand`.
//! 4. `actors/live_room/handlers.rs` asks `domain/room.rs`, unless
//!    `actors/live_room/deferred_joins.rs` defers the command until this node has caught up:
//!    [`domain::Room::handle`] decides and returns effects. While viewers post more than the room
//!    shows, `domain/crowd.rs` keeps the comment for the end of a turn, and may give it to its
//!    sender alone.
//! 5. `actors/live_room/effects.rs` performs them in order. *Store* first, because only storing can
//!    refuse: `actors/persister` takes the comment into its next batch, or refuses it and it is
//!    never delivered. *Publish* next: `cluster/memory.rs` gives the event its place in the room's
//!    order (or Redis does, see below), `actors/live_room/recovery.rs` keeps it for members that
//!    come back, and `actors/live_room/fan_out.rs` gathers what is to be delivered.
//!    `actors/live_room/window.rs` says for how long: not at all in a calm room; then it is one
//!    message to each worker's hub.
//! 6. `actors/hub` has what was gathered encoded once per dialect, as one run of frames, and pushes
//!    that to each member's `outbox`, which writes it to the socket there and then. Only what the
//!    socket does not take waits in the outbox, for `transport/socket.rs` to write later.
//! 7. When the batch is durable (`storage/sqlite`), the persister notifies the room, and the room
//!    answers the sender, through the same hub: an answer means durable, and never overtakes its
//!    event.
//!
//! A gift differs in one step: it is committed before it is delivered. `Room::send_gift` only asks
//! for the commit; one transaction debits the giver (`WHERE coin >= price`), credits the live and
//! writes the ledger; [`domain::Room::gift_settled`] then publishes it.
//!
//! # The life of an action
//!
//! Comments and gifts have the way above. Everything else that acts on a room or on the site is a
//! [`domain::Action`] and has one way, whoever asks for it:
//!
//! 1. A handler of `http/moderation.rs` or `http/lives.rs`, or the session of a streamer that sent
//!    a command (`actors/session/commands.rs`), reads what is asked for and calls
//!    [`actors::Operations`] (`actors/operations.rs`).
//! 2. [`domain::may`] says whether this role may do it here.
//! 3. [`storage::Store::perform`] makes the change and adds a row to the append-only audit, in one
//!    transaction and once per `request_id`. In the same transaction the action becomes pending, if
//!    it adds something to the log of a room.
//! 4. [`domain::Action::entries`] says what that is: an event, which members see, or a
//!    [`domain::Control`], which only nodes see and which has no offset. `actors/registry/rooms.rs`
//!    hands an event to the room if it is open on this node (`actors/live_room/moderation.rs`), and
//!    all else to the broker, whose log every node follows. Each entry has a key, so that appending
//!    it again has no effect. Other actions are about a user's sessions, which
//!    `actors/cluster_control.rs` reaches on all nodes.
//! 5. Once the log has the entry, the action is pending no more. `actors/reconcile.rs` has every
//!    node deliver those that stay pending, because Redis was away or their node died:
//!    [`actors::Operations::deliver_pending`].
//!
//! # The life of a mute
//!
//! A mute, a ban, a shadow and the naming of a moderator are actions on the *standing* of a user:
//! what it is and may not do in the lives of one streamer.
//!
//! 1. `storage/queries/standing_changes.rs` makes the change under a lock of the streamer, and
//!    counts it.
//! 2. The action's entry is [`domain::Control::Standing`]: the user's standing after it, with the
//!    number of the change.
//! 3. Every node that has the room takes it in the log's order (`domain/moderation.rs`), notifies
//!    the user's sessions and ends those of a banned user (`domain/room/moderation.rs`). From there
//!    on `domain/checks.rs` refuses, and [`domain::Room::judge`] removes comments of the user that
//!    get their place later.
//! 4. Rooms of the streamer's other lives, and those that did not receive the control, are behind
//!    the number in the store. The change feed and `actors/registry/reconcile.rs` have them read
//!    all standings again.
//! 5. What holds on the whole site comes with the account, as whether it is enabled: `auth.rs` reads
//!    it, and the session hands it to the room with each command.
//!
//! # The life of a held comment
//!
//! A comment that a moderator is to see first, because of a term of the word filter say, is held.
//!
//! 1. `domain/checks.rs` says so, and the room has the store hold it ([`storage::Write::Hold`], in
//!    the persister's batch) instead of showing it. At the commit the sender is answered `held`.
//! 2. The room reports it to `actors/held_comments.rs`, which appends [`domain::Control::Held`] to
//!    the room's log: every node that has the room notifies its moderators (`domain/room/holds.rs`),
//!    and recognises a retry.
//! 3. It is decided once, by the update of its row while it waits
//!    (`storage/queries/held_comments.rs`): by [`domain::Action::Review`] or a removal, which take
//!    the way of all actions; by a ban of its author; or by the store's time, which every node
//!    watches ([`clock::StoreClock`]).
//! 4. The decision is an entry of the log, under a key of the comment: the comment as an event, with
//!    the time of the decision and a key of then in the history, or [`domain::Control::Denied`],
//!    which notifies its author.
//! 5. The row says whether the log is known to have the entry. Any node appends what it does not
//!    have, so it does not matter which node dies in between.
//!
//! # The life of a mode
//!
//! `domain/modes.rs` says what there are. `storage/queries/modes.rs` changes those of a live and
//! numbers the change, and the action's entry is the event [`domain::RoomEvent::Modes`]. A room takes
//! it in at its place ([`domain::Room::judge`], `domain/mode_state.rs`); one that missed it is behind
//! the number in the store and reads the modes again, as with standings. `domain/checks.rs` refuses
//! what the modes do not let pass.
//!
//! # The life of an operator's request
//!
//! `http/routes.rs` is the table of all URLs: method, path, what it requires, handler.
//!
//! 1. `http/gate.rs` finds who asks: a manager by its session (`http/manager_sessions.rs`, read from
//!    the store each time, so that a session that ended on one node has ended on all), an API token
//!    (`http/api_tokens.rs`), or the token of the configuration. It refuses what the roles of
//!    `domain/operator.rs` do not grant, and a change that a page of another site may have caused
//!    (`http/page_origin.rs`). `http/attempts.rs` has refusals and failed logins in the audit.
//! 2. The handler takes a [`domain::Actor`] along: an action goes the way above; any other change
//!    (coins, gifts, tokens, managers) adds its row of the audit in its own transaction
//!    (`storage/queries/audit_rows.rs`).
//! 3. About a second later `actors/audit_sealer.rs` of one node has the rows sealed in a chain of
//!    hashes (`storage/audit_chain.rs`), which `liveroom audit` checks.
//!
//! The console at `/admin/` (`http/console`) is a page over these URLs. Its live feed takes another
//! way, because it is a WebSocket: `transport/feed.rs`, let in by `http/feed.rs`, fed by
//! `actors/consoles`.
//!
//! # Many nodes
//!
//! Nodes are equal and share two things: PostgreSQL, which alone decides about coins, and Redis,
//! which alone decides about order. A room lives on every node that has members of it. What changes
//! in the life of a comment is step 5:
//!
//! 1. `cluster/redis/mod.rs` takes the event from the room without waiting, as an input of the
//!    cluster's own thread. `cluster/redis/engine.rs` is its loop: it hands each input to the part
//!    that decides on it, and `engine/performer.rs` carries out what that part returns.
//!    `engine/room.rs` gathers what the room appends while the batch before is under way, and
//!    `engine/rooms.rs` with `append_calls.rs` says which rooms append in the same call.
//! 2. `cluster/redis/append.lua` numbers each batch, appends it to its room's stream and publishes
//!    it, in one step. Doing it again changes nothing: each room of each node counts its events.
//! 3. `cluster/redis/log_replica.rs` hands each node's room the events in their order, whether they came
//!    as the answer, as a message or out of the stream, each once. `actors/live_room/peers.rs`
//!    takes them in; from there the way is the same.
//!
//! The other parts, each in a file of `cluster/redis/engine` with its states and inputs in a table:
//! `connection.rs` (is there a connection), `health.rs` (does Redis work, which the enum
//! `RedisHealth` says to all threads), `membership.rs` (which other nodes are there), `devices.rs`,
//! `reports.rs` and `settings.rs`.
//!
//! | what nodes share | how | when Redis is away |
//! |---|---|---|
//! | a room's events | stream and script, `log_replica.rs` | each node is partitioned: it delivers in an epoch of its own, and appends to the log later |
//! | who is in a room | counted deltas from node to node, `presence_replica.rs` | each node shows its own users, and others' until they count as dead; within 2 s of being reached again all agree |
//! | current tokens | PostgreSQL; keys `user_<id>` for other programs and of those, `tokens.rs` | the same; tokens that other programs issued cannot be verified |
//! | actions on a room | entries of its log, once by their keys; pending in the store until it has them | they hold on their own node at once, elsewhere within `rooms.reconcile_ms` |
//! | that a token, an account or a live changed | PostgreSQL's change feed, `actors/change_feed.rs`; signals say it sooner | within a second |
//! | what must happen everywhere | signals, `engine.rs`, `actors/cluster_control.rs` | happens here; other nodes find out when they look again |
//! | numbers, by which ids of their comments differ | PostgreSQL, `actors/node_number.rs` | not affected |
//! | coins, comments, accounts | PostgreSQL | not affected |
//! | what operators ask of all nodes (members, sessions, traces) | questions, `cluster/question.rs` | each node answers for itself, and names the others as silent |
//! | sanctions and moderators | PostgreSQL; controls in the log give their order | they hold on their own node at once, elsewhere within a second |
//!
//! # Promises, and where they are kept
//!
//! * All members of a room receive the same events in the same order, without a gap inside an
//!   epoch, on every node: one [`cluster::RoomLog`] per room. No event is delivered twice to a
//!   member, whatever data Redis loses (`cluster/redis/log_replica/tests.rs` tests it).
//! * A member that comes back receives every event it missed, once and in order, or is answered
//!   `recovered: false`: [`domain::History`] keeps the events, and a replay takes the path of live
//!   events.
//! * A comment that was taken down is neither delivered nor listed again: its removal replaces it,
//!   also where it got its place after its sender was muted, and when a room opens. Only a restore
//!   lists it again.
//! * A check of a comment and its explanation are one list: `domain/checks.rs`.
//! * An acknowledged comment or gift is durable: answers wait for the commit.
//! * Receipts are honest: `delivered` comments went to all members, `sampled_out` ones to their
//!   sender alone; one comment of each sender is shown before a second of any
//!   ([`domain::Room::tick`] ends the rounds).
//! * A retried command has one effect: `request_id`, remembered by the room for comments (and read
//!   back from the store when a room opens), unique in the store for gifts and, while it may wait,
//!   for a held comment.
//! * Nobody but moderators receives a held comment before it is shown.
//! * A join costs the same in a room of any size, and everybody ends with the right count of users
//!   online: [`domain::PresenceLadder`] decides how much of it is announced, and when.
//! * A change asked for over HTTP completes or does nothing, whatever its client does:
//!   `http/changes.rs` runs it to its end, and a node that stops waits for it. A node finds a
//!   change it was not notified of by itself: `actors/change_feed.rs` follows the changes that
//!   PostgreSQL notes, `actors/registry/reconcile.rs` compares rooms with rows,
//!   `actors/reconcile.rs` gifts and, over SQLite, accounts.
//! * Coins are exact: double entry, append-only, balances that the database refuses to let go
//!   negative; `liveroom audit` recomputes all of it.
//! * Everything is bounded: each queue, map and timeout names its limit and what happens there, in
//!   `config.toml` where it can be chosen and beside the constant where it cannot.
//! * A fault stays where it is: a room that panics is replaced at the next join and its members are
//!   notified; a session that floods, stalls or lies ends alone.
//!
//! # How to add an action
//!
//! 1. `domain/action.rs`: a variant of [`domain::Action`]; one line with its name, its target if it
//!    is done to a user, and what it changes; who may do it (and a line of the table in the tests);
//!    what it adds to the room's log.
//! 2. `storage/queries/actions.rs`: how it makes its change (with a query of its own beside it);
//!    `action_columns.rs`: what was asked for beside the target, written and read.
//! 3. `protocol/command.rs`: one arm that reads it from a socket.
//! 4. `http/moderation.rs`: the body and the handler; `http/routes.rs`: the URL.
//!
//! That is all of an action whose event exists already, at most 7 files and 12 places. `set_title`
//! is one: it is in these six files and `storage/queries/lives.rs`, in 11 places. An action with a
//! new event needs that as well. A rule that refuses in words of its own is a variant in
//! `domain/reject.rs` and its words in `protocol/refusal.rs`. Then the README's table of requests.
//!
//! # How to add an event
//!
//! A recoverable event, that is: ordered, counted, kept for members that come back.
//!
//! 1. `domain/event.rs`: a variant of [`domain::RoomEvent`], and its priority.
//! 2. `protocol/events.rs`: a serde struct with the fields that clients get, whose `Kind` names it
//!    and makes it an event again. Fields that clients must not get are its `Private`. One arm each
//!    in `encode` and `read_body`. History, recovery, operators and other nodes need nothing more.
//! 3. `domain/room.rs`: what the room does when the event has its place (`ordered`), and the
//!    decision that publishes it. If a later event takes it back, as a removal does with a comment:
//!    `domain/history.rs`.
//!
//! Nodes of the version before, which stay until a rolling restart is over, number the event, keep
//! it and give clients its fields, but do nothing else about it: what they must do has to reach
//! them in another way. Fields of an event are only ever added.
//!
//! # How to add a configuration key
//!
//! 1. `config/table.rs`: one line in its section: type, default, permitted values. A key that ends
//!    in `_ms` is a [`config::Millis`], a secret a [`config::Secret`]. A bound that is more than a
//!    plain number is a constant of `limits.rs`.
//! 2. `config.toml`: the key at the same place with its default, and what too much and too little
//!    costs. `tests/core/config.rs` compares both. The variable `LIVEROOM__SECTION__KEY` and
//!    `liveroom config check` follow from the table.
//! 3. Its use, `config.section.key`: code that needs a key holds the [`config::Config`] or takes
//!    its section, and no struct repeats keys. Only the domain, which knows no configuration, has
//!    settings of its own: [`domain::RoomSettings`], filled in by `actors/live_room/settings.rs`.
//!
//! Values that are each permitted and do not go together are a line of `config/relations.rs`.
//!
//! # How to add a stored row
//!
//! 1. `migrations/sqlite` and `migrations/postgresql`: a folder of the same name in both, with
//!    `up.sql` and `down.sql`. Nodes of the version before go on while it runs and after it.
//! 2. `storage/schema.rs`, printed from PostgreSQL as `diesel.toml` says.
//! 3. `storage/mod.rs`: what is read or written, as a method of [`storage::Store`] in types of the
//!    domain.
//! 4. `storage/queries`: the query, written once for both databases, and its line in `mod.rs`. What
//!    diesel reads is a struct of `storage/rows.rs` if several queries share it.
//! 5. `tests/store/contract`: a test that runs on both databases.
//!
//! A row that changes together with an action is no method: see above. A write of a room's hot path
//! is a variant of [`storage::Write`], planned in `storage/batch.rs` and carried out by the
//! `batch.rs` of each database. Rows that concern coins get a rule in `storage/audit_rules.rs`.
//!
//! # Glossary
//!
//! | term | meaning here | where |
//! |---|---|---|
//! | live | one broadcast and its row, with a status | [`domain::Live`] |
//! | room | the members, ledger and events of one live, on one node | [`domain::Room`], `actors/live_room` |
//! | connection | one TCP or WebSocket connection, or one sequence of polls | `transport` |
//! | session | one Engine.IO sid or plain WebSocket; it survives an upgrade | `actors/session` |
//! | stranger | a session without a verified user or a room; the first to be closed when seats are scarce | `actors/session/strangers.rs` |
//! | verdict | the result of verifying a token; an unchanged invalidation epoch keeps a good one valid | `actors/session/commands.rs` |
//! | invalidation epoch | a number that changes when a notice of a changed token may have been missed | [`cluster::TokenStore`] |
//! | seat | the place of one session under the node's limits | `transport/gate.rs` |
//! | member | a session that has joined a room | [`domain::Member`] |
//! | presence, online | the users with at least one member, over all nodes | [`domain::PresenceLadder`] |
//! | grace | the time that a user stays online after its last connection was lost | `domain/member.rs` |
//! | command, reply, event | a client asks; one answer; a change that all members receive | `domain` |
//! | manager | an operator with an account; it has a role, and perhaps may administer | `domain/operator.rs` |
//! | operator | whoever acts at the operators' URLs: a manager, an API token, the token of the configuration | [`domain::Actor`] |
//! | seal | the hash over a range of rows of the audit and over the seal before | `storage/audit_chain.rs` |
//! | action | a change of a room that is neither comment nor gift, stored with its audit row | `actors/operations.rs` |
//! | control | an entry of a room's log that only nodes see, without an offset; a kick, a standing | [`domain::Control`] |
//! | sanction | a mute, ban or shadow: one row, with a scope and an end | [`domain::Sanction`] |
//! | standing | what a user is and may not do in the lives of one streamer | [`domain::Standing`] |
//! | pending action | one that the log of its room may not have yet | table `pending_actions` |
//! | pin | which comment a live shows above all others, by which action | [`domain::Pin`] |
//! | epoch | one numbering of a room's events; offsets are gapless inside it | [`domain::Epoch`] |
//! | offset | the number of an event inside its epoch | [`domain::Offset`] |
//! | sequenced | an event with epoch and offset | [`domain::Sequenced`] |
//! | position | epoch and offset of the last event that was delivered | [`domain::Position`] |
//! | log | the newest events of a room, in Redis: one stream and one script | `cluster/redis/append.lua` |
//! | generation | the number of an epoch in the log | `cluster/redis/entries.rs` |
//! | cursor | the position up to which a node has read the log | `cluster/redis/entries.rs` |
//! | origin, sequence | the opening of a room on one node, as Kafka's producer id; its count of appended events | `cluster/redis/entries.rs` |
//! | delivered | handed to the room for its members, once | `cluster/redis/log_replica.rs` |
//! | acknowledged | taken by the room; the number of delivered events that are not is bounded | [`cluster::RoomLog`] |
//! | resync | read the log because a message may be missing | `cluster/redis/log_replica.rs` |
//! | part, input, out | a state machine of the cluster's thread; what it is stepped with; what it decides | `cluster/redis/engine.rs` |
//! | away, alone | Redis is silent for longer than it may; this node goes on without it, until its rooms are together with others' again | `cluster/redis/engine/health.rs` |
//! | partitioned | without Redis, in an epoch of the node's own; `alone` on the wire and in logs | `cluster/redis/log_replica.rs` |
//! | unreplicated | delivered while partitioned and not in the log yet | `cluster/redis/log_replica.rs` |
//! | heal | append unreplicated events at the start of a new shared epoch | `cluster/redis/log_replica.rs` |
//! | delta, snapshot, announcement | a numbered presence change; all users of a node; a node's delta count | `cluster/redis/presence_replica.rs` |
//! | stamp | which login or logout Redis has seen last; it distinguishes a deleted token from a lost one | `cluster/redis/token_rules.rs` |
//! | look | a comparison of a user's token in the store with that in Redis | `cluster/redis/tokens.rs` |
//! | signal | a notice to all nodes, best effort | [`cluster::Signal`], `actors/cluster_control.rs` |
//! | deferred join | a join that waits until this node has caught up with another | `actors/live_room/deferred_joins.rs` |
//! | replay, recovery | events delivered again to a member that comes back; the promise that none is missing | `actors/live_room/recovery.rs` |
//! | fan-out | delivery of one event to all members on this node | `actors/live_room/fan_out.rs` |
//! | window | how long a loud room gathers events before it delivers them | `actors/live_room/window.rs` |
//! | batch window | how long a room's log gathers events before it appends them together | [`cluster::RoomLog`] |
//! | hub | the outlets of one worker thread | `actors/hub` |
//! | codec, dialect | the wire form of one session; codecs whose events are the same bytes | [`protocol::Codec`], [`protocol::Dialect`] |
//! | outlet | codec and outbox of one member, through which its hub delivers | `actors/hub` |
//! | outbox | the bounded queue of encoded packets of one session | [`outbox::Outbox`] |
//! | priority, drop policy | the order in which packets are dropped at the bound of an outbox | [`domain::Priority`], [`outbox::DropPolicy`] |
//! | slow member | a member whose outbox is at its bound | `actors/hub` |
//! | sampled out | a comment that only its sender sees, because the room is above its cap | `domain/crowd.rs` |
//! | dedupe | answered commands, kept so that a repeated one has one effect | `domain/dedupe.rs` |
//! | group commit | one transaction for all writes that gathered during the previous one | `actors/persister` |
//! | lane | writes that commit in order, concurrently with those of other lanes | `actors/persister` |
//! | row lock | a row and the purpose for which a write locks it | [`storage::RowLock`] |
//! | blocked write | a write whose row another transaction locks | `actors/persister/blocked.rs` |
//! | console | an operator's page with a live feed; its view is what it looks at | `actors/consoles` |
//! | snapshot of an overview | one look at the figures that rooms publish, shared by all consoles | `actors/consoles/snapshot.rs` |
//! | tap | the way of a watched room's events to consoles | `actors/consoles/room_tap.rs` |
//! | mode | what a room asks of all viewers, such as slow mode; the shield is several at once | [`domain::Modes`] |
//! | held | stored, and not shown before somebody decides or a delay ends | `domain/held.rs` |
//! | review | a moderator's decision about a held comment | [`domain::Action::Review`] |
//! | preview | a held comment as moderators see it during the delay of their room | `domain/room/holds.rs` |
//! | report | a member's complaint about a comment; it is open until somebody dismisses it or the comment goes | `domain/report.rs` |
//! | term | a text that the word filter looks for, and what happens to a comment that has it | [`domain::word_filter::Term`] |
//! | normalised | in the one form in which terms and texts are compared | `domain/word_filter/fold.rs` |
//! | hit | a place of a text where a term was found | [`domain::word_filter::Hit`] |
//! | ledger, posting | the append-only record of coins; one line of it | [`domain::RoomLedger`], `storage` |
//! | change feed | the rows that changed, whoever changed them, as nodes poll them | [`storage::FeedPage`], `actors/change_feed.rs` |
//! | reconcile | compare open rooms with their rows, and sessions with accounts | `actors/reconcile.rs` |
//! | backlog | a bounded queue of what a receiver has not taken yet | where it is declared |
//!
//! # The lab
//!
//! `src/bin/lab` is a second program, `liveroom-lab`: it plays rooms from `tests/load/*.toml`
//! against a server and verifies what every member receives. It imports nothing of this crate, so
//! that it judges the wire and not our idea of it.
//!
//! # What is not here yet
//!
//! Certificates of clients for PostgreSQL and Redis; metrics; private chat.

// A call that cannot fail has an `expect` that says why; all others return an error value.
#![warn(clippy::unwrap_used)]

pub mod actors;
pub mod app;
pub mod auth;
pub mod catalogue;
pub mod cli;
pub mod client_address;
pub mod clock;
pub mod cluster;
pub mod comment_ids;
pub mod config;
pub mod demo;
pub mod domain;
pub mod http;
pub mod limits;
pub mod managers;
pub mod outbox;
pub mod protocol;
pub mod storage;
pub mod tls;
pub mod transport;
pub mod word_filters;
