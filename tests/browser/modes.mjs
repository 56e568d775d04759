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
  await shield(streamer, viewer);
}

await inBrowser(run);
