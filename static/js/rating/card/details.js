// What is entered beside the verdict, and what is still missing. The server asks for the same;
// asking here first keeps the rater on the card.
import { fill, say, words } from "../desk.js";

// The first thing that is missing for `choice`, as {field, text, focus}, or null.
export function missing(form, choice) {
  const asked = form.dataset;
  const flags = [...form.querySelectorAll("[name=flag]:checked")].map((flag) => flag.value);
  if (flags.includes("cannot_judge") && choice !== "skip") {
    return { field: "flag", text: words("askFlags"), focus: choiceOf(form, "skip") };
  }
  if (choice === "skip") return null;
  const isPreference = choice === "left" || choice === "right";
  if (asked.strength === "required" && isPreference && !picked(form, "strength")) {
    const focus = form.querySelector("[name=strength]");
    return { field: "strength", text: words("askStrength"), focus };
  }
  if ("criteriaRequired" in asked) {
    const open = [...form.querySelectorAll(".criterion")].find(
      (criterion) => !criterion.querySelector("input:checked"),
    );
    const focus = open?.querySelector("input");
    if (open) return { field: focus.name, text: words("askCriterion"), focus };
  }
  return missingReason(form, asked);
}

function missingReason(form, asked) {
  const field = form.querySelector("[name=reason]");
  if (!field || asked.reason === "off") return null;
  const length = lengthOf(field.value);
  const least = Number(asked.reasonMin);
  const hasTag = form.querySelector("[name=tag]:checked") !== null;
  if (length === 0 && (asked.reason === "optional" || (hasTag && !least))) return null;
  if (length === 0) return { field: "reason", text: words("askReason"), focus: field };
  if (length >= least) return null;
  return { field: "reason", text: words("askReasonLonger", { least }), focus: field };
}

const picked = (form, name) => form.querySelector(`[name=${name}]:checked`);
const choiceOf = (form, choice) => form.querySelector(`[name=choice][value=${choice}]`);
const lengthOf = (text) => [...text.trim()].length;

// Say what is missing beside its field, put the focus there, and remember the choice.
export function askFor({ field, text, focus }, form, choice) {
  clearTold(form);
  tell(form, field, text);
  focus?.setAttribute("aria-invalid", "true");
  focus?.closest("details")?.setAttribute("open", "");
  focus?.focus();
  focus?.scrollIntoView({ block: "nearest" });
  say(text);
  choose(form, choice);
}

// The server's errors, {field: words}, on a card that came back.
export function showErrors(form, errors) {
  for (const [field, text] of Object.entries(errors ?? {})) {
    tell(form, field, text);
  }
  const first = form.querySelector(".told:not(:empty)");
  first?.parentElement.querySelector("input, textarea")?.focus();
}

function tell(form, field, text) {
  const place = form.querySelector(`[data-error="${CSS.escape(field)}"]`);
  if (place) place.textContent = text;
}

export function clearTold(form) {
  for (const place of form.querySelectorAll(".told")) place.textContent = "";
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

// The verdict that waits for its details: shown as pressed, sent by Ctrl+Enter.
export function choose(form, choice) {
  for (const button of form.querySelectorAll("[name=choice]")) {
    if (button.value === choice) button.setAttribute("aria-pressed", "true");
    else button.removeAttribute("aria-pressed");
  }
}

export function chosen(form) {
  return form.querySelector("[name=choice][aria-pressed]")?.value ?? null;
}

export function setStrength(form, strength) {
  const field = form.querySelector(`[name=strength][value="${strength}"]`);
  if (field) field.checked = true;
}

// How the verdict is called in the toast: "A is much better".
export function labelOf(form, choice) {
  const button = choiceOf(form, choice);
  const strength = picked(form, "strength")?.value;
  return button.getAttribute(`data-label-${strength}`) ?? button.dataset.label;
}

export function count(form) {
  const field = form.querySelector("[name=reason]");
  const place = form.querySelector("#reason-count");
  const least = Number(form.dataset.reasonMin);
  if (!field || !place || !least) return;
  const length = lengthOf(field.value);
  place.textContent = fill(place.dataset.words, { count: length, least });
  place.classList.toggle("enough", length >= least);
}
