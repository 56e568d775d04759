// A user changes its name, its picture and its password on the page.
//
// From the environment, beside what support.mjs needs: VIEWER (`name:password`), STREAMER (the same)
// and SCREENSHOT (a path).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { DESKTOP, PHONE, chatLine, expectFits, inBrowser, logIn, openTab, pictureNamed, say, tabOf } from "./support.mjs";

const { VIEWER, STREAMER, BASE_URL } = process.env;
const NEW_PASSWORD = "another horse";

async function openProfile(tab) {
  await tab.click("#open-profile");
  await tab.waitForSelector("#profile-dialog[open]");
}

async function changeName(tab, listener) {
  await openProfile(tab);
  await tab.fill("#profile-nickname", "streamer");
  await tab.press("#profile-nickname", "Enter");
  await tab.waitForSelector("#profile-error:not(:empty)");
  assert.match(await tab.textContent("#profile-error"), /looks like the username/);
  await tab.fill("#profile-nickname", "小 花");
  await tab.fill("#profile-avatar", "/assets/icon.svg");
  await tab.screenshot({ path: pictureNamed("dialog-en") });
  await tab.press("#profile-avatar", "Enter");
  await tab.waitForSelector("#profile-dialog", { state: "hidden" });
  assert.equal(await tab.textContent("#account-name"), "小 花");
  await say(tab, "under my new name");
  await chatLine(listener, "under my new name").waitFor();
  assert.match(await chatLine(listener, "under my new name").textContent(), /小 花/);
}

async function changePassword(tab, password) {
  await openProfile(tab);
  await tab.fill("#password-old", "wrong horse");
  await tab.fill("#password-new", NEW_PASSWORD);
  await tab.fill("#password-again", NEW_PASSWORD);
  await tab.press("#password-again", "Enter");
  await tab.waitForSelector("#password-error:not(:empty)");
  assert.equal(await tab.textContent("#password-error"), "Wrong password");
  await tab.fill("#password-old", password);
  await tab.press("#password-old", "Enter");
  await tab.waitForSelector("#profile-dialog", { state: "hidden" });
  // The tab goes on with its new token.
  await tab.waitForSelector("#connection[data-state=open]");
  await say(tab, "still here");
  await chatLine(tab, "still here").waitFor();
}

async function run(browser) {
  const [name, password] = VIEWER.split(":");
  const listener = await tabOf(browser, STREAMER, { viewport: DESKTOP, locale: "en-US" });
  const tab = await tabOf(browser, VIEWER, { viewport: DESKTOP, locale: "en-US" });
  await changeName(tab, listener);
  await changePassword(tab, password);

  const phone = await openTab(await browser.newContext({ viewport: PHONE, locale: "zh-CN", hasTouch: true }), "phone");
  await phone.goto(BASE_URL);
  await logIn(phone, `${name}:${NEW_PASSWORD}`, "小 花");
  await openProfile(phone);
  await expectFits(phone, "the account of a user");
  await phone.screenshot({ path: pictureNamed("dialog-zh") });
  const [download] = await Promise.all([phone.waitForEvent("download"), phone.click("#profile-export")]);
  const lines = (await readFile(await download.path(), "utf8")).trim().split("\n").map(JSON.parse);
  assert.equal(lines[0].data.nickname, "小 花");
  assert.ok(lines.some(({ kind, data }) => kind === "comment" && data.content === "still here"));
  await phone.click("#profile-logout");
  await phone.waitForSelector("#open-login", { state: "visible" });
  // Everywhere: the other tab of this user hears it too.
  await tab.waitForSelector("#open-login", { state: "visible" });
}

await inBrowser(run);
