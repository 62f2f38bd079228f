// From a key to an action: the rater's own bindings, on whatever layout the keyboard has.
// Typing, composing (IME), holding a key down and other programs' modifiers are left alone.
import { bindings } from "../desk.js";

const TYPING = "textarea, select, input:not([type=radio], [type=checkbox], [type=button])";

export function isTyping(target) {
  return target instanceof Element && (target.isContentEditable || target.matches(TYPING));
}

export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

// Arrow keys move a radio button and scroll what has the focus; then they are not ours.
function needsArrows(target) {
  return target instanceof Element && target.closest("input, summary, .scroll, .turns, .tools");
}

// {action, shift} or null. Digits count by their place, so they work where they need Shift; so
// do letters on keyboards with another alphabet.
export function actionFor(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const typed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const place = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  const letter = /^[\x21-\x7e]$/.test(typed) ? null : /^Key([A-Z])$/.exec(event.code)?.[1];
  const named = typed.length > 1;
  const candidates = named ? [typed] : [typed, place, letter?.toLowerCase()];
  const key = candidates.find((one) => one && Object.hasOwn(bindings, one));
  if (!key || (named && needsArrows(event.target))) return null;
  const isSign = key === typed && !/^[a-z0-9]$/.test(key) && !named;
  return { action: bindings[key], shift: event.shiftKey && !isSign };
}

export function isUndo(event) {
  const chord = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  return chord && event.key.toLowerCase() === "z" && Object.values(bindings).includes("undo");
}
