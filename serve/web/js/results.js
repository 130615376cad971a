/** The hits as a grid. A face that stays among them glides to its new place. */

import { faceImage } from "./collection.js";
import { isStill, make } from "./dom.js";
import { reasonsInShort, reasonsOf } from "./reasons.js";
import { nameInWords, number, spaceInWords } from "./words.js";

const CONTROLS = "button, summary";
const GLIDE = { duration: 280, easing: "cubic-bezier(0.2, 0, 0, 1)" };

/**
 * `spaces`: names of the index's spaces; `features`: what can be taken from a face. `onfind(id)`, `onlike(id, space)`,
 * `ontake(id, feature)`, `onopen(hit, card)`.
 */
export class ResultGrid {
  #cards = new Map();
  #handlers;
  #spaces;
  #features;

  constructor({ spaces, features }, handlers) {
    [this.#spaces, this.#features, this.#handlers] = [spaces, features, handlers];
    this.element = make("ol", { class: "grid", "aria-label": "Nearest faces" });
  }

  /** Shows `hits` instead of what there was; cards of the same faces are kept and moved, open menus stay open. */
  show(hits, query) {
    const before = this.#places();
    const focused = this.#focused();
    const cards = hits.map((hit) => this.#card(hit, query));
    this.#cards = new Map(hits.map((hit, i) => [hit.id, cards[i]]));
    this.element.replaceChildren(...cards);
    if (focused) this.#focus(focused);
    if (!isStill()) this.#glide(before);
  }

  /** Shows further hits after the others. */
  append(hits, query) {
    for (const hit of hits) {
      const card = this.#card(hit, query);
      this.#cards.set(hit.id, card);
      this.element.append(card);
    }
  }

  #card(hit, query) {
    const known = this.#cards.get(hit.id);
    const card = known ?? make("li", { class: "hit", "data-id": hit.id });
    const wereOpen = menusOf(card).map((menu) => menu.open);
    const image = known?.querySelector("img") ?? faceImage(hit.id, "");
    const open = make(
      "button",
      {
        type: "button",
        class: "face-button",
        "aria-label": `Number ${hit.rank}, face ${hit.id}: details`,
        onclick: () => this.#handlers.onopen(hit),
      },
      image,
    );
    card.replaceChildren(
      open,
      make(
        "p",
        { class: "place" },
        make("span", { class: "rank" }, String(hit.rank)),
        make("span", { class: "distance", title: "Distance" }, number(hit.distance)),
      ),
      ...reasonsInShort(reasonsOf(hit, query, this.#spaces)),
      make("div", { class: "row tight" }, this.#findButton(hit), this.#likeMenu(hit), this.#takeMenu(hit)),
    );
    menusOf(card).forEach((menu, i) => {
      menu.open = wereOpen[i] ?? false;
    });
    return card;
  }

  #findButton({ id }) {
    return make(
      "button",
      {
        type: "button",
        class: "small",
        "aria-label": `Look for faces like ${id}`,
        onclick: () => this.#handlers.onfind(id),
      },
      "Look for",
    );
  }

  #likeMenu({ id }) {
    const words = (space) => spaceInWords(space, this.#spaces);
    return this.#menu(
      make("summary", { class: "small", "aria-label": `Also like this face’s … (${id})` }, "Like its …"),
      this.#spaces.map((space) => ({
        words: nameInWords(words(space)),
        label: `Also like the ${words(space)} of ${id}`,
        onchoose: () => this.#handlers.onlike(id, space),
      })),
    );
  }

  #takeMenu({ id }) {
    if (!this.#features.length) return null;
    return this.#menu(
      make("summary", { class: "small", "aria-label": `Take this face’s … (${id})` }, "Take its …"),
      this.#features.map((feature) => ({
        words: nameInWords(feature),
        label: `Take the ${nameInWords(feature).toLowerCase()} of ${id}`,
        onchoose: () => this.#handlers.ontake(id, feature),
      })),
    );
  }

  /** Of all menus one is open at a time. */
  #menu(summary, items) {
    const buttons = items.map(({ words, label, onchoose }) => {
      const choose = () => {
        menu.open = false;
        summary.focus();
        onchoose();
      };
      return make("button", { type: "button", class: "small", "aria-label": label, onclick: choose }, words);
    });
    const menu = make("details", { class: "like", name: "like" }, summary, make("div", { class: "menu" }, buttons));
    return menu;
  }

  /** Whose card has the focus, and on which of its controls; null: none. */
  #focused() {
    const card = document.activeElement?.closest(".hit");
    return card && { id: card.dataset.id, place: [...card.querySelectorAll(CONTROLS)].indexOf(document.activeElement) };
  }

  #focus({ id, place }) {
    const card = this.#cards.get(id) ?? this.element.firstChild;
    card?.querySelectorAll(CONTROLS)[this.#cards.has(id) ? place : 0].focus({ preventScroll: true });
  }

  #places() {
    return new Map([...this.#cards].map(([id, card]) => [id, card.getBoundingClientRect()]));
  }

  #glide(before) {
    for (const [id, card] of this.#cards) {
      const [old, now] = [before.get(id), card.getBoundingClientRect()];
      if (!old) card.animate({ opacity: [0, 1] }, GLIDE);
      else if (old.left !== now.left || old.top !== now.top) {
        card.animate({ transform: [`translate(${old.left - now.left}px, ${old.top - now.top}px)`, "none"] }, GLIDE);
      }
    }
  }
}

function menusOf(card) {
  return [...card.querySelectorAll("details")];
}
