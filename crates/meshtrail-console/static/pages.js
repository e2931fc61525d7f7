// What scripts add to the pages about the mesh: rows of changes open with a click, the matrix tells where the
// pointer is, and the arrow keys move through it.
const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

document.addEventListener("click", (event) => {
  const row = event.target.closest("li[data-row]");
  if (row && !event.target.closest("a, button, summary, details, .copy, .diff") && getSelection().isCollapsed) row.querySelector("a.open")?.click();
});

/** The cell of a table `rows` down and `columns` across from this one that can be opened. */
function neighbour(cell, rows, columns) {
  const table = cell.closest("table");
  let row = cell.parentElement.rowIndex;
  let column = cell.cellIndex;
  for (;;) {
    row += rows;
    column += columns;
    const next = table.rows[row]?.cells[column];
    if (!next || row === 0) return null;
    const link = next.querySelector("a");
    if (link) return link;
  }
}

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

each("table.matrix", (table) => {
  const said = document.querySelector("#matrix-said");
  const say = (event) => {
    const link = event.target.closest?.("td a");
    if (link && said) said.textContent = link.getAttribute("aria-label");
  };
  table.addEventListener("pointerover", say);
  table.addEventListener("focusin", say);
  table.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    const cell = event.target.closest?.("td, tbody th");
    if (!move || !cell) return;
    const next = neighbour(cell, ...move);
    if (!next) return;
    next.focus();
    event.preventDefault();
  });
});
