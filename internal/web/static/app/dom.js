// Small helpers around the DOM. Text that comes from tasks only ever becomes text nodes; nothing here parses HTML.

/** Returns the first match below root; throws where there is none, since that is a mistake in the page. */
export function find(selector, root = document) {
  const element = root.querySelector(selector);
  if (!element) throw new Error(`the page has no ${selector}`);
  return element;
}

/** Makes an element. Properties are attributes, except "class" and "text"; children may be strings. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Writes text only if it differs, so that an update which changes nothing costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows text in element, and hides the element if there is none. */
export function setNote(element, text) {
  setText(element, text ?? "");
  element.hidden = !text;
}

/** Copies text; returns false where the browser does not let us (no secure context). */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function cloneTemplate(id) {
  return document.importNode(find(`template#${id}`).content, true);
}
