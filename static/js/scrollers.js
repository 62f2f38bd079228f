// What scrolls within an answer (code, tables) can be reached by Tab and then scrolled by the
// arrow keys. Browsers differ in this; only what is wider than its place becomes a stop.
(() => {
  "use strict";
  const PARTS = ".text pre, .text table, .text math[display=block], pre.log, .table-wrap";
  let asked = false;

  function mark() {
    asked = false;
    for (const part of document.querySelectorAll(PARTS)) {
      const scrolls =
        part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1;
      if (scrolls) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  }

  function ask() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(mark);
  }

  new MutationObserver(ask).observe(document.body, { childList: true, subtree: true });
  document.addEventListener("toggle", ask, { capture: true });
  document.addEventListener("change", ask);
  window.addEventListener("resize", ask);
  ask();
})();
