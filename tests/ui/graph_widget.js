// A graph on its own: as a widget (`render`) and as a page (`mount`).
import { h, watchTheme } from './dom.js';
import { bytes, graph, shelf } from './graph.js';
import { nodelist } from './nodelist.js';

function view(host, { onSelect = () => {}, onOptions = () => {} } = {}) {
    let list = null;
    let facts = null;
    const fallBack = (problem) => {
        list = nodelist(host, problem, facts.nodes, (name) => onSelect([name]));
    };
    const netron = graph(host, {
        click: (name) => facts.nodes.some((node) => node[0] === name) && onSelect([name]),
        options: onOptions,
        status: (status, detail) => status === 'error' && fallBack(detail),
    });
    return {
        open(next, model, docs, bundle) {
            facts = next;
            if (facts.problem) {
                fallBack(facts.problem);
            } else {
                netron.open({ name: facts.name, model, docs, bundle });
            }
        },
        update(change) {
            netron.update(change);
            if (list && change.selected) {
                list.select(change.selected);
            }
        },
        dispose: netron.dispose,
    };
}

function mount(element, data) {
    element.classList.add('od-graph', 'od-fill');
    const shown = view(element, { onSelect: (selected) => shown.update({ selected }) });
    const { model, docs, viewer, ...facts } = data.graph;
    shown.update(data.state);
    if (data.state.dark === undefined) {
        watchTheme((dark) => shown.update({ dark }));
    }
    shown.open(facts, bytes(model), bytes(docs), bytes(viewer));
}

function render({ model, el }) {
    const host = h('div.od-graph', { style: { height: model.get('height') } });
    el.style.width = '100%';
    el.append(host);
    const shown = view(host, {
        onSelect(selected) {
            model.set('selected', selected);
            model.save_changes();
        },
        onOptions(options) {
            model.set('options', options);
            model.save_changes();
        },
    });
    const traits = ['selected', 'marks', 'options'];
    shown.update(Object.fromEntries(traits.map((name) => [name, model.get(name)])));
    const listeners = {
        'change:height': () => host.style.setProperty('height', model.get('height')),
        'change:theme': () => theme(),
        'msg:custom': (message, buffers) => {
            if (message.type !== 'graph') {
                return;
            }
            const { facts } = message;
            const [packed, docs, viewer] = buffers;
            if (viewer.byteLength) {
                shelf.put(facts.key, viewer);
            }
            shown.open(facts, packed, docs, shelf.get(facts.key));
        },
    };
    for (const name of traits) {
        listeners[`change:${name}`] = () => shown.update({ [name]: model.get(name) });
    }
    let dark = false;
    const theme = () => shown.update({ dark: model.get('theme') === 'auto' ? dark : model.get('theme') === 'dark' });
    const unwatch = watchTheme((now) => {
        dark = now;
        theme();
    });
    Object.entries(listeners).forEach(([name, listener]) => model.on(name, listener));
    model.send({ type: 'hello', have: shelf.key() });
    return () => {
        unwatch();
        Object.entries(listeners).forEach(([name, listener]) => model.off(name, listener));
        shown.dispose();
    };
}

export default { render, mount };
