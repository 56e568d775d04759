// The audit: who did what, when, why, and what came of it.

import { addressOf, read } from "./admin.js";
import { make, toast } from "./dom.js";
import { t } from "./i18n.js";
import { may } from "./session.js";
import { PagedTable } from "./table.js";
import { button, card, errorText, field, mark, roomLink, time, userLink } from "./ui.js";
import { actorText } from "./user.js";

const FILTERS = ["actor", "role", "action", "target", "live_id", "result", "address", "request_id"];

const EXAMPLES = { actor: "manager:1", action: "mute", target: "7", live_id: "1", result: "ok", address: "203.0.113.9" };

/** Milliseconds of what a field for date and time says. */
const instant = (text) => (text ? new Date(text).getTime() : "");

export function auditPage(host, _, { query }) {
  const inputs = Object.fromEntries([
    ...FILTERS.map((name) => [name, make("input", { name, value: query.get(name) ?? "", autocomplete: "off", spellcheck: false, placeholder: EXAMPLES[name] ?? "" })]),
    ...["from", "to"].map((name) => [name, make("input", { name, type: "datetime-local", value: query.get(name) ?? "" })]),
  ]);
  const given = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value));
  const filters = () => {
    const { from, to, ...rest } = given();
    return { ...rest, from: instant(from), to: instant(to) };
  };
  /** Names of managers: the audit keeps numbers, which stay when names go. */
  const names = new Map();
  const nameOf = (actor) => (actor.kind === "manager" && names.get(actor.id)) || actorText(actor);
  const table = new PagedTable({
    caption: t("audit"), name: "audit", keyOf: (row) => row.id, empty: t("noEntries"), columns: [
      { title: t("time"), text: (row) => row.at_ms ?? row.at, node: (row) => time(row.at_ms ?? row.at) },
      { title: t("actor"), text: (row) => `${nameOf(row.actor)} ${row.role ?? ""}`, node: (row) => make("span", {}, row.actor.kind === "user" ? userLink(row.actor.id, nameOf(row.actor)) : nameOf(row.actor), row.role ? make("small", {}, ` ${row.role}`) : "") },
      { title: t("action"), text: (row) => `${row.action} ${row.count ?? ""}`, node: (row) => make("span", {}, make("code", {}, row.action), row.count > 1 ? make("small", {}, ` × ${row.count}`) : "") },
      { title: t("target"), text: (row) => `${plain(row.target)} ${row.live_id ?? ""}`, node: (row) => make("span", {}, row.live_id ? roomLink(row.live_id) : "", " ", plain(row.target)) },
      { title: t("result"), text: (row) => row.result, node: (row) => mark(row.result, row.result === "ok" ? "good" : "bad") },
      { title: t("reason"), wide: true, text: (row) => row.reason ?? "" },
      { title: t("details"), text: (row) => row.id, node: details },
    ],
    load: async (cursor) => {
      const page = await read("/audit", { ...filters(), before: cursor });
      return { rows: page.entries, next: page.next };
    },
  });
  const saves = ["csv", "jsonl"].map((format) => ({ format, link: make("a", { className: "ghost small", download: "" }, t("saveAs", { format: format.toUpperCase() })) }));
  const show = () => {
    const words = new URLSearchParams(given()).toString();
    window.history.replaceState(null, "", words ? `#/audit?${words}` : "#/audit");
    for (const { format, link } of saves) link.href = addressOf("/audit/export", { ...filters(), format });
    table.refresh();
  };
  // Not with each letter: half an address is a mistake.
  for (const input of Object.values(inputs)) input.addEventListener("change", show);
  const clear = button(t("clear"), () => {
    for (const input of Object.values(inputs)) input.value = "";
    show();
  });
  host.append(make("h1", {}, t("audit")), may("administer") ? "" : make("p", { className: "fine" }, t("auditOwn")),
    card(t("filters"), { name: "filters", tools: [clear, button(t("refresh"), show), ...saves.map(({ link }) => link)] }, make("div", { className: "fields" }, ...Object.entries(inputs).map(([name, input]) => field(t(`filter_${name}`), input)))),
    card(t("entries"), { name: "audit" }, table.node));
  if (may("administer")) {
    read("/managers").then(({ managers }) => {
      for (const { id, name } of managers) names.set(id, name);
      table.refresh();
    }, (error) => toast(errorText(error), { tone: "bad" }));
  }
  show();
}

const plain = (value) => (value === null || value === undefined ? "" : typeof value === "object" ? Object.entries(value).filter(([, each]) => each !== null).map(([name, each]) => `${name} ${each}`).join(" ") : String(value));

function details({ id, address, request_id: requestId, arguments: given, before, after }) {
  const json = (value) => (value === null || value === undefined ? null : make("pre", {}, typeof value === "string" ? value : JSON.stringify(value, null, 1)));
  const pairs = [[t("id"), String(id)], [t("address"), address], [t("requestId"), requestId], [t("given"), json(given)], [t("before"), json(before)], [t("after"), json(after)]].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("details", {}, make("summary", {}, t("details")), make("dl", { className: "facts" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))));
}
