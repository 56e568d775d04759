//! Operators: which one acted, and what each may do.

use super::{ManagerId, Principal, TokenId, UserId};

/// The author of an action, as the audit names it. Rooms and clients see its [`Principal`]: to them
/// all operators are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    Operator(OperatorId),
    User(UserId),
}

impl Actor {
    /// The token of the configuration.
    pub const CONFIG: Self = Self::Operator(OperatorId::Config);

    pub const fn principal(self) -> Principal {
        match self {
            Self::Operator(_) => Principal::Operator,
            Self::User(user) => Principal::User(user),
        }
    }

    /// The kind of the actor and its id, as the audit has them. Stored: never change a word.
    pub const fn kind_and_id(self) -> (&'static str, i64) {
        match self {
            Self::Operator(OperatorId::Config) => ("operator", 0),
            Self::Operator(OperatorId::Manager(manager)) => ("manager", manager.get()),
            Self::Operator(OperatorId::Token(token)) => ("token", token.get()),
            Self::User(user) => ("user", user.get()),
        }
    }
}

/// One of the operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperatorId {
    /// The token of the configuration, whoever has it.
    Config,
    Manager(ManagerId),
    /// An API token.
    Token(TokenId),
}

/// What operators may do. Each URL of theirs requires one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Permission {
    /// Look at rooms, nodes and charts, and at the actions of one's own.
    Look,
    /// Read the comments of a room, also removed and held ones, reports and sanctions.
    Comments,
    /// Keep order in a room: mute, kick, ban, delete, review, modes, notice, pin.
    Moderate,
    /// Act on the whole site: site bans, accounts, the end of a live, gifts, word lists, traces.
    Operate,
    /// Balances, ledgers, grants, the proof of the books, exports of gifts.
    Finance,
    /// Managers, tokens and the whole audit.
    Administer,
}

impl Permission {
    pub const ALL: [Self; 6] = [
        Self::Look,
        Self::Comments,
        Self::Moderate,
        Self::Operate,
        Self::Finance,
        Self::Administer,
    ];

    /// The word for it on the wire and in the store. Never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Comments => "comments",
            Self::Moderate => "moderate",
            Self::Operate => "operate",
            Self::Finance => "finance",
            Self::Administer => "administer",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.name() == name)
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u8);

impl Permissions {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self::of(&Permission::ALL);

    pub const fn of(permissions: &[Permission]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < permissions.len() {
            bits |= 1 << permissions[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | 1 << permission as u8)
    }

    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// In the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL
            .into_iter()
            .filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        permissions.into_iter().fold(Self::NONE, Self::with)
    }
}

/// The role of a manager. Each manager has one, and perhaps the right to administer beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManagerRole {
    Viewer,
    Moderator,
    Operator,
    Finance,
}

impl ManagerRole {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Moderator, Self::Operator, Self::Finance];

    /// The word for it on the wire and in the store. Never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Moderator => "moderator",
            Self::Operator => "operator",
            Self::Finance => "finance",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What a manager of this role may do.
    pub const fn permissions(self, is_admin: bool) -> Permissions {
        use Permission::{Administer, Comments, Finance, Look, Moderate, Operate};
        let permissions = match self {
            Self::Viewer => Permissions::of(&[Look]),
            Self::Moderator => Permissions::of(&[Look, Comments, Moderate]),
            Self::Operator => Permissions::of(&[Look, Comments, Moderate, Operate]),
            Self::Finance => Permissions::of(&[Look, Finance]),
        };
        if is_admin {
            permissions.with(Administer)
        } else {
            permissions
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(permissions: Permissions) -> Vec<&'static str> {
        permissions.iter().map(Permission::name).collect()
    }

    #[test]
    fn roles_grant_what_the_table_of_roles_says() {
        for (role, expected) in [
            (ManagerRole::Viewer, vec!["look"]),
            (ManagerRole::Moderator, vec!["look", "comments", "moderate"]),
            (
                ManagerRole::Operator,
                vec!["look", "comments", "moderate", "operate"],
            ),
            (ManagerRole::Finance, vec!["look", "finance"]),
        ] {
            assert_eq!(words(role.permissions(false)), expected, "{}", role.name());
            let as_admin = [expected, vec!["administer"]].concat();
            assert_eq!(words(role.permissions(true)), as_admin, "{}", role.name());
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for permission in Permission::ALL {
            assert_eq!(Permission::from_name(permission.name()), Some(permission));
        }
        for role in ManagerRole::ALL {
            assert_eq!(ManagerRole::from_name(role.name()), Some(role));
        }
        assert_eq!(
            (
                Permission::from_name("all"),
                ManagerRole::from_name("Viewer")
            ),
            (None, None)
        );
        assert_eq!(
            Permission::ALL.into_iter().collect::<Permissions>(),
            Permissions::ALL
        );
    }
}
