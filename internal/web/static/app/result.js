// What a task returned, drawn by what it looks like. Results are written by tasks and are not to be trusted: every shape
// is checked, and whatever is not recognised is shown as JSON.
import { make } from "./dom.js";
import { bytes, count, number, pretty } from "./format.js";

const mostColumns = 100; // of a profile, and images of a thumbnail task
const longestEdge = 256; // px, of the largest thumbnail on show
const mostText = 20_000; // characters of JSON or of a body

/** Returns the elements that show the result of a succeeded task. */
export function drawResult(task) {
  return pictures.get(task.type)?.(task.result) ?? [drawJSON(task.result)];
}

// A map and not an object, in which a type named "__proto__" would be found.
const pictures = new Map([
  ["image.thumbnail", drawImages],
  ["csv.profile", drawProfile],
  ["http.request", drawResponse],
]);

function drawJSON(value) {
  const text = pretty(value);
  const pre = make("pre", { class: "json", tabindex: "0" }, text.slice(0, mostText));
  if (text.length > mostText) pre.append(`\n… ${count(text.length - mostText, "more character")}`);
  if (text.length <= 120 && !text.includes("\n")) return pre;
  return fold("Result", text.split("\n").length <= 12, pre);
}

function fold(title, open, ...content) {
  return make("details", { class: "fold", open }, make("summary", { text: title }), ...content);
}

// {"thumbnails": [{"path", "width", "height", "bytes"}, …]}
function drawImages(result) {
  const images = list(result);
  if (images.length === 0 || !images.every(address)) return undefined;
  const strip = make("ul", { class: "thumbnails" });
  const longest = Math.max(...images.map((image) => (isSize(image) ? Math.max(image.width, image.height) : 0)));
  for (const image of images.slice(0, mostColumns)) {
    const size = isSize(image) ? `${image.width} × ${image.height}` : "";
    const weight = isNumber(image.bytes) ? bytes(image.bytes) : "";
    const src = address(image);
    const picture = make("img", {
      src, alt: size ? `Thumbnail, ${size} pixels` : "Thumbnail", loading: "lazy", decoding: "async",
      // Given ahead, so that the list does not jump when the image arrives.
      width: isSize(image) ? String(image.width) : undefined,
      height: isSize(image) ? String(image.height) : undefined,
    });
    picture.addEventListener("error", () => picture.replaceWith(src)); // the file is gone, or not served here
    if (isSize(image)) picture.style.width = `${(Math.min(longestEdge, longest) * image.width) / longest}px`; // true to scale beside each other
    strip.append(make("li", {},
      make("a", { href: src, target: "_blank", rel: "noopener" }, picture),
      make("span", { class: "caption" }, make("b", { text: size }), " ", weight),
    ));
  }
  return [strip];
}

/** The first list of objects in a result. */
function list(result) {
  const found = Array.isArray(result) ? result : Object.values(object(result)).find(Array.isArray) ?? [];
  return found.filter((item) => typeof item === "object" && item !== null);
}

/** Where an image can be fetched on this origin; undefined if nowhere. */
function address(image) {
  return ownAddress(image.url) ?? ownAddress(image.path);
}

/** The address of a file by its URL, or by its path below /files/. */
function ownAddress(path) {
  if (typeof path !== "string" || path === "") return undefined;
  if (/^[a-z][a-z0-9+.-]*:/i.test(path) || path.startsWith("//")) {
    const url = URL.canParse(path, location.href) ? new URL(path, location.href) : undefined;
    return url?.origin === location.origin ? url.pathname + url.search : undefined;
  }
  const segments = path.replace(/^\/?files\//, "").split("/").filter((s) => s !== "");
  if (segments.some((s) => s === "." || s === ".." || s.includes("\\"))) return undefined;
  return `/files/${segments.map(encodeURIComponent).join("/")}`;
}

// {"rows", "columns": [{"name", "type", "nulls", "distinct", "min", "max", "mean", "top": [{"value", "count"}]}, …]}
function drawProfile(result) {
  const columns = Array.isArray(result?.columns) ? result.columns.map(object) : [];
  if (columns.length === 0) return undefined;
  const table = make("table", {},
    make("thead", {}, make("tr", {}, ...titles
      .map((title, n) => make("th", { scope: "col", class: isNumeric(n) ? "number" : "" , text: title })))),
    make("tbody", {}, ...columns.slice(0, mostColumns).map(drawColumn)),
  );
  const rows = isNumber(result.rows) ? `${count(result.rows, "row")}, ` : "";
  const title = `Profile: ${rows}${count(columns.length, "column")}`;
  return [fold(title, true, make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, table))];
}

const titles = ["Column", "Type", "Empty", "Distinct", "Min", "Max", "Mean", "Most frequent"];

function isNumeric(column) {
  return column === 2 || column === 3 || column === 6;
}

function drawColumn(column) {
  const bound = isNumberType(column.type) ? numeral : (value) => value;
  const values = [column.type, column.nulls, column.distinct, bound(column.min), bound(column.max), column.mean];
  return make("tr", {},
    make("th", { scope: "row", text: cell(column.name) }),
    // Where there is no room a row is a card, in which each value stands beside its title.
    ...values.map((value, n) => make("td", { class: isNumeric(n + 1) ? "number" : "", "data-title": titles[n + 1], text: cell(value) })),
    make("td", { "data-title": titles.at(-1) }, ...drawTop(column.top)),
  );
}

function isNumberType(type) {
  return type === "integer" || type === "number";
}

// A number as it stands in the file, of any size, with its thousands set apart and no digit lost: "1234567.125".
function numeral(value) {
  if (typeof value !== "string") return value;
  return value.replace(/^([+-]?)(\d{1,60})(?=\.\d+$|$)/, (_, sign, digits) => sign + number(BigInt(digits)));
}

function drawTop(top) {
  if (!Array.isArray(top) || top.length === 0) return [];
  return [make("div", {}, ...top.slice(0, 3).map(object).map((entry) =>
    make("span", { class: "top" }, cell(entry.value), make("i", { text: `×${cell(entry.count)}` }))))];
}

function cell(value) {
  if (value === undefined || value === null) return "";
  if (isNumber(value)) return number(value);
  const text = pretty(value) ?? "";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

// {"status", "headers", "body" or "body_base64", "truncated"}
function drawResponse(result) {
  if (!isNumber(result?.status)) return undefined;
  const body = typeof result.body === "string" ? result.body : "";
  const type = Object.entries(object(result.headers)).find(([name]) => name.toLowerCase() === "content-type")?.[1];
  const line = make("p", { class: "response" },
    make("b", { class: result.status < 400 ? "good" : "bad", text: String(result.status) }), " ",
    [cell(type), extent(body, result)].filter(Boolean).join(", "),
  );
  if (body === "") return [line];
  const excerpt = body.length > mostText ? `${body.slice(0, mostText)}…` : body;
  const pre = make("pre", { class: "json", tabindex: "0", text: excerpt });
  return [line, body.length <= 300 && body.split("\n").length <= 6 ? pre : fold("Body", false, pre)];
}

function extent(body, result) {
  if (result.body_base64) return "not text";
  if (!body) return "no body";
  return count(body.length, "character") + (result.truncated ? " of more" : "");
}

function object(value) {
  return typeof value === "object" && value !== null ? value : {};
}

function isSize({ width, height }) {
  return isNumber(width) && isNumber(height) && width > 0 && height > 0;
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
