// The form that shows the ticks of a schedule which is not saved, as it is typed.
import { previewSchedule, Problem } from "./api.js";
import { drawTicks } from "./calendar.js";
import { find, setNote } from "./dom.js";

const pause = 250; // ms after the last key

export function setUpPreview() {
  const form = find("#preview");
  const spec = find("#preview-spec");
  const zone = find("#preview-zone");
  zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
  for (const name of Intl.supportedValuesOf?.("timeZone") ?? []) find("#zones").append(new Option(name));

  let timer;
  let asked; // the question under way
  const ask = async () => {
    clearTimeout(timer);
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const answer = await previewSchedule(definition(spec.value, zone.value), signal);
      if (signal.aborted) return;
      fault();
      find("#preview-answer").replaceChildren(...drawTicks(answer));
    } catch (error) {
      if (signal.aborted) return;
      fault(error);
      find("#preview-answer").replaceChildren();
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, pause);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  ask();

  function fault(error) {
    setNote(find("#preview-fault"), error?.message);
    const fields = error instanceof Problem ? error.fields.map((f) => f.field) : [];
    zone.setAttribute("aria-invalid", String(fields.includes("timezone")));
    spec.setAttribute("aria-invalid", String(fields.some((f) => f !== "timezone")));
  }
}

/** What is typed, as a schedule. */
function definition(text, zone) {
  text = text.trim();
  if (text.includes("RRULE:")) return { rrule: text, timezone: zone.trim() };
  const [, interval] = /^@every\s+(.*)$/.exec(text) ?? [];
  if (interval) return { every: interval };
  return { cron: text, timezone: zone.trim() };
}
