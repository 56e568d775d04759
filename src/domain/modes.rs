//! Modes of a room: what its streamer and moderators ask of all viewers who speak or give in it.
//!
//! | mode | asks | passes |
//! |---|---|---|
//! | `slow_s` | so many seconds between two comments of a user | moderators |
//! | `followers_min` | to have followed the streamer for so many minutes | moderators |
//! | `gifters_coins` | to have given so many coins in this live | moderators |
//! | `frozen` | to be silent | moderators |
//! | `unique_s` | a text that nobody has posted for so many seconds | moderators |
//! | `mod_delay_s` | to wait so many seconds, while moderators see the comment | moderators |
//! | `gifts_paused` | to give nothing | nobody |
//!
//! The streamer passes all of them. `shield` is one switch for a raid: while it is on, what it asks
//! for holds beside the other modes, and the stricter of both counts. So turning it off needs no
//! memory of what was before, and what was set meanwhile is not lost.
//!
//! A live has modes of its own. They are copied from those of its streamer when it starts, and a
//! change in a live is also one of the streamer's, for the next live.

use super::{Coins, Principal, Reject, Timestamp};

/// Longest `slow_s`, in seconds.
pub const SLOW_S_MAX: u16 = 120;
/// Longest `followers_min`, in minutes: 90 days.
pub const FOLLOWERS_MIN_MAX: u32 = 129_600;
/// Longest `unique_s`, in seconds.
pub const UNIQUE_S_MAX: u16 = 300;
/// The delays that `mod_delay_s` may have, in seconds.
pub const MOD_DELAYS_S: [u8; 4] = [0, 2, 4, 6];
/// `slow_s` while the shield is up, unless a longer one is set.
pub const SHIELD_SLOW_S: u16 = 30;
/// `followers_min` while the shield is up, unless a longer one is set.
pub const SHIELD_FOLLOWERS_MIN: u32 = 10;
/// Comments of younger accounts are held for review while the shield is up, in milliseconds: a day.
pub const SHIELD_ACCOUNT_MS: i64 = 86_400_000;

const MINUTE_MS: i64 = 60_000;

/// One of the modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomMode {
    SlowS,
    FollowersMin,
    GiftersCoins,
    Frozen,
    GiftsPaused,
    UniqueS,
    ModDelayS,
    Shield,
}

/// What a mode is set to, as it stands on the wire and in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeValue {
    Number(i64),
    Flag(bool),
}

impl RoomMode {
    pub const ALL: [Self; 8] = [
        Self::SlowS,
        Self::FollowersMin,
        Self::GiftersCoins,
        Self::Frozen,
        Self::GiftsPaused,
        Self::UniqueS,
        Self::ModDelayS,
        Self::Shield,
    ];

    /// The word for it. Stored and sent: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowS => "slow_s",
            Self::FollowersMin => "followers_min",
            Self::GiftersCoins => "gifters_coins",
            Self::Frozen => "frozen",
            Self::GiftsPaused => "gifts_paused",
            Self::UniqueS => "unique_s",
            Self::ModDelayS => "mod_delay_s",
            Self::Shield => "shield",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Its name and what it may be set to.
    pub const fn permitted(self) -> &'static str {
        match self {
            Self::SlowS => "slow_s: 0 to 120",
            Self::FollowersMin => "followers_min: -1 to 129600",
            Self::GiftersCoins => "gifters_coins: 0 to 9007199254740991",
            Self::Frozen => "frozen: true or false",
            Self::GiftsPaused => "gifts_paused: true or false",
            Self::UniqueS => "unique_s: 0 to 300",
            Self::ModDelayS => "mod_delay_s: 0, 2, 4 or 6",
            Self::Shield => "shield: true or false",
        }
    }
}

/// The modes of a live. By default all are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// Seconds between two comments of a viewer; 0: off.
    pub slow_s: u16,
    /// Minutes that a viewer must have followed the streamer; `None`: off.
    pub followers_min: Option<u32>,
    /// What a viewer must have given in this live; 0: off.
    pub gifters_coins: Coins,
    pub frozen: bool,
    pub gifts_paused: bool,
    /// Seconds in which a text is not repeated; 0: off.
    pub unique_s: u16,
    /// Seconds for which moderators alone see a comment; 0: off.
    pub mod_delay_s: u8,
    pub shield: bool,
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            slow_s: 0,
            followers_min: None,
            gifters_coins: Coins::ZERO,
            frozen: false,
            gifts_paused: false,
            unique_s: 0,
            mod_delay_s: 0,
            shield: false,
        }
    }
}

impl Modes {
    /// What holds, given these settings: with what the shield asks for, while it is up.
    pub fn in_force(self) -> Self {
        if !self.shield {
            return self;
        }
        Self {
            slow_s: self.slow_s.max(SHIELD_SLOW_S),
            followers_min: self.followers_min.max(Some(SHIELD_FOLLOWERS_MIN)),
            ..self
        }
    }

    pub const fn get(&self, mode: RoomMode) -> ModeValue {
        match mode {
            RoomMode::SlowS => ModeValue::Number(self.slow_s as i64),
            RoomMode::FollowersMin => ModeValue::Number(match self.followers_min {
                Some(minutes) => minutes as i64,
                None => -1,
            }),
            RoomMode::GiftersCoins => ModeValue::Number(self.gifters_coins.get()),
            RoomMode::Frozen => ModeValue::Flag(self.frozen),
            RoomMode::GiftsPaused => ModeValue::Flag(self.gifts_paused),
            RoomMode::UniqueS => ModeValue::Number(self.unique_s as i64),
            RoomMode::ModDelayS => ModeValue::Number(self.mod_delay_s as i64),
            RoomMode::Shield => ModeValue::Flag(self.shield),
        }
    }

    /// Sets a mode. Errors: `BadRequest` for a value that it does not have, which changes nothing.
    pub fn set(&mut self, mode: RoomMode, value: ModeValue) -> Result<(), Reject> {
        let fits = match (mode, value) {
            (RoomMode::SlowS, ModeValue::Number(seconds)) => {
                assign(&mut self.slow_s, within(seconds, SLOW_S_MAX.into()))
            }
            (RoomMode::FollowersMin, ModeValue::Number(-1)) => {
                assign(&mut self.followers_min, Some(None))
            }
            (RoomMode::FollowersMin, ModeValue::Number(minutes)) => {
                let minutes = within(minutes, FOLLOWERS_MIN_MAX.into());
                assign(&mut self.followers_min, minutes.map(Some))
            }
            (RoomMode::GiftersCoins, ModeValue::Number(coins)) => {
                let coins = within(coins, Coins::MAX.get()).map(Coins::new);
                assign(&mut self.gifters_coins, coins)
            }
            (RoomMode::UniqueS, ModeValue::Number(seconds)) => {
                assign(&mut self.unique_s, within(seconds, UNIQUE_S_MAX.into()))
            }
            (RoomMode::ModDelayS, ModeValue::Number(seconds)) => {
                let delays = MOD_DELAYS_S.into_iter();
                let delay = delays.clone().find(|delay| i64::from(*delay) == seconds);
                assign(&mut self.mod_delay_s, delay)
            }
            (RoomMode::Frozen, ModeValue::Flag(on)) => assign(&mut self.frozen, Some(on)),
            (RoomMode::GiftsPaused, ModeValue::Flag(on)) => {
                assign(&mut self.gifts_paused, Some(on))
            }
            (RoomMode::Shield, ModeValue::Flag(on)) => assign(&mut self.shield, Some(on)),
            (_, ModeValue::Number(_) | ModeValue::Flag(_)) => false,
        };
        let what = mode.permitted();
        if fits {
            Ok(())
        } else {
            Err(Reject::BadRequest { what })
        }
    }

    /// Whether a viewer may speak who has followed the streamer since then; `None`: it does not.
    pub fn admit_follower(&self, since: Option<Timestamp>, now: Timestamp) -> Result<(), Reject> {
        let Some(minutes) = self.followers_min else {
            return Ok(());
        };
        let Some(since) = since else {
            let retry_after_ms = None;
            return Err(Reject::FollowersOnly { retry_after_ms });
        };
        let left_ms = i64::from(minutes) * MINUTE_MS - now.since(since);
        if left_ms <= 0 {
            return Ok(());
        }
        let retry_after_ms = Some(left_ms.unsigned_abs());
        Err(Reject::FollowersOnly { retry_after_ms })
    }

    /// Whether a viewer may speak who has given so much in this live.
    pub fn admit_gifter(&self, coins: Coins) -> Result<(), Reject> {
        if coins < self.gifters_coins {
            return Err(Reject::GiftersOnly);
        }
        Ok(())
    }

    /// Whether a viewer may speak again whose last comment was that old.
    pub fn admit_after(&self, last: Option<Timestamp>, now: Timestamp) -> Result<(), Reject> {
        let free_at = last.map(|last| last.plus_ms(i64::from(self.slow_s) * 1_000));
        match free_at.filter(|free_at| now < *free_at) {
            Some(free_at) => Err(Reject::SlowMode {
                retry_after_ms: free_at.since(now).unsigned_abs(),
            }),
            None => Ok(()),
        }
    }

    /// Whether a comment of a viewer waits for facts of its author that only the store knows.
    pub fn asks_for_facts(&self) -> bool {
        self.followers_min.is_some() || self.gifters_coins > Coins::ZERO
    }
}

/// A number from 0 to `max`.
fn within<T: TryFrom<i64>>(value: i64, max: i64) -> Option<T> {
    let fits = (0..=max).contains(&value);
    T::try_from(value).ok().filter(|_| fits)
}

fn assign<T>(place: &mut T, value: Option<T>) -> bool {
    let fits = value.is_some();
    if let Some(value) = value {
        *place = value;
    }
    fits
}

/// Some modes, and what they are to be set to: those that its author names, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModesChange(Vec<(RoomMode, ModeValue)>);

impl ModesChange {
    /// Adds a mode. Errors: `BadRequest` for a value that it does not have.
    pub fn set(&mut self, mode: RoomMode, value: ModeValue) -> Result<(), Reject> {
        Modes::default().set(mode, value)?;
        self.0.retain(|(known, _)| *known != mode);
        self.0.push((mode, value));
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (RoomMode, ModeValue)> {
        self.0.iter().copied()
    }

    /// The modes after the change.
    pub fn applied_to(&self, mut modes: Modes) -> Modes {
        for (mode, value) in self.iter() {
            // Each was checked when it was added.
            let _ = modes.set(mode, value);
        }
        modes
    }
}

/// The modes of a live as one change left them. Changes of a live are numbered: concurrent ones are
/// decided by the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveModes {
    /// 0: the live has none of its own yet.
    pub version: u64,
    pub modes: Modes,
    /// When the change was made; 0 if there was none.
    pub since: Timestamp,
}

/// A change of the modes of a live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedModes {
    pub version: u64,
    /// All of them after it, in force.
    pub modes: Modes,
    pub by: Principal,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn number(mode: RoomMode, number: i64) -> Result<ModeValue, Reject> {
        let mut modes = Modes::default();
        modes.set(mode, ModeValue::Number(number))?;
        Ok(modes.get(mode))
    }

    #[test]
    fn each_number_has_its_limits_and_no_other_is_taken() {
        for (mode, permitted, refused) in [
            (RoomMode::SlowS, vec![0, 1, 120], vec![-1, 121, i64::MAX]),
            (
                RoomMode::FollowersMin,
                vec![-1, 0, 129_600],
                vec![-2, 129_601, i64::MIN],
            ),
            (
                RoomMode::GiftersCoins,
                vec![0, 1, Coins::MAX.get()],
                vec![-1, Coins::MAX.get() + 1],
            ),
            (RoomMode::UniqueS, vec![0, 300], vec![-1, 301]),
            (
                RoomMode::ModDelayS,
                vec![0, 2, 4, 6],
                vec![-2, 1, 3, 8, 258],
            ),
        ] {
            for value in permitted {
                assert_eq!(
                    number(mode, value),
                    Ok(ModeValue::Number(value)),
                    "{mode:?}"
                );
            }
            for value in refused {
                let what = mode.permitted();
                let fault = Err(Reject::BadRequest { what });
                assert_eq!(number(mode, value), fault, "{mode:?} {value}");
            }
        }
    }

    #[test]
    fn a_value_of_another_kind_is_refused_and_changes_nothing() {
        for mode in RoomMode::ALL {
            let mut modes = Modes::default();
            let value = match modes.get(mode) {
                ModeValue::Number(_) => ModeValue::Flag(true),
                ModeValue::Flag(_) => ModeValue::Number(1),
            };
            assert!(modes.set(mode, value).is_err(), "{mode:?}");
            assert_eq!(modes, Modes::default());
            assert!(ModesChange::default().set(mode, value).is_err(), "{mode:?}");
            assert_eq!(RoomMode::from_name(mode.name()), Some(mode));
            assert!(mode.permitted().starts_with(mode.name()), "{mode:?}");
        }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name_and_its_last_word_counts() {
        let mut change = ModesChange::default();
        for seconds in [10, 20] {
            change
                .set(RoomMode::SlowS, ModeValue::Number(seconds))
                .unwrap();
        }
        let before = Modes {
            frozen: true,
            ..Modes::default()
        };
        let after = Modes {
            slow_s: 20,
            ..before
        };
        assert_eq!(change.applied_to(before), after);
        assert_eq!(change.iter().count(), 1);
    }

    #[test]
    fn the_shield_asks_for_the_stricter_and_leaves_what_was_set() {
        let raised = |slow_s, followers_min| {
            let set = Modes {
                slow_s,
                followers_min,
                shield: true,
                ..Modes::default()
            };
            let held = set.in_force();
            assert_eq!(held.in_force(), held);
            (held.slow_s, held.followers_min)
        };
        assert_eq!(raised(0, None), (30, Some(10)));
        assert_eq!(raised(10, Some(0)), (30, Some(10)));
        assert_eq!(raised(60, Some(1_440)), (60, Some(1_440)));
        let lowered = Modes {
            slow_s: 10,
            ..Modes::default()
        };
        assert_eq!(lowered.in_force(), lowered);
    }

    #[test]
    fn a_follower_speaks_when_it_has_followed_for_long_enough() {
        let asks = |followers_min| Modes {
            followers_min,
            ..Modes::default()
        };
        let refused = |retry_after_ms| Err(Reject::FollowersOnly { retry_after_ms });
        let ago = |ms: i64| Some(NOW.plus_ms(-ms));
        for (minutes, since, expected) in [
            (None, None, Ok(())),
            (Some(0), None, refused(None)),
            (Some(0), ago(0), Ok(())),
            // The clock of the node that took the follow is ahead of ours.
            (Some(0), ago(-5), Ok(())),
            (Some(10), ago(600_000), Ok(())),
            (Some(10), ago(599_999), refused(Some(1))),
            (Some(10), ago(-5), refused(Some(600_000))),
        ] {
            assert_eq!(
                asks(minutes).admit_follower(since, NOW),
                expected,
                "{minutes:?} {since:?}"
            );
        }
    }
}
