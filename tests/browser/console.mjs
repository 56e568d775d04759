// An operator's night at the console: what a room does, and what is done about it.
//
// From the environment, beside what support.mjs needs: STREAMER (`name:password`; it owns the live, which is on air),
// TALKER (whose comments with the word "dubious" are held), VIEWER, SETUP (the path of a link for a manager with the
// role operator and the admin flag, named `ann`) and SCREENSHOT.

import assert from "node:assert/strict";

import { DESKTOP, Guest, LIVE_ID, expectComplaint, inBrowser, openTab, pictureNamed } from "./support.mjs";
import { CONSOLE, PAGES, answer, card, expectWords, line, logIn, row, tabOfManager, undo, visit } from "./console_support.mjs";

const { SETUP, TALKER, VIEWER } = process.env;
const nameOf = (login) => login.split(":")[0];

async function comesIn(browser) {
  const stranger = await openTab(await browser.newContext({ viewport: DESKTOP, locale: "en-US" }), "stranger");
  await stranger.goto(CONSOLE);
  await logIn(stranger, "ann", "not the password");
  await stranger.waitForSelector("#gate .form-error:not(:empty)");
  await expectComplaint(stranger, /401/);
  await stranger.close();
  return tabOfManager(browser, SETUP, "ann", { viewport: DESKTOP, locale: "en-US" });
}

async function looksAround(tab) {
  await row(tab, "rooms", "late night radio").waitFor();
  await row(tab, "nodes", "healthy").waitFor();
  await tab.waitForSelector(".chart canvas");
  await tab.click("[data-name=sort-users]");
  await tab.waitForSelector("th[aria-sort=descending] [data-name=sort-users]");
  assert.match(tab.url(), /sort=users/, "the address says what is shown");
  await tab.keyboard.press("/");
  await tab.keyboard.type("no such room");
  await row(tab, "rooms", "late night radio").waitFor({ state: "detached" });
  await tab.fill("input[type=search]", LIVE_ID);
  await row(tab, "rooms", "late night radio").waitFor();
  await tab.screenshot({ path: pictureNamed("overview") });
}

/** The feed stands still while somebody points at it or has its focus. */
async function lookAway(tab) {
  await tab.mouse.move(0, 0);
  await tab.evaluate(() => document.activeElement.blur());
}

/** Opens what may be done about a user from a line of the feed. */
async function openPerson(tab, text) {
  await tab.locator(".feed li", { hasText: text }).locator("[data-name=person]").click();
  await tab.waitForSelector("#person-dialog[open]");
}

async function keepsOrder(tab, talker) {
  await row(tab, "rooms", "late night radio").locator("a", { hasText: "late night radio" }).click();
  await lookAway(tab);
  // The feed has begun once there are figures.
  await tab.waitForFunction(() => /\d/.test(document.querySelector("[data-stat=members] b").textContent));
  await talker.say("hello <b>night</b>");
  const said = tab.locator(".feed li", { hasText: "hello <b>night</b>" });
  await said.filter({ hasText: "fan-out" }).waitFor();
  await openPerson(tab, "hello <b>night</b>");
  await tab.locator("#person-dialog .checks li", { hasText: "The live is on air" }).waitFor();
  await tab.screenshot({ path: pictureNamed("person") });
  await tab.click("#person-dialog [data-name=mute]");
  const effect = await answer(tab, { seconds: "300", reason: "spam" });
  assert.match(effect, new RegExp(`${nameOf(TALKER)} cannot comment in all lives of this streamer, for 5 min`));
  assert.equal((await talker.ask("comment", { data: "muted?" })).code, "muted");
  await undo(tab);
  await talker.say("I may speak again");
  await tab.locator(".feed li", { hasText: "I may speak again" }).hover();
  await tab.locator(".feed li", { hasText: "I may speak again" }).locator("[data-name=delete]").click();
  await answer(tab, { reason: "a test" });
  await lookAway(tab);
  await tab.locator(".feed li.removed", { hasText: "I may speak again" }).waitFor();
  await tab.screenshot({ path: pictureNamed("room") });
}

async function reviews(tab, talker, viewer) {
  assert.equal((await talker.ask("comment", { data: "a dubious offer" })).status, "held");
  const comment = await talker.say("look at my shop");
  assert.ok((await viewer.ask("report", { comment_id: comment, reason: "=spam()" })).ok);
  await visit(tab, PAGES.review);
  await line(tab, "held", "a dubious offer").locator("[data-name=approve]").click();
  await line(tab, "held", "a dubious offer").waitFor({ state: "detached" });
  await line(tab, "reports", "look at my shop").filter({ hasText: "=spam()" }).locator("[data-name=dismiss]").click();
  await line(tab, "reports", "look at my shop").waitFor({ state: "detached" });
  await visit(tab, PAGES.comments);
  await row(tab, "comments", "a dubious offer").waitFor();
  await card(tab, "comments").locator("input[type=checkbox]").check();
  await row(tab, "comments", "I may speak again").locator("s").waitFor();
}

async function steersTheRoom(tab, talker) {
  await visit(tab, PAGES.room);
  await tab.click("[data-name=notice]");
  await answer(tab, { text: "Back in five minutes" });
  await lookAway(tab);
  await tab.locator(".feed li", { hasText: "Back in five minutes" }).waitFor();
  await tab.click("[data-name=modes]");
  assert.match(await answer(tab, { frozen: true }), /Only moderators speak: On/);
  assert.equal((await talker.ask("comment", { data: "frozen?" })).code, "frozen");
  await undo(tab);
  await talker.say("thawed");
}

async function looksAtPeopleAndMoney(tab, talker) {
  await visit(tab, PAGES.people);
  await row(tab, "members", nameOf(TALKER)).waitFor();
  await row(tab, "givers", nameOf(VIEWER)).waitFor();
  await visit(tab, `#/users/${talker.id}`);
  await row(tab, "sessions", "late night radio").waitFor();
  await tab.click("[data-name=status]");
  await answer(tab, { reason: "a look at the account" });
  await tab.locator(".page-head .mark", { hasText: "disabled" }).waitFor();
  await tab.screenshot({ path: pictureNamed("user") });
  await tab.click("[data-name=status]");
  await answer(tab);
  await tab.locator(".page-head .mark", { hasText: "enabled" }).waitFor();
}

async function changesGiftsAndWords(tab) {
  await visit(tab, PAGES.gifts);
  const star = row(tab, "gifts", "星星");
  await star.locator("[data-name=price]").click();
  await answer(tab, { coin: "12" });
  await star.filter({ hasText: "12" }).waitFor();
  await star.locator("[data-name=sale]").click();
  await answer(tab, { reason: "out of season" });
  await star.filter({ hasText: "withdrawn" }).waitFor();
  await undo(tab);
  await star.filter({ hasText: "on sale" }).waitFor();
  await visit(tab, PAGES.filter);
  await tab.fill("[name=text]", "a Dubious offer");
  await tab.locator(".test-result", { hasText: "hold" }).waitFor();
  await tab.fill("[name=lines]", "dubious\thold\nrude\tmask\n");
  await tab.click("[data-name=import]");
  assert.match(await answer(tab, { reason: "one more" }), /2 terms/);
  await tab.fill("[name=text]", "how rude");
  await tab.locator(".test-result", { hasText: "how ****" }).waitFor();
}

async function makesAManager(browser, tab) {
  await visit(tab, PAGES.managers);
  await tab.click("[data-name=new-manager]");
  await answer(tab, { name: "bo", role: "moderator" });
  const address = await tab.textContent("#secret-dialog [data-name=secret]");
  await tab.click("#secret-dialog button.primary");
  await row(tab, "managers", "bo").filter({ hasText: "no password yet" }).waitFor();
  const link = address.slice(address.indexOf("/admin/"));
  const bo = await tabOfManager(browser, link, "bo", { viewport: DESKTOP, locale: "en-US" });
  const menu = await bo.locator("#nav a").allTextContents();
  assert.deepEqual(menu, ["Overview", "Review", "Users", "Gifts", "Audit"], "a moderator's menu");
  await visit(bo, PAGES.room);
  await bo.waitForSelector("[data-name=modes]");
  assert.equal(await bo.locator("[data-name=close-room]").count(), 0, "a moderator ends no live");
  await visit(bo, PAGES.books);
  await bo.locator("main", { hasText: "Your role does not include this page" }).waitFor();
  await row(tab, "managers", "bo").locator("[data-name=disable]").click();
  await answer(tab);
  // The next request of a disabled manager is refused.
  await visit(bo, PAGES.users);
  await bo.waitForSelector("#gate");
  await expectComplaint(bo, /401/);
  await bo.close();
}

async function readsTheAudit(tab) {
  await visit(tab, PAGES.audit);
  await tab.fill("[name=action]", "mute");
  await tab.press("[name=action]", "Enter");
  await row(tab, "audit", "spam").filter({ hasText: "ann" }).waitFor();
  await tab.screenshot({ path: pictureNamed("audit") });
}

async function leaves(tab) {
  await tab.click("#logout");
  await tab.waitForSelector("#gate");
  await tab.reload();
  await tab.waitForSelector("#gate");
  await logIn(tab, "ann");
  await tab.waitForSelector("[data-view=page]");
}

async function run(browser) {
  const [talker, viewer] = [await Guest.enter(TALKER), await Guest.enter(VIEWER)];
  assert.ok((await viewer.ask("gift", { gift_id: 1, num: 3 })).ok);
  const tab = await comesIn(browser);
  await expectWords(tab);
  await looksAround(tab);
  await keepsOrder(tab, talker);
  await reviews(tab, talker, viewer);
  await steersTheRoom(tab, talker);
  await looksAtPeopleAndMoney(tab, talker);
  await changesGiftsAndWords(tab);
  await makesAManager(browser, tab);
  await readsTheAudit(tab);
  await leaves(tab);
  viewer.leave();
}

await inBrowser(run);
