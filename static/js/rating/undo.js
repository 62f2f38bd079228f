// Taking the last verdict back: here, where it was never sent; otherwise on the server.
import { deck, putBack, remembered } from "./queue/deck.js";
import * as connection from "./queue/connection.js";
import { notify, settings, words } from "./desk.js";
import { canUndo, countToday, now, show } from "./flow.js";
import * as outbox from "./queue/outbox.js";
import * as sender from "./queue/sender.js";
import { ask } from "./queue/server.js";
import * as toast from "./card/toast.js";

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

// A verdict that never left: the card comes back with what was entered on it.
function takeBack(entry) {
  connection.show();
  const card = remembered(entry.code);
  if (!card) {
    window.location.reload();
    return;
  }
  now.judged = false;
  putBack(card);
  show(card, { announce: words("undone"), fields: entry.fields });
}

// A verdict that the server had: it has filled the card in again.
function reopen({ kind, data }) {
  connection.heard(kind);
  if (kind === "signed-out") return;
  if (kind === "offline") notify(words("undoOffline"));
  else if (!data?.card || !data.code) notify(data?.notice ?? words("serverError"));
  else if (data.code === deck.shown?.code) notify(data.notice ?? "");
  else {
    now.judged = false;
    putBack({ code: data.code, html: data.card });
    show(deck.shown, { announce: words("undone") });
    countToday(data.today);
    canUndo(data.can_undo);
    if (data.notice) notify(data.notice);
  }
}
