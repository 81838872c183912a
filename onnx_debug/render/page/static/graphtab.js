// The Graph tab: Netron, or a list of nodes; marks for what is known of the modules; modules to nodes and back.
import { h } from './dom.js';
import { graph } from './graph.js';
import { nodelist } from './nodelist.js';

// Readable with white text on it, in both themes; blue stands apart from the orange of differences for the colour-blind too.
const COLOURS = { culprit: '#b3400b', stubbed: '#7b3f98', begins: '#2b6cb0' };
const CAPTURED = ['capture', 'translate', 'optimize']; // stages at which a culprit leaves operators, not an exported file

/**
 * @param {{select: (fqn: string, fromGraph: boolean) => void, show?: (wish: {of: string|null, focus?: string, whole?: boolean}) => void,
 *          partial?: boolean}} handlers  `partial`: parts of a large graph can be asked for
 */
export function graphTab(handlers) {
    let facts = null;
    let list = null;
    let fqn = null;
    let states = {};
    let view = { culprits: [], graph: false };
    let own = false; // the user wants to see culprits' own graphs
    let asked = null; // whose graph is shown or about to be
    let clicked = null;
    const stage = h('div.od-stage');
    const text = h('span.od-note.od-about-graph', { role: 'status' }, 'There is no graph yet.');
    const button = (label, title, onclick) => h('button.od-button', { type: 'button', title, 'aria-label': title, onclick }, label);
    const command = (name, label, title) => button(label, title, () => netron.command(name));
    const tools = h('span.od-tools', { role: 'group', 'aria-label': 'Graph' },
        command('find', 'Find', 'Find in the graph'),
        command('zoomOut', '−', 'Zoom out'), command('zoomReset', '1:1', 'Actual size'), command('zoomIn', '+', 'Zoom in'));
    const ofModel = h('button.od-button', { type: 'button', onclick: () => prefer(false) }, 'Model');
    const ofCulprit = h('button.od-button', { type: 'button', onclick: () => prefer(true) });
    const which = h('span.od-switch', { role: 'group', 'aria-label': 'Which graph', hidden: true }, ofModel, ofCulprit);
    const whole = button('Show all', 'Show the whole graph; this can take a minute', () => handlers.show({ of: null, whole: true }));
    const legend = h('span.od-legend', { hidden: true });
    const element = h('div.od-fill-column', {}, stage, h('div.od-bar.od-foot', {}, which, text, legend, whole, tools));
    const netron = graph(stage, {
        click,
        status(status, detail) {
            if (status === 'error') {
                fallBack(detail);
            } else if (status === 'slow') {
                text.textContent = `Laying out ${facts.nodes.length} nodes takes a while …`;
            } else {
                describe();
            }
        },
    });

    const inside = (module, outer) => module !== null && (outer === '' || module === outer || module.startsWith(`${outer}.`));
    /** The nodes of the selected module; in its own graph all are, there it is the failing one that matters. */
    function chosen() {
        if (!facts || !fqn) {
            return [];
        }
        return facts.of === fqn ? facts.failing : facts.nodes.filter((node) => inside(node[2], fqn)).map((node) => node[0]);
    }
    const nodeOf = (name) => facts.nodes.find((one) => one[0] === name);
    /** The selected culprit, or that around the selected module, if it has a graph of its own. */
    const culprit = () => view.culprits.find((one) => one.graph && fqn !== null && inside(fqn, one.fqn));

    function prefer(wanted) {
        own = wanted;
        follow();
        describe();
    }

    /** Ask for the graph that belongs on screen now, if it is another one. */
    function follow() {
        const wanted = (own || !view.graph) && culprit() ? culprit().fqn : view.graph || !facts ? null : facts.of;
        if (facts && handlers.show && wanted !== asked) {
            asked = wanted;
            handlers.show({ of: wanted, focus: fqn });
        }
    }

    function click(name) {
        const node = nodeOf(name);
        clicked = name;
        if (node && node[2] !== null) {
            handlers.select(node[2], true);
        }
        if (node) {
            describe();
        }
    }

    function fallBack(problem) {
        stage.replaceChildren();
        list = nodelist(stage, problem, facts.nodes, click);
        tools.hidden = true;
        describe();
    }

    function describe() {
        if (!facts) {
            return;
        }
        const part = facts.total > facts.nodes.length;
        const kind = facts.of === null ? 'nodes' : 'operators';
        const stands = facts.nodes.filter((node) => node[3]).length;
        const missing = fqn && facts.of !== fqn && !chosen().length ? `no node of ${fqn} is in this graph` : null;
        const size = part ? `${facts.nodes.length} of ${facts.total} ${kind}, around the module` : `${facts.total} ${kind}`;
        const parts = [size, stands ? `${stands} placeholder${stands > 1 ? 's' : ''}` : null, facts.about, missing, aboutNode()];
        text.textContent = parts.filter(Boolean).join(' · ');
        whole.hidden = !part || !handlers.partial;
        legend.hidden = !facts.heated;
        describeSwitch();
    }

    function aboutNode() {
        const node = clicked && nodeOf(clicked);
        if (!node) {
            return null;
        }
        const known = [facts.said?.[clicked], node[2] === null ? 'the exporter left no trace of its module' : null].filter(Boolean);
        return known.length ? `${node[1]} “${clicked}”: ${known.join(', ')}` : null;
    }

    function describeSwitch() {
        const one = culprit();
        which.hidden = !one && facts.of === null;
        ofModel.disabled = !view.graph;
        ofCulprit.disabled = !one;
        ofModel.setAttribute('aria-pressed', String(facts.of === null));
        ofCulprit.setAttribute('aria-pressed', String(facts.of !== null));
        ofCulprit.textContent = !one || CAPTURED.includes(one.stage) ? 'Up to the failure' : 'Alone';
    }

    function marks() {
        const found = {};
        for (const [name, , module] of facts.of === null ? facts.nodes : []) {
            for (let above = module; above !== null; above = above.includes('.') ? above.slice(0, above.lastIndexOf('.')) : null) {
                const state = states[above];
                if (state === 'stubbed' || (state === 'culprit' && !facts.heated)) {
                    found[name] = COLOURS[state];
                    break;
                }
            }
        }
        facts.failing.forEach((name) => { found[name] = COLOURS.culprit; });
        Object.assign(found, facts.heat);
        (facts.begins || []).forEach((name) => { found[name] = COLOURS.begins; });
        return found;
    }

    function drawLegend() {
        const swatch = (colour) => h('i.od-swatch', { style: { background: colour } });
        const begins = facts.begins || [];
        let next = 0;
        const go = () => {
            const name = begins[next++ % begins.length];
            netron.update({ selected: [name] });
            click(name);
        };
        const more = begins.length > 1 ? ` and ${begins.length - 1} more` : '';
        legend.replaceChildren(
            h('span', {}, 'difference 1e-6 ', facts.scale.map(swatch), ' 1e-2 and more'),
            begins.length ? h('span', {}, swatch(COLOURS.begins), ' begins at ',
                h('button.od-link', { type: 'button', title: 'Show it in the graph', onclick: go }, begins[0]), more) : '');
    }

    function update() {
        if (facts) {
            const selected = chosen();
            netron.update({ selected, marks: marks() });
            if (list) {
                list.select(selected);
            }
            describe();
        }
    }

    return {
        element,
        open(next, model, docs, bundle) {
            facts = next;
            facts.heated = Object.keys(facts.heat || {}).length > 0;
            asked = facts.of;
            clicked = null;
            if (list) {
                list = null;
                stage.replaceChildren();
            }
            tools.hidden = false;
            if (facts.heated) {
                drawLegend();
            }
            update();
            if (facts.problem) {
                fallBack(facts.problem);
            } else {
                netron.open({ name: facts.name, model, docs, bundle });
                describe();
            }
        },
        prepare: netron.prepare,
        /** `quiet`: the choice came from the graph itself, which has done its part. */
        select(next, quiet = false) {
            fqn = next;
            if (!facts) {
                return;
            }
            if (!quiet) {
                clicked = null;
                update();
            }
            follow();
            if (handlers.partial && facts.of === null && asked === null && facts.total > facts.nodes.length && fqn && !chosen().length) {
                handlers.show({ of: null, focus: fqn });
            }
        },
        setStates(next) {
            states = next;
            if (facts) {
                netron.update({ marks: marks() });
            }
        },
        setView(next) {
            view = next;
            describe();
        },
        setDark: (dark) => netron.update({ dark }),
        dispose: netron.dispose,
    };
}
