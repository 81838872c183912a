// The tabs that list: Steps, Log, Fixes.
import { h } from './dom.js';
import { ANSWERS, table } from './layer.js';

const SHOWN = 3000; // lines of the log at a time

/** The history of trials, one readable row each. */
export function steps(list, onSelect) {
    if (!list.length) {
        return h('p.od-none', {}, 'No trial yet.');
    }
    const rows = list.map((step, index) => [
        String(index + 1),
        h('button.od-link', { type: 'button', onclick: () => onSelect(step.fqn) }, step.what),
        step.why,
        h(`span.od-answer.od-${step.answer}`, { title: step.message || null }, `${ANSWERS[step.answer]} ${step.said}`),
        `${step.seconds.toFixed(2)} s`,
    ]);
    return table(['', 'tried', 'why', 'answer', 'time'], rows, 'Trials');
}

/** The exporter's log: raw text, by line, searchable. */
export function log() {
    let lines = [];
    const search = h('input.od-search', { type: 'search', placeholder: 'Search the log', 'aria-label': 'Search the log', oninput: () => draw() });
    const note = h('span.od-note', { role: 'status' });
    const text = h('pre.od-log', { tabindex: 0, 'aria-label': 'Log of the exporter' });
    const draw = () => {
        const wanted = search.value.toLowerCase();
        const hits = lines.map((line, index) => [index + 1, line]).filter(([, line]) => !wanted || line.toLowerCase().includes(wanted));
        text.replaceChildren(...hits.slice(0, SHOWN).map(([number, line]) => {
            // A line of the exporter itself opens a stage; what follows it belongs to that stage.
            const element = line.startsWith('[torch.onnx]') ? 'span.od-line.od-stage-line' : 'span.od-line';
            return h(element, {}, h('span.od-number', {}, String(number)), `${line}\n`);
        }));
        const more = hits.length > SHOWN ? `, the first ${SHOWN} shown` : '';
        note.textContent = wanted ? `${hits.length} of ${lines.length} lines${more}` : `${lines.length} lines${more}`;
    };
    return {
        element: h('div.od-fill-column', {}, h('div.od-bar', {}, search, note), text),
        set(value) {
            lines = value ? value.split('\n') : [];
            draw();
        },
    };
}

function copy(text) {
    const button = h('button.od-button', { type: 'button', onclick: async () => {
        try {
            await navigator.clipboard.writeText(text);
            button.textContent = 'Copied';
        } catch {
            button.textContent = 'Select and copy by hand'; // no clipboard without https or permission
        }
    } }, 'Copy');
    return button;
}

/** A unified diff, line by line. */
function diffLines(diff) {
    const kinds = { '+': 'span.od-added', '-': 'span.od-removed' };
    return diff.trimEnd().split('\n').map((line) => h(kinds[line[0]] ?? 'span', {}, `${line}\n`));
}

/** Changes that were tried on the whole case and pass. */
export function fixes(list) {
    return h('div.od-layer', {}, list.map((fix) => h('section.od-fix', {},
        h('h3', {}, fix.title, ' ', h('span.od-badge', {}, fix.checked)),
        h('p', {}, fix.explanation),
        fix.diff ? [h('pre.od-code', { tabindex: 0, 'aria-label': 'Change of the source' }, diffLines(fix.diff)), copy(fix.diff)] : null,
        fix.code ? [h('pre.od-code', { tabindex: 0 }, fix.code), copy(fix.code)] : null)));
}
