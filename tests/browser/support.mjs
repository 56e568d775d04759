// What the scripts of the page share: the browser, its tabs, and what a user does in them.
//
// From the environment: BASE_URL, LIVE_ID, ADMIN_TOKEN and CHROMIUM (the browser).

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(new URL("../clients/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const WebSocket = require("ws");

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
  // A refused request is an answer, which the page shows.
  const isRefusal = (text) => /status of (400|422)/.test(text);
  tab.on("console", (message) => message.type() === "error" && !isRefusal(message.text()) && complaints.push(`${name}: ${message.text()}`));
  return tab;
}

/** Takes a complaint back that had to come: a browser reports a refused request as an error. */
export async function expectComplaint(tab, pattern) {
  const find = () => complaints.findIndex((each) => pattern.test(each));
  // The console's message may come after what the page made of the answer.
  for (let turn = 0; find() < 0 && turn < 100; turn++) await tab.waitForTimeout(20);
  assert.ok(find() >= 0, `no complaint like ${pattern}`);
  complaints.splice(find(), 1);
}

/** `login` is `name:password`; `shown` is the name that others see. */
export async function logIn(tab, login, shown = login.split(":")[0]) {
  const [name, password] = login.split(":");
  await tab.click("#open-login");
  await tab.fill("#login-username", name);
  await tab.fill("#login-password", password);
  await tab.click("#login-submit");
  await tab.waitForSelector("#login-dialog", { state: "hidden" });
  assert.equal(await tab.textContent("#account-name"), shown);
}

/** Enters the room of LIVE_ID from the lobby. */
export async function enter(tab) {
  await tab.click(`.live-card[data-live-id="${LIVE_ID}"]`);
  await tab.waitForSelector("#connection[data-state=open]");
  await tab.waitForFunction(() => !document.querySelector("#comment-input").disabled);
}

/** A tab of its own browser context, in the room. */
export async function tabOf(browser, login, options) {
  const tab = await openTab(await browser.newContext(options), login.split(":")[0]);
  await tab.goto(BASE_URL);
  await logIn(tab, login);
  await enter(tab);
  return tab;
}

/** Where a script leaves one of its pictures: beside SCREENSHOT. */
export const pictureNamed = (name) => process.env.SCREENSHOT.replace(".png", `-${name}.png`);

export async function say(tab, text) {
  await tab.fill("#comment-input", text);
  await tab.press("#comment-input", "Enter");
}

export const chatLine = (tab, text) => tab.locator("#chat li", { hasText: text });

/** A user of the room without a page, over /ws. */
export class Guest {
  #socket;
  #answers = new Map();
  #lastId = 0;

  /** `login` is `name:password`. */
  static async enter(login) {
    const [username, password] = login.split(":");
    const body = JSON.stringify({ username, password });
    const response = await fetch(`${BASE_URL}/api/login`, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { data } = await response.json();
    const guest = new Guest();
    guest.id = data.id;
    guest.#socket = new WebSocket(`${BASE_URL.replace("http", "ws")}/ws?token=${data.token}`);
    guest.#socket.on("message", (text) => {
      const frame = JSON.parse(text);
      guest.#answers.get(frame.id)?.(frame);
      guest.#answers.delete(frame.id);
    });
    await new Promise((resolve, reject) => guest.#socket.once("open", resolve).once("error", reject));
    assert.ok((await guest.ask("joinLive")).ok);
    return guest;
  }

  /** Sends a command about LIVE_ID; resolves with its answer. */
  ask(event, data = {}) {
    const id = ++this.#lastId;
    this.#socket.send(JSON.stringify({ id, event, data: { live_id: Number(LIVE_ID), ...data } }));
    return new Promise((resolve) => this.#answers.set(id, resolve));
  }

  /** Resolves with the id of the comment. Waits as it is asked to if that is one too many. */
  async say(text) {
    const answer = await this.ask("comment", { data: text });
    if (answer.code === "rate_limited") {
      await new Promise((resolve) => setTimeout(resolve, answer.retry_after_ms));
      return this.say(text);
    }
    assert.ok(answer.ok, JSON.stringify(answer));
    return answer.comment_id;
  }

  leave() {
    this.#socket.close();
  }
}

/** Asks as an operator; resolves with the answer's data. */
export async function operate(method, path, body) {
  const headers = { authorization: `Bearer ${process.env.ADMIN_TOKEN}`, "content-type": "application/json" };
  const response = await fetch(`${BASE_URL}/admin${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()).data;
}

/** Fails if anything on show reaches over the sides of the window. The row of gifts scrolls on purpose. */
export async function expectFits(tab, view) {
  const over = await tab.evaluate(() => {
    const names = document.documentElement.scrollWidth > innerWidth ? ["the document"] : [];
    const moving = ".visually-hidden, .skip, .gifts, .danmaku, .gift-flights, .gift-banners, .scroll table, thead";
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
