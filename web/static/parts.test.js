import test from 'node:test';
import assert from 'node:assert/strict';
import { waveform } from './render/parts.js';
import { tone } from './render/dom.js';

test('a waveform becomes as many bars as fit, each as high as the loudest it stands for', () => {
  assert.deepEqual(waveform(btoa('\u0000\u00ff')), [0, 1]);
  const long = waveform(btoa(String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i))));
  assert.equal(long.length, 48);
  assert.equal(long.at(-1), 1);
  assert.ok(long.every((h, i) => i === 0 || h >= long[i - 1]));
});

test('what is no waveform has no bars', () => {
  assert.deepEqual(waveform('not base64!'), []);
  assert.deepEqual(waveform(''), []);
});

test('a person has the colour here that the server has written', () => {
  // The same ids are in TestTheColourOfAPerson.
  assert.deepEqual(['8', '1443450134275948545', '1443450134275948547', '1575722076281634816'].map(tone), ['tone-5', 'tone-0', 'tone-1', 'tone-3']);
});
