// What the scripts of the console share: how a manager comes in, and what it does there.

import assert from "node:assert/strict";

import { BASE_URL, LIVE_ID, openTab } from "./support.mjs";

export const CONSOLE = `${BASE_URL}/admin/`;
export const PASSWORD = "a long night shift";
/** The pages of the menu and their parts, as the address names them. */
export const PAGES = {
  overview: "#/", room: `#/rooms/${LIVE_ID}`, people: `#/rooms/${LIVE_ID}/people`, comments: `#/rooms/${LIVE_ID}/comments`,
  sanctions: `#/rooms/${LIVE_ID}/sanctions`, money: `#/rooms/${LIVE_ID}/money`, review: "#/review", users: "#/users",
  user: "#/users/1", gifts: "#/gifts", filter: "#/filter", trace: "#/trace", audit: "#/audit", books: "#/books",
  managers: "#/managers", own: "#/own",
};

/** Sets the password by the one-use link, in a browser context of its own. */
export async function tabOfManager(browser, link, name, options) {
  const tab = await openTab(await browser.newContext(options), name);
  await tab.goto(`${BASE_URL}${link}`);
  await tab.fill("#gate [name=password]", PASSWORD);
  await tab.fill("#gate [name=again]", PASSWORD);
  await tab.click("#gate button[type=submit]");
  await tab.waitForSelector("[data-view=page]");
  return tab;
}

export async function logIn(tab, name, password = PASSWORD) {
  await tab.fill("#gate [name=name]", name);
  await tab.fill("#gate [name=password]", password);
  await tab.click("#gate button[type=submit]");
}

/** Goes to a page by its address and waits until what it reads is there. */
export async function visit(tab, hash) {
  await tab.evaluate((to) => { location.hash = to; }, hash);
  await tab.waitForFunction((to) => location.hash === to && document.querySelector("main h1") && !document.querySelector("main .loading"), hash);
  await tab.waitForLoadState("networkidle");
}

/** A part of the page by its name. */
export const card = (tab, name) => tab.locator(`.card[data-name="${name}"]`);
export const row = (tab, table, text) => tab.locator(`table[data-name="${table}"] tbody tr`, { hasText: text });
export const line = (tab, list, text) => tab.locator(`[data-list="${list}"] li`, { hasText: text });

/** Fills the fields of the question that is open, does it, and waits until it is done. Returns what it said would come of it. */
export async function answer(tab, fields = {}) {
  await tab.waitForSelector("#act-dialog[open]");
  for (const [name, value] of Object.entries(fields)) {
    const input = tab.locator(`#act-fields [name="${name}"]`);
    if (typeof value === "boolean") await input.setChecked(value);
    else if ((await input.evaluate((node) => node.tagName)) === "SELECT") await input.selectOption(value);
    else await input.fill(value);
  }
  const effect = await tab.textContent("#act-effect");
  await tab.click("#act-submit");
  await tab.waitForSelector("#act-dialog", { state: "hidden" });
  return effect;
}

/** Takes the last act back. */
export async function undo(tab) {
  await tab.click("#undo");
  await tab.waitForSelector("#done", { state: "hidden" });
}

/** Every word that the pages name is there in both languages. */
export async function expectWords(tab) {
  const missing = await tab.evaluate(async () => {
    const { DICTIONARY } = await import("/admin/assets/words.js");
    const scripts = performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => name.endsWith(".js") && !name.endsWith("uplot.js"));
    const texts = await Promise.all([...scripts, "/admin/"].map(async (name) => (await fetch(name)).text()));
    const named = new Set(texts.flatMap((text) => [...text.matchAll(/\bt\("(\w+)"|data-i18n(?:-\w+)?="(\w+)"/g)].map(([, key, attribute]) => key ?? attribute)));
    const all = new Set([...Object.keys(DICTIONARY.en), ...Object.keys(DICTIONARY.zh), ...named]);
    return [...all].filter((key) => !(key in DICTIONARY.en) || !(key in DICTIONARY.zh));
  });
  assert.deepEqual(missing, [], "words are missing in a language");
}
