//! Notes on its connection when a request is served, and counts requests that came through proxies
//! for the address of their client.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_http::body::BoxBody;
use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, Payload, Request, Response, StatusCode};
use actix_service::Service;
use actix_web::HttpRequest;
use actix_web::http::header::RETRY_AFTER;
use bytes::Bytes;
use futures_util::Stream;

use super::{Connection, Connections, RETRY_AFTER_S, RequestGuard};
use crate::client_address::client_of;

/// Serves one request and notes that on its connection. One that came through a trusted proxy
/// counts for its client's address; beyond that address's limit it is answered 503.
pub fn track<S>(
    mut request: Request,
    service: &S,
    connections: &Arc<Connections>,
) -> impl Future<Output = Result<S::Response, Response<BoxBody>>> + use<S>
where
    S: Service<Request, Error = Response<BoxBody>>,
{
    let connection = request.conn_data::<Arc<Connection>>().cloned();
    let begun = begin(&mut request, connection, connections);
    let served = begun.map(|underway| (service.call(request), underway));
    async {
        let (answer, _underway) = served?;
        answer.await
    }
}

fn begin(
    request: &mut Request,
    connection: Option<Arc<Connection>>,
    connections: &Arc<Connections>,
) -> Result<Option<(Underway, Option<RequestGuard>)>, Response<BoxBody>> {
    // Each connection that `Connections` admitted has its data.
    let Some(connection) = connection else {
        return Ok(None);
    };
    let guard = match forwarded_by_proxy(request, &connection, connections) {
        Some(address) => Some(connections.try_request(address).map_err(|_| full())?),
        None => None,
    };
    let has_body = matches!(request.payload(), Payload::H1 { .. });
    connection.begin_request(has_body);
    if has_body {
        let payload = request.take_payload();
        let body: BoxedPayloadStream = Box::pin(Body {
            payload,
            connection: connection.clone(),
        });
        *request.payload() = Payload::Stream { payload: body };
    }
    Ok(Some((Underway(connection), guard)))
}

/// The address of the client whose request a trusted proxy forwards; `None` for a request without
/// such a proxy, and for the proxy's own.
fn forwarded_by_proxy(
    request: &Request,
    connection: &Connection,
    connections: &Connections,
) -> Option<IpAddr> {
    if connection.address.is_some() {
        return None;
    }
    let client = client_of(
        request.head().peer_addr,
        &request.head().headers,
        &connections.config.server.trusted_proxies,
    );
    (!connections.is_trusted(client)).then_some(client)
}

fn full() -> Response<BoxBody> {
    let mut response = Response::with_body(StatusCode::SERVICE_UNAVAILABLE, BoxBody::new(()));
    response
        .headers_mut()
        .insert(RETRY_AFTER, RETRY_AFTER_S.into());
    response
}

/// Ends the request on its connection when dropped.
struct Underway(Arc<Connection>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// A request's body. It notes on its connection when no more of it is expected.
struct Body {
    payload: Payload,
    connection: Arc<Connection>,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.payload).poll_next(cx));
        if !matches!(next, Some(Ok(_))) {
            self.connection.end_body();
        }
        Poll::Ready(next)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.connection.end_body();
    }
}

/// Waits for `answer` unless the client closes its sending side first: then `None`. For answers
/// that may take long, such as hanging polls: a client that left and one that only half-closed look
/// alike, and a long wait is for neither.
pub(in crate::transport) async fn unless_gone<T>(
    request: &HttpRequest,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let connection = request.conn_data::<Arc<Connection>>();
    let mut answer = pin!(answer);
    // The connection's task reads before it polls this, so the end that it read is noticed here.
    poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if connection.is_some_and(|connection| connection.has_read_eof()) => {
            Poll::Ready(None)
        }
        Poll::Pending => Poll::Pending,
    })
    .await
}
