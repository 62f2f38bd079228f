// The rating page: joins the parts and knows what starts when. Without any of them the page
// still rates, by plain forms.
import * as cards from "./card/card.js";
import * as connection from "./queue/connection.js";
import { deck, fetchAhead, lastHeld, next, onChange } from "./queue/deck.js";
import { say, words } from "./desk.js";
import * as details from "./card/details.js";
import * as dialogs from "./card/dialogs.js";
import * as difference from "./card/difference.js";
import * as drafts from "./card/drafts.js";
import * as editing from "./card/editing.js";
import {
  adoptCard, advance, answered, decide, fetchNow, isWaiting, now, onDeck, showWaiting, waitForCard,
} from "./flow.js";
import { onKey } from "./input/keyboard.js";
import * as lease from "./queue/lease.js";
import * as outbox from "./queue/outbox.js";
import * as scrolling from "./card/scrolling.js";
import * as sender from "./queue/sender.js";
import { onOtherWindow } from "./queue/store.js";
import { undo } from "./undo.js";

// --- fields and buttons ---

function onInput(event) {
  const form = event.target.form;
  if (form?.id !== "verdict") return;
  if (event.target.name === "edited_from" && event.type === "change") {
    editing.startFrom(event.target);
  }
  details.count(form);
  details.clearTold(form);
  drafts.keepSoon(deck.shown.code, form);
  const choice = details.chosen(form);
  const isPick = event.type === "change" && event.target.name === "strength";
  if (isPick && choice && !details.missing(form, choice)) decide(choice);
}

// On a phone the switch stays in reach; the other response starts at its beginning.
function onSwitch(event) {
  if (event.target.name !== "shown") return;
  const bar = event.target.closest(".switch");
  const top = bar.nextElementSibling.getBoundingClientRect().top - bar.offsetHeight;
  if (top < 0) window.scrollBy({ top, behavior: "instant" });
}

function onSubmit(event) {
  if (event.target.id === "undo-form") {
    event.preventDefault();
    undo();
  } else if (event.target.id === "verdict") {
    event.preventDefault();
    if (event.submitter?.name === "choice") decide(event.submitter.value);
  }
}

// --- other windows, coming back ---

function moveOn(code, told) {
  if (deck.shown?.code !== code || now.leaving) return;
  drafts.flush();
  advance({ told });
}

function onOther(name, isThere) {
  const code = outbox.codeOf(name);
  if (code && isThere) moveOn(code, words("elsewhere"));
  connection.show();
}

function resume() {
  if (document.visibilityState !== "visible") return;
  const { shown } = deck;
  if (shown && outbox.isJudged(shown.code)) moveOn(shown.code, words("elsewhere"));
  else if (shown) lease.renew();
  if (outbox.size()) sender.flush();
  else fetchNow();
  fetchAhead();
}

// The next one in hand may have gone to others, too.
function moveOnFromLost(code) {
  moveOn(code, words("left"));
  lease.renew();
}

function adoptPage() {
  const served = cards.asServed();
  deck.shown = served;
  cards.markServed();
  if (served && outbox.isWaiting(served.code)) {
    next(); // judged before the reload, and still on its way
    waitForCard();
    return;
  }
  if (served) outbox.forgetDone(served.code); // the server knows better
  adoptCard();
}

function start() {
  drafts.start();
  dialogs.start();
  scrolling.start();
  onChange(() => {
    document.getElementById("desk").dataset.held = deck.ahead.length;
    onDeck();
  });
  adoptPage();
  sender.start({ lastHeld, answered, state: connectionIs });
  lease.start(moveOnFromLost);
  onOtherWindow(onOther);
  document.addEventListener("keydown", onKey);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("input", onInput);
  document.addEventListener("change", (event) => {
    onSwitch(event);
    onInput(event);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("#toast-undo")) undo();
    else if (event.target.closest("#difference")) difference.toggle();
    else if (event.target.closest("#undo:not([form])")) undo();
  });
  document.addEventListener("visibilitychange", resume);
  window.addEventListener("pageshow", (event) => event.persisted && resume());
  window.addEventListener("online", resume);
  window.addEventListener("offline", lease.renew); // finds out whether the server is out of reach
  document.addEventListener("htmx:beforeSwap", onPoll);
  document.addEventListener("htmx:afterSwap", onPolled);
  sender.flush().then(fetchAhead);
}

function connectionIs(state) {
  connection.set(state);
  if (isWaiting() && state !== "sent") showWaiting();
  if (state === "sent") fetchNow();
}

// The empty place looks again by itself (htmx). Signed out meanwhile: the answer is no card.
function onPoll(event) {
  if (event.detail.target.id !== "card" || !event.detail.shouldSwap) return;
  if (!event.detail.serverResponse.includes('id="card"')) {
    event.detail.shouldSwap = false;
    window.location.reload();
  }
}

function onPolled(event) {
  if (event.detail.target.id !== "card") return;
  deck.shown = cards.asServed();
  if (!deck.shown) return;
  now.waiting = false;
  cards.markShown();
  adoptCard();
  document.getElementById("card-heading").focus({ preventScroll: true });
  say(words("next"));
  fetchAhead();
}

start();
