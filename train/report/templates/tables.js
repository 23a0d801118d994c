"use strict";
// Tables sort by a click on a head, and show only the rows that have the words of a box. Without
// this script they are as they were written: complete.
(() => {
  const FEWEST_TO_FILTER = 6;
  const text = (row, column) => row.cells[column].textContent.trim();

  function number(words) {
    const found = words.replace(/\u2212/g, "-").match(/[-+]?\d+(?:\.\d+)?/);
    if (!found) return NaN;
    // "< 0.001" is less than 0.001.
    return parseFloat(found[0]) - (words.startsWith("<") ? 1e-9 : 0);
  }

  function compare(column, isNumber) {
    return (one, other) => {
      const [a, b] = [text(one, column), text(other, column)];
      if (!isNumber) return a.localeCompare(b, "en", { numeric: true });
      return number(a) - number(b);
    };
  }

  function sorted(rows, column, isNumber, descending) {
    const isEmpty = (row) =>
      isNumber ? Number.isNaN(number(text(row, column))) : !text(row, column);
    const filled = rows.filter((row) => !isEmpty(row)).sort(compare(column, isNumber));
    if (descending) filled.reverse();
    return [...filled, ...rows.filter(isEmpty)];
  }

  function sortable(table, rows) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const isNumber = head.classList.contains("number");
      // Of numbers the largest first, of words the first; then the other way; then as written.
      const turns = isNumber ? ["descending", "ascending"] : ["ascending", "descending"];
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const turn = turns[turns.indexOf(head.getAttribute("aria-sort")) + 1] ?? "none";
        for (const each of heads) each.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", turn);
        const order =
          turn === "none" ? rows : sorted(rows, column, isNumber, turn === "descending");
        table.tBodies[0].append(...order);
      });
    });
  }

  function filtered(table, rows) {
    const region = table.parentElement;
    const box = document.createElement("input");
    box.type = "search";
    box.setAttribute("aria-label", `Filter rows of: ${region.getAttribute("aria-label")}`);
    box.placeholder = "Filter rows";
    const told = document.createElement("span");
    told.setAttribute("role", "status");
    const line = document.createElement("p");
    line.className = "filter";
    line.append(box, " ", told);
    region.before(line);
    const texts = rows.map((row) =>
      [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()
    );
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      const hits = texts.map((each) => words.every((word) => each.includes(word)));
      rows.forEach((row, place) => (row.hidden = !hits[place]));
      const count = hits.filter(Boolean).length;
      told.textContent = words.length ? `${count} of ${rows.length} rows` : "";
      line.classList.toggle("active", words.length > 0);
    });
  }

  for (const table of document.querySelectorAll(".scroll > table")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length > 1) sortable(table, rows);
    if (rows.length >= FEWEST_TO_FILTER) filtered(table, rows);
  }
})();
