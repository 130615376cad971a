/** Which faces may be found, and what is compared. */

import { folding, make } from "./dom.js";
import { rerankable } from "./query.js";
import { spaceInWords } from "./words.js";

const IDENTITY = "identity";

export class Limits {
  #state;
  #served;

  constructor(state, served) {
    [this.#state, this.#served] = [state, served];
    const names = served.spaces.map((space) => space.name);
    this.space = make(
      "select",
      { id: "space", onchange: () => state.change({ space: this.space.value }) },
      names.map((name) => make("option", { value: name }, spaceInWords(name, names))),
    );
    this.full = make("input", {
      type: "checkbox",
      "aria-describedby": "full-hint",
      onchange: () => state.change({ inFull: this.full.checked }),
    });
    this.fullWords = make("span");
    this.fullChoice = make(
      "div",
      {},
      make("label", { class: "check" }, this.full, this.fullWords),
      make("p", { class: "hint", id: "full-hint" }, "Slower, and finer: less of a face is stored than can be compared."),
    );
    this.where = make("input", {
      type: "text",
      id: "where",
      placeholder: `${served.labels.find((label) => label !== IDENTITY)} = 1`,
      list: "labels",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "where-hint",
      onchange: () => state.change({ where: this.where.value.trim() }),
    });
    this.one = make("input", {
      type: "checkbox",
      id: "one",
      onchange: () => state.change({ onePerPerson: this.one.checked }),
    });
    this.element = folding(
      "Which faces",
      null,
      make("label", { for: "space" }, "Compare by"),
      this.space,
      this.fullChoice,
      served.labels.length > 0 && [
        make("label", { for: "where" }, "Only faces where"),
        this.where,
        make(
          "p",
          { class: "hint", id: "where-hint" },
          "Labels of the collection with = != < <= > >= in, and, or, not.",
        ),
      ],
      make(
        "datalist",
        { id: "labels" },
        served.labels.map((label) => make("option", { value: `${label} = ` })),
      ),
      served.labels.includes(IDENTITY) && make("label", { class: "check" }, this.one, "One picture of each person"),
    );
    state.addEventListener("change", () => this.show());
    this.show();
  }

  show() {
    const { space, where, onePerPerson, inFull } = this.#state.now;
    const first = rerankable(this.#state.now, this.#served);
    if (space) this.space.value = space;
    this.where.value = where;
    this.one.checked = onePerPerson;
    this.full.checked = inFull;
    this.fullChoice.hidden = !first;
    this.fullWords.textContent = `Compare the first ${first} again in full`;
  }
}
