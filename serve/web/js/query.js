/** What is asked: one plain value, its address, and the question that the server is sent. */

export const HITS_A_PAGE = 24;

// Whoever is further back by what is stored is hardly ever among the first in full.
const RERANKED = 2 * HITS_A_PAGE;

/**
 * A face is {id} of the collection, or {file, name} of this machine. `adjust` and `prefer`: numbers by attribute, those
 * that are not named stay as they are; `like`: [{space, id, weight}]; `inFull`: whether the first hits are compared
 * again by more than is stored; `edits`: strengths by attribute;
 * `take`: by feature, a face and its {strength}; `domain`: "" is as it is; `style`: a face, or {seed}; null: the label's.
 */
export const EMPTY = Object.freeze({
  tab: "search",
  face: null,
  space: "",
  weight: 1,
  adjust: {},
  prefer: {},
  like: [],
  where: "",
  onePerPerson: false,
  inFull: false,
  method: "",
  edits: {},
  take: {},
  domain: "",
  style: null,
});

/** The present query. Whoever listens to "change" is told what was ("before"). */
export class QueryState extends EventTarget {
  #query = EMPTY;

  get now() {
    return this.#query;
  }

  change(part) {
    const before = this.#query;
    this.#query = Object.freeze({ ...before, ...part });
    this.dispatchEvent(new CustomEvent("change", { detail: { before } }));
  }

  /** One value of `adjust`, `prefer`, `edits` or `take`; null: as it was. */
  set(kind, attribute, value) {
    const { [attribute]: _, ...others } = this.#query[kind];
    this.change({ [kind]: value === null ? others : { ...others, [attribute]: value } });
  }
}

/** The query as a part of an address, "" where nothing is asked. A file is not in it, only that there was one. */
export function asAddress(query) {
  const words = new URLSearchParams();
  if (query.tab !== EMPTY.tab) words.set("tab", query.tab);
  if (query.face?.id) words.set("face", query.face.id);
  if (query.face?.file) words.set("picture", query.face.name);
  for (const name of ["space", "where", "method", "domain"]) if (query[name]) words.set(name, query[name]);
  if (query.weight !== EMPTY.weight) words.set("weight", query.weight);
  if (query.onePerPerson) words.set("one_per_person", "1");
  if (query.inFull) words.set("in_full", "1");
  for (const kind of ["adjust", "prefer", "edits"]) {
    for (const [attribute, value] of Object.entries(query[kind])) words.append(kind, `${attribute}:${value}`);
  }
  for (const { space, id, weight } of query.like) words.append("like", `${weight}:${space}:${id}`);
  for (const [feature, { id, strength }] of Object.entries(query.take)) {
    if (id) words.append("take", `${strength}:${feature}:${id}`);
  }
  if (query.style?.id) words.set("style", `face:${query.style.id}`);
  if (query.style?.seed !== undefined) words.set("style", `seed:${query.style.seed}`);
  return words.size ? `?${words}` : "";
}

/** What `asAddress` wrote; `lostPicture`: the name of a file that somebody else has. */
export function fromAddress(address) {
  const words = new URLSearchParams(address);
  const triples = (name) =>
    words
      .getAll(name)
      .map((text) => /^([^:]*):([^:]*):(.+)$/s.exec(text))
      .filter(Boolean);
  return {
    lostPicture: words.get("picture"),
    query: {
      ...EMPTY,
      tab: words.get("tab") ?? EMPTY.tab,
      face: words.has("face") ? { id: words.get("face") } : null,
      space: words.get("space") ?? "",
      where: words.get("where") ?? "",
      method: words.get("method") ?? "",
      weight: Number(words.get("weight") ?? 1),
      onePerPerson: words.has("one_per_person"),
      inFull: words.has("in_full"),
      adjust: numbersOf(words.getAll("adjust")),
      prefer: numbersOf(words.getAll("prefer")),
      edits: numbersOf(words.getAll("edits")),
      like: triples("like").map(([, weight, space, id]) => ({ weight: Number(weight), space, id })),
      take: Object.fromEntries(
        triples("take").map(([, strength, feature, id]) => [feature, { id, strength: Number(strength) }]),
      ),
      domain: words.get("domain") ?? "",
      style: styleOf(words.get("style") ?? ""),
    },
  };
}

function numbersOf(texts) {
  const pairs = texts.map((text) => [
    text.slice(0, text.lastIndexOf(":")),
    Number(text.slice(text.lastIndexOf(":") + 1)),
  ]);
  return Object.fromEntries(pairs.filter(([name, value]) => name && Number.isFinite(value)));
}

function styleOf(text) {
  if (text.startsWith("face:")) return { id: text.slice(5) };
  return /^seed:\d+$/.test(text) ? { seed: Number(text.slice(5)) } : null;
}

export const canSearch = (query) => query.face !== null || query.like.length > 0;

/** So many of the first hits can be compared again by more than is stored; 0: none. */
export function rerankable({ face, space, like }, { spaces, limits }) {
  const asked = [...(face ? [space] : []), ...like.map((one) => one.space)];
  const compared = asked.map((name) => spaces.find((one) => one.name === name) ?? spaces[0]);
  return compared.some(({ reranks }) => reranks) ? Math.min(RERANKED, Math.floor(limits.rerank / asked.length)) : 0;
}

/** `rerank`: so many of the first hits are compared again. */
export function searchQuestion(query, page, rerank) {
  const body = {
    ...(query.face ? { space: query.space, adjust: query.adjust, prefer: query.prefer, weight: query.weight } : {}),
    like: query.like.map(({ space, id, weight }) => ({ space, face: { id }, weight })),
    k: HITS_A_PAGE,
    page,
    most_per_identity: query.onePerPerson ? 1 : 0,
    rerank,
    partial: true,
    ...(query.where ? { where: query.where } : {}),
  };
  return withFace(query.face, body);
}

export function encodeQuestion(face) {
  return withFace(face, {});
}

/** `change`: {adjust} or {edits}. */
export function editQuestion(face, method, change, format = "png") {
  return withFace(face, { ...change, method, format });
}

/** `take`: by feature, a face and its {strength}. */
export function transferQuestion(face, method, take, format = "png") {
  const [references, strengths, pictures] = [{}, {}, {}];
  Object.entries(take).forEach(([feature, { id, file, strength }], place) => {
    strengths[feature] = strength;
    references[feature] = file ? { upload: `reference-${place}` } : { id };
    if (file) pictures[`reference-${place}`] = file;
  });
  const { body, files } = withFace(face, { method, references, strengths, format });
  return { body, files: { ...files, ...pictures } };
}

export function translateQuestion(face, method, domain, style, format = "png") {
  const reference = style?.file ? { upload: "reference" } : style?.id ? { id: style.id } : null;
  const { body, files } = withFace(face, { method, domain, reference, seed: style?.seed ?? null, format });
  return { body, files: style?.file ? { ...files, reference: style.file } : files };
}

function withFace(face, body) {
  if (!face) return { body };
  if (face.file) return { body: { ...body, face: { upload: "picture" } }, files: { picture: face.file } };
  return { body: { ...body, face: { id: face.id } } };
}
