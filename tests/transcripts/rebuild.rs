//! Domain values out of recorded payloads, so that they can be said again.

use std::sync::Arc;

use liveroom::domain::{
    Coins, Comment, CommentFault, CommentId, CommentText, Gift, GiftCount, GiftId, GiftOrder,
    GiftReceipt, GiftRecordId, LiveId, Presence, PresenceAction, Profile, Reject, RequestId,
    RoomEvent, Sequenced, Timestamp, UserId,
};
use serde_json::Value;

pub fn presence_of(body: &Value) -> Presence {
    Presence {
        live_id: LiveId::new(2).unwrap(),
        action: if body["action"] == "join" {
            PresenceAction::Join
        } else {
            PresenceAction::Leave
        },
        user: profile_of(&body["user"]),
        clients: body["clients"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| text_of(id).into())
            .collect(),
        users: body["data"]
            .as_array()
            .map(|users| users.iter().map(profile_of).collect()),
        count: 1,
        net_changes: None,
        announces_each_change: true,
    }
}

pub fn comment_of(body: &Value, text: CommentText) -> Sequenced {
    let comment = Comment {
        id: CommentId::new(1_795_294_582_778_001).unwrap(),
        live_id: LiveId::new(2).unwrap(),
        author: profile_of(&body["user"]),
        text,
        request_id: None,
        at: Timestamp(1_795_294_582_778),
    };
    sequenced(RoomEvent::Comment(Arc::new(comment)))
}

pub fn gift_of(body: &Value) -> Sequenced {
    let giver = Profile {
        id: UserId::new(5).unwrap(),
        name: text_of(&body["username"]).into(),
        avatar: body["avatar"].as_str().map(str::to_owned),
    };
    let gift = Gift {
        id: GiftId::new(1).unwrap(),
        name: text_of(&body["gift_name"]).into(),
        image: text_of(&body["gift_image"]).into(),
        price: Coins::new(10),
    };
    let at = Timestamp(1_795_294_582_778);
    let order = GiftOrder {
        live_id: LiveId::new(2).unwrap(),
        giver: Arc::new(giver),
        gift: Arc::new(gift),
        count: GiftCount::new(body["num"].as_i64().unwrap()).unwrap(),
        request_id: RequestId::parse("g-1").unwrap(),
        at,
    };
    let receipt = GiftReceipt {
        record_id: GiftRecordId::new(9).unwrap(),
        total: Coins::new(10),
        giver_coin: Coins::new(90),
        live_coin: Coins::new(10),
        at,
        duplicate: false,
    };
    sequenced(RoomEvent::Gift {
        order: Arc::new(order),
        receipt,
    })
}

fn sequenced(event: RoomEvent) -> Sequenced {
    Sequenced {
        epoch: "e1".into(),
        offset: 1,
        event,
    }
}

fn profile_of(user: &Value) -> Arc<Profile> {
    Arc::new(Profile {
        id: user["id"].as_i64().and_then(UserId::new).unwrap(),
        name: text_of(&user["name"]).into(),
        avatar: user["avatar"].as_str().map(str::to_owned),
    })
}

pub fn reject_of(text: &str) -> Option<Reject> {
    Some(match text {
        "您没有权限访问该接口!" => Reject::Unauthorized,
        "Token 令牌不合法!" => Reject::TokenInvalid,
        "token 已过期! 请重新获取令牌" => Reject::TokenExpired,
        "用户不存在或已被禁用" => Reject::UserDisabled,
        "直播间不存在" => Reject::LiveNotFound,
        "未开播" => Reject::LiveNotStarted,
        "直播已结束" => Reject::LiveEnded,
        "该礼物不存在" => Reject::GiftNotFound,
        "金币不足，请先充值" => Reject::CoinsInsufficient,
        "评论内容不能为空" => Reject::CommentRefused {
            fault: CommentFault::Empty,
        },
        _ => return None,
    })
}

pub fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
