/** Other faces that hits are to be like, each in one space. */

import { faceImage } from "./collection.js";
import { make } from "./dom.js";
import { spaceInWords } from "./words.js";

// A step is a doubling, from an eighth to eight times.
const STEPS = 6;
const weightAt = (position) => 2 ** (position - STEPS / 2);
const positionOf = (weight) => Math.round(Math.log2(weight)) + STEPS / 2;
const inWords = (weight) => (weight === 1 ? "as usual" : `× ${Number(weight.toPrecision(2))}`);

export class LikeList {
  #state;
  #spaces;

  constructor(state, spaces) {
    [this.#state, this.#spaces] = [state, spaces];
    this.list = make("ul", { class: "likes" });
    this.element = make(
      "section",
      { class: "card", "aria-labelledby": "likes-title" },
      make("h2", { id: "likes-title" }, "Also like"),
      this.list,
    );
    state.addEventListener("change", ({ detail: { before } }) => {
      const isChanged = ["like", "face", "weight"].some((name) => before[name] !== state.now[name]);
      // A slider that is being moved must not be made anew.
      if (isChanged && !this.list.querySelector("input:focus")) this.show();
    });
    this.show();
  }

  show() {
    const { like, face, weight } = this.#state.now;
    this.element.hidden = like.length === 0;
    const others = like.map((one, place) =>
      this.#row({
        picture: faceImage(one.id, ""),
        words: `${spaceInWords(one.space, this.#spaces)} of ${one.id}`,
        weight: one.weight,
        onweight: (value) => this.#change(place, [{ ...this.#state.now.like[place], weight: value }]),
        onremove: () => {
          this.#change(place, []);
          this.list.querySelector("button")?.focus();
        },
      }),
    );
    const main =
      face &&
      this.#row({
        picture: null,
        words: "the face itself",
        weight,
        onweight: (value) => this.#state.change({ weight: value }),
      });
    this.list.replaceChildren(...[main, ...others].filter(Boolean));
  }

  #change(place, by) {
    this.#state.change({ like: this.#state.now.like.toSpliced(place, 1, ...by) });
  }

  #row({ picture, words, weight, onweight, onremove }) {
    const value = make("span", { class: "value" });
    const range = make("input", {
      type: "range",
      min: 0,
      max: STEPS,
      value: positionOf(weight),
      "aria-label": `How much ${words} matters`,
      oninput: () => {
        show(weightAt(Number(range.value)));
        onweight(weightAt(Number(range.value)));
      },
    });
    const show = (now) => {
      value.textContent = inWords(now);
      range.setAttribute("aria-valuetext", inWords(now));
      range.style.setProperty("--at", `${(100 * range.value) / STEPS}%`);
    };
    show(weight);
    const remove =
      onremove &&
      make(
        "button",
        { type: "button", class: "quiet", "aria-label": `No longer like the ${words}`, onclick: onremove },
        "×",
      );
    return make(
      "li",
      {},
      picture,
      make("div", { class: "slider set" }, make("span", { class: "name" }, words), range, value),
      remove,
    );
  }
}
