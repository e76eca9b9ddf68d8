// The next ticks, and a year of days as a table of months: how often each day ticks, and where clocks change.
import { make } from "./dom.js";
import { count } from "./format.js";

const months = new Intl.DateTimeFormat("en", { month: "short", timeZone: "UTC" });
const longDay = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const levels = [[0, "none"], [1, "1"], [3, "2 to 3"], [24, "4 to 24"], [Infinity, "more"]]; // up to so many ticks a day

/** Returns the elements that show an answer of the API about upcoming ticks. */
export function drawTicks({ timezone, ticks, calendar }) {
  const next = ticks.length === 0
    ? make("p", { class: "hint", text: "There are no more ticks." })
    : make("ol", { class: "upcoming" }, ...ticks.map((t) => make("li", {}, make("time", { datetime: t.tick, text: localText(t.local) }), t.due ? make("span", { class: "hint", text: " and up to its jitter later" }) : "")));
  const changes = calendar.filter((d) => d.clock_change);
  return [
    make("h4", { text: `Next, by the clock of ${timezone}` }),
    next,
    make("h4", { text: "A year from today" }),
    drawYear(calendar, changes, timezone),
    make("p", { class: "legend", "aria-hidden": "true" }, ...levels.map(([, text], level) => make("span", {}, make("i", { class: `day level-${level}` }), text)), make("span", {}, make("i", { class: "day change" }), "clock changes")),
    changes.length === 0
      ? make("p", { class: "hint", text: "No clock changes." })
      : make("ul", { class: "changes" }, ...changes.map((d) => make("li", { text: `${longDay.format(dayOf(d.date))}: the clock goes ${d.clock_change > 0 ? "forward" : "back"} by ${minutes(Math.abs(d.clock_change) / 60)}, ${d.ticks === 0 ? "no tick" : ticksText(d)}` }))),
  ];
}

function drawYear(calendar, changes, timezone) {
  const days = new Map(calendar.map((d) => [d.date, d]));
  const grid = make("div", { class: "year", role: "img", "aria-label": summary(calendar, changes) });
  if (calendar.length === 0) return grid;
  const first = today(timezone);
  const last = new Date(first);
  last.setUTCDate(last.getUTCDate() + 364);
  for (let month = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), 1)); month <= last; month.setUTCMonth(month.getUTCMonth() + 1)) {
    grid.append(make("span", { class: "month", text: months.format(month) }));
    for (let n = 1; n <= 31; n++) {
      const date = new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth(), n));
      const inside = date.getUTCMonth() === month.getUTCMonth() && date >= first && date <= last;
      grid.append(inside ? drawDay(date, days.get(date.toISOString().slice(0, 10))) : make("i"));
    }
  }
  return grid;
}

function drawDay(date, day) {
  const level = levels.findIndex(([most]) => (day?.more ? Infinity : day?.ticks ?? 0) <= most);
  const weekend = date.getUTCDay() % 6 === 0;
  return make("i", {
    class: `day level-${level}${day?.clock_change ? " change" : ""}${weekend ? " weekend" : ""}`,
    title: `${longDay.format(date)}: ${day?.ticks ? ticksText(day) : "no tick"}${day?.clock_change ? ", the clock changes" : ""}`,
  });
}

function summary(calendar, changes) {
  const ticking = calendar.filter((d) => d.ticks > 0).length;
  return `A calendar of a year: ticks on ${count(ticking, "day")}, ${count(changes.length, "change")} of the clock.`;
}

function ticksText(day) {
  return day.more ? `more than ${day.ticks} ticks` : count(day.ticks, "tick");
}

function minutes(n) {
  return n % 60 === 0 ? count(n / 60, "hour") : count(n, "minute");
}

/** The day that it is by the clock of a zone, which need not be that of the page's reader. */
function today(timezone) {
  const parts = new Intl.DateTimeFormat("en", { timeZone: timezone, year: "numeric", month: "numeric", day: "numeric" }).formatToParts();
  const [year, month, day] = ["year", "month", "day"].map((type) => Number(parts.find((p) => p.type === type).value));
  return new Date(Date.UTC(year, month - 1, day));
}

function dayOf(date) {
  return new Date(`${date}T00:00:00Z`);
}

/** "2026-03-29T03:00:00+02:00" as "Sun 29 Mar 2026, 03:00:00 +02:00": the clock of its zone, whatever this one's. */
function localText(local) {
  const [, date, time, offset] = /^(\d{4}-\d\d-\d\d)T([\d:]+)(Z|[+-][\d:]+)$/.exec(local) ?? [];
  return date ? `${longDay.format(dayOf(date))}, ${time} ${offset === "Z" ? "UTC" : offset}` : local;
}
