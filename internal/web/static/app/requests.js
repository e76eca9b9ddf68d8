// From the fields of a form to the body of POST /v1/tasks. Only what the server cannot know is checked here:
// whether the text in a field can be read as what the field means.

/** What is wrong with a form, by field. */
export class Faults extends Error {
  constructor(fields) {
    super("the form has faults");
    this.fields = fields; // [{field, message}]
  }
}

/** Returns the request that a form stands for, without what was left empty. Throws Faults. */
export function requestOf(form) {
  const read = new Reader(form.elements);
  const request = {
    type: form.dataset.type,
    payload: payloads[form.dataset.type](read),
    countdown: read.number("countdown", "countdown"),
    max_retries: read.wholeNumber("max_retries", "max_retries"),
    owner: read.text("owner"),
    queue: read.text("queue"),
  };
  if (read.faults.length > 0) throw new Faults(read.faults);
  return request; // JSON leaves out what is undefined
}

const payloads = {
  "image.thumbnail": (read) => ({
    source: read.required("source", "payload.source", "Give the URL of an image."),
    sizes: read.wholeNumbers("sizes", "payload.sizes"),
    format: read.text("format"),
  }),
  "csv.profile": (read) => ({
    source: read.required("source", "payload.source", "Give the URL of a CSV or TSV file."),
    delimiter: read.text("delimiter")?.replace("tab", "\t"),
    top: read.wholeNumber("top", "payload.top"),
  }),
  "http.request": (read) => ({
    url: read.required("url", "payload.url", "Give the URL to call."),
    method: read.text("method"),
    headers: read.headers("headers", "payload.headers"),
    body: read.raw("body") || undefined,
  }),
};

/** Reads fields and collects what is wrong with them. */
class Reader {
  faults = [];
  #elements;

  constructor(elements) { this.#elements = elements; }

  raw(name) { return this.#elements.namedItem(name).value; }

  text(name) { return this.raw(name).trim() || undefined; }

  required(name, field, message) {
    return this.text(name) ?? this.#fault(field, message);
  }

  number(name, field) {
    const text = this.text(name)?.replace(",", ".");
    if (text === undefined || /^\d+(\.\d+)?$/.test(text)) return text && Number(text);
    return this.#fault(field, "Give a number, such as 10 or 2.5.");
  }

  wholeNumber(name, field) {
    const text = this.text(name);
    if (text === undefined || /^\d+$/.test(text)) return text && Number(text);
    return this.#fault(field, "Give a whole number.");
  }

  wholeNumbers(name, field) {
    const words = this.raw(name).split(/[\s,;]+/).filter(Boolean);
    if (words.length > 0 && words.every((word) => /^\d+$/.test(word))) return words.map(Number);
    return this.#fault(field, "Give whole numbers with commas between, such as 640, 320.");
  }

  headers(name, field) {
    const lines = this.raw(name).split("\n").map((line) => line.trim()).filter(Boolean);
    if (lines.length === 0) return undefined;
    if (!lines.every((line) => line.indexOf(":") > 0)) return this.#fault(field, "Write each header as Name: value on a line of its own.");
    return Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    }));
  }

  #fault(field, message) {
    this.faults.push({ field, message });
    return undefined;
  }
}
