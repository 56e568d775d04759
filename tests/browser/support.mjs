// What the scripts of the page share: the browser, its tabs, and what a user does in them.
//
// From the environment: BASE_URL, LIVE_ID and CHROMIUM (the browser).

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(new URL("../clients/package.json", import.meta.url));
const { chromium } = require("playwright-core");

export const { BASE_URL, LIVE_ID, CHROMIUM = "/usr/bin/chromium" } = process.env;
export const PHONE = { width: 360, height: 640 };
export const DESKTOP = { width: 1280, height: 800 };
const PATIENCE_MS = 15_000;
const WHOLE_RUN_MS_MAX = 120_000;

/** What no tab may do: fail a script, break the content policy, miss a file. */
const complaints = [];

export async function openTab(context, name) {
  const tab = await context.newPage();
  tab.setDefaultTimeout(PATIENCE_MS);
  tab.on("pageerror", (error) => complaints.push(`${name}: ${error.stack}`));
  tab.on("console", (message) => message.type() === "error" && complaints.push(`${name}: ${message.text()}`));
  return tab;
}

/** `login` is `name:password`. */
export async function logIn(tab, login) {
  const [name, password] = login.split(":");
  await tab.click("#open-login");
  await tab.fill("#login-username", name);
  await tab.fill("#login-password", password);
  await tab.click("#login-submit");
  await tab.waitForSelector("#login-dialog", { state: "hidden" });
  assert.equal(await tab.textContent("#account-name"), name);
}

/** Enters the room of LIVE_ID from the lobby. */
export async function enter(tab) {
  await tab.click(`.live-card[data-live-id="${LIVE_ID}"]`);
  await tab.waitForSelector("#connection[data-state=open]");
  await tab.waitForFunction(() => !document.querySelector("#comment-input").disabled);
}

export async function say(tab, text) {
  await tab.fill("#comment-input", text);
  await tab.press("#comment-input", "Enter");
}

export const chatLine = (tab, text) => tab.locator("#chat li", { hasText: text });

/** Fails if anything on show reaches over the sides of the window. The row of gifts scrolls on purpose. */
export async function expectFits(tab, view) {
  const over = await tab.evaluate(() => {
    const names = document.documentElement.scrollWidth > innerWidth ? ["the document"] : [];
    const moving = ".visually-hidden, .skip, .gifts, .danmaku, .gift-flights, .gift-banners";
    for (const node of document.body.querySelectorAll("*")) {
      const { left, right, width, height } = node.getBoundingClientRect();
      const isSeen = width > 0 && height > 0 && !node.closest(moving);
      if (isSeen && (left < -0.5 || right > innerWidth + 0.5)) names.push(`${node.tagName}#${node.id} ${left}..${right}`);
    }
    return names;
  });
  assert.deepEqual(over, [], `${view} is wider than the window`);
}

/** Runs a script in a browser of its own. Exit status 0 if it saw everything and no tab complained. */
export async function inBrowser(script) {
  setTimeout(() => {
    console.error(`not done after ${WHOLE_RUN_MS_MAX} ms`);
    process.exit(1);
  }, WHOLE_RUN_MS_MAX).unref();
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    await script(browser);
    assert.deepEqual(complaints, []);
  } finally {
    if (complaints.length > 0) console.error(complaints.join("\n"));
    await browser.close();
  }
}
