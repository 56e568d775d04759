// A streamer and a moderator act on the cards of people; the page shows the user in words what holds.
//
// From the environment, beside what support.mjs needs: STREAMER (`name:password`; it owns the live,
// which is on air), MODERATOR (a user that the script makes one), TALKER and TROLL.

import assert from "node:assert/strict";

import { DESKTOP, Guest, PHONE, chatLine, expectFits, inBrowser, pictureNamed, say, tabOf } from "./support.mjs";

const { STREAMER, MODERATOR, TALKER, TROLL } = process.env;
const CARD = "#person-dialog";
const REPORT = ["person-report-reason", "person-report-send"];
const nameOf = (login) => login.split(":")[0];

async function openCard(tab, line) {
  await line.locator(".who").click();
  await tab.waitForSelector(`${CARD}[open]`);
}

async function closeCard(tab) {
  await tab.keyboard.press("Escape");
  await tab.waitForSelector(CARD, { state: "hidden" });
}

/** Presses a line with a finger until its card opens. */
async function longPress(tab, line) {
  await line.scrollIntoViewIfNeeded();
  const { x, y, height } = await line.boundingBox();
  const touch = await tab.context().newCDPSession(tab);
  await touch.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x: x + 60, y: y + height / 2 }] });
  await tab.waitForSelector(`${CARD}[open]`);
  await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  assert.ok(await tab.isVisible(CARD), "the finger that is lifted does not close it");
}

/** The buttons and fields of the open card, by their ids. */
const offered = (tab) => tab.locator(`${CARD} :is(button, select)[id]:visible`).evaluateAll((nodes) => nodes.map((node) => node.id));

async function chooseByKeyboard(streamer) {
  await streamer.focus("#chat");
  await streamer.keyboard.press("ArrowUp");
  const name = await streamer.evaluate(() => document.activeElement.textContent);
  await streamer.keyboard.press("Enter");
  await streamer.waitForSelector(`${CARD}[open]`);
  assert.equal(await streamer.textContent("#person-name"), name);
  assert.ok(await streamer.evaluate((card) => document.querySelector(card).contains(document.activeElement), CARD), "the focus is in the card");
  await closeCard(streamer);
  assert.equal(await streamer.evaluate(() => document.activeElement.textContent), name, "the focus is back");
}

async function nameModerator(streamer, moderator) {
  await streamer.click("#tab-online");
  await openCard(streamer, streamer.locator("#online-list li", { hasText: nameOf(MODERATOR) }));
  await streamer.click("#person-name-moderator");
  await streamer.waitForSelector("#person-dismiss");
  assert.equal(await streamer.textContent("#person-role"), "Moderator");
  await closeCard(streamer);
  await streamer.locator("#online-list li", { hasText: nameOf(MODERATOR) }).locator(".role", { hasText: "Moderator" }).waitFor();
  await streamer.click("#tab-chat");
  await say(moderator, "我来管理");
  await chatLine(moderator, "我来管理").locator(".role", { hasText: "房管" }).waitFor();
  await chatLine(streamer, "我来管理").locator(".role", { hasText: "Moderator" }).waitFor();
}

async function deleteByFinger(streamer, moderator, troll) {
  await troll.say("buy coins here");
  await longPress(moderator, chatLine(moderator, "buy coins here"));
  assert.equal(await moderator.textContent("#person-comment"), "buy coins here");
  assert.deepEqual(await offered(moderator), ["person-pin", "person-delete", "person-delete-last", "person-kick", "person-term", "person-purge", "person-mute", "person-ban"],
    "a moderator names nobody and shadows nobody");
  await expectFits(moderator, "the card of a person");
  await moderator.screenshot({ path: pictureNamed("card-zh") });
  await moderator.click("#person-delete");
  await moderator.waitForSelector(CARD, { state: "hidden" });
  await chatLine(streamer, "buy coins here").waitFor({ state: "detached" });
  // The finger was lifted over a button of the card, which did nothing.
  await troll.say("still here");
}

/** A pinned comment stands above the chat, for those who come later too, until it is unpinned or deleted. */
async function pin(streamer, moderator, talker, troll) {
  await troll.say("the rules of the house");
  const pinned = (tab) => tab.locator("#pinned", { hasText: "the rules of the house" });
  const pinIt = async () => {
    await openCard(moderator, chatLine(moderator, "the rules of the house"));
    await moderator.click("#person-pin");
    await moderator.waitForSelector(CARD, { state: "hidden" });
    for (const tab of [streamer, moderator, talker]) await pinned(tab).waitFor();
  };
  await pinIt();
  await talker.reload();
  await pinned(talker).waitFor();
  await expectFits(talker, "a pinned comment");
  assert.ok(!(await talker.isVisible("#unpin")), "a viewer unpins nothing");
  await streamer.click("#unpin");
  for (const tab of [streamer, moderator, talker]) await tab.waitForSelector("#pinned", { state: "hidden" });
  await pinIt();
  await moderator.screenshot({ path: pictureNamed("pinned-zh") });
  await openCard(streamer, streamer.locator("#pinned"));
  await streamer.click("#person-delete");
  for (const tab of [streamer, moderator, talker]) await tab.waitForSelector("#pinned", { state: "hidden" });
}

/** Mutes the talker on the moderator's phone, for ten minutes. */
async function mute(moderator, talker) {
  await say(talker, "first");
  await openCard(moderator, chatLine(moderator, "first").last());
  await moderator.selectOption("#person-term", "600");
  await moderator.fill("#person-reason", "advertising");
  await moderator.click("#person-mute");
  await moderator.locator("#person-holds li", { hasText: "已禁言" }).waitFor();
  await expectFits(moderator, "the card of a muted person");
}

async function expectMuted(talker) {
  const note = talker.locator("#composer-note", { hasText: "advertising" });
  await note.waitFor();
  assert.match(await note.textContent(), /^You are muted for (10:00|9:\d\d) · advertising$/);
  assert.ok(await talker.isDisabled("#comment-input"));
  await expectFits(talker, "the composer of a muted user");
}

async function expectBanned(talker) {
  await talker.locator("#stage-notice", { hasText: "You are banned from this room" }).filter({ hasText: "spam" }).waitFor();
  assert.match(await talker.textContent("#stage-notice-text"), /^until .+ · spam$/);
  assert.ok(await talker.isDisabled("#comment-input"));
  assert.equal(await talker.locator("#chat li").count(), 0, "who is banned does not read the room");
  await expectFits(talker, "the room of a banned user");
}

async function run(browser) {
  const streamer = await tabOf(browser, STREAMER, { viewport: DESKTOP, locale: "en-US" });
  const moderator = await tabOf(browser, MODERATOR, { viewport: PHONE, locale: "zh-CN", hasTouch: true });
  const talker = await tabOf(browser, TALKER, { viewport: PHONE, locale: "en-US", hasTouch: true });
  const troll = await Guest.enter(TROLL);
  await troll.say("hello");
  await chatLine(streamer, "hello").waitFor();

  await chooseByKeyboard(streamer);
  await nameModerator(streamer, moderator);
  await deleteByFinger(streamer, moderator, troll);
  await pin(streamer, moderator, talker, troll);

  // Ranks: nobody acts on those above, and a viewer on nobody, but all may report. A streamer can be followed.
  await say(streamer, "good evening");
  for (const [tab, acts] of [[moderator, ["person-follow", "person-pin", ...REPORT]], [talker, ["person-follow", ...REPORT]]]) {
    await openCard(tab, chatLine(tab, "good evening"));
    await tab.waitForSelector("#person-follow");
    assert.deepEqual(await offered(tab), acts);
    await closeCard(tab);
  }
  await openCard(talker, chatLine(talker, "good evening"));
  await talker.click("#person-follow");
  await talker.waitForSelector("#person-unfollow");
  await closeCard(talker);
  await openCard(talker, chatLine(talker, "hello"));
  assert.deepEqual(await offered(talker), REPORT);
  await closeCard(talker);

  // A muted user reads for how long and why, also after it came back, and until it is lifted.
  await mute(moderator, talker);
  await expectMuted(talker);
  await talker.screenshot({ path: pictureNamed("muted-en") });
  await talker.reload();
  await expectMuted(talker);
  await moderator.locator("#person-holds button").click();
  await moderator.locator("#person-holds li").waitFor({ state: "detached" });
  await talker.waitForSelector("#composer-note", { state: "hidden" });
  await say(talker, "thank you");
  await chatLine(streamer, "thank you").waitFor();

  // A banned user reads until when and why; a mute over a ban is refused in words.
  await openCard(streamer, chatLine(streamer, "thank you"));
  await streamer.selectOption("#person-term", "86400");
  await streamer.fill("#person-reason", "spam");
  await streamer.screenshot({ path: pictureNamed("card-en") });
  await streamer.click("#person-ban");
  await streamer.locator("#person-holds li", { hasText: "Banned" }).waitFor();
  await chatLine(streamer, "thank you").waitFor({ state: "detached" });
  await expectBanned(talker);
  await moderator.click("#person-mute");
  await moderator.locator("#person-error", { hasText: "该用户已被封禁" }).waitFor();
  await talker.reload();
  await expectBanned(talker);
  await talker.screenshot({ path: pictureNamed("banned-en") });
  await streamer.locator("#person-holds button").click();
  await streamer.locator("#person-holds li").waitFor({ state: "detached" });
  await talker.reload();
  await talker.waitForFunction(() => !document.querySelector("#comment-input").disabled);

  // Who is kicked comes back by a button, when that is allowed.
  await streamer.click("#person-kick");
  await talker.locator("#stage-notice", { hasText: "You were removed from this room" }).waitFor();
  await talker.click("#stage-notice-back");
  await talker.waitForFunction(() => !document.querySelector("#comment-input").disabled);
  await closeCard(streamer);

  // A dismissed moderator is marked no more, and its open card offers what a viewer may do.
  await streamer.click("#tab-online");
  await openCard(streamer, streamer.locator("#online-list li", { hasText: nameOf(MODERATOR) }));
  await streamer.click("#person-dismiss");
  await chatLine(moderator, "我来管理").locator(".role").waitFor({ state: "hidden" });
  assert.deepEqual(await offered(moderator), REPORT);
  troll.leave();
}

await inBrowser(run);
