//! The live feed of consoles: who is let in, and the texts of both sides.

use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::{HttpResponse, ResponseError};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ApiState;
use super::admin_views::room_event;
use super::error::{ApiError, ApiResult};
use super::gate::admit_console;
use super::operator::Operator;
use super::overview::{ChartsView, OverviewView, RoomView, read_view};
use crate::actors::consoles::{
    ClusterSnapshot, ConsoleGrants, ConsoleWire, Consoles, EventCost, Feed, FeedView, RoomUpdate,
    TappedEvent,
};
use crate::actors::{Charts, RoomsView};
use crate::client_address::client_of;
use crate::domain::{HeldComment, LiveId, Permission};

/// GET /admin/feed by a client that does not ask for a WebSocket.
pub async fn websocket_only() -> ApiResult {
    Err(ApiError::Refused("ask for a WebSocket"))
}

/// The wire form of consoles, as JSON.
pub struct FeedText;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewBody {
    view: String,
    live_id: Option<i64>,
    sort: Option<String>,
    order: Option<String>,
    search: Option<String>,
    page: Option<u32>,
    limit: Option<u32>,
}

impl ViewBody {
    fn rooms_view(&self) -> Result<RoomsView, ApiError> {
        let (page, limit) = (
            self.page.map(|page| page.to_string()),
            self.limit.map(|limit| limit.to_string()),
        );
        read_view(|name| match name {
            "sort" => self.sort.as_deref(),
            "order" => self.order.as_deref(),
            "search" => self.search.as_deref(),
            "page" => page.as_deref(),
            "limit" => limit.as_deref(),
            _ => None,
        })
    }
}

/// A message to a console.
#[derive(Serialize)]
struct FeedMessage<'a, T> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_id: Option<i64>,
    /// The view that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<ViewText<'a>>,
    data: T,
}

#[derive(Serialize)]
struct ViewText<'a> {
    #[serde(flatten)]
    view: &'a RoomsView,
    order: &'static str,
}

impl<T: Serialize> FeedMessage<'_, T> {
    fn of(r#type: &'static str, data: T) -> Self {
        Self {
            r#type,
            live_id: None,
            view: None,
            data,
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("views have text keys and no other failures")
    }
}

#[derive(Serialize)]
struct UpdateView<'a> {
    room: Option<RoomView<'a>>,
    events: Vec<Map<String, Value>>,
    /// Events that are not shown because there were too many.
    skipped: u64,
}

impl ConsoleWire for FeedText {
    fn read_view(&self, text: &str) -> Result<FeedView, String> {
        let body: ViewBody = serde_json::from_str(text)
            .map_err(|_| "a view is an object with `view` and its fields".to_owned())?;
        match body.view.as_str() {
            "none" => Ok(FeedView::None),
            "overview" => body
                .rooms_view()
                .map(FeedView::Overview)
                .map_err(|error| error.to_string()),
            "room" => body
                .live_id
                .and_then(LiveId::new)
                .map(FeedView::Room)
                .ok_or_else(|| "live_id must be the id of a live".to_owned()),
            _ => Err("view must be overview, room or none".to_owned()),
        }
    }

    fn overview(&self, snapshot: &ClusterSnapshot, view: &RoomsView) -> String {
        let order = if view.descending { "desc" } else { "asc" };
        FeedMessage {
            view: Some(ViewText { view, order }),
            ..FeedMessage::of("overview", OverviewView::new(snapshot, view))
        }
        .text()
    }

    fn charts(&self, charts: &Charts) -> String {
        FeedMessage::of("charts", ChartsView::from(charts)).text()
    }

    fn room(&self, update: &RoomUpdate<'_>) -> String {
        let update_view = UpdateView {
            room: update.room.map(RoomView::from),
            events: update.events.iter().map(feed_event).collect(),
            skipped: update.skipped,
        };
        FeedMessage {
            live_id: Some(update.live_id.get()),
            ..FeedMessage::of("room", update_view)
        }
        .text()
    }

    fn error(&self, text: &str) -> String {
        FeedMessage::of("error", text).text()
    }
}

/// An event as it is in the detail of a room, with its time and what it cost.
fn feed_event(event: &TappedEvent) -> Map<String, Value> {
    let (at, mut fields) = match event {
        TappedEvent::Delivered { at, encoded, cost } => {
            let mut fields = encoded.sequenced().map(room_event).unwrap_or_default();
            fields.insert("cost".into(), cost_fields(*cost));
            (at, fields)
        }
        TappedEvent::Held { at, held } => (at, held_fields(held)),
    };
    fields.insert("at".into(), at.0.into());
    fields
}

fn held_fields(held: &HeldComment) -> Map<String, Value> {
    let comment = &held.comment;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("event", "held".into());
    put("comment_id", comment.id.to_string().into());
    put("user_id", comment.author.id.get().into());
    put("name", comment.author.name.as_str().into());
    put("content", comment.text.as_str().into());
    put("rule", held.rule.name().into());
    fields
}

fn cost_fields(cost: EventCost) -> Value {
    let us = |duration: std::time::Duration| (duration.as_nanos() as f64 / 100.0).round() / 10.0;
    serde_json::json!({
        "encode_us": us(cost.encode),
        "fan_out_us": us(cost.fan_out),
        "bytes": cost.bytes,
        "deliveries": cost.deliveries,
        "delivered_bytes": cost.delivered_bytes,
        "batch": cost.batch,
    })
}

/// Lets a console in.
pub fn open_feed(
    state: ApiState,
    consoles: Arc<Consoles>,
    head: &RequestHead,
) -> LocalBoxFuture<'static, Result<Feed, Box<HttpResponse>>> {
    let headers = head.headers().clone();
    let proxies = &state.config.server.trusted_proxies;
    let address = client_of(head.peer_addr, &headers, proxies);
    let open = async move {
        let operator = admit_console(&state, &headers, address).await?;
        let seat = consoles
            .open(grants_of(&operator))
            .map_err(|_| ApiError::Busy("too many consoles on this node"))?;
        let recheck = move || {
            let (state, headers) = (state.clone(), headers.clone());
            async move {
                let admitted = admit_console(&state, &headers, address).await;
                admitted.ok().map(|operator| grants_of(&operator))
            }
            .boxed_local()
        };
        Ok(Feed {
            seat,
            recheck: Box::new(recheck),
        })
    };
    open.map(|opened| opened.map_err(|error: ApiError| Box::new(error.error_response())))
        .boxed_local()
}

fn grants_of(operator: &Operator) -> ConsoleGrants {
    ConsoleGrants {
        comments: operator.permissions.contains(Permission::Comments),
    }
}
