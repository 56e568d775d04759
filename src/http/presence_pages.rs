//! Who is where, over all nodes: the members of a room, and the sessions of a user.

use std::collections::{BTreeMap, HashMap};

use actix_web::{HttpRequest, web};
use serde::Serialize;

use crate::actors::{
    MEMBER_SESSIONS_MAX, MemberFound, MemberSession, MembersAsked, MembersFound, NodeAnswer,
    NodeAnswers, NodeQuestion, SessionFound,
};
use crate::domain::LiveId;

use super::ApiState;
use super::error::{ApiError, ApiResult, ok};
use super::paging::PageQuery;
use super::room_pages::known_live;
use super::user_pages::known_user;

#[derive(Serialize)]
struct MembersView {
    members: Vec<RoomUserView>,
    /// Sessions in the room, whoever they are.
    sessions_total: usize,
    users_online: usize,
    next: Option<String>,
    /// Nodes that did not answer in time: their members are missing.
    silent: Vec<String>,
}

/// A user with sessions in the room.
#[derive(Serialize)]
struct RoomUserView {
    user_id: i64,
    name: String,
    role: String,
    sessions: Vec<SessionInRoomView>,
    /// More than are listed, if there are more than 20.
    sessions_count: usize,
}

#[derive(Serialize)]
struct SessionInRoomView {
    node: String,
    #[serde(flatten)]
    session: MemberSession,
}

impl RoomUserView {
    fn of(found: MemberFound, node: &str) -> Self {
        let mut view = Self {
            user_id: found.user_id,
            name: found.name,
            role: found.role,
            sessions: Vec::new(),
            sessions_count: 0,
        };
        view.add(found.sessions, found.sessions_count, node);
        view
    }

    fn add(&mut self, sessions: Vec<MemberSession>, count: usize, node: &str) {
        let node = node.to_owned();
        let listed = sessions.into_iter().map(|session| SessionInRoomView {
            node: node.clone(),
            session,
        });
        self.sessions.extend(listed);
        self.sessions.truncate(MEMBER_SESSIONS_MAX);
        self.sessions_count += count;
    }
}

impl MembersView {
    /// Merges the pages of all nodes by user id.
    fn of(found: Vec<(String, MembersFound)>, silent: Vec<String>, limit: usize) -> Self {
        // Behind the end of a node's page, that node's sessions of a user would be missing.
        let last_of = |found: &MembersFound| found.members.last().map(|member| member.user_id);
        let full = found.iter().filter(|(_, found)| found.has_more);
        let complete_to = full.filter_map(|(_, found)| last_of(found)).min();
        let sessions_total = found.iter().map(|(_, found)| found.sessions_total).sum();
        let users_online = found.iter().map(|(_, found)| found.users_online).max();
        let mut members: BTreeMap<i64, RoomUserView> = BTreeMap::new();
        for (node, found) in found {
            for member in found.members {
                match members.get_mut(&member.user_id) {
                    Some(known) => known.add(member.sessions, member.sessions_count, &node),
                    None => {
                        members.insert(member.user_id, RoomUserView::of(member, &node));
                    }
                }
            }
        }
        members.retain(|user, _| complete_to.is_none_or(|last| *user <= last));
        let has_more = members.len() > limit || complete_to.is_some();
        let members: Vec<_> = members.into_values().take(limit).collect();
        let last = members.last().map(|member| member.user_id.to_string());
        Self {
            next: last.filter(|_| has_more),
            members,
            sessions_total,
            users_online: users_online.unwrap_or(0),
            silent,
        }
    }
}

/// GET /admin/rooms/{live_id}/members?search=&cursor=&limit=: users with sessions in a room on any
/// node, by id. `search`: the id of one, or the beginning of names in any case.
pub async fn members(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page = PageQuery::of(&request)?;
    let search = page.search()?.to_owned();
    let live_id = known_live(&state, &request).await?;
    let asked = MembersAsked {
        live_id: live_id.get(),
        search,
        after: page.cursor.unwrap_or(0),
        limit: page.limit,
    };
    let NodeAnswers { answered, silent } = ask(&state, NodeQuestion::Members(asked)).await?;
    let found = answered
        .into_iter()
        .filter_map(|(node, answer)| match answer {
            NodeAnswer::Members(found) => Some((node, found)),
            _ => None,
        });
    ok(MembersView::of(
        found.collect(),
        silent,
        page.limit as usize,
    ))
}

async fn ask(state: &ApiState, question: NodeQuestion) -> Result<NodeAnswers, ApiError> {
    Ok(state.cluster_control.ask(question).await?)
}

#[derive(Serialize)]
struct SessionsView {
    sessions: Vec<UserSessionView>,
    silent: Vec<String>,
}

#[derive(Serialize)]
struct UserSessionView {
    node: String,
    session_id: u64,
    socket_id: String,
    dialect: String,
    address: String,
    began_at_ms: i64,
    rooms: Vec<RoomNameView>,
}

#[derive(Serialize)]
struct RoomNameView {
    live_id: i64,
    title: String,
}

/// GET /admin/users/{id}/sessions: the sessions of a user on all nodes, and the rooms they are in.
pub async fn sessions(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let user = known_user(&state, &request).await?;
    let question = NodeQuestion::Sessions(user.id.get());
    let NodeAnswers { answered, silent } = ask(&state, question).await?;
    let mut found: Vec<(String, SessionFound)> = Vec::new();
    for (node, answer) in answered {
        if let NodeAnswer::Sessions(sessions) = answer {
            found.extend(sessions.into_iter().map(|session| (node.clone(), session)));
        }
    }
    found.sort_by_key(|(_, session)| session.began_at_ms);
    let titles = titles_of(&state, &found).await?;
    let named = |live_id: i64| RoomNameView {
        live_id,
        title: titles.get(&live_id).cloned().unwrap_or_default(),
    };
    let sessions = found.into_iter().map(|(node, session)| UserSessionView {
        node,
        session_id: session.session_id,
        socket_id: session.socket_id,
        dialect: session.dialect,
        address: session.address,
        began_at_ms: session.began_at_ms,
        rooms: session.rooms.into_iter().map(named).collect(),
    });
    ok(SessionsView {
        sessions: sessions.collect(),
        silent,
    })
}

/// Lives whose titles are read; those of the others are left empty.
const TITLES_MAX: usize = 200;

async fn titles_of(
    state: &ApiState,
    found: &[(String, SessionFound)],
) -> Result<HashMap<i64, String>, ApiError> {
    let mut lives: Vec<LiveId> = found
        .iter()
        .flat_map(|(_, session)| &session.rooms)
        .filter_map(|live| LiveId::new(*live))
        .collect();
    lives.sort_unstable();
    lives.dedup();
    lives.truncate(TITLES_MAX);
    if lives.is_empty() {
        return Ok(HashMap::new());
    }
    let states = state.store.live_states(lives).await?;
    let named = states.into_iter().map(|live| (live.id.get(), live.title));
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(users: &[i64], has_more: bool) -> MembersFound {
        let member = |user_id: &i64| MemberFound {
            user_id: *user_id,
            name: format!("user {user_id}"),
            role: "viewer".into(),
            sessions: vec![MemberSession {
                session_id: 1,
                socket_id: "s".into(),
                joined_at_ms: 0,
                address: "127.0.0.1".into(),
                queued_packets: 0,
                queued_bytes: 0,
            }],
            sessions_count: 1,
        };
        MembersFound {
            members: users.iter().map(member).collect(),
            has_more,
            sessions_total: 9,
            users_online: users.len(),
        }
    }

    /// Users with their sessions, and where the next page begins.
    fn page(found: Vec<(&str, MembersFound)>, limit: usize) -> (Vec<(i64, usize)>, Option<String>) {
        let found = found
            .into_iter()
            .map(|(node, found)| (node.to_owned(), found));
        let view = MembersView::of(found.collect(), Vec::new(), limit);
        let members = view.members.iter();
        let counted = members.map(|member| (member.user_id, member.sessions_count));
        (counted.collect(), view.next)
    }

    #[test]
    fn a_user_on_two_nodes_is_one_member_with_the_sessions_of_both() {
        let nodes = vec![
            ("one", found(&[1, 2], false)),
            ("two", found(&[2, 7], false)),
        ];
        assert_eq!(page(nodes, 9), (vec![(1, 1), (2, 2), (7, 1)], None));
    }

    #[test]
    fn a_page_of_members_ends_where_a_node_with_more_of_them_ends() {
        let nodes = vec![
            ("one", found(&[1, 2], true)),
            ("two", found(&[2, 7], false)),
        ];
        assert_eq!(page(nodes, 2), (vec![(1, 1), (2, 2)], Some("2".into())));
        let apart = vec![("one", found(&[1, 4], true)), ("two", found(&[2, 3], true))];
        assert_eq!(page(apart, 2), (vec![(1, 1), (2, 1)], Some("2".into())));
        let last = vec![("one", found(&[7], false)), ("two", found(&[8], false))];
        assert_eq!(page(last, 2), (vec![(7, 1), (8, 1)], None));
    }
}
