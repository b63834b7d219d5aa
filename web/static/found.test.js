import test from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { asked, hits } from './found.js';

test('what is asked for is words and phrases, without what is excluded and without filters', () => {
  for (const [query, want] of /** @type {[string, string[][]][]} */ ([
    ['', []],
    ['herring', [['herring']]],
    ['  Herring   TIDE ', [['herring'], ['tide']]],
    ['"low tide" net', [['low', 'tide'], ['net']]],
    ['herring -quick -"low tide"', [['herring']]],
    ['herring or cod', [['herring'], ['cod']]],
    ['herring OR cod', [['herring'], ['cod']]],
    ['"or"', [['or']]],
    ['from:ada in:nets has:link mentions:me before:2026-03-10 after:2026-03-01 herring', [['herring']]],
    ['FROM:"Ada Lovelace" herring', [['herring']]],
    ['https://a.test/x_y', [['https', 'a', 'test', 'x', 'y']]],
    ['note:tide', [['note', 'tide']]],
    ['note:"low tide"', [['note', 'low', 'tide']]],
    ["don't", [['don', 't']]],
    ['"never closed', [['never'], ['closed']]],
    ['-"never closed', [['never'], ['closed']]], // what is not closed is no phrase, and excludes nothing
    ['… !? 👍', []],
    ['"" -', []],
  ])) assert.deepEqual(asked(query), want, query);
});

/** @param {string} query @param {(string | null)[]} texts */
const see = (query, ...texts) => hits(texts, asked(query)).map((h) => texts[h.text]?.slice(h.from, h.to));

test('whole words are found, in whatever case, wherever they stand', () => {
  assert.deepEqual(see('tide', 'Tide, low-tide; tides TIDE_TABLE untide'), ['Tide', 'tide', 'TIDE']);
  assert.deepEqual(see('straße', 'STRAẞE, Straße'), ['STRAẞE', 'Straße']);
  assert.deepEqual(see('привет', 'Ну, ПРИВЕТ!'), ['ПРИВЕТ']);
  assert.deepEqual(see('é', 'cafe\u0301 é'), ['é']); // a mark is part of its word
  assert.deepEqual(see('ahoy', '👍ahoy👍'), ['ahoy']);
  assert.deepEqual(see('.*', 'a.*b'), []);
  assert.deepEqual(see('toString constructor', 'toString of a constructor'), ['toString', 'constructor']);
});

test('a phrase is found where its words stand behind one another, also across marks', () => {
  assert.deepEqual(see('"low tide"', 'a low tide, tide low, low, TIDE'), ['low tide', 'low, TIDE']);
  assert.deepEqual(see('"low tide"', 'so low ', 'tide', ' again'), ['low', 'tide']);
  assert.deepEqual(see('"low tide"', 'so low ', null, ' tide'), []);
  assert.deepEqual(see('"a a"', 'a a a'), ['a a', 'a a']);
});

test('every sign that divides words in the database divides them here', async () => {
  const schema = await readFile(new URL('../../schema.sql', import.meta.url), 'utf8');
  const signs = /words_apart\(content text\)[^$]*\$\$\s*SELECT regexp_replace\(left\(content, 16000\), '(\[.*\])\+',/.exec(schema)?.[1] ?? '';
  const divides = new RegExp(signs.replace(/\\U000([0-9a-f]{5})/g, '\\u{$1}'), 'u');
  let n = 0;
  for (let c = 1; c < 0xe0080; c++) {
    if (c === 0xd800) c = 0xe000;
    const sign = String.fromCodePoint(c);
    if (!divides.test(sign)) continue;
    n++;
    assert.deepEqual(asked(`"x${sign}y"`), [['x', 'y']], 'U+' + c.toString(16));
  }
  assert.ok(n > 3000, `${n} signs`);
});
