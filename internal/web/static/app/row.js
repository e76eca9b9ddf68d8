// One task in the list. A row is made once and then only told what has changed.
import { readTask, revoke } from "./api.js";
import { now } from "./clock.js";
import { cloneTemplate, copy, find, make, setNote, setText } from "./dom.js";
import { ago, dateTime, duration, number, pretty, shortId } from "./format.js";
import { Log } from "./log.js";
import { drawResult } from "./result.js";
import { isTerminal } from "./store.js";

const reasons = new Map([
  ["exhausted", "no retries left"],
  ["permanent", "permanent error"],
  ["poison", "took its workers down"],
  ["archived", "archived by an operator"],
  ["revoked", "withdrawn"],
  ["expired", "expired before it started"],
  ["no_worker", "no worker knows this type"],
  ["crashed", "its worker vanished"],
  ["handed_back", "handed back by a stopping worker"],
  ["run", "run again by an operator"],
]);

export class Row {
  #task;
  #parts;
  #drawn; // the result that is on show
  #log;

  /** onAnswer(task) gets a task that the row has read or revoked through the API. */
  constructor(task, onAnswer) {
    this.element = cloneTemplate("task-row").firstElementChild;
    const part = (name) => find(name, this.element);
    this.#parts = {
      glyph: part("use"), type: part(".task-type"), pill: part(".pill"), when: part(".task-when"),
      id: part(".task-id"), idText: part(".task-id code"), facts: part(".task-facts"), revoke: part(".revoke"),
      progress: part(".task-progress"), bar: part(".bar"), fill: part(".bar-fill"),
      message: part(".progress-message"), number: part(".progress-number"),
      error: part(".task-error"), notice: part(".task-notice"), result: part(".task-result"),
      more: part(".more"), details: part(".task-details"),
    };
    this.#log = new Log(part(".task-log"), part(".log-notice"));
    const { id, revoke: button, more } = this.#parts;
    this.element.dataset.task = task.id;
    setText(this.#parts.type, task.type);
    setText(this.#parts.idText, task.id);
    id.title = `Copy ${task.id}`;
    id.setAttribute("aria-label", `Copy id ${task.id}`);
    button.setAttribute("aria-label", `Revoke ${task.type} ${shortId(task.id)}`);
    id.addEventListener("click", () => this.#copyId());
    button.addEventListener("click", () => this.#revoke(onAnswer));
    more.addEventListener("click", () => this.#toggleDetails(onAnswer));
    this.update(task);
  }

  update(task) {
    const p = this.#parts;
    const before = this.#task;
    this.#task = task;
    if (before?.state !== task.state) {
      this.element.dataset.state = task.state;
      p.glyph.setAttribute("href", `#state-${task.state}`);
      this.#offerRevoke(!isTerminal(task.state));
    }
    const why = task.reason && task.reason !== task.state ? reasons.get(task.reason) ?? task.reason : "";
    setText(p.pill, why ? `${task.state}: ${why}` : task.state);
    setText(p.facts, facts(task));
    this.#showProgress(task);
    setNote(p.error, task.state === "succeeded" ? "" : task.error);
    this.#showResult(task);
    if (!p.details.hidden) {
      this.#writeDetails();
      this.#log.show(task);
    }
    this.tick();
  }

  /** Writes what changes by itself as time goes by. */
  tick() {
    setText(this.#parts.when, when(this.#task));
  }

  /** Draws the visitor's eye to the row, and moves the focus there. */
  highlight() {
    this.element.scrollIntoView({ block: "center" });
    this.element.focus({ preventScroll: true });
  }

  #showProgress({ state, progress, type }) {
    const p = this.#parts;
    const running = state === "active";
    p.progress.hidden = !running;
    if (!running) return;
    const known = progress?.total > 0;
    p.bar.classList.toggle("unknown", !known);
    p.bar.setAttribute("aria-label", `Progress of ${type}`);
    if (known) {
      const part = Math.min(1, Math.max(0, progress.done / progress.total));
      p.bar.setAttribute("aria-valuemax", String(progress.total));
      p.bar.setAttribute("aria-valuenow", String(Math.min(progress.done, progress.total)));
      p.bar.setAttribute("aria-valuetext", progress.message || `${Math.round(part * 100)} %`);
      p.fill.style.transform = `scaleX(${part})`;
    } else {
      for (const name of ["aria-valuemax", "aria-valuenow", "aria-valuetext"]) p.bar.removeAttribute(name);
      p.fill.style.transform = "";
    }
    setText(p.message, progress?.message ?? "");
    setText(p.number, !progress ? "" : known ? percent(progress) : number(progress.done));
  }

  #showResult(task) {
    const p = this.#parts;
    const shown = task.state === "succeeded" && task.result !== undefined && task.result !== null;
    p.result.hidden = !shown;
    if (!shown || this.#drawn === task.result) return;
    this.#drawn = task.result;
    p.result.replaceChildren(...drawResult(task));
  }

  #offerRevoke(offered) {
    const { revoke: button } = this.#parts;
    if (!offered && document.activeElement === button) this.element.focus({ preventScroll: true }); // not back to the top of the page
    button.hidden = !offered;
  }

  async #revoke(onAnswer) {
    const { revoke: button, notice } = this.#parts;
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    setNote(notice, "");
    try {
      const answer = await revoke(this.#task.queue, this.#task.id);
      if (answer?.id) onAnswer(answer);
    } catch (error) {
      setNote(notice, `Not revoked: ${error.message}`);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }

  async #copyId() {
    const { idText } = this.#parts;
    const copied = await copy(this.#task.id);
    if (!copied) return; // it is there, to be copied by hand
    setText(idText, "copied");
    setTimeout(() => setText(idText, this.#task.id), 1200);
  }

  async #toggleDetails(onAnswer) {
    const { more, details } = this.#parts;
    details.hidden = !details.hidden;
    more.setAttribute("aria-expanded", String(!details.hidden));
    if (details.hidden) return this.#log.hide();
    this.#writeDetails();
    this.#log.show(this.#task);
    if (this.#task.max_retries !== undefined) return;
    // All that is known came by events, which do not carry a task's arguments.
    try {
      onAnswer(await readTask(this.#task.queue, this.#task.id));
    } catch (error) {
      setNote(this.#parts.notice, `The arguments cannot be read: ${error.message}`);
    }
  }

  #writeDetails() {
    const task = this.#task;
    const rows = [
      ["ID", task.id],
      ["Queue", task.queue],
      ["Owner", task.owner],
      ["Worker", task.worker],
      ["Attempts", task.max_retries === undefined ? String(task.attempt) : `${task.attempt} of at most ${task.max_retries + 1}`],
      ["Crashes", task.crashes && String(task.crashes)],
      ["Enqueued", task.enqueued_at && dateTime(task.enqueued_at)],
      ["Due", task.due_at && dateTime(task.due_at)],
      ["Started", task.started_at && dateTime(task.started_at)],
      ["Finished", task.finished_at && dateTime(task.finished_at)],
      ["Expires", task.expires_at && dateTime(task.expires_at)],
      ["Result kept for", task.retention && duration(task.retention * 1000)],
    ].filter(([, value]) => value);
    const args = task.payload === undefined ? task.payload_base64 : pretty(task.payload);
    if (args !== undefined) rows.push(["Arguments", make("pre", { tabindex: "0", text: args })]);
    if (task.headers) rows.push(["Headers", make("pre", { tabindex: "0", text: pretty(task.headers) })]);
    this.#parts.details.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", {}, value)]));
  }
}

function facts({ attempt, queue, owner }) {
  const words = [];
  if (attempt > 1) words.push(`attempt ${attempt}`);
  if (queue !== "default") words.push(`queue ${queue}`);
  if (owner) words.push(owner);
  return words.join(" · ");
}

function percent({ done, total }) {
  return `${Math.floor(Math.min(1, done / total) * 100)} %`;
}

/** What time has to say about a task in its state. */
function when(task) {
  const since = (time) => now() - Date.parse(time);
  switch (task.state) {
    case "scheduled":
    case "retrying": {
      const left = task.due_at ? -since(task.due_at) : 0;
      return left > 0 ? `in ${duration(Math.ceil(left / 1000) * 1000)}` : "due now";
    }
    case "pending":
      return task.enqueued_at ? ago(since(task.enqueued_at)) : "";
    case "active":
      return task.started_at ? duration(since(task.started_at)) : "";
    default: {
      if (!task.finished_at) return "";
      const took = task.started_at && task.state !== "revoked" ? Date.parse(task.finished_at) - Date.parse(task.started_at) : undefined;
      return [took >= 0 ? duration(took) : "", ago(since(task.finished_at))].filter(Boolean).join(" · ");
    }
  }
}
