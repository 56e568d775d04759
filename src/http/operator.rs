//! The operator behind a request.

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use super::error::ApiError;
use crate::actors::Requested;
use crate::domain::{Action, Actor, OperatorId, Permission, Permissions, Role, Scope, Timestamp};
use crate::storage::{ActAuthor, ManagerRow};

/// What only a manager in a browser may ask for.
const SESSION_ONLY: ApiError = ApiError::Forbidden {
    code: "session_only",
    text: "this takes a manager who is logged in",
};

/// The operator behind a request, in the arguments of a handler whose URL requires one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    pub id: OperatorId,
    /// The manager's or the token's; `config` for the token of the configuration.
    pub name: Arc<str>,
    pub permissions: Permissions,
    /// Of a manager in a browser; tokens have none.
    pub session: Option<Arc<OperatorSession>>,
}

/// The session behind a manager's request.
#[derive(Debug, PartialEq, Eq)]
pub struct OperatorSession {
    pub id: i64,
    /// The value of the header `x-csrf-token` in requests that change something.
    pub csrf: String,
    pub ends_at: Timestamp,
    /// When it ends if its manager does nothing more.
    pub idle_ends_at: Timestamp,
    pub manager: ManagerRow,
}

impl Operator {
    /// The operator that the gate let through with this request.
    pub fn behind(request: &HttpRequest) -> Result<Self, ApiError> {
        let operator = request.extensions().get::<Self>().cloned();
        operator.ok_or_else(|| ApiError::Fault("no operator behind this URL".to_owned()))
    }

    /// The author of a change that is no [`Action`], from this address.
    pub fn author(&self, address: IpAddr, reason: Option<String>) -> ActAuthor {
        ActAuthor {
            actor: Actor::Operator(self.id),
            role: Role::of_operator(self.permissions),
            address: Some(address),
            reason,
        }
    }

    /// The session of a manager in a browser.
    pub fn session(&self) -> Result<&OperatorSession, ApiError> {
        self.session.as_deref().ok_or(SESSION_ONLY)
    }

    /// An action that the operator asks for from this address.
    pub fn requested(&self, address: IpAddr, scope: Scope, action: Action) -> Requested {
        Requested::of_operator(self.id, self.permissions, address, scope, action)
    }

    /// Refuses unless the operator has the permission: for what a URL does not say and its body
    /// does.
    pub fn require(&self, permission: Permission) -> Result<(), ApiError> {
        if self.permissions.contains(permission) {
            Ok(())
        } else {
            Err(ApiError::NotPermitted { permission })
        }
    }
}

impl FromRequest for Operator {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::behind(request))
    }
}
