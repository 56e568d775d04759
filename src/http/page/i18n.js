// Two languages. The words are those of `words.js` beside this module: each set of pages that serves it has its own.

import { DICTIONARY } from "./words.js";

const STORAGE_KEY = "liveroom.language";
const listeners = new Set();
let language = localStorage.getItem(STORAGE_KEY) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!Object.hasOwn(DICTIONARY, language)) language = "en";

export const currentLanguage = () => language;
export const onLanguageChange = (listener) => listeners.add(listener);

/** The words for `key`, with `{name}` replaced from `values`. */
export function t(key, values = {}) {
  const words = DICTIONARY[language][key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Words for a refused command or a failed request: `{code?, message?}`. */
export function refusalText({ code, message }) {
  const words = DICTIONARY[language];
  return words[`code_${code}`] ?? words[`text_${message}`] ?? (message || t("networkError"));
}

/** Names of the demo's gifts are Chinese in the catalogue; others are shown as they are. */
export const giftName = (name) => DICTIONARY[language][`gift_${name}`] ?? name;

const compact = () => new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
export const formatCount = (value) => (value < 10_000 ? String(value) : compact().format(value));

/** When something ends: `at` in milliseconds since 1970, null for never. */
export function untilText(at) {
  if (at === null || at === undefined) return t("forEver");
  const time = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(at);
  return t("until", { time });
}

/** A span of time in the largest unit that divides it. */
export function spanText(seconds) {
  const [unit, length] = [["d", 86_400], ["h", 3_600], ["min", 60]].find(([, length]) => seconds % length === 0) ?? ["s", 1];
  return t(`span_${unit}`, { n: seconds / length });
}

/** A rest of time to count down: `1:05`, `2:00:00`. */
export function durationText(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** Fills every element that names its words by a `data-i18n…` attribute. */
export function translatePage() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-i18n]")) node.textContent = t(node.dataset.i18n);
  for (const node of document.querySelectorAll("[data-i18n-label]")) node.setAttribute("aria-label", t(node.dataset.i18nLabel));
  for (const node of document.querySelectorAll("[data-i18n-title]")) node.title = t(node.dataset.i18nTitle);
  for (const node of document.querySelectorAll("[data-i18n-placeholder]")) node.placeholder = t(node.dataset.i18nPlaceholder);
  for (const listener of listeners) listener();
}

export function toggleLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(STORAGE_KEY, language);
  translatePage();
}
