/** Names and numbers as a person reads them. No list of attributes: their names are sorted by parts of a face. */

// The first that fits counts, so that eyeglasses are worn before they are eyes.
const GROUPS = [
  ["Worn", /glass|hat\b|wearing (?!lipstick)|necklace|necktie|earring|mask/],
  ["Beard", /beard|goatee|m(o?)ustache|sideburn|shadow|stubble/],
  ["Make-up", /lipstick|make-?up|rosy|blush/],
  ["Hair", /hair|bald|bang|fringe/],
  ["Eyes and brows", /eye|brow|lash|gaze|squint/],
  ["Mouth", /mouth|lip|smil|teeth|grin/],
  ["Shape and skin", /nose|cheek|chin|jaw|face|chubby|skin|freckle|wrinkle/],
  ["Pose and picture", /pose|yaw|pitch|roll|light|blur|background|exposure/],
];
const OTHER = "As a whole";

/** "Mouth_Slightly_Open" -> "Mouth slightly open". */
export function nameInWords(name) {
  const words = name
    .replaceAll("_", " ")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/\bo clock\b/i, "o’clock");
  return words.charAt(0).toUpperCase() + words.slice(1).toLowerCase();
}

/** "method.some_space" -> "some space"; the method is said where two spaces share a name. */
export function spaceInWords(name, all = [name]) {
  const [method, space] = [name.slice(0, name.indexOf(".")), name.slice(name.indexOf(".") + 1)];
  const words = space.replaceAll("_", " ");
  return all.filter((other) => other.endsWith(`.${space}`)).length > 1
    ? `${words} (${method.replaceAll("_", " ")})`
    : words;
}

/** Attributes by the part of the face that their names speak of: [[group, [attribute]]], none of them empty. */
export function grouped(attributes) {
  const groups = new Map([[OTHER, []], ...GROUPS.map(([title]) => [title, []])]);
  for (const attribute of attributes) {
    const words = nameInWords(attribute).toLowerCase();
    groups.get(GROUPS.find(([, pattern]) => pattern.test(words))?.[0] ?? OTHER).push(attribute);
  }
  return [...groups].filter(([, members]) => members.length);
}

/** Three digits that matter, or all before the point: 0.0331, 12.3, 1,234. */
export function number(value) {
  return value.toLocaleString("en", {
    maximumSignificantDigits: Math.max(3, Math.ceil(Math.log10(Math.abs(value) + 1))),
  });
}

export function percent(share) {
  return share > 0 && share < 0.005 ? "< 1 %" : `${Math.round(100 * share)} %`;
}

/** 1, "face", "faces" -> "1 face". */
export function count(n, one, many) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}
