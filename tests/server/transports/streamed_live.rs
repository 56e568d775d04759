//! A live on air on a server of its own, and what its streamer and an operator do there.

use serde_json::{Value, json};

use crate::support::{TestServer, User, Ws};

pub struct StreamedLive {
    pub server: TestServer,
    pub streamer: User,
    pub live: i64,
}

impl StreamedLive {
    /// `env`: settings of the server.
    pub fn start(env: &[(&str, &str)]) -> Self {
        let server = TestServer::start(env);
        let streamer = server.user("streamer");
        let live = server.live(&streamer);
        Self {
            server,
            streamer,
            live,
        }
    }

    pub fn joined(&self, user: &User) -> Ws {
        let mut ws = Ws::connect(&self.server, user);
        ws.join(self.live);
        ws
    }

    pub fn member(&self, name: &str) -> (User, Ws) {
        let user = self.server.user(name);
        let ws = self.joined(&user);
        (user, ws)
    }

    /// A command of the streamer, answered.
    pub fn act(&self, event: &str, data: Value) -> Value {
        Ws::connect(&self.server, &self.streamer).ask(event, self.about(data))
    }

    /// The data of a command, with the live.
    pub fn about(&self, mut data: Value) -> Value {
        data["live_id"] = json!(self.live);
        data
    }

    pub fn says(&self, ws: &mut Ws, text: &str) -> Value {
        ws.ask("comment", self.about(json!({"data": text})))
    }

    pub fn operator(&self, act: &str, data: &Value) -> Value {
        self.server
            .admin_post(&format!("/admin/rooms/{}/{act}", self.live), data)
            .ok()
    }
}

/// The code of a refusal.
pub fn code(answer: &Value) -> &str {
    assert_eq!(answer["ok"], json!(false), "{answer}");
    answer["code"].as_str().expect("a refusal has a code")
}
