/** A face before and after it is changed, and a file to keep. */

import { make, showPicture } from "./dom.js";
import { showProblem } from "./notices.js";

const FORMATS = { png: "PNG", jpeg: "JPEG", webp: "WebP" };
const KEPT_MS = 10_000;

export class BeforeAfter {
  #place;
  #draw;
  #name;

  /**
   * `words`: what the pictures are, of {before, after}; `above`: what stands over them; `draw(format)`: the file, a
   * Blob; `name()`: what to call it; `place`: of its problems.
   */
  constructor({ place, words, above, draw, name }) {
    [this.#place, this.#draw, this.#name] = [place, draw, name];
    this.before = make("img", { alt: words.before, width: 256, height: 256 });
    this.after = make("img", { alt: words.after, width: 256, height: 256 });
    this.pair = make(
      "div",
      { class: "pair" },
      make("figure", {}, this.before, make("figcaption", {}, "before, as the model sees it")),
      make("figure", {}, this.after, make("figcaption", {}, "after")),
    );
    this.format = make(
      "select",
      { "aria-label": "File format" },
      Object.entries(FORMATS).map(([value, title]) => make("option", { value }, title)),
    );
    this.download = make(
      "button",
      { type: "button", class: "main", disabled: true, onclick: () => this.#save() },
      "Download",
    );
    this.element = make(
      "div",
      { class: "stack result" },
      make("h2", {}, "Before and after"),
      above,
      this.pair,
      make("div", { class: "row" }, this.#lookButton(), this.format, this.download),
    );
  }

  /** Two Blobs. */
  show(before, after) {
    showPicture(this.before, before);
    showPicture(this.after, after);
    this.download.disabled = false;
  }

  #lookButton() {
    const compare = (isBefore) => this.pair.classList.toggle("comparing", isBefore);
    return make(
      "button",
      {
        type: "button",
        onpointerdown: () => compare(true),
        onpointerup: () => compare(false),
        onpointerleave: () => compare(false),
        onkeydown: (event) => event.key === " " && compare(true),
        onkeyup: () => compare(false),
        onblur: () => compare(false),
      },
      "Hold to compare",
    );
  }

  async #save() {
    const format = this.format.value;
    try {
      const picture = await this.#draw(format);
      const file = `${this.#name().replaceAll(/[^\w-]+/g, "_")}.${format}`;
      const link = make("a", { href: URL.createObjectURL(picture), download: file });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
    } catch (problem) {
      showProblem(this.#place, problem, () => this.#save());
    }
  }
}
