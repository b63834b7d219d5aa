// What hangs on a message: files, cards, polls, stickers, components. Nothing here loads anything from outside unless the
// service allows Discord's CDN, and then from there alone.

import { el, html } from './dom.js';
import { shortTime, since } from './time.js';
import { words } from '../words.js';

const outside = { target: '_blank', rel: 'noopener noreferrer nofollow ugc' };

/** onCDN tells whether the page's policy lets it load an address. @param {string} url */
function onCDN(url) {
  return /^https:\/\/(cdn\.discordapp\.com|media\.discordapp\.net|images-ext-[12]\.discordapp\.net)\//.test(url);
}

/** sized is what reserves the place of a picture before it is there. @param {{width?: number, height?: number}} p */
const sized = (p) => (p.width && p.height ? { width: p.width, height: p.height } : {});

/** @param {{emoji: string, id?: string, animated?: boolean}} r @param {{cdn: boolean}} c */
export function emojiOf(r, c) {
  if (!r.id) return r.emoji;
  if (!c.cdn) return ':' + r.emoji + ':';
  return el('img', { class: 'emoji', loading: 'lazy', alt: ':' + r.emoji + ':', width: 20, height: 20,
    src: `https://cdn.discordapp.com/emojis/${encodeURIComponent(r.id)}.webp?size=48${r.animated ? '&animated=true' : ''}` });
}

/** @param {number} n */
function sizeOf(n) {
  return n >= 1 << 20 ? (n / (1 << 20)).toFixed(1) + ' MB' : n >= 1024 ? (n >> 10) + ' KB' : n + ' bytes';
}

/** @param {any} a @param {boolean} cdn */
export function attachment(a, cdn) {
  const kind = (a.type || '').split('/')[0];
  const may = cdn && onCDN(a.url);
  if (a.waveform) return voice(a, may);
  if (may && kind === 'image') {
    const picture = el('a', { class: 'picture', href: a.url, ...outside }, el('img', { src: a.url, alt: a.description || a.name, loading: 'lazy', ...sized(a) }));
    return a.spoiler ? veiled(picture) : picture;
  }
  if (may && kind === 'video') {
    const film = el('video', { class: 'film', src: a.url, controls: true, preload: 'none', 'aria-label': a.description || a.name, ...sized(a) });
    return a.spoiler ? veiled(film) : film;
  }
  if (may && kind === 'audio') return el('div', { class: 'sound' }, el('p', {}, el('bdi', {}, a.name)), el('audio', { src: a.url, controls: true, preload: 'none', 'aria-label': a.name }));
  const label = [a.width && a.height ? `${a.width}×${a.height}` : '', sizeOf(a.size)].filter(Boolean).join(' · ');
  const name = el(a.url ? 'a' : 'span', a.url ? { href: a.url, ...outside } : {}, el('bdi', {}, a.name));
  const said = kind === 'image' ? 'IMG' : kind === 'video' ? 'VID' : kind === 'audio' ? 'AUD' : 'FILE';
  return el('div', { class: 'file' }, el('span', { class: 'kind', 'aria-hidden': 'true' }, said),
    el('div', {}, name, el('small', {}, (a.spoiler ? words.spoiler + ' · ' : '') + label), a.description && el('small', { class: 'alt', dir: 'auto' }, a.description)));
}

/** veiled hides something until it is asked for. @param {HTMLElement} inner */
function veiled(inner) {
  return el('details', { class: 'veil' }, el('summary', {}, words.spoiler), inner);
}

/** How many bars a voice message shows. */
const bars = 48;

/** voice is a voice message: its waveform, its length, and where it may be loaded the sound. @param {any} a @param {boolean} may */
function voice(a, may) {
  const heights = [...waveform(a.waveform)].map((h, i) => {
    const bar = el('i');
    bar.style.setProperty('--h', String(Math.max(0.08, h)));
    bar.style.setProperty('--i', String(i));
    return bar;
  });
  const seconds = Math.round(a.seconds ?? 0);
  const length = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  const wave = el('div', { class: 'wave', 'aria-hidden': 'true' }, ...heights);
  if (may) return el('div', { class: 'voice' }, wave, el('audio', { src: a.url, controls: true, preload: 'none', 'aria-label': words.voice(length) }));
  return el('div', { class: 'voice' }, wave, el('span', {}, length),
    a.url && el('a', { href: a.url, ...outside, 'aria-label': words.voice(length) }, words.listen));
}

/**
 * waveform reads Discord's: base64 of one byte a sample, made into as many bars as fit.
 * @param {string} text @returns {number[]} between 0 and 1
 */
export function waveform(text) {
  let bytes = '';
  try {
    bytes = atob(text);
  } catch {
    return [];
  }
  const n = Math.min(bars, bytes.length);
  return Array.from({ length: n }, (_, i) => {
    const from = Math.floor((i * bytes.length) / n), to = Math.max(from + 1, Math.floor(((i + 1) * bytes.length) / n));
    let most = 0;
    for (let k = from; k < to; k++) most = Math.max(most, bytes.charCodeAt(k));
    return most / 255;
  });
}

/** @param {any} s @param {boolean} cdn */
export function sticker(s, cdn) {
  // Format 3 is Lottie, which browsers do not draw.
  if (cdn && s.format && s.format !== 3) {
    const ext = s.format === 4 ? 'gif' : 'png', host = s.format === 4 ? 'media.discordapp.net' : 'cdn.discordapp.com';
    return el('img', { class: 'sticker', loading: 'lazy', alt: words.sticker(s.name), width: 160, height: 160, src: `https://${host}/stickers/${encodeURIComponent(s.id)}.${ext}?size=160` });
  }
  return el('p', { class: 'sticker' }, words.stickerOf, el('bdi', {}, s.name));
}

/** @param {any} e @param {boolean} cdn */
export function embed(e, cdn) {
  const node = el('div', { class: 'embed' });
  if (e.color) node.style.setProperty('--embed', '#' + e.color.toString(16).padStart(6, '0'));
  if (e.provider) node.append(el('p', { class: 'by' }, e.provider));
  if (e.author) node.append(el('p', { class: 'by strong' }, e.author_url ? el('a', { href: e.author_url, ...outside }, e.author) : e.author));
  if (e.title) {
    // A link inside a title would nest in the title's own.
    const title = html('', e.title);
    node.append(el('p', { class: 'title' }, e.url && !title.querySelector('a') ? el('a', { href: e.url, ...outside }, ...title.childNodes) : title));
  }
  if (e.description) node.append(html('content', e.description));
  if (e.fields?.length) {
    node.append(el('dl', {}, ...e.fields.map((/** @type {any} */ f) => el('div', { class: f.inline ? 'short' : null }, safe('dt', f.name), safe('dd', f.value)))));
  }
  for (const [picture, small] of [[e.image, false], [e.thumbnail, !e.image && e.type === 'rich' || Boolean(e.image)]]) {
    if (!picture) continue;
    if (cdn && onCDN(picture.url)) node.append(el('img', { class: small ? 'thumb' : null, src: picture.url, alt: '', loading: 'lazy', ...sized(picture) }));
    else if (!e.title && !e.description && !small) node.append(el('p', {}, el('a', { href: picture.url, ...outside }, words.picture)));
  }
  const foot = [e.footer, e.timestamp && shortTime(new Date(e.timestamp))].filter(Boolean).join(' · ');
  if (foot) node.append(el('p', { class: 'footer' }, foot));
  return node;
}

/** safe is an element with HTML that the server has made safe. @param {string} tag @param {string} safeHTML */
export function safe(tag, safeHTML) {
  const node = el(tag, { dir: 'auto' });
  node.innerHTML = safeHTML;
  return node;
}

/** component is one of Discord's components. Buttons and menus work in Discord only. @param {any} k @param {boolean} cdn @returns {HTMLElement} */
export function component(k, cdn) {
  const inner = () => (k.children ?? []).map((/** @type {any} */ x) => component(x, cdn));
  switch (k.kind) {
    case 'text': return html('content', k.html);
    case 'separator': return el('hr');
    case 'container': {
      const node = el('div', { class: 'embed container' }, ...inner());
      if (k.color) node.style.setProperty('--embed', '#' + k.color.toString(16).padStart(6, '0'));
      return k.spoiler ? veiled(node) : node;
    }
    case 'section': case 'row': case 'gallery': return el('div', { class: k.kind }, ...inner());
    case 'link': return el('a', { class: 'press', href: k.url, ...outside }, k.text || k.url);
    case 'media': {
      if (!cdn || !onCDN(k.url)) return el('a', { href: k.url, ...outside }, k.text || words.media);
      const picture = el('a', { class: 'picture', href: k.url, ...outside }, el('img', { src: k.url, alt: k.text ?? '', loading: 'lazy' }));
      return k.spoiler ? veiled(picture) : picture;
    }
    case 'file': return el('a', { href: k.url, ...outside }, k.text || words.file);
    default: return el('span', { class: 'press off', title: words.discordOnly }, k.text || (k.kind === 'menu' ? words.menu : words.button));
  }
}

/** @param {any} p */
export function poll(p) {
  const total = p.answers.reduce((/** @type {number} */ n, /** @type {any} */ a) => n + a.votes, 0);
  const most = Math.max(0, ...p.answers.map((/** @type {any} */ a) => a.votes));
  const over = p.finalized || (p.expires && Date.parse(p.expires) <= Date.now());
  return el('div', { class: 'poll' }, el('p', { class: 'title', dir: 'auto' }, p.question),
    el('ul', {}, ...p.answers.map((/** @type {any} */ a) => {
      const share = total ? Math.round((100 * a.votes) / total) : 0;
      const bar = el('li', { class: 'answer' + (over && a.votes === most && most > 0 ? ' won' : '') }, el('bdi', {}, a.text), el('span', {}, `${share}% · ${a.votes}`));
      bar.style.setProperty('--share', share + '%');
      return bar;
    })),
    el('small', {}, [words.votes(total), over ? words.pollEnded : p.expires ? words.pollEnds(since(new Date(p.expires))) : '', p.multiple ? words.severalAnswers : ''].filter(Boolean).join(' · ')));
}
