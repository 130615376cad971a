/** A list of attributes with sliders, in groups, searchable. */

import { byId, folding, make } from "./dom.js";
import { grouped, nameInWords } from "./words.js";

/**
 * One kind of slider.
 *
 * @typedef {object} Scale
 * @property {string} kind which numbers of the query it sets
 * @property {(attribute: string) => string} label what a screen reader says of one
 * @property {number} steps positions 0 ... steps
 * @property {(value: number) => number} position of a value
 * @property {(position: number) => number} value at a position
 * @property {(value: number) => string} words
 * @property {string} unset words where nothing is said
 * @property {(attribute: string) => number} rest the position where nothing is said
 */

/**
 * `onset(kind, attribute, value)`: a slider was moved; value null: set back. `element`: the sliders; `chips`: what is
 * set, for a place where they push no slider away from under a hand.
 */
export class SliderPanel {
  #rows = new Map();
  #onset;
  #scales;

  constructor({ title, scales, onset, onreset }) {
    this.#scales = scales;
    this.#onset = onset;
    this.changed = make("span", { class: "badge", hidden: true });
    this.chips = make("ul", { class: "chips", "aria-label": "What is set" });
    this.groups = make("div", { class: "groups" });
    this.find = make("input", {
      type: "search",
      placeholder: "Find an attribute",
      "aria-label": "Find an attribute",
      autocomplete: "off",
      oninput: () => this.#filter(),
    });
    this.nothing = make("p", { class: "hint", hidden: true }, "No attribute of that name.");
    this.reset = make("button", { type: "button", class: "quiet", onclick: onreset, disabled: true }, "Set all back");
    this.element = folding(
      title,
      this.changed,
      make("div", { class: "row" }, this.find, this.reset),
      this.groups,
      this.nothing,
      make("p", { class: "hint" }, "Delete or a double click sets a slider back."),
    );
  }

  /** Nothing is offered. */
  get isEmpty() {
    return this.#rows.size === 0;
  }

  /** Offers these attributes; `kinds` of sliders by attribute. */
  offer(attributes, kindsOf) {
    this.#rows.clear();
    const groups = grouped(attributes).map(([title, members]) =>
      make(
        "details",
        { class: "group", open: true },
        make("summary", {}, make("h3", {}, title)),
        make(
          "ul",
          {},
          members.map((attribute) => this.#row(attribute, kindsOf(attribute))),
        ),
      ),
    );
    this.groups.replaceChildren(...groups);
    this.#filter();
  }

  /** Puts every slider where the query has it. */
  show(query) {
    for (const [attribute, { sliders }] of this.#rows) {
      for (const { scale, slider } of sliders) slider.show(query[scale.kind][attribute]);
    }
    // Also what a link says of attributes that are not here, so that it can be set back.
    const chips = this.#scales.flatMap((scale) =>
      Object.entries(query[scale.kind]).map(([attribute, value]) => this.#chip(scale, attribute, value)),
    );
    this.chips.replaceChildren(...chips);
    this.changed.hidden = this.chips.hidden = this.reset.disabled = chips.length === 0;
    this.changed.textContent = `${chips.length} set`;
  }

  #chip(scale, attribute, value) {
    const words = `${nameInWords(attribute)}: ${scale.words(value)}`;
    const setBack = () => {
      this.#onset(scale.kind, attribute, null);
      (this.chips.querySelector("button") ?? byId("stage")).focus();
    };
    return make(
      "li",
      {},
      make(
        "button",
        { type: "button", class: `small chip ${scale.kind}`, "aria-label": `${words}; set back`, onclick: setBack },
        words,
        make("span", { class: "cross" }, "✕"),
      ),
    );
  }

  #row(attribute, kinds) {
    const sliders = this.#scales
      .filter((scale) => kinds.includes(scale.kind))
      .map((scale) => ({
        scale,
        slider: new Slider(scale, attribute, (value) => this.#onset(scale.kind, attribute, value)),
      }));
    const row = make(
      "li",
      { class: "attribute" },
      make("span", { class: "name" }, nameInWords(attribute)),
      make(
        "div",
        { class: "sliders" },
        sliders.map(({ slider }) => slider.element),
      ),
    );
    this.#rows.set(attribute, { row, sliders });
    return row;
  }

  #filter() {
    const words = this.find.value.trim().toLowerCase().replaceAll("_", " ");
    let found = 0;
    for (const [attribute, { row }] of this.#rows) {
      row.hidden = !nameInWords(attribute).toLowerCase().includes(words);
      found += !row.hidden;
    }
    for (const group of this.groups.children) {
      group.hidden = !group.querySelector("li:not([hidden])");
      if (words) group.open = true;
    }
    this.nothing.hidden = found > 0;
  }
}

/** A slider that may also say nothing. Delete, Backspace or a double click set it back. */
class Slider {
  #scale;
  #attribute;
  #onset;

  constructor(scale, attribute, onset) {
    [this.#scale, this.#attribute, this.#onset] = [scale, attribute, onset];
    this.range = make("input", {
      type: "range",
      min: 0,
      max: scale.steps,
      "aria-label": scale.label(nameInWords(attribute)),
      oninput: () => onset(scale.value(Number(this.range.value))),
      onkeydown: (event) => this.#key(event),
      ondblclick: () => onset(null),
    });
    this.words = make("span", { class: "value" });
    this.back = make(
      "button",
      {
        type: "button",
        class: "back",
        tabindex: -1,
        "aria-label": `${scale.label(nameInWords(attribute))}: set back`,
        onclick: () => onset(null),
      },
      "×",
    );
    this.element = make("div", { class: `slider ${scale.kind}` }, this.range, this.words, this.back);
  }

  show(value) {
    const scale = this.#scale;
    const isSet = value !== undefined;
    const position = isSet ? scale.position(value) : scale.rest(this.#attribute);
    const words = isSet ? scale.words(value) : scale.unset;
    this.range.value = position;
    this.range.style.setProperty("--at", `${(100 * position) / scale.steps}%`);
    this.range.setAttribute("aria-valuetext", words);
    this.words.textContent = words;
    this.element.classList.toggle("set", isSet);
    this.back.disabled = !isSet;
  }

  #key(event) {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    event.preventDefault();
    this.#onset(null);
  }
}
