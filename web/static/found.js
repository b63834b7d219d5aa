// What was searched for stands out in what was found. Words are those of the search: ParseSearch of store/search_query.go takes
// a query apart, words_asked and words_apart of schema.sql make words of it.

/** A word: letters, digits and their marks, without those that words_apart takes for signs. */
const word = /(?:(?![²³¹¼-¾\u2776-\u2793\u2e2f\ufe00-\ufe2f\u{1f100}-\u{1f10c}])[\p{L}\p{N}\p{M}])+/gu;

/** @param {string} text */
const wordsOf = (text) => [...text.matchAll(word)].map((m) => ({ word: m[0].toLowerCase(), from: m.index, to: m.index + m[0].length }));

const filters = ['from', 'in', 'has', 'mentions', 'before', 'after'];

/**
 * asked is what a query looks for in a text: phrases, of one word or more. What is excluded is not among them.
 * @param {string} query @returns {string[][]}
 */
export function asked(query) {
  const terms = [...query.matchAll(/(-?"[^"]*")|(\p{L}+):(?:"([^"]*)"|(\S*))|\S+/gu)].map(([term, phrase, key, quoted, bare]) => {
    if (phrase || !key) return term;
    if (filters.includes(key.toLowerCase())) return '';
    return quoted === undefined ? `${key}:${bare}` : `"${key}:${quoted}"`;
  });
  return [...terms.join(' ').matchAll(/(-?)(?:"([^"]*)"|([^\s"]+))/g)]
    .filter(([, not, , bare]) => !not && bare?.toLowerCase() !== 'or')
    .map(([, , quoted, bare]) => wordsOf(quoted ?? bare).map((w) => w.word))
    .filter((phrase) => phrase.length);
}

/**
 * hits finds phrases in texts that stand behind one another, null being what stands between them and is no text. Each hit lies
 * in one text; a phrase that runs over several has one in each.
 * @param {(string | null)[]} texts @param {string[][]} phrases
 */
export function hits(texts, phrases) {
  const all = texts.flatMap((t, text) => (t === null ? [{ word: '', from: 0, to: 0, text }] : wordsOf(t).map((w) => ({ ...w, text }))));
  /** @type {{text: number, from: number, to: number}[]} */
  const found = [];
  for (let i = 0; i < all.length; i++) {
    for (const phrase of phrases) {
      if (!phrase.every((w, k) => all[i + k]?.word === w)) continue;
      for (let k = 0; k < phrase.length; k++) {
        const { text, from, to } = all[i + k], last = found.at(-1);
        if (k && last?.text === text) last.to = to;
        else found.push({ text, from, to });
      }
    }
  }
  return found;
}

/** The text that is searched, and what in it is not as it was written, or is not to be seen. */
const written = 'article > .body > .content, article > .body > .line > .content', not = '.mention, .spoiler, .edited, time';

/** What stands out now, by place. @type {Map<string, {query: string, nodes: Element[]}>} */
const shown = new Map();

/**
 * highlight lets what a query looks for stand out in the messages of a place, and nothing where it is empty. Nothing in the document
 * is changed by it; older browsers show messages without.
 * @param {'found' | 'found-beside'} place as message.css names it @param {Element} root @param {string} query
 */
export function highlight(place, root, query) {
  const was = shown.get(place);
  if (!CSS.highlights || !query && !was) return;
  const nodes = query ? [...root.querySelectorAll(written)] : [];
  if (was && was.query === query && was.nodes.length === nodes.length && was.nodes.every((n, i) => n === nodes[i])) return;
  shown.set(place, { query, nodes });
  const phrases = asked(query), found = new Highlight();
  for (const n of nodes) for (const r of rangesIn(n, phrases)) found.add(r);
  CSS.highlights.set(place, found);
}

/** @param {Element} root @param {string[][]} phrases */
function rangesIn(root, phrases) {
  const texts = textsIn(root);
  return hits(texts.map((n) => n && n.data), phrases).map(({ text, from, to }) => {
    const node = /** @type {Text} */ (texts[text]);
    return new StaticRange({ startContainer: node, startOffset: from, endContainer: node, endOffset: to });
  });
}

/** @param {Element} root @returns {(Text | null)[]} */
const textsIn = (root) => [...root.childNodes].flatMap((n) => (n instanceof Text ? [n] : n instanceof Element && !n.matches(not) ? textsIn(n) : [null]));
