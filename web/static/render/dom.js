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
  let n = 7;
  for (const digit of id) n = (n * 31 + digit.charCodeAt(0)) >>> 0;
  return 'tone-' + (Math.imul(n, 2_654_435_761) >>> 29);
}

/** @param {string} name */
export function initial(name) {
  return ([...name.trim()][0] ?? '?').toUpperCase();
}

/** @param {number} n */
export function short(n) {
  return n > 999 ? '999+' : String(n);
}

/** count is a number with its noun. @param {number} n @param {string} what */
export function count(n, what) {
  return `${n.toLocaleString()} ${what}${n === 1 ? '' : 's'}`;
}
