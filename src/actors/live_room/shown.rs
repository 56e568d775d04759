//! Presence in its wire forms, made once for all who are told the same.

use std::sync::Arc;

use crate::actors::hub::Encoded;
use crate::domain::Presence;

/// The presence that was announced or shown last. A crowd that comes between two announcements is
/// shown one presence: one encoding per wire form, whatever its number.
#[derive(Debug, Default)]
pub struct ShownPresence {
    latest: Option<(Arc<Presence>, Arc<Encoded>)>,
}

impl ShownPresence {
    /// The wire forms of `presence`; those of the last one if it is the same value.
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
