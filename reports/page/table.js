// The heads of a comparison's table sort its rows, and a button copies it as text. Without this script, all of the
// table is there to read.
"use strict";
(() => {
  const scale = {k: 1e3, M: 1e6, G: 1e9, T: 1e12};

  // The words of a cell: its footnotes' marks are written as such.
  function words(cell) {
    const copy = cell.cloneNode(true);
    for (const mark of copy.querySelectorAll("sup")) {
      mark.replaceWith(" " + [...mark.textContent].map(digit => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit] ?? digit).join(""));
    }
    return copy.textContent.trim();
  }

  // The number that a cell begins with: "−0.17 [−0.30, +0.02]", "89.6 k", "< 0.001"; NaN where there is none.
  function number(text) {
    const found = text.replaceAll("−", "-").match(/^[<>]? ?([+-]?[\d,]*\.?\d+)(?: ([kMGT])\b)?/);
    return found ? Number(found[1].replaceAll(",", "")) * (scale[found[2]] ?? 1) : NaN;
  }

  function sort(head, table) {
    const column = head.cellIndex, body = table.tBodies[0];
    const next = {ascending: "descending", descending: undefined}, was = head.getAttribute("aria-sort");
    const way = was ? next[was] : "ascending";
    for (const th of table.tHead.rows[0].cells) th.removeAttribute("aria-sort");
    const rows = [...body.rows].sort((a, b) => a.dataset.row - b.dataset.row);
    if (way) {
      head.setAttribute("aria-sort", way);
      const texts = new Map(rows.map(row => [row, words(row.cells[column])]));
      const said = rows.filter(row => !["", "–"].includes(texts.get(row)));
      const numbers = said.filter(row => !isNaN(number(texts.get(row)))).length * 2 > said.length;
      const value = row => numbers ? number(texts.get(row)) : texts.get(row);
      const lacks = row => !said.includes(row) || numbers && isNaN(value(row));
      const order = (a, b) => numbers ? value(a) - value(b) : value(a).localeCompare(value(b), "en");
      const sign = way === "ascending" ? 1 : -1;
      rows.sort((a, b) => lacks(a) - lacks(b) || (lacks(a) ? 0 : sign * order(a, b))); // what lacks a value comes last
    }
    body.append(...rows);
  }

  // A table as a terminal shows it, with its title above and its notes below.
  function text(scroll, table) {
    const rows = [...table.rows].map(row => [...row.cells].map(words));
    const widths = rows[0].map((_, i) => Math.max(...rows.map(row => [...row[i]].length)));
    const right = [...table.tHead.rows[0].cells].map(head => head.classList.contains("right"));
    const lines = rows.map(row => row.map((cell, i) => {
      const gap = " ".repeat(widths[i] - [...cell].length);
      return right[i] ? gap + cell : cell + gap;
    }).join("  ").trimEnd());
    const notes = [];
    for (let list = scroll.nextElementSibling; list?.matches(".footnotes, .notes"); list = list.nextElementSibling) {
      [...list.children].forEach((item, i) => notes.push(list.matches(".footnotes") ?
        [...String(i + 1)].map(digit => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("") + " " + item.textContent : item.textContent));
    }
    return [scroll.getAttribute("aria-label"), ...lines, ...notes.length ? ["", ...notes] : []].join("\n") + "\n";
  }

  async function copy(words) {
    try {
      await navigator.clipboard.writeText(words);
    } catch { // a page that was opened from a disk may have no clipboard of its own
      const area = Object.assign(document.createElement("textarea"), {value: words});
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (!done) throw new Error("the browser refuses");
    }
  }

  function prepare() {
    for (const table of document.querySelectorAll("table[data-sorts]:not([data-ready])")) {
      table.dataset.ready = "";
      [...table.tBodies[0].rows].forEach((row, i) => { row.dataset.row = i; });
      for (const head of table.tHead.rows[0].cells) {
        const button = Object.assign(document.createElement("button"), {type: "button", className: "sort"});
        button.append(...head.childNodes);
        head.append(button);
        button.onclick = () => sort(head, table);
      }
      const scroll = table.closest(".scroll");
      const button = Object.assign(document.createElement("button"),
        {type: "button", className: "copy", textContent: "Copy as text"});
      button.setAttribute("aria-live", "polite");
      button.onclick = async () => {
        let said = "Copied";
        try { await copy(text(scroll, table)); } catch { said = "The browser does not let it be copied"; }
        button.textContent = said;
        setTimeout(() => { button.textContent = "Copy as text"; }, 2000);
      };
      scroll.before(button);
    }
  }

  prepare();
  new MutationObserver(prepare).observe(document.body, {childList: true, subtree: true}); // a live page is replaced in parts
})();
