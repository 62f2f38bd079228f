// Keeps the shown card for this rater while somebody is there: the page is visible and a hand
// moved in the last minutes; the server renews those fetched ahead with it. Left alone, the lease runs out and the work returns to others.
import { current } from "../card/card.js";
import * as connection from "./connection.js";
import { ask } from "./server.js";

const ATTENTION = 3 * 60_000;
const SHARE = 3; // of a lease, between two renewals
let lastSign = performance.now();
let renewedAt = performance.now();
let lost = () => {};

export function start(onLost) {
  lost = onLost;
  const sign = () => {
    lastSign = performance.now();
  };
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"]) {
    document.addEventListener(kind, sign, { passive: true });
  }
  setInterval(tick, 5000);
}

function tick() {
  const seconds = Number(current().dataset.leaseSeconds) || 600;
  const isDue = performance.now() - renewedAt > (seconds / SHARE) * 1000;
  const isThere = performance.now() - lastSign < ATTENTION;
  if (isDue && isThere && document.visibilityState === "visible") renew();
}

// Ask for more time now. Where others have the card, `lost` is told its code.
export async function renew() {
  const { lease, code } = current().dataset;
  if (!lease) return;
  renewedAt = performance.now();
  const { kind } = await ask(lease, "");
  connection.heard(kind);
  if (kind === "gone" && current().dataset.code === code) lost(code);
}
