// Every page of the console, with the worst that the API could answer, fits a phone of 360 pixels and a desk in both
// languages, has all its words, never makes markup of what users wrote, and is walked by the keyboard.
//
// From the environment, beside what support.mjs needs: SCREENSHOT.

import assert from "node:assert/strict";

import { DESKTOP, PHONE, expectFits, inBrowser, openTab, pictureNamed } from "./support.mjs";
import { answerWithData } from "./console_data.mjs";
import { CONSOLE, PAGES, expectWords, visit } from "./console_support.mjs";

/** A figure of each page that is live: it is there once the page has received something. */
const FIGURES = { overview: "[data-total=members] b", room: "[data-stat=members] b" };

/** Looks at every page in the language of the tab. Words that were not found would be shown as their names. */
async function lookAtPages(tab, name) {
  for (const [page, hash] of Object.entries(PAGES)) {
    await visit(tab, hash);
    if (page in FIGURES) await tab.waitForFunction((figure) => /\d/.test(document.querySelector(figure)?.textContent), FIGURES[page]);
    await expectFits(tab, `${page} ${name}`);
    assert.equal(await tab.locator(".trouble:not([hidden])").count(), 0, `${page} ${name} is in trouble`);
    const untranslated = await tab.evaluate(() => [...document.querySelectorAll("main :not(code, pre, .said, [data-name=audit] .mark), .nav *, .topbar *")]
      .flatMap((node) => [...node.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE).map(({ data }) => data.trim()))
      .filter((text) => /^([a-z]+_[a-z_]+|[a-z]+[A-Z][A-Za-z]+|undefined|null|NaN|\[object Object\])$/.test(text)));
    assert.deepEqual(untranslated, [], `${page} ${name}`);
    assert.equal(await tab.locator("main :is(b, img[src=x])", { hasText: "no markup" }).count(), 0, "text stays text");
    await tab.screenshot({ path: pictureNamed(`${page}-${name}`) });
  }
}

/** Nothing is asked before a login, and its page fits. */
async function lookAtLogin(browser) {
  const tab = await openTab(await browser.newContext({ viewport: PHONE, locale: "zh-CN" }), "stranger");
  const asked = [];
  tab.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await tab.goto(CONSOLE);
  await tab.waitForSelector("#gate");
  await expectFits(tab, "the login");
  await tab.waitForFunction(() => document.activeElement.name === "name");
  assert.deepEqual(asked.filter((path) => path !== "/admin/" && !path.startsWith("/admin/assets/")), []);
  await tab.screenshot({ path: pictureNamed("login-phone-zh") });
}

async function opensTheMenu(tab) {
  await visit(tab, PAGES.overview);
  await tab.focus("#open-nav");
  await tab.keyboard.press("Enter");
  await tab.waitForSelector("body.nav-open");
  await expectFits(tab, "the menu");
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("Enter");
  await tab.waitForFunction(() => location.hash === "#/review" && !document.body.classList.contains("nav-open"));
}

/** By the keyboard to a page, past its bar to its controls, into a question and back to where one was. */
async function walks(tab) {
  await visit(tab, PAGES.overview);
  await tab.keyboard.press("g");
  await tab.keyboard.press("u");
  await tab.waitForFunction(() => location.hash === "#/users" && document.activeElement.type === "search");
  await visit(tab, PAGES.room);
  await tab.focus("#skip");
  await tab.keyboard.press("Enter");
  await tab.waitForFunction(() => document.activeElement.id === "main");
  await tab.keyboard.press("Tab");
  await tab.waitForFunction(() => document.activeElement.dataset.name === "notice");
  await tab.keyboard.press("Enter");
  await tab.waitForFunction(() => document.activeElement.name === "text");
  await tab.keyboard.press("Escape");
  await tab.waitForSelector("#act-dialog", { state: "hidden" });
  await tab.waitForFunction(() => document.activeElement.dataset.name === "notice");
}

async function opensPersons(tab, name) {
  await visit(tab, PAGES.room);
  await tab.locator("[data-name=person]").first().click();
  await tab.locator("#person-dialog .checks li").first().waitFor();
  await expectFits(tab, `a person ${name}`);
  await tab.screenshot({ path: pictureNamed(`person-${name}`) });
  await tab.click("#person-dialog [data-name=ban]");
  await expectFits(tab, `a ban ${name}`);
  await tab.screenshot({ path: pictureNamed(`ban-${name}`) });
  await tab.keyboard.press("Escape");
}

/** Once a tab is hidden it asks the feed for nothing; once it is shown again, all goes on. */
async function hides(tab) {
  await tab.evaluate(() => { globalThis.sent = []; const { send } = WebSocket.prototype; WebSocket.prototype.send = function (text) { globalThis.sent.push(JSON.parse(text).view); return send.call(this, text); }; });
  await visit(tab, PAGES.gifts);
  await visit(tab, PAGES.overview);
  await tab.waitForFunction(() => globalThis.sent.includes("overview"));
  const sent = await tab.evaluate(() => {
    for (const hidden of [true, false]) {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }
    return globalThis.sent;
  });
  assert.deepEqual(sent, ["overview", "none", "overview"]);
}

async function run(browser) {
  await lookAtLogin(browser);
  const context = await browser.newContext({ viewport: DESKTOP, locale: "en-US" });
  await answerWithData(context);
  await context.addInitScript(() => localStorage.setItem("liveroom.console", "1"));
  const tab = await openTab(context, "ann");
  await tab.goto(CONSOLE);
  await expectWords(tab);
  await lookAtPages(tab, "desk-en");
  await walks(tab);
  await opensPersons(tab, "desk-en");
  await hides(tab);
  await tab.setViewportSize(PHONE);
  assert.ok(await tab.isVisible("#logout"), "on a phone one can log out as well");
  await lookAtPages(tab, "phone-en");
  await opensTheMenu(tab);
  await tab.click("#language");
  await tab.waitForSelector("html[lang=zh-CN]");
  await lookAtPages(tab, "phone-zh");
  await opensPersons(tab, "phone-zh");
  await tab.setViewportSize(DESKTOP);
  await lookAtPages(tab, "desk-zh");
}

await inBrowser(run);
