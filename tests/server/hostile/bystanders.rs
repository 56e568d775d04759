//! Two people in a room of their own, who must not notice what happens elsewhere.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{TestServer, User, Ws};

/// What a bystander may have to wait: a moment is some milliseconds, and machines of tests are
/// busy.
const MOMENT: Duration = Duration::from_secs(2);

pub struct Bystanders {
    speaker: Ws,
    listener: Ws,
    live_id: i64,
    said: usize,
}

impl Bystanders {
    /// Takes `streamer` and a listener into a new room.
    pub fn meet(server: &TestServer, streamer: &User) -> Self {
        let live_id = server.live(streamer);
        let mut speaker = Ws::connect(server, streamer);
        speaker.join(live_id);
        let mut listener = Ws::connect(server, streamer);
        listener.join(live_id);
        Self {
            speaker,
            listener,
            live_id,
            said: 0,
        }
    }

    /// Fails unless one hears the other within a moment, and the server says that it is well.
    pub fn assert_unharmed(&mut self, server: &TestServer, attack: &str) {
        self.said += 1;
        let text = format!("still here {}", self.said);
        let began = Instant::now();
        self.speaker
            .send("comment", json!({"live_id": self.live_id, "data": text}));
        self.listener
            .event_where("comment", |comment| comment["content"] == json!(text));
        assert!(
            began.elapsed() < MOMENT,
            "{attack}: a bystander waited {:?}",
            began.elapsed()
        );
        let began = Instant::now();
        assert_eq!(server.get("/healthz").status, 200, "{attack}");
        assert!(
            began.elapsed() < MOMENT,
            "{attack}: health took {:?}",
            began.elapsed()
        );
    }
}
