// The overview: nodes, the last hour, and all rooms, live.

import { Chart } from "./charts.js";
import { make } from "./dom.js";
import { NOTHING, agoText, bytesText, countText, lengthText, rateText } from "./format.js";
import { t } from "./i18n.js";
import { Table } from "./table.js";
import { Trouble, button, card, choice, mark, roomLink, searchField, userLink } from "./ui.js";

const PER_PAGE = 25;
/** The server says the newest point of its charts each second; one is kept for each step. */
const POINTS_MAX = 720;

const sum = (object) => Object.values(object ?? {}).reduce((total, each) => total + each, 0);

const CHARTS = [
  { title: "members", lines: [["members", countText]] },
  { title: "commentsPerS", lines: [["comments_in_per_s", rateText], ["comments_shown_per_s", rateText], ["comments_sampled_per_s", rateText], ["comments_held_per_s", rateText]] },
  { title: "coinsPerS", lines: [["coins_per_s", rateText], ["gifts_per_s", rateText]] },
  { title: "joinsDrops", lines: [["joins_per_s", rateText], ["drops_per_s", rateText]] },
  { title: "queues", lines: [["writes_queued", countText]] },
  { title: "cpu", lines: [["cpu", (cores) => (typeof cores === "number" ? `${cores.toFixed(2)}` : NOTHING)]] },
];

const roomColumns = () => [
  { title: t("room"), sort: "live_id", wide: true, text: (row) => `${row.live_id} ${row.title} ${row.status}`, node: roomCell },
  { title: t("members"), sort: "members", numeric: true, text: (row) => countText(row.members) },
  { title: t("usersOnline"), sort: "users", numeric: true, text: (row) => countText(row.users) },
  { title: t("joinsPerS"), sort: "joins_per_s", numeric: true, text: (row) => rateText(row.joins_per_s) },
  { title: t("commentsIn"), sort: "comments_in_per_s", numeric: true, text: (row) => rateText(row.comments_in_per_s) },
  { title: t("commentsShown"), sort: "comments_shown_per_s", numeric: true, text: (row) => rateText(row.comments_shown_per_s) },
  { title: t("commentsSampled"), sort: "comments_sampled_per_s", numeric: true, text: (row) => rateText(row.comments_sampled_per_s) },
  { title: t("commentsHeld"), sort: "comments_held_per_s", numeric: true, text: (row) => rateText(row.comments_held_per_s) },
  { title: t("giftsPerS"), sort: "gifts_per_s", numeric: true, text: (row) => rateText(row.gifts_per_s) },
  { title: t("coinsPerS"), sort: "coins_per_s", numeric: true, text: (row) => rateText(row.coins_per_s) },
  { title: t("slow"), sort: "slow", numeric: true, text: (row) => countText(row.slow) },
  { title: t("drops"), sort: "drops_per_s", numeric: true, text: (row) => `${sum(row.drops)} ${JSON.stringify(row.drops)}`, node: dropsCell },
];

function roomCell(row) {
  return make("span", { className: "room-cell" }, make("span", { className: "badge", dataset: { status: row.status } }, t(`status${row.status}`)),
    roomLink(row.live_id, row.title), make("small", {}, `#${row.live_id}`), userLink(row.owner_id, t("streamerOf", { id: row.owner_id })));
}

/** All drops since the room opened, with their reasons. */
function dropsCell({ drops }) {
  const reasons = Object.entries(drops ?? {}).filter(([, count]) => count > 0);
  return make("span", { title: reasons.map(([name, count]) => `${t(`drops_${name}`)}: ${countText(count)}`).join("\n") }, countText(sum(drops)),
    ...(reasons.length > 0 ? [make("small", { className: "reasons" }, ` ${reasons.map(([name]) => t(`drops_${name}`)).join(", ")}`)] : []));
}

const nodeState = (node) => (node.silent ? ["silent", "bad"] : node.draining ? ["draining", "warn"] : node.alone ? ["alone", "warn"] : ["healthy", "good"]);

const nodeColumns = () => [
  { title: t("node"), wide: true, text: (node) => `${node.node} ${node.address ?? ""}`, node: (node) => make("span", {}, make("b", {}, node.node), make("small", {}, ` ${node.address ?? ""}${node.self ? ` · ${t("thisNode")}` : ""}`)) },
  { title: t("state"), text: (node) => `${nodeState(node)} ${node.silent ? agoText(node.last_seen_at) : ""}`, node: (node) => make("span", {}, mark(t(`node_${nodeState(node)[0]}`), nodeState(node)[1]), node.silent ? make("small", {}, ` ${agoText(node.last_seen_at)}`) : "") },
  { title: t("version"), text: (node) => node.version ?? NOTHING },
  { title: t("uptime"), text: (node) => (node.started_at ? lengthText(Date.now() - node.started_at) : NOTHING) },
  { title: t("sessions"), numeric: true, text: (node) => countText(node.sessions) },
  { title: t("rooms"), numeric: true, text: (node) => countText(node.rooms) },
  { title: t("members"), numeric: true, text: (node) => countText(node.members) },
  { title: t("cpu"), numeric: true, text: (node) => (typeof node.cpu === "number" ? node.cpu.toFixed(2) : NOTHING) },
  { title: t("memory"), numeric: true, text: (node) => bytesText(node.memory_bytes) },
  { title: t("writesQueued"), numeric: true, text: (node) => countText(node.writes_queued) },
  { title: t("batchesQueued"), numeric: true, text: (node) => countText(node.hub_batches_queued) },
];

const TOTALS = [["rooms", countText], ["members", countText], ["sessions", countText], ["joins_per_s", rateText], ["comments_in_per_s", rateText], ["gifts_per_s", rateText], ["coins_per_s", rateText], ["drops_per_s", rateText]];

export function overviewPage(host, _, { feed, query }) {
  const view = { view: "overview", sort: query.get("sort") ?? "members", order: query.get("order") ?? "desc", search: query.get("search") ?? "", page: Number(query.get("page")) || 1, limit: PER_PAGE };
  const totals = TOTALS.map(([name, words]) => {
    const value = make("b", {}, NOTHING);
    return { name, words, value, node: make("div", { dataset: { total: name } }, value, make("span", {}, t(`total_${name}`))) };
  });
  const charts = CHARTS.map(({ title, lines }) => ({ names: lines.map(([name]) => name), chart: new Chart(t(title), lines.map(([name, words]) => ({ title: t(`line_${name}`), words }))) }));
  const nodes = new Table({ caption: t("nodes"), columns: nodeColumns(), keyOf: (node) => node.node, name: "nodes" });
  const rooms = new Table({ caption: t("rooms"), columns: roomColumns(), keyOf: (row) => row.live_id, name: "rooms", empty: t("noRooms"), onSort: (sort) => {
    ask({ sort, order: view.sort === sort && view.order === "desc" ? "asc" : "desc", page: 1 });
  } });
  const trouble = new Trouble();
  const search = searchField(t("searchRooms"), view.search, (text) => ask({ search: text, page: 1 }));
  const sorts = roomColumns().filter(({ sort }) => sort).map(({ sort, title }) => [sort, title]);
  const sortChoice = choice(sorts, view.sort);
  sortChoice.classList.add("sort-choice");
  sortChoice.setAttribute("aria-label", t("sortBy"));
  sortChoice.addEventListener("change", () => ask({ sort: sortChoice.value, order: "desc", page: 1 }));
  const previous = button(t("previous"), () => ask({ page: view.page - 1 }), { name: "previous" });
  const next = button(t("next"), () => ask({ page: view.page + 1 }), { name: "next" });
  const place = make("span", { className: "fine" });
  let history = null;

  host.append(make("h1", {}, t("overview")), trouble.node, make("div", { className: "totals" }, ...totals.map(({ node }) => node)),
    card(t("lastHour"), { name: "charts" }, make("div", { className: "charts" }, ...charts.map(({ chart }) => chart.node))),
    card(t("nodes"), { name: "nodes" }, nodes.node),
    card(t("rooms"), { name: "rooms", tools: [search, sortChoice] }, rooms.node, make("nav", { className: "pager", attributes: { "aria-label": t("pages") } }, previous, place, next)));
  rooms.showOrder(view.sort, view.order);

  /** Asks for other rooms; the address says so too, so that it can be kept and sent to a colleague. */
  function ask(change) {
    Object.assign(view, change);
    const given = new URLSearchParams(Object.entries(view).filter(([name, value]) => !["view", "limit"].includes(name) && value !== "" && value !== 1));
    window.history.replaceState(null, "", `#/?${given}`);
    sortChoice.value = view.sort;
    rooms.showOrder(view.sort, view.order);
    feed.change({ ...view });
  }

  function draw(overview) {
    trouble.clear();
    for (const { name, words, value } of totals) value.textContent = words(overview.totals[name]);
    nodes.draw(overview.nodes);
    rooms.draw(overview.rooms);
    const pages = Math.max(1, Math.ceil(overview.rooms_found / overview.limit));
    place.textContent = t("pageOf", { page: overview.page, pages, count: `${overview.is_exact ? "" : "≤ "}${countText(overview.rooms_found)}` });
    previous.disabled = overview.page <= 1;
    next.disabled = overview.page >= pages;
    document.title = `${countText(overview.totals.members)} · ${t("overview")} · liveroom`;
    if (history) extend(overview);
  }

  /** The hour came once, when the page opened: from then on each step is added from what arrives. */
  function extend({ at, totals: now }) {
    if (at - (history.at.at(-1) ?? 0) < history.step_ms) return;
    for (const [name, column] of Object.entries(history)) {
      if (!Array.isArray(column)) continue;
      column.push(name === "at" ? at : now[name] ?? null);
      if (column.length > POINTS_MAX) column.shift();
    }
    drawCharts();
  }

  function drawCharts() {
    for (const { names, chart } of charts) {
      const unknown = history.at.map(() => null);
      chart.draw(history.at, names.map((name) => history[name] ?? unknown));
    }
  }

  const stop = feed.watch({ ...view }, (message) => {
    if (message.type === "charts") {
      history = message.data;
      drawCharts();
    } else if (message.type === "overview") {
      draw(message.data);
    } else if (message.type === "error") {
      trouble.node.replaceChildren(message.data);
      trouble.node.hidden = false;
    }
  });
  return () => {
    stop();
    for (const { chart } of charts) chart.close();
  };
}
