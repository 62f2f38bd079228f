// From card to card: a verdict goes into the outbox and the next card is there at once; where
// none is held, the page waits for one and shows whatever the server says.
import * as cards from "./card/card.js";
import * as connection from "./queue/connection.js";
import { deck, fetchAhead, keep, next, putBack, remembered } from "./queue/deck.js";
import { fill, notify, say, settings, words } from "./desk.js";
import * as details from "./card/details.js";
import * as drafts from "./card/drafts.js";
import * as editing from "./card/editing.js";
import * as outbox from "./queue/outbox.js";
import * as scrolling from "./card/scrolling.js";
import * as sender from "./queue/sender.js";
import { ask } from "./queue/server.js";
import * as toast from "./card/toast.js";

export const now = {
  leaving: false, // between a verdict and the next card
  undoing: false,
  waiting: false, // for a card to show
  judged: false, // so there is something to undo, whatever the card on the screen says
};
let askAgain = 0;
let left = Promise.resolve(); // when the card judged last has left the page
let unsaid = { said: "", told: "" }; // until the next card is there

export async function decide(choice, { strength = null } = {}) {
  const form = cards.form();
  const isFree = !now.leaving && !now.undoing && !now.waiting;
  if (!form || !isFree || cards.isTooSoon()) return;
  if (strength) details.setStrength(form, strength);
  const lack = details.missing(form, choice);
  if (lack) {
    details.askFor(lack, form, choice);
    return;
  }
  const { code } = deck.shown;
  const fields = [["choice", choice], ...drafts.fieldsOf(form)];
  const label = details.labelOf(form, choice);
  drafts.flush();
  if (!outbox.put({ code, url: form.action, fields, label })) {
    advance({ told: words("elsewhere") });
    return;
  }
  now.judged = true;
  now.leaving = true;
  cards.setBusy(true);
  const sent = sender.flush();
  connection.show();
  left = leave(choice, label);
  await left;
  await sent;
}

async function leave(choice, label) {
  await cards.light(choice);
  now.leaving = false;
  const saved = words(connection.isOffline() ? "kept" : "saved", { choice: label });
  toast.show(saved);
  document.getElementById("toast-undo").disabled = false;
  advance({ said: saved });
}

// Show the next card that is held; wait for one where none is. What happened to the last one
// is said aloud (`said`) or stands beside the verdict, too (`told`).
export function advance({ said = unsaid.said, told = unsaid.told } = {}) {
  const card = next();
  if (!card) {
    unsaid = { said, told };
    if (said || told) say([said, told].filter(Boolean).join(". "));
    waitForCard();
    return;
  }
  unsaid = { said: "", told: "" };
  show(card, { announce: [said, told, words("next")].filter(Boolean).join(". ") });
  if (told) document.getElementById("notice").textContent = told;
  fetchAhead();
}

export function show(card, { announce = "", fields = null } = {}) {
  now.waiting = false;
  cards.put(card.html, { announce });
  adoptCard(fields);
}

// Everything that a card needs when it has come onto the page, however it came.
export function adoptCard(fields = null) {
  clearTimeout(askAgain);
  const form = cards.form();
  scrolling.mark();
  canUndo(now.judged || !document.getElementById("undo")?.disabled);
  if (!form) return;
  if (fields) drafts.fillIn(form, fields);
  if (!fields) drafts.restore(deck.shown.code, form);
  editing.adopt(form);
  details.count(form);
}

export function waitForCard() {
  now.waiting = true;
  if (connection.isOffline()) showWaiting();
  else cards.setBusy(true);
  clearTimeout(askAgain);
  askAgain = setTimeout(fetchNow, 1500);
  if (!outbox.size()) fetchNow();
}

export function showWaiting() {
  if (cards.current().classList.contains("nothing")) return;
  cards.put(document.getElementById("waiting").innerHTML);
  canUndo(outbox.size() > 0);
}

export const isWaiting = () => now.waiting;

// A card has come, from wherever.
export function onDeck() {
  if (isWaiting() && deck.ahead.length) advance();
}

// Ask for the card to show now, until there is one or the server says that there is none.
export async function fetchNow() {
  clearTimeout(askAgain);
  if (!isWaiting()) return;
  askAgain = setTimeout(fetchNow, 3000);
  if (outbox.size()) return;
  const { kind, data } = await ask(settings.ahead);
  connection.heard(kind);
  if (kind === "ok" && isWaiting()) take(data);
}

// What the server sent along: a card to keep, or the empty place.
function take(data) {
  if (keep(data)) {
    fetchAhead();
  } else if (data?.empty && isWaiting() && !outbox.size()) {
    now.waiting = false;
    unsaid = { said: "", told: "" };
    cards.put(data.card);
    clearTimeout(askAgain);
    canUndo(data.can_undo);
    say(document.getElementById("card-heading").textContent);
  }
}

// The server has answered for a verdict: perhaps before its card has left the page, and what
// is said then would leave with it.
export function answered({ entry, outcome, data }) {
  connection.set("sent");
  countToday(data?.today);
  if (outcome === "refused") {
    left.then(() => returnRefused(entry, data));
    return;
  }
  drafts.drop(entry.code);
  take(data);
  const notice = outcome === "gone" ? words("gone") : data?.notice;
  if (notice) left.then(() => tell(notice));
}

function tell(notice) {
  if (isWaiting()) unsaid.told = notice;
  notify(notice);
}

// The project asks for more than it did when the card was served: show it again, with why.
function returnRefused(entry, data) {
  const card = remembered(entry.code);
  if (!card) {
    window.location.reload();
    return;
  }
  toast.hideNow();
  putBack(card);
  show(card, { fields: entry.fields });
  details.showErrors(cards.form(), data?.errors);
  notify(data?.notice ?? "");
}

export function canUndo(may) {
  const button = document.getElementById("undo");
  if (button) button.disabled = !may;
}

export function countToday(count) {
  const today = document.getElementById("today");
  if (Number.isInteger(count)) today.textContent = fill(today.dataset.words, { count });
}
