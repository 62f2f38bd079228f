// Two columns that scroll by themselves or, if the rater wants it, together; and the reading
// keys, which move both columns while nothing else has the focus.
import { current } from "./card.js";

const WISH = "whetstone:scroll-together"; // in this browser, whoever signs in
const LINE = 60;
let driven = null;

function wanted() {
  try {
    return localStorage.getItem(WISH) === "yes";
  } catch {
    return false;
  }
}

function want(wish) {
  try {
    localStorage.setItem(WISH, wish ? "yes" : "no");
  } catch {
    // then it lasts as long as the card
  }
}

export function mark() {
  document.getElementById("sync")?.setAttribute("aria-pressed", String(wanted()));
}

const columns = () => [...current().querySelectorAll(".answers .scroll")];

export function start() {
  mark();
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#sync")) return;
    want(!wanted());
    mark();
  });
  document.addEventListener("scroll", (event) => follow(event.target), {
    capture: true,
    passive: true,
  });
}

function follow(leader) {
  const both = columns();
  if (!both.includes(leader) || !wanted()) return;
  if (leader === driven) {
    driven = null;
    return;
  }
  const range = (column) => column.scrollHeight - column.clientHeight;
  const other = both.find((column) => column !== leader);
  const top = range(leader) ? (leader.scrollTop / range(leader)) * range(other) : 0;
  if (Math.abs(other.scrollTop - top) < 1) return;
  driven = other;
  other.scrollTop = top;
}

// True where `key` moved the columns; what has the focus and knows that key comes first.
export function read(key) {
  if (document.activeElement.closest("input, select, summary, .scroll, .turns")) return false;
  const both = columns().filter((column) => column.scrollHeight > column.clientHeight + 1);
  const page = both[0]?.clientHeight ?? 0;
  const way = { ArrowDown: LINE, ArrowUp: -LINE, PageDown: 0.9 * page, PageUp: -0.9 * page }[key];
  if (!way || !both.length) return false;
  for (const column of both) column.scrollBy({ top: way, behavior: "instant" });
  return true;
}
