// The page in a real browser: two tabs, two users, one room.
//
// From the environment: BASE_URL, STREAMER and VIEWER (`name:password`; the streamer owns the live,
// which is on air, and has had no gifts; the viewer can pay the first gift twice, the second three
// times and the fifth once), LIVE_ID, SCREENSHOT (a path) and CHROMIUM (the browser). Others may
// talk meanwhile.

import assert from "node:assert/strict";

import { BASE_URL, DESKTOP, chatLine, enter, inBrowser, logIn, openTab, say } from "./support.mjs";

const { STREAMER, VIEWER, SCREENSHOT } = process.env;
const MARKUP = `<img src=x onerror="document.title='stolen'">`;

const flying = (tab, text) => tab.locator("#danmaku .bullet", { hasText: text });
const coinsOf = async (tab) => Number((await tab.locator("#balance").getAttribute("data-value")) ?? NaN);

/** Waits until the balance is `coins`, and checks that it stays. */
async function expectCoins(tab, coins) {
  await tab.waitForFunction((wanted) => Number(document.querySelector("#balance").dataset.value) === wanted, coins);
  await tab.waitForTimeout(300);
  assert.equal(await coinsOf(tab), coins);
}

/** Cuts the tab's connection once, after a command has gone out and before its answer comes in. */
async function cuttable(tab) {
  let cutAfter = null;
  await tab.routeWebSocket(/\/ws\?/, (page) => {
    const server = page.connectToServer();
    let deaf = false;
    page.onMessage((text) => {
      server.send(text);
      if (cutAfter !== null && JSON.parse(text).event === cutAfter) {
        cutAfter = null;
        deaf = true;
      }
    });
    server.onMessage((text) => {
      if (!deaf) page.send(text);
      // The first thing the server says after it: the command has been handled.
      else page.close({ code: 1001, reason: "test" });
    });
  });
  return { cutAfterNext: (event) => { cutAfter = event; } };
}

async function run(browser) {
  const context = await browser.newContext({ viewport: DESKTOP, locale: "en-US" });
  // One browser, two tabs, two logins.
  const streamer = await openTab(context, "streamer");
  const viewer = await openTab(context, "viewer");
  const line = await cuttable(viewer);
  for (const tab of [streamer, viewer]) await tab.goto(BASE_URL);
  await logIn(streamer, STREAMER);
  await logIn(viewer, VIEWER);
  await enter(streamer);
  await enter(viewer);
  for (const tab of [streamer, viewer]) {
    await tab.click("#tab-online");
    for (const login of [STREAMER, VIEWER]) {
      await tab.locator("#online-list li", { hasText: login.split(":")[0] }).waitFor();
    }
    await tab.click("#tab-chat");
  }
  assert.ok(await streamer.isVisible("#controls"), "the streamer has controls");
  assert.ok(!(await viewer.isVisible("#controls")), "a viewer has none");

  // A comment is in both chats, flies over both stages, and its sender sees that it was delivered.
  await say(viewer, "hello from the other tab");
  for (const tab of [streamer, viewer]) {
    await chatLine(tab, "hello from the other tab").waitFor();
    await flying(tab, "hello from the other tab").waitFor({ state: "attached" });
  }
  await viewer.waitForSelector('#chat li[data-receipt="delivered"]');
  assert.equal(await chatLine(viewer, "hello from the other tab").count(), 1, "one's own comment is one line");
  await say(streamer, "主播在这里，晚上好！");
  await chatLine(viewer, "主播在这里，晚上好！").locator(".role").waitFor();

  // A gift costs its price, and both see it fly.
  const gift = viewer.locator(".gift").first();
  const price = Number(await gift.locator(".price").textContent());
  const before = await coinsOf(viewer);
  const flights = Promise.all([streamer, viewer].map((tab) => tab.waitForSelector(".gift-flight", { state: "attached" })));
  await gift.click();
  await flights;
  for (const tab of [streamer, viewer]) {
    await tab.waitForSelector(".gift-banner");
    await tab.waitForSelector("#chat .gift-line");
  }
  await expectCoins(viewer, before - price);
  await streamer.waitForFunction((coins) => Number(document.querySelector("#live-coin").dataset.value) === coins, price);

  // What the picture shows: talk, a combo and a gift that takes the whole stage.
  for (const text of ["first time here, this is lovely", "打卡打卡", "can you play that again?"]) await say(viewer, text);
  for (const text of ["欢迎大家", "thank you for the rose!"]) await say(streamer, text);
  await chatLine(viewer, "thank you for the rose!").waitFor();
  const [combo, grand] = [viewer.locator(".gift").nth(1), viewer.locator(".gift").nth(4)];
  const spent = 3 * Number(await combo.locator(".price").textContent()) + Number(await grand.locator(".price").textContent());
  for (let i = 0; i < 3; i++) await combo.click();
  await grand.click();
  await viewer.locator(".gift-banner .combo", { hasText: "×3" }).waitFor();
  await viewer.locator(".gift-flight.grand").waitFor({ state: "attached" });
  await viewer.waitForTimeout(600);
  await viewer.screenshot({ path: SCREENSHOT });
  const left = before - price - spent;
  await expectCoins(viewer, left);

  // Markup is text.
  await say(viewer, MARKUP);
  await chatLine(streamer, MARKUP).waitFor();
  assert.equal(await streamer.locator('img[src="x"], img[onerror]').count(), 0);
  assert.notEqual(await streamer.title(), "stolen");

  // No picture address leads to another host, whatever a browser makes of it.
  const foreign = ["//evil.example/x", "/\\evil.example/x", "/\t/evil.example/x", "/\n\\evil.example/x", "/\r//evil.example/x",
    "\\\\evil.example/x", "https://evil.example/x", "javascript:alert(1)", " //evil.example/x", "", "x.png", null, 7, ["/x.png"]];
  const own = ["/x.png", "/a/b.png?c=//d", "/a/../x.png", "/.//evil.example/x", "/%5cevil.example/x", "/\u5c0f.png"];
  const pictures = await viewer.evaluate(async (addresses) => {
    const { localPicture } = await import("/assets/dom.js");
    const hostOf = (address) => (address === null ? null : new URL(address, location.href).host);
    return addresses.map((address) => hostOf(localPicture(address)));
  }, [...foreign, ...own]);
  assert.deepEqual(pictures, [...foreign.map(() => null), ...own.map(() => new URL(BASE_URL).host)]);

  // The connection breaks after a gift was taken and before the answer: the page comes back, asks
  // again with the same number, and has paid once.
  line.cutAfterNext("gift");
  await gift.click();
  await viewer.waitForSelector('#connection:not([data-state="open"])');
  await viewer.waitForSelector("#connection[data-state=open]");
  await expectCoins(viewer, left - price);
  line.cutAfterNext("comment");
  await say(viewer, "said once");
  await viewer.waitForSelector('#connection:not([data-state="open"])');
  await viewer.waitForSelector("#connection[data-state=open]");
  await chatLine(viewer, "said once").and(viewer.locator('[data-receipt="delivered"]')).waitFor();
  assert.equal(await chatLine(streamer, "said once").count(), 1, "a repeated comment is one comment");

  // The streamer pauses and goes on; everybody's badge follows.
  for (const [button, status] of [["#live-pause", "2"], ["#live-play", "1"]]) {
    await streamer.click(button);
    for (const tab of [streamer, viewer]) await tab.waitForSelector(`#live-status[data-status="${status}"]`);
  }

  await viewer.click("#language");
  assert.equal(await viewer.textContent("#tab-chat"), "聊天");
  await viewer.setViewportSize({ width: 390, height: 844 });
  const overflow = await viewer.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `a phone needs no sideways scrolling: ${overflow} px`);

  await streamer.click("#live-stop");
  await streamer.click("#confirm-end");
  await viewer.waitForSelector('#live-status[data-status="3"]');
  assert.ok(await viewer.isDisabled("#comment-input"), "an ended room takes no comments");
}

await inBrowser(run);
