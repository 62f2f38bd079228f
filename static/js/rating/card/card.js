// The card on the screen: putting one there, lighting the chosen side, and where the focus is.
import { calm, say } from "../desk.js";

const LIT_FOR = 140; // ms
const TOO_SOON = 300; // ms; nobody has read a card by then
const LIT = { left: ["left"], right: ["right"], tie: ["left", "right"], both_bad: [], skip: [] };
let settled = 0;

export const current = () => document.getElementById("card");
export const form = () => document.getElementById("verdict");
export const choiceButton = (choice) =>
  document.querySelector(`#verdict button[name=choice][value=${choice}]`);

// The card as the server sent it, before anything is typed or ticked on it.
export function asServed() {
  const card = current();
  return card.dataset.code ? { code: card.dataset.code, html: card.outerHTML } : null;
}

export function isTooSoon() {
  return !current().hasAttribute("data-ready");
}

// From now on this card takes no verdict for a moment: the second half of a double click or a
// double key press must not judge what the first half brought.
export function markShown() {
  clearTimeout(settled);
  settled = setTimeout(markReady, TOO_SOON);
  watchBar();
}

// The card that came with the page: whoever opened it has not pressed anything here yet.
export function markServed() {
  markReady();
  watchBar();
}

function markReady() {
  current().setAttribute("data-ready", "");
}

export function put(html, { announce = "", focus = true } = {}) {
  const parsed = document.createElement("template");
  parsed.innerHTML = html.trim();
  const card = parsed.content.querySelector("#card");
  card.removeAttribute("data-ready");
  current().replaceWith(card);
  window.htmx?.process(card);
  window.scrollTo({ top: 0, behavior: "instant" });
  markShown();
  if (focus) document.getElementById("card-heading").focus({ preventScroll: true });
  if (announce) say(announce);
  return card;
}

// Light what was chosen for a moment; at once where motion is not wanted.
export function light(choice) {
  const card = current();
  card.setAttribute("data-chosen", choice);
  for (const side of LIT[choice]) card.querySelector(`.answer.${side}`)?.classList.add("lit");
  choiceButton(choice)?.classList.add("lit");
  return new Promise((resolve) => {
    if (calm.matches) resolve();
    else setTimeout(resolve, LIT_FOR);
  });
}

export function setBusy(busy) {
  const card = current();
  card.toggleAttribute("data-busy", busy);
  if (busy) card.setAttribute("aria-busy", "true");
  else card.removeAttribute("aria-busy");
}

// The bar's height, for what must not lie beneath it: the toast, and whatever has the focus.
const observer = new ResizeObserver(([entry]) => {
  const height = entry.borderBoxSize[0].blockSize;
  document.documentElement.style.setProperty("--bar-height", `${Math.ceil(height)}px`);
});

function watchBar() {
  observer.disconnect();
  const bar = document.querySelector("#card .bar");
  if (bar) observer.observe(bar);
}
