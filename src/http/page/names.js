// Names that open a card: by a click, by a long press on a phone, and by the keyboard. In a list of
// hundreds the names are no stops of the tab key: the arrow keys walk through them.

import { make } from "./dom.js";

const LONG_PRESS_MS = 500;
/** A finger that moves further scrolls. */
const PRESS_MOVE_PX = 10;

/** What a name stands for: `{user, comment?}`. */
const facts = new WeakMap();

/** The name of `user`; `comment()` returns the comment that it stands before: one's own gets its id later. */
export function nameButton(user, comment = null) {
  const button = make("button", { type: "button", className: "who", tabIndex: -1 }, user.name);
  // Somebody without an id cannot be acted on.
  if (user.id !== undefined) facts.set(button, { user, comment });
  return button;
}

/** Calls `open({user, comment})` for a name in `list`, or for the line it is in. */
export function listenForNames(list, open) {
  const openOf = (name) => name && facts.has(name) && open(facts.get(name));
  list.addEventListener("click", (event) => openOf(event.target.closest(".who")));
  list.addEventListener("keydown", (event) => walk(list, event));
  listenForLongPress(list, (target) => openOf(target.closest("li")?.querySelector(".who")));
}

function walk(list, event) {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  const names = [...list.querySelectorAll(".who")];
  const at = names.indexOf(document.activeElement);
  // From the list itself one comes to the newest, which is at its end.
  const next = at < 0 ? names.at(-1) : names[at + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function listenForLongPress(list, onPress) {
  let press = null;
  const cancel = () => {
    clearTimeout(press?.timer);
    press = null;
  };
  list.addEventListener("pointerdown", (event) => {
    cancel();
    if (event.pointerType === "mouse" || !event.isPrimary) return;
    const { target, clientX, clientY } = event;
    const timer = setTimeout(() => {
      press = null;
      ignoreRestOfPress();
      onPress(target);
    }, LONG_PRESS_MS);
    press = { timer, clientX, clientY };
  });
  list.addEventListener("pointermove", ({ clientX, clientY }) => {
    if (press && Math.hypot(clientX - press.clientX, clientY - press.clientY) > PRESS_MOVE_PX) cancel();
  });
  for (const end of ["pointerup", "pointercancel", "scroll"]) list.addEventListener(end, cancel, { passive: true });
  list.addEventListener("contextmenu", (event) => press && event.preventDefault());
}

/** The finger is still down, on what has just opened under it: when it is lifted, that is no click, and no menu opens. */
function ignoreRestOfPress() {
  const ignore = (event) => {
    event.stopImmediatePropagation();
    event.preventDefault();
  };
  const names = ["click", "contextmenu"];
  for (const name of names) addEventListener(name, ignore, { capture: true });
  const next = () => names.forEach((name) => removeEventListener(name, ignore, { capture: true }));
  for (const name of ["pointerdown", "keydown"]) addEventListener(name, next, { capture: true, once: true });
}
