// One's own account: sessions, password, and the second factor.

import { act } from "./act.js";
import { change, read } from "./admin.js";
import { make } from "./dom.js";
import { timeText } from "./format.js";
import { t } from "./i18n.js";
import { secretDialog } from "./secret.js";
import * as session from "./session.js";
import { Table } from "./table.js";
import { Trouble, button, card, facts, mark, time } from "./ui.js";

export function ownPage(host) {
  const me = session.current();
  const mustBegin = me.totp?.required && !me.totp.enabled;
  host.append(make("h1", {}, t("own")), mustBegin ? make("p", { className: "trouble", role: "alert" }, t("totpRequired")) : "",
    card(me.name, { name: "me", tools: [button(t("changePassword"), changePassword, { name: "password" })] }, facts([
      [t("role"), make("span", { className: "list" }, mark(t(`role_${me.role}`)), me.is_admin ? mark(t("admin"), "warn") : "")],
      [t("mayDo"), me.permissions.map((each) => t(`scopeName_${each}`)).join(", ")], [t("sessionEnds"), timeText(me.ends_at_ms)],
    ])), ...(me.totp ? [totpCard(me, () => reload(host))] : []), sessionsCard());
}

async function reload(host) {
  await session.refresh();
  host.replaceChildren();
  ownPage(host);
}

const changePassword = () => act({
  title: t("changePassword"), verb: t("change"), hasReason: false, effect: t("effectPassword"), done: () => t("didPassword"),
  fields: [{ name: "old", label: t("oldPassword"), type: "password", required: true }, { name: "first", label: t("newPassword"), type: "password", required: true }],
  run: async ({ old, first }) => (await change("POST", "/password", { old, new: first })) ?? {},
}).then((answer) => answer !== undefined && session.refresh());

function totpCard(me, onChange) {
  const { enabled, recovery_codes_left: left } = me.totp;
  const codes = (answer) => {
    if (answer?.recovery_codes) secretDialog(t("recoveryTitle"), t("recoveryText"), answer.recovery_codes.join("\n"));
    if (answer !== undefined) onChange();
  };
  const withCode = (title, effect, path, isDanger) => async () => codes(await act({
    title, effect, isDanger, hasReason: false, fields: [{ name: "code", label: t("code"), required: true }],
    run: async ({ code }) => (await change("POST", path, { code: code.replace(/\s/g, "") })) ?? {},
  }));
  const tools = enabled
    ? [button(t("newCodes"), withCode(t("newCodes"), t("effectNewCodes"), "/totp/recovery_codes", false), { name: "new-codes" }), button(t("totpOff"), withCode(t("totpOff"), t("effectTotpOff"), "/totp/disable", true), { name: "totp-off", className: "ghost small danger" })]
    : [button(t("totpOn"), () => begin(codes), { name: "totp-on", className: "primary small" })];
  return card(t("totp"), { name: "totp", tools }, make("p", { className: "fine" }, t("totpHelp")), facts([[t("state"), mark(t(enabled ? "on" : "off"), enabled ? "good" : "warn")], [t("codesLeft"), enabled && Number.isInteger(left) ? String(left) : null]]));
}

async function begin(codes) {
  let secret;
  try {
    secret = await change("POST", "/totp/begin", {});
  } catch (error) {
    return act({ title: t("totpOn"), effect: error.message, hasReason: false, run: async () => change("POST", "/totp/begin", {}) });
  }
  return codes(await act({
    title: t("totpOn"), verb: t("confirm"), hasReason: false, effect: t("effectTotpOn"), done: () => t("didTotpOn"),
    fields: [{ name: "secret", label: t("totpSecret"), value: secret.secret, hint: secret.uri }, { name: "code", label: t("code"), required: true }],
    run: ({ code }) => change("POST", "/totp/enable", { code: code.replace(/\s/g, "") }),
  }));
}

function sessionsCard() {
  const trouble = new Trouble();
  const table = new Table({ caption: t("ownSessions"), name: "own-sessions", keyOf: (row) => row.id, columns: [
    { title: t("since"), text: (row) => row.created_at_ms, node: (row) => time(row.created_at_ms) },
    { title: t("lastUsed"), text: (row) => row.last_used_at_ms, node: (row) => time(row.last_used_at_ms) },
    { title: t("address"), text: (row) => row.address ?? "" },
    { title: t("browser"), wide: true, text: (row) => row.user_agent ?? "" },
    { title: t("acts"), text: (row) => `${row.id} ${row.current}`, node: (row) => (row.current ? mark(t("thisSession"), "good") : button(t("endSession"), async () => {
      await change("DELETE", `/sessions/${row.id}`).catch((error) => trouble.show(error));
      refresh();
    }, { name: "end-session" })) },
  ] });
  async function refresh() {
    try {
      table.draw((await read("/sessions")).sessions);
      trouble.clear();
    } catch (error) {
      trouble.show(error, refresh);
    }
  }
  refresh();
  return card(t("ownSessions"), { name: "own-sessions" }, trouble.node, table.node);
}
