/** Why a hit is as near as it is: the shares of its distance. */

import { make } from "./dom.js";
import { nameInWords, number, percent, spaceInWords } from "./words.js";

const SHOWN = 3;

/**
 * The distance of a hit in pieces, those that were asked about first, then the largest.
 *
 * @returns {{words: string, share: number, distance: number, attribute: string | null, isAsked: boolean}[]}
 */
export function reasonsOf(hit, query, spaces) {
  const asked = new Set([...Object.keys(query.adjust), ...Object.keys(query.prefer)]);
  const total = hit.distance || 1;
  const pieces = hit.parts.flatMap((part, place) => {
    const isMain = query.face !== null && place === 0;
    const whole = `${spaceInWords(part.space, spaces)}${isMain ? "" : " of the other face"}`;
    const of = isMain ? "" : ` (${whole})`;
    const piece = (words, distance, attribute) => ({
      words,
      share: (part.weight * distance) / total,
      distance: part.weight * distance,
      attribute,
      isAsked: isMain && asked.has(attribute),
    });
    const attributes = Object.entries(part.attributes).map(([name, distance]) =>
      piece(nameInWords(name) + of, distance, name),
    );
    return [...attributes, piece(attributes.length ? `all else${of}` : whole, part.rest, null)];
  });
  return pieces.filter((piece) => piece.distance > 0).sort((a, b) => b.isAsked - a.isAsked || b.distance - a.distance);
}

/** The shares as a bar and in words. */
export function reasonsInShort(reasons) {
  const [asked, others] = [reasons.filter((r) => r.isAsked), reasons.filter((r) => !r.isAsked)];
  const shown = [...asked, ...others].slice(0, Math.max(SHOWN, Math.min(asked.length, SHOWN + 1)));
  const words = shown.map(({ words, share, isAsked }) =>
    make("li", { class: isAsked ? "asked" : "" }, `${words} `, make("span", { class: "share" }, percent(share))),
  );
  return [bar(reasons), make("ul", { class: "reasons", "aria-label": "What makes the distance" }, words)];
}

/** All of them, with what the face has and what was looked for. */
export function reasonsInFull(reasons, hit, wanted) {
  const level = (levels, attribute) => (attribute !== null && attribute in levels ? percent(levels[attribute]) : "");
  const rows = reasons.map((reason) =>
    make(
      "tr",
      { class: reason.isAsked ? "asked" : "" },
      make("th", { scope: "row" }, reason.words),
      make("td", {}, number(reason.distance)),
      make("td", {}, percent(reason.share)),
      make("td", {}, reason.isAsked ? level(hit.intensities, reason.attribute) : ""),
      make("td", {}, reason.isAsked ? level(wanted, reason.attribute) : ""),
    ),
  );
  const heads = ["What", "Distance", "Share", "Has", "Looked for"].map((words) => make("th", { scope: "col" }, words));
  return make("table", {}, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows));
}

/** Three pieces: what was asked about, the other attributes, all else. */
function bar(reasons) {
  const kindOf = ({ isAsked, attribute }) => (isAsked ? "asked" : attribute === null ? "rest" : "attribute");
  const pieces = ["asked", "attribute", "rest"].map((kind) => {
    const piece = make("span", { class: kind });
    piece.style.flexGrow = reasons.reduce((sum, reason) => sum + (kindOf(reason) === kind ? reason.share : 0), 0);
    return piece;
  });
  return make("div", { class: "bar", "aria-hidden": "true" }, pieces);
}
