//! Who may do what to whom, in which scope.

use super::super::word_filter::{TermList, export};
use super::*;
use crate::domain::Term;

const LIVE: Scope = Scope::Live(LiveId::FIRST);
const STREAMERS_LIVES: Scope = Scope::Streamer(UserId::FIRST);
const ROLES: [Role; 4] = [
    Role::Viewer,
    Role::Moderator,
    Role::Streamer,
    Role::Operator,
];

/// For each action the scope that it has, and for each role whether it may: viewer, moderator,
/// streamer, operator. One that is done to a user is done to a viewer here.
fn table() -> Vec<(Action, Scope, [bool; 4])> {
    let user = UserId::FIRST;
    vec![
        (
            Action::TakeDown(CommentId::FIRST),
            LIVE,
            [false, true, true, true],
        ),
        (
            Action::TakeDownLast { user, count: 1 },
            LIVE,
            [false, true, true, true],
        ),
        (Action::Restore(user), LIVE, [false, true, true, true]),
        (
            Action::Review {
                comment_id: CommentId::FIRST,
                approve: true,
            },
            LIVE,
            [false, true, true, true],
        ),
        (
            Action::Notice("hello".into()),
            LIVE,
            [false, false, true, true],
        ),
        (Action::Pin(None), LIVE, [false, true, true, true]),
        (
            Action::Report(CommentId::FIRST),
            LIVE,
            [true, true, true, false],
        ),
        (
            Action::DismissReports(CommentId::FIRST),
            LIVE,
            [false, true, true, true],
        ),
        (Action::Kick(user), LIVE, [false, true, true, true]),
        (
            Action::SetTitle("tonight".into()),
            LIVE,
            [false, false, true, true],
        ),
        (
            Action::SetStatus(LiveStatus::Scheduled),
            LIVE,
            [false, false, false, false],
        ),
        (
            Action::SetStatus(LiveStatus::OnAir),
            LIVE,
            [false, false, true, false],
        ),
        (
            Action::SetStatus(LiveStatus::Paused),
            LIVE,
            [false, false, true, false],
        ),
        (
            Action::SetStatus(LiveStatus::Ended),
            LIVE,
            [false, false, true, true],
        ),
        (
            sanction(SanctionKind::Mute, SanctionScope::Streamer),
            LIVE,
            [false, true, true, true],
        ),
        (
            sanction(SanctionKind::Ban, SanctionScope::Live),
            LIVE,
            [false, true, true, true],
        ),
        (
            sanction(SanctionKind::Shadow, SanctionScope::Streamer),
            LIVE,
            [false, false, true, true],
        ),
        (
            sanction(SanctionKind::Mute, SanctionScope::Site),
            LIVE,
            [false, false, false, true],
        ),
        (lift(SanctionKind::Mute), LIVE, [false, true, true, true]),
        (lift(SanctionKind::Ban), LIVE, [false, true, true, true]),
        (lift(SanctionKind::Shadow), LIVE, [false, false, true, true]),
        (
            Action::SetModerator {
                user,
                moderator: true,
            },
            LIVE,
            [false, false, true, true],
        ),
        (
            Action::SetModes(ModesChange::default()),
            LIVE,
            [false, true, true, true],
        ),
        (
            Action::DisableUser(user),
            Scope::Site,
            [false, false, false, true],
        ),
        (
            Action::EnableUser(user),
            Scope::Site,
            [false, false, false, true],
        ),
    ]
}

fn sanction(kind: SanctionKind, scope: SanctionScope) -> Action {
    let order = SanctionOrder::new(UserId::FIRST, kind, Term::Seconds(1), Some(scope));
    Action::Sanction(order.expect("it does not end with a live"))
}

fn lift(kind: SanctionKind) -> Action {
    let user = UserId::FIRST;
    Action::Lift { user, kind }
}

#[test]
fn terms_are_of_the_site_or_of_a_streamer() {
    let terms = || Action::SetTerms(export(&TermList::new(0)));
    for (scope, allowed) in [
        (Scope::Site, [false, false, false, true]),
        (STREAMERS_LIVES, [false, false, true, true]),
    ] {
        for (role, allowed) in ROLES.into_iter().zip(allowed) {
            let expected = if allowed {
                Ok(())
            } else {
                Err(Reject::NotAllowed)
            };
            assert_eq!(
                may(role, None, scope, &terms()),
                expected,
                "{role:?} {scope:?}"
            );
        }
    }
    let in_a_live = may(Role::Operator, None, LIVE, &terms());
    assert_eq!(in_a_live, Err(Reject::BadRequest { what: "scope" }));
}

fn target_of(action: &Action, role: Role) -> Option<Role> {
    action.target().map(|_| role)
}

#[test]
fn each_role_may_do_what_the_table_says_and_only_in_the_scope_it_says() {
    for (action, its_scope, allowed) in table() {
        let target = target_of(&action, Role::Viewer);
        for (role, allowed) in ROLES.into_iter().zip(allowed) {
            for scope in [LIVE, STREAMERS_LIVES, Scope::Site] {
                let expected = match scope == its_scope {
                    false => Err(Reject::BadRequest { what: "scope" }),
                    true if allowed => Ok(()),
                    true => Err(Reject::NotAllowed),
                };
                assert_eq!(
                    may(role, target, scope, &action),
                    expected,
                    "{role:?} {scope:?} {action:?}"
                );
            }
        }
    }
}

#[test]
fn nobody_acts_on_a_user_of_the_same_rank_or_a_higher_one() {
    let kick = Action::Kick(UserId::FIRST);
    let may = |role, target| may(role, Some(target), LIVE, &kick);
    assert_eq!(may(Role::Moderator, Role::Viewer), Ok(()));
    assert_eq!(
        may(Role::Moderator, Role::Moderator),
        Err(Reject::NotAllowed)
    );
    assert_eq!(
        may(Role::Moderator, Role::Streamer),
        Err(Reject::NotAllowed)
    );
    assert_eq!(may(Role::Streamer, Role::Streamer), Err(Reject::NotAllowed));
    assert_eq!(may(Role::Streamer, Role::Operator), Err(Reject::NotAllowed));
    assert_eq!(may(Role::Operator, Role::Streamer), Ok(()));
    assert_eq!(may(Role::Operator, Role::Operator), Err(Reject::NotAllowed));
}

#[test]
fn a_user_is_a_streamer_in_its_own_lives_alone() {
    let (alice, bob) = (UserId::FIRST, UserId::new(2).unwrap());
    let of = |user, streamer| Role::of(Principal::User(user), streamer, false);
    assert_eq!(of(alice, Some(alice)), Role::Streamer);
    assert_eq!(of(bob, Some(alice)), Role::Viewer);
    assert_eq!(of(bob, None), Role::Viewer);
    let moderates = |user| Role::of(user, Some(alice), true);
    assert_eq!(moderates(Principal::User(bob)), Role::Moderator);
    assert_eq!(moderates(Principal::User(alice)), Role::Streamer);
    assert_eq!(moderates(Principal::Operator), Role::Operator);
}

#[test]
fn what_operators_gave_is_lifted_by_operators_alone() {
    let (streamer, operator) = (Principal::User(UserId::FIRST), Principal::Operator);
    for (scope, by, lifted_by) in [
        (SanctionScope::Live, streamer, Role::Moderator),
        (SanctionScope::Streamer, streamer, Role::Moderator),
        (SanctionScope::Live, operator, Role::Operator),
        (SanctionScope::Streamer, operator, Role::Operator),
        (SanctionScope::Site, operator, Role::Operator),
    ] {
        for role in ROLES {
            let expected = role >= lifted_by;
            assert_eq!(
                may_lift(role, scope, by),
                expected,
                "{role:?} {scope:?} {by:?}"
            );
        }
    }
}

#[test]
fn an_operator_of_rooms_may_all_that_operators_may_but_for_the_site_and_the_end_of_a_live() {
    for (action, scope, [.., of_operator]) in table() {
        let beyond_rooms = match &action {
            Action::Sanction(order) => order.scope == SanctionScope::Site,
            Action::SetStatus(_)
            | Action::DisableUser(_)
            | Action::EnableUser(_)
            | Action::ChangeGift(_) => true,
            _ => false,
        };
        let is_allowed = may(Role::RoomOperator, Some(Role::Streamer), scope, &action).is_ok();
        assert_eq!(is_allowed, of_operator && !beyond_rooms, "{action:?}");
    }
    let of_site = |role| may_lift(role, SanctionScope::Site, Principal::Operator);
    let of_live = |role| may_lift(role, SanctionScope::Live, Principal::Operator);
    assert!(of_live(Role::RoomOperator) && !of_site(Role::RoomOperator));
    assert!(of_site(Role::Operator) && !of_live(Role::Streamer));
}
