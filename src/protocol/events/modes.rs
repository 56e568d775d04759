//! The event of a change of modes.

use serde::{Deserialize, Serialize};

use super::super::codec::ActorBody;
use super::super::modes::ModesBody;
use super::{Kind, NoFields};
use crate::domain::{ChangedModes, LiveId, RoomEvent};

#[derive(Serialize, Deserialize)]
pub(super) struct ModesEvent {
    live_id: i64,
    #[serde(flatten)]
    modes: ModesBody,
    /// The number of the change among those of this live.
    version: u64,
    by: ActorBody,
}

impl ModesEvent {
    pub(super) fn of(live_id: LiveId, changed: &ChangedModes) -> Self {
        Self {
            live_id: live_id.get(),
            modes: ModesBody::from(&changed.modes),
            version: changed.version,
            by: changed.by.into(),
        }
    }
}

impl Kind<'_> for ModesEvent {
    const NAME: &'static str = "modes";
    type Private = NoFields;

    fn into_event(self, _private: NoFields) -> Option<RoomEvent> {
        let changed = ChangedModes {
            version: self.version,
            modes: self.modes.read(),
            by: self.by.read()?,
        };
        Some(RoomEvent::Modes {
            live_id: LiveId::new(self.live_id)?,
            changed,
        })
    }
}
