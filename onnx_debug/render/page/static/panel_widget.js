// The panel in its two homes: a notebook with a kernel (`render`) and a saved page (`mount`).
import { bytes, shelf } from './graph.js';
import { inserter, kernelOf } from './notebook.js';
import { panel } from './panel.js';

const TRAITS = ['rows', 'states', 'sources', 'view', 'steps', 'progress', 'replaced', 'answers', 'live'];
const SILENCE = 4000; // milliseconds after which a kernel that is not busy and does not answer is taken for gone
const GONE = ['restarting', 'autorestarting', 'terminating', 'dead'];
const AGAIN = 'run the cell again to try modules.';

function render({ model, el }) {
    el.style.width = '100%';
    let waiting = null; // for a sign of life
    let gone = false;
    let drawn = null; // the graph on screen

    const shown = panel(el, {
        act(type, content = {}) {
            if (type === 'stop') {
                stop();
            } else {
                send({ type, ...content });
                expect();
            }
        },
        insert: inserter(model, el),
        select(fqn) {
            model.set('selected', fqn);
            save();
        },
    });

    function send(message) {
        try {
            model.send(message);
        } catch {
            lose(`The kernel is gone; ${AGAIN}`); // the channel to it is closed
        }
    }

    function save() {
        try {
            model.save_changes();
        } catch {
            lose(`The kernel is gone; ${AGAIN}`);
        }
    }

    /** A kernel that is busy with the panel's own cell is reached by an interrupt only, and not every notebook lets us. */
    function stop() {
        const kernel = kernelOf(model);
        if (!model.get('progress').blocking) {
            send({ type: 'stop' });
        } else if (kernel && kernel.interrupt) {
            kernel.interrupt();
        } else {
            send({ type: 'stop' }); // heard while the cell runs where the kernel has a channel for it
            shown.set({ notice: 'If nothing happens, press the stop button of the notebook itself.' });
        }
    }

    // The static report that follows is for readers without a kernel; its prompt goes with it.
    const hide = document.createElement('style');
    const report = `.onnx-debug-saved.${CSS.escape(model.get('key'))}`;
    hide.textContent = `${report} { display: none; } .jp-OutputArea-child:has(${report}) { display: none; }`;
    el.append(hide);

    /** Nobody is behind the buttons: a notebook saved with its widgets, a kernel that ended. */
    function lose(notice) {
        clearInterval(waiting);
        gone = true;
        hide.remove();
        shown.set({ live: false, notice, progress: { ...model.get('progress'), running: false } });
    }

    function expect() {
        clearInterval(waiting);
        waiting = gone ? null : setInterval(() => isBusy(model) || lose(`The kernel does not answer; ${AGAIN}`), SILENCE);
    }

    function heard() {
        clearInterval(waiting);
        if (gone && kernelOf(model)?.status !== 'dead') {
            gone = false;
            el.append(hide);
            shown.set({ live: model.get('live'), notice: '', progress: model.get('progress') });
        }
    }

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
                    send({ type: 'hello', have: '' });
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
    const unwatch = watchKernel(model, (ended) => lose(`The kernel ${ended}; ${AGAIN}`));
    send({ type: 'hello', have: shelf.key() });
    expect();
    return () => {
        clearInterval(waiting);
        unwatch();
        Object.entries(listeners).forEach(([name, listener]) => model.off(name, listener));
        if (!gone) {
            send({ type: 'closed' });
        }
        shown.dispose();
    };
}

/** A kernel that is busy answers later. */
function isBusy(model) {
    const kernel = kernelOf(model);
    const { blocking, running } = model.get('progress');
    return kernel ? kernel.status === 'busy' : Boolean(blocking && running);
}

/** Calls `lost` when the kernel ends; returns a function that ends the watch. */
function watchKernel(model, lost) {
    const kernel = kernelOf(model);
    if (!kernel || !kernel.statusChanged) {
        return () => {};
    }
    const changed = (_, status) => GONE.includes(status) && lost(status.includes('restarting') ? 'was restarted' : 'has ended');
    const disposed = () => lost('has ended');
    kernel.statusChanged.connect(changed);
    kernel.disposed.connect(disposed);
    return () => {
        kernel.statusChanged.disconnect(changed);
        kernel.disposed.disconnect(disposed);
    };
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
