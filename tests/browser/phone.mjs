// The page on a phone of 360 x 640: every view fits its width, in both languages.
//
// From the environment, beside what support.mjs needs: STREAMER (`name:password`; it owns the live,
// which is on air, and is rich) and SCREENSHOT (a path).

import { BASE_URL, PHONE, enter, expectFits, inBrowser, logIn, openTab, pictureNamed } from "./support.mjs";

const { STREAMER } = process.env;

/** Opens a dialog by a button, looks at it and closes it. */
async function lookAtDialog(tab, button, dialog) {
  await tab.click(button);
  await tab.waitForSelector(`${dialog}[open]`);
  await expectFits(tab, dialog);
  await tab.keyboard.press("Escape");
  await tab.waitForSelector(dialog, { state: "hidden" });
}

/** Returns how to end the tab's connection as a server does. */
async function endable(tab) {
  let end;
  await tab.routeWebSocket(/\/ws\?/, (page) => {
    page.connectToServer();
    end = (code, reason) => page.close({ code, reason });
  });
  return (code, reason) => end(code, reason);
}

/** What the bar says without a connection is the widest it ever says. */
async function lookAtLostConnection(tab, end) {
  await end(3503, "overloaded retry_after_ms=50000");
  await tab.waitForSelector("#connection[data-state=waiting]");
  await expectFits(tab, "a room that waits for its connection");
  await tab.evaluate(() => dispatchEvent(new Event("online")));
  await tab.waitForSelector("#connection[data-state=open]");
  await end(3010, "connected from another device");
  await tab.waitForSelector("#connection[data-state=stopped]");
  await expectFits(tab, "a room whose connection ended for good");
}

async function run(browser) {
  for (const locale of ["en-US", "zh-CN"]) {
    const context = await browser.newContext({ viewport: PHONE, locale, hasTouch: true });
    const tab = await openTab(context, locale);
    const end = await endable(tab);
    await tab.goto(BASE_URL);
    await tab.waitForSelector(".live-card");
    await expectFits(tab, `${locale}: the list without a login`);
    await lookAtDialog(tab, "#open-login", "#login-dialog");
    await logIn(tab, STREAMER);
    await expectFits(tab, `${locale}: the list`);
    await lookAtDialog(tab, "#open-create", "#create-dialog");

    await enter(tab);
    await tab.waitForSelector("#controls");
    await expectFits(tab, `${locale}: the room of a streamer`);
    await lookAtDialog(tab, "#open-address", "#address-dialog");
    await lookAtDialog(tab, "#live-stop", "#confirm-dialog");
    await tab.click("#tab-online");
    await tab.waitForSelector("#online-list li");
    await expectFits(tab, `${locale}: who is online`);
    await tab.click("#tab-chat");
    await tab.screenshot({ path: pictureNamed(locale) });
    await lookAtLostConnection(tab, end);
    await context.close();
  }
}

await inBrowser(run);
