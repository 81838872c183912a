// The panel in its two homes: a notebook with a kernel (`render`) and a saved page (`mount`).
import { bytes, shelf } from './graph.js';
import { panel } from './panel.js';

const TRAITS = ['rows', 'states', 'sources', 'view', 'steps', 'progress', 'replaced', 'live'];
const SILENCE = 4000; // milliseconds after which a kernel that is not busy and does not answer is taken for gone

function render({ model, el }) {
    el.style.width = '100%';
    const shown = panel(el, {
        act(type, content = {}) {
            if (type === 'stop' && model.get('progress').blocking) {
                interrupt(model);
            } else {
                model.send({ type, ...content });
            }
        },
        select(fqn) {
            model.set('selected', fqn);
            model.save_changes();
        },
    });
    const hide = document.createElement('style'); // the static report that follows is for readers without a kernel
    hide.textContent = `.onnx-debug-saved.${CSS.escape(model.get('key'))} { display: none; }`;
    el.append(hide);
    const listening = setInterval(() => {
        if (!isBusy(model)) { // a notebook that was saved with its widgets, or a page made of one: nobody is behind the buttons
            heard();
            hide.remove();
            shown.set({ live: false, progress: { ...model.get('progress'), running: false } });
        }
    }, SILENCE);
    const heard = () => clearInterval(listening);
    let drawn = null; // the graph on screen

    const listeners = {
        'change:selected': () => model.get('selected') !== shown.selected() && shown.choose(model.get('selected'), false),
        'msg:custom': (message, buffers) => {
            heard();
            if (message.type === 'graph' && message.facts.id !== drawn) {
                const [packed, docs, viewer] = buffers;
                if (viewer.byteLength) {
                    shelf.put(message.facts.key, viewer);
                }
                const bundle = shelf.get(message.facts.key);
                if (bundle || message.facts.problem) {
                    drawn = message.facts.id;
                    shown.openGraph(message.facts, packed, docs, bundle);
                } else {
                    model.send({ type: 'hello', have: '' });
                }
            } else if (message.type === 'viewer') {
                if (buffers[0].byteLength) {
                    shelf.put(message.key, buffers[0]);
                }
                shown.prepareGraph(shelf.get(message.key));
            } else if (message.type === 'module') {
                shown.setCalls(message.fqn, message.calls);
            } else if (message.type === 'log') {
                shown.setLog(message.text);
            } else if (message.type === 'log changed') {
                shown.forgetLog();
            }
        },
    };
    for (const name of TRAITS) {
        listeners[`change:${name}`] = () => {
            heard();
            shown.set({ [name]: model.get(name) });
        };
    }
    Object.entries(listeners).forEach(([name, listener]) => model.on(name, listener));
    shown.set(Object.fromEntries(TRAITS.map((name) => [name, model.get(name)])));
    if (model.get('selected') !== null) {
        shown.choose(model.get('selected'), false);
    }
    model.send({ type: 'hello', have: shelf.key() });
    return () => {
        heard();
        Object.entries(listeners).forEach(([name, listener]) => model.off(name, listener));
        shown.dispose();
    };
}

/** A kernel that is busy answers later. */
function isBusy(model) {
    const kernel = model.widget_manager && model.widget_manager.kernel;
    return Boolean(kernel) && kernel.status === 'busy';
}

/** A kernel that is busy with the panel's own cell is reached by an interrupt only. */
function interrupt(model) {
    const kernel = model.widget_manager && model.widget_manager.kernel;
    if (kernel && kernel.interrupt) {
        kernel.interrupt();
    }
}

function mount(element, data) {
    const viewer = data.graphs.length ? bytes(data.graphs[0].viewer) : null; // the first one carries it for all
    const open = ({ model, docs, ...facts }) => shown.openGraph(facts, bytes(model), bytes(docs), viewer);
    const shown = panel(element, {
        graph({ of }) {
            const wanted = data.graphs.find((one) => one.of === of);
            if (wanted) {
                open(wanted);
            }
        },
    });
    shown.set(data.panel);
    shown.setLog(data.log);
    if (data.graphs.length) {
        open(data.graphs[0]);
    }
    document.querySelectorAll('details.od-saved-report').forEach((details) => { details.open = false; });
}

export default { render, mount };
