// Secrets that are shown once: setup links, tokens and recovery codes.

import { icon, make, toast } from "./dom.js";
import { t } from "./i18n.js";
import { button } from "./ui.js";

const dialog = make("dialog", { id: "secret-dialog", className: "dialog", attributes: { "aria-labelledby": "secret-title" } });
document.body.append(dialog);

/** Shows `secret`, which nobody can see again. */
export function secretDialog(title, words, secret) {
  const copy = button(icon("copy"), async () => {
    await navigator.clipboard.writeText(secret);
    toast(t("copied"), { tone: "good" });
  }, { className: "ghost square" });
  copy.setAttribute("aria-label", t("copy"));
  // The clipboard exists on https and localhost alone.
  copy.hidden = !navigator.clipboard;
  dialog.replaceChildren(make("form", { method: "dialog" }, make("h2", { id: "secret-title" }, title), make("p", {}, words),
    make("p", { className: "address" }, make("code", { dataset: { name: "secret" } }, secret), copy), make("button", { className: "primary large" }, t("secretKept"))));
  dialog.showModal();
}
