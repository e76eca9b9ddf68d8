// The list of tasks, newest first. Changes are gathered and drawn once a frame; rows are kept by key, and only those
// that have changed are touched.
import { find, make, setNote, setText } from "./dom.js";
import { count } from "./format.js";
import { Row } from "./row.js";
import { keyOf, states } from "./store.js";

const mostRows = 200;

export class TaskList {
  #store;
  #element = find("#task-list");
  #rows = new Map(); // key → Row, of the tasks on show
  #changed = new Set(); // keys
  #state = ""; // the state that is shown; "": all
  #chips = new Map(); // state → {button, number}
  #frame = 0;
  #loaded = false;

  constructor(store) {
    this.#store = store;
    for (const state of ["", ...states]) this.#addChip(state);
    // Rows far out of view have nothing to say each second, but there are at most 200 of them.
    setInterval(() => { if (!document.hidden) for (const row of this.#rows.values()) row.tick(); }, 1000);
  }

  changed(key) {
    this.#changed.add(key);
    this.#schedule();
  }

  replaced() {
    this.#loaded = true;
    for (const key of this.#rows.keys()) this.#changed.add(key);
    this.#schedule();
  }

  /** Brings a task into view, whatever the filter. */
  show(task) {
    if (this.#state !== "" && this.#state !== this.#store.get(keyOf(task))?.state) this.#filter("");
    this.#draw();
    this.#rows.get(keyOf(task))?.highlight();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const counts = Object.fromEntries(states.map((state) => [state, 0]));
    const matching = [];
    for (const task of this.#store.all()) {
      counts[task.state]++;
      if (this.#state === "" || this.#state === task.state) matching.push(task);
    }
    matching.sort(newestFirst);
    this.#drawChips(counts);
    this.#drawRows(matching.slice(0, mostRows));
    this.#drawNotes(matching.length);
    this.#changed.clear();
  }

  #drawRows(tasks) {
    const wanted = new Set(tasks.map(keyOf));
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      if (row.element.contains(document.activeElement)) find("#tasks").focus({ preventScroll: true });
      row.element.remove();
      this.#rows.delete(key);
    }
    let place = this.#element.firstElementChild;
    for (const task of tasks) {
      const key = keyOf(task);
      let row = this.#rows.get(key);
      if (!row) {
        row = new Row(task, (answer) => this.#store.put(answer));
        this.#rows.set(key, row);
      } else if (this.#changed.has(key)) {
        row.update(task);
      }
      if (row.element === place) place = place.nextElementSibling;
      else this.#element.insertBefore(row.element, place);
    }
  }

  #drawNotes(matching) {
    const shown = Math.min(matching, mostRows);
    setNote(find("#more-note"), [
      matching > shown && `The newest ${shown} of ${count(matching, "task")} are shown.`,
      this.#store.partial && "The server holds older tasks, which it did not send.",
    ].filter(Boolean).join(" "));
    const empty = find("#empty");
    empty.hidden = matching > 0 || !this.#loaded;
    setText(find("#empty-text"), this.#store.size === 0
      ? "No tasks yet. Enqueue one: its sample is filled in already."
      : `No task is ${this.#state} now.`);
  }

  #addChip(state) {
    const number = make("span", { class: "chip-number", text: "0" });
    const word = make("span", { class: "chip-word", text: state || "all" });
    const button = make("button", { type: "button", class: "chip none", "aria-pressed": String(state === this.#state) }, number, word);
    if (state) button.dataset.state = state;
    button.addEventListener("click", () => this.#filter(state));
    find("#chips").append(button);
    this.#chips.set(state, { button, number });
  }

  #drawChips(counts) {
    for (const [state, { button, number }] of this.#chips) {
      const n = state === "" ? this.#store.size : counts[state];
      setText(number, n.toLocaleString("en"));
      button.classList.toggle("none", n === 0);
    }
  }

  #filter(state) {
    this.#state = state;
    for (const [of, { button }] of this.#chips) button.setAttribute("aria-pressed", String(of === state));
    this.#schedule();
  }
}

function newestFirst(a, b) {
  return (Date.parse(b.enqueued_at) || 0) - (Date.parse(a.enqueued_at) || 0);
}
