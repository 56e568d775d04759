//! GET /api/gift/list

use liveroom::catalogue::GiftCatalogue;
use liveroom::domain::Coins;
use liveroom::storage::ActAuthor;
use serde_json::json;

use super::harness::{NOW, TestApi};

#[actix_web::test]
async fn empty_catalogue_is_an_empty_list() {
    TestApi::start()
        .await
        .get("/api/gift/list")
        .await
        .assert_ok(json!([]));
}

#[actix_web::test]
async fn gifts_are_listed_in_id_order_whoever_added_them() {
    let mut api = TestApi::start().await;
    for (name, price) in [("小花", 7), ("火箭", 1_000)] {
        api.state
            .store
            .create_gift(
                name.into(),
                "/g.png".into(),
                Coins::new(price),
                NOW,
                ActAuthor::default(),
            )
            .await
            .unwrap();
    }
    api.get("/api/gift/list").await.assert_ok(json!([]));
    api.state.catalogue.refresh().await.unwrap();
    let listed = api.get("/api/gift/list").await;
    assert_eq!(
        listed.body,
        r#"{"msg":"ok","data":[{"id":1,"name":"小花","image":"/g.png","coin":7,"created_time":"2026-11-21 08:05:09","updated_time":"2026-11-21T08:05:09.120Z"},{"id":2,"name":"火箭","image":"/g.png","coin":1000,"created_time":"2026-11-21 08:05:09","updated_time":"2026-11-21T08:05:09.120Z"}]}"#
    );
    api.state.catalogue = GiftCatalogue::load(api.state.store.clone()).await.unwrap();
    assert_eq!(api.get("/api/gift/list").await.body, listed.body);
}
