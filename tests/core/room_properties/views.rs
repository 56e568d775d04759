//! Who is online in the eyes of each session, which follows presence as a client does.

use std::collections::{BTreeMap, BTreeSet};

use liveroom::domain::{Presence, PresenceAction, PresenceSettings, UserId};

/// What one session believes.
#[derive(Default)]
struct View {
    count: usize,
    /// As far as it was told.
    users: BTreeSet<UserId>,
}

/// By session, those that hear the room now.
#[derive(Default)]
pub struct Views {
    views: BTreeMap<u64, View>,
}

impl Views {
    pub fn open(&mut self, session: u64) {
        self.views.insert(session, View::default());
    }

    pub fn close(&mut self, session: u64) {
        self.views.remove(&session);
    }

    pub fn hear_all(&mut self, presence: &Presence) {
        for view in self.views.values_mut() {
            view.hear(presence);
        }
    }

    pub fn hear(&mut self, session: u64, presence: &Presence) {
        self.views
            .get_mut(&session)
            .expect("only a member is shown presence")
            .hear(presence);
    }

    /// Nothing is to come: everybody believes the truth, and knows each user where all are listed.
    pub fn check(&self, online: &BTreeSet<UserId>, settings: &PresenceSettings) {
        for (session, view) in &self.views {
            assert_eq!(view.count, online.len(), "session {session} counts wrong");
            if online.len() * 10 < settings.merged_users_max * 9 {
                assert_eq!(&view.users, online, "session {session} knows others");
            } else {
                assert!(
                    view.users.is_subset(online),
                    "session {session} sees ghosts"
                );
            }
        }
    }
}

impl View {
    fn hear(&mut self, presence: &Presence) {
        match (&presence.users, presence.action) {
            (Some(users), _) if users.len() > presence.count => {
                panic!("more are listed than counted")
            }
            (Some(users), _) => self.users = users.iter().map(|user| user.id).collect(),
            (None, PresenceAction::Leave) => drop(self.users.remove(&presence.user.id)),
            (None, PresenceAction::Join) => panic!("a join brings the list"),
        }
        self.count = presence.count;
        let changes = presence.net_changes.map_or(1, |net| net.joined + net.left);
        let joined_again = presence.action == PresenceAction::Join;
        assert!(
            changes > 0 || joined_again,
            "nothing happened, and it was told"
        );
        match presence.action {
            PresenceAction::Join => assert!(
                self.users.contains(&presence.user.id),
                "who joined is there"
            ),
            PresenceAction::Leave => {
                assert!(!self.users.contains(&presence.user.id), "who left is not")
            }
        }
    }
}
