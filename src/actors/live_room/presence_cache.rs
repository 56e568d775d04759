//! Caches the encoded form of a presence, which many members receive.

use std::sync::Arc;

use crate::actors::hub::Encoded;
use crate::domain::Presence;

/// The latest presence, encoded. All newcomers between two announcements receive the same one, so
/// it is encoded once per dialect, whatever their number.
#[derive(Debug, Default)]
pub struct PresenceCache {
    latest: Option<(Arc<Presence>, Arc<Encoded>)>,
}

impl PresenceCache {
    /// The encoded form of `presence`; the cached one if it is the same value.
    pub fn encoded(&mut self, presence: Arc<Presence>) -> Arc<Encoded> {
        if let Some((known, encoded)) = &self.latest
            && Arc::ptr_eq(known, &presence)
        {
            return encoded.clone();
        }
        let encoded = Arc::new(Encoded::presence(presence.clone()));
        self.latest = Some((presence, encoded.clone()));
        encoded
    }
}
