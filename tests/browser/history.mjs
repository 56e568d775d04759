// Who comes in sees what was said before, each comment once and in its place.
//
// From the environment, beside what support.mjs needs: STREAMER (`name:password`; it owns the live,
// which is on air) and VIEWER.

import assert from "node:assert/strict";

import { BASE_URL, Guest, LIVE_ID, PHONE, chatLine, enter, inBrowser, logIn, openTab, operate, say } from "./support.mjs";

const { STREAMER, VIEWER } = process.env;
/** The page asks for 50. */
const SAID = Array.from({ length: 60 }, (_, index) => `said before ${String(index).padStart(2, "0")}`);

/** The comments on show, from the oldest. Lines about who came in are none. */
const comments = (tab) => tab.locator("#chat li:has(.who)").evaluateAll((lines) => lines.map((line) => line.querySelector(".text").textContent));
const takeDown = (id) => operate("DELETE", `/rooms/${LIVE_ID}/comments/${id}`);

/** Holds the answers to the tab's reading of the history back until they are let through. */
async function heldHistory(tab) {
  let letThrough;
  let arrived;
  const isArrived = new Promise((resolve) => { arrived = resolve; });
  const isLetThrough = new Promise((resolve) => { letThrough = resolve; });
  await tab.route("**/history?*", async (route) => {
    const response = await route.fetch();
    arrived();
    await isLetThrough;
    await route.fulfill({ response });
  });
  return { isArrived, letThrough };
}

async function expectComments(tab, expected) {
  await tab.waitForFunction((count) => document.querySelectorAll("#chat li:has(.who)").length >= count, expected.length);
  assert.deepEqual(await comments(tab), expected);
}

async function run(browser) {
  const context = await browser.newContext({ viewport: PHONE, locale: "en-US" });
  const streamer = await Guest.enter(STREAMER);
  const ids = [];
  for (const text of SAID) ids.push(await streamer.say(text));
  await takeDown(ids[40]);

  // The newest 50 that were not removed, in order, and the reader is at the end of them.
  const tab = await openTab(context, "viewer");
  await tab.goto(BASE_URL);
  await logIn(tab, VIEWER);
  await enter(tab);
  const before = SAID.filter((_, index) => index !== 40).slice(-50);
  await expectComments(tab, before);
  await tab.waitForFunction(() => {
    const list = document.querySelector("#chat");
    return list.scrollHeight > list.clientHeight && list.scrollTop + list.clientHeight >= list.scrollHeight - 2;
  });
  assert.ok(await chatLine(tab, before[0]).locator(".role").isVisible(), "the streamer is marked in the history too");

  // What is said from then on comes once, and a removal reaches what the history brought.
  await streamer.say("said live");
  await say(tab, "mine");
  await tab.waitForSelector('#chat li[data-receipt="delivered"]');
  await takeDown(ids[59]);
  await chatLine(tab, SAID[59]).waitFor({ state: "detached" });
  await expectComments(tab, [...before.slice(0, -1), "said live", "mine"]);

  // The answer of the history is late: it has what came as events meanwhile, one's own comment, and
  // one that is removed by now.
  const held = await heldHistory(tab);
  await tab.reload();
  await tab.waitForSelector("#connection[data-state=open]");
  await tab.waitForFunction(() => !document.querySelector("#comment-input").disabled);
  await held.isArrived;
  await streamer.say("said while it was read");
  await say(tab, "mine again");
  await chatLine(tab, "said while it was read").waitFor();
  await tab.waitForSelector('#chat li[data-receipt="delivered"]');
  await takeDown(ids[58]);
  await streamer.say("said after the removal");
  await chatLine(tab, "said after the removal").waitFor();
  held.letThrough();
  const known = [...before.slice(0, -1), "said live", "mine"].slice(-50).filter((text) => text !== SAID[58]);
  const meanwhile = ["said while it was read", "mine again", "said after the removal"];
  await chatLine(tab, SAID[57]).waitFor();
  const shown = await comments(tab);
  // The own comment and the other are in the order of the room; the receipt may draw one's own first.
  assert.deepEqual(shown.slice(0, known.length), known);
  assert.deepEqual(shown.slice(known.length).toSorted(), meanwhile.toSorted());
  streamer.leave();
}

await inBrowser(run);
