//! Requests that change something: each completes or does nothing, whatever its client does.
//!
//! actix drops the future of a handler whose client hangs up. Dropped between its commit and what
//! follows from it, a handler leaves a row that no room and no session learns of. So the route
//! table runs every handler behind a `POST` or `DELETE` in a task of its own: [`Completing`].

use std::sync::Arc;

use actix_web::{FromRequest, Handler};
use futures_util::future::{LocalBoxFuture, join};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::error::{ApiError, ApiResult};

/// The origin of a change. Each kind has seats of its own: a flood of logins must not keep a
/// streamer from ending its live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// Nobody yet: it registers or logs in.
    Stranger,
    /// A user with a good token, or an operator.
    Known,
}

/// The changes of this node that are under way.
pub struct Changes {
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
    under_way_max: u32,
}

impl Changes {
    /// `under_way_max`: changes of each kind of requester at once; beyond, the answer is 503.
    pub fn new(under_way_max: u32) -> Self {
        let seats = || Arc::new(Semaphore::new(under_way_max as usize));
        Self {
            strangers: seats(),
            known: seats(),
            under_way_max,
        }
    }

    /// Lets no change begin from the first poll on, and resolves when none is under way. Dropped
    /// before that, it lets changes begin again.
    pub async fn finish(&self) {
        // A request for all seats gets each one as it becomes free, before all later requests.
        let max = self.under_way_max;
        let (strangers, known) = join(
            self.strangers.acquire_many(max),
            self.known.acquire_many(max),
        )
        .await;
        for seats in [strangers, known].into_iter().flatten() {
            SemaphorePermit::forget(seats);
        }
    }

    fn begin(&self, requester: Requester) -> Result<OwnedSemaphorePermit, ApiError> {
        let seats = match requester {
            Requester::Stranger => &self.strangers,
            Requester::Known => &self.known,
        };
        seats
            .clone()
            .try_acquire_owned()
            .map_err(|_| ApiError::Busy("too many changes at once, or the node stops"))
    }
}

/// A handler that runs to its end once its arguments are complete, the body included. A handler
/// that panics costs its own client a 500 and nobody else anything.
#[derive(Clone)]
pub struct Completing<F> {
    pub handler: F,
    pub requester: Requester,
    pub changes: Arc<Changes>,
}

impl<F, Args> Handler<Args> for Completing<F>
where
    F: Handler<Args, Output = ApiResult>,
    Args: FromRequest + 'static,
{
    type Output = ApiResult;
    type Future = LocalBoxFuture<'static, ApiResult>;

    fn call(&self, args: Args) -> Self::Future {
        let running = self.changes.begin(self.requester).map(|seat| {
            let change = self.handler.call(args);
            actix_web::rt::spawn(async move {
                // Kept until the change is done, or has panicked.
                let _seat = seat;
                change.await
            })
        });
        Box::pin(async move {
            running?
                .await
                .unwrap_or_else(|lost| Err(ApiError::Fault(format!("handler: {lost}"))))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use actix_web::rt::task::yield_now;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, web};
    use futures_util::FutureExt;
    use tokio::sync::Notify;

    use super::*;
    use crate::http::error::ok;

    fn completing<F>(changes: &Arc<Changes>, handler: F) -> Completing<F> {
        Completing {
            handler,
            requester: Requester::Known,
            changes: changes.clone(),
        }
    }

    /// A change that waits until it may go on, and then says that it is done.
    fn slow(go_on: &Rc<Notify>, done: &Rc<Notify>) -> impl Handler<(), Output = ApiResult> + use<> {
        let (go_on, done) = (go_on.clone(), done.clone());
        move || {
            let (go_on, done) = (go_on.clone(), done.clone());
            async move {
                go_on.notified().await;
                done.notify_one();
                ok("ok")
            }
        }
    }

    #[actix_web::test]
    async fn a_change_whose_client_hangs_up_is_completed() {
        let changes = Arc::new(Changes::new(8));
        let (go_on, done) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let request = completing(&changes, slow(&go_on, &done)).call(());
        drop(request);
        go_on.notify_one();
        done.notified().await;
    }

    #[actix_web::test]
    async fn beyond_the_limit_a_change_is_refused_and_strangers_take_no_seat_of_others() {
        let changes = Arc::new(Changes::new(1));
        let (go_on, done) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let stranger = Completing {
            requester: Requester::Stranger,
            ..completing(&changes, slow(&go_on, &done))
        };
        let first = stranger.call(());
        assert!(
            matches!(stranger.call(()).await, Err(ApiError::Busy(_))),
            "one seat"
        );
        let known = completing(&changes, || async { ok("ok") });
        assert!(known.call(()).await.is_ok(), "a seat of its own");
        go_on.notify_one();
        assert!(first.await.is_ok());
        go_on.notify_one();
        assert!(stranger.call(()).await.is_ok(), "the seat is free again");
    }

    #[actix_web::test]
    async fn a_node_that_stops_waits_for_changes_under_way_and_begins_none() {
        let changes = Arc::new(Changes::new(8));
        let (go_on, done) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let handler = completing(&changes, slow(&go_on, &done));
        let under_way = handler.call(());
        let mut finished = Box::pin(changes.finish());
        assert!(
            (&mut finished).now_or_never().is_none(),
            "a change is under way"
        );
        assert!(
            matches!(handler.call(()).await, Err(ApiError::Busy(_))),
            "none begins"
        );
        go_on.notify_one();
        assert!(under_way.await.is_ok());
        finished.await;
        assert!(
            matches!(handler.call(()).await, Err(ApiError::Busy(_))),
            "none begins later either"
        );
    }

    #[actix_web::test]
    async fn a_handler_that_panics_answers_500_and_gives_its_seat_back() {
        let changes = Arc::new(Changes::new(1));
        async fn fails() -> ApiResult {
            yield_now().await;
            panic!("a test asked for it")
        }
        let route = web::post().to(completing(&changes, fails));
        let app = init_service(
            App::new()
                .route("/", route)
                .route("/fine", web::get().to(|| async { "fine" })),
        )
        .await;
        for _ in 0..3 {
            let response = call_service(&app, TestRequest::post().uri("/").to_request()).await;
            assert_eq!(response.status(), 500);
        }
        assert_eq!(
            call_service(&app, TestRequest::get().uri("/fine").to_request())
                .await
                .status(),
            200
        );
    }
}
