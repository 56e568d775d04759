//! The user behind a request.

use std::collections::HashMap;

use actix_web::{FromRequest, HttpRequest, dev, web};
use futures_util::future::LocalBoxFuture;

use crate::auth::{AuthError, Identity};
use crate::domain::UserId;

use super::ApiState;
use super::error::ApiError;

/// Present in a handler's arguments: the request carries a good token, in the header `token` or in
/// the query.
pub struct SignedIn(pub Identity);

impl FromRequest for SignedIn {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let token = token_of(request);
        let state = request.app_data::<web::Data<ApiState>>().cloned();
        Box::pin(async move {
            let token = token.ok_or(ApiError::Unauthorized)?;
            let state = state
                .ok_or_else(|| ApiError::Fault("routes are configured without state".to_owned()))?;
            Ok(Self(state.auth.verify(&token).await?))
        })
    }
}

/// The user of a request that need not have one. A missing or bad token means no user; a token that
/// could not be checked is an error, or its user would be taken for a stranger.
pub async fn asker(request: &HttpRequest, state: &ApiState) -> Result<Option<UserId>, ApiError> {
    let Some(token) = token_of(request) else {
        return Ok(None);
    };
    match state.auth.verify(&token).await {
        Ok(identity) => Ok(Some(identity.profile.id)),
        Err(AuthError::Unavailable) => Err(AuthError::Unavailable.into()),
        Err(
            AuthError::Invalid | AuthError::Expired | AuthError::UserGone | AuthError::Disabled,
        ) => Ok(None),
    }
}

fn token_of(request: &HttpRequest) -> Option<String> {
    let present = |token: &String| !token.is_empty();
    let header = request.headers().get("token");
    // A header that is not a text counts as a token that is refused.
    let header = header.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    header.filter(present).or_else(|| {
        let query =
            web::Query::<HashMap<String, String>>::from_query(request.query_string()).ok()?;
        query.into_inner().remove("token").filter(present)
    })
}
