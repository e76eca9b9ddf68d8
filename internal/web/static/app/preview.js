// A look at the sample that a form points to. Only files of this origin are shown: the page's policy loads nothing else.
import { find } from "./dom.js";

const lines = 4;

/** Shows what the form's source field points to, if the form has a place for it. */
export function showPreview(form) {
  const figure = form.querySelector("[data-preview]");
  if (!figure) return;
  const url = ownURL(form.elements.namedItem("source").value);
  const note = find("[data-preview-note]", figure);
  note.textContent = url ? "" : "No preview: the file is not on this site.";
  if (figure.dataset.preview === "image") showImage(find("[data-preview-image]", figure), note, url);
  else showText(find("[data-preview-text]", figure), note, url);
}

function ownURL(text) {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  return url?.origin === location.origin ? url : undefined;
}

function showImage(image, note, url) {
  image.hidden = !url;
  if (!url || image.src === url.href) return;
  image.onload = () => { note.textContent = `${image.naturalWidth} × ${image.naturalHeight} px`; };
  image.onerror = () => {
    image.hidden = true;
    note.textContent = "No preview: this is not an image that the browser can show.";
  };
  image.src = url.href;
}

async function showText(pre, note, url) {
  pre.hidden = true;
  if (!url) return;
  try {
    const response = await fetch(url, { headers: { Range: "bytes=0-2047" } });
    if (!response.ok) throw new Error(`status ${response.status}`);
    // A server that ignores Range may send a file of any size: one piece is enough.
    const reader = response.body.getReader();
    const { value } = await reader.read();
    reader.cancel();
    pre.textContent = new TextDecoder().decode(value).split(/\r?\n/, lines).join("\n");
    pre.hidden = false;
    note.textContent = `The first ${lines} lines`;
  } catch {
    note.textContent = "No preview: the file could not be read.";
  }
}
