// The pages before a login: name and password, the code of an authenticator, and the link that sets a password up.

import { ApiError, change } from "./admin.js";
import { act } from "./act.js";
import { make } from "./dom.js";
import { t } from "./i18n.js";
import * as session from "./session.js";
import { errorText, field } from "./ui.js";

const PASSWORD_CHARS_MIN = 10;

function gate(host, title, submitWords, ...fields) {
  const error = make("p", { className: "form-error", role: "alert" });
  const submit = make("button", { className: "primary large", type: "submit" }, submitWords);
  const form = make("form", { className: "gate", noValidate: true, id: "gate" },
    make("img", { src: "/admin/assets/icon.svg", alt: "", width: 52, height: 52 }), make("h1", {}, title), ...fields, error, submit);
  host.replaceChildren(make("div", { className: "gate-frame" }, form));
  document.title = `${title} · liveroom`;
  return { form, error, submit };
}

/** Runs `work` once per submit, with the button off meanwhile; shows why it failed. */
function onSubmit({ form, error, submit }, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.textContent = "";
    submit.disabled = true;
    try {
      await work();
    } catch (failure) {
      error.textContent = errorText(failure);
    } finally {
      submit.disabled = false;
    }
  });
}

/** `begin()` runs when somebody is logged in. */
export function loginPage(host, begin) {
  const name = make("input", { name: "name", autocomplete: "username", autocapitalize: "none", spellcheck: false, required: true });
  const password = make("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const code = make("input", { name: "code", inputMode: "numeric", autocomplete: "one-time-code", maxLength: 32 });
  const codeField = field(t("code"), code, { hint: t("codeHint") });
  codeField.hidden = true;
  const parts = gate(host, t("loginTitle"), t("login"), field(t("name"), name), field(t("password"), password), codeField);
  onSubmit(parts, async () => {
    try {
      await session.logIn(name.value.trim(), password.value, code.value.replace(/\s/g, ""));
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "totp_required") throw error;
      codeField.hidden = false;
      code.focus();
      return;
    }
    begin();
  });
  name.focus();
}

/** Sets the password of a manager by a link that works once. */
export function setupPage(host, link, begin) {
  const first = make("input", { name: "password", type: "password", autocomplete: "new-password", required: true });
  const second = make("input", { name: "again", type: "password", autocomplete: "new-password", required: true });
  const parts = gate(host, t("setupTitle"), t("setupSubmit"),
    make("p", {}, t("setupText")), field(t("newPassword"), first, { hint: t("passwordHint", { count: PASSWORD_CHARS_MIN }) }), field(t("repassword"), second));
  onSubmit(parts, async () => {
    if (first.value !== second.value) return void (parts.error.textContent = t("passwordsDiffer"));
    const { name } = await change("POST", "/setup", { link, password: first.value });
    await session.logIn(name, first.value).catch((error) => {
      // The password is set: what is missing is asked for by the login page.
      if (!(error instanceof ApiError)) throw error;
      location.hash = "#/";
    });
    if (session.current()) begin();
  });
  first.focus();
}

/** Asks a manager who they are once more, before what has to do with money. `confirm(proof)` asks the server. */
export async function askConfirm(confirm) {
  const isCode = Boolean(session.current()?.totp?.enabled);
  const answer = await act({
    title: t("confirmTitle"), effect: t("confirmText"), verb: t("confirm"), hasReason: false,
    fields: [{ name: "proof", label: t(isCode ? "code" : "password"), type: isCode ? "text" : "password", required: true }],
    run: async ({ proof }) => (await confirm(isCode ? { code: proof.replace(/\s/g, "") } : { password: proof })) ?? {},
    done: () => t("confirmed"),
  });
  return answer !== undefined;
}
