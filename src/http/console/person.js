// A user in one room: what holds against them there, whether they may speak and why not, and what may be done about it.

import { read } from "./admin.js";
import { avatar, icon, make } from "./dom.js";
import { t, untilText } from "./i18n.js";
import * as acts from "./room_acts.js";
import { may } from "./session.js";
import { Trouble, button, mark, userLink } from "./ui.js";

const KINDS = ["mute", "ban", "shadow"];

const dialog = make("dialog", { id: "person-dialog", className: "dialog person", attributes: { "aria-labelledby": "person-name" } });
document.body.append(dialog);
addEventListener("hashchange", () => dialog.close());

/** The name of `user` `{id, name}`, which opens what may be done about them in the room. */
export function personButton(liveId, user, onChange) {
  return button(user.name || `#${user.id}`, () => openPerson(liveId, user, onChange), { className: "who", name: "person" });
}

export function openPerson(liveId, user, onChange = () => {}) {
  const close = button(icon("close"), () => dialog.close(), { className: "ghost square close" });
  close.setAttribute("aria-label", t("close"));
  const holds = make("ul", { className: "holds" });
  const checks = make("ul", { className: "checks" });
  const role = make("p", {});
  const trouble = new Trouble();
  const moderator = make("span", { className: "acts" });
  /** Asks in the dialog of acts, which takes the place of this one, and shows what has become of it. */
  const ask = async (work) => {
    dialog.close();
    const answer = await work();
    if (answer !== undefined) onChange();
  };
  const actions = [
    ...KINDS.map((kind) => button(t(kind), () => ask(() => acts.sanction(kind, liveId, user, may("operate"))), { name: kind })),
    button(t("kick"), () => ask(() => acts.kick(liveId, user)), { name: "kick" }),
    button(t("actDeleteLastShort"), () => ask(() => acts.deleteLast(liveId, user)), { name: "delete-last" }),
    button(t("restoreShort"), () => ask(() => acts.restore(liveId, user)), { name: "restore" }),
  ];
  dialog.replaceChildren(make("form", { method: "dialog" }, close,
    make("div", { className: "person-head" }, avatar(user), make("div", {}, make("h2", { id: "person-name" }, user.name || `#${user.id}`), role)),
    userLink(user.id, t("wholeUser", { id: user.id })), trouble.node, holds,
    ...(may("moderate") ? [make("div", { className: "acts" }, ...actions), moderator] : []), checks));
  if (!dialog.open) dialog.showModal();
  fill();

  async function fill() {
    if (!may("comments")) return;
    try {
      const [{ sanctions }, explained] = await Promise.all([
        read(`/rooms/${liveId}/sanctions`, { user: user.id }), read("/explain", { user: user.id, live: liveId }),
      ]);
      role.textContent = t(`member_${explained.role}`);
      holds.replaceChildren(...sanctions.map(hold));
      checks.replaceChildren(...explained.checks.map(checkLine));
      const isModerator = explained.role === "moderator";
      if (explained.role !== "streamer") {
        moderator.replaceChildren(button(t(isModerator ? "dismissModerator" : "nameModerator"), () => ask(() => acts.setModerator(liveId, user, !isModerator)), { name: "moderator" }));
      }
    } catch (error) {
      trouble.show(error, fill);
    }
  }

  function hold({ kind, scope, until_ms: until, reason }) {
    const words = [t(`holds_${kind}`), scope === "live" && until === null ? t("untilLiveEnds") : untilText(until), reason].filter(Boolean).join(" · ");
    return make("li", { dataset: { kind } }, make("span", {}, words), may("moderate") ? button(t(`lift_${kind}`), () => ask(() => acts.lift(kind, liveId, user))) : null);
  }
}

/** One check of what somebody says, with its result. */
export function checkLine({ check, passed, code, until_ms: until, sanction }) {
  const why = passed ? "" : [code, sanction?.reason, until ? untilText(until) : ""].filter(Boolean).join(" · ");
  return make("li", { dataset: { passed } }, mark(t(passed ? "passed" : "refused"), passed ? "good" : "bad"), make("span", {}, t(`check_${check}`)), why ? make("small", {}, why) : null);
}
