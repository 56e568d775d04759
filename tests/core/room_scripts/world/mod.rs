//! A room, and all that stands around it in a script: clock, store, books, broker.

mod effects;
mod held;
mod moderation;
mod modes;
mod outside;

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use liveroom::domain::word_filter::WordFilter;
use liveroom::domain::{
    AckId, ActionEntry, ActionId, BucketRate, Caller, Coins, Comment, CommentId, CommentText,
    Control, Effect, EntryContent, GiftCount, GiftOrder, GiftReceipt, GiftRecordId, HeldComment,
    History, HistoryLimits, KickReason, Live, LiveId, LiveModes, LiveStatus, Pin, PresenceSettings,
    Principal, Profile, Reject, ReplyTo, ReportedComment, ReportsChange, RequestId, Room,
    RoomCommand, RoomEvent, RoomSettings, Sequenced, SessionId, Standings, Timestamp, UserId,
};

use super::words::{self, Words};
use outside::{Env, gift_id, terms};

/// What a room keeps for those who come back, unless a script says otherwise.
const HISTORY: HistoryLimits = HistoryLimits {
    events_max: 300,
    age_ms: 120_000,
};
/// When every script begins.
const START: Timestamp = Timestamp(1_000_000_000);
/// The longest comment, as the configuration has it by default.
const COMMENT_CHARS_MAX: usize = 200;
const OWNER: &str = "streamer";

type Effects = Vec<Effect<String>>;
type Decision = Result<Effects, Reject>;

/// An entry that waits for its place in the log.
enum Unplaced {
    Event(RoomEvent),
    Control(Control),
}

/// One case of a script.
pub struct World {
    /// `None` until the first command that needs it: `room` and `seed` come before.
    room: Option<Room<String>>,
    live: Live,
    settings: RoomSettings,
    seeds: Vec<Comment>,
    now: Timestamp,
    /// Users and sessions in order of appearance; ids are places from 1.
    users: Vec<String>,
    sessions: Vec<String>,
    comments_count: i64,
    filter: WordFilter,
    store_full: bool,
    orders: BTreeMap<u64, Arc<GiftOrder>>,
    /// What orders that may only be retries are refused with otherwise.
    barred: BTreeMap<u64, Reject>,
    /// What the books hold, to give `books ok` its defaults.
    receipts: BTreeMap<i64, GiftReceipt>,
    books_total: Coins,
    order_later: bool,
    unplaced: VecDeque<Unplaced>,
    /// Comments that wait, as the store has them.
    held: BTreeMap<CommentId, Arc<HeldComment>>,
    /// As the store has them.
    standings: Standings,
    sanctions_count: i64,
    /// As the store has them.
    modes: LiveModes,
    offset: u64,
    /// As the actor keeps it.
    history: History<Sequenced>,
    trace: Vec<String>,
}

impl Default for World {
    fn default() -> Self {
        let owner = UserId::FIRST;
        let status = LiveStatus::OnAir;
        Self {
            room: None,
            live: Live {
                id: LiveId::FIRST,
                owner,
                title: "show".into(),
                status,
                coin: Coins::ZERO,
                look_count: 0,
            },
            settings: RoomSettings {
                comment_rate: BucketRate {
                    burst: 10,
                    refill: 20,
                    per_ms: 30_000,
                },
                streamer_comment_rate: BucketRate {
                    burst: 100,
                    refill: 600,
                    per_ms: 30_000,
                },
                crowd_events_per_s: 40,
                join_rate: BucketRate {
                    burst: 1_000,
                    refill: 200,
                    per_ms: 1_000,
                },
                presence: PresenceSettings {
                    full_users_max: 200,
                    merged_users_max: 1_000,
                    notable_users_max: 20,
                    merge_ms: 1_500,
                    list_rate: BucketRate {
                        burst: 2_000,
                        refill: 1_000,
                        per_ms: 1_000,
                    },
                },
                leave_grace_ms: 30_000,
                dedupe_ms: 300_000,
                dedupe_max: 1_000,
                gifts_in_flight_max: 100,
                order_knows_gifts: false,
            },
            seeds: Vec::new(),
            now: START,
            users: vec![OWNER.into()],
            sessions: Vec::new(),
            comments_count: 0,
            filter: WordFilter::default(),
            store_full: false,
            orders: BTreeMap::new(),
            barred: BTreeMap::new(),
            receipts: BTreeMap::new(),
            books_total: Coins::ZERO,
            order_later: false,
            unplaced: VecDeque::new(),
            held: BTreeMap::new(),
            standings: Standings::default(),
            sanctions_count: 0,
            modes: LiveModes::default(),
            offset: 0,
            history: History::new(HISTORY, words::position(0)),
            trace: Vec::new(),
        }
    }
}

impl World {
    /// Runs one command and returns the lines of its effects. `Err`: the script cannot be read.
    pub fn run(&mut self, command: &str) -> Result<Vec<String>, String> {
        let mut words = Words::split(command)?;
        let subject = words.next("a command")?;
        match subject.as_str() {
            "room" => self.configure(&mut words)?,
            "seed" => self.seed(&mut words)?,
            "with" => {
                while let Some(member) = words.optional() {
                    self.command(&member, &mut Words::split("join")?)?;
                }
                self.trace.clear();
            }
            "wait" => {
                self.now = self
                    .now
                    .plus_ms(words::duration_ms(&words.next("a duration")?)?)
            }
            "tick" => self.step(|room, now| room.tick(now)),
            "store" => self.store(&mut words)?,
            "books" => self.books(&mut words)?,
            "order" => self.order_later = words.next("later or now")? == "later",
            "place" => {
                let unplaced = self.unplaced.pop_front();
                match unplaced.ok_or("nothing waits for its place")? {
                    Unplaced::Event(event) => self.place(event),
                    Unplaced::Control(control) => {
                        self.step(|room, now| room.apply_control(control, now));
                    }
                }
            }
            "elsewhere" => self.post_elsewhere(&mut words)?,
            "node" => self.hear_node(&mut words)?,
            "own" => self.tell_own(),
            "terms" => self.filter = terms(&mut words)?,
            "gift_known" => {
                let record = GiftRecordId::new(words.label('r')?).ok_or("records count from r1")?;
                self.step(|room, _| room.gift_announced(record, None));
            }
            "live" => {
                let status = words::status(&words.next("a status")?)?;
                let title = words.optional().unwrap_or_else(|| self.live.title.clone());
                self.live.title.clone_from(&title);
                self.step(|room, now| room.live_changed(status, &title, now));
            }
            "remove" => {
                let id = CommentId::new(words.label('c')?).ok_or("comments count from c1")?;
                let removal = RoomEvent::Removed {
                    live_id: self.live.id,
                    comment_id: id,
                };
                self.act(EntryContent::Event(removal));
            }
            "notice" => {
                let text = words.next("a text")?;
                let notice = RoomEvent::Notice {
                    live_id: self.live.id,
                    text: text.as_str().into(),
                };
                self.act(EntryContent::Event(notice));
            }
            "pin" => self.pin(&mut words)?,
            "reported" => {
                let id = CommentId::new(words.label('c')?).ok_or("comments count from c1")?;
                let comment = ReportedComment {
                    comment_id: id,
                    reports: words.number("reports")?.unwrap_or(1),
                };
                let open = words.number("open")?.unwrap_or(1);
                let control = Control::Reports(ReportsChange { comment, open });
                self.step(|room, now| room.apply_control(control, now));
            }
            "events_missed" => self.step(|room, now| room.events_missed(now)),
            "views" => {
                let look_count = words::number(&words.next("a number")?)?;
                self.room().views_recorded(look_count);
            }
            "show" => self.show(&words.next("what")?)?,
            "reading" => self.read_standings(),
            "missed" => self.read_missed(&mut words)?,
            verb @ ("approve" | "deny" | "expire") => self.review(verb, &mut words)?,
            "modes" => self.set_modes(&mut words)?,
            "facts" => self.read_facts(&mut words)?,
            "follow_changed" => {
                let user = self.profile(&words.next("a user")?).id;
                self.room().follow_changed(user);
            }
            verb if self.moderate(verb, &mut words)? => {}
            member => self.command(member, &mut words)?,
        }
        words.end()?;
        Ok(std::mem::take(&mut self.trace))
    }

    /// Keys: `opening` coins of the live, `burst` of a viewer's comments and `streamer` of the
    /// streamer's (2 more each 3 s), `crowd` comments shown a second, `joins` at once (one more
    /// each second), `full`, `merged` and `notable` users of presence, `entries` its lists may cost
    /// at once, `dedupe` entries, `gifts` under way, `offset` reached, `history` events.
    fn configure(&mut self, words: &mut Words) -> Result<(), String> {
        if self.room.is_some() {
            return Err("the room is open already".into());
        }
        if let Some(status) = words.optional() {
            self.live.status = words::status(&status)?;
        }
        if let Some(coin) = words.number("opening")? {
            self.live.coin = Coins::new(coin);
            self.books_total = self.live.coin;
        }
        if let Some(burst) = words.number("burst")? {
            self.settings.comment_rate = BucketRate {
                burst,
                refill: 2,
                per_ms: 3_000,
            };
        }
        if let Some(burst) = words.number("streamer")? {
            self.settings.streamer_comment_rate = BucketRate {
                burst,
                refill: 2,
                per_ms: 3_000,
            };
        }
        if let Some(burst) = words.number("joins")? {
            self.settings.join_rate = BucketRate {
                burst,
                refill: 1,
                per_ms: 1_000,
            };
        }
        let settings = &mut self.settings;
        let presence = &mut settings.presence;
        presence.full_users_max = words.number("full")?.unwrap_or(presence.full_users_max);
        presence.merged_users_max = words.number("merged")?.unwrap_or(presence.merged_users_max);
        presence.notable_users_max = words
            .number("notable")?
            .unwrap_or(presence.notable_users_max);
        presence.list_rate.burst = words.number("entries")?.unwrap_or(presence.list_rate.burst);
        settings.crowd_events_per_s = words
            .number("crowd")?
            .unwrap_or(settings.crowd_events_per_s);
        settings.dedupe_max = words.number("dedupe")?.unwrap_or(settings.dedupe_max);
        settings.gifts_in_flight_max = words
            .number("gifts")?
            .unwrap_or(settings.gifts_in_flight_max);
        self.offset = words.number("offset")?.unwrap_or(self.offset);
        let events_max = words.number("history")?.unwrap_or(HISTORY.events_max);
        self.history = History::new(
            HistoryLimits {
                events_max,
                ..HISTORY
            },
            words::position(self.offset),
        );
        Ok(())
    }

    fn seed(&mut self, words: &mut Words) -> Result<(), String> {
        let author = words.next("an author")?;
        let text = words.next("a text")?;
        let ago_ms = words::duration_ms(&words.key("ago").ok_or("seed needs ago=")?)?;
        let request_id = words.request_id()?;
        let comment = self.new_comment(&author, &text, request_id)?;
        self.seeds.push(Comment {
            at: START.plus_ms(-ago_ms),
            ..comment
        });
        Ok(())
    }

    fn room(&mut self) -> &mut Room<String> {
        self.room.get_or_insert_with(|| {
            let mut room = Room::open(
                self.live.clone(),
                words::position(self.offset),
                self.seeds.clone(),
                self.settings,
                START,
            );
            room.open_standings(self.standings.clone());
            room.open_modes(self.modes);
            room
        })
    }

    fn step(&mut self, decide: impl FnOnce(&mut Room<String>, Timestamp) -> Effects) {
        let now = self.now;
        let effects = decide(self.room(), now);
        self.perform(effects);
    }

    fn act(&mut self, content: EntryContent) {
        let entry = ActionEntry::of_action(ActionId::FIRST, 0, content);
        self.step(|room, now| room.apply(entry, now));
    }

    /// `pin c1 action=2`, `pin nothing action=3`: an action on what is pinned. With `opening` the
    /// store has it when the room opens.
    fn pin(&mut self, words: &mut Words) -> Result<(), String> {
        let action = words.number("action")?.and_then(ActionId::new);
        let action = action.ok_or("a pin needs action=")?;
        let opening = words.flag("opening");
        let comment = if words.flag("nothing") {
            None
        } else {
            let id = CommentId::new(words.label('c')?).ok_or("comments count from c1")?;
            let counted = self.comments_count;
            let comment = self.new_comment(OWNER, "pinned", None)?;
            self.comments_count = counted;
            Some(Arc::new(Comment { id, ..comment }))
        };
        let pin = Pin {
            comment,
            by: Principal::Operator,
            action,
        };
        if opening {
            self.room().open_pin(Some(pin));
        } else {
            let event = EntryContent::Event(pin.event(self.live.id));
            let entry = ActionEntry::of_action(action, 0, event);
            self.step(|room, now| room.apply(entry, now));
        }
        Ok(())
    }

    fn command(&mut self, subject: &str, words: &mut Words) -> Result<(), String> {
        let (user, session) = subject.split_once('@').unwrap_or((subject, subject));
        let user = user.split('.').next().unwrap_or(user);
        let profile = self.profile(user);
        let id = SessionId(place_of(&mut self.sessions, session) as u64);
        let handle = session.to_owned();
        let ack = match words.number("ack")? {
            Some(ack) => AckId::Number(ack),
            None => AckId::None,
        };
        let to = ReplyTo { handle, ack };
        // By default each user has an address of its own.
        let address = words.number("from")?.unwrap_or(profile.id.get() as u32);
        let address = Ipv4Addr::from_bits(address).into();
        let user_id = profile.id;
        let caller = Caller {
            session: id,
            profile,
            socket_id: session.into(),
            site_sanctions: Arc::default(),
            account_since: Timestamp(0),
            address,
            to: to.clone(),
        };
        let now = self.now;
        let verb = words.next("what it does")?;
        let decision: Decision = match verb.as_str() {
            "join" => self.handle(
                caller,
                RoomCommand::Join {
                    since: words.since(),
                },
            ),
            "leave" => self.handle(caller, RoomCommand::Leave),
            "lost" => Ok(self.room().connection_lost(id, now)),
            "removed" => Ok(self.room().remove(id, now)),
            "kicked" => Ok(self.room().apply_control(
                Control::Kick {
                    user: user_id,
                    at: now,
                },
                now,
            )),
            "becomes_another" => Ok(self.room().expel(id, KickReason::IdentityChanged, now)),
            "comment" => {
                // Whatever becomes of it, so that a script can count its comments.
                self.comments_count += 1;
                let text = CommentText::parse(&words.next("a text")?, COMMENT_CHARS_MAX)
                    .map_err(Reject::from);
                self.handle(
                    caller,
                    RoomCommand::Comment {
                        text,
                        request_id: words.request_id_or_fault(),
                    },
                )
            }
            "gift" => {
                let gift_id = gift_id(&words.next("a gift")?);
                let count = GiftCount::new(words.number("num")?.unwrap_or(1));
                let count = count.ok_or(Reject::BadRequest { what: "num" });
                let shown_price = Ok(words.number("coin")?.map(Coins::new));
                self.handle(
                    caller,
                    RoomCommand::Gift {
                        gift_id,
                        count,
                        shown_price,
                        request_id: words.request_id_or_fault(),
                    },
                )
            }
            other => return Err(format!("nobody can {other}")),
        };
        match decision {
            Ok(effects) => self.perform(effects),
            Err(reject) => self.reply(&to, Err(reject)),
        }
        Ok(())
    }

    fn handle(&mut self, caller: Caller<String>, command: RoomCommand) -> Decision {
        self.room();
        let mut env = Env {
            history: &self.history,
            comments_count: self.comments_count,
            filter: &self.filter,
        };
        self.room
            .as_mut()
            .expect("it is open")
            .handle(caller, command, &mut env, self.now)
    }

    fn new_comment(
        &mut self,
        author: &str,
        text: &str,
        request_id: Option<RequestId>,
    ) -> Result<Comment, String> {
        let text =
            CommentText::parse(text, COMMENT_CHARS_MAX).map_err(|fault| format!("{fault:?}"))?;
        let author = self.profile(author);
        self.comments_count += 1;
        let id = CommentId::new(self.comments_count).ok_or("comments count from 1")?;
        Ok(Comment {
            id,
            live_id: self.live.id,
            author,
            text,
            request_id,
            at: self.now,
        })
    }

    fn profile(&mut self, user: &str) -> Arc<Profile> {
        let id = UserId::new(place_of(&mut self.users, user) as i64).unwrap_or(UserId::FIRST);
        Arc::new(Profile {
            id,
            name: user.into(),
            avatar: None,
        })
    }

    fn show(&mut self, what: &str) -> Result<(), String> {
        let now = self.now;
        let room = self.room();
        let line = match what {
            "members" => {
                let members = room.members();
                let names = words::names(&members.users(usize::MAX));
                let sockets = members.socket_ids().join(",");
                let next = room
                    .next_deadline()
                    .map_or("never".into(), |at| format!("in {} ms", at.since(now)));
                format!(
                    "users {names}; members {}; leaves {next}",
                    if sockets.is_empty() { "-" } else { &sockets }
                )
            }
            "ledger" => {
                let ledger = room.ledger();
                let (total, posted, entries) =
                    (ledger.total(), ledger.posted(), ledger.entries_count());
                format!(
                    "total={total} posted={posted} entries={entries} live={}",
                    room.live().coin
                )
            }
            "idle" => format!(
                "idle={} in_flight={}",
                room.is_idle(),
                room.in_flight_count()
            ),
            "position" => format!(
                "epoch={} offset={}",
                room.position().epoch,
                room.position().offset
            ),
            other => return Err(format!("cannot show {other}")),
        };
        self.trace.push(line);
        Ok(())
    }
}

/// Place, from 1, of `name` in a list of names; at its end if it is new.
fn place_of(known: &mut Vec<String>, name: &str) -> usize {
    known.iter().position(|one| one == name).unwrap_or_else(|| {
        known.push(name.into());
        known.len() - 1
    }) + 1
}
