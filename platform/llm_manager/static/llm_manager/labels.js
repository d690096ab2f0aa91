// Names of controls for screen readers, where the packages that draw them give none:
// Select2's boxes, fields in rows of a table, help beside Django's two-column lists.
"use strict";

(() => {
  const textOf = (element) => element?.textContent.replace(/\s+/g, " ").trim() ?? "";

  const nameInRow = (control) => {
    const cell = control.closest("td");
    if (!cell) return "";
    const heads = cell.closest("table")?.tHead?.rows[0]?.cells;
    return cell.dataset.label || textOf(heads?.[cell.cellIndex]);
  };

  const nameOf = (control) =>
    textOf(control.labels?.[0]) || control.getAttribute("aria-label") || nameInRow(control);

  const name = () => {
    for (const box of document.querySelectorAll(".select2-selection")) {
      const select = box.closest(".select2-container")?.previousElementSibling;
      const text = select && nameOf(select);
      if (!text) continue;
      for (const part of [box, ...box.querySelectorAll("[role=textbox]")]) {
        part.setAttribute("aria-label", text);
      }
    }
    for (const help of document.querySelectorAll("span.help-tooltip[aria-label]")) {
      help.setAttribute("role", "img");
    }
    const fields = "td :is(input:not([type=hidden]), select, textarea)";
    for (const field of document.querySelectorAll(fields)) {
      if (field.labels?.length || field.hasAttribute("aria-label")) continue;
      const text = nameInRow(field);
      if (text) field.setAttribute("aria-label", text);
    }
  };

  // After the scripts that draw them.
  window.addEventListener("load", () => setTimeout(name));
  document.addEventListener("formset:added", () => setTimeout(name));
})();
