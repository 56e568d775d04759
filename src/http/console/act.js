// The dialog for everything that changes something: what it is, its reason, and what comes of it. What can be lifted is
// offered to be undone for a moment.

import { byId, make, toast } from "./dom.js";
import { t } from "./i18n.js";
import { newRequestId } from "./ids.js";
import { choice, errorText, field } from "./ui.js";

const UNDO_MS = 20_000;
const REASON_CHARS_MAX = 500;

const dialog = byId("act-dialog");
let open = null;
let undoTimer = 0;

/**
 * Asks before `run(values, requestId)` is called, and calls it again under the same id until it is answered.
 *
 * `title`, `effect` (a text, or a function of the values), `verb` for the button; `fields` of `{name, label, type, options,
 * value, required, hint, max}`; `hasReason`, whether the server takes one; `done(answer, values)` returns the words for
 * it; `undo(answer, values)` takes it back and resolves with words for that, or is missing. `isDanger` draws it red.
 * Resolves with the answer, or with undefined if it was not done.
 */
export function act(what) {
  if (open) close();
  const values = {};
  const inputs = new Map();
  const fields = [...(what.fields ?? []), ...(what.hasReason === false ? [] : [reasonField()])];
  const read = () => {
    for (const [name, input] of inputs) values[name] = input.type === "checkbox" ? input.checked : input.value.trim();
    byId("act-effect").textContent = typeof what.effect === "function" ? what.effect(values) : what.effect ?? "";
  };
  byId("act-title").textContent = what.title;
  byId("act-error").textContent = "";
  byId("act-submit").textContent = what.verb ?? what.title;
  byId("act-submit").disabled = false;
  byId("act-submit").classList.toggle("danger", Boolean(what.isDanger));
  byId("act-fields").replaceChildren(...fields.map((each) => inputOf(each, inputs, read)));
  read();
  dialog.showModal();
  (dialog.querySelector(".act-fields input:not([type=checkbox]), .act-fields textarea, .act-fields select") ?? byId("act-submit")).focus();
  return new Promise((resolve) => {
    open = { what, values, fields, read, resolve, requestId: newRequestId() };
  });
}

const reasonField = () => ({ name: "reason", label: t("reason"), max: REASON_CHARS_MAX, hint: t("reasonHint") });

function inputOf({ name, label, type = "text", options, value = "", hint, max, required }, inputs, onChange) {
  let input;
  if (options) input = choice(options, value);
  else if (type === "textarea") input = make("textarea", { rows: 3, value, maxLength: max ?? -1 });
  else input = make("input", { type, autocomplete: "off", ...(max && { maxLength: max }), ...(type === "checkbox" ? { checked: Boolean(value) } : { value }) });
  input.name = name;
  input.required = Boolean(required);
  inputs.set(name, input);
  for (const event of ["input", "change"]) input.addEventListener(event, onChange);
  return field(label, input, { hint, className: type === "checkbox" ? "switch" : "" });
}

async function submit() {
  const asked = open;
  asked.read();
  const missing = asked.fields.find(({ name, required }) => required && !asked.values[name]);
  if (missing) return fail(t("fieldMissing", { name: missing.label }));
  byId("act-submit").disabled = true;
  fail("");
  try {
    const answer = await asked.what.run({ ...asked.values, reason: asked.values.reason || undefined }, asked.requestId);
    if (open === asked) close(answer);
    else asked.resolve(answer);
    showDone(asked.what, answer, asked.values);
  } catch (error) {
    // Another question may have taken the place of this one meanwhile.
    if (open !== asked) return toast(errorText(error), { tone: "bad" });
    fail(errorText(error));
    // What was refused may be asked for with other words: that is another request.
    if (error.status >= 400 && error.status < 500) asked.requestId = newRequestId();
  } finally {
    byId("act-submit").disabled = false;
  }
}

function fail(words) {
  byId("act-error").textContent = words;
}

function close(answer) {
  const asked = open;
  open = null;
  dialog.close();
  asked?.resolve(answer);
}

/** Says what was done, and offers to take it back. */
function showDone({ done, undo }, answer, values) {
  const words = done?.(answer, values) ?? t("done");
  clearTimeout(undoTimer);
  byId("done").hidden = !undo;
  if (!undo) return toast(words, { tone: "good" });
  byId("done-text").textContent = words;
  byId("undo").onclick = async () => {
    byId("undo").disabled = true;
    try {
      toast(await undo(answer, values), { tone: "good" });
      byId("done").hidden = true;
    } catch (error) {
      toast(errorText(error), { tone: "bad" });
    } finally {
      byId("undo").disabled = false;
    }
  };
  undoTimer = setTimeout(() => { byId("done").hidden = true; }, UNDO_MS);
}

byId("act-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
dialog.addEventListener("close", () => open && close());
