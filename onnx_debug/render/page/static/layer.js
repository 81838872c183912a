// The Layer tab: one module, with its fault if it has one.
import { count, h } from './dom.js';
import { MARKS } from './tree.js';

export const ANSWERS = { passed: '✓', failed: '✗', unresolved: '?' };

/** A table that scrolls sideways by itself. `columns`: names; `rows`: lists of strings or elements. */
export function table(columns, rows, caption) {
    return h('div.od-scroll', { tabindex: 0, role: 'region', 'aria-label': caption },
        h('table', {},
            h('thead', {}, h('tr', {}, columns.map((column) => h('th', { scope: 'col' }, column)))),
            h('tbody', {}, rows.map((row) => h('tr', {}, row.map((cell) => h('td', {}, cell)))))));
}

function source({ place, file, lines, below = [] }) {
    const drawn = lines.map(([number, text, guilty]) => h(guilty ? 'mark.od-line' : 'span.od-line',
        guilty ? { 'aria-label': `line ${number}, at fault` } : {}, h('span.od-number', {}, String(number)), text || ' ', '\n'));
    const inner = below.map((line) => h('p.od-below', {}, '↳ leads to ', h('code', {}, line.text), ` · ${line.place}`));
    return h('figure.od-source', {}, h('figcaption', { title: file }, place), h('pre', { tabindex: 0 }, drawn), inner);
}

function tensors({ inputs, outputs }) {
    const all = [...inputs.map((info) => ['in', info]), ...outputs.map((info) => ['out', info])];
    const columns = [
        ['', ([role]) => role],
        ['name', ([, info]) => h('code', {}, info.name)],
        ['dtype', ([, info]) => info.dtype],
        ['shape', ([, info]) => info.shape],
        ['symbolic', ([, info]) => info.symbolic],
        ['device', ([, info]) => info.device],
        ['min', ([, info]) => info.min],
        ['max', ([, info]) => info.max],
        ['NaN', ([, info]) => String(info.nan)],
    ].filter(([name]) => name !== 'symbolic' || all.some(([, info]) => info.symbolic));
    return all.length ? table(columns.map(([name]) => name), all.map((one) => columns.map(([, cell]) => cell(one))), 'Inputs and outputs') : null;
}

/** The calls that differ in shapes, dtypes or other arguments; `failing`: the index of the one at fault. */
function calls(list, failing = null) {
    if (list.length < 2) {
        return null;
    }
    const said = (infos) => infos.map((info) => h('div', {}, h('code', {}, info.name), ` ${info.dtype}${info.symbolic || info.shape}`));
    const rows = list.map((call) => [
        h('span', {}, String(call.index + 1), call.index === failing ? h('b.od-at-fault', {}, ' ✗ fails') : null), said(call.inputs), said(call.outputs),
    ]);
    return [h('h4', {}, 'Calls that differ'), table(['call', 'inputs', 'outputs'], rows, 'Calls that differ')];
}

/** What shows that it is a culprit; each sentence leads to its trial in the list of steps. */
function evidence(rows, toStep) {
    if (!rows.length) {
        return null;
    }
    const link = (step) => h('button.od-link.od-to-step', { type: 'button', title: 'Show this trial in Steps', onclick: () => toStep(step) }, `trial ${step + 1}`);
    return [h('h4', {}, 'Evidence'), h('ul.od-evidence', { 'aria-label': 'Evidence' }, rows.map(({ text, step, shown }) => h(shown ? 'li' : 'li.od-open', {},
        h('span', { 'aria-hidden': true }, shown ? '•' : '?'), h('span', {}, text, step === null ? null : [' · ', link(step)]))))];
}

function fold(title, text, open = false) {
    return text ? h('details.od-error', { open }, h('summary', {}, title), h('pre', { tabindex: 0 }, text)) : null;
}

function comparisons(rows) {
    if (!rows.length) {
        return null;
    }
    const cells = rows.map((row) => [row.input, h('code', {}, row.output), row.problem || '✓ equal', row.abs, row.rel, row.share]);
    return [h('h4', {}, 'Eager against ONNX Runtime'), table(['input', 'output', 'answer', 'max abs', 'max rel', 'differing'], cells, 'Comparison')];
}

function asked(rows) {
    const cells = rows.map(([subject, ...rest]) => [h('code', {}, subject), ...rest]);
    const columns = ['option', 'asked', 'got', 'works with', 'fails with', 'model rejects'];
    return rows.length ? [h('h4', {}, 'Asked and got'), table(columns, cells, 'Asked and got')] : null;
}

function actions(fqn, data, act, row) {
    if (!data.live || !act) {
        return null;
    }
    const replaced = data.replaced.includes(fqn);
    const all = [
        ['alone', 'Try alone', 'Export this module by itself, with the inputs it gets inside the model'],
        ['replace', replaced ? 'Restore' : 'Replace by placeholder', replaced
            ? 'Put the module back and export the whole model' : 'Export the whole model with a placeholder in this place'],
        ['split', 'Split here', 'Export this module with its children replaced: is it its own code, or a child?'],
    ];
    const buttons = all.filter(([name]) => fqn !== '' || name !== 'replace').map(([name, label, title]) => h('button.od-button', {
        title, type: 'button', disabled: data.progress.running || (name === 'split' && row && !row.children), onclick: () => act(name, { fqn }),
    }, label));
    return [h('div.od-actions', { role: 'group', 'aria-label': 'Trials with this module' }, buttons), answer(data.answers[fqn])];
}

/** What the last of these trials means. */
function answer(given) {
    return given ? h(`p.od-answer.od-${given.answer}`, { role: 'status' }, h('span', { 'aria-hidden': true }, ANSWERS[given.answer]), ` ${given.text}`) : null;
}

/** How often the model calls it; before the model has run, nobody knows. */
function called(row, data) {
    if (row.calls) {
        return `called ${row.calls}×`;
    }
    return data.steps.length ? 'not called itself' : null;
}

/** Everything known of the module `fqn`; `data` is what the panel holds, `tree` knows its row, `toStep` leads to a trial. */
export function layer(fqn, data, tree, act, toStep) {
    const row = tree.row(fqn);
    const culprit = data.view.culprits.find((one) => one.fqn === fqn);
    if (!row && !culprit) {
        return h('p.od-none', {}, data.progress.running ? 'The model is being run, to record its calls.' : 'No module is known yet.');
    }
    const state = tree.state(fqn);
    const [mark, name] = MARKS[state];
    // Where no layer is to blame, the model fails as a whole.
    const said = fqn === '' && state === 'not tried' && data.view.failed ? `✗ fails at ${data.view.failed}` : `${mark} ${state}`;
    const aliases = (culprit || row).aliases;
    const facts = row ? [
        `${count(row.parameters)} parameters`,
        called(row, data),
        culprit && culprit.call ? `fails at call ${culprit.call + 1}` : null,
        aliases.length ? `also called ${aliases.join(', ')}` : null,
    ] : [];
    const forward = row && row.code !== null ? data.sources[row.code] : null;
    const code = culprit && culprit.source.length ? { ...culprit, lines: culprit.source } : forward && forward.lines.length ? forward : null;
    const described = data.calls[fqn] || (culprit ? culprit.calls : []);
    const tried = data.steps.filter((step) => step.fqn === fqn && (fqn !== '' || !culprit));
    return h('div.od-layer', {},
        h('h3', {}, h('code', {}, fqn || (row ? row.name : culprit.name)), ' ', h('span.od-kind', {}, (row && row.kind) || (culprit && culprit.kind) || '')),
        h('p.od-facts', { dataset: { state: name } }, h('span.od-mark', {}, said), [null, ...facts.filter(Boolean)].join(' · ')),
        culprit && !data.view.headline.includes(culprit.why) ? h('p.od-why', {}, h('b', {}, `${culprit.stage}: `), culprit.why) : null,
        culprit && culprit.advice && !data.view.nextIsAdvice ? h('p.od-advice', {}, h('b', {}, 'What usually helps: '), culprit.advice) : null,
        culprit ? data.view.seen.map(([label, text]) => h('p.od-seen', {}, h('b', {}, `${label}: `), text)) : null,
        code ? source(code) : null,
        described.length || culprit ? tensors(culprit || described[0]) : null,
        calls(described, culprit ? culprit.call : null),
        culprit && evidence(culprit.evidence, toStep),
        data.view.failed === 'eager' ? null : actions(fqn, data, act, row), // a model that does not run has no trials
        culprit && fold('The error in full', culprit.error, culprit.stage === 'eager'),
        fqn === '' && !culprit ? fold('The error in full', data.view.error, true) : null,
        fqn === '' ? fold('A report about onnx_debug itself', data.view.issue) : null,
        fqn === '' ? [asked(data.view.asked), comparisons(data.view.comparisons)] : null,
        !culprit && tried.length ? [h('h4', {}, 'Tried'), h('ul.od-tried', {}, tried.map((step) => h('li', {}, `${step.what}: ${step.said}`)))] : null);
}
