// Held comments and reports over all rooms.

import { make } from "./dom.js";
import { t } from "./i18n.js";
import { Queue } from "./queue.js";

export function reviewPage(host) {
  const queue = new Queue(null);
  queue.node.classList.add("wide");
  host.append(make("h1", {}, t("review")), queue.node);
  return () => queue.close();
}
