// What the operators' API could answer at its worst: long names, markup, large numbers, silent nodes. The pages of the
// console are looked at with it; how they work with the server is the script of an operator's night.

const NOW = Date.now();
const LONG = "W".repeat(60);
const TEXTS = ["hello from Berlin!", "这首歌太好听了", LONG, "<img src=x onerror=alert(1)>", "=HYPERLINK(\"x\")"];
const TITLES = ["深夜电台 · late night radio", "<b>no markup</b> & \"quotes\"", `A title that somebody typed without thinking of phones ${LONG}`];
const RATES = ["joins_per_s", "comments_in_per_s", "comments_shown_per_s", "comments_sampled_per_s", "comments_held_per_s", "gifts_per_s", "coins_per_s", "drops_per_s"];
const REQUEST = "ab".repeat(32);
const MANAGER = { kind: "manager", id: 1, name: "ann.of-the-night" };

const times = (count, make) => Array.from({ length: count }, (_, index) => make(index));
const rates = (scale) => Object.fromEntries(RATES.map((name, index) => [name, scale / (index + 1)]));

const room = (index) => ({
  live_id: index + 1, title: TITLES[index % TITLES.length], owner_id: 100 + index, status: index % 4, opened_at: NOW, members: 1_234_567 >> index, users: 1_000_000 >> index,
  coin: 9_007_199_254_740_991, ...rates(98_765 / (index + 1)), slow: index, drops: { events: 123_456, states: index, slow: 1, overrun: 0 }, nodes: [{ node: "node-one", members: 5 }, { node: "node-two", members: 4 }],
});
const NODES = [
  { node: "node-one", address: "10.0.0.1:7001", version: "0.1.0", started_at: NOW - 9e7, alone: false, sessions: 10_400, rooms: 57, members: 9_990, writes_queued: 4, silent: false, self: true, cpu: 0.42, memory_bytes: 1.6e8, hub_batches_queued: 0 },
  { node: "node-two", address: "10.0.0.2:7001", version: "0.1.0", started_at: NOW - 9e5, alone: true, sessions: 1, rooms: 1, members: 1, writes_queued: 8, silent: false, self: false },
  { node: "node-three", address: "10.0.0.3:7001", silent: true, last_seen_at: NOW - 12_000, self: false },
];
const OVERVIEW = { at: NOW, nodes: NODES, totals: { rooms: 10_000, members: 1_234_567, sessions: 1_234_567, cpu: 0.8, memory_bytes: 3e8, writes_queued: 12, ...rates(98_765) }, rooms: times(12, room), page: 1, limit: 25, rooms_found: 10_000, is_exact: false };
const STEPS = times(720, (index) => NOW - (720 - index) * 5_000);
const column = (scale) => STEPS.map((_, index) => (index < 30 ? null : scale * (1.2 + Math.sin(index / 60))));
const CHARTS = { step_ms: 5_000, at: STEPS, members: column(1e6), writes_queued: column(10), cpu: column(0.8), ...Object.fromEntries(RATES.map((name) => [name, column(5e4)])) };

const COST = { encode_us: 14.2, fan_out_us: 123_456, bytes: 210, deliveries: 1_234_567, delivered_bytes: 672_000_000, batch: 3 };
const EVENTS = [
  ...TEXTS.map((content, index) => ({ event: "comment", id: String(index), user_id: 200 + index, name: index === 2 ? LONG : `viewer${index}`, content, at: NOW, cost: COST })),
  { event: "gift", user_id: 201, name: "viewer1", gift_name: "钻石", num: 99, coins: 6_534, at: NOW, cost: COST },
  { event: "held", comment_id: "77", user_id: 201, name: "viewer1", content: LONG, rule: "young_account", at: NOW },
  { event: "removed", id: "1", live_id: 1, at: NOW, cost: COST },
];

const comment = (index) => ({ id: String(900 + index), live_id: 1, user_id: 200 + index, name: index === 2 ? LONG : `viewer${index}`, text: TEXTS[index % TEXTS.length], at_ms: NOW, removed_at_ms: index % 3 ? null : NOW, removed_by: index % 2 ? MANAGER : null });
const waiting = (index) => ({ user: { id: 200 + index, name: index === 1 ? LONG : `viewer${index}`, avatar: null }, content: TEXTS[index % TEXTS.length], id: String(700 + index), at: NOW, live_id: 1 });
const HELD = { held: times(3, (index) => ({ comment: waiting(index), rule: ["term", "link", "young_account"][index], expires_ms: NOW + 3e5 })) };
const REPORTS = { reports: times(3, (index) => ({ comment: waiting(index + 10), reports: 100, reporters: [{ user_id: 5, username: LONG, reason: "辱骂" }, { user_id: 6, username: "mika", reason: LONG }] })), next: null };
const sanction = (index) => ({ user_id: 203, sanction_id: index, kind: ["mute", "ban", "shadow"][index], scope: ["streamer", "live", "site"][index], until_ms: index ? null : NOW + 6e5, gifts: true, reason: index ? null : LONG, by: index ? "operator" : 101, since_ms: NOW, live_id: index === 1 ? 1 : null, streamer_id: index === 0 ? 101 : null });
const entry = (index) => ({ id: index + 1, at_ms: NOW, kind: index ? "gift" : "grant", user_id: 200, name: LONG, coins: -9_007_199_254_740_991, balance: 9_007_199_254_740_991, live_id: index ? 1 : null, gift_id: 4, gift: index ? "钻石" : null, count: index ? 99 : null, price: 66, request_id: REQUEST });
const user = (id) => ({ id, username: id === 2 ? LONG.slice(0, 20) : `viewer${id}`, nickname: id % 2 ? "昵称" : null, avatar: null, status: id % 2, created_at_ms: NOW, updated_at_ms: NOW, sanctions_count: 1 });
const CHECKS = { live_id: 1, user_id: 1, role: "viewer", account: true, open_here: true, checks: [{ check: "status", passed: true }, { check: "room_sanction", passed: false, code: "muted", until_ms: NOW + 6e5, sanction: { reason: LONG } }] };
const TRACE = { id: "t1", user_id: 203, live_id: null, by: "ann.of-the-night", began_at_ms: NOW, ends_at_ms: NOW + 24e4 };

const OF_ROOM = {
  held: HELD, reports: REPORTS, comments: { comments: times(6, comment), next: "y" }, sanctions: { sanctions: times(3, sanction), next: null }, ledger: { coins: 123_456, gifts: 990, entries: times(4, entry), next: "z" },
  givers: { givers: times(5, (index) => ({ user_id: 200 + index, name: index === 2 ? LONG : `viewer${index}`, coins: 9_007_199_254_740_991, gifts: 100 })) },
  members: { members: times(6, (index) => ({ user_id: 200 + index, name: index === 2 ? LONG : `viewer${index}`, role: ["streamer", "moderator", "viewer"][index % 3], sessions: [{ session_id: index, node: "node-one", joined_at_ms: NOW, queued_packets: 7 }], sessions_count: 1 })), sessions_total: 3_200, users_online: 3_100, next: "x", silent: ["node-three"] },
};
const OF_USER = {
  sessions: { sessions: [{ session_id: 7, node: "node-one", socket_id: "x", dialect: "eio4", address: "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", began_at_ms: NOW, rooms: [{ live_id: 1, title: TITLES[2] }] }], silent: ["node-three"] },
  sanctions: OF_ROOM.sanctions, ledger: { coin: 9_007_199_254_740_991, entries: times(3, entry), next: null }, comments: { comments: times(3, comment), next: "z", searched_to_ms: NOW },
};
const OF_SITE = {
  me: { id: 1, name: "ann.of-the-night", role: "operator", is_admin: true, permissions: ["look", "comments", "moderate", "operate", "finance", "administer"], csrf: "c", ends_at_ms: NOW + 4e7, totp: { enabled: true, required: true, recovery_codes_left: 9 } },
  overview: OVERVIEW, held: HELD, reports: REPORTS, explain: CHECKS, users: { users: times(6, user), next: "u" },
  gifts: { gifts: times(4, (index) => ({ id: index, name: index === 2 ? LONG.slice(0, 50) : "小花", image: "/admin/assets/icon.svg", coin: 9_007_199_254_740_991, on_sale: index % 2 === 0, created_at_ms: NOW, updated_at_ms: NOW })) },
  "filter/hits": times(3, (index) => ({ term: index ? LONG : "傻冒", action: "mask", hits: 123_456 })), "filter/test": { normalised: LONG, action: "hold", shown: LONG, hits: [{ start: 0, end: 4, found: LONG, term: LONG, action: "hold", list: "site", tags: ["insult"], allowed: true }] },
  trace: { traces: [TRACE] }, "trace/t1/lines": { id: "t1", lines: times(3, (index) => ({ at_ms: NOW, node: "node-one", what: "comment", user_id: 203, live_id: 1, session_id: index, fields: { text: LONG, code: "ok" } })), dropped: 7, next: "5", ended: false, silent: [] },
  audit: { entries: times(6, (index) => ({ id: index, at_ms: NOW, actor: index % 2 ? MANAGER : { kind: "user", id: 9 }, role: "operator", address: "2001:db8::1", action: "mute", target: { user_id: 203 }, live_id: 1, reason: index ? LONG : null, arguments: { seconds: 300 }, before: null, after: { reason: LONG }, request_id: REQUEST, result: index % 2 ? "ok" : "not_allowed" })), next: "78" },
  "ledger/proof": { balanced: false, transfers: 1_203, entries: 2_406, gifts: 1_100, users_coin: 9_007_199_254_740_991, lives_coin: 123_456, granted_coin: 1, faults: times(2, (index) => ({ rule: "a balance is the sum of its entries", row: `user ${index}`, expected: 1, found: 2 })) },
  managers: { managers: times(3, (index) => ({ id: index, name: index ? LONG.slice(0, 32) : "ann", role: ["operator", "moderator", "finance"][index], is_admin: index === 0, disabled: index === 2, has_password: index !== 1, totp: false, created_at_ms: NOW, last_login_at_ms: index ? null : NOW })) },
  tokens: { tokens: [{ id: 1, name: LONG.slice(0, 50), scopes: ["look", "finance"], created_by: "ann", created_at_ms: NOW, expires_at_ms: NOW - 1, expired: true, last_used_at_ms: null }] },
  sessions: { sessions: times(2, (index) => ({ id: index, created_at_ms: NOW, last_used_at_ms: NOW, ends_at_ms: NOW, address: "2001:db8::1", user_agent: `Mozilla/5.0 ${LONG}`, current: index === 0 })) },
};

function dataOf(path) {
  const [, kind, part] = /^(?:rooms|users)\/\d+(?:\/(\w+))?$/.exec(path) ? [path, path.split("/")[0], path.split("/")[2]] : [];
  if (kind === "rooms") return OF_ROOM[part];
  if (kind === "users") return part ? OF_USER[part] : user(1);
  return OF_SITE[path];
}

/** Answers a context's requests of the operators' API, and its feed. Files of the console come from the server. */
export async function answerWithData(context) {
  await context.route(/\/admin\/(?!assets\/|$)/, (route) => {
    const path = new URL(route.request().url()).pathname.replace(/^\/admin\//, "");
    if (path === "filter/export") return route.fulfill({ contentType: "text/plain", body: `# terms\n${LONG}\tblock\n` });
    const data = dataOf(path);
    return data === undefined ? route.fulfill({ status: 404, json: { msg: "fail", data: `no data for ${path}` } }) : route.fulfill({ json: { msg: "ok", data } });
  });
  await context.routeWebSocket(/\/admin\/feed$/, (socket) => {
    socket.onMessage((text) => {
      const { view } = JSON.parse(text);
      const send = (message) => socket.send(JSON.stringify(message));
      if (view === "overview") {
        send({ type: "charts", data: CHARTS });
        send({ type: "overview", data: OVERVIEW });
      } else if (view === "room") {
        send({ type: "room", live_id: 1, data: { room: room(0), events: EVENTS, skipped: 1_234 } });
      }
    });
  });
}
