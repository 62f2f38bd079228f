// Values on hover, by touch and by keyboard: the nearest step of a chart is marked, and its values
// stand in its legend instead of the first and the last. The charts are drawn by the server and
// exchanged while a round runs; what was pointed at stays pointed at. Without this, each
// dot has its value as a title.
(() => {
  "use strict";
  const PLOT = ".plot[data-readout]";
  const at = new WeakMap(); // a plot's marked place, in units of its drawing

  const dotsOf = (plot) => [...plot.querySelectorAll(".series .dot")];
  const placeOf = (dot) => Number(dot.getAttribute("cx"));
  const wordsOf = (dot) => dot.querySelector("title")?.textContent ?? dot.dataset.words ?? "";

  // Beside each line's name its value at the marked place, or, with no words, what stood there.
  function tell(plot, words) {
    [...plot.parentElement.querySelectorAll(".legend li")].forEach((line, index) => {
      let here = line.querySelector(".here");
      if (!words[index]) {
        here?.remove();
        return;
      }
      if (!here) {
        here = document.createElement("span");
        here.className = "num here";
        line.append(here);
      }
      here.textContent = words[index].split(" · ")[0];
    });
  }

  function clear(plot) {
    at.delete(plot);
    for (const dot of plot.querySelectorAll(".dot.here")) dot.classList.remove("here");
    tell(plot, []);
    const readout = document.getElementById(plot.dataset.readout);
    if (readout && readout.textContent) readout.textContent = "";
  }

  // Of every line the dot nearest to ``place``.
  function mark(plot, place) {
    const words = [];
    at.set(plot, place);
    for (const series of plot.querySelectorAll(".series")) {
      let nearest = null;
      for (const dot of series.querySelectorAll(".dot")) {
        dot.classList.remove("here");
        if (!nearest || Math.abs(placeOf(dot) - place) < Math.abs(placeOf(nearest) - place)) {
          nearest = dot;
        }
      }
      if (!nearest) continue;
      nearest.classList.add("here");
      words.push(wordsOf(nearest));
    }
    tell(plot, words);
    const readout = document.getElementById(plot.dataset.readout);
    const text = words.join("  –  ");
    if (readout && readout.textContent !== text) readout.textContent = text;
  }

  // Where the pointer is, in the units in which the dots are placed.
  function pointed(plot, event) {
    const matrix = plot.querySelector(".series .dot")?.getScreenCTM();
    return matrix ? new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse()).x : null;
  }

  function move(plot, by) {
    const places = [...new Set(dotsOf(plot).map(placeOf))].sort((a, b) => a - b);
    if (!places.length) return;
    const here = at.get(plot);
    const last = places.length - 1;
    let index = here === undefined ? last : places.findIndex((place) => place >= here - 0.01);
    if (index < 0) index = last;
    else if (here !== undefined) index = Math.min(last, Math.max(0, index + by));
    mark(plot, places[index]);
  }

  function prepare() {
    for (const plot of document.querySelectorAll(PLOT)) {
      plot.tabIndex = 0;
      const place = at.get(plot);
      if (place !== undefined) mark(plot, place);
    }
  }

  document.addEventListener("pointermove", (event) => {
    const plot = event.target.closest?.(PLOT);
    const place = plot ? pointed(plot, event) : null;
    if (place !== null) mark(plot, place);
  });
  document.addEventListener("pointerout", (event) => {
    const plot = event.target.closest?.(PLOT);
    if (plot && !plot.contains(event.relatedTarget) && document.activeElement !== plot) clear(plot);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches?.(PLOT)) clear(event.target);
  });
  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.(PLOT)) return;
    if (event.key === "ArrowRight") move(event.target, 1);
    else if (event.key === "ArrowLeft") move(event.target, -1);
    else if (event.key === "Escape") clear(event.target);
    else return;
    event.preventDefault();
  });
  document.addEventListener("htmx:oobAfterSwap", prepare);
  document.addEventListener("DOMContentLoaded", prepare);
  prepare();
})();
