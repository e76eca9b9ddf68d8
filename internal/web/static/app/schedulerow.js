// One schedule in the list: when it ticks next, what came of the last tick, and what can be done to it.
import { pauseSchedule, resumeSchedule, scheduleHistory, scheduleTicks, triggerSchedule } from "./api.js";
import { drawTicks } from "./calendar.js";
import { now } from "./clock.js";
import { cloneTemplate, find, make, setNote, setText } from "./dom.js";
import { ago, count, dateTime, duration, shortId } from "./format.js";

const missedBecause = { outage: "nobody could fire them in time", overlap: "an earlier task had not ended" };

export class ScheduleRow {
  #schedule;
  #parts;
  #onAnswer;
  #drawing = 0; // of details: the newest call wins
  #stale = false; // what the details show

  /** onAnswer(schedule) gets the schedule as a button has changed it. */
  constructor(schedule, onAnswer) {
    this.element = cloneTemplate("schedule-row").firstElementChild;
    const part = (name) => find(name, this.element);
    this.#parts = {
      glyph: part("use"), name: part(".task-type"), pill: part(".pill"), when: part(".task-when"), spec: part(".schedule-spec code"),
      facts: part(".task-facts"), counts: part(".schedule-counts"), run: part(".run"), hold: part(".hold"), more: part(".more"),
      notice: part(".task-notice"), details: part(".schedule-details"),
    };
    this.#onAnswer = onAnswer;
    this.element.dataset.schedule = schedule.id;
    setText(this.#parts.name, schedule.id);
    const { run, hold, more } = this.#parts;
    run.setAttribute("aria-label", `Run ${schedule.id} now`);
    more.setAttribute("aria-label", `Details of ${schedule.id}`);
    run.addEventListener("click", () => this.#run());
    hold.addEventListener("click", () => this.#hold());
    more.addEventListener("click", () => this.#toggleDetails());
    this.update(schedule);
  }

  /** What the filter looks at. */
  get text() {
    const { id, queue, definition } = this.#schedule;
    return `${id} ${queue} ${definition?.task ?? ""}`.toLowerCase();
  }

  update(schedule) {
    const before = this.#schedule;
    this.#schedule = schedule;
    const p = this.#parts;
    const state = schedule.fault || schedule.denied ? "failed" : schedule.paused ? "paused" : schedule.last_state ?? "none";
    this.element.dataset.state = state;
    p.glyph.setAttribute("href", `#state-${state}`);
    setText(p.pill, pill(schedule));
    setText(p.spec, spec(schedule.definition ?? {}));
    setText(p.facts, facts(schedule));
    setText(p.counts, counts(schedule));
    setText(p.hold, schedule.paused ? "Resume" : "Pause");
    p.hold.setAttribute("aria-label", `${schedule.paused ? "Resume" : "Pause"} ${schedule.id}`);
    this.tick();
    if (before && (before.last !== schedule.last || before.revision !== schedule.revision || before.missed !== schedule.missed)) this.#outdated();
  }

  /** Writes what changes by itself as time goes by. */
  tick() {
    const { next, paused, denied, fault } = this.#schedule;
    const p = this.#parts;
    if (fault || denied) setText(p.when, "does not tick");
    else if (paused) setText(p.when, `paused ${ago(now() - Date.parse(paused.since))}`);
    else if (!next) setText(p.when, "no next tick");
    else {
      const left = Date.parse(next) - now();
      const seconds = Math.ceil(left / 1000);
      setText(p.when, seconds > 0 ? `next in ${seconds < 60 ? `${seconds} s` : duration(seconds * 1000)}` : "due");
      p.when.title = dateTime(next);
    }
    if (this.#stale && !p.details.hidden) {
      this.#stale = false;
      this.#drawDetails();
    }
  }

  /** The task of one of its ticks has another state. */
  taskChanged(task, state) {
    if (task === this.#schedule.last_task && state !== this.#schedule.last_state) this.update({ ...this.#schedule, last_state: state });
    this.#outdated();
  }

  #outdated() {
    this.#stale = true; // drawn anew within a second, if anybody looks
  }

  async #run() {
    await this.#act(this.#parts.run, async () => {
      const { queue, id } = this.#schedule;
      const run = await triggerSchedule(queue, id);
      const what = { exists: "was enqueued before, in this second", waits: "waits for an earlier one to end" }[run.outcome] ?? "is enqueued";
      this.#say(`Task ${run.task} ${what}.`);
    });
  }

  async #hold() {
    const { queue, id, paused } = this.#schedule;
    if (paused) {
      await this.#act(this.#parts.hold, async () => this.#onAnswer(await resumeSchedule(queue, id)));
      return;
    }
    const note = await askWhy(id);
    if (note !== undefined) await this.#act(this.#parts.hold, async () => this.#onAnswer(await pauseSchedule(queue, id, note)));
  }

  /** Does something that a button is for, once at a time, and says what is wrong. */
  async #act(button, action) {
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    setNote(this.#parts.notice, "");
    try {
      await action();
    } catch (error) {
      this.#say(error.message);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }

  #say(text) {
    setNote(this.#parts.notice, text);
  }

  #toggleDetails() {
    const { more, details } = this.#parts;
    details.hidden = !details.hidden;
    more.setAttribute("aria-expanded", String(!details.hidden));
    if (!details.hidden) this.#drawDetails();
  }

  async #drawDetails() {
    const { queue, id, definition } = this.#schedule;
    const drawing = ++this.#drawing;
    try {
      const [ticks, history] = await Promise.all([scheduleTicks(queue, id), scheduleHistory(queue, id)]);
      if (drawing !== this.#drawing) return;
      this.#parts.details.replaceChildren(
        ...drawTicks(ticks),
        make("h4", { text: "What came of the newest ticks" }),
        drawHistory(history.ticks),
        make("details", { class: "fold" }, make("summary", { text: "Definition" }), make("pre", { class: "json", tabindex: "0", text: JSON.stringify(definition, null, 2) })),
      );
    } catch (error) {
      if (drawing === this.#drawing) this.#say(error.message);
    }
  }
}

function spec(d) {
  if (d.every) return `every ${d.every}`;
  if (d.solar) return `${d.solar.event} at ${d.solar.latitude}, ${d.solar.longitude}`;
  return d.cron ?? d.at ?? d.rrule ?? "";
}

function facts({ definition, queue, source }) {
  const d = definition ?? {};
  const zone = d.cron || d.at || d.rrule ? d.timezone ?? "UTC" : undefined;
  return [zone, d.task && `runs ${d.task}`, queue !== "default" && `queue ${queue}`, source === "file" && "from a file", d.enabled === false && "not enabled"].filter(Boolean).join(" · ");
}

function pill({ fault, denied, paused, last_task: task, last_state: state }) {
  if (fault) return `fault: ${fault}`;
  if (denied) return "no beat may write to its queue";
  if (paused) return paused.note ? `paused: ${paused.note}` : "paused";
  if (!task) return "has not ticked yet";
  return state ? `last: ${state}` : "last task is gone";
}

function counts({ runs, missed, waiting }) {
  return [count(runs, "run"), missed > 0 && `${missed.toLocaleString("en")} missed`, waiting?.length > 0 && `${waiting.length} waiting`].filter(Boolean).join(" · ");
}

function drawHistory(ticks) {
  if (ticks.length === 0) return make("p", { class: "hint", text: "It has not ticked yet." });
  const rows = ticks.map((t) => t.missed
    ? make("tr", {}, make("td", { text: dateTime(t.tick) }), make("td", { colspan: "3", text: `${count(t.missed, "tick")} missed: ${missedBecause[t.reason] ?? t.reason}` }))
    : make("tr", {},
      make("td", { text: dateTime(t.tick) }), make("td", {}, state(t.state), t.asked ? " by hand" : ""),
      make("td", { class: "number", text: duration(t.late_ms ?? 0) }), make("td", {}, make("code", { text: shortTask(t.task) }))));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "History" }, make("table", {},
    make("thead", {}, make("tr", {}, ...["Tick", "State", "Late", "Task"].map((text) => make("th", { scope: "col", text, class: text === "Late" && "number" })))),
    make("tbody", {}, ...rows)));
}

function state(name) {
  const pill = make("span", { class: "pill", text: name ?? "gone" });
  if (name) pill.dataset.state = name;
  return pill;
}

function shortTask(id) {
  const [, tick] = /:([0-9]+)$/.exec(id) ?? [];
  return tick ? `…:${tick}` : shortId(id);
}

/** Asks for the reason of a pause. Returns undefined if there is to be none. */
function askWhy(id) {
  const dialog = find("#pause-dialog");
  const note = find("#pause-note");
  setText(find("#pause-what"), `${id} does not tick until it is resumed. What passes meanwhile is not missed.`);
  note.value = "";
  return new Promise((resolve) => {
    const events = new AbortController();
    const on = (target, type, listener) => target.addEventListener(type, listener, { signal: events.signal });
    const end = (why) => {
      events.abort();
      dialog.close();
      resolve(why);
    };
    on(find("form", dialog), "submit", (event) => {
      event.preventDefault();
      end(note.value.trim());
    });
    on(find("#pause-cancel"), "click", () => end());
    on(dialog, "cancel", () => end());
    on(dialog, "close", () => { if (!dialog.open) end(); }); // the event may be that of a dialog before, and come late
    dialog.showModal();
  });
}
