// Tabs after the ARIA pattern: arrow keys, Home and End move; only the chosen tab is in the tab order.
import { find } from "./dom.js";

/** onShow(panel) is called whenever a panel comes into view. */
export function tabs(list, onShow) {
  const all = [...list.querySelectorAll("[role=tab]")];

  function show(chosen) {
    for (const tab of all) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      const panel = find(`#${tab.getAttribute("aria-controls")}`);
      panel.hidden = !selected;
      if (selected) onShow(panel);
    }
  }

  for (const tab of all) tab.addEventListener("click", () => show(tab));
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(document.activeElement);
    const next = {
      ArrowRight: all[(at + 1) % all.length],
      ArrowLeft: all.at(at - 1),
      Home: all[0],
      End: all.at(-1),
    }[event.key];
    if (at < 0 || !next) return;
    event.preventDefault();
    next.focus();
    show(next);
  });
  show(all.find((tab) => tab.getAttribute("aria-selected") === "true"));
}
