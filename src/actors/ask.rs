//! Asking an actor from outside the actor system: a `oneshot` in the message and a time limit.

use std::time::Duration;

use tokio::sync::oneshot;

/// Long enough for a busy actor, short enough for whoever waits.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("no answer in time")]
    Timeout,
    #[error("the actor is gone or takes no more")]
    Closed,
}

/// Waits for the answer to a message that carried the other end of `answer`.
pub async fn answer<T>(answer: oneshot::Receiver<T>) -> Result<T, AskError> {
    match tokio::time::timeout(ASK_TIMEOUT, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(AskError::Closed),
        Err(_) => Err(AskError::Timeout),
    }
}
