/** What a face is to become, and in which style. */

import { chooseFace, chosenImage } from "./collection.js";
import { make } from "./dom.js";
import { nameInWords } from "./words.js";

const SEEDS = 1_000_000;

const option = (domain) => make("option", { value: domain }, domain ? nameInWords(domain) : "as it is");

export class StyleChoice {
  #state;
  #method;
  #examples;

  constructor(state, method, examples) {
    [this.#state, this.#method, this.#examples] = [state, method, examples];
    this.domain = make(
      "select",
      { "aria-label": "What the face becomes", onchange: () => state.change({ domain: this.domain.value }) },
      ["", ...method.domains].map(option),
    );
    this.style = make("li");
    this.styles = make(
      "div",
      { class: "stack", role: "group", "aria-labelledby": "style-title" },
      make("h3", { id: "style-title" }, "Style"),
      make("ul", { class: "likes" }, this.style),
    );
    this.element = make(
      "section",
      { class: "card", "aria-labelledby": "translate-title" },
      make("h2", { id: "translate-title" }, "Becomes"),
      this.domain,
      this.styles,
    );
    state.addEventListener("change", ({ detail: { before } }) => {
      if (["face", "domain", "style"].some((name) => before[name] !== state.now[name])) this.show();
    });
    this.show();
  }

  show() {
    const { face, domain, style } = this.#state.now;
    this.element.hidden = !face;
    this.styles.hidden = !domain;
    // Also what a link says that is not here.
    if (![...this.domain.options].some(({ value }) => value === domain)) this.domain.append(option(domain));
    this.domain.value = domain;
    this.style.replaceChildren(...(style ? this.#given(style) : this.#choices()));
  }

  #choices() {
    return [
      make("span", { class: "name" }, "by its label"),
      this.#button("Of another face", () => this.#choose()),
      this.#method.samples_styles && this.#button("Draw one", () => this.#sample()),
    ].filter(Boolean);
  }

  #given(style) {
    const isDrawn = style.seed !== undefined;
    const again = isDrawn ? () => this.#sample() : () => this.#choose();
    const drop = () => this.#take(null);
    return [
      isDrawn ? null : chosenImage(style),
      make("span", { class: "name" }, isDrawn ? `drawn by ${style.seed}` : `of ${style.id ?? style.name}`),
      this.#button("Another", again, "Another style"),
      make("button", { type: "button", class: "quiet", "aria-label": "The label’s style", onclick: drop }, "×"),
    ].filter(Boolean);
  }

  #button(words, onclick, label = null) {
    return make("button", { type: "button", class: "small", "aria-label": label, onclick }, words);
  }

  #choose() {
    chooseFace(this.#examples, (face) => this.#take(face));
  }

  #sample() {
    this.#take({ seed: Math.floor(SEEDS * Math.random()) });
  }

  #take(style) {
    this.#state.change({ style });
    this.style.querySelector("button").focus();
  }
}
