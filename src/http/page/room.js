// One room: joins it, keeps its place in the order of events, and hands events to what draws them.

import { api, ApiError, token } from "./api.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { Controls } from "./controls.js";
import { Danmaku } from "./danmaku.js";
import { avatar, byId, hueOf, rollTo, toast } from "./dom.js";
import { GiftDock, GiftShow } from "./gifts.js";
import { formatCount, onLanguageChange, refusalText, t, untilText } from "./i18n.js";
import { newRequestId } from "./ids.js";
import { Modes } from "./modes.js";
import { listenForNames } from "./names.js";
import { StageNotice } from "./notice.js";
import { Outbox } from "./outbox.js";
import { OwnComments } from "./own_comments.js";
import { People } from "./people.js";
import { PersonCard } from "./person_card.js";
import { Pinned } from "./pinned.js";
import { Presence } from "./presence.js";
import { ConnectionLost, LiveSocket } from "./socket.js";
import { Queue } from "./queue.js";
import { Stage } from "./stage.js";
import { Standing } from "./standing.js";

const SCHEDULED = 0;
const PAUSED = 2;
const ENDED = 3;
/** How often a room that has not started is looked at. */
const START_POLL_MS = 3_000;
/** Comments of the history that are shown to a reader who comes in. */
const HISTORY_COMMENTS = 50;
const RATE_SHOWN_MS = 5_000;
const RETRY_MS_DEFAULT = 2_000;
/** Refusals that say that the gifts on show are not those on sale. */
const CATALOGUE_CHANGED = new Set(["gift_not_found", "gift_withdrawn", "gift_price_changed"]);

export class Room {
  #account;
  #showConnection;
  #people = new People((userId) => this.#drawRoles(userId));
  #chat = new Chat(this.#people);
  #presence = new Presence(this.#people);
  #card = new PersonCard(this.#people, (event, data) => this.#act(event, data), () => this.#standing.read());
  #pinned = new Pinned(this.#people, () => this.#unpin(), (person) => this.#card.open(this.#live, person));
  #queue = new Queue((event, data) => this.#act(event, data), (person) => this.#card.open(this.#live, person));
  #modes = new Modes((change) => this.#act("setModes", change));
  #danmaku = new Danmaku(byId("danmaku"));
  #stage = new Stage(byId("stage-canvas"));
  #notice = new StageNotice(() => this.#comeBack());
  #giftShow = new GiftShow(this.#stage);
  #composer = new Composer((text) => this.#comment(text, newRequestId()));
  #standing = new Standing(this.#composer);
  #controls = new Controls((status) => this.#setStatus(status));
  #dock;
  #gifts = [];
  #socket = null;
  #outbox = null;
  #ownComments = null;
  #live = null;
  /** Where we are in the room's events; `since` of the next join. */
  #position = null;
  #startTimer = 0;
  #joinTimer = 0;
  #rateTimer = 0;
  /** Counts visits: what was asked for in an earlier one is ignored when it arrives. */
  #visit = 0;

  /** `showConnection(state, {retryMs})` draws the state of the connection. */
  constructor(account, showConnection) {
    this.#account = account;
    this.#showConnection = showConnection;
    this.#dock = new GiftDock((gift, num) => this.#give(gift, num), () => this.#spendable());
    account.onChange(() => this.#dock.refresh());
    onLanguageChange(() => {
      this.#dock.show(this.#gifts);
      this.#drawRoles(null);
      if (this.#live) this.#drawStatus();
    });
    for (const list of [byId("chat"), byId("online-list")]) {
      listenForNames(list, (person) => this.#live && this.#card.open(this.#live, person));
    }
    byId("danmaku-toggle").addEventListener("click", ({ currentTarget }) => {
      this.#danmaku.enabled = !this.#danmaku.enabled;
      currentTarget.setAttribute("aria-pressed", String(this.#danmaku.enabled));
      if (!this.#danmaku.enabled) this.#danmaku.clear();
    });
  }

  async open(liveId) {
    this.close();
    const visit = ++this.#visit;
    this.#stage.start(hueOf(`room-${liveId}`));
    try {
      const [{ data: live, sign }, gifts] = await Promise.all([api.live(liveId), api.gifts()]);
      if (visit !== this.#visit) return;
      this.#gifts = gifts;
      this.#enter(live, sign);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (visit !== this.#visit) return;
      if (error.status === 0 || error.status >= 500) this.#startTimer = setTimeout(() => this.open(liveId), START_POLL_MS);
      this.#notice.show(refusalText(error));
    }
  }

  /** Leaves the room; the connection goes with it. */
  close() {
    this.#visit++;
    for (const timer of [this.#startTimer, this.#joinTimer, this.#rateTimer]) clearTimeout(timer);
    if (this.#socket && this.#live) this.#socket.request("leaveLive", { live_id: this.#live.id }).catch(() => {});
    this.#disconnect();
    const outbox = this.#outbox;
    this.#outbox = null;
    outbox?.refuseAll({ ok: false, code: "not_in_room" });
    this.#live = null;
    this.#stage.stop();
    this.#danmaku.clear();
    this.#giftShow.clear();
    this.#chat.clear();
    this.#controls.open(null, null);
    this.#card.close();
    this.#pinned.show(null);
    this.#modes.close();
    this.#queue.open(null);
    this.#standing.open(null);
    this.#composer.setOpen(false);
    this.#notice.show(null);
    byId("stage-orb").replaceChildren();
    byId("rate").hidden = true;
  }

  reconnect() {
    this.#socket?.reconnect();
  }

  drawPresence() {
    this.#presence.draw();
  }

  #enter(live, sign) {
    this.#live = live;
    this.#position = null;
    this.#ownComments = new OwnComments(this.#chat);
    this.#outbox = new Outbox((event, data) => this.#socket?.request(event, data) ?? Promise.reject(new ConnectionLost()), () => this.#join());
    this.#people.open(this.#account.user.id, live.user_id);
    this.#presence.open();
    this.#queue.open(live.id);
    this.#standing.open(live.id);
    this.#dock.show(this.#gifts);
    this.#controls.open(this.#people.isStreamer ? live : null, sign);
    const streamer = { id: live.user_id, name: live.user?.username, avatar: live.user?.avatar };
    byId("streamer-avatar").replaceChildren(avatar(streamer));
    byId("stage-orb").replaceChildren(avatar(streamer));
    byId("streamer-name").textContent = streamer.name ?? "";
    delete byId("live-coin").dataset.value;
    this.#setFacts(live);
    this.#setStatus(live.status);
  }

  #isOpen() {
    return this.#live !== null && this.#live.status !== SCHEDULED && this.#live.status !== ENDED;
  }

  #spendable() {
    return this.#isOpen() && !this.#modes.current.gifts_paused ? this.#account.spendable : 0;
  }

  #setFacts({ title = this.#live.title, coin = this.#live.coin, look_count = this.#live.look_count }) {
    // Gifts only add, and an answer may overtake an event.
    Object.assign(this.#live, { title, coin: Math.max(coin, this.#live.coin), look_count });
    byId("live-title").textContent = title;
    document.title = `${title} · liveroom`;
    byId("look-count").textContent = formatCount(look_count);
    rollTo(byId("live-coin"), this.#live.coin, formatCount);
  }

  #setStatus(status) {
    if (!this.#live) return;
    this.#live.status = status;
    this.#drawStatus();
    clearTimeout(this.#startTimer);
    if (status === SCHEDULED) {
      this.#startTimer = setTimeout(() => this.#waitForStart(), START_POLL_MS);
    } else if (status === ENDED) {
      this.#outbox.refuseAll({ ok: false, code: "live_ended" });
      this.#disconnect();
    } else if (!this.#socket) {
      this.#connect();
    }
  }

  #drawStatus() {
    const { status, look_count, coin } = this.#live;
    byId("stage").dataset.status = status;
    byId("live-status").dataset.status = status;
    byId("live-status").textContent = t(`status${status}`);
    this.#controls.draw();
    this.#composer.setOpen(this.#isOpen());
    this.#dock.refresh();
    if (status === SCHEDULED) this.#notice.show(t("notice0"), t(this.#people.isStreamer ? "notice0Owner" : "notice0Text"));
    else if (status === PAUSED) this.#notice.show(t("notice2"), t("notice2Text"));
    else if (status === ENDED) this.#notice.show(t("notice3"), t("notice3Text", { views: formatCount(look_count), coins: formatCount(coin) }));
    else this.#notice.show(null);
  }

  async #waitForStart() {
    const visit = this.#visit;
    const answer = await api.live(this.#live.id).catch(() => null);
    if (visit === this.#visit && this.#live.status === SCHEDULED) this.#setStatus(answer?.data.status ?? SCHEDULED);
  }

  #connect() {
    this.#socket = new LiveSocket(token.get(), {
      onState: (state, details) => {
        if (state !== "open") this.#outbox?.suspend();
        this.#showConnection(state, details);
      },
      onOpen: () => this.#join(),
      onEvent: (name, data) => this.#receive(name, data),
      onFail: (text) => toast(refusalText({ message: text }), { tone: "bad" }),
      onFinal: (code) => (code === 3009 ? this.#notice.show(t("kicked")) : this.#account.refresh()),
    });
    this.#socket.connect();
  }

  #comeBack() {
    this.#drawStatus();
    if (!this.#socket) this.#connect();
  }

  #disconnect() {
    this.#socket?.close();
    this.#socket = null;
    this.#showConnection("none", {});
  }

  async #join() {
    const visit = this.#visit;
    clearTimeout(this.#joinTimer);
    let answer;
    try {
      answer = await this.#socket.request("joinLive", { live_id: this.#live.id, ...(this.#position && { since: this.#position }) });
    } catch (error) {
      // The socket says when it is open again.
      if (error instanceof ConnectionLost) return;
      throw error;
    }
    if (visit !== this.#visit || !this.#socket) return;
    if (!answer.ok) return this.#joinRefused(answer);
    const { epoch, offset, recovered, count, live } = answer;
    const missed = this.#position && (this.#position.epoch !== epoch || this.#position.offset < offset);
    if (missed && !recovered) this.#chat.system(t("gapNotice"));
    if (missed ? !recovered : !this.#position) this.#readHistory();
    // Later the room says what changes. What changed while the reader was away, a refusal says.
    if (!this.#position) this.#standing.read();
    // When recovering, the missed events follow, and each moves the position itself.
    if (!recovered) this.#position = { epoch, offset };
    this.#presence.setCount(count);
    this.#people.joined(answer);
    this.#setFacts(live ?? {});
    this.#pinned.show(answer.pinned ?? null);
    this.#setModes(answer.modes);
    if (live && live.status !== this.#live.status) this.#setStatus(live.status);
    this.#outbox.resume();
    // Coins may have been added while we were away.
    this.#account.refresh();
  }

  /**
   * Shows what was said before. Asked for after the join: what is said from then on arrives as
   * events, and what the history has of it is not shown twice.
   */
  async #readHistory() {
    const visit = this.#visit;
    const fill = this.#chat.gap();
    // Without it the room works all the same.
    const comments = await api.history(this.#live.id, HISTORY_COMMENTS).catch(() => []);
    if (visit !== this.#visit) return;
    fill(comments);
  }

  #joinRefused(answer) {
    if (answer.code === "live_not_started") return this.#setStatus(SCHEDULED), this.#disconnect();
    if (answer.code === "live_ended") return this.#setStatus(ENDED);
    if (answer.code === "rate_limited" || answer.code === "busy") {
      this.#joinTimer = setTimeout(() => this.#socket && this.#join(), answer.retry_after_ms ?? RETRY_MS_DEFAULT);
      return toast(refusalText(answer), { tone: "bad", retryAfterMs: answer.retry_after_ms ?? RETRY_MS_DEFAULT });
    }
    if (answer.code === "banned" || answer.code === "kicked") return this.#keptOut(answer);
    this.#notice.show(refusalText(answer));
    this.#disconnect();
    if (["unauthorized", "token_invalid", "token_expired", "user_disabled"].includes(answer.code)) this.#account.forget();
  }

  #receive(name, data) {
    if (!this.#live || (data.live_id !== undefined && Number(data.live_id) !== this.#live.id)) return;
    if (Number.isInteger(data.offset)) {
      const known = this.#position;
      if (known?.epoch === data.epoch && data.offset <= known.offset) return;
      this.#position = { epoch: data.epoch, offset: data.offset };
    }
    switch (name) {
      case "online": return this.#online(data);
      case "comment": return this.#commented(data);
      case "gift": return this.#gifted(data);
      case "live": return this.#setFacts({ title: data.title }), this.#setStatus(data.status);
      case "notice": return this.#chat.system(data.text, "notice");
      case "removed": return this.#removed(data.ids ?? [data.id]);
      case "held": return this.#queue.held(data);
      case "preview": return this.#chat.preview(data.comment);
      case "reported": return this.#queue.reported();
      case "comment_denied": return this.#ownComments.denied(data);
      case "pinned": return this.#pinned.show(data.comment);
      case "modes": return this.#setModes(data);
      case "rate": return this.#rate(data);
      case "kicked": return this.#kicked(data);
      case "role": return this.#people.changed(data);
      case "muted": return this.#standing.muted(data);
      case "unmuted": return this.#standing.over("muted");
      case "error": return toast(refusalText(data), { tone: "bad", retryAfterMs: data.retry_after_ms });
    }
  }

  #online(data) {
    // Everybody here has looked, and views are counted a moment later than joins.
    if (data.count > this.#live.look_count) this.#setFacts({ look_count: data.count });
    const isNew = this.#presence.update(data);
    if (isNew) this.#chat.entered(data.user);
  }

  #commented({ id, at, user, content }) {
    this.#queue.settled([id]);
    const own = user.id === this.#account.user?.id;
    const streamer = this.#people.roleOf(user.id) === "streamer";
    this.#danmaku.push(content, { own, tone: streamer ? "streamer-says" : "" });
    this.#stage.excite(0.05);
    const line = { id, at, user, content };
    if (own) this.#ownComments.announced(line);
    else this.#chat.comment(line);
  }

  #gifted(data) {
    const user = data.user ?? { name: data.username, avatar: data.avatar };
    const price = data.gift_coin ?? this.#gifts.find((gift) => gift.id === data.gift_id)?.coin ?? 0;
    const gift = { user, giftId: data.gift_id, name: data.gift_name, image: data.gift_image, num: data.num, coins: price * data.num };
    this.#giftShow.arrive(gift);
    this.#chat.gift(gift);
    if (Number.isFinite(data.live_coin)) this.#setFacts({ coin: data.live_coin });
  }

  #rate({ shown, total }) {
    byId("rate").textContent = t("rate", { shown, total });
    byId("rate").hidden = shown >= total;
    clearTimeout(this.#rateTimer);
    this.#rateTimer = setTimeout(() => { byId("rate").hidden = true; }, RATE_SHOWN_MS);
  }

  #kicked({ code, until, reason }) {
    // The room was opened anew, and forgot who was in it.
    if (code === "room_restarted") return this.#join();
    if (code === "identity_changed") return this.#disconnect();
    this.#keptOut({ code, until_ms: until, reason, retry_after_ms: until - Date.now() });
  }

  /** Says until when and why the reader may not be here. Who was removed for a moment comes back by a button. */
  async #keptOut({ code, until_ms, reason, retry_after_ms }) {
    const visit = this.#visit;
    this.#card.close();
    this.#outbox.refuseAll({ ok: false, code });
    this.#disconnect();
    this.#composer.setOpen(false);
    this.#standing.open(null);
    this.#danmaku.clear();
    this.#giftShow.clear();
    if (code === "kicked") return this.#notice.kicked(retry_after_ms);
    const draw = (why) => this.#notice.show(t("bannedTitle"), [untilText(until_ms), why].filter(Boolean).join(" · "));
    draw(reason);
    // Who is banned does not read the room.
    this.#pinned.show(null);
    this.#setModes(undefined);
    this.#chat.clear();
    this.#presence.open();
    if (reason !== undefined) return;
    // The refusal of a join does not say why.
    const me = await api.me(this.#live.id).catch(() => null);
    if (visit === this.#visit && !this.#socket) draw(me?.checks.find((check) => check.code === "banned")?.reason);
  }

  /** Sends a command about the live; resolves with its answer. */
  #act(event, data) {
    const command = { live_id: this.#live.id, ...data, request_id: newRequestId() };
    return new Promise((done) => (this.#outbox ? this.#outbox.submit(event, command, { done }) : done({ ok: false, code: "not_in_room" })));
  }

  #removed(ids) {
    for (const id of ids) this.#chat.remove(id);
    this.#pinned.removed(ids);
    this.#queue.settled(ids);
  }

  async #unpin() {
    const answer = await this.#act("pin", { comment_id: null });
    if (!answer.ok) toast(refusalText(answer), { tone: "bad" });
  }

  #setModes(modes) {
    this.#modes.show(modes);
    this.#ruleChanged();
    this.#dock.refresh();
  }

  /** What the reader may do here depends on its role and on the modes. */
  #ruleChanged() {
    const { isModerator } = this.#people;
    this.#controls.setModerator(this.#live !== null && isModerator && this.#modes.isKnown);
    this.#queue.setModerator(this.#live !== null && isModerator);
    this.#standing.modesChanged(this.#modes.current, isModerator);
  }

  #drawRoles(userId) {
    this.#ruleChanged();
    this.#pinned.draw();
    this.#chat.drawRoles(userId);
    this.#presence.draw();
    this.#card.draw();
  }

  #comment(text, requestId) {
    const line = { user: this.#account.profile, content: text };
    // A refused comment had no effect, and one whose fate is unknown must keep its id: both retry with the same.
    const receipt = this.#ownComments.sent({ ...line, retry: () => this.#outbox && this.#comment(text, requestId) });
    this.#outbox.submit("comment", { live_id: this.#live.id, data: text, request_id: requestId }, {
      done: (answer) => {
        receipt.answered(answer);
        if (answer.ok) this.#standing.spoke(this.#modes.current, this.#people.isModerator);
        else this.#refused(answer);
      },
    });
  }

  #give(gift, num) {
    const coins = gift.coin * num;
    this.#account.reserve(coins);
    this.#outbox.submit("gift", { live_id: this.#live.id, gift_id: gift.id, num, coin: gift.coin, request_id: newRequestId() }, {
      broken: () => toast(t("giftUnknown"), { key: "gift-unknown" }),
      done: (answer) => {
        this.#account.release(coins);
        if (answer.ok) this.#account.setCoin(answer.coin);
        else this.#refused(answer);
      },
    });
  }

  #refused(answer) {
    // Leaving the room settles what was still waiting; that is no news to the reader.
    if (!this.#outbox) return;
    if (this.#standing.refused(answer)) return;
    toast(refusalText(answer), { tone: "bad", retryAfterMs: answer.retry_after_ms, key: answer.code });
    if (answer.code === "coins_insufficient") this.#account.refresh();
    if (CATALOGUE_CHANGED.has(answer.code)) this.#reloadGifts();
  }

  /** Shows the gifts that are on sale now, at their prices. */
  async #reloadGifts() {
    const visit = this.#visit;
    try {
      const gifts = await api.gifts();
      if (visit !== this.#visit) return;
      this.#gifts = gifts;
      this.#dock.show(gifts);
    } catch (error) {
      // The next refusal asks again.
      if (!(error instanceof ApiError)) throw error;
    }
  }
}
