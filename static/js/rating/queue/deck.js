// The cards in hand: the one that is shown, those fetched ahead, and the last ones that were
// shown, for taking a verdict back without the server. A card is {code, html} as it was served.
import { settings } from "../desk.js";
import * as outbox from "./outbox.js";
import { ask } from "./server.js";

const REMEMBERED = 12;
const BREATH = 250; // ms between two cards fetched ahead, so that reading comes first
export const deck = { shown: null, ahead: [], past: [] };
let fetching = false;
let changed = () => {};

export function onChange(listener) {
  changed = listener;
}

export function lastHeld() {
  const held = deck.ahead.at(-1)?.code ?? deck.shown?.code ?? "";
  return outbox.isJudged(held) ? "" : held;
}

// Keep a card for later. False where there is none, or it is held or judged already.
export function keep(data) {
  if (!data?.card || !data.code || data.empty) return false;
  const held = [deck.shown, ...deck.ahead].some((card) => card?.code === data.code);
  if (held || outbox.isJudged(data.code)) return false;
  deck.ahead.push({ code: data.code, html: data.card });
  changed();
  return true;
}

// The next card that nobody has judged in another window, or null.
export function next() {
  let card = deck.ahead.shift() ?? null;
  while (card && outbox.isJudged(card.code)) card = deck.ahead.shift() ?? null;
  if (deck.shown) deck.past = [...deck.past, deck.shown].slice(-REMEMBERED);
  deck.shown = card;
  changed();
  return card;
}

// Show `card` now; the one that was shown comes right after it.
export function putBack(card) {
  deck.past = deck.past.filter((one) => one.code !== card.code);
  if (deck.shown && deck.shown.code !== card.code) deck.ahead.unshift(deck.shown);
  deck.ahead = deck.ahead.filter((one) => one.code !== card.code);
  deck.shown = card;
  changed();
}

export function remembered(code) {
  return deck.past.find((card) => card.code === code) ?? null;
}

// Fetch ahead until enough is held or the server has no more for now.
export async function fetchAhead() {
  if (fetching || !settings.ahead) return;
  fetching = true;
  try {
    while (deck.shown && deck.ahead.length < Number(settings.mostAhead)) {
      const after = encodeURIComponent(lastHeld());
      const { kind, data } = await ask(`${settings.ahead}?after=${after}`);
      if (kind !== "ok" || !keep(data)) return;
      await new Promise((resolve) => setTimeout(resolve, BREATH));
    }
  } finally {
    fetching = false;
  }
}
