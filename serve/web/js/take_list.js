/** Whose each feature is to be, and how much of it. */

import { chooseFace, chosenImage } from "./collection.js";
import { make } from "./dom.js";
import { strengthScale } from "./scales.js";
import { nameInWords } from "./words.js";

export class TakeList {
  #state;
  #method;
  #examples;

  constructor(state, method, examples) {
    [this.#state, this.#method, this.#examples] = [state, method, examples];
    this.list = make("ul", { class: "likes" });
    this.element = make(
      "section",
      { class: "card", "aria-labelledby": "transfer-title" },
      make("h2", { id: "transfer-title" }, "Take over"),
      this.list,
    );
    state.addEventListener("change", ({ detail: { before } }) => {
      this.element.hidden = !state.now.face;
      // A slider that is being moved must not be made anew.
      if (before.take !== state.now.take && !this.list.querySelector("input:focus")) this.show();
    });
    this.element.hidden = !state.now.face;
    this.show();
  }

  show() {
    const { take } = this.#state.now;
    // Also what a link says of features that are not here, so that it can be taken away.
    const features = new Set([...this.#method.features, ...Object.keys(take)]);
    this.list.replaceChildren(...[...features].map((feature) => this.#row(feature, take[feature])));
  }

  #row(feature, taken) {
    const words = nameInWords(feature);
    const choose = make(
      "button",
      { type: "button", class: "small", "aria-label": `${words}: choose whose`, onclick: () => this.#choose(feature) },
      taken ? "Another" : "Choose",
    );
    if (!taken) return make("li", { "data-feature": feature }, make("span", { class: "name" }, words), choose);
    const keep = make(
      "button",
      { type: "button", class: "quiet", "aria-label": `${words}: keep its own`, onclick: () => this.#keep(feature) },
      "×",
    );
    return make(
      "li",
      { "data-feature": feature },
      chosenImage(taken),
      this.#slider(feature, `${words} of ${taken.id ?? taken.name}`, taken.strength),
      choose,
      keep,
    );
  }

  #slider(feature, words, strength) {
    const value = make("span", { class: "value" });
    const range = make("input", {
      type: "range",
      min: 0,
      max: strengthScale.steps,
      value: strengthScale.position(strength),
      "aria-label": `${words}: how much`,
      oninput: () => {
        const now = strengthScale.value(Number(range.value));
        show(now);
        this.#change(feature, { ...this.#state.now.take[feature], strength: now });
      },
    });
    const show = (now) => {
      value.textContent = strengthScale.words(now);
      range.setAttribute("aria-valuetext", strengthScale.words(now));
      range.style.setProperty("--at", `${(100 * range.value) / strengthScale.steps}%`);
    };
    show(strength);
    return make("div", { class: "slider set" }, make("span", { class: "name" }, words), range, value);
  }

  #choose(feature) {
    const strength = this.#state.now.take[feature]?.strength ?? this.#method.strength.usual;
    const take = (face) => {
      this.#change(feature, { ...face, strength });
      this.list.querySelector(`[data-feature="${CSS.escape(feature)}"] input`)?.focus();
    };
    chooseFace(this.#examples, take);
  }

  #keep(feature) {
    this.#change(feature, null);
    this.list.querySelector(`[data-feature="${CSS.escape(feature)}"] button`)?.focus();
  }

  #change(feature, taken) {
    this.#state.set("take", feature, taken);
  }
}
