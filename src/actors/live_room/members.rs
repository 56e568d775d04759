//! The members of a room, as operators look at them.

use std::sync::Arc;

use actix::prelude::*;

use crate::actors::session::SessionPort;
use crate::cluster::{
    MEMBER_SESSIONS_MAX, MEMBERS_PAGE_MAX, MemberFound, MemberSession, MembersAsked, MembersFound,
};
use crate::domain::{Member, Profile, SessionId, UserId};

use super::{LiveRoom, ObserveMembers};

/// What members are searched for.
struct Search {
    id: Option<i64>,
    /// In lower case.
    beginning: String,
}

impl Search {
    fn of(text: &str) -> Self {
        Self {
            id: text.parse().ok(),
            beginning: text.to_lowercase(),
        }
    }

    fn finds(&self, profile: &Profile) -> bool {
        if self.id == Some(profile.id.get()) {
            return true;
        }
        let mut name = profile.name.chars().flat_map(char::to_lowercase);
        self.beginning.chars().all(|c| name.next() == Some(c))
    }
}

impl LiveRoom {
    fn members_page(&self, asked: &MembersAsked) -> MembersFound {
        let search = Search::of(&asked.search);
        let limit = asked.limit.clamp(1, MEMBERS_PAGE_MAX) as usize;
        let members = self.room.members();
        let after = UserId::new(asked.after);
        // One more says whether there are more.
        let mut page = members.local_page(after, limit + 1, |profile| search.finds(profile));
        let has_more = page.len() > limit;
        page.truncate(limit);
        let found = page.into_iter().map(|(profile, sessions)| MemberFound {
            user_id: profile.id.get(),
            name: profile.name.clone(),
            role: self.room.role_of(profile.id).name().to_owned(),
            sessions: sessions
                .iter()
                .filter_map(|session| Some(shown(*session, members.get(*session)?)))
                .take(MEMBER_SESSIONS_MAX)
                .collect(),
            sessions_count: sessions.len(),
        });
        MembersFound {
            members: found.collect(),
            has_more,
            sessions_total: members.members_count(),
            users_online: members.users_count(),
        }
    }
}

fn shown(session: SessionId, member: &Member<Arc<SessionPort>>) -> MemberSession {
    let (queued_packets, queued_bytes) = member.handle.outlet.outbox.queued();
    MemberSession {
        session_id: session.0,
        socket_id: member.socket_id.to_string(),
        joined_at_ms: member.joined_at.0,
        address: member.handle.address.to_string(),
        queued_packets,
        queued_bytes,
    }
}

impl Handler<ObserveMembers> for LiveRoom {
    type Result = ();

    fn handle(&mut self, observe: ObserveMembers, _: &mut Context<Self>) {
        // The asker may have given up.
        let _ = observe.reply.send(self.members_page(&observe.asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_id_and_by_the_beginning_of_their_name() {
        let profile = |id, name: &str| Profile {
            id: UserId::new(id).unwrap(),
            name: name.into(),
            avatar: None,
        };
        let finds = |search: &str, id, name| Search::of(search).finds(&profile(id, name));
        assert!(finds("", 1, "Anna") && finds("aNN", 1, "Anna") && finds("弹", 1, "弹幕"));
        assert!(finds("12", 12, "Anna") && finds("12", 1, "12th"));
        assert!(
            !finds("nna", 1, "Anna") && !finds("12", 123, "Anna") && !finds("annab", 1, "Anna")
        );
    }
}
