// The gift catalogue: new gifts, prices, and what is on sale.

import { act } from "./act.js";
import { change, read } from "./admin.js";
import { localPicture, make } from "./dom.js";
import { countText } from "./format.js";
import { t } from "./i18n.js";
import { may } from "./session.js";
import { Table } from "./table.js";
import { Trouble, button, card, mark, time } from "./ui.js";

const NAME_CHARS_MAX = 50;
const IMAGE_CHARS_MAX = 500;

export function giftsPage(host) {
  const trouble = new Trouble();
  const table = new Table({
    caption: t("gifts"), name: "gifts", keyOf: (row) => row.id, columns: [
      { title: t("gift"), wide: true, text: (row) => `${row.id} ${row.name} ${row.image}`, node: giftCell },
      { title: t("price"), numeric: true, text: (row) => countText(row.coin) },
      { title: t("state"), text: (row) => row.on_sale, node: (row) => mark(t(row.on_sale ? "onSale" : "withdrawn"), row.on_sale ? "good" : "") },
      { title: t("changed"), text: (row) => row.updated_at_ms ?? "", node: (row) => time(row.updated_at_ms) },
      ...(may("operate") ? [{ title: t("acts"), text: (row) => JSON.stringify(row), node: giftActs }] : []),
    ],
  });

  async function refresh() {
    try {
      const { gifts } = await read("/gifts");
      trouble.clear();
      table.draw(gifts);
    } catch (error) {
      trouble.show(error, refresh);
    }
  }

  const then = async (work) => (await work) !== undefined && refresh();

  function giftActs(gift) {
    return make("span", { className: "acts" },
      button(t("setPrice"), () => then(setPrice(gift, refresh)), { name: "price" }), button(t(gift.on_sale ? "withdraw" : "putBack"), () => then(setSale(gift, refresh)), { name: "sale" }));
  }

  const tools = may("operate") ? [button(t("newGift"), () => then(addGift()), { name: "new-gift", className: "primary small" })] : [];
  host.append(make("h1", {}, t("gifts")), trouble.node, card(t("gifts"), { tools, name: "gifts" }, table.node));
  refresh();
}

function giftCell({ id, name, image }) {
  const picture = localPicture(image);
  return make("span", { className: "room-cell" }, picture ? make("img", { src: picture, alt: "", width: 30, height: 30 }) : "", make("b", {}, name), make("small", {}, `#${id}`));
}

const post = (gift, body, requestId) => change("POST", `/gifts/${gift.id}`, { ...body, request_id: requestId });
/** Takes a change back, and has the table read again. */
const undoWith = (gift, body, refresh) => async () => {
  await post(gift, { ...body, reason: t("undo") });
  refresh();
  return t("undone");
};

const addGift = () => act({
  title: t("newGift"), verb: t("add"), hasReason: false, effect: t("effectNewGift"), done: ({ name }) => t("didNewGift", { name }),
  fields: [
    { name: "name", label: t("name"), max: NAME_CHARS_MAX, required: true },
    { name: "image", label: t("picture"), max: IMAGE_CHARS_MAX, required: true, hint: t("pictureHint") },
    { name: "coin", label: t("price"), type: "number", required: true },
  ],
  run: ({ name, image, coin }) => change("POST", "/gifts", { name, image, coin: Number(coin) }),
});

const setPrice = (gift, refresh) => act({
  title: t("actPrice", { name: gift.name }), verb: t("setPrice"), done: () => t("didPrice", { name: gift.name }), undo: undoWith(gift, { coin: gift.coin }, refresh),
  effect: ({ coin }) => t("effectPrice", { name: gift.name, before: countText(gift.coin), after: countText(Number(coin)) }),
  fields: [{ name: "coin", label: t("price"), type: "number", value: gift.coin, required: true }],
  run: ({ coin, reason }, id) => post(gift, { coin: Number(coin), reason }, id),
});

const setSale = (gift, refresh) => act({
  title: t(gift.on_sale ? "actWithdraw" : "actPutBack", { name: gift.name }), verb: t(gift.on_sale ? "withdraw" : "putBack"), isDanger: gift.on_sale,
  effect: t(gift.on_sale ? "effectWithdraw" : "effectPutBack", { name: gift.name }), done: () => t(gift.on_sale ? "didWithdraw" : "didPutBack", { name: gift.name }),
  undo: undoWith(gift, { on_sale: gift.on_sale }, refresh),
  run: ({ reason }, id) => post(gift, { on_sale: !gift.on_sale, reason }, id),
});
