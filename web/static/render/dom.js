// Small tools for building nodes. Text is always set as text; html() is for what the server has rendered, and only that.

/**
 * el makes an element. Attributes that are null, undefined or false are left out.
 * @param {string} tag @param {Record<string, any>} [attrs] @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function el(tag, attrs = {}, ...children) {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (v === null || v === undefined || v === false) continue;
    node.setAttribute(k, v === true ? '' : String(v));
  }
  for (const c of children) if (c || c === '') node.append(/** @type {any} */ (c));
  return node;
}

/** html makes a node of HTML that the server has made safe. @param {string} cls @param {string} safe */
export function html(cls, safe) {
  const node = el('div', { class: cls, dir: 'auto' });
  node.innerHTML = safe;
  return node;
}

/** @param {string} id @returns {HTMLElement} */
export function byID(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error('no #' + id);
  return node;
}

/** tone is one of eight colours for what has no picture, steady for an id. @param {string} id */
export function tone(id) {
  return 'tone-' + Number((BigInt(id || '0') >> 22n) % 8n);
}

/** @param {string} name */
export function initial(name) {
  return ([...name.trim()][0] ?? '?').toUpperCase();
}

/** @param {number} n */
export function short(n) {
  return n > 999 ? '999+' : String(n);
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });
const dayOf = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
/** @type {Record<string, Intl.DateTimeFormat>} */
const styles = {
  t: clock, T: new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' }), d: new Intl.DateTimeFormat(undefined, { dateStyle: 'short' }),
  D: new Intl.DateTimeFormat(undefined, { dateStyle: 'long' }), f: new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'short' }),
  F: full, s: new Intl.DateTimeFormat(undefined, { dateStyle: 'short', timeStyle: 'short' }), S: new Intl.DateTimeFormat(undefined, { dateStyle: 'short', timeStyle: 'medium' }),
};

/** @param {Date} t */ export const clockTime = (t) => clock.format(t);
/** @param {Date} t */ export const fullTime = (t) => full.format(t);

/** dayName says Today, Yesterday, or the date. @param {Date} t */
export function dayName(t) {
  const day = (/** @type {Date} */ d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  const ago = Math.round((day(new Date()) - day(t)) / 86_400_000);
  return ago === 0 ? 'Today' : ago === 1 ? 'Yesterday' : dayOf.format(t);
}

/** since says how long ago or ahead a time is. @param {Date} t */
export function since(t) {
  const seconds = Math.round((t.getTime() - Date.now()) / 1000);
  for (const [unit, size] of /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ (
    [['year', 31_536_000], ['month', 2_592_000], ['day', 86_400], ['hour', 3_600], ['minute', 60]])) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return relative.format(seconds, 'second');
}

/** localise writes the times inside a message the way the reader's machine does. @param {ParentNode} node */
export function localise(node) {
  for (const t of node.querySelectorAll('time[data-style]')) {
    const at = new Date(t.getAttribute('datetime') ?? '');
    if (Number.isNaN(at.getTime())) continue;
    const style = t.getAttribute('data-style') ?? 'f';
    t.textContent = style === 'R' ? since(at) : (styles[style] ?? styles.f).format(at);
    t.setAttribute('title', full.format(at));
  }
}
