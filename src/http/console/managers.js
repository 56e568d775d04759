// Managers and tokens: who may come in, and with what.

import { act } from "./act.js";
import { change, read } from "./admin.js";
import { make } from "./dom.js";
import { lengthText, timeText } from "./format.js";
import { t } from "./i18n.js";
import { secretDialog } from "./secret.js";
import { Table } from "./table.js";
import { Trouble, button, card, mark, time } from "./ui.js";

const ROLES = ["viewer", "moderator", "operator", "finance"];
const SCOPES = ["look", "comments", "moderate", "operate", "finance", "administer"];
const DAYS = [1, 7, 30, 90, 365];
const DAY_S = 86_400;
const NAME_CHARS_MAX = 32;

export function managersPage(host) {
  host.append(make("h1", {}, t("managers")), managersCard(), tokensCard());
}

/** A card with one table that is read as a whole. */
function listCard(title, name, { tools, columns, load, keyOf }) {
  const trouble = new Trouble();
  const table = new Table({ caption: title, name, columns: columns(refresh), keyOf });
  async function refresh() {
    try {
      const rows = await load();
      trouble.clear();
      table.draw(rows);
    } catch (error) {
      trouble.show(error, refresh);
    }
  }
  refresh();
  return card(title, { name, tools: tools(refresh) }, trouble.node, table.node);
}

const then = async (work, refresh) => {
  const answer = await work;
  if (answer !== undefined) refresh();
  return answer;
};

async function showLink(work, refresh) {
  const answer = await then(work, refresh);
  if (answer?.link) secretDialog(t("linkTitle"), t("linkText", { time: timeText(answer.link_ends_at_ms) }), `${location.origin}${answer.path}`);
}

const managersCard = () => listCard(t("managers"), "managers", {
  keyOf: (row) => row.id,
  load: async () => (await read("/managers")).managers,
  tools: (refresh) => [button(t("newManager"), () => showLink(addManager(), refresh), { name: "new-manager", className: "primary small" })],
  columns: (refresh) => [
    { title: t("name"), wide: true, text: (row) => row.name },
    { title: t("role"), text: (row) => `${row.role} ${row.is_admin}`, node: (row) => make("span", { className: "list" }, mark(t(`role_${row.role}`)), row.is_admin ? mark(t("admin"), "warn") : "") },
    { title: t("state"), text: (row) => `${row.disabled} ${row.has_password}`, node: (row) => mark(t(row.disabled ? "disabled" : row.has_password === false ? "noPassword" : "enabled"), row.disabled ? "bad" : row.has_password === false ? "warn" : "good") },
    { title: "TOTP", text: (row) => t(row.totp ? "on" : "off") },
    { title: t("lastLogin"), text: (row) => row.last_login_at_ms ?? "", node: (row) => time(row.last_login_at_ms) },
    { title: t("acts"), text: (row) => JSON.stringify(row), node: (row) => make("span", { className: "acts" },
      button(t("changeRole"), () => then(changeRole(row), refresh), { name: "role" }),
      button(t(row.disabled ? "enable" : "disable"), () => then(setDisabled(row), refresh), { name: "disable" }),
      button(t("resetLink"), () => showLink(resetManager(row), refresh), { name: "reset" })) },
  ],
});

const roleFields = (role = "viewer", isAdmin = false) => [
  { name: "role", label: t("role"), options: ROLES.map((each) => [each, t(`role_${each}`)]), value: role },
  { name: "is_admin", label: t("isAdmin"), type: "checkbox", value: isAdmin },
];
const roleEffect = ({ role, is_admin: isAdmin }) => [t(`grants_${role}`), isAdmin ? t("grants_admin") : ""].filter(Boolean).join(" ");

const addManager = () => act({
  title: t("newManager"), verb: t("add"), hasReason: false, effect: roleEffect, done: ({ manager }, { name }) => t("didAddManager", { name: manager?.name ?? name }),
  fields: [{ name: "name", label: t("name"), max: NAME_CHARS_MAX, required: true }, ...roleFields()],
  run: ({ name, role, is_admin }) => change("POST", "/managers", { name, role, is_admin }),
});

const changeRole = (manager) => act({
  title: t("actRole", { name: manager.name }), verb: t("change"), hasReason: false, effect: (values) => `${roleEffect(values)} ${t("endsSessions")}`, done: () => t("didRole", { name: manager.name }),
  fields: roleFields(manager.role, manager.is_admin),
  run: ({ role, is_admin }) => change("POST", `/managers/${manager.id}`, { role, is_admin }),
});

const setDisabled = (manager) => act({
  title: t(manager.disabled ? "actEnable" : "actDisable", { name: manager.name }), verb: t(manager.disabled ? "enable" : "disable"), isDanger: !manager.disabled, hasReason: false,
  effect: t(manager.disabled ? "effectEnableManager" : "effectDisableManager", { name: manager.name }), done: () => t(manager.disabled ? "didEnable" : "didDisable", { name: manager.name }),
  run: () => change("POST", `/managers/${manager.id}`, { disabled: !manager.disabled }),
});

const resetManager = (manager) => act({
  title: t("actReset", { name: manager.name }), verb: t("resetLink"), isDanger: true, hasReason: false, effect: t("effectReset", { name: manager.name }), done: () => t("didReset", { name: manager.name }),
  run: () => change("POST", `/managers/${manager.id}/reset`, {}),
});

const tokensCard = () => listCard(t("tokens"), "tokens", {
  keyOf: (row) => row.id,
  load: async () => (await read("/tokens")).tokens,
  tools: (refresh) => [button(t("newToken"), async () => {
    const answer = await then(addToken(), refresh);
    if (answer?.token) secretDialog(t("tokenTitle"), t("tokenText"), answer.token);
  }, { name: "new-token", className: "primary small" })],
  columns: (refresh) => [
    { title: t("name"), wide: true, text: (row) => row.name },
    { title: t("scopes"), text: (row) => row.scopes.map((each) => t(`scopeName_${each}`)).join(", ") },
    { title: t("createdBy"), text: (row) => row.created_by?.name ?? row.created_by ?? "" },
    { title: t("expires"), text: (row) => row.expires_at_ms ?? "", node: (row) => (row.expires_at_ms ? time(row.expires_at_ms) : t("never")) },
    { title: t("lastUsed"), text: (row) => row.last_used_at_ms ?? "", node: (row) => (row.last_used_at_ms ? time(row.last_used_at_ms) : t("never")) },
    { title: t("state"), text: (row) => tokenState(row)[0], node: (row) => mark(t(tokenState(row)[0]), tokenState(row)[1]) },
    { title: t("acts"), text: (row) => `${row.id} ${row.revoked_at_ms}`, node: (row) => (row.revoked_at_ms ? make("span") : button(t("revoke"), () => then(revoke(row), refresh), { name: "revoke", className: "ghost small danger" })) },
  ],
});

const tokenState = ({ revoked_at_ms: revoked, expires_at_ms: expires }) => (revoked ? ["revoked", "bad"] : expires && expires < Date.now() ? ["expired", "warn"] : ["valid", "good"]);

const addToken = () => act({
  title: t("newToken"), verb: t("add"), hasReason: false, done: () => t("didAddToken"),
  effect: (values) => t("effectToken", { scopes: SCOPES.filter((each) => values[`scope_${each}`]).map((each) => t(`scopeName_${each}`)).join(", ") || t("nothing"), time: lengthText(values.days * DAY_S * 1000) }),
  fields: [
    { name: "name", label: t("name"), max: NAME_CHARS_MAX, required: true },
    { name: "days", label: t("validFor"), options: DAYS.map((days) => [days, lengthText(days * DAY_S * 1000)]), value: 30 },
    ...SCOPES.map((each) => ({ name: `scope_${each}`, label: t(`scopeName_${each}`), type: "checkbox", value: each === "look" })),
  ],
  run: (values) => change("POST", "/tokens", { name: values.name, scopes: SCOPES.filter((each) => values[`scope_${each}`]), expires_in_s: values.days * DAY_S }),
});

const revoke = (token) => act({
  title: t("actRevoke", { name: token.name }), verb: t("revoke"), isDanger: true, hasReason: false, effect: t("effectRevoke"), done: () => t("didRevoke", { name: token.name }),
  run: () => change("DELETE", `/tokens/${token.id}`),
});
