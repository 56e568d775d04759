// The modes of a room: a streamer sets them, everybody sees them, and viewers read what is asked of them.
//
// From the environment, beside what support.mjs needs: STREAMER (`name:password`; it owns the live,
// which is on air), VIEWER (who can pay the first gift) and SCREENSHOT (a path).

import assert from "node:assert/strict";

import { DESKTOP, PHONE, chatLine, expectFits, inBrowser, pictureNamed, say, tabOf } from "./support.mjs";

const { STREAMER, VIEWER } = process.env;
const note = (viewer, text) => viewer.locator("#composer-note", { hasText: text });
const chip = (tab, text) => tab.locator("#modes li", { hasText: text });
const noNote = (viewer) => viewer.waitForSelector("#composer-note", { state: "hidden" });

async function slow(streamer, viewer) {
  await streamer.selectOption("#mode-slow_s", "30");
  await chip(viewer, "慢速：30 秒").waitFor();
  await chip(streamer, "Slow: 30 s").waitFor();
  await say(viewer, "慢慢说");
  await note(viewer, "慢速模式").waitFor();
  assert.match(await viewer.textContent("#composer-note"), /^慢速模式：0:(30|2\d) 后可以再次发言$/);
  assert.ok(await viewer.isEnabled("#comment-input"), "one writes while one waits");
  await viewer.fill("#comment-input", "too soon");
  assert.ok(await viewer.isDisabled("#comment-send"));
  await expectFits(viewer, "a slow room");
  // The server knows how long it still is, also for a reader who has come back.
  await viewer.reload();
  await chip(viewer, "慢速：30 秒").waitFor();
  await note(viewer, "慢速模式").waitFor();
  await viewer.screenshot({ path: pictureNamed("slow-zh") });
  await streamer.selectOption("#mode-slow_s", "0");
  await noNote(viewer);
}

async function frozen(streamer, viewer) {
  await streamer.check("#mode-frozen");
  await note(viewer, "主播已开启全员禁言").waitFor();
  assert.ok(await viewer.isDisabled("#comment-input"));
  await streamer.uncheck("#mode-frozen");
  await noNote(viewer);
  assert.ok(await viewer.isEnabled("#comment-input"));
}

async function giftsPaused(streamer, viewer) {
  const gift = viewer.locator(".gift").first();
  await streamer.check("#mode-gifts_paused");
  await chip(viewer, "礼物已暂停").waitFor();
  assert.ok(await gift.isDisabled());
  await streamer.uncheck("#mode-gifts_paused");
  await chip(viewer, "礼物已暂停").waitFor({ state: "detached" });
  assert.ok(await gift.isEnabled());
}

const line = (tab, text, receipt) => chatLine(tab, text).and(tab.locator(`[data-receipt="${receipt}"]`));

/** What the viewer says is refused, and the composer says what to do about it. */
async function expectRefused(viewer, text, why) {
  await say(viewer, text);
  await note(viewer, why).waitFor();
  await line(viewer, text, "failed").waitFor();
  assert.ok(await viewer.isEnabled("#comment-input"), "one may try again at any time");
}

async function followersOnly(streamer, viewer) {
  await streamer.selectOption("#mode-followers_min", "0");
  await chip(viewer, "仅粉丝：所有粉丝").waitFor();
  await chip(streamer, "Followers: Any follower").waitFor();
  await expectRefused(viewer, "路过看看", "关注主播后才能发言");
  assert.equal(await chatLine(streamer, "路过看看").count(), 0, "nobody sees what was refused");
  await expectFits(viewer, "a room for followers");
  await viewer.screenshot({ path: pictureNamed("followers-zh") });
  await chatLine(viewer, "good evening").locator(".who").click();
  await viewer.click("#person-follow");
  await viewer.waitForSelector("#person-unfollow");
  await viewer.keyboard.press("Escape");
  await viewer.waitForSelector("#person-dialog", { state: "hidden" });
  await say(viewer, "已经关注");
  await chatLine(streamer, "已经关注").waitFor();
  await noNote(viewer);
  await streamer.selectOption("#mode-followers_min", "-1");
  await chip(viewer, "仅粉丝").waitFor({ state: "detached" });
}

async function giftersOnly(streamer, viewer) {
  await streamer.selectOption("#mode-gifters_coins", "1");
  await chip(viewer, "需送礼：1 金币").waitFor();
  await expectRefused(viewer, "还没送礼", "送礼后才能发言");
  await expectFits(viewer, "a room for those who gave");
  await viewer.screenshot({ path: pictureNamed("gifters-zh") });
  await viewer.locator(".gift").first().click();
  await streamer.waitForSelector("#chat .gift-line", { state: "attached" });
  await say(viewer, "送完可以说");
  await chatLine(streamer, "送完可以说").waitFor();
  await noNote(viewer);
  await streamer.selectOption("#mode-gifters_coins", "0");
  await chip(viewer, "需送礼").waitFor({ state: "detached" });
}

async function unique(streamer, viewer) {
  await streamer.selectOption("#mode-unique_s", "30");
  await chip(viewer, "禁止重复：30 秒").waitFor();
  await say(viewer, "同一句话");
  await line(viewer, "同一句话", "delivered").waitFor();
  await say(viewer, "同一句话");
  await line(viewer, "同一句话", "failed").waitFor();
  assert.equal(await chatLine(streamer, "同一句话").count(), 1, "a text is shown once");
  await viewer.screenshot({ path: pictureNamed("unique-zh") });
  await streamer.selectOption("#mode-unique_s", "0");
  await chip(viewer, "禁止重复").waitFor({ state: "detached" });
}

async function moderatorsFirst(streamer, viewer) {
  const previewed = streamer.locator("#chat li[data-preview]", { hasText: "等一下再看" });
  await streamer.selectOption("#mode-mod_delay_s", "6");
  await chip(viewer, "延迟：6 秒").waitFor();
  await say(viewer, "等一下再看");
  await previewed.waitFor();
  await line(viewer, "等一下再看", "held").waitFor();
  await expectFits(viewer, "a room in which moderators see first");
  await streamer.screenshot({ path: pictureNamed("preview-en") });
  await line(viewer, "等一下再看", "delivered").waitFor();
  await previewed.waitFor({ state: "detached" });
  for (const tab of [streamer, viewer]) assert.equal(await chatLine(tab, "等一下再看").count(), 1, "it is one line");
  await streamer.selectOption("#mode-mod_delay_s", "0");
  await chip(viewer, "延迟").waitFor({ state: "detached" });
}

async function shield(streamer, viewer) {
  await streamer.check("#mode-shield");
  await chip(viewer, "护盾").waitFor();
  await chip(viewer, "慢速：30 秒").waitFor();
  await chip(viewer, "仅粉丝：10 分钟").waitFor();
  await expectFits(viewer, "a room behind a shield");
  await viewer.screenshot({ path: pictureNamed("shield-zh") });
  await streamer.screenshot({ path: pictureNamed("dialog-en") });
  await streamer.setViewportSize(PHONE);
  await expectFits(streamer, "the dialog of the modes");
  await streamer.setViewportSize(DESKTOP);
  await streamer.uncheck("#mode-shield");
  await viewer.locator("#modes li").first().waitFor({ state: "detached" });
}

async function run(browser) {
  const streamer = await tabOf(browser, STREAMER, { viewport: DESKTOP, locale: "en-US" });
  const viewer = await tabOf(browser, VIEWER, { viewport: PHONE, locale: "zh-CN", hasTouch: true });
  await say(streamer, "good evening");
  await chatLine(viewer, "good evening").waitFor();
  assert.ok(!(await viewer.isVisible("#controls")), "a viewer sets nothing");
  await streamer.click("#open-modes");
  await slow(streamer, viewer);
  await frozen(streamer, viewer);
  await giftsPaused(streamer, viewer);
  await followersOnly(streamer, viewer);
  await giftersOnly(streamer, viewer);
  await unique(streamer, viewer);
  await moderatorsFirst(streamer, viewer);
  await shield(streamer, viewer);
}

await inBrowser(run);
