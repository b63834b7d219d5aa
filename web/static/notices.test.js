import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { holds, levelOf, quietNow, reason } from './notices.js';

const table = JSON.parse(readFileSync(new URL('../testdata/notices.json', import.meta.url), 'utf8'));
const place = [table.place.channel, table.place.parent, table.place.above, table.place.guild];

test('levels and quiet hours are as the server has them', () => {
  for (const { name, default: level, chosen, want } of table.levels) {
    const prefs = { level, keywords: true, quiet: null, levels: Object.entries(chosen).map(([scope, l]) => ({ scope, level: l })) };
    assert.equal(levelOf(prefs, place), want, name);
  }
  for (const { name, quiet, at, want } of table.quiet) assert.equal(quietNow(quiet, Date.parse(at)), want, name);
});

test('keywords are whole words', () => {
  assert.ok(holds(['high tide'], 'The HIGH   tide, again'));
  assert.ok(holds(['nope', 'Ähre'], 'eine ähre'));
  assert.ok(!holds(['tide'], 'tides'));
  assert.ok(!holds(['high tide'], 'high water, tide'));
  assert.ok(!holds(['!!'], 'what!!'));
  assert.ok(holds(["c++ 20"], 'use C++ 20'));
  for (const text of ['foo.zulu()', '/usr/zulu/bin', 'a@zulu.org', '<zulu>', '<!-- zulu', '&zulu;', 'zulu/other', 'https://x.example/y?q=zulu', 'a_zulu', 'zulu🙂', '“zulu”']) assert.ok(holds(['zulu'], text), text);
  assert.ok(holds(['foo.zulu'], 'foo/zulu()') && holds(['हिन्दी'], 'यह हिन्दी है') && !holds(['हिन'], 'हिन्दी'));
});

test('a message is told for one reason, or for none', () => {
  const prefs = { level: 'mentions', keywords: true, quiet: null, levels: [{ scope: '5', level: 'all' }, { scope: '6', level: 'nothing' }] };
  const m = { content: 'hello', mentions_me: false }, where = (id) => ({ places: [id], muted: false, now: 0 });
  assert.equal(reason(prefs, [], { ...m, mentions_me: true }, where('4')), 'mention');
  assert.equal(reason(prefs, ['hello'], m, where('4')), 'keyword');
  assert.equal(reason({ ...prefs, keywords: false }, ['hello'], m, where('4')), '');
  assert.equal(reason(prefs, [], m, where('4')), '');
  assert.equal(reason(prefs, [], m, where('5')), 'all');
  assert.equal(reason(prefs, [], { ...m, system: 'x joined' }, where('5')), '');
  assert.equal(reason(prefs, ['hello'], { ...m, mentions_me: true }, where('6')), '');
  assert.equal(reason(prefs, [], { ...m, mentions_me: true }, { ...where('4'), muted: true }), '');
  assert.equal(reason(prefs, [], { ...m, mentions_me: true, flags: 4096 }, where('4')), '');
  assert.equal(reason({ ...prefs, quiet: { from: '00:00', to: '01:00', zone: 'UTC' } }, [], { ...m, mentions_me: true }, where('4')), '');
});
