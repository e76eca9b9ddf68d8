// A look at the sample that a form points to. Only files of this origin are shown: the page's policy loads nothing else.
import { find } from "./dom.js";

const lines = 4; // of a text
const enlarged = 360; // px: an image that is less wide than this would be blurred by filling the form

/** Shows what the form's source field points to, if the form has a place for it. */
export function showPreview(form) {
  const figure = form.querySelector("[data-preview]");
  if (!figure) return;
  const url = ownURL(form.elements.namedItem("source").value);
  const note = find("[data-preview-note]", figure);
  note.textContent = url ? "" : "No preview: the file is not on this site.";
  if (figure.dataset.preview === "image") showImage(find("[data-preview-image]", figure), note, url, form.elements.namedItem("sizes"));
  else showText(find("[data-preview-text]", figure), note, url);
}

function ownURL(text) {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  return url?.origin === location.origin ? url : undefined;
}

function showImage(image, note, url, sizes) {
  image.hidden = !url;
  if (!url) return;
  image.onload = () => {
    note.textContent = `${image.naturalWidth} × ${image.naturalHeight} px`;
    image.classList.toggle("small", image.naturalWidth < enlarged);
    suggestSizes(sizes, Math.max(image.naturalWidth, image.naturalHeight));
  };
  image.onerror = () => {
    image.hidden = true;
    note.textContent = "No preview: this is not an image that the browser can show.";
  };
  image.src = url.href;
}

/** No image is ever enlarged: unless the visitor has chosen sizes, they are to be smaller than the image. */
function suggestSizes(input, edge) {
  if (input.value !== input.defaultValue || Number.parseInt(input.value, 10) <= edge) return;
  const largest = 2 ** Math.floor(Math.log2(edge));
  input.value = [largest, largest / 2, largest / 4].filter((size) => size >= 1).join(", ");
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
