// Taking the last verdict back: here, where it was never sent; otherwise on the server.
import { putBack, remembered, deck } from "./deck.js";
import * as cards from "./card.js";
import * as connection from "./connection.js";
import { notify, settings, words } from "./desk.js";
import * as details from "./details.js";
import * as drafts from "./drafts.js";
import * as editing from "./editing.js";
import { canUndo, countToday, now, show } from "./flow.js";
import * as outbox from "./outbox.js";
import * as sender from "./sender.js";
import { ask } from "./server.js";
import * as toast from "./toast.js";

export async function undo() {
  if (now.leaving || now.undoing || document.getElementById("undo")?.disabled) return;
  now.undoing = true;
  try {
    toast.hideNow();
    const entry = await sender.withdraw();
    if (entry) return takeBack(entry);
    if (outbox.size()) await sender.flush();
    if (outbox.size()) return notify(words("undoOffline"));
    return reopen(await ask(settings.undo, new URLSearchParams()));
  } finally {
    now.undoing = false;
  }
}

// A verdict that never left: the card comes back as it was.
function takeBack(entry) {
  connection.show();
  const card = remembered(entry.code);
  if (!card) {
    window.location.reload();
    return;
  }
  now.latest = null;
  putBack(card);
  show(card, { announce: words("undone"), fields: entry.fields });
}

function reopen({ kind, data }) {
  connection.heard(kind);
  if (kind === "signed-out") return;
  if (kind === "offline") notify(words("undoOffline"));
  else if (!data?.card || !data.code) notify(data?.notice ?? words("serverError"));
  else if (data.code === deck.shown?.code) notify(data.notice ?? "");
  else {
    const before = now.latest;
    now.latest = null;
    if (before) outbox.forgetDone(before.code);
    putBack({ code: data.code, html: data.card });
    show(deck.shown, { announce: words("undone") });
    refill(before);
    countToday(data.today);
    canUndo(data.can_undo);
    if (data.notice) notify(data.notice);
  }
}

// What was entered with the verdict comes back, too, where the server has not filled it in.
function refill(before) {
  const form = cards.form();
  const isBlank = !drafts.fieldsOf(form).length;
  if (!before || !isBlank) return;
  drafts.fillIn(form, before.fields);
  editing.adopt(form);
  details.count(form);
}
