// What each key does on the rating page, in a field and outside of one.
import * as cards from "../card/card.js";
import { say, words } from "../desk.js";
import * as details from "../card/details.js";
import * as dialogs from "../card/dialogs.js";
import * as difference from "../card/difference.js";
import { decide } from "../flow.js";
import { actionFor, isComposing, isTyping, isUndo } from "./keys.js";
import * as scrolling from "../card/scrolling.js";
import { undo } from "../undo.js";

const CHOICES = new Set(["left", "right", "tie", "both_bad", "skip"]);

export function onKey(event) {
  if (event.repeat || isComposing(event)) return;
  if (isTyping(event.target)) {
    onKeyInField(event);
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && sendChosen()) {
    event.preventDefault();
    return;
  }
  const bound = isUndo(event) ? { action: "undo", shift: false } : actionFor(event);
  if (dialogs.isOpen()) {
    if (bound) dialogs.closeBy(bound.action);
    return;
  }
  const isUnbound = !bound && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (bound ? act(bound) : isUnbound && !event.shiftKey && scrolling.read(event.key)) {
    event.preventDefault();
  }
}

function onKeyInField(event) {
  if (event.key === "Escape") {
    event.target.blur();
    document.getElementById("card-heading")?.focus({ preventScroll: true });
  } else if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
    event.preventDefault();
    if (sendChosen() || !cards.form()) return;
    say(words("choose"));
    document.getElementById("notice").textContent = words("choose");
    cards.choiceButton("left").focus();
  }
}

// Send the verdict that waits for its details; false where none does.
function sendChosen() {
  const choice = cards.form() && details.chosen(cards.form());
  if (choice) decide(choice);
  return Boolean(choice);
}

// False where the key does nothing here, so that the browser may have it.
function act({ action, shift }) {
  const isPreference = action === "left" || action === "right";
  const asked = cards.form()?.dataset.strength ?? "off";
  if (shift && !(isPreference && asked !== "off")) return false;
  if (CHOICES.has(action)) {
    const plain = asked === "required" && isPreference && !hasStrength() ? 1 : null;
    decide(action, { strength: shift ? 2 : plain });
  } else if (action === "undo") undo();
  else if (action === "difference") difference.toggle();
  else dialogs.show(action);
  return true;
}

const hasStrength = () => cards.form().querySelector("[name=strength]:checked") !== null;
