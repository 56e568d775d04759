// Small tools for the document. User text only ever becomes text nodes, never markup.

import { t } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";
const TOASTS_MAX = 4;
const TOAST_MS = 4_500;

export const byId = (id) => document.getElementById(id);
export const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** `make("li", {className, dataset, on…}, ...children)`: properties, not attributes; strings become text. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  const { dataset, attributes, ...rest } = properties;
  Object.assign(node, rest);
  Object.assign(node.dataset, dataset);
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A stable hue for an id or a name, so that a user looks the same everywhere. */
export function hueOf(seed) {
  let hash = 7;
  for (const char of String(seed)) hash = (hash * 31 + char.codePointAt(0)) % 360;
  // Spread by a step near the golden angle, so that neighbouring ids differ.
  return (hash * 137) % 360;
}

/** Only pictures of this site are loaded: a stranger's picture address would tell him who looks. */
export function localPicture(address) {
  if (typeof address !== "string" || !address.startsWith("/")) return null;
  // The browser decides where an address leads: it takes `\` for `/` and skips tabs and line ends, so `/\host/x`
  // is another host. The whole address goes on, since a path such as `//x` would be read anew.
  try {
    const { origin, href } = new URL(address, location.origin);
    return origin === location.origin ? href : null;
  } catch {
    return null;
  }
}

export function avatar(user, size = "") {
  const name = String(user.name ?? user.username ?? "?");
  const node = make("span", { className: `avatar ${size}`, attributes: { "aria-hidden": "true" } });
  node.style.setProperty("--hue", hueOf(user.id ?? name));
  node.textContent = [...name][0]?.toUpperCase() ?? "?";
  const picture = localPicture(user.avatar);
  if (picture) {
    const image = make("img", { src: picture, alt: "" });
    image.addEventListener("error", () => image.remove());
    image.addEventListener("load", () => node.replaceChildren(image));
  }
  return node;
}

/**
 * Shows a short message. With `retryAfterMs` it counts down and stays until the wait is over.
 * A repeated `key` replaces the toast before it.
 */
export function toast(text, { tone = "", retryAfterMs = 0, key = text } = {}) {
  const box = byId("toasts");
  for (const old of [...box.children]) if (old.dataset.key === key) old.remove();
  while (box.children.length >= TOASTS_MAX) box.firstElementChild.remove();
  const node = make("div", { className: "toast", dataset: { tone, key } }, text);
  box.append(node);
  if (!retryAfterMs) {
    setTimeout(() => node.remove(), TOAST_MS);
    return;
  }
  const until = performance.now() + retryAfterMs;
  // The countdown is for the eye; a screen reader hears the first text only.
  const seconds = make("b", { attributes: { "aria-hidden": "true" } });
  node.append(" · ", seconds);
  const tick = () => {
    const left = until - performance.now();
    if (left <= 0 || !node.isConnected) return node.remove();
    seconds.textContent = t("wait", { seconds: Math.ceil(left / 1000) });
    setTimeout(tick, Math.min(250, left));
  };
  tick();
}

/** Counts a shown number up or down to its new value. */
export function rollTo(node, value, format = String) {
  const from = Number(node.dataset.value ?? value);
  node.dataset.value = value;
  if (from === value || reducedMotion.matches || document.hidden) {
    node.textContent = format(value);
    return;
  }
  const startedAt = performance.now();
  const step = (now) => {
    if (Number(node.dataset.value) !== value) return;
    const part = Math.min(1, Math.max(0, (now - startedAt) / 450));
    node.textContent = format(Math.round(from + (value - from) * (1 - (1 - part) ** 3)));
    if (part < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
