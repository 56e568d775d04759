// One room: live, its people, comments, sanctions and money, with every control.

import { addressOf, read } from "./admin.js";
import { make, toast } from "./dom.js";
import { NOTHING, countText, rateText } from "./format.js";
import { t, untilText } from "./i18n.js";
import { personButton } from "./person.js";
import { Queue } from "./queue.js";
import * as acts from "./room_acts.js";
import { RoomFeed } from "./room_feed.js";
import { may } from "./session.js";
import { PagedTable, Table } from "./table.js";
import { Trouble, button, card, errorText, mark, searchField, time, userLink } from "./ui.js";

const TABS = { live: "look", people: "comments", comments: "comments", sanctions: "comments", money: "look" };
const STATS = [["members", countText], ["users", countText], ["joins_per_s", rateText], ["comments_in_per_s", rateText], ["comments_shown_per_s", rateText], ["comments_sampled_per_s", rateText], ["comments_held_per_s", rateText], ["gifts_per_s", rateText], ["coins_per_s", rateText], ["coin", countText], ["slow", countText], ["drops_per_s", rateText]];

export function roomPage(host, [idText, tabName], { feed }) {
  const liveId = Number(idText);
  if (!Number.isSafeInteger(liveId) || liveId < 1) {
    host.append(make("p", { className: "empty" }, t("noPage")));
    return undefined;
  }
  const tab = TABS[tabName] && may(TABS[tabName]) ? tabName : "live";
  const heading = make("h1", {}, `#${liveId}`);
  const status = make("span", { className: "badge" });
  const facts = make("p", { className: "fine facts-line" });
  const panel = make("div", { className: "panel-host" });
  const state = { title: "", ownerId: null };
  const tabs = make("nav", { className: "tab-row", attributes: { "aria-label": t("room") } }, ...Object.entries(TABS).filter(([, permission]) => may(permission)).map(([name]) =>
    make("a", { href: `#/rooms/${liveId}/${name}`, attributes: name === tab ? { "aria-current": "page" } : {} }, t(`tab_${name}`))));
  host.append(make("div", { className: "page-head" }, heading, status, make("span", { className: "grow" }), ...controls(liveId, state)), facts, tabs, panel);

  const stats = STATS.map(([name, words]) => {
    const value = make("b", {}, NOTHING);
    return { name, words, value, node: make("div", { dataset: { stat: name } }, value, make("span", {}, t(`stat_${name}`))) };
  });

  function drawRoom(room) {
    status.textContent = t(room ? `status${room.status}` : "notOpen");
    status.dataset.status = room ? room.status : 3;
    if (!room) return;
    Object.assign(state, { title: room.title, ownerId: room.owner_id });
    heading.textContent = room.title;
    document.title = `${room.title} · liveroom`;
    facts.replaceChildren(`#${liveId} · `, userLink(room.owner_id, t("streamerOf", { id: room.owner_id })), ` · ${(room.nodes ?? []).map(({ node, members }) => `${node}: ${countText(members)}`).join(" · ")}`);
    for (const { name, words, value } of stats) value.textContent = words(room[name]);
  }

  const parts = { live: livePanel, people: peoplePanel, comments: commentsPanel, sanctions: sanctionsPanel, money: moneyPanel };
  if (tab !== "live") read("/overview", { search: liveId, limit: 100 }).then((overview) => drawRoom(rowOf(overview, liveId)), () => {});
  return parts[tab]({ panel, liveId, feed, stats, drawRoom }) ?? (() => {});
}

function controls(liveId, state) {
  const does = (work) => async () => {
    try {
      await work();
    } catch (error) {
      toast(errorText(error), { tone: "bad" });
    }
  };
  return [
    ...(may("moderate") ? [
      button(t("actNotice"), () => acts.notice(liveId), { name: "notice" }),
      button(t("actModes"), does(() => acts.setModes(liveId)), { name: "modes" }),
      button(t("actTitle"), () => acts.rename(liveId, state.title), { name: "title" }),
      button(t("actUnpin"), () => acts.unpin(liveId), { name: "unpin" }),
    ] : []),
    ...(may("operate") ? [button(t("trace"), () => { location.hash = `#/trace?live=${liveId}`; }, { name: "trace" }), button(t("actCloseVerb"), () => acts.closeRoom(liveId, state.title), { name: "close-room", className: "ghost small danger" })] : []),
  ];
}

/** What happens, and what waits for a decision. Whoever may not read comments sees the figures. */
function livePanel({ panel, liveId, feed, stats, drawRoom }) {
  panel.append(make("div", { className: "totals stats" }, ...stats.map(({ node }) => node)));
  if (!may("comments")) {
    panel.append(make("p", { className: "empty" }, t("feedNotYours")));
    return feed.watch({ view: "overview", search: String(liveId), limit: 100 }, ({ type, data }) => type === "overview" && drawRoom(rowOf(data, liveId)));
  }
  const live = new RoomFeed(liveId);
  const queue = new Queue(liveId);
  panel.append(make("div", { className: "two" }, card(t("liveFeed"), { name: "feed", tools: live.tools }, live.node), queue.node));
  const stop = feed.watch({ view: "room", live_id: liveId }, (message) => {
    if (message.type === "error") return live.fail(message.data);
    if (message.type !== "room" || message.live_id !== liveId) return;
    drawRoom(message.data.room);
    live.take(message.data);
  });
  return () => {
    stop();
    queue.close();
  };
}

const rowOf = (overview, liveId) => overview.rooms.find((row) => row.live_id === liveId) ?? null;

function peoplePanel({ panel, liveId }) {
  let search = "";
  const note = make("p", { className: "fine note" });
  const givers = new Table({ caption: t("givers"), columns: [
    { title: t("name"), wide: true, text: (row) => row.name, node: (row) => personButton(liveId, { id: row.user_id, name: row.name }) },
    { title: t("coins"), numeric: true, text: (row) => countText(row.coins) },
    { title: t("giftsGiven"), numeric: true, text: (row) => countText(row.gifts) },
  ], keyOf: (row) => row.user_id, name: "givers" });
  const table = new PagedTable({
    caption: t("members"), name: "members", keyOf: (row) => row.user_id, columns: [
      { title: t("name"), wide: true, text: (row) => `${row.user_id} ${row.name}`, node: (row) => personButton(liveId, { id: row.user_id, name: row.name }, () => table.refresh()) },
      { title: t("role"), text: (row) => t(`member_${row.role}`) },
      { title: t("sessions"), numeric: true, text: (row) => countText(row.sessions_count) },
      { title: t("node"), text: (row) => [...new Set(row.sessions.map(({ node }) => node))].join(", ") },
      { title: t("since"), text: (row) => Math.min(...row.sessions.map(({ joined_at_ms: at }) => at)), node: (row) => time(Math.min(...row.sessions.map(({ joined_at_ms: at }) => at))) },
      { title: t("queued"), numeric: true, text: (row) => countText(row.sessions.reduce((total, each) => total + each.queued_packets, 0)) },
    ],
    load: async (cursor) => {
      const page = await read(`/rooms/${liveId}/members`, { search, cursor });
      note.textContent = [t("membersFound", { users: countText(page.users_online), sessions: countText(page.sessions_total) }), ...(page.silent?.length ? [t("silentNodes", { nodes: page.silent.join(", ") })] : [])].join(" · ");
      return { rows: page.members, next: page.next };
    },
  });
  const tools = [searchField(t("searchMembers"), "", (text) => { search = text; table.refresh(); })];
  const trouble = new Trouble();
  panel.append(make("div", { className: "two" }, card(t("members"), { tools, name: "members" }, note, table.node), card(t("givers"), { name: "givers" }, trouble.node, givers.node)));
  table.refresh();
  read(`/rooms/${liveId}/givers`).then(({ givers: rows }) => givers.draw(rows), (error) => trouble.show(error));
}

function commentsPanel({ panel, liveId }) {
  const removed = make("input", { type: "checkbox" });
  const table = new PagedTable({
    caption: t("tab_comments"), name: "comments", keyOf: (row) => row.id, columns: [
      { title: t("time"), text: (row) => row.at_ms, node: (row) => time(row.at_ms) },
      { title: t("name"), text: (row) => row.name, node: (row) => personButton(liveId, { id: row.user_id, name: row.name }, () => table.refresh()) },
      { title: t("text"), wide: true, text: (row) => `${row.text} ${row.removed_at_ms}`, node: (row) => make(row.removed_at_ms ? "s" : "span", { className: "said" }, row.text) },
      { title: t("removed"), text: (row) => (row.removed_at_ms ? `${row.removed_at_ms}` : ""), node: (row) => (row.removed_at_ms ? make("span", {}, time(row.removed_at_ms), make("small", {}, ` ${removedBy(row.removed_by)}`)) : "") },
      ...(may("moderate") ? [{ title: t("acts"), text: (row) => `${row.id} ${row.removed_at_ms}`, node: (row) => commentActs(liveId, row, () => table.refresh()) }] : []),
    ],
    load: async (cursor) => {
      const page = await read(`/rooms/${liveId}/comments`, { cursor, removed: removed.checked ? 1 : "" });
      return { rows: page.comments, next: page.next };
    },
  });
  removed.addEventListener("change", () => table.refresh());
  panel.append(card(t("tab_comments"), { name: "comments", tools: [make("label", { className: "check" }, removed, t("withRemoved")), ...exports(liveId, "comments")] }, table.node));
  table.refresh();
}

export const removedBy = (by) => (by ? t("removedBy", { name: by.name ?? `${t(`actor_${by.kind}`)} ${by.id || ""}`.trim() }) : t("removedByRule"));

function commentActs(liveId, { id, text, removed_at_ms: removedAt }, onChange) {
  const ask = async (work) => (await work) !== undefined && onChange();
  if (removedAt) return make("span");
  return make("span", { className: "acts" },
    button(t("remove"), () => ask(acts.deleteComment(liveId, { id, text })), { name: "delete" }), button(t("pin"), () => ask(acts.pin(liveId, { id, text })), { name: "pin" }));
}

/** Links that save all comments or gifts of a live. */
const exports = (liveId, what) => ["csv", "jsonl"].map((format) =>
  make("a", { className: "ghost small", href: addressOf(`/lives/${liveId}/export/${what}`, { format }), download: "" }, t("saveAs", { format: format.toUpperCase() })));

function sanctionsPanel({ panel, liveId }) {
  const table = new PagedTable({
    caption: t("tab_sanctions"), name: "sanctions", keyOf: (row) => row.sanction_id, empty: t("noSanctions"), columns: [
      { title: t("kind"), text: (row) => row.kind, node: (row) => mark(t(`holds_${row.kind}`), "bad") },
      { title: t("user"), text: (row) => row.user_id, node: (row) => personButton(liveId, { id: row.user_id, name: `#${row.user_id}` }, () => table.refresh()) },
      { title: t("ends"), text: (row) => (row.scope === "live" && row.until_ms === null ? t("untilLiveEnds") : untilText(row.until_ms)) },
      { title: t("reason"), wide: true, text: (row) => row.reason ?? "" },
      { title: t("by"), text: (row) => JSON.stringify(row.by), node: (row) => (Number.isInteger(row.by) ? userLink(row.by) : t("actor_operator")) },
      { title: t("since"), text: (row) => row.since_ms, node: (row) => time(row.since_ms) },
      ...(may("moderate") ? [{ title: t("acts"), text: (row) => row.sanction_id, node: (row) => button(t(`lift_${row.kind}`), async () => {
        if ((await acts.lift(row.kind, liveId, { id: row.user_id, name: `#${row.user_id}` })) !== undefined) table.refresh();
      }) }] : []),
    ],
    load: async (cursor) => {
      const page = await read(`/rooms/${liveId}/sanctions`, { cursor });
      return { rows: page.sanctions, next: page.next };
    },
  });
  panel.append(card(t("tab_sanctions"), { name: "sanctions" }, table.node));
  table.refresh();
}

function moneyPanel({ panel, liveId }) {
  if (!may("finance")) return void panel.append(make("p", { className: "empty" }, t("moneyNotYours")));
  const totals = make("p", { className: "fine note" });
  const table = new PagedTable({
    caption: t("ledger"), name: "ledger", keyOf: (row) => row.id, columns: [
      { title: t("time"), text: (row) => row.at_ms, node: (row) => time(row.at_ms) },
      { title: t("user"), wide: true, text: (row) => row.name, node: (row) => userLink(row.user_id, row.name) },
      { title: t("gift"), text: (row) => `${row.gift ?? `#${row.gift_id}`} × ${row.count}` },
      { title: t("price"), numeric: true, text: (row) => countText(row.price) },
      { title: t("coins"), numeric: true, text: (row) => countText(row.coins) },
      { title: t("balanceAfter"), numeric: true, text: (row) => countText(row.balance) },
      { title: t("requestId"), text: (row) => row.request_id ?? "", node: (row) => make("code", {}, row.request_id ?? "") },
    ],
    load: async (cursor) => {
      const page = await read(`/rooms/${liveId}/ledger`, { cursor });
      totals.textContent = t("ledgerTotals", { coins: countText(page.coins), gifts: countText(page.gifts) });
      return { rows: page.entries, next: page.next };
    },
  });
  panel.append(card(t("ledger"), { name: "ledger", tools: exports(liveId, "gifts") }, totals, table.node));
  table.refresh();
}
