// Numbers and times as an operator reads them.

import { currentLanguage, spanText, t } from "./i18n.js";

const formats = new Map();

function formatOf(kind, options) {
  const key = `${currentLanguage()} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new kind(currentLanguage(), options));
  return formats.get(key);
}

export const NOTHING = "–";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** A count in full: `1,234,567`. */
export const countText = (value) => (isNumber(value) ? formatOf(Intl.NumberFormat, { maximumFractionDigits: 0 }).format(value) : NOTHING);

/** A rate for one second: with a digit behind the point while it is small. */
export const rateText = (value) => (isNumber(value) ? formatOf(Intl.NumberFormat, { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value) : NOTHING);

export const percentText = (part) => (isNumber(part) ? `${Math.round(part * 100)} %` : NOTHING);

export function bytesText(bytes) {
  if (!isNumber(bytes)) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = bytes;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${formatOf(Intl.NumberFormat, { maximumFractionDigits: size < 10 && unit > 0 ? 1 : 0 }).format(size)} ${units[unit]}`;
}

/** A point in time, to the second. */
export const timeText = (ms) => (isNumber(ms) ? formatOf(Intl.DateTimeFormat, { dateStyle: "short", timeStyle: "medium" }).format(ms) : NOTHING);
export const clockText = (ms) => (isNumber(ms) ? formatOf(Intl.DateTimeFormat, { timeStyle: "medium" }).format(ms) : NOTHING);

/** How long ago, or in how long, in its largest unit: `5 min`. */
export function lengthText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [length] = [[86_400], [3_600], [60]].find(([each]) => seconds >= each) ?? [1];
  return spanText(Math.floor(seconds / length) * length);
}

export const agoText = (ms) => (isNumber(ms) ? t("ago", { time: lengthText(Date.now() - ms) }) : NOTHING);
/** `15 µs`, `1.2 ms`. */
export const microsText = (us) => (isNumber(us) ? (us < 1_000 ? `${rateText(us)} µs` : `${rateText(us / 1_000)} ms`) : NOTHING);
