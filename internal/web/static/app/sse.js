// A parser of server-sent events (HTML Living Standard, section 9.2.6). EventSource would do the parsing for us, but it
// cannot send an Authorization header.

/** Takes text in pieces of any size and gives the events that are complete. */
export class EventParser {
  #rest = "";
  #data = [];
  #type = "";
  /** The id of the last event; the position to resume from. */
  lastEventId = "";
  /** The wait in ms that the server asks for before a new connection; undefined if it has not. */
  retry = undefined;

  push(text) {
    this.#rest += text;
    // A carriage return at the very end may be the first half of CR LF: it waits for the next piece.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const events = [];
    for (const line of lines) {
      if (line === "") this.#dispatch(events);
      else this.#field(line);
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment: the server's sign of life
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    switch (name) {
      case "data": this.#data.push(value); break;
      case "event": this.#type = value; break;
      case "id": if (!value.includes("\0")) this.lastEventId = value; break;
      case "retry": if (/^\d+$/.test(value)) this.retry = Number(value); break;
    }
  }

  #dispatch(events) {
    if (this.#data.length > 0) {
      events.push({ type: this.#type || "message", data: this.#data.join("\n"), id: this.lastEventId });
    }
    this.#data = [];
    this.#type = "";
  }
}
