// What waits for moderators: reported comments, and comments that are held for review.
//
// From the environment, beside what support.mjs needs: STREAMER (`name:password`; it owns the live,
// which is on air), VIEWER, TALKER (whose comments with the word "dubious" are held) and SCREENSHOT.

import assert from "node:assert/strict";

import { DESKTOP, PHONE, chatLine, expectFits, inBrowser, pictureNamed, say, tabOf } from "./support.mjs";

const { STREAMER, VIEWER, TALKER } = process.env;
const row = (tab, text) => tab.locator("#review-list li", { hasText: text });

async function expectWaiting(streamer, count) {
  await streamer.waitForFunction((wanted) => document.querySelector("#review-count").textContent === String(wanted), count);
}

async function report(viewer, text) {
  await chatLine(viewer, text).locator(".who").click();
  await viewer.waitForSelector("#person-report-send");
  await expectFits(viewer, "the card with a report");
  await viewer.click("#person-report-send");
  await viewer.waitForSelector("#person-dialog", { state: "hidden" });
}

async function reports(streamer, viewer, talker) {
  for (const text of ["look at my shop", "a harmless line"]) {
    await say(talker, text);
    await chatLine(viewer, text).waitFor();
    await report(viewer, text);
  }
  await row(streamer, "look at my shop").filter({ hasText: "Reports: 1 · 广告" }).waitFor();
  await row(streamer, "a harmless line").waitFor();
  await expectWaiting(streamer, 2);
  await streamer.screenshot({ path: pictureNamed("reports-en") });
  await row(streamer, "look at my shop").locator("button", { hasText: "Delete comment" }).click();
  await chatLine(viewer, "look at my shop").waitFor({ state: "detached" });
  await row(streamer, "a harmless line").locator("button", { hasText: "Dismiss" }).click();
  await expectWaiting(streamer, 0);
  assert.ok(await chatLine(viewer, "a harmless line").isVisible(), "a report that is dismissed takes nothing down");
}

async function held(streamer, viewer, talker) {
  for (const text of ["dubious but fine", "dubious and bad"]) await say(talker, text);
  for (const text of ["dubious but fine", "dubious and bad"]) {
    await chatLine(talker, text).and(talker.locator('[data-receipt="held"]')).waitFor();
    await row(streamer, text).filter({ hasText: "Held: a word" }).waitFor();
  }
  await streamer.setViewportSize(PHONE);
  await expectFits(streamer, "the list of what waits");
  await streamer.screenshot({ path: pictureNamed("held-en") });
  await streamer.setViewportSize(DESKTOP);
  await say(talker, "said later");
  await chatLine(viewer, "said later").waitFor();
  assert.equal(await chatLine(viewer, "dubious").count(), 0, "nobody else sees what is held");

  await row(streamer, "dubious but fine").locator("button", { hasText: "Approve" }).click();
  await chatLine(viewer, "dubious but fine").waitFor();
  await chatLine(talker, "dubious but fine").and(talker.locator('[data-receipt="delivered"]')).waitFor();
  assert.equal(await chatLine(talker, "dubious but fine").count(), 1, "one's own comment is one line");
  assert.match(await talker.locator("#chat li").last().textContent(), /dubious but fine/, "it stands where it was shown");
  await row(streamer, "dubious and bad").locator("button", { hasText: "Deny" }).click();
  await chatLine(talker, "dubious and bad").and(talker.locator('[data-receipt="failed"]')).waitFor();
  await expectWaiting(streamer, 0);

  // Who comes later reads what still waits.
  await say(talker, "dubious again");
  await row(streamer, "dubious again").waitFor();
  await streamer.reload();
  await expectWaiting(streamer, 1);
}

async function run(browser) {
  const streamer = await tabOf(browser, STREAMER, { viewport: DESKTOP, locale: "en-US" });
  const viewer = await tabOf(browser, VIEWER, { viewport: PHONE, locale: "zh-CN", hasTouch: true });
  const talker = await tabOf(browser, TALKER, { viewport: PHONE, locale: "zh-CN", hasTouch: true });
  assert.ok(!(await viewer.isVisible("#tab-review")), "a viewer reviews nothing");
  await streamer.click("#tab-review");
  await reports(streamer, viewer, talker);
  await held(streamer, viewer, talker);
}

await inBrowser(run);
