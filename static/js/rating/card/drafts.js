// What a rater has entered on a card, kept as it is typed until the server has the verdict: it
// survives a reload, a closed window and a lost connection.
import { names, read, remove, write } from "../queue/store.js";

const PAUSE = 200; // ms of quiet before text is written down
const OLDEST = 14 * 24 * 3600 * 1000;
const DRAFT = "draft:";
let timer = 0;
let pending = null;

// Everything in the form but the verdict itself and the form's token.
export function fieldsOf(form) {
  return [...new FormData(form)].filter(
    ([name, value]) => name !== "choice" && name !== "csrfmiddlewaretoken" && value !== "",
  );
}

export function fillIn(form, fields) {
  for (const field of form.querySelectorAll("input[type=radio], input[type=checkbox]")) {
    field.checked = fields.some(([name, value]) => name === field.name && value === field.value);
    if (field.type === "radio" && field.value === "") {
      field.checked = !fields.some(([name]) => name === field.name);
    }
  }
  for (const field of form.querySelectorAll("textarea")) {
    field.value = fields.find(([name]) => name === field.name)?.[1] ?? "";
  }
}

export function restore(code, form) {
  const draft = read(DRAFT + code);
  if (draft) fillIn(form, draft.fields);
  return Boolean(draft);
}

function keepNow(code, form) {
  const fields = fieldsOf(form);
  if (fields.length) write(DRAFT + code, { at: Date.now(), fields });
  else remove(DRAFT + code);
}

export function keepSoon(code, form) {
  clearTimeout(timer);
  pending = { code, form };
  timer = setTimeout(flush, PAUSE);
}

export function flush() {
  clearTimeout(timer);
  if (pending) keepNow(pending.code, pending.form);
  pending = null;
}

export function drop(code) {
  if (pending?.code === code) pending = null;
  remove(DRAFT + code);
}

// A reopened card has a new code; what was entered on it before comes with it.
export function move(from, to) {
  const draft = read(DRAFT + from);
  if (draft && !read(DRAFT + to)) write(DRAFT + to, draft);
  remove(DRAFT + from);
}

export function start() {
  for (const name of names(DRAFT)) {
    if ((read(name)?.at ?? 0) < Date.now() - OLDEST) remove(name);
  }
  window.addEventListener("pagehide", flush);
  document.addEventListener("visibilitychange", flush);
}
