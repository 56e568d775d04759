// Parts that the pages of the console are made of.

import { ApiError } from "./admin.js";
import { make } from "./dom.js";
import { timeText } from "./format.js";
import { refusalText, t } from "./i18n.js";

/** A button with words; `name` is for tests and styles. */
export function button(words, onClick, { className = "ghost small", name, ...rest } = {}) {
  const node = make("button", { type: "button", className, ...rest, dataset: name ? { name } : {} }, words);
  node.addEventListener("click", onClick);
  return node;
}

export const link = (href, ...children) => make("a", { href, className: "link-in" }, ...children);
export const userLink = (id, name) => link(`#/users/${id}`, name ?? `#${id}`);
export const roomLink = (id, title) => link(`#/rooms/${id}`, title || `#${id}`);

/** A part of a page, under a heading. `tools` stand beside the heading. */
export function card(title, { tools = [], name, className = "" } = {}, ...children) {
  const head = make("div", { className: "card-head" }, make("h2", {}, title), make("div", { className: "tools" }, ...tools));
  return make("section", { className: `card ${className}`, dataset: name ? { name } : {} }, head, ...children);
}

/** Names and values; a value that is null is left out. */
export function facts(pairs) {
  const list = make("dl", { className: "facts" });
  for (const [name, value] of pairs) {
    if (value !== null && value !== undefined) list.append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  }
  return list;
}

export const mark = (words, tone = "") => make("span", { className: "mark", dataset: { tone } }, words);
export const time = (ms) => make("time", { dateTime: Number.isFinite(ms) ? new Date(ms).toISOString() : "" }, timeText(ms));

/** A labelled input. `label` stands above it. */
export function field(label, input, { hint = "", className = "" } = {}) {
  return make("label", { className: `field ${className}` }, make("span", {}, label), input, hint ? make("small", {}, hint) : null);
}

export function choice(options, value) {
  return make("select", {}, ...options.map(([each, words]) => make("option", { value: each, selected: String(each) === String(value) }, words)));
}

/** Words for an error of the API. */
export function errorText(error) {
  if (!(error instanceof ApiError)) throw error;
  const words = refusalText(error);
  return error.retryAfterMs ? `${words} · ${t("wait", { seconds: Math.ceil(error.retryAfterMs / 1000) })}` : words;
}

/** A place that shows why something failed, and a way to try it again. */
export class Trouble {
  node = make("div", { className: "trouble", hidden: true, role: "alert" });

  clear() {
    this.node.hidden = true;
    this.node.replaceChildren();
  }

  show(error, retry = null) {
    this.node.replaceChildren(make("span", {}, errorText(error)), ...(retry ? [button(t("tryAgain"), retry)] : []));
    this.node.hidden = false;
  }
}

/** Runs `work` each `everyMs`, but not while the tab is hidden; at once when it is shown again. Returns what ends it. */
export function every(everyMs, work) {
  let timer = 0;
  let ended = false;
  const turn = async () => {
    clearTimeout(timer);
    if (ended || document.hidden) return;
    await work();
    clearTimeout(timer);
    if (!ended) timer = setTimeout(turn, everyMs);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", turn);
  };
}

/** Waits with `work` until `value` has not changed for a moment, as while somebody types. */
export function settled(work, waitMs = 250) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), waitMs);
  };
}

/** A search field that calls `onSearch(text)` when somebody has typed. The key `/` leads to it. */
export function searchField(label, value, onSearch) {
  const input = make("input", { type: "search", value, placeholder: label, className: "search", autocomplete: "off", spellcheck: false, maxLength: 100, attributes: { "aria-label": label } });
  const search = settled(() => onSearch(input.value.trim()));
  input.addEventListener("input", search);
  return input;
}
