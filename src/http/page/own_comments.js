// One's own comments come back twice, in either order: as the answer to the command, with the
// comment's id, and as the room's event. They are one line in the chat.

import { refusalText, t } from "./i18n.js";

const IDS_MAX = 200;

export class OwnComments {
  #chat;
  #unanswered = 0;
  /** Announced while an answer is due: ours from this tab, or from another tab of the same user. */
  #held = [];
  /** Answered before they were announced. */
  #answeredIds = new Set();
  /** Receipts of those that are held, by id: whether they are shown is said later. */
  #underReview = new Map();

  constructor(chat) {
    this.#chat = chat;
  }

  /** A comment is on its way. Call `answered` once. */
  sent(line) {
    this.#unanswered++;
    const receipt = this.#chat.ownComment(line);
    return { answered: (answer) => this.#answered(answer, receipt) };
  }

  /** The room announced a comment of ours. */
  announced(line) {
    const held = this.#underReview.get(String(line.id));
    if (this.#underReview.delete(String(line.id))) return held.shown();
    if (this.#answeredIds.delete(String(line.id))) return;
    if (this.#unanswered > 0) this.#held.push(line);
    else this.#chat.comment(line);
  }

  /** Takes a `comment_denied` event. */
  denied({ comment_id: id, reason }) {
    this.#underReview.get(String(id))?.denied(reason ? `${t("denied")} · ${reason}` : t("denied"));
    this.#underReview.delete(String(id));
  }

  #hold(id, receipt) {
    this.#underReview.set(id, receipt);
    if (this.#underReview.size > IDS_MAX) this.#underReview.delete(this.#underReview.keys().next().value);
  }

  #answered(answer, receipt) {
    this.#unanswered--;
    if (answer.ok) {
      const id = String(answer.comment_id);
      const heldAt = this.#held.findIndex((line) => String(line.id) === id);
      if (heldAt >= 0) this.#held.splice(heldAt, 1);
      else if (answer.status === "held") this.#hold(id, receipt);
      else this.#answeredIds.add(id);
      if (this.#answeredIds.size > IDS_MAX) this.#answeredIds.delete(this.#answeredIds.values().next().value);
      receipt.delivered(id, answer.status);
    } else {
      receipt.failed(refusalText(answer));
    }
    if (this.#unanswered > 0) return;
    for (const line of this.#held.splice(0)) this.#chat.comment(line);
  }
}
