// What the scripts of the console share.

import assert from "node:assert/strict";

import { BASE_URL, LIVE_ID } from "./support.mjs";

export const CONSOLE = `${BASE_URL}/admin/`;
/** The pages of the menu and their parts, as the address names them. */
export const PAGES = {
  overview: "#/", room: `#/rooms/${LIVE_ID}`, people: `#/rooms/${LIVE_ID}/people`, comments: `#/rooms/${LIVE_ID}/comments`,
  sanctions: `#/rooms/${LIVE_ID}/sanctions`, money: `#/rooms/${LIVE_ID}/money`, review: "#/review", users: "#/users",
  user: "#/users/1", gifts: "#/gifts", filter: "#/filter", trace: "#/trace", audit: "#/audit", books: "#/books",
  managers: "#/managers", own: "#/own",
};

/** Goes to a page by its address and waits until what it reads is there. */
export async function visit(tab, hash) {
  await tab.evaluate((to) => { location.hash = to; }, hash);
  await tab.waitForFunction((to) => location.hash === to && document.querySelector("main h1") && !document.querySelector("main .loading"), hash);
  await tab.waitForLoadState("networkidle");
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
