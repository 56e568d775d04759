// One user: sessions and rooms over all nodes, sanctions, comments, balance, and why they may not speak.

import { act } from "./act.js";
import { change, read } from "./admin.js";
import { avatar, make } from "./dom.js";
import { countText, timeText } from "./format.js";
import { t, untilText } from "./i18n.js";
import { checkLine, openPerson } from "./person.js";
import { removedBy } from "./room.js";
import { may } from "./session.js";
import { PagedTable, Table } from "./table.js";
import { Trouble, button, card, facts, mark, roomLink, time, userLink } from "./ui.js";

const COINS_MAX = Number.MAX_SAFE_INTEGER;

export function userPage(host, [idText]) {
  const id = Number(idText);
  if (!Number.isSafeInteger(id) || id < 1) return void host.append(make("p", { className: "empty" }, t("noPage")));
  const head = make("div", { className: "page-head" });
  const trouble = new Trouble();
  const body = make("div", { className: "panel-host" });
  host.append(head, trouble.node, body);
  const balance = make("b", { className: "gold", dataset: { name: "balance" } });
  let ledger = null;

  async function refresh() {
    try {
      const user = await read(`/users/${id}`);
      trouble.clear();
      drawHead(user);
      ledger?.refresh();
    } catch (error) {
      trouble.show(error, refresh);
    }
  }

  function drawHead(user) {
    document.title = `${user.username} · liveroom`;
    const controls = [
      ...(may("operate") ? [button(t(user.status ? "disable" : "enable"), async () => (await setStatus(user, refresh)) !== undefined && refresh(), { name: "status", className: `ghost small ${user.status ? "danger" : ""}` })] : []),
      ...(may("operate") ? [button(t("traceUser"), () => { location.hash = `#/trace?user=${id}`; }, { name: "trace" })] : []),
      ...(may("finance") ? [button(t("topUp"), async () => (await topUp(user)) !== undefined && refresh(), { name: "coins" })] : []),
    ];
    head.replaceChildren(avatar({ id, name: user.username, avatar: user.avatar }), make("h1", {}, user.username), mark(t(user.status ? "enabled" : "disabled"), user.status ? "good" : "bad"), make("span", { className: "grow" }), ...controls,
      facts([[t("id"), String(id)], [t("nickname"), user.nickname], [t("created"), timeText(user.created_at_ms)], [t("balance"), may("finance") ? balance : null]]));
  }

  if (may("comments")) body.append(make("div", { className: "two" }, sessionsCard(id), explainCard(id)), sanctionsCard(id), commentsCard(id));
  if (may("finance")) {
    ledger = ledgerTable(id, (coin) => { balance.textContent = countText(coin); });
    body.append(card(t("ledger"), { name: "ledger" }, ledger.node));
  }
  refresh();
  return undefined;
}

/** `refresh()` runs when it was taken back. */
const setStatus = (user, refresh) => {
  const to = user.status ? 0 : 1;
  const send = (status, reason, requestId) => change("POST", `/users/${user.id}`, { status, reason, request_id: requestId });
  return act({
    title: t(to ? "actEnable" : "actDisable", { name: user.username }), effect: t(to ? "effectEnable" : "effectDisable", { name: user.username }), verb: t(to ? "enable" : "disable"), isDanger: !to,
    run: ({ reason }, requestId) => send(to, reason, requestId), done: () => t(to ? "didEnable" : "didDisable", { name: user.username }),
    undo: async () => {
      await send(user.status, t("undo"));
      refresh();
      return t("undone");
    },
  });
};

const topUp = (user) => act({
  title: t("actCoins", { name: user.username }), verb: t("post"), hasReason: false,
  effect: ({ delta }) => (Number(delta) ? t(Number(delta) > 0 ? "effectGive" : "effectTake", { name: user.username, coins: countText(Math.abs(Number(delta))) }) : t("coinsHint")),
  fields: [{ name: "delta", label: t("coinsDelta"), type: "number", required: true, hint: t("coinsHint") }],
  run: ({ delta }, requestId) => change("POST", `/users/${user.id}/coins`, { delta: Math.max(-COINS_MAX, Math.min(COINS_MAX, Math.trunc(Number(delta)))), request_id: requestId }),
  done: ({ coin }) => t("didCoins", { name: user.username, coins: countText(coin) }),
});

function sessionsCard(id) {
  const trouble = new Trouble();
  const note = make("p", { className: "fine note" });
  const table = new Table({ caption: t("sessions"), name: "sessions", empty: t("noSessions"), keyOf: (row) => `${row.node} ${row.session_id}`, columns: [
    { title: t("rooms"), wide: true, text: (row) => JSON.stringify(row.rooms), node: (row) => make("span", { className: "list" }, ...row.rooms.map(({ live_id: live, title }) => roomLink(live, title))) },
    { title: t("node"), text: (row) => row.node },
    { title: t("transport"), text: (row) => row.dialect },
    { title: t("address"), text: (row) => row.address ?? "" },
    { title: t("since"), text: (row) => row.began_at_ms, node: (row) => time(row.began_at_ms) },
  ] });
  const refresh = () => read(`/users/${id}/sessions`).then(({ sessions, silent }) => {
    trouble.clear();
    table.draw(sessions);
    note.textContent = silent?.length ? t("silentNodes", { nodes: silent.join(", ") }) : "";
  }, (error) => trouble.show(error, refresh));
  refresh();
  return card(t("sessions"), { name: "sessions", tools: [button(t("refresh"), refresh)] }, trouble.node, note, table.node);
}

/** Why the user may or may not speak in a live. */
function explainCard(id) {
  const live = make("input", { inputMode: "numeric", placeholder: t("liveId"), attributes: { "aria-label": t("liveId") } });
  const checks = make("ul", { className: "checks" });
  const trouble = new Trouble();
  const form = make("form", { className: "inline" }, live, make("button", { className: "ghost small", type: "submit" }, t("explain")));
  const act = button(t("actHere"), () => openPerson(Number(live.value), { id, name: `#${id}` }), { hidden: true });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const explained = await read("/explain", { user: id, live: live.value.trim() });
      trouble.clear();
      act.hidden = !may("moderate");
      checks.replaceChildren(make("li", {}, mark(t(`member_${explained.role}`)), explained.account ? "" : mark(t("disabled"), "bad")), ...explained.checks.map(checkLine));
    } catch (error) {
      trouble.show(error);
    }
  });
  return card(t("explainTitle"), { name: "explain" }, form, trouble.node, checks, act);
}

function sanctionsCard(id) {
  const table = new PagedTable({
    caption: t("tab_sanctions"), name: "sanctions", keyOf: (row) => row.id ?? row.sanction_id, empty: t("noSanctions"), columns: [
      { title: t("kind"), text: (row) => row.kind, node: (row) => mark(t(`holds_${row.kind}`), "bad") },
      { title: t("scope"), text: (row) => `${row.scope} ${row.live_id} ${row.streamer_id}`, node: (row) => make("span", {}, `${t(`scope_${row.scope}`)} `, row.live_id ? roomLink(row.live_id) : row.streamer_id ? userLink(row.streamer_id) : "") },
      { title: t("ends"), text: (row) => (row.scope === "live" && !(row.until_at_ms ?? row.until_ms) ? t("untilLiveEnds") : untilText(row.until_at_ms ?? row.until_ms)) },
      { title: t("reason"), wide: true, text: (row) => row.reason ?? "" },
      { title: t("by"), text: (row) => actorText(row.by) },
    ],
    load: async (cursor) => {
      const page = await read(`/users/${id}/sanctions`, { cursor });
      return { rows: page.sanctions, next: page.next };
    },
  });
  table.refresh();
  return card(t("tab_sanctions"), { name: "sanctions" }, table.node);
}

/** Who did something, in words. */
export const actorText = (by) => (by && typeof by === "object" ? by.name ?? `${t(`actor_${by.kind}`)} ${by.id || ""}`.trim() : String(by ?? ""));

function commentsCard(id) {
  const table = new PagedTable({
    caption: t("tab_comments"), name: "comments", keyOf: (row) => row.id, columns: [
      { title: t("time"), text: (row) => row.at_ms, node: (row) => time(row.at_ms) },
      { title: t("room"), text: (row) => row.live_id, node: (row) => roomLink(row.live_id) },
      { title: t("text"), wide: true, text: (row) => `${row.text} ${row.removed_at_ms}`, node: (row) => make(row.removed_at_ms ? "s" : "span", { className: "said" }, row.text) },
      { title: t("removed"), text: (row) => (row.removed_at_ms ? removedBy(row.removed_by) : "") },
    ],
    load: async (cursor) => {
      const page = await read(`/users/${id}/comments`, { cursor, removed: 1 });
      table.note(page.searched_to_ms ? t("searchedTo", { time: timeText(page.searched_to_ms) }) : "");
      return { rows: page.comments, next: page.next };
    },
  });
  table.refresh();
  return card(t("tab_comments"), { name: "comments" }, table.node);
}

/** `onBalance(coin)` runs with what the books say that the user has. */
function ledgerTable(id, onBalance) {
  return new PagedTable({
    caption: t("ledger"), name: "ledger", keyOf: (row) => row.id, columns: [
      { title: t("time"), text: (row) => row.at_ms, node: (row) => time(row.at_ms) },
      { title: t("kind"), text: (row) => t(`entry_${row.kind}`) },
      { title: t("what"), wide: true, text: (row) => `${row.live_id} ${row.gift} ${row.count}`, node: (row) => (row.live_id ? make("span", {}, roomLink(row.live_id), ` ${row.gift ?? ""} × ${row.count}`) : "") },
      { title: t("coins"), numeric: true, text: (row) => countText(row.coins) },
      { title: t("balanceAfter"), numeric: true, text: (row) => countText(row.balance) },
      { title: t("requestId"), text: (row) => row.request_id ?? "", node: (row) => make("code", {}, row.request_id ?? "") },
    ],
    load: async (cursor) => {
      const page = await read(`/users/${id}/ledger`, { cursor });
      onBalance(page.coin);
      return { rows: page.entries, next: page.next };
    },
  });
}
