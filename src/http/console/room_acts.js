// What an operator may do in a room, each with its question, what comes of it, and how it is taken back.

import { act } from "./act.js";
import { change, read } from "./admin.js";
import { lengthText } from "./format.js";
import { t } from "./i18n.js";

/** Seconds of a sanction; 0 until this live ends, -1 for ever. */
const TERMS = [10, 60, 300, 600, 1_800, 86_400, 604_800, 0, -1];
const TERM_DEFAULT = 600;
const DELETE_LAST = 50;
const DELETE_MAX = 500;
const TITLE_CHARS_MAX = 100;
const NOTICE_CHARS_MAX = 200;

const post = (liveId, path, body, requestId) => change("POST", `/rooms/${liveId}/${path}`, { ...body, request_id: requestId });
const termText = (seconds) => (Number(seconds) > 0 ? t("termFor", { time: lengthText(seconds * 1000) }) : t(`term_${seconds}`));

export const notice = (liveId) => act({
  title: t("actNotice"), effect: t("effectNotice"), verb: t("send"), done: () => t("didNotice"),
  fields: [{ name: "text", label: t("text"), type: "textarea", max: NOTICE_CHARS_MAX, required: true }],
  run: ({ text, reason }, id) => post(liveId, "notice", { text, reason }, id),
});

export const rename = (liveId, title) => act({
  title: t("actTitle"), effect: t("effectTitle"), verb: t("change"), done: () => t("didTitle"),
  fields: [{ name: "title", label: t("title"), value: title, max: TITLE_CHARS_MAX, required: true }],
  run: ({ title: words, reason }, id) => post(liveId, "title", { title: words, reason }, id),
  ...(title && { undo: async () => { await post(liveId, "title", { title, reason: t("undo") }); return t("undone"); } }),
});

export const closeRoom = (liveId, title) => act({
  title: t("actClose", { title: title || `#${liveId}` }), effect: t("effectClose"), verb: t("actCloseVerb"), isDanger: true, done: () => t("didClose"),
  run: ({ reason }, id) => post(liveId, "close", { reason }, id),
});

const MODES = { shield: "checkbox", frozen: "checkbox", gifts_paused: "checkbox", slow_s: "number", followers_min: "number", gifters_coins: "number", unique_s: "number", mod_delay_s: "number" };

/** Asks with the modes that hold now, and sends those that were changed. */
export async function setModes(liveId) {
  const { modes: before } = await read(`/rooms/${liveId}/modes`);
  const names = Object.keys(MODES).filter((name) => name in before);
  const changed = (values) => Object.fromEntries(names
    .map((name) => [name, MODES[name] === "checkbox" ? values[name] : Number(values[name])])
    .filter(([name, value]) => value !== before[name]));
  return act({
    title: t("actModes"), verb: t("change"), done: () => t("didModes"),
    effect: (values) => {
      const words = Object.entries(changed(values)).map(([name, value]) => `${t(`mode_${name}`)}: ${value === true ? t("on") : value === false ? t("off") : value}`);
      return words.length > 0 ? t("effectModes", { changes: words.join(" · ") }) : t("effectNone");
    },
    fields: names.map((name) => ({ name, type: MODES[name], label: t(`mode_${name}`), value: before[name] })),
    run: ({ reason, ...values }, id) => post(liveId, "modes", { ...changed(values), reason }, id),
    undo: async (_, values) => {
      const back = Object.fromEntries(Object.keys(changed(values)).map((name) => [name, before[name]]));
      await post(liveId, "modes", { ...back, reason: t("undo") });
      return t("undone");
    },
  });
}

/** Mutes, bans or shadows. `gifts` goes with a mute, `purge` with a ban. */
export function sanction(kind, liveId, user, mayWholeSite) {
  const scopes = [["", t("scope_streamer")], ...(mayWholeSite ? [["site", t("scope_site")]] : [])];
  return act({
    title: t(`act_${kind}`, { name: user.name }), verb: t(kind), isDanger: kind === "ban",
    effect: ({ seconds, scope }) => t(`effect_${kind}`, { name: user.name, term: termText(seconds), where: t(Number(seconds) === 0 ? "inThisLive" : scope === "site" ? "onWholeSite" : "atThisStreamer") }),
    fields: [
      { name: "seconds", label: t("term"), options: TERMS.map((each) => [each, termText(each)]), value: TERM_DEFAULT },
      { name: "scope", label: t("scope"), options: scopes },
      ...(kind === "mute" ? [{ name: "gifts", label: t("allowGifts"), type: "checkbox", value: true }] : []),
      ...(kind === "ban" ? [{ name: "purge", label: t("purge"), options: ["none", "recent", "live"].map((each) => [each, t(`purge_${each}`)]), value: "recent" }] : []),
    ],
    run: ({ seconds, scope, reason, ...rest }, id) => post(liveId, kind, { user_id: user.id, seconds: Number(seconds), ...(scope && Number(seconds) !== 0 && { scope }), ...rest, reason }, id),
    done: () => t(`did_${kind}`, { name: user.name }),
    undo: async () => { await post(liveId, `un${kind}`, { user_id: user.id, reason: t("undo") }); return t(`didLift_${kind}`, { name: user.name }); },
  });
}

export const lift = (kind, liveId, user) => act({
  title: t(`lift_${kind}`), effect: t(`effectLift_${kind}`, { name: user.name }), done: () => t(`didLift_${kind}`, { name: user.name }),
  run: ({ reason }, id) => post(liveId, `un${kind}`, { user_id: user.id, reason }, id),
});

export const kick = (liveId, user) => act({
  title: t("actKick", { name: user.name }), effect: t("effectKick", { name: user.name }), verb: t("kick"), done: () => t("didKick", { name: user.name }),
  run: ({ reason }, id) => post(liveId, "kick", { user_id: user.id, reason }, id),
});

export const deleteLast = (liveId, user) => act({
  title: t("actDeleteLast", { name: user.name }), verb: t("remove"), isDanger: true,
  effect: ({ count }) => t("effectDeleteLast", { name: user.name, count }),
  fields: [{ name: "count", label: t("howMany", { max: DELETE_MAX }), type: "number", value: DELETE_LAST, required: true }],
  run: ({ count, reason }, id) => post(liveId, "delete_comments", { user_id: user.id, count: Number(count), reason }, id),
  done: () => t("didDeleteLast", { name: user.name }),
  undo: async () => { await post(liveId, "restore_comments", { user_id: user.id, reason: t("undo") }); return t("didRestore", { name: user.name }); },
});

export const restore = (liveId, user) => act({
  title: t("actRestore", { name: user.name }), effect: t("effectRestore", { name: user.name }), verb: t("restore"), done: () => t("didRestore", { name: user.name }),
  run: ({ reason }, id) => post(liveId, "restore_comments", { user_id: user.id, reason }, id),
});

export const setModerator = (liveId, user, moderator) => act({
  title: t(moderator ? "actName" : "actDismiss", { name: user.name }), effect: t(moderator ? "effectName" : "effectDismiss", { name: user.name }),
  run: ({ reason }, id) => post(liveId, "moderator", { user_id: user.id, moderator, reason }, id),
  done: () => t(moderator ? "didName" : "didDismiss", { name: user.name }),
  undo: async () => { await post(liveId, "moderator", { user_id: user.id, moderator: !moderator, reason: t("undo") }); return t("undone"); },
});

export const deleteComment = (liveId, comment) => act({
  title: t("actDelete"), effect: t("effectDelete", { text: comment.text }), verb: t("remove"), isDanger: true, done: () => t("didDelete"),
  run: ({ reason }, id) => change("DELETE", `/rooms/${liveId}/comments/${comment.id}`, { reason, request_id: id }),
});

export const pin = (liveId, comment) => act({
  title: t("actPin"), effect: t("effectPin", { text: comment.text }), verb: t("pin"), done: () => t("didPin"),
  run: ({ reason }, id) => post(liveId, "pin", { comment_id: comment.id, reason }, id),
  undo: async () => { await post(liveId, "pin", { comment_id: null, reason: t("undo") }); return t("didUnpin"); },
});

export const unpin = (liveId) => act({
  title: t("actUnpin"), effect: t("effectUnpin"), verb: t("actUnpin"), done: () => t("didUnpin"),
  run: ({ reason }, id) => post(liveId, "pin", { comment_id: null, reason }, id),
});

/** Decides about a held comment at once: its text is read already, and there are many. */
export const review = (liveId, commentId, approve, requestId) => post(liveId, "review", { comment_id: commentId, approve }, requestId);
export const dismissReports = (liveId, commentId, requestId) => post(liveId, "dismiss_reports", { comment_id: commentId }, requestId);
